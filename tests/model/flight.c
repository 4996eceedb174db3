/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DMA in flight: translated already, not yet in memory. It lands when it likes, but not after an
 * invalidation that must drain it has been reported done (6.5.4).
 */
#include "tests/model/model_int.h"

struct model_result model_fn_dma_begin(struct model_fn *fn, uint64_t iova, uint32_t len, bool write,
                                       const void *buf)
{
    return model_fn_dma_begin_pasid(fn, NO_PASID, iova, len, write, buf);
}

struct model_result model_fn_dma_begin_pasid(struct model_fn *fn, uint32_t pasid, uint64_t iova, uint32_t len,
                                             bool write, const void *buf)
{
    struct model *m = fn->m;
    struct model_req req = mdl_request(fn, pasid, iova, len, write);
    struct mdl_target t;

    if (len > sizeof(m->flight[0].data) || (iova & 0xfff) + len > 4096 || mdl_irq_range(iova))
        return (struct model_result){ .status = MODEL_BLOCKED, .pa = iova };
    if (m->nflights == FLIGHTS)
        mdl_flight_land_one(m);
    t = mdl_aim(fn, &req);
    for (unsigned i = 0; t.r.status == MODEL_OK && i < FLIGHTS; i++) {
        struct mdl_flight *f = &m->flight[i];

        if (f->used)
            continue;
        *f = (struct mdl_flight){ .used = true, .write = write, .translated = t.translated, .fn = fn->index };
        f->did = t.used.did;
        f->tag = t.used.tag;
        f->pasid = pasid;
        f->sid = fn->cfg.sid;
        f->len = len;
        f->iova = iova;
        f->pa = t.r.pa;
        if (write)
            mdl_copy(f->data, buf, len);
        m->nflights++;
        break;
    }
    return t.r;
}

static void land(struct model *m, struct mdl_flight *f)
{
    struct model_req req = { .sid = f->sid, .write = f->write, .addr = f->iova, .len = f->len };

    f->used = false;
    m->nflights--;
    (void)mdl_access(m, &req, f->pa, f->data);
}

bool mdl_flight_land_one(struct model *m)
{
    unsigned start = mdl_rnd(m, FLIGHTS);

    for (unsigned i = 0; m->nflights && i < FLIGHTS; i++) {
        struct mdl_flight *f = &m->flight[(start + i) % FLIGHTS];

        if (!f->used)
            continue;
        land(m, f);
        return true;
    }
    return false;
}

void model_fn_land(struct model_fn *fn)
{
    struct model *m = fn->m;

    for (unsigned i = 0; i < FLIGHTS; i++)
        if (m->flight[i].used && m->flight[i].fn == fn->index)
            land(m, &m->flight[i]);
}

static bool drained_by(const struct mdl_flight *f, const struct mdl_drain *d)
{
    u64 page = f->iova >> 12;

    if (!f->used || f->translated || !(f->write ? d->writes : d->reads))
        return false;
    if (d->any_did)
        return true;
    if (f->did != d->did || (!d->any_tag && f->tag != d->tag))
        return false;
    return (page >= d->first && page <= d->last) || (d->fs_whole && f->tag >> 20 == KIND_FS);
}

/* 6.5.4: an invalidation with DR or DW is not done before the covered untranslated requests are. */
void mdl_drain(struct model *m, const struct mdl_drain *d)
{
    for (unsigned i = 0; m->nflights && i < FLIGHTS; i++) {
        if (!drained_by(&m->flight[i], d))
            continue;
        m->stats.drained++;
        land(m, &m->flight[i]);
    }
}

/* Translated requests are drained by the device, before it completes an invalidation that covers them. */
void mdl_drain_fn(struct model_fn *fn, u64 first, u64 last, u32 tag, bool any)
{
    struct model *m = fn->m;

    for (unsigned i = 0; m->nflights && i < FLIGHTS; i++) {
        struct mdl_flight *f = &m->flight[i];

        if (!f->used || !f->translated || f->fn != fn->index || (!any && f->pasid + 1 != tag))
            continue;
        if (f->iova >> 12 < first || f->iova >> 12 > last)
            continue;
        m->stats.drained++;
        land(m, f);
    }
}

unsigned model_inflight(struct model *m, struct model_flight *out, unsigned max)
{
    unsigned n = 0;

    for (unsigned i = 0; i < FLIGHTS; i++) {
        const struct mdl_flight *f = &m->flight[i];

        if (!f->used)
            continue;
        if (n < max)
            out[n] = (struct model_flight){ .sid = f->sid,
                                            .write = f->write,
                                            .translated = f->translated,
                                            .pasid = f->pasid,
                                            .iova = f->iova,
                                            .pa = f->pa,
                                            .len = f->len };
        n++;
    }
    return n;
}
