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

u64 *shadow_alloc(void); /* an empty table; NULL: only the reserve is left */

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
        *page = (u16 *)shadow_alloc();
    return *page ? &(*page)[id % IDMAP_PER_PAGE] : NULL;
}

/* A function whose ATS enable has been seen set: it may hold device-TLB entries. */
struct fn {
    u16 sid;
    u16 pfsid;
    u8 depth;               /* ATS invalidate queue depth, 0 = 32 */
    bool gate;              /* policy trusts it: a context entry of its may say TT_ATS */
    bool dead;              /* did not answer an invalidation: quarantined */
    bool silent;            /* ATS is about to be switched on: it holds nothing and would not answer */
    bool twice;             /* its first answer is not to be trusted: each flush is sent again */
    bool whole;             /* this batch: flush all it holds */
    bool pasids;            /* requests of its may have carried PASIDs since ATS came on */
    bool answers_pasids;    /* it has them enabled: else a flush that names one would never be answered */
    u16 first_att;          /* the domains with tables of ours that it reaches */
    struct shadow_dir *dir; /* scalable mode: where its context entry leads */
    u32 asked, sent;        /* device-TLB descriptors of the guest and of ours */
    u64 devtlb_low;         /* what all device-TLB descriptors without PASID to it begin with */
};
#define MAX_FNS   512
#define MAX_TWICE 128

/* One way of such a function into a host domain with a table of ours: its plain requests (rid), or those that
 * carry a PASID. */
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
    struct idmap domains; /* guest domain-id -> host domain of its first-stage tables here */
    u16 sid;
    bool dropped; /* no context entry leads here any more */
};
_Static_assert(sizeof(struct shadow_dir) <= PAGE_SIZE, "a page");

/*
 * A host domain: one table of ours, or the guest's first-stage tables under one of its domain-ids in one
 * directory, of which each PASID has one. The guest's (domain-id, table, width), or (domain-id, directory),
 * maps to one of ours; the same guest domain-id with two second-stage tables is two of ours (hostile guests,
 * and guests between two flushes). So no two tables ever share a host domain-id and PASID (6.2.3.1), and
 * drivers that give the tables of a thousand processes one domain-id need no more of ours than they have
 * functions.
 *
 *     pgtt           root   hardware uses
 *     PGTT_SECOND    ours   a shadow of the guest's second-stage table, or the identity map
 *     PGTT_FIRST     ours   the same in first-stage format, where the unit has no second stage
 *     PGTT_NESTED    NULL   the guest's first-stage tables on top of the identity map
 *     PGTT_FIRST     NULL   the guest's first-stage tables and nothing below them (firststage=direct)
 */
struct domain {
    u16 did; /* ours; the index of this struct */
    u16 guest_did;
    u16 next_same; /* next host domain of the same guest domain-id and stage */
    u16 first_att; /* ATS functions in it, where the table is ours */
    u32 refs;      /* context and PASID entries that name it */
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
    u64 pages;      /* this batch: sum of its ranges, to see when one pass over all of them is cheaper */
    u64 guest_root; /* guest-physical; unused for the identity domain */
    u64 *root;      /* our top-level table; NULL: the guest's own are used */
    struct shadow_dir *dir; /* root NULL: the directory that leads to them */
    u32 asked, sent;        /* IOTLB descriptors of the guest and of ours */
    u64 iotlb_low;          /* what all page-selective IOTLB descriptors of it begin with */
};
#define DOMAINS_PER_PAGE 32
_Static_assert(sizeof(struct domain) * DOMAINS_PER_PAGE <= PAGE_SIZE, "a page of domains");

struct planned_range {
    struct range range;
    struct domain *domain;
    u32 pasid; /* where the tables are the guest's */
};

struct block { /* 2^order pages, aligned */
    u64 page;
    u32 order, pasid;
    struct domain *domain;
};
#define MAX_BLOCKS 4 /* of one range */

/* Page flushes that follow each other and differ in nothing else: drivers send them so, and it is one
 * request.
 */
struct run {
    struct desc first;
    u64 next;   /* high quadword of the one that would go on with it */
    u32 length; /* 0: there is none */
    u16 did;    /* of the guest */
    struct range range;
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
#define PLAN_WAIT_PAGES 128
_Static_assert(PLAN_WAIT_PAGES *WAITS_PER_PAGE >= 1 << 15, "the longest ring, full of waits");
/* Entries looked at one by one; more than that and all are looked at, once, when the batch is emitted. */
#define PLAN_LOOKS 512
/* Likewise domains of one guest domain-id: no more than reading as many descriptors. */
#define PLAN_PASSED 32768
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
            bool sync_all;  /* a domain has it */
            bool drain;     /* what asked for pages before is read before this is done */
            u16 nr_context, nr_pasid, nr_whole, nr_iec;
            u16 nr_ranges, nr_devtlb;
            u16 nr_blocks;          /* while it is emitted */
            struct domain *touched; /* list */
        };
        u64 marks[4]; /* all 0: there is nothing to do but waits */
    };
    u16 nr_waits;
    struct run run;     /* while descriptors are fetched: the last one, not planned yet */
    u32 looked, passed; /* entries; domains that a request was not about */
    u16 cursor;         /* where the last search in the ranges ended */
    struct planned_range ranges[PLAN_RANGES];
    struct block blocks[PLAN_RANGES * MAX_BLOCKS]; /* of the ranges */
    struct devtlb_request devtlb[PLAN_DEVTLB];     /* the guest's own */
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
    struct guest_wait *waits[PLAN_WAIT_PAGES];
};
_Static_assert(offsetof(struct plan, nr_waits) == 4 * sizeof(u64), "plan_empty() and plan_reset()");
_Static_assert(offsetof(struct plan, nr_ranges) == 2 * sizeof(u64), "plan_more()");

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
_Static_assert(HQ_PAGES *PAGE_SIZE / (2 * sizeof(struct desc)) >=
                   2 * (MAX_FNS + MAX_TWICE + PLAN_DEVTLB) + PRQ_GROUPS + 10,
               "hostq_room()");
#define UNIT_ALONE 0xffff /* no function at all */
struct host_queue {
    struct desc *ring; /* in scalable mode each descriptor takes two slots, the second one 0 */
    u32 mask;          /* slots - 1 */
    u32 step;          /* slots of one descriptor */
    u32 tail;          /* where the next descriptor goes */
    u32 first;         /* first descriptor of the batch being built or outstanding */
    /* One page of words that waits write: a late one cannot hit the word of the present one. */
    volatile u32 *status;
    u64 status_phys;
    u32 cookie;  /* the value that the last wait writes, never used before */
    bool piotlb; /* the batch being built has a PASID-IOTLB descriptor */
    bool busy;
    bool event_armed;
    u64 since_us;
    u32 retries;
    u16 suspect; /* somebody does not answer, and this is the function that is asked now; 0 = all are */
    bool lost;   /* the unit obeys no more: nothing is sent to it, and nothing behind it may do DMA */
    u32 errors;  /* FSTS bits of errors that have been seen, for who is interested */
};

/* The virtual unit's registers; the array is what the guest reads. */
#define VREGS_SIZE 0x2a0
struct vunit {
    u32 regs[VREGS_SIZE / 4];
    u64 cap, ecap;
    struct desc_rules rules;
    u64 root;                             /* latched by SRTP */
    u8 ttm;                               /* likewise; rules.scalable: it is not legacy mode */
    bool enabled;                         /* TE as the guest set it */
    bool plain_queue;                     /* the queue is on, with the descriptors of legacy mode */
    u64 irta;                             /* latched by SIRTP */
    bool ir_enabled;                      /* IRE as the guest set it */
    u8 next_fault;                        /* record that the next fault goes into */
    u32 gsts_on_finish;                   /* GSTS bits that change when the outstanding batch is done */
    bool ccmd_on_finish, iotlb_on_finish; /* register-based invalidations, likewise */
};

/*
 * Where the last walk down a guest's second-stage table and ours ended. It still ends there as long as the
 * guest's entries that led there are what they were: ours above the last level change in shadow_sync() only,
 * which forgets.
 */
struct last_tables {
    const struct domain *domain; /* NULL: forgotten */
    u64 block;                   /* page number / 512 that the two tables are for */
    volatile u64 *guest;         /* NULL: both end before it */
    u64 *ours;
    struct {
        const volatile u64 *at;
        u64 value;
    } entry[4]; /* that lead to the guest's table, of the lowest level first */
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
    u16 next_did;               /* never used yet */
    u16 free_did;               /* list of free ones through next_same */
    u16 dying;                  /* list, through next_same: refs 0, freed when the flush is done */
    struct idmap guest_dids[2]; /* guest domain-id -> first host domain; [1]: of its first-stage tables */
    struct last_tables last;
    void *limbo; /* table pages that hardware may still read, through env_page_note() */

    struct fn fns[MAX_FNS]; /* slot 0 stays empty */
    u16 nr_fns;             /* slots in use, the empty ones between them included */
    u16 nr_twice;
    struct idmap fn_of_sid;

    struct irte *irt;               /* interrupt remapping table; NULL where the unit has none */
    u32 irt_used;                   /* entries that may be present */
    struct iommu_message *messages; /* intr=strict: one for each entry, given out from the last one down */
    u32 nr_messages;

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
    u64 guest_count[NR_DESC], host_count[NR_DESC]; /* descriptors by type */
    struct inside_record *ring;
    u64 ring_next; /* entries ever written */
    u64 ring_time;
    u32 batch;
};

/* A power of two, in whole pages. */
#define RING_ENTRIES 2048u
_Static_assert(sizeof(struct inside_record) == 32, "two share a cache line; docs/hypercalls.md");

#endif
