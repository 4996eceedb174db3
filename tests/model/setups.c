/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every version of what stands above the page tables: a cached root, context, PASID-directory or PASID
 * entry, and whatever lies below it in memory now (6.2.1, 6.2.2).
 */
#include "tests/model/model_int.h"

#define CANDIDATES 8
#define VIA(class) (1u << (class))

struct version {
    u64 v[2];
    u16 did;
    u8 via;
};

struct versions {
    unsigned n;
    struct version v[CANDIDATES];
};

/* A way that needs more than another way to the same version adds nothing. */
static void put(struct versions *all, u64 lo, u64 hi, u16 did, u8 via)
{
    for (unsigned i = 0; i < all->n; i++) {
        struct version *v = &all->v[i];

        if (v->v[0] != lo || v->v[1] != hi || v->did != did)
            continue;
        if ((v->via & via) == v->via)
            return;
        if ((v->via & via) == via) {
            v->via = via;
            return;
        }
    }
    if (all->n < CANDIDATES)
        all->v[all->n++] = (struct version){ { lo, hi }, did, via };
}

static void add_reason(struct mdl_xp *x, const struct mdl_ctx *c, u8 via, u8 reason)
{
    struct mdl_setup s = { .scalable = x->path.s.scalable };
    struct mdl_xl r = { .reason = reason };

    if (c) {
        s.fpd = c->fpd;
        s.ats = c->ats;
    }
    mdl_add(x, &s, via, &r);
}

static void learn(struct mdl_xp *x, enum model_class class, u64 key, u32 tag, u64 v0, u64 v1, u16 did)
{
    struct mdl_ent e = { .key = key, .v0 = v0, .v1 = v1, .tag = tag, .by = x->who.pasid, .did = did };

    e.sid = x->who.sid;
    if (x->fill)
        mdl_insert(x->m, class, &e);
}

/* ---- PASID directory and table ------------------------------------------------------------------ */

static void from_dir(struct mdl_xp *x, const struct mdl_ctx *c, u64 dir, u32 pasid, u8 via,
                     struct versions *out)
{
    struct model *m = x->m;
    u8 reason = mdl_dir_check(m, dir);
    u64 packed[2];
    u16 did;

    /* 6.1: faulty entries are cached only with CM=1, and then under domain-id 0. */
    if (!reason || CAP_CM(m))
        learn(x, MODEL_C_PASID, mdl_key_pasid(x->who.sid, pasid >> 6), DIR_TAG, dir, 0, 0);
    if (!reason && !mdl_pasid_read(m, VIEW_UNIT, dir, pasid, packed, &did))
        reason = FR_S_PASID_ACCESS;
    if (reason)
        add_reason(x, c, via, reason);
    else
        put(out, packed[0], packed[1], did, via);
}

static void explore_pasids(struct mdl_xp *x, const struct mdl_ctx *c, u8 via)
{
    struct model *m = x->m;
    struct versions dirs, all;
    struct mdl_ent *e;
    unsigned fresh;
    u32 pasid;
    u64 dir;
    u8 reason = mdl_pasid_number(m, c, &x->who, &pasid);

    dirs.n = all.n = 0;
    if (reason) {
        add_reason(x, c, via, reason);
        return;
    }
    if (mdl_read64(m, VIEW_UNIT, c->dir + (pasid >> 6) * 8, &dir))
        put(&dirs, dir, 0, 0, via);
    else
        add_reason(x, c, via, FR_S_DIR_ACCESS);
    e = mdl_first(m, MODEL_C_PASID, mdl_key_pasid(x->who.sid, pasid >> 6), DIR_TAG);
    for (; e; e = mdl_next(m, MODEL_C_PASID, e))
        put(&dirs, e->v0, 0, 0, via | VIA(MODEL_C_PASID));
    for (unsigned i = 0; i < dirs.n; i++)
        from_dir(x, c, dirs.v[i].v[0], pasid, dirs.v[i].via, &all);
    fresh = all.n;
    e = mdl_first(m, MODEL_C_PASID, mdl_key_pasid(x->who.sid, pasid), 0);
    for (; e; e = mdl_next(m, MODEL_C_PASID, e))
        put(&all, e->v0, e->v1, e->did, via | VIA(MODEL_C_PASID));
    for (unsigned i = 0; i < all.n; i++) {
        struct version *v = &all.v[i];
        struct mdl_setup s;

        mdl_setup_scalable(m, c, &x->who, pasid, v->v, v->did, &s);
        mdl_explore_setup(x, &s, v->via);
        if (i < fresh && (!(v->v[0] >> 56) || CAP_CM(m)))
            learn(x, MODEL_C_PASID, mdl_key_pasid(x->who.sid, pasid), 0, v->v[0], v->v[1], v->did);
    }
}

/* ---- Context entries ---------------------------------------------------------------------------- */

static void explore_ctx(struct mdl_xp *x, const struct version *v)
{
    struct mdl_xl self = { .perm = PERM_ALL, .pa = x->iova & ~0xfffull };
    bool scalable = x->path.s.scalable;
    struct mdl_setup s;
    struct mdl_ctx c;

    /* The fresh one is decoded already. */
    if (!v->via)
        c = x->path.c;
    else
        mdl_ctx_decode(x->m, v->v, &c);
    if (c.reason) {
        add_reason(x, &c, v->via, c.reason);
        return;
    }
    /* 3.4.3, 9.4: TT 00 and 10, or DTE=0, block translation requests and translated requests. */
    if (x->at != MODEL_UNTRANSLATED && !c.ats) {
        add_reason(x, &c, v->via, scalable ? FR_S_DTE : FR_ATS_BLOCKED);
        return;
    }
    if (x->at == MODEL_TRANSLATED) {
        s = (struct mdl_setup){ .scalable = scalable, .fpd = c.fpd, .ats = c.ats };
        mdl_forbid_interrupts(&s, &self);
        mdl_add(x, &s, v->via, &self);
        return;
    }
    if (scalable) {
        explore_pasids(x, &c, v->via);
        return;
    }
    if (!v->via) {
        mdl_explore_setup(x, &x->path.s, 0);
        return;
    }
    mdl_setup_legacy(&c, &s);
    mdl_explore_setup(x, &s, v->via);
}

static void from_root(struct mdl_xp *x, const u64 root[2], u8 via, struct versions *out)
{
    u8 reason = mdl_root_check(x->m, root, x->who.sid);
    u64 ctx[2];

    if (!reason && !mdl_ctx_read(x->m, VIEW_UNIT, root, x->who.sid, ctx))
        reason = x->path.s.scalable ? FR_S_CTX_ACCESS : FR_CTX_ACCESS;
    if (reason)
        add_reason(x, NULL, via, reason);
    else
        put(out, ctx[0], ctx[1], 0, via);
}

/* The fresh outcome goes first, so that all others are measured by it. */
static void add_fresh(struct mdl_xp *x)
{
    const struct mdl_path *p = &x->path;
    struct mdl_xl r = p->x;

    if (p->s.reason)
        r = (struct mdl_xl){ .reason = p->s.reason };
    mdl_add(x, &p->s, 0, &r);
}

void mdl_explore_setups(struct mdl_xp *x)
{
    struct model *m = x->m;
    const struct mdl_path *p = &x->path;
    struct versions roots, all;
    struct mdl_ent *e;
    unsigned fresh;

    roots.n = all.n = 0;
    if (x->at == MODEL_UNTRANSLATED || !p->has_ctx || p->c.reason ||
        (x->at == MODEL_TRANSLATION_REQUEST && p->c.ats))
        add_fresh(x);
    /* A mode or a request that never gets to the tables. */
    if (p->s.reason && !p->has_root && p->s.reason != FR_ROOT_ACCESS && p->s.reason != FR_S_ROOT_ACCESS)
        return;
    if (p->has_root)
        put(&roots, p->root[0], p->root[1], 0, 0);
    for (e = mdl_first(m, MODEL_C_ROOT, x->who.sid >> 8, 0); e; e = mdl_next(m, MODEL_C_ROOT, e))
        put(&roots, e->v0, e->v1, 0, VIA(MODEL_C_ROOT));
    for (unsigned i = 0; i < roots.n; i++)
        from_root(x, roots.v[i].v, roots.v[i].via, &all);
    fresh = all.n;
    for (e = mdl_first(m, MODEL_C_CONTEXT, x->who.sid, 0); e; e = mdl_next(m, MODEL_C_CONTEXT, e))
        put(&all, e->v0, e->v1, 0, VIA(MODEL_C_CONTEXT));
    for (unsigned i = 0; i < all.n; i++)
        explore_ctx(x, &all.v[i]);
    for (unsigned i = 0; x->fill && i < fresh; i++) {
        struct mdl_ctx c;

        /* 6.1: faulty entries are cached only with CM=1, and then under domain-id 0. */
        mdl_ctx_decode(m, all.v[i].v, &c);
        if (!c.reason || CAP_CM(m))
            learn(x, MODEL_C_CONTEXT, x->who.sid, 0, all.v[i].v[0], all.v[i].v[1], c.reason ? 0 : c.did);
    }
    if (p->has_root && (CAP_CM(m) || !mdl_root_check(m, p->root, x->who.sid)))
        learn(x, MODEL_C_ROOT, x->who.sid >> 8, 0, p->root[0], p->root[1], 0);
}
