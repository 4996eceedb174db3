/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The oracle for page requests (7.4, 7.5): what functions ask for is in the guest's queue, once and in their
 * order, or there was no room and they are told to try again; an answer gets to who has asked, once, with the
 * code that the guest has given; and nobody waits for ever.
 */
#include <string.h>

#include "iommu/parts.h"
#include "tests/world/oracle_int.h"

#define ASKED    512
#define GROUPS   512
#define ANSWERED 512
#define FOLLOWED 128 /* so many groups that the guest owes an answer, and it is told of no further one */

enum { CODE_SUCCESS = 0, CODE_INVALID = 1, CODE_FAILURE = 15 };

struct asked { /* the unit has taken it, the guest has not got it yet */
    u64 q[2];
    u32 when;
    u8 f;
    bool sure;  /* its function is there still */
    bool again; /* there was no room: it may have been dropped */
};

struct group { /* of a function that waits for an answer */
    u64 key;
    u32 id;
    u8 f, code;
    bool sure, again;
    bool more; /* it will ask under this name as soon as it may */
    enum { WITH_UNIT, WITH_GUEST, GIVEN } state;
};

static struct {
    struct asked asked[MAX_WORLD_UNITS][ASKED];
    unsigned first[MAX_WORLD_UNITS], end[MAX_WORLD_UNITS];
    struct group group[GROUPS];
    unsigned nr_groups;
    struct {
        u64 key;
        u8 code;
    } answered[ANSWERED]; /* the latest */
    unsigned nr_answered, responses[ORACLE_FNS];
    u32 tail[MAX_WORLD_UNITS], ids;
    bool overflow[MAX_WORLD_UNITS]; /* at the last look */
    bool stale[ORACLE_FNS];         /* what it has asked before a reset may come still */
} P;

static u64 asked_by(unsigned f, u32 pasid)
{
    u64 q0 = 1 | (u64)W.cfg.fn[f].sid << 16;

    return pasid == MODEL_NO_PASID ? q0 : q0 | 1 << 8 | (u64)pasid << 32;
}

/* Of an entry of the queue, or of what it would be. */
static u64 key_of(u64 q0, u16 group)
{
    return q0 | (u64)group << 55;
}

static u16 group_of(u64 q1)
{
    return q1 >> 3 & 0x1ff;
}

static struct group *find(u64 key)
{
    for (unsigned i = 0; i < P.nr_groups; i++)
        if (P.group[i].key == key)
            return &P.group[i];
    return NULL;
}

static void remove_group(struct group *g)
{
    *g = P.group[--P.nr_groups];
}

/* May requests of this unit stay where they are, as the guest answers nothing? */
static bool stuck(unsigned u)
{
    unsigned n = 0;

    for (unsigned i = 0; i < P.nr_groups; i++)
        n += W.cfg.fn[P.group[i].f].unit == u && P.group[i].state != WITH_UNIT;
    return n >= FOLLOWED;
}

static bool overflows(unsigned u)
{
    return units[u]->v.regs[R_PRS / 4] & PRS_OVERFLOW;
}

/* --- functions ask --- */

bool oracle_page_waits(unsigned f, u32 pasid, u16 group)
{
    struct group *g = find(key_of(asked_by(f, pasid), group));

    if (g)
        g->more = true;
    return g || P.nr_groups == GROUPS;
}

void oracle_page_asked(unsigned f, const struct model_page_request *r, enum oracle_page what)
{
    unsigned u = W.cfg.fn[f].unit;
    bool may = W.cfg.ats == ATS_ALL || W.cfg.fn[f].sid >> 8 == 1; /* as firmware lists it */
    struct asked a = { .q = { asked_by(f, r->pasid) }, .f = (u8)f, .sure = true };

    a.when = oracle_now();
    a.q[1] = r->addr | r->group << 3 | r->last << 2 | r->write << 1 | r->read;
    P.responses[f] = model_fn_responses(W.fn[f], NULL);
    if (what == PAGE_REFUSED && may && !oracle.may_block[f] && !oracle_pages(f, false))
        world_fail("a page request of function %u is refused", f);
    if (what == PAGE_TAKEN && !oracle_pages(f, true))
        world_fail("a page request of function %u passes, whose entry forbids it", f);
    if (what != PAGE_TAKEN)
        return;
    P.asked[u][P.end[u]++ % ASKED] = a;
    if (r->last)
        P.group[P.nr_groups++] =
            (struct group){ .key = key_of(a.q[0], r->group), .id = ++P.ids, .f = (u8)f, .sure = true };
}

void oracle_pages_going(unsigned f)
{
    unsigned u = W.cfg.fn[f].unit;

    for (unsigned i = P.first[u]; i != P.end[u]; i++)
        if (P.asked[u][i % ASKED].f == f)
            P.asked[u][i % ASKED].sure = false;
    for (unsigned i = 0; i < P.nr_groups; i++)
        if (P.group[i].f == f)
            P.group[i].sure = false;
}

void oracle_pages_gone(unsigned f)
{
    P.stale[f] |= stuck(W.cfg.fn[f].unit);
    for (unsigned i = P.nr_groups; i-- > 0;)
        if (P.group[i].f == f)
            remove_group(&P.group[i]);
}

/* It has waited inside the unit, and found no room in its queue. */
void oracle_page_again(const struct model_event *e)
{
    int f = oracle_fn(e->q[0] >> 16 & 0xffff);
    unsigned u = f < 0 ? 0 : W.cfg.fn[f].unit;
    struct group *g = find(key_of(e->q[0], group_of(e->q[1])));

    for (unsigned i = P.first[u]; i != P.end[u]; i++)
        if (P.asked[u][i % ASKED].q[0] == e->q[0] && P.asked[u][i % ASKED].q[1] == e->q[1])
            P.asked[u][i % ASKED].again = true;
    if (f < 0 || !(e->q[1] & 4))
        return;
    P.responses[f]++;
    if (g)
        remove_group(g);
}

/* --- the guest finds it --- */

static void found(unsigned u, u64 at)
{
    u64 q0 = peek64(at), q1 = peek64(at + 8);
    struct group *g;

    for (; P.first[u] != P.end[u]; P.first[u]++) {
        const struct asked *a = &P.asked[u][P.first[u] % ASKED];

        if (a->q[0] == q0 && a->q[1] == q1)
            break;
        if (a->sure && !a->again && !oracle.may_block[a->f])
            world_fail("page request %llx of function %u is lost", (unsigned long long)a->q[1], a->f);
    }
    if (P.first[u] == P.end[u] || peek64(at + 16) | peek64(at + 24)) {
        world_fail("nobody has asked for %llx %llx", (unsigned long long)q0, (unsigned long long)q1);
        return;
    }
    P.first[u]++;
    g = find(key_of(q0, group_of(q1)));
    if (g && q1 & 4)
        g->state = WITH_GUEST;
}

void oracle_prq_look(void)
{
    for (unsigned u = 0; u < W.cfg.units; u++) {
        bool before = P.overflow[u];
        u32 tail = units[u]->v.regs[R_PQT / 4];

        if (before && overflows(u) && P.tail[u] != tail)
            world_fail("unit %u gives the guest a page request while the overflow stands", u);
        if (P.tail[u] != tail && tail == units[u]->v.regs[R_PQH / 4])
            world_fail("unit %u writes over page requests that the guest has not read", u);
        for (; P.tail[u] != tail && world_ok(); P.tail[u] = (P.tail[u] + 32) % 4096)
            found(u, GUEST_PQ + u * 0x1000 + P.tail[u]);
        P.overflow[u] = overflows(u);
        for (unsigned i = P.first[u]; (P.overflow[u] || before) && i != P.end[u]; i++) {
            const struct asked *a = &P.asked[u][i % ASKED];
            struct group *g = find(key_of(a->q[0], group_of(a->q[1])));

            P.asked[u][i % ASKED].again = true;
            if (g && a->q[1] & 4)
                g->again = true;
        }
    }
}

/* --- the guest answers --- */

bool oracle_page_owed(unsigned n, struct oracle_owed *o)
{
    unsigned owed = 0;

    for (unsigned i = 0; i < P.nr_groups; i++)
        owed += P.group[i].state == WITH_GUEST;
    for (unsigned i = 0; owed && i < P.nr_groups; i++) {
        const struct group *g = &P.group[i];

        if (g->state != WITH_GUEST || n-- % owed)
            continue;
        *o = (struct oracle_owed){ .f = g->f, .group = (u16)(g->key >> 55), .pasid = MODEL_NO_PASID };
        if (g->key & 1 << 8)
            o->pasid = g->key >> 32 & 0xfffff;
        return true;
    }
    return false;
}

u32 oracle_page_answer(unsigned u, const struct oracle_owed *o, unsigned code)
{
    struct group *g = find(key_of(asked_by(o->f, o->pasid), o->group));

    if (!g || g->state != WITH_GUEST || W.cfg.fn[o->f].unit != u)
        return 0;
    g->state = GIVEN;
    g->code = (u8)(code > CODE_INVALID ? CODE_FAILURE : code);
    return g->id;
}

void oracle_page_answered(u32 id)
{
    for (unsigned i = 0; i < P.nr_groups; i++)
        if (P.group[i].id == id && P.group[i].sure && !oracle.may_block[P.group[i].f])
            world_fail("the response to group %u of function %u is lost", (unsigned)(P.group[i].key >> 55),
                       P.group[i].f);
}

void oracle_pages_drained(unsigned u, u32 when)
{
    for (unsigned i = P.first[u]; i != P.end[u] && !stuck(u); i++) {
        const struct asked *a = &P.asked[u][i % ASKED];

        if (a->sure && !a->again && a->when <= when && !oracle.may_block[a->f])
            world_fail("page request %llx of function %u is not drained", (unsigned long long)a->q[1], a->f);
    }
}

/* --- functions hear --- */

/* After a time-out what may have been sent is sent again: nothing tells that it was. */
static bool heard(u64 key, u8 code)
{
    for (unsigned i = 0; W.cfg.ite_steps && i < ANSWERED; i++)
        if (P.answered[i].key == key && P.answered[i].code == code)
            return true;
    return false;
}

static bool hear(unsigned f, const struct model_page_response *r)
{
    u64 key = key_of(asked_by(f, r->pasid), r->group);
    unsigned u = W.cfg.fn[f].unit, i = P.nr_answered % ANSWERED;
    struct group *g = find(key);
    bool more = g && g->more,
         again = g && g->state == WITH_UNIT && r->code == CODE_SUCCESS && (g->again || overflows(u));

    if (again || (g && g->state == GIVEN && g->code == r->code)) {
        P.answered[i].key = key;
        P.answered[i].code = r->code;
        P.nr_answered++;
        remove_group(g);
        return more;
    }
    if (!heard(key, r->code) && !P.stale[f])
        world_fail("function %u hears %u about group %u, which nobody said", f, r->code, r->group);
    return false;
}

bool oracle_page_heard(const struct model_event *e, struct oracle_owed *o)
{
    struct model_page_response r;
    int f = e->type == MODEL_EV_COMPLETE && (e->q[0] & 0xe0f) == 9 ? oracle_fn(e->q[0] >> 16 & 0xffff) : -1;

    /* On a unit that does not have the function it gets nowhere. */
    if (f < 0 || model_fn_responses(W.fn[f], &r) == P.responses[f])
        return false;
    P.responses[f]++;
    *o = (struct oracle_owed){ .f = (unsigned)f, .pasid = r.pasid, .group = r.group };
    return hear((unsigned)f, &r);
}

/* --- the end: all has been given to the guest, and what the guest has said has got to the functions --- */

void oracle_prq_end(void)
{
    for (unsigned u = 0; u < W.cfg.units; u++) {
        oracle_pages_drained(u, ~0u);
        if (!stuck(u) && model_reg_read(W.unit[u], R_PRS, 4) & PRS_OVERFLOW)
            world_fail("unit %u takes no page requests any more", u);
    }
    for (unsigned i = 0; i < P.nr_groups; i++) {
        const struct group *g = &P.group[i];

        if (g->sure && g->state != WITH_GUEST && !oracle.may_block[g->f] && !stuck(W.cfg.fn[g->f].unit))
            world_fail("function %u waits for ever for an answer about group %u", g->f,
                       (unsigned)(g->key >> 55));
    }
}

void oracle_prq_start(void)
{
    memset(&P, 0, sizeof(P));
}

void *oracle_prq_state(size_t *size)
{
    *size = W.cfg.ecap & E_PRS ? sizeof(P) : 0;
    return &P;
}
