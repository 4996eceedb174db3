/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/apic.c */
/*
 * The registers of the guest's local APICs and the messages that it sends by them: all that could take a CPU
 * out of Sluice is delivered by Sluice or refused, and everything else reaches the real one as it was
 * written.
 */
#include "tests/unit/apic_world.h"

static u64 read_page(u32 off, unsigned width)
{
    return handler(NULL, LAPIC_ADDRESS + off, width, false, 0, &vcpus[1]);
}

static void write_page(u32 off, unsigned width, u64 value)
{
    handler(NULL, LAPIC_ADDRESS + off, width, true, value, &vcpus[1]);
}

/* ---- the page ---- */

static void reads_of_the_page(void **state)
{
    (void)state;
    apic_regs[0x8] = 0x44332211;
    assert_int_equal(read_page(0x80, 4), 0x44332211);
    assert_int_equal(read_page(0x80, 1) & 0xff, 0x11);
    assert_int_equal(read_page(0x82, 2) & 0xffff, 0x4433);
    assert_int_equal(read_page(0x83, 1) & 0xff, 0x44);
    assert_int_equal(read_page(0x84, 4), 0); /* between registers there is nothing */
    assert_int_equal(read_page(0x8f, 1), 0);
    assert_int_equal(vcpus[1].apic_exits, 0);
}

static void writes_of_the_page(void **state)
{
    static const struct {
        u32 reg;
        unsigned width;
        const char *story;
    } t[] = {
        { 0x000, 4, "" },
        { 0x010, 4, "" },
        { APIC_ID, 4, "" }, /* messages are sent to our id */
        { 0x030, 4, "30=77000000 " },
        { APIC_TPR, 4, "80=77000000 " },
        { APIC_TPR, 1, "" },
        { APIC_TPR, 2, "" },
        { APIC_TPR, 8, "" },
        { 0x081, 4, "" },
        { 0x084, 4, "" },
        { 0x08c, 4, "" },
        { 0xff0, 4, "ff0=77000000 " },
        { APIC_ICR_HIGH, 4, "310=77000000 " },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        write_page(t[i].reg, t[i].width, 0x77000000);
        assert_story(t[i].story);
    }
    assert_int_equal(vcpus[1].apic_exits, ARRAY_SIZE(t));
    assert_int_equal(vcpus[1].eoi_exits, 0);
    assert_int_equal(vcpus[1].apic_dfr, 0xf);
    write_page(APIC_EOI, 4, 0);
    assert_int_equal(vcpus[1].eoi_exits, 1);
    /* Where the mode says that there is no page there, it is nobody's. */
    story[0] = 0;
    x2 = true;
    write_page(APIC_TPR, 4, 1);
    assert_int_equal(read_page(APIC_TPR, 4), ~0ull);
    x2 = false;
    vcpus[1].apic_off = true;
    write_page(APIC_TPR, 4, 1);
    assert_int_equal(read_page(APIC_TPR, 4), ~0ull);
    assert_story("");
}

/* Local interrupts: fixed, SMI, NMI and ExtINT; an INIT would reset the CPU. Other registers hold anything.
 */
static void local_interrupts(void **state)
{
    static const u32 lvt[] = { APIC_LVT_CMCI, 0x330, 0x340, APIC_LINT0, APIC_LINT1, 0x500, 0x510, 0x530 };
    static const u32 others[] = { 0x2e0, APIC_LVT_TIMER, 0x370, 0x4f0, 0x540 };

    (void)state;
    for (unsigned mode = 0; mode < 8; mode++) {
        bool good = mode == MODE_FIXED || mode == MODE_SMI || mode == MODE_NMI || mode == MODE_EXTINT;

        for (unsigned i = 0; i < ARRAY_SIZE(lvt); i++) {
            write_page(lvt[i], 4, mode << 8 | 0x40);
            assert_int_equal(story[0] != 0, good);
            story[0] = 0;
        }
        assert_int_equal(log_lines, good ? 0 : ARRAY_SIZE(lvt));
        log_lines = 0;
        for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
            write_page(others[i], 4, mode << 8 | 0x40);
            assert_int_not_equal(story[0], 0);
            story[0] = 0;
        }
    }
}

/* ---- messages ---- */

#define LEVEL_ASSERT 0xc000u

static void command(u32 low, u32 dest)
{
    if (x2) {
        assert_true(apic_write_x2(&vcpus[1], MSR_X2APIC + APIC_ICR / 16, low | (u64)dest << 32));
    } else {
        apic_regs[APIC_ICR_HIGH / 16] = dest << 24;
        write_page(APIC_ICR, 4, low);
    }
}

static void ordinary_messages_go_out(void **state)
{
    (void)state;
    command(0x40, 2);
    command(0x8c0ff | MODE_LOWEST << 8, 2);
    assert_story("300=40 300=8c1ff ");
    x2 = true;
    command(0x40, 0x12345);
    assert_story("msr:830=1234500000040 ");
}

/* Who is meant: by id, by logical id in both formats, by shorthand; an APIC that looks off hears nothing. */
static void who_gets_it(void **state)
{
    static const struct {
        bool x2;
        u32 low, dest;
        const char *story;
    } t[] = {
        { false, 0, 5, "ask-nmi:2 " },
        { false, 0, 1, "nmi:1 " },
        { false, 0, 6, "" },
        { false, 0, 0xff, "ask-nmi:0 nmi:1 ask-nmi:2 ask-nmi:3 " },
        { false, TO_SELF << 18, 5, "nmi:1 " },
        { false, TO_ALL << 18, 5, "ask-nmi:0 nmi:1 ask-nmi:2 ask-nmi:3 " },
        { false, TO_OTHERS << 18, 5, "ask-nmi:0 ask-nmi:2 ask-nmi:3 " },
        { false, BIT(11), 0x1c, "ask-nmi:2 ask-nmi:3 " },
        { false, BIT(11), 0x10, "" },
        { true, 0, 0x12, "ask-nmi:3 " },
        { true, 0, 0xff, "" }, /* an id like any other */
        { true, 0, ~0u, "ask-nmi:0 nmi:1 ask-nmi:2 ask-nmi:3 " },
        { true, BIT(11), 0x21, "ask-nmi:0 ask-nmi:2 " }, /* cluster 0: members 0 and 5 */
        { true, BIT(11), 0x10004, "ask-nmi:3 " },        /* cluster 1: member 2 */
        { true, BIT(11), 0x10001, "" },
        { true, BIT(11), 0x20004, "" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        x2 = t[i].x2;
        command(MODE_NMI << 8 | (u32)t[i].low, t[i].dest);
        assert_story(t[i].story);
    }
    x2 = false;
    for (u32 i = 0; i < NR_CPUS; i++) { /* clusters of four */
        vcpus[i].apic_dfr = 0;
        vcpus[i].apic_ldr = (u8)(i / 2 << 4 | 1 << i % 2);
    }
    command(MODE_NMI << 8 | (u32)BIT(11), 0x13);
    command(MODE_NMI << 8 | (u32)BIT(11), 0x02);
    command(MODE_NMI << 8 | (u32)BIT(11), 0x1c);
    assert_story("ask-nmi:2 ask-nmi:3 nmi:1 ");
    vcpus[2].apic_off = true;
    command(MODE_NMI << 8 | TO_OTHERS << 18, 0);
    assert_story("ask-nmi:0 ask-nmi:3 ");
}

static void who_starts_and_stops(void **state)
{
    (void)state;
    command(MODE_INIT << 8 | LEVEL_ASSERT, 5);
    command(MODE_INIT << 8 | (u32)ICR_LEVEL, 5); /* its end says nothing new */
    command(MODE_INIT << 8, 1);                  /* an edge, to itself */
    command(MODE_STARTUP << 8 | 0x9a, 5);
    command(MODE_STARTUP << 8 | 0x9a | (u32)ICR_LEVEL, 0x12);
    assert_story("init:2 init:1 sipi:2=9a sipi:3=9a ");
    assert_true(ends(command(MODE_INIT << 8 | LEVEL_ASSERT, 0))); /* the CPU that booted */
    assert_story("power-reset ");
    assert_int_equal(log_lines, 0);
    command(MODE_SMI << 8, 5);
    command(MODE_READ << 8, 5);
    command(MODE_EXTINT << 8, 5);
    assert_story("");
    assert_int_equal(log_lines, 3);
}

/* The guest's logical ids are kept for this, from the registers that hold them. */
static void logical_ids_are_followed(void **state)
{
    (void)state;
    write_page(APIC_LDR, 4, 0xab000000);
    write_page(APIC_DFR, 4, 0x0fffffff);
    assert_int_equal(vcpus[1].apic_ldr, 0xab);
    assert_int_equal(vcpus[1].apic_dfr, 0);
    story[0] = 0;
    apic_cpu_init(&vcpus[2]);
    assert_story("look ");
    assert_int_equal(vcpus[2].apic_ldr, 0xab);
    assert_int_equal(vcpus[2].apic_dfr, 0);
    apic_reset(&vcpus[1]);
    assert_int_equal(vcpus[1].apic_ldr, 0);
    assert_int_equal(vcpus[1].apic_dfr, 0xf);
    vcpus[3].apic_ldr = 0x55;
    x2 = true;
    apic_cpu_init(&vcpus[3]); /* has no such registers */
    assert_int_equal(vcpus[3].apic_ldr, 0x55);
}

static void x2apic_msrs(void **state)
{
    (void)state;
    assert_false(apic_write_x2(&vcpus[1], 0x830, 0x40)); /* in the other mode they are not there */
    x2 = true;
    assert_true(apic_write_x2(&vcpus[1], 0x835, 0x10700));
    assert_story("msr:835=10700 ");
    assert_true(apic_write_x2(&vcpus[1], 0x835, MODE_INIT << 8)); /* dropped */
    assert_story("");
    accepts = false;
    assert_false(apic_write_x2(&vcpus[1], 0x835, BIT(40)));
    assert_false(apic_write_x2(&vcpus[1], 0x830, BIT(20)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(reads_of_the_page, set_up),
        cmocka_unit_test_setup(writes_of_the_page, set_up),
        cmocka_unit_test_setup(local_interrupts, set_up),
        cmocka_unit_test_setup(ordinary_messages_go_out, set_up),
        cmocka_unit_test_setup(who_gets_it, set_up),
        cmocka_unit_test_setup(who_starts_and_stops, set_up),
        cmocka_unit_test_setup(logical_ids_are_followed, set_up),
        cmocka_unit_test_setup(x2apic_msrs, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
