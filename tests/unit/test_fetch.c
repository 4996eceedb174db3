/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/fetch.c arch/insn.c */
/*
 * Which bytes are taken for the guest's instruction, at the ends of pages and of what is remembered, and what
 * is skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "arch/paging.h"
#include "hv/fetch.h"

/* ---- a guest with a few pages of code ---- */

#define CODE  0x400000ull /* linear, of the first page */
#define PAGES 4

static u8 pages[PAGES][PAGE_SIZE];
/* What a walk reads: entries that all pages share, and then one of each page, which says which that is,
 * or that it is gone (bit 63). */
static u64 upper[WALK_MAX_LEVELS], last[PAGES];
static unsigned levels;
static bool is_device; /* all of it lies where we do not read */
static u64 first_linear;
static unsigned walks;

bool guest_walk(struct vcpu *v, const struct vcpu_mode *mode, u64 linear, enum walk_access access,
                struct walk *w)
{
    bool is_64 = fetch_mode(mode) == INSN_64;
    u64 page = (is_64 ? linear - first_linear : (u32)(linear - first_linear)) / PAGE_SIZE;

    (void)v;
    walks++;
    assert_int_equal(access, WALK_FETCH);
    assert_true(is_64 || linear < BIT(32));
    assert_true(page < PAGES);
    w->levels = levels;
    for (unsigned i = 0; i < levels; i++) {
        w->step[i].entry = i == levels - 1 ? &last[page] : &upper[i];
        w->step[i].value = *w->step[i].entry;
    }
    w->gpa = last[page] % PAGES * PAGE_SIZE + linear % PAGE_SIZE;
    return !(last[page] & BIT(63));
}

volatile void *guest_page(u64 gpa)
{
    return is_device ? NULL : pages[gpa / PAGE_SIZE];
}

static bool has_memory;

void *page_alloc(void)
{
    static u8 page[PAGE_SIZE] __attribute__((aligned(4096)));

    return has_memory ? memset(page, 0, sizeof(page)) : NULL;
}

static struct vcpu cpu;
static struct vcpu_mode mode;
static unsigned retired;

void vcpu_get_mode(struct vcpu *v, struct vcpu_mode *out)
{
    (void)v;
    *out = mode;
}

static bool is_read_alike;

static bool reads_code_as(struct vcpu *v, const struct vcpu_mode *was)
{
    (void)v;
    (void)was;
    return is_read_alike;
}

static void count_retired(struct vcpu *v)
{
    (void)v;
    retired++;
}

static struct vcpu_backend backend = { .reads_code_as = reads_code_as, .retired = count_retired };
const struct vcpu_backend *vcpu_ops = &backend;

static const struct vcpu_mode mode64 = { .efer = EFER_LMA, .cs_attrib = 0xa9b };
static const struct vcpu_mode mode32 = { .cs_attrib = 0xc9b };

static int set_up(void **state)
{
    (void)state;
    memset(pages, 0, sizeof(pages));
    memset(&cpu, 0, sizeof(cpu));
    for (unsigned i = 0; i < PAGES; i++)
        last[i] = i;
    levels = 4;
    retired = walks = 0;
    first_linear = CODE;
    mode = mode64;
    is_device = false;
    is_read_alike = has_memory = true;
    return fetch_init(&cpu);
}

/* Code at that offset from the first page, and RIP there. */
static void put_code(u64 offset, const void *bytes, unsigned size)
{
    memcpy((u8 *)pages + offset, bytes, size);
    cpu.rip = CODE + offset;
}

static enum fetch_result fetch(struct fetched **f)
{
    return fetch_insn(&cpu, &mode, f);
}

static const u8 store[] = { 0x89, 0x07 };      /* mov [rdi], eax */
static const u8 load[] = { 0x48, 0x8b, 0x07 }; /* mov rax, [rdi] */
static const u8 cpuid_insn[] = { 0x0f, 0xa2 };

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

/* ---- what it is ---- */

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
        cmocka_unit_test_setup(plain_moves, set_up),
        cmocka_unit_test_setup(prefixes_are_skipped, set_up),
        cmocka_unit_test_setup(no_prefix_is_skipped_for_one, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
