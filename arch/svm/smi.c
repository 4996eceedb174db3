/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Software SMIs. Emulators run the SMI handler under the guest's intercepts when the SMI is taken in guest
 * mode, and lose the guest; so the write that raises it is made here, with the guest's registers, which
 * handlers read as their arguments. SMI, like NMI, is held while GIF is 0.
 */
#include "arch/cpu.h"
#include "arch/svm/svm.h"

bool svm_software_smi(struct vcpu *v, u16 port, u8 value)
{
    u64 *g = v->gpr;
    u64 rax = (g[RAX] & ~0xffull) | value, rdx = (g[RDX] & ~0xffffull) | port;
    u32 seen = this_cpu()->nmi_count;

    __asm__ volatile("outb %%al, %%dx\n\t"
                     "stgi\n\t"
                     "nop\n\t"
                     "clgi"
                     : "+a"(rax), "+b"(g[RBX]), "+c"(g[RCX]), "+d"(rdx), "+S"(g[RSI]), "+D"(g[RDI])
                     :
                     : "memory");
    g[RAX] = rax;
    g[RDX] = rdx;
    return this_cpu()->nmi_count != seen;
}
