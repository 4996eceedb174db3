/* SPDX-License-Identifier: Apache-2.0 */
#include "iommu/desc.h"

unsigned range_order(struct range r)
{
    u64 differ = r.first ^ r.last;

    return differ ? 64 - (unsigned)__builtin_clzll(differ) : 0;
}

struct desc desc_context_global(void)
{
    return (struct desc){ DESC_CONTEXT | field_prep(DESC_G, DESC_G_GLOBAL), 0 };
}

struct desc desc_context_device(u16 did, u16 sid)
{
    return (struct desc){ DESC_CONTEXT | field_prep(DESC_G, DESC_G_DEVICE) | field_prep(DESC_DID, did) |
                              field_prep(DESC_CC_SID, sid),
                          0 };
}

static u64 iotlb_lo(u64 granularity, u16 did, bool dr, bool dw)
{
    return DESC_IOTLB | field_prep(DESC_G, granularity) | field_prep(DESC_DID, did) |
           (dr ? DESC_IOTLB_DR : 0) | (dw ? DESC_IOTLB_DW : 0);
}

struct desc desc_iotlb_global(bool dr, bool dw)
{
    return (struct desc){ iotlb_lo(DESC_G_GLOBAL, 0, dr, dw), 0 };
}

struct desc desc_iotlb_domain(u16 did, bool dr, bool dw)
{
    return (struct desc){ iotlb_lo(DESC_G_DOMAIN, did, dr, dw), 0 };
}

struct desc desc_iotlb_pages(u16 did, u64 page, unsigned order, bool dr, bool dw)
{
    u64 addr = align_down(page, 1ull << order) << PAGE_SHIFT;

    return (struct desc){ iotlb_lo(DESC_G_PAGE, did, dr, dw), addr | order };
}

struct desc desc_devtlb(u16 sid, u16 pfsid, u8 depth, u64 page, unsigned order)
{
    u64 lo = DESC_DEVTLB | field_prep(DESC_DT_SID, sid) | field_prep(DESC_DT_MIP, depth) |
             field_prep(DESC_DT_PFSID_LO, pfsid) | field_prep(DESC_DT_PFSID_HI, pfsid >> 4);
    u64 hi;

    /*
     * With S=1 the run of ones from bit 12 up gives the size, 4K * 2^(ones + 1): k - 1 ones and the zero that
     * ends them encode order k. The longest possible run is "everything" (6.5.2.5).
     */
    if (order == 0)
        hi = page << PAGE_SHIFT;
    else if (order >= ORDER_ALL)
        hi = MASK(62, 12) | DESC_DT_S;
    else
        hi = (align_down(page, 1ull << order) | ((1ull << (order - 1)) - 1)) << PAGE_SHIFT | DESC_DT_S;
    return (struct desc){ lo, hi };
}

struct desc desc_wait_status(u64 address, u32 data)
{
    return (struct desc){ DESC_WAIT | DESC_WAIT_SW | DESC_WAIT_FN | field_prep(DESC_WAIT_DATA, data),
                          address };
}

struct desc desc_wait_interrupt(void)
{
    return (struct desc){ DESC_WAIT | DESC_WAIT_IF | DESC_WAIT_FN, 0 };
}

static struct range block(u64 page, unsigned order)
{
    u64 first = align_down(page, 1ull << order);

    return (struct range){ first, first + (1ull << order) - 1 };
}

u16 desc_fm_bits(u64 fm)
{
    return 7 & ~(7u >> (fm & 3)); /* bit 2, bits 2:1, bits 2:0 */
}

static enum iqei decode_context(const struct desc_rules *rules, struct desc d, struct request *out)
{
    if (d.lo & ~(DESC_TYPE | DESC_G | DESC_DID | DESC_CC_SID | DESC_CC_FM) || d.hi)
        return IQEI_RESERVED;
    out->granularity = (u8)field_get(d.lo, DESC_G);
    if (!out->granularity)
        return IQEI_RESERVED;
    out->did = (u16)(field_get(d.lo, DESC_DID) & (BIT(rules->did_bits) - 1));
    out->sid = (u16)field_get(d.lo, DESC_CC_SID);
    out->fm = desc_fm_bits(field_get(d.lo, DESC_CC_FM));
    return IQEI_NONE;
}

static enum iqei decode_iotlb(const struct desc_rules *rules, struct desc d, struct request *out)
{
    unsigned am = (unsigned)field_get(d.hi, DESC_AM);

    if (d.lo & ~(DESC_TYPE | DESC_G | DESC_DID | DESC_IOTLB_DW | DESC_IOTLB_DR) ||
        d.hi & ~(DESC_ADDR | DESC_IH | DESC_AM))
        return IQEI_RESERVED;
    out->granularity = (u8)field_get(d.lo, DESC_G);
    out->did = (u16)(field_get(d.lo, DESC_DID) & (BIT(rules->did_bits) - 1));
    if (!out->granularity)
        return IQEI_RESERVED;
    if (out->granularity != DESC_G_PAGE)
        return IQEI_NONE;
    if (am > rules->mamv)
        return IQEI_RESERVED;
    /* A page-selective request where it is not announced is undefined: widened, never narrowed. */
    if (!rules->psi)
        out->granularity = DESC_G_DOMAIN;
    /* The address below AM is ignored by hardware; aligning it down covers what was asked. */
    out->range = block(field_get(d.hi, DESC_ADDR), am);
    return IQEI_NONE;
}

static enum iqei decode_devtlb(const struct desc_rules *rules, struct desc d, struct request *out)
{
    u64 page = field_get(d.hi, DESC_ADDR);
    unsigned order = 0;

    if (!rules->dt)
        return IQEI_TYPE;
    if (d.lo & ~(DESC_TYPE | DESC_DT_PFSID_LO | DESC_DT_MIP | DESC_DT_SID | DESC_DT_PFSID_HI) ||
        d.hi & ~(DESC_ADDR | DESC_DT_S))
        return IQEI_RESERVED;
    out->sid = (u16)field_get(d.lo, DESC_DT_SID);
    if (d.hi & DESC_DT_S) /* page has 52 bits, so ~page is never 0 */
        order = (unsigned)__builtin_ctzll(~page) + 1;
    out->range = order >= ORDER_ALL ? RANGE_ALL : block(page, order);
    return IQEI_NONE;
}

static enum iqei decode_wait(struct desc d, struct request *out)
{
    /* PD is reserved as long as page-request drain is not announced. */
    if (d.lo & ~(DESC_TYPE | DESC_WAIT_IF | DESC_WAIT_SW | DESC_WAIT_FN | DESC_WAIT_DATA) || d.hi & 3)
        return IQEI_RESERVED;
    out->wait_status = d.lo & DESC_WAIT_SW;
    out->wait_interrupt = d.lo & DESC_WAIT_IF;
    out->status_addr = d.hi;
    out->status_data = (u32)field_get(d.lo, DESC_WAIT_DATA);
    return IQEI_NONE;
}

enum iqei desc_decode(const struct desc_rules *rules, struct desc d, struct request *out)
{
    *out = (struct request){ .type = (enum desc_type)(d.lo & DESC_TYPE) };
    switch (d.lo & DESC_TYPE) {
    case DESC_CONTEXT:
        return decode_context(rules, d, out);
    case DESC_IOTLB:
        return decode_iotlb(rules, d, out);
    case DESC_DEVTLB:
        return decode_devtlb(rules, d, out);
    case DESC_WAIT:
        return decode_wait(d, out);
    default: /* interrupt-entry cache too, as long as IR is not announced */
        return IQEI_TYPE;
    }
}
