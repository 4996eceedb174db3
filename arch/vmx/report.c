/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exit reasons by name and kind, the guest's state, and why an entry failed, in the manual's words. The CPU
 * only says that a check failed; the common ones are repeated here.
 */
#include "arch/cpu.h"
#include "arch/log.h"
#include "arch/vmx/vmx_int.h"

static const struct {
    const char *name;
    enum vcpu_exit_kind kind; /* of those that need no more than that */
} reasons[] = {
    [REASON_EXCEPTION] = { "exception or NMI", VEXIT_UNKNOWN },
    [1] = { "external interrupt", VEXIT_UNKNOWN },
    [2] = { "triple fault", VEXIT_SHUTDOWN },
    [3] = { "INIT", VEXIT_INIT },
    [4] = { "SIPI", VEXIT_UNKNOWN },
    [5] = { "I/O SMI", VEXIT_UNKNOWN },
    [6] = { "other SMI", VEXIT_UNKNOWN },
    [7] = { "interrupt window", VEXIT_UNKNOWN },
    [8] = { "NMI window", VEXIT_AGAIN }, /* before the next entry the NMI is looked at again */
    [REASON_TASK_SWITCH] = { "task switch", VEXIT_UNKNOWN },
    [10] = { "CPUID", VEXIT_CPUID },
    [11] = { "GETSEC", VEXIT_VIRT_INSN },
    [12] = { "HLT", VEXIT_UNKNOWN },
    [13] = { "INVD", VEXIT_INVD },
    [14] = { "INVLPG", VEXIT_UNKNOWN },
    [15] = { "RDPMC", VEXIT_UNKNOWN },
    [16] = { "RDTSC", VEXIT_UNKNOWN },
    [17] = { "RSM", VEXIT_UNKNOWN },
    [18] = { "VMCALL", VEXIT_HYPERCALL },
    [19] = { "VMCLEAR", VEXIT_VIRT_INSN },
    [20] = { "VMLAUNCH", VEXIT_VIRT_INSN },
    [21] = { "VMPTRLD", VEXIT_VIRT_INSN },
    [22] = { "VMPTRST", VEXIT_VIRT_INSN },
    [23] = { "VMREAD", VEXIT_VIRT_INSN },
    [24] = { "VMRESUME", VEXIT_VIRT_INSN },
    [25] = { "VMWRITE", VEXIT_VIRT_INSN },
    [26] = { "VMXOFF", VEXIT_VIRT_INSN },
    [27] = { "VMXON", VEXIT_VIRT_INSN },
    [REASON_CR] = { "control-register access", VEXIT_UNKNOWN },
    [29] = { "MOV DR", VEXIT_UNKNOWN },
    [REASON_IO] = { "I/O instruction", VEXIT_UNKNOWN },
    [31] = { "RDMSR", VEXIT_RDMSR },
    [32] = { "WRMSR", VEXIT_WRMSR },
    [REASON_GUEST_STATE] = { "invalid guest state", VEXIT_UNKNOWN },
    [34] = { "MSR loading", VEXIT_UNKNOWN },
    [36] = { "MWAIT", VEXIT_UNKNOWN },
    [37] = { "monitor trap flag", VEXIT_UNKNOWN },
    [39] = { "MONITOR", VEXIT_UNKNOWN },
    [40] = { "PAUSE", VEXIT_UNKNOWN },
    [REASON_ENTRY_MCE] = { "machine check during the entry", VEXIT_UNKNOWN },
    [43] = { "TPR below threshold", VEXIT_UNKNOWN },
    [44] = { "APIC access", VEXIT_UNKNOWN },
    [46] = { "access to GDTR or IDTR", VEXIT_UNKNOWN },
    [47] = { "access to LDTR or TR", VEXIT_UNKNOWN },
    [REASON_EPT_VIOLATION] = { "EPT violation", VEXIT_UNKNOWN },
    [REASON_EPT_MISCONFIG] = { "EPT misconfiguration", VEXIT_UNKNOWN },
    [50] = { "INVEPT", VEXIT_VIRT_INSN },
    [51] = { "RDTSCP", VEXIT_UNKNOWN },
    [52] = { "preemption timer", VEXIT_AGAIN },
    [53] = { "INVVPID", VEXIT_VIRT_INSN },
    [54] = { "WBINVD", VEXIT_UNKNOWN },
    [55] = { "XSETBV", VEXIT_XSETBV },
    [58] = { "INVPCID", VEXIT_UNKNOWN },
    [59] = { "VMFUNC", VEXIT_VIRT_INSN },
    [60] = { "ENCLS", VEXIT_VIRT_INSN },
    [63] = { "XSAVES", VEXIT_UNKNOWN },
    [64] = { "XRSTORS", VEXIT_UNKNOWN },
    [65] = { "PCONFIG", VEXIT_VIRT_INSN },
    [67] = { "UMWAIT", VEXIT_UNKNOWN },
    [68] = { "TPAUSE", VEXIT_UNKNOWN },
    [74] = { "bus lock", VEXIT_UNKNOWN },
    [75] = { "notify", VEXIT_UNKNOWN },
};

const char *vmx_reason_name(u32 reason)
{
    u32 basic = reason & 0xffff;

    return basic < ARRAY_SIZE(reasons) && reasons[basic].name ? reasons[basic].name : "unknown";
}

enum vcpu_exit_kind vmx_reason_kind(u32 reason)
{
    return reason < ARRAY_SIZE(reasons) ? reasons[reason].kind : VEXIT_UNKNOWN;
}

/* Table 31-1, those that can come from an entry. */
static const char *instruction_error(u64 error)
{
    static const char *const errors[] = {
        [4] = "VMLAUNCH with a VMCS that is not clear",
        [5] = "VMRESUME with a VMCS that is not launched",
        [6] = "VMRESUME after VMXOFF",
        [7] = "invalid control fields",
        [8] = "invalid host-state fields",
        [12] = "the VMCS lacks a field",
        [26] = "events blocked by MOV SS",
    };

    return error < ARRAY_SIZE(errors) && errors[error] ? errors[error]
                                                       : "see the manual's table of VM-instruction errors";
}

#define CODE_LONG BIT(13)
#define CODE_BIG  BIT(14)

struct check {
    bool failed;
    const char *text;
};

static void tell(const struct check *checks, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (checks[i].failed)
            log_err("  failed check: %s", checks[i].text);
}

/* SDM 3C, 27.3.1.1 and 27.3.1.4. */
static void check_registers(void)
{
    u64 cr0 = vmread(GUEST_CR0), cr4 = vmread(GUEST_CR4), efer = vmread(GUEST_EFER);
    u64 flags = vmread(GUEST_RFLAGS), cs = vmread(GUEST_ACCESS + 2);
    bool ia32e = vmread(ENTRY_CONTROLS) & ENTRY_IA32E, lma = efer & EFER_LMA;
    u64 fixed0 = vmx_caps.cr0_fixed0 & ~(CR0_PE | CR0_PG);
    const struct check checks[] = {
        { (cr0 & fixed0) != fixed0 || cr0 & ~vmx_caps.cr0_fixed1, "CR0 must agree with the fixed bits" },
        { cr0 & CR0_PG && !(cr0 & CR0_PE), "CR0.PG needs CR0.PE" },
        { (cr4 & vmx_caps.cr4_fixed0) != vmx_caps.cr4_fixed0 || cr4 & ~vmx_caps.cr4_fixed1,
          "CR4 must agree with the fixed bits" },
        { ia32e && !(cr0 & CR0_PG && cr4 & CR4_PAE), "an IA-32e guest needs CR0.PG and CR4.PAE" },
        { ia32e != lma, "EFER.LMA must equal 'IA-32e mode guest'" },
        { cr0 & CR0_PG && lma != !!(efer & EFER_LME), "EFER.LMA must equal EFER.LME while paging" },
        { !(flags & 2), "RFLAGS bit 1 must be 1" },
        { flags & RFLAGS_VM && (ia32e || !(cr0 & CR0_PE)), "RFLAGS.VM needs protected mode without IA-32e" },
        { vmread(ENTRY_EVENT) & EVENT_VALID && !field_get(vmread(ENTRY_EVENT), EVENT_TYPE) &&
              !(flags & RFLAGS_IF),
          "an external interrupt is injected while RFLAGS.IF is 0" },
        { !(ia32e && cs & CODE_LONG) && vmread(GUEST_RIP) >> 32,
          "RIP has bits above 31 outside 64-bit code" },
        { ia32e && cs & CODE_LONG && cs & CODE_BIG, "CS has both L and D" },
    };

    tell(checks, ARRAY_SIZE(checks));
}

/* 27.3.1.5 */
static void check_activity(void)
{
    u64 activity = vmread(GUEST_ACTIVITY), blocked = vmread(GUEST_INTERRUPTIBILITY);
    u64 flags = vmread(GUEST_RFLAGS), event = vmread(ENTRY_EVENT), type = field_get(event, EVENT_TYPE);
    bool steps = blocked & (BLOCKED_STI | BLOCKED_MOVSS), valid = event & EVENT_VALID;
    const struct check checks[] = {
        { activity > ACTIVITY_WAIT_SIPI, "unknown activity state" },
        { activity == ACTIVITY_HLT && vmread(GUEST_ACCESS + 2 * SEG_SS) & MASK(6, 5),
          "HLT with SS.DPL not 0" },
        { activity != ACTIVITY_ACTIVE && steps, "an interrupt shadow with a CPU that is not active" },
        { (blocked & (BLOCKED_STI | BLOCKED_MOVSS)) == (BLOCKED_STI | BLOCKED_MOVSS),
          "blocking by STI and by MOV SS at once" },
        { blocked & BLOCKED_STI && !(flags & RFLAGS_IF), "blocking by STI while RFLAGS.IF is 0" },
        { valid && type == EVENT_INTERRUPT && steps, "an interrupt is injected into a shadow" },
        { valid && type == EVENT_NMI && blocked & (BLOCKED_MOVSS | BLOCKED_NMI),
          "an NMI is injected while NMIs are blocked" },
        { (steps || activity == ACTIVITY_HLT) && flags & RFLAGS_TF && !(vmread(GUEST_DEBUGCTL) & 2) &&
              !(vmread(GUEST_PENDING_DEBUG) & DR6_BS),
          "a pending single step must be told in a shadow" },
        { vmread(LINK_POINTER) != ~0ull, "the VMCS link pointer must be all ones" },
    };

    tell(checks, ARRAY_SIZE(checks));
}

/* 27.3.1.2, without virtual-8086 mode. */
static void check_segments(void)
{
    static const char *const names[NR_VMCS_SEG] = { "ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR" };

    for (unsigned i = 0; i < NR_VMCS_SEG; i++) {
        u64 access = vmread(GUEST_ACCESS + 2 * i), limit = vmread(GUEST_LIMIT + 2 * i);
        unsigned type = access & 15;
        bool system = i >= VMCS_LDTR;

        if (access & ACCESS_UNUSABLE && i != SEG_CS && i != VMCS_TR)
            continue;
        const struct check checks[] = {
            { access & ACCESS_UNUSABLE, "must be usable" },
            { !(access & BIT(7)), "must be present" },
            { system == !!(access & BIT(4)), "has the wrong S bit" },
            { i == VMCS_TR && type != 3 && type != 11, "must be a busy TSS" },
            { i == SEG_CS && !(type & 1), "must be accessed" },
            { (limit & 0xfff) != 0xfff && access & BIT(15), "has G with a limit not ending in fff" },
            { limit >> 20 && !(access & BIT(15)), "has a limit above 1 MiB without G" },
            { access & (MASK(31, 17) | MASK(11, 8)), "has reserved access bits" },
        };
        for (unsigned c = 0; c < ARRAY_SIZE(checks); c++)
            if (checks[c].failed)
                log_err("  failed check: %s %s", names[i], checks[c].text);
    }
}

void vmx_explain_failure(struct vmx_vcpu *vm, int how)
{
    if (how == ENTER_FAIL_INVALID) {
        log_err("VM entry failed: no current VMCS");
    } else if (how == ENTER_FAIL_VALID) {
        u64 error = vmread(INSTRUCTION_ERROR);
        log_err("VM entry failed: error %lu, %s", error, instruction_error(error));
        log_err("  controls: pin %lx proc %lx %lx exit %lx entry %lx", vmread(PIN_CONTROLS),
                vmread(PROC_CONTROLS), vmread(PROC2_CONTROLS), vmread(EXIT_CONTROLS), vmread(ENTRY_CONTROLS));
    } else {
        log_err("VM entry failed: %s, qualification %lx", vmx_reason_name(vm->reason),
                vmread(EXIT_QUALIFICATION));
        check_registers();
        check_activity();
        check_segments();
    }
}

void vmx_dump(struct vcpu *v)
{
    struct vmx_vcpu *vm = vmx_of(v);

    log_err("guest CPU %u: exit %u (%s) qualification %lx; delivering %lx, to deliver %lx", v->index,
            vm->reason & 0xffff, vmx_reason_name(vm->reason), vm->qualification, vmread(VECTORING_EVENT),
            v->event);
    log_err("cr0 really %08lx cr4 really %06lx", vmread(GUEST_CR0), vmread(GUEST_CR4));
    log_err("activity %lu interruptibility %lx pending debug %lx", vmread(GUEST_ACTIVITY),
            vmread(GUEST_INTERRUPTIBILITY), vmread(GUEST_PENDING_DEBUG));
}
