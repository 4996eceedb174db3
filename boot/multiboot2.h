/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The multiboot2 boot information as far as Sluice reads it (Multiboot2 specification, 3.6).
 */
#ifndef BOOT_MULTIBOOT2_H
#define BOOT_MULTIBOOT2_H

#include "boot/boot_info.h"

struct mb2_header {
    u32 total_size; /* bytes, this header included */
    u32 reserved;
};

/* Tags start 8-byte aligned. */
struct mb2_tag {
    u32 type;
    u32 size; /* bytes, without the padding behind it */
};

enum mb2_tag_type {
    MB2_TAG_END = 0,
    MB2_TAG_CMDLINE = 1,     /* string */
    MB2_TAG_LOADER_NAME = 2, /* string */
    MB2_TAG_MODULE = 3,      /* struct mb2_module, string */
    MB2_TAG_MMAP = 6,        /* struct mb2_mmap, entries */
    MB2_TAG_EFI64 = 12,      /* u64: EFI system table */
    MB2_TAG_EFI_MMAP = 17,   /* struct mb2_efi_mmap, entries as EFI gave them */
};

struct mb2_module {
    u32 start, end; /* physical; end = first byte behind */
};

struct mb2_efi_mmap {
    u32 entry_size;
    u32 entry_version;
};

struct mb2_mmap {
    u32 entry_size; /* may be more than we know */
    u32 entry_version;
};

struct mb2_mmap_entry {
    u64 base, length;
    u32 type;
    u32 reserved;
};
_Static_assert(sizeof(struct mb2_mmap_entry) == 24, "Multiboot2 3.6.8");

/* No loader needs more for what it tells us. */
#define MB2_MAX_SIZE (1u << 20)

/*
 * Fills *out (all of it except image_base and image_size; ranges in order) from the boot information of
 * `size` bytes. Touches nothing outside. 0, or ERR_INVAL when it contradicts itself; what is well-formed but
 * more than we hold sets the *_cut flags.
 */
int multiboot2_parse(const void *mbi, size_t size, struct boot_info *out) __must_check;

#endif
