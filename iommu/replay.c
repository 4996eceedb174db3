/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's invalidation queue: fetch each descriptor once into private memory, decode it, plan, emit one
 * batch, and when our own wait is done tell the guest. A batch that the hardware does not finish at once is
 * left to the unit's completion event; until then tail writes are only stored.
 */
#include "iommu/parts.h"

static bool queue_stopped(const struct unit *u)
{
    return !(vreg32(u, REG_GSTS) & GCMD_QIE) || vreg32(u, REG_FSTS) & FSTS_IQE;
}

static bool run_extend(struct unit *u, struct desc d)
{
    struct run *run = &u->plan.run;
    u64 pages;

    if (!run->length || d.lo != run->first.lo || d.hi != run->next || d.hi <= run->first.hi)
        return false;
    pages = BIT(d.hi & DESC_AM);
    run->length++;
    run->range.last += pages;
    run->next += pages << PAGE_SHIFT;
    return true;
}

static void run_begin(struct unit *u, struct desc d)
{
    struct run *run = &u->plan.run;

    run->first = d;
    run->length = 1;
    run->did = desc_did(&u->v.rules, d);
    run->range = desc_block(d.hi >> PAGE_SHIFT, d.hi & DESC_AM);
    run->next = d.hi + (PAGE_SIZE << (d.hi & DESC_AM));
}

static void run_end(struct unit *u)
{
    struct run *run = &u->plan.run;

    if (run->length)
        plan_pages(u, run->did, run->range, run->length);
    run->length = 0;
}

/* Fetches and decodes until the tail or an error: a batch is as much as the guest has submitted, so that
 * its tables are walked once whatever the ring holds. Without memory for its waits it is less. The last run
 * is not planned yet. */
static void fetch(struct unit *u)
{
    u64 iqa = vreg64(u, REG_IQA);
    u32 size = (u32)PAGE_SIZE << field_get(iqa, IQA_QS); /* bytes */
    u32 head = vreg32(u, REG_IQH), tail = vreg32(u, REG_IQT);
    volatile struct desc *page = NULL;
    bool wide = iqa & IQA_DW;
    u32 step = (u32)sizeof(struct desc) << wide;
    enum iqei error = IQEI_NONE;

    inside_step(u);
    /* 256-bit descriptors need the scalable mode announced; its tables need them (11.4.9.9). */
    if (u->v.ttm == TTM_RESERVED)
        error = IQEI_TTM;
    else if (wide ? !(u->v.ecap & ECAP_SMTS) : u->v.rules.scalable)
        error = IQEI_WIDTH;
    else if (tail >= size)
        error = IQEI_TAIL;
    else if (wide && tail & IQT_DW_RSVD)
        error = IQEI_ALIGN;
    while (!error && head != tail) {
        struct desc copy;
        u64 upper = 0;

        if (!page || is_aligned(head, PAGE_SIZE))
            page = env_guest_page((iqa & IQA_IQA) + head);
        if (!page) {
            error = IQEI_FETCH;
            break;
        }
        copy.lo = page[head % PAGE_SIZE / sizeof(copy)].lo; /* once: the copy decides */
        copy.hi = page[head % PAGE_SIZE / sizeof(copy)].hi;
        if (wide) { /* the queue is page-aligned, so both halves are in this page */
            volatile struct desc *second = &page[head % PAGE_SIZE / sizeof(copy) + 1];

            upper = second->lo | second->hi;
        }
        if (!upper && run_extend(u, copy)) {
            /* that is all */
        } else if (!upper && desc_is_page_flush(&u->v.rules, copy)) {
            run_end(u);
            run_begin(u, copy);
        } else if (!upper && desc_is_status_wait(copy) && plan_room(u)) {
            plan_wait(u, (struct guest_wait){ .address = copy.hi, .data = copy.lo >> 32, .status = true });
        } else {
            struct request r;

            run_end(u);
            error = desc_decode(&u->v.rules, copy, upper, &r);
            if (error || (r.type == DESC_WAIT && !plan_room(u)))
                break;
            plan_request(u, &r);
        }
        inside_add(u, INSIDE_GUEST, copy.lo, copy.hi);
        u->guest_count[copy.lo & DESC_TYPE]++;
        head = (head + step) & (size - 1);
    }
    u->v.regs[REG_IQH / 4] = head;
    if (error)
        vregs_iqe(u, error);
}

/* False: refused. */
static bool write_status(struct unit *u, const struct guest_wait *w)
{
    volatile u32 *page = env_guest_page(w->address);

    if (!page) {
        env_log_limited(ENV_WARN, "unit %u: guest's wait status address %llx is not its memory: refused",
                        u->index, (unsigned long long)w->address);
        return false;
    }
    __atomic_store_n(&page[w->address % PAGE_SIZE / sizeof(u32)], w->data, __ATOMIC_RELEASE);
    return true;
}

/* Our wait is done: nothing stale is cached any more, so what was unlinked may be reused and the guest may
 * know. */
static void finish(struct unit *u)
{
    inside_step(u);
    inside_add(u, INSIDE_DONE, u->plan.nr_waits, u->hq.cookie);
    u->batch++;
    if (u->dying || u->limbo)
        domain_reap(u);
    if (u->prq.ring)
        prq_finish(u);
    if (u->plan.drain)
        (void)prq_collect(u); /* they are in our queue now; the guest is to find them in its own */
    for (unsigned i = 0; i < u->plan.nr_waits; i++) {
        const struct guest_wait *w = &u->plan.waits[i / WAITS_PER_PAGE][i % WAITS_PER_PAGE];

        if (w->status && !write_status(u, w))
            continue; /* a refused status gives no sign at all */
        if (w->interrupt)
            vregs_completion(u);
    }
    vregs_finish(u);
    plan_reset(u);
}

bool replay_continue(struct unit *u)
{
    if (!u->hq.busy || !hostq_done(u))
        return false;
    finish(u);
    return true;
}

void replay_submit(struct unit *u)
{
    if (!plan_empty(u) || u->prq.answers) {
        emit_batch(u);
        if (!hostq_wait_or_arm(u))
            return;
    }
    finish(u);
}

/* So few that the ring, which is empty, holds all that a run asks for in descriptors of two slots each: of
 * each block one to the unit, and two to each function. */
#define STRAIGHT_ATTS (MAX_FNS / 4)
_Static_assert(MAX_BLOCKS *(1 + 2 * STRAIGHT_ATTS) + 4 <= HQ_PAGES * PAGE_SIZE / (2 * sizeof(struct desc)),
               "hostq_room()");

/*
 * The way of nearly every batch: one run, and waits. It needs no plan, because there is nothing to merge and
 * to sort, and room for it is always there: the long way with that left out. False: something about the
 * batch, its domain or the unit is unusual.
 */
static bool straight(struct unit *u)
{
    struct run *run = &u->plan.run;
    struct domain *d = domain_of_guest(u, false, run->did);

    if (!plan_only_waits(&u->plan) || u->prq.answers || u->atts_lost || u->hq.lost || u->mamv < TABLE_ORDER ||
        (run->range.first ^ run->range.last) >> TABLE_ORDER || !d || d->next_same ||
        domain_of_guest(u, true, run->did) || d->pgtt != PGTT_SECOND ||
        d->nr_atts + u->nr_twice > STRAIGHT_ATTS || !shadow_sync_leaves(u, d, run->range))
        return false;
    d->asked += run->length;
    run->length = 0;
    emit_run(u, d, run->range);
    if (!u->hq.busy || hostq_wait_or_arm(u))
        finish(u);
    return true;
}

void replay_run(struct unit *u)
{
    /* The tail cannot move while we hold the lock, so this is at most one pass over the ring; and one batch,
     * unless memory is short. */
    while (!u->hq.busy && !queue_stopped(u) && vreg32(u, REG_IQH) != vreg32(u, REG_IQT)) {
        fetch(u);
        if (u->plan.run.length && straight(u))
            continue;
        run_end(u);
        if (!plan_empty(u))
            replay_submit(u);
    }
    if (!u->hq.busy && u->prq.answers) /* ours, to requests that the guest has no room for */
        replay_submit(u);
}

void replay_settle(struct unit *u)
{
    if (!u->hq.busy)
        return;
    hostq_settle(u);
    finish(u);
}

void replay_enter(struct unit *u)
{
    env_lock(&u->lock);
    replay_settle(u);
}

void replay_leave(struct unit *u)
{
    replay_run(u);
    env_unlock(&u->lock);
}

void replay_now(struct unit *u)
{
    if (plan_empty(u))
        return;
    emit_batch(u);
    hostq_settle(u);
    finish(u);
}
