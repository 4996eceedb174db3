/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * Second-stage tables: what the guest writes, composed with who owns each page; every size at every level;
 * pointers that lead astray; memory that runs out; units that can do less.
 */
#include "tests/unit/world_test.h"

static void flush_all(void)
{
    for (unsigned u = 0; u < W.cfg.units; u++) {
        q_iotlb(u, 2, 5, 0, 0);
        assert_true(q_sync(u));
        model_fill_all(W.unit[u]);
    }
}

static void flush_page(u64 iova)
{
    q_iotlb(0, 3, 5, iova, 0);
    assert_true(q_sync(0));
}

static void same_everywhere(u64 iova, u64 pa)
{
    for (unsigned f = 0; f < W.nr_fns; f++)
        only_outcome(f, iova, pa);
}

/* What nobody may reach, wherever it is pointed at from. */
static const u64 forbidden[] = {
    REGION_BASE,
    REGION_BASE + 0x1000,
    REGION_BASE + 0x3ff000,
    UNIT_BASE,
    0xfee00000,
    0xfec00000,
    0xe0000000,
    RAM2_END,
    TRIP_BASE,
    0xfed00000,
    0xff000000,
    0xd0000000,
    RAM3_END,
    0x3ffffffff000ull,
    0x7ffffffff000ull,
};

static void hostile_22_table_pointers(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    guest_map(0, 0x3000, GUEST_DATA, P_RW);
    flush_all();
    for (unsigned i = 0; i < ARRAY_SIZE(forbidden); i++)
        for (unsigned level = 4; level >= 2; level--) {
            u64 at = guest_entry(0, 0x3000, level), old = peek64(at);

            W.guest_pages = 0;
            poke64(at, forbidden[i] | 3);
            flush_all();
            same_everywhere(0x3000, ~0ull);
            poke64(at, old);
            flush_all();
            same_everywhere(0x3000, GUEST_DATA);
        }
    finish();
}

static void hostile_22_a_table_that_contains_itself(void **state)
{
    u64 root;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    root = G.dom[0].root;
    poke64(root, root | 3);
    flush_all();
    same_everywhere(0, root); /* as hardware would see it: four times through entry 0 */
    same_everywhere(0x1000, ~0ull);
    /* every entry: more tables than there is memory, and work that is bounded by memory */
    for (unsigned i = 0; i < 512; i++)
        poke64(root + i * 8, root | 3);
    W.max_guest_pages = 0;
    flush_all();
    assert_true(W.max_guest_pages < 512 * 1024);
    for (unsigned i = 0; i < 512; i++)
        poke64(root + i * 8, 0);
    flush_all();
    map_and_flush(0, 0x3000, GUEST_DATA);
    same_everywhere(0x3000, GUEST_DATA);
    finish();
}

static void hostile_23_leaves_that_point_at_us(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    for (unsigned i = 0; i < ARRAY_SIZE(forbidden); i++) {
        guest_map(0, 0x3000, forbidden[i], P_RW);
        flush_page(0x3000);
        model_fill_all(W.unit[0]);
        same_everywhere(0x3000, ~0ull);
        assert_int_equal(dma_lands(PLAIN, 0x3000, true), ~0ull);
        assert_int_equal(dma_lands(ATS, 0x3000, true), ~0ull);
    }
    /* what is not RAM but a device's is fine */
    guest_map(0, 0x3000, BAR_BASE + 0x1000, P_RW);
    guest_map(0, 0x4000, RMRR_BASE, P_RW);
    flush_all();
    same_everywhere(0x3000, BAR_BASE + 0x1000);
    same_everywhere(0x4000, RMRR_BASE);
    finish();
}

static void hostile_25_torn_entries(void **state)
{
    u64 at = GUEST_CTX + SID_PLAIN * 16;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    map_and_flush(0, 0x3000, GUEST_DATA);
    guest_domain_init(1, 6, 3);
    guest_map(1, 0x3000, GUEST_DATA + 0x1000, P_RW);
    poke64(at + 8, 1 | 6 << 8); /* the upper half of the new entry, the lower half of the old one */
    q_context(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
    model_fill_all(W.unit[0]);
    poke64(at, G.dom[1].root | 1);
    q_context(0, 3, 6, SID_PLAIN, 0);
    q_iotlb(0, 2, 6, 0, 0);
    assert_true(q_sync(0));
    only_outcome(PLAIN, 0x3000, GUEST_DATA + 0x1000);
    only_outcome(ATS, 0x3000, GUEST_DATA);
    finish();
}

static void hostile_26_a_guest_that_never_invalidates(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .speculate = 4 });
    map_and_flush(0, 0x3000, GUEST_DATA);
    for (unsigned i = 0; i < ARRAY_SIZE(forbidden); i++) {
        guest_map(0, 0x3000, forbidden[i], P_RW);
        guest_context(SID_PLAIN, TT_SS, 5, forbidden[i], 4);
        guest_context(SID_ATS, TT_PASS, 5, forbidden[i], 4);
        model_fill_all(W.unit[0]);
        world_run(20);
        only_outcome(PLAIN, 0x3000, GUEST_DATA);
        only_outcome(ATS, 0x3000, GUEST_DATA);
        for (unsigned f = 0; f < W.nr_fns; f++)
            assert_int_equal(dma_lands(f, forbidden[i], true), ~0ull);
    }
    finish();
}

static void hostile_28_superpages(void **state)
{
    u64 last;

    (void)state;
    for (unsigned levels = 3; levels <= 5; levels++) {
        in_use(&(struct world_cfg){ .wait_us = 100,
                                    .cap = (CAP_DEFAULT & ~C_SAGAW(6)) | C_SAGAW(1 << (levels - 2)) });
        announced(0, R_CAP, C_SAGAW(1 << (levels - 2)) | C_SSLPS(3) | 47ull << 16);
        /* 2M of guest memory */
        guest_map_level(0, 0x200000, RAM2_BASE, P_RW, 2);
        /* 2M of ours */
        guest_map_level(0, 0x400000, REGION_BASE, P_RW, 2);
        /* 2M half of which nobody owns, with firmware's region in it */
        guest_map_level(0, 0x600000, 0xa00000, P_RW, 2);
        /* 1G over everything, and 1G of guest memory */
        guest_map_level(0, 0x40000000, 0, P_R, 3);
        guest_map_level(0, 0x80000000, RAM3_BASE, P_RW, 3);
        /* the last page that table and unit know of */
        last = (1ull << MIN(12 + 9 * levels, 48)) - 4096;
        guest_map(0, last, GUEST_DATA, P_RW);
        flush_all();
        for (u64 p = 0; p < 512; p += 37) {
            same_everywhere(0x200000 + (p << 12), RAM2_BASE + (p << 12));
            same_everywhere(0x400000 + (p << 12), ~0ull);
            same_everywhere(0x600000 + (p << 12), p < 16 ? 0xa00000 + (p << 12) : ~0ull);
        }
        for (u64 pa = 0; pa < 0x1000000; pa += 0x1f000)
            same_everywhere(0x40000000 + pa, world_allowed(pa) ? pa : ~0ull);
        for (u64 at = 0; at < 0x40000000; at += 0x3fff000)
            same_everywhere(0x80000000 + at, RAM3_BASE + at);
        same_everywhere(last, GUEST_DATA);
        assert_int_equal(dma_lands(PLAIN, 0x40000000 + GUEST_DATA, true), ~0ull); /* it is read-only */
        finish();
    }
}

/* Whatever size was there before and comes after: one flush of one page of it makes all of it new. */
static void hostile_28_superpages_change(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    model_watch(W.unit[0], 0x40000000, 64);
    for (unsigned from = 0; from < 5; from++)
        for (unsigned to = 0; to < 5; to++) {
            u64 base = 0x40000000;
            u64 pa[2];

            for (unsigned n = 0; n < 2; n++) {
                unsigned kind = n ? to : from;
                u64 data = n ? 0x100000 : GUEST_DATA;

                poke64(guest_entry(0, base, 3), 0);
                G.nr_tables = 8; /* fresh tables every time, not those of the last one */
                pa[n] = data;
                switch (kind) {
                case 0: /* nothing */
                    pa[n] = ~0ull;
                    break;
                case 1:
                    for (unsigned i = 0; i < 64; i++)
                        guest_map(0, base + (i << 12), data + (i << 12), P_RW);
                    break;
                case 2: /* 2M that is all the guest's */
                    pa[n] = n ? RAM2_BASE : 0;
                    guest_map_level(0, base, pa[n], P_RW, 2);
                    break;
                case 3: /* 1G with ours in the middle */
                    pa[n] = 0;
                    guest_map_level(0, base, 0, P_RW, 3);
                    break;
                case 4: /* 1G */
                    pa[n] = RAM3_BASE;
                    guest_map_level(0, base, RAM3_BASE, P_RW, 3);
                    break;
                }
                if (n && from >= 2) {
                    /* One large page is one translation: any page of it stands for all. */
                    q_iotlb(0, 3, 5, base + 0x7000, 0);
                    assert_true(q_sync(0));
                    for (unsigned i = 0; i < 64; i += 9)
                        for (unsigned f = 0; f < W.nr_fns; f++)
                            if (to == 0 || to >= 2)
                                only_outcome(f, base + (i << 12), pa[1] == ~0ull ? ~0ull : pa[1] + (i << 12));
                    if (from >= 3 && to != 3 && to != 4) /* and the far end of it */
                        same_everywhere(base + 0x600000, ~0ull);
                    same_everywhere(base + 0x7000, pa[1] == ~0ull ? ~0ull : pa[1] + 0x7000);
                }
                flush_all();
                for (unsigned i = 0; i < 64; i += 9)
                    same_everywhere(base + (i << 12), pa[n] == ~0ull ? ~0ull : pa[n] + (i << 12));
            }
        }
    announced(0, R_CAP, C_SSLPS(3));
    finish();
}

/* Flushes of pages that follow each other are one request, to its last page, whatever else is in the batch.
 */
static void a_run_beside_others(void **state)
{
    (void)state;
    for (unsigned length = 2; length < 8; length++)
        for (unsigned am = 0; am < 3; am++)
            for (unsigned before = 0; before < 2; before++) {
                u64 first = 0x10, pages = (u64)length << am;

                in_use(&(struct world_cfg){ .wait_us = 100 });
                for (u64 page = first; page < first + pages; page++)
                    guest_map(0, page << 12, GUEST_DATA, P_RW);
                flush_all();
                model_fill_all(W.unit[0]);
                for (u64 page = first; page < first + pages; page++)
                    guest_unmap(0, page << 12);
                if (before)
                    q_iotlb(0, 3, 9, 0x3000, 0); /* nobody's */
                for (unsigned n = 0; n < length; n++)
                    q_iotlb(0, 3, 5, (first + ((u64)n << am)) << 12, am);
                if (!before)
                    q_iotlb(0, 3, 9, 0x3000, 0);
                assert_true(q_sync(0));
                for (u64 page = first; page < first + pages; page++)
                    same_everywhere(page << 12, ~0ull);
                finish();
            }
}

/* DMA that is on its way to a page has landed, or has read, when the flush of the page is done, whether the
 * guest asked for that (DW, DR) or not. */
static void requests_under_way_are_drained(void **state)
{
    u64 buf = 0x77;
    struct model_flight flight[4];

    (void)state;
    for (unsigned asked = 0; asked < 4; asked++)
        for (unsigned g = 1; g <= 3; g++) {
            in_use(&(struct world_cfg){ .wait_us = 100 });
            announced(0, R_CAP, C_DRAIN);
            map_and_flush(0, 0x3000, GUEST_DATA);
            model_fn_dma_begin(W.fn[PLAIN], 0x3000, 8, true, &buf);
            model_fn_dma_begin(W.fn[PLAIN], 0x3008, 8, false, NULL);
            assert_int_equal(model_inflight(W.unit[0], flight, 4), 2);
            guest_unmap(0, 0x3000);
            q_push(0, 2 | g << 4 | asked << 6 | 5ull << 16, g == 3 ? 0x3000 : 0);
            assert_true(q_sync(0));
            assert_int_equal(model_inflight(W.unit[0], flight, 4), 0);
            assert_int_equal(peek64(GUEST_DATA), 0x77);
            finish();
        }
}

/* Permissions hold at every level. */
/* SNP of a leaf is the guest's where the unit snoops, and reserved elsewhere. A read of no bytes needs no
 * right to read (ZLR). */
static void snooping_and_reads_of_nothing(void **state)
{
    (void)state;
    for (unsigned sc = 0; sc < 2; sc++)
        for (unsigned zlr = 0; zlr < 2; zlr++) {
            struct model_req nothing = { .sid = SID_PLAIN, .addr = 0x3000 };

            in_use(&(struct world_cfg){ .wait_us = 100,
                                        .cap = CAP_DEFAULT & ~(zlr ? 0 : 1ull << 22),
                                        .ecap = ECAP_DEFAULT & ~(sc ? 0 : E_SC) });
            guest_map(0, 0x3000, GUEST_DATA, P_W);
            poke64(guest_entry(0, 0x3000, 1), GUEST_DATA | P_W | 1 << 11);
            flush_page(0x3000);
            assert_int_equal(dma_lands(PLAIN, 0x3000, true), sc ? GUEST_DATA : ~0ull);
            assert_int_equal(dma_lands(PLAIN, 0x3000, false), ~0ull);
            assert_int_equal(model_dma(W.unit[0], &nothing, NULL).status == MODEL_OK, sc && zlr);
            announced(0, R_CAP, (u64)zlr << 22);
            announced(0, R_ECAP, sc ? E_SC : 0);
            assert_int_equal(guest_read(0, R_CAP, 8) >> 22 & 1, zlr);
            finish();
        }
}

static void permissions(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    guest_map(0, 0x3000, GUEST_DATA, P_RW);
    for (unsigned level = 1; level <= 4; level++)
        for (unsigned perm = 0; perm < 4; perm++) {
            u64 at = guest_entry(0, 0x3000, level), old = peek64(at);

            poke64(at, (old & ~3ull) | perm);
            flush_page(0x3000);
            model_fill_all(W.unit[0]);
            assert_int_equal(dma_lands(PLAIN, 0x3000, false), perm & P_R ? GUEST_DATA : ~0ull);
            assert_int_equal(dma_lands(PLAIN, 0x3000, true), perm & P_W ? GUEST_DATA : ~0ull);
            assert_int_equal(dma_lands(ATS, 0x3000, true), perm & P_W ? GUEST_DATA : ~0ull);
            poke64(at, old);
            flush_page(0x3000);
            model_fill_all(W.unit[0]);
            assert_int_equal(dma_lands(ATS, 0x3000, true), GUEST_DATA);
        }
    finish();
}

/* A flush of a range covers every page of it, whatever its size; pages beside it are left as they were. */
static void ranges_of_every_size(void **state)
{
    (void)state;
    for (unsigned psi = 0; psi < 2; psi++) {
        in_use(&(struct world_cfg){ .wait_us = 100, .cap = CAP_DEFAULT & ~(psi ? 0 : C_PSI) });
        announced(0, R_CAP, C_MAMV(18) | (psi ? C_PSI : 0));
        announced(0, R_ECAP, E_C); /* tables change, and nobody writes them back */
        for (unsigned am = 0; am <= 9; am++)
            for (unsigned at = 0; at < 512; at += 61) {
                unsigned first = at & ~((1u << am) - 1), last = first + (1u << am) - 1;

                for (unsigned i = 0; i < 512; i++)
                    guest_map(0, i << 12, GUEST_DATA + (u64)(i % 64 << 12), P_RW);
                flush_all();
                model_fill(W.unit[0], SID_ATS, 0, 512);
                for (unsigned i = first; i <= last; i++)
                    guest_map(0, i << 12, GUEST_DATA + 0x40000 + (u64)(i % 64 << 12), P_RW);
                q_iotlb(0, 3, 5, (u64)at << 12, am);
                assert_true(q_sync(0));
                for (unsigned i = first; i <= last; i += 1 + (last - first) / 8) {
                    only_outcome(ATS, i << 12, GUEST_DATA + 0x40000 + (u64)(i % 64 << 12));
                    only_outcome(PLAIN, i << 12, GUEST_DATA + 0x40000 + (u64)(i % 64 << 12));
                }
            }
        finish();
    }
}

/* Ranges of a gigabyte each, upwards and downwards, more pages than are looked at one by one. */
static void large_ranges_are_merged(void **state)
{
    (void)state;
    for (unsigned down = 0; down < 2; down++) {
        in_use(&(struct world_cfg){ .wait_us = 100 });
        for (unsigned n = 0; n < 2; n++) {
            for (u64 i = 0; i < 6; i++)
                guest_map(0, i << 31 | 0x3000, GUEST_DATA + (n << 15) + (i << 12), P_RW);
            for (u64 i = 0; i < 6; i++)
                q_iotlb(0, 3, 5, (down ? 5 - i : i) << 31, 18);
            assert_true(q_sync(0));
            for (u64 i = 0; i < 6; i++) {
                model_fill(W.unit[0], SID_ATS, i << 31, 16);
                same_everywhere(i << 31 | 0x3000, GUEST_DATA + (n << 15) + (i << 12));
            }
        }
        finish();
    }
}

static void hostile_43_memory_runs_out(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .pages = 340 });
    map_and_flush(0, 0x3000, GUEST_DATA);
    /* a second domain that wants a table for each of many 2M */
    guest_domain_init(1, 6, 4);
    guest_attach(SID_PLAIN, 1, TT_SS);
    guest_map(1, 0x3000, GUEST_DATA + 0x1000, P_RW);
    for (unsigned i = 1; i < 512; i++)
        poke64(guest_entry(1, (u64)i << 21, 2), peek64(guest_entry(1, 0, 2))); /* the same table, shared */
    /* and one large page, which is to be a table when there is no memory for that */
    poke64(guest_entry(1, 1ull << 21, 2), RAM2_BASE | P_RW | 1 << 7);
    q_context(0, 3, 6, SID_PLAIN, 0);
    q_iotlb(0, 2, 6, 0, 0);
    W.warnings = 0;
    assert_true(q_sync(0));
    assert_int_equal(W.warnings, 1); /* one line */
    only_outcome(PLAIN, 0x3000, GUEST_DATA + 0x1000);
    only_outcome(PLAIN, (511ull << 21) | 0x3000, ~0ull);
    only_outcome(ATS, 0x3000, GUEST_DATA); /* nobody else is affected */
    dma_lands(PLAIN, (511ull << 21) | 0x3000, true);
    world_deliver();
    assert_int_equal(guest_r32(0, R_FSTS), FS_PPF);
    only_outcome(PLAIN, (1ull << 21) | 0x3000, RAM2_BASE + 0x3000);
    poke64(guest_entry(1, 1ull << 21, 2), peek64(guest_entry(1, 0, 2)));
    q_iotlb(0, 2, 6, 0, 0);
    assert_true(q_sync(0));
    only_outcome(PLAIN, (1ull << 21) | 0x3000, ~0ull); /* not as the table says, but nor as it was */
    /* Sluice itself keeps something */
    assert_true(W.pages - W.bump + W.free_pages >= 200);
    /* the guest gives some back: there is room again */
    for (unsigned i = 1; i < 512; i++)
        poke64(guest_entry(1, (u64)i << 21, 2), 0);
    q_iotlb(0, 2, 6, 0, 0);
    assert_true(q_sync(0));
    guest_map(1, 5ull << 21, GUEST_DATA + 0x2000, P_RW);
    q_iotlb(0, 3, 6, 5ull << 21, 0);
    assert_true(q_sync(0));
    only_outcome(PLAIN, 5ull << 21, GUEST_DATA + 0x2000);
    finish();
}

/* As many domains as there are ids, each with a table of its own: the reserve is not theirs either. */
static void hostile_43_domains_use_up_no_reserve(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .pages = 360, .cap = (CAP_DEFAULT & ~7ull) | C_ND(6) });
    map_and_flush(0, 0x3000, GUEST_DATA);
    for (unsigned i = 0; i < 256; i++)
        guest_context(0x0300 | i, TT_SS, (u16)(100 + i), GUEST_DATA + (i % 64) * 0x1000, 4);
    q_context(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
    assert_true(W.pages - W.bump + W.free_pages >= 200);
    same_everywhere(0x3000, GUEST_DATA);
    finish();
}

/* --- units that can do less --- */

static void life(const struct world_cfg *cfg)
{
    in_use(cfg);
    for (unsigned round = 0; round < 20; round++) {
        u64 iova = (round % 5) << 12, pa = GUEST_DATA + (round << 12);

        map_and_flush(0, iova, pa);
        same_everywhere(iova, pa);
        guest_unmap(0, iova);
        for (unsigned u = 0; u < W.cfg.units; u++) {
            q_iotlb(u, 3, 5, iova, 0);
            assert_true(q_sync(u));
        }
        same_everywhere(iova, ~0ull);
        for (unsigned f = 0; f < W.nr_fns; f++) {
            unsigned u = W.cfg.fn[f].unit;

            guest_detach(W.cfg.fn[f].sid);
            q_context(u, 3, 5, W.cfg.fn[f].sid, 0);
            q_iotlb(u, 2, 5, 0, 0);
            assert_true(q_sync(u));
            only_outcome(f, iova, ~0ull);
            guest_attach(W.cfg.fn[f].sid, 0, TT_SS);
            q_context(u, 3, 5, W.cfg.fn[f].sid, 0);
            q_iotlb(u, 2, 5, 0, 0);
            assert_true(q_sync(u));
        }
    }
    guest_gcmd(0, G_TE, false);
    if (W.cfg.units == 1)
        same_everywhere(GUEST_DATA, GUEST_DATA);
    guest_gcmd(0, G_TE, true);
    finish();
}

static void hostile_35_lesser_units(void **state)
{
    static const struct {
        u64 cap_off, cap_on, ecap_off, ecap_on;
    } units[] = {
        { 0, 0, 0, 0 },
        { 0, 0, E_C, 0 },      /* walks are not coherent */
        { 0, C_RWBF, 0, 0 },   /* write buffers */
        { 0, C_RWBF, E_C, 0 }, /* both */
        { 0, C_ESRTPS, 0, 0 }, /* the root pointer flushes by itself */
        { 0, C_CM, 0, 0 },     /* an emulator below us */
        { 0, C_CM, E_C, 0 },
        { C_PSI | C_MAMV(63), 0, 0, 0 },
        { C_MAMV(63), C_MAMV(1), 0, 0 },
        { C_SAGAW(6), C_SAGAW(2), 0, 0 }, /* 3 levels */
        { C_SAGAW(6), C_SAGAW(4), 0, 0 },
        { C_SSLPS(3), 0, 0, 0 },
        { C_SSLPS(3), C_SSLPS(1), 0, 0 },
        { 7, C_ND(0), 0, 0 }, /* 16 domain-ids */
        { 7, C_ND(6), 0, 0 },
        { 0, 0, E_DT, 0 },
        { 0, 0, E_PT | E_SC, 0 },
        { C_DRAIN, 0, 0, 0 },
        { 0xffull << 40, C_NFR(1), 0, 0 },
        { 0, 0, 0, E_DIT },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(units); i++)
        for (unsigned pace = MODEL_PACE_AT_ONCE; pace <= MODEL_PACE_MANUAL; pace++) {
            struct world_cfg cfg = { .cap = (CAP_DEFAULT & ~units[i].cap_off) | units[i].cap_on,
                                     .ecap = (ECAP_DEFAULT & ~units[i].ecap_off) | units[i].ecap_on,
                                     .pace = (u8)pace,
                                     .wait_us = pace == MODEL_PACE_DELAYED ? 3 : 0,
                                     .speculate = 1,
                                     .seed = i };

            life(&cfg);
            cfg.units = 2;
            life(&cfg);
        }
}

static void hostile_35_units_that_cannot_be_used(void **state)
{
    static const struct {
        u64 cap, ecap;
    } units[] = {
        { CAP_DEFAULT, ECAP_DEFAULT & ~E_QI },
        { CAP_DEFAULT & ~C_SAGAW(6), ECAP_DEFAULT },
        { CAP_DEFAULT | 7, ECAP_DEFAULT },
        { ~0ull, ~0ull },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(units); i++) {
        assert_int_not_equal(
            world_start(&(struct world_cfg){ .cap = units[i].cap, .ecap = units[i].ecap, .wait_us = 100 }),
            0);
        assert_true(W.warnings == 1);                              /* one clear line */
        assert_int_equal(model_reg_read(W.unit[0], R_GSTS, 4), 0); /* and nothing was touched */
        assert_true(world_ok());
    }
}

/* A unit that does not snoop must never take what was in memory before for a table of ours. */
static void hostile_35_memory_that_was_not_written_back(void **state)
{
    (void)state;
    for (unsigned buffered = 0; buffered < 2; buffered++) {
        u64 buf = 0;

        in_use(&(struct world_cfg){ .wait_us = 100,
                                    .pages = 400,
                                    .ecap = ECAP_DEFAULT & ~E_C,
                                    .cap = CAP_DEFAULT | (buffered ? C_RWBF : 0) });
        for (unsigned bus = 0; bus < 5; bus++)
            for (unsigned devfn = 0; devfn < 256; devfn++) {
                struct model_req r = {
                    .sid = (u16)(bus << 8 | devfn), .addr = 0x3000, .len = 8, .write = true
                };

                assert_int_equal(model_dma(W.unit[0], &r, &buf).status, MODEL_BLOCKED);
            }
        map_and_flush(0, 0x3000, GUEST_DATA);
        for (unsigned i = 0; i < 512; i++)
            only_outcome(ATS, i << 12, i == 3 ? GUEST_DATA : ~0ull);
        finish();
    }
}

/* The identity map of a guest without translation, and of its pass-through devices. */
static void hostile_45_dma_aimed_at_the_machine(void **state)
{
    (void)state;
    for (unsigned pass = 0; pass < 2; pass++) {
        if (pass) {
            in_use(&(struct world_cfg){ .wait_us = 100 });
            guest_context(SID_PLAIN, TT_PASS, 9, 0, 4);
            q_context(0, 3, 9, SID_PLAIN, 0);
            q_iotlb(0, 2, 9, 0, 0);
            assert_true(q_sync(0));
        } else {
            start(&(struct world_cfg){ .wait_us = 100, .ats = ATS_ALL });
        }
        for (unsigned i = 0; i < ARRAY_SIZE(forbidden); i++)
            assert_int_equal(dma_lands(PLAIN, forbidden[i], true), ~0ull);
        /* No table of the guest's says anything against it: it is not told, Sluice's log is. */
        world_settle();
        assert_int_equal(guest_r32(0, R_FSTS) & (FS_PPF | FS_PFO), 0);
        assert_non_null(strstr(W.last_log, "blocked DMA write of 00:03.0"));
        for (u64 pa = 0; pa < 0x1000000; pa += 0x1000)
            only_outcome(PLAIN, pa, world_allowed(pa) ? pa : ~0ull);
        only_outcome(PLAIN, BAR_BASE, BAR_BASE);
        only_outcome(PLAIN, RAM3_BASE + 0x123456000 % 0x40000000, RAM3_BASE + 0x123456000 % 0x40000000);
        /* A device that nobody knows, on a bus that nobody saw. */
        struct model_req r = { .sid = 0x7b31, .addr = GUEST_DATA, .len = 8, .write = true };
        u64 buf = 1;
        struct model_result got = model_dma(W.unit[0], &r, &buf);
        assert_int_equal(got.status, pass ? MODEL_BLOCKED : MODEL_OK);
        r.addr = REGION_BASE;
        assert_int_equal(model_dma(W.unit[0], &r, &buf).status, MODEL_BLOCKED);
        r.at = MODEL_TRANSLATED;
        assert_int_equal(model_dma(W.unit[0], &r, &buf).status, MODEL_BLOCKED);
        finish();
    }
}

/* A BAR moves or is switched off: what was open is closed when the call returns, everywhere. */
static void dma_ranges_change(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .pace = MODEL_PACE_DELAYED, .wait_us = 0 });
    guest_context(SID_PLAIN, TT_PASS, 9, 0, 4);
    q_context(0, 3, 9, SID_PLAIN, 0);
    guest_map(0, 0x3000, BAR_BASE, P_RW);
    model_watch(W.unit[0], BAR_BASE, 16);
    flush_all();
    model_fill_all(W.unit[0]);
    only_outcome(ATS, 0x3000, BAR_BASE);
    only_outcome(PLAIN, BAR_BASE, BAR_BASE);
    W.bar_off = true;
    iommu_dma_changed(BAR_BASE, BAR_END - BAR_BASE);
    only_outcome(ATS, 0x3000, ~0ull);
    only_outcome(PLAIN, BAR_BASE, ~0ull);
    only_outcome(PLAIN, GUEST_DATA, GUEST_DATA);
    W.bar_off = false;
    iommu_dma_changed(BAR_BASE, BAR_END - BAR_BASE);
    only_outcome(ATS, 0x3000, BAR_BASE);
    only_outcome(PLAIN, BAR_BASE, BAR_BASE);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_22_table_pointers),
        cmocka_unit_test(hostile_22_a_table_that_contains_itself),
        cmocka_unit_test(hostile_23_leaves_that_point_at_us),
        cmocka_unit_test(hostile_25_torn_entries),
        cmocka_unit_test(hostile_26_a_guest_that_never_invalidates),
        cmocka_unit_test(hostile_28_superpages),
        cmocka_unit_test(hostile_28_superpages_change),
        cmocka_unit_test(permissions),
        cmocka_unit_test(a_run_beside_others),
        cmocka_unit_test(requests_under_way_are_drained),
        cmocka_unit_test(snooping_and_reads_of_nothing),
        cmocka_unit_test(ranges_of_every_size),
        cmocka_unit_test(large_ranges_are_merged),
        cmocka_unit_test(hostile_43_memory_runs_out),
        cmocka_unit_test(hostile_43_domains_use_up_no_reserve),
        cmocka_unit_test(hostile_35_lesser_units),
        cmocka_unit_test(hostile_35_memory_that_was_not_written_back),
        cmocka_unit_test(hostile_35_units_that_cannot_be_used),
        cmocka_unit_test(hostile_45_dma_aimed_at_the_machine),
        cmocka_unit_test(dma_ranges_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
