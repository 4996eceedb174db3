/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine lacks is found while firmware can still go on to something else. The judgement is that of
 * the hypervisor: its own code is compiled into the application where it needs nothing but memory.
 */
#include "boot/efi/efi_app.h"
#include "arch/acpi.h"
#include "arch/cpu.h"
#include "arch/probe.h"
#include "hv/loader.h"
#include "hv/options.h"
#include "hv/mem.h"

void machine_check(u64 rsdp)
{
    const char *missing = cpu_probe();
    u32 r[4];

    cpuid(0x80000001, 0, r);
    if (!(r[3] & BIT(20)))
        refuse("this CPU has no no-execute pages, or firmware has turned them off");
    if (missing)
        refuse("%s", missing);
    if (acpi_init(rsdp))
        refuse("no ACPI tables; Sluice finds the VT-d units through them");
    if (!acpi_find("DMAR"))
        refuse("no VT-d: firmware has no DMAR table; enable VT-d (DMA remapping) in its settings");
}

void boot_check(const struct boot_info *info)
{
    u64 size;

    options_parse(info->cmdline);
    if (info->ranges_cut)
        refuse("firmware's memory map has too many ranges; at most %d", BOOT_MAX_RANGES);
    (void)region_choose(info, &size);
    guest_check(info);
}
