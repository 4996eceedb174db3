/* SPDX-License-Identifier: Apache-2.0 */
/* IN iommu/unit.h: PLAN_RANGES     256 => PLAN_RANGES 1 */
/* IN iommu/unit.h: PLAN_DEVTLB     256 => PLAN_DEVTLB 1 */
/* IN iommu/unit.h: PLAN_WAIT_PAGES 128 => PLAN_WAIT_PAGES 2 */
/* IN iommu/unit.h: >= 1 << 15, "the longest => >= 1, "the longest */
/* IN iommu/unit.h: MAX_FNS   512 => MAX_FNS 4 */
/* IN iommu/unit.h: PRQ_GROUPS 128 => PRQ_GROUPS 2 */
/* IN iommu/unit.h: DIR_ENTRIES 256 => DIR_ENTRIES 2 */
/* IN iommu/unit.h: union { => struct { */
/* IN iommu/unit.h: offsetof(struct plan, nr_waits) == => offsetof(struct plan, nr_waits) >= */
/* IN iommu/replay.c: static __attribute__((noinline)) void long_way( => static void really_long_way( */
/*
 * From the guest's queue to what is flushed for it. The short way, straight(): what it sends is every page
 * that the descriptors ask for and no status that they do not; and where it gives up, the long way gets what
 * was read. The long way, fetch(): every page that a descriptor before the new head asks for is planned,
 * whatever run it is part of, and every wait is. What emit_run() does with the pages is run.c, and what a
 * plan comes to is plan.c and devtlb.c.
 *
 * The descriptors are any. One of them is watched, which may be any, and one page that it asks for.
 */
#include "iommu/parts.h"
#include "tests/proof/received.h"

/* What replay.c calls in place of these. */
static struct domain *domain_of(bool first, u16 did);
static void took_long(struct desc first, struct desc last, u32 count);
static void noted(struct desc d);
#define domain_of_guest(u, first, did)  domain_of(first, did)
#define long_way(u, first, last, count) took_long(first, last, count)
#define inside_add(u, what, lo, hi)     noted((struct desc){ lo, hi })
#include "iommu/desc.c"
#include "iommu/replay.c"

#define READ 3 /* descriptors at most */

struct iommu_options iommu_opts;
static struct unit unit;
static struct domain domain;
static struct guest_wait waits[WAITS_PER_PAGE];
static struct desc queue[READ];
static u32 watched;      /* which of them */
static u64 page;         /* that it asks for */
static struct desc last; /* of those in the queue, the wait */
static u32 word;         /* the guest's status */
static bool in_sync;     /* our table, for the page */
static bool sent;        /* the flush, for the page */
static bool done;        /* ... and the unit has said so */
static bool stated;      /* the guest knows */
static bool gave_up;
static u32 nr_noted;

/* --- what the guest asks for, by the specification --- */

/* Does it ask for the page, which is one of this domain-id's? (6.5.2.3) */
static bool asks(struct desc d)
{
    u64 am = d.hi & 63;

    return type_of(d) == 2 && (d.lo >> 4 & 3) == 3 && !(d.lo & ~low_bits(2)) && !(d.hi & ~high_bits(2)) &&
           am <= unit.v.rules.mamv && page >> am == d.hi >> 12 >> am;
}

static u16 did_of(struct desc d)
{
    return d.lo >> 16 & 0xffff & unit.v.rules.did_mask;
}

static void any_rules(void)
{
    unit.v.rules =
        (struct desc_rules){ .did_mask = any16(), .mamv = any8(), .psi = any_bool(), .dt = any_bool() };
    ASSUME(unit.v.rules.mamv < 52);
    for (u32 i = 0; i < READ; i++)
        queue[i] = (struct desc){ any64(), any64() };
    watched = any32();
    page = any64();
    ASSUME(watched < READ && page <= PAGE_NR_MAX && asks(queue[watched]));
}

/* --- around straight() --- */

static struct domain *domain_of(bool first, u16 did)
{
    PROVE(!first && did == did_of(queue[watched]));
    return any_bool() ? &domain : NULL;
}

static void noted(struct desc d)
{
    (void)d;
    nr_noted++;
}

bool shadow_sync_leaves(struct unit *u, struct domain *d, struct range r)
{
    PROVE(u == &unit && d == &domain && r.first <= r.last && !((r.first ^ r.last) >> 9));
    in_sync = r.first <= page && page <= r.last && any_bool();
    return in_sync;
}

/* With what it is called with, run.c begins. */
void emit_run(struct unit *u, struct domain *d, struct range r)
{
    PROVE(in_sync && !sent && !gave_up && d == &domain && r.first <= page && page <= r.last);
    PROVE(!((r.first ^ r.last) >> 9) && u->mamv >= 9 && d->pgtt == PGTT_SECOND && !d->next_same);
    PROVE(!u->nr_twice && !u->hq.lost && !u->atts_lost && d->nr_atts <= STRAIGHT_ATTS);
    sent = true;
    u->hq.busy = any_bool();
    done = !u->hq.busy;
}

bool hostq_wait_or_arm(struct unit *u)
{
    PROVE(sent && u->hq.busy);
    done = any_bool();
    u->hq.busy = !done;
    return done;
}

static struct desc memory[PAGE_SIZE / sizeof(struct desc)]; /* the guest's ring */

volatile void *env_guest_ram(u64 gpa)
{
    if (unit.v.regs[REG_GSTS / 4])
        return memory;
    PROVE(done && gpa == last.hi); /* before, the guest is told nothing */
    stated = true;
    return &word;
}

u64 env_ticks(void)
{
    return 0;
}

void env_log_limited(enum env_level level, const char *fmt, ...)
{
    (void)level, (void)fmt;
}

void vregs_finish(struct unit *u)
{
    (void)u;
}

void plan_reset(struct unit *u)
{
    u->plan.nr_waits = 0;
}

void domain_reap(struct unit *u)
{
    (void)u;
}

bool plan_has_room(struct unit *u)
{
    (void)u;
    return false;
}

/* The long way goes on with what was read: it is told all of it, and of what it has not been noted. */
static void took_long(struct desc first, struct desc last, u32 count)
{
    struct ahead ahead = { first, last, count };

    gave_up = true;
    PROVE(!sent && !stated && !unit.v.regs[REG_IQH / 4] && count >= 1 && count <= READ &&
          nr_noted == count - 1);
    for (u32 i = 0; i < count; i++)
        PROVE(take(&ahead, i).lo == queue[i].lo && take(&ahead, i).hi == queue[i].hi);
}

/* --- straight() --- */

/* So many descriptors, the last of which is to be the wait. */
static void short_way(u32 count)
{
    any_rules();
    ASSUME(watched < count - 1);
    last = queue[count - 1];
    unit.plan.waits[0] = waits;
    unit.mamv = any32();
    unit.nr_twice = any16();
    unit.prq.answers = any16();
    unit.atts_lost = any_bool();
    unit.hq.lost = any_bool();
    domain.next_same = any16();
    domain.pgtt = any8();
    domain.nr_atts = any16();
    straight(&unit, queue, count - 1);
    PROVE(sent != gave_up);
    if (!sent)
        return;
    /* All else it asks for is one status, which the guest gets now or with the batch. */
    PROVE((u32)last.lo == (5 | 1 << 5) && !(last.hi & 3) && stated == done && unit.plan.nr_waits == !done);
    PROVE(stated ? word == last.lo >> 32 : waits[0].address == last.hi && waits[0].data == last.lo >> 32);
}

/* UNWIND: 4. */
void proof_short_way(void)
{
    short_way(3);
}

/* UNWIND: 4. */
void twin_short_way(void)
{
    short_way(3);
    PROVE(!sent);
}

/* UNWIND: 4. */
void proof_short_way_of_one(void)
{
    short_way(2);
}

/* UNWIND: 4. */
void twin_short_way_of_one(void)
{
    short_way(2);
    PROVE(gave_up || done);
}

/* --- fetch() --- */

static bool planned; /* the page, for the one that is watched */
static enum iqei error;

static void plan_range(u16 did, struct range r)
{
    planned |= did == did_of(queue[watched]) && r.first <= page && page <= r.last;
}

void plan_pages(struct unit *u, u16 did, struct range r, u32 descriptors)
{
    (void)u;
    PROVE(descriptors >= 1 && descriptors <= READ);
    plan_range(did, r);
}

void plan_request(struct unit *u, const struct request *r)
{
    if (r->type == DESC_WAIT)
        u->plan.nr_waits++;
    if (r->type == DESC_IOTLB)
        plan_range(r->did, r->granularity == DESC_G_PAGE ? r->range : RANGE_ALL);
}

void vregs_iqe(struct unit *u, enum iqei code)
{
    (void)u;
    error = code;
}

/*
 * READ descriptors from this slot of the ring on, which has one page. The first `read` of them have been:
 * since then they may have become anything in memory.
 */
static void long_way_from(u32 slot, u32 step, u32 read)
{
    struct ahead ahead = { .count = read };
    u32 waited = 0, passed;

    any_rules();
    unit.plan.waits[0] = waits;
    unit.v.ecap = any64();
    unit.v.ttm = any8();
    unit.v.rules.scalable = any_bool();
    unit.v.regs[REG_GSTS / 4] = 1;
    unit.v.regs[REG_IQA / 4] = step == 2 ? IQA_DW : 0;
    unit.v.regs[REG_IQH / 4] = slot * 16;
    unit.v.regs[REG_IQT / 4] = (slot + READ * step) * 16 % PAGE_SIZE;
    for (u32 i = 0; i < READ; i++)
        memory[(slot + i * step) % 256] = i < read ? (struct desc){ any64(), any64() } : queue[i];
    if (read) { /* as straight() has found them */
        ahead.first = queue[0];
        ahead.last = queue[read - 1];
        ASSUME(asks(queue[0]) && !(queue[0].lo & 0xff00) && unit.v.rules.psi);
        if (read == 3)
            ASSUME(queue[1].lo == queue[0].lo && queue[1].hi == queue[0].hi + run_step(queue[0]));
    }
    fetch(&unit, &ahead);
    run_end(&unit);
    passed = (unit.v.regs[REG_IQH / 4] / 16 - slot) % 256 / step;
    PROVE(passed <= READ && (error || passed == READ));
    PROVE(passed <= watched || planned);
    for (u32 i = 0; i < passed; i++)
        waited += type_of(queue[i]) == 5;
    PROVE(unit.plan.nr_waits == waited);
}

/* UNWIND: 4. */
void proof_long_way(void)
{
    long_way_from(0, 1, 0);
}

/* UNWIND: 4. */
void twin_long_way(void)
{
    long_way_from(0, 1, 0);
    PROVE(planned);
}

/* UNWIND: 4. */
void proof_long_way_round_the_end(void)
{
    long_way_from(252, 2, 0);
}

/* UNWIND: 4. */
void twin_long_way_round_the_end(void)
{
    long_way_from(252, 2, 0);
    PROVE(!planned);
}

/* UNWIND: 4. */
void proof_long_way_after_two(void)
{
    long_way_from(0, 1, 2);
}

/* UNWIND: 4. */
void twin_long_way_after_two(void)
{
    long_way_from(0, 1, 2);
    PROVE(planned);
}

/* UNWIND: 4. */
void proof_long_way_after_three(void)
{
    long_way_from(0, 1, 3);
}

/* UNWIND: 4. */
void twin_long_way_after_three(void)
{
    long_way_from(0, 1, 3);
    PROVE(unit.plan.nr_waits);
}
