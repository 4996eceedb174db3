/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Into the guest and out of it: exits in the terms of arch/vcpu.h, and the events that go in with an entry.
 */
#include "arch/svm/svm.h"
#include "arch/cpu.h"
#include "arch/log.h"

/* What svm_run.asm counts on. */
_Static_assert(RCX == 1 && RDX == 2 && RBX == 3 && RBP == 5 && RSI == 6 && RDI == 7, "svm_run.asm");

/* ---- NMI: one at a time, the next after the guest's IRET --------------------------------------------- */

static void try_nmi(struct vcpu *v, struct svm_vcpu *s)
{
    if (!v->nmi_pending || s->nmi_blocked || v->event)
        return;
    v->nmi_pending = false;
    v->event = EVENT_VALID | EVENT_NMI << 8 | VEC_NMI;
}

/*
 * The guest stands at its IRET and another NMI waits: let exactly this instruction run. Whatever it raises
 * comes to us first, so that no frame of the guest's ever holds the TF we set; the shadow keeps interrupts
 * away until the trap.
 */
static void step_begin(struct vcpu *v, struct svm_vcpu *s)
{
    struct vmcb *b = s->vmcb;

    /* A guest that traces its own handler is let past without us. */
    if (s->stepping || (v->rflags & RFLAGS_TF))
        return;
    s->stepping = true;
    s->step_dr6 = b->dr6;
    v->rflags |= RFLAGS_TF;
    b->intercept_exceptions = ~0u;
    b->interrupt_state |= SHADOW;
}

static void step_end(struct vcpu *v, struct svm_vcpu *s)
{
    if (!s->stepping)
        return;
    s->stepping = false;
    s->vmcb->intercept_exceptions = 0;
    /* After the IRET, the flags are those that it popped. */
    if (v->rip == s->iret_rip)
        v->rflags &= ~RFLAGS_TF;
}

static void iret_done(struct svm_vcpu *s)
{
    s->iret_pending = false;
    s->nmi_blocked = false;
}

static void iret_seen(struct vcpu *v, struct svm_vcpu *s)
{
    s->vmcb->intercept_misc1 &= ~INTERCEPT1_IRET;
    s->iret_pending = true;
    s->iret_rip = v->rip;
    v->attention = true;
}

/* An exception while stepping. */
static void step_exit(struct vcpu *v, struct svm_vcpu *s, u8 vector)
{
    struct vmcb *b = s->vmcb;

    step_end(v, s);
    if (vector == VEC_DB) {
        iret_done(s);
        b->dr6 = s->step_dr6;
        return;
    }
    if (vector == VEC_PF)
        b->cr2 = b->exit_info2;
    bool has_code = vector == VEC_DF || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21;
    vcpu_inject_exception(v, vector, has_code, (u32)b->exit_info1);
}

/* The host's handler counts it. GIF is 0 again afterwards. */
void svm_take_nmi(struct vcpu *v)
{
    (void)v;
    __asm__ volatile("stgi\n\tnop\n\tclgi" ::: "memory");
}

/* ---- other events ---------------------------------------------------------------------------------------
 */

void svm_retired(struct vcpu *v)
{
    struct vmcb *b = svm_of(v)->vmcb;

    b->interrupt_state = 0;
    if (v->rflags & RFLAGS_TF) {
        b->dr6 |= DR6_BS;
        vcpu_inject_exception(v, VEC_DB, false, 0);
    }
}

/*
 * The exit came while the CPU delivered an event: it must be delivered again. Software interrupts and the
 * exceptions of INT3 and INTO repeat themselves, as RIP is still at the instruction.
 */
static void redeliver(struct vcpu *v, struct svm_vcpu *s, u64 event)
{
    u64 type = field_get(event, EVENT_TYPE);
    u8 vector = (u8)(event & EVENT_VECTOR);

    if (type == EVENT_SOFT_INT || (type == EVENT_HARD && (vector == VEC_BP || vector == VEC_OF)))
        return;
    if (type == EVENT_NMI)
        s->nmi_blocked = false;
    /* An emulator calls everything that is no software interrupt an exception. */
    if (type == EVENT_HARD && vector >= 32)
        event &= ~EVENT_TYPE;
    v->event = event;
    v->attention = true;
}

/* ---- the way in and out -----------------------------------------------------------------------------------
 */

static bool before_entry(struct vcpu *v, struct svm_vcpu *s)
{
    struct vmcb *b = s->vmcb;

    if (v->shutdown)
        return false;
    b->tlb_control = s->flush ? TLB_FLUSH_ALL : 0;
    s->flush = false;
    if (s->iret_pending && v->rip != s->iret_rip)
        iret_done(s);
    if (v->event) /* an exception in the place of the IRET */
        step_end(v, s);
    else if (s->iret_pending && v->nmi_pending)
        step_begin(v, s);
    try_nmi(v, s);
    if (v->event && field_get(v->event, EVENT_TYPE) == EVENT_NMI) {
        s->nmi_blocked = true;
        b->interrupt_state &= ~SHADOW;
        b->intercept_misc1 |= INTERCEPT1_IRET;
    }
    b->event_inj = v->event;
    v->event = 0;
    /* Looked at again after each exit while anything is left, and after what is for one entry. */
    v->attention = b->tlb_control || b->event_inj || v->nmi_pending || s->iret_pending;
    return true;
}

static enum vcpu_exit_kind io_exit(const struct vmcb *b, struct vcpu_exit *exit)
{
    u64 info = b->exit_info1;

    exit->port = (u16)field_get(info, IOIO_PORT);
    exit->io_size = (u8)field_get(info, IOIO_SIZE);
    exit->io_in = info & IOIO_IN;
    exit->io_string = info & IOIO_STR;
    exit->next_rip = b->exit_info2;
    return VEXIT_IO;
}

/* Exits that need no more than to be named (APM 2, appendix C). */
static const enum vcpu_exit_kind kinds[] = {
    [0x61] = VEXIT_NMI,       [0x72] = VEXIT_CPUID,
    [0x76] = VEXIT_INVD,      [0x7a] = VEXIT_VIRT_INSN,          /* INVLPGA */
    [0x7f] = VEXIT_SHUTDOWN,  [0x80] = VEXIT_VIRT_INSN,          /* VMRUN */
    [0x81] = VEXIT_HYPERCALL, [0x82 ... 0x86] = VEXIT_VIRT_INSN, /* VMLOAD, VMSAVE, STGI, CLGI, SKINIT */
    [0x8d] = VEXIT_XSETBV,
};

static enum vcpu_exit_kind other_exit(struct vcpu *v, struct svm_vcpu *s, u32 code, struct vcpu_exit *exit)
{
    switch (code) {
    case SVM_EXIT_MSR:
        return s->vmcb->exit_info1 ? VEXIT_WRMSR : VEXIT_RDMSR;
    case SVM_EXIT_IOIO:
        return io_exit(s->vmcb, exit);
    case SVM_EXIT_IRET:
        iret_seen(v, s);
        return VEXIT_AGAIN;
    default:
        if (s->stepping && code - SVM_EXIT_EXCEPTION < 32) {
            step_exit(v, s, (u8)(code - SVM_EXIT_EXCEPTION));
            return VEXIT_AGAIN;
        }
        return code < ARRAY_SIZE(kinds) ? kinds[code] : VEXIT_UNKNOWN;
    }
}

/* Every register is the guest's meanwhile; that of frames cannot be named. */
static void enter(struct vcpu *v, const struct svm_vcpu *s)
{
    u64 *gpr = v->gpr;
    u64 vmcb = s->vmcb_pa, host = s->host_pa;

    __asm__ volatile("push %%rbp\n\t"
                     "call svm_enter\n\t"
                     "pop %%rbp"
                     : "+D"(gpr), "+S"(vmcb), "+d"(host)
                     :
                     : "rax", "rbx", "rcx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory");
}

static void to_vmcb(const struct vcpu *v, struct vmcb *b)
{
    b->rax = v->gpr[RAX];
    b->rsp = v->gpr[RSP];
    b->rip = v->rip;
    b->rflags = v->rflags;
}

static void from_vmcb(struct vcpu *v, const struct vmcb *b)
{
    v->gpr[RAX] = b->rax;
    v->gpr[RSP] = b->rsp;
    v->rip = b->rip;
    v->rflags = b->rflags;
}

void svm_run(struct vcpu *v)
{
    struct svm_vcpu *s = svm_of(v);
    struct vcpu_exit *exit = &v->exit;

    if (unlikely(v->attention) && !before_entry(v, s)) {
        exit->kind = VEXIT_SHUTDOWN;
        return;
    }
    to_vmcb(v, s->vmcb);
    enter(v, s);

    struct vmcb *b = svm_of(v)->vmcb;
    from_vmcb(v, b);
    exit->access = b->exit_info1;
    if (unlikely(b->exit_int_info & EVENT_VALID)) {
        redeliver(v, s, b->exit_int_info);
        exit->access |= NESTED_DELIVERY;
    }

    u32 code = (u32)b->exit_code;
    if (likely(code == SVM_EXIT_NPF)) {
        exit->kind = VEXIT_NESTED;
        exit->gpa = b->exit_info2;
        return;
    }
    exit->code = code;
    exit->info1 = b->exit_info1;
    exit->info2 = b->exit_info2;
    exit->next_rip = 0;
    exit->kind = other_exit(v, svm_of(v), code, exit);
}
