/* SPDX-License-Identifier: Apache-2.0 */
/* IN iommu/unit.h: PLAN_RANGES     256 => PLAN_RANGES 2 */
/* IN iommu/unit.h: PLAN_DEVTLB     256 => PLAN_DEVTLB 2 */
/* IN iommu/unit.h: PLAN_WAIT_PAGES 128 => PLAN_WAIT_PAGES 2 */
/* IN iommu/unit.h: >= 1 << 15, "the longest => >= 1, "the longest */
/* IN iommu/unit.h: MAX_FNS   512 => MAX_FNS 4 */
/* IN iommu/unit.h: PRQ_GROUPS 128 => PRQ_GROUPS 2 */
/* IN iommu/unit.h: DIR_ENTRIES 256 => DIR_ENTRIES 2 */
/* IN iommu/unit.h: union { => struct { */
/* IN iommu/unit.h: offsetof(struct plan, nr_waits) == => offsetof(struct plan, nr_waits) >= */
/*
 * Every flush of a domain's cached translations is followed, before the wait, by a device-TLB request to each
 * function in the domain that covers the same pages: for whatever a plan holds. Its requests got there by
 * plan.c; a run that needs no plan is run.c's.
 *
 * One page is watched, which may be any. That a descriptor covers at least the block it was made for is
 * proof_devtlb_covers's business; here it only says whether it was made for a block with the page. Lists have
 * as many members as their loops need to tell the first, the last and other ones apart. Pointers that lie in
 * a union are bytes to the checker, so that is a structure; nothing here reads the other member.
 */
#include "iommu/parts.h"
#include "tests/proof/proof.h"

/* What emit.c calls in place of these. */
static void pushed(struct unit *u, struct desc d);
static void pushed_devtlb(struct unit *u, const struct fn *f, struct desc d);
static u64 covers(u64 page, unsigned order);
static struct domain *domain_of(u16 did);
#define hostq_push                         pushed
#define hostq_push_devtlb                  pushed_devtlb
#define hostq_push_plain_devtlb(u, f, ...) pushed(u, __VA_ARGS__)
#define desc_devtlb_high(page, order)      covers(page, order)
#define domain_get(u, did)                 domain_of(did)
#define fn_find(u, sid)                    (&(u)->fns[sid])
#define desc_devtlb(sid, pfsid, depth, page, order) \
    ((struct desc){ desc_devtlb_low(sid, pfsid, depth), covers(page, order) })
#define desc_pdevtlb(sid, pfsid, depth, pasid, page, order) \
    ((struct desc){ desc_pdevtlb_low(sid, pfsid, depth, pasid), covers(page, order) })
#include "iommu/emit.c"

#define COVERS BIT(63)

struct iommu_options iommu_opts; /* the defaults */
static struct unit unit;
static struct domain domains[2];
static struct att atts[4];
static struct shadow_dir dirs[2]; /* by domain: where the tables are the guest's, who reaches them */
static u64 root, page;
static unsigned reached; /* requests that cover the page, at function 1, by the way in which it is attached */
static bool iotlb, submitted;

/* --- around emit.c --- */

static bool in_block(u64 first, unsigned order)
{
    return order >= ORDER_ALL || !((page ^ first) >> order);
}

static u64 covers(u64 first, unsigned order)
{
    return in_block(first, order) ? COVERS : 0;
}

u64 desc_devtlb_block(u64 first, unsigned order, u64 s)
{
    (void)s;
    return covers(first, order);
}

static struct domain *domain_of(u16 did)
{
    return did == 2 ? &domains[0] : did == 3 ? &domains[1] : NULL;
}

static void pushed(struct unit *u, struct desc d)
{
    const struct fn *f = &u->fns[1];
    u64 type = (d.lo & 0xf) | (d.lo >> 5 & 0x70);

    PROVE(!submitted);
    iotlb |= type == 2 || type == 6;
    if (type == 3 && atts[1].rid)
        reached += (d.lo >> 32 & 0xffff) == f->sid && d.hi & COVERS;
    if (type == 8 && !atts[1].rid)
        reached += (d.lo >> 16 & 0xffff) == f->sid && d.hi & COVERS &&
                   (d.hi & 1 || (d.lo >> 32 & 0xfffff) == atts[1].pasid);
}

static void pushed_devtlb(struct unit *u, const struct fn *f, struct desc d)
{
    if ((d.lo & DESC_TYPE) != DESC_PDEVTLB || f->answers_pasids)
        pushed(u, d);
}

struct desc desc_pdevtlb_all(u16 sid, u16 pfsid, u8 depth)
{
    return (struct desc){ desc_pdevtlb_low(sid, pfsid, depth, 0), COVERS | DESC_PDT_G };
}

#define OTHER_DESC(name, type, ...)      \
    struct desc name(__VA_ARGS__)        \
    {                                    \
        return (struct desc){ type, 0 }; \
    }
OTHER_DESC(desc_context_global, 1, void)
OTHER_DESC(desc_context_device, 1, u16 did, u16 sid)
OTHER_DESC(desc_iotlb_global, 2, bool dr, bool dw)
OTHER_DESC(desc_iotlb_domain, 2, u16 did, bool dr, bool dw)
OTHER_DESC(desc_piotlb, 6, u16 did, u32 pasid)
OTHER_DESC(desc_piotlb_pages, 6, u16 did, u32 pasid, u64 at, unsigned order)
OTHER_DESC(desc_pasid_cache_global, 7, void)
OTHER_DESC(desc_pasid_cache, 7, u16 did, u32 pasid)
OTHER_DESC(desc_iec_all, 4, void)
OTHER_DESC(desc_iec, 4, u16 index, unsigned order)
OTHER_DESC(hostq_fence, 5, const struct unit *u)

#define NOTHING(name, ...) \
    void name(__VA_ARGS__) \
    {                      \
    }
NOTHING(context_sync_all, struct unit *u)
NOTHING(ir_sync_all, struct unit *u)
NOTHING(plan_domain, struct unit *u, struct domain *d, bool sync)
NOTHING(shadow_sync, struct unit *u, struct domain *d, struct range *r)
NOTHING(shadow_sync_pages, struct unit *u, struct domain *d, struct range *r)
NOTHING(prq_emit, struct unit *u)

u64 env_ticks(void)
{
    return 0;
}

void hostq_submit(struct unit *u)
{
    (void)u;
    submitted = true;
}

u32 hostq_room(const struct unit *u)
{
    (void)u;
    return any32();
}

void plan_everything(struct unit *u)
{
    u->plan.iotlb_all = u->plan.devtlb_all = true;
}

/* --- any state --- */

/* Functions 1 and 2, by any way of theirs, in the domain that is watched: 1 behind 2 in its list. */
static void any_functions(void)
{
    unit.atts = atts;
    unit.nr_fns = 3;
    unit.device_tlb = true;
    for (u16 i = 1; i < 3; i++) {
        struct fn *f = &unit.fns[i];

        f->sid = i; /* nobody looks at its value */
        f->pfsid = any16();
        f->depth = any8() & 31;
        f->devtlb_low = desc_devtlb_low(f->sid, f->pfsid, f->depth);
        f->dead = any_bool();
        f->silent = any_bool();
        f->pasids = any_bool();
        f->answers_pasids = any_bool();
        atts[i].fn = i;
        atts[i].did = 2;
        atts[i].rid = any_bool();
        atts[i].pasid = any32() & 0xfffff;
        ASSUME(atts[i].rid || f->pasids); /* who comes by a PASID is known to have some: pasid.c */
        f->first_att = i;
    }
    atts[2].next_of_domain = 1;
}

static void any_domains(void)
{
    for (u16 i = 0; i < 2; i++) {
        struct domain *d = &domains[i];

        d->did = i + 2;
        d->live = true;
        d->iotlb_low = desc_iotlb_low(DESC_G_PAGE, d->did, any_bool(), any_bool());
        d->root = any_bool() ? &root : NULL;
        d->pgtt = d->root ? PGTT_SECOND : PGTT_NESTED;
        d->dir = &dirs[i];
        dirs[i].sid = i + 1;
        dirs[i].guest.rid_pasid = any32() & 0xfffff;
    }
    domains[0].first_att = 2; /* of which nothing is read where the tables are the guest's */
    domains[0].nr_atts = 2;
    unit.fns[1].dir = &dirs[0];
    ASSUME(domains[0].root || atts[1].rid || atts[1].pasid != dirs[0].guest.rid_pasid);
}

/* Is this block about the way that is watched? A first-stage table is that of one PASID. */
static bool of_the_way(const struct block *b)
{
    return domains[0].root || b->pasid == (atts[1].rid ? dirs[0].guest.rid_pasid : atts[1].pasid);
}

static bool excused(void)
{
    return unit.fns[1].dead || unit.fns[1].silent || (!atts[1].rid && !unit.fns[1].answers_pasids);
}

/* --- a block: what a range of a plan comes to --- */

static void block(void)
{
    struct block b = { any64(), any8() & 63, any32(), &domains[0] };

    any_functions();
    any_domains();
    page = any64();
    ASSUME(b.page <= PAGE_NR_MAX && in_block(b.page, b.order) && of_the_way(&b));
    emit_iotlb_block(&unit, &b);
    emit_devtlb(&unit, &b);
    PROVE(iotlb);
}

/* UNWIND: 4. */
void proof_block_has_devtlb(void)
{
    block();
    PROVE(excused() || reached);
}

/* UNWIND: 4. */
void twin_block_has_devtlb(void)
{
    block();
    PROVE(reached);
}

/* The blocks of a range hold each of its pages. Its first page is any; it has up to 2^SIZE_BITS pages. */
#define SIZE_BITS 10
static bool held(bool too_much)
{
    u64 first = any64() >> 12, size = any16() % BIT(SIZE_BITS);
    struct range r = { first, first + size };
    bool in = false;

    domains[0].pgtt = any8();
    unit.mamv = any8();
    page = first + any16() % BIT(SIZE_BITS);
    ASSUME(r.last <= PAGE_NR_MAX && (too_much || page <= r.last));
    cut(&unit, &domains[0], any32(), r);
    PROVE(unit.plan.nr_blocks >= 1 && unit.plan.nr_blocks <= MAX_BLOCKS);
    for (unsigned i = 0; i < MAX_BLOCKS && i < unit.plan.nr_blocks; i++) {
        const struct block *b = &unit.plan.blocks[i];

        in |= in_block(b->page, b->order);
        PROVE(b->domain == &domains[0] && b->order <= range_order(r));
    }
    PROVE(!domains[0].all || domains[0].pgtt != PGTT_SECOND || unit.mamv < range_order(r));
    return in;
}

/* UNWIND: 5. */
void proof_cut_holds(void)
{
    PROVE(held(false));
}

/* UNWIND: 5. */
void twin_cut_holds(void)
{
    PROVE(held(true));
}

/* --- a plan --- */

/*
 * The plan as sync_domains() leaves it: blocks of ranges, domains to be flushed whole, or everything.
 * `other`: the second domain is in the list, too, and first. `whole`: a function that is flushed whole, 0 =
 * none. Is the page in it?
 */
static bool plan(bool other, u16 whole)
{
    struct plan *p = &unit.plan;

    p->iotlb_all = any_bool();
    p->devtlb_all = any_bool();
    p->asked_all = any_bool();
    p->nr_blocks = 2;
    for (unsigned i = 0; i < 2; i++) {
        p->blocks[i].page = any64();
        p->blocks[i].order = any8() & 63;
        p->blocks[i].pasid = any32();
        p->blocks[i].domain = &domains[i == 0 && other];
    }
    domains[0].touched = true;
    domains[0].all = any_bool();
    domains[1].touched = other;
    domains[1].all = other && any_bool();
    domains[1].next_touched = &domains[0];
    p->touched = &domains[other];
    p->nr_whole = whole != 0;
    p->whole[0] = whole;
    unit.fns[whole].whole = whole != 0;
    return p->iotlb_all || domains[0].all ||
           (in_block(p->blocks[1].page, p->blocks[1].order) && of_the_way(&p->blocks[1])) ||
           (!other && in_block(p->blocks[0].page, p->blocks[0].order) && of_the_way(&p->blocks[0]));
}

/* Each list has known members, and everything else is any value. */
static void batch(bool other, u16 whole)
{
    bool planned;

    any_functions();
    any_domains();
    page = any64();
    planned = plan(other, whole);
    ASSUME(page <= PAGE_NR_MAX && planned);
    emit_batch(&unit);
    PROVE(submitted && iotlb);
}

/* UNWIND: 4. */
void proof_batch_has_devtlb(void)
{
    batch(false, 0);
    PROVE(excused() || reached);
}

/* UNWIND: 4. */
void twin_batch_has_devtlb(void)
{
    batch(false, 0);
    PROVE(reached);
}

/* UNWIND: 4. */
void proof_batch_of_two_domains(void)
{
    batch(true, 2);
    PROVE(excused() || reached);
}

/* UNWIND: 4. */
void twin_batch_of_two_domains(void)
{
    batch(true, 2);
    PROVE(reached);
}

/* UNWIND: 4. */
void proof_batch_with_whole_function(void)
{
    batch(true, 1);
    PROVE(excused() || reached);
}

/* UNWIND: 4. */
void twin_batch_with_whole_function(void)
{
    batch(true, 1);
    PROVE(reached);
}
