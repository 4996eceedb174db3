/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queued-invalidation descriptors (6.5.2): layout, a constructor for each kind the host sends, and the
 * decoder that turns a private copy of a guest descriptor into one typed request. Pure functions; the bounded
 * proofs run them.
 */
#ifndef IOMMU_DESC_H
#define IOMMU_DESC_H

#include "arch/types.h"
#include "iommu/regs.h"

struct desc {
    u64 lo, hi;
};
_Static_assert(sizeof(struct desc) == 16, "128-bit descriptor");

/* Type is bits 11:9 with 3:0; the types of legacy mode have 11:9 = 0. */
#define DESC_TYPE (MASK(11, 9) | MASK(3, 0))
enum desc_type {
    DESC_CONTEXT = 1,
    DESC_IOTLB = 2,
    DESC_DEVTLB = 3,
    DESC_IEC = 4,
    DESC_WAIT = 5,
    DESC_PIOTLB = 6, /* from here on scalable mode only */
    DESC_PASID = 7,
    DESC_PDEVTLB = 8,
    DESC_PAGE_RESPONSE = 9,
    NR_DESC,
};

#define DESC_G            MASK(5, 4)
#define DESC_G_GLOBAL     1
#define DESC_G_DOMAIN     2
#define DESC_G_DEVICE     3 /* context-cache */
#define DESC_G_PAGE       3 /* IOTLB */
#define DESC_PC_DOMAIN    0 /* PASID-cache */
#define DESC_PC_PASID     1
#define DESC_PC_GLOBAL    3
#define DESC_PIOTLB_PASID 2
#define DESC_PIOTLB_PAGE  3
#define DESC_DID          MASK(31, 16)
#define DESC_CC_SID       MASK(47, 32)
#define DESC_CC_FM        MASK(49, 48)
#define DESC_IOTLB_DW     BIT(6)
#define DESC_IOTLB_DR     BIT(7)
#define DESC_ADDR         MASK(63, 12) /* high quadword: IOTLB, device-TLB */
#define DESC_IH           BIT(6)
#define DESC_AM           MASK(5, 0)
#define DESC_DT_PFSID_LO  MASK(15, 12)
#define DESC_DT_MIP       MASK(20, 16)
#define DESC_DT_SID       MASK(47, 32)
#define DESC_DT_PFSID_HI  MASK(63, 52)
#define DESC_DT_S         BIT(0)
#define DESC_PASID_ID     MASK(51, 32) /* PASID-cache, PASID-IOTLB, PASID device-TLB */
#define DESC_PDT_MIP      MASK(8, 4)
#define DESC_PDT_SID      MASK(31, 16)
#define DESC_PDT_G        BIT(0) /* high quadword: all PASIDs of the function */
#define DESC_PDT_S        BIT(11)
#define DESC_IEC_INDEX    BIT(4) /* else all entries */
#define DESC_IEC_IM       MASK(31, 27)
#define DESC_IEC_IIDX     MASK(47, 32)
#define DESC_WAIT_IF      BIT(4)
#define DESC_WAIT_SW      BIT(5)
#define DESC_WAIT_FN      BIT(6)
#define DESC_WAIT_PD      BIT(7)
#define DESC_WAIT_DATA    MASK(63, 32)
#define DESC_PR_PP        BIT(4) /* page-group response */
#define DESC_PR_CODE      MASK(15, 12)
#define DESC_PR_RID       MASK(31, 16)
#define DESC_PR_PRGI      MASK(11, 3) /* high quadword */
enum { PGRESP_SUCCESS = 0, PGRESP_INVALID = 1, PGRESP_FAILURE = 15 };

/* A range of IOVA pages: first and last 4K page number, both inclusive. RANGE_ALL = everything. */
struct range {
    u64 first, last;
};
#define PAGE_NR_MAX (~0ull >> PAGE_SHIFT)
#define RANGE_ALL   ((struct range){ 0, PAGE_NR_MAX })

static inline bool range_is_all(struct range r)
{
    return r.first == 0 && r.last == PAGE_NR_MAX;
}

static inline bool range_covers(struct range outer, struct range inner)
{
    return outer.first <= inner.first && inner.last <= outer.last;
}

/* Order of a block that is everything there is. */
#define ORDER_ALL 52u

/* The smallest naturally aligned block of 2^order pages that covers r; at most 52. */
static inline unsigned range_order(struct range r)
{
    u64 differ = r.first ^ r.last;

    return differ ? 64 - (unsigned)__builtin_clzll(differ) : 0;
}

/* --- what the host sends --- */
struct desc desc_context_global(void);
struct desc desc_context_device(u16 did, u16 sid);
/* dw/dr: drain writes and reads, from CAP. */
struct desc desc_iotlb_global(bool dr, bool dw);
struct desc desc_iotlb_domain(u16 did, bool dr, bool dw);
static inline u64 desc_iotlb_low(u64 granularity, u16 did, bool dr, bool dw)
{
    return DESC_IOTLB | field_prep(DESC_G, granularity) | field_prep(DESC_DID, did) |
           (dr ? DESC_IOTLB_DR : 0) | (dw ? DESC_IOTLB_DW : 0);
}
/* 2^order pages that hold page number `page`. IH is always 0. The caller has checked order against CAP.MAMV.
 * `low`: desc_iotlb_low() with DESC_G_PAGE, which is the same for all of a domain. */
static inline struct desc desc_iotlb_pages(u64 low, u64 page, unsigned order)
{
    return (struct desc){ low, align_down(page, 1ull << order) << PAGE_SHIFT | order };
}
/* depth: the function's ATS queue depth, 0 means 32. pfsid: 0 unless ECAP.DIT. order 52 = everything. */
static inline u64 desc_devtlb_low(u16 sid, u16 pfsid, u8 depth)
{
    return DESC_DEVTLB | field_prep(DESC_DT_SID, sid) | field_prep(DESC_DT_MIP, depth) |
           field_prep(DESC_DT_PFSID_LO, pfsid) | field_prep(DESC_DT_PFSID_HI, pfsid >> 4);
}
static inline u64 desc_pdevtlb_low(u16 sid, u16 pfsid, u8 depth, u32 pasid)
{
    return DESC_PDEVTLB | field_prep(DESC_PDT_SID, sid) | field_prep(DESC_PDT_MIP, depth) |
           field_prep(DESC_PASID_ID, pasid) | field_prep(DESC_DT_PFSID_LO, pfsid) |
           field_prep(DESC_DT_PFSID_HI, pfsid >> 4);
}
u64 desc_devtlb_block(u64 page, unsigned order, u64 s); /* order: 1 or more */
static inline u64 desc_devtlb_high(u64 page, unsigned order)
{
    return order ? desc_devtlb_block(page, order, DESC_DT_S) : page << PAGE_SHIFT;
}

static inline u64 desc_pdevtlb_high(u64 page, unsigned order)
{
    return order ? desc_devtlb_block(page, order, DESC_PDT_S) : page << PAGE_SHIFT;
}
static inline struct desc desc_devtlb(u16 sid, u16 pfsid, u8 depth, u64 page, unsigned order)
{
    return (struct desc){ desc_devtlb_low(sid, pfsid, depth), desc_devtlb_high(page, order) };
}
static inline struct desc desc_pdevtlb(u16 sid, u16 pfsid, u8 depth, u32 pasid, u64 page, unsigned order)
{
    return (struct desc){ desc_pdevtlb_low(sid, pfsid, depth, pasid), desc_pdevtlb_high(page, order) };
}
/* All interrupt entries; 2^order from index on. */
struct desc desc_iec_all(void);
struct desc desc_iec(u16 index, unsigned order);
struct desc desc_pasid_cache_global(void);
struct desc desc_pasid_cache(u16 did, u32 pasid);
struct desc desc_piotlb(u16 did, u32 pasid);
struct desc desc_piotlb_pages(u16 did, u32 pasid, u64 page, unsigned order);
struct desc desc_pdevtlb_all(u16 sid, u16 pfsid, u8 depth); /* everything, of all PASIDs */
/* Status at `address` (4-byte aligned) becomes `data`; FN is set with neither meaning nor harm otherwise. */
/* `drain`: page requests from before it are in their queue first. */
static inline struct desc desc_wait_status(u64 address, u32 data, bool drain)
{
    return (struct desc){ DESC_WAIT | DESC_WAIT_SW | DESC_WAIT_FN | (drain ? DESC_WAIT_PD : 0) |
                              field_prep(DESC_WAIT_DATA, data),
                          address };
}
struct desc desc_wait_interrupt(void);
struct desc desc_page_response(u16 sid, bool with_pasid, u32 pasid, u16 group, u8 code);

/* --- what the guest sent --- */
/* The source-id bits that a function mask (FM, 0 to 3) leaves out of the comparison. */
u16 desc_fm_bits(u64 fm);

/* Everything a decoder may depend on: what the virtual unit announced. */
struct desc_rules {
    u16 did_mask; /* the bits of a domain-id that there are */
    unsigned mamv;
    bool psi;
    bool dt;
    bool ir;
    bool scalable; /* the table mode latched by SRTP */
    bool prs;      /* page requests */
    bool pds;      /* waits that drain them */
};

/* What a type does not have is 0. */
struct request {
    u8 type;        /* enum desc_type */
    u8 granularity; /* DESC_G_*, context-cache and IOTLB */
    u8 iec_order;
    u8 code;
    u16 did; /* masked to the announced width */
    u16 sid; /* context-cache and device-TLB */
    u16 fm;  /* context-cache: which bits of the source-id are ignored */
    u16 iec_index;
    u16 group;
    bool iec_all;
    bool all_pasids; /* PASID device-TLB: of the function */
    bool with_pasid; /* page-group response */
    bool wait_status, wait_interrupt, wait_drain;
    u32 pasid; /* PASID-cache, PASID-IOTLB, PASID device-TLB */
    u32 status_data;
    u64 status_addr;
    struct range range; /* IOTLB page-selective, device-TLB: at least what the descriptor asks for */
};

static inline u16 desc_did(const struct desc_rules *rules, struct desc d)
{
    return (u16)(field_get(d.lo, DESC_DID) & rules->did_mask);
}
static inline struct range desc_block(u64 page, unsigned order)
{
    u64 first = align_down(page, 1ull << order);

    return (struct range){ first, first + (1ull << order) - 1 };
}

/*
 * Total: every value gives IQEI_NONE and a request, or the error the specification names. `upper` = the upper
 * half of a 256-bit descriptor, its quadwords ORed: reserved in every type we know.
 */
enum iqei desc_decode(const struct desc_rules *rules, struct desc d, u64 upper, struct request *out);

/*
 * The two that drivers send all the time, in the form that they have then. desc_decode() knows every form,
 * and says of these the same.
 */
static inline bool desc_is_page_flush(const struct desc_rules *rules, struct desc d)
{
    return (d.lo & ~(DESC_DID | DESC_IOTLB_DW | DESC_IOTLB_DR)) ==
               (DESC_IOTLB | field_prep(DESC_G, DESC_G_PAGE)) &&
           !(d.hi & ~(DESC_ADDR | DESC_IH | DESC_AM)) && (d.hi & DESC_AM) <= rules->mamv && rules->psi;
}
static inline bool desc_is_status_wait(struct desc d)
{
    return (u32)d.lo == (DESC_WAIT | DESC_WAIT_SW) && is_aligned(d.hi, sizeof(u32));
}

#endif
