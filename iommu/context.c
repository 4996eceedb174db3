/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root and context entries (9.1 to 9.4). Two root tables stand ready: root_off, in force while the guest's
 * translation is off, gives every bus and devfn, present or not, the contained identity map; root_on holds
 * shadows of the guest's entries. Changing between them is one root-pointer command.
 *
 * The table mode of ours is chosen at boot and does not follow the guest's: on a unit in scalable mode a
 * guest's legacy entry becomes a PASID directory whose only PASID is that of the function's plain requests.
 */
#include "iommu/parts.h"

/* --- the guest's entries --- */

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

static void judge_legacy(struct unit *u, struct context_entry e, struct guest_context *g)
{
    u64 tt = field_get(e.lo, CTX_TT), aw = field_get(e.hi, CTX_AW);
    struct translation *t = &g->t;

    g->no_faults = e.lo & CTX_FPD;
    g->fault = FAULT_CONTEXT_NOT_PRESENT;
    if (!(e.lo & CTX_P))
        return;
    g->fault = FAULT_CONTEXT_RESERVED;
    if (e.lo & CTX_LO_RSVD || e.hi & CTX_HI_RSVD) {
        g->no_faults = false; /* reported whatever FPD says (7.1.3) */
        return;
    }
    g->ats = tt == TT_ATS;
    t->pgtt = tt == TT_PASS_THROUGH ? PGTT_PASS_THROUGH : PGTT_SECOND;
    t->did = (u16)(field_get(e.hi, CTX_DID) & u->v.rules.did_mask);
    t->levels = (u8)(aw + 2);
    t->root = e.lo & CTX_SSPTPTR;
    g->fault = FAULT_CONTEXT_INVALID;
    if (tt > TT_PASS_THROUGH || (g->ats && !u->v.rules.dt) ||
        (tt == TT_PASS_THROUGH && !(u->v.ecap & ECAP_PT)))
        return;
    /* AW says 2 + AW levels; SAGAW bit AW says that the unit can (9.3). Domain-id 0 is reserved under CM=1
     * (6.1). */
    if (!(field_get(u->v.cap, CAP_SAGAW) & BIT(aw)) || (!t->did && u->v.cap & CAP_CM))
        return;
    /* Shadows need to be told of what becomes present. */
    if (t->pgtt == PGTT_SECOND && !(u->v.cap & CAP_CM))
        return;
    g->fault = FAULT_SS_ACCESS;
    if (t->pgtt == PGTT_SECOND && !env_guest_ram(t->root))
        return;
    g->fault = FAULT_NONE;
}

static void judge_scalable(struct unit *u, struct context_entry e, u64 upper, struct guest_context *g)
{
    g->no_faults = e.lo & CTX_FPD;
    g->fault = FAULT_SM_CONTEXT_NOT_PRESENT;
    if (!(e.lo & CTX_P))
        return;
    g->fault = FAULT_SM_CONTEXT_RESERVED;
    if (e.lo & SMCTX_LO_RSVD || e.hi & SMCTX_HI_RSVD || upper ||
        (e.hi & SMCTX_RID_PASID && !(u->v.ecap & ECAP_RPS)) || (e.lo & SMCTX_DTE && !u->v.rules.dt) ||
        (e.lo & SMCTX_PRE && !u->v.rules.prs) || (e.lo & SMCTX_PASIDE && !(u->v.ecap & ECAP_PASID)))
        return;
    g->ats = e.lo & SMCTX_DTE;
    g->pages = e.lo & SMCTX_PRE;
    g->dir = (struct guest_dir){ .at = e.lo & SMCTX_DIRPTR,
                                 .entries = 128u << field_get(e.lo, SMCTX_PDTS),
                                 .rid_pasid = (u32)field_get(e.hi, SMCTX_RID_PASID),
                                 .pasids = e.lo & SMCTX_PASIDE };
    g->fault = FAULT_SM_RID_PASID;
    if (g->dir.rid_pasid >> PASID_BITS || g->dir.rid_pasid / PASIDS_PER_TABLE >= g->dir.entries)
        return;
    g->fault = FAULT_NONE;
}

void context_read(struct unit *u, u16 sid, struct guest_context *g)
{
    bool scalable = u->v.rules.scalable;
    volatile u64 *root = env_guest_ram(u->v.root), *page;
    volatile struct context_entry *at;
    u64 lo, hi;

    /* A table mode that is not announced translates nothing. */
    if (u->v.ttm > TTM_SCALABLE || (scalable && !(u->v.ecap & ECAP_SMTS))) {
        *g = (struct guest_context){ .fault = u->v.ttm == TTM_ABORT ? FAULT_ABORT : FAULT_TTM };
        return;
    }
    *g = (struct guest_context){ .fault = scalable ? FAULT_SM_ROOT_ACCESS : FAULT_ROOT_ACCESS };
    if (!root)
        return;
    /* A root entry is two quadwords; each one that counts is P and a pointer, so there is nothing to tear. */
    lo = root[(sid >> 8) * 2];
    hi = root[(sid >> 8) * 2 + 1];
    if (scalable && sid & 0x80)
        lo = hi;
    g->fault = scalable ? FAULT_SM_ROOT_NOT_PRESENT : FAULT_ROOT_NOT_PRESENT;
    if (!(lo & ROOT_P))
        return;
    g->fault = scalable ? FAULT_SM_ROOT_RESERVED : FAULT_ROOT_RESERVED;
    if (lo & ~(ROOT_P | ROOT_CTP) || (!scalable && hi))
        return;
    g->fault = scalable ? FAULT_SM_CONTEXT_ACCESS : FAULT_CONTEXT_ACCESS;
    page = env_guest_ram(lo & ROOT_CTP);
    if (!page)
        return;
    if (scalable) {
        page += (sid & 0x7f) * 4;
        at = (volatile struct context_entry *)page;
        judge_scalable(u, read_entry(at), page[2] | page[3], g);
    } else {
        at = (volatile struct context_entry *)page + (sid & 0xff);
        judge_legacy(u, read_entry(at), g);
    }
}

enum fault_reason context_fault(struct unit *u, u16 sid, const u32 *pasid, u64 addr, u8 *pgtt)
{
    struct guest_context g;

    context_read(u, sid, &g);
    *pgtt = g.fault ? 0 : g.t.pgtt;
    if (g.fault)
        return g.fault;
    if (u->v.rules.scalable)
        return pasid_fault(u, &g.dir, pasid, addr, pgtt);
    return g.t.pgtt == PGTT_PASS_THROUGH ? FAULT_NONE : shadow_fault(u, &g.t, addr);
}

/* --- ours --- */

static struct context_entry legacy_entry(const struct domain *d, u64 tt)
{
    return (struct context_entry){ CTX_P | field_prep(CTX_TT, tt) | env_phys(d->root),
                                   field_prep(CTX_AW, d->levels - 2u) | field_prep(CTX_DID, d->did) };
}

static struct context_entry scalable_entry(const struct shadow_dir *dir, bool ats)
{
    return (struct context_entry){ CTX_P | (ats ? SMCTX_DTE : 0) | (dir->guest.pasids ? SMCTX_PASIDE : 0) |
                                       field_prep(SMCTX_PDTS, DIR_PDTS) | env_phys(dir),
                                   dir->guest.rid_pasid };
}

int context_init(struct unit *u)
{
    struct domain *identity;
    struct context_entry e = { 0, 0 };

    u->root_off = env_page_alloc();
    u->root_on = env_page_alloc();
    u->context_off = env_page_alloc();
    u->atts = env_pages_alloc(ATT_PAGES);
    u->next_att = 1;
    u->next_did = DID_IDENTITY;
    identity = domain_create_identity(u);
    if (!u->root_off || !u->root_on || !u->context_off || !u->atts || !identity || identity->short_of_memory)
        return ERR_NOMEM;
    if (u->scalable) {
        if (pasid_init(u))
            return ERR_NOMEM;
        e = scalable_entry(u->dir_off, false);
    } else {
        e = legacy_entry(identity, TT_SECOND_STAGE);
    }
    for (unsigned i = 0; i < 256; i++) {
        /* Scalable: 128 entries of twice the size, whose upper halves are reserved. */
        if (!u->scalable || i % 2 == 0)
            u->context_off[i] = e;
        u->root_off[i] = (struct root_entry){ ROOT_P | env_phys(u->context_off), 0 };
        if (u->scalable)
            u->root_off[i].hi = u->root_off[i].lo;
    }
    hw_publish(u, u->context_off);
    hw_publish(u, u->root_off);
    hw_publish(u, u->root_on);
    return 0;
}

static struct context_entry *host_entry(struct unit *u, u16 sid, bool create)
{
    struct context_entry **page = &u->context_on[u->scalable ? sid >> 7 : sid >> 8];
    struct root_entry *root = &u->root_on[sid >> 8];

    if (!*page && create) {
        *page = env_page_alloc();
        if (!*page)
            return NULL;
        hw_publish(u, *page);
        hw_write_entry(u, u->scalable && sid & 0x80 ? &root->hi : &root->lo,
                       &(u64){ ROOT_P | env_phys(*page) }, 1);
        u->plan.context_all =
            true; /* a cached not-present root entry goes only with a global flush (6.2.2) */
    }
    if (!*page)
        return NULL;
    return u->scalable ? &(*page)[(sid & 0x7f) * 2] : &(*page)[sid & 0xff];
}

static void flush_entry(struct unit *u, u16 sid, u16 old_did)
{
    plan_context(u, sid, old_did);
    plan_function(u, sid);
}

/* --- legacy mode --- */

static u16 entry_did(const struct context_entry *e)
{
    return e->lo & CTX_P ? (u16)field_get(e->hi, CTX_DID) : DID_NONE;
}

static bool gate_open(const struct guest_context *g, const struct fn *f)
{
    return g->ats && f && f->gate; /* the ATS gate */
}

/* The entry hardware shall have for what the guest wrote. Takes a reference to the domain it names. */
static struct context_entry compose_legacy(struct unit *u, const struct guest_context *g, const struct fn *f)
{
    struct context_entry e = { 0, 0 };
    struct domain *d;

    if (!g->fault && !(f && f->dead)) {
        d = domain_acquire(u, &g->t, NULL);
        if (d)
            e = legacy_entry(d, gate_open(g, f) ? TT_ATS : TT_SECOND_STAGE);
    }
    e.lo |= g->no_faults ? CTX_FPD : 0;
    return e;
}

/* Puts `want` (whose reference it owns) in force, and plans the flushes of 6.2.2 for what was there before.
 */
static void put_legacy(struct unit *u, u16 sid, struct context_entry *host, struct context_entry want,
                       bool asked)
{
    u16 old_did = entry_did(host), new_did = entry_did(&want);
    bool same = host->lo == want.lo; /* where it leads decides the rest */
    struct fn *f = fn_find(u, sid);

    if (f)
        domain_attach(u, f, true, 0, new_did);
    if (asked || !same)
        flush_entry(u, sid, old_did);
    if (!same) {
        struct domain *old = domain_get(u, old_did), *new = domain_get(u, new_did);

        hw_write_entry(u, &host->lo, &want.lo, 2);
        if (old)
            plan_domain(u, old, false);
        if (new) /* not-present may have been cached under the new id if the unit has caching mode */
            plan_domain(u, new, false);
    }
    domain_drop(u, old_did); /* of the old entry, or, where nothing changed, the one compose took again */
}

/* --- scalable mode --- */

static struct shadow_dir *entry_dir(const struct context_entry *e)
{
    return e->lo & CTX_P ? env_virt(e->lo & SMCTX_DIRPTR) : NULL;
}

static bool same_dir(const struct guest_dir *a, const struct guest_dir *b)
{
    return a->at == b->at && a->entries == b->entries && a->rid_pasid == b->rid_pasid &&
           a->pasids == b->pasids;
}

static void put_scalable(struct unit *u, u16 sid, struct context_entry *host, const struct guest_context *g,
                         bool asked)
{
    struct fn *f = fn_find(u, sid);
    struct shadow_dir *dir = entry_dir(host), *old = dir;
    bool blocked = g->fault || (f && f->dead);
    struct context_entry want = { 0, 0 };

    /* Another table mode, directory or plain PASID: a directory of its own, complete before use. */
    if (dir && (blocked || !same_dir(&dir->guest, &g->dir)))
        dir = NULL;
    if (f && old && !dir)
        domain_detach(u, f); /* now: what the new one attaches must not be undone when the old one goes */
    if (!blocked) {
        if (!dir)
            dir = pasid_dir_create(u, sid);
        if (dir) {
            dir->guest = g->dir;
            pasid_sync_all(u, dir, g);
            want = scalable_entry(dir, gate_open(g, f));
            want.lo |= g->pages && gate_open(g, f) ? SMCTX_PRE : 0;
        }
    }
    if (f)
        f->dir = want.lo & CTX_P ? dir : NULL;
    if (host->lo & ~want.lo & SMCTX_PRE) /* or it would be taken for a request of who comes next */
        u->plan.drain = true;
    want.lo |= g->no_faults ? CTX_FPD : 0;
    if (asked || host->lo != want.lo)  /* where it leads decides the rest */
        flush_entry(u, sid, DID_NONE); /* the domain-id is ignored in scalable mode (6.5.2.1) */
    if (host->lo != want.lo)
        hw_write_entry(u, &host->lo, &want.lo, 2);
    if (old && old != dir)
        pasid_dir_drop(u, old);
}

/* --- both --- */

static void put(struct unit *u, u16 sid, struct context_entry *host, const struct guest_context *g,
                bool asked)
{
    if (u->scalable)
        put_scalable(u, sid, host, g, asked);
    else
        put_legacy(u, sid, host, compose_legacy(u, g, fn_find(u, sid)), asked);
}

void context_sync(struct unit *u, u16 sid, bool asked)
{
    struct guest_context g;
    struct context_entry *host;

    if (!u->v.enabled) {
        if (asked)
            flush_entry(u, sid, DID_IDENTITY);
        return;
    }
    context_read(u, sid, &g);
    host = host_entry(u, sid, !g.fault || g.no_faults);
    if (host) /* else the root entry blocks that bus, as it always has */
        put(u, sid, host, &g, asked);
}

void context_sync_all(struct unit *u)
{
    volatile struct root_entry *root = env_guest_ram(u->v.root);

    if (!u->v.enabled)
        return;
    for (unsigned bus = 0; bus < 256; bus++) {
        bool ours =
            u->scalable ? u->context_on[bus * 2] || u->context_on[bus * 2 + 1] : u->context_on[bus] != NULL;

        if (!ours && !(root && (root[bus].lo | root[bus].hi) & ROOT_P))
            continue;
        for (unsigned devfn = 0; devfn < 256; devfn++)
            context_sync(u, (u16)(bus << 8 | devfn), false);
    }
}

static void clear_all(struct unit *u)
{
    struct guest_context none = { .fault = FAULT_CONTEXT_NOT_PRESENT };

    for (u32 sid = 0; sid < 0x10000; sid++) {
        struct context_entry *host = host_entry(u, (u16)sid, false);

        if (!host)
            sid |= u->scalable ? 0x7f : 0xff; /* nor the others of that table */
        else if (host->lo)
            put(u, (u16)sid, host, &none, false);
    }
}

void context_enable(struct unit *u, bool on)
{
    if (on)
        context_sync_all(u); /* complete before hardware sees it */
    if (hw_set_root(u, on ? u->root_on : u->root_off))
        env_log(ENV_ERR, "unit %u: root pointer not accepted; its devices keep the former tables", u->index);
    if (!on) {
        /* Until then a cached root entry may lead to the old entries, and those must not fault yet. */
        plan_everything(u);
        replay_now(u);
        clear_all(u);
    }
    plan_everything(u);
}
