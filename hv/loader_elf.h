/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF files, 32 and 64 bits, that run at the physical addresses in their program headers: what the PVH and
 * the multiboot loaders have in common.
 */
#ifndef HV_LOADER_ELF_H
#define HV_LOADER_ELF_H

#include "hv/loader.h"

#define ELF_MAGIC    0x464c457f
#define MAX_SEGMENTS 32

struct segment {
    u64 off, filesz, vaddr, paddr, memsz;
};

struct elf {
    unsigned nr_segments;
    struct segment segments[MAX_SEGMENTS];
    u64 entry;     /* where the header's entry lies in physical memory, 0 = nowhere */
    u64 pvh_entry; /* 0 = no such note */
};

/* NULL, or what is wrong with the file. */
const char *elf_parse(const struct guest_file *file, struct elf *out);

/* Is its entry an address that the file fills? */
bool elf_entry_filled(const struct elf *elf);

/*
 * What all loaders of such files do: puts the segments where they want to be, has the guest told the rest by
 * tell(), whose first word EBX will point to, and makes it start at its entry in 32-bit mode. NULL, or what
 * is wrong.
 */
const char *elf_load(const struct elf *elf, struct guest_image *image, struct vcpu_start *start,
                     const char *protocol, void (*tell)(struct writer *w, const struct guest_image *image));

/* The guest's memory map as PVH and multiboot2 have it: one for each range of mem_guest_map(). */
struct map_entry {
    u64 base, size;
    u32 type, reserved;
};
void fill_map(struct map_entry *to);

#endif
