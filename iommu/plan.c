/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one batch must do. Requests only mark: domains, ranges, entries, functions. However many descriptors
 * ask for the same thing, the work is done once, when the batch is emitted; whatever does not fit into the
 * fixed lists is asked for at the next wider granularity, never dropped.
 */
#include "iommu/parts.h"

/* Beyond this many pages in several ranges of a domain, which guests choose, all of its table is looked at
 * instead: that is one pass, whatever the ranges are. */
#define PAGES_LOOKED_AT 0x40000

void plan_reset(struct unit *u)
{
    struct plan *p = &u->plan;

    for (struct domain *d = p->touched; d; d = d->next_touched)
        d->touched = d->all = d->sync_all = false;
    for (unsigned i = 0; i < p->nr_whole; i++)
        u->fns[p->whole[i]].whole = false;
    p->marks[0] = p->marks[1] = p->marks[2] = p->marks[3] = 0;
    p->nr_waits = 0;
    p->looked = p->passed = p->cursor = 0;
}

bool plan_has_room(struct unit *u)
{
    struct plan *p = &u->plan;
    unsigned page = p->nr_waits / WAITS_PER_PAGE;

    p->waits[page] = (struct guest_wait *)shadow_alloc();
    return p->waits[page];
}

static void touch(struct unit *u, struct domain *d)
{
    if (d->touched)
        return;
    d->touched = true;
    d->nr_ranges = 0;
    d->pages = 0;
    d->next_touched = u->plan.touched;
    u->plan.touched = d;
}

void plan_context(struct unit *u, u16 sid, u16 old_did)
{
    struct plan *p = &u->plan;

    if (p->nr_context == PLAN_CONTEXT)
        p->context_all = true;
    if (p->context_all)
        return;
    p->context[p->nr_context].sid = sid;
    p->context[p->nr_context++].did = old_did;
}

void plan_pasid(struct unit *u, u16 old_did, u32 pasid)
{
    struct plan *p = &u->plan;
    u16 last = p->nr_pasid - 1;

    /* What is present nowhere is asked for once, not for each directory. */
    if (p->nr_pasid && p->pasid[last].pasid == pasid && p->pasid[last].did == old_did)
        return;
    if (p->nr_pasid == PLAN_CONTEXT)
        p->pasid_all = true;
    if (p->pasid_all)
        return;
    p->pasid[p->nr_pasid].pasid = pasid;
    p->pasid[p->nr_pasid++].did = old_did;
}

void plan_domain(struct unit *u, struct domain *d, bool sync)
{
    touch(u, d);
    d->all = true;
    d->sync_all |= sync;
    u->plan.sync_all |= sync;
}

void plan_function(struct unit *u, u16 sid)
{
    struct plan *p = &u->plan;
    struct fn *f = fn_find(u, sid);

    if (!f || f->whole)
        return;
    if (p->nr_whole == PLAN_WHOLE) {
        p->devtlb_all = true;
        return;
    }
    f->whole = true;
    p->whole[p->nr_whole++] = (u16)(f - u->fns);
}

void plan_everything(struct unit *u)
{
    u->plan.context_all = u->plan.pasid_all = u->plan.iotlb_all = u->plan.devtlb_all = true;
    u->plan.iec_all = true;
}

static void plan_range(struct unit *u, struct domain *d, u32 pasid, struct range r)
{
    struct plan *p = &u->plan;
    struct range *last = &p->ranges[d->last_range].range;

    touch(u, d);
    if (d->sync_all)
        return;
    /* Neighbours, and the same again, extend the last range: drivers unmap upwards. */
    if (d->nr_ranges && p->ranges[d->last_range].pasid == pasid && r.first >= last->first &&
        r.first <= last->last + 1) {
        if (r.last <= last->last)
            return;
        d->pages += r.last - last->last;
        last->last = r.last;
    } else {
        if (p->nr_ranges == PLAN_RANGES) {
            plan_domain(u, d, true);
            return;
        }
        d->pages += r.last - r.first + 1;
        d->nr_ranges++;
        d->last_range = p->nr_ranges;
        p->ranges[p->nr_ranges++] = (struct planned_range){ r, d, pasid };
    }
    if (d->root && d->nr_ranges > 1 && d->pages > PAGES_LOOKED_AT)
        plan_domain(u, d, true);
}

static __attribute__((noinline)) void request_context(struct unit *u, const struct request *r)
{
    if (r->granularity != DESC_G_DEVICE) {
        /* A domain-selective request may be about entries that did not name the domain before: all are looked
         * at. */
        u->plan.context_all = u->plan.pasid_all = u->plan.devtlb_all = true;
        return;
    }
    if (u->plan.context_all && u->plan.pasid_all && u->plan.devtlb_all)
        return; /* all are looked at anyway */
    for (u16 ignored = r->fm;; ignored = (u16)((ignored - 1) & r->fm)) {
        /* With an entry goes, in scalable mode, all of its directory. */
        u->plan.looked += u->scalable ? PLAN_LOOKS / 16 : 1;
        if (u->plan.looked > PLAN_LOOKS) {
            u->plan.context_all = u->plan.pasid_all = u->plan.devtlb_all = true;
            return;
        }
        context_sync(u, (u16)((r->sid & ~r->fm) | ignored), true);
        if (!ignored)
            break;
    }
}

/* The next of the guest's domain-id. Many descriptors may each be about one of many, or of none: past so many
 * that were looked at in vain, all are flushed, once. */
static struct domain *next_same(struct unit *u, const struct domain *d)
{
    u->plan.iotlb_all |= ++u->plan.passed > PLAN_PASSED;
    return d->next_same && !u->plan.iotlb_all ? domain_get(u, d->next_same) : NULL;
}

/* Every host domain that stands for the guest's; each looks for itself whether it is flushed whole already.
 * One that nobody knows holds nothing. */
void plan_pages(struct unit *u, u16 did, struct range r, u32 descriptors)
{
    for (unsigned first = 0; first < 2; first++)
        for (struct domain *d = domain_of_guest(u, first, did); d; d = next_same(u, d)) {
            d->asked += descriptors;
            if (first || range_is_all(r)) /* of first-stage tables it takes all (6.5.2.2) */
                plan_domain(u, d, true);
            else
                plan_range(u, d, 0, r);
        }
}

static void request_iotlb(struct unit *u, const struct request *r)
{
    if (r->granularity == DESC_G_GLOBAL)
        u->plan.iotlb_all = true;
    else
        plan_pages(u, r->did, r->granularity == DESC_G_PAGE ? r->range : RANGE_ALL, 1);
}

static __attribute__((noinline)) void request_devtlb(struct unit *u, const struct request *r)
{
    struct plan *p = &u->plan;
    struct fn *f = fn_find(u, r->sid);

    /* A source-id without ATS holds nothing: the descriptor completes and nothing is sent. */
    if (!f)
        return;
    f->asked++;
    if (p->asked_all)
        return;
    if (p->nr_devtlb == PLAN_DEVTLB) {
        p->asked_all = true;
        return;
    }
    p->devtlb[p->nr_devtlb++] = (struct devtlb_request){ .fn = (u16)(f - u->fns),
                                                         .range = r->range,
                                                         .pasid = r->pasid,
                                                         .with_pasid = r->type == DESC_PDEVTLB,
                                                         .all_pasids = r->all_pasids };
}

/* PASID-table entries changed, the guest says. Those of one PASID are looked at now, more at once later. */
static __attribute__((noinline)) void request_pasid(struct unit *u, const struct request *r)
{
    if (!u->v.enabled)
        return;
    if (r->granularity != DESC_PC_PASID) {
        u->plan.pasid_all = u->plan.devtlb_all = true;
        return;
    }
    if (u->plan.pasid_all && u->plan.devtlb_all)
        return; /* all are looked at anyway */
    /* The directories that hardware would still know, whatever the guest's context entries say by now. */
    for (struct shadow_dir *dir = u->dirs; dir; dir = dir->next) {
        if (++u->plan.looked > PLAN_LOOKS) {
            u->plan.pasid_all = u->plan.devtlb_all = true;
            return;
        }
        pasid_sync(u, dir, r->pasid, true);
    }
}

/* First-stage tables of one PASID, in any of the directories that know the domain-id. It is no request for
 * second-stage tables; a guest that confuses the two gets what it wanted. */
static __attribute__((noinline)) void request_piotlb(struct unit *u, const struct request *r)
{
    for (unsigned first = 0; first < 2; first++)
        for (struct domain *d = domain_of_guest(u, first, r->did); d; d = next_same(u, d)) {
            if (first && pasid_domain(u, d->dir, r->pasid) != d)
                continue;
            d->asked++;
            if (first)
                plan_range(u, d, r->pasid, r->range);
            else
                plan_domain(u, d, true);
        }
}

void plan_request(struct unit *u, const struct request *r)
{
    switch (r->type) {
    case DESC_CONTEXT:
        request_context(u, r);
        break;
    case DESC_IOTLB:
        request_iotlb(u, r);
        break;
    case DESC_DEVTLB:
    case DESC_PDEVTLB:
        request_devtlb(u, r);
        break;
    case DESC_IEC:
        ir_request(u, r->iec_index, r->iec_all ? 16 : r->iec_order);
        break;
    case DESC_PASID:
        request_pasid(u, r);
        break;
    case DESC_PIOTLB:
        request_piotlb(u, r);
        break;
    case DESC_WAIT:
        plan_wait(u,
                  (struct guest_wait){ r->status_addr, r->status_data, r->wait_status, r->wait_interrupt });
        u->plan.drain |= r->wait_drain;
        break;
    case DESC_PAGE_RESPONSE:
        prq_request(u, r);
        break;
    default:
        break;
    }
}
