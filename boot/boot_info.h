/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every way of booting ends in: one struct that owns all it names. Nothing in it points into memory
 * that the guest will own later, except the modules themselves.
 */
#ifndef BOOT_BOOT_INFO_H
#define BOOT_BOOT_INFO_H

#include "arch/types.h"

#define BOOT_MAX_RANGES  256
#define BOOT_MAX_MODULES 16
#define BOOT_CMDLINE_MAX 2048

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

struct boot_info {
    const char *path;               /* how we were started, for the boot line: "multiboot2" or "EFI" */
    char loader[64];                /* the boot loader's own name */
    char cmdline[BOOT_CMDLINE_MAX]; /* Sluice's */
    bool cmdline_cut;               /* it did not fit: refuse, never run with half of it */
    u64 rsdp;                       /* physical address of ACPI's RSDP, 0 = not given by the loader */
    u64 efi_system_table;           /* physical, 0 = not started by EFI firmware */
    u64 image_base;                 /* where the image runs until paging_relocate(): */
    u64 image_size;                 /* the region must lie elsewhere */
    unsigned nr_ranges;
    struct boot_range ranges[BOOT_MAX_RANGES];
    bool ranges_cut;
    unsigned nr_modules;
    struct boot_module modules[BOOT_MAX_MODULES];
    bool modules_cut;
};

#endif
