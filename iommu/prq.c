/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page requests (7.4, 7.5), where the unit has them. The real unit's queue is ours; what functions ask for is
 * copied into the guest's, and only who has been asked is answered: a response passes when it names a group
 * that the guest has got and has not answered yet.
 */
#include "iommu/parts.h"

#define REQUESTS (PAGE_SIZE / sizeof(struct page_request))
_Static_assert(REQUESTS == PRQ_GROUPS, "each request may be a group");

int prq_init(struct unit *u)
{
    if (!u->scalable || !u->device_tlb || !(u->ecap & ECAP_PRS))
        return 0;
    u->prq.ring = env_page_alloc();
    return u->prq.ring ? 0 : ERR_NOMEM;
}

void prq_start(struct unit *u)
{
    if (!u->prq.ring)
        return;
    env_write64(u->regs, REG_PQT, 0);
    env_write64(u->regs, REG_PQH, 0);
    env_write64(u->regs, REG_PQA, env_phys((const void *)u->prq.ring));
    env_write32(u->regs, REG_PRS, PRS_PPR | PRS_PRO);
}

/* The group that is open under this name, else a free one, else NULL. */
static struct page_group *group_find(struct unit *u, const struct page_group *g)
{
    struct page_group *free = NULL;

    for (unsigned i = 0; i < PRQ_GROUPS; i++) {
        struct page_group *at = &u->prq.groups[i];

        if (at->state == GROUP_FREE)
            free = at;
        else if (at->sid == g->sid && at->index == g->index && at->with_pasid == g->with_pasid &&
                 at->pasid == g->pasid)
            return at;
    }
    return free;
}

static void answer(struct unit *u, struct page_group *g, u8 code)
{
    g->state = GROUP_ANSWERED;
    g->code = code;
    u->prq.answers++;
}

/* A copy into the guest's queue; false: there is no room, or no queue. */
static bool deliver(struct unit *u, const struct page_request *r)
{
    u64 pqa = vreg64(u, REG_PQA), size = PAGE_SIZE << field_get(pqa, PQA_PQS);
    u32 head = vreg32(u, REG_PQH), tail = vreg32(u, REG_PQT),
        next = (tail + (u32)sizeof(*r)) & (u32)(size - 1);
    volatile struct page_request *copy = env_guest_ram((pqa & PQA_PQA) + tail);

    if (!copy || tail >= size || next == head || vreg32(u, REG_PRS) & PRS_PRO)
        return false;
    for (unsigned i = 0; i < ARRAY_SIZE(r->q); i++)
        copy->q[i] = r->q[i];
    vregs_page_request(u, next);
    return true;
}

/* False: too many groups are open, or the answer to this one is still on its way; it stays where it is, and
 * the unit itself answers what finds no room. */
static bool take(struct unit *u, const struct page_request *r)
{
    struct page_group key = { .sid = (u16)field_get(r->q[0], PQE_RID),
                              .index = (u16)field_get(r->q[1], PQE_PRGI),
                              .with_pasid = r->q[0] & PQE_PP,
                              .state = GROUP_ASKED };
    bool last = r->q[1] & PQE_LAST;
    struct fn *f = fn_find(u, key.sid);
    struct page_group *g = NULL;

    key.pasid = key.with_pasid ? (u32)field_get(r->q[0], PQE_PASID) : 0;
    if (!f || f->dead)
        return true; /* nobody waits for the answer */
    if (last) {
        g = group_find(u, &key);
        if (!g || g->state == GROUP_ANSWERED)
            return false;
        *g = key; /* again, if it is open: the device was reset and asks anew */
    }
    /* As hardware does when its queue is full (7.5): the device is told to try again. */
    if (!deliver(u, r)) {
        vregs_page_overflow(u);
        if (g)
            answer(u, g, PGRESP_SUCCESS);
    }
    return true;
}

bool prq_collect(struct unit *u)
{
    struct page_request copy;
    u32 prs, head, tail;

    if (!u->prq.ring)
        return false;
    prs = env_read32(u->regs, REG_PRS);
    if (!prs && !u->prq.full)
        return false;
    u->prq.full = false;
    /* Before looking, so that a request that comes meanwhile raises the next event. */
    env_write32(u->regs, REG_PRS, prs & PRS_PPR);
    head = (u32)env_read64(u->regs, REG_PQH);
    tail = (u32)env_read64(u->regs, REG_PQT);
    for (unsigned n = 0; n < REQUESTS && head != tail; n++) { /* at most one pass */
        volatile struct page_request *r = &u->prq.ring[head / sizeof(copy) % REQUESTS];

        for (unsigned i = 0; i < ARRAY_SIZE(copy.q); i++)
            copy.q[i] = r->q[i];
        u->prq.full = !take(u, &copy);
        if (u->prq.full)
            break;
        head = (head + (u32)sizeof(copy)) % PAGE_SIZE;
    }
    env_write64(u->regs, REG_PQH, head);
    if (prs & PRS_PRO) { /* only now: there is room again */
        env_log_limited(ENV_WARN, "unit %u: page requests came faster than they were read", u->index);
        env_write32(u->regs, REG_PRS, PRS_PRO);
    }
    return true;
}

void prq_request(struct unit *u, const struct request *r)
{
    struct page_group key = {
        .sid = r->sid, .index = r->group, .with_pasid = r->with_pasid, .pasid = r->with_pasid ? r->pasid : 0
    };
    struct page_group *g = group_find(u, &key);

    if (g && g->state == GROUP_ASKED)
        answer(u, g, r->code == PGRESP_SUCCESS || r->code == PGRESP_INVALID ? r->code : PGRESP_FAILURE);
}

void prq_emit(struct unit *u)
{
    for (unsigned i = 0; u->prq.answers && i < PRQ_GROUPS; i++) {
        struct page_group *g = &u->prq.groups[i];

        if (g->state != GROUP_ANSWERED)
            continue;
        hostq_push(u, desc_page_response(g->sid, g->with_pasid, g->pasid, g->index, g->code));
        g->emitted = true;
    }
}

void prq_finish(struct unit *u)
{
    for (unsigned i = 0; u->prq.answers && i < PRQ_GROUPS; i++) {
        struct page_group *g = &u->prq.groups[i];

        if (g->state != GROUP_ANSWERED || !(g->emitted || u->hq.lost))
            continue;
        *g = (struct page_group){ 0 };
        u->prq.answers--;
    }
    if (u->prq.full)
        (void)prq_collect(u);
}

void prq_forget(struct unit *u, u16 sid)
{
    for (unsigned i = 0; i < PRQ_GROUPS; i++) {
        struct page_group *g = &u->prq.groups[i];

        if (g->state == GROUP_FREE || g->sid != sid)
            continue;
        if (g->state == GROUP_ANSWERED)
            u->prq.answers--;
        *g = (struct page_group){ 0 };
    }
    if (u->prq.full) /* what has waited for a group */
        (void)prq_collect(u);
}
