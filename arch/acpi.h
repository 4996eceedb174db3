/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding ACPI tables. Firmware's tables are input like any other: every length is checked before use and a
 * table with a wrong checksum does not exist.
 */
#ifndef ARCH_ACPI_H
#define ARCH_ACPI_H

#include "arch/types.h"
#include "arch/string.h"

struct acpi_header {
    char signature[4];
    u32 length; /* bytes, header included */
    u8 revision;
    u8 checksum; /* all `length` bytes sum to 0 */
    char oem_id[6];
    char oem_table_id[8];
    u32 oem_revision;
    u32 creator_id;
    u32 creator_revision;
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_header) == 36, "ACPI 5.2.6");

/* rsdp = physical address, 0: search the BIOS areas. Returns 0, or ERR_NODEV when there is none. */
int acpi_init(u64 rsdp) __must_check;

/* The physical address in use, for the guest. */
u64 acpi_rsdp(void);

/* NULL when absent or broken (a broken table is also logged). Mapped writable: the DMAR is edited in place.
 */
struct acpi_header *acpi_find(const char signature[4]);

/* A little-endian field of a table; 0 where there is no such table or it is too short. */
static inline u64 acpi_field(const struct acpi_header *table, u32 off, unsigned width)
{
    u64 value = 0;

    if (table && off + width <= table->length)
        memcpy(&value, (const u8 *)table + off, width);
    return value;
}

/* The MADT's entries one by one (type, length, ...): NULL first, NULL after the last. */
const u8 *acpi_madt_next(const u8 *entry);

/* Makes the table sum to 0 again after an edit. */
void acpi_fix_checksum(struct acpi_header *table);

#endif
