/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * Bounded: an exit is one pass over the ring and one over the tables, whatever the ring holds; and a device
 * or a unit that never answers, and is never reported, is given up at Sluice's own deadline, once.
 */
#include "iommu/parts.h"
#include "tests/unit/world_test.h"

#define BIG_RING    0x100000ull /* 512 KiB */
#define BIG_ENTRIES 32768u

static void big_ring(void)
{
    guest_gcmd(0, G_QIE, false);
    guest_w64(0, R_IQT, 0);
    guest_w64(0, R_IQA, BIG_RING | 7);
    guest_gcmd(0, G_QIE, true);
}

static void big_put(unsigned i, u64 q0, u64 q1)
{
    poke64(BIG_RING + i * 16ull, q0);
    poke64(BIG_RING + i * 16ull + 8, q1);
}

/* Pairs of a domain flush and a wait, each for its own word: one walk, one batch, one tail write. */
static unsigned host_tails;
static void count_tails(const struct model_event *e)
{
    record(e);
    host_tails += e->type == MODEL_EV_REG_WRITE && e->a == R_IQT;
}

static void a_full_ring_is_one_pass(void **state)
{
    u64 one;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .quiet = true });
    for (unsigned i = 0; i < 4096; i++)
        guest_map(0, (u64)i << 12, GUEST_DATA + (i % 64 << 12), P_RW);
    q_iotlb(0, 2, 5, 0, 0);
    W.max_guest_pages = 0;
    assert_true(q_sync(0));
    one = W.max_guest_pages;
    big_ring();
    for (unsigned i = 0; i < BIG_ENTRIES - 1; i += 2) {
        big_put(i, 2 | 2 << 4 | 5 << 16, 0);
        big_put(i + 1, 5 | WAIT_SW | (u64)(i + 1) << 32, 0x180000 + i * 4ull);
    }
    memset(world_mem(0x180000), 0, BIG_ENTRIES * 4);
    host_clear();
    W.on_trace = count_tails;
    host_tails = 0;
    W.max_guest_pages = 0;
    guest_w64(0, R_IQT, (BIG_ENTRIES - 2) * 16);
    world_settle();
    for (unsigned i = 0; i < BIG_ENTRIES - 2; i += 2)
        assert_int_equal(peek32(0x180000 + i * 4ull), i + 1);
    assert_int_equal(host_tails, 1);
    assert_int_equal(host_count(2), 1);
    assert_int_equal(host_count(3), 2);
    /* the tables once, each page of the ring once, the word of each wait once */
    assert_true(W.max_guest_pages <= one + BIG_ENTRIES / 256 + BIG_ENTRIES / 2 + 8);
    finish();
}

/* Without memory to remember them all, waits are done in parts, and none is forgotten. */
static void a_ring_of_waits_without_memory(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .quiet = true });
    big_ring();
    for (unsigned i = 0; i < 2000; i++)
        big_put(i, 5 | WAIT_SW | (u64)(i + 1) << 32, 0x180000 + i * 4ull);
    memset(world_mem(0x180000), 0, 8000);
    while (env_page_alloc())
        ;
    guest_w64(0, R_IQT, 2000 * 16);
    world_settle();
    for (unsigned i = 0; i < 2000; i++)
        assert_int_equal(peek32(0x180000 + i * 4ull), i + 1);
    finish();
}

/* More of the guest's own device-TLB requests than are remembered one by one: each function whole, also
 * where nothing is sent that the guest does not ask for. */
static void more_device_requests_than_the_list(void **state)
{
    (void)state;
    for (unsigned policy = 0; policy < 2; policy++) {
        in_use(&(struct world_cfg){ .wait_us = 100, .dtlb = policy ? DTLB_GUEST : DTLB_ALWAYS });
        map_and_flush(0, 0x3000, GUEST_DATA);
        guest_unmap(0, 0x3000);
        big_ring();
        big_put(0, 2 | 3 << 4 | 5 << 16, 0x3000);
        for (unsigned i = 1; i < 1000; i++)
            big_put(i, 3 | (u64)(i & 1 ? SID_ATS : SID_ATS2) << 32,
                    (u64)(i == 900 || i == 901 ? 3 : i) << 12);
        big_put(1000, 5 | WAIT_SW | 7ull << 32, GUEST_STATUS);
        poke64(GUEST_STATUS, 0);
        guest_w64(0, R_IQT, 1001 * 16);
        world_settle();
        assert_int_equal(peek32(GUEST_STATUS), 7);
        for (unsigned f = 0; f < 3; f++)
            only_outcome(f, 0x3000, ~0ull);
        finish();
    }
}

/* --- nobody reports the time-out --- */

/* The guest polls its memory; other exits happen, one each 10 ms. Returns for how long, in ms. */
static unsigned until_done(u32 cookie)
{
    unsigned n = 0;

    for (; n < 1000 && !q_done(cookie); n++) {
        world_run(10);
        W.now_us += 10000;
        if (iommu_busy()) /* as after each exit */
            (void)iommu_event();
    }
    assert_true(q_done(cookie));
    return n * 10;
}

static u64 time_of_translation_off(unsigned u)
{
    u64 start = W.now_us;

    guest_w32(u, R_GCMD, G_QIE);
    start = W.now_us - start;
    guest_w32(u, R_GCMD, G_QIE | G_TE);
    return start;
}

static void our_own_deadline(u8 pace, u32 wait_us, bool synchronous, enum model_answer answer)
{
    u32 cookie;
    unsigned ms;

    in_use(&(struct world_cfg){ .pace = pace, .wait_us = wait_us });
    map_and_flush(0, 0x3000, GUEST_DATA);
    model_fn_set_answer(W.fn[ATS], answer, 50);
    guest_unmap(0, 0x3000);
    q_iotlb(0, 3, 5, 0x3000, 0);
    cookie = q_wait(0);
    q_ring(0);
    world_run(1000);
    assert_false(q_done(cookie)); /* it is not true yet, so it is not said */
    if (synchronous) {
        guest_w64(0, R_CCMD, 1ull << 63 | 1ull << 61);
        assert_true(q_done(cookie));
    } else {
        ms = until_done(cookie);
        assert_true(ms >= 1900 && ms <= 2500);
    }
    world_settle();
    /* who was silent is blamed, nobody else */
    assert_int_equal(guest_read(0, R_IQERCD, 8), (u64)SID_ATS << 32);
    assert_true(iommu_stopped(0, SID_ATS));
    assert_false(iommu_stopped(0, SID_ATS2));
    assert_false(iommu_stopped(0, SID_PLAIN));
    model_fn_set_bus_master(W.fn[ATS], true); /* what the filter refuses would be of no use either */
    for (unsigned f = 0; f < 3; f++)
        only_outcome(f, 0x3000, ~0ull);
    guest_map(0, 0x4000, GUEST_DATA + 0x1000, P_RW);
    q_iotlb(0, 3, 5, 0x4000, 0);
    assert_true(q_sync(0));
    only_outcome(ATS, 0x4000, ~0ull);
    only_outcome(ATS2, 0x4000, GUEST_DATA + 0x1000);
    /* it has cost its time, and costs no more */
    assert_true(time_of_translation_off(0) < 10000);
    world_settle();
    assert_true(world_ok());
    /* the queue had to go off with work in it */
    assert_int_equal(model_violation_count(W.unit[0], MODEL_V_QIE_BUSY) > 0, true);
    model_clear_violations(W.unit[0]);
    finish();
}

/* Each batch has its time to itself, however long the one before took. */
static void slow_answers_are_answers(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 50 });
    model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_SLOW, 1500);
    W.warnings = 0;
    for (unsigned i = 0; i < 4; i++) {
        u32 cookie;
        unsigned ms;

        q_iotlb(0, 3, 5, 0x3000, 0);
        cookie = q_wait(0);
        q_ring(0);
        ms = until_done(cookie);
        assert_true(ms > 1200 && ms < 1900);
    }
    assert_int_equal(W.warnings, 0);
    assert_false(iommu_stopped(0, SID_ATS));
    finish();
}

/* Behind a unit that obeys no more nothing does DMA, so nothing there is stale: flushes are done at once. */
static void flushes_of_a_lost_unit(void **state)
{
    u32 cookie;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 50 });
    map_and_flush(0, 0x3000, GUEST_DATA);
    model_set_dead(W.unit[0], true);
    q_iotlb(0, 3, 5, 0x3000, 0);
    cookie = q_wait(0);
    q_ring(0);
    (void)until_done(cookie);
    assert_true(iommu_stopped(0, SID_PLAIN));
    guest_w32(0, R_FSTS, guest_read(0, R_FSTS, 4));
    q_iotlb(0, 3, 5, 0x3000, 0);
    cookie = q_wait(0);
    q_ring(0);
    assert_true(q_done(cookie));
}

static void hostile_29_nobody_reports_the_time_out(void **state)
{
    (void)state;
    for (unsigned pace = 0; pace <= MODEL_PACE_MANUAL; pace++)
        for (unsigned wait = 0; wait <= 50; wait += 50)
            for (unsigned synchronous = 0; synchronous < 2; synchronous++) {
                our_own_deadline((u8)pace, wait, synchronous, MODEL_ANSWER_NEVER);
                our_own_deadline((u8)pace, wait, synchronous, MODEL_ANSWER_LOST);
            }
}

/* A storm of faults before or while a batch is outstanding: its time-out, which the same event tells, comes.
 */
static void a_storm_hides_no_time_out(void **state)
{
    u32 cookie;

    (void)state;
    for (unsigned n = 0; n < 4; n++) {
        bool before = n & 1;

        in_use(&(struct world_cfg){ .ite_steps = 300, .wait_us = n & 2 ? 5 : 0 });
        map_and_flush(0, 0x3000, GUEST_DATA);
        for (unsigned i = 0; before && i < 200; i++) {
            dma_lands(PLAIN, 0x100000 + (i << 12), true);
            world_deliver();
        }
        model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_NEVER, 0);
        q_iotlb(0, 2, 5, 0, 0);
        cookie = q_wait(0);
        q_ring(0);
        for (unsigned i = 0; !before && i < 200; i++) {
            dma_lands(PLAIN, 0x100000 + (i << 12), true);
            world_run(1);
        }
        assert_false(q_done(cookie));
        for (unsigned i = 0; i < 900 && !q_done(cookie); i++)
            world_run(1); /* the guest never leaves guest mode by itself */
        assert_true(q_done(cookie));
        finish();
    }
}

static void quarantine_switches_bus_mastering_off(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .ite_steps = 30 });
    map_and_flush(0, 0x3000, GUEST_DATA);
    model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_NEVER, 0);
    q_iotlb(0, 2, 5, 0, 0);
    assert_true(q_sync(0));
    model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_OK, 0);
    W.warnings = 0;
    assert_int_equal(dma_lands(ATS, 0x3000, true), ~0ull);
    assert_int_equal(model_stats(W.unit[0])->faults, 0); /* it does not even try */
    assert_true(iommu_stopped(0, SID_ATS));
    iommu_function_gone(0, SID_ATS); /* a reset */
    assert_false(iommu_stopped(0, SID_ATS));
    finish();
}

/* --- the unit itself --- */

enum { VF = 3 };
static void a_unit_obeys_nothing(bool synchronous, u64 cap)
{
    u32 cookie;
    u64 start;
    struct world_cfg cfg = { .wait_us = 50, .units = 2, .cap = cap, .nr_fns = 4 };

    cfg.fn[PLAIN] = (struct world_fn_cfg){ .sid = SID_PLAIN };
    cfg.fn[ATS] = (struct world_fn_cfg){ .sid = SID_ATS, .ats = true };
    cfg.fn[ATS2] = (struct world_fn_cfg){ .sid = SID_ATS2, .unit = 1, .ats = true };
    cfg.fn[VF] = (struct world_fn_cfg){ .sid = SID_ATS + 9 }; /* a VF without ATS: no scope names it */
    cfg.pf[VF] = SID_ATS;
    in_use(&cfg);
    for (unsigned u = 0; u < 2; u++)
        map_and_flush(0, 0x3000, GUEST_DATA);
    model_set_dead(W.unit[0], true);
    guest_unmap(0, 0x3000);
    q_iotlb(0, 3, 5, 0x3000, 0);
    cookie = q_wait(0);
    q_ring(0);
    assert_false(q_done(cookie));
    W.warnings = 0;
    if (synchronous)
        guest_w32(0, R_GCMD, G_QIE);
    else
        (void)until_done(cookie);
    assert_true(q_done(cookie));
    assert_true(W.warnings > 0);
    assert_int_equal(guest_r32(0, R_FSTS) & FS_ITE, FS_ITE);
    assert_int_equal(guest_read(0, R_IQERCD, 8), 0);
    /* what was said is true, because nothing moves behind it any more */
    model_set_dead(W.unit[0], false);
    assert_true(iommu_stopped(0, SID_PLAIN) && iommu_stopped(0, SID_ATS) && !iommu_stopped(0, SID_ATS2));
    assert_int_equal(dma_lands(PLAIN, 0x3000, true), ~0ull);
    assert_int_equal(dma_lands(ATS, 0x3000, true), ~0ull);
    assert_int_equal(dma_lands(VF, 0x3000, true), ~0ull);
    assert_true(iommu_stopped(0, SID_ATS + 9));
    model_set_dead(W.unit[0], true);
    /* from here on everything there ends at once */
    start = W.now_us;
    for (unsigned i = 0; i < 100; i++) {
        guest_map(0, 0x8000 + ((u64)i << 30), GUEST_DATA, P_RW);
        q_iotlb(0, 1, 0, 0, 0);
        assert_true(q_sync(0));
        guest_w32(0, R_GCMD, i & 1 ? G_QIE : G_QIE | G_TE);
        guest_w32(0, R_GCMD, G_QIE | G_SRTP | (i & 1 ? 0 : G_TE));
        iommu_dma_changed(BAR_BASE, 0x1000);
    }
    assert_true(W.now_us - start < 100000);
    /* what it might still read is never reused */
    u32 pages = W.free_pages;
    guest_w32(0, R_GCMD, G_QIE | G_TE);
    guest_detach(SID_PLAIN);
    guest_detach(SID_ATS);
    q_context(0, 3, 5, SID_PLAIN, 0);
    q_context(0, 3, 5, SID_ATS, 0);
    assert_true(q_sync(0));
    assert_int_equal(W.free_pages, pages);
    /* and the other unit never noticed */
    q_iotlb(1, 3, 5, 0x3000, 0);
    assert_true(q_sync(1));
    only_outcome(ATS2, 0x3000, ~0ull);
    assert_true(world_ok());
}

static void hostile_29_a_dead_unit_is_given_up_once(void **state)
{
    (void)state;
    for (unsigned synchronous = 0; synchronous < 2; synchronous++) {
        a_unit_obeys_nothing(synchronous, CAP_DEFAULT);
        a_unit_obeys_nothing(synchronous, CAP_DEFAULT | C_RWBF);
    }
}

/* --- lists that are full: what they would have held is done for everybody --- */

/* Whoever is not followed gets no translations; the others go on. */
static void more_functions_than_are_followed(void **state)
{
    u64 warnings;
    u16 sid = 0x1000;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    for (; units[0]->nr_fns < MAX_FNS; sid++)
        iommu_ats_change(0, sid, true, 0, sid, true);
    warnings = W.warnings;
    iommu_ats_change(0, sid, true, 0, sid, true);
    assert_int_equal(W.warnings, warnings + 1);
    assert_non_null(strstr(W.last_log, "more ATS functions"));
    assert_null(fn_find(units[0], sid));
    assert_non_null(fn_find(units[0], (u16)(sid - 1)));
    iommu_ats_change(0, 0x1000, false, 0, 0x1000, true); /* and there is room again */
    iommu_ats_change(0, sid, true, 0, sid, true);
    assert_non_null(fn_find(units[0], sid));
}

/* More entries of functions have changed than a batch names: all device TLBs go. */
static void more_changed_functions_than_the_list(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    map_and_flush(0, 0x3000, GUEST_DATA);
    guest_detach(SID_ATS);
    units[0]->plan.nr_whole = PLAN_WHOLE; /* as if so many had been named before */
    q_context(0, 3, 0, SID_ATS, 0);
    q_iotlb(0, 2, 5, 0, 0);
    host_clear();
    assert_true(q_sync(0));
    assert_int_equal(stale(ATS, 0x3000), 0);
    assert_true(host_dtlb(SID_ATS) && host_dtlb(SID_ATS2));
    finish();
}

/* More ways into domains than can be listed: from then on each flush reaches everybody. */
static void more_ways_than_the_list(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    world_ats(ATS2, false);
    units[0]->next_att = MAX_ATTS;
    units[0]->free_att = 0;
    world_ats(ATS2, true);
    map_and_flush(0, 0x3000, GUEST_DATA);
    for (unsigned pages = 0; pages < 2; pages++) {
        guest_map(0, 0x3000, GUEST_DATA + 0x1000 * (pages + 1), P_RW);
        q_iotlb(0, pages ? 3 : 2, 5, 0x3000, 0);
        host_clear();
        assert_true(q_sync(0));
        assert_true(host_dtlb(SID_ATS2));
        assert_int_equal(stale(ATS2, 0x3000), 0);
        model_fill_all(W.unit[0]);
    }
    finish();
}

/* --- lists: as much as fits, and one more, which is asked for more widely --- */

/* Plans without a batch: what is in it at the end is forgotten. */
static struct unit *plan_begins(void)
{
    replay_enter(units[0]);
    return units[0];
}

static void plan_ends(struct unit *u)
{
    plan_reset(u);
    replay_leave(u);
    finish();
}

static void entries_that_fit(void **state)
{
    struct request r = { .type = DESC_DEVTLB, .sid = SID_ATS };
    struct unit *u;
    struct plan *p;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .quiet = true });
    for (unsigned i = 0; i <= PLAN_WHOLE; i++)
        iommu_ats_change(0, (u16)(0x300 + i), true, 0, (u16)(0x300 + i), false);
    u = plan_begins();
    p = &u->plan;
    for (unsigned i = 0; i < PLAN_CONTEXT; i++) {
        plan_context(u, (u16)i, 2);
        plan_pasid(u, 2, i);
        plan_pasid(u, 2, i); /* the same again is no more */
        assert_int_equal(p->nr_context, i + 1);
        assert_int_equal(p->nr_pasid, i + 1);
    }
    assert_false(p->context_all || p->pasid_all);
    plan_context(u, 77, 2);
    plan_pasid(u, 2, 77);
    assert_true(p->context_all && p->pasid_all);
    for (unsigned i = 0; i < PLAN_DEVTLB; i++)
        plan_request(u, &r);
    assert_false(p->asked_all);
    plan_request(u, &r);
    assert_true(p->asked_all);
    for (unsigned more = 0; more < 2; more++) {
        for (unsigned i = 0; i < PLAN_WHOLE + more; i++)
            plan_function(u, (u16)(0x300 + i));
        assert_int_equal(p->nr_whole, PLAN_WHOLE);
        assert_int_equal(p->devtlb_all, more);
        plan_reset(u);
        for (unsigned i = 1; i < u->nr_fns; i++)
            assert_false(u->fns[i].whole);
    }
    plan_ends(u);
}

static void ranges_that_fit(void **state)
{
    static const struct {
        u64 first, last; /* asked for */
        unsigned ranges; /* there are then, the last one of them: */
        u64 from, to, pages;
    } t[] = { { 100, 103, 1, 100, 103, 4 }, { 100, 103, 1, 100, 103, 4 }, { 101, 102, 1, 100, 103, 4 },
              { 100, 104, 1, 100, 104, 5 }, { 105, 105, 1, 100, 105, 6 }, { 103, 106, 1, 100, 106, 7 },
              { 99, 99, 2, 99, 99, 8 },     { 101, 101, 3, 101, 101, 9 } };
    struct domain *d;
    struct unit *u;
    struct plan *p;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    u = plan_begins();
    p = &u->plan;
    d = domain_of_guest(u, false, 5);
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        plan_pages(u, 5, (struct range){ t[i].first, t[i].last }, 1);
        assert_int_equal(p->nr_ranges, t[i].ranges);
        assert_int_equal(p->ranges[t[i].ranges - 1].range.first, t[i].from);
        assert_int_equal(p->ranges[t[i].ranges - 1].range.last, t[i].to);
        assert_int_equal(d->pages, t[i].pages);
    }
    plan_reset(u);
    plan_pages(u, 5, RANGE_ALL, 1);
    assert_true(d->sync_all && !p->nr_ranges);
    plan_reset(u);
    plan_pages(u, 5, (struct range){ 0, PAGE_NR_MAX - 1 }, 1);
    assert_int_equal(p->nr_ranges, 1);
    plan_reset(u);
    for (u64 i = 0; i <= PLAN_RANGES; i++) {
        assert_false(d->sync_all);
        plan_pages(u, 5, (struct range){ i * 4, i * 4 }, 1);
    }
    assert_true(d->sync_all);
    /* one range may be as large as it likes; several are looked at one by one up to a GiB */
    plan_reset(u);
    plan_pages(u, 5, (struct range){ 0, 0x50000 }, 1);
    assert_false(d->sync_all);
    plan_reset(u);
    plan_pages(u, 5, (struct range){ 0, 0x1fffe }, 1);
    plan_pages(u, 5, (struct range){ 0x100000, 0x120000 }, 1);
    assert_int_equal(d->pages, 0x40000);
    assert_false(d->sync_all);
    plan_pages(u, 5, (struct range){ 0x120001, 0x120001 }, 1);
    assert_true(d->sync_all);
    plan_ends(u);
}

/* So many entries are looked at, and one more is a flush of everything. */
static void looked_at(struct unit *u, const struct request *r, unsigned most)
{
    for (unsigned i = 0; i <= most; i++) {
        assert_false(u->plan.devtlb_all);
        plan_request(u, r);
    }
    assert_true(u->plan.devtlb_all);
    plan_reset(u);
}

/* Entries looked at, and domains passed, for nothing. */
static void looks_that_are_made(void **state)
{
    struct request context = { .type = DESC_CONTEXT, .granularity = DESC_G_DEVICE, .sid = 0x20 };
    struct request pasid = { .type = DESC_PASID, .granularity = DESC_PC_PASID, .pasid = 9 };
    struct unit *u;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    u = plan_begins();
    looked_at(u, &context, PLAN_LOOKS);
    for (unsigned i = 0; i <= PLAN_PASSED; i++) {
        assert_false(u->plan.iotlb_all);
        plan_pages(u, 5, (struct range){ 0, 0 }, 1);
    }
    assert_true(u->plan.iotlb_all);
    plan_ends(u);

    start(&(struct world_cfg){ .scalable = true,
                               .wait_us = 100,
                               .ecap = ECAP_DEFAULT | E_PSS | E_PASID | E_SMTS | E_SSTS | E_SMPWC });
    guest_start();
    guest_sm_context(0, 0, false);
    q_context(0, 1, 0, 0, 0);
    q_pasid(0, 3, 0, 0);
    q_iotlb(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
    assert_true(units[0]->dirs && !units[0]->dirs->next);
    u = plan_begins();
    looked_at(u, &context, 16);
    looked_at(u, &pasid, PLAN_LOOKS);
    host_clear(); /* and each that is in a list is sent */
    for (unsigned i = 0; i < PLAN_CONTEXT; i++) {
        plan_context(u, (u16)(0x300 + i), 0);
        plan_pasid(u, 2, i);
    }
    replay_now(u);
    assert_int_equal(host_count(1), PLAN_CONTEXT);
    assert_int_equal(host_count(7), PLAN_CONTEXT);
    plan_ends(u);
}

/* Tables under one domain-id, domain-ids, and ways into a domain. */
static void domains_that_fit(void **state)
{
    struct translation t = { .pgtt = PGTT_SECOND, .levels = 4, .did = 5 };
    struct domain *d;
    struct unit *u;
    struct fn *f;

    (void)state;
    in_use(&(struct world_cfg){
        .wait_us = 100, .quiet = true, .cap = (CAP_DEFAULT & ~7ull) | C_ND(6), .own_watch = true });
    u = plan_begins();
    for (unsigned i = 1; i <= 64; i++) { /* beside the one there is */
        t.root = RAM2_BASE + i * PAGE_SIZE;
        d = domain_acquire(u, &t, NULL);
        assert_int_equal(!d, i == 64);
    }
    domain_drop(u, DID_IDENTITY); /* is none that goes away */
    assert_int_equal(domain_get(u, DID_IDENTITY)->refs, 1);
    assert_int_equal(domain_of_guest(u, false, 77) ? 1 : 0, 0);
    t.did = 6;
    d = domain_acquire(u, &t, NULL);
    domain_drop(u, d->did);
    plan_everything(u); /* so that it is free again */
    replay_now(u);
    assert_int_equal(u->free_did, d->did);
    u->free_did = 0;
    u16 next = u->next_did;
    u->next_did = 0xfffe; /* all ones is no domain-id */
    d = domain_acquire(u, &t, NULL);
    assert_int_equal(d->did, 0xfffe);
    t.did = 7;
    assert_null(domain_acquire(u, &t, NULL));
    u->next_did = next;
    f = fn_find(u, SID_ATS);
    d = domain_of_guest(u, false, 5);
    while (d->next_same)
        d = domain_get(u, d->next_same);
    for (u32 pasid = 1; u->next_att < MAX_ATTS; pasid++) {
        domain_attach(u, f, false, pasid, d->did);
        assert_false(u->atts_lost);
    }
    domain_attach(u, f, false, 0xfffff, d->did);
    assert_true(u->atts_lost);
    plan_ends(u);

    /* as few domain-ids as a unit may have, all of which but those that are reserved are used, and given
     * back; what is flushed, whatever there is, ends with the last of them */
    in_use(&(struct world_cfg){ .wait_us = 100, .quiet = true, .cap = CAP_DEFAULT & ~7ull });
    u = plan_begins();
    for (t.did = 6; (d = domain_acquire(u, &t, NULL)); t.did++)
        assert_true(d->did < 16);
    assert_int_equal(u->next_did, 16);
    plan_ends(u);
    in_use(&(struct world_cfg){ .wait_us = 100, .quiet = true });
    u = plan_begins();
    for (t.did = 6; u->next_did < DOMAINS_PER_PAGE; t.did++)
        assert_non_null(domain_acquire(u, &t, NULL));
    plan_ends(u);
    q_iotlb(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
    assert_int_equal(domain_of_guest(u, false, 5)->did, DID_FIRST);
    for (unsigned f = 0; f < W.nr_fns; f++) {
        guest_detach(W.cfg.fn[f].sid);
        q_context(0, 3, 5, W.cfg.fn[f].sid, 0);
    }
    assert_true(q_sync(0));
    assert_null(domain_get(u, DID_FIRST));
}

/* Functions with ATS, all of them, and those that are asked twice. */
static void functions_that_fit(void **state)
{
    struct unit *u;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .quiet = true, .ite_steps = 30, .ite_no_sid = true });
    u = units[0];
    for (unsigned i = 3; i <= MAX_FNS; i++) {
        u16 sid = (u16)(0x400 + i);

        iommu_ats_change(0, sid, true, 0, sid, false);
        assert_int_equal(!fn_find(u, sid), i == MAX_FNS);
        if (i < MAX_FNS)
            u->fns[i].dead = true; /* it is not there to answer */
    }
    assert_int_equal(u->nr_fns, MAX_FNS);
    iommu_function_gone(0, 0x400 + 100);
    iommu_ats_change(0, 0x800, true, 0, 0x800, false);
    assert_ptr_equal(fn_find(u, 0x800), &u->fns[100]);
    assert_int_equal(u->nr_fns, MAX_FNS);
    u->fns[100].dead = true;
    /* all are asked: in a batch, after an error, and when somebody does not answer */
    q_iotlb(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
    rot_queue();
    q_iotlb(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
    model_fn_set_answer(W.fn[ATS2], MODEL_ANSWER_NEVER, 0);
    q_iotlb(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
    assert_true(fn_find(u, SID_ATS2)->dead);
    assert_false(fn_find(u, SID_ATS)->dead);
    if (!world_ok())
        fail_msg("%s", W.fail);

    in_use(&(struct world_cfg){ .wait_us = 100, .quiet = true, .id = { [ATS] = 0x49408086 } });
    for (unsigned i = 2; i <= MAX_TWICE + 1; i++) { /* virtual functions of the one that is there */
        u16 sid = (u16)(0x400 + i);

        assert_int_equal(units[0]->nr_twice, i - 1);
        iommu_ats_change(0, sid, true, 0, SID_ATS, false);
        assert_int_equal(fn_find(units[0], sid)->gate, i <= MAX_TWICE);
    }
    if (!world_ok())
        fail_msg("%s", W.fail);
}

/* The straight way is for as many functions as the ring certainly holds descriptors for: it asks each way
 * into the domain, while the long way knows that in legacy mode there are none with a PASID. */
static void ways_that_go_straight(void **state)
{
    struct domain *d;
    struct unit *u;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .quiet = true });
    u = units[0];
    d = domain_of_guest(u, false, 5);
    while (d->nr_atts < MAX_FNS / 4)
        domain_attach(u, fn_find(u, SID_ATS), false, d->nr_atts, d->did);
    for (unsigned more = 0; more < 2; more++) {
        host_clear();
        q_iotlb(0, 3, 5, 0x3000, 0);
        assert_true(q_sync(0));
        assert_int_equal(host_dtlb(SID_ATS), more ? 1 : MAX_FNS / 4 - 1);
        domain_attach(u, fn_find(u, SID_ATS), false, 0xfffff, d->did);
    }
    if (!world_ok())
        fail_msg("%s", W.fail);
}

/* What the ring holds is sent one by one, one descriptor more is a flush of everything. */
static void as_much_as_the_ring_holds(void **state)
{
    struct request asked = { .type = DESC_DEVTLB, .sid = SID_ATS, .range = { 0x900000, 0x900000 } };

    (void)state;
    for (unsigned more = 0; more < 6; more++) {
        struct unit *u;

        in_use(&(struct world_cfg){ .wait_us = 100, .quiet = true });
        u = plan_begins();
        assert_int_equal(hostq_room(u), 4092);
        host_clear();
        for (u64 i = 0; i < 255; i++) /* four blocks each, with two functions: 16 descriptors are reckoned */
            plan_pages(u, 5, (struct range){ i * 16 + 1, i * 16 + 6 }, 1);
        for (unsigned i = 0; i < 2 + more; i++) /* and 10 beside all of them */
            plan_request(u, &asked);
        replay_now(u);
        assert_int_equal(host_count(2), more ? 1 : 255 * 4);
        replay_leave(u);
        finish();
    }
}

/* The descriptors that a range becomes: up to four exact blocks, else the one around it; the whole domain
 * where one of them is larger than the unit takes. */
static void blocks_of_a_range(void **state)
{
    static const struct {
        u64 mamv, first, last;
        unsigned n;
        u64 block[4]; /* address and order; none: the whole domain */
    } t[] = { { 18, 5, 5, 1, { 0x5000 } },
              { 18, 8, 15, 1, { 0x8003 } },
              { 18, 0, 2, 2, { 0x0001, 0x2000 } },
              { 18, 1, 3, 2, { 0x1000, 0x2001 } },
              { 18, 1, 6, 4, { 0x1000, 0x2001, 0x4001, 0x6000 } },
              { 18, 1, 8, 4, { 0x1000, 0x2001, 0x4002, 0x8000 } },
              { 18, 1, 16, 1, { 0x0005 } },
              { 18, 1, 17, 1, { 0x0005 } },
              { 2, 0, 4, 2, { 0x0002, 0x4000 } },
              { 2, 0, 8, 1, { 0 } } };
    struct unit *u;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        bool whole = t[i].mamv == 2 && t[i].last == 8;

        in_use(&(struct world_cfg){ .wait_us = 100, .cap = (CAP_DEFAULT & ~C_MAMV(63)) | C_MAMV(t[i].mamv) });
        u = plan_begins();
        host_clear();
        plan_pages(u, 5, (struct range){ t[i].first, t[i].last }, 1);
        replay_now(u);
        replay_leave(u);
        assert_int_equal(host_count(2), t[i].n);
        assert_int_equal(host_dtlb(SID_ATS), t[i].n);
        for (unsigned b = 0; b < t[i].n; b++) {
            assert_int_equal(host[b].q0 >> 4 & 3, whole ? 2 : 3);
            assert_int_equal(host[b].q1, t[i].block[b]);
        }
        finish();
    }
}

/* A request for a device TLB is left out only where what is flushed anyway holds all of it. */
static void what_is_flushed_anyway(void **state)
{
    static const struct {
        u64 hi; /* of the request; pages 8 to 15 are flushed */
        unsigned sent;
    } t[] = { { 0xb001, 1 },  { 0x8000, 1 }, { 0xf000, 1 }, { 0x7000, 2 },
              { 0x10000, 2 }, { 0x7001, 2 }, { 0x13001, 2 } };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        in_use(&(struct world_cfg){ .wait_us = 100 });
        q_iotlb(0, 3, 5, 0x8000, 3);
        q_dtlb(0, SID_ATS, t[i].hi & ~1ull, t[i].hi & 1);
        assert_true(q_sync(0));
        assert_int_equal(host_dtlb(SID_ATS), t[i].sent);
        finish();
    }
}

/* The end of a bus, of all buses, and of what has been there. */
static void the_last_function(void **state)
{
    static const u16 sids[] = { 0xffff, 0xff00, 0x00ff, 0x0000 };
    struct world_cfg cfg = { .wait_us = 100, .quiet = true, .nr_fns = 1, .fn = { { 0xffff, 0, false, 0 } } };
    u64 table;

    (void)state;
    for (unsigned scalable = 0; scalable < 2; scalable++) {
        cfg.ecap = ECAP_DEFAULT | (scalable ? E_SMTS | E_SSTS | E_SMPWC : 0);
        start(&cfg);
        for (unsigned i = 0; i < ARRAY_SIZE(sids); i++) {
            struct model_req r = { .sid = sids[i], .addr = GUEST_DATA, .len = 8 };
            u64 word;

            assert_int_equal(model_dma(W.unit[0], &r, &word).status, MODEL_OK);
        }
        guest_start();
        guest_domain_init(0, 5, 4);
        guest_map(0, 0x3000, GUEST_DATA, P_RW);
        table = guest_table();
        poke64(GUEST_ROOT + 255 * 16, table | 1);
        poke64(table + 255 * 16 + 8, 2 | 5 << 8);
        poke64(table + 255 * 16, G.dom[0].root | 1);
        q_context(0, 1, 0, 0, 0);
        q_iotlb(0, 1, 0, 0, 0);
        assert_true(q_sync(0));
        assert_int_equal(dma_lands(0, 0x3000, true), GUEST_DATA);
        assert_non_null(domain_of_guest(units[0], false, 5));
        guest_gcmd(0, G_TE, false);
        assert_null(domain_of_guest(units[0], false, 5));
        assert_int_equal(dma_lands(0, GUEST_DATA, true), GUEST_DATA);
        env_lock(&units[0]->lock);
        hostq_lose(units[0]);
        env_unlock(&units[0]->lock);
        assert_int_equal(dma_lands(0, GUEST_DATA, true), ~0ull);
    }
}

/* What stands in the ring behind the tail is not there yet, or not any more. */
static void nothing_behind_the_tail(void **state)
{
    u32 old, stale_wait;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    stale_wait = G.tail[0] + 2;
    poke64(GUEST_RING + stale_wait * 16, 5 | WAIT_SW | 0x77ull << 32);
    poke64(GUEST_RING + stale_wait * 16 + 8, GUEST_STATUS + 0x800);
    old = peek32(GUEST_STATUS + 0x800);
    q_iotlb(0, 3, 5, 0x3000, 0);
    q_iotlb(0, 3, 5, 0x4000, 0);
    q_ring(0);
    world_settle();
    assert_int_equal(peek32(GUEST_STATUS + 0x800), old);
    assert_int_equal(guest_r32(0, R_IQH), stale_wait * 16);
    finish();
}

/* Nor is what stands behind the page that the guest's memory ends with: a batch of as many descriptors as a
 * page holds, which begins in one page and ends in the next. */
static void a_batch_over_the_end_of_ram(void **state)
{
    u64 base = RAM2_END - 0x1000;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .quiet = true });
    guest_gcmd(0, G_QIE, false);
    guest_w64(0, R_IQT, 0);
    guest_w64(0, R_IQA, base | 1);
    guest_gcmd(0, G_QIE, true);
    for (u64 i = 0; i < 256; i++) {
        poke64(base + i * 16, 2 | 3 << 4 | 5 << 16);
        poke64(base + i * 16 + 8, i << 12);
    }
    guest_w64(0, R_IQT, 0x10);
    assert_int_equal(guest_r32(0, R_IQH), 0x10);
    poke64(RAM2_END, 5 | WAIT_SW | 0x77ull << 32);
    poke64(RAM2_END + 8, GUEST_STATUS + 0x800);
    poke64(GUEST_STATUS + 0x800, 0);
    guest_w64(0, R_IQT, 0x1010);
    assert_int_equal(iqe(0), 2);
    assert_int_equal(guest_r32(0, R_IQH), 0x1000);
    assert_int_equal(peek32(GUEST_STATUS + 0x800), 0);
}

/* A run of pages does not go round the top of the address space, and ends with what the unit takes. */
static void runs_end(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    map_and_flush(0, 0, GUEST_DATA);
    guest_unmap(0, 0);
    q_iotlb(0, 3, 5, ~0xfffull, 0);
    q_iotlb(0, 3, 5, 0, 0);
    assert_true(q_sync(0));
    for (unsigned f = 0; f < 3; f++)
        only_outcome(f, 0, ~0ull);
    finish();
    in_use(&(struct world_cfg){ .wait_us = 100, .cap = (CAP_DEFAULT & ~C_MAMV(63)) | C_MAMV(52) });
    q_iotlb(0, 3, 5, 0, 52);
    q_iotlb(0, 3, 5, 0, 52);
    assert_true(q_sync(0));
    assert_int_equal(host_count(2), 1);
    assert_int_equal(host_dtlb(SID_ATS), 1);
    finish();
    in_use(&(struct world_cfg){ .wait_us = 100 });
    q_iotlb(0, 3, 5, 0, 18);
    assert_true(q_sync(0));
    q_iotlb(0, 3, 5, 0, 19);
    q_wait(0);
    q_ring(0);
    world_settle();
    assert_int_equal(iqe(0), 4);
    finish();
    for (u64 mamv = 8; mamv < 10; mamv++) {
        in_use(&(struct world_cfg){ .wait_us = 100, .cap = (CAP_DEFAULT & ~C_MAMV(63)) | C_MAMV(mamv) });
        q_iotlb(0, 3, 5, 0x200000, 8);
        q_iotlb(0, 3, 5, 0x300000, 8);
        assert_true(q_sync(0));
        assert_int_equal(host[0].q0 >> 4 & 3, mamv < 9 ? 2 : 3);
        finish();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_ring_is_one_pass),
        cmocka_unit_test(a_ring_of_waits_without_memory),
        cmocka_unit_test(more_device_requests_than_the_list),
        cmocka_unit_test(hostile_29_nobody_reports_the_time_out),
        cmocka_unit_test(slow_answers_are_answers),
        cmocka_unit_test(flushes_of_a_lost_unit),
        cmocka_unit_test(a_storm_hides_no_time_out),
        cmocka_unit_test(quarantine_switches_bus_mastering_off),
        cmocka_unit_test(hostile_29_a_dead_unit_is_given_up_once),
        cmocka_unit_test(more_functions_than_are_followed),
        cmocka_unit_test(more_changed_functions_than_the_list),
        cmocka_unit_test(more_ways_than_the_list),
        cmocka_unit_test(entries_that_fit),
        cmocka_unit_test(ranges_that_fit),
        cmocka_unit_test(looks_that_are_made),
        cmocka_unit_test(domains_that_fit),
        cmocka_unit_test(functions_that_fit),
        cmocka_unit_test(ways_that_go_straight),
        cmocka_unit_test(as_much_as_the_ring_holds),
        cmocka_unit_test(blocks_of_a_range),
        cmocka_unit_test(what_is_flushed_anyway),
        cmocka_unit_test(the_last_function),
        cmocka_unit_test(nothing_behind_the_tail),
        cmocka_unit_test(a_batch_over_the_end_of_ram),
        cmocka_unit_test(runs_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
