/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/intr.c hv/intr_chipset.c hv/pci_cfg.c hv/pci_filter.c hv/pci_decode.c hv/pci_table.c hv/mem.c */
/* The functions of the machine, as they are found, come and go. */
#include "tests/unit/pci_world.h"

static unsigned visits;

static void visit(struct pci_function *f)
{
    visits++;
    tell("%x:%x ", f->segment, f->sid);
}

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
    cfg_write(PORT, 0x3c, 1, 0); /* who does not deal with the slot learns nothing of it */
    assert_story("w3c ");
    cfg_write(PORT, 0x7a, 2, 8);
    assert_string_equal(story, "w7a x02:00.0 ");
    cfg_write(NIC, 0x106, 2, 0x8000); /* to nobody */
    assert_string_equal(story, "w7a x02:00.0 ");
    cfg_write(PORT, 0x7a, 2, 8);
    assert_string_equal(story, "w7a x02:00.0 w7a "); /* it goes once */
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
    /* Of one that never had ATS nothing is told, and it takes no second place. */
    unsigned count = pci_function_count();
    story[0] = 0;
    put(PLAIN, 0, 4, 0x12345678, 0);
    cfg_write(PLAIN, 0x3c, 1, 0);
    assert_story("w3c ");
    assert_int_equal(pci_function_count(), count);
}

/* Before devices are contained: none but bridges, and those that firmware reserves memory for, may go on.
 * What no bridge leads to is left to the units. */
static void masters_are_stopped(void **state)
{
    (void)state;
    for (unsigned last = 0; last < 2; last++) {
        assert_int_equal(begin(state), 0);
        if (last) { /* bus */
            put(PORT, 0x19, 2, 0xffff, 0xffff);
            devices[NIC].sid = 0xff00;
        }
        for (unsigned d = 0; d < NR_DEVICES; d++) {
            devices[d].space[4] |= 4;
            devices[d].writable[4] |= 4;
        }
        devices[ISA].space[4] &= ~4;
        pci_stop_masters();
        assert_story("w4 w4 ");
        for (unsigned d = 0; d < NR_DEVICES; d++)
            assert_int_equal(space_u8(d, 4) & 4, d == HOST || d == ISA || d == NIC ? 0 : 4);
    }
}

/* Each function of a device, each bus of each window, or all that ports reach where there is no window. */
static void every_bus_is_scanned(void **state)
{
    static const struct {
        unsigned windows, first, last;
        const char *found;
    } t[] = {
        { 1, 0, 255, "0:0 0:10 0:f8 0:f9 0:ff 0:200 " },
        { 1, 0, 1, "0:0 0:10 0:f8 0:f9 0:ff " },
        { 1, 1, 2, "0:200 " },
        { 2, 1, 2, "0:200 1:200 " },
        { 2, 3, 255, "" },
        { 0, 0, 0, "0:0 0:10 0:f8 0:f9 0:ff 0:200 " },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        assert_int_equal(begin(state), 0);
        put(ISA, 0x0e, 1, 0x80, 0); /* several functions, the last of which is the last of its bus */
        devices[VF].sid = 0xf9;
        devices[PF].sid = 0xff;
        devices[PLAIN].sid = devices[NIC].sid; /* of another segment */
        devices[PLAIN].segment = 1;
        nr_ecams = t[i].windows;
        ecams[0] = (struct ecam){ .first_bus = (u8)t[i].first, .last_bus = (u8)t[i].last };
        ecams[1] = (struct ecam){ .segment = 1, .first_bus = (u8)t[i].first, .last_bus = (u8)t[i].last };
        pci_scan();
        story[0] = 0;
        pci_for_buses(0, 0, 255, visit);
        pci_for_buses(1, 0, 255, visit);
        assert_story(t[i].found);
    }
    pci_for_buses(0, 1, 1, visit);
    pci_for_buses(0, 3, 255, visit);
    assert_story("");
    pci_for_buses(0, 2, 2, visit);
    pci_for_buses(0, 1, 3, visit);
    assert_story("0:200 0:200 ");
    pci_for_buses(0, 0, 1, visit);
    assert_story("0:0 0:10 0:f8 0:f9 0:ff ");
}

/* A scan changes nothing that it need not: what looks like a control register of a capability is none. */
static void a_scan_leaves_things_alone(void **state)
{
    assert_int_equal(begin(state), 0);
    put(PLAIN, 0x04, 2, 0, 0x7ff);
    put(PLAIN, 0x06, 2, 0x8000, 0xffff);
    put(PLAIN, 0x08, 1, 0x09, 0xff);
    nr_ecams = 1;
    ecams[0] = (struct ecam){ .last_bus = 0 };
    put(PORT, 0x04, 2, 0, 0x7ff);
    pci_scan();
    assert_story("");
}

/* There is room for so many functions; one more stops the start, or is left alone if it comes later. */
static void as_many_functions_as_there_may_be(void **state)
{
    bool full = true;

    assert_int_equal(begin(state), 0);
    crowd = PCI_MAX_FUNCTIONS - 6;
    nr_ecams = 2;
    ecams[0] = (struct ecam){ .last_bus = 3 };
    ecams[1] = (struct ecam){ .first_bus = 0x80, .last_bus = 0x84 };
    pci_scan();
    assert_int_equal(pci_function_count(), PCI_MAX_FUNCTIONS);
    visits = 0;
    pci_for_buses(0, 0, 255, visit);
    assert_int_equal(visits, PCI_MAX_FUNCTIONS);
    assert_int_equal(pci_physical_function(0, 0x1234), 0x1234);
    pci_for_vfs(pci_function_get(0, 0x300, &full), visit);
    assert_int_equal(visits, PCI_MAX_FUNCTIONS);
    assert_null(pci_function_get(0, 0x1234, &full));
    assert_false(full); /* there is nobody */
    crowd++;
    assert_null(pci_function_get(0, (pci_sid)(0x8000 + crowd - 1), &full));
    assert_true(full);
    story[0] = 0;
    log_lines = 0;
    pci_guest_write(0, (pci_sid)(0x8000 + crowd - 1), 4, 2, 7);
    assert_int_equal(log_lines, 1);
    pci_guest_write(0, 0x1234, 4, 2, 7);
    assert_int_equal(log_lines, 1);
    assert_story("");
    assert_true(ends(pci_scan()));
    assert_non_null(strstr(story, "refused "));
    crowd--;
    pci_scan();
    crowd = 0;
}

/* VFs by their first one, their distance and their number. */
static void whose_vf_a_function_is(void **state)
{
    static const struct {
        u16 first, stride, count;
        pci_sid sid, physical;
    } t[] = {
        { 1, 1, 4, 0x301, 0x300 },       { 1, 1, 4, 0x304, 0x300 },    { 1, 1, 4, 0x305, 0x305 },
        { 1, 1, 4, 0x2ff, 0x2ff },       { 1, 1, 0, 0x301, 0x301 },    { 0x80, 2, 3, 0x37f, 0x37f },
        { 0x80, 2, 3, 0x380, 0x300 },    { 0x80, 2, 3, 0x381, 0x381 }, { 0x80, 2, 3, 0x384, 0x300 },
        { 0x80, 2, 3, 0x386, 0x386 },    { 0x10, 0, 1, 0x310, 0x300 }, { 0x10, 0, 1, 0x311, 0x311 },
        { 0xfd80, 1, 1, 0x0080, 0x300 }, { 1, 1, 4, 0x300, 0x300 },
    };
    u32 number;
    bool full;

    devices[VF].space[0x0a] = 0xff; /* not there: the physical function is the last of all */
    pci_scan();
    const struct pci_function *pf = pci_function_get(0, 0x300, &full);
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        put(PF, 0x110, 2, t[i].count, 0);
        put(PF, 0x114, 2, t[i].first, 0);
        put(PF, 0x116, 2, t[i].stride, 0);
        assert_int_equal(pci_physical_function(0, t[i].sid), t[i].physical);
        assert_int_equal(pci_is_vf(pf, 0, t[i].sid, &number), t[i].sid != t[i].physical);
        assert_int_equal(pci_physical_function(1, t[i].sid), t[i].sid);
    }
    assert_int_equal(pci_physical_function(0, 0x201), 0x201); /* a BAR is no capability */
    put(PF, 0x114, 2, 0, 0);
    assert_false(pci_is_vf(pf, 0, 0x300, &number)); /* itself */
    put(PF, 0x110, 2, 4, 0);
    devices[VF].space[0x0a] = 0;
    story[0] = 0;
    (void)pci_function_get(0, 0x301, &full);
    pci_for_vfs(pf, visit);
    assert_story("0:301 ");
    devices[PF].space[0x0a] = 0xff; /* one that is gone has none */
    assert_int_equal(pci_physical_function(0, 0x2ff), 0x2ff);
    assert_int_equal(pci_physical_function(0, 0x301), 0x301);
    (void)state;
}

/* A VF has no memory enable and no BARs: what lies there is written as it is. */
static void registers_that_a_vf_has_not(void **state)
{
    (void)state;
    put(VF, 0x04, 2, 0, 0x7ff);
    put(VF, 0x00, 4, ~0u, 0);
    story[0] = 0;
    cfg_write(VF, 0x04, 2, 2);
    cfg_write(VF, 0x10, 4, 0);
    cfg_write(VF, 0x00, 4, 0);
    assert_story("w4 w10 w0 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(firmware_left_ats_on, set_up),
        cmocka_unit_test_setup(another_device_in_the_same_place, set_up),
        cmocka_unit_test_setup(hot_unplug_is_noticed_at_the_slot, set_up),
        cmocka_unit_test_setup(hot_plug_below_a_port, set_up),
        cmocka_unit_test_setup(masters_are_stopped, set_up),
        cmocka_unit_test_setup(every_bus_is_scanned, set_up),
        cmocka_unit_test_setup(a_scan_leaves_things_alone, set_up),
        cmocka_unit_test_setup(as_many_functions_as_there_may_be, set_up),
        cmocka_unit_test_setup(whose_vf_a_function_is, set_up),
        cmocka_unit_test_setup(registers_that_a_vf_has_not, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
