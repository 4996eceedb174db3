/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest in scalable mode with first-stage tables, for tests that write each entry themselves: a directory
 * and a table of 64 PASIDs for each function, and two first-stage tables that map one page.
 */
#ifndef TESTS_UNIT_WORLD_TEST_FS_H
#define TESTS_UNIT_WORLD_TEST_FS_H

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

static inline void fs_tables(u64 top)
{
    for (unsigned i = 0; i < 3; i++)
        poke64(top + i * 4096, (top + (i + 1) * 4096) | 7);
}

static inline void fs_map(u64 top, u64 iova, u64 pa)
{
    poke64(top + 3 * 4096 + (iova >> 12) * 8, pa ? pa | 7 : 0);
}

static inline u64 entry_at(unsigned f, u32 pasid)
{
    return PASIDS(f) + pasid * 64ull;
}

static inline void put_pasid(unsigned f, u32 pasid, unsigned pgtt, u16 did, u64 root)
{
    u64 at = entry_at(f, pasid);

    poke64(at, 0);
    poke64(at + 8, did);
    poke64(at + 16, pgtt == PGTT_FS ? root : 0);
    poke64(at, 1 | pgtt << 6 | (pgtt == PGTT_FS ? 0 : 2 << 2 | root));
}

static inline void put_context(unsigned f, bool pasids)
{
    u16 sid = W.cfg.fn[f].sid;
    u64 at = GUEST_CTX + (sid >> 8) * 0x1000 + (sid & 0x7f) * 32;

    poke64(at + 8, RID);
    poke64(at, DIR(f) | (W.cfg.fn[f].ats ? 1 << 2 : 0) | (pasids ? 1 << 3 : 0) | 1);
}

static inline void turn_on(void)
{
    guest_w64(0, R_RTADDR, GUEST_ROOT | 1 << 10);
    guest_gcmd(0, G_SRTP, true);
    guest_queue_on(0);
    for (unsigned f = 0; f < W.nr_fns; f++)
        if (W.cfg.fn[f].ats)
            world_ats(f, true);
    guest_gcmd(0, G_TE, true);
    q_context(0, 1, 0, 0, 0);
    q_pasid(0, 3, 0, 0);
    q_iotlb(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
    model_clear_violations(W.unit[0]);
    host_clear();
}

/* Every function reaches FS_A through its plain requests, in domain 5; IOVA is mapped there. */
static inline void in_use_first(const struct world_cfg *cfg, bool pasids)
{
    struct world_cfg c = *cfg;

    c.ats = ATS_ALL;
    c.quiet = true;
    c.wait_us = 50;
    if (W.mem) /* what an earlier world left is nobody's evidence */
        memset(world_mem(REGION_BASE), 0, REGION_MAX);
    start(&c);
    G.scalable = true;
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
static inline const char *received(void)
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

/* Is there such a quadword in Sluice's memory? */
static inline bool region_holds(u64 value)
{
    for (u64 at = REGION_BASE; at < REGION_BASE + W.pages * 4096ull; at += 8)
        if (peek64(at) == value)
            return true;
    return false;
}

static inline void expect_gone(void)
{
    for (unsigned f = 0; f < W.nr_fns; f++) {
        assert_int_equal(stale(f, IOVA), 0);
        only_outcome(f, IOVA, ~0ull);
    }
}

/* The reason that the guest is told when this DMA is blocked; 0: it is not. */
static inline unsigned fault_of(unsigned f, u64 iova)
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

#endif
