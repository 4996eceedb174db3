/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seeing inside: the last descriptors of the guest and of ours, with times, and who was flushed how often.
 * Read by the guest (docs/hypercalls.md) and shown when Sluice or the guest dies. Only what the guest wrote
 * itself, or what its own devices were sent, is in it.
 */
#include "iommu/parts.h"

#define SHOWN 12 /* entries, when all is over */

/* One call looks at no more than this many places of a sparse table. */
#define LOOKS 4096

/* The counters in one row: types of descriptors, then domains, then functions. */
#define FIRST_DOMAIN ((u64)NR_DESC)
#define FIRST_FN     (FIRST_DOMAIN + 65536)
#define COUNTERS_END (FIRST_FN + MAX_FNS)

int inside_init(struct unit *u)
{
    u->ring = env_pages_alloc(RING_ENTRIES * sizeof(*u->ring) / PAGE_SIZE);
    return u->ring ? 0 : ERR_NOMEM;
}

static unsigned read_trace(const struct unit *u, u64 *at, struct inside_record *out, unsigned room)
{
    u64 end = u->ring_next, oldest = end > RING_ENTRIES ? end - RING_ENTRIES : 0;
    unsigned n = 0;

    if (*at < oldest || *at > end) /* overwritten by now, or of an earlier boot */
        *at = oldest;
    for (; *at < end && n < room; (*at)++) {
        out[n] = u->ring[*at % RING_ENTRIES];
        out[n++].unit = (u8)u->index; /* the same in all, and so not written each time */
    }
    return n;
}

/* False: there is nothing at this place of the row. */
static bool read_counter(struct unit *u, u64 at, struct inside_record *out)
{
    *out = (struct inside_record){ .unit = (u8)u->index };
    if (at < FIRST_DOMAIN) {
        out->what = INSIDE_UNIT;
        out->id = (u16)at;
        out->lo = u->guest_count[at];
        out->hi = u->host_count[at];
        return at != 0; /* no type */
    }
    if (at < FIRST_FN) {
        const struct domain *d = domain_get(u, (u16)(at - FIRST_DOMAIN));

        if (!d)
            return false;
        out->what = INSIDE_DOMAIN;
        out->id = d->did;
        out->batch = d->guest_did;
        out->lo = d->asked;
        out->hi = d->sent;
        return true;
    }
    const struct fn *f = &u->fns[at - FIRST_FN];
    out->what = INSIDE_FUNCTION;
    out->id = f->sid;
    out->lo = f->asked;
    out->hi = f->sent;
    return f->sid != 0;
}

static unsigned read_counters(struct unit *u, u64 *at, struct inside_record *out, unsigned room)
{
    unsigned n = 0;

    for (unsigned looks = 0; *at < COUNTERS_END && n < room && looks < LOOKS; (*at)++, looks++) {
        if (*at >= FIRST_DOMAIN + u->next_did && *at < FIRST_FN)
            *at = FIRST_FN; /* the rest was never used */
        n += read_counter(u, *at, &out[n]);
    }
    return n;
}

int iommu_inside(enum inside_table table, u64 unit, u64 *at, struct inside_record *out, unsigned room)
{
    unsigned n;

    if (unit >= nr_units)
        return ERR_NODEV;
    env_lock(&units[unit]->lock);
    n = table == INSIDE_TRACE ? read_trace(units[unit], at, out, room)
                              : read_counters(units[unit], at, out, room);
    env_unlock(&units[unit]->lock);
    return (int)n;
}

/* Without the lock: its owner may be the one that died. */
void iommu_inside_show(void)
{
    static const char *const who[] = { "guest", "host", "done" };

    for (unsigned i = 0; i < nr_units; i++) {
        struct unit *u = units[i];
        struct inside_record last[SHOWN];
        u64 at = u->ring_next > SHOWN ? u->ring_next - SHOWN : 0;
        unsigned n = u->ring ? read_trace(u, &at, last, SHOWN) : 0;

        for (unsigned e = 0; e < n; e++)
            env_log(ENV_ERR, "trace unit=%u time=%llu batch=%u %s %llx:%llx", i,
                    (unsigned long long)last[e].time, last[e].batch, who[last[e].what],
                    (unsigned long long)last[e].hi, (unsigned long long)last[e].lo);
    }
}
