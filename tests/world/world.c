/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine itself: memory, units, functions, firmware's DMAR, and the passing of time in guest mode.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/world/world.h"

struct world W;
struct world_totals world_totals;

static u8 model_mem[MAX_WORLD_UNITS][MODEL_BYTES] __attribute__((aligned(64)));
static u8 *shadow_mem[MAX_WORLD_UNITS]; /* the region as a unit sees it that does not snoop */

void world_fail(const char *fmt, ...)
{
    va_list args;

    if (W.fail[0])
        return;
    va_start(args, fmt);
    vsnprintf(W.fail, sizeof(W.fail), fmt, args);
    va_end(args);
}

/* A table, a context entry (with a width and a domain-id that are good), a leaf, one in four a root entry:
 * whatever it is taken for, it leads to the place where nobody may be. */
void world_poison(u8 *page)
{
    u64 *words = (u64 *)page;

    for (unsigned i = 0; i < 512; i += 2) {
        bool root = i % 8 == 4;

        words[i] = TRIP_BASE | (root ? 1 : 3);
        words[i + 1] = root ? 0 : 2 | 0x77 << 8;
    }
}

/* --- what the model needs --- */

static bool answers(u64 pa, size_t len)
{
    return pa + len <= 0x1000000 || (pa >= RAM3_BASE && pa + len <= RAM3_END);
}

static bool mem_read(void *ctx, uint64_t pa, void *buf, size_t len)
{
    (void)ctx;
    if (!answers(pa, len))
        return false;
    memcpy(buf, W.mem + pa, len);
    return true;
}

/* A guest whose devices overwrite its own tables is a guest that writes tables: nothing new, and programs by
 * chance would spend their time in it. */
static bool mem_write(void *ctx, uint64_t pa, const void *buf, size_t len)
{
    (void)ctx;
    if (!answers(pa, len))
        return false;
    if (pa >= GUEST_DATA)
        memcpy(W.mem + pa, buf, len);
    return true;
}

static const void *mem_map(void *ctx, uint64_t pa, size_t len)
{
    (void)ctx;
    return answers(pa, len) ? W.mem + pa : NULL;
}

static void on_interrupt(void *ctx, uint64_t addr, uint32_t data)
{
    (void)ctx;
    if (addr == EVENT_ADDR && data == EVENT_DATA)
        W.event_pending = true;
    else if (W.device_irqs_expected)
        W.device_irq[W.device_irqs++ % ARRAY_SIZE(W.device_irq)] = (struct world_irq){ addr, data };
    else
        world_fail("a unit sent the message %llx:%x", (unsigned long long)addr, data);
}

static void on_trace(void *ctx, const struct model_event *e)
{
    (void)ctx;
    if (e->type == MODEL_EV_DMA && !world_allowed(e->b) &&
        !(W.bar_closing && e->b >= BAR_BASE && e->b < BAR_END))
        world_fail("DMA of %04llx to %llx reached %llx", (unsigned long long)e->a, (unsigned long long)e->c,
                   (unsigned long long)e->b);
    if (W.on_trace)
        W.on_trace(e);
}

/* --- firmware --- */

static size_t put(u8 *at, size_t n, u64 value)
{
    for (size_t i = 0; i < n; i++)
        at[i] = (u8)(value >> (8 * i));
    return n;
}

static size_t put_scope(u8 *at, u8 type, u16 sid)
{
    put(at, 1, type);
    put(at + 1, 1, 8);
    put(at + 2, 3, 0);
    put(at + 5, 1, sid >> 8);
    put(at + 6, 1, sid >> 3 & 0x1f);
    put(at + 7, 1, sid & 7);
    return 8;
}

void dmar_checksum(u8 *buf, size_t size)
{
    u8 sum = 0;

    buf[9] = 0;
    for (size_t i = 0; i < size; i++)
        sum = (u8)(sum + buf[i]);
    buf[9] = (u8)-sum;
}

size_t world_dmar(u8 *buf, const struct world_cfg *cfg)
{
    size_t at = 48;

    memset(buf, 0, 48);
    memcpy(buf, "DMAR", 4);
    buf[36] = 45;
    for (unsigned u = 0; u < cfg->units; u++) {
        bool all = u == cfg->units - 1u;
        size_t start = at;

        at += put(buf + at, 2, 0);
        at += put(buf + at, 2, 0); /* length, below */
        at += put(buf + at, 1, all);
        at += put(buf + at, 1, 0);
        at += put(buf + at, 2, 0);
        at += put(buf + at, 8, UNIT_BASE + u * UNIT_SIZE);
        for (unsigned f = 0; !all && f < cfg->nr_fns; f++)
            if (cfg->fn[f].unit == u && !cfg->pf[f])
                at += put_scope(buf + at, 1, cfg->fn[f].sid);
        put(buf + start + 2, 2, at - start);
    }
    at += put(buf + at, 2, 1); /* RMRR for 00:1d.7 */
    at += put(buf + at, 2, 32);
    at += put(buf + at, 4, 0);
    at += put(buf + at, 8, RMRR_BASE);
    at += put(buf + at, 8, RMRR_END - 1);
    at += put_scope(buf + at, 1, 0x1d << 3 | 7);
    at += put(buf + at, 2, 2); /* ATSR: what is below 00:1c.0 */
    at += put(buf + at, 2, 16);
    at += put(buf + at, 4, 0);
    at += put_scope(buf + at, 2, 0x1c << 3);
    put(buf + 4, 4, at);
    dmar_checksum(buf, at);
    return at;
}

static void fill_defaults(struct world_cfg *c)
{
    static const struct world_fn_cfg fns[] = {
        { 0x0018, 0, false, 0 }, /* 00:03.0, no ATS */
        { 0x0100, 0, true, 0 },  /* 01:00.0, below the port that the ATSR names */
        { 0x0208, 0, true, 4 },  /* 02:01.0 */
    };

    if (!c->cap)
        c->cap = CAP_DEFAULT;
    if (!c->ecap)
        c->ecap = ECAP_DEFAULT;
    if (!c->cap1)
        c->cap1 = c->cap;
    if (!c->ecap1)
        c->ecap1 = c->ecap;
    if (!c->units)
        c->units = 1;
    if (!c->pace_max)
        c->pace_max = 3;
    if (!c->pages)
        c->pages = REGION_MAX / 4096;
    if (!c->nr_fns) {
        c->nr_fns = ARRAY_SIZE(fns);
        memcpy(c->fn, fns, sizeof(fns));
        if (c->units > 1)
            c->fn[2].unit = 1;
    }
}

static void start_unit(unsigned u)
{
    const struct model_ops ops = { .mem_read = mem_read,
                                   .mem_write = mem_write,
                                   .mem_map = mem_map,
                                   .interrupt = on_interrupt,
                                   .trace = on_trace };
    struct model_cfg mc = { .cap = u ? W.cfg.cap1 : W.cfg.cap,
                            .ecap = u ? W.cfg.ecap1 : W.cfg.ecap,
                            .version = 0x10,
                            .seed = W.cfg.seed * 2 + u + 1,
                            .pace = W.cfg.pace,
                            .pace_max = W.cfg.pace_max,
                            .step_on_read = W.cfg.pace != MODEL_PACE_AT_ONCE,
                            .speculate = W.cfg.speculate,
                            .ite_steps = W.cfg.ite_steps,
                            .ite_no_sid = W.cfg.ite_no_sid,
                            .compress = W.cfg.compress };

    memcpy(mc.keep, W.cfg.keep, sizeof(mc.keep));
    if (!(mc.ecap & E_C) || mc.cap & C_RWBF) {
        mc.shadow = shadow_mem[u];
        mc.shadow_base = REGION_BASE;
        mc.shadow_size = W.pages * 4096ull;
        /* Lines that never arrived are as bad as they can be, too. */
        for (u64 at = 0; at < mc.shadow_size; at += 4096)
            world_poison(shadow_mem[u] + at);
    }
    W.unit[u] = model_init(model_mem[u], sizeof(model_mem[u]), &mc, &ops);
    if (!W.cfg.own_watch)
        model_watch(W.unit[u], 0, 64);
}

static void get_memory(void)
{
    u8 *mem = W.mem;

    if (!mem) {
        mem =
            mmap(NULL, RAM3_END, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        for (unsigned u = 0; u < MAX_WORLD_UNITS; u++)
            shadow_mem[u] = mmap(NULL, REGION_MAX, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (mem == MAP_FAILED)
            abort();
        world_poison(mem + TRIP_BASE);
    }
    memset(&W, 0, sizeof(W));
    memset(mem, 0, 0x100000); /* nobody needs more to be zero */
    W.mem = mem;
}

int world_boot(const struct world_cfg *cfg)
{
    u8 dmar[1024];

    get_memory();
    W.cfg = *cfg;
    fill_defaults(&W.cfg);
    /* What is counted is what tables may take; the rings of iommu/inside.c come on top. */
    W.pages = MIN(W.cfg.pages + RING_PAGES * W.cfg.units, (unsigned)(REGION_MAX / 4096));
    for (unsigned u = 0; u < W.cfg.units; u++)
        start_unit(u);
    W.nr_fns = W.cfg.nr_fns;
    for (unsigned f = 0; f < W.nr_fns; f++) {
        const struct world_fn_cfg *c = &W.cfg.fn[f];

        W.fn[f] = model_fn_add(W.unit[c->unit], &(struct model_fn_cfg){ .sid = c->sid,
                                                                        .ats = c->ats,
                                                                        .pasid = W.cfg.ecap & E_PASID,
                                                                        .pfsid = W.cfg.pf[f],
                                                                        .qdep = c->depth });
        model_fn_set_bus_master(W.fn[f], true);
    }
    if (cfg->dmar)
        return iommu_parse(cfg->dmar, cfg->dmar_size);
    return iommu_parse(dmar, world_dmar(dmar, &W.cfg));
}

int world_protect(void)
{
    struct iommu_options options = { .dtlb = W.cfg.dtlb,
                                     .ats = W.cfg.ats,
                                     .direct = W.cfg.direct,
                                     .no_caching_mode = W.cfg.no_caching_mode,
                                     .strict = W.cfg.strict,
                                     .wait_us = W.cfg.wait_us,
                                     .dtlb_hint = W.cfg.dtlb_hint };

    int err = iommu_protect(&options);
    W.running = !err;
    return err;
}

int world_start(const struct world_cfg *cfg)
{
    int err = world_boot(cfg);

    return err ? err : world_protect();
}

/* --- the guest runs --- */

static void enter(u64 pages_before)
{
    u64 used = W.guest_pages - pages_before;

    if (world_locked())
        world_fail("the guest was entered with a lock held");
    if (used > W.max_guest_pages)
        W.max_guest_pages = used;
    if (W.after_exit)
        W.after_exit();
}

void world_deliver(void)
{
    /* An event may lead to the next one, but not for ever. */
    for (unsigned n = 0; W.event_pending; n++) {
        u64 before = W.guest_pages;

        if (n == 1000) {
            world_fail("events never end");
            W.event_pending = false;
            return;
        }
        W.event_pending = false;
        W.events++;
        iommu_event();
        enter(before);
    }
}

u64 guest_read(unsigned u, u32 off, unsigned width)
{
    u64 before = W.guest_pages, value = iommu_read(u, UNIT_BASE + u * UNIT_SIZE + off, width);

    enter(before);
    world_deliver();
    return value;
}

void guest_write(unsigned u, u32 off, unsigned width, u64 value)
{
    u64 before = W.guest_pages;

    iommu_write(u, UNIT_BASE + u * UNIT_SIZE + off, width, value);
    enter(before);
    world_deliver();
}

void world_run(unsigned steps)
{
    while (steps--) {
        for (unsigned u = 0; u < W.cfg.units; u++)
            model_step(W.unit[u]);
        W.now_us++;
        world_deliver();
    }
}

void world_settle(void)
{
    for (unsigned n = 0; n < 100000; n++) {
        bool busy = W.event_pending;

        for (unsigned u = 0; u < W.cfg.units; u++)
            busy |= model_busy(W.unit[u]);
        if (!busy)
            return;
        world_run(1);
    }
}

void world_ats(unsigned f, bool on)
{
    const struct world_fn_cfg *c = &W.cfg.fn[f];
    u64 before = W.guest_pages;

    iommu_ats_change(0, c->sid, on, c->depth, W.cfg.pf[f] ? W.cfg.pf[f] : c->sid, !W.cfg.no_pasids[f]);
    model_fn_set_ats(W.fn[f], on);
    if (on) /* once more, when the device can answer */
        iommu_ats_change(0, c->sid, true, c->depth, W.cfg.pf[f] ? W.cfg.pf[f] : c->sid, !W.cfg.no_pasids[f]);
    enter(before);
    world_deliver();
}

void world_reset(unsigned f)
{
    u64 before = W.guest_pages;

    model_fn_reset(W.fn[f]);
    iommu_function_gone(0, W.cfg.fn[f].sid);
    enter(before);
    world_deliver();
    model_fn_set_bus_master(W.fn[f], true);
}

void world_count(void)
{
    for (unsigned u = 0; u < W.cfg.units; u++) {
        struct model_stats *s = model_stats(W.unit[u]);

        for (unsigned c = 0; c < MODEL_CLASSES; c++) {
            world_totals.c[c].stale += s->c[c].stale;
            world_totals.c[c].dropped += s->c[c].dropped;
            world_totals.c[c].saved += s->c[c].saved;
            world_totals.c[c].would += s->c[c].would;
        }
        memset(s, 0, sizeof(*s));
    }
}
