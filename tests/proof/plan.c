/* SPDX-License-Identifier: Apache-2.0 */
/* IN iommu/unit.h: PLAN_RANGES     256 => PLAN_RANGES 3 */
/* IN iommu/unit.h: PLAN_DEVTLB     256 => PLAN_DEVTLB 2 */
/* IN iommu/unit.h: PLAN_WAIT_PAGES 128 => PLAN_WAIT_PAGES 2 */
/* IN iommu/unit.h: >= 1 << 15, "the longest => >= 1, "the longest */
/* IN iommu/unit.h: MAX_FNS   512 => MAX_FNS 4 */
/* IN iommu/unit.h: PRQ_GROUPS 128 => PRQ_GROUPS 2 */
/* IN iommu/unit.h: union { => struct { */
/* IN iommu/unit.h: offsetof(struct plan, nr_waits) == => offsetof(struct plan, nr_waits) >= */
/*
 * Whatever the plan held before, a request for the IOTLB leaves each host domain that stands for the guest's
 * covered in it, and takes nothing away from what was covered; so after any number of requests all of them
 * are. What a plan says is done: devtlb.c.
 *
 * One page is watched, which may be any. Lists have the few members that their loops need to tell first, last
 * and other ones apart, and known ones; everything else is any value.
 */
#include "iommu/parts.h"
#include "tests/proof/proof.h"

/* In place of these, which look things up in large tables. */
static struct domain *domain_of(u16 did);
static struct domain *first_of(bool first);
static struct domain *reached(u32 pasid, const struct shadow_dir *dir);
#define domain_get(u, did)             domain_of(did)
#define domain_of_guest(u, first, did) ((void)(u), (void)(did), first_of(first))
#define pasid_domain(u, dir, pasid)    reached(pasid, dir)
#include "iommu/plan.c"

struct iommu_options iommu_opts;
static struct unit unit;
static struct domain domain2, domain3;
static struct shadow_dir dir2, dir3; /* of first-stage tables */
static u64 page, root;               /* the page that is watched; any of our tables */
static u32 way;                      /* the PASID that is watched; every other one leads anywhere */

static struct domain *domain_of(u16 did)
{
    return did == 2 ? &domain2 : did == 3 ? &domain3 : NULL;
}

/* The guest's domain-id has both in one list, or the second one is not in it. */
static struct domain *first_of(bool first)
{
    return first == !domain2.root ? &domain2 : NULL;
}

static struct domain *reached(u32 pasid, const struct shadow_dir *dir)
{
    struct domain *d = dir == &dir2 ? &domain2 : &domain3;

    return pasid == way || any_bool() ? d : NULL;
}

static bool has_page(struct range r)
{
    return r.first <= page && page <= r.last;
}

static struct range any_range(void)
{
    struct range r = { any64(), any64() };

    ASSUME(r.first <= r.last && r.last <= PAGE_NR_MAX);
    return r;
}

static void any_domain(struct domain *d, u16 did)
{
    d->did = did;
    d->live = true;
    d->root = any_bool() ? &root : NULL;
    d->dir = did == 2 ? &dir2 : &dir3;
    d->pgtt = d->root ? PGTT_SECOND : PGTT_NESTED;
    d->all = any_bool();
    d->sync_all = any_bool();
    ASSUME(d->all || !d->sync_all);
}

/* Which domains are marked, and which have ranges. */
struct shape {
    struct domain *touched[2], *range[2];
    u16 next_same; /* of the first domain */
};

/* Two domains, and a plan of that shape. */
static void any_plan(const struct shape *shape)
{
    struct plan *p = &unit.plan;

    any_domain(&domain2, 2);
    any_domain(&domain3, 3);
    domain2.next_same = shape->next_same;
    ASSUME(!shape->next_same || !domain2.root == !domain3.root);
    way = any32() & 0xfffff;
    unit.next_did = 4;
    for (unsigned i = 2; i-- > 0;)
        if (shape->touched[i]) {
            shape->touched[i]->touched = true;
            shape->touched[i]->next_touched = p->touched;
            p->touched = shape->touched[i];
        }
    ASSUME(domain2.touched || !domain2.all);
    ASSUME(domain3.touched || !domain3.all);
    for (unsigned i = 0; i < 2; i++)
        if (shape->range[i]) {
            shape->range[i]->nr_ranges++;
            shape->range[i]->last_range = p->nr_ranges;
            p->ranges[p->nr_ranges] = (struct planned_range){ any_range(), shape->range[i], any32() };
            if (shape->range[i]->root)
                p->ranges[p->nr_ranges].pasid = 0;
            p->nr_ranges++;
        }
    p->iotlb_all = any_bool();
    p->devtlb_all = any_bool();
    p->asked_all = any_bool();
}

#define TWO   &domain2
#define THREE &domain3

/* Does the plan say that this page of the domain is flushed? */
static bool planned(const struct domain *d)
{
    const struct plan *p = &unit.plan;
    bool range = false;

    for (unsigned i = 0; i < 4; i++)
        range |= i < p->nr_ranges && p->ranges[i].domain == d && has_page(p->ranges[i].range) &&
                 (d->root || p->ranges[i].pasid == way);
    return p->iotlb_all || (d->touched && (d->all || range));
}

/* --- requests --- */

static const struct shape before[] = {
    { { NULL }, { NULL } },
    { { TWO }, { TWO } },
    { { TWO, THREE }, { TWO, THREE } },
    { { THREE, TWO }, { TWO, TWO } },
    { { NULL }, { NULL }, .next_same = 3 },
};

/* Any request for the IOTLB, with what decoding says of it. */
static struct request any_request(void)
{
    struct request r = { .type = any_bool() ? DESC_IOTLB : DESC_PIOTLB,
                         .granularity = any8(),
                         .did = any16(),
                         .pasid = any32() & 0xfffff,
                         .range = any_range() };

    ASSUME(r.granularity >= 1 && r.granularity <= 3);
    ASSUME(r.granularity == 3 || range_is_all(r.range));
    return r;
}

/* Is the page of this domain in the scope of the request? Each type is for one stage only (6.5.2.2). */
static bool in_scope(const struct request *r, const struct domain *d)
{
    bool covers = has_page(r->range);

    if (r->type == DESC_IOTLB && r->granularity == 1)
        return true;
    if (d == &domain3 && domain2.next_same != 3)
        return false;
    if (r->type == DESC_IOTLB)
        return r->granularity == 2 || !d->root || covers;
    return !d->root && way == r->pasid && covers;
}

static bool request(const struct shape *shape, bool too_much)
{
    struct request r;
    bool two, three;

    any_plan(shape);
    page = any64();
    ASSUME(page <= PAGE_NR_MAX);
    two = planned(&domain2);
    three = planned(&domain3);
    r = any_request();
    if (r.type == DESC_IOTLB) /* as plan_request() does */
        request_iotlb(&unit, &r);
    else
        request_piotlb(&unit, &r);
    return (planned(&domain2) || !(too_much || two || in_scope(&r, &domain2))) &&
           (planned(&domain3) || !(three || in_scope(&r, &domain3)));
}

/* UNWIND: 5. */
void proof_request_planned_0(void)
{
    PROVE(request(&before[0], false));
}

/* UNWIND: 5. */
void twin_request_planned_0(void)
{
    PROVE(request(&before[0], true));
}

/* UNWIND: 5. */
void proof_request_planned_1(void)
{
    PROVE(request(&before[1], false));
}

/* UNWIND: 5. */
void twin_request_planned_1(void)
{
    PROVE(request(&before[1], true));
}

/* UNWIND: 5. */
void proof_request_planned_2(void)
{
    PROVE(request(&before[2], false));
}

/* UNWIND: 5. */
void twin_request_planned_2(void)
{
    PROVE(request(&before[2], true));
}

/* UNWIND: 5. */
void proof_request_planned_3(void)
{
    PROVE(request(&before[3], false));
}

/* UNWIND: 5. */
void twin_request_planned_3(void)
{
    PROVE(request(&before[3], true));
}

/* UNWIND: 5. */
void proof_request_planned_4(void)
{
    PROVE(request(&before[4], false));
}

/* UNWIND: 5. */
void twin_request_planned_4(void)
{
    PROVE(request(&before[4], true));
}
