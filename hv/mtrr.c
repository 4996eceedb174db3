/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory type registers. They rule Sluice's own memory as well, whose type must never change, so the guest
 * has a copy: as long as the copy gives Sluice's region the type it had at boot, the copy is what the CPU
 * uses; while it does not (systems switch all of it off for a moment to change one register) the CPU keeps
 * what it had.
 */
#include "arch/cpu.h"
#include "arch/log.h"
#include "arch/mtrr.h"
#include "arch/paging.h"
#include "hv/exit.h"

static struct mtrr_state guest, real; /* real: of every CPU, or soon to be */
static struct spinlock lock;
static int region_type;

/* Registers work at any granularity their masks have, so every page is asked. Writes are rare. */
static int type_of_region(const struct mtrr_state *m)
{
    int type = mtrr_type(m, region_base(), PAGE_SIZE);

    for (u64 page = 1; page < region_size() / PAGE_SIZE; page++)
        if (mtrr_type(m, region_base() + page * PAGE_SIZE, PAGE_SIZE) != type)
            return TYPE_MIXED;
    return type;
}

void mtrr_init(void)
{
    mtrr_read_all(&real);
    guest = real;
    region_type = type_of_region(&real);
    if (real.present && region_type != TYPE_WB)
        log_warn("MTRRs        firmware gives Sluice's memory type %x instead of write-back: slow",
                 region_type);
}

bool mtrr_read(u32 msr, u64 *value)
{
    const u64 *at = mtrr_place(&guest, msr);

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
    if (msr == MSR_MTRR_DEFAULT)
        return is_type(value & 0xff) &&
               !(value & ~(MTRR_DEFAULT_TYPE | MTRR_DEFAULT_ON | MTRR_DEFAULT_FIXED));
    if (msr >= 0x250) {
        /* AMD's RdMem and WrMem bits 4:3 of each byte may appear when SYSCFG shows them; types are 2:0. */
        for (; value; value >>= 8)
            if (!is_type(value & 7))
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
    u32 msr;

    if (!real.present)
        return;
    spin_lock(&lock);
    for (unsigned i = 0; (msr = mtrr_nth(&real, i)) != MSR_MTRR_DEFAULT; i++) {
        u64 want = *mtrr_place(&real, msr);

        if (!rdmsr_safe(msr, &now) || now == want)
            continue;
        if (!changed) {
            wbinvd();
            wrmsr(MSR_MTRR_DEFAULT, real.default_type & ~MTRR_DEFAULT_ON);
        }
        changed = true;
        (void)!wrmsr_safe(msr, want);
    }
    if (rdmsr(MSR_MTRR_DEFAULT) != real.default_type) {
        wrmsr(MSR_MTRR_DEFAULT, real.default_type);
        wbinvd();
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
    static struct spinlock changing; /* the last change is also the last that the nested table sees */
    u64 *at = mtrr_place(&guest, msr);

    if (!at || !is_valid(msr, value))
        return false;
    spin_lock(&changing);
    if (store(at, value)) {
        mtrr_load();
        vcpu_request_others(VCPU_MTRRS);
        if (vcpu_ops->mtrrs_changed)
            vcpu_ops->mtrrs_changed(&real);
    }
    spin_unlock(&changing);
    return true;
}
