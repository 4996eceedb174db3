/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sluice's page tables, and the move to the region.
 */
#include "arch/paging.h"
#include "arch/cpu.h"
#include "arch/log.h"
#include "arch/logring.h"
#include "arch/percpu.h"
#include "arch/string.h"
#include "arch/x86.h"

#define PTE_W BIT(1)

#define MAP_TEXT   0
#define MAP_RODATA PTE_NX
#define MAP_DATA   (PTE_NX | PTE_W)
#define MAP_MMIO   (PTE_NX | PTE_W | PTE_PCD | PTE_PWT) /* PAT entry 3: uncached, see arch/percpu.c */

/* Half of the 2 GiB that -mcmodel=kernel reaches; more makes no sense. */
#define REGION_MAX (1ull << 30)
#define MMIO_SIZE  (1ull << 39) /* what one entry of the top table maps */

extern const u8 image_text[], image_text_end[], image_rodata[], image_rodata_end[], image_data[],
    image_data_end[], image_end[], image_work[], image_work_end[];

void switch_space(void *dst, const void *src, u64 size, u64 cr3);

static struct {
    u64 base, size; /* where IMAGE_VA leads */
} region_at;
static u64 root;      /* physical address of the top table; 0 until the move */
static u64 next_free; /* physical; where tables come from until the move, afterwards the pool's start */
static u64 region_end;
static u64 next_mmio = MMIO_VA;
static u64 phys_top;      /* first address the CPU cannot form */
static unsigned max_leaf; /* 3 where the CPU has 1 GiB pages, else 2 */
static struct spinlock lock;

u64 image_size(void)
{
    return (u64)image_end - IMAGE_VA;
}

u64 image_extent(void)
{
    return (u64)image_work_end - IMAGE_VA;
}

void paging_work(void)
{
    pages_init((u64)image_work, (u64)image_work_end);
}

void paging_early(u64 load_base)
{
    u32 r[4];

    region_at.base = load_base;
    region_at.size = image_extent();
    cpuid(0x80000001, 0, r);
    max_leaf = r[3] & BIT(26) ? 3 : 2;
    phys_top = BIT(cpu_phys_bits());
}

u64 region_base(void)
{
    return region_at.base;
}

u64 region_size(void)
{
    return region_at.size;
}

bool in_region(u64 pa, u64 size)
{
    if (size && pa + (size - 1) < pa)
        return true;
    return ranges_overlap(pa, size, region_at.base, region_at.size);
}

void *phys_to_virt(u64 pa)
{
    return (void *)(pa - region_at.base < region_at.size ? IMAGE_VA + (pa - region_at.base) : DIRECT_VA + pa);
}

u64 virt_to_phys(const void *va)
{
    u64 v = (u64)va;

    return v >= IMAGE_VA ? region_at.base + (v - IMAGE_VA) : v - DIRECT_VA;
}

/* A zeroed table, 0 = no memory. */
static u64 table_alloc(void)
{
    if (root) {
        void *page = page_alloc();

        return page ? virt_to_phys(page) : 0;
    }
    if (region_end - next_free < PAGE_SIZE)
        return 0;
    u64 pa = next_free;
    next_free += PAGE_SIZE;
    memset(phys_to_virt(pa), 0, PAGE_SIZE);
    return pa;
}

static u64 *table_entry(u64 table, u64 va, unsigned level)
{
    return (u64 *)phys_to_virt(table) + (va >> (PAGE_SHIFT + 9 * (level - 1)) & 511);
}

/*
 * Maps [va, va+size) to [pa, pa+size), all 4K-aligned, with the largest pages that fit. What is mapped
 * already stays as it is: ranges may touch each other's pages. False: out of memory, or above phys_top.
 */
static bool map(u64 top, u64 va, u64 pa, u64 size, u64 flags)
{
    if (pa >= phys_top || size > phys_top - pa)
        return false;
    while (size) {
        u64 table = top, span;

        for (unsigned level = 4;; level--) {
            u64 *entry = table_entry(table, va, level);

            span = 1ull << (PAGE_SHIFT + 9 * (level - 1));
            if (!(*entry & PTE_P)) {
                if (level <= max_leaf && is_aligned(va | pa, span) && size >= span) {
                    *entry = pa | flags | PTE_P | (level > 1 ? PTE_PS : 0);
                    break;
                }
                u64 next = table_alloc();
                if (!next)
                    return false;
                *entry = next | PTE_P | PTE_W;
            } else if (level == 1 || *entry & PTE_PS) {
                break;
            }
            table = *entry & PTE_ADDR;
        }
        u64 step = MIN(size, span - (va & (span - 1)));
        va += step;
        pa += step;
        size -= step;
    }
    return true;
}

/* The part of firmware's map that is memory in every sense. */
static bool is_memory(enum boot_mem_type type)
{
    return type == BOOT_MEM_RAM || type == BOOT_MEM_ACPI || type == BOOT_MEM_NVS;
}

static bool map_direct(u64 top, u64 start, u64 end)
{
    return start >= end || map(top, DIRECT_VA + start, start, end - start, MAP_DATA);
}

/* All memory but the region, in whole pages. */
static bool map_memory(u64 top, u64 base, u64 size, const struct boot_info *info)
{
    unsigned i = 0;

    while (i < info->nr_ranges) {
        if (!is_memory(info->ranges[i].type)) {
            i++;
            continue;
        }
        /* Neighbours are joined, so that the seam between RAM and ACPI memory costs no small pages. */
        u64 start = align_down(info->ranges[i].base, PAGE_SIZE), end = start;
        for (; i < info->nr_ranges && is_memory(info->ranges[i].type) &&
               align_down(info->ranges[i].base, PAGE_SIZE) <= end;
             i++)
            end = align_up(info->ranges[i].base + info->ranges[i].size, PAGE_SIZE);

        end = MIN(end, phys_top);
        if (!map_direct(top, start, MIN(end, base)) || !map_direct(top, MAX(start, base + size), end))
            return false;
    }
    return true;
}

static bool map_image(u64 top, u64 base, const u8 *start, const u8 *end, u64 flags)
{
    return start >= end || map(top, (u64)start, base + ((u64)start - IMAGE_VA), (u64)(end - start), flags);
}

/* The image's writable part without the pages below the boot CPU's stacks. */
static bool map_data(u64 top, u64 base)
{
    const u8 *start = image_data;

    for (unsigned i = 0; i < NR_STACKS; i++) {
        const u8 *guard = stack_guard_page(&cpu0_stacks, i);

        if (!map_image(top, base, start, guard, MAP_DATA))
            return false;
        start = guard + PAGE_SIZE;
    }
    return map_image(top, base, start, image_data_end, MAP_DATA);
}

static bool build(u64 top, u64 base, u64 size, const struct boot_info *info)
{
    u64 used = image_size();

    return map_image(top, base, image_text, image_text_end, MAP_TEXT) &&
           map_image(top, base, image_rodata, image_rodata_end, MAP_RODATA) && map_data(top, base) &&
           map(top, IMAGE_VA + used, base + used, size - used, MAP_DATA) && map_memory(top, base, size, info);
}

void paging_relocate(u64 base, u64 size, const struct boot_info *info)
{
    if (size > REGION_MAX)
        refuse("Sluice can use %llu MiB at most; give it less with mem=", REGION_MAX >> 20);
    ASSERT(!root && is_aligned(base | size, SIZE_2M));
    ASSERT(base < BIT(32) && size <= BIT(32) - base && !in_region(base, size));

    next_free = base + image_size() + LOG_RING_SIZE;
    region_end = base + size;
    u64 top = size > image_size() + LOG_RING_SIZE ? table_alloc() : 0;
    if (!top || !build(top, base, size, info))
        refuse("%llu KiB are too little for Sluice itself; give it more with mem=",
               (unsigned long long)(size >> 10));

    /* The tables were written through the old mapping; from here on all is as it will be after the switch. */
    u64 old = region_at.base;
    region_at.base = base;
    region_at.size = size;
    root = top;
    pages_init(IMAGE_VA + (next_free - base), IMAGE_VA + size);
    switch_space((void *)(DIRECT_VA + base), (const void *)(DIRECT_VA + old), image_size(), top);
    log_ring_attach((void *)(IMAGE_VA + image_size()));
}

void *direct_map(u64 pa, u64 size)
{
    u64 start = align_down(pa, PAGE_SIZE);

    if (!size || pa >= phys_top || size > phys_top - pa || in_region(pa, size))
        return NULL;
    if (!root)
        return pa + size <= BIT(32) ? phys_to_virt(pa) : NULL;
    spin_lock(&lock);
    bool mapped = map_direct(root, start, align_up(pa + size, PAGE_SIZE));
    spin_unlock(&lock);
    return mapped ? phys_to_virt(pa) : NULL;
}

void *mmio_map(u64 pa, u64 size)
{
    u64 start = align_down(pa, PAGE_SIZE), length = align_up(pa + size, PAGE_SIZE) - start;
    void *va = NULL;

    if (!size || pa >= phys_top || size > phys_top - pa || in_region(pa, size))
        return NULL;
    if (!root) /* what firmware says in its MTRRs makes it uncached */
        return pa + size <= BIT(32) ? phys_to_virt(pa) : NULL;
    spin_lock(&lock);
    /* Congruent to the physical address, so that large windows get large pages. */
    u64 at = length >= SIZE_2M ? align_up(next_mmio, SIZE_2M) + (start & (SIZE_2M - 1)) : next_mmio;
    if (at + length <= MMIO_VA + MMIO_SIZE && map(root, at, start, length, MAP_MMIO)) {
        /* A page stays free between two windows. */
        next_mmio = at + length + PAGE_SIZE;
        va = (void *)(at + (pa - start));
    }
    spin_unlock(&lock);
    return va;
}

/* The entry of one 4K page; a large page around it is split. NULL: no memory for that. */
static u64 *small_entry(u64 va)
{
    u64 table = root;

    for (unsigned level = 4; level > 1; level--) {
        u64 *entry = table_entry(table, va, level);

        if (*entry & PTE_PS) {
            /* The small pages first, complete, then the entry that leads to them. */
            u64 small = table_alloc(), step = 1ull << (PAGE_SHIFT + 9 * (level - 2));

            if (!small)
                return NULL;
            for (u64 i = 0; i < 512; i++)
                ((u64 *)phys_to_virt(small))[i] = (*entry & ~(level == 2 ? PTE_PS : 0)) + i * step;
            *entry = small | PTE_P | PTE_W;
        }
        table = *entry & PTE_ADDR;
    }
    return table_entry(table, va, 1);
}

volatile void *mmio_window(u64 pa)
{
    static u64 *entry;
    static u8 *va;

    if (!entry) {
        va = mmio_map(align_down(pa, PAGE_SIZE), PAGE_SIZE);
        if (!va)
            refuse("too little memory for a window to devices; give more with mem=");
        entry = small_entry((u64)va);
    }
    /* What this CPU saw here last may be of another page, and so may be what others did: each looks anew. */
    *entry = align_down(pa, PAGE_SIZE) | MAP_MMIO | PTE_P;
    __asm__ volatile("invlpg (%0)" ::"r"(va) : "memory");
    return va + pa % PAGE_SIZE;
}

const u64 *paging_root(void)
{
    return phys_to_virt(root);
}

void paging_load(void)
{
    __asm__ volatile("mov %0, %%cr3" ::"r"(root) : "memory");
}

bool paging_guard(const void *page)
{
    spin_lock(&lock);
    u64 *entry = small_entry((u64)page);
    if (entry)
        *entry = 0;
    __asm__ volatile("invlpg (%0)" ::"r"(page) : "memory");
    spin_unlock(&lock);
    return entry;
}
