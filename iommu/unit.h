/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One remapping unit: the real one, the virtual one the guest sees in its place, and what lies between them.
 * All of it is under unit->lock; there is no state that two units share.
 */
#ifndef IOMMU_UNIT_H
#define IOMMU_UNIT_H

#include "iommu/desc.h"
#include "iommu/env.h"
#include "iommu/iommu.h"
#include "iommu/tables.h"

/* Domain-id 0 is reserved by units that report caching mode; 1 is ours. */
#define DID_NONE     0
#define DID_IDENTITY 1
#define DID_FIRST    2

/* A sparse table from a 16-bit id to a u16, 0 where nothing was stored; its pages come when they are needed.
 */
#define IDMAP_PER_PAGE (PAGE_SIZE / sizeof(u16))
struct idmap {
    u16 *pages[65536 / IDMAP_PER_PAGE];
};

/* The slot of `id`; NULL when it has none and `create` is false or memory is short. */
static inline u16 *idmap_slot(struct idmap *map, u16 id, bool create)
{
    u16 **page = &map->pages[id / IDMAP_PER_PAGE];

    if (!*page && create)
        *page = env_page_alloc();
    return *page ? &(*page)[id % IDMAP_PER_PAGE] : NULL;
}

/* A function whose ATS enable has been seen set: it may hold device-TLB entries. */
struct fn {
    u16 sid;
    u16 pfsid;
    u8 depth;        /* ATS invalidate queue depth, 0 = 32 */
    bool gate;       /* policy trusts it: a context entry of its may say TT_ATS */
    bool dead;       /* did not answer an invalidation: quarantined */
    bool silent;     /* ATS is about to be switched on: it holds nothing and would not answer */
    bool whole;      /* this batch: flush all it holds */
    bool pasids;     /* requests of its have carried PASIDs since ATS came on */
    bool pages;      /* its hardware entry lets it send page requests */
    u16 first_att;   /* the domains it reaches */
    u32 asked, sent; /* device-TLB descriptors of the guest and of ours */
    u64 devtlb_low;  /* what all device-TLB descriptors without PASID to it begin with */
};
#define MAX_FNS 512

/* One way of such a function into a host domain: its plain requests (rid), or those that carry a PASID. */
struct att {
    u16 fn, did;
    u16 next_of_fn, next_of_domain;
    u32 pasid;
    bool rid;
};
#define ATT_PAGES 8
#define MAX_ATTS  (ATT_PAGES * PAGE_SIZE / sizeof(struct att))

/* What a guest's context or PASID entry asks for, in the words of a PASID entry (9.6). */
struct translation {
    u8 pgtt;
    u8 levels; /* of the table at `root` */
    u16 did;
    bool snoop; /* PGSNP */
    bool nxe;   /* NXE, which matters to first-stage entries only */
    u64 root;
};

/* The guest's PASID directory of a function. */
struct guest_dir {
    u64 at;
    u32 entries; /* 0: the guest is in legacy mode */
    u32 rid_pasid;
    bool pasids; /* requests may carry PASIDs */
};

/*
 * Our PASID directory of one function (9.5), in scalable mode. The first half of the page is hardware's, 2^8
 * entries of 64 PASIDs each; what it stands for is kept in the second half.
 */
#define DIR_ENTRIES 256
#define PASID_BITS  14
#define DIR_PDTS    1 /* 2^(1 + 7) entries */
struct shadow_dir {
    u64 entry[DIR_ENTRIES];
    struct shadow_dir *next;
    struct guest_dir guest;
    u16 sid;
    bool dropped; /* no context entry leads here any more */
};
_Static_assert(sizeof(struct shadow_dir) <= PAGE_SIZE, "a page");

/*
 * A host domain: one table in hardware. The guest's (domain-id, stage, table, width) maps to one of ours; the
 * same guest domain-id with two tables is two of ours (first-stage tables of several PASIDs, hostile guests,
 * and guests between two flushes). So no two tables ever share a host domain-id (6.2.3.1).
 *
 *     pgtt           root   hardware uses
 *     PGTT_SECOND    ours   a shadow of the guest's second-stage table, or the identity map
 *     PGTT_FIRST     ours   the same in first-stage format, where the unit has no second stage
 *     PGTT_NESTED    NULL   the guest's first-stage table on top of the identity map
 *     PGTT_FIRST     NULL   the guest's first-stage table and nothing below it (firststage=direct)
 */
struct domain {
    u16 did; /* ours; the index of this struct */
    u16 guest_did;
    u16 next_same; /* next host domain of the same guest domain-id */
    u16 first_att; /* ATS functions in it */
    u32 refs;      /* context and PASID entries that name it */
    u32 pasid;     /* of the requests that reach it; PASID_MANY: several */
    u8 pgtt;
    u8 levels;
    bool live;
    bool touched;              /* this batch: in the unit's touched list */
    bool all;                  /* this batch: flush the whole domain */
    bool sync_all;             /* this batch: bring all of its table up to date first */
    bool short_of_memory;      /* told once */
    u16 nr_ranges, last_range; /* this batch: of plan.ranges, while touched */
    u16 nr_atts;
    struct domain *next_touched;
    u64 pages;       /* this batch: sum of its ranges, to see when one pass over all of them is cheaper */
    u64 guest_root;  /* guest-physical; unused for the identity domain */
    u64 *root;       /* our top-level table; NULL: the guest's own is used */
    u32 asked, sent; /* IOTLB descriptors of the guest and of ours */
};
#define PASID_MANY       ~0u
#define DOMAINS_PER_PAGE 32
_Static_assert(sizeof(struct domain) * DOMAINS_PER_PAGE <= PAGE_SIZE, "a page of domains");

struct planned_range {
    struct range range;
    struct domain *domain;
};

struct devtlb_request {
    u16 fn; /* index */
    struct range range;
    u32 pasid;
    bool with_pasid, all_pasids;
};

struct guest_wait {
    u64 address;
    u32 data;
    bool status, interrupt;
};
#define WAITS_PER_PAGE (PAGE_SIZE / sizeof(struct guest_wait))
_Static_assert(sizeof(struct guest_wait) == 16, "a page of waits");

/* What one batch must do: filled by decoding, turned into host descriptors by plan_emit(). */
#define PLAN_DEVTLB     256
#define PLAN_RANGES     256
#define PLAN_CONTEXT    64
#define PLAN_WHOLE      64
#define PLAN_IEC        64
#define PLAN_WAIT_PAGES 128 /* the longest ring has 2^15 entries */
/* Entries looked at one by one; more than that and all are looked at, once, when the batch is emitted. */
#define PLAN_LOOKS 512
struct plan {
    union {
        struct {
            bool iec_all;
            bool context_all; /* guest asked for more than single functions */
            bool pasid_all;   /* likewise for PASID-table entries */
            bool iotlb_all;
            bool devtlb_all; /* every ATS function of the unit, whole */
            bool asked_all; /* likewise, and the guest itself asked: its requests are more than the list holds
                             */
            struct domain *touched; /* list */
            u16 nr_ranges;
            u16 nr_devtlb;
            u16 nr_context;
            u16 nr_pasid;
            u16 nr_whole;
            u16 nr_iec;
            u16 nr_waits;
            bool drain; /* a wait asked for page requests to be drained */
        };
        u64 marks[4]; /* all 0: there is nothing to do */
    };
    u32 looked;
    u16 cursor; /* where the last search in the ranges ended */
    struct planned_range ranges[PLAN_RANGES];
    struct devtlb_request devtlb[PLAN_DEVTLB]; /* the guest's own */
    struct {
        u16 sid, did; /* did: host domain-id of the entry before the change */
    } context[PLAN_CONTEXT];
    struct {
        u32 pasid;
        u16 did; /* host domain-id of the entry before the change */
    } pasid[PLAN_CONTEXT];
    struct {
        u16 index;
        u8 order;
    } iec[PLAN_IEC];
    u16 whole[PLAN_WHOLE]; /* functions all of whose device TLB goes */
    /* In the guest's order: a batch may be a whole ring. The pages come when they are needed, and stay. */
    struct guest_wait *waits[PLAN_WAIT_PAGES + 1];
};
_Static_assert(offsetof(struct plan, looked) == 4 * sizeof(u64), "plan_empty() and plan_reset()");

/* Page requests, prq.c. A group is followed from its last request until its response has left. */
#define PRQ_GROUPS 128
struct page_group {
    u16 sid, index;
    u32 pasid;
    bool with_pasid, emitted;
    u8 code;
    enum { GROUP_FREE, GROUP_ASKED, GROUP_ANSWERED } state;
};
struct page_queue {
    volatile struct page_request *ring; /* NULL: the unit has no page requests */
    u16 answers;                        /* groups that are answered and not yet done */
    bool full;                          /* a request waits for a group to end */
    struct page_group groups[PRQ_GROUPS];
};

/* The real unit's queue. At most one batch is outstanding, so that a batch is also the unit of waiting. */
#define HQ_PAGES 16
/* A flush of everything always fits: two requests to each function, in descriptors that take two slots each.
 */
_Static_assert(HQ_PAGES *PAGE_SIZE / (2 * sizeof(struct desc)) >= 2 * MAX_FNS + PLAN_DEVTLB + PRQ_GROUPS + 10,
               "hostq_room()");
#define UNIT_ALONE 0xffff /* no function at all */
struct host_queue {
    struct desc *ring; /* in scalable mode each descriptor takes two slots, the second one 0 */
    u32 mask;          /* slots - 1 */
    u32 step;          /* slots of one descriptor */
    u32 tail;          /* where the next descriptor goes */
    u32 written;       /* up to here it is in memory (ECAP.C=0) */
    u32 first;         /* first descriptor of the batch being built or outstanding */
    /* One page of words that waits write: a late one cannot hit the word of the present one. */
    volatile u32 *status;
    u64 status_phys;
    u32 cookie;  /* unique value of the outstanding wait */
    bool piotlb; /* the batch being built has a PASID-IOTLB descriptor */
    bool busy;
    bool event_armed;
    u64 since_us;
    u32 retries;
    u16 suspect; /* somebody does not answer, and this is the function that is asked now; 0 = all are */
    bool lost;   /* the unit obeys no more: nothing is sent to it, and nothing behind it may do DMA */
    u32 errors;  /* FSTS bits of errors that have been seen, for who is interested */
};

enum count_kind {
    COUNT_CONTEXT,
    COUNT_IOTLB,
    COUNT_DEVTLB,
    COUNT_IEC,
    COUNT_WAIT,
    COUNT_PASID,
    COUNT_PIOTLB,
    COUNT_PDEVTLB,
    COUNT_PAGE_RESPONSE,
    NR_COUNT
};

/* The virtual unit's registers; the array is what the guest reads. */
#define VREGS_SIZE 0x2a0
struct vunit {
    u32 regs[VREGS_SIZE / 4];
    u64 cap, ecap;
    struct desc_rules rules;
    u64 root;                             /* latched by SRTP */
    bool enabled;                         /* TE as the guest set it */
    u64 irta;                             /* latched by SIRTP */
    bool ir_enabled;                      /* IRE as the guest set it */
    u8 next_fault;                        /* record that the next fault goes into */
    u32 gsts_on_finish;                   /* GSTS bits that change when the outstanding batch is done */
    bool ccmd_on_finish, iotlb_on_finish; /* register-based invalidations, likewise */
};

struct unit {
    struct env_lock lock;
    u16 index;
    u16 segment;
    u64 base, size; /* register window */
    void *regs;
    u64 cap, ecap;
    u32 gsts;      /* persistent command bits as we set them */
    bool scalable; /* the table mode of root_off and root_on */
    u8 own_pgtt; /* the format of tables that are ours: PGTT_SECOND, or PGTT_FIRST where there is no other */
    u8 first_pgtt; /* what a guest's first-stage table becomes: PGTT_NESTED, PGTT_FIRST; 0: not announced */
    bool coherent, drain_reads, drain_writes, psi, device_tlb;
    unsigned mamv;
    unsigned iotlb_off, frcd_off, nr_frcd;
    unsigned did_limit; /* first domain-id the unit cannot tell apart */
    u64 sslps;
    u8 max_levels;

    struct root_entry *root_off; /* in force while the guest's translation is off: everything identity */
    struct root_entry *root_on;  /* in force while it is on: shadows of the guest's entries */
    struct context_entry *context_off;     /* the one table all of root_off names */
    struct context_entry *context_on[512]; /* by bus; in scalable mode two for each, device 16 and up apart */
    struct shadow_dir *dir_off;            /* scalable mode: what all of context_off names */
    struct shadow_dir *dirs;               /* scalable mode: all in use by context_on */
    u16 doubtful; /* without caching mode: its entries may have become present unseen, as it had a fault */

    struct domain *domains[65536 / DOMAINS_PER_PAGE];
    u16 next_did;            /* never used yet */
    u16 free_did;            /* list of free ones through next_same */
    u16 dying;               /* list, through next_same: refs 0, freed when the flush is done */
    struct idmap guest_dids; /* guest domain-id -> first host domain */
    void *limbo;             /* table pages that hardware may still read, through env_page_note() */

    struct fn fns[MAX_FNS]; /* slot 0 stays empty */
    u16 nr_fns;             /* slots in use, the empty ones between them included */
    struct idmap fn_of_sid;

    struct irte *irt; /* interrupt remapping table; NULL where the unit has none */
    u32 irt_used;     /* entries that may be present */

    struct att *atts; /* slot 0 stays empty */
    u16 free_att;
    u16 next_att;   /* never used yet */
    bool atts_lost; /* there were too many: each flush reaches every function */

    /* A storm of faults: how many since when, and whether the unit's event is masked for a while. */
    u64 fault_since_us;
    u32 fault_count;
    bool faults_masked;

    struct plan plan;
    struct host_queue hq;
    struct page_queue prq;
    struct vunit v;
    u64 guest_count[NR_COUNT], host_count[NR_COUNT];
    struct inside_record *ring;
    u64 ring_next; /* entries ever written */
    u64 ring_time;
    u32 batch;
};

/* A power of two, in whole pages. */
#define RING_ENTRIES 2048u
_Static_assert(sizeof(struct inside_record) == 32, "two share a cache line; docs/hypercalls.md");

extern struct iommu_options iommu_opts;
#define MAX_UNITS 16
extern struct unit *units[MAX_UNITS];
extern unsigned nr_units;

/* --- hw.c: bring-up and commands of the real unit --- */
/* Reads capabilities and refuses what we cannot drive; changes nothing. */
int hw_probe(struct unit *u) __must_check;
int hw_takeover(struct unit *u) __must_check; /* hw_translate(), and all that follows it */
/* Queue, root pointer, TE; see the order there. */
int hw_translate(struct unit *u) __must_check;
/* Until the unit translates for us, devices stay out of [base, base+size): by firmware's translation, or by
 * protected memory. *bare is set where it has neither. */
int hw_guard(struct unit *u, u64 base, u64 size, bool *bare) __must_check;
/* The interrupt remapping table; then, after an interrupt-entry flush, remapping on, with
 * compatibility-format interrupts passed or blocked. */
int hw_set_irta(struct unit *u, u64 irta) __must_check;
int hw_remap(struct unit *u, bool compatibility) __must_check;
int hw_set_root(struct unit *u, const struct root_entry *root) __must_check;
int hw_restart_queue(struct unit *u) __must_check; /* nothing that it held is left */
/* Before a new table is linked: from here on the unit sees what is in it, not what was there before (6.8). */
void hw_publish(struct unit *u, const void *page);

/* --- hostq.c: the real unit's queue --- */
int hostq_init(struct unit *u) __must_check;
struct desc hostq_fence(const struct unit *u); /* what follows it waits for what stands before it */
u32 hostq_room(const struct unit *u);          /* descriptors that still fit before the wait */
void hostq_submit(struct unit *u);             /* adds our wait, moves the tail: one register write */
bool hostq_errors(struct unit *u);             /* handles the unit's queue errors; true when there was one */
bool hostq_done(struct unit *u);               /* has the outstanding batch completed? Handles errors too. */
/* Waits at most wait_us, then arms the completion event. True when done. */
bool hostq_wait_or_arm(struct unit *u);
void hostq_settle(struct unit *u); /* waits for the outstanding batch, or until its deadline has ended it */
void hostq_lose(struct unit *u);   /* the unit obeys no more */

/* --- domain.c: host domains --- */
/* A reference to the domain for a translation that requests with this PASID use; created and filled when new.
 * NULL: none left. */
struct domain *domain_acquire(struct unit *u, const struct translation *t, u32 pasid);
void domain_drop(struct unit *u, u16 did); /* a reference; none is counted for DID_NONE and DID_IDENTITY */
struct domain *domain_create_identity(struct unit *u);
/* The function's requests, plain (rid) or with this PASID, reach domain `did` from now on; or DID_NONE. */
void domain_attach(struct unit *u, struct fn *f, bool rid, u32 pasid, u16 did);
void domain_detach(struct unit *u, struct fn *f); /* from all */
void domain_reap(struct unit *u);                 /* after the flush: frees what died before it */

/* --- shadow.c: the guest's second-stage table composed with ownership --- */
/* Brings our table up to date with the guest's in *r; widens *r to what must be flushed. */
void shadow_sync(struct unit *u, struct domain *d, struct range *r);
/* The same, quick for small pages. `last` is the caller's, for one pass over many; all 0 at first.
 */
struct last_tables {
    const struct domain *domain;
    u64 block; /* page number / 512 that the two tables are for */
    volatile u64 *guest;
    u64 *ours;
};
void shadow_sync_pages(struct unit *u, struct domain *d, struct range *r, struct last_tables *last);
/* What is wrong with the guest's table for this address; 0: nothing but, perhaps, permission, or what
 * hardware says. */
enum fault_reason shadow_fault(struct unit *u, const struct translation *t, u64 addr);
u64 *shadow_alloc(void); /* an empty table; NULL: only the reserve is left */
void shadow_free(struct unit *u, u64 *root, unsigned levels); /* into limbo */
void limbo_add(struct unit *u, void *page);
void limbo_free(struct unit *u);

/* --- context.c: root and context entries --- */
int context_init(struct unit *u) __must_check;
/* Re-reads a guest entry (all of them), plans what a change needs; `asked`: plan the flush in any case. */
void context_sync(struct unit *u, u16 sid, bool asked);
void context_sync_all(struct unit *u);
/* What the guest's entries and tables deserve for this access; 0 = nothing wrong. pasid NULL: a plain
 * request. *pgtt: what its entry says, 0 when it has none. */
enum fault_reason context_fault(struct unit *u, u16 sid, const u32 *pasid, u64 addr, u8 *pgtt);
void context_enable(struct unit *u, bool on); /* the guest's TE or root pointer changed */

/* What a guest's root and context entry for one function say, judged. */
struct guest_context {
    enum fault_reason fault; /* FAULT_NONE: it is good */
    bool no_faults;          /* FPD */
    bool ats;                /* it lets the function use ATS */
    struct translation t;    /* legacy mode */
    struct guest_dir dir;    /* scalable mode */
    bool pages;              /* it lets the function send page requests */
};
void context_read(struct unit *u, u16 sid, struct guest_context *g);

/* --- pasid.c: PASID directories and tables, host in scalable mode --- */
int pasid_init(struct unit *u) __must_check;
struct shadow_dir *pasid_dir_create(struct unit *u, u16 sid);
/* After its context entry is not present any more. */
void pasid_dir_drop(struct unit *u, struct shadow_dir *dir);
/* Re-reads one entry (all) of the guest; `g`: its context entry, where that is a legacy one. */
void pasid_sync(struct unit *u, struct shadow_dir *dir, u32 pasid, bool asked);
void pasid_sync_all(struct unit *u, struct shadow_dir *dir, const struct guest_context *g);
/* As context_fault(); pasid NULL: a plain request. */
enum fault_reason pasid_fault(struct unit *u, const struct guest_dir *dir, const u32 *pasid, u64 addr,
                              u8 *pgtt);

/* --- ir.c: interrupt remapping --- */
int ir_init(struct unit *u) __must_check;
/* At bring-up, and when the guest's table, IRE or CFI changed: hardware follows. */
int ir_apply(struct unit *u) __must_check;
void ir_sync_all(struct unit *u);
void ir_request(struct unit *u, u32 index, unsigned order); /* 2^order entries from the aligned index on */
enum fault_reason ir_fault(struct unit *u, u32 index);

/* --- prq.c: page requests --- */
int prq_init(struct unit *u) __must_check;
void prq_start(struct unit *u);   /* hardware may use the queue from here on */
bool prq_collect(struct unit *u); /* what has come, to the guest; true when there was any */
void prq_request(struct unit *u, const struct request *r); /* the guest's response */
void prq_emit(struct unit *u);                             /* responses, into the batch */
void prq_finish(struct unit *u);                           /* they have left */
void prq_forget(struct unit *u, u16 sid);                  /* the function waits for nothing any more */

/* --- plan.c: what a batch must do --- */
void plan_reset(struct unit *u);
bool plan_has_room(struct unit *u); /* makes room for more waits; false: no memory for them now */
void plan_request(struct unit *u, const struct request *r); /* one decoded guest descriptor */
/* One context entry, cached under a host domain-id. */
void plan_context(struct unit *u, u16 sid, u16 old_did);
void plan_pasid(struct unit *u, u16 old_did, u32 pasid);       /* one PASID-table entry */
void plan_domain(struct unit *u, struct domain *d, bool sync); /* all of a domain */
void plan_function(struct unit *u, u16 sid);                   /* all that a function's device TLB may hold */
void plan_everything(struct unit *u);

/* --- emit.c: from the plan to host descriptors; the device-TLB decision --- */
void emit_batch(struct unit *u); /* syncs the shadows, fills the queue, moves the tail */

/* --- fns.c: functions with ATS --- */
struct fn *fn_find(struct unit *u, u16 sid);

/* --- replay.c: from the guest's queue to ours and back --- */
void replay_run(struct unit *u); /* goes on with the guest's queue as far as it may */
/* Emits the plan; finishes it now or leaves that to the completion event. */
void replay_submit(struct unit *u);
bool replay_continue(struct unit *u); /* finishes the outstanding batch if it is done; true when it was */
/* Waits out what is outstanding, or forces it; afterwards the plan is empty and the queue is free. */
void replay_settle(struct unit *u);
/* Emits the plan and waits for it: rare operations that must be done on return. */
void replay_now(struct unit *u);

/* --- vregs.c: the virtual unit's registers --- */
void vregs_init(struct unit *u);
u64 vregs_read(const struct unit *u, u32 off, unsigned width);
void vregs_write(struct unit *u, u32 off, unsigned width, u64 value);
void vregs_iqe(struct unit *u, enum iqei code);
void vregs_ite(struct unit *u, u16 sid); /* this device did not answer */
void vregs_completion(struct unit *u);   /* a wait with IF is done */
void vregs_finish(struct unit *u);       /* the batch is done: commands that waited for it show as done */
void vregs_fault(struct unit *u, u64 rec_lo, u64 rec_hi);
void vregs_page_request(struct unit *u, u32 tail); /* one more is in the guest's queue */
void vregs_page_overflow(struct unit *u);          /* one more found no room there */

/* --- what the innermost loops call --- */
static inline bool plan_empty(const struct unit *u)
{
    const u64 *m = u->plan.marks;

    return !(m[0] | m[1] | m[2] | m[3]);
}

static inline struct domain *domain_get(struct unit *u, u16 did)
{
    struct domain *page = u->domains[did / DOMAINS_PER_PAGE];
    struct domain *d = page ? &page[did % DOMAINS_PER_PAGE] : NULL;

    return d && d->live ? d : NULL;
}

/* The first of the list, NULL = none. */
static inline struct domain *domain_of_guest(struct unit *u, u16 guest_did)
{
    u16 *head = idmap_slot(&u->guest_dids, guest_did, false); /* 0 ends a list: never a host domain */

    return head && *head ? domain_get(u, *head) : NULL;
}

static inline u32 vreg32(const struct unit *u, u32 off)
{
    return u->v.regs[off / 4];
}
static inline u64 vreg64(const struct unit *u, u32 off)
{
    return vreg32(u, off) | (u64)vreg32(u, off + 4) << 32;
}

/* --- inside.c: what the guest may see of all this --- */
int inside_init(struct unit *u) __must_check;
/* One time for all that one step of a batch writes: a dozen instructions for each entry are spent always. */
static inline void inside_step(struct unit *u)
{
    u->ring_time = env_ticks();
}
static inline void inside_add(struct unit *u, enum inside_what what, u64 lo, u64 hi)
{
    u->ring[u->ring_next++ % RING_ENTRIES] = (struct inside_record){
        .time = u->ring_time, .lo = lo, .hi = hi, .batch = u->batch, .unit = (u8)u->index, .what = (u8)what
    };
}

extern const u8 count_of[NR_DESC]; /* enum count_kind of a descriptor type */

static inline void hostq_push(struct unit *u, struct desc d)
{
    struct host_queue *q = &u->hq;

    q->ring[q->tail] = d;
    q->tail = (q->tail + q->step) & q->mask;
    u->host_count[count_of[d.lo & DESC_TYPE]]++;
    inside_add(u, INSIDE_HOST, d.lo, d.hi);
}

/* --- fault.c: the real unit's faults --- */
bool fault_collect(struct unit *u);    /* true when there was one */
void fault_unthrottle(struct unit *u); /* a batch is left to the unit's events: none may be held back */

/* --- dmar.c --- */
struct unit *unit_of(u16 segment, u16 sid);
bool dmar_ats_listed(u16 segment, u16 sid); /* below a root port that the ATSR names */

#endif
