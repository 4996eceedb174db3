/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI configuration access and enumeration. Buses are numbered by the firmware.
 */
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/pci.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA    0xcfc
#define MAX_BRIDGES    32

static u64 ecam_base;

u32 pci_read(u32 sid, u32 offset, u32 bytes)
{
    outl(CONFIG_ADDRESS, 0x80000000u | sid << 8 | (offset & 0xfc));
    switch (bytes) {
    case 1:
        return inb((u16)(CONFIG_DATA + (offset & 3)));
    case 2:
        return inw((u16)(CONFIG_DATA + (offset & 2)));
    default:
        return inl(CONFIG_DATA);
    }
}

void pci_write(u32 sid, u32 offset, u32 bytes, u32 value)
{
    outl(CONFIG_ADDRESS, 0x80000000u | sid << 8 | (offset & 0xfc));
    switch (bytes) {
    case 1:
        outb((u16)(CONFIG_DATA + (offset & 3)), (u8)value);
        break;
    case 2:
        outw((u16)(CONFIG_DATA + (offset & 2)), (u16)value);
        break;
    default:
        outl(CONFIG_DATA, value);
        break;
    }
}

u64 pci_ecam(void)
{
    const u8 *mcfg = acpi_table("MCFG");

    if (!ecam_base && mcfg) {
        memcpy(&ecam_base, mcfg + 44, sizeof(ecam_base));
    }
    return ecam_base;
}

u64 pci_ecam_address(u32 sid, u32 offset)
{
    return pci_ecam() + ((u64)sid << 12) + offset;
}

u32 pci_find(u32 vendor, u32 low, u32 high, u32 nth)
{
    u32 buses[MAX_BRIDGES] = { 0 }, count = 1;

    for (u32 b = 0; b < count; b++) {
        for (u32 devfn = 0; devfn < 256; devfn++) {
            u32 sid = buses[b] << 8 | devfn;
            u32 id = pci_read(sid, 0, 4), header;

            if ((id & 0xffff) == 0xffff) {
                if (!(devfn & 7)) {
                    devfn |= 7;
                }
                continue;
            }
            if ((id & 0xffff) == vendor && id >> 16 >= low && id >> 16 <= high && !nth--) {
                return sid;
            }
            header = pci_read(sid, 0x0e, 1);
            if ((header & 0x7f) == 1 && count < MAX_BRIDGES) {
                buses[count++] = pci_read(sid, 0x19, 1);
            }
            if (!(devfn & 7) && !(header & 0x80)) {
                devfn |= 7;
            }
        }
    }
    return PCI_NONE;
}

u64 pci_bar(u32 sid, u32 bar)
{
    u32 low = pci_read(sid, 0x10 + 4 * bar, 4);
    u64 address = low & ~0xfu;

    if ((low & 6) == 4) {
        address |= (u64)pci_read(sid, 0x14 + 4 * bar, 4) << 32;
    }
    return address;
}

u32 pci_ext_cap(u32 sid, u32 id)
{
    u32 at = 0x100;

    if (!pci_ecam()) {
        return 0;
    }
    for (u32 i = 0; i < 64 && at >= 0x100; i++) {
        u32 head = mmio_read32(pci_ecam_address(sid, at));

        if (head && (head & 0xffff) == id) {
            return at;
        }
        at = head >> 20 & 0xffc;
    }
    return 0;
}
