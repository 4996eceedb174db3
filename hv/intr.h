/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intr=strict, between intr.c (functions) and intr_chipset.c (IOAPICs and the HPET).
 */
#ifndef HV_INTR_H
#define HV_INTR_H

#include "arch/cpu.h"
#include "iommu/iommu.h"

/* A message as MSI capabilities and MSI-X entries hold it (PCI 6.8). */
union message {
    struct {
        u32 address, upper, data;
    };
    u32 word[3];
    u8 byte[12];
};

/* Turns what a device holds into what the guest wrote. */
void intr_untranslate(const struct iommu_message *m, union message *v);
/* And back; with several messages the low bits of the data count them. */
void intr_translate(struct iommu_message *m, unsigned count, union message *v);

/* One access as the guest made it; a read puts its value there. */
void intr_pass(volatile void *at, unsigned width, bool write, u64 *value);

extern struct spinlock intr_lock; /* the window to devices, and index registers */

void intr_chipset_init(void);

#endif
