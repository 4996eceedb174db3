/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intel VMX with EPT, VPID and unrestricted guest behind the interface of arch/vcpu.h.
 */
#ifndef ARCH_VMX_VMX_H
#define ARCH_VMX_VMX_H

#include "arch/vcpu.h"

/* Does this CPU have VMX at all? What it lacks is for probe() to say. */
bool vmx_present(void);

extern struct vcpu_backend vmx_backend;

#endif
