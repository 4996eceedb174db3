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

static struct mdl_ent *from(struct mdl_cache *c, u16 i, u64 key)
{
    while (i != NIL && c->e[i].key != key)
        i = c->e[i].next;
    return i == NIL ? NULL : &c->e[i];
}

struct mdl_ent *mdl_first(struct model *m, enum model_class class, u64 key)
{
    struct mdl_cache *c = &m->cache[class];

    return c->n ? from(c, *bucket_of(c, key), key) : NULL;
}

struct mdl_ent *mdl_next(struct model *m, enum model_class class, const struct mdl_ent *e)
{
    return from(&m->cache[class], e->next, e->key);
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

void mdl_insert(struct model *m, enum model_class class, u64 key, u64 v0, u64 v1, u16 did, u16 sid)
{
    struct mdl_cache *c = &m->cache[class];
    u16 *head = bucket_of(c, key);
    struct mdl_ent *e;

    for (u16 i = *head; i != NIL; i = c->e[i].next) {
        e = &c->e[i];
        if (e->key == key && e->v0 == v0 && e->v1 == v1 && e->did == did)
            return;
    }
    if (c->n == c->cap) {
        m->stats.overflow++;
        mdl_remove(m, class, mdl_rnd(m, c->n));
    }
    e = &c->e[c->n];
    e->key = key;
    e->v0 = v0;
    e->v1 = v1;
    e->did = did;
    e->sid = sid;
    e->prev = NIL;
    e->next = *head;
    if (*head != NIL)
        c->e[*head].prev = c->n;
    *head = c->n++;
}

/* The level of a paging-structure key, and an input address below it. */
static unsigned key_level(u64 key)
{
    return mdl_bits(key, 47, 45);
}

static bool is_stale(struct model *m, enum model_class class, const struct mdl_ent *e)
{
    struct mdl_path p;
    unsigned level;
    u64 iova, flags, now[2];

    switch (class) {
    case MODEL_C_ROOT:
        mdl_path(m, VIEW_CPU, (u16)(e->key << 8), 0, false, &p);
        return !p.has_root || p.root[0] != e->v0 || p.root[1] != e->v1;
    case MODEL_C_CONTEXT:
        mdl_path(m, VIEW_CPU, e->sid, 0, false, &p);
        return !p.has_ctx || p.ctx[0] != e->v0 || p.ctx[1] != e->v1;
    case MODEL_C_PAGING:
        level = key_level(e->key);
        iova = mdl_bits(e->key, 44, 0) << (12 + 9 * (level - 1));
        mdl_path(m, VIEW_CPU, e->sid, iova, false, &p);
        return !p.has_ctx || p.c.reason || p.c.did != e->did || !(p.seen & (1u << level)) ||
               p.next[level] != e->v0;
    case MODEL_C_IOTLB:
        mdl_path(m, VIEW_CPU, e->sid, mdl_bits(e->key, 47, 0) << 12, false, &p);
        if (!p.has_ctx || p.c.reason || p.c.did != e->did)
            return true;
        flags = p.x.np ? TLB_NP : 0;
        return (e->v0 & (TLB_PA | TLB_NP | 3)) != (p.x.pa | flags | p.x.perm) || e->v1 != p.x.reason;
    case MODEL_C_DTLB:
        mdl_path(m, VIEW_CPU, e->sid, mdl_bits(e->key, 47, 0) << 12, false, &p);
        /* Fewer permissions than now do no harm: the device asks again. */
        return !p.has_ctx || p.c.reason || p.c.tt != 1 || p.x.reason || p.x.np ||
               p.x.pa != (e->v0 & TLB_PA) || (e->v0 & 3 & ~(u64)p.x.perm);
    case MODEL_C_IEC:
        return !mdl_read(m, VIEW_CPU, (m->irta_live & TLB_PA) + e->key * 16, now, 16) || now[0] != e->v0 ||
               now[1] != e->v1;
    default:
        return false;
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

void mdl_haunt(struct model *m, enum model_class class, u64 key, u64 v0, u64 v1)
{
    struct mdl_ghosts *g = &m->ghost[class];

    for (unsigned i = 0; i < g->n;) {
        if (g->e[i].key != key) {
            i++;
            continue;
        }
        if (g->e[i].v0 != v0 || g->e[i].v1 != v1)
            m->stats.c[class].would++;
        g->e[i] = g->e[--g->n];
        g->at = g->n;
    }
}
