/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest owns its local APICs, except for what could take a CPU out of Sluice. NMIs, INIT and start-up
 * messages are delivered by us and never sent, for the guest's whole life. xAPIC mode: the page is readable
 * and every write comes here. x2APIC mode: only the few MSRs come here that can send such messages.
 */
#include "arch/cpu.h"
#include "arch/lapic.h"
#include "arch/log.h"
#include "arch/nested.h"
#include "hv/bus.h"
#include "hv/exit.h"
#include "hv/power.h"

#define APIC_RANGE 0x100000ull /* of interrupt messages */
#define LVT_MASKED 0x10000u

/* Does a logical destination name this CPU? In x2APIC mode logical ids follow from the others. */
static bool logical_match(const struct vcpu *v, u32 dest, bool x2)
{
    u32 id = percpu_of(v->index)->apic_id, ldr = v->apic_ldr;

    if (x2)
        return id >> 4 == dest >> 16 && (dest & 1u << (id & 15));
    if (v->apic_dfr == 0xf)
        return ldr & dest;
    return ldr >> 4 == dest >> 4 && (ldr & dest & 0xf);
}

static bool is_target(const struct vcpu *sender, const struct vcpu *v, u32 low, u32 dest, bool x2)
{
    if (v->apic_off)
        return false;
    switch (field_get(low, ICR_SHORTHAND)) {
    case TO_SELF:
        return v == sender;
    case TO_ALL:
        return true;
    case TO_OTHERS:
        return v != sender;
    default:
        if (dest == (x2 ? ~0u : 0xffu))
            return true;
        return low & ICR_LOGICAL ? logical_match(v, dest, x2) : dest == percpu_of(v->index)->apic_id;
    }
}

/* What hardware would do to a CPU that receives it. */
static void deliver(struct vcpu *sender, struct vcpu *v, unsigned mode, u8 vector)
{
    if (mode == MODE_NMI && v == sender)
        vcpu_inject_nmi(v);
    else if (mode == MODE_NMI)
        vcpu_request(v, VCPU_NMI);
    else if (mode == MODE_STARTUP)
        vcpu_sipi(v, vector);
    else if (v->index == EVENT_CPU)
        power_reset("the guest sends INIT to the CPU that booted");
    else
        vcpu_init_ipi(v);
}

/* May this command go out as it is? NMI, INIT and start-up messages are ours to deliver. */
static bool judge_icr(struct vcpu *sender, u32 low, u32 dest, bool x2)
{
    unsigned mode = (unsigned)field_get(low, ICR_MODE);
    struct vcpu *v;

    if (mode == MODE_FIXED || mode == MODE_LOWEST)
        return true;
    if (mode != MODE_NMI && mode != MODE_INIT && mode != MODE_STARTUP) {
        log_rated(LOG_INFO, "APIC         dropped a message of mode %u (command %x to %x)", mode, low, dest);
        return false;
    }
    /* The end of an INIT says nothing new. */
    if (mode == MODE_INIT && (low & ICR_LEVEL) && !(low & ICR_ASSERT))
        return false;
    for (u32 i = 0; (v = vcpu_of(i)) != NULL; i++)
        if (is_target(sender, v, low, dest, x2))
            deliver(sender, v, mode, (u8)(low & ICR_VECTOR));
    return false;
}

/* A local source of INIT would reset this CPU; firmware's SMI may stay. */
static bool judge_lvt(u32 value)
{
    unsigned mode = (unsigned)field_get(value, ICR_MODE);

    if (mode == MODE_FIXED || mode == MODE_SMI || mode == MODE_NMI || mode == MODE_EXTINT)
        return true;
    log_rated(LOG_WARN, "APIC         refused a local interrupt of delivery mode %u", mode);
    return false;
}

static bool is_lvt(u32 reg)
{
    return reg == APIC_LVT_CMCI || (reg >= APIC_LVT_FIRST && reg <= APIC_LVT_LAST) ||
           (reg >= APIC_EXT_LVT_FIRST && reg <= APIC_EXT_LVT_LAST);
}

/* Registers are 32 bits wide, 16 bytes apart; what another access would reach is not defined, and differs. */
static u64 apic_mmio(void *ctx, u64 gpa, unsigned width, bool write, u64 value, struct vcpu *v)
{
    u32 reg = (u32)(gpa & (PAGE_SIZE - 1)), data = (u32)value;

    (void)ctx;
    if (lapic_is_x2() || v->apic_off) /* the page is no APIC */
        return ~0ull;
    if (!write)
        return reg % 16 < 4 ? lapic_read(reg & ~15u) >> 8 * (reg % 4) : 0;
    v->apic_exits++;
    v->eoi_exits += reg == APIC_EOI;
    if (width != 4 || reg % 16 || reg <= APIC_ID) /* events are sent to our id */
        return 0;
    if (reg == APIC_ICR ? !judge_icr(v, data, lapic_read(APIC_ICR_HIGH) >> 24, false)
                        : is_lvt(reg) && !judge_lvt(data))
        return 0;
    if (reg == APIC_LDR)
        v->apic_ldr = (u8)(data >> 24);
    else if (reg == APIC_DFR)
        v->apic_dfr = (u8)(data >> 28);
    lapic_write(reg, data);
    return 0;
}

bool apic_write_x2(struct vcpu *v, u32 msr, u64 value)
{
    u32 reg = (msr - MSR_X2APIC) * 16, low = (u32)value;

    if (!lapic_is_x2())
        return false;
    if (reg == APIC_ICR ? judge_icr(v, low, (u32)(value >> 32), true) : judge_lvt(low))
        return wrmsr_safe(msr, value);
    return true;
}

void apic_reset(struct vcpu *v)
{
    bool x2 = lapic_is_x2();

    lapic_write(APIC_SVR, 0xff); /* off, which masks all local interrupts */
    lapic_write(APIC_TPR, 0);
    lapic_write(APIC_TIMER_COUNT, 0);
    lapic_write(APIC_TIMER_DIVIDE, 0);
    lapic_write(APIC_LVT_TIMER, LVT_MASKED);
    if (!x2) {
        lapic_write(APIC_DFR, ~0u);
        lapic_write(APIC_LDR, 0);
        lapic_write(APIC_ICR_HIGH, 0);
    }
    /* One interrupt in service for each priority class. */
    for (unsigned i = 0; i < 16; i++)
        lapic_write(APIC_EOI, 0);
    v->apic_ldr = 0;
    v->apic_dfr = 0xf;
}

u64 apic_read_base(const struct vcpu *v)
{
    return rdmsr(MSR_APIC_BASE) & ~(v->apic_off ? BASE_ENABLED : 0);
}

/*
 * A CPU whose APIC is off can be brought to exit by nobody, so it only looks off: as the manuals have it, the
 * CPU then takes interrupts and NMIs from its two pins.
 */
static bool switch_off(struct vcpu *v)
{
    u64 now = rdmsr(MSR_APIC_BASE);

    for (u32 i = 0; vcpu_of(i); i++)
        if (percpu_of(i)->apic_id >= 0xff) /* out of reach in xAPIC mode */
            return false;
    if (lapic_is_x2()) {
        wrmsr(MSR_APIC_BASE, now & ~(BASE_ENABLED | BASE_X2));
        wrmsr(MSR_APIC_BASE, now & ~BASE_X2);
        lapic_look_at_mode();
        /* What was sent meanwhile is lost; a request is looked for before the next entry in any case. */
        v->kicked = false;
    }
    apic_reset(v);
    lapic_write(APIC_SVR, 0x1ff);
    lapic_write(APIC_LINT0, MODE_EXTINT << 8 | (v->index == EVENT_CPU ? 0 : LVT_MASKED));
    lapic_write(APIC_LINT1, MODE_NMI << 8);
    v->apic_off = true;
    return true;
}

bool apic_write_base(struct vcpu *v, u64 value)
{
    u64 now = rdmsr(MSR_APIC_BASE);

    if ((value & BASE_ADDRESS) != (now & BASE_ADDRESS)) {
        log_rated(LOG_WARN, "APIC         refused to move it to %llx", value & BASE_ADDRESS);
        return false;
    }
    if (!(value & BASE_ENABLED))
        return !(value & ~(now | BASE_BSP)) && !(value & BASE_X2) && switch_off(v);
    if (v->apic_off) {
        if (value & BASE_X2) /* off to x2APIC: there is no such change */
            return false;
        apic_reset(v);
        v->apic_off = false;
    }
    /* The CPU itself knows which changes of mode there are. */
    bool done = wrmsr_safe(MSR_APIC_BASE, (value & ~BASE_BSP) | (now & BASE_BSP));
    lapic_look_at_mode();
    return done;
}

void apic_cpu_init(struct vcpu *v)
{
    lapic_look_at_mode();
    if (lapic_is_x2())
        return;
    v->apic_ldr = (u8)(lapic_read(APIC_LDR) >> 24);
    v->apic_dfr = (u8)(lapic_read(APIC_DFR) >> 28);
}

/* Message format: AMD APM 2, 16.11; destination in address bits 19:12, bit 2 = logical. */
bool apic_send_message(u64 address, u32 data)
{
    unsigned mode = (unsigned)field_get(data, ICR_MODE);
    u32 low = (u32)(data & (ICR_VECTOR | ICR_MODE)) | (u32)ICR_ASSERT;

    if (address >> 20 != LAPIC_ADDRESS >> 20 || (mode != MODE_FIXED && mode != MODE_LOWEST) ||
        (data & ICR_VECTOR) < 16)
        return false;
    if (address & BIT(2))
        low |= (u32)ICR_LOGICAL;
    u32 dest = (u32)field_get(address, MASK(19, 12));
    if (lapic_is_x2() && (low & ICR_LOGICAL) && dest != 0xff)
        dest = (dest & 0xf) | (dest >> 4) << 16; /* the eight-bit form of cluster and member */
    else if (lapic_is_x2() && dest == 0xff)
        dest = ~0u;
    lapic_send(low, dest);
    return true;
}

void apic_event_message(u64 *address, u32 *data)
{
    *address = LAPIC_ADDRESS | (u64)percpu_of(EVENT_CPU)->apic_id << 12;
    *data = MODE_NMI << 8;
}

int apic_init(void)
{
    u64 base = rdmsr(MSR_APIC_BASE);

    if ((base & BASE_ADDRESS) != LAPIC_ADDRESS || !(base & BASE_ENABLED))
        refuse(
            "firmware has moved the local APIC to 0x%llx or switched it off (0x%llx is supported); reset its setup",
            base & BASE_ADDRESS, LAPIC_ADDRESS);
    lapic_look_at_mode();
    int err = lapic_init();
    if (!err)
        err = bus_add_mmio(LAPIC_ADDRESS, PAGE_SIZE, true, apic_mmio, NULL);
    /* Behind the page, a CPU's write is a message like a device's. */
    if (!err)
        err = nested_set(LAPIC_ADDRESS + PAGE_SIZE, APIC_RANGE - PAGE_SIZE, NESTED_NONE);
    return err;
}
