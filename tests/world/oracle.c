/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The oracle. For each domain of the guest and each page it keeps the values that the guest's tables have
 * had, for each way of a function into the tables the entries that named a domain for it. A flush that was
 * fetched, and whose wait has completed, ends what was older than the fetch. What is left is allowed, and
 * nothing else: no cache of any unit or device may be able to produce another outcome, a page that the guest
 * may rely on is not missing, and no DMA in flight goes anywhere else.
 */
#include <string.h>

#include "iommu/parts.h"
#include "tests/world/oracle_int.h"

struct oracle oracle;
#define O oracle

u64 oracle_iova(unsigned p)
{
    static const u64 base[] = { 0x100000, 0x200000, 0x40000000, 0x7fc0000000 };

    return base[p / 16] + ((u64)(p % 16) << 12);
}

/* --- what the guest's tables say, from 9.7 and 9.8 --- */

static struct value walk(unsigned d, u64 iova)
{
    bool first = G.dom[d].first;
    u64 table = G.dom[d].root, e, large = W.cfg.cap >> 34;
    struct value v = { ~0ull, 0, 0 };
    u8 perm = 3;

    if (first) /* 2M always */
        large = W.cfg.cap & C_FS1GP ? 3 : 1;
    for (unsigned level = G.dom[d].levels; level; level--) {
        unsigned shift = 12 + 9 * (level - 1);
        u64 size = 1ull << shift, addr;

        if (!world_is_ram(table))
            return v;
        e = peek64(table + (iova >> shift & 511) * 8);
        if (first) { /* P, and W; everything else as guest_map_level() writes it */
            perm &= e & 2 ? 3 : 1;
            if (!(e & 1))
                return v;
        } else {
            perm &= e & 3;
            if (!(e & 3) || e >> 62 & 1)
                return v;
        }
        addr = e & 0x000ffffffffff000ull;
        if (level > 1 && !(e & 0x80)) {
            if (!first && e & 0x800)
                return v;
            table = addr;
            continue;
        }
        if (level > 3 || (level > 1 && !(large >> (level - 2) & 1)) || addr & (size - 1))
            return v;
        if (!first && e & 0x800 && !(W.cfg.ecap & E_SC))
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

u32 oracle_now(void)
{
    return ++O.now;
}

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
    O.structure = ++O.now;
    for (unsigned d = 0; d < O.nr_domains; d++)
        for (unsigned p = 0; p < O.nr_pages; p++)
            update(d, p);
}

static void add_version(struct versions *l, int d)
{
    if (l->n == VERSIONS) {
        memmove(l->v, l->v + 1, sizeof(l->v) - sizeof(l->v[0]));
        l->n--;
        l->forgot = l->v[0].since;
    }
    l->v[l->n++] = (struct version){ d, O.now };
}

static void add_directory(unsigned f)
{
    bool on = O.on[W.cfg.fn[f].unit];

    add_version(&O.dir[f], on ? O.dir_now[f] : DIR_IDENTITY);
    add_version(&O.pages[f], on && O.pages_now[f]);
}

bool oracle_pages(unsigned f, bool pass)
{
    const struct versions *l = &O.pages[f];

    for (unsigned i = l->n; i-- > 0;) {
        if (l->v[i].d == pass)
            return true;
        if (l->v[i].since <= O.dir_covered[f])
            break;
    }
    return l->forgot > O.dir_covered[f];
}

void oracle_entry(unsigned f, unsigned slot, unsigned dir, int d)
{
    O.now++;
    add_version(&O.entry[f][slot][dir], d);
}

void oracle_directory(unsigned f, int dir, bool pages)
{
    O.now++;
    O.dir_now[f] = dir;
    O.pages_now[f] = pages;
    add_directory(f);
}

void oracle_enable(unsigned u, bool on)
{
    O.now++;
    O.on[u] = on;
    O.switching[u] = O.now;
    for (unsigned f = 0; f < W.nr_fns; f++)
        if (W.cfg.fn[f].unit == u)
            add_directory(f);
}

void oracle_check_soon(unsigned u, u64 pages)
{
    for (unsigned f = 0; f < W.nr_fns; f++)
        if (W.cfg.fn[f].unit == u)
            O.to_check[f] |= pages;
}

void oracle_enabled(unsigned u)
{
    u32 since = O.switching[u];

    O.switching[u] = 0;
    for (unsigned f = 0; f < W.nr_fns; f++) {
        if (W.cfg.fn[f].unit != u)
            continue;
        O.dir_covered[f] = MAX(O.dir_covered[f], since);
        for (unsigned s = 0; s < G.slots; s++)
            O.entry_covered[f][s] = MAX(O.entry_covered[f][s], since);
    }
    oracle_check_soon(u, ~0ull);
}

void oracle_may_block(unsigned f)
{
    O.may_block[f] = true;
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

static bool blocked(const struct model_outcome *o)
{
    return o->status != MODEL_OK;
}

static bool domain_allows(unsigned u, int d, unsigned slot, unsigned p, const struct model_outcome *o)
{
    const struct history *h;
    struct value v;
    u32 from;

    if (d == GUEST_NONE)
        return blocked(o);
    if (d == GUEST_PASS) {
        v = identity(oracle_iova(p));
        return fits(&v, o);
    }
    h = &O.page[d][p];
    from = O.covered[u][d][G.dom[d].first ? slot : 0][p];
    if (h->forgot > from) {
        world_totals.unsure++;
        return true;
    }
    /* The value at the time of the fetch, and every later one. */
    for (unsigned i = h->n; i-- > 0;) {
        /* Caches never hold that a first-stage entry is not present (6.1), whatever caching mode says: what
         * was mapped since can be used at once, unless a cached entry still leads to another table. */
        if (fits(&h->v[i], o) && !(G.dom[d].first && !h->v[i].perm && i != h->n - 1u && O.structure <= from))
            return true;
        if (h->v[i].since <= from)
            break;
    }
    return false;
}

static bool directory_allows(unsigned f, unsigned slot, int dir, unsigned p, const struct model_outcome *o)
{
    const struct versions *l;
    u32 from = O.entry_covered[f][slot];
    struct value v;

    if (dir == DIR_NONE)
        return blocked(o);
    if (dir == DIR_IDENTITY) { /* our own entries carry no PASIDs */
        v = identity(oracle_iova(p));
        return fits(&v, o) || (slot && blocked(o));
    }
    l = &O.entry[f][slot][dir];
    if (l->forgot > from) {
        world_totals.unsure++;
        return true;
    }
    for (unsigned i = l->n; i-- > 0;) {
        if (domain_allows(W.cfg.fn[f].unit, l->v[i].d, slot, p, o))
            return true;
        if (l->v[i].since <= from)
            break;
    }
    return false;
}

static bool allowed(unsigned f, unsigned slot, unsigned p, const struct model_outcome *o)
{
    const struct versions *l = &O.dir[f];
    /* What was read through an older context entry may be in the PASID cache. */
    u32 from = MIN(O.dir_covered[f], O.entry_covered[f][slot]);

    if (blocked(o) && O.may_block[f])
        return true;
    if (l->forgot > from) {
        world_totals.unsure++;
        return true;
    }
    for (unsigned i = l->n; i-- > 0;) {
        if (directory_allows(f, slot, l->v[i].d, p, o))
            return true;
        if (l->v[i].since <= from)
            break;
    }
    return false;
}

static u32 slot_pasid(unsigned slot)
{
    return slot ? guest_pasid(slot) : MODEL_NO_PASID;
}

static void judge(unsigned f, unsigned slot, unsigned p)
{
    struct model_outcome o[MODEL_OUTCOMES];
    unsigned n = model_outcomes_pasid(W.unit[W.cfg.fn[f].unit], W.cfg.fn[f].sid, slot_pasid(slot),
                                      oracle_iova(p), o, MODEL_OUTCOMES);

    world_totals.checks++;
    for (unsigned i = 0; i < n; i++) {
        if (o[i].status == MODEL_OK && !world_allowed(o[i].pa))
            world_fail("not contained: function %u slot %u, page %llx may reach %llx", f, slot,
                       (unsigned long long)oracle_iova(p), (unsigned long long)o[i].pa);
        else if (!allowed(f, slot, p, &o[i]))
            world_fail("%s: function %u slot %u, page %llx: %llx (perm %u, reason %x, %s, via %x)",
                       o[i].status == MODEL_OK ? "stale" : "missing", f, slot,
                       (unsigned long long)oracle_iova(p), (unsigned long long)o[i].pa, o[i].perm,
                       o[i].reason, o[i].device ? "device TLB" : "unit", o[i].via);
    }
}

int oracle_fn(u16 sid)
{
    for (unsigned f = 0; f < W.nr_fns; f++)
        if (W.cfg.fn[f].sid == sid)
            return (int)f;
    return -1;
}

static int slot_of(u32 pasid)
{
    for (unsigned s = 0; s < G.slots; s++)
        if (slot_pasid(s) == pasid)
            return (int)s;
    return -1;
}

static void judge_flights(void)
{
    struct model_flight fl[32];

    for (unsigned u = 0; u < W.cfg.units; u++) {
        unsigned n = model_inflight(W.unit[u], fl, ARRAY_SIZE(fl));

        for (unsigned i = 0; i < n; i++)
            for (unsigned p = 0; p < O.nr_pages; p++) {
                int f = oracle_fn(fl[i].sid), slot = slot_of(fl[i].pasid);
                struct model_outcome o = { .status = MODEL_OK,
                                           .device = true,
                                           .perm = fl[i].write ? 2 : 1,
                                           .pa = fl[i].pa & ~0xfffull };

                /* What a device that is dead sent off before it died, nobody can call back. */
                if (oracle_iova(p) == (fl[i].iova & ~0xfffull) && f >= 0 && slot >= 0 &&
                    !(fl[i].translated && O.may_block[f]) && !allowed((unsigned)f, (unsigned)slot, p, &o))
                    world_fail("not drained: DMA of %x slot %d to %llx is on its way to %llx", fl[i].sid,
                               slot, (unsigned long long)fl[i].iova, (unsigned long long)fl[i].pa);
            }
    }
}

void oracle_check_all(void)
{
    for (unsigned f = 0; f < W.nr_fns; f++)
        for (unsigned slot = 0; slot < G.slots; slot++)
            for (unsigned p = 0; p < O.nr_pages; p++)
                judge(f, slot, p);
    judge_flights();
    oracle_ir_check();
}

void oracle_dma(unsigned f, unsigned slot, unsigned p, u64 pa)
{
    struct model_outcome o = { .status = pa == ~0ull ? MODEL_BLOCKED : MODEL_OK,
                               .device = true, /* permission is not known here */
                               .pa = pa & ~0xfffull };

    if (pa != ~0ull && !allowed(f, slot, p, &o))
        world_fail("DMA of function %u slot %u to %llx went to %llx", f, slot,
                   (unsigned long long)oracle_iova(p), (unsigned long long)pa);
}

void oracle_check_now(void)
{
    bool any = false;

    for (unsigned f = 0; f < W.nr_fns; f++) {
        u64 pages = W.cfg.quiet ? 0 : O.to_check[f];

        any |= pages != 0;
        for (unsigned p = 0; p < O.nr_pages && pages; p++)
            for (unsigned slot = 0; slot < G.slots; slot++)
                if (pages >> p & 1)
                    judge(f, slot, p);
        O.to_check[f] = 0;
    }
    if (any)
        judge_flights();
}

void oracle_dma_changed(void)
{
    for (unsigned u = 0; u < W.cfg.units; u++)
        for (unsigned d = 0; d < O.nr_domains; d++)
            for (unsigned p = 0; p < O.nr_pages; p++) {
                const struct history *h = &O.page[d][p];

                if (h->v[h->n - 1].since == O.now) /* only what the change itself touched */
                    for (unsigned slot = 0; slot < GUEST_SLOTS; slot++)
                        O.covered[u][d][slot][p] = O.now;
            }
    for (unsigned u = 0; u < W.cfg.units; u++)
        oracle_check_soon(u, ~0ull);
}

void *oracle_state(size_t *size)
{
    *size = sizeof(O);
    return &O;
}

void oracle_start(unsigned domains, unsigned pages)
{
    memset(&O, 0, sizeof(O));
    oracle_prq_start();
    O.now = 1;
    O.nr_domains = domains;
    O.nr_pages = pages;
    for (unsigned u = 0; u < W.cfg.units; u++) {
        O.on[u] = true;
        O.head[u] = units[u]->v.regs[0x80 / 4] / q_entry();
    }
    for (unsigned f = 0; f < W.nr_fns; f++) {
        O.dir_now[f] = G.scalable ? DIR_NONE : 0;
        add_directory(f);
        for (unsigned slot = 0; slot < G.slots; slot++)
            for (unsigned dir = 0; dir < 2; dir++)
                add_version(&O.entry[f][slot][dir], GUEST_NONE);
    }
    oracle_tables();
    oracle_ir_start();
    W.freed = false;
    W.after_exit = oracle_after_exit;
}
