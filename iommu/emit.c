/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the plan to the host's queue. Order (6.5.2.12): context-cache, PASID-cache, IOTLB, device-TLB, wait;
 * submission order and the one wait at the end are all that is needed between them.
 */
#include "iommu/parts.h"

/*
 * THE DEVICE-TLB DECISION. Every flush that Sluice sends for cached translations of a function asks here, and
 * nobody else decides. `asked`: the guest itself asked this function to be flushed for this range.
 *
 * `first`: it is about nothing but a first-stage table of the guest.
 *
 * The default is yes, whatever the guest sent and whatever its caching mode says: the specification ties
 * caching mode to nothing about device TLBs, so a guest that left the flush to us and a guest that forgot it
 * look alike.
 */
static bool devtlb_wanted(const struct unit *u, const struct fn *f, bool asked, bool first)
{
    if (!u->device_tlb || f->dead || f->silent)
        return false;
    if (likely(iommu_opts.dtlb == DTLB_ALWAYS))
        return true;
    /* Unsafe: only what the guest sends, or (DTLB_CM) caching mode as the contract; it covers all but
     * first-stage tables (6.1). */
    return asked || (iommu_opts.dtlb == DTLB_CM && u->v.cap & CAP_CM && !first);
}

/* All that a function may hold, for its plain requests and for every PASID it has used. */
static void emit_function(struct unit *u, struct fn *f, bool asked, bool first)
{
    if (!devtlb_wanted(u, f, asked, first))
        return;
    f->sent++;
    hostq_push_devtlb(u, f, desc_devtlb(f->sid, f->pfsid, f->depth, 0, ORDER_ALL));
    if (f->pasids)
        hostq_push_devtlb(u, f, desc_pdevtlb_all(f->sid, f->pfsid, f->depth));
}

/* Pages, of its plain requests or of a PASID. */
static void emit_pages(struct unit *u, struct fn *f, bool plain, u32 pasid, u64 page, unsigned order)
{
    f->sent++;
    hostq_push_devtlb(u, f,
                      plain ? desc_devtlb(f->sid, f->pfsid, f->depth, page, order)
                            : desc_pdevtlb(f->sid, f->pfsid, f->depth, pasid, page, order));
}

/* The guest's own request, with the host's values. */
static void emit_asked(struct unit *u, const struct devtlb_request *r)
{
    struct fn *f = &u->fns[r->fn];

    if (!devtlb_wanted(u, f, true, false))
        return;
    if (!r->all_pasids) {
        emit_pages(u, f, !r->with_pasid, r->pasid, r->range.first, range_order(r->range));
        return;
    }
    f->sent++;
    hostq_push_devtlb(u, f, desc_pdevtlb_all(f->sid, f->pfsid, f->depth));
}

/*
 * A range of a domain as few aligned blocks, which is what descriptors can say: up to four exact ones, else
 * the one that holds it. What is too large for a page-selective request takes all of the domain.
 */
static void cut(struct unit *u, struct domain *d, u32 pasid, struct range r)
{
    struct plan *p = &u->plan;
    struct block *b = &p->blocks[p->nr_blocks];
    unsigned order = range_order(r), largest = 0, n = 0;
    u64 at = r.first;

    for (; at <= r.last && n < MAX_BLOCKS; n++) {
        unsigned o = 63 - (unsigned)__builtin_clzll(r.last - at + 1);

        if (at)
            o = MIN(o, (unsigned)__builtin_ctzll(at));
        b[n] = (struct block){ at, o, pasid, d };
        largest = MAX(largest, o);
        at += BIT(o);
    }
    if (at <= r.last) { /* more than a few */
        b[0] = (struct block){ align_down(at = r.first, BIT(order)), order, pasid, d };
        largest = order;
        n = 1;
    }
    p->nr_blocks = (u16)(p->nr_blocks + n);
    /* Of a first-stage table any size can be flushed. */
    if (d->pgtt == PGTT_SECOND && largest > u->mamv)
        d->all = true;
}

/* Entries, and all of a domain's table. */
static __attribute__((noinline)) void sync_more(struct unit *u)
{
    struct plan *p = &u->plan;

    if (p->context_all || p->pasid_all)
        context_sync_all(u); /* and below each entry its PASIDs */
    if (p->iec_all)
        ir_sync_all(u);
    if (p->iotlb_all && u->v.enabled)
        for (u32 did = DID_FIRST; did < u->next_did; did++) {
            struct domain *d = domain_get(u, (u16)did);

            if (d && d->refs)
                plan_domain(u, d, true);
        }
    for (struct domain *d = p->touched; d; d = d->next_touched)
        if (d->sync_all)
            shadow_sync(u, d, &(struct range){ 0, PAGE_NR_MAX });
}

/* Tables first, all of them: the unit may refill its caches while the queue runs. */
static void sync_domains(struct unit *u)
{
    struct plan *p = &u->plan;

    if (plan_more(p))
        sync_more(u);
    if (u->atts_lost)
        p->devtlb_all = true;
    for (unsigned i = 0; i < p->nr_ranges; i++) {
        struct domain *d = p->ranges[i].domain;

        if (!d->sync_all) /* and so all of it is flushed */
            shadow_sync_pages(u, d, &p->ranges[i].range);
        if (!d->all)
            cut(u, d, p->ranges[i].pasid, p->ranges[i].range);
    }
}

/* Context, PASID-table and interrupt entries. */
static __attribute__((noinline)) void emit_entries(struct unit *u)
{
    struct plan *p = &u->plan;

    if (p->context_all)
        hostq_push(u, desc_context_global());
    for (unsigned i = 0; i < p->nr_context && !p->context_all; i++)
        hostq_push(u, desc_context_device(p->context[i].did, p->context[i].sid));
    if (u->scalable && p->pasid_all)
        hostq_push(u, desc_pasid_cache_global());
    for (unsigned i = 0; i < p->nr_pasid && !p->pasid_all; i++)
        hostq_push(u, desc_pasid_cache(p->pasid[i].did, p->pasid[i].pasid));
    if (u->irt && p->iec_all)
        hostq_push(u, desc_iec_all());
    for (unsigned i = 0; i < p->nr_iec && !p->iec_all; i++)
        hostq_push(u, desc_iec(p->iec[i].index, p->iec[i].order));
}

static void emit_iotlb_block(struct unit *u, const struct block *b)
{
    struct domain *d = b->domain;

    d->sent++;
    if (d->pgtt == PGTT_SECOND) {
        hostq_push(u, desc_iotlb_pages(d->iotlb_low, b->page, b->order));
        return;
    }
    hostq_push(u, b->order < ORDER_ALL ? desc_piotlb_pages(d->did, b->pasid, b->page, b->order)
                                       : desc_piotlb(d->did, b->pasid));
    u->hq.piotlb = true;
}

static void emit_iotlb(struct unit *u)
{
    struct plan *p = &u->plan;

    if (p->iotlb_all) {
        hostq_push(u, desc_iotlb_global(u->drain_reads, u->drain_writes));
        return;
    }
    for (unsigned i = 0; i < p->nr_blocks; i++)
        if (!p->blocks[i].domain->all)
            emit_iotlb_block(u, &p->blocks[i]);
    for (struct domain *d = p->touched; d; d = d->next_touched)
        if (d->all) {
            d->sent++;
            hostq_push(u, desc_iotlb_domain(d->did, u->drain_reads, u->drain_writes));
        }
}

/* Type 3 is not listed as ordered behind type 6 (6.5.2.12), so a wait with FN=1 stands between them. */
static void emit_fence(struct unit *u)
{
    if (u->nr_fns > 1 && u->hq.piotlb)
        hostq_push(u, hostq_fence(u));
    u->hq.piotlb = false;
}

/* Does each function flush all that it holds? */
static bool everyone(const struct plan *p)
{
    return p->devtlb_all || p->iotlb_all || p->asked_all;
}

/* ... and this one because of nothing but first-stage tables: the guest asked for all of the IOTLB, and for
 * no entry. */
static bool for_first_stage(struct unit *u, const struct fn *f)
{
    if (u->plan.devtlb_all)
        return false;
    for (u16 i = f->first_att; i; i = u->atts[i].next_of_fn)
        if (u->atts[i].did)
            return false;
    return true;
}

/* What the functions in a domain may hold of a block, each by its way into it. */
static void emit_atts(struct unit *u, const struct block *b)
{
    const struct domain *d = b->domain;
    u64 plain = desc_devtlb_high(b->page, b->order);

    for (u16 n = d->first_att; n;) {
        const struct att *a = &u->atts[n];
        struct fn *f = &u->fns[a->fn];

        n = a->next_of_domain;
        if (f->whole || !devtlb_wanted(u, f, false, false))
            continue;
        f->sent++;
        if (a->rid)
            hostq_push_plain_devtlb(u, f, (struct desc){ f->devtlb_low, plain });
        else
            hostq_push_devtlb(u, f, desc_pdevtlb(f->sid, f->pfsid, f->depth, a->pasid, b->page, b->order));
    }
}

/* The same, also of first-stage tables: these are reached by the one function whose directory leads to them.
 */
static void emit_devtlb(struct unit *u, const struct block *b)
{
    const struct domain *d = b->domain;
    struct fn *f;

    if (d->root) {
        emit_atts(u, b);
        return;
    }
    f = fn_find(u, d->dir->sid);
    if (!f || f->whole)
        return;
    if (d->all)
        emit_function(u, f, false, true);
    else if (devtlb_wanted(u, f, false, true))
        emit_pages(u, f, b->pasid == d->dir->guest.rid_pasid, b->pasid, b->page, b->order);
}

/* What Sluice adds: for each flushed domain all its functions, for each changed entry its function. */
static void emit_implied_devtlb(struct unit *u)
{
    struct plan *p = &u->plan;

    if (everyone(p)) {
        for (unsigned i = 1; i < u->nr_fns; i++)
            if (u->fns[i].sid)
                emit_function(u, &u->fns[i], p->asked_all, for_first_stage(u, &u->fns[i]));
        return;
    }
    for (unsigned i = 0; i < p->nr_whole; i++)
        emit_function(u, &u->fns[p->whole[i]], false, false);
    for (unsigned i = 0; i < p->nr_blocks; i++)
        if (!p->blocks[i].domain->all)
            emit_devtlb(u, &p->blocks[i]);
    for (struct domain *d = p->touched; d; d = d->next_touched)
        if (d->all)
            emit_devtlb(u, &(struct block){ 0, ORDER_ALL, 0, d });
}

/* A run that is no block. */
static __attribute__((noinline)) void emit_pieces(struct unit *u, struct domain *d, struct range r)
{
    cut(u, d, 0, r);
    emit_iotlb(u);
    emit_implied_devtlb(u);
    u->plan.nr_blocks = 0;
    hostq_submit(u);
}

void emit_run(struct unit *u, struct domain *d, struct range r)
{
    unsigned order = range_order(r);
    u64 plain = desc_devtlb_high(r.first, order);

    if (r.last - r.first != BIT(order) - 1) {
        emit_pieces(u, d, r);
        return;
    }
    /* The same without lists, and without PASIDs, which legacy mode has not. */
    d->sent++;
    hostq_push_type(u, DESC_IOTLB, desc_iotlb_pages(d->iotlb_low, r.first, order));
    for (u16 n = d->first_att; n; n = u->atts[n].next_of_domain) {
        struct fn *f = &u->fns[u->atts[n].fn];

        if (!devtlb_wanted(u, f, false, false))
            continue;
        f->sent++;
        hostq_push_type(u, DESC_DEVTLB, (struct desc){ f->devtlb_low, plain });
    }
    hostq_submit(u);
}

/* Is the range among those of the domain? Guests ask in the order of their IOTLB descriptors, so the search
 * goes on where the last one ended. */
static bool range_planned(struct plan *p, const struct domain *d, u32 pasid, struct range r)
{
    for (unsigned n = 0; n < p->nr_ranges; n++) {
        const struct planned_range *planned = &p->ranges[p->cursor];

        if (planned->domain == d && planned->pasid == pasid && range_covers(planned->range, r))
            return true;
        p->cursor = (u16)((p->cursor + 1) % p->nr_ranges);
    }
    return false;
}

/* The domain that the request is about; NULL: it is about more, or a way that nobody knows. */
static struct domain *asked_about(struct unit *u, const struct fn *f, const struct devtlb_request *r,
                                  u32 *pasid)
{
    u32 rid = f->dir ? f->dir->guest.rid_pasid : 0;

    *pasid = r->with_pasid ? r->pasid : rid;
    if (r->all_pasids || (r->with_pasid && (r->pasid == rid || !f->dir)))
        return NULL;
    if (f->dir)
        return pasid_domain(u, f->dir, *pasid);
    return f->first_att ? domain_get(u, u->atts[f->first_att].did) : NULL;
}

/* Has emit_implied_devtlb() sent at least this much to the function? */
static bool covered(struct unit *u, const struct devtlb_request *r)
{
    const struct fn *f = &u->fns[r->fn];
    struct domain *d;
    u32 pasid;

    if (everyone(&u->plan) || f->whole)
        return devtlb_wanted(u, f, false, !f->whole && for_first_stage(u, f));
    d = asked_about(u, f, r, &pasid);
    return d && d->touched && devtlb_wanted(u, f, false, !d->root) &&
           (d->all || range_planned(&u->plan, d, d->root ? 0 : pasid, r->range));
}

static void emit_asked_devtlb(struct unit *u)
{
    struct plan *p = &u->plan;

    for (unsigned i = 0; i < p->nr_devtlb && !p->asked_all; i++)
        if (!covered(u, &p->devtlb[i]))
            emit_asked(u, &p->devtlb[i]);
}

/* An upper bound of what the plan emits; a first-stage domain has one function. */
static u64 needed(struct unit *u)
{
    struct plan *p = &u->plan;
    u64 n = 5ull + p->nr_context + p->nr_iec + p->nr_pasid + 2ull * p->nr_whole + p->nr_devtlb +
            u->prq.answers + (everyone(p) ? 2ull * u->nr_fns : 0);

    for (unsigned i = 0; i < p->nr_blocks; i++)
        n += 2ull + p->blocks[i].domain->nr_atts;
    for (const struct domain *d = p->touched; d; d = d->next_touched)
        n += 3ull + d->nr_atts;
    return u->nr_twice ? 2 * n : n;
}

void emit_batch(struct unit *u)
{
    if (u->hq.lost)
        return; /* nothing behind it does DMA */
    sync_domains(u);
    inside_step(u);
    if (needed(u) > hostq_room(u)) /* one global flush is cheaper than a full ring, and always fits */
        plan_everything(u);
    if (plan_more(&u->plan))
        emit_entries(u);
    emit_iotlb(u);
    emit_fence(u);
    emit_implied_devtlb(u);
    emit_asked_devtlb(u);
    if (u->prq.answers)
        prq_emit(u); /* last: the device tries again when it hears */
    hostq_submit(u);
}
