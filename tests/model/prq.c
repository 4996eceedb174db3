/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page requests (7.5): requests of functions go into a queue in memory, responses come back through the
 * invalidation queue.
 */
#include "tests/model/model_int.h"

enum { PRS_PPR = 1, PRS_PRO = 2 };

static u64 ring_bytes(const struct model *m)
{
    return 4096ull << mdl_bits(m->pqa, 2, 0);
}

static void status(struct model *m, u32 bit)
{
    bool quiet = !m->prs;

    m->prs |= bit;
    if (quiet)
        mdl_event_raise(m, EVENT_PAGE);
}

void mdl_prs_write(struct model *m, u32 value)
{
    m->prs &= ~(value & (PRS_PPR | PRS_PRO));
    if (!m->prs)
        m->ev[EVENT_PAGE].ctl &= ~(1u << 30);
}

/* 7.5.1: what the unit answers by itself when it cannot pass the request on. */
static void respond(struct model_fn *fn, u32 pasid, u16 group, u8 code)
{
    fn->responses++;
    fn->response = (struct model_page_response){ .pasid = pasid, .group = group, .code = code };
}

/* What finds no room the unit answers by itself. */
static bool enqueue(struct model *m, struct model_fn *fn, const u64 e[4])
{
    if ((m->prs & PRS_PRO) || ((m->pqt + 32) & (ring_bytes(m) - 1)) == m->pqh) {
        status(m, PRS_PRO);
        if (e[1] & B(2))
            respond(fn, e[0] & B(8) ? (u32)mdl_bits(e[0], 51, 32) : NO_PASID, mdl_bits(e[1], 11, 3), 0);
        return false;
    }
    if (!mdl_mem_write(m, (m->pqa & TLB_PA) + m->pqt, e, 32)) {
        mdl_violation(m, MODEL_V_STATUS_ADDR, m->pqa);
        return false;
    }
    m->pqt = (m->pqt + 32) & (ring_bytes(m) - 1);
    status(m, PRS_PPR);
    return true;
}

bool model_fn_page_request(struct model_fn *fn, const struct model_page_request *r)
{
    struct model *m = fn->m;
    struct mdl_who who = { .sid = fn->cfg.sid, .pasid = r->pasid };
    struct model_req req = { .sid = fn->cfg.sid, .write = r->write, .addr = r->addr };
    struct mdl_path p;
    u64 e[4] = { 1, 0, 0, 0 };
    u8 reason = 0;

    req.has_pasid = r->pasid != NO_PASID;
    req.pasid = req.has_pasid ? r->pasid : 0;
    mdl_path(m, VIEW_UNIT, &who, r->addr, false, &p);
    if (!GSTS(m, G_TE) || !ECAP_PRS(m))
        reason = FR_S_PRE;
    else if (TTM(m) == TTM_LEGACY)
        reason = FR_TTM_PRQ;
    else if (!p.has_ctx || p.c.reason)
        reason = p.s.reason;
    else if (!p.c.pre)
        reason = FR_S_PRE;
    if (reason) {
        mdl_fault(m, reason, &req, r->addr);
        respond(fn, r->pasid, r->group, 1);
        return false;
    }
    e[0] |= (u64)fn->cfg.sid << 16;
    if (req.has_pasid)
        e[0] |= B(8) | (u64)r->pasid << 32;
    e[1] = (r->addr & ~0xfffull) | (u64)(r->group & 0x1ff) << 3 | (u64)r->last << 2 | (u64)r->write << 1 |
           r->read;
    if (m->nasked == ASKED)
        mdl_page_drain(m);
    if (!m->holds_asked)
        return enqueue(m, fn, e);
    m->asked[m->nasked++] = (struct mdl_asked){ fn, { e[0], e[1] } };
    return true;
}

void mdl_page_drain(struct model *m)
{
    for (unsigned i = 0; i < m->nasked; i++) {
        u64 e[4] = { m->asked[i].e[0], m->asked[i].e[1] };

        if (!enqueue(m, m->asked[i].fn, e))
            mdl_trace(m, MODEL_EV_PAGE_AGAIN, 0, 0, 0, e);
    }
    m->nasked = 0;
}

void model_hold_page_requests(struct model *m, bool hold)
{
    m->holds_asked = hold;
    if (!hold)
        mdl_page_drain(m);
}

void mdl_page_response(struct model *m, const u64 q[4])
{
    struct model_fn *fn = model_fn_find(m, mdl_bits(q[0], 31, 16));

    if (fn)
        respond(fn, mdl_bits(q[0], 4, 4) ? (u32)mdl_bits(q[0], 51, 32) : NO_PASID, mdl_bits(q[1], 11, 3),
                mdl_bits(q[0], 15, 12));
}

unsigned model_fn_responses(const struct model_fn *fn, struct model_page_response *last)
{
    if (last)
        *last = fn->response;
    return fn->responses;
}
