/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Software SMIs. Emulators run the SMI handler under the guest's intercepts when the SMI is taken in guest
 * mode, and lose the guest; so the write that raises it is made here. SMI, like NMI, is held while GIF is 0.
 */
#include "arch/cpu.h"
#include "arch/svm/svm.h"

bool svm_software_smi(u16 port, u8 value)
{
    u32 seen = this_cpu()->nmi_count;
    u64 rax = value, rbx = 0, rcx = 0, rdx = port, rsi = 0, rdi = 0;

    /* The handler returns to whatever it leaves in the saved state, which is Sluice's here, and firmware has
     * handlers that take a new RIP from the registers of who calls (SeaBIOS: RBX, where RCX is 1234h). It
     * gets the command, and nothing else that the guest chose. */
    __asm__ volatile("outb %%al, %%dx\n\t"
                     "stgi\n\t"
                     "nop\n\t"
                     "clgi"
                     : "+a"(rax), "+b"(rbx), "+c"(rcx), "+d"(rdx), "+S"(rsi), "+D"(rdi)
                     :
                     : "memory");
    return this_cpu()->nmi_count != seen;
}
