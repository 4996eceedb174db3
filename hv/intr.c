/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intr=strict: what the guest programs in compatibility format, into MSI and MSI-X, and into IOAPICs and the
 * HPET (intr_chipset.c), goes to the device in remappable format, which names an entry of ours. Containment
 * does not depend on any of this: compatibility format is blocked by the unit, and an entry is only for the
 * source-id that it was made for.
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
#include "hv/intr.h"
#include "hv/mem.h"
#include "hv/options.h"
#include "hv/pci.h"
#include "iommu/iommu.h"

#define MSI_MULTIPLE_CAPABLE MASK(3, 1)
#define MSI_MULTIPLE_ENABLE  MASK(6, 4)
#define MSI_64               BIT(7)
#define MSI_ENABLE           BIT(0)
#define MSIX_ENABLE          BIT(15)
#define MSIX_ENTRY           16u
#define MSIX_MASKED          BIT(0) /* of an entry's last word */

struct spinlock intr_lock;

/* Remappable format (5.1.2.2), with a subhandle: devices with several MSIs put it into the data. */
static u32 handle(const struct iommu_message *m)
{
    return 0xfee00018u | (u32)(m->index & 0x7fff) << 5 | (u32)m->index >> 15 << 2;
}

void intr_untranslate(const struct iommu_message *m, union message *v)
{
    if (m->address && v->address == handle(m) && !v->upper)
        *v = (union message){ { m->address, 0, m->data } };
}

void intr_translate(struct iommu_message *m, unsigned count, union message *v)
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

/* Ones: there is no such capability, or the function does not answer. */
static u32 control_of(const struct pci_function *f, u32 cap)
{
    return cap ? pci_get(f, cap + 2, 2) : MASK(15, 0);
}

/* First those of MSI, then those of MSI-X. NULL: the function's interrupts stay blocked. How many there are
 * is asked here alone: what the function says later need not be the same, and another may have its place. */
static struct iommu_message *messages_of(struct pci_function *f)
{
    u32 msi = control_of(f, f->msi), msix = control_of(f, f->msix);
    unsigned nr_msi = msi == MASK(15, 0) ? 0 : 1u << MIN(field_get(msi, MSI_MULTIPLE_CAPABLE), 5ull);
    unsigned nr_msix = msix == MASK(15, 0) ? 0 : (msix & 0x7ff) + 1;

    spin_lock(&intr_lock); /* a table of it may be in use */
    if (f->nr_messages < nr_msi + nr_msix) {
        f->nr_messages = (u16)(nr_msi + nr_msix); /* also where there are none: once is enough */
        f->messages = iommu_messages(f->segment, pci_physical_function(f->segment, f->sid), source_of(f),
                                     f->nr_messages);
    }
    f->nr_msi = (u16)nr_msi;
    f->nr_msix = f->messages ? (u16)nr_msix : 0;
    spin_unlock(&intr_lock);
    return f->messages;
}

/* ---- MSI */

static bool msi_is_wide(const struct pci_function *f)
{
    return pci_get(f, f->msi + 2, 2) & MSI_64;
}

/* What the guest has written. */
static union message msi_read(const struct pci_function *f)
{
    bool wide = msi_is_wide(f);
    union message v = { { pci_get(f, f->msi + 4, 4), wide ? pci_get(f, f->msi + 8, 4) : 0,
                          pci_get(f, f->msi + (wide ? 12 : 8), 2) } };

    if (f->messages)
        intr_untranslate(f->messages, &v);
    return v;
}

static void msi_write(const struct pci_function *f, const union message *v)
{
    bool wide = msi_is_wide(f);

    pci_put(f, f->msi + 4, 4, v->address);
    if (wide)
        pci_put(f, f->msi + 8, 4, v->upper);
    pci_put(f, f->msi + (wide ? 12 : 8), 2, v->data);
}

/* The byte of a message that configuration space has at `off`, NULL = none. */
static u8 *msi_byte(const struct pci_function *f, union message *v, u32 off)
{
    u32 in = off - f->msi - 4;
    bool wide = msi_is_wide(f);

    if (in >= (wide ? 10 : 6))
        return NULL;
    return &v->byte[wide || in < 4 ? in : in + 4];
}

void intr_config_read(u16 segment, pci_sid sid, u32 off, unsigned width, u32 *value)
{
    bool full;
    struct pci_function *f = options.iommu.strict ? pci_function_get(segment, sid, &full) : NULL;
    union message v;

    for (unsigned i = 0; f && f->msi && i < width; i++) {
        const u8 *byte = msi_byte(f, &v, off + i);
        if (!byte)
            continue;
        v = msi_read(f);
        *value = (*value & ~(0xffu << 8 * i)) | (u32)*byte << 8 * i;
    }
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
    intr_untranslate(m, &v);
    if (!write) {
        *value = word < 3 ? v.word[word] : *device_word(entry + 12);
        return;
    }
    if (word == 3) { /* the mask is the device's own */
        *device_word(entry + 12) = *value;
        return;
    }
    v.word[word] = *value;
    intr_translate(m, 1, &v);
    for (unsigned i = 0; i < 3; i++)
        *device_word(entry + 4 * i) = v.word[i];
}

void intr_pass(volatile void *at, unsigned width, bool write, u64 *value)
{
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

static u64 table_access(void *ctx, u64 gpa, unsigned width, bool write, u64 value, struct vcpu *v)
{
    struct pci_function *f = ctx;
    u64 words = width / 4;

    (void)v;
    spin_lock(&intr_lock);
    struct iommu_message *m = f->messages + f->nr_msi;
    u64 off = gpa - f->table_at, first = off / 4;
    if (off % 4 || !words || first + words > 4ull * f->nr_msix) {
        intr_pass(mmio_window(gpa), width, write, &value); /* what else lies in the table's pages */
        spin_unlock(&intr_lock);
        return value;
    }
    for (u64 i = 0; i < words; i++) {
        u64 at = first + i;
        u32 word = (u32)(value >> 32 * i);

        entry_word(m + at / 4, f->table_at + at / 4 * MSIX_ENTRY, at % 4, write, &word);
        value = (value & ~(MASK(31, 0) << 32 * i)) | (u64)word << 32 * i;
    }
    spin_unlock(&intr_lock);
    return value;
}

/* What a BAR register and the one behind it hold. */
static u64 bar_base(const struct pci_function *f, u32 reg)
{
    u32 low = pci_get(f, reg, 4);

    return (low & ~0xfu) | ((low & 7) == 4 ? (u64)pci_get(f, reg + 4, 4) << 32 : 0);
}

/* A VF has no BARs of its own: those of its physical function's capability are as many ranges as there are
 * VFs. */
static u64 vf_base(const struct pci_function *vf, u32 bir)
{
    bool full;
    const struct pci_function *pf =
        pci_function_get(vf->segment, pci_physical_function(vf->segment, vf->sid), &full);
    u32 number;

    if (!pf || !pci_is_vf(pf, vf->segment, vf->sid, &number))
        return 0;
    u64 base = bar_base(pf, pf->sriov + 0x24 + 4 * bir);
    u32 count = pci_get(pf, pf->sriov + 0x10, 2); /* which need not be what it was a moment ago */
    for (unsigned i = 0; i < pf->vf.declared.count; i++)
        if (pf->vf.declared.at[i].base == base)
            return base + number * (pf->vf.declared.at[i].size / MAX(count, 1u));
    return 0;
}

/* The trap goes where the table is. */
static void follow(struct pci_function *f)
{
    if (f->msix)
        (void)messages_of(f);
    if (!f->nr_msix)
        return;
    u32 table = pci_get(f, f->msix + 4, 4), bir = table & 7;
    u64 base = f->id == ~0u ? vf_base(f, bir) : bar_base(f, PCI_BAR0 + 4 * bir);

    f->table_at = base + (table & ~7u);
    u64 first = align_down(f->table_at, PAGE_SIZE);
    u64 size = align_up(f->table_at + (u64)MSIX_ENTRY * f->nr_msix, PAGE_SIZE) - first;
    enum mem_owner owner;
    u64 pages = mem_extent(first, &owner) >> PAGE_SHIFT;

    /* A table beyond its BAR is nobody's. */
    if ((f->table && f->table->base == first) || pages < size >> PAGE_SHIFT || owner != MEM_BAR)
        return;
    if (bus_place_mmio(&f->table, first, size, table_access, f))
        log_warn("PCI %04x:%02x:%02x.%u MSI-X cannot be trapped: its interrupts stay blocked", f->segment,
                 f->sid >> 8, f->sid >> 3 & 31, f->sid & 7);
    vcpu_flush_all();
}

void intr_follow(struct pci_function *f)
{
    if (!options.iommu.strict)
        return;
    follow(f);
    pci_for_vfs(f, follow);
}

bool intr_config_write(struct pci_function *f, const struct pci_access *a)
{
    bool message = false;

    if (!options.iommu.strict)
        return false;
    if (f->id == ~0u)
        follow(f); /* it is there, and what the guest lets it do begins with such a write */
    if (!f->msi || !pci_touches(a, f->msi + 2, 14))
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
    if (m) {
        intr_translate(m, MIN(1u << several, (unsigned)f->nr_msi), &v);
        msi_write(f, &v);
    }
    return message;
}

/* What firmware has set up the guest may take as it is: from now on it is as if the guest had written it. */
static void adopt(struct pci_function *f)
{
    u32 control = f->msi ? pci_get(f, f->msi + 2, 2) : 0, word;

    intr_follow(f);
    if (control & MSI_ENABLE)
        (void)intr_config_write(f, &(struct pci_access){ f->msi + 2, 2, control });
    if (!f->table || !(pci_get(f, f->msix + 2, 2) & MSIX_ENABLE))
        return;
    for (unsigned i = 0; i < f->nr_msix; i++) {
        u64 entry = f->table_at + i * MSIX_ENTRY;

        word = *device_word(entry);
        if (!(*device_word(entry + 12) & MSIX_MASKED))
            entry_word(f->messages + f->nr_msi + i, entry, 0, true, &word);
    }
}

void intr_init(void)
{
    if (!options.iommu.strict)
        return;
    (void)mmio_window(LAPIC_ADDRESS); /* makes the window, while there is memory */
    intr_chipset_init();
    pci_for_buses(0, 0, 255, adopt);
    for (unsigned i = 0; i < pci_ecam_count(); i++)
        if (pci_ecam(i)->segment)
            pci_for_buses(pci_ecam(i)->segment, 0, 255, adopt);
}
