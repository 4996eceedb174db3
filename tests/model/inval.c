/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each invalidation takes out of the caches: exactly what the specification says, and not one entry
 * more (6.5.1, 6.5.2). A coarser unit would be allowed, and would forgive.
 */
#include "tests/model/model_int.h"

/* Backwards, because a removal moves the last entry into the hole. */
#define FOR_EACH_BACK(m, class, i, ent) \
    for (int i = (m)->cache[class].n - 1; i >= 0 && ((ent) = &(m)->cache[class].e[i], true); i--)

/* 6.5.2.1; the register's granularities are the same (11.4.7.1). */
void mdl_inv_context(struct model *m, unsigned g, u16 did, u16 sid, unsigned fm)
{
    static const u16 fm_mask[4] = { 0, 4, 6, 7 };
    bool legacy = TTM(m) == TTM_LEGACY;
    struct mdl_ent *e;

    mdl_write_buffer_flush(m);
    did &= m->did_mask;
    /* Scalable mode has no domain in its context entries: domain-selective acts as global. */
    if (g == 1 || (g == 2 && !legacy)) {
        mdl_drop_all(m, MODEL_C_ROOT);
        mdl_drop_all(m, MODEL_C_CONTEXT);
        if (m->need_cc)
            m->need_iotlb = true;
        m->need_cc = false;
        return;
    }
    FOR_EACH_BACK(m, MODEL_C_CONTEXT, i, e)
    {
        bool of_sid = !((e->sid ^ sid) & ~fm_mask[fm & 3]);
        bool of_did = e->did == did;

        if (g == 2 ? of_did : of_sid && (of_did || !legacy || m->cfg.any_ctx_did))
            mdl_drop(m, MODEL_C_CONTEXT, i);
    }
}

/* Input pages first..last of a page-selective request; AM of 52 and more is everything. */
static void page_range(u64 addr, unsigned am, u64 *first, u64 *last)
{
    u64 page = addr >> 12;

    if (am >= 52) {
        *first = 0;
        *last = ~0ull >> 12;
        return;
    }
    *first = page & ~(B(am) - 1);
    *last = page | (B(am) - 1);
}

static bool paging_overlaps(u64 key, u64 first, u64 last)
{
    unsigned shift = 9 * (mdl_bits(key, 47, 45) - 1);
    u64 page = mdl_bits(key, 44, 0) << shift;

    return page <= last && page + (B(shift) - 1) >= first;
}

static void drop_leaves(struct model *m, u16 did, u64 first, u64 last, bool ih)
{
    struct mdl_ent *e;

    if (last - first < m->cache[MODEL_C_IOTLB].n) {
        for (u64 page = first; page <= last; page++) {
            u64 key = mdl_key_page(did, page << 12);

            for (e = mdl_first(m, MODEL_C_IOTLB, key); e;) {
                struct mdl_ent *next;

                if ((e->v0 & TLB_NONLEAF) && ih) {
                    e = mdl_next(m, MODEL_C_IOTLB, e);
                    continue;
                }
                mdl_drop(m, MODEL_C_IOTLB, e - m->cache[MODEL_C_IOTLB].e);
                next = mdl_first(m, MODEL_C_IOTLB, key);
                e = next;
            }
        }
        return;
    }
    FOR_EACH_BACK(m, MODEL_C_IOTLB, i, e)
    {
        u64 page = mdl_bits(e->key, 44, 0);

        if (e->did == did && page >= first && page <= last && !((e->v0 & TLB_NONLEAF) && ih))
            mdl_drop(m, MODEL_C_IOTLB, i);
    }
}

static void drop_domain(struct model *m, enum model_class class, u16 did)
{
    struct mdl_ent *e;

    FOR_EACH_BACK(m, class, i, e)
    if (e->did == did)
        mdl_drop(m, class, i);
}

/* 6.5.2.2; for the register 11.4.8.1. */
void mdl_inv_iotlb(struct model *m, unsigned g, u16 did, u64 addr, unsigned am, bool ih, bool dr, bool dw)
{
    u64 first = 0, last = ~0ull >> 12;
    struct mdl_ent *e;

    mdl_write_buffer_flush(m);
    did &= m->did_mask;
    /* From major version 2 on draining is not a matter of choice. */
    dr = VER_MAJOR(m) >= 2 || dr || !CAP_DRD(m);
    dw = VER_MAJOR(m) >= 2 || dw || !CAP_DWD(m);
    /* Without PSI a page-selective request covers the whole domain. */
    if (g == 3 && !CAP_PSI(m))
        g = 2;
    switch (g) {
    case 1:
        mdl_drop_all(m, MODEL_C_IOTLB);
        mdl_drop_all(m, MODEL_C_PAGING);
        if (!m->need_cc)
            m->need_iotlb = false;
        break;
    case 2:
        drop_domain(m, MODEL_C_IOTLB, did);
        drop_domain(m, MODEL_C_PAGING, did);
        break;
    default:
        page_range(addr, am, &first, &last);
        drop_leaves(m, did, first, last, ih);
        /* IH=1: the software promises that only leaves changed, so entries above them may stay. */
        if (ih)
            break;
        FOR_EACH_BACK(m, MODEL_C_PAGING, i, e)
        if (e->did == did && paging_overlaps(e->key, first, last))
            mdl_drop(m, MODEL_C_PAGING, i);
    }
    mdl_drain(m, g == 1, did, first, last, dr, dw);
}

/* 6.5.2.3, the device's side: ADDR and S give the range (PCIe ATS, invalidate request). */
void mdl_inv_dtlb(struct model_fn *fn, u64 addr, bool s)
{
    struct model *m = fn->m;
    u64 first = addr >> 12, last = first;
    struct mdl_ent *e;

    if (s) {
        unsigned ones = 0;

        while (ones < 51 && (first >> ones) & 1)
            ones++;
        if (ones >= 51) {
            first = 0;
            last = ~0ull >> 12;
        } else {
            last = first | (B(ones + 1) - 1);
            first &= ~(B(ones + 1) - 1);
        }
    }
    FOR_EACH_BACK(m, MODEL_C_DTLB, i, e)
    {
        u64 page = mdl_bits(e->key, 47, 0);

        if (e->sid == fn->cfg.sid && page >= first && page <= last)
            mdl_drop(m, MODEL_C_DTLB, i);
    }
    mdl_drain_fn(fn, first, last);
    mdl_trace(m, MODEL_EV_DTLB_FLUSH, fn->cfg.sid, first << 12, last - first + 1, NULL);
}

/* 6.5.2.4 */
void mdl_inv_iec(struct model *m, bool global, u16 index, unsigned im)
{
    struct mdl_ent *e;

    mdl_write_buffer_flush(m);
    if (global) {
        m->need_iec = false;
        mdl_drop_all(m, MODEL_C_IEC);
        return;
    }
    if (im > 16)
        im = 16;
    FOR_EACH_BACK(m, MODEL_C_IEC, i, e)
    if (!((e->key ^ index) >> im))
        mdl_drop(m, MODEL_C_IEC, i);
}

void mdl_inv_all(struct model *m)
{
    mdl_drop_all(m, MODEL_C_ROOT);
    mdl_drop_all(m, MODEL_C_CONTEXT);
    mdl_drop_all(m, MODEL_C_PASID);
    mdl_drop_all(m, MODEL_C_IOTLB);
    mdl_drop_all(m, MODEL_C_PAGING);
}
