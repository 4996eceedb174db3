/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of iommu/ offer each other, in the order of docs/design.md's table; what they work on is in
 * unit.h.
 */
#ifndef IOMMU_PARTS_H
#define IOMMU_PARTS_H

#include "iommu/unit.h"

extern struct iommu_options iommu_opts;
#define MAX_UNITS 16
extern struct unit *units[MAX_UNITS];
extern unsigned nr_units;
extern u64 beyond_host; /* bits of an address that this host does not have, by firmware's table: reserved */

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
/* Changes an entry of `quads` quadwords that hardware may be reading. */
void hw_write_entry(struct unit *u, u64 *host, const u64 *want, unsigned quads);

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
/* A reference to the domain for a translation that an entry of `dir` asks for (legacy mode: NULL); created
 * and filled when new. NULL: none left. */
struct domain *domain_acquire(struct unit *u, const struct translation *t, struct shadow_dir *dir);
void domain_drop(struct unit *u, u16 did); /* a reference; none is counted for DID_NONE and DID_IDENTITY */
struct domain *domain_create_identity(struct unit *u);
/* The function's requests, plain (rid) or with this PASID, reach domain `did` from now on; or DID_NONE.
 * Domains of first-stage tables know their function by the directory. */
void domain_attach(struct unit *u, struct fn *f, bool rid, u32 pasid, u16 did);
void domain_detach(struct unit *u, struct fn *f); /* from all */
void domain_reap(struct unit *u);                 /* after the flush: frees what died before it */

/* --- shadow.c: the guest's second-stage table composed with ownership --- */
/* Brings our table up to date with the guest's in *r; widens *r to what must be flushed. */
void shadow_sync(struct unit *u, struct domain *d, struct range *r);
/* The same, quick for small pages. */
void shadow_sync_pages(struct unit *u, struct domain *d, struct range *r);
/* The quickest way, for pages of one last table. False: that is not how they look; some may be in sync. */
bool shadow_sync_leaves(struct unit *u, struct domain *d, struct range r);
/* What is wrong with the guest's table for this address; 0: nothing but, perhaps, permission, or what
 * hardware says. */
enum fault_reason shadow_fault(struct unit *u, const struct translation *t, u64 addr);
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
/* The host domain that this PASID reaches, NULL = none. */
struct domain *pasid_domain(struct unit *u, struct shadow_dir *dir, u32 pasid);
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
bool plan_has_room(struct unit *u); /* for one more wait; false: there is no memory for it now */
void plan_request(struct unit *u, const struct request *r); /* one decoded guest descriptor */
/* One context entry, cached under a host domain-id. */
void plan_context(struct unit *u, u16 sid, u16 old_did);
void plan_pasid(struct unit *u, u16 old_did, u32 pasid);       /* one PASID-table entry */
void plan_domain(struct unit *u, struct domain *d, bool sync); /* all of a domain */
/* Pages of a guest domain, which it asked for in so many descriptors. */
void plan_pages(struct unit *u, u16 did, struct range r, u32 descriptors);
void plan_function(struct unit *u, u16 sid); /* all that a function's device TLB may hold */
void plan_everything(struct unit *u);

/* --- emit.c: from the plan to host descriptors; the device-TLB decision --- */
void emit_batch(struct unit *u); /* syncs the shadows, fills the queue, moves the tail */
/* The same of nothing but pages of one second-stage table, which are in sync, of a guest in legacy mode. */
void emit_run(struct unit *u, struct domain *d, struct range r);

/* --- fns.c: functions with ATS --- */
struct fn *fn_find(struct unit *u, u16 sid);

/* --- replay.c: from the guest's queue to ours and back --- */
/* Goes on with the guest's queue as far as it may, and before that with what is outstanding. */
void replay_run(struct unit *u);
/* Emits the plan; finishes it now or leaves that to the completion event. */
void replay_submit(struct unit *u);
bool replay_continue(struct unit *u); /* finishes the outstanding batch if it is done; true when it was */
/* Waits out what is outstanding, or forces it; afterwards the plan is empty and the queue is free. */
void replay_settle(struct unit *u);
/* Emits the plan and waits for it: rare operations that must be done on return. After replay_settle(). */
void replay_now(struct unit *u);
/*
 * Around what hv/ asks for beside the queue. It may have to wait for what is outstanding, and meanwhile the
 * guest's tails are only stored: whoever leaves goes on with them, since no event will.
 */
void replay_enter(struct unit *u);
void replay_leave(struct unit *u);

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
/* Is there nothing to do before the guest's waits are done? */
static inline bool plan_only_waits(const struct plan *p)
{
    return !(p->marks[0] | p->marks[1] | p->marks[2] | p->marks[3]);
}

static inline bool plan_empty(const struct unit *u)
{
    return plan_only_waits(&u->plan) && !u->plan.nr_waits;
}

/* Is there more to do than flushing ranges and domains? */
static inline bool plan_more(const struct plan *p)
{
    return p->marks[0] | p->marks[1];
}

/* Of an id that was given out, or of none: the first page of them is there from the start. */
static inline struct domain *domain_at(struct unit *u, u16 did)
{
    return &u->domains[did / DOMAINS_PER_PAGE][did % DOMAINS_PER_PAGE];
}

static inline struct domain *domain_get(struct unit *u, u16 did)
{
    struct domain *d = domain_at(u, did);

    return d->live ? d : NULL;
}

/* The first of the list, NULL = none. */
static inline struct domain *domain_of_guest(struct unit *u, bool first, u16 guest_did)
{
    u16 *head = idmap_slot(&u->guest_dids[first], guest_did, false); /* 0 ends a list: never a host domain */

    return head && *head ? domain_at(u, *head) : NULL;
}

static inline u32 vreg32(const struct unit *u, u32 off)
{
    return u->v.regs[off / 4];
}
static inline u64 vreg64(const struct unit *u, u32 off)
{
    return vreg32(u, off) | (u64)vreg32(u, off + 4) << 32;
}

static inline bool plan_room(struct unit *u)
{
    return u->plan.waits[u->plan.nr_waits / WAITS_PER_PAGE] || plan_has_room(u);
}

static inline void plan_wait(struct unit *u, struct guest_wait w) /* after plan_room() */
{
    unsigned n = u->plan.nr_waits++;

    u->plan.waits[n / WAITS_PER_PAGE][n % WAITS_PER_PAGE] = w;
}

/* --- inside.c: what the guest may see of all this --- */
int inside_init(struct unit *u) __must_check;
/* One time for all that one step of a batch writes: a dozen instructions for each entry are spent always. */
static inline void inside_step(struct unit *u)
{
    u->ring_time = env_ticks();
}
static inline __attribute__((always_inline)) void inside_add(struct unit *u, enum inside_what what, u64 lo,
                                                             u64 hi)
{
    struct inside_record *r = &u->ring[u->ring_next++ % RING_ENTRIES];

    r->time = u->ring_time;
    r->lo = lo;
    r->hi = hi;
    r->batch = u->batch;
    r->id = 0; /* these three are one store */
    r->unit = 0;
    r->what = (u8)what;
}

static inline __attribute__((always_inline)) void hostq_push_type(struct unit *u, u64 type, struct desc d)
{
    struct host_queue *q = &u->hq;

    q->ring[q->tail] = d;
    q->tail = (q->tail + q->step) & q->mask;
    u->host_count[type]++;
    inside_add(u, INSIDE_HOST, d.lo, d.hi);
}
static inline void hostq_push(struct unit *u, struct desc d)
{
    hostq_push_type(u, d.lo & DESC_TYPE, d);
}
void hostq_push_again(struct unit *u, struct desc d);
/* After what iommu_outstanding() looks at was set. */
static inline void leave_to_events(void)
{
    __atomic_store_n(&iommu_left, true, __ATOMIC_RELEASE);
}
/* To a function, about its requests without PASID ... */
static inline void hostq_push_plain_devtlb(struct unit *u, const struct fn *f, struct desc d)
{
    hostq_push(u, d);
    if (unlikely(f->twice))
        hostq_push_again(u, d);
}
/* ... and about any. */
static inline void hostq_push_devtlb(struct unit *u, const struct fn *f, struct desc d)
{
    if ((d.lo & DESC_TYPE) == DESC_PDEVTLB && !f->answers_pasids)
        return; /* whatever the guest's entry says, it holds nothing of the kind */
    hostq_push_plain_devtlb(u, f, d);
}

/* --- fault.c: the real unit's faults --- */
bool fault_collect(struct unit *u);    /* true when there was one */
void fault_unthrottle(struct unit *u); /* a batch is left to the unit's events: none may be held back */

/* --- dmar.c --- */
struct unit *unit_of(u16 segment, u16 sid);
bool dmar_ats_listed(u16 segment, u16 sid); /* below a root port that the ATSR names */

#endif
