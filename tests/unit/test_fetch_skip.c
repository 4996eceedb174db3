/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/fetch.c arch/insn.c */
/* What is remembered of moves, and behind which prefixes an instruction is skipped. */
#include "tests/unit/fetch_world.h"

static void plain_moves(void **state)
{
    static const struct {
        u8 bytes[8];
        u8 len;
        bool is_plain, is_32;
    } t[] = {
        { { 0x89, 0x07 }, 2, true, false },
        { { 0x48, 0x89, 0x07 }, 3, true, false },
        { { 0x8b, 0x47, 0x10 }, 3, true, false },
        { { 0xc7, 0x07, 1, 2, 3, 4 }, 6, true, false },
        { { 0x3e, 0x89, 0x07 }, 3, true, false },        /* DS */
        { { 0x64, 0x89, 0x07 }, 3, false, false },       /* FS */
        { { 0x65, 0x89, 0x07 }, 3, false, false },       /* GS */
        { { 0x88, 0x07 }, 2, false, false },             /* a byte */
        { { 0x66, 0x89, 0x07 }, 3, false, false },       /* two */
        { { 0x67, 0x89, 0x07 }, 3, false, false },       /* at EDI */
        { { 0x89, 0x04, 0x37 }, 3, false, false },       /* at RDI + RSI */
        { { 0x89, 0x05, 0, 0, 0, 0 }, 6, false, false }, /* at RIP */
        { { 0x01, 0x07 }, 2, false, false },             /* ADD */
        { { 0xab }, 1, false, false },                   /* STOS */
        { { 0x89, 0x07 }, 2, false, true },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        struct fetched *f;

        set_up(state);
        mode = t[i].is_32 ? mode32 : mode64;
        put_code(0, t[i].bytes, sizeof(t[i].bytes));
        assert_int_equal(fetch(&f), FETCH_OK);
        assert_int_equal(f->insn.len, t[i].len);
        if (f->plain_move != t[i].is_plain)
            fail_msg("%u", i);
    }
}

/* CPUID behind prefixes: 15 bytes are the most that an instruction has. */
static void prefixes_are_skipped(void **state)
{
    static const u64 at[] = {
        0, PAGE_SIZE - 17, PAGE_SIZE - 16, PAGE_SIZE - 15, PAGE_SIZE - 2, PAGE_SIZE - 1
    };
    static const u8 prefixes[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66,
                                   0x67, 0xf0, 0xf2, 0xf3, 0x40, 0x4f };

    for (unsigned i = 0; i < ARRAY_SIZE(at) * sizeof(prefixes) * 16; i++) {
        u64 from = at[i / 16 / sizeof(prefixes)];
        u8 code[17], prefix = prefixes[i / 16 % sizeof(prefixes)];
        unsigned n = i % 16;

        set_up(state);
        memset(code, prefix, n);
        code[n] = cpuid_insn[0];
        put_code(from, code, n + 1);
        assert_false(fetch_skip(&cpu, cpuid_insn, sizeof(cpuid_insn)));
        assert_int_equal(cpu.rip, CODE + from);
        code[n + 1] = cpuid_insn[1];
        put_code(from, code, n + 2);
        assert_int_equal(fetch_skip(&cpu, cpuid_insn, sizeof(cpuid_insn)), n + 2 <= INSN_MAX_LEN);
        assert_int_equal(cpu.rip, CODE + from + (n + 2 <= INSN_MAX_LEN ? n + 2 : 0));
        assert_int_equal(retired, n + 2 <= INSN_MAX_LEN);
    }
}

static void no_prefix_is_skipped_for_one(void **state)
{
    for (unsigned byte = 0; byte < 512; byte++) {
        u8 code[3] = { (u8)byte, cpuid_insn[0], cpuid_insn[1] };
        bool is_rex = (byte & 0xf0) == 0x40, is_64 = byte < 256;
        bool is_prefix =
            (is_rex && is_64) || (code[0] && strchr("\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3", code[0]));

        set_up(state);
        mode = is_64 ? mode64 : mode32;
        put_code(0, code, sizeof(code));
        assert_int_equal(fetch_skip(&cpu, cpuid_insn, sizeof(cpuid_insn)), is_prefix);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(plain_moves, set_up),
        cmocka_unit_test_setup(prefixes_are_skipped, set_up),
        cmocka_unit_test_setup(no_prefix_is_skipped_for_one, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
