/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/mem.c */
/* Ownership: what wins where declarations overlap, look-ups at every edge, and the choice of the region. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "arch/paging.h"
#include "hv/mem.h"

#define MB 0x100000ull

static u64 base_of_region = 992 * MB, size_of_region = 32 * MB;

u64 region_base(void)
{
    return base_of_region;
}

u64 region_size(void)
{
    return size_of_region;
}

static enum mem_owner mem_owner(u64 pa)
{
    enum mem_owner owner;

    (void)mem_extent(pa, &owner);
    return owner;
}

static struct boot_info machine(void)
{
    struct boot_info info = { .nr_ranges = 5, .image_base = 2 * MB, .image_size = 6 * MB };

    info.ranges[0] = (struct boot_range){ 0, 0x9fc00, BOOT_MEM_RAM };
    info.ranges[1] = (struct boot_range){ 0xf0000, 0x10000, BOOT_MEM_RESERVED };
    info.ranges[2] = (struct boot_range){ MB, 1022 * MB + 0x800, BOOT_MEM_RAM };
    info.ranges[3] = (struct boot_range){ 1023 * MB + 0x800, MB - 0x800, BOOT_MEM_ACPI };
    info.ranges[4] = (struct boot_range){ 4096 * MB, 1024 * MB, BOOT_MEM_RAM };
    info.ranges[5] = (struct boot_range){ 6144 * MB, MB, BOOT_MEM_RAM }; /* behind the last: nothing */
    return info;
}

static struct boot_info info;

static int set_up(void **state)
{
    (void)state;
    info = machine();
    return mem_init(&info);
}

static void firmware_map_is_followed(void **state)
{
    (void)state;
    assert_int_equal(mem_owner(0), MEM_GUEST_RAM);
    assert_int_equal(mem_owner(0x9f000), MEM_HOLE); /* only partly RAM */
    assert_int_equal(mem_owner(0xa0000), MEM_HOLE);
    assert_int_equal(mem_owner(MB), MEM_GUEST_RAM);
    assert_int_equal(mem_owner(992 * MB - 1), MEM_GUEST_RAM);
    assert_int_equal(mem_owner(992 * MB), MEM_SLUICE);
    assert_int_equal(mem_owner(1024 * MB - 1), MEM_SLUICE);
    assert_int_equal(mem_owner(1024 * MB), MEM_HOLE);
    assert_int_equal(mem_owner(5120 * MB - 1), MEM_GUEST_RAM);
    assert_int_equal(mem_owner(5120 * MB), MEM_HOLE);
    assert_int_equal(mem_owner(6144 * MB), MEM_HOLE);
    assert_int_equal(mem_owner(~0ull), MEM_HOLE);
}

/* RAM is what is RAM to the end of a page; everything else has the pages that it touches. */
static void odd_ends_of_firmwares_ranges(void **state)
{
    const struct boot_range t[] = {
        { 0x1001, 0x800, BOOT_MEM_RAM },       { 0x3000, 0x1000, BOOT_MEM_RAM },
        { 0x5001, 0x1ffe, BOOT_MEM_RAM },      { 0x8fff, 0x1002, BOOT_MEM_RAM },
        { 0xd001, 0x1fff, BOOT_MEM_ACPI },     { 0x10fff, 2, BOOT_MEM_NVS },
        { 0x20800, 0x800, BOOT_MEM_RESERVED },
    };

    (void)state;
    info.nr_ranges = ARRAY_SIZE(t);
    memcpy(info.ranges, t, sizeof(t));
    assert_int_equal(mem_init(&info), 0);
    for (u64 page = 0; page < 0x30; page++) {
        bool ram = page == 3 || page == 9 || page == 0xe,
             firmware = page == 0x10 || page == 0x11 || page == 0x20;
        assert_int_equal(mem_owner(page << 12), ram ? MEM_GUEST_RAM : firmware ? MEM_FIRMWARE : MEM_HOLE);
    }
}

/* The largest pieces of RAM, by the half in which they begin, are found without a search. */
static void the_largest_pieces(void **state)
{
    enum { P = PAGE_SIZE };
    const u64 half = 4096 * MB;
    const struct {
        struct boot_range ranges[3];
        u64 pa, left;
    } t[] = {
        { { { MB, 2 * P, 1 }, { 2 * MB, 3 * P, 1 }, { 3 * MB, 3 * P, 1 } }, MB, 0 },
        { { { MB, 2 * P, 1 }, { 2 * MB, 3 * P, 1 }, { 3 * MB, 3 * P, 1 } }, 2 * MB, 3 * P },
        { { { MB, 3 * P, 1 }, { 2 * MB, 2 * P, 1 }, { half, 9 * P, 1 } }, MB + 3 * P - 1, 1 },
        { { { MB, 3 * P, 1 }, { 2 * MB, 9 * P, 2 }, { half, 9 * P, 1 } }, MB - 1, 0 },
        { { { MB, 3 * P, 1 }, { 2 * MB, 9 * P, 2 }, { half, 9 * P, 1 } }, MB + 3 * P, 0 },
        { { { MB, 3 * P, 1 }, { half - 9 * P, 9 * P, 2 }, { half, 2 * P, 1 } }, half, 2 * P },
        { { { MB, 3 * P, 1 }, { half - 9 * P, 9 * P, 2 }, { half, 2 * P, 1 } }, half - 1, 0 },
        { { { MB, 1 * P, 1 }, { half - 1 * P, 3 * P, 1 } }, half - 1, 2 * P + 1 },
        { { { MB, 2 * P, 1 }, { half - 2 * P, 3 * P, 1 } }, half - 2 * P, 3 * P },
        /* so many pages and so high a one that they do not fit, and such that do */
        { { { half, BIT(44), 1 } }, half, 0 },
        { { { half, BIT(44) - P, 1 } }, half, BIT(44) - P },
        { { { BIT(44) - P, 2 * P, 1 } }, BIT(44) - P, 2 * P },
        { { { BIT(44), 2 * P, 1 } }, BIT(44), 0 },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        memcpy(info.ranges, t[i].ranges, sizeof(t[i].ranges));
        info.nr_ranges = 1;
        while (info.nr_ranges < 3 && info.ranges[info.nr_ranges].size)
            info.nr_ranges++;
        assert_int_equal(mem_init(&info), 0);
        assert_int_equal(mem_large_left(t[i].pa), t[i].left);
        assert_int_equal(mem_in_large(t[i].pa), t[i].left != 0);
        for (unsigned r = 0; r < info.nr_ranges; r++)
            assert_int_equal(mem_is_guest_ram(info.ranges[r].base, info.ranges[r].size),
                             info.ranges[r].type == BOOT_MEM_RAM);
    }
}

static void extents_end_where_the_owner_changes(void **state)
{
    enum mem_owner owner;

    (void)state;
    assert_int_equal(mem_extent(MB, &owner), 991 * MB);
    assert_int_equal(mem_extent(991 * MB + 5, &owner), MB - 5);
    assert_int_equal(mem_extent(992 * MB + 5, &owner), 32 * MB - 5);
    assert_int_equal(owner, MEM_SLUICE);
    assert_int_equal(mem_extent(992 * MB, &owner), 32 * MB);
    assert_int_equal(owner, MEM_SLUICE);
    assert_int_equal(mem_extent(5120 * MB, &owner), (1ull << 52) - 5120 * MB);
    assert_int_equal(mem_extent(~0ull, &owner), 1);
    assert_int_equal(mem_extent(1ull << 52, &owner), -(1ull << 52));
}

static void ranges_of_guest_ram(void **state)
{
    (void)state;
    assert_true(mem_is_guest_ram(MB, 991 * MB));
    assert_false(mem_is_guest_ram(MB, 991 * MB + 1));
    assert_false(mem_is_guest_ram(992 * MB, 1));
    assert_false(mem_is_guest_ram(MB, 0));
    assert_false(mem_is_guest_ram(MB, ~0ull));
    assert_false(mem_is_guest_ram(~0ull, 2));
    assert_false(mem_is_guest_ram(5120 * MB - 1, 2));
}

static void the_strongest_declaration_decides(void **state)
{
    (void)state;
    /* A BAR over RAM, over the region, over a unit and over the IOAPIC takes nothing away. */
    assert_int_equal(mem_declare(0xfed90000, 0x1000, MEM_UNIT), 0);
    assert_int_equal(mem_declare(0xfec00000, 0x100, MEM_DEVICE), 0);
    assert_int_equal(mem_declare(900 * MB, 0xfff00000 - 900 * MB, MEM_BAR), 0);
    assert_int_equal(mem_owner(900 * MB), MEM_GUEST_RAM);
    assert_int_equal(mem_owner(992 * MB), MEM_SLUICE);
    assert_int_equal(mem_owner(0xfed90fff), MEM_UNIT);
    assert_int_equal(mem_owner(0xfec00fff), MEM_DEVICE);
    assert_int_equal(mem_owner(0xfec01000), MEM_BAR);
    /* An RMRR may lie in what firmware reserved, a BAR may not. */
    assert_int_equal(mem_declare(0xf0000, 0x10000, MEM_BAR), 0);
    assert_int_equal(mem_owner(0xf0000), MEM_FIRMWARE);
    assert_int_equal(mem_declare(0xf4000, 0x1000, MEM_RMRR), 0);
    assert_int_equal(mem_owner(0xf4000), MEM_RMRR);
    assert_int_equal(mem_owner(0xf5000), MEM_FIRMWARE);
}

static void forgetting_undoes_one_declaration(void **state)
{
    (void)state;
    assert_int_equal(mem_declare(2048 * MB, MB, MEM_BAR), 0);
    assert_int_equal(mem_declare(2048 * MB, MB, MEM_BAR), 0);
    mem_forget(2048 * MB, MB, MEM_BAR);
    assert_int_equal(mem_owner(2048 * MB), MEM_BAR);
    mem_forget(2048 * MB, MB, MEM_BAR);
    assert_int_equal(mem_owner(2048 * MB), MEM_HOLE);
    mem_forget(2048 * MB, MB, MEM_BAR); /* never declared: nothing happens */
    assert_int_equal(mem_declare(2048 * MB, MB, MEM_BAR), 0);
    mem_forget(2048 * MB, 2 * MB, MEM_BAR);
    mem_forget(2047 * MB, 2 * MB, MEM_BAR);
    mem_forget(2048 * MB, 0, MEM_BAR);
    mem_forget(2048 * MB, MB, MEM_RMRR);
    assert_int_equal(mem_owner(2048 * MB), MEM_BAR);
    assert_int_equal(mem_owner(2049 * MB - 1), MEM_BAR);
    mem_forget(992 * MB, 32 * MB, MEM_BAR);
    assert_int_equal(mem_owner(992 * MB), MEM_SLUICE);
}

static void fixed_addresses_by_whole_pages(void **state)
{
    (void)state;
    assert_int_equal(mem_declare(0xfed00000, 0x400, MEM_DEVICE), 0);
    assert_true(mem_is_fixed(0xfed00800, 16));
    assert_true(mem_is_fixed(0xfecff000, 0x1001));
    assert_false(mem_is_fixed(0xfecff000, 0x1000));
    assert_false(mem_is_fixed(0xfed01000, 0x1000));
    assert_true(mem_is_fixed(991 * MB, 2 * MB));
    assert_true(mem_is_fixed(0, 1ull << 63));
    assert_true(mem_is_fixed(~0ull - 100, 200)); /* wraps */
    assert_true(mem_is_fixed(2, ~0ull));
    assert_false(mem_is_fixed(0xfed00000, 0));
    assert_true(mem_is_fixed(0xfed00000, MB)); /* what comes behind it takes nothing away */
    assert_false(mem_is_fixed(MB, 1));         /* RAM wins over a BAR anyway */
}

static void a_full_table_refuses(void **state)
{
    int err = 0;
    unsigned n = 0;

    (void)state;
    for (; !err && n < 10000; n++)
        err = mem_declare(8192 * MB + n * 0x2000ull, 0x1000, MEM_BAR);
    assert_int_equal(err, ERR_NOSPC);
    assert_int_equal(n - 1, (2048 - 2 * 6) / 2); /* each has two ends; five of firmware's, and the region */
    assert_int_equal(mem_owner(8192 * MB), MEM_BAR);
    assert_int_equal(mem_owner(992 * MB), MEM_SLUICE);
    assert_int_equal(mem_declare(~0ull, 2, MEM_BAR), ERR_INVAL);
    assert_int_equal(mem_declare(MB, 0, MEM_BAR), ERR_INVAL);
    mem_forget(8192 * MB, MB, MEM_BAR); /* not declared: it is looked for to the end of the table */
    mem_forget(8192 * MB + 100 * 0x2000, 0x1000, MEM_BAR);
    assert_int_equal(mem_owner(8192 * MB + 99 * 0x2000), MEM_BAR);
    assert_int_equal(mem_owner(8192 * MB + 100 * 0x2000), MEM_HOLE);
    assert_int_equal(mem_owner(8192 * MB + (n - 2) * 0x2000ull), MEM_BAR);
    assert_int_equal(mem_declare(7168 * MB, MB, MEM_BAR), 0);
    assert_int_equal(mem_owner(7168 * MB), MEM_BAR);
}

/* The last pages that an x86 CPU can address, and what is beyond. */
static void the_end_of_all_addresses(void **state)
{
    const u64 end = 1ull << 52, page = 0x1000;
    enum mem_owner owner;

    (void)state;
    assert_int_equal(mem_extent(end - 1, &owner), 1);
    assert_int_equal(mem_declare(8192 * MB, MB, MEM_BAR), 0);
    assert_int_equal(mem_extent(8192 * MB, &owner), MB);
    assert_int_equal(owner, MEM_BAR);
    assert_int_equal(mem_declare(page, ~0ull, MEM_BAR), ERR_INVAL);
    assert_int_equal(mem_declare(page, -page + 1, MEM_BAR), ERR_INVAL);
    assert_int_equal(mem_declare(8192 * MB, -(8192 * MB), MEM_BAR), 0); /* up to 2^64, and no more */
    mem_forget(8192 * MB, -(8192 * MB), MEM_BAR);
    assert_int_equal(mem_declare(end, page, MEM_BAR), ERR_INVAL);
    assert_int_equal(mem_declare(5 * MB, 1, MEM_DEVICE), 0);
    assert_int_equal(mem_extent(5 * MB, &owner), page);
    assert_int_equal(mem_declare(end - page, 4 * page, MEM_DEVICE), 0);
    assert_int_equal(mem_extent(end - page, &owner), page);
    assert_int_equal(owner, MEM_DEVICE);
    assert_int_equal(mem_owner(end), MEM_HOLE);
    assert_true(mem_is_fixed(end - page, 1));
    assert_false(mem_is_fixed(end - 2 * page, page));
    assert_false(mem_is_fixed(~0ull, 1)); /* it ends with the last address, and does not wrap */
    assert_int_equal(mem_ram_bytes(&info), 0x9fc00 + 1022 * MB + 0x800 + 1024 * MB);
}

/* RAM so high that its page numbers have more than 32 bits is RAM, and nothing else is. */
static void ram_that_is_very_high(void **state)
{
    static const u64 bases[] = { 1ull << 44, 1ull << 45, (1ull << 44) - 64 * MB };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(bases); i++) {
        info.nr_ranges = 6;
        info.ranges[4].size = MB;
        info.ranges[5] = (struct boot_range){ bases[i], 8192 * MB, BOOT_MEM_RAM };
        assert_int_equal(mem_init(&info), 0);
        assert_true(mem_is_guest_ram(bases[i], 8192 * MB));
        assert_false(mem_is_guest_ram(bases[i], 8192 * MB + 1));
        assert_false(mem_is_guest_ram(bases[i] - 1, 1));
        assert_int_equal(mem_owner(4096 * MB), MEM_GUEST_RAM);
        assert_int_equal(mem_owner(4097 * MB), MEM_HOLE);
        assert_int_equal(mem_owner(992 * MB), MEM_SLUICE);
        assert_int_equal(mem_owner(0x9f000), MEM_HOLE);
    }
}

/* Room that is just enough, in the last range, above a floor and below a limit, beside what is in the way. */
static void room_that_is_just_enough(void **state)
{
    const struct boot_range map[] = { { 0, MB, BOOT_MEM_RAM },
                                      { 4 * MB, 2 * MB, BOOT_MEM_RAM },
                                      { 8 * MB, 8 * MB, BOOT_MEM_ACPI } };
    const struct boot_range busy[] = { { 0, 1, 0 }, { 4 * MB, 1, 0 }, { 6 * MB - 1, 1, 0 } };

    (void)state;
    assert_int_equal(mem_highest(map, 3, busy, 1, 2 * MB, MB, 2 * MB, 1ull << 32), 4 * MB);
    assert_int_equal(mem_highest(map, 3, busy, 1, 2 * MB + 1, MB, 2 * MB, 1ull << 32), 0);
    assert_int_equal(mem_highest(map, 3, busy, 1, 2 * MB, MB, 4 * MB + 1, 1ull << 32), 0);
    assert_int_equal(mem_highest(map, 3, busy, 1, 2 * MB, MB, 4 * MB, 6 * MB), 4 * MB);
    assert_int_equal(mem_highest(map, 3, busy, 1, 2 * MB, MB, 4 * MB, 6 * MB - 1), 0);
    assert_int_equal(mem_highest(map, 1, busy, 1, MB, MB, 0, 1ull << 32), 0);
    assert_int_equal(mem_highest(map, 1, busy, 0, MB / 2, MB / 2, 0, 1ull << 32), MB / 2);
    assert_int_equal(mem_highest(map, 3, busy, 3, MB, MB, 0, 1ull << 32), 0);
    assert_int_equal(mem_highest(map, 3, busy, 2, MB, MB, 0, 1ull << 32), 5 * MB);
    assert_int_equal(mem_highest(map, 1, busy, 0, MB + 1, 1, 0, 1ull << 32), 0);
}

/* Random declarations against a map of one byte per page. */
static void agrees_with_a_plain_map(void **state)
{
    static const u8 rank[] = { [MEM_BAR] = 1,    [MEM_FIRMWARE] = 2, [MEM_RMRR] = 3,  [MEM_GUEST_RAM] = 4,
                               [MEM_DEVICE] = 5, [MEM_UNIT] = 6,     [MEM_SLUICE] = 7 };
    enum { PAGES = 64, ROUNDS = 300, LIVE = 12 };
    struct {
        u64 first, count;
        enum mem_owner owner;
    } live[LIVE] = { 0 };
    struct boot_info empty = { 0 };
    u64 at = 1ull << 40;

    (void)state;
    srand(1);
    assert_int_equal(mem_init(&empty), 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned i = (unsigned)rand() % LIVE;
        if (live[i].count)
            mem_forget(at + live[i].first * PAGE_SIZE, live[i].count * PAGE_SIZE, live[i].owner);
        live[i].first = (unsigned)rand() % PAGES;
        live[i].count = 1 + (unsigned)rand() % (PAGES - live[i].first);
        live[i].owner = MEM_BAR + (unsigned)rand() % 7;
        assert_int_equal(
            mem_declare(at + live[i].first * PAGE_SIZE, live[i].count * PAGE_SIZE, live[i].owner), 0);
        for (unsigned page = 0; page < PAGES; page++) {
            enum mem_owner want = MEM_HOLE;
            u8 best = 0;
            for (unsigned k = 0; k < LIVE; k++)
                if (live[k].count && page >= live[k].first && page < live[k].first + live[k].count &&
                    rank[live[k].owner] > best) {
                    best = rank[live[k].owner];
                    want = live[k].owner;
                }
            assert_int_equal(mem_owner(at + page * PAGE_SIZE), want);
        }
    }
}

static void the_guest_sees_the_region_reserved(void **state)
{
    const u64 ours = 992 * MB, end = 1024 * MB;
    const struct {
        struct boot_range given[3], shown[5];
    } t[] = {
        /* firmware's ranges; what the guest sees, by base, size and type */
        { { { MB, end, 1 } }, { { MB, ours - MB, 1 }, { ours, end - ours, 2 }, { end, MB, 1 } } },
        { { { ours, end - ours, 1 } }, { { ours, end - ours, 2 } } },
        { { { MB, ours - MB, 1 }, { ours, 64 * MB, 3 } },
          { { MB, ours - MB, 1 }, { ours, end - ours, 2 }, { end, 32 * MB, 3 } } },
        { { { MB, ours - MB + 1, 1 }, { ours + 1, MB, 4 }, { end - 1, 2, 1 } },
          { { MB, ours - MB, 1 }, { ours, end - ours, 2 }, { end, 1, 1 } } },
        { { { 0, MB, 2 }, { ours - 1, end - ours + 2, 1 }, { end + MB, MB, 5 } },
          { { 0, MB, 2 }, { ours - 1, 1, 1 }, { ours, end - ours, 2 }, { end, 1, 1 }, { end + MB, MB, 5 } } },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        unsigned n, given = 0, shown = 0;

        while (given < 3 && t[i].given[given].size)
            given++;
        while (shown < 5 && t[i].shown[shown].size)
            shown++;
        memcpy(info.ranges, t[i].given, sizeof(t[i].given));
        info.ranges[given] = (struct boot_range){ 6144 * MB, MB, BOOT_MEM_RAM }; /* behind the last */
        info.nr_ranges = given;
        assert_int_equal(mem_init(&info), 0);
        const struct boot_range *map = mem_guest_map(&n);
        assert_int_equal(n, shown);
        for (unsigned k = 0; k < n; k++) {
            assert_int_equal(map[k].base, t[i].shown[k].base);
            assert_int_equal(map[k].size, t[i].shown[k].size);
            assert_int_equal(map[k].type, t[i].shown[k].type);
        }
    }
}

/* As many ranges as there may be, one of which the region parts: that makes two more. */
static void the_longest_map(void **state)
{
    unsigned n;

    (void)state;
    for (unsigned i = 0; i < BOOT_MAX_RANGES; i++)
        info.ranges[i] = (struct boot_range){ i * 8 * MB, MB, BOOT_MEM_RAM };
    info.ranges[123] = (struct boot_range){ 984 * MB, 41 * MB, BOOT_MEM_RAM };
    for (unsigned i = 124; i < BOOT_MAX_RANGES; i++)
        info.ranges[i].base += 40 * MB;
    info.nr_ranges = BOOT_MAX_RANGES;
    assert_int_equal(mem_init(&info), 0);
    const struct boot_range *map = mem_guest_map(&n);
    assert_int_equal(n, BOOT_MAX_RANGES + 2);
    assert_int_equal(map[124].base, 992 * MB);
    assert_int_equal(map[n - 1].base, 255 * 8 * MB + 40 * MB);
}

static void the_region_is_high_and_clear(void **state)
{
    struct boot_info i = machine();

    (void)state;
    assert_int_equal(mem_choose_region(&i, 32 * MB), 990 * MB);
    i.nr_modules = 2;
    i.modules[0].base = 1000 * MB;
    i.modules[0].size = 1;
    i.modules[1].base = 960 * MB;
    i.modules[1].size = 9 * MB;
    assert_int_equal(mem_choose_region(&i, 32 * MB), 928 * MB);
    i.image_base = 930 * MB;
    assert_int_equal(mem_choose_region(&i, 32 * MB), 898 * MB);
    assert_int_equal(mem_choose_region(&i, 1000 * MB), 0);
    assert_int_equal(mem_choose_region(&i, 1ull << 40), 0);
    i.nr_modules = BOOT_MAX_MODULES;
    i.modules[BOOT_MAX_MODULES - 1] = (struct boot_module){ .base = 800 * MB, .size = 130 * MB };
    assert_int_equal(mem_choose_region(&i, 32 * MB), 768 * MB);
    i.nr_ranges = 1;
    assert_int_equal(mem_choose_region(&i, 2 * MB), 0);
}

/* Boot services' memory is RAM, too, but the guest still reads there: tables of the firmware's. */
static void the_region_keeps_off_boot_services(void **state)
{
    enum { BOOT_SERVICES_DATA = 4, CONVENTIONAL = 7, SIZE = 48 };
    static struct boot_info i;
    static const u64 entries[][3] = { { CONVENTIONAL, 0, 2 * MB },
                                      { CONVENTIONAL, 100 * MB, 200 * MB },
                                      { BOOT_SERVICES_DATA, 300 * MB, 30 * MB },
                                      { CONVENTIONAL, 330 * MB, 33 * MB },
                                      { CONVENTIONAL, 400 * MB, 7 * MB },
                                      { BOOT_SERVICES_DATA, 407 * MB, 600 * MB },
                                      { CONVENTIONAL, 4096 * MB, 512 * MB } };

    (void)state;
    i = machine();
    i.efi_map.entry_size = SIZE;
    i.efi_map.size = sizeof(entries) / sizeof(entries[0]) * SIZE;
    for (unsigned n = 0; n < sizeof(entries) / sizeof(entries[0]); n++) {
        u64 pages = entries[n][2] / PAGE_SIZE;
        u8 *to = i.efi_map.bytes + n * SIZE;

        memcpy(to, &entries[n][0], 4);
        memcpy(to + 8, &entries[n][1], 8);
        memcpy(to + 24, &pages, 8);
    }
    assert_int_equal(mem_choose_region(&i, 6 * MB), 400 * MB);
    assert_int_equal(mem_choose_region(&i, 32 * MB), 330 * MB);
    assert_int_equal(mem_choose_region(&i, 34 * MB), 266 * MB);
    /* Where firmware itself is in all of it, there is no choice; and an entry cut short is none. */
    assert_int_equal(mem_choose_region(&i, 202 * MB), 820 * MB);
    i.efi_map.size = 2 * SIZE - 1;
    assert_int_equal(mem_choose_region(&i, MB / 2), 1022 * MB);
    i.efi_map.size = 2 * SIZE;
    assert_int_equal(mem_choose_region(&i, 32 * MB), 268 * MB);
    i.efi_map.entry_size = 39;
    assert_int_equal(mem_choose_region(&i, 32 * MB), 990 * MB);
    i.efi_map.entry_size = 0;
    assert_int_equal(mem_choose_region(&i, 32 * MB), 990 * MB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_region_keeps_off_boot_services),
        cmocka_unit_test_setup(firmware_map_is_followed, set_up),
        cmocka_unit_test_setup(odd_ends_of_firmwares_ranges, set_up),
        cmocka_unit_test_setup(the_largest_pieces, set_up),
        cmocka_unit_test_setup(extents_end_where_the_owner_changes, set_up),
        cmocka_unit_test_setup(ranges_of_guest_ram, set_up),
        cmocka_unit_test_setup(the_strongest_declaration_decides, set_up),
        cmocka_unit_test_setup(forgetting_undoes_one_declaration, set_up),
        cmocka_unit_test_setup(fixed_addresses_by_whole_pages, set_up),
        cmocka_unit_test_setup(a_full_table_refuses, set_up),
        cmocka_unit_test_setup(the_end_of_all_addresses, set_up),
        cmocka_unit_test_setup(ram_that_is_very_high, set_up),
        cmocka_unit_test_setup(room_that_is_just_enough, set_up),
        cmocka_unit_test_setup(agrees_with_a_plain_map, set_up),
        cmocka_unit_test_setup(the_guest_sees_the_region_reserved, set_up),
        cmocka_unit_test_setup(the_longest_map, set_up),
        cmocka_unit_test_setup(the_region_is_high_and_clear, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
