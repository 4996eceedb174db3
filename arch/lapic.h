/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calling CPU's local APIC, in whichever mode the guest has put it.
 */
#ifndef ARCH_LAPIC_H
#define ARCH_LAPIC_H

#include "arch/types.h"

#define LAPIC_ADDRESS 0xfee00000ull

#define MSR_APIC_BASE 0x1bu
#define BASE_BSP      BIT(8)
#define BASE_X2       BIT(10)
#define BASE_ENABLED  BIT(11)
#define BASE_ADDRESS  MASK(51, 12)
#define MSR_X2APIC    0x800u /* + register / 16 */

enum lapic_reg {
    APIC_ID = 0x020,
    APIC_TPR = 0x080,
    APIC_EOI = 0x0b0,
    APIC_LDR = 0x0d0,
    APIC_DFR = 0x0e0,
    APIC_SVR = 0x0f0,
    APIC_LVT_CMCI = 0x2f0,
    APIC_ICR = 0x300,
    APIC_ICR_HIGH = 0x310,
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_FIRST = 0x330, /* thermal, performance, LINT0, LINT1 */
    APIC_LINT0 = 0x350,
    APIC_LINT1 = 0x360,
    APIC_LVT_LAST = 0x360,
    APIC_TIMER_COUNT = 0x380,
    APIC_TIMER_DIVIDE = 0x3e0,
    APIC_EXT_LVT_FIRST = 0x500, /* AMD */
    APIC_EXT_LVT_LAST = 0x530,
};

/* Interrupt command register (AMD APM 2, 16.5). */
#define ICR_VECTOR    MASK(7, 0)
#define ICR_MODE      MASK(10, 8)
#define ICR_LOGICAL   BIT(11)
#define ICR_PENDING   BIT(12)
#define ICR_ASSERT    BIT(14)
#define ICR_LEVEL     BIT(15)
#define ICR_SHORTHAND MASK(19, 18)

enum { MODE_FIXED, MODE_LOWEST, MODE_SMI, MODE_READ, MODE_NMI, MODE_INIT, MODE_STARTUP, MODE_EXTINT };
enum { TO_DESTINATION, TO_SELF, TO_ALL, TO_OTHERS };

/* Once, before anything else of this header. */
int lapic_init(void) __must_check;

/* On each CPU at first, and after each write of APIC_BASE: the mode is remembered, as it is needed often. */
void lapic_look_at_mode(void);
bool lapic_is_x2(void);

/* A register by its xAPIC offset. */
u32 lapic_read(u32 reg);
void lapic_write(u32 reg, u32 value);

/* Can a command of this CPU's name that one? In xAPIC mode there are 8 bits for it. */
bool lapic_reaches(u32 apic_id);

/* Sends a command; what the guest has written of its own next one is kept. */
void lapic_send(u32 command, u32 dest);

#endif
