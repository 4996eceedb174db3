/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * The guest's invalidation queue: its registers, its descriptors and its waits, as hostile as they come.
 */
#include "tests/unit/world_test.h"

static void queue_at(u64 iqa, unsigned tail_bytes)
{
    guest_gcmd(0, G_QIE, false);
    guest_w64(0, R_IQT, 0);
    guest_w64(0, R_IQA, iqa);
    guest_gcmd(0, G_QIE, true);
    guest_w64(0, R_IQT, tail_bytes);
    world_settle();
}

static void clear_iqe(void)
{
    guest_w32(0, R_FSTS, FS_IQE);
    world_settle();
}

/* A wait descriptor that would write 0x5a5a to `status`. */
static void put_wait(u64 at, u64 status)
{
    poke64(at, 5 | WAIT_SW | 0x5a5aull << 32);
    poke64(at + 8, status);
}

/* Eight bytes from the middle of one register to the middle of the next: each half is where it lands. */
static void tail_written_by_half_of_a_write(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    u64 queue = guest_r32(0, R_IQA) & ~0xfffu; /* below 4 GiB */

    put_wait(queue, GUEST_STATUS);
    queue_at(queue, 0);
    guest_write(0, R_IQT - 4, 8, 0x10ull << 32);
    world_settle();
    assert_int_equal(guest_r32(0, R_IQH), 0x10);
    assert_int_equal(peek32(GUEST_STATUS), 0x5a5a);
    finish();
}

static void hostile_01_queue_base_outside_ram(void **state)
{
    static const u64 bases[] = {
        REGION_BASE, REGION_BASE + 0x3ff000, UNIT_BASE,          0xfee00000ull,        BAR_BASE, RMRR_BASE,
        RAM2_END,    0x7ffffffff000ull,      0xffffffffff000ull, 0xfffffffffffff000ull
    };

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    put_wait(REGION_BASE + 0x3ff000, GUEST_STATUS); /* a page of the region that nobody uses */
    put_wait(RMRR_BASE, GUEST_STATUS);
    for (unsigned i = 0; i < ARRAY_SIZE(bases); i++) {
        u32 before = peek32(GUEST_STATUS);

        host_clear();
        queue_at(bases[i] | (i & 7), 0x20);
        assert_int_equal(iqe(0), 2);
        assert_int_equal(guest_r32(0, R_IQH), 0);
        assert_int_equal(peek32(GUEST_STATUS), before);
        assert_int_equal(nr_host, 0);
        guest_w64(0, R_IQT, 0);
        clear_iqe();
        assert_int_equal(iqe(0), 0);
    }
    finish();
}

static void hostile_01_queue_that_crosses_the_end_of_ram(void **state)
{
    u64 base = RAM1_END - 0x1000;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    for (unsigned i = 0; i < 256; i++)
        put_wait(base + i * 16, GUEST_STATUS + 0x800 + i * 4);
    queue_at(base | 1, 0x1010); /* two pages, the second is Sluice's */
    assert_int_equal(iqe(0), 2);
    assert_int_equal(guest_r32(0, R_IQH), 0x1000);
    for (unsigned i = 0; i < 256; i++)
        assert_int_equal(peek32(GUEST_STATUS + 0x800 + i * 4), 0x5a5a);
    guest_w64(0, R_IQT, 0x1000);
    clear_iqe();
    finish();
}

static void hostile_02_every_size(void **state)
{
    u64 base = 0x100000; /* 512 KiB of ring fit below the region */

    (void)state;
    for (unsigned wide = 0; wide < 2; wide++) {
        unsigned size = 16u << wide; /* of a descriptor */

        in_use(&(struct world_cfg){ .wait_us = 100,
                                    .ecap = ECAP_DEFAULT | (wide ? E_SMTS | E_SSTS | E_SMPWC : 0) });
        for (unsigned qs = 0; qs <= 7; qs++) {
            unsigned entries = 256u << qs >> wide;

            memset(world_mem(base), 0, entries * size);
            queue_at(base | qs | wide << 11, 0);
            for (unsigned i = 0; i < entries; i++)
                put_wait(base + i * size, GUEST_STATUS + (i & 511) * 4);
            poke64(base + (entries - 1) * (u64)size, 5 | WAIT_SW | 0x1111ull << 32);
            poke64(base + (entries - 1) * (u64)size + 8, GUEST_STATUS + 0xf00);
            poke64(GUEST_STATUS + 0xf00, 0);
            /* a full ring is one entry less than there are */
            guest_w64(0, R_IQT, (entries - 1) * size);
            world_settle();
            assert_int_equal(guest_r32(0, R_IQH), (entries - 1) * size);
            assert_int_equal(peek32(GUEST_STATUS + 0xf00), 0);
            /* head == tail: nothing */
            host_clear();
            guest_w64(0, R_IQT, (entries - 1) * size);
            world_settle();
            assert_int_equal(nr_host, 0);
            /* and around the end */
            guest_w64(0, R_IQT, size);
            world_settle();
            assert_int_equal(guest_r32(0, R_IQH), size);
            assert_int_equal(peek32(GUEST_STATUS + 0xf00), 0x1111);
            assert_int_equal(iqe(0), 0);
            if (qs < 7) { /* one entry beyond the ring */
                guest_w64(0, R_IQT, entries * size);
                world_settle();
                assert_int_equal(iqe(0), 1);
                guest_w64(0, R_IQT, size);
                clear_iqe();
            }
        }
        announced(0, R_ECAP, E_QI);
        finish();
    }
}

/* Batches that begin anywhere and cross a page of the ring; more of one kind than its list holds, and then
 * the functions are flushed whole. */
static void hostile_02_batches_across_pages(void **state)
{
    u64 base = 0x100000;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    for (unsigned first = 5; first < 300; first += 37) {
        queue_at(base | 1, 0);
        for (unsigned i = 0; i < 512; i++) {
            poke64(base + i * 16, 3 | (u64)SID_ATS << 32); /* device TLB, a page each */
            poke64(base + i * 16 + 8, (u64)i << 13);
        }
        put_wait(base + 511 * 16, GUEST_STATUS + 0xf00);
        poke64(GUEST_STATUS + 0xf00, 0);
        guest_w64(0, R_IQT, first * 16);
        world_settle();
        host_clear();
        guest_w64(0, R_IQT, 0);
        world_settle();
        assert_int_equal(peek32(GUEST_STATUS + 0xf00), 0x5a5a);
        assert_int_equal(host_dtlb(SID_ATS), 511 - first > 256 ? 1 : 511 - first);
        if (511 - first > 256)
            assert_int_equal(host[0].q1, 0x7ffffffffffff001);
        for (unsigned i = first, n = 0; i < 511 && 511 - first <= 256; n++)
            if ((host[n].q0 & 0xf) == 3)
                assert_int_equal(host[n].q1, (u64)i++ << 13);
    }
    finish();
}

static void hostile_03_bad_tail(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    host_clear();
    guest_w64(0, R_IQT, 0x1000);
    assert_int_equal(iqe(0), 1);
    guest_w64(0, R_IQT, G.tail[0] * 16);
    clear_iqe();
    /* bits above 18 and below 4 are not there */
    guest_w64(0, R_IQT, 0xfffffffffff8000full | G.tail[0] * 16);
    assert_int_equal(iqe(0), 0);
    assert_int_equal(guest_read(0, R_IQT, 8), G.tail[0] * 16);
    /* 256-bit descriptors need scalable mode */
    queue_at(GUEST_RING | 1 << 11, 0x20);
    assert_int_equal(iqe(0), 5);
    guest_w64(0, R_IQT, 0);
    clear_iqe();
    assert_int_equal(nr_host, 0);
    /* with them, bit 4 is reserved, and that is said first where the tail is past the ring as well */
    static const struct {
        u32 tail;
        unsigned error;
    } bad[] = { { 0x10, 6 }, { 0xff0, 6 }, { 0x1000, 1 }, { 0x1010, 6 }, { 0x7fff0, 6 }, { 0x7ffe0, 1 } };
    in_use(&(struct world_cfg){ .wait_us = 100, .ecap = ECAP_DEFAULT | E_SMTS | E_SSTS | E_SMPWC });
    queue_at(GUEST_RING | 1 << 11, 0);
    host_clear();
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        guest_w64(0, R_IQT, bad[i].tail);
        assert_int_equal(iqe(0), bad[i].error);
        assert_int_equal(guest_read(0, R_IQH, 8), 0);
        guest_w64(0, R_IQT, 0);
        clear_iqe();
    }
    assert_int_equal(nr_host, 0);
    finish();
}

static void hostile_04_writes_at_the_wrong_time(void **state)
{
    u32 cookie;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    guest_w64(0, R_IQA, 0x100000); /* the queue is on: ignored */
    guest_w32(0, R_IQA + 4, 1);
    assert_int_equal(guest_read(0, R_IQA, 8), GUEST_RING);
    assert_true(q_sync(0));
    /* off: the tail is stored only */
    guest_gcmd(0, G_QIE, false);
    host_clear();
    guest_w64(0, R_IQT, 0x30);
    assert_int_equal(guest_r32(0, R_IQT), 0x30);
    assert_int_equal(nr_host, 0);
    guest_queue_on(0);
    /* an error stands: stored, nothing is fetched */
    q_push(0, 0xf, 0);
    q_ring(0);
    assert_int_equal(iqe(0), 3);
    cookie = q_wait(0);
    q_ring(0);
    world_settle();
    assert_false(q_done(cookie));
    assert_int_equal(guest_r32(0, R_IQH), 0);
    assert_int_equal(guest_r32(0, R_IQT), 0x20);
    /* repaired and cleared: goes on by itself */
    put_wait(GUEST_RING, GUEST_STATUS + 0xf00);
    clear_iqe();
    assert_true(q_done(cookie));
    assert_int_equal(peek32(GUEST_STATUS + 0xf00), 0x5a5a);
    assert_int_equal(iqe(0), 0);
    finish();
}

static void hostile_05_queue_off_with_work_in_it(void **state)
{
    u32 cookie;

    (void)state;
    in_use(&(struct world_cfg){ .pace = MODEL_PACE_DELAYED });
    map_and_flush(0, 0x3000, GUEST_DATA);
    guest_unmap(0, 0x3000);
    q_iotlb(0, 3, 5, 0x3000, 0);
    cookie = q_wait(0);
    q_ring(0);
    guest_gcmd(0, G_QIE, false);
    assert_int_equal(guest_r32(0, R_IQH), 0);
    assert_true(q_done(cookie)); /* it was fetched, so it completed */
    assert_int_equal(stale(PLAIN, 0x3000) | stale(ATS, 0x3000), 0);
    /* a tail is there before the queue is switched on */
    G.tail[0] = 0;
    guest_w64(0, R_IQT, 0);
    cookie = q_wait(0);
    guest_w64(0, R_IQT, 16);
    assert_false(q_done(cookie));
    guest_gcmd(0, G_QIE, true);
    world_settle();
    assert_true(q_done(cookie));
    finish();
}

/* The other vCPU's tail write arrives while a batch is outstanding. */
static void hostile_06_tail_moves_during_a_batch(void **state)
{
    u32 a, b;

    (void)state;
    in_use(&(struct world_cfg){ .pace = MODEL_PACE_MANUAL });
    q_iotlb(0, 2, 5, 0, 0);
    a = q_wait(0);
    q_ring(0);
    q_iotlb(0, 2, 5, 0, 0);
    b = q_wait(0);
    q_ring(0);
    assert_false(q_done(a));
    assert_false(q_done(b));
    world_settle();
    assert_true(q_done(a));
    assert_true(q_done(b));
    finish();
}

/* What was fetched decides, whatever another CPU writes into the ring afterwards. */
static void hostile_11_one_snapshot_decides(void **state)
{
    u32 cookie;

    (void)state;
    in_use(&(struct world_cfg){ .pace = MODEL_PACE_MANUAL });
    map_and_flush(0, 0x3000, GUEST_DATA);
    guest_unmap(0, 0x3000);
    q_iotlb(0, 3, 5, 0x3000, 0);
    cookie = q_wait(0);
    q_ring(0);
    for (unsigned i = 0; i < 16; i++)
        put_wait(GUEST_RING + i * 16, REGION_BASE);
    world_settle();
    assert_true(q_done(cookie));
    only_outcome(PLAIN, 0x3000, ~0ull);
    only_outcome(ATS, 0x3000, ~0ull);
    finish();
}

static void hostile_12_domain_ids(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    map_and_flush(0, 0x3000, GUEST_DATA);
    host_clear();
    q_iotlb(0, 2, 77, 0, 0); /* nobody's */
    q_iotlb(0, 3, 78, 0x3000, 0);
    assert_true(q_sync(0));
    assert_int_equal(host_count(1) + host_count(2) + host_count(3), 0);
    guest_unmap(0, 0x3000);
    q_iotlb(0, 3, 0x0105, 0x3000, 0); /* eight bits count: domain 5 */
    assert_true(q_sync(0));
    only_outcome(PLAIN, 0x3000, ~0ull);
    /* with caching mode, 0 is reserved */
    map_and_flush(0, 0x3000, GUEST_DATA);
    guest_context(SID_PLAIN, TT_SS, 0, G.dom[0].root, 4);
    q_context(0, 3, 0, SID_PLAIN, 0);
    assert_true(q_sync(0));
    only_outcome(PLAIN, 0x3000, ~0ull);
    only_outcome(ATS, 0x3000, GUEST_DATA);
    finish();
}

static void hostile_13_device_tlb_of_somebody_else(void **state)
{
    static const u16 sids[] = { 0x0000, SID_PLAIN, 0x00e0, 0x0900, 0xffff };

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    host_clear();
    for (unsigned i = 0; i < ARRAY_SIZE(sids); i++)
        q_dtlb(0, sids[i], DTLB_EVERYTHING);
    assert_true(q_sync(0));
    assert_int_equal(host_count(3), 0);
    /* wrong depth and wrong PFSID: ours are sent */
    q_push(0, 3 | 0xfull << 12 | 0x1full << 16 | (u64)SID_ATS2 << 32 | 0xfffull << 52, 0x3000);
    assert_true(q_sync(0));
    assert_int_equal(host_dtlb(SID_ATS2), 1);
    finish(); /* the model complains about wrong MIP and PFSID */
}

static void hostile_18_floods_are_coalesced(void **state)
{
    u64 one;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    for (unsigned i = 0; i < 64; i++)
        guest_map(0, i << 12, GUEST_DATA + (i << 12), P_RW);
    q_iotlb(0, 1, 0, 0, 0);
    W.max_guest_pages = 0;
    assert_true(q_sync(0));
    one = W.max_guest_pages;
    for (unsigned i = 0; i < 250; i++)
        switch (i % 5) {
        case 0:
            q_iotlb(0, 1, 0, 0, 0);
            break;
        case 1:
            q_iotlb(0, 2, 5, 0, 0);
            break;
        case 2:
            q_iotlb(0, 3, 5, 0, 18);
            break;
        case 3:
            q_context(0, 1, 0, 0, 0);
            break;
        default:
            q_dtlb(0, SID_ATS, DTLB_EVERYTHING);
        }
    host_clear();
    W.max_guest_pages = 0;
    assert_true(q_sync(0));
    /* one look at every context entry of four buses, and one pass over the tables */
    assert_true(W.max_guest_pages <= one + 4 * 256 * 2 + 8);
    assert_int_equal(host_count(1), 1);
    assert_int_equal(host_count(2), 1);
    assert_int_equal(host_count(3), 2);
    finish();
}

/* Ranges that come again and again, so that no two neighbours touch: walked a few times, not each time. */
static void hostile_18_ranges_again_and_again(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    guest_map(0, 0, GUEST_DATA, P_RW);
    for (unsigned i = 1; i < 512; i++) /* one table, seen 512 times */
        poke64(guest_entry(0, (u64)i << 21, 2), peek64(guest_entry(0, 0, 2)));
    q_iotlb(0, 2, 5, 0, 0);
    assert_true(q_sync(0));
    for (unsigned i = 0; i < 250; i++)
        q_iotlb(0, 3, 5, i & 1 ? 3ull << 30 : 0, 18);
    W.max_guest_pages = 0;
    assert_true(q_sync(0));
    assert_true(W.max_guest_pages < 5 * 512);
    finish();
}

static void hostile_19_status_nowhere(void **state)
{
    static const u64 at[] = { REGION_BASE,   REGION_BASE + 0x3ff000, UNIT_BASE + R_IQT, 0xfee00000ull,
                              0xfee01004ull, 0xd0000000ull,          RMRR_BASE,         BAR_BASE,
                              RAM2_END,      0xfffffffffffffffcull,  0xfffff000ull };

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    guest_w32(0, R_IEDATA, 0x41);
    guest_w32(0, R_IEADDR, 0xfee00000);
    guest_w32(0, R_IECTL, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
        u8 before[4096];
        bool backed = at[i] >= REGION_BASE && at[i] < RMRR_END;
        u64 page = at[i] & ~0xfffull;

        if (backed)
            memcpy(before, world_mem(page), 4096);
        q_wait_flags(0, WAIT_SW | WAIT_IF, 0x12345678, at[i]);
        assert_true(q_sync(0));
        assert_int_equal(iqe(0), 0);
        if (backed && page != REGION_BASE)
            assert_memory_equal(before, world_mem(page), 4096);
        assert_int_not_equal(peek32(REGION_BASE), 0x12345678);
        assert_int_equal(guest_r32(0, R_ICS), 0);
    }
    assert_int_equal(W.irqs, 0);
    finish();
}

static unsigned waits_before_status;
static void no_status_before_ours(void)
{
    if (peek32(GUEST_STATUS + 0xf00) == 0x77 && !host_count(5))
        waits_before_status = 1;
}

static void hostile_20_wait_kinds(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 8; kind++) {
        unsigned flags = (kind & 1 ? WAIT_SW : 0) | (kind & 2 ? WAIT_IF : 0) | (kind & 4 ? WAIT_FN : 0);

        in_use(&(struct world_cfg){ .pace = MODEL_PACE_MANUAL, .seed = kind });
        guest_w32(0, R_IEDATA, 0x41);
        guest_w32(0, R_IEADDR, 0xfee00000);
        guest_w32(0, R_IECTL, 0);
        W.after_exit = no_status_before_ours;
        waits_before_status = 0;
        q_iotlb(0, 2, 5, 0, 0);
        q_wait_flags(0, flags, 0x77, GUEST_STATUS + 0xf00);
        q_ring(0);
        /* nothing of the host's has completed yet */
        assert_int_equal(peek32(GUEST_STATUS + 0xf00), 0);
        assert_int_equal(W.irqs, 0);
        world_settle();
        assert_int_equal(peek32(GUEST_STATUS + 0xf00), kind & 1 ? 0x77 : 0);
        assert_int_equal(W.irqs, kind & 2 ? 1 : 0);
        assert_int_equal(guest_r32(0, R_ICS), kind & 2 ? 1 : 0);
        assert_int_equal(guest_r32(0, R_IQH), G.tail[0] * 16);
        assert_int_equal(waits_before_status, 0);
        finish();
    }
}

static void hostile_20_completion_event(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    guest_w32(0, R_IEDATA, 0x41);
    guest_w32(0, R_IEADDR, 0xfee00000);
    /* masked: pending, and told when the mask goes */
    q_wait_flags(0, WAIT_IF, 0, 0);
    q_ring(0);
    world_settle();
    assert_int_equal(W.irqs, 0);
    assert_int_equal(guest_r32(0, R_ICS), 1);
    assert_int_equal(guest_r32(0, R_IECTL), 0xc0000000);
    guest_w32(0, R_IECTL, 0);
    assert_int_equal(W.irqs, 1);
    assert_int_equal(W.irq[0].data, 0x41);
    assert_int_equal(guest_r32(0, R_IECTL), 0);
    /* IWC is still set: no second one */
    q_wait_flags(0, WAIT_IF, 0, 0);
    q_wait_flags(0, WAIT_IF, 0, 0);
    q_ring(0);
    world_settle();
    assert_int_equal(W.irqs, 1);
    guest_w32(0, R_ICS, 1);
    assert_int_equal(guest_r32(0, R_ICS), 0);
    q_wait_flags(0, WAIT_IF, 0, 0);
    q_ring(0);
    world_settle();
    assert_int_equal(W.irqs, 2);
    /* masked and cleared before the mask goes: nothing is left to tell */
    guest_w32(0, R_ICS, 1);
    guest_w32(0, R_IECTL, 1u << 31);
    q_wait_flags(0, WAIT_IF, 0, 0);
    q_ring(0);
    world_settle();
    guest_w32(0, R_ICS, 1);
    guest_w32(0, R_IECTL, 0);
    assert_int_equal(W.irqs, 2);
    finish();
}

/* A guest that never touches the unit again still sees its wait complete, whatever the unit's pace. */
static void a_guest_that_polls_memory_only(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 50; seed++) {
        u32 cookie;

        in_use(&(struct world_cfg){
            .pace = MODEL_PACE_DELAYED, .pace_max = 5, .seed = seed, .wait_us = seed % 3 });
        for (unsigned i = 0; i < 30; i++) {
            q_iotlb(0, 3, 5, 0x3000, 0);
            cookie = q_wait(0);
            q_ring(0);
        }
        for (unsigned n = 0; n < 5000 && !q_done(cookie); n++)
            world_run(1);
        assert_true(q_done(cookie));
        finish();
    }
}

/* Behind a page's flush, one reserved bit of the next descriptor, which else goes on with it or is a wait. */
static void hostile_09_in_the_usual_ones(void **state)
{
    static const struct {
        bool scalable;
        unsigned word;
        u64 bits, q0, q1;
    } next[] = {
        { false, 1, 2, 5 | WAIT_SW, GUEST_STATUS },
        { true, 1, 2, 5 | WAIT_SW, GUEST_STATUS },
        { true, 2, 1, 5 | WAIT_SW, GUEST_STATUS },
        { true, 2, 1, 2 | 3 << 4 | 0xc0 | 5 << 16, 0x4000 },
        { true, 3, 1, 2 | 3 << 4 | 0xc0 | 5 << 16, 0x8000 },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(next); i++) {
        start(&(struct world_cfg){
            .wait_us = 100, .scalable = next[i].scalable, .ecap = ECAP_DEFAULT | E_SMTS | E_SSTS | E_SMPWC });
        guest_start();
        q_iotlb(0, 3, 5, 0x3000, 0);
        u32 head = G.tail[0] * q_entry();
        q_push(0, next[i].q0, next[i].q1);
        poke64(GUEST_RING + head + next[i].word * 8,
               peek64(GUEST_RING + head + next[i].word * 8) | next[i].bits);
        q_ring(0);
        assert_int_equal(iqe(0), 4);
        assert_int_equal(guest_r32(0, R_IQH), head);
    }
}

/* The same with a driver that looks at nothing but IQH. */
static void a_guest_that_polls_iqh_only(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .pace = MODEL_PACE_MANUAL });
    for (unsigned i = 0; i < 300; i++) {
        q_iotlb(0, 3, 5, 0x3000, 0);
        q_ring(0);
        for (unsigned n = 0; n < 1000 && guest_r32(0, R_IQH) != G.tail[0] * 16; n++) {
            model_step(W.unit[0]);
            W.event_pending = false; /* events are lost on the way */
        }
        assert_int_equal(guest_r32(0, R_IQH), G.tail[0] * 16);
    }
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_09_in_the_usual_ones),
        cmocka_unit_test(tail_written_by_half_of_a_write),
        cmocka_unit_test(hostile_01_queue_base_outside_ram),
        cmocka_unit_test(hostile_01_queue_that_crosses_the_end_of_ram),
        cmocka_unit_test(hostile_02_every_size),
        cmocka_unit_test(hostile_02_batches_across_pages),
        cmocka_unit_test(hostile_03_bad_tail),
        cmocka_unit_test(hostile_04_writes_at_the_wrong_time),
        cmocka_unit_test(hostile_05_queue_off_with_work_in_it),
        cmocka_unit_test(hostile_06_tail_moves_during_a_batch),
        cmocka_unit_test(hostile_11_one_snapshot_decides),
        cmocka_unit_test(hostile_12_domain_ids),
        cmocka_unit_test(hostile_13_device_tlb_of_somebody_else),
        cmocka_unit_test(hostile_18_floods_are_coalesced),
        cmocka_unit_test(hostile_18_ranges_again_and_again),
        cmocka_unit_test(hostile_19_status_nowhere),
        cmocka_unit_test(hostile_20_wait_kinds),
        cmocka_unit_test(hostile_20_completion_event),
        cmocka_unit_test(a_guest_that_polls_memory_only),
        cmocka_unit_test(a_guest_that_polls_iqh_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
