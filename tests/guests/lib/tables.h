/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One function's tables, in each way that a unit translates, and what a program by chance does to them.
 */
#ifndef GUEST_TABLES_H
#define GUEST_TABLES_H

#include "arch/types.h"

#define TABLES_PAGES   32u           /* that are mapped, and that are mapped to */
#define TABLES_IOVA    0x40000000ull /* no memory is there, for what passes through */
#define TABLES_DOMAINS 2u
#define TABLES_DID     5u /* and the following */

enum tables_mode {
    TABLES_LEGACY,
    TABLES_SECOND, /* scalable mode, second-stage tables */
    TABLES_FIRST,  /* scalable mode, first-stage tables */
};

struct tables {
    enum tables_mode mode;
    u64 rtaddr;                                /* for the register */
    u64 data;                                  /* the pages, aligned for a large one */
    volatile u64 *context, *directory, *pasid; /* entries */
    struct {
        u64 page[4]; /* by level, the lowest first */
        u32 levels;
    } dom[TABLES_DOMAINS];
};

void tables_alloc(struct tables *t, enum tables_mode mode, u32 sid, u64 cap);
/* As a driver would have them: the first domain, with everything mapped. */
void tables_reset(struct tables *t);
/* Of all entries that may translate this address: changes when one of them does. */
u64 tables_sum(const struct tables *t, u64 iova);
/* `rnd(n)` is less than n. */
void tables_change(struct tables *t, u32 (*rnd)(u32 n));

#endif
