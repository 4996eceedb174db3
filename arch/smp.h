/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting the other CPUs.
 */
#ifndef ARCH_SMP_H
#define ARCH_SMP_H

#include "boot/boot_info.h"

/*
 * Starts every CPU that the MADT calls usable, one after the other; each runs `start`, which returns 0 or an
 * error, and then `run`. refuse()s when one cannot be set up. One that does not answer is told of, and stays
 * where an INIT leaves a CPU: it runs nothing, as nobody but Sluice can send it a start-up message. Returns
 * how many CPUs there are now.
 */
u32 smp_start(const struct boot_info *info, int (*start)(void), void (*run)(void));

#endif
