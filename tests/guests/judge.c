/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who judges the judge: the model of tests/model stands beside the machine's own unit. Both get the same
 * register writes, read the same tables and the same queue, and must answer the same; and where the edu
 * device's DMA lands is where the model's lands. Programs by chance, by seed; what caches may do is left out,
 * as each DMA comes after a flush of everything.
 *
 * `seed=` the first one, `programs=` how many, `steps=` of each.
 */
#include "tests/guests/lib/edu.h"
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/vtd.h"
#include "tests/model/model.h"

#define PAGES   32u           /* that are mapped, and that are mapped to */
#define IOVA    0x40000000ull /* no memory is there, for what passes through */
#define DOMAINS 2u
#define MARK    0x6a75646765ull

static struct model *model;
static u32 sid;
static u64 rng, dom[DOMAINS], data, tables, ring;
static u32 levels[DOMAINS], tail, agreed, landed, faulted, errors;
static u64 wrote_at, wrote; /* the last status that the model wrote */
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

/* The machine's unit is the one that writes; what the model would write is kept. */
static bool mem_write(void *ctx, uint64_t pa, const void *buf, size_t len)
{
    (void)ctx;
    wrote_at = pa;
    wrote = 0;
    memcpy(&wrote, buf, MIN(len, sizeof(wrote)));
    return pa + len <= 256ull << 20;
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

    for (u32 i = 0; i < ARRAY_SIZE(regs); i++)
        same(regs[i].name, vtd_read32(regs[i].reg), model_reg_read(model, regs[i].reg, 4));
    errors += (vtd_read32(VTD_FSTS) & FSTS_IQE) != 0;
}

/* The first fault record, then both clear it. */
static void look_at_fault(void)
{
    u64 lo = vtd_read64(frcd()), hi = vtd_read64(frcd() + 8);

    same("fault", hi >> 63, model_reg_read(model, frcd() + 8, 8) >> 63);
    if (hi >> 63) {
        faulted++;
        same("fault's address", lo, model_reg_read(model, frcd(), 8));
        same("fault's source", hi & 0xffff, model_reg_read(model, frcd() + 8, 8) & 0xffff);
        same("fault's reason", hi >> 32 & 0xff, model_reg_read(model, frcd() + 8, 8) >> 32 & 0xff);
        same("fault's type", hi >> 62 & 1, model_reg_read(model, frcd() + 8, 8) >> 62 & 1);
    }
    set32(frcd() + 12, 1u << 31);
    set32(VTD_FSTS, FSTS_PFO);
}

static void push(u64 lo, u64 hi)
{
    volatile u64 *at = (volatile u64 *)(ring + tail * 16);

    at[0] = lo;
    at[1] = hi;
    tail = (tail + 1) % 256;
}

/* --- what a program does --- */

static u64 page(u32 n)
{
    return data + (u64)n * PAGE_SIZE;
}

static void change_tables(void)
{
    u32 d = rnd(DOMAINS);
    u64 iova = IOVA + (u64)rnd(PAGES) * PAGE_SIZE;
    volatile u64 *leaf = vtd_leaf(dom[d], levels[d], iova, PAGE_SIZE);

    switch (rnd(12)) {
    case 0:
        *leaf = 0;
        break;
    case 1: /* a reserved bit, or other permissions */
        *leaf ^= rnd(2) ? 1ull << 62 : 1ull << rnd(2);
        break;
    case 2:
        vtd_context_clear(sid);
        break;
    case 3: /* a width that the unit may not have, a reserved translation type, a reserved bit */
        vtd_context_entry(sid)[1] ^= 1ull << rnd(3);
        break;
    case 4:
        vtd_context_entry(sid)[0] ^= rnd(2) ? 0xcull : 1ull << 4;
        break;
    case 5:
        vtd_context(sid, TT_PASS, AW_4, 0, 9);
        break;
    case 6:
    case 7:
        vtd_context(sid, TT_TABLE, levels[d] - 2, dom[d], 5 + d);
        break;
    default:
        vtd_map(dom[d], levels[d], iova, page(rnd(PAGES)), PAGE_SIZE, 1 + rnd(3));
    }
}

static void push_something(void)
{
    u32 d = rnd(DOMAINS);

    switch (rnd(24)) {
    case 0: /* types that there are not, reserved bits, reserved granularities */
        /* Not 3, which QEMU's unit takes without having device TLBs, nor 5, of which it wants a flag. */
        push(rnd(2) ? 0 : 6 + rnd(10), 0);
        break;
    case 1:
        push(1 | rnd(4) << 4 | 1ull << (50 + rnd(14)), 0);
        break;
    case 2:
        push(2 | rnd(2) << 4 | 1ull << (32 + rnd(32)), 0);
        break;
    case 3:
    case 4:
        push(1 | (1 + rnd(3)) << 4 | (5 + d) << 16 | (u64)sid << 32, 0);
        break;
    case 5:
    case 6:
        push(5 | (1 + rnd(2)) << 4 | (u64)rnd(0x10000) << 32, (u64)vtd_status); /* both: QEMU ends */
        break;
    case 7:
    case 8:
        push(2 | 2 << 4 | (5 + d) << 16, 0);
        break;
    default:
        push(2 | 3 << 4 | rnd(4) << 6 | (5 + d) << 16, (IOVA + (u64)rnd(PAGES) * PAGE_SIZE) & ~0x3fffull);
    }
}

/* After an error: what was refused is made good, and the error cleared, as a driver does. */
static void recover(void)
{
    if (vtd_read32(VTD_FSTS) & FSTS_IQE) {
        volatile u64 *at = (volatile u64 *)(ring + vtd_read64(VTD_IQH));

        at[0] = 5 | 2 << 4;
        at[1] = (u64)vtd_status;
        set32(VTD_FSTS, FSTS_IQE);
        set64(VTD_IQT, (u64)tail << 4); /* QEMU's unit does not go on by itself */
    }
}

static void step(void)
{
    switch (rnd(20)) {
    case 0:
        gcmd(GSTS_TE, rnd(4));
        break;
    case 1:
        set64(VTD_RTADDR, vtd_root);
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
    case 5: /* off and on again */
        if (vtd_read64(VTD_IQH) == vtd_read64(VTD_IQT)) {
            push(5 | 2 << 4, (u64)vtd_status);
            set64(VTD_IQT, (u64)tail << 4);
            gcmd(GSTS_QI, false);
            look();
            tail = 0;
            set64(VTD_IQT, 0);
            set64(VTD_IQA, ring);
            gcmd(GSTS_QI, true);
        }
        break;
    case 6:
    case 7:
    case 8:
    case 9:
    case 10:
        change_tables();
        break;
    default:
        for (u32 n = rnd(5); n; n--)
            push_something();
        set64(VTD_IQT, (u64)tail << 4);
        look();
        recover();
    }
    look();
}

/* Everything is flushed, so that no cache is behind; then a device writes. */
static void use(void)
{
    u64 iova = IOVA + (u64)rnd(PAGES) * PAGE_SIZE + 8 * rnd(512), where = 0, mark = MARK, found = 0;
    struct model_req r = { .sid = (u16)sid, .write = true, .addr = iova, .len = 8 };
    u32 cookie = vtd_next_cookie();
    struct model_result result;

    if (!rnd(4))
        r.addr = iova = page(rnd(PAGES)) + 8 * rnd(512); /* what passes through goes there */
    push(1 | 1 << 4, 0);
    push(2 | 1 << 4 | 0xc0, 0);
    push(5 | 2 << 4 | (u64)cookie << 32, (u64)vtd_status);
    set64(VTD_IQT, (u64)tail << 4);
    recover();
    if (vtd_read32(VTD_FSTS) & FSTS_IQE || vtd_read64(VTD_IQH) != vtd_read64(VTD_IQT))
        return;
    same("wait", vtd_wait_status(cookie, 1000), true);
    same("model's wait", wrote, cookie);
    same("status address", (u64)vtd_status, wrote_at);
    look_at_fault(); /* of nobody yet */
    same("device's answer", edu_dma_to(iova, 8), true);
    result = model_dma(model, &r, &mark);
    look_at_fault();
    look();
    for (u32 n = 0; n < PAGES; n++) {
        volatile u64 *at = (volatile u64 *)(page(n) + (iova & 0xff8));

        if (*at == MARK) {
            where = (u64)at;
            found++;
        }
        *at = 0;
    }
    landed += found;
    same("pages written", found, result.status == MODEL_OK);
    if (differs)
        print("I: DMA to 0x%lx, by the model to 0x%lx, GSTS 0x%x\n", iova, result.pa, vtd_read32(VTD_GSTS));
    if (result.status == MODEL_OK)
        same("DMA's address", where, result.pa);
}

/* The machine's unit alone: a queue goes off when it is empty and ended with a wait. */
static void empty_queue(void)
{
    push(5 | 2 << 4, (u64)vtd_status);
    vtd_write64(VTD_IQT, (u64)tail << 4);
    for (u32 n = 0; n < 256 && vtd_read32(VTD_FSTS) & FSTS_IQE; n++) {
        volatile u64 *at = (volatile u64 *)(ring + vtd_read64(VTD_IQH));

        at[0] = 5 | 2 << 4;
        at[1] = (u64)vtd_status;
        vtd_write32(VTD_FSTS, FSTS_IQE);
        vtd_write64(VTD_IQT, (u64)tail << 4);
    }
}

static void tell(u32 at, u64 seed)
{
    const u64 *unit = (const u64 *)(ring + vtd_read64(VTD_IQH));
    const u64 *judge = (const u64 *)(ring + model_reg_read(model, VTD_IQH, 8));

    print("I: in step %u of seed %lu; heads at %lx:%lx and %lx:%lx, entry %lx:%lx\n", at, seed, unit[1],
          unit[0], judge[1], judge[0], vtd_context_entry(sid)[1], vtd_context_entry(sid)[0]);
}

static bool program(u64 seed, u32 steps)
{
    static u8 *memory;
    const struct model_ops ops = { .mem_read = mem_read, .mem_write = mem_write, .interrupt = interrupt };
    struct model_cfg cfg = { .cap = vtd_cap, .ecap = vtd_ecap, .seed = seed, .haw = 39, .compress = true };
    static const u32 bits[] = { GSTS_TE, GSTS_QI, GSTS_IR };

    cfg.version = vtd_read32(VTD_VER);
    for (u32 c = 0; c < MODEL_CLASSES; c++)
        cfg.keep[c] = MODEL_KEEP_NONE;
    if (!memory)
        memory = page_alloc((MODEL_BYTES + PAGE_SIZE - 1) / PAGE_SIZE);
    if (vtd_read32(VTD_GSTS) & GSTS_QI)
        empty_queue();
    for (u32 i = 0; i < ARRAY_SIZE(bits); i++) /* the unit as after reset, nearly */
        vtd_command(bits[i], false);
    vtd_faults_clear();
    vtd_write32(VTD_FSTS, FSTS_IQE);
    vtd_write32(VTD_ICS, 1);
    vtd_write32(VTD_FECTL, 1u << 31);
    vtd_write32(VTD_IECTL, 1u << 31);
    vtd_write64(VTD_RTADDR, 0);
    model = model_init(memory, MODEL_BYTES, &cfg, &ops);
    if (!model)
        return false;
    rng = seed * 0x9e3779b97f4a7c15ull | 1;
    differs = false;
    tail = 0;
    memset((void *)tables, 0, PAGE_SIZE);
    vtd_root = tables;
    for (u32 d = 0; d < DOMAINS; d++)
        memset((void *)dom[d], 0, PAGE_SIZE);
    vtd_context(sid, TT_TABLE, levels[0] - 2, dom[0], 5);
    set64(VTD_RTADDR, vtd_root);
    gcmd(GSTS_RTP, true);
    set64(VTD_IQT, 0);
    set64(VTD_IQA, ring);
    gcmd(GSTS_QI, true);
    gcmd(GSTS_TE, true);
    look();
    for (u32 i = 0; i < steps && !differs; i++) {
        step();
        if (i % 8 == 7)
            use();
        if (differs)
            tell(i, seed);
    }
    return !differs;
}

void guest_main(void)
{
    u64 first = option_number("seed", 1), programs = option_number("programs", 20);

    if (!vtd_find() || !edu_find(0, &sid)) {
        check("setup", false, "no unit or no device");
        return;
    }
    data = (u64)page_alloc(PAGES);
    tables = (u64)page_alloc(1);
    ring = (u64)page_alloc(1);
    for (u32 d = 0; d < DOMAINS; d++) {
        dom[d] = (u64)page_alloc(1);
        levels[d] = vtd_cap >> 8 & 4 && !(d && vtd_cap >> 8 & 2) ? 4 : 3;
    }
    *(volatile u64 *)page(0) = MARK; /* the device gets what it will write */
    edu_dma_from(page(0), 8);
    *(volatile u64 *)page(0) = 0;
    print("I: cap 0x%lx\nI: ecap 0x%lx\n", vtd_cap, vtd_ecap);
    for (u64 seed = first; seed < first + programs; seed++)
        check("program", program(seed, (u32)option_number("steps", 160)), "seed %lu", seed);
    print("I: agreed %u\nI: landed %u\nI: faulted %u\nI: queue-errors %u\n", agreed, landed, faulted, errors);
}
