/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exceptions and NMIs into the guest, in the order that hardware keeps: first what an exit interrupted, then
 * an exception, then an NMI when the guest is not in one.
 */
#include "arch/cpu.h"
#include "arch/log.h"
#include "arch/vmx/vmx_int.h"

#define DEBUG_RTM     BIT(16) /* in DR6 inverted */
#define DR7_GD        BIT(13)
#define DEBUGCTL_LBR  BIT(0)
#define DEBUGCTL_BTF  BIT(1)
#define BLOCKED_STEPS (BLOCKED_STI | BLOCKED_MOVSS)

/* SDM 3A, 6.15, table 6-5. */
void vmx_inject_exception(struct vcpu *v, u8 vector, bool has_code, u32 code)
{
    struct vmx_vcpu *vm = vmx_of(v);
    u32 event = (u32)EVENT_VALID | EVENT_HARD << 8 | vector | (has_code ? (u32)EVENT_HAS_CODE : 0);
    u32 type = (u32)field_get(vm->event, EVENT_TYPE);
    u8 first = (u8)(vm->event & EVENT_VECTOR);

    if (vm->event & EVENT_VALID) {
        if (type == EVENT_NMI) {
            vm->nmi_pending = true;
        } else if (type == EVENT_HARD && first == VEC_DF) {
            vm->shutdown = true;
        } else if (type == EVENT_HARD && vcpu_double_fault(first, vector)) {
            event = (u32)EVENT_VALID | EVENT_HARD << 8 | VEC_DF | (u32)EVENT_HAS_CODE;
            code = 0;
        }
    }
    vm->event = event;
    vm->event_code = code;
    vm->event_length = 0;
}

void vmx_inject_page_fault(struct vcpu *v, u64 cr2, u32 code)
{
    vmx_set(v, REG_CR2, cr2);
    vmx_inject_exception(v, VEC_PF, true, code);
}

void vmx_retired(struct vcpu *v)
{
    u64 blocked = vmread(GUEST_INTERRUPTIBILITY);

    if (blocked & BLOCKED_STEPS)
        vmwrite(GUEST_INTERRUPTIBILITY, blocked & ~BLOCKED_STEPS);
    if (v->rflags & RFLAGS_TF && !(vmread(GUEST_DEBUGCTL) & DEBUGCTL_BTF))
        vmwrite(GUEST_PENDING_DEBUG, vmread(GUEST_PENDING_DEBUG) | DR6_BS);
}

/* ---- NMI ----------------------------------------------------------------------------------------- */

void vmx_inject_nmi(struct vcpu *v)
{
    struct vmx_vcpu *vm = vmx_of(v);

    vm->nmi_pending = true;
}

/* After an NMI exit further NMIs are held back until an IRET: that of the handler which runs now. An NMI that
 * came in root mode has had its handler. */
void vmx_take_nmi(struct vcpu *v)
{
    struct vmx_vcpu *vm = vmx_of(v);

    if (vm->nmi_exit)
        __asm__ volatile("int $2" ::: "memory");
    vm->nmi_exit = false;
    vm->nmi_seen = this_cpu()->nmi_count;
}

void vmx_nmi_window(struct vmx_vcpu *vm, bool on)
{
    u64 controls = vmx_controls.proc | (on ? PROC_NMI_WINDOW : 0);

    if (vm->nmi_window != on)
        vmwrite(PROC_CONTROLS, controls);
    vm->nmi_window = on;
}

static void try_nmi(struct vmx_vcpu *vm)
{
    u64 blocked = vmread(GUEST_INTERRUPTIBILITY);

    /* Some CPUs refuse an NMI in the shadow of STI too (27.3.1.5). */
    if (vm->event & EVENT_VALID || blocked & (BLOCKED_NMI | BLOCKED_STEPS)) {
        vmx_nmi_window(vm, true);
        return;
    }
    vmx_nmi_window(vm, false);
    vm->nmi_pending = false;
    vm->event = (u32)EVENT_VALID | EVENT_NMI << 8 | VEC_NMI;
}

/* ---- before an entry and after an exit ------------------------------------------------------------------
 */

void vmx_prepare_event(struct vmx_vcpu *vm)
{
    if (vm->nmi_pending)
        try_nmi(vm);
    if (!(vm->event & EVENT_VALID))
        return;
    vmwrite(ENTRY_EVENT, vm->event);
    if (vm->event & EVENT_HAS_CODE)
        /* The CPU accepts 15 bits in every case (27.2.1.3). */
        vmwrite(ENTRY_ERROR_CODE, vm->event_code & MASK(14, 0));
    if (vm->event_length)
        vmwrite(ENTRY_INSN_LENGTH, vm->event_length);
    /* What is delivered wakes a halted CPU; only some events may say so in the VMCS (27.3.1.5). */
    if (vmread(GUEST_ACTIVITY) != ACTIVITY_ACTIVE)
        vmwrite(GUEST_ACTIVITY, ACTIVITY_ACTIVE);
}

/*
 * The exit came while the CPU delivered an event: it must be delivered again. Software interrupts and
 * exceptions repeat themselves, as RIP is still at the instruction.
 */
bool vmx_recover_event(struct vmx_vcpu *vm)
{
    u32 info = (u32)vmread(VECTORING_EVENT), type = (u32)field_get(info, EVENT_TYPE);

    vm->event = 0;
    if (!(info & EVENT_VALID))
        return false;
    if (type == EVENT_SOFT_INT || type == EVENT_SOFT || type == EVENT_PRIV)
        return true;
    if (type == EVENT_NMI)
        vmwrite(GUEST_INTERRUPTIBILITY, vmread(GUEST_INTERRUPTIBILITY) & ~BLOCKED_NMI);
    vm->event = info & ~(u32)EVENT_NMI_UNBLOCK;
    vm->event_length = 0;
    if (info & EVENT_HAS_CODE)
        vm->event_code = (u32)vmread(VECTORING_ERROR_CODE);
    return true;
}

/* What the CPU does when it delivers #DB, and a VM entry that injects it leaves to us. */
static void prepare_debug(struct vmx_vcpu *vm)
{
    u64 dr6;

    __asm__ volatile("mov %%dr6, %0" : "=r"(dr6));
    dr6 = (dr6 & ~15ull) | DEBUG_RTM | (vm->qualification & (MASK(3, 0) | MASK(14, 13)));
    if (vm->qualification & DEBUG_RTM)
        dr6 &= ~DEBUG_RTM;
    __asm__ volatile("mov %0, %%dr6" ::"r"(dr6));
    vmwrite(GUEST_DR7, vmread(GUEST_DR7) & ~DR7_GD);
    vmwrite(GUEST_DEBUGCTL, vmread(GUEST_DEBUGCTL) & ~(DEBUGCTL_LBR | DEBUGCTL_BTF));
    /* An entry in a shadow with TF set wants to be told of the step (27.3.1.5). */
    if (vm->v->rflags & RFLAGS_TF && vmread(GUEST_INTERRUPTIBILITY) & BLOCKED_STEPS)
        vmwrite(GUEST_PENDING_DEBUG, vmread(GUEST_PENDING_DEBUG) | DR6_BS);
}

/* An exception that we intercept only to see it: back to the guest. */
void vmx_reflect_exception(struct vmx_vcpu *vm, u32 info)
{
    u8 vector = (u8)(info & EVENT_VECTOR);

    if (info & EVENT_NMI_UNBLOCK && vector != VEC_DF)
        vmwrite(GUEST_INTERRUPTIBILITY, vmread(GUEST_INTERRUPTIBILITY) | BLOCKED_NMI);
    if (vector == VEC_DB)
        prepare_debug(vm);
    vmx_inject_exception(vm->v, vector, info & EVENT_HAS_CODE, (u32)vmread(EXIT_ERROR_CODE));
    /* INT1 is a #DB with an instruction to skip. */
    if (field_get(info, EVENT_TYPE) != EVENT_HARD && field_get(vm->event, EVENT_VECTOR) == vector) {
        vm->event = info & ~(u32)EVENT_NMI_UNBLOCK;
        vm->event_length = (u32)vmread(EXIT_INSN_LENGTH);
    }
}
