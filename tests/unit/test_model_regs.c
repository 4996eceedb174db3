/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libmodel.a */
/*
 * The model's register window: side effects, commands, register-based invalidation, and what the monitor
 * says of software that breaks the rules.
 */
#include "tests/unit/model_bench.h"

static uint64_t v(enum model_violation which)
{
    return model_violation_count(W.m, which);
}

/* 11.4: reset values. */
static void test_reset(void **s)
{
    (void)s;
    bench_reset(BASE_CAP, BASE_ECAP);
    assert_int_equal(r32(0), 0x10);
    assert_int_equal(r64(8), BASE_CAP);
    assert_int_equal(r64(0x10), BASE_ECAP);
    assert_int_equal(r32(R_GSTS), 0);
    assert_int_equal(r32(R_FSTS), 0);
    assert_int_equal(r32(R_FECTL), 1u << 31);
    assert_int_equal(r32(R_IECTL), 1u << 31);
    assert_int_equal(r64(R_IQH), 0);
    no_violations();
}

/* 11.4.4: RTPS goes down with the command and up when it is done; each command takes its time. */
static void test_paced_commands(void **s)
{
    static const uint32_t bits[] = { SRTP, QIE, SIRTP, CFI, IRE, TE };

    (void)s;
    bench_reset(BASE_CAP, BASE_ECAP);
    W.cfg.pace = MODEL_PACE_DELAYED;
    W.cfg.pace_max = 4;
    bench_start();
    w64(R_RTADDR, ROOT);
    for (unsigned i = 0; i < 6; i++) {
        w32(R_GCMD, (r32(R_GSTS) & 0x96ffffff) | bits[i]);
        assert_false(r32(R_GSTS) & bits[i]);
        assert_true(model_busy(W.m));
        model_run(W.m, 10);
        assert_true(r32(R_GSTS) & bits[i]);
    }
    w32(R_GCMD, (r32(R_GSTS) & 0x96ffffff) | SRTP);
    assert_false(r32(R_GSTS) & SRTP);
    w32(R_GCMD, (r32(R_GSTS) & 0x96ffffff) & ~TE);
    assert_int_equal(v(MODEL_V_GCMD_PENDING), 1);
}

/* Software that polls gets there without anyone else calling the clock. */
static void test_step_on_read(void **s)
{
    unsigned n = 0;

    (void)s;
    bench_reset(BASE_CAP, BASE_ECAP);
    W.cfg.pace = MODEL_PACE_DELAYED;
    W.cfg.pace_max = 20;
    W.cfg.step_on_read = true;
    bench_start();
    w32(R_GCMD, SRTP);
    while (!(r32(R_GSTS) & SRTP) && n < 100)
        n++;
    assert_in_range(n, 0, 20);
}

static void test_gcmd_rules(void **s)
{
    (void)s;
    bench_reset(BASE_CAP, BASE_ECAP & ~(1ull << 3));
    w32(R_GCMD, SRTP | QIE);
    assert_int_equal(v(MODEL_V_GCMD_MANY), 1);
    w32(R_GCMD, QIE | IRE);
    assert_int_equal(v(MODEL_V_GCMD_UNSUPPORTED), 1);
    assert_false(r32(R_GSTS) & IRE);
    w32(R_GCMD, QIE | WBF);
    assert_int_equal(v(MODEL_V_GCMD_UNSUPPORTED), 2);
    w32(R_GCMD, QIE | 1 << 29);
    assert_int_equal(v(MODEL_V_RESERVED), 1);
    bench_reset(BASE_CAP, BASE_ECAP);
    w32(R_GCMD, TE);
    assert_int_equal(v(MODEL_V_TE_NO_ROOT), 1);
}

/* 6.6: after SRTP a global context flush, then a global IOTLB flush, before translation is used. */
static void test_root_needs_flush(void **s)
{
    (void)s;
    for (unsigned order = 0; order < 3; order++) {
        bench_reset(BASE_CAP, BASE_ECAP);
        w64(R_RTADDR, ROOT);
        gcmd(SRTP, true);
        w64(R_IQA, RING);
        gcmd(QIE, true);
        for (unsigned i = 0; i < 2; i++) {
            if ((i ^ order) == 0)
                d_context(1, 0, 0, 0);
            else if (order < 2)
                d_iotlb(1, 0, 0, 0, false);
            sync_queue();
        }
        gcmd(TE, true);
        assert_int_equal(v(MODEL_V_ROOT_NO_FLUSH), order != 0);
    }
}

/* Translation-table modes that do not exist here. */
static void test_ttm(void **s)
{
    (void)s;
    for (unsigned ttm = 1; ttm < 4; ttm++) {
        bench_reset(BASE_CAP, BASE_ECAP);
        w64(R_RTADDR, ROOT | ttm << 10);
        gcmd(SRTP, true);
        assert_int_equal(v(MODEL_V_TTM), 1);
    }
}

/* 11.4.7, 11.4.8: the register-based way, with its granularity report. */
static void test_register_invalidation(void **s)
{
    (void)s;
    bench_run(BASE_CAP, BASE_ECAP);
    for (unsigned c = 0; c < MODEL_CLASSES; c++)
        model_set_keep(W.m, c, MODEL_KEEP_ALL);
    gcmd(QIE, false);
    for (unsigned g = 1; g < 4; g++) {
        map(PT, 0x1000, DATA + 0x1000, 3);
        model_fill_all(W.m);
        map(PT, 0x1000, DATA + 0x9000, 3);
        assert_true(model_stale(W.m, SID_A, 0x1000));
        w64(IRO, 0x1000);
        w64(IRO + 8, 1ull << 63 | (uint64_t)g << 60 | 3ull << 48 | 1ull << 32);
        assert_int_equal(r64(IRO + 8) >> 63, 0);
        assert_int_equal(r64(IRO + 8) >> 57 & 3, g);
        assert_false(model_stale(W.m, SID_A, 0x1000));
        put_ctx(SID_A, TT_SS, 1, 1, PT + 0x2000);
        model_fill_all(W.m);
        put_ctx(SID_A, TT_PASS, 2, 1, 0);
        w64(R_CCMD, 1ull << 63 | (uint64_t)g << 61 | (uint64_t)SID_A << 16 | 1);
        assert_int_equal(r64(R_CCMD) >> 63, 0);
        assert_int_equal(r64(R_CCMD) >> 59 & 3, g);
        w64(IRO + 8, 1ull << 63 | 1ull << 60);
        assert_int_equal(lands(SID_A, 0x1000), 0x1000);
        put_ctx(SID_A, TT_SS, 1, 1, PT + 0x2000);
        w64(R_CCMD, 1ull << 63 | 1ull << 61);
        w64(IRO + 8, 1ull << 63 | 1ull << 60);
    }
    no_violations();
    /* By halves: the upper one has the trigger. */
    w32(IRO + 8, 0);
    w32(IRO + 12, 1u << 31 | 1 << 28);
    assert_int_equal(r64(IRO + 8) >> 57 & 3, 1);
    /* Incorrect requests are ignored and reported so. */
    w64(R_CCMD, 1ull << 63);
    assert_int_equal(r64(R_CCMD) >> 59, 0);
    w64(IRO, 19);
    w64(IRO + 8, 1ull << 63 | 3ull << 60);
    assert_int_equal(r64(IRO + 8) >> 57, 0x18); /* IIRG stays, IAIG is 00 */
    assert_int_equal(v(MODEL_V_GRANULARITY), 2);
    /* With the queue on it never completes. */
    gcmd(QIE, true);
    w64(R_CCMD, 1ull << 63 | 1ull << 61);
    assert_int_equal(r64(R_CCMD) >> 63, 1);
    assert_int_equal(v(MODEL_V_REG_INV), 1);
}

/* Major version 6: the register-based way is gone. */
static void test_register_invalidation_gone(void **s)
{
    (void)s;
    bench_reset(BASE_CAP, BASE_ECAP);
    W.cfg.version = 0x60;
    bench_start();
    w64(R_CCMD, 1ull << 63 | 1ull << 61);
    assert_int_equal(r64(R_CCMD) >> 59 & 0x13, 0);
    w64(IRO + 8, 1ull << 63 | 1ull << 60);
    assert_int_equal(r64(IRO + 8) >> 57 & 0x43, 0);
    assert_int_equal(v(MODEL_V_REG_INV), 2);
}

/* 11.4: accesses that no register is made for. */
static void test_widths(void **s)
{
    (void)s;
    bench_reset(BASE_CAP, BASE_ECAP);
    model_reg_write(W.m, R_GCMD, 2, 1);
    model_reg_write(W.m, R_RTADDR + 2, 4, 1);
    model_reg_read(W.m, 1, 1);
    model_reg_write(W.m, R_FEADDR, 8, 0xfee00000); /* two registers */
    assert_int_equal(v(MODEL_V_WIDTH), 4);
    assert_int_equal(r32(R_FEADDR), 0xfee00000);
    w32(R_RTADDR + 4, 0x12);
    w32(R_RTADDR, 0x3000);
    assert_int_equal(r64(R_RTADDR), 0x1200003000);
    w64(8, 0);
    assert_int_equal(v(MODEL_V_READ_ONLY), 2);
    w32(0xf00, 0);
    assert_int_equal(v(MODEL_V_READ_ONLY), 3);
    assert_int_equal(r32(0xf00), 0);
}

/* 11.4.15: protected regions hold while translation is off. */
static void test_protected_memory(void **s)
{
    (void)s;
    bench_reset(BASE_CAP | 1 << 5 | 1 << 6, BASE_ECAP);
    w32(0x68, ~0u);
    assert_int_equal(r32(0x68), 0xffe00000);
    w32(0x68, 0);
    w32(0x6c, 0);
    w64(0x70, 0x40000000);
    w64(0x78, 0x40000000);
    assert_int_equal(lands(SID_A, DATA), DATA);
    w32(0x64, 1u << 31);
    assert_int_equal(r32(0x64), 1u << 31 | 1);
    assert_int_equal(dma(SID_A, MODEL_UNTRANSLATED, DATA, true).status, MODEL_BLOCKED);
    assert_int_equal(dma(SID_A, MODEL_UNTRANSLATED, 0x401ffff0, true).status, MODEL_BLOCKED);
    assert_int_equal(dma(SID_A, MODEL_UNTRANSLATED, 0x40200000, true).status, MODEL_NO_MEMORY);
    no_violations();
    w32(0x6c, 0x200000);
    assert_int_equal(v(MODEL_V_PMR), 1);
    w32(0x64, 0);
    assert_int_equal(lands(SID_A, DATA), DATA);
}

/* CAP.PSI=0: a page-selective request covers the domain, and is not what software should send. */
static void test_no_page_selective(void **s)
{
    (void)s;
    bench_run(BASE_CAP & ~(1ull << 39), BASE_ECAP);
    model_fill_all(W.m);
    map(PT, 0x5000, DATA, 3);
    d_iotlb(3, 1, 0, 0, true);
    sync_queue();
    assert_int_equal(model_stale(W.m, SID_A, 0x5000), 0);
    assert_int_equal(v(MODEL_V_GRANULARITY), 1);
    gcmd(QIE, false);
    map(PT, 0x5000, DATA + 0x1000, 3);
    w64(IRO + 8, 1ull << 63 | 3ull << 60 | 1ull << 32);
    assert_int_equal(r64(IRO + 8) >> 57 & 3, 2);
    assert_int_equal(v(MODEL_V_GRANULARITY), 2);
    assert_int_equal(model_stale(W.m, SID_A, 0x5000), 0);
}

/* Register-based invalidations take their time as well, and must not be crowded. */
static void test_paced_invalidation(void **s)
{
    (void)s;
    bench_reset(BASE_CAP, BASE_ECAP);
    W.cfg.pace = MODEL_PACE_DELAYED;
    W.cfg.pace_max = 4;
    bench_start();
    w64(R_CCMD, 1ull << 63 | 1ull << 61);
    assert_int_equal(r64(R_CCMD) >> 63, 1);
    no_violations();
    w64(R_CCMD, 1ull << 63 | 1ull << 61);
    assert_int_equal(v(MODEL_V_REG_INV_BUSY), 2); /* both halves */
    w64(IRO + 8, 1ull << 63 | 1ull << 60);
    w64(R_IQA, RING);
    gcmd(QIE, true); /* 6.5.2: it should have finished them first */
    assert_in_range(v(MODEL_V_REG_INV_BUSY), 2, 3);
    assert_int_equal(r64(R_CCMD) >> 59 & 0x13, 1);
    assert_int_equal(r64(IRO + 8) >> 57 & 0x43, 1);
    gcmd(QIE, false);
    model_set_pace(W.m, MODEL_PACE_MANUAL, 0);
    w32(R_GCMD, QIE);
    w64(R_CCMD, 1ull << 63 | 1ull << 61);
    model_step(W.m);
    model_run(W.m, 10);
    assert_true(r32(R_GSTS) & QIE);
}

/* 6.6: what the enhanced bits and scalable-mode units flush by themselves. */
static void test_implied_flushes(void **s)
{
    (void)s;
    for (unsigned smts = 0; smts < 2; smts++) {
        bench_run(BASE_CAP, BASE_ECAP | (uint64_t)smts << 43);
        model_fill_all(W.m);
        map(PT, 0, DATA + 0x1000, 3);
        gcmd(TE, false);
        gcmd(TE, true);
        assert_int_equal(model_stale(W.m, SID_A, 0) != 0, !smts);
    }
    for (unsigned esirtps = 0; esirtps < 2; esirtps++) {
        bench_reset(BASE_CAP | (uint64_t)esirtps << 62, BASE_ECAP);
        w64(R_IQA, RING);
        gcmd(QIE, true);
        poke(IRT + 16, 1);
        w64(R_IRTA, IRT | 3);
        gcmd(SIRTP, true);
        push(4, 0);
        sync_queue();
        gcmd(IRE, true);
        model_watch_irtes(W.m, 0, 16);
        model_fill_all(W.m);
        poke(IRT + 16, 0);
        assert_true(model_stale_irte(W.m, 1));
        gcmd(IRE, false);
        gcmd(IRE, true);
        assert_int_equal(model_stale_irte(W.m, 1), !esirtps);
        no_violations();
    }
}

/* Software may read back what it wrote, and counts may be reset. */
static void test_read_back(void **s)
{
    static const uint32_t wide[] = { R_RTADDR, R_IQA, R_IRTA };
    static const uint32_t narrow[] = { R_FEDATA, R_FEADDR, R_FEADDR + 4, R_IEDATA, R_IEADDR, R_IEADDR + 4 };

    (void)s;
    bench_reset(BASE_CAP, BASE_ECAP);
    for (unsigned i = 0; i < 3; i++) {
        w64(wide[i], 0x123000);
        assert_int_equal(r64(wide[i]), 0x123000);
    }
    for (unsigned i = 0; i < 6; i++) {
        w32(narrow[i], 0x1234);
        assert_int_equal(r32(narrow[i]), 0x1234);
    }
    no_violations();
    w32(0, 1);
    assert_int_equal(model_violations(W.m), 1);
    assert_string_equal(model_violation_name(MODEL_V_READ_ONLY), "write to a read-only or unknown register");
    model_clear_violations(W.m);
    assert_int_equal(model_violations(W.m), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_paced_commands),
        cmocka_unit_test(test_step_on_read),
        cmocka_unit_test(test_gcmd_rules),
        cmocka_unit_test(test_root_needs_flush),
        cmocka_unit_test(test_ttm),
        cmocka_unit_test(test_register_invalidation),
        cmocka_unit_test(test_register_invalidation_gone),
        cmocka_unit_test(test_widths),
        cmocka_unit_test(test_protected_memory),
        cmocka_unit_test(test_no_page_selective),
        cmocka_unit_test(test_paced_invalidation),
        cmocka_unit_test(test_implied_flushes),
        cmocka_unit_test(test_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
