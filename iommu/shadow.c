/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shadow second-stage tables (9.8): the guest's table composed with who owns each page. A shadow mirrors the
 * guest's levels and permissions; a leaf is there only where env_dma_allowed() says so. What hardware can
 * still reach is never reused here: pages go into limbo until the flush is done.
 *
 * Units without a second stage get the same in first-stage format (9.7): addresses, present and write, and
 * the bit for superpages are in the same places, so only our_perm() knows. What is write-only can be read
 * there.
 */
#include "iommu/parts.h"

/* Pages that guests cannot use up, for context tables, nested paging and the like. */
#define RESERVE_PAGES 256

u64 *shadow_alloc(void)
{
    return env_pages_available() > RESERVE_PAGES ? env_page_alloc() : NULL;
}

struct sync {
    struct unit *u;
    struct domain *d;
    struct range flush; /* what must be flushed: what the guest asked for, widened to whole old leaves */
};

/*
 * Where the guest's entries of one table come from: a page of its memory, one superpage of it (or the
 * identity map) seen as a table of smaller ones, or nowhere.
 */
struct view {
    volatile u64 *table;
    bool split;
    u64 addr; /* split: what the first entry maps to */
    u64 perm;
};

struct guest_entry {
    enum { EMPTY, LEAF, TABLE } kind;
    u64 addr;
    u64 perm;                /* permission and snoop bits */
    enum fault_reason fault; /* EMPTY: 0, or why hardware would refuse the entry */
};

static bool leaf_size_supported(const struct unit *u, unsigned level)
{
    return level == 1 || (level == 2 && u->sslps & 1) || (level == 3 && u->sslps & 2);
}

static struct guest_entry read_entry(const struct unit *u, const struct view *v, unsigned index,
                                     unsigned level)
{
    u64 size = BIT(level_shift(level));
    struct guest_entry g = { .kind = EMPTY };
    u64 e;

    if (v->split) {
        g.kind = LEAF;
        g.addr = v->addr + index * size;
        g.perm = v->perm;
        return g;
    }
    if (!v->table)
        return g;
    e = v->table[index]; /* once: the guest's CPUs may be writing it */
    if (!(e & SS_PERM))
        return g;
    if (e & beyond_host) {
        g.fault = FAULT_SS_RESERVED;
        return g;
    }
    g.addr = e & SS_ADDR;
    g.perm = e & SS_PERM;
    if (level > 1 && !(e & SS_PS) && !(e & (SS_RSVD | SS_SNP))) {
        g.kind = TABLE;
    } else if ((level == 1 || e & SS_PS) && leaf_size_supported(u, level) && is_aligned(g.addr, size) &&
               !(e & (SS_RSVD | (u->v.ecap & ECAP_SC ? 0 : SS_SNP)))) {
        g.kind = LEAF;
        g.perm |= e & SS_SNP;
    } else {
        g.fault = FAULT_SS_RESERVED; /* blocked, as in hardware (9.8) */
    }
    return g;
}

enum fault_reason shadow_fault(struct unit *u, const struct translation *t, u64 addr)
{
    u64 root = t->root;

    for (unsigned level = t->levels; level; level--) {
        struct view v = { .table = env_guest_ram(root) };
        unsigned index = (addr >> level_shift(level)) % ENTRIES;
        struct guest_entry g;

        if (t->pgtt == PGTT_FIRST) {
            /* Hardware reads the entries itself and says what is wrong with them; but a table that we keep it
             * from is to the guest one that cannot be read. */
            if (!v.table)
                return level == t->levels ? FAULT_SM_FS_TOP_ACCESS : FAULT_SM_FS_ACCESS;
            root = v.table[index];
            if (!(root & FS_P) || root & FS_PS)
                return FAULT_NONE;
            root &= SS_ADDR;
            continue;
        }
        if (!v.table)
            return FAULT_SS_ACCESS;
        g = read_entry(u, &v, index, level);
        if (g.kind == EMPTY && !g.fault && u->v.rules.scalable) /* in legacy mode it merely gives no right */
            return FAULT_SM_SS_NOT_PRESENT;
        if (g.kind != TABLE)
            return g.fault;
        root = g.addr;
    }
    return FAULT_NONE;
}

void limbo_add(struct unit *u, void *page)
{
    *env_page_note(page) = (u64)(uintptr_t)u->limbo;
    u->limbo = page;
}

void limbo_free(struct unit *u)
{
    while (u->limbo) {
        void *page = u->limbo;

        u->limbo = (void *)(uintptr_t)*env_page_note(page);
        env_page_free(page);
    }
}

static bool is_table(u64 entry, unsigned level)
{
    return entry & SS_PERM && level > 1 && !(entry & SS_PS);
}

void shadow_free(struct unit *u, u64 *table, unsigned level)
{
    if (level > 1)
        for (unsigned i = 0; i < ENTRIES; i++)
            if (is_table(table[i], level))
                shadow_free(u, env_virt(table[i] & SS_ADDR), level - 1);
    limbo_add(u, table);
}

/* What the guest's permissions are in an entry of ours. Of a first-stage entry accessed and dirty are set
 * from the start, so that hardware never has to write it. */
static u64 our_perm(const struct domain *d, u64 perm)
{
    if (d->pgtt == PGTT_SECOND)
        return perm;
    return FS_P | FS_US | FS_A | FS_D | (perm & SS_W ? FS_RW : 0);
}

static void set_entry(const struct unit *u, u64 *entry, u64 value)
{
    __atomic_store_n(entry, value, __ATOMIC_RELEASE); /* one 8-byte store: hardware sees old or new */
    if (!u->coherent)
        env_writeback(entry, sizeof(*entry));
}

/* Everything that the entry at `base` stood for must be flushed, not just the page the guest named. */
static void widen(struct sync *s, u64 base, unsigned level)
{
    u64 first = base >> PAGE_SHIFT, last = first + BIT(level_shift(level) - PAGE_SHIFT) - 1;

    s->flush.first = MIN(s->flush.first, first);
    s->flush.last = MAX(s->flush.last, last);
}

static void replace(struct sync *s, u64 *entry, u64 value, u64 base, unsigned level)
{
    u64 old = *entry;

    if (old == value)
        return;
    if (old & SS_PERM)
        widen(s, base, level);
    set_entry(s->u, entry, value);
    if (is_table(old, level))
        shadow_free(s->u, env_virt(old & SS_ADDR), level - 1);
}

static void sync_table(struct sync *s, u64 *shadow, const struct view *v, unsigned level, u64 base,
                       struct range r);

/* Descends into the table below *entry, which comes into being complete before it is linked. */
static void sync_below(struct sync *s, u64 *entry, const struct view *below, u64 perm, u64 base,
                       unsigned level, struct range r)
{
    u64 first = base >> PAGE_SHIFT;
    struct range whole = { first, first + BIT(level_shift(level) - PAGE_SHIFT) - 1 };
    u64 soft = below->split ? SS_SOFT_SPLIT : 0;
    u64 old = *entry, *child;

    perm = our_perm(s->d, perm);
    if (is_table(old, level)) {
        child = env_virt(old & SS_ADDR);
        /* One guest superpage, before or after, is one translation: all of it changes together. */
        if (soft || old & SS_SOFT_SPLIT) {
            r = whole;
            widen(s, base, level);
        }
        sync_table(s, child, below, level - 1, base, r);
        if (old != ((old & SS_ADDR) | perm | soft)) {
            widen(s, base, level); /* permissions count for all that is below */
            set_entry(s->u, entry, (old & SS_ADDR) | perm | soft);
        }
        return;
    }
    child = shadow_alloc();
    if (!child) {
        /* Fails closed: this part of this domain faults, nothing else is touched. */
        if (!s->d->short_of_memory)
            env_log(ENV_WARN,
                    "unit %u: no memory left to shadow domain %u; parts of it fault (give more with mem=)",
                    s->u->index, s->d->guest_did);
        s->d->short_of_memory = true;
        replace(s, entry, 0, base, level);
        return;
    }
    /* A leaf that was here covered all of it; otherwise only what was asked needs to be right. */
    sync_table(s, child, below, level - 1, base, old & SS_PERM || soft ? whole : r);
    hw_publish(s->u, child);
    replace(s, entry, env_phys(child) | perm | soft, base, level);
}

static void sync_entry(struct sync *s, u64 *entry, struct guest_entry g, u64 base, unsigned level,
                       struct range r)
{
    u64 size = BIT(level_shift(level)), extent;
    struct view below = { 0 };
    bool allowed;

    if (g.kind == LEAF) {
        allowed = env_dma_allowed(g.addr, &extent);
        if (extent >= size && (!allowed || leaf_size_supported(s->u, level))) {
            replace(s, entry, allowed ? g.addr | our_perm(s->d, g.perm) | (level > 1 ? SS_PS : 0) : 0, base,
                    level);
            return;
        }
        below = (struct view){ .split = true, .addr = g.addr, .perm = g.perm };
        sync_below(s, entry, &below, SS_PERM, base, level, r);
    } else if (g.kind == TABLE) {
        below.table = env_guest_ram(g.addr);
        if (below.table)
            sync_below(s, entry, &below, g.perm, base, level, r);
        else
            replace(s, entry, 0, base, level);
    } else {
        replace(s, entry, 0, base, level);
    }
}

static void sync_table(struct sync *s, u64 *shadow, const struct view *v, unsigned level, u64 base,
                       struct range r)
{
    unsigned shift = level_shift(level) - PAGE_SHIFT; /* in pages */
    u64 first = base >> PAGE_SHIFT, last = first + (BIT(shift) * ENTRIES - 1);
    u64 from = (MAX(r.first, first) - first) >> shift, to = (MIN(r.last, last) - first) >> shift;

    for (u64 i = from; i <= to; i++) /* none, if it begins beyond the table */
        sync_entry(s, &shadow[i], read_entry(s->u, v, (unsigned)i, level), base + (i << level_shift(level)),
                   level, r);
}

/* The last level of both tables where they have the same shape down to it, none where both end before it.
 * False: the general walk must look. */
static __attribute__((noinline)) bool find_leaves(struct unit *u, struct domain *d, u64 page)
{
    volatile u64 *guest = env_guest_ram(d->guest_root);
    u64 addr = page << PAGE_SHIFT, *ours = d->root;
    struct last_tables *last = &u->last;

    *last = (struct last_tables){ .domain = NULL, .block = page / ENTRIES };
    for (unsigned i = 0; i < ARRAY_SIZE(last->entry); i++)
        last->entry[i].at = &last->entry[i].value; /* the same as itself, where tables have fewer levels */
    if (addr >> level_shift(d->levels + 1u))
        return false;
    for (unsigned level = d->levels; guest && level > 1; level--) {
        unsigned i = (addr >> level_shift(level)) % ENTRIES;
        u64 g = guest[i], h = ours[i];

        last->entry[level - 2].at = &guest[i];
        last->entry[level - 2].value = g;
        if (!(g & SS_PERM) && !h) {
            last->domain = d;
            return true;
        }
        if (g & (SS_PS | SS_RSVD | SS_SNP) || h & (SS_PS | SS_SOFT_SPLIT) || !(g & SS_PERM) ||
            (g ^ h) & SS_PERM)
            return false;
        guest = env_guest_ram(g & SS_ADDR);
        ours = env_virt(h & SS_ADDR);
    }
    last->guest = guest;
    last->ours = ours;
    if (guest)
        last->domain = d;
    return guest;
}

static inline bool remembered(const struct last_tables *last, const struct domain *d, u64 page)
{
    u64 differ = last->block ^ page / ENTRIES;

    if (last->domain != d)
        return false;
#pragma GCC unroll 4
    for (unsigned i = 0; i < ARRAY_SIZE(last->entry); i++)
        differ |= *last->entry[i].at ^ last->entry[i].value;
    return !differ;
}

/* Ours for a leaf of the guest's, if it may be reached by DMA. */
static inline u64 leaf_wanted(u64 g)
{
    return g & SS_PERM ? g & (SS_ADDR | SS_PERM | SS_SNP) : 0;
}

static __attribute__((noinline)) bool sync_leaves(struct unit *u, u64 first, u64 to)
{
    const struct last_tables *t = &u->last;
    u64 refused = SS_RSVD | (u->v.ecap & ECAP_SC ? 0 : SS_SNP), extent;

    for (u64 page = first; t->guest && page <= to; page++) {
        u64 g = t->guest[page % ENTRIES], *entry = &t->ours[page % ENTRIES], want = leaf_wanted(g);

        if (g & refused)
            return false;
        if (*entry == want)
            continue; /* what is there was judged when it was put there */
        if (want && !env_dma_allowed(want & SS_ADDR, &extent))
            want = 0;
        set_entry(u, entry, want);
    }
    return true;
}

static __attribute__((noinline)) bool find_and_sync_leaves(struct unit *u, struct domain *d, struct range r)
{
    return find_leaves(u, d, r.first) && sync_leaves(u, r.first, r.last);
}

/* What counts in a leaf. Ours never has the bits that may not be set, so those look like a change. */
#define LEAF_BITS (SS_ADDR | SS_PERM | SS_SNP | SS_RSVD)

bool shadow_sync_leaves(struct unit *u, struct domain *d, struct range r)
{
    const struct last_tables *t = &u->last;

    if (unlikely(!remembered(t, d, r.first)))
        return find_and_sync_leaves(u, d, r);
    /* A guest that flushes once more than it must is no rare one. */
    for (u64 page = r.first; t->guest && page <= r.last; page++)
        if ((t->guest[page % ENTRIES] ^ t->ours[page % ENTRIES]) & LEAF_BITS)
            return sync_leaves(u, page, r.last);
    return true;
}

/* What nearly every flush is about: small pages in tables that have not changed above them. Walks without
 * recursion, and finds the tables once for neighbours; but looks at each of them, even where there are none,
 * so that ranges beyond a few are for the general walk. */
#define LEAVES_LOOKED_AT 16
void shadow_sync_pages(struct unit *u, struct domain *d, struct range *r)
{
    bool quick = r->last - r->first < LEAVES_LOOKED_AT * ENTRIES && d->pgtt == PGTT_SECOND;

    for (u64 page = r->first, to; quick && page <= r->last; page = to + 1) {
        to = MIN(r->last, page | (ENTRIES - 1));
        quick = shadow_sync_leaves(u, d, (struct range){ page, to });
    }
    if (!quick)
        shadow_sync(u, d, r);
}

void shadow_sync(struct unit *u, struct domain *d, struct range *r)
{
    struct sync s = { .u = u, .d = d, .flush = *r };
    struct view v = { 0 };

    u->last.domain = NULL; /* tables may come and go */
    if (!d->root)
        return; /* hardware reads the guest's */
    if (d->did == DID_IDENTITY)
        v = (struct view){ .split = true, .perm = SS_PERM };
    else
        v.table = env_guest_ram(d->guest_root);
    sync_table(&s, d->root, &v, d->levels, 0, *r);
    *r = s.flush;
}
