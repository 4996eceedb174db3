/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every test of iommu/ in the simulated machine begins and ends with.
 */
#ifndef TESTS_UNIT_WORLD_TEST_H
#define TESTS_UNIT_WORLD_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/world/guest.h"

static inline void start(const struct world_cfg *cfg)
{
    memset(&G, 0, sizeof(G));
    G.ring_size = 256;
    assert_int_equal(world_start(cfg), 0);
    if (!world_ok())
        fail_msg("%s", W.fail);
}

/* --- what the units received: every descriptor that was fetched, since the last host_clear() --- */
struct host_desc {
    u64 q0, q1;
    bool done; /* it took effect, or completed */
};
static struct host_desc host[4096];
static unsigned nr_host;

static void record(const struct model_event *e)
{
    if (e->type == MODEL_EV_FETCH && nr_host < 4096)
        host[nr_host++] = (struct host_desc){ e->q[0], e->q[1], false };
    if (e->type != MODEL_EV_COMPLETE && e->type != MODEL_EV_WAIT)
        return;
    for (unsigned i = 0; i < nr_host; i++)
        if (!host[i].done && host[i].q0 == e->q[0] && host[i].q1 == e->q[1]) {
            host[i].done = true;
            return;
        }
}

static inline void host_clear(void)
{
    nr_host = 0;
    W.on_trace = record;
}

/* --- once, none of the descriptors that the unit is about to fetch is what we wrote --- */
static bool rotten; /* not yet */
static u64 rot_at;  /* IQA: reading it lets the unit work */

static void rot_once(void)
{
    u64 base = rot_at & ~0xfffull;

    for (u64 at = base; rotten && at < base + (0x1000ull << (rot_at & 7)); at += rot_at & 0x800 ? 32 : 16)
        poke64(at, 0xf);
    rotten = false;
}

static inline void rot_queue(void)
{
    rot_at = model_reg_read(W.unit[0], R_IQA, 8);
    rotten = true;
    W.on_write = rot_once;
}

/* How many of this type (1 context, 2 IOTLB, 3 device TLB, 5 wait) the host queue received. */
static inline unsigned host_count(unsigned type)
{
    unsigned n = 0;

    for (unsigned i = 0; i < nr_host; i++)
        n += (host[i].q0 & 0xf) == type;
    return n;
}

/* Device-TLB requests to this function. */
static inline unsigned host_dtlb(u16 sid)
{
    unsigned n = 0;

    for (unsigned i = 0; i < nr_host; i++)
        n += (host[i].q0 & 0xf) == 3 && (host[i].q0 >> 32 & 0xffff) == sid;
    return n;
}

/* What follows, or came before, is what a guest may do only because the virtual unit announces it: the tests
 * that test_announced.c names for these bits. */
static inline void announced(unsigned u, u32 reg, u64 bits)
{
    u64 value = guest_read(u, reg, 8);

    if (bits & ~value)
        fail_msg("unit %u: register %x shows %llx, and not %llx", u, reg, (unsigned long long)value,
                 (unsigned long long)(bits & ~value));
}

/* --- the guest's queue error --- */
static inline unsigned iqe(unsigned u)
{
    return guest_r32(u, R_FSTS) & FS_IQE ? guest_read(u, R_IQERCD, 8) & 0xf : 0;
}

/* A unit in use, with the functions of the default world in guest domain 5 (4 levels), ATS on where it is. */
enum { SID_PLAIN = 0x0018, SID_ATS = 0x0100, SID_ATS2 = 0x0208 };
enum { PLAIN, ATS, ATS2 };

static inline void in_use(const struct world_cfg *cfg)
{
    struct world_cfg c = *cfg;

    if (c.ats == ATS_OFF)
        c.ats = ATS_ALL;
    start(&c);
    guest_start();
    guest_domain_init(0, 5, (c.cap ? c.cap : CAP_DEFAULT) & C_SAGAW(4) ? 4 : c.cap & C_SAGAW(8) ? 5 : 3);
    for (unsigned f = 0; f < W.nr_fns; f++) {
        unsigned u = W.cfg.fn[f].unit;
        bool ats = W.cfg.fn[f].ats && W.cfg.ecap & E_DT;

        if (ats)
            world_ats(f, true);
        guest_attach(W.cfg.fn[f].sid, 0, ats ? TT_ATS_ON : TT_SS);
        q_context(u, 3, 5, W.cfg.fn[f].sid, 0);
    }
    for (unsigned u = 0; u < W.cfg.units; u++) {
        q_iotlb(u, 2, 5, 0, 0);
        assert_true(q_sync(u));
    }
    for (unsigned u = 0; u < W.cfg.units; u++)
        model_clear_violations(W.unit[u]);
    host_clear();
}

/* Maps, flushes, and lets every cache fill itself. */
static inline void map_and_flush(unsigned d, u64 iova, u64 pa)
{
    guest_map(d, iova, pa, P_RW);
    for (unsigned u = 0; u < W.cfg.units; u++) {
        q_iotlb(u, 3, G.dom[d].did, iova, 0);
        assert_true(q_sync(u));
        model_fill_all(W.unit[u]);
    }
}

/* Is anything stale cached for this page of this function, anywhere? */
static inline unsigned stale(unsigned f, u64 iova)
{
    return model_stale(W.unit[W.cfg.fn[f].unit], W.cfg.fn[f].sid, iova);
}

/* The only thing that can happen to the page is that it lands at `pa` (~0: that it is blocked). */
static inline void only_outcome(unsigned f, u64 iova, u64 pa)
{
    struct model_outcome o[MODEL_OUTCOMES];
    unsigned n = model_outcomes(W.unit[W.cfg.fn[f].unit], W.cfg.fn[f].sid, iova, o, MODEL_OUTCOMES);

    for (unsigned i = 0; i < n; i++) {
        u64 at = o[i].status == MODEL_OK ? o[i].pa : ~0ull;

        if (at != pa)
            fail_msg("function %u, page %llx: %llx instead of %llx (%s, via %x)", f, (unsigned long long)iova,
                     (unsigned long long)at, (unsigned long long)pa, o[i].device ? "device TLB" : "unit",
                     o[i].via);
    }
}

/* Nothing went wrong that the world watches, and the units were driven as the specification wants. */
static inline void finish(void)
{
    world_settle();
    if (!world_ok())
        fail_msg("%s", W.fail);
    for (unsigned u = 0; u < W.cfg.units; u++)
        for (unsigned v = 0; v < MODEL_VIOLATIONS; v++)
            if (model_violation_count(W.unit[u], v))
                fail_msg("unit %u was driven wrongly: %s", u, model_violation_name(v));
    world_count();
}

#endif
