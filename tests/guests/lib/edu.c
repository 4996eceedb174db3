/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Driving the `edu` device.
 */
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/edu.h"
#include "tests/guests/lib/pci.h"

#define EDU_VENDOR 0x1234
#define EDU_DEVICE 0x11e8
#define EDU_BUFFER 0x40000
#define EDU_BYTES  4096

enum {
    EDU_SOURCE = 0x80,
    EDU_TARGET = 0x88,
    EDU_COUNT = 0x90,
    EDU_COMMAND = 0x98, /* 1 start and busy, 2 from the device to memory */
};

void (*edu_meanwhile)(void);

static u64 bars[4];
static u64 bar;

bool edu_find(u32 nth, u32 *sid)
{
    *sid = pci_find(EDU_VENDOR, EDU_DEVICE, EDU_DEVICE, nth);
    if (*sid == PCI_NONE) {
        return false;
    }
    bars[nth] = pci_bar(*sid, 0);
    if (!nth) {
        bar = bars[0];
    }
    pci_write(*sid, PCI_COMMAND, 2, pci_read(*sid, PCI_COMMAND, 2) | PCI_COMMAND_MEM | PCI_COMMAND_BM);
    return bars[nth] != 0;
}

void edu_use(u32 nth)
{
    bar = bars[nth];
}

static bool transfer(u64 source, u64 target, u32 bytes, u32 command)
{
    u64 deadline = deadline_in_ms(3000);

    if (bytes > EDU_BYTES) {
        return false; /* the device does not check this well */
    }
    mmio_write64(bar + EDU_SOURCE, source);
    mmio_write64(bar + EDU_TARGET, target);
    mmio_write64(bar + EDU_COUNT, bytes);
    mmio_write32(bar + EDU_COMMAND, command);
    while (mmio_read32(bar + EDU_COMMAND) & 1) {
        if (deadline_over(deadline)) {
            return false;
        }
        if (edu_meanwhile) {
            edu_meanwhile();
            continue;
        }
        for (u32 i = 0; i < 1000; i++) {
            relax();
        }
    }
    return true;
}

bool edu_dma_from(u64 address, u32 bytes)
{
    return transfer(address, EDU_BUFFER, bytes, 1);
}

bool edu_dma_to(u64 address, u32 bytes)
{
    return transfer(EDU_BUFFER, address, bytes, 1 | 2);
}

bool edu_dma_aside(u64 address, u32 bytes)
{
    return bytes <= EDU_BYTES / 2 && transfer(address, EDU_BUFFER + EDU_BYTES / 2, bytes, 1);
}
