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
    /* from one function into the next: there is none, and nothing but the first byte is written */
    put(PLAIN, 0xfff, 1, 0, 0xff);
    cfg_write(PLAIN, 0xfff, 4, 0xaabbccdd);
    assert_int_equal(space_u8(PLAIN, 0xfff), 0xdd);
    assert_int_equal(cfg_read(PLAIN, 0xfff, 4), 0xffffffdd);
    /* over the end of the window */
    ecam_handler(ecam_ctx, ECAM + 256 * MB - 1, 8, true, value, NULL);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_width_and_straddling_access, set_up),
        cmocka_unit_test_setup(ports_go_through_the_same_filter, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
