/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an oracle may ask: everything that could happen now, and what the tables say should.
 */
#include "tests/model/model_int.h"

static struct model_outcome open_outcome(uint64_t iova)
{
    return (struct model_outcome){ .status = MODEL_OK, .perm = PERM_R | PERM_W, .pa = iova & ~0xfffull };
}

static struct model_outcome outcome_of(const struct mdl_path *p)
{
    struct model_outcome o = { .status = MODEL_BLOCKED };

    if (p->c.reason) {
        o.reason = p->c.reason;
    } else if (p->x.reason) {
        o.reason = p->x.reason;
    } else if (!p->x.perm) {
        o.reason = FR_NO_READ;
    } else {
        o.status = MODEL_OK;
        o.perm = p->x.perm;
        o.pa = p->x.pa;
    }
    return o;
}

struct model_outcome model_fresh(struct model *m, uint16_t sid, uint64_t iova)
{
    struct mdl_path p;

    if (!GSTS(m, G_TE))
        return open_outcome(iova);
    mdl_path(m, VIEW_CPU, sid, iova, false, &p);
    return outcome_of(&p);
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

unsigned model_outcomes(struct model *m, uint16_t sid, uint64_t iova, struct model_outcome *out, unsigned max)
{
    struct model_outcome fresh, o;
    struct mdl_xp x;
    struct model_fn *fn = model_fn_find(m, sid);
    struct mdl_ent *e;
    unsigned n = 0;
    bool gate = false;

    if (!GSTS(m, G_TE)) {
        if (max)
            out[0] = open_outcome(iova);
        return max ? 1 : 0;
    }
    mdl_explore(m, sid, iova, MODEL_UNTRANSLATED, false, &x);
    fresh = m->cfg.shadow ? model_fresh(m, sid, iova) : outcome_of(&x.path);
    for (unsigned i = 0; i < x.n; i++) {
        const struct mdl_cand *c = &x.c[i];

        gate |= c->ats;
        o = (struct model_outcome){ .status = MODEL_OK, .perm = c->perm, .pa = c->pa, .via = c->blame };
        if (c->reason || !c->perm) {
            o.status = MODEL_BLOCKED;
            o.reason = c->reason ? c->reason : FR_NO_READ;
            o.pa = 0;
        }
        /*
         * Memory that was not written back makes even the fresh walk stale: nobody's cache is to blame.
         * An old domain-id or an old ATS gate is stale even while it leads to the same page.
         */
        o.stale = !same(&o, &fresh) || c->did != x.c[0].did || c->ats != x.c[0].ats;
        n = store(out, n, max, &o);
    }
    if (!fn || (!fn->ats && !fn->cfg.forges) || !fn->present || !gate)
        return n;
    e = mdl_first(m, MODEL_C_DTLB, mdl_key_page(fn->index, iova));
    for (; e; e = mdl_next(m, MODEL_C_DTLB, e)) {
        o = (struct model_outcome){
            .status = MODEL_OK, .perm = e->v0 & 3, .pa = e->v0 & TLB_PA, .device = true
        };
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

unsigned model_stale(struct model *m, uint16_t sid, uint64_t iova)
{
    struct model_outcome out[MODEL_OUTCOMES];
    unsigned n = model_outcomes(m, sid, iova, out, MODEL_OUTCOMES), via = 0;

    for (unsigned i = 0; i < n; i++)
        if (out[i].stale)
            via |= out[i].via ? out[i].via : 1u << MODEL_CLASSES;
    return via;
}
