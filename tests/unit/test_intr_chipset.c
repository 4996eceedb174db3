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
    hpet_at(0x128, 8, true, 0xfee0100000000041); /* a comparator */
    assert_int_equal(hpet_page[0x12c / 4], 0xfee01000);
    hpet_at(0x174, 4, true, 0xfee00000); /* there is no fourth timer */
    assert_int_equal(hpet_page[0x174 / 4], 0xfee00000);
    hpet_at(0xf4, 4, true, 0xfee00000); /* nor one before the first */
    assert_int_equal(hpet_page[0xf4 / 4], 0xfee00000);
    hpet_at(0x154, 4, true, 0xfee01000);
    assert_int_equal(m[1].address, 0xfee01000);
    hpet_at(0x114, 4, true, 0xfee04000);
    assert_int_equal(m[-1].address, 0xfee04000);
    /* Without a word of who sends, and where no timer can send, nothing is trapped. */
    for (hpet_number = 6; hpet_number < 8; hpet_number++) {
        assert_int_equal(set_up_strict(state), 0);
        assert_true(hpet_handler == NULL);
        assert_int_equal(log_lines, hpet_number == 6);
    }
    hpet_number = 0;
}

/* Which timers can send, as firmware left them; and what is no timer. */
static u32 timer_at, timer_control;

static void other_timers(void)
{
    hpet_page[0x120 / 4] = 0;
    hpet_page[timer_at / 4] = timer_control;
    hpet_page[(timer_at + 0x10) / 4] = 0x71;
    hpet_page[(timer_at + 0x14) / 4] = 0xfee07000;
    hpet_page[0x160 / 4] |= BIT(14); /* behind the last timer */
    hpet_page[0x174 / 4] = 0xfee07000;
}

static void strict_timers(void **state)
{
    static const struct {
        u32 at, control;
        bool trapped, taken;
    } t[] = { { 0x100, BIT(15) | BIT(14), true, true },  { 0x140, BIT(15) | BIT(14), true, true },
              { 0x140, BIT(15), true, false },           { 0x160, BIT(15) | BIT(14), false, false },
              { 0xe0, BIT(15) | BIT(14), false, false }, { 0x140, BIT(14), false, false } };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        timer_at = t[i].at;
        timer_control = t[i].control;
        firmware_left = other_timers;
        assert_int_equal(set_up_strict(state), 0);
        firmware_left = NULL;
        assert_int_equal(hpet_handler != NULL, t[i].trapped);
        assert_int_equal(hpet_page[(t[i].at + 0x14) / 4] != 0xfee07000, t[i].taken);
        assert_int_equal(hpet_page[0x174 / 4], 0xfee07000);
        if (t[i].trapped)
            assert_int_equal(hpet_at(t[i].at + 0x10, 8, false, 0), 0xfee0700000000071);
    }
}

/* ---- IOAPICs: the first that is listed has 24 pins, of which firmware has left two in use ---- */

enum { PINS = 24, LAST = PINS - 1 };

static void one_ioapic(void)
{
    nr_ioapics_listed = 1;
    ioapic[0].id = 2;
    ioapic[0].reg[0] = 0x02000000;
    ioapic[0].reg[1] = (PINS - 1) << 16 | 0x20;
    for (unsigned i = 0; i <= PINS; i++)
        ioapic[0].reg[0x10 + 2 * i] = 0x10000; /* masked */
    ioapic[0].reg[0x10] = 0x720;
    ioapic[0].reg[0x10 + 2 * LAST] = 0x8845;
    ioapic[0].reg[0x11 + 2 * LAST] = 0x03000000;
    ioapic[0].reg[0x10 + 2 * PINS] = 0x50; /* behind the last */
}

static int set_up_ioapic(void **state)
{
    firmware_left = one_ioapic;
    int err = set_up_strict(state);
    firmware_left = NULL;
    return err;
}

static struct iommu_message *of_pin(unsigned pin)
{
    for (unsigned i = 0; i < nr_messages; i++)
        if (messages[i].source == (0xff00 | IOMMU_SOURCE_EXACT | IOMMU_SOURCE_EXTINT))
            return &messages[i + pin];
    fail_msg("no messages");
    return NULL;
}

static u32 ioapic_access(u32 off, bool write, u32 value)
{
    ioapic_watch();
    device_unlocked = false;
    value = (u32)ioapic_handler(ioapic_ctx, IOAPIC + ioapic_offset + off, 4, write, value, NULL);
    assert_false(device_unlocked);
    return value;
}

static u32 reg_read(u32 reg)
{
    ioapic_access(0, true, reg);
    return ioapic_access(0x10, false, 0x55555555);
}

static void reg_write(u32 reg, u32 value)
{
    ioapic_access(0, true, reg);
    ioapic_access(0x10, true, value);
}

/* An entry in remappable format, which has the entry's index and the vector (5.1.5.1). */
static u64 entry_of(unsigned pin, u32 low)
{
    u32 index = of_pin(pin)->index;

    return (u64)(index & 0x7fff) << 49 | BIT(48) | (index >> 15) << 11 | low;
}

static u64 held(unsigned pin)
{
    return (u64)ioapic[0].reg[0x11 + 2 * pin] << 32 | ioapic[0].reg[0x10 + 2 * pin];
}

static void strict_ioapic_taken_over(void **state)
{
    (void)state;
    assert_int_equal(of_pin(0)->address, 0xfee00000);
    assert_int_equal(of_pin(0)->data, 0x720);
    assert_int_equal(held(0), entry_of(0, 0x20));
    assert_int_equal(of_pin(LAST)->address, 0xfee03004);
    assert_int_equal(of_pin(LAST)->data, 0x8045);
    assert_int_equal(held(LAST), entry_of(LAST, 0x8045));
    assert_int_equal(reg_read(0x10 + 2 * LAST), 0x8845);
    assert_int_equal(reg_read(0x11 + 2 * LAST), 0x03000000);
    for (unsigned pin = 1; pin < LAST; pin++) { /* masked: the guest's to write before it is used */
        assert_int_equal(of_pin(pin)->address, 0);
        assert_int_equal(held(pin), 0x10000);
    }
    assert_int_equal(held(PINS), 0x50);
}

/* What the guest writes is what it reads, and what the device holds names an entry. */
static void strict_ioapic_entries(void **state)
{
    static const struct {
        u32 low, high, kept, address, data; /* address 0: it is as it was written */
    } t[] = {
        { 0x00010031, 0x01000000, 0x10031, 0xfee01000, 0x31 },  /* masked, fixed */
        { 0x0000a131, 0xff000000, 0xa031, 0xfeeff008, 0x8131 }, /* level, low, lowest priority */
        { 0x00000931, 0x80000000, 0x31, 0xfee8000c, 0x131 },    /* logical, lowest priority */
        { 0x00000c00, 0x00000000, 0x0, 0xfee00004, 0x400 },     /* an NMI, which the unit's entry refuses */
        { 0x00000031, 0x00010000, 0x31, 0, 0 },                 /* remappable: the guest's own */
        { 0x00010831, 0xfffe0000 | BIT(16), 0x10831, 0, 0 },
    };
    static const unsigned pins[] = { 0, 5, LAST };

    (void)state;
    for (unsigned p = 0; p < ARRAY_SIZE(pins); p++)
        for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
            u32 reg = 0x10 + 2 * pins[p];

            reg_write(reg + 1, t[i].high);
            reg_write(reg, t[i].low);
            assert_int_equal(of_pin(pins[p])->address, t[i].address);
            assert_int_equal(of_pin(pins[p])->data, t[i].data);
            assert_int_equal(held(pins[p]),
                             t[i].address ? entry_of(pins[p], t[i].kept) : (u64)t[i].high << 32 | t[i].kept);
            assert_int_equal(reg_read(reg), t[i].low);
            assert_int_equal(reg_read(reg + 1), t[i].high);
        }
    /* The guest's own remapping, by an entry that is ours. */
    u64 entry = entry_of(3, 0x31);
    reg_write(0x17, (u32)(entry >> 32));
    reg_write(0x16, (u32)entry);
    assert_int_equal(reg_read(0x16), (u32)entry);
    assert_int_equal(reg_read(0x17), (u32)(entry >> 32));
    /* A reset that nobody has told of: the device has the last word. */
    reg_write(0x11, 0x01000000);
    reg_write(0x10, 0x31);
    ioapic[0].reg[0x10] = 0x10000;
    ioapic[0].reg[0x11] = 0;
    assert_int_equal(reg_read(0x10), 0x10000);
    assert_int_equal(reg_read(0x11), 0);
}

/* Between the halves of an entry that are of different formats no interrupt goes out. */
static void strict_ioapic_order(void **state)
{
    char want[128];

    (void)state;
    reg_write(0x12, 0x41);
    u64 entry = entry_of(1, 0x41);
    snprintf(want, sizeof(want), "i12=%x i13=%x i12=%x ", (u32)entry | 0x10000, (u32)(entry >> 32),
             (u32)entry);
    assert_story(want);
    reg_write(0x12, 0x42); /* the upper half is as it was */
    snprintf(want, sizeof(want), "i12=%x ", (u32)entry_of(1, 0x42));
    assert_story(want);
}

static void strict_other_registers_of_ioapics(void **state)
{
    (void)state;
    assert_int_equal(reg_read(1), (PINS - 1) << 16 | 0x20);
    assert_int_equal(ioapic_access(0, false, 0), 1);
    assert_int_equal(reg_read(0x3ff), 0); /* the register has one byte */
    assert_int_equal(ioapic_access(0, false, 0), 0xff);
    assert_story("");
    reg_write(0, 0x05000000);
    reg_write(0x0f, 0xfee);
    reg_write(0x10 + 2 * PINS, 0x51);
    reg_write(0x11 + 2 * PINS, 0x52000000);
    assert_story("i0=5000000 if=fee i40=51 i41=52000000 ");
    assert_int_equal(reg_read(0x10 + 2 * PINS), 0x51);
    assert_int_equal(ioapic_access(0x40, true, 0x33), 0x33);
    assert_story("eoi=33 ");
    ioapic_access(0x20, true, 0x33); /* nothing is there */
    ioapic_access(0x41, true, 0x33);
    assert_int_equal(ioapic_access(0x40, false, 0x55), 0);
    assert_int_equal(ioapic_access(0x20, false, 0x55), 0);
    assert_int_equal(ioapic_access(4, false, 0x55), 0);
    assert_story("");
}

/* In the middle of a page, and what lies before it there. */
static void second_half(void)
{
    one_ioapic();
    ioapic_offset = 0x800;
}

static void strict_ioapic_within_a_page(void **state)
{
    firmware_left = second_half;
    assert_int_equal(set_up_strict(state), 0);
    firmware_left = NULL;
    story[0] = 0;
    assert_int_equal(reg_read(1), (PINS - 1) << 16 | 0x20);
    ioapic_access(0x40, true, 0x33);
    assert_story("eoi=33 ");
    ioapic_access(-0x7c0u, true, 0x33); /* 40h from the page's beginning */
    assert_int_equal(ioapic_access(-0x800u, false, 0), 0);
    assert_story("");
}

/* Each reason for which strict cannot be kept stops the start. */
static unsigned missing;

static void something_is_missing(void)
{
    one_ioapic();
    ioapic[0].id = missing == 0 ? 1 : 2;
    cannot_map = missing == 1;
    cannot_trap = missing == 2;
    messages_left = missing == 3 ? PINS - 1 : messages_left;
    hpet_number = missing == 4 ? 8 : 0; /* no HPET, which is no reason */
}

static void strict_ioapics_that_cannot_be(void **state)
{
    for (missing = 0; missing < 5; missing++) {
        firmware_left = something_is_missing;
        if (missing < 4)
            assert_true(ends((void)set_up_strict(state)));
        else
            assert_int_equal(set_up_strict(state), 0);
        firmware_left = NULL;
    }
    hpet_number = 0;
}

/* As many as there is room for, which they share with those of all tests before. */
static void strict_too_many_ioapics(void **state)
{
    bool refused = false;

    while (!refused) {
        firmware_left = one_ioapic;
        refused = ends((void)set_up_strict(state));
        firmware_left = NULL;
    }
    assert_int_equal(nr_ioapics_trapped, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(strict_hpet, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_timers, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_ioapic_taken_over, set_up_ioapic, lenient),
        cmocka_unit_test_setup_teardown(strict_ioapic_entries, set_up_ioapic, lenient),
        cmocka_unit_test_setup_teardown(strict_ioapic_order, set_up_ioapic, lenient),
        cmocka_unit_test_setup_teardown(strict_other_registers_of_ioapics, set_up_ioapic, lenient),
        cmocka_unit_test_setup_teardown(strict_ioapic_within_a_page, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_ioapics_that_cannot_be, set_up_strict, lenient),
        cmocka_unit_test_setup_teardown(strict_too_many_ioapics, set_up_strict, lenient),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
