/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The architecture's own numbers, as far as more than one file needs them (SDM 3A, 2.5 and 4.5; APM 2, 3.1).
 */
#ifndef ARCH_X86_H
#define ARCH_X86_H

#include "arch/types.h"

/* General-purpose registers in the hardware's encoding order. */
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, NR_GPR };

enum {
    VEC_DE = 0,
    VEC_DB = 1,
    VEC_NMI = 2,
    VEC_BP = 3,
    VEC_OF = 4,
    VEC_UD = 6,
    VEC_DF = 8,
    VEC_TS = 10,
    VEC_NP = 11,
    VEC_GP = 13,
    VEC_PF = 14,
    VEC_AC = 17,
    VEC_MC = 18,
};

#define CR0_PE BIT(0)
#define CR0_TS BIT(3)
#define CR0_ET BIT(4)
#define CR0_NE BIT(5)
#define CR0_WP BIT(16)
#define CR0_NW BIT(29)
#define CR0_CD BIT(30)
#define CR0_PG BIT(31)

#define CR4_PSE     BIT(4)
#define CR4_PAE     BIT(5)
#define CR4_MCE     BIT(6)
#define CR4_LA57    BIT(12)
#define CR4_VMXE    BIT(13)
#define CR4_OSXSAVE BIT(18)
#define CR4_SMEP    BIT(20)
#define CR4_SMAP    BIT(21)
#define CR4_PKE     BIT(22)

#define EFER_LME  BIT(8)
#define EFER_LMA  BIT(10)
#define EFER_NXE  BIT(11)
#define EFER_SVME BIT(12)

#define RFLAGS_FIXED BIT(1)
#define RFLAGS_TF    BIT(8)
#define RFLAGS_IF    BIT(9)
#define RFLAGS_DF    BIT(10)
#define RFLAGS_NT    BIT(14)
#define RFLAGS_RF    BIT(16)
#define RFLAGS_VM    BIT(17)

#define DR6_BS BIT(14) /* a single step; also in VMX's pending debug exceptions */

/* Page tables; the same in AMD's nested ones. */
#define PTE_P    BIT(0)
#define PTE_W    BIT(1)
#define PTE_U    BIT(2)
#define PTE_PWT  BIT(3)
#define PTE_PCD  BIT(4)
#define PTE_A    BIT(5)
#define PTE_D    BIT(6)
#define PTE_PS   BIT(7)
#define PTE_NX   BIT(63)
#define PTE_ADDR MASK(51, 12)

#define MSR_TSC             0x10u
#define MSR_FEATURE_CONTROL 0x3au
#define MSR_DEBUGCTL        0x1d9u
#define MSR_PAT             0x277u
#define MSR_TSC_DEADLINE    0x6e0u
#define MSR_EFER            0xc0000080u
#define MSR_GS_BASE         0xc0000101u
#define MSR_VM_CR           0xc0010114u

#define PAT_POWER_ON 0x0007040600070406ull

/* MSR_FEATURE_CONTROL, MSR_VM_CR */
#define FEATURE_LOCK BIT(0)
#define FEATURE_VMX  BIT(2) /* outside SMX */
#define VM_CR_SVMDIS BIT(4)

#endif
