/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GCMD, and the register-based invalidations that serve while the queue is off (6.5.1, 11.4.4, 11.4.7,
 * 11.4.8).
 */
#include "tests/model/model_int.h"

#define TOGGLES  ((1u << G_TE) | (1u << G_QIE) | (1u << G_IRE) | (1u << G_CFI))
#define COMMANDS ((1u << G_SRTP) | (1u << G_SIRTP) | (1u << G_WBF))

static void set_root(struct model *m)
{
    unsigned ttm = mdl_bits(m->rtaddr, 11, 10);

    if (ttm == TTM_RESERVED || (ttm == TTM_SCALABLE && !ECAP_SMTS(m)) ||
        (ttm == TTM_ABORT && !ECAP_ADMS(m)) || (GSTS(m, G_TE) && ttm != TTM(m) && !CAP_ESRTPS(m)))
        mdl_violation(m, MODEL_V_TTM, m->rtaddr);
    m->rtaddr_live = m->rtaddr;
    m->rooted = true;
    m->gsts |= 1u << G_SRTP;
    /* 6.6: with ESRTPS the unit flushes its own caches, never a device's. */
    if (CAP_ESRTPS(m))
        mdl_inv_all(m);
    else
        m->need_cc = m->need_iotlb = true;
    m->root_overdue = false;
}

static void set_translation(struct model *m, bool on)
{
    if (on && !m->rooted)
        mdl_violation(m, MODEL_V_TE_NO_ROOT, 0);
    if (on && (m->need_cc || m->need_iotlb))
        mdl_violation(m, MODEL_V_ROOT_NO_FLUSH, 0);
    m->gsts = on ? m->gsts | 1u << G_TE : m->gsts & ~(1u << G_TE);
    if (!on && ECAP_SMTS(m))
        mdl_inv_all(m);
}

static void set_bit(struct model *m, unsigned bit, bool on)
{
    m->gsts = on ? m->gsts | 1u << bit : m->gsts & ~(1u << bit);
}

static void finish(struct model *m)
{
    u32 op = m->gcmd_op, value = m->gcmd_value;

    m->gcmd_op = 0;
    if (op & (1u << G_SRTP))
        set_root(m);
    if (op & (1u << G_WBF)) {
        mdl_write_buffer_flush(m);
        set_bit(m, G_WBF, false);
    }
    if (op & (1u << G_SIRTP)) {
        m->irta_live = m->irta;
        set_bit(m, G_SIRTP, true);
        if (CAP_ESIRTPS(m))
            mdl_drop_all(m, MODEL_C_IEC);
        else
            m->need_iec = true;
    }
    if (op & (1u << G_IRE)) {
        if ((value & (1u << G_IRE)) && (!GSTS(m, G_SIRTP) || m->need_iec))
            mdl_violation(m, MODEL_V_IRTA, m->irta_live);
        set_bit(m, G_IRE, value & (1u << G_IRE));
        if (!(value & (1u << G_IRE)) && CAP_ESIRTPS(m))
            mdl_drop_all(m, MODEL_C_IEC);
    }
    if (op & (1u << G_CFI))
        set_bit(m, G_CFI, value & (1u << G_CFI));
    if (op & (1u << G_QIE))
        mdl_queue_enable(m, value & (1u << G_QIE));
    if (op & (1u << G_TE))
        set_translation(m, value & (1u << G_TE));
}

static u32 offered(const struct model *m)
{
    u32 bits = (1u << G_TE) | (1u << G_SRTP);

    if (ECAP_QI(m))
        bits |= 1u << G_QIE;
    if (ECAP_IR(m))
        bits |= (1u << G_IRE) | (1u << G_SIRTP) | (1u << G_CFI);
    if (CAP_RWBF(m))
        bits |= 1u << G_WBF;
    return bits;
}

void mdl_gcmd(struct model *m, u32 value)
{
    u32 op = ((value ^ m->gsts) & TOGGLES) | (value & COMMANDS);

    if (m->gcmd_op) {
        mdl_violation(m, MODEL_V_GCMD_PENDING, value);
        finish(m);
        op = ((value ^ m->gsts) & TOGGLES) | (value & COMMANDS);
    }
    if (value & ~(TOGGLES | COMMANDS))
        mdl_violation(m, MODEL_V_RESERVED, value);
    if (op & ~offered(m))
        mdl_violation(m, MODEL_V_GCMD_UNSUPPORTED, value);
    op &= offered(m);
    if (op & (op - 1))
        mdl_violation(m, MODEL_V_GCMD_MANY, value);
    if (!op)
        return;
    /* RTPS and IRTPS go down with the command and come back when it is done; WBFS the other way round. */
    m->gsts &= ~(op & ((1u << G_SRTP) | (1u << G_SIRTP)));
    m->gsts |= op & (1u << G_WBF);
    m->gcmd_op = op;
    m->gcmd_value = value;
    m->gcmd_delay = mdl_delay(m);
    if (!m->gcmd_delay)
        finish(m);
}

/* ---- CCMD --------------------------------------------------------------------------------------- */

#define CCMD_ICC  B(63)
#define CCMD_CAIG (3ull << 59)

static void finish_ccmd(struct model *m)
{
    unsigned g = mdl_bits(m->ccmd, 62, 61);

    /* CAIG=00: an incorrect request, nothing was done (11.4.7.1). */
    m->ccmd &= ~(CCMD_ICC | CCMD_CAIG);
    if (VER_MAJOR(m) >= 6 || TTM(m) != TTM_LEGACY || !g)
        return;
    mdl_inv_context(m, g, mdl_bits(m->ccmd, 15, 0), mdl_bits(m->ccmd, 31, 16), mdl_bits(m->ccmd, 33, 32));
    m->ccmd |= (u64)g << 59;
}

void mdl_ccmd(struct model *m)
{
    if (!(m->ccmd & CCMD_ICC))
        return;
    if (!mdl_bits(m->ccmd, 62, 61))
        mdl_violation(m, MODEL_V_GRANULARITY, m->ccmd);
    if (VER_MAJOR(m) >= 6 || TTM(m) != TTM_LEGACY)
        mdl_violation(m, MODEL_V_REG_INV, m->ccmd);
    /* With the queue on it never completes: software that polls for it hangs, as it deserves. */
    if (GSTS(m, G_QIE)) {
        mdl_violation(m, MODEL_V_REG_INV, m->ccmd);
        return;
    }
    m->ccmd_delay = mdl_delay(m);
    if (!m->ccmd_delay)
        finish_ccmd(m);
}

/* ---- IOTLB -------------------------------------------------------------------------------------- */

#define IOTLB_IVT  B(63)
#define IOTLB_IAIG (3ull << 57)

static void finish_iotlb(struct model *m)
{
    unsigned g = mdl_bits(m->iotlb, 61, 60), am = mdl_bits(m->iva, 5, 0);

    m->iotlb &= ~(IOTLB_IVT | IOTLB_IAIG);
    if (VER_MAJOR(m) >= 6 || !g || (g == 3 && CAP_PSI(m) && am > CAP_MAMV(m)))
        return;
    mdl_inv_iotlb(m, g, mdl_bits(m->iotlb, 47, 32), m->iva, am, mdl_bits(m->iva, 6, 6),
                  mdl_bits(m->iotlb, 49, 49), mdl_bits(m->iotlb, 48, 48));
    if (g == 3 && !CAP_PSI(m))
        g = 2;
    m->iotlb |= (u64)g << 57;
}

void mdl_iotlb_reg(struct model *m)
{
    unsigned g = mdl_bits(m->iotlb, 61, 60);

    if (!(m->iotlb & IOTLB_IVT))
        return;
    if (!g || (g == 3 && (!CAP_PSI(m) || mdl_bits(m->iva, 5, 0) > CAP_MAMV(m))))
        mdl_violation(m, MODEL_V_GRANULARITY, m->iotlb);
    if (VER_MAJOR(m) >= 6)
        mdl_violation(m, MODEL_V_REG_INV, m->iotlb);
    if (GSTS(m, G_QIE)) {
        mdl_violation(m, MODEL_V_REG_INV, m->iotlb);
        return;
    }
    m->iotlb_delay = mdl_delay(m);
    if (!m->iotlb_delay)
        finish_iotlb(m);
}

bool mdl_cmd_pending(const struct model *m)
{
    return m->gcmd_op || m->ccmd_delay || m->iotlb_delay;
}

bool mdl_cmd_pass(struct model *m)
{
    if (!mdl_cmd_pending(m))
        return false;
    if (m->gcmd_op && --m->gcmd_delay == 0)
        finish(m);
    if (m->ccmd_delay && --m->ccmd_delay == 0)
        finish_ccmd(m);
    if (m->iotlb_delay && --m->iotlb_delay == 0)
        finish_iotlb(m);
    return true;
}
