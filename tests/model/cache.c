/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The caches: for each tag every version that was filled since the last invalidation that covers it.
 *
 * An entry that an invalidation takes while it is stale leaves a ghost behind. A DMA that meets a ghost
 * is one that would have gone wrong had the flush been missing: the count shows that a test has power.
 */
#include "tests/model/model_int.h"

static void cache_setup(struct mdl_cache *c, struct mdl_ent *e, u16 cap, u16 *bucket, u16 buckets)
{
    c->e = e;
    c->cap = cap;
    c->bucket = bucket;
    c->mask = buckets - 1;
    for (unsigned i = 0; i < buckets; i++)
        bucket[i] = NIL;
}

#define SETUP(class, pool, buckets)                                              \
    cache_setup(&m->cache[class], pool, sizeof(pool) / sizeof(pool[0]), buckets, \
                sizeof(buckets) / sizeof(buckets[0]))

void mdl_cache_init(struct model *m)
{
    SETUP(MODEL_C_ROOT, m->pool_root, m->b_root);
    SETUP(MODEL_C_CONTEXT, m->pool_ctx, m->b_ctx);
    SETUP(MODEL_C_PASID, m->pool_pasid, m->b_pasid);
    SETUP(MODEL_C_PAGING, m->pool_psc, m->b_psc);
    SETUP(MODEL_C_IOTLB, m->pool_iotlb, m->b_iotlb);
    SETUP(MODEL_C_IEC, m->pool_iec, m->b_iec);
    SETUP(MODEL_C_DTLB, m->pool_dtlb, m->b_dtlb);
}

static u16 *bucket_of(struct mdl_cache *c, u64 key)
{
    u64 h = key * 0x9e3779b97f4a7c15ull;

    return &c->bucket[(h >> 40) & c->mask];
}

static struct mdl_ent *from(struct mdl_cache *c, u16 i, u64 key, u32 tag)
{
    while (i != NIL && (c->e[i].key != key || c->e[i].tag != tag))
        i = c->e[i].next;
    return i == NIL ? NULL : &c->e[i];
}

struct mdl_ent *mdl_first(struct model *m, enum model_class class, u64 key, u32 tag)
{
    struct mdl_cache *c = &m->cache[class];

    return c->n ? from(c, *bucket_of(c, key), key, tag) : NULL;
}

struct mdl_ent *mdl_next(struct model *m, enum model_class class, const struct mdl_ent *e)
{
    return from(&m->cache[class], e->next, e->key, e->tag);
}

static void unlink_entry(struct mdl_cache *c, u16 i)
{
    struct mdl_ent *e = &c->e[i];

    if (e->prev == NIL)
        *bucket_of(c, e->key) = e->next;
    else
        c->e[e->prev].next = e->next;
    if (e->next != NIL)
        c->e[e->next].prev = e->prev;
}

void mdl_remove(struct model *m, enum model_class class, u16 i)
{
    struct mdl_cache *c = &m->cache[class];
    u16 last = c->n - 1;

    unlink_entry(c, i);
    c->n = last;
    if (i == last)
        return;
    /* The last one moves into the hole; its neighbours must learn of it. */
    c->e[i] = c->e[last];
    if (c->e[i].prev == NIL)
        *bucket_of(c, c->e[i].key) = i;
    else
        c->e[c->e[i].prev].next = i;
    if (c->e[i].next != NIL)
        c->e[c->e[i].next].prev = i;
}

void mdl_insert(struct model *m, enum model_class class, const struct mdl_ent *e)
{
    struct mdl_cache *c = &m->cache[class];
    u16 *head = bucket_of(c, e->key);
    struct mdl_ent *to;

    for (u16 i = *head; i != NIL; i = to->next) {
        to = &c->e[i];
        if (to->key == e->key && to->tag == e->tag && to->v0 == e->v0 && to->v1 == e->v1 && to->did == e->did)
            return;
    }
    if (c->n == c->cap) {
        m->stats.overflow++;
        mdl_remove(m, class, mdl_rnd(m, c->n));
    }
    to = &c->e[c->n];
    *to = *e;
    to->prev = NIL;
    to->next = *head;
    if (*head != NIL)
        c->e[*head].prev = c->n;
    *head = c->n++;
}

/* ---- Stale or not, at the moment an invalidation comes ------------------------------------------ */

static bool stale_root(const struct mdl_ent *e, const struct mdl_path *p)
{
    return !p->has_root || p->root[0] != e->v0 || p->root[1] != e->v1;
}

static bool stale_pasid(const struct mdl_ent *e, const struct mdl_path *p)
{
    if (e->tag == DIR_TAG)
        return !p->has_dir || p->dir != e->v0;
    return !p->has_pasid || p->pasid[0] != e->v0 || p->pasid[1] != e->v1 ||
           (!p->s.reason && p->s.did != e->did);
}

/* An input address (or guest address, of a second stage below a first) that leads through this entry. */
static u64 address_of(enum model_class class, const struct mdl_ent *e)
{
    unsigned level = mdl_bits(e->key, 47, 45);
    u64 iova = class == MODEL_C_PAGING ? mdl_bits(e->key, 44, 0) << (12 + 9 * (level - 1))
                                       : mdl_bits(e->key, PAGE_BITS - 1, 0) << 12;

    /* First-stage addresses are canonical. */
    if ((e->tag >> 20 == KIND_FS || class == MODEL_C_DTLB) && iova >> 47 == 0x3ff)
        iova = (u64)((int64_t)(iova << 7) >> 7);
    return iova;
}

static bool stale_translation(struct model *m, enum model_class class, const struct mdl_ent *e,
                              struct mdl_path *p)
{
    unsigned level = mdl_bits(e->key, 47, 45);
    bool ss = e->tag >> 20 == KIND_SS;
    const struct mdl_trail *trail = ss ? &p->ss : &p->fs;
    u64 flags;

    if (p->s.reason || p->s.did != e->did || (!(ss && p->s.ss) && p->s.tag != e->tag))
        return true;
    /* Below a first stage the second translates other addresses than the request's. */
    if (ss && p->s.fs) {
        struct mdl_who who = { .sid = e->sid, .pasid = e->by };

        p->ss.seen = 0;
        mdl_walk_ss(m, VIEW_CPU, &who, &p->s, p->s.ss_table, p->s.ss_levels, PERM_ALL, address_of(class, e),
                    false, &p->ss, &p->x);
    }
    if (class == MODEL_C_PAGING)
        return !(trail->seen & (1u << level)) || trail->next[level] != e->v0;
    flags = p->x.np ? TLB_NP : 0;
    return (e->v0 & (TLB_PA | TLB_NP | PERM_ALL)) != (p->x.pa | flags | p->x.perm) ||
           (e->v1 & 0xff) != p->x.reason;
}

static bool is_stale(struct model *m, enum model_class class, const struct mdl_ent *e)
{
    struct mdl_who who = { .sid = e->sid, .pasid = e->by };
    struct mdl_path p;
    u64 now[2];

    if (class == MODEL_C_IEC)
        return !mdl_read128(m, VIEW_CPU, (m->irta_live & TLB_PA) + e->key * 16, now) || now[0] != e->v0 ||
               now[1] != e->v1;
    mdl_path(m, VIEW_CPU, &who, address_of(class, e), false, &p);
    switch (class) {
    case MODEL_C_ROOT:
        return stale_root(e, &p);
    case MODEL_C_CONTEXT:
        return !p.has_ctx || p.ctx[0] != e->v0 || p.ctx[1] != e->v1;
    case MODEL_C_PASID:
        return stale_pasid(e, &p);
    case MODEL_C_DTLB:
        /* Fewer permissions than now do no harm: the device asks again. */
        return p.s.reason || !p.s.ats || p.x.reason || p.x.np || p.x.pa != (e->v0 & TLB_PA) ||
               (e->v0 & 3 & ~(u64)p.x.perm);
    default:
        return stale_translation(m, class, e, &p);
    }
}

void mdl_drop(struct model *m, enum model_class class, u16 i)
{
    struct mdl_ghosts *g = &m->ghost[class];
    struct mdl_ent *e = &m->cache[class].e[i];

    m->stats.c[class].dropped++;
    if (is_stale(m, class, e)) {
        m->stats.c[class].saved++;
        g->e[g->at] = *e;
        g->at = (g->at + 1) % GHOSTS;
        if (g->n < GHOSTS)
            g->n++;
    }
    mdl_remove(m, class, i);
}

void mdl_drop_all(struct model *m, enum model_class class)
{
    while (m->cache[class].n)
        mdl_drop(m, class, m->cache[class].n - 1);
}

void mdl_haunt(struct model *m, enum model_class class, u64 key, u32 tag, u64 v0, u64 v1)
{
    struct mdl_ghosts *g = &m->ghost[class];

    for (unsigned i = 0; i < g->n;) {
        if (g->e[i].key != key || g->e[i].tag != tag) {
            i++;
            continue;
        }
        if (g->e[i].v0 != v0 || g->e[i].v1 != v1)
            m->stats.c[class].would++;
        g->e[i] = g->e[--g->n];
        g->at = g->n;
    }
}
