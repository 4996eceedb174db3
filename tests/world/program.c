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
    /* A first-stage table the unit itself may walk until it is flushed: whoever reuses it has to wait. */
    if (e & 3 && !(e & 0x80) && G.dom[d].levels > 1 && !G.dom[d].first)
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
            u32 head = guest_r32(u, R_IQH) / q_entry();

            if ((head - G.tail[u] - 1) % G.ring_size > 8)
                break;
            q_ring(u);
            world_run(1);
        }
}

static unsigned pc_granularity(u8 n)
{
    return n % 8 == 0 ? 3 : n % 8 == 1 ? 0 : 1;
}

static void invalidate(const struct op *op)
{
    unsigned d = op->a, f = op->a;
    unsigned slot = (op->kind == OP_PC ? op->b : op->c) % 4 % G.slots;
    u32 pasid = guest_pasid(slot);
    bool dtlb = W.cfg.ecap & E_DT && W.cfg.ats != ATS_OFF;

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
        case OP_PC:
            q_pasid(u, pc_granularity(op->c), G.dom[d].did, pasid);
            oracle_pushed_pasid(u, pc_granularity(op->c), G.dom[d].did, pasid);
            break;
        case OP_PIOTLB:
            q_piotlb(u, op->c & 4 ? 3 : 2, G.dom[d].did, pasid, oracle_iova(op->b), 0);
            oracle_pushed_piotlb(u, op->c & 4 ? 3 : 2, G.dom[d].did, pasid, oracle_iova(op->b) >> 12, 0);
            break;
        case OP_INV_IEC:
            q_iec(u, !op->c, op->a, op->b & 3);
            oracle_pushed_iec(u, !op->c, op->a, op->b & 3);
            break;
        case OP_PDTLB:
            if (W.cfg.fn[f].unit != u || !dtlb || G.slots == 1)
                break;
            if (op->c & 4)
                q_pdtlb(u, W.cfg.fn[f].sid, pasid, DTLB_EVERYTHING, op->c & 8);
            else
                q_pdtlb(u, W.cfg.fn[f].sid, pasid, oracle_iova(op->b), false, op->c & 8);
            oracle_pushed_other(u);
            break;
        default:
            if (W.cfg.fn[f].unit != u || !dtlb)
                break;
            if (op->c)
                q_dtlb(u, W.cfg.fn[f].sid, DTLB_EVERYTHING);
            else
                q_dtlb(u, W.cfg.fn[f].sid, oracle_iova(op->b), false);
            oracle_pushed_other(u);
        }
}

static void wait_all(bool with_wait, bool drain)
{
    for (unsigned u = 0; u < W.cfg.units; u++) {
        if (with_wait)
            oracle_pushed_wait(u, q_wait_and(u, drain ? WAIT_PD : 0), drain);
        q_ring(u);
    }
}

static void dma(const struct op *op)
{
    u64 buf = 0x5555, pa;
    unsigned slot = op->c / 2 % 4 % G.slots;
    u32 pasid = slot ? guest_pasid(slot) : MODEL_NO_PASID;
    struct model_result r;

    if (op->kind == OP_BEGIN) {
        model_fn_dma_begin_pasid(W.fn[op->a], pasid, oracle_iova(op->b) + 8, 8, op->c & 1, &buf);
        return;
    }
    r = model_fn_dma_pasid(W.fn[op->a], pasid, oracle_iova(op->b) + 8, 8, op->c & 1, &buf);
    pa = r.status == MODEL_OK || r.status == MODEL_NO_MEMORY ? r.pa : ~0ull;
    if (!W.cfg.quiet)
        oracle_dma(op->a, slot, op->b, pa);
    world_deliver();
}

/* --- where the requests of a function go --- */

/* An entry for `slot`, in the directory that bit 2 of `how` says. */
static void write_entry(unsigned f, unsigned slot, unsigned dir, int d)
{
    if (G.scalable)
        guest_pasid_entry(f, dir, slot, d);
    else if (d == GUEST_NONE)
        guest_detach(W.cfg.fn[f].sid);
    else if (d == GUEST_PASS)
        guest_context(W.cfg.fn[f].sid, TT_PASS, 9, 0, G.dom[0].levels);
    oracle_entry(f, slot, dir, d);
}

static void write_directory(unsigned f, int dir, bool ats, bool pages)
{
    unsigned may = ats && W.cfg.ecap & E_DT && W.cfg.ats ? CTX_ATS : 0;

    if (may && pages && W.cfg.ecap & E_PRS)
        may |= CTX_PAGES;
    G.dir[f] = dir;
    guest_sm_context(f, dir, may);
    oracle_directory(f, dir, dir >= 0 && may & CTX_PAGES);
}

static void attach(const struct op *op)
{
    unsigned f = op->a;
    bool ats = op->c && W.cfg.ecap & E_DT && W.cfg.ats;

    if (op->kind == OP_PASS && !(W.cfg.ecap & E_PT))
        return;
    if (!G.scalable && op->kind == OP_ATTACH) {
        guest_attach(W.cfg.fn[f].sid, op->b, ats ? TT_ATS_ON : TT_SS);
        oracle_entry(f, 0, 0, op->b);
        return;
    }
    write_entry(f, 0, (unsigned)MAX(G.dir[f], 0),
                op->kind == OP_DETACH ? GUEST_NONE
                : op->kind == OP_PASS ? GUEST_PASS
                                      : op->b);
    if (G.scalable && op->kind == OP_ATTACH)
        write_directory(f, MAX(G.dir[f], 0), ats, true);
}

static void pasid_entry(const struct op *op)
{
    int d = op->b == 6 ? GUEST_PASS : op->b > 6 ? GUEST_NONE : (int)(op->b % G.nr_domains);

    if (!G.scalable || (d == GUEST_PASS && !(W.cfg.ecap & E_PT)))
        return;
    write_entry(op->a, op->c % 4 % G.slots, op->c / 4 & 1, d);
}

/* --- interrupts --- */

static void write_irte(const struct op *op)
{
    u64 lo = 1 | (u64)(0x30 + op->c % 0xc0) << 16 | (u64)(op->c & 3) << 40, hi = 0;

    switch (op->b & 7) {
    case 0: /* not present */
        lo = 0;
        break;
    case 1: /* NMI */
        lo |= 4 << 5;
        break;
    case 2: /* SMI, INIT, ExtINT */
        lo |= (2 + (op->c & 1) * 3) << 5;
        break;
    case 3: /* reserved bits */
        lo |= 1 << 12;
        break;
    case 4: /* for one function only */
        hi = 1 << 18 | W.cfg.fn[op->c % W.nr_fns].sid;
        break;
    case 5: /* lowest priority, logical */
        lo |= 1 << 5 | 1 << 2;
        break;
    }
    guest_irte(op->a, lo, hi);
    oracle_irte(op->a);
}

static void interrupt(const struct op *op)
{
    u32 data = 0;
    unsigned f = op->a;
    struct model_req r = {
        .sid = W.cfg.fn[f].sid, .addr = 0xfee00010 | (u64)op->b << 5, .len = 4, .write = true
    };

    if (!G.remapping[W.cfg.fn[f].unit])
        return;
    W.device_irqs_expected = true;
    W.device_irqs = 0;
    if (model_dma(W.unit[W.cfg.fn[f].unit], &r, &data).status == MODEL_INTERRUPT)
        oracle_ir_delivered(W.cfg.fn[f].unit, op->b, W.device_irq[0].addr, W.device_irq[0].data);
    W.device_irqs_expected = false;
    world_deliver();
}

static void switch_remapping(unsigned u)
{
    if (!(guest_read(u, R_ECAP, 8) & E_IR))
        return;
    G.remapping[u] = !G.remapping[u];
    oracle_remapping(u, false);
    guest_remapping(u, G.remapping[u]);
    oracle_remapping(u, G.remapping[u]);
}

static void switch_ats(unsigned f, bool on)
{
    if (!on)
        oracle_pages_going(f);
    world_ats(f, on);
    if (!on)
        oracle_pages_gone(f);
}

/* --- page requests --- */

static u32 pasid_of(unsigned slot)
{
    return slot % 4 % G.slots ? guest_pasid(slot % 4 % G.slots) : MODEL_NO_PASID;
}

static void ask(unsigned f, u32 pasid, u16 group, bool last, bool write)
{
    struct model_page_request r = { .pasid = pasid,
                                    .addr = ++G.asked * 0x1000ull, /* so that each is told from all others */
                                    .group = group,
                                    .read = true,
                                    .write = write,
                                    .last = last };
    unsigned before = model_fn_responses(W.fn[f], NULL);
    struct model_page_response said;
    enum oracle_page what = PAGE_NO_ROOM;

    if (!model_fn_ats(W.fn[f]) || oracle_page_waits(f, r.pasid, group))
        return;
    if (model_fn_page_request(W.fn[f], &r))
        what = PAGE_TAKEN;
    else if (model_fn_responses(W.fn[f], &said) != before && said.code)
        what = PAGE_REFUSED;
    oracle_page_asked(f, &r, what);
}

/* Who has been told may ask again before anybody else knows that it was. */
static void on_trace(const struct model_event *e)
{
    struct oracle_owed o;

    if (e->type == MODEL_EV_PAGE_AGAIN)
        oracle_page_again(e);
    if (oracle_page_heard(e, &o))
        ask(o.f, o.pasid, o.group, true, false);
}

static void flood(const struct op *op)
{
    for (unsigned i = 0; i < op->b; i++)
        ask(op->a, pasid_of(op->c), (u16)(16 + i), true, false);
    world_deliver();
}

static void page(const struct op *op)
{
    ask(op->a, pasid_of(op->c), op->b, op->c & 0x30, op->c & 0x40);
    if (!(op->c & 0x80)) /* or its event is on its way still */
        world_deliver();
}

static void serve(const struct op *op)
{
    for (unsigned u = 0; u < W.cfg.units; u++) {
        u32 status = guest_r32(u, R_PRS);

        guest_w32(u, R_PRS, status & (op->c & 1 ? PRS_PENDING | PRS_OVERFLOW : PRS_PENDING));
        /* All is read, but there may be little room. */
        guest_w64(u, R_PQH, (guest_r32(u, R_PQT) + (op->c & 2 ? 64u + (op->c & 0xfc) * 8 : 0)) % 4096);
    }
}

static void respond(const struct op *op)
{
    struct oracle_owed o;
    unsigned u;

    if (!oracle_page_owed(op->a, &o))
        return;
    u = W.cfg.fn[o.f].unit;
    switch (op->c &
            31) { /* lies: another function, group, PASID or unit, where nobody ever asks; and twice */
    case 0:
        o.f = 0;
        break;
    case 1:
        o.group |= 0x100;
        break;
    case 2:
        o.pasid = 77;
        break;
    case 3:
        u = (u + 1) % W.cfg.units;
        break;
    case 4:
        q_page_response(u, W.cfg.fn[o.f].sid, o.pasid, o.group, op->b);
        oracle_pushed_response(u, oracle_page_answer(u, &o, op->b));
        break;
    }
    q_page_response(u, W.cfg.fn[o.f].sid, o.pasid, o.group, op->b);
    oracle_pushed_response(u, oracle_page_answer(u, &o, op->b));
}

/* Operations that need what this machine does not have are none. */
static bool possible(const struct op *op)
{
    switch (op->kind) {
    case OP_MAP:
    case OP_UNMAP:
    case OP_LARGE:
    case OP_DROP:
    case OP_INV_PAGE:
    case OP_INV_DOMAIN:
    case OP_CTX_DOMAIN:
        return op->a < G.nr_domains;
    case OP_ATTACH:
        return op->b < G.nr_domains;
    case OP_PC:
    case OP_PIOTLB:
        return G.scalable && op->a < G.nr_domains;
    case OP_INV_IEC:
        return guest_read(0, R_ECAP, 8) & E_IR;
    case OP_PAGE:
    case OP_FLOOD:
    case OP_SERVE:
    case OP_RESPONSE:
        return W.cfg.ecap & E_PRS;
    case OP_HOLD:
        return W.cfg.ecap & E_PDS;
    default:
        return true;
    }
}

void program_step(const struct op *op)
{
    u64 leaf;

    if (!possible(op))
        return;

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
    case OP_PASS:
    case OP_DETACH:
        attach(op);
        break;
    case OP_PENTRY:
        pasid_entry(op);
        break;
    case OP_DIRECTORY:
        if (G.scalable)
            write_directory(op->a, op->b % 3 - 1, op->c & 1, !(op->c & 2));
        break;
    case OP_IRTE:
        write_irte(op);
        break;
    case OP_REMAP:
        switch_remapping(op->a);
        break;
    case OP_MSI:
        interrupt(op);
        break;
    case OP_WAIT:
    case OP_RING:
        make_room();
        wait_all(op->kind == OP_WAIT, op->a == 1 && W.cfg.ecap & E_PDS);
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
            switch_ats(op->a, op->b);
        break;
    case OP_RESET:
        oracle_pages_going(op->a);
        world_reset(op->a);
        oracle_pages_gone(op->a);
        break;
    case OP_PAGE:
        page(op);
        break;
    case OP_FLOOD:
        flood(op);
        break;
    case OP_SERVE:
        serve(op);
        break;
    case OP_HOLD:
        model_hold_page_requests(W.unit[op->a], op->b);
        world_deliver();
        break;
    case OP_RESPONSE:
        make_room();
        respond(op);
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
    for (unsigned u = 0; u < W.cfg.units && W.cfg.ecap & E_PRS; u++) {
        guest_page_queue(u);
        W.on_trace = on_trace;
    }
    /* The second one is narrower if it can be; the third has the id of the first; the fourth its tables. */
    for (unsigned d = 0; d < domains && d < 3; d++)
        guest_domain_init(d, d == 2 ? 5 : (u16)(5 + d),
                          !(W.cfg.cap & C_SAGAW(4)) || (d == 1 && W.cfg.cap & C_SAGAW(2)) ? 3 : 4);
    if (domains > 3)
        G.dom[3] = (struct guest_domain){ 8, G.dom[0].levels, false, G.dom[0].root };
    G.nr_domains = MIN(domains, 4u);
    if (domains > 4 && G.scalable && guest_read(0, R_ECAP, 8) & E_FSTS)
        for (; G.nr_domains < domains; G.nr_domains++) {
            guest_domain_init(G.nr_domains, (u16)(16 + G.nr_domains), 4);
            G.dom[G.nr_domains].first = true;
        }
    for (unsigned f = 0; f < W.nr_fns; f++) {
        G.dir[f] = GUEST_NONE;
        for (unsigned slot = 1; slot < G.slots; slot++)
            model_fn_use_pasid(W.fn[f], guest_pasid(slot));
    }
    oracle_start(G.nr_domains, pages);
    if (W.cfg.ecap & E_IR)
        for (unsigned u = 0; u < W.cfg.units; u++)
            model_watch_irtes(W.unit[u], 0, ORACLE_IRTES);
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

    for (unsigned u = 0; u < W.cfg.units; u++)
        model_hold_page_requests(W.unit[u], false);
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
    if (W.cfg.ecap & E_PRS)
        oracle_prq_end();
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
        "map",        "unmap",      "large",      "drop",       "attach",     "pass",   "detach", "inv_page",
        "inv_domain", "inv_global", "ctx_device", "ctx_domain", "ctx_global", "dtlb",   "wait",   "ring",
        "dma",        "begin",      "fill",       "ats",        "time",       "switch", "poll",   "bar",
        "silent",     "pentry",     "directory",  "pc",         "piotlb",     "pdtlb",  "irte",   "inv_iec",
        "remap",      "msi",        "reset",      "page",       "flood",      "serve",  "hold",   "response",
    };

    for (unsigned i = 0; i < n; i++)
        fprintf(stderr, "  %-10s %u %u %u\n", names[ops[i].kind], ops[i].a, ops[i].b, ops[i].c);
    fprintf(stderr, "  PROGRAM=");
    for (unsigned i = 0; i < n; i++)
        fprintf(stderr, "%02x%02x%02x%02x", ops[i].kind, ops[i].a, ops[i].b, ops[i].c);
    fprintf(stderr, "\n");
}
