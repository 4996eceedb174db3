/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libmodel.a */
/*
 * The model's caches in scalable mode: PASID-cache, first-stage and nested entries, PASID-tagged device
 * TLBs; which descriptor takes what; and a driver with two stages that is innocent or is not.
 */
#include "tests/unit/model_bench_sm.h"

static void keep_everything(void)
{
    for (unsigned c = 0; c < MODEL_CLASSES; c++)
        model_set_keep(W.m, c, MODEL_KEEP_ALL);
}

static unsigned stale(uint32_t pasid, uint64_t iova)
{
    return model_stale_pasid(W.m, SID_A, pasid, iova);
}

/* A: PASID 0 (RID) in domain 1, PASID 5 and 6 in domain 2, ATS and PASID on, all caches full. */
static void start(unsigned pgtt, uint64_t cap)
{
    uint64_t ss = pgtt & PG_SS ? SS + 0x2000 : 0, fs = pgtt & PG_FS ? FS + 0x3000 : 0;

    sm_reset(SM_CAP | cap, SM_ECAP);
    put_sctx(SID_A, C_PASIDE | C_DTE, 0);
    put_pasid(SID_A, 0, pgtt, 1, ss, fs);
    put_pasid(SID_A, 5, pgtt, 2, ss, fs);
    put_pasid(SID_A, 6, pgtt, 2, ss, fs);
    model_fn_use_pasid(W.a, 5);
    model_fn_use_pasid(W.a, 6);
    sm_enable();
    keep_everything();
    model_fill_all(W.m);
    assert_int_equal(stale(5, 0), 0);
}

/* 6.5.2.6: PASID-based requests take first-stage and nested leaves of that PASID and domain. */
static void test_piotlb(void **s)
{
    (void)s;
    for (unsigned pgtt = PG_FS; pgtt <= PG_NEST; pgtt += 2) {
        start(pgtt, 0);
        map_fs(FS, 0, DATA + 0x9000, FS_RW);
        d_piotlb(3, 2, 6, 0, 0, true);      /* another PASID */
        d_piotlb(3, 1, 5, 0, 0, true);      /* another domain */
        d_piotlb(3, 2, 5, 0x1000, 0, true); /* another page */
        d_pasid(3, 0, 0);
        sync_queue();
        assert_int_equal(stale(5, 0), 1 << MODEL_C_IOTLB);
        assert_int_equal(lands_pasid(SID_A, 5, 0), DATA);
        d_piotlb(3, 2, 5, 0, 0, true);
        sync_queue();
        assert_int_equal(stale(5, 0), 0);
        assert_int_equal(lands_pasid(SID_A, 5, 0), DATA + 0x9000);
        assert_int_equal(stale(6, 0), 0); /* that was taken above */
        assert_true(model_stale(W.m, SID_A, 0));
        d_piotlb(2, 1, 0, 0, 0, false); /* a whole PASID */
        sync_queue();
        assert_int_equal(model_stale(W.m, SID_A, 0), 0);
        no_violations();
    }
}

/* IH: entries above the leaves stay, and lead into the old table. */
static void test_piotlb_ih(void **s)
{
    (void)s;
    for (unsigned pgtt = PG_FS; pgtt <= PG_NEST; pgtt += 2) {
        start(pgtt, 0);
        poke(FS + 0x1000, FS2 | 7);
        d_piotlb(3, 2, 5, 0, 9, true);
        sync_queue();
        map_fs(FS, 0, DATA + 0x66000, FS_RW);
        assert_int_equal(lands_pasid(SID_A, 5, 0), DATA + 0x66000);
        d_piotlb(3, 2, 5, 0, 9, false);
        sync_queue();
        assert_int_equal(lands_pasid(SID_A, 5, 0), DATA + 0x20000);
        assert_int_equal(stale(5, 0), 0);
    }
}

/* 6.5.2.2: a page-selective request of type 2 takes all first-stage and nested entries of the domain. */
static void test_iotlb_takes_nested(void **s)
{
    (void)s;
    start(PG_NEST, 0);
    map_fs(FS, 0x3000, DATA + 0x9000, FS_RW);
    d_iotlb(3, 2, 0x1ff000, 0, true);
    sync_queue();
    assert_int_equal(stale(5, 0x3000), 0);
    assert_int_equal(stale(6, 0x3000), 0);
    assert_true(model_stale(W.m, SID_A, 0x3000));
}

/* A second-stage change below a first stage: a PASID-based flush is not enough, nor is one of the wrong page.
 */
static void test_second_stage_change(void **s)
{
    (void)s;
    start(PG_NEST, 0);
    map(SS, DATA, DATA + 0x50000, 3);
    d_piotlb(2, 2, 5, 0, 0, false);
    sync_queue();
    assert_int_equal(lands_pasid(SID_A, 5, 0), DATA);
    d_iotlb(3, 2, 0, 0, true); /* the input address of the device is not the address that changed */
    sync_queue();
    assert_int_equal(lands_pasid(SID_A, 5, 0), DATA);
    d_iotlb(3, 2, DATA, 0, true);
    sync_queue();
    assert_int_equal(stale(5, 0), 0);
    assert_int_equal(lands_pasid(SID_A, 5, 0), DATA + 0x50000);
}

/* The page of a first-stage table moves: the second-stage flush must reach the entries above the leaves. */
static void test_second_stage_moves_table(void **s)
{
    (void)s;
    start(PG_NEST, 0);
    map(SS, FS, FS2, 3);
    assert_int_equal(lands_pasid(SID_A, 5, 0), DATA);
    d_iotlb(3, 2, FS, 0, true);
    d_iotlb(3, 1, FS, 0, true);
    sync_queue();
    assert_int_equal(stale(5, 0), 0);
    assert_int_equal(lands_pasid(SID_A, 5, 0), DATA + 0x20000);
}

/* 6.5.2.7: PASID-cache by domain, by PASID in domain, all; the IOTLB flush alone leaves the old entry. */
static void test_pasid_cache(void **s)
{
    (void)s;
    for (unsigned g = 0; g < 4; g++) {
        if (g == 2)
            continue;
        start(PG_FS, 0);
        put_pasid(SID_A, 5, PG_FS, 3, 0, FS2 + 0x3000);
        d_iotlb(1, 0, 0, 0, false);
        d_context(1, 0, 0, 0);
        d_pasid(1, 3, 5); /* the new domain, not the old one */
        d_pasid(1, 2, 6); /* another PASID */
        d_pasid(0, 1, 0); /* another domain */
        sync_queue();
        assert_int_equal(lands_pasid(SID_A, 5, 0), DATA);
        d_pasid(g, 2, 5);
        sync_queue();
        assert_int_equal(lands_pasid(SID_A, 5, 0), DATA + 0x20000);
        assert_int_equal(stale(5, 0), 0);
    }
}

/* A PASID directory entry is cached as well. */
static void test_directory(void **s)
{
    (void)s;
    start(PG_FS, 0);
    memcpy(W.ram + PASIDS_B, W.ram + PASIDS_A, 4096);
    put_pasid(SID_A, 5, PG_FS, 2, 0, FS + 0x3000);
    poke(PASIDS_B + 5 * 64 + 16, FS2 + 0x3000);
    poke(DIR_A, PASIDS_B | 1);
    d_context(1, 0, 0, 0);
    d_iotlb(1, 0, 0, 0, false);
    sync_queue();
    assert_int_equal(lands_pasid(SID_A, 5, 0), DATA);
    d_pasid(3, 0, 0);
    d_iotlb(1, 0, 0, 0, false);
    sync_queue();
    assert_int_equal(lands_pasid(SID_A, 5, 0), DATA + 0x20000);
}

/* A present entry that goes away blocks nothing until the PASID-cache is flushed. */
static void test_pasid_clear(void **s)
{
    (void)s;
    start(PG_FS, 0);
    clear_pasid(SID_A, 5);
    assert_int_equal(lands_pasid(SID_A, 5, 0), DATA);
    d_pasid(1, 2, 5);
    d_piotlb(2, 2, 5, 0, 0, false);
    sync_queue();
    assert_int_equal(lands_pasid(SID_A, 5, 0), ~0ull);
    assert_int_equal(W.last[MODEL_EV_FAULT].a, 0x59);
}

/* 6.1: caching mode does not apply to the first stage, but to PASID entries it does. */
static void test_caching_mode(void **s)
{
    (void)s;
    start(PG_FS, CAP_CM);
    assert_int_equal(lands_pasid(SID_A, 5, 0x20000), ~0ull);
    map_fs(FS, 0x20000, DATA, FS_RW);
    assert_int_equal(lands_pasid(SID_A, 5, 0x20000), DATA);
    assert_int_equal(lands_pasid(SID_A, 7, 0), ~0ull);
    put_pasid(SID_A, 7, PG_FS, 3, 0, FS + 0x3000);
    assert_int_equal(lands_pasid(SID_A, 7, 0), ~0ull);
    d_pasid(1, 3, 7);
    sync_queue();
    assert_int_equal(lands_pasid(SID_A, 7, 0), DATA);
}

/* 6.5.2.8: the device TLB by PASID, by all PASIDs (G), and what a request without PASID leaves. */
static void test_device_tlb(void **s)
{
    (void)s;
    for (unsigned how = 0; how < 5; how++) {
        start(PG_FS, 0);
        model_fn_set_ats(W.a, true);
        model_fill_all(W.m);
        map_fs(FS, 0, 0, 0);
        d_iotlb(1, 0, 0, 0, false);
        sync_queue();
        assert_int_equal(stale(5, 0), 1 << MODEL_C_DTLB);
        assert_int_equal(model_stale(W.m, SID_A, 0), 1 << MODEL_C_DTLB);
        switch (how) {
        case 0:
            d_dtlb(SID_A, DTLB_ALL, true);
            break;
        case 1:
            d_pdtlb(SID_A, 5, 0, false, false);
            break;
        case 2:
            d_pdtlb(SID_A, 6, DTLB_ALL, true, true);
            break;
        case 3:
            d_pdtlb(SID_A, 5, DTLB_ALL, true, false);
            break;
        default:
            d_pdtlb(SID_A, 5, 0x1000, false, false);
        }
        sync_queue();
        assert_int_equal(model_stale(W.m, SID_A, 0) != 0, how == 1 || how == 3 || how == 4);
        assert_int_equal(stale(5, 0) != 0, how == 0 || how == 4);
        assert_int_equal(stale(6, 0) != 0, how == 0 || how == 1 || how == 3 || how == 4);
        no_violations();
    }
}

/* 6.5.2.6: it always drains, but only its own PASID. */
static void test_drain(void **s)
{
    uint64_t v = 0xfeedface;

    (void)s;
    start(PG_NEST, 0);
    model_fn_dma_begin_pasid(W.a, 5, 0x1000, 8, true, &v);
    model_fn_dma_begin_pasid(W.a, 6, 0x2000, 8, true, &v);
    model_fn_dma_begin(W.a, 0x3000, 8, true, &v);
    assert_int_equal(model_inflight(W.m, NULL, 0), 3);
    d_piotlb(3, 2, 5, 0x1000, 0, true);
    d_wait(W_SW, 1, 1);
    ring();
    assert_int_equal(model_inflight(W.m, NULL, 0), 2);
    assert_int_equal(peek(DATA + 0x1000), v);
    push(2 | 3 << 4 | 0xc0 | 2 << 16, 0x77000); /* takes all nested ones of the domain */
    d_wait(W_SW, 2, 1);
    ring();
    assert_int_equal(model_inflight(W.m, NULL, 0), 1);
}

/* 6.5.2.6 to 6.5.2.9: each bit is defined, or an error; types 6 to 9 need scalable mode. */
static void test_descriptors(void **s)
{
    static const struct {
        uint64_t q[2], defined[2];
    } types[] = {
        { { 6 | 2 << 4, 0 }, { 0x000fffffffff0030, ~0ull << 12 | 0x7f } },
        { { 7, 0 }, { 0x000fffffffff0030, 0 } },
        { { 8 | (uint64_t)SID_A << 16, 0 }, { 0x000fffffffff01f0, ~0ull << 12 | 1 << 11 | 1 } },
        { { 9, 0 }, { 0x000ffffffffff010, 0xff8 } },
    };

    (void)s;
    for (unsigned t = 0; t < 4; t++) {
        for (unsigned bit = 0; bit < 256; bit++) {
            unsigned want = bit < 128 && (types[t].defined[bit / 64] >> bit % 64 & 1) ? 0 : 4;
            uint64_t q[4] = { types[t].q[0], types[t].q[1], 0, 0 };

            if (bit < 4 || (bit >= 9 && bit < 12))
                continue;
            q[bit / 64] ^= 1ull << bit % 64;
            if ((t == 0 && bit == 5) || (t == 1 && bit == 5))
                want = 4; /* granularities 0 of type 6, 2 of type 7 */
            sm_reset(SM_CAP, SM_ECAP);
            sm_enable();
            for (unsigned i = 0; i < 4; i++)
                poke(RING + W.tail * 32 + i * 8, q[i]);
            w64(R_IQT, (W.tail + 1) * 32);
            assert_int_equal(r32(R_FSTS) & 1 << 4 ? r64(R_IQERCD) & 15 : 0, want);
        }
    }
    sm_reset(SM_CAP, SM_ECAP & ~(1ull << 29));
    sm_enable();
    push(9, 0);
    ring();
    assert_int_equal(r64(R_IQERCD) & 15, 3);
    for (unsigned t = 6; t < 11; t++) {
        bench_reset(SM_CAP, SM_ECAP);
        W.wide = true;
        w64(R_IQA, RING | 1 << 11);
        gcmd(QIE, true);
        push(t | 2 << 4, 0);
        ring();
        assert_int_equal(r64(R_IQERCD) & 15, 3);
    }
}

static unsigned order[64], norder;

static void on_event_order(void *ctx, const struct model_event *e)
{
    (void)ctx;
    if (e->type == MODEL_EV_COMPLETE)
        order[norder++ % 64] = e->a;
}

/* 6.5.2.12 with all types: type 3 after type 6 is the gap. */
static void test_order(void **s)
{
    enum { CC, TLB, DEV, IEC, PTLB, PC, PDEV, N };
    static const uint64_t q0[N] = { 1 | 1 << 4, 2 | 1 << 4, 3 | (uint64_t)SID_A << 32, 4,
                                    6 | 2 << 4, 7,          8 | (uint64_t)SID_A << 16 };
    static const bool ordered[N][N] = {
        [CC][TLB] = true,  [CC][PTLB] = true, [CC][PC] = true,    [PC][TLB] = true,   [PC][PTLB] = true,
        [TLB][DEV] = true, [IEC][DEV] = true, [TLB][PDEV] = true, [IEC][PDEV] = true, [PTLB][PDEV] = true,
    };

    (void)s;
    for (unsigned x = 0; x < N; x++) {
        for (unsigned y = 0; y < N; y++) {
            unsigned swapped = 0;

            for (unsigned seed = 1; seed < 40; seed++) {
                const struct model_ops ops = { .mem_read = ram_read,
                                               .mem_write = ram_write,
                                               .interrupt = on_interrupt,
                                               .trace = on_event_order };

                sm_reset(SM_CAP, SM_ECAP);
                W.cfg.seed = seed;
                W.m = model_init(W.mem, sizeof(W.mem), &W.cfg, &ops);
                W.a = model_fn_add(W.m, &(struct model_fn_cfg){ .sid = SID_A, .ats = true });
                sm_enable();
                norder = 0;
                push(q0[x], 0);
                push(q0[y], 0);
                sync_queue();
                assert_int_equal(norder, 2);
                swapped += order[0] > order[1];
            }
            assert_int_equal(swapped > 0, !ordered[x][y]);
        }
    }
}

/* ---- A driver with two stages ------------------------------------------------------------------- */

enum { PAGES = 12, SPACES = 2 };
enum crime {
    INNOCENT,
    NO_PIOTLB,   /* first-stage change without a PASID-based flush */
    NO_DTLB,     /* no device-TLB flush at all */
    PLAIN_DTLB,  /* only requests without PASID to the device TLB */
    NO_FENCE,    /* type 3 straight after type 6 */
    NO_PASID,    /* PASID entry changed without a PASID-cache flush */
    SS_BY_PASID, /* second-stage change flushed by PASID only */
    SS_ONE_DID,  /* ... in one of the domains that use it */
    SS_NO_DTLB,  /* ... without the device TLBs */
    ALWAYS_IH,
    CRIMES,
};
static const char *const names[CRIMES] = { "innocent",
                                           "no PASID-based flush",
                                           "no device-TLB flush",
                                           "no PASID device-TLB",
                                           "no fence",
                                           "no PASID-cache flush",
                                           "second stage by PASID",
                                           "second stage in one DID",
                                           "second stage, no dTLB",
                                           "always IH" };

/* A's PASIDs: RID (0) and 5 in space 0 and 1. Space n has first-stage tables of its own and domain n + 1;
 * all share the second stage. */
static struct {
    enum crime crime;
    unsigned space[2]; /* of PASID 0, 5; SPACES: none */
    unsigned side[SPACES];
    uint64_t rng;
} D;

static const uint32_t pasids[2] = { 0, 5 };

static unsigned rnd(unsigned n)
{
    D.rng ^= D.rng << 13;
    D.rng ^= D.rng >> 7;
    D.rng ^= D.rng << 17;
    return (D.rng >> 20) % n;
}
static uint64_t base(unsigned space)
{
    return space ? FS2 : FS;
}
static uint64_t leaf(unsigned space)
{
    return base(space) + 0x4000 * D.side[space];
}

static void finish(void)
{
    d_wait(W_SW, ++W.cookie, 0);
    ring();
    for (unsigned i = 0; i < 10000 && status(0) != W.cookie; i++)
        model_step(W.m);
    assert_int_equal(status(0), W.cookie);
}

static void flush_device(unsigned which, uint64_t iova, bool all)
{
    if (D.crime == NO_DTLB)
        return;
    if (which == 0)
        d_dtlb(SID_A, all ? DTLB_ALL : iova, all);
    else if (D.crime != PLAIN_DTLB)
        d_pdtlb(SID_A, pasids[which], all ? DTLB_ALL : iova, all, false);
}

/* After a change in the first stage of a space. */
static void flush_space(unsigned space, uint64_t iova, unsigned am, bool ih)
{
    if (D.crime == ALWAYS_IH)
        ih = true;
    for (unsigned i = 0; i < 2; i++)
        if (D.space[i] == space && D.crime != NO_PIOTLB)
            d_piotlb(3, space + 1, pasids[i], iova, am, ih);
    if (D.crime != NO_FENCE)
        d_wait(W_FN, 0, 1);
    for (unsigned i = 0; i < 2; i++)
        if (D.space[i] == space)
            flush_device(i, iova, am > 0);
    finish();
}

/* After a change in the second stage. */
static void flush_second(uint64_t gpa)
{
    for (unsigned space = 0; space < SPACES; space++) {
        if (D.crime == SS_BY_PASID)
            for (unsigned i = 0; i < 2; i++)
                d_piotlb(2, space + 1, pasids[i], 0, 0, false);
        else if (D.crime != SS_ONE_DID || space == 0)
            d_iotlb(3, space + 1, gpa, 0, true);
    }
    for (unsigned i = 0; i < 2 && D.crime != SS_NO_DTLB; i++)
        flush_device(i, 0, true);
    finish();
}

static void move_leaf_table(unsigned space)
{
    uint64_t old = leaf(space);

    D.side[space] ^= 1;
    memcpy(W.ram + leaf(space), W.ram + old, 4096);
    poke(base(space) + 0x1000, leaf(space) | 7);
    flush_space(space, 0, 9, false);
    for (unsigned i = 0; i < PAGES; i++)
        map_fs(old, i << 12, DATA + 0x40000 + (rnd(32) << 12), FS_RW);
}

static void move_pasid(unsigned which)
{
    unsigned old = D.space[which];

    D.space[which] = rnd(SPACES + 1);
    if (old < SPACES) {
        poke(pasid_at(SID_A, pasids[which]), 0);
        if (D.crime != NO_PASID)
            d_pasid(1, old + 1, pasids[which]);
        d_iotlb(2, old + 1, 0, 0, false);
        flush_device(which, 0, true);
        finish();
    }
    if (D.space[which] < SPACES)
        put_pasid(SID_A, pasids[which], PG_NEST, D.space[which] + 1, SS + 0x2000,
                  base(D.space[which]) + 0x3000);
}

static bool guilty(void)
{
    struct model_flight fl[16];
    unsigned n = model_inflight(W.m, fl, 16);

    for (unsigned i = 0; i < 2; i++)
        for (unsigned p = 0; p < PAGES; p++)
            if (model_stale_pasid(W.m, SID_A, i ? 5 : MODEL_NO_PASID, p << 12))
                return true;
    for (unsigned i = 0; i < n; i++) {
        struct model_outcome o = model_fresh_pasid(W.m, SID_A, fl[i].pasid, fl[i].iova);

        if (o.status != MODEL_OK || o.pa != (fl[i].pa & ~0xfffull))
            return true;
    }
    return false;
}

static bool trial(enum crime crime, uint64_t seed, unsigned ops)
{
    bool found = false;

    bench_seed = seed;
    sm_reset(SM_CAP, SM_ECAP);
    W.cfg.pace = seed % 3;
    W.cfg.pace_max = 4;
    W.cfg.speculate = crime == NO_FENCE ? 12 : seed % 4;
    bench_start();
    poke(ROOT, SCTX | 1);
    memset(&D, 0, sizeof(D));
    D.crime = crime;
    D.rng = seed * 0x9e3779b97f4a7c15ull | 1;
    D.space[1] = 1;
    put_sctx(SID_A, C_PASIDE | C_DTE, 0);
    for (unsigned i = 0; i < 2; i++)
        put_pasid(SID_A, pasids[i], PG_NEST, i + 1, SS + 0x2000, base(i) + 0x3000);
    model_fn_use_pasid(W.a, 5);
    sm_enable();
    model_fn_set_ats(W.a, true);
    for (unsigned i = 0; i < ops && !found; i++) {
        unsigned space = rnd(SPACES), page = rnd(PAGES);
        uint64_t gpa = DATA + (rnd(64) << 12), v = i;

        if (rnd(2))
            model_fill_all(W.m);
        if (rnd(2))
            model_fn_dma_begin_pasid(W.a, rnd(2) ? 5 : MODEL_NO_PASID, page << 12, 8, true, &v);
        switch (rnd(8)) {
        case 0:
            move_leaf_table(space);
            break;
        case 1:
            move_pasid(rnd(2));
            break;
        case 2:
        case 3:
            map(SS, gpa, DATA + (rnd(64) << 12), rnd(4) ? 3 : rnd(4));
            flush_second(gpa);
            break;
        default:
            map_fs(leaf(space), page << 12, rnd(4) ? DATA + (rnd(64) << 12) : 0, rnd(3) ? FS_RW : FS_RO);
            flush_space(space, page << 12, 0, true);
        }
        found = guilty();
    }
    bench_seed = 1;
    if (crime == INNOCENT)
        no_violations();
    return found;
}

static void test_innocent(void **s)
{
    (void)s;
    for (uint64_t seed = 1; seed <= 100; seed++)
        if (trial(INNOCENT, seed, 60))
            fail_msg("seed %llu: the innocent driver was found guilty", (unsigned long long)seed);
}

static void test_guilty(void **s)
{
    (void)s;
    for (enum crime c = INNOCENT + 1; c < CRIMES; c++) {
        unsigned caught = 0, runs = 0;

        for (uint64_t seed = 1; seed <= 15 && caught < 4; seed++, runs++)
            caught += trial(c, seed, c == NO_FENCE ? 1000 : 250);
        print_message("%-24s caught in %u of %u runs\n", names[c], caught, runs);
        if (caught < 4)
            fail_msg("%s: caught in %u of 15 runs only", names[c], caught);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_piotlb),
        cmocka_unit_test(test_piotlb_ih),
        cmocka_unit_test(test_iotlb_takes_nested),
        cmocka_unit_test(test_second_stage_change),
        cmocka_unit_test(test_second_stage_moves_table),
        cmocka_unit_test(test_pasid_cache),
        cmocka_unit_test(test_directory),
        cmocka_unit_test(test_pasid_clear),
        cmocka_unit_test(test_caching_mode),
        cmocka_unit_test(test_device_tlb),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_innocent),
        cmocka_unit_test(test_guilty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
