/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/loader.c hv/loader_firmware.c hv/mem.c */
/* What Linux is told of EFI firmware: its memory map without Sluice's region, and the frame buffer. */
#include "tests/unit/loader_world.h"

const struct guest_loader linux_loader, multiboot_loader, pvh_loader; /* none is asked */

#define ENTRY 48u /* bytes: more than the specification's, as firmware has them */

static struct boot_info info;
static u8 *params;

static int set_up(void **state)
{
    memset(&info, 0, sizeof(info));
    info.efi_system_table = 0x123456789000;
    info.efi_map.version = 7;
    info.efi_map.entry_size = ENTRY;
    return world_set_up(state);
}

static void add_entry(u32 type, u64 base, u64 pages)
{
    u8 *to = info.efi_map.bytes + info.efi_map.size;

    memset(to, 0x40 + (int)(info.efi_map.size / ENTRY), ENTRY);
    memcpy(to, &type, 4);
    memcpy(to + 8, &base, 8);
    memcpy(to + 24, &pages, 8);
    info.efi_map.size += ENTRY;
}

/* False: nothing is told of firmware. */
static bool describe(void)
{
    struct guest_image image = { .nr_modules = 0 };
    struct writer w;
    u64 gpa;

    assert_true(writer_init(&w, &image));
    params = writer_reserve(&w, PAGE_SIZE, &gpa);
    firmware_describe(&w, params, &info);
    return *(u32 *)(params + 0x1c0) == 0x34364c45;
}

static u32 field(unsigned off)
{
    return world_u32((u64)(params + off - world));
}

/* Entries before, across and behind the region; those that touch its ends; and what each becomes. */
static void the_region_is_reserved(void **state)
{
    static const u64 end = WORLD_FIRST + 8 * MB, kept = 0x40;
    static const u64 in[][3] = { { 0, 0, 160 },
                                 { 4, MB, (WORLD_FIRST - MB) / PAGE_SIZE },
                                 { 1, WORLD_FIRST, 1 },
                                 { 4, WORLD_FIRST + PAGE_SIZE, 16 * MB / PAGE_SIZE },
                                 { 7, end + 16 * MB, 1 } };
    static const u64 out[][4] = { { 0, 0, 160, 0 },
                                  { 4, MB, (WORLD_FIRST - MB) / PAGE_SIZE, 1 },
                                  { 0, WORLD_FIRST, 1, 2 },
                                  { 0, WORLD_FIRST + PAGE_SIZE, 8 * MB / PAGE_SIZE - 1, 3 },
                                  { 4, end, 8 * MB / PAGE_SIZE + 1, 3 },
                                  { 7, end + 16 * MB, 1, 4 } };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(in); i++)
        add_entry((u32)in[i][0], in[i][1], in[i][2]);
    info.efi_map.size += ENTRY - 1; /* the rest is no entry */
    assert_true(describe());
    assert_int_equal(field(0x1c4), 0x56789000);
    assert_int_equal(field(0x1d8), 0x1234);
    assert_int_equal(field(0x1c8), ENTRY);
    assert_int_equal(field(0x1cc), 7);
    assert_int_equal(field(0x1d4), ARRAY_SIZE(out) * ENTRY);
    assert_int_equal(field(0x1dc), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(out); i++) {
        u64 at = field(0x1d0) + i * ENTRY;

        assert_int_equal(world_u32(at), out[i][0]);
        assert_int_equal(world_u64(at + 8), out[i][1]);
        assert_int_equal(world_u64(at + 24), out[i][2]);
        assert_int_equal(world[at + ENTRY - 1], kept + out[i][3]); /* what we know nothing of */
    }
}

/* One across all of it becomes three. */
static void one_entry_becomes_three(void **state)
{
    (void)state;
    add_entry(4, MB, (WORLD - MB) / PAGE_SIZE);
    assert_true(describe());
    assert_int_equal(field(0x1d4), 3 * ENTRY);
    assert_int_equal(world_u64(field(0x1d0) + ENTRY + 8), WORLD_FIRST);
    assert_int_equal(world_u64(field(0x1d0) + ENTRY + 24), 8 * MB / PAGE_SIZE);
}

static void no_map_no_firmware(void **state)
{
    static const struct {
        u64 table;
        u32 size, entry_size;
        bool told;
    } t[] = { { MB, ENTRY, ENTRY, true }, { MB, ENTRY - 1, ENTRY, false },
              { 0, ENTRY, ENTRY, false }, { MB, 0, ENTRY, false },
              { MB, 40, 40, true },       { MB, 40, 39, false },
              { MB, ENTRY, 0, false } };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        set_up(state);
        add_entry(4, MB, 1);
        info.efi_system_table = t[i].table;
        info.efi_map.size = t[i].size;
        info.efi_map.entry_size = t[i].entry_size;
        if (describe() != t[i].told)
            fail_msg("%u", i);
        assert_int_equal(params[0x0f], 0); /* no frame buffer */
    }
}

static void the_frame_buffer_is_told(void **state)
{
    static const u8 colours[] = { 8, 16, 8, 8, 8, 0, 8, 24 };

    (void)state;
    info.framebuffer = (struct boot_framebuffer){
        .base = 0x4080000000,
        .size = 0x400000,
        .width = 1280,
        .height = 800,
        .pitch = 5120,
        .red_at = 16,
        .green_at = 8,
    };
    for (unsigned high = 0; high < 2; high++) {
        info.framebuffer.base = 0x80000000 + (high ? BIT(38) : 0);
        (void)describe();
        assert_int_equal(params[0x0f], 0x70);
        assert_int_equal(field(0x12), 800 << 16 | 1280);
        assert_int_equal(field(0x16) & 0xffff, 32);
        assert_int_equal(field(0x18), 0x80000000);
        assert_int_equal(field(0x1c), 0x400000);
        assert_int_equal(field(0x24) & 0xffff, 5120);
        assert_memory_equal(params + 0x26, colours, sizeof(colours));
        assert_int_equal(field(0x36), high ? 2 : 0);
        assert_int_equal(field(0x3a), high ? 0x40 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_region_is_reserved, set_up),
        cmocka_unit_test_setup(one_entry_becomes_three, set_up),
        cmocka_unit_test_setup(no_map_no_firmware, set_up),
        cmocka_unit_test_setup(the_frame_buffer_is_told, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
