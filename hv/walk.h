/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's own page tables, walked in software: for instruction bytes and for the operands that the CPU
 * has not reported.
 */
#ifndef HV_WALK_H
#define HV_WALK_H

#include "arch/insn.h"
#include "arch/vcpu.h"

/* Error code of a page fault (AMD APM 2, 8.4.2). */
#define PF_PRESENT  BIT(0)
#define PF_WRITE    BIT(1)
#define PF_USER     BIT(2)
#define PF_RESERVED BIT(3)
#define PF_FETCH    BIT(4)
#define PF_KEY      BIT(5)

#define WALK_MAX_LEVELS 5

/* What a walk has read, so that its result can be used again while all of it is still so. */
struct walk {
    u64 gpa;
    u32 fault; /* error code, when it failed */
    unsigned levels;
    struct {
        const volatile u64 *entry;
        u64 value;
    } step[WALK_MAX_LEVELS];
};

enum walk_access { WALK_FETCH, WALK_READ, WALK_WRITE };

/*
 * As the CPU would for an access of `v` in `mode`: each entry is read once, all its checks are made, accessed
 * and dirty are set (not for fetches, which the CPU itself has done). False: a page fault with code w->fault.
 * Entries that do not lie in memory the guest owns read as ones.
 */
bool guest_walk(struct vcpu *v, const struct vcpu_mode *mode, u64 linear, enum walk_access access,
                struct walk *w);
/* The same; where it fails, the page fault has been injected. */
bool guest_reach(struct vcpu *v, const struct vcpu_mode *mode, u64 linear, enum walk_access access,
                 struct walk *w);

/*
 * The page of memory that holds gpa, for reading and writing as the guest's CPU does: RAM, or what firmware
 * keeps in reserved memory (a limited number of pages of that). NULL for everything else.
 */
volatile void *guest_page(u64 gpa);

/* To or from `count` bytes of guest memory, one by one: others may be writing them. */
void guest_copy(volatile u8 *memory, u8 *data, unsigned count, bool write);

/*
 * For insn_exec(): the operand of a string instruction that the CPU did not report, whose context begins with
 * a struct operand. An exception has been injected where it gives an error.
 */
struct operand {
    struct vcpu *v;
    const struct vcpu_mode *mode;
};
int operand_linear(void *ctx, enum insn_access how, u64 addr, unsigned int width, u64 *val);
void guest_bases(struct vcpu *v, u64 bases[INSN_NSEGS]);

#endif
