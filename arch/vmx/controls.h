/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which VM-execution, exit and entry controls to use on a CPU with given capabilities (SDM 3D, appendix A).
 * Pure arithmetic: the host tests feed it the capability MSRs of real CPUs.
 */
#ifndef ARCH_VMX_CONTROLS_H
#define ARCH_VMX_CONTROLS_H

#include "arch/mtrr.h"

#define MSR_VMX_BASIC 0x480 /* the first of the capability MSRs, which are numbered like the fields below */

/* As read; what a CPU does not have is 0. Order and number as the MSRs 480h to 490h. */
struct vmx_caps {
    u64 basic, pin, proc, exit, entry, misc;
    u64 cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
    u64 vmcs_enum, proc2, ept_vpid;
    u64 true_pin, true_proc, true_exit, true_entry;
};
_Static_assert(sizeof(struct vmx_caps) == 17 * 8, "one MSR each");

#define BASIC_REVISION   MASK(30, 0)
#define BASIC_MEM_TYPE   MASK(53, 50)
#define BASIC_TRUE       BIT(55)
#define MISC_TIMER_SHIFT MASK(4, 0)

#define PIN_INTERRUPT   BIT(0)
#define PIN_NMI         BIT(3)
#define PIN_VIRTUAL_NMI BIT(5)
#define PIN_TIMER       BIT(6)

#define PROC_HLT         BIT(7)
#define PROC_CR3_LOAD    BIT(15)
#define PROC_CR3_STORE   BIT(16)
#define PROC_NMI_WINDOW  BIT(22)
#define PROC_IO          BIT(24)
#define PROC_MSR_BITMAPS BIT(28)
#define PROC_SECONDARY   BIT(31)

#define PROC2_EPT                BIT(1)
#define PROC2_RDTSCP             BIT(3)
#define PROC2_VPID               BIT(5)
#define PROC2_UNRESTRICTED_GUEST BIT(7)
#define PROC2_INVPCID            BIT(12)
#define PROC2_XSAVES             BIT(20)
#define PROC2_USER_WAIT          BIT(26)

#define EXIT_LOAD_EFER BIT(21)

#define ENTRY_IA32E    BIT(9)
#define ENTRY_LOAD_PAT BIT(14)

#define EPT_WALK_4      BIT(6)
#define EPT_2M          BIT(16)
#define EPT_INVEPT      BIT(20)
#define EPT_INVEPT_ALL  BIT(26)
#define EPT_INVVPID_ONE BIT(41)
#define EPT_INVVPID_ALL BIT(42)

struct vmx_controls {
    u32 pin, proc, proc2, exit, entry;
    bool ept_1g;
    bool timer;   /* the preemption timer, left off */
    u64 cr0_mask; /* bits whose real value the guest does not choose; it sees the shadow */
    u64 cr0_set;  /* of these, the ones that must be 1 */
    u64 cr4_mask, cr4_set;
    u64 cr4_guest; /* bits the guest may set; setting another is #GP */
};

/*
 * NULL, or the name of what this CPU lacks, as the manual calls it; then *out is not to be used.
 */
const char *vmx_choose_controls(const struct vmx_caps *caps, struct vmx_controls *out) __must_check;

/* IA32_FEATURE_CONTROL, as firmware left it, becomes what VMXON needs. False: it is locked without that. */
bool vmx_allow(u64 *control) __must_check;

#endif
