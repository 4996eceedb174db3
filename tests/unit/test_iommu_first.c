/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * First-stage tables of the guest: used as they are (firststage=direct) or nested on the identity map, and
 * units that have no other format.
 */
#include "tests/unit/world_test.h"

#define C_FS5LP (1ull << 60)

#define ECAP_ALL    (ECAP_DEFAULT | E_PSS | E_PASID | E_SMTS | E_SMPWC | E_RPS)
#define ECAP_FIRST  (ECAP_ALL | E_FSTS) /* no second stage in scalable mode */
#define ECAP_NESTED (ECAP_ALL | E_FSTS | E_SSTS | E_NEST)

/* The guest's tables: for each function a directory and a table of 64 PASIDs. */
#define PAGE(n)   (RAM2_BASE + (n)*4096ull)
#define DIR(f)    PAGE(2 * (f))
#define PASIDS(f) PAGE(2 * (f) + 1)
#define FS_A      PAGE(16) /* first-stage tables: four pages from the top down */
#define FS_B      PAGE(20)
#define IOVA      0x5000ull
#define DID       5u
enum { RID = 0, PGTT_FS = 1, PGTT_SS = 2, PGTT_PT = 4 };

static void q(u64 q0, u64 q1)
{
    q_push(0, q0, q1);
    q_push(0, 0, 0);
}

static bool sync_wide(void)
{
    u32 cookie = ++G.cookie;

    *(volatile u32 *)world_mem(GUEST_STATUS) = 0;
    q(5 | WAIT_SW | (u64)cookie << 32, GUEST_STATUS);
    q_ring(0);
    for (unsigned n = 0; n < 100000 && peek32(GUEST_STATUS) != cookie; n++)
        world_run(1);
    return peek32(GUEST_STATUS) == cookie;
}

static void context_flush(u16 sid)
{
    q(1 | 3 << 4 | (u64)sid << 32, 0);
}

static void pasid_flush(u16 did, u32 pasid)
{
    q(7 | 1 << 4 | (u64)did << 16 | (u64)pasid << 32, 0);
}

static void piotlb(u16 did, u32 pasid)
{
    q(6 | 2 << 4 | (u64)did << 16 | (u64)pasid << 32, 0);
}

static void piotlb_page(u16 did, u32 pasid, u64 iova, unsigned am)
{
    q(6 | 3 << 4 | (u64)did << 16 | (u64)pasid << 32, iova | am);
}

static void iotlb(unsigned g, u16 did)
{
    q(2 | g << 4 | 0xc0 | (u64)did << 16, 0);
}

static void fs_tables(u64 top)
{
    for (unsigned i = 0; i < 3; i++)
        poke64(top + i * 4096, (top + (i + 1) * 4096) | 7);
}

static void fs_map(u64 top, u64 iova, u64 pa)
{
    poke64(top + 3 * 4096 + (iova >> 12) * 8, pa ? pa | 7 : 0);
}

static u64 entry_at(unsigned f, u32 pasid)
{
    return PASIDS(f) + pasid * 64ull;
}

static void put_pasid(unsigned f, u32 pasid, unsigned pgtt, u16 did, u64 root)
{
    u64 at = entry_at(f, pasid);

    poke64(at, 0);
    poke64(at + 8, did);
    poke64(at + 16, pgtt == PGTT_FS ? root : 0);
    poke64(at, 1 | pgtt << 6 | (pgtt == PGTT_FS ? 0 : 2 << 2 | root));
}

static void put_context(unsigned f, bool pasids)
{
    u16 sid = W.cfg.fn[f].sid;
    u64 at = GUEST_CTX + (sid >> 8) * 0x1000 + (sid & 0x7f) * 32;

    poke64(at + 8, RID);
    poke64(at, DIR(f) | (W.cfg.fn[f].ats ? 1 << 2 : 0) | (pasids ? 1 << 3 : 0) | 1);
}

static void turn_on(void)
{
    guest_w64(0, R_RTADDR, GUEST_ROOT | 1 << 10);
    guest_gcmd(0, G_SRTP, true);
    guest_w64(0, R_IQT, 0);
    guest_w64(0, R_IQA, GUEST_RING | 1 << 11);
    guest_gcmd(0, G_QIE, true);
    for (unsigned f = 0; f < W.nr_fns; f++)
        if (W.cfg.fn[f].ats)
            world_ats(f, true);
    guest_gcmd(0, G_TE, true);
    q(1 | 1 << 4, 0);
    q(7 | 3 << 4, 0);
    iotlb(1, 0);
    assert_true(sync_wide());
    model_clear_violations(W.unit[0]);
    host_clear();
}

/* Every function reaches FS_A through its plain requests, in domain 5; IOVA is mapped there. */
static void in_use_first(const struct world_cfg *cfg, bool pasids)
{
    struct world_cfg c = *cfg;

    c.ats = ATS_ALL;
    c.quiet = true;
    c.wait_us = 50;
    start(&c);
    for (unsigned bus = 0; bus < 4; bus++)
        poke64(GUEST_ROOT + bus * 16, (GUEST_CTX + bus * 0x1000) | 1);
    memset(world_mem(RAM2_BASE), 0, 64 * 4096);
    fs_tables(FS_A);
    fs_tables(FS_B);
    fs_map(FS_A, IOVA, GUEST_DATA);
    fs_map(FS_B, IOVA, GUEST_DATA + 0x10000);
    for (unsigned f = 0; f < W.nr_fns; f++) {
        poke64(DIR(f), PASIDS(f) | 1);
        put_pasid(f, RID, PGTT_FS, DID, FS_A);
        put_context(f, pasids);
    }
    turn_on();
    for (unsigned f = 0; f < W.nr_fns; f++)
        assert_int_equal(dma_lands(f, IOVA, true), GUEST_DATA);
    model_fill_all(W.unit[0]);
}

static const struct world_cfg direct = { .ecap = ECAP_FIRST, .direct = true };
static const struct world_cfg direct_cm = { .ecap = ECAP_FIRST, .direct = true, .dtlb = DTLB_CM };
static const struct world_cfg nested = { .ecap = ECAP_NESTED };
static const struct world_cfg *const both[] = { &direct, &nested };

/* What the host queue received, as letters: c context, p PASID cache, i IOTLB, I PASID-based IOTLB, f fence,
 * d device TLB, D device TLB of one PASID, w wait; the same again is written once. */
static const char *received(void)
{
    static char text[64];
    unsigned n = 0;

    for (unsigned i = 0; i < nr_host && n < sizeof(text) - 1; i++) {
        char c = "?cidewIpD???????"[host[i].q0 & 0xf];

        if (c == 'w' && (host[i].q1 & 0xfff) == 0xffc)
            c = 'f';
        if (!n || text[n - 1] != c)
            text[n++] = c;
    }
    text[n] = 0;
    return text;
}

static void expect_gone(void)
{
    for (unsigned f = 0; f < W.nr_fns; f++) {
        assert_int_equal(stale(f, IOVA), 0);
        only_outcome(f, IOVA, ~0ull);
    }
}

/* --- what the guest flushes, and what it leaves out --- */

static void page_in_pasid(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(both); i++) {
        in_use_first(both[i], false);
        fs_map(FS_A, IOVA, 0);
        piotlb_page(DID, RID, IOVA, 0);
        assert_true(sync_wide());
        assert_string_equal(received(), "Ifdw");
        expect_gone();
        finish();
    }
}

/* A lazy driver that takes caching mode for more than it is: no device-TLB descriptor at all. */
static void lazy_without_device_tlb(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(both); i++) {
        in_use_first(both[i], false);
        fs_map(FS_A, IOVA, 0);
        piotlb(DID, RID);
        assert_true(sync_wide());
        assert_string_equal(received(), "Ifdw");
        assert_int_equal(host_dtlb(SID_ATS), 1);
        assert_int_equal(host_dtlb(SID_ATS2), 1);
        expect_gone();
        finish();
    }
}

/* The descriptors for second-stage tables reach first-stage ones, too (6.5.2.2). */
static void type_2_reaches_first_stage(void **state)
{
    (void)state;
    for (unsigned g = 1; g <= 3; g++) {
        in_use_first(&direct, false);
        fs_map(FS_A, IOVA, 0);
        q(2 | g << 4 | 0xc0 | DID << 16, 0x100000);
        assert_true(sync_wide());
        expect_gone();
        finish();
    }
}

/* Caching mode covers all but first-stage tables: there `dtlb=cm` sends what the guest sends. */
static void cm_as_the_contract(void **state)
{
    (void)state;
    in_use_first(&direct_cm, false);
    fs_map(FS_A, IOVA, 0);
    piotlb(DID, RID);
    assert_true(sync_wide());
    assert_int_equal(host_count(3), 0);
    assert_true(stale(ATS, IOVA));
    iotlb(1, 0);
    assert_true(sync_wide());
    assert_int_equal(host_count(3), 0);
    /* what the guest asks for itself is forwarded */
    q(3 | (u64)SID_ATS << 32, IOVA);
    assert_true(sync_wide());
    assert_int_equal(host_dtlb(SID_ATS), 1);
    assert_int_equal(stale(ATS, IOVA), 0);
    /* and entries are covered */
    poke64(entry_at(ATS2, RID), 0);
    pasid_flush(DID, RID);
    assert_true(sync_wide());
    assert_true(host_dtlb(SID_ATS2) > 0);
    assert_int_equal(stale(ATS2, IOVA), 0);

    /* without caching mode, not even those */
    in_use_first(
        &(struct world_cfg){ .ecap = ECAP_FIRST, .direct = true, .no_caching_mode = true, .dtlb = DTLB_CM },
        false);
    poke64(entry_at(ATS2, RID), 0);
    pasid_flush(DID, RID);
    assert_true(sync_wide());
    assert_int_equal(host_count(3), 0);
}

/* --- the guest's entries --- */

static unsigned fault_of(unsigned f, u64 iova)
{
    u64 lo, hi;

    world_settle();
    guest_faults_clear(0);
    if (dma_lands(f, iova, true) != ~0ull)
        return 0;
    world_settle();
    assert_true(guest_fault(0, &lo, &hi));
    return hi >> 32 & 0xff;
}

/* One entry after the other is wrong; the device is blocked and the guest is told why. */
static void entries_judged(void **state)
{
    static const struct {
        u64 q0, q1, q2;
        unsigned reason;
    } bad[] = {
        { 1 << 6 | 1 | 1 << 5, DID, FS_A, 0x5a },
        { 1 << 6 | 1 | 1 << 9, DID, FS_A, 0x5a },
        { 1 << 6 | 1, DID | 1 << 16, FS_A, 0x5a },
        { 1 << 6 | 1, DID | 1u << 31, FS_A, 0x5a },
        { 1 << 6 | 1, DID, FS_A | 1, 0x5a },      /* SRE */
        { 1 << 6 | 1, DID, FS_A | 1 << 7, 0x5a }, /* EAFE */
        { 1 << 6 | 1, DID, FS_A | 1 << 11, 0x5a },
        { 1 << 6 | 1, DID, FS_A | 1 << 2, 0x5b }, /* five levels */
        { 1 << 6 | 1, DID, FS_A | 2 << 2, 0x5b },
        { 1 << 6 | 1, 0, FS_A, 0x5b },            /* domain-id 0 with caching mode */
        { 3 << 6 | 1 | 2 << 2, DID, FS_A, 0x5b }, /* nested */
        { 0 << 6 | 1, DID, FS_A, 0x5b },
        { 5 << 6 | 1, DID, FS_A, 0x5b },
        { 1 << 6 | 1, DID, REGION_BASE, 0x73 },
        { 1 << 6 | 1, DID, UNIT_BASE, 0x73 },
        { 1 << 6 | 1, DID, BAR_BASE, 0x73 },
        { 1 << 6, DID, FS_A, 0x59 },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(both); i++) {
        in_use_first(both[i], false);
        for (unsigned n = 0; n < ARRAY_SIZE(bad); n++) {
            poke64(entry_at(PLAIN, RID) + 8, bad[n].q1);
            poke64(entry_at(PLAIN, RID) + 16, bad[n].q2);
            poke64(entry_at(PLAIN, RID), bad[n].q0);
            pasid_flush(DID, RID);
            assert_true(sync_wide());
            if (fault_of(PLAIN, IOVA) != bad[n].reason)
                fail_msg("entry %u: reason %x instead of %x", n, fault_of(PLAIN, IOVA), bad[n].reason);
        }
        /* harmless: write protection for a supervisor that cannot be, no-execute, memory types */
        poke64(entry_at(PLAIN, RID) + 8, DID | 7ull << 25 | 0xabcdull << 40);
        poke64(entry_at(PLAIN, RID) + 16, FS_B | 1 << 4 | 1 << 5);
        poke64(entry_at(PLAIN, RID), 1 << 6 | 1);
        pasid_flush(DID, RID);
        assert_true(sync_wide());
        assert_int_equal(dma_lands(PLAIN, IOVA, true), GUEST_DATA + 0x10000);
        finish();
    }
}

/* P goes, the table is replaced, the whole context entry goes: with the one descriptor that says so. */
static void entry_changes_alone(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(both); i++)
        for (unsigned how = 0; how < 3; how++) {
            in_use_first(both[i], false);
            if (how == 0)
                poke64(entry_at(ATS, RID), 0);
            else if (how == 1)
                poke64(entry_at(ATS, RID) + 16, FS_B);
            else
                poke64(GUEST_CTX + 0x1000, 0);
            if (how == 2)
                context_flush(SID_ATS);
            else
                pasid_flush(DID, RID);
            assert_true(sync_wide());
            assert_int_equal(stale(ATS, IOVA), 0);
            only_outcome(ATS, IOVA, how == 1 ? GUEST_DATA + 0x10000 : ~0ull);
            assert_int_equal(dma_lands(ATS2, IOVA, true), GUEST_DATA);
            finish();
        }
}

/* --- units that have no second stage --- */

static void contained(void)
{
    for (unsigned f = 0; f < W.nr_fns; f++) {
        assert_int_equal(dma_lands(f, GUEST_DATA, true), GUEST_DATA);
        assert_int_equal(dma_lands(f, RMRR_BASE, true), RMRR_BASE);
        assert_int_equal(dma_lands(f, RAM3_BASE + 0x5000, true), RAM3_BASE + 0x5000);
        assert_int_equal(dma_lands(f, REGION_BASE, true), ~0ull);
        assert_int_equal(dma_lands(f, REGION_MAX, true), ~0ull);
        assert_int_equal(dma_lands(f, UNIT_BASE, true), ~0ull);
    }
}

static void identity_without_second_stage(void **state)
{
    static const u64 caps[] = { CAP_DEFAULT, CAP_DEFAULT | C_FS1GP, CAP_DEFAULT & ~C_SAGAW(6) };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(caps); i++)
        for (unsigned given = 0; given < 2; given++) {
            start(&(struct world_cfg){ .cap = caps[i],
                                       .ecap = ECAP_FIRST,
                                       .direct = given,
                                       .ats = ATS_ALL,
                                       .quiet = true,
                                       .wait_us = 50 });
            contained();
            finish();
        }
}

/* Pass-through is the same identity map. */
static void pass_through_without_second_stage(void **state)
{
    (void)state;
    in_use_first(&direct, false);
    for (unsigned f = 0; f < W.nr_fns; f++)
        put_pasid(f, RID, PGTT_PT, DID, 0);
    q(7 | 3 << 4, 0);
    assert_true(sync_wide());
    contained();
    assert_int_equal(fault_of(PLAIN, REGION_BASE), 0x79);
    finish();
}

/* A guest in legacy mode, whose tables are shadowed in the only format there is. */
static void legacy_guest_without_second_stage(void **state)
{
    static const struct world_cfg cfg = { .cap = CAP_DEFAULT & ~C_SAGAW(6), .ecap = ECAP_FIRST };

    (void)state;
    in_use(&cfg);
    assert_int_equal(guest_read(0, R_CAP, 8) >> 8 & 0x1f, 4);
    assert_int_equal(guest_read(0, R_ECAP, 8) & (E_SMTS | E_SSTS | E_FSTS | E_SC), 0);
}

static void legacy_tables_in_first_stage_format(void **state)
{
    static const struct world_cfg cfg = { .ecap = ECAP_FIRST, .direct = true };

    (void)state;
    in_use(&cfg);
    map_and_flush(0, IOVA, GUEST_DATA);
    for (unsigned f = 0; f < W.nr_fns; f++)
        only_outcome(f, IOVA, GUEST_DATA);
    guest_map(0, IOVA + 0x1000, GUEST_DATA + 0x1000, P_R);
    guest_map(0, IOVA + 0x2000, REGION_BASE, P_RW);
    guest_map_level(0, 0x40000000, RAM3_BASE, P_RW, 2);
    q_iotlb(0, 2, 5, 0, 0);
    assert_true(q_sync(0));
    assert_int_equal(dma_lands(PLAIN, IOVA + 0x1000, true), ~0ull);
    assert_int_equal(dma_lands(PLAIN, IOVA + 0x1000, false), GUEST_DATA + 0x1000);
    assert_int_equal(dma_lands(PLAIN, IOVA + 0x2000, false), ~0ull);
    assert_int_equal(dma_lands(PLAIN, 0x40003000, true), RAM3_BASE + 0x3000);
    host_clear();
    guest_unmap(0, IOVA);
    q_iotlb(0, 3, 5, IOVA, 0);
    assert_true(q_sync(0));
    assert_string_equal(received(), "Ifdw");
    expect_gone();
    finish();
}

/* --- without caching mode --- */

static void no_caching_mode(void **state)
{
    static const struct world_cfg cfg = { .ecap = ECAP_FIRST, .direct = true, .no_caching_mode = true };

    (void)state;
    in_use_first(&cfg, false);
    assert_int_equal(guest_read(0, R_CAP, 8) & C_CM, 0);
    poke64(entry_at(PLAIN, RID), 0);
    pasid_flush(DID, RID);
    assert_true(sync_wide());
    assert_int_equal(dma_lands(PLAIN, IOVA, true), ~0ull);
    /* present again, and nobody need say so; but before it masters the bus the driver enables it */
    put_pasid(PLAIN, RID, PGTT_FS, DID, FS_B);
    iommu_function_starts(0, SID_PLAIN);
    assert_int_equal(dma_lands(PLAIN, IOVA, true), GUEST_DATA + 0x10000);
    /* a function that was enabled all the time has one fault, no more */
    poke64(entry_at(PLAIN, RID), 0);
    pasid_flush(DID, RID);
    assert_true(sync_wide());
    put_pasid(PLAIN, RID, PGTT_FS, DID, FS_A);
    assert_int_equal(dma_lands(PLAIN, IOVA, true), ~0ull);
    world_settle();
    assert_int_equal(dma_lands(PLAIN, IOVA, true), GUEST_DATA);
    finish();

    /* Second-stage tables cannot be followed then: refused, in legacy mode too. */
    in_use(&cfg);
    guest_map(0, IOVA, GUEST_DATA, P_RW);
    q_iotlb(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
    assert_int_equal(fault_of(PLAIN, IOVA), 3);

    /* And where there is no first stage for the guest there is no cm=off. */
    assert_int_not_equal(world_start(&(struct world_cfg){ .ecap = ECAP_FIRST, .no_caching_mode = true }), 0);
    assert_non_null(strstr(W.last_log, "cm=off"));
}

static void announced(void **state)
{
    static const struct {
        u64 ecap;
        bool direct, no_cm;
        u64 want; /* of these: */
    } hosts[] = {
        { ECAP_FIRST, false, false, 0 },
        { ECAP_FIRST, true, false, E_SMTS | E_FSTS },
        { ECAP_FIRST, true, true, E_SMTS | E_FSTS },
        { ECAP_ALL | E_SSTS, true, false, E_SMTS | E_SSTS },
        { ECAP_ALL | E_SSTS | E_FSTS, false, false, E_SMTS | E_SSTS },
        { ECAP_ALL | E_SSTS | E_FSTS, true, false, E_SMTS | E_SSTS | E_FSTS },
        { ECAP_NESTED, false, false, E_SMTS | E_SSTS | E_FSTS },
        { ECAP_NESTED, false, true, E_SMTS | E_FSTS },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(hosts); i++) {
        u64 ecap;

        start(&(struct world_cfg){ .cap = CAP_DEFAULT | C_FS1GP | C_FS5LP,
                                   .ecap = hosts[i].ecap,
                                   .direct = hosts[i].direct,
                                   .no_caching_mode = hosts[i].no_cm,
                                   .ats = ATS_ALL,
                                   .wait_us = 50 });
        ecap = guest_read(0, R_ECAP, 8);
        assert_int_equal(ecap & (E_SMTS | E_SSTS | E_FSTS | E_NEST), hosts[i].want);
        assert_int_equal(ecap & (E_PASID | E_RPS), hosts[i].want ? E_PASID | E_RPS : 0);
        assert_int_equal(ecap >> 35 & 0x1f, hosts[i].want ? 13 : 0);
        assert_int_equal(guest_read(0, R_CAP, 8) & (C_FS1GP | C_FS5LP),
                         hosts[i].want & E_FSTS ? C_FS1GP | C_FS5LP : 0);
        assert_int_equal(!(guest_read(0, R_CAP, 8) & C_CM), hosts[i].no_cm);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_in_pasid),
        cmocka_unit_test(lazy_without_device_tlb),
        cmocka_unit_test(type_2_reaches_first_stage),
        cmocka_unit_test(cm_as_the_contract),
        cmocka_unit_test(entries_judged),
        cmocka_unit_test(entry_changes_alone),
        cmocka_unit_test(identity_without_second_stage),
        cmocka_unit_test(pass_through_without_second_stage),
        cmocka_unit_test(legacy_guest_without_second_stage),
        cmocka_unit_test(legacy_tables_in_first_stage_format),
        cmocka_unit_test(no_caching_mode),
        cmocka_unit_test(announced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
