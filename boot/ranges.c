/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting firmware's memory map in order. Firmware is known to hand out unsorted and overlapping ranges, and
 * a page that one of them calls reserved must never become guest RAM or the region.
 */
#include "boot/ranges.h"

#define PHYS_TOP BIT(52)

void boot_ranges_add(struct boot_info *info, u64 base, u64 size, u32 type)
{
    if (!size || base >= PHYS_TOP)
        return;
    if (type < BOOT_MEM_RAM || type > BOOT_MEM_BAD)
        type = BOOT_MEM_RESERVED;
    if (info->nr_ranges == BOOT_MAX_RANGES) {
        info->ranges_cut = true;
        return;
    }
    info->ranges[info->nr_ranges++] = (struct boot_range){
        .base = base,
        .size = MIN(size, PHYS_TOP - base),
        .type = (enum boot_mem_type)type,
    };
}

/* How little may be done with memory of a type. */
static const u8 restriction[] = {
    [BOOT_MEM_RAM] = 0, [BOOT_MEM_ACPI] = 1, [BOOT_MEM_NVS] = 2, [BOOT_MEM_RESERVED] = 3, [BOOT_MEM_BAD] = 4
};

/* Insertion sort: the input is short and nearly always in order already. */
static void sort_by_base(struct boot_range *ranges, unsigned nr)
{
    for (unsigned i = 1; i < nr; i++) {
        struct boot_range r = ranges[i];
        unsigned j = i;

        for (; j && ranges[j - 1].base > r.base; j--)
            ranges[j] = ranges[j - 1];
        ranges[j] = r;
    }
}

/*
 * The type at `at` and, in *end, how far it certainly holds: up to the next edge of any range. False: no
 * range holds `at` (then *end is the base of the next one, or PHYS_TOP).
 */
static bool type_at(const struct boot_range *ranges, unsigned nr, u64 at, enum boot_mem_type *type, u64 *end)
{
    bool found = false;

    *end = PHYS_TOP;
    for (unsigned i = 0; i < nr; i++) {
        u64 last = ranges[i].base + ranges[i].size;

        if (ranges[i].base > at) {
            *end = MIN(*end, ranges[i].base);
            break;
        }
        if (last <= at)
            continue;
        *end = MIN(*end, last);
        if (!found || restriction[ranges[i].type] > restriction[*type])
            *type = ranges[i].type;
        found = true;
    }
    return found;
}

void boot_ranges_normalize(struct boot_info *info)
{
    struct boot_range in[BOOT_MAX_RANGES];
    unsigned nr_in = info->nr_ranges, nr = 0;
    u64 end;

    for (unsigned i = 0; i < nr_in; i++)
        in[i] = info->ranges[i];
    sort_by_base(in, nr_in);

    /* Each step ends at an edge, of which there are two per range. */
    for (u64 at = nr_in ? in[0].base : PHYS_TOP; at < PHYS_TOP; at = end) {
        enum boot_mem_type type = BOOT_MEM_RESERVED;

        if (!type_at(in, nr_in, at, &type, &end))
            continue;

        struct boot_range *last = nr ? &info->ranges[nr - 1] : NULL;
        if (last && last->type == type && last->base + last->size == at) {
            last->size += end - at;
        } else if (nr < BOOT_MAX_RANGES) {
            info->ranges[nr++] = (struct boot_range){ .base = at, .size = end - at, .type = type };
        } else {
            info->ranges_cut = true;
            break;
        }
    }
    info->nr_ranges = nr;
}
