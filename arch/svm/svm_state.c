/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's registers in the VMCB: what a reset leaves there, and where the layers above find it.
 */
#include "arch/svm/svm.h"
#include "arch/cpu.h"
#include "arch/log.h"

#define DR6_RESET 0xffff0ff0u
#define DR7_RESET 0x400u

void svm_reset(struct vcpu *v)
{
    struct svm_vcpu *s = svm_of(v);
    struct vmcb *b = s->vmcb;

    s->nmi_blocked = s->iret_pending = s->stepping = false;
    b->intercept_misc1 &= ~INTERCEPT1_IRET;
    b->intercept_exceptions = 0;
    s->flush = v->attention = true; /* what the CPU cached belongs to a life before */
    b->dr6 = DR6_RESET;
    b->dr7 = DR7_RESET;
    b->cpl = 0;
    b->interrupt_state = 0;
    b->event_inj = 0;
}

static u64 *place(struct vmcb *b, enum vcpu_reg reg)
{
    u64 *const places[] = { &b->cr0, &b->cr3, &b->cr4, &b->efer, &b->g_pat, &b->tsc_offset, &b->cr2 };

    return places[reg];
}

/* VMRUN insists on SVME, which the guest does not see. */
u64 svm_get(struct vcpu *v, enum vcpu_reg reg)
{
    struct vmcb *b = svm_of(v)->vmcb;

    return reg == REG_CPL ? b->cpl : reg == REG_EFER ? b->efer & ~EFER_SVME : *place(b, reg);
}

void svm_set(struct vcpu *v, enum vcpu_reg reg, u64 value)
{
    *place(svm_of(v)->vmcb, reg) = value | (reg == REG_EFER ? EFER_SVME : 0);
}

/* A base of CS that does not count in 64-bit code makes it another mode, which nobody has. */
bool svm_mode_is(struct vcpu *v, const struct vcpu_mode *mode)
{
    const struct vmcb *b = svm_of(v)->vmcb;
    const struct vcpu_segment *cs = &b->segments[SEG_CS];

    return !((b->cr0 ^ mode->cr0) | (b->cr3 ^ mode->cr3) | (b->cr4 ^ mode->cr4) |
             (b->efer ^ (mode->efer | EFER_SVME)) | (cs->base ^ mode->cs_base) |
             (u64)(cs->attrib ^ mode->cs_attrib) | (u64)(b->cpl ^ mode->cpl));
}

void svm_get_segment(struct vcpu *v, unsigned seg, struct vcpu_segment *out)
{
    *out = svm_of(v)->vmcb->segments[seg];
}

void svm_set_segment(struct vcpu *v, unsigned seg, const struct vcpu_segment *in)
{
    svm_of(v)->vmcb->segments[seg] = *in;
}

void svm_dump(struct vcpu *v)
{
    const struct vmcb *b = svm_of(v)->vmcb;

    log_err("guest CPU %u: exit %lx info %lx %lx event %lx injected %lx", v->index, b->exit_code,
            b->exit_info1, b->exit_info2, b->exit_int_info, v->event);
}
