/* SPDX-License-Identifier: Apache-2.0 */
#include "iommu/desc.h"

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

struct desc desc_iotlb_global(bool dr, bool dw)
{
    return (struct desc){ desc_iotlb_low(DESC_G_GLOBAL, 0, dr, dw), 0 };
}

struct desc desc_iotlb_domain(u16 did, bool dr, bool dw)
{
    return (struct desc){ desc_iotlb_low(DESC_G_DOMAIN, did, dr, dw), 0 };
}

/*
 * The size of a device-TLB request: with S=1 the run of ones from bit 12 up gives it, 4K * 2^(ones + 1), so
 * that k - 1 ones and the zero that ends them encode order k. The longest possible run is "everything"
 * (6.5.2.5).
 */
u64 desc_devtlb_block(u64 page, unsigned order, u64 s)
{
    return (align_down(page, 1ull << order) | ((1ull << (order - 1)) - 1)) << PAGE_SHIFT | s;
}

struct desc desc_pdevtlb_all(u16 sid, u16 pfsid, u8 depth)
{
    struct desc d = desc_pdevtlb(sid, pfsid, depth, 0, 0, ORDER_ALL);

    d.hi |= DESC_PDT_G;
    return d;
}

struct desc desc_iec_all(void)
{
    return (struct desc){ DESC_IEC, 0 };
}

struct desc desc_iec(u16 index, unsigned order)
{
    return (struct desc){
        DESC_IEC | DESC_IEC_INDEX | field_prep(DESC_IEC_IM, order) | field_prep(DESC_IEC_IIDX, index), 0
    };
}

struct desc desc_pasid_cache_global(void)
{
    return (struct desc){ DESC_PASID | field_prep(DESC_G, DESC_PC_GLOBAL), 0 };
}

struct desc desc_pasid_cache(u16 did, u32 pasid)
{
    return (struct desc){ DESC_PASID | field_prep(DESC_G, DESC_PC_PASID) | field_prep(DESC_DID, did) |
                              field_prep(DESC_PASID_ID, pasid),
                          0 };
}

static u64 piotlb_lo(u64 granularity, u16 did, u32 pasid)
{
    return DESC_PIOTLB | field_prep(DESC_G, granularity) | field_prep(DESC_DID, did) |
           field_prep(DESC_PASID_ID, pasid);
}

struct desc desc_piotlb(u16 did, u32 pasid)
{
    return (struct desc){ piotlb_lo(DESC_PIOTLB_PASID, did, pasid), 0 };
}

struct desc desc_piotlb_pages(u16 did, u32 pasid, u64 page, unsigned order)
{
    return (struct desc){ piotlb_lo(DESC_PIOTLB_PAGE, did, pasid),
                          align_down(page, 1ull << order) << PAGE_SHIFT | order };
}

struct desc desc_wait_interrupt(void)
{
    return (struct desc){ DESC_WAIT | DESC_WAIT_IF | DESC_WAIT_FN, 0 };
}

struct desc desc_page_response(u16 sid, bool with_pasid, u32 pasid, u16 group, u8 code)
{
    return (struct desc){ DESC_PAGE_RESPONSE | (with_pasid ? DESC_PR_PP : 0) |
                              field_prep(DESC_PR_CODE, code) | field_prep(DESC_PR_RID, sid) |
                              field_prep(DESC_PASID_ID, pasid),
                          field_prep(DESC_PR_PRGI, group) };
}

u16 desc_fm_bits(u64 fm)
{
    return 7 & ~(7u >> (fm & 3)); /* bit 2, bits 2:1, bits 2:0 */
}

/* What a device-TLB request covers: ones from bit 12 up, ended by a zero, give the size. */
static struct range devtlb_range(u64 hi, u64 s)
{
    u64 page = field_get(hi, DESC_ADDR);
    unsigned order =
        hi & s ? (unsigned)__builtin_ctzll(~page) + 1 : 0; /* page has 52 bits: ~page is never 0 */

    return desc_block(page, MIN(order, ORDER_ALL));
}

#define PASID_LO (DESC_G | DESC_DID | DESC_PASID_ID)

/* All bits that may be set, by type; every other one is reserved. */
static const struct desc format[16] = {
    [DESC_CONTEXT] = { DESC_CONTEXT | DESC_G | DESC_DID | DESC_CC_SID | DESC_CC_FM, 0 },
    [DESC_IOTLB] = { DESC_IOTLB | DESC_G | DESC_DID | DESC_IOTLB_DW | DESC_IOTLB_DR,
                     DESC_ADDR | DESC_IH | DESC_AM },
    [DESC_DEVTLB] = { DESC_DEVTLB | DESC_DT_PFSID_LO | DESC_DT_MIP | DESC_DT_SID | DESC_DT_PFSID_HI,
                      DESC_ADDR | DESC_DT_S },
    [DESC_IEC] = { DESC_IEC | DESC_IEC_INDEX | DESC_IEC_IM | DESC_IEC_IIDX, 0 },
    [DESC_WAIT] = { DESC_WAIT | DESC_WAIT_IF | DESC_WAIT_SW | DESC_WAIT_FN | DESC_WAIT_PD | DESC_WAIT_DATA,
                    MASK(63, 2) },
    [DESC_PIOTLB] = { DESC_PIOTLB | PASID_LO, DESC_ADDR | DESC_IH | DESC_AM },
    [DESC_PASID] = { DESC_PASID | PASID_LO, 0 },
    [DESC_PDEVTLB] = { DESC_PDEVTLB | DESC_PDT_MIP | DESC_DT_PFSID_LO | DESC_PDT_SID | DESC_PASID_ID |
                           DESC_DT_PFSID_HI,
                       DESC_ADDR | DESC_PDT_S | DESC_PDT_G },
    [DESC_PAGE_RESPONSE] = { DESC_PAGE_RESPONSE | DESC_PR_PP | DESC_PR_CODE | DESC_PR_RID | DESC_PASID_ID,
                             DESC_PR_PRGI },
};

/* The verdict `error` on a descriptor of a type that may not have been announced at all. */
static enum iqei if_announced(const struct desc_rules *rules, u64 type, enum iqei error)
{
    if (type == DESC_DEVTLB || type == DESC_PDEVTLB ? !rules->dt : type == DESC_IEC && !rules->ir)
        return IQEI_TYPE;
    if (type == DESC_PAGE_RESPONSE && !rules->prs)
        return IQEI_TYPE;
    return type && type < (rules->scalable ? NR_DESC : DESC_PIOTLB) ? error : IQEI_TYPE;
}

/* What is not sent all the time; out of the way of what is. */
static __attribute__((noinline)) enum iqei decode_rare(const struct desc_rules *rules, struct desc d,
                                                       struct request *out)
{
    unsigned am = (unsigned)field_get(d.hi, DESC_AM);
    u8 g = out->granularity;

    switch (out->type) {
    case DESC_CONTEXT:
        out->did = desc_did(rules, d);
        out->sid = (u16)field_get(d.lo, DESC_CC_SID);
        out->fm = desc_fm_bits(field_get(d.lo, DESC_CC_FM));
        return g ? IQEI_NONE : IQEI_RESERVED;
    case DESC_DEVTLB:
        out->sid = (u16)field_get(d.lo, DESC_DT_SID);
        out->range = devtlb_range(d.hi, DESC_DT_S);
        break;
    case DESC_PDEVTLB:
        out->sid = (u16)field_get(d.lo, DESC_PDT_SID);
        out->pasid = (u32)field_get(d.lo, DESC_PASID_ID);
        out->all_pasids = d.hi & DESC_PDT_G;
        out->range = devtlb_range(d.hi, DESC_PDT_S);
        break;
    case DESC_PAGE_RESPONSE:
        out->sid = (u16)field_get(d.lo, DESC_PR_RID);
        out->with_pasid = d.lo & DESC_PR_PP;
        out->pasid = (u32)field_get(d.lo, DESC_PASID_ID);
        out->group = (u16)field_get(d.hi, DESC_PR_PRGI);
        out->code = (u8)field_get(d.lo, DESC_PR_CODE);
        break;
    case DESC_IEC:
        out->iec_all = !(d.lo & DESC_IEC_INDEX);
        out->iec_index = (u16)field_get(d.lo, DESC_IEC_IIDX);
        out->iec_order = (u8)field_get(d.lo, DESC_IEC_IM);
        break;
    case DESC_PIOTLB:
    case DESC_PASID:
        out->did = desc_did(rules, d);
        out->pasid = (u32)field_get(d.lo, DESC_PASID_ID);
        out->range = RANGE_ALL;
        if (out->type == DESC_PIOTLB && g == DESC_PIOTLB_PAGE) /* any AM is legal (6.5.2.6) */
            out->range = desc_block(field_get(d.hi, DESC_ADDR), MIN(am, ORDER_ALL));
        if (out->type == DESC_PIOTLB ? g < DESC_PIOTLB_PASID : g == 2)
            return if_announced(rules, out->type, IQEI_RESERVED);
        break;
    default:
        break;
    }
    return if_announced(rules, out->type, IQEI_NONE);
}

enum iqei desc_decode(const struct desc_rules *rules, struct desc d, u64 upper, struct request *out)
{
    const struct desc *may = &format[d.lo & 0xf];
    unsigned am = (unsigned)field_get(d.hi, DESC_AM);

    if ((d.lo & ~may->lo) | (d.hi & ~may->hi) | upper)
        return if_announced(rules, d.lo & DESC_TYPE, IQEI_RESERVED);
    *out = (struct request){ .type = d.lo & 0xf, .granularity = (u8)field_get(d.lo, DESC_G) };
    if (out->type == DESC_WAIT) {
        out->wait_drain = d.lo & DESC_WAIT_PD;
        out->wait_status = d.lo & DESC_WAIT_SW;
        out->wait_interrupt = d.lo & DESC_WAIT_IF;
        out->status_addr = d.hi;
        out->status_data = (u32)field_get(d.lo, DESC_WAIT_DATA);
        return out->wait_drain && !rules->pds ? IQEI_RESERVED : IQEI_NONE;
    }
    if (out->type != DESC_IOTLB)
        return decode_rare(rules, d, out);
    out->did = desc_did(rules, d);
    if (out->granularity != DESC_G_PAGE)
        return out->granularity ? IQEI_NONE : IQEI_RESERVED;
    if (am > rules->mamv)
        return IQEI_RESERVED;
    /* A page-selective request where it is not announced is undefined: widened, never narrowed. */
    if (!rules->psi)
        out->granularity = DESC_G_DOMAIN;
    /* The address below AM is ignored by hardware; aligning it down covers what was asked. */
    out->range = desc_block(field_get(d.hi, DESC_ADDR), am);
    return IQEI_NONE;
}
