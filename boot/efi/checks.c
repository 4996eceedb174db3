/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine lacks is found while firmware can still go on to something else. The judgement is that of
 * the hypervisor: its own code is compiled into the application where it needs nothing but memory.
 */
#include "boot/efi/efi_app.h"
#include "arch/acpi.h"
#include "arch/cpu.h"
#include "arch/x86.h"
#include "hv/loader.h"
#include "hv/options.h"
#include "hv/mem.h"

#define CPUID_1_VMX  BIT(5)  /* ECX */
#define CPUID_81_SVM BIT(2)  /* ECX */
#define CPUID_81_NX  BIT(20) /* EDX */
#define CPUID_8A_NPT BIT(0)  /* EDX */

static void check_svm(void)
{
    u32 highest[4], features[4] = { 0 };

    if (rdmsr(MSR_VM_CR) & VM_CR_SVMDIS)
        refuse("virtualization (SVM) is switched off by firmware; enable SVM or AMD-V in its settings");
    cpuid(0x80000000, 0, highest);
    if (highest[0] >= 0x8000000a)
        cpuid(0x8000000a, 0, features);
    if (!(features[3] & CPUID_8A_NPT))
        refuse("this CPU's virtualization (SVM) has no nested paging");
}

static void check_vmx(void)
{
    u64 control = rdmsr(MSR_FEATURE_CONTROL);

    if (control & FEATURE_LOCK && !(control & FEATURE_VMX))
        refuse("virtualization (VMX) is locked off by firmware; enable VT-x in its settings");
}

static void check_cpu(void)
{
    u32 basic[4], extended[4];

    cpuid(1, 0, basic);
    cpuid(0x80000001, 0, extended);
    if (!(extended[3] & CPUID_81_NX))
        refuse("this CPU has no no-execute pages, or firmware has turned them off");
    if (extended[2] & CPUID_81_SVM)
        check_svm();
    else if (basic[2] & CPUID_1_VMX)
        check_vmx();
    else
        refuse("this CPU has no virtualization (SVM or VMX), or firmware hides it");
}

void machine_check(u64 rsdp)
{
    check_cpu();
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
