/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/mtrr.h"
#include "arch/cpu.h"

#define CPUID_1_MTRR BIT(12)
#define CAP_COUNT    MASK(7, 0)

static const u32 fixed_msr[MTRR_FIXED] = { 0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
                                           0x26b, 0x26c, 0x26d, 0x26e, 0x26f };

/* The default type comes last: it switches the others on. */
u32 mtrr_nth(const struct mtrr_state *s, unsigned i)
{
    if (i < MTRR_FIXED)
        return fixed_msr[i];
    i -= MTRR_FIXED;
    return i < 2u * s->nr_variable ? MSR_MTRR_VARIABLE + i : i == 2u * s->nr_variable ? MSR_MTRR_DEFAULT : 0;
}

u64 *mtrr_place(struct mtrr_state *s, u32 msr)
{
    u32 variable = msr - MSR_MTRR_VARIABLE;

    if (!s->present)
        return NULL;
    if (msr == MSR_MTRR_DEFAULT)
        return &s->default_type;
    if (variable < 2u * s->nr_variable)
        return variable % 2 ? &s->mask[variable / 2] : &s->base[variable / 2];
    for (unsigned i = 0; i < MTRR_FIXED; i++)
        if (fixed_msr[i] == msr)
            return &s->fixed[i];
    return NULL;
}

void mtrr_read_all(struct mtrr_state *s)
{
    u64 cap;
    u32 r[4], msr;

    *s = (struct mtrr_state){ .phys_bits = (u8)cpu_phys_bits() };
    cpuid(1, 0, r);
    if (!(r[3] & CPUID_1_MTRR) || !rdmsr_safe(MSR_MTRR_CAP, &cap))
        return;
    s->present = true;
    s->nr_variable = (u8)MIN(field_get(cap, CAP_COUNT), MTRR_MAX_VARIABLE);
    for (unsigned i = 0; (msr = mtrr_nth(s, i)) != 0; i++)
        if (!rdmsr_safe(msr, mtrr_place(s, msr)))
            *mtrr_place(s, msr) = 0;
}

/* The fixed registers: below 0x80000 by 64K, below 0xC0000 by 16K, then by 4K (SDM 3A, table 12-9). */
static u8 fixed_type(const struct mtrr_state *s, u64 pa)
{
    u64 reg, at;

    if (pa < 0x80000) {
        reg = 0;
        at = pa >> 16;
    } else if (pa < 0xc0000) {
        reg = 1 + ((pa - 0x80000) >> 17);
        at = (pa - 0x80000) >> 14 & 7;
    } else {
        reg = 3 + ((pa - 0xc0000) >> 15);
        at = (pa - 0xc0000) >> 12 & 7;
    }
    return (u8)(s->fixed[reg] >> (8 * at));
}

/* Where ranges overlap: UC wins, then WT over WB; anything else is undefined and taken as UC (12.11.4.1). */
static int combine(int a, int b)
{
    if (a == b || a == TYPE_MIXED)
        return b;
    if ((a == TYPE_WT && b == TYPE_WB) || (a == TYPE_WB && b == TYPE_WT))
        return TYPE_WT;
    return TYPE_UC;
}

int mtrr_type(const struct mtrr_state *s, u64 base, u64 size)
{
    u64 top = MASK(s->phys_bits - 1, 0);
    int type = TYPE_MIXED;

    if (!(s->default_type & MTRR_DEFAULT_ON))
        return TYPE_UC;
    if (s->default_type & MTRR_DEFAULT_FIXED && base < 0x100000) {
        int first = fixed_type(s, base);

        for (u64 pa = base; pa < base + size; pa += PAGE_SIZE)
            if (pa >= 0x100000 || fixed_type(s, pa) != first)
                return TYPE_MIXED;
        return first;
    }
    for (unsigned i = 0; i < s->nr_variable; i++) {
        u64 mask = s->mask[i] & top & ~(PAGE_SIZE - 1), inside = mask & ~(size - 1);

        if (!(s->mask[i] & MTRR_MASK_VALID) || (base & inside) != (s->base[i] & inside))
            continue;
        /* It touches the block; with mask bits below the block's size it covers only a part. */
        if (mask & (size - 1))
            return TYPE_MIXED;
        type = combine(type, s->base[i] & 0xff);
    }
    return type == TYPE_MIXED ? (int)(s->default_type & MTRR_DEFAULT_TYPE) : type;
}
