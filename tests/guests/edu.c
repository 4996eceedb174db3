/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DMA through the unit, with the `edu` device: what the tables say is where the data goes, and after a flush
 * what they no longer say is gone. Every flush kind, by the queue and by registers; page sizes; table depths;
 * pass-through; a context entry that changes; translation off.
 *
 * Option case=NAME runs one group; all of them otherwise.
 */
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/edu.h"
#include "tests/guests/lib/vtd.h"

#define DATA   0xda7aull /* seed of what the device writes */
#define CLEAN  0xc1eaull
#define SECRET 0x5ec3ull
#define BYTES  64u
#define DOMAIN 5u
#define OTHER  6u
#define IOVA   0x40201000ull /* where no RAM is, and not aligned to a superpage */

#define REASON_CONTEXT 2u /* fault reasons, legacy mode */
#define REASON_WRITE   5u
#define REASON_READ    6u

static u32 edu;
static u8 *page_a, *page_b;
static u64 table; /* second-stage table of DOMAIN */
static u32 levels, width;

enum flush { FLUSH_PAGE, FLUSH_DOMAIN, FLUSH_GLOBAL };
static const char *const flush_names[] = { "page", "domain", "global" };
static bool by_registers;

/* ---- flushing */

static void flushed(bool ok)
{
    if (!ok) {
        check("flush", false, "did not complete: FSTS 0x%x IQH 0x%lx IQT 0x%lx", vtd_read32(VTD_FSTS),
              vtd_read64(VTD_IQH), vtd_read64(VTD_IQT));
    }
}

static void flush_pages(enum flush kind, u32 domain, u64 iova, u32 order)
{
    u32 granularity = kind == FLUSH_PAGE ? IOTLB_PAGE : kind == FLUSH_DOMAIN ? IOTLB_DOMAIN : IOTLB_GLOBAL;
    u64 address = kind == FLUSH_PAGE ? iova : 0;

    order = kind == FLUSH_PAGE ? order : 0;
    if (by_registers) {
        flushed(vtd_iotlb_reg(granularity, domain, address, order));
        return;
    }
    vtd_put(desc_iotlb(granularity, domain, address, order));
    flushed(vtd_finish());
}

/* Context-cache, then the IOTLB of the domain that the entry had: 6.5.2.1 asks for both. */
static void flush_context(u32 granularity, u32 domain)
{
    u32 did = granularity == CC_GLOBAL ? 0 : domain, sid = granularity == CC_DEVICE ? edu : 0;

    if (by_registers) {
        flushed(vtd_ccmd(granularity, did, sid));
    } else {
        vtd_put(desc_cc(granularity, did, sid));
    }
    flush_pages(FLUSH_DOMAIN, domain, 0, 0);
}

/* ---- looking */

/* Lets the device write to `iova` and tells where it went: 'A', 'B', '-' nowhere, '?' somewhere else in them.
 */
static char lands(u64 iova)
{
    bool a, b;

    fill(page_a, PAGE_SIZE, CLEAN);
    fill(page_b, PAGE_SIZE, CLEAN);
    vtd_faults_clear();
    if (!edu_dma_to(iova, BYTES)) {
        return '!';
    }
    a = filled(page_a, BYTES, DATA);
    b = filled(page_b, BYTES, DATA);
    if ((!a && !filled(page_a, PAGE_SIZE, CLEAN)) || (!b && !filled(page_b, PAGE_SIZE, CLEAN)) || (a && b)) {
        return '?';
    }
    return a ? 'A' : b ? 'B' : '-';
}

static void expect(const char *name, u64 iova, char where)
{
    char got = lands(iova);

    check(name, got == where, "DMA to 0x%lx landed in '%c', not in '%c'", iova, got, where);
}

static void expect_record(u64 iova, u32 reason, bool read)
{
    struct vtd_fault f = { 0 };

    if (!vtd_fault_take(&f)) {
        check("fault-record", false, "none after DMA to 0x%lx; FSTS 0x%x", iova, vtd_read32(VTD_FSTS));
        return;
    }
    check("fault-record",
          f.sid == edu && f.reason == reason && f.address == (align_down(iova, PAGE_SIZE)) && f.read == read,
          "sid 0x%x reason %u address 0x%lx read %d; not 0x%x %u 0x%lx %d", f.sid, f.reason, f.address,
          f.read, edu, reason, align_down(iova, PAGE_SIZE), read);
}

/* The write must be stopped and the first fault record must say so. */
static void expect_fault(const char *name, u64 iova, u32 reason)
{
    char got = lands(iova);

    check(name, got == '-', "DMA to 0x%lx landed in '%c'", iova, got);
    expect_record(iova, reason, false);
}

/* ---- groups */

static void remap(enum flush kind, const char *how)
{
    part("remap/%s/%s", how, flush_names[kind]);
    vtd_map(table, levels, IOVA, (u64)page_a, PAGE_SIZE, PTE_R | PTE_W);
    flush_pages(kind, DOMAIN, IOVA, 0);
    expect("mapped", IOVA, 'A');
    vtd_map(table, levels, IOVA, (u64)page_b, PAGE_SIZE, PTE_R | PTE_W);
    flush_pages(kind, DOMAIN, IOVA, 0);
    expect("remapped", IOVA, 'B');
    vtd_map(table, levels, IOVA, 0, PAGE_SIZE, 0);
    flush_pages(kind, DOMAIN, IOVA, 0);
    part("remap/%s/%s/gone", how, flush_names[kind]);
    expect_fault("unmapped", IOVA, REASON_WRITE);
}

static void group_queue(void)
{
    for (u32 kind = FLUSH_PAGE; kind <= FLUSH_GLOBAL; kind++) {
        remap(kind, "queue");
    }
}

/* QIES=0: CCMD and IOTLB_REG. Hardware of major version 6 has them no more. */
static void group_registers(void)
{
    part("registers");
    check("queue-off", vtd_queue_off(), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    by_registers = true;
    for (u32 kind = FLUSH_PAGE; kind <= FLUSH_GLOBAL; kind++) {
        remap(kind, "registers");
    }
    part("registers/context");
    vtd_context_clear(edu);
    flush_context(CC_DEVICE, DOMAIN);
    expect_fault("context-gone", IOVA, REASON_CONTEXT);
    vtd_map(table, levels, IOVA, (u64)page_a, PAGE_SIZE, PTE_R | PTE_W);
    vtd_context(edu, TT_TABLE, width, table, DOMAIN);
    flush_context(CC_GLOBAL, DOMAIN);
    expect("context-back", IOVA, 'A');
    vtd_map(table, levels, IOVA, 0, PAGE_SIZE, 0);
    flush_pages(FLUSH_PAGE, DOMAIN, IOVA, 0);
    by_registers = false;
    check("queue-on", vtd_queue_on(0), "GSTS 0x%x", vtd_read32(VTD_GSTS));
}

/* Reading, permissions, many pages in one flush. */
static void group_pages(void)
{
    u64 back = IOVA + 0x10000;

    part("pages/permissions");
    vtd_map(table, levels, IOVA, (u64)page_a, PAGE_SIZE, PTE_R);
    vtd_map(table, levels, IOVA + 0x1000, (u64)page_b, PAGE_SIZE, PTE_W);
    flush_pages(FLUSH_PAGE, DOMAIN, IOVA - 0x1000, 2);
    expect_fault("read-only", IOVA, REASON_WRITE);
    expect("write-only", IOVA + 0x1000, 'B');
    /* Flushed again: the emulated unit records no fault when the translation that forbids the read is cached.
     */
    flush_pages(FLUSH_PAGE, DOMAIN, IOVA + 0x1000, 0);
    vtd_faults_clear();
    edu_dma_from(IOVA + 0x1000, BYTES);
    expect_record(IOVA + 0x1000, REASON_READ, true);

    part("pages/read");
    fill(page_a, PAGE_SIZE, SECRET);
    vtd_map(table, levels, back, (u64)page_b, PAGE_SIZE, PTE_R | PTE_W);
    flush_pages(FLUSH_PAGE, DOMAIN, back, 0);
    check("dma", edu_dma_from(IOVA, BYTES) && edu_dma_to(back, BYTES), "the device does not answer");
    check("data", filled(page_b, BYTES, SECRET), "what came back is not what was there");
    fill(page_a, PAGE_SIZE, DATA);
    check("prime", edu_dma_from(IOVA, BYTES), "the device does not answer");

    part("pages/range");
    for (u32 i = 0; i < 16; i++) {
        vtd_map(table, levels, IOVA - 0x1000 + i * PAGE_SIZE, i == 15 ? (u64)page_b : 0, PAGE_SIZE,
                i == 15 ? PTE_R | PTE_W : 0);
    }
    flush_pages(FLUSH_PAGE, DOMAIN, IOVA - 0x1000, 4);
    expect_fault("first", IOVA, REASON_WRITE);
    expect("last", IOVA + 0xe000, 'B');
    vtd_map(table, levels, IOVA + 0xe000, 0, PAGE_SIZE, 0);
    vtd_map(table, levels, back, 0, PAGE_SIZE, 0);
    flush_pages(FLUSH_DOMAIN, DOMAIN, 0, 0);
}

/* A superpage maps, moves, and is split; then what it covered elsewhere is gone too. */
static void group_super(void)
{
    u64 base = 0x80000000ull, in_a = (u64)page_a & (SIZE_2M - 1), in_b = (u64)page_b & (SIZE_2M - 1);
    u64 lower;

    part("super/2M");
    if (!(vtd_cap & BIT(34))) {
        skip("2M", "the unit has no 2 MiB pages");
    } else {
        vtd_map(table, levels, base, align_down((u64)page_a, SIZE_2M), SIZE_2M, PTE_R | PTE_W);
        flush_pages(FLUSH_PAGE, DOMAIN, base, 9);
        expect("mapped", base + in_a, 'A');
        vtd_map(table, levels, base, align_down((u64)page_b, SIZE_2M), SIZE_2M, PTE_R | PTE_W);
        flush_pages(FLUSH_PAGE, DOMAIN, base, 9);
        expect("moved", base + in_b, 'B');

        /* Split: one small page stays, the rest is gone. */
        lower = (u64)page_alloc(1);
        ((volatile u64 *)lower)[in_a >> 12] = (u64)page_a | PTE_R | PTE_W;
        *vtd_leaf(table, levels, base, SIZE_2M) = lower | PTE_R | PTE_W;
        flush_pages(FLUSH_PAGE, DOMAIN, base, 9);
        expect("split", base + in_a, 'A');
        expect_fault("split-rest", base + in_b, REASON_WRITE);
        vtd_map(table, levels, base, 0, SIZE_2M, 0);
        flush_pages(FLUSH_PAGE, DOMAIN, base, 9);
        expect_fault("gone", base + in_a, REASON_WRITE);
    }

    part("super/1G");
    if (!(vtd_cap & BIT(35))) {
        skip("1G", "the unit has no 1 GiB pages");
        return;
    }
    vtd_map(table, levels, 0xc0000000ull, align_down((u64)page_a, SIZE_1G), SIZE_1G, PTE_R | PTE_W);
    flush_pages(FLUSH_DOMAIN, DOMAIN, 0, 0);
    expect("mapped", 0xc0000000ull + ((u64)page_a & (SIZE_1G - 1)), 'A');
    expect("mapped-b", 0xc0000000ull + ((u64)page_b & (SIZE_1G - 1)), 'B');
    vtd_map(table, levels, 0xc0000000ull, 0, SIZE_1G, 0);
    flush_pages(FLUSH_DOMAIN, DOMAIN, 0, 0);
    expect_fault("gone", 0xc0000000ull + ((u64)page_a & (SIZE_1G - 1)), REASON_WRITE);
}

/* 3 and 4 levels, as far as SAGAW goes; the high address exists only in the deeper table. */
static void group_levels(void)
{
    for (u32 l = 3; l <= 4; l++) {
        u32 bits = (u32)(vtd_cap >> 16 & 0x3f) + 1; /* MGAW: more than the table may be out of reach */
        u64 high = (1ull << (bits < 12 + 9 * l ? bits : 12 + 9 * l)) - 0x200000;
        u64 other = (u64)page_alloc(1);

        part("levels/%u", l);
        if (!(vtd_cap >> 8 & BIT(l - 2))) {
            skip("depth", "the unit does not have it");
            continue;
        }
        vtd_map(other, l, high, (u64)page_b, PAGE_SIZE, PTE_R | PTE_W);
        vtd_context(edu, TT_TABLE, l - 2, other, OTHER);
        flush_context(CC_DEVICE, DOMAIN);
        flush_pages(FLUSH_DOMAIN, OTHER, 0, 0);
        expect("high-address", high, 'B');
        vtd_map(other, l, high, (u64)page_a, PAGE_SIZE, PTE_R | PTE_W);
        flush_pages(FLUSH_PAGE, OTHER, high, 0);
        expect("moved", high, 'A');
    }
    vtd_context(edu, TT_TABLE, width, table, DOMAIN);
    flush_context(CC_DEVICE, OTHER);
    flush_pages(FLUSH_DOMAIN, DOMAIN, 0, 0);
}

static void group_context(void)
{
    static const char *const names[] = { "", "global", "domain", "device" };
    u64 other = (u64)page_alloc(1);

    vtd_map(table, levels, IOVA, (u64)page_a, PAGE_SIZE, PTE_R | PTE_W);
    vtd_map(other, levels, IOVA, (u64)page_b, PAGE_SIZE, PTE_R | PTE_W);
    flush_pages(FLUSH_PAGE, DOMAIN, IOVA, 0);
    flush_pages(FLUSH_PAGE, OTHER, IOVA, 0);
    for (u32 g = CC_GLOBAL; g <= CC_DEVICE; g++) {
        part("context/%s", names[g]);
        vtd_context(edu, TT_TABLE, width, other, OTHER);
        flush_context(g, DOMAIN);
        expect("other-domain", IOVA, 'B');
        vtd_context(edu, TT_TABLE, width, table, DOMAIN);
        flush_context(g, OTHER);
        expect("back", IOVA, 'A');
    }

    part("context/same-domain-id");
    /* The domain gets another table and keeps its number. */
    vtd_context(edu, TT_TABLE, width, other, DOMAIN);
    flush_context(CC_DEVICE, DOMAIN);
    expect("other-table", IOVA, 'B');

    part("context/gone");
    vtd_context_clear(edu);
    flush_context(CC_DEVICE, DOMAIN);
    expect_fault("not-present", IOVA, REASON_CONTEXT);

    part("context/pass-through");
    if (vtd_ecap & BIT(6)) {
        vtd_context(edu, TT_PASS, width, 0, OTHER);
        flush_context(CC_DEVICE, OTHER);
        expect("identity", (u64)page_b, 'B');
    } else {
        skip("identity", "the unit has no pass-through");
    }
    vtd_context(edu, TT_TABLE, width, table, DOMAIN);
    flush_context(CC_DEVICE, OTHER);
    expect("table-again", IOVA, 'A');
    vtd_map(table, levels, IOVA, 0, PAGE_SIZE, 0);
    flush_pages(FLUSH_PAGE, DOMAIN, IOVA, 0);
}

/* Translation off: memory as it is, without any table. And a root table that is exchanged. */
static void group_off(void)
{
    u64 root = vtd_root;

    part("off/identity");
    check("te-off", vtd_command(GSTS_TE, false), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    expect("identity", (u64)page_a, 'A');
    check("te-on", vtd_command(GSTS_TE, true), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    expect_fault("tables-again", (u64)page_a, REASON_WRITE);

    part("off/root");
    vtd_tables_reset();
    check("srtp", vtd_root_set(), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    flush_context(CC_GLOBAL, DOMAIN);
    flush_pages(FLUSH_GLOBAL, 0, 0, 0);
    check("empty-root", lands(IOVA) == '-', "an empty root table lets DMA through");
    vtd_root = root;
    vtd_map(table, levels, IOVA, (u64)page_a, PAGE_SIZE, PTE_R | PTE_W);
    check("srtp-back", vtd_root_set(), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    flush_context(CC_GLOBAL, DOMAIN);
    flush_pages(FLUSH_GLOBAL, 0, 0, 0);
    expect("old-root", IOVA, 'A');
    vtd_map(table, levels, IOVA, 0, PAGE_SIZE, 0);
    flush_pages(FLUSH_PAGE, DOMAIN, IOVA, 0);
}

/* A second device in the same domain: with the same table, and (no guest should) with another one. */
static void group_shared(void)
{
    u64 other = (u64)page_alloc(1);
    u32 second;

    part("shared/same-table");
    if (!edu_find(1, &second)) {
        skip("second-device", "there is none");
        return;
    }
    edu_use(1);
    vtd_map(table, levels, IOVA, (u64)page_a, PAGE_SIZE, PTE_R | PTE_W);
    vtd_context(second, TT_TABLE, width, table, DOMAIN);
    flush_context(CC_GLOBAL, DOMAIN);
    fill(page_a, PAGE_SIZE, DATA);
    check("prime", edu_dma_from(IOVA, BYTES), "the device does not answer");
    expect("second", IOVA, 'A');
    edu_use(0);
    expect("first", IOVA, 'A');
    vtd_map(table, levels, IOVA, (u64)page_b, PAGE_SIZE, PTE_R | PTE_W);
    flush_pages(FLUSH_PAGE, DOMAIN, IOVA, 0);
    expect("first-moved", IOVA, 'B');
    edu_use(1);
    expect("second-moved", IOVA, 'B');

    part("shared/same-domain-id");
    vtd_map(other, levels, IOVA, (u64)page_a, PAGE_SIZE, PTE_R | PTE_W);
    vtd_context(second, TT_TABLE, width, other, DOMAIN);
    flush_context(CC_GLOBAL, DOMAIN);
    expect("second", IOVA, 'A');
    edu_use(0);
    expect("first", IOVA, 'B');
    vtd_map(other, levels, IOVA, 0, PAGE_SIZE, 0);
    vtd_map(table, levels, IOVA, 0, PAGE_SIZE, 0);
    flush_pages(FLUSH_PAGE, DOMAIN, IOVA, 0);
    check("first-gone", lands(IOVA) == '-', "DMA came through");
    edu_use(1);
    check("second-gone", lands(IOVA) == '-', "DMA came through");

    part("shared/moved-without-flush");
    vtd_map(table, levels, IOVA, (u64)page_a, PAGE_SIZE, PTE_R | PTE_W);
    vtd_context(second, TT_TABLE, width, table, DOMAIN);
    flush_context(CC_GLOBAL, DOMAIN);
    expect("second", IOVA, 'A');
    vtd_context(second, TT_TABLE, width, table, OTHER); /* and the caches keep the old entry */
    vtd_map(table, levels, IOVA, 0, PAGE_SIZE, 0);
    flush_pages(FLUSH_DOMAIN, DOMAIN, 0, 0);
    check("second-gone", lands(IOVA) == '-', "DMA came through");
    vtd_context_clear(second);
    flush_context(CC_GLOBAL, OTHER);
    edu_use(0);
}

static const struct {
    const char *name;
    void (*run)(void);
} groups[] = {
    { "queue", group_queue }, { "registers", group_registers }, { "pages", group_pages },
    { "super", group_super }, { "levels", group_levels },       { "context", group_context },
    { "off", group_off },     { "shared", group_shared },
};

void guest_main(void)
{
    if (!edu_find(0, &edu) || !vtd_find()) {
        check("setup", false, "edu 0x%x, unit at 0x%lx", edu, vtd_base);
        return;
    }
    print("I: edu-sid 0x%x cap 0x%lx ecap 0x%lx\n", edu, vtd_cap, vtd_ecap);
    /* In two different 2 MiB blocks, at different offsets. */
    page_a = (u8 *)page_alloc_aligned(1, SIZE_2M) + 0;
    page_b = (u8 *)page_alloc_aligned(2, SIZE_2M) + PAGE_SIZE;
    /* `high`: at the end of the last RAM range, which nobody else uses. */
    for (u32 i = 0; option("high") && i < memory_ranges; i++) {
        const struct memory_range *r = &memory_map[i];

        if (r->type == 1 && r->base >= 1ull << 32) {
            page_a = (u8 *)align_down(r->base + r->bytes - SIZE_2M, SIZE_2M);
            page_b = (u8 *)align_down(r->base + r->bytes - 2 * SIZE_2M, SIZE_2M) + PAGE_SIZE;
        }
    }
    print("I: pages 0x%lx 0x%lx\n", (u64)page_a, (u64)page_b);

    part("start");
    fill(page_a, PAGE_SIZE, DATA);
    check("dma-before", edu_dma_from((u64)page_a, BYTES), "the device does not answer");
    expect("identity", (u64)page_b, 'B');

    levels = vtd_cap & BIT(10) ? 4 : 3;
    width = levels - 2;
    table = (u64)page_alloc(1);
    vtd_tables_reset();
    vtd_context(edu, TT_TABLE, width, table, DOMAIN);
    check("queue-on", vtd_queue_on(0), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    check("root", vtd_root_set(), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    flush_context(CC_GLOBAL, DOMAIN);
    flush_pages(FLUSH_GLOBAL, 0, 0, 0);
    check("te-on", vtd_command(GSTS_TE, true), "GSTS 0x%x", vtd_read32(VTD_GSTS));

    for (u32 i = 0; i < ARRAY_SIZE(groups); i++) {
        if (streq(option_value("case", groups[i].name), groups[i].name)) {
            groups[i].run();
        }
    }
    part("end");
    check("te-off", vtd_command(GSTS_TE, false), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    check("queue-off", vtd_queue_off(), "GSTS 0x%x", vtd_read32(VTD_GSTS));
}
