/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI configuration by ports and by ECAM, and finding devices behind bridges.
 */
#ifndef GUEST_PCI_H
#define GUEST_PCI_H

#include "arch/types.h"

#define PCI_COMMAND     0x04
#define PCI_COMMAND_MEM BIT(1)
#define PCI_COMMAND_BM  BIT(2)
#define PCI_INTLINE     0x3c
#define PCI_EXT_CAP_ATS 0x000f
#define PCI_ATS_CONTROL 6 /* offset in the capability */
#define PCI_ATS_ENABLE  BIT(15)

/* A function is named by its requester id: bus 15:8, device 7:3, function 2:0. */
#define PCI_NONE 0xffffffffu

u32 pci_read(u32 sid, u32 offset, u32 bytes); /* through 0xcf8/0xcfc */
void pci_write(u32 sid, u32 offset, u32 bytes, u32 value);

/* ECAM of segment 0 from the MCFG table; 0 when there is none. */
u64 pci_ecam(void);
u64 pci_ecam_address(u32 sid, u32 offset);

/* The `nth` function with this vendor and a device id in [low, high]; PCI_NONE when there is none. */
u32 pci_find(u32 vendor, u32 low, u32 high, u32 nth);

/* Address of a memory BAR (64-bit ones too), as the firmware set it. */
u64 pci_bar(u32 sid, u32 bar);

/* Offset of an extended capability, 0 when absent. */
u32 pci_ext_cap(u32 sid, u32 id);

#endif
