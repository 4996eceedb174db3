/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host domains and their ids. The guest's domain-ids never reach hardware; a list per guest id says which of
 * ours stand for it, so that a flush of one reaches all of them.
 */
#include "iommu/parts.h"

/* With an empty table of ours (`own`), or without. */
static struct domain *new_domain(struct unit *u, u8 pgtt, u8 levels, bool own)
{
    struct domain *d;
    u16 did;

    if (u->free_did) {
        did = u->free_did;
        d = domain_at(u, did);
    } else {
        if (u->next_did >= u->did_limit || u->next_did == 0xffff)
            return NULL;
        did = u->next_did;
        if (!u->domains[did / DOMAINS_PER_PAGE])
            u->domains[did / DOMAINS_PER_PAGE] = env_page_alloc();
        if (!u->domains[did / DOMAINS_PER_PAGE])
            return NULL;
        d = domain_at(u, did);
        d->next_same = 0;
    }
    d->root = own ? shadow_alloc() : NULL;
    if (own && !d->root)
        return NULL;
    if (u->free_did)
        u->free_did = d->next_same;
    else
        u->next_did++;
    *d = (struct domain){ .did = did, .pgtt = pgtt, .levels = levels, .live = true, .root = d->root };
    d->iotlb_low = desc_iotlb_low(DESC_G_PAGE, did, u->drain_reads, u->drain_writes);
    return d;
}

/* A new table is complete and in memory before any entry names it. */
static void fill(struct unit *u, struct domain *d)
{
    struct range all = RANGE_ALL;

    shadow_sync(u, d, &all);
    hw_publish(u, d->root);
}

struct domain *domain_create_identity(struct unit *u)
{
    struct domain *d = new_domain(u, u->own_pgtt, u->max_levels, true);

    if (d) {
        d->refs = 1; /* never dies */
        fill(u, d);
    }
    return d;
}

static struct domain *no_domain(struct unit *u, u16 guest_did)
{
    env_log_limited(ENV_WARN, "unit %u: no domain-id or memory left for guest domain %u; its devices fault",
                    u->index, guest_did);
    return NULL;
}

/* Second-stage tables under one guest domain-id: the specification allows one (6.2.3.1), and guests between
 * two flushes have a few. A list as long as a guest likes would be walked for each of its entries. */
#define MAX_SAME 64

struct domain *domain_acquire(struct unit *u, const struct translation *t, struct shadow_dir *dir)
{
    bool first = t->pgtt == PGTT_FIRST;
    u16 *head = idmap_slot(&u->guest_dids[first], t->did, true), *known = head;
    unsigned nr_same = 0;
    struct domain *d;

    if (t->pgtt == PGTT_PASS_THROUGH)
        return domain_get(u, DID_IDENTITY);
    if (first)
        known = idmap_slot(&dir->domains, t->did, true);
    if (!head || !known)
        return no_domain(u, t->did);
    for (d = domain_get(u, *known); d; d = domain_get(u, d->next_same)) {
        if (first || (d->guest_root == t->root && d->levels == t->levels)) {
            d->refs++;
            return d;
        }
        if (++nr_same == MAX_SAME)
            return no_domain(u, t->did);
    }
    d = new_domain(u, first ? u->first_pgtt : u->own_pgtt, t->levels, !first);
    if (!d)
        return no_domain(u, t->did);
    d->guest_did = t->did;
    d->guest_root = t->root;
    d->dir = dir;
    d->refs = 1;
    d->next_same = *head;
    *head = *known = d->did;
    if (d->root)
        fill(u, d);
    return d;
}

static void domain_release(struct unit *u, struct domain *d)
{
    u16 *link = idmap_slot(&u->guest_dids[!d->root], d->guest_did, false);

    if (--d->refs)
        return;
    /* Out of the guest's sight now, but the id and the tables are reused only after the flush. */
    while (*link != d->did)
        link = &domain_at(u, *link)->next_same;
    *link = d->next_same;
    if (!d->root)
        *idmap_slot(&d->dir->domains, d->guest_did, false) = 0;
    d->next_same = u->dying;
    u->dying = d->did;
}

void domain_drop(struct unit *u, u16 did)
{
    struct domain *d = did > DID_IDENTITY ? domain_get(u, did) : NULL;

    if (d)
        domain_release(u, d);
}

static struct att *att_find(struct unit *u, const struct fn *f, bool rid, u32 pasid)
{
    for (u16 i = f->first_att; i; i = u->atts[i].next_of_fn)
        if (u->atts[i].rid == rid && (rid || u->atts[i].pasid == pasid))
            return &u->atts[i];
    return NULL;
}

static struct att *att_new(struct unit *u, struct fn *f)
{
    u16 i = u->free_att;

    if (i)
        u->free_att = u->atts[i].next_of_fn;
    else if (u->next_att < MAX_ATTS)
        i = u->next_att++;
    else
        return NULL;
    u->atts[i] = (struct att){ .fn = (u16)(f - u->fns), .next_of_fn = f->first_att };
    f->first_att = i;
    return &u->atts[i];
}

static void unlink_from_domain(struct unit *u, struct att *a)
{
    u16 index = (u16)(a - u->atts);
    struct domain *d = domain_get(u, a->did);

    for (u16 *link = d ? &d->first_att : NULL; link && *link; link = &u->atts[*link].next_of_domain)
        if (*link == index) {
            *link = a->next_of_domain;
            d->nr_atts--;
            break;
        }
    a->did = DID_NONE;
}

void domain_attach(struct unit *u, struct fn *f, bool rid, u32 pasid, u16 did)
{
    struct att *a = att_find(u, f, rid, pasid);
    struct domain *d = domain_get(u, did);

    if (d && !d->root)
        d = NULL;
    if (a ? a->did == (d ? did : DID_NONE) : !d)
        return;
    if (!a)
        a = att_new(u, f);
    if (!a) {
        u->atts_lost = true; /* who cannot be listed is flushed with everyone, always */
        return;
    }
    unlink_from_domain(u, a);
    a->rid = rid;
    a->pasid = pasid;
    if (d) {
        a->did = did;
        a->next_of_domain = d->first_att;
        d->first_att = (u16)(a - u->atts);
        d->nr_atts++;
    }
}

void domain_detach(struct unit *u, struct fn *f)
{
    while (f->first_att) {
        struct att *a = &u->atts[f->first_att];
        u16 index = f->first_att;

        unlink_from_domain(u, a);
        f->first_att = a->next_of_fn;
        a->next_of_fn = u->free_att;
        u->free_att = index;
    }
}

void domain_reap(struct unit *u)
{
    if (u->hq.lost) { /* nothing was flushed: what the unit might still read is never reused */
        u->dying = 0;
        u->limbo = NULL;
    }
    while (u->dying) {
        struct domain *d = domain_get(u, u->dying);

        u->dying = d->next_same;
        if (d->root)
            shadow_free(u, d->root, d->levels);
        d->live = false;
        d->next_same = u->free_did;
        u->free_did = d->did;
    }
    limbo_free(u);
}
