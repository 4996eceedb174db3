/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * The virtual unit's registers: access widths, commands, register-based invalidation, events and faults; and
 * the same accesses on the virtual and on a bare unit with what the virtual one announces.
 */
#include "iommu/parts.h"
#include "tests/unit/world_test.h"

static void hostile_07_widths(void **state)
{
    u64 before[0x240 / 8];

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    for (unsigned off = 0; off < 0x240; off += 8)
        before[off / 8] = guest_read(0, off, 8);
    /* narrow, misaligned and straddling writes do nothing; nothing is forwarded */
    host_clear();
    for (unsigned off = 0; off < 0x1000; off++)
        for (unsigned width = 1; width <= 8; width *= 2)
            if (width < 4 || off % 4)
                guest_write(0, off, width, ~0ull);
    for (unsigned off = 0; off < 0x240; off += 8)
        assert_int_equal(guest_read(0, off, 8), before[off / 8]);
    assert_int_equal(nr_host, 0);
    /* nobody's registers read 0 and stay 0 */
    for (unsigned off = 0x240; off < 0x1000; off += 8) {
        guest_write(0, off, 8, ~0ull);
        assert_int_equal(guest_read(0, off, 8), 0);
    }
    guest_write(0, 0xffc, 8, ~0ull);
    /* any width reads the bytes that are there */
    for (unsigned off = 0; off < 0x20; off++) {
        u64 word = guest_read(0, off & ~7u, 8), next = guest_read(0, (off & ~7u) + 8, 8);
        u64 want = off % 8 ? word >> (off % 8 * 8) | next << (64 - off % 8 * 8) : word;

        assert_int_equal(guest_read(0, off, 1), want & 0xff);
        assert_int_equal(guest_read(0, off, 2), want & 0xffff);
        assert_int_equal(guest_read(0, off, 4), want & 0xffffffff);
        assert_int_equal(guest_read(0, off, 8), want);
    }
    finish();
}

static void hostile_07_half_registers(void **state)
{
    (void)state;
    start(&(struct world_cfg){ .wait_us = 100 });
    guest_w32(0, R_RTADDR, GUEST_ROOT);
    guest_w32(0, R_RTADDR + 4, 0);
    guest_w32(0, R_RTADDR + 4, 0x5);
    assert_int_equal(guest_read(0, R_RTADDR, 8), 0x500000000ull | GUEST_ROOT);
    guest_w64(0, R_RTADDR, ~0ull);
    assert_int_equal(guest_read(0, R_RTADDR, 8), ~0x3ffull);
    guest_w32(0, R_IQA, 0xffffffff);
    guest_w32(0, R_IQA + 4, 0x7);
    assert_int_equal(guest_read(0, R_IQA, 8), 0x7fffff807ull);
    guest_w64(0, R_FEADDR, 0x12345678fee00003ull); /* address and its upper half in one */
    assert_int_equal(guest_r32(0, R_FEADDR), 0xfee00000);
    assert_int_equal(guest_r32(0, R_FEUADDR), 0x12345678);
    guest_w64(0, R_FECTL, 0x12347fffffffull); /* control and data: IM off */
    assert_int_equal(guest_r32(0, R_FECTL), 0);
    assert_int_equal(guest_r32(0, R_FEDATA), 0x1234);
    /* the queue is turned on: neither half of its address moves */
    guest_queue_on(0);
    guest_w32(0, R_IQA, 0x100000);
    guest_w32(0, R_IQA + 4, 1);
    assert_int_equal(guest_read(0, R_IQA, 8), GUEST_RING);
    guest_w64(0, R_IQA, REGION_BASE);
    assert_int_equal(guest_read(0, R_IQA, 8), GUEST_RING);
    /* read-only ones */
    static const u32 ro[] = { R_VER, R_CAP, R_CAP + 4, R_ECAP, R_GSTS, R_IQH, R_IQERCD };
    for (unsigned i = 0; i < ARRAY_SIZE(ro); i++) {
        u32 was = guest_r32(0, ro[i]);

        guest_w32(0, ro[i], ~was);
        assert_int_equal(guest_r32(0, ro[i]), was);
    }
    finish();
}

/* ND, SAGAW, FRO and NFR have values of their own. */
#define NOT_THESE (7ull | 0x1full << 8 | 0x3ffull << 24 | 0xffull << 40)

/* What is announced is known, is what the host can do, and has caching mode. */
static void announced_capabilities(void **state)
{
    static const struct {
        u64 cap, ecap;
    } hosts[] = {
        { CAP_DEFAULT, ECAP_DEFAULT },
        /* all but the scalable mode and interrupt remapping, which have tests of their own */
        { (~0ull & ~NOT_THESE & ~(0x3full << 48)) | 18ull << 48 | C_BASE | C_ND(2) | C_SAGAW(0xe),
          (~0ull & ~0x8000003ff08ull) | E_BASE },
        { C_BASE | C_ND(0) | C_SAGAW(2) | C_NFR(1), E_BASE | E_QI },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(hosts); i++) {
        u64 cap, ecap;

        start(&(struct world_cfg){
            .cap = hosts[i].cap, .ecap = hosts[i].ecap, .wait_us = 100, .ats = ATS_ALL });
        cap = guest_read(0, R_CAP, 8);
        ecap = guest_read(0, R_ECAP, 8);
        assert_true(cap & C_CM);
        /* RWBF, PMRs, first stage, ESRTPS, page interrupts, and bits without a name: never */
        assert_int_equal(cap & ~(7ull | C_CM | 0xeull << 8 | 0x3full << 16 | 1ull << 22 | 0x3ffull << 24 |
                                 3ull << 34 | C_PSI | 0xffull << 40 | 0x3full << 48 | C_DRAIN),
                         0);
        assert_int_equal(ecap & ~(E_C | E_QI | E_DT | E_PT | E_SC | 0x3ffull << 8), 0);
        /* the host's, apart from CM and where the registers are */
        assert_int_equal(cap & ~(C_CM | 0x3ffull << 24 | 0xffull << 40) & ~hosts[i].cap, 0);
        assert_int_equal(ecap & ~(0x3ffull << 8) & ~hosts[i].ecap, 0);
    }
    start(&(struct world_cfg){ .ats = ATS_OFF, .wait_us = 100 });
    assert_int_equal(guest_read(0, R_ECAP, 8) & E_DT, 0);
}

/* "Device-TLB invalidation is implied": one more bit of ECAP, unless the unit has its own meaning for it. */
static void the_hint_is_a_bit(void **state)
{
    static const u8 bits[] = { 5, 18, 19, 24, 27, 28, 32, 54, 63 };
    u64 plain;

    (void)state;
    start(&(struct world_cfg){ .ats = ATS_ALL, .wait_us = 100 });
    plain = guest_read(0, R_ECAP, 8);
    for (unsigned i = 0; i < ARRAY_SIZE(bits); i++) {
        unsigned bit = bits[i];

        start(&(struct world_cfg){ .ats = ATS_ALL, .wait_us = 100, .dtlb_hint = (u8)bit });
        announced(0, R_ECAP, 1ull << bit);
        assert_int_equal(guest_read(0, R_ECAP, 8), plain | 1ull << bit);
        start(&(struct world_cfg){
            .ats = ATS_ALL, .wait_us = 100, .dtlb_hint = (u8)bit, .ecap = ECAP_DEFAULT | 1ull << bit });
        assert_int_equal(guest_read(0, R_ECAP, 8), plain);
    }
}

static void hostile_21_event_address(void **state)
{
    static const struct {
        u64 addr;
        u32 data;
        bool good;
    } messages[] = {
        { 0xfee00000, 0x41, true },   { 0xfee0f00c, 0x141, true },  { 0xfee00000, 0x441, false },
        { 0xfee00000, 0x541, false }, { 0xfee00000, 0x241, false }, { 0xfee00000, 0x741, false },
        { REGION_BASE, 0x41, false }, { UNIT_BASE, 0x41, false },   { 0x1fee00000ull, 0x41, false },
        { 0xfec00000, 0x41, false },
    };

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    guest_w32(0, R_IECTL, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(messages); i++) {
        unsigned sent = W.irqs, refused = W.refused_irqs;

        guest_w32(0, R_IEDATA, messages[i].data);
        guest_w64(0, R_IEADDR, messages[i].addr);
        guest_w32(0, R_ICS, 1);
        q_wait_flags(0, WAIT_IF, 0, 0);
        q_ring(0);
        world_settle();
        assert_int_equal(W.irqs - sent, messages[i].good);
        assert_int_equal(W.refused_irqs - refused, !messages[i].good);
    }
    finish();
}

/* --- 27: commands --- */

static void hostile_27_root_pointer_while_on(void **state)
{
    u64 other = 0x70000;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    map_and_flush(0, 0x3000, GUEST_DATA);
    /* another root table, in which only the first function is left, in another domain */
    guest_domain_init(1, 6, 4);
    guest_map(1, 0x3000, GUEST_DATA + 0x5000, P_RW);
    poke64(other, (other + 0x1000) | 1);
    poke64(other + 0x1000 + SID_PLAIN * 16 + 8, 2 | 6 << 8);
    poke64(other + 0x1000 + SID_PLAIN * 16, G.dom[1].root | 1);
    guest_w64(0, R_RTADDR, other);
    only_outcome(PLAIN, 0x3000, GUEST_DATA); /* written only */
    guest_gcmd(0, G_SRTP, true);
    only_outcome(PLAIN, 0x3000, GUEST_DATA + 0x5000);
    only_outcome(ATS, 0x3000, ~0ull);
    only_outcome(ATS2, 0x3000, ~0ull);
    finish();
}

static void ccmd(u64 value)
{
    guest_w64(0, R_CCMD, value | 1ull << 63);
    for (unsigned n = 0; n < 1000 && guest_read(0, R_CCMD, 8) >> 63; n++)
        world_run(1);
    assert_int_equal(guest_read(0, R_CCMD, 8) >> 63, 0);
}

/* Without their command bit the registers that invalidate are just written. */
static void written_and_not_commanded(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    guest_w64(0, R_CCMD, 1ull << 61);
    guest_w64(0, (guest_read(0, R_ECAP, 8) >> 8 & 0x3ff) * 16 + 8, 1ull << 60);
    assert_int_equal(nr_host, 0);
    finish();
}

static void hostile_27_other_table_modes(void **state)
{
    (void)state;
    for (unsigned sm = 0; sm < 2; sm++) { /* where it is announced, mode 1 is the scalable one */
        in_use(&(struct world_cfg){ .wait_us = 100,
                                    .ecap = ECAP_DEFAULT | (sm ? E_SMTS | E_SSTS | E_SMPWC : 0) });
        for (u64 ttm = 1 + sm; ttm < 4; ttm++) {
            u64 lo, hi;

            map_and_flush(0, 0x3000, GUEST_DATA);
            guest_w64(0, R_RTADDR, GUEST_ROOT | ttm << 10);
            guest_gcmd(0, G_SRTP, true);
            only_outcome(PLAIN, 0x3000, ~0ull);
            only_outcome(ATS, 0x3000, ~0ull);
            guest_faults_clear(0);
            assert_int_equal(dma_lands(PLAIN, 0x3000, true), ~0ull);
            world_settle();
            assert_true(guest_fault(0, &lo, &hi));
            assert_int_equal(hi >> 32 & 0xff, ttm == 3 ? 0x33 : 0x30);
            /* the reserved mode knows no descriptors, the others none of 128 bits */
            u32 wait = q_wait(0);
            q_ring(0);
            world_settle();
            assert_false(q_done(wait));
            assert_int_equal(iqe(0), ttm == 2 ? 7 : 5);
            /* nor a register that invalidates the context cache */
            host_clear();
            ccmd(1ull << 61);
            assert_int_equal(guest_read(0, R_CCMD, 8) >> 59 & 3, 0);
            assert_int_equal(nr_host, 0);
            guest_w64(0, R_RTADDR, GUEST_ROOT);
            guest_gcmd(0, G_SRTP, true);
            guest_w32(0, R_FSTS, FS_IQE);
            world_settle();
            assert_true(q_done(wait));
            only_outcome(PLAIN, 0x3000, GUEST_DATA);
        }
        finish();
    }
}

static void hostile_27_several_commands_at_once(void **state)
{
    (void)state;
    start(&(struct world_cfg){ .wait_us = 100, .ats = ATS_ALL });
    poke64(GUEST_ROOT, GUEST_CTX | 1);
    guest_w64(0, R_RTADDR, GUEST_ROOT);
    guest_w64(0, R_IQA, GUEST_RING);
    guest_w32(0, R_GCMD, G_SRTP | G_TE | G_QIE | 0x0b00ffff);
    world_settle();
    assert_int_equal(guest_r32(0, R_GSTS), G_SRTP | G_TE | G_QIE);
    only_outcome(PLAIN, GUEST_DATA, ~0ull);
    G.ring_size = 256;
    assert_true(q_sync(0));
    /* everything off */
    guest_w32(0, R_GCMD, 0);
    world_settle();
    assert_int_equal(guest_r32(0, R_GSTS) & (G_TE | G_QIE), 0);
    only_outcome(PLAIN, GUEST_DATA, GUEST_DATA);
    only_outcome(PLAIN, REGION_BASE, ~0ull);
    finish();
}

/* When the guest sees translation off, what its tables said is gone from every cache. */
static void hostile_27_off_means_off(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 20; seed++) {
        u32 sts;

        in_use(&(struct world_cfg){ .pace = MODEL_PACE_DELAYED, .pace_max = 4, .seed = seed });
        map_and_flush(0, 0x3000, GUEST_DATA);
        sts = guest_r32(0, R_GSTS);
        guest_w32(0, R_GCMD, sts & 0x96ffffff & ~G_TE);
        while (guest_r32(0, R_GSTS) & G_TE)
            world_run(1);
        only_outcome(PLAIN, 0x3000, 0x3000);
        only_outcome(ATS, 0x3000, 0x3000);
        /* and on means on */
        guest_w32(0, R_GCMD, (sts & 0x96ffffff) | G_TE);
        while (!(guest_r32(0, R_GSTS) & G_TE))
            world_run(1);
        only_outcome(PLAIN, 0x3000, GUEST_DATA);
        only_outcome(ATS, 0x3000, GUEST_DATA);
        finish();
    }
}

static u64 iotlb_reg(u64 value, u64 iva)
{
    u32 off = (u32)(guest_read(0, R_ECAP, 8) >> 8 & 0x3ff) * 16;

    guest_w64(0, off, iva);
    guest_w64(0, off + 8, value | 1ull << 63);
    for (unsigned n = 0; n < 1000 && guest_read(0, off + 8, 8) >> 63; n++)
        world_run(1);
    assert_int_equal(guest_read(0, off + 8, 8) >> 63, 0);
    return guest_read(0, off + 8, 8) >> 57 & 3;
}

static void register_based_invalidation(bool queue_on, u8 pace)
{
    in_use(&(struct world_cfg){ .wait_us = pace ? 0 : 100, .pace = pace });
    map_and_flush(0, 0x3000, GUEST_DATA);
    map_and_flush(0, 0x4000, GUEST_DATA + 0x1000);
    if (!queue_on)
        guest_gcmd(0, G_QIE, false);
    guest_unmap(0, 0x3000);
    host_clear();
    assert_int_equal(iotlb_reg(3ull << 60 | 3ull << 48 | 5ull << 32, 0x3000), 3);
    assert_int_equal(host_dtlb(SID_ATS) + host_dtlb(SID_ATS2), 2);
    only_outcome(PLAIN, 0x3000, ~0ull);
    only_outcome(ATS, 0x3000, ~0ull);
    guest_unmap(0, 0x4000);
    host_clear();
    assert_int_equal(iotlb_reg(2ull << 60 | 5ull << 32, 0), 2);
    assert_int_equal(host_dtlb(SID_ATS) + host_dtlb(SID_ATS2), 2);
    only_outcome(PLAIN, 0x4000, ~0ull);
    only_outcome(ATS2, 0x4000, ~0ull);
    assert_int_equal(iotlb_reg(1ull << 60, 0), 1);
    assert_int_equal(iotlb_reg(0, 0), 0); /* reserved: ignored, and said so */
    /* a page request larger than MAMV is never under-flushed */
    guest_map(0, 0x3000, GUEST_DATA, P_RW);
    iotlb_reg(2ull << 60 | 5ull << 32, 0);
    model_fill_all(W.unit[0]);
    guest_unmap(0, 0x3000);
    if (iotlb_reg(3ull << 60 | 5ull << 32, 0x3000 | 0x3f)) {
        only_outcome(PLAIN, 0x3000, ~0ull);
        only_outcome(ATS, 0x3000, ~0ull);
    }
    guest_map(0, 0x3000, GUEST_DATA, P_RW);
    iotlb_reg(2ull << 60 | 5ull << 32, 0);
    /* context entries: device, domain, global */
    for (u64 g = 1; g <= 3; g++) {
        guest_attach(SID_PLAIN, 0, TT_SS);
        guest_attach(SID_ATS, 0, TT_ATS_ON);
        ccmd(1ull << 61);
        model_fill_all(W.unit[0]);
        only_outcome(ATS, 0x3000, GUEST_DATA);
        guest_detach(SID_ATS);
        host_clear();
        ccmd(g << 61 | (u64)SID_ATS << 16 | 5);
        assert_int_equal(guest_read(0, R_CCMD, 8) >> 59 & 3, g);
        assert_true(host_dtlb(SID_ATS));
        only_outcome(ATS, 0x3000, ~0ull);
        only_outcome(PLAIN, 0x3000, GUEST_DATA);
    }
    ccmd(0);
    assert_int_equal(guest_read(0, R_CCMD, 8) >> 59 & 3, 0);
    finish();
}

static void hostile_27_register_based_invalidation(void **state)
{
    (void)state;
    register_based_invalidation(false, MODEL_PACE_AT_ONCE);
    register_based_invalidation(false, MODEL_PACE_DELAYED);
    register_based_invalidation(true, MODEL_PACE_AT_ONCE);
    register_based_invalidation(true, MODEL_PACE_MANUAL);
    announced(0, R_ECAP, 0xfull << 8); /* IRO: where they were written */
}

/* A mask as large as the unit takes, and one larger, of which it is said that nothing was done. */
static void hostile_27_masks(void **state)
{
    (void)state;
    for (u64 am = 17; am <= 20; am++) {
        in_use(&(struct world_cfg){ .wait_us = 100 });
        host_clear();
        assert_int_equal(iotlb_reg(3ull << 60 | 5ull << 32, 0x40000000 | am), am <= 18 ? 3 : 0);
        assert_int_equal(host[0].q0 >> 4 & 3, am <= 18 ? 3 : 2);
        if (am <= 18)
            assert_int_equal(host[0].q1, 0x40000000 | am);
        finish();
    }
}

/* The window's end, and accesses of more or less than a register there is. */
static void hostile_07_edges(void **state)
{
    static const struct {
        u32 off;
        u64 writable;
    } wide[] = { { R_RTADDR, ~0x3ffull }, { R_IRTA, ~0x7f0ull }, { 0xf0, ~0xf80ull }, { R_IQA, ~0x7f8ull } };
    u32 last = VREGS_SIZE / 4 - 1;
    struct unit *u;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    u = units[0];
    u->v.regs[last] = 1u << 31;
    assert_int_equal(guest_read(0, VREGS_SIZE - 1, 1), 0x80);
    assert_int_equal(guest_read(0, VREGS_SIZE - 8, 8), 1ull << 63);
    assert_int_equal(guest_read(0, VREGS_SIZE - 4, 8), 1ull << 31);
    assert_int_equal(guest_read(0, VREGS_SIZE, 4) | guest_read(0, VREGS_SIZE, 8), 0);
    assert_int_equal(guest_read(0, R_CAP, 16), guest_read(0, R_CAP, 8));
    guest_write(0, VREGS_SIZE - 4, 8, ~0ull);
    assert_int_equal(u->v.regs[last], 1u << 31);
    guest_write(0, VREGS_SIZE, 4, ~0ull);
    assert_int_equal(u->v.cap, guest_read(0, R_CAP, 8));
    guest_write(0, VREGS_SIZE - 4, 4, 1u << 31);
    assert_int_equal(u->v.regs[last], 0);
    u32 tail = guest_r32(0, R_IQT);
    guest_write(0, R_IQT, 3, tail + 0x10);
    assert_int_equal(guest_r32(0, R_IQT), tail);
    for (u32 off = 0xc0; off < 0xf0; off += 4) { /* page requests, which are not announced */
        guest_w32(0, off, ~0u);
        assert_int_equal(guest_r32(0, off), 0);
    }
    guest_gcmd(0, G_QIE, false);
    for (unsigned i = 0; i < ARRAY_SIZE(wide); i++) {
        guest_w64(0, wide[i].off, ~0ull);
        assert_int_equal(guest_read(0, wide[i].off, 8), wide[i].writable);
    }
    finish();
}

/* PASIDs as wide as the unit has them, and as ours are. */
static void hostile_35_widths_of_pasids(void **state)
{
    (void)state;
    for (u64 bits = 8; bits <= 20; bits += 3) {
        start(&(struct world_cfg){
            .wait_us = 100, .ecap = ECAP_DEFAULT | E_PASID | (bits - 1) << 35 | E_SMTS | E_SSTS | E_SMPWC });
        assert_int_equal(guest_read(0, R_ECAP, 8) >> 35 & 31, MIN(bits, 14ull) - 1);
    }
}

/* --- 34: faults --- */

static void hostile_34_fault_reaches_the_guest(void **state)
{
    u64 lo, hi;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    guest_w32(0, R_FEDATA, 0x42);
    guest_w32(0, R_FEADDR, 0xfee00000);
    guest_w32(0, R_FECTL, 0);
    assert_int_equal(dma_lands(PLAIN, 0x7123, true), ~0ull);
    world_deliver();
    assert_int_equal(W.irqs, 1);
    assert_int_equal(W.irq[0].data, 0x42);
    assert_int_equal(guest_r32(0, R_FSTS), FS_PPF);
    assert_true(guest_fault(0, &lo, &hi));
    assert_int_equal(lo, 0x7000);
    assert_int_equal(hi, 1ull << 63 | 5ull << 32 | SID_PLAIN); /* a write that no entry allows */
    guest_faults_clear(0);
    assert_int_equal(guest_r32(0, R_FSTS), 0);
    assert_int_equal(dma_lands(PLAIN, 0x8000, false), ~0ull);
    world_deliver();
    assert_true(guest_fault(0, &lo, &hi));
    assert_int_equal(hi, 3ull << 62 | 6ull << 32 | SID_PLAIN);
    assert_int_equal(W.irqs, 2);
    announced(0, R_CAP, 0x22ull << 24); /* FRO: where guest_fault() reads */
    finish();
}

/* The guest's FSTS, apart from where its records begin. */
static u32 fault_status(void)
{
    return guest_r32(0, R_FSTS) & 0xff;
}

/* Some time later, at an exit. */
static void later(void)
{
    W.now_us += 2000;
    if (iommu_busy())
        (void)iommu_event();
    world_deliver();
}

static void hostile_34_fault_storm(void **state)
{
    u64 lo, hi;

    (void)state;
    for (unsigned nfr = 1; nfr <= 8; nfr += 7) {
        in_use(&(struct world_cfg){ .wait_us = 100, .cap = (CAP_DEFAULT & ~(0xffull << 40)) | C_NFR(nfr) });
        guest_w32(0, R_FEDATA, 0x42);
        guest_w32(0, R_FEADDR, 0xfee00000);
        guest_w32(0, R_FECTL, 0);
        W.events = 0;
        for (unsigned i = 0; i < 1000; i++) {
            dma_lands(PLAIN, 0x100000 + (i << 12), true);
            if (i % 7 == 0)
                world_deliver();
        }
        world_deliver();
        assert_true(W.events <= 66); /* and what comes faster than that does not reach the processor */
        later();
        assert_int_equal(W.irqs, 1); /* one event until the guest has cleared everything */
        assert_int_equal(fault_status(), FS_PPF | FS_PFO);
        assert_true(guest_fault(0, &lo, &hi));
        assert_int_equal(lo, 0x100000); /* the first one is kept */
        /* with the overflow standing nothing is recorded */
        u64 cap = guest_read(0, R_CAP, 8);
        for (unsigned i = 0; i <= (cap >> 40 & 0xff); i++)
            guest_w32(0, (u32)(cap >> 24 & 0x3ff) * 16 + 16 * i + 12, 1u << 31);
        dma_lands(PLAIN, 0x9000, true);
        later();
        assert_int_equal(fault_status(), FS_PFO);
        guest_w32(0, R_FSTS, FS_PFO);
        dma_lands(PLAIN, 0xa000, true);
        later();
        assert_true(guest_fault(0, &lo, &hi));
        assert_int_equal(lo, 0xa000);
        assert_int_equal(W.irqs, 2);
        /* a fault that comes while the unit's records are full is still not the last one told */
        guest_faults_clear(0);
        dma_lands(PLAIN, 0xb000, true);
        later();
        assert_true(guest_fault(0, &lo, &hi));
        assert_int_equal(lo, 0xb000);
        finish();
    }
}

/* So many in a millisecond are told one by one, and one more is too many; slower ones never are; and those
 * that come while records are read are read up to four times as many as there are records. */
static struct model_req faulty = { .sid = SID_PLAIN, .addr = 0x100000, .len = 8, .write = true };

static void fault_again(void)
{
    model_fault(W.unit[0], 5, &faulty);
}

static void hostile_34_how_many_make_a_storm(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    for (unsigned i = 0; i <= 64; i++) {
        assert_false(units[0]->faults_masked);
        model_fault(W.unit[0], 5, &faulty);
        assert_true(iommu_event());
    }
    assert_true(units[0]->faults_masked);
    later();
    for (unsigned i = 0; i < 200; i++) {
        later();
        model_fault(W.unit[0], 5, &faulty);
        assert_true(iommu_event());
        assert_false(units[0]->faults_masked);
    }
    finish();
    for (unsigned nfr = 1; nfr <= 8; nfr += 7) {
        in_use(&(struct world_cfg){ .wait_us = 100, .cap = (CAP_DEFAULT & ~(0xffull << 40)) | C_NFR(nfr) });
        W.on_write = fault_again;
        model_fault(W.unit[0], 5, &faulty);
        assert_true(iommu_event());
        assert_int_equal(units[0]->fault_count, 4 * nfr);
        W.on_write = NULL;
    }
}

/* What a unit may say, and what a guest in legacy mode is told for a write to which its tables give no right:
 * the same in its own words, or that; of interrupts nothing, while it does not remap. */
static void hostile_34_words(void **state)
{
    static const u8 words[][2] = { { 0x01, 0x01 }, { 0x02, 0x02 }, { 0x04, 0x04 }, { 0x05, 0x05 },
                                   { 0x0c, 0x0c }, { 0x0d, 0x0d }, { 0x1f, 0x1f }, { 0x20, 0 },
                                   { 0x26, 0 },    { 0x27, 0x27 }, { 0x39, 0x01 }, { 0x41, 0x02 },
                                   { 0x44, 0x0d }, { 0x45, 0x31 }, { 0x59, 0x02 }, { 0x71, 0x05 },
                                   { 0x73, 0x73 }, { 0x74, 0x05 }, { 0x77, 0x05 }, { 0x7b, 0x05 },
                                   { 0x7c, 0x7c }, { 0x80, 0x05 }, { 0x83, 0x04 }, { 0x84, 0x05 },
                                   { 0x85, 0x05 }, { 0x87, 0x0e } };
    u64 lo, hi;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
        guest_faults_clear(0);
        model_fault(W.unit[0], words[i][0], &faulty);
        later();
        assert_int_equal(guest_fault(0, &lo, &hi), words[i][1] != 0);
        if (words[i][1])
            assert_int_equal(hi >> 32 & 0xff, words[i][1]);
    }
    finish();
}

/* Records are a ring: filled in order, from where the last one ended, FRI telling the first. One that is
 * still there when its turn comes makes the overflow. */
static void hostile_34_records_are_a_ring(void **state)
{
    u64 cap, lo, hi;
    u32 at;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    cap = guest_read(0, R_CAP, 8);
    at = (u32)(cap >> 24 & 0x3ff) * 16;
    unsigned n = (unsigned)(cap >> 40 & 0xff) + 1;
    assert_true(n > 1);
    for (unsigned round = 0; round < 3 * n; round++) {
        for (unsigned i = 0; i < 3; i++) {
            dma_lands(i == 1 ? ATS2 : PLAIN, 0x20000 + (round * 3 + i) * 0x1000ull, true);
            later();
        }
        assert_int_equal(guest_r32(0, R_FSTS), FS_PPF | (round * 3 % n) << 8);
        for (unsigned i = 0; i < 3; i++) {
            u32 record = at + (round * 3 + i) % n * 16;

            assert_int_equal(guest_read(0, record, 8), 0x20000 + (round * 3 + i) * 0x1000ull);
            assert_int_equal(guest_read(0, record + 8, 8) & 0xffff, i == 1 ? SID_ATS2 : SID_PLAIN);
            assert_int_equal(fault_status(), FS_PPF);
            guest_w32(0, record + 12, 1u << 31);
        }
        assert_int_equal(fault_status(), 0);
    }
    /* all but the first are read, so the ring is full with one record in it */
    for (unsigned i = 0; i < n; i++) {
        dma_lands(PLAIN, 0x90000 + (i << 12), true);
        later();
    }
    assert_int_equal(fault_status(), FS_PPF);
    for (unsigned i = 1; i < n; i++)
        guest_w32(0, at + (3 * 3 * n + i) % n * 16 + 12, 1u << 31);
    dma_lands(PLAIN, 0x70000, true);
    later();
    assert_int_equal(fault_status(), FS_PPF | FS_PFO);
    assert_true(guest_fault(0, &lo, &hi));
    assert_int_equal(lo, 0x90000);
    announced(0, R_CAP, C_NFR(8));
    finish();
}

/* FECTL.IM: the event is kept pending, and goes out when the mask comes off, or never when all is cleared. */
static void hostile_34_masked_event(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    guest_w32(0, R_FEDATA, 0x42);
    guest_w32(0, R_FEADDR, 0xfee00000);
    for (unsigned cleared = 0; cleared < 2; cleared++) {
        guest_w32(0, R_FECTL, 1u << 31);
        W.irqs = 0;
        dma_lands(PLAIN, 0x7000, true);
        world_deliver();
        assert_int_equal(W.irqs, 0);
        assert_int_equal(guest_r32(0, R_FECTL), 3u << 30);
        if (cleared)
            guest_faults_clear(0);
        assert_int_equal(guest_r32(0, R_FECTL), cleared ? 1u << 31 : 3u << 30);
        guest_w32(0, R_FECTL, 0);
        assert_int_equal(W.irqs, !cleared);
        assert_int_equal(guest_r32(0, R_FECTL), 0);
        guest_faults_clear(0);
    }
    finish();
}

/* A unit whose FRI leads astray, or beyond its records: each record is found all the same. */
static void hostile_34_bad_fri(void **state)
{
    u64 lo, hi;

    (void)state;
    for (unsigned fri = 0; fri < 256; fri += 5) {
        in_use(&(struct world_cfg){ .wait_us = 100 });
        for (unsigned i = 0; i < 3; i++) {
            model_set_fri(W.unit[0], (u8)fri);
            dma_lands(PLAIN, 0x30000 + (i << 12), true);
            later();
            assert_true(guest_fault(0, &lo, &hi));
            assert_int_equal(lo, 0x30000 + (i << 12));
            guest_faults_clear(0);
            assert_int_equal(model_reg_read(W.unit[0], R_FSTS, 4) & 0xff, 0);
        }
        finish();
    }
}

/* What only Sluice forbids is not the guest's fault, and it does not hear of it. */
static void hostile_34_our_own_business(void **state)
{
    struct model_req r = { .sid = SID_ATS, .at = MODEL_TRANSLATION_REQUEST, .addr = 0x3000, .len = 8 };
    u64 lo, hi;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .ite_steps = 30 });
    map_and_flush(0, 0x3000, GUEST_DATA);
    /* a quarantined function */
    model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_NEVER, 0);
    q_iotlb(0, 2, 5, 0, 0);
    assert_true(q_sync(0));
    guest_w32(0, R_FSTS, FS_ITE);
    model_fn_set_bus_master(W.fn[ATS], true);
    model_fn_set_ats(W.fn[ATS], false);
    W.warnings = 0;
    assert_int_equal(dma_lands(ATS, 0x3000, true), ~0ull);
    later();
    assert_int_equal(fault_status(), 0);
    assert_true(W.warnings > 0);
    /* the gate: its entry says that it may use ATS, and it is not trusted */
    in_use(&(struct world_cfg){ .wait_us = 100, .ats = ATS_LISTED });
    map_and_flush(0, 0x3000, GUEST_DATA);
    r.sid = SID_ATS2;
    assert_int_equal(model_dma(W.unit[0], &r, NULL).status, MODEL_BLOCKED);
    W.warnings = 0;
    later();
    assert_int_equal(fault_status(), 0);
    /* the guest's own entry does not let it */
    r.sid = SID_PLAIN;
    assert_int_equal(model_dma(W.unit[0], &r, NULL).status, MODEL_BLOCKED);
    later();
    assert_true(guest_fault(0, &lo, &hi));
    assert_int_equal(hi >> 32 & 0xff, 0xd);
    assert_int_equal(hi & 0xffff, SID_PLAIN);
    finish();
}

/* Faults go on coming while Sluice reads the records: no event is lost for good, not even a time-out's. */
static unsigned injected;
static void fault_meanwhile(const struct model_event *e)
{
    if (e->type == MODEL_EV_REG_WRITE && e->a >= 0x400 && e->a < 0x480 && injected) {
        injected--;
        dma_lands(PLAIN, 0x200000, true);
        dma_lands(PLAIN, 0x201000, true);
    }
}

static void hostile_34_faults_while_faults_are_read(void **state)
{
    (void)state;
    for (unsigned nfr = 1; nfr <= 8; nfr += 7)
        for (unsigned n = 0; n < 10; n++) {
            in_use(
                &(struct world_cfg){ .wait_us = 100, .cap = (CAP_DEFAULT & ~(0xffull << 40)) | C_NFR(nfr) });
            W.on_trace = fault_meanwhile;
            injected = n;
            dma_lands(PLAIN, 0x100000, true);
            world_deliver();
            injected = 0;
            assert_int_equal(model_reg_read(W.unit[0], R_FSTS, 4), 0);
            guest_w32(0, R_FEADDR, 0xfee00000);
            guest_w32(0, R_FECTL, 0);
            guest_faults_clear(0);
            W.irqs = 0;
            dma_lands(PLAIN, 0x9000, true);
            world_deliver();
            assert_int_equal(W.irqs, 1);
            finish();
        }
}

/* A guest that has its translation off has no faults: they are the identity map's. */
static void faults_of_the_identity_map_are_ours(void **state)
{
    (void)state;
    start(&(struct world_cfg){ .wait_us = 100, .ats = ATS_ALL });
    assert_int_equal(dma_lands(PLAIN, REGION_BASE, true), ~0ull);
    assert_int_equal(dma_lands(PLAIN, UNIT_BASE + R_IQT, true), ~0ull);
    world_deliver();
    assert_int_equal(guest_r32(0, R_FSTS), 0);
    assert_true(W.warnings > 0);
    finish();
}

/* A device that does not answer: FSTS.ITE and its source-id, an event, and the queue goes on all the same. */
static void hostile_29_the_guest_is_told_who(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .ite_steps = 30 });
    map_and_flush(0, 0x3000, GUEST_DATA);
    model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_NEVER, 0);
    q_iotlb(0, 2, 5, 0, 0);
    assert_true(q_sync(0));
    assert_int_equal(guest_r32(0, R_FSTS) & FS_ITE, FS_ITE);
    assert_int_equal(guest_read(0, R_IQERCD, 8), (u64)SID_ATS << 32);
    q_iotlb(0, 2, 5, 0, 0);
    assert_true(q_sync(0));
    guest_w32(0, R_FSTS, FS_PFO); /* another one is over, and this stands */
    assert_int_equal(guest_read(0, R_IQERCD, 8), (u64)SID_ATS << 32);
    guest_w32(0, R_FSTS, FS_ITE);
    assert_int_equal(guest_r32(0, R_FSTS) & FS_ITE, 0);
    assert_int_equal(guest_read(0, R_IQERCD, 8), 0);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_07_widths),
        cmocka_unit_test(hostile_07_half_registers),
        cmocka_unit_test(announced_capabilities),
        cmocka_unit_test(the_hint_is_a_bit),
        cmocka_unit_test(hostile_21_event_address),
        cmocka_unit_test(hostile_27_root_pointer_while_on),
        cmocka_unit_test(written_and_not_commanded),
        cmocka_unit_test(hostile_27_other_table_modes),
        cmocka_unit_test(hostile_27_several_commands_at_once),
        cmocka_unit_test(hostile_27_off_means_off),
        cmocka_unit_test(hostile_27_register_based_invalidation),
        cmocka_unit_test(hostile_34_fault_reaches_the_guest),
        cmocka_unit_test(hostile_34_fault_storm),
        cmocka_unit_test(hostile_27_masks),
        cmocka_unit_test(hostile_35_widths_of_pasids),
        cmocka_unit_test(hostile_07_edges),
        cmocka_unit_test(hostile_34_how_many_make_a_storm),
        cmocka_unit_test(hostile_34_words),
        cmocka_unit_test(hostile_34_records_are_a_ring),
        cmocka_unit_test(hostile_34_masked_event),
        cmocka_unit_test(hostile_34_bad_fri),
        cmocka_unit_test(hostile_34_our_own_business),
        cmocka_unit_test(hostile_34_faults_while_faults_are_read),
        cmocka_unit_test(faults_of_the_identity_map_are_ours),
        cmocka_unit_test(hostile_29_the_guest_is_told_who),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
