/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: arch/insn.c arch/insn_exec.c */
/*
 * The instruction emulator by example: what a 64-bit process cannot try on its own CPU (test_insn_cpu.c does
 * the rest), which is other code sizes, repetition one step at a time, failing accesses and the order of
 * accesses.
 *
 * Build: gcc -O2 -I. tests/unit/test_insn_exec.c arch/insn.c arch/insn_exec.c -lcmocka -o
 * build/test_insn_exec
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "arch/insn.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

#define DF BIT(10)
#define RF BIT(16)

static const u64 flat[INSN_NSEGS];

struct script {
    u64 mem;           /* the one register behind mmio() */
    u64 ram, ram_addr; /* the last linear access */
    char trace[32];
    int fail_at; /* the access that fails, counted from 1 */
};

static int note(struct script *s, char what)
{
    size_t n = strlen(s->trace);

    assert_true(n + 1 < sizeof(s->trace));
    s->trace[n] = what;
    return (int)n + 1 == s->fail_at ? ERR_IO : 0;
}

static int script_mmio(void *ctx, enum insn_access how, unsigned int width, u64 *val)
{
    struct script *s = ctx;
    int err = note(s, how == INSN_WRITE ? 'w' : 'r');

    (void)width;
    if (!err && how == INSN_WRITE)
        s->mem = *val;
    else if (!err)
        *val = s->mem;
    return err;
}

static int script_linear(void *ctx, enum insn_access how, u64 addr, unsigned int width, u64 *val)
{
    struct script *s = ctx;
    int err = note(s, how == INSN_WRITE ? 'W' : how == INSN_READ ? 'R' : 'P');

    (void)width;
    s->ram_addr = addr;
    if (!err && how == INSN_WRITE)
        s->ram = *val;
    else if (!err && how == INSN_READ)
        *val = s->ram;
    return err;
}

static int step(struct script *s, struct insn_cpu *cpu, enum insn_mode mode, const char *bytes, size_t len,
                bool write, const u64 *seg_base, struct insn *insn)
{
    struct insn_env env = { .ctx = s, .seg_base = seg_base, .mmio = script_mmio, .linear = script_linear };

    memset(s->trace, 0, sizeof(s->trace));
    assert_int_equal(insn_decode((const u8 *)bytes, len, mode, insn), len);
    return insn_exec(insn, cpu, write, &env);
}

#define STEP(mode, bytes, write) step(&s, &cpu, mode, bytes, sizeof(bytes) - 1, write, base, &insn)

static const u64 base[INSN_NSEGS] = { 0x10000, 0x20000, 0x30000, 0x40000, 0x50000, 0x60000 };

static void test_repeat_16bit(void **state)
{
    u64 gpr[16] = { [RAX] = 0x1234, [RCX] = 0xaaaa0002, [RSI] = 0xbbbbffff, [RDI] = 0xcccc0001 };
    struct insn_cpu cpu = { gpr, 0xfff0, DF | RF | 2 };
    struct script s = { .ram = 0x77 };
    struct insn insn;

    (void)state;
    /* Addresses and count are 16 bits wide and wrap; the rest of the registers stays. Downwards, from SS. */
    assert_int_equal(STEP(INSN_16, "\xf3\x36\xa5", true), 0);
    assert_string_equal(s.trace, "Rw");
    assert_int_equal(s.ram_addr, 0x3ffff);
    assert_int_equal(gpr[RCX], 0xaaaa0001);
    assert_int_equal(gpr[RSI], 0xbbbbfffd);
    assert_int_equal(gpr[RDI], 0xccccffff);
    assert_int_equal(cpu.rip, 0xfff0);
    assert_int_equal(cpu.rflags, DF | RF | 2);
    /* The last one: the register is the source, its target is proven writable before it is read. */
    assert_int_equal(STEP(INSN_16, "\xf3\x36\xa5", false), 0);
    assert_string_equal(s.trace, "PrW");
    assert_int_equal(s.ram_addr, 0x1ffff);
    assert_int_equal(gpr[RCX], 0xaaaa0000);
    assert_int_equal(cpu.rip, 0xfff3);
    assert_int_equal(cpu.rflags, DF | 2);
    /* Count 0: nothing but RIP. */
    assert_int_equal(STEP(INSN_16, "\xf3\xab", true), 0);
    assert_string_equal(s.trace, "");
    assert_int_equal(cpu.rip, 0xfff5);
    assert_int_equal(gpr[RDI], 0xccccfffd);
}

/* The port is read when the memory is known to be writable, and written when it has been read. */
static void test_ports(void **state)
{
    u64 gpr[16] = { [RCX] = 2, [RSI] = 0xbbbbffff, [RDI] = 0xcccc0001 };
    struct insn_cpu cpu = { gpr, 0x1000, 2 };
    struct script s = { .mem = 0x11223344aabbccdd, .ram = 0x5566 };
    struct insn insn;

    (void)state;
    assert_int_equal(STEP(INSN_16, "\xf3\x36\x6d", false), 0); /* rep insw */
    assert_string_equal(s.trace, "PrW");
    assert_int_equal(s.ram_addr, 0x10001); /* ES, whatever the prefix says */
    assert_int_equal(s.ram, 0xccdd);
    assert_int_equal(gpr[RDI], 0xcccc0003);
    assert_int_equal(gpr[RSI], 0xbbbbffff);
    assert_int_equal(gpr[RCX], 1);
    assert_int_equal(cpu.rip, 0x1000);
    assert_int_equal(STEP(INSN_16, "\xf3\x36\x6e", true), 0); /* rep outsb */
    assert_string_equal(s.trace, "Rw");
    assert_int_equal(s.ram_addr, 0x3ffff);
    assert_int_equal(s.mem, 0xdd);
    assert_int_equal(gpr[RSI], 0xbbbb0000);
    assert_int_equal(gpr[RDI], 0xcccc0003);
    assert_int_equal(cpu.rip, 0x1003);
}

/* A failing access leaves everything as it was. */
static void test_failure_changes_nothing(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        bool write;
        int accesses;
    } cases[] = {
        { "\x8b\x03", 2, false, 1 },    { "\x89\x03", 2, true, 1 },     { "\x01\x03", 2, true, 2 },
        { "\x87\x03", 2, true, 2 },     { "\xa5", 1, false, 3 },        { "\xa5", 1, true, 2 },
        { "\xf3\xab", 2, true, 1 },     { "\x0f\xb1\x0b", 3, true, 2 }, { "\x0f\xc1\x0b", 3, true, 2 },
        { "\x0f\xab\x03", 3, true, 2 }, { "\x6d", 1, false, 3 },        { "\x6f", 1, true, 2 },
    };

    (void)state;
    for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
        for (int at = 1; at <= cases[i].accesses + 1; at++) {
            u64 gpr[16], before[16];
            struct insn_cpu cpu = { gpr, 0x1000, RF | 2 };
            struct script s = { .fail_at = at };
            struct insn insn;

            for (unsigned int k = 0; k < 16; k++)
                gpr[k] = before[k] = 0x1111111111111111ull * k + 3;
            assert_int_equal(
                step(&s, &cpu, INSN_64, cases[i].bytes, cases[i].len, cases[i].write, flat, &insn),
                at <= cases[i].accesses ? ERR_IO : 0);
            if (at > cases[i].accesses)
                continue;
            assert_memory_equal(gpr, before, sizeof(gpr));
            assert_int_equal(cpu.rip, 0x1000);
            assert_int_equal(cpu.rflags, RF | 2);
        }
    }
}

static void test_linear_address(void **state)
{
    u64 gpr[16] = {
        [RAX] = 0xffffffff, [RCX] = 0xfffffff8, [RBX] = 0x1fff0, [RBP] = 0x10, [RSI] = 0x20, [RDI] = 4
    };
    static const u64 high_base[INSN_NSEGS] = { [INSN_DS] = 0xffff0000, [INSN_FS] = 0xffff888000000000 };
    struct insn_cpu cpu = { gpr, 0x7fff, 2 };
    struct insn insn;

    (void)state;
#define LINEAR(mode, bytes, bases)                                                                        \
    (assert_int_equal(insn_decode((const u8 *)bytes, sizeof(bytes) - 1, mode, &insn), sizeof(bytes) - 1), \
     insn_linear(&insn, &cpu, bases, false))
    assert_int_equal(LINEAR(INSN_16, "\x8b\x00", base), 0x40010);         /* ds:[bx+si] wraps at 64 KiB */
    assert_int_equal(LINEAR(INSN_16, "\x8b\x02", base), 0x30030);         /* ss:[bp+si] */
    assert_int_equal(LINEAR(INSN_16, "\x26\x8b\x02", base), 0x10030);     /* es:[bp+si] */
    assert_int_equal(LINEAR(INSN_16, "\xa1\xfe\xff", base), 0x4fffe);     /* ds:[0xfffe] */
    assert_int_equal(LINEAR(INSN_32, "\x8b\x04\x43", base), 0x5ffee);     /* ds:[ebx+eax*2] */
    assert_int_equal(LINEAR(INSN_32, "\x8b\x43\xf0", high_base), 0xffe0); /* wraps at 4 GiB */
    assert_int_equal(LINEAR(INSN_64, "\x64\x8b\x43\xf0", high_base), 0xffff88800001ffe0ull);
    assert_int_equal(LINEAR(INSN_64, "\x3e\x8b\x43\xf0", high_base), 0x1ffe0); /* DS has no base */
    assert_int_equal(LINEAR(INSN_64, "\x67\x8b\x04\x08", flat), 0xfffffff7);   /* [eax+ecx] wraps at 4 GiB */
    assert_int_equal(LINEAR(INSN_64, "\x0f\xab\x0b", flat), 0x1ffec);          /* bit -8 */
    assert_int_equal(LINEAR(INSN_64, "\xc7\x05\x01\x00\x00\x00\x44\x33\x22\x11", flat), 0x7fff + 10 + 1);
#undef LINEAR
}

static void test_eip_wraps(void **state)
{
    u64 gpr[16] = { 0 };
    struct insn_cpu cpu = { gpr, 0xffffffff, 2 };
    struct script s = { .mem = 0x11223344 };
    struct insn insn;

    (void)state;
    assert_int_equal(STEP(INSN_32, "\x8b\x03", false), 0);
    assert_int_equal(cpu.rip, 1);
    assert_int_equal(gpr[RAX], 0x11223344);
    cpu.rip = 0xffffffff;
    assert_int_equal(STEP(INSN_64, "\x8b\x03", false), 0);
    assert_int_equal(cpu.rip, 0x100000001ull);
}

static void test_matches(void **state)
{
    static const struct {
        const char *bytes;
        enum insn_match read, write;
    } cases[] = {
        { "\x8b\x03", INSN_MATCH, INSN_MISMATCH },          /* mov eax, [rbx] */
        { "\x89\x03", INSN_MISMATCH, INSN_MATCH },          /* mov [rbx], eax */
        { "\x39\x03", INSN_MATCH, INSN_MISMATCH },          /* cmp [rbx], eax */
        { "\x03\x03", INSN_MATCH, INSN_MISMATCH },          /* add eax, [rbx] */
        { "\x01\x03", INSN_MATCH_IF_WRITABLE, INSN_MATCH }, /* add [rbx], eax */
        { "\x87\x03", INSN_MATCH_IF_WRITABLE, INSN_MATCH }, /* xchg [rbx], eax */
        { "\xa4\x90", INSN_MATCH, INSN_MATCH },             /* movsb */
        { "\xaa\x90", INSN_MISMATCH, INSN_MATCH },          /* stosb */
    };
    struct insn insn;

    (void)state;
    for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_true(insn_decode((const u8 *)cases[i].bytes, 2, INSN_64, &insn) > 0);
        assert_int_equal(insn_matches(&insn, false), cases[i].read);
        assert_int_equal(insn_matches(&insn, true), cases[i].write);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repeat_16bit), cmocka_unit_test(test_failure_changes_nothing),
        cmocka_unit_test(test_ports),        cmocka_unit_test(test_linear_address),
        cmocka_unit_test(test_eip_wraps),    cmocka_unit_test(test_matches),
    };

    return cmocka_run_group_tests_name("insn_exec", tests, NULL, NULL);
}
