/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every way of booting ends in: one struct that owns all it names. Nothing in it points into memory
 * that the guest will own later, except the modules themselves.
 */
#ifndef BOOT_BOOT_INFO_H
#define BOOT_BOOT_INFO_H

#include "arch/string.h"
#include "arch/types.h"

#define BOOT_MAX_RANGES  256
#define BOOT_MAX_MODULES 64
#define BOOT_CMDLINE_MAX 2048
#define BOOT_EFI_MAP_MAX 49152

#define BOOT_BY_EFI 0x45464953 /* what multiboot2.asm passes on for the EFI application */

/* Values are those of ACPI's address-range types (E820), so that loaders can pass them on. */
enum boot_mem_type {
    BOOT_MEM_RAM = 1,
    BOOT_MEM_RESERVED = 2,
    BOOT_MEM_ACPI = 3,
    BOOT_MEM_NVS = 4,
    BOOT_MEM_BAD = 5,
};

/* Bytes; need not be page-aligned; sorted by base and not overlapping once boot_info is complete. */
struct boot_range {
    u64 base;
    u64 size;
    enum boot_mem_type type;
};

struct boot_module {
    u64 base; /* physical */
    u64 size; /* bytes */
    bool cmdline_cut;
    char cmdline[BOOT_CMDLINE_MAX];
};

/*
 * EFI's memory map as it was when boot services ended, for the guest's runtime services (UEFI 7.2). An entry
 * may be longer than what this version of the specification defines.
 */
struct boot_efi_map {
    u32 size;       /* bytes in use, 0 = none */
    u32 entry_size; /* bytes */
    u32 version;
    u8 bytes[BOOT_EFI_MAP_MAX] __attribute__((aligned(8)));
};

/* UEFI 7.2, the part that every version has. */
struct boot_efi_entry {
    u32 type, pad;
    u64 start;
    u64 virtual_start;
    u64 pages;
    u64 attributes;
};
_Static_assert(sizeof(struct boot_efi_entry) == 40, "EFI_MEMORY_DESCRIPTOR");
#define EFI_RESERVED     0
#define EFI_CONVENTIONAL 7

/* Entry `i` of the map. False: there are no more. */
static inline bool boot_efi_entry(const struct boot_efi_map *map, u32 i, struct boot_efi_entry *e)
{
    if (map->entry_size < sizeof(*e) || i >= map->size / map->entry_size)
        return false;
    memcpy(e, map->bytes + i * map->entry_size, sizeof(*e));
    return true;
}

/* A linear frame buffer of 32 bits a pixel, as firmware left it. */
struct boot_framebuffer {
    u64 base; /* physical, 0 = none */
    u64 size; /* bytes */
    u32 width, height;
    u32 pitch;                    /* bytes from line to line */
    u8 red_at, green_at, blue_at; /* lowest bit of each 8-bit field */
};

struct boot_info {
    const char *path;               /* how we were started, for the boot line: "multiboot2" or "EFI" */
    char loader[64];                /* the boot loader's own name */
    char cmdline[BOOT_CMDLINE_MAX]; /* Sluice's */
    bool cmdline_cut;               /* it did not fit: refuse, never run with half of it */
    u64 rsdp;                       /* physical address of ACPI's RSDP, 0 = not given by the loader */
    u64 efi_system_table;           /* physical, 0 = not started by EFI firmware */
    struct boot_efi_map efi_map;
    struct boot_framebuffer framebuffer;
    u64 image_base;     /* where the image runs until paging_relocate(): */
    u64 image_size;     /* the region must lie elsewhere */
    u64 start_tsc;      /* at Sluice's first instruction */
    u64 shut_out_ticks; /* from there until devices were shut out; 0 = they were not */
    unsigned nr_ranges;
    struct boot_range ranges[BOOT_MAX_RANGES];
    bool ranges_cut;
    unsigned nr_modules;
    struct boot_module modules[BOOT_MAX_MODULES];
    bool modules_cut;
};

#endif
