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
/* IN iommu/parts.h: % RING_ENTRIES => % 2 */
/* IN iommu/emit.c: static __attribute__((noinline)) void emit_pieces( => static void in_pieces( */
/* IN iommu/emit.c: static void cut( => static void really_cut( */
/*
 * The short way's second half, emit_run(): what stands in the queue when the unit is told, bit by bit. For
 * any pages of one last table, one or two functions and any place in the ring: the unit is asked for each of
 * the pages, then each function is, by the host's identifiers, and then comes our wait. The first half, which
 * is what emit_run() is called with, is straight.c.
 *
 * The queue is read as the unit and the devices read it. One page is watched, which may be any.
 */
#include "iommu/desc.c"
#include "iommu/parts.h"
#include "tests/proof/received.h"

/* Of these emit.c's own are not called: see below. */
static void emit_pieces(struct unit *u, struct domain *d, struct range r);
static void cut(struct unit *u, struct domain *d, u32 pasid, struct range r);
#include "iommu/emit.c"
#include "iommu/hostq.c"

#define SLOTS 32
#define SIDS  0x100 /* of function 1; the next one's is one more */
#define DID   7

struct iommu_options iommu_opts = { .wait_us = 50 }; /* and the defaults */
static struct unit unit;
static struct domain domain;
static struct att atts[3];
static struct inside_record trace[2];
static struct desc ring[SLOTS];
static u32 status[STATUS_WORDS];
static u64 root, page;
static bool told;       /* the unit, of a new tail */
static bool asked;      /* the IOTLB, for the page */
static bool reached[3]; /* each function, likewise, after it */

/* --- the unit and its devices --- */

static void receive(struct desc d, bool last)
{
    u64 type = type_of(d), am = d.hi & 63;

    PROVE(only_specified_bits(d));
    PROVE(last == (type == 5) && (last || type == 2 || type == 3));
    if (last) {
        PROVE((d.lo & 0xf0) == (1 << 5 | 1 << 6)); /* status, FN */
        PROVE(d.hi - unit.hq.status_phys < PAGE_SIZE);
    } else if (type == 2) {
        PROVE((d.lo >> 4 & 3) == 3 && (d.lo >> 16 & 0xffff) == DID && am <= unit.mamv);
        PROVE(!reached[1] && !reached[2]);
        asked |= page >> am == d.hi >> 12 >> am;
    } else {
        u64 i = (d.lo >> 32 & 0xffff) - SIDS;

        PROVE((i == 1 || i == 2) && i < unit.nr_fns);
        PROVE(unit.fns[i].pfsid == ((d.lo >> 12 & 15) | d.lo >> 52 << 4));
        PROVE(unit.fns[i].depth == (d.lo >> 16 & 31));
        reached[i] |= device_drops(d.hi, 1, page);
    }
}

void env_write32(void *regs, u32 off, u32 value)
{
    u32 at = unit.hq.first, step = unit.hq.step, end = value / 16;

    (void)regs;
    PROVE(off == 0x88 && !told && value % 16 == 0 && end < SLOTS);
    told = true;
    for (unsigned n = 0; n < 14 && at != end; n++) {
        u32 next = (at + step) % SLOTS;

        receive(ring[at], next == end);
        at = next;
    }
    PROVE(at == end);
}

/* --- around the two files --- */

u64 env_ticks(void)
{
    return 0;
}

/* --- any state that the short way may begin in --- */

static void any_unit(u16 functions)
{
    struct host_queue *q = &unit.hq;

    unit.atts = atts;
    unit.ring = trace;
    unit.nr_fns = functions + 1;
    unit.device_tlb = true;
    unit.psi = true;
    unit.mamv = any8();
    ASSUME(unit.mamv >= 9 && unit.mamv <= 52);
    q->ring = ring;
    q->status = status;
    q->status_phys = any64() & ~(PAGE_SIZE - 1);
    q->cookie = any32();
    q->mask = SLOTS - 1;
    q->step = 2;
    q->first = q->tail = SLOTS - 4; /* it wraps */
    domain = (struct domain){ .did = DID, .pgtt = PGTT_SECOND, .root = &root, .nr_atts = functions };
    domain.iotlb_low = desc_iotlb_low(DESC_G_PAGE, DID, any_bool(), any_bool());
    domain.first_att = functions;
    for (u16 i = 1; i <= functions; i++) {
        struct fn *f = &unit.fns[i];

        f->sid = SIDS + i;
        f->pfsid = any16();
        f->depth = any8() & 31;
        f->devtlb_low = desc_devtlb_low(f->sid, f->pfsid, f->depth);
        f->dead = any_bool();
        f->silent = any_bool();
        f->pasids = any_bool();
        f->answers_pasids = any_bool();
        f->first_att = i;
        atts[i] = (struct att){ .fn = i, .did = DID, .next_of_domain = i - 1, .rid = true };
    }
}

static bool excused(u16 i)
{
    return unit.fns[i].dead || unit.fns[i].silent;
}

static bool block; /* the pages are one, and aligned */

static void emit_pieces(struct unit *u, struct domain *d, struct range r)
{
    PROVE(!block);
    if (!block) /* which the checker then need not look at */
        in_pieces(u, d, r);
}

/* What is proven in devtlb.c: some blocks, one of which holds the page, none larger than the range. */
static void cut(struct unit *u, struct domain *d, u32 pasid, struct range r)
{
    struct plan *p = &u->plan;
    bool held = false;

    PROVE(r.first <= page && page <= r.last);
    p->nr_blocks = 2;
    for (unsigned i = 0; i < 2; i++) {
        p->blocks[i] = (struct block){ any64() & PAGE_NR_MAX, any8(), pasid, d };
        ASSUME(p->blocks[i].order <= range_order(r));
        held |= page >> p->blocks[i].order == p->blocks[i].page >> p->blocks[i].order;
    }
    ASSUME(held);
}

static void run(u16 functions, bool is_block)
{
    u64 first = any64() & PAGE_NR_MAX;
    struct range r = { first, first + any16() % 512 };

    ASSUME(!((r.first ^ r.last) >> 9));
    block = is_block;
    ASSUME((r.last - r.first == BIT(range_order(r)) - 1) == block);
    page = any64();
    ASSUME(r.first <= page && page <= r.last);
    any_unit(functions);
    emit_run(&unit, &domain, r);
    PROVE(told && asked && !unit.plan.nr_blocks);
}

/* UNWIND: 15. */
void proof_run_one_function(void)
{
    run(1, true);
    PROVE(excused(1) || reached[1]);
}

/* UNWIND: 15. */
void twin_run_one_function(void)
{
    run(1, true);
    PROVE(reached[1]);
}

/* UNWIND: 15. */
void proof_run_two_functions(void)
{
    run(2, true);
    PROVE((excused(1) || reached[1]) && (excused(2) || reached[2]));
}

/* UNWIND: 15. */
void twin_run_two_functions(void)
{
    run(2, true);
    PROVE((excused(1) || reached[1]) && (excused(1) || reached[2]));
}

/* UNWIND: 15. */
void proof_run_in_pieces(void)
{
    run(1, false);
    PROVE(excused(1) || reached[1]);
}

/* UNWIND: 15. */
void twin_run_in_pieces(void)
{
    run(1, false);
    PROVE(reached[1]);
}
