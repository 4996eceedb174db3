/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/region.c hv/mem.c */
/* How much memory Sluice takes: enough for its tables, never what leaves no room for a guest. */
#include "tests/unit/machine_world.h"
#include "arch/paging.h"
#include "hv/mem.h"
#include "hv/options.h"

#define MB 0x100000ull
#define GB (1024 * MB)

struct options options;

/* Asked for by mem_init() only, which is not run here. */
u64 region_base(void)
{
    return 0;
}

u64 region_size(void)
{
    return 0;
}

static struct boot_info info;

/* A machine with `low` bytes below 4 GiB, in one piece, and `high` above. */
static u64 choose(u64 low, u64 high, u64 *size)
{
    info = (struct boot_info){ .nr_ranges = 2 };
    info.ranges[0] = (struct boot_range){ MB, low, BOOT_MEM_RAM };
    info.ranges[1] = (struct boot_range){ 4 * GB, high, BOOT_MEM_RAM };
    return region_choose(&info, size);
}

static bool refused(u64 low, u64 high)
{
    u64 size;

    return ends(choose(low, high, &size));
}

static void tables_for_all_of_ram(void **state)
{
    static const struct {
        u64 ram, want;
    } t[] = {
        { GB, 32 * MB },
        { 64 * GB, 32 * MB },
        { 1021 * GB - 1, 32 * MB }, /* two tables of 4 MiB: a quarter */
        { 1021 * GB, 42 * MB },
        { 1276 * GB - 1, 42 * MB },
        { 1276 * GB, 42 * MB },
        { 1277 * GB, 44 * MB },
    };
    u64 size;

    (void)state;
    options.memory = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        assert_int_equal(choose(GB, t[i].ram - GB, &size), MB + GB - MB - t[i].want);
        assert_int_equal(size, t[i].want);
    }
}

static void what_was_asked_for(void **state)
{
    u64 size;

    (void)state;
    options.memory = 128 * MB;
    assert_int_equal(choose(GB, 2000 * GB, &size), GB - 128 * MB);
    assert_int_equal(size, 128 * MB);
}

static void room_for_a_guest(void **state)
{
    u64 size;

    (void)state;
    options.memory = 0;
    assert_int_equal(choose(64 * MB, 0, &size), 32 * MB);
    assert_true(refused(64 * MB - 1, 0));
    assert_false(refused(64 * MB - 1, 1));
    options.memory = 48 * MB;
    assert_false(refused(80 * MB, 0));
    assert_true(refused(80 * MB - 1, 0));
}

/* There is enough, but nowhere in one piece below 4 GiB. */
static void no_place(void **state)
{
    (void)state;
    options.memory = 0;
    assert_true(refused(16 * MB, 16 * GB));
    assert_non_null(strstr(last_line, "32 MiB in one piece below 4 GiB"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(tables_for_all_of_ram, machine_set_up),
        cmocka_unit_test_setup(what_was_asked_for, machine_set_up),
        cmocka_unit_test_setup(room_for_a_guest, machine_set_up),
        cmocka_unit_test_setup(no_place, machine_set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
