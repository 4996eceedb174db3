/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest loaders, one table, detected from the file. The first module is the kernel and its command line the
 * guest's; the second, if any, is the initrd (Linux) or the first of its modules.
 */
#ifndef HV_LOADER_H
#define HV_LOADER_H

#include "arch/vcpu.h"
#include "boot/boot_info.h"

/* A file in guest memory. The loader may move it before it is used: read it through loader_data(). */
struct guest_file {
    u64 base; /* physical */
    u64 size; /* bytes */
    const char *cmdline;
};

#define LOADER_LIMIT                                                                       \
    BIT(32) /* all that a loader places lies below: 32 bits or a small page table reach it \
             */
#define PLACE_MAX (BOOT_MAX_MODULES + 64) /* an ELF file has half of that at most */

struct guest_image {
    union {
        struct guest_file files[BOOT_MAX_MODULES]; /* untrusted */
        struct {
            struct guest_file kernel, modules[BOOT_MAX_MODULES - 1];
        };
    };
    unsigned nr_modules;
    u64 rsdp;
    const struct boot_info *boot; /* for what else firmware left */
    unsigned nr_busy;
    struct boot_range busy[PLACE_MAX]; /* where the files are, then what the place_ functions have taken */
};

struct guest_loader {
    const char *name;
    bool (*detect)(const struct guest_image *image);
    /*
     * NULL when the file is whole and can be loaded at all, else what is wrong with it. Changes nothing but
     * what load() is to find of it, which comes after it.
     */
    const char *(*parse)(const struct guest_image *image);
    /* Places the guest in its memory and says how it starts. NULL on success, else what is wrong. */
    const char *(*load)(struct guest_image *image, struct vcpu_start *start);
};

extern const struct guest_loader linux_loader;     /* bzImage, 64-bit boot protocol */
extern const struct guest_loader multiboot_loader; /* ELF, version 1 or 2 */
extern const struct guest_loader pvh_loader;       /* ELF with a PVH entry note: the test guests */

/* refuse()s when there is no guest or it is not a whole image of a known format. Touches nothing. */
void guest_check(const struct boot_info *info);

/* Loads what guest_check() found good; refuse()s when it does not fit. Logs one line about what was loaded.
 */
void guest_load(const struct boot_info *info, struct vcpu_start *start);

/* ---- for the loaders ---- */

const u8 *loader_data(const struct guest_file *file);

/* Little-endian fields at an offset; 0 outside the file, so that a cut file never reads beyond its end. */
u64 loader_field(const struct guest_file *file, u64 off, unsigned width);
bool loader_has(const struct guest_file *file, u64 off, u64 size);

/*
 * The memory a guest starts with: RAM as the guest's map says, without what is in use. place_claim() takes
 * [base, base+size) for the guest itself and fails when that is not all free RAM; files there are in the way
 * only until place_files() has moved them. place_find() takes the highest free range below the limit, clear
 * of all files; 0 = none.
 */
bool place_claim(struct guest_image *image, u64 base, u64 size) __must_check;
u64 place_find(struct guest_image *image, u64 size, u64 align) __must_check;

/* Moves each file that lies on claimed memory, or that ends above `limit`, out of the way. */
bool place_files(struct guest_image *image, u64 limit) __must_check;

/* What a guest is told is written from front to back into one zeroed piece of its memory, which has room for
 * all that any loader has to say. */
struct writer {
    u8 *page;
    u64 gpa; /* page-aligned */
    u64 at;
};
bool writer_init(struct writer *w, struct guest_image *image) __must_check; /* false: no room */
void *writer_reserve(struct writer *w, u64 size, u64 *gpa);
u32 writer_string(struct writer *w, const char *text); /* returns its address */

extern const char loader_no_room[];

/* A little-endian field of a structure of Linux's. */
void loader_put(u8 *params, unsigned off, unsigned width, u64 value);

/* Fills efi_info and screen_info of Linux's boot_params page, by which it goes on using EFI firmware: runtime
 * services and the frame buffer. Leaves zeros where there is nothing. */
void firmware_describe(struct writer *w, u8 *params, const struct boot_info *info);

#endif
