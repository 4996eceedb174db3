/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flushes and containment where the emulator has no VT-d unit and the hypervisor's image carries a model of
 * one (tests/boot/model_unit.c, which says what its ports do). The model's functions read and write this
 * guest's memory; one of them has a device TLB.
 *
 * `expect-stale`: the hypervisor was told to add no device-TLB flush, and the device must show it.
 */
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/vtd.h"

#define PORTS  0x5a0
#define PLAIN  0x0018u
#define ATS    0x0100u
#define DOMAIN 5u
#define IOVA   0x40000000ull

enum { DMA_WRITE = 1, DMA_READ, ATS_ON, ATS_OFF, PACE, FETCHED };

static u64 table;
static u32 *page;

static u32 model(u32 what, u32 sid, u64 address, u32 value)
{
    outl(PORTS, (u32)address);
    outl(PORTS + 4, (u32)(address >> 32));
    outl(PORTS + 8, value);
    outl(PORTS + 12, what | sid << 16);
    return inl(PORTS + 8);
}

/* Does the function reach this address, and nothing else? */
static bool reaches(u32 sid, u64 address, volatile u32 *where)
{
    static u32 value = 0x1000;
    u32 before = *where;
    bool said = model(DMA_WRITE, sid, address, ++value);

    check("said-and-done", said == (*where == value) && (said || *where == before), "said %d, there is 0x%x",
          said, *where);
    return said && model(DMA_READ, sid, address, 0) == value;
}

static void contained(const char *state)
{
    part("contained/%s", state);
    check("hypervisor", !model(DMA_WRITE, PLAIN, hv_base + 0x3000, 0), "reached");
    check("hypervisor-read", model(DMA_READ, PLAIN, hv_base + 0x3000, 0) == ~0u, "read");
    check("unit", !model(DMA_WRITE, PLAIN, vtd_base, 0), "reached");
}

static void map(u64 to, u32 permissions)
{
    vtd_map(table, 4, IOVA, to, PAGE_SIZE, permissions);
}

static void flush(const char *name)
{
    vtd_put(desc_iotlb(IOTLB_PAGE, DOMAIN, IOVA, 0));
    check(name, vtd_finish(), "FSTS 0x%x", vtd_read32(VTD_FSTS));
}

/* The page goes; the guest flushes the IOTLB and trusts that the rest is done for it. */
static void unmapped(const char *state)
{
    u32 before = model(FETCHED, 0, 0, 3);

    part("unmapped/%s", state);
    map((u64)page, PTE_R | PTE_W);
    flush("map");
    check("plain", reaches(PLAIN, IOVA, page), "does not reach the page");
    check("ats", reaches(ATS, IOVA, page), "does not reach the page");
    map(0, 0);
    flush("unmap");
    check("plain-gone", !reaches(PLAIN, IOVA, page), "still reaches the page");
    if (option("expect-stale")) {
        check("ats-stale", reaches(ATS, IOVA, page), "its device TLB was flushed");
        check("none-sent", model(FETCHED, 0, 0, 3) == before, "%u", model(FETCHED, 0, 0, 3) - before);
    } else {
        check("ats-gone", !reaches(ATS, IOVA, page), "still reaches the page");
        check("sent", model(FETCHED, 0, 0, 3) > before, "no device-TLB flush");
    }
}

void guest_main(void)
{
    if (!vtd_find() || !hv_bytes) {
        check("setup", false, "no unit, or no hypervisor");
        return;
    }
    page = page_alloc(1);
    part("off");
    check("identity", reaches(PLAIN, (u64)page, page), "blocked");
    contained("off");

    part("setup");
    vtd_tables_reset();
    check("queue-on", vtd_queue_on(0), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    table = (u64)page_alloc(1);
    vtd_context(PLAIN, TT_TABLE, AW_4, table, DOMAIN);
    vtd_context(ATS, TT_ATS, AW_4, table, DOMAIN);
    check("on", vtd_root_set() && vtd_command(GSTS_TE, true), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    model(ATS_ON, ATS, 0, 0);
    check("identity-gone", !reaches(PLAIN, (u64)page, page), "still there");

    unmapped("at-once");
    /* The unit takes its time: completions come after the exit, with nothing but memory polled. */
    model(PACE, 0, 0, 40);
    unmapped("late");
    model(PACE, 0, 0, 0);
    map(hv_base, PTE_R | PTE_W);
    flush("map-hypervisor");
    part("mapped");
    check("hypervisor", !model(DMA_WRITE, PLAIN, IOVA + 0x10, 0), "reached");
    contained("on");
    model(ATS_OFF, ATS, 0, 0);
    check("off-again", vtd_command(GSTS_TE, false), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    check("identity-again", reaches(ATS, (u64)page, page), "blocked");
}
