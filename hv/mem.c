/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ownership of physical addresses: declarations are kept as sorted edges, and every change sweeps them into
 * spans of one owner each, so that a look-up, which is hot, is one binary search.
 */
#include "hv/mem.h"
#include "arch/cpu.h"
#include "arch/paging.h"

#define MEM_END   BIT(52) /* no x86 CPU addresses more */
#define MAX_EDGES 2048

struct edge {
    u64 at;
    u8 owner;
    int open; /* 1: opens, -1: closes */
};
struct span {
    u64 base; /* up to the next span's */
    u8 owner;
};

static struct edge edges[MAX_EDGES];
static unsigned nr_edges;
static struct span spans[MAX_EDGES + 1];
static unsigned nr_spans;
volatile u64 mem_large[2];
static const struct boot_info *firmware;

/* Look-ups take no lock: they repeat when a writer was at work meanwhile (odd = at work now). */
static volatile u32 generation;
static struct spinlock writers;

static void rebuild(void)
{
    int open[MEM_OWNERS] = { 1 }; /* MEM_HOLE is open everywhere */
    unsigned e = 0, n = 0;
    u64 at = 0;

    __atomic_store_n(&generation, generation + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (;;) {
        for (; e < nr_edges && edges[e].at == at; e++)
            open[edges[e].owner] += edges[e].open;
        u8 top = MEM_OWNERS - 1;
        while (!open[top])
            top--;
        if (at < MEM_END && (!n || spans[n - 1].owner != top))
            spans[n++] = (struct span){ at, top };
        if (e == nr_edges)
            break;
        at = edges[e].at;
    }
    nr_spans = n;
    mem_large[0] = mem_large[1] = 0;
    for (unsigned i = 0; i < n; i++) {
        u64 base = spans[i].base, end = i + 1 < n ? spans[i + 1].base : MEM_END;
        u64 pages = MIN((end - base) >> PAGE_SHIFT, MASK(31, 0));
        volatile u64 *large = &mem_large[base >= BIT(32)];

        if (spans[i].owner == MEM_GUEST_RAM && base < BIT(32 + PAGE_SHIFT) && pages > *large >> 32)
            *large = pages << 32 | base >> PAGE_SHIFT;
    }
    __atomic_store_n(&generation, generation + 1, __ATOMIC_RELEASE);
}

static void edge_insert(u64 at, u8 owner, int open)
{
    unsigned i = nr_edges++;

    for (; i && edges[i - 1].at > at; i--)
        edges[i] = edges[i - 1];
    edges[i] = (struct edge){ at, owner, open };
}

static struct edge *edge_find(u64 at, u8 owner, int open)
{
    for (unsigned i = 0; i < nr_edges && edges[i].at <= at; i++)
        if (edges[i].at == at && edges[i].owner == owner && edges[i].open == open)
            return &edges[i];
    return NULL;
}

static void edge_remove(struct edge *edge)
{
    nr_edges--;
    for (; edge < &edges[nr_edges]; edge++)
        edge[0] = edge[1];
}

/* Widens to whole pages and cuts at MEM_END. False: nothing is left, or it wraps. */
static bool whole_pages(u64 *base, u64 *end, u64 size)
{
    u64 from = align_down(*base, PAGE_SIZE);

    if (!size || *base + (size - 1) < *base || from >= MEM_END)
        return false;
    *end = MIN(align_down(*base + (size - 1), PAGE_SIZE), MEM_END - PAGE_SIZE) + PAGE_SIZE;
    *base = from;
    return true;
}

static int declare(u64 base, u64 size, u8 owner)
{
    u64 end;

    if (!whole_pages(&base, &end, size))
        return ERR_INVAL;
    if (nr_edges + 2 > MAX_EDGES)
        return ERR_NOSPC;
    edge_insert(base, owner, 1);
    edge_insert(end, owner, -1);
    return 0;
}

int mem_declare(u64 base, u64 size, enum mem_owner owner)
{
    spin_lock(&writers);
    int err = declare(base, size, owner);
    if (!err)
        rebuild();
    spin_unlock(&writers);
    return err;
}

void mem_forget(u64 base, u64 size, enum mem_owner owner)
{
    u64 end;

    if (!whole_pages(&base, &end, size))
        return;
    spin_lock(&writers);
    struct edge *opens = edge_find(base, owner, 1), *closes = edge_find(end, owner, -1);
    if (opens && closes) {
        edge_remove(closes); /* which lies behind the other, and so does not move it */
        edge_remove(opens);
        rebuild();
    }
    spin_unlock(&writers);
}

/* The span that holds pa < MEM_END. Only its index is trusted by the caller while a writer may be at work. */
static unsigned span_of(u64 pa)
{
    unsigned low = 0, high = MIN(nr_spans, MAX_EDGES + 1u);

    while (high - low > 1) {
        unsigned mid = low + (high - low) / 2;
        if (spans[mid].base <= pa)
            low = mid;
        else
            high = mid;
    }
    return low;
}

static u32 read_begin(void)
{
    u32 seen;

    while ((seen = __atomic_load_n(&generation, __ATOMIC_ACQUIRE)) & 1)
        cpu_pause();
    return seen;
}

static bool read_again(u32 seen)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&generation, __ATOMIC_RELAXED) != seen;
}

u64 mem_extent(u64 pa, enum mem_owner *owner)
{
    u64 end, left = mem_large_left(pa);
    u32 seen;

    *owner = MEM_GUEST_RAM;
    if (left)
        return left;
    if (pa >= MEM_END) {
        *owner = MEM_HOLE;
        return -pa; /* up to 2^64 */
    }
    do {
        seen = read_begin();
        unsigned i = span_of(pa);
        *owner = spans[i].owner;
        end = i + 1 < nr_spans ? spans[i + 1].base : MEM_END;
    } while (read_again(seen));
    return end - pa;
}

bool mem_is_guest_ram(u64 pa, u64 size)
{
    enum mem_owner owner;

    return size && mem_extent(pa, &owner) >= size && owner == MEM_GUEST_RAM;
}

bool mem_is_fixed(u64 pa, u64 size)
{
    u64 base = pa, end;
    bool fixed;
    u32 seen;

    if (!size || pa + (size - 1) < pa)
        return size != 0;
    if (!whole_pages(&base, &end, size))
        return false;
    do {
        seen = read_begin();
        fixed = false;
        for (unsigned i = span_of(base); i < nr_spans && spans[i].base < end; i++)
            fixed |= spans[i].owner >= MEM_DEVICE;
    } while (read_again(seen));
    return fixed;
}

u64 mem_ram_bytes(const struct boot_info *info)
{
    u64 sum = 0;

    for (unsigned i = 0; i < info->nr_ranges; i++)
        if (info->ranges[i].type == BOOT_MEM_RAM)
            sum += info->ranges[i].size;
    return sum;
}

/* The base of the first of `busy` that lies in [base, base+size), 0 = none. */
static u64 in_the_way(const struct boot_range *busy, unsigned nr_busy, u64 base, u64 size)
{
    for (unsigned i = 0; i < nr_busy; i++)
        if (ranges_overlap(base, size, busy[i].base, busy[i].size))
            return busy[i].base;
    return 0;
}

u64 mem_highest(const struct boot_range *map, unsigned n, const struct boot_range *busy, unsigned nr_busy,
                u64 size, u64 align, u64 floor, u64 limit)
{
    u64 best = 0;

    for (unsigned i = 0; i < n; i++) {
        u64 lowest = MAX(map[i].base, floor), end = MIN(map[i].base + map[i].size, limit);

        /* Each thing in the way moves the end below itself, so it is in the way only once. */
        while (map[i].type == BOOT_MEM_RAM && end >= size && align_down(end - size, align) >= lowest) {
            u64 base = align_down(end - size, align);

            end = in_the_way(busy, nr_busy, base, size);
            if (!end)
                best = MAX(best, base);
        }
    }
    return best;
}

u64 mem_choose_region(const struct boot_info *info, u64 size)
{
    struct boot_range busy[1 + BOOT_MAX_MODULES];

    busy[0] = (struct boot_range){ .base = info->image_base, .size = info->image_size };
    for (unsigned i = 0; i < info->nr_modules; i++)
        busy[1 + i] = (struct boot_range){ .base = info->modules[i].base, .size = info->modules[i].size };
    /* Low memory is the guest's to boot with. */
    return mem_highest(info->ranges, info->nr_ranges, busy, 1 + info->nr_modules, size, SIZE_2M, SIZE_2M,
                       BIT(32));
}

int mem_init(const struct boot_info *info)
{
    int err = 0;

    firmware = info;
    nr_edges = 0;
    for (unsigned i = 0; i < info->nr_ranges && !err; i++) {
        const struct boot_range *r = &info->ranges[i];
        /* The guest reuses ACPI's reclaimable memory as RAM once it has read the tables. */
        bool ram = r->type == BOOT_MEM_RAM || r->type == BOOT_MEM_ACPI;
        u64 base = r->base, size = r->size;
        if (ram) {
            /* A page that is only partly RAM is not RAM; widening is for everything else. */
            base = align_up(r->base, PAGE_SIZE);
            u64 end = align_down(r->base + r->size, PAGE_SIZE);
            size = end > base ? end - base : 0;
        }
        if (size && base < MEM_END)
            err = declare(base, size, ram ? MEM_GUEST_RAM : MEM_FIRMWARE);
    }
    if (!err)
        err = declare(region_base(), region_size(), MEM_SLUICE);
    rebuild();
    return err;
}

const struct boot_range *mem_guest_map(unsigned *n)
{
    static struct boot_range map[BOOT_MAX_RANGES + 2];
    u64 ours = region_base(), ours_end = ours + region_size();
    bool placed = false;

    *n = 0;
    for (unsigned i = 0; i < firmware->nr_ranges; i++) {
        const struct boot_range *r = &firmware->ranges[i];
        u64 base = r->base, end = r->base + r->size;
        struct boot_range piece[3] = {
            { base, MIN(end, ours) - MIN(base, ours), r->type },
            { ours, ours_end - ours, BOOT_MEM_RESERVED },
            { MAX(base, ours_end), MAX(end, ours_end) - MAX(base, ours_end), r->type },
        };
        if (placed || end <= ours)
            piece[1].size = 0;
        else
            placed = true;
        for (unsigned p = 0; p < ARRAY_SIZE(piece); p++)
            if (piece[p].size && *n < ARRAY_SIZE(map))
                map[(*n)++] = piece[p];
    }
    return map;
}
