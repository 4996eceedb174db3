/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Can this CPU run guests? Nothing is changed, so that the EFI application asks the same while firmware can
 * still go on to something else.
 */
#include "arch/probe.h"
#include "arch/cpu.h"
#include "arch/log.h"
#include "arch/x86.h"

struct vmx_controls vmx_controls;
struct vmx_caps vmx_caps;

bool vmx_present(void)
{
    u32 r[4];

    cpuid(1, 0, r);
    return r[2] & BIT(5);
}

/* Those read before say whether this one is there (SDM 3D, A.2, A.3.3, A.10). */
static bool vmx_has(const u64 *cap)
{
    if (cap == &vmx_caps.proc2)
        return vmx_caps.proc >> 32 & PROC_SECONDARY;
    if (cap == &vmx_caps.ept_vpid)
        return vmx_caps.proc2 >> 32 & (PROC2_EPT | PROC2_VPID);
    return cap < &vmx_caps.true_pin || vmx_caps.basic & BASIC_TRUE;
}

static const char *vmx_probe(void)
{
    static char text[160];
    u64 control = rdmsr(MSR_FEATURE_CONTROL);

    if (!vmx_allow(&control))
        return "firmware has locked VMX off; enable virtualisation (Intel VT-x) in the firmware's setup";
    for (u64 *cap = &vmx_caps.basic; cap <= &vmx_caps.true_entry; cap++)
        if (vmx_has(cap))
            *cap = rdmsr(MSR_VMX_BASIC + (u32)(cap - &vmx_caps.basic));
    const char *missing = vmx_choose_controls(&vmx_caps, &vmx_controls);
    if (!missing)
        return NULL;
    fmt_string(
        text, sizeof(text),
        "this CPU's VMX lacks %s; use one from Intel's Westmere (2010) on, or in Bochs corei7_skylake_x",
        missing);
    return text;
}

static const char *svm_probe(void)
{
    u32 r[4];

    cpuid(0x80000001, 0, r);
    if (!(r[2] & BIT(2)))
        return "this CPU has no virtualization (Intel VMX or AMD SVM), or firmware hides it; use another, or give QEMU "
               "`-cpu max`";
    if (rdmsr(MSR_VM_CR) & VM_CR_SVMDIS)
        return "firmware has turned virtualization (AMD SVM) off; turn it on in the firmware's setup";
    cpuid(0x8000000a, 0, r);
    if (!(r[3] & BIT(0)))
        return "this CPU has no nested paging; use a newer one, or give QEMU `-cpu max`";
    return NULL;
}

const char *cpu_probe(void)
{
    return vmx_present() ? vmx_probe() : svm_probe();
}
