/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/vmx/controls.h"
#include "arch/x86.h"

enum wish { NEED, LIKE, OFF };

/* One control: its bit, what we want of it, its name in the manual. */
struct control {
    u64 bit;
    enum wish wish;
    const char *name;
};

static const struct control pin_controls[] = {
    { PIN_INTERRUPT, OFF, "clearing 'external-interrupt exiting'" },
    { PIN_NMI, NEED, "'NMI exiting'" },
    { PIN_VIRTUAL_NMI, NEED, "'virtual NMIs'" },
};

static const struct control proc_controls[] = {
    { PROC_INTERRUPT_WINDOW, OFF, "clearing 'interrupt-window exiting'" },
    { PROC_HLT, OFF, "clearing 'HLT exiting'" },
    { PROC_INVLPG, OFF, "clearing 'INVLPG exiting'" },
    { PROC_MWAIT, OFF, "clearing 'MWAIT exiting'" },
    { PROC_RDPMC, OFF, "clearing 'RDPMC exiting'" },
    { PROC_RDTSC, OFF, "clearing 'RDTSC exiting'" },
    { PROC_CR3_LOAD, OFF, "clearing 'CR3-load exiting'" },
    { PROC_CR3_STORE, OFF, "clearing 'CR3-store exiting'" },
    { PROC_CR8_LOAD, OFF, "clearing 'CR8-load exiting'" },
    { PROC_CR8_STORE, OFF, "clearing 'CR8-store exiting'" },
    { PROC_MOV_DR, OFF, "clearing 'MOV-DR exiting'" },
    { PROC_IO, OFF, "clearing 'unconditional I/O exiting'" },
    { PROC_MONITOR, OFF, "clearing 'MONITOR exiting'" },
    { PROC_PAUSE, OFF, "clearing 'PAUSE exiting'" },
    { PROC_TSC_OFFSET, NEED, "'use TSC offsetting'" },
    { PROC_IO_BITMAPS, NEED, "'use I/O bitmaps'" },
    { PROC_MSR_BITMAPS, NEED, "'use MSR bitmaps'" },
    { PROC_SECONDARY, NEED, "'activate secondary controls'" },
};

/* The instructions behind the last four raise #UD unless enabled, whatever CPUID says. */
static const struct control proc2_controls[] = {
    { PROC2_EPT, NEED, "'enable EPT'" },
    { PROC2_VPID, NEED, "'enable VPID'" },
    { PROC2_UNRESTRICTED_GUEST, NEED, "'unrestricted guest'" },
    { PROC2_RDTSCP, LIKE, NULL },
    { PROC2_INVPCID, LIKE, NULL },
    { PROC2_XSAVES, LIKE, NULL },
    { PROC2_USER_WAIT, LIKE, NULL },
};

static const struct control exit_controls[] = {
    { EXIT_HOST_64, NEED, "'host address-space size'" }, { EXIT_SAVE_DEBUG, NEED, "'save debug controls'" },
    { EXIT_SAVE_PAT, NEED, "'save IA32_PAT'" },          { EXIT_LOAD_PAT, NEED, "'load IA32_PAT' on exit" },
    { EXIT_SAVE_EFER, NEED, "'save IA32_EFER'" },        { EXIT_LOAD_EFER, NEED, "'load IA32_EFER' on exit" },
};

static const struct control entry_controls[] = {
    { ENTRY_LOAD_DEBUG, NEED, "'load debug controls'" },
    { ENTRY_LOAD_PAT, NEED, "'load IA32_PAT' on entry" },
    { ENTRY_LOAD_EFER, NEED, "'load IA32_EFER' on entry" },
    { ENTRY_IA32E, OFF, "clearing 'IA-32e mode guest'" },
};

/* `cap`: a 1 in the low half must be 1, a 0 in the high half must be 0 (A.3.1). */
static const char *choose(const struct control *list, size_t n, u64 cap, u32 *value)
{
    u32 must = (u32)cap, may = (u32)(cap >> 32);

    /* The rest of what must be 1 are reserved bits that older software expects (A.2, the default1 class). */
    *value = must;
    for (size_t i = 0; i < n; i++) {
        const struct control *c = &list[i];

        if ((c->wish == NEED && !(may & c->bit)) || (c->wish == OFF && must & c->bit))
            return c->name;
        if (c->wish != OFF)
            *value |= may & c->bit;
    }
    return NULL;
}

static const char *check_ept(u64 cap)
{
    if (!(cap & EPT_WALK_4))
        return "EPT with a page-walk length of 4";
    if (!(cap & EPT_TYPE_WB))
        return "write-back EPT structures";
    if (!(cap & EPT_2M))
        return "EPT with 2 MiB pages";
    if (!(cap & EPT_INVEPT) || !(cap & (EPT_INVEPT_ONE | EPT_INVEPT_ALL)))
        return "INVEPT";
    if (!(cap & EPT_INVVPID) || !(cap & (EPT_INVVPID_ONE | EPT_INVVPID_ALL)))
        return "INVVPID";
    return NULL;
}

/* VME to UMIP and LA57; FSGSBASE, PCIDE, OSXSAVE; SMEP to PKS: their state is in the VMCS or stays in the CPU
 * while Sluice, which uses none of it, runs. */
#define CR4_KNOWN (MASK(12, 0) | MASK(18, 16) | MASK(24, 20))

static void choose_cr(const struct vmx_caps *caps, struct vmx_controls *out)
{
    /* An unrestricted guest chooses PE and PG itself (A.7). */
    out->cr0_set = caps->cr0_fixed0 & ~(CR0_PE | CR0_PG);
    out->cr0_mask = out->cr0_set;
    /* With the guest's MCE clear, a machine check would be a shutdown before it is an exit (26.2). */
    out->cr4_set = caps->cr4_fixed0 | CR4_MCE;
    out->cr4_guest = caps->cr4_fixed1 & CR4_KNOWN & ~CR4_VMXE;
    out->cr4_mask = out->cr4_set | ~out->cr4_guest;
}

const char *vmx_choose_controls(const struct vmx_caps *caps, struct vmx_controls *out)
{
    bool exact = caps->basic & BASIC_TRUE;
    const char *missing = NULL;

    *out = (struct vmx_controls){ 0 };
    if (field_get(caps->basic, BASIC_MEM_TYPE) != TYPE_WB)
        return "write-back VMCS regions";
    missing = choose(pin_controls, ARRAY_SIZE(pin_controls), exact ? caps->true_pin : caps->pin, &out->pin);
    if (!missing)
        missing = choose(proc_controls, ARRAY_SIZE(proc_controls), exact ? caps->true_proc : caps->proc,
                         &out->proc);
    if (!missing)
        missing = choose(proc2_controls, ARRAY_SIZE(proc2_controls), caps->proc2, &out->proc2);
    if (!missing)
        missing = choose(exit_controls, ARRAY_SIZE(exit_controls), exact ? caps->true_exit : caps->exit,
                         &out->exit);
    if (!missing)
        missing = choose(entry_controls, ARRAY_SIZE(entry_controls), exact ? caps->true_entry : caps->entry,
                         &out->entry);
    if (!missing)
        missing = check_ept(caps->ept_vpid);
    if (!missing && !((exact ? caps->true_proc : caps->proc) >> 32 & PROC_NMI_WINDOW))
        missing = "'NMI-window exiting'";
    if (missing)
        return missing;
    out->ept_1g = caps->ept_vpid & EPT_1G;
    out->timer = (exact ? caps->true_pin : caps->pin) >> 32 & PIN_TIMER;
    choose_cr(caps, out);
    return NULL;
}

bool vmx_allow(u64 *control)
{
    if (!(*control & FEATURE_LOCK))
        *control |= FEATURE_VMX | FEATURE_LOCK;
    return *control & FEATURE_VMX;
}
