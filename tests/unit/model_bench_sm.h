/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small machine of model_bench.h in scalable mode: PASID tables, first-stage tables, nesting.
 */
#ifndef TESTS_UNIT_MODEL_BENCH_SM_H
#define TESTS_UNIT_MODEL_BENCH_SM_H

#include "tests/unit/model_bench.h"

enum {
    SCTX = 0x2000, /* devfn 0 to 7f of bus 0 */
    DIR_A = 0x3000,
    DIR_B = 0x4000,
    PASIDS_A = 0x5000,
    PASIDS_B = 0x6000,
    FS = 0x30000, /* first-stage tables of one address space: leaf, +0x1000, +0x2000, top +0x3000 */
    FS2 = 0x40000,
    SS = 0x50000, /* second-stage tables: leaf, +0x1000, top +0x2000 (three levels) */
    SS2 = 0x60000,
};

/* NEST, PRS, SRS, PSS 20, PASID, PDS, SMTS, SSTS, FSTS, RPS; FS1GP and FS5LP. */
#define SM_ECAP                                                                                              \
    (BASE_ECAP | 1ull << 26 | 1ull << 29 | 1ull << 31 | 19ull << 35 | 1ull << 40 | 1ull << 42 | 1ull << 43 | \
     1ull << 46 | 1ull << 47 | 1ull << 49)
#define SM_CAP (BASE_CAP | 1ull << 56 | 1ull << 60)

enum { PG_FS = 1, PG_SS = 2, PG_NEST = 3, PG_PT = 4 };
enum { C_DTE = 1 << 2, C_PASIDE = 1 << 3, C_PRE = 1 << 4 };

static inline uint64_t pasid_at(uint16_t sid, uint32_t pasid)
{
    return (sid == SID_A ? PASIDS_A : PASIDS_B) + pasid * 64;
}
static inline void put_pasid(uint16_t sid, uint32_t pasid, unsigned pgtt, uint16_t did, uint64_t ss,
                             uint64_t fs)
{
    uint64_t at = pasid_at(sid, pasid);

    poke(at + 8, did);
    poke(at + 16, fs);
    poke(at, 1 | (pgtt == PG_SS || pgtt == PG_NEST ? 1 << 2 : 0) | pgtt << 6 | ss);
}
static inline void clear_pasid(uint16_t sid, uint32_t pasid)
{
    memset(W.ram + pasid_at(sid, pasid), 0, 64);
}
static inline void put_sctx(uint16_t sid, unsigned flags, uint32_t rid_pasid)
{
    poke(SCTX + sid * 32 + 8, rid_pasid);
    poke(SCTX + sid * 32, 1 | flags | (sid == SID_A ? DIR_A : DIR_B));
}
/* Four-level first-stage tables at `fs` for iova 0..2M. */
static inline void tables_fs(uint64_t fs)
{
    poke(fs + 0x3000, (fs + 0x2000) | 7);
    poke(fs + 0x2000, (fs + 0x1000) | 7);
    poke(fs + 0x1000, fs | 7);
}
enum { FS_RO = 5, FS_RW = 7 };
static inline void map_fs(uint64_t fs, uint64_t iova, uint64_t pa, unsigned perm)
{
    poke(fs + (iova >> 12) * 8, pa ? pa | perm : 0);
}
/* The second stage maps guest 0..2M to itself. */
static inline void tables_ss(uint64_t ss)
{
    tables3(ss);
    for (unsigned i = 0; i < 512; i++)
        map(ss, i << 12, (uint64_t)i << 12, 3);
}

static inline void d_piotlb(unsigned g, uint16_t did, uint32_t pasid, uint64_t addr, unsigned am, bool ih)
{
    push(6 | g << 4 | (uint64_t)did << 16 | (uint64_t)pasid << 32, addr | am | (unsigned)ih << 6);
}
static inline void d_pasid(unsigned g, uint16_t did, uint32_t pasid)
{
    push(7 | g << 4 | (uint64_t)did << 16 | (uint64_t)pasid << 32, 0);
}
static inline void d_pdtlb(uint16_t sid, uint32_t pasid, uint64_t addr, bool s, bool g)
{
    push(8 | (uint64_t)sid << 16 | (uint64_t)pasid << 32, addr | (unsigned)s << 11 | g);
}

static inline void sm_reset(uint64_t cap, uint64_t ecap)
{
    bench_reset(cap, ecap);
    W.wide = true;
    poke(ROOT, SCTX | 1);
    poke(DIR_A, PASIDS_A | 1);
    poke(DIR_B, PASIDS_B | 1);
    tables_fs(FS);
    tables_fs(FS2);
    tables_ss(SS);
    tables_ss(SS2);
    for (unsigned i = 0; i < 16; i++) {
        map_fs(FS, i << 12, DATA + (i << 12), FS_RW);
        map_fs(FS2, i << 12, DATA + 0x20000 + (i << 12), FS_RW);
    }
}
static inline void sm_enable(void)
{
    w64(R_RTADDR, ROOT | 1 << 10);
    gcmd(SRTP, true);
    w64(R_IQA, RING | 1 << 11);
    gcmd(QIE, true);
    d_context(1, 0, 0, 0);
    d_pasid(3, 0, 0);
    d_iotlb(1, 0, 0, 0, false);
    sync_queue();
    gcmd(TE, true);
}

static inline struct model_result dma_pasid(uint16_t sid, uint32_t pasid, uint64_t addr, bool write)
{
    uint64_t buf = 0x1122334455667788;
    struct model_req r = {
        .sid = sid, .addr = addr, .write = write, .len = 8, .has_pasid = true, .pasid = pasid
    };

    return model_dma(W.m, &r, &buf);
}
static inline uint64_t lands_pasid(uint16_t sid, uint32_t pasid, uint64_t iova)
{
    struct model_result r = dma_pasid(sid, pasid, iova, false);

    return r.status == MODEL_OK ? r.pa : ~0ull;
}

#endif
