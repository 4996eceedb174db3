/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs and machines by chance. A seed says everything.
 */
#include <string.h>

#include "tests/world/program.h"

static u64 rng;

static u32 rnd(u32 n)
{
    rng ^= rng >> 12;
    rng ^= rng << 25;
    rng ^= rng >> 27;
    return (u32)((rng * 0x2545f4914f6cdd1dull) >> 33) % n;
}

static void seed_with(u64 seed, u64 salt)
{
    rng = (seed * 0x9e3779b97f4a7c15ull) ^ salt;
    if (!rng)
        rng = 1;
    for (unsigned i = 0; i < 8; i++)
        rnd(2);
}

#define SCALABLE (E_SMTS | E_SSTS | E_SMPWC | E_RPS)
#define PASIDS   (SCALABLE | E_PASID | E_PSS)

void program_config(struct world_cfg *cfg, u64 seed, bool errors)
{
    static const struct {
        u64 cap_off, cap_on, ecap_off, ecap_on;
    } kinds[] = {
        { 0, 0, 0, 0 },
        { 0, 0, 0, 0 },
        { 0, C_CM, 0, 0 },
        { 0, 0, E_C, 0 },
        { 0, C_RWBF, 0, 0 },
        { 0, C_RWBF, E_C, 0 },
        { 0, C_ESRTPS, 0, 0 },
        { 0, C_CM, E_C, 0 },
        { C_PSI | C_MAMV(63), 0, 0, 0 },
        { C_MAMV(63), C_MAMV(2), 0, 0 },
        { C_SAGAW(6), C_SAGAW(2), 0, 0 },
        { C_SAGAW(6), C_SAGAW(4), 0, 0 },
        { C_SSLPS(3), C_SSLPS(1), 0, 0 },
        { C_SSLPS(3), 0, 0, 0 },
        { 7, C_ND(1), 0, 0 },
        { 0, 0, E_DT, 0 },
        { 0, 0, E_PT | E_SC, 0 },
        { C_DRAIN, 0, 0, 0 },
        { 0, 0, 0, E_DIT },
        { 0, 0, 0, SCALABLE },
        { 0, C_CM, 0, SCALABLE },
        { 0, 0, E_C, SCALABLE },
        { 0, 0, E_DT, SCALABLE },
        { 0, C_ESRTPS, E_PT | E_SC, SCALABLE },
        { C_MAMV(63), C_MAMV(2), 0, SCALABLE },
        { 0, 0, 0, PASIDS },
        { 0, C_FS1GP, 0, PASIDS | E_FSTS },
        { 0, 0, 0, PASIDS | E_FSTS | E_NEST }, /* FIRST_STAGE */
        { 0, C_CM | C_FS1GP, 0, PASIDS | E_FSTS | E_NEST },
        { 0, 0, E_C, PASIDS | E_FSTS | E_NEST },
        { 0, C_ESRTPS, 0, PASIDS | E_FSTS | E_NEST },
    };
    enum { FIRST_STAGE = 27 }; /* of these some more, as much has to come together there */
    static const u32 waits[] = { 0, 0, 1, 5, 100 };
    unsigned k;

    seed_with(seed, 0x1234);
    k = rnd(4) ? rnd(ARRAY_SIZE(kinds)) : FIRST_STAGE + rnd(ARRAY_SIZE(kinds) - FIRST_STAGE);
    memset(cfg, 0, sizeof(*cfg));
    cfg->cap = (CAP_DEFAULT & ~kinds[k].cap_off) | kinds[k].cap_on;
    cfg->ecap = (ECAP_DEFAULT & ~kinds[k].ecap_off) | kinds[k].ecap_on;
    cfg->pages = cfg->cap & C_RWBF ? 450 : 0; /* every flush copies all of them */
    cfg->units = 1 + (rnd(4) == 0);
    cfg->pace = (u8)rnd(3);
    cfg->pace_max = (u16)(1 + rnd(4));
    cfg->speculate = (u16)(rnd(3) == 0);
    for (unsigned c = 0; c < MODEL_CLASSES; c++)
        cfg->keep[c] = rnd(2) ? MODEL_KEEP_RANDOM : MODEL_KEEP_ALL;
    cfg->seed = seed;
    cfg->wait_us = waits[rnd(ARRAY_SIZE(waits))];
    cfg->ats = rnd(8) ? ATS_ALL : ATS_LISTED;
    cfg->reuse_at_once = rnd(2);
    if (rnd(10) == 0)
        cfg->scarce = 1 + rnd(25);
    if (rnd(3) == 0 && !(cfg->cap & C_RWBF)) /* the table of interrupt entries is large */
        cfg->ecap |= E_IR | E_EIM | (rnd(2) ? E_MHMV : 0);
    if (cfg->ecap & E_SMTS) {
        cfg->scalable = rnd(4); /* or a guest in legacy mode on such a unit */
        cfg->rid_pasid = rnd(2) * 3;
    }
    if (cfg->scalable && cfg->ecap & E_DT && rnd(2))
        cfg->ecap |= E_PRS | (rnd(4) ? E_PDS : 0);
    if (errors) {
        cfg->ite_steps = (u16)(10 + rnd(50));
        cfg->ite_no_sid = rnd(2);
        if (!(cfg->ecap & E_DT))
            cfg->ecap |= E_DT;
    }
}

/* Of a guest that has first-stage tables, too, half of the domains are such. */
static u8 any_domain(const struct world_cfg *cfg)
{
    if (cfg->scalable && cfg->ecap & E_FSTS && rnd(2))
        return (u8)(4 + rnd(MAX_GUEST_DOMAINS - 4));
    return (u8)rnd(4);
}

/* A page as a driver treats it: mapped, used, so that all that may be cached is, unmapped; and each time it
 * is invalidated, and that waited for. */
#define PAGE_LIFE 7
static void page_life(struct op *ops, const struct world_cfg *cfg)
{
    const u8 d = any_domain(cfg), page = (u8)rnd(4);
    const struct op invalidate =
        d < 4 ? (struct op){ OP_INV_PAGE, d, page, 0 } : (struct op){ OP_PIOTLB, d, page, (u8)(4 + rnd(4)) };

    ops[0] = (struct op){ OP_MAP, d, page, (u8)rnd(12) };
    ops[3] = (struct op){ OP_FILL, 0, 0, 0 };
    ops[4] = (struct op){ OP_UNMAP, d, page, 0 };
    ops[1] = ops[5] = invalidate;
    ops[2] = ops[6] = (struct op){ OP_WAIT, 0, 0, 0 };
}

/* A response beside flushes that a function does not answer: of the others none may lose theirs. */
#define LATE_RESPONSE 6
static void late_response(struct op *ops)
{
    u8 other = (u8)(1 + rnd(2));

    ops[0] = (struct op){ OP_PAGE, other, (u8)rnd(4), 0x30 };
    ops[1] = (struct op){ OP_ATS, 3 - other, 1, 0 };
    ops[2] = (struct op){ OP_SILENT, 3 - other, 0, 0 };
    ops[3] = (struct op){ OP_INV_GLOBAL, 0, 0, 0 };
    ops[4] = (struct op){ OP_RESPONSE, (u8)rnd(256), (u8)rnd(16), 31 };
    ops[5] = (struct op){ OP_WAIT, 0, 0, 0 };
}

static struct op random_op(const struct world_cfg *cfg, bool errors)
{
    static const u8 weight[OP_KINDS] = {
        [OP_MAP] = 20,       [OP_UNMAP] = 12,     [OP_LARGE] = 2,      [OP_DROP] = 2,
        [OP_ATTACH] = 5,     [OP_PASS] = 1,       [OP_DETACH] = 2,     [OP_INV_PAGE] = 20,
        [OP_INV_DOMAIN] = 6, [OP_INV_GLOBAL] = 2, [OP_CTX_DEVICE] = 6, [OP_CTX_DOMAIN] = 2,
        [OP_CTX_GLOBAL] = 1, [OP_DTLB] = 4,       [OP_WAIT] = 15,      [OP_RING] = 3,
        [OP_DMA] = 25,       [OP_BEGIN] = 4,      [OP_FILL] = 2,       [OP_ATS] = 2,
        [OP_TIME] = 8,       [OP_SWITCH] = 1,     [OP_POLL] = 3,       [OP_BAR] = 1,
        [OP_SILENT] = 0,     [OP_RESET] = 1,
    };
    static const u8 more[OP_KINDS] = {
        [OP_PENTRY] = 8, [OP_DIRECTORY] = 2, [OP_PC] = 8, [OP_PIOTLB] = 8, [OP_PDTLB] = 3
    };
    static const u8 pages[OP_KINDS] = {
        [OP_PAGE] = 16, [OP_FLOOD] = 2, [OP_SERVE] = 4, [OP_HOLD] = 3, [OP_RESPONSE] = 14
    };
    static const u8 interrupts[OP_KINDS] = { [OP_IRTE] = 6, [OP_INV_IEC] = 6, [OP_REMAP] = 1, [OP_MSI] = 8 };
    u8 w[OP_KINDS];
    unsigned total = 0, pick;
    struct op op = { 0, any_domain(cfg), any_domain(cfg), (u8)rnd(256) };
    unsigned fns = cfg->nr_fns ? cfg->nr_fns : 3;

    for (unsigned k = 0; k < OP_KINDS; k++) {
        w[k] = (u8)(weight[k] + (cfg->scalable ? more[k] : 0) + (cfg->ecap & E_IR ? interrupts[k] : 0) +
                    (cfg->ecap & E_PRS ? pages[k] : 0));
        total += w[k];
    }
    pick = rnd(total);
    while (pick >= w[op.kind])
        pick -= w[op.kind++];
    /* Half of the pages are few, so that the same ones come again. */
    switch (op.kind) {
    case OP_INV_PAGE:
        op.c = (u8)(cfg->cap >> 48 & 63 ? (rnd(3) ? 0 : rnd(3)) : 0);
        op.b = (u8)(rnd(2) ? rnd(4) : rnd(ORACLE_PAGES));
        break;
    case OP_MAP:
    case OP_UNMAP:
        op.b = (u8)(rnd(2) ? rnd(4) : rnd(ORACLE_PAGES));
        break;
    case OP_LARGE:
    case OP_DROP:
        op.b = (u8)rnd(3);
        break;
    case OP_ATTACH:
        op.c = rnd(3) > 0;
        op.a = (u8)rnd(fns);
        break;
    case OP_DTLB:
        op.c = (u8)rnd(2);
        /* fall through */
    case OP_DMA:
    case OP_BEGIN:
    case OP_PDTLB:
        op.b = (u8)(rnd(2) ? rnd(4) : rnd(ORACLE_PAGES));
        /* fall through */
    case OP_PASS:
    case OP_DETACH:
    case OP_DIRECTORY:
    case OP_RESET:
    case OP_PAGE: /* groups are few, too */
        op.a = (u8)rnd(fns);
        break;
    case OP_PENTRY:
        op.a = (u8)rnd(fns);
        if (rnd(4) == 0) /* passes through, or is not there */
            op.b = (u8)(6 + rnd(2));
        break;
    case OP_FLOOD:
        op.a = (u8)rnd(fns);
        op.b = (u8)(rnd(4) ? rnd(80) : 100 + rnd(100));
        break;
    case OP_RESPONSE:
        op.a = (u8)rnd(256);
        op.b = (u8)rnd(16);
        break;
    case OP_PIOTLB:
        op.b = (u8)(rnd(2) ? rnd(4) : rnd(ORACLE_PAGES));
        break;
    case OP_IRTE:
        op.a = (u8)rnd(ORACLE_IRTES);
        op.b = (u8)rnd(8);
        break;
    case OP_INV_IEC:
        op.a = (u8)rnd(ORACLE_IRTES);
        op.b = (u8)(cfg->ecap & E_MHMV ? (rnd(2) ? 0 : rnd(3)) : 0);
        op.c = rnd(8) == 0;
        break;
    case OP_MSI:
        op.a = (u8)rnd(fns);
        op.b = (u8)rnd(ORACLE_IRTES);
        break;
    case OP_CTX_DEVICE:
        op.a = (u8)rnd(fns);
        op.b = (u8)(rnd(4) ? 0 : rnd(4));
        break;
    case OP_ATS:
        op.a = (u8)rnd(fns);
        op.b = (u8)rnd(2);
        break;
    case OP_TIME:
        op.a = (u8)(1 + rnd(20));
        break;
    case OP_HOLD:
    case OP_SWITCH:
    case OP_REMAP:
    case OP_POLL:
        op.a = (u8)rnd(cfg->units);
        op.b = (u8)rnd(2);
        break;
    }
    if (op.kind == OP_BAR && rnd(4)) /* it is a lot of work, for everybody */
        op.kind = OP_FILL;
    if (errors && rnd(60) == 0)
        op = (struct op){ OP_SILENT, (u8)(1 + rnd(fns - 1)), (u8)rnd(2), (u8)rnd(60) };
    return op;
}

void program_draw(struct op *ops, unsigned n, u64 seed, const struct world_cfg *cfg, bool errors)
{
    unsigned fns = cfg->nr_fns ? cfg->nr_fns : 3;

    seed_with(seed, 0x5678);
    for (unsigned i = 0; i < n; i++) {
        if (i < 2 * fns) /* something to begin with */
            ops[i] = i & 1 ? (struct op){ OP_ATTACH, (u8)(i / 2), any_domain(cfg) & 5, 1 }
                           : (struct op){ OP_ATS, (u8)(i / 2), 1, 0 };
        else if (i == 2 * fns)
            ops[i] = (struct op){ OP_CTX_GLOBAL, 0, 0, 0 };
        else if (i + PAGE_LIFE <= n && rnd(50) == 0) {
            page_life(&ops[i], cfg);
            i += PAGE_LIFE - 1;
        } else if (i + LATE_RESPONSE <= n && errors && cfg->ecap & E_PRS && i < n / 8 && rnd(20) == 0) {
            late_response(&ops[i]);
            i += LATE_RESPONSE - 1;
        } else
            ops[i] = random_op(cfg, errors);
    }
}
