/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/intr.c hv/intr_chipset.c hv/pci_cfg.c hv/pci_filter.c hv/pci_decode.c hv/pci_table.c hv/mem.c */
/* The two ways to configuration space, by ports and by ECAM: every width, every alignment. */
#include "tests/unit/pci_world.h"

static void out(u16 at, unsigned width, u32 value)
{
    config_writer(at, width, value);
}

static u32 in(u16 at, unsigned width)
{
    return config_reader(at, width);
}

static void every_width_and_straddling_access(void **state)
{
    u64 value = 0x1122334455667788;

    (void)state;
    put(PLAIN, 0x40, 8, 0, ~0ull);
    put(PLAIN, 0x48, 8, 0, ~0ull);
    cfg_write(PLAIN, 0x43, 8, value);
    assert_memory_equal(devices[PLAIN].space + 0x43, &value, 8);
    assert_int_equal(cfg_read(PLAIN, 0x43, 8), value);
    assert_int_equal(cfg_read(PLAIN, 0x45, 2), 0x5566);
    /* each piece is as large as it can be, and holds nothing of the others */
    story[0] = 0;
    cfg_write(PLAIN, 0x40, 8, value);
    cfg_write(PLAIN, 0x41, 4, value);
    cfg_write(PLAIN, 0x42, 8, value);
    cfg_write(PLAIN, 0x47, 1, value);
    cfg_write(PLAIN, 0x46, 2, value);
    assert_story("w40 w44 w41 w42 w44 w42 w44 w48 w47 w46 ");
    /* from one function into the next: there is none, and nothing but the first byte is written */
    put(PLAIN, 0xfff, 1, 0, 0xff);
    cfg_write(PLAIN, 0xfff, 4, 0xaabbccdd);
    assert_int_equal(space_u8(PLAIN, 0xfff), 0xdd);
    assert_int_equal(cfg_read(PLAIN, 0xfff, 4), 0xffffffdd);
}

static void ports_go_through_the_same_filter(void **state)
{
    (void)state;
    out(0xcf8, 4, 0x80000060); /* the host bridge's PCIEXBAR */
    assert_int_equal(in(0xcf8, 4), 0x80000060);
    out(0xcfc, 4, 0);
    out(0xcfd, 2, 0);
    out(0xcff, 1, 0);
    assert_int_equal(space_u32(HOST, 0x60), ECAM | 1);
    assert_int_equal(in(0xcfc, 4), ECAM | 1);
    assert_int_equal(in(0xcfe, 2), ECAM >> 16);
    assert_int_equal(in(0xcff, 1), 0xe0);

    out(0xcf8, 4, 0x80001800 | 0x40);
    put(PLAIN, 0x40, 4, 0, ~0u);
    out(0xcfd, 2, 0xabcd); /* misaligned */
    assert_int_equal(space_u32(PLAIN, 0x40), 0xabcd00);
    out(0xcf8, 4, 0x00001840); /* not enabled */
    out(0xcfc, 4, 0);
    assert_int_equal(space_u32(PLAIN, 0x40), 0xabcd00);
    assert_int_equal(in(0xcfc, 2), 0xffff);
    out(0xcf9, 1, 6);
    assert_non_null(strstr(story, "reset:6 "));
    assert_int_equal(in(0xcf8, 4), 0x00001840);
}

/* What is no address and no data goes to the chipset byte by byte, in which a reset would be seen. */
static void other_accesses_to_these_ports(void **state)
{
    (void)state;
    out(0xcf8, 4, 0x80001840);
    put(PLAIN, 0x40, 4, 0x44332211, ~0u);
    for (unsigned i = 0; i < 4; i++)
        port_bytes[0xcf8 + i] = (u8)(0xa0 + i);
    story[0] = 0;
    assert_int_equal(in(0xcf8, 1), 0xa0);
    assert_int_equal(in(0xcf8, 2), 0xa1a0);
    assert_int_equal(in(0xcfb, 1), 0xa3);
    assert_int_equal(in(0xcf9, 4), 0x11a3a2a1);
    assert_story("r1:cf8 r1:cf8 r1:cf9 r1:cfb r1:cf9 r1:cfa r1:cfb ");
    out(0xcf8, 1, 1);
    out(0xcf8, 2, 0x0602);
    out(0xcf9, 4, 0x88776604);
    assert_story("w1:cf8=1 w1:cf8=2 reset:6 reset:4 w1:cfa=66 w1:cfb=77 w40 ");
    assert_int_equal(space_u32(PLAIN, 0x40), 0x44332288);
    out(0xcfc, 4, 0x01020304);
    assert_story("w40 ");
    assert_int_equal(in(0xcf8, 4), 0x80001840);
    out(0xcf8, 4, 0x1840); /* not enabled: nobody's */
    out(0xcfc, 4, 0);
    assert_int_equal(in(0xcfc, 4), ~0u);
    assert_int_equal(in(0xcfb, 2), 0xffa3);
    assert_story("r1:cfb ");
}

/* Each window is trapped from its first bus to its last, and what cannot be trapped is told. */
static void windows_of_few_buses(void **state)
{
    (void)state;
    assert_string_equal(trapped, "e0000000+10000000 ");
    trapped[0] = 0;
    nr_ecams = 2;
    ecams[0] = (struct ecam){ .base = ECAM, .first_bus = 3, .last_bus = 3 };
    ecams[1] = (struct ecam){ .base = ECAM - 256 * MB, .segment = 1, .first_bus = 0x10, .last_bus = 0x1f };
    assert_int_equal(pci_filter_init(), 0);
    assert_string_equal(trapped, "e0300000+100000 d1000000+1000000 ");
    assert_int_equal(cfg_read(PF, 0, 4), 0x154c8086);
    assert_int_equal(ecam_handler(&ecams[1], ECAM - 256 * MB + (0x1000ull << 12), 4, false, 0, NULL), ~0u);
    bus_is_full = ERR_NOSPC;
    trapped[0] = 0;
    assert_int_equal(pci_filter_init(), ERR_NOSPC);
    assert_string_equal(trapped, "");
    bus_is_full = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_width_and_straddling_access, set_up),
        cmocka_unit_test_setup(ports_go_through_the_same_filter, set_up),
        cmocka_unit_test_setup(other_accesses_to_these_ports, set_up),
        cmocka_unit_test_setup(windows_of_few_buses, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
