/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts as a system programs them that knows nothing of remapping: an IOAPIC's pins, MSI (edu) and MSI-X
 * (e1000e). They arrive, and what was programmed is what is read back, at its place before and after the BAR
 * with the table has moved.
 */
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/edu.h"
#include "tests/guests/lib/pci.h"

#define LAPIC       0xfee00000ull
#define IOAPIC      0xfec00000ull
#define PIT_HZ      1193182u
#define PIT_PIN     2u /* where PCs have it (ACPI: source override of IRQ 0) */
#define CAP_MSI     0x05
#define CAP_MSIX    0x11
#define EDU_RAISE   0x60
#define EDU_LOWER   0x64
#define E1000E_ICR  0xc0
#define E1000E_ICS  0xc8
#define E1000E_IMS  0xd0
#define E1000E_IMC  0xd8
#define E1000E_IVAR 0xe4
#define CAUSE_OTHER BIT(24)

static volatile u32 seen[256];

static void count(u64 vector)
{
    seen[vector & 0xff]++;
    mmio_write32(LAPIC + 0xb0, 0); /* EOI */
}

static bool arrives(u32 vector)
{
    u64 deadline = deadline_in_ms(500);

    __asm__ volatile("sti");
    while (!seen[vector] && !deadline_over(deadline)) {
        relax();
    }
    __asm__ volatile("cli");
    return seen[vector] != 0;
}

static void expect(const char *name, u32 vector)
{
    check(name, arrives(vector), "vector 0x%x did not come", vector);
    seen[vector] = 0;
}

static u32 capability(u32 sid, u32 id)
{
    u32 at = pci_read(sid, 0x34, 1);

    for (u32 i = 0; i < 48 && at >= 0x40; i++, at = pci_read(sid, at + 1, 1)) {
        if (pci_read(sid, at, 1) == id) {
            return at;
        }
    }
    return 0;
}

static u32 ioapic_read(u32 reg)
{
    mmio_write32(IOAPIC, reg);
    return mmio_read32(IOAPIC + 0x10);
}

static void ioapic_write(u32 reg, u32 value)
{
    mmio_write32(IOAPIC, reg);
    mmio_write32(IOAPIC + 0x10, value);
}

static void pit_once(void)
{
    outb(0x43, 0x30);
    outb(0x40, (u8)(PIT_HZ / 100));
    outb(0x40, (u8)(PIT_HZ / 100 >> 8));
}

static void ioapic_pin(void)
{
    u32 apic = mmio_read32(LAPIC + 0x20) >> 24, low = 0x10 + 2 * PIT_PIN;

    part("ioapic");
    check("pins", (ioapic_read(1) >> 16 & 0xff) == 23, "version 0x%x", ioapic_read(1));
    ioapic_write(low + 1, apic << 24);
    ioapic_write(low, 0x41);
    check("reads", ioapic_read(low) == 0x41 && ioapic_read(low + 1) == apic << 24, "0x%x 0x%x",
          ioapic_read(low), ioapic_read(low + 1));
    pit_once();
    expect("pit", 0x41);
    ioapic_write(low, 0x42);
    pit_once();
    expect("other-vector", 0x42);
    check("not-the-old-one", !seen[0x41], "vector 0x41 came again");
    ioapic_write(low, 0x10942); /* masked, logical, lowest priority */
    check("reads-masked", ioapic_read(low) == 0x10942, "0x%x", ioapic_read(low));
}

static void edu_msi(void)
{
    u32 sid, cap;
    u64 bar;

    part("msi");
    if (!edu_find(0, &sid)) {
        check("edu", false, "there is none");
        return;
    }
    cap = capability(sid, CAP_MSI);
    bar = pci_bar(sid, 0);
    pci_write(sid, cap + 4, 4, LAPIC);
    pci_write(sid, cap + 8, 4, 0);
    pci_write(sid, cap + 12, 2, 0x51);
    pci_write(sid, cap + 2, 2, 1);
    check("reads", pci_read(sid, cap + 4, 4) == LAPIC && pci_read(sid, cap + 12, 2) == 0x51, "0x%x 0x%x",
          pci_read(sid, cap + 4, 4), pci_read(sid, cap + 12, 2));
    check("reads-ecam",
          mmio_read32(pci_ecam_address(sid, cap + 4)) == LAPIC &&
              (u16)mmio_read32(pci_ecam_address(sid, cap + 12)) == 0x51,
          "0x%x", mmio_read32(pci_ecam_address(sid, cap + 4)));
    mmio_write32(bar + EDU_RAISE, 1);
    expect("edu", 0x51);
    mmio_write32(bar + EDU_LOWER, 1);
    pci_write(sid, cap + 12, 2, 0x52);
    mmio_write32(bar + EDU_RAISE, 1);
    expect("other-vector", 0x52);
    mmio_write32(bar + EDU_LOWER, 1);
    check("not-the-old-one", !seen[0x51], "vector 0x51 came again");
    pci_write(sid, cap + 2, 2, 0);
}

static void e1000e_msix(void)
{
    u32 sid = pci_find(0x8086, 0x10d3, 0x10d3, 0), cap, bir;
    u64 regs, table;

    part("msix");
    if (sid == PCI_NONE) {
        check("e1000e", false, "there is none");
        return;
    }
    cap = capability(sid, CAP_MSIX);
    pci_write(sid, PCI_COMMAND, 2, PCI_COMMAND_MEM | PCI_COMMAND_BM);
    bir = pci_read(sid, cap + 4, 4) & 7;
    regs = pci_bar(sid, 0);
    table = pci_bar(sid, bir) + (pci_read(sid, cap + 4, 4) & ~7u);
    mmio_write32(table + 0x10, (u32)LAPIC);
    mmio_write32(table + 0x14, 0);
    mmio_write32(table + 0x18, 0x61);
    mmio_write32(table + 0x1c, 0);
    pci_write(sid, cap + 2, 2, BIT(15));
    check("reads", mmio_read64(table + 0x10) == LAPIC && mmio_read64(table + 0x18) == 0x61, "0x%lx 0x%lx",
          mmio_read64(table + 0x10), mmio_read64(table + 0x18));
    mmio_write32(regs + E1000E_IVAR, 9u << 16); /* other causes: vector 1 */
    mmio_write32(regs + E1000E_IMS, (u32)CAUSE_OTHER);
    mmio_write32(regs + E1000E_ICS, (u32)CAUSE_OTHER);
    expect("e1000e", 0x61);

    /* To just behind the BAR of its registers, where nothing is. */
    part("msix/moved");
    table = regs + 0x400000;
    pci_write(sid, PCI_COMMAND, 2, PCI_COMMAND_BM);
    pci_write(sid, 0x10 + 4 * bir, 4, (u32)table);
    pci_write(sid, PCI_COMMAND, 2, PCI_COMMAND_MEM | PCI_COMMAND_BM);
    check("reads", mmio_read64(table + 0x10) == LAPIC && mmio_read32(table + 0x18) == 0x61, "0x%lx 0x%x",
          mmio_read64(table + 0x10), mmio_read32(table + 0x18));
    /* It tells of a cause as often as it likes until that is cleared; what has come by then is taken. */
    mmio_write32(regs + E1000E_IMC, ~0u);
    mmio_write32(regs + E1000E_ICR, ~0u);
    mmio_write32(table + 0x18, 0x62);
    __asm__ volatile("sti; nop; nop; cli");
    seen[0x61] = 0;
    mmio_write32(regs + E1000E_IMS, (u32)CAUSE_OTHER);
    mmio_write32(regs + E1000E_ICS, (u32)CAUSE_OTHER);
    expect("e1000e", 0x62);
    check("not-the-old-one", !seen[0x61], "vector 0x61 came again");
}

void guest_main(void)
{
    outb(0x21, 0xff); /* not through the 8259 */
    outb(0xa1, 0xff);
    on_interrupt = count;
    mmio_write32(LAPIC + 0xf0, 0x1ff);
    mmio_write32(LAPIC + 0x80, 0);
    ioapic_pin();
    edu_msi();
    e1000e_msix();
}
