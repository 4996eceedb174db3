/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libmodel.a */
/*
 * The model in scalable mode: entries, stages, and what their faults are.
 */
#include "tests/unit/model_bench_sm.h"

static void keep(enum model_keep how)
{
    for (unsigned c = 0; c < MODEL_CLASSES; c++)
        model_set_keep(W.m, c, how);
}

/* A: PASID 0 (its RID_PASID) and PASID 5 of the given kind, in domains 1 and 2. */
static void start(unsigned pgtt)
{
    sm_reset(SM_CAP, SM_ECAP);
    put_sctx(SID_A, C_PASIDE | C_DTE, 0);
    put_pasid(SID_A, 0, pgtt, 1, pgtt & PG_SS ? SS + 0x2000 : 0, pgtt & PG_FS ? FS + 0x3000 : 0);
    put_pasid(SID_A, 5, pgtt, 2, pgtt & PG_SS ? SS + 0x2000 : 0, pgtt & PG_FS ? FS2 + 0x3000 : 0);
    sm_enable();
    keep(MODEL_KEEP_NONE);
}

static unsigned reason_pasid(uint32_t pasid, uint64_t iova, bool write)
{
    struct model_result r = pasid == MODEL_NO_PASID ? dma(SID_A, MODEL_UNTRANSLATED, iova, write)
                                                    : dma_pasid(SID_A, pasid, iova, write);

    return r.status == MODEL_BLOCKED ? r.reason : 0;
}
static unsigned reason(uint64_t iova, bool write)
{
    return reason_pasid(MODEL_NO_PASID, iova, write);
}

/* 3.4.3: each translation type, with and without PASID. */
static void test_types(void **s)
{
    (void)s;
    start(PG_FS);
    assert_int_equal(lands(SID_A, 0x3000), DATA + 0x3000);
    assert_int_equal(lands_pasid(SID_A, 5, 0x3000), DATA + 0x23000);
    start(PG_SS);
    map(SS, 0x3000, DATA + 0x7000, 3);
    assert_int_equal(lands(SID_A, 0x3000), DATA + 0x7000);
    assert_int_equal(lands_pasid(SID_A, 5, 0x3000), DATA + 0x7000);
    start(PG_NEST);
    map(SS, DATA + 0x3000, DATA + 0x50000, 3);
    assert_int_equal(lands(SID_A, 0x3000), DATA + 0x50000);
    assert_int_equal(lands(SID_A, 0x4000), DATA + 0x4000);
    assert_int_equal(lands_pasid(SID_A, 5, 0x3000), DATA + 0x23000);
    start(PG_PT);
    assert_int_equal(lands(SID_A, 0x3000), 0x3000);
    assert_int_equal(lands_pasid(SID_A, 5, 0x4000), 0x4000);
    no_violations();
}

/* 9.2, 9.4: root and context entries. */
static void test_root_context(void **s)
{
    const uint64_t ctx = SCTX + SID_A * 32;
    uint64_t word;

    (void)s;
    start(PG_FS);
    poke(ROOT, SCTX);
    assert_int_equal(reason(0, false), 0x39);
    for (unsigned bit = 1; bit < 12; bit++) {
        poke(ROOT, SCTX | 1 | 1 << bit);
        assert_int_equal(reason(0, false), 0x3a);
    }
    poke(ROOT, 0x3000000000 | 1);
    assert_int_equal(reason(0, false), 0x40);
    poke(ROOT, SCTX | 1);
    /* The other half belongs to devfn 80 and up. */
    assert_int_equal(dma(0x0088, MODEL_UNTRANSLATED, 0, false).reason, 0x39);
    poke(ROOT + 8, SCTX | 1);
    assert_int_equal(lands(0x0088, 0x1000), DATA + 0x1000);

    word = peek(ctx);
    poke(ctx, word & ~1ull);
    assert_int_equal(reason(0, false), 0x41);
    for (unsigned bit = 5; bit < 64; bit++) {
        bool pdts = bit >= 9 && bit <= 11, addr = bit >= 12 && bit < 46;

        if (pdts || addr)
            continue;
        poke(ctx, word | 1ull << bit);
        assert_int_equal(reason(0, false), 0x42);
    }
    poke(ctx, word);
    for (unsigned bit = 20; bit < 192; bit++) {
        poke(ctx + 8 + bit / 64 * 8, 1ull << bit % 64);
        assert_int_equal(reason(0, false), bit == 0 ? 0 : 0x42);
        poke(ctx + 8 + bit / 64 * 8, 0);
    }
    /* RID_PASID picks the entry for requests without PASID. */
    poke(ctx + 8, 5);
    assert_int_equal(lands(SID_A, 0x1000), DATA + 0x21000);
    poke(ctx + 8, 128 * 64);
    assert_int_equal(reason(0, false), 0x48);
    poke(ctx + 8, 0);
    /* PASIDE, PDTS, DTE. */
    assert_int_equal(reason_pasid(128 * 64 - 1, 0, false), 0x51);
    assert_int_equal(reason_pasid(128 * 64, 0, false), 0x46);
    poke(ctx, word & ~(uint64_t)C_PASIDE);
    assert_int_equal(reason_pasid(5, 0, false), 0x45);
    assert_int_equal(dma(SID_A, MODEL_TRANSLATED, DATA, false).status, MODEL_OK);
    assert_int_equal(dma(SID_A, MODEL_TRANSLATION_REQUEST, 0, false).perm, 3);
    poke(ctx, word & ~(uint64_t)C_DTE);
    assert_int_equal(dma(SID_A, MODEL_TRANSLATED, DATA, false).reason, 0x44);
    assert_int_equal(dma(SID_A, MODEL_TRANSLATION_REQUEST, 0, false).reason, 0x44);
}

/* 9.5, 9.6: PASID directory and PASID entries. */
static void test_pasid_entries(void **s)
{
    const uint64_t at = PASIDS_A;

    (void)s;
    start(PG_NEST);
    poke(DIR_A, PASIDS_A);
    assert_int_equal(reason(0, false), 0x51);
    for (unsigned bit = 2; bit < 12; bit++) {
        poke(DIR_A, PASIDS_A | 1 | 1 << bit);
        assert_int_equal(reason(0, false), 0x52);
    }
    poke(DIR_A, 0x3000000000 | 1);
    assert_int_equal(reason(0, false), 0x58);
    poke(DIR_A, PASIDS_A | 1);
    assert_int_equal(reason_pasid(9, 0, false), 0x59);
    for (unsigned bit = 0; bit < 512; bit++) {
        static const uint64_t defined[8] = { 0x00003ffffffff1df, 0x0000ffff + 0xffffffff3f800000,
                                             0x00003ffffffff0bd };
        uint64_t was = peek(at + bit / 64 * 8);

        poke(at + bit / 64 * 8, was | 1ull << bit % 64);
        if (!(defined[bit / 64] >> bit % 64 & 1))
            assert_int_equal(reason(0, false), 0x5a);
        poke(at + bit / 64 * 8, was);
    }
    for (unsigned pgtt = 0; pgtt < 8; pgtt++) {
        put_pasid(SID_A, 0, pgtt, 1, SS + 0x2000, FS + 0x3000);
        assert_int_equal(reason(0, false) == 0x5b, pgtt == 0 || pgtt > 4);
    }
    put_pasid(SID_A, 0, PG_SS, 1, SS + 0x2000, 0);
    for (unsigned aw = 0; aw < 8; aw++) {
        poke(at, 1 | aw << 2 | PG_SS << 6 | (SS + 0x2000));
        assert_int_equal(reason(0, false) == 0x5b, aw != 1 && aw != 2);
    }
    put_pasid(SID_A, 0, PG_FS, 1, 0, FS + 0x3000);
    for (unsigned fspm = 0; fspm < 4; fspm++) {
        poke(at + 16, (FS + 0x3000) | fspm << 2);
        assert_int_equal(reason(0, false) == 0x5b, fspm > 1);
    }
    /* SRE: privileged requests. */
    {
        struct model_req r = { .sid = SID_A, .has_pasid = true, .priv = true, .len = 8 };
        uint64_t buf;

        poke(at + 16, FS + 0x3000);
        assert_int_equal(model_dma(W.m, &r, &buf).reason, 0x5d);
        poke(at + 16, (FS + 0x3000) | 1);
        assert_int_equal(model_dma(W.m, &r, &buf).status, MODEL_OK);
    }
}

/* Types that the capabilities do not offer. */
static void test_not_offered(void **s)
{
    static const struct {
        unsigned bit, pgtt;
    } c[] = { { 47, PG_FS }, { 46, PG_SS }, { 26, PG_NEST }, { 6, PG_PT } };

    (void)s;
    for (unsigned i = 0; i < 4; i++) {
        sm_reset(SM_CAP, SM_ECAP & ~(1ull << c[i].bit));
        put_sctx(SID_A, 0, 0);
        put_pasid(SID_A, 0, c[i].pgtt, 1, SS + 0x2000, FS + 0x3000);
        sm_enable();
        assert_int_equal(reason(0, false), 0x5b);
    }
}

/* 9.7: first-stage entries: rights, user, sizes, depth, canonical addresses, accessed and dirty. */
static void test_first_stage(void **s)
{
    (void)s;
    start(PG_FS);
    map_fs(FS, 0, DATA, FS_RO);
    assert_int_equal(reason(0, false), 0);
    assert_int_equal(reason(0, true), 0x85);
    map_fs(FS, 0, DATA, 3); /* supervisor page */
    assert_int_equal(reason(0, false), 0x81);
    map_fs(FS, 0, DATA, 6); /* not present */
    assert_int_equal(reason(0, false), 0x71);
    map_fs(FS, 0, 1ull << 46, FS_RW);
    assert_int_equal(reason(0, false), 0x72);
    map_fs(FS, 0, DATA, FS_RW);
    assert_int_equal(reason(1ull << 47, false), 0x80);
    assert_int_equal(reason(~0ull << 47, false), 0x71);
    poke(FS + 0x3000, peek(FS + 0x3000) | 1 << 7);
    assert_int_equal(reason(0, false), 0x72);
    poke(FS + 0x3000, (FS + 0x2000) | 5); /* read-only from above */
    assert_int_equal(reason(0, true), 0x85);
    poke(FS + 0x3000, 0x3000000000 | 7);
    assert_int_equal(reason(0, false), 0x70);
    poke(PASIDS_A + 16, 0x3000000000);
    assert_int_equal(reason(0, false), 0x73);
    /* The interrupt range is no place to go. */
    start(PG_FS);
    map_fs(FS, 0, 0xfee00000, FS_RW);
    assert_int_equal(reason(0, false), 0x87);
    /* Large pages; bit 12 of them is a memory type. */
    start(PG_FS);
    poke(FS + 0x1000, 0x00200000 | 0x87);
    assert_int_equal(model_fresh(W.m, SID_A, 0x5000).pa, 0x205000);
    poke(FS + 0x1000, 0x00201000 | 0x87);
    assert_int_equal(model_fresh(W.m, SID_A, 0x5000).pa, 0x205000);
    poke(FS + 0x1000, 0x00202000 | 0x87);
    assert_int_equal(reason(0, false), 0x72);
    poke(FS + 0x2000, 0x40000000 | 0x87);
    assert_int_equal(model_fresh(W.m, SID_A, 0x5000).pa, 0x40005000);
    /* Five levels. */
    start(PG_FS);
    poke(FS + 0x4000 + 511 * 8, (FS + 0x3000) | 7);
    poke(PASIDS_A + 16, (FS + 0x4000) | 1 << 2);
    assert_int_equal(lands(SID_A, (~0ull << 48) + 0x3000), DATA + 0x3000);
}

/* 3.6.2: the accessed bit is set on use, the dirty bit on write. */
static void test_accessed_dirty(void **s)
{
    (void)s;
    for (unsigned nested = 0; nested < 2; nested++) {
        start(nested ? PG_NEST : PG_FS);
        assert_int_equal(reason(0x1000, false), 0);
        assert_int_equal(peek(FS + 8) & 0x60, 0x20);
        assert_int_equal(peek(FS) & 0x60, 0);
        assert_int_equal(peek(FS + 0x3000) & 0x20, 0x20);
        assert_int_equal(reason(0x1000, true), 0);
        assert_int_equal(peek(FS + 8) & 0x60, 0x60);
        assert_int_equal(lands(SID_A, 0x1000), DATA + 0x1000);
    }
}

/* 3.8: what each stage contributes, and whose fault is whose. */
static void test_nested(void **s)
{
    (void)s;
    start(PG_NEST);
    map(SS, DATA, DATA, 1);
    assert_int_equal(reason(0, false), 0);
    assert_int_equal(reason(0, true), 0x85);
    map(SS, DATA, 0, 0);
    assert_int_equal(reason(0, false), 0x79);
    map_fs(FS, 0, 1ull << 45, FS_RW);
    assert_int_equal(reason(0, false), 0x84);
    map_fs(FS, 0, 0x3000000, FS_RW); /* no second-stage entry above the leaf */
    assert_int_equal(reason(0, false), 0x79);
    map_fs(FS, 0, DATA + 0x1000, FS_RW);
    assert_int_equal(reason(0, false), 0);
    map(SS, FS + 0x1000, FS + 0x1000, 2); /* the tables themselves */
    assert_int_equal(reason(0, false), 0x76);
    map(SS, FS + 0x1000, 0, 0);
    assert_int_equal(reason(0, false), 0x79);
    map(SS, FS + 0x1000, FS2 + 0x1000, 3); /* other tables */
    assert_int_equal(lands(SID_A, 0x2000), DATA + 0x22000);
    map(SS, FS + 0x3000, FS + 0x3000, 2);
    assert_int_equal(reason(0, false), 0x75);
    start(PG_NEST);
    poke(PASIDS_A + 16, 1ull << 45);
    assert_int_equal(reason(0, false), 0x74);
    poke(PASIDS_A + 16, FS + 0x3000);
    poke(SS + 0x1000, 0x3000000000 | 3);
    assert_int_equal(reason(0, false), 0x78);
    poke(PASIDS_A, (peek(PASIDS_A) & 0xfff) | 0x3000000000);
    assert_int_equal(reason(0, false), 0x7b);
}

/* 3.8 with every size at both stages: the page that counts is the smaller one. */
static void test_nested_sizes(void **s)
{
    (void)s;
    for (unsigned f = 1; f <= 3; f++) {
        for (unsigned l = 1; l <= 3; l++) {
            const uint64_t iova = 0x00345000, gpa = 0x80000000ull, host = 0x100000000ull;
            uint64_t fsize = 1ull << (12 + 9 * (f - 1)), ssize = 1ull << (12 + 9 * (l - 1));
            uint64_t g, h;

            start(PG_NEST);
            /* First stage: iova -> gpa plus the offset inside a page of size f. */
            g = gpa + (iova & (fsize - 1));
            poke(FS + 0x2000, f == 3 ? gpa | 0x87 : (FS + 0x1000) | 7);
            poke(FS + 0x1000 + (iova >> 21) * 8, f == 2 ? gpa | 0x87 : FS | 7);
            poke(FS + (iova >> 12 & 511) * 8, gpa | 7);
            /* Second stage: g -> host plus the offset inside a page of size l. */
            h = host + (g & (ssize - 1));
            poke(SS + 0x2000 + (g >> 30) * 8, l == 3 ? host | 0x83 : (SS + 0x3000) | 3);
            poke(SS + 0x3000 + (g >> 21 & 511) * 8, l == 2 ? host | 0x83 : (SS + 0x4000) | 3);
            poke(SS + 0x4000 + (g >> 12 & 511) * 8, host | 3);
            assert_int_equal(model_fresh(W.m, SID_A, iova).pa, h);
        }
    }
}

/* Modes: abort-DMA blocks everything; a request with PASID means nothing in legacy mode. */
static void test_modes(void **s)
{
    (void)s;
    sm_reset(SM_CAP, SM_ECAP | 1ull << 52);
    w64(R_RTADDR, ROOT | 3 << 10);
    gcmd(SRTP, true);
    w64(R_IQA, RING | 1 << 11);
    gcmd(QIE, true);
    d_context(1, 0, 0, 0);
    d_iotlb(1, 0, 0, 0, false);
    sync_queue();
    gcmd(TE, true);
    assert_int_equal(dma(SID_A, MODEL_UNTRANSLATED, DATA, true).status, MODEL_BLOCKED);
    no_violations();
    bench_run(BASE_CAP, BASE_ECAP);
    assert_int_equal(reason_pasid(5, 0, false), 0x31);
}

/* 11.4.14: a record of a request with PASID. */
static void test_record(void **s)
{
    (void)s;
    start(PG_FS);
    dma_pasid(SID_A, 0x1234, 0x5000, true);
    assert_int_equal(r64(FRO + 8) >> 40 & 0xfffff, 0x1234);
    assert_int_equal(r64(FRO + 8) >> 31 & 1, 1);
    assert_int_equal(r64(FRO + 8) >> 32 & 0xff, 0x51);
}

/* 7.5: page requests go in, responses come back; PRE, overflow and the event. */
static void test_page_requests(void **s)
{
    struct model_page_request r = { .pasid = 5, .addr = 0x7000, .group = 3, .read = true, .last = true };
    struct model_page_response p;

    (void)s;
    start(PG_FS);
    assert_false(model_fn_page_request(W.a, &r));
    assert_int_equal(model_fn_responses(W.a, &p), 1);
    assert_int_equal(p.code, 1);
    assert_int_equal(W.last[MODEL_EV_FAULT].a, 0x47);
    put_sctx(SID_A, C_PASIDE | C_DTE | C_PRE, 0);
    w64(0xd0, 0x70000);
    w32(0xe8, 0xfee00000);
    w32(0xe0, 0);
    W.irqs = 0;
    assert_true(model_fn_page_request(W.a, &r));
    assert_int_equal(W.irqs, 1);
    assert_int_equal(r32(0xdc), 1);
    assert_int_equal(r64(0xc8), 32);
    assert_int_equal(peek(0x70000), 1 | 1 << 8 | SID_A << 16 | 5ull << 32);
    assert_int_equal(peek(0x70008), 0x7000 | 3 << 3 | 1 << 2 | 1);
    for (unsigned i = 0; i < 126; i++)
        assert_true(model_fn_page_request(W.a, &r));
    assert_false(model_fn_page_request(W.a, &r));
    assert_int_equal(r32(0xdc), 3);
    assert_int_equal(model_fn_responses(W.a, &p), 2);
    assert_int_equal(p.code, 0);
    w64(0xc0, r64(0xc8));
    w32(0xdc, 3);
    assert_true(model_fn_page_request(W.a, &r));
    assert_int_equal(W.irqs, 2);
    push(9 | 1 << 4 | 15 << 12 | (uint64_t)SID_A << 16 | 5ull << 32, 3 << 3);
    sync_queue();
    assert_int_equal(model_fn_responses(W.a, &p), 3);
    assert_int_equal(p.code, 15);
    assert_int_equal(p.pasid, 5);
    assert_int_equal(p.group, 3);
    /* what is on its way is in the queue before the status of a wait that drains, and of no other */
    w64(0xc0, r64(0xc8));
    w32(0xdc, 3);
    model_hold_page_requests(W.m, true);
    assert_true(model_fn_page_request(W.a, &r));
    sync_queue();
    assert_int_equal(r64(0xc8), r64(0xc0));
    d_wait(W_SW | 1 << 7, 1, 1);
    sync_queue();
    assert_int_equal(r64(0xc8), (r64(0xc0) + 32) % 4096);
    assert_int_equal(r32(0xdc), 1);
    no_violations();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),         cmocka_unit_test(test_root_context),
        cmocka_unit_test(test_pasid_entries), cmocka_unit_test(test_not_offered),
        cmocka_unit_test(test_first_stage),   cmocka_unit_test(test_accessed_dirty),
        cmocka_unit_test(test_nested),        cmocka_unit_test(test_nested_sizes),
        cmocka_unit_test(test_modes),         cmocka_unit_test(test_record),
        cmocka_unit_test(test_page_requests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
