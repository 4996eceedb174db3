/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What hv/ calls: bring-up of all units, the guest's register accesses, events, and the reports.
 */
#include "iommu/parts.h"

struct iommu_options iommu_opts = { .dtlb = DTLB_ALWAYS, .ats = ATS_LISTED, .wait_us = 50 };

/* All units are judged before the first is touched: a machine is protected whole or refused. */
static int probe(void)
{
    int err = 0;

    for (unsigned i = 0; i < nr_units && !err; i++)
        err = hw_probe(units[i]);
    return err;
}

static int make_tables(struct unit *u, bool whole)
{
    u->nr_fns = 1;
    int err = hostq_init(u);
    if (!err)
        err = inside_init(u);
    if (!err)
        err = context_init(u);
    if (!err && whole)
        err = ir_init(u);
    if (!err && whole)
        err = prq_init(u);
    if (!err && whole && !plan_has_room(u))
        err = ERR_NOMEM;
    if (err)
        env_log(ENV_ERR, "not enough memory for unit %u's tables; give more with mem=", u->index);
    return err;
}

int iommu_guard(u64 base, u64 size, bool *bare)
{
    int err = probe();

    *bare = false;
    for (unsigned i = 0; i < nr_units && !err; i++)
        err = hw_guard(units[i], base, size, bare);
    return err;
}

int iommu_shut_out(void)
{
    int err = 0;

    for (unsigned i = 0; i < nr_units && !err; i++) {
        err = make_tables(units[i], false);
        if (!err)
            err = hw_translate(units[i]);
    }
    return err;
}

int iommu_protect(const struct iommu_options *options)
{
    iommu_opts = *options;
    int err = probe();
    for (unsigned i = 0; i < nr_units && !err; i++) {
        struct unit *u = units[i];

        err = make_tables(u, true);
        vregs_init(u);
        if (!err)
            err = hw_takeover(u);
    }
    return err;
}

/* Either access makes progress, for a guest that only polls registers. */
u64 iommu_read(unsigned i, u64 gpa, unsigned width)
{
    struct unit *u = units[i];

    env_lock(&u->lock);
    if (unlikely(u->hq.busy) && replay_continue(u))
        replay_run(u);
    u64 value = vregs_read(u, (u32)(gpa - u->base), width);
    env_unlock(&u->lock);
    return value;
}

void iommu_write(unsigned i, u64 gpa, unsigned width, u64 value)
{
    struct unit *u = units[i];

    env_lock(&u->lock);
    vregs_write(u, (u32)(gpa - u->base), width, value);
    env_unlock(&u->lock);
}

#define ECHO_US 10000
static u64 last_fault; /* in microseconds; 0 = none so far */

bool iommu_echo(void)
{
    return last_fault && env_now_us() - last_fault < ECHO_US;
}

bool iommu_event(void)
{
    bool ours = false, asked;

    for (unsigned i = 0; i < nr_units; i++) {
        struct unit *u = units[i];

        env_lock(&u->lock);
        if (env_read32(u->regs, REG_ICS) & ICS_IWC) {
            env_write32(u->regs, REG_ICS,
                        ICS_IWC); /* before looking, so that the next completion is not lost */
            ours = true;
        }
        if (fault_collect(u)) {
            last_fault = env_now_us();
            ours = true;
        }
        if (hostq_errors(u))
            ours = true;
        asked = prq_collect(u);
        if ((u->hq.busy && replay_continue(u)) || asked) {
            replay_run(u);
            ours = true;
        }
        if (!u->hq.busy && u->doubtful) {
            context_sync(u, u->doubtful, false);
            u->doubtful = 0;
            replay_submit(u);
        }
        env_unlock(&u->lock);
    }
    return ours;
}

bool iommu_left;

bool iommu_outstanding(void)
{
    bool found = false;

    /* Cleared before looking, so that what another CPU leaves meanwhile is not forgotten. */
    (void)__atomic_exchange_n(&iommu_left, false, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < nr_units; i++)
        found |= units[i]->hq.busy || units[i]->faults_masked;
    if (found)
        __atomic_store_n(&iommu_left, true, __ATOMIC_RELAXED);
    return found;
}

void iommu_function_starts(u16 segment, u16 sid)
{
    struct unit *u = unit_of(segment, sid);

    if (!u || u->v.cap & CAP_CM)
        return;
    replay_enter(u);
    context_sync(u, sid, false);
    replay_now(u);
    replay_leave(u);
}

void iommu_dma_changed(u64 base, u64 size)
{
    for (unsigned i = 0; i < nr_units; i++) {
        struct unit *u = units[i];
        struct range r = { base >> PAGE_SHIFT, (base + size - 1) >> PAGE_SHIFT };

        replay_enter(u);
        shadow_sync(u, domain_get(u, DID_IDENTITY), &r);
        plan_everything(u); /* and looks at every table again */
        replay_now(u);
        replay_leave(u);
    }
}

void iommu_summary(void)
{
    static const char *const policy[] = { "always", "guest (UNSAFE: stale device TLBs are possible)",
                                          "cm (UNSAFE: stale device TLBs are possible)" };
    static const char *const gate[] = { "off", "functions below root ports that firmware lists",
                                        "all functions" };
    bool direct = false;

    for (unsigned i = 0; i < nr_units; i++) {
        struct unit *u = units[i];

        env_log(ENV_INFO, "VT-d unit %u  %llx, segment %u: %u-level%s tables, %u domain-ids, %s%s%s", i,
                (unsigned long long)u->base, u->segment, u->max_levels,
                u->own_pgtt == PGTT_FIRST ? " first-stage" : "", u->did_limit,
                u->device_tlb ? "device TLBs" : "no device TLBs", u->coherent ? "" : ", walks not coherent",
                u->psi ? "" : ", no page-selective flush");
        env_log(ENV_INFO, "  guest sees  CAP %llx, ECAP %llx", (unsigned long long)u->v.cap,
                (unsigned long long)u->v.ecap);
        direct |= u->first_pgtt == PGTT_FIRST;
        env_log(ENV_INFO, "  first stage %s, caching mode %s",
                u->first_pgtt == PGTT_NESTED  ? "nested on Sluice's own"
                : u->first_pgtt == PGTT_FIRST ? "direct"
                                              : "not announced",
                u->v.cap & CAP_CM ? "on" : "off");
    }
    if (direct)
        env_log(ENV_WARN, "NOT CONTAINED: with first-stage tables of its own (firststage=direct) the guest's "
                          "devices reach all memory, Sluice's included");
    else
        env_log(ENV_INFO, "contained    DMA of every bus and function, present or not");
    env_log(iommu_opts.ats == ATS_ALL ? ENV_WARN : ENV_INFO, "ATS gate     %s", gate[iommu_opts.ats]);
    env_log(iommu_opts.dtlb ? ENV_WARN : ENV_INFO, "replayed     invalidations, device-TLB flushes: %s",
            policy[iommu_opts.dtlb]);
}

void iommu_counters(void)
{
    static const char *const kind[NR_DESC] = { NULL,   "cc",     "iotlb", "dtlb",  "iec",
                                               "wait", "piotlb", "pasid", "pdtlb", "page" };

    for (unsigned i = 0; i < nr_units; i++)
        for (unsigned k = DESC_CONTEXT; k < NR_DESC; k++)
            env_log(ENV_INFO, "count unit=%u kind=%s guest=%llu host=%llu", i, kind[k],
                    (unsigned long long)units[i]->guest_count[k],
                    (unsigned long long)units[i]->host_count[k]);
}
