/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start-up IPIs for the other processors, in every form that the local APIC knows.
 */
#include "tests/guests/lib/guest.h"

#define APIC_BASE_MSR 0x1b
#define APIC_ID       0x20
#define APIC_SVR      0xf0
#define APIC_ICR      0x300
#define APIC_ICR_HIGH 0x310

#define ICR_INIT        0x4500u /* assert */
#define ICR_STARTUP     0x4600u
#define ICR_ALL_BUT_ME  (3u << 18)
#define ICR_ALL         (2u << 18)
#define TRAMPOLINE      0x8000u
#define TRAMPOLINE_FLAG (TRAMPOLINE + 0x100)

static u64 apic;

/* Real mode at 0800:0000: counts itself at cs:0100 and halts. */
static const u8 code[] = {
    0xfa,                               /* cli */
    0x2e, 0xf0, 0xff, 0x06, 0x00, 0x01, /* lock inc word [cs:0x100] */
    0xf4,                               /* hlt */
    0xeb, 0xfd,                         /* jmp to the hlt */
};

static void send(u32 destination, u32 command)
{
    mmio_write32(apic + APIC_ICR_HIGH, destination << 24);
    mmio_write32(apic + APIC_ICR, command);
}

static void pause_ms(u64 ms)
{
    for (u64 end = deadline_in_ms(ms); !deadline_over(end);) {
        relax();
    }
}

static void start(const char *name, u32 destination, u32 shorthand, bool widths)
{
    volatile u16 *flag = (volatile u16 *)TRAMPOLINE_FLAG;

    part("%s", name);
    memcpy((void *)TRAMPOLINE, code, sizeof(code));
    *flag = 0;
    send(destination, ICR_INIT | shorthand);
    pause_ms(10);
    for (u32 i = 0; i < 2; i++) {
        if (widths) {
            /* As one 8-byte store would be cut by a careless emulator: the command alone, with a string
             * store. */
            u64 to = apic + APIC_ICR, count = 1;

            mmio_write32(apic + APIC_ICR_HIGH, destination << 24);
            __asm__ volatile("rep stosl"
                             : "+D"(to), "+c"(count)
                             : "a"(ICR_STARTUP | shorthand | TRAMPOLINE >> 12)
                             : "memory");
        } else {
            send(destination, ICR_STARTUP | shorthand | TRAMPOLINE >> 12);
        }
        pause_ms(50);
    }
    print("I: started %u\n", *flag);
    check("processors", *flag != 0, "%u ran guest code", *flag);
}

void guest_main(void)
{
    u64 base = rdmsr(APIC_BASE_MSR);
    u32 me;

    apic = base & 0x000ffffffffff000ull;
    me = mmio_read32(apic + APIC_ID) >> 24;
    mmio_write32(apic + APIC_SVR, 0x1ff);
    print("I: apic-base 0x%lx id %u\n", base, me);
    start("one", me ^ 1, 0, false);
    start("string-store", me ^ 1, 0, true);
    start("all-but-me", 0, ICR_ALL_BUT_ME, false);
    part("end");
    check("alive", true, "unreachable");
}
