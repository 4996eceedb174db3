/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors of the invalidation queue: which bits may be set, and which of two must come first.
 */
#include "tests/model/model_int.h"

enum { IQEI_TAIL = 1, IQEI_FETCH, IQEI_TYPE, IQEI_RSVD, IQEI_WIDTH, IQEI_ALIGN, IQEI_TTM };

/* Bits hi..lo set. */
#define F(hi, lo) ((~0ull >> (63 - (hi))) & (~0ull << (lo)))
/* Bits 11:9 and 3:0 are the type in every descriptor. */
#define TYPE (F(11, 9) | F(3, 0))

/* The bits that mean something, by type (6.5.2.1 to 6.5.2.9). */
static const struct {
    u64 q0, q1;
} fields[] = {
    [D_CONTEXT] = { TYPE | F(5, 4) | F(31, 16) | F(47, 32) | F(49, 48), 0 },
    [D_IOTLB] = { TYPE | F(5, 4) | B(6) | B(7) | F(31, 16), F(5, 0) | B(6) | F(63, 12) },
    [D_DTLB] = { TYPE | F(15, 12) | F(20, 16) | F(47, 32) | F(63, 52), B(0) | F(63, 12) },
    [D_IEC] = { TYPE | B(4) | F(31, 27) | F(47, 32), 0 },
    [D_WAIT] = { TYPE | B(4) | B(5) | B(6) | B(7) | F(63, 32), F(63, 2) },
    [D_PIOTLB] = { TYPE | F(5, 4) | F(31, 16) | F(51, 32), F(5, 0) | B(6) | F(63, 12) },
    [D_PASID] = { TYPE | F(5, 4) | F(31, 16) | F(51, 32), 0 },
    [D_PDTLB] = { TYPE | F(8, 4) | F(15, 12) | F(31, 16) | F(51, 32) | F(63, 52), B(0) | B(11) | F(63, 12) },
    [D_PGRESP] = { TYPE | B(4) | F(15, 12) | F(31, 16) | F(51, 32), F(11, 3) },
};

static unsigned bad_granularity(struct model *m, u64 q0)
{
    mdl_violation(m, MODEL_V_GRANULARITY, q0);
    return m->cfg.gran_iqei;
}

unsigned mdl_desc_check(struct model *m, const u64 q[4], bool wide, u8 *type)
{
    unsigned t = (mdl_bits(q[0], 11, 9) << 4) | mdl_bits(q[0], 3, 0);
    bool legacy = TTM(m) == TTM_LEGACY;

    *type = t;
    /* Legacy mode knows types 1 to 5; the others come with scalable mode. HPT-cache is not offered here. */
    if (t < D_CONTEXT || t > D_PGRESP || (t > D_WAIT && (legacy || !wide)))
        return IQEI_TYPE;
    if (((t == D_DTLB || t == D_PDTLB) && !ECAP_DT(m)) || (t == D_IEC && !ECAP_IR(m)) ||
        (t == D_PGRESP && !ECAP_PRS(m)))
        return IQEI_TYPE;
    if ((q[0] & ~fields[t].q0) || (q[1] & ~fields[t].q1) || (wide && (q[2] || q[3])))
        return IQEI_RSVD;
    switch (t) {
    case D_CONTEXT:
        if (!mdl_bits(q[0], 5, 4))
            return bad_granularity(m, q[0]);
        break;
    case D_IOTLB:
        if (!mdl_bits(q[0], 5, 4))
            return bad_granularity(m, q[0]);
        if (mdl_bits(q[0], 5, 4) == 3) {
            if (!CAP_PSI(m))
                mdl_violation(m, MODEL_V_GRANULARITY, q[0]);
            else if (mdl_bits(q[1], 5, 0) > CAP_MAMV(m))
                return IQEI_RSVD;
        }
        break;
    case D_DTLB:
    case D_PDTLB:
        if (!ECAP_DIT(m) && (q[0] & (F(15, 12) | F(63, 52))))
            return IQEI_RSVD;
        break;
    case D_PIOTLB:
        if (mdl_bits(q[0], 5, 4) < 2)
            return bad_granularity(m, q[0]);
        break;
    case D_PASID:
        if (mdl_bits(q[0], 5, 4) == 2)
            return bad_granularity(m, q[0]);
        break;
    case D_IEC:
        if (mdl_bits(q[0], 31, 27) > ECAP_MHMV(m))
            mdl_violation(m, MODEL_V_GRANULARITY, q[0]);
        break;
    case D_WAIT:
        if (mdl_bits(q[0], 7, 7) && !ECAP_PDS(m))
            return IQEI_RSVD;
        break;
    }
    return 0;
}

/*
 * 6.5.2.12: must `a`, earlier in the queue, be done before `b` may start? Whatever is not said here is
 * unordered, and the model does reorder it.
 */
bool mdl_desc_before(const struct mdl_op *a, const struct mdl_op *b)
{
    if (b->type == D_WAIT)
        return true;
    if (a->type == D_WAIT)
        return mdl_bits(a->q[0], 6, 6); /* FN, the fence */
    switch (b->type) {
    case D_PASID:
        return a->type == D_CONTEXT;
    case D_IOTLB:
    case D_PIOTLB:
        return a->type == D_CONTEXT || a->type == D_PASID;
    case D_DTLB:
        return a->type == D_IOTLB || a->type == D_IEC;
    case D_PDTLB:
        return a->type == D_IOTLB || a->type == D_PIOTLB || a->type == D_IEC;
    default:
        return false;
    }
}
