/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sluice's own address space.
 *
 *   IMAGE_VA   the region: image (W^X by section, guard pages below stacks), then the page pool (RW, NX)
 *   DIRECT_VA  the machine's RAM and ACPI memory except the region (RW, NX, write-back); before the move,
 *              the first 4 GiB
 *   MMIO_VA    device registers, mapped one by one (RW, NX, uncached)
 *
 * The virtual addresses do not depend on where the image lies in physical memory, so that moving it high
 * is a copy and a change of CR3.
 */
#ifndef ARCH_PAGING_H
#define ARCH_PAGING_H

#include "arch/types.h"
#include "boot/boot_info.h"

#define IMAGE_VA  0xffffffff80000000ull
#define DIRECT_VA 0xffff800000000000ull
#define MMIO_VA   0xffffff0000000000ull

/*
 * Copies the running image to `base` (2 MiB aligned, below 4 GiB, `size` a multiple of 2 MiB, clear of
 * [info->image_base, +image_size)), builds the final page tables there and switches to them; the stack and
 * all pointers into the image stay valid. `info` says what the direct map covers. refuse()s when `size` is
 * too small. Cost does not grow with memory where 1 GiB pages exist.
 */
void paging_relocate(u64 base, u64 size, const struct boot_info *info);

/* Tells phys_to_virt() where the image was loaded; before anything else of this header. */
void paging_early(u64 load_base);
u64 image_size(void);   /* bytes from IMAGE_VA, page-aligned; what a move copies */
u64 image_extent(void); /* with the pages of the first start behind it */

/* Makes those pages the pool, until the move. */
void paging_work(void);

/* Where the region lies (physical, bytes). Before paging_relocate() it is the image. */
u64 region_base(void);
u64 region_size(void);
bool in_region(u64 pa, u64 size); /* does [pa, pa+size) touch the region? wrapping counts as touching */

/*
 * Arithmetic only. Valid for RAM, ACPI memory and the region (which maps to its own mapping), and for what
 * direct_map() was asked for. virt_to_phys() takes no MMIO_VA address.
 */
void *phys_to_virt(u64 pa);
u64 virt_to_phys(const void *va);

/*
 * Makes phys_to_virt() of [pa, pa+size) valid where firmware keeps ordinary memory in ranges it calls
 * reserved (ACPI tables, BIOS areas). Cached: never for device registers. NULL when the range is not
 * addressable or the pool is exhausted.
 */
void *direct_map(u64 pa, u64 size) __must_check;

/* Maps [pa, pa+size) uncached. Boot only; NULL when the window is full, or, before the move, above 4 GiB. */
void *mmio_map(u64 pa, u64 size) __must_check;

/* The same for a moment, at any time: until the next call, which its users keep apart by a lock of their own.
 * The first call is at boot. */
volatile void *mmio_window(u64 pa);

/* The tables for a CPU that has just been started: to be copied from, to be switched to. */
const u64 *paging_root(void);
void paging_load(void);

/* Unmaps one page of the pool, for good: the guard below a stack. False: no memory for splitting. Boot only.
 */
bool paging_guard(const void *page) __must_check;

/* Pages of the pool. Zeroed, 4K-aligned; NULL when exhausted. Safe on all CPUs. */
void *page_alloc(void) __must_check;
void page_free(void *page);
void *pages_alloc(size_t count) __must_check; /* contiguous; boot only, never freed */
size_t pages_available(void);
void pages_init(u64 start, u64 end); /* the pool: virtual, page-aligned; for paging.c */

#endif
