/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * What an attack on the design found: sequences that a well-behaved guest never sends.
 */
#include "iommu/parts.h"
#include "tests/unit/world_test.h"

#define ECAP_SM   (ECAP_DEFAULT | 1ull << 43 | 1ull << 46 | 1ull << 48) /* SMTS, SSTS, SMPWC */
#define PAGE(n)   (RAM2_BASE + (n)*4096ull)
#define DIR_A     PAGE(0)
#define DIR_B     PAGE(1)
#define PASIDS    PAGE(2)
#define EMPTY_DIR PAGE(3)
#define CTX_AT    (GUEST_CTX + 0x1000) /* of SID_ATS: device 0 of bus 1 */
#define IOVA      0x5000ull

static const struct world_cfg scalable = { .ecap = ECAP_SM, .ats = ATS_ALL, .quiet = true, .wait_us = 50 };

/* --- a guest in scalable mode: 256-bit descriptors --- */

static void wide(u64 q0, u64 q1)
{
    q_push(0, q0, q1);
    q_push(0, 0, 0);
}

static bool wide_sync(void)
{
    u32 cookie = ++G.cookie;

    *(volatile u32 *)world_mem(GUEST_STATUS) = 0;
    wide(5 | WAIT_SW | (u64)cookie << 32, GUEST_STATUS);
    q_ring(0);
    for (unsigned n = 0; n < 100000 && peek32(GUEST_STATUS) != cookie; n++)
        world_run(1);
    return peek32(GUEST_STATUS) == cookie;
}

static void flush_context(void)
{
    wide(1 | 3 << 4 | (u64)SID_ATS << 32, 0);
}

static void flush_domain(void)
{
    wide(2 | 2 << 4 | 0xc0 | 5 << 16, 0);
}

static void point_at(u64 dir)
{
    poke64(CTX_AT + 8, 0);
    poke64(CTX_AT, dir | 1 << 2 | 1); /* DTE, 128 directory entries, plain requests are PASID 0 */
}

/* SID_ATS reaches guest domain 5, where IOVA is mapped, through directory A. */
static void in_use_scalable(void)
{
    start(&scalable);
    for (unsigned bus = 0; bus < 4; bus++)
        poke64(GUEST_ROOT + bus * 16, (GUEST_CTX + bus * 0x1000) | 1);
    guest_domain_init(0, 5, 4);
    guest_map(0, IOVA, GUEST_DATA, P_RW);
    poke64(DIR_A, PASIDS | 1);
    poke64(DIR_B, PASIDS | 1);
    poke64(PASIDS + 8, 5);
    poke64(PASIDS, G.dom[0].root | 2 << 6 | 2 << 2 | 1);
    point_at(DIR_A);
    guest_w64(0, R_RTADDR, GUEST_ROOT | 1 << 10);
    guest_gcmd(0, G_SRTP, true);
    guest_w64(0, R_IQT, 0);
    guest_w64(0, R_IQA, GUEST_RING | 1 << 11);
    guest_gcmd(0, G_QIE, true);
    world_ats(ATS, true);
    guest_gcmd(0, G_TE, true);
    flush_context();
    flush_domain();
    assert_true(wide_sync());
    assert_int_equal(dma_lands(ATS, IOVA, true), GUEST_DATA);
    host_clear();
}

static void devtlb_follows_a_new_directory(void **state)
{
    (void)state;
    in_use_scalable();
    flush_domain();
    assert_true(wide_sync());
    assert_true(host_dtlb(SID_ATS) > 0);

    point_at(DIR_B);
    wide(1 | 1 << 4, 0); /* global: all entries are looked at once */
    assert_true(wide_sync());
    host_clear();
    flush_domain();
    assert_true(wide_sync());
    assert_true(host_dtlb(SID_ATS) > 0);

    /* And through a time without any. */
    poke64(CTX_AT, 0);
    flush_context();
    assert_true(wide_sync());
    assert_int_equal(dma_lands(ATS, IOVA, true), ~0ull);
    point_at(DIR_A);
    flush_context();
    assert_true(wide_sync());
    host_clear();
    flush_domain();
    assert_true(wide_sync());
    assert_true(host_dtlb(SID_ATS) > 0);
}

/* Both directories say the same. While the flush is under way a cached entry leads to the old one, and what
 * was mapped all the time must not fault. */
static void an_old_directory_serves_until_the_flush(void **state)
{
    struct model_outcome o[MODEL_OUTCOMES];

    (void)state;
    in_use_scalable();
    model_set_pace(W.unit[0], MODEL_PACE_MANUAL, 0);
    W.cfg.wait_us = iommu_opts.wait_us = 0;
    model_fill_all(W.unit[0]);
    point_at(DIR_B);
    flush_context();
    q_ring(0);
    for (unsigned n = 0; n < 20; n++) {
        unsigned found = model_outcomes(W.unit[0], SID_ATS, IOVA, o, MODEL_OUTCOMES);

        for (unsigned i = 0; i < found; i++)
            assert_int_equal(o[i].status, MODEL_OK);
        world_run(1);
    }
    finish();
}

/* The context entry leads elsewhere by now, but its flush is still to come: hardware would still know the old
 * one. */
static void pasid_flush_reaches_the_cached_directory(void **state)
{
    (void)state;
    in_use_scalable();
    point_at(EMPTY_DIR);
    poke64(PASIDS, 0);
    wide(7 | 1 << 4 | 5 << 16, 0);
    flush_domain();
    assert_true(wide_sync());
    assert_int_equal(dma_lands(ATS, IOVA, true), ~0ull);
}

/* Each bit of a context entry that is reserved, in all four words of it (9.4). */
static void reserved_bits_of_a_context_entry(void **state)
{
    (void)state;
    in_use_scalable();
    for (unsigned bit = 5; bit < 256; bit++) {
        u64 at = CTX_AT + bit / 64 * 8, was = peek64(at);

        if ((bit > 8 && bit < 64 + 20) || bit == 64 + 20)
            continue; /* sizes, pointers, PASIDs, and what is announced or not */
        poke64(at, was | 1ull << bit % 64);
        flush_context();
        flush_domain();
        assert_true(wide_sync());
        if (dma_lands(ATS, IOVA, true) != ~0ull)
            fail_msg("bit %u is not refused", bit);
        poke64(at, was);
        flush_context();
        flush_domain();
        assert_true(wide_sync());
        assert_int_equal(dma_lands(ATS, IOVA, true), GUEST_DATA);
    }
}

/* Devices 16 and up have a root entry half of their own in scalable mode, also before the guest translates.
 */
static void devices_of_the_upper_half(void **state)
{
    struct world_cfg cfg = scalable;

    (void)state;
    cfg.nr_fns = 2;
    cfg.fn[0] = (struct world_fn_cfg){ 0x0018, 0, false, 0 };
    cfg.fn[1] = (struct world_fn_cfg){ 0x00e8, 0, false, 0 }; /* 00:1d.0 */
    start(&cfg);
    for (unsigned f = 0; f < 2; f++) {
        assert_int_equal(dma_lands(f, GUEST_DATA, true), GUEST_DATA);
        assert_int_equal(dma_lands(f, REGION_BASE, true), ~0ull);
    }
}

static void flood_of_single_entries_is_one_pass(void **state)
{
    (void)state;
    in_use_scalable();
    for (unsigned i = 0; i < 128; i++)
        poke64(DIR_A + i * 8, PASIDS | 1);
    flush_context();
    assert_true(wide_sync());
    W.max_guest_pages = 0;
    for (unsigned i = 0; i < 120; i++)
        flush_context();
    assert_true(wide_sync());
    assert_true(W.max_guest_pages < 10000);
    for (unsigned i = 0; i < 120; i++)
        wide(7 | 1 << 4 | 5 << 16 | (u64)i << 32, 0);
    assert_true(wide_sync());
    assert_true(W.max_guest_pages < 10000);
}

/* One domain-id with many tables is against 6.2.3.1: the first few work, the others fail closed. */
static void many_tables_under_one_id(void **state)
{
    static const struct world_cfg cfg = { .quiet = true, .wait_us = 50 };

    (void)state;
    in_use(&cfg);
    map_and_flush(0, IOVA, GUEST_DATA);
    assert_int_equal(dma_lands(PLAIN, IOVA, true), GUEST_DATA);
    guest_detach(SID_ATS2);
    q_context(0, 3, 5, SID_ATS2, 0);
    for (unsigned i = 0; i < 100; i++)
        guest_context((u16)(0x0110 + i), TT_SS, 5, PAGE(i), 4);
    q_context(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
    guest_domain_init(1, 5, 4);
    guest_map(1, IOVA, GUEST_DATA + 4096, P_RW);
    guest_attach(SID_ATS2, 1, TT_ATS_ON);
    q_context(0, 3, 5, SID_ATS2, 0);
    assert_true(q_sync(0));
    assert_int_equal(dma_lands(ATS2, IOVA, true), ~0ull);
    assert_int_equal(dma_lands(PLAIN, IOVA, true), GUEST_DATA);

    for (unsigned i = 0; i < 100; i++)
        guest_detach((u16)(0x0110 + i));
    q_context(0, 1, 0, 0, 0);
    q_iotlb(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
    q_context(0, 3, 5, SID_ATS2, 0);
    assert_true(q_sync(0));
    assert_int_equal(dma_lands(ATS2, IOVA, true), GUEST_DATA + 4096);
    finish();
}

/* Tables under one domain-id, of which one has run out of list and is flushed whole: the others still hear of
 * each page that follows. */
static void whole_flush_of_one_table_is_not_that_of_all(void **state)
{
    static const struct world_cfg cfg = { .quiet = true, .wait_us = 50 };

    (void)state;
    in_use(&cfg);
    guest_domain_init(1, 5, 4);
    guest_attach(SID_ATS2, 1, TT_SS);
    q_context(0, 3, 5, SID_ATS2, 0);
    assert_true(q_sync(0));
    map_and_flush(0, IOVA, GUEST_DATA);
    assert_int_equal(dma_lands(ATS, IOVA, true), GUEST_DATA);

    guest_unmap(0, IOVA);
    for (unsigned i = 0; i < 128; i++) /* both lists, to the end of what a batch holds */
        q_iotlb(0, 3, 5, 0x100000 + i * 0x2000ull, 0);
    guest_context(0x0110, TT_SS, 5, PAGE(4), 4); /* a third table, whose list is empty */
    q_context(0, 3, 5, 0x0110, 0);
    q_iotlb(0, 3, 5, 0x100000 + 127 * 0x2000ull + 0x1000, 0); /* whole for it, one more page for the others */
    q_iotlb(0, 3, 5, IOVA, 0);
    assert_true(q_sync(0));
    assert_int_equal(stale(PLAIN, IOVA), 0);
    assert_int_equal(stale(ATS, IOVA), 0);
    assert_int_equal(dma_lands(ATS, IOVA, true), ~0ull);
    finish();
}

/* Three pages are no aligned block: each block that they are cut into is flushed, the last one too. */
static void every_block_of_a_range(void **state)
{
    static const struct world_cfg cfg = { .quiet = true, .wait_us = 50 };

    (void)state;
    in_use(&cfg);
    for (u64 i = 0; i < 3; i++)
        map_and_flush(0, IOVA + i * 4096, GUEST_DATA + i * 4096);
    for (u64 i = 0; i < 3; i++) {
        assert_int_equal(dma_lands(PLAIN, IOVA + i * 4096, true), GUEST_DATA + i * 4096);
        guest_unmap(0, IOVA + i * 4096);
        q_iotlb(0, 3, 5, IOVA + i * 4096, 0);
    }
    assert_true(q_sync(0));
    for (u64 i = 0; i < 3; i++) {
        assert_int_equal(stale(PLAIN, IOVA + i * 4096), 0);
        assert_int_equal(stale(ATS, IOVA + i * 4096), 0);
    }
    finish();
}

/* Neighbours become one range, however large: what lies between present tables costs nothing. */
static void a_range_of_nothing_is_no_work(void **state)
{
    static const struct world_cfg cfg = { .quiet = true, .wait_us = 50 };

    (void)state;
    in_use(&cfg);
    map_and_flush(0, IOVA, GUEST_DATA);
    W.max_guest_pages = 0;
    guest_unmap(0, IOVA);
    for (u64 i = 0; i < 200; i++)
        q_iotlb(0, 3, 5, i << 30, 18);
    assert_true(q_sync(0));
    assert_true(W.max_guest_pages < 2000);
    assert_int_equal(stale(ATS, IOVA), 0);
    assert_int_equal(dma_lands(ATS, IOVA, true), ~0ull);
    finish();
}

/* A register-based flush that is written while another is under way is not done because that one is. */
static void second_context_command_is_its_own(void **state)
{
    static const struct world_cfg cfg = { .quiet = true, .pace_max = 50 };
    const u64 global = 1ull << 63 | 1ull << 61;

    (void)state;
    in_use(&cfg);
    guest_w64(0, 0x28, global);
    guest_w64(0, 0x28, global);
    if (iommu_busy())
        assert_true(guest_read(0, 0x28, 8) >> 63 || !iommu_busy());
    world_settle();
    assert_false(guest_read(0, 0x28, 8) >> 63);
    finish();
}

/* A device takes longer than Sluice waits in an exit, and the guest does something that has to wait for it:
 * that ends at Sluice's own deadline, and what waited before is done, not forgotten. */
static void waits_outlive_a_forced_batch(void **state)
{
    static const struct world_cfg cfg = {
        .quiet = true, .wait_us = 100, .ite_steps = 5000, .relax_us = 1000
    };
    u32 cookie;

    (void)state;
    in_use(&cfg);
    map_and_flush(0, IOVA, GUEST_DATA);
    model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_NEVER, 0);
    guest_unmap(0, IOVA);
    q_iotlb(0, 3, 5, IOVA, 0);
    cookie = q_wait(0);
    q_ring(0);
    assert_false(q_done(cookie));
    guest_w64(0, R_CCMD, 1ull << 63 | 1ull << 61); /* has to wait for the batch, and forces it */
    assert_true(q_done(cookie));
    assert_int_equal(guest_r32(0, R_FSTS) & FS_ITE, FS_ITE);
    assert_int_equal(guest_read(0, R_IQERCD, 8), (u64)SID_ATS << 32);
    assert_int_equal(stale(PLAIN, IOVA), 0);
    assert_int_equal(dma_lands(PLAIN, IOVA, true), ~0ull);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devtlb_follows_a_new_directory),
        cmocka_unit_test(an_old_directory_serves_until_the_flush),
        cmocka_unit_test(pasid_flush_reaches_the_cached_directory),
        cmocka_unit_test(reserved_bits_of_a_context_entry),
        cmocka_unit_test(devices_of_the_upper_half),
        cmocka_unit_test(flood_of_single_entries_is_one_pass),
        cmocka_unit_test(many_tables_under_one_id),
        cmocka_unit_test(whole_flush_of_one_table_is_not_that_of_all),
        cmocka_unit_test(every_block_of_a_range),
        cmocka_unit_test(a_range_of_nothing_is_no_work),
        cmocka_unit_test(second_context_command_is_its_own),
        cmocka_unit_test(waits_outlive_a_forced_batch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
