/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw PCI configuration space, by ECAM where MCFG names it, else by ports (segment 0, first 256 bytes).
 * One lock for all users; the guest's accesses go through hv/pci.c, which judges them and then calls this.
 */
#ifndef ARCH_PCI_H
#define ARCH_PCI_H

#include "arch/types.h"

/* Source-id as VT-d writes it: bus 15:8, device 7:3, function 2:0. */
typedef u16 pci_sid;

struct ecam {
    u64 base; /* physical address of bus 0's first byte (not of first_bus') */
    u16 segment;
    u8 first_bus, last_bus;
    volatile u8 *map; /* of first_bus; NULL = could not be mapped */
};
#define MAX_ECAM 8

void pci_init(void); /* reads MCFG */
unsigned pci_ecam_count(void);
const struct ecam *pci_ecam(unsigned i);

/* width 1, 2 or 4, naturally aligned; reads of what is not there give all ones, writes are dropped. */
u32 pci_read(u16 segment, pci_sid sid, u32 off, unsigned width);
void pci_write(u16 segment, pci_sid sid, u32 off, unsigned width, u32 value);

/* Offset of the capability, 0 = none. Walks are bounded. */
u32 pci_find_cap(u16 segment, pci_sid sid, u8 id);
u32 pci_find_ext_cap(u16 segment, pci_sid sid, u16 id);

#endif
