/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One function's tables. What the emulator's unit does not look at, or finds in another order than the
 * specification, is not done here; each such place says so.
 */
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/tables.h"
#include "tests/guests/lib/vtd.h"

#define LARGE  BIT(7)
#define BEYOND BIT(51) /* an address that no unit here has */

enum { PGTT_FIRST = 1, PGTT_SECOND = 2, PGTT_PASS = 4 };

static u64 all_rights(const struct tables *t)
{
    return t->mode == TABLES_FIRST ? 7 : PTE_R | PTE_W; /* P, R/W, U/S */
}

static volatile u64 *entry(const struct tables *t, u32 d, u32 level, u64 iova)
{
    return (volatile u64 *)t->dom[d].page[level] + (iova >> (12 + 9 * level) & 511);
}

static void link_down(struct tables *t, u32 d, u32 level)
{
    *entry(t, d, level, TABLES_IOVA) = t->dom[d].page[level - 1] | all_rights(t);
}

static u64 top(const struct tables *t, u32 d)
{
    return t->dom[d].page[t->dom[d].levels - 1];
}

/* The entry that says how requests without PASID are translated: all fields good. */
static void translate(struct tables *t, u32 d)
{
    u32 aw = t->dom[d].levels - 2;

    if (t->mode == TABLES_LEGACY) {
        t->context[0] = 0;
        t->context[1] = (u64)(TABLES_DID + d) << 8 | aw;
        t->context[0] = top(t, d) | TT_TABLE << 2 | 1;
        return;
    }
    for (u32 i = 0; i < 8; i++)
        t->pasid[i] = 0;
    t->pasid[1] = TABLES_DID + d;
    if (t->mode == TABLES_FIRST) {
        t->pasid[2] = top(t, d);
        t->pasid[0] = PGTT_FIRST << 6 | AW_4 << 2 | 1; /* the emulator wants to know the width even then */
    } else {
        t->pasid[0] = top(t, d) | PGTT_SECOND << 6 | aw << 2 | 1;
    }
}

static void pass_through(struct tables *t)
{
    if (t->mode == TABLES_LEGACY) {
        t->context[0] = 0;
        t->context[1] = 9 << 8 | AW_4;
        t->context[0] = TT_PASS << 2 | 1;
    } else {
        t->pasid[1] = 9;
        t->pasid[0] = PGTT_PASS << 6 | AW_4 << 2 | 1;
    }
}

static void context_good(struct tables *t)
{
    t->context[0] = (u64)t->directory & ~0xfffull;
    t->context[0] |= 1;
    t->context[1] = t->context[2] = t->context[3] = 0;
}

void tables_alloc(struct tables *t, enum tables_mode mode, u32 sid, u64 cap)
{
    bool scalable = mode != TABLES_LEGACY;
    volatile u64 *root = page_alloc(1);

    t->mode = mode;
    t->rtaddr = (u64)root | (scalable ? BIT(10) : 0);
    t->data = (u64)page_alloc_aligned(TABLES_PAGES, 2u << 20);
    t->context = page_alloc(1);
    t->directory = page_alloc(1);
    t->pasid = page_alloc(1);
    /* In scalable mode a root entry has a half for each 128 functions. */
    root[2 * (sid >> 8) + (scalable && sid & 0x80)] = (u64)t->context | 1;
    t->context += scalable ? (sid & 0x7f) * 4 : (sid & 0xff) * 2;
    for (u32 d = 0; d < TABLES_DOMAINS; d++) {
        /* Both widths where there are two; first-stage tables have four levels. */
        t->dom[d].levels = mode == TABLES_FIRST || (cap >> 8 & 4 && !(d && cap >> 8 & 2)) ? 4 : 3;
        for (u32 level = 0; level < t->dom[d].levels; level++)
            t->dom[d].page[level] = (u64)page_alloc(1);
    }
}

void tables_reset(struct tables *t)
{
    for (u32 d = 0; d < TABLES_DOMAINS; d++) {
        for (u32 n = 0; n < TABLES_PAGES; n++)
            *entry(t, d, 0, TABLES_IOVA + (u64)n * PAGE_SIZE) =
                (t->data + (u64)(n ^ d) * PAGE_SIZE) | all_rights(t);
        for (u32 level = t->dom[d].levels - 1; level; level--)
            link_down(t, d, level);
    }
    if (t->mode != TABLES_LEGACY) {
        t->directory[0] = (u64)t->pasid | 1;
        context_good(t);
    }
    translate(t, 0);
}

u64 tables_sum(const struct tables *t, u64 iova)
{
    u64 sum = 0;

    for (u32 d = 0; d < TABLES_DOMAINS; d++)
        for (u32 level = 0; level < t->dom[d].levels; level++)
            sum ^= *entry(t, d, level, iova);
    return sum;
}

/* ---- by chance */

static void change_context(struct tables *t, u32 (*rnd)(u32 n))
{
    switch (rnd(4)) {
    case 0:
        t->context[0] = 0;
        break;
    case 1: /* a width that the unit may not have, or a reserved bit */
        t->context[1] ^= BIT(rnd(3));
        break;
    case 2: /* a reserved translation type, or a reserved bit */
        t->context[0] ^= rnd(2) ? 0xcull : BIT(4);
        break;
    default: /* faults are not recorded */
        t->context[0] ^= BIT(1);
    }
}

/*
 * The emulator uses RID_PASID and takes PRE, PASIDE and DTE without announcing them, and looks at no reserved
 * bit of a directory or PASID entry.
 */
static void change_scalable_context(struct tables *t, u32 (*rnd)(u32 n))
{
    switch (rnd(6)) {
    case 0:
        t->context[0] ^= 1;
        break;
    case 1:
        t->context[0] ^= BIT(5 + rnd(4));
        break;
    case 2:
        t->context[1 + rnd(3)] ^= BIT(21 + rnd(43));
        break;
    case 3:
        t->context[0] ^= BIT(1);
        break;
    case 4: /* a larger directory: nothing follows */
        t->context[0] ^= (u64)(1 + rnd(7)) << 9;
        break;
    default:
        t->directory[0] ^= 1;
    }
}

static void change_pasid(struct tables *t, u32 (*rnd)(u32 n))
{
    switch (rnd(5)) {
    case 0: /* not present and good otherwise, which the emulator looks at first */
        translate(t, 0);
        t->pasid[0] &= ~1ull;
        break;
    case 1:
        t->pasid[0] ^= BIT(1);
        break;
    case 2: /* a type that there is not; both stages, which the emulator never has; the other stage */
        t->pasid[0] = (t->pasid[0] & ~(7ull << 6)) | (u64)rnd(8) << 6 | 1;
        break;
    case 3: /* of second-stage tables only: the emulator wants a good width always */
        if ((t->pasid[0] >> 6 & 7) == PGTT_SECOND)
            t->pasid[0] = (t->pasid[0] ^ BIT(2 + rnd(3))) | 1;
        break;
    default:
        t->pasid[1] = TABLES_DID + rnd(TABLES_DOMAINS);
    }
}

static void change_leaf(struct tables *t, u32 d, u32 (*rnd)(u32 n))
{
    volatile u64 *leaf = entry(t, d, 0, TABLES_IOVA + (u64)rnd(TABLES_PAGES) * PAGE_SIZE);
    u64 to = t->data + (u64)rnd(TABLES_PAGES) * PAGE_SIZE;

    switch (rnd(8)) {
    case 0:
        *leaf = 0;
        break;
    case 1: /* of an empty one, too: it then maps page 0 */
        *leaf = (*leaf & ~BEYOND) ^ BIT(rnd(t->mode == TABLES_FIRST ? 3 : 2));
        break;
    case 2: /* with all rights: the emulator looks at the rights first, and the order is nobody's business */
        *leaf = to | all_rights(t) | BEYOND;
        break;
    default:
        *leaf = to | (rnd(3) ? all_rights(t) : 1 + rnd(3));
    }
}

/*
 * An entry above it. Rights stay: the emulator says that they are missing where it meets them, the
 * specification when the walk is over.
 */
static void change_link(struct tables *t, u32 d, u32 (*rnd)(u32 n))
{
    u32 level = 1 + rnd(t->dom[d].levels - 1);

    switch (rnd(6)) {
    case 0:
        *entry(t, d, level, TABLES_IOVA) = 0;
        break;
    case 1:
        *entry(t, d, level, TABLES_IOVA) |= BEYOND;
        break;
    case 2:
        *entry(t, d, 1, TABLES_IOVA) = t->data | all_rights(t) | LARGE;
        break;
    default:
        for (level = t->dom[d].levels - 1; level; level--)
            link_down(t, d, level);
    }
}

void tables_change(struct tables *t, u32 (*rnd)(u32 n))
{
    u32 d = rnd(TABLES_DOMAINS);

    switch (rnd(16)) {
    case 0:
        if (t->mode == TABLES_LEGACY)
            change_context(t, rnd);
        else
            change_scalable_context(t, rnd);
        break;
    case 1:
        if (t->mode == TABLES_LEGACY)
            change_context(t, rnd);
        else
            change_pasid(t, rnd);
        break;
    case 2:
        pass_through(t);
        break;
    case 3:
    case 4:
        change_link(t, d, rnd);
        break;
    case 5:
    case 6:
    case 7:
        if (t->mode != TABLES_LEGACY) {
            t->directory[0] = (u64)t->pasid | 1;
            context_good(t);
        }
        translate(t, d);
        break;
    default:
        change_leaf(t, d, rnd);
    }
}
