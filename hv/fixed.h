/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's devices at fixed addresses: never reached by DMA, never covered by anything that moves.
 */
#ifndef HV_FIXED_H
#define HV_FIXED_H

#include "arch/types.h"

/* Declares them as MEM_DEVICE, from ACPI where it says and else where every PC has them. */
void fixed_declare(void);
/* The MADT's IOAPICs one by one: NULL first, NULL after the last. */
const u8 *fixed_ioapic_next(const u8 *entry, u64 *address);
/* Its address, 0: there is none; and its number, by which the DMAR table names it. */
u64 fixed_hpet(u8 *number);

#endif
