/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's driver: tables, queue, registers.
 */
#include <string.h>

#include "tests/world/guest.h"

struct guest G;

#define PRESENT 3ull
#define LARGE   (1ull << 7)
#define ADDRESS 0x000ffffffffff000ull

void guest_gcmd(unsigned u, u32 bit, bool on)
{
    u32 sts = guest_r32(u, R_GSTS) & 0x96ffffff;

    guest_w32(u, R_GCMD, on ? sts | bit : sts & ~bit);
    for (unsigned n = 0; n < 100000; n++) {
        if (!(guest_r32(u, R_GSTS) & bit) == !on)
            return;
        world_run(1);
    }
    world_fail("GSTS never shows %x %s", bit, on ? "on" : "off");
}

void guest_queue_on(unsigned u)
{
    guest_w64(u, R_IQT, 0);
    guest_w64(u, R_IQA, (GUEST_RING + u * 0x4000) | (G.scalable ? 1 << 11 | 1 : 0)); /* 256 entries */
    G.tail[u] = 0;
    guest_gcmd(u, G_QIE, true);
}

/* --- scalable mode: for each function two directories with two tables of PASIDs below each --- */

static u64 directory(unsigned f, unsigned dir)
{
    return GUEST_PASIDS + (f * 2 + dir) * 0x3000;
}

u64 guest_tables_end(void)
{
    return G.scalable ? directory(W.nr_fns, 0) : GUEST_PASIDS;
}

static void link_pasid_tables(void)
{
    for (unsigned f = 0; f < W.nr_fns && f < MAX_SCALABLE_FNS; f++)
        for (unsigned dir = 0; dir < 2; dir++)
            for (unsigned i = 0; i < 2; i++)
                poke64(directory(f, dir) + 8 * i, (directory(f, dir) + 0x1000 * (i + 1)) | 1);
}

u32 guest_pasid(unsigned slot)
{
    return slot == 0 ? G.rid_pasid : slot == 1 ? 1 : 65; /* the last one is in the second table */
}

void guest_pasid_entry(unsigned f, unsigned dir, unsigned slot, int d)
{
    u64 at = directory(f, dir) + 0x1000 + guest_pasid(slot) * 64ull;
    const struct guest_domain *dom = &G.dom[MAX(d, 0)];

    poke64(at, 0);
    if (d == GUEST_NONE) {
        poke64(at + 8, 0);
        poke64(at + 16, 0);
        return;
    }
    poke64(at + 8, d == GUEST_PASS ? 9 : dom->did);
    poke64(at + 16, d >= 0 && dom->first ? dom->root : 0);
    if (d == GUEST_PASS)
        poke64(at, 1 | 4 << 6 | (dom->levels - 2u) << 2);
    else if (dom->first)
        poke64(at, 1 | 1 << 6);
    else
        poke64(at, 1 | 2 << 6 | (dom->levels - 2u) << 2 | dom->root);
}

void guest_sm_context(unsigned f, int dir, unsigned may)
{
    u16 sid = W.cfg.fn[f].sid;
    u64 at = (sid & 0x80 ? GUEST_CTX_UPPER : GUEST_CTX) + (sid >> 8) * 0x1000 + (sid & 0x7f) * 32;

    poke64(at, 0);
    poke64(at + 8, G.rid_pasid);
    if (dir >= 0)
        poke64(at, directory(f, (unsigned)dir) | (G.slots > 1 ? 1 << 3 : 0) | may | 1);
}

void guest_page_queue(unsigned u)
{
    guest_w64(u, R_PQH, 0);
    guest_w64(u, R_PQT, 0);
    guest_w64(u, R_PQA, GUEST_PQ + u * 0x1000);
    guest_w32(u, R_PRS, PRS_PENDING | PRS_OVERFLOW);
    guest_w32(u, R_PEDATA, 0x45);
    guest_w32(u, R_PEADDR, 0xfee00000);
    guest_w32(u, R_PECTL, 0);
}

/* --- interrupt remapping: one table for all units --- */

void guest_irte(unsigned index, u64 lo, u64 hi)
{
    poke64(GUEST_IRT + index * 16, 0);
    poke64(GUEST_IRT + index * 16 + 8, hi);
    poke64(GUEST_IRT + index * 16, lo);
}

void guest_remapping(unsigned u, bool on)
{
    if (on) {
        guest_w64(u, R_IRTA, GUEST_IRT | 7);
        guest_gcmd(u, G_SIRTP, true);
    }
    guest_gcmd(u, G_IRE, on);
}

void guest_roots(void)
{
    for (unsigned bus = 0; bus < 4; bus++) {
        poke64(GUEST_ROOT + bus * 16, (GUEST_CTX + bus * 0x1000) | 1);
        poke64(GUEST_ROOT + bus * 16 + 8, G.scalable ? (GUEST_CTX_UPPER + bus * 0x1000) | 1 : 0);
    }
    if (G.scalable)
        link_pasid_tables();
}

void guest_start(void)
{
    memset(&G, 0, sizeof(G));
    G.ring_size = 256;
    G.scalable = W.cfg.scalable;
    G.slots = guest_read(0, R_ECAP, 8) & E_PASID && G.scalable ? GUEST_SLOTS : 1;
    G.rid_pasid = guest_read(0, R_ECAP, 8) & E_RPS ? W.cfg.rid_pasid : 0;
    guest_roots();
    for (unsigned u = 0; u < W.cfg.units; u++) {
        G.caps[u] = guest_read(u, R_CAP, 8);
        guest_w64(u, R_RTADDR, GUEST_ROOT | (G.scalable ? 1 << 10 : 0));
        guest_gcmd(u, G_SRTP, true);
        guest_queue_on(u);
        q_context(u, 1, 0, 0, 0);
        if (G.scalable)
            q_pasid(u, 3, 0, 0);
        q_iotlb(u, 1, 0, 0, 0);
        if (!q_sync(u))
            world_fail("the first flush never completes");
        guest_gcmd(u, G_TE, true);
    }
}

/* --- tables --- */

u64 guest_table(void)
{
    u64 table;

    if (G.nr_free_tables)
        table = G.free_table[--G.nr_free_tables];
    else if (G.nr_tables < TABLE_PAGES)
        table = GUEST_TABLES + 4096ull * G.nr_tables++;
    else
        return 0;
    memset(world_mem(table), 0, 4096);
    return table;
}

void guest_table_free(u64 table)
{
    if (G.nr_free_tables < TABLE_PAGES)
        G.free_table[G.nr_free_tables++] = table;
}

void guest_domain_init(unsigned d, u16 did, u8 levels)
{
    G.dom[d] = (struct guest_domain){ did, levels, false, guest_table() };
}

u64 guest_entry(unsigned d, u64 iova, unsigned level)
{
    u64 table = G.dom[d].root;

    for (unsigned l = G.dom[d].levels; l > level; l--) {
        u64 e = peek64(table + ((iova >> (12 + 9 * (l - 1))) & 511) * 8);

        if (!(e & PRESENT) || e & LARGE)
            return 0;
        table = e & ADDRESS;
    }
    return table + ((iova >> (12 + 9 * (level - 1))) & 511) * 8;
}

void guest_map_level(unsigned d, u64 iova, u64 pa, unsigned perm, unsigned level)
{
    u64 table = PRESENT;

    if (G.dom[d].first) { /* 9.7: P, U, A and D, and W where it may be written */
        perm = 0x65 | (perm & P_W);
        table = 0x67;
    }
    for (unsigned l = G.dom[d].levels; l > level; l--) {
        u64 at = guest_entry(d, iova, l);

        if (!(peek64(at) & PRESENT) || peek64(at) & LARGE) {
            u64 below = guest_table();

            if (!below)
                return;
            poke64(at, below | table);
        }
    }
    poke64(guest_entry(d, iova, level), pa | perm | (level > 1 ? LARGE : 0));
}

void guest_unmap(unsigned d, u64 iova)
{
    u64 at = guest_entry(d, iova, 1);

    if (at)
        poke64(at, 0);
}

void guest_context(u16 sid, unsigned tt, u16 did, u64 root, u8 levels)
{
    u64 at = GUEST_CTX + (sid >> 8) * 0x1000 + (sid & 255) * 16;

    poke64(at, 0);
    poke64(at + 8, (levels - 2u) | (u64)did << 8);
    poke64(at, root | tt << 2 | 1);
}

void guest_attach(u16 sid, unsigned d, unsigned tt)
{
    guest_context(sid, tt, G.dom[d].did, tt == TT_PASS ? 0 : G.dom[d].root, G.dom[d].levels);
}

void guest_detach(u16 sid)
{
    u64 at = GUEST_CTX + (sid >> 8) * 0x1000 + (sid & 255) * 16;

    poke64(at, 0);
    poke64(at + 8, 0);
}

/* --- the queue --- */

void q_push(unsigned u, u64 q0, u64 q1)
{
    u64 at = GUEST_RING + u * 0x4000 + G.tail[u] * q_entry();

    poke64(at, q0);
    poke64(at + 8, q1);
    if (G.scalable) {
        poke64(at + 16, 0);
        poke64(at + 24, 0);
    }
    G.tail[u] = (G.tail[u] + 1) % G.ring_size;
}

void q_ring(unsigned u)
{
    world_totals.submissions++;
    guest_w32(u, R_IQT, G.tail[u] * q_entry());
}

void q_context(unsigned u, unsigned g, u16 did, u16 sid, unsigned fm)
{
    q_push(u, 1 | g << 4 | (u64)did << 16 | (u64)sid << 32 | (u64)fm << 48, 0);
}

void q_iotlb(unsigned u, unsigned g, u16 did, u64 iova, unsigned am)
{
    q_push(u, 2 | g << 4 | 0xc0 | (u64)did << 16, g == 3 ? iova | am : 0);
}

void q_dtlb(unsigned u, u16 sid, u64 iova, bool s)
{
    q_push(u, 3 | (u64)sid << 32, iova | s);
}

void q_pasid(unsigned u, unsigned g, u16 did, u32 pasid)
{
    q_push(u, 7 | g << 4 | (u64)did << 16 | (u64)pasid << 32, 0);
}

void q_piotlb(unsigned u, unsigned g, u16 did, u32 pasid, u64 iova, unsigned am)
{
    q_push(u, 6 | g << 4 | (u64)did << 16 | (u64)pasid << 32, g == 3 ? iova | am : 0);
}

void q_pdtlb(unsigned u, u16 sid, u32 pasid, u64 iova, bool s, bool all_pasids)
{
    q_push(u, 8 | (u64)sid << 16 | (u64)pasid << 32, iova | (s ? 1 << 11 : 0) | all_pasids);
}

void q_iec(unsigned u, bool one, u16 index, unsigned order)
{
    q_push(u, 4 | one << 4 | (u64)order << 27 | (u64)index << 32, 0);
}

void q_page_response(unsigned u, u16 sid, u32 pasid, u16 group, unsigned code)
{
    u64 with = pasid == MODEL_NO_PASID ? 0 : 1 << 4 | (u64)pasid << 32;

    q_push(u, 9 | with | (u64)code << 12 | (u64)sid << 16, (u64)group << 3);
}

void q_wait_flags(unsigned u, unsigned flags, u32 data, u64 address)
{
    q_push(u, 5 | flags | (u64)data << 32, address);
}

static u64 status_at(u32 cookie)
{
    return GUEST_STATUS + cookie % 1024 * 4;
}

u32 q_wait_and(unsigned u, unsigned flags)
{
    u32 cookie = ++G.cookie;

    *(volatile u32 *)world_mem(status_at(cookie)) = 0;
    q_wait_flags(u, WAIT_SW | flags, cookie, status_at(cookie));
    return cookie;
}

bool q_done(u32 cookie)
{
    return peek32(status_at(cookie)) == cookie;
}

bool q_sync(unsigned u)
{
    u32 cookie = q_wait(u);

    q_ring(u);
    for (unsigned n = 0; n < 100000 && !q_done(cookie); n++)
        world_run(1);
    return q_done(cookie);
}

/* --- DMA --- */

u64 dma_lands(unsigned f, u64 iova, bool write)
{
    u64 buf = 0x1122334455667788;
    struct model_result r = model_fn_dma(W.fn[f], iova, 8, write, &buf);

    return r.status == MODEL_OK || r.status == MODEL_NO_MEMORY ? r.pa : ~0ull;
}

/* --- faults --- */

static u32 fault_record_at(unsigned u, unsigned i)
{
    u64 cap = guest_read(u, R_CAP, 8);

    return (u32)(cap >> 24 & 0x3ff) * 16 + 16 * (i % ((cap >> 40 & 0xff) + 1));
}

bool guest_fault(unsigned u, u64 *lo, u64 *hi)
{
    u32 fsts = guest_r32(u, R_FSTS), at = fault_record_at(u, fsts >> 8 & 0xff);

    *lo = guest_read(u, at, 8);
    *hi = guest_read(u, at + 8, 8);
    return fsts & FS_PPF;
}

void guest_faults_clear(unsigned u)
{
    unsigned n = (unsigned)(guest_read(u, R_CAP, 8) >> 40 & 0xff) + 1;

    for (unsigned i = 0; i < n; i++)
        guest_w32(u, fault_record_at(u, i) + 12, 1u << 31);
    guest_w32(u, R_FSTS, FS_PFO);
}
