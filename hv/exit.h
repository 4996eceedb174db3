/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run loop and what each exit means. Policies live beside it: cpuid.c, msr.c, mmio.c (decode and
 * execute), apic.c (start-up IPIs), pci.c, power.c.
 */
#ifndef HV_EXIT_H
#define HV_EXIT_H

#include "arch/insn.h"
#include "arch/vcpu.h"

/* What hypercall 0 and CPUID 40000001h answer: major 31:16, minor 15:0. */
#define SLUICE_VERSION 0x00000001u

/* Bits of CPUID 40000001h.EBX: the promises that this configuration keeps. */
#define FEATURE_FRESH     BIT(0)
#define FEATURE_CONTAINED BIT(1)
#define FEATURE_BOUNDED   BIT(2)
#define FEATURE_TRUE      BIT(3)
#define FEATURE_DTLB      BIT(4) /* a flush of the IOTLB flushes device TLBs too: no need to ask for it */

void __noreturn guest_run(struct vcpu *v);

/* An NMI has come to this CPU: another CPU's kick, a unit's event, or the guest's, which then gets it. */
void judge_nmi(struct vcpu *v);

/* Does what other CPUs have asked for; a CPU that waits for its start-up message stays in it. */
void cpu_serve(struct vcpu *v);

/* One policy each; called by guest_run(). */
void handle_cpuid(struct vcpu *v);
void handle_rdmsr(struct vcpu *v);
void handle_wrmsr(struct vcpu *v);
void handle_nested_fault(struct vcpu *v, const struct vcpu_exit *exit);
void handle_io(struct vcpu *v, const struct vcpu_exit *exit);
void handle_hypercall(struct vcpu *v);

/* The bytes at RIP, each with a space before it; none where they cannot be read. */
#define CODE_TEXT (3 * INSN_MAX_LEN + 1)
void show_code(struct vcpu *v, char text[CODE_TEXT]);

void msr_init(void); /* tells the backend which MSRs need no exit */

/* Ends on this CPU what firmware may have left on and the guest must not have. ERR_BUSY: it does not end. */
int msr_cpu_init(void) __must_check;

/* msr.c's questions to those who know. False: #GP. */
bool mtrr_read(u32 msr, u64 *value) __must_check;
bool mtrr_write(u32 msr, u64 value) __must_check;
void mtrr_init(void);
void mtrr_load(void); /* makes this CPU's those of all */
u64 apic_read_base(const struct vcpu *v);
bool apic_write_base(struct vcpu *v, u64 value) __must_check;
bool apic_write_x2(struct vcpu *v, u32 msr, u64 value) __must_check;

int apic_init(void) __must_check;       /* traps ICR writes in xAPIC and x2APIC mode */
void apic_cpu_init(struct vcpu *v);     /* on each CPU: what firmware left in its APIC */
void apic_reset(struct vcpu *v);        /* what an INIT does to it */
int pci_filter_init(void) __must_check; /* 0xCF8/0xCFC, ECAM writes; tells iommu/ about ATS */
int emulator_init(void) __must_check;   /* takes away QEMU's doors to memory, which pass every unit */
int power_init(void) __must_check; /* PM1_CNT and sleep control: S5 after the counters, S1 to S3 refused */

/* Sends an interrupt message to the guest through the local APIC; judged before (fixed or lowest priority
 * only, destination an address of 0xFEExxxxx). False: refused. A half-written ICR of the guest is preserved.
 */
bool apic_send_message(u64 address, u32 data);

/* Message with which a unit tells us of its events: NMI to EVENT_CPU, which is the one that booted, as that
 * one never waits for a start-up message. */
#define EVENT_CPU 0
void apic_event_message(u64 *address, u32 *data);

/* vcpu_guest_access of arch/vcpu.h. */
bool guest_access(struct vcpu *v, const struct vcpu_mode *mode, u64 linear, void *data, unsigned size,
                  bool write) __must_check;

#endif
