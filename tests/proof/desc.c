/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queued-invalidation descriptors. The numbers here are the specification's, written down again: a wrong
 * constant of iommu/ must not agree with itself.
 */
#include "iommu/desc.c"
#include "tests/proof/proof.h"

static struct desc_rules any_rules(void)
{
    struct desc_rules rules = { .did_mask = any16(),
                                .mamv = any8(),
                                .psi = any_bool(),
                                .dt = any_bool(),
                                .ir = any_bool(),
                                .scalable = any_bool() };

    ASSUME(rules.mamv <= 52);
    return rules;
}

/* Bits that may be set in a descriptor of this type, 6.5.2.1 to 6.5.2.9. */
static u64 low_bits(u64 type)
{
    switch (type) {
    case 1:
        return 0x0003ffffffff003f;
    case 2:
        return 0x00000000ffff00ff;
    case 3:
        return 0xfff0ffff001ff00f;
    case 4:
        return 0x0000fffff800001f;
    case 5:
        return 0xffffffff0000007f;
    case 6:
    case 7:
        return 0x000fffffffff003f;
    case 8:
        return 0xffffffffffffffff & ~0x0000000000000e00ull;
    default:
        return 0;
    }
}

static u64 high_bits(u64 type)
{
    switch (type) {
    case 2:
    case 6:
        return 0xfffffffffffff07f;
    case 3:
        return 0xfffffffffffff001;
    case 5:
        return 0xfffffffffffffffc;
    case 8:
        return 0xfffffffffffff801;
    default:
        return 0;
    }
}

/* UNWIND: 4. Every 128- and 256-bit value: an error of 6.5.2.10, or a request all of whose fields are in
 * range. */
void proof_decode_is_total(void)
{
    struct desc_rules rules = any_rules();
    struct desc d = { any64(), any64() };
    u64 upper = any64(), type = (d.lo & 0xf) | (d.lo >> 5 & 0x70);
    struct request r;
    enum iqei error = desc_decode(&rules, d, upper, &r);

    PROVE(error == 0 || error == 3 || error == 4);
    if (error)
        return;
    PROVE(type >= 1 && type <= 8 && type == r.type);
    PROVE((d.lo & ~low_bits(type)) == 0 && (d.hi & ~high_bits(type)) == 0 && upper == 0);
    PROVE(type < 6 || rules.scalable);
    PROVE((type != 3 && type != 8) || rules.dt);
    PROVE(type != 4 || rules.ir);
    PROVE(!(r.did & ~rules.did_mask));
    PROVE(r.pasid < 1u << 20 && r.granularity <= 3 && r.iec_order < 32 && r.fm <= 7);
    PROVE(r.range.first <= r.range.last && r.range.last <= PAGE_NR_MAX);
}

/* UNWIND: 4. */
void twin_decode_is_total(void)
{
    struct desc_rules rules = any_rules();
    struct desc d = { any64(), any64() };
    struct request r;

    if (desc_decode(&rules, d, any64(), &r) == 0)
        PROVE(r.range.last < PAGE_NR_MAX);
}

/* UNWIND: 4. What the guest asks for page-selectively is in the request, whatever AM and the low address
 * bits. */
void proof_decode_covers(void)
{
    struct desc_rules rules = any_rules();
    struct desc d = { any64(), any64() };
    u64 page = any64(), size;
    struct request r;

    ASSUME(page <= PAGE_NR_MAX);
    if (desc_decode(&rules, d, 0, &r) || (d.lo & 0xe0f) != 2 || (d.lo >> 4 & 3) != 3)
        return;
    ASSUME((d.hi & 63) <= rules.mamv && (d.hi & 63) < 52);
    size = 1ull << (d.hi & 63);
    if ((page & ~(size - 1)) == (d.hi >> 12 & ~(size - 1)))
        PROVE(r.granularity == DESC_G_DOMAIN || (page >= r.range.first && page <= r.range.last));
}

/* UNWIND: 4. */
void twin_decode_covers(void)
{
    struct desc_rules rules = any_rules();
    struct desc d = { any64(), any64() };
    struct request r;

    if (!desc_decode(&rules, d, 0, &r) && (d.lo & 0xe3f) == 0x32 && (d.hi & 63) < 52)
        PROVE(r.range.first == d.hi >> 12);
}

/* What a device reads from an invalidation request (10.2.3, and ATS 1.1, 5.1): written again, with a loop. */
static bool device_drops(u64 hi, u64 s, u64 page)
{
    unsigned order = 0;

    if (hi & s)
        for (order = 1; order < 52 && hi >> (11 + order) & 1; order++)
            ;
    return order >= 52 || page >> order == hi >> 12 >> order;
}

/* UNWIND: 54. A device-TLB request for any range covers each of its pages, in both encodings. */
void proof_devtlb_covers(void)
{
    struct range r = { any64(), any64() };
    u64 page = any64();
    bool pasid = any_bool();
    struct desc d;

    ASSUME(r.first <= r.last && r.last <= PAGE_NR_MAX && page >= r.first && page <= r.last);
    if (pasid)
        d = desc_pdevtlb(any16(), any16(), any8(), any32(), r.first, range_order(r));
    else
        d = desc_devtlb(any16(), any16(), any8(), r.first, range_order(r));
    PROVE(device_drops(d.hi, pasid ? 1 << 11 : 1, page));
}

/* UNWIND: 54. */
void twin_devtlb_covers(void)
{
    struct range r = { any64(), any64() };
    u64 page = any64();
    struct desc d;

    ASSUME(r.first <= r.last && r.last <= PAGE_NR_MAX && page >= r.first && page <= r.last);
    d = desc_devtlb(1, 1, 0, r.first, range_order(r) ? range_order(r) - 1 : 0);
    PROVE(device_drops(d.hi, 1, page));
}

static u64 any_iotlb(void)
{
    return desc_iotlb_low(DESC_G_PAGE, any16(), any_bool(), any_bool());
}

/* UNWIND: 4. An IOTLB request with AM for any range covers each of its pages. */
void proof_iotlb_covers(void)
{
    struct range r = { any64(), any64() };
    u64 page = any64(), am;
    struct desc d;

    ASSUME(r.first <= r.last && r.last <= PAGE_NR_MAX && page >= r.first && page <= r.last);
    ASSUME(range_order(r) <
           52); /* CAP.MAMV is at most 52 less than that; larger ones are sent domain-selective */
    d = any_bool() ? desc_iotlb_pages(any_iotlb(), r.first, range_order(r))
                   : desc_piotlb_pages(any16(), any32(), r.first, range_order(r));
    am = d.hi & 63;
    PROVE((d.hi & 0xfc0) == 0); /* IH, and what is reserved */
    PROVE(page >> am == d.hi >> 12 >> am);
}

/* UNWIND: 4. */
void twin_iotlb_covers(void)
{
    struct range r = { any64(), any64() };

    ASSUME(r.first <= r.last && r.last <= PAGE_NR_MAX && range_order(r) < 52);
    PROVE(r.last >> range_order(r) == desc_iotlb_pages(0, r.first, range_order(r)).hi >> 12);
}

static struct desc any_host_descriptor(void)
{
    unsigned order = any8();
    u64 page = any64();

    ASSUME(order <= 52 && page <= PAGE_NR_MAX);
    switch (any8()) {
    case 0:
        return desc_context_global();
    case 1:
        return desc_context_device(any16(), any16());
    case 2:
        return desc_iotlb_global(any_bool(), any_bool());
    case 3:
        return desc_iotlb_domain(any16(), any_bool(), any_bool());
    case 4:
        ASSUME(order < 52);
        return desc_iotlb_pages(any_iotlb(), page, order);
    case 5:
        return desc_devtlb(any16(), any16(), any8(), page, order);
    case 6:
        return desc_iec_all();
    case 7:
        return desc_iec(any16(), order);
    case 8:
        return desc_pasid_cache_global();
    case 9:
        return desc_pasid_cache(any16(), any32());
    case 10:
        return desc_piotlb(any16(), any32());
    case 11:
        ASSUME(order < 52);
        return desc_piotlb_pages(any16(), any32(), page, order);
    case 12:
        return desc_pdevtlb(any16(), any16(), any8(), any32(), page, order);
    case 13:
        return desc_pdevtlb_all(any16(), any16(), any8());
    case 14:
        return desc_wait_status(any64() & ~3ull, any32(), any_bool());
    default:
        return desc_wait_interrupt();
    }
}

/* UNWIND: 4. Whatever we send has only bits set that the specification defines for its type, and IH clear. */
void proof_encode(void)
{
    struct desc d = any_host_descriptor();
    u64 type = (d.lo & 0xf) | (d.lo >> 5 & 0x70);

    PROVE(type >= 1 && type <= 8);
    /* PD of a wait, where the unit has page requests. */
    PROVE((d.lo & ~(low_bits(type) | (type == 5 ? 1ull << 7 : 0))) == 0);
    PROVE((d.hi & ~high_bits(type)) == 0);
    PROVE((type != 2 && type != 6) || !(d.hi & 1 << 6));
}

/* UNWIND: 4. */
void twin_encode(void)
{
    struct desc d = any_host_descriptor();

    PROVE((d.lo & 0xf) != 3 || (d.lo >> 52) == 0);
}
