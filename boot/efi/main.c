/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The EFI application's order of things.
 */
#include "boot/efi/efi_app.h"
#include "arch/string.h"
#include "boot/efi_tables.h"

EFI_STATUS efi_main(EFI_HANDLE self, EFI_SYSTEM_TABLE *st);

EFI_STATUS efi_main(EFI_HANDLE self, EFI_SYSTEM_TABLE *st)
{
    app_init(self, st);
    u64 rsdp = efi_find_rsdp((u64)st, ~0ull);
    machine_check(rsdp);

    /* Where 32-bit code can reach it. */
    struct boot_info *info = app_pages(sizeof(*info), BIT(32), "the boot information");
    memset(info, 0, sizeof(*info));
    info->path = "EFI";
    info->rsdp = rsdp;
    if (!ascii_of(info->loader, sizeof(info->loader), st->FirmwareVendor, sizeof(info->loader)))
        info->loader[0] = 0;
    guest_find(info);
    describe_memory(info);
    boot_check(info);
    describe_framebuffer(info);
    hand_over(info);
}
