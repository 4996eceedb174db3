/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stacks of one CPU. Below each lies a page that the final page tables leave unmapped, so that running
 * over a stack's end is a fault and not a corrupted neighbour.
 */
#ifndef ARCH_PERCPU_H
#define ARCH_PERCPU_H

#include "arch/cpu.h"

#define MAIN_STACK 0x8000
#define IST_STACK  0x2000

struct cpu_stacks {
    u8 main_guard[PAGE_SIZE], main[MAIN_STACK];
    u8 nmi_guard[PAGE_SIZE], nmi[IST_STACK];
    u8 df_guard[PAGE_SIZE], df[IST_STACK];
    u8 mc_guard[PAGE_SIZE], mc[IST_STACK];
} __attribute__((aligned(PAGE_SIZE)));

#define NR_STACKS 4

/* The page below the i-th of them. */
u8 *stack_guard_page(struct cpu_stacks *stacks, unsigned i);

/* Those of the CPU that booted, in the image. */
extern struct cpu_stacks cpu0_stacks;

/* Interrupt stack table slots (AMD APM 2, 8.9.4). */
enum { IST_NMI = 1, IST_DF = 2, IST_MC = 3 };

/* The usable stack that holds `address`. False: in none of this CPU's. */
bool stack_bounds(const struct percpu *cpu, u64 address, u64 *low, u64 *high);

/* Is `address` in a page below one of this CPU's stacks? */
bool stack_guard(const struct percpu *cpu, u64 address);

#endif
