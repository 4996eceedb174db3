/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/mmio.c hv/access.c hv/bus.c hv/fetch.c hv/walk.c arch/insn.c arch/insn_exec.c arch/fmt.c */
/*
 * What the CPU has not reported of an access: where the other operand of a string instruction lies, and which
 * address it was whose tables lead through memory that is not the guest's.
 */
#include "tests/unit/guest_world.h"

/* ---- string instructions: the other operand by the guest's tables ---- */

static void strings(u64 from, u64 to)
{
    cpu.gpr[RSI] = from;
    cpu.gpr[RDI] = to;
}

static void strings_to_and_from_memory(void **state)
{
    (void)state;
    memcpy(at(DATA_PAGE) + 0x30, "\1\2\3\4", 4);
    map(DATA, DATA_PAGE | RO);
    strings(DATA + 0x30, DEVICE + 0x40);
    FAULT(REGS + 0x40, WRITE, MOVSL);
    map(DATA, DATA_PAGE | RW);
    assert_story("W4:40=4030201 done ");
    assert_int_equal(cpu.gpr[RSI], DATA + 0x34);
    strings(DEVICE + 0x40, DATA + 0x50);
    FAULT(REGS + 0x40, READ, MOVSL);
    assert_story("R4:40 done ");
    assert_memory_equal(at(DATA_PAGE) + 0x50, "\1\2\3\4\0", 5);
    cpu.gpr[RAX] = 0x5566;
    FAULT(REGS + 0x84, WRITE, 0x66, 0xab); /* of STOS nothing lies elsewhere; it is not there yet */
    assert_story("");
    strings(0, DEVICE + 0x84);
    FAULT(REGS + 0x84, WRITE, 0x66, 0xab);
    assert_story("W2:84=5566 done ");
    /* Repeated: one for each exit. */
    strings(DATA + 0x30, DEVICE + 0x40);
    cpu.gpr[RCX] = 2;
    FAULT(REGS + 0x40, WRITE, 0xf3, MOVSB);
    assert_int_equal(cpu.rip, CODE);
    FAULT(REGS + 0x41, WRITE, 0xf3, MOVSB);
    assert_story("W1:40=1 done W1:41=2 done ");
    assert_int_equal(cpu.rip, CODE + 2);
    assert_int_equal(cpu.gpr[RCX], 0);
}

static void strings_between_devices(void **state)
{
    (void)state;
    strings(DEVICE + 0x20, DEVICE + 0x80);
    FAULT(REGS + 0x80, WRITE, MOVSQ);
    assert_story("R8:20 W8:80=c7c6c5c4c3c2c1c0 done ");
    strings(DEVICE + 0x20, DEVICE + 0x90);
    FAULT(REGS + 0x20, READ, MOVSB);
    assert_story("R1:20 W1:90=c0 done ");
    map(DATA, HOLE | RW);
    strings(DEVICE + 0x20, DATA);
    FAULT(REGS + 0x20, READ, MOVSB);
    assert_story("R1:20 done ");
    /* A device of the guest's own, which Sluice does not reach: not read in vain either. */
    map(DATA, BAR | RW);
    strings(DEVICE + 0x20, DATA);
    FAULT(REGS + 0x20, READ, MOVSB);
    assert_story("#6 ");
    strings(DATA, DEVICE + 0x20);
    FAULT(REGS + 0x20, WRITE, MOVSB);
    assert_story("#6 ");
}

/* Reading a register may change it: it is not read before the target is known to take what it gives. */
static void strings_at_the_end_of_memory(void **state)
{
    static const struct {
        u16 offset;
        u64 next; /* the page behind */
        const char *story;
        u8 first, second; /* bytes of the target then */
    } t[] = {
        { 0xff8, 0, "R8:20 done ", 8, 0 },
        { 0xff9, NEXT_PAGE | RO, "#PF:601000(3) ", 0, 0 },
        { 0xff9, 0, "#PF:601000(2) ", 0, 0 },
        { 0x1fff, 0, "#PF:601fff(2) ", 0, 0 }, /* neither page: told once */
        { 0xffc, NEXT_PAGE | RW, "R8:20 done ", 4, 4 },
        { 0xfff, NEXT_PAGE | RW, "R8:20 done ", 1, 7 },
        { 0xff9, NEXT_PAGE | RW, "R8:20 done ", 7, 1 },
    };
    u8 all[16];

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        guest_set_up(state);
        map(DATA + PAGE_SIZE, t[i].next);
        strings(DEVICE + 0x20, DATA + t[i].offset);
        FAULT(REGS + 0x20, READ, MOVSQ);
        assert_story(t[i].story);
        memset(all, 0, sizeof(all));
        memcpy(all + 8 - t[i].first, regs + 0x20, t[i].first);
        memcpy(all + 8, regs + 0x20 + t[i].first, t[i].second);
        assert_memory_equal(at(DATA_PAGE) + 0xff8, all, 8);
        assert_memory_equal(at(NEXT_PAGE), all + 8, 8);
        if (t[i].first + t[i].second != 8)
            continue;
        strings(DATA + t[i].offset, DEVICE + 0x48); /* and back */
        FAULT(REGS + 0x48, WRITE, MOVSQ);
        assert_story("W8:48=c7c6c5c4c3c2c1c0 done ");
    }
}

/* ---- tables that lead through what is not the guest's: the one that does not get there has faulted ---- */

/* A page whose table is nobody's: all entries are ones. */
static void lose(u64 linear)
{
    u64 table = mode.cr3;

    for (unsigned level = 4; level > 2; level--)
        table = *table_entry(table, linear, level) & PTE_ADDR;
    *table_entry(table, linear, 2) = HOLE | RW | PTE_U;
}

static void tables_of_nobody(void **state)
{
    static const struct {
        u8 code[3];
        u64 lost, rsi, rdi;
        const char *story;
    } t[] = {
        { { LOAD }, DEVICE, 0, 0, "#PF:800010(9) " },
        { { STORE }, DEVICE, 0, 0, "#PF:800010(b) " },
        { { 0x64, LOAD }, DEVICE, 0, 0, "#PF:800030(9) " },
        { { OR_TO }, DEVICE, 0, 0, "#PF:800010(b) " },
        { { MOVSB }, DATA, DEVICE, DATA, "#PF:600000(b) " },
        { { MOVSB }, DATA, DATA, DEVICE, "#PF:600000(9) " },
        { { 0x50 }, DATA, 0, 0, "#PF:600ff8(9) " }, /* push: neither code nor operand, so it is the stack */
        { { STORE }, DATA, 0, 0, "#PF:600ff8(9) " },
        { { LOAD }, CODE, 0, 0, "#PF:400000(19) " },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        guest_set_up(state);
        cpu.gpr[RAX] = DEVICE + 0x10;
        cpu.gpr[RSP] = DATA + 0xff8;
        segment_base[SEG_FS] = 0x20;
        strings(t[i].rsi, t[i].rdi);
        lose(t[i].lost);
        fault(t[i].code, sizeof(t[i].code), HOLE, NESTED_WALK);
        assert_story(t[i].story);
    }
    /* While an event is delivered it is the stack in any case; and the user's faults say so. */
    guest_set_up(state);
    cpu.gpr[RAX] = DEVICE;
    cpu.gpr[RSP] = DATA + 0xff8;
    lose(DEVICE);
    FAULT(HOLE, NESTED_WALK | NESTED_DELIVERY, LOAD);
    assert_story("#PF:600ff8(9) ");
    mode.cpl = 3;
    FAULT(HOLE, NESTED_WALK | NESTED_DELIVERY, LOAD);
    assert_story("#PF:600ff8(d) ");
}

/* The second page of the code counts where an instruction may reach it, and where one was fetched. */
static void code_at_the_end_of_a_page(void **state)
{
    static const struct {
        u16 offset;
        u64 access;
        const char *story;
    } t[] = {
        { 0x1000 - INSN_MAX_LEN, NESTED_WALK | NESTED_FETCH, "#PF:600ff8(9) " },
        { 0x1001 - INSN_MAX_LEN, NESTED_WALK | NESTED_FETCH, "#PF:401000(10) " },
        { 0x1001 - INSN_MAX_LEN, NESTED_WALK, "#PF:600ff8(9) " },
        { 0xfff, NESTED_WALK | NESTED_FETCH, "#PF:401000(10) " },
    };

    (void)state;
    cpu.gpr[RSP] = DATA + 0xff8;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        cpu.rip = CODE + t[i].offset;
        put_code((const u8[]){ 0x50 }, 1);
        cpu.exit = (struct vcpu_exit){ .gpa = HOLE, .access = t[i].access };
        handle_nested_fault(&cpu, &cpu.exit);
        assert_story(t[i].story);
    }
    /* 32-bit code: addresses wrap, and the segment has a base. */
    mode.cs_attrib = 0xc9b;
    mode.cs_base = BIT(32) - PAGE_SIZE;
    cpu.rip = CODE + 2 * PAGE_SIZE;
    map(CODE + PAGE_SIZE, 0);
    cpu.exit = (struct vcpu_exit){ .gpa = HOLE, .access = NESTED_WALK };
    handle_nested_fault(&cpu, &cpu.exit);
    assert_story("#PF:401000(10) ");
    /* Not so in 64-bit code. */
    guest_set_up(state);
    cpu.gpr[RSP] = DATA + 0xff8;
    map(CODE + BIT(32), CODE_PAGE | RO);
    lose(CODE);
    cpu.rip = CODE + BIT(32);
    put_code((const u8[]){ 0x50 }, 1);
    cpu.exit = (struct vcpu_exit){ .gpa = HOLE, .access = NESTED_WALK };
    handle_nested_fault(&cpu, &cpu.exit);
    assert_story("#PF:600ff8(9) ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(strings_to_and_from_memory, guest_set_up),
        cmocka_unit_test_setup(strings_between_devices, guest_set_up),
        cmocka_unit_test_setup(strings_at_the_end_of_memory, guest_set_up),
        cmocka_unit_test_setup(tables_of_nobody, guest_set_up),
        cmocka_unit_test_setup(code_at_the_end_of_a_page, guest_set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
