/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intr=strict: the interrupts of the chipset's own devices, which are no PCI functions. Firmware's tables say
 * in whose name they send.
 */
#include "arch/log.h"
#include "arch/paging.h"
#include "hv/bus.h"
#include "hv/exit.h"
#include "hv/fixed.h"
#include "hv/intr.h"

/* ---- IOAPICs */

#define IOAPIC_SELECT   0x00
#define IOAPIC_WINDOW   0x10
#define IOAPIC_EOI      0x40
#define IOAPIC_VERSION  1u
#define IOAPIC_RTE      0x10u
#define RTE_DM          BIT(11)
#define RTE_INDEX_HIGH  BIT(11)
#define RTE_LOCAL       MASK(16, 12) /* mask, trigger mode, remote IRR, polarity, status */
#define RTE_TM          BIT(15)
#define RTE_MASKED      BIT(16)
#define RTE_REMAPPABLE  BIT(48)
#define RTE_INDEX       MASK(63, 49)
#define RTE_DESTINATION MASK(63, 56)

static struct ioapic {
    u64 base;
    volatile u8 *regs;
    struct iommu_message *messages;
    u32 pins;
    u8 select; /* the guest's */
} ioapics[16];
static unsigned nr_ioapics;

static volatile u32 *ioapic_reg(const struct ioapic *a, u32 reg)
{
    *(volatile u32 *)(a->regs + IOAPIC_SELECT) = reg;
    return (volatile u32 *)(a->regs + IOAPIC_WINDOW);
}

/* An entry in remappable format (5.1.5.1) keeps the vector, by which the end of an interrupt finds it. */
static u64 rte_of(const struct iommu_message *m, u64 rte)
{
    return (rte & (RTE_LOCAL | 0xff)) | RTE_REMAPPABLE | field_prep(RTE_INDEX, m->index & 0x7fff) |
           field_prep(RTE_INDEX_HIGH, m->index >> 15);
}

static u64 rte_get(const struct ioapic *a, unsigned pin)
{
    const struct iommu_message *m = &a->messages[pin];
    u64 rte = *ioapic_reg(a, IOAPIC_RTE + 2 * pin);

    rte |= (u64)*ioapic_reg(a, IOAPIC_RTE + 2 * pin + 1) << 32;
    if (!m->address || rte != rte_of(m, rte))
        return rte;
    return (rte & RTE_LOCAL) | (m->data & 0x7ff) | (m->address & BIT(2) ? RTE_DM : 0) |
           field_prep(RTE_DESTINATION, m->address >> 12 & 0xff);
}

static void rte_put(const struct ioapic *a, unsigned pin, u64 rte)
{
    struct iommu_message *m = &a->messages[pin];
    u32 low = IOAPIC_RTE + 2 * pin, address = 0xfee00000u | (u32)field_get(rte, RTE_DESTINATION) << 12;
    bool compatible = !(rte & RTE_REMAPPABLE);

    address |= (rte & RTE_DM ? 4 : 0) | ((rte >> 8 & 7) == 1 ? 8 : 0); /* lowest priority is a hint, too */
    iommu_message_set(m, compatible ? address : 0, compatible ? (u16)(rte & (RTE_TM | 0x7ff)) : 0);
    if (compatible)
        rte = rte_of(m, rte);
    /* Not unmasked while the halves are of different formats. */
    if (*ioapic_reg(a, low + 1) != (u32)(rte >> 32)) {
        *ioapic_reg(a, low) = (u32)rte | RTE_MASKED;
        *ioapic_reg(a, low + 1) = (u32)(rte >> 32);
    }
    *ioapic_reg(a, low) = (u32)rte;
}

static void ioapic_window(const struct ioapic *a, bool write, u32 *value)
{
    u32 pin = (a->select - IOAPIC_RTE) / 2, shift = 32 * (a->select & 1);

    if (pin >= a->pins) { /* also for what lies below the entries */
        if (write)
            *ioapic_reg(a, a->select) = *value;
        else
            *value = *ioapic_reg(a, a->select);
        return;
    }
    u64 rte = rte_get(a, pin);
    if (write)
        rte_put(a, pin, (rte & ~(MASK(31, 0) << shift)) | (u64)*value << shift);
    else
        *value = (u32)(rte >> shift);
}

static u64 ioapic_access(void *ctx, u64 gpa, unsigned width, bool write, u64 value, struct vcpu *v)
{
    struct ioapic *a = ctx;
    u64 off = gpa - a->base;
    u32 word = (u32)value;

    (void)v;
    (void)width; /* all registers are of 32 bits, whose low byte is all there is to some */
    spin_lock(&intr_lock);
    if (off == IOAPIC_SELECT && write)
        a->select = (u8)word;
    else if (off == IOAPIC_SELECT)
        word = a->select;
    else if (off == IOAPIC_WINDOW)
        ioapic_window(a, write, &word);
    else if (off == IOAPIC_EOI && write)
        *(volatile u32 *)(a->regs + IOAPIC_EOI) = word;
    else
        word = 0;
    spin_unlock(&intr_lock);
    return word;
}

static void add_ioapic(u8 id, u64 base)
{
    struct ioapic *a = &ioapics[nr_ioapics];
    u16 segment, sid;

    if (nr_ioapics == ARRAY_SIZE(ioapics) || !iommu_chipset(IOMMU_IOAPIC, id, &segment, &sid))
        refuse("intr=strict: firmware's DMAR table does not say which unit remaps IOAPIC %u", id);
    a->base = base;
    a->regs = mmio_map(base, PAGE_SIZE - base % PAGE_SIZE);
    if (!a->regs)
        refuse("intr=strict: IOAPIC %u cannot be mapped", id);
    a->pins = (*ioapic_reg(a, IOAPIC_VERSION) >> 16 & 0xff) + 1;
    a->messages = iommu_messages(segment, sid, sid | IOMMU_SOURCE_EXACT | IOMMU_SOURCE_EXTINT, a->pins);
    if (!a->messages || bus_add_mmio(align_down(base, PAGE_SIZE), PAGE_SIZE, false, ioapic_access, a))
        refuse("intr=strict: IOAPIC %u cannot be trapped", id);
    nr_ioapics++;
    for (u32 pin = 0; pin < a->pins; pin++) { /* as if the guest had written it, which may take it as it is */
        u64 rte = rte_get(a, pin);

        if (!(rte & RTE_MASKED))
            rte_put(a, pin, rte);
    }
}

/* ---- HPET: timers that send messages themselves (IA-PC HPET 2.3.8, 2.3.9) */

#define HPET_TIMERS      MASK(12, 8) /* last one, of the first register */
#define HPET_TIMER       0x100u
#define HPET_TIMER_STEP  0x20u
#define HPET_FSB         0x10u /* of a timer: data, then address */
#define HPET_FSB_ENABLED BIT(14)
#define HPET_FSB_CAPABLE BIT(15)

static struct {
    u64 base;
    volatile u8 *regs;
    struct iommu_message *messages;
    u32 timers;
} hpet;

static volatile u32 *timer_control(u32 timer)
{
    return (volatile u32 *)(hpet.regs + HPET_TIMER + timer * HPET_TIMER_STEP);
}

static u64 hpet_access(void *ctx, u64 gpa, unsigned width, bool write, u64 value, struct vcpu *v)
{
    u32 off = (u32)(gpa - hpet.base), timer = (off - HPET_TIMER) / HPET_TIMER_STEP, in = off % 8;
    u64 mask = MASK(8 * width - 1, 0) << 8 * in, both;

    (void)ctx;
    (void)v;
    if (timer >= hpet.timers || (off % HPET_TIMER_STEP & ~7u) != HPET_FSB) {
        intr_pass(hpet.regs + off, width, write, &value);
        return value;
    }
    volatile u32 *reg = (volatile u32 *)(hpet.regs + align_down(off, 8));
    spin_lock(&intr_lock);
    union message m = { { reg[1], 0, reg[0] } };
    intr_untranslate(&hpet.messages[timer], &m);
    both = (u64)m.address << 32 | m.data;
    if (write) {
        both = (both & ~mask) | (value << 8 * in & mask);
        m = (union message){ { (u32)(both >> 32), 0, (u32)both } };
        intr_translate(&hpet.messages[timer], 1, &m);
        reg[1] = m.address;
        reg[0] = m.data;
    }
    spin_unlock(&intr_lock);
    return both >> 8 * in;
}

/* Where no timer can send there is nothing to trap; and without a word of whose messages they are, they stay
 * blocked. */
static void add_hpet(void)
{
    bool capable = false;
    u16 segment, sid;
    u8 number;

    hpet.base = fixed_hpet(&number);
    hpet.regs = hpet.base ? mmio_map(hpet.base, PAGE_SIZE) : NULL;
    hpet.timers = hpet.regs ? (u32)field_get(*(volatile u32 *)hpet.regs, HPET_TIMERS) + 1 : 0;
    for (u32 i = 0; i < hpet.timers; i++)
        capable |= *timer_control(i) & HPET_FSB_CAPABLE;
    if (!capable)
        return;
    hpet.messages = iommu_chipset(IOMMU_HPET, number, &segment, &sid)
                        ? iommu_messages(segment, sid, sid | IOMMU_SOURCE_EXACT, hpet.timers)
                        : NULL;
    if (!hpet.messages || bus_add_mmio(hpet.base, PAGE_SIZE, false, hpet_access, NULL)) {
        log_warn(
            "HPET timers' messages stay blocked: firmware's DMAR table does not say which unit remaps them");
        return;
    }
    for (u32 timer = 0; timer < hpet.timers; timer++)
        if (*timer_control(timer) & HPET_FSB_ENABLED) {
            u32 at = HPET_TIMER + timer * HPET_TIMER_STEP + HPET_FSB;
            hpet_access(NULL, hpet.base + at, 8, true, *(volatile u64 *)(hpet.regs + at), NULL);
        }
}

void intr_chipset_init(void)
{
    u64 address;

    for (const u8 *e = NULL; (e = fixed_ioapic_next(e, &address)) != NULL;)
        add_ioapic(e[2], address);
    add_hpet();
}
