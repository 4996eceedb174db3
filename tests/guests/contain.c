/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that tries to reach what is not its own by DMA: the hypervisor's memory, the unit's registers,
 * configuration space, the IOAPIC, the HPET and flash. It asks directly, with translation off and with
 * pass-through; through a table leaf; and by pointing the tables, the root and the wait status there. Nothing
 * may be read, nothing may change, and the guest goes on.
 *
 * On the bare machine nobody forbids it: what was reached is told as `I: reached ...`, which shows that these
 * probes can find something.
 */
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/edu.h"
#include "tests/guests/lib/pci.h"
#include "tests/guests/lib/vtd.h"

#define DATA    0xbadull
#define CLEAN   0xc1eaull
#define BYTES   4u /* the emulated unit aborts on an 8-byte access to some registers */
#define DOMAIN  5u
#define IOVA    0x40000000ull
#define SCRATCH (IOVA + 0x100000)

static u32 edu;
static u8 *page;
static u64 table;
static u32 levels;
static bool translated; /* the tables are in use: the scratch page has an IOVA of its own */

struct target {
    const char *name;
    u64 address;    /* of 4 bytes to read and write */
    u32 changeable; /* bits that would change when something else was written; the CPU may look at them */
};

static u32 data_word; /* the first of DATA */

static struct target targets[12];
static u32 target_count;

static void target(const char *name, u64 address, u32 changeable)
{
    targets[target_count++] = (struct target){ name, address, changeable };
}

static void contained(const char *name, bool ok)
{
    if (on_sluice) {
        check(name, ok, "the device got there");
    } else if (!ok) {
        print("I: reached %s\n", name);
    }
}

static u64 scratch(void)
{
    return translated ? SCRATCH : (u64)page;
}

/* The device's buffer holds DATA afterwards. */
static bool prime(void)
{
    fill(page, PAGE_SIZE, DATA);
    data_word = *(volatile u32 *)page;
    return edu_dma_from(scratch(), 64);
}

/* Reads `t` through `address` into the device and from there into the scratch page; nothing of it may arrive.
 */
static void try_read(const struct target *t, u64 address)
{
    volatile u32 *got = (volatile u32 *)page;
    bool ok;

    if (!prime() || !edu_dma_from(address, BYTES)) {
        check("dma", false, "the device does not answer");
        return;
    }
    fill(page, PAGE_SIZE, CLEAN);
    edu_dma_to(scratch(), BYTES);
    /* A blocked read leaves the buffer, or fills it with zeros or ones. */
    ok = *got == data_word || *got == 0 || *got == ~0u;
    if (!ok) {
        print("I: read 0x%x from %s\n", *got, t->name);
    }
    contained("read", ok);
}

static void try_write(const struct target *t, u64 address)
{
    u32 before = mmio_read32(t->address), after;

    if (!prime() || !edu_dma_to(address, BYTES)) {
        check("dma", false, "the device does not answer");
        return;
    }
    after = mmio_read32(t->address);
    contained("write", !((before ^ after) & t->changeable));
    if ((before ^ after) & t->changeable) {
        mmio_write32(t->address, before);
    }
}

static void flush_all(void)
{
    vtd_put(desc_cc(CC_GLOBAL, 0, 0));
    vtd_put(desc_iotlb(IOTLB_GLOBAL, 0, 0, 0));
    check("flush", vtd_finish(), "no status: FSTS 0x%x IQH 0x%lx", vtd_read32(VTD_FSTS), vtd_read64(VTD_IQH));
}

/* ---- ways to ask */

static void directly(const char *way)
{
    for (u32 i = 0; i < target_count; i++) {
        part("%s/%s", way, targets[i].name);
        try_read(&targets[i], targets[i].address);
        try_write(&targets[i], targets[i].address);
    }
}

static void by_leaf(void)
{
    for (u32 i = 0; i < target_count; i++) {
        u64 offset = targets[i].address & (PAGE_SIZE - 1);

        part("leaf/%s", targets[i].name);
        vtd_map(table, levels, IOVA, targets[i].address - offset, PAGE_SIZE, PTE_R | PTE_W);
        flush_all();
        try_read(&targets[i], IOVA + offset);
        try_write(&targets[i], IOVA + offset);
    }
    vtd_map(table, levels, IOVA, 0, PAGE_SIZE, 0);
    flush_all();
}

/* One superpage over everything: RAM is there, the rest is not. */
static void by_superpage(void)
{
    if (!(vtd_cap & BIT(35))) {
        return;
    }
    for (u32 gib = 0; gib < 4; gib++) {
        vtd_map(table, levels, (u64)(gib + 16) << 30, (u64)gib << 30, SIZE_1G, PTE_R | PTE_W);
    }
    flush_all();
    for (u32 i = 0; i < target_count; i++) {
        if (targets[i].address >> 32) {
            continue;
        }
        part("superpage/%s", targets[i].name);
        try_write(&targets[i], targets[i].address + (16ull << 30));
    }
    part("superpage/ram");
    fill(page, PAGE_SIZE, DATA);
    check("own-memory", edu_dma_from((u64)page + (16ull << 30), 64), "the device does not answer");
    fill(page, PAGE_SIZE, CLEAN);
    check("own-memory-data", edu_dma_to((u64)page + (16ull << 30), 64) && filled(page, 64, DATA),
          "it did not arrive");
    part("setup");
    for (u32 gib = 0; gib < 4; gib++) {
        vtd_map(table, levels, (u64)(gib + 16) << 30, 0, SIZE_1G, 0);
    }
    flush_all();
}

/* With tables that lie elsewhere no DMA at all may come through. */
static void blocked(const char *name)
{
    bool ok;

    vtd_faults_clear();
    fill(page, PAGE_SIZE, CLEAN);
    edu_dma_to(SCRATCH, BYTES);
    ok = filled(page, PAGE_SIZE, CLEAN);
    edu_dma_to((u64)page, BYTES);
    check(name, ok && filled(page, PAGE_SIZE, CLEAN), "DMA came through");
}

static void by_tables(const char *name, u64 address)
{
    u64 root = vtd_root;
    volatile u64 *entry;
    u64 saved;

    part("pointer/context/%s", name);
    vtd_context(edu, TT_TABLE, levels - 2, address, DOMAIN);
    flush_all();
    blocked("context-pointer");
    vtd_context(edu, TT_TABLE, levels - 2, table, DOMAIN);
    flush_all();

    part("pointer/table/%s", name);
    entry = (volatile u64 *)table + (IOVA >> (12 + 9 * (levels - 1)) & 511);
    saved = *entry;
    *entry = address | PTE_R | PTE_W;
    flush_all();
    blocked("table-pointer");
    *entry = saved;
    flush_all();

    part("pointer/context-table/%s", name);
    entry = (volatile u64 *)vtd_root + 2 * (edu >> 8);
    saved = *entry;
    *entry = address | 1;
    flush_all();
    blocked("root-entry");
    *entry = saved;
    flush_all();

    part("pointer/root/%s", name);
    vtd_root = address;
    vtd_root_set();
    flush_all();
    blocked("root-pointer");
    vtd_root = root;
    check("root-back", vtd_root_set(), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    flush_all();

    part("setup");
    fill(page, PAGE_SIZE, CLEAN);
    edu_dma_to(SCRATCH, BYTES);
    check("works-again", !filled(page, PAGE_SIZE, CLEAN), "own memory cannot be reached any more");
}

/* A wait whose status lies elsewhere: refused in whatever way, never carried out, and the next one works. */
static void by_status(const char *name, u64 address, bool readable)
{
    u64 before = readable ? mmio_read32(address) : 0;
    u32 data = vtd_next_cookie();
    u32 bad = vtd_tail;

    part("status/%s", name);
    vtd_put(desc_wait(data, address));
    vtd_ring();
    if (vtd_read32(VTD_FSTS) & FSTS_IQE) {
        vtd_queue[bad] = desc_wait(data, (u64)vtd_status);
        vtd_write32(VTD_FSTS, FSTS_IQE);
        vtd_ring();
    }
    check("next-wait", vtd_finish(), "no status: FSTS 0x%x IQH 0x%lx", vtd_read32(VTD_FSTS),
          vtd_read64(VTD_IQH));
    check("unchanged", !readable || mmio_read32(address) == before, "0x%x at 0x%lx", mmio_read32(address),
          address);
}

/* A queue that lies elsewhere: nothing is read there, and the guest can set up a proper one afterwards. */
static void by_queue(const char *name, u64 address)
{
    part("queue/%s", name);
    check("off", vtd_queue_off(), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    vtd_write64(VTD_IQT, 0);
    vtd_write64(VTD_IQA, address);
    vtd_command(GSTS_QI, true);
    vtd_write64(VTD_IQT, 0x20);
    check("error", vtd_read32(VTD_FSTS) & FSTS_IQE, "FSTS 0x%x", vtd_read32(VTD_FSTS));
    check("code", (vtd_read64(VTD_IQERCD) & 0xf) == 2, "IQERCD 0x%lx", vtd_read64(VTD_IQERCD));
    check("head", vtd_read64(VTD_IQH) == 0, "IQH 0x%lx", vtd_read64(VTD_IQH));
    check("off-again", vtd_queue_off(), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    vtd_write32(VTD_FSTS, FSTS_IQE);
    check("on-again", vtd_queue_on(0) && vtd_finish(), "FSTS 0x%x", vtd_read32(VTD_FSTS));
}

/* ---- the guest's own CPU */

static void by_cpu(void)
{
    volatile u64 *p = (volatile u64 *)hv_base;

    part("cpu");
    check("reads-ones", p[0] == ~0ull && p[hv_bytes / 8 - 1] == ~0ull && p[hv_bytes / 16] == ~0ull, "0x%lx",
          p[0]);
    p[0] = 0;
    p[hv_bytes / 8 - 1] = 0;
    check("drops-writes", p[0] == ~0ull && p[hv_bytes / 8 - 1] == ~0ull, "0x%lx", p[0]);
    for (u32 i = 0; i < memory_ranges; i++) {
        const struct memory_range *r = &memory_map[i];

        check("not-in-the-map", r->type != 1 || !ranges_overlap(r->base, r->bytes, hv_base, hv_bytes),
              "RAM 0x%lx+0x%lx", r->base, r->bytes);
    }
}

void guest_main(void)
{
    static const struct {
        const char *name;
        u64 address;
    } devices[] = { { "unit", 0 }, { "lapic", 0xfee00000 }, { "hole", 0x7f00000000ull } };
    u64 flash = 0xfffff000;

    if (!edu_find(0, &edu) || !vtd_find()) {
        check("setup", false, "edu 0x%x, unit at 0x%lx", edu, vtd_base);
        return;
    }
    print("I: edu-sid 0x%x\nI: hypervisor 0x%lx 0x%lx\n", edu, hv_base, hv_bytes);
    check("region-told", !on_sluice || hv_bytes, "the hypervisor does not say where it is");
    page = page_alloc(1);
    levels = vtd_cap & BIT(10) ? 4 : 3;
    table = (u64)page_alloc(1);
    vtd_tables_reset();
    vtd_context(edu, TT_TABLE, levels - 2, table, DOMAIN);
    vtd_map(table, levels, SCRATCH, (u64)page, PAGE_SIZE, PTE_R | PTE_W);

    target("unit", vtd_base + VTD_FEDATA, 0xffff);
    if (pci_ecam()) {
        target("ecam", pci_ecam_address(edu, PCI_INTLINE), 0xff);
    }
    target("ioapic", 0xfec00000, 0xff); /* the index register */
    target("hpet", 0xfed00108, ~0u);    /* comparator 0 */
    target("flash", flash, ~0u);
    if (hv_bytes) {
        target("sluice-first", hv_base, ~0u);
        target("sluice-middle", hv_base + hv_bytes / 2, ~0u);
        target("sluice-last", hv_base + hv_bytes - 4, ~0u);
        by_cpu();
    }

    directly("off");
    part("setup");
    check("queue-on", vtd_queue_on(0), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    check("root", vtd_root_set(), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    flush_all();
    check("te-on", vtd_command(GSTS_TE, true), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    translated = true;
    by_leaf();
    by_superpage();
    if (vtd_ecap & BIT(6)) {
        part("setup");
        vtd_context(edu, TT_PASS, levels - 2, 0, DOMAIN + 1);
        flush_all();
        translated = false;
        directly("pass");
        translated = true;
        part("setup");
        vtd_context(edu, TT_TABLE, levels - 2, table, DOMAIN);
        flush_all();
    }
    if (hv_bytes) {
        by_tables("hypervisor", hv_base);
        by_tables("unit", vtd_base);
        by_status("hypervisor", hv_base + 0x1000, true);
        by_status("unit", vtd_base + VTD_FEDATA, true);
        by_status("lapic", 0xfee00000 + 0x80, true);
        by_status("ecam", pci_ecam_address(edu, PCI_INTLINE), true);
        by_status("flash", flash, true);
        by_status("hole", 0x7f00000000ull, false);
        by_queue("hypervisor", hv_base);
        for (u32 i = 0; i < ARRAY_SIZE(devices); i++) {
            by_queue(devices[i].name, devices[i].address ? devices[i].address : vtd_base);
        }
    }
    part("end");
    check("te-off", vtd_command(GSTS_TE, false), "GSTS 0x%x", vtd_read32(VTD_GSTS));
}
