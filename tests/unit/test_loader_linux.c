/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/loader.c hv/loader_linux.c hv/loader_elf.c hv/loader_multiboot.c hv/loader_pvh.c */
/* LINK: hv/loader_firmware.c hv/mem.c */
/* bzImage: what the kernel finds at its entry, wherever the files lay; and images that lie about themselves.
 */
#include "tests/unit/loader_world.h"

#define SETUP     (5 * 512)
#define CODE      0x30000u
#define INIT_SIZE 0x80000u
#define PREF      (16 * MB)

static u8 kernel[SETUP + CODE];

static void set(u8 *file, unsigned off, unsigned width, u64 value)
{
    memcpy(file + off, &value, width);
}

static void make_kernel(void)
{
    memset(kernel, 0, sizeof(kernel));
    for (unsigned i = 0; i < CODE; i++)
        kernel[SETUP + i] = (u8)(i * 7 + i / 251);
    memset(kernel + 0x26c, 0xdd, 0x40); /* behind the header's end */
    set(kernel, 0x1f1, 1, 4);
    set(kernel, 0x1f4, 4, CODE / 16);
    set(kernel, 0x1fe, 2, 0xaa55);
    set(kernel, 0x200, 2, 0x6aeb);
    set(kernel, 0x202, 4, 0x53726448);
    set(kernel, 0x206, 2, 0x20f);
    set(kernel, 0x20e, 2, 0x100);
    memcpy(kernel + 0x300, "6.1.0-!~ (a b)", 15);
    set(kernel, 0x22c, 4, 0x7fffffff);
    set(kernel, 0x230, 4, 0x200000);
    set(kernel, 0x234, 1, 1);
    set(kernel, 0x236, 2, 3);
    set(kernel, 0x238, 4, 2047);
    set(kernel, 0x250, 8, 0xdeadbeef000);
    set(kernel, 0x258, 8, PREF);
    set(kernel, 0x260, 4, INIT_SIZE);
}

static int set_up(void **state)
{
    make_kernel();
    return world_set_up(state);
}

/* Whatever the address, the tables given must map it to itself. */
static void check_identity(u64 cr3, u64 addr)
{
    u64 pml4e = world_u64(cr3), pdpte, pde;

    assert_true(addr < 4096 * MB);
    assert_int_equal(pml4e & 1, 1);
    pdpte = world_u64((pml4e & ~0xfffull) + (addr >> 30) * 8);
    assert_int_equal(pdpte & 1, 1);
    pde = world_u64((pdpte & ~0xfffull) + (addr >> 21 & 511) * 8);
    assert_int_equal(pde & 0x83, 0x83);
    assert_int_equal(pde & ~0x1fffffull, align_down(addr, SIZE_2M));
}

static void check_started(const struct vcpu_start *start, u64 at, const char *initrd, u64 initrd_size)
{
    u64 params = start->gpr[RSI], pdpt = world_u64(start->cr3) & ~0xfffull;
    char line[128];

    assert_int_equal(start->mode, START_LONG64);
    assert_int_equal(start->rip, at + 0x200);
    assert_int_equal(start->gpr[RBX], 0);
    assert_memory_equal(world + at, kernel + SETUP, CODE);
    check_identity(start->cr3, at);
    check_identity(start->cr3, params);
    check_identity(start->cr3, 0xfee00000);
    check_identity(start->cr3, 0xffffffff);
    assert_int_equal(world_u64(pdpt + 4 * 8), 0); /* nothing above 4 GiB */
    assert_int_equal(start->gdt_limit, 31);
    assert_int_equal(world_u64(start->gdt_base), 0);
    assert_int_equal(world_u64(start->gdt_base + 0x10), 0x00af9b000000ffff);
    assert_int_equal(world_u64(start->gdt_base + 0x18), 0x00cf93000000ffff);

    assert_int_equal(world[params + 0x1ef], 0); /* sentinel */
    assert_int_equal(world_u32(params + 0x202), 0x53726448);
    assert_int_equal(world[params + 0x210], 0xff);
    assert_int_equal(world[params + 0x211] & 1, 1);
    assert_int_equal(world_u64(params + 0x70), WORLD_RSDP);
    assert_int_equal(world_u64(params + 0x250), 0); /* not the file's */
    assert_int_equal(world_u64(params + 0x26c), 0); /* behind the header's real end */
    assert_string_equal((char *)world + world_u32(params + 0x228), "console=ttyS0");
    assert_int_equal(world_u32(params + 0x21c), initrd_size);
    assert_int_equal(world_u32(params + 0x218) != 0, initrd_size != 0);
    if (initrd_size)
        assert_memory_equal(world + world_u32(params + 0x218), initrd, initrd_size);
    /* e820: the region is in it, reserved. */
    assert_int_equal(world[params + 0x1e8], 5);
    assert_int_equal(world_u64(params + 0x2d0 + 3 * 20), WORLD_FIRST);
    assert_int_equal(world_u32(params + 0x2d0 + 3 * 20 + 16), BOOT_MEM_RESERVED);
    assert_int_equal(world_u64(params + 0x2d0 + 4 * 20), WORLD_FIRST + 8 * MB);
    assert_int_equal(world_u64(params + 0x2d0 + 5 * 20 + 8), 0);
    snprintf(line, sizeof(line), "Linux 6.1.0-!~ at 0x%lx, 19", at);
    assert_non_null(strstr(logged, line));
    snprintf(line, sizeof(line), " KiB; initrd %lu KiB", initrd_size >> 10);
    assert_non_null(strstr(logged, line));
}

static void loads_where_it_prefers(void **state)
{
    struct vcpu_start start;

    (void)state;
    add_module(4 * MB, kernel, sizeof(kernel), "console=ttyS0");
    assert_null(try_check());
    assert_null(try_load(&start));
    check_started(&start, PREF, NULL, 0);
    assert_non_null(strstr(logged, " 192 KiB; "));
    assert_int_equal(world[start.gpr[RSI] + 0x0f], 0); /* no frame buffer */
}

/* What the limit of initrds is does not matter where there is none; the frame buffer is passed on. */
static void loads_alone(void **state)
{
    struct vcpu_start start;

    (void)state;
    world_info.framebuffer.base = MB;
    set(kernel, 0x22c, 4, 0);
    set(kernel, 0x1f1, 1, 0); /* means 4 */
    add_module(4 * MB, kernel, sizeof(kernel), "console=ttyS0");
    assert_null(try_load(&start));
    check_started(&start, PREF, NULL, 0);
    assert_int_equal(world[start.gpr[RSI] + 0x0f], 0x70);
}

/* The header counts paragraphs of 16 bytes. */
static void last_paragraph_need_not_be_whole(void **state)
{
    for (unsigned missing = 0; missing <= 16; missing++) {
        struct vcpu_start start;

        set_up(state);
        memset(kernel + sizeof(kernel) - missing, 0xcc, missing); /* what is in memory that nobody wrote */
        add_module(4 * MB, kernel, sizeof(kernel) - missing, "console=ttyS0");
        if (missing == 16) {
            assert_non_null(try_check());
            continue;
        }
        assert_null(try_check());
        assert_null(try_load(&start));
        check_started(&start, PREF, NULL, 0);
    }
}

/* Kernel and initrd at every awkward place: on the destination, on each other's, at the edges. */
static void files_in_the_way_are_moved(void **state)
{
    static const u64 at[] = { 2 * MB,        PREF - MB,   PREF - 0x1000, PREF,
                              PREF + 0x1000, PREF + CODE, 40 * MB,       56 * MB };
    static char initrd[0x40000];

    for (unsigned i = 0; i < sizeof(initrd); i++)
        initrd[i] = (char)(i * 13 + i / 509);
    for (unsigned k = 0; k < ARRAY_SIZE(at); k++)
        for (unsigned r = 0; r < ARRAY_SIZE(at); r++) {
            struct vcpu_start start;
            if (ranges_overlap(at[k], sizeof(kernel), at[r], sizeof(initrd)))
                continue;
            set_up(state);
            add_module(at[k], kernel, sizeof(kernel), "console=ttyS0");
            add_module(at[r], initrd, sizeof(initrd), "");
            assert_null(try_check());
            assert_null(try_load(&start));
            check_started(&start, PREF, initrd, sizeof(initrd));
        }
}

static void moves_when_its_place_is_taken(void **state)
{
    struct vcpu_start start;

    (void)state;
    set(kernel, 0x258, 8, 50 * MB); /* inside the region */
    add_module(4 * MB, kernel, sizeof(kernel), "console=ttyS0");
    assert_null(try_load(&start));
    assert_true(is_aligned(start.rip - 0x200, 0x200000));
    check_started(&start, start.rip - 0x200, NULL, 0);
    set(kernel, 0x234, 1, 0); /* not relocatable */
    world_info.nr_modules = 0;
    add_module(4 * MB, kernel, sizeof(kernel), "console=ttyS0");
    assert_true(is_refused());
}

static void initrd_stays_below_its_limit(void **state)
{
    static const char initrd[0x3000] = "initrd";
    static const u64 at[][2] = { { 20 * MB, 10 * MB - sizeof(initrd) },
                                 { 10 * MB - sizeof(initrd) + 1, 10 * MB - 2 * sizeof(initrd) },
                                 { 10 * MB - sizeof(initrd), 10 * MB - sizeof(initrd) } };

    for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
        struct vcpu_start start;

        set_up(state);
        set(kernel, 0x22c, 4, 10 * MB - 1);
        add_module(4 * MB, kernel, sizeof(kernel), "console=ttyS0");
        add_module(at[i][0], initrd, sizeof(initrd), "");
        assert_null(try_load(&start));
        check_started(&start, PREF, initrd, sizeof(initrd));
        assert_int_equal(world_u32(start.gpr[RSI] + 0x218), at[i][1]);
    }
}

/* The last place below 4 GiB is as good as any; one byte on, and it goes elsewhere, though there is memory.
 */
static void kernel_stays_below_4_gib(void **state)
{
    static const u64 places[][2] = { { 4096 * MB - INIT_SIZE, 4096 * MB - INIT_SIZE },
                                     { 4096 * MB - INIT_SIZE + 1, TOP },
                                     { 4096 * MB, TOP } };

    for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
        struct vcpu_start start;

        set_up(state);
        world_info.ranges[3] = (struct boot_range){ TOP, 4 * MB, BOOT_MEM_RAM };
        assert_int_equal(world_ranges(4), 0);
        set(kernel, 0x258, 8, places[i][0]);
        add_module(4 * MB, kernel, sizeof(kernel), "console=ttyS0");
        assert_null(try_load(&start));
        assert_int_equal(start.rip, places[i][1] + 0x200);
        assert_memory_equal(phys_to_virt(places[i][1]), kernel + SETUP, CODE);
    }
}

/* Its name for itself ends at a blank, at what is no character, and where the line would be too long. */
static void name_is_cut(void **state)
{
    static const struct {
        const char *text, *shown;
    } t[] = { { "6.1 #1", "Linux 6.1 at" },
              { "6.1\x7f", "Linux 6.1 at" },
              { "6.1\x1fx", "Linux 6.1 at" },
              { "", "Linux  at" },
              { "12345678901234567890123456789012345678901234567",
                "Linux 12345678901234567890123456789012345678901234567 at" },
              { "123456789012345678901234567890123456789012345678",
                "Linux 12345678901234567890123456789012345678901234567 at" } };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        struct vcpu_start start;

        set_up(state);
        memcpy(kernel + 0x300, t[i].text, strlen(t[i].text) + 1);
        add_module(4 * MB, kernel, sizeof(kernel), "console=ttyS0");
        assert_null(try_load(&start));
        if (!strstr(logged, t[i].shown))
            fail_msg("%s", logged);
    }
}

/* Only what is the header's own is copied, whatever length it claims. */
static void header_ends_where_boot_params_go_on(void **state)
{
    struct vcpu_start start;

    (void)state;
    set(kernel, 0x201, 1, 0xff);
    add_module(4 * MB, kernel, sizeof(kernel), "console=ttyS0");
    assert_null(try_load(&start));
    assert_int_equal(world[start.gpr[RSI] + 0x28f], 0xdd);
    assert_int_equal(world[start.gpr[RSI] + 0x290], 0);
}

static void long_memory_maps_continue_in_setup_data(void **state)
{
    struct vcpu_start start;

    (void)state;
    for (unsigned i = 0; i < 200; i++)
        world_info.ranges[3 + i] =
            (struct boot_range){ 4096 * MB + 2 * i * MB, MB, i % 2 ? BOOT_MEM_NVS : BOOT_MEM_RESERVED };
    assert_int_equal(world_ranges(203), 0);
    add_module(4 * MB, kernel, sizeof(kernel), "");
    assert_null(try_load(&start));
    u64 params = start.gpr[RSI], more = world_u64(params + 0x250);
    assert_int_equal(world[params + 0x1e8], 128);
    assert_int_not_equal(more, 0);
    assert_int_equal(world_u64(more), 0);
    assert_int_equal(world_u32(more + 8), 1);
    assert_int_equal(world_u32(more + 12), (205 - 128) * 20);
    assert_int_equal(world_u64(more + 16 + (205 - 128 - 1) * 20), 4096 * MB + 2 * 199 * MB);
}

/* The last that is good, and the first that is not. */
static void liars_are_refused(void **state)
{
    static const struct {
        unsigned off, width;
        u64 value;
        const char *because; /* NULL: it is good */
    } lies[] = {
        { 0x1fe, 2, 0xaa54, "neither" },
        { 0x202, 4, 0x53726449, "neither" },
        { 0x206, 2, 0x20b, "older than 2.12" },
        { 0x206, 2, 0x20c, NULL },
        { 0x236, 2, 2, "no 64-bit entry" },
        { 0x1f1, 1, 255, "shorter" }, /* its code begins behind the end */
        { 0x1f4, 4, 0xffffffff, "shorter" },
        { 0x1f4, 4, CODE / 16 + 1, "shorter" },
        { 0x1f4, 4, 0, "shorter" },
        { 0x1f4, 4, 32, "shorter" }, /* ends at its entry */
        { 0x1f4, 4, 33, NULL },
        { 0x260, 4, CODE - 1, "init_size" },
        { 0x260, 4, CODE, NULL },
        { 0x260, 4, 0xffffffff, "not enough memory" },
        { 0x230, 4, 0, "kernel_alignment" },
        { 0x230, 4, 0x800, "kernel_alignment" },
        { 0x230, 4, 0x1000, NULL },
        { 0x230, 4, 0x300000, "kernel_alignment" },
        { 0x230, 4, 0x40000000, NULL },
        { 0x230, 4, 0x80000000, "kernel_alignment" },
        { 0x230, 4, 0xffffffff, "kernel_alignment" },
        { 0x238, 4, 12, "command line" },
        { 0x238, 4, 13, NULL }, /* "console=ttyS0" */
    };

    for (unsigned i = 0; i < ARRAY_SIZE(lies); i++) {
        char change[32];

        set_up(state);
        set(kernel, lies[i].off, lies[i].width, lies[i].value);
        snprintf(change, sizeof(change), "%x = %llx", lies[i].off, (unsigned long long)lies[i].value);
        add_module(4 * MB, kernel, sizeof(kernel), "console=ttyS0");
        judge(lies[i].because, change);
    }
}

static void one_initrd_is_taken(void **state)
{
    struct vcpu_start start;

    (void)state;
    add_module(4 * MB, kernel, sizeof(kernel), "console=ttyS0");
    add_module(5 * MB, "initrd", 6, "");
    assert_null(try_check());
    add_module(6 * MB, "initrd", 6, "");
    assert_non_null(strstr(try_check(), "more than one initrd"));
    assert_non_null(strstr(try_load(&start), "cannot be loaded: more than one initrd"));
}

/* Shorter than what is needed by a byte: so much code, and its entry must be in it. */
static void entry_is_in_the_file(void **state)
{
    for (unsigned missing = 0; missing < 2; missing++) {
        set_up(state);
        set(kernel, 0x1f4, 4, 33);
        add_module(4 * MB, kernel, SETUP + 528 - missing, "");
        assert_int_equal(!try_check(), !missing);
    }
}

static void cut_files_are_refused(void **state)
{
    (void)state;
    for (u64 size = 0; size < sizeof(kernel); size += size < 0x400 ? 1 : 0x333) {
        world_info.nr_modules = 0;
        add_module(4 * MB, kernel, size, "");
        assert_non_null(try_check());
        assert_non_null(strstr(refusal, "guest image"));
    }
}

static void noise_does_no_harm(void **state)
{
    static u8 file[0x4000];

    (void)state;
    srand(3);
    for (unsigned round = 0; round < 400; round++) {
        make_kernel();
        memcpy(file, kernel, sizeof(file));
        set(file, 0x1f4, 4, 0x100);
        for (unsigned i = 0; i < 3; i++)
            set(file, 0x1f1 + (unsigned)rand() % 0x80, 1 + (unsigned)rand() % 8,
                (u64)rand() << 40 | (u64)rand());
        throw_at_loader(file, sizeof(file));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(loads_where_it_prefers, set_up),
        cmocka_unit_test_setup(loads_alone, set_up),
        cmocka_unit_test_setup(last_paragraph_need_not_be_whole, set_up),
        cmocka_unit_test_setup(files_in_the_way_are_moved, set_up),
        cmocka_unit_test_setup(moves_when_its_place_is_taken, set_up),
        cmocka_unit_test_setup(initrd_stays_below_its_limit, set_up),
        cmocka_unit_test_setup(long_memory_maps_continue_in_setup_data, set_up),
        cmocka_unit_test_setup(kernel_stays_below_4_gib, set_up),
        cmocka_unit_test_setup(name_is_cut, set_up),
        cmocka_unit_test_setup(header_ends_where_boot_params_go_on, set_up),
        cmocka_unit_test_setup(liars_are_refused, set_up),
        cmocka_unit_test_setup(one_initrd_is_taken, set_up),
        cmocka_unit_test_setup(entry_is_in_the_file, set_up),
        cmocka_unit_test_setup(cut_files_are_refused, set_up),
        cmocka_unit_test_setup(noise_does_no_harm, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
