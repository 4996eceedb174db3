/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running programs: each operation is a few lines of a guest's driver, and tells the oracle what it did.
 */
#include <stdio.h>
#include <string.h>

#include "tests/world/program.h"

/* What a page can be mapped to: memory of the guest's mostly, and what it has no business with. */
static u64 target(u8 n)
{
    switch (n & 15) {
    case 12:
        return BAR_BASE + 0x1000;
    case 13:
        return RMRR_BASE;
    case 14:
        return REGION_BASE + (u64)(n >> 4) * 0x1000;
    case 15:
        return n & 16 ? UNIT_BASE : 0xfee00000;
    default:
        return GUEST_DATA + (u64)(n & 15) * 0x1000;
    }
}

static u64 slot_iova(u8 slot)
{
    return oracle_iova(slot % 3 * 16u);
}

/* Does domain `d` share its tables with a domain that is looked at under another id? All are updated. */
static void map_large(unsigned d, u8 slot, u8 what)
{
    u64 iova = slot_iova(slot);
    unsigned level = slot % 3 == 2 && what & 1 ? 3 : 2;
    u64 to = what & 2 ? RAM2_BASE : what & 4 ? REGION_BASE : 0;

    if (level == 3)
        to = what & 2 ? RAM3_BASE : 0;
    guest_map_level(d, iova, to, P_RW, level);
    oracle_tables();
}

static void drop(unsigned d, u8 slot)
{
    u64 at = guest_entry(d, slot_iova(slot), 2), e;

    if (!at)
        at = guest_entry(d, slot_iova(slot), 3);
    if (!at)
        return;
    e = peek64(at);
    poke64(at, 0);
    if (e & 3 && !(e & 0x80) && G.dom[d].levels > 1)
        guest_table_free(e & 0x000ffffffffff000ull);
    oracle_tables();
}

static void switch_translation(unsigned u)
{
    bool on = !(guest_r32(u, R_GSTS) & G_TE);

    oracle_enable(u, on);
    guest_gcmd(u, G_TE, on);
    oracle_enabled(u);
}

/* Room for what one operation pushes, so that the guest never overruns its own ring. */
static void make_room(void)
{
    for (unsigned u = 0; u < W.cfg.units; u++)
        for (unsigned n = 0; n < 20000; n++) {
            u32 head = guest_r32(u, R_IQH) / 16;

            if ((head - G.tail[u] - 1) % G.ring_size > 8)
                break;
            q_ring(u);
            world_run(1);
        }
}

static void invalidate(const struct op *op)
{
    unsigned d = op->a;
    unsigned f = op->a;

    for (unsigned u = 0; u < W.cfg.units; u++)
        switch (op->kind) {
        case OP_INV_PAGE:
            q_iotlb(u, 3, G.dom[d].did, oracle_iova(op->b), op->c);
            oracle_pushed_iotlb(u, 3, G.dom[d].did, oracle_iova(op->b) >> 12, op->c);
            break;
        case OP_INV_DOMAIN:
            q_iotlb(u, 2, G.dom[d].did, 0, 0);
            oracle_pushed_iotlb(u, 2, G.dom[d].did, 0, 0);
            break;
        case OP_INV_GLOBAL:
            q_iotlb(u, 1, 0, 0, 0);
            oracle_pushed_iotlb(u, 1, 0, 0, 0);
            break;
        case OP_CTX_DEVICE:
            if (W.cfg.fn[f].unit != u)
                break;
            q_context(u, 3, G.dom[0].did, W.cfg.fn[f].sid, op->b & 3);
            oracle_pushed_context(u, 3, G.dom[0].did, W.cfg.fn[f].sid, op->b & 3);
            break;
        case OP_CTX_DOMAIN:
            q_context(u, 2, G.dom[d].did, 0, 0);
            oracle_pushed_context(u, 2, G.dom[d].did, 0, 0);
            break;
        case OP_CTX_GLOBAL:
            q_context(u, 1, 0, 0, 0);
            oracle_pushed_context(u, 1, 0, 0, 0);
            break;
        default:
            if (W.cfg.fn[f].unit != u || !(W.cfg.ecap & E_DT) || W.cfg.ats == ATS_OFF)
                break;
            if (op->c)
                q_dtlb(u, W.cfg.fn[f].sid, DTLB_EVERYTHING);
            else
                q_dtlb(u, W.cfg.fn[f].sid, oracle_iova(op->b), false);
            oracle_pushed_other(u);
        }
}

static void wait_all(bool with_wait)
{
    for (unsigned u = 0; u < W.cfg.units; u++) {
        if (with_wait)
            oracle_pushed_wait(u, q_wait(u));
        q_ring(u);
    }
}

static void dma(const struct op *op)
{
    u64 buf = 0x5555, pa;
    struct model_result r;

    if (op->kind == OP_BEGIN) {
        model_fn_dma_begin(W.fn[op->a], oracle_iova(op->b) + 8, 8, op->c & 1, &buf);
        return;
    }
    r = model_fn_dma(W.fn[op->a], oracle_iova(op->b) + 8, 8, op->c & 1, &buf);
    pa = r.status == MODEL_OK || r.status == MODEL_NO_MEMORY ? r.pa : ~0ull;
    if (!W.cfg.quiet)
        oracle_dma(op->a, op->b, pa);
    world_deliver();
}

void program_step(const struct op *op)
{
    u64 leaf;

    switch (op->kind) {
    case OP_MAP:
        leaf = guest_entry(op->a, oracle_iova(op->b), 1);
        guest_map(op->a, oracle_iova(op->b), target(op->c), op->c >= 0xe0 ? P_R : op->c >= 0xd0 ? P_W : P_RW);
        if (leaf)
            oracle_page(op->b);
        else /* a table came into being, perhaps in the place of a large page */
            oracle_tables();
        break;
    case OP_UNMAP:
        guest_unmap(op->a, oracle_iova(op->b));
        oracle_page(op->b);
        break;
    case OP_LARGE:
        map_large(op->a, op->b, op->c);
        break;
    case OP_DROP:
        drop(op->a, op->b);
        break;
    case OP_ATTACH:
        guest_attach(W.cfg.fn[op->a].sid, op->b, op->c && W.cfg.ecap & E_DT && W.cfg.ats ? TT_ATS_ON : TT_SS);
        oracle_context(op->a, op->b);
        break;
    case OP_PASS:
        if (W.cfg.ecap & E_PT) {
            guest_context(W.cfg.fn[op->a].sid, TT_PASS, 9, 0, G.dom[0].levels);
            oracle_context(op->a, ORACLE_PASS);
        }
        break;
    case OP_DETACH:
        guest_detach(W.cfg.fn[op->a].sid);
        oracle_context(op->a, ORACLE_NONE);
        break;
    case OP_WAIT:
    case OP_RING:
        make_room();
        wait_all(op->kind == OP_WAIT);
        break;
    case OP_DMA:
    case OP_BEGIN:
        dma(op);
        break;
    case OP_FILL:
        for (unsigned u = 0; u < W.cfg.units; u++)
            model_fill_all(W.unit[u]);
        break;
    case OP_ATS:
        if (W.cfg.fn[op->a].ats)
            world_ats(op->a, op->b);
        break;
    case OP_TIME:
        world_run(op->a);
        break;
    case OP_SWITCH:
        switch_translation(op->a);
        break;
    case OP_POLL:
        guest_r32(op->a, op->b ? R_FSTS : R_IQH);
        break;
    case OP_BAR:
        W.bar_off = W.bar_closing = !W.bar_off;
        oracle_tables();
        iommu_dma_changed(BAR_BASE, BAR_END - BAR_BASE);
        W.bar_closing = false;
        W.after_exit();
        world_deliver();
        oracle_dma_changed();
        break;
    case OP_SILENT:
        model_fn_set_answer(W.fn[op->a], op->b & 1 ? MODEL_ANSWER_LATE : MODEL_ANSWER_NEVER, op->c);
        oracle_may_block(op->a);
        break;
    default:
        make_room();
        invalidate(op);
    }
}

bool program_begin(const struct world_cfg *cfg, unsigned domains, unsigned pages)
{
    struct world_cfg c = *cfg;

    c.own_watch = true;
    if (world_start(&c)) {
        world_fail("the machine does not start");
        return false;
    }
    for (unsigned u = 0; u < W.cfg.units; u++)
        for (unsigned p = 0; p < pages; p += 16)
            model_watch(W.unit[u], oracle_iova(p), MIN(16u, pages - p));
    guest_start();
    /* The second one is narrower if it can be; the third has the id of the first; the fourth its tables. */
    for (unsigned d = 0; d < domains && d < 3; d++)
        guest_domain_init(d, d == 2 ? 5 : (u16)(5 + d),
                          !(W.cfg.cap & C_SAGAW(4)) || (d == 1 && W.cfg.cap & C_SAGAW(2)) ? 3 : 4);
    if (domains > 3)
        G.dom[3] = (struct guest_domain){ 8, G.dom[0].levels, G.dom[0].root };
    oracle_start(domains, pages);
    if (W.cfg.scarce) { /* what finds no table is blocked, and nothing worse */
        W.pages = W.bump + 256 + W.cfg.scarce;
        for (unsigned f = 0; f < W.nr_fns; f++)
            oracle_may_block(f);
    }
    return world_ok();
}

bool program_end(void)
{
    static const struct op last = { OP_WAIT, 0, 0, 0 };

    program_step(&last);
    for (unsigned n = 0; n < 50000 && oracle_waiting() && world_ok(); n++)
        world_run(1);
    if (oracle_waiting())
        world_fail("a wait never completes");
    world_settle();
    for (unsigned u = 0; u < W.cfg.units && !W.cfg.quiet; u++)
        model_fill_all(W.unit[u]);
    if (!W.cfg.quiet)
        oracle_check_all();
    for (unsigned u = 0; u < W.cfg.units; u++)
        for (unsigned v = 0; v < MODEL_VIOLATIONS; v++)
            if (model_violation_count(W.unit[u], v))
                world_fail("unit %u was driven wrongly: %s", u, model_violation_name(v));
    world_count();
    return world_ok();
}

bool program_run(const struct world_cfg *cfg, const struct op *ops, unsigned n)
{
    if (program_begin(cfg, MAX_GUEST_DOMAINS, ORACLE_PAGES))
        for (unsigned i = 0; i < n && world_ok(); i++)
            program_step(&ops[i]);
    return world_ok() && program_end();
}

unsigned program_shrink(const struct world_cfg *cfg, struct op *ops, unsigned n)
{
    static struct op less[MAX_OPS];

    for (unsigned chunk = n / 2; chunk; chunk /= 2)
        for (unsigned at = 0; at < n;) {
            unsigned cut = MIN(chunk, n - at);

            memcpy(less, ops, at * sizeof(*ops));
            memcpy(less + at, ops + at + cut, (n - at - cut) * sizeof(*ops));
            if (program_run(cfg, less, n - cut)) {
                at += cut;
                continue;
            }
            n -= cut;
            memcpy(ops, less, n * sizeof(*ops));
        }
    return n;
}

void program_print(const struct op *ops, unsigned n)
{
    static const char *const names[OP_KINDS] = {
        "map",      "unmap",      "large",      "drop",       "attach",     "pass",       "detach",
        "inv_page", "inv_domain", "inv_global", "ctx_device", "ctx_domain", "ctx_global", "dtlb",
        "wait",     "ring",       "dma",        "begin",      "fill",       "ats",        "time",
        "switch",   "poll",       "bar",        "silent",
    };

    for (unsigned i = 0; i < n; i++)
        fprintf(stderr, "  %-10s %u %u %u\n", names[ops[i].kind], ops[i].a, ops[i].b, ops[i].c);
    fprintf(stderr, "  PROGRAM=");
    for (unsigned i = 0; i < n; i++)
        fprintf(stderr, "%02x%02x%02x%02x", ops[i].kind, ops[i].a, ops[i].b, ops[i].c);
    fprintf(stderr, "\n");
}
