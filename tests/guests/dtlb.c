/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flushes as an ATS device feels them. The device (tests/e2e/dtlb_device.py) keeps its translations until it
 * is told to drop them; on each notification it reads at SOURCE and reports at TARGET. The guest remaps
 * SOURCE, flushes in every way there is without ever sending a device-TLB descriptor, and looks what the
 * device reads.
 *
 * Option `obey=BIT`: a driver that knows the bit "device-TLB invalidation is implied" of ECAP. It sends its
 * own device-TLB descriptors unless the bit, or the hypervisor's CPUID leaf, tells it that they are not
 * needed.
 *
 * Where nobody adds the missing flushes the device reads the old page: `I: stale ...`. That is a failure on a
 * hypervisor, unless option `expect-stale` says that it was told not to add them.
 */
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/pci.h"
#include "tests/guests/lib/virtio.h"
#include "tests/guests/lib/vtd.h"

#define VIRTIO_VENDOR 0x1af4
#define DOMAIN        7u
#define SOURCE        0x40200000ull
#define TARGET        0x40300000ull
#define RINGS         0x40400000ull
#define REQUEST       0x800u /* the number that comes back */
#define BYTES         64u

static u32 sid;
static u64 table;
static u32 levels;
static u8 *pages[2];
static volatile u64 *report; /* request, 1 = it could read, data */

/* Lets the device read and tells what came: 'A', 'B', '-' refused, '?' something else, '!' no answer. */
static char device_reads(void)
{
    static u64 request;
    u64 deadline = deadline_in_ms(5000);

    report[REQUEST / 8] = ++request;
    virtio_notify(1);
    while (report[0] != request) {
        if (deadline_over(deadline)) {
            return '!';
        }
        /* The clock takes the emulator's big lock, which its other threads want too. */
        for (u32 i = 0; i < 1000; i++) {
            relax();
        }
    }
    if (!report[1]) {
        return '-';
    }
    return filled(report + 2, BYTES, 'A') ? 'A' : filled(report + 2, BYTES, 'B') ? 'B' : '?';
}

static void expect(const char *name, char want)
{
    char got = device_reads();

    if (got != want && got != '!' && (!on_sluice || option("expect-stale"))) {
        print("I: stale %c %s\n", got, name);
        return;
    }
    check(name, got == want, "the device read '%c', not '%c'", got, want);
}

static void map_source(int page)
{
    vtd_map(table, levels, SOURCE, page < 0 ? 0 : (u64)pages[page], PAGE_SIZE, page < 0 ? 0 : PTE_R | PTE_W);
}

enum kind {
    PAGE,
    DOMAIN_FLUSH,
    GLOBAL,
    BY_CONTEXT,
    REG_PAGE,
    REG_DOMAIN,
    REG_GLOBAL,
    CALL_PAGE,
    CALL_ALL,
    KINDS
};
static const char *const kind_names[] = { "page",       "domain",     "global",    "context", "reg-page",
                                          "reg-domain", "reg-global", "call-page", "call-all" };

static bool own; /* its driver sends device-TLB descriptors */
static u32 submitted;

static void put(struct vtd_desc d)
{
    vtd_put(d);
    submitted++;
}

/* The hypervisor's invalidation call (docs/hypercalls.md). */
static bool call(u64 address, u64 count)
{
    static struct {
        u64 address, pages;
        u32 flags, reserved, result, hardware;
    } entries[2] __attribute__((aligned(64)));
    u64 answer = 4, handled = ~0ull; /* in: requests without PASID */

    entries[0].address = TARGET; /* something else before it */
    entries[0].pages = 1;
    entries[1].address = address;
    entries[1].pages = count;
    entries[0].result = entries[1].result = ~0u;
    __asm__ volatile("vmmcall"
                     : "+a"(answer), "+d"(handled)
                     : "D"((u64)DOMAIN << 32), "S"(entries), "c"(2ull)
                     : "memory");
    return !answer && handled == 2 && !(entries[0].result | entries[1].result | entries[1].hardware);
}

/* Does somebody else do the device TLBs, by both of the ways in which it is told? */
static bool implied(u64 bit)
{
    u32 r[4] = { 0 };

    if (on_sluice)
        cpuid(0x40000001, 0, r);
    check("hint", !(r[1] & BIT(4)) == !on_sluice && !(vtd_ecap & BIT(bit)) == !on_sluice,
          "CPUID 0x%x ECAP 0x%lx", r[1], vtd_ecap);
    return vtd_ecap & BIT(bit);
}

static void flush(enum kind kind)
{
    bool ok = true;

    switch (kind) {
    case PAGE:
        put(desc_iotlb(IOTLB_PAGE, DOMAIN, SOURCE, 0));
        break;
    case DOMAIN_FLUSH:
        put(desc_iotlb(IOTLB_DOMAIN, DOMAIN, 0, 0));
        break;
    case GLOBAL:
        put(desc_iotlb(IOTLB_GLOBAL, 0, 0, 0));
        break;
    case BY_CONTEXT:
        vtd_put(desc_cc(CC_DEVICE, DOMAIN, sid));
        vtd_put(desc_iotlb(IOTLB_DOMAIN, DOMAIN, 0, 0));
        break;
    case REG_PAGE:
        ok = vtd_iotlb_reg(IOTLB_PAGE, DOMAIN, SOURCE, 0);
        break;
    case REG_DOMAIN:
        ok = vtd_iotlb_reg(IOTLB_DOMAIN, DOMAIN, 0, 0);
        break;
    case REG_GLOBAL:
        ok = vtd_iotlb_reg(IOTLB_GLOBAL, 0, 0, 0);
        break;
    default:
        ok = kind == CALL_PAGE ? call(SOURCE, 1) : call(0, ~0ull);
        break;
    }
    if (own)
        put(desc_dev(sid, SOURCE, 0));
    ok = kind < REG_PAGE ? vtd_finish() : ok;
    if (!ok) {
        check("flush", false, "FSTS 0x%x", vtd_read32(VTD_FSTS));
    }
}

/* A known start: the device's TLB is emptied, and then loaded with the first page. */
static void settle(void)
{
    if (vtd_read32(VTD_GSTS) & GSTS_QI) {
        vtd_put(desc_iotlb(IOTLB_DOMAIN, DOMAIN, 0, 0));
        vtd_put(desc_dev(sid, 0, 52));
        check("settle", vtd_finish() && device_reads() == 'A', "FSTS 0x%x", vtd_read32(VTD_FSTS));
    }
}

void guest_main(void)
{
    u64 control, obey = option_number("obey", 0);
    u32 cap = 0, kinds = obey ? BY_CONTEXT : on_sluice ? KINDS : CALL_PAGE;

    for (u32 n = 0; !cap; n++) {
        sid = pci_find(VIRTIO_VENDOR, 0x1000, 0x10ff, n);
        cap = sid == PCI_NONE ? 1 : pci_ext_cap(sid, PCI_EXT_CAP_ATS);
    }
    if (sid == PCI_NONE || !vtd_find()) {
        check("setup", false, "device 0x%x, unit at 0x%lx", sid, vtd_base);
        return;
    }
    levels = vtd_cap & BIT(10) ? 4 : 3;
    table = (u64)page_alloc(1);
    pages[0] = page_alloc(1);
    pages[1] = page_alloc(1);
    report = page_alloc(1);
    fill(pages[0], PAGE_SIZE, 'A');
    fill(pages[1], PAGE_SIZE, 'B');
    vtd_tables_reset();
    vtd_map(table, levels, TARGET, (u64)report, PAGE_SIZE, PTE_R | PTE_W);
    for (u32 i = 0; i < 4; i++) {
        vtd_map(table, levels, RINGS + i * PAGE_SIZE, (u64)page_alloc(1), PAGE_SIZE, PTE_R | PTE_W);
    }
    map_source(0);
    vtd_context(sid, TT_ATS, levels - 2, table, DOMAIN);
    check("queue-on", vtd_queue_on(0) && vtd_root_set(), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    vtd_put(desc_cc(CC_GLOBAL, 0, 0));
    vtd_put(desc_iotlb(IOTLB_GLOBAL, 0, 0, 0));
    check("flush", vtd_finish(), "FSTS 0x%x", vtd_read32(VTD_FSTS));
    check("te-on", vtd_command(GSTS_TE, true), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    control = pci_ecam_address(sid, cap + PCI_ATS_CONTROL);
    *(volatile u16 *)control = PCI_ATS_ENABLE;
    check("device", virtio_start(sid, VIRTIO_F_VERSION_1 | VIRTIO_F_ACCESS_PLATFORM, 2, RINGS),
          "it does not start");

    part("start");
    check("reads", device_reads() == 'A', "the device does not read");
    own = obey && !implied(obey);
    for (u32 kind = 0; kind < kinds; kind++) {
        if (kind == REG_PAGE) {
            check("queue-off", vtd_queue_off(), "GSTS 0x%x", vtd_read32(VTD_GSTS));
        }
        part("%s", kind_names[kind]);
        settle();
        map_source(1);
        flush(kind);
        expect("remapped", 'B');
        map_source(-1);
        flush(kind);
        expect("unmapped", '-');
        map_source(0);
        flush(kind);
        expect("mapped", 'A');
    }
    print("I: submitted %u\n", submitted);
    if (obey) {
        return;
    }
    part("toggle");
    check("queue-on", vtd_queue_on(0), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    map_source(0);
    settle();
    /* ATS off and on: what the device held is gone, and it may ask again. */
    *(volatile u16 *)control = 0;
    map_source(1);
    flush(DOMAIN_FLUSH);
    *(volatile u16 *)control = PCI_ATS_ENABLE;
    flush(BY_CONTEXT);
    expect("after-toggle", 'B');
    part("end");
}
