/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libmodel.a */
/*
 * The model's invalidation queue: sizes and widths, each reserved bit, waits, order, IQE, ICE and ITE.
 */
#include "tests/unit/model_bench.h"

enum { F_IQE = 1 << 4, F_ICE = 1 << 5, F_ITE = 1 << 6 };
#define SMTS (1ull << 43)

static unsigned iqei(void)
{
    return r32(R_FSTS) & F_IQE ? r64(R_IQERCD) & 15 : 0;
}

static void start_with(uint64_t cap, uint64_t ecap, uint64_t iqa)
{
    bench_reset(cap, ecap);
    w64(R_IQT, 0);
    w64(R_IQA, iqa);
    gcmd(QIE, true);
}
static void start(void)
{
    start_with(BASE_CAP, BASE_ECAP, RING);
}

/* What IQEI does the unit find in this one descriptor? */
static unsigned judge(uint64_t ecap, const uint64_t q[4], bool wide)
{
    start_with(BASE_CAP, ecap, RING | (wide ? 1 << 11 : 0));
    for (unsigned i = 0; i < (wide ? 4 : 2); i++)
        poke(RING + 8 * i, q[i]);
    w64(R_IQT, wide ? 32 : 16);
    model_run(W.m, 10);
    assert_int_equal(r64(R_IQH), iqei() ? 0 : wide ? 32 : 16);
    return iqei();
}

/* 6.5.2: each size and width has its number of entries, wraps there, and takes a tail up to there. */
static void test_ring_sizes(void **s)
{
    (void)s;
    for (unsigned wide = 0; wide < 2; wide++) {
        for (unsigned qs = 0; qs < 3; qs++) {
            const unsigned size = wide ? 32 : 16, n = 1u << (qs + (wide ? 7 : 8));

            start_with(BASE_CAP, BASE_ECAP | SMTS, RING | wide << 11 | qs);
            for (unsigned i = 0; i < n; i++) {
                poke(RING + i * size, 5 | W_SW | (uint64_t)(i + 1) << 32);
                poke(RING + i * size + 8, STATUS);
                poke(RING + i * size + (wide ? 16 : 0), wide ? 0 : peek(RING + i * size));
                poke(RING + i * size + (wide ? 24 : 8), wide ? 0 : STATUS);
            }
            w64(R_IQT, (n - 1) * size); /* full */
            assert_int_equal(r64(R_IQH), (n - 1) * size);
            assert_int_equal(status(0), n - 1);
            w64(R_IQT, size); /* round the corner */
            assert_int_equal(r64(R_IQH), size);
            assert_int_equal(status(0), 1);
            w64(R_IQT, size); /* head == tail */
            assert_int_equal(model_stats(W.m)->fetched, n + 1);
            no_violations();
            w64(R_IQT, n * size);
            assert_int_equal(iqei(), 1);
            w32(R_FSTS, F_IQE);
            assert_int_equal(iqei(), 1); /* still there */
            w64(R_IQT, size);
            w32(R_FSTS, F_IQE);
            assert_int_equal(iqei(), 0);
            w64(R_IQT, 16);
            assert_int_equal(iqei(), wide ? 6 : 0);
        }
    }
}

/* 11.4.9: width and translation mode must fit. */
static void test_widths(void **s)
{
    (void)s;
    start_with(BASE_CAP, BASE_ECAP, RING | 1 << 11);
    w64(R_IQT, 32);
    assert_int_equal(iqei(), 5);
    start_with(BASE_CAP, BASE_ECAP | SMTS, RING);
    w64(R_RTADDR, ROOT | 1 << 10);
    gcmd(SRTP, true);
    w64(R_IQT, 16);
    assert_int_equal(iqei(), 5);
    start_with(BASE_CAP, BASE_ECAP, RING);
    w64(R_RTADDR, ROOT | 2 << 10);
    gcmd(SRTP, true);
    w64(R_IQT, 16);
    assert_int_equal(iqei(), 7);
}

/* A queue that is not memory: fetch error. */
static void test_fetch_error(void **s)
{
    (void)s;
    start_with(BASE_CAP, BASE_ECAP, 0x10000000);
    w64(R_IQT, 16);
    assert_int_equal(iqei(), 2);
    assert_int_equal(r64(R_IQH), 0);
}

/* 6.5.2.1 to 6.5.2.5: each bit of each type is either defined or an error. */
static void test_reserved_bits(void **s)
{
    static const struct {
        uint64_t q[2], defined[2];
    } types[] = {
        /* context: G FM SID DID */
        { { 1 | 1 << 4, 0 }, { 0x0003ffffffff0030, 0 } },
        /* IOTLB: G DW DR DID, AM IH ADDR; domain-selective so that AM is free */
        { { 2 | 2 << 4, 0 }, { 0x00000000ffff00f0, ~0ull << 12 | 0x7f } },
        /* device TLB: MIP SID, S ADDR (PFSID needs DIT) */
        { { 3 | (uint64_t)SID_A << 32, 0 }, { 0x0000ffff001f0000, ~0ull << 12 | 1 } },
        /* interrupt entry: G IM IIDX */
        { { 4, 0 }, { 0x0000fffff8000010, 0 } },
        /* wait: IF SW FN SDATA, STADDR (PD needs PDS) */
        { { 5, 0 }, { 0xffffffff00000070, ~3ull } },
    };

    (void)s;
    for (unsigned t = 0; t < 5; t++) {
        for (unsigned bit = 0; bit < 256; bit++) {
            uint64_t q[4] = { types[t].q[0], types[t].q[1], 0, 0 };
            bool type = bit < 4 || (bit >= 9 && bit < 12);
            unsigned got, want = bit < 128 && (types[t].defined[bit / 64] >> bit % 64 & 1) ? 0 : 4;

            if (type)
                continue;
            q[bit / 64] ^= 1ull << bit % 64;
            /* A granularity of 00 is reserved as well. */
            if ((t == 0 && bit == 4) || (t == 1 && bit == 5))
                want = 4;
            if (bit < 128) {
                got = judge(BASE_ECAP, q, false);
                assert_int_equal(got, want);
            }
            got = judge(BASE_ECAP | SMTS, q, true);
            assert_int_equal(got, want);
        }
    }
}

/* The type is bits 11:9 and 3:0 together. */
static void test_types(void **s)
{
    (void)s;
    for (unsigned t = 0; t < 128; t++) {
        uint64_t q[4] = { (t & 15) | (uint64_t)(t >> 4) << 9 | (t == 1 || t == 2 ? 1 << 4 : 0), 0, 0, 0 };

        if (t == 3)
            q[0] |= (uint64_t)SID_A << 32;
        assert_int_equal(judge(BASE_ECAP, q, false), t >= 1 && t <= 5 ? 0 : 3);
        assert_int_equal(judge(BASE_ECAP | SMTS, q, true), t >= 1 && t <= 5 ? 0 : 3);
    }
    /* Without DT there is no type 3, without IR no type 4. */
    assert_int_equal(judge(BASE_ECAP & ~4ull, (uint64_t[4]){ 3 }, false), 3);
    assert_int_equal(judge(BASE_ECAP & ~8ull, (uint64_t[4]){ 4 }, false), 3);
}

/* Bits that another capability makes legal. */
static void test_conditional_bits(void **s)
{
    uint64_t pfsid = 3 | (uint64_t)SID_A << 32 | (SID_A & 15ull) << 12 | (uint64_t)(SID_A >> 4) << 52;

    (void)s;
    assert_int_equal(judge(BASE_ECAP, (uint64_t[4]){ pfsid }, false), 4);
    assert_int_equal(judge(BASE_ECAP | 1ull << 41, (uint64_t[4]){ pfsid }, false), 0);
    no_violations();
    assert_int_equal(judge(BASE_ECAP | 1ull << 41, (uint64_t[4]){ 3 | (uint64_t)SID_A << 32 }, false), 0);
    assert_int_equal(model_violation_count(W.m, MODEL_V_DTLB_FIELDS), 1);
    assert_int_equal(judge(BASE_ECAP, (uint64_t[4]){ 5 | 1 << 7 }, false), 4);
    assert_int_equal(judge(BASE_ECAP | 1ull << 42, (uint64_t[4]){ 5 | 1 << 7 }, false), 0);
    /* 11.4.2: AM up to MAMV. */
    assert_int_equal(judge(BASE_ECAP, (uint64_t[4]){ 2 | 3 << 4, 18 }, false), 0);
    assert_int_equal(judge(BASE_ECAP, (uint64_t[4]){ 2 | 3 << 4, 19 }, false), 4);
}

/* 6.5.2.5: status, interrupt, neither; status first. */
static void test_waits(void **s)
{
    (void)s;
    for (unsigned flags = 0; flags < 8; flags++) {
        start();
        w32(R_IEDATA, 0x41);
        w32(R_IEADDR, 0xfee01000);
        w32(R_IECTL, 0);
        d_wait(flags << 4, 99, 1);
        ring();
        assert_int_equal(status(1), flags & 2 ? 99 : 0);
        assert_int_equal(W.irqs, flags & 1);
        assert_int_equal(r32(R_ICS), flags & 1);
        assert_int_equal(model_stats(W.m)->waits, 1);
        if (flags & 1) {
            assert_int_equal(W.irq[0].addr, 0xfee01000);
            assert_int_equal(W.irq[0].data, 0x41);
        }
        no_violations();
    }
}

/* 11.4.11: no new event while IWC is set; a masked one is pending; clearing IWC takes it back. */
static void test_completion_events(void **s)
{
    (void)s;
    start();
    w32(R_IEADDR, 0xfee00000);
    d_wait(W_IF, 0, 1);
    ring();
    assert_int_equal(W.irqs, 0);
    assert_int_equal(r32(R_IECTL), 3u << 30);
    w32(R_IECTL, 0);
    assert_int_equal(W.irqs, 1);
    assert_int_equal(r32(R_IECTL), 0);
    d_wait(W_IF, 0, 1);
    ring();
    assert_int_equal(W.irqs, 1);
    w32(R_ICS, 1);
    d_wait(W_IF, 0, 1);
    ring();
    assert_int_equal(W.irqs, 2);
    w32(R_ICS, 1);
    w32(R_IECTL, 1u << 31);
    d_wait(W_IF, 0, 1);
    ring();
    w32(R_ICS, 1);
    w32(R_IECTL, 0);
    assert_int_equal(W.irqs, 2);
}

/* 6.5.2.10: IQE freezes the head; tails are stored; what was fetched completes; then it resumes. */
static void test_iqe(void **s)
{
    (void)s;
    start();
    w32(R_FEADDR, 0xfee00000);
    w32(R_FECTL, 0);
    d_wait(W_SW, 1, 1);
    push(0xf, 0);
    d_wait(W_SW, 2, 2);
    ring();
    assert_int_equal(iqei(), 3);
    assert_int_equal(r64(R_IQH), 16);
    assert_int_equal(status(1), 1);
    assert_int_equal(status(2), 0);
    assert_int_equal(W.irqs, 1);
    assert_int_equal(model_violation_count(W.m, MODEL_V_DESCRIPTOR), 1);
    ring();
    assert_int_equal(status(2), 0);
    poke(RING + 16, 5 | W_SW | 3ull << 32);
    poke(RING + 24, STATUS + 24);
    w32(R_FSTS, F_IQE);
    assert_int_equal(status(3), 3);
    assert_int_equal(status(2), 2);
    assert_int_equal(r64(R_IQH), 48);
}

/* QIE=0 puts the head back to 0; a tail other than 0 at QIE=1 is run up to. */
static void test_disable(void **s)
{
    (void)s;
    start();
    d_wait(W_SW, 1, 1);
    ring();
    gcmd(QIE, false);
    assert_int_equal(r64(R_IQH), 0);
    assert_int_equal(r64(R_IQT), 16);
    no_violations();
    poke(STATUS + 8, 0);
    gcmd(QIE, true);
    assert_int_equal(model_violation_count(W.m, MODEL_V_QIE_TAIL), 1);
    assert_int_equal(status(1), 1);
    w64(R_IQA, RING + 0x1000);
    assert_int_equal(model_violation_count(W.m, MODEL_V_IQA_BUSY), 2);
    model_fn_set_answer(W.a, MODEL_ANSWER_NEVER, 0);
    d_dtlb(SID_A, 0, false);
    W.tail = 1;
    poke(RING + 0x1010, 3 | (uint64_t)SID_A << 32);
    w64(R_IQT, 32);
    gcmd(QIE, false);
    assert_int_equal(model_violation_count(W.m, MODEL_V_QIE_BUSY), 1);
}

/* Bits of W.last are by type only, so this keeps the whole order. */
static unsigned order[64], norder;

static void on_event_order(void *ctx, const struct model_event *e)
{
    (void)ctx;
    if (e->type == MODEL_EV_COMPLETE || e->type == MODEL_EV_WAIT)
        order[norder++ % 64] = e->a;
}

static unsigned place(unsigned index)
{
    for (unsigned i = 0; i < norder; i++)
        if (order[i] == index)
            return i;
    fail_msg("descriptor %u never completed", index);
    return 0;
}

/* 6.5.2.12: every ordered pair stays in order, every unordered pair is seen both ways round. */
static void test_order(void **s)
{
    enum { CC, TLB, DEV, IEC, N };
    static const uint64_t q0[N] = { 1 | 1 << 4, 2 | 1 << 4, 3 | (uint64_t)SID_A << 32, 4 };
    static const bool ordered[N][N] = { [CC][TLB] = true, [TLB][DEV] = true, [IEC][DEV] = true };

    (void)s;
    for (unsigned x = 0; x < N; x++) {
        for (unsigned y = 0; y < N; y++) {
            unsigned swapped = 0;

            for (unsigned seed = 1; seed < 60; seed++) {
                const struct model_ops ops = { .mem_read = ram_read,
                                               .mem_write = ram_write,
                                               .interrupt = on_interrupt,
                                               .trace = on_event_order };

                bench_reset(BASE_CAP, BASE_ECAP);
                W.cfg.seed = seed;
                W.m = model_init(W.mem, sizeof(W.mem), &W.cfg, &ops);
                W.a = model_fn_add(W.m, &(struct model_fn_cfg){ .sid = SID_A, .ats = true });
                w64(R_IQA, RING);
                gcmd(QIE, true);
                norder = 0;
                push(q0[x], 0);
                push(q0[y], 0);
                d_wait(W_SW, 1, 1);
                d_wait(W_SW, 2, 1);
                ring();
                assert_int_equal(place(2), 2);
                assert_int_equal(place(3), 3);
                swapped += place(0) > place(1);
            }
            assert_int_equal(swapped > 0, !ordered[x][y]);
            assert_true(swapped < 59);
        }
    }
}

/* A wait does not hold back what follows it, unless it is a fence (FN). */
static void test_fence(void **s)
{
    (void)s;
    for (unsigned fence = 0; fence < 2; fence++) {
        start();
        model_fn_set_answer(W.a, MODEL_ANSWER_SLOW, 5);
        d_dtlb(SID_A, 0, false);
        d_wait(W_SW | (fence ? W_FN : 0), 1, 1);
        d_iotlb(1, 0, 0, 0, false);
        ring();
        assert_int_equal(W.events[MODEL_EV_COMPLETE], !fence);
        assert_int_equal(status(1), 0);
        model_run(W.m, 10);
        assert_int_equal(W.events[MODEL_EV_COMPLETE], 2);
        assert_int_equal(status(1), 1);
    }
}

/* The head moves on fetch, long before anything is done. */
static void test_head_runs_ahead(void **s)
{
    (void)s;
    start();
    model_fn_set_answer(W.a, MODEL_ANSWER_SLOW, 5);
    d_dtlb(SID_A, 0, false);
    d_wait(W_SW, 1, 1);
    ring();
    assert_int_equal(r64(R_IQH), 32);
    assert_int_equal(status(1), 0);
    model_run(W.m, 10);
    assert_int_equal(status(1), 1);
}

static void start_timeout(enum model_answer answer, unsigned steps)
{
    bench_reset(BASE_CAP, BASE_ECAP);
    W.cfg.ite_steps = 5;
    bench_start();
    w64(R_IQA, RING);
    gcmd(QIE, true);
    w32(R_FEADDR, 0xfee00000);
    w32(R_FECTL, 0);
    model_fn_set_answer(W.a, answer, steps);
}

/* 6.5.2.11: all pending waits are aborted, the head stays, fetching resumes there when ITE is cleared. */
static void test_ite(void **s)
{
    (void)s;
    start_timeout(MODEL_ANSWER_NEVER, 0);
    d_wait(W_SW, 1, 1);
    d_dtlb(SID_A, 0x1000, false);
    d_wait(W_SW, 2, 2);
    d_wait(W_SW, 3, 3);
    ring();
    assert_int_equal(status(1), 1);
    assert_int_equal(r32(R_FSTS), 0);
    model_run(W.m, 20);
    assert_int_equal(r32(R_FSTS), F_ITE);
    assert_int_equal(r64(R_IQERCD) >> 32 & 0xffff, SID_A);
    assert_int_equal(W.irqs, 1);
    assert_int_equal(r64(R_IQH), 64);
    d_wait(W_SW, 4, 4);
    ring();
    model_run(W.m, 20);
    assert_int_equal(status(4), 0);
    w32(R_FSTS, F_ITE);
    assert_int_equal(status(4), 4);
    model_run(W.m, 100);
    assert_int_equal(status(2), 0);
    assert_int_equal(status(3), 0);
}

/* What stood behind the dead device may or may not have been executed. */
static void test_ite_drops(void **s)
{
    unsigned executed = 0;

    (void)s;
    for (unsigned seed = 1; seed < 50; seed++) {
        bench_seed = seed;
        start_timeout(MODEL_ANSWER_NEVER, 0);
        d_dtlb(SID_A, 0x1000, false);
        d_wait(W_SW | W_FN, 1, 1);
        d_dtlb(SID_B, 0x1000, false);
        d_wait(W_SW, 2, 2);
        ring();
        model_run(W.m, 50);
        assert_int_equal(r32(R_FSTS), F_ITE);
        executed += W.events[MODEL_EV_DTLB_FLUSH];
    }
    bench_seed = 1;
    assert_in_range(executed, 5, 44);
}

/* ITESID may be unknown; a function that is not there cannot answer either. */
static void test_ite_unknown(void **s)
{
    (void)s;
    start_timeout(MODEL_ANSWER_OK, 0);
    d_dtlb(0x1234, 0x1000, false);
    ring();
    model_run(W.m, 20);
    assert_int_equal(r32(R_FSTS), F_ITE);
    assert_int_equal(r64(R_IQERCD) >> 32, 0x1234);
    assert_int_equal(model_violation_count(W.m, MODEL_V_DTLB_TARGET), 1);
    start_timeout(MODEL_ANSWER_NEVER, 0);
    W.cfg.ite_no_sid = true;
    bench_start();
    w64(R_IQA, RING);
    gcmd(QIE, true);
    model_fn_set_answer(W.a, MODEL_ANSWER_NEVER, 0);
    d_dtlb(SID_A, 0x1000, false);
    ring();
    model_run(W.m, 20);
    assert_int_equal(r32(R_FSTS), F_ITE);
    assert_int_equal(r64(R_IQERCD), 0);
}

/* A late answer completes no wait; it is unexpected, hence ICE. */
static void test_late(void **s)
{
    (void)s;
    start_timeout(MODEL_ANSWER_LATE, 10);
    d_dtlb(SID_A, 0, true);
    d_wait(W_SW, 1, 1);
    ring();
    model_run(W.m, 6);
    assert_int_equal(r32(R_FSTS), F_ITE);
    w32(R_FSTS, F_ITE);
    d_wait(W_SW, 2, 2);
    ring();
    assert_int_equal(status(2), 2);
    model_run(W.m, 50);
    assert_int_equal(r32(R_FSTS), F_ICE);
    assert_int_equal(r64(R_IQERCD) >> 48, SID_A);
    assert_int_equal(status(1), 0);
    assert_int_equal(W.events[MODEL_EV_DTLB_FLUSH], 1);
}

/* 6.5.2.10: ICE does not stop the queue. */
static void test_ice(void **s)
{
    (void)s;
    start_timeout(MODEL_ANSWER_BOGUS, 0);
    d_dtlb(SID_A, 0, true);
    d_wait(W_SW, 1, 1);
    ring();
    assert_int_equal(status(1), 1);
    assert_int_equal(r32(R_FSTS), F_ICE);
    w32(R_FSTS, F_ICE);
    assert_int_equal(r32(R_FSTS), 0);
}

/* A completion that got lost is never reported where time-outs are not (ite_steps = 0). */
static void test_lost(void **s)
{
    (void)s;
    start();
    model_fn_set_answer(W.a, MODEL_ANSWER_LOST, 0);
    d_dtlb(SID_A, 0, true);
    d_wait(W_SW, 1, 1);
    ring();
    model_run(W.m, 1000);
    assert_int_equal(status(1), 0);
    assert_int_equal(r32(R_FSTS), 0);
    assert_int_equal(W.events[MODEL_EV_DTLB_FLUSH], 1);
}

/* One thing per step, chosen by seed, and everything comes to an end. */
static void test_manual(void **s)
{
    (void)s;
    for (unsigned seed = 1; seed < 20; seed++) {
        bench_seed = seed;
        start();
        model_set_pace(W.m, MODEL_PACE_MANUAL, 0);
        d_context(1, 0, 0, 0);
        d_iotlb(1, 0, 0, 0, false);
        d_wait(W_SW, 1, 1);
        ring();
        assert_int_equal(r64(R_IQH), 0);
        assert_true(model_step(W.m));
        assert_int_equal(r64(R_IQH), 16);
        model_run(W.m, 100);
        assert_int_equal(status(1), 1);
        assert_false(model_busy(W.m));
    }
    bench_seed = 1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring_sizes),
        cmocka_unit_test(test_widths),
        cmocka_unit_test(test_fetch_error),
        cmocka_unit_test(test_reserved_bits),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_conditional_bits),
        cmocka_unit_test(test_waits),
        cmocka_unit_test(test_completion_events),
        cmocka_unit_test(test_iqe),
        cmocka_unit_test(test_disable),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_fence),
        cmocka_unit_test(test_head_runs_ahead),
        cmocka_unit_test(test_ite),
        cmocka_unit_test(test_ite_drops),
        cmocka_unit_test(test_ite_unknown),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_ice),
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_manual),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
