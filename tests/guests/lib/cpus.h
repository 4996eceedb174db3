/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's other processors: started, given jobs, interrupted. Only the first one prints and checks.
 */
#ifndef GUEST_CPUS_H
#define GUEST_CPUS_H

#include "arch/types.h"

#define AP_PAGE  0x8000u
#define CPUS_MAX 8

struct cpu {
    u64 stack_top; /* the first three are ap.asm's */
    u32 start_cr0, start_edx;
    u32 index, apic_id;
    void (*volatile job)(struct cpu *); /* NULL: none, or done */
    volatile bool up, x2, stop;
    volatile u32 nmis, interrupts;
    volatile u64 count;
};

extern struct cpu cpus[CPUS_MAX]; /* the first is the one that booted */
extern u32 nr_cpus;

/* Enables this processor's APIC and finds out who it is. Before anything else. */
void cpus_init(void);

/* The processor that runs this. */
struct cpu *cpu_self(void);

/* An ICR command of this processor, in its APIC's mode; and the end of an interrupt. */
void cpu_send(u32 destination, u32 command);
void cpu_eoi(void);

#define SEND_NMI     0x4400u
#define SEND_INIT    0x4500u
#define SEND_STARTUP 0x4600u
#define SEND_SELF    (1u << 18)
#define SEND_ALL     (2u << 18)
#define SEND_OTHERS  (3u << 18)
#define SEND_LOGICAL BIT(11)

/* INIT and start-up messages to all others; true when `want` processors are there, which have then the
 * numbers 1 and up. */
bool cpus_start(u32 want);

/* INIT and start-up messages to one that may be anywhere. True when it has come back to wait for jobs. */
bool cpu_restart(struct cpu *c);

/* Lets c do it; wait for the end with cpu_finish(), which is false when that does not come. */
void cpu_do(struct cpu *c, void (*job)(struct cpu *));
bool cpu_finish(const struct cpu *c);

struct guest_lock {
    volatile u32 taken;
};
void guest_lock(struct guest_lock *l);
void guest_unlock(struct guest_lock *l);

void pause_ms(u64 ms);

#endif
