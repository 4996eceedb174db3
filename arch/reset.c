/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two ends of a CPU.
 */
#include "arch/cpu.h"
#include "arch/vcpu.h"

#define RESET_PORT      0xcf9 /* the chipset's reset control */
#define RESET_FULL      0x0e
#define KBD_STATUS      0x64
#define KBD_INPUT_FULL  0x02
#define KBD_PULSE_RESET 0xfe

void cpu_halt_forever(void)
{
    for (;;)
        __asm__ volatile("cli; hlt");
}

void machine_reset(void)
{
    static const struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) no_idt;

    vcpu_stop_others();
    outb(RESET_PORT, RESET_FULL & ~4);
    outb(RESET_PORT, RESET_FULL);
    for (unsigned i = 0; i < 100000; i++)
        cpu_pause();

    for (unsigned i = 0; i < 100000 && inb(KBD_STATUS) & KBD_INPUT_FULL; i++)
        cpu_pause();
    outb(KBD_STATUS, KBD_PULSE_RESET);
    for (unsigned i = 0; i < 100000; i++)
        cpu_pause();

    /* An exception without a table is a triple fault. */
    __asm__ volatile("lidt %0; ud2" ::"m"(no_idt));
    cpu_halt_forever();
}
