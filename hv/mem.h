/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who owns each page. Guest-physical = host-physical, so ownership is all there is to say about an address.
 * The map is built at boot from firmware's memory map, ACPI and PCI; only BAR moves change it later.
 */
#ifndef HV_MEM_H
#define HV_MEM_H

#include "arch/types.h"
#include "boot/boot_info.h"

enum mem_owner {
    MEM_GUEST_RAM, /* CPU and DMA */
    MEM_RMRR,      /* firmware's DMA regions: CPU as firmware's map says, DMA */
    MEM_BAR,       /* device BAR apertures: CPU and DMA (peer to peer) */
    MEM_DEVICE,    /* any other address: CPU only, never DMA (ECAM, IOAPIC, HPET, TPM, flash, SMRAM, holes) */
    MEM_SLUICE,    /* the region: neither */
    MEM_UNIT,      /* a VT-d register window: trapped, never DMA */
};

/* Chooses the region: `size` bytes, 2M-aligned, as high as possible in RAM below 4G and clear of every
 * module. 0 = there is no such place. */
u64 mem_choose_region(const struct boot_info *info, u64 size);

/* After paging_relocate(): carves the region out of firmware's map. */
int mem_init(const struct boot_info *info) __must_check;
int mem_declare(u64 base, u64 size, enum mem_owner owner) __must_check;
void mem_forget(u64 base, u64 size, enum mem_owner owner);

enum mem_owner mem_owner(u64 pa);

/* How many bytes from pa on have the same owner (at least 1; up to 2^52 - pa). */
u64 mem_extent(u64 pa, enum mem_owner *owner);

/* Is all of [pa, pa+size) guest RAM? False when it wraps. size 0 is false. */
bool mem_is_guest_ram(u64 pa, u64 size);

/* First byte above all RAM. */
u64 mem_ram_top(void);

/* The map the guest is shown: the region is BOOT_MEM_RESERVED. */
unsigned mem_guest_map(struct boot_range *out, unsigned max);

#endif
