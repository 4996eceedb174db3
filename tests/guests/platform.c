/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that moves the furniture: BARs, bridge windows and the chipset's own decode over the hypervisor,
 * the unit and configuration space; odd accesses to configuration space; sleep states. Nothing of it may take
 * effect on a hypervisor, and the guest goes on.
 */
#include "tests/guests/lib/edu.h"
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/pci.h"
#include "tests/guests/lib/vtd.h"

#define HOST_BRIDGE 0x0000u
#define PCIEXBAR    0x60u
#define LPC         0x00f8u
#define PMBASE      0x40u
#define EDU_ID      0x010000edu

static u32 edu;

/* The hypervisor, the unit and configuration space are where they were. */
static void all_there(const char *name)
{
    volatile u64 *hv = (volatile u64 *)hv_base;

    check(name,
          vtd_read64(VTD_CAP) == vtd_cap && vtd_read32(VTD_VER) != EDU_ID &&
              (!hv_bytes || (hv[0] == ~0ull && hv[0x80 / 8] == ~0ull)) &&
              mmio_read32(pci_ecam_address(edu, 0)) == 0x11e81234,
          "CAP 0x%lx, id 0x%x", vtd_read64(VTD_CAP), mmio_read32(pci_ecam_address(edu, 0)));
}

static void bars(void)
{
    const struct {
        const char *name;
        u64 address;
    } places[] = {
        { "hypervisor", hv_base }, { "unit", vtd_base }, { "ecam", pci_ecam() }, { "ioapic", 0xfec00000 }
    };
    u32 was = pci_read(edu, 0x10, 4), command = pci_read(edu, PCI_COMMAND, 2);

    for (u32 i = 0; i < ARRAY_SIZE(places); i++) {
        u32 to = (u32)align_down(places[i].address, 1 << 20);

        part("bar/%s", places[i].name);
        pci_write(edu, 0x10, 4, to); /* with decode on */
        all_there("decoding");
        pci_write(edu, PCI_COMMAND, 2, command & ~PCI_COMMAND_MEM);
        pci_write(edu, 0x10, 4, to);
        pci_write(edu, PCI_COMMAND, 2, command);
        all_there("decode-later");
        /* By ECAM, and byte by byte. */
        for (u32 b = 0; b < 4; b++) {
            *(volatile u8 *)pci_ecam_address(edu, 0x10 + b) = (u8)(to >> (8 * b));
        }
        all_there("bytes");
        pci_write(edu, 0x10, 4, was);
        pci_write(edu, PCI_COMMAND, 2, command);
        check("back", mmio_read32(pci_bar(edu, 0)) == EDU_ID, "0x%x", mmio_read32(pci_bar(edu, 0)));
    }
    part("bar/sizing");
    pci_write(edu, 0x10, 4, ~0u);
    check("size", (pci_read(edu, 0x10, 4) & ~0xfu) == 0xfff00000, "0x%x", pci_read(edu, 0x10, 4));
    pci_write(edu, 0x10, 4, was);
    all_there("after-sizing");
    check("back", mmio_read32(pci_bar(edu, 0)) == EDU_ID, "0x%x", mmio_read32(pci_bar(edu, 0)));
}

static void chipset(void)
{
    u32 low = pci_read(HOST_BRIDGE, PCIEXBAR, 4), pm = pci_read(LPC, PMBASE, 4);

    part("chipset");
    pci_write(HOST_BRIDGE, PCIEXBAR, 4, low & ~1u);
    all_there("ecam-off");
    pci_write(HOST_BRIDGE, PCIEXBAR, 4, (u32)(hv_base & 0xf0000000) | 1);
    all_there("ecam-moved");
    mmio_write32(pci_ecam_address(HOST_BRIDGE, PCIEXBAR), 0);
    all_there("ecam-moved-by-ecam");
    check("ecam-kept", pci_read(HOST_BRIDGE, PCIEXBAR, 4) == low, "0x%x", pci_read(HOST_BRIDGE, PCIEXBAR, 4));
    pci_write(LPC, PMBASE, 4, 0x1001);
    check("pm-kept", pci_read(LPC, PMBASE, 4) == pm, "0x%x", pci_read(LPC, PMBASE, 4));
}

static void config_access(void)
{
    u32 id, saved;

    part("config");
    /* Address register: what is read back is what was written; bytes of it are no address. */
    outl(0xcf8, 0x80000000u | edu << 8);
    saved = inl(0xcf8);
    check("address", saved == (0x80000000u | edu << 8), "0x%x", saved);
    id = inl(0xcfc);
    check("id", id == 0x11e81234, "0x%x", id);
    check("word", inw(0xcfe) == 0x11e8 && inb(0xcfd) == 0x12, "0x%x 0x%x", inw(0xcfe), inb(0xcfd));
    outl(0xcf8, edu << 8); /* not enabled */
    check("disabled", inl(0xcfc) == ~0u, "0x%x", inl(0xcfc));
    check("absent", pci_read(0xfff8, 0, 4) == ~0u, "0x%x", pci_read(0xfff8, 0, 4));
    check("ecam", mmio_read32(pci_ecam_address(edu, 0)) == 0x11e81234, "0x%x",
          mmio_read32(pci_ecam_address(edu, 0)));
    pci_write(edu, PCI_INTLINE, 1, 0x5a);
    check("byte-write", pci_read(edu, PCI_INTLINE, 1) == 0x5a, "0x%x", pci_read(edu, PCI_INTLINE, 1));
    *(volatile u8 *)pci_ecam_address(edu, PCI_INTLINE) = 0xa5;
    check("ecam-byte-write", pci_read(edu, PCI_INTLINE, 1) == 0xa5, "0x%x", pci_read(edu, PCI_INTLINE, 1));
    if (on_sluice) {
        /* Straddling and wide: whatever they do, they go through the judge. */
        mmio_write32(pci_ecam_address(HOST_BRIDGE, PCIEXBAR) - 2, ~0u);
        mmio_write64(pci_ecam_address(HOST_BRIDGE, PCIEXBAR) - 4, ~0ull);
        mmio_write64(pci_ecam_address(HOST_BRIDGE, PCIEXBAR) + 1, ~0ull);
        all_there("straddling");
    }
}

static void sleep_states(void)
{
    const u8 *fadt = acpi_table("FACP");
    u32 port;

    memcpy(&port, fadt + 64, sizeof(port));
    part("sleep");
    /* Type 1 is S3 on this chipset. As a word, and as the byte that holds both fields. */
    outw((u16)port, 1u << 10 | 1u << 13 | 1);
    outb((u16)(port + 1), 1u << 2 | 1u << 5);
    check("awake", true, "unreachable");
    check("port", inw((u16)port) & 1, "PM1_CNT 0x%x", inw((u16)port));
}

void guest_main(void)
{
    if (!edu_find(0, &edu) || !vtd_find()) {
        check("setup", false, "edu 0x%x, unit at 0x%lx", edu, vtd_base);
        return;
    }
    part("start");
    all_there("before");
    config_access();
    if (on_sluice) {
        bars();
        chipset();
        sleep_states();
    }
    part("end");
    all_there("after");
}
