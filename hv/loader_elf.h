/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF files, 32 and 64 bits, that run at the physical addresses in their program headers: what the PVH and
 * the multiboot loaders have in common.
 */
#ifndef HV_LOADER_ELF_H
#define HV_LOADER_ELF_H

#include "hv/loader.h"

#define ELF_MAGIC    0x464c457f
#define ELF_LIMIT    BIT(32) /* guests that start in 32-bit mode, and all that is for them, lie below */
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

/* Is this physical address one that the file fills? */
bool elf_filled(const struct elf *elf, u64 at);

/* Takes the memory that the segments ask for and moves the files out of it. NULL, or what is wrong. */
const char *elf_place(const struct elf *elf, struct place *place, struct guest_image *image) __must_check;

/* Copies the segments and makes the guest start at `entry` in 32-bit mode. False: no room. */
bool elf_start(const struct elf *elf, struct place *place, const struct guest_image *image, u64 entry,
               struct vcpu_start *start) __must_check;

/* The guest's memory map; it stays until the next call. */
const struct boot_range *loader_map(unsigned *n);

/* As PVH and multiboot2 have it. */
struct map_entry {
    u64 base, size;
    u32 type, reserved;
};
void fill_map(struct map_entry *to); /* one for each range of loader_map() */

/* What a guest is told is written from front to back into one piece of its memory. */
struct writer {
    u8 *page;
    u64 gpa;
    u64 at;
};
/* Room for all that the image's strings, its modules and the memory map take. False: none left. */
bool writer_init(struct writer *w, struct place *place, const struct guest_image *image) __must_check;
void *writer_reserve(struct writer *w, u64 size, u64 *gpa);
u32 writer_string(struct writer *w, const char *text); /* returns its address */

extern const char loader_no_room[];

#endif
