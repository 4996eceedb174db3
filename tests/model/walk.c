/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fresh walks: second-stage tables of three, four and five levels (3.7, 9.8), and the whole way from the
 * root to the page, first stage and nesting included (3.6, 3.8).
 */
#include "tests/model/model_int.h"

#define ADDR 0x000ffffffffff000ull

bool mdl_irq_range(u64 addr)
{
    return (addr >> 20) == 0xfee;
}

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
    for (unsigned level = 1; level <= 5; level++)
        for (unsigned leaf = 0; leaf < 2; leaf++)
            m->pte_rsvd[level][leaf] = pte_reserved(m, level, leaf);
}

static bool large_allowed(const struct model *m, unsigned level)
{
    return (level == 2 && (CAP_SSLPS(m) & 1)) || (level == 3 && (CAP_SSLPS(m) & 2));
}

u8 mdl_ss_width(struct model *m, const struct mdl_setup *s, u64 addr)
{
    unsigned width = s->ss_levels * 9 + 12;

    if (width > CAP_MGAW(m))
        width = CAP_MGAW(m);
    if (!(addr >> width))
        return 0;
    return !s->scalable ? FR_ADDR_WIDTH : s->fs ? FR_S_SS_WIDTH : FR_S_WIDTH;
}

u8 mdl_address_check(struct model *m, const struct mdl_setup *s, u64 iova)
{
    unsigned width;

    if (s->fs) {
        /* 3.6: the address must be canonical for the depth of the tables. */
        unsigned shift = 64 - (s->fs_levels * 9 + 12);

        return (u64)((int64_t)(iova << shift) >> shift) == iova ? 0 : FR_S_CANONICAL;
    }
    if (s->ss)
        return mdl_ss_width(m, s, iova);
    width = CAP_MGAW(m) < m->cfg.haw ? CAP_MGAW(m) : m->cfg.haw;
    return !(iova >> width) ? 0 : s->scalable ? FR_S_WIDTH : FR_ADDR_WIDTH;
}

static void out_of_reach(const struct mdl_setup *s, struct mdl_xl *x, unsigned level)
{
    if (s->scalable)
        x->reason = level == s->ss_levels ? FR_SS_TOP_ACCESS : FR_SS_ACCESS;
    else
        x->reason = FR_PT_ACCESS;
}

void mdl_walk_ss(struct model *m, enum mdl_view view, const struct mdl_who *who, const struct mdl_setup *s,
                 u64 table, unsigned level, u8 perm, u64 addr, bool fill, struct mdl_trail *trail,
                 struct mdl_xl *x)
{
    *x = (struct mdl_xl){ 0 };
    for (;; level--) {
        unsigned shift = 12 + 9 * (level - 1);
        bool leaf;
        u64 e;

        if (!mdl_read64(m, view, table + ((addr >> shift) & 511) * 8, &e)) {
            out_of_reach(s, x, level);
            return;
        }
        if (!(e & 3)) {
            x->np = true;
            x->why = s->scalable ? FR_SS_NP : 0;
            x->nonleaf = level > 1;
            return;
        }
        leaf = level == 1 || (level <= 3 && (e & B(7)));
        if ((e & m->pte_rsvd[level][leaf]) || (leaf && level > 1 && !large_allowed(m, level))) {
            x->reason = s->scalable ? FR_SS_RSVD : FR_PTE_RSVD;
            x->nonleaf = level > 1;
            return;
        }
        perm &= (e & 3) | PERM_U;
        if (leaf) {
            x->perm = perm;
            x->pa = (e & ADDR & ~(B(shift) - 1)) | (addr & (B(shift) - 1) & ~0xfffull);
            return;
        }
        table = e & ADDR;
        if (trail) {
            trail->seen |= 1u << level;
            trail->next[level] = table | perm;
        }
        if (fill) {
            struct mdl_ent n = { .key = mdl_key_paging(s->did, level, addr),
                                 .v0 = table | perm,
                                 .tag = TAG(KIND_SS, 0),
                                 .by = who->pasid,
                                 .did = s->did,
                                 .sid = who->sid };

            mdl_insert(m, MODEL_C_PAGING, &n);
        }
    }
}

void mdl_forbid_interrupts(const struct mdl_setup *s, struct mdl_xl *x)
{
    if (x->reason || x->np || !mdl_irq_range(x->pa))
        return;
    *x = (struct mdl_xl){ .reason = s->scalable ? FR_S_IRQ_RANGE : FR_IRQ_RANGE };
}

/* Where does the second stage put a first-stage table or page? */
static void through_ss(struct model *m, enum mdl_view view, const struct mdl_who *who,
                       const struct mdl_setup *s, u64 gpa, bool fill, struct mdl_xl *r)
{
    *r = (struct mdl_xl){ .perm = PERM_ALL, .pa = gpa & ~0xfffull };
    if (!s->ss)
        return;
    r->reason = mdl_ss_width(m, s, gpa);
    if (!r->reason)
        mdl_walk_ss(m, view, who, s, s->ss_table, s->ss_levels, PERM_ALL, gpa, fill, NULL, r);
}

static void walk_fs(struct model *m, enum mdl_view view, const struct mdl_who *who, u64 iova, bool fill,
                    struct mdl_path *p)
{
    const struct mdl_setup *s = &p->s;
    u64 next = s->fs_table;
    u8 perm = PERM_ALL;

    for (unsigned level = s->fs_levels;; level--) {
        bool top = level == s->fs_levels;
        struct mdl_xl r;

        through_ss(m, view, who, s, next, fill, &r);
        p->x.reason = mdl_fs_table_fault(&r, top);
        if (p->x.reason)
            return;
        if (!top) {
            p->fs.seen |= 1u << (level + 1);
            p->fs.next[level + 1] = r.pa | perm;
            if (fill) {
                struct mdl_ent n = { .key = mdl_key_paging(s->did, level + 1, iova),
                                     .v0 = r.pa | perm,
                                     .tag = s->tag,
                                     .by = who->pasid,
                                     .did = s->did,
                                     .sid = who->sid };

                mdl_insert(m, MODEL_C_PAGING, &n);
            }
        }
        if (mdl_fs_step(m, view, s, r.pa, level, iova, top, fill && (r.perm & PERM_W), &perm, &next, &p->x) ==
            STEP_DONE)
            break;
    }
    if (!s->ss || p->x.reason || p->x.np)
        return;
    {
        struct mdl_xl r;

        p->gpa = p->x.pa;
        through_ss(m, view, who, s, p->gpa, fill, &r);
        mdl_nest(&p->x, &r);
    }
}

void mdl_walk(struct model *m, enum mdl_view view, const struct mdl_who *who, u64 iova, bool fill,
              struct mdl_path *p)
{
    const struct mdl_setup *s = &p->s;

    p->ss.seen = p->fs.seen = 0;
    p->x = (struct mdl_xl){ .reason = mdl_address_check(m, s, iova) };
    if (p->x.reason)
        return;
    if (s->fs)
        walk_fs(m, view, who, iova, fill, p);
    else if (s->ss)
        mdl_walk_ss(m, view, who, s, s->ss_table, s->ss_levels, PERM_ALL, iova, fill, &p->ss, &p->x);
    else
        p->x = (struct mdl_xl){ .perm = PERM_ALL, .pa = iova & ~0xfffull };
    mdl_forbid_interrupts(s, &p->x);
}

static void path_scalable(struct model *m, enum mdl_view view, const struct mdl_who *who, struct mdl_path *p)
{
    u16 did;

    p->s.reason = mdl_pasid_number(m, &p->c, who, &p->pasid_number);
    if (p->s.reason)
        return;
    if (!mdl_read64(m, view, p->c.dir + (p->pasid_number >> 6) * 8, &p->dir)) {
        p->s.reason = FR_S_DIR_ACCESS;
        return;
    }
    p->has_dir = true;
    p->s.reason = mdl_dir_check(m, p->dir);
    if (p->s.reason)
        return;
    if (!mdl_pasid_read(m, view, p->dir, p->pasid_number, p->pasid, &did)) {
        p->s.reason = FR_S_PASID_ACCESS;
        return;
    }
    p->has_pasid = true;
    mdl_setup_scalable(m, &p->c, who, p->pasid_number, p->pasid, did, &p->s);
}

/* 3.4.4: modes that let nothing through, and requests that the mode does not know. */
static u8 mode_fault(const struct model *m, const struct mdl_who *who)
{
    switch (TTM(m)) {
    case TTM_LEGACY:
        return who->pasid != NO_PASID ? FR_TTM_PASID : 0;
    case TTM_SCALABLE:
        return ECAP_SMTS(m) ? 0 : FR_TTM;
    case TTM_ABORT:
        return FR_ABORT;
    default:
        return FR_TTM;
    }
}

void mdl_path(struct model *m, enum mdl_view view, const struct mdl_who *who, u64 iova, bool fill,
              struct mdl_path *p)
{
    bool sm = TTM(m) == TTM_SCALABLE;

    p->has_root = p->has_ctx = p->has_dir = p->has_pasid = false;
    p->gpa = 0;
    p->ss.seen = p->fs.seen = 0;
    p->x = (struct mdl_xl){ 0 };
    p->c = (struct mdl_ctx){ 0 };
    p->s = (struct mdl_setup){ .scalable = sm };
    p->s.reason = mode_fault(m, who);
    if (p->s.reason)
        return;
    if (!mdl_read128(m, view, (m->rtaddr_live & ADDR) + (who->sid >> 8) * 16, p->root)) {
        p->s.reason = sm ? FR_S_ROOT_ACCESS : FR_ROOT_ACCESS;
        return;
    }
    p->has_root = true;
    p->s.reason = mdl_root_check(m, p->root, who->sid);
    if (p->s.reason)
        return;
    if (!mdl_ctx_read(m, view, p->root, who->sid, p->ctx)) {
        p->s.reason = sm ? FR_S_CTX_ACCESS : FR_CTX_ACCESS;
        return;
    }
    p->has_ctx = true;
    mdl_ctx_decode(m, p->ctx, &p->c);
    p->s.fpd = p->c.fpd;
    p->s.ats = p->c.ats;
    p->s.reason = p->c.reason;
    if (p->c.reason)
        return;
    if (sm)
        path_scalable(m, view, who, p);
    else
        mdl_setup_legacy(&p->c, &p->s);
    if (!p->s.reason)
        mdl_walk(m, view, who, iova, fill, p);
}
