/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The oracle for interrupt entries: what a unit may use for an index is an entry that the guest's table has
 * held since the last flush of it, or none if that one was not good; never one that makes an NMI, INIT, SMI
 * or ExtINT.
 */
#include <string.h>

#include "tests/world/oracle.h"

#define VERSIONS 8

struct entry {
    u64 lo, hi; /* 0: a fault */
    u32 since;
};

static struct {
    struct entry v[ORACLE_IRTES][VERSIONS]; /* the newest last */
    unsigned n[ORACLE_IRTES];
    u32 forgot[ORACLE_IRTES];
    u32 covered[MAX_WORLD_UNITS][ORACLE_IRTES];
    bool on[MAX_WORLD_UNITS];
} R;

/* 9.9: which of the guest's entries send an interrupt that a guest may send. */
static bool good(u64 lo, u64 hi)
{
    return lo & 1 && !(lo & 0xff00f000) && (lo >> 5 & 7) <= 1 && (lo >> 16 & 0xff) >= 16 && !(hi >> 20);
}

void oracle_irte(unsigned index)
{
    struct entry e = { peek64(GUEST_IRT + index * 16), peek64(GUEST_IRT + index * 16 + 8), oracle_now() };

    if (!good(e.lo, e.hi))
        e.lo = e.hi = 0;
    if (R.n[index] == VERSIONS) {
        memmove(R.v[index], R.v[index] + 1, sizeof(e) * (VERSIONS - 1));
        R.n[index]--;
        R.forgot[index] = R.v[index][0].since;
    }
    R.v[index][R.n[index]++] = e;
}

void oracle_ir_start(void)
{
    memset(&R, 0, sizeof(R));
    for (unsigned i = 0; i < ORACLE_IRTES; i++)
        oracle_irte(i);
}

void oracle_ir_covered(unsigned u, unsigned first, unsigned last, u32 when)
{
    for (unsigned i = first; i <= last && i < ORACLE_IRTES; i++)
        R.covered[u][i] = MAX(R.covered[u][i], when);
    if (first < ORACLE_IRTES && !W.cfg.quiet)
        oracle_ir_check();
}

void oracle_remapping(unsigned u, bool on)
{
    R.on[u] = on;
}

static bool allowed(unsigned u, unsigned index, u64 lo, u64 hi)
{
    if (R.forgot[index] > R.covered[u][index]) {
        world_totals.unsure++;
        return true;
    }
    for (unsigned i = R.n[index]; i-- > 0;) {
        if (R.v[index][i].lo == lo && R.v[index][i].hi == hi)
            return true;
        if (R.v[index][i].since <= R.covered[u][index])
            break;
    }
    return false;
}

void oracle_ir_check(void)
{
    uint64_t e[MODEL_OUTCOMES][2];

    for (unsigned u = 0; u < W.cfg.units; u++)
        for (unsigned i = 0; R.on[u] && i < ORACLE_IRTES; i++) {
            unsigned n = model_irte_versions(W.unit[u], i, e, MODEL_OUTCOMES);

            world_totals.checks++;
            for (unsigned k = 0; k < n; k++) {
                bool sends = good(e[k][0], e[k][1]);

                if (e[k][0] & 1 && (e[k][0] >> 5 & 7) > 1)
                    world_fail("unit %u may use interrupt entry %u: %llx", u, i, (unsigned long long)e[k][0]);
                if (!allowed(u, i, sends ? e[k][0] : 0, sends ? e[k][1] : 0))
                    world_fail("%s: interrupt entry %u of unit %u is %llx", sends ? "stale" : "missing", i, u,
                               (unsigned long long)e[k][0]);
            }
        }
}

void oracle_ir_delivered(unsigned u, unsigned index, u64 address, u32 data)
{
    bool found = false;

    if ((data >> 8 & 7) > 1)
        world_fail("an interrupt of delivery mode %u was delivered", data >> 8 & 7);
    if (!R.on[u])
        return;
    if (R.forgot[index] > R.covered[u][index])
        return;
    for (unsigned i = R.n[index]; i-- > 0 && !found;) {
        const struct entry *e = &R.v[index][i];

        found =
            e->lo && (e->lo >> 16 & 0xff) == (data & 0xff) && (e->lo >> 40 & 0xff) == (address >> 12 & 0xff);
        if (e->since <= R.covered[u][index])
            break;
    }
    if (!found)
        world_fail("interrupt entry %u of unit %u sent %llx:%x", index, u, (unsigned long long)address, data);
}

void *oracle_ir_state(size_t *size)
{
    *size = sizeof(R);
    return &R;
}
