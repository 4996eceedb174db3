/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/loader.c hv/loader_linux.c hv/loader_elf.c hv/loader_multiboot.c hv/loader_pvh.c */
/* LINK: hv/loader_firmware.c hv/mem.c */
/* What kernels with a multiboot header find, of both versions and both classes. */
#include "tests/unit/loader_multiboot.h"

static void check_loaded(const struct vcpu_start *start)
{
    assert_int_equal(start->mode, START_PROT32);
    assert_int_equal(world_u64(start->gdt_base), 0);
    assert_memory_equal(world + TEXT_AT, file64.text, sizeof(file64.text));
    assert_int_equal(world[DATA_AT], 0xda);
    for (u64 i = sizeof(file64.data); i < 0x20000; i++)
        assert_int_equal(world[DATA_AT + i], 0);
}

/* Modules lie where the kernel wants to be, and have to move. */
static void add_modules(void)
{
    static u8 first[0x5001];

    for (unsigned i = 0; i < sizeof(first); i++)
        first[i] = (u8)(i * 3 + i / 251);
    add_module(TEXT_AT - 0x1000, first, sizeof(first), "first one");
    add_module(DATA_AT + 0x1000, "ab", 3, "");
}

static void check_module(u64 start, u64 end, u64 size)
{
    assert_int_equal(start % PAGE_SIZE, 0);
    assert_int_equal(end - start, size);
    if (size == 3)
        assert_string_equal((char *)world + start, "ab");
    else
        for (unsigned i = 0; i < size; i++)
            assert_int_equal(world[start + i], (u8)(i * 3 + i / 251));
}

static void version_1(const void *file, u64 size)
{
    struct vcpu_start start;

    add_module(20 * MB, file, size, "one two=3");
    add_modules();
    assert_null(try_check());
    assert_null(try_load(&start));
    check_loaded(&start);
    assert_int_equal(start.rip, TEXT_AT + 0x40);
    assert_int_equal(start.gpr[RAX], 0x2badb002);
    u64 info = start.gpr[RBX];
    assert_int_equal(world_u32(info), 0x24d);
    assert_int_equal(world_u32(info + 4), 640);
    assert_int_equal(world_u32(info + 8), 47 * 1024); /* to the region at 48M */
    assert_string_equal((char *)world + world_u32(info + 16), "one two=3");
    assert_int_equal(world_u32(info + 20), 2);
    u64 modules = world_u32(info + 24);
    check_module(world_u32(modules), world_u32(modules + 4), 0x5001);
    assert_string_equal((char *)world + world_u32(modules + 8), "first one");
    check_module(world_u32(modules + 16), world_u32(modules + 20), 3);
    assert_int_equal(world_u32(info + 44), 5 * 24);
    u64 region = world_u32(info + 48) + 3 * 24;
    assert_int_equal(world_u32(region), 20);
    assert_int_equal(world_u64(region + 4), WORLD_FIRST);
    assert_int_equal(world_u64(region + 12), 8 * MB);
    assert_int_equal(world_u32(region + 20), BOOT_MEM_RESERVED);
    assert_int_equal(world_u64(region + 24 + 4), WORLD_FIRST + 8 * MB);
    assert_int_equal(world_u64(region + 24 + 12), 8 * MB);
    assert_non_null(strstr(logged, "ELF by multiboot, "));
    assert_string_equal((char *)world + world_u32(info + 64), "Sluice, in the manner of GRUB 2");
}

static void version_1_starts(void **state)
{
    file32.mb2.magic = file64.mb2.magic = 0;
    version_1(&file32, sizeof(file32));
    world_set_up(state);
    version_1(&file64, sizeof(file64));
}

static void version_2(const void *file, u64 size)
{
    struct vcpu_start start;
    unsigned modules = 0;
    u64 seen = 0, at;

    add_module(20 * MB, file, size, "one two=3");
    add_modules();
    assert_null(try_check());
    assert_null(try_load(&start));
    check_loaded(&start);
    assert_int_equal(start.rip, TEXT_AT + 0x80);
    assert_int_equal(start.gpr[RAX], 0x36d76289);
    u64 info = start.gpr[RBX], end = info + world_u32(info);
    assert_int_equal(info % 8, 0);
    for (at = info + 8; world_u32(at) && at < end; at += (world_u32(at + 4) + 7) & ~7ull) {
        switch (world_u32(at)) {
        case 1:
            assert_string_equal((char *)world + at + 8, "one two=3");
            assert_int_equal(world_u32(at + 4), 8 + 10);
            break;
        case 3:
            assert_string_equal((char *)world + at + 16, modules ? "" : "first one");
            assert_int_equal(world_u32(at + 4), modules ? 16 + 1 : 16 + 10);
            check_module(world_u32(at + 8), world_u32(at + 12), modules++ ? 3 : 0x5001);
            break;
        case 4:
            assert_int_equal(world_u32(at + 8), 640);
            assert_int_equal(world_u32(at + 12), 47 * 1024);
            break;
        case 6:
            assert_int_equal(world_u32(at + 4), 16 + 5 * 24);
            assert_int_equal(world_u32(at + 8), 24);
            assert_int_equal(world_u64(at + 16 + 3 * 24), WORLD_FIRST);
            break;
        }
        seen |= BIT(world_u32(at));
    }
    assert_int_equal(at + 8, end);
    assert_int_equal(modules, 2);
    assert_int_equal(seen & 0x805e, 0x805e); /* 1 to 4, 6, and the RSDP of version 2 */
    assert_non_null(strstr(logged, "ELF by multiboot2, "));
}

static void version_2_starts(void **state)
{
    version_2(&file32, sizeof(file32));
    world_set_up(state);
    version_2(&file64, sizeof(file64));
}

/* The tag of that type in the information at `info`, 0 = none. */
static u64 find_tag(u64 info, u32 type)
{
    for (u64 at = info + 8; world_u32(at); at += (world_u32(at + 4) + 7) & ~7ull)
        if (world_u32(at) == type)
            return at;
    return 0;
}

static void the_rsdp_is_of_its_version(void **state)
{
    static const struct {
        u64 at;
        u8 revision;
        u32 size, type; /* type 0: there is none */
    } t[] = { { WORLD_RSDP, 0, 28, 14 }, { WORLD_RSDP, 2, 44, 15 }, { 0, 0, 0, 0 } };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        struct vcpu_start start;

        set_up(state);
        world_rsdp = t[i].at;
        world[WORLD_RSDP + 15] = t[i].revision;
        add_module(20 * MB, &file64, sizeof(file64), "");
        assert_null(try_load(&start));
        for (u32 type = 14; type <= 15; type++) {
            u64 tag = find_tag(start.gpr[RBX], type);

            assert_int_equal(tag != 0, type == t[i].type);
            if (!tag)
                continue;
            assert_int_equal(world_u32(tag + 4), t[i].size);
            assert_int_equal(world_u64(start.gdt_base), 0);
            assert_memory_equal(world + tag + 8, world + WORLD_RSDP, t[i].size - 8);
        }
    }
}

/* Counted from 0 and from 1 MiB to the first hole, and never the video memory. */
static void memory_is_told_in_kib(void **state)
{
#define RAM BOOT_MEM_RAM
#define NVS BOOT_MEM_NVS
    static const struct {
        struct boot_range ranges[3];
        u32 lower, upper;
    } t[] = {
        { { { 0, 512 << 10, RAM }, { 0xe0000, 0x20000, NVS }, { MB, WORLD - MB, RAM } }, 512, 47 << 10 },
        { { { 0, 0x9fc00, RAM }, { 0x9fc00, 0x400, NVS }, { MB, WORLD - MB, RAM } }, 639, 47 << 10 },
        { { { 0, MB / 2, RAM }, { MB / 2, MB / 2, RAM }, { MB, WORLD - MB, RAM } }, 640, 47 << 10 },
        { { { 0, MB, RAM }, { MB, MB - 1, RAM }, { 2 * MB - 1, WORLD - 2 * MB, RAM } }, 640, 47 << 10 },
        { { { 0, MB, RAM }, { MB, MB - 1, RAM }, { 2 * MB, WORLD - 2 * MB, RAM } }, 640, 1023 },
        { { { 0, 2 * MB - 1, RAM }, { 2 * MB - 1, 1, RAM }, { 3 * MB, WORLD - 3 * MB, RAM } }, 640, 1024 },
        { { { 0, 2 * MB, RAM }, { 2 * MB, MB, NVS }, { 3 * MB, WORLD - 3 * MB, RAM } }, 640, 1024 },
    };

    for (unsigned i = 0; i < 2 * ARRAY_SIZE(t); i++) {
        struct vcpu_start start;

        set_up(state);
        memcpy(world_info.ranges, t[i / 2].ranges, sizeof(t[i / 2].ranges));
        assert_int_equal(world_ranges(3), 0);
        file64.segments[0].p_paddr += 8 * MB; /* to where there is memory in all of these */
        file64.segments[1].p_paddr += 8 * MB;
        file64.mb2.entry.address += 8 * MB;
        if (i % 2)
            file64.mb2.magic = 0;
        add_module(20 * MB, &file64, sizeof(file64), "");
        assert_null(try_load(&start));
        u64 at = i % 2 ? start.gpr[RBX] + 4 : find_tag(start.gpr[RBX], 4) + 8;
        assert_int_equal(world_u32(at), t[i / 2].lower);
        assert_int_equal(world_u32(at + 4), t[i / 2].upper);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(version_1_starts, set_up),
        cmocka_unit_test_setup(version_2_starts, set_up),
        cmocka_unit_test_setup(the_rsdp_is_of_its_version, set_up),
        cmocka_unit_test_setup(memory_is_told_in_kib, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
