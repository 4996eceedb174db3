/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/apic.c */
/* The modes of local APICs, their reset, one that the guest switches off, and what Sluice sends for a unit.
 */
#include "tests/unit/apic_world.h"

/* ---- reset and APIC_BASE ---- */

#define EOIS     "b0=0 b0=0 b0=0 b0=0 b0=0 b0=0 b0=0 b0=0 b0=0 b0=0 b0=0 b0=0 b0=0 b0=0 b0=0 b0=0 "
#define RESET_X2 "f0=ff 80=0 380=0 3e0=0 320=10000 "
#define RESET    RESET_X2 "e0=ffffffff d0=0 310=0 " EOIS

static void a_reset(void **state)
{
    (void)state;
    apic_reset(&vcpus[1]);
    assert_story(RESET);
    x2 = true;
    apic_reset(&vcpus[1]);
    assert_story(RESET_X2 EOIS);
}

static void moved_or_changed(void **state)
{
    const u64 now = LAPIC_ADDRESS | BASE_ENABLED | BASE_BSP;

    (void)state;
    apic_base = now;
    assert_int_equal(apic_read_base(&vcpus[0]), now);
    assert_false(apic_write_base(&vcpus[0], now + PAGE_SIZE));
    assert_int_equal(log_lines, 1);
    assert_story("");
    /* Which CPU booted is not the guest's to say, and what mode there may be is the CPU's. */
    assert_true(apic_write_base(&vcpus[0], (now & ~BASE_BSP) | BASE_X2));
    assert_story("msr:1b=fee00d00 look ");
    accepts = false;
    assert_false(apic_write_base(&vcpus[0], now | BASE_X2));
}

/* Off, it only looks so: the CPU takes what its two pins say, and others can still bring it out. */
static void switched_off(void **state)
{
    const u64 now = LAPIC_ADDRESS | BASE_ENABLED;

    (void)state;
    assert_true(apic_write_base(&vcpus[1], LAPIC_ADDRESS | BASE_BSP));
    assert_story(RESET "f0=1ff 350=10700 360=400 "); /* only the CPU that booted has the first pin */
    assert_true(vcpus[1].apic_off);
    assert_int_equal(apic_read_base(&vcpus[1]), LAPIC_ADDRESS);
    assert_false(apic_write_base(&vcpus[1], now | BASE_X2)); /* there is no such change */
    assert_true(vcpus[1].apic_off);
    assert_true(apic_write_base(&vcpus[1], now));
    assert_story(RESET "msr:1b=fee00800 look ");
    assert_false(vcpus[1].apic_off);

    apic_base |= BASE_BSP;
    assert_true(apic_write_base(&vcpus[0], LAPIC_ADDRESS | BASE_BSP));
    assert_story(RESET "f0=1ff 350=700 360=400 ");
    assert_false(apic_write_base(&vcpus[0], LAPIC_ADDRESS | 1)); /* what is reserved stays so */
    assert_false(apic_write_base(&vcpus[0], LAPIC_ADDRESS | BASE_X2));
    assert_story("");
}

/* From x2APIC mode through off to the one in which it can be hidden, unless somebody's id does not fit there.
 */
static void switched_off_in_x2apic_mode(void **state)
{
    (void)state;
    x2 = true;
    apic_base |= BASE_X2;
    vcpus[1].kicked = true;
    blocks[3].apic_id = 0xff;
    assert_false(apic_write_base(&vcpus[1], LAPIC_ADDRESS));
    assert_story("");
    assert_false(vcpus[1].apic_off);
    blocks[3].apic_id = 0xfe;
    assert_false(apic_write_base(&vcpus[1], LAPIC_ADDRESS | BASE_X2)); /* there is no such mode */
    assert_story("");
    assert_true(apic_write_base(&vcpus[1], LAPIC_ADDRESS));
    assert_memory_equal(story, "msr:1b=fee00000 msr:1b=fee00800 look f0=ff ", 43);
    assert_true(vcpus[1].apic_off);
    assert_false(vcpus[1].kicked);
}

/* ---- messages that Sluice sends in the guest's name ---- */

static void events_of_units(void **state)
{
    static const struct {
        u64 address;
        u32 data;
        bool x2;
        const char *story;
    } t[] = {
        { 0xfee05000, 0x4010, false, "send:4010,5 " },
        { 0xfee05000, 0x00ff, false, "send:40ff,5 " },
        { 0xfee05000, 0x000f, false, "" }, /* no vector of an interrupt */
        { 0xfee05000, 0x0000, false, "" },
        { 0xfee13004, 0x0130, false, "send:4930,13 " },
        { 0xfeeff000, 0x0030, false, "send:4030,ff " },
        { 0xfeefffff, 0x0030, true, "send:4830,ffffffff " },
        { 0xfee21004, 0x0030, true, "send:4830,20001 " }, /* cluster 2, member 0 */
        { 0xfee21000, 0x0030, true, "send:4030,21 " },
        { 0xfee05000, 0x0230, false, "" }, /* SMI, NMI, INIT, ExtINT */
        { 0xfee05000, 0x0430, false, "" },
        { 0xfee05000, 0x0530, false, "" },
        { 0xfee05000, 0x0730, false, "" },
        { 0xfef00000, 0x0030, false, "" },
        { 0xfedff000, 0x0030, false, "" },
        { 0x1fee05000, 0x0030, false, "" },
    };
    u64 address;
    u32 data;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        x2 = t[i].x2;
        assert_int_equal(apic_send_message(t[i].address, t[i].data), t[i].story[0] != 0);
        assert_story(t[i].story);
    }
    blocks[EVENT_CPU].apic_id = 0x34;
    apic_event_message(&address, &data);
    assert_int_equal(address, 0xfee34000);
    assert_int_equal(data, 0x400);
}

static void at_boot(void **state)
{
    (void)state;
    assert_int_equal(apic_init(), 0);
    assert_story("look trap:fee00000+1000r hide:fee01000+ff000=0 ");
    init_error = ERR_NOMEM;
    assert_int_equal(apic_init(), ERR_NOMEM);
    assert_story("look ");
    apic_base = LAPIC_ADDRESS;
    assert_true(ends((void)!apic_init()));
    apic_base = (LAPIC_ADDRESS + PAGE_SIZE) | BASE_ENABLED;
    assert_true(ends((void)!apic_init()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_reset, set_up),
        cmocka_unit_test_setup(moved_or_changed, set_up),
        cmocka_unit_test_setup(switched_off, set_up),
        cmocka_unit_test_setup(switched_off_in_x2apic_mode, set_up),
        cmocka_unit_test_setup(events_of_units, set_up),
        cmocka_unit_test_setup(at_boot, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
