/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What switches the machine off, resets it, or would put it to sleep under our feet. power_init() is in
 * hv/exit.h.
 */
#ifndef HV_POWER_H
#define HV_POWER_H

#include "arch/types.h"

#define RESET_CONTROL_PORT 0xcf9

void __noreturn power_reset(const char *why);

/* The guest writes the chipset's reset control. Returns unless that resets the machine. */
void power_reset_control(u8 value);

#endif
