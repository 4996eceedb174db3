/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nested table: four levels, one entry format for both vendors (arch/vcpu.h). It is also where it is
 * written down who may access what:
 *
 *   0        everything is allowed, and nobody has touched it yet: the first fault fills it
 *   HIDDEN   nothing is allowed
 *   a leaf   read-only or writable, as declared
 *
 * Tables are never freed, and an entry changes only by one 64-bit store, so that CPUs walk it at any time.
 */
#include "arch/nested.h"
#include "arch/cpu.h"
#include "arch/paging.h"
#include "arch/vcpu.h"

#define PRESENT  BIT(0)
#define WRITABLE BIT(1)
#define LARGE    BIT(7)
#define ADDRESS  MASK(51, 12)
#define HIDDEN   BIT(9) /* a bit that CPUs ignore, more so where nothing is present */

#define TOP_LEVEL 4
#define ADDRESSES BIT(48) /* what four levels reach */

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

static bool is_link(u64 entry, unsigned level)
{
    return level > 1 && (entry & PRESENT) && !(entry & LARGE);
}

static unsigned max_leaf(void)
{
    return vcpu_ops->nested_1g ? 3 : 2;
}

static void set_entry(u64 *entry, u64 value)
{
    __atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

/* The table below an entry: made if there is none, and says what the entry said. */
static u64 *descend(u64 *entry, u64 gpa, unsigned level)
{
    if (is_link(*entry, level))
        return phys_to_virt(*entry & ADDRESS);

    u64 base = align_down(gpa, level_size(level)), step = level_size(level - 1);
    u64 *table = page_alloc();
    if (!table)
        return NULL;
    for (unsigned i = 0; i < 512; i++)
        table[i] =
            *entry & PRESENT ? vcpu_ops->nested_leaf(base + i * step, level - 1, *entry & WRITABLE) : *entry;
    set_entry(entry, virt_to_phys(table) | vcpu_ops->nested_link);
    return table;
}

/* Writes down all of [base, end) below `table`, in the largest pages that fit. Recursion is as deep as the
 * table. */
static int apply(u64 *table, unsigned level, u64 base, u64 end, enum nested_access access)
{
    u64 size = level_size(level);
    int err = 0;

    for (u64 at = base, next; at < end && !err; at = next) {
        u64 *entry = entry_of(table, at, level);
        u64 value = access == NESTED_NONE ? HIDDEN : 0; /* what everyone may use comes back by a fault */

        next = MIN(align_down(at, size) + size, end);
        if (access == NESTED_READ && level <= max_leaf())
            value = vcpu_ops->nested_leaf(align_down(at, size), level, false);
        bool whole = next - at == size && !is_link(*entry, level);
        if ((whole || *entry == value) && (value || access == NESTED_ALL)) {
            set_entry(entry, value);
            continue;
        }
        u64 *below = descend(entry, at, level);
        err = below ? apply(below, level - 1, at, next, access) : ERR_NOMEM;
    }
    return err;
}

int nested_init(void)
{
    top = page_alloc();
    return top ? 0 : ERR_NOMEM;
}

u64 nested_root(void)
{
    return virt_to_phys(top);
}

int nested_set(u64 base, u64 size, enum nested_access access)
{
    u64 end = base + size;

    if (!size || !is_aligned(base | size, PAGE_SIZE) || end < base || end > ADDRESSES)
        return ERR_INVAL;
    spin_lock(&lock);
    int err = apply(top, TOP_LEVEL, base, end, access);
    spin_unlock(&lock);
    return err;
}

enum nested_access nested_get(u64 gpa)
{
    u64 *table = top, entry = 0;

    spin_lock(&lock);
    for (unsigned level = TOP_LEVEL; level && gpa < ADDRESSES; level--) {
        entry = *entry_of(table, gpa, level);
        if (!is_link(entry, level))
            break;
        table = phys_to_virt(entry & ADDRESS);
    }
    spin_unlock(&lock);
    return entry == HIDDEN ? NESTED_NONE : entry && !(entry & WRITABLE) ? NESTED_READ : NESTED_ALL;
}

static int fill(u64 gpa)
{
    u64 *table = top;

    for (unsigned level = TOP_LEVEL; level && table; level--) {
        u64 *entry = entry_of(table, gpa, level);

        if (!*entry && level <= max_leaf())
            set_entry(entry, vcpu_ops->nested_leaf(align_down(gpa, level_size(level)), level, true));
        if (*entry == HIDDEN)
            return ERR_INVAL;
        /* Or another CPU was here first, or this one's TLB is older than the table. */
        if (*entry && !is_link(*entry, level))
            return 0;
        table = descend(entry, gpa, level);
    }
    return ERR_NOMEM;
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

/*
 * What has several types now is dropped and comes back in smaller pieces: by a fault, or, where faults do not
 * fill it, at once; without memory for that its reads exit, too.
 */
static void refresh(u64 *table, unsigned level, u64 base)
{
    for (unsigned i = 0; i < 512; i++) {
        u64 at = base + i * level_size(level), entry = table[i];

        if (is_link(entry, level)) {
            refresh(phys_to_virt(entry & ADDRESS), level - 1, at);
        } else if (entry & PRESENT) {
            set_entry(&table[i], vcpu_ops->nested_leaf(at, level, entry & WRITABLE));
            if (!table[i] && !(entry & WRITABLE) &&
                apply(table, level, at, at + level_size(level), NESTED_READ))
                set_entry(&table[i], HIDDEN);
        }
    }
}

void nested_refresh(void)
{
    spin_lock(&lock);
    refresh(top, TOP_LEVEL, 0);
    spin_unlock(&lock);
}
