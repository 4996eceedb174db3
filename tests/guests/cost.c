/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one tail write costs, in ticks of the time-stamp counter: with the emulator's `-icount
 * shift=0,sleep=off` these are instructions. A number of page flushes and one wait, one tail write, until the
 * status is there; and the same with other things around it that should cost nothing. Nothing halts and no
 * DMA runs meanwhile.
 */
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/pci.h"
#include "tests/guests/lib/vtd.h"

#define ROUNDS        8u
#define DOMAIN        5u
#define MAX_MAPPED    0x10000u
#define MAX_DOMAINS   4096u
#define MAX_FUNCTIONS 64u
#define VIRTIO_VENDOR 0x1af4
#define IOVA          0x40000000ull
#define SPINS         50000000ull

static u64 table;
static u32 levels;
static u8 *pages[2];

struct ticks {
    u64 all;  /* from the first descriptor */
    u64 ring; /* from the tail write */
};

static u32 granularity = IOTLB_PAGE;

static struct ticks once(u32 descriptors, bool change)
{
    static u32 turn;
    const struct vtd_desc page_flush =
        desc_iotlb(granularity, DOMAIN, granularity == IOTLB_PAGE ? IOVA : 0, 0);
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

/* `count` = of what the name says; the least of some rounds. */
static void measure(const char *what, u32 count, u32 descriptors, bool change)
{
    struct ticks least = { ~0ull, ~0ull };

    once(descriptors, change);
    once(descriptors, change);
    for (u32 i = 0; i < ROUNDS; i++) {
        struct ticks t = once(descriptors, change);

        least.all = MIN(least.all, t.all);
        least.ring = MIN(least.ring, t.ring);
    }
    print("I: cost %s/%u %lu ring %lu\n", what, count, least.all, least.ring);
}

static void sizes(const char *flush, const char *change)
{
    static const u32 descriptors[] = { 1, 8, 64, 200 };

    for (u32 i = 0; i < ARRAY_SIZE(descriptors); i++) {
        measure(flush, descriptors[i], descriptors[i], false);
    }
    for (u32 i = 0; i < ARRAY_SIZE(descriptors); i++) {
        measure(change, descriptors[i], descriptors[i], true);
    }
}

static void flush_all(void)
{
    vtd_put(desc_cc(CC_GLOBAL, 0, 0));
    vtd_put(desc_iotlb(IOTLB_GLOBAL, 0, 0, 0));
    check("flush", vtd_finish(), "FSTS 0x%x", vtd_read32(VTD_FSTS));
}

/* Pages that are mapped in the same domain and not flushed. */
static void mapped(void)
{
    for (u32 n = 1, done = 0; n <= MAX_MAPPED; n *= 64) {
        for (; done < n; done++) {
            vtd_map(table, levels, IOVA + SIZE_1G + done * PAGE_SIZE, (u64)pages[0], PAGE_SIZE,
                    PTE_R | PTE_W);
        }
        flush_all();
        measure("mapped", n, 1, false);
        measure("mapped-change", n, 1, true);
        granularity = IOTLB_DOMAIN; /* one pass over all of them */
        measure("mapped-all", n, 1, false);
        granularity = IOTLB_PAGE;
    }
}

/* Domains of functions that nobody flushes: source-ids where no device is. */
static void domains(void)
{
    u64 empty = (u64)page_alloc(1);

    for (u32 n = 1, done = 0; n <= MAX_DOMAINS; n *= 4) {
        for (; done < n; done++) {
            vtd_context(0x8000 + done, TT_TABLE, levels - 2, empty, DOMAIN + 1 + done);
        }
        flush_all();
        measure("domains", n, 1, false);
        measure("domains-change", n, 1, true);
    }
}

static u32 functions_of(u32 bus, u32 *sids, u32 found)
{
    for (u32 sid = bus << 8; sid < (bus << 8) + 8 && found < MAX_FUNCTIONS; sid++) {
        if ((pci_read(sid, 0, 4) & 0xffff) == VIRTIO_VENDOR && pci_ext_cap(sid, PCI_EXT_CAP_ATS)) {
            sids[found++] = sid;
        }
    }
    return found;
}

/* Functions with ATS in the domain that is flushed. */
static void functions(void)
{
    u32 sids[MAX_FUNCTIONS], found = 0;

    for (u32 bus = 1; bus <= MAX_FUNCTIONS / 8; bus++) {
        found = functions_of(bus, sids, found);
    }
    if (option("short")) {
        found = MIN(found, 1u);
    }
    for (u32 n = 1, done = 0; n <= found; n *= 2) {
        for (; done < n; done++) {
            u64 control =
                pci_ecam_address(sids[done], pci_ext_cap(sids[done], PCI_EXT_CAP_ATS) + PCI_ATS_CONTROL);

            pci_write(sids[done], PCI_COMMAND, 2, PCI_COMMAND_MEM | PCI_COMMAND_BM);
            vtd_context(sids[done], TT_ATS, levels - 2, table, DOMAIN);
            __asm__ volatile("movw %1, %0"
                             : "=m"(*(volatile u16 *)control)
                             : "r"((u16)PCI_ATS_ENABLE)
                             : "memory");
        }
        flush_all();
        if (n == 1) {
            sizes("ats-flush", "ats-change-and-flush");
        }
        measure("functions", n, 1, false);
        measure("functions-change", n, 1, true);
    }
}

/* Out of line: one instruction that is executed twice. */
static __attribute__((noinline)) void vmmcall(void)
{
    u64 rax = 0;

    __asm__ volatile("vmmcall" : "+a"(rax)::"memory");
}

static void read_version(void)
{
    vtd_read32(VTD_VER);
}

static void nothing(void)
{
}

/* The second time: what is remembered is there. */
static void single(const char *what, void (*action)(void))
{
    u64 ticks = 0;

    for (u32 i = 0; i < 2; i++) {
        u64 start = rdtsc();

        action();
        ticks = rdtsc() - start;
    }
    print("I: cost %s/1 %lu\n", what, ticks);
}

void guest_main(void)
{
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
    vtd_context((u32)option_number("sid", 0x00f8), TT_TABLE, levels - 2, table, DOMAIN);
    check("queue-on", vtd_queue_on(0), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    check("root", vtd_root_set() && vtd_command(GSTS_TE, true), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    flush_all();

    single("nothing", nothing);
    single("register-read", read_version);
    if (on_sluice) {
        single("vmmcall", vmmcall);
    }
    sizes("flush", "change-and-flush");
    if (!option("short")) { /* that is for whoever counts where the instructions go */
        mapped();
        domains();
    }
    functions();
}
