/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupt remapping (5.1): what becomes of a write to the interrupt range.
 */
#include "tests/model/model_int.h"

static struct model_result refused(struct model *m, u8 reason, bool fpd, u16 sid, u64 where)
{
    if (!(fpd && mdl_fault_qualified(reason)))
        mdl_fault(m, reason, &(struct model_req){ .sid = sid, .write = true }, where);
    return (struct model_result){ .status = MODEL_BLOCKED, .reason = reason, .pa = where };
}

static struct model_result deliver(struct model *m, u64 addr, u32 data)
{
    m->ops.interrupt(m->ops.ctx, addr, data);
    return (struct model_result){ .status = MODEL_INTERRUPT, .pa = addr };
}

/* 9.10: is the source who the entry says it must be? */
static u8 source_check(const u64 e[2], u16 sid)
{
    static const u16 ignore[4] = { 0, 4, 6, 7 };
    u16 want = mdl_bits(e[1], 15, 0);

    switch (mdl_bits(e[1], 19, 18)) {
    case 0:
        return 0;
    case 1:
        return (sid ^ want) & ~ignore[mdl_bits(e[1], 17, 16)] ? FR_IR_SID : 0;
    case 2: /* a range of buses: SID holds the first and the last */
        return sid >> 8 >= want >> 8 && sid >> 8 <= (want & 255) ? 0 : FR_IR_SID;
    default:
        return FR_IR_RSVD;
    }
}

static u8 entry_check(const struct model *m, const u64 e[2])
{
    u64 rsvd = 0xf000 | 0xff000000ull | B(15);

    if (!(e[0] & 1))
        return FR_IR_NP;
    if (!mdl_bits(m->irta_live, 11, 11))
        rsvd |= 0xffff00ff00000000ull;
    return (e[0] & rsvd) || (e[1] >> 20) ? FR_IR_RSVD : 0;
}

/* The entry that is used: the one in memory, or a cached version. */
static u8 fetch_entry(struct model *m, u16 sid, u32 index, u64 e[2])
{
    u64 may[9][2];
    u8 keep = m->cfg.keep[MODEL_C_IEC];
    unsigned n = 0, pick;
    struct mdl_ent *c;

    if (!mdl_read(m, VIEW_UNIT, (m->irta_live & TLB_PA) + index * 16ull, e, 16))
        return FR_IR_ACCESS;
    may[n][0] = e[0];
    may[n++][1] = e[1];
    c = mdl_first(m, MODEL_C_IEC, index, 0);
    for (; c && n < 9 && keep != MODEL_KEEP_NONE; c = mdl_next(m, MODEL_C_IEC, c)) {
        if (c->v0 == e[0] && c->v1 == e[1])
            continue;
        may[n][0] = c->v0;
        may[n++][1] = c->v1;
    }
    mdl_haunt(m, MODEL_C_IEC, index, 0, e[0], e[1]);
    /* 6.1: not-present and faulty entries only with CM=1. */
    if (CAP_CM(m) || !entry_check(m, e))
        mdl_insert(m, MODEL_C_IEC, &(struct mdl_ent){ .key = index, .v0 = e[0], .v1 = e[1], .sid = sid });
    pick = n > 1 && keep == MODEL_KEEP_ALL ? 1 + mdl_rnd(m, n - 1) : mdl_rnd(m, n);
    if (pick)
        m->stats.c[MODEL_C_IEC].stale++;
    e[0] = may[pick][0];
    e[1] = may[pick][1];
    return 0;
}

/* A unit may fetch an entry before anyone needs it. */
void mdl_ir_fill(struct model *m, u32 index)
{
    u64 e[2];

    if (!GSTS(m, G_IRE) || index >= (2u << mdl_bits(m->irta_live, 3, 0)))
        return;
    if (mdl_read128(m, VIEW_UNIT, (m->irta_live & TLB_PA) + index * 16ull, e) &&
        (CAP_CM(m) || !entry_check(m, e)))
        mdl_insert(m, MODEL_C_IEC, &(struct mdl_ent){ .key = index, .v0 = e[0], .v1 = e[1] });
}

bool model_stale_irte(struct model *m, uint32_t index)
{
    struct mdl_ent *c = mdl_first(m, MODEL_C_IEC, index, 0);
    u64 e[2];

    if (!c || !GSTS(m, G_IRE))
        return false;
    if (!mdl_read128(m, VIEW_CPU, (m->irta_live & TLB_PA) + index * 16ull, e))
        return true;
    for (; c; c = mdl_next(m, MODEL_C_IEC, c))
        if (c->v0 != e[0] || c->v1 != e[1])
            return true;
    return false;
}

unsigned model_irte_versions(struct model *m, uint32_t index, uint64_t out[][2], unsigned max)
{
    unsigned n = 0;

    if (!GSTS(m, G_IRE) || index >= (2u << mdl_bits(m->irta_live, 3, 0)) || !max)
        return 0;
    if (mdl_read128(m, VIEW_UNIT, (m->irta_live & TLB_PA) + index * 16ull, out[n]))
        n++;
    for (struct mdl_ent *c = mdl_first(m, MODEL_C_IEC, index, 0); c && n < max;
         c = mdl_next(m, MODEL_C_IEC, c)) {
        out[n][0] = c->v0;
        out[n++][1] = c->v1;
    }
    return n;
}

static struct model_result remapped(struct model *m, u16 sid, u64 addr, u32 data)
{
    u32 index = mdl_bits(addr, 19, 5) | (u32)mdl_bits(addr, 2, 2) << 15;
    bool shv = mdl_bits(addr, 3, 3), fpd;
    u32 size = 2u << mdl_bits(m->irta_live, 3, 0), dest;
    u64 e[2], where;
    u8 reason = 0;

    if (shv)
        index += data & 0xffff;
    where = (u64)index << 48;
    if (shv && (data >> 16))
        return refused(m, FR_IR_REQ_RSVD, false, sid, where);
    if (index >= size)
        return refused(m, FR_IR_INDEX, false, sid, where);
    reason = fetch_entry(m, sid, index, e);
    if (reason)
        return refused(m, reason, false, sid, where);
    fpd = mdl_bits(e[0], 1, 1);
    reason = entry_check(m, e);
    if (!reason)
        reason = source_check(e, sid);
    if (reason)
        return refused(m, reason, fpd, sid, where);
    /* As the message that would have said the same without remapping. */
    dest = mdl_bits(m->irta_live, 11, 11) ? mdl_bits(e[0], 63, 32) : mdl_bits(e[0], 47, 40);
    return deliver(m,
                   0xfee00000ull | (u64)(dest & 0xff) << 12 | mdl_bits(e[0], 3, 3) << 3 |
                       mdl_bits(e[0], 2, 2) << 2 | (u64)(dest & ~0xffu) << 32,
                   mdl_bits(e[0], 23, 16) | mdl_bits(e[0], 7, 5) << 8 | mdl_bits(e[0], 4, 4) << 15);
}

struct model_result mdl_msi(struct model *m, u16 sid, u64 addr, u32 data)
{
    if (!GSTS(m, G_IRE))
        return deliver(m, addr, data);
    if (mdl_bits(addr, 4, 4))
        return remapped(m, sid, addr, data);
    /* 5.1.4: compatibility format passes only while CFIS is set and x2APIC mode is off. */
    if (!GSTS(m, G_CFI) || mdl_bits(m->irta_live, 11, 11))
        return refused(m, FR_IR_COMPAT, false, sid, 0);
    return deliver(m, addr, data);
}
