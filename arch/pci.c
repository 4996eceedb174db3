/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/pci.h"
#include "arch/acpi.h"
#include "arch/cpu.h"
#include "arch/log.h"
#include "arch/paging.h"
#include "arch/string.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA    0xcfc
#define CONFIG_ENABLE  0x80000000u

#define CONFIG_SIZE     256
#define EXT_CONFIG_SIZE 4096

#define PCI_STATUS          0x06
#define PCI_STATUS_CAP_LIST 0x10
#define PCI_CAP_POINTER     0x34
#define PCI_EXT_CAPS        0x100

/* How many capabilities fit: a longer list is a loop. */
#define MAX_CAPS     ((CONFIG_SIZE - 0x40) / 4)
#define MAX_EXT_CAPS ((EXT_CONFIG_SIZE - PCI_EXT_CAPS) / 4)

/* PCI Firmware specification, 4.1.2. */
struct mcfg_entry {
    u64 base;
    u16 segment;
    u8 first_bus, last_bus;
    u32 reserved;
};
_Static_assert(sizeof(struct mcfg_entry) == 16, "MCFG");
#define MCFG_ENTRIES 44

static struct ecam ecams[MAX_ECAM];
static unsigned nr_ecams;
static struct spinlock lock;

static void add_ecam(const struct mcfg_entry *e)
{
    if (nr_ecams == MAX_ECAM || e->last_bus < e->first_bus || e->base >= BIT(52)) {
        log_warn("MCFG: segment %u buses %u-%u at 0x%llx ignored", e->segment, e->first_bus, e->last_bus,
                 (unsigned long long)e->base);
        return;
    }
    u64 size = (u64)(e->last_bus - e->first_bus + 1) << 20;
    struct ecam *ecam = &ecams[nr_ecams++];
    *ecam = (struct ecam){
        .base = e->base,
        .segment = e->segment,
        .first_bus = e->first_bus,
        .last_bus = e->last_bus,
        .map = mmio_map(e->base + ((u64)e->first_bus << 20), size),
    };
    if (!ecam->map)
        log_warn("MCFG: the window of segment %u cannot be mapped", e->segment);
}

void pci_init(void)
{
    const struct acpi_header *mcfg = acpi_find("MCFG");
    struct mcfg_entry e;

    nr_ecams = 0;
    if (!mcfg)
        return;
    for (u32 off = MCFG_ENTRIES; off + sizeof(e) <= mcfg->length; off += sizeof(e)) {
        memcpy(&e, (const u8 *)mcfg + off, sizeof(e));
        add_ecam(&e);
    }
}

unsigned pci_ecam_count(void)
{
    return nr_ecams;
}

const struct ecam *pci_ecam(unsigned i)
{
    return i < nr_ecams ? &ecams[i] : NULL;
}

/* NULL: by ports, if at all. */
static volatile u8 *ecam_of(u16 segment, pci_sid sid, u32 off)
{
    u8 bus = sid >> 8;

    for (unsigned i = 0; i < nr_ecams; i++) {
        const struct ecam *e = &ecams[i];

        if (e->map && e->segment == segment && bus >= e->first_bus && bus <= e->last_bus)
            return e->map + ((u64)(sid - (e->first_bus << 8)) << 12) + off;
    }
    return NULL;
}

static bool valid(u32 off, unsigned width)
{
    return (width == 1 || width == 2 || width == 4) && is_aligned(off, width) && off < EXT_CONFIG_SIZE;
}

/* Selects the register; false: the ports do not reach it. */
static bool select_port(u16 segment, pci_sid sid, u32 off)
{
    if (segment || off >= CONFIG_SIZE)
        return false;
    outl(CONFIG_ADDRESS, CONFIG_ENABLE | (u32)sid << 8 | (off & ~3u));
    return true;
}

u32 pci_read(u16 segment, pci_sid sid, u32 off, unsigned width)
{
    u32 value = ~0u;

    if (!valid(off, width))
        return value;
    spin_lock(&lock);
    volatile u8 *reg = ecam_of(segment, sid, off);
    u16 port = CONFIG_DATA + (off & 3);
    if (reg)
        value = width == 1 ? *reg : width == 2 ? *(volatile u16 *)reg : *(volatile u32 *)reg;
    else if (select_port(segment, sid, off))
        value = port_in(port, width);
    spin_unlock(&lock);
    return width == 4 ? value : value & ((1u << 8 * width) - 1);
}

void pci_write(u16 segment, pci_sid sid, u32 off, unsigned width, u32 value)
{
    if (!valid(off, width))
        return;
    spin_lock(&lock);
    volatile u8 *reg = ecam_of(segment, sid, off);
    u16 port = CONFIG_DATA + (off & 3);
    if (!reg && select_port(segment, sid, off))
        port_out(port, width, value);
    else if (reg && width == 1)
        *reg = (u8)value;
    else if (reg && width == 2)
        *(volatile u16 *)reg = (u16)value;
    else if (reg)
        *(volatile u32 *)reg = value;
    spin_unlock(&lock);
}

u32 pci_find_cap(u16 segment, pci_sid sid, u8 id)
{
    u16 status = (u16)pci_read(segment, sid, PCI_STATUS, 2);

    if (status == 0xffff || !(status & PCI_STATUS_CAP_LIST))
        return 0;
    u32 off = pci_read(segment, sid, PCI_CAP_POINTER, 1) & ~3u;
    for (unsigned i = 0; i < MAX_CAPS && off >= 0x40; i++) {
        u32 head = pci_read(segment, sid, off, 2);

        if ((head & 0xff) == id)
            return off;
        off = head >> 8 & ~3u;
    }
    return 0;
}

u32 pci_find_ext_cap(u16 segment, pci_sid sid, u16 id)
{
    u32 off = PCI_EXT_CAPS;

    for (unsigned i = 0; i < MAX_EXT_CAPS && off >= PCI_EXT_CAPS; i++) {
        u32 head = pci_read(segment, sid, off, 4);

        if (!head || head == ~0u)
            return 0;
        if ((head & 0xffff) == id)
            return off;
        off = head >> 20 & ~3u;
    }
    return 0;
}
