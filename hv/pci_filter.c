/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The judgement on each of the guest's configuration writes: registers that would move memory, a unit or the
 * filter itself are fixed; ATS and everything that clears it is told to the VT-d layer.
 */
#include "hv/pci.h"
#include "arch/log.h"
#include "iommu/iommu.h"

#define CLASS_HOST_BRIDGE 0x0600
#define CLASS_ISA_BRIDGE  0x0601
#define CLASS_MEMORY      0x0580

/* Functions of Intel's server chipsets that hold VTBAR, TSEG, MMCFG and the like, and are not host bridges.
 */
static const u32 address_maps[] = { 0x3c288086, 0x0e288086, 0x2f288086, 0x6f288086, 0x20248086, 0x09a28086 };

/* Is the register one that firmware set and nobody may change: decode of memory, ECAM, units, ACPI ports? */
static bool is_fixed(const struct pci_function *f, const struct pci_access *a)
{
    u32 class = pci_get(f, PCI_CLASS_REVISION, 4) >> 16;
    bool beyond_header = a->off + a->width > 0x40;

    for (unsigned i = 0; i < ARRAY_SIZE(address_maps); i++)
        if (f->id == address_maps[i])
            return beyond_header;
    if (class == CLASS_HOST_BRIDGE) /* PCIEXBAR, MCHBAR, DMIBAR, PAM, SMRAM, TOLUD, TSEG, REMAP, VTBAR */
        return beyond_header;
    if (f->segment || f->sid >> 8)
        return false;
    if (class == CLASS_ISA_BRIDGE) /* ACPI's port base and its enable; RCBA */
        return pci_touches(a, 0x40, 8) || pci_touches(a, 0xf0, 4);
    if (class == CLASS_MEMORY && f->sid == (0x1f << 3 | 2)) /* the same in the PMC of later chipsets */
        return pci_touches(a, 0x40, 12);
    return false;
}

/* A VF's requests carry PASIDs when its physical function's do (PCIe 6.20.1). */
static bool has_pasids(const struct pci_function *pf)
{
    return pf->pasid && pci_get(pf, pf->pasid + 6, 2) & PCI_PASID_ENABLE;
}

static void tell_ats(struct pci_function *f, bool on)
{
    u8 depth = pci_get(f, f->ats + 4, 2) & 0x1f;
    pci_sid pfsid = pci_physical_function(f->segment, f->sid);
    bool full;
    const struct pci_function *pf = pci_function_get(f->segment, pfsid, &full);

    f->ats_told = on;
    iommu_ats_change(f->segment, f->sid, on, depth, pfsid, pf && has_pasids(pf));
}

/* Flushes while the function can still answer; whoever finds it alive later opens the gate again. */
static void shut(struct pci_function *f)
{
    if (f->ats_told)
        tell_ats(f, false);
}

static void gone(struct pci_function *f)
{
    if (!f->ats_told)
        return;
    f->ats_told = false;
    iommu_function_gone(f->segment, f->sid);
}

/* 1 = on, 0 = off, -1 = the function does not answer. */
static int live_ats(const struct pci_function *f)
{
    if (!f->ats || pci_get(f, f->ats, 4) == ~0u)
        return -1;
    return pci_get(f, f->ats + 6, 2) & PCI_ATS_ENABLE ? 1 : 0;
}

static void gone_unless_alive(struct pci_function *f)
{
    if (live_ats(f) != 1)
        gone(f);
}

/* The function itself has the last word, also where something else has set or cleared its ATS.E. */
static void follow(struct pci_function *f)
{
    int live = live_ats(f);

    if (live == 0)
        gone(f);
    if (live == 1 && !f->ats_told) {
        tell_ats(f, true);
        tell_ats(f, true); /* again: now it answers, and what it kept from an earlier life goes */
    }
}

static void for_below(const struct pci_function *bridge, void (*visit)(struct pci_function *))
{
    u8 secondary = (u8)pci_get(bridge, PCI_PRIMARY_BUS + 1, 1);
    u8 subordinate = (u8)pci_get(bridge, PCI_PRIMARY_BUS + 2, 1);

    /* 0: nobody has numbered what lies below. */
    if (secondary)
        pci_for_buses(bridge->segment, secondary, subordinate, visit);
}

/* What a write does to the ATS state of functions without writing to it. */
struct effects {
    bool self_sleeps, self_resets;
    bool below_moves, below_resets, below_changed;
    bool vfs_end;
    bool pasids_change; /* with ATS on it is shut meanwhile: PCIe leaves undefined what it then holds */
};

static struct effects effects_of(const struct pci_function *f, const struct pci_access *a)
{
    struct effects e = { 0 };
    u32 device = f->exp + 8, link = f->exp + 0x10, slot = f->exp + 0x18;

    if (f->exp && pci_touches(a, device, 2) && pci_get(f, f->exp + 4, 4) & BIT(28))
        e.self_resets = pci_after(f, a, device, 2) & BIT(15); /* function level reset */
    if (f->af && pci_touches(a, f->af + 4, 1) && pci_get(f, f->af + 3, 1) & BIT(1))
        e.self_resets |= pci_after(f, a, f->af + 4, 1) & BIT(0);
    if (f->pm)
        e.self_sleeps = (pci_after(f, a, f->pm + 4, 1) & 3) == 3 && (pci_get(f, f->pm + 4, 1) & 3) != 3;
    if (f->sriov)
        e.vfs_end = pci_get(f, f->sriov + 8, 1) & ~pci_after(f, a, f->sriov + 8, 1) & PCI_SRIOV_VFE;
    if (f->pasid)
        e.pasids_change = (pci_after(f, a, f->pasid + 6, 1) ^ pci_get(f, f->pasid + 6, 1)) & PCI_PASID_ENABLE;
    if (!f->bridge)
        return e;

    e.below_moves = (pci_after(f, a, PCI_PRIMARY_BUS, 4) ^ pci_get(f, PCI_PRIMARY_BUS, 4)) & 0xffffff;
    if (pci_touches(a, PCI_BRIDGE_CONTROL, 1)) /* secondary bus reset */
        e.below_resets = pci_after(f, a, PCI_BRIDGE_CONTROL, 1) & BIT(6);
    if (f->exp && pci_touches(a, link, 1)) /* link disable */
        e.below_resets |= pci_after(f, a, link, 1) & BIT(4);
    if (f->exp && pci_touches(a, slot, 2) && pci_get(f, f->exp + 0x14, 4) & BIT(1)) /* power controller */
        e.below_resets |= pci_after(f, a, slot, 2) & BIT(10);
    /* The guest deals with the slot: presence or the link may have changed without a write of its own. */
    e.below_changed = f->exp && pci_touches(a, slot, 4);
    return e;
}

void pci_guest_write(u16 segment, pci_sid sid, u32 off, unsigned width, u32 value)
{
    struct pci_access a = { off, width, value };
    bool full;
    struct pci_function *f = pci_function_get(segment, sid, &full);

    if (!f) {
        if (full)
            log_rated(LOG_WARN, "PCI %04x:%02x:%02x.%u is one function too many to judge: write dropped",
                      segment, sid >> 8, sid >> 3 & 31, sid & 7);
        return;
    }
    if (is_fixed(f, &a)) {
        if (pci_after(f, &a, off, width) != pci_get(f, off, width))
            log_rated(LOG_WARN, "PCI %04x:%02x:%02x.%u register 0x%x is firmware's: write of 0x%x dropped",
                      segment, sid >> 8, sid >> 3 & 31, sid & 7, off, value);
        return;
    }

    if (off == PCI_COMMAND && iommu_stopped(segment, sid))
        a.value &= ~(u32)PCI_COMMAND_MASTER;
    /* Whatever takes ATS away flushes and shuts the gate first, while the function can still answer. */
    struct effects e = effects_of(f, &a);
    if (e.self_sleeps || e.self_resets || e.pasids_change)
        shut(f);
    if (e.below_moves || e.below_resets || (e.self_sleeps && f->bridge))
        for_below(f, shut);
    if (e.vfs_end || e.self_resets || e.self_sleeps || e.pasids_change)
        pci_for_vfs(f, shut);
    bool touched = f->ats && pci_touches(&a, f->ats + 6, 2);
    /* Pages of 4 KiB: with a larger STU a device may keep more than a flush of one of them names. */
    if (touched && a.off <= f->ats + 6)
        a.value &= ~((u32)PCI_ATS_STU << 8 * (f->ats + 6 - a.off));
    bool enables = touched && pci_after(f, &a, f->ats + 6, 2) & PCI_ATS_ENABLE;
    if (enables)
        tell_ats(f, true); /* the gate opens before the device may ask */
    else if (touched)
        shut(f);

    if (pci_touches(&a, PCI_COMMAND, 1) && pci_after(f, &a, PCI_COMMAND, 1) & PCI_COMMAND_MASTER)
        iommu_function_starts(segment, sid);

    if (!intr_config_write(f, &a) && !pci_decode_write(f, &a))
        pci_put(f, off, width, a.value);

    if (enables && live_ats(f) == 1)
        tell_ats(f, true);
    if (e.below_changed)
        for_below(f, gone_unless_alive);
    /* A reset that the hardware does not implement leaves everything as it was. */
    if (e.below_resets)
        for_below(f, follow);
    if (!e.self_resets && !e.self_sleeps)
        follow(f);
    if (e.pasids_change)
        pci_for_vfs(f, follow);
}
