/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux's 64-bit boot protocol (Documentation/arch/x86/boot.rst of the kernel): a bzImage's protected-mode
 * part at the address it prefers, boot_params filled in, entry 0x200 bytes in with paging on.
 */
#include "hv/loader.h"
#include "arch/log.h"
#include "arch/paging.h"
#include "arch/string.h"
#include "hv/mem.h"

/* The setup header, offsets in the file and in boot_params. */
enum {
    SETUP_SECTS = 0x1f1, /* 1 */
    SYSSIZE = 0x1f4,     /* 4, in 16 bytes */
    BOOT_FLAG = 0x1fe,   /* 2 */
    JUMP = 0x201,        /* 1: the header ends at 0x202 + this */
    HEADER = 0x202,      /* 4 */
    VERSION = 0x206,     /* 2 */
    KERNEL_VERSION = 0x20e,
    TYPE_OF_LOADER = 0x210,
    LOADFLAGS = 0x211,
    RAMDISK_IMAGE = 0x218,
    RAMDISK_SIZE = 0x21c,
    CMD_LINE_PTR = 0x228,
    INITRD_ADDR_MAX = 0x22c,
    KERNEL_ALIGNMENT = 0x230,
    RELOCATABLE = 0x234,
    XLOADFLAGS = 0x236,
    CMDLINE_SIZE = 0x238,
    SETUP_DATA = 0x250,
    PREF_ADDRESS = 0x258,
    INIT_SIZE = 0x260,
    HEADER_ROOM = 0x290, /* boot_params goes on with something else here */
};
/* boot_params outside the header */
enum {
    ACPI_RSDP_ADDR = 0x070,
    E820_ENTRIES = 0x1e8,
    E820_TABLE = 0x2d0,
    E820_MAX = 128,
};
#define HDRS             0x53726448 /* "HdrS" */
#define LOADED_HIGH      BIT(0)
#define XLF_KERNEL_64    BIT(0)
#define SETUP_E820_EXT   1
#define ENTRY_64         0x200
#define PARAGRAPH        16
#define SECTOR           512
#define LOADER_UNDEFINED 0xff

struct e820_entry {
    u64 base, size;
    u32 type;
} __attribute__((packed));

struct setup_data {
    u64 next;
    u32 type, len;
};

static struct bzimage {
    u64 code_off, code_size; /* protected-mode part, in the file */
    u64 pref, align, init_size;
    u64 initrd_max, cmdline_max;
    bool relocatable;
} kernel;

static bool detect(const struct guest_image *image)
{
    return loader_field(&image->kernel, BOOT_FLAG, 2) == 0xaa55 &&
           loader_field(&image->kernel, HEADER, 4) == HDRS;
}

static const char *parse(const struct guest_image *image)
{
    struct bzimage *out = &kernel;
    const struct guest_file *k = &image->kernel;
    u64 sects = loader_field(k, SETUP_SECTS, 1);

    if (loader_field(k, VERSION, 2) < 0x20c)
        return "its boot protocol is older than 2.12 (Linux 3.8)";
    if (!(loader_field(k, XLOADFLAGS, 2) & XLF_KERNEL_64))
        return "it has no 64-bit entry";
    out->code_off = ((sects ? sects : 4) + 1) * SECTOR;
    out->code_size = loader_field(k, SYSSIZE, 4) * PARAGRAPH;
    /* The last paragraph need not be whole, and is not in memtest86+. */
    if (out->code_size - (k->size - out->code_off) < PARAGRAPH)
        out->code_size = k->size - out->code_off;
    if (out->code_size < ENTRY_64 + 16 || !loader_has(k, out->code_off, out->code_size))
        return "the file is shorter than its header says";
    out->pref = loader_field(k, PREF_ADDRESS, 8);
    out->align = loader_field(k, KERNEL_ALIGNMENT, 4);
    out->init_size = loader_field(k, INIT_SIZE, 4);
    out->relocatable = loader_field(k, RELOCATABLE, 1) != 0;
    out->initrd_max = loader_field(k, INITRD_ADDR_MAX, 4);
    out->cmdline_max = loader_field(k, CMDLINE_SIZE, 4);
    if (out->init_size < out->code_size)
        return "init_size is smaller than the kernel itself";
    if (!(out->align & MASK(30, 12)) || (out->align & (out->align - 1)))
        return "kernel_alignment is not a sensible power of two";
    if (strlen(image->kernel.cmdline) > out->cmdline_max)
        return "it takes no command line as long as the one given";
    if (image->nr_modules > 1)
        return "more than one initrd was given; join them into one";
    return NULL;
}

/* The preferred address where it is free, else the highest aligned one. 0 = none. */
static u64 place_kernel(struct guest_image *image)
{
    const struct bzimage *k = &kernel;

    if (k->pref <= LOADER_LIMIT - k->init_size && place_claim(image, k->pref, k->init_size))
        return k->pref;
    return k->relocatable ? place_find(image, k->init_size, k->align) : 0;
}

/* Identity map of the first 4 GiB in 2M pages, below a 4-level root. Returns its address. */
static u64 build_page_table(struct writer *w)
{
    enum { P = 1, W = 2, PS = 0x80 };
    u64 root;
    u64 *table = writer_reserve(w, 6 * PAGE_SIZE, &root);
    u64 *pdpt = table + 512, *pd = table + 1024;

    table[0] = (root + PAGE_SIZE) | P | W;
    for (unsigned i = 0; i < 4; i++)
        pdpt[i] = (root + (2 + i) * PAGE_SIZE) | P | W;
    for (u64 i = 0; i < 4 * 512; i++)
        pd[i] = i * SIZE_2M | P | W | PS;
    return root;
}

/* The first 128 ranges go into boot_params, the rest behind it as setup_data. */
static void put_memory_map(struct writer *w, u8 *params)
{
    unsigned n;
    const struct boot_range *map = mem_guest_map(&n);
    struct e820_entry *to = (struct e820_entry *)(params + E820_TABLE);
    u64 gpa;

    loader_put(params, E820_ENTRIES, 1, MIN(n, (unsigned)E820_MAX));
    for (unsigned i = 0; i < n; i++) {
        if (i == E820_MAX) {
            u64 size = (n - i) * sizeof(*to);
            struct setup_data *more = writer_reserve(w, sizeof(*more) + size, &gpa);
            *more = (struct setup_data){ .type = SETUP_E820_EXT, .len = (u32)size };
            loader_put(params, SETUP_DATA, 8, gpa);
            to = (struct e820_entry *)(more + 1);
        }
        *to++ = (struct e820_entry){ map[i].base, map[i].size, (u32)map[i].type };
    }
}

static void put_gdt(struct writer *w, struct vcpu_start *start)
{
    u64 *gdt = writer_reserve(w, 4 * 8, &start->gdt_base);

    gdt[2] = 0x00af9b000000ffff; /* 0x10: 64-bit code */
    gdt[3] = 0x00cf93000000ffff; /* 0x18: data */
    start->gdt_limit = 4 * 8 - 1;
}

/* The kernel's own name for itself, "6.1.0-44-amd64 (...) #1 ...": its first word, for the log. */
static const char *version_string(const struct guest_file *k)
{
    static char text[48];
    u64 at = loader_field(k, KERNEL_VERSION, 2) + 0x200;
    unsigned i = 0;

    for (; i < sizeof(text) - 1; i++) {
        u64 c = loader_field(k, at + i, 1);
        if (c <= ' ' || c > '~')
            break;
        text[i] = (char)c;
    }
    text[i] = 0;
    return text;
}

static const char *load(struct guest_image *image, struct vcpu_start *start)
{
    const struct guest_file *file = &image->kernel, *initrd = &image->modules[0]; /* of size 0: none */
    u64 at = place_kernel(image);
    u64 limit = initrd->size ? kernel.initrd_max + 1 : LOADER_LIMIT;
    struct writer w;

    if (!at || !place_files(image, limit) || !writer_init(&w, image))
        return loader_no_room;
    u8 *params = writer_reserve(&w, PAGE_SIZE, &start->gpr[RSI]);
    start->cr3 = build_page_table(&w);
    put_gdt(&w, start);

    u64 header_end = MIN(loader_field(file, JUMP, 1) + 0x202, (u64)HEADER_ROOM);
    memcpy(params + SETUP_SECTS, loader_data(file) + SETUP_SECTS, header_end - SETUP_SECTS);
    loader_put(params, SETUP_DATA, 8, 0); /* the file's is none of ours */
    put_memory_map(&w, params);
    firmware_describe(&w, params, image->boot);
    loader_put(params, TYPE_OF_LOADER, 1, LOADER_UNDEFINED);
    loader_put(params, LOADFLAGS, 1, loader_field(file, LOADFLAGS, 1) | LOADED_HIGH);
    loader_put(params, CMD_LINE_PTR, 4, writer_string(&w, file->cmdline));
    loader_put(params, RAMDISK_IMAGE, 4, initrd->base);
    loader_put(params, RAMDISK_SIZE, 4, initrd->size);
    loader_put(params, ACPI_RSDP_ADDR, 8, image->rsdp);

    memmove(phys_to_virt(at), loader_data(file) + kernel.code_off, kernel.code_size);

    start->mode = START_LONG64;
    start->rip = at + ENTRY_64;
    log_info("guest        Linux %s at 0x%lx, %lu KiB; initrd %lu KiB", version_string(file), at,
             kernel.code_size >> 10, initrd->size >> 10);
    return NULL;
}

const struct guest_loader linux_loader = { "Linux bzImage", detect, parse, load };
