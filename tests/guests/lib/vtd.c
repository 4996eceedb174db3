/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's VT-d driver: unit, queue, tables, faults.
 */
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/vtd.h"

#define SHOW_MS 1000 /* a healthy unit answers within microseconds */

u64 vtd_base, vtd_cap, vtd_ecap, vtd_root;
volatile u32 *vtd_status;
struct vtd_desc *vtd_queue;
u32 vtd_queue_entries, vtd_tail;

static u32 cookie = 0x51000000;

/* ---- finding */

/* First remapping structure of a type in the DMAR, NULL when there is none. */
static const u8 *dmar_structure(u16 type)
{
    const u8 *dmar = acpi_table("DMAR");
    u32 length;

    if (!dmar) {
        return NULL;
    }
    memcpy(&length, dmar + 4, sizeof(length));
    for (u32 at = 48; at + 4 <= length;) {
        u16 head[2];

        memcpy(head, dmar + at, sizeof(head));
        if (head[0] == type) {
            return dmar + at;
        }
        if (head[1] < 4) {
            return NULL;
        }
        at += head[1];
    }
    return NULL;
}

bool vtd_find(void)
{
    const u8 *drhd = dmar_structure(0);

    if (!drhd) {
        return false;
    }
    memcpy(&vtd_base, drhd + 8, sizeof(vtd_base));
    vtd_cap = vtd_read64(VTD_CAP);
    vtd_ecap = vtd_read64(VTD_ECAP);
    if (!vtd_status) {
        vtd_status = page_alloc(1);
    }
    return true;
}

bool vtd_has_atsr(void)
{
    return dmar_structure(2) != NULL;
}

u32 vtd_read32(u32 reg)
{
    return mmio_read32(vtd_base + reg);
}

u64 vtd_read64(u32 reg)
{
    return mmio_read64(vtd_base + reg);
}

void vtd_write32(u32 reg, u32 v)
{
    mmio_write32(vtd_base + reg, v);
}

void vtd_write64(u32 reg, u64 v)
{
    mmio_write64(vtd_base + reg, v);
}

static bool status_is(u32 mask, u32 want)
{
    u64 deadline = deadline_in_ms(SHOW_MS);

    while ((vtd_read32(VTD_GSTS) & mask) != want) {
        if (deadline_over(deadline)) {
            return false;
        }
        relax();
    }
    return true;
}

bool vtd_command(u32 bit, bool on)
{
    /* One-shot bits read back in GSTS and must not be written again. */
    u32 now = vtd_read32(VTD_GSTS) & 0x96ffffff;

    vtd_write32(VTD_GCMD, on ? now | bit : now & ~bit);
    return status_is(bit, on ? bit : 0);
}

/* ---- queue */

bool vtd_queue_on(u32 qs)
{
    if (vtd_read32(VTD_GSTS) & GSTS_QI && !vtd_queue_off()) {
        return false;
    }
    vtd_queue = page_alloc(1u << qs);
    vtd_queue_entries = 256u << qs;
    vtd_tail = 0;
    vtd_write64(VTD_IQT, 0);
    vtd_write64(VTD_IQA, (u64)vtd_queue | qs);
    return vtd_command(GSTS_QI, true);
}

bool vtd_queue_off(void)
{
    return vtd_command(GSTS_QI, false);
}

struct vtd_desc desc_cc(u32 granularity, u32 domain, u32 sid)
{
    return (struct vtd_desc){ 1 | granularity << 4 | (u64)domain << 16 | (u64)sid << 32, 0 };
}

struct vtd_desc desc_iotlb(u32 granularity, u32 domain, u64 address, u32 order)
{
    /* Drain reads and writes: bits 7 and 6. */
    return (struct vtd_desc){ 2 | granularity << 4 | 0xc0 | (u64)domain << 16, address | order };
}

struct vtd_desc desc_dev(u32 sid, u64 address, u32 order)
{
    u64 hi = address & ~0xfffull;

    if (order >= 52) {
        hi = ~0ull >> 13 << 12 | 1; /* S and all address bits but the highest */
    } else if (order) {
        hi &= ~((1ull << (12 + order)) - 1);
        hi |= ((1ull << (order - 1)) - 1) << 12 | 1;
    }
    return (struct vtd_desc){ 3 | (u64)sid << 32, hi };
}

struct vtd_desc desc_wait(u32 data, u64 address)
{
    return (struct vtd_desc){ 5 | 0x20 | (u64)data << 32, address };
}

void vtd_put(struct vtd_desc d)
{
    volatile struct vtd_desc *slot = &vtd_queue[vtd_tail];

    slot->hi = d.hi;
    slot->lo = d.lo;
    vtd_tail = (vtd_tail + 1) % vtd_queue_entries;
}

void vtd_ring(void)
{
    vtd_write64(VTD_IQT, (u64)vtd_tail << 4);
}

u32 vtd_next_cookie(void)
{
    return ++cookie;
}

bool vtd_wait_status(u32 data, u32 ms)
{
    u64 deadline = deadline_in_ms(ms);

    while (*vtd_status != data) {
        if (deadline_over(deadline)) {
            return false;
        }
        relax();
    }
    return true;
}

bool vtd_finish(void)
{
    u32 data = vtd_next_cookie();

    vtd_put(desc_wait(data, (u64)vtd_status));
    vtd_ring();
    return vtd_wait_status(data, SHOW_MS);
}

/* ---- registers */

static bool clear_comes(u32 reg)
{
    u64 deadline = deadline_in_ms(SHOW_MS);

    while (vtd_read64(reg) & BIT(63)) {
        if (deadline_over(deadline)) {
            return false;
        }
        relax();
    }
    return true;
}

/* The registers' granularities count the same way: 1 global, 2 domain, 3 device or page. */
bool vtd_ccmd(u32 granularity, u32 domain, u32 sid)
{
    vtd_write64(VTD_CCMD, BIT(63) | (u64)granularity << 61 | (u64)sid << 16 | domain);
    return clear_comes(VTD_CCMD);
}

bool vtd_iotlb_reg(u32 granularity, u32 domain, u64 address, u32 order)
{
    u32 iva = (u32)(vtd_ecap >> 8 & 0x3ff) * 16;

    vtd_write64(iva, address | order);
    vtd_write64(iva + 8, BIT(63) | (u64)granularity << 60 | 3ull << 48 | (u64)domain << 32);
    return clear_comes(iva + 8);
}

/* ---- tables */

void vtd_tables_reset(void)
{
    vtd_root = (u64)page_alloc(1);
}

bool vtd_root_set(void)
{
    vtd_write64(VTD_RTADDR, vtd_root);
    return vtd_command(GSTS_RTP, true);
}

volatile u64 *vtd_context_entry(u32 sid)
{
    volatile u64 *root = (volatile u64 *)vtd_root + 2 * (sid >> 8);

    if (!(*root & 1)) {
        *root = (u64)page_alloc(1) | 1;
    }
    return (volatile u64 *)(*root & ~0xfffull) + 2 * (sid & 0xff);
}

void vtd_context(u32 sid, u32 tt, u32 aw, u64 table, u32 domain)
{
    volatile u64 *entry = vtd_context_entry(sid);

    entry[0] = 0;
    entry[1] = (u64)domain << 8 | aw;
    entry[0] = table | tt << 2 | 1;
}

void vtd_context_clear(u32 sid)
{
    volatile u64 *entry = vtd_context_entry(sid);

    entry[0] = 0;
    entry[1] = 0;
}

volatile u64 *vtd_leaf(u64 table, u32 levels, u64 iova, u64 bytes)
{
    for (u32 level = levels;; level--) {
        u32 shift = 12 + 9 * (level - 1);
        volatile u64 *entry = (volatile u64 *)table + (iova >> shift & 511);

        if (1ull << shift == bytes) {
            return entry;
        }
        if (!(*entry & 3)) {
            *entry = (u64)page_alloc(1) | PTE_R | PTE_W;
        }
        table = *entry & 0x000ffffffffff000ull;
    }
}

void vtd_map(u64 table, u32 levels, u64 iova, u64 address, u64 bytes, u32 permissions)
{
    volatile u64 *leaf = vtd_leaf(table, levels, iova, bytes);

    *leaf = permissions ? address | permissions | (bytes > PAGE_SIZE ? 0x80 : 0) : 0;
}

/* ---- faults */

static u32 fault_base(void)
{
    return (u32)(vtd_cap >> 24 & 0x3ff) * 16;
}

bool vtd_fault_take(struct vtd_fault *f)
{
    u32 records = (u32)(vtd_cap >> 40 & 0xff) + 1, first = vtd_read32(VTD_FSTS) >> 8 & 0xff, at = 0;
    u64 hi = 0;

    /* From the first pending one on; those that were taken before are clear. */
    for (u32 i = 0; i < records && !(hi & BIT(63)); i++) {
        at = fault_base() + 16 * ((first + i) % records);
        hi = vtd_read64(at + 8);
    }
    if (!(hi & BIT(63))) {
        return false;
    }
    f->address = vtd_read64(at) & ~0xfffull;
    f->sid = hi & 0xffff;
    f->reason = hi >> 32 & 0xff;
    f->read = hi >> 62 & 1;
    vtd_write32(at + 12, 1u << 31);
    vtd_write32(VTD_FSTS, FSTS_PFO);
    return true;
}

void vtd_faults_clear(void)
{
    struct vtd_fault f;
    u32 records = (u32)(vtd_cap >> 40 & 0xff) + 1;

    for (u32 i = 0; i < records; i++) {
        vtd_write32(fault_base() + 16 * i + 12, 1u << 31);
    }
    while (vtd_fault_take(&f) && records--) {
    }
    vtd_write32(VTD_FSTS, FSTS_PFO);
}
