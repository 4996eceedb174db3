/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: boot/multiboot2.c boot/ranges.c */
/*
 * The multiboot2 boot information, well-formed and hostile. Each one lies in a heap block of its exact size,
 * so that the sanitizer sees a read behind its end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/multiboot2.h"
#include "boot/ranges.h"

static struct boot_info info;

struct writer {
    u8 buf[64 * 1024];
    size_t len;
};
static struct writer w;

static void begin(void)
{
    memset(&w, 0, sizeof(w));
    w.len = 8;
}

static void put(const void *data, size_t size)
{
    assert_true(w.len + size <= sizeof(w.buf));
    memcpy(w.buf + w.len, data, size);
    w.len += size;
}

/* A tag whose header says `size` bytes of data. */
static void tag_sized(u32 type, const void *data, size_t size, u32 told)
{
    u32 head[2] = { type, told };

    put(head, sizeof(head));
    put(data, size);
    w.len = (w.len + 7) & ~7ull;
}

static void tag(u32 type, const void *data, size_t size)
{
    tag_sized(type, data, size, (u32)(8 + size));
}

static void tag_module(u32 start, u32 end, const char *cmdline)
{
    u8 data[8 + 4096];

    memcpy(data, &start, 4);
    memcpy(data + 4, &end, 4);
    memcpy(data + 8, cmdline, strlen(cmdline) + 1);
    tag(MB2_TAG_MODULE, data, 8 + strlen(cmdline) + 1);
}

static int parse_sized(size_t told, size_t given)
{
    u8 *exact = malloc(given ? given : 1);

    memcpy(w.buf, &(u32){ (u32)told }, 4);
    memcpy(exact, w.buf, given);
    int err = multiboot2_parse(exact, given, &info);
    free(exact);
    return err;
}

static int finish(void)
{
    tag(MB2_TAG_END, "", 0);
    return parse_sized(w.len, w.len);
}

static void test_whole(void **state)
{
    struct {
        struct mb2_mmap head;
        struct mb2_mmap_entry e[3];
    } mmap = { { 24, 0 },
               { { 0x100000, 0xff00000, 1, 0 }, { 0, 0x9fc00, 1, 0 }, { 0x9fc00, 0x400, 77, 0 } } };
    u64 system_table = 0x7f5eb018;

    (void)state;
    begin();
    tag(MB2_TAG_CMDLINE, "dtlb=guest", 11);
    tag(MB2_TAG_LOADER_NAME, "GRUB 2.06", 10);
    tag(99, "unknown", 8);
    tag_module(0x200000, 0x300000, "root=/dev/sda");
    tag_module(0x400000, 0x400000, "");
    tag(MB2_TAG_MMAP, &mmap, sizeof(mmap));
    tag(MB2_TAG_EFI64, &system_table, 8);
    assert_int_equal(finish(), 0);

    assert_string_equal(info.path, "multiboot2");
    assert_string_equal(info.cmdline, "dtlb=guest");
    assert_string_equal(info.loader, "GRUB 2.06");
    assert_false(info.cmdline_cut || info.ranges_cut || info.modules_cut);
    assert_int_equal(info.efi_system_table, system_table);
    assert_int_equal(info.nr_modules, 2);
    assert_int_equal(info.modules[0].base, 0x200000);
    assert_int_equal(info.modules[0].size, 0x100000);
    assert_string_equal(info.modules[0].cmdline, "root=/dev/sda");
    assert_int_equal(info.modules[1].size, 0);
    assert_int_equal(info.nr_ranges, 3);
    assert_int_equal(info.ranges[0].base, 0);
    assert_int_equal(info.ranges[1].type, BOOT_MEM_RESERVED);
    assert_int_equal(info.ranges[2].base, 0x100000);
    assert_int_equal(info.ranges[2].size, 0xff00000);
}

static void test_larger_entries(void **state)
{
    u8 data[8 + 2 * 32] = { 32 };

    (void)state;
    *(u64 *)(data + 8 + 8) = 0x1000;
    *(u32 *)(data + 8 + 16) = 1;
    *(u64 *)(data + 40) = 0x8000;
    *(u64 *)(data + 40 + 8) = 0x2000;
    *(u32 *)(data + 40 + 16) = 3;
    begin();
    tag(MB2_TAG_MMAP, data, sizeof(data));
    assert_int_equal(finish(), 0);
    assert_int_equal(info.nr_ranges, 2);
    assert_int_equal(info.ranges[1].base, 0x8000);
    assert_int_equal(info.ranges[1].type, BOOT_MEM_ACPI);
}

static void test_total_size(void **state)
{
    (void)state;
    begin();
    tag(MB2_TAG_END, "", 0);
    for (size_t n = 0; n < w.len; n++) {
        assert_int_equal(parse_sized(w.len, n), ERR_INVAL); /* more told than there is */
        assert_int_equal(parse_sized(n, w.len), ERR_INVAL); /* cut before the end tag */
    }
    assert_int_equal(parse_sized(w.len, w.len), 0);
    assert_int_equal(parse_sized(0xffffffff, w.len), ERR_INVAL);
}

static void test_tag_sizes(void **state)
{
    static const u32 bad[] = { 0, 1, 7, 0x1000, 0x7fffffff, 0xfffffff0, 0xffffffff };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        for (u32 type = 0; type < 25; type++) {
            begin();
            tag_sized(type, "0123456789abcdef", 16, bad[i]);
            if (type == MB2_TAG_END && bad[i] >= 8 && bad[i] <= 0x20)
                continue;
            assert_int_equal(finish(), ERR_INVAL);
        }
    }
}

static void test_short_tags(void **state)
{
    static const u32 types[] = { MB2_TAG_MODULE, MB2_TAG_MMAP, MB2_TAG_EFI64 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        for (size_t n = 0; n < 8; n++) {
            begin();
            tag(types[i], "\x18\0\0\0\0\0\0", n);
            assert_int_equal(finish(), ERR_INVAL);
        }
    }
}

static void test_mmap_entry_size(void **state)
{
    static const u32 bad[] = { 0, 1, 23, 25, 0xffffffff };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        u8 data[8 + 48] = { 0 };

        memcpy(data, &bad[i], 4);
        begin();
        tag(MB2_TAG_MMAP, data, sizeof(data));
        assert_int_equal(finish(), ERR_INVAL);
    }
}

static void test_strings(void **state)
{
    char longest[BOOT_CMDLINE_MAX + 1];

    (void)state;
    /* Without an end: what is there, and marked. */
    begin();
    tag(MB2_TAG_CMDLINE, "abc", 3);
    tag(MB2_TAG_LOADER_NAME, "", 0);
    assert_int_equal(finish(), 0);
    assert_string_equal(info.cmdline, "abc");
    assert_true(info.cmdline_cut);
    assert_string_equal(info.loader, "");

    /* The longest that fits, and one more. */
    memset(longest, 'x', sizeof(longest));
    longest[BOOT_CMDLINE_MAX - 1] = 0;
    begin();
    tag(MB2_TAG_CMDLINE, longest, BOOT_CMDLINE_MAX);
    tag_module(0, 1, longest);
    assert_int_equal(finish(), 0);
    assert_false(info.cmdline_cut);
    assert_int_equal(strlen(info.cmdline), BOOT_CMDLINE_MAX - 1);
    assert_false(info.modules[0].cmdline_cut);

    longest[BOOT_CMDLINE_MAX - 1] = 'x';
    longest[BOOT_CMDLINE_MAX] = 0;
    begin();
    tag(MB2_TAG_CMDLINE, longest, sizeof(longest));
    tag_module(0, 1, longest);
    assert_int_equal(finish(), 0);
    assert_true(info.cmdline_cut);
    assert_int_equal(strlen(info.cmdline), BOOT_CMDLINE_MAX - 1);
    assert_true(info.modules[0].cmdline_cut);
}

static void test_modules(void **state)
{
    (void)state;
    begin();
    tag_module(0x2000, 0x1000, "ends before it begins");
    assert_int_equal(finish(), ERR_INVAL);

    begin();
    for (u32 i = 0; i < BOOT_MAX_MODULES; i++)
        tag_module(i << 12, (i + 1) << 12, "");
    assert_int_equal(finish(), 0);
    assert_int_equal(info.nr_modules, BOOT_MAX_MODULES);
    assert_false(info.modules_cut);

    begin();
    for (u32 i = 0; i < BOOT_MAX_MODULES + 3; i++)
        tag_module(i << 12, (i + 1) << 12, "");
    assert_int_equal(finish(), 0);
    assert_int_equal(info.nr_modules, BOOT_MAX_MODULES);
    assert_true(info.modules_cut);
}

/* --- the memory map --- */

static void ranges(const struct boot_range *r, size_t nr)
{
    memset(&info, 0, sizeof(info));
    for (size_t i = 0; i < nr; i++)
        boot_ranges_add(&info, r[i].base, r[i].size, r[i].type);
    boot_ranges_normalize(&info);
}

static void expect(const struct boot_range *r, size_t nr)
{
    assert_int_equal(info.nr_ranges, nr);
    for (size_t i = 0; i < nr; i++) {
        assert_int_equal(info.ranges[i].base, r[i].base);
        assert_int_equal(info.ranges[i].size, r[i].size);
        assert_int_equal(info.ranges[i].type, r[i].type);
    }
}

static void test_overlaps(void **state)
{
    static const struct boot_range in[] = {
        { 0x5000, 0x1000, BOOT_MEM_BAD },      { 0, 0x10000, BOOT_MEM_RAM },
        { 0x2000, 0x1000, BOOT_MEM_RESERVED }, { 0x2800, 0x1000, BOOT_MEM_ACPI },
        { 0x5800, 0x1000, BOOT_MEM_NVS },      { 0x10000, 0x1000, BOOT_MEM_RAM },
        { 0x20000, 0, BOOT_MEM_RAM },
    };
    static const struct boot_range out[] = {
        { 0, 0x2000, BOOT_MEM_RAM },      { 0x2000, 0x1000, BOOT_MEM_RESERVED },
        { 0x3000, 0x800, BOOT_MEM_ACPI }, { 0x3800, 0x1800, BOOT_MEM_RAM },
        { 0x5000, 0x1000, BOOT_MEM_BAD }, { 0x6000, 0x800, BOOT_MEM_NVS },
        { 0x6800, 0xa800, BOOT_MEM_RAM },
    };

    (void)state;
    ranges(in, ARRAY_SIZE(in));
    expect(out, ARRAY_SIZE(out));
    /* In order already: nothing changes. */
    boot_ranges_normalize(&info);
    expect(out, ARRAY_SIZE(out));
}

static void test_wrapping(void **state)
{
    static const struct boot_range in[] = {
        { 0x1000, ~0ull, BOOT_MEM_RAM },
        { BIT(52), 0x1000, BOOT_MEM_RAM },
        { ~0ull, 1, BOOT_MEM_RAM },
        { BIT(52) - 0x1000, ~0ull, BOOT_MEM_RESERVED },
    };
    static const struct boot_range out[] = {
        { 0x1000, BIT(52) - 0x2000, BOOT_MEM_RAM },
        { BIT(52) - 0x1000, 0x1000, BOOT_MEM_RESERVED },
    };

    (void)state;
    ranges(in, ARRAY_SIZE(in));
    expect(out, ARRAY_SIZE(out));
    ranges(NULL, 0);
    expect(NULL, 0);
}

static void test_too_many(void **state)
{
    (void)state;
    memset(&info, 0, sizeof(info));
    for (u64 i = 0; i <= BOOT_MAX_RANGES; i++)
        boot_ranges_add(&info, i << 13, 0x1000, BOOT_MEM_RAM);
    assert_true(info.ranges_cut);

    /* Nested ranges become nearly twice as many. */
    memset(&info, 0, sizeof(info));
    for (u64 i = 0; i < BOOT_MAX_RANGES; i++)
        boot_ranges_add(&info, i << 12, (2 * BOOT_MAX_RANGES - 2 * i) << 12, i & 1 ? 2 : 5);
    assert_false(info.ranges_cut);
    boot_ranges_normalize(&info);
    assert_int_equal(info.nr_ranges, 1);

    memset(&info, 0, sizeof(info));
    boot_ranges_add(&info, 0, BIT(40), BOOT_MEM_RAM);
    for (u64 i = 1; i < BOOT_MAX_RANGES; i++)
        boot_ranges_add(&info, i << 13, 0x1000, BOOT_MEM_RESERVED);
    boot_ranges_normalize(&info);
    assert_true(info.ranges_cut);
    assert_int_equal(info.nr_ranges, BOOT_MAX_RANGES);
}

static u64 next_random(u64 *seed)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return *seed >> 33;
}

/* Each byte has the most restrictive type that any range gave it, and no other byte has one. */
static void test_each_byte(void **state)
{
    static const u8 order[] = { [1] = 1, [3] = 2, [4] = 3, [2] = 4, [5] = 5 }; /* by type */
    u64 seed = 7;

    (void)state;
    for (unsigned round = 0; round < 5000; round++) {
        u8 want[80] = { 0 }, got[80] = { 0 };

        memset(&info, 0, sizeof(info));
        for (unsigned i = 0; i < 8; i++) {
            u64 base = next_random(&seed) % 64, size = next_random(&seed) % 16;
            u32 type = 1 + (u32)(next_random(&seed) % 5);

            boot_ranges_add(&info, base, size, type);
            for (u64 at = base; at < base + size; at++)
                if (order[type] > order[want[at]])
                    want[at] = (u8)type;
        }
        boot_ranges_normalize(&info);
        for (unsigned i = 0; i < info.nr_ranges; i++) {
            const struct boot_range *r = &info.ranges[i];

            memset(got + r->base, r->type, r->size);
            if (i)
                assert_true(r->base > r[-1].base + r[-1].size ||
                            (r->base == r[-1].base + r[-1].size && r->type != r[-1].type));
        }
        assert_memory_equal(want, got, sizeof(want));
    }
}

/* Random bytes over a good one: no crash, and what comes out is always in order. */
static void test_mutations(void **state)
{
    u64 seed = 1;

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        struct {
            struct mb2_mmap head;
            struct mb2_mmap_entry e[6];
        } mmap = { { 24, 0 }, { { 0, 0x1000, 1, 0 } } };

        for (unsigned i = 0; i < 6; i++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            mmap.e[i] =
                (struct mb2_mmap_entry){ seed >> 56 << 12, seed >> 48 << 60 >> 48, seed >> 40 & 7, 0 };
        }
        begin();
        tag(MB2_TAG_CMDLINE, "a b c", 6);
        tag_module(0x1000, 0x2000, "x");
        tag(MB2_TAG_MMAP, &mmap, sizeof(mmap));
        tag(MB2_TAG_END, "", 0);
        for (unsigned i = 0; i < round % 5; i++) {
            w.buf[8 + next_random(&seed) % (w.len - 8)] = (u8)next_random(&seed);
        }
        if (parse_sized(w.len, w.len))
            continue;
        for (unsigned i = 1; i < info.nr_ranges; i++)
            assert_true(info.ranges[i].base >= info.ranges[i - 1].base + info.ranges[i - 1].size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),      cmocka_unit_test(test_larger_entries),
        cmocka_unit_test(test_total_size), cmocka_unit_test(test_tag_sizes),
        cmocka_unit_test(test_short_tags), cmocka_unit_test(test_mmap_entry_size),
        cmocka_unit_test(test_strings),    cmocka_unit_test(test_modules),
        cmocka_unit_test(test_overlaps),   cmocka_unit_test(test_wrapping),
        cmocka_unit_test(test_too_many),   cmocka_unit_test(test_each_byte),
        cmocka_unit_test(test_mutations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
