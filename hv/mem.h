/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who owns each page. Guest-physical = host-physical, so ownership is all there is to say about an address.
 * The map is built at boot from firmware's memory map, ACPI and PCI; only BAR moves change it later.
 */
#ifndef HV_MEM_H
#define HV_MEM_H

#include "arch/types.h"
#include "boot/boot_info.h"

/* Ascending: where declarations overlap, the highest decides. DMA reaches RAM, RMRRs and BARs, nothing else.
 */
enum mem_owner {
    MEM_HOLE,      /* declared by nobody: CPU only */
    MEM_BAR,       /* device BAR apertures: CPU and DMA (peer to peer) */
    MEM_FIRMWARE,  /* what firmware's map keeps for itself: CPU only */
    MEM_RMRR,      /* firmware's DMA regions: CPU as firmware's map says, DMA */
    MEM_GUEST_RAM, /* CPU and DMA */
    MEM_DEVICE,    /* devices at fixed addresses: CPU only (ECAM, IOAPIC, HPET, TPM, flash, SMRAM) */
    MEM_UNIT,      /* a VT-d register window: trapped, never DMA */
    MEM_SLUICE,    /* the region: neither */
    MEM_OWNERS,
};

/* A place for `size` bytes in the RAM of a sorted map, as high as possible between floor and limit, clear of
 * what is busy. 0 = there is none. */
u64 mem_highest(const struct boot_range *map, unsigned n, const struct boot_range *busy, unsigned nr_busy,
                u64 size, u64 align, u64 floor, u64 limit);

/* Chooses the region: `size` bytes, 2M-aligned, as high as possible in RAM below 4G and clear of every
 * module and of the running image. 0 = there is no such place. */
u64 mem_choose_region(const struct boot_info *info, u64 size);

/* region.c: the region's base by `mem=` and firmware's map, *size in bytes; refuse()s when the machine is too
 * small. Also part of the EFI application, which must refuse while firmware can still go on. */
u64 region_choose(const struct boot_info *info, u64 *size);

/* Bytes of RAM in firmware's map. */
u64 mem_ram_bytes(const struct boot_info *info);

/* After paging_relocate(): builds the map from firmware's, with the region carved out. */
int mem_init(const struct boot_info *info) __must_check;

/*
 * Bounds are widened to whole pages. A range may be declared more than once and is then forgotten as often.
 * ERR_INVAL when it wraps, ERR_NOSPC when the table is full; then nothing has changed.
 */
int mem_declare(u64 base, u64 size, enum mem_owner owner) __must_check;
void mem_forget(u64 base, u64 size, enum mem_owner owner);

/* How many bytes from pa on have the same owner (at least 1; up to 2^52 - pa). Fast: a binary search. */
u64 mem_extent(u64 pa, enum mem_owner *owner);

/* Is all of [pa, pa+size) guest RAM? False when it wraps. size 0 is false. */
bool mem_is_guest_ram(u64 pa, u64 size);

/*
 * The largest pieces of guest RAM, below 4G and above, where nearly every address asked for lies: the number
 * of pages (63:32) and the first one (31:0) in one word, which is read at once and needs no lock.
 */
extern volatile u64 mem_large[2];

static inline bool mem_in_large(u64 pa)
{
    u64 piece = mem_large[pa >= BIT(32)];

    return (pa >> PAGE_SHIFT) - (u32)piece < piece >> 32;
}

/* How many bytes from pa on lie in that piece; 0: it does not lie in one. */
static inline u64 mem_large_left(u64 pa)
{
    u64 piece = mem_large[pa >= BIT(32)], page = (pa >> PAGE_SHIFT) - (u32)piece;

    return page < piece >> 32 ? (((piece >> 32) - page) << PAGE_SHIFT) - (pa & (PAGE_SIZE - 1)) : 0;
}

/* Does [pa, pa+size), widened to whole pages, touch what nothing may be moved over: the region, a unit, or a
 * declared MEM_DEVICE? True when it wraps. */
bool mem_is_fixed(u64 pa, u64 size);

/* The map the guest is shown: the region is BOOT_MEM_RESERVED. Sorted; *n ranges, which stay until the next
 * call. */
const struct boot_range *mem_guest_map(unsigned *n);

#endif
