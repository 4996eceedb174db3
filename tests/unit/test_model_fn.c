/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libmodel.a */
/*
 * The model's functions: device TLB, ATS gate, DMA in flight and its draining.
 */
#include "tests/unit/model_bench.h"

static void keep_everything(void)
{
    for (unsigned c = 0; c < MODEL_CLASSES; c++)
        model_set_keep(W.m, c, MODEL_KEEP_ALL);
}

/* A in domain 1 with ATS on, every cache full. */
static void start_version(unsigned version)
{
    bench_run(BASE_CAP, BASE_ECAP);
    W.cfg.version = version;
    bench_start();
    put_ctx(SID_A, TT_ATS, 1, 1, PT + 0x2000);
    W.tail = 0;
    bench_enable();
    keep_everything();
    model_fn_set_ats(W.a, true);
    model_fill_all(W.m);
}
static void start(void)
{
    start_version(0x10);
}

static uint64_t fn_lands(struct model_fn *fn, uint64_t iova)
{
    uint64_t buf = 0;
    struct model_result r = model_fn_dma(fn, iova, 8, false, &buf);

    return r.status == MODEL_OK ? r.pa : ~0ull;
}

/* What the device holds outlives every flush but its own. */
static void test_device_tlb(void **s)
{
    (void)s;
    start();
    map(PT, 0, 0, 0);
    d_context(1, 0, 0, 0);
    d_iotlb(1, 0, 0, 0, false);
    d_dtlb(SID_B, DTLB_ALL, true);
    d_dtlb(SID_A, 0x1000, false);
    sync_queue();
    assert_int_equal(model_stale(W.m, SID_A, 0), 1 << MODEL_C_DTLB);
    assert_int_equal(fn_lands(W.a, 0), DATA);
    d_dtlb(SID_A, 0, false);
    sync_queue();
    assert_int_equal(model_stale(W.m, SID_A, 0), 0);
    assert_int_equal(fn_lands(W.a, 0), ~0ull);
    assert_int_equal(model_stats(W.m)->c[MODEL_C_DTLB].saved, 1);
    assert_int_equal(model_stats(W.m)->c[MODEL_C_DTLB].would, 1);
    no_violations();
}

/* 6.5.2.3: the range of S and ADDR, for every order; and "everything". */
static void test_size_encoding(void **s)
{
    (void)s;
    for (unsigned order = 0; order <= 5; order++) {
        uint64_t base = order < 5 ? (8 >> order << order) * 0x1000ull : 0;

        start();
        for (unsigned i = 0; i < 16; i++)
            map(PT, i << 12, 0, 0);
        d_iotlb(1, 0, 0, 0, false);
        if (order == 5)
            d_dtlb(SID_A, DTLB_ALL, true);
        else if (order)
            d_dtlb(SID_A, (base | ((1ull << (order - 1)) - 1) << 12), true);
        else
            d_dtlb(SID_A, base, false);
        sync_queue();
        for (unsigned i = 0; i < 16; i++)
            assert_int_equal(model_stale(W.m, SID_A, i << 12) != 0,
                             order < 5 && (i < base >> 12 || i >= (base >> 12) + (1u << order)));
    }
}

/* Device TLB before IOTLB, in separate submissions: refilled from the IOTLB. */
static void test_wrong_order(void **s)
{
    (void)s;
    start();
    map(PT, 0, DATA + 0x9000, 3);
    d_dtlb(SID_A, 0, false);
    sync_queue();
    model_fill_all(W.m);
    d_iotlb(3, 1, 0, 0, true);
    sync_queue();
    assert_int_equal(model_stale(W.m, SID_A, 0), 1 << MODEL_C_DTLB);
    assert_int_equal(fn_lands(W.a, 0), DATA);
}

/* The gate: TT closes it, but only once the context entry is flushed; TT=00 gives nothing in the first place.
 */
static void test_gate(void **s)
{
    (void)s;
    start();
    put_ctx(SID_A, TT_SS, 1, 1, PT + 0x2000);
    map(PT, 0, DATA + 0x9000, 3);
    assert_int_equal(fn_lands(W.a, 0), DATA);
    d_context(3, 1, SID_A, 0);
    d_iotlb(2, 1, 0, 0, false);
    sync_queue();
    /* The device still holds its entry and tries; the unit refuses. */
    assert_int_equal(model_stale(W.m, SID_A, 0), 0);
    assert_int_equal(fn_lands(W.a, 0), ~0ull);
    assert_int_equal(W.last[MODEL_EV_FAULT].a, 0xd);
    /* ATS off and on again behind the unit's back: nothing is gone. */
    model_fn_set_ats(W.a, false);
    assert_int_equal(fn_lands(W.a, 0), DATA + 0x9000);
    model_fn_set_ats(W.a, true);
    put_ctx(SID_A, TT_ATS, 1, 1, PT + 0x2000);
    d_context(3, 1, SID_A, 0);
    d_iotlb(2, 1, 0, 0, false);
    sync_queue();
    assert_int_equal(model_stale(W.m, SID_A, 0), 1 << MODEL_C_DTLB);
    /* A reset does take it. */
    model_fn_reset(W.a);
    assert_int_equal(fn_lands(W.a, 0), ~0ull);
    model_fn_set_bus_master(W.a, true);
    model_fn_set_ats(W.a, true);
    assert_int_equal(model_stale(W.m, SID_A, 0), 0);
    assert_int_equal(fn_lands(W.a, 0), DATA + 0x9000);
}

/* 4.2.3: the interrupt range has no translation. */
static void test_interrupt_range(void **s)
{
    uint32_t data = 0x4041;

    (void)s;
    start();
    assert_true(dma(SID_A, MODEL_TRANSLATION_REQUEST, 0xfee01000, true).untranslated_only);
    assert_int_equal(model_fn_dma(W.a, 0xfee01000, 4, true, &data).status, MODEL_INTERRUPT);
    assert_int_equal(W.irqs, 1);
    assert_int_equal(W.irq[0].addr, 0xfee01000);
    assert_int_equal(W.irq[0].data, 0x4041);
    assert_int_equal(model_fn_dma(W.a, 0xfee01000, 4, false, &data).status, MODEL_BLOCKED);
}

static void test_no_bus_master(void **s)
{
    (void)s;
    start();
    model_fn_set_bus_master(W.a, false);
    assert_int_equal(fn_lands(W.a, 0), ~0ull);
    model_fn_set_present(W.a, false);
    model_fn_set_bus_master(W.a, true);
    assert_int_equal(fn_lands(W.a, 0), ~0ull);
}

static unsigned fly(uint64_t iova)
{
    uint64_t value = 0xfeedface;
    struct model_flight f[4];

    assert_int_equal(model_fn_dma_begin(W.a, iova, 8, true, &value).status, MODEL_OK);
    return model_inflight(W.m, f, 4);
}

/* 6.5.4: an untranslated write in flight lands before the invalidation that covers it is done, if DW is set.
 */
static void test_drain(void **s)
{
    (void)s;
    for (unsigned version = 0x10; version <= 0x20; version += 0x10) {
        for (unsigned dw = 0; dw < 2; dw++) {
            start_version(version);
            model_fn_set_ats(W.a, false);
            assert_int_equal(fly(0), 1);
            push(2 | 3 << 4 | 1 << 16 | dw << 6, 0x1000); /* another page */
            push(2 | 2 << 4 | 2 << 16 | dw << 6, 0);      /* another domain */
            d_context(1, 0, 0, 0);
            d_dtlb(SID_A, DTLB_ALL, true);
            d_wait(W_SW, 1, 1);
            ring();
            assert_int_equal(status(1), 1);
            assert_int_equal(model_inflight(W.m, NULL, 0), 1);
            push(2 | 3 << 4 | 1 << 16 | dw << 6, 0);
            d_wait(W_SW, 2, 1);
            ring();
            assert_int_equal(status(1), 2);
            assert_int_equal(model_inflight(W.m, NULL, 0), !(dw || version == 0x20));
            model_fn_land(W.a);
            assert_int_equal(peek(DATA), 0xfeedface);
        }
    }
}

/* Translated DMA is drained by the device-TLB invalidation, and by nothing else. */
static void test_drain_translated(void **s)
{
    struct model_flight f;

    (void)s;
    start();
    map(PT, 0, DATA + 0x9000, 3);
    assert_int_equal(fly(0), 1);
    model_inflight(W.m, &f, 1);
    assert_true(f.translated);
    assert_int_equal(f.pa, DATA);
    d_iotlb(1, 0, 0, 0, false);
    d_wait(W_SW, 1, 1);
    ring();
    assert_int_equal(status(1), 1);
    assert_int_equal(model_inflight(W.m, NULL, 0), 1);
    d_dtlb(SID_A, 0, false);
    d_wait(W_SW, 2, 1);
    ring();
    assert_int_equal(status(1), 2);
    assert_int_equal(model_inflight(W.m, NULL, 0), 0);
    assert_int_equal(peek(DATA), 0xfeedface);
}

/* A device that never answers keeps its entries; one whose completion is lost does not. */
static void test_dead_device(void **s)
{
    (void)s;
    for (unsigned lost = 0; lost < 2; lost++) {
        start();
        map(PT, 0, 0, 0);
        d_iotlb(1, 0, 0, 0, false);
        sync_queue();
        model_fn_set_answer(W.a, lost ? MODEL_ANSWER_LOST : MODEL_ANSWER_NEVER, 0);
        d_dtlb(SID_A, DTLB_ALL, true);
        ring();
        model_run(W.m, 100);
        assert_int_equal(model_stale(W.m, SID_A, 0) != 0, !lost);
    }
}

/* A function that forges may use what it holds with ATS off, and any address; the gate is what stops it. */
static void test_forger(void **s)
{
    struct model_fn *f;

    (void)s;
    start();
    f = model_fn_add(W.m, &(struct model_fn_cfg){ .sid = 0x18, .ats = true, .forges = true });
    assert_non_null(f);
    put_ctx(0x18, TT_SS, 1, 1, PT + 0x2000);
    assert_int_equal(dma(0x18, MODEL_TRANSLATED, DATA + 0x50000, true).reason, 0xd);
    put_ctx(0x18, TT_ATS, 1, 1, PT + 0x2000);
    d_context(3, 1, 0x18, 0);
    sync_queue();
    assert_int_equal(dma(0x18, MODEL_TRANSLATED, DATA + 0x50000, true).status, MODEL_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_device_tlb),      cmocka_unit_test(test_size_encoding),
        cmocka_unit_test(test_wrong_order),     cmocka_unit_test(test_gate),
        cmocka_unit_test(test_interrupt_range), cmocka_unit_test(test_no_bus_master),
        cmocka_unit_test(test_drain),           cmocka_unit_test(test_drain_translated),
        cmocka_unit_test(test_dead_device),     cmocka_unit_test(test_forger),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
