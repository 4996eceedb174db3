/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's registers in the VMCS.
 *
 * CR0 and CR4: what the guest writes takes effect in hardware, except for the few bits of the masks. A write
 * that changes one of those exits; its shadow is set and the instruction is done again, which then goes
 * through: so paging, PDPTEs, long mode and every #GP stay the CPU's own work.
 */
#include "arch/cpu.h"
#include "arch/log.h"
#include "arch/string.h"
#include "arch/vmx/vmx_int.h"

#define DR7_RESET 0x400
#define ATTRIB_L  BIT(9)

static void write_segment(unsigned seg, u16 selector, u64 base, u32 limit, u32 access)
{
    vmwrite(GUEST_SELECTOR + 2 * seg, selector);
    vmwrite(GUEST_BASE + 2 * seg, base);
    vmwrite(GUEST_LIMIT + 2 * seg, limit);
    vmwrite(GUEST_ACCESS + 2 * seg, access);
}

static void write_cr0(u64 value)
{
    vmwrite(GUEST_CR0, value | vmx_controls.cr0_set);
    vmwrite(CR0_SHADOW, value);
}

static void write_cr4_state(u64 value)
{
    vmwrite(GUEST_CR4, value | vmx_controls.cr4_set);
    vmwrite(CR4_SHADOW, value);
}

void vmx_vcpu_start(struct vcpu *v, const struct vcpu_start *s)
{
    struct vmx_vcpu *vm = vmx_of(v);
    u64 efer = 0;

    memcpy(v->gpr, s->gpr, sizeof(v->gpr));
    v->rip = s->mode == START_REAL ? 0 : s->rip;
    v->rflags = RFLAGS_FIXED;

    switch (s->mode) {
    case START_REAL:
        write_segment(SEG_CS, (u16)(s->sipi_vector << 8), (u64)s->sipi_vector << 12, 0xffff, 0x9b);
        for (unsigned i = 0; i < NR_SEG; i++)
            if (i != SEG_CS)
                write_segment(i, 0, 0, 0xffff, 0x93);
        write_cr0(CR0_ET);
        write_cr4_state(0);
        break;
    case START_PROT32:
        for (unsigned i = 0; i < NR_SEG; i++)
            write_segment(i, 0x10, 0, ~0u, 0xc093);
        write_segment(SEG_CS, 0x08, 0, ~0u, 0xc09b);
        write_cr0(CR0_PE | CR0_ET);
        write_cr4_state(0);
        break;
    case START_LONG64:
        for (unsigned i = 0; i < NR_SEG; i++)
            write_segment(i, 0x18, 0, ~0u, 0xc093);
        write_segment(SEG_CS, 0x10, 0, ~0u, 0xa09b);
        write_cr0(CR0_PE | CR0_ET | CR0_PG);
        write_cr4_state(CR4_PAE);
        efer = EFER_LME | EFER_LMA;
        break;
    }
    write_segment(VMCS_LDTR, 0, 0, 0xffff, ACCESS_UNUSABLE | 0x82);
    write_segment(VMCS_TR, 0, 0, 0xffff, 0x8b);
    vmwrite(GUEST_GDTR_BASE, s->gdt_base);
    vmwrite(GUEST_GDTR_LIMIT, s->gdt_base ? s->gdt_limit : 0xffff);
    vmwrite(GUEST_IDTR_BASE, 0);
    vmwrite(GUEST_IDTR_LIMIT, s->mode == START_REAL ? 0xffff : 0);
    vmwrite(GUEST_CR3, s->mode == START_LONG64 ? s->cr3 : 0);
    vmwrite(GUEST_EFER, efer);
    vmwrite(ENTRY_CONTROLS, vmx_controls.entry | (efer & EFER_LMA ? ENTRY_IA32E : 0));
    vmwrite(GUEST_PAT, PAT_POWER_ON);
    vmwrite(GUEST_DEBUGCTL, 0);
    vmwrite(GUEST_DR7, DR7_RESET);
    vmwrite(GUEST_SYSENTER_CS, 0);
    vmwrite(GUEST_SYSENTER_ESP, 0);
    vmwrite(GUEST_SYSENTER_EIP, 0);
    for (unsigned i = 0; i < 4; i++)
        vmwrite(GUEST_PDPTE0 + 2 * i, 0);
    vmwrite(GUEST_PENDING_DEBUG, 0);
    vmwrite(GUEST_INTERRUPTIBILITY, 0);
    vmwrite(GUEST_ACTIVITY, ACTIVITY_ACTIVE);
    vmwrite(GUEST_RIP, vm->rip = v->rip);
    vmwrite(GUEST_RSP, vm->rsp = v->gpr[RSP]);
    vmwrite(GUEST_RFLAGS, vm->rflags = v->rflags);
    vm->event = 0;
    vmwrite(ENTRY_EVENT, 0);
    vm->nmi_pending = vm->shutdown = false;
    vmx_nmi_window(vm, false);
    /* What the CPU cached under this VPID belongs to a life before. */
    vmx_flush_vpid(vm);
}

static u64 shadowed(u64 real, u64 mask, u64 shadow)
{
    return (real & ~mask) | (shadow & mask);
}

void vmx_get_mode(struct vcpu *v, struct vcpu_mode *out)
{
    struct vcpu_segment cs;

    vmx_get_segment(v, SEG_CS, &cs);
    out->cr0 = shadowed(vmread(GUEST_CR0), vmx_controls.cr0_mask, vmread(CR0_SHADOW));
    out->cr3 = vmread(GUEST_CR3);
    out->cr4 = shadowed(vmread(GUEST_CR4), vmx_controls.cr4_mask, vmread(CR4_SHADOW));
    out->efer = vmread(GUEST_EFER);
    out->cs_attrib = cs.attrib;
    out->cs_base = (out->efer & EFER_LMA) && (cs.attrib & ATTRIB_L) ? 0 : cs.base;
    out->cpl = vmread(GUEST_ACCESS + 2 * SEG_SS) >> 5 & 3;
    out->v86 = v->rflags & RFLAGS_VM;
}

bool vmx_mode_is(struct vcpu *v, const struct vcpu_mode *mode)
{
    struct vcpu_mode now;

    vmx_get_mode(v, &now);
    return now.cr0 == mode->cr0 && now.cr3 == mode->cr3 && now.cr4 == mode->cr4 && now.efer == mode->efer &&
           now.cs_base == mode->cs_base && now.cs_attrib == mode->cs_attrib && now.cpl == mode->cpl;
}

void vmx_get_segment(struct vcpu *v, enum vcpu_seg seg, struct vcpu_segment *out)
{
    (void)v;
    u64 access = vmread(GUEST_ACCESS + 2 * seg);

    out->selector = (u16)vmread(GUEST_SELECTOR + 2 * seg);
    out->base = vmread(GUEST_BASE + 2 * seg);
    out->limit = (u32)vmread(GUEST_LIMIT + 2 * seg);
    out->attrib = access & ACCESS_UNUSABLE ? 0 : (u16)((access & 0xff) | (access >> 4 & 0xf00));
}

void vmx_cr_exit(struct vmx_vcpu *vm, u64 qualification)
{
    unsigned cr = qualification & 15;
    u64 value = vm->v->gpr[qualification >> 8 & 15];

    if (cr == 0)
        vmwrite(CR0_SHADOW, value);
    else if (value & ~vmx_controls.cr4_guest)
        vmx_inject_exception(vm->v, VEC_GP, true, 0);
    else
        vmwrite(CR4_SHADOW, value);
}

bool vmx_read_msr(struct vcpu *v, u32 msr, u64 *value)
{
    (void)v;
    switch (msr) {
    case MSR_EFER:
        *value = vmread(GUEST_EFER);
        return true;
    case MSR_PAT:
        *value = vmread(GUEST_PAT);
        return true;
    default:
        return vcpu_read_tsc_msr(msr, vmread(TSC_OFFSET), value);
    }
}

/* LMA follows LME and PG in the CPU; an entry is refused where it does not. */
static void write_efer(const struct vmx_vcpu *vm, u64 value)
{
    u64 old = vmread(GUEST_EFER);

    vmwrite(GUEST_EFER, (value & ~EFER_LMA) | (old & EFER_LMA));
    if ((value ^ old) & EFER_NXE)
        vmx_flush_vpid(vm);
}

bool vmx_write_msr(struct vcpu *v, u32 msr, u64 value)
{
    switch (msr) {
    case MSR_EFER:
        write_efer(vmx_of(v), value);
        return true;
    case MSR_PAT:
        if (!vcpu_pat_valid(value))
            return false;
        vmwrite(GUEST_PAT, value);
        return true;
    default:
        break;
    }
    u64 offset = vmread(TSC_OFFSET);
    bool done = vcpu_write_tsc_msr(msr, &offset, value);
    vmwrite(TSC_OFFSET, offset);
    return done;
}
