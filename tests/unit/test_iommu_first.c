/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * First-stage tables of the guest: used as they are (firststage=direct) or nested on the identity map, and
 * units that have no other format.
 */
#include "tests/unit/world_test_fs.h"

/* --- what the guest flushes, and what it leaves out --- */

static void page_in_pasid(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(both); i++) {
        in_use_first(both[i], false);
        fs_map(FS_A, IOVA, 0);
        q_piotlb(0, 3, DID, RID, IOVA, 0);
        assert_true(q_sync(0));
        assert_string_equal(received(), "Ifdw");
        expect_gone();
        /* several pages, and no more than these */
        host_clear();
        q_piotlb(0, 3, DID, RID, IOVA & ~0x3fffull, 2);
        assert_true(q_sync(0));
        assert_int_equal(host[0].q0 & 0x3f, 3 << 4 | 6);
        assert_int_equal(host[0].q1, (IOVA & ~0x3fffull) | 2);
        announced(0, R_ECAP, E_FSTS);
        finish();
    }
}

/* IOTLB descriptors of the guest that were about its domain, as Sluice has counted them. */
static u64 asked_of_domain(void)
{
    struct inside_record got[32];
    u64 at = 10; /* where domains begin */
    int n = iommu_inside(INSIDE_COUNTERS, 0, &at, got, ARRAY_SIZE(got));

    for (int i = 0; i < n; i++)
        if (got[i].what == INSIDE_DOMAIN && got[i].batch == DID)
            return got[i].lo;
    fail();
    return 0;
}

/* As much as a page-selective request can say goes out as one, and everything as what it is; between it and
 * the device TLB there is a fence where there is a device TLB. */
static void sizes_in_pasid(void **state)
{
    struct model_req r = { .sid = SID_ATS, .addr = 0x900000, .len = 8, .write = true };
    struct world_cfg cfg = nested;
    u64 lo, hi;

    (void)state;
    for (unsigned fns = 0; fns < 2; fns++) {
        cfg.nr_fns = 1;
        cfg.fn[0] = (struct world_fn_cfg){ SID_ATS, 0, fns, 0 };
        in_use_first(&cfg, false);
        for (unsigned am = 50; am < 54; am++) {
            host_clear();
            q_piotlb(0, 3, DID, RID, 0, am);
            assert_true(q_sync(0));
            assert_int_equal(host[0].q0 & 0x3f, (am < 52 ? 3 : 2) << 4 | 6);
            assert_int_equal(host[0].q1, am < 52 ? am : 0);
            assert_string_equal(received(), fns ? "Ifdw" : "Iw");
        }
        /* each is counted once */
        for (unsigned wide = 0; wide < 2; wide++) {
            u64 before = asked_of_domain();

            if (wide)
                q_iotlb(0, 2, DID, 0, 0);
            else
                q_piotlb(0, 3, DID, RID, IOVA, 0);
            assert_true(q_sync(0));
            assert_int_equal(asked_of_domain(), before + 1);
        }
        /* legacy words of a unit, where no entry is to blame, in the guest's own */
        guest_faults_clear(0);
        model_fault(W.unit[0], 5, &r);
        world_settle();
        assert_true(guest_fault(0, &lo, &hi));
        assert_int_equal(hi >> 32 & 0xff, 0x85);
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
        q_piotlb(0, 2, DID, RID, 0, 0);
        assert_true(q_sync(0));
        assert_string_equal(received(), "Ifdw");
        assert_int_equal(host_dtlb(SID_ATS), 1);
        assert_int_equal(host_dtlb(SID_ATS2), 1);
        expect_gone();
        finish();
    }
}

/* The invalidation call names a PASID, and reaches IOTLB and device TLBs as the descriptors do. */
static void the_invalidation_call(void **state)
{
    const u64 array = PAGE(40);
    unsigned handled;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(both); i++)
        for (unsigned all = 0; all < 2; all++) {
            in_use_first(both[i], false);
            fs_map(FS_A, IOVA, 0);
            poke64(array, all ? 0 : IOVA);
            poke64(array + 8, all ? ~0ull : 1);
            poke64(array + 16, 1);
            poke64(array + 24, ~0ull);
            assert_int_equal(iommu_invalidate(0, DID, RID, array, 1, &handled), 0);
            assert_int_equal(handled, 1);
            assert_int_equal(peek64(array + 24), 0);
            assert_string_equal(received(), "Ifdw");
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
        q_iotlb(0, g, DID, 0x100000, 0);
        assert_true(q_sync(0));
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
    q_piotlb(0, 2, DID, RID, 0, 0);
    assert_true(q_sync(0));
    assert_int_equal(host_count(3), 0);
    assert_true(stale(ATS, IOVA));
    q_iotlb(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
    assert_int_equal(host_count(3), 0);
    /* what the guest asks for itself is forwarded */
    q_dtlb(0, SID_ATS, IOVA, false);
    assert_true(q_sync(0));
    assert_int_equal(host_dtlb(SID_ATS), 1);
    assert_int_equal(stale(ATS, IOVA), 0);
    /* and entries are covered */
    poke64(entry_at(ATS2, RID), 0);
    q_pasid(0, 1, DID, RID);
    assert_true(q_sync(0));
    assert_true(host_dtlb(SID_ATS2) > 0);
    assert_int_equal(stale(ATS2, IOVA), 0);

    /* without caching mode, not even those */
    in_use_first(
        &(struct world_cfg){ .ecap = ECAP_FIRST, .direct = true, .no_caching_mode = true, .dtlb = DTLB_CM },
        false);
    poke64(entry_at(ATS2, RID), 0);
    q_pasid(0, 1, DID, RID);
    assert_true(q_sync(0));
    assert_int_equal(host_count(3), 0);
}

/* --- the guest's entries --- */

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
        { 1 << 6 | 1, 0, FS_A, 0x5b },                /* domain-id 0 with caching mode */
        { 3 << 6 | 1 | 2 << 2, DID, FS_A, 0x5b },     /* nested */
        { 2 << 6 | 1 | 3 << 2 | FS_A, DID, 0, 0x5b }, /* second-stage, five levels */
        { 0 << 6 | 1, DID, FS_A, 0x5b },
        { 5 << 6 | 1, DID, FS_A, 0x5b },
        { 1 << 6 | 1, DID, REGION_BASE, 0x73 },
        { 1 << 6 | 1, DID, UNIT_BASE, 0x73 },
        { 1 << 6 | 1, DID, BAR_BASE, 0x73 },
        { 1 << 6 | 1, DID, TRIP_BASE, 0x73 },
        { 1 << 6, DID, FS_A, 0x59 },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(both); i++) {
        in_use_first(both[i], false);
        for (unsigned n = 0; n < ARRAY_SIZE(bad); n++) {
            poke64(entry_at(PLAIN, RID) + 8, bad[n].q1);
            poke64(entry_at(PLAIN, RID) + 16, bad[n].q2);
            poke64(entry_at(PLAIN, RID), bad[n].q0);
            q_pasid(0, 1, DID, RID);
            assert_true(q_sync(0));
            if (fault_of(PLAIN, IOVA) != bad[n].reason)
                fail_msg("entry %u: reason %x instead of %x", n, fault_of(PLAIN, IOVA), bad[n].reason);
            if (bad[n].q2 == TRIP_BASE) /* hardware never saw that address */
                assert_false(region_holds(TRIP_BASE));
        }
        /* Each bit beside P, FPD, AW, PGTT, the domain-id, PWSNP, PGSNP, the memory types, FSPM, WPE, NXE and
         * the pointers. */
        for (unsigned bit = 0; bit < 512; bit++) {
            static const u64 known[8] = { 0xfffffffffffff1df, 0xffffffff3f80ffff, 0xfffffffffffff03c };
            u64 entry[8] = { 1 << 6 | 1, DID, FS_A };

            if (known[bit / 64] >> bit % 64 & 1)
                continue;
            W.now_us += 2000; /* no storm of faults */
            entry[bit / 64] |= 1ull << bit % 64;
            memcpy(world_mem(entry_at(PLAIN, RID)), entry, sizeof(entry));
            q_pasid(0, 1, DID, RID);
            assert_true(q_sync(0));
            if (fault_of(PLAIN, IOVA) != 0x5a)
                fail_msg("bit %u of an entry: reason %x", bit, fault_of(PLAIN, IOVA));
            memset(world_mem(entry_at(PLAIN, RID)), 0, sizeof(entry));
        }
        /* harmless: write protection for a supervisor that cannot be, no-execute, memory types */
        poke64(entry_at(PLAIN, RID) + 8, DID | 7ull << 25 | 0xabcdull << 40);
        poke64(entry_at(PLAIN, RID) + 16, FS_B | 1 << 4 | 1 << 5);
        poke64(entry_at(PLAIN, RID), 1 << 6 | 1);
        q_pasid(0, 1, DID, RID);
        assert_true(q_sync(0));
        assert_int_equal(dma_lands(PLAIN, IOVA, true), GUEST_DATA + 0x10000);
        assert_true(region_holds(FS_B | 1 << 5));
        /* What does not translate any more keeps its pointer: hardware may read an entry in halves. */
        poke64(entry_at(PLAIN, RID), 0);
        q_pasid(0, 1, DID, RID);
        assert_true(q_sync(0));
        assert_true(region_holds(FS_B | 1 << 5));
        finish();
    }
}

/* PGSNP is the guest's where the unit snoops, and means nothing elsewhere. */
static void snooped(void **state)
{
    (void)state;
    for (unsigned sc = 0; sc < 2; sc++) {
        unsigned found = 0;

        in_use_first(&(struct world_cfg){ .ecap = sc ? ECAP_NESTED : ECAP_NESTED & ~E_SC }, false);
        poke64(entry_at(PLAIN, RID) + 8, DID | 1 << 24);
        q_pasid(0, 1, DID, RID);
        assert_true(q_sync(0));
        assert_int_equal(dma_lands(PLAIN, IOVA, true), GUEST_DATA);
        for (u64 at = REGION_BASE; at < REGION_BASE + W.pages * 4096ull; at += 64)
            found += (peek64(at) & 0x1c1) == (1 | 3 << 6) && peek64(at + 8) >> 24 & 1;
        assert_int_equal(found, sc);
        finish();
    }
}

/* Two PASIDs of one domain in a batch: the guest's own flush of either is covered by what is sent for that
 * one. */
static void two_pasids_at_once(void **state)
{
    (void)state;
    in_use_first(&nested, true);
    put_pasid(ATS, 9, PGTT_FS, DID, FS_B);
    q_pasid(0, 1, DID, 9);
    assert_true(q_sync(0));
    host_clear();
    q_piotlb(0, 3, DID, RID, IOVA, 0);
    q_piotlb(0, 3, DID, 9, IOVA, 0);
    q_pdtlb(0, SID_ATS, 9, IOVA, false, false);
    assert_true(q_sync(0));
    assert_int_equal(host_count(8), 1);
    q_piotlb(0, 3, DID, RID, IOVA, 0);
    q_pdtlb(0, SID_ATS, 9, IOVA, false, false);
    assert_true(q_sync(0));
    assert_int_equal(host_count(8), 2);
    finish();
}

/* FPD of a context entry, be it present or not. */
static void no_faults_of_a_function(void **state)
{
    u64 lo, hi;

    (void)state;
    in_use_first(&nested, false);
    poke64(GUEST_CTX + SID_PLAIN * 32, 1 << 1);
    q_context(0, 3, 0, SID_PLAIN, 0);
    assert_true(q_sync(0));
    assert_int_equal(dma_lands(PLAIN, IOVA, true), ~0ull);
    world_settle();
    assert_false(guest_fault(0, &lo, &hi));
    finish();
}

/* ... and of a PASID entry that is wrong, in a table of which no entry was ever good. */
static void no_faults_of_a_pasid(void **state)
{
    u64 lo, hi;

    (void)state;
    in_use_first(&nested, false);
    poke64(PAGE(40), PAGE(41) | 1);
    poke64(PAGE(41), 1 << 9 | 1 << 1 | 1);
    poke64(GUEST_CTX + SID_PLAIN * 32, PAGE(40) | 1);
    q_context(0, 3, 0, SID_PLAIN, 0);
    q_pasid(0, 3, 0, 0);
    q_iotlb(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
    assert_int_equal(dma_lands(PLAIN, IOVA, true), ~0ull);
    world_settle();
    assert_false(guest_fault(0, &lo, &hi));
    finish();
}

/* A first-stage table below the top that is no memory of the guest's. */
static void a_table_nowhere(void **state)
{
    (void)state;
    in_use_first(&nested, false);
    poke64(FS_A, REGION_BASE | 7);
    q_piotlb(0, 2, DID, RID, 0, 0);
    assert_true(q_sync(0));
    assert_int_equal(fault_of(PLAIN, IOVA), 0x70);
    finish();
}

/* PASIDs that the unit has and our directories have not: nobody's, whatever is invalidated of them. */
static void pasids_beyond_ours(void **state)
{
    (void)state;
    in_use_first(&nested, true);
    for (u32 pasid = 1 << 14; pasid < 1 << 20; pasid <<= 1) {
        q_pasid(0, 1, DID, pasid);
        q_piotlb(0, 3, DID, pasid, IOVA, 0);
        assert_true(q_sync(0));
    }
    assert_int_equal(iqe(0), 0);
    assert_int_equal(host_count(6) + host_count(7), 0);
    finish();
}

/* Without caching mode domain-id 0 is one like others: of a first-stage table, and of a legacy entry. */
static void domain_id_0(void **state)
{
    static const struct world_cfg cfg = { .ecap = ECAP_FIRST, .direct = true, .no_caching_mode = true };

    (void)state;
    in_use_first(&cfg, false);
    put_pasid(PLAIN, RID, PGTT_FS, 0, FS_B);
    q_pasid(0, 1, DID, RID);
    q_piotlb(0, 2, 0, RID, 0, 0);
    assert_true(q_sync(0));
    assert_int_equal(dma_lands(PLAIN, IOVA, true), GUEST_DATA + 0x10000);
    finish();
    start(&cfg);
    host_clear();
    iommu_function_starts(0, SID_PLAIN); /* translation is off, as it was */
    assert_int_equal(nr_host, 0);
    guest_start();
    guest_context(SID_PLAIN, TT_PASS, 0, 0, 4);
    q_context(0, 1, 0, 0, 0);
    q_iotlb(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
    assert_int_equal(dma_lands(PLAIN, GUEST_DATA, true), GUEST_DATA);
    finish();
}

/* What a unit does not have is not announced, and an entry that asks for it is wrong. */
static void not_announced(void **state)
{
    static const struct {
        u64 ecap;
        unsigned may;
        u64 q0, q2;
        unsigned reason;
    } t[] = {
        { ECAP_ALL | E_SSTS, 0, 1 << 6 | 1, FS_A, 0x5b },
        { (ECAP_NESTED & ~E_PT), 0, 4 << 6 | 1 | 2 << 2, 0, 0x5b },
        { (ECAP_NESTED & ~E_DT), CTX_ATS, 1 << 6 | 1, FS_A, 0x42 },
        { ECAP_NESTED, CTX_PAGES, 1 << 6 | 1, FS_A, 0x42 },
        { (ECAP_NESTED & ~E_SMPWC), 0, 1 << 6 | 1, FS_A, 0 },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        start(&(struct world_cfg){
            .ecap = t[i].ecap, .scalable = true, .ats = ATS_ALL, .wait_us = 50, .quiet = true });
        guest_start();
        memset(world_mem(RAM2_BASE), 0, 64 * 4096);
        fs_tables(FS_A);
        fs_map(FS_A, IOVA, GUEST_DATA);
        poke64(DIR(PLAIN), PASIDS(PLAIN) | 1);
        poke64(entry_at(PLAIN, RID) + 8, DID);
        poke64(entry_at(PLAIN, RID) + 16, t[i].q2);
        poke64(entry_at(PLAIN, RID), t[i].q0);
        put_context(PLAIN, false);
        poke64(GUEST_CTX + SID_PLAIN * 32, peek64(GUEST_CTX + SID_PLAIN * 32) | t[i].may);
        q_context(0, 1, 0, 0, 0);
        q_pasid(0, 3, 0, 0);
        q_iotlb(0, 1, 0, 0, 0);
        assert_true(q_sync(0));
        assert_int_equal(fault_of(PLAIN, IOVA), t[i].reason);
        finish();
    }
}

/* ATS is switched on when everything else is long in place. */
static void known_late(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(both); i++) {
        in_use_first(both[i], false);
        world_ats(ATS, false);
        world_ats(ATS, true);
        assert_int_equal(dma_lands(ATS, IOVA, true), GUEST_DATA);
        model_fill_all(W.unit[0]);
        fs_map(FS_A, IOVA, 0);
        q_piotlb(0, 2, DID, RID, 0, 0);
        assert_true(q_sync(0));
        expect_gone();
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
                q_context(0, 3, 0, SID_ATS, 0);
            else
                q_pasid(0, 1, DID, RID);
            assert_true(q_sync(0));
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

/* Canonical addresses have 47 bits and a sign; a unit may have fewer. */
static void widths_without_second_stage(void **state)
{
    (void)state;
    for (u64 bits = 39; bits <= 57; bits += 9) {
        start(&(struct world_cfg){ .cap = (CAP_DEFAULT & ~(63ull << 16)) | (bits - 1) << 16,
                                   .ecap = ECAP_FIRST,
                                   .wait_us = 50,
                                   .direct = true });
        assert_int_equal(guest_read(0, R_CAP, 8) >> 16 & 63, MIN(bits, 47ull) - 1);
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
    q_pasid(0, 3, 0, 0);
    assert_true(q_sync(0));
    contained();
    world_settle();
    assert_int_equal(guest_r32(0, R_FSTS) & (FS_PPF | FS_PFO), 0); /* its tables forbid none of it */
    announced(0, R_ECAP, E_PT);
    finish();
}

/* A guest in legacy mode, whose tables are shadowed in the only format there is. */
static void legacy_guest_without_second_stage(void **state)
{
    static const struct world_cfg cfg = { .cap = CAP_DEFAULT & ~C_SAGAW(6), .ecap = ECAP_FIRST };

    (void)state;
    in_use(&cfg);
    assert_int_equal(guest_read(0, R_CAP, 8) >> 8 & 0x1f, 4);
    assert_int_equal(guest_read(0, R_CAP, 8) >> 16 & 0x3f, 46);
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

/* A function is switched on while a batch is outstanding and more is stored behind it: all of it is done. */
static void starting_a_function_beside_the_queue(void **state)
{
    static const struct world_cfg cfg = { .ecap = ECAP_FIRST,
                                          .direct = true,
                                          .no_caching_mode = true,
                                          .pace = MODEL_PACE_DELAYED,
                                          .pace_max = 200 };
    u32 a, b;

    (void)state;
    in_use_first(&cfg, false);
    q_piotlb(0, 2, DID, RID, 0, 0);
    a = q_wait(0);
    q_ring(0);
    b = q_wait(0);
    q_ring(0); /* stored only */
    assert_false(q_done(b));
    iommu_function_starts(0, SID_PLAIN);
    assert_true(q_done(a));
    world_settle(); /* the guest only looks at its memory */
    assert_true(q_done(b));
    finish();
}

static void no_caching_mode(void **state)
{
    static const struct world_cfg cfg = { .ecap = ECAP_FIRST, .direct = true, .no_caching_mode = true };

    (void)state;
    in_use_first(&cfg, false);
    assert_int_equal(guest_read(0, R_CAP, 8) & C_CM, 0);
    poke64(entry_at(PLAIN, RID), 0);
    q_pasid(0, 1, DID, RID);
    assert_true(q_sync(0));
    assert_int_equal(dma_lands(PLAIN, IOVA, true), ~0ull);
    /* present again, and nobody need say so; but before it masters the bus the driver enables it */
    put_pasid(PLAIN, RID, PGTT_FS, DID, FS_B);
    host_clear();
    iommu_function_starts(0, SID_PLAIN);
    assert_true(nr_host > 0); /* what that asks for is not left to the next batch */
    assert_int_equal(dma_lands(PLAIN, IOVA, true), GUEST_DATA + 0x10000);
    /* a function that was enabled all the time has one fault, no more */
    poke64(entry_at(PLAIN, RID), 0);
    q_pasid(0, 1, DID, RID);
    assert_true(q_sync(0));
    put_pasid(PLAIN, RID, PGTT_FS, DID, FS_A);
    host_clear();
    assert_int_equal(dma_lands(PLAIN, IOVA, true), ~0ull);
    world_settle();
    assert_true(nr_host > 0);
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

/* What was not present at one level of the tables, and is now; nobody says so. */
enum { NEW_ROOT, NEW_CONTEXT, NEW_DIRECTORY, NEW_PASID, NEW_LEVELS };

static u64 absent_at(unsigned level)
{
    u16 sid = SID_ATS;

    switch (level) {
    case NEW_ROOT:
        return GUEST_ROOT + (sid >> 8) * 16;
    case NEW_CONTEXT:
        return GUEST_CTX + (sid >> 8) * 0x1000 + (sid & 0x7f) * 32;
    case NEW_DIRECTORY:
        return DIR(ATS);
    default:
        return entry_at(ATS, RID);
    }
}

/* The moments that the driver cannot do without, when it fills an entry in without caching mode. */
enum { TE_ON, SRTP_ON, CONTEXT_FLUSH, PASID_FLUSH, MASTER_ON, ATS_ON, A_FAULT, MOMENTS };

static void moment(unsigned m)
{
    switch (m) {
    case TE_ON:
        guest_gcmd(0, G_TE, true);
        break;
    case SRTP_ON:
        guest_gcmd(0, G_SRTP, true);
        break;
    case CONTEXT_FLUSH: /* of another change, of anybody's */
        q_context(0, 1, 0, 0, 0);
        assert_true(q_sync(0));
        break;
    case PASID_FLUSH:
        q_pasid(0, 3, 0, 0);
        assert_true(q_sync(0));
        break;
    case MASTER_ON:
        iommu_function_starts(0, SID_ATS);
        break;
    case ATS_ON:
        world_ats(ATS, true);
        break;
    default: /* it was a master all the time: one request is lost */
        assert_int_equal(dma_lands(ATS, IOVA, true), ~0ull);
        world_settle();
        guest_faults_clear(0);
    }
}

static void present_without_a_flush(void **state)
{
    static const struct world_cfg without = { .ecap = ECAP_FIRST, .direct = true, .no_caching_mode = true };
    static const struct world_cfg over = { .ecap = ECAP_NESTED, .no_caching_mode = true };
    static const struct world_cfg *const cfgs[] = { &without, &over };

    (void)state;
    for (unsigned c = 0; c < ARRAY_SIZE(cfgs); c++)
        for (unsigned level = 0; level < NEW_LEVELS; level++)
            for (unsigned m = 0; m < MOMENTS; m++) {
                u64 at = absent_at(level), was;

                in_use_first(cfgs[c], false);
                was = peek64(at);
                poke64(at, 0);
                if (m == ATS_ON)
                    world_ats(ATS, false);
                q_context(0, 1, 0, 0, 0);
                q_pasid(0, 3, 0, 0);
                q_iotlb(0, 1, 0, 0, 0);
                assert_true(q_sync(0));
                if (m == TE_ON)
                    guest_gcmd(0, G_TE, false);
                else
                    only_outcome(ATS, IOVA, ~0ull);
                model_fill_all(W.unit[0]);
                guest_faults_clear(0);
                poke64(at, was);
                moment(m);
                only_outcome(ATS, IOVA, GUEST_DATA);
                assert_int_equal(dma_lands(ATS, IOVA, true), GUEST_DATA);
                /* and what goes is flushed like what has always been there */
                model_fill_all(W.unit[0]);
                poke64(at, 0);
                q_context(0, 1, 0, 0, 0);
                q_pasid(0, 3, 0, 0);
                q_piotlb(0, 2, DID, RID, 0, 0);
                assert_true(q_sync(0));
                assert_int_equal(stale(ATS, IOVA), 0);
                only_outcome(ATS, IOVA, ~0ull);
                finish();
            }
}

/* Several that lose a request at the same time are found one after the other, and none is hidden by a
 * function that faults all the time because there is nothing for it. */
static void several_faults_of_what_is_new(void **state)
{
    static const struct world_cfg cfg = { .ecap = ECAP_FIRST, .direct = true, .no_caching_mode = true };
    u64 buf = 0;

    (void)state;
    in_use_first(&cfg, false);
    for (unsigned f = 0; f < W.nr_fns; f++)
        poke64(entry_at(f, RID), 0);
    q_pasid(0, 3, 0, 0);
    assert_true(q_sync(0));
    for (unsigned f = 0; f < ATS2; f++)
        put_pasid(f, RID, PGTT_FS, DID, FS_A);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned f = 0; f < W.nr_fns; f++) /* their events are one */
            (void)model_fn_dma(W.fn[f], IOVA, 8, true, &buf);
        world_settle();
    }
    for (unsigned f = 0; f < W.nr_fns; f++)
        only_outcome(f, IOVA, f == ATS2 ? ~0ull : GUEST_DATA);
    finish();
}

static void what_is_announced(void **state)
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

/* Whoever chooses tables that nothing contains is told so. */
static void uncontained_is_said(void **state)
{
    u64 warnings[2];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        in_use_first(both[i], false);
        warnings[i] = W.warnings;
        iommu_summary();
        warnings[i] = W.warnings - warnings[i];
    }
    assert_int_equal(warnings[0], warnings[1] + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snooped),
        cmocka_unit_test(two_pasids_at_once),
        cmocka_unit_test(no_faults_of_a_function),
        cmocka_unit_test(no_faults_of_a_pasid),
        cmocka_unit_test(a_table_nowhere),
        cmocka_unit_test(pasids_beyond_ours),
        cmocka_unit_test(domain_id_0),
        cmocka_unit_test(not_announced),
        cmocka_unit_test(page_in_pasid),
        cmocka_unit_test(sizes_in_pasid),
        cmocka_unit_test(lazy_without_device_tlb),
        cmocka_unit_test(the_invalidation_call),
        cmocka_unit_test(type_2_reaches_first_stage),
        cmocka_unit_test(cm_as_the_contract),
        cmocka_unit_test(entries_judged),
        cmocka_unit_test(known_late),
        cmocka_unit_test(entry_changes_alone),
        cmocka_unit_test(widths_without_second_stage),
        cmocka_unit_test(identity_without_second_stage),
        cmocka_unit_test(pass_through_without_second_stage),
        cmocka_unit_test(legacy_guest_without_second_stage),
        cmocka_unit_test(legacy_tables_in_first_stage_format),
        cmocka_unit_test(starting_a_function_beside_the_queue),
        cmocka_unit_test(no_caching_mode),
        cmocka_unit_test(present_without_a_flush),
        cmocka_unit_test(several_faults_of_what_is_new),
        cmocka_unit_test(what_is_announced),
        cmocka_unit_test(uncontained_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
