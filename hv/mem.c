/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ownership of physical addresses: declarations are kept as sorted edges, and every change sweeps them into
 * spans of one owner each, so that a look-up, which is hot, is one binary search.
 */
#include "hv/mem.h"
#include "arch/cpu.h"
#include "arch/paging.h"

#define MEM_PAGES BIT(52 - PAGE_SHIFT) /* no x86 CPU addresses more */
#define MAX_EDGES 2048

struct edge {
    u64 page;
    u8 owner;
    int open; /* 1: opens, -1: closes */
};
struct span {
    u64 first; /* page; up to the next span's */
    u8 owner;
};

static struct edge edges[MAX_EDGES];
static unsigned nr_edges;
static const struct boot_info *firmware;

/* Look-ups take no lock: they repeat when a writer was at work meanwhile (odd = at work now). All that they
 * read is volatile, which is enough: x86 keeps loads in their order, and stores in theirs. */
static volatile struct span spans[MAX_EDGES + 2]; /* one begins where all addresses end */
static volatile unsigned nr_spans;
volatile u64 mem_large[2];
static volatile u32 generation;
static struct spinlock writers;

static void note_large(u64 first, u64 end)
{
    volatile u64 *large = &mem_large[first >= BIT(32 - PAGE_SHIFT)];
    u64 pages = end - first;

    if (!((first | pages) >> 32) && pages > *large >> 32)
        *large = pages << 32 | first;
}

static void rebuild(void)
{
    int open[MEM_OWNERS] = { 1 }; /* MEM_HOLE is open everywhere */
    unsigned e = 0, n = 0;
    u64 at = 0;

    generation++;
    mem_large[0] = mem_large[1] = 0;
    for (;;) {
        for (; e < nr_edges && edges[e].page == at; e++)
            open[edges[e].owner] += edges[e].open;
        u8 top = MEM_OWNERS - 1, before = n ? spans[n - 1].owner : MEM_OWNERS;
        while (!open[top])
            top--;
        if (before != top) {
            if (before == MEM_GUEST_RAM)
                note_large(spans[n - 1].first, at);
            spans[n].first = at;
            spans[n++].owner = top;
        }
        if (e == nr_edges)
            break;
        at = edges[e].page;
    }
    spans[n].first = MEM_PAGES;
    nr_spans = n;
    generation++;
}

static void edge_insert(u64 page, u8 owner, int open)
{
    unsigned i = nr_edges++;

    for (; i && edges[i - 1].page > page; i--)
        edges[i] = edges[i - 1];
    edges[i] = (struct edge){ page, owner, open };
}

static struct edge *edge_find(u64 page, u8 owner, int open)
{
    for (unsigned i = 0; i < nr_edges; i++)
        if (edges[i].page == page && edges[i].owner == owner && edges[i].open == open)
            return &edges[i];
    return NULL;
}

static void edge_remove(struct edge *edge)
{
    nr_edges--;
    for (; edge < &edges[nr_edges]; edge++)
        edge[0] = edge[1];
}

static bool wraps(u64 base, u64 size)
{
    return size && size - 1 > ~base;
}

/* All pages of a range that are addressed. False: there are none, or it wraps. */
static bool pages_of(u64 base, u64 size, u64 *first, u64 *end)
{
    *first = base >> PAGE_SHIFT;
    *end = MIN((base + (size - 1)) >> PAGE_SHIFT, MEM_PAGES - 1) + 1;
    return size && !wraps(base, size) && *first < MEM_PAGES;
}

static int declare(u64 base, u64 size, u8 owner)
{
    u64 first, end;

    if (!pages_of(base, size, &first, &end))
        return ERR_INVAL;
    if (nr_edges == MAX_EDGES)
        return ERR_NOSPC;
    edge_insert(first, owner, 1);
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
    u64 first, end;

    if (!pages_of(base, size, &first, &end))
        return;
    spin_lock(&writers);
    struct edge *opens = edge_find(first, owner, 1), *closes = edge_find(end, owner, -1);
    if (opens && closes) {
        edge_remove(closes); /* which lies behind the other, and so does not move it */
        edge_remove(opens);
        rebuild();
    }
    spin_unlock(&writers);
}

/* The span that holds page < MEM_PAGES. Only its index is good while a writer may be at work. */
static unsigned span_of(u64 page)
{
    unsigned low = 0, high = nr_spans;

    while (high - low > 1) {
        unsigned mid = low + (high - low) / 2;
        if (spans[mid].first <= page)
            low = mid;
        else
            high = mid;
    }
    return low;
}

u64 mem_extent(u64 pa, enum mem_owner *owner)
{
    u64 end, left = mem_large_left(pa), page = pa >> PAGE_SHIFT;
    u32 seen;

    *owner = MEM_GUEST_RAM;
    if (left)
        return left;
    if (page >= MEM_PAGES) {
        *owner = MEM_HOLE;
        return -pa; /* up to 2^64 */
    }
    do {
        while ((seen = generation) & 1)
            cpu_pause();
        unsigned i = span_of(page);
        *owner = spans[i].owner;
        end = spans[i + 1].first;
    } while (generation != seen);
    return (end << PAGE_SHIFT) - pa;
}

bool mem_is_guest_ram(u64 pa, u64 size)
{
    enum mem_owner owner;

    return size && mem_extent(pa, &owner) >= size && owner == MEM_GUEST_RAM;
}

bool mem_is_fixed(u64 pa, u64 size)
{
    enum mem_owner owner = MEM_HOLE;
    u64 page, end;

    if (wraps(pa, size))
        return true;
    if (!pages_of(pa, size, &page, &end))
        return false;
    while (page < end && owner < MEM_DEVICE)
        page += mem_extent(page << PAGE_SHIFT, &owner) >> PAGE_SHIFT;
    return owner >= MEM_DEVICE;
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
                best = base;
        }
    }
    return best;
}

/* Never the lowest 2 MiB, which are the guest's to boot with: at 0 is nowhere. */
static u64 highest(const struct boot_info *info, const struct boot_range *busy, u64 size, u64 from, u64 to)
{
    return mem_highest(info->ranges, info->nr_ranges, busy, 1 + info->nr_modules, size, SIZE_2M, from,
                       MIN(to, BIT(32)));
}

u64 mem_choose_region(const struct boot_info *info, u64 size)
{
    struct boot_range busy[1 + BOOT_MAX_MODULES];
    struct boot_efi_entry e;
    u64 best = 0;

    busy[0] = (struct boot_range){ .base = info->image_base, .size = info->image_size };
    for (unsigned i = 0; i < info->nr_modules; i++)
        busy[1 + i] = (struct boot_range){ .base = info->modules[i].base, .size = info->modules[i].size };
    /* What firmware's boot services leave behind holds tables that the guest goes on reading: EFI's memory
     * attributes, the boot logo. */
    for (u32 i = 0; boot_efi_entry(&info->efi_map, i, &e); i++)
        if (e.type == EFI_CONVENTIONAL)
            best = MAX(best, highest(info, busy, size, e.start, e.start + e.pages * PAGE_SIZE));
    return best ? best : highest(info, busy, size, 0, ~0ull);
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
            size = MAX(end, base) - base;
        }
        if (size)
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

    *n = 0;
    for (unsigned i = 0; i < firmware->nr_ranges; i++) {
        const struct boot_range *r = &firmware->ranges[i];
        u64 base = r->base, end = r->base + r->size;
        struct boot_range piece[3] = {
            { base, MIN(end, ours) - MIN(base, ours), r->type },
            { ours, base <= ours && ours < end ? ours_end - ours : 0, BOOT_MEM_RESERVED },
            { MAX(base, ours_end), MAX(end, ours_end) - MAX(base, ours_end), r->type },
        };
        for (unsigned p = 0; p < ARRAY_SIZE(piece); p++)
            if (piece[p].size)
                map[(*n)++] = piece[p];
    }
    return map;
}
