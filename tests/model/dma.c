/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DMA as it arrives at the unit: untranslated, translation request, translated (3.4, 4.2).
 */
#include "tests/model/model_int.h"

static bool overlaps(u64 pa, u64 len, u64 first, u64 last)
{
    return first <= last && pa <= last && pa + (len - 1) >= first;
}

/* 11.4.15: with translation off the regions hold; with it on the unit may enforce them or not. */
bool mdl_pmr_blocks(struct model *m, u64 pa, u32 len)
{
    if (!(m->pmen & 1) || !len || (GSTS(m, G_TE) && m->cfg.pmr_ignored))
        return false;
    return (CAP_PLMR(m) && overlaps(pa, len, m->plmbase, m->plmlimit | 0x1fffffull)) ||
           (CAP_PHMR(m) && overlaps(pa, len, m->phmbase, m->phmlimit | 0x1fffffull));
}

static struct model_result blocked(u8 reason, u64 addr)
{
    return (struct model_result){ .status = MODEL_BLOCKED, .reason = reason, .pa = addr };
}

/* 7.1.3: which rights a request needs, and the reason it fails for. */
static u8 rights(struct model *m, const struct model_req *req, const struct mdl_cand *o)
{
    bool legacy = TTM(m) == TTM_LEGACY;

    if (o->why)
        return o->why;
    if (!(o->perm & PERM_U) && (o->perm & (PERM_R | PERM_W)))
        return FR_S_USER;
    if (req->write)
        return o->perm & PERM_W ? 0 : legacy ? FR_NO_WRITE : FR_S_NO_WRITE;
    /* A zero-length read of a write-only page is fine where ZLR says so. */
    if (!req->len && CAP_ZLR(m) && (o->perm & PERM_W))
        return 0;
    return o->perm & PERM_R ? 0 : legacy ? FR_NO_READ : FR_S_NO_READ;
}

struct mdl_who mdl_who(const struct model_req *req)
{
    return (struct mdl_who){ .sid = req->sid,
                             .priv = req->priv,
                             .pasid = req->has_pasid ? req->pasid : NO_PASID };
}

static struct model_result untranslated_world(struct model *m, const struct model_req *req)
{
    /* TE=0: requests pass as they are; ATS does not exist. */
    if (req->at != MODEL_UNTRANSLATED || mdl_pmr_blocks(m, req->addr, req->len))
        return blocked(0, req->addr);
    return (struct model_result){ .status = MODEL_OK, .pa = req->addr, .perm = PERM_R | PERM_W };
}

/* DMA in the window between SRTP and the flushes is nobody's fault; DMA after the software went on is. */
static void judge_root(struct model *m)
{
    if (!m->root_overdue)
        return;
    mdl_violation(m, MODEL_V_ROOT_NO_FLUSH, 0);
    m->root_overdue = m->need_cc = m->need_iotlb = false;
}

struct model_result mdl_translate(struct model *m, const struct model_req *req, struct mdl_cand *used)
{
    struct mdl_who who = mdl_who(req);
    struct mdl_xp x;
    const struct mdl_cand *o;
    u8 reason;

    if (used)
        *used = (struct mdl_cand){ 0 };
    if (!GSTS(m, G_TE))
        return untranslated_world(m, req);
    judge_root(m);
    /* 4.2.3: the interrupt range is never translated; the device must go there untranslated. */
    if (req->at == MODEL_TRANSLATION_REQUEST && mdl_irq_range(req->addr))
        return (struct model_result){ .status = MODEL_OK, .perm = PERM_W, .untranslated_only = true };
    mdl_explore(m, &who, req->addr, req->at, true, &x);
    o = mdl_pick(&x);
    if (used)
        *used = *o;
    reason = o->reason;
    if (!reason && req->at == MODEL_UNTRANSLATED)
        reason = rights(m, req, o);
    if (reason) {
        if (!(o->fpd && mdl_fault_qualified(reason)))
            mdl_fault(m, reason, req, req->addr);
        return blocked(reason, req->addr);
    }
    if (req->at == MODEL_TRANSLATION_REQUEST)
        return (struct model_result){ .status = MODEL_OK,
                                      .perm = o->perm & PERM_U ? o->perm & 3 : 0,
                                      .pa = o->pa };
    if (req->write && req->at == MODEL_UNTRANSLATED && x.path.s.fs && o == &x.c[0])
        mdl_fs_dirty(m, &who, req->addr);
    if (mdl_pmr_blocks(m, o->pa | (req->addr & 0xfff), req->len))
        return blocked(0, req->addr);
    return (
        struct model_result){ .status = MODEL_OK, .perm = o->perm & 3, .pa = o->pa | (req->addr & 0xfff) };
}

struct model_result mdl_access(struct model *m, const struct model_req *req, u64 pa, void *buf)
{
    struct model_result r = { .status = MODEL_OK, .pa = pa };

    m->stats.dma++;
    mdl_trace(m, MODEL_EV_DMA, req->sid, pa, req->addr, NULL);
    if (!req->len)
        return r;
    if (req->write ? !mdl_mem_write(m, pa, buf, req->len) : !mdl_mem_read(m, pa, buf, req->len))
        r.status = MODEL_NO_MEMORY;
    return r;
}

/* 3.14: a write to the interrupt range is an interrupt; anything else there is nothing. */
static struct model_result interrupt_request(struct model *m, const struct model_req *req, const void *buf)
{
    u32 data;

    if (!req->write || req->len != 4 || (req->addr & 3) || req->has_pasid)
        return blocked(0, req->addr);
    mdl_copy(&data, buf, 4);
    return mdl_msi(m, req->sid, req->addr, data);
}

struct model_result model_dma(struct model *m, const struct model_req *req, void *buf)
{
    struct model_req page = *req;
    struct model_result r = { 0 }, first = { 0 };
    u32 done = 0;

    do {
        u32 room = 4096 - (page.addr & 0xfff);

        page.len = req->len - done < room ? req->len - done : room;
        if (req->at == MODEL_UNTRANSLATED && mdl_irq_range(page.addr))
            return interrupt_request(m, req, buf);
        r = mdl_translate(m, &page, NULL);
        if (r.status != MODEL_OK || req->at == MODEL_TRANSLATION_REQUEST)
            return r;
        r.status = mdl_access(m, &page, r.pa, (u8 *)buf + done).status;
        if (r.status != MODEL_OK)
            return r;
        if (!done)
            first = r;
        done += page.len;
        page.addr += page.len;
    } while (done < req->len);
    return first;
}
