/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of the machine, as found at boot and as they come and go.
 */
#include "hv/pci.h"
#include "hv/options.h"
#include "iommu/iommu.h"

static struct pci_function functions[PCI_MAX_FUNCTIONS];
static unsigned nr_functions;

u32 pci_after(const struct pci_function *f, const struct pci_access *a, u32 off, unsigned width)
{
    u32 value = pci_get(f, off, width);

    for (unsigned i = 0; i < width; i++) {
        u32 byte = off + i - a->off;
        if (byte < a->width)
            value = (value & ~(0xffu << 8 * i)) | (a->value >> 8 * byte & 0xff) << 8 * i;
    }
    return value;
}

/* What the one that was there before decoded stays declared: no harm is in that. */
static void look_at(struct pci_function *f, u16 segment, pci_sid sid, u32 id)
{
    *f = (struct pci_function){
        .segment = segment,
        .sid = sid,
        .id = id,
        .bridge = (pci_read(segment, sid, PCI_HEADER_TYPE, 1) & 0x7f) == 1,
        .pm = pci_find_cap(segment, sid, PCI_CAP_PM),
        .exp = pci_find_cap(segment, sid, PCI_CAP_EXP),
        .af = pci_find_cap(segment, sid, PCI_CAP_AF),
        .msi = pci_find_cap(segment, sid, PCI_CAP_MSI),
        .msix = pci_find_cap(segment, sid, PCI_CAP_MSIX),
        .ats = pci_find_ext_cap(segment, sid, PCI_EXT_CAP_ATS),
        .pasid = pci_find_ext_cap(segment, sid, PCI_EXT_CAP_PASID),
        .sriov = pci_find_ext_cap(segment, sid, PCI_EXT_CAP_SRIOV),
        .rebar = pci_find_ext_cap(segment, sid, PCI_EXT_CAP_REBAR),
        .vf_rebar = pci_find_ext_cap(segment, sid, PCI_EXT_CAP_VF_REBAR),
        .own.declared = f->own.declared,
        .vf.declared = f->vf.declared,
        .messages = f->messages,
        .nr_messages = f->nr_messages,
        .table = f->table,
    };
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
    for (unsigned i = 0; i < nr_functions; i++)
        if (functions[i].segment == segment && functions[i].sid == sid)
            f = &functions[i];
    if (!is_present(segment, sid, &id))
        return NULL;
    if (f && f->id == id)
        return f;
    if (f && f->ats_told) /* another device has taken the place */
        iommu_function_gone(segment, sid);
    *full = !f && nr_functions == PCI_MAX_FUNCTIONS;
    if (*full)
        return NULL;
    if (!f) {
        f = &functions[nr_functions++];
        *f = (struct pci_function){ 0 };
    }
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

bool pci_is_vf(const struct pci_function *pf, u16 segment, pci_sid sid, u32 *number)
{
    /* One that is gone reads as ones. */
    if (pf->segment != segment || !pf->sriov || pci_get(pf, pf->sriov, 4) == ~0u)
        return false;
    u32 count = pci_get(pf, pf->sriov + 0x10, 2), stride = pci_get(pf, pf->sriov + 0x16, 2);
    u32 distance = (u16)(sid - pf->sid - pci_get(pf, pf->sriov + 0x14, 2));
    stride = MAX(stride, 1u);
    *number = distance / stride;
    return sid != pf->sid && distance % stride == 0 && *number < count;
}

void pci_for_vfs(const struct pci_function *pf, void (*visit)(struct pci_function *))
{
    u32 number;

    for (unsigned i = 0; i < nr_functions; i++)
        if (pci_is_vf(pf, functions[i].segment, functions[i].sid, &number))
            visit(&functions[i]);
}

pci_sid pci_physical_function(u16 segment, pci_sid sid)
{
    u32 number;

    for (unsigned i = 0; i < nr_functions; i++)
        if (pci_is_vf(&functions[i], segment, sid, &number))
            return functions[i].sid;
    return sid;
}

static void scan_function(u16 segment, pci_sid sid)
{
    bool full;
    struct pci_function *f = pci_function_get(segment, sid, &full);

    need(full ? ERR_NOSPC : 0, "reading PCI configuration space");
    if (!f)
        return;
    pci_decode_adopt(f);
    u32 control = f->ats ? pci_get(f, f->ats + 6, 2) : 0;
    if (control & PCI_ATS_ENABLE)
        pci_put(f, f->ats + 6, 2, control & ~(u32)PCI_ATS_ENABLE);
}

/* Calls visit() for each present function. */
static void scan_bus(u16 segment, unsigned bus, void (*visit)(u16 segment, pci_sid sid))
{
    for (unsigned sid = bus << 8; sid < (bus + 1) << 8; sid++) {
        u32 id;
        bool present = is_present(segment, (pci_sid)sid, &id);

        if (present)
            visit(segment, (pci_sid)sid);
        if (!(sid & 7) && !(present && pci_read(segment, (pci_sid)sid, PCI_HEADER_TYPE, 1) & 0x80))
            sid |= 7; /* no other functions */
    }
}

static bool reached[256]; /* buses */

static void stop_master(u16 segment, pci_sid sid)
{
    u32 command = pci_read(segment, sid, PCI_COMMAND, 2);

    if ((pci_read(segment, sid, PCI_HEADER_TYPE, 1) & 0x7f) == 1)
        reached[pci_read(segment, sid, PCI_PRIMARY_BUS + 1, 1)] = true;
    else if (command & PCI_COMMAND_MASTER && !iommu_rmrr_device(segment, sid))
        pci_write(segment, sid, PCI_COMMAND, 2, command & ~(u32)PCI_COMMAND_MASTER);
}

/* Only buses that bridges lead to, for this is done before devices are contained: what is overlooked is shut
 * out a moment later by the units. Bridges go on forwarding, for those who keep the right to. */
void pci_stop_masters(void)
{
    reached[0] = true;
    for (unsigned bus = 0; bus < 256; bus++)
        if (reached[bus])
            scan_bus(0, bus, stop_master);
}

/* Every bus, not only those that bridges lead to: server chipsets have root buses that nothing points at. */
void pci_scan(void)
{
    static const struct ecam ports_only = { .last_bus = 255 };

    nr_functions = 0;
    for (unsigned i = 0; i < MAX(pci_ecam_count(), 1u); i++) {
        const struct ecam *e = pci_ecam_count() ? pci_ecam(i) : &ports_only;

        for (unsigned bus = e->first_bus; bus <= e->last_bus; bus++)
            scan_bus(e->segment, bus, scan_function);
    }
}
