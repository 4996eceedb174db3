/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/access.c hv/io.c hv/mmio.c hv/bus.c hv/fetch.c hv/walk.c */
/* LINK: arch/insn.c arch/insn_exec.c arch/fmt.c */
/*
 * What Sluice reads and writes of the guest's memory in a CPU's place, and port instructions: not a byte more
 * than was asked for, in each page where the guest's tables put it.
 */
#include "tests/unit/guest_world.h"

/* ---- the guest's memory by linear address ---- */

static void bytes_in_their_pages(void **state)
{
    static const struct {
        u16 offset;
        u8 size;
        u8 first; /* bytes in the first page */
    } t[] = { { 0x10, 1, 1 }, { 0xfff, 1, 1 }, { 0xff0, 16, 16 }, { 0xff1, 16, 15 }, { 0xfff, 16, 1 } };
    u8 out[18], in[17], all[48];

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        u8 size = t[i].size, second = (u8)(size - t[i].first);

        guest_set_up(state);
        if (!second)
            map(DATA + PAGE_SIZE, 0); /* not even asked for */
        for (u8 n = 0; n < sizeof(in); n++)
            in[n] = 0x80 | n;
        assert_true(guest_access(&cpu, &mode, DATA + t[i].offset, in, size, true));
        memset(all, 0, sizeof(all));
        memcpy(all + 16, in, t[i].first);
        assert_memory_equal(at(DATA_PAGE + t[i].offset), all + 16, t[i].first);
        assert_int_equal(at(DATA_PAGE + t[i].offset)[-1], 0);
        if (t[i].offset + size < PAGE_SIZE)
            assert_int_equal(at(DATA_PAGE + t[i].offset)[size], 0);
        memcpy(all, in + t[i].first, second);
        memset(all + second, 0, 16);
        assert_memory_equal(at(NEXT_PAGE), all, second + 1);

        memset(out, 0xee, sizeof(out));
        assert_true(guest_access(&cpu, &mode, DATA + t[i].offset, out, size, false));
        assert_memory_equal(out, in, size);
        assert_int_equal(out[size], 0xee);
    }
    assert_story("");
}

/* Three pages, the middle one whole. */
static void more_than_a_page(void **state)
{
    static u8 data[2 * PAGE_SIZE];

    (void)state;
    map(DATA + 2 * PAGE_SIZE, (NEXT_PAGE + PAGE_SIZE) | RW);
    memset(data, 0x5a, sizeof(data));
    assert_true(guest_access(&cpu, &mode, DATA + 0xff0, data, PAGE_SIZE + 32, true));
    assert_int_equal(at(DATA_PAGE)[0xfef], 0);
    assert_int_equal(at(DATA_PAGE)[0xff0], 0x5a);
    assert_memory_equal(at(NEXT_PAGE), data, PAGE_SIZE);
    assert_int_equal(at(NEXT_PAGE + PAGE_SIZE)[15], 0x5a);
    assert_int_equal(at(NEXT_PAGE + PAGE_SIZE)[16], 0);
}

static void faults_are_the_guests(void **state)
{
    u8 data[8] = { 0 };

    (void)state;
    map(DATA + PAGE_SIZE, 0);
    assert_false(guest_access(&cpu, &mode, DATA + 0xffc, data, 8, false));
    assert_story("#PF:601000(0) ");
    map(DATA, DATA_PAGE | RO);
    assert_true(guest_access(&cpu, &mode, DATA, data, 8, false));
    assert_false(guest_access(&cpu, &mode, DATA, data, 8, true));
    assert_story("#PF:600000(3) ");
}

/* What is no memory reads ones and drops writes; what is beside it does not. */
static void no_memory(void **state)
{
    u8 data[8] = { 0 };

    (void)state;
    map(DATA + PAGE_SIZE, HOLE | RW);
    assert_true(guest_access(&cpu, &mode, DATA + 0xffd, data, 8, false));
    assert_memory_equal(data, "\0\0\0\xff\xff\xff\xff\xff", 8);
    memset(data, 0x55, sizeof(data));
    assert_true(guest_access(&cpu, &mode, DATA + 0xffd, data, 8, true));
    assert_memory_equal(at(DATA_PAGE) + 0xffc, "\0UUU", 4);
    assert_memory_equal(data, "UUUUUUUU", 8);
    assert_story("");
}

/* ---- ports ---- */

static void port(u8 size, bool in)
{
    cpu.exit = (struct vcpu_exit){ .kind = VEXIT_IO, .port = 0x70, .io_size = size, .io_in = in };
    cpu.exit.next_rip = CODE + 0x123;
    handle_io(&cpu, &cpu.exit);
}

/* 1 and 2 bytes leave the rest of RAX, 4 clear the upper half, as every write of a register does. */
static void widths_of_ports(void **state)
{
    static const struct {
        u8 size;
        u64 rax;
        const char *in, *out;
    } t[] = {
        { 1, 0x1122334455667701, "r1:70 done ", "w1:70=88 done " },
        { 2, 0x1122334455660201, "r2:70 done ", "w2:70=7788 done " },
        { 4, 0x04030201, "r4:70 done ", "w4:70=55667788 done " },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        guest_set_up(state);
        memcpy(port_bytes + 0x70, "\1\2\3\4", 4);
        cpu.gpr[RAX] = 0x1122334455667788;
        port(t[i].size, false);
        assert_story(t[i].out);
        assert_int_equal(cpu.gpr[RAX], 0x1122334455667788);
        port(t[i].size, true);
        assert_story(t[i].in);
        assert_int_equal(cpu.gpr[RAX], t[i].rax);
        assert_int_equal(cpu.rip, CODE + 0x123);
    }
}

static void string_port(u8 size, bool in, u8 prefix, u8 opcode)
{
    cpu.exit = (struct vcpu_exit){ .kind = VEXIT_IO, .port = 0x70, .io_size = size, .io_in = in };
    cpu.exit.io_string = true;
    cpu.rip = CODE;
    put_code((const u8[]){ prefix, opcode }, 2);
    handle_io(&cpu, &cpu.exit);
}

/* One element for each exit, from and to where the guest's tables say, up to the last byte of a page. */
static void strings_of_ports(void **state)
{
    (void)state;
    memcpy(port_bytes + 0x70, "\1\2\3\4", 4);
    cpu.gpr[RDI] = DATA + 0xffc;
    cpu.gpr[RCX] = 2;
    cpu.rflags = RFLAGS_RF;
    string_port(4, true, 0xf3, 0x6d);
    assert_story("r4:70 done ");
    assert_memory_equal(at(DATA_PAGE) + 0xffb, "\0\1\2\3\4", 5);
    assert_int_equal(cpu.rip, CODE);
    string_port(2, true, 0xf3, 0x6d); /* the width that the CPU says */
    assert_story("r2:70 done ");
    assert_memory_equal(at(NEXT_PAGE), "\1\2\0", 3);
    assert_int_equal(cpu.rip, CODE + 2);
    assert_int_equal(cpu.rflags, 0);
    assert_int_equal(cpu.gpr[RDI], DATA + 0x1002);

    cpu.gpr[RSI] = DATA + 0xffe;
    cpu.gpr[RCX] = 1;
    string_port(4, false, 0xf3, 0x6f);
    assert_story("w4:70=2010403 done ");
    assert_int_equal(cpu.gpr[RSI], DATA + 0x1002);
    segment_base[SEG_FS] = DATA + 0xffe;
    cpu.gpr[RSI] = 0;
    string_port(4, false, 0x64, 0x6f);
    assert_story("w4:70=2010403 done ");
}

static void strings_of_ports_that_fail(void **state)
{
    (void)state;
    cpu.gpr[RCX] = 1;
    cpu.gpr[RDI] = DATA + 0x1ffe;
    string_port(4, true, 0xf3, 0x6d); /* not read in vain */
    assert_story("#PF:602000(2) ");
    assert_int_equal(cpu.rip, CODE);
    assert_int_equal(at(NEXT_PAGE)[0xffe], 0);
    /* Other bytes by now: the guest runs them as they are. */
    string_port(4, true, 0xf3, 0x6f);
    string_port(4, false, 0xf3, 0x6d);
    map(CODE, 0);
    string_port(4, true, 0xf3, 0x6d);
    assert_story("");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(bytes_in_their_pages, guest_set_up),
        cmocka_unit_test_setup(more_than_a_page, guest_set_up),
        cmocka_unit_test_setup(faults_are_the_guests, guest_set_up),
        cmocka_unit_test_setup(no_memory, guest_set_up),
        cmocka_unit_test_setup(widths_of_ports, guest_set_up),
        cmocka_unit_test_setup(strings_of_ports, guest_set_up),
        cmocka_unit_test_setup(strings_of_ports_that_fail, guest_set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
