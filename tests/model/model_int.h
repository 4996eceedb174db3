/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the model: its state and the calls between its files. Nobody else includes this.
 */
#ifndef TESTS_MODEL_MODEL_INT_H
#define TESTS_MODEL_MODEL_INT_H

#include "tests/model/model.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define B(n) (1ull << (n))

/* Bits hi..lo of a word, shifted down. */
static inline u64 mdl_bits(u64 word, unsigned hi, unsigned lo)
{
    return (word >> lo) & (~0ull >> (63 - (hi - lo)));
}

/* ---- Capabilities (11.4.2, 11.4.3) -------------------------------------------------------------- */

#define CAP_ND(m)      mdl_bits((m)->cfg.cap, 2, 0)
#define CAP_RWBF(m)    mdl_bits((m)->cfg.cap, 4, 4)
#define CAP_PLMR(m)    mdl_bits((m)->cfg.cap, 5, 5)
#define CAP_PHMR(m)    mdl_bits((m)->cfg.cap, 6, 6)
#define CAP_CM(m)      mdl_bits((m)->cfg.cap, 7, 7)
#define CAP_SAGAW(m)   mdl_bits((m)->cfg.cap, 12, 8)
#define CAP_MGAW(m)    (mdl_bits((m)->cfg.cap, 21, 16) + 1)
#define CAP_ZLR(m)     mdl_bits((m)->cfg.cap, 22, 22)
#define CAP_FRO(m)     (mdl_bits((m)->cfg.cap, 33, 24) * 16)
#define CAP_SSLPS(m)   mdl_bits((m)->cfg.cap, 37, 34)
#define CAP_PSI(m)     mdl_bits((m)->cfg.cap, 39, 39)
#define CAP_NFR(m)     (mdl_bits((m)->cfg.cap, 47, 40) + 1)
#define CAP_MAMV(m)    mdl_bits((m)->cfg.cap, 53, 48)
#define CAP_DWD(m)     mdl_bits((m)->cfg.cap, 54, 54)
#define CAP_DRD(m)     mdl_bits((m)->cfg.cap, 55, 55)
#define CAP_FS1GP(m)   mdl_bits((m)->cfg.cap, 56, 56)
#define CAP_FS5LP(m)   mdl_bits((m)->cfg.cap, 60, 60)
#define CAP_ESIRTPS(m) mdl_bits((m)->cfg.cap, 62, 62)
#define CAP_ESRTPS(m)  mdl_bits((m)->cfg.cap, 63, 63)

#define ECAP_C(m)      mdl_bits((m)->cfg.ecap, 0, 0)
#define ECAP_QI(m)     mdl_bits((m)->cfg.ecap, 1, 1)
#define ECAP_DT(m)     mdl_bits((m)->cfg.ecap, 2, 2)
#define ECAP_IR(m)     mdl_bits((m)->cfg.ecap, 3, 3)
#define ECAP_EIM(m)    mdl_bits((m)->cfg.ecap, 4, 4)
#define ECAP_PT(m)     mdl_bits((m)->cfg.ecap, 6, 6)
#define ECAP_SC(m)     mdl_bits((m)->cfg.ecap, 7, 7)
#define ECAP_IRO(m)    (mdl_bits((m)->cfg.ecap, 17, 8) * 16)
#define ECAP_MHMV(m)   mdl_bits((m)->cfg.ecap, 23, 20)
#define ECAP_NEST(m)   mdl_bits((m)->cfg.ecap, 26, 26)
#define ECAP_PRS(m)    mdl_bits((m)->cfg.ecap, 29, 29)
#define ECAP_SRS(m)    mdl_bits((m)->cfg.ecap, 31, 31)
#define ECAP_EAFS(m)   mdl_bits((m)->cfg.ecap, 34, 34)
#define ECAP_PSS(m)    (mdl_bits((m)->cfg.ecap, 39, 35) + 1)
#define ECAP_PASID(m)  mdl_bits((m)->cfg.ecap, 40, 40)
#define ECAP_DIT(m)    mdl_bits((m)->cfg.ecap, 41, 41)
#define ECAP_PDS(m)    mdl_bits((m)->cfg.ecap, 42, 42)
#define ECAP_SMTS(m)   mdl_bits((m)->cfg.ecap, 43, 43)
#define ECAP_SSTS(m)   mdl_bits((m)->cfg.ecap, 46, 46)
#define ECAP_FSTS(m)   mdl_bits((m)->cfg.ecap, 47, 47)
#define ECAP_RPS(m)    mdl_bits((m)->cfg.ecap, 49, 49)
#define ECAP_ADMS(m)   mdl_bits((m)->cfg.ecap, 52, 52)
#define ECAP_RPRIVS(m) mdl_bits((m)->cfg.ecap, 53, 53)

#define VER_MAJOR(m) mdl_bits((m)->cfg.version, 7, 4)

/* Translation-table modes (RTADDR.TTM). */
enum { TTM_LEGACY = 0, TTM_SCALABLE = 1, TTM_RESERVED = 2, TTM_ABORT = 3 };

/* Fault reasons, 7.1.3. */
enum {
    FR_ROOT_NP = 0x1,
    FR_CTX_NP = 0x2,
    FR_CTX_INVALID = 0x3,
    FR_ADDR_WIDTH = 0x4,
    FR_NO_WRITE = 0x5,
    FR_NO_READ = 0x6,
    FR_PT_ACCESS = 0x7,
    FR_ROOT_ACCESS = 0x8,
    FR_CTX_ACCESS = 0x9,
    FR_ROOT_RSVD = 0xa,
    FR_CTX_RSVD = 0xb,
    FR_PTE_RSVD = 0xc,
    FR_ATS_BLOCKED = 0xd,
    FR_IRQ_RANGE = 0xe,
    FR_IR_REQ_RSVD = 0x20,
    FR_IR_INDEX = 0x21,
    FR_IR_NP = 0x22,
    FR_IR_ACCESS = 0x23,
    FR_IR_RSVD = 0x24,
    FR_IR_COMPAT = 0x25,
    FR_IR_SID = 0x26,
    /* scalable mode */
    FR_TTM = 0x30,
    FR_TTM_PASID = 0x31, /* a request with PASID in legacy mode */
    FR_TTM_PRQ = 0x32,   /* a page request in legacy mode */
    FR_ABORT = 0x33,
    FR_S_ROOT_ACCESS = 0x38,
    FR_S_ROOT_NP = 0x39,
    FR_S_ROOT_RSVD = 0x3a,
    FR_S_CTX_ACCESS = 0x40,
    FR_S_CTX_NP = 0x41,
    FR_S_CTX_RSVD = 0x42,
    FR_S_CTX_INVALID = 0x43,
    FR_S_DTE = 0x44,
    FR_S_PASIDE = 0x45,
    FR_S_PASID_LARGE = 0x46,
    FR_S_PRE = 0x47,
    FR_S_RID_PASID = 0x48,
    FR_S_DIR_ACCESS = 0x50,
    FR_S_DIR_NP = 0x51,
    FR_S_DIR_RSVD = 0x52,
    FR_S_PASID_ACCESS = 0x58,
    FR_S_PASID_NP = 0x59,
    FR_S_PASID_RSVD = 0x5a,
    FR_S_PASID_INVALID = 0x5b,
    FR_S_SRE = 0x5d,
    FR_FS_ACCESS = 0x70,
    FR_FS_NP = 0x71,
    FR_FS_RSVD = 0x72,
    FR_FS_TOP_ACCESS = 0x73,
    FR_FS_BEYOND_SS = 0x74, /* nested: a first-stage table beyond what the second stage can map */
    FR_FS_TOP_NO_READ = 0x75,
    FR_FS_NO_READ = 0x76,
    FR_FS_NO_WRITE = 0x77, /* nested: accessed/dirty update of a table that the second stage protects */
    FR_SS_ACCESS = 0x78,
    FR_SS_NP = 0x79,
    FR_SS_RSVD = 0x7a,
    FR_SS_TOP_ACCESS = 0x7b,
    FR_S_CANONICAL = 0x80,
    FR_S_USER = 0x81,
    FR_S_WIDTH = 0x83,
    FR_S_SS_WIDTH = 0x84, /* nested: the result of the first stage beyond the second */
    FR_S_NO_WRITE = 0x85,
    FR_S_NO_READ = 0x86,
    FR_S_IRQ_RANGE = 0x87,
    FR_FS_AD = 0x90,
};

/* PERM_U: user access allowed by the first stage; second-stage and pass-through results always have it. */
enum { PERM_R = 1, PERM_W = 2, PERM_U = 16, PERM_ALL = PERM_R | PERM_W | PERM_U };

#define NO_PASID MODEL_NO_PASID

/* ---- Caches ------------------------------------------------------------------------------------- */

#define NIL 0xffffu

/* What an IOTLB or paging entry belongs to, above the PASID in its tag. */
enum mdl_kind {
    KIND_SS, /* second stage, alone or below a first stage: tagged by DID only, PASID 0 */
    KIND_FS, /* first stage, nested: tagged by DID and PASID */
    KIND_PT, /* pass-through in scalable mode: tagged by DID and PASID */
};
#define TAG(kind, pasid) ((u32)(kind) << 20 | (pasid))

struct mdl_ent {
    u64 key;
    u64 v0, v1;
    u32 tag;      /* IOTLB, paging: TAG(); device TLB: PASID + 1, or 0; PASID-cache: PASID, or DIR_TAG */
    u32 by;       /* PASID of the requester whose walk filled it, or NO_PASID */
    u16 did, sid; /* DID tag; that requester */
    u16 next, prev;
};
#define DIR_TAG 0x80000000u

/* A pool without holes, with a hash over the keys: scans touch only what is in use. */
struct mdl_cache {
    struct mdl_ent *e;
    u16 *bucket;
    u16 n, cap, mask;
};

#define GHOSTS 32

struct mdl_ghosts {
    struct mdl_ent e[GHOSTS];
    u8 n, at;
};

/* Low bits of an IOTLB value besides the permissions. */
enum {
    TLB_NP = 4,      /* not present (CM=1) */
    TLB_NONLEAF = 8, /* ... because of an entry above the leaf: IH=1 leaves it alone */
};
#define TLB_PA (~0xfffull)

/* ---- Walks -------------------------------------------------------------------------------------- */

enum mdl_view { VIEW_CPU, VIEW_UNIT };

/* A context entry of either mode. */
struct mdl_ctx {
    u8 reason;
    bool fpd, ats; /* ats: TT=01, or DTE */
    /* legacy */
    u8 tt, levels;
    u16 did;
    u64 table;
    /* scalable */
    bool paside, pre;
    u8 pdts;
    u32 rid_pasid;
    u64 dir;
};

/* Everything a translation needs to know of the entries above the page tables. */
struct mdl_setup {
    u8 reason;
    bool fpd, ats, scalable;
    bool fs, ss;     /* which stages there are; neither: pass-through */
    bool supervisor; /* of the request: privileged, and allowed to be */
    bool sre, wpe, eafe;
    u8 fs_levels, ss_levels;
    u16 did;
    u32 tag; /* of its own results; those of a second stage always have TAG(KIND_SS, 0) */
    u64 fs_table, ss_table;
};

struct mdl_xl {
    u8 reason, perm;
    u8 why; /* not present: the reason to report; 0: 5 or 6 by kind of access */
    bool np, nonleaf;
    u64 pa; /* of the 4 KiB page */
};

/* A requester, as far as tables and tags are concerned. */
struct mdl_who {
    u16 sid;
    bool priv;
    u32 pasid; /* NO_PASID: a request without */
};

/* Entries followed in one stage of a walk: by level, what it pointed at with the permissions so far. */
struct mdl_trail {
    u8 seen;
    u64 next[6];
};

/* One walk from the root, with everything it met on the way. */
struct mdl_path {
    bool has_root, has_ctx, has_dir, has_pasid;
    u64 root[2], ctx[2], dir;
    u64 pasid[2]; /* packed, see mdl_pasid_pack() */
    u32 pasid_number;
    struct mdl_ctx c;
    struct mdl_setup s;
    struct mdl_trail ss, fs;
    u64 gpa; /* of a nested walk: what the first stage gave */
    struct mdl_xl x;
};

/* One outcome, as the unit sees it. */
struct mdl_cand {
    u8 reason, perm, why, via, blame;
    bool fpd, ats; /* of the context entry: FPD; TT=01 or DTE */
    u16 did;
    u32 tag;
    u64 pa;
};

struct mdl_xp {
    struct model *m;
    u64 iova;
    struct mdl_who who;
    u8 at;
    bool fill;
    u8 n;
    struct mdl_path path; /* the fresh walk, as the unit sees memory */
    struct mdl_cand c[MODEL_OUTCOMES];
};

/* ---- Queue -------------------------------------------------------------------------------------- */

#define OPS 64

enum { OP_WAITING, OP_SENT, OP_ANSWERED };

struct mdl_op {
    u64 q[4];
    u32 index;
    u16 delay, timer;
    u8 type, state, answer;
    bool patient; /* it is done when all before it is, though nothing says so */
};

/* Descriptor types, 6.5.2. */
enum {
    D_CONTEXT = 1,
    D_IOTLB = 2,
    D_DTLB = 3,
    D_IEC = 4,
    D_WAIT = 5,
    D_PIOTLB = 6,
    D_PASID = 7,
    D_PDTLB = 8,
    D_PGRESP = 9,
    D_HPT = 0xa,
};

/* ---- Functions, flight, registers --------------------------------------------------------------- */

struct model_fn {
    struct model *m;
    struct model_fn_cfg cfg;
    bool present, bus_master, ats;
    u8 index, npasids;
    u32 pasid[MODEL_FN_PASIDS];
    unsigned responses;
    struct model_page_response response;
};

#define FLIGHTS 16

struct mdl_flight {
    bool used, write, translated;
    u8 fn;
    u16 did, sid;
    u32 tag, pasid, len;
    u64 iova, pa;
    u8 data[64];
};

/* A late completion of a device that was given up (MODEL_ANSWER_LATE). */
struct mdl_late {
    bool used;
    u16 timer;
    u64 q[4];
};

struct mdl_event {
    u32 ctl, data, addr, uaddr;
};

struct mdl_asked {
    struct model_fn *fn;
    u64 e[2];
};

enum { EVENT_FAULT, EVENT_INV, EVENT_PAGE, EVENTS };

#define FRCDS   256
#define RECENT  16
#define WBLINES 256
#define WATCHES 8
#define LATES   8
#define ASKED   8

struct model {
    struct model_cfg cfg;
    struct model_ops ops;
    u64 rng;

    /* derived from the capabilities, because every walk asks for them */
    u16 did_mask;
    u64 beyond_host;    /* address bits that this host does not have */
    u64 pte_rsvd[6][2]; /* by level and by leaf or not: bits that must be 0 */

    /* registers */
    u32 gsts, fsts, pmen, ics;
    unsigned pmen_delay;     /* reads until PRS follows EPM */
    u64 rtaddr, rtaddr_live; /* as written; as latched by SRTP */
    u64 irta, irta_live;
    u64 ccmd, iva, iotlb;
    u64 iqh, iqt, iqa, iqercd;
    u64 pqh, pqt, pqa;
    u32 prs;
    struct mdl_asked asked[ASKED]; /* page requests on their way to the queue */
    u16 nasked;
    bool holds_asked;
    u32 plmbase, plmlimit;
    u64 phmbase, phmlimit;
    struct mdl_event ev[EVENTS];
    u64 frcd[FRCDS][2];
    u16 frcd_next;
    bool dead; /* obeys nothing */
    bool fri_lies;
    u8 fri;
    bool rooted;
    bool need_cc, need_iotlb; /* root pointer set, global flushes still owed */
    bool root_overdue;        /* a wait completed meanwhile: the software believes it is done */
    bool need_iec;            /* interrupt-remapping table pointer set, global flush still owed */

    /* commands under way */
    u32 gcmd_op; /* the changed bits, 0 if none */
    u32 gcmd_value;
    u16 gcmd_delay, ccmd_delay, iotlb_delay;

    /* queue */
    struct mdl_op op[OPS];
    u16 nops;
    bool pumping;

    struct mdl_cache cache[MODEL_CLASSES];
    struct mdl_ghosts ghost[MODEL_CLASSES];

    struct model_fn fn[MODEL_FNS];
    u16 nfn;
    struct mdl_flight flight[FLIGHTS];
    u16 nflights;
    struct mdl_late late[LATES];

    struct {
        u64 page, pages;
    } watch[WATCHES];
    u16 nwatch;
    u64 watched; /* pages in all ranges */
    u32 irte_first, irtes;

    u64 recent[RECENT]; /* lines that walks read through the shadow view */
    u16 recent_at;
    u64 wbline[WBLINES]; /* written back, still in the chipset's write buffer (RWBF) */
    u16 nwbline;

    struct model_stats stats;
    u64 violation[MODEL_VIOLATIONS];

    struct mdl_ent pool_root[64], pool_ctx[256], pool_pasid[512], pool_psc[2048], pool_iotlb[4096],
        pool_iec[256], pool_dtlb[4096];
    u16 b_root[64], b_ctx[64], b_pasid[128], b_psc[512], b_iotlb[2048], b_iec[64], b_dtlb[2048];
};

#define TTM(m) mdl_bits((m)->rtaddr_live, 11, 10)

enum { /* GCMD and GSTS bits */
       G_TE = 31,
       G_SRTP = 30,
       G_WBF = 27,
       G_QIE = 26,
       G_IRE = 25,
       G_SIRTP = 24,
       G_CFI = 23,
};

enum { /* FSTS bits */
       F_PFO = 0,
       F_PPF = 1,
       F_IQE = 4,
       F_ICE = 5,
       F_ITE = 6,
};

#define GSTS(m, bit) (((m)->gsts >> (bit)) & 1)
#define FSTS(m, bit) (((m)->fsts >> (bit)) & 1)

/* ---- model.c ---- */
u32 mdl_rnd(struct model *m, u32 n);
u16 mdl_delay(struct model *m); /* 0 at once, else 1..pace_max */
void mdl_violation(struct model *m, enum model_violation v, u64 detail);
void mdl_trace(struct model *m, u32 type, u64 a, u64 b, u64 c, const u64 *q);
void mdl_speculate(struct model *m);
void mdl_copy(void *dst, const void *src, size_t len);
void mdl_zero(void *dst, size_t len);

/* ---- mem.c ---- */
bool mdl_read(struct model *m, enum mdl_view view, u64 pa, void *buf, u32 len);
bool mdl_read64(struct model *m, enum mdl_view view, u64 pa, u64 *value);
bool mdl_read128(struct model *m, enum mdl_view view, u64 pa, u64 value[2]);
bool mdl_mem_read(struct model *m, u64 pa, void *buf, u32 len);
bool mdl_mem_write(struct model *m, u64 pa, const void *buf, u32 len);
void mdl_write_buffer_flush(struct model *m);
void mdl_evict_some(struct model *m);

/* ---- cache.c ---- */
void mdl_cache_init(struct model *m);
struct mdl_ent *mdl_first(struct model *m, enum model_class c, u64 key, u32 tag);
struct mdl_ent *mdl_next(struct model *m, enum model_class c, const struct mdl_ent *e);
void mdl_insert(struct model *m, enum model_class c, const struct mdl_ent *e);
void mdl_remove(struct model *m, enum model_class c, u16 index);
/* An invalidation takes this entry: counts it, and keeps its ghost if it was stale. */
void mdl_drop(struct model *m, enum model_class c, u16 index);
void mdl_drop_all(struct model *m, enum model_class c);
/* A DMA went the fresh way: would a ghost have answered differently? */
void mdl_haunt(struct model *m, enum model_class c, u64 key, u32 tag, u64 v0, u64 v1);

#define PAGE_BITS 45 /* of an input page: 57 - 12; a canonical address is known by these */
static inline u64 mdl_key_page(u16 tag, u64 iova)
{
    return ((u64)tag << 48) | ((iova >> 12) & (B(PAGE_BITS) - 1));
}
static inline u64 mdl_key_paging(u16 did, unsigned level, u64 iova)
{
    return ((u64)did << 48) | ((u64)level << 45) | ((iova & (B(57) - 1)) >> (12 + 9 * (level - 1)));
}
static inline u64 mdl_key_pasid(u16 sid, u32 pasid_or_index)
{
    return ((u64)sid << 32) | pasid_or_index;
}

/* ---- tables.c: root, context and PASID entries ---- */
void mdl_tables_init(struct model *m);
u8 mdl_root_check(struct model *m, const u64 root[2], u16 sid);
bool mdl_ctx_read(struct model *m, enum mdl_view view, const u64 root[2], u16 sid, u64 ctx[2]);
void mdl_ctx_decode(struct model *m, const u64 ctx[2], struct mdl_ctx *c);
/* A legacy context entry holds the whole setup. */
void mdl_setup_legacy(const struct mdl_ctx *c, struct mdl_setup *s);
/* Scalable: which PASID the request uses; a fault reason, or 0. */
u8 mdl_pasid_number(struct model *m, const struct mdl_ctx *c, const struct mdl_who *who, u32 *pasid);
u8 mdl_dir_check(struct model *m, u64 dir);
bool mdl_pasid_read(struct model *m, enum mdl_view view, u64 dir, u32 pasid, u64 packed[2], u16 *did);
void mdl_setup_scalable(struct model *m, const struct mdl_ctx *c, const struct mdl_who *who, u32 pasid,
                        const u64 packed[2], u16 did, struct mdl_setup *s);

/* ---- walk.c ---- */
void mdl_walk_init(struct model *m);
/* The second stage, from the table at `level` down. `trail` may be NULL. With `fill` the caches learn. */
void mdl_walk_ss(struct model *m, enum mdl_view view, const struct mdl_who *who, const struct mdl_setup *s,
                 u64 table, unsigned level, u8 perm, u64 addr, bool fill, struct mdl_trail *trail,
                 struct mdl_xl *x);
/* The fresh walk through everything that `p->s` names. */
void mdl_walk(struct model *m, enum mdl_view view, const struct mdl_who *who, u64 iova, bool fill,
              struct mdl_path *p);
void mdl_path(struct model *m, enum mdl_view view, const struct mdl_who *who, u64 iova, bool fill,
              struct mdl_path *p);
/* 0, or why this address cannot even be looked up. */
u8 mdl_address_check(struct model *m, const struct mdl_setup *s, u64 iova);
u8 mdl_ss_width(struct model *m, const struct mdl_setup *s, u64 addr);
bool mdl_irq_range(u64 addr);
/* 3.14: a result that would lead into the interrupt range becomes a fault. */
void mdl_forbid_interrupts(const struct mdl_setup *s, struct mdl_xl *x);
/* ---- fs.c ---- */
/* One first-stage entry: a fault, a leaf (then x), or the next table (then *next, *perm). */
enum mdl_step { STEP_DONE, STEP_DOWN };
enum mdl_step mdl_fs_step(struct model *m, enum mdl_view view, const struct mdl_setup *s, u64 table,
                          unsigned level, u64 iova, bool top, bool accessed, u8 *perm, u64 *next,
                          struct mdl_xl *x);
/* What becomes of a second-stage result `r` when a first-stage table stands there. */
u8 mdl_fs_table_fault(const struct mdl_xl *r, bool top);
/* The end of a nested walk: first-stage result `x` through second-stage result `r`. */
void mdl_nest(struct mdl_xl *x, const struct mdl_xl *r);
/* Sets the dirty bit of the leaf, along the fresh way. */
void mdl_fs_dirty(struct model *m, const struct mdl_who *who, u64 iova);

/* ---- explore.c ---- */
void mdl_explore(struct model *m, const struct mdl_who *who, u64 iova, u8 at, bool fill, struct mdl_xp *x);
void mdl_add(struct mdl_xp *x, const struct mdl_setup *s, u8 via, const struct mdl_xl *r);
/* ---- setups.c: every version of what stands above the page tables ---- */
void mdl_explore_setups(struct mdl_xp *x);
void mdl_explore_setup(struct mdl_xp *x, const struct mdl_setup *s, u8 via);
/* ---- fill.c ---- */
/* One of the outcomes, by the policy; counts what was used. */
const struct mdl_cand *mdl_pick(struct mdl_xp *x);
void mdl_fill(struct model *m, const struct mdl_who *who, u64 iova);
void mdl_fill_fn(const struct model_fn *fn); /* all that is watched, of all its PASIDs */

/* ---- inval.c ---- */
void mdl_inv_context(struct model *m, unsigned g, u16 did, u16 sid, unsigned fm);
void mdl_inv_iotlb(struct model *m, unsigned g, u16 did, u64 addr, unsigned am, bool ih, bool dr, bool dw);
void mdl_inv_pasid(struct model *m, unsigned g, u16 did, u32 pasid);
void mdl_inv_piotlb(struct model *m, unsigned g, u16 did, u32 pasid, u64 addr, unsigned am, bool ih);
void mdl_inv_iec(struct model *m, bool global, u16 index, unsigned im);
/* `tag` as in the device TLB's entries; `any`: whatever the tag. */
void mdl_inv_dtlb(struct model_fn *fn, u64 addr, bool s, u32 tag, bool any);
void mdl_inv_all(struct model *m); /* what ESRTPS and TE=0 do: context, PASID, IOTLB, paging */

/* ---- queue.c ---- */
void mdl_queue_tail(struct model *m);
void mdl_queue_enable(struct model *m, bool on);
bool mdl_queue_fetch(struct model *m);  /* one descriptor */
bool mdl_queue_finish(struct model *m); /* one that may finish now */
bool mdl_queue_pass(struct model *m);   /* one step of time for timers and delays */
void mdl_queue_pump(struct model *m);   /* MODEL_PACE_AT_ONCE: until nothing moves */
bool mdl_queue_pending(const struct model *m);
/* ---- desc.c ---- */
unsigned mdl_desc_check(struct model *m, const u64 q[4], bool wide, u8 *type); /* IQEI, 0 if good */
bool mdl_desc_before(const struct mdl_op *a, const struct mdl_op *b);          /* 6.5.2.12 */

/* ---- fault.c ---- */
void mdl_fault(struct model *m, u8 reason, const struct model_req *req, u64 addr);
void mdl_fsts_set(struct model *m, unsigned bit);
void mdl_event_raise(struct model *m, unsigned which);
void mdl_event_try(struct model *m, unsigned which);
void mdl_fsts_write(struct model *m, u32 value);
void mdl_frcd_clear(struct model *m, unsigned index);
bool mdl_fault_qualified(u8 reason);

/* ---- cmd.c: GCMD and the register-based invalidations ---- */
void mdl_gcmd(struct model *m, u32 value);
void mdl_ccmd(struct model *m);
void mdl_iotlb_reg(struct model *m);
bool mdl_cmd_pass(struct model *m);
bool mdl_cmd_pending(const struct model *m);

/* ---- fn.c, dma.c, ir.c ---- */
/* One page or less: translates, records faults, touches no memory. `used` may be NULL. */
struct model_result mdl_translate(struct model *m, const struct model_req *req, struct mdl_cand *used);
struct mdl_who mdl_who(const struct model_req *req);
struct model_result mdl_access(struct model *m, const struct model_req *req, u64 pa, void *buf);
/* Where an access of a function goes (at most one page): by its device TLB, or by the unit. */
struct mdl_target {
    bool translated;
    struct mdl_cand used;
    struct model_result r;
};
struct mdl_target mdl_aim(struct model_fn *fn, struct model_req *req);
struct model_req mdl_request(const struct model_fn *fn, u32 pasid, u64 iova, u32 len, bool write);
/* ---- flight.c ---- */
struct mdl_drain {
    bool any_did, any_tag, reads, writes;
    bool fs_whole; /* first-stage and nested requests of the domain whatever the range (6.5.2.2) */
    u16 did;
    u32 tag;
    u64 first, last; /* input pages */
};
void mdl_drain(struct model *m, const struct mdl_drain *d);
void mdl_drain_fn(struct model_fn *fn, u64 first, u64 last, u32 tag, bool any);
bool mdl_flight_land_one(struct model *m);
bool mdl_pmr_blocks(struct model *m, u64 pa, u32 len);
void mdl_ir_fill(struct model *m, u32 index);
struct model_result mdl_msi(struct model *m, u16 sid, u64 addr, u32 data);
/* Every completion that a translation request could get now is kept; `x` is the untranslated exploration. */
/* prq.c */
void mdl_prs_write(struct model *m, u32 value);
void mdl_page_response(struct model *m, const u64 q[4]);
void mdl_page_drain(struct model *m); /* what the unit still holds is in the queue */
void mdl_dtlb_fill(struct model_fn *fn, const struct mdl_xp *x);

#endif
