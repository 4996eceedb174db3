/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest: a driver that writes tables into its memory and registers of its unit, as well or as badly as a
 * test wants. Written from the specification, sharing nothing with iommu/.
 */
#ifndef TESTS_WORLD_GUEST_H
#define TESTS_WORLD_GUEST_H

#include "tests/world/world.h"

enum {
    R_VER = 0x00,
    R_CAP = 0x08,
    R_ECAP = 0x10,
    R_GCMD = 0x18,
    R_GSTS = 0x1c,
    R_RTADDR = 0x20,
    R_CCMD = 0x28,
    R_FSTS = 0x34,
    R_FECTL = 0x38,
    R_FEDATA = 0x3c,
    R_FEADDR = 0x40,
    R_FEUADDR = 0x44,
    R_IQH = 0x80,
    R_IQT = 0x88,
    R_IQA = 0x90,
    R_ICS = 0x9c,
    R_IECTL = 0xa0,
    R_IEDATA = 0xa4,
    R_IEADDR = 0xa8,
    R_IQERCD = 0xb0,
    R_IRTA = 0xb8,
    R_PQH = 0xc0,
    R_PQT = 0xc8,
    R_PQA = 0xd0,
    R_PRS = 0xdc,
    R_PECTL = 0xe0,
    R_PEDATA = 0xe4,
    R_PEADDR = 0xe8,
};

#define G_TE    (1u << 31)
#define G_SRTP  (1u << 30)
#define G_QIE   (1u << 26)
#define G_IRE   (1u << 25)
#define G_SIRTP (1u << 24)

enum { PRS_PENDING = 1, PRS_OVERFLOW = 2 };

#define FS_PFO (1u << 0)
#define FS_PPF (1u << 1)
#define FS_IQE (1u << 4)
#define FS_ICE (1u << 5)
#define FS_ITE (1u << 6)

enum { TT_SS = 0, TT_ATS_ON = 1, TT_PASS = 2 };
enum { P_R = 1, P_W = 2, P_RW = 3 };

/* A table of the guest's, second-stage or first-stage: a domain of its driver. */
#define MAX_GUEST_DOMAINS 6
struct guest_domain {
    u16 did;
    u8 levels;
    bool first;
    u64 root;
};

/* The ways of a function into a table: its plain requests, and those with one of two PASIDs. */
#define GUEST_SLOTS 3
/* What an entry leads to, beside a domain's number. */
enum { GUEST_NONE = -1, GUEST_PASS = -2 };

struct guest {
    struct guest_domain dom[MAX_GUEST_DOMAINS];
    unsigned nr_tables; /* of TABLE_PAGES, never given back but by guest_reset_tables() */
    u64 free_table[TABLE_PAGES];
    unsigned nr_free_tables;
    unsigned tail[MAX_WORLD_UNITS]; /* ring entries */
    unsigned ring_size;
    u32 cookie;
    u64 caps[MAX_WORLD_UNITS];
    bool scalable; /* the table mode; also the descriptors are twice as wide */
    unsigned nr_domains;
    int dir[MAX_WORLD_FNS];          /* the directory of each function, or GUEST_NONE */
    bool remapping[MAX_WORLD_UNITS]; /* of interrupts */
    unsigned slots;                  /* of GUEST_SLOTS, as far as PASIDs are announced */
    u32 rid_pasid;
    u32 asked; /* page requests of all functions */
};
extern struct guest G;

static inline u32 guest_r32(unsigned u, u32 off)
{
    return (u32)guest_read(u, off, 4);
}
static inline void guest_w32(unsigned u, u32 off, u32 v)
{
    guest_write(u, off, 4, v);
}
static inline void guest_w64(unsigned u, u32 off, u64 v)
{
    guest_write(u, off, 8, v);
}

/* One GCMD change, then waits until GSTS shows it. */
void guest_gcmd(unsigned u, u32 bit, bool on);
void guest_roots(void); /* root table and PASID directories, in memory only */
/* Root table in place, queue on, everything flushed, translation on: a unit in use, with no device in it. */
void guest_start(void);
void guest_queue_on(unsigned u);

/* --- tables --- */
u64 guest_table(void); /* a zeroed page for a table */
void guest_table_free(u64 table);
void guest_domain_init(unsigned d, u16 did, u8 levels);
/* Writes the leaf of 4K page `iova` at `level` (1 = 4K, 2 = 2M, 3 = 1G), with the tables above it. */
void guest_map_level(unsigned d, u64 iova, u64 pa, unsigned perm, unsigned level);
static inline void guest_map(unsigned d, u64 iova, u64 pa, unsigned perm)
{
    guest_map_level(d, iova, pa, perm, 1);
}
void guest_unmap(unsigned d, u64 iova);
/* Where the entry of `iova` at `level` is, 0 if a table above it is missing. */
u64 guest_entry(unsigned d, u64 iova, unsigned level);
void guest_context(u16 sid, unsigned tt, u16 did, u64 root, u8 levels);
void guest_attach(u16 sid, unsigned d, unsigned tt);
void guest_detach(u16 sid);

/* --- scalable mode: function number `f` of the world, which of its two PASID directories, whose request ---
 */
u32 guest_pasid(unsigned slot);
void guest_pasid_entry(unsigned f, unsigned dir, unsigned slot, int d);
u64 guest_tables_end(void); /* of what lies below its page tables */
/* dir GUEST_NONE: not present; what it may do beside DMA */
enum { CTX_ATS = 1 << 2, CTX_PAGES = 1 << 4 };
void guest_sm_context(unsigned f, int dir, unsigned may);
/* An empty queue of page requests, and their event. */
void guest_page_queue(unsigned u);

/* --- interrupt remapping --- */
void guest_irte(unsigned index, u64 lo, u64 hi);
void guest_remapping(unsigned u, bool on);

/* --- the queue of unit `u` --- */
static inline unsigned q_entry(void)
{
    return G.scalable ? 32 : 16;
}
void q_push(unsigned u, u64 q0, u64 q1);
void q_ring(unsigned u); /* the tail write */
/* g: 1 global, 2 domain, 3 device (context) or page (IOTLB). */
void q_context(unsigned u, unsigned g, u16 did, u16 sid, unsigned fm);
void q_iotlb(unsigned u, unsigned g, u16 did, u64 iova, unsigned am);
void q_dtlb(unsigned u, u16 sid, u64 iova, bool s);
#define DTLB_EVERYTHING 0x7ffffffffffff000ull, true
/* PASID cache: g 0 domain, 1 PASID in domain, 3 global. PASID-based IOTLB: g 2 PASID, 3 page in PASID. */
void q_pasid(unsigned u, unsigned g, u16 did, u32 pasid);
void q_piotlb(unsigned u, unsigned g, u16 did, u32 pasid, u64 iova, unsigned am);
void q_pdtlb(unsigned u, u16 sid, u32 pasid, u64 iova, bool s, bool all_pasids);
void q_iec(unsigned u, bool one, u16 index, unsigned order);
void q_page_response(unsigned u, u16 sid, u32 pasid, u16 group, unsigned code); /* or MODEL_NO_PASID */
/* Returns the cookie that the status word (GUEST_STATUS + 4 * cookie % 1024) will hold. */
enum { WAIT_IF = 1 << 4, WAIT_SW = 1 << 5, WAIT_FN = 1 << 6, WAIT_PD = 1 << 7 };
u32 q_wait_and(unsigned u, unsigned flags);
static inline u32 q_wait(unsigned u)
{
    return q_wait_and(u, 0);
}
bool q_done(u32 cookie);
void q_wait_flags(unsigned u, unsigned flags, u32 data, u64 address);
/* Submits a wait and lets time pass until it completes; false if it does not. */
bool q_sync(unsigned u);

/* The first pending fault record (FRI); false: none. Clearing takes all of them, and the overflow. */
bool guest_fault(unsigned u, u64 *lo, u64 *hi);
void guest_faults_clear(unsigned u);

/* Where does a DMA of function `f` land? ~0 if it is blocked. */
u64 dma_lands(unsigned f, u64 iova, bool write);

#endif
