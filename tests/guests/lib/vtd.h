/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's VT-d driver, legacy mode. It is a judge of the virtual unit, so it shares no definition with the
 * hypervisor: every number here was written from the specification a second time.
 */
#ifndef GUEST_VTD_H
#define GUEST_VTD_H

#include "arch/types.h"

enum {
    VTD_VER = 0x00,
    VTD_CAP = 0x08,
    VTD_ECAP = 0x10,
    VTD_GCMD = 0x18,
    VTD_GSTS = 0x1c,
    VTD_RTADDR = 0x20,
    VTD_CCMD = 0x28,
    VTD_FSTS = 0x34,
    VTD_FECTL = 0x38,
    VTD_FEDATA = 0x3c,
    VTD_FEADDR = 0x40,
    VTD_FEUADDR = 0x44,
    VTD_IQH = 0x80,
    VTD_IQT = 0x88,
    VTD_IQA = 0x90,
    VTD_ICS = 0x9c,
    VTD_IECTL = 0xa0,
    VTD_IEDATA = 0xa4,
    VTD_IEADDR = 0xa8,
    VTD_IEUADDR = 0xac,
    VTD_IQERCD = 0xb0,
};

#define GSTS_TE  (1u << 31)
#define GSTS_RTP (1u << 30)
#define GSTS_QI  (1u << 26)
#define GSTS_IR  (1u << 25)

#define FSTS_PFO 1u
#define FSTS_PPF 2u
#define FSTS_IQE 0x10u
#define FSTS_ICE 0x20u
#define FSTS_ITE 0x40u

/* Granularity fields as the descriptors have them: bits 5:4. */
#define CC_GLOBAL    1u
#define CC_DOMAIN    2u
#define CC_DEVICE    3u
#define IOTLB_GLOBAL 1u
#define IOTLB_DOMAIN 2u
#define IOTLB_PAGE   3u

#define TT_TABLE 0u /* translate, ATS requests blocked */
#define TT_ATS   1u
#define TT_PASS  2u

#define AW_3 1u /* 39-bit, three levels */
#define AW_4 2u

#define PTE_R 1u
#define PTE_W 2u

struct vtd_desc {
    u64 lo, hi;
};

extern u64 vtd_base; /* register window */
extern u64 vtd_cap, vtd_ecap;
extern volatile u32 *vtd_status; /* the word that vtd_wait() aims at; one page, 64-byte aligned */

/* Finds the first unit of the DMAR table and reads what it can do. False when there is none. */
bool vtd_find(void);
bool vtd_has_atsr(void); /* the DMAR has a root-port ATS structure */
u32 vtd_read32(u32 reg);
u64 vtd_read64(u32 reg);
void vtd_write32(u32 reg, u32 v);
void vtd_write64(u32 reg, u64 v);

/* Sets or clears one command bit and waits for the status to follow. False when it does not. */
bool vtd_command(u32 bit, bool on);

/* ---- queue: 2^(qs+8) descriptors */
bool vtd_queue_on(u32 qs);
bool vtd_queue_off(void);
extern struct vtd_desc *vtd_queue;
extern u32 vtd_queue_entries, vtd_tail; /* tail: index of the next slot */

struct vtd_desc desc_cc(u32 granularity, u32 domain, u32 sid);
struct vtd_desc desc_iotlb(u32 granularity, u32 domain, u64 address, u32 order);
struct vtd_desc desc_dev(u32 sid, u64 address, u32 order); /* order 52: everything */
struct vtd_desc desc_wait(u32 data, u64 address);          /* status write */

/* Puts one descriptor into the next slot; the tail register does not move. */
void vtd_put(struct vtd_desc d);
void vtd_ring(void); /* writes the tail register */
/* Adds a wait, rings, and polls its status in memory. False when it does not come within a second. */
bool vtd_finish(void);
bool vtd_wait_status(u32 data, u32 ms);
u32 vtd_next_cookie(void);

/* ---- register-based invalidation, for QI off */
bool vtd_ccmd(u32 granularity, u32 domain, u32 sid);
bool vtd_iotlb_reg(u32 granularity, u32 domain, u64 address, u32 order);

/* ---- tables */
void vtd_tables_reset(void); /* fresh, empty root table */
extern u64 vtd_root;
bool vtd_root_set(void); /* RTADDR, SRTP */
void vtd_context(u32 sid, u32 tt, u32 aw, u64 table, u32 domain);
void vtd_context_clear(u32 sid);
volatile u64 *vtd_context_entry(u32 sid); /* two words */
/* Maps `bytes` (4 KiB, 2 MiB or 1 GiB) at iova in a table of 3 or 4 levels. Permissions 0 unmaps. */
void vtd_map(u64 table, u32 levels, u64 iova, u64 address, u64 bytes, u32 permissions);
volatile u64 *vtd_leaf(u64 table, u32 levels, u64 iova, u64 bytes);

/* ---- faults */
struct vtd_fault {
    u32 sid, reason;
    u64 address;
    bool read;
};
bool vtd_fault_take(struct vtd_fault *f); /* reads and clears the first record; false when there is none */
void vtd_faults_clear(void);

#endif
