/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/loader.c hv/mem.c */
/* What is refused whatever the format, and who gets which memory. */
#include "tests/unit/loader_world.h"

/* ---- the one format that is known here ---- */

static bool is_known;
static const char *broken, *unloadable;
static struct guest_image seen;

static bool detect(const struct guest_image *image)
{
    seen = *image;
    return is_known;
}

static bool detect_nothing(const struct guest_image *image)
{
    (void)image;
    return false;
}

static const char *parse(const struct guest_image *image)
{
    (void)image;
    return broken;
}

static const char *load(struct guest_image *image, struct vcpu_start *start)
{
    (void)image;
    start->rip = MB;
    return unloadable;
}

const struct guest_loader linux_loader = { "none", detect_nothing, NULL, NULL };
const struct guest_loader multiboot_loader = { "known", detect, parse, load };
const struct guest_loader pvh_loader = { "none", detect_nothing, NULL, NULL };

static struct guest_image image;

static int set_up(void **state)
{
    is_known = true;
    broken = unloadable = NULL;
    memset(&image, 0, sizeof(image));
    return world_set_up(state);
}

/* ---- files ---- */

static void fields_end_with_the_file(void **state)
{
    static const struct guest_file file = { .base = 4 * MB, .size = 16 };
    static const struct {
        u64 off, size;
        bool has;
    } t[] = { { 0, 0, true },   { 0, 16, true },     { 0, 17, false },    { 15, 1, true },
              { 15, 2, false }, { 16, 0, true },     { 16, 1, false },    { 17, 0, false },
              { 17, 1, false }, { 8, ~0ull, false }, { ~0ull, 1, false }, { ~0ull, ~0ull, false } };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
        if (loader_has(&file, t[i].off, t[i].size) != t[i].has)
            fail_msg("%u", i);
    assert_int_equal(loader_field(&file, 8, 8), 0xccccccccccccccccull);
    assert_int_equal(loader_field(&file, 14, 2), 0xcccc);
    assert_int_equal(loader_field(&file, 15, 2), 0);
    assert_int_equal(loader_field(&file, 9, 8), 0);
}

static void files_lie_in_memory(void **state)
{
    static const struct {
        u64 base, size;
        bool good;
    } t[] = { { MB, 1, true },          { MB - 1, 1, false },          { MB - 1, 2, false },
              { MB, WORLD - MB, true }, { MB, WORLD - MB + 1, false }, { MB + 1, WORLD - MB, false },
              { MB, ~0ull, false },     { WORLD - 1, 1, true },        { WORLD - 1, 2, false },
              { WORLD, 1, false },      { 0xa0000 - 1, 1, true },      { 0xe0000, 1, false },
              { 0xe0000, 0, true }, /* nobody will read it */
              { ~0ull - 4, 1, false },  { ~0ull - 4, 16, false } };

    (void)state;
    add_module(4 * MB, "kernel", 6, "");
    world_info.nr_modules = 2;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        world_info.modules[1].base = t[i].base;
        world_info.modules[1].size = t[i].size;
        if (!try_check() != t[i].good)
            fail_msg("%u", i);
    }
    assert_non_null(strstr(refusal, "guest image: module 2 at 0xfffffffffffffffb is not in memory"));
}

static void what_is_wrong_is_said(void **state)
{
    struct vcpu_start start;

    (void)state;
    assert_non_null(strstr(try_check(), "no guest"));
    add_module(4 * MB, "kernel", 6, "one");
    add_module(5 * MB, "module", 6, "two");
    assert_null(try_check());
    world_info.modules_cut = true;
    assert_non_null(strstr(try_check(), "too many modules for the guest; at most 64"));
    world_info.modules_cut = false;
    world_info.modules[1].cmdline_cut = true;
    assert_non_null(strstr(try_check(), "the command line of module 2 is too long; at most 2047 characters"));
    world_info.modules[1].cmdline_cut = false;
    is_known = false;
    assert_non_null(strstr(try_check(), "the guest image is neither"));
    is_known = true;
    broken = "it is cut off";
    assert_non_null(strstr(try_check(), "the guest image (known) is broken: it is cut off;"));
    assert_non_null(strstr(try_load(&start), "the guest image (known) cannot be loaded: it is cut off"));
    broken = NULL;
    unloadable = "it is too large";
    assert_non_null(strstr(try_load(&start), "the guest image (known) cannot be loaded: it is too large"));
}

/* As many as there may be are described, and what an earlier list left behind them is not. */
static void all_modules_count_and_no_more(void **state)
{
    struct vcpu_start start;

    for (unsigned n = 1; n <= BOOT_MAX_MODULES; n += BOOT_MAX_MODULES - 1) {
        set_up(state);
        for (unsigned i = 0; i < BOOT_MAX_MODULES; i++)
            add_module(4 * MB + i * PAGE_SIZE, "module", 6, "x");
        world_info.nr_modules = n;
        if (n < BOOT_MAX_MODULES)
            world_info.modules[n].cmdline_cut = true;
        assert_null(try_check());
        assert_null(try_load(&start));
        assert_int_equal(seen.nr_modules, n - 1);
        assert_int_equal(seen.nr_busy, n);
        assert_int_equal(seen.files[n - 1].base, 4 * MB + (n - 1) * PAGE_SIZE);
        assert_int_equal(seen.files[n - 1].size, 6);
        assert_string_equal(seen.files[n - 1].cmdline, "x");
        assert_int_equal(seen.rsdp, WORLD_RSDP);
        assert_ptr_equal(seen.boot, &world_info);
        /* Of how the guest starts nothing is left to chance. */
        assert_int_equal(start.rip, MB);
        assert_int_equal(start.cr3, 0);
        assert_int_equal(start.gpr[RBX], 0);
    }
}

/* ---- memory ---- */

/* The image has files at these places, a page each; 0 ends them. */
static void files_at(const u64 *at)
{
    memset(&image, 0, sizeof(image));
    for (unsigned i = 0; at[i]; i++) {
        image.nr_modules = i;
        image.files[i] = (struct guest_file){ .base = at[i], .size = PAGE_SIZE, .cmdline = "" };
        image.busy[image.nr_busy++] = (struct boot_range){ .base = at[i], .size = PAGE_SIZE };
    }
}

static void free_ram_can_be_claimed(void **state)
{
    static const u64 files[] = { 20 * MB, 30 * MB, 0 };
    static const struct {
        u64 base, size;
        bool free;
    } t[] = { { MB, 0, false },
              { MB - 1, 1, false },
              { MB - 1, 2, false },
              { MB, PAGE_SIZE, true },
              { MB, 1, false }, /* it is taken by now */
              { MB + PAGE_SIZE - 1, 1, false },
              { MB + PAGE_SIZE, 1, true },
              { 20 * MB, 20 * MB, true }, /* files can be moved */
              { 40 * MB, WORLD_FIRST - 40 * MB + 1, false },
              { 40 * MB, WORLD_FIRST - 40 * MB, true },
              { WORLD_FIRST, 1, false },
              { WORLD_FIRST + 8 * MB - 1, 2, false },
              { WORLD_FIRST + 8 * MB, 8 * MB + 1, false },
              { WORLD_FIRST + 8 * MB, 8 * MB, true },
              { WORLD, 1, false },
              { 2 * MB, ~0ull, false } };

    (void)state;
    /* Memory from 0 on: below 1 MiB it is not for guests all the same. */
    world_info.ranges[0] = (struct boot_range){ 0, WORLD, BOOT_MEM_RAM };
    assert_int_equal(world_ranges(1), 0);
    files_at(files);
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        /* What another guest has left behind the list of what is taken. */
        image.busy[image.nr_busy] = (struct boot_range){ .base = 0, .size = WORLD };
        if (place_claim(&image, t[i].base, t[i].size) != t[i].free)
            fail_msg("%u", i);
    }
}

static void the_highest_room_is_found(void **state)
{
    static const u64 files[] = { WORLD - PAGE_SIZE, 0 };
    unsigned taken;

    (void)state;
    files_at(files);
    assert_int_equal(place_find(&image, MB, PAGE_SIZE), WORLD - PAGE_SIZE - MB);
    assert_int_equal(place_find(&image, MB, 2 * MB), WORLD - 4 * MB);
    assert_int_equal(place_find(&image, MB, PAGE_SIZE), WORLD - PAGE_SIZE - 2 * MB);
    taken = image.nr_busy;
    assert_int_equal(place_find(&image, 47 * MB + 1, 1), 0);
    assert_int_equal(image.nr_busy, taken);
    assert_int_equal(place_find(&image, 47 * MB, 1), MB);
    /* What lies above 4 GiB a guest does not reach when it starts. */
    world_info.ranges[3] = (struct boot_range){ TOP, 1024 * MB, BOOT_MEM_RAM };
    assert_int_equal(world_ranges(4), 0);
    assert_int_equal(place_find(&image, MB, PAGE_SIZE), 4095 * MB);
}

static void files_move_out_of_the_way(void **state)
{
    enum { KEPT, CLAIMED, AT_LIMIT, ABOVE, BEHIND };
    static const u64 files[] = { 10 * MB, 20 * MB, 30 * MB - PAGE_SIZE, 30 * MB - PAGE_SIZE + 1, 0 };

    (void)state;
    files_at(files);
    image.files[BEHIND] = (struct guest_file){ .base = 20 * MB, .size = 1 }; /* another guest's */
    image.files[KEPT].size = 0;
    memset(world + files[CLAIMED], 'c', PAGE_SIZE);
    assert_true(place_claim(&image, 10 * MB, 20 * MB - PAGE_SIZE));
    assert_true(place_files(&image, 30 * MB));
    assert_int_equal(image.files[KEPT].base, 10 * MB); /* nothing is in it */
    assert_int_equal(image.files[AT_LIMIT].base, 30 * MB - PAGE_SIZE);
    assert_int_equal(image.files[CLAIMED].base, 10 * MB - PAGE_SIZE);
    assert_int_equal(image.files[ABOVE].base, 10 * MB - 2 * PAGE_SIZE);
    assert_int_equal(image.files[BEHIND].base, 20 * MB);
    for (unsigned i = 0; i < PAGE_SIZE; i++)
        assert_int_equal(world[10 * MB - PAGE_SIZE + i], 'c');
    assert_false(place_files(&image, MB + PAGE_SIZE - 1));
}

/* ---- what a guest is told ---- */

static void strings_stand_one_after_the_other(void **state)
{
    struct writer w;
    u64 gpa;

    (void)state;
    assert_true(writer_init(&w, &image));
    assert_true(is_aligned(w.gpa, PAGE_SIZE));
    u32 first = writer_string(&w, "1234567"), second = writer_string(&w, "12345678"),
        third = writer_string(&w, "");
    assert_int_equal(first, w.gpa);
    assert_int_equal(second, first + 8);
    assert_int_equal(third, second + 16);
    assert_string_equal((char *)world + first, "1234567");
    assert_string_equal((char *)world + second, "12345678");
    assert_string_equal((char *)world + third, "");
    void *behind = writer_reserve(&w, 1, &gpa);
    assert_int_equal(gpa, third + 8);
    assert_ptr_equal(behind, world + gpa);
    assert_int_equal(world_u64(gpa), 0);
    /* Below 1 MiB there is no room for it. */
    assert_int_equal(world_ranges(2), 0);
    assert_false(writer_init(&w, &image));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(fields_end_with_the_file, set_up),
        cmocka_unit_test_setup(files_lie_in_memory, set_up),
        cmocka_unit_test_setup(what_is_wrong_is_said, set_up),
        cmocka_unit_test_setup(all_modules_count_and_no_more, set_up),
        cmocka_unit_test_setup(free_ram_can_be_claimed, set_up),
        cmocka_unit_test_setup(the_highest_room_is_found, set_up),
        cmocka_unit_test_setup(files_move_out_of_the_way, set_up),
        cmocka_unit_test_setup(strings_stand_one_after_the_other, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
