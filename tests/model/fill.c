/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Speculation: caches that fill themselves with whatever the present tables, and the caches, allow.
 */
#include "tests/model/model_int.h"

void mdl_fill(struct model *m, const struct mdl_who *who, u64 iova)
{
    struct mdl_xp x;
    struct model_fn *fn;

    if (!GSTS(m, G_TE) || mdl_irq_range(iova))
        return;
    mdl_explore(m, who, iova, MODEL_UNTRANSLATED, true, &x);
    fn = model_fn_find(m, who->sid);
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

void model_watch_irtes(struct model *m, uint32_t first, uint32_t count)
{
    m->irte_first = first;
    m->irtes = count;
}

static u64 watched(const struct model *m, u64 n)
{
    for (unsigned i = 0; i < m->nwatch; i++) {
        if (n < m->watch[i].pages)
            return (m->watch[i].page + n) << 12;
        n -= m->watch[i].pages;
    }
    return 0;
}

void mdl_speculate(struct model *m)
{
    for (unsigned i = 0; i < m->cfg.speculate && m->nfn && m->watched; i++) {
        const struct model_fn *fn = &m->fn[mdl_rnd(m, m->nfn)];
        unsigned which = mdl_rnd(m, fn->npasids + 1u);
        struct mdl_who who = { .sid = fn->cfg.sid, .pasid = which ? fn->pasid[which - 1] : NO_PASID };

        mdl_fill(m, &who, watched(m, mdl_rnd(m, m->watched)));
    }
    if (m->cfg.speculate && m->irtes)
        mdl_ir_fill(m, m->irte_first + mdl_rnd(m, m->irtes));
}

static bool same_tables(const struct mdl_setup *a, const struct mdl_setup *b)
{
    if (a->ss != b->ss || a->fs != b->fs)
        return false;
    if (a->ss && (a->ss_table != b->ss_table || a->ss_levels != b->ss_levels))
        return false;
    /* 6.2.3.1: the first stage must agree only where the PASID is the same, too. */
    return !a->fs || a->tag != b->tag || (a->fs_table == b->fs_table && a->fs_levels == b->fs_levels);
}

/* Two present entries with one DID must agree on the tables (6.2.3.1); DID 0 belongs to CM=1 (6.1). */
static void judge_entries(struct model *m)
{
    struct mdl_setup seen[MODEL_FNS * (MODEL_FN_PASIDS + 1)];
    unsigned n = 0;
    struct mdl_path p;

    for (unsigned i = 0; i < m->nfn; i++) {
        const struct model_fn *fn = &m->fn[i];

        for (unsigned k = 0; k <= fn->npasids; k++) {
            struct mdl_who who = { .sid = fn->cfg.sid, .pasid = k ? fn->pasid[k - 1] : NO_PASID };

            mdl_path(m, VIEW_CPU, &who, 0, false, &p);
            if (p.s.reason || (!p.has_ctx && !p.has_pasid))
                continue;
            if (CAP_CM(m) && !p.s.did)
                mdl_violation(m, MODEL_V_DID_ZERO, who.sid);
            if (!p.s.scalable && p.c.tt == 2 && (CAP_SAGAW(m) >> (p.c.levels - 1)))
                mdl_violation(m, MODEL_V_AW, who.sid);
            for (unsigned j = 0; j < n; j++)
                if (seen[j].did == p.s.did && !same_tables(&seen[j], &p.s))
                    mdl_violation(m, MODEL_V_DID, who.sid);
            seen[n++] = p.s;
        }
    }
}

void model_fill_pasid(struct model *m, uint16_t sid, uint32_t pasid, uint64_t iova, uint64_t pages)
{
    struct mdl_who who = { .sid = sid, .pasid = pasid };

    for (u64 i = 0; i < pages; i++)
        mdl_fill(m, &who, iova + (i << 12));
}

void model_fill(struct model *m, uint16_t sid, uint64_t iova, uint64_t pages)
{
    model_fill_pasid(m, sid, NO_PASID, iova, pages);
}

void mdl_fill_fn(const struct model_fn *fn)
{
    struct model *m = fn->m;

    for (unsigned k = 0; k <= fn->npasids; k++)
        for (unsigned w = 0; w < m->nwatch; w++)
            model_fill_pasid(m, fn->cfg.sid, k ? fn->pasid[k - 1] : NO_PASID, m->watch[w].page << 12,
                             m->watch[w].pages);
}

void model_fill_all(struct model *m)
{
    for (u32 i = 0; i < m->irtes; i++)
        mdl_ir_fill(m, m->irte_first + i);
    if (!GSTS(m, G_TE))
        return;
    judge_entries(m);
    for (unsigned f = 0; f < m->nfn; f++)
        mdl_fill_fn(&m->fn[f]);
}
