/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions with ATS, and the gate: only while a function is in this table with its gate open may its
 * hardware context entry allow translation requests and translated requests. What is not in the table cannot
 * hold a translation, since hardware never gave it one.
 */
#include "iommu/parts.h"

struct fn *fn_find(struct unit *u, u16 sid)
{
    u16 *slot = idmap_slot(&u->fn_of_sid, sid, false);

    return slot && *slot ? &u->fns[*slot] : NULL;
}

/* The unit that follows the function. A VF is served by the unit of its physical function (8.3.1), which only
 * the call that made it known has named. */
static struct unit *unit_with(u16 segment, u16 sid)
{
    for (unsigned i = 0; i < nr_units; i++)
        if (units[i]->segment == segment && fn_find(units[i], sid))
            return units[i];
    return unit_of(segment, sid);
}

static struct fn *fn_add(struct unit *u, u16 sid)
{
    u16 *slot = idmap_slot(&u->fn_of_sid, sid, true);
    u16 i = 1;

    if (!slot)
        return NULL;
    while (i < u->nr_fns && u->fns[i].sid)
        i++;
    if (i == MAX_FNS)
        return NULL;
    if (i >= u->nr_fns)
        u->nr_fns = (u16)(i + 1);
    u->fns[i] = (struct fn){ .sid = sid };
    *slot = i;
    return &u->fns[i];
}

static void fn_remove(struct unit *u, struct fn *f)
{
    u16 sid = f->sid;

    u->nr_twice -= f->twice;
    domain_detach(u, f);
    *idmap_slot(&u->fn_of_sid, sid, false) = 0;
    *f = (struct fn){ 0 };
    prq_forget(u, sid); /* what it has asked for is nobody's now */
}

static bool trusted(const struct unit *u, u16 sid, u16 pfsid)
{
    if (!u->device_tlb || iommu_opts.ats == ATS_OFF)
        return false;
    return iommu_opts.ats == ATS_ALL || dmar_ats_listed(u->segment, sid) ||
           dmar_ats_listed(u->segment, pfsid);
}

/*
 * Devices that answer a flush before what they wrote by the old translation has left. What it asked for is
 * true with the second answer. A VF is known by its physical function, as it has no identity of its own.
 */
static const struct {
    u32 mask, id; /* of device and vendor */
} asked_twice[] = {
    { 0xfffcffff, 0x49408086 }, /* Intel QAT, 4940 to 4943; known from Linux */
};

static bool ask_twice(const struct unit *u, u16 pfsid)
{
    u32 id = env_pci_read32(u->segment, pfsid, 0);

    for (unsigned i = 0; i < ARRAY_SIZE(asked_twice); i++)
        if ((id & asked_twice[i].mask) == asked_twice[i].id)
            return true;
    return false;
}

static void ats_on(struct unit *u, u16 sid, u8 depth, u16 pfsid, bool pasid)
{
    struct fn *f = fn_find(u, sid);
    bool known = f;

    if (!f)
        f = fn_add(u, sid);
    if (!f) {
        env_log(ENV_WARN,
                "unit %u: more ATS functions than Sluice follows; %02x:%02x.%x gets no translations",
                u->index, sid >> 8, sid >> 3 & 0x1f, sid & 7);
        return;
    }
    f->depth = depth & 0x1f;
    f->pfsid = u->ecap & ECAP_DIT ? pfsid : 0;
    f->devtlb_low = desc_devtlb_low(sid, f->pfsid, f->depth);
    f->dead = false;
    f->answers_pasids = pasid;
    f->gate = trusted(u, sid, pfsid);
    if (!f->twice && ask_twice(u, pfsid)) {
        f->twice = u->nr_twice < MAX_TWICE;
        u->nr_twice += f->twice;
        f->gate &= f->twice;
    }
    if (!f->gate)
        env_log(ENV_WARN, "unit %u: %02x:%02x.%x enables ATS but is not trusted with it; its gate stays shut",
                u->index, sid >> 8, sid >> 3 & 0x1f, sid & 7);
    if (f->gate && !known)
        env_log(ENV_INFO, "unit %u: %02x:%02x.%x is trusted with ATS: its translated requests pass", u->index,
                sid >> 8, sid >> 3 & 0x1f, sid & 7);
    f->silent = !known;
    context_sync(u, sid, true);
    replay_now(u);
    f->silent = false;
}

/* The gate closes and the device TLB is emptied in one batch, in this order: what the device asks for between
 * the two it does not get, so nothing is left when ATS goes off. */
static void ats_off(struct unit *u, struct fn *f)
{
    f->gate = false;
    context_sync(u, f->sid, true);
    replay_now(u);
    fn_remove(u, f);
}

void iommu_ats_change(u16 segment, u16 sid, bool on, u8 depth, u16 pfsid, bool pasid)
{
    struct unit *u = on ? unit_of(segment, pfsid) : unit_with(segment, sid);
    struct fn *f;

    if (!u || !sid) /* 00:00.0 is the host bridge; its source-id also means "unknown" to the unit */
        return;
    replay_enter(u);
    f = fn_find(u, sid);
    if (on) {
        ats_on(u, sid, depth, pfsid, pasid);
    } else if (f) {
        ats_off(u, f);
    }
    replay_leave(u);
}

void iommu_function_gone(u16 segment, u16 sid)
{
    struct unit *u = unit_with(segment, sid);
    struct fn *f;

    if (!u)
        return;
    env_lock(&u->lock);
    f = fn_find(u, sid);
    if (f) {
        replay_settle(u);
        fn_remove(u, f); /* first: no invalidation is sent to a device that cannot answer */
        context_sync(u, sid, true);
        replay_now(u);
    }
    replay_leave(u);
}

bool iommu_stopped(u16 segment, u16 sid)
{
    struct unit *u = unit_with(segment, sid);
    struct fn *f;
    bool stopped;

    if (!u)
        return false;
    env_lock(&u->lock);
    f = fn_find(u, sid);
    stopped = u->hq.lost || (f && f->dead);
    env_unlock(&u->lock);
    return stopped;
}
