/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The invalidation queue (6.5.2): fetch, execution in any order that the specification leaves open, waits,
 * and the three errors IQE, ICE and ITE.
 *
 * The head moves on fetch. A fetched descriptor stays in op[] until it is done, in queue order.
 */
#include "tests/model/model_int.h"

enum { IQEI_TAIL = 1, IQEI_FETCH, IQEI_TYPE, IQEI_RSVD, IQEI_WIDTH, IQEI_ALIGN, IQEI_TTM };

static bool wide(const struct model *m)
{
    return mdl_bits(m->iqa, 11, 11);
}

static u64 ring_bytes(const struct model *m)
{
    return 4096ull << mdl_bits(m->iqa, 2, 0);
}

static void queue_error(struct model *m, unsigned iqei)
{
    m->iqercd = (m->iqercd & ~0xfull) | iqei;
    mdl_violation(m, iqei == IQEI_TAIL || iqei == IQEI_ALIGN ? MODEL_V_TAIL : MODEL_V_DESCRIPTOR, iqei);
    mdl_trace(m, MODEL_EV_QUEUE_ERR, iqei, m->iqh, 0, NULL);
    mdl_fsts_set(m, F_IQE);
}

/*
 * The errors that concern the queue as a whole. The order between them is the specification's to leave open:
 * first what the registers say by themselves, with a tail whose reserved bit is set before one that is only
 * too large for this queue.
 */
static bool whole_error(struct model *m)
{
    if (TTM(m) == TTM_RESERVED)
        queue_error(m, IQEI_TTM);
    else if (wide(m) ? !ECAP_SMTS(m) && !ECAP_ADMS(m) : TTM(m) != TTM_LEGACY)
        queue_error(m, IQEI_WIDTH);
    else if (wide(m) && (m->iqt & 16))
        queue_error(m, IQEI_ALIGN);
    else if (m->iqt >= ring_bytes(m))
        queue_error(m, IQEI_TAIL);
    return FSTS(m, F_IQE);
}

static bool may_fetch(struct model *m)
{
    if (!GSTS(m, G_QIE) || FSTS(m, F_IQE) || FSTS(m, F_ITE) || m->nops >= m->cfg.pending || m->iqh == m->iqt)
        return false;
    return !whole_error(m);
}

bool mdl_queue_fetch(struct model *m)
{
    unsigned size = wide(m) ? 32 : 16, iqei;
    struct mdl_op *op = &m->op[m->nops];

    if (!may_fetch(m))
        return false;
    *op = (struct mdl_op){ .index = m->iqh / size };
    /* 6.5.2: queue and status accesses are coherent, whatever ECAP.C says of the tables. */
    if (!mdl_mem_read(m, (m->iqa & TLB_PA) + m->iqh, op->q, size)) {
        queue_error(m, IQEI_FETCH);
        return true;
    }
    iqei = mdl_desc_check(m, op->q, wide(m), &op->type);
    if (iqei) {
        queue_error(m, iqei);
        return true;
    }
    op->delay = mdl_delay(m);
    op->patient = op->type == D_PGRESP && mdl_rnd(m, 2);
    m->nops++;
    m->stats.fetched++;
    mdl_trace(m, MODEL_EV_FETCH, op->index, 0, 0, op->q);
    m->iqh = (m->iqh + size) & (ring_bytes(m) - 1);
    return true;
}

static void remove_op(struct model *m, unsigned i)
{
    m->nops--;
    for (; i < m->nops; i++)
        m->op[i] = m->op[i + 1];
}

static void complete_wait(struct model *m, const struct mdl_op *op)
{
    u32 data = op->q[0] >> 32;
    u64 addr = op->q[1] & ~3ull;

    m->stats.waits++;
    m->root_overdue |= m->need_cc || m->need_iotlb;
    if (mdl_bits(op->q[0], 7, 7))
        mdl_page_drain(m);
    /* The status is in memory before the interrupt leaves (6.5.2.5). */
    if (mdl_bits(op->q[0], 5, 5) && (mdl_irq_range(addr) || !mdl_mem_write(m, addr, &data, 4)))
        mdl_violation(m, MODEL_V_STATUS_ADDR, addr);
    if (mdl_bits(op->q[0], 4, 4) && !(m->ics & 1)) {
        m->ics |= 1;
        mdl_event_raise(m, EVENT_INV);
    }
    mdl_trace(m, MODEL_EV_WAIT, op->index, 0, 0, op->q);
}

/* What a descriptor other than a wait or a device-TLB request does. */
static void execute(struct model *m, const struct mdl_op *op)
{
    u64 q0 = op->q[0], q1 = op->q[1];

    switch (op->type) {
    case D_CONTEXT:
        mdl_inv_context(m, mdl_bits(q0, 5, 4), mdl_bits(q0, 31, 16), mdl_bits(q0, 47, 32),
                        mdl_bits(q0, 49, 48));
        break;
    case D_IOTLB:
        mdl_inv_iotlb(m, mdl_bits(q0, 5, 4), mdl_bits(q0, 31, 16), q1, mdl_bits(q1, 5, 0), mdl_bits(q1, 6, 6),
                      mdl_bits(q0, 7, 7), mdl_bits(q0, 6, 6));
        break;
    case D_PIOTLB:
        mdl_inv_piotlb(m, mdl_bits(q0, 5, 4), mdl_bits(q0, 31, 16), mdl_bits(q0, 51, 32), q1,
                       mdl_bits(q1, 5, 0), mdl_bits(q1, 6, 6));
        break;
    case D_PASID:
        mdl_inv_pasid(m, mdl_bits(q0, 5, 4), mdl_bits(q0, 31, 16), mdl_bits(q0, 51, 32));
        break;
    case D_PGRESP:
        mdl_page_response(m, op->q);
        break;
    case D_IEC:
        mdl_inv_iec(m, !mdl_bits(q0, 4, 4), mdl_bits(q0, 47, 32), mdl_bits(q0, 31, 27));
        break;
    }
    m->stats.completed++;
    mdl_trace(m, MODEL_EV_COMPLETE, op->index, 0, 0, op->q);
}

/* ---- Device TLB requests ------------------------------------------------------------------------ */

static bool is_dtlb(const struct mdl_op *op)
{
    return op->type == D_DTLB || op->type == D_PDTLB;
}

static u16 dtlb_sid(const u64 q[4])
{
    return mdl_bits(q[0], 3, 0) == D_PDTLB ? mdl_bits(q[0], 31, 16) : mdl_bits(q[0], 47, 32);
}

/* What the device does on receiving the request. */
static void dtlb_forget(struct model_fn *fn, const u64 q[4])
{
    if (mdl_bits(q[0], 3, 0) == D_PDTLB)
        mdl_inv_dtlb(fn, q[1] & TLB_PA, mdl_bits(q[1], 11, 11), mdl_bits(q[0], 51, 32) + 1, q[1] & 1);
    else
        mdl_inv_dtlb(fn, q[1] & TLB_PA, q[1] & 1, 0, fn->m->cfg.plain_takes_all);
}

static struct model_fn *dtlb_target(struct model *m, const u64 q[4])
{
    return model_fn_find(m, dtlb_sid(q));
}

/* Is what the unit holds still as old as what the device has just forgotten? */
static bool overtook(const struct model *m, const struct mdl_op *op)
{
    for (unsigned i = 0; i < m->nops && m->op[i].index != op->index; i++)
        if (m->op[i].type == D_CONTEXT || m->op[i].type == D_PASID || m->op[i].type == D_PIOTLB)
            return true;
    return false;
}

static void dtlb_execute(struct model *m, const struct mdl_op *op)
{
    struct model_fn *fn = dtlb_target(m, op->q);

    if (fn && fn->present)
        dtlb_forget(fn, op->q);
    if (fn && overtook(m, op)) /* there is no worse moment for it to ask again */
        mdl_fill_fn(fn);
    m->stats.completed++;
    mdl_trace(m, MODEL_EV_COMPLETE, op->index, 0, 0, op->q);
}

static void unexpected_completion(struct model *m, u16 sid)
{
    m->iqercd = (m->iqercd & ~(0xffffull << 48)) | ((u64)sid << 48);
    mdl_trace(m, MODEL_EV_ICE, sid, 0, 0, NULL);
    mdl_fsts_set(m, F_ICE);
}

static void judge_dtlb(struct model *m, const struct model_fn *fn, const u64 q[4])
{
    u16 pfsid = mdl_bits(q[0], 15, 12) | mdl_bits(q[0], 63, 52) << 4;
    unsigned mip = mdl_bits(q[0], 3, 0) == D_PDTLB ? mdl_bits(q[0], 8, 4) : mdl_bits(q[0], 20, 16);
    unsigned depth = fn->cfg.qdep ? fn->cfg.qdep : 32;

    if (ECAP_DIT(m) && pfsid != (fn->cfg.pfsid ? fn->cfg.pfsid : fn->cfg.sid))
        mdl_violation(m, MODEL_V_DTLB_FIELDS, q[0]);
    if ((mip ? mip : 32) > depth)
        mdl_violation(m, MODEL_V_DTLB_FIELDS, q[0]);
}

/* Sends the request. Returns true if the answer is there already. */
static bool dtlb_send(struct model *m, struct mdl_op *op)
{
    struct model_fn *fn = dtlb_target(m, op->q);

    op->state = OP_SENT;
    if (!fn || !fn->present || !fn->cfg.ats) {
        mdl_violation(m, MODEL_V_DTLB_TARGET, dtlb_sid(op->q));
        op->answer = MODEL_ANSWER_NEVER;
        op->timer = m->cfg.ite_steps;
        return false;
    }
    judge_dtlb(m, fn, op->q);
    op->answer = fn->cfg.answer;
    switch (op->answer) {
    case MODEL_ANSWER_SLOW:
        op->timer = fn->cfg.answer_steps;
        return !op->timer;
    case MODEL_ANSWER_LOST:
        dtlb_forget(fn, op->q);
        op->timer = m->cfg.ite_steps;
        return false;
    case MODEL_ANSWER_NEVER:
    case MODEL_ANSWER_LATE:
        op->timer = m->cfg.ite_steps;
        return false;
    case MODEL_ANSWER_BOGUS:
        unexpected_completion(m, dtlb_sid(op->q));
        return true;
    default:
        return true;
    }
}

static void expect_late_answer(struct model *m, const struct mdl_op *op)
{
    struct model_fn *fn = dtlb_target(m, op->q);

    for (unsigned i = 0; fn && op->answer == MODEL_ANSWER_LATE && i < LATES; i++) {
        if (m->late[i].used)
            continue;
        m->late[i] = (struct mdl_late){ .used = true, .timer = fn->cfg.answer_steps + 1 };
        mdl_copy(m->late[i].q, op->q, sizeof(op->q));
        return;
    }
}

/*
 * 6.5.2.11: all pending waits are aborted; what is pending from the oldest device-TLB request on may have
 * been executed or not, so chance decides; fetching stops until ITE is cleared.
 */
static void time_out(struct model *m, unsigned victim)
{
    u16 sid = dtlb_sid(m->op[victim].q);
    unsigned oldest = 0;

    m->iqercd = (m->iqercd & ~(0xffffull << 32)) | (m->cfg.ite_no_sid ? 0 : (u64)sid << 32);
    mdl_trace(m, MODEL_EV_ITE, sid, 0, 0, NULL);
    while (!is_dtlb(&m->op[oldest]))
        oldest++;
    for (unsigned i = m->nops; i-- > 0;) {
        struct mdl_op op = m->op[i];

        if (op.type != D_WAIT && i < oldest)
            continue;
        remove_op(m, i);
        mdl_trace(m, MODEL_EV_ABORT, op.index, 0, 0, op.q);
        if (is_dtlb(&op) && op.state == OP_SENT)
            expect_late_answer(m, &op);
        else if (is_dtlb(&op) && mdl_rnd(m, 2) && dtlb_send(m, &op))
            dtlb_execute(m, &op);
        else if (!is_dtlb(&op) && op.type != D_WAIT && mdl_rnd(m, 2))
            execute(m, &op);
    }
    mdl_fsts_set(m, F_ITE);
}

static bool pass_late(struct model *m)
{
    bool moved = false;

    for (unsigned i = 0; i < LATES; i++) {
        struct mdl_late *l = &m->late[i];
        struct mdl_op op = { .type = D_DTLB };

        if (!l->used)
            continue;
        moved = true;
        if (--l->timer)
            continue;
        l->used = false;
        mdl_copy(op.q, l->q, sizeof(op.q));
        dtlb_execute(m, &op);
        unexpected_completion(m, dtlb_sid(l->q));
    }
    return moved;
}

/* ---- Progress ----------------------------------------------------------------------------------- */

static bool eligible(const struct model *m, unsigned i)
{
    const struct mdl_op *op = &m->op[i];

    if (op->delay || op->state != OP_WAITING)
        return false;
    for (unsigned j = 0; j < i; j++)
        if (op->patient || mdl_desc_before(&m->op[j], op))
            return false;
    return true;
}

bool mdl_queue_finish(struct model *m)
{
    u8 may[OPS];
    unsigned n = 0, i;
    struct mdl_op op;

    for (i = 0; i < m->nops; i++)
        if (eligible(m, i))
            may[n++] = i;
    if (!n)
        return false;
    i = may[mdl_rnd(m, n)];
    if (is_dtlb(&m->op[i])) {
        if (!dtlb_send(m, &m->op[i]))
            return true;
        op = m->op[i];
        dtlb_execute(m, &op);
    } else {
        op = m->op[i];
        if (op.type == D_WAIT)
            complete_wait(m, &op);
        else
            execute(m, &op);
    }
    remove_op(m, i);
    return true;
}

bool mdl_queue_pass(struct model *m)
{
    bool moved = pass_late(m);

    for (unsigned i = 0; i < m->nops; i++) {
        struct mdl_op *op = &m->op[i];

        if (op->delay) {
            op->delay--;
            moved = true;
        }
        if (op->state != OP_SENT || !op->timer)
            continue;
        moved = true;
        if (--op->timer)
            continue;
        if (op->answer != MODEL_ANSWER_SLOW) {
            time_out(m, i);
            break;
        }
        dtlb_execute(m, op);
        remove_op(m, i--);
    }
    return moved;
}

/* A lone step of the random order: fetching some before finishing some lets neighbours overtake. */
void mdl_queue_pump(struct model *m)
{
    bool moved = true;

    /* The interrupt of a wait may lead the software straight back to the tail register. */
    if (m->pumping)
        return;
    m->pumping = true;
    while (moved) {
        moved = false;
        for (unsigned n = 1 + mdl_rnd(m, 8); n && mdl_queue_fetch(m); n--)
            moved = true;
        moved |= mdl_queue_finish(m);
        mdl_speculate(m);
    }
    m->pumping = false;
}

bool mdl_queue_pending(const struct model *m)
{
    return m->nops || (GSTS(m, G_QIE) && !FSTS(m, F_IQE) && !FSTS(m, F_ITE) && m->iqh != m->iqt);
}

void mdl_queue_tail(struct model *m)
{
    m->stats.tails++;
    /* A tail that cannot be is an error at once, not when the head gets there. */
    if (GSTS(m, G_QIE) && !FSTS(m, F_IQE) && m->iqh != m->iqt)
        (void)whole_error(m);
    if (m->cfg.pace == MODEL_PACE_AT_ONCE)
        mdl_queue_pump(m);
}

void mdl_queue_enable(struct model *m, bool on)
{
    if (on) {
        if (m->iqt)
            mdl_violation(m, MODEL_V_QIE_TAIL, m->iqt);
        if ((m->ccmd | m->iotlb) & B(63))
            mdl_violation(m, MODEL_V_REG_INV_BUSY, 0);
        m->gsts |= 1u << G_QIE;
        if (m->cfg.pace == MODEL_PACE_AT_ONCE)
            mdl_queue_pump(m);
        return;
    }
    if (mdl_queue_pending(m))
        mdl_violation(m, MODEL_V_QIE_BUSY, m->nops);
    for (unsigned i = 0; i < m->nops; i++)
        m->op[i].delay = 0;
    while (mdl_queue_finish(m))
        ;
    m->nops = 0;
    m->gsts &= ~(1u << G_QIE);
    m->iqh = 0;
}
