/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nested table: four levels, one entry format for both vendors (arch/vcpu.h). What is declared is put in
 * at once, everything else when it is first touched. Tables are never freed, and an entry changes only by one
 * 64-bit store, so that CPUs walk it at any time.
 */
#include "arch/nested.h"
#include "arch/cpu.h"
#include "arch/paging.h"
#include "arch/vcpu.h"

#define PRESENT  BIT(0)
#define WRITABLE BIT(1)
#define LARGE    BIT(7)
#define ADDRESS  MASK(51, 12)

#define TOP_LEVEL  4
#define ADDRESSES  BIT(48) /* what four levels reach */
#define MAX_RANGES 512

struct range {
    u64 base, end;
    enum nested_access access;
};

/* Sorted, not overlapping. */
static struct range ranges[MAX_RANGES];
static unsigned nr_ranges;
static u64 *top;
static struct spinlock lock;

static u64 level_size(unsigned level)
{
    return PAGE_SIZE << 9 * (level - 1);
}

static u64 *entry_of(u64 *table, u64 gpa, unsigned level)
{
    return &table[gpa / level_size(level) & 511];
}

static bool is_leaf(u64 entry, unsigned level)
{
    return level == 1 || (entry & LARGE);
}

static unsigned max_leaf(void)
{
    return vcpu_ops->nested_1g ? 3 : 2;
}

static void set_entry(u64 *entry, u64 value)
{
    __atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

/* The table below an entry: made if absent; a large page is split into what it mapped. */
static u64 *descend(u64 *entry, u64 gpa, unsigned level)
{
    if ((*entry & PRESENT) && !is_leaf(*entry, level))
        return phys_to_virt(*entry & ADDRESS);

    u64 *table = page_alloc();
    if (!table)
        return NULL;
    if (*entry & PRESENT) {
        u64 base = align_down(gpa, level_size(level)), step = level_size(level - 1);

        for (unsigned i = 0; i < 512; i++)
            table[i] = vcpu_ops->nested_leaf(base + i * step, level - 1, *entry & WRITABLE);
    }
    set_entry(entry, vcpu_ops->nested_link(virt_to_phys(table)));
    return table;
}

/* Maps or clears all of [base, end) below `table`, in the largest pages that fit. Recursion is as deep as the
 * table. */
static int apply(u64 *table, unsigned level, u64 base, u64 end, enum nested_access access)
{
    u64 size = level_size(level);
    int err = 0;

    for (u64 at = base, next; at < end && !err; at = next) {
        u64 *entry = entry_of(table, at, level);
        bool whole = is_aligned(at, size) && end - at >= size;

        next = MIN(align_down(at, size) + size, end);
        /* Not present is what both say: a page that everyone may use comes back by a fault. */
        if (access != NESTED_READ && !(*entry & PRESENT))
            continue;
        if (whole && (!(*entry & PRESENT) || is_leaf(*entry, level)) && level <= max_leaf()) {
            u64 leaf = access == NESTED_READ ? vcpu_ops->nested_leaf(at, level, false) : 0;
            if (leaf || access != NESTED_READ) {
                set_entry(entry, leaf);
                continue;
            }
        }
        u64 *below = descend(entry, at, level);
        err = below ? apply(below, level - 1, at, next, access) : ERR_NOMEM;
    }
    return err;
}

int nested_init(void)
{
    nr_ranges = 0;
    top = page_alloc();
    return top ? 0 : ERR_NOMEM;
}

u64 nested_root(void)
{
    return virt_to_phys(top);
}

/* The first range that ends above gpa. */
static unsigned range_after(u64 gpa)
{
    unsigned i = 0;

    while (i < nr_ranges && ranges[i].end <= gpa)
        i++;
    return i;
}

static void insert(unsigned i, struct range r)
{
    for (unsigned j = nr_ranges++; j > i; j--)
        ranges[j] = ranges[j - 1];
    ranges[i] = r;
}

static void remove(unsigned i)
{
    nr_ranges--;
    for (; i < nr_ranges; i++)
        ranges[i] = ranges[i + 1];
}

/* At most two more ranges than before. */
static void declare(u64 base, u64 end, enum nested_access access)
{
    unsigned i = range_after(base);

    if (i < nr_ranges && ranges[i].base < base) {
        struct range low = ranges[i];

        low.end = base;
        ranges[i].base = base;
        insert(i++, low);
    }
    while (i < nr_ranges && ranges[i].end <= end)
        remove(i);
    if (i < nr_ranges && ranges[i].base < end)
        ranges[i].base = end;
    if (access != NESTED_ALL)
        insert(i, (struct range){ base, end, access });
}

int nested_set(u64 base, u64 size, enum nested_access access)
{
    u64 end = base + size;

    if (!size || !is_aligned(base | size, PAGE_SIZE) || end < base || end > ADDRESSES)
        return ERR_INVAL;
    spin_lock(&lock);
    int err = nr_ranges + 2 > MAX_RANGES ? ERR_NOSPC : 0;
    if (!err) {
        /* Declared first: a fault that comes in between must not fill the page again. */
        declare(base, end, access);
        err = apply(top, TOP_LEVEL, base, end, access);
    }
    spin_unlock(&lock);
    return err;
}

enum nested_access nested_get(u64 gpa)
{
    spin_lock(&lock);
    unsigned i = range_after(gpa);
    enum nested_access access = i < nr_ranges && ranges[i].base <= gpa ? ranges[i].access : NESTED_ALL;
    spin_unlock(&lock);
    return access;
}

/* Is [base, base+size) free of declared ranges? */
static bool is_uniform(u64 base, u64 size)
{
    unsigned i = range_after(base);

    return i == nr_ranges || ranges[i].base >= base + size;
}

static int fill(u64 gpa)
{
    u64 *table = top;

    for (unsigned level = TOP_LEVEL; level; level--) {
        u64 size = level_size(level), base = align_down(gpa, size);
        u64 *entry = entry_of(table, gpa, level);
        bool present = *entry & PRESENT;

        if (present && is_leaf(*entry, level))
            return 0; /* another CPU was here first, or this one's TLB is older than the table */
        if (!present && level <= max_leaf() && is_uniform(base, size)) {
            u64 leaf = vcpu_ops->nested_leaf(base, level, true);
            if (leaf) {
                set_entry(entry, leaf);
                return 0;
            }
        }
        if (level == 1)
            return ERR_INVAL;
        table = descend(entry, gpa, level);
        if (!table)
            return ERR_NOMEM;
    }
    return ERR_INVAL;
}

int nested_fill(u64 gpa)
{
    if (gpa >= ADDRESSES)
        return ERR_RANGE;
    spin_lock(&lock);
    int err = fill(gpa);
    spin_unlock(&lock);
    return err;
}

/* What has several types now is dropped and comes back in smaller pieces, when it is touched. */
static void refresh(u64 *table, unsigned level, u64 base)
{
    for (unsigned i = 0; i < 512; i++) {
        u64 at = base + i * level_size(level);

        if (!(table[i] & PRESENT))
            continue;
        if (is_leaf(table[i], level))
            set_entry(&table[i], vcpu_ops->nested_leaf(at, level, table[i] & WRITABLE));
        else
            refresh(phys_to_virt(table[i] & ADDRESS), level - 1, at);
    }
}

void nested_refresh(void)
{
    spin_lock(&lock);
    refresh(top, TOP_LEVEL, 0);
    /* Read-only pages are not filled by faults: put back those that were dropped. */
    for (unsigned i = 0; i < nr_ranges; i++)
        if (ranges[i].access == NESTED_READ)
            (void)!apply(top, TOP_LEVEL, ranges[i].base, ranges[i].end, NESTED_READ);
    spin_unlock(&lock);
}
