/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI functions: configuration as far as DMA cares, device TLB, DMA engine.
 *
 * The device TLB is as bad as ATS allows: it prefetches whenever it may, keeps everything until it is told
 * otherwise (over ATS off and on again, too), and mixes translated with untranslated requests.
 */
#include "tests/model/model_int.h"

struct model_fn *model_fn_add(struct model *m, const struct model_fn_cfg *cfg)
{
    struct model_fn *fn;

    if (m->nfn == MODEL_FNS)
        return NULL;
    fn = &m->fn[m->nfn];
    *fn = (struct model_fn){ .m = m, .cfg = *cfg, .present = true, .index = m->nfn };
    m->nfn++;
    return fn;
}

struct model_fn *model_fn_find(struct model *m, uint16_t sid)
{
    for (unsigned i = 0; i < m->nfn; i++)
        if (m->fn[i].cfg.sid == sid)
            return &m->fn[i];
    return NULL;
}

uint16_t model_fn_sid(const struct model_fn *fn)
{
    return fn->cfg.sid;
}

bool model_fn_use_pasid(struct model_fn *fn, uint32_t pasid)
{
    if (fn->npasids == MODEL_FN_PASIDS || pasid >> 20)
        return false;
    fn->pasid[fn->npasids++] = pasid;
    return true;
}

void model_fn_set_bus_master(struct model_fn *fn, bool on)
{
    fn->bus_master = on;
}

void model_fn_set_ats(struct model_fn *fn, bool on)
{
    fn->ats = on && fn->cfg.ats;
}

bool model_fn_ats(const struct model_fn *fn)
{
    return fn->ats;
}

void model_fn_set_answer(struct model_fn *fn, enum model_answer answer, unsigned steps)
{
    fn->cfg.answer = answer;
    fn->cfg.answer_steps = steps;
}

static void forget(struct model_fn *fn)
{
    struct model *m = fn->m;
    struct mdl_cache *c = &m->cache[MODEL_C_DTLB];

    for (int i = c->n - 1; i >= 0; i--)
        if (c->e[i].sid == fn->cfg.sid)
            mdl_remove(m, MODEL_C_DTLB, i);
    for (unsigned i = 0; i < FLIGHTS; i++) {
        struct mdl_flight *f = &m->flight[i];

        /* What the fabric has accepted still lands; what is translated but still inside is gone. */
        if (f->used && f->fn == fn->index && f->translated) {
            f->used = false;
            m->nflights--;
        }
    }
}

void model_fn_reset(struct model_fn *fn)
{
    fn->bus_master = fn->ats = false;
    forget(fn);
}

void model_fn_set_present(struct model_fn *fn, bool present)
{
    if (!present)
        model_fn_reset(fn);
    fn->present = present;
}

/* ---- Device TLB --------------------------------------------------------------------------------- */

/* The tag of an entry: 0 without PASID, else PASID + 1. */
static void dtlb_insert(struct model_fn *fn, u32 pasid, u64 iova, u8 perm, u64 pa)
{
    struct mdl_ent e = {
        .key = mdl_key_page(fn->index, iova), .v0 = pa | perm, .tag = pasid + 1, .by = pasid
    };

    e.sid = fn->cfg.sid;
    if (perm)
        mdl_insert(fn->m, MODEL_C_DTLB, &e);
}

void mdl_dtlb_fill(struct model_fn *fn, const struct mdl_xp *x)
{
    for (unsigned i = 0; i < x->n; i++)
        if (!x->c[i].reason && x->c[i].ats && (x->c[i].perm & PERM_U))
            dtlb_insert(fn, x->who.pasid, x->iova, x->c[i].perm & 3, x->c[i].pa);
}

/* A held translation that allows the access, by the policy. 0: use none. */
static u64 dtlb_choose(struct model_fn *fn, u32 pasid, u64 iova, u8 need)
{
    struct model *m = fn->m;
    u8 keep = m->cfg.keep[MODEL_C_DTLB];
    struct model_outcome now = model_fresh_pasid(m, fn->cfg.sid, pasid, iova);
    u64 may[8], key = mdl_key_page(fn->index, iova);
    unsigned n = 0, stale = 0;
    struct mdl_ent *e;

    mdl_haunt(m, MODEL_C_DTLB, key, pasid + 1, now.status == MODEL_OK ? now.pa | now.perm : 0, 0);
    if (keep == MODEL_KEEP_NONE)
        return 0;
    for (e = mdl_first(m, MODEL_C_DTLB, key, pasid + 1); e && n < 8; e = mdl_next(m, MODEL_C_DTLB, e)) {
        bool old = now.status != MODEL_OK || (e->v0 & TLB_PA) != now.pa || (e->v0 & 3 & ~(u64)now.perm);

        if ((e->v0 & need) != need || (keep == MODEL_KEEP_ALL && stale && !old))
            continue;
        if (keep == MODEL_KEEP_ALL && old && !stale++)
            n = 0;
        may[n++] = e->v0;
    }
    if (!n || (!stale && mdl_rnd(m, 4) == 0))
        return 0;
    key = may[mdl_rnd(m, n)];
    if (now.status != MODEL_OK || (key & TLB_PA) != now.pa || (key & 3 & ~(u64)now.perm))
        m->stats.c[MODEL_C_DTLB].stale++;
    return key;
}

struct mdl_target mdl_aim(struct model_fn *fn, struct model_req *req)
{
    struct model *m = fn->m;
    struct mdl_target t = { .translated = false };
    u8 need = req->write ? PERM_W : PERM_R;
    struct model_req ask = *req;
    u64 iova = req->addr, held;

    if (!fn->present || !fn->bus_master) {
        t.r = (struct model_result){ .status = MODEL_BLOCKED, .pa = iova };
        return t;
    }
    if ((!fn->ats && !fn->cfg.forges) ||
        (fn->ats && mdl_rnd(m, 8) == 0 && m->cfg.keep[MODEL_C_DTLB] != MODEL_KEEP_ALL)) {
        t.r = mdl_translate(m, req, &t.used);
        return t;
    }
    held = dtlb_choose(fn, req->has_pasid ? req->pasid : NO_PASID, iova, need);
    if (!held && fn->ats) {
        ask.at = MODEL_TRANSLATION_REQUEST;
        t.r = mdl_translate(m, &ask, NULL);
        if (t.r.status != MODEL_OK)
            return t;
        if (!t.r.untranslated_only)
            dtlb_insert(fn, req->has_pasid ? req->pasid : NO_PASID, iova, t.r.perm, t.r.pa);
        if ((t.r.perm & need) == need && !t.r.untranslated_only)
            held = t.r.pa | t.r.perm;
    }
    if (!held) {
        t.r = mdl_translate(m, req, &t.used);
        return t;
    }
    /* A translated request carries no PASID. */
    t.translated = true;
    ask = (struct model_req){ .sid = req->sid, .at = MODEL_TRANSLATED, .write = req->write, .len = req->len };
    ask.addr = (held & TLB_PA) | (iova & 0xfff);
    t.r = mdl_translate(m, &ask, NULL);
    return t;
}

struct model_req mdl_request(const struct model_fn *fn, u32 pasid, u64 iova, u32 len, bool write)
{
    struct model_req req = { .sid = fn->cfg.sid, .write = write, .addr = iova, .len = len };

    req.has_pasid = pasid != NO_PASID;
    req.pasid = req.has_pasid ? pasid : 0;
    return req;
}

struct model_result model_fn_dma(struct model_fn *fn, uint64_t iova, uint32_t len, bool write, void *buf)
{
    return model_fn_dma_pasid(fn, NO_PASID, iova, len, write, buf);
}

struct model_result model_fn_dma_pasid(struct model_fn *fn, uint32_t pasid, uint64_t iova, uint32_t len,
                                       bool write, void *buf)
{
    struct model_result first = { 0 };
    u32 done = 0;

    if (mdl_irq_range(iova)) {
        struct model_req irq = mdl_request(fn, pasid, iova, len, write);

        if (!fn->present || !fn->bus_master)
            return (struct model_result){ .status = MODEL_BLOCKED, .pa = iova };
        return model_dma(fn->m, &irq, buf);
    }
    do {
        u32 room = 4096 - (iova & 0xfff), part = len - done < room ? len - done : room;
        struct model_req req = mdl_request(fn, pasid, iova, part, write);
        struct mdl_target t = mdl_aim(fn, &req);

        if (t.r.status == MODEL_OK)
            t.r.status = mdl_access(fn->m, &req, t.r.pa, (u8 *)buf + done).status;
        if (t.r.status != MODEL_OK)
            return t.r;
        if (!done)
            first = t.r;
        done += part;
        iova += part;
    } while (done < len);
    return first;
}
