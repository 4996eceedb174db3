/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * Several units: each function is served by its own, whatever the other one can or does. Unit 0 is scoped,
 * unit 1 has INCLUDE_ALL.
 */
#include "iommu/parts.h"
#include "tests/unit/world_test.h"

enum { SID_VF = 0x0280 }; /* on a bus that no scope of unit 0 names; SID_ATS is its physical function */

static unsigned dtlb_at[MAX_WORLD_UNITS];
static void by_unit(const struct model_event *e)
{
    if (e->type == MODEL_EV_DTLB_FLUSH)
        dtlb_at[model_fn_find(W.unit[0], (u16)e->a) ? 0 : 1]++;
    record(e);
}

/* A flush at one unit changes nothing at the other, and each is waited for by itself. */
static void each_unit_by_itself(void **state)
{
    u32 cookie;

    (void)state;
    in_use(&(struct world_cfg){ .units = 2, .wait_us = 5, .ite_steps = 30 });
    map_and_flush(0, 0x3000, GUEST_DATA);
    guest_unmap(0, 0x3000);
    W.on_trace = by_unit;
    dtlb_at[0] = dtlb_at[1] = 0;
    q_iotlb(0, 3, 5, 0x3000, 0);
    assert_true(q_sync(0));
    only_outcome(PLAIN, 0x3000, ~0ull);
    only_outcome(ATS, 0x3000, ~0ull);
    assert_int_equal(dtlb_at[0], 1);
    assert_int_equal(dtlb_at[1], 0);
    q_iotlb(1, 3, 5, 0x3000, 0);
    assert_true(q_sync(1));
    only_outcome(ATS2, 0x3000, ~0ull);
    assert_int_equal(dtlb_at[1], 1);
    /* a device-TLB request for a function of the other unit is nobody's here */
    host_clear();
    q_dtlb(0, SID_ATS2, DTLB_EVERYTHING);
    assert_true(q_sync(0));
    assert_int_equal(host_count(3), 0);
    /* a device of unit 0 that never answers holds nobody at unit 1 */
    map_and_flush(0, 0x3000, GUEST_DATA);
    model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_NEVER, 0);
    guest_unmap(0, 0x3000);
    model_set_pace(W.unit[0], MODEL_PACE_MANUAL, 1);
    q_iotlb(0, 3, 5, 0x3000, 0);
    cookie = q_wait(0);
    q_ring(0);
    assert_false(q_done(cookie));
    q_iotlb(1, 3, 5, 0x3000, 0);
    assert_true(q_sync(1));
    only_outcome(ATS2, 0x3000, ~0ull);
    for (unsigned n = 0; n < 5000 && !q_done(cookie); n++)
        world_run(1);
    assert_true(q_done(cookie));
    assert_int_equal(guest_r32(0, R_FSTS) & FS_ITE, FS_ITE);
    assert_int_equal(guest_r32(1, R_FSTS) & FS_ITE, 0);
    finish();
}

/* A VF is behind the unit of its physical function, though its own source-id is in nobody's scope (8.3.1). */
static void virtual_functions_follow_their_physical_one(void **state)
{
    struct world_cfg cfg = { .units = 2, .wait_us = 50, .nr_fns = 4, .ecap = ECAP_DEFAULT | E_DIT };

    (void)state;
    cfg.fn[0] = (struct world_fn_cfg){ SID_PLAIN, 0, false, 0 };
    cfg.fn[1] = (struct world_fn_cfg){ SID_ATS, 0, true, 0 };
    cfg.fn[2] = (struct world_fn_cfg){ SID_ATS2, 1, true, 0 };
    cfg.fn[3] = (struct world_fn_cfg){ SID_VF, 0, true, 0 };
    cfg.pf[3] = SID_ATS;
    in_use(&cfg);
    map_and_flush(0, 0x3000, GUEST_DATA);
    guest_unmap(0, 0x3000);
    host_clear();
    q_iotlb(0, 3, 5, 0x3000, 0);
    assert_true(q_sync(0));
    assert_int_equal(host_dtlb(SID_VF), 1);
    only_outcome(3, 0x3000, ~0ull);
    host_clear();
    q_iotlb(1, 3, 5, 0x3000, 0);
    assert_true(q_sync(1));
    assert_int_equal(host_dtlb(SID_VF), 0);
    /* switched off, and gone */
    world_ats(3, false);
    host_clear();
    q_iotlb(0, 3, 5, 0x3000, 0);
    assert_true(q_sync(0));
    assert_int_equal(host_dtlb(SID_VF), 0);
    world_ats(3, true);
    model_fn_reset(W.fn[3]);
    iommu_function_gone(0, SID_VF);
    host_clear();
    q_iotlb(0, 3, 5, 0x3000, 0);
    assert_true(q_sync(0));
    assert_int_equal(host_dtlb(SID_VF), 0);
    finish();
}

/* What each one announces is its own; what one of them lacks, the other need not. */
static void units_that_differ(void **state)
{
    static const struct {
        u64 cap, ecap;
    } lesser[] = {
        { CAP_DEFAULT & ~C_PSI, ECAP_DEFAULT },
        { CAP_DEFAULT & ~C_SAGAW(4), ECAP_DEFAULT },
        { CAP_DEFAULT & ~C_SSLPS(3), ECAP_DEFAULT & ~E_SC },
        { CAP_DEFAULT & ~7ull, ECAP_DEFAULT }, /* 16 domain-ids */
        { CAP_DEFAULT, ECAP_DEFAULT & ~E_DT },
        { CAP_DEFAULT, ECAP_DEFAULT & ~E_C },
        { CAP_DEFAULT | C_RWBF, ECAP_DEFAULT },
        { CAP_DEFAULT, ECAP_DEFAULT | E_SMTS | E_SSTS | E_SMPWC },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(lesser); i++)
        for (unsigned swap = 0; swap < 2; swap++) {
            struct world_cfg cfg = { .units = 2, .wait_us = 50, .ats = ATS_ALL, .nr_fns = 4 };
            u64 cap[2] = { CAP_DEFAULT, CAP_DEFAULT }, ecap[2] = { ECAP_DEFAULT, ECAP_DEFAULT };

            cap[swap] = lesser[i].cap;
            ecap[swap] = lesser[i].ecap;
            cfg.cap = cap[0];
            cfg.ecap = ecap[0];
            cfg.cap1 = cap[1];
            cfg.ecap1 = ecap[1];
            cfg.fn[0] = (struct world_fn_cfg){ SID_PLAIN, 0, false, 0 };
            cfg.fn[1] = (struct world_fn_cfg){ SID_ATS, 0, !(~ecap[0] & E_DT), 0 };
            cfg.fn[2] = (struct world_fn_cfg){ SID_ATS2, 1, !(~ecap[1] & E_DT), 0 };
            cfg.fn[3] = (struct world_fn_cfg){ 0x0020, 1, false, 0 };
            start(&cfg);
            guest_start();
            guest_domain_init(0, 5, 3);
            for (unsigned u = 0; u < 2; u++) {
                u64 announced = guest_read(u, R_CAP, 8), more = guest_read(u, R_ECAP, 8);

                assert_int_equal(announced & ~(C_CM | 0x3ffull << 24 | 0xffull << 40) & ~cap[u], 0);
                assert_int_equal(more & ~(0x3ffull << 8) & ~ecap[u], 0);
                assert_int_equal(more & E_DT, ecap[u] & E_DT);
                assert_int_equal(announced & C_PSI, cap[u] & C_PSI);
                assert_int_equal(more & E_SMTS, ecap[u] & E_SMTS);
            }
            for (unsigned f = 0; f < 4; f++) {
                if (W.cfg.fn[f].ats)
                    world_ats(f, true);
                guest_attach(W.cfg.fn[f].sid, 0, W.cfg.fn[f].ats ? TT_ATS_ON : TT_SS);
                q_context(W.cfg.fn[f].unit, 3, 5, W.cfg.fn[f].sid, 0);
            }
            for (unsigned round = 0; round < 3; round++) {
                guest_map(0, 0x3000, GUEST_DATA + (round << 12), P_RW);
                for (unsigned u = 0; u < 2; u++) {
                    q_iotlb(u, 2, 5, 0, 0);
                    assert_true(q_sync(u));
                    model_fill_all(W.unit[u]);
                }
                for (unsigned f = 0; f < 4; f++)
                    only_outcome(f, 0x3000, GUEST_DATA + (round << 12));
                guest_unmap(0, 0x3000);
                for (unsigned u = 0; u < 2; u++) {
                    q_iotlb(u, 2, 5, 0, 0);
                    assert_true(q_sync(u));
                }
                for (unsigned f = 0; f < 4; f++)
                    only_outcome(f, 0x3000, ~0ull);
            }
            finish();
        }
}

/* What a unit announces follows from its own capabilities and the options, whoever stands beside it. */
static void the_neighbour_changes_nothing(void **state)
{
#define SM (E_SMTS | E_SMPWC | E_RPS)
    static const struct {
        u64 cap, ecap;
    } kind[] = {
        { CAP_DEFAULT, ECAP_DEFAULT },
        { (CAP_DEFAULT & ~C_SAGAW(6)) | C_SAGAW(2), ECAP_DEFAULT },
        { (CAP_DEFAULT & ~(0x3full << 16)) | C_SAGAW(0xe) | 56ull << 16,
          ECAP_DEFAULT | E_IR | E_EIM | E_MHMV },
        { CAP_DEFAULT & ~(C_PSI | C_MAMV(63)), ECAP_DEFAULT & ~(E_DT | E_PT) },
        { (CAP_DEFAULT & ~(C_MAMV(63) | C_SSLPS(2))) | C_MAMV(1), ECAP_DEFAULT & ~(E_SC | E_C) },
        { CAP_DEFAULT & ~(7ull | C_DRAIN), ECAP_DEFAULT | E_DIT },
        { CAP_DEFAULT | C_RWBF | C_CM | C_ESRTPS, ECAP_DEFAULT },
        { CAP_DEFAULT, ECAP_DEFAULT | SM | E_SSTS },
        { CAP_DEFAULT | C_FS1GP, ECAP_DEFAULT | SM | E_SSTS | E_FSTS | E_NEST | E_PASID | E_PSS },
        { CAP_DEFAULT, ECAP_DEFAULT | SM | E_SSTS | E_FSTS | E_NEST | E_PASID | 7ull << 35 | 3ull << 29 },
        { CAP_DEFAULT | C_FS1GP, ECAP_DEFAULT | SM | E_FSTS | E_PASID | 1ull << 29 | 1ull << 42 },
    };
    u64 lone[ARRAY_SIZE(kind)][2];
    bool starts[ARRAY_SIZE(kind)];

    (void)state;
    for (unsigned option = 0; option < 4; option++) {
        struct world_cfg cfg = { .wait_us = 50, .quiet = true, .ats = option == 3 ? ATS_OFF : ATS_ALL };

        cfg.direct = option == 1 || option == 2;
        cfg.no_caching_mode = option == 2;
        for (unsigned i = 0; i < ARRAY_SIZE(kind); i++) {
            cfg.units = 1;
            cfg.cap = kind[i].cap;
            cfg.ecap = kind[i].ecap;
            starts[i] = !world_start(&cfg);
            lone[i][0] = starts[i] ? guest_read(0, R_CAP, 8) : 0;
            lone[i][1] = starts[i] ? guest_read(0, R_ECAP, 8) : 0;
        }
        cfg.units = 2;
        for (unsigned i = 0; i < ARRAY_SIZE(kind); i++)
            for (unsigned j = 0; j < ARRAY_SIZE(kind); j++) {
                unsigned unit[2] = { i, j };

                if (kind[i].ecap & kind[j].ecap & E_IR)
                    continue; /* the world has no memory for two interrupt tables */
                cfg.cap = kind[i].cap;
                cfg.ecap = kind[i].ecap;
                cfg.cap1 = kind[j].cap;
                cfg.ecap1 = kind[j].ecap;
                /* a machine is protected whole or refused */
                assert_int_equal(!world_start(&cfg), starts[i] && starts[j]);
                for (unsigned u = 0; u < 2 && starts[i] && starts[j]; u++) {
                    assert_int_equal(guest_read(u, R_CAP, 8), lone[unit[u]][0]);
                    assert_int_equal(guest_read(u, R_ECAP, 8), lone[unit[u]][1]);
                }
            }
    }
}

/* The flush that both understand, and every cache full again. */
static void flush_both(void)
{
    for (unsigned u = 0; u < 2; u++) {
        q_context(u, 1, 0, 0, 0);
        q_iotlb(u, 2, 5, 0, 0);
        assert_true(q_sync(u));
        model_fill_all(W.unit[u]);
    }
}

/*
 * One table under two units, as drivers share a domain: each reads it by its own rules, so that what only one
 * of them announces is good there and blocked at the other, and the shadow of one is never used by the other.
 */
static void one_table_under_unlike_units(void **state)
{
    (void)state;
    for (unsigned less = 0; less < 2; less++) {
        unsigned full = !less;
        struct world_cfg cfg = { .units = 2, .wait_us = 50, .nr_fns = 2, .ats = ATS_ALL };
        static const u64 caps[] = { CAP_DEFAULT,
                                    (CAP_DEFAULT & ~(7ull | C_SSLPS(2) | C_MAMV(63))) | C_MAMV(1) };
        static const u64 ecaps[] = { ECAP_DEFAULT | E_IR | E_EIM,
                                     ECAP_DEFAULT & ~(E_PT | E_SC | E_C | E_DT) };

        cfg.cap = caps[less == 0];
        cfg.cap1 = caps[less == 1];
        cfg.ecap = ecaps[less == 0];
        cfg.ecap1 = ecaps[less == 1];
        cfg.fn[full] = (struct world_fn_cfg){ SID_PLAIN, (u8)full, false, 0 };
        cfg.fn[less] = (struct world_fn_cfg){ SID_ATS2, (u8)less, false, 0 };
        start(&cfg);
        guest_start();
        guest_domain_init(0, 5, 4);
        for (unsigned f = 0; f < 2; f++)
            guest_attach(W.cfg.fn[f].sid, 0, TT_SS);
        for (unsigned u = 0; u < 2; u++)
            model_watch(W.unit[u], 0x40000000, 4);
        guest_map(0, 0x3000, GUEST_DATA, P_RW);
        guest_map(0, 0x4000, GUEST_DATA + 0x1000, P_RW);
        poke64(guest_entry(0, 0x4000, 1), (GUEST_DATA + 0x1000) | P_RW | 1 << 11); /* snooped */
        guest_map_level(0, 0x40000000, RAM3_BASE, P_RW, 3);
        flush_both();
        for (unsigned f = 0; f < 2; f++) {
            only_outcome(f, 0x3000, GUEST_DATA);
            only_outcome(f, 0x4000, f == full ? GUEST_DATA + 0x1000 : ~0ull);
            only_outcome(f, 0x40001000, f == full ? RAM3_BASE + 0x1000 : ~0ull);
        }
        assert_int_equal(dma_lands(less, 0x40001000, false), ~0ull);
        world_settle();
        assert_int_equal(guest_r32(less, R_FSTS) & FS_PPF, FS_PPF);
        assert_int_equal(guest_r32(full, R_FSTS) & FS_PPF, 0);
        guest_faults_clear(less);
        /* the same as small pages, which is what a driver makes of them that knows both */
        poke64(guest_entry(0, 0x40000000, 3), 0);
        poke64(guest_entry(0, 0x4000, 1), (GUEST_DATA + 0x1000) | P_RW);
        guest_map(0, 0x40001000, RAM3_BASE + 0x1000, P_RW);
        flush_both();
        for (unsigned f = 0; f < 2; f++) {
            only_outcome(f, 0x4000, GUEST_DATA + 0x1000);
            only_outcome(f, 0x40001000, RAM3_BASE + 0x1000);
        }
        /* a mask that only one of them takes */
        guest_unmap(0, 0x3000);
        q_iotlb(full, 3, 5, 0, 5);
        assert_true(q_sync(full));
        only_outcome(full, 0x3000, ~0ull);
        q_iotlb(less, 3, 5, 0, 5);
        q_ring(less);
        world_settle();
        assert_int_equal(guest_r32(less, R_FSTS) & FS_IQE, FS_IQE);
        q_iotlb(less, 3, 5, 0x2000, 1);
        poke64(GUEST_RING + less * 0x4000 + guest_read(less, R_IQH, 8), 2 | 2 << 4 | 5 << 16); /* mended */
        poke64(GUEST_RING + less * 0x4000 + guest_read(less, R_IQH, 8) + 8, 0);
        guest_w32(less, R_FSTS, FS_IQE);
        assert_true(q_sync(less));
        only_outcome(less, 0x3000, ~0ull);
        /* domain-ids beyond the width of one of them are masked there */
        guest_domain_init(1, 0x15, 4);
        guest_map(1, 0x3000, GUEST_DATA + 0x5000, P_RW);
        for (unsigned f = 0; f < 2; f++)
            guest_attach(W.cfg.fn[f].sid, 1, TT_SS);
        flush_both();
        guest_unmap(1, 0x3000);
        for (unsigned u = 0; u < 2; u++) {
            q_iotlb(u, 2, 0x15, 0, 0);
            assert_true(q_sync(u));
            only_outcome(u, 0x3000, ~0ull);
        }
        /* pass-through, and interrupt remapping, at one of them */
        for (unsigned f = 0; f < 2; f++)
            guest_attach(W.cfg.fn[f].sid, 0, TT_PASS);
        flush_both();
        only_outcome(full, GUEST_DATA, GUEST_DATA);
        only_outcome(less, GUEST_DATA, ~0ull);
        W.device_irqs_expected = true;
        guest_irte(3, 1 | 0x41 << 16 | 0x2300ull << 32, 0);
        for (unsigned u = 0; u < 2; u++) {
            struct model_req r = { .sid = W.cfg.fn[u].sid, .addr = 0xfee00018, .len = 4, .write = true };
            u32 data = 3;

            guest_w64(u, R_IRTA, GUEST_IRT | 1 << 11 | 7);
            guest_w32(u, R_GCMD, (guest_r32(u, R_GSTS) & 0x96ffffff) | G_SIRTP);
            guest_w32(u, R_GCMD, (guest_r32(u, R_GSTS) & 0x96ffffff) | G_IRE);
            assert_int_equal(!(guest_r32(u, R_GSTS) & G_IRE), u == less);
            q_iec(u, false, 0, 0);
            q_ring(u);
            world_settle();
            assert_int_equal(iqe(u), u == less ? 3 : 0);
            W.device_irqs = 0;
            assert_int_equal(model_dma(W.unit[u], &r, &data).status, MODEL_INTERRUPT);
            assert_int_equal(W.device_irq[0].addr, u == full ? 0xfee00000 | 0x2300ull << 32 : r.addr);
        }
        finish();
    }
}

/* The guest in scalable mode at one unit and in legacy mode at the other, whose queue is narrow. */
static void scalable_beside_legacy(void **state)
{
    (void)state;
    for (unsigned wide = 0; wide < 2; wide++) {
        struct world_cfg cfg = { .units = 2, .wait_us = 50, .nr_fns = 2, .ats = ATS_ALL };
        unsigned plain = !wide;

        cfg.ecap = ECAP_DEFAULT | (wide == 0 ? E_SMTS | E_SSTS | E_SMPWC : 0);
        cfg.ecap1 = ECAP_DEFAULT | (wide == 1 ? E_SMTS | E_SSTS | E_SMPWC : 0);
        cfg.fn[0] = (struct world_fn_cfg){ SID_ATS, 0, true, 0 };
        cfg.fn[1] = (struct world_fn_cfg){ SID_ATS2, 1, true, 0 };
        start(&cfg);
        guest_start(); /* both in legacy mode */
        guest_domain_init(0, 5, 4);
        guest_map(0, 0x3000, GUEST_DATA, P_RW);
        for (unsigned f = 0; f < 2; f++)
            world_ats(f, true);
        guest_attach(W.cfg.fn[plain].sid, 0, TT_ATS_ON);
        /* the directory, a table, the entry; a root table of its own */
        poke64(RAM2_BASE, (RAM2_BASE + 0x1000) | 1);
        poke64(RAM2_BASE + 0x1000 + 8, 5);
        poke64(RAM2_BASE + 0x1000, 1 | 2 << 6 | 2 << 2 | G.dom[0].root);
        poke64(RAM2_BASE + 0x2000 + (W.cfg.fn[wide].sid & 0x7f) * 32, RAM2_BASE | 1 << 2 | 1);
        poke64(RAM2_BASE + 0x3000 + (W.cfg.fn[wide].sid >> 8) * 16, (RAM2_BASE + 0x2000) | 1);
        guest_gcmd(wide, G_QIE, false);
        guest_w64(wide, R_RTADDR, (RAM2_BASE + 0x3000) | 1 << 10);
        guest_gcmd(wide, G_SRTP, true);
        for (unsigned round = 0; round < 2; round++) {
            for (unsigned u = 0; u < 2; u++) {
                G.scalable = u == wide;
                if (u == wide && !round)
                    guest_queue_on(u);
                q_context(u, 1, 0, 0, 0);
                if (G.scalable)
                    q_pasid(u, 3, 0, 0);
                q_iotlb(u, 2, 5, 0, 0);
                assert_true(q_sync(u));
                model_fill_all(W.unit[u]);
                only_outcome(u, 0x3000, round ? ~0ull : GUEST_DATA);
            }
            guest_unmap(0, 0x3000);
        }
        /* type 7 is nobody's where there are no PASIDs */
        G.scalable = false;
        q_pasid(plain, 3, 0, 0);
        q_ring(plain);
        world_settle();
        assert_int_equal(iqe(plain), 3);
        assert_int_equal(iqe(wide), 0);
        finish();
    }
}

/* Source-ids that no function has: the alias of what is behind a conventional bridge, and who comes later. */
static void aliases_and_newcomers(void **state)
{
    u64 buf = 0;

    (void)state;
    in_use(&(struct world_cfg){ .units = 2, .wait_us = 50 });
    for (unsigned u = 0; u < 2; u++) {
        struct model_req r = { .sid = 0x0300, .write = true, .addr = 0x3000, .len = 8 };

        assert_int_equal(model_dma(W.unit[u], &r, &buf).status, MODEL_BLOCKED);
        guest_map(0, 0x3000, GUEST_DATA, P_RW);
        guest_attach(0x0300, 0, TT_SS);
        q_context(u, 3, 5, 0x0300, 0);
        q_iotlb(u, 2, 5, 0, 0);
        assert_true(q_sync(u));
        assert_int_equal(model_dma(W.unit[u], &r, &buf).pa, GUEST_DATA);
        guest_detach(0x0300);
        q_context(u, 3, 5, 0x0300, 0);
        q_iotlb(u, 2, 5, 0, 0);
        assert_true(q_sync(u));
        assert_int_equal(model_dma(W.unit[u], &r, &buf).status, MODEL_BLOCKED);
        /* translation off: contained, like everybody */
        guest_gcmd(u, G_TE, false);
        r.addr = REGION_BASE;
        assert_int_equal(model_dma(W.unit[u], &r, &buf).status, MODEL_BLOCKED);
        r.addr = UNIT_BASE + UNIT_SIZE * !u;
        assert_int_equal(model_dma(W.unit[u], &r, &buf).status, MODEL_BLOCKED);
        r.addr = GUEST_DATA;
        assert_int_equal(model_dma(W.unit[u], &r, &buf).status, MODEL_OK);
        r.addr = RMRR_BASE;
        assert_int_equal(model_dma(W.unit[u], &r, &buf).status, MODEL_OK);
    }
    finish();
}

/* --- functions that appear while the guest runs --- */

/* As it comes out of reset, but a bus master, and as bad as can be: it asks for translations and sends what
 * it says is translated before anybody has let it. */
static unsigned hot_add(u16 sid, u8 unit)
{
    unsigned f = W.nr_fns++;

    W.cfg.fn[f] = (struct world_fn_cfg){ sid, unit, true, 0 };
    W.fn[f] = model_fn_add(W.unit[unit], &(struct model_fn_cfg){ .sid = sid, .ats = true, .forges = true });
    model_fn_set_bus_master(W.fn[f], true);
    return f;
}

static u8 sends(unsigned f, u8 at, u64 addr)
{
    u64 buf = 0;
    struct model_req r = { .sid = W.cfg.fn[f].sid, .at = at, .write = true, .addr = addr, .len = 8 };

    return model_dma(W.unit[W.cfg.fn[f].unit], &r, &buf).status;
}

/* No translation and nothing translated: neither of the guest's memory nor of Sluice's. */
static void gate_is_shut(unsigned f)
{
    assert_int_equal(sends(f, MODEL_TRANSLATION_REQUEST, 0x3000), MODEL_BLOCKED);
    assert_int_equal(sends(f, MODEL_TRANSLATED, GUEST_DATA), MODEL_BLOCKED);
    assert_int_equal(sends(f, MODEL_TRANSLATED, REGION_BASE), MODEL_BLOCKED);
}

/* Which units were asked to flush the device TLB of this function. */
static unsigned asked_at[MAX_WORLD_UNITS];
static u16 asked_sid;
static void count_asked(const struct model_event *e)
{
    if (e->type == MODEL_EV_DTLB_FLUSH && e->a == asked_sid)
        asked_at[model_fn_find(W.unit[0], asked_sid) ? 0 : 1]++;
    record(e);
}

/*
 * Behind a bridge that is in the scope of unit 0, and on a bus that INCLUDE_ALL stands for: contained from
 * its first request on, translation off or on; without ATS until the guest has switched that on and `ats=`
 * lets it; then followed by its own unit, and no more when it is gone.
 */
static void hot_added_functions(void **state)
{
    static const struct {
        u16 sid;
        u8 unit;
        bool listed; /* below 00:1c.0, which the ATSR names */
    } comes[] = { { 0x0300, 0, false }, { 0x0108, 1, true } };
    static u8 dmar[1024];

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(comes); i++)
        for (unsigned scalable = 0; scalable < 2; scalable++)
            for (enum ats_policy ats = ATS_LISTED; ats <= ATS_ALL; ats++) {
                struct world_cfg cfg = { .units = 2, .wait_us = 50, .nr_fns = 3, .ats = ats };
                bool allowed = ats == ATS_ALL || comes[i].listed;
                unsigned f, u = comes[i].unit;

                if (scalable)
                    cfg.ecap = ECAP_DEFAULT | E_SMTS | E_SSTS | E_SMPWC;
                cfg.fn[0] = (struct world_fn_cfg){ SID_PLAIN, 1, false, 0 };
                cfg.fn[1] = (struct world_fn_cfg){ SID_ATS, 1, true, 0 };
                cfg.fn[2] = (struct world_fn_cfg){ 0x1d << 3, 0, false, 0 }; /* a bridge to 02 and 03 */
                cfg.dmar = dmar;
                cfg.dmar_size = world_dmar(dmar, &cfg);
                assert_int_equal(dmar[64], 1);
                dmar[64] = 2; /* its scope, the only one of unit 0 */
                dmar_checksum(dmar, cfg.dmar_size);
                in_use(&cfg);
                map_and_flush(0, 0x3000, GUEST_DATA);

                f = hot_add(comes[i].sid, (u8)u);
                assert_int_equal(sends(f, MODEL_UNTRANSLATED, 0x3000), MODEL_BLOCKED);
                assert_int_equal(sends(f, MODEL_UNTRANSLATED, REGION_BASE), MODEL_BLOCKED);
                gate_is_shut(f);
                guest_gcmd(u, G_TE, false);
                assert_int_equal(sends(f, MODEL_UNTRANSLATED, GUEST_DATA), MODEL_OK);
                assert_int_equal(sends(f, MODEL_UNTRANSLATED, REGION_BASE), MODEL_BLOCKED);
                assert_int_equal(sends(f, MODEL_UNTRANSLATED, UNIT_BASE), MODEL_BLOCKED);
                gate_is_shut(f);
                guest_gcmd(u, G_TE, true);

                /* The guest gives it a table, and says that it may use ATS, before that is on. */
                guest_attach(comes[i].sid, 0, TT_ATS_ON);
                q_context(u, 3, 5, comes[i].sid, 0);
                q_iotlb(u, 2, 5, 0, 0);
                assert_true(q_sync(u));
                only_outcome(f, 0x3000, GUEST_DATA);
                assert_int_equal(sends(f, MODEL_UNTRANSLATED, REGION_BASE), MODEL_BLOCKED);
                gate_is_shut(f);
                world_ats(f, true);
                if (allowed)
                    assert_int_equal(sends(f, MODEL_TRANSLATION_REQUEST, 0x3000), MODEL_OK);
                else
                    gate_is_shut(f);

                asked_sid = comes[i].sid;
                model_fill_all(W.unit[u]);
                guest_unmap(0, 0x3000);
                asked_at[0] = asked_at[1] = 0;
                W.on_trace = count_asked;
                for (unsigned other = 0; other < 2; other++) {
                    q_iotlb(other, 3, 5, 0x3000, 0);
                    assert_true(q_sync(other));
                }
                only_outcome(f, 0x3000, ~0ull);
                assert_int_equal(asked_at[u], 1);
                assert_int_equal(asked_at[!u], 0);

                model_fn_set_present(W.fn[f], false);
                iommu_function_gone(0, comes[i].sid);
                host_clear();
                q_iotlb(u, 2, 5, 0, 0);
                assert_true(q_sync(u));
                assert_int_equal(host_dtlb(comes[i].sid), 0);
                gate_is_shut(f); /* for whoever comes next */
                finish();
            }
}

/* A segment without units: there is nothing to do, and nobody to do it. */
static void nobodys_segment(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    host_clear();
    iommu_function_gone(1, SID_ATS);
    iommu_function_starts(1, SID_ATS);
    iommu_ats_change(1, SID_ATS, true, 0, SID_ATS, true);
    assert_false(iommu_stopped(1, SID_ATS));
    assert_int_equal(nr_host, 0);
    q_iotlb(0, 2, 5, 0, 0);
    assert_true(q_sync(0));
    assert_int_equal(host_dtlb(SID_ATS), 1); /* nor was it forgotten in its own */
    finish();
}

/* A function that another unit follows than the one that firmware's table names goes away there. */
static void followed_elsewhere(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .units = 2, .quiet = true });
    for (unsigned u = 0; u < 2; u++) {
        u16 sid = u ? SID_PLAIN : 0x0555, pf = u ? SID_ATS2 : SID_ATS;

        assert_ptr_not_equal(unit_of(0, sid), units[u]);
        iommu_ats_change(0, sid, true, 0, pf, false);
        assert_non_null(fn_find(units[u], sid));
        iommu_function_gone(0, sid);
        assert_null(fn_find(units[u], sid));
    }
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_unit_by_itself),
        cmocka_unit_test(virtual_functions_follow_their_physical_one),
        cmocka_unit_test(units_that_differ),
        cmocka_unit_test(the_neighbour_changes_nothing),
        cmocka_unit_test(one_table_under_unlike_units),
        cmocka_unit_test(scalable_beside_legacy),
        cmocka_unit_test(aliases_and_newcomers),
        cmocka_unit_test(hot_added_functions),
        cmocka_unit_test(nobodys_segment),
        cmocka_unit_test(followed_elsewhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
