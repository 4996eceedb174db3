/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libmodel.a */
/*
 * The model's caches: what may stay, what must go, and that each missing flush shows.
 */
#include "tests/unit/model_bench.h"

static void keep_everything(void)
{
    for (unsigned c = 0; c < MODEL_CLASSES; c++)
        model_set_keep(W.m, c, MODEL_KEEP_ALL);
}

static void start(uint64_t cap)
{
    bench_run(BASE_CAP | cap, BASE_ECAP);
    keep_everything();
    model_fill_all(W.m);
    assert_int_equal(model_stale(W.m, SID_A, 0), 0);
}

/* 6.2.3: a leaf stays until a flush of its domain and page; a wait alone is no flush. */
static void test_leaf(void **s)
{
    (void)s;
    start(0);
    map(PT, 0, DATA + 0x8000, 3);
    assert_int_equal(lands(SID_A, 0), DATA);
    sync_queue();
    assert_int_equal(lands(SID_A, 0), DATA);
    assert_int_equal(model_stale(W.m, SID_A, 0), 1 << MODEL_C_IOTLB);
    d_iotlb(3, 2, 0, 0, true);      /* another domain */
    d_iotlb(3, 1, 0x1000, 0, true); /* another page */
    d_context(1, 0, 0, 0);          /* another cache */
    sync_queue();
    assert_int_equal(lands(SID_A, 0), DATA);
    d_iotlb(3, 1, 0, 0, true);
    sync_queue();
    assert_int_equal(lands(SID_A, 0), DATA + 0x8000);
    assert_int_equal(model_stale(W.m, SID_A, 0), 0);
    assert_int_equal(model_stats(W.m)->c[MODEL_C_IOTLB].saved, 1);
    assert_int_equal(model_stats(W.m)->c[MODEL_C_IOTLB].would, 1);
    no_violations();
}

/* Each granularity of 6.5.2.2 does what it must, each address mask covers its naturally aligned range. */
static void test_granularity(void **s)
{
    (void)s;
    for (unsigned am = 0; am <= 4; am++) {
        start(0);
        for (unsigned i = 0; i < 16; i++)
            map(PT, i << 12, DATA + 0x80000 + (i << 12), 3);
        d_iotlb(3, 1, 0x5000, am, true);
        sync_queue();
        for (unsigned i = 0; i < 16; i++)
            assert_int_equal(lands(SID_A, i << 12), DATA + (i >> am == 5u >> am ? 0x80000 : 0) + (i << 12));
    }
    for (unsigned g = 1; g <= 2; g++) {
        start(0);
        map(PT, 0, DATA + 0x8000, 3);
        d_iotlb(g, 1, 0, 0, false);
        sync_queue();
        assert_int_equal(lands(SID_A, 0), DATA + 0x8000);
    }
}

/* A leaf that was taken away keeps working until the flush; then it is a fault. */
static void test_unmap(void **s)
{
    (void)s;
    start(0);
    map(PT, 0, 0, 0);
    assert_int_equal(lands(SID_A, 0), DATA);
    d_iotlb(3, 1, 0, 0, true);
    sync_queue();
    assert_int_equal(lands(SID_A, 0), ~0ull);
}

/* 6.2.4: a paging-structure entry survives IH=1, and leads into whatever the old table page has become. */
static void test_paging_structure(void **s)
{
    const uint64_t pt = PT + 0x8000;

    (void)s;
    start(0);
    /* A new leaf table for the same 2 MiB; the old page is given to somebody else. */
    map(pt, 0, DATA + 0x1000, 3);
    poke(PT + 0x1000, pt | 3);
    d_iotlb(3, 1, 0, 9, true);
    sync_queue();
    map(PT, 0, DATA + 0x66000, 3);
    assert_int_equal(lands(SID_A, 0), DATA + 0x66000);
    assert_true(model_stale(W.m, SID_A, 0) & 1 << MODEL_C_PAGING);
    d_iotlb(3, 1, 0x1ff000, 0, false); /* IH=0 anywhere below the entry takes it; leaves it filled stay */
    sync_queue();
    assert_int_equal(model_stale(W.m, SID_A, 0), 1 << MODEL_C_IOTLB);
    d_iotlb(3, 1, 0, 0, true);
    sync_queue();
    assert_int_equal(model_stale(W.m, SID_A, 0), 0);
    assert_int_equal(lands(SID_A, 0), DATA + 0x1000);
    assert_true(model_stats(W.m)->c[MODEL_C_PAGING].saved > 0);
}

/* 9.8, 6.2: a large page may be held in pieces, so its whole range must be flushed. */
static void test_large_page_in_pieces(void **s)
{
    (void)s;
    bench_run(BASE_CAP, BASE_ECAP);
    keep_everything();
    poke(PT + 0x1000, 0 | 0x83);
    model_fill_all(W.m);
    assert_int_equal(lands(SID_A, 0x3000), 0x3000);
    poke(PT + 0x1000, PT | 3);
    d_iotlb(3, 1, 0, 0, false);
    sync_queue();
    assert_int_equal(lands(SID_A, 0), DATA);
    assert_int_equal(lands(SID_A, 0x3000), 0x3000);
    d_iotlb(3, 1, 0, 9, false);
    sync_queue();
    assert_int_equal(lands(SID_A, 0x3000), DATA + 0x3000);
}

/* 6.2.2: a context entry stays until a context flush for it; the IOTLB flush alone does not do it. */
static void test_context(void **s)
{
    (void)s;
    start(0);
    put_ctx(SID_A, TT_SS, 1, 2, PT2 + 0x2000);
    tables3(PT2);
    map(PT2, 0, DATA + 0x9000, 3);
    d_iotlb(1, 0, 0, 0, false);
    sync_queue();
    assert_int_equal(lands(SID_A, 0), DATA);
    d_context(3, 1, SID_B, 0); /* another source */
    d_context(2, 2, 0, 0);     /* the new domain, not the old one */
    d_context(3, 2, SID_A, 0); /* 11.4.7.1: the DID must be the one that was programmed */
    sync_queue();
    assert_int_equal(lands(SID_A, 0), DATA);
    d_context(3, 1, SID_A, 0);
    sync_queue();
    assert_int_equal(lands(SID_A, 0), DATA + 0x9000);
}

/* 6.5.2.1: FM masks function bits of SID. */
static void test_function_mask(void **s)
{
    static const uint16_t mask[4] = { 0, 4, 6, 7 };

    (void)s;
    for (unsigned fm = 0; fm < 4; fm++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            start(0);
            put_ctx(SID_A, TT_PASS, 2, 3, 0);
            d_context(3, 1, SID_A ^ (1 << bit), fm);
            sync_queue();
            d_iotlb(1, 0, 0, 0, false);
            sync_queue();
            assert_int_equal(lands(SID_A, 0), mask[fm] & (1 << bit) ? 0 : DATA);
        }
    }
}

/* 6.5.2.12: IOTLB before context in the queue leaves the IOTLB refilled from the old context entry. */
static void test_wrong_order(void **s)
{
    unsigned stale = 0;

    (void)s;
    for (unsigned seed = 0; seed < 40; seed++) {
        bench_seed = seed;
        start(0);
        model_set_pace(W.m, MODEL_PACE_MANUAL, 0);
        put_ctx(SID_A, TT_SS, 1, 1, PT2 + 0x2000); /* same DID, other tables */
        tables3(PT2);
        map(PT2, 0, DATA + 0x9000, 3);
        d_iotlb(2, 1, 0, 0, false);
        d_context(3, 1, SID_A, 0);
        d_wait(W_SW, 77, 1);
        ring();
        for (unsigned i = 0; i < 100 && status(1) != 77; i++) {
            model_step(W.m);
            model_fill_all(W.m);
        }
        stale += lands(SID_A, 0) == DATA;
    }
    bench_seed = 1;
    assert_true(stale > 0);
}

/* The right order never leaves anything, whatever the seed reorders and fills. */
static void test_right_order(void **s)
{
    (void)s;
    for (unsigned seed = 1; seed < 200; seed++) {
        bench_reset(BASE_CAP, BASE_ECAP);
        W.cfg.seed = seed;
        W.cfg.speculate = 3;
        W.cfg.pace = seed & 1 ? MODEL_PACE_MANUAL : MODEL_PACE_DELAYED;
        W.cfg.pace_max = 5;
        bench_start();
        tables3(PT);
        map(PT, 0, DATA, 3);
        put_ctx(SID_A, TT_SS, 1, 1, PT + 0x2000);
        bench_enable();
        keep_everything();
        model_fill_all(W.m);
        put_ctx(SID_A, TT_SS, 1, 1, PT2 + 0x2000);
        tables3(PT2);
        map(PT2, 0, DATA + 0x9000, 3);
        d_context(3, 1, SID_A, 0);
        d_iotlb(2, 1, 0, 0, false);
        sync_queue();
        assert_int_equal(model_stale(W.m, SID_A, 0), 0);
        assert_int_equal(lands(SID_A, 0), DATA + 0x9000);
        no_violations();
    }
}

/* 6.1: with CM=0 nothing faulty is cached; with CM=1 it is, contexts under domain 0, pages under their own.
 */
static void test_caching_mode(void **s)
{
    (void)s;
    start(0);
    map(PT, 0x20000, DATA, 3);
    assert_int_equal(lands(SID_A, 0x20000), DATA);
    assert_int_equal(lands(SID_B, 0), ~0ull);
    put_ctx(SID_B, TT_PASS, 2, 2, 0);
    assert_int_equal(lands(SID_B, 0), 0);

    start(CAP_CM);
    map(PT, 0x20000, DATA, 3);
    assert_int_equal(lands(SID_A, 0x20000), ~0ull);
    d_iotlb(3, 1, 0x20000, 0, true);
    sync_queue();
    assert_int_equal(lands(SID_A, 0x20000), DATA);
    assert_int_equal(lands(SID_B, 0), ~0ull);
    put_ctx(SID_B, TT_PASS, 2, 2, 0);
    d_context(3, 2, SID_B, 0);
    sync_queue();
    assert_int_equal(lands(SID_B, 0), ~0ull);
    d_context(3, 0, SID_B, 0);
    sync_queue();
    assert_int_equal(lands(SID_B, 0), 0);
}

/* With CM=1 an absent table is cached above the leaf: IH=1 is not enough when the table appears. */
static void test_caching_mode_nonleaf(void **s)
{
    (void)s;
    bench_run(BASE_CAP | CAP_CM, BASE_ECAP);
    keep_everything();
    model_watch(W.m, 0x200000, 1);
    model_fill_all(W.m);
    poke(PT + 0x1008, (PT + 0x3000) | 3);
    poke(PT + 0x3000, DATA | 3);
    d_iotlb(3, 1, 0x200000, 0, true);
    sync_queue();
    assert_int_equal(lands(SID_A, 0x200000), ~0ull);
    d_iotlb(3, 1, 0x200000, 0, false);
    sync_queue();
    assert_int_equal(lands(SID_A, 0x200000), DATA);
}

/* A domain-id given to another function shares the leaves, so a left-over one is seen by both (6.2.3). */
static void test_domain_reuse(void **s)
{
    (void)s;
    start(0);
    clear_ctx(SID_A);
    d_context(3, 1, SID_A, 0);
    sync_queue();
    assert_int_equal(lands(SID_A, 0), ~0ull);
    tables3(PT2);
    map(PT2, 0, DATA + 0x9000, 3);
    put_ctx(SID_B, TT_SS, 1, 1, PT2 + 0x2000);
    assert_int_equal(lands(SID_B, 0), DATA);
    d_iotlb(2, 1, 0, 0, false);
    sync_queue();
    assert_int_equal(lands(SID_B, 0), DATA + 0x9000);
}

/* A root entry falls with a global context flush only. */
static void test_root(void **s)
{
    (void)s;
    start(0);
    memcpy(W.ram + CTX + 0x1000, W.ram + CTX, 4096);
    poke(CTX + 0x1000 + SID_A * 16, 0);
    poke(ROOT, (CTX + 0x1000) | 1);
    d_context(3, 1, SID_A, 0);
    d_iotlb(1, 0, 0, 0, false);
    sync_queue();
    assert_int_equal(lands(SID_A, 0), DATA);
    d_context(1, 0, 0, 0);
    d_iotlb(1, 0, 0, 0, false);
    sync_queue();
    assert_int_equal(lands(SID_A, 0), ~0ull);
}

/* 6.6: SRTP flushes nothing without ESRTPS; with it, everything of the unit's own. */
static void test_set_root(void **s)
{
    (void)s;
    for (unsigned esrtps = 0; esrtps < 2; esrtps++) {
        start((uint64_t)esrtps << 63);
        poke(ROOT + 0x4000, 0);
        w64(R_RTADDR, ROOT + 0x4000);
        gcmd(SRTP, true);
        assert_int_equal(lands(SID_A, 0), esrtps ? ~0ull : DATA);
        no_violations(); /* a DMA may always come in between */
        sync_queue();
        assert_int_equal(lands(SID_A, 0), esrtps ? ~0ull : DATA);
        assert_int_equal(model_violation_count(W.m, MODEL_V_ROOT_NO_FLUSH), !esrtps);
        d_context(1, 0, 0, 0);
        d_iotlb(1, 0, 0, 0, false);
        sync_queue();
        assert_int_equal(lands(SID_A, 0), ~0ull);
    }
}

/* A context entry that differs in its domain-id or its ATS gate alone is stale as well. */
static void test_context_same_page(void **s)
{
    (void)s;
    start(0);
    put_ctx(SID_A, TT_SS, 1, 2, PT + 0x2000);
    d_iotlb(1, 0, 0, 0, false);
    sync_queue();
    assert_int_equal(model_stale(W.m, SID_A, 0), 1 << MODEL_C_CONTEXT);
    put_ctx(SID_A, TT_ATS, 1, 1, PT + 0x2000);
    assert_int_equal(model_stale(W.m, SID_A, 0), 1 << MODEL_C_CONTEXT);
    d_context(3, 1, SID_A, 0);
    sync_queue();
    assert_int_equal(model_stale(W.m, SID_A, 0), 0);
    /* What the device learnt while the gate was open is of use as long as the old entry is. */
    model_fn_set_ats(W.a, true);
    model_fill_all(W.m);
    put_ctx(SID_A, TT_SS, 1, 1, PT + 0x2000);
    assert_true(model_stale(W.m, SID_A, 0) & 1 << MODEL_C_CONTEXT);
    d_context(3, 1, SID_A, 0);
    sync_queue();
    assert_int_equal(model_stale(W.m, SID_A, 0), 0);
}

/* The oracle sees all versions at once, the fresh one first. */
static void test_outcomes(void **s)
{
    struct model_outcome o[MODEL_OUTCOMES];
    unsigned n;

    (void)s;
    start(0);
    for (unsigned i = 1; i < 4; i++) {
        map(PT, 0, DATA + (i << 12), 3);
        model_fill(W.m, SID_A, 0, 1);
    }
    map(PT, 0, DATA + 0x7000, 1);
    n = model_outcomes(W.m, SID_A, 0, o, MODEL_OUTCOMES);
    assert_int_equal(n, 5);
    assert_false(o[0].stale);
    assert_int_equal(o[0].pa, DATA + 0x7000);
    assert_int_equal(o[0].perm, 1);
    for (unsigned i = 1; i < n; i++)
        assert_true(o[i].stale && o[i].via == 1 << MODEL_C_IOTLB);
}

/* Policies: a class without a cache never serves stale; a random one does both. */
static void test_policies(void **s)
{
    unsigned fresh = 0;

    (void)s;
    start(0);
    map(PT, 0, DATA + 0x8000, 3);
    model_set_keep(W.m, MODEL_C_IOTLB, MODEL_KEEP_NONE);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(lands(SID_A, 0), DATA + 0x8000);
    model_set_keep(W.m, MODEL_C_IOTLB, MODEL_KEEP_RANDOM);
    for (unsigned i = 0; i < 200; i++)
        fresh += lands(SID_A, 0) == DATA + 0x8000;
    assert_in_range(fresh, 20, 180);
}

/* The monitor: one domain-id, two sets of tables; domain-id 0 with CM=1. */
static void test_monitor(void **s)
{
    (void)s;
    start(0);
    put_ctx(SID_B, TT_SS, 1, 1, PT2 + 0x2000);
    model_fill_all(W.m);
    assert_int_equal(model_violation_count(W.m, MODEL_V_DID), 1);
    start(CAP_CM);
    put_ctx(SID_B, TT_SS, 1, 0, PT2 + 0x2000);
    model_fill_all(W.m);
    assert_int_equal(model_violation_count(W.m, MODEL_V_DID_ZERO), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leaf),
        cmocka_unit_test(test_granularity),
        cmocka_unit_test(test_unmap),
        cmocka_unit_test(test_paging_structure),
        cmocka_unit_test(test_large_page_in_pieces),
        cmocka_unit_test(test_context),
        cmocka_unit_test(test_function_mask),
        cmocka_unit_test(test_wrong_order),
        cmocka_unit_test(test_right_order),
        cmocka_unit_test(test_caching_mode),
        cmocka_unit_test(test_caching_mode_nonleaf),
        cmocka_unit_test(test_domain_reuse),
        cmocka_unit_test(test_root),
        cmocka_unit_test(test_set_root),
        cmocka_unit_test(test_context_same_page),
        cmocka_unit_test(test_outcomes),
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_monitor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
