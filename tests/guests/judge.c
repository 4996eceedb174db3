/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who judges the judge: the model of tests/model stands beside the machine's own unit. Both get the same
 * register writes, read the same tables and the same queue, and must answer the same; and where the edu
 * device's DMA lands is where the model's lands. Programs by chance, by seed; what caches may do is left out,
 * as each DMA comes after a flush of everything: the emulator's unit does not keep PASID entries as the
 * specification says.
 *
 * `seed=` the first one, `programs=` how many, `steps=` of each; `scalable`: in that mode, with the tables of
 * the one stage that the emulator's unit then has.
 */
#include "tests/guests/lib/cpus.h"
#include "tests/guests/lib/edu.h"
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/tables.h"
#include "tests/guests/lib/vtd.h"
#include "tests/model/model.h"

#define MARK  0x6a75646765ull
#define LAPIC 0xfee00000ull

static struct model *model;
static struct tables tables;
static u32 sid, slot = 16; /* bytes of a descriptor */
static u64 rng, ring;
static u32 tail, agreed, landed, faulted, errors;
static bool differs;

static u32 rnd(u32 n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (u32)(rng >> 20) % n;
}

/* --- the model's world --- */

static bool mem_read(void *ctx, uint64_t pa, void *buf, size_t len)
{
    (void)ctx;
    if (pa + len > 256ull << 20)
        return false;
    memcpy(buf, (void *)pa, len);
    return true;
}

/* The machine's unit is the one that writes; what the model would write is kept, of each word the last. */
static struct {
    u64 at, was, value;
} written[16];
static u32 writes;

static bool mem_write(void *ctx, uint64_t pa, const void *buf, size_t len)
{
    u32 n = 0;

    (void)ctx;
    while (n < writes && written[n].at != pa)
        n++;
    if (n == ARRAY_SIZE(written) || len > sizeof(written[n].value) || pa + len > 256ull << 20)
        return false;
    if (n == writes) {
        written[writes++].at = pa;
        written[n].was = *(volatile u64 *)pa;
    }
    written[n].value = 0;
    memcpy(&written[n].value, buf, len);
    return true;
}

static void interrupt(void *ctx, uint64_t addr, uint32_t message)
{
    (void)ctx, (void)addr, (void)message;
}

/* --- both --- */

static void same(const char *what, u64 unit, u64 judge)
{
    agreed++;
    if (unit == judge || differs)
        return;
    differs = true;
    print("I: %s is 0x%lx, the model says 0x%lx\n", what, unit, judge);
}

static void set32(u32 reg, u32 v)
{
    vtd_write32(reg, v);
    model_reg_write(model, reg, 4, v);
}

static void set64(u32 reg, u64 v)
{
    vtd_write64(reg, v);
    model_reg_write(model, reg, 8, v);
}

static void gcmd(u32 bit, bool on)
{
    u32 now = vtd_read32(VTD_GSTS) & 0x96ffffff;

    set32(VTD_GCMD, on ? now | bit : now & ~bit);
}

static u32 frcd(void)
{
    return (u32)(vtd_cap >> 24 & 0x3ff) * 16;
}

static void look(void)
{
    static const struct {
        const char *name;
        u32 reg;
    } regs[] = { { "GSTS", VTD_GSTS },   { "FSTS", VTD_FSTS },    { "IQH", VTD_IQH },
                 { "IQT", VTD_IQT },     { "FECTL", VTD_FECTL },  { "ICS", VTD_ICS },
                 { "IECTL", VTD_IECTL }, { "RTADDR", VTD_RTADDR } };

    for (u32 i = 0; i < ARRAY_SIZE(regs); i++) {
        /* Where the next fault will be recorded is nobody's business before it is (11.4.7.1). */
        u32 unit = vtd_read32(regs[i].reg), judge = (u32)model_reg_read(model, regs[i].reg, 4);
        u32 mask = regs[i].reg == VTD_FSTS && !(unit & FSTS_PPF) ? 0xff : ~0u;

        same(regs[i].name, unit & mask, judge & mask);
    }
    errors += (vtd_read32(VTD_FSTS) & FSTS_IQE) != 0;
}

/*
 * In scalable mode the emulator has the reasons of legacy mode for all but PASID entries and first-stage
 * tables, and for a second-stage entry that is not there the one for missing rights.
 */
static u32 as_the_unit_says(u32 reason, bool write)
{
    static const u8 words[][2] = { { 0x39, 0x1 }, { 0x3a, 0xa }, { 0x41, 0x2 }, { 0x42, 0xb }, { 0x78, 0x7 },
                                   { 0x7a, 0xc }, { 0x83, 0x4 }, { 0x85, 0x5 }, { 0x86, 0x6 } };

    if (on_sluice) /* what is wrong with a table it says in the specification's words */
        return reason;
    if (tables.mode == TABLES_SECOND && (reason == 0x79 || reason == 0x85 || reason == 0x86))
        return write ? 0x5 : 0x6;
    for (u32 i = 0; i < ARRAY_SIZE(words); i++)
        if (words[i][0] == reason && (reason < 0x78 || tables.mode == TABLES_SECOND))
            return words[i][1];
    return reason;
}

/*
 * The first fault record, then both clear it. The emulator records a fault of a scalable context or PASID
 * entry whatever FPD says: where the model has a reason and no record, nothing is compared.
 */
static void look_at_fault(u32 reason)
{
    /* It comes when it comes (7.3); a unit that is told too many at once may take its time. */
    for (u32 i = 0; i < 100000 && model_reg_read(model, VTD_FSTS, 4) & FSTS_PPF; i++)
        if (vtd_read32(VTD_FSTS) & FSTS_PPF)
            break;

    u32 at = frcd(), judged = (u32)(model_reg_read(model, VTD_FSTS, 4) >> 8 & 0xff) * 16 + at;
    at += (vtd_read32(VTD_FSTS) >> 8 & 0xff) * 16;
    u64 lo = vtd_read64(at), hi = vtd_read64(at + 8), judge = model_reg_read(model, judged + 8, 8);

    bool untold = reason >= 0x40 && reason < 0x60 && !(judge >> 63);

    if (!untold)
        same("fault", hi >> 63, judge >> 63);
    if (hi >> 63 && !untold) {
        faulted++;
        same("fault's address", lo, model_reg_read(model, judged, 8));
        same("fault's source", hi & 0xffff, judge & 0xffff);
        same("fault's reason", hi >> 32 & 0xff, as_the_unit_says(judge >> 32 & 0xff, !(judge >> 62 & 1)));
        same("fault's type", hi >> 62 & 1, judge >> 62 & 1);
    }
    vtd_write32(at + 12, 1u << 31);
    model_reg_write(model, judged + 12, 4, 1u << 31);
    set32(VTD_FSTS, FSTS_PFO);
}

static void push4(u64 lo, u64 hi, u64 third, u64 fourth)
{
    volatile u64 *at = (volatile u64 *)(ring + tail * slot);

    at[0] = lo;
    at[1] = hi;
    if (slot == 32) {
        at[2] = third;
        at[3] = fourth;
    }
    tail = (tail + 1) % (PAGE_SIZE / slot);
}

static void push(u64 lo, u64 hi)
{
    push4(lo, hi, 0, 0);
}

static void ring_bell(void)
{
    set64(VTD_IQT, (u64)tail * slot);
}

/* --- what a program does --- */

static u64 page(u32 n)
{
    return n < TABLES_PAGES ? tables.data + (u64)n * PAGE_SIZE : 0;
}

/* Not of device TLBs, which the emulator's unit takes without having any. */
static void push_wrong(void)
{
    switch (rnd(slot == 32 ? 6 : 3)) {
    case 0: /* types that there are not; not 5, of which the unit wants a flag, nor 6 to 8 in scalable mode */
        push(rnd(2) ? 0 : slot == 32 ? 9 + rnd(7) : 6 + rnd(10), 0);
        break;
    case 1: /* reserved bits, reserved granularities */
        push(1 | rnd(4) << 4 | BIT(50 + rnd(14)), 0);
        break;
    case 2:
        push(2 | rnd(2) << 4 | BIT(32 + rnd(32)), 0);
        break;
    case 3:
        push(6 | rnd(4) << 4 | (u64)rnd(2) << (52 + rnd(12)), rnd(2) << (7 + rnd(5)));
        break;
    case 4: /* the upper half */
        push4(1 | 1 << 4, 0, BIT(rnd(64)), 0);
        break;
    default:
        push4(2 | 1 << 4, 0, 0, BIT(rnd(64)));
    }
}

static void push_something(void)
{
    u64 did = TABLES_DID + rnd(TABLES_DOMAINS), iova = TABLES_IOVA + (u64)rnd(TABLES_PAGES) * PAGE_SIZE;

    switch (rnd(24)) {
    case 0:
    case 1:
    case 2:
        push_wrong();
        break;
    case 3:
    case 4:
        push(1 | (1 + rnd(3)) << 4 | did << 16 | (u64)sid << 32, 0);
        break;
    case 5:
    case 6:
        push(5 | (1 + rnd(2)) << 4 | (u64)rnd(0x10000) << 32, (u64)vtd_status); /* both: QEMU ends */
        break;
    case 7:
    case 8:
        push(2 | 2 << 4 | did << 16, 0);
        break;
    case 9: /* a PASID entry's: the unit takes any of them, so only good ones */
    case 10:
        if (slot == 32)
            push(7 | (rnd(2) ? 3 : rnd(2)) << 4 | did << 16, 0);
        break;
    case 11:
    case 12:
        if (slot == 32)
            push(6 | (2 + rnd(2)) << 4 | did << 16, iova & ~0x3fffull);
        break;
    default:
        push(2 | 3 << 4 | rnd(4) << 6 | did << 16, iova & ~0x3fffull);
    }
}

/* After an error: what was refused is made good, and the error cleared, as a driver does. */
static void recover(void)
{
    for (u32 n = 0; n < PAGE_SIZE / 16 && vtd_read32(VTD_FSTS) & FSTS_IQE; n++) {
        volatile u64 *at = (volatile u64 *)(ring + vtd_read64(VTD_IQH));

        at[0] = 5 | 2 << 4;
        at[1] = (u64)vtd_status;
        if (slot == 32)
            at[2] = at[3] = 0;
        ring_bell(); /* it may have been the tail that was wrong */
        set32(VTD_FSTS, FSTS_IQE);
        ring_bell(); /* QEMU's unit does not go on by itself */
        look();
    }
}

/* A queue goes off when it is empty and ended with a wait. */
static void queue_off(void)
{
    push(5 | 2 << 4, (u64)vtd_status);
    ring_bell();
    recover();
    gcmd(GSTS_QI, false);
}

static void queue_on(void)
{
    tail = 0;
    set64(VTD_IQT, 0);
    set64(VTD_IQA, ring | (slot == 32 ? BIT(11) : 0));
    gcmd(GSTS_QI, true);
}

static void step(void)
{
    switch (rnd(20)) {
    case 0:
        gcmd(GSTS_TE, rnd(4));
        break;
    case 1:
        set64(VTD_RTADDR, tables.rtaddr);
        gcmd(GSTS_RTP, true);
        break;
    case 2:
        set32(VTD_FECTL, rnd(2) << 31);
        break;
    case 3:
        set32(VTD_IECTL, rnd(2) << 31);
        break;
    case 4:
        set32(VTD_ICS, rnd(2));
        break;
    case 5:
        queue_off();
        look();
        queue_on();
        break;
    case 6: /* a tail in the middle of a descriptor */
        if (slot == 32) {
            set64(VTD_IQT, (u64)tail * slot | 16);
            look();
            recover();
        }
        break;
    case 7:
    case 8:
    case 9:
    case 10:
    case 11:
        tables_change(&tables, rnd);
        break;
    default:
        for (u32 n = rnd(5); n; n--)
            push_something();
        ring_bell();
        look();
        recover();
    }
    look();
}

/* Everything is flushed, so that no cache is behind. */
static void flush(void)
{
    u32 cookie = vtd_next_cookie();

    push(1 | 1 << 4, 0);
    if (slot == 32)
        push(7 | 3 << 4, 0);
    push(2 | 1 << 4 | 0xc0, 0);
    push(5 | 2 << 4 | (u64)cookie << 32, (u64)vtd_status);
    writes = 0;
    ring_bell();
    recover();
    same("wait", vtd_wait_status(cookie, 1000), true);
    same("status address", written[0].at, (u64)vtd_status);
    same("model's wait", written[0].value, cookie);
}

/* How many of the pages the device has written to, and where; page 0 is what an empty leaf with rights maps.
 */
static u64 find_mark(u64 offset, u32 *found)
{
    u64 where = 0;

    *found = 0;
    for (u32 n = 0; n <= TABLES_PAGES; n++) {
        volatile u64 *at = (volatile u64 *)(page(n) + offset);

        if (*at == MARK) {
            where = (u64)at;
            ++*found;
        }
        *at = 0;
    }
    return where;
}

/* A device writes, or it reads, of which only the fault is seen. */
static void use(void)
{
    u64 iova = TABLES_IOVA + (u64)rnd(TABLES_PAGES) * PAGE_SIZE + 8 * rnd(512), mark = MARK;
    u64 entries, where;
    struct model_req r = { .sid = (u16)sid, .write = rnd(4), .len = 8 };
    struct model_result result;
    u32 found;

    if (!rnd(4))
        iova = page(rnd(TABLES_PAGES)) + 8 * rnd(512); /* what passes through goes there */
    r.addr = iova;
    flush();
    look_at_fault(0); /* of nobody yet */
    writes = 0;
    entries = tables_sum(&tables, iova);
    result = model_dma(model, &r, &mark);
    same("device's answer", r.write ? edu_dma_to(iova, 8) : edu_dma_aside(iova, 8), true);
    look_at_fault(result.reason);
    look();
    /*
     * Accessed and dirty bits of first-stage tables. On the way to a fault they may be set or not; and the
     * emulator sets the dirty bit together with the other one or never.
     */
    for (u32 n = 0; n < writes; n++)
        if (written[n].at != result.pa && !(written[n].was & BIT(5)))
            entries ^= written[n].was ^ written[n].value;
    if (result.status == MODEL_OK)
        same("table entries", tables_sum(&tables, iova), entries);
    where = find_mark(iova & 0xff8, &found);
    landed += found;
    same("pages written", found, r.write && result.status == MODEL_OK);
    if (found)
        same("DMA's address", where, result.pa);
    if (differs)
        print("I: DMA to 0x%lx, by the model to 0x%lx, GSTS 0x%x\n", iova, result.pa, vtd_read32(VTD_GSTS));
}

static void tell(u32 at, u64 seed)
{
    const u64 *unit = (const u64 *)(ring + vtd_read64(VTD_IQH));
    const u64 *judge = (const u64 *)(ring + model_reg_read(model, VTD_IQH, 8));

    print("I: in step %u of seed %lu; heads at %lx:%lx and %lx:%lx, context %lx:%lx, PASID entry %lx\n", at,
          seed, unit[1], unit[0], judge[1], judge[0], tables.context[1], tables.context[0], tables.pasid[0]);
}

static bool program(u64 seed, u32 steps)
{
    static u8 *memory;
    const struct model_ops ops = { .mem_read = mem_read, .mem_write = mem_write, .interrupt = interrupt };
    struct model_cfg cfg = { .cap = vtd_cap, .ecap = vtd_ecap, .seed = seed, .haw = 48, .compress = true };

    cfg.version = vtd_read32(VTD_VER);
    for (u32 c = 0; c < MODEL_CLASSES; c++)
        cfg.keep[c] = MODEL_KEEP_NONE;
    if (!memory)
        memory = page_alloc((MODEL_BYTES + PAGE_SIZE - 1) / PAGE_SIZE);
    vtd_command(GSTS_TE, false); /* the unit as after reset, nearly */
    vtd_faults_clear();
    vtd_write32(VTD_ICS, 1);
    vtd_write32(VTD_FECTL, 1u << 31);
    vtd_write32(VTD_IECTL, 1u << 31);
    vtd_write64(VTD_RTADDR, 0);
    model = model_init(memory, MODEL_BYTES, &cfg, &ops);
    if (!model)
        return false;
    rng = seed * 0x9e3779b97f4a7c15ull | 1;
    differs = false;
    tables_reset(&tables);
    set64(VTD_RTADDR, tables.rtaddr);
    gcmd(GSTS_RTP, true);
    queue_on();
    gcmd(GSTS_TE, true);
    look();
    for (u32 i = 0; i < steps && !differs; i++) {
        step();
        if (i % 4 == 3)
            use();
        if (differs)
            tell(i, seed);
    }
    queue_off();
    return !differs;
}

/* While the device is busy the processor sleeps, so that the emulator need not count its instructions. */
static void doze(void)
{
    __asm__ volatile("sti; hlt; cli" ::: "memory");
}

static void tick(u64 vector)
{
    (void)vector;
    cpu_eoi();
}

static void sleep_well(void)
{
    cpus_init();
    on_interrupt = tick;
    mmio_write32(LAPIC + 0x320, 1u << 17 | 0x40); /* the timer: periodic, and its vector */
    mmio_write32(LAPIC + 0x3e0, 0xb);
    mmio_write32(LAPIC + 0x380, 10000000); /* 10 ms of the emulator's */
    edu_meanwhile = doze;
}

void guest_main(void)
{
    u64 first = option_number("seed", 1), programs = option_number("programs", 20);
    enum tables_mode mode = TABLES_LEGACY;

    if (!vtd_find() || !edu_find(0, &sid)) {
        check("setup", false, "no unit or no device");
        return;
    }
    if (option("scalable")) {
        mode = vtd_ecap & BIT(47) ? TABLES_FIRST : TABLES_SECOND;
        slot = 32;
    }
    tables_alloc(&tables, mode, sid, vtd_cap);
    ring = (u64)page_alloc(1);
    sleep_well();
    *(volatile u64 *)page(0) = MARK; /* the device gets what it will write */
    edu_dma_from(page(0), 8);
    *(volatile u64 *)page(0) = 0;
    print("I: cap 0x%lx\nI: ecap 0x%lx\n", vtd_cap, vtd_ecap);
    for (u64 seed = first; seed < first + programs; seed++)
        check("program", program(seed, (u32)option_number("steps", 160)), "seed %lu", seed);
    print("I: agreed %u\nI: landed %u\nI: faulted %u\nI: queue-errors %u\n", agreed, landed, faulted, errors);
}
