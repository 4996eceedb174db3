/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unit as a whole: reset, time, chance, the monitor and the counters.
 */
#include "tests/model/model_int.h"

_Static_assert(sizeof(struct model) <= MODEL_BYTES, "MODEL_BYTES is too small");

void mdl_copy(void *dst, const void *src, size_t len)
{
    u8 *d = dst;
    const u8 *s = src;

    for (size_t i = 0; i < len; i++)
        d[i] = s[i];
}

void mdl_zero(void *dst, size_t len)
{
    volatile u64 *d = dst;

    /* Whole words: everything that is cleared is made of them. */
    for (size_t i = 0; i < len / 8; i++)
        d[i] = 0;
}

u32 mdl_rnd(struct model *m, u32 n)
{
    m->rng ^= m->rng >> 12;
    m->rng ^= m->rng << 25;
    m->rng ^= m->rng >> 27;
    return n <= 1 ? 0 : (u32)((m->rng * 0x2545f4914f6cdd1dull) >> 33) % n;
}

u16 mdl_delay(struct model *m)
{
    return m->cfg.pace == MODEL_PACE_AT_ONCE ? 0 : 1 + mdl_rnd(m, m->cfg.pace_max);
}

void mdl_trace(struct model *m, u32 type, u64 a, u64 b, u64 c, const u64 *q)
{
    struct model_event e = { .type = type, .a = a, .b = b, .c = c };

    if (!m->ops.trace)
        return;
    for (unsigned i = 0; q && i < 4; i++)
        e.q[i] = q[i];
    m->ops.trace(m->ops.ctx, &e);
}

void mdl_violation(struct model *m, enum model_violation v, u64 detail)
{
    m->violation[v]++;
    mdl_trace(m, MODEL_EV_VIOLATION, v, detail, 0, NULL);
}

void model_seed(struct model *m, uint64_t seed)
{
    m->rng = (seed ^ 0x9e3779b97f4a7c15ull) | 1;
}

struct model *model_init(void *mem, size_t len, const struct model_cfg *cfg, const struct model_ops *ops)
{
    struct model *m = mem;

    if (len < sizeof(*m) || ((uintptr_t)mem & 15))
        return NULL;
    /* The pools say themselves how much of them is in use. */
    mdl_zero(m, offsetof(struct model, pool_root));
    m->cfg = *cfg;
    m->ops = *ops;
    model_seed(m, cfg->seed);
    if (!m->cfg.haw)
        m->cfg.haw = 46;
    if (!m->cfg.pending || m->cfg.pending > OPS)
        m->cfg.pending = 32;
    if (!m->cfg.gran_iqei)
        m->cfg.gran_iqei = 4;
    for (unsigned i = 0; i < EVENTS; i++)
        m->ev[i].ctl = 1u << 31;
    mdl_cache_init(m);
    mdl_tables_init(m);
    mdl_walk_init(m);
    return m;
}

void model_set_keep(struct model *m, enum model_class c, enum model_keep keep)
{
    m->cfg.keep[c] = keep;
}

void model_set_pace(struct model *m, enum model_pace pace, unsigned pace_max)
{
    m->cfg.pace = pace;
    m->cfg.pace_max = pace_max;
}

void model_set_dead(struct model *m, bool dead)
{
    m->dead = dead;
}

void model_set_fri(struct model *m, uint8_t fri)
{
    m->fri_lies = true;
    m->fri = fri;
}

/* Exactly one of the things that may happen next. */
static bool step_one(struct model *m)
{
    unsigned first = mdl_rnd(m, 4);

    for (unsigned i = 0; i < 4; i++) {
        bool moved = false;

        switch ((first + i) % 4) {
        case 0:
            moved = mdl_cmd_pass(m);
            break;
        case 1:
            moved = mdl_queue_fetch(m);
            break;
        case 2:
            moved = mdl_queue_finish(m);
            break;
        case 3:
            moved = mdl_flight_land_one(m);
            break;
        }
        if (moved)
            return true;
    }
    return false;
}

bool model_step(struct model *m)
{
    bool moved;

    if (m->dead)
        return false;
    mdl_speculate(m);
    if (m->cfg.shadow)
        mdl_evict_some(m);
    moved = mdl_queue_pass(m);
    switch (m->cfg.pace) {
    case MODEL_PACE_MANUAL:
        moved |= step_one(m);
        break;
    case MODEL_PACE_DELAYED:
        moved |= mdl_cmd_pass(m);
        for (unsigned n = 1 + mdl_rnd(m, 4); n; n--)
            moved |= mdl_queue_fetch(m);
        for (unsigned n = 1 + mdl_rnd(m, 4); n; n--)
            moved |= mdl_queue_finish(m);
        if (mdl_rnd(m, 2))
            moved |= mdl_flight_land_one(m);
        break;
    default:
        moved |= mdl_cmd_pass(m);
        mdl_queue_pump(m);
        if (mdl_rnd(m, 2))
            moved |= mdl_flight_land_one(m);
    }
    return moved || model_busy(m);
}

void model_run(struct model *m, unsigned steps)
{
    while (steps-- && model_busy(m))
        model_step(m);
}

bool model_busy(const struct model *m)
{
    for (unsigned i = 0; i < LATES; i++)
        if (m->late[i].used)
            return true;
    return mdl_cmd_pending(m) || mdl_queue_pending(m) || m->nflights;
}

struct model_stats *model_stats(struct model *m)
{
    return &m->stats;
}

uint64_t model_violations(const struct model *m)
{
    u64 sum = 0;

    for (unsigned i = 0; i < MODEL_VIOLATIONS; i++)
        sum += m->violation[i];
    return sum;
}

uint64_t model_violation_count(const struct model *m, enum model_violation v)
{
    return m->violation[v];
}

void model_clear_violations(struct model *m)
{
    mdl_zero(m->violation, sizeof(m->violation));
}

const char *model_violation_name(enum model_violation v)
{
    static const char *const names[MODEL_VIOLATIONS] = {
        [MODEL_V_WIDTH] = "register access of a wrong width",
        [MODEL_V_READ_ONLY] = "write to a read-only or unknown register",
        [MODEL_V_RESERVED] = "reserved register bit written as 1",
        [MODEL_V_GCMD_MANY] = "more than one change in a GCMD write",
        [MODEL_V_GCMD_PENDING] = "GCMD written before the last command was done",
        [MODEL_V_GCMD_UNSUPPORTED] = "GCMD command without the capability",
        [MODEL_V_TTM] = "translation-table mode reserved or changed on the fly",
        [MODEL_V_ROOT_NO_FLUSH] = "root pointer set and used without global flushes",
        [MODEL_V_TE_NO_ROOT] = "translation enabled without a root table",
        [MODEL_V_IQA_BUSY] = "IQA changed while queued invalidation is on",
        [MODEL_V_QIE_TAIL] = "queue enabled with a tail other than 0",
        [MODEL_V_QIE_BUSY] = "queue disabled while descriptors were pending",
        [MODEL_V_REG_INV] = "register-based invalidation where there is none",
        [MODEL_V_REG_INV_BUSY] = "register-based invalidation while one is under way",
        [MODEL_V_GRANULARITY] = "reserved or unsupported invalidation granularity",
        [MODEL_V_DESCRIPTOR] = "invalid descriptor",
        [MODEL_V_TAIL] = "invalid queue tail",
        [MODEL_V_DTLB_TARGET] = "device-TLB request to a function that cannot answer",
        [MODEL_V_DTLB_FIELDS] = "wrong PFSID or MIP in a device-TLB request",
        [MODEL_V_STATUS_ADDR] = "wait status address without memory",
        [MODEL_V_EVENT_ADDR] = "event message outside the interrupt range",
        [MODEL_V_DID] = "one domain-id with two sets of tables",
        [MODEL_V_DID_ZERO] = "domain-id 0 in a present entry with CM=1",
        [MODEL_V_AW] = "address width not offered",
        [MODEL_V_IRTA] = "interrupt-remapping table pointer misused",
        [MODEL_V_PMR] = "protected-region registers changed while enabled",
    };

    return (unsigned)v < MODEL_VIOLATIONS ? names[v] : "?";
}
