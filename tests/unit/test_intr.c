/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/intr.c hv/intr_chipset.c hv/pci_cfg.c hv/pci_filter.c hv/pci_decode.c hv/pci_table.c hv/mem.c */
/* intr=strict: messages of functions, in whose name they are sent, and what firmware has left. */
#include "tests/unit/intr_world.h"

static void strict_msi(void **state)
{
    struct iommu_message *m = of_nic();

    (void)state;
    assert_int_equal(m->source, 0x0200 | IOMMU_SOURCE_EXACT);
    cfg_write(NIC, 0x94, 4, 0xfee01000);
    cfg_write(NIC, 0x9c, 2, 0x4041);
    assert_int_equal(space_u32(NIC, 0x94), handle_of(0));
    assert_int_equal(space_u32(NIC, 0x9c), 0);
    assert_int_equal(m[0].address, 0xfee01000);
    assert_int_equal(m[0].data, 0x4041);
    assert_int_equal(m[1].address, 0);
    /* what was written is what is read, at any width */
    assert_int_equal(cfg_read(NIC, 0x94, 8), 0xfee01000);
    assert_int_equal(cfg_read(NIC, 0x9c, 2), 0x4041);
    assert_int_equal(cfg_read(NIC, 0x96, 2), 0xfee0);
    assert_int_equal(cfg_read(NIC, 0x9d, 1), 0x40);
    assert_int_equal(cfg_read(NIC, 0x90, 4), 0x0084b005);
    /* four messages, all of them there before the device may send one */
    cfg_write(NIC, 0x9c, 2, 0x44);
    story[0] = 0;
    cfg_write(NIC, 0x92, 2, 0x00a5);
    assert_non_null(strstr(story, "w92 "));
    assert_string_equal(strstr(story, "w92 "), "w92 ");
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(m[i].address, 0xfee01000);
        assert_int_equal(m[i].data, 0x44 + i);
    }
    /* byte by byte */
    cfg_write(NIC, 0x95, 1, 0x20);
    assert_int_equal(m[3].address, 0xfee02000);
    assert_int_equal(cfg_read(NIC, 0x94, 4), 0xfee02000);
    /* the guest's own remapping, and an address that is no interrupt: as they are */
    cfg_write(NIC, 0x94, 4, 0xfee00018);
    assert_int_equal(space_u32(NIC, 0x94), 0xfee00018);
    assert_int_equal(m[0].address, 0);
    assert_int_equal(cfg_read(NIC, 0x94, 4), 0xfee00018);
    cfg_write(NIC, 0x98, 4, 1);
    cfg_write(NIC, 0x94, 4, 0xfee00000);
    assert_int_equal(space_u32(NIC, 0x94), 0xfee00000);
    assert_int_equal(space_u32(NIC, 0x98), 1);
    assert_int_equal(m[0].address, 0);
    cfg_write(NIC, 0x98, 4, 0);
    assert_int_equal(m[0].address, 0xfee00000);
    /* reset: the device has the last word */
    put(NIC, 0x94, 4, 0, 0xfffffffc);
    assert_int_equal(cfg_read(NIC, 0x94, 4), 0);
}

static void firmware_uses_everything(void)
{
    static const u32 entry[] = { 0xfee05000, 0, 0x61,       0, 0xfee06000, 0, 0x62,       1, 0,    0,
                                 0,          1, 0xfee08000, 0, 0x63,       0, 0xfee09000, 0, 0x64, 0 };

    put(NIC, 0x92, 2, 0x0085, 0x71); /* on */
    put(NIC, 0x94, 4, 0xfee04000, 0xfffffffc);
    put(NIC, 0x9c, 2, 0x51, 0xffff);
    put(NIC, 0xb2, 2, 0x8003, 0xc000);
    memcpy(bar_page + 0x800, entry, sizeof(entry));
    hpet_page[0x120 / 4] |= BIT(14);
    hpet_page[0x130 / 4] = 0x71;
    hpet_page[0x134 / 4] = 0xfee07000;
}

/* A guest that takes what firmware has set up as it is gets those messages, and reads what firmware has
 * written. */
static void strict_takes_over(void **state)
{
    bool full, hpet = false;
    struct pci_function *f;

    firmware_left = firmware_uses_everything;
    assert_int_equal(set_up_strict(state), 0);
    firmware_left = NULL;
    f = pci_function_get(0, 0x200, &full);
    struct iommu_message *m = f->messages;
    assert_int_equal(m[0].address, 0xfee04000);
    assert_int_equal(m[0].data, 0x51);
    assert_int_equal(space_u32(NIC, 0x94), handle_of(0));
    assert_int_equal(cfg_read(NIC, 0x94, 4), 0xfee04000);
    assert_int_equal(cfg_read(NIC, 0x9c, 2), 0x51);
    assert_int_equal(m[4].address, 0xfee05000);
    assert_int_equal(m[4].data, 0x61);
    assert_int_equal(bar_u32(0x800), handle_of(4));
    assert_int_equal(table_access(0x800, 8, false, 0), 0xfee05000);
    assert_int_equal(table_access(0x808, 8, false, 0), 0x61);
    /* masked: the guest's to write before it is used */
    assert_int_equal(m[5].address, 0);
    assert_int_equal(bar_u32(0x810), 0xfee06000);
    assert_int_equal(m[7].data, 0x63);
    assert_int_equal(bar_u32(0x830), handle_of(7));
    assert_int_equal(bar_u32(0x840), 0xfee09000); /* behind the table */
    assert_int_equal(m[8].address, 0);
    for (unsigned i = 0; i < nr_messages; i++) {
        if (messages[i].source == (0xff78 | IOMMU_SOURCE_EXACT) && messages[i].address == 0xfee07000)
            hpet = messages[i].data == 0x71;
    }
    assert_true(hpet);
    assert_int_equal(hpet_at(0x130, 8, false, 0), 0xfee0700000000071);
    memset(hpet_page, 0, sizeof(hpet_page));
}

/* A function for which there are no entries keeps what it had, and cannot send. */
static void strict_without_entries(void **state)
{
    bool full;
    struct pci_function *f = pci_function_get(0, 0x200, &full);

    (void)state;
    messages_left = 7;
    f->messages = NULL;
    f->nr_messages = 0;
    cfg_write(NIC, 0x94, 4, 0xfee01000);
    assert_int_equal(space_u32(NIC, 0x94), 0);
    assert_int_equal(cfg_read(NIC, 0x94, 4), 0);
}

/* What lies on a conventional bus sends in the name of its bridge, or of the bus. */
static void strict_behind_a_bridge(void **state)
{
    bool full;
    struct pci_function *f = pci_function_get(0, 0x200, &full);

    (void)state;
    put(PORT, 0x62, 2, 0x72, 0); /* PCI Express to PCI */
    f->messages = NULL;
    f->nr_messages = 0;
    cfg_write(NIC, 0x94, 4, 0xfee01000);
    assert_int_equal(of_nic()->source, 0x0202 | IOMMU_SOURCE_BUSES);
    put(PORT, 0x34, 1, 0, 0); /* without PCI Express it forwards in its own name */
    put(PORT, 0x00, 4, 0x244e8086, 0);
    (void)pci_function_get(0, 0x10, &full);
    f->messages = NULL;
    f->nr_messages = 0;
    cfg_write(NIC, 0x94, 4, 0xfee02000);
    assert_int_equal(of_nic()->source, 0x0002 | IOMMU_SOURCE_BUSES);
}

/* What stands around a message's registers is the device's, in either form. */
static void narrow_msi(void)
{
    put(NIC, 0x92, 2, 0x0004, 0x71);
    put(NIC, 0x98, 2, 0, 0xffff);
    put(NIC, 0x9a, 2, 0xabcd, 0xffff);
    put(NIC, 0x9c, 4, 0x12345678, ~0u);
}

static void strict_msi_of_32_bits(void **state)
{
    struct iommu_message *m;

    firmware_left = narrow_msi;
    assert_int_equal(set_up_strict(state), 0);
    firmware_left = NULL;
    m = of_nic();
    cfg_write(NIC, 0x94, 4, 0xfee01000);
    cfg_write(NIC, 0x98, 2, 0x4041);
    assert_int_equal(m[0].address, 0xfee01000);
    assert_int_equal(m[0].data, 0x4041);
    assert_int_equal(space_u32(NIC, 0x94), handle_of(0));
    assert_int_equal(space_u32(NIC, 0x98), 0xabcd0000);
    assert_int_equal(cfg_read(NIC, 0x94, 8), 0xabcd4041fee01000);
    assert_int_equal(cfg_read(NIC, 0x99, 1), 0x40);
    assert_int_equal(cfg_read(NIC, 0x9a, 1), 0xcd);
    assert_int_equal(cfg_read(NIC, 0x9c, 4), 0x12345678);
    assert_int_equal(cfg_read(NIC, 0x90, 4), 0x0004b005);
    cfg_write(NIC, 0x99, 1, 0x42);
    cfg_write(NIC, 0x9a, 2, 0x1111);
    cfg_write(NIC, 0x9c, 4, 5);
    assert_int_equal(m[0].data, 0x4241);
    cfg_write(NIC, 0x94, 4, 0xfee00018); /* the guest's own remapping */
    assert_int_equal(cfg_read(NIC, 0x98, 2), 0x4241);
    cfg_write(NIC, 0x94, 4, 0xfee01000);
    assert_int_equal(space_u32(NIC, 0x98), 0x11110000);
    assert_int_equal(space_u32(NIC, 0x9c), 5);
}

static void strict_around_msi(void **state)
{
    struct iommu_message *m = of_nic();

    (void)state;
    put(NIC, 0x9e, 2, 0x1234, 0xffff);
    put(NIC, 0xa0, 4, 0x55667788, ~0u);
    cfg_write(NIC, 0x94, 4, 0xfee01000);
    cfg_write(NIC, 0x9c, 2, 0x41);
    assert_int_equal(cfg_read(NIC, 0x9c, 4), 0x12340041);
    assert_int_equal(cfg_read(NIC, 0x9e, 1), 0x34);
    assert_int_equal(cfg_read(NIC, 0xa0, 4), 0x55667788);
    assert_int_equal(cfg_read(NIC, 0x93, 1), 0);
    cfg_write(NIC, 0x9e, 2, 0x4321);
    assert_int_equal(space_u32(NIC, 0x9c), 0x43210000);
    assert_int_equal(cfg_read(NIC, 0x9b, 1), 0);
    /* All of an upper half counts, and what is not translated is there to the last byte. */
    cfg_write(NIC, 0x98, 4, 0x10000);
    assert_int_equal(m[0].address, 0);
    assert_int_equal(m[0].data, 0);
    cfg_write(NIC, 0x9c, 2, 0x4567);
    assert_int_equal(space_u32(NIC, 0x98), 0x10000);
    assert_int_equal(space_u32(NIC, 0x9c), 0x43214567);
    /* The guest's own remapping, by a handle that is ours. */
    cfg_write(NIC, 0x98, 4, 0);
    cfg_write(NIC, 0x94, 4, handle_of(0));
    assert_int_equal(cfg_read(NIC, 0x94, 4), handle_of(0));
    assert_int_equal(cfg_read(NIC, 0x9c, 2), 0x4567);
    cfg_write(NIC, 0x94, 4, 0xfee01000);
    story[0] = 0;
    cfg_write(NIC, 0x3c, 1, 5); /* elsewhere */
    assert_story("w3c ");
    /* A device that has lost its upper half only is not believed to hold the handle. */
    cfg_write(NIC, 0x98, 4, 0);
    put(NIC, 0x98, 4, 1, ~0u);
    assert_int_equal(cfg_read(NIC, 0x94, 8), 1ull << 32 | handle_of(0));
}

/* As many messages as there are, however many are asked for. */
static u32 capable;

static void so_many(void)
{
    put(NIC, 0x92, 2, 0x0080 | capable << 1, 0x71);
    if (capable != 2)
        put(NIC, 0x90, 2, 0x0005, 0); /* no MSI-X */
}

static void strict_number_of_messages(void **state)
{
    static const struct {
        u32 capable, count;
    } t[] = { { 0, 1 }, { 1, 2 }, { 2, 4 + 4 }, { 5, 32 }, { 6, 32 }, { 7, 32 } };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        bool full;

        capable = t[i].capable;
        firmware_left = so_many;
        assert_int_equal(set_up_strict(state), 0);
        firmware_left = NULL;
        cfg_write(NIC, 0x94, 4, 0xfee01000);
        assert_int_equal(pci_function_get(0, 0x200, &full)->nr_messages, t[i].count);
        assert_int_equal(of_nic()->address, 0xfee01000);
    }
    capable = 2;
    firmware_left = so_many;
    assert_int_equal(set_up_strict(state), 0);
    firmware_left = NULL;
    cfg_write(NIC, 0x94, 4, 0xfee01000);
    cfg_write(NIC, 0x9c, 2, 0x40);
    cfg_write(NIC, 0x92, 2, 0xf5);
    assert_int_equal(of_nic()[3].data, 0x43);
    assert_int_equal(of_nic()[4].address, 0); /* of MSI-X */
}

/* In whose name a function behind bridges to conventional buses sends. */
static void strict_who_sends(void **state)
{
    static const struct {
        u32 outer, inner; /* their buses, 0: it is no such bridge */
        bool inner_express;
        u32 bus, source;
    } t[] = {
        { 0x050200, 0, false, 1, 0x100 | IOMMU_SOURCE_EXACT },
        { 0x050200, 0, false, 2, 0x202 | IOMMU_SOURCE_BUSES },
        { 0x050200, 0, false, 5, 0x205 | IOMMU_SOURCE_BUSES },
        { 0x050200, 0, false, 6, 0x600 | IOMMU_SOURCE_EXACT },
        { 0x090200, 0x060502, true, 5, 0x205 | IOMMU_SOURCE_BUSES },
        { 0, 0x060504, true, 5, 0x505 | IOMMU_SOURCE_BUSES },
        { 0, 0x060504, true, 6, 0x506 | IOMMU_SOURCE_BUSES },
        { 0, 0x060504, false, 6, 0x406 | IOMMU_SOURCE_BUSES },
        { 0, 0x060504, false, 4, 0x400 | IOMMU_SOURCE_EXACT },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        bool full;
        pci_sid nic = (pci_sid)(t[i].bus << 8);

        (void)set_up_strict(state);
        put(PORT, 0x18, 3, t[i].outer, 0);
        put(PORT, 0x62, 2, t[i].outer ? 0x72 : 0x42, 0);
        make(PF, 0x408, 0x244e8086, 0x060400, t[i].inner ? 1 : 0);
        put(PF, 0x18, 3, t[i].inner ? t[i].inner : 0x090100, 0);
        put(PF, 0x34, 1, t[i].inner_express ? 0x50 : 0, 0);
        put(PF, 0x62, 2, 0x72, 0);
        devices[NIC].sid = nic;
        pci_scan();
        struct pci_function *f = pci_function_get(0, nic, &full);
        f->messages = NULL;
        f->nr_messages = 0;
        cfg_write(NIC, 0x94, 4, 0xfee01000);
        assert_non_null(f->messages);
        assert_int_equal(f->messages->source, t[i].source);
    }
}

/* Functions of other segments, too, may be taken over as firmware has left them. */
static void another_segment(void)
{
    nr_ecams = 2;
    ecams[1] = (struct ecam){ .base = ECAM, .segment = 1, .last_bus = 255 };
    devices[PLAIN] = devices[NIC];
    devices[PLAIN].segment = 1;
    put(PLAIN, 0x92, 2, 0x0085, 0x71);
    put(PLAIN, 0x94, 4, 0xfee04000, 0xfffffffc);
    put(PLAIN, 0x9c, 2, 0x51, 0xffff);
    put(NIC, 0x94, 4, 0xfee0b000, 0xfffffffc); /* not in use */
    memcpy(bar_page + 0x800, "\x00\x50\xe0\xfe", 4);
}

static void strict_in_each_segment(void **state)
{
    bool full;

    firmware_left = another_segment;
    assert_int_equal(set_up_strict(state), 0);
    firmware_left = NULL;
    struct iommu_message *m = pci_function_get(1, 0x200, &full)->messages;
    assert_int_equal(m[0].address, 0xfee04000);
    assert_int_equal(m[0].data, 0x51);
    assert_int_equal(of_nic()[0].address, 0);
    assert_int_equal(of_nic()[4].address, 0);
}

/* Without intr=strict nothing of all this is done. */
static void lenient_messages(void **state)
{
    options.iommu.strict = false;
    (void)state;
    cfg_write(NIC, 0x94, 4, 0xfee01000);
    cfg_write(NIC, 0x9c, 2, 0x41);
    assert_int_equal(space_u32(NIC, 0x94), 0xfee01000);
    assert_int_equal(cfg_read(NIC, 0x94, 4), 0xfee01000);
    assert_int_equal(of_nic()[0].address, 0);
    table_range.base = 0;
    nr_messages = 0;
    intr_init();
    cfg_write(NIC, 4, 2, 4);
    cfg_write(NIC, 0x10, 8, 0x200000004);
    cfg_write(NIC, 4, 2, 6);
    assert_int_equal(table_range.base, 0);
    assert_int_equal(nr_messages, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(strict_msi, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_takes_over, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_without_entries, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_behind_a_bridge, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_msi_of_32_bits, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_around_msi, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_number_of_messages, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_who_sends, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_in_each_segment, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(lenient_messages, set_up_strict, lenient),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
