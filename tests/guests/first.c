/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First-stage tables in scalable mode, with the `edu` device: DMA lands where the table says, a flush takes
 * away what it no longer says, and what is wrong with an entry is told by the fault reasons. They are printed
 * as `I: NAME-reason 0xNN`, so that a run on the bare unit and one on a virtual unit can be compared.
 */
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/edu.h"
#include "tests/guests/lib/vtd.h"

#define DATA   0xda7aull
#define CLEAN  0xc1eaull
#define BYTES  64u
#define DOMAIN 5u
#define IOVA   0x40201000ull

static u32 edu;
static u8 *page;
static volatile u64 *context, *directory, *pasid; /* entries */
static u64 table;

/* In a queue of 256-bit descriptors the upper half of each is 0. */
static void put(u64 lo, u64 hi)
{
    vtd_put((struct vtd_desc){ lo, hi });
    vtd_put((struct vtd_desc){ 0, 0 });
}

static void finish(void)
{
    u32 data = vtd_next_cookie();

    put(5 | 0x20 | (u64)data << 32, (u64)vtd_status);
    vtd_ring();
    if (!vtd_wait_status(data, 1000))
        check("flush", false, "did not complete: FSTS 0x%x IQH 0x%lx", vtd_read32(VTD_FSTS),
              vtd_read64(VTD_IQH));
}

/* Everything that may have cached the function's entries, and its first-stage table. */
static void flush(void)
{
    put(1 | 3 << 4 | (u64)edu << 32, 0);
    put(7 | 3 << 4, 0);
    put(6 | 2 << 4 | DOMAIN << 16, 0);
    finish();
}

static bool lands(u64 iova)
{
    fill(page, PAGE_SIZE, CLEAN);
    vtd_faults_clear();
    check("answers", edu_dma_to(iova, BYTES), "no transfer to 0x%lx", iova);
    return filled(page, BYTES, DATA);
}

static void fault(const char *name, u64 iova)
{
    struct vtd_fault f = { 0 };

    flush();
    check(name, !lands(iova), "DMA to 0x%lx was let through", iova);
    if (vtd_fault_take(&f))
        print("I: %s-reason 0x%x\n", name, f.reason);
    else
        check(name, false, "no fault record");
}

/* One quadword is wrong, and then right again. */
static void wrong(const char *name, volatile u64 *entry, u64 value)
{
    u64 good = *entry;

    *entry = value;
    fault(name, IOVA);
    *entry = good;
}

static volatile u64 *leaf(void)
{
    u64 at = table;

    for (u32 level = 4; level > 1; level--) {
        volatile u64 *entry = (volatile u64 *)at + (IOVA >> (12 + 9 * (level - 1)) & 511);

        if (!(*entry & 1))
            *entry = (u64)page_alloc(1) | 7;
        at = *entry & ~0xfffull;
    }
    return (volatile u64 *)at + (IOVA >> 12 & 511);
}

static bool turn_on(void)
{
    vtd_root = (u64)page_alloc(1);
    context = (volatile u64 *)page_alloc(1);
    *((volatile u64 *)vtd_root + 2 * (edu >> 8)) = (u64)context | 1;
    context += (edu & 0x7f) * 4;
    directory = page_alloc(1);
    pasid = page_alloc(1);
    table = (u64)page_alloc(1);
    *leaf() = (u64)page | 7;
    pasid[1] = DOMAIN;
    pasid[2] = table;
    pasid[0] = 1 << 6 | 2 << 2 | 1; /* first stage; the width that bare units want to know even then */
    directory[0] = (u64)pasid | 1;
    context[0] = (u64)directory | 1;

    vtd_queue = page_alloc(1);
    vtd_queue_entries = 256;
    vtd_tail = 0;
    vtd_write64(VTD_RTADDR, vtd_root | 1 << 10);
    if (!vtd_command(GSTS_RTP, true))
        return false;
    vtd_write64(VTD_IQT, 0);
    vtd_write64(VTD_IQA, (u64)vtd_queue | 1 << 11);
    if (!vtd_command(GSTS_QI, true))
        return false;
    put(1 | 1 << 4, 0);
    put(7 | 3 << 4, 0);
    put(2 | 1 << 4, 0);
    finish();
    return vtd_command(GSTS_TE, true);
}

void guest_main(void)
{
    if (!edu_find(0, &edu) || edu & 0x80 || !vtd_find()) {
        check("setup", false, "edu 0x%x, unit at 0x%lx", edu, vtd_base);
        return;
    }
    page = page_alloc(1);
    fill(page, PAGE_SIZE, DATA);
    check("dma-before", edu_dma_from((u64)page, BYTES), "the device does not answer");
    print("I: first-stage %d\n", (int)(vtd_ecap >> 47 & 1));
    part("on");
    check("on", turn_on(), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    check("lands", lands(IOVA), "not where the first-stage table says");

    part("stale");
    *leaf() = 0;
    put(6 | 3 << 4 | DOMAIN << 16, IOVA);
    finish();
    check("stale", !lands(IOVA), "DMA to an unmapped page after its flush");
    *leaf() = (u64)page | 7;
    check("again", lands(IOVA), "what became present is not there");

    part("faults");
    wrong("leaf-absent", leaf(), 0);
    wrong("leaf-read-only", leaf(), (u64)page | 5);
    wrong("leaf-supervisor", leaf(), (u64)page | 3);
    wrong("leaf-reserved", leaf(), (u64)page | 1ull << 51 | 7);
    wrong("table-absent", (volatile u64 *)table, 0);
    wrong("pasid-absent", pasid, pasid[0] & ~1ull);
    wrong("pasid-type", pasid, (pasid[0] & ~(7ull << 6)) | 2 << 6);
    wrong("directory-absent", directory, 0);
    wrong("context-absent", context, 0);
    fault("not-canonical", 1ull << 47 | IOVA);
    flush();
    check("lands-at-last", lands(IOVA), "not where the first-stage table says");

    part("end");
    check("te-off", vtd_command(GSTS_TE, false), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    check("queue-off", vtd_queue_off(), "GSTS 0x%x", vtd_read32(VTD_GSTS));
}
