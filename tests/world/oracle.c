/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The oracle. For each domain of the guest and each page it keeps the values that the guest's tables have
 * had, for each function the entries that named a domain for it. A flush that was fetched, and whose wait has
 * completed, ends what was older than the fetch. What is left is allowed, and nothing else: no cache of any
 * unit or device may be able to produce another outcome, a page that the guest may rely on is not missing,
 * and no DMA in flight goes anywhere else.
 */
#include <string.h>

#include "iommu/unit.h"
#include "tests/world/oracle.h"

#define VALUES   6
#define VERSIONS 6
#define PENDING  512

struct value {
    u64 pa;
    u8 perm; /* 0: blocked */
    u32 since;
};

struct history {
    struct value v[VALUES]; /* the newest last */
    u8 n;
    u32 forgot; /* until when something was that no longer fits in here */
};

struct version {
    int d;
    u32 since;
};

struct pushed {
    u8 type, g, fm;
    u16 did, sid;
    u64 first, last;
    u32 cookie;
    u32 fetched; /* 0: not yet */
};

static struct oracle {
    u32 now;
    unsigned nr_domains, nr_pages;
    struct history page[MAX_GUEST_DOMAINS][ORACLE_PAGES];
    u32 covered[MAX_WORLD_UNITS][MAX_GUEST_DOMAINS][ORACLE_PAGES];
    struct version version[ORACLE_FNS][VERSIONS];
    unsigned nr_versions[ORACLE_FNS];
    u32 context_covered[ORACLE_FNS], context_forgot[ORACLE_FNS];
    int context[ORACLE_FNS]; /* as the guest's entry says */
    bool on[MAX_WORLD_UNITS];
    u32 switching[MAX_WORLD_UNITS]; /* since when a change of translation is under way; 0: it is not */
    bool may_block[ORACLE_FNS];
    struct pushed pending[MAX_WORLD_UNITS][PENDING];
    unsigned first[MAX_WORLD_UNITS], end[MAX_WORLD_UNITS], fetched[MAX_WORLD_UNITS];
    u32 head[MAX_WORLD_UNITS];
    unsigned waits;
    u64 to_check[ORACLE_FNS]; /* bit per page */
    unsigned freed;
} O;

u64 oracle_iova(unsigned p)
{
    static const u64 base[] = { 0x100000, 0x200000, 0x40000000, 0x7fc0000000 };

    return base[p / 16] + ((u64)(p % 16) << 12);
}

/* --- what the guest's tables say, from 9.8 --- */

static struct value walk(unsigned d, u64 iova)
{
    u64 table = G.dom[d].root, e;
    struct value v = { ~0ull, 0, 0 };
    u8 perm = 3;

    for (unsigned level = G.dom[d].levels; level; level--) {
        unsigned shift = 12 + 9 * (level - 1);
        u64 size = 1ull << shift, addr;

        if (!world_is_ram(table))
            return v;
        e = peek64(table + (iova >> shift & 511) * 8);
        perm &= e & 3;
        if (!(e & 3) || e >> 62 & 1)
            return v;
        addr = e & 0x000ffffffffff000ull;
        if (level > 1 && !(e & 0x80)) {
            if (e & 0x800)
                return v;
            table = addr;
            continue;
        }
        if (level > 3 || (level > 1 && !(W.cfg.cap >> (34 + level - 2) & 1)) || addr & (size - 1))
            return v;
        if (e & 0x800 && !(W.cfg.ecap & E_SC))
            return v;
        addr |= iova & (size - 1) & ~0xfffull;
        if (!perm || !world_allowed(addr))
            return v;
        return (struct value){ addr, perm, 0 };
    }
    return v;
}

static struct value identity(u64 iova)
{
    return world_allowed(iova) ? (struct value){ iova, 3, 0 } : (struct value){ ~0ull, 0, 0 };
}

/* --- what changes --- */

static void update(unsigned d, unsigned p)
{
    struct history *h = &O.page[d][p];
    struct value v = walk(d, oracle_iova(p));

    v.since = O.now;
    if (h->n && h->v[h->n - 1].pa == v.pa && h->v[h->n - 1].perm == v.perm)
        return;
    if (h->n == VALUES) {
        memmove(h->v, h->v + 1, sizeof(h->v) - sizeof(h->v[0]));
        h->n--;
        h->forgot = h->v[0].since;
    }
    h->v[h->n++] = v;
}

void oracle_page(unsigned p)
{
    O.now++;
    for (unsigned d = 0; d < O.nr_domains; d++)
        update(d, p);
}

void oracle_tables(void)
{
    O.now++;
    for (unsigned d = 0; d < O.nr_domains; d++)
        for (unsigned p = 0; p < O.nr_pages; p++)
            update(d, p);
}

static void new_version(unsigned f)
{
    struct version *v = O.version[f];
    unsigned *n = &O.nr_versions[f];

    if (*n == VERSIONS) {
        memmove(v, v + 1, sizeof(*v) * (VERSIONS - 1));
        (*n)--;
        O.context_forgot[f] = v[0].since;
    }
    v[(*n)++] = (struct version){ O.on[W.cfg.fn[f].unit] ? O.context[f] : ORACLE_IDENTITY, O.now };
}

void oracle_context(unsigned f, int d)
{
    O.now++;
    O.context[f] = d;
    new_version(f);
}

void oracle_enable(unsigned u, bool on)
{
    O.now++;
    O.on[u] = on;
    O.switching[u] = O.now;
    for (unsigned f = 0; f < W.nr_fns; f++)
        if (W.cfg.fn[f].unit == u)
            new_version(f);
}

static void check_fns(unsigned u, u64 pages)
{
    for (unsigned f = 0; f < W.nr_fns; f++)
        if (W.cfg.fn[f].unit == u)
            O.to_check[f] |= pages;
}

void oracle_enabled(unsigned u)
{
    O.switching[u] = 0;
    for (unsigned f = 0; f < W.nr_fns; f++)
        if (W.cfg.fn[f].unit == u)
            O.context_covered[f] = MAX(O.context_covered[f], O.version[f][O.nr_versions[f] - 1].since);
    check_fns(u, ~0ull);
}

void oracle_may_block(unsigned f)
{
    O.may_block[f] = true;
}

/* --- what the guest asked for --- */

static struct pushed *push(unsigned u, u8 type)
{
    struct pushed *d = &O.pending[u][O.end[u]++ % PENDING];

    *d = (struct pushed){ .type = type };
    return d;
}

void oracle_pushed_context(unsigned u, unsigned g, u16 did, u16 sid, unsigned fm)
{
    struct pushed *d = push(u, 1);

    d->g = (u8)g;
    d->did = did;
    d->sid = sid;
    d->fm = (u8)fm;
}

void oracle_pushed_iotlb(unsigned u, unsigned g, u16 did, u64 page, unsigned am)
{
    struct pushed *d = push(u, 2);

    d->g = (u8)g;
    d->did = did;
    d->first = g == 3 && W.cfg.cap & C_PSI ? page >> am << am : 0;
    d->last = g == 3 && W.cfg.cap & C_PSI ? d->first + (1ull << am) - 1 : ~0ull;
}

void oracle_pushed_other(unsigned u)
{
    push(u, 3);
}

void oracle_pushed_wait(unsigned u, u32 cookie)
{
    push(u, 5)->cookie = cookie;
    O.waits++;
}

bool oracle_waiting(void)
{
    return O.waits;
}

/* --- what may be --- */

static bool fits(const struct value *v, const struct model_outcome *o)
{
    if (o->status != MODEL_OK)
        return !v->perm;
    if (o->device) /* a device may hold less than it could have */
        return v->perm && v->pa == o->pa && !(o->perm & ~v->perm);
    return v->perm == o->perm && v->pa == o->pa;
}

static bool allowed_by(unsigned u, int d, unsigned p, const struct model_outcome *o)
{
    static const struct value blocked = { ~0ull, 0, 0 };
    const struct history *h;
    struct value v;
    u32 from;

    if (d == ORACLE_NONE)
        return fits(&blocked, o);
    if (d == ORACLE_PASS || d == ORACLE_IDENTITY) {
        v = identity(oracle_iova(p));
        return fits(&v, o);
    }
    h = &O.page[d][p];
    from = O.covered[u][d][p];
    if (h->forgot > from) {
        world_totals.unsure++;
        return true;
    }
    /* The value at the time of the fetch, and every later one. */
    for (unsigned i = h->n; i-- > 0;) {
        if (fits(&h->v[i], o))
            return true;
        if (h->v[i].since <= from)
            break;
    }
    return false;
}

static bool allowed(unsigned f, unsigned p, const struct model_outcome *o)
{
    if (o->status != MODEL_OK && O.may_block[f])
        return true;
    if (O.context_forgot[f] > O.context_covered[f]) {
        world_totals.unsure++;
        return true;
    }
    for (unsigned i = O.nr_versions[f]; i-- > 0;) {
        if (allowed_by(W.cfg.fn[f].unit, O.version[f][i].d, p, o))
            return true;
        if (O.version[f][i].since <= O.context_covered[f])
            break;
    }
    return false;
}

static void judge(unsigned f, unsigned p)
{
    struct model_outcome o[MODEL_OUTCOMES];
    unsigned n = model_outcomes(W.unit[W.cfg.fn[f].unit], W.cfg.fn[f].sid, oracle_iova(p), o, MODEL_OUTCOMES);

    world_totals.checks++;
    for (unsigned i = 0; i < n; i++) {
        if (o[i].status == MODEL_OK && !world_allowed(o[i].pa))
            world_fail("not contained: function %u, page %llx may reach %llx", f,
                       (unsigned long long)oracle_iova(p), (unsigned long long)o[i].pa);
        else if (!allowed(f, p, &o[i]))
            world_fail("%s: function %u, page %llx: %llx (perm %u, reason %x, %s, via %x)",
                       o[i].status == MODEL_OK ? "stale" : "missing", f, (unsigned long long)oracle_iova(p),
                       (unsigned long long)o[i].pa, o[i].perm, o[i].reason,
                       o[i].device ? "device TLB" : "unit", o[i].via);
    }
}

static int fn_of(u16 sid)
{
    for (unsigned f = 0; f < W.nr_fns; f++)
        if (W.cfg.fn[f].sid == sid)
            return (int)f;
    return -1;
}

static void judge_flights(void)
{
    struct model_flight fl[32];

    for (unsigned u = 0; u < W.cfg.units; u++) {
        unsigned n = model_inflight(W.unit[u], fl, ARRAY_SIZE(fl));

        for (unsigned i = 0; i < n; i++)
            for (unsigned p = 0; p < O.nr_pages; p++)
                /* What a device that is dead sent off before it died, nobody can call back. */
                if (oracle_iova(p) == (fl[i].iova & ~0xfffull) && fn_of(fl[i].sid) >= 0 &&
                    !(fl[i].translated && O.may_block[fn_of(fl[i].sid)])) {
                    struct model_outcome o = { .status = MODEL_OK,
                                               .device = true,
                                               .perm = fl[i].write ? 2 : 1,
                                               .pa = fl[i].pa & ~0xfffull };

                    if (!allowed((unsigned)fn_of(fl[i].sid), p, &o))
                        world_fail("not drained: DMA of %x to %llx is on its way to %llx", fl[i].sid,
                                   (unsigned long long)fl[i].iova, (unsigned long long)fl[i].pa);
                }
    }
}

void oracle_check_all(void)
{
    for (unsigned f = 0; f < W.nr_fns; f++)
        for (unsigned p = 0; p < O.nr_pages; p++)
            judge(f, p);
    judge_flights();
}

void oracle_dma(unsigned f, unsigned p, u64 pa)
{
    struct model_outcome o = { .status = pa == ~0ull ? MODEL_BLOCKED : MODEL_OK,
                               .device = true, /* permission is not known here */
                               .pa = pa & ~0xfffull };

    if (pa != ~0ull && !allowed(f, p, &o))
        world_fail("DMA of function %u to %llx went to %llx", f, (unsigned long long)oracle_iova(p),
                   (unsigned long long)pa);
}

static void check_some(void)
{
    bool any = false;

    for (unsigned f = 0; f < W.nr_fns; f++) {
        u64 pages = W.cfg.quiet ? 0 : O.to_check[f];

        any |= pages != 0;
        for (unsigned p = 0; p < O.nr_pages && pages; p++)
            if (pages >> p & 1)
                judge(f, p);
        O.to_check[f] = 0;
    }
    if (any)
        judge_flights();
}

/* --- progress --- */

static void cover_iotlb(unsigned u, const struct pushed *q)
{
    u64 pages = 0;

    for (unsigned d = 0; d < O.nr_domains; d++) {
        if (q->g != 1 && G.dom[d].did != q->did)
            continue;
        for (unsigned p = 0; p < O.nr_pages; p++)
            if (oracle_iova(p) >> 12 >= q->first && oracle_iova(p) >> 12 <= q->last) {
                O.covered[u][d][p] = MAX(O.covered[u][d][p], q->fetched);
                pages |= 1ull << p;
            }
    }
    check_fns(u, pages);
}

/* Did an entry of this function, as far as caches may know it, name the domain-id? */
static bool named(unsigned f, u16 did)
{
    for (unsigned i = O.nr_versions[f]; i-- > 0;) {
        if (O.version[f][i].d >= 0 && G.dom[O.version[f][i].d].did == did)
            return true;
        if (O.version[f][i].since <= O.context_covered[f])
            break;
    }
    return false;
}

static void cover_context(unsigned u, const struct pushed *q)
{
    static const u16 ignored[] = { 0, 4, 6, 7 };

    for (unsigned f = 0; f < W.nr_fns; f++) {
        if (W.cfg.fn[f].unit != u || (q->g == 2 && !named(f, q->did)))
            continue;
        if (q->g == 3 && (W.cfg.fn[f].sid ^ q->sid) & ~ignored[q->fm])
            continue;
        /* No flush says anything about whether translation is on before GSTS does. */
        O.context_covered[f] =
            MAX(O.context_covered[f], O.switching[u] ? MIN(q->fetched, O.switching[u] - 1) : q->fetched);
        O.to_check[f] = ~0ull;
    }
}

static void complete(unsigned u, unsigned upto)
{
    while (O.first[u] != upto) {
        const struct pushed *q = &O.pending[u][O.first[u]++ % PENDING];

        if (q->type == 1)
            cover_context(u, q);
        else if (q->type == 2)
            cover_iotlb(u, q);
        else if (q->type == 5)
            O.waits--;
    }
}

static void after_exit(void)
{
    for (unsigned u = 0; u < W.cfg.units; u++) {
        u32 head = units[u]->v.regs[0x80 / 4] / 16;

        for (; O.head[u] != head; O.head[u] = (O.head[u] + 1) % G.ring_size)
            if (O.fetched[u] != O.end[u])
                O.pending[u][O.fetched[u]++ % PENDING].fetched = O.now;
        for (unsigned i = O.first[u]; i != O.fetched[u]; i++) {
            const struct pushed *q = &O.pending[u][i % PENDING];

            if (q->type == 5 && q_done(q->cookie)) {
                complete(u, i + 1);
                i = O.first[u] - 1;
            }
        }
    }
    /* Nothing may still lead to what was given back. It stays poisoned for a while, so not every time. */
    if (W.freed && O.freed++ % 4 == 0)
        for (unsigned u = 0; u < W.cfg.units; u++)
            check_fns(u, ~0ull);
    W.freed = false;
    check_some();
}

void *oracle_state(size_t *size)
{
    *size = sizeof(O);
    return &O;
}

void oracle_dma_changed(void)
{
    for (unsigned u = 0; u < W.cfg.units; u++)
        for (unsigned d = 0; d < O.nr_domains; d++)
            for (unsigned p = 0; p < O.nr_pages; p++) {
                const struct history *h = &O.page[d][p];

                if (h->v[h->n - 1].since == O.now) /* only what the change itself touched */
                    O.covered[u][d][p] = O.now;
            }
    for (unsigned u = 0; u < W.cfg.units; u++)
        check_fns(u, ~0ull);
}

void oracle_start(unsigned domains, unsigned pages)
{
    memset(&O, 0, sizeof(O));
    O.now = 1;
    O.nr_domains = domains;
    O.nr_pages = pages;
    for (unsigned u = 0; u < W.cfg.units; u++) {
        O.on[u] = true;
        O.head[u] = units[u]->v.regs[0x80 / 4] / 16;
    }
    for (unsigned f = 0; f < W.nr_fns; f++) {
        O.context[f] = ORACLE_NONE;
        new_version(f);
    }
    oracle_tables();
    W.freed = false;
    W.after_exit = after_exit;
}
