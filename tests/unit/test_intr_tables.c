/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/intr.c hv/intr_chipset.c hv/pci_cfg.c hv/pci_filter.c hv/pci_decode.c hv/pci_table.c hv/mem.c */
/* intr=strict: messages in MSI-X tables, of functions and of VFs, wherever these are. */
#include "tests/unit/intr_world.h"

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

static void strict_ends_of_a_table(void **state)
{
    static const struct {
        u32 off, width;
        bool translated;
    } t[] = { { 0x7fc, 4, false }, { 0x800, 4, true },  { 0x7f8, 8, false },
              { 0x830, 4, true },  { 0x830, 8, true },  { 0x840, 4, false },
              { 0x840, 8, false }, { 0x820, 2, false }, { 0x830, 1, false } };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        memset(bar_page, 0, sizeof(bar_page));
        table_access(t[i].off, t[i].width, true, 0xfee01000);
        assert_int_equal(table_access(t[i].off, t[i].width, false, 0) & MASK(8 * t[i].width - 1, 0),
                         0xfee01000 & MASK(8 * t[i].width - 1, 0));
        assert_int_equal(bar_u32(t[i].off) == (u32)(0xfee01000 & MASK(8 * t[i].width - 1, 0)),
                         !t[i].translated);
    }
    table_access(0x830, 4, true, 0xfee01000);
    table_access(0x838, 8, true, 0x1000000aa); /* the last two words */
    assert_int_equal(bar_u32(0x838), 0);
    assert_int_equal(bar_u32(0x83c), 1);
    table_access(0x83c, 4, true, 0);
    assert_int_equal(bar_u32(0x83c), 0);
    assert_int_equal(table_access(0x838, 8, false, 0), 0xaa);
    /* The guest's own remapping: as it is. */
    table_access(0x810, 8, true, 0xfee00010);
    table_access(0x818, 4, true, 0x77);
    assert_int_equal(table_access(0x818, 4, false, 0), 0x77);
    assert_int_equal(bar_u32(0x818), 0x77);
    assert_int_equal(bar_u32(0x810), 0xfee00010);
}

/* A table is followed where its function's BAR is, up to the BAR's last page. */
static u32 table_offset, table_entries;

static void table_elsewhere(void)
{
    put(NIC, 0xb2, 2, table_entries - 1, 0xc000);
    put(NIC, 0xb4, 4, table_offset, 0);
    put(NIC, 0x1c, 4, 0xe001, 0xfff0); /* of ports */
}

static void strict_where_a_table_may_be(void **state)
{
    static const struct {
        u32 offset, entries;
        u64 base, size;
    } t[] = { { 0xfff000, 256, 0xfafff000, 0x1000 },
              { 0xfff000, 257, 0, 0 },
              { 0xffe000, 257, 0xfaffe000, 0x2000 },
              { 0xffe008, 256, 0xfaffe000, 0x2000 },
              { 0xfff008, 256, 0, 0 },
              { 0x1000000, 4, 0, 0 },
              { 0x0, 1, 0xfa000000, 0x1000 },
              { 0x2, 4, 0xfe801000, 0x1000 } /* another BAR */ };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        table_offset = t[i].offset;
        table_entries = t[i].entries;
        firmware_left = table_elsewhere;
        assert_int_equal(set_up_strict(state), 0);
        firmware_left = NULL;
        assert_int_equal(table_range.base, t[i].base);
        assert_int_equal(table_range.size, t[i].size);
    }
    assert_int_equal(set_up_strict(state), 0);
    log_lines = 0;
    bus_is_full = ERR_NOSPC;
    cfg_write(NIC, 4, 2, 4);
    cfg_write(NIC, 0x10, 8, 0x200000004);
    cfg_write(NIC, 4, 2, 6);
    assert_int_equal(log_lines, 1);
    assert_int_equal(table_range.base, 0xfa000000);
}

/* What a VF's BARs are said to be counts only while they are declared. */
static void strict_vf_of_undeclared_bars(void **state)
{
    (void)state;
    put(VF, 0x34, 1, 0xb0, 0);
    put(VF, 0xb0, 2, 0x0011, 0);
    put(VF, 0xb2, 2, 3, 0xc000);
    put(VF, 0xb4, 4, 0x2000, 0);
    put(PF, 0x124, 8, 0xd8000004, 0xffffffffffff0000);
    cfg_write(PF, 0x110, 2, 4);
    cfg_write(PF, 0x108, 2, 9);
    table_range = (struct mmio_range){ 0 };
    cfg_write(PF, 0x108, 2, 1);
    cfg_write(PF, 0x128, 4, 0x10000000); /* beyond all addresses */
    cfg_write(PF, 0x108, 2, 9);
    cfg_write(PF, 0x108, 2, 1);
    cfg_write(PF, 0x128, 4, 0);
    cfg_write(PLAIN, 0x10, 4, 0xd8000000); /* somebody else's now */
    cfg_write(VF, 0x04, 2, 4);
    assert_int_equal(table_range.base, 0);
    cfg_write(PLAIN, 0x10, 4, 0xd0000000);
    cfg_write(PF, 0x108, 2, 9);
    cfg_write(VF, 0x04, 2, 4);
    assert_int_equal(table_range.base, 0xd8002000);
}

/* Functions change while their tables are in use: others take their place, and they come and go. */
static void nic_becomes(u32 entries)
{
    put(NIC, 0x00, 4, 0x10001234, 0);
    put(NIC, 0x34, 1, entries ? 0x50 : 0, 0);
    put(NIC, 0xb2, 2, entries - 1, 0xc000);
    cfg_write(NIC, 4, 2, 4);
    cfg_write(NIC, 4, 2, 6);
}

static void strict_another_in_its_place(void **state)
{
    static const struct {
        u32 entries, left; /* of the new one, and how many messages there still are */
        bool translated;
    } t[] = { { 0, 512, false }, { 4, 0, true }, { 64, 0, false }, { 64, 512, true } };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        assert_int_equal(set_up_strict(state), 0);
        messages_left = MIN(messages_left, t[i].left);
        nic_becomes(t[i].entries);
        table_access(0x820, 4, true, 0xfee03000);
        assert_int_equal(table_access(0x820, 4, false, 0), 0xfee03000);
        assert_int_equal(bar_u32(0x820) == 0xfee03000, !t[i].translated);
    }
}

static void strict_gone(void **state)
{
    struct iommu_message *m = of_nic();

    (void)state;
    devices[NIC].space[0x0a] = 0xff;
    table_access(0x800, 4, true, 0xfee03000);
    table_access(0x840, 4, true, 0xfee03000);
    assert_int_equal(m[4].address, 0xfee03000);
    for (unsigned i = 5; i < 5 + 32 + 4; i++)
        assert_int_equal(m[i].address, 0);
}

static void add_vf(void)
{
    put(VF, 0x34, 1, 0xb0, 0);
    put(VF, 0xb0, 2, 0x0011, 0);
    put(VF, 0xb2, 2, 3, 0xc000);
    put(VF, 0xb4, 4, 0x2000, 0);
}

/* After a PF's VFs are switched on they need not answer at once. */
static void strict_not_yet_there(void **state)
{
    unsigned left;
    u8 class = devices[VF].space[0x0a];

    (void)state;
    add_vf();
    cfg_write(PF, 0x110, 2, 4);
    cfg_write(PF, 0x108, 2, 9);
    cfg_write(VF, 0x04, 2, 4);
    left = messages_left;
    cfg_write(PF, 0x108, 2, 0);
    devices[VF].space[0x0a] = 0xff;
    cfg_write(PF, 0x124, 4, 0xd9000000);
    cfg_write(PF, 0x108, 2, 9);
    devices[VF].space[0x0a] = class;
    assert_int_equal(messages_left, left);
    cfg_write(VF, 0x04, 2, 4);
    assert_int_equal(table_range.base, 0xd9002000);
}

/* What a PF says of its VFs may change at any time: a reset takes a while, and devices have other ways to
 * their configuration space. */
static u32 fading;
static unsigned reads_until;
static bool faded;

static void fade(pci_sid sid, u32 off)
{
    if (sid != 0x300 || off != fading || faded || reads_until--)
        return;
    put(PF, off, 2, 0, 0xffff);
    faded = true;
}

static void strict_fading(void **state)
{
    static const u32 regs[] = { 0x110, 0x116 }; /* NumVFs, VF stride */

    for (unsigned i = 0; i < ARRAY_SIZE(regs); i++) {
        unsigned n = 0;

        fading = regs[i];
        do {
            assert_int_equal(set_up_strict(state), 0);
            add_vf();
            cfg_write(PF, 0x110, 2, 4);
            cfg_write(PF, 0x108, 2, 9);
            reads_until = n;
            faded = false;
            by_itself = fade;
            cfg_write(VF, 0x04, 2, 4);
            by_itself = NULL;
        } while (faded && n++ < 100);
        assert_in_range(n, 2, 99); /* each read was followed by such a change */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(strict_msix, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_vf, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_ends_of_a_table, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_where_a_table_may_be, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_vf_of_undeclared_bars, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_another_in_its_place, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_gone, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_not_yet_there, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_fading, set_up_strict, lenient),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
