/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/fetch.c arch/insn.c */
/* Which bytes are taken for the guest's instruction, at the ends of pages and of what is remembered. */
#include "tests/unit/fetch_world.h"

/* ---- what is remembered ---- */

static void nothing_is_known_at_first(void **state)
{
    (void)state;
    for (cpu.rip = 0; cpu.rip < 16; cpu.rip++)
        assert_null(fetch_known(&cpu));
    has_memory = false;
    assert_int_equal(fetch_init(&cpu), ERR_NOMEM);
}

/* Two at places that are told apart by nothing else; a third takes the place of the older one. */
static void two_of_a_pair_are_known(void **state)
{
    static const u64 at[] = { 0, 32, 64 };
    struct fetched *f;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
        put_code(at[i], i % 2 ? load : store, i % 2 ? sizeof(load) : sizeof(store));
        assert_int_equal(fetch(&f), FETCH_OK);
        assert_int_equal(f->insn.len, i % 2 ? 3 : 2);
        assert_int_equal(f->access, ~0ull);
        f->access = f->gpa = i;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
        cpu.rip = CODE + at[i];
        struct fetch_slot *s = fetch_known(&cpu);
        assert_int_equal(s != NULL, i > 0);
        if (s)
            assert_int_equal(s->fetched.access, i);
    }
    cpu.rip = CODE + 32;
    assert_int_equal(fetch(&f), FETCH_OK);
    assert_int_equal(walks, 3);
    /* What has changed is read into its own place, and the other one stays. */
    put_code(32, store, sizeof(store));
    assert_int_equal(fetch(&f), FETCH_OK);
    assert_int_equal(f->insn.len, 2);
    assert_int_equal(f->access, ~0ull);
    assert_int_equal(f->gpa, ~0ull);
    cpu.rip = CODE + 64;
    assert_non_null(fetch_known(&cpu));
    for (unsigned i = 0; i < 2; i++) {
        put_code(64, i ? store : load, sizeof(store));
        assert_int_equal(fetch(&f), FETCH_OK);
        cpu.rip = CODE + 32;
        assert_non_null(fetch_known(&cpu));
    }
}

static void known_as_long_as_its_tables_stay(void **state)
{
    struct fetched *f;

    for (unsigned n = 0; n <= WALK_MAX_LEVELS; n++) {
        set_up(state);
        levels = n;
        put_code(0, store, sizeof(store));
        assert_int_equal(fetch(&f), FETCH_OK);
        for (unsigned i = 0; i < n; i++) {
            f->access = 7; /* is kept only in what is not read anew */
            assert_int_equal(fetch(&f), FETCH_OK);
            assert_int_equal(f->access, 7);
            *(i == n - 1 ? &last[0] : &upper[i]) += PAGES;
            assert_null(fetch_known(&cpu));
            assert_int_equal(fetch(&f), FETCH_OK);
            assert_int_equal(f->access, ~0ull);
        }
        assert_non_null(fetch_known(&cpu));
        is_read_alike = false;
        assert_null(fetch_known(&cpu));
    }
}

/* What is known is not walked to again, whatever was there before: tables of more levels, or just an opcode.
 */
static void what_is_known_is_not_walked_to(void **state)
{
    struct fetched *f;

    (void)state;
    levels = WALK_MAX_LEVELS;
    memset(upper, 0xff, sizeof(upper));
    put_code(0, store, sizeof(store));
    assert_int_equal(fetch(&f), FETCH_OK);
    last[0] = PAGES;
    levels = 2;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(fetch(&f), FETCH_OK);
    assert_int_equal(walks, 2);
    for (unsigned i = 0; i < 3; i++) {
        put_code(8, cpuid_insn, sizeof(cpuid_insn));
        assert_true(fetch_skip(&cpu, cpuid_insn, sizeof(cpuid_insn)));
    }
    assert_int_equal(walks, 3);
}

/* What has gone is not known again because it is still gone. */
static void gone_is_gone(void **state)
{
    struct fetched *f;

    (void)state;
    put_code(0, store, sizeof(store));
    assert_int_equal(fetch(&f), FETCH_OK);
    last[0] = BIT(63);
    assert_int_equal(fetch(&f), FETCH_AGAIN);
    assert_int_equal(fetch(&f), FETCH_AGAIN);
    assert_false(fetch_skip(&cpu, store, sizeof(store)));
    last[0] = 0;
    assert_int_equal(fetch(&f), FETCH_OK);
    last[0] = 1;
    is_device = true;
    assert_int_equal(fetch(&f), FETCH_NO_CODE);
    assert_int_equal(fetch(&f), FETCH_NO_CODE);
}

/* No instruction, time and again; and one that was only skipped is not decoded as what was there before. */
static void what_was_not_decoded_is_not_known(void **state)
{
    struct fetched *f;

    (void)state;
    put_code(0, store, sizeof(store));
    assert_int_equal(fetch(&f), FETCH_OK);
    put_code(8, cpuid_insn, sizeof(cpuid_insn));
    assert_true(fetch_skip(&cpu, cpuid_insn, sizeof(cpuid_insn)));
    cpu.rip = CODE + 8;
    assert_int_equal(fetch(&f), FETCH_UNKNOWN);
    assert_int_equal(fetch(&f), FETCH_UNKNOWN);
    assert_true(fetch_skip(&cpu, cpuid_insn, sizeof(cpuid_insn)));
}

static void only_64_bit_code_is_known(void **state)
{
    struct fetched *f;

    (void)state;
    mode = mode32;
    put_code(0, store, sizeof(store));
    assert_int_equal(fetch(&f), FETCH_OK);
    assert_null(fetch_known(&cpu));
}

/* ---- which bytes ---- */

static void sizes_of_code(void **state)
{
    static const struct {
        u64 efer;
        u16 attrib;
        enum insn_mode mode;
    } t[] = { { EFER_LMA, 0xa9b, INSN_64 }, { EFER_LMA, 0xc9b, INSN_32 }, { EFER_LMA, 0x89b, INSN_16 },
              { 0, 0xa9b, INSN_16 },        { 0, 0xe9b, INSN_32 },        { 0, 0x09b, INSN_16 } };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        struct vcpu_mode m = { .efer = t[i].efer, .cs_attrib = t[i].attrib };
        assert_int_equal(fetch_mode(&m), t[i].mode);
    }
}

/* From the first byte of a page on, up to its last one, and across its end. */
static void instructions_lie_anywhere(void **state)
{
    static const u64 at[] = { 0,
                              1,
                              PAGE_SIZE - 17,
                              PAGE_SIZE - 16,
                              PAGE_SIZE - 15,
                              PAGE_SIZE - 3,
                              PAGE_SIZE - 2,
                              PAGE_SIZE - 1,
                              PAGES * PAGE_SIZE - 3 };
    struct fetched *f;
    u8 bytes[INSN_MAX_LEN];

    for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
        set_up(state);
        put_code(at[i], load, sizeof(load));
        assert_int_equal(fetch(&f), FETCH_OK);
        assert_int_equal(f->insn.len, 3);
        bool is_across = at[i] % PAGE_SIZE > PAGE_SIZE - sizeof(load);
        assert_int_equal(fetch_known(&cpu) != NULL, !is_across);
        if (!is_across)
            continue;
        last[1] = BIT(63); /* its second half has gone */
        assert_int_equal(fetch(&f), FETCH_AGAIN);
        assert_int_equal(fetch_bytes(&cpu, &mode, bytes), PAGE_SIZE - at[i]);
    }
}

static void bytes_are_read_at_rip(void **state)
{
    u8 bytes[INSN_MAX_LEN];

    (void)state;
    for (unsigned i = 0; i < sizeof(pages); i++)
        ((u8 *)pages)[i] = (u8)(i + i / 256);
    for (cpu.rip = CODE + PAGE_SIZE - 16; cpu.rip <= CODE + PAGE_SIZE; cpu.rip++) {
        assert_int_equal(fetch_bytes(&cpu, &mode, bytes), INSN_MAX_LEN);
        assert_memory_equal(bytes, (u8 *)pages + (cpu.rip - CODE), sizeof(bytes));
    }
}

/* Without 64-bit code addresses have 32 bits, the segment's base counts, and RIP goes on from 0. */
static void addresses_wrap_at_4_gib(void **state)
{
    struct fetched *f;
    u8 bytes[INSN_MAX_LEN];

    (void)state;
    mode = mode32;
    mode.cs_base = CODE - 0x1000;
    put_code(0x10, store, sizeof(store));
    cpu.rip = 0x1010;
    assert_int_equal(fetch(&f), FETCH_OK);
    mode.cs_base = BIT(32) - 0x1000;
    cpu.rip = CODE + 0x1010;
    assert_int_equal(fetch(&f), FETCH_OK);
    mode.cs_base = CODE + 0x12;
    put_code(0x10, cpuid_insn, sizeof(cpuid_insn));
    cpu.rip = 0xfffffffe;
    assert_true(fetch_skip(&cpu, cpuid_insn, sizeof(cpuid_insn)));
    assert_int_equal(cpu.rip, 0);
    /* In 64-bit code none of that. */
    mode = mode64;
    mode.cs_base = 0x1000;
    first_linear = BIT(32) - PAGE_SIZE;
    cpu.rip = BIT(32) - 8;
    memset((u8 *)pages + PAGE_SIZE - 8, 'x', 16);
    assert_int_equal(fetch_bytes(&cpu, &mode, bytes), INSN_MAX_LEN);
    assert_int_equal(bytes[14], 'x');
    put_code(PAGE_SIZE + 0x20, cpuid_insn, sizeof(cpuid_insn));
    cpu.rip = BIT(32) + 0x20;
    assert_true(fetch_skip(&cpu, cpuid_insn, sizeof(cpuid_insn)));
    assert_int_equal(cpu.rip, BIT(32) + 0x22);
    /* Otherwise what follows the last byte is at 0. */
    mode = mode32;
    cpu.rip = BIT(32) - 8;
    assert_int_equal(fetch_bytes(&cpu, &mode, bytes), INSN_MAX_LEN);
    assert_int_equal(bytes[14], 'x');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_is_known_at_first, set_up),
        cmocka_unit_test_setup(two_of_a_pair_are_known, set_up),
        cmocka_unit_test_setup(known_as_long_as_its_tables_stay, set_up),
        cmocka_unit_test_setup(what_is_known_is_not_walked_to, set_up),
        cmocka_unit_test_setup(gone_is_gone, set_up),
        cmocka_unit_test_setup(what_was_not_decoded_is_not_known, set_up),
        cmocka_unit_test_setup(only_64_bit_code_is_known, set_up),
        cmocka_unit_test_setup(sizes_of_code, set_up),
        cmocka_unit_test_setup(instructions_lie_anywhere, set_up),
        cmocka_unit_test_setup(bytes_are_read_at_rip, set_up),
        cmocka_unit_test_setup(addresses_wrap_at_4_gib, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
