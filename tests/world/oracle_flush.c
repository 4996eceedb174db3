/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest's descriptors end: which histories a flush covers (6.5.2), and when it has completed. What
 * Sluice flushes beyond that is no merit here.
 */
#include "iommu/parts.h"
#include "tests/world/oracle_int.h"

#define O oracle

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

static void page_range(struct pushed *d, u64 page, unsigned am, bool pages)
{
    d->first = pages ? page >> am << am : 0;
    d->last = pages ? d->first + (1ull << am) - 1 : ~0ull;
}

void oracle_pushed_iotlb(unsigned u, unsigned g, u16 did, u64 page, unsigned am)
{
    struct pushed *d = push(u, 2);

    d->g = (u8)g;
    d->did = did;
    page_range(d, page, am, g == 3 && W.cfg.cap & C_PSI);
}

void oracle_pushed_piotlb(unsigned u, unsigned g, u16 did, u32 pasid, u64 page, unsigned am)
{
    struct pushed *d = push(u, 6);

    d->g = (u8)g;
    d->did = did;
    d->pasid = pasid;
    page_range(d, page, am, g == 3);
}

void oracle_pushed_pasid(unsigned u, unsigned g, u16 did, u32 pasid)
{
    struct pushed *d = push(u, 7);

    d->g = (u8)g;
    d->did = did;
    d->pasid = pasid;
}

void oracle_pushed_iec(unsigned u, bool one, u16 index, unsigned order)
{
    struct pushed *d = push(u, 4);

    page_range(d, index, order, one);
}

void oracle_pushed_other(unsigned u)
{
    push(u, 3);
}

void oracle_pushed_response(unsigned u, u32 id)
{
    push(u, 9)->group = id;
}

void oracle_pushed_wait(unsigned u, u32 cookie, bool drain)
{
    struct pushed *d = push(u, 5);

    d->cookie = cookie;
    d->g = drain;
    O.waits++;
}

bool oracle_waiting(void)
{
    return O.waits;
}

/* --- what is covered --- */

static u64 cover_pages(u32 covered[ORACLE_PAGES], const struct pushed *q, bool all)
{
    u64 pages = 0;

    for (unsigned p = 0; p < O.nr_pages; p++)
        if (all || (oracle_iova(p) >> 12 >= q->first && oracle_iova(p) >> 12 <= q->last)) {
            covered[p] = MAX(covered[p], q->fetched);
            pages |= 1ull << p;
        }
    return pages;
}

static void cover_iotlb(unsigned u, const struct pushed *q)
{
    u64 pages = 0;

    for (unsigned d = 0; d < O.nr_domains; d++) {
        if (q->g != 1 && G.dom[d].did != q->did)
            continue;
        /* Page-selective is precise for the second stage only; of the first stage all goes (6.5.2.3). */
        for (unsigned slot = 0; slot < (G.dom[d].first ? G.slots : 1); slot++)
            pages |= cover_pages(O.covered[u][d][slot], q, G.dom[d].first);
    }
    oracle_check_soon(u, pages);
}

/* 6.5.2.4: first-stage translations of that PASID. */
static void cover_piotlb(unsigned u, const struct pushed *q)
{
    u64 pages = 0;

    for (unsigned d = 0; d < O.nr_domains; d++)
        for (unsigned slot = 0; slot < G.slots; slot++)
            if (G.dom[d].first && G.dom[d].did == q->did && guest_pasid(slot) == q->pasid)
                pages |= cover_pages(O.covered[u][d][slot], q, false);
    oracle_check_soon(u, pages);
}

/* Did an entry, as far as caches may know it, name the domain-id? */
static bool named(unsigned f, unsigned slot, u16 did)
{
    for (unsigned dir = 0; dir < 2; dir++) {
        const struct versions *l = &O.entry[f][slot][dir];

        for (unsigned i = l->n; i-- > 0;) {
            if (l->v[i].d >= 0 && G.dom[l->v[i].d].did == did)
                return true;
            if (l->v[i].since <= O.entry_covered[f][slot])
                break;
        }
    }
    return false;
}

static void cover_context(unsigned u, const struct pushed *q)
{
    static const u16 ignored[] = { 0, 4, 6, 7 };

    for (unsigned f = 0; f < W.nr_fns; f++) {
        /* No flush says anything about whether translation is on before GSTS does. */
        u32 when = O.switching[u] ? MIN(q->fetched, O.switching[u] - 1) : q->fetched;

        /* In scalable mode domain-selective acts as global (6.5.2.1). */
        if (W.cfg.fn[f].unit != u || (q->g == 2 && !G.scalable && !named(f, 0, q->did)))
            continue;
        if (q->g == 3 && (W.cfg.fn[f].sid ^ q->sid) & ~ignored[q->fm])
            continue;
        O.dir_covered[f] = MAX(O.dir_covered[f], when);
        if (!G.scalable)
            O.entry_covered[f][0] = MAX(O.entry_covered[f][0], when);
        O.to_check[f] = ~0ull;
    }
}

static void cover_pasid(unsigned u, const struct pushed *q)
{
    for (unsigned f = 0; f < W.nr_fns; f++)
        for (unsigned slot = 0; slot < G.slots; slot++) {
            u32 when = O.switching[u] ? MIN(q->fetched, O.switching[u] - 1) : q->fetched;

            if (W.cfg.fn[f].unit != u || (q->g == 1 && guest_pasid(slot) != q->pasid))
                continue;
            if (q->g != 3 && !named(f, slot, q->did))
                continue;
            O.entry_covered[f][slot] = MAX(O.entry_covered[f][slot], when);
            O.to_check[f] = ~0ull;
        }
}

static void complete(unsigned u, unsigned upto)
{
    while (O.first[u] != upto) {
        const struct pushed *q = &O.pending[u][O.first[u]++ % PENDING];

        switch (q->type) {
        case 1:
            cover_context(u, q);
            break;
        case 2:
            cover_iotlb(u, q);
            break;
        case 4:
            oracle_ir_covered(u, (unsigned)q->first, (unsigned)MIN(q->last, 0xffffull), q->fetched);
            break;
        case 5:
            O.waits--;
            if (q->g)
                oracle_pages_drained(u, q->fetched);
            break;
        case 6:
            cover_piotlb(u, q);
            break;
        case 7:
            cover_pasid(u, q);
            break;
        case 9:
            oracle_page_answered(q->group);
            break;
        }
    }
}

void oracle_after_exit(void)
{
    if (W.cfg.ecap & E_PRS)
        oracle_prq_look();
    for (unsigned u = 0; u < W.cfg.units; u++) {
        u32 head = units[u]->v.regs[0x80 / 4] / q_entry();

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
            oracle_check_soon(u, ~0ull);
    W.freed = false;
    oracle_check_now();
}
