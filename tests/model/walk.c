/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks: root entry, context entry, second-stage tables of three, four and five levels (3.4, 3.7, 9.1,
 * 9.3, 9.8). Scalable mode gets its own file and shares mdl_walk().
 */
#include "tests/model/model_int.h"

#define ADDR 0x000ffffffffff000ull

/* 9.8: which bits of a present entry must be 0. */
static u64 pte_reserved(const struct model *m, unsigned level, bool leaf)
{
    u64 rsvd = m->beyond_host | B(62);

    if (!leaf || !ECAP_SC(m))
        rsvd |= B(11);
    if (level >= 4)
        rsvd |= B(7);
    if (leaf && level == 2)
        rsvd |= 0x1ff000;
    if (leaf && level == 3)
        rsvd |= 0x3ffff000;
    return rsvd;
}

void mdl_walk_init(struct model *m)
{
    m->did_mask = (u16)(B(4 + 2 * CAP_ND(m)) - 1);
    m->beyond_host = ADDR & ~(B(m->cfg.haw) - 1);
    for (unsigned level = 1; level <= 5; level++)
        for (unsigned leaf = 0; leaf < 2; leaf++)
            m->pte_rsvd[level][leaf] = pte_reserved(m, level, leaf);
}

bool mdl_irq_range(u64 addr)
{
    return (addr >> 20) == 0xfee;
}

/* 9.1: P, CTP; everything else is reserved. */
u8 mdl_root_check(struct model *m, const u64 root[2])
{
    if (!(root[0] & 1))
        return FR_ROOT_NP;
    if ((root[0] & (~ADDR | m->beyond_host) & ~1ull) || root[1])
        return FR_ROOT_RSVD;
    return 0;
}

/* 9.3 */
void mdl_ctx_decode(struct model *m, const u64 ctx[2], struct mdl_ctx *c)
{
    unsigned aw = mdl_bits(ctx[1], 2, 0);

    c->fpd = mdl_bits(ctx[0], 1, 1);
    c->tt = mdl_bits(ctx[0], 3, 2);
    c->did = mdl_bits(ctx[1], 23, 8) & m->did_mask;
    c->table = ctx[0] & ADDR;
    c->levels = aw + 2;
    c->reason = 0;
    if (!(ctx[0] & 1))
        c->reason = FR_CTX_NP;
    else if ((ctx[0] & (~ADDR | m->beyond_host) & ~0xfull) || (ctx[1] & 0xffffffffff000080ull))
        c->reason = FR_CTX_RSVD;
    else if (c->tt == 3 || (c->tt == 1 && !ECAP_DT(m)) || (c->tt == 2 && !ECAP_PT(m)))
        c->reason = FR_CTX_INVALID;
    else if (aw < 1 || aw > 3 || !((CAP_SAGAW(m) >> aw) & 1))
        c->reason = FR_CTX_INVALID;
}

bool mdl_width_ok(struct model *m, const struct mdl_ctx *c, u64 iova)
{
    unsigned width = c->levels * 9 + 12;

    if (width > CAP_MGAW(m))
        width = CAP_MGAW(m);
    if (c->tt == 2 && width > m->cfg.haw)
        width = m->cfg.haw;
    return !(iova >> width);
}

static bool large_allowed(const struct model *m, unsigned level)
{
    return (level == 2 && (CAP_SSLPS(m) & 1)) || (level == 3 && (CAP_SSLPS(m) & 2));
}

void mdl_walk(struct model *m, enum mdl_view view, u16 did, u16 sid, u64 table, unsigned level, u8 perm,
              u64 iova, bool fill, struct mdl_path *path, struct mdl_xl *x)
{
    *x = (struct mdl_xl){ 0 };
    for (;; level--) {
        unsigned shift = 12 + 9 * (level - 1);
        bool leaf;
        u64 e;

        if (!mdl_read64(m, view, table + ((iova >> shift) & 511) * 8, &e)) {
            x->reason = FR_PT_ACCESS;
            return;
        }
        if (!(e & 3)) {
            x->np = true;
            x->nonleaf = level > 1;
            return;
        }
        leaf = level == 1 || (level <= 3 && (e & B(7)));
        if ((e & m->pte_rsvd[level][leaf]) || (leaf && level > 1 && !large_allowed(m, level))) {
            x->reason = FR_PTE_RSVD;
            x->nonleaf = level > 1;
            return;
        }
        perm &= e & 3;
        if (leaf) {
            x->perm = perm;
            x->pa = (e & ADDR & ~(B(shift) - 1)) | (iova & (B(shift) - 1) & ~0xfffull);
            /* 3.14: a translation must not lead into the interrupt range. */
            if (mdl_irq_range(x->pa)) {
                x->reason = FR_IRQ_RANGE;
                x->perm = 0;
                x->pa = 0;
            }
            return;
        }
        table = e & ADDR;
        if (path) {
            path->seen |= 1u << level;
            path->next[level] = table | perm;
        }
        if (fill)
            mdl_insert(m, MODEL_C_PAGING, mdl_key_paging(did, level, iova), table | perm, 0, did, sid);
    }
}

void mdl_path(struct model *m, enum mdl_view view, u16 sid, u64 iova, bool fill, struct mdl_path *p)
{
    p->has_root = p->has_ctx = false;
    p->seen = 0;
    p->x = (struct mdl_xl){ 0 };
    p->c = (struct mdl_ctx){ 0 };
    if (TTM(m) != TTM_LEGACY) {
        p->c.reason = FR_TTM;
        return;
    }
    if (!mdl_read128(m, view, (m->rtaddr_live & ADDR) + (sid >> 8) * 16, p->root)) {
        p->c.reason = FR_ROOT_ACCESS;
        return;
    }
    p->has_root = true;
    p->c.reason = mdl_root_check(m, p->root);
    if (p->c.reason)
        return;
    if (!mdl_read128(m, view, (p->root[0] & ADDR) + (sid & 255) * 16, p->ctx)) {
        p->c.reason = FR_CTX_ACCESS;
        return;
    }
    p->has_ctx = true;
    mdl_ctx_decode(m, p->ctx, &p->c);
    if (p->c.reason)
        return;
    if (!mdl_width_ok(m, &p->c, iova))
        p->x.reason = FR_ADDR_WIDTH;
    else if (p->c.tt == 2)
        p->x = (struct mdl_xl){ .perm = PERM_R | PERM_W, .pa = iova & ~0xfffull };
    else
        mdl_walk(m, view, p->c.did, sid, p->c.table, p->c.levels, PERM_R | PERM_W, iova, fill, p, &p->x);
}
