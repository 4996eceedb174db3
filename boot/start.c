/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first C code after multiboot2.asm: console and exception tables, then the boot information, then hv/.
 */
#include "boot/multiboot2.h"
#include "boot/efi_tables.h"
#include "arch/cpu.h"
#include "arch/log.h"
#include "arch/paging.h"
#include "arch/serial.h"
#include "arch/string.h"
#include "hv/main.h"

static struct boot_info info;

void __noreturn boot_start(u64 info_pa, u64 load_base, u32 loader);

static void from_multiboot2(u64 mbi_pa)
{
    const struct mb2_header *mbi = phys_to_virt(mbi_pa);

    if (multiboot2_parse(mbi, MIN(mbi->total_size, MB2_MAX_SIZE), &info))
        refuse("the boot loader's multiboot2 information is broken; use another loader or version");
    info.rsdp = efi_find_rsdp(info.efi_system_table);
}

void __noreturn boot_start(u64 info_pa, u64 load_base, u32 loader)
{
    serial_init();
    paging_early(load_base);
    percpu_init(percpu_of(0));

    if (loader == BOOT_BY_EFI) {
        memcpy(&info, phys_to_virt(info_pa), sizeof(info));
        refuse_resets = true;
        info.path = "EFI"; /* the application's own string is no longer there */
    } else {
        from_multiboot2(info_pa);
    }
    info.image_base = load_base;
    info.image_size = image_size();
    hv_main(&info);
}
