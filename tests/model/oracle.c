/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an oracle may ask: everything that could happen now, and what the tables say should.
 */
#include "tests/model/model_int.h"

static struct model_outcome open_outcome(uint64_t iova)
{
    return (struct model_outcome){ .status = MODEL_OK, .perm = PERM_R | PERM_W, .pa = iova & ~0xfffull };
}

/* One result, as the requester (a user, not a supervisor) sees it. */
static struct model_outcome outcome_of(u8 reason, u8 why, u8 perm, u64 pa)
{
    struct model_outcome o = { .status = MODEL_BLOCKED, .reason = reason };

    if (reason)
        return o;
    if (!(perm & (PERM_R | PERM_W))) {
        o.reason = why ? why : FR_NO_READ;
    } else if (!(perm & PERM_U)) {
        o.reason = FR_S_USER;
    } else {
        o.status = MODEL_OK;
        o.perm = perm & (PERM_R | PERM_W);
        o.pa = pa;
    }
    return o;
}

static struct model_outcome outcome_of_path(const struct mdl_path *p)
{
    return outcome_of(p->s.reason ? p->s.reason : p->x.reason, p->x.why, p->x.perm, p->x.pa);
}

struct model_outcome model_fresh_pasid(struct model *m, uint16_t sid, uint32_t pasid, uint64_t iova)
{
    struct mdl_who who = { .sid = sid, .pasid = pasid };
    struct mdl_path p;

    if (!GSTS(m, G_TE))
        return open_outcome(iova);
    mdl_path(m, VIEW_CPU, &who, iova, false, &p);
    return outcome_of_path(&p);
}

struct model_outcome model_fresh(struct model *m, uint16_t sid, uint64_t iova)
{
    return model_fresh_pasid(m, sid, NO_PASID, iova);
}

static bool same(const struct model_outcome *a, const struct model_outcome *b)
{
    return a->status == b->status && a->perm == b->perm && a->pa == b->pa && a->reason == b->reason;
}

static unsigned store(struct model_outcome *out, unsigned n, unsigned max, const struct model_outcome *o)
{
    for (unsigned i = 0; i < n; i++)
        if (same(&out[i], o) && out[i].device == o->device && out[i].stale == o->stale)
            return n;
    if (n < max)
        out[n++] = *o;
    return n;
}

unsigned model_outcomes_pasid(struct model *m, uint16_t sid, uint32_t pasid, uint64_t iova,
                              struct model_outcome *out, unsigned max)
{
    struct mdl_who who = { .sid = sid, .pasid = pasid };
    struct model_fn *fn = model_fn_find(m, sid);
    struct model_outcome fresh, o;
    struct mdl_xp x;
    struct mdl_ent *e;
    unsigned n = 0;
    bool gate = false;

    if (!GSTS(m, G_TE)) {
        if (max)
            out[0] = open_outcome(iova);
        return max ? 1 : 0;
    }
    mdl_explore(m, &who, iova, MODEL_UNTRANSLATED, false, &x);
    fresh = m->cfg.shadow ? model_fresh_pasid(m, sid, pasid, iova) : outcome_of_path(&x.path);
    for (unsigned i = 0; i < x.n; i++) {
        const struct mdl_cand *c = &x.c[i];

        gate |= c->ats;
        o = outcome_of(c->reason, c->why, c->perm, c->pa);
        o.via = c->blame;
        /*
         * Memory that was not written back makes even the fresh walk stale: nobody's cache is to blame.
         * An old domain-id, tag or ATS gate is stale even while it leads to the same page.
         */
        o.stale = !same(&o, &fresh) || c->did != x.c[0].did || c->tag != x.c[0].tag || c->ats != x.c[0].ats;
        n = store(out, n, max, &o);
    }
    if (!fn || (!fn->ats && !fn->cfg.forges) || !fn->present || !gate)
        return n;
    e = mdl_first(m, MODEL_C_DTLB, mdl_key_page(fn->index, iova), pasid + 1);
    for (; e; e = mdl_next(m, MODEL_C_DTLB, e)) {
        o = outcome_of(0, 0, (e->v0 & 3) | PERM_U, e->v0 & TLB_PA);
        o.device = true;
        o.stale = fresh.status != MODEL_OK || o.pa != fresh.pa || (o.perm & ~fresh.perm);
        if (o.stale)
            o.via = 1u << MODEL_C_DTLB;
        /* Only an old context entry lets it through. */
        if (!x.c[0].ats) {
            o.stale = true;
            o.via |= 1u << MODEL_C_CONTEXT;
        }
        n = store(out, n, max, &o);
    }
    return n;
}

unsigned model_outcomes(struct model *m, uint16_t sid, uint64_t iova, struct model_outcome *out, unsigned max)
{
    return model_outcomes_pasid(m, sid, NO_PASID, iova, out, max);
}

unsigned model_stale_pasid(struct model *m, uint16_t sid, uint32_t pasid, uint64_t iova)
{
    struct model_outcome out[MODEL_OUTCOMES];
    unsigned n = model_outcomes_pasid(m, sid, pasid, iova, out, MODEL_OUTCOMES), via = 0;

    for (unsigned i = 0; i < n; i++)
        if (out[i].stale)
            via |= out[i].via ? out[i].via : 1u << MODEL_CLASSES;
    return via;
}

unsigned model_stale(struct model *m, uint16_t sid, uint64_t iova)
{
    return model_stale_pasid(m, sid, NO_PASID, iova);
}
