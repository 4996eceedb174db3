/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every outcome that hardware may produce for one page, given what the tables say and what each cache may
 * still hold (6.2): the fresh walk; a cached paging-structure entry, and the table below it as memory is
 * now, whatever has become of that page; a cached leaf. What stands above the page tables is setups.c.
 */
#include "tests/model/model_int.h"

#define SET        8
#define VIA(class) (1u << (class))

/*
 * Equal outcomes are kept once: `via` is what each way to it needs, `blame` what any way to it uses. The
 * fresh one comes first and is beyond blame.
 */
void mdl_add(struct mdl_xp *x, const struct mdl_setup *s, u8 via, const struct mdl_xl *r)
{
    struct mdl_cand *o;

    for (unsigned i = 0; i < x->n; i++) {
        o = &x->c[i];
        if (o->reason != r->reason || o->perm != r->perm || o->pa != r->pa || o->did != s->did)
            continue;
        if (o->ats != s->ats || o->fpd != s->fpd || o->tag != s->tag || o->why != r->why)
            continue;
        o->via &= via;
        if (o->blame)
            o->blame |= via;
        return;
    }
    if (x->n == MODEL_OUTCOMES)
        return;
    o = &x->c[x->n++];
    o->reason = r->reason;
    o->perm = r->perm;
    o->why = r->why;
    o->pa = r->pa;
    o->via = o->blame = via;
    o->did = s->did;
    o->tag = s->tag;
    o->fpd = s->fpd;
    o->ats = s->ats;
}

static void add_reason(struct mdl_xp *x, const struct mdl_setup *s, u8 via, u8 reason)
{
    struct mdl_xl r = { .reason = reason };

    mdl_add(x, s, via, &r);
}

/* 6.1: faulty and not-present results are cached only by a unit that reports CM=1, and never those of a
 * first stage. */
static void fill_leaf(struct mdl_xp *x, const struct mdl_setup *s, u32 tag, u64 addr, const struct mdl_xl *r)
{
    bool bad = r->reason || r->np;
    struct mdl_ent e;

    if (!x->fill || (bad && (!CAP_CM(x->m) || tag >> 20 == KIND_FS)))
        return;
    e.key = mdl_key_page(s->did, addr);
    e.v0 = r->pa | r->perm | (r->np ? TLB_NP : 0) | (bad && r->nonleaf ? TLB_NONLEAF : 0);
    e.v1 = r->reason | r->why << 8;
    e.tag = tag;
    e.by = x->who.pasid;
    e.did = s->did;
    e.sid = x->who.sid;
    mdl_insert(x->m, MODEL_C_IOTLB, &e);
}

static void fill_paging(struct mdl_xp *x, const struct mdl_setup *s, unsigned level, u64 next)
{
    struct mdl_ent e = { .key = mdl_key_paging(s->did, level, x->iova), .v0 = next, .tag = s->tag };

    if (!x->fill)
        return;
    e.by = x->who.pasid;
    e.did = s->did;
    e.sid = x->who.sid;
    mdl_insert(x->m, MODEL_C_PAGING, &e);
}

/* ---- Sets of results ---------------------------------------------------------------------------- */

struct set {
    unsigned n;
    u8 via[SET];
    struct mdl_xl r[SET];
};

/* A way that needs more than another way to the same result adds nothing. */
static void put(struct set *set, u8 via, const struct mdl_xl *r)
{
    for (unsigned i = 0; i < set->n; i++) {
        struct mdl_xl *o = &set->r[i];

        if (o->pa != r->pa || o->perm != r->perm || o->reason != r->reason || o->why != r->why)
            continue;
        if ((set->via[i] & via) == set->via[i])
            return;
        if ((set->via[i] & via) == via) {
            set->via[i] = via;
            return;
        }
    }
    if (set->n == SET)
        return;
    set->via[set->n] = via;
    set->r[set->n++] = *r;
}

static void put_leaves(struct mdl_xp *x, const struct mdl_setup *s, u32 tag, u64 addr, u8 via,
                       struct set *out)
{
    struct mdl_ent *e = mdl_first(x->m, MODEL_C_IOTLB, mdl_key_page(s->did, addr), tag);

    for (; e; e = mdl_next(x->m, MODEL_C_IOTLB, e)) {
        struct mdl_xl r = {
            .perm = e->v0 & PERM_ALL, .pa = e->v0 & TLB_PA, .reason = e->v1, .why = e->v1 >> 8
        };

        r.np = e->v0 & TLB_NP;
        r.nonleaf = e->v0 & TLB_NONLEAF;
        put(out, via | VIA(MODEL_C_IOTLB), &r);
    }
}

/* All that the second stage may answer for `addr`. */
static void through_ss(struct mdl_xp *x, const struct mdl_setup *s, u64 addr, u8 via, struct set *out)
{
    struct model *m = x->m;
    const struct mdl_trail *trail = &x->path.ss;
    struct mdl_trail own;
    struct mdl_xl r;
    u64 next[SET];
    unsigned first = out->n, n;

    if (s == &x->path.s && !s->fs) {
        /* This very walk has been made already. */
        r = x->path.x;
    } else {
        r = (struct mdl_xl){ .reason = mdl_ss_width(m, s, addr) };
        if (r.reason) {
            put(out, via, &r);
            return;
        }
        own.seen = 0;
        trail = &own;
        mdl_walk_ss(m, VIEW_UNIT, &x->who, s, s->ss_table, s->ss_levels, PERM_ALL, addr, x->fill, &own, &r);
    }
    put(out, via, &r);
    for (unsigned level = 2; level <= s->ss_levels; level++) {
        struct mdl_ent *e =
            mdl_first(m, MODEL_C_PAGING, mdl_key_paging(s->did, level, addr), TAG(KIND_SS, 0));

        for (n = 0; e && n < SET; e = mdl_next(m, MODEL_C_PAGING, e))
            if (!(trail->seen & (1u << level)) || trail->next[level] != e->v0)
                next[n++] = e->v0;
        for (unsigned i = 0; i < n; i++) {
            mdl_walk_ss(m, VIEW_UNIT, &x->who, s, next[i] & TLB_PA, level - 1, next[i] & PERM_ALL, addr,
                        x->fill, NULL, &r);
            put(out, via | VIA(MODEL_C_PAGING), &r);
        }
    }
    n = out->n;
    put_leaves(x, s, TAG(KIND_SS, 0), addr, via, out);
    for (unsigned i = first; i < n; i++)
        fill_leaf(x, s, TAG(KIND_SS, 0), addr, &out->r[i]);
}

/* A first-stage table or page: through the second stage where there is one. */
static void maybe_ss(struct mdl_xp *x, const struct mdl_setup *s, u64 addr, u8 via, struct set *out)
{
    struct mdl_xl r = { .perm = PERM_ALL, .pa = addr & ~0xfffull };

    out->n = 0;
    if (s->ss)
        through_ss(x, s, addr, via, out);
    else
        put(out, via, &r);
}

/* ---- First stage -------------------------------------------------------------------------------- */

/* Tables of one level that some way leads to: perm and pa of r. */
static void enter(struct mdl_xp *x, const struct mdl_setup *s, u64 addr, u8 perm, u8 via, unsigned level,
                  struct set *front)
{
    bool top = level == s->fs_levels;
    struct set where;

    maybe_ss(x, s, addr, via, &where);
    for (unsigned i = 0; i < where.n; i++) {
        struct mdl_xl t = { .perm = perm, .pa = where.r[i].pa };
        u8 fault = mdl_fs_table_fault(&where.r[i], top);

        if (fault) {
            add_reason(x, s, where.via[i], fault);
            continue;
        }
        if (!top)
            fill_paging(x, s, level + 1, t.pa | perm);
        put(front, where.via[i], &t);
    }
}

static void finish_fs(struct mdl_xp *x, const struct mdl_setup *s, u8 via, const struct mdl_xl *leaf)
{
    struct set where;

    if (leaf->reason || leaf->np || !s->ss) {
        mdl_add(x, s, via, leaf);
        fill_leaf(x, s, s->tag, x->iova, leaf);
        return;
    }
    maybe_ss(x, s, leaf->pa, via, &where);
    for (unsigned i = 0; i < where.n; i++) {
        struct mdl_xl r = *leaf;

        mdl_nest(&r, &where.r[i]);
        mdl_forbid_interrupts(s, &r);
        mdl_add(x, s, where.via[i], &r);
        fill_leaf(x, s, s->tag, x->iova, &r);
    }
}

static void explore_fs(struct mdl_xp *x, const struct mdl_setup *s, u8 via)
{
    struct model *m = x->m;
    struct set one, other, *front = &one, *below = &other, *spent;

    one.n = 0;
    put_leaves(x, s, s->tag, x->iova, via, front);
    for (unsigned i = 0; i < one.n; i++)
        mdl_add(x, s, one.via[i], &one.r[i]);
    one.n = 0;
    enter(x, s, s->fs_table, PERM_ALL, via, s->fs_levels, front);
    for (unsigned level = s->fs_levels; level >= 1; level--) {
        struct mdl_ent *e = NULL;

        if (level < s->fs_levels)
            e = mdl_first(m, MODEL_C_PAGING, mdl_key_paging(s->did, level + 1, x->iova), s->tag);
        for (; e; e = mdl_next(m, MODEL_C_PAGING, e)) {
            struct mdl_xl t = { .perm = e->v0 & PERM_ALL, .pa = e->v0 & TLB_PA };

            put(front, via | VIA(MODEL_C_PAGING), &t);
        }
        below->n = 0;
        for (unsigned i = 0; i < front->n; i++) {
            u8 perm = front->r[i].perm;
            struct mdl_xl leaf;
            u64 next;

            if (mdl_fs_step(m, VIEW_UNIT, s, front->r[i].pa, level, x->iova, level == s->fs_levels, false,
                            &perm, &next, &leaf) == STEP_DOWN)
                enter(x, s, next, perm, front->via[i], level - 1, below);
            else
                finish_fs(x, s, front->via[i], &leaf);
        }
        spent = front;
        front = below;
        below = spent;
    }
}

void mdl_explore_setup(struct mdl_xp *x, const struct mdl_setup *s, u8 via)
{
    struct mdl_xl self = { .perm = PERM_ALL, .pa = x->iova & ~0xfffull };
    struct set set;
    u8 reason = s->reason ? s->reason : mdl_address_check(x->m, s, x->iova);

    set.n = 0;
    if (reason) {
        add_reason(x, s, via, reason);
        return;
    }
    if (s->fs) {
        explore_fs(x, s, via);
        return;
    }
    if (s->ss) {
        through_ss(x, s, x->iova, via, &set);
    } else {
        put(&set, via, &self);
        put_leaves(x, s, s->tag, x->iova, via, &set);
        fill_leaf(x, s, s->tag, x->iova, &self);
    }
    for (unsigned i = 0; i < set.n; i++) {
        mdl_forbid_interrupts(s, &set.r[i]);
        mdl_add(x, s, set.via[i], &set.r[i]);
    }
}

void mdl_explore(struct model *m, const struct mdl_who *who, u64 iova, u8 at, bool fill, struct mdl_xp *x)
{
    x->m = m;
    x->who = *who;
    x->iova = iova;
    x->at = at;
    x->fill = fill;
    x->n = 0;
    mdl_path(m, VIEW_UNIT, who, iova, fill && at != MODEL_TRANSLATED, &x->path);
    mdl_explore_setups(x);
}

/* ---- Choosing ----------------------------------------------------------------------------------- */

static void haunt_trail(struct model *m, const struct mdl_setup *s, u32 tag, u64 addr, unsigned levels,
                        const struct mdl_trail *t)
{
    for (unsigned level = 2; m->ghost[MODEL_C_PAGING].n && level <= levels; level++)
        mdl_haunt(m, MODEL_C_PAGING, mdl_key_paging(s->did, level, addr), tag,
                  t->seen & (1u << level) ? t->next[level] : 0, 0);
}

/* Would the caches that have been flushed still have given something else? */
static void haunt(struct mdl_xp *x)
{
    struct model *m = x->m;
    const struct mdl_path *p = &x->path;
    const struct mdl_setup *s = &p->s;
    u16 sid = x->who.sid;

    if (m->ghost[MODEL_C_ROOT].n && p->has_root)
        mdl_haunt(m, MODEL_C_ROOT, sid >> 8, 0, p->root[0], p->root[1]);
    if (m->ghost[MODEL_C_CONTEXT].n && p->has_ctx)
        mdl_haunt(m, MODEL_C_CONTEXT, sid, 0, p->ctx[0], p->ctx[1]);
    if (x->at == MODEL_TRANSLATED)
        return;
    if (m->ghost[MODEL_C_PASID].n && p->has_pasid)
        mdl_haunt(m, MODEL_C_PASID, mdl_key_pasid(sid, p->pasid_number), 0, p->pasid[0], p->pasid[1]);
    if (s->reason)
        return;
    if (m->ghost[MODEL_C_IOTLB].n)
        mdl_haunt(m, MODEL_C_IOTLB, mdl_key_page(s->did, x->iova), s->tag, p->x.pa | p->x.perm,
                  p->x.reason | p->x.why << 8);
    if (s->fs)
        haunt_trail(m, s, s->tag, x->iova, s->fs_levels, &p->fs);
    else if (s->ss)
        haunt_trail(m, s, TAG(KIND_SS, 0), x->iova, s->ss_levels, &p->ss);
    if (s->fs && s->ss && (m->ghost[MODEL_C_IOTLB].n || m->ghost[MODEL_C_PAGING].n)) {
        struct mdl_trail t = { .seen = 0 };
        struct mdl_xl r;

        mdl_walk_ss(m, VIEW_UNIT, &x->who, s, s->ss_table, s->ss_levels, PERM_ALL, p->gpa, false, &t, &r);
        mdl_haunt(m, MODEL_C_IOTLB, mdl_key_page(s->did, p->gpa), TAG(KIND_SS, 0), r.pa | r.perm,
                  r.reason | r.why << 8);
        haunt_trail(m, s, TAG(KIND_SS, 0), p->gpa, s->ss_levels, &t);
    }
}

const struct mdl_cand *mdl_pick(struct mdl_xp *x)
{
    struct model *m = x->m;
    u8 never = 0, always = 0, pick[MODEL_OUTCOMES];
    unsigned n = 0, forced = 0;
    const struct mdl_cand *o;

    for (unsigned c = 0; c < MODEL_CLASSES; c++) {
        never |= (m->cfg.keep[c] == MODEL_KEEP_NONE) << c;
        always |= (m->cfg.keep[c] == MODEL_KEEP_ALL) << c;
    }
    for (unsigned i = 0; i < x->n; i++) {
        u8 blame = x->c[i].blame;

        if ((x->c[i].via & never) || (blame && !(blame & ~never)))
            continue;
        /* The ones that a forced class makes possible push all others out. */
        if (blame & always) {
            if (!forced++)
                n = 0;
        } else if (forced) {
            continue;
        }
        pick[n++] = i;
    }
    o = &x->c[n ? pick[mdl_rnd(m, n)] : 0];
    haunt(x);
    for (unsigned c = 0; o->blame && c < MODEL_CLASSES; c++)
        m->stats.c[c].stale += (o->blame >> c) & 1;
    return o;
}
