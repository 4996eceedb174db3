/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMCS: field encodings (SDM 3C, appendix B), exit reasons (appendix C), interruption information
 * (25.8.3) and the instructions that reach it.
 */
#ifndef ARCH_VMX_VMCS_H
#define ARCH_VMX_VMCS_H

#include "arch/types.h"

enum vmcs_field {
    VPID = 0x0000,

    /* Eight segments each, in the order ES CS SS DS FS GS LDTR TR; 2 apart. Bases and limits of GDTR and IDTR
     * follow. */
    GUEST_SELECTOR = 0x0800,
    GUEST_LIMIT = 0x4800,
    GUEST_ACCESS = 0x4814,
    GUEST_BASE = 0x6806,

    HOST_ES = 0x0c00,
    HOST_CS = 0x0c02,
    HOST_SS = 0x0c04,
    HOST_DS = 0x0c06,
    HOST_FS = 0x0c08,
    HOST_GS = 0x0c0a,
    HOST_TR = 0x0c0c,

    IO_BITMAP_A = 0x2000,
    IO_BITMAP_B = 0x2002,
    MSR_BITMAP = 0x2004,
    TSC_OFFSET = 0x2010,
    EPT_POINTER = 0x201a,
    XSS_BITMAP = 0x202c,
    GUEST_PHYSICAL = 0x2400,
    LINK_POINTER = 0x2800,
    GUEST_DEBUGCTL = 0x2802,
    GUEST_PAT = 0x2804,
    GUEST_EFER = 0x2806,
    GUEST_PDPTE0 = 0x280a,
    HOST_PAT = 0x2c00,
    HOST_EFER = 0x2c02,

    PIN_CONTROLS = 0x4000,
    PROC_CONTROLS = 0x4002,
    EXCEPTION_BITMAP = 0x4004,
    PF_ERROR_MASK = 0x4006,
    PF_ERROR_MATCH = 0x4008,
    CR3_TARGET_COUNT = 0x400a,
    EXIT_CONTROLS = 0x400c,
    EXIT_MSR_STORES = 0x400e,
    EXIT_MSR_LOADS = 0x4010,
    ENTRY_CONTROLS = 0x4012,
    ENTRY_MSR_LOADS = 0x4014,
    ENTRY_EVENT = 0x4016,
    ENTRY_ERROR_CODE = 0x4018,
    ENTRY_INSN_LENGTH = 0x401a,
    PROC2_CONTROLS = 0x401e,
    INSTRUCTION_ERROR = 0x4400,
    EXIT_REASON = 0x4402,
    EXIT_EVENT = 0x4404,
    EXIT_ERROR_CODE = 0x4406,
    VECTORING_EVENT = 0x4408,
    VECTORING_ERROR_CODE = 0x440a,
    EXIT_INSN_LENGTH = 0x440c,
    GUEST_INTERRUPTIBILITY = 0x4824,
    GUEST_ACTIVITY = 0x4826,
    GUEST_SYSENTER_CS = 0x482a,
    TIMER_VALUE = 0x482e,
    HOST_SYSENTER_CS = 0x4c00,

    CR0_MASK = 0x6000,
    CR4_MASK = 0x6002,
    CR0_SHADOW = 0x6004,
    CR4_SHADOW = 0x6006,
    EXIT_QUALIFICATION = 0x6400,
    GUEST_CR0 = 0x6800,
    GUEST_CR3 = 0x6802,
    GUEST_CR4 = 0x6804,
    GUEST_DR7 = 0x681a,
    GUEST_RSP = 0x681c,
    GUEST_RIP = 0x681e,
    GUEST_RFLAGS = 0x6820,
    GUEST_PENDING_DEBUG = 0x6822,
    GUEST_SYSENTER_ESP = 0x6824,
    GUEST_SYSENTER_EIP = 0x6826,
    HOST_CR0 = 0x6c00,
    HOST_CR3 = 0x6c02,
    HOST_CR4 = 0x6c04,
    HOST_FS_BASE = 0x6c06,
    HOST_GS_BASE = 0x6c08,
    HOST_TR_BASE = 0x6c0a,
    HOST_GDTR_BASE = 0x6c0c,
    HOST_IDTR_BASE = 0x6c0e,
    HOST_SYSENTER_ESP = 0x6c10,
    HOST_SYSENTER_EIP = 0x6c12,
    HOST_RSP = 0x6c14, /* known to entry.asm */
    HOST_RIP = 0x6c16,
};

/* Numbers of the segments in the VMCS; the first six are those of arch/vcpu.h. */
enum { VMCS_LDTR = 6, VMCS_TR = 7, NR_VMCS_SEG, VMCS_GDTR = NR_VMCS_SEG, VMCS_IDTR };

#define ACCESS_UNUSABLE BIT(16)

/* Those that somebody looks at; all of them with their names are in report.c. */
enum exit_reason {
    REASON_EXCEPTION = 0, /* or NMI */
    REASON_TASK_SWITCH = 9,
    REASON_CR = 28,
    REASON_IO = 30,
    REASON_GUEST_STATE = 33, /* entry failed */
    REASON_ENTRY_MCE = 41,
    REASON_EPT_VIOLATION = 48,
    REASON_EPT_MISCONFIG = 49,
    REASON_ENTRY_FAILED = 1u << 31,
};

#define EVENT_NMI_UNBLOCK BIT(12) /* of an exit: IRET had just ended NMI blocking (25.9.2) */

/* Interruptibility (25.4.2). */
#define BLOCKED_STI   BIT(0)
#define BLOCKED_MOVSS BIT(1)
#define BLOCKED_NMI   BIT(3)

enum activity { ACTIVITY_ACTIVE, ACTIVITY_HLT, ACTIVITY_SHUTDOWN, ACTIVITY_WAIT_SIPI };

static inline u64 vmread(u64 field)
{
    u64 value;
    __asm__ volatile("vmread %1, %0" : "=rm"(value) : "r"(field) : "cc");
    return value;
}

/* A field this CPU does not have is one that nothing here writes: a failure is a bug, and panics. */
void vmwrite_failed(u64 field, u64 value) __noreturn;

static inline void vmwrite(u64 field, u64 value)
{
    bool failed;
    __asm__ volatile("vmwrite %2, %1" : "=@ccbe"(failed) : "r"(field), "rm"(value) : "memory");
    if (failed)
        vmwrite_failed(field, value);
}

#endif
