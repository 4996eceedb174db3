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

void vmx_retired(struct vcpu *v)
{
    u64 blocked = vmread(GUEST_INTERRUPTIBILITY);

    if (blocked & BLOCKED_STEPS)
        vmwrite(GUEST_INTERRUPTIBILITY, blocked & ~BLOCKED_STEPS);
    if (v->rflags & RFLAGS_TF && !(vmread(GUEST_DEBUGCTL) & DEBUGCTL_BTF))
        vmwrite(GUEST_PENDING_DEBUG, vmread(GUEST_PENDING_DEBUG) | DR6_BS);
}

/* ---- NMI ----------------------------------------------------------------------------------------- */

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
    bool wait = vm->v->event || blocked & (BLOCKED_NMI | BLOCKED_STEPS);

    vmx_nmi_window(vm, wait);
    if (wait)
        return;
    vm->v->nmi_pending = false;
    vm->v->event = EVENT_VALID | EVENT_NMI << 8 | VEC_NMI;
}

/* ---- before an entry and after an exit ------------------------------------------------------------------
 */

void vmx_prepare_event(struct vmx_vcpu *vm)
{
    if (vm->v->nmi_pending)
        try_nmi(vm);
    u64 event = vm->v->event;
    if (!event)
        return;
    vmwrite(ENTRY_EVENT, (u32)event);
    if (event & EVENT_HAS_CODE)
        /* The CPU accepts 15 bits in every case (27.2.1.3). */
        vmwrite(ENTRY_ERROR_CODE, field_get(event, EVENT_CODE) & MASK(14, 0));
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
    u64 info = vmread(VECTORING_EVENT), type = field_get(info, EVENT_TYPE);

    vm->v->event = vm->event_length = 0;
    if (!(info & EVENT_VALID))
        return false;
    if (type == EVENT_SOFT_INT || type == EVENT_SOFT || type == EVENT_PRIV)
        return true;
    if (type == EVENT_NMI)
        vmwrite(GUEST_INTERRUPTIBILITY, vmread(GUEST_INTERRUPTIBILITY) & ~BLOCKED_NMI);
    vm->v->event = info & ~EVENT_NMI_UNBLOCK;
    if (info & EVENT_HAS_CODE)
        vm->v->event |= field_prep(EVENT_CODE, vmread(VECTORING_ERROR_CODE));
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
    vcpu_inject_exception(vm->v, vector, info & EVENT_HAS_CODE, (u32)vmread(EXIT_ERROR_CODE));
    /* INT1 is a #DB with an instruction to skip. */
    if (field_get(info, EVENT_TYPE) != EVENT_HARD && field_get(vm->v->event, EVENT_VECTOR) == vector) {
        vm->v->event = info & ~EVENT_NMI_UNBLOCK;
        vm->event_length = (u32)vmread(EXIT_INSN_LENGTH);
    }
}
