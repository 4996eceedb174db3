/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/intr.c hv/intr_chipset.c hv/pci_cfg.c hv/pci_filter.c hv/pci_decode.c hv/pci_table.c hv/mem.c */
/*
 * Configuration space through the filter: a fake machine whose registers keep only their writable bits, and a
 * record of what the VT-d layer was told and when, relative to the writes that reached the devices.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "arch/log.h"
#include "arch/paging.h"
#include "hv/bus.h"
#include "hv/exit.h"
#include "hv/fixed.h"
#include "hv/mem.h"
#include "hv/options.h"
#include "hv/pci.h"
#include "hv/power.h"
#include "iommu/iommu.h"

#define MB     0x100000ull
#define ECAM   0xe0000000ull
#define REGION (992 * MB)
#define IOAPIC 0xfec00000ull
#define HPET   0xfed00000ull

/* ---- the machine */

struct device {
    pci_sid sid;
    u8 space[4096];
    u8 writable[4096];
    bool resets_on_flr;
};
enum { HOST, ISA, PORT, NIC, PLAIN, PF, VF, NR_DEVICES };
static struct device devices[NR_DEVICES];
static u32 reset_asked;

static struct ecam ecam = { .base = ECAM, .last_bus = 255 };

/* What happened, in order: "w04" a write that reached a device, "+02:00.0"... ATS, "-" off, "x" gone. */
static char story[4096];

static void tell(const char *fmt, ...)
{
    size_t used = strlen(story);
    va_list args;

    va_start(args, fmt);
    vsnprintf(story + used, sizeof(story) - used, fmt, args);
    va_end(args);
}

static enum mem_owner mem_owner(u64 pa)
{
    enum mem_owner owner;

    (void)mem_extent(pa, &owner);
    return owner;
}

static struct device *device(pci_sid sid)
{
    for (unsigned i = 0; i < NR_DEVICES; i++)
        if (devices[i].sid == sid && devices[i].space[0x0a] != 0xff)
            return &devices[i];
    return NULL;
}

u32 pci_read(u16 segment, pci_sid sid, u32 off, unsigned width)
{
    struct device *d = segment ? NULL : device(sid);
    u32 value = ~0u;

    assert_true(is_aligned(off, width) && off + width <= 4096);
    if (d) {
        value = 0;
        memcpy(&value, d->space + off, width);
    } else {
        value &= (u32)MASK(8 * width - 1, 0);
    }
    return value;
}

void pci_write(u16 segment, pci_sid sid, u32 off, unsigned width, u32 value)
{
    struct device *d = segment ? NULL : device(sid);

    assert_true(is_aligned(off, width) && off + width <= 4096);
    if (!d)
        return;
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
    return 1;
}

const struct ecam *pci_ecam(unsigned i)
{
    return i ? NULL : &ecam;
}

static u8 space_u8(unsigned d, u32 off)
{
    return devices[d].space[off];
}

static u32 space_u32(unsigned d, u32 off)
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
static void *ecam_ctx;

static struct mmio_range table_range;
static mmio_handler hpet_handler; /* NULL: it is not trapped */

int bus_add_mmio(u64 base, u64 size, bool reads_direct, mmio_handler handler, void *ctx)
{
    if (base == IOAPIC || base == HPET) {
        assert_false(reads_direct);
        if (base == HPET)
            hpet_handler = handler;
        return 0;
    }
    assert_int_equal(base, ECAM);
    assert_int_equal(size, 256 * MB);
    assert_true(reads_direct != options.iommu.strict);
    ecam_handler = handler;
    ecam_ctx = ctx;
    return 0;
}

int bus_add_ports(u16 first, u16 count, port_reader read, port_writer write)
{
    assert_int_equal(first, 0xcf8);
    assert_int_equal(count, 8);
    config_reader = read;
    config_writer = write;
    return 0;
}

void power_reset_control(u8 value)
{
    reset_asked = value;
}

static void tell_sid(char what, u16 sid)
{
    tell("%c%02x:%02x.%u ", what, sid >> 8, sid >> 3 & 31, sid & 7);
}

void iommu_ats_change(u16 segment, u16 sid, bool on, u8 depth, u16 pfsid, bool pasid)
{
    assert_int_equal(segment, 0);
    assert_int_equal(depth, 5);
    assert_int_equal(pfsid, sid == 0x301 ? 0x300 : sid);
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

bool log_limited(struct log_bucket *bucket)
{
    (void)bucket;
    return true;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    (void)level;
    (void)fmt;
}

static int set_up(void **state)
{
    static struct boot_info info = { .nr_ranges = 1, .ranges = { { MB, 1023 * MB, BOOT_MEM_RAM } } };
    int err;

    (void)state;
    make_machine();
    err = mem_init(&info);
    err |= mem_declare(0xfed90000, 0x1000, MEM_UNIT);
    err |= mem_declare(ECAM, 256 * MB, MEM_DEVICE);
    err |= mem_declare(0xfec00000, MB, MEM_DEVICE);
    err |= mem_declare(0xff000000, 16 * MB, MEM_DEVICE);
    err |= pci_filter_init();
    pci_scan();
    story[0] = 0;
    return err;
}

static void cfg_write(unsigned d, u32 off, unsigned width, u64 value)
{
    ecam_handler(ecam_ctx, ECAM + ((u64)devices[d].sid << 12) + off, width, true, value, NULL);
}

static u64 cfg_read(unsigned d, u32 off, unsigned width)
{
    u64 address = ECAM + ((u64)devices[d].sid << 12) + off;

    return ecam_handler(ecam_ctx, address, width, false, 0x5555555555555555, NULL);
}

static void out(u16 at, unsigned width, u32 value)
{
    config_writer(at, width, value);
}

static u32 in(u16 at, unsigned width)
{
    return config_reader(at, width);
}

/* ---- intr=strict: messages, an IOAPIC of two pins, an MSI-X table in NIC's first BAR */

struct options options;
static struct iommu_message messages[64];
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
            (struct iommu_message){ .source = source, .index = (u16)(0xffc0 + nr_messages + i) };
    nr_messages += count;
    return &messages[nr_messages - count];
}

void iommu_message_set(struct iommu_message *m, u32 address, u16 data)
{
    m->address = address;
    m->data = data;
}

bool iommu_chipset(enum iommu_chipset type, u8 id, u16 *segment, u16 *sid)
{
    *segment = 0;
    *sid = type == IOMMU_HPET ? 0xff78 : 0xff00;
    return type == IOMMU_HPET ? id == 0 : id == 2;
}

static u8 hpet_number;

u64 fixed_hpet(u8 *number)
{
    *number = hpet_number;
    return HPET;
}

const u8 *fixed_ioapic_next(const u8 *entry, u64 *address)
{
    static const u8 madt_entry[12] = { 1, 12, 2 };

    *address = IOAPIC;
    return entry ? NULL : madt_entry;
}

/* Of the IOAPIC there is only its number of pins; the emulator's is real (tests/guests/intr.c). */
static u32 ioapic_page[0x400] = { [4] = 0x00010020 };

/* Three timers, of which the second can send messages. */
static u32 hpet_page[0x400];

void *mmio_map(u64 pa, u64 size)
{
    assert_int_equal(size, PAGE_SIZE);
    if (pa == HPET)
        return hpet_page;
    assert_int_equal(pa, IOAPIC);
    return ioapic_page;
}

static u8 bar_page[PAGE_SIZE];
static u64 bar_at;

volatile void *mmio_window(u64 pa)
{
    bar_at = align_down(pa, PAGE_SIZE);
    return &bar_page[pa % PAGE_SIZE];
}

int bus_place_mmio(const struct mmio_range **at, u64 base, u64 size, mmio_handler handler, void *ctx)
{
    table_range = (struct mmio_range){ base, size, handler, ctx };
    *at = &table_range;
    return 0;
}

static unsigned flushes;
void vcpu_flush_all(void)
{
    flushes++;
}

void refuse(const char *fmt, ...)
{
    fail_msg("%s", fmt);
    abort();
}

/* ---- tests */

static void scan_declares_what_is_decoded(void **state)
{
    (void)state;
    assert_int_equal(mem_owner(0xfa000000), MEM_BAR);
    assert_int_equal(mem_owner(0xfaffffff), MEM_BAR);
    assert_int_equal(mem_owner(0xfb000000), MEM_HOLE);
    assert_int_equal(mem_owner(0xd0000000), MEM_BAR);
    assert_int_equal(mem_owner(0xd8000000), MEM_HOLE); /* VFs are off */
    assert_int_equal(space_u32(NIC, 0x10), 0xfa000004);
    assert_int_equal(space_u8(NIC, 4), 6);
}

static void firmware_left_ats_on(void **state)
{
    bool full;

    (void)state;
    put(NIC, 0x106, 2, 0x8000, 0x801f);
    pci_scan();
    assert_int_equal(space_u8(NIC, 0x107), 0);
    assert_non_null(pci_function_get(0, 0x200, &full));
}

static void decode_registers_of_the_chipset_are_fixed(void **state)
{
    (void)state;
    for (u32 off = 0x40; off < 0x100; off++)
        cfg_write(HOST, off, 1, 0x5a);
    cfg_write(HOST, 0x60, 8, 0);
    cfg_write(HOST, 0x3e, 4, ~0u); /* straddles into what is fixed */
    assert_int_equal(space_u32(HOST, 0x60), ECAM | 1);
    assert_int_equal(space_u8(HOST, 0x9d), 0x0a);
    cfg_write(ISA, 0x40, 2, 0x1001);
    cfg_write(ISA, 0x41, 1, 0x10);
    cfg_write(ISA, 0x3f, 4, 0);
    assert_int_equal(space_u32(ISA, 0x40), 0x601);
    cfg_write(ISA, 0x60, 1, 0x80); /* interrupt routing is the guest's */
    assert_int_equal(space_u8(ISA, 0x60), 0x80);
}

static void bars_can_be_sized_and_moved(void **state)
{
    (void)state;
    cfg_write(NIC, 4, 2, 4);
    cfg_write(NIC, 0x10, 4, ~0u);
    cfg_write(NIC, 0x14, 4, ~0u);
    assert_int_equal(cfg_read(NIC, 0x10, 8), 0xffffffffff000004);
    cfg_write(NIC, 0x10, 8, 0x200000004);
    assert_int_equal(mem_owner(0xfa000000), MEM_BAR); /* not forgotten while it may come back */
    story[0] = 0;
    cfg_write(NIC, 4, 2, 6);
    assert_int_equal(space_u8(NIC, 4), 6);
    assert_int_equal(mem_owner(0x200000000 + 16 * MB - 1), MEM_BAR);
    assert_int_equal(mem_owner(0xfa000000), MEM_HOLE);
    assert_non_null(strstr(story, "mfa000000 "));
    assert_non_null(strstr(story, "m200000000 "));
    /* Off and on again in the same place costs no flush. */
    story[0] = 0;
    cfg_write(NIC, 4, 2, 4);
    cfg_write(NIC, 4, 2, 6);
    assert_null(strchr(story, 'm'));
}

/* With decode on, 64 MiB of ones cover the units for a moment: the fake device would notice (see pci_write).
 */
static void sizing_with_decode_on(void **state)
{
    (void)state;
    cfg_write(PLAIN, 0x10, 4, ~0u);
    assert_int_equal(cfg_read(PLAIN, 0x10, 4), 0xfc000000);
    assert_int_equal(space_u8(PLAIN, 4), 0);
    cfg_write(PLAIN, 0x10, 4, 0xd0000000);
    assert_int_equal(space_u8(PLAIN, 4), 2);
    assert_int_equal(mem_owner(0xd0000000), MEM_BAR);
    assert_null(strchr(story, 'm'));
}

static void bars_stay_clear_of_sluice_and_units(void **state)
{
    static const u32 places[] = { 960u << 20, 0xfc000000, ECAM, 0xec000000 };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
        cfg_write(PLAIN, 0x10, 4, places[i]);
        assert_int_equal(space_u8(PLAIN, 4) & 2, 0);
        cfg_write(PLAIN, 4, 2, 2);
        assert_int_equal(space_u8(PLAIN, 4) & 2, 0);
        cfg_write(PLAIN, 4, 1, 6);
        cfg_write(PLAIN, 4, 4, 6);
        assert_int_equal(space_u8(PLAIN, 4), 4);
        cfg_write(PLAIN, 4, 2, 0);
        cfg_write(PLAIN, 0x13, 1, 0xd0); /* byte by byte out of the way */
        cfg_write(PLAIN, 4, 2, 2);
        assert_int_equal(space_u8(PLAIN, 4), 2);
    }
    /* one byte moves it with decode on */
    cfg_write(PLAIN, 0x13, 1, 0xfc);
    assert_int_equal(space_u8(PLAIN, 4), 0);
    cfg_write(PLAIN, 0x13, 1, 0xd4);
    assert_int_equal(space_u8(PLAIN, 4), 2);
    assert_int_equal(mem_owner(0xd4000000), MEM_BAR);
    assert_int_equal(mem_owner(0xd0000000), MEM_HOLE);
    /* a function that the guest turned off stays off */
    cfg_write(PLAIN, 0x13, 1, 0xfc);
    cfg_write(PLAIN, 4, 2, 0);
    cfg_write(PLAIN, 0x13, 1, 0xd0);
    assert_int_equal(space_u8(PLAIN, 4), 0);
}

static void bar_halves_and_rom(void **state)
{
    (void)state;
    /* The upper half alone brings the BAR from above 4 GiB down onto the units. */
    cfg_write(NIC, 4, 2, 4);
    cfg_write(NIC, 0x10, 8, 0x2fe000004);
    cfg_write(NIC, 0x18, 4, 0xd7000000);
    cfg_write(NIC, 4, 2, 6);
    assert_int_equal(space_u8(NIC, 4), 6);
    cfg_write(NIC, 0x14, 4, 0);
    assert_int_equal(space_u8(NIC, 4), 4);
    cfg_write(NIC, 0x14, 4, 2);
    assert_int_equal(space_u8(NIC, 4), 6);
    cfg_write(NIC, 0x30, 4, 0xfed90001);
    assert_int_equal(space_u8(NIC, 4), 4);
    cfg_write(NIC, 0x30, 4, 0xfed90000); /* not enabled: harmless */
    assert_int_equal(space_u8(NIC, 4), 6);
    cfg_write(NIC, 0x30, 1, 1);
    assert_int_equal(space_u8(NIC, 4), 4);
    cfg_write(NIC, 0x30, 4, 0xd6000001);
    assert_int_equal(space_u8(NIC, 4), 6);
}

static void what_always_decodes_stays_where_it_is(void **state)
{
    put(PLAIN, 0x04, 2, 2, 0x7fd);
    (void)state;
    pci_scan();
    cfg_write(PLAIN, 0x10, 4, ~0u);
    cfg_write(PLAIN, 0x10, 4, 0xfc000000);
    cfg_write(PLAIN, 0x13, 1, 0xd4);
    assert_int_equal(space_u32(PLAIN, 0x10), 0xd0000000);
}

static void bridge_windows(void **state)
{
    (void)state;
    cfg_write(PORT, 0x20, 4, 0xfe90fe00);
    assert_string_equal(story, "w20 "); /* harmless: decode was never off */
    cfg_write(PORT, 0x22, 2, 0xfed0);
    assert_int_equal(space_u8(PORT, 4), 5);
    cfg_write(PORT, 0x20, 2, 0xfef0); /* base above limit: closed */
    assert_int_equal(space_u8(PORT, 4), 7);
    cfg_write(PORT, 0x20, 4, 0x3e003e00); /* over the region */
    assert_int_equal(space_u8(PORT, 4), 5);
    cfg_write(PORT, 0x20, 4, 0xfe80fe00);
    assert_int_equal(space_u8(PORT, 4), 7);
    /* the prefetchable one, by the upper halves: from just below 4 GiB, so over the flash, then above it */
    cfg_write(PORT, 0x2c, 4, 1);
    assert_int_equal(space_u8(PORT, 4), 5);
    cfg_write(PORT, 0x28, 4, 1);
    assert_int_equal(space_u8(PORT, 4), 7);
}

static void virtual_functions(void **state)
{
    (void)state;
    cfg_write(PF, 0x110, 2, 4);
    cfg_write(PF, 0x124, 4, 0xfed80000); /* the second VF would lie on the unit */
    cfg_write(PF, 0x108, 2, 9);
    assert_int_equal(space_u8(PF, 0x108), 1);
    cfg_write(PF, 0x124, 4, 0xfed60000); /* the fourth would */
    assert_int_equal(space_u8(PF, 0x108), 1);
    cfg_write(PF, 0x124, 4, 0xd8000000);
    assert_int_equal(space_u8(PF, 0x108), 9);
    assert_int_equal(mem_owner(0xd803ffff), MEM_BAR);
    assert_int_equal(mem_owner(0xd8040000), MEM_HOLE);

    cfg_write(VF, 0x106, 2, 0x8000);
    story[0] = 0;
    cfg_write(PF, 0x108, 2, 0); /* its VFs end: flushed while they can answer */
    assert_memory_equal(story, "-03:00.1 w108 ", 14);
}

static void the_gate_opens_before_on_and_closes_before_off(void **state)
{
    (void)state;
    cfg_write(NIC, 0x106, 2, 0x8000);
    assert_string_equal(story, "+02:00.0 w106 +02:00.0 ");
    story[0] = 0;
    cfg_write(NIC, 0x106, 2, 0);
    assert_string_equal(story, "-02:00.0 w106 ");
    /* any width, any offset that touches the register */
    story[0] = 0;
    cfg_write(NIC, 0x107, 1, 0x80);
    assert_string_equal(story, "+02:00.0 w107 +02:00.0 ");
    story[0] = 0;
    cfg_write(NIC, 0x104, 4, 0);
    assert_string_equal(story, "-02:00.0 w104 ");
    story[0] = 0;
    cfg_write(NIC, 0x100, 8, 0x8000000000000000);
    assert_string_equal(story, "w100 +02:00.0 w104 +02:00.0 ");
    story[0] = 0;
    cfg_write(NIC, 0x105, 4, 0); /* straddles: two bytes and a word */
    assert_non_null(strstr(story, "-02:00.0 "));
    /* A device that does not take it has no gate. */
    story[0] = 0;
    put(NIC, 0x106, 2, 0, 0x1f);
    cfg_write(NIC, 0x106, 2, 0x8000);
    assert_string_equal(story, "+02:00.0 w106 x02:00.0 ");
}

/* A quarantined function does not become a bus master again, by no width of access; all else it may. */
static void quarantined_is_no_bus_master(void **state)
{
    (void)state;
    for (unsigned quarantined = 0; quarantined < 2; quarantined++)
        for (unsigned width = 1; width <= 8; width *= 2) {
            u32 off = width == 8 ? 0 : 4;

            stopped = false;
            cfg_write(NIC, 4, 2, 0);
            stopped = quarantined;
            cfg_write(NIC, off, width, 0x06ull << (off ? 0 : 32));
            assert_int_equal(pci_read(0, devices[NIC].sid, 4, 2), quarantined ? 2 : 6);
        }
    stopped = false;
}

static void enabled_behind_our_back(void **state)
{
    (void)state;
    put(NIC, 0x106, 2, 0x8000, 0x801f);
    cfg_write(NIC, 0x3c, 1, 5); /* the next write, whatever it is */
    assert_string_equal(story, "w3c +02:00.0 +02:00.0 ");
}

static void ats_on(void)
{
    cfg_write(NIC, 0x106, 2, 0x8000);
    story[0] = 0;
}

static void what_clears_ats_is_known(void **state)
{
    (void)state;
    ats_on();
    cfg_write(NIC, 0x68, 2, 0x8000); /* function level reset */
    assert_string_equal(story, "-02:00.0 w68 ");
    ats_on();
    cfg_write(NIC, 0x69, 1, 0x80);
    assert_string_equal(story, "-02:00.0 w69 ");
    ats_on();
    cfg_write(NIC, 0x54, 2, 3); /* D3hot: flushed while it can answer */
    assert_string_equal(story, "-02:00.0 w54 ");
    story[0] = 0;
    cfg_write(NIC, 0x54, 2, 0); /* it kept its state: open again */
    assert_string_equal(story, "w54 +02:00.0 +02:00.0 ");
    ats_on();
    cfg_write(PORT, 0x3e, 2, 0x40); /* secondary bus reset */
    assert_string_equal(story, "-02:00.0 w3e ");
    cfg_write(PORT, 0x3e, 2, 0);
    ats_on();
    cfg_write(PORT, 0x3c, 4, 0x00400000);
    assert_string_equal(story, "-02:00.0 w3c ");
    cfg_write(PORT, 0x3e, 2, 0);
    ats_on();
    cfg_write(PORT, 0x70, 2, 0x10); /* link disable */
    assert_string_equal(story, "-02:00.0 w70 ");
    cfg_write(PORT, 0x70, 2, 0);
    ats_on();
    cfg_write(PORT, 0x78, 2, 0x400); /* slot power */
    assert_string_equal(story, "-02:00.0 w78 ");
    cfg_write(PORT, 0x78, 2, 0);
    ats_on();
    cfg_write(PORT, 0x19, 1, 7); /* it will have another source-id */
    assert_string_equal(story, "-02:00.0 w19 ");
    cfg_write(PORT, 0x19, 1, 2);
    ats_on();
    cfg_write(PORT, 0x54, 2, 3); /* nothing below a sleeping bridge can answer */
    assert_string_equal(story, "-02:00.0 w54 ");
    cfg_write(PORT, 0x54, 2, 0);
    /* A reset that does not happen takes nothing away for good. */
    ats_on();
    put(PORT, 0x3e, 2, 0, 0);
    cfg_write(PORT, 0x3e, 2, 0x40);
    assert_string_equal(story, "-02:00.0 w3e +02:00.0 +02:00.0 ");
}

static void hot_unplug_is_noticed_at_the_slot(void **state)
{
    (void)state;
    ats_on();
    cfg_write(PORT, 0x7a, 2, 0); /* nothing has happened to it */
    assert_string_equal(story, "w7a ");
    devices[NIC].space[0x0a] = 0xff; /* gone */
    story[0] = 0;
    cfg_write(PORT, 0x7a, 2, 8);
    assert_string_equal(story, "w7a x02:00.0 ");
    cfg_write(NIC, 0x106, 2, 0x8000); /* to nobody */
    assert_string_equal(story, "w7a x02:00.0 ");
}

/* Plugged in while the guest runs: nothing is told of it before the guest turns to it, and its ATS, which the
 * guest switches on, is told before the write reaches it; if it comes with ATS on, at the first write to it.
 */
static void hot_plug_below_a_port(void **state)
{
    for (unsigned on = 0; on < 2; on++) {
        make_machine();
        devices[NIC].space[0x0a] = 0xff; /* not there */
        pci_scan();
        put(PORT, 0x18, 3, 0, 0xffffff); /* nor is there a bus */
        story[0] = 0;
        cfg_write(PORT, 0x7a, 2, 8); /* what the slot tells */
        cfg_write(PORT, 0x18, 4, 0x00020200);
        assert_string_equal(story, "w7a w18 ");
        devices[NIC].space[0x0a] = 0;
        if (on)
            put(NIC, 0x106, 2, 0x8000, 0x801f);
        cfg_write(PORT, 0x7a, 2, 8);
        assert_string_equal(story, "w7a w18 w7a ");
        story[0] = 0;
        cfg_write(NIC, 4, 2, 6);
        assert_string_equal(story, on ? "s02:00.0 w4 +02:00.0 +02:00.0 " : "s02:00.0 w4 ");
        story[0] = 0;
        cfg_write(NIC, 0x106, 2, 0x8000);
        assert_string_equal(story, "+02:00.0 w106 +02:00.0 ");
    }
    (void)set_up(state);
}

static void another_device_in_the_same_place(void **state)
{
    (void)state;
    ats_on();
    put(NIC, 0, 4, 0x12345678, 0);
    put(NIC, 0x106, 2, 0, 0x801f);
    cfg_write(NIC, 0x3c, 1, 0);
    assert_string_equal(story, "x02:00.0 w3c ");
}

static void every_width_and_straddling_access(void **state)
{
    u64 value = 0x1122334455667788;

    (void)state;
    put(PLAIN, 0x40, 8, 0, ~0ull);
    put(PLAIN, 0x48, 8, 0, ~0ull);
    cfg_write(PLAIN, 0x43, 8, value);
    assert_memory_equal(devices[PLAIN].space + 0x43, &value, 8);
    assert_int_equal(cfg_read(PLAIN, 0x43, 8), value);
    assert_int_equal(cfg_read(PLAIN, 0x45, 2), 0x5566);
    /* from one function into the next: there is none, and nothing but the first byte is written */
    put(PLAIN, 0xfff, 1, 0, 0xff);
    cfg_write(PLAIN, 0xfff, 4, 0xaabbccdd);
    assert_int_equal(space_u8(PLAIN, 0xfff), 0xdd);
    assert_int_equal(cfg_read(PLAIN, 0xfff, 4), 0xffffffdd);
    /* over the end of the window */
    ecam_handler(ecam_ctx, ECAM + 256 * MB - 1, 8, true, value, NULL);
}

static void ports_go_through_the_same_filter(void **state)
{
    (void)state;
    out(0xcf8, 4, 0x80000060); /* the host bridge's PCIEXBAR */
    assert_int_equal(in(0xcf8, 4), 0x80000060);
    out(0xcfc, 4, 0);
    out(0xcfd, 2, 0);
    out(0xcff, 1, 0);
    assert_int_equal(space_u32(HOST, 0x60), ECAM | 1);
    assert_int_equal(in(0xcfc, 4), ECAM | 1);
    assert_int_equal(in(0xcfe, 2), ECAM >> 16);
    assert_int_equal(in(0xcff, 1), 0xe0);

    out(0xcf8, 4, 0x80001800 | 0x40);
    put(PLAIN, 0x40, 4, 0, ~0u);
    out(0xcfd, 2, 0xabcd); /* misaligned */
    assert_int_equal(space_u32(PLAIN, 0x40), 0xabcd00);
    out(0xcf8, 4, 0x00001840); /* not enabled */
    out(0xcfc, 4, 0);
    assert_int_equal(space_u32(PLAIN, 0x40), 0xabcd00);
    assert_int_equal(in(0xcfc, 2), 0xffff);
    out(0xcf9, 1, 6);
    assert_int_equal(reset_asked, 6);
    assert_int_equal(in(0xcf8, 4), 0x00001840);
}

/* Before devices are contained: none but bridges, and those that firmware reserves memory for, may go on. */
static void masters_are_stopped(void **state)
{
    (void)state;
    for (unsigned d = 0; d < NR_DEVICES; d++) {
        devices[d].space[4] |= 4;
        devices[d].writable[4] |= 4;
    }
    pci_stop_masters();
    for (unsigned d = 0; d < NR_DEVICES; d++)
        if (devices[d].sid >> 8 != 3) /* no bridge leads there */
            assert_int_equal(space_u8(d, 4) & 4, d == PORT || d == PLAIN ? 4 : 0);
}

/* PASID at 0x180 of PF, and ATS; page requests at 0x190. */
static void add_pasid(void)
{
    put(PF, 0x100, 4, 0x14010010, 0);
    put(PF, 0x140, 4, 0x1801000f, 0);
    put(PF, 0x144, 2, 5, 0);
    put(PF, 0x146, 2, 0, 0x801f);
    put(PF, 0x180, 4, 0x1901001b, 0);
    put(PF, 0x186, 2, 0, 7);
    put(PF, 0x190, 4, 0x00010013, 0);
    put(PF, 0x194, 2, 0, 3);
    put(PF, 0x19c, 4, 0, ~0u);
    pci_scan();
    story[0] = 0;
}

static void pasids_are_told(void **state)
{
    (void)state;
    add_pasid();
    cfg_write(PF, 0x146, 2, 0x8000); /* without */
    assert_string_equal(story, "+03:00.0 w146 +03:00.0 ");
    story[0] = 0;
    cfg_write(PF, 0x186, 2, 6); /* no change of the enable */
    assert_string_equal(story, "w186 ");
    /* on and off under ATS: everything it holds goes before, and it is followed as what it is then */
    story[0] = 0;
    cfg_write(PF, 0x186, 2, 1);
    assert_string_equal(story, "-03:00.0 w186 +03:00.0 pasid +03:00.0 pasid ");
    story[0] = 0;
    cfg_write(PF, 0x184, 4, 0);
    assert_string_equal(story, "-03:00.0 w184 +03:00.0 +03:00.0 ");
    cfg_write(PF, 0x146, 2, 0);
    cfg_write(PF, 0x186, 1, 1);
    story[0] = 0;
    cfg_write(PF, 0x146, 2, 0x8000);
    assert_string_equal(story, "+03:00.0 pasid w146 +03:00.0 pasid ");
    /* a VF has what its physical function has */
    cfg_write(PF, 0x110, 2, 4);
    cfg_write(PF, 0x108, 2, 1);
    story[0] = 0;
    cfg_write(VF, 0x106, 2, 0x8000);
    assert_string_equal(story, "+03:00.1 pasid w106 +03:00.1 pasid ");
    story[0] = 0;
    cfg_write(PF, 0x186, 2, 0);
    assert_string_equal(story, "-03:00.0 -03:00.1 w186 +03:00.0 +03:00.0 +03:00.1 +03:00.1 ");
}

/* Page requests are the guest's own: the unit blocks them where its entry does not allow them. */
static void page_requests_pass(void **state)
{
    (void)state;
    add_pasid();
    cfg_write(PF, 0x19c, 4, 32);
    cfg_write(PF, 0x194, 2, 1);
    assert_string_equal(story, "w19c w194 ");
    assert_int_equal(space_u8(PF, 0x194), 1);
}

/* The smallest unit of translations stays at 4 KiB, whatever part of the register is written. */
static void translations_are_of_4k(void **state)
{
    (void)state;
    cfg_write(NIC, 0x106, 2, 0x801f);
    assert_int_equal(space_u8(NIC, 0x106), 0);
    assert_int_equal(space_u8(NIC, 0x107), 0x80);
    cfg_write(NIC, 0x106, 1, 5);
    cfg_write(NIC, 0x104, 4, 0x80050000);
    assert_int_equal(space_u8(NIC, 0x106), 0);
    assert_int_equal(space_u8(NIC, 0x107), 0x80);
    cfg_write(NIC, 0x107, 1, 0x1f);
    assert_int_equal(space_u8(NIC, 0x107), 0);
}

/* MSI at 0x90, 64 bits wide, up to four messages; MSI-X at 0xb0 with four entries at 0x800 of BAR 0. */
static void (*firmware_left)(void); /* messages in use */

static int set_up_strict(void **state)
{
    int err = set_up(state);

    options.iommu.strict = true;
    put(NIC, 0x60, 2, 0x9010, 0);
    put(NIC, 0x90, 2, 0xb005, 0);
    put(NIC, 0x92, 2, 0x0084, 0x71);
    put(NIC, 0x94, 4, 0, 0xfffffffc);
    put(NIC, 0x98, 4, 0, ~0u);
    put(NIC, 0x9c, 2, 0, 0xffff);
    put(NIC, 0xb0, 2, 0x0011, 0);
    put(NIC, 0xb2, 2, 3, 0xc000);
    put(NIC, 0xb4, 4, 0x800, 0);
    memset(messages, 0, sizeof(messages));
    memset(bar_page, 0, sizeof(bar_page));
    table_range = (struct mmio_range){ 0 };
    memset(hpet_page, 0, sizeof(hpet_page));
    hpet_page[0] = 2 << 8 | 1;
    hpet_page[0x120 / 4] = hpet_number == 7 ? 0 : BIT(15);
    hpet_handler = NULL;
    nr_messages = flushes = 0;
    messages_left = ARRAY_SIZE(messages);
    if (firmware_left)
        firmware_left();
    pci_scan();
    err |= pci_filter_init();
    intr_init();
    story[0] = 0;
    return err;
}

static int lenient(void **state)
{
    (void)state;
    options.iommu.strict = false;
    return 0;
}

static struct iommu_message *of_nic(void)
{
    bool full;

    return pci_function_get(0, 0x200, &full)->messages;
}

static u32 handle_of(unsigned i)
{
    return 0xfee0001c | (u32)(of_nic()[i].index & 0x7fff) << 5;
}

static void strict_msi(void **state)
{
    struct iommu_message *m = of_nic();

    (void)state;
    assert_int_equal(m->source, 0x0200 | IOMMU_SOURCE_EXACT);
    cfg_write(NIC, 0x94, 4, 0xfee01000);
    cfg_write(NIC, 0x9c, 2, 0x4041);
    assert_int_equal(space_u32(NIC, 0x94), handle_of(0));
    assert_int_equal(space_u32(NIC, 0x9c), 0);
    assert_int_equal(m[0].address, 0xfee01000);
    assert_int_equal(m[0].data, 0x4041);
    assert_int_equal(m[1].address, 0);
    /* what was written is what is read, at any width */
    assert_int_equal(cfg_read(NIC, 0x94, 8), 0xfee01000);
    assert_int_equal(cfg_read(NIC, 0x9c, 2), 0x4041);
    assert_int_equal(cfg_read(NIC, 0x96, 2), 0xfee0);
    assert_int_equal(cfg_read(NIC, 0x9d, 1), 0x40);
    assert_int_equal(cfg_read(NIC, 0x90, 4), 0x0084b005);
    /* four messages, all of them there before the device may send one */
    cfg_write(NIC, 0x9c, 2, 0x44);
    story[0] = 0;
    cfg_write(NIC, 0x92, 2, 0x00a5);
    assert_non_null(strstr(story, "w92 "));
    assert_string_equal(strstr(story, "w92 "), "w92 ");
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(m[i].address, 0xfee01000);
        assert_int_equal(m[i].data, 0x44 + i);
    }
    /* byte by byte */
    cfg_write(NIC, 0x95, 1, 0x20);
    assert_int_equal(m[3].address, 0xfee02000);
    assert_int_equal(cfg_read(NIC, 0x94, 4), 0xfee02000);
    /* the guest's own remapping, and an address that is no interrupt: as they are */
    cfg_write(NIC, 0x94, 4, 0xfee00018);
    assert_int_equal(space_u32(NIC, 0x94), 0xfee00018);
    assert_int_equal(m[0].address, 0);
    assert_int_equal(cfg_read(NIC, 0x94, 4), 0xfee00018);
    cfg_write(NIC, 0x98, 4, 1);
    cfg_write(NIC, 0x94, 4, 0xfee00000);
    assert_int_equal(space_u32(NIC, 0x94), 0xfee00000);
    assert_int_equal(space_u32(NIC, 0x98), 1);
    assert_int_equal(m[0].address, 0);
    cfg_write(NIC, 0x98, 4, 0);
    assert_int_equal(m[0].address, 0xfee00000);
    /* reset: the device has the last word */
    put(NIC, 0x94, 4, 0, 0xfffffffc);
    assert_int_equal(cfg_read(NIC, 0x94, 4), 0);
}

static u64 table_access(u32 off, unsigned width, bool write, u64 value)
{
    return table_range.handler(table_range.ctx, table_range.base + off, width, write, value, NULL);
}

static u32 bar_u32(u32 off)
{
    u32 value;

    memcpy(&value, bar_page + off, 4);
    return value;
}

static void strict_msix(void **state)
{
    struct iommu_message *m = of_nic() + 4 + 2; /* behind those of MSI */

    (void)state;
    assert_int_equal(table_range.base, 0xfa000000);
    assert_int_equal(table_range.size, PAGE_SIZE);
    table_access(0x820, 4, true, 0xfee03000);
    table_access(0x824, 4, true, 0);
    table_access(0x828, 4, true, 0x51);
    table_access(0x82c, 4, true, 1);
    assert_int_equal(bar_u32(0x820), handle_of(4 + 2));
    assert_int_equal(bar_u32(0x828), 0);
    assert_int_equal(bar_u32(0x82c), 1);
    assert_int_equal(m->address, 0xfee03000);
    assert_int_equal(m->data, 0x51);
    assert_int_equal(table_access(0x820, 8, false, 0), 0xfee03000);
    assert_int_equal(table_access(0x828, 8, false, 0), BIT(32) | 0x51);
    table_access(0x828, 8, true, 0x52); /* unmasked */
    assert_int_equal(m->data, 0x52);
    assert_int_equal(bar_u32(0x82c), 0);
    /* what lies around the table is none of ours */
    table_access(0x7f8, 8, true, 0xfee03000);
    table_access(0x840, 4, true, 0xfee03000);
    assert_int_equal(bar_u32(0x7f8), 0xfee03000);
    assert_int_equal(bar_u32(0x840), 0xfee03000);
    table_access(0x10, 1, true, 0xabcd);
    table_access(0x12, 2, true, 0xabcd);
    assert_int_equal(bar_u32(0x10), 0xabcd00cd);
    assert_int_equal(table_access(0x10, 1, false, 0), 0xcd);
    assert_int_equal(table_access(0x12, 2, false, 0), 0xabcd);
    /* the table goes where the BAR goes, before the device decodes there */
    flushes = 0;
    cfg_write(NIC, 4, 2, 4);
    cfg_write(NIC, 0x10, 8, 0x200000004);
    assert_int_equal(flushes, 0);
    cfg_write(NIC, 4, 2, 6);
    assert_int_equal(table_range.base, 0x200000000);
    assert_int_equal(flushes, 1);
    assert_int_equal(table_access(0x828, 4, false, 0), 0x52);
    assert_int_equal(bar_at, 0x200000000);
}

/* A VF's table lies in its part of its physical function's BAR, and goes where that goes. */
static void strict_vf(void **state)
{
    bool full;

    (void)state;
    put(VF, 0x34, 1, 0xb0, 0);
    put(VF, 0x06, 2, 0x10, 0);
    put(VF, 0xb0, 2, 0x0011, 0);
    put(VF, 0xb2, 2, 3, 0xc000);
    put(VF, 0xb4, 4, 0x2000, 0);
    put(PF, 0x114, 2, 0, 0); /* what is here the first is the second one */
    cfg_write(PF, 0x110, 2, 4);
    cfg_write(PF, 0x108, 2, 9);
    table_range = (struct mmio_range){ 0 };
    memset(bar_page, 0, sizeof(bar_page));
    cfg_write(VF, 0x04, 2, 4);
    assert_int_equal(table_range.base, 0xd8012000);
    struct iommu_message *m = pci_function_get(0, 0x301, &full)->messages;
    assert_int_equal(m->source, 0x0301 | IOMMU_SOURCE_EXACT);
    table_access(0x10, 4, true, 0xfee01000);
    table_access(0x18, 4, true, 0x47);
    assert_int_equal(m[1].address, 0xfee01000);
    assert_int_equal(m[1].data, 0x47);
    assert_int_equal(table_access(0x10, 4, false, 0), 0xfee01000);
    assert_int_not_equal(bar_u32(0x10), 0xfee01000);
    cfg_write(PF, 0x108, 2, 0);
    cfg_write(PF, 0x124, 4, 0xd9000000);
    cfg_write(PF, 0x108, 2, 9); /* the VF itself is not written to */
    assert_int_equal(table_range.base, 0xd9012000);
    assert_int_equal(table_access(0x18, 4, false, 0), 0x47);
}

static u64 hpet_at(u32 off, unsigned width, bool write, u64 value)
{
    return hpet_handler(NULL, HPET + off, width, write, value, NULL) & MASK(8 * width - 1, 0);
}

static void strict_hpet(void **state)
{
    struct iommu_message *m = NULL;

    (void)state;
    for (unsigned i = 0; i < nr_messages; i++)
        if (messages[i].source == (0xff78 | IOMMU_SOURCE_EXACT) && !m)
            m = &messages[i] + 1; /* of the second timer */
    assert_non_null(m);
    hpet_at(0x134, 4, true, 0xfee02000);
    hpet_at(0x130, 4, true, 0x44);
    assert_int_equal(m->address, 0xfee02000);
    assert_int_equal(m->data, 0x44);
    assert_int_equal(hpet_page[0x134 / 4] & 0xfff00010, 0xfee00010); /* remappable format */
    assert_int_equal(hpet_page[0x130 / 4], 0);
    assert_int_equal(hpet_at(0x130, 8, false, 0), 0xfee0200000000044);
    assert_int_equal(hpet_at(0x130, 1, false, 0), 0x44);
    hpet_at(0x130, 1, true, 0x45);
    assert_int_equal(m->data, 0x45);
    hpet_at(0x130, 8, true, 0xfee0300000000046);
    assert_int_equal(m->address, 0xfee03000);
    assert_int_equal(m->data, 0x46);
    hpet_at(0x134, 4, true, 0x1000); /* no interrupt */
    assert_int_equal(m->address, 0);
    assert_int_equal(hpet_page[0x134 / 4], 0x1000);
    assert_int_equal(hpet_at(0x130, 8, false, 0), 0x100000000046);
    /* all other registers are the device's */
    hpet_at(0x128, 8, true, 0x1122334455667788);
    assert_int_equal(hpet_at(0x128, 8, false, 0), 0x1122334455667788);
    assert_int_equal(hpet_page[0x128 / 4], 0x55667788);
    hpet_at(0x170, 4, true, 0xfee00000); /* there is no fourth timer */
    assert_int_equal(hpet_page[0x170 / 4], 0xfee00000);
    /* Without a word of who sends, and where no timer can send, nothing is trapped. */
    for (hpet_number = 6; hpet_number < 8; hpet_number++) {
        assert_int_equal(set_up_strict(state), 0);
        assert_true(hpet_handler == NULL);
    }
    hpet_number = 0;
}

static void firmware_uses_everything(void)
{
    static const u32 entry[] = { 0xfee05000, 0, 0x61, 0, 0xfee06000, 0, 0x62, 1 };

    put(NIC, 0x92, 2, 0x0085, 0x71); /* on */
    put(NIC, 0x94, 4, 0xfee04000, 0xfffffffc);
    put(NIC, 0x9c, 2, 0x51, 0xffff);
    put(NIC, 0xb2, 2, 0x8003, 0xc000);
    memcpy(bar_page + 0x800, entry, sizeof(entry));
    hpet_page[0x120 / 4] |= BIT(14);
    hpet_page[0x130 / 4] = 0x71;
    hpet_page[0x134 / 4] = 0xfee07000;
    ioapic_page[4] = 0x00020720; /* three pins; each of them, as it seems, sends what the 8259 has */
}

/* A guest that takes what firmware has set up as it is gets those messages, and reads what firmware has
 * written. */
static void strict_takes_over(void **state)
{
    bool full, hpet = false, ioapic = false;
    struct pci_function *f;
    u32 before = ioapic_page[4];

    firmware_left = firmware_uses_everything;
    assert_int_equal(set_up_strict(state), 0);
    firmware_left = NULL;
    ioapic_page[4] = before;
    f = pci_function_get(0, 0x200, &full);
    struct iommu_message *m = f->messages;
    assert_int_equal(m[0].address, 0xfee04000);
    assert_int_equal(m[0].data, 0x51);
    assert_int_equal(space_u32(NIC, 0x94), handle_of(0));
    assert_int_equal(cfg_read(NIC, 0x94, 4), 0xfee04000);
    assert_int_equal(cfg_read(NIC, 0x9c, 2), 0x51);
    assert_int_equal(m[4].address, 0xfee05000);
    assert_int_equal(m[4].data, 0x61);
    assert_int_equal(bar_u32(0x800), handle_of(4));
    assert_int_equal(table_access(0x800, 8, false, 0), 0xfee05000);
    assert_int_equal(table_access(0x808, 8, false, 0), 0x61);
    /* masked: the guest's to write before it is used */
    assert_int_equal(m[5].address, 0);
    assert_int_equal(bar_u32(0x810), 0xfee06000);
    for (unsigned i = 0; i < nr_messages; i++) {
        if (messages[i].source == (0xff78 | IOMMU_SOURCE_EXACT) && messages[i].address == 0xfee07000)
            hpet = messages[i].data == 0x71;
        if (messages[i].source == (0xff00 | IOMMU_SOURCE_EXACT | IOMMU_SOURCE_EXTINT) && !ioapic) {
            assert_int_equal(messages[i].address, 0xfee00000);
            assert_int_equal(messages[i].data, 0x720);
            ioapic = true; /* the fake's other pins are this one's register again */
        }
    }
    assert_true(hpet);
    assert_true(ioapic);
    assert_int_equal(hpet_at(0x130, 8, false, 0), 0xfee0700000000071);
    memset(hpet_page, 0, sizeof(hpet_page));
}

/* A function for which there are no entries keeps what it had, and cannot send. */
static void strict_without_entries(void **state)
{
    bool full;
    struct pci_function *f = pci_function_get(0, 0x200, &full);

    (void)state;
    messages_left = 7;
    f->messages = NULL;
    f->nr_messages = 0;
    cfg_write(NIC, 0x94, 4, 0xfee01000);
    assert_int_equal(space_u32(NIC, 0x94), 0);
    assert_int_equal(cfg_read(NIC, 0x94, 4), 0);
}

/* What lies on a conventional bus sends in the name of its bridge, or of the bus. */
static void strict_behind_a_bridge(void **state)
{
    bool full;
    struct pci_function *f = pci_function_get(0, 0x200, &full);

    (void)state;
    put(PORT, 0x62, 2, 0x72, 0); /* PCI Express to PCI */
    f->messages = NULL;
    f->nr_messages = 0;
    cfg_write(NIC, 0x94, 4, 0xfee01000);
    assert_int_equal(of_nic()->source, 0x0202 | IOMMU_SOURCE_BUSES);
    put(PORT, 0x34, 1, 0, 0); /* without PCI Express it forwards in its own name */
    put(PORT, 0x00, 4, 0x244e8086, 0);
    (void)pci_function_get(0, 0x10, &full);
    f->messages = NULL;
    f->nr_messages = 0;
    cfg_write(NIC, 0x94, 4, 0xfee02000);
    assert_int_equal(of_nic()->source, 0x0002 | IOMMU_SOURCE_BUSES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(scan_declares_what_is_decoded, set_up),
        cmocka_unit_test_setup(firmware_left_ats_on, set_up),
        cmocka_unit_test_setup(decode_registers_of_the_chipset_are_fixed, set_up),
        cmocka_unit_test_setup(bars_can_be_sized_and_moved, set_up),
        cmocka_unit_test_setup(sizing_with_decode_on, set_up),
        cmocka_unit_test_setup(bars_stay_clear_of_sluice_and_units, set_up),
        cmocka_unit_test_setup(bar_halves_and_rom, set_up),
        cmocka_unit_test_setup(what_always_decodes_stays_where_it_is, set_up),
        cmocka_unit_test_setup(bridge_windows, set_up),
        cmocka_unit_test_setup(virtual_functions, set_up),
        cmocka_unit_test_setup(the_gate_opens_before_on_and_closes_before_off, set_up),
        cmocka_unit_test_setup(quarantined_is_no_bus_master, set_up),
        cmocka_unit_test_setup(enabled_behind_our_back, set_up),
        cmocka_unit_test_setup(what_clears_ats_is_known, set_up),
        cmocka_unit_test_setup(hot_unplug_is_noticed_at_the_slot, set_up),
        cmocka_unit_test_setup(hot_plug_below_a_port, set_up),
        cmocka_unit_test_setup(another_device_in_the_same_place, set_up),
        cmocka_unit_test_setup(every_width_and_straddling_access, set_up),
        cmocka_unit_test_setup(ports_go_through_the_same_filter, set_up),
        cmocka_unit_test_setup(masters_are_stopped, set_up),
        cmocka_unit_test_setup(pasids_are_told, set_up),
        cmocka_unit_test_setup(page_requests_pass, set_up),
        cmocka_unit_test_setup(translations_are_of_4k, set_up),
        cmocka_unit_test_setup_teardown(strict_msi, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_msix, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_vf, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_hpet, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_takes_over, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_without_entries, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_behind_a_bridge, set_up_strict, lenient),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
