/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/intr.c hv/intr_chipset.c hv/pci_cfg.c hv/pci_filter.c hv/pci_decode.c hv/pci_table.c hv/mem.c */
/* The judgement on each write: registers that stay firmware's, and ATS with all that clears it. */
#include "tests/unit/pci_world.h"

static void ats_on(void)
{
    cfg_write(NIC, 0x106, 2, 0x8000);
    story[0] = 0;
}

static void decode_registers_of_the_chipset_are_fixed(void **state)
{
    (void)state;
    for (u32 off = 0x40; off < 0x100; off++)
        cfg_write(HOST, off, 1, 0x5a);
    cfg_write(HOST, 0x60, 8, 0);
    cfg_write(HOST, 0x3e, 4, ~0u); /* straddles into what is fixed */
    assert_int_equal(space_u32(HOST, 0x60), ECAM | 1);
    assert_int_equal(space_u8(HOST, 0x9d), 0x0a);
    cfg_write(ISA, 0x40, 2, 0x1001);
    cfg_write(ISA, 0x41, 1, 0x10);
    cfg_write(ISA, 0x3f, 4, 0);
    assert_int_equal(space_u32(ISA, 0x40), 0x601);
    cfg_write(ISA, 0x60, 1, 0x80); /* interrupt routing is the guest's */
    assert_int_equal(space_u8(ISA, 0x60), 0x80);
}

static void the_gate_opens_before_on_and_closes_before_off(void **state)
{
    (void)state;
    cfg_write(NIC, 0x106, 2, 0x8000);
    assert_string_equal(story, "+02:00.0 w106 +02:00.0 ");
    story[0] = 0;
    cfg_write(NIC, 0x106, 2, 0);
    assert_string_equal(story, "-02:00.0 w106 ");
    /* any width, any offset that touches the register */
    story[0] = 0;
    cfg_write(NIC, 0x107, 1, 0x80);
    assert_string_equal(story, "+02:00.0 w107 +02:00.0 ");
    story[0] = 0;
    cfg_write(NIC, 0x104, 4, 0);
    assert_string_equal(story, "-02:00.0 w104 ");
    story[0] = 0;
    cfg_write(NIC, 0x100, 8, 0x8000000000000000);
    assert_string_equal(story, "w100 +02:00.0 w104 +02:00.0 ");
    story[0] = 0;
    cfg_write(NIC, 0x105, 4, 0); /* straddles: two bytes and a word */
    assert_non_null(strstr(story, "-02:00.0 "));
    /* A device that does not take it has no gate. */
    story[0] = 0;
    put(NIC, 0x106, 2, 0, 0x1f);
    cfg_write(NIC, 0x106, 2, 0x8000);
    assert_string_equal(story, "+02:00.0 w106 x02:00.0 ");
}

/* A quarantined function does not become a bus master again, by no width of access; all else it may. */
static void quarantined_is_no_bus_master(void **state)
{
    (void)state;
    for (unsigned quarantined = 0; quarantined < 2; quarantined++)
        for (unsigned width = 1; width <= 8; width *= 2) {
            u32 off = width == 8 ? 0 : 4;

            stopped = false;
            cfg_write(NIC, 4, 2, 0);
            stopped = quarantined;
            cfg_write(NIC, off, width, 0x06ull << (off ? 0 : 32));
            assert_int_equal(pci_read(0, devices[NIC].sid, 4, 2), quarantined ? 2 : 6);
        }
    stopped = false;
}

static void enabled_behind_our_back(void **state)
{
    (void)state;
    put(NIC, 0x106, 2, 0x8000, 0x801f);
    cfg_write(NIC, 0x3c, 1, 5); /* the next write, whatever it is */
    assert_string_equal(story, "w3c +02:00.0 +02:00.0 ");
}

static void what_clears_ats_is_known(void **state)
{
    (void)state;
    ats_on();
    cfg_write(NIC, 0x68, 2, 0x8000); /* function level reset */
    assert_string_equal(story, "-02:00.0 w68 ");
    ats_on();
    cfg_write(NIC, 0x69, 1, 0x80);
    assert_string_equal(story, "-02:00.0 w69 ");
    ats_on();
    cfg_write(NIC, 0x54, 2, 3); /* D3hot: flushed while it can answer */
    assert_string_equal(story, "-02:00.0 w54 ");
    story[0] = 0;
    cfg_write(NIC, 0x54, 2, 0); /* it kept its state: open again */
    assert_string_equal(story, "w54 +02:00.0 +02:00.0 ");
    ats_on();
    cfg_write(PORT, 0x3e, 2, 0x40); /* secondary bus reset */
    assert_string_equal(story, "-02:00.0 w3e ");
    cfg_write(PORT, 0x3e, 2, 0);
    ats_on();
    cfg_write(PORT, 0x3c, 4, 0x00400000);
    assert_string_equal(story, "-02:00.0 w3c ");
    cfg_write(PORT, 0x3e, 2, 0);
    ats_on();
    cfg_write(PORT, 0x70, 2, 0x10); /* link disable */
    assert_string_equal(story, "-02:00.0 w70 ");
    cfg_write(PORT, 0x70, 2, 0);
    ats_on();
    cfg_write(PORT, 0x78, 2, 0x400); /* slot power */
    assert_string_equal(story, "-02:00.0 w78 ");
    cfg_write(PORT, 0x78, 2, 0);
    ats_on();
    cfg_write(PORT, 0x19, 1, 7); /* it will have another source-id */
    assert_string_equal(story, "-02:00.0 w19 ");
    cfg_write(PORT, 0x19, 1, 2);
    ats_on();
    cfg_write(PORT, 0x54, 2, 3); /* nothing below a sleeping bridge can answer */
    assert_string_equal(story, "-02:00.0 w54 ");
    cfg_write(PORT, 0x54, 2, 0);
    /* A reset that does not happen takes nothing away for good. */
    ats_on();
    put(PORT, 0x3e, 2, 0, 0);
    cfg_write(PORT, 0x3e, 2, 0x40);
    assert_string_equal(story, "-02:00.0 w3e +02:00.0 +02:00.0 ");
}

/* PASID at 0x180 of PF, and ATS; page requests at 0x190. */
static void add_pasid(void)
{
    put(PF, 0x100, 4, 0x14010010, 0);
    put(PF, 0x140, 4, 0x1801000f, 0);
    put(PF, 0x144, 2, 5, 0);
    put(PF, 0x146, 2, 0, 0x801f);
    put(PF, 0x180, 4, 0x1901001b, 0);
    put(PF, 0x186, 2, 0, 7);
    put(PF, 0x190, 4, 0x00010013, 0);
    put(PF, 0x194, 2, 0, 3);
    put(PF, 0x19c, 4, 0, ~0u);
    pci_scan();
    story[0] = 0;
}

static void pasids_are_told(void **state)
{
    (void)state;
    add_pasid();
    cfg_write(PF, 0x146, 2, 0x8000); /* without */
    assert_string_equal(story, "+03:00.0 w146 +03:00.0 ");
    story[0] = 0;
    cfg_write(PF, 0x186, 2, 6); /* no change of the enable */
    assert_string_equal(story, "w186 ");
    /* on and off under ATS: everything it holds goes before, and it is followed as what it is then */
    story[0] = 0;
    cfg_write(PF, 0x186, 2, 1);
    assert_string_equal(story, "-03:00.0 w186 +03:00.0 pasid +03:00.0 pasid ");
    story[0] = 0;
    cfg_write(PF, 0x184, 4, 0);
    assert_string_equal(story, "-03:00.0 w184 +03:00.0 +03:00.0 ");
    cfg_write(PF, 0x146, 2, 0);
    cfg_write(PF, 0x186, 1, 1);
    story[0] = 0;
    cfg_write(PF, 0x146, 2, 0x8000);
    assert_string_equal(story, "+03:00.0 pasid w146 +03:00.0 pasid ");
    /* a VF has what its physical function has */
    cfg_write(PF, 0x110, 2, 4);
    cfg_write(PF, 0x108, 2, 1);
    story[0] = 0;
    cfg_write(VF, 0x106, 2, 0x8000);
    assert_string_equal(story, "+03:00.1 pasid w106 +03:00.1 pasid ");
    story[0] = 0;
    cfg_write(PF, 0x186, 2, 0);
    assert_string_equal(story, "-03:00.0 -03:00.1 w186 +03:00.0 +03:00.0 +03:00.1 +03:00.1 ");
}

/* Page requests are the guest's own: the unit blocks them where its entry does not allow them. */
static void page_requests_pass(void **state)
{
    (void)state;
    add_pasid();
    cfg_write(PF, 0x19c, 4, 32);
    cfg_write(PF, 0x194, 2, 1);
    assert_string_equal(story, "w19c w194 ");
    assert_int_equal(space_u8(PF, 0x194), 1);
}

/* The smallest unit of translations stays at 4 KiB, whatever part of the register is written. */
static void translations_are_of_4k(void **state)
{
    (void)state;
    cfg_write(NIC, 0x106, 2, 0x801f);
    assert_int_equal(space_u8(NIC, 0x106), 0);
    assert_int_equal(space_u8(NIC, 0x107), 0x80);
    cfg_write(NIC, 0x106, 1, 5);
    cfg_write(NIC, 0x104, 4, 0x80050000);
    assert_int_equal(space_u8(NIC, 0x106), 0);
    assert_int_equal(space_u8(NIC, 0x107), 0x80);
    cfg_write(NIC, 0x107, 1, 0x1f);
    assert_int_equal(space_u8(NIC, 0x107), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(decode_registers_of_the_chipset_are_fixed, set_up),
        cmocka_unit_test_setup(the_gate_opens_before_on_and_closes_before_off, set_up),
        cmocka_unit_test_setup(quarantined_is_no_bus_master, set_up),
        cmocka_unit_test_setup(enabled_behind_our_back, set_up),
        cmocka_unit_test_setup(what_clears_ats_is_known, set_up),
        cmocka_unit_test_setup(pasids_are_told, set_up),
        cmocka_unit_test_setup(page_requests_pass, set_up),
        cmocka_unit_test_setup(translations_are_of_4k, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
