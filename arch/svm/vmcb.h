/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual machine control block (AMD APM 2, appendix B), and the numbers that go with it.
 */
#ifndef ARCH_SVM_VMCB_H
#define ARCH_SVM_VMCB_H

#include "arch/vcpu.h"

/* What nobody looks at is reserved here; 0 in the clean bits among it means that all is read. */
struct vmcb {
    /* Control area. */
    u8 reserved_000[8];
    u32 intercept_exceptions; /* 0x008 */
    u32 intercept_misc1;      /* 0x00c: INTERCEPT1_* */
    u32 intercept_misc2;      /* 0x010: INTERCEPT2_* */
    u8 reserved_014[0x40 - 0x14];
    u64 iopm_base_pa; /* 0x040 */
    u64 msrpm_base_pa;
    u64 tsc_offset;
    u32 guest_asid; /* 0x058 */
    u8 tlb_control; /* 0x05c: TLB_* */
    u8 reserved_05d[0x68 - 0x5d];
    u64 interrupt_state; /* 0x068: SHADOW */
    u64 exit_code;       /* 0x070; compare the low 32 bits */
    u64 exit_info1;
    u64 exit_info2;    /* 0x080 */
    u64 exit_int_info; /* 0x088: EVENT_*, stale unless EVENT_VALID */
    u64 np_enable;     /* 0x090 */
    u8 reserved_098[0xa8 - 0x98];
    u64 event_inj; /* 0x0a8: EVENT_* */
    u64 n_cr3;     /* 0x0b0 */
    u8 reserved_0b8[0x400 - 0xb8];

    /* State save area. */
    struct vcpu_segment segments[NR_TABLES]; /* 0x400 */
    u8 reserved_4a0[0x4cb - 0x4a0];
    u8 cpl; /* 0x4cb */
    u32 reserved_4cc;
    u64 efer; /* 0x4d0 */
    u8 reserved_4d8[0x548 - 0x4d8];
    u64 cr4; /* 0x548 */
    u64 cr3, cr0, dr7, dr6;
    u64 rflags; /* 0x570 */
    u64 rip;
    u8 reserved_580[0x5d8 - 0x580];
    u64 rsp; /* 0x5d8 */
    u8 reserved_5e0[0x5f8 - 0x5e0];
    u64 rax; /* 0x5f8 */
    u8 reserved_600[0x640 - 0x600];
    u64 cr2; /* 0x640 */
    u8 reserved_648[0x668 - 0x648];
    u64 g_pat; /* 0x668 */
    u8 reserved_670[0x1000 - 0x670];
};
/* Behind each gap. */
_Static_assert(sizeof(struct vmcb) == 0x1000, "one page");
_Static_assert(offsetof(struct vmcb, iopm_base_pa) == 0x040, "APM 2, table B-1");
_Static_assert(offsetof(struct vmcb, interrupt_state) == 0x068, "APM 2, table B-1");
_Static_assert(offsetof(struct vmcb, event_inj) == 0x0a8, "APM 2, table B-1");
_Static_assert(offsetof(struct vmcb, segments[SEG_TR]) == 0x490, "APM 2, table B-2");
_Static_assert(offsetof(struct vmcb, cpl) == 0x4cb, "APM 2, table B-2");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0, "APM 2, table B-2");
_Static_assert(offsetof(struct vmcb, cr4) == 0x548, "APM 2, table B-2");
_Static_assert(offsetof(struct vmcb, rip) == 0x578, "APM 2, table B-2");
_Static_assert(offsetof(struct vmcb, rsp) == 0x5d8, "APM 2, table B-2");
_Static_assert(offsetof(struct vmcb, rax) == 0x5f8, "APM 2, table B-2");
_Static_assert(offsetof(struct vmcb, cr2) == 0x640, "APM 2, table B-2");
_Static_assert(offsetof(struct vmcb, g_pat) == 0x668, "APM 2, table B-2");

#define INTERCEPT1_NMI      (1u << 1)
#define INTERCEPT1_CPUID    (1u << 18)
#define INTERCEPT1_IRET     (1u << 20)
#define INTERCEPT1_INVD     (1u << 22)
#define INTERCEPT1_INVLPGA  (1u << 26)
#define INTERCEPT1_IOIO     (1u << 27)
#define INTERCEPT1_MSR      (1u << 28)
#define INTERCEPT1_SHUTDOWN (1u << 31)

#define INTERCEPT2_VMRUN   (1u << 0) /* must be set */
#define INTERCEPT2_VMMCALL (1u << 1)
#define INTERCEPT2_VMLOAD  (1u << 2)
#define INTERCEPT2_VMSAVE  (1u << 3)
#define INTERCEPT2_STGI    (1u << 4)
#define INTERCEPT2_CLGI    (1u << 5)
#define INTERCEPT2_SKINIT  (1u << 6)
#define INTERCEPT2_XSETBV  (1u << 13)

#define TLB_FLUSH_ALL 1
#define NP_ENABLE     BIT(0)
#define SHADOW        BIT(0)

/* EXITINFO1 of an I/O exit, APM 2, 15.10.2; EXITINFO2 is the next RIP. */
#define IOIO_IN   BIT(0)
#define IOIO_STR  BIT(2)
#define IOIO_SIZE MASK(6, 4) /* one bit each: 1, 2, 4 bytes */
#define IOIO_PORT MASK(31, 16)

/* APM 2, appendix C; those that are only named are in svm_exit.c. */
enum svm_exit_code {
    SVM_EXIT_EXCEPTION = 0x40, /* 32 of them */
    SVM_EXIT_IRET = 0x74,
    SVM_EXIT_IOIO = 0x7b,
    SVM_EXIT_MSR = 0x7c,
    SVM_EXIT_NPF = 0x400, /* INVALID is all ones: an exit nobody knows */
};

#endif
