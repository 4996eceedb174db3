/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * Line 36: firmware's DMAR, good, odd and broken; which unit serves whom, and who may use ATS.
 */
#include "iommu/parts.h"
#include "tests/unit/world_test.h"

static u8 table[0x10001];
static size_t size;

static size_t put(size_t at, unsigned n, u64 value)
{
    for (unsigned i = 0; i < n; i++)
        table[at + i] = (u8)(value >> (8 * i));
    return at + n;
}

static void begin(void)
{
    memset(table, 0, sizeof(table));
    memcpy(table, "DMAR", 4);
    table[36] = 45;
    size = 48;
}

/* Returns where the structure begins. */
static size_t drhd(u8 flags, u8 pages, u16 segment, u64 base)
{
    size_t start = size;

    size = put(put(put(put(put(put(size, 2, 0), 2, 16), 1, flags), 1, pages), 2, segment), 8, base);
    return start;
}

static size_t structure(u16 type, u16 length)
{
    size_t start = size;

    put(put(size, 2, type), 2, length);
    size += length;
    return start;
}

static void scope(size_t owner, u8 type, u8 bus, unsigned hops, const u8 *path)
{
    size_t at = size;

    at = put(put(put(put(at, 1, type), 1, 6 + 2 * hops), 3, 0), 1, bus);
    for (unsigned i = 0; i < hops * 2; i++)
        at = put(at, 1, path[i]);
    size = at;
    put(owner + 2, 2, size - owner);
}

/* Parses an exact copy, so that a read beyond its end is seen. */
static int parse_next(void)
{
    u8 *copy;
    int err;

    put(4, 4, size);
    dmar_checksum(table, size);
    W.warnings = 0;
    copy = malloc(size);
    memcpy(copy, table, size);
    err = iommu_parse(copy, size);
    free(copy);
    assert_int_equal(W.warnings, err ? 1 : 0); /* one line says what is wrong */
    return err;
}

static int parse(void)
{
    world_boot(&(struct world_cfg){ 0 });
    return parse_next();
}

static void good_tables(void **state)
{
    u64 base, bytes;
    size_t d, ioapic;
    u16 segment, sid;

    (void)state;
    begin();
    d = drhd(0, 0, 0, UNIT_BASE);
    scope(d, 1, 0, 1, (u8[]){ 2, 0 });
    ioapic = size;
    scope(d, 3, 0xf0, 1, (u8[]){ 0x1f, 7 });
    put(ioapic + 4, 1, 2);
    /* an HPET; what has no type and an ACPI device are skipped */
    scope(d, 4, 0xf0, 1, (u8[]){ 0xf, 0 });
    scope(d, 0, 0, 1, (u8[]){ 4, 0 });
    scope(d, 5, 0, 1, (u8[]){ 3, 0 });
    drhd(1, 2, 0, UNIT_BASE + 0x4000);
    drhd(1, 0, 1, UNIT_BASE + 0x9000);
    structure(3, 20); /* RHSA */
    structure(4, 32); /* ANDD */
    structure(0x77, 4);
    d = structure(2, 8); /* ATSR */
    scope(d, 2, 0, 1, (u8[]){ 0x1c, 0 });
    d = structure(2, 8); /* all ports of segment 1 */
    put(d + 4, 1, 1);
    put(d + 6, 2, 1);
    d = structure(5, 8); /* SATC */
    scope(d, 1, 0, 1, (u8[]){ 2, 0 });
    assert_int_equal(parse(), 0);
    assert_int_equal(nr_units, 3);
    assert_true(iommu_window(1, &base, &bytes));
    assert_int_equal(base, UNIT_BASE + 0x4000);
    assert_int_equal(bytes, 0x4000);
    assert_false(iommu_window(3, &base, &bytes));
    assert_ptr_equal(unit_of(0, 2 << 3), units[0]);
    assert_ptr_equal(unit_of(0, 2 << 3 | 1), units[1]);
    assert_ptr_equal(unit_of(0, 3 << 3), units[1]); /* an ACPI device's scope is not a PCI function's */
    assert_ptr_equal(unit_of(0, 4 << 3), units[1]);
    assert_ptr_equal(unit_of(1, 2 << 3), units[2]);
    assert_null(unit_of(2, 2 << 3));
    assert_true(iommu_chipset(IOMMU_IOAPIC, 2, &segment, &sid));
    assert_int_equal(segment, 0);
    assert_int_equal(sid, 0xf0ff);
    assert_ptr_equal(unit_of(0, 0xf0ff), units[0]);
    assert_false(iommu_chipset(IOMMU_IOAPIC, 0, &segment, &sid));
    assert_true(iommu_chipset(IOMMU_HPET, 0, &segment, &sid));
    assert_int_equal(sid, 0xf078);
    assert_ptr_equal(unit_of(0, 0xf078), units[0]);
    assert_false(iommu_chipset(IOMMU_HPET, 2, &segment, &sid));
    assert_true(dmar_ats_listed(0, 0x1c << 3));
    assert_true(dmar_ats_listed(0, 0x0100));
    assert_false(dmar_ats_listed(0, 0x0208));
    assert_true(dmar_ats_listed(0, 2 << 3));
    assert_true(dmar_ats_listed(1, 0x4321));
    assert_false(dmar_ats_listed(2, 0x0100));
}

/* The path of a scope leads through bridges, whose bus numbers are read. */
static void paths_through_bridges(void **state)
{
    size_t d;

    (void)state;
    begin();
    d = drhd(0, 0, 0, UNIT_BASE);
    scope(d, 1, 0, 2, (u8[]){ 0x1d, 0, 5, 1 }); /* bus 2, device 5, function 1 */
    d = drhd(0, 0, 0, UNIT_BASE + 0x1000);
    scope(d, 2, 0, 1, (u8[]){ 0x1d, 0 }); /* all that is behind it: buses 2 and 3 */
    drhd(1, 0, 0, UNIT_BASE + 0x2000);
    assert_int_equal(parse(), 0);
    assert_ptr_equal(unit_of(0, 2 << 8 | 5 << 3 | 1), units[0]);
    assert_ptr_equal(unit_of(0, 2 << 8 | 5 << 3), units[1]);
    assert_ptr_equal(unit_of(0, 3 << 8), units[1]);
    assert_ptr_equal(unit_of(0, 0x1d << 3), units[1]); /* the bridge itself */
    assert_ptr_equal(unit_of(0, 1 << 8), units[2]);
    assert_ptr_equal(unit_of(0, 4 << 8), units[2]);
    assert_ptr_equal(unit_of(0, 0), units[2]);
}

static void rmrrs(void **state)
{
    u64 base, bytes;
    size_t r;

    (void)state;
    begin();
    drhd(1, 0, 0, UNIT_BASE);
    r = structure(1, 24);
    put(put(r + 8, 8, 0x7c000000), 8, 0x7c7fffff);
    scope(r, 1, 0, 1, (u8[]){ 2, 0 });
    assert_int_equal(parse(), 0);
    assert_true(iommu_rmrr(0, &base, &bytes));
    assert_int_equal(base, 0x7c000000);
    assert_int_equal(bytes, 0x800000);
    assert_false(iommu_rmrr(1, &base, &bytes));
    static const u64 bad[][2] = { { 0x7c000000, 0x7bffffff },
                                  { 0x7c000001, 0x7cffffff },
                                  { 0x7c000000, 0x7c000ffe },
                                  { 0, ~0ull },
                                  { 0x7c000000, 0x7c000000 } };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        put(put(r + 8, 8, bad[i][0]), 8, bad[i][1]);
        assert_int_not_equal(parse(), 0);
    }
}

static void hostile_36_broken_tables(void **state)
{
    size_t d, good;

    (void)state;
    begin();
    assert_int_not_equal(parse(), 0); /* no unit at all */
    size = 47;
    assert_int_not_equal(parse(), 0);
    for (unsigned length = 0; length < 16; length++) { /* a DRHD that is too short, at the very end */
        begin();
        drhd(1, 0, 0, UNIT_BASE);
        put(50, 2, length);
        size = 48 + (length < 4 ? 4 : length);
        assert_int_not_equal(parse(), 0);
    }
    begin();
    drhd(1, 0, 0, UNIT_BASE);
    put(50, 2, 17); /* longer than the table */
    assert_int_not_equal(parse(), 0);
    put(50, 2, 0xffff);
    assert_int_not_equal(parse(), 0);
    for (unsigned left = 1; left < 4; left++) { /* a few bytes too many */
        begin();
        drhd(1, 0, 0, UNIT_BASE);
        size += left;
        assert_int_not_equal(parse(), 0);
    }
    static const u16 short_ones[][2] = { { 1, 8 }, { 1, 23 }, { 2, 4 }, { 2, 7 }, { 5, 6 } };
    for (unsigned i = 0; i < ARRAY_SIZE(short_ones); i++) {
        begin();
        drhd(1, 0, 0, UNIT_BASE);
        structure(short_ones[i][0], short_ones[i][1]);
        assert_int_not_equal(parse(), 0);
    }
    /* scopes: zero length, too short, odd, overlong */
    static const u8 lengths[] = { 0, 1, 5, 6, 7, 9, 10, 200, 255 };
    for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
        begin();
        d = drhd(0, 0, 0, UNIT_BASE);
        scope(d, 1, 0, 1, (u8[]){ 2, 0 });
        put(d + 17, 1, lengths[i]);
        assert_int_not_equal(parse(), 0);
    }
    begin();
    d = drhd(0, 0, 0, UNIT_BASE);
    scope(d, 1, 0, 2, (u8[]){ 2, 0, 3, 0 });
    put(d + 17, 1, 9);
    assert_int_not_equal(parse(), 0);
    for (unsigned cut = 1; cut < 8; cut++) { /* the structure ends inside a scope */
        begin();
        d = drhd(0, 0, 0, UNIT_BASE);
        scope(d, 1, 0, 1, (u8[]){ 2, 0 });
        put(d + 2, 2, 16 + cut);
        size = d + 16 + cut;
        assert_int_not_equal(parse(), 0);
    }
    /* two INCLUDE_ALL in one segment; two units with the same registers; odd register addresses */
    begin();
    drhd(1, 0, 0, UNIT_BASE);
    drhd(1, 0, 0, UNIT_BASE + 0x1000);
    assert_int_not_equal(parse(), 0);
    begin();
    drhd(0, 3, 0, UNIT_BASE);
    drhd(1, 0, 0, UNIT_BASE + 0x7000);
    assert_int_not_equal(parse(), 0);
    static const u64 bases[] = { 0, UNIT_BASE + 8, 0xfffffffffffff800ull };
    for (unsigned i = 0; i < ARRAY_SIZE(bases); i++) {
        begin();
        drhd(1, 0, 0, bases[i]);
        assert_int_not_equal(parse(), 0);
    }
    begin();
    drhd(1, 1, 0, 0xfffffffffffff000ull);
    assert_int_not_equal(parse(), 0);
    /* a bad checksum */
    begin();
    drhd(1, 0, 0, UNIT_BASE);
    assert_int_equal(parse(), 0);
    good = size;
    table[40] ^= 1;
    assert_int_not_equal(iommu_parse(table, good), 0);
}

/* Unknown structures up to this size; the very last byte is not 0. */
static void fill(size_t to)
{
    while (size < to)
        structure(0x77, (u16)MIN(to - size, (size_t)0x8000));
    table[size - 1] = 0x5a;
}

/* Sizes on either side of what is allowed, each refused by the check that is about it. */
static void hostile_36_lengths(void **state)
{
    static const struct {
        size_t size;
        const char *what;
    } bad[] = { { 20, ": length" },
                { 47, ": length" },
                { 48, ": no remapping unit" },
                { 51, ": structure length" },
                { 0x10001, ": length" } };
    static const u8 in_another[] = { 0x77, 0, 3, 0, 0x77, 4, 0 }; /* a structure begins in the one before */
    size_t d;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        begin();
        if (bad[i].size > 64) {
            drhd(1, 0, 0, UNIT_BASE);
            fill(bad[i].size);
        }
        size = bad[i].size;
        assert_int_not_equal(parse(), 0);
        assert_non_null(strstr(W.last_log, bad[i].what));
    }
    begin();
    drhd(1, 0, 0, UNIT_BASE);
    structure(2, 8); /* an ATSR that names nobody */
    fill(0x10000 - 4);
    structure(0x77, 4);
    assert_int_equal(parse(), 0);
    begin();
    drhd(1, 0, 0, UNIT_BASE);
    fill(100);
    assert_int_equal(parse(), 0);
    begin();
    drhd(1, 0, 0, UNIT_BASE);
    memcpy(&table[size], in_another, sizeof(in_another));
    size += sizeof(in_another);
    assert_int_not_equal(parse(), 0);
    /* a structure that is one byte longer than what is left of the table */
    begin();
    drhd(1, 0, 0, UNIT_BASE);
    structure(0x77, 16);
    size--;
    assert_int_not_equal(parse(), 0);
    /* a scope that is one byte longer than what is left of its structure, and of the table */
    begin();
    d = drhd(0, 0, 0, UNIT_BASE);
    scope(d, 1, 0, 2, (u8[]){ 2, 0, 0, 0 });
    size--;
    put(d + 2, 2, size - d);
    assert_int_not_equal(parse(), 0);
}

/* Bits that the host's addresses do not have; a width that cannot be takes none away. */
static void address_widths(void **state)
{
    static const struct {
        u8 width; /* - 1 */
        u64 beyond;
    } t[] = { { 30, 0 },
              { 31, 0xfffff00000000 },
              { 38, 0xfff8000000000 },
              { 50, 0x8000000000000 },
              { 51, 0 },
              { 63, 0 },
              { 255, 0 } };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        begin();
        drhd(1, 0, 0, UNIT_BASE);
        table[36] = t[i].width;
        assert_int_equal(parse(), 0);
        assert_int_equal(beyond_host, t[i].beyond);
    }
}

/* As many as there may be of each, and one more; the last one counts like the others. */
static void as_many_as_fit(void **state)
{
    static const struct {
        unsigned units, rmrrs, all_ports, scopes, hops;
    } t[] = { { 16, 64, 64, 256, 8 }, { 17, 0, 0, 0, 0 },  { 1, 65, 0, 0, 0 },
              { 1, 0, 65, 0, 0 },     { 1, 0, 0, 257, 1 }, { 1, 0, 0, 1, 9 } };
    static const u8 path[18] = { 1, 0, [14] = 9, 3 };
    u64 base, bytes;
    u16 segment, sid;
    size_t d;

    (void)state;
    for (unsigned i = ARRAY_SIZE(t); i-- > 0;) {
        begin();
        for (unsigned n = 0; n < t[i].rmrrs; n++) {
            d = structure(1, 24);
            put(put(d + 8, 8, n * 0x1000), 8, n * 0x1000 + 0xfff);
        }
        for (unsigned n = 0; n < t[i].all_ports; n++) {
            d = structure(2, 8);
            put(put(d + 4, 2, 1), 2, 200 + n);
        }
        for (unsigned n = 1; n < t[i].units; n++)
            drhd(1, 0, (u16)n, UNIT_BASE + n * 0x1000);
        d = drhd(0, 0, 99, UNIT_BASE);
        for (unsigned n = 0; n < t[i].scopes; n++) {
            size_t at = size;

            scope(d, 3, 0xf0, n + 1 < t[i].scopes ? 1 : t[i].hops, path);
            put(at + 4, 1, n & 0xff); /* id */
        }
        assert_int_equal(parse() == 0, i == 0);
    }
    assert_true(iommu_rmrr(63, &base, &bytes));
    assert_int_equal(base, 63 * 0x1000);
    assert_false(iommu_rmrr(64, &base, &bytes));
    assert_true(iommu_window(15, &base, &bytes));
    assert_false(iommu_window(16, &base, &bytes));
    assert_true(dmar_ats_listed(263, 1));
    assert_false(dmar_ats_listed(264, 1));
    assert_true(iommu_chipset(IOMMU_IOAPIC, 255, &segment, &sid));
    assert_int_equal(segment, 99);
    assert_int_equal(sid, 0xff00 | 9 << 3 | 3);
    assert_ptr_equal(unit_of(99, sid), units[15]);
    assert_ptr_equal(unit_of(1, 0), units[0]);

    /* Of all that nothing is left with the next table. */
    begin();
    drhd(1, 0, 0, UNIT_BASE);
    assert_int_equal(parse_next(), 0);
    assert_false(iommu_rmrr(0, &base, &bytes));
    assert_false(iommu_window(1, &base, &bytes));
    assert_false(dmar_ats_listed(200, 1));
    assert_false(iommu_chipset(IOMMU_IOAPIC, 0, &segment, &sid));
    assert_null(unit_of(99, 0xf008));
    assert_null(unit_of(2, 0));
    begin();
    d = structure(5, 8);
    scope(d, 1, 0, 1, path);
    drhd(1, 0, 0, UNIT_BASE);
    assert_int_equal(parse_next(), 0);
    assert_true(dmar_ats_listed(0, 1 << 3));
    begin();
    drhd(1, 0, 0, UNIT_BASE);
    assert_int_equal(parse_next(), 0);
    assert_false(dmar_ats_listed(0, 1 << 3));
}

/* A unit without scopes and without INCLUDE_ALL serves nobody: that is said by nobody and harms nobody. */
static void a_unit_for_nobody(void **state)
{
    (void)state;
    begin();
    drhd(0, 0, 0, UNIT_BASE);
    assert_int_equal(parse(), 0);
    assert_null(unit_of(0, 0x100));
}

static void noise(void **state)
{
    u64 rng = 0x123456789;

    (void)state;
    for (unsigned n = 0; n < 3000; n++) {
        size_t d;
        u8 *copy;

        begin();
        d = drhd(0, 0, 0, UNIT_BASE);
        scope(d, 1, 0, 1, (u8[]){ 2, 0 });
        drhd(1, 0, 0, UNIT_BASE + 0x1000);
        d = structure(1, 24);
        put(put(d + 8, 8, 0x7c000000), 8, 0x7c7fffff);
        d = structure(2, 8);
        scope(d, 2, 0, 1, (u8[]){ 0x1c, 0 });
        for (unsigned i = 0; i < 1 + n % 5; i++) {
            rng = rng * 6364136223846793005ull + 1442695040888963407ull;
            table[48 + (rng >> 33) % (size - 48)] = (u8)(rng >> 56);
        }
        if (n % 3 == 0)
            size -= (rng >> 40) % 16;
        dmar_checksum(table, size);
        copy = malloc(size);
        memcpy(copy, table, size);
        world_boot(&(struct world_cfg){ 0 });
        if (!iommu_parse(copy, size))
            (void)unit_of(0, 0x100);
        free(copy);
    }
}

/* What the virtual units do not announce, the table that the guest sees does not promise. */
static void the_guests_table(void **state)
{
    (void)state;
    for (unsigned remaps = 0; remaps < 2; remaps++) {
        /* One unit of two that does not remap is enough. */
        struct world_cfg cfg = { .units = 2,
                                 .ecap = ECAP_DEFAULT | E_IR,
                                 .ecap1 = ECAP_DEFAULT | (remaps ? E_IR : 0) };

        assert_int_equal(world_start(&cfg), 0);
        begin();
        table[37] = 7;
        iommu_edit_dmar(table, 48);
        assert_int_equal(table[37], remaps ? 7 : 6);
        table[37] = 7;
        iommu_edit_dmar(table, 47); /* too short */
        assert_int_equal(table[37], 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_tables),
        cmocka_unit_test(paths_through_bridges),
        cmocka_unit_test(rmrrs),
        cmocka_unit_test(hostile_36_broken_tables),
        cmocka_unit_test(hostile_36_lengths),
        cmocka_unit_test(address_widths),
        cmocka_unit_test(as_many_as_fit),
        cmocka_unit_test(a_unit_for_nobody),
        cmocka_unit_test(noise),
        cmocka_unit_test(the_guests_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
