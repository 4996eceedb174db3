/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queued-invalidation descriptors. The numbers here are the specification's, written down again: a wrong
 * constant of iommu/ must not agree with itself.
 */
#include "iommu/desc.c"
#include "tests/proof/received.h"

static struct desc_rules any_rules(void)
{
    struct desc_rules rules = { .did_mask = any16(),
                                .mamv = any8(),
                                .psi = any_bool(),
                                .dt = any_bool(),
                                .ir = any_bool(),
                                .prs = any_bool(),
                                .pds = any_bool(),
                                .scalable = any_bool() };

    ASSUME(rules.mamv <= 52);
    return rules;
}

/* UNWIND: 4. Every 128- and 256-bit value: an error of 6.5.2.10, or a request all of whose fields are in
 * range. */
void proof_decode_is_total(void)
{
    struct desc_rules rules = any_rules();
    struct desc d = { any64(), any64() };
    u64 upper = any64(), type = type_of(d);
    struct request r;
    enum iqei error = desc_decode(&rules, d, upper, &r);

    PROVE(error == 0 || error == 3 || error == 4);
    if (error)
        return;
    PROVE(type >= 1 && type <= 9 && type == r.type);
    PROVE((d.lo & ~low_bits(type)) == 0 && (d.hi & ~high_bits(type)) == 0 && upper == 0);
    PROVE(type < 6 || rules.scalable);
    PROVE((type != 3 && type != 8) || rules.dt);
    PROVE(type != 4 || rules.ir);
    PROVE(type != 9 || rules.prs);
    PROVE(type != 5 || rules.pds || !(d.lo & 1 << 7));
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

/* UNWIND: 4. The two that the replay knows without decoding them are what decoding says. */
void proof_the_usual_ones(void)
{
    struct desc_rules rules = any_rules();
    struct desc d = { any64(), any64() };
    u64 page = any64(), am = d.hi & 63;
    bool flush = desc_is_page_flush(&rules, d), wait = desc_is_status_wait(d);
    struct request r;

    if (!flush && !wait)
        return;
    PROVE(!(flush && wait) && !desc_decode(&rules, d, 0, &r) && r.type == (flush ? 2 : 5));
    if (wait) {
        PROVE(r.wait_status && !r.wait_interrupt && !r.wait_drain);
        PROVE(r.status_addr == d.hi && r.status_data == d.lo >> 32);
        return;
    }
    PROVE(r.granularity == 3 && r.did == (d.lo >> 16 & 0xffff & rules.did_mask));
    PROVE((page >> am == d.hi >> 12 >> am) == (r.range.first <= page && page <= r.range.last));
}

/* UNWIND: 4. */
void twin_the_usual_ones(void)
{
    struct desc_rules rules = any_rules();
    struct desc d = { any64(), any64() };
    struct request r;

    if (desc_is_page_flush(&rules, d) && !desc_decode(&rules, d, 0, &r))
        PROVE(r.range.first == d.hi >> 12);
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
    case 15:
        return desc_page_response(any16(), any_bool(), any32(), any16(), any8());
    default:
        return desc_wait_interrupt();
    }
}

/* UNWIND: 4. Whatever we send has only bits set that the specification defines for its type. */
void proof_encode(void)
{
    PROVE(only_specified_bits(any_host_descriptor()));
}

/* UNWIND: 4. */
void twin_encode(void)
{
    struct desc d = any_host_descriptor();

    PROVE((d.lo & 0xf) != 3 || (d.lo >> 52) == 0);
}
