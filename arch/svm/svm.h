/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the files of this backend. svm.c switches the CPU on and owns the bitmaps and the guest's
 * registers, svm_exit.c goes in and out and keeps track of events.
 */
#ifndef ARCH_SVM_SVM_H
#define ARCH_SVM_SVM_H

#include "arch/svm/vmcb.h"
#include "arch/vcpu.h"

#define MSR_VM_HSAVE_PA 0xc0010117u

struct svm_vcpu {
    struct vmcb *vmcb;
    u64 vmcb_pa;
    u64 host_pa; /* what VMLOAD gives the host back on this CPU */

    bool flush; /* the nested table has changed */

    /* NMIs. Blocking by the CPU itself is not relied upon: not every emulator has it. */
    bool nmi_blocked;  /* from injection until the guest's IRET is done */
    bool iret_pending; /* the guest stands at the IRET at iret_rip */
    bool stepping;     /* RFLAGS.TF and the exception intercepts are ours for this IRET */
    u64 iret_rip;
    u64 step_dr6;
};

static inline struct svm_vcpu *svm_of(struct vcpu *v)
{
    return v->backend;
}

/* svm_exit.c */
void svm_run(struct vcpu *v);
void svm_take_nmi(struct vcpu *v);
bool svm_software_smi(u16 port, u8 value);
void svm_retired(struct vcpu *v);

#endif
