/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * PASIDs: tables of their own for one function, the flushes that name them, domain-ids, and what is nested.
 */
#include "iommu/env.h"
#include "tests/unit/world_test_fs.h"

enum { P1 = 9, P2 = 33 };

static u64 lands(unsigned f, u32 pasid, u64 iova)
{
    u64 buf = 1;
    struct model_result r = model_fn_dma_pasid(W.fn[f], pasid, iova, 8, true, &buf);

    return r.status == MODEL_OK ? r.pa : ~0ull;
}

static unsigned stale_pasid(unsigned f, u32 pasid)
{
    return model_stale_pasid(W.unit[0], W.cfg.fn[f].sid, pasid, IOVA);
}

#define FS_C PAGE(24)

/* Beside its plain requests in FS_A, ATS reaches FS_B with P1 and `other` with P2: all in one domain. */
static void in_use_pasids_with(const struct world_cfg *cfg, u64 other)
{
    in_use_first(cfg, true);
    fs_tables(FS_C);
    fs_map(FS_C, IOVA, GUEST_DATA);
    put_pasid(ATS, P1, PGTT_FS, DID, FS_B);
    put_pasid(ATS, P2, PGTT_FS, DID, other);
    q_pasid(0, 1, DID, P1);
    q_pasid(0, 1, DID, P2);
    assert_true(q_sync(0));
    model_fn_use_pasid(W.fn[ATS], P1);
    model_fn_use_pasid(W.fn[ATS], P2);
    assert_int_equal(lands(ATS, P1, IOVA), GUEST_DATA + 0x10000);
    assert_int_equal(lands(ATS, P2, IOVA), GUEST_DATA);
    model_fill_all(W.unit[0]);
    host_clear();
}

static void in_use_pasids(const struct world_cfg *cfg)
{
    in_use_pasids_with(cfg, FS_C);
}

/* Each PASID is flushed by what names it, in the unit and in the device, and the others keep what they have.
 */
static void flush_of_one_pasid(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(both); i++)
        for (unsigned page = 0; page < 2; page++) {
            in_use_pasids(both[i]);
            fs_map(FS_B, IOVA, 0);
            q_piotlb(0, page ? 3 : 2, DID, P1, IOVA, 0);
            assert_true(q_sync(0));
            assert_string_equal(received(), "IfDw");
            assert_int_equal(host[0].q0 >> 32, P1);
            assert_int_equal(stale_pasid(ATS, P1), 0);
            assert_int_equal(lands(ATS, P1, IOVA), ~0ull);
            assert_int_equal(lands(ATS, P2, IOVA), GUEST_DATA);
            announced(0, R_ECAP, E_PASID | E_SMTS | E_SMPWC); /* nobody wrote the tables back */
            finish();
        }
}

/* PASIDs are not enabled in the function, whatever the guest's entry says: it could not answer a flush that
 * names one, so none is sent, asked for or not. */
static void no_flush_that_cannot_be_answered(void **state)
{
    (void)state;
    for (unsigned off = 0; off < 2; off++) {
        struct world_cfg cfg = nested;

        cfg.no_pasids[ATS] = off;
        in_use_pasids(&cfg);
        fs_map(FS_B, IOVA, 0);
        q_piotlb(0, 2, DID, P1, 0, 0);
        q_pasid(0, 3, 0, 0);
        q_piotlb(0, 3, DID, RID, IOVA, 0);
        q_pdtlb(0, SID_ATS, P2, IOVA, false, false);
        q_pdtlb(0, SID_ATS, P2, IOVA, false, true);
        assert_true(q_sync(0));
        world_ats(ATS, false);
        assert_int_equal(host_count(8) == 0, off);
        assert_true(host_dtlb(SID_ATS) > 0);
        if (!off)
            finish();
    }
}

/* One table under two PASIDs: a flush of each reaches what it left by that way. */
static void one_table_two_pasids(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(both); i++) {
        in_use_pasids_with(both[i], FS_A);
        fs_map(FS_A, IOVA, 0);
        q_piotlb(0, 2, DID, P2, 0, 0);
        q_piotlb(0, 2, DID, RID, 0, 0);
        assert_true(q_sync(0));
        assert_int_equal(stale_pasid(ATS, P2), 0);
        assert_int_equal(stale(ATS, IOVA), 0);
        assert_int_equal(stale(PLAIN, IOVA), 0);
        assert_int_equal(lands(ATS, P1, IOVA), GUEST_DATA + 0x10000);
        finish();
    }
}

/* What the guest sends for a device TLB itself, with the host's values and nothing added. */
static void device_tlb_of_one_pasid_is_forwarded(void **state)
{
    struct world_cfg cfg = nested;

    (void)state;
    cfg.dtlb = DTLB_GUEST;
    for (unsigned all = 0; all < 2; all++) {
        in_use_pasids(&cfg);
        fs_map(FS_B, IOVA, 0);
        q_piotlb(0, 2, DID, P1, 0, 0);
        assert_true(q_sync(0));
        assert_true(stale_pasid(ATS, P1));
        q_pdtlb(0, SID_ATS, P1, IOVA, false, all);
        assert_true(q_sync(0));
        assert_int_equal(stale_pasid(ATS, P1), 0);
        finish();
    }
}

/* An entry goes, is replaced, or its whole directory is another one: the one descriptor that says so is
 * enough. */
static void entry_of_a_pasid(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(both); i++)
        for (unsigned how = 0; how < 4; how++) {
            u64 want = how == 1 ? GUEST_DATA : ~0ull;

            in_use_pasids(both[i]);
            if (how == 0)
                poke64(entry_at(ATS, P1), 0);
            else if (how == 1)
                poke64(entry_at(ATS, P1) + 16, FS_A);
            else if (how == 2)
                poke64(GUEST_CTX + 0x1000, peek64(GUEST_CTX + 0x1000) & ~(1ull << 3)); /* PASIDE */
            else
                poke64(DIR(ATS), 0);
            if (how == 2)
                q_context(0, 3, 0, SID_ATS, 0);
            else if (how == 3)
                q_pasid(0, 0, DID, 0);
            else
                q_pasid(0, 1, DID, P1);
            assert_true(q_sync(0));
            assert_int_equal(stale_pasid(ATS, P1), 0);
            assert_int_equal(lands(ATS, P1, IOVA), want);
            assert_int_equal(dma_lands(ATS2, IOVA, true), GUEST_DATA);
            finish();
        }
}

/* A table of PASIDs in which nothing translates is cached, too; its directory is replaced by another one. */
static u64 raw_reason;

static void the_units_reason(const struct model_event *e)
{
    if (e->type == MODEL_EV_FAULT)
        raw_reason = e->a;
    record(e);
}

static void directory_replaced(void **state)
{
    const u32 pasid = 70, nowhere = 130;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(both); i++) {
        struct world_cfg cfg = *both[i];

        cfg.cap = CAP_DEFAULT | C_CM; /* what was not there may be cached */
        cfg.keep[MODEL_C_PASID] = MODEL_KEEP_ALL;
        in_use_pasids(&cfg);
        /* two tables, in each one that translates for a while, so that we have them too */
        for (unsigned n = 0; n < 2; n++) {
            poke64(DIR(ATS) + 8 + 8 * n, PAGE(40 + 4 * n) | 1);
            poke64(PAGE(40 + 4 * n) + 8 * 64 + 8, DID);
            poke64(PAGE(40 + 4 * n) + 8 * 64 + 16, FS_B);
            poke64(PAGE(40 + 4 * n) + 8 * 64, 1 << 6 | 1);
            q_pasid(0, 1, DID, 72 + 64 * n);
            assert_true(q_sync(0));
            poke64(PAGE(40 + 4 * n) + 8 * 64, 0);
            q_pasid(0, 1, DID, 72 + 64 * n);
            assert_true(q_sync(0));
        }
        assert_int_equal(lands(ATS, nowhere, IOVA), ~0ull);
        model_fill_all(W.unit[0]);
        /* An empty directory: by what is cached of the old one the unit would be in memory that is somebody
         * else's by now. */
        poke64(GUEST_CTX + 0x1000, PAGE(48) | (peek64(GUEST_CTX + 0x1000) & 0xfff));
        q_context(0, 3, 0, SID_ATS, 0);
        assert_true(q_sync(0));
        raw_reason = 0;
        W.on_trace = the_units_reason;
        assert_int_equal(lands(ATS, nowhere, IOVA), ~0ull);
        assert_int_equal(raw_reason, 0x51); /* no directory entry, not: a bad entry of a table */
        assert_int_equal(model_stale_pasid(W.unit[0], SID_ATS, P1, IOVA), 0);
        model_fn_use_pasid(W.fn[ATS], pasid);
        assert_int_equal(lands(ATS, pasid, IOVA), ~0ull);
        poke64(PAGE(41), PASIDS(ATS) | 1);
        poke64(PAGE(41) + 8, PAGE(42) | 1);
        poke64(PAGE(42) + 6 * 64 + 8, DID);
        poke64(PAGE(42) + 6 * 64 + 16, FS_B);
        poke64(PAGE(42) + 6 * 64, 1 << 6 | 1);
        poke64(GUEST_CTX + 0x1000, PAGE(41) | (peek64(GUEST_CTX + 0x1000) & 0xfff));
        q_context(0, 3, 0, SID_ATS, 0);
        assert_true(q_sync(0));
        assert_int_equal(model_stale_pasid(W.unit[0], SID_ATS, pasid, IOVA), 0);
        assert_int_equal(lands(ATS, pasid, IOVA), GUEST_DATA + 0x10000);
        finish();
    }
}

/* Where no request may carry one, entries of other PASIDs are nobody's, and no device hears of them. */
static void pasids_switched_off(void **state)
{
    (void)state;
    in_use_first(&nested, false);
    put_pasid(ATS, P1, PGTT_FS, DID, FS_B);
    q_pasid(0, 3, 0, 0);
    assert_true(q_sync(0));
    q_pasid(0, 1, DID, P1);
    assert_true(q_sync(0));
    q_piotlb(0, 2, DID, P1, 0, 0);
    q_iotlb(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
    assert_null(strchr(received(), 'D'));
    assert_false(region_holds(FS_B));
    finish();
}

/* One page as the top of a second-stage and of a first-stage table, under one domain-id. */
static void one_page_two_stages(void **state)
{
    (void)state;
    for (unsigned g = 2; g <= 3; g++) { /* all, or only this page */
        in_use_first(&nested, false);
        put_pasid(ATS2, RID, PGTT_SS, DID, FS_A);
        q_pasid(0, 1, DID, RID);
        assert_true(q_sync(0));
        assert_int_equal(dma_lands(ATS2, IOVA, true), GUEST_DATA);
        poke64(FS_A + 3 * 4096 + (IOVA >> 12) * 8, GUEST_DATA | 2); /* may be written; is not present */
        q_iotlb(0, g, DID, IOVA, 0);
        assert_true(q_sync(0));
        assert_int_equal(stale(ATS, IOVA) | stale(PLAIN, IOVA), 0);
        assert_int_equal(dma_lands(ATS2, IOVA, true), GUEST_DATA);
        assert_int_equal(dma_lands(ATS, IOVA, true), ~0ull);
        announced(0, R_ECAP, E_SSTS);
        finish();
    }
}

/* The guest's table is gone and a new one has its place: same domain-id, same PASID, another table. */
static void domain_id_reused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(both); i++)
        for (unsigned n = 0; n < 6; n++) {
            if (!n)
                in_use_pasids(both[i]);
            model_fill_all(W.unit[0]);
            poke64(entry_at(ATS, P1), 0);
            q_pasid(0, 1, DID, P1);
            assert_true(q_sync(0));
            assert_int_equal(lands(ATS, P1, IOVA), ~0ull);
            put_pasid(ATS, P1, PGTT_FS, DID, n % 2 ? FS_B : FS_A);
            q_pasid(0, 1, DID, P1);
            q_piotlb(0, 2, DID, P1, 0, 0);
            assert_true(q_sync(0));
            assert_int_equal(stale_pasid(ATS, P1), 0);
            assert_int_equal(lands(ATS, P1, IOVA), n % 2 ? GUEST_DATA + 0x10000 : GUEST_DATA);
            finish();
        }
}

#define PROCESSES  900u
#define PROCESS(n) (RAM3_BASE + (n)*0x10000ull) /* the top of a table of its own, with one path in it */

/* As drivers do whose devices share address spaces with processes: as many tables as there are processes, all
 * under one domain-id, each with a PASID of its own, which `f` and `g` use. */
static void in_use_processes(const struct world_cfg *cfg, unsigned f, unsigned g)
{
    in_use_first(cfg, true);
    for (u32 pasid = 1; pasid <= PROCESSES; pasid++) {
        u64 dir = pasid / 64 * 8, table = PAGE(100 + pasid / 64), at = table + pasid % 64 * 64;

        fs_tables(PROCESS(pasid));
        fs_map(PROCESS(pasid), IOVA, GUEST_DATA + pasid % 16 * 4096);
        if (pasid < 64)
            at = entry_at(f, pasid);
        poke64(at + 8, DID);
        poke64(at + 16, PROCESS(pasid));
        poke64(at, 1 << 6 | 1);
        if (pasid >= 64)
            poke64(DIR(f) + dir, table | 1);
        poke64(DIR(g) + dir, peek64(DIR(f) + dir));
    }
    for (unsigned n = 0; n < 2; n++) {
        q_pasid(0, 0, DID, 0);
        assert_true(q_sync(0));
    }
    for (u32 pasid = 1; pasid <= PROCESSES; pasid++) {
        assert_int_equal(lands(f, pasid, IOVA), GUEST_DATA + pasid % 16 * 4096);
        assert_int_equal(lands(g, pasid, IOVA), GUEST_DATA + pasid % 16 * 4096);
    }
    for (u32 pasid = 100; pasid <= 700; pasid += 600) {
        model_fn_use_pasid(W.fn[f], pasid);
        model_fn_use_pasid(W.fn[g], pasid);
    }
    model_fill_all(W.unit[0]);
    host_clear();
}

/* The unit knows 16 domain-ids, which is more than enough. A flush is one for each function that may hold
 * what it is about, however many tables have the domain-id. */
static void tables_of_many_processes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(both); i++) {
        struct world_cfg cfg = *both[i];

        cfg.cap = (CAP_DEFAULT & ~7ull) | C_ND(0);
        in_use_processes(&cfg, ATS, ATS2);
        for (unsigned page = 0; page < 2; page++) {
            fs_map(PROCESS(700), IOVA, page ? 0 : GUEST_DATA);
            q_piotlb(0, page ? 3 : 2, DID, 700, IOVA, 0);
            assert_true(q_sync(0));
            assert_string_equal(received(), "IfDw");
            assert_int_equal(nr_host, 6);
            for (unsigned f = ATS; f <= ATS2; f++) {
                assert_int_equal(stale_pasid(f, 700), 0);
                assert_int_equal(lands(f, 700, IOVA), page ? ~0ull : GUEST_DATA);
            }
            model_fill_all(W.unit[0]);
            host_clear();
        }
        /* an entry that stays what it is, but the guest says so of nothing else */
        q_pasid(0, 1, DID, 100);
        assert_true(q_sync(0));
        assert_int_equal(host_count(3), 2);
        assert_int_equal(host_count(8), 2);
        host_clear();
        /* a process ends, which two of three functions knew */
        poke64(PAGE(100 + 700 / 64) + 700 % 64 * 64, 0);
        q_pasid(0, 1, DID, 700);
        assert_true(q_sync(0));
        assert_int_equal(host_count(7), 3); /* and as what is not present, for units that cache that */
        assert_int_equal(host_count(3), 2);
        assert_int_equal(host_count(8), 2);
        for (unsigned f = ATS; f <= ATS2; f++)
            assert_int_equal(stale_pasid(f, 700), 0);
        assert_int_equal(lands(ATS, 700, IOVA), ~0ull);
        assert_int_equal(lands(ATS2, 100, IOVA), GUEST_DATA + 100 % 16 * 4096);
        /* it never was */
        host_clear();
        q_pasid(0, 1, DID, 5000);
        assert_true(q_sync(0));
        assert_string_equal(received(), "pw");
        assert_int_equal(nr_host, 2);
        /* all of the domain-id */
        fs_map(PROCESS(100), IOVA, 0);
        model_fill_all(W.unit[0]);
        host_clear();
        q_iotlb(0, 2, DID, 0, 0);
        assert_true(q_sync(0));
        assert_string_equal(received(), "idDdDw");
        assert_int_equal(host_count(2), 3);
        assert_int_equal(stale_pasid(ATS, 100) | stale_pasid(ATS2, 100), 0);
        finish();
    }
}

/* A ring full of flushes, each for one of them, or for none. */
static void flushes_of_many_processes(void **state)
{
    (void)state;
    for (unsigned known = 0; known < 2; known++) {
        in_use_processes(&nested, ATS, ATS2);
        W.max_guest_pages = 0;
        for (unsigned i = 0; i < 120; i++)
            q_piotlb(0, 3, DID, known ? 1 + i : 2000 + i, IOVA, 0);
        assert_true(q_sync(0));
        assert_int_equal(host_count(6), known ? 240 : 0);
        assert_int_equal(host_count(8), known ? 240 : 0);
        assert_int_equal(host_count(2) + host_count(3), 0);
        assert_true(W.max_guest_pages < 1000);
        finish();
    }
}

/* The longest ring, full of flushes for what nobody knows, of a domain-id with several directories: they are
 * not all looked up for each; past some point everything is flushed, once. */
static void flood_for_nobody(void **state)
{
    const u64 base = RAM3_BASE;
    const u32 entries = 16384;

    (void)state;
    in_use_first(&nested, true);
    guest_gcmd(0, G_QIE, false);
    guest_w64(0, R_IQT, 0);
    guest_w64(0, R_IQA, base | 1 << 11 | 7);
    guest_gcmd(0, G_QIE, true);
    for (u32 i = 0; i < entries - 2; i++) {
        poke64(base + i * 32, 6 | 2 << 4 | DID << 16 | (u64)(2000 + i % 4096) << 32);
        poke64(base + i * 32 + 8, 0);
        poke64(base + i * 32 + 16, 0);
        poke64(base + i * 32 + 24, 0);
    }
    poke64(base + (entries - 2) * 32, 5 | 1 << 5 | 0x77ull << 32);
    poke64(base + (entries - 2) * 32 + 8, GUEST_DATA);
    fs_map(FS_A, IOVA, 0);
    host_clear();
    guest_w64(0, R_IQT, (entries - 1) * 32);
    world_settle();
    assert_int_equal(peek32(GUEST_DATA), 0x77);
    assert_string_equal(received(), "idw");
    assert_int_equal(host[0].q0 & 0x30, 1 << 4);
    expect_gone();
    finish();
}

/* The unit knows 16 domain-ids, and the guest uses as many with more than one function. Who comes too late is
 * blocked and told so; the others go on, and what is freed is used again. */
static void domain_ids_run_out(void **state)
{
    struct world_cfg cfg = nested;
    unsigned good = 0;

    (void)state;
    cfg.cap = (CAP_DEFAULT & ~7ull) | C_ND(0);
    in_use_first(&cfg, true);
    for (u16 did = 1; did < 16; did++) {
        put_pasid(PLAIN, did, PGTT_FS, did, did % 2 ? FS_B : FS_A);
        q_pasid(0, 1, did, did);
        assert_true(q_sync(0));
    }
    for (u32 pasid = 1; pasid < 16; pasid++)
        good += lands(PLAIN, pasid, IOVA) != ~0ull;
    assert_int_equal(good, 12); /* 16, without 0, the identity map and those of the two other functions */
    assert_int_equal(lands(PLAIN, 15, IOVA), ~0ull);
    assert_int_equal(dma_lands(ATS, IOVA, true), GUEST_DATA);
    world_settle();
    assert_true(guest_r32(0, R_FSTS) & (FS_PPF | FS_PFO));
    poke64(entry_at(PLAIN, 1), 0);
    q_pasid(0, 1, 1, 1);
    assert_true(q_sync(0));
    q_pasid(0, 1, 15, 15);
    assert_true(q_sync(0));
    assert_int_equal(lands(PLAIN, 15, IOVA), GUEST_DATA + 0x10000);
    finish();
}

/* The PASID of plain requests is the guest's choice, as far as it is announced. */
static void rid_pasid(void **state)
{
    static const struct {
        u32 pasid;
        u64 rps;
        unsigned reason;
    } cases[] = { { P1, E_RPS, 0 },         { 63, E_RPS, 0 },      { 64, E_RPS, 0x51 },
                  { 8191, E_RPS, 0x51 },    { 8192, E_RPS, 0x48 }, { 16384, E_RPS, 0x48 },
                  { 0xfffff, E_RPS, 0x48 }, { P1, 0, 0x42 },       { 1u << 20, E_RPS, 0x42 } };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct world_cfg cfg = nested;

        cfg.ecap = (cfg.ecap & ~E_RPS) | cases[i].rps;
        in_use_first(&cfg, false);
        put_pasid(ATS, P1, PGTT_FS, DID, FS_B);
        put_pasid(ATS, 63, PGTT_FS, DID, FS_B);
        poke64(GUEST_CTX + 0x1000 + 8, cases[i].pasid);
        q_context(0, 3, 0, SID_ATS, 0);
        assert_true(q_sync(0));
        assert_int_equal(fault_of(ATS, IOVA), cases[i].reason);
        if (!cases[i].reason) {
            assert_int_equal(dma_lands(ATS, IOVA, true), GUEST_DATA + 0x10000);
            model_fill_all(W.unit[0]);
            host_clear();
            /* the flushes name it, and the device knows nothing of it */
            fs_map(FS_B, IOVA, 0);
            q_piotlb(0, 3, DID, cases[i].pasid, IOVA, 0);
            assert_true(q_sync(0));
            assert_string_equal(received(), "Ifdw");
            only_outcome(ATS, IOVA, ~0ull);
            poke64(entry_at(ATS, cases[i].pasid), 0);
            q_pasid(0, 1, DID, cases[i].pasid);
            assert_true(q_sync(0));
            assert_int_equal(fault_of(ATS, IOVA), 0x59);
        }
        announced(0, R_ECAP, cases[i].rps);
        finish();
    }
}

static unsigned fault_of_pasid(unsigned f, u32 pasid, u64 iova)
{
    u64 lo, hi;

    world_settle();
    guest_faults_clear(0);
    assert_int_equal(lands(f, pasid, iova), ~0ull);
    world_settle();
    assert_true(guest_fault(0, &lo, &hi));
    return hi >> 32 & 0xff;
}

/* The guest's directory ends where its context entry says, whatever stands behind; ours with PASID 16383. */
static void the_end_of_the_directory(void **state)
{
    struct world_cfg cfg = nested;
    struct inside_record got[32];
    size_t left = 0;
    int n;

    (void)state;
    in_use_pasids(&nested);
    poke64(DIR(ATS) + 127 * 8, PASIDS(ATS) | 1);
    poke64(DIR(ATS) + 128 * 8, PASIDS(ATS) | 1);
    for (u32 pasid = 127 * 64; pasid <= 128 * 64; pasid += 64)
        q_pasid(0, 1, DID, pasid + P1);
    assert_true(q_sync(0));
    assert_int_equal(lands(ATS, 127 * 64 + P1, IOVA), GUEST_DATA + 0x10000);
    assert_int_equal(lands(ATS, 128 * 64 + P1, IOVA), ~0ull);
    finish();

    cfg.cap = (CAP_DEFAULT & ~7ull) | C_ND(6) | C_FS5LP;
    in_use_pasids(&cfg);
    /* a width of tables that there is not */
    poke64(entry_at(ATS, P1) + 16, FS_B | 2 << 2);
    q_pasid(0, 1, DID, P1);
    assert_true(q_sync(0));
    assert_int_equal(fault_of_pasid(ATS, P1, IOVA), 0x5b);
    assert_false(region_holds(FS_B | 2 << 2));
    poke64(DIR(ATS) + 255 * 8, PASIDS(ATS) | 1);
    put_pasid(ATS, 63, PGTT_FS, 0xffff, FS_B);
    for (unsigned round = 0; round < 3; round++) {
        poke64(GUEST_CTX + 0x1000, DIR(ATS) | 1 << 9 | 1 << 3 | 1 << 2 | 1);
        q_context(0, 3, 0, SID_ATS, 0);
        assert_true(q_sync(0));
        assert_int_equal(lands(ATS, 16383, IOVA), GUEST_DATA + 0x10000);
        /* nothing of it is left with the entry */
        poke64(GUEST_CTX + 0x1000, 0);
        q_context(0, 3, 0, SID_ATS, 0);
        assert_true(q_sync(0));
        assert_int_equal(lands(ATS, 16383, IOVA), ~0ull);
        if (round)
            assert_int_equal(env_pages_available(), left);
        left = env_pages_available();
        for (u64 at = 0, before = 1; at != before;) {
            before = at;
            n = iommu_inside(INSIDE_COUNTERS, 0, &at, got, 32);
            for (int i = 0; i < n; i++)
                assert_false(got[i].what == INSIDE_DOMAIN && got[i].batch == 0xffff);
        }
    }
    finish();
}

static void faults_of_pasids(void **state)
{
    (void)state;
    in_use_pasids(&nested);
    announced(0, R_ECAP, 13ull << 35); /* PSS: 14 bits */
    assert_int_equal(fault_of_pasid(ATS, 10, IOVA), 0x59);
    assert_int_equal(fault_of_pasid(ATS, 64, IOVA), 0x51);
    assert_int_equal(fault_of_pasid(ATS, 8191, IOVA), 0x51);
    assert_int_equal(fault_of_pasid(ATS, 8192, IOVA), 0x46);  /* beyond the guest's directory */
    assert_int_equal(fault_of_pasid(ATS, 16384, IOVA), 0x46); /* beyond ours */
    assert_int_equal(fault_of_pasid(ATS, P1, 0x3000), 0x71);
    for (unsigned bit = 2; bit < 12; bit++) {
        poke64(DIR(ATS) + 8, PAGE(40) | 1 | 1 << bit);
        q_pasid(0, 0, DID, 0);
        assert_true(q_sync(0));
        assert_int_equal(fault_of_pasid(ATS, 64, IOVA), 0x52);
    }
    poke64(DIR(ATS) + 8, TRIP_BASE | 1);
    q_pasid(0, 0, DID, 0);
    assert_true(q_sync(0));
    assert_int_equal(fault_of_pasid(ATS, 64, IOVA), 0x58);
    /* An entry and a directory entry that ask for silence get it. */
    poke64(entry_at(ATS, 10), 2);
    q_pasid(0, 1, DID, 10);
    assert_true(q_sync(0));
    guest_faults_clear(0);
    assert_int_equal(lands(ATS, 10, IOVA), ~0ull);
    world_settle();
    assert_false(guest_r32(0, R_FSTS) & FS_PPF);
    poke64(GUEST_CTX + 0x1000, peek64(GUEST_CTX + 0x1000) & ~(1ull << 3));
    q_context(0, 3, 0, SID_ATS, 0);
    assert_true(q_sync(0));
    assert_int_equal(fault_of_pasid(ATS, P1, IOVA), 0x45);
    finish();
}

/* What is wrong with a second-stage table, in the words of scalable mode, which the guest is in. */
static void second_stage_reasons(void **state)
{
    const u64 leaf = FS_A + 3 * 4096 + (IOVA >> 12) * 8;
    static const struct {
        u64 at, value;
        unsigned write, read;
    } bad[] = {
        { 3, 0, 0x79, 0x79 },
        { 0, 0, 0x79, 0x79 },
        { 3, GUEST_DATA | P_R, 0x85, 0 },
        { 2, (FS_A + 3 * 4096) | P_R, 0x85, 0 },
        { 3, GUEST_DATA | P_W, 0, 0x86 },
        { 3, REGION_BASE | P_RW, 0x85, 0x86 },
        { 3, GUEST_DATA | P_RW | 1ull << 62, 0x7a, 0x7a },
        { 2, REGION_BASE | P_RW, 0x78, 0x78 },
        { 4, REGION_BASE, 0x7b, 0x7b },
    };

    (void)state;
    in_use_first(&nested, false);
    put_pasid(PLAIN, RID, PGTT_SS, 7, FS_A);
    q_pasid(0, 1, 7, RID);
    assert_true(q_sync(0));
    assert_int_equal(dma_lands(PLAIN, IOVA, true), GUEST_DATA);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        u64 at = bad[i].at == 3 ? leaf : FS_A + bad[i].at * 4096, was;

        if (bad[i].at == 4)
            at = entry_at(PLAIN, RID);
        was = peek64(at);
        poke64(at, bad[i].at == 4 ? (was & 0xfff) | bad[i].value : bad[i].value);
        q_pasid(0, 1, 7, RID);
        q_iotlb(0, 2, 7, 0, 0);
        assert_true(q_sync(0));
        for (unsigned write = 0; write < 2; write++) {
            unsigned want = write ? bad[i].write : bad[i].read;
            u64 lo, hi;

            guest_faults_clear(0);
            assert_int_equal(dma_lands(PLAIN, IOVA, write), want ? ~0ull : GUEST_DATA);
            world_settle();
            if (want && (!guest_fault(0, &lo, &hi) || (hi >> 32 & 0xff) != want))
                fail_msg("entry %u, %s: not reason %x", i, write ? "write" : "read", want);
        }
        poke64(at, was);
    }
    finish();
}

/* --- nested: the guest's table is walked through our second stage --- */

static void nested_is_contained(void **state)
{
    static const u64 forbidden[] = { REGION_BASE, REGION_MAX, UNIT_BASE, 0xfee00000 };

    (void)state;
    in_use_first(&nested, false);
    for (unsigned i = 0; i < ARRAY_SIZE(forbidden); i++) {
        fs_map(FS_A, IOVA, forbidden[i]);
        q_piotlb(0, 3, DID, RID, IOVA, 0);
        assert_true(q_sync(0));
        assert_int_equal(fault_of(PLAIN, IOVA), 0x85);
        assert_int_equal(dma_lands(ATS, IOVA, true), ~0ull);
        /* tables there are no better: first the lowest, then the one above */
        poke64(FS_A + 2 * 4096, forbidden[i] | 7);
        q_piotlb(0, 2, DID, RID, 0, 0);
        assert_true(q_sync(0));
        assert_int_equal(fault_of(PLAIN, IOVA), 0x70);
        fs_tables(FS_A);
    }
    finish();
}

/* The second stage below changes, of which the guest need know nothing. */
static void second_stage_changes(void **state)
{
    (void)state;
    in_use_pasids(&nested);
    fs_map(FS_A, IOVA, BAR_BASE);
    fs_map(FS_B, IOVA, BAR_BASE + 0x1000);
    q_piotlb(0, 2, DID, RID, 0, 0);
    q_piotlb(0, 2, DID, P1, 0, 0);
    assert_true(q_sync(0));
    model_fill_all(W.unit[0]);
    W.bar_off = W.bar_closing = true;
    iommu_dma_changed(BAR_BASE, BAR_END - BAR_BASE);
    W.bar_closing = false;
    only_outcome(ATS, IOVA, ~0ull);
    assert_int_equal(stale_pasid(ATS, P1), 0);
    assert_int_equal(lands(ATS, P1, IOVA), ~0ull);
    W.bar_off = false;
    finish();
}

/* --- five levels --- */

/* Large pages of the guest's first-stage tables, which hardware reads: 2 MiB always, 1 GiB where it can. */
static void large_pages_of_the_first_stage(void **state)
{
    (void)state;
    for (unsigned gib = 0; gib < 2; gib++) {
        struct world_cfg cfg = nested;

        cfg.cap = CAP_DEFAULT | (gib ? C_FS1GP : 0);
        in_use_first(&cfg, false);
        announced(0, R_CAP, gib ? C_FS1GP : 0);
        assert_int_equal(guest_read(0, R_CAP, 8) & C_FS1GP, gib ? C_FS1GP : 0);
        poke64(FS_A + 2 * 4096 + 8, RAM2_BASE | 0x87);
        poke64(FS_A + 4096 + 8, RAM3_BASE | 0x87);
        q_piotlb(0, 2, DID, RID, 0, 0);
        assert_true(q_sync(0));
        for (unsigned f = 0; f < W.nr_fns; f++) {
            only_outcome(f, 0x200000 + 0x7000, RAM2_BASE + 0x7000);
            only_outcome(f, 0x40000000 + 0x12345000, gib ? RAM3_BASE + 0x12345000 : ~0ull);
        }
        poke64(FS_A + 2 * 4096 + 8, 0);
        poke64(FS_A + 4096 + 8, 0);
        model_fill(W.unit[0], SID_ATS, 0x40000000 + 0x12345000, 1);
        q_piotlb(0, 3, DID, RID, 0x200000, 9);
        q_piotlb(0, 3, DID, RID, 0x40000000, 18);
        assert_true(q_sync(0));
        for (unsigned f = 0; f < W.nr_fns; f++) {
            only_outcome(f, 0x200000 + 0x7000, ~0ull);
            only_outcome(f, 0x40000000 + 0x12345000, ~0ull);
        }
        finish();
    }
}

static void five_levels(void **state)
{
    static const struct world_cfg second = { .cap = (CAP_DEFAULT & ~(7ull << 16)) | 0xfull << 16 |
                                                    56ull << 16 | C_SAGAW(0xe) };
    static const u64 high = 0x1400000005000ull;

    (void)state;
    /* the second stage, shadowed */
    start(&(struct world_cfg){ .cap = second.cap, .ats = ATS_ALL, .quiet = true, .wait_us = 50 });
    guest_start();
    announced(0, R_CAP, C_SAGAW(8) | 56ull << 16);
    guest_domain_init(0, 5, 5);
    guest_map(0, high, GUEST_DATA, P_RW);
    guest_context(SID_PLAIN, TT_SS, 5, G.dom[0].root, 5);
    q_context(0, 3, 5, SID_PLAIN, 0);
    q_iotlb(0, 2, 5, 0, 0);
    assert_true(q_sync(0));
    assert_int_equal(dma_lands(PLAIN, high, true), GUEST_DATA);
    assert_int_equal(dma_lands(PLAIN, high & 0xffffffffffff, true), ~0ull);
    guest_unmap(0, high);
    q_iotlb(0, 3, 5, high, 0);
    assert_true(q_sync(0));
    assert_int_equal(dma_lands(PLAIN, high, true), ~0ull);
    finish();

    /* the first stage, nested */
    struct world_cfg cfg = nested;

    cfg.cap = CAP_DEFAULT | C_FS5LP;
    in_use_first(&cfg, false);
    announced(0, R_CAP, C_FS5LP);
    poke64(PAGE(40) + 8 * (high >> 48), FS_A | 7);
    poke64(FS_A + 8 * (high >> 39 & 511), peek64(FS_A));
    poke64(entry_at(PLAIN, RID) + 16, PAGE(40) | 1 << 2);
    q_pasid(0, 1, DID, RID);
    assert_true(q_sync(0));
    assert_int_equal(dma_lands(PLAIN, high, true), GUEST_DATA);
    finish();
}

/* A PASID may lead into a second-stage table: its pages are flushed in the device under that PASID. */
static void a_pasid_in_a_second_stage_table(void **state)
{
    (void)state;
    in_use_pasids(&nested);
    guest_domain_init(0, 6, 4);
    guest_map(0, IOVA, GUEST_DATA + 0x3000, P_RW);
    put_pasid(ATS, P2, PGTT_SS, 6, G.dom[0].root);
    q_pasid(0, 1, DID, P2);
    q_iotlb(0, 2, DID, 0, 0);
    assert_true(q_sync(0));
    assert_int_equal(lands(ATS, P2, IOVA), GUEST_DATA + 0x3000);
    model_fill_all(W.unit[0]);
    host_clear();
    guest_map(0, IOVA, GUEST_DATA + 0x4000, P_RW);
    q_iotlb(0, 3, 6, IOVA, 0);
    assert_true(q_sync(0));
    assert_string_equal(received(), "iDw");
    assert_int_equal(stale_pasid(ATS, P2), 0);
    assert_int_equal(lands(ATS, P2, IOVA), GUEST_DATA + 0x4000);
    finish();
}

/* 6.2.2: with the entry of a PASID go the translations of its old domain, whatever the guest asks. */
static void an_entry_takes_its_old_domain_along(void **state)
{
    u16 first = 0, other = 0;

    (void)state;
    in_use_pasids(&nested);
    put_pasid(ATS, P1, PGTT_FS, 7, FS_C);
    q_pasid(0, 1, DID, P1);
    assert_true(q_sync(0));
    for (unsigned i = 0; i < nr_host; i++)
        if ((host[i].q0 & 0xf) == 2 || (host[i].q0 & 0xf) == 6) {
            other |= first && first != (u16)(host[i].q0 >> 16);
            first = (u16)(host[i].q0 >> 16);
        }
    assert_true(other);
    finish();
}

/* --- errors --- */

/* What replaces a batch that went wrong covers PASID entries and what devices keep for PASIDs. */
static void an_error_loses_no_pasid(void **state)
{
    struct world_cfg cfg = nested;

    (void)state;
    cfg.pace = MODEL_PACE_MANUAL;
    in_use_pasids(&cfg);
    put_pasid(ATS, P1, PGTT_FS, DID, FS_C);
    q_pasid(0, 1, DID, P1);
    q_piotlb(0, 2, DID, P1, 0, 0);
    rot_queue();
    assert_true(q_sync(0));
    W.on_write = NULL;
    assert_false(rotten);
    assert_int_equal(stale_pasid(ATS, P1), 0);
    assert_int_equal(lands(ATS, P1, IOVA), GUEST_DATA);
    for (unsigned i = 0; i < nr_host; i++)
        if ((host[i].q0 & 0xf) == 8 && (host[i].q0 >> 16 & 0xffff) == SID_ATS && host[i].q1 & 1)
            return; /* all PASIDs of the function */
    fail_msg("the function kept what it had for PASIDs");
}

/* --- memory --- */

static void one_of(u64 at, u64 right, unsigned n)
{
    if (at != right && at != ~0ull)
        fail_msg("with %u pages DMA lands at %llx", n, (unsigned long long)at);
}

/* A directory, a table of PASIDs and a domain come into being with however little memory: what finds none is
 * blocked, and once there is memory again the next flush makes it right. */
static void every_page_may_be_the_last(void **state)
{
    enum { FAR = 70, FAR_TABLE = 30 };
    unsigned enough = 0;

    (void)state;
    for (unsigned n = 0; !enough; n++) {
        u64 context = GUEST_CTX + (SID_PLAIN & 0x7f) * 32, entry = PAGE(FAR_TABLE) + FAR % 64 * 64;
        unsigned pages;

        in_use_pasids(&nested);
        poke64(context, 0);
        q_context(0, 3, 0, SID_PLAIN, 0);
        assert_true(q_sync(0));
        pages = W.pages;
        W.free_pages = 0;
        W.pages = W.bump + n;
        put_context(PLAIN, true);
        q_context(0, 3, 0, SID_PLAIN, 0);
        assert_true(q_sync(0));
        one_of(dma_lands(PLAIN, IOVA, true), GUEST_DATA, n);
        poke64(entry + 8, DID);
        poke64(entry + 16, FS_B);
        poke64(entry, 1 | PGTT_FS << 6);
        poke64(DIR(ATS) + 8, PAGE(FAR_TABLE) | 1);
        q_pasid(0, 1, DID, FAR);
        assert_true(q_sync(0));
        one_of(lands(ATS, FAR, IOVA), GUEST_DATA + 0x10000, n);
        one_of(lands(ATS, P1, IOVA), GUEST_DATA + 0x10000, n);
        if (!world_ok())
            fail_msg("with %u pages: %s", n, W.fail);
        enough = lands(ATS, FAR, IOVA) != ~0ull && dma_lands(PLAIN, IOVA, true) != ~0ull;
        assert_true(n > 0 || !enough);
        W.pages = pages;
        q_context(0, 1, 0, 0, 0);
        q_pasid(0, 3, 0, 0);
        q_iotlb(0, 1, 0, 0, 0);
        assert_true(q_sync(0));
        assert_int_equal(dma_lands(PLAIN, IOVA, true), GUEST_DATA);
        assert_int_equal(lands(ATS, FAR, IOVA), GUEST_DATA + 0x10000);
        finish();
    }
}

/* More PASIDs than a batch names, or more entries than are looked at one by one, before the one that matters.
 */
static void more_pasids_than_the_list(void **state)
{
    (void)state;
    for (unsigned same = 0; same < 2; same++) {
        in_use_first(&nested, true);
        for (unsigned f = 0; f < W.nr_fns; f++)
            put_pasid(f, RID, PGTT_FS, DID, FS_B);
        for (unsigned n = 0; n < (same ? 200u : 100u); n++)
            q_pasid(0, 1, DID, same ? 40 : 1 + n);
        q_pasid(0, 1, DID, RID);
        q_piotlb(0, 2, DID, RID, 0, 0);
        assert_true(q_sync(0));
        for (unsigned f = 0; f < W.nr_fns; f++) {
            assert_int_equal(stale(f, IOVA), 0);
            only_outcome(f, IOVA, GUEST_DATA + 0x10000);
        }
        finish();
    }
}

/* Entries that ask for what was not announced are not good (9.4, 9.6). */
static void what_was_not_announced(void **state)
{
    (void)state;
    in_use_first(&direct, true);
    put_pasid(ATS, RID, PGTT_SS, DID, FS_A);
    q_pasid(0, 1, DID, RID);
    q_piotlb(0, 2, DID, RID, 0, 0);
    assert_true(q_sync(0));
    assert_int_equal(fault_of(ATS, IOVA), 0x5b); /* there is no second stage */
    in_use_first(&(struct world_cfg){ .ecap = (ECAP_NESTED & ~E_PASID) }, false);
    put_context(ATS, true);
    q_context(0, 3, 0, SID_ATS, 0);
    q_pasid(0, 3, 0, 0);
    q_iotlb(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
    assert_int_equal(fault_of(ATS, IOVA), 0x42); /* there are no PASIDs */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_flush_that_cannot_be_answered),
        cmocka_unit_test(flush_of_one_pasid),
        cmocka_unit_test(one_table_two_pasids),
        cmocka_unit_test(device_tlb_of_one_pasid_is_forwarded),
        cmocka_unit_test(entry_of_a_pasid),
        cmocka_unit_test(directory_replaced),
        cmocka_unit_test(pasids_switched_off),
        cmocka_unit_test(one_page_two_stages),
        cmocka_unit_test(domain_id_reused),
        cmocka_unit_test(tables_of_many_processes),
        cmocka_unit_test(flushes_of_many_processes),
        cmocka_unit_test(flood_for_nobody),
        cmocka_unit_test(domain_ids_run_out),
        cmocka_unit_test(rid_pasid),
        cmocka_unit_test(the_end_of_the_directory),
        cmocka_unit_test(faults_of_pasids),
        cmocka_unit_test(second_stage_reasons),
        cmocka_unit_test(nested_is_contained),
        cmocka_unit_test(second_stage_changes),
        cmocka_unit_test(large_pages_of_the_first_stage),
        cmocka_unit_test(five_levels),
        cmocka_unit_test(an_error_loses_no_pasid),
        cmocka_unit_test(every_page_may_be_the_last),
        cmocka_unit_test(a_pasid_in_a_second_stage_table),
        cmocka_unit_test(an_entry_takes_its_old_domain_along),
        cmocka_unit_test(more_pasids_than_the_list),
        cmocka_unit_test(what_was_not_announced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
