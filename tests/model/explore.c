/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every outcome that hardware may produce for one page, given what the tables say and what each cache may
 * still hold (6.2): the fresh walk; a cached root or context entry, and the tables below it; a cached
 * paging-structure entry, and the table below it as memory is now, whatever has become of that page; a
 * cached leaf. The fresh one is always the first.
 */
#include "tests/model/model_int.h"

#define CTX_CANDIDATES 8

struct ctx_cand {
    u64 v[2];
    u8 via;
};

#define VIA(class) (1u << (class))

/*
 * Equal outcomes are kept once: `via` is what each way to it needs, `blame` what any way to it uses. The
 * fresh one is beyond blame.
 */
static void add(struct mdl_xp *x, const struct mdl_ctx *c, u8 via, u8 reason, u8 perm, u64 pa)
{
    u16 did = c->reason ? 0 : c->did;
    bool ats = !c->reason && c->tt == 1;
    struct mdl_cand *o;

    for (unsigned i = 0; i < x->n; i++) {
        o = &x->c[i];
        if (o->reason != reason || o->perm != perm || o->pa != pa)
            continue;
        if (o->did != did || o->ats != ats || o->fpd != c->fpd)
            continue;
        o->via &= via;
        if (o->blame)
            o->blame |= via;
        return;
    }
    if (x->n == MODEL_OUTCOMES)
        return;
    o = &x->c[x->n++];
    o->reason = reason;
    o->perm = perm;
    o->pa = pa;
    o->via = o->blame = via;
    o->did = did;
    o->fpd = c->fpd;
    o->ats = ats;
}

static void add_xl(struct mdl_xp *x, const struct mdl_ctx *c, u8 via, const struct mdl_xl *r)
{
    add(x, c, via, r->reason, r->perm, r->pa);
}

/* 6.1: faulty and not-present results are cached only by a unit that reports CM=1. */
static void fill_leaf(struct mdl_xp *x, const struct mdl_ctx *c, const struct mdl_xl *r)
{
    bool bad = r->reason || r->np;
    u64 v0;

    if (!x->fill || r->reason == FR_ADDR_WIDTH || (bad && !CAP_CM(x->m)))
        return;
    v0 = r->pa | r->perm | (r->np ? TLB_NP : 0) | (bad && r->nonleaf ? TLB_NONLEAF : 0);
    mdl_insert(x->m, MODEL_C_IOTLB, mdl_key_page(c->did, x->iova), v0, r->reason, c->did, x->sid);
}

/* Cached leaves and paging-structure entries that could answer in place of this walk. */
static void explore_caches(struct mdl_xp *x, const struct mdl_ctx *c, u8 via, const struct mdl_path *p)
{
    struct model *m = x->m;
    struct mdl_ent *e;
    struct {
        u64 v0, v1;
    } leaf[CTX_CANDIDATES];
    u64 next[CTX_CANDIDATES];
    unsigned n = 0;

    e = mdl_first(m, MODEL_C_IOTLB, mdl_key_page(c->did, x->iova));
    for (; e && n < CTX_CANDIDATES; e = mdl_next(m, MODEL_C_IOTLB, e)) {
        leaf[n].v0 = e->v0;
        leaf[n++].v1 = e->v1;
    }
    for (unsigned i = 0; i < n; i++)
        add(x, c, via | VIA(MODEL_C_IOTLB), leaf[i].v1, leaf[i].v0 & 3, leaf[i].v0 & TLB_PA);

    if (c->tt == 2)
        return;
    for (unsigned level = 2; level <= c->levels; level++) {
        n = 0;
        e = mdl_first(m, MODEL_C_PAGING, mdl_key_paging(c->did, level, x->iova));
        for (; e && n < CTX_CANDIDATES; e = mdl_next(m, MODEL_C_PAGING, e)) {
            if (!(p->seen & (1u << level)) || p->next[level] != e->v0)
                next[n++] = e->v0;
        }
        for (unsigned i = 0; i < n; i++) {
            struct mdl_xl r;

            mdl_walk(m, VIEW_UNIT, c->did, x->sid, next[i] & TLB_PA, level - 1, next[i] & 3, x->iova, x->fill,
                     NULL, &r);
            add_xl(x, c, via | VIA(MODEL_C_PAGING), &r);
            fill_leaf(x, c, &r);
        }
    }
}

/* What follows from one version of the context entry. `p` is its walk if it has been made already. */
static void explore_ctx(struct mdl_xp *x, const struct ctx_cand *cand, const struct mdl_path *fresh)
{
    struct model *m = x->m;
    struct mdl_path own;
    const struct mdl_path *p = fresh;
    struct mdl_ctx c;

    mdl_ctx_decode(m, cand->v, &c);
    if (c.reason) {
        add(x, &c, cand->via, c.reason, 0, 0);
        return;
    }
    /* 3.4.3: TT 00 and 10 block translation requests and translated requests. */
    if (x->at != MODEL_UNTRANSLATED && c.tt != 1) {
        add(x, &c, cand->via, FR_ATS_BLOCKED, 0, 0);
        return;
    }
    if (x->at == MODEL_TRANSLATED) {
        if (mdl_irq_range(x->iova))
            add(x, &c, cand->via, FR_IRQ_RANGE, 0, 0);
        else
            add(x, &c, cand->via, 0, PERM_R | PERM_W, x->iova & ~0xfffull);
        return;
    }
    if (!mdl_width_ok(m, &c, x->iova)) {
        add(x, &c, cand->via, FR_ADDR_WIDTH, 0, 0);
        return;
    }
    if (!p) {
        own.seen = 0;
        if (c.tt == 2)
            own.x = (struct mdl_xl){ .perm = PERM_R | PERM_W, .pa = x->iova & ~0xfffull };
        else
            mdl_walk(m, VIEW_UNIT, c.did, x->sid, c.table, c.levels, PERM_R | PERM_W, x->iova, x->fill, &own,
                     &own.x);
        p = &own;
    }
    add_xl(x, &c, cand->via, &p->x);
    explore_caches(x, &c, cand->via, p);
    fill_leaf(x, &c, &p->x);
}

static bool known(const struct ctx_cand *cand, unsigned n, u64 lo, u64 hi)
{
    for (unsigned i = 0; i < n; i++)
        if (cand[i].v[0] == lo && cand[i].v[1] == hi)
            return true;
    return false;
}

/* Versions of the context entry that stale root entries lead to. */
static unsigned old_roots(struct mdl_xp *x, struct ctx_cand *cand, unsigned n)
{
    struct model *m = x->m;
    const struct mdl_path *p = &x->path;
    struct mdl_ctx none = { 0 };
    struct mdl_ent *e = mdl_first(m, MODEL_C_ROOT, x->sid >> 8);

    for (; e; e = mdl_next(m, MODEL_C_ROOT, e)) {
        u64 root[2] = { e->v0, e->v1 }, ctx[2];
        u8 reason;

        if (p->has_root && p->root[0] == e->v0 && p->root[1] == e->v1)
            continue;
        reason = mdl_root_check(m, root);
        if (!reason && !mdl_read128(m, VIEW_UNIT, (root[0] & TLB_PA) + (x->sid & 255) * 16, ctx))
            reason = FR_CTX_ACCESS;
        if (reason)
            add(x, &none, VIA(MODEL_C_ROOT), reason, 0, 0);
        else if (n < CTX_CANDIDATES && !known(cand, n, ctx[0], ctx[1]))
            cand[n++] = (struct ctx_cand){ { ctx[0], ctx[1] }, VIA(MODEL_C_ROOT) };
    }
    return n;
}

static void fill_ctx(struct mdl_xp *x, const struct ctx_cand *cand)
{
    struct mdl_ctx c;

    mdl_ctx_decode(x->m, cand->v, &c);
    if (c.reason && !CAP_CM(x->m))
        return;
    /* 6.1: with CM=1 faulty entries are cached under domain-id 0. */
    mdl_insert(x->m, MODEL_C_CONTEXT, x->sid, cand->v[0], cand->v[1], c.reason ? 0 : c.did, x->sid);
}

void mdl_explore(struct model *m, u16 sid, u64 iova, u8 at, bool fill, struct mdl_xp *x)
{
    struct mdl_path *p = &x->path;
    struct ctx_cand cand[CTX_CANDIDATES];
    unsigned n = 0, first_cached;
    struct mdl_ent *e;

    x->m = m;
    x->sid = sid;
    x->iova = iova;
    x->at = at;
    x->fill = fill;
    x->n = 0;
    mdl_path(m, VIEW_UNIT, x->sid, x->iova, x->fill && x->at != MODEL_TRANSLATED, p);
    if (p->has_ctx)
        cand[n++] = (struct ctx_cand){ { p->ctx[0], p->ctx[1] }, 0 };
    else
        add(x, &p->c, 0, p->c.reason, 0, 0);
    if (TTM(m) != TTM_LEGACY)
        return;
    n = old_roots(x, cand, n);
    first_cached = n;
    for (e = mdl_first(m, MODEL_C_CONTEXT, x->sid); e; e = mdl_next(m, MODEL_C_CONTEXT, e)) {
        if (n < CTX_CANDIDATES && !known(cand, n, e->v0, e->v1))
            cand[n++] = (struct ctx_cand){ { e->v0, e->v1 }, VIA(MODEL_C_CONTEXT) };
    }
    for (unsigned i = 0; i < n; i++)
        explore_ctx(x, &cand[i], i == 0 && p->has_ctx && !p->c.reason ? p : NULL);
    if (!x->fill)
        return;
    for (unsigned i = 0; i < first_cached; i++)
        fill_ctx(x, &cand[i]);
    if (p->has_root && (CAP_CM(m) || !mdl_root_check(m, p->root)))
        mdl_insert(m, MODEL_C_ROOT, x->sid >> 8, p->root[0], p->root[1], 0, x->sid);
}

/* Would the caches that have been flushed still have given something else? */
static void haunt(struct mdl_xp *x)
{
    struct model *m = x->m;
    const struct mdl_path *p = &x->path;

    if (m->ghost[MODEL_C_ROOT].n && p->has_root)
        mdl_haunt(m, MODEL_C_ROOT, x->sid >> 8, p->root[0], p->root[1]);
    if (m->ghost[MODEL_C_CONTEXT].n && p->has_ctx)
        mdl_haunt(m, MODEL_C_CONTEXT, x->sid, p->ctx[0], p->ctx[1]);
    if (!p->has_ctx || p->c.reason || x->at == MODEL_TRANSLATED)
        return;
    if (m->ghost[MODEL_C_IOTLB].n)
        mdl_haunt(m, MODEL_C_IOTLB, mdl_key_page(p->c.did, x->iova), p->x.pa | p->x.perm, p->x.reason);
    for (unsigned level = 2; m->ghost[MODEL_C_PAGING].n && level <= p->c.levels; level++)
        mdl_haunt(m, MODEL_C_PAGING, mdl_key_paging(p->c.did, level, x->iova),
                  p->seen & (1u << level) ? p->next[level] : 0, 0);
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

/* ---- Filling ------------------------------------------------------------------------------------------ */

void mdl_fill(struct model *m, u16 sid, u64 iova)
{
    struct mdl_xp x;
    struct model_fn *fn;

    if (!GSTS(m, G_TE) || mdl_irq_range(iova))
        return;
    mdl_explore(m, sid, iova, MODEL_UNTRANSLATED, true, &x);
    fn = model_fn_find(m, sid);
    if (fn && fn->ats && fn->bus_master && fn->present)
        mdl_dtlb_fill(fn, &x);
}

bool model_watch(struct model *m, uint64_t iova, uint64_t pages)
{
    if (m->nwatch == WATCHES)
        return false;
    m->watch[m->nwatch].page = iova >> 12;
    m->watch[m->nwatch++].pages = pages;
    m->watched += pages;
    return true;
}

u64 mdl_watched(struct model *m, u64 n)
{
    for (unsigned i = 0; i < m->nwatch; i++) {
        if (n < m->watch[i].pages)
            return (m->watch[i].page + n) << 12;
        n -= m->watch[i].pages;
    }
    return 0;
}

/* Two present entries with one DID must agree on the tables (6.2.3.1); DID 0 belongs to CM=1 (6.1). */
static void judge_entries(struct model *m)
{
    struct mdl_path p;
    struct mdl_ctx seen[MODEL_FNS];
    unsigned n = 0;

    for (unsigned i = 0; i < m->nfn; i++) {
        mdl_path(m, VIEW_CPU, m->fn[i].cfg.sid, 0, false, &p);
        if (!p.has_ctx || p.c.reason)
            continue;
        if (CAP_CM(m) && !p.c.did)
            mdl_violation(m, MODEL_V_DID_ZERO, m->fn[i].cfg.sid);
        if (p.c.tt == 2 && (CAP_SAGAW(m) >> (p.c.levels - 1)))
            mdl_violation(m, MODEL_V_AW, m->fn[i].cfg.sid);
        for (unsigned j = 0; j < n; j++)
            if (seen[j].did == p.c.did &&
                ((seen[j].tt == 2) != (p.c.tt == 2) || seen[j].levels != p.c.levels ||
                 (p.c.tt != 2 && seen[j].table != p.c.table)))
                mdl_violation(m, MODEL_V_DID, m->fn[i].cfg.sid);
        seen[n++] = p.c;
    }
}

void model_fill(struct model *m, uint16_t sid, uint64_t iova, uint64_t pages)
{
    for (u64 i = 0; i < pages; i++)
        mdl_fill(m, sid, iova + (i << 12));
}

void model_fill_all(struct model *m)
{
    if (!GSTS(m, G_TE))
        return;
    judge_entries(m);
    for (unsigned f = 0; f < m->nfn; f++)
        for (unsigned w = 0; w < m->nwatch; w++)
            model_fill(m, m->fn[f].cfg.sid, m->watch[w].page << 12, m->watch[w].pages);
}
