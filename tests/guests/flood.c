/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network card that something before Sluice has armed. Was it stopped? Then it is aimed at Sluice itself
 * and allowed to write, while somebody outside sends as much as the card can take.
 */
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/pci.h"

#define RING   128
#define FRAMES 1000u

enum { RCTL = 0x100, RDBAL = 0x2800, RDBAH = 0x2804, RDLEN = 0x2808, RDH = 0x2810, RDT = 0x2818 };

struct rx {
    u64 address, status;
};

void guest_main(void)
{
    u32 sid = pci_find(0x8086, 0x100e, 0x100e, 0);
    struct rx *ring = page_alloc(1);

    if (sid == PCI_NONE || !hv_bytes) {
        check("setup", false, "card %x, Sluice %lx", sid, hv_bytes);
        return;
    }
    u64 regs = pci_bar(sid, 0);
    u32 command = pci_read(sid, PCI_COMMAND, 2);
    check("armed-before", mmio_read32(regs + RCTL) & BIT(1), "RCTL %x", mmio_read32(regs + RCTL));
    check("stopped", !(command & PCI_COMMAND_BM), "command %x", command);

    for (u32 i = 0; i < RING; i++)
        ring[i].address = hv_base + i * (hv_bytes / RING);
    mmio_write32(regs + RDBAL, (u32)(u64)ring);
    mmio_write32(regs + RDBAH, 0);
    mmio_write32(regs + RDLEN, RING * sizeof(*ring));
    mmio_write32(regs + RDH, 0);
    mmio_write32(regs + RDT, RING - 1);
    print("I: aimed at %lx %lx as %x\n", hv_base, hv_bytes, sid);
    pci_write(sid, PCI_COMMAND, 2, command | PCI_COMMAND_MEM | PCI_COMMAND_BM);

    u32 frames = 0, last = 0;
    for (u64 deadline = deadline_in_ms(20000); frames < FRAMES && !deadline_over(deadline); relax()) {
        u32 now = mmio_read32(regs + RDH);

        frames += (now - last) % RING;
        last = now;
        mmio_write32(regs + RDT, (now + RING - 1) % RING);
    }
    check("flooded", frames >= FRAMES, "%u frames", frames);
    print("I: flooded with %u\n", frames);
}
