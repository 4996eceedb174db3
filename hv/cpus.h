/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's CPUs.
 */
#ifndef HV_CPUS_H
#define HV_CPUS_H

#include "boot/boot_info.h"

/* On each CPU, the one that booted first: virtualisation on, and its virtual CPU. */
int cpu_setup(void) __must_check;

/* Brings up the others, which then wait for the guest to start them. Returns how many there are in all. */
u32 cpus_start(const struct boot_info *info);

/* What each CPU's exits were, for the log. */
void cpus_counters(void);

#endif
