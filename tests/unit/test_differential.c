/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * The virtual unit against a bare one with the same capabilities: the same guest does the same things by
 * chance, in either table mode, and sees the same registers, statuses, interrupts, faults and DMA results
 * (promise 4).
 *
 * Left out is what only the bare unit can have: Sluice's own memory in the guest's address map, caches that
 * keep what was flushed nowhere, and what the specification leaves undefined (the queue's address changed
 * while it is on, register-based invalidation beside a queue).
 *
 *   SEED=n  runs that one program and prints every step; PROGRAM_SECONDS=n
 */
#include <time.h>

#include "tests/unit/world_test.h"

#define STEPS   150
#define ECAP_SM (ECAP_DEFAULT | E_SMTS | E_SSTS | E_SMPWC)
#define FNS     2

static const u16 sids[FNS] = { SID_PLAIN, 0x0210 };

/* --- a machine without Sluice --- */
static u8 bare_mem[MODEL_BYTES] __attribute__((aligned(64)));
static struct model *bare;
static unsigned bare_irqs;
static bool on_bare;

static bool bare_read(void *ctx, uint64_t pa, void *buf, size_t len)
{
    (void)ctx;
    if (!world_is_ram(pa))
        return false;
    memcpy(buf, world_mem(pa), len);
    return true;
}

static bool bare_write(void *ctx, uint64_t pa, const void *buf, size_t len)
{
    (void)ctx;
    if (!world_is_ram(pa))
        return false;
    if (pa >= GUEST_DATA || (pa & ~0xfffull) == GUEST_STATUS) /* devices spare the guest's tables here, too */
        memcpy(world_mem(pa), buf, len);
    return true;
}

static void bare_interrupt(void *ctx, uint64_t addr, uint32_t data)
{
    (void)ctx;
    (void)addr;
    (void)data;
    bare_irqs++;
}

static void tell_faults(const struct model_event *e)
{
    if (e->type == MODEL_EV_FAULT)
        fprintf(stderr, "  %s: fault %llx of %llx at %llx\n", on_bare ? "bare" : "virtual",
                (unsigned long long)e->a, (unsigned long long)e->b, (unsigned long long)e->c);
}

static void bare_trace(void *ctx, const struct model_event *e)
{
    (void)ctx;
    tell_faults(e);
}

/* The machines below; which one follows from the seed. */
static const struct world_cfg machines[] = {
    { .ats = ATS_OFF },
    { .ats = ATS_ALL },
    { .ats = ATS_ALL, .cap = CAP_DEFAULT & ~(C_PSI | C_MAMV(63)) },
    { .ats = ATS_OFF,
      .cap = (CAP_DEFAULT & ~(C_SAGAW(6) | C_SSLPS(3))) | C_SAGAW(4),
      .ecap = ECAP_DEFAULT & ~E_SC },
    { .ats = ATS_OFF,
      .cap = (CAP_DEFAULT & ~(C_SAGAW(6) | 7)) | C_SAGAW(2) | C_ND(6),
      .ecap = ECAP_DEFAULT & ~E_PT },
    { .ats = ATS_OFF, .cap = CAP_DEFAULT | C_CM },
    { .ats = ATS_OFF, .scalable = true, .ecap = ECAP_SM },
    { .ats = ATS_OFF, .scalable = true, .ecap = ECAP_SM | E_FSTS | E_NEST },
};

static void start_machine(const struct world_cfg *like, u64 cap, u64 ecap, u64 seed)
{
    const struct model_ops ops = { .mem_read = bare_read,
                                   .mem_write = bare_write,
                                   .interrupt = bare_interrupt,
                                   .trace = getenv("SEED") ? bare_trace : NULL };
    struct model_cfg cfg = { .cap = cap, .ecap = ecap, .version = 0x10, .seed = seed };
    struct world_cfg world = *like;

    world.wait_us = 100;
    world.seed = seed;
    world.nr_fns = FNS;
    for (unsigned f = 0; f < FNS; f++)
        world.fn[f] = (struct world_fn_cfg){ sids[f], 0, false, 0 };
    for (unsigned c = 0; c < MODEL_CLASSES; c++)
        world.keep[c] = cfg.keep[c] = MODEL_KEEP_NONE;
    start(&world);
    if (getenv("SEED"))
        W.on_trace = tell_faults;
    bare_irqs = 0;
    bare = model_init(bare_mem, sizeof(bare_mem), &cfg, &ops);
    for (unsigned f = 0; f < FNS; f++)
        model_fn_set_bus_master(model_fn_add(bare, &(struct model_fn_cfg){ .sid = sids[f] }), true);
}

static u64 rd(u32 off, unsigned width)
{
    return on_bare ? model_reg_read(bare, off, width) : guest_read(0, off, width);
}

static void wr(u32 off, unsigned width, u64 value)
{
    if (on_bare) {
        model_reg_write(bare, off, width, value);
        model_run(bare, 1000);
    } else {
        guest_write(0, off, width, value);
        world_settle();
    }
}

static u64 dma(unsigned f, u64 iova, bool write)
{
    u64 buf = 0x1234;
    struct model_result r = on_bare ? model_fn_dma(model_fn_find(bare, sids[f]), iova, 8, write, &buf)
                                    : model_fn_dma(W.fn[f], iova, 8, write, &buf);

    world_deliver();
    return r.status == MODEL_OK ? r.pa : ~0ull;
}

/* --- what the guest sees --- */
#define SEEN 20000
static u64 seen[2][SEEN];
static const char *what[SEEN];
static unsigned nr_seen;

static void see(u64 value, const char *name)
{
    if (nr_seen < SEEN) {
        what[nr_seen] = name;
        seen[on_bare][nr_seen++] = value;
    }
}

static u64 rng;
static u32 rnd(u32 n)
{
    rng ^= rng >> 12;
    rng ^= rng << 25;
    rng ^= rng >> 27;
    return (u32)((rng * 0x2545f4914f6cdd1dull) >> 33) % n;
}

static void look(u32 iro, u32 fro)
{
    if (!on_bare) { /* some time has passed, and the guest was left for whatever reason */
        W.now_us += 2000;
        if (iommu_busy())
            (void)iommu_event();
        world_deliver();
    }
    u64 hi = rd(fro + 8, 8);

    see(rd(R_GSTS, 4), "GSTS");
    see(rd(R_FSTS, 4), "FSTS");
    see(rd(R_FECTL, 4), "FECTL");
    see(rd(R_IQH, 8), "IQH");
    see(rd(R_IQT, 8), "IQT");
    see(rd(R_IQA, 8), "IQA");
    see(rd(R_ICS, 4), "ICS");
    see(rd(R_IECTL, 4), "IECTL");
    see(rd(R_FSTS, 4) & FS_IQE ? rd(R_IQERCD, 8) & 0xf : 0, "IQERCD");
    see(rd(R_RTADDR, 8), "RTADDR");
    see(rd(R_CCMD, 8), "CCMD");
    see(rd(iro + 8, 8), "IOTLB");
    see(hi, "fault record");
    see(hi >> 63 ? rd(fro, 8) : 0, "fault address");
    see(on_bare ? bare_irqs : W.irqs, "interrupts");
    for (unsigned i = 0; i < 4; i++)
        see(peek32(GUEST_STATUS + i * 4), "status");
}

/* A descriptor by chance, mostly valid. */
static void descriptor(bool psi)
{
    u64 q0 = 0, q1 = 0, did = 5 + rnd(2);

    switch (rnd(G.scalable ? 10 : 8)) {
    case 8:
        q0 = 6 | (2 + rnd(2)) << 4 | did << 16 | (u64)rnd(2) << 32;
        q1 = q0 & 16 ? (u64)rnd(64) << 12 | rnd(20) | rnd(2) << 6 : 0;
        break;
    case 9:
        q0 = 7 | (rnd(2) ? 3 : rnd(2)) << 4 | did << 16 | (u64)rnd(2) << 32;
        break;
    case 0:
        q0 = 1 | (1 + rnd(3)) << 4 | did << 16 | (u64)sids[rnd(FNS)] << 32 | (u64)rnd(4) << 48;
        break;
    case 1:
    case 2:
        q0 = 2 | (1 + rnd(3)) << 4 | rnd(4) << 6 | did << 16;
        q1 = (u64)rnd(64) << 12 | (psi ? rnd(20) : 0) | rnd(2) << 6; /* without PSI, a mask is undefined */
        break;
    case 3:
        q0 = rnd(16) | (u64)rnd(8) << 9;
        break;
    default:
        q0 = 5 | rnd(8) << 4 | (u64)rnd(1000) << 32;
        q1 = GUEST_STATUS + rnd(4) * 4;
    }
    if (rnd(25) == 0)
        q0 ^= 1ull << rnd(64);
    if (rnd(25) == 0 && (q0 & 0xf) != 5 && psi)
        q1 ^= 1ull << rnd(64);
    /* Nobody here has a device TLB: a bare unit would wait for an answer for ever. */
    if ((q0 & 0xe0f) == 3)
        q0 ^= 3;
    q_push(0, q0, q1);
    if (G.scalable && rnd(40) == 0)
        poke64(GUEST_RING + (G.tail[0] + 255) % 256 * 32 + 16 + 8 * rnd(2), 1ull << rnd(64));
}

/* In scalable mode, of the entries above the page tables. */
static void scalable_entries(unsigned f, unsigned d)
{
    u64 context = GUEST_CTX + (sids[f] >> 8) * 0x1000 + (sids[f] & 255) * 32;
    u64 entry = (peek64(context) & ~0xfffull) + 0x1000;

    switch (rnd(5)) {
    case 0:
        guest_sm_context(f, rnd(4) ? 0 : GUEST_NONE, 0);
        break;
    case 1:
        if (peek64(context) & 1)
            poke64(context, peek64(context) ^ 1ull << rnd(12));
        break;
    case 2:
        if (peek64(context) & 1 && peek64(entry + 8)) /* nor domain-id 0 here, see below */
            poke64(entry, peek64(entry) ^ 1ull << rnd(12));
        break;
    default:
        guest_pasid_entry(f, 0, 0, rnd(6) ? (int)d : rnd(2) ? GUEST_NONE : GUEST_PASS);
    }
}

/* Tables by chance: good ones, and bad ones of every kind that a unit reports. */
static void tables(void)
{
    unsigned f = rnd(FNS), d = rnd(2), kind = rnd(12);
    u64 iova = GUEST_DATA + ((u64)rnd(32) << 12), at;

    if (G.scalable && kind < 4) {
        scalable_entries(f, d);
        return;
    }
    switch (kind) {
    case 0:
        guest_detach(sids[f]);
        break;
    case 1:
        guest_attach(sids[f], d, rnd(6) ? TT_SS : TT_PASS);
        break;
    case 2:
        at = GUEST_CTX + (sids[f] >> 8) * 0x1000 + (sids[f] & 255) * 16;
        /* Not the domain-id: 0 is reserved with caching mode, which a bare unit need not notice. */
        if (!(peek64(at + 8) & 0xff00))
            break;
        if (rnd(2))
            poke64(at, peek64(at) ^ 1ull << rnd(12));
        else
            poke64(at + 8, peek64(at + 8) ^ 1ull << rnd(8));
        break;
    case 3:
        at = GUEST_ROOT + (sids[f] >> 8) * 16;
        poke64(at, rnd(2) ? ((GUEST_CTX + (sids[f] >> 8) * 0x1000) | 1) : peek64(at) ^ 1ull << rnd(12));
        poke64(at + 8, rnd(8) ? 0 : 1);
        break;
    case 4:
        at = guest_entry(d, iova, 2 + rnd(2));
        if (at && peek64(at) & 3)
            poke64(at, rnd(2) ? 0x30000000 | 3 : peek64(at) ^ (rnd(2) ? 1ull << 62 : 1ull << 11));
        break;
    case 5:
        guest_unmap(d, iova);
        break;
    case 6:
        at = guest_entry(d, iova, 1);
        if (at)
            poke64(at, peek64(at) ^ (rnd(2) ? 1ull << 62 : 1ull << rnd(2)));
        break;
    case 7:
        if (!G.dom[d].first)
            guest_domain_init(d, (u16)(5 + d), rnd(2) ? 3 : 4); /* which the unit may not have */
        break;
    default:
        guest_map(d, iova, GUEST_DATA + (u64)rnd(64) * 0x1000, 1 + rnd(3));
    }
}

static void step(u32 iro, u32 fro)
{
    static const u32 group[] = { R_FECTL, R_IECTL };
    u32 sts = (u32)rd(R_GSTS, 4), g;
    u64 v;

    switch (rnd(16)) {
    case 0:
        wr(R_GCMD, 4, (sts & 0x96ffffff) ^ (1u << (rnd(3) ? 31 : 26)));
        break;
    case 1:
        wr(R_RTADDR, 8, (rnd(6) ? GUEST_ROOT : 0x30000000) | (G.scalable ? 1 << 10 : 0));
        if (rnd(4))
            wr(R_GCMD, 4, (sts & 0x96ffffff) | G_SRTP);
        break;
    case 2:
        if (!(sts & G_QIE))
            wr(R_IQA, 8, GUEST_RING | (G.scalable ? 1 << 11 | 1 : 0));
        break;
    case 3:
        g = group[rnd(2)];
        wr(g + 8, 4, 0xfee00000);
        wr(g + 4, 4, 0x40 + rnd(16));
        wr(g, 4, rnd(2) << 31);
        break;
    case 4:
        wr(R_FSTS, 4, rnd(0x80));
        break;
    case 5:
        wr(R_ICS, 4, rnd(2));
        break;
    case 6:
        wr(fro + 12, 4, 1u << 31);
        break;
    case 7:
        if (!(sts & G_QIE)) {
            v = 1ull << 63 | (u64)rnd(4) << 61 | (u64)sids[rnd(FNS)] << 16 | 5;
            wr(R_CCMD, 8, v);
        }
        break;
    case 8:
        if (!(sts & G_QIE)) {
            wr(iro, 8, (u64)rnd(64) << 12 | rnd(24));
            wr(iro + 8, 8, 1ull << 63 | (u64)rnd(4) << 60 | 5ull << 32);
        }
        break;
    case 9:
    case 10:
        tables();
        break;
    default:
        for (unsigned n = rnd(6); n; n--)
            descriptor(G.caps[0] & C_PSI);
        if (rnd(30) == 0)
            wr(R_IQT, 8, rnd(0x8000) * 16);
        /* what was refused is made good, and the error cleared, as a driver does */
        if (rd(R_FSTS, 4) & FS_IQE && rnd(3)) {
            u64 at = GUEST_RING + (rd(R_IQH, 8) & (G.scalable ? 0x1fe0 : 0xff0));

            poke64(at, 5 | WAIT_SW);
            poke64(at + 8, GUEST_STATUS);
            if (G.scalable) {
                poke64(at + 16, 0);
                poke64(at + 24, 0);
            }
            wr(R_IQT, 8, G.tail[0] * q_entry());
            wr(R_FSTS, 4, FS_IQE);
        }
        wr(R_IQT, 8, G.tail[0] * q_entry());
    }
}

static void flush_all(void)
{
    q_context(0, 1, 0, 0, 0);
    if (G.scalable)
        q_pasid(0, 3, 0, 0);
    q_iotlb(0, 1, 0, 0, 0);
}

static unsigned landed[3]; /* in legacy mode, in scalable mode, and there with first-stage tables */

static bool passes(unsigned f)
{
    u64 context = GUEST_CTX + (sids[f] >> 8) * 0x1000 + (sids[f] & 255) * (G.scalable ? 32 : 16);

    if (G.scalable)
        return (peek64((peek64(context) & ~0xfffull) + 0x1000) >> 6 & 7) == 4;
    return (peek64(context) & 0xc) == TT_PASS << 2;
}

/* Everything is flushed, so that no cache and no shadow is behind; then DMA must agree. */
static void flush_and_use(u32 fro)
{
    if (!(rd(R_GSTS, 4) & G_QIE) || rd(R_FSTS, 4) & FS_IQE)
        return;
    flush_all();
    wr(R_IQT, 8, G.tail[0] * q_entry());
    if (rd(R_FSTS, 4) & FS_IQE || rd(R_IQH, 8) != G.tail[0] * q_entry())
        return;
    for (unsigned n = 0; n < 3; n++) {
        unsigned f = rnd(FNS);
        u64 iova = GUEST_DATA + ((u64)rnd(32) << 12), far = rnd(8) ? 0 : (u64)rnd(4) << 38;

        /* A pass-through device may go where nothing is on a bare unit; here that is a fault. */
        if (!passes(f))
            iova |= far;

        u64 at = dma(f, iova, rnd(2));

        see(at, "DMA");
        landed[G.dom[1].first ? 2 : G.scalable] += at != ~0ull;
        if (rnd(2))
            wr(fro + 12, 4, 1u << 31);
    }
}

static void run(u64 seed, bool bare_one, u64 cap, u64 ecap)
{
    u32 iro = (u32)(ecap >> 8 & 0x3ff) * 16, fro = (u32)(cap >> 24 & 0x3ff) * 16;

    start_machine(&machines[seed % ARRAY_SIZE(machines)], cap, ecap, seed);
    on_bare = bare_one;
    nr_seen = 0;
    rng = seed * 0x9e3779b97f4a7c15ull | 1;
    for (unsigned i = 0; i < 8; i++)
        rnd(2);
    G.caps[0] = cap;
    G.scalable = machines[seed % ARRAY_SIZE(machines)].scalable;
    G.slots = 1;
    guest_roots();
    for (unsigned d = 0; d < 2; d++) {
        guest_domain_init(d, (u16)(5 + d), cap & C_SAGAW(2) && (!d || !(cap & C_SAGAW(4))) ? 3 : 4);
        if (ecap & E_FSTS && G.scalable)
            G.dom[d] = (struct guest_domain){ (u16)(5 + d), 4, d, G.dom[d].root };
    }
    if (seed % 4) { /* most begin with a unit in use */
        wr(R_RTADDR, 8, GUEST_ROOT | (G.scalable ? 1 << 10 : 0));
        wr(R_GCMD, 4, G_SRTP);
        wr(R_IQA, 8, GUEST_RING | (G.scalable ? 1 << 11 | 1 : 0));
        wr(R_GCMD, 4, G_QIE);
        flush_all();
        wr(R_IQT, 8, G.tail[0] * q_entry());
        wr(R_GCMD, 4, G_QIE | G_TE);
    }
    for (unsigned i = 0; i < STEPS; i++) {
        if (getenv("SEED"))
            fprintf(stderr, "step %u\n", i);
        see(i, "step");
        step(iro, fro);
        look(iro, fro);
        if (rnd(3) == 0) {
            flush_and_use(fro);
            look(iro, fro);
        }
    }
}

static void the_same_to_the_guest(void **state)
{
    const char *only = getenv("SEED"), *seconds = getenv("PROGRAM_SECONDS");
    double end = (double)clock() / CLOCKS_PER_SEC + (seconds ? atof(seconds) : 8.0);
    u64 seed = only ? strtoull(only, NULL, 0) : 1, first = seed;

    (void)state;
    for (; (double)clock() / CLOCKS_PER_SEC < end; seed++) {
        struct world_cfg cfg = machines[seed % ARRAY_SIZE(machines)];
        unsigned n, step_nr = 0;
        u64 cap, ecap;

        start(&cfg);
        cap = guest_read(0, R_CAP, 8);
        ecap = guest_read(0, R_ECAP, 8);
        run(seed, false, cap, ecap);
        if (!world_ok())
            fail_msg("SEED=%llu: %s", (unsigned long long)seed, W.fail);
        n = nr_seen;
        run(seed, true, cap, ecap);
        for (unsigned i = 0; i < MIN(n, nr_seen); i++) {
            if (!strcmp(what[i], "step"))
                step_nr = (unsigned)seen[1][i];
            if (only)
                fprintf(stderr, "%u %-14s virtual %llx bare %llx\n", step_nr, what[i],
                        (unsigned long long)seen[0][i], (unsigned long long)seen[1][i]);
            if (seen[0][i] != seen[1][i])
                fail_msg("SEED=%llu: step %u: %s is %llx, on a bare unit %llx", (unsigned long long)seed,
                         step_nr, what[i], (unsigned long long)seen[0][i], (unsigned long long)seen[1][i]);
        }
        assert_int_equal(n, nr_seen);
        if (only)
            break;
    }
    print_message("# %llu programs of %u steps\n", (unsigned long long)(seed - first), STEPS);
    /* It was not agreement about nothing. */
    for (unsigned i = 0; i < ARRAY_SIZE(landed) && !only; i++)
        assert_true(landed[i] > 100);
}

/* One queue, full of waits, and one tail; the error, the head, and whether any status came. */
static void whole_queue(u64 ttm, u64 wide, u64 tail, bool before)
{
    unsigned size = wide ? 32 : 16;

    memset(world_mem(GUEST_RING), 0, 4096);
    for (unsigned at = 0; at < 4096; at += size) {
        poke64(GUEST_RING + at, 5 | WAIT_SW | 1ull << 32);
        poke64(GUEST_RING + at + 8, GUEST_STATUS);
    }
    poke64(GUEST_STATUS, 0);
    wr(R_RTADDR, 8, GUEST_ROOT | ttm << 10);
    wr(R_GCMD, 4, G_SRTP);
    wr(R_IQA, 8, GUEST_RING | wide << 11);
    if (before)
        wr(R_IQT, 8, tail);
    wr(R_GCMD, 4, G_QIE);
    if (!before)
        wr(R_IQT, 8, tail);
    see(rd(R_FSTS, 4), "FSTS");
    see(rd(R_FSTS, 4) & FS_IQE ? rd(R_IQERCD, 8) & 0xf : 0, "IQERCD");
    see(rd(R_IQH, 8), "IQH");
    see(peek32(GUEST_STATUS), "status");
}

/* What is wrong with the queue itself, one thing or several at once: the same error. */
static void errors_of_the_whole_queue(void **state)
{
    static const u64 ecaps[] = { ECAP_DEFAULT & ~E_DT, (ECAP_DEFAULT & ~E_DT) | E_SMTS | E_SSTS | E_SMPWC };
    static const u64 tails[] = { 0, 0x10, 0x20, 0x30, 0xfe0, 0xff0, 0x1000, 0x1010, 0x7ffe0, 0x7fff0 };
    u32 errors = 0;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(ecaps) * ARRAY_SIZE(tails) * 16; i++) {
        struct world_cfg cfg = { .ecap = ecaps[i / 16 / ARRAY_SIZE(tails)] };
        u64 tail = tails[i / 16 % ARRAY_SIZE(tails)], cap, ecap;

        start(&cfg);
        cap = guest_read(0, R_CAP, 8);
        ecap = guest_read(0, R_ECAP, 8);
        for (unsigned pass = 0; pass < 2; pass++) {
            start_machine(&cfg, cap, ecap, 1);
            on_bare = pass;
            nr_seen = 0;
            whole_queue(i % 4, i / 4 % 2, tail, i / 8 % 2);
        }
        for (unsigned n = 0; n < nr_seen; n++)
            if (seen[0][n] != seen[1][n])
                fail_msg("TTM %u, DW %u, tail %llx, %s: %s is %llx, on a bare unit %llx", i % 4, i / 4 % 2,
                         (unsigned long long)tail, i / 8 % 2 ? "before QIE" : "after QIE", what[n],
                         (unsigned long long)seen[0][n], (unsigned long long)seen[1][n]);
        errors |= 1u << seen[1][1];
    }
    /* bad tail, bad width, misaligned, bad TTM, and none: each has been seen */
    assert_int_equal(errors, 1u << 0 | 1u << 1 | 1u << 5 | 1u << 6 | 1u << 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_to_the_guest),
        cmocka_unit_test(errors_of_the_whole_queue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
