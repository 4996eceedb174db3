/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of the machine, as found at boot and as they come and go.
 */
#include "hv/pci.h"
#include "arch/log.h"
#include "arch/string.h"
#include "iommu/iommu.h"

static struct pci_function functions[PCI_MAX_FUNCTIONS];
static unsigned nr_functions;

u32 pci_after(const struct pci_function *f, const struct pci_access *a, u32 off, unsigned width)
{
    u32 value = pci_get(f, off, width);

    for (unsigned i = 0; i < width; i++) {
        u32 byte = off + i - a->off;
        if (off + i < a->off || byte >= a->width)
            continue;
        value &= ~(0xffu << 8 * i);
        value |= (a->value >> 8 * byte & 0xff) << 8 * i;
    }
    return value;
}

static void look_at(struct pci_function *f, u16 segment, pci_sid sid, u32 id)
{
    memset(f, 0, sizeof(*f));
    f->segment = segment;
    f->sid = sid;
    f->id = id;
    f->bridge = (pci_get(f, PCI_HEADER_TYPE, 1) & 0x7f) == 1;
    f->pm = pci_find_cap(segment, sid, PCI_CAP_PM);
    f->exp = pci_find_cap(segment, sid, PCI_CAP_EXP);
    f->af = pci_find_cap(segment, sid, PCI_CAP_AF);
    f->msi = pci_find_cap(segment, sid, PCI_CAP_MSI);
    f->msix = pci_find_cap(segment, sid, PCI_CAP_MSIX);
    f->ats = pci_find_ext_cap(segment, sid, PCI_EXT_CAP_ATS);
    f->pasid = pci_find_ext_cap(segment, sid, PCI_EXT_CAP_PASID);
    f->sriov = pci_find_ext_cap(segment, sid, PCI_EXT_CAP_SRIOV);
    f->rebar = pci_find_ext_cap(segment, sid, PCI_EXT_CAP_REBAR);
    f->vf_rebar = pci_find_ext_cap(segment, sid, PCI_EXT_CAP_VF_REBAR);
    /* A VF's command register has no memory enable: its BARs are the physical function's. */
    if (id != ~0u) {
        f->own.control = PCI_COMMAND;
        f->own.on = f->own.gate = PCI_COMMAND_MEMORY;
    }
    if (f->sriov) {
        f->vf.control = f->sriov + 8;
        f->vf.on = PCI_SRIOV_VFE | PCI_SRIOV_VF_MSE;
        f->vf.gate = PCI_SRIOV_VF_MSE;
    }
}

/* VFs answer all ones where others have their identity, but have a class. */
static bool is_present(u16 segment, pci_sid sid, u32 *id)
{
    *id = pci_read(segment, sid, 0, 4);
    return *id != ~0u || pci_read(segment, sid, PCI_CLASS_REVISION, 4) != ~0u;
}

struct pci_function *pci_function_get(u16 segment, pci_sid sid, bool *full)
{
    struct pci_function *f = NULL;
    u32 id;

    *full = false;
    for (unsigned i = 0; i < nr_functions && !f; i++)
        if (functions[i].segment == segment && functions[i].sid == sid)
            f = &functions[i];
    if (!is_present(segment, sid, &id))
        return NULL;
    if (f && f->id == id)
        return f;
    if (f) {
        /* Another device has taken the place. What the old one decoded stays declared: no harm is in that. */
        if (f->ats_told)
            iommu_function_gone(segment, sid);
        struct pci_function old = *f;
        look_at(f, segment, sid, id);
        f->messages = old.messages;
        f->nr_messages = old.nr_messages;
        f->table = old.table;
        f->own.declared = old.own.declared;
        f->vf.declared = old.vf.declared;
        return f;
    }
    *full = nr_functions == PCI_MAX_FUNCTIONS;
    if (*full)
        return NULL;
    f = &functions[nr_functions++];
    look_at(f, segment, sid, id);
    return f;
}

void pci_for_buses(u16 segment, u8 first, u8 last, void (*visit)(struct pci_function *))
{
    for (unsigned i = 0; i < nr_functions; i++)
        if (functions[i].segment == segment && functions[i].sid >> 8 >= first &&
            functions[i].sid >> 8 <= last)
            visit(&functions[i]);
}

unsigned pci_function_count(void)
{
    return nr_functions;
}

pci_sid pci_physical_function(u16 segment, pci_sid sid)
{
    for (unsigned i = 0; i < nr_functions; i++) {
        struct pci_function *f = &functions[i];
        if (f->segment != segment || !f->sriov)
            continue;
        u32 count = pci_get(f, f->sriov + 0x10, 2), first = pci_get(f, f->sriov + 0x14, 2);
        u32 stride = pci_get(f, f->sriov + 0x16, 2), distance = (u16)(sid - f->sid - first);
        if (sid != f->sid && count &&
            (stride ? distance % stride == 0 && distance / stride < count : !distance))
            return f->sid;
    }
    return sid;
}

static int scan_function(u16 segment, pci_sid sid)
{
    bool full;
    struct pci_function *f = pci_function_get(segment, sid, &full);

    if (full)
        return ERR_NOSPC;
    if (!f)
        return 0;
    pci_decode_adopt(f);
    if (f->ats) {
        u32 control = pci_get(f, f->ats + 6, 2);
        if (control & PCI_ATS_ENABLE)
            pci_put(f, f->ats + 6, 2, control & ~(u32)PCI_ATS_ENABLE);
    }
    return 0;
}

/* Calls visit() for each present function, until that gives an error. */
static int scan_bus(u16 segment, unsigned bus, int (*visit)(u16 segment, pci_sid sid))
{
    int err = 0;

    for (unsigned sid = bus << 8; !err && sid < (bus + 1) << 8; sid++) {
        u32 id;
        bool present = is_present(segment, (pci_sid)sid, &id);

        if (present)
            err = visit(segment, (pci_sid)sid);
        if (!(sid & 7) && !(present && pci_read(segment, (pci_sid)sid, PCI_HEADER_TYPE, 1) & 0x80))
            sid |= 7; /* no other functions */
    }
    return err;
}

static bool reached[256]; /* buses */

static int stop_master(u16 segment, pci_sid sid)
{
    u32 command = pci_read(segment, sid, PCI_COMMAND, 2);

    if ((pci_read(segment, sid, PCI_HEADER_TYPE, 1) & 0x7f) == 1)
        reached[pci_read(segment, sid, PCI_PRIMARY_BUS + 1, 1)] = true;
    else if (command & PCI_COMMAND_MASTER && !iommu_rmrr_device(segment, sid))
        pci_write(segment, sid, PCI_COMMAND, 2, command & ~(u32)PCI_COMMAND_MASTER);
    return 0;
}

/* Only buses that bridges lead to, for this is done before devices are contained: what is overlooked is shut
 * out a moment later by the units. Bridges go on forwarding, for those who keep the right to. */
void pci_stop_masters(void)
{
    reached[0] = true;
    for (unsigned bus = 0; bus < 256; bus++)
        if (reached[bus])
            (void)scan_bus(0, bus, stop_master);
}

/* Every bus, not only those that bridges lead to: server chipsets have root buses that nothing points at. */
int pci_scan(void)
{
    static const struct ecam ports_only = { .last_bus = 255 };
    int err = 0;

    nr_functions = 0;
    for (unsigned i = 0; i < MAX(pci_ecam_count(), 1u); i++) {
        const struct ecam *e = pci_ecam_count() ? pci_ecam(i) : &ports_only;

        for (unsigned bus = e->first_bus; !err && bus <= e->last_bus; bus++)
            err = scan_bus(e->segment, bus, scan_function);
    }
    return err;
}
