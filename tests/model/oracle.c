/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an oracle may ask: everything that could happen now, and what the tables say should.
 */
#include "tests/model/model_int.h"

static struct model_outcome open_outcome(uint64_t iova)
{
    return (struct model_outcome){ .status = MODEL_OK, .perm = PERM_R | PERM_W, .pa = iova & ~0xfffull };
}

struct model_outcome model_fresh(struct model *m, uint16_t sid, uint64_t iova)
{
    struct model_outcome o = { .status = MODEL_BLOCKED };
    struct mdl_path p;

    if (!GSTS(m, G_TE))
        return open_outcome(iova);
    mdl_path(m, VIEW_CPU, sid, iova, false, &p);
    if (p.c.reason) {
        o.reason = p.c.reason;
    } else if (p.x.reason) {
        o.reason = p.x.reason;
    } else if (!p.x.perm) {
        o.reason = FR_NO_READ;
    } else {
        o.status = MODEL_OK;
        o.perm = p.x.perm;
        o.pa = p.x.pa;
    }
    return o;
}

static bool same(const struct model_outcome *a, const struct model_outcome *b)
{
    return a->status == b->status && a->perm == b->perm && a->pa == b->pa && a->reason == b->reason;
}

static unsigned store(struct model_outcome *out, unsigned n, unsigned max, const struct model_outcome *o)
{
    for (unsigned i = 0; i < n; i++)
        if (same(&out[i], o) && out[i].device == o->device)
            return n;
    if (n < max)
        out[n++] = *o;
    return n;
}

unsigned model_outcomes(struct model *m, uint16_t sid, uint64_t iova, struct model_outcome *out, unsigned max)
{
    struct model_outcome fresh = model_fresh(m, sid, iova), o;
    struct mdl_xp x = { .m = m, .sid = sid, .iova = iova, .at = MODEL_UNTRANSLATED };
    struct model_fn *fn = model_fn_find(m, sid);
    struct mdl_ent *e;
    unsigned n = 0;

    if (!GSTS(m, G_TE)) {
        if (max)
            out[0] = fresh;
        return max ? 1 : 0;
    }
    mdl_explore(&x);
    for (unsigned i = 0; i < x.n; i++) {
        const struct mdl_cand *c = &x.c[i];

        o = (struct model_outcome){ .status = MODEL_OK, .perm = c->perm, .pa = c->pa, .via = c->blame };
        if (c->reason || !c->perm) {
            o.status = MODEL_BLOCKED;
            o.reason = c->reason ? c->reason : FR_NO_READ;
            o.pa = 0;
        }
        o.stale = !same(&o, &fresh);
        /* Memory that was not written back makes even the fresh walk stale: nobody's cache is to blame. */
        n = store(out, n, max, &o);
    }
    if (!fn || (!fn->ats && !fn->cfg.forges) || !fn->present || !mdl_gate_open(m, sid))
        return n;
    e = mdl_first(m, MODEL_C_DTLB, mdl_key_page(fn->index, iova));
    for (; e; e = mdl_next(m, MODEL_C_DTLB, e)) {
        o = (struct model_outcome){
            .status = MODEL_OK, .perm = e->v0 & 3, .pa = e->v0 & TLB_PA, .device = true
        };
        o.stale = fresh.status != MODEL_OK || o.pa != fresh.pa || (o.perm & ~fresh.perm);
        if (o.stale)
            o.via = 1u << MODEL_C_DTLB;
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
