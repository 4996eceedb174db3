/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libmodel.a */
/*
 * The model's fault records and events, its interrupt remapping, and memory that the unit does not see.
 */
#include "tests/unit/model_bench.h"

enum { F_PFO = 1, F_PPF = 2 };

static void no_caches(void)
{
    for (unsigned c = 0; c < MODEL_CLASSES; c++)
        model_set_keep(W.m, c, MODEL_KEEP_NONE);
}

/* 7.3, 11.4.14: what a record says. */
static void test_record(void **s)
{
    uint64_t hi;

    (void)s;
    bench_run(BASE_CAP, BASE_ECAP);
    dma(SID_B, MODEL_UNTRANSLATED, 0x123456789abc, true);
    assert_int_equal(r32(R_FSTS), F_PPF);
    assert_int_equal(r64(FRO), 0x123456789000);
    hi = r64(FRO + 8);
    assert_int_equal(hi >> 63, 1);
    assert_int_equal(hi >> 62 & 1, 0); /* T1 T2 = 00: write */
    assert_int_equal(hi >> 28 & 1, 0);
    assert_int_equal(hi >> 60 & 3, 0);
    assert_int_equal(hi >> 32 & 0xff, 2);
    assert_int_equal(hi & 0xffff, SID_B);
    dma(SID_A, MODEL_TRANSLATED, 0x5000, false);
    hi = r64(FRO + 24);
    assert_int_equal(hi >> 62 & 1, 1); /* read */
    assert_int_equal(hi >> 60 & 3, 2); /* translated */
    assert_int_equal(hi >> 32 & 0xff, 0xd);
    assert_int_equal(r32(R_FSTS) >> 8 & 0xff, 0);
    /* F is cleared by writing 1; PPF goes with the last one. */
    w32(FRO + 12, 1u << 31);
    assert_int_equal(r32(R_FSTS), F_PPF);
    w32(FRO + 28, 1u << 31);
    assert_int_equal(r32(R_FSTS) & 3, 0);
    dma(SID_B, MODEL_UNTRANSLATED, 0, true);
    assert_int_equal(r32(R_FSTS), 2 << 8 | F_PPF);
}

/* 7.4.1: a full ring of records overflows, and nothing is recorded until PFO is cleared. */
static void test_overflow(void **s)
{
    (void)s;
    bench_run(BASE_CAP, BASE_ECAP);
    for (unsigned i = 0; i < 8; i++)
        dma(SID_B, MODEL_UNTRANSLATED, i << 12, true);
    assert_int_equal(r32(R_FSTS), F_PPF);
    dma(SID_B, MODEL_UNTRANSLATED, 0x77000, true);
    assert_int_equal(r32(R_FSTS), F_PPF | F_PFO);
    w32(FRO + 12, 1u << 31);
    dma(SID_B, MODEL_UNTRANSLATED, 0x88000, true);
    assert_int_equal(r64(FRO), 0);
    w32(R_FSTS, F_PFO);
    dma(SID_B, MODEL_UNTRANSLATED, 0x88000, true);
    assert_int_equal(r64(FRO), 0x88000);
    assert_int_equal(r32(R_FSTS), F_PPF);
}

/* 11.4.10: one event per condition that comes while the status is clear. */
static void test_events(void **s)
{
    (void)s;
    bench_run(BASE_CAP, BASE_ECAP);
    w32(R_FEDATA, 0x400);
    w32(R_FEADDR, 0xfee02000);
    dma(SID_B, MODEL_UNTRANSLATED, 0, true);
    assert_int_equal(W.irqs, 0);
    assert_int_equal(r32(R_FECTL), 3u << 30);
    w32(R_FECTL, 0);
    assert_int_equal(W.irqs, 1);
    assert_int_equal(W.irq[0].data, 0x400);
    assert_int_equal(W.irq[0].addr, 0xfee02000);
    dma(SID_B, MODEL_UNTRANSLATED, 0, true);
    assert_int_equal(W.irqs, 1);
    w32(FRO + 12, 1u << 31);
    w32(FRO + 28, 1u << 31);
    dma(SID_B, MODEL_UNTRANSLATED, 0, true);
    assert_int_equal(W.irqs, 2);
    /* Serviced while masked: the message is dropped. */
    w32(FRO + 44, 1u << 31);
    w32(R_FECTL, 1u << 31);
    dma(SID_B, MODEL_UNTRANSLATED, 0, true);
    w32(FRO + 60, 1u << 31);
    assert_int_equal(r32(R_FECTL), 1u << 31);
    w32(R_FECTL, 0);
    assert_int_equal(W.irqs, 2);
    w32(R_FEADDR, 0x1000);
    dma(SID_B, MODEL_UNTRANSLATED, 0, true);
    assert_int_equal(model_violation_count(W.m, MODEL_V_EVENT_ADDR), 1);
}

/* 7.2.1: FPD of the context entry silences faults found through it; a bad root entry still speaks. */
static void test_fpd(void **s)
{
    (void)s;
    bench_run(BASE_CAP, BASE_ECAP);
    no_caches();
    poke(CTX + SID_B * 16, 2);
    dma(SID_B, MODEL_UNTRANSLATED, 0, true);
    assert_int_equal(r32(R_FSTS), 0);
    poke(CTX + SID_A * 16, peek(CTX + SID_A * 16) | 2);
    assert_int_equal(dma(SID_A, MODEL_UNTRANSLATED, 0x50000, true).reason, 5);
    assert_int_equal(r32(R_FSTS), 0);
    poke(ROOT, 0);
    dma(SID_A, MODEL_UNTRANSLATED, 0, true);
    assert_int_equal(r32(R_FSTS), F_PPF);
}

/* Folding of faults by source, where the unit does it. */
static void test_compress(void **s)
{
    (void)s;
    bench_reset(BASE_CAP, BASE_ECAP);
    W.cfg.compress = true;
    bench_start();
    bench_enable();
    for (unsigned i = 0; i < 20; i++)
        dma(SID_B, MODEL_UNTRANSLATED, i << 12, true);
    assert_int_equal(r32(R_FSTS), F_PPF);
    assert_int_equal(r64(FRO + 24), 0);
}

/* ---- Interrupt remapping ------------------------------------------------------------------------ */

static struct model_result msi(uint16_t sid, uint64_t addr, uint32_t data)
{
    struct model_req r = { .sid = sid, .addr = addr, .len = 4, .write = true };

    return model_dma(W.m, &r, &data);
}

#define REMAPPABLE(index) (0xfee00010ull | ((index)&0x7fff) << 5 | ((index) >> 15) << 2)

static void put_irte(unsigned index, uint64_t lo, uint64_t hi)
{
    poke(IRT + index * 16, lo);
    poke(IRT + index * 16 + 8, hi);
}

static void start_ir(uint64_t cap, uint64_t irta)
{
    bench_reset(BASE_CAP | cap, BASE_ECAP);
    put_irte(3, 1 | 0x30ull << 16 | 5ull << 40, 1ull << 18 | SID_A);
    w64(R_IQA, RING);
    gcmd(QIE, true);
    w64(R_IRTA, IRT | 3 | irta);
    gcmd(SIRTP, true);
    push(4, 0);
    sync_queue();
    gcmd(IRE, true);
    no_violations();
}

/* 5.1: the entry says what is delivered and who may send it. */
static void test_remapped(void **s)
{
    static const struct {
        uint64_t lo, hi;
        uint16_t sid;
        unsigned reason;
    } c[] = {
        { 0, 0, SID_A, 0x22 },
        { 1 | 1ull << 15, 0, SID_A, 0x24 },
        { 1 | 1ull << 24, 0, SID_A, 0x24 },
        { 1 | 1ull << 48, 0, SID_A, 0x24 },
        { 1, 1ull << 20, SID_A, 0x24 },
        { 1, 3ull << 18, SID_A, 0x24 },
        { 1, 1ull << 18 | SID_A, SID_B, 0x26 },
        { 1, 1ull << 18 | SID_A, SID_A | 1, 0x26 },
        { 1, 1ull << 18 | 3 << 16 | SID_A, SID_A | 7, 0 },
        { 1, 2ull << 18 | 0x0203, 0x0300, 0 },
        { 1, 2ull << 18 | 0x0203, 0x0400, 0x26 },
    };

    (void)s;
    start_ir(0, 0);
    assert_int_equal(msi(SID_A, REMAPPABLE(3), 0).status, MODEL_INTERRUPT);
    assert_int_equal(W.irq[0].addr, 0xfee05000);
    assert_int_equal(W.irq[0].data, 0x30);
    assert_int_equal(msi(SID_A, REMAPPABLE(2) | 8, 1).status, MODEL_INTERRUPT);
    assert_int_equal(msi(SID_A, REMAPPABLE(3) | 8, 1u << 16).reason, 0x20);
    assert_int_equal(msi(SID_A, REMAPPABLE(16), 0).reason, 0x21);
    assert_int_equal(r64(FRO + 16) >> 48, 16);
    for (unsigned i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
        model_set_keep(W.m, MODEL_C_IEC, MODEL_KEEP_NONE);
        put_irte(3, c[i].lo, c[i].hi);
        assert_int_equal(msi(c[i].sid, REMAPPABLE(3), 0).reason, c[i].reason);
    }
}

/* 5.1.4: compatibility format needs CFIS=1 and EIME=0. */
static void test_compatibility(void **s)
{
    (void)s;
    for (unsigned eime = 0; eime < 2; eime++) {
        start_ir(0, eime << 11);
        assert_int_equal(msi(SID_A, 0xfee01000, 0x400).reason, 0x25);
        assert_int_equal(W.irqs, 0);
        gcmd(CFI, true);
        assert_int_equal(msi(SID_A, 0xfee01000, 0x400).status, eime ? MODEL_BLOCKED : MODEL_INTERRUPT);
    }
}

/* 6.2.5: interrupt entries are cached until an interrupt-entry flush; with CM=1 absent ones, too. */
static void test_entry_cache(void **s)
{
    (void)s;
    for (unsigned mode = 0; mode < 4; mode++) {
        start_ir(CAP_CM, 0);
        model_set_keep(W.m, MODEL_C_IEC, MODEL_KEEP_ALL);
        msi(SID_A, REMAPPABLE(3), 0);
        assert_int_equal(msi(SID_A, REMAPPABLE(4), 0).reason, 0x22);
        put_irte(3, 0, 0);
        put_irte(4, 1 | 0x44 << 16, 0);
        assert_int_equal(msi(SID_A, REMAPPABLE(3), 0).status, MODEL_INTERRUPT);
        assert_int_equal(msi(SID_A, REMAPPABLE(4), 0).reason, 0x22);
        push(mode == 0 ? 4 : 4 | 1 << 4 | (mode == 1 ? 3ull << 32 : mode == 2 ? 4ull << 32 : 3 << 27), 0);
        sync_queue();
        assert_int_equal(msi(SID_A, REMAPPABLE(3), 0).status == MODEL_INTERRUPT, mode == 2);
        assert_int_equal(msi(SID_A, REMAPPABLE(4), 0).status == MODEL_INTERRUPT, mode != 1);
        assert_true(model_stats(W.m)->c[MODEL_C_IEC].would > 0);
    }
    /* Entries may be fetched before they are used. */
    start_ir(0, 0);
    model_watch_irtes(W.m, 0, 16);
    model_fill_all(W.m);
    assert_false(model_stale_irte(W.m, 3));
    put_irte(3, 1 | 0x31ull << 16, 0);
    put_irte(4, 1 | 0x31ull << 16, 0);
    assert_true(model_stale_irte(W.m, 3));
    assert_false(model_stale_irte(W.m, 4));
    push(4 | 1 << 4 | 3ull << 32, 0);
    sync_queue();
    assert_false(model_stale_irte(W.m, 3));
}

/* ---- Memory that the unit does not see ---------------------------------------------------------- */

static void start_incoherent(uint64_t cap, uint64_t ecap)
{
    bench_run(BASE_CAP | cap, ecap);
    W.cfg.shadow = W.seen_by_unit;
    W.cfg.shadow_size = RAM_SIZE;
    memcpy(W.seen_by_unit, W.ram, RAM_SIZE);
    bench_start();
    W.tail = 0;
    bench_enable();
    no_caches();
}

/* ECAP.C=0: tables are seen when they were written back, not when they were flushed from the IOTLB. */
static void test_incoherent(void **s)
{
    (void)s;
    start_incoherent(0, BASE_ECAP & ~1ull);
    map(PT, 0, DATA + 0x9000, 3);
    d_iotlb(1, 0, 0, 0, false);
    d_wait(W_SW, 1, 1);
    ring();
    assert_int_equal(status(1), 1);
    assert_int_equal(lands(SID_A, 0), DATA);
    assert_int_equal(model_stale(W.m, SID_A, 0), 1 << MODEL_CLASSES);
    model_writeback(W.m, PT + 64, 64);
    assert_int_equal(lands(SID_A, 0), DATA);
    model_writeback(W.m, PT + 8, 1);
    d_iotlb(1, 0, 0, 0, false);
    sync_queue();
    assert_int_equal(lands(SID_A, 0), DATA + 0x9000);
    assert_int_equal(model_stale(W.m, SID_A, 0), 0);
    /* A line may leave the cache by itself. */
    map(PT, 0, DATA + 0xa000, 3);
    for (unsigned i = 0; i < 1000; i++)
        model_step(W.m);
    assert_int_equal(lands(SID_A, 0), DATA + 0xa000);
}

/* 6.8: RWBF=1: a write-buffer flush, or any invalidation, makes it visible. */
static void test_write_buffer(void **s)
{
    (void)s;
    for (unsigned c = 0; c < 2; c++) {
        for (unsigned how = 0; how < 2; how++) {
            start_incoherent(1 << 4, (BASE_ECAP & ~1ull) | c);
            map(PT, 0, DATA + 0x9000, 3);
            model_writeback(W.m, PT, 8);
            assert_int_equal(lands(SID_A, 0), DATA);
            if (how) {
                d_iotlb(3, 9, 0, 0, true);
                sync_queue();
            } else {
                gcmd(WBF, true);
                assert_false(r32(R_GSTS) & WBF);
            }
            assert_int_equal(lands(SID_A, 0), DATA + 0x9000);
            no_violations();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record),        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_events),        cmocka_unit_test(test_fpd),
        cmocka_unit_test(test_compress),      cmocka_unit_test(test_remapped),
        cmocka_unit_test(test_compatibility), cmocka_unit_test(test_entry_cache),
        cmocka_unit_test(test_incoherent),    cmocka_unit_test(test_write_buffer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
