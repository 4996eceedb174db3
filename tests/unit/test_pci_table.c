/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/intr.c hv/intr_chipset.c hv/pci_cfg.c hv/pci_filter.c hv/pci_decode.c hv/pci_table.c hv/mem.c */
/* The functions of the machine, as they are found, come and go. */
#include "tests/unit/pci_world.h"

static void ats_on(void)
{
    cfg_write(NIC, 0x106, 2, 0x8000);
    story[0] = 0;
}

static void firmware_left_ats_on(void **state)
{
    bool full;

    (void)state;
    put(NIC, 0x106, 2, 0x8000, 0x801f);
    pci_scan();
    assert_int_equal(space_u8(NIC, 0x107), 0);
    assert_non_null(pci_function_get(0, 0x200, &full));
}

static void hot_unplug_is_noticed_at_the_slot(void **state)
{
    (void)state;
    ats_on();
    cfg_write(PORT, 0x7a, 2, 0); /* nothing has happened to it */
    assert_string_equal(story, "w7a ");
    devices[NIC].space[0x0a] = 0xff; /* gone */
    story[0] = 0;
    cfg_write(PORT, 0x7a, 2, 8);
    assert_string_equal(story, "w7a x02:00.0 ");
    cfg_write(NIC, 0x106, 2, 0x8000); /* to nobody */
    assert_string_equal(story, "w7a x02:00.0 ");
}

/* Plugged in while the guest runs: nothing is told of it before the guest turns to it, and its ATS, which the
 * guest switches on, is told before the write reaches it; if it comes with ATS on, at the first write to it.
 */
static void hot_plug_below_a_port(void **state)
{
    for (unsigned on = 0; on < 2; on++) {
        make_machine();
        devices[NIC].space[0x0a] = 0xff; /* not there */
        pci_scan();
        put(PORT, 0x18, 3, 0, 0xffffff); /* nor is there a bus */
        story[0] = 0;
        cfg_write(PORT, 0x7a, 2, 8); /* what the slot tells */
        cfg_write(PORT, 0x18, 4, 0x00020200);
        assert_string_equal(story, "w7a w18 ");
        devices[NIC].space[0x0a] = 0;
        if (on)
            put(NIC, 0x106, 2, 0x8000, 0x801f);
        cfg_write(PORT, 0x7a, 2, 8);
        assert_string_equal(story, "w7a w18 w7a ");
        story[0] = 0;
        cfg_write(NIC, 4, 2, 6);
        assert_string_equal(story, on ? "s02:00.0 w4 +02:00.0 +02:00.0 " : "s02:00.0 w4 ");
        story[0] = 0;
        cfg_write(NIC, 0x106, 2, 0x8000);
        assert_string_equal(story, "+02:00.0 w106 +02:00.0 ");
    }
    (void)set_up(state);
}

static void another_device_in_the_same_place(void **state)
{
    (void)state;
    ats_on();
    put(NIC, 0, 4, 0x12345678, 0);
    put(NIC, 0x106, 2, 0, 0x801f);
    cfg_write(NIC, 0x3c, 1, 0);
    assert_string_equal(story, "x02:00.0 w3c ");
}

/* Before devices are contained: none but bridges, and those that firmware reserves memory for, may go on. */
static void masters_are_stopped(void **state)
{
    (void)state;
    for (unsigned d = 0; d < NR_DEVICES; d++) {
        devices[d].space[4] |= 4;
        devices[d].writable[4] |= 4;
    }
    pci_stop_masters();
    for (unsigned d = 0; d < NR_DEVICES; d++)
        if (devices[d].sid >> 8 != 3) /* no bridge leads there */
            assert_int_equal(space_u8(d, 4) & 4, d == PORT || d == PLAIN ? 4 : 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(firmware_left_ats_on, set_up),
        cmocka_unit_test_setup(another_device_in_the_same_place, set_up),
        cmocka_unit_test_setup(hot_unplug_is_noticed_at_the_slot, set_up),
        cmocka_unit_test_setup(hot_plug_below_a_port, set_up),
        cmocka_unit_test_setup(masters_are_stopped, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
