/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/intr.c hv/intr_chipset.c hv/pci_cfg.c hv/pci_filter.c hv/pci_decode.c hv/pci_table.c hv/mem.c */
/* What functions decode: BARs, ROMs, windows and VFs are followed, and never over what must not be covered.
 */
#include "tests/unit/pci_world.h"

static enum mem_owner mem_owner(u64 pa)
{
    enum mem_owner owner;

    (void)mem_extent(pa, &owner);
    return owner;
}

static void scan_declares_what_is_decoded(void **state)
{
    (void)state;
    assert_int_equal(mem_owner(0xfa000000), MEM_BAR);
    assert_int_equal(mem_owner(0xfaffffff), MEM_BAR);
    assert_int_equal(mem_owner(0xfb000000), MEM_HOLE);
    assert_int_equal(mem_owner(0xd0000000), MEM_BAR);
    assert_int_equal(mem_owner(0xd8000000), MEM_HOLE); /* VFs are off */
    assert_int_equal(space_u32(NIC, 0x10), 0xfa000004);
    assert_int_equal(space_u8(NIC, 4), 6);
}

static void bars_can_be_sized_and_moved(void **state)
{
    (void)state;
    cfg_write(NIC, 4, 2, 4);
    cfg_write(NIC, 0x10, 4, ~0u);
    cfg_write(NIC, 0x14, 4, ~0u);
    assert_int_equal(cfg_read(NIC, 0x10, 8), 0xffffffffff000004);
    cfg_write(NIC, 0x10, 8, 0x200000004);
    assert_int_equal(mem_owner(0xfa000000), MEM_BAR); /* not forgotten while it may come back */
    story[0] = 0;
    cfg_write(NIC, 4, 2, 6);
    assert_int_equal(space_u8(NIC, 4), 6);
    assert_int_equal(mem_owner(0x200000000 + 16 * MB - 1), MEM_BAR);
    assert_int_equal(mem_owner(0xfa000000), MEM_HOLE);
    assert_non_null(strstr(story, "mfa000000 "));
    assert_non_null(strstr(story, "m200000000 "));
    /* Off and on again in the same place costs no flush. */
    story[0] = 0;
    cfg_write(NIC, 4, 2, 4);
    cfg_write(NIC, 4, 2, 6);
    assert_null(strchr(story, 'm'));
}

/* With decode on, 64 MiB of ones cover the units for a moment: the fake device would notice (see pci_write).
 */
static void sizing_with_decode_on(void **state)
{
    (void)state;
    cfg_write(PLAIN, 0x10, 4, ~0u);
    assert_int_equal(cfg_read(PLAIN, 0x10, 4), 0xfc000000);
    assert_int_equal(space_u8(PLAIN, 4), 0);
    cfg_write(PLAIN, 0x10, 4, 0xd0000000);
    assert_int_equal(space_u8(PLAIN, 4), 2);
    assert_int_equal(mem_owner(0xd0000000), MEM_BAR);
    assert_null(strchr(story, 'm'));
}

static void bars_stay_clear_of_sluice_and_units(void **state)
{
    static const u32 places[] = { 960u << 20, 0xfc000000, ECAM, 0xec000000 };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
        cfg_write(PLAIN, 0x10, 4, places[i]);
        assert_int_equal(space_u8(PLAIN, 4) & 2, 0);
        cfg_write(PLAIN, 4, 2, 2);
        assert_int_equal(space_u8(PLAIN, 4) & 2, 0);
        cfg_write(PLAIN, 4, 1, 6);
        cfg_write(PLAIN, 4, 4, 6);
        assert_int_equal(space_u8(PLAIN, 4), 4);
        cfg_write(PLAIN, 4, 2, 0);
        cfg_write(PLAIN, 0x13, 1, 0xd0); /* byte by byte out of the way */
        cfg_write(PLAIN, 4, 2, 2);
        assert_int_equal(space_u8(PLAIN, 4), 2);
    }
    /* one byte moves it with decode on */
    cfg_write(PLAIN, 0x13, 1, 0xfc);
    assert_int_equal(space_u8(PLAIN, 4), 0);
    cfg_write(PLAIN, 0x13, 1, 0xd4);
    assert_int_equal(space_u8(PLAIN, 4), 2);
    assert_int_equal(mem_owner(0xd4000000), MEM_BAR);
    assert_int_equal(mem_owner(0xd0000000), MEM_HOLE);
    /* a function that the guest turned off stays off */
    cfg_write(PLAIN, 0x13, 1, 0xfc);
    cfg_write(PLAIN, 4, 2, 0);
    cfg_write(PLAIN, 0x13, 1, 0xd0);
    assert_int_equal(space_u8(PLAIN, 4), 0);
}

static void bar_halves_and_rom(void **state)
{
    (void)state;
    /* The upper half alone brings the BAR from above 4 GiB down onto the units. */
    cfg_write(NIC, 4, 2, 4);
    cfg_write(NIC, 0x10, 8, 0x2fe000004);
    cfg_write(NIC, 0x18, 4, 0xd7000000);
    cfg_write(NIC, 4, 2, 6);
    assert_int_equal(space_u8(NIC, 4), 6);
    cfg_write(NIC, 0x14, 4, 0);
    assert_int_equal(space_u8(NIC, 4), 4);
    cfg_write(NIC, 0x14, 4, 2);
    assert_int_equal(space_u8(NIC, 4), 6);
    cfg_write(NIC, 0x30, 4, 0xfed90001);
    assert_int_equal(space_u8(NIC, 4), 4);
    cfg_write(NIC, 0x30, 4, 0xfed90000); /* not enabled: harmless */
    assert_int_equal(space_u8(NIC, 4), 6);
    cfg_write(NIC, 0x30, 1, 1);
    assert_int_equal(space_u8(NIC, 4), 4);
    cfg_write(NIC, 0x30, 4, 0xd6000001);
    assert_int_equal(space_u8(NIC, 4), 6);
}

static void what_always_decodes_stays_where_it_is(void **state)
{
    put(PLAIN, 0x04, 2, 2, 0x7fd);
    (void)state;
    pci_scan();
    cfg_write(PLAIN, 0x10, 4, ~0u);
    cfg_write(PLAIN, 0x10, 4, 0xfc000000);
    cfg_write(PLAIN, 0x13, 1, 0xd4);
    assert_int_equal(space_u32(PLAIN, 0x10), 0xd0000000);
}

static void bridge_windows(void **state)
{
    (void)state;
    cfg_write(PORT, 0x20, 4, 0xfe90fe00);
    assert_string_equal(story, "w20 "); /* harmless: decode was never off */
    cfg_write(PORT, 0x22, 2, 0xfed0);
    assert_int_equal(space_u8(PORT, 4), 5);
    cfg_write(PORT, 0x20, 2, 0xfef0); /* base above limit: closed */
    assert_int_equal(space_u8(PORT, 4), 7);
    cfg_write(PORT, 0x20, 4, 0x3e003e00); /* over the region */
    assert_int_equal(space_u8(PORT, 4), 5);
    cfg_write(PORT, 0x20, 4, 0xfe80fe00);
    assert_int_equal(space_u8(PORT, 4), 7);
    /* the prefetchable one, by the upper halves: from just below 4 GiB, so over the flash, then above it */
    cfg_write(PORT, 0x2c, 4, 1);
    assert_int_equal(space_u8(PORT, 4), 5);
    cfg_write(PORT, 0x28, 4, 1);
    assert_int_equal(space_u8(PORT, 4), 7);
}

static void virtual_functions(void **state)
{
    (void)state;
    cfg_write(PF, 0x110, 2, 4);
    cfg_write(PF, 0x124, 4, 0xfed80000); /* the second VF would lie on the unit */
    cfg_write(PF, 0x108, 2, 9);
    assert_int_equal(space_u8(PF, 0x108), 1);
    cfg_write(PF, 0x124, 4, 0xfed60000); /* the fourth would */
    assert_int_equal(space_u8(PF, 0x108), 1);
    cfg_write(PF, 0x124, 4, 0xd8000000);
    assert_int_equal(space_u8(PF, 0x108), 9);
    assert_int_equal(mem_owner(0xd803ffff), MEM_BAR);
    assert_int_equal(mem_owner(0xd8040000), MEM_HOLE);

    cfg_write(VF, 0x106, 2, 0x8000);
    story[0] = 0;
    cfg_write(PF, 0x108, 2, 0); /* its VFs end: flushed while they can answer */
    assert_memory_equal(story, "-03:00.1 w108 ", 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(scan_declares_what_is_decoded, set_up),
        cmocka_unit_test_setup(bars_can_be_sized_and_moved, set_up),
        cmocka_unit_test_setup(sizing_with_decode_on, set_up),
        cmocka_unit_test_setup(bars_stay_clear_of_sluice_and_units, set_up),
        cmocka_unit_test_setup(bar_halves_and_rom, set_up),
        cmocka_unit_test_setup(what_always_decodes_stays_where_it_is, set_up),
        cmocka_unit_test_setup(bridge_windows, set_up),
        cmocka_unit_test_setup(virtual_functions, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
