/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run loop.
 */
#include "hv/exit.h"
#include "arch/cpu.h"
#include "arch/log.h"
#include "hv/fetch.h"
#include "hv/options.h"
#include "iommu/iommu.h"

#define BACKSTOP_US 1000

static void report(struct vcpu *v)
{
    char text[CODE_TEXT];

    vcpu_dump(v);
    show_code(v, text);
    log_err("code%s", text[0] ? text : " cannot be read");
}

static void __noreturn shutdown(struct vcpu *v)
{
    vcpu_stop_others();
    log_err("the guest is dead (triple fault)");
    report(v);
    iommu_counters();
    iommu_inside_show();
    if (options.shutdown_halt) {
        log_err("halted, as on-shutdown=halt asks for");
        cpu_halt_forever();
    }
    machine_reset();
}

static void __noreturn impossible(struct vcpu *v, const struct vcpu_exit *exit)
{
    report(v);
    panic("%s exit %lx (%lx, %lx), which no guest can cause", vcpu_ops->name, exit->code, exit->info1,
          exit->info2);
}

static void handle_invd(struct vcpu *v)
{
    static const u8 opcode[] = { 0x0f, 0x08 };

    if (fetch_skip(v, opcode, sizeof(opcode)))
        wbinvd();
}

/* The hypervisor uses no state that XCR0 governs, so the CPU itself may judge the value. */
static void handle_xsetbv(struct vcpu *v)
{
    static const u8 opcode[] = { 0x0f, 0x01, 0xd1 };

    if (!(vcpu_ops->get(v, REG_CR4) & CR4_OSXSAVE))
        vcpu_inject_exception(v, VEC_UD, false, 0);
    else if (vcpu_ops->get(v, REG_CPL) ||
             !xsetbv_safe((u32)v->gpr[RCX], (u32)v->gpr[RAX] | v->gpr[RDX] << 32))
        vcpu_inject_exception(v, VEC_GP, true, 0);
    else
        (void)!fetch_skip(v, opcode, sizeof(opcode));
}

/* A unit's event was handled, by any CPU, before its NMI has come to the CPU that booted. */
static bool early;

void judge_nmi(struct vcpu *v)
{
    bool ours = __atomic_exchange_n(&v->kicked, false, __ATOMIC_SEQ_CST);
    if (v->index == EVENT_CPU) {
        ours |= __atomic_exchange_n(&early, false, __ATOMIC_SEQ_CST);
        ours |= iommu_event();
        if (!ours)
            ours = iommu_echo();
    }
    if (!ours)
        vcpu_inject_nmi(v);
}

static __attribute__((noinline)) void dispatch(struct vcpu *v, const struct vcpu_exit *exit)
{
    switch (exit->kind) {
    case VEXIT_NESTED:
        handle_nested_fault(v, exit);
        break;
    case VEXIT_NMI:
        vcpu_ops->take_nmi(v);
        judge_nmi(v);
        break;
    case VEXIT_AGAIN:
        break;
    case VEXIT_IO:
        handle_io(v, exit);
        break;
    case VEXIT_CPUID:
        handle_cpuid(v);
        break;
    case VEXIT_RDMSR:
        handle_rdmsr(v);
        break;
    case VEXIT_WRMSR:
        handle_wrmsr(v);
        break;
    case VEXIT_HYPERCALL:
        handle_hypercall(v);
        break;
    case VEXIT_VIRT_INSN:
        vcpu_inject_exception(v, VEC_UD, false, 0);
        break;
    case VEXIT_XSETBV:
        handle_xsetbv(v);
        break;
    case VEXIT_INVD:
        handle_invd(v);
        break;
    case VEXIT_INIT:
        log_err("INIT from outside the processors: resetting the machine");
        machine_reset();
    case VEXIT_SHUTDOWN:
        shutdown(v);
    default:
        impossible(v, exit);
    }
}

/* All of the access; at the same place as before, that has been looked at. */
static inline bool reaches(struct fetched *f, u64 gpa)
{
    if (likely(gpa == f->gpa))
        return true;
    if (gpa - f->range->base >= f->range->size || (gpa & (PAGE_SIZE - 1)) > PAGE_SIZE - f->insn.width)
        return false;
    f->gpa = gpa;
    return true;
}

/* The hot path: what handle_nested_fault() would do with a plain move to registers that it has reached
 * before. False: not so plain, and nothing has happened. */
static bool handle_known_move(struct vcpu *v, const struct vcpu_exit *exit)
{
    struct fetch_slot *s = fetch_known(v);

    if (!s || (exit->access & NESTED_KIND) != s->fetched.access)
        return false;
    const struct insn *insn = &s->fetched.insn;
    const struct mmio_range *range = s->fetched.range;
    u64 gpa = exit->gpa, value;
    u64 at = insn->disp + (insn->base == INSN_NO_REG ? 0 : v->gpr[insn->base]);
    if (((at ^ gpa) & (PAGE_SIZE - 1)) || !reaches(&s->fetched, gpa))
        return false;

    value = insn->other == INSN_OTHER_REG ? v->gpr[insn->reg] : insn->imm;
    value = range->handler(range->ctx, gpa, insn->width, !insn->to_reg, value, v);
    if (insn->to_reg)
        v->gpr[insn->reg] = insn->width == 4 ? (u32)value : value;
    v->mismatches = 0;
    v->rflags &= ~RFLAGS_RF;
    fetch_advance(v, v->rip + insn->len);
    return true;
}

void guest_run(struct vcpu *v)
{
    for (;;) {
        while (unlikely(vcpu_asked(v)))
            cpu_serve(v);
        vcpu_ops->run(v);
        vcpu_out(v);
        v->exits++;
        if (v->exit.kind != VEXIT_NESTED || !handle_known_move(v, &v->exit))
            dispatch(v, &v->exit);
        if (likely(!iommu_busy()))
            continue;
        if (iommu_event())
            early = true;
        /* Should its event get lost, or its deadline pass while the guest never exits. */
        if (vcpu_ops->exit_within && iommu_busy())
            vcpu_ops->exit_within(v, BACKSTOP_US);
    }
}
