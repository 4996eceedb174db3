/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In-memory structures of legacy mode (9.1, 9.3, 9.8): the one definition of their layout, for the guest's
 * tables and for ours.
 */
#ifndef IOMMU_TABLES_H
#define IOMMU_TABLES_H

#include "arch/types.h"

struct root_entry {
    u64 lo, hi; /* hi is reserved */
};
_Static_assert(sizeof(struct root_entry) == 16, "9.1");
#define ROOT_P   BIT(0)
#define ROOT_CTP MASK(63, 12)

struct context_entry {
    u64 lo, hi;
};
_Static_assert(sizeof(struct context_entry) == 16, "9.3");
#define CTX_P       BIT(0)
#define CTX_FPD     BIT(1)
#define CTX_TT      MASK(3, 2)
#define CTX_SSPTPTR MASK(63, 12)
#define CTX_LO_RSVD MASK(11, 4)
#define CTX_AW      MASK(2, 0) /* high quadword from here on; levels - 2 */
#define CTX_DID     MASK(23, 8)
#define CTX_HI_RSVD (BIT(7) | MASK(63, 24))

enum {
    TT_SECOND_STAGE = 0, /* translation and translated requests are blocked */
    TT_ATS = 1,          /* they are allowed: this is the ATS gate */
    TT_PASS_THROUGH = 2,
};

/* Second-stage paging entry. Present when it may be read or written. */
#define SS_R    BIT(0)
#define SS_W    BIT(1)
#define SS_PERM (SS_R | SS_W)
#define SS_PS   BIT(7) /* leaf at level 2 or 3 */
#define SS_SNP  BIT(11)
#define SS_ADDR MASK(51, 12)
#define SS_RSVD BIT(62)
#define SS_SOFT_SPLIT \
    BIT(52) /* ignored by hardware (61:52); ours: this table stands for one guest superpage */

#define ENTRIES 512

/* log2 of the bytes that one entry of a table at `level` (1 = lowest) stands for. */
static inline unsigned level_shift(unsigned level)
{
    return PAGE_SHIFT + 9 * (level - 1);
}

#endif
