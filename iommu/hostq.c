/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real unit's invalidation queue (6.5.2). One batch at a time: descriptors, then one wait with a value
 * that was never used before, then one tail write. The ring is therefore empty whenever a batch begins.
 */
#include "iommu/unit.h"

/* Longer than any answer a healthy device gives, shorter than a guest's patience. */
#define HARD_DEADLINE_US 2000000
#define MAX_RETRIES      (MAX_FNS + 2)
#define STATUS_WORDS     (PAGE_SIZE / sizeof(u32))

int hostq_init(struct unit *u)
{
    struct host_queue *q = &u->hq;

    q->ring = env_pages_alloc(HQ_PAGES);
    q->status = env_page_alloc();
    if (!q->ring || !q->status)
        return ERR_NOMEM;
    q->status_phys = env_phys((const void *)q->status);
    q->mask = (u32)(HQ_PAGES * PAGE_SIZE / sizeof(struct desc)) - 1;
    q->tail = q->first = 0;
    q->busy = false;
    return 0;
}

static enum count_kind kind_of(struct desc d)
{
    switch (d.lo & DESC_TYPE) {
    case DESC_CONTEXT:
        return COUNT_CONTEXT;
    case DESC_IOTLB:
        return COUNT_IOTLB;
    case DESC_DEVTLB:
        return COUNT_DEVTLB;
    case DESC_IEC:
        return COUNT_IEC;
    default:
        return COUNT_WAIT;
    }
}

u32 hostq_room(const struct unit *u)
{
    const struct host_queue *q = &u->hq;

    /* One slot tells full from empty, two are for our wait and the wait with interrupt. */
    return q->mask - ((q->tail - q->first) & q->mask) - 2;
}

void hostq_push(struct unit *u, struct desc d)
{
    struct host_queue *q = &u->hq;

    q->ring[q->tail] = d;
    if (!u->coherent)
        env_writeback(&q->ring[q->tail], sizeof(d));
    q->tail = (q->tail + 1) & q->mask;
    u->host_count[kind_of(d)]++;
}

static void move_tail(struct unit *u)
{
    /* The register write is the barrier: descriptors and tables are in memory before the unit looks (6.8). */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    env_write32(u->regs, REG_IQT, u->hq.tail * (u32)sizeof(struct desc));
}

void hostq_submit(struct unit *u)
{
    struct host_queue *q = &u->hq;
    u32 slot;

    q->cookie++;
    if (!q->cookie) /* 0 is what an unused word holds */
        q->cookie = 1;
    slot = q->cookie % STATUS_WORDS;
    q->status[slot] = 0;
    hostq_push(u, desc_wait_status(q->status_phys + slot * sizeof(u32), q->cookie));
    q->busy = true;
    q->event_armed = false;
    q->since_us = 0;
    move_tail(u);
}

static bool status_arrived(struct host_queue *q)
{
    if (q->status[q->cookie % STATUS_WORDS] != q->cookie)
        return false;
    q->busy = false;
    q->first = q->tail;
    q->retries = 0;
    return true;
}

/*
 * After an error the batch is not picked apart: what is left of it is replaced by a flush of everything for
 * every live function, which covers whatever it asked for. Errors are rare; one simple right answer beats
 * three clever ones. The unit fetches nothing while the error stands, so the ring is rewritten from its head
 * on.
 */
static void resubmit(struct unit *u, u32 error)
{
    struct host_queue *q = &u->hq;

    q->tail = q->first = (u32)(env_read64(u->regs, REG_IQH) / sizeof(struct desc)) & q->mask;
    hostq_push(u, desc_context_global());
    hostq_push(u, desc_iotlb_global(u->drain_reads, u->drain_writes));
    for (unsigned i = 0; i < u->nr_fns; i++)
        if (!u->fns[i].dead)
            hostq_push(u, desc_devtlb(u->fns[i].sid, u->fns[i].pfsid, u->fns[i].depth, 0, ORDER_ALL));
    hostq_submit(u); /* stored only: the old tail must not be fetched up to once the error is cleared */
    env_write32(u->regs, REG_FSTS, error);
    move_tail(u); /* some units look again only now */
}

static void quarantine(struct unit *u, struct fn *f)
{
    f->dead = true;
    f->gate = false;
    env_log(ENV_ERR, "unit %u: device %02x:%02x.%x did not answer a device-TLB invalidation: quarantined",
            u->index, f->sid >> 8, f->sid >> 3 & 0x1f, f->sid & 7);
    context_sync(u, f->sid, true); /* its hardware entry becomes not-present */
}

/* ITE: 6.5.2.11. All pending waits were aborted; the unit fetches again from IQH once the bit is cleared. */
static void recover_timeout(struct unit *u)
{
    u16 sid = (u16)field_get(env_read64(u->regs, REG_IQERCD), IQERCD_ITESID);
    struct fn *f = sid ? fn_find(u, sid) : NULL;

    if (f) {
        quarantine(u, f);
    } else {
        /* The unit does not say who: nobody can be trusted to answer. */
        for (unsigned i = 0; i < u->nr_fns; i++)
            if (!u->fns[i].dead)
                quarantine(u, &u->fns[i]);
    }
    resubmit(u, FSTS_ITE);
}

static void recover_descriptor(struct unit *u)
{
    struct host_queue *q = &u->hq;
    u32 head = (u32)(env_read64(u->regs, REG_IQH) / sizeof(struct desc)) & q->mask;

    env_log(ENV_ERR, "unit %u: refused our descriptor %llx:%llx", u->index,
            (unsigned long long)q->ring[head].hi, (unsigned long long)q->ring[head].lo);
    resubmit(u, FSTS_IQE);
}

bool hostq_done(struct unit *u)
{
    struct host_queue *q = &u->hq;
    u32 fsts;

    if (!q->busy || status_arrived(q))
        return true;
    fsts = env_read32(u->regs, REG_FSTS);
    if (!(fsts & (FSTS_ITE | FSTS_IQE | FSTS_ICE)))
        return false;
    if (q->retries++ > MAX_RETRIES)
        return false; /* the hard deadline ends it */
    if (fsts & FSTS_ITE) {
        recover_timeout(u);
    } else if (fsts & FSTS_IQE) {
        recover_descriptor(u);
    } else {
        /* A device answered what nobody asked (6.5.2.11): the queue goes on by itself. */
        env_log_limited(ENV_WARN, "unit %u: bogus device-TLB completion", u->index);
        env_write32(u->regs, REG_FSTS, FSTS_ICE);
    }
    return status_arrived(q);
}

bool hostq_wait_or_arm(struct unit *u)
{
    struct host_queue *q = &u->hq;

    if (iommu_opts.wait_us) {
        if (status_arrived(q)) /* before the clock is even read */
            return true;
        if (!q->since_us)
            q->since_us = env_now_us();
        do {
            if (hostq_done(u))
                return true;
            env_relax();
        } while (env_now_us() - q->since_us < iommu_opts.wait_us);
    }
    if (!q->event_armed) {
        /* A second wait, so that the first never needs both status and interrupt; it cannot overtake it. */
        q->event_armed = true;
        hostq_push(u, desc_wait_interrupt());
        move_tail(u);
    }
    return false;
}

bool hostq_settle(struct unit *u)
{
    struct host_queue *q = &u->hq;
    u64 start;

    if (!q->busy || status_arrived(q))
        return true;
    start = env_now_us();
    while (!hostq_done(u)) {
        if (env_now_us() - start > HARD_DEADLINE_US) {
            env_log_limited(ENV_ERR, "unit %u: invalidation queue does not answer (IQH %llx, IQT %x)",
                            u->index, (unsigned long long)env_read64(u->regs, REG_IQH), q->tail * 16);
            return false;
        }
        env_relax();
    }
    return true;
}
