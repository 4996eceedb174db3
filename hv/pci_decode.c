/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What functions decode. Addresses are never guessed from what the guest writes: decode is switched off, the
 * write is done, the function is asked what it would decode now, and decode comes back only when that covers
 * neither the region, nor a unit, nor another fixed device. Until then the enable bit is withheld, so sizing
 * a BAR with decode left on works as it always did.
 */
#include "hv/pci.h"
#include "arch/log.h"
#include "arch/string.h"
#include "hv/mem.h"
#include "iommu/iommu.h"

static void add(struct pci_apertures *out, u64 base, u64 size)
{
    if (size)
        out->at[out->count++] = (struct pci_aperture){ base, size };
}

/* Writes ones, reads the mask, puts the value back. Only while decode is off. */
static u32 size_mask(const struct pci_function *f, u32 reg, u32 ones)
{
    u32 value = pci_get(f, reg, 4);

    pci_put(f, reg, 4, ones);
    u32 mask = pci_get(f, reg, 4);
    pci_put(f, reg, 4, value);
    return mask;
}

/* `times`: a VF BAR stands for one range per VF. Returns how many registers the BARs at `reg` took. */
static unsigned read_bar(const struct pci_function *f, u32 reg, bool last, u64 times,
                         struct pci_apertures *out)
{
    u32 low = pci_get(f, reg, 4);
    bool wide = (low & 7) == 4 && !last;

    if (low & 1)
        return 1;
    u64 base = low & ~0xfu, mask = size_mask(f, reg, ~0u) & ~0xfu;
    if (wide) {
        base |= (u64)pci_get(f, reg + 4, 4) << 32;
        mask |= (u64)size_mask(f, reg + 4, ~0u) << 32;
    }
    add(out, base, (mask & -mask) * times);
    return wide ? 2 : 1;
}

/* A function's own BARs and ROM, or its VFs' BARs. */
static void read_apertures(const struct pci_function *f, const struct pci_decoder *d,
                           struct pci_apertures *out)
{
    bool vf = d == &f->vf;
    u32 bars = vf ? f->sriov + 0x24 : PCI_BAR0, rom_reg = f->bridge ? PCI_BRIDGE_ROM : PCI_ROM;
    u32 times = vf ? pci_get(f, f->sriov + 0x10, 2) : 1, rom = vf ? 0 : pci_get(f, rom_reg, 4);
    unsigned count = f->bridge && !vf ? 2 : 6;

    out->count = 0;
    for (unsigned i = 0; i < count;)
        i += read_bar(f, bars + 4 * i, i + 1 == count, times, out);
    if (rom & 1) {
        u32 mask = size_mask(f, rom_reg, ~1u) & ~0x7ffu;
        add(out, rom & ~0x7ffu, mask & -mask);
    }
}

static bool covers_fixed(const struct pci_apertures *a)
{
    for (unsigned i = 0; i < a->count; i++)
        if (mem_is_fixed(a->at[i].base, a->at[i].size))
            return true;
    return false;
}

/* From one MiB to another; where they are the other way round a window is closed. */
static bool window_covers_fixed(u64 first, u64 last)
{
    u64 end = MIN(last, BIT(52 - 20)) + 1; /* nothing fixed lies beyond */

    return mem_is_fixed(first << 20, (MAX(end, first) - first) << 20);
}

/* A bridge's windows are read from its registers as they are, or as the write would make them. */
static bool windows_cover_fixed(const struct pci_function *f, const struct pci_access *a)
{
    static const struct pci_access nothing;

    if (!f->bridge)
        return false;
    if (!a)
        a = &nothing;
    u32 memory = pci_after(f, a, PCI_MEMORY_BASE, 4), pref = pci_after(f, a, PCI_PREF_BASE, 4);
    u64 first = pref >> 4 & 0xfff, last = pref >> 20;
    if ((pref & 0xf) == 1) {
        first |= (u64)pci_after(f, a, PCI_PREF_BASE_UPPER, 4) << 12;
        last |= (u64)pci_after(f, a, PCI_PREF_LIMIT_UPPER, 4) << 12;
    }
    return window_covers_fixed(memory >> 4 & 0xfff, memory >> 20) || window_covers_fixed(first, last);
}

static void tell_changed(struct pci_aperture a)
{
    u64 base = align_down(a.base, PAGE_SIZE);

    iommu_dma_changed(base, align_up(a.base + a.size, PAGE_SIZE) - base);
}

/* Ownership follows what is decoded. Nothing is forgotten while decode is merely off: sizing would flush the
 * device TLBs of the whole machine for nothing. What stays is declared twice for a moment, and never gone. */
static void publish(struct pci_decoder *d, const struct pci_apertures *now, bool tell)
{
    struct pci_apertures old = d->declared;

    if (old.count == now->count && !memcmp(old.at, now->at, old.count * sizeof(old.at[0])))
        return;
    d->declared.count = 0;
    for (unsigned i = 0; i < now->count; i++) {
        int err = mem_declare(now->at[i].base, now->at[i].size, MEM_BAR);
        if (err)
            log_debug("no DMA to the aperture at 0x%lx: error %d", now->at[i].base, err);
        else
            add(&d->declared, now->at[i].base, now->at[i].size);
    }
    for (unsigned i = 0; i < old.count; i++)
        mem_forget(old.at[i].base, old.at[i].size, MEM_BAR);
    for (unsigned i = 0; tell && i < old.count; i++)
        tell_changed(old.at[i]);
    for (unsigned i = 0; tell && i < d->declared.count; i++)
        tell_changed(d->declared.at[i]);
}

/* False: the function decodes always, so its addresses must stay as they are. */
static bool switch_off(const struct pci_function *f, const struct pci_decoder *d)
{
    pci_put(f, d->control, 2, pci_get(f, d->control, 2) & ~(u32)d->gate);
    return (pci_get(f, d->control, 2) & d->on) != d->on;
}

void pci_decode_adopt(struct pci_function *f)
{
    struct pci_decoder *decoders[] = { &f->own, &f->vf };

    for (unsigned i = 0; i < ARRAY_SIZE(decoders); i++) {
        struct pci_decoder *d = decoders[i];
        u32 control = pci_get(f, d->control, 2);
        struct pci_apertures now;

        if (!d->control || (control & d->on) != d->on || !switch_off(f, d))
            continue;
        read_apertures(f, d, &now);
        pci_put(f, d->control, 2, control);
        publish(d, &now, false);
    }
}

static bool touches_resizing(const struct pci_function *f, const struct pci_access *a, u32 cap)
{
    return cap && pci_touches(a, cap + 4, 4 + 8 * (pci_get(f, cap + 8, 4) >> 5 & 7));
}

static bool touches_addresses(const struct pci_function *f, const struct pci_decoder *d,
                              const struct pci_access *a)
{
    if (d == &f->vf) /* NumVFs, page size, BARs */
        return pci_touches(a, f->sriov + 0x10, 2) || pci_touches(a, f->sriov + 0x20, 4 + 6 * 4) ||
               touches_resizing(f, a, f->vf_rebar);
    return pci_touches(a, PCI_BAR0, f->bridge ? 8 : 24) ||
           pci_touches(a, f->bridge ? PCI_BRIDGE_ROM : PCI_ROM, 4) || touches_resizing(f, a, f->rebar) ||
           (f->bridge && pci_touches(a, PCI_MEMORY_BASE, 16));
}

/* Decode is off. Lets it on when what the function would decode now is harmless. */
static void switch_on(struct pci_function *f, struct pci_decoder *d, bool sizing)
{
    struct pci_apertures now;

    read_apertures(f, d, &now);
    d->withheld = covers_fixed(&now) || (d == &f->own && windows_cover_fixed(f, NULL));
    if (d->withheld) {
        if (!sizing)
            log_rated(LOG_WARN,
                      "PCI %04x:%02x:%02x.%u must not decode over Sluice, a unit or a fixed device: left off",
                      f->segment, f->sid >> 8, f->sid >> 3 & 31, f->sid & 7);
        return;
    }
    publish(d, &now, true);
    intr_follow(f);
    pci_put(f, d->control, 2, pci_get(f, d->control, 2) | d->gate);
}

static void write_control(struct pci_function *f, struct pci_decoder *d, const struct pci_access *a)
{
    bool was_on = (pci_get(f, d->control, 2) & d->on) == d->on;
    bool wants_on = (pci_after(f, a, d->control, 2) & d->on) == d->on;

    if (was_on || !wants_on) {
        d->withheld = false;
        pci_put(f, a->off, a->width, a->value);
        return;
    }
    /* The bits lie in the register's low byte, and so in an access that turns them on. */
    pci_put(f, a->off, a->width, a->value & ~(u32)d->gate);
    switch_on(f, d, false);
}

static void write_addresses(struct pci_function *f, struct pci_decoder *d, const struct pci_access *a)
{
    u32 control = pci_get(f, d->control, 2);
    bool on = (control & d->on) == d->on;
    bool window = d == &f->own && f->bridge && pci_touches(a, PCI_MEMORY_BASE, 16);

    /* What lies behind a bridge must not lose its decode for a write that does no harm. */
    if ((!on && !d->withheld) || (on && window && !windows_cover_fixed(f, a))) {
        pci_put(f, a->off, a->width, a->value);
        return;
    }
    if (on && !switch_off(f, d))
        return;
    pci_put(f, a->off, a->width, a->value);
    switch_on(f, d, a->width == 4 && a->value >= 0xfffff800);
}

bool pci_decode_write(struct pci_function *f, const struct pci_access *a)
{
    struct pci_decoder *decoders[] = { &f->own, &f->vf };

    for (unsigned i = 0; i < ARRAY_SIZE(decoders); i++) {
        struct pci_decoder *d = decoders[i];
        if (!d->control)
            continue;
        if (pci_touches(a, d->control, 2)) {
            write_control(f, d, a);
            return true;
        }
        if (touches_addresses(f, d, a)) {
            write_addresses(f, d, a);
            return true;
        }
    }
    return false;
}
