/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/vmx/controls.h"
#include "arch/x86.h"

/* Needed; taken where there is one; off; off, but it must be possible to set it. */
enum wish { NEED, LIKE, OFF, ABLE };
enum word { PIN, PROC, PROC2, EXIT, ENTRY, NR_WORDS };

/* Each control: what we want of it, its bit, its name in the manual. */
static const struct {
    enum word word;
    enum wish wish;
    u64 bit;
    const char *name;
} controls[] = {
    { PIN, OFF, PIN_INTERRUPT, "clearing 'external-interrupt exiting'" },
    { PIN, NEED, PIN_NMI, "'NMI exiting'" },
    { PIN, NEED, PIN_VIRTUAL_NMI, "'virtual NMIs'" },
    { PROC, OFF, BIT(2), "clearing 'interrupt-window exiting'" },
    { PROC, OFF, PROC_HLT, "clearing 'HLT exiting'" },
    { PROC, OFF, BIT(9), "clearing 'INVLPG exiting'" },
    { PROC, OFF, BIT(10), "clearing 'MWAIT exiting'" },
    { PROC, OFF, BIT(11), "clearing 'RDPMC exiting'" },
    { PROC, OFF, BIT(12), "clearing 'RDTSC exiting'" },
    { PROC, OFF, PROC_CR3_LOAD, "clearing 'CR3-load exiting'" },
    { PROC, OFF, PROC_CR3_STORE, "clearing 'CR3-store exiting'" },
    { PROC, OFF, BIT(19), "clearing 'CR8-load exiting'" },
    { PROC, OFF, BIT(20), "clearing 'CR8-store exiting'" },
    { PROC, OFF, BIT(23), "clearing 'MOV-DR exiting'" },
    { PROC, OFF, PROC_IO, "clearing 'unconditional I/O exiting'" },
    { PROC, OFF, BIT(29), "clearing 'MONITOR exiting'" },
    { PROC, OFF, BIT(30), "clearing 'PAUSE exiting'" },
    { PROC, NEED, BIT(3), "'use TSC offsetting'" },
    { PROC, NEED, BIT(25), "'use I/O bitmaps'" },
    { PROC, NEED, PROC_MSR_BITMAPS, "'use MSR bitmaps'" },
    { PROC, NEED, PROC_SECONDARY, "'activate secondary controls'" },
    { PROC, ABLE, PROC_NMI_WINDOW, "'NMI-window exiting'" },
    { PROC2, NEED, PROC2_EPT, "'enable EPT'" },
    { PROC2, NEED, PROC2_VPID, "'enable VPID'" },
    { PROC2, NEED, PROC2_UNRESTRICTED_GUEST, "'unrestricted guest'" },
    /* The instructions behind these raise #UD unless enabled, whatever CPUID says. */
    { PROC2, LIKE, PROC2_RDTSCP, NULL },
    { PROC2, LIKE, PROC2_INVPCID, NULL },
    { PROC2, LIKE, PROC2_XSAVES, NULL },
    { PROC2, LIKE, PROC2_USER_WAIT, NULL },
    { EXIT, NEED, BIT(9), "'host address-space size'" },
    { EXIT, NEED, BIT(2), "'save debug controls'" },
    { EXIT, NEED, BIT(18), "'save IA32_PAT'" },
    { EXIT, NEED, BIT(19), "'load IA32_PAT' on exit" },
    { EXIT, NEED, BIT(20), "'save IA32_EFER'" },
    { EXIT, NEED, EXIT_LOAD_EFER, "'load IA32_EFER' on exit" },
    { ENTRY, NEED, BIT(2), "'load debug controls'" },
    { ENTRY, NEED, ENTRY_LOAD_PAT, "'load IA32_PAT' on entry" },
    { ENTRY, NEED, BIT(15), "'load IA32_EFER' on entry" },
    { ENTRY, OFF, ENTRY_IA32E, "clearing 'IA-32e mode guest'" },
};

/* Any of the bits. */
static const struct {
    u64 bits;
    const char *name;
} ept_abilities[] = {
    { EPT_WALK_4, "EPT with a page-walk length of 4" },
    { BIT(14), "write-back EPT structures" },
    { EPT_2M, "EPT with 2 MiB pages" },
    { EPT_INVEPT, "INVEPT" },
    { BIT(25) | EPT_INVEPT_ALL, "INVEPT" }, /* of one table, of all */
    { BIT(32), "INVVPID" },
    { EPT_INVVPID_ONE | EPT_INVVPID_ALL, "INVVPID" },
};

/* VME to UMIP and LA57; FSGSBASE, PCIDE, OSXSAVE; SMEP to PKS: their state is in the VMCS or stays in the CPU
 * while Sluice, which uses none of it, runs. */
#define CR4_KNOWN (MASK(12, 0) | MASK(18, 16) | MASK(24, 20))

const char *vmx_choose_controls(const struct vmx_caps *caps, struct vmx_controls *out)
{
    bool exact = caps->basic & BASIC_TRUE;
    const u64 words[NR_WORDS] = {
        exact ? caps->true_pin : caps->pin,   exact ? caps->true_proc : caps->proc,   caps->proc2,
        exact ? caps->true_exit : caps->exit, exact ? caps->true_entry : caps->entry,
    };
    u32 *const values[NR_WORDS] = { &out->pin, &out->proc, &out->proc2, &out->exit, &out->entry };

    *out = (struct vmx_controls){ .ept_1g = caps->ept_vpid & BIT(17), .timer = words[PIN] >> 32 & PIN_TIMER };
    if (field_get(caps->basic, BASIC_MEM_TYPE) != TYPE_WB)
        return "write-back VMCS regions";
    /* A 1 in the low half must be 1, a 0 in the high half must be 0 (A.3.1). The rest of what must be 1 are
     * reserved bits that older software expects (A.2, the default1 class). */
    for (size_t i = 0; i < NR_WORDS; i++)
        *values[i] = (u32)words[i];
    for (size_t i = 0; i < ARRAY_SIZE(controls); i++) {
        u64 bit = controls[i].bit, word = words[controls[i].word];
        bool must = word & bit, may = word >> 32 & bit;
        enum wish wish = controls[i].wish;

        if (wish == OFF ? must : wish != LIKE && !may)
            return controls[i].name;
        if ((wish == NEED || wish == LIKE) && may)
            *values[controls[i].word] |= (u32)bit;
    }
    for (size_t i = 0; i < ARRAY_SIZE(ept_abilities); i++)
        if (!(caps->ept_vpid & ept_abilities[i].bits))
            return ept_abilities[i].name;

    /* An unrestricted guest chooses PE and PG itself (A.7). */
    out->cr0_set = out->cr0_mask = caps->cr0_fixed0 & ~(CR0_PE | CR0_PG);
    /* With the guest's MCE clear, a machine check would be a shutdown before it is an exit (26.2). */
    out->cr4_set = caps->cr4_fixed0 | CR4_MCE;
    out->cr4_guest = caps->cr4_fixed1 & CR4_KNOWN & ~CR4_VMXE;
    out->cr4_mask = out->cr4_set | ~out->cr4_guest;
    return NULL;
}

bool vmx_allow(u64 *control)
{
    if (!(*control & FEATURE_LOCK))
        *control |= FEATURE_VMX | FEATURE_LOCK;
    return *control & FEATURE_VMX;
}
