/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root and context entries (9.1, 9.3). Two root tables stand ready: root_off, in force while the guest's
 * translation is off, gives every bus and devfn, present or not, the contained identity map; root_on holds
 * shadows of the guest's entries. Changing between them is one root-pointer command.
 */
#include "iommu/unit.h"

/* A guest's entry, judged. */
struct guest_context {
    enum fault_reason fault; /* 0: it is good */
    bool no_faults;          /* FPD */
    u8 tt;
    u8 levels;
    u16 did;
    u64 root;
};

static struct context_entry make_entry(const struct domain *d, u64 tt)
{
    return (struct context_entry){ CTX_P | field_prep(CTX_TT, tt) | env_phys(d->root),
                                   field_prep(CTX_AW, d->levels - 2u) | field_prep(CTX_DID, d->did) };
}

int context_init(struct unit *u)
{
    struct domain *identity;

    u->root_off = env_page_alloc();
    u->root_on = env_page_alloc();
    u->context_off = env_page_alloc();
    u->next_did = DID_IDENTITY;
    identity = domain_create_identity(u);
    if (!u->root_off || !u->root_on || !u->context_off || !identity || identity->short_of_memory)
        return ERR_NOMEM;
    for (unsigned i = 0; i < 256; i++) {
        u->context_off[i] = make_entry(identity, TT_SECOND_STAGE);
        u->root_off[i] = (struct root_entry){ ROOT_P | env_phys(u->context_off), 0 };
    }
    hw_publish(u, u->context_off);
    hw_publish(u, u->root_off);
    hw_publish(u, u->root_on);
    return 0;
}

/* A consistent copy of a 16-byte entry that the guest's CPUs may be writing. Torn ones settle with the flush
 * that the guest owes after its write, so a few tries are enough. */
static struct context_entry read_entry(volatile struct context_entry *e)
{
    struct context_entry copy;

    for (unsigned tries = 0; tries < 4; tries++) {
        copy.lo = e->lo;
        copy.hi = e->hi;
        if (e->lo == copy.lo)
            break;
    }
    return copy;
}

static void read_guest(struct unit *u, u16 sid, struct guest_context *g)
{
    volatile struct context_entry *root_page = env_guest_page(u->v.root), *page;
    struct context_entry e;
    u64 sagaw = field_get(u->v.cap, CAP_SAGAW);

    *g = (struct guest_context){ .fault = FAULT_ROOT_ACCESS };
    if (!root_page)
        return;
    e = read_entry(&root_page[sid >> 8]); /* a root entry has the size and the P bit of a context entry */
    g->fault = FAULT_ROOT_NOT_PRESENT;
    if (!(e.lo & ROOT_P))
        return;
    g->fault = FAULT_ROOT_RESERVED;
    if (e.lo & ~(ROOT_P | ROOT_CTP) || e.hi)
        return;
    g->fault = FAULT_CONTEXT_ACCESS;
    page = env_guest_page(e.lo & ROOT_CTP);
    if (!page)
        return;
    e = read_entry(&page[sid & 0xff]);
    g->no_faults = e.lo & CTX_FPD;
    g->fault = FAULT_CONTEXT_NOT_PRESENT;
    if (!(e.lo & CTX_P))
        return;
    g->fault = FAULT_CONTEXT_RESERVED;
    if (e.lo & CTX_LO_RSVD || e.hi & CTX_HI_RSVD)
        return;
    g->tt = (u8)field_get(e.lo, CTX_TT);
    g->did = (u16)(field_get(e.hi, CTX_DID) & (BIT(u->v.rules.did_bits) - 1));
    g->levels = (u8)(field_get(e.hi, CTX_AW) + 2);
    g->root = e.lo & CTX_SSPTPTR;
    g->fault = FAULT_CONTEXT_INVALID;
    if (g->tt > TT_PASS_THROUGH || (g->tt == TT_ATS && !u->v.rules.dt) ||
        (g->tt == TT_PASS_THROUGH && !(u->v.ecap & ECAP_PT)))
        return;
    /* AW says 2 + AW levels; SAGAW bit AW says that the unit can (9.3). Domain-id 0 is reserved under CM=1
     * (6.1). */
    if (!(sagaw & BIT(g->levels - 2u)) || (!g->did && u->v.cap & CAP_CM))
        return;
    g->fault = FAULT_SS_ACCESS;
    if (g->tt != TT_PASS_THROUGH && !env_guest_page(g->root))
        return;
    g->fault = 0;
}

enum fault_reason context_fault(struct unit *u, u16 sid, u64 addr)
{
    struct guest_context g;

    read_guest(u, sid, &g);
    return g.fault || g.tt == TT_PASS_THROUGH ? g.fault : shadow_fault(u, g.root, g.levels, addr);
}

static struct context_entry *host_entry(struct unit *u, u16 sid, bool create)
{
    struct context_entry **page = &u->context_on[sid >> 8];
    struct root_entry *root = &u->root_on[sid >> 8];

    if (!*page && create) {
        *page = env_page_alloc();
        if (!*page)
            return NULL;
        hw_publish(u, *page);
        __atomic_store_n(&root->lo, ROOT_P | env_phys(*page), __ATOMIC_RELEASE);
        if (!u->coherent)
            env_writeback(root, sizeof(*root));
        u->plan.context_all =
            true; /* a cached not-present root entry goes only with a global flush (6.2.2) */
    }
    return *page ? &(*page)[sid & 0xff] : NULL;
}

static void write_entry(struct unit *u, struct context_entry *host, struct context_entry want)
{
    /* P first: hardware reads 16 bytes at once and must never see half of one entry and half of the other. */
    __atomic_store_n(&host->lo, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&host->hi, want.hi, __ATOMIC_RELEASE);
    __atomic_store_n(&host->lo, want.lo, __ATOMIC_RELEASE);
    if (!u->coherent)
        env_writeback(host, sizeof(*host));
}

static u16 entry_did(const struct context_entry *e)
{
    return e && e->lo & CTX_P ? (u16)field_get(e->hi, CTX_DID) : DID_NONE;
}

/* The entry hardware shall have for what the guest wrote. Takes a reference to the domain it names. */
static struct context_entry compose(struct unit *u, const struct guest_context *g, const struct fn *f)
{
    struct context_entry blocked = { g->no_faults ? CTX_FPD : 0, 0 };
    struct domain *d;

    if (g->fault || (f && f->dead))
        return blocked;
    if (g->tt == TT_PASS_THROUGH) {
        struct context_entry e = make_entry(domain_get(u, DID_IDENTITY), TT_SECOND_STAGE);

        e.lo |= blocked.lo;
        return e;
    }
    d = domain_acquire(u, g->did, g->root, g->levels);
    if (!d) {
        env_log_limited(ENV_WARN,
                        "unit %u: no domain-id or memory left for guest domain %u; its devices fault",
                        u->index, g->did);
        return blocked;
    }
    /* The ATS gate. */
    blocked = make_entry(d, g->tt == TT_ATS && f && f->gate ? TT_ATS : TT_SECOND_STAGE);
    blocked.lo |= g->no_faults ? CTX_FPD : 0;
    return blocked;
}

static void drop_reference(struct unit *u, u16 did)
{
    struct domain *d = did > DID_IDENTITY ? domain_get(u, did) : NULL;

    if (d)
        domain_release(u, d);
}

/* Puts `want` (whose reference it owns) in force, and plans the flushes of 6.2.2 for what was there before.
 */
static void put_entry(struct unit *u, u16 sid, struct context_entry *host, struct context_entry want,
                      bool asked)
{
    u16 old_did = entry_did(host), new_did = entry_did(&want);
    bool same = host->lo == want.lo && host->hi == want.hi;
    struct fn *f = fn_find(u, sid);

    if (f && f->domain != new_did)
        domain_attach(u, f, new_did);
    if (asked || !same) {
        plan_context(u, sid, old_did);
        plan_function(u, sid);
    }
    if (!same) {
        struct domain *old = domain_get(u, old_did), *new = domain_get(u, new_did);

        write_entry(u, host, want);
        if (old)
            plan_domain(u, old, false);
        if (new) /* not-present may have been cached under the new id if the unit has caching mode */
            plan_domain(u, new, false);
    }
    drop_reference(u,
                   old_did); /* of the old entry, or, where nothing changed, the one compose() took again */
}

void context_sync(struct unit *u, u16 sid, bool asked)
{
    struct guest_context g;
    struct context_entry *host;

    if (!u->v.enabled) {
        if (asked) {
            plan_context(u, sid, DID_IDENTITY);
            plan_function(u, sid);
        }
        return;
    }
    read_guest(u, sid, &g);
    host = host_entry(u, sid, !g.fault || g.no_faults);
    if (!host) { /* no table for that bus, and none needed: blocked by the root entry */
        if (asked) {
            plan_context(u, sid, DID_NONE);
            plan_function(u, sid);
        }
        return;
    }
    put_entry(u, sid, host, compose(u, &g, fn_find(u, sid)), asked);
}

void context_sync_all(struct unit *u)
{
    volatile struct root_entry *root = env_guest_page(u->v.root);

    if (!u->v.enabled)
        return;
    for (unsigned bus = 0; bus < 256; bus++) {
        if (!u->context_on[bus] && !(root && root[bus].lo & ROOT_P))
            continue;
        for (unsigned devfn = 0; devfn < 256; devfn++)
            context_sync(u, (u16)(bus << 8 | devfn), false);
    }
}

static void clear_all(struct unit *u)
{
    struct context_entry none = { 0, 0 };

    for (unsigned bus = 0; bus < 256; bus++)
        for (unsigned devfn = 0; u->context_on[bus] && devfn < 256; devfn++)
            if (u->context_on[bus][devfn].lo || u->context_on[bus][devfn].hi)
                put_entry(u, (u16)(bus << 8 | devfn), &u->context_on[bus][devfn], none, false);
}

void context_enable(struct unit *u, bool on)
{
    u16 start = on ? DID_NONE : DID_IDENTITY;

    if (on) {
        for (unsigned i = 1; i < u->nr_fns; i++)
            if (u->fns[i].sid)
                domain_attach(u, &u->fns[i], start);
        context_sync_all(u); /* complete before hardware sees it */
    }
    if (hw_set_root(u, on ? u->root_on : u->root_off))
        env_log(ENV_ERR, "unit %u: root pointer not accepted; its devices keep the former tables", u->index);
    if (!on) {
        /* Until then a cached root entry may lead to the old entries, and those must not fault yet. */
        plan_everything(u);
        replay_now(u);
        clear_all(u);
        for (unsigned i = 1; i < u->nr_fns; i++)
            if (u->fns[i].sid)
                domain_attach(u, &u->fns[i], start);
    }
    plan_everything(u);
}
