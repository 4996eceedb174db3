/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/intr.c hv/intr_chipset.c hv/pci_cfg.c hv/pci_filter.c hv/pci_decode.c hv/pci_table.c hv/mem.c */
/* intr=strict: messages of the HPET and of IOAPICs. */
#include "tests/unit/intr_world.h"

static void strict_hpet(void **state)
{
    struct iommu_message *m = NULL;

    (void)state;
    for (unsigned i = 0; i < nr_messages; i++)
        if (messages[i].source == (0xff78 | IOMMU_SOURCE_EXACT) && !m)
            m = &messages[i] + 1; /* of the second timer */
    assert_non_null(m);
    hpet_at(0x134, 4, true, 0xfee02000);
    hpet_at(0x130, 4, true, 0x44);
    assert_int_equal(m->address, 0xfee02000);
    assert_int_equal(m->data, 0x44);
    assert_int_equal(hpet_page[0x134 / 4] & 0xfff00010, 0xfee00010); /* remappable format */
    assert_int_equal(hpet_page[0x130 / 4], 0);
    assert_int_equal(hpet_at(0x130, 8, false, 0), 0xfee0200000000044);
    assert_int_equal(hpet_at(0x130, 1, false, 0), 0x44);
    hpet_at(0x130, 1, true, 0x45);
    assert_int_equal(m->data, 0x45);
    hpet_at(0x130, 8, true, 0xfee0300000000046);
    assert_int_equal(m->address, 0xfee03000);
    assert_int_equal(m->data, 0x46);
    hpet_at(0x134, 4, true, 0x1000); /* no interrupt */
    assert_int_equal(m->address, 0);
    assert_int_equal(hpet_page[0x134 / 4], 0x1000);
    assert_int_equal(hpet_at(0x130, 8, false, 0), 0x100000000046);
    /* all other registers are the device's */
    hpet_at(0x128, 8, true, 0x1122334455667788);
    assert_int_equal(hpet_at(0x128, 8, false, 0), 0x1122334455667788);
    assert_int_equal(hpet_page[0x128 / 4], 0x55667788);
    hpet_at(0x170, 4, true, 0xfee00000); /* there is no fourth timer */
    assert_int_equal(hpet_page[0x170 / 4], 0xfee00000);
    /* Without a word of who sends, and where no timer can send, nothing is trapped. */
    for (hpet_number = 6; hpet_number < 8; hpet_number++) {
        assert_int_equal(set_up_strict(state), 0);
        assert_true(hpet_handler == NULL);
    }
    hpet_number = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(strict_hpet, set_up_strict, lenient),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
