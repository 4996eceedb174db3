/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding the devices whose addresses never move.
 */
#include "hv/fixed.h"
#include "arch/acpi.h"
#include "arch/pci.h"
#include "arch/string.h"
#include "hv/mem.h"
#include "hv/options.h"

/* MADT (ACPI 5.2.12) and HPET tables. */
#define MADT_IOAPIC      1
#define MADT_IOAPIC_ADDR 4
#define HPET_ADDRESS     44
#define HPET_NUMBER      52

/* Where chipsets put what ACPI need not name. The interrupt range is the local APICs' and every MSI's. */
static const struct {
    u64 base, size;
} everywhere[] = {
    { 0x000a0000, 0x60000 },   /* VGA and compatibility SMRAM, option ROMs, BIOS */
    { 0xfec00000, 0x100000 },  /* IOAPICs */
    { 0xfed00000, 0x1000 },    /* HPET */
    { 0xfed40000, 0x5000 },    /* TPM */
    { 0xfee00000, 0x100000 },  /* interrupts */
    { 0xff000000, 0x1000000 }, /* flash */
};

const u8 *fixed_ioapic_next(const u8 *entry, u64 *address)
{
    u32 narrow;

    while ((entry = acpi_madt_next(entry)) != NULL)
        if (entry[0] == MADT_IOAPIC && entry[1] >= MADT_IOAPIC_ADDR + sizeof(narrow)) {
            memcpy(&narrow, entry + MADT_IOAPIC_ADDR, sizeof(narrow));
            *address = narrow;
            break;
        }
    return entry;
}

u64 fixed_hpet(u8 *number)
{
    *number = (u8)acpi_field(acpi_find("HPET"), HPET_NUMBER, 1);
    return acpi_field(acpi_find("HPET"), HPET_ADDRESS, 8);
}

static void declare(u64 base, u64 size)
{
    need(mem_declare(base, size, MEM_DEVICE), "declaring fixed devices");
}

void fixed_declare(void)
{
    u8 number;
    u64 address, hpet = fixed_hpet(&number);

    for (unsigned i = 0; i < ARRAY_SIZE(everywhere); i++)
        declare(everywhere[i].base, everywhere[i].size);
    for (unsigned i = 0; i < pci_ecam_count(); i++) {
        const struct ecam *e = pci_ecam(i);
        declare(e->base + ((u64)e->first_bus << 20), (u64)(e->last_bus - e->first_bus + 1) << 20);
    }
    for (const u8 *entry = NULL; (entry = fixed_ioapic_next(entry, &address)) != NULL;)
        declare(address, PAGE_SIZE);
    if (hpet)
        declare(hpet, PAGE_SIZE);
}
