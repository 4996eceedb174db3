/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * The invalidation call: IOTLB and device TLBs, done when it returns, each entry told what became of it.
 */
#include "tests/unit/world_test.h"

#define ARRAY     (RAM2_BASE + 0x10000)
#define NO_PASID  0xffffffffu
#define UNTOUCHED 0x77777777u
#define ALL       ~0ull

static void entry(unsigned i, u64 address, u64 pages, u32 flags, u32 reserved)
{
    u64 at = ARRAY + i * 32;

    poke64(at, address);
    poke64(at + 8, pages);
    poke64(at + 16, flags | (u64)reserved << 32);
    poke64(at + 24, UNTOUCHED | (u64)UNTOUCHED << 32);
}

static u32 result(unsigned i)
{
    return peek32(ARRAY + i * 32 + 24);
}

static u32 hardware(unsigned i)
{
    return peek32(ARRAY + i * 32 + 28);
}

static int call(u16 did, u32 pasid, unsigned count, unsigned *handled)
{
    int err = iommu_invalidate(0, did, pasid, ARRAY, count, handled);

    assert_false(world_locked());
    return err;
}

/* After the call, without time passing, nothing stale is anywhere; whether the queue is on or not. */
static void nothing_is_stale(u8 pace, bool queue_on, u64 address, u64 pages, u32 flags)
{
    unsigned handled = 99;

    in_use(&(struct world_cfg){ .pace = pace, .wait_us = 50 });
    map_and_flush(0, 0x3000, GUEST_DATA);
    map_and_flush(0, 0x9000, GUEST_DATA + 0x1000);
    if (!queue_on)
        guest_gcmd(0, G_QIE, false);
    guest_unmap(0, 0x3000);
    host_clear();
    entry(0, address, pages, flags, 0);
    assert_int_equal(call(5, NO_PASID, 1, &handled), 0);
    assert_int_equal(handled, 1);
    assert_int_equal(result(0) | hardware(0), 0);
    if (pages < 5) { /* these and no others */
        assert_int_equal(host_count(2), pages);
        assert_int_equal(host[0].q1, address);
    }
    for (unsigned f = 0; f < 3; f++) {
        only_outcome(f, 0x3000, ~0ull);
        only_outcome(f, 0x9000, GUEST_DATA + 0x1000);
    }
    assert_true(host_dtlb(SID_ATS) >= 1 && host_dtlb(SID_ATS2) >= 1);
    finish();
}

static void it_is_done_when_it_returns(void **state)
{
    (void)state;
    for (unsigned pace = 0; pace <= MODEL_PACE_MANUAL; pace++)
        for (unsigned on = 0; on < 2; on++) {
            nothing_is_stale((u8)pace, on, 0x3000, 1, 0);
            nothing_is_stale((u8)pace, on, 0x3000, 1, 1); /* LEAF */
            nothing_is_stale((u8)pace, on, 0x1000, 5, 0);
            nothing_is_stale((u8)pace, on, 0, ALL, 0);
            nothing_is_stale((u8)pace, on, 0, 1ull << 52, 1);
            nothing_is_stale((u8)pace, on, 0x3000, (1ull << 52) - 3, 1);
        }
}

static void entries_that_fail(void **state)
{
    static const struct {
        u64 address, pages;
        u32 flags, reserved, result;
    } bad[] = {
        { 0x3001, 1, 0, 0, 1 },
        { 0x3800, 1, 0, 0, 1 },
        { 0x3000, 1, 2, 0, 2 },
        { 0x3000, 1, 1u << 31, 0, 2 },
        { 0x3000, 1, 0, 1, 3 },
        { 0x3000, 1, 0, 1u << 31, 3 },
        { 0x3000, 0, 0, 0, 4 },
        { 0x3000, ALL, 0, 0, 4 }, /* all ones means everything only with address 0 */
        { 0x3000, (1ull << 52) - 2, 0, 0, 4 },
        { 0, (1ull << 52) + 1, 0, 0, 4 },
    };

    (void)state;
    for (unsigned b = 0; b < ARRAY_SIZE(bad); b++)
        for (unsigned place = 0; place < 3; place++) {
            unsigned handled = 99;

            in_use(&(struct world_cfg){ .wait_us = 50 });
            for (unsigned i = 0; i < 3; i++)
                map_and_flush(0, 0x10000 + (i << 12), GUEST_DATA);
            for (unsigned i = 0; i < 3; i++) {
                guest_unmap(0, 0x10000 + (i << 12));
                entry(i, 0x10000 + (i << 12), 1, 0, 0);
            }
            entry(place, bad[b].address, bad[b].pages, bad[b].flags, bad[b].reserved);
            assert_int_equal(call(5, NO_PASID, 3, &handled), -22);
            assert_int_equal(handled, place);
            for (unsigned i = 0; i < 3; i++) {
                assert_int_equal(result(i), i < place ? 0 : i == place ? bad[b].result : UNTOUCHED);
                assert_int_equal(hardware(i), i > place ? UNTOUCHED : 0);
            }
            /* those before it are done */
            for (unsigned i = 0; i < place; i++)
                for (unsigned f = 0; f < 3; f++)
                    only_outcome(f, 0x10000 + (i << 12), ~0ull);
            finish();
        }
}

static void arguments_that_fail(void **state)
{
    static const u64 nowhere[] = {
        REGION_BASE, UNIT_BASE, 0xfee00000, TRIP_BASE, 0x3fffffffff00ull, ~0x1full
    };
    unsigned handled = 99;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 50, .quiet = true });
    host_clear();
    entry(0, 0x3000, 1, 0, 0);
    assert_int_equal(iommu_invalidate(1, 5, NO_PASID, ARRAY, 1, &handled), -19);
    assert_int_equal(iommu_invalidate(~0u, 5, NO_PASID, ARRAY, 1, &handled), -19);
    assert_int_equal(iommu_invalidate(0, 5, NO_PASID, ARRAY + 16, 1, &handled), -22);
    assert_int_equal(iommu_invalidate(0, 5, NO_PASID, ARRAY, 1025, &handled), -22);
    assert_int_equal(iommu_invalidate(0, 5, 0, ARRAY, 1, &handled), -22); /* legacy mode has no PASIDs */
    for (unsigned i = 0; i < ARRAY_SIZE(nowhere); i++)
        assert_int_equal(iommu_invalidate(0, 5, NO_PASID, nowhere[i], 1, &handled), -14);
    assert_int_equal(handled, 0);
    assert_int_equal(result(0), UNTOUCHED);
    assert_int_equal(nr_host, 0);
    assert_int_equal(call(5, NO_PASID, 0, &handled), 0);
    assert_int_equal(call(77, NO_PASID, 1, &handled), 0); /* a domain that is not there */
    assert_int_equal(handled, 1);
    assert_int_equal(host_count(2), 0);
    /* an array that runs out of RAM */
    map_and_flush(0, 0x3000, GUEST_DATA);
    guest_unmap(0, 0x3000);
    for (u64 at = RAM1_END - 64; at < RAM1_END; at += 32) {
        poke64(at, 0x3000);
        poke64(at + 8, 1);
        poke64(at + 16, 0);
        poke64(at + 24, ~0ull);
    }
    u64 ours = peek64(RAM1_END + 24);
    assert_int_equal(iommu_invalidate(0, 5, NO_PASID, RAM1_END - 64, 3, &handled), -14);
    assert_int_equal(handled, 2);
    assert_int_equal(peek64(RAM1_END - 40) | peek64(RAM1_END - 8), 0);
    assert_int_equal(peek64(RAM1_END + 24), ours);
    for (unsigned f = 0; f < 3; f++)
        only_outcome(f, 0x3000, ~0ull);
    finish();
}

/* Whatever the number of entries it is one batch. */
static unsigned host_tails;
static void count_tails(const struct model_event *e)
{
    record(e);
    host_tails += e->type == MODEL_EV_REG_WRITE && e->a == R_IQT;
}

static void many_entries(void **state)
{
    unsigned handled;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 50 });
    map_and_flush(0, 0x3000, GUEST_DATA);
    guest_unmap(0, 0x3000);
    for (unsigned i = 0; i < 1024; i++)
        entry(i, i == 700 ? 0x3000 : (u64)i << 14, 1, 0, 0);
    W.on_trace = count_tails;
    host_tails = 0;
    assert_int_equal(call(5, NO_PASID, 1024, &handled), 0);
    assert_int_equal(handled, 1024);
    assert_int_equal(host_tails, 1);
    for (unsigned i = 0; i < 1024; i++)
        assert_int_equal(result(i) | hardware(i), 0);
    for (unsigned f = 0; f < 3; f++)
        only_outcome(f, 0x3000, ~0ull);
    finish();
}

static void what_hardware_said(void **state)
{
    unsigned handled;

    (void)state;
    for (unsigned ite_steps = 0; ite_steps <= 30; ite_steps += 30) {
        in_use(&(struct world_cfg){ .wait_us = 50, .ite_steps = (u16)ite_steps });
        map_and_flush(0, 0x3000, GUEST_DATA);
        guest_unmap(0, 0x3000);
        entry(0, 0x3000, 1, 0, 0);
        entry(1, 0x4000, 1, 0, 0);
        model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_BOGUS, 0);
        assert_int_equal(call(5, NO_PASID, 2, &handled), 0);
        assert_int_equal(hardware(0) & hardware(1), 1);
        entry(1, 0x4001, 1, 0, 0); /* of one that fails hardware says nothing */
        assert_int_equal(call(5, NO_PASID, 2, &handled), -22);
        assert_int_equal(hardware(0), 1);
        assert_int_equal(hardware(1), 0);
        assert_int_equal(result(1), 1);
        entry(1, 0x4000, 1, 0, 0);
        entry(2, 0, 0, 0, 0);
        model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_NEVER, 0);
        assert_int_equal(call(5, NO_PASID, 2, &handled), 0);
        assert_int_equal(handled, 2);
        assert_int_equal(result(0) | result(1), 0);
        assert_int_equal(hardware(0) & hardware(1) & 2, 2);
        assert_int_equal(result(2) & hardware(2), UNTOUCHED); /* nor of one behind the last */
        assert_int_equal(guest_read(0, R_IQERCD, 8), (u64)SID_ATS << 32);
        for (unsigned f = 0; f < 3; f++)
            only_outcome(f, 0x3000, ~0ull);
        /* it was that device and that call */
        world_run(100);
        assert_int_equal(call(5, NO_PASID, 2, &handled), 0);
        assert_int_equal(hardware(0) | hardware(1), 0);
        model_clear_violations(W.unit[0]);
        finish();
    }
}

/* A batch of the queue is outstanding and more is stored behind it: all of it is done, in order. */
static void beside_the_queue(void **state)
{
    unsigned handled;
    u32 a, b;

    (void)state;
    for (unsigned how = 0; how < 6; how++) {
        in_use(
            &(struct world_cfg){ .pace = MODEL_PACE_DELAYED, .pace_max = 200, .wait_us = how < 4 ? 0 : 20 });
        map_and_flush(0, 0x3000, GUEST_DATA);
        guest_unmap(0, 0x3000);
        q_iotlb(0, 2, 5, 0, 0);
        a = q_wait(0);
        q_ring(0);
        b = q_wait(0);
        q_ring(0); /* stored only */
        assert_false(q_done(b));
        entry(0, 0x3000, 1, 0, 0);
        /* everything that has to wait for the queue; the last two are done at once */
        if (how >= 4)
            model_set_pace(W.unit[0], MODEL_PACE_AT_ONCE, 1);
        if (how == 0)
            assert_int_equal(call(5, NO_PASID, 1, &handled), 0);
        else if (how == 1)
            iommu_ats_change(0, SID_ATS, true, 0, SID_ATS, true);
        else if (how == 2)
            iommu_dma_changed(BAR_BASE, 0x1000);
        else if (how < 5)
            guest_w64(0, R_CCMD, 1ull << 63 | 1ull << 61);
        else
            guest_w64(0, (u32)(guest_read(0, R_ECAP, 8) >> 8 & 0x3ff) * 16 + 8, 1ull << 63 | 1ull << 60);
        assert_true(q_done(a));
        world_settle(); /* the guest only looks at its memory */
        assert_true(q_done(b));
        finish();
    }
}

static void with_a_pasid(void **state)
{
    unsigned handled;

    (void)state;
    in_use(&(struct world_cfg){ .ecap = ECAP_DEFAULT | E_SMTS | E_SSTS | E_SMPWC, .wait_us = 50 });
    entry(0, 0x3000, 1, 0, 0);
    assert_int_equal(call(5, 0, 1, &handled), -22); /* the guest is in legacy mode */
    start(&(struct world_cfg){
        .ecap = ECAP_DEFAULT | E_SMTS | E_SSTS | E_SMPWC, .scalable = true, .ats = ATS_ALL, .wait_us = 50 });
    guest_start();
    guest_domain_init(0, 5, 4);
    for (unsigned f = 0; f < W.nr_fns; f++) {
        guest_pasid_entry(f, 0, 0, 0);
        if (W.cfg.fn[f].ats)
            world_ats(f, true);
        guest_sm_context(f, 0, W.cfg.fn[f].ats ? CTX_ATS : 0);
    }
    q_context(0, 1, 0, 0, 0);
    q_pasid(0, 3, 0, 0);
    q_iotlb(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
    for (unsigned pasid = 0; pasid < 2; pasid++)
        for (unsigned all = 0; all < 2; all++) {
            map_and_flush(0, 0x3000, GUEST_DATA);
            guest_unmap(0, 0x3000);
            entry(0, all ? 0 : 0x3000, all ? ALL : 1, 0, 0);
            assert_int_equal(call(5, pasid ? 0 : NO_PASID, 1, &handled), 0);
            for (unsigned f = 0; f < 3; f++)
                only_outcome(f, 0x3000, ~0ull);
        }
    assert_int_equal(call(5, 1u << 20, 1, &handled), -22);
    assert_int_equal(call(5, (1u << 20) - 1, 1, &handled), 0);
    finish();
}

/* Where nothing is sent that the guest does not ask for, the call is how it asks. */
static void it_asks_for_device_tlbs(void **state)
{
    unsigned handled;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 50, .dtlb = DTLB_GUEST });
    map_and_flush(0, 0x3000, GUEST_DATA);
    guest_unmap(0, 0x3000);
    host_clear();
    entry(0, 0x3000, 1, 0, 0);
    assert_int_equal(call(5, NO_PASID, 1, &handled), 0);
    assert_true(host_dtlb(SID_ATS) && host_dtlb(SID_ATS2));
    for (unsigned f = 0; f < 3; f++)
        only_outcome(f, 0x3000, ~0ull);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_done_when_it_returns),
        cmocka_unit_test(entries_that_fail),
        cmocka_unit_test(arguments_that_fail),
        cmocka_unit_test(many_entries),
        cmocka_unit_test(what_hardware_said),
        cmocka_unit_test(beside_the_queue),
        cmocka_unit_test(with_a_pasid),
        cmocka_unit_test(it_asks_for_device_tlbs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
