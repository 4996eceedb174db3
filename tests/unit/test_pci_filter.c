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

/* By what a function is, where it is, and where its register is; who writes what is there is not told off. */
static void whose_registers_are_fixed(void **state)
{
    static const struct {
        pci_sid sid;
        u16 segment;
        u32 id, class, off, width;
        bool fixed;
    } t[] = {
        { 0x000, 0, 0x29c08086, 0x060000, 0x3c, 4, false },
        { 0x000, 0, 0x29c08086, 0x060000, 0x40, 1, true },
        { 0x7fa, 1, 0x12348086, 0x060000, 0xff, 1, true },
        { 0x7fa, 0, 0x3c288086, 0x088000, 0x40, 1, true },
        { 0x7fa, 0, 0x3c288086, 0x088000, 0x3c, 4, false },
        { 0x7fa, 0, 0x0e288086, 0x088000, 0x40, 4, true },
        { 0x7fa, 1, 0x2f288086, 0x088000, 0x44, 4, true },
        { 0x7fa, 0, 0x6f288086, 0x088000, 0xfc, 4, true },
        { 0x7fa, 0, 0x20248086, 0x088000, 0x90, 4, true },
        { 0x7fa, 0, 0x09a28086, 0x088000, 0x90, 4, true },
        { 0x7fa, 0, 0x09a38086, 0x088000, 0x90, 4, false },
        { 0x0f8, 0, 0x29188086, 0x060100, 0x3f, 1, false },
        { 0x0f8, 0, 0x29188086, 0x060100, 0x47, 1, true },
        { 0x0f8, 0, 0x29188086, 0x060100, 0x48, 4, false },
        { 0x0f8, 0, 0x29188086, 0x060100, 0xef, 1, false },
        { 0x0f8, 0, 0x29188086, 0x060100, 0xf0, 4, true },
        { 0x0f8, 0, 0x29188086, 0x060100, 0xf3, 1, true },
        { 0x0f8, 0, 0x29188086, 0x060100, 0xf4, 4, false },
        { 0x0f8, 1, 0x29188086, 0x060100, 0x40, 4, false },
        { 0x1f8, 0, 0x29188086, 0x060100, 0x40, 4, false },
        { 0x0fa, 0, 0xa1218086, 0x058000, 0x40, 4, true },
        { 0x0fa, 0, 0xa1218086, 0x058000, 0x4b, 1, true },
        { 0x0fa, 0, 0xa1218086, 0x058000, 0x4c, 4, false },
        { 0x0fa, 0, 0xa1218086, 0x010601, 0x40, 4, false },
        { 0x0f9, 0, 0xa1218086, 0x058000, 0x40, 4, false },
        { 0x1fa, 0, 0xa1218086, 0x058000, 0x40, 4, false },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        assert_int_equal(begin(state), 0);
        for (unsigned d = 0; d < NR_DEVICES; d++)
            devices[d].sid = 0xffff;
        make(PLAIN, t[i].sid, t[i].id, t[i].class, 0);
        devices[PLAIN].segment = t[i].segment;
        memset(devices[PLAIN].writable + 0x3c, 0xff, 0xc4);
        for (unsigned value = 0; value < 2; value++) {
            log_lines = 0;
            pci_guest_write(t[i].segment, t[i].sid, t[i].off, t[i].width, value);
            assert_int_equal(space_u8(PLAIN, t[i].off), t[i].fixed ? 0 : value);
            assert_int_equal(log_lines, t[i].fixed && value);
        }
    }
}

static void the_gate_opens_before_on_and_closes_before_off(void **state)
{
    (void)state;
    put(NIC, 0x06, 2, 1, 0); /* what is no control register enables no PASIDs */
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

/* Only what lies on its buses is below a bridge, and only while these have numbers. */
static void what_is_below_a_bridge(void **state)
{
    static const struct {
        u32 buses;
        pci_sid sid;
        bool below;
    } t[] = { { 0x050200, 0x100, false }, { 0x050200, 0x200, true }, { 0x050200, 0x500, true },
              { 0x050200, 0x600, false }, { 0x020200, 0x200, true }, { 0xff0000, 0x028, false } };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        (void)set_up(state);
        devices[NIC].sid = t[i].sid;
        put(PORT, 0x18, 3, t[i].buses, 0xffffff);
        ats_on();
        cfg_write(PORT, 0x3e, 2, 0x40);
        assert_int_equal(strchr(story, '-') != NULL, t[i].below);
    }
}

/* Each of a function's VFs goes before it does, and nobody else: by what it does, first VF, and number. */
static void whose_vfs_go_with_it(void **state)
{
    static const struct {
        u32 off, value, first, count;
        pci_sid sid;
        bool goes;
    } t[] = {
        { 0x108, 0, 1, 4, 0x301, true },     { 0x108, 0, 1, 4, 0x304, true },
        { 0x108, 0, 1, 4, 0x305, false },    { 0x68, 0x8000, 1, 4, 0x301, true },
        { 0x54, 3, 1, 4, 0x301, true },      { 0x68, 1, 1, 4, 0x301, false },
        { 0x108, 0x11, 1, 4, 0x301, false }, { 0x108, 0, 0, 300, 0x42b, true },
        { 0x108, 0, 0, 300, 0x42c, false },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        (void)set_up(state);
        put(PF, 0x18, 4, 0x00ff0200, 0); /* no bridge, whatever it looks like */
        put(PF, 0x108, 2, 1, 0xffff);
        put(PF, 0x110, 2, t[i].count, 0);
        put(PF, 0x114, 2, t[i].first, 0);
        devices[VF].sid = t[i].sid;
        vf_sid = (u32)t[i].sid - 0x300 - t[i].first < t[i].count ? t[i].sid : 0;
        cfg_write(VF, 0x106, 2, 0x8000);
        ats_on();
        cfg_write(PF, t[i].off, 2, t[i].value);
        assert_int_equal(strchr(story, '-') != NULL, t[i].goes);
        assert_null(strstr(story, "-02"));
    }
}

/* Registers that are what would end it all at a write, and bits of other registers in their places: a write
 * elsewhere ends nothing. */
static void what_does_not_clear_ats(void **state)
{
    static const struct {
        unsigned d, off, width;
        u64 value;
    } t[] = { { NIC, 0x3c, 1, 5 },        { NIC, 0x68, 2, 0x7fff }, { NIC, 0x6c, 4, ~0u },
              { NIC, 0x56, 2, 3 },        { NIC, 0x84, 1, 0xfe },   { NIC, 0x85, 1, 1 },
              { PORT, 0x3c, 1, 5 },       { PORT, 0x1b, 1, 9 },     { PORT, 0x72, 2, 16 },
              { PORT, 0x7a, 2, 0 },       { PLAIN, 0x3c, 1, 0xff }, { PF, 0x3c, 1, 4 },
              { PF, 0x18, 4, 0x00ff0300 } };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        (void)set_up(state);
        put(NIC, 0x60, 2, 0x8010, 0);
        put(NIC, 0x80, 4, 0x03060013, 0); /* AF, which can reset */
        put(NIC, 0x06, 2, 1, 0);
        put(PLAIN, 0x06, 2, 0x8000, 0);
        put(PF, 0x18, 4, 0x00ff0200, ~0u); /* a BAR, and no numbers of buses */
        pci_scan();
        ats_on();
        put(NIC, 0x68, 2, t[i].d == NIC && t[i].off == 0x68 ? 0 : 0x8000, 0);
        put(NIC, 0x84, 1, t[i].off == 0x84 ? 0 : 1, 0);
        devices[NIC].resets_on_flr = false;
        put(PORT, 0x3e, 2, 0x40, 0); /* reset, without a link, without power: as they are */
        put(PORT, 0x70, 2, 0x10, 0);
        put(PORT, 0x78, 2, 0x400, 0);
        cfg_write(t[i].d, t[i].off, t[i].width, t[i].value);
        assert_null(strchr(story, '-'));
        assert_null(strchr(story, '+'));
    }
}

/* Where a capability is absent, nothing at the bottom of configuration space is taken for its registers. */
static void without_capabilities(void **state)
{
    static const struct {
        unsigned d, off, width;
        u64 value;
    } t[] = { { NIC, 8, 2, 0x8000 },
              { NIC, 4, 1, 3 },
              { NIC, 6, 2, 0x1000 },
              { PORT, 0x10, 1, 0x10 },
              { PORT, 0x18, 2, 0x0600 } };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        assert_int_equal(begin(state), 0);
        put(NIC, 0x34, 1, 0, 0);
        put(NIC, 0x00, 4, 0x02411af4, 0); /* as if it could reset itself in either way */
        put(NIC, 0x06, 2, 0x1001, 1);
        devices[NIC].sid = 0x600;
        devices[NIC].resets_on_flr = false;
        put(PORT, 0x34, 1, 0, 0);
        put(PORT, 0x14, 4, 2, 0);
        put(PORT, 0x18, 3, 0x060600, 0xffffff);
        pci_scan();
        ats_on();
        cfg_write(t[i].d, t[i].off, t[i].width, t[i].value);
        assert_null(strchr(story, '-'));
        assert_null(strchr(story, '+'));
    }
    /* Nor does a write to a physical function look after its VFs without a reason. */
    (void)set_up(state);
    put(PF, 0x110, 2, 4, 0);
    cfg_write(VF, 0x3c, 1, 0);
    put(VF, 0x106, 2, 0x8000, 0x801f);
    story[0] = 0;
    cfg_write(PF, 0x3c, 1, 0);
    assert_story("w3c ");
}

/* Resets by the capability of conventional functions, and writes that only some functions take for a reset.
 */
static void who_can_reset_itself(void **state)
{
    (void)state;
    put(NIC, 0x60, 2, 0x8010, 0);
    put(NIC, 0x80, 4, 0x03060013, 0);
    put(NIC, 0x84, 1, 0, 0);
    pci_scan();
    ats_on();
    cfg_write(NIC, 0x84, 1, 1);
    assert_story("-02:00.0 w84 ");
    put(NIC, 0x80, 4, 0x01060013, 0); /* it cannot */
    cfg_write(NIC, 0x3c, 1, 0);
    story[0] = 0;
    cfg_write(NIC, 0x84, 1, 1);
    assert_story("w84 ");
    put(NIC, 0x64, 4, 0, 0);
    cfg_write(NIC, 0x68, 2, 0x8000);
    assert_null(strchr(story, '-'));
    put(PORT, 0x74, 4, 0, 0); /* a slot without power control */
    ats_on();
    cfg_write(PORT, 0x78, 2, 0x400);
    assert_null(strchr(story, '-'));
}

/* Who starts as a bus master, and whose other registers are left alone when it may not. */
static void starting_masters(void **state)
{
    (void)state;
    story[0] = 0;
    cfg_write(PLAIN, 4, 2, 2);
    cfg_write(PLAIN, 5, 1, 4);
    assert_null(strchr(story, 's'));
    cfg_write(PLAIN, 4, 1, 6);
    assert_non_null(strstr(story, "s00:03.0 "));
    stopped = true;
    put(PLAIN, 0x3c, 1, 0, 0xff);
    cfg_write(PLAIN, 0x3c, 1, 4);
    assert_int_equal(space_u8(PLAIN, 0x3c), 4);
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
        cmocka_unit_test_setup(whose_registers_are_fixed, set_up),
        cmocka_unit_test_setup(what_is_below_a_bridge, set_up),
        cmocka_unit_test_setup(whose_vfs_go_with_it, set_up),
        cmocka_unit_test_setup(what_does_not_clear_ats, set_up),
        cmocka_unit_test_setup(without_capabilities, set_up),
        cmocka_unit_test_setup(who_can_reset_itself, set_up),
        cmocka_unit_test_setup(starting_masters, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
