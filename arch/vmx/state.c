/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's registers in the VMCS.
 *
 * CR0 and CR4: what the guest writes takes effect in hardware, except for the few bits of the masks. A write
 * that changes one of those exits; its shadow is set and the instruction is done again, which then goes
 * through: so paging, PDPTEs, long mode and every #GP stay the CPU's own work.
 */
#include "arch/cpu.h"
#include "arch/vmx/vmx_int.h"

#define DR7_RESET 0x400

/* What v holds goes with it into a VMCS that may hold anything. */
void vmx_reset(struct vcpu *v)
{
    struct vmx_vcpu *vm = vmx_of(v);

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
    vmwrite(ENTRY_EVENT, 0);
    vmx_nmi_window(vm, false);
    /* What the CPU cached under this VPID belongs to a life before. */
    vmx_flush_vpid(vm);
}

/* By enum vcpu_reg. */
static const u16 fields[] = { GUEST_CR0, GUEST_CR3, GUEST_CR4, GUEST_EFER, GUEST_PAT, TSC_OFFSET };

u64 vmx_get(struct vcpu *v, enum vcpu_reg reg)
{
    (void)v;
    switch (reg) {
    case REG_CR0:
        return (vmread(GUEST_CR0) & ~vmx_controls.cr0_mask) | (vmread(CR0_SHADOW) & vmx_controls.cr0_mask);
    case REG_CR2:
        return read_cr2();
    case REG_CR4:
        return (vmread(GUEST_CR4) & ~vmx_controls.cr4_mask) | (vmread(CR4_SHADOW) & vmx_controls.cr4_mask);
    case REG_CPL:
        return vmread(GUEST_ACCESS + 2 * SEG_SS) >> 5 & 3;
    default:
        return vmread(fields[reg]);
    }
}

void vmx_set(struct vcpu *v, enum vcpu_reg reg, u64 value)
{
    switch (reg) {
    case REG_CR0:
        value &= ~(CR0_CD | CR0_NW); /* of the CPU: an entry does not load them */
        vmwrite(CR0_SHADOW, value);
        value |= vmx_controls.cr0_set;
        break;
    case REG_CR2:
        __asm__ volatile("mov %0, %%cr2" ::"r"(value) : "memory");
        return;
    case REG_CR4:
        vmwrite(CR4_SHADOW, value);
        value |= vmx_controls.cr4_set;
        break;
    case REG_EFER: /* an entry is refused where the control does not agree */
        vmwrite(ENTRY_CONTROLS, vmx_controls.entry | (value & EFER_LMA ? ENTRY_IA32E : 0));
        if ((value ^ vmread(GUEST_EFER)) & EFER_NXE)
            vmx_flush_vpid(vmx_of(v));
        break;
    default:
        break;
    }
    vmwrite(fields[reg], value);
}

bool vmx_reads_code_as(struct vcpu *v, const struct vcpu_mode *mode)
{
    struct vcpu_mode now;

    vcpu_get_mode(v, &now);
    return now.cr0 == mode->cr0 && now.cr3 == mode->cr3 && now.cr4 == mode->cr4 && now.efer == mode->efer &&
           now.cs_attrib == mode->cs_attrib;
}

/* Where the VMCS has a segment; the last two have no selector and no access rights. */
static const u8 numbers[NR_TABLES] = { 0, 1, 2, 3, 4, 5, VMCS_GDTR, VMCS_LDTR, VMCS_IDTR, VMCS_TR };

void vmx_get_segment(struct vcpu *v, unsigned seg, struct vcpu_segment *out)
{
    unsigned at = 2u * numbers[seg];

    (void)v;
    *out = (struct vcpu_segment){ .limit = (u32)vmread(GUEST_LIMIT + at), .base = vmread(GUEST_BASE + at) };
    if (at >= 2 * NR_VMCS_SEG)
        return;
    u64 access = vmread(GUEST_ACCESS + at);
    out->selector = (u16)vmread(GUEST_SELECTOR + at);
    out->attrib = access & ACCESS_UNUSABLE ? 0 : (u16)((access & 0xff) | (access >> 4 & 0xf00));
}

void vmx_set_segment(struct vcpu *v, unsigned seg, const struct vcpu_segment *in)
{
    unsigned at = 2u * numbers[seg];

    (void)v;
    vmwrite(GUEST_LIMIT + at, in->limit);
    vmwrite(GUEST_BASE + at, in->base);
    if (at >= 2 * NR_VMCS_SEG)
        return;
    vmwrite(GUEST_SELECTOR + at, in->selector);
    vmwrite(GUEST_ACCESS + at,
            in->attrib ? (in->attrib & 0xffu) | (in->attrib & 0xf00u) << 4 : ACCESS_UNUSABLE);
}

void vmx_cr_exit(struct vmx_vcpu *vm, u64 qualification)
{
    unsigned cr = qualification & 15;
    u64 value = vm->v->gpr[qualification >> 8 & 15];

    if (cr == 0)
        vmwrite(CR0_SHADOW, value);
    else if (value & ~vmx_controls.cr4_guest)
        vcpu_inject_exception(vm->v, VEC_GP, true, 0);
    else
        vmwrite(CR4_SHADOW, value);
}
