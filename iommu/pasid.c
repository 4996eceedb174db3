/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PASID directories and tables (9.5, 9.6), for a unit in scalable mode. Pointers in them are host-physical
 * even for a guest's own driver, so hardware sees only ours: a directory for each function that has a present
 * context entry, filled with what the guest's entries say.
 */
#include "iommu/parts.h"

/* The guest's entry for one PASID, judged. */
struct guest_pasid {
    enum fault_reason fault;
    bool no_faults;
    struct translation t;
};

/* Ours for a domain; no bit of it is the guest's but PGSNP and NXE. */
static struct pasid_entry our_entry(struct unit *u, const struct domain *d, const struct translation *t)
{
    const struct domain *below = d->pgtt == PGTT_NESTED ? domain_get(u, DID_IDENTITY) : d;
    struct pasid_entry e = { { 0 } };

    e.q[0] = PE_P | field_prep(PE_PGTT, d->pgtt) | field_prep(PE_AW, below->levels - 2u);
    e.q[1] = field_prep(PE_DID, d->did) | (u->ecap & ECAP_SMPWC ? PE_PWSNP : 0) | (t->snoop ? PE_PGSNP : 0);
    if (d->pgtt != PGTT_FIRST)
        e.q[0] |= env_phys(below->root);
    if (d->pgtt != PGTT_SECOND)
        e.q[2] = (t->nxe ? PE_NXE : 0) | (d->root ? env_phys(d->root) : t->root) |
                 field_prep(PE_FSPM, (d->root ? d->levels : t->levels) - 4u);
    return e;
}

int pasid_init(struct unit *u)
{
    static const struct translation plain;
    struct pasid_entry *table = env_page_alloc();
    u32 rid = 0;

    u->dir_off = env_page_alloc();
    if (!u->dir_off || !table)
        return ERR_NOMEM;
    /* With the guest's translation off plain requests have a PASID that no guest is likely to use for them:
     * while the root pointer changes, an entry of one directory may be cached for the other one. */
    if (u->ecap & ECAP_RPS)
        rid = BIT(PASID_BITS) - 1;
    if (u->ecap & ECAP_PASID)
        rid = MIN(rid, (u32)BIT(field_get(u->ecap, ECAP_PSS) + 1) - 1);
    u->dir_off->guest.rid_pasid = rid;
    table[rid % PASIDS_PER_TABLE] = our_entry(u, domain_get(u, DID_IDENTITY), &plain);
    u->dir_off->entry[rid / PASIDS_PER_TABLE] = PDIR_P | env_phys(table);
    hw_publish(u, table);
    hw_publish(u, u->dir_off);
    return 0;
}

struct shadow_dir *pasid_dir_create(struct unit *u, u16 sid)
{
    struct shadow_dir *dir = (struct shadow_dir *)shadow_alloc();

    if (!dir)
        return NULL;
    hw_publish(u, dir);
    dir->sid = sid;
    dir->next = u->dirs;
    u->dirs = dir;
    return dir;
}

static struct pasid_entry *host_entry(struct unit *u, struct shadow_dir *dir, u32 pasid, bool create)
{
    u64 *link = &dir->entry[pasid / PASIDS_PER_TABLE];

    if (!(*link & PDIR_P) && create) {
        void *table = shadow_alloc();

        if (!table)
            return NULL;
        hw_publish(u, table);
        hw_write_entry(u, link, &(u64){ PDIR_P | env_phys(table) }, 1);
        u->plan.pasid_all =
            true; /* a cached not-present directory entry names no PASID that could be flushed */
    }
    if (!(*link & PDIR_P))
        return NULL;
    return (struct pasid_entry *)env_virt(*link & PDIR_PTR) + pasid % PASIDS_PER_TABLE;
}

static bool same_entry(const struct pasid_entry *a, const struct pasid_entry *b)
{
    for (unsigned i = 0; i < ARRAY_SIZE(a->q); i++)
        if (a->q[i] != b->q[i])
            return false;
    return true;
}

static u16 entry_did(const struct pasid_entry *e)
{
    return e->q[0] & PE_P ? (u16)field_get(e->q[1], PE_DID) : DID_NONE;
}

struct domain *pasid_domain(struct unit *u, struct shadow_dir *dir, u32 pasid)
{
    const struct pasid_entry *e = pasid >> PASID_BITS ? NULL : host_entry(u, dir, pasid, false);

    return e ? domain_get(u, entry_did(e)) : NULL;
}

/* Puts `want` (whose reference it owns) in force and plans what 6.2.2 asks for what was there before. */
static void put(struct unit *u, struct shadow_dir *dir, u32 pasid, struct pasid_entry *host,
                struct pasid_entry *want, bool asked)
{
    u16 old_did = entry_did(host), new_did = entry_did(want);
    bool rid = pasid == dir->guest.rid_pasid, same;
    struct fn *f = fn_find(u, dir->sid);

    /* Hardware may read the first half of the old entry and the second half of the new one, and an entry that
     * translates must never lead to page 0. Where there is no first stage the field is ignored. */
    if (!want->q[2])
        want->q[2] = host->q[2];
    same = same_entry(host, want);
    if (f && !dir->dropped && (!same || asked || f->silent)) {
        domain_attach(u, f, rid, pasid, new_did);
        f->pasids |= !rid && new_did != DID_NONE;
    }
    if (asked || !same)
        plan_pasid(u, old_did, pasid);
    if (!same || (asked && new_did)) /* of what was not there and is not there a function holds nothing */
        plan_function(u, dir->sid);
    if (!same) {
        struct domain *old = domain_get(u, old_did), *new = domain_get(u, new_did);

        /* Cached context entries may lead to a dropped directory, and must not fault yet. */
        if (!dir->dropped)
            hw_write_entry(u, host->q, want->q, ARRAY_SIZE(want->q));
        if (old)
            plan_domain(u, old, false);
        if (new) /* not-present may have been cached under the new id if the unit has caching mode */
            plan_domain(u, new, false);
    }
    domain_drop(u, old_did);
}

void pasid_dir_drop(struct unit *u, struct shadow_dir *dir)
{
    struct shadow_dir **link = &u->dirs;

    while (*link != dir)
        link = &(*link)->next;
    *link = dir->next;
    dir->dropped = true;      /* the function is where the directory that replaced this one says */
    u->plan.pasid_all = true; /* its entries are cached, too, also those that lead to no PASID */
    for (u32 i = 0; i < DIR_ENTRIES; i++) {
        struct pasid_entry *table = host_entry(u, dir, i * PASIDS_PER_TABLE, false);

        for (u32 p = 0; table && p < PASIDS_PER_TABLE; p++)
            if (table[p].q[0]) {
                struct pasid_entry none = { { 0 } };

                put(u, dir, i * PASIDS_PER_TABLE + p, &table[p], &none, false);
            }
        if (table)
            limbo_add(u, table);
    }
    for (u32 i = 0; i < ARRAY_SIZE(dir->domains.pages); i++)
        if (dir->domains.pages[i])
            env_page_free(dir->domains.pages[i]);
    limbo_add(u, dir);
}

/* --- the guest's tables --- */

static void judge(struct unit *u, const u64 q[8], struct guest_pasid *p)
{
    u64 aw = field_get(q[0], PE_AW), fspm = field_get(q[2], PE_FSPM);
    struct translation *t = &p->t;

    p->no_faults = q[0] & PE_FPD;
    p->fault = FAULT_SM_PASID_NOT_PRESENT;
    if (!(q[0] & PE_P))
        return;
    p->fault = FAULT_SM_PASID_RESERVED;
    if (q[0] & PE_Q0_RSVD || q[1] & PE_Q1_RSVD || q[2] & PE_Q2_RSVD || q[3] | q[4] | q[5] | q[6] | q[7])
        return;
    *t = (struct translation){ .pgtt = (u8)field_get(q[0], PE_PGTT),
                               .did = (u16)(field_get(q[1], PE_DID) & u->v.rules.did_mask),
                               .snoop = q[1] & PE_PGSNP && u->v.ecap & ECAP_SC,
                               .nxe = q[2] & PE_NXE };
    p->fault = FAULT_SM_PASID_INVALID;
    if (!t->did && u->v.cap & CAP_CM)
        return;
    switch (t->pgtt) {
    case PGTT_FIRST:
        t->levels = (u8)(fspm + 4);
        t->root = q[2] & PE_FSPTPTR;
        if (!(u->v.ecap & ECAP_FSTS) || fspm > 1 || (fspm && !(u->v.cap & CAP_FS5LP)))
            return;
        break;
    case PGTT_SECOND:
        t->levels = (u8)(aw + 2);
        t->root = q[0] & PE_SSPTPTR;
        if (!(u->v.ecap & ECAP_SSTS) || !(field_get(u->v.cap, CAP_SAGAW) & BIT(aw)))
            return;
        break;
    case PGTT_PASS_THROUGH:
        p->fault = u->v.ecap & ECAP_PT ? FAULT_NONE : FAULT_SM_PASID_INVALID;
        return;
    default: /* nested: a guest has no use for it as long as only it and we are there */
        return;
    }
    /* Hardware is given the address of a first-stage table only after this. */
    p->fault = FAULT_NONE;
    if (!env_guest_ram(t->root))
        p->fault = t->pgtt == PGTT_FIRST ? FAULT_SM_FS_TOP_ACCESS : FAULT_SM_SS_TOP_ACCESS;
}

/* One entry of the guest's table at `table`; a consistent copy, or the last of a few tries. */
static void read_entry(struct unit *u, volatile u64 *table, u32 pasid, struct guest_pasid *p)
{
    volatile u64 *at = table + (u64)(pasid % PASIDS_PER_TABLE) * 8;
    bool torn = true;
    u64 q[8];

    for (unsigned tries = 0; torn && tries < 4; tries++) {
        torn = false;
        for (unsigned i = 0; i < 8; i++)
            q[i] = at[i];
        for (unsigned i = 0; i < 8; i++)
            torn |= at[i] != q[i];
    }
    judge(u, q, p);
}

/* The guest's table of PASIDs that holds `pasid`; NULL and the reason where there is none. */
static volatile u64 *guest_table(const struct guest_dir *g, u32 pasid, struct guest_pasid *p)
{
    u32 index = pasid / PASIDS_PER_TABLE;
    u64 e;
    volatile u64 *at = index < g->entries ? env_guest_ram(g->at + index * sizeof(u64)) : NULL;

    *p = (struct guest_pasid){ .fault = FAULT_SM_DIR_ACCESS };
    if (!at)
        return NULL;
    e = *at;
    p->no_faults = e & PDIR_FPD;
    p->fault = FAULT_SM_DIR_NOT_PRESENT;
    if (!(e & PDIR_P))
        return NULL;
    p->fault = FAULT_SM_DIR_RESERVED;
    if (e & PDIR_RSVD)
        return NULL;
    p->fault = FAULT_SM_PASID_ACCESS;
    return env_guest_ram(e & PDIR_PTR);
}

enum fault_reason pasid_fault(struct unit *u, const struct guest_dir *dir, const u32 *pasid, u64 addr,
                              u8 *pgtt)
{
    u32 which = pasid ? *pasid : dir->rid_pasid;
    struct guest_pasid p;
    volatile u64 *table;

    if (which / PASIDS_PER_TABLE >= dir->entries) /* for a plain request the context entry is to blame */
        return FAULT_SM_PASID_LARGE;
    table = guest_table(dir, which, &p);
    if (table)
        read_entry(u, table, which, &p);
    *pgtt = p.t.pgtt;
    return p.fault || p.t.pgtt == PGTT_PASS_THROUGH ? p.fault : shadow_fault(u, &p.t, addr);
}

static void sync_entry(struct unit *u, struct shadow_dir *dir, u32 pasid, const struct guest_pasid *p,
                       bool asked)
{
    struct pasid_entry *host = host_entry(u, dir, pasid, !p->fault || p->no_faults);
    struct pasid_entry want = { { 0 } };
    struct domain *d = NULL;

    if (!host) {
        if (asked)
            plan_pasid(u, DID_NONE, pasid);
        return;
    }
    if (!p->fault)
        d = domain_acquire(u, &p->t, dir);
    if (d)
        want = our_entry(u, d, &p->t);
    want.q[0] |= p->no_faults ? PE_FPD : 0;
    put(u, dir, pasid, host, &want, asked);
}

void pasid_sync(struct unit *u, struct shadow_dir *dir, u32 pasid, bool asked)
{
    struct guest_pasid p;
    volatile u64 *table;

    if (pasid >> PASID_BITS || !dir->guest.entries)
        return; /* beyond our directory; or a legacy entry, which has no PASIDs */
    if (pasid != dir->guest.rid_pasid && !dir->guest.pasids)
        return; /* no request carries one, and a function without the capability answers no flush for one */
    table = guest_table(&dir->guest, pasid, &p);
    if (table)
        read_entry(u, table, pasid, &p);
    sync_entry(u, dir, pasid, &p, asked);
}

void pasid_sync_all(struct unit *u, struct shadow_dir *dir, const struct guest_context *g)
{
    struct guest_pasid p = { .fault = g->fault, .no_faults = g->no_faults, .t = g->t };

    if (!dir->guest.entries) { /* a legacy entry: plain requests only */
        sync_entry(u, dir, 0, &p, false);
        return;
    }
    if (!dir->guest.pasids) {
        pasid_sync(u, dir, dir->guest.rid_pasid, false);
        return;
    }
    for (u32 index = 0; index < DIR_ENTRIES; index++) {
        u32 first = index * PASIDS_PER_TABLE;
        volatile u64 *table = guest_table(&dir->guest, first, &p);

        if (!table && !(dir->entry[index] & PDIR_P))
            continue;
        for (u32 pasid = first; pasid < first + PASIDS_PER_TABLE; pasid++) {
            if (table)
                read_entry(u, table, pasid, &p);
            sync_entry(u, dir, pasid, &p, false);
        }
    }
}
