/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the trace of descriptors and the counters by hypercall: the test compares them with what the emulator
 * saw. And asks for what it must not get.
 */
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/vtd.h"

#define ROOM      32u
#define IOVA      0x40000000ull
#define UNMAPPED  0x0000700000000000ull
#define VEC_PF    14
#define NO_DEVICE (-19)

enum { TRACE = 2, COUNTERS };

struct record {
    u64 time, lo, hi;
    u32 batch;
    u16 id;
    u8 unit, what;
};
_Static_assert(sizeof(struct record) == 32, "docs/hypercalls.md");

static s64 ask(u64 call, u64 unit, volatile void *to, u64 room, u64 *at)
{
    u64 rax = call;

    __asm__ volatile("vmmcall" : "+a"(rax), "+d"(*at) : "D"(unit), "S"(to), "c"(room) : "memory");
    return (s64)rax;
}

static void read_all(u64 call)
{
    static struct record r[ROOM];
    static const char *const who[] = { "guest", "host", "done" };
    u64 at = 0, last = 0, rounds = 0;
    bool ordered = true;

    for (;; rounds++) {
        u64 before = at;
        s64 n = ask(call, 0, r, rounds & 1 ? ROOM : ~0ull, &at);

        if (n < 0 || n > ROOM || (!n && at == before) || rounds > 1000)
            break;
        for (s64 i = 0; i < n; i++) {
            if (call == TRACE) {
                ordered = ordered && r[i].time >= last && r[i].what <= 2;
                last = r[i].time;
                print("I: trace-%s %lx:%lx\n", who[r[i].what % 3], r[i].hi, r[i].lo);
            } else {
                print("I: counter %u,%u,%u,%lu,%lu\n", r[i].what, r[i].id, r[i].batch, r[i].lo, r[i].hi);
            }
        }
    }
    check("ends", rounds <= 1000, "%lu rounds", rounds);
    check("ordered", ordered, "time runs backwards");
}

static void ask_for_unmapped(void *arg)
{
    u64 at = 0;

    (void)arg;
    ask(TRACE, 0, (void *)UNMAPPED, ROOM, &at);
}

static void flushes(void)
{
    part("flushes");
    for (u32 i = 0; i < 100; i++) {
        vtd_put(desc_iotlb(i % 3 ? IOTLB_PAGE : IOTLB_DOMAIN, 1 + i % 3, IOVA + i * PAGE_SIZE, 0));
        if (i % 4 == 3)
            check("finish", vtd_finish(), "FSTS 0x%x", vtd_read32(VTD_FSTS));
    }
}

void guest_main(void)
{
    u64 at = 0;
    s64 answer;

    if (!vtd_find()) {
        check("setup", false, "no unit");
        return;
    }
    vtd_tables_reset();
    vtd_context(0x00f8, TT_TABLE, (vtd_cap & BIT(10) ? 4 : 3) - 2, (u64)page_alloc(1), 1);
    check("queue-on", vtd_queue_on(0), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    check("root", vtd_root_set() && vtd_command(GSTS_TE, true), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    vtd_put(desc_cc(CC_GLOBAL, 0, 0));
    check("context", vtd_finish(), "FSTS 0x%x", vtd_read32(VTD_FSTS));
    flushes();
    if (option("on-and-on")) {
        print("I: on and-on\n");
        do
            vtd_put(desc_iotlb(IOTLB_DOMAIN, 1, 0, 0));
        while (vtd_finish());
    }

    part("trace");
    read_all(TRACE);
    part("counters");
    read_all(COUNTERS);

    part("refused");
    answer = ask(TRACE, 1, page_alloc(1), ROOM, &at);
    check("no-unit", answer == NO_DEVICE, "%ld", answer);
    answer = ask(TRACE, ~0ull, page_alloc(1), ROOM, &at);
    check("no-unit-at-all", answer == NO_DEVICE, "%ld", answer);
    at = ~0ull;
    answer = ask(COUNTERS, 0, page_alloc(1), ROOM, &at);
    check("past-the-end", answer == 0, "%ld", answer);
    answer = trapped(ask_for_unmapped, NULL);
    check("unmapped", answer == VEC_PF && trap_cr2 == UNMAPPED, "vector %ld at 0x%lx", answer, trap_cr2);
    at = 0;
    answer = ask(TRACE, 0, (void *)hv_base, ROOM, &at);
    check("over-sluice", answer == ROOM && *(volatile u64 *)hv_base == ~0ull, "%ld, 0x%lx", answer,
          *(volatile u64 *)hv_base);
    check("alive", vtd_finish(), "FSTS 0x%x", vtd_read32(VTD_FSTS));
}
