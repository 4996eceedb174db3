/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A functional model of a VT-d unit and of the PCI functions behind it: the judge of iommu/.
 *
 * Registers go in, DMA goes in, memory accesses and interrupts come out. The model is written from the
 * specification alone and shares no code, header or constant with iommu/, so that a wrong layout there
 * cannot agree with itself here. It needs no libc, no allocation, no floating point and no SSE.
 *
 * What makes it a judge is that it keeps every cached entry for as long as the specification allows:
 *
 *  - A cache holds, for each tag, every version that could have been filled since the last invalidation
 *    that covers the tag. Nothing is evicted before its time.
 *  - A DMA first enumerates every outcome that some combination of cached entries and of fresh walks
 *    allows, then picks one: by seed, or the stalest one if the cache class is forced to keep everything.
 *  - model_outcomes() gives that same list to an oracle, which can then judge all of them instead of
 *    the one that the seed happened to pick.
 *
 * Section numbers in comments are those of revision 5.10 of the architecture specification.
 */
#ifndef TESTS_MODEL_MODEL_H
#define TESTS_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct model;    /* a unit; opaque, lives in memory that the caller supplies */
struct model_fn; /* a PCI function behind a unit; lives inside its unit */

/* ---- What may be cached ------------------------------------------------------------------------- */

enum model_class {
    MODEL_C_ROOT,    /* root entries; they fall only with a global context-cache invalidation */
    MODEL_C_CONTEXT, /* context entries */
    MODEL_C_PASID,   /* PASID-directory and PASID-table entries (scalable mode) */
    MODEL_C_PAGING,  /* paging-structure caches: entries that link a lower table */
    MODEL_C_IOTLB,   /* leaves, one per 4 KiB: a large page may be cached in pieces */
    MODEL_C_IEC,     /* interrupt entries */
    MODEL_C_DTLB,    /* the device TLBs of the functions */
    MODEL_CLASSES,
};

/* How a DMA chooses between what is cached and what the tables say now. */
enum model_keep {
    MODEL_KEEP_RANDOM, /* by seed */
    MODEL_KEEP_ALL,    /* the stale version whenever there is one */
    MODEL_KEEP_NONE,   /* never the cached one (a unit without this cache) */
};

/* How fast the unit works. */
enum model_pace {
    MODEL_PACE_AT_ONCE, /* a tail write is done when it returns; only silent devices take time */
    MODEL_PACE_DELAYED, /* each command and descriptor takes 1..pace_max steps, chosen by seed */
    MODEL_PACE_MANUAL,  /* model_step() does exactly one thing that may happen next */
};

struct model_cfg {
    uint64_t cap, ecap; /* CAP and ECAP; the model does what they announce */
    uint32_t version;   /* VER: major in 7:4, minor in 3:0 */
    uint64_t seed;
    uint8_t haw;                 /* host address width in bits; 0 means 46 */
    uint8_t keep[MODEL_CLASSES]; /* enum model_keep */
    uint8_t pace;                /* enum model_pace */
    uint16_t pace_max;
    bool step_on_read;    /* each register read lets one step pass, so that a polling driver makes progress */
    uint16_t pending;     /* descriptors fetched but not completed, at most; 0 means 32 */
    uint16_t speculate;   /* speculative fills per step */
    uint16_t ite_steps;   /* steps until a silent device is reported as time-out; 0: never reported */
    bool ite_no_sid;      /* the unit does not say whose time-out it was (ITESID=0) */
    bool compress;        /* fold faults of a source that has a record pending already (7.4.1) */
    bool pmr_ignored;     /* with translation on, protected regions are not enforced (the unit may choose) */
    uint8_t gran_iqei;    /* IQEI for a reserved granularity: 3 or 4; 0 means 4 */
    bool plain_takes_all; /* a device-TLB request without PASID reaches entries of every PASID, too */
    bool any_ctx_did;     /* a device-selective context flush ignores DID (default: DID must match, 10.4.7) */
    /*
     * The unit's own view of memory, used when ECAP.C=0 (the unit does not snoop) or CAP.RWBF=1: table
     * reads inside [shadow_base, shadow_base+shadow_size) come from `shadow`, where lines arrive by
     * model_writeback() only (and, with RWBF=1, after a write-buffer flush), or whenever the seed evicts
     * one. NULL: no such view, everything is coherent.
     */
    void *shadow;
    uint64_t shadow_base, shadow_size;
};

/* ---- What the world does for the model ---------------------------------------------------------- */

enum model_event_type {
    MODEL_EV_REG_WRITE,  /* a = offset, b = value, c = width */
    MODEL_EV_FETCH,      /* q[0..3] = the descriptor, a = index in the ring */
    MODEL_EV_COMPLETE,   /* a descriptor other than a wait took effect; q[], a = index */
    MODEL_EV_WAIT,       /* a wait completed; q[], a = index */
    MODEL_EV_ABORT,      /* a descriptor was given up after a time-out; q[], a = index */
    MODEL_EV_QUEUE_ERR,  /* a = IQEI, b = index */
    MODEL_EV_ITE,        /* a = source-id */
    MODEL_EV_ICE,        /* a = source-id */
    MODEL_EV_FAULT,      /* a = reason, b = source-id, c = address */
    MODEL_EV_DTLB_FLUSH, /* a device executed an invalidation: a = source-id, b = address, c = pages (0: all)
                          */
    MODEL_EV_DMA,        /* a DMA reached memory: a = source-id, b = host address, c = input address */
    MODEL_EV_PAGE_AGAIN, /* a page request that was held found no room, and has got its answer; q[] as in the
                            queue */
    MODEL_EV_VIOLATION,  /* a = enum model_violation, b = detail */
};

struct model_event {
    uint32_t type;
    uint64_t a, b, c;
    uint64_t q[4];
};

struct model_ops {
    void *ctx;
    /* Physical memory as the processor sees it. false: nothing answers there. */
    bool (*mem_read)(void *ctx, uint64_t pa, void *buf, size_t len);
    bool (*mem_write)(void *ctx, uint64_t pa, const void *buf, size_t len);
    /* Optional, makes walks fast: `len` bytes at `pa` in place, or NULL. */
    const void *(*mem_map)(void *ctx, uint64_t pa, size_t len);
    /* A message-signalled interrupt leaves the unit: its own events, or a device's (after remapping). */
    void (*interrupt)(void *ctx, uint64_t addr, uint32_t data);
    void (*trace)(void *ctx, const struct model_event *event); /* optional */
};

/* ---- A unit ------------------------------------------------------------------------------------- */

/* Memory for one unit with its functions and caches. Alignment 16. */
#define MODEL_BYTES (768u * 1024u)

/* Returns NULL if `len` is too small. The unit is as after reset. `cfg` and `ops` are copied. */
struct model *model_init(void *mem, size_t len, const struct model_cfg *cfg, const struct model_ops *ops);
/* Chance goes on from another seed: for a caller that puts an earlier state of the memory back. */
void model_seed(struct model *m, uint64_t seed);

/* The register window (section 11.4); width 1, 2, 4 or 8. Offsets beyond the window read 0. */
uint64_t model_reg_read(struct model *m, uint32_t off, unsigned width);
void model_reg_write(struct model *m, uint32_t off, unsigned width, uint64_t value);

/* Let time pass: commands complete, descriptors complete in any order that 6.5.2.12 leaves open, DMA in
 * flight lands, caches fill themselves, silent devices time out. Returns false if nothing could happen. */
bool model_step(struct model *m);
/* Up to `steps` steps; stops early when nothing is left to happen. */
void model_run(struct model *m, unsigned steps);
/* Is anything under way (commands, descriptors, DMA in flight)? */
bool model_busy(const struct model *m);

/* The software wrote a cache line back (CLFLUSH and its like). A no-op without a shadow view. */
void model_writeback(struct model *m, uint64_t pa, uint64_t len);

/* Changes of policy in the middle of a test. */
void model_set_keep(struct model *m, enum model_class c, enum model_keep keep);
void model_set_pace(struct model *m, enum model_pace pace, unsigned pace_max);
/* A broken unit: registers keep what they show, whatever is written; no step does anything. */
void model_set_dead(struct model *m, bool dead);
/* ... and one whose FSTS.FRI always reads as this. */
void model_set_fri(struct model *m, uint8_t fri);

/* ---- PCI functions ------------------------------------------------------------------------------ */

/* How a device TLB answers an invalidation request. */
enum model_answer {
    MODEL_ANSWER_OK,
    MODEL_ANSWER_SLOW,  /* after answer_steps steps */
    MODEL_ANSWER_NEVER, /* never, and keeps its entries: the unit reports ITE after ite_steps */
    MODEL_ANSWER_LATE,  /* like NEVER, but answers answer_steps after the time-out: unexpected, hence ICE */
    MODEL_ANSWER_LOST,  /* drops its entries, but the completion is lost: ITE after ite_steps */
    MODEL_ANSWER_BOGUS, /* a completion nobody asked for (ICE), then the right one */
};

struct model_fn_cfg {
    uint16_t sid;    /* bus 15:8, device 7:3, function 2:0 */
    bool ats, pasid; /* capabilities */
    uint8_t qdep;    /* invalidate queue depth; 0 means 32 */
    uint16_t pfsid;  /* the physical function of a virtual one; 0: this is a physical function */
    uint8_t answer;  /* enum model_answer */
    uint16_t answer_steps;
    bool forges; /* may send translated requests with ATS disabled or to any address */
};

#define MODEL_FNS       16
#define MODEL_FN_PASIDS 8
#define MODEL_NO_PASID  0xffffffffu

/* Adds a function, present and in reset state (bus master off, ATS off). NULL when MODEL_FNS are in use. */
struct model_fn *model_fn_add(struct model *m, const struct model_fn_cfg *cfg);
struct model_fn *model_fn_find(struct model *m, uint16_t sid);
uint16_t model_fn_sid(const struct model_fn *fn);

void model_fn_set_bus_master(struct model_fn *fn, bool on);
/* The ATS enable bit. Turning it off keeps what the device TLB holds, until an invalidation or a reset. */
void model_fn_set_ats(struct model_fn *fn, bool on);
bool model_fn_ats(const struct model_fn *fn);
void model_fn_set_answer(struct model_fn *fn, enum model_answer answer, unsigned steps);
/* This function sends requests with this PASID, too: speculation and model_fill_all() know of it. */
bool model_fn_use_pasid(struct model_fn *fn, uint32_t pasid);
/* FLR: everything the function held is gone, bus master and ATS are off. */
void model_fn_reset(struct model_fn *fn);
/* Surprise removal and return: an absent function answers nothing. */
void model_fn_set_present(struct model_fn *fn, bool present);

/* ---- DMA ---------------------------------------------------------------------------------------- */

enum model_at { /* the AT field of a request, as on the link */
                MODEL_UNTRANSLATED = 0,
                MODEL_TRANSLATION_REQUEST = 1,
                MODEL_TRANSLATED = 2,
};

struct model_req {
    uint16_t sid;
    uint8_t at; /* enum model_at */
    bool write;
    bool has_pasid;
    uint32_t pasid;
    bool exe, priv;
    uint64_t addr;
    uint32_t len; /* bytes; 0 with a read is the zero-length read */
};

enum model_status {
    MODEL_OK,
    MODEL_BLOCKED,   /* `reason` says why (7.1.3); 0: blocked without a fault (bus master off, PMR, TE=0) */
    MODEL_INTERRUPT, /* the request was an interrupt and was delivered */
    MODEL_NO_MEMORY, /* allowed, but nothing answers at the host address */
};

struct model_result {
    uint8_t status; /* enum model_status */
    uint8_t reason;
    uint8_t perm;           /* of a translation completion: bit 0 read, bit 1 write */
    bool untranslated_only; /* of a translation completion: the U bit */
    uint64_t pa;            /* host address of the first byte, or of the fault */
};

/* One request by a requester, whether it is a known function or not; crosses pages where it must. `buf`
 * has `len` bytes, read into or written from; ignored for a translation request. */
struct model_result model_dma(struct model *m, const struct model_req *req, void *buf);

/* The DMA engine of a function: uses its device TLB if ATS is enabled (asking for a translation where it
 * holds none, or going untranslated, as the seed likes), and untranslated requests otherwise. */
struct model_result model_fn_dma(struct model_fn *fn, uint64_t iova, uint32_t len, bool write, void *buf);

/* The same with a PASID (MODEL_NO_PASID: without). */
struct model_result model_fn_dma_pasid(struct model_fn *fn, uint32_t pasid, uint64_t iova, uint32_t len,
                                       bool write, void *buf);

/* The same, but split: `begin` translates and leaves the DMA in flight (at most 64 bytes, inside a page),
 * it lands later: in a model_step(), in model_fn_land(), or in the invalidation that drains it. */
struct model_result model_fn_dma_begin(struct model_fn *fn, uint64_t iova, uint32_t len, bool write,
                                       const void *buf);
struct model_result model_fn_dma_begin_pasid(struct model_fn *fn, uint32_t pasid, uint64_t iova, uint32_t len,
                                             bool write, const void *buf);
void model_fn_land(struct model_fn *fn); /* everything of this function that is in flight, now */

struct model_flight {
    uint16_t sid;
    bool write, translated;
    uint32_t pasid; /* MODEL_NO_PASID: without */
    uint64_t iova, pa;
    uint32_t len;
};
/* What is in flight, for the oracle: fills at most `max`, returns how many there are. */
unsigned model_inflight(struct model *m, struct model_flight *out, unsigned max);

/* The unit blocks the request, for a reason of its own that its tables do not give, and records that. */
void model_fault(struct model *m, uint8_t reason, const struct model_req *req);

/* ---- Page requests (7.5) ------------------------------------------------------------------------ */

struct model_page_request {
    uint32_t pasid; /* MODEL_NO_PASID: without */
    uint64_t addr;
    uint16_t group; /* 9 bits */
    bool read, write, last;
};

struct model_page_response {
    uint32_t pasid;
    uint16_t group;
    uint8_t code; /* 0 success, 1 invalid request, 15 failure */
};

/* Sends one. true: it is in the queue; false: the unit refused it and, where it must, has answered itself. */
bool model_fn_page_request(struct model_fn *fn, const struct model_page_request *r);
/* Those that the unit accepts from now on stay inside it until a wait with PD drains them (7.11), or this is
 * over. */
void model_hold_page_requests(struct model *m, bool hold);
/* How many responses the function has got; `last` (may be NULL) receives the last one. */
unsigned model_fn_responses(const struct model_fn *fn, struct model_page_response *last);

/* ---- For the oracle ----------------------------------------------------------------------------- */

/* The input pages that speculation and model_fill_all() care about (every page that a DMA used counts
 * anyway once it is cached). Up to 8 ranges; returns false when they are used up. */
bool model_watch(struct model *m, uint64_t iova, uint64_t pages);

/* The same for entries of the interrupt-remapping table. */
void model_watch_irtes(struct model *m, uint32_t first, uint32_t count);

/* Worst case before a change: every cache fills itself with everything that the present tables, and what
 * is cached already, allow: each known function x each watched page, device TLBs included. */
void model_fill_all(struct model *m);
/* The same for some pages of one function. */
void model_fill(struct model *m, uint16_t sid, uint64_t iova, uint64_t pages);

/* One thing that can happen to a request for a page. Equal outcomes are reported once. */
struct model_outcome {
    uint8_t status; /* MODEL_OK, MODEL_BLOCKED (perm 0) */
    uint8_t reason; /* of MODEL_BLOCKED */
    uint8_t perm;   /* bit 0 read, bit 1 write */
    uint8_t via;    /* bit per enum model_class: stale entries of these classes are to blame */
    bool stale;     /* differs from what the tables, as the processor sees them, say now */
    bool device;    /* the answer is in the device TLB: a translated request will be made */
    uint64_t pa;    /* of the 4 KiB page */
};
#define MODEL_OUTCOMES 32

/* Every outcome that hardware is allowed to produce now for `iova`, the fresh one first. Nothing is
 * filled and nothing is counted. Returns how many were stored. */
unsigned model_outcomes(struct model *m, uint16_t sid, uint64_t iova, struct model_outcome *out,
                        unsigned max);
/* Is there a stale one among them? Returns the classes to blame (bit per class), 0 if none. Bit
 * MODEL_CLASSES: no cache is to blame, the unit does not see what the processor wrote (C=0, RWBF=1). */
unsigned model_stale(struct model *m, uint16_t sid, uint64_t iova);
/* Does the interrupt-entry cache hold a version of this entry that memory no longer has? */
bool model_stale_irte(struct model *m, uint32_t index);
/* Every version of this entry that an interrupt may meet now: that of memory, then those of the cache. 0
 * while remapping is off. */
unsigned model_irte_versions(struct model *m, uint32_t index, uint64_t out[][2], unsigned max);
/* What the tables say now, as the processor sees them, without any cache and without faults recorded. */
struct model_outcome model_fresh(struct model *m, uint16_t sid, uint64_t iova);

/* The same for requests with a PASID (MODEL_NO_PASID: without). */
unsigned model_outcomes_pasid(struct model *m, uint16_t sid, uint32_t pasid, uint64_t iova,
                              struct model_outcome *out, unsigned max);
unsigned model_stale_pasid(struct model *m, uint16_t sid, uint32_t pasid, uint64_t iova);
struct model_outcome model_fresh_pasid(struct model *m, uint16_t sid, uint32_t pasid, uint64_t iova);
void model_fill_pasid(struct model *m, uint16_t sid, uint32_t pasid, uint64_t iova, uint64_t pages);

struct model_counts {
    uint64_t stale;   /* a cached version that differed from the tables was used by a DMA */
    uint64_t dropped; /* entries an invalidation dropped */
    uint64_t saved;   /* of these: stale at that moment; a DMA could have used them */
    uint64_t would;   /* a DMA for which a dropped stale version would still have answered */
};

struct model_stats {
    struct model_counts c[MODEL_CLASSES];
    uint64_t fetched, completed, waits, tails, dma, faults, drained, overflow;
};
/* The counters; the caller may zero them. */
struct model_stats *model_stats(struct model *m);

/* ---- The monitor: what the software driving the unit did wrong ---------------------------------- */

enum model_violation {
    MODEL_V_WIDTH,            /* access not 4 or 8 bytes, misaligned, or 8 bytes over two registers */
    MODEL_V_READ_ONLY,        /* write to a read-only or unknown register */
    MODEL_V_RESERVED,         /* a reserved bit of a register written as 1 */
    MODEL_V_GCMD_MANY,        /* more than one change in a GCMD write (11.4.4.1) */
    MODEL_V_GCMD_PENDING,     /* GCMD written while an earlier command was not reported done */
    MODEL_V_GCMD_UNSUPPORTED, /* a command the capabilities do not offer */
    MODEL_V_TTM,              /* reserved TTM, or TTM changed with TE on and ESRTPS=0 */
    MODEL_V_ROOT_NO_FLUSH,    /* root pointer set, then used without global context + IOTLB flush (6.6) */
    MODEL_V_TE_NO_ROOT,       /* translation enabled before a root table was ever set */
    MODEL_V_IQA_BUSY,         /* IQA changed while queued invalidation is on */
    MODEL_V_QIE_TAIL,         /* QIE set with IQT != 0 (6.5.2) */
    MODEL_V_QIE_BUSY,         /* QIE cleared while descriptors were pending */
    MODEL_V_REG_INV,          /* register-based invalidation while QI is on, or gone in this version */
    MODEL_V_REG_INV_BUSY,     /* CCMD or IOTLB written while ICC/IVT is set */
    MODEL_V_GRANULARITY,      /* reserved granularity, or page-selective without PSI or with AM > MAMV */
    MODEL_V_DESCRIPTOR,       /* a descriptor raised IQE */
    MODEL_V_TAIL,             /* a tail write raised IQE */
    MODEL_V_DTLB_TARGET,      /* device-TLB request to a function that cannot answer */
    MODEL_V_DTLB_FIELDS,      /* wrong PFSID or MIP for the function */
    MODEL_V_STATUS_ADDR,      /* wait status where no memory answers, or in the interrupt range */
    MODEL_V_EVENT_ADDR,       /* event message outside the interrupt range */
    MODEL_V_DID,              /* two present entries share a DID with different tables (6.2.3.1) */
    MODEL_V_DID_ZERO,         /* a present entry with DID 0 while CM=1 */
    MODEL_V_AW,               /* AW that SAGAW does not offer, or not the largest for pass-through */
    MODEL_V_IRTA,             /* interrupt-remapping table pointer misuse */
    MODEL_V_PMR,              /* protected-region registers changed while enabled */
    MODEL_VIOLATIONS,
};
/* How many in all; and of one kind. */
uint64_t model_violations(const struct model *m);
uint64_t model_violation_count(const struct model *m, enum model_violation v);
const char *model_violation_name(enum model_violation v);
void model_clear_violations(struct model *m);

#endif
