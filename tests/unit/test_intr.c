/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/intr.c hv/intr_chipset.c hv/pci_cfg.c hv/pci_filter.c hv/pci_decode.c hv/pci_table.c hv/mem.c */
/* intr=strict: messages of functions, in MSI and in MSI-X tables. */
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

static void strict_msix(void **state)
{
    struct iommu_message *m = of_nic() + 4 + 2; /* behind those of MSI */

    (void)state;
    assert_int_equal(table_range.base, 0xfa000000);
    assert_int_equal(table_range.size, PAGE_SIZE);
    table_access(0x820, 4, true, 0xfee03000);
    table_access(0x824, 4, true, 0);
    table_access(0x828, 4, true, 0x51);
    table_access(0x82c, 4, true, 1);
    assert_int_equal(bar_u32(0x820), handle_of(4 + 2));
    assert_int_equal(bar_u32(0x828), 0);
    assert_int_equal(bar_u32(0x82c), 1);
    assert_int_equal(m->address, 0xfee03000);
    assert_int_equal(m->data, 0x51);
    assert_int_equal(table_access(0x820, 8, false, 0), 0xfee03000);
    assert_int_equal(table_access(0x828, 8, false, 0), BIT(32) | 0x51);
    table_access(0x828, 8, true, 0x52); /* unmasked */
    assert_int_equal(m->data, 0x52);
    assert_int_equal(bar_u32(0x82c), 0);
    /* what lies around the table is none of ours */
    table_access(0x7f8, 8, true, 0xfee03000);
    table_access(0x840, 4, true, 0xfee03000);
    assert_int_equal(bar_u32(0x7f8), 0xfee03000);
    assert_int_equal(bar_u32(0x840), 0xfee03000);
    table_access(0x10, 1, true, 0xabcd);
    table_access(0x12, 2, true, 0xabcd);
    assert_int_equal(bar_u32(0x10), 0xabcd00cd);
    assert_int_equal(table_access(0x10, 1, false, 0), 0xcd);
    assert_int_equal(table_access(0x12, 2, false, 0), 0xabcd);
    /* the table goes where the BAR goes, before the device decodes there */
    flushes = 0;
    cfg_write(NIC, 4, 2, 4);
    cfg_write(NIC, 0x10, 8, 0x200000004);
    assert_int_equal(flushes, 0);
    cfg_write(NIC, 4, 2, 6);
    assert_int_equal(table_range.base, 0x200000000);
    assert_int_equal(flushes, 1);
    assert_int_equal(table_access(0x828, 4, false, 0), 0x52);
    assert_int_equal(bar_at, 0x200000000);
}

/* A VF's table lies in its part of its physical function's BAR, and goes where that goes. */
static void strict_vf(void **state)
{
    bool full;

    (void)state;
    put(VF, 0x34, 1, 0xb0, 0);
    put(VF, 0x06, 2, 0x10, 0);
    put(VF, 0xb0, 2, 0x0011, 0);
    put(VF, 0xb2, 2, 3, 0xc000);
    put(VF, 0xb4, 4, 0x2000, 0);
    put(PF, 0x114, 2, 0, 0); /* what is here the first is the second one */
    cfg_write(PF, 0x110, 2, 4);
    cfg_write(PF, 0x108, 2, 9);
    table_range = (struct mmio_range){ 0 };
    memset(bar_page, 0, sizeof(bar_page));
    cfg_write(VF, 0x04, 2, 4);
    assert_int_equal(table_range.base, 0xd8012000);
    struct iommu_message *m = pci_function_get(0, 0x301, &full)->messages;
    assert_int_equal(m->source, 0x0301 | IOMMU_SOURCE_EXACT);
    table_access(0x10, 4, true, 0xfee01000);
    table_access(0x18, 4, true, 0x47);
    assert_int_equal(m[1].address, 0xfee01000);
    assert_int_equal(m[1].data, 0x47);
    assert_int_equal(table_access(0x10, 4, false, 0), 0xfee01000);
    assert_int_not_equal(bar_u32(0x10), 0xfee01000);
    cfg_write(PF, 0x108, 2, 0);
    cfg_write(PF, 0x124, 4, 0xd9000000);
    cfg_write(PF, 0x108, 2, 9); /* the VF itself is not written to */
    assert_int_equal(table_range.base, 0xd9012000);
    assert_int_equal(table_access(0x18, 4, false, 0), 0x47);
}

static void firmware_uses_everything(void)
{
    static const u32 entry[] = { 0xfee05000, 0, 0x61, 0, 0xfee06000, 0, 0x62, 1 };

    put(NIC, 0x92, 2, 0x0085, 0x71); /* on */
    put(NIC, 0x94, 4, 0xfee04000, 0xfffffffc);
    put(NIC, 0x9c, 2, 0x51, 0xffff);
    put(NIC, 0xb2, 2, 0x8003, 0xc000);
    memcpy(bar_page + 0x800, entry, sizeof(entry));
    hpet_page[0x120 / 4] |= BIT(14);
    hpet_page[0x130 / 4] = 0x71;
    hpet_page[0x134 / 4] = 0xfee07000;
    ioapic_page[4] = 0x00020720; /* three pins; each of them, as it seems, sends what the 8259 has */
}

/* A guest that takes what firmware has set up as it is gets those messages, and reads what firmware has
 * written. */
static void strict_takes_over(void **state)
{
    bool full, hpet = false, ioapic = false;
    struct pci_function *f;
    u32 before = ioapic_page[4];

    firmware_left = firmware_uses_everything;
    assert_int_equal(set_up_strict(state), 0);
    firmware_left = NULL;
    ioapic_page[4] = before;
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
    for (unsigned i = 0; i < nr_messages; i++) {
        if (messages[i].source == (0xff78 | IOMMU_SOURCE_EXACT) && messages[i].address == 0xfee07000)
            hpet = messages[i].data == 0x71;
        if (messages[i].source == (0xff00 | IOMMU_SOURCE_EXACT | IOMMU_SOURCE_EXTINT) && !ioapic) {
            assert_int_equal(messages[i].address, 0xfee00000);
            assert_int_equal(messages[i].data, 0x720);
            ioapic = true; /* the fake's other pins are this one's register again */
        }
    }
    assert_true(hpet);
    assert_true(ioapic);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(strict_msi, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_msix, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_vf, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_takes_over, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_without_entries, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_behind_a_bridge, set_up_strict, lenient),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
