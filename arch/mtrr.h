/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory type range registers (SDM 3A, 12.11.2): their values, and the type they give a piece of memory.
 */
#ifndef ARCH_MTRR_H
#define ARCH_MTRR_H

#include "arch/types.h"

enum mem_type { TYPE_UC = 0, TYPE_WC = 1, TYPE_WT = 4, TYPE_WP = 5, TYPE_WB = 6, TYPE_MIXED = -1 };

#define MTRR_MAX_VARIABLE 16
#define MTRR_FIXED        11

#define MSR_MTRR_CAP      0xfeu
#define MSR_MTRR_VARIABLE 0x200u /* base and mask, alternating */
#define MSR_MTRR_DEFAULT  0x2ffu

#define MTRR_DEFAULT_TYPE  MASK(7, 0)
#define MTRR_DEFAULT_FIXED BIT(10) /* the fixed registers count */
#define MTRR_DEFAULT_ON    BIT(11)
#define MTRR_MASK_VALID    BIT(11)

struct mtrr_state {
    bool present;
    u8 nr_variable, phys_bits;
    u64 default_type;
    u64 fixed[MTRR_FIXED]; /* 250h, 258h, 259h, 268h to 26Fh */
    u64 base[MTRR_MAX_VARIABLE], mask[MTRR_MAX_VARIABLE];
};

/* This CPU's; what it lacks is 0. */
void mtrr_read_all(struct mtrr_state *s);

/* The number of the i-th register, 0 after the last, and where its value is kept; NULL: no such register. */
u32 mtrr_nth(const struct mtrr_state *s, unsigned i);
u64 *mtrr_place(struct mtrr_state *s, u32 msr);

/* The type of [base, base+size), size a power of two and base aligned to it; TYPE_MIXED when it has several.
 */
int mtrr_type(const struct mtrr_state *s, u64 base, u64 size);

#endif
