/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intr=strict: what the guest programs in compatibility format, into IOAPICs, MSI and MSI-X, goes to the
 * device in remappable format, which names an entry of ours. Containment does not depend on any of this:
 * compatibility format is blocked by the unit, and an entry is only for the source-id that it was made for.
 *
 * A register holds either what the guest wrote, or the handle of the message that keeps what it wrote. So the
 * device itself says which, also after a reset that nobody has told of.
 */
#include "arch/cpu.h"
#include "arch/lapic.h"
#include "arch/log.h"
#include "arch/paging.h"
#include "hv/bus.h"
#include "hv/exit.h"
#include "hv/fixed.h"
#include "hv/mem.h"
#include "hv/options.h"
#include "hv/pci.h"
#include "iommu/iommu.h"

/* The registers of an MSI capability and of an MSI-X entry (PCI 6.8). */
union message {
    struct {
        u32 address, upper, data;
    };
    u32 word[3];
    u8 byte[12];
};
#define MSI_MULTIPLE_CAPABLE MASK(3, 1)
#define MSI_MULTIPLE_ENABLE  MASK(6, 4)
#define MSI_64               BIT(7)
#define MSIX_ENTRY           16u

static struct spinlock lock; /* the window, and IOAPICs' index registers */

/* Remappable format (5.1.2.2), with a subhandle: devices with several MSIs put it into the data. */
static u32 handle(const struct iommu_message *m)
{
    return 0xfee00018u | (u32)(m->index & 0x7fff) << 5 | (u32)m->index >> 15 << 2;
}

/* Turns what a device holds into what the guest wrote. */
static void untranslate(const struct iommu_message *m, union message *v)
{
    if (m->address && v->address == handle(m) && !v->upper)
        *v = (union message){ { m->address, 0, m->data } };
}

/* And back; with several messages the low bits of the data count them. */
static void translate(struct iommu_message *m, unsigned count, union message *v)
{
    bool compatible = v->address >> 20 == 0xfee && !(v->address & BIT(4)) && !v->upper && !(v->data >> 16);

    for (unsigned i = 0; i < count; i++)
        iommu_message_set(&m[i], compatible ? v->address : 0,
                          compatible ? (u16)((v->data & ~(count - 1)) | i) : 0);
    if (compatible)
        *v = (union message){ { handle(m), 0, 0 } };
}

/* ---- who sends */

static struct {
    u8 bus, first;
    bool bridged;
} search;

/* In whose name does a bridge forward what comes from a conventional bus? (PCI Express to PCI bridge 2.3) */
static void look_at_bridge(struct pci_function *b)
{
    u8 secondary = (u8)pci_get(b, PCI_PRIMARY_BUS + 1, 1);
    bool express = b->exp && (pci_get(b, b->exp + 2, 2) >> 4 & 15) != 7;

    if (!b->bridge || express || search.bus < secondary ||
        search.bus > (u8)pci_get(b, PCI_PRIMARY_BUS + 2, 1))
        return;
    search.bridged = true;
    search.first = MIN(search.first, b->exp ? secondary : (u8)(b->sid >> 8));
}

static u32 source_of(const struct pci_function *f)
{
    search.first = search.bus = (u8)(f->sid >> 8);
    search.bridged = false;
    pci_for_buses(f->segment, 0, search.bus, look_at_bridge);
    return search.bridged ? (u32)search.first << 8 | search.bus | IOMMU_SOURCE_BUSES
                          : f->sid | IOMMU_SOURCE_EXACT;
}

static unsigned nr_msi(const struct pci_function *f)
{
    return f->msi ? 1u << MIN(field_get(pci_get(f, f->msi + 2, 2), MSI_MULTIPLE_CAPABLE), 5ull) : 0;
}

static unsigned nr_msix(const struct pci_function *f)
{
    return f->msix ? (pci_get(f, f->msix + 2, 2) & 0x7ff) + 1 : 0;
}

/* First those of MSI, then those of MSI-X. NULL: the function's interrupts stay blocked. */
static struct iommu_message *messages_of(struct pci_function *f)
{
    unsigned count = nr_msi(f) + nr_msix(f);

    if (f->nr_messages < count) {
        f->messages =
            iommu_messages(f->segment, pci_physical_function(f->segment, f->sid), source_of(f), count);
        f->nr_messages = (u16)count; /* also where there are none: once is enough */
    }
    return f->messages;
}

/* ---- MSI */

/* The register of a message's word; 0: 32-bit MSI has no upper half. */
static u32 msi_reg(const struct pci_function *f, unsigned word)
{
    bool wide = pci_get(f, f->msi + 2, 2) & MSI_64;

    return word == 1 && !wide ? 0 : f->msi + 4 + 4 * (wide ? word : word / 2);
}

static unsigned msi_width(unsigned word)
{
    return word < 2 ? 4 : 2;
}

/* What the guest has written; and which byte of it configuration space has at `off`, NULL = none. */
static union message msi_read(const struct pci_function *f)
{
    union message v = { { 0, 0, 0 } };

    for (unsigned i = 0; i < 3; i++)
        if (msi_reg(f, i))
            v.word[i] = pci_get(f, msi_reg(f, i), msi_width(i));
    if (f->messages)
        untranslate(f->messages, &v);
    return v;
}

static u8 *msi_byte(const struct pci_function *f, union message *v, u32 off)
{
    for (unsigned i = 0; i < 3; i++)
        if (msi_reg(f, i) && off - msi_reg(f, i) < msi_width(i))
            return &v->byte[4 * i + off - msi_reg(f, i)];
    return NULL;
}

void intr_config_read(u16 segment, pci_sid sid, u32 off, unsigned width, u32 *value)
{
    bool full;
    struct pci_function *f = options.iommu.strict ? pci_function_get(segment, sid, &full) : NULL;

    if (!f || !f->msi || !ranges_overlap(off, width, f->msi, 16))
        return;
    union message v = msi_read(f);
    for (unsigned i = 0; i < width; i++) {
        const u8 *byte = msi_byte(f, &v, off + i);
        if (byte)
            *value = (*value & ~(0xffu << 8 * i)) | (u32)*byte << 8 * i;
    }
}

bool intr_config_write(struct pci_function *f, const struct pci_access *a)
{
    bool message = false;

    if (!options.iommu.strict || !f->msi || !pci_touches(a, f->msi + 2, 14))
        return false;
    struct iommu_message *m = messages_of(f);
    union message v = msi_read(f);
    for (unsigned i = 0; i < a->width; i++) {
        u8 *byte = msi_byte(f, &v, a->off + i);
        if (byte)
            *byte = (u8)(a->value >> 8 * i);
        message |= byte != NULL;
    }
    /* The control register says how many messages the data stand for; it is written when all are there. */
    u32 several = (u32)field_get(pci_after(f, a, f->msi + 2, 2), MSI_MULTIPLE_ENABLE);
    if (m)
        translate(m, MIN(1u << several, nr_msi(f)), &v);
    for (unsigned i = 0; m && i < 3; i++)
        if (msi_reg(f, i))
            pci_put(f, msi_reg(f, i), msi_width(i), v.word[i]);
    return message;
}

/* ---- MSI-X */

static volatile u32 *device_word(u64 at)
{
    return (volatile u32 *)mmio_window(at);
}

/* One word of entry `m`, which lies at `entry`. */
static void entry_word(struct iommu_message *m, u64 entry, unsigned word, bool write, u32 *value)
{
    union message v;

    for (unsigned i = 0; i < 3; i++)
        v.word[i] = *device_word(entry + 4 * i);
    untranslate(m, &v);
    if (!write) {
        *value = word < 3 ? v.word[word] : *device_word(entry + 12);
        return;
    }
    if (word == 3) { /* the mask is the device's own */
        *device_word(entry + 12) = *value;
        return;
    }
    v.word[word] = *value;
    translate(m, 1, &v);
    for (unsigned i = 0; i < 3; i++)
        *device_word(entry + 4 * i) = v.word[i];
}

/* What else lies in the table's pages. */
static void pass(u64 gpa, unsigned width, bool write, u64 *value)
{
    volatile void *at = mmio_window(gpa);

#define PASS(type) \
    (write ? (void)(*(volatile type *)at = (type)*value) : (void)(*value = *(volatile type *)at))
    if (width == 1)
        PASS(u8);
    else if (width == 2)
        PASS(u16);
    else if (width == 4)
        PASS(u32);
    else
        PASS(u64);
#undef PASS
}

static u64 table_access(void *ctx, struct vcpu *v, u64 gpa, unsigned width, bool write, u64 value)
{
    struct pci_function *f = ctx;
    struct iommu_message *m = f->messages + nr_msi(f);
    u64 off = gpa - f->table_at, size = (u64)MSIX_ENTRY * nr_msix(f);

    (void)v;
    spin_lock(&lock);
    if (off % 4 || width < 4 || off >= size || off + width > size) {
        pass(gpa, width, write, &value);
        spin_unlock(&lock);
        return value;
    }
    for (unsigned done = 0; done < width; done += 4) {
        u64 at = off + done;
        u32 word = (u32)(value >> 8 * done);

        entry_word(m + at / MSIX_ENTRY, f->table_at + align_down(at, MSIX_ENTRY), at % MSIX_ENTRY / 4, write,
                   &word);
        value = (value & ~(MASK(31, 0) << 8 * done)) | (u64)word << 8 * done;
    }
    spin_unlock(&lock);
    return value;
}

void intr_follow(struct pci_function *f)
{
    if (!options.iommu.strict || !f->msix || !messages_of(f))
        return;
    u32 table = pci_get(f, f->msix + 4, 4), reg = PCI_BAR0 + 4 * (table & 7);
    u32 low = pci_get(f, reg, 4);
    u64 base = low & ~0xfu;

    if ((low & 7) == 4)
        base |= (u64)pci_get(f, reg + 4, 4) << 32;
    f->table_at = base + (table & ~7u);
    u64 first = align_down(f->table_at, PAGE_SIZE);
    u64 size = align_up(f->table_at + (u64)MSIX_ENTRY * nr_msix(f), PAGE_SIZE) - first;
    enum mem_owner owner;

    /* A table beyond its BAR is nobody's. */
    if ((f->table && f->table->base == first) || mem_extent(first, &owner) < size || owner != MEM_BAR)
        return;
    if (bus_place_mmio(&f->table, first, size, table_access, f))
        log_warn("PCI %04x:%02x:%02x.%u MSI-X cannot be trapped: its interrupts stay blocked", f->segment,
                 f->sid >> 8, f->sid >> 3 & 31, f->sid & 7);
    vcpu_flush_all();
}

/* ---- IOAPICs */

#define IOAPIC_SELECT   0x00
#define IOAPIC_WINDOW   0x10
#define IOAPIC_VERSION  1u
#define IOAPIC_RTE      0x10u
#define RTE_DM          BIT(11)
#define RTE_INDEX_HIGH  BIT(11)
#define RTE_LOCAL       MASK(16, 12) /* mask, trigger mode, remote IRR, polarity, status */
#define RTE_TM          BIT(15)
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
        *ioapic_reg(a, low) = (u32)rte | BIT(16);
        *ioapic_reg(a, low + 1) = (u32)(rte >> 32);
    }
    *ioapic_reg(a, low) = (u32)rte;
}

static void ioapic_window(const struct ioapic *a, bool write, u32 *value)
{
    u32 pin = (a->select - IOAPIC_RTE) / 2, shift = 32 * (a->select & 1);

    if (a->select < IOAPIC_RTE || pin >= a->pins) {
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

static u64 ioapic_access(void *ctx, struct vcpu *v, u64 gpa, unsigned width, bool write, u64 value)
{
    struct ioapic *a = ctx;
    u64 off = gpa - a->base;
    u32 word = (u32)value;

    (void)v;
    (void)width; /* all registers are of 32 bits, whose low byte is all there is to some */
    spin_lock(&lock);
    if (off == IOAPIC_SELECT && write)
        a->select = (u8)word;
    else if (off == IOAPIC_SELECT)
        word = a->select;
    else if (off == IOAPIC_WINDOW)
        ioapic_window(a, write, &word);
    else if (write && off < PAGE_SIZE - 3 && is_aligned(off, 16)) /* EOI */
        *(volatile u32 *)(a->regs + off) = word;
    else if (!write)
        word = 0;
    spin_unlock(&lock);
    return word;
}

static void add_ioapic(u8 id, u64 base)
{
    struct ioapic *a = &ioapics[nr_ioapics];
    u16 segment, sid;

    if (nr_ioapics == ARRAY_SIZE(ioapics) || !iommu_ioapic(id, &segment, &sid))
        refuse("intr=strict: firmware's DMAR table does not say which unit remaps IOAPIC %u", id);
    a->base = base;
    a->regs = mmio_map(base, PAGE_SIZE - base % PAGE_SIZE);
    if (!a->regs)
        refuse("intr=strict: IOAPIC %u cannot be mapped", id);
    a->pins = (*ioapic_reg(a, IOAPIC_VERSION) >> 16 & 0xff) + 1;
    a->messages = iommu_messages(segment, sid, sid | IOMMU_SOURCE_EXACT, a->pins);
    if (!a->messages || bus_add_mmio(align_down(base, PAGE_SIZE), PAGE_SIZE, false, ioapic_access, a))
        refuse("intr=strict: IOAPIC %u cannot be trapped", id);
    nr_ioapics++;
}

void intr_init(void)
{
    u64 address;

    if (!options.iommu.strict)
        return;
    (void)mmio_window(LAPIC_ADDRESS); /* makes the window, while there is memory */
    for (const u8 *e = NULL; (e = fixed_ioapic_next(e, &address)) != NULL;)
        add_ioapic(e[2], address);
    pci_for_buses(0, 0, 255, intr_follow);
    for (unsigned i = 0; i < pci_ecam_count(); i++)
        if (pci_ecam(i)->segment)
            pci_for_buses(pci_ecam(i)->segment, 0, 255, intr_follow);
}
