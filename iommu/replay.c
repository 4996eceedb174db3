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

/* From one page flush of a run to the next, in the high quadword. */
static inline u64 run_step(struct desc d)
{
    return PAGE_SIZE << (d.hi & DESC_AM);
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
    run->next = d.hi + run_step(d);
}

static void run_end(struct unit *u)
{
    struct run *run = &u->plan.run;

    if (run->length)
        plan_pages(u, run->did, run->range, run->length);
    run->length = 0;
}

/* Once: the copy decides. */
static inline struct desc load(const volatile struct desc *at)
{
    return (struct desc){ at->lo, at->hi };
}

/* Of a valid one. */
static inline void note(struct unit *u, u64 type, struct desc d)
{
    inside_add(u, INSIDE_GUEST, d.lo, d.hi);
    u->guest_count[type]++;
}

/* Descriptors from the head on that have been read: a run that begins with `first` and has been noted, and
 * one more, which has not. */
struct ahead {
    struct desc first, last;
    u32 count;
};

static struct desc take(const struct ahead *a, u32 n)
{
    if (n + 1 == a->count)
        return a->last;
    return (struct desc){ a->first.lo, a->first.hi + n * run_step(a->first) };
}

/* Fetches and decodes until the tail or an error: a batch is as much as the guest has submitted, so that
 * its tables are walked once whatever the ring holds. Without memory for its waits it is less. The last run
 * is not planned yet. */
static void fetch(struct unit *u, const struct ahead *ahead)
{
    u64 iqa = vreg64(u, REG_IQA);
    u32 size = (u32)PAGE_SIZE << field_get(iqa, IQA_QS); /* bytes */
    u32 head = vreg32(u, REG_IQH), tail = vreg32(u, REG_IQT);
    volatile struct desc *page = NULL;
    bool wide = iqa & IQA_DW;
    u32 step = (u32)sizeof(struct desc) << wide;
    enum iqei error = IQEI_NONE;
    u32 n = 0;

    inside_step(u);
    /* 256-bit descriptors need the scalable mode announced; its tables need them (11.4.9.9). */
    if (u->v.ttm == TTM_RESERVED)
        error = IQEI_TTM;
    else if (wide ? !(u->v.ecap & ECAP_SMTS) : u->v.rules.scalable)
        error = IQEI_WIDTH;
    else if (wide && tail & IQT_DW_RSVD)
        error = IQEI_ALIGN;
    else if (tail >= size)
        error = IQEI_TAIL;
    while (!error && head != tail) {
        struct desc copy;
        u64 upper = 0;

        if (!page || is_aligned(head, PAGE_SIZE))
            page = env_guest_ram((iqa & IQA_IQA) + align_down(head, PAGE_SIZE));
        if (!page) {
            error = IQEI_FETCH;
            break;
        }
        copy = n < ahead->count ? take(ahead, n) : load(&page[head % PAGE_SIZE / sizeof(copy)]);
        n++;
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
        if (n >= ahead->count)
            note(u, copy.lo & DESC_TYPE, copy);
        head = (head + step) & (size - 1);
    }
    u->v.regs[REG_IQH / 4] = head;
    if (error)
        vregs_iqe(u, error);
}

/* False: refused. */
static inline bool write_status(struct unit *u, u64 address, u32 data)
{
    volatile u32 *word = env_guest_ram(address);

    if (!word) {
        env_log_limited(ENV_WARN, "unit %u: guest's wait status address %llx is not its memory: refused",
                        u->index, (unsigned long long)address);
        return false;
    }
    __atomic_store_n(word, data, __ATOMIC_RELEASE);
    return true;
}

/* Our wait is done: nothing stale is cached any more. */
static inline void batch_done(struct unit *u, u32 waits)
{
    inside_step(u);
    inside_add(u, INSIDE_DONE, waits, u->hq.cookie);
    u->batch++;
}

/* So what was unlinked may be reused and the guest may know. */
static void finish(struct unit *u)
{
    batch_done(u, u->plan.nr_waits);
    if (u->dying || u->limbo)
        domain_reap(u);
    if (u->prq.ring)
        prq_finish(u);
    if (u->plan.drain)
        (void)prq_collect(u); /* they are in our queue now; the guest is to find them in its own */
    for (unsigned i = 0; i < u->plan.nr_waits; i++) {
        const struct guest_wait *w = &u->plan.waits[i / WAITS_PER_PAGE][i % WAITS_PER_PAGE];

        if (w->status && !write_status(u, w->address, w->data))
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

/* `count` descriptors have been read: see struct ahead. */
static __attribute__((noinline)) void long_way(struct unit *u, struct desc first, struct desc last, u32 count)
{
    struct ahead ahead = { first, last, count };

    /* The tail cannot move while we hold the lock, so this is at most one pass over the ring; and one batch,
     * unless memory is short. */
    while (!u->hq.busy && !queue_stopped(u) && vreg32(u, REG_IQH) != vreg32(u, REG_IQT)) {
        fetch(u, &ahead);
        ahead.count = 0;
        run_end(u);
        if (!plan_empty(u))
            replay_submit(u);
    }
    /* Ours, to requests that the guest has no room for; each may let one in that has waited. */
    for (unsigned n = 0; n < PRQ_GROUPS && !u->hq.busy && u->prq.answers; n++)
        replay_submit(u);
}

/*
 * The way of nearly every batch: flushes of pages that follow each other, and a wait. It needs no plan,
 * because there is nothing to merge and to sort, and room for it is always there: the long way with that left
 * out. When something about the batch, its domain or the unit is unusual, the long way goes on with what has
 * been read, so that no word of the guest's is read twice.
 */
static void straight(struct unit *u, const volatile struct desc *at, u32 count)
{
    struct desc first = load(at), wait;
    u64 pages = BIT(first.hi & DESC_AM), step = run_step(first);
    struct domain *d;
    struct range r;

    if (!desc_is_page_flush(&u->v.rules, first)) {
        long_way(u, first, first, 1);
        return;
    }
    inside_step(u);
    note(u, DESC_IOTLB, first);
    for (u32 n = 1; n < count; n++) {
        struct desc next = load(&at[n]);

        if (next.lo != first.lo || next.hi != first.hi + n * step) {
            long_way(u, first, next, n + 1);
            return;
        }
        note(u, DESC_IOTLB, next);
    }
    wait = load(&at[count]);
    r.first = align_down(first.hi >> PAGE_SHIFT, pages);
    r.last = r.first + count * pages - 1;
    /* In legacy mode there are no first-stage tables beside it. */
    d = domain_of_guest(u, false, desc_did(&u->v.rules, first));
    if (!desc_is_status_wait(wait) || (r.first ^ r.last) >> TABLE_ORDER || u->mamv < TABLE_ORDER || !d ||
        d->next_same || d->pgtt != PGTT_SECOND || d->nr_atts > STRAIGHT_ATTS ||
        u->nr_twice | u->prq.answers | u->atts_lost | u->hq.lost || !shadow_sync_leaves(u, d, r)) {
        long_way(u, first, wait, count + 1);
        return;
    }
    note(u, DESC_WAIT, wait);
    d->asked += count;
    u->v.regs[REG_IQH / 4] = vreg32(u, REG_IQT);
    emit_run(u, d, r);
    if (likely(!u->hq.busy)) {
        batch_done(u, 1);
        (void)write_status(u, wait.hi, wait.lo >> 32);
        return;
    }
    plan_wait(u, (struct guest_wait){ .address = wait.hi, .data = wait.lo >> 32, .status = true });
    if (hostq_wait_or_arm(u))
        finish(u);
}

void replay_run(struct unit *u)
{
    u32 head = vreg32(u, REG_IQH), tail = vreg32(u, REG_IQT);
    const volatile struct desc *at = NULL;

    if (unlikely(u->hq.busy) && !replay_continue(u))
        return;
    /* All in one page, and the tail too, so that it is not past the end of the ring. */
    if (likely(u->v.plain_queue && !(vreg32(u, REG_FSTS) & FSTS_IQE) && (head ^ tail) < PAGE_SIZE &&
               tail > head + sizeof(*at)))
        at = env_guest_ram((vreg64(u, REG_IQA) & IQA_IQA) + head);
    if (likely(at))
        straight(u, at, (tail - head) / (u32)sizeof(*at) - 1);
    else
        long_way(u, (struct desc){ 0 }, (struct desc){ 0 }, 0);
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
