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
    set(kernel, 0x1f1, 1, 4);
    set(kernel, 0x1f4, 4, CODE / 16);
    set(kernel, 0x1fe, 2, 0xaa55);
    set(kernel, 0x200, 2, 0x6aeb);
    set(kernel, 0x202, 4, 0x53726448);
    set(kernel, 0x206, 2, 0x20f);
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
    u64 params = start->gpr[RSI];

    assert_int_equal(start->mode, START_LONG64);
    assert_int_equal(start->rip, at + 0x200);
    assert_memory_equal(world + at, kernel + SETUP, CODE);
    check_identity(start->cr3, at);
    check_identity(start->cr3, params);
    check_identity(start->cr3, 0xfee00000);
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
    if (initrd_size)
        assert_memory_equal(world + world_u32(params + 0x218), initrd, initrd_size);
    /* e820: the region is in it, reserved. */
    assert_int_equal(world[params + 0x1e8], 5);
    assert_int_equal(world_u64(params + 0x2d0 + 3 * 20), WORLD_FIRST);
    assert_int_equal(world_u32(params + 0x2d0 + 3 * 20 + 16), BOOT_MEM_RESERVED);
}

static void loads_where_it_prefers(void **state)
{
    struct vcpu_start start;

    (void)state;
    add_module(4 * MB, kernel, sizeof(kernel), "console=ttyS0");
    assert_null(try_check());
    assert_null(try_load(&start));
    check_started(&start, PREF, NULL, 0);
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
    struct vcpu_start start;

    (void)state;
    set(kernel, 0x22c, 4, 10 * MB - 1);
    add_module(30 * MB, kernel, sizeof(kernel), "console=ttyS0");
    add_module(20 * MB, initrd, sizeof(initrd), "");
    assert_null(try_load(&start));
    check_started(&start, PREF, initrd, sizeof(initrd));
    assert_true(world_u32(start.gpr[RSI] + 0x218) + sizeof(initrd) <= 10 * MB);
}

static void long_memory_maps_continue_in_setup_data(void **state)
{
    struct vcpu_start start;

    (void)state;
    for (unsigned i = 0; i < 200; i++)
        world_info.ranges[world_info.nr_ranges++] =
            (struct boot_range){ 4096 * MB + 2 * i * MB, MB, i % 2 ? BOOT_MEM_NVS : BOOT_MEM_RESERVED };
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

static void liars_are_refused(void **state)
{
    static const struct {
        unsigned off, width;
        u64 value;
    } lies[] = {
        { 0x206, 2, 0x20b },         /* old protocol */
        { 0x236, 2, 2 },             /* no 64-bit entry */
        { 0x1f4, 4, 0xffffffff },    /* larger than the file */
        { 0x1f4, 4, CODE / 16 + 1 }, /* by a little */
        { 0x1f4, 4, 0 },             /* nothing there */
        { 0x1f4, 4, 0x20 },          /* ends at its entry */
        { 0x1f1, 1, 255 },           /* code begins behind the end */
        { 0x260, 4, CODE - 1 },      /* needs less than it is */
        { 0x260, 4, 0xffffffff },    /* needs more than there is */
        { 0x230, 4, 0 },             /* alignments */
        { 0x230, 4, 0x300000 },
        { 0x230, 4, 0xffffffff },
        { 0x238, 4, 0 }, /* no room for the command line */
    };

    for (unsigned i = 0; i < ARRAY_SIZE(lies); i++) {
        set_up(state);
        set(kernel, lies[i].off, lies[i].width, lies[i].value);
        add_module(4 * MB, kernel, sizeof(kernel), "console=ttyS0");
        if (!is_refused())
            fail_msg("lie %u was believed", i);
    }
}

static void cut_files_are_refused(void **state)
{
    for (u64 size = 0; size < sizeof(kernel); size += size < 0x400 ? 1 : 0x333) {
        set_up(state);
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

static void what_is_missing_is_said(void **state)
{
    (void)state;
    assert_non_null(try_check());
    assert_non_null(strstr(refusal, "no guest"));
    add_module(4 * MB, "#!/bin/sh", 9, "");
    assert_non_null(try_check());
    assert_non_null(strstr(refusal, "guest image"));
    world_info.modules[0].base = 0xe0000; /* not RAM */
    assert_non_null(try_check());
    assert_non_null(strstr(refusal, "guest image"));
    world_info.modules[0].base = ~0ull - 4;
    assert_non_null(try_check());
    world_info.modules[0].base = 4 * MB;
    world_info.modules[0].cmdline_cut = true;
    assert_non_null(try_check());
    assert_non_null(strstr(refusal, "command line"));
}

/* Entries longer than the specification's, as firmware has them; the region touches the last two. */
static void firmware_is_passed_on(void **state)
{
    enum { ENTRY = 48 };
    static const u64 in[][3] = { { 0, 0, 160 }, { 4, MB, 47 * 256 + 256 }, { 7, 49 * MB, 15 * 256 } };
    static const u64 out[][3] = { { 0, 0, 160 },
                                  { 4, MB, 47 * 256 },
                                  { 0, 48 * MB, 256 },
                                  { 0, 49 * MB, 7 * 256 },
                                  { 7, 56 * MB, 8 * 256 } };
    struct boot_efi_map *map = &world_info.efi_map;
    struct vcpu_start start;

    (void)state;
    world_info.efi_system_table = 0x123456789000;
    world_info.framebuffer = (struct boot_framebuffer){
        .base = 0x4080000000,
        .size = 0x400000,
        .width = 1280,
        .height = 800,
        .pitch = 5120,
        .red_at = 16,
        .green_at = 8,
    };
    map->size = sizeof(in) / sizeof(in[0]) * ENTRY;
    map->entry_size = ENTRY;
    map->version = 1;
    for (unsigned i = 0; i < ARRAY_SIZE(in); i++) {
        memset(map->bytes + i * ENTRY, 0x40 + (int)i, ENTRY);
        memcpy(map->bytes + i * ENTRY, &in[i][0], 8);
        memcpy(map->bytes + i * ENTRY + 8, &in[i][1], 8);
        memcpy(map->bytes + i * ENTRY + 24, &in[i][2], 8);
    }
    add_module(4 * MB, kernel, sizeof(kernel), "console=ttyS0");
    assert_null(try_load(&start));
    check_started(&start, PREF, NULL, 0);

    u64 params = start.gpr[RSI], at = world_u32(params + 0x1d0);
    assert_int_equal(world_u32(params + 0x1c0), 0x34364c45);
    assert_int_equal(world_u32(params + 0x1c4), 0x56789000);
    assert_int_equal(world_u32(params + 0x1d8), 0x1234);
    assert_int_equal(world_u32(params + 0x1c8), ENTRY);
    assert_int_equal(world_u32(params + 0x1d4), sizeof(out) / sizeof(out[0]) * ENTRY);
    for (unsigned i = 0; i < ARRAY_SIZE(out); i++) {
        assert_int_equal(world_u32(at + i * ENTRY), out[i][0]);
        assert_int_equal(world_u64(at + i * ENTRY + 8), out[i][1]);
        assert_int_equal(world_u64(at + i * ENTRY + 24), out[i][2]);
        assert_int_equal(world[at + i * ENTRY + 47], i == 0 ? 0x40 : i < 3 ? 0x41 : 0x42);
    }
    assert_int_equal(world[params + 0x0f], 0x70);
    assert_int_equal(world_u32(params + 0x18), 0x80000000);
    assert_int_equal(world_u32(params + 0x3a), 0x40);
    assert_int_equal(world_u32(params + 0x36), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(loads_where_it_prefers, set_up),
        cmocka_unit_test_setup(last_paragraph_need_not_be_whole, set_up),
        cmocka_unit_test_setup(files_in_the_way_are_moved, set_up),
        cmocka_unit_test_setup(moves_when_its_place_is_taken, set_up),
        cmocka_unit_test_setup(initrd_stays_below_its_limit, set_up),
        cmocka_unit_test_setup(long_memory_maps_continue_in_setup_data, set_up),
        cmocka_unit_test_setup(liars_are_refused, set_up),
        cmocka_unit_test_setup(cut_files_are_refused, set_up),
        cmocka_unit_test_setup(noise_does_no_harm, set_up),
        cmocka_unit_test_setup(what_is_missing_is_said, set_up),
        cmocka_unit_test_setup(firmware_is_passed_on, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
