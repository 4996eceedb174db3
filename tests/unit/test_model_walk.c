/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libmodel.a */
/*
 * The model's walks in legacy mode: each fault of 7.1.3, each depth, each page size.
 */
#include "tests/unit/model_bench.h"

/* The reason for which a read by `sid` is blocked; 0 if it is not. */
static unsigned reason_at(uint16_t sid, unsigned at, uint64_t iova, bool write)
{
    struct model_result r = dma(sid, at, iova, write);

    return r.status == MODEL_BLOCKED ? r.reason : 0;
}
static unsigned reason(uint64_t iova, bool write)
{
    return reason_at(SID_A, MODEL_UNTRANSLATED, iova, write);
}

static void start(void)
{
    bench_run(BASE_CAP, BASE_ECAP);
    for (unsigned c = 0; c < MODEL_CLASSES; c++)
        model_set_keep(W.m, c, MODEL_KEEP_NONE);
}

/* 9.1 */
static void test_root(void **s)
{
    (void)s;
    start();
    assert_int_equal(reason(0, false), 0);
    poke(ROOT, CTX);
    assert_int_equal(reason(0, false), 1);
    for (unsigned bit = 1; bit < 64; bit++) {
        if (bit >= 12 && bit < 46)
            continue;
        poke(ROOT, CTX | 1 | 1ull << bit);
        assert_int_equal(reason(0, false), 0xa);
    }
    for (unsigned bit = 0; bit < 64; bit++) {
        poke(ROOT, CTX | 1);
        poke(ROOT + 8, 1ull << bit);
        assert_int_equal(reason(0, false), 0xa);
    }
    poke(ROOT + 8, 0);
    poke(ROOT, 0x3000000000 | 1);
    assert_int_equal(reason(0, false), 9);
    w64(R_RTADDR, 0x3000000000);
    gcmd(SRTP, true);
    assert_int_equal(reason(0, false), 8);
}

/* 9.3 */
static void test_context(void **s)
{
    const uint64_t lo = 1 | (PT + 0x2000), hi = 1 | 1 << 8;

    (void)s;
    start();
    poke(CTX + SID_A * 16, lo & ~1ull);
    assert_int_equal(reason(0, false), 2);
    for (unsigned bit = 4; bit < 64; bit++) {
        if (bit >= 12 && bit < 46)
            continue;
        poke(CTX + SID_A * 16, lo | 1ull << bit);
        assert_int_equal(reason(0, false), 0xb);
    }
    poke(CTX + SID_A * 16, lo);
    for (unsigned bit = 3; bit < 64; bit++) {
        bool ignored = bit >= 3 && bit <= 6, did = bit >= 8 && bit <= 23;

        poke(CTX + SID_A * 16 + 8, hi | 1ull << bit);
        assert_int_equal(reason(0, false), ignored || did ? 0 : 0xb);
    }
    poke(CTX + SID_A * 16 + 8, hi);
    poke(CTX + SID_A * 16, lo | 3 << 2); /* TT=11 */
    assert_int_equal(reason(0, false), 3);
    poke(CTX + SID_A * 16, lo);
    for (unsigned aw = 0; aw < 8; aw++) { /* SAGAW offers 1 and 2 */
        poke(CTX + SID_A * 16 + 8, (hi & ~7ull) | aw);
        assert_int_equal(reason(0, false) == 3, aw != 1 && aw != 2);
    }
}

/* TT=01 needs DT, TT=10 needs PT (11.4.3). */
static void test_types_not_offered(void **s)
{
    (void)s;
    bench_run(BASE_CAP, BASE_ECAP & ~(1ull << 2 | 1ull << 6));
    put_ctx(SID_A, TT_ATS, 1, 1, PT + 0x2000);
    assert_int_equal(reason(0, false), 3);
    put_ctx(SID_A, TT_PASS, 2, 1, 0);
    d_context(3, 1, SID_A, 0);
    sync_queue();
    assert_int_equal(reason(0, false), 3);
}

/* 3.4.3: only TT=01 lets ATS through. */
static void test_ats_gate(void **s)
{
    (void)s;
    for (unsigned tt = 0; tt < 3; tt++) {
        start();
        put_ctx(SID_A, tt, tt == TT_PASS ? 2 : 1, 1, PT + 0x2000);
        assert_int_equal(reason_at(SID_A, MODEL_TRANSLATION_REQUEST, 0, false), tt == TT_ATS ? 0 : 0xd);
        assert_int_equal(reason_at(SID_A, MODEL_TRANSLATED, DATA, true), tt == TT_ATS ? 0 : 0xd);
    }
}

/* 9.8: rights are those of all levels together; a write needs W, a read R. */
static void test_rights(void **s)
{
    (void)s;
    for (unsigned top = 0; top < 4; top++) {
        for (unsigned leaf = 0; leaf < 4; leaf++) {
            start();
            poke(PT + 0x2000, (PT + 0x1000) | top);
            map(PT, 0, DATA, leaf);
            assert_int_equal(reason(0, false), top & leaf & 1 ? 0 : 6);
            assert_int_equal(reason(0, true), top & leaf & 2 ? 0 : 5);
        }
    }
}

/* A zero-length read of a write-only page (CAP.ZLR). */
static void test_zero_length_read(void **s)
{
    struct model_req r = { .sid = SID_A, .addr = 0 };

    (void)s;
    start();
    map(PT, 0, DATA, 2);
    assert_int_equal(model_dma(W.m, &r, NULL).status, MODEL_OK);
    bench_run(BASE_CAP & ~(1ull << 22), BASE_ECAP);
    map(PT, 0, DATA, 2);
    assert_int_equal(model_dma(W.m, &r, NULL).reason, 6);
}

/* 9.8: reserved bits of each kind of entry; the accessed, dirty, memory-type and upper bits are not. */
static void test_reserved(void **s)
{
    (void)s;
    start();
    for (unsigned bit = 2; bit < 64; bit++) {
        bool addr = bit >= 12 && bit < 46, host = bit >= 46 && bit < 52;
        bool large = (bit >= 12 && bit < 21);

        if (!addr) {
            map(PT, 0, DATA | 1ull << bit, 3);
            assert_int_equal(reason(0, false), host || bit == 62 || bit == 11 ? 0xc : 0);
            map(PT, 0, DATA, 3);
        }
        if (!addr && bit != 7) {
            poke(PT + 0x1000, PT | 3 | 1ull << bit);
            assert_int_equal(reason(0, false), host || bit == 62 || bit == 11 ? 0xc : 0);
        }
        if (!addr || large) {
            poke(PT + 0x1000, 0x83 | 1ull << bit);
            assert_int_equal(reason(0, false), host || large || bit == 62 || bit == 11 ? 0xc : 0);
        }
        poke(PT + 0x1000, PT | 3);
    }
    /* Nothing is reserved in an entry that is not present. */
    map(PT, 0, ~0xfffull, 0);
    assert_int_equal(reason(0, false), 6);
}

/* 9.8: bit 11 of a leaf is snoop control where SC=1. */
static void test_snoop_bit(void **s)
{
    (void)s;
    bench_run(BASE_CAP, BASE_ECAP | 1 << 7);
    map(PT, 0, DATA | 1 << 11, 3);
    assert_int_equal(reason(0, false), 0);
    poke(PT + 0x2000, (PT + 0x1000) | 3 | 1 << 11);
    d_iotlb(1, 0, 0, 0, false);
    sync_queue();
    assert_int_equal(reason(0, false), 0xc);
}

/* 3.7: three, four and five levels, a 4K page below each, and 2M and 1G pages where SSLPS has them. */
static void test_depth_and_size(void **s)
{
    (void)s;
    for (unsigned aw = 1; aw <= 3; aw++) {
        for (unsigned leaf = 1; leaf <= 4; leaf++) {
            for (unsigned sslps = 0; sslps < 4; sslps++) {
                uint64_t iova = 0x0000008123456000ull & ((1ull << (21 + 9 * aw)) - 1);
                uint64_t cap = BASE_CAP | 8 << 8 | 15ull << 16; /* five levels, MGAW 57 or more */
                uint64_t page = leaf < 4 ? 1ull << (12 + 9 * (leaf - 1)) : 0;
                unsigned want = leaf == 1 || (leaf == 2 && sslps & 1) || (leaf == 3 && sslps & 2) ? 0 : 0xc;
                struct model_outcome o;

                cap = (cap & ~(0x3full << 16) & ~(15ull << 34)) | 56ull << 16 | (uint64_t)sslps << 34;
                bench_run(cap, BASE_ECAP);
                if (leaf > aw + 2)
                    continue;
                memset(W.ram + PT, 0, 0x8000);
                for (unsigned level = aw + 2; level >= leaf; level--) {
                    uint64_t entry =
                        level == leaf ? (level > 1 ? 0x80 : 0) | (1ull << 40) : PT + 0x1000 * (level - 1);

                    poke(PT + 0x1000 * level + (iova >> (12 + 9 * (level - 1)) & 511) * 8, entry | 3);
                    if (level == leaf)
                        break;
                }
                put_ctx(SID_A, TT_SS, aw, 1, PT + 0x1000 * (aw + 2));
                o = model_fresh(W.m, SID_A, iova);
                assert_int_equal(o.reason, want);
                if (!want)
                    assert_int_equal(o.pa, 1ull << 40 | (iova & (page - 1)));
            }
        }
    }
}

/* 3.6: an address wider than the tables, or than MGAW, is reason 4; pass-through too. */
static void test_width(void **s)
{
    (void)s;
    start();
    assert_int_equal(reason(1ull << 39, false), 4);
    assert_int_equal(reason((1ull << 39) - 0x1000, false), 6);
    put_ctx(SID_A, TT_PASS, 2, 1, 0);
    assert_int_equal(reason(1ull << 46, false), 4);
    assert_int_equal(lands(SID_A, DATA), DATA);
}

/* A table pointer into nowhere is reason 7; a translation into the interrupt range reason E. */
static void test_pointers(void **s)
{
    (void)s;
    start();
    poke(PT + 0x2000, 0x3000000000 | 3);
    assert_int_equal(reason(0, false), 7);
    poke(PT + 0x2000, (PT + 0x1000) | 3);
    map(PT, 0, 0xfee00000, 3);
    assert_int_equal(reason(0, false), 0xe);
    put_ctx(SID_A, TT_ATS, 1, 1, PT + 0x2000);
    assert_int_equal(reason_at(SID_A, MODEL_TRANSLATED, 0xfee00000, true), 0xe);
}

/* A DMA that crosses pages stops at the first one that is not allowed. */
static void test_crossing(void **s)
{
    uint8_t buf[8192];
    struct model_req r = { .sid = SID_A, .addr = 0x800, .len = sizeof(buf), .write = true };
    struct model_result res;

    (void)s;
    start();
    map(PT, 0x1000, DATA + 0x9000, 3);
    map(PT, 0x2000, DATA + 0x2000, 1);
    memset(buf, 0x5a, sizeof(buf));
    res = model_dma(W.m, &r, buf);
    assert_int_equal(res.status, MODEL_BLOCKED);
    assert_int_equal(res.reason, 5);
    assert_int_equal(res.pa, 0x2000);
    assert_int_equal(W.ram[DATA + 0xfff], 0x5a);
    assert_int_equal(W.ram[DATA + 0x9000], 0x5a);
    assert_int_equal(W.ram[DATA + 0x1000], 0);
    assert_int_equal(W.ram[DATA + 0x2000], 0);
}

/* TE=0: everything passes, ATS does not exist. */
static void test_off(void **s)
{
    (void)s;
    bench_reset(BASE_CAP, BASE_ECAP);
    assert_int_equal(lands(SID_A, DATA), DATA);
    assert_int_equal(dma(SID_A, MODEL_TRANSLATED, DATA, true).status, MODEL_BLOCKED);
    assert_int_equal(dma(SID_A, MODEL_TRANSLATION_REQUEST, DATA, true).status, MODEL_BLOCKED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_root),
        cmocka_unit_test(test_context),
        cmocka_unit_test(test_types_not_offered),
        cmocka_unit_test(test_ats_gate),
        cmocka_unit_test(test_rights),
        cmocka_unit_test(test_zero_length_read),
        cmocka_unit_test(test_reserved),
        cmocka_unit_test(test_snoop_bit),
        cmocka_unit_test(test_depth_and_size),
        cmocka_unit_test(test_width),
        cmocka_unit_test(test_pointers),
        cmocka_unit_test(test_crossing),
        cmocka_unit_test(test_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
