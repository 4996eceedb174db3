/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration space through the filter: a fake machine whose registers keep only their writable bits, and a
 * record of what the VT-d layer was told and when, relative to the writes that reached the devices.
 */
#ifndef TESTS_PCI_WORLD_H
#define TESTS_PCI_WORLD_H

#include "tests/unit/chipset_world.h"
#include "hv/mem.h"
#include "hv/options.h"
#include "hv/pci.h"
#include "hv/power.h"

#define MB     0x100000ull
#define ECAM   0xe0000000ull
#define REGION (992 * MB)

/* ---- the machine */

struct device {
    u16 segment;
    pci_sid sid;
    u8 space[4096];
    u8 writable[4096];
    bool resets_on_flr;
};
enum { HOST, ISA, PORT, NIC, PLAIN, PF, VF, NR_DEVICES };
static struct device devices[NR_DEVICES];
static unsigned crowd; /* so many functions on buses from 80h on, of which nothing matters */

static struct ecam ecams[2];
static unsigned nr_ecams;

/* The story: "w4 " a write that reached a device, "+02:00.0 " ATS told to be on, "-" off, "x" gone, "s" a bus
 * master that starts, "m" an aperture that has changed. */

static struct device *device(u16 segment, pci_sid sid)
{
    for (unsigned i = 0; i < NR_DEVICES; i++)
        if (devices[i].segment == segment && devices[i].sid == sid && devices[i].space[0x0a] != 0xff)
            return &devices[i];
    return NULL;
}

static void (*by_itself)(pci_sid sid, u32 off); /* what devices do before each read */

u32 pci_read(u16 segment, pci_sid sid, u32 off, unsigned width)
{
    if (by_itself)
        by_itself(sid, off);
    struct device *d = device(segment, sid);
    u32 value = ~0u;

    assert_true(is_aligned(off, width) && off + width <= 4096);
    if (d) {
        value = 0;
        memcpy(&value, d->space + off, width);
    } else if (!segment && sid >= 0x8000 && sid - 0x8000u < crowd) {
        value = off == 0 ? 0x1234 : off == PCI_CLASS_REVISION ? ~0u : off == PCI_HEADER_TYPE ? 0x80 : 0;
    } else {
        value &= (u32)MASK(8 * width - 1, 0);
    }
    return value;
}

void pci_write(u16 segment, pci_sid sid, u32 off, unsigned width, u32 value)
{
    struct device *d = device(segment, sid);

    assert_true(is_aligned(off, width) && off + width <= 4096);
    assert_int_equal(value & ~MASK(8 * width - 1, 0), 0);
    assert_non_null(d);
    tell("w%x ", off);
    for (unsigned i = 0; i < width; i++) {
        u8 mask = d->writable[off + i];
        d->space[off + i] = (u8)((d->space[off + i] & ~mask) | ((value >> 8 * i) & mask));
    }
    if (d->resets_on_flr && d->space[0x69] & 0x80) {
        d->space[0x69] &= 0x7f;
        d->space[0x107] &= 0x7f; /* ATS.E */
        d->space[4] = 0;
    }
    /* Secondary bus reset, link disable, slot power: what lies below loses its state. */
    if (d == &devices[PORT] && (d->space[0x3e] & 0x40 || d->space[0x70] & 0x10 || d->space[0x79] & 4))
        devices[NIC].space[0x107] &= 0x7f;
    /* At no time may a function decode over Sluice or a unit. */
    if (d->space[4] & 2 && (d->space[0xe] & 0x7f) == 0)
        for (unsigned reg = 0x10; reg < 0x28; reg += 4) {
            u64 base = pci_read(0, sid, reg, 4) & ~0xfu;
            u32 mask;
            memcpy(&mask, d->writable + reg, 4);
            u64 size = mask & -mask;
            if (!d->writable[reg + 3])
                continue;
            if (d->space[reg] & 4) {
                base |= (u64)pci_read(0, sid, reg + 4, 4) << 32;
                reg += 4;
            }
            assert_false(mem_is_fixed(base, size));
        }
}

u32 pci_find_cap(u16 segment, pci_sid sid, u8 id)
{
    u32 off = pci_read(segment, sid, 0x34, 1);

    for (unsigned i = 0; i < 48 && off >= 0x40 && off != 0xff; i++, off = pci_read(segment, sid, off + 1, 1))
        if (pci_read(segment, sid, off, 1) == id)
            return off;
    return 0;
}

u32 pci_find_ext_cap(u16 segment, pci_sid sid, u16 id)
{
    u32 off = 0x100;

    for (unsigned i = 0; i < 64 && off >= 0x100 && off < 0x1000; i++) {
        u32 head = pci_read(segment, sid, off, 4);
        if (!head || head == ~0u)
            return 0;
        if ((head & 0xffff) == id)
            return off;
        off = head >> 20;
    }
    return 0;
}

/* The plain device has memory reserved by firmware. */
bool iommu_rmrr_device(u16 segment, u16 sid)
{
    return !segment && sid == devices[PLAIN].sid;
}

unsigned pci_ecam_count(void)
{
    return nr_ecams;
}

const struct ecam *pci_ecam(unsigned i)
{
    return &ecams[i];
}

static inline u8 space_u8(unsigned d, u32 off)
{
    return devices[d].space[off];
}

static inline u32 space_u32(unsigned d, u32 off)
{
    u32 value;

    memcpy(&value, devices[d].space + off, 4);
    return value;
}

static void put(unsigned d, u32 off, unsigned width, u64 value, u64 writable)
{
    memcpy(devices[d].space + off, &value, width);
    memcpy(devices[d].writable + off, &writable, width);
}

static void make(unsigned d, pci_sid sid, u32 id, u32 class, u8 header)
{
    devices[d].sid = sid;
    put(d, 0x00, 4, id, 0);
    put(d, 0x04, 2, 0, 0x7ff);
    put(d, 0x08, 4, class << 8, 0);
    put(d, 0x0e, 1, header, 0);
}

/* Power management at 0x50, PCI Express at 0x60; a root port's slot has a power controller. */
static void add_caps(unsigned d)
{
    put(d, 0x34, 1, 0x50, 0);
    put(d, 0x50, 2, 0x6001, 0);
    put(d, 0x54, 2, 0, 3);
    put(d, 0x60, 2, 0x0010, 0);
    put(d, 0x64, 4, BIT(28), 0);
    put(d, 0x68, 2, 0, 0xffff);
    put(d, 0x70, 2, 0, 0xffff);
    put(d, 0x74, 4, BIT(1), 0);
    put(d, 0x78, 4, 0, 0xffff);
}

static void add_ats(unsigned d, u32 next)
{
    put(d, 0x100, 4, next << 20 | 0x1000f, 0);
    put(d, 0x104, 2, 5, 0); /* queue depth */
    put(d, 0x106, 2, 0, 0x801f);
}

static void make_machine(void)
{
    memset(devices, 0, sizeof(devices));
    for (unsigned i = 0; i < NR_DEVICES; i++)
        devices[i].space[0x0a] = devices[i].space[0x0b] = 0xff;

    make(HOST, 0x0000, 0x29c08086, 0x060000, 0);
    put(HOST, 0x60, 8, ECAM | 1, ~0ull);
    put(HOST, 0x9d, 1, 0x0a, 0xff);
    make(ISA, 0x00f8, 0x29188086, 0x060100, 0);
    put(ISA, 0x40, 4, 0x601, ~0u);
    put(ISA, 0x60, 4, 0x0b0b0a0a, ~0u);
    make(PORT, 0x0010, 0x000c1b36, 0x060400, 1);
    put(PORT, 0x18, 4, 0x00020200, 0xffffff);
    put(PORT, 0x20, 4, 0xfe80fe00, 0xfff0fff0);
    put(PORT, 0x24, 4, 0x0001fff1, 0xfff0fff0);
    put(PORT, 0x28, 8, 0, ~0ull);
    put(PORT, 0x3e, 2, 0, 0xff);
    put(PORT, 0x04, 2, 7, 0x7ff);
    add_caps(PORT);
    /* 64-bit BAR of 16 MiB at 0xfa000000 and a 4 KiB one, ATS */
    make(NIC, 0x0200, 0x10411af4, 0x020000, 0);
    put(NIC, 0x10, 8, 0xfa000004, ~(16 * MB - 1));
    put(NIC, 0x18, 4, 0xfe801000, 0xfffff000);
    put(NIC, 0x30, 4, 0, 0xffff0001);
    put(NIC, 0x04, 2, 6, 0x7ff);
    add_caps(NIC);
    add_ats(NIC, 0);
    devices[NIC].resets_on_flr = true;
    /* one BAR of 64 MiB: sizing it covers the units */
    make(PLAIN, 0x0018, 0x11e81234, 0x118000, 0);
    put(PLAIN, 0x10, 4, 0xd0000000, 0xfc000000);
    put(PLAIN, 0x04, 2, 2, 0x7ff);
    /* 4 VFs of 64 KiB each, first one at 03:00.1 */
    make(PF, 0x0300, 0x154c8086, 0x020000, 0);
    put(PF, 0x100, 4, 0x10010, 0);
    put(PF, 0x108, 2, 0, 0xffff);
    put(PF, 0x10e, 2, 4, 0);
    put(PF, 0x110, 2, 0, 0xffff);
    put(PF, 0x114, 2, 1, 0);
    put(PF, 0x116, 2, 1, 0);
    put(PF, 0x120, 4, 1, ~0u);
    put(PF, 0x124, 4, 0xd8000000, 0xffff0000);
    add_caps(PF);
    make(VF, 0x0301, ~0u, 0x020000, 0);
    add_ats(VF, 0);
}

u64 region_base(void)
{
    return REGION;
}

u64 region_size(void)
{
    return 32 * MB;
}

/* ---- the world around the filter */

static mmio_handler ecam_handler;
static port_reader config_reader;
static port_writer config_writer;
static int bus_is_full; /* what it says to who wants ports or addresses */
static char trapped[256];

static struct mmio_range table_range;

int bus_add_mmio(u64 base, u64 size, bool reads_direct, mmio_handler handler, void *ctx)
{
    if (base >= IOAPIC)
        return chipset_add_mmio(base, size, reads_direct, handler, ctx);
    assert_true(reads_direct != options.iommu.strict);
    assert_true(ctx == &ecams[0] || ctx == &ecams[1]);
    snprintf(trapped + strlen(trapped), sizeof(trapped) - strlen(trapped), "%lx+%lx ", base, size);
    ecam_handler = handler;
    return bus_is_full;
}

int bus_add_ports(u16 first, u16 count, port_reader read, port_writer write)
{
    assert_int_equal(first, 0xcf8);
    assert_int_equal(count, 8);
    config_reader = read;
    config_writer = write;
    return bus_is_full;
}

void power_reset_control(u8 value)
{
    tell("reset:%x ", value);
}

static void tell_sid(char what, u16 sid)
{
    tell("%c%02x:%02x.%u ", what, sid >> 8, sid >> 3 & 31, sid & 7);
}

static pci_sid vf_sid;

void iommu_ats_change(u16 segment, u16 sid, bool on, u8 depth, u16 pfsid, bool pasid)
{
    assert_int_equal(segment, 0);
    assert_int_equal(depth, 5);
    assert_int_equal(pfsid, sid == vf_sid ? 0x300 : sid);
    tell_sid(on ? '+' : '-', sid);
    if (on && pasid)
        tell("pasid ");
}

void iommu_function_starts(u16 segment, u16 sid)
{
    assert_int_equal(segment, 0);
    tell_sid('s', sid);
}

void iommu_function_gone(u16 segment, u16 sid)
{
    assert_int_equal(segment, 0);
    tell_sid('x', sid);
}

static bool stopped;
bool iommu_stopped(u16 segment, u16 sid)
{
    (void)segment;
    (void)sid;
    return stopped;
}

void iommu_dma_changed(u64 base, u64 size)
{
    assert_true(is_aligned(base, PAGE_SIZE) && is_aligned(size, PAGE_SIZE) && size);
    tell("m%lx ", base);
}

/* The machine before anything has looked at it. */
static int begin(void **state)
{
    static struct boot_info info = { .nr_ranges = 1, .ranges = { { MB, 1023 * MB, BOOT_MEM_RAM } } };
    int err;

    (void)machine_set_up(state);
    make_machine();
    trapped[0] = 0;
    nr_ecams = 1;
    ecams[0] = (struct ecam){ .base = ECAM, .last_bus = 255 };
    err = mem_init(&info);
    err |= mem_declare(0xfed90000, 0x1000, MEM_UNIT);
    err |= mem_declare(ECAM, 256 * MB, MEM_DEVICE);
    err |= mem_declare(0xfec00000, MB, MEM_DEVICE);
    err |= mem_declare(0xff000000, 16 * MB, MEM_DEVICE);
    crowd = 0;
    stopped = false;
    bus_is_full = 0;
    err |= pci_filter_init();
    vf_sid = devices[VF].sid;
    return err;
}

static inline int set_up(void **state)
{
    int err = begin(state);

    pci_scan();
    story[0] = 0;
    return err;
}

static inline void cfg_write(unsigned d, u32 off, unsigned width, u64 value)
{
    ecam_handler(&ecams[0], ECAM + ((u64)devices[d].sid << 12) + off, width, true, value, NULL);
}

static inline u64 cfg_read(unsigned d, u32 off, unsigned width)
{
    u64 address = ECAM + ((u64)devices[d].sid << 12) + off;

    return ecam_handler(&ecams[0], address, width, false, 0x5555555555555555, NULL);
}

/* ---- intr=strict: messages, an MSI-X table in NIC's first BAR */

struct options options;
static struct iommu_message messages[512];
static unsigned nr_messages, messages_left;

struct iommu_message *iommu_messages(u16 segment, u16 sid, u32 source, unsigned count)
{
    (void)segment;
    (void)sid;
    if (count > messages_left)
        return NULL;
    messages_left -= count;
    for (unsigned i = 0; i < count; i++) /* the upper half, whose highest bit is set apart */
        messages[nr_messages + i] =
            (struct iommu_message){ .source = source, .index = (u16)(0xfdc0 + nr_messages + i) };
    nr_messages += count;
    return &messages[nr_messages - count];
}

void iommu_message_set(struct iommu_message *m, u32 address, u16 data)
{
    device_unlocked |= !intr_lock.taken;
    m->address = address;
    m->data = data;
}

static u8 bar_page[PAGE_SIZE];
static u64 bar_at;

volatile void *mmio_window(u64 pa)
{
    device_unlocked |= !intr_lock.taken;
    bar_at = align_down(pa, PAGE_SIZE);
    return &bar_page[pa % PAGE_SIZE];
}

int bus_place_mmio(const struct mmio_range **at, u64 base, u64 size, mmio_handler handler, void *ctx)
{
    if (bus_is_full)
        return bus_is_full;
    table_range = (struct mmio_range){ base, size, handler, ctx };
    *at = &table_range;
    return 0;
}

static unsigned flushes;
void vcpu_flush_all(void)
{
    flushes++;
}

#endif
