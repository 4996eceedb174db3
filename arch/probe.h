/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a CPU must have to run guests, by either vendor.
 */
#ifndef ARCH_PROBE_H
#define ARCH_PROBE_H

#include "arch/vmx/controls.h"

/* Which of the two this CPU has, if any. */
bool vmx_present(void);

/* NULL, or what is missing and what to do, for refuse(). */
const char *cpu_probe(void);

/* Valid where VMX lacks nothing. */
extern struct vmx_controls vmx_controls;
extern struct vmx_caps vmx_caps;

#endif
