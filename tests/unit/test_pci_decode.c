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
    assert_int_equal(begin(state), 0);
    pci_scan();
    assert_null(strchr(story, 'm')); /* no unit has anything of it yet */
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

/* What registers say is decoded: BARs of both widths, of memory and of ports, and a ROM. */
static void apertures_of_a_function(void **state)
{
    static const struct {
        u32 bar[7], mask[7]; /* the last is 28h, which is none */
        u32 rom;
        struct {
            u64 base, size;
        } want[7];
    } t[] = {
        { { 0x80100000, 0x80300000, 0x80500000, 0x80700000, 0x80900000, 0x80b00000, 0x80d00000 },
          { 0xfff00000, 0xfff00000, 0xfff00000, 0xfff00000, 0xfff00000, 0xfff00000, 0xfff00000 },
          0x80f00001,
          { { 0x80100000, 0x100000 },
            { 0x80300000, 0x100000 },
            { 0x80500000, 0x100000 },
            { 0x80700000, 0x100000 },
            { 0x80900000, 0x100000 },
            { 0x80b00000, 0x100000 },
            { 0x80f00000, 0x10000 } } },
        { { 0x0000e001, 0x80300008, 0x8060000c, 1, 0x80900004, 2, 0x80d00000 },
          { 0x0000fff0, 0xffff0000, 0xffe00000, ~0u, 0xfff00000, ~0u, 0xfff00000 },
          0x80f00000, /* not enabled */
          { { 0x80300000, 0x10000 }, { 0x180600000, 0x200000 }, { 0x280900000, 0x100000 } } },
        { { 0, 0, 0, 0, 0, 0x80b00004, 1 }, /* wide, but there is no register for the other half */
          { 0, 0, 0, 0, 0, 0xfff00000, ~0u },
          0,
          { { 0x80b00000, 0x100000 } } },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        unsigned count = 0;
        bool full;

        assert_int_equal(begin(state), 0);
        for (unsigned bar = 0; bar < 7; bar++)
            put(PLAIN, 0x10 + 4 * bar, 4, t[i].bar[bar], t[i].mask[bar]);
        put(PLAIN, 0x30, 4, t[i].rom, 0xffff0001);
        pci_scan();
        for (; count < 7 && t[i].want[count].size; count++) {
            u64 base = t[i].want[count].base, size = t[i].want[count].size;

            assert_int_equal(mem_owner(base - 1), MEM_HOLE);
            assert_int_equal(mem_owner(base), MEM_BAR);
            assert_int_equal(mem_owner(base + size - 1), MEM_BAR);
            assert_int_equal(mem_owner(base + size), MEM_HOLE);
        }
        assert_int_equal(pci_function_get(0, 0x18, &full)->own.declared.count, count);
        assert_null(strstr(story, "w28 "));
        for (unsigned bar = 0; bar < 6; bar++) /* as they were */
            assert_int_equal(space_u32(PLAIN, 0x10 + 4 * bar), t[i].bar[bar]);
        /* Off, moved and on: all that was is forgotten and told, and all that is. */
        cfg_write(PLAIN, 4, 2, 0);
        story[0] = 0;
        for (unsigned bar = 0; bar < 6; bar++)
            if (!(t[i].bar[bar] & 1) && t[i].bar[bar] > 0xffff)
                cfg_write(PLAIN, 0x12 + 4 * bar, 2, (t[i].bar[bar] >> 16) - 0x1000);
        cfg_write(PLAIN, 0x30, 4, t[i].rom & ~1u);
        cfg_write(PLAIN, 4, 2, 2);
        for (unsigned k = 0; k < count; k++) {
            char was[32], is[32];
            u64 base = t[i].want[k].base;

            snprintf(was, sizeof(was), "m%lx ", base);
            snprintf(is, sizeof(is), "m%lx ", base - 0x10000000);
            assert_non_null(strstr(story, was));
            assert_int_equal(mem_owner(base), MEM_HOLE);
            if (k < 6) { /* the ROM is off */
                assert_non_null(strstr(story, is));
                assert_int_equal(mem_owner(base - 0x10000000), MEM_BAR);
            }
        }
    }
}

/* Who only asks for sizes is not told off. */
static void sizes_are_asked_for_in_peace(void **state)
{
    static const struct {
        u32 width, value, lines;
    } t[] = {
        { 4, ~0u, 0 }, { 4, 0xfffff800, 0 }, { 4, 0xfffff7ff, 1 }, { 2, 0xffff, 0 }, { 4, 0xfc000000, 1 }
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        log_lines = 0;
        cfg_write(PLAIN, 0x10, t[i].width, t[i].value);
        assert_int_equal(log_lines, t[i].lines);
        cfg_write(PLAIN, 0x10, 4, 0xd0000000);
        assert_int_equal(space_u8(PLAIN, 4), 2);
    }
}

/* Decode that the guest has off is not looked at, and what it wants off is never on meanwhile. */
static void off_is_off(void **state)
{
    assert_int_equal(begin(state), 0);
    put(PLAIN, 4, 2, 0, 0x7ff);
    pci_scan();
    assert_int_equal(mem_owner(0xd0000000), MEM_HOLE);
    story[0] = 0;
    cfg_write(PLAIN, 0x10, 4, 0xfc000000);
    assert_story("w10 ");
    cfg_write(PLAIN, 4, 2, 2);
    story[0] = 0;
    cfg_write(PLAIN, 0x10, 4, 0xfc000000); /* withheld: off already */
    assert_story("w10 w10 w10 w14 w14 w18 w18 w1c w1c w20 w20 w24 w24 ");
}

/* Registers that are addresses, and their neighbours that are not: decode is off for the former only. */
static void which_registers_are_addresses(void **state)
{
    static const struct {
        unsigned d, off, width;
        bool address;
    } t[] = {
        { PLAIN, 0x0c, 4, false },  { PLAIN, 0x10, 1, true },   { PLAIN, 0x27, 1, true },
        { PLAIN, 0x28, 4, false },  { PLAIN, 0x2c, 4, false },  { PLAIN, 0x2f, 1, false },
        { PLAIN, 0x30, 4, true },   { PLAIN, 0x33, 1, true },   { PLAIN, 0x34, 1, false },
        { PLAIN, 0x38, 4, false },  { PLAIN, 0x100, 4, false }, { PLAIN, 0x104, 4, true },
        { PLAIN, 0x108, 4, true },  { PLAIN, 0x110, 4, true },  { PLAIN, 0x117, 1, true },
        { PLAIN, 0x118, 4, false }, { PORT, 0x10, 4, true },    { PORT, 0x17, 1, true },
        { PORT, 0x1c, 1, false },   { PORT, 0x30, 4, false },   { PORT, 0x38, 4, true },
        { PORT, 0x3b, 1, true },    { PORT, 0x3c, 1, false },   { PF, 0x10c, 4, false },
        { PF, 0x110, 2, true },     { PF, 0x112, 2, false },    { PF, 0x120, 4, true },
        { PF, 0x124, 4, true },     { PF, 0x13b, 1, true },     { PF, 0x13c, 4, false },
        { PF, 0x144, 4, true },     { PF, 0x14f, 1, true },     { PF, 0x150, 4, false },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        assert_int_equal(begin(state), 0);
        put(PLAIN, 0x08, 1, 0x20, 0);     /* a revision, and no number of registers */
        put(PLAIN, 0x100, 4, 0x10015, 0); /* resizable BARs, two of them */
        put(PLAIN, 0x108, 4, 2 << 5, ~0u);
        put(PORT, 0x10, 8, 0, 0);
        put(PF, 0x100, 4, 0x14010010, 0); /* of VFs, one */
        put(PF, 0x140, 4, 0x10024, 0);
        put(PF, 0x148, 4, 1 << 5, ~0u);
        put(PF, 0x108, 2, 9, 0xffff);
        put(PF, 0x110, 2, 2, 0xffff);
        pci_scan();
        story[0] = 0;
        cfg_write(t[i].d, t[i].off, t[i].width, pci_read(0, devices[t[i].d].sid, t[i].off, t[i].width));
        char first[8];
        snprintf(first, sizeof(first), t[i].d == PF ? "w108 " : "w4 ");
        assert_int_equal(!strncmp(story, first, strlen(first)), t[i].address);
    }
    /* Without such a capability nothing is taken for one. */
    assert_int_equal(begin(state), 0);
    put(PLAIN, 0x08, 1, 0x20, 0);
    pci_scan();
    story[0] = 0;
    cfg_write(PLAIN, 0x0c, 4, 0);
    assert_story("wc ");
}

/* A window is judged by the MiB, from its first to its last one. */
static void windows_by_the_mib(void **state)
{
    static const struct {
        u32 memory, pref, base_upper, limit_upper;
        bool good;
    } t[] = {
        { 0xfe80fe00, 0x0001fff1, 0, 0, true },    { 0xfed0fed0, 0x0001fff1, 0, 0, false },
        { 0xfeb0fe00, 0x0001fff1, 0, 0, true },    { 0xfec0fe00, 0x0001fff1, 0, 0, false },
        { 0xfef0fee0, 0x0001fff1, 0, 0, true },    { 0xfee0fef0, 0x0001fff1, 0, 0, true },
        { 0xfe00fef0, 0x0001fff1, 0, 0, true },    { 0x0000fff0, 0xd001d001, 0, 0, true },
        { 0x0000fff0, 0xfed1fed1, 0, 0, false },   { 0x0000fff0, 0xfed1fed1, 1, 1, true },
        { 0x0000fff0, 0xfed0fed0, 1, 1, false },   { 0x0000fff0, 0xfff1fed1, 0, 1, false },
        { 0x0000fff0, 0xfff1fed1, 0, ~0u, false }, { 0x0000fff0, 0xfff10001, 0, ~0u, false },
        { 0x0000fff0, 0xfff10001, 1, ~0u, true },  { 0x0000fff0, 0xfff1fff1, ~0u, ~0u, true },
        { 0x0000fff0, 0xfff1fff1, ~0u, 0, true },  { 0x0000fff0, 0xfff10001, 0x100000, 0x100000, true },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        cfg_write(PORT, 4, 2, 5);
        cfg_write(PORT, 0x20, 4, t[i].memory);
        cfg_write(PORT, 0x28, 4, t[i].base_upper);
        cfg_write(PORT, 0x2c, 4, t[i].limit_upper);
        put(PORT, 0x24, 4, t[i].pref, 0xfff0fff0);
        cfg_write(PORT, 4, 2, 7);
        assert_int_equal(space_u8(PORT, 4), t[i].good ? 7 : 5);
    }
    put(PORT, 0x24, 4, 0x0001fff1, 0xfff0fff0);
    cfg_write(PORT, 0x20, 4, 0xfe80fe00);
    cfg_write(PORT, 4, 2, 7);
    put(PORT, 0x38, 4, 0, 0xffff0001);
    cfg_write(PORT, 0x38, 4, 0xfed90001); /* its ROM */
    assert_int_equal(space_u8(PORT, 4), 5);
    cfg_write(PORT, 0x38, 4, 0xd6000001);
    assert_int_equal(space_u8(PORT, 4), 7);
    assert_int_equal(mem_owner(0xd6000000), MEM_BAR);
}

/* What is decoded beyond all addresses is nobody's, and no DMA gets there. */
static void a_bar_beyond_all_addresses(void **state)
{
    (void)state;
    cfg_write(NIC, 4, 2, 4);
    cfg_write(NIC, 0x14, 4, 0x10000000);
    story[0] = 0;
    cfg_write(NIC, 4, 2, 6);
    assert_int_equal(space_u8(NIC, 4), 6);
    assert_non_null(strstr(story, "mfa000000 ")); /* where it was */
    assert_null(strstr(story, "m10000000fa000000 "));
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

    cfg_write(PF, 0x124, 4, 0xfed70000);
    assert_int_equal(space_u8(PF, 0x108), 1);
    cfg_write(PF, 0x110, 2, 1); /* the first alone is before the unit */
    assert_int_equal(space_u8(PF, 0x108), 9);
    cfg_write(PF, 0x124, 4, 0xd8000000);
    cfg_write(PF, 0x110, 2, 4);
    assert_int_equal(mem_owner(0xd803ffff), MEM_BAR);
    put(PF, 0x30, 4, 0xd6000001, 0xffff0001); /* a ROM, which VFs have not */
    bool full;
    pci_scan(); /* as if firmware had left it on */
    const struct pci_apertures *declared = &pci_function_get(0, 0x300, &full)->vf.declared;
    assert_int_equal(declared->count, 1);
    assert_int_equal(declared->at[0].size, 0x40000);

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
        cmocka_unit_test_setup(apertures_of_a_function, set_up),
        cmocka_unit_test_setup(sizes_are_asked_for_in_peace, set_up),
        cmocka_unit_test_setup(off_is_off, set_up),
        cmocka_unit_test_setup(which_registers_are_addresses, set_up),
        cmocka_unit_test_setup(windows_by_the_mib, set_up),
        cmocka_unit_test_setup(a_bar_beyond_all_addresses, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
