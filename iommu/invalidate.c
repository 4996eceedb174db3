/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The invalidation call (docs/hypercalls.md): an array of requests in guest memory, done when it returns,
 * device TLBs included; there is no way to ask for less. It is the queue's way without the queue, so both go
 * through plan.c.
 */
#include "iommu/parts.h"

static enum invalidate_result judge(const struct iommu_invalidation *e, struct range *r)
{
    if (e->reserved)
        return INVALIDATE_RESERVED;
    if (e->flags & ~INVALIDATE_LEAF)
        return INVALIDATE_FLAGS;
    if (!is_aligned(e->address, PAGE_SIZE))
        return INVALIDATE_ALIGNMENT;
    *r = RANGE_ALL;
    if (!e->address && e->pages == ~0ull)
        return INVALIDATE_DONE;
    r->first = e->address >> PAGE_SHIFT;
    if (!e->pages || e->pages > PAGE_NR_MAX - r->first + 1)
        return INVALIDATE_RANGE;
    r->last = r->first + e->pages - 1;
    return INVALIDATE_DONE;
}

static volatile struct iommu_invalidation *entry_at(u64 array, unsigned i)
{
    return env_guest_ram(array + i * sizeof(struct iommu_invalidation));
}

/* LEAF is no reason to keep anything: what hardware caches of upper levels goes in any case. */
static void plan(struct unit *u, u16 did, u32 pasid, struct range r)
{
    struct request q = { .did = (u16)(did & u->v.rules.did_mask), .range = r };
    bool all = range_is_all(r);

    if (pasid == INVALIDATE_NO_PASID) {
        q.type = DESC_IOTLB;
        q.granularity = all ? DESC_G_DOMAIN : DESC_G_PAGE;
    } else {
        q.type = DESC_PIOTLB;
        q.granularity = all ? DESC_PIOTLB_PASID : DESC_PIOTLB_PAGE;
        q.pasid = pasid;
    }
    plan_request(u, &q);
    if (iommu_opts.dtlb != DTLB_ALWAYS) /* here the guest itself asks for device TLBs */
        u->plan.asked_all = true;
}

static int run(struct unit *u, u16 did, u32 pasid, u64 array, unsigned count, unsigned *handled)
{
    enum invalidate_result result = INVALIDATE_DONE;
    volatile struct iommu_invalidation *at;
    u32 hardware;
    unsigned n;

    replay_settle(u);
    for (n = 0; n < count; n++) {
        struct range r;

        at = entry_at(array, n);
        if (!at)
            break;
        const struct iommu_invalidation copy = { /* once: it decides */
                                                 .address = at->address,
                                                 .pages = at->pages,
                                                 .flags = at->flags,
                                                 .reserved = at->reserved
        };
        result = judge(&copy, &r);
        if (result)
            break;
        plan(u, did, pasid, r);
    }
    u->hq.errors = 0;
    replay_now(u);
    (void)hostq_errors(u); /* what came with the last completion */
    hardware =
        (u->hq.errors & FSTS_ICE ? INVALIDATE_ICE : 0) | (u->hq.errors & FSTS_ITE ? INVALIDATE_ITE : 0);
    *handled = n;
    for (unsigned i = 0; i < count && i <= n; i++) {
        at = entry_at(array, i);
        if (!at)
            return ERR_FAULT;
        at->hardware = i < n ? hardware : 0;
        at->result = i < n ? INVALIDATE_DONE : result;
    }
    return n < count ? ERR_INVAL : 0;
}

int iommu_invalidate(unsigned unit, u16 did, u32 pasid, u64 array, unsigned count, unsigned *handled)
{
    struct unit *u;
    int err;

    *handled = 0;
    if (unit >= nr_units)
        return ERR_NODEV;
    if (count > INVALIDATE_MAX || !is_aligned(array, sizeof(struct iommu_invalidation)))
        return ERR_INVAL;
    u = units[unit];
    env_lock(&u->lock);
    if (pasid == INVALIDATE_NO_PASID || (u->v.rules.scalable && pasid < INVALIDATE_PASIDS))
        err = run(u, did, pasid, array, count, handled);
    else
        err = ERR_INVAL;
    replay_leave(u);
    return err;
}
