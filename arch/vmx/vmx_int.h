/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the backend share.
 *
 *   vmx.c       switch it on, a VMCS and its constant fields, the operations' table
 *   controls.c  which controls on which CPU (pure); arch/probe.c asks it
 *   state.c     where the guest's registers are
 *   run.c       enter, and what each exit means
 *   event.c     exceptions and NMIs into the guest
 *   task.c      task switches, which VMX leaves to software
 *   ept.c       entry format, memory types, INVEPT
 *   report.c    exit reasons, by kind and in words; failed entries in words
 */
#ifndef ARCH_VMX_VMX_INT_H
#define ARCH_VMX_VMX_INT_H

#include "arch/vcpu.h"
#include "arch/probe.h"
#include "arch/vmx/vmcs.h"

#define VPID_OF(v) ((v)->index + 1u) /* 0 is Sluice's own */

struct vmx_vcpu {
    struct vcpu *v;
    bool launched;

    u64 rip, rsp, rflags; /* as in the VMCS */
    bool ept_stale;       /* INVEPT before the next entry */

    u32 event_length; /* of the instruction that is v->event, 0 = none */
    bool nmi_window;  /* its control is on */
    u32 nmi_seen;     /* this CPU's count at the last take_nmi() */
    bool nmi_exit;    /* the last exit was an NMI that no handler has seen */

    bool timer_on;
    u32 timer_us; /* of the next entry; 0 = none */

    u32 reason; /* of the last exit */
    u64 qualification;
};

static inline struct vmx_vcpu *vmx_of(struct vcpu *v)
{
    return v->backend;
}

/* state.c */
void vmx_reset(struct vcpu *v);
u64 vmx_get(struct vcpu *v, enum vcpu_reg reg);
void vmx_set(struct vcpu *v, enum vcpu_reg reg, u64 value);
bool vmx_reads_code_as(struct vcpu *v, const struct vcpu_mode *mode);
void vmx_get_segment(struct vcpu *v, unsigned seg, struct vcpu_segment *out);
void vmx_set_segment(struct vcpu *v, unsigned seg, const struct vcpu_segment *in);
void vmx_cr_exit(struct vmx_vcpu *vm, u64 qualification);

/* run.c, entry.asm */
void vmx_exit_within(struct vcpu *v, u32 us);
void vmx_run(struct vcpu *v);
enum { ENTER_EXITED, ENTER_FAIL_VALID, ENTER_FAIL_INVALID, ENTER_NMI }; /* what vmx_enter() returns */
int vmx_enter(u64 gpr[NR_GPR], bool launched, u32 nmi_seen) __must_check;
void vmx_exit(void);

/* event.c */
void vmx_retired(struct vcpu *v);
void vmx_take_nmi(struct vcpu *v);
void vmx_prepare_event(struct vmx_vcpu *vm); /* before an entry */
bool vmx_recover_event(struct vmx_vcpu *vm); /* after an exit: false = it interrupted nothing */
void vmx_reflect_exception(struct vmx_vcpu *vm, u32 info);
void vmx_nmi_window(struct vmx_vcpu *vm, bool on);

/* task.c */
void vmx_task_switch(struct vmx_vcpu *vm);

/* ept.c */
void vmx_mtrrs_read(void);
void vmx_mtrrs_changed(const struct mtrr_state *now);
u64 vmx_nested_leaf(u64 pa, unsigned level, bool write);
#define EPT_READ    BIT(0)
#define EPT_WRITE   BIT(1)
#define EPT_EXECUTE BIT(2)
u64 vmx_ept_pointer(void);
void vmx_nested_flush(struct vcpu *v);
void vmx_flush_if_stale(struct vmx_vcpu *vm);
void vmx_flush_vpid(const struct vmx_vcpu *vm); /* the guest's own translations */

/* report.c */
void vmx_dump(struct vcpu *v);
void vmx_explain_failure(struct vmx_vcpu *vm, int how); /* `how`: what vmx_enter() returned; 0 = by reason */
const char *vmx_reason_name(u32 reason);
enum vcpu_exit_kind vmx_reason_kind(u32 reason);

#endif
