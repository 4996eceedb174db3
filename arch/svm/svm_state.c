/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's registers in the VMCB: how it starts, and what the layers above read of it.
 */
#include "arch/svm/svm.h"
#include "arch/cpu.h"
#include "arch/log.h"

#define DR6_RESET 0xffff0ff0u
#define DR7_RESET 0x400u

/* Segment attributes: G, D, L, then P, DPL, S and type as in the descriptor. */
#define ATTR_G    0x800
#define ATTR_D    0x400
#define ATTR_L    0x200
#define ATTR_CODE 0x9b
#define ATTR_DATA 0x93
#define ATTR_LDT  0x82
#define ATTR_TSS  0x8b /* busy, 32 or 64 bits */

static void set_data(struct vmcb *b, struct vmcb_segment data)
{
    b->ds = b->es = b->ss = b->fs = b->gs = data;
}

void svm_start(struct vcpu *v, const struct vcpu_start *start)
{
    struct svm_vcpu *s = svm_of(v);
    struct vmcb *b = s->vmcb;

    s->shutdown = s->nmi_pending = s->nmi_blocked = s->iret_pending = s->stepping = false;
    b->intercept_misc1 &= ~INTERCEPT1_IRET;
    b->intercept_exceptions = 0;
    s->flush = s->attention = true; /* what the CPU cached belongs to a life before */

    __builtin_memcpy(v->gpr, start->gpr, sizeof(v->gpr));
    v->rip = start->rip;
    v->rflags = RFLAGS_FIXED;
    b->efer = EFER_SVME;
    b->cr4 = 0;
    b->cr3 = 0;
    b->cr2 = 0;
    b->dr6 = DR6_RESET;
    b->dr7 = DR7_RESET;
    b->g_pat = PAT_POWER_ON;
    b->cpl = 0;
    b->interrupt_state = 0;
    b->event_inj = 0;
    b->ldtr = (struct vmcb_segment){ .attrib = ATTR_LDT, .limit = 0xffff };
    b->tr = (struct vmcb_segment){ .attrib = ATTR_TSS, .limit = 0xffff };
    b->gdtr = (struct vmcb_segment){ .base = start->gdt_base, .limit = start->gdt_limit };
    b->idtr = (struct vmcb_segment){ .limit = 0 };

    switch (start->mode) {
    case START_REAL:
        v->rip = 0;
        b->cr0 = CR0_CD | CR0_NW | CR0_ET;
        b->cs = (struct vmcb_segment){ (u16)(start->sipi_vector << 8), ATTR_CODE, 0xffff,
                                       (u64)start->sipi_vector << 12 };
        set_data(b, (struct vmcb_segment){ 0, ATTR_DATA, 0xffff, 0 });
        b->gdtr.limit = b->idtr.limit = 0xffff;
        break;
    case START_PROT32:
        b->cr0 = CR0_PE | CR0_ET;
        b->cs = (struct vmcb_segment){ 0x08, ATTR_CODE | ATTR_G | ATTR_D, ~0u, 0 };
        set_data(b, (struct vmcb_segment){ 0x10, ATTR_DATA | ATTR_G | ATTR_D, ~0u, 0 });
        break;
    case START_LONG64:
        b->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
        b->cr3 = start->cr3;
        b->cr4 = CR4_PAE;
        b->efer |= EFER_LME | EFER_LMA;
        b->cs = (struct vmcb_segment){ 0x10, ATTR_CODE | ATTR_G | ATTR_L, ~0u, 0 };
        set_data(b, (struct vmcb_segment){ 0x18, ATTR_DATA | ATTR_G | ATTR_D, ~0u, 0 });
        break;
    }
}

void svm_get_mode(struct vcpu *v, struct vcpu_mode *out)
{
    const struct vmcb *b = svm_of(v)->vmcb;

    out->cr0 = b->cr0;
    out->cr3 = b->cr3;
    out->cr4 = b->cr4;
    out->efer = b->efer & ~EFER_SVME;
    out->cs_attrib = b->cs.attrib;
    out->cpl = b->cpl;
    out->v86 = v->rflags & RFLAGS_VM;
    out->cs_base = (b->efer & EFER_LMA) && (b->cs.attrib & ATTR_L) ? 0 : b->cs.base;
}

/* A base of CS that does not count in 64-bit code makes it another mode, which nobody has. */
bool svm_mode_is(struct vcpu *v, const struct vcpu_mode *mode)
{
    const struct vmcb *b = svm_of(v)->vmcb;

    return !((b->cr0 ^ mode->cr0) | (b->cr3 ^ mode->cr3) | (b->cr4 ^ mode->cr4) |
             (b->efer ^ (mode->efer | EFER_SVME)) | (b->cs.base ^ mode->cs_base) |
             (u64)(b->cs.attrib ^ mode->cs_attrib) | (u64)(b->cpl ^ mode->cpl));
}

void svm_get_segment(struct vcpu *v, enum vcpu_seg seg, struct vcpu_segment *out)
{
    const struct vmcb *b = svm_of(v)->vmcb;
    const struct vmcb_segment *from =
        seg == SEG_TR ? &b->tr : &b->es + seg; /* in the order of their numbers */

    *out = (struct vcpu_segment){ from->selector, from->attrib, from->limit, from->base };
}

bool svm_read_msr(struct vcpu *v, u32 msr, u64 *value)
{
    const struct vmcb *b = svm_of(v)->vmcb;

    switch (msr) {
    case MSR_EFER:
        *value = b->efer & ~EFER_SVME;
        return true;
    case MSR_PAT:
        *value = b->g_pat;
        return true;
    default:
        return vcpu_read_tsc_msr(msr, b->tsc_offset, value);
    }
}

bool svm_write_msr(struct vcpu *v, u32 msr, u64 value)
{
    struct vmcb *b = svm_of(v)->vmcb;

    switch (msr) {
    case MSR_EFER:
        b->efer = (value & ~EFER_LMA) | (b->efer & EFER_LMA) | EFER_SVME;
        return true;
    case MSR_PAT:
        if (!vcpu_pat_valid(value))
            return false;
        b->g_pat = value;
        return true;
    default:
        return vcpu_write_tsc_msr(msr, &b->tsc_offset, value);
    }
}

void svm_dump(struct vcpu *v)
{
    const struct vmcb *b = svm_of(v)->vmcb;

    log_err("guest CPU %u: exit %lx info %lx %lx event %lx injected %lx cr2 %016lx", v->index, b->exit_code,
            b->exit_info1, b->exit_info2, b->exit_int_info, b->event_inj, b->cr2);
    log_err("tr %04x attributes %03x limit %08x base %016lx", b->tr.selector, b->tr.attrib, b->tr.limit,
            b->tr.base);
    log_err("gdt base %016lx limit %04x, idt base %016lx limit %04x", b->gdtr.base, b->gdtr.limit,
            b->idtr.base, b->idtr.limit);
}
