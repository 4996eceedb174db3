/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What EFI firmware leaves behind after its boot services have ended.
 */
#ifndef BOOT_EFI_TABLES_H
#define BOOT_EFI_TABLES_H

#include "arch/types.h"

/*
 * Physical address of ACPI's RSDP by the EFI system table's configuration tables; 0 when there is none or the
 * tables do not lie below `limit`. Only before paging_relocate().
 */
u64 efi_find_rsdp(u64 system_table, u64 limit);

#endif
