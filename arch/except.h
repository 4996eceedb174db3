/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exceptions in the hypervisor itself. Only three are not its end: an NMI, which is counted; #GP at an
 * instruction of the exception table, which has a fixup; and nothing else.
 */
#ifndef ARCH_EXCEPT_H
#define ARCH_EXCEPT_H

#include "arch/cpu.h"
#include <stdarg.h>

/* As except.asm pushes them. */
struct regs {
    u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    u64 vector, error;
    u64 rip, cs, rflags, rsp, ss;
};

/* Loads the interrupt descriptor table; builds it the first time. */
void except_init(void);

/*
 * This CPU's block even when GS base is the guest's (between exit and reload): the GDT is always ours and
 * lies in it. Repairs GS base.
 */
struct percpu *except_fix_percpu(void);

void except_dump(const struct regs *regs);
void except_backtrace(const struct regs *regs); /* NULL: from the caller on */

/* The report of panic(), without its end. In arch/log.c. */
void vpanic(const struct regs *regs, const char *fmt, va_list args) __printf(2, 0);

#endif
