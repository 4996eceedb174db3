/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Into the guest and out of it: exits in the terms of arch/vcpu.h.
 */
#include "arch/cpu.h"
#include "arch/vmx/vmx_int.h"

/* Exit qualification of an I/O instruction (table 28-5) and of an EPT violation (28-7). */
#define IO_SIZE   MASK(2, 0) /* minus 1 */
#define IO_IN     BIT(3)
#define IO_STRING BIT(4)
#define IO_PORT   MASK(31, 16)

#define EPT_WRITE_ACCESS BIT(1)
#define EPT_FETCH        BIT(2)
#define EPT_LINEAR       BIT(7) /* the access had a linear address... */
#define EPT_OPERAND      BIT(8) /* ...and is not part of its translation */

_Static_assert(RCX == 1 && RDX == 2 && RBX == 3 && RSP == 4 && RBP == 5 && RSI == 6 && RDI == 7, "entry.asm");

static enum vcpu_exit_kind exception_exit(struct vmx_vcpu *vm)
{
    u32 info = (u32)vmread(EXIT_EVENT);
    u8 vector = (u8)(info & EVENT_VECTOR);

    if (field_get(info, EVENT_TYPE) == EVENT_NMI) {
        vm->nmi_exit = true;
        return VEXIT_NMI;
    }
    /* The guest owns the machine and its errors. Really CR4.MCE is always set. */
    if (vector == VEC_MC && !(vmread(CR4_SHADOW) & CR4_MCE))
        return VEXIT_SHUTDOWN;
    if (vector != VEC_DB && vector != VEC_AC && vector != VEC_MC)
        return VEXIT_UNKNOWN;
    vmx_reflect_exception(vm, info);
    return VEXIT_AGAIN;
}

static enum vcpu_exit_kind nested_exit(struct vmx_vcpu *vm, struct vcpu_exit *exit)
{
    u64 q = vm->qualification;

    exit->gpa = vmread(GUEST_PHYSICAL);
    exit->info2 = exit->gpa;
    exit->access |= (q & EPT_WRITE_ACCESS ? NESTED_WRITE : 0) | (q & EPT_FETCH ? NESTED_FETCH : 0) |
                    ((q & (EPT_LINEAR | EPT_OPERAND)) == EPT_LINEAR ? NESTED_WALK : 0);
    /* IRET had ended the blocking before its own access failed; it will be done again. */
    if (q & EVENT_NMI_UNBLOCK && !(exit->access & NESTED_DELIVERY))
        vmwrite(GUEST_INTERRUPTIBILITY, vmread(GUEST_INTERRUPTIBILITY) | BLOCKED_NMI);
    return VEXIT_NESTED;
}

static enum vcpu_exit_kind io_exit(const struct vmx_vcpu *vm, struct vcpu_exit *exit)
{
    u64 q = vm->qualification;

    exit->port = (u16)field_get(q, IO_PORT);
    exit->io_size = (u8)(field_get(q, IO_SIZE) + 1);
    exit->io_in = q & IO_IN;
    exit->io_string = q & IO_STRING;
    return VEXIT_IO;
}

static enum vcpu_exit_kind exit_kind(struct vmx_vcpu *vm, struct vcpu_exit *exit)
{
    switch (vm->reason) {
    case REASON_EPT_VIOLATION:
        return nested_exit(vm, exit);
    case REASON_EXCEPTION:
        return exception_exit(vm);
    case REASON_TASK_SWITCH:
        vmx_task_switch(vm);
        return VEXIT_AGAIN;
    case REASON_CR:
        vmx_cr_exit(vm, vm->qualification);
        return VEXIT_AGAIN;
    default: /* of instructions the CPU tells the length */
        exit->next_rip = vm->v->rip + vmread(EXIT_INSN_LENGTH);
        return vm->reason == REASON_IO ? io_exit(vm, exit) : vmx_reason_kind(vm->reason);
    }
}

static void to_vmcs(struct vmx_vcpu *vm)
{
    const struct vcpu *v = vm->v;

    if (vm->rip != v->rip)
        vmwrite(GUEST_RIP, v->rip);
    if (vm->rsp != v->gpr[RSP])
        vmwrite(GUEST_RSP, v->gpr[RSP]);
    if (vm->rflags != v->rflags)
        vmwrite(GUEST_RFLAGS, v->rflags);
}

static void from_vmcs(struct vmx_vcpu *vm)
{
    struct vcpu *v = vm->v;

    v->rip = vm->rip = vmread(GUEST_RIP);
    v->gpr[RSP] = vm->rsp = vmread(GUEST_RSP);
    v->rflags = vm->rflags = vmread(GUEST_RFLAGS);
}

void vmx_exit_within(struct vcpu *v, u32 us)
{
    vmx_of(v)->timer_us = us;
}

/* For one entry. It counts the TSC in units of 2^shift (SDM 3C, 26.5.1), and a power-saving halt may stop it.
 */
static void set_timer(struct vmx_vcpu *vm)
{
    bool on = vm->timer_us;

    if (on) {
        u64 ticks = vm->timer_us * clock_tsc_per_us() >> field_get(vmx_caps.misc, MISC_TIMER_SHIFT);
        vmwrite(TIMER_VALUE, MIN(ticks, MASK(31, 0)));
    }
    if (on != vm->timer_on)
        vmwrite(PIN_CONTROLS, vmx_controls.pin | (on ? PIN_TIMER : 0));
    vm->timer_on = on;
    vm->timer_us = 0;
}

void vmx_run(struct vcpu *v)
{
    struct vmx_vcpu *vm = vmx_of(v);
    struct vcpu_exit *exit = &v->exit;

    *exit = (struct vcpu_exit){ .kind = VEXIT_UNKNOWN };
    if (v->shutdown) {
        exit->kind = VEXIT_SHUTDOWN;
        return;
    }
    vmx_flush_if_stale(vm);
    to_vmcs(vm);
    vmx_prepare_event(vm);
    if (vm->timer_us || vm->timer_on)
        set_timer(vm);
    int how = vmx_enter(v->gpr, vm->launched, vm->nmi_seen);
    if (how == ENTER_NMI) {
        from_vmcs(vm);
        exit->kind = VEXIT_NMI;
        return;
    }
    vm->reason = how ? 0 : (u32)vmread(EXIT_REASON);
    exit->code = vm->reason;
    if (how || vm->reason & REASON_ENTRY_FAILED) {
        vmx_explain_failure(vm, how);
        return;
    }
    vm->launched = true;
    from_vmcs(vm);
    exit->info1 = vm->qualification = vmread(EXIT_QUALIFICATION);
    exit->access = vmx_recover_event(vm) ? NESTED_DELIVERY : 0;
    exit->kind = exit_kind(vm, exit);
}
