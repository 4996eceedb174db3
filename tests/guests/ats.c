/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flushes and device TLBs: for each flush of a domain with ATS functions in it, and each habit that a guest
 * may have about device-TLB descriptors, one part of the trace. The guest only submits; what reached the unit
 * is read from the emulator's trace by the harness, part by part. The name of a part says what is expected in
 * it:
 *
 *   flush/KIND/HABIT   the flush of KIND is submitted here, with the guest's own device-TLB descriptors by
 * HABIT: none, before, after, or later (this submission has none, the next one has) own/...            the
 * submission that holds only the guest's own descriptors reg/KIND           the flush goes through the
 * registers setup/...          anything else
 */
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/pci.h"
#include "tests/guests/lib/vtd.h"

#define VIRTIO_VENDOR 0x1af4
#define DOMAIN        7u
#define OTHER         8u
#define IOVA          0x40200000ull
#define SUPER         0x80000000ull
#define MAX_FUNCTIONS 4u

enum kind { IOTLB_P, IOTLB_P16, IOTLB_D, IOTLB_G, CONTEXT_DEV, CONTEXT_DOM, CONTEXT_G, KINDS };
static const char *const kind_names[] = { "iotlb-page",     "iotlb-pages",    "iotlb-domain",  "iotlb-global",
                                          "context-device", "context-domain", "context-global" };
enum habit { NONE, BEFORE, AFTER, LATER, HABITS };
static const char *const habit_names[] = { "none", "before", "after", "later" };

static u32 functions, sids[MAX_FUNCTIONS];
static u64 table;
static u32 levels;
static u8 *pages[2];

static bool ats_set(u32 sid, bool on)
{
    u32 cap = pci_ext_cap(sid, PCI_EXT_CAP_ATS);
    u64 at = pci_ecam_address(sid, cap + PCI_ATS_CONTROL);
    u16 value = on ? PCI_ATS_ENABLE : 0;

    /* One write of two bytes: the emulated device looks at the write, not at the register. */
    __asm__ volatile("movw %1, %0" : "=m"(*(volatile u16 *)at) : "r"(value) : "memory");
    return (*(volatile u16 *)at & PCI_ATS_ENABLE) == value;
}

static void put_own(enum kind kind)
{
    for (u32 i = 0; i < functions; i++) {
        vtd_put(kind == IOTLB_P ? desc_dev(sids[i], IOVA, 0) : desc_dev(sids[i], 0, 52));
    }
}

static void put_flush(enum kind kind, u32 domain)
{
    switch (kind) {
    case IOTLB_P:
        vtd_put(desc_iotlb(IOTLB_PAGE, domain, IOVA, 0));
        break;
    case IOTLB_P16:
        vtd_put(desc_iotlb(IOTLB_PAGE, domain, IOVA, 4));
        break;
    case IOTLB_D:
        vtd_put(desc_iotlb(IOTLB_DOMAIN, domain, 0, 0));
        break;
    case IOTLB_G:
        vtd_put(desc_iotlb(IOTLB_GLOBAL, 0, 0, 0));
        break;
    case CONTEXT_DEV:
        for (u32 i = 0; i < functions; i++) {
            vtd_put(desc_cc(CC_DEVICE, domain, sids[i]));
        }
        break;
    case CONTEXT_DOM:
        vtd_put(desc_cc(CC_DOMAIN, domain, 0));
        break;
    default:
        vtd_put(desc_cc(CC_GLOBAL, 0, 0));
        break;
    }
}

/* Every flush comes with the change that asks for it, so that the caches have something to be wrong about. */
static void change(void)
{
    static u32 turn;

    turn++;
    vtd_map(table, levels, IOVA, (u64)pages[turn & 1], PAGE_SIZE, PTE_R | PTE_W);
    vtd_map(table, levels, IOVA + 0x3000, (u64)pages[turn & 1], PAGE_SIZE, turn & 1 ? PTE_R | PTE_W : 0);
}

static void flush(enum kind kind, enum habit habit)
{
    change();
    part("flush/%s/%s", kind_names[kind], habit_names[habit]);
    if (habit == BEFORE) {
        put_own(kind);
    }
    put_flush(kind, DOMAIN);
    if (habit == AFTER) {
        put_own(kind);
    }
    check("done", vtd_finish(), "no status: FSTS 0x%x IQH 0x%lx", vtd_read32(VTD_FSTS), vtd_read64(VTD_IQH));
    if (habit == LATER) {
        part("own/%s", kind_names[kind]);
        put_own(kind);
        check("done", vtd_finish(), "no status: FSTS 0x%x", vtd_read32(VTD_FSTS));
    }
    part("setup");
}

static void by_registers(void)
{
    bool ok = false;

    if (!vtd_queue_off()) {
        check("queue-off", false, "GSTS 0x%x", vtd_read32(VTD_GSTS));
        return;
    }
    for (u32 kind = 0; kind < KINDS; kind++) {
        change();
        part("reg/%s", kind_names[kind]);
        switch (kind) {
        case IOTLB_P:
            ok = vtd_iotlb_reg(IOTLB_PAGE, DOMAIN, IOVA, 0);
            break;
        case IOTLB_P16:
            ok = vtd_iotlb_reg(IOTLB_PAGE, DOMAIN, IOVA, 4);
            break;
        case IOTLB_D:
            ok = vtd_iotlb_reg(IOTLB_DOMAIN, DOMAIN, 0, 0);
            break;
        case IOTLB_G:
            ok = vtd_iotlb_reg(IOTLB_GLOBAL, 0, 0, 0);
            break;
        case CONTEXT_DEV:
            for (u32 i = 0; i < functions; i++) {
                ok = vtd_ccmd(CC_DEVICE, DOMAIN, sids[i]);
            }
            break;
        case CONTEXT_DOM:
            ok = vtd_ccmd(CC_DOMAIN, DOMAIN, 0);
            break;
        default:
            ok = vtd_ccmd(CC_GLOBAL, 0, 0);
            break;
        }
        check("done", ok, "the command bit stays set");
        part("setup");
    }
    check("queue-on", vtd_queue_on(0), "GSTS 0x%x", vtd_read32(VTD_GSTS));
}

/* The function moves to another domain, with the flush that the specification asks for, device TLB left out.
 */
static void moves(void)
{
    part("flush/moved/none");
    for (u32 i = 0; i < functions; i++) {
        vtd_context(sids[i], TT_ATS, levels - 2, table, OTHER);
        vtd_put(desc_cc(CC_DEVICE, DOMAIN, sids[i]));
    }
    vtd_put(desc_iotlb(IOTLB_DOMAIN, DOMAIN, 0, 0));
    check("done", vtd_finish(), "no status");

    part("flush/other-domain/none");
    change();
    vtd_put(desc_iotlb(IOTLB_DOMAIN, OTHER, 0, 0));
    check("done", vtd_finish(), "no status");

    part("flush/cleared/none");
    for (u32 i = 0; i < functions; i++) {
        vtd_context_clear(sids[i]);
        vtd_put(desc_cc(CC_DEVICE, OTHER, sids[i]));
    }
    vtd_put(desc_iotlb(IOTLB_DOMAIN, OTHER, 0, 0));
    check("done", vtd_finish(), "no status");

    part("setup/back");
    for (u32 i = 0; i < functions; i++) {
        vtd_context(sids[i], TT_ATS, levels - 2, table, DOMAIN);
        vtd_put(desc_cc(CC_DEVICE, 0, sids[i]));
    }
    vtd_put(desc_iotlb(IOTLB_DOMAIN, DOMAIN, 0, 0));
    check("done", vtd_finish(), "no status");
}

/* ATS goes off and on again while the tables stay: flushes must not stop. */
static void toggled(void)
{
    part("setup/ats-toggle");
    for (u32 i = 0; i < functions; i++) {
        check("ats-off", ats_set(sids[i], false), "sid 0x%x", sids[i]);
        vtd_put(desc_dev(sids[i], 0, 52));
    }
    check("done", vtd_finish(), "no status");
    for (u32 i = 0; i < functions; i++) {
        check("ats-on", ats_set(sids[i], true), "sid 0x%x", sids[i]);
    }
    change();
    part("flush/toggled-page/none");
    put_flush(IOTLB_P, DOMAIN);
    check("done", vtd_finish(), "no status");
    part("flush/toggled-context/none");
    put_flush(CONTEXT_G, DOMAIN);
    check("done", vtd_finish(), "no status");
    part("setup");
}

/* A batch of everything in one submission; and one full of page flushes. */
static void batches(void)
{
    change();
    part("flush/batch-mixed/none");
    for (u32 kind = 0; kind < KINDS; kind++) {
        put_flush(kind, DOMAIN);
    }
    check("done", vtd_finish(), "no status");
    change();
    part("flush/batch-pages/none");
    for (u32 i = 0; i < 100; i++) {
        vtd_put(desc_iotlb(IOTLB_PAGE, DOMAIN, IOVA + (i & 63) * PAGE_SIZE, 0));
    }
    check("done", vtd_finish(), "no status");
    change();
    part("flush/batch-unaligned/none");
    for (u32 i = 1; i < 6; i++) {
        vtd_put(desc_iotlb(IOTLB_PAGE, DOMAIN, IOVA + i * PAGE_SIZE, 0));
    }
    check("done", vtd_finish(), "no status");
    part("setup");
}

/* A superpage becomes a table, and the guest flushes one small page of it: the device may hold all of it. */
static void superpage(void)
{
    u64 memory = (u64)page_alloc_aligned(SIZE_2M / PAGE_SIZE, SIZE_2M), lower = (u64)page_alloc(1);

    if (!(vtd_cap & BIT(34))) {
        return;
    }
    part("setup/superpage");
    vtd_map(table, levels, SUPER, memory, SIZE_2M, PTE_R | PTE_W);
    vtd_put(desc_iotlb(IOTLB_PAGE, DOMAIN, SUPER, 9));
    check("done", vtd_finish(), "no status");
    ((volatile u64 *)lower)[5] = (memory + 5 * PAGE_SIZE) | PTE_R | PTE_W;
    *vtd_leaf(table, levels, SUPER, SIZE_2M) = lower | PTE_R | PTE_W;
    part("flush/superpage-split/none");
    vtd_put(desc_iotlb(IOTLB_PAGE, DOMAIN, SUPER + 5 * PAGE_SIZE, 0));
    check("done", vtd_finish(), "no status");
    part("setup");
}

void guest_main(void)
{
    if (!vtd_find()) {
        check("setup", false, "no unit");
        return;
    }
    for (u32 n = 0; functions < MAX_FUNCTIONS; n++) {
        u32 sid = pci_find(VIRTIO_VENDOR, 0x1000, 0x10ff, n);

        if (sid == PCI_NONE) {
            break;
        }
        if (pci_ext_cap(sid, PCI_EXT_CAP_ATS)) {
            sids[functions++] = sid;
            print("I: ats-sid 0x%x\n", sid);
            pci_write(sid, PCI_COMMAND, 2, pci_read(sid, PCI_COMMAND, 2) | PCI_COMMAND_MEM | PCI_COMMAND_BM);
        }
    }
    print("I: cap 0x%lx ecap 0x%lx\n", vtd_cap, vtd_ecap);
    check("functions", functions > 0, "no function with ATS");
    check("device-tlbs", vtd_ecap & BIT(2) && vtd_has_atsr(), "the unit does not announce them");
    levels = vtd_cap & BIT(10) ? 4 : 3;
    table = (u64)page_alloc(1);
    pages[0] = page_alloc(1);
    pages[1] = page_alloc(1);
    vtd_tables_reset();
    change();

    part("setup/start");
    check("queue-on", vtd_queue_on(0), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    /* `early`: ATS is on before any table names the function, as after a warm start. */
    for (u32 i = 0; i < functions && option("early"); i++) {
        check("ats-on", ats_set(sids[i], true), "sid 0x%x", sids[i]);
    }
    for (u32 i = 0; i < functions; i++) {
        vtd_context(sids[i], TT_ATS, levels - 2, table, DOMAIN);
    }
    check("root", vtd_root_set(), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    vtd_put(desc_cc(CC_GLOBAL, 0, 0));
    vtd_put(desc_iotlb(IOTLB_GLOBAL, 0, 0, 0));
    check("done", vtd_finish(), "no status");
    check("te-on", vtd_command(GSTS_TE, true), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    for (u32 i = 0; i < functions && !option("early"); i++) {
        check("ats-on", ats_set(sids[i], true), "sid 0x%x", sids[i]);
    }

    for (u32 kind = 0; kind < KINDS; kind++) {
        for (u32 habit = 0; habit < HABITS; habit++) {
            flush(kind, habit);
        }
    }
    batches();
    superpage();
    toggled();
    by_registers();
    moves();
    part("end");
    check("faults", !(vtd_read32(VTD_FSTS) & (FSTS_IQE | FSTS_ICE | FSTS_ITE)), "FSTS 0x%x",
          vtd_read32(VTD_FSTS));
}
