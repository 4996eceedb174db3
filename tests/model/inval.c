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

/* Pages as the keys have them: PAGE_BITS wide, so that canonical addresses compare. */
static bool within(u64 page, u64 pages, u64 first, u64 last)
{
    const u64 mask = B(PAGE_BITS) - 1;

    if (last - first >= mask)
        return true;
    return page <= (last & mask) && page + (pages - 1) >= (first & mask);
}

static bool paging_within(u64 key, u64 first, u64 last)
{
    unsigned shift = 9 * (mdl_bits(key, 47, 45) - 1);

    return within(mdl_bits(key, 44, 0) << shift, B(shift), first, last);
}

static void drop_leaf_page(struct model *m, u64 key, u32 tag, bool ih)
{
    struct mdl_cache *c = &m->cache[MODEL_C_IOTLB];
    struct mdl_ent *e = mdl_first(m, MODEL_C_IOTLB, key, tag);

    while (e) {
        if ((e->v0 & TLB_NONLEAF) && ih) {
            e = mdl_next(m, MODEL_C_IOTLB, e);
            continue;
        }
        mdl_drop(m, MODEL_C_IOTLB, e - c->e);
        e = mdl_first(m, MODEL_C_IOTLB, key, tag);
    }
}

/* Leaves of one tag in a range. */
static void drop_leaves(struct model *m, u16 did, u32 tag, u64 first, u64 last, bool ih)
{
    struct mdl_ent *e;

    if (last - first < m->cache[MODEL_C_IOTLB].n / 4) {
        for (u64 page = first; page <= last; page++)
            drop_leaf_page(m, mdl_key_page(did, page << 12), tag, ih);
        return;
    }
    FOR_EACH_BACK(m, MODEL_C_IOTLB, i, e)
    {
        if (e->did == did && e->tag == tag && within(mdl_bits(e->key, 44, 0), 1, first, last) &&
            !((e->v0 & TLB_NONLEAF) && ih))
            mdl_drop(m, MODEL_C_IOTLB, i);
    }
}

/* Entries above the leaves, of one tag, that lead into a range. */
static void drop_paging(struct model *m, u16 did, u32 tag, u64 first, u64 last)
{
    struct mdl_ent *e;

    FOR_EACH_BACK(m, MODEL_C_PAGING, i, e)
    {
        if (e->did == did && e->tag == tag && paging_within(e->key, first, last))
            mdl_drop(m, MODEL_C_PAGING, i);
    }
}

/* Everything of a domain: of one kind, or (-1) of all. */
static void drop_domain(struct model *m, enum model_class class, u16 did, int kind)
{
    struct mdl_ent *e;

    FOR_EACH_BACK(m, class, i, e)
    {
        if (e->did == did && (kind < 0 || e->tag >> 20 == (u32)kind))
            mdl_drop(m, class, i);
    }
}

/* A page-selective request: precise for second stage and pass-through, while first-stage and nested
 * entries of the domain all go, whatever their address. */
static void drop_pages(struct model *m, u16 did, u64 first, u64 last, bool ih)
{
    struct mdl_ent *e;

    drop_leaves(m, did, TAG(KIND_SS, 0), first, last, ih);
    /* IH=1: the software promises that only leaves changed, so entries above them may stay. */
    if (!ih)
        drop_paging(m, did, TAG(KIND_SS, 0), first, last);
    if (TTM(m) == TTM_LEGACY)
        return;
    FOR_EACH_BACK(m, MODEL_C_IOTLB, i, e)
    {
        if (e->did == did && e->tag >> 20 == KIND_PT && within(mdl_bits(e->key, 44, 0), 1, first, last))
            mdl_drop(m, MODEL_C_IOTLB, i);
    }
    drop_domain(m, MODEL_C_IOTLB, did, KIND_FS);
    drop_domain(m, MODEL_C_PAGING, did, KIND_FS);
}

/* 6.5.2.2; for the register 11.4.8.1. */
void mdl_inv_iotlb(struct model *m, unsigned g, u16 did, u64 addr, unsigned am, bool ih, bool dr, bool dw)
{
    struct mdl_drain d = { .any_did = g == 1, .any_tag = true, .fs_whole = true, .last = ~0ull >> 12 };

    mdl_write_buffer_flush(m);
    d.did = did & m->did_mask;
    /* From major version 2 on draining is not a matter of choice. */
    d.reads = VER_MAJOR(m) >= 2 || dr || !CAP_DRD(m);
    d.writes = VER_MAJOR(m) >= 2 || dw || !CAP_DWD(m);
    /* Without PSI a page-selective request covers the whole domain. */
    if (g == 3 && !CAP_PSI(m))
        g = 2;
    switch (g) {
    case 1:
        mdl_drop_all(m, MODEL_C_IOTLB);
        mdl_drop_all(m, MODEL_C_PAGING);
        if (!m->need_cc)
            m->need_iotlb = m->root_overdue = false;
        break;
    case 2:
        drop_domain(m, MODEL_C_IOTLB, d.did, -1);
        drop_domain(m, MODEL_C_PAGING, d.did, -1);
        break;
    default:
        page_range(addr, am, &d.first, &d.last);
        drop_pages(m, d.did, d.first, d.last, ih);
    }
    mdl_drain(m, &d);
}

/* 6.5.2.6: first-stage, nested and pass-through entries of one PASID. It always drains. */
void mdl_inv_piotlb(struct model *m, unsigned g, u16 did, u32 pasid, u64 addr, unsigned am, bool ih)
{
    struct mdl_drain d = { .reads = true, .writes = true, .last = ~0ull >> 12 };
    const u32 tags[2] = { TAG(KIND_FS, pasid), TAG(KIND_PT, pasid) };

    mdl_write_buffer_flush(m);
    d.did = did & m->did_mask;
    if (g == 3)
        page_range(addr, am, &d.first, &d.last);
    for (unsigned i = 0; i < 2; i++) {
        drop_leaves(m, d.did, tags[i], d.first, d.last, false);
        if (g != 3 || !ih)
            drop_paging(m, d.did, tags[i], d.first, d.last);
        d.tag = tags[i];
        mdl_drain(m, &d);
    }
}

/* 6.5.2.7 */
void mdl_inv_pasid(struct model *m, unsigned g, u16 did, u32 pasid)
{
    struct mdl_ent *e;

    mdl_write_buffer_flush(m);
    did &= m->did_mask;
    FOR_EACH_BACK(m, MODEL_C_PASID, i, e)
    {
        u32 number = e->key;
        bool drop = g == 3;

        if (e->tag == DIR_TAG) {
            /* A directory entry belongs to no domain, so any request that may concern it takes it. */
            drop |= g == 0 || number == pasid >> 6;
        } else if (g == 0) {
            drop = e->did == did;
        } else if (g == 1) {
            /* An entry cached while it was faulty (CM=1) has no domain that the software could name. */
            drop = number == pasid && (e->did == did || e->v0 >> 56);
        }
        if (drop)
            mdl_drop(m, MODEL_C_PASID, i);
    }
}

/* 6.5.2.3, the device's side: ADDR and S give the range (PCIe ATS, invalidate request). */
void mdl_inv_dtlb(struct model_fn *fn, u64 addr, bool s, u32 tag, bool any)
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
    if (!any && last - first < 16) {
        for (u64 page = first; page <= last; page++) {
            u64 key = mdl_key_page(fn->index, page << 12);

            while ((e = mdl_first(m, MODEL_C_DTLB, key, tag)))
                mdl_drop(m, MODEL_C_DTLB, e - m->cache[MODEL_C_DTLB].e);
        }
    } else {
        FOR_EACH_BACK(m, MODEL_C_DTLB, i, e)
        {
            if (e->sid == fn->cfg.sid && (any || e->tag == tag) &&
                within(mdl_bits(e->key, PAGE_BITS - 1, 0), 1, first, last))
                mdl_drop(m, MODEL_C_DTLB, i);
        }
    }
    mdl_drain_fn(fn, first, last, tag, any);
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
