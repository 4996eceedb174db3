/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real unit's invalidation queue (6.5.2). One batch at a time: descriptors, then one wait with a value
 * that was never used before, then one tail write. The ring is therefore empty whenever a batch begins.
 */
#include "iommu/parts.h"

/* Longer than any answer a healthy device gives, shorter than a guest's patience. Who is asked alone has
 * nobody before it. */
#define DEADLINE_US       2000000
#define ALONE_DEADLINE_US 200000
#define MAX_RETRIES       (MAX_FNS + 2)
#define STATUS_WORDS      512u                          /* a power of two */
#define FENCE_WORD        (PAGE_SIZE / sizeof(u32) - 1) /* nobody reads it */

int hostq_init(struct unit *u)
{
    struct host_queue *q = &u->hq;

    q->ring = env_pages_alloc(HQ_PAGES);
    q->status = env_page_alloc();
    if (!q->ring || !q->status)
        return ERR_NOMEM;
    q->status_phys = env_phys((const void *)q->status);
    q->mask = (u32)(HQ_PAGES * PAGE_SIZE / sizeof(struct desc)) - 1;
    q->step = u->scalable ? 2 : 1;
    q->tail = q->first = 0;
    q->busy = false;
    return 0;
}

void hostq_push_again(struct unit *u, struct desc d)
{
    hostq_push(u, d);
}

u32 hostq_room(const struct unit *u)
{
    const struct host_queue *q = &u->hq;

    /* One descriptor tells full from empty, two are for our wait and the wait with interrupt, and the last
     * batch's wait with interrupt may still be there. */
    return (q->mask + 1 - ((q->tail - q->first) & q->mask)) / q->step - 4;
}

struct desc hostq_fence(const struct unit *u)
{
    return desc_wait_status(u->hq.status_phys + FENCE_WORD * sizeof(u32), 0, false);
}

/* Queue and status words are snooped whatever ECAP.C says of tables (11.4.3), so nothing is written back. */
static inline void move_tail(struct unit *u)
{
    /* The register write is the barrier: descriptors and tables are in memory before the unit looks (6.8).
     * The queue and its status words are always coherent, whatever ECAP.C says (11.4.3). */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    env_write32(u->regs, REG_IQT, u->hq.tail * (u32)sizeof(struct desc));
}

/* A second wait, so that the first never needs both status and interrupt; it cannot overtake it. */
static __attribute__((noinline)) void arm_event(struct unit *u)
{
    u->hq.event_armed = true;
    leave_to_events();
    fault_unthrottle(u);
    hostq_push(u, desc_wait_interrupt());
    move_tail(u);
}

/* Has the wait with the last cookie been reached? */
static inline bool arrived(const struct host_queue *q)
{
    return q->status[q->cookie % STATUS_WORDS] == q->cookie;
}

/* One wait with a word of its own, which nobody else writes. */
static inline void push_wait(struct unit *u)
{
    /* The word holds what it was given STATUS_WORDS waits ago, or 0, before any has been used; so not this.
     */
    u32 cookie = ++u->hq.cookie, slot = cookie % STATUS_WORDS;

    hostq_push(u, desc_wait_status(u->hq.status_phys + slot * sizeof(u32), cookie,
                                   u->plan.drain && u->ecap & ECAP_PDS));
}

static void flush_function(struct unit *u, const struct fn *f)
{
    if (!f->sid || f->dead || f->silent)
        return;
    hostq_push_devtlb(u, f, desc_devtlb(f->sid, f->pfsid, f->depth, 0, ORDER_ALL));
    if (f->pasids)
        hostq_push_devtlb(u, f, desc_pdevtlb_all(f->sid, f->pfsid, f->depth));
}

/*
 * After an error the batch is not picked apart: what is left of it is replaced by a flush of everything for
 * every live function, which covers whatever it asked for. Errors are rare; one simple right answer beats
 * three clever ones. `suspect`: only that function is asked, or none, because somebody does not answer and
 * the unit does not say who.
 */
static void flush_everything(struct unit *u, u16 suspect)
{
    bool armed = u->hq.event_armed;

    u->hq.first = u->hq.tail;
    u->hq.since_us = 0;
    u->hq.event_armed = false;
    u->hq.suspect = suspect;
    hostq_push(u, desc_context_global());
    if (u->scalable)
        hostq_push(u, desc_pasid_cache_global());
    hostq_push(u, desc_iotlb_global(u->drain_reads, u->drain_writes));
    if (u->irt)
        hostq_push(u, desc_iec_all());
    for (u16 i = 1; i < u->nr_fns; i++)
        if (!suspect || i == suspect)
            flush_function(u, &u->fns[i]);
    prq_emit(u);
    push_wait(u);
    if (armed)
        arm_event(u); /* one tail write for both */
    else
        move_tail(u);
}

/* The unit fetches nothing while the error stands, so the ring is rewritten from its head on. */
static void resubmit(struct unit *u, u32 error, u16 suspect)
{
    u->hq.tail = (u32)(env_read64(u->regs, REG_IQH) / sizeof(struct desc)) & u->hq.mask;
    flush_everything(
        u, suspect); /* stored only: the old tail must not be fetched up to once the error is cleared */
    env_write32(u->regs, REG_FSTS, error);
    move_tail(u); /* some units look again only now */
}

/* The next live function behind `after` (UNIT_ALONE: the first one), 0 if there is none. */
static u16 next_live(const struct unit *u, u16 after)
{
    for (u16 i = (u16)(after + 1); i < u->nr_fns; i++)
        if (u->fns[i].sid && !u->fns[i].dead)
            return i;
    return 0;
}

/* Who was asked alone has answered; false: the next one is asked. */
static __attribute__((noinline)) bool cleared(struct unit *u)
{
    u->hq.suspect = next_live(u, u->hq.suspect);
    if (u->hq.suspect)
        flush_everything(u, u->hq.suspect);
    return !u->hq.suspect;
}

static void end_batch(struct host_queue *q)
{
    q->busy = false;
    q->event_armed = false;
    q->since_us = 0;
    q->suspect = 0;
    q->first = q->tail;
}

static bool status_arrived(struct unit *u)
{
    struct host_queue *q = &u->hq;

    if (!arrived(q))
        return false;
    q->retries = 0;
    if (q->suspect && !cleared(u))
        return false;
    end_batch(q);
    return true;
}

void hostq_submit(struct unit *u)
{
    struct host_queue *q = &u->hq;

    push_wait(u);
    if (unlikely(!iommu_opts.wait_us)) {
        q->busy = true;
        arm_event(u); /* one tail write for both */
        return;
    }
    move_tail(u);
    if (likely(arrived(q))) /* before the clock is even read, and before anybody knows of a batch */
        q->first = q->tail;
    else
        q->busy = true;
}

static void quarantine(struct unit *u, struct fn *f)
{
    f->dead = true;
    f->gate = false;
    env_log(ENV_ERR, "unit %u: device %02x:%02x.%x did not answer a device-TLB invalidation: quarantined",
            u->index, f->sid >> 8, f->sid >> 3 & 0x1f, f->sid & 7);
    env_bus_master_off(u->segment, f->sid);
    prq_forget(u, f->sid);
    context_sync(u, f->sid, true); /* its hardware entry becomes not-present */
    vregs_ite(u, f->sid);
}

/* Who was asked last has not answered: blames it when it was alone. Returns who is next. */
static u16 blame(struct unit *u)
{
    u16 suspect = u->hq.suspect;

    if (suspect && suspect != UNIT_ALONE)
        quarantine(u, &u->fns[suspect]);
    return next_live(u, suspect);
}

/*
 * ITE (6.5.2.11): all pending waits were aborted; the unit fetches again from IQH once the bit is cleared.
 * When it does not say who, the functions are asked one by one, so that the others go on.
 */
static void recover_timeout(struct unit *u)
{
    u16 sid = (u16)field_get(env_read64(u->regs, REG_IQERCD), IQERCD_ITESID);
    struct fn *f = sid ? fn_find(u, sid) : NULL;

    if (f && !f->dead)
        quarantine(u, f);
    resubmit(u, FSTS_ITE, f ? u->hq.suspect : blame(u));
}

static void recover_descriptor(struct unit *u)
{
    struct host_queue *q = &u->hq;
    u32 head = (u32)(env_read64(u->regs, REG_IQH) / sizeof(struct desc)) & q->mask;

    env_log(ENV_ERR, "unit %u: refused our descriptor %llx:%llx", u->index,
            (unsigned long long)q->ring[head].hi, (unsigned long long)q->ring[head].lo);
    resubmit(u, FSTS_IQE, q->suspect);
}

bool hostq_errors(struct unit *u)
{
    struct host_queue *q = &u->hq;
    u32 fsts = env_read32(u->regs, REG_FSTS) & (FSTS_ITE | FSTS_IQE | FSTS_ICE);

    if (!fsts)
        return false;
    q->errors |= fsts;
    if (fsts & FSTS_ICE) {
        /* A device answered what nobody asked, or too late (6.5.2.11): the queue goes on by itself. */
        env_log_limited(ENV_WARN, "unit %u: bogus device-TLB completion", u->index);
        env_write32(u->regs, REG_FSTS, FSTS_ICE);
    }
    if (!q->busy)
        env_write32(u->regs, REG_FSTS, fsts); /* an error that stands would keep later ones quiet (7.3) */
    else if (q->retries++ > MAX_RETRIES)
        return true; /* the deadline ends it */
    else if (fsts & FSTS_ITE)
        recover_timeout(u);
    else if (fsts & FSTS_IQE)
        recover_descriptor(u);
    return true;
}

/* Everything behind the unit, since none of it can be translated safely any more: with no DMA there is
 * nothing stale, so the guest's waits are true. */
void hostq_lose(struct unit *u)
{
    struct host_queue *q = &u->hq;

    if (q->lost)
        return;
    env_log(ENV_ERR,
            "unit %u at %llx obeys no more (IQH %llx, IQT %x): bus mastering behind it is switched off",
            u->index, (unsigned long long)u->base, (unsigned long long)env_read64(u->regs, REG_IQH),
            q->tail * (u32)sizeof(struct desc));
    q->lost = true;
    q->errors |= FSTS_ITE;
    end_batch(q);
    for (u32 sid = 0; sid < 0x10000; sid++)
        if (env_pci_read32(u->segment, (u16)sid, 4) != ~0u && unit_of(u->segment, (u16)sid) == u)
            env_bus_master_off(u->segment, (u16)sid);
    vregs_ite(u, 0);
}

/*
 * The batch has had its time and the unit reports nothing, so the time-out is ours: the queue is switched off
 * and on, which leaves nothing of what it held. Then the unit is asked alone, and after it each function
 * alone, so that only who is silent is blamed.
 */
static void force_timeout(struct unit *u)
{
    struct host_queue *q = &u->hq;

    env_log_limited(ENV_ERR, "unit %u: invalidation queue does not answer (IQH %llx, IQT %x)", u->index,
                    (unsigned long long)env_read64(u->regs, REG_IQH), q->tail * (u32)sizeof(struct desc));
    if (q->suspect == UNIT_ALONE || hw_restart_queue(u)) {
        hostq_lose(u);
        return;
    }
    q->errors |= FSTS_ITE;
    q->tail = 0;
    flush_everything(u, q->suspect ? blame(u) : UNIT_ALONE);
}

/* The clock runs from the first look that finds the batch not done. */
static bool overdue(struct host_queue *q)
{
    u64 now = env_now_us();

    if (!q->since_us)
        q->since_us = now;
    return now - q->since_us > (q->suspect ? ALONE_DEADLINE_US : DEADLINE_US);
}

bool hostq_done(struct unit *u)
{
    if (!u->hq.busy || status_arrived(u))
        return true;
    (void)hostq_errors(u);
    if (status_arrived(u))
        return true;
    if (overdue(&u->hq))
        force_timeout(u);
    return !u->hq.busy;
}

bool hostq_wait_or_arm(struct unit *u)
{
    struct host_queue *q = &u->hq;

    if (!q->busy)
        return true;
    if (iommu_opts.wait_us) {
        do {
            if (hostq_done(u))
                return true;
            env_relax();
        } while (env_now_us() - q->since_us < iommu_opts.wait_us);
    }
    if (!q->event_armed)
        arm_event(u);
    return false;
}

void hostq_settle(struct unit *u)
{
    while (!hostq_done(u)) /* ends: each deadline that passes takes a function away, or the unit */
        env_relax();
}
