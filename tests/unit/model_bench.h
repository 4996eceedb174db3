/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small machine around the model, for the tests of the model itself: 2 MiB of memory, tables that the
 * tests write by hand, a queue, and two functions.
 */
#ifndef TESTS_UNIT_MODEL_BENCH_H
#define TESTS_UNIT_MODEL_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/model/model.h"

#define RAM_SIZE (2u << 20)

/* Where things live. */
enum {
    ROOT = 0x1000,
    CTX = 0x2000,
    RING = 0x8000, /* up to 4 pages */
    STATUS = 0xc000,
    IRT = 0xd000,
    PT = 0x10000, /* table pages of domain 1, from the leaf up: PT, PT+0x1000, ... */
    PT2 = 0x20000,
    DATA = 0x100000,
};

enum { SID_A = 0x0008, SID_B = 0x0010 };

/* A legacy unit of an unremarkable kind: 4-level, 2M+1G, PSI, MAMV 18, DR/DW, NFR 8, QI, DT, PT, IR. */
#define BASE_CAP                                                                                            \
    (2ull | 0x6ull << 8 | 47ull << 16 | 1ull << 22 | 0x40ull << 24 | 3ull << 34 | 1ull << 39 | 7ull << 40 | \
     18ull << 48 | 1ull << 54 | 1ull << 55)
#define BASE_ECAP \
    (1ull | 1ull << 1 | 1ull << 2 | 1ull << 3 | 1ull << 4 | 1ull << 6 | 0x30ull << 8 | 15ull << 20)
#define CAP_CM (1ull << 7)

enum { FRO = 0x400, IRO = 0x300 };

struct irq {
    uint64_t addr;
    uint32_t data;
};

struct bench {
    uint8_t ram[RAM_SIZE] __attribute__((aligned(4096)));
    uint8_t seen_by_unit[RAM_SIZE] __attribute__((aligned(4096)));
    uint8_t mem[MODEL_BYTES] __attribute__((aligned(16)));
    struct model_cfg cfg;
    struct model *m;
    struct model_fn *a, *b;
    struct irq irq[64];
    unsigned irqs;
    struct model_event last[16]; /* by type */
    unsigned events[16];
    unsigned tail; /* in ring entries */
    bool wide;     /* 256-bit descriptors */
    uint32_t cookie;
};

static struct bench W;
static uint64_t bench_seed = 1;

static bool ram_at(uint64_t pa, size_t len)
{
    return pa < RAM_SIZE && len <= RAM_SIZE - pa;
}

static bool ram_read(void *ctx, uint64_t pa, void *buf, size_t len)
{
    (void)ctx;
    if (!ram_at(pa, len))
        return false;
    memcpy(buf, W.ram + pa, len);
    return true;
}

static bool ram_write(void *ctx, uint64_t pa, const void *buf, size_t len)
{
    (void)ctx;
    if (!ram_at(pa, len))
        return false;
    memcpy(W.ram + pa, buf, len);
    return true;
}

static const void *ram_map(void *ctx, uint64_t pa, size_t len)
{
    (void)ctx;
    return ram_at(pa, len) ? W.ram + pa : NULL;
}

static void on_interrupt(void *ctx, uint64_t addr, uint32_t data)
{
    (void)ctx;
    W.irq[W.irqs++ % 64] = (struct irq){ addr, data };
}

static void on_event(void *ctx, const struct model_event *e)
{
    (void)ctx;
    W.last[e->type] = *e;
    W.events[e->type]++;
}

/* ---- Registers ---------------------------------------------------------------------------------- */

enum {
    R_GCMD = 0x18,
    R_GSTS = 0x1c,
    R_RTADDR = 0x20,
    R_CCMD = 0x28,
    R_FSTS = 0x34,
    R_FECTL = 0x38,
    R_FEDATA = 0x3c,
    R_FEADDR = 0x40,
    R_IQH = 0x80,
    R_IQT = 0x88,
    R_IQA = 0x90,
    R_ICS = 0x9c,
    R_IECTL = 0xa0,
    R_IEDATA = 0xa4,
    R_IEADDR = 0xa8,
    R_IQERCD = 0xb0,
    R_IRTA = 0xb8,
};

#define TE    (1u << 31)
#define SRTP  (1u << 30)
#define WBF   (1u << 27)
#define QIE   (1u << 26)
#define IRE   (1u << 25)
#define SIRTP (1u << 24)
#define CFI   (1u << 23)

static inline uint32_t r32(uint32_t off)
{
    return model_reg_read(W.m, off, 4);
}
static inline uint64_t r64(uint32_t off)
{
    return model_reg_read(W.m, off, 8);
}
static inline void w32(uint32_t off, uint32_t v)
{
    model_reg_write(W.m, off, 4, v);
}
static inline void w64(uint32_t off, uint64_t v)
{
    model_reg_write(W.m, off, 8, v);
}

/* One GCMD change, as 11.4.4 wants it. */
static inline void gcmd(uint32_t bit, bool on)
{
    uint32_t sts = r32(R_GSTS) & 0x96ffffff;

    w32(R_GCMD, on ? sts | bit : sts & ~bit);
    model_run(W.m, 1000);
}

/* ---- Memory ------------------------------------------------------------------------------------- */

static inline void poke(uint64_t pa, uint64_t v)
{
    memcpy(W.ram + pa, &v, 8);
}
static inline uint64_t peek(uint64_t pa)
{
    uint64_t v;

    memcpy(&v, W.ram + pa, 8);
    return v;
}
static inline uint32_t status(unsigned i)
{
    return peek(STATUS + 8 * i);
}

enum { TT_SS = 0, TT_ATS = 1, TT_PASS = 2 };

static inline void put_ctx(uint16_t sid, unsigned tt, unsigned aw, uint16_t did, uint64_t table)
{
    poke(CTX + (sid & 255) * 16 + 8, aw | (uint64_t)did << 8);
    poke(CTX + (sid & 255) * 16, 1 | tt << 2 | table);
}
static inline void clear_ctx(uint16_t sid)
{
    poke(CTX + (sid & 255) * 16, 0);
    poke(CTX + (sid & 255) * 16 + 8, 0);
}
/* Three-level tables at `pt`: pages iova 0..2M; top at pt+0x2000. */
static inline void tables3(uint64_t pt)
{
    poke(pt + 0x2000, (pt + 0x1000) | 3);
    poke(pt + 0x1000, pt | 3);
}
static inline void map(uint64_t pt, uint64_t iova, uint64_t pa, unsigned perm)
{
    poke(pt + (iova >> 12) * 8, pa | perm);
}

/* ---- Queue -------------------------------------------------------------------------------------- */

static inline void push(uint64_t q0, uint64_t q1)
{
    unsigned size = W.wide ? 32 : 16;

    poke(RING + W.tail * size, q0);
    poke(RING + W.tail * size + 8, q1);
    if (W.wide) {
        poke(RING + W.tail * size + 16, 0);
        poke(RING + W.tail * size + 24, 0);
    }
    W.tail = (W.tail + 1) % (4096 / size);
}
static inline void ring(void)
{
    w64(R_IQT, W.tail * (W.wide ? 32 : 16));
}

static inline void d_context(unsigned g, uint16_t did, uint16_t sid, unsigned fm)
{
    push(1 | g << 4 | (uint64_t)did << 16 | (uint64_t)sid << 32 | (uint64_t)fm << 48, 0);
}
static inline void d_iotlb(unsigned g, uint16_t did, uint64_t addr, unsigned am, bool ih)
{
    push(2 | g << 4 | 0xc0 | (uint64_t)did << 16, addr | am | (unsigned)ih << 6);
}
static inline void d_dtlb(uint16_t sid, uint64_t addr, bool s)
{
    push(3 | (uint64_t)sid << 32, addr | s);
}
#define DTLB_ALL 0x7ffffffffffff000ull
static inline void d_wait(unsigned flags, uint32_t data, unsigned slot)
{
    push(5 | flags | (uint64_t)data << 32, STATUS + 8 * slot);
}
enum { W_IF = 1 << 4, W_SW = 1 << 5, W_FN = 1 << 6 };

/* Rings and waits until a status write says that everything before it is done. */
static inline void sync_queue(void)
{
    d_wait(W_SW, ++W.cookie, 0);
    ring();
    model_run(W.m, 10000);
    assert_int_equal(status(0), W.cookie);
}

/* ---- DMA ---------------------------------------------------------------------------------------- */

static inline struct model_result dma(uint16_t sid, unsigned at, uint64_t addr, bool write)
{
    uint64_t buf = 0x1122334455667788;
    struct model_req r = { .sid = sid, .at = at, .addr = addr, .write = write, .len = 8 };

    return model_dma(W.m, &r, &buf);
}
/* Where does this DMA land? ~0 if it is blocked. */
static inline uint64_t lands(uint16_t sid, uint64_t iova)
{
    struct model_result r = dma(sid, MODEL_UNTRANSLATED, iova, false);

    return r.status == MODEL_OK ? r.pa : ~0ull;
}

/* ---- Set up ------------------------------------------------------------------------------------- */

static inline void bench_start(void)
{
    const struct model_ops ops = { .mem_read = ram_read,
                                   .mem_write = ram_write,
                                   .mem_map = ram_map,
                                   .interrupt = on_interrupt,
                                   .trace = on_event };

    W.m = model_init(W.mem, sizeof(W.mem), &W.cfg, &ops);
    assert_non_null(W.m);
    W.a = model_fn_add(W.m, &(struct model_fn_cfg){ .sid = SID_A, .ats = true });
    W.b = model_fn_add(W.m, &(struct model_fn_cfg){ .sid = SID_B, .ats = true });
    model_fn_set_bus_master(W.a, true);
    model_fn_set_bus_master(W.b, true);
    model_watch(W.m, 0, 64);
    poke(ROOT, CTX | 1);
}

static inline void bench_reset(uint64_t cap, uint64_t ecap)
{
    memset(W.ram, 0, sizeof(W.ram));
    memset(&W.cfg, 0, sizeof(W) - offsetof(struct bench, cfg));
    W.cfg = (struct model_cfg){ .cap = cap, .ecap = ecap, .version = 0x10, .seed = bench_seed };
    bench_start();
}

/* Root table in place, queue on, everything flushed, translation on. */
static inline void bench_enable(void)
{
    w64(R_RTADDR, ROOT);
    gcmd(SRTP, true);
    w64(R_IQT, 0);
    w64(R_IQA, RING);
    gcmd(QIE, true);
    d_context(1, 0, 0, 0);
    d_iotlb(1, 0, 0, 0, false);
    sync_queue();
    gcmd(TE, true);
    assert_int_equal(r32(R_GSTS) & (TE | QIE), TE | QIE);
}

/* A unit in use: A in domain 1 with 16 pages at DATA, three levels. */
static inline void bench_run(uint64_t cap, uint64_t ecap)
{
    bench_reset(cap, ecap);
    tables3(PT);
    for (unsigned i = 0; i < 16; i++)
        map(PT, i << 12, DATA + (i << 12), 3);
    put_ctx(SID_A, TT_SS, 1, 1, PT + 0x2000);
    bench_enable();
}

static inline void no_violations(void)
{
    for (unsigned v = 0; v < MODEL_VIOLATIONS; v++)
        if (model_violation_count(W.m, v))
            fail_msg("violation: %s", model_violation_name(v));
}

#endif
