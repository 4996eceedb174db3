/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The invalidation queue as the specification has it, errors included. The same answers are wanted from the
 * bare unit and from the virtual one, except where the emulated unit is known to differ or to abort: those
 * run only on the hypervisor.
 *
 * Option case=NAME runs one group; all of them otherwise.
 */
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/vtd.h"

#define IQEI_TAIL     1u
#define IQEI_FETCH    2u
#define IQEI_TYPE     3u
#define IQEI_RESERVED 4u
#define IQEI_WIDTH    5u
#define IQEI_ANY      0u

#define VECTOR 0x51u
#define LAPIC  0xfee00000ull

static volatile u32 interrupts, nmis;

static void count_interrupt(u64 vector)
{
    if (vector == 2) {
        nmis++;
        return;
    }
    interrupts++;
    mmio_write32(LAPIC + 0xb0, 0); /* EOI */
}

static void restart(u32 qs)
{
    /* The unit wants to be quiet with a wait as the last descriptor before its queue goes off. */
    if (vtd_read32(VTD_GSTS) & GSTS_QI) {
        vtd_write32(VTD_FSTS, FSTS_IQE);
        vtd_finish();
    }
    if (!vtd_queue_on(qs)) {
        check("queue-on", false, "GSTS 0x%x", vtd_read32(VTD_GSTS));
    }
}

static bool error_is(u32 iqei)
{
    u32 code = vtd_read64(VTD_IQERCD) & 0xf;

    if (!(vtd_read32(VTD_FSTS) & FSTS_IQE)) {
        return false;
    }
    /* The emulated unit has no IQERCD. */
    return !on_sluice || iqei == IQEI_ANY || code == iqei;
}

/* ---- sizes */

static void group_sizes(void)
{
    for (u32 qs = 0; qs < 8; qs++) {
        u32 last, data;

        part("size/%u", qs);
        restart(qs);
        /* A full ring is one entry less than it has. The domain is nobody's: this costs the unit nothing. */
        last = vtd_queue_entries - 2;
        for (u32 i = 0; i < last; i++) {
            vtd_put(desc_cc(CC_DOMAIN, 0x77, 0));
        }
        check("full", vtd_finish(), "FSTS 0x%x IQH 0x%lx", vtd_read32(VTD_FSTS), vtd_read64(VTD_IQH));
        check("head", vtd_read64(VTD_IQH) == (u64)(last + 1) << 4, "IQH 0x%lx", vtd_read64(VTD_IQH));
        vtd_put(desc_cc(CC_DOMAIN, 0x77, 0));
        vtd_put(desc_cc(CC_DOMAIN, 0x77, 0));
        check("wrapped", vtd_finish(), "FSTS 0x%x IQH 0x%lx", vtd_read32(VTD_FSTS), vtd_read64(VTD_IQH));
        check("head-wrapped", vtd_read64(VTD_IQH) == 2 << 4, "IQH 0x%lx", vtd_read64(VTD_IQH));
        /* Head equals tail: nothing to do, and the full ring behind it is not run again. */
        data = *vtd_status;
        *vtd_status = 0;
        vtd_ring();
        check("empty", *vtd_status == 0 && vtd_read64(VTD_IQH) == 2 << 4, "status 0x%x, was 0x%x",
              *vtd_status, data);
    }
    restart(0);
}

/* ---- bad descriptors */

struct bad {
    const char *name;
    u64 lo, hi;
    u32 iqei;
    bool bare; /* the emulated unit says the same */
    enum { ALWAYS, WITH_DT, WITHOUT_DT } when;
};

/* Bits by the specification's layouts, 6.5.2. */
static const struct bad bads[] = {
    { "type-0", 0, 0, IQEI_TYPE, true, ALWAYS },
    { "type-6", 0x36, 0, IQEI_TYPE, true, ALWAYS },
    { "type-7", 0x37, 0, IQEI_TYPE, true, ALWAYS },
    { "type-8", 0x08, 0, IQEI_TYPE, true, ALWAYS },
    { "type-9", 0x09, 0, IQEI_TYPE, true, ALWAYS },
    { "type-a", 0x0a, 0, IQEI_TYPE, true, ALWAYS },
    { "type-f", 0x0f, 0, IQEI_TYPE, true, ALWAYS },
    { "type-11", 0x0211, 0, IQEI_TYPE, true, ALWAYS },
    { "type-72", 0x0e32, 0, IQEI_TYPE, true, ALWAYS },
    { "cc-granularity", 0x01, 0, IQEI_ANY, true, ALWAYS },
    { "cc-bit-6", 0x51, 0, IQEI_RESERVED, false, ALWAYS },
    { "cc-bit-12", 0x1011, 0, IQEI_RESERVED, false, ALWAYS },
    { "cc-bit-50", 0x11 | BIT(50), 0, IQEI_RESERVED, false, ALWAYS },
    { "cc-high", 0x11, BIT(0), IQEI_RESERVED, false, ALWAYS },
    { "cc-high-63", 0x11, BIT(63), IQEI_RESERVED, false, ALWAYS },
    { "iotlb-granularity", 0x02, 0, IQEI_ANY, true, ALWAYS },
    { "iotlb-bit-8", 0x112, 0, IQEI_RESERVED, false, ALWAYS },
    { "iotlb-bit-12", 0x1012, 0, IQEI_RESERVED, false, ALWAYS },
    { "iotlb-bit-32", 0x12 | BIT(32), 0, IQEI_RESERVED, false, ALWAYS },
    { "iotlb-bit-63", 0x12 | BIT(63), 0, IQEI_RESERVED, false, ALWAYS },
    { "iotlb-high-7", 0x32, BIT(7), IQEI_RESERVED, false, ALWAYS },
    { "iotlb-high-11", 0x32, BIT(11), IQEI_RESERVED, false, ALWAYS },
    { "device-without-dt", 0x03, 0x1000, IQEI_TYPE, false, WITHOUT_DT },
    { "device-bit-4", 0x13, 0x1000, IQEI_RESERVED, false, WITH_DT },
    { "device-bit-21", 0x200003, 0x1000, IQEI_RESERVED, false, WITH_DT },
    { "device-bit-48", 0x03 | BIT(48), 0x1000, IQEI_RESERVED, false, WITH_DT },
    { "device-high-1", 0x03, 0x1002, IQEI_RESERVED, false, WITH_DT },
    { "device-high-11", 0x03, 0x1800, IQEI_RESERVED, false, WITH_DT },
    { "wait-bit-8", 0x125, 0, IQEI_RESERVED, false, ALWAYS },
    { "wait-bit-12", 0x1025, 0, IQEI_RESERVED, false, ALWAYS },
    { "wait-bit-31", 0x80000025, 0, IQEI_RESERVED, false, ALWAYS },
    { "wait-page-request-drain", 0xa5, 0, IQEI_RESERVED, false, ALWAYS },
    { "wait-address-1", 0x25, 1, IQEI_RESERVED, false, ALWAYS },
    { "wait-address-2", 0x25, 2, IQEI_RESERVED, false, ALWAYS },
};

/* The descriptor before it is done, the head stays at it, nothing is fetched until the error is cleared. */
static void one_bad(const struct bad *b)
{
    u32 before = vtd_next_cookie(), index, after;
    struct vtd_desc bad = { b->lo, b->hi };

    part("bad/%s", b->name);
    if ((b->lo & 0xf) == 5) {
        bad.hi |= (u64)vtd_status;
    }
    vtd_put(desc_wait(before, (u64)vtd_status));
    index = vtd_tail;
    vtd_put(bad);
    vtd_put(desc_wait(vtd_next_cookie(), (u64)vtd_status));
    vtd_ring();
    check("before", vtd_wait_status(before, 500), "status 0x%x", *vtd_status);
    if (!error_is(b->iqei)) {
        check("error", false, "FSTS 0x%x IQERCD 0x%lx IQH 0x%lx", vtd_read32(VTD_FSTS),
              vtd_read64(VTD_IQERCD), vtd_read64(VTD_IQH));
        if (!(vtd_read32(VTD_FSTS) & FSTS_IQE)) {
            return;
        }
    }
    check("head", vtd_read64(VTD_IQH) == (u64)index << 4, "IQH 0x%lx, bad at 0x%x", vtd_read64(VTD_IQH),
          index << 4);
    vtd_put(desc_wait(vtd_next_cookie(), (u64)vtd_status));
    vtd_ring();
    check("stopped", vtd_read64(VTD_IQH) == (u64)index << 4 && *vtd_status == before, "IQH 0x%lx status 0x%x",
          vtd_read64(VTD_IQH), *vtd_status);

    after = vtd_next_cookie();
    vtd_queue[index] = desc_wait(after, (u64)vtd_status);
    vtd_write32(VTD_FSTS, FSTS_IQE);
    vtd_ring(); /* the emulated unit needs it; by the specification the fetch has resumed already */
    check("recovered", vtd_finish() && !(vtd_read32(VTD_FSTS) & FSTS_IQE), "FSTS 0x%x IQH 0x%lx",
          vtd_read32(VTD_FSTS), vtd_read64(VTD_IQH));
}

static void group_descriptors(void)
{
    restart(0);
    for (u32 i = 0; i < ARRAY_SIZE(bads); i++) {
        bool dt = vtd_ecap & BIT(2);

        if ((on_sluice || bads[i].bare) && bads[i].when != (dt ? WITHOUT_DT : WITH_DT)) {
            one_bad(&bads[i]);
        }
    }
    /* Clearing the error alone resumes the fetch. */
    part("bad/resume");
    if (on_sluice) {
        u32 index = vtd_tail, after = vtd_next_cookie();

        vtd_put((struct vtd_desc){ 0, 0 });
        vtd_ring();
        vtd_queue[index] = desc_wait(after, (u64)vtd_status);
        vtd_write32(VTD_FSTS, FSTS_IQE);
        check("resume", vtd_wait_status(after, 500), "status 0x%x", *vtd_status);
    }
}

/* Odd but legal, or widened: they complete, whatever they name. */
static void group_odd(void)
{
    static const struct {
        const char *name;
        u64 lo, hi;
        bool may_fail; /* an error is as good as a wider flush */
    } odds[] = {
        { "unknown-domain", 0x77770022, 0, false },
        { "unknown-domain-page", 0x77770032, 0x123456000, false },
        { "domain-0", 0x22, 0, false },
        { "domain-ffff", 0xffff0022, 0, false },
        { "context-unknown", 0xffff0031 | 0xfffful << 32, 0, false },
        { "context-mask", 0x31 | 0x0008ull << 32 | 3ull << 48, 0, false },
        { "order-18", 0x32, 18, false },
        { "order-19", 0x32, 19, true },
        { "order-63", 0x32, 63, true },
        { "misaligned", 0x32, 0x1000 | 9, true },
        { "hint", 0x32, 0x1000 | BIT(6), false },
        { "high-address", 0x32, 0xfffffffffffff000, false },
        { "device-unknown", 0x03 | 0xfff8ull << 32, 0x1000, true },
        { "device-all", 0x03 | 0x0010ull << 32, ~0ull >> 13 << 12 | 1, true },
        { "device-host-bridge", 0x03, 0x1000, true },
    };

    restart(0);
    for (u32 i = 0; i < ARRAY_SIZE(odds); i++) {
        u32 index = vtd_tail, data = vtd_next_cookie();

        part("odd/%s", odds[i].name);
        vtd_put((struct vtd_desc){ odds[i].lo, odds[i].hi });
        vtd_put(desc_wait(data, (u64)vtd_status));
        vtd_ring();
        if (vtd_read32(VTD_FSTS) & FSTS_IQE) {
            check("accepted", odds[i].may_fail || !on_sluice, "IQERCD 0x%lx", vtd_read64(VTD_IQERCD));
            vtd_queue[index] = desc_wait(0, (u64)vtd_status);
            vtd_write32(VTD_FSTS, FSTS_IQE);
            vtd_ring();
        }
        check("done", vtd_wait_status(data, 500), "status 0x%x FSTS 0x%x", *vtd_status, vtd_read32(VTD_FSTS));
    }
}

/* ---- registers of the queue */

static void group_tail(void)
{
    u32 data;

    part("tail/too-far");
    restart(0);
    check("start", vtd_finish(), "no status");
    vtd_write64(VTD_IQT, 256 << 4);
    check("error", error_is(IQEI_TAIL), "FSTS 0x%x IQERCD 0x%lx", vtd_read32(VTD_FSTS),
          vtd_read64(VTD_IQERCD));
    vtd_ring();
    vtd_write32(VTD_FSTS, FSTS_IQE);
    vtd_ring();
    check("recovered", vtd_finish(), "FSTS 0x%x", vtd_read32(VTD_FSTS));

    part("tail/queue-off");
    check("off", vtd_queue_off(), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    check("head", vtd_read64(VTD_IQH) == 0, "IQH 0x%lx", vtd_read64(VTD_IQH));
    *vtd_status = 0;
    vtd_write64(VTD_IQT, 0x20);
    check("stored", vtd_read64(VTD_IQT) == 0x20 && *vtd_status == 0, "IQT 0x%lx", vtd_read64(VTD_IQT));
    restart(0);
    check("works", vtd_finish(), "no status");
    if (!on_sluice) {
        return;
    }

    part("tail/high-bits");
    data = vtd_next_cookie();
    vtd_put(desc_wait(data, (u64)vtd_status));
    vtd_write64(VTD_IQT, (u64)vtd_tail << 4 | ~0ull << 19 | 0xf);
    check("masked", vtd_wait_status(data, 500) && vtd_read64(VTD_IQT) == (u64)vtd_tail << 4, "IQT 0x%lx",
          vtd_read64(VTD_IQT));

    part("tail/halves");
    data = vtd_next_cookie();
    vtd_put(desc_wait(data, (u64)vtd_status));
    vtd_write32(VTD_IQT, vtd_tail << 4);
    check("low-half", vtd_wait_status(data, 500), "IQT 0x%lx", vtd_read64(VTD_IQT));
    vtd_write32(VTD_IQT + 4, ~0u);
    check("high-half", vtd_read64(VTD_IQT) == (u64)vtd_tail << 4 && vtd_finish(), "IQT 0x%lx",
          vtd_read64(VTD_IQT));

    part("tail/off-while-busy");
    /* Stopped by an error, then switched off with work in the queue. */
    vtd_put((struct vtd_desc){ 0, 0 });
    vtd_put(desc_wait(vtd_next_cookie(), (u64)vtd_status));
    vtd_ring();
    check("off", vtd_queue_off(), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    check("head", vtd_read64(VTD_IQH) == 0, "IQH 0x%lx", vtd_read64(VTD_IQH));
    vtd_write32(VTD_FSTS, FSTS_IQE);
    restart(0);
    check("works", vtd_finish(), "FSTS 0x%x", vtd_read32(VTD_FSTS));
}

static void group_base(void)
{
    u64 was = vtd_read64(VTD_IQA);
    struct vtd_desc *other;

    part("base/while-on");
    restart(0);
    was = vtd_read64(VTD_IQA);
    other = page_alloc(1);
    if (on_sluice) {
        vtd_write64(VTD_IQA, (u64)other);
        check("ignored", vtd_finish(), "FSTS 0x%x", vtd_read32(VTD_FSTS));
        check("kept", vtd_read64(VTD_IQA) == was, "IQA 0x%lx", vtd_read64(VTD_IQA));
    }

    part("base/halves");
    check("off", vtd_queue_off(), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    vtd_write64(VTD_IQT, 0);
    vtd_queue = page_alloc(2);
    vtd_queue_entries = 512;
    vtd_tail = 0;
    vtd_write32(VTD_IQA, (u32)(u64)vtd_queue | 1);
    vtd_write32(VTD_IQA + 4, (u32)((u64)vtd_queue >> 32));
    check("on", vtd_command(GSTS_QI, true), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    check("works", vtd_finish(), "FSTS 0x%x", vtd_read32(VTD_FSTS));
    if (!on_sluice) {
        return;
    }

    part("base/end-of-memory");
    for (u32 i = 0; i < memory_ranges; i++) {
        const struct memory_range *r = &memory_map[i];

        if (r->type != 1 || r->base < 0x100000) {
            continue;
        }
        check("off", vtd_queue_off(), "GSTS 0x%x", vtd_read32(VTD_GSTS));
        vtd_write64(VTD_IQT, 0);
        /* Two pages of which only one is the guest's. */
        vtd_write64(VTD_IQA, align_down(r->base + r->bytes - PAGE_SIZE, PAGE_SIZE) | 1);
        vtd_command(GSTS_QI, true);
        vtd_write64(VTD_IQT, 0x1010);
        check("error", error_is(IQEI_FETCH) || error_is(IQEI_TYPE), "FSTS 0x%x IQERCD 0x%lx",
              vtd_read32(VTD_FSTS), vtd_read64(VTD_IQERCD));
        vtd_queue_off();
        vtd_write32(VTD_FSTS, FSTS_IQE);
    }

    part("base/width");
    vtd_write64(VTD_IQT, 0);
    vtd_write64(VTD_IQA, (u64)other | BIT(11));
    vtd_command(GSTS_QI, true);
    vtd_write64(VTD_IQT, 0x20);
    check("error", error_is(IQEI_WIDTH), "FSTS 0x%x IQERCD 0x%lx", vtd_read32(VTD_FSTS),
          vtd_read64(VTD_IQERCD));
    vtd_queue_off();
    vtd_write32(VTD_FSTS, FSTS_IQE);
    restart(0);
    check("works", vtd_finish(), "FSTS 0x%x", vtd_read32(VTD_FSTS));
}

/* ---- waits with every combination of status, interrupt and fence */

static void local_apic_on(void)
{
    on_interrupt = count_interrupt;
    mmio_write32(LAPIC + 0xf0, 0x1ff); /* software enable */
    mmio_write32(LAPIC + 0x80, 0);
}

static bool interrupts_reach(u32 n)
{
    u64 deadline = deadline_in_ms(500);

    __asm__ volatile("sti");
    while (interrupts < n && !deadline_over(deadline)) {
        relax();
    }
    __asm__ volatile("cli");
    return interrupts == n;
}

static bool iwc_set(void)
{
    u64 deadline = deadline_in_ms(500);

    while (!(vtd_read32(VTD_ICS) & 1)) {
        if (deadline_over(deadline)) {
            return false;
        }
    }
    return true;
}

static void group_waits(void)
{
    restart(0);
    local_apic_on();
    vtd_write32(VTD_IEDATA, VECTOR);
    vtd_write32(VTD_IEADDR, (u32)LAPIC);
    vtd_write32(VTD_IEUADDR, 0);

    part("wait/interrupt");
    interrupts = 0;
    vtd_write32(VTD_IECTL, 0);
    vtd_put((struct vtd_desc){ 5 | 0x10, 0 });
    vtd_ring();
    check("iwc", iwc_set(), "ICS 0x%x", vtd_read32(VTD_ICS));
    check("arrives", interrupts_reach(1), "%u interrupts", interrupts);
    /* No second event while IWC is set. */
    vtd_put((struct vtd_desc){ 5 | 0x10, 0 });
    vtd_ring();
    vtd_finish();
    check("coalesced", interrupts_reach(1), "%u interrupts", interrupts);
    vtd_write32(VTD_ICS, 1);
    check("cleared", !(vtd_read32(VTD_ICS) & 1), "ICS 0x%x", vtd_read32(VTD_ICS));
    vtd_put((struct vtd_desc){ 5 | 0x10, 0 });
    vtd_ring();
    check("again", iwc_set() && interrupts_reach(2), "%u interrupts", interrupts);
    vtd_write32(VTD_ICS, 1);

    part("wait/masked");
    vtd_write32(VTD_IECTL, 1u << 31);
    vtd_put((struct vtd_desc){ 5 | 0x10, 0 });
    vtd_ring();
    check("iwc", iwc_set(), "ICS 0x%x", vtd_read32(VTD_ICS));
    vtd_finish();
    check("none", interrupts_reach(2), "%u interrupts", interrupts);
    check("pending", vtd_read32(VTD_IECTL) & BIT(30), "IECTL 0x%x", vtd_read32(VTD_IECTL));
    vtd_write32(VTD_IECTL, 0);
    check("unmasked", interrupts_reach(3), "%u interrupts", interrupts);
    vtd_write32(VTD_ICS, 1);
    vtd_write32(VTD_IECTL, 1u << 31);
    if (!on_sluice) {
        return;
    }

    part("wait/combinations");
    for (u32 bits = 0; bits < 8; bits++) {
        u32 data = vtd_next_cookie();
        bool status = bits & 2, interrupt = bits & 1;

        vtd_write32(VTD_ICS, 1);
        vtd_put((struct vtd_desc){ 5 | bits << 4 | (u64)data << 32, status ? (u64)vtd_status : 0 });
        vtd_ring();
        check("completes", vtd_finish(), "bits %u: FSTS 0x%x", bits, vtd_read32(VTD_FSTS));
        check("iwc", !!(vtd_read32(VTD_ICS) & 1) == interrupt, "bits %u: ICS 0x%x", bits,
              vtd_read32(VTD_ICS));
    }

    /* What the guest programs there must be an interrupt to a processor, and none that it may not send. */
    part("wait/bad-address");
    interrupts = 0;
    vtd_write32(VTD_ICS, 1);
    vtd_write32(VTD_IEADDR, 0x00300000);
    vtd_write32(VTD_IECTL, 0);
    vtd_put((struct vtd_desc){ 5 | 0x10, 0 });
    vtd_ring();
    check("goes-on", vtd_finish() && interrupts_reach(0), "%u interrupts", interrupts);
    check("not-written", *(volatile u32 *)0x00300000 != VECTOR, "0x%x", *(volatile u32 *)0x00300000);

    part("wait/delivery-mode");
    for (u32 mode = 2; mode < 8; mode++) {
        vtd_write32(VTD_IECTL, 1u << 31);
        vtd_write32(VTD_ICS, 1);
        vtd_write32(VTD_IEADDR, (u32)LAPIC);
        vtd_write32(VTD_IEDATA, mode << 8 | VECTOR);
        vtd_write32(VTD_IECTL, 0);
        vtd_put((struct vtd_desc){ 5 | 0x10, 0 });
        vtd_ring();
        check("goes-on", vtd_finish() && nmis == 0, "mode %u: %u NMIs", mode, nmis);
    }
    vtd_write32(VTD_IECTL, 1u << 31);
    vtd_write32(VTD_ICS, 1);
}

/* ---- access widths: whatever comes of it, no check is passed by and the guest goes on */

#define BYTE_AT(reg) (*(volatile u8 *)(vtd_base + (reg)))
#define WORD_AT(reg) (*(volatile u16 *)(vtd_base + (reg)))
#define QUAD_AT(reg) (*(volatile u64 *)(vtd_base + (reg)))

static void group_widths(void)
{
    u64 cap = vtd_cap;

    part("widths");
    restart(0);
    check("halves", vtd_read32(VTD_CAP) == (u32)cap && vtd_read32(VTD_CAP + 4) == cap >> 32, "0x%x 0x%x",
          vtd_read32(VTD_CAP), vtd_read32(VTD_CAP + 4));
    if (!on_sluice) {
        return;
    }
    /* Reads first: nothing is asked of the values, only that they come. */
    for (u32 reg = 0; reg < 0x1000; reg += reg < 0x100 ? 1 : 61) {
        (void)BYTE_AT(reg);
        (void)WORD_AT(reg);
        (void)vtd_read32(reg);
        (void)QUAD_AT(reg);
    }
    check("unknown-register", vtd_read32(0xf00) == 0 && vtd_read64(0xf08) == 0, "0x%x", vtd_read32(0xf00));
    vtd_write32(0xf00, ~0u);
    vtd_write64(0xf08, ~0ull);
    check("unknown-written", vtd_read32(0xf00) == 0 && vtd_read64(0xf08) == 0, "0x%x", vtd_read32(0xf00));
    /* 8-byte writes that make the emulated unit abort. */
    vtd_write64(VTD_IEADDR, LAPIC);
    vtd_write64(VTD_FEADDR, LAPIC);
    vtd_write64(VTD_FSTS, 0);
    vtd_write64(VTD_FECTL, BIT(31));
    vtd_write64(VTD_FEDATA, 0);
    vtd_write64(VTD_ICS, 0);
    vtd_write64(VTD_IECTL, BIT(31));
    check("read-only", vtd_read64(VTD_CAP) == cap, "CAP 0x%lx", vtd_read64(VTD_CAP));
    vtd_write64(VTD_CAP, 0);
    vtd_write64(VTD_ECAP, ~0ull);
    check("read-only-written", vtd_read64(VTD_CAP) == cap && vtd_read64(VTD_ECAP) == vtd_ecap, "CAP 0x%lx",
          vtd_read64(VTD_CAP));
    check("works", vtd_finish(), "FSTS 0x%x", vtd_read32(VTD_FSTS));

    /* Small, misaligned and straddling writes, the tail register and the queue's base among them. */
    part("widths/writes");
    for (u32 reg = VTD_IQH - 1; reg < VTD_IQA + 8; reg++) {
        BYTE_AT(reg) = 0xff;
        WORD_AT(reg) = 0xffff;
        if (reg & 3) {
            vtd_write32(reg, ~0u);
        }
        if (reg & 7) {
            QUAD_AT(reg) = ~0ull;
        }
    }
    BYTE_AT(0xfff) = 1;
    WORD_AT(0xfff) = 1;
    QUAD_AT(0xffc) = 1;
    vtd_write32(VTD_FSTS, FSTS_IQE);
    vtd_queue_off();
    vtd_write32(VTD_FSTS, FSTS_IQE);
    check("on", vtd_queue_on(0), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    check("works", vtd_finish(), "FSTS 0x%x IQERCD 0x%lx", vtd_read32(VTD_FSTS), vtd_read64(VTD_IQERCD));
}

static const struct {
    const char *name;
    void (*run)(void);
} groups[] = {
    { "sizes", group_sizes },   { "descriptors", group_descriptors },
    { "odd", group_odd },       { "tail", group_tail },
    { "base", group_base },     { "waits", group_waits },
    { "widths", group_widths },
};

void guest_main(void)
{
    if (!vtd_find()) {
        check("setup", false, "no unit");
        return;
    }
    print("I: cap 0x%lx ecap 0x%lx\n", vtd_cap, vtd_ecap);
    vtd_tables_reset();
    check("root", vtd_root_set(), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    for (u32 i = 0; i < ARRAY_SIZE(groups); i++) {
        if (streq(option_value("case", groups[i].name), groups[i].name)) {
            groups[i].run();
        }
    }
    part("end");
    check("finish", vtd_finish(), "FSTS 0x%x", vtd_read32(VTD_FSTS));
}
