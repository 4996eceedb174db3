/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fault records, fault status and the three event messages (7.3, 7.4, 11.4.9 to 11.4.14).
 */
#include "tests/model/model_int.h"

#define CTL_IM (1u << 31)
#define CTL_IP (1u << 30)

#define STATUS_BITS ((1u << F_PFO) | (1u << F_PPF) | (1u << F_IQE) | (1u << F_ICE) | (1u << F_ITE))
#define RW1C_BITS   (STATUS_BITS & ~(1u << F_PPF))

void mdl_event_try(struct model *m, unsigned which)
{
    struct mdl_event *ev = &m->ev[which];
    u64 addr = ((u64)ev->uaddr << 32) | ev->addr;

    if (!(ev->ctl & CTL_IP) || (ev->ctl & CTL_IM))
        return;
    ev->ctl &= ~CTL_IP;
    if (!mdl_irq_range(ev->addr))
        mdl_violation(m, MODEL_V_EVENT_ADDR, addr);
    m->ops.interrupt(m->ops.ctx, addr, ev->data);
}

void mdl_event_raise(struct model *m, unsigned which)
{
    m->ev[which].ctl |= CTL_IP;
    mdl_event_try(m, which);
}

/* 11.4.10: a condition is new only if no status bit was set before it. */
void mdl_fsts_set(struct model *m, unsigned bit)
{
    bool was_quiet = !(m->fsts & STATUS_BITS);

    m->fsts |= 1u << bit;
    if (was_quiet)
        mdl_event_raise(m, EVENT_FAULT);
}

/* When the software has serviced everything, a message that is still held back is obsolete. */
static void settle(struct model *m)
{
    if (!(m->fsts & STATUS_BITS))
        m->ev[EVENT_FAULT].ctl &= ~CTL_IP;
}

void mdl_fsts_write(struct model *m, u32 value)
{
    u32 cleared = m->fsts & value & RW1C_BITS;

    m->fsts &= ~cleared;
    settle(m);
    if ((cleared & ((1u << F_IQE) | (1u << F_ITE))) && m->cfg.pace == MODEL_PACE_AT_ONCE)
        mdl_queue_pump(m);
}

/* 7.2.1: these respect the FPD bit of the entry that was used; the others were found before there was one. */
bool mdl_fault_qualified(u8 reason)
{
    switch (reason) {
    case FR_ROOT_NP:
    case FR_ROOT_ACCESS:
    case FR_CTX_ACCESS:
    case FR_ROOT_RSVD:
    case FR_CTX_RSVD:
    case FR_IR_REQ_RSVD:
    case FR_IR_INDEX:
    case FR_IR_ACCESS:
    case FR_IR_COMPAT:
    case FR_S_DIR_ACCESS:
    case FR_S_PASID_ACCESS:
        return false;
    default:
        return reason < FR_TTM || reason >= FR_S_CTX_NP;
    }
}

static bool has_record(const struct model *m, u16 sid)
{
    for (unsigned i = 0; i < CAP_NFR(m) && i < FRCDS; i++)
        if ((m->frcd[i][1] & B(63)) && mdl_bits(m->frcd[i][1], 15, 0) == sid)
            return true;
    return false;
}

/* `addr` is the input address, or the interrupt index in 63:48. */
void mdl_fault(struct model *m, u8 reason, const struct model_req *req, u64 addr)
{
    u64 *r = m->frcd[m->frcd_next];

    m->stats.faults++;
    mdl_trace(m, MODEL_EV_FAULT, reason, req->sid, addr, NULL);
    /* 7.4.1: while PFO is set nothing is recorded. */
    if (FSTS(m, F_PFO) || (m->cfg.compress && has_record(m, req->sid)))
        return;
    if (r[1] & B(63)) {
        mdl_fsts_set(m, F_PFO);
        return;
    }
    r[0] = addr & ~0xfffull;
    r[1] = req->sid | (req->write ? 0 : B(62)) | ((u64)req->at << 60) | ((u64)reason << 32) | B(63);
    if (req->has_pasid)
        r[1] |= (u64)req->pasid << 40 | B(31) | (u64)req->exe << 30 | (u64)req->priv << 29;
    if (!FSTS(m, F_PPF)) {
        m->fsts = (m->fsts & ~0xff00u) | (u32)m->frcd_next << 8;
        mdl_fsts_set(m, F_PPF);
    }
    m->frcd_next = (m->frcd_next + 1) % CAP_NFR(m);
}

void model_fault(struct model *m, u8 reason, const struct model_req *req)
{
    mdl_fault(m, reason, req, req->addr);
}

void mdl_frcd_clear(struct model *m, unsigned index)
{
    m->frcd[index][1] &= ~B(63);
    for (unsigned i = 0; i < CAP_NFR(m) && i < FRCDS; i++)
        if (m->frcd[i][1] & B(63))
            return;
    m->fsts &= ~(1u << F_PPF);
    settle(m);
}
