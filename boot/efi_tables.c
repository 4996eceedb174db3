/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loader's copy of the RSDP is no use to the guest, which must find the original; under EFI only the
 * configuration tables say where that is (UEFI 4.6).
 */
#include "boot/efi_tables.h"
#include "arch/paging.h"
#include "arch/string.h"

struct efi_guid {
    u8 bytes[16];
};

struct efi_system_table {
    u64 signature;
    u32 revision, header_size, crc32, reserved;
    u64 vendor;
    u32 vendor_revision, pad;
    u64 console[6];
    u64 runtime_services, boot_services;
    u64 nr_tables;
    u64 tables; /* physical address of nr_tables struct efi_config_table */
};
_Static_assert(offsetof(struct efi_system_table, nr_tables) == 104, "UEFI 4.3");

struct efi_config_table {
    struct efi_guid guid;
    u64 table;
};

#define EFI_SYSTEM_TABLE_SIGNATURE 0x5453595320494249ull /* "IBI SYST" */
#define MAX_CONFIG_TABLES          256

static const struct efi_guid acpi_20_guid = {
    { 0x71, 0xe8, 0x68, 0x88, 0xf1, 0xe4, 0xd3, 0x11, 0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81 },
};
static const struct efi_guid acpi_10_guid = {
    { 0x30, 0x2d, 0x9d, 0xeb, 0x88, 0x2d, 0xd3, 0x11, 0x9a, 0x16, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d },
};

static bool below(u64 pa, u64 size, u64 limit)
{
    return pa && pa < limit && size <= limit - pa;
}

u64 efi_find_rsdp(u64 system_table, u64 limit)
{
    u64 rsdp = 0;

    if (!below(system_table, sizeof(struct efi_system_table), limit))
        return 0;

    const struct efi_system_table *st = phys_to_virt(system_table);
    u64 nr = MIN(st->nr_tables, MAX_CONFIG_TABLES);
    if (st->signature != EFI_SYSTEM_TABLE_SIGNATURE ||
        !below(st->tables, nr * sizeof(struct efi_config_table), limit))
        return 0;

    const struct efi_config_table *tables = phys_to_virt(st->tables);
    for (u64 i = 0; i < nr; i++) {
        if (!memcmp(&tables[i].guid, &acpi_20_guid, sizeof(acpi_20_guid)))
            return tables[i].table;
        if (!memcmp(&tables[i].guid, &acpi_10_guid, sizeof(acpi_10_guid)))
            rsdp = tables[i].table;
    }
    return rsdp;
}
