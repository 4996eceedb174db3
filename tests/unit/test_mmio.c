/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/mmio.c hv/access.c hv/bus.c hv/fetch.c hv/walk.c arch/insn.c arch/insn_exec.c arch/fmt.c */
/*
 * Nested faults: registers see exactly the accesses that the guest made, in whole pages and across them, and
 * what is nobody's, or not what the CPU has reported, changes nothing.
 */
#include "tests/unit/guest_world.h"

static void each_width(void **state)
{
    static const struct {
        u8 code[3];
        bool write;
        u64 rcx;
        const char *story;
    } t[] = {
        { { 0x88, 0x08 }, true, 0, "W1:10=88 done " },
        { { 0x66, 0x89, 0x08 }, true, 0, "W2:10=7788 done " },
        { { STORE }, true, 0, "W4:10=55667788 done " },
        { { STORE8 }, true, 0, "W8:10=1122334455667788 done " },
        { { 0x8a, 0x08 }, false, 0x11223344556677b0, "R1:10 done " },
        { { 0x66, 0x8b, 0x08 }, false, 0x112233445566b1b0, "R2:10 done " },
        { { LOAD }, false, 0xb3b2b1b0, "R4:10 done " },
        { { LOAD8 }, false, 0xb7b6b5b4b3b2b1b0, "R8:10 done " },
        { { OR_TO }, true, 0, "R4:10 W4:10=f7f6f7b8 done " },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        guest_set_up(state);
        cpu.gpr[RAX] = DEVICE + 0x10;
        cpu.gpr[RCX] = 0x1122334455667788;
        fault(t[i].code, sizeof(t[i].code), REGS + 0x10, t[i].write ? WRITE : READ);
        assert_story(t[i].story);
        assert_int_equal(cpu.gpr[RCX], t[i].rcx ? t[i].rcx : 0x1122334455667788);
        assert_in_range(cpu.rip, CODE + 2, CODE + 3);
        assert_int_equal(log_lines, 0);
    }
}

/* The last bytes of a page are one access, whatever follows; one byte more and there are two. */
static void at_the_end_of_a_page(void **state)
{
    (void)state;
    map(DEVICE + PAGE_SIZE, 0);
    cpu.gpr[RAX] = DEVICE + 0xffc;
    FAULT(REGS + 0xffc, WRITE, STORE);
    assert_story("W4:ffc=0 done ");
    cpu.gpr[RAX] = DEVICE + 0xff8;
    FAULT(REGS + 0xff8, READ, LOAD8);
    assert_story("R8:ff8 done ");
    cpu.gpr[RAX] = DEVICE + 0xffd;
    FAULT(REGS + 0xffd, WRITE, STORE);
    assert_story("#PF:801000(2) ");
    assert_int_equal(cpu.rip, CODE);
}

/* The CPU reports either half; whole powers of two in each. */
static void across_two_pages(void **state)
{
    static const struct {
        u8 offset; /* of the last 16 bytes */
        bool eight;
        const char *write[2], *read[2]; /* by which half is reported */
    } t[] = {
        { 0xd,
          false,
          { "W2:ffd=7788 W1:fff=66 W1:1000=55 done ", "W1:1000=55 W2:ffd=7788 W1:fff=66 done " },
          { "R1:1000 R2:ffd R1:fff done ", "R2:ffd R1:fff R1:1000 done " } },
        { 0xe,
          false,
          { "W2:ffe=7788 W2:1000=5566 done ", "W2:1000=5566 W2:ffe=7788 done " },
          { "R2:1000 R2:ffe done ", "R2:ffe R2:1000 done " } },
        { 0xf,
          false,
          { "W1:fff=88 W2:1000=6677 W1:1002=55 done ", "W2:1000=6677 W1:1002=55 W1:fff=88 done " },
          { "R2:1000 R1:1002 R1:fff done ", "R1:fff R2:1000 R1:1002 done " } },
        { 0x9,
          true,
          { "W4:ff9=55667788 W2:ffd=3344 W1:fff=22 W1:1000=11 done ",
            "W1:1000=11 W4:ff9=55667788 W2:ffd=3344 W1:fff=22 done " },
          { "R1:1000 R4:ff9 R2:ffd R1:fff done ", "R4:ff9 R2:ffd R1:fff R1:1000 done " } },
    };

    for (unsigned i = 0; i < 2 * ARRAY_SIZE(t); i++) {
        unsigned n = i / 2, second = i % 2;
        u64 gpa = second ? REGS + PAGE_SIZE : REGS + 0xff0 + t[n].offset, want;

        guest_set_up(state);
        memcpy(&want, regs + 0xff0 + t[n].offset, sizeof(want));
        cpu.gpr[RAX] = DEVICE + 0xff0 + t[n].offset;
        if (t[n].eight)
            FAULT(gpa, READ, LOAD8);
        else
            FAULT(gpa, READ, LOAD);
        assert_story(t[n].read[second]);
        assert_int_equal(cpu.gpr[RCX], t[n].eight ? want : (u32)want);
        cpu.gpr[RCX] = 0x1122334455667788;
        if (t[n].eight)
            FAULT(gpa, WRITE, STORE8);
        else
            FAULT(gpa, WRITE, STORE);
        assert_story(t[n].write[second]);
    }
}

/* The half that the CPU has not reported is judged before either is written. */
static void the_other_half(void **state)
{
    (void)state;
    map(DEVICE + PAGE_SIZE, DATA_PAGE | RO);
    cpu.gpr[RAX] = DEVICE + 0xffe;
    cpu.gpr[RCX] = 0x11223344;
    FAULT(REGS + 0xffe, WRITE, STORE);
    assert_story("#PF:801000(3) ");
    map(DEVICE + PAGE_SIZE, DATA_PAGE | RW);
    FAULT(REGS + 0xffe, WRITE, STORE);
    assert_story("W2:ffe=3344 done ");
    assert_memory_equal(at(DATA_PAGE), "\x22\x11\0", 3);
    FAULT(REGS + 0xffe, READ, LOAD);
    assert_story("R2:ffe done ");
    assert_int_equal(cpu.gpr[RCX], 0x11223344);
    /* The device lies behind the memory. */
    map(DEVICE, (NEXT_PAGE) | RW);
    map(DEVICE + PAGE_SIZE, REGS | RW);
    cpu.gpr[RAX] = DEVICE + 0xfff;
    cpu.gpr[RCX] = 0x55667788;
    FAULT(REGS, WRITE, STORE);
    assert_story("W2:0=6677 W1:2=55 done ");
    assert_int_equal(at(NEXT_PAGE)[0xfff], 0x88);
    assert_int_equal(at(NEXT_PAGE)[0xffe], 0);
    /* What is nobody's takes nothing and gives ones. */
    map(DEVICE, HOLE | RW);
    FAULT(REGS, READ, LOAD);
    assert_story("R2:0 R1:2 done ");
    assert_int_equal(cpu.gpr[RCX], 0x556677ff);
}

/* An access that leaves the canonical addresses is none, and how many there are depends on the tables. */
static void canonical_addresses(void **state)
{
    for (unsigned la57 = 0; la57 < 2; la57++) {
        u64 end = BIT(la57 ? 56 : 47);

        guest_set_up(state);
        if (la57) {
            memset(ram, 0, sizeof(ram));
            mode.cr4 |= CR4_LA57;
            nr_tables = 1;
            map(CODE, CODE_PAGE | RO);
            map(BIT(47) - PAGE_SIZE, REGS | RW);
            map(BIT(47), (REGS + PAGE_SIZE) | RW);
            cpu.gpr[RAX] = BIT(47) - 2;
            FAULT(REGS + 0xffe, WRITE, STORE);
            assert_story("W2:ffe=0 W2:1000=0 done ");
        }
        map(end - PAGE_SIZE, REGS | RW);
        map(end, (REGS + PAGE_SIZE) | RW); /* where it would wrap to */
        cpu.gpr[RAX] = end - 2;
        FAULT(REGS + 0xffe, WRITE, STORE);
        assert_story("#13(0) ");
    }
    /* 32-bit code has no such addresses. */
    guest_set_up(state);
    mode.cs_attrib = 0xc9b;
    mode.efer &= ~EFER_LMA;
    mode.cr0 &= ~CR0_PG;
    cpu.rip = CODE_PAGE;
    put_code((const u8[]){ STORE }, 2);
    cpu.gpr[RAX] = REGS + 0xffe;
    cpu.exit = (struct vcpu_exit){ .gpa = REGS + 0xffe, .access = WRITE };
    handle_nested_fault(&cpu, &cpu.exit);
    assert_story("W2:ffe=0 W2:1000=0 done ");
}

static void segments(void **state)
{
    (void)state;
    segment_base[SEG_FS] = DEVICE + 0x100;
    segment_base[SEG_GS] = DEVICE + 0x200;
    segment_base[SEG_DS] = 0x123;
    cpu.gpr[RAX] = 8;
    FAULT(REGS + 0x108, WRITE, 0x64, STORE);
    FAULT(REGS + 0x208, WRITE, 0x65, STORE);
    cpu.gpr[RAX] = DEVICE + 8;
    FAULT(REGS + 8, WRITE, 0x3e, STORE); /* DS has no base there */
    assert_story("W4:108=0 done W4:208=0 done W4:8=0 done ");
    mode.cs_attrib = 0xc9b;
    mode.cs_base = 0x10000;
    cpu.gpr[RAX] = DEVICE + 0xd;
    cpu.rip = CODE - 0x10000;
    segment_base[SEG_DS] = 3;
    cpu.exit = (struct vcpu_exit){ .gpa = REGS + 0x10, .access = WRITE };
    put_code((const u8[]){ STORE }, 2);
    handle_nested_fault(&cpu, &cpu.exit);
    assert_story("W4:10=0 done ");
    assert_int_equal(cpu.rip, CODE - 0x10000 + 2);
}

/* A write that would be refused is refused although what was reported is a read. */
static void read_then_written(void **state)
{
    (void)state;
    cpu.gpr[RAX] = DEVICE + 0x10;
    FAULT(REGS + 0x10, READ, OR_TO);
    assert_story("R4:10 W4:10=b3b2b1b0 done ");
    assert_int_equal(cpu.rflags, BIT(7)); /* the sign */
    map(DEVICE, REGS | RO);
    FAULT(REGS + 0x10, READ, LOAD);
    assert_story("R4:10 done ");
    FAULT(REGS + 0x10, READ, OR_TO);
    assert_story("#PF:800010(3) ");
    assert_int_equal(cpu.rip, CODE);
}

/* ---- what is not as the CPU has reported it ---- */

static void other_bytes_by_now(void **state)
{
    static const struct {
        u64 gpa, access, rax;
    } t[] = {
        { REGS + 0x10, WRITE, DEVICE + 0x10 },  /* LOAD does not write */
        { REGS + 0x10, READ, DEVICE + 0x14 },   /* another register */
        { REGS + 0xffe, READ, DEVICE + 0xffd }, /* half an access that is not there */
        { REGS + PAGE_SIZE + 1, READ, DEVICE + 0xffd },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        cpu.gpr[RAX] = t[i].rax;
        FAULT(t[i].gpa, t[i].access, LOAD);
        assert_story("");
        assert_int_equal(cpu.rip, CODE);
    }
    /* Without tables for the code the CPU will find out by itself. */
    map(CODE, 0);
    FAULT(REGS + 0x10, READ, LOAD);
    assert_story("");
}

/* Once in a while the guest rewrites its code; a thousand times in a row it is no accident. */
static void other_bytes_again_and_again(void **state)
{
    (void)state;
    cpu.gpr[RAX] = DEVICE;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 999; i++)
            FAULT(REGS, WRITE, LOAD);
        assert_story("");
        FAULT(REGS, WRITE, LOAD);
        assert_story("#6 ");
    }
    for (unsigned i = 0; i < 999; i++)
        FAULT(REGS, WRITE, LOAD);
    FAULT(REGS, READ, LOAD);
    FAULT(REGS, WRITE, LOAD);
    assert_story("R4:0 done ");
    map(CODE, 0);
    for (unsigned i = 1; i < 999; i++)
        FAULT(REGS, READ, LOAD);
    assert_story("");
    log_full = true;
    log_lines = 0;
    FAULT(REGS, READ, LOAD);
    assert_story("#6 ");
    assert_int_equal(log_lines, 0);
}

/* The line shows what was not understood, all bytes of it. */
static void instructions_that_are_not_emulated(void **state)
{
    static const u8 long_one[] = { 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e,
                                   0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x0f, 0x77 };

    (void)state;
    fault(long_one, sizeof(long_one), REGS, READ);
    assert_story("#6 ");
    assert_non_null(strstr(last_line, "not emulated"));
    assert_string_equal(strchr(last_line, ';'), "; 2e 2e 2e 2e 2e 2e 2e 2e 2e 2e 2e 2e 2e 0f 77");
    cpu.gpr[RSI] = cpu.gpr[RDI] = DEVICE;
    FAULT(REGS, WRITE, 0x6d); /* INS: the CPU has judged no port */
    assert_story("#6 ");
    FAULT(REGS, READ, 0x6f); /* OUTS */
    assert_story("#6 ");
    map(CODE, HOLE | RO);
    FAULT(REGS, READ, LOAD);
    assert_story("#6 ");
    assert_string_equal(strstr(last_line, "the code"), "the code lies in a device;");
}

/* ---- what is not the guest's ---- */

static void nobody_there(void **state)
{
    (void)state;
    cpu.gpr[RAX] = DATA + 0x10;
    map(DATA, HOLE | RW);
    FAULT(HOLE + 0x10, READ, LOAD8);
    assert_int_equal(cpu.gpr[RCX], ~0ull);
    assert_non_null(strstr(last_line, "read"));
    FAULT(HOLE + 0x10, WRITE, STORE);
    assert_non_null(strstr(last_line, "wrote"));
    FAULT(HOLE + 0x10, READ, LOAD);
    assert_int_equal(cpu.gpr[RCX], ~0u);
    assert_story("done done done ");
    assert_int_equal(log_lines, 3);
    FAULT(HOLE + 0x10, NESTED_FETCH, LOAD);
    assert_story("#6 ");
    FAULT(HOLE + 0x10, NESTED_DELIVERY, LOAD);
    assert_story("#13(0) ");
}

static void pages_not_mapped_yet(void **state)
{
    (void)state;
    cpu.gpr[RAX] = DATA;
    fill_error = 0;
    FAULT(DATA_PAGE, READ, LOAD);
    assert_story("fill:120000 ");
    assert_int_equal(log_lines, 0);
    FAULT(HOLE, NESTED_FETCH, LOAD); /* never filled, and neither are registers */
    FAULT(REGS, NESTED_FETCH, LOAD);
    assert_story("#6 #6 ");
    fill_error = ERR_NOMEM;
    log_lines = 0;
    FAULT(DATA_PAGE, READ, LOAD);
    assert_story("done ");
    assert_int_equal(cpu.gpr[RCX], ~0u);
    assert_int_equal(log_lines, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_width, guest_set_up),
        cmocka_unit_test_setup(at_the_end_of_a_page, guest_set_up),
        cmocka_unit_test_setup(across_two_pages, guest_set_up),
        cmocka_unit_test_setup(the_other_half, guest_set_up),
        cmocka_unit_test_setup(canonical_addresses, guest_set_up),
        cmocka_unit_test_setup(segments, guest_set_up),
        cmocka_unit_test_setup(read_then_written, guest_set_up),
        cmocka_unit_test_setup(other_bytes_by_now, guest_set_up),
        cmocka_unit_test_setup(other_bytes_again_and_again, guest_set_up),
        cmocka_unit_test_setup(instructions_that_are_not_emulated, guest_set_up),
        cmocka_unit_test_setup(nobody_there, guest_set_up),
        cmocka_unit_test_setup(pages_not_mapped_yet, guest_set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
