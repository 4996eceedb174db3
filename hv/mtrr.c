/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory type registers. They rule Sluice's own memory as well, whose type must never change, so the guest
 * has a copy: as long as the copy gives Sluice's region the type it had at boot, the copy is what the CPU
 * uses; while it does not (systems switch all of it off for a moment to change one register) the CPU keeps
 * what it had.
 */
#include "arch/cpu.h"
#include "arch/log.h"
#include "arch/paging.h"
#include "hv/exit.h"

#define MSR_MTRRCAP  0xfeu
#define MSR_PHYSBASE 0x200u
#define MSR_DEF_TYPE 0x2ffu

#define DEF_TYPE_FE BIT(10)
#define DEF_TYPE_E  BIT(11)
#define MASK_VALID  BIT(11)
#define ADDRESS     MASK(51, 12)

enum { TYPE_UC = 0, TYPE_WT = 4, TYPE_WB = 6, TYPE_MIXED = 0x100 };

#define MAX_VARIABLE 16

static const u32 fixed_msr[] = {
    0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f
};
#define NR_FIXED ARRAY_SIZE(fixed_msr)

struct mtrrs {
    u64 def_type;
    u64 fixed[NR_FIXED];
    u64 base[MAX_VARIABLE], mask[MAX_VARIABLE];
};

static bool present;
static unsigned nr_variable;
static struct mtrrs guest, real; /* real: of every CPU, or soon to be */
static struct spinlock lock;
static unsigned region_type;

/* The type of one page above 1 MiB (AMD APM 2, 7.7.2). */
static unsigned type_of(const struct mtrrs *m, u64 pa)
{
    unsigned type = 0;
    bool any = false;

    if (!(m->def_type & DEF_TYPE_E))
        return TYPE_UC;
    for (unsigned i = 0; i < nr_variable; i++) {
        unsigned t = m->base[i] & 0xff;

        if (!(m->mask[i] & MASK_VALID) || ((pa ^ m->base[i]) & m->mask[i] & ADDRESS))
            continue;
        if (!any || t == TYPE_UC)
            type = t;
        else if (type != TYPE_UC && t != type)
            type =
                (t == TYPE_WT || t == TYPE_WB) && (type == TYPE_WT || type == TYPE_WB) ? TYPE_WT : TYPE_MIXED;
        any = true;
    }
    return any ? type : m->def_type & 0xff;
}

/* Registers work at any granularity their masks have, so every page is asked. Writes are rare. */
static unsigned type_of_region(const struct mtrrs *m)
{
    unsigned type = type_of(m, region_base());

    for (u64 at = PAGE_SIZE; at < region_size(); at += PAGE_SIZE)
        if (type_of(m, region_base() + at) != type)
            return TYPE_MIXED;
    return type;
}

/* The place of a register in a copy; NULL: no such register. */
static u64 *place(struct mtrrs *m, u32 msr)
{
    if (!present)
        return NULL;
    if (msr == MSR_DEF_TYPE)
        return &m->def_type;
    if (msr - MSR_PHYSBASE < 2 * nr_variable)
        return msr & 1 ? &m->mask[(msr - MSR_PHYSBASE) / 2] : &m->base[(msr - MSR_PHYSBASE) / 2];
    for (unsigned i = 0; i < NR_FIXED; i++)
        if (fixed_msr[i] == msr)
            return &m->fixed[i];
    return NULL;
}

bool mtrr_is(u32 msr)
{
    return msr == MSR_DEF_TYPE || msr - MSR_PHYSBASE < 2 * MAX_VARIABLE || (msr >= 0x250 && msr <= 0x26f);
}

static u32 nth_msr(unsigned i)
{
    if (i < NR_FIXED)
        return fixed_msr[i];
    return i - NR_FIXED < 2 * nr_variable ? MSR_PHYSBASE + (u32)(i - NR_FIXED) : MSR_DEF_TYPE;
}

void mtrr_init(void)
{
    u64 cap;
    u32 r[4];

    cpuid(1, 0, r);
    if (!(r[3] & BIT(12)) || !rdmsr_safe(MSR_MTRRCAP, &cap))
        return;
    present = true;
    nr_variable = (unsigned)MIN(cap & 0xff, MAX_VARIABLE);
    for (unsigned i = 0; i <= NR_FIXED + 2 * nr_variable; i++)
        if (!rdmsr_safe(nth_msr(i), place(&real, nth_msr(i))))
            *place(&real, nth_msr(i)) = 0;
    guest = real;
    region_type = type_of_region(&real);
    if (region_type != TYPE_WB)
        log_warn("MTRRs        firmware gives Sluice's memory type %x instead of write-back: slow",
                 region_type);
}

bool mtrr_read(u32 msr, u64 *value)
{
    const u64 *at = place(&guest, msr);

    if (at)
        *value = *at;
    return at != NULL;
}

static bool is_type(u64 t)
{
    return t == 0 || t == 1 || (t >= 4 && t <= 6);
}

static bool is_valid(u32 msr, u64 value)
{
    if (msr == MSR_DEF_TYPE)
        return is_type(value & 0xff) && !(value & ~(0xff | DEF_TYPE_E | DEF_TYPE_FE));
    if (msr >= 0x250) {
        /* AMD's RdMem and WrMem bits 4:3 of each byte may appear when SYSCFG shows them; types are 2:0. */
        for (unsigned i = 0; i < 64; i += 8)
            if (!is_type(value >> i & 7))
                return false;
        return true;
    }
    return msr & 1 ? true : is_type(value & 0xff);
}

/* All that differs goes to this CPU; the type register is off meanwhile, as the manuals ask for. */
void mtrr_load(void)
{
    bool changed = false;
    u64 now;

    if (!present)
        return;
    spin_lock(&lock);
    for (unsigned i = 0; i <= NR_FIXED + 2 * nr_variable; i++) {
        u32 msr = nth_msr(i);
        u64 want = *place(&real, msr);

        if (msr == MSR_DEF_TYPE || !rdmsr_safe(msr, &now) || now == want)
            continue;
        if (!changed) {
            __asm__ volatile("wbinvd" ::: "memory");
            wrmsr(MSR_DEF_TYPE, real.def_type & ~DEF_TYPE_E);
        }
        changed = true;
        (void)!wrmsr_safe(msr, want);
    }
    if (changed || rdmsr(MSR_DEF_TYPE) != real.def_type) {
        wrmsr(MSR_DEF_TYPE, real.def_type);
        __asm__ volatile("wbinvd" ::: "memory");
    }
    spin_unlock(&lock);
}

/* True: the CPUs' registers must become others. */
static bool store(u64 *at, u64 value)
{
    bool accepted = false;

    spin_lock(&lock);
    if (*at != value) {
        *at = value;
        accepted = type_of_region(&guest) == region_type;
        if (accepted)
            real = guest;
    }
    spin_unlock(&lock);
    return accepted;
}

bool mtrr_write(u32 msr, u64 value)
{
    u64 *at = place(&guest, msr);

    if (!at || !is_valid(msr, value))
        return false;
    if (store(at, value)) {
        mtrr_load();
        vcpu_request_others(VCPU_MTRRS);
        if (vcpu_ops->mtrrs_changed)
            vcpu_ops->mtrrs_changed();
    }
    return true;
}
