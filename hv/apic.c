/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest owns its local APIC, except for what could take a CPU out of Sluice: INIT, start-up and SMI
 * messages, and anything but ordinary interrupts to CPUs that Sluice does not run. xAPIC mode: the page is
 * readable and every write comes here. x2APIC mode: only the few MSRs come here that can send such messages.
 */
#include "arch/cpu.h"
#include "arch/log.h"
#include "arch/nested.h"
#include "arch/paging.h"
#include "hv/bus.h"
#include "hv/exit.h"

#define MSR_APIC_BASE 0x1bu
#define BASE_BSP      BIT(8)
#define BASE_X2       BIT(10)
#define BASE_ENABLED  BIT(11)
#define BASE_ADDRESS  MASK(51, 12)
#define APIC_ADDRESS  0xfee00000ull
#define APIC_RANGE    0x100000ull /* of interrupt messages */
#define MSR_X2APIC    0x800u      /* + register / 16 */

enum apic_reg {
    APIC_ID = 0x020,
    APIC_LDR = 0x0d0,
    APIC_DFR = 0x0e0,
    APIC_LVT_CMCI = 0x2f0,
    APIC_ICR = 0x300,
    APIC_ICR_HIGH = 0x310,
    APIC_LVT_FIRST = 0x330, /* thermal, performance, LINT0, LINT1 */
    APIC_LVT_LAST = 0x360,
    APIC_EXT_LVT_FIRST = 0x500, /* AMD */
    APIC_EXT_LVT_LAST = 0x530,
};

/* Interrupt command register (AMD APM 2, 16.5). */
#define ICR_VECTOR    MASK(7, 0)
#define ICR_MODE      MASK(10, 8)
#define ICR_LOGICAL   BIT(11)
#define ICR_PENDING   BIT(12)
#define ICR_ASSERT    BIT(14)
#define ICR_SHORTHAND MASK(19, 18)

enum { MODE_FIXED, MODE_LOWEST, MODE_SMI, MODE_READ, MODE_NMI, MODE_INIT, MODE_STARTUP, MODE_EXTINT };
enum { TO_DESTINATION, TO_SELF, TO_ALL, TO_OTHERS };

static volatile u8 *apic;

static bool x2apic_on(void)
{
    return (rdmsr(MSR_APIC_BASE) & (BASE_X2 | BASE_ENABLED)) == (BASE_X2 | BASE_ENABLED);
}

static u32 apic_read(u32 reg)
{
    return *(volatile u32 *)(apic + reg);
}

static void apic_write(u32 reg, u32 value)
{
    *(volatile u32 *)(apic + reg) = value;
}

static u32 own_id(bool x2)
{
    return x2 ? (u32)rdmsr(MSR_X2APIC + APIC_ID / 16) : apic_read(APIC_ID) >> 24;
}

/* Does a logical destination name this CPU? */
static bool logical_match(u32 dest, bool x2)
{
    if (x2) {
        u32 ldr = (u32)rdmsr(MSR_X2APIC + APIC_LDR / 16);
        return ldr >> 16 == dest >> 16 && (ldr & dest & 0xffff);
    }
    u32 ldr = apic_read(APIC_LDR) >> 24;
    if (apic_read(APIC_DFR) >> 28 == 0xf)
        return ldr & dest;
    return ldr >> 4 == dest >> 4 && (ldr & dest & 0xf);
}

static bool reaches_self(u32 low, u32 dest, bool x2)
{
    switch (field_get(low, ICR_SHORTHAND)) {
    case TO_SELF:
    case TO_ALL:
        return true;
    case TO_OTHERS:
        return false;
    default:
        if (dest == (x2 ? ~0u : 0xffu))
            return true;
        return low & ICR_LOGICAL ? logical_match(dest, x2) : dest == own_id(x2);
    }
}

/*
 * May this command go out? An NMI goes to this CPU only, which is why *low and *dest may be changed: a CPU
 * that waits for its start-up message may take it on some emulators, and would run what the guest put there.
 */
static bool judge_icr(u32 *low, u32 *dest, bool x2)
{
    static struct log_bucket bucket;
    unsigned mode = (unsigned)field_get(*low, ICR_MODE);

    if (mode == MODE_FIXED || mode == MODE_LOWEST)
        return true;
    if (mode == MODE_NMI && reaches_self(*low, *dest, x2)) {
        *low = (u32)((*low & ~(ICR_SHORTHAND | ICR_LOGICAL)) | field_prep(ICR_SHORTHAND, TO_DESTINATION));
        *dest = own_id(x2);
        return true;
    }
    /* The end of an INIT says nothing new. */
    if ((mode != MODE_INIT || (*low & ICR_ASSERT)) && !log_limited(&bucket))
        log_info("APIC         dropped %s (command %x to %x): Sluice runs one CPU",
                 mode == MODE_INIT      ? "an INIT"
                 : mode == MODE_STARTUP ? "a start-up message"
                 : mode == MODE_NMI     ? "an NMI to another CPU"
                                        : "a message",
                 *low, *dest);
    return false;
}

/* A local source of INIT would reset this CPU; firmware's SMI may stay. */
static bool judge_lvt(u32 value)
{
    static struct log_bucket bucket;
    unsigned mode = (unsigned)field_get(value, ICR_MODE);

    if (mode == MODE_FIXED || mode == MODE_SMI || mode == MODE_NMI || mode == MODE_EXTINT)
        return true;
    if (!log_limited(&bucket))
        log_warn("APIC         refused a local interrupt of delivery mode %u", mode);
    return false;
}

static bool is_lvt(u32 reg)
{
    return reg == APIC_LVT_CMCI || (reg >= APIC_LVT_FIRST && reg <= APIC_LVT_LAST) ||
           (reg >= APIC_EXT_LVT_FIRST && reg <= APIC_EXT_LVT_LAST);
}

static void write_icr(u32 low)
{
    u32 dest = apic_read(APIC_ICR_HIGH) >> 24, to = dest;

    if (!judge_icr(&low, &to, false))
        return;
    if (to == dest) {
        apic_write(APIC_ICR, low);
        return;
    }
    apic_write(APIC_ICR_HIGH, to << 24);
    apic_write(APIC_ICR, low);
    apic_write(APIC_ICR_HIGH, dest << 24);
}

/* Registers are 32 bits wide, 16 bytes apart; what another access would reach is not defined, and differs. */
static void apic_mmio(void *ctx, struct vcpu *v, u64 gpa, unsigned width, bool write, u64 *value)
{
    u32 reg = (u32)(gpa & (PAGE_SIZE - 1));

    (void)ctx;
    (void)v;
    if (!write)
        *value = reg % 16 < 4 ? apic_read(reg & ~15u) >> 8 * (reg % 4) : 0;
    if (!write || width < 4 || reg % 16)
        return;
    if (reg == APIC_ICR)
        write_icr((u32)*value);
    else if (reg > APIC_ID && (!is_lvt(reg) || judge_lvt((u32)*value))) /* events are sent to our id */
        apic_write(reg, (u32)*value);
}

bool apic_write_x2(u32 msr, u64 value)
{
    u32 reg = (msr - MSR_X2APIC) * 16, low = (u32)value, dest = (u32)(value >> 32);

    if (!x2apic_on())
        return false;
    if (reg == APIC_ICR && judge_icr(&low, &dest, true))
        return wrmsr_safe(msr, low | (u64)dest << 32);
    if (is_lvt(reg) && judge_lvt(low))
        return wrmsr_safe(msr, value);
    return reg == APIC_ICR || is_lvt(reg);
}

bool apic_write_base(u64 value)
{
    static struct log_bucket bucket;
    u64 now = rdmsr(MSR_APIC_BASE);

    if ((value & BASE_ADDRESS) != (now & BASE_ADDRESS)) {
        if (!log_limited(&bucket))
            log_warn("APIC         refused to move it to %llx", value & BASE_ADDRESS);
        return false;
    }
    /* The CPU itself knows which changes of mode there are. */
    return wrmsr_safe(MSR_APIC_BASE, (value & ~BASE_BSP) | (now & BASE_BSP));
}

#define SEND_TRIES 100000

static void wait_idle(void)
{
    for (unsigned i = 0; i < SEND_TRIES && (apic_read(APIC_ICR) & ICR_PENDING); i++)
        cpu_pause();
}

static void send(u32 low, u32 dest)
{
    if (x2apic_on()) {
        wrmsr(MSR_X2APIC + APIC_ICR / 16, low | (u64)dest << 32);
        return;
    }
    wait_idle();
    u32 high = apic_read(APIC_ICR_HIGH); /* the guest may have written its half */
    apic_write(APIC_ICR_HIGH, dest << 24);
    apic_write(APIC_ICR, low);
    wait_idle();
    apic_write(APIC_ICR_HIGH, high);
}

/* Message format: AMD APM 2, 16.11; destination in address bits 19:12, bit 2 = logical. */
bool apic_send_message(u64 address, u32 data)
{
    unsigned mode = (unsigned)field_get(data, ICR_MODE);
    u32 low = (u32)(data & (ICR_VECTOR | ICR_MODE)) | (u32)ICR_ASSERT;

    if (address >> 20 != APIC_ADDRESS >> 20 || (mode != MODE_FIXED && mode != MODE_LOWEST) ||
        (data & ICR_VECTOR) < 16 || !(rdmsr(MSR_APIC_BASE) & BASE_ENABLED))
        return false;
    if (address & BIT(2))
        low |= (u32)ICR_LOGICAL;
    u32 dest = (u32)field_get(address, MASK(19, 12));
    if (x2apic_on() && (low & ICR_LOGICAL) && dest != 0xff)
        dest = (dest & 0xf) | (dest >> 4) << 16; /* the eight-bit form of cluster and member */
    else if (x2apic_on() && dest == 0xff)
        dest = ~0u;
    send(low, dest);
    return true;
}

void apic_event_message(u64 *address, u32 *data)
{
    *address = APIC_ADDRESS | (u64)percpu_of(0)->apic_id << 12;
    *data = MODE_NMI << 8;
}

int apic_init(void)
{
    u64 base = rdmsr(MSR_APIC_BASE);

    if ((base & BASE_ADDRESS) != APIC_ADDRESS)
        refuse("firmware has moved the local APIC to 0x%llx; only 0x%llx is supported", base & BASE_ADDRESS,
               APIC_ADDRESS);
    apic = mmio_map(APIC_ADDRESS, PAGE_SIZE);
    if (!apic)
        return ERR_NOMEM;
    int err = bus_add_mmio(APIC_ADDRESS, PAGE_SIZE, true, apic_mmio, NULL);
    /* Behind the page, a CPU's write is a message like a device's. */
    if (!err)
        err = nested_set(APIC_ADDRESS + PAGE_SIZE, APIC_RANGE - PAGE_SIZE, NESTED_NONE);
    if (!err && (base & BASE_ENABLED)) {
        /* Whatever firmware left the other CPUs doing, they now wait for a start-up message. */
        send((u32)(MODE_INIT << 8 | ICR_ASSERT | field_prep(ICR_SHORTHAND, TO_OTHERS)), 0);
    }
    return err;
}
