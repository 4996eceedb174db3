/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one tail write costs, in ticks of the time-stamp counter: with the emulator's `-icount
 * shift=0,sleep=off` these are instructions. A number of page flushes and one wait, one tail write, until the
 * status is there. Nothing halts and no DMA runs meanwhile.
 */
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/vtd.h"

#define ROUNDS 8u
#define DOMAIN 5u
#define IOVA   0x40000000ull
#define SPINS  50000000ull

static u64 table;
static u32 levels;
static u8 *pages[2];

struct ticks {
    u64 all;  /* from the first descriptor */
    u64 ring; /* from the tail write */
};

static struct ticks once(u32 descriptors, bool change)
{
    static u32 turn;
    const struct vtd_desc page_flush = desc_iotlb(IOTLB_PAGE, DOMAIN, IOVA, 0);
    u64 start, ring, end;
    u32 data = vtd_next_cookie();

    turn++;
    for (u32 i = 0; i < descriptors && change; i++) {
        vtd_map(table, levels, IOVA + i * PAGE_SIZE, (u64)pages[turn & 1], PAGE_SIZE, PTE_R | PTE_W);
    }
    start = rdtsc();
    /* As tight as a driver could be: this part is the guest's own cost. */
    for (u32 i = 0; i < descriptors; i++, vtd_tail = (vtd_tail + 1) & 255) {
        vtd_queue[vtd_tail].lo = page_flush.lo;
        vtd_queue[vtd_tail].hi = page_flush.hi + i * PAGE_SIZE;
    }
    vtd_put(desc_wait(data, (u64)vtd_status));
    ring = rdtsc();
    vtd_ring();
    for (u64 i = 0; i < SPINS && *vtd_status != data; i++) {
        __asm__ volatile("" ::: "memory");
    }
    end = rdtsc();
    if (*vtd_status != data) {
        check("status", false, "0x%x is not 0x%x", *vtd_status, data);
    }
    return (struct ticks){ end - start, end - ring };
}

static void measure(const char *what, u32 descriptors, bool change)
{
    struct ticks least = { ~0ull, ~0ull };

    once(descriptors, change);
    for (u32 i = 0; i < ROUNDS; i++) {
        struct ticks t = once(descriptors, change);

        least.all = MIN(least.all, t.all);
        least.ring = MIN(least.ring, t.ring);
    }
    print("I: cost %s/%u %lu ring %lu\n", what, descriptors, least.all, least.ring);
}

void guest_main(void)
{
    static const u32 sizes[] = { 1, 8, 64, 200 };
    u64 start, end;

    if (!vtd_find()) {
        check("setup", false, "no unit");
        return;
    }
    levels = vtd_cap & BIT(10) ? 4 : 3;
    table = (u64)page_alloc(1);
    pages[0] = page_alloc(1);
    pages[1] = page_alloc(1);
    vtd_tables_reset();
    /* Some function of bus 0 that does nothing, so that the domain is in use. */
    vtd_context(0x00f8, TT_TABLE, levels - 2, table, DOMAIN);
    check("queue-on", vtd_queue_on(0), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    check("root", vtd_root_set() && vtd_command(GSTS_TE, true), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    vtd_put(desc_cc(CC_GLOBAL, 0, 0));
    vtd_put(desc_iotlb(IOTLB_GLOBAL, 0, 0, 0));
    check("flush", vtd_finish(), "FSTS 0x%x", vtd_read32(VTD_FSTS));

    start = rdtsc();
    end = rdtsc();
    print("I: cost tsc/1 %lu\n", end - start);
    start = rdtsc();
    vtd_read32(VTD_VER);
    end = rdtsc();
    print("I: cost register-read/1 %lu\n", end - start);
    /* size=N: that one alone, for whoever counts where the instructions go. */
    if (option("size")) {
        measure("flush", (u32)option_number("size", 1), false);
        return;
    }
    for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
        measure("flush", sizes[i], false);
    }
    for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
        measure("change-and-flush", sizes[i], true);
    }
}
