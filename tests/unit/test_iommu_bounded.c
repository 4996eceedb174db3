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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_ring_is_one_pass),
        cmocka_unit_test(a_ring_of_waits_without_memory),
        cmocka_unit_test(more_device_requests_than_the_list),
        cmocka_unit_test(hostile_29_nobody_reports_the_time_out),
        cmocka_unit_test(a_storm_hides_no_time_out),
        cmocka_unit_test(quarantine_switches_bus_mastering_off),
        cmocka_unit_test(hostile_29_a_dead_unit_is_given_up_once),
        cmocka_unit_test(more_functions_than_are_followed),
        cmocka_unit_test(more_changed_functions_than_the_list),
        cmocka_unit_test(more_ways_than_the_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
