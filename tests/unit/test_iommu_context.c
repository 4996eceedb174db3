/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * Root and context entries, domain-ids, firmware's leftovers, and faults with the reason that the guest's own
 * tables give.
 */
#include "tests/unit/world_test.h"

static u64 ctx_at(u16 sid)
{
    return GUEST_CTX + (sid >> 8) * 0x1000 + (sid & 255) * 16;
}

static void flush_context(u16 sid)
{
    q_context(0, 3, 5, sid, 0);
    q_iotlb(0, 2, 5, 0, 0);
    assert_true(q_sync(0));
}

/* The fault that a DMA of this function leaves in the guest's record; 0 if there is none. */
static unsigned fault_of(unsigned f, u64 iova)
{
    u64 lo, hi;

    assert_int_equal(dma_lands(f, iova, true), ~0ull);
    world_settle();
    if (!guest_fault(0, &lo, &hi))
        return 0;
    assert_int_equal(hi & 0xffff, W.cfg.fn[f].sid);
    guest_faults_clear(0);
    return hi >> 32 & 0xff;
}

/* A context entry changes in every way; its own context flush is all the guest sends. */
static void hostile_16_context_flush_only(void **state)
{
    (void)state;
    for (unsigned g = 1; g <= 3; g++)
        for (unsigned change = 0; change < 5; change++) {
            u64 want = ~0ull;

            in_use(&(struct world_cfg){ .wait_us = 100, .seed = change });
            guest_domain_init(1, 6, 3);
            guest_map(1, 0x3000, GUEST_DATA + 0x1000, P_RW);
            map_and_flush(0, 0x3000, GUEST_DATA);
            host_clear();
            switch (change) {
            case 0: /* present to not present */
                guest_detach(SID_ATS);
                break;
            case 1: /* another domain */
                guest_attach(SID_ATS, 1, TT_ATS_ON);
                want = GUEST_DATA + 0x1000;
                break;
            case 2: /* the same domain-id, another table */
                guest_context(SID_ATS, TT_ATS_ON, 5, G.dom[1].root, 3);
                want = GUEST_DATA + 0x1000;
                break;
            case 3: /* pass-through */
                guest_context(SID_ATS, TT_PASS, 7, 0, 4);
                want = 0x3000;
                break;
            case 4: /* the gate closes */
                guest_attach(SID_ATS, 0, TT_SS);
                want = GUEST_DATA;
                break;
            }
            q_context(0, g, 5, SID_ATS, 0);
            assert_true(q_sync(0));
            only_outcome(ATS, 0x3000, want);
            only_outcome(PLAIN, 0x3000, GUEST_DATA);
            only_outcome(ATS2, 0x3000, GUEST_DATA);
            assert_true(host_dtlb(SID_ATS) >= 1);
            finish();
        }
}

static void function_masks(void **state)
{
    (void)state;
    for (unsigned fm = 0; fm < 4; fm++) {
        static const unsigned ignored[] = { 0, 4, 6, 7 };
        struct world_cfg cfg = { .wait_us = 100, .nr_fns = 4 };

        for (unsigned i = 0; i < 4; i++)
            cfg.fn[i] = (struct world_fn_cfg){ (u16)(0x0100 | (i == 3 ? 7 : i * 2)), 0, true, 0 };
        in_use(&cfg);
        map_and_flush(0, 0x3000, GUEST_DATA);
        for (unsigned f = 0; f < 4; f++)
            guest_detach(cfg.fn[f].sid);
        q_context(0, 3, 5, 0x0102, fm);
        assert_true(q_sync(0));
        for (unsigned f = 0; f < 4; f++)
            if (!((cfg.fn[f].sid ^ 0x0102) & ~ignored[fm]))
                only_outcome(f, 0x3000, ~0ull);
            else
                only_outcome(f, 0x3000, GUEST_DATA);
        finish();
    }
}

static void hostile_16_domain_id_reused(void **state)
{
    (void)state;
    for (unsigned few = 0; few < 2; few++) { /* no more flushes than each entry's own */
        in_use(&(struct world_cfg){ .wait_us = 100 });
        map_and_flush(0, 0x3000, GUEST_DATA);
        for (unsigned f = 0; f < W.nr_fns; f++)
            guest_detach(W.cfg.fn[f].sid);
        for (unsigned f = 0; few && f < W.nr_fns; f++)
            q_context(0, 3, 5, W.cfg.fn[f].sid, 0);
        if (!few) {
            q_context(0, 2, 5, 0, 0);
            q_iotlb(0, 2, 5, 0, 0);
        }
        assert_true(q_sync(0));
        guest_domain_init(1, 5, 4);
        guest_map(1, 0x4000, GUEST_DATA + 0x1000, P_RW);
        guest_attach(SID_ATS, 1, TT_ATS_ON);
        q_context(0, 3, 5, SID_ATS, 0);
        if (!few)
            q_iotlb(0, 2, 5, 0, 0);
        assert_true(q_sync(0));
        only_outcome(ATS, 0x3000, ~0ull);
        only_outcome(ATS, 0x4000, GUEST_DATA + 0x1000);
        finish();
    }
}

static const u64 nowhere[] = { REGION_BASE, UNIT_BASE, 0xfee00000, TRIP_BASE, RAM3_END, 0x3ffffffff000ull };

static void hostile_22_root_pointer(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(nowhere); i++) {
        in_use(&(struct world_cfg){ .wait_us = 100 });
        map_and_flush(0, 0x3000, GUEST_DATA);
        guest_w64(0, R_RTADDR, nowhere[i]);
        guest_gcmd(0, G_SRTP, true);
        assert_int_equal(fault_of(PLAIN, 0x3000), 0x8);
        assert_int_equal(fault_of(ATS, 0x3000), 0x8);
        guest_w64(0, R_RTADDR, GUEST_ROOT);
        guest_gcmd(0, G_SRTP, true);
        only_outcome(PLAIN, 0x3000, GUEST_DATA);
        only_outcome(ATS, 0x3000, GUEST_DATA);
        finish();
    }
}

static void hostile_22_and_24_entries(void **state)
{
    static const struct {
        unsigned what; /* 0 root, 1 context */
        u64 lo, hi;    /* of the entry */
        unsigned reason;
    } bad[] = {
        { 0, 0, 0, 0x1 },
        { 0, GUEST_CTX | 3, 0, 0xa },
        { 0, GUEST_CTX | 0x801, 0, 0xa },
        { 0, GUEST_CTX | 1, 1, 0xa },
        { 0, GUEST_CTX | 1, 1ull << 63, 0xa },
        { 0, REGION_BASE | 1, 0, 0x9 },
        { 0, UNIT_BASE | 1, 0, 0x9 },
        { 0, 0x3ffffffff000ull | 1, 0, 0x9 },
        { 1, 0, 0, 0x2 },
        { 1, GUEST_TABLES | 0x11, 2 | 5 << 8, 0xb },
        { 1, GUEST_TABLES | 0x801, 2 | 5 << 8, 0xb },
        { 1, GUEST_TABLES | 1, 2 | 5 << 8 | 1 << 7, 0xb },
        { 1, GUEST_TABLES | 1, 2 | 5 << 8 | 1ull << 24, 0xb },
        { 1, GUEST_TABLES | 1, 2 | 5 << 8 | 1ull << 63, 0xb },
        { 1, GUEST_TABLES | 0xd, 2 | 5 << 8, 0x3 }, /* TT=3 */
        { 1, GUEST_TABLES | 1, 0 | 5 << 8, 0x3 },   /* AW */
        { 1, GUEST_TABLES | 1, 3 | 5 << 8, 0x3 },
        { 1, GUEST_TABLES | 1, 4 | 5 << 8, 0x3 },
        { 1, GUEST_TABLES | 1, 5 | 5 << 8, 0x3 },
        { 1, GUEST_TABLES | 1, 6 | 5 << 8, 0x3 },
        { 1, GUEST_TABLES | 1, 7 | 5 << 8, 0x3 },
        { 1, GUEST_TABLES | 1, 2, 0x3 }, /* domain-id 0 */
        { 1, REGION_BASE | 1, 2 | 5 << 8, 0x7 },
        { 1, 0xfee00000 | 1, 2 | 5 << 8, 0x7 },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        u64 at = bad[i].what ? ctx_at(SID_PLAIN) : GUEST_ROOT, lo, hi;

        in_use(&(struct world_cfg){ .wait_us = 100 });
        map_and_flush(0, 0x3000, GUEST_DATA);
        lo = peek64(at);
        hi = peek64(at + 8);
        poke64(at, bad[i].lo);
        poke64(at + 8, bad[i].hi);
        q_context(0, 1, 0, 0, 0);
        q_iotlb(0, 1, 0, 0, 0);
        assert_true(q_sync(0));
        only_outcome(PLAIN, 0x3000, ~0ull);
        only_outcome(ATS, 0x3000, GUEST_DATA);
        if (fault_of(PLAIN, 0x3000) != bad[i].reason)
            fail_msg("entry %u: not reason %x", i, bad[i].reason);
        poke64(at, lo);
        poke64(at + 8, hi);
        q_context(0, 1, 0, 0, 0);
        q_iotlb(0, 1, 0, 0, 0);
        assert_true(q_sync(0));
        only_outcome(PLAIN, 0x3000, GUEST_DATA);
        finish();
    }
    /* Each bit beside P, FPD, TT, AW, what software may use, the domain-id and the pointers. */
    for (unsigned what = 0; what < 2; what++)
        for (unsigned bit = 0; bit < 128; bit++) {
            static const u64 known[2][2] = { { 0xfffffffffffff001, 0 }, { 0xfffffffffffff00f, 0xffff7f } };
            u64 at = (what ? ctx_at(SID_PLAIN) : GUEST_ROOT) + bit / 64 * 8;

            if (known[what][bit / 64] >> bit % 64 & 1)
                continue;
            in_use(&(struct world_cfg){ .wait_us = 100, .quiet = true });
            poke64(at, peek64(at) ^ 1ull << bit % 64);
            q_context(0, 1, 0, 0, 0);
            assert_true(q_sync(0));
            if (fault_of(PLAIN, 0x3000) != (what ? 0xb : 0xa))
                fail_msg("bit %u of a %s entry is not refused", bit, what ? "context" : "root");
        }
}

/* 22: the reasons of second-stage tables are the guest's, too. */
static void hostile_22_second_stage_reasons(void **state)
{
    static const u64 hosts[] = { ECAP_DEFAULT, ECAP_DEFAULT | E_SMTS | E_SSTS | E_SMPWC };
    static const struct {
        unsigned level;
        u64 entry;
        unsigned reason;
    } bad[] = {
        { 3, REGION_BASE | 3, 0x7 }, /* a table that cannot be read */
        { 2, UNIT_BASE | 3, 0x7 },
        { 1, GUEST_DATA | 3 | 1ull << 62, 0xc },     /* reserved */
        { 2, (GUEST_DATA & ~0xfffull) | 0x83, 0xc }, /* a large page, misaligned */
        { 4, GUEST_TABLES | 0x83, 0xc },
        { 2, 1ull << 46 | GUEST_TABLES | 3, 0xc }, /* this host has 46 address bits */
        { 1, 1ull << 46 | GUEST_DATA | 3, 0xc },
        { 1, 0, 0x5 },
        { 1, GUEST_DATA | P_R, 0x5 },
        { 1, REGION_BASE | P_RW, 0x5 },
    };

    (void)state;
    for (unsigned i = 0; i < 2 * ARRAY_SIZE(bad); i++) {
        const u64 ecap = hosts[i / ARRAY_SIZE(bad)];
        const unsigned n = i % ARRAY_SIZE(bad);

        if (!n)
            in_use(&(struct world_cfg){ .wait_us = 100, .ecap = ecap });
        map_and_flush(0, 0x3000, GUEST_DATA);
        u64 at = guest_entry(0, 0x3000, bad[n].level), old = peek64(at);

        poke64(at, bad[n].entry);
        q_iotlb(0, 2, 5, 0, 0);
        assert_true(q_sync(0));
        if (fault_of(PLAIN, 0x3000) != bad[n].reason)
            fail_msg("entry %u: not reason %x", i, bad[n].reason);
        poke64(at, old);
        q_iotlb(0, 2, 5, 0, 0);
        assert_true(q_sync(0));
        only_outcome(PLAIN, 0x3000, GUEST_DATA);
        if (n < ARRAY_SIZE(bad) - 1)
            continue;
        assert_int_equal(fault_of(PLAIN, 1ull << 48), 0x4);
        poke64(at, GUEST_DATA | P_W); /* and a read */
        q_iotlb(0, 2, 5, 0, 0);
        assert_true(q_sync(0));
        guest_faults_clear(0);
        assert_int_equal(dma_lands(PLAIN, 0x3000, false), ~0ull);
        world_settle();
        u64 lo, hi;
        assert_true(guest_fault(0, &lo, &hi));
        assert_int_equal(hi >> 32 & 0xff, 0x6);
        guest_faults_clear(0); /* and a PASID, which legacy mode does not know */
        assert_int_equal(model_fn_dma_pasid(W.fn[PLAIN], 3, 0x3000, 8, true, &lo).status, MODEL_BLOCKED);
        world_settle();
        assert_true(guest_fault(0, &lo, &hi));
        assert_int_equal(hi >> 32 & 0xff, 0x31);
        finish();
    }
}

/* FPD: the guest does not want to hear of this function. */
static void faults_disabled(void **state)
{
    (void)state;
    for (unsigned bus = 0; bus < 4; bus += 3) {
        struct world_cfg cfg = { .wait_us = 100, .nr_fns = 1 };
        u16 sid = (u16)(bus << 8 | 0x18);

        cfg.fn[0] = (struct world_fn_cfg){ sid, 0, false, 0 };
        in_use(&cfg);
        poke64(ctx_at(sid), 2); /* not present, FPD */
        flush_context(sid);
        assert_int_equal(fault_of(0, 0x3000), 0);
        poke64(ctx_at(sid) + 8, 2 | 5 << 8);
        poke64(ctx_at(sid), G.dom[0].root | 3);
        flush_context(sid);
        assert_int_equal(fault_of(0, 0x3000), 0);
        poke64(ctx_at(sid), G.dom[0].root | 1);
        flush_context(sid);
        assert_int_equal(fault_of(0, 0x3000), 5);
        finish();
    }
    /* on a bus whose table never was: root entry present, context entry with FPD, from the start */
    struct world_cfg cfg = { .wait_us = 100, .nr_fns = 1, .ats = ATS_ALL };
    cfg.fn[0] = (struct world_fn_cfg){ 0x0318, 0, false, 0 };
    start(&cfg);
    poke64(ctx_at(0x0318), 2);
    guest_start();
    assert_int_equal(fault_of(0, 0x3000), 0);
    finish();
}

static void hostile_44_two_roots_one_id(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    guest_domain_init(1, 5, 4); /* the same id, another table */
    guest_map(0, 0x3000, GUEST_DATA, P_RW);
    guest_map(1, 0x3000, GUEST_DATA + 0x1000, P_RW);
    guest_attach(SID_ATS, 1, TT_ATS_ON);
    flush_context(SID_ATS);
    model_fill_all(W.unit[0]);
    only_outcome(PLAIN, 0x3000, GUEST_DATA);
    only_outcome(ATS, 0x3000, GUEST_DATA + 0x1000);
    only_outcome(ATS2, 0x3000, GUEST_DATA);
    guest_unmap(0, 0x3000);
    guest_unmap(1, 0x3000);
    q_iotlb(0, 3, 5, 0x3000, 0); /* one flush for both */
    assert_true(q_sync(0));
    for (unsigned f = 0; f < 3; f++)
        only_outcome(f, 0x3000, ~0ull);
    finish();
}

/* Two tables under one id, and more page flushes than a batch has room for: wider, never less. */
static void hostile_44_more_ranges_than_fit(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    guest_domain_init(1, 5, 4);
    guest_attach(SID_ATS, 1, TT_ATS_ON);
    flush_context(SID_ATS);
    for (unsigned n = 0; n < 2; n++) {
        for (unsigned i = 0; i < 240; i++)
            for (unsigned d = 0; d < 2; d++)
                guest_map(d, i << 14, GUEST_DATA + (u64)((i + d + n) % 64 << 12), P_RW);
        for (unsigned i = 0; i < 240; i++)
            q_iotlb(0, 3, 5, i << 14, 0);
        assert_true(q_sync(0));
        model_fill(W.unit[0], SID_ATS, 0, 960);
        for (unsigned i = 0; i < 240; i += 3) {
            only_outcome(PLAIN, i << 14, GUEST_DATA + (u64)((i + n) % 64 << 12));
            only_outcome(ATS, i << 14, GUEST_DATA + (u64)((i + 1 + n) % 64 << 12));
        }
    }
    finish();
}

/* More context entries change at once than a batch has room for, each asked for by itself. */
static void more_context_entries_than_fit(void **state)
{
    u64 buf = 0;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    map_and_flush(0, 0x3000, GUEST_DATA);
    for (unsigned on = 2; on-- > 0;) {
        for (unsigned i = 0; i < 200; i++) {
            if (on)
                guest_attach((u16)(0x0300 + i), 0, TT_SS);
            else
                guest_detach((u16)(0x0300 + i));
            q_context(0, 3, 5, (u16)(0x0300 + i), 0);
        }
        assert_true(q_sync(0));
        for (unsigned i = 0; i < 200; i++) {
            struct model_req r = { .sid = (u16)(0x0300 + i), .addr = 0x3000, .len = 8, .write = true };

            for (unsigned n = 0; n < 4; n++)
                assert_int_equal(model_dma(W.unit[0], &r, &buf).status, on ? MODEL_OK : MODEL_BLOCKED);
        }
    }
    finish();
}

/* The same id and the same table, read as one with more and one with fewer levels. */
static void hostile_44_one_table_two_widths(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    guest_map(0, 0x3000, GUEST_DATA, P_RW);
    guest_context(SID_ATS, TT_ATS_ON, 5, G.dom[0].root, 3);
    flush_context(SID_ATS);
    q_context(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
    only_outcome(PLAIN, 0x3000, GUEST_DATA);
    /* four levels down from what is a third-level table for it: entry 0 of each, and then entry 3 is missing
     */
    only_outcome(ATS, 0x3000, ~0ull);
    guest_context(SID_ATS, TT_ATS_ON, 5, peek64(G.dom[0].root) & ~0xfffull, 3);
    flush_context(SID_ATS);
    only_outcome(ATS, 0x3000, GUEST_DATA);
    finish();
}

/* An entry moves to another domain-id and nobody says so; a flush of either id reaches what is cached. */
static void hostile_44_moved_without_a_flush(void **state)
{
    (void)state;
    for (unsigned flushed = 0; flushed < 2; flushed++) {
        in_use(&(struct world_cfg){ .wait_us = 100 });
        map_and_flush(0, 0x3000, GUEST_DATA);
        guest_context(SID_ATS, TT_ATS_ON, 6, G.dom[0].root, 4);
        guest_unmap(0, 0x3000);
        q_iotlb(0, 3, flushed ? 6 : 5, 0x3000, 0);
        assert_true(q_sync(0));
        if (!flushed) { /* the old id is what caches know it by */
            only_outcome(ATS, 0x3000, ~0ull);
            only_outcome(PLAIN, 0x3000, ~0ull);
        }
        q_iotlb(0, 3, 5, 0x3000, 0);
        assert_true(q_sync(0));
        only_outcome(ATS, 0x3000, ~0ull);
        flush_context(SID_ATS);
        only_outcome(ATS, 0x3000, ~0ull);
        guest_map(0, 0x3000, GUEST_DATA + 0x1000, P_RW);
        q_iotlb(0, 3, 6, 0x3000, 0);
        assert_true(q_sync(0));
        only_outcome(ATS, 0x3000, GUEST_DATA + 0x1000);
        finish();
    }
}

/* More domains than the unit has ids: what does not fit is blocked, the rest works, ids come back. */
static unsigned absent; /* context entries that the unit found not present */

static void count_absent(const struct model_event *e)
{
    absent += e->type == MODEL_EV_FAULT && e->a == 2;
}

static void hostile_35_few_domain_ids(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .cap = CAP_DEFAULT & ~7ull });
    map_and_flush(0, 0x3000, GUEST_DATA);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 1; i < 16; i++)
            guest_context((u16)(0x0300 | i), TT_SS, (u16)i, GUEST_DATA + i * 0x1000, 4);
        q_context(0, 1, 0, 0, 0);
        q_iotlb(0, 1, 0, 0, 0);
        assert_true(q_sync(0));
        model_fill_all(W.unit[0]);
        only_outcome(ATS, 0x3000, GUEST_DATA);
        /* 16 there are: 0 is reserved, two are in use, so two of the 15 get none, and no other one's either
         */
        absent = 0;
        W.on_trace = count_absent;
        for (unsigned i = 1; i < 16; i++) {
            struct model_req r = { .sid = (u16)(0x0300 | i), .addr = 0x3000, .len = 8, .write = true };
            u64 buf = 0;

            assert_int_equal(model_dma(W.unit[0], &r, &buf).status, MODEL_BLOCKED);
        }
        assert_int_equal(absent, 2);
        for (unsigned i = 1; i < 16; i++)
            guest_detach((u16)(0x0300 | i));
        q_context(0, 1, 0, 0, 0);
        q_iotlb(0, 1, 0, 0, 0);
        assert_true(q_sync(0));
    }
    guest_domain_init(1, 9, 4);
    guest_map(1, 0x3000, GUEST_DATA + 0x1000, P_RW);
    guest_attach(SID_PLAIN, 1, TT_SS);
    flush_context(SID_PLAIN);
    only_outcome(PLAIN, 0x3000, GUEST_DATA + 0x1000);
    finish();

    /* And where there are more, they are told apart: the flush of one is not that of the other. */
    in_use(&(struct world_cfg){ .wait_us = 100 });
    announced(0, R_CAP, C_ND(2));
    guest_domain_init(1, 0x15, 4);
    guest_map(1, 0x3000, GUEST_DATA + 0x1000, P_RW);
    guest_attach(SID_PLAIN, 1, TT_SS);
    flush_context(SID_PLAIN);
    only_outcome(PLAIN, 0x3000, GUEST_DATA + 0x1000);
    guest_unmap(1, 0x3000);
    host_clear();
    q_iotlb(0, 3, 0x15, 0x3000, 0);
    assert_true(q_sync(0));
    only_outcome(PLAIN, 0x3000, ~0ull);
    assert_int_equal(host_dtlb(SID_ATS), 0);
    finish();
}

/* --- 37: what firmware left on --- */

static void fw_wait(u32 off, u32 bit, bool on)
{
    for (unsigned n = 0; n < 1000 && !(model_reg_read(W.unit[0], off, 4) & bit) == on; n++)
        model_step(W.unit[0]);
}

static void hostile_37_firmware_left_it_on(void **state)
{
    (void)state;
    for (unsigned left = 0; left < 16; left++)
        for (unsigned pace = 0; pace <= MODEL_PACE_MANUAL; pace++) {
            u64 cap = CAP_DEFAULT | (left & 8 ? 3ull << 5 : 0);
            struct model *m;

            assert_int_equal(
                world_boot(&(struct world_cfg){
                    .wait_us = 100, .ats = ATS_ALL, .pace = (u8)pace, .cap = cap, .seed = left }),
                0);
            m = W.unit[0];
            if (left & 1) { /* its own translation: one page for one device */
                poke64(0x70000, 0x71000 | 1);
                poke64(0x71000 + SID_PLAIN * 16 + 8, 2 | 3 << 8);
                poke64(0x71000 + SID_PLAIN * 16, 0x72000 | 1);
                poke64(0x72000, 0x73000 | 3);
                poke64(0x73000, 0x74000 | 3);
                poke64(0x74000, 0x75000 | 3);
                poke64(0x75000 + 3 * 8, GUEST_DATA | 3);
                model_reg_write(m, R_RTADDR, 8, 0x70000);
                model_reg_write(m, R_GCMD, 4, G_SRTP);
                fw_wait(R_GSTS, G_SRTP, true);
            }
            if (left & 2) { /* its own queue, with a tail that is not 0 */
                model_reg_write(m, R_IQA, 8, 0x76000);
                model_reg_write(m, R_GCMD, 4, G_QIE);
                fw_wait(R_GSTS, G_QIE, true);
                for (unsigned i = 0; i < 3; i++) {
                    poke64(0x76000 + i * 32, i ? 2 | 1 << 4 : 1 | 1 << 4);
                    poke64(0x76000 + i * 32 + 16, 5 | WAIT_SW | 0x33ull << 32);
                    poke64(0x76000 + i * 32 + 24, 0x77000);
                }
                model_reg_write(m, R_IQT, 8, 0x60);
                model_run(m, 1000);
            }
            if (left & 1) {
                model_reg_write(m, R_GCMD, 4, G_TE | (model_reg_read(m, R_GSTS, 4) & G_QIE));
                fw_wait(R_GSTS, G_TE, true);
                model_fill_all(m);
                only_outcome(PLAIN, 0x3000, GUEST_DATA);
            }
            if (left & 4 && left & 1) { /* events armed, a fault and a completion nobody looked at */
                dma_lands(ATS, REGION_BASE, true);
            }
            if (left & 8) { /* protected memory */
                model_reg_write(m, 0x68, 4, 0);
                model_reg_write(m, 0x6c, 4, 0xffffffff);
                model_reg_write(m, 0x64, 4, 1u << 31);
                fw_wait(0x64, 1, true);
            }
            model_clear_violations(m);
            assert_int_equal(world_protect(), 0);
            model_fill_all(m);
            for (unsigned f = 0; f < W.nr_fns; f++) {
                only_outcome(f, 0x3000, 0x3000);
                only_outcome(f, REGION_BASE, ~0ull);
                assert_int_equal(dma_lands(f, GUEST_DATA, true), GUEST_DATA);
            }
            assert_int_equal(model_reg_read(m, 0x64, 4), 0);
            G.ring_size = 256;
            G.tail[0] = 0;
            guest_start();
            finish();
        }
}

/* Firmware that translates in scalable mode, on units that let the mode change under way and that do not. */
static void hostile_37_firmware_in_scalable_mode(void **state)
{
    (void)state;
    for (unsigned esrtps = 0; esrtps < 2; esrtps++)
        for (unsigned pace = 0; pace <= MODEL_PACE_MANUAL; pace++) {
            struct model *m;

            assert_int_equal(
                world_boot(&(struct world_cfg){ .wait_us = 100,
                                                .ats = ATS_ALL,
                                                .pace = (u8)pace,
                                                .cap = CAP_DEFAULT | (esrtps ? C_ESRTPS : 0),
                                                .ecap = ECAP_DEFAULT | 1ull << 43 | 1ull << 46 }),
                0);
            m = W.unit[0];
            model_reg_write(m, R_RTADDR, 8,
                            0x70000 | 1 << 10); /* an empty root table: everything is blocked */
            model_reg_write(m, R_GCMD, 4, G_SRTP);
            fw_wait(R_GSTS, G_SRTP, true);
            model_reg_write(m, R_GCMD, 4, G_TE);
            fw_wait(R_GSTS, G_TE, true);
            model_fill_all(m);
            model_clear_violations(m);
            assert_int_equal(world_protect(), 0);
            for (unsigned f = 0; f < W.nr_fns; f++) {
                only_outcome(f, 0x3000, 0x3000);
                only_outcome(f, REGION_BASE, ~0ull);
            }
            finish();
        }
}

static void region_is_out_of_reach(void)
{
    for (unsigned f = 0; f < W.nr_fns; f++)
        assert_int_equal(dma_lands(f, REGION_BASE, true), ~0ull);
}

/*
 * The first start: from the guard on, no register write lets a device into the region, with firmware's
 * translation on in either mode or off, with and without protected memory, with and without ESRTPS, on units
 * with scalable mode that we can use and that we cannot. Then the second start takes over from the first.
 */
static void protection_is_never_dropped(void **state)
{
    (void)state;
    for (unsigned set = 0; set < 24; set++)
        for (unsigned pace = 0; pace <= MODEL_PACE_MANUAL; pace++) {
            bool regions = set & 1, esrtps = set & 2, ours_is_scalable = set & 4, bare;
            bool on = set / 8 != 0, scalable = set / 8 == 2;
            u64 cap = CAP_DEFAULT | (regions ? 3ull << 5 : 0) | (esrtps ? C_ESRTPS : 0);
            u64 ecap = ECAP_DEFAULT | 1ull << 43 | (ours_is_scalable ? 1ull << (46 + regions) : 0);

            assert_int_equal(
                world_boot(&(struct world_cfg){
                    .wait_us = 100, .ats = ATS_ALL, .pace = (u8)pace, .cap = cap, .ecap = ecap }),
                0);
            if (on) {
                model_reg_write(W.unit[0], R_RTADDR, 8, 0x70000 | (scalable ? 1 << 10 : 0)); /* empty */
                model_reg_write(W.unit[0], R_GCMD, 4, G_SRTP);
                fw_wait(R_GSTS, G_SRTP, true);
                model_reg_write(W.unit[0], R_GCMD, 4, G_TE);
                fw_wait(R_GSTS, G_TE, true);
            }
            /* What firmware used it for: either end of it, left as it is, would leave us out. */
            model_reg_write(W.unit[0], 0x68, 4, 0xf0000000);
            model_reg_write(W.unit[0], 0x6c, 4, 0x100000);
            model_fill_all(W.unit[0]);
            model_clear_violations(W.unit[0]);
            assert_int_equal(iommu_guard(REGION_BASE, REGION_MAX, &bare), 0);
            bool must_change = on && scalable && !ours_is_scalable && !esrtps;
            assert_int_equal(bare, !regions && (!on || must_change));
            W.on_write = bare ? NULL : region_is_out_of_reach;
            assert_int_equal(iommu_shut_out(), 0);
            W.on_write = region_is_out_of_reach;
            region_is_out_of_reach();
            assert_int_equal(world_protect(), 0);
            W.on_write = NULL;
            model_fill_all(W.unit[0]);
            for (unsigned f = 0; f < W.nr_fns; f++) {
                only_outcome(f, 0x3000, 0x3000);
                only_outcome(f, REGION_BASE, ~0ull);
            }
            assert_int_equal(model_reg_read(W.unit[0], 0x64, 4), 0);
            finish();
        }
}

/* --- another table mode --- */

#define SM_ROOT (RAM2_BASE + 0x1000)

/* All functions reach domain 1 through their plain requests: a directory, a table of PASIDs, entry 0. */
static void scalable_tables(void)
{
    memset(world_mem(RAM2_BASE), 0, 0x10000);
    poke64(RAM2_BASE + 0x2000, (RAM2_BASE + 0x3000) | 1);
    poke64(RAM2_BASE + 0x3000 + 8, 6);
    poke64(RAM2_BASE + 0x3000, 1 | 2 << 6 | 2 << 2 | G.dom[1].root);
    for (unsigned f = 0; f < W.nr_fns; f++) {
        u16 sid = W.cfg.fn[f].sid;
        u64 table = RAM2_BASE + 0x4000 + (sid >> 8) * 0x1000;

        poke64(SM_ROOT + (sid >> 8) * 16, table | 1);
        poke64(table + (sid & 0x7f) * 32, (RAM2_BASE + 0x2000) | (W.cfg.fn[f].ats ? 1 << 2 : 0) | 1);
    }
}

static void change_mode(bool scalable, bool te)
{
    if (!te)
        guest_gcmd(0, G_TE, false);
    guest_gcmd(0, G_QIE, false);
    guest_w64(0, R_RTADDR, scalable ? SM_ROOT | 1 << 10 : GUEST_ROOT);
    guest_gcmd(0, G_SRTP, true);
    G.scalable = scalable;
    guest_queue_on(0);
    q_context(0, 1, 0, 0, 0);
    if (scalable)
        q_pasid(0, 3, 0, 0);
    q_iotlb(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
    if (!te)
        guest_gcmd(0, G_TE, true);
}

/* From legacy to scalable mode and back, with translation off meanwhile or not: what the new root says is all
 * that counts, and flushes in the words of the new mode are enough. */
static void the_guest_changes_its_table_mode(void **state)
{
    (void)state;
    for (unsigned te = 0; te < 2; te++)
        for (unsigned host = 0; host < 2; host++) {
            in_use(&(struct world_cfg){ .wait_us = 100,
                                        .ecap = ECAP_DEFAULT | E_SMTS | E_SSTS | E_SMPWC |
                                                (host ? E_FSTS | E_NEST | E_PASID | E_PSS : 0) });
            guest_domain_init(1, 6, 4);
            guest_map(1, 0x3000, GUEST_DATA + 0x1000, P_RW);
            scalable_tables();
            map_and_flush(0, 0x3000, GUEST_DATA);
            for (unsigned round = 0; round < 3; round++) {
                change_mode(true, te);
                model_fill_all(W.unit[0]);
                for (unsigned f = 0; f < W.nr_fns; f++)
                    only_outcome(f, 0x3000, GUEST_DATA + 0x1000 + round * 0x2000);
                guest_map(1, 0x3000, GUEST_DATA + 0x3000 + round * 0x2000, P_RW);
                q_iotlb(0, 3, 6, 0x3000, 0);
                assert_true(q_sync(0));
                for (unsigned f = 0; f < W.nr_fns; f++)
                    only_outcome(f, 0x3000, GUEST_DATA + 0x3000 + round * 0x2000);
                model_fill_all(W.unit[0]);
                change_mode(false, te);
                model_fill_all(W.unit[0]);
                for (unsigned f = 0; f < W.nr_fns; f++)
                    only_outcome(f, 0x3000, GUEST_DATA + round * 0x2000);
                guest_map(0, 0x3000, GUEST_DATA + 0x2000 + round * 0x2000, P_RW);
                q_iotlb(0, 3, 5, 0x3000, 0);
                assert_true(q_sync(0));
                for (unsigned f = 0; f < W.nr_fns; f++)
                    only_outcome(f, 0x3000, GUEST_DATA + 0x2000 + round * 0x2000);
                model_fill_all(W.unit[0]);
            }
            finish();
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_16_context_flush_only),
        cmocka_unit_test(function_masks),
        cmocka_unit_test(hostile_16_domain_id_reused),
        cmocka_unit_test(hostile_22_root_pointer),
        cmocka_unit_test(hostile_22_and_24_entries),
        cmocka_unit_test(hostile_22_second_stage_reasons),
        cmocka_unit_test(faults_disabled),
        cmocka_unit_test(hostile_44_two_roots_one_id),
        cmocka_unit_test(hostile_44_more_ranges_than_fit),
        cmocka_unit_test(more_context_entries_than_fit),
        cmocka_unit_test(hostile_44_one_table_two_widths),
        cmocka_unit_test(hostile_44_moved_without_a_flush),
        cmocka_unit_test(hostile_35_few_domain_ids),
        cmocka_unit_test(hostile_37_firmware_left_it_on),
        cmocka_unit_test(hostile_37_firmware_in_scalable_mode),
        cmocka_unit_test(protection_is_never_dropped),
        cmocka_unit_test(the_guest_changes_its_table_mode),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
