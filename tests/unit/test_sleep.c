/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/sleep.c */
/* Sleep registers: S5 (and S4) pass, everything else is refused, by any width, at any alignment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>
#include "arch/acpi.h"
#include "hv/sleep.h"

static union {
    struct acpi_header header;
    u8 bytes[276];
} fadt, dsdt, ssdt;
static bool has_fadt, has_dsdt, has_ssdt;

struct acpi_header *acpi_find(const char signature[4])
{
    if (!memcmp(signature, "FACP", 4))
        return has_fadt ? &fadt.header : NULL;
    if (!memcmp(signature, "DSDT", 4))
        return has_dsdt ? &dsdt.header : NULL;
    return has_ssdt ? &ssdt.header : NULL;
}

/* Name (\_S5, Package () { a, b, 0, 0 }) */
static void add_name(u8 *table, unsigned at, const char *name, u8 a, u8 b)
{
    const u8 code[] = { 0x08, name[0], name[1], name[2], name[3], 0x12, 0x0a, 0x04, 0x0a, a, 0x0a, b, 0, 0 };

    memcpy(table + at, code, sizeof(code));
}

static void set(u8 *table, unsigned off, unsigned width, u64 value)
{
    memcpy(table + off, &value, width);
}

static int set_up(void **state)
{
    (void)state;
    memset(&fadt, 0, sizeof(fadt));
    memset(&dsdt, 0xee, sizeof(dsdt));
    memset(&ssdt, 0xee, sizeof(ssdt));
    memcpy(fadt.header.signature, "FACP", 4);
    fadt.header.length = dsdt.header.length = ssdt.header.length = sizeof(fadt);
    has_fadt = has_dsdt = true;
    has_ssdt = false;
    set(fadt.bytes, 64, 4, 0x604);
    add_name(dsdt.bytes, 60, "_S3_", 1, 1);
    add_name(dsdt.bytes, 90, "_S4_", 2, 2);
    add_name(dsdt.bytes, 120, "_S5_", 7, 6);
    return 0;
}

static enum sleep_verdict judge(u64 address, unsigned width, u64 value)
{
    u8 type;

    u64 after = value;
    enum sleep_verdict verdict = sleep_judge(SLEEP_IO, address, width, &after, &type);

    /* Exactly the refused bit goes, and judged again nothing is left to refuse. */
    assert_int_equal(__builtin_popcountll(value & ~after), verdict == SLEEP_REFUSED);
    assert_int_equal(after & ~value, 0);
    assert_true(verdict != SLEEP_REFUSED ||
                sleep_judge(SLEEP_IO, address, width, &after, &type) == SLEEP_NOTHING);
    return verdict;
}

static enum sleep_verdict judge_in(enum sleep_space space, u64 value, u8 *type)
{
    return sleep_judge(space, 0xfed1f000, 1, &value, type);
}

static void only_off_passes(void **state)
{
    (void)state;
    assert_int_equal(sleep_init(), 1);
    assert_true(sleep_can_switch_off());
    for (unsigned type = 0; type < 8; type++) {
        enum sleep_verdict want = type == 7 || type == 2 ? SLEEP_OFF : SLEEP_REFUSED;
        assert_int_equal(judge(0x604, 2, 0x2001 | type << 10), want);
        assert_int_equal(judge(0x604, 4, 0x2001 | type << 10), want);
        assert_int_equal(judge(0x605, 1, 0x20 | type << 2), want);
        assert_int_equal(judge(0x602, 4, (u64)(0x2001 | type << 10) << 16), want);
        assert_int_equal(judge(0x604, 2, 1 | type << 10), SLEEP_NOTHING);
    }
    assert_int_equal(judge(0x604, 1, 0xff), SLEEP_NOTHING);
    assert_int_equal(judge(0x606, 2, 0xffff), SLEEP_NOTHING);
    assert_int_equal(judge(0x601, 4, ~0u), SLEEP_NOTHING);
}

static void both_blocks_and_their_own_types(void **state)
{
    (void)state;
    set(fadt.bytes, 68, 4, 0x704);
    set(fadt.bytes, 172, 1, SLEEP_IO);
    set(fadt.bytes, 176, 8, 0x804); /* stands for 0x604 */
    assert_int_equal(sleep_init(), 2);
    assert_int_equal(judge(0x604, 2, 0x2000), SLEEP_NOTHING);
    assert_int_equal(judge(0x804, 2, 0x2000 | 7 << 10), SLEEP_OFF);
    assert_int_equal(judge(0x704, 2, 0x2000 | 7 << 10), SLEEP_REFUSED);
    assert_int_equal(judge(0x704, 2, 0x2000 | 6 << 10), SLEEP_OFF);
}

static void sleep_control_register_in_memory(void **state)
{
    u8 type = 0;

    (void)state;
    set(fadt.bytes, 64, 4, 0);
    set(fadt.bytes, 248, 8, 0xfed1f000);
    assert_int_equal(sleep_init(), 1);
    assert_int_equal(sleep_register_at(0)->space, SLEEP_MEMORY);
    assert_int_equal(judge_in(SLEEP_MEMORY, 0x20 | 1 << 2, &type), SLEEP_REFUSED);
    assert_int_equal(type, 1);
    assert_int_equal(judge_in(SLEEP_MEMORY, 0x20 | 7 << 2, &type), SLEEP_OFF);
    assert_int_equal(judge_in(SLEEP_IO, 0x20 | 1 << 2, &type), SLEEP_NOTHING);
}

static void without_tables_nothing_passes(void **state)
{
    (void)state;
    has_dsdt = false;
    assert_int_equal(sleep_init(), 1);
    assert_false(sleep_can_switch_off());
    assert_int_equal(judge(0x604, 2, 0x3c00), SLEEP_REFUSED);
    assert_int_equal(judge(0x604, 2, 0x2000), SLEEP_REFUSED);
    has_fadt = false;
    assert_int_equal(sleep_init(), 0);
    assert_null(sleep_register_at(0));
}

/* What lies behind a table's end is not read, and a package may end with the table. */
static void packages_at_the_end(void **state)
{
    static const u8 one_zero[] = { 0x08, '\\', '_', 'S', '5', '_', 0x12, 0x06, 0x04, 0x01, 0x00 };
    static const u8 five[] = { 0x08, '\\', '_', 'S', '5', '_', 0x12, 0x06, 0x04, 0x0a, 0x05 };
    static const u8 long_form[] = { 0x08, '\\', '_', 'S', '5', '_', 0x12, 0x46, 0x00, 0x04, 0x01 };
    static const u8 word[] = { 0x08, '\\', '_', 'S', '5', '_', 0x12, 0x06, 0x04, 0x0b, 0x05 };
    static const u8 no_package[] = { 0x08, '\\', '_', 'S', '5', '_', 0x11, 0x06, 0x04, 0x01, 0x00 };
    static const struct {
        const u8 *code;
        u32 length;
        bool known;
        u8 type[2];
    } t[] = {
        { one_zero, 9, false, { 0 } },    { one_zero, 10, true, { 1, 1 } },  { one_zero, 11, true, { 1, 0 } },
        { five, 9, false, { 0 } },        { five, 10, false, { 0 } },        { five, 11, true, { 5, 5 } },
        { long_form, 10, false, { 0 } },  { long_form, 11, true, { 1, 1 } }, { word, 11, false, { 0 } },
        { no_package, 11, false, { 0 } },
    };

    (void)state;
    set(fadt.bytes, 68, 4, 0x704);
    set(fadt.bytes, 248, 8, 0xfed1f000); /* all three registers */
    has_dsdt = false;
    has_ssdt = true;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        memcpy(ssdt.bytes + 50, t[i].code, sizeof(one_zero));
        ssdt.header.length = 50 + t[i].length;
        assert_int_equal(sleep_init(), 3);
        assert_int_equal(sleep_can_switch_off(), t[i].known);
        if (!t[i].known)
            continue;
        assert_int_equal(judge(0x604, 2, 0x2000 | t[i].type[0] << 10), SLEEP_OFF);
        assert_int_equal(judge(0x704, 2, 0x2000 | t[i].type[1] << 10), SLEEP_OFF);
        assert_int_equal(judge(0x704, 2, 0x2000 | 3 << 10), SLEEP_REFUSED);
    }
    assert_null(sleep_register_at(3));
    assert_int_equal(judge(0x604, 1, 0x3c00), SLEEP_NOTHING); /* no more is written than the width says */
    assert_int_equal(judge(0x900, 2, 0x3c00), SLEEP_NOTHING);
}

/* The first name there is wins, and what lies in a table's header is none of its names. */
static void the_first_name(void **state)
{
    (void)state;
    set(dsdt.bytes, 35, 1, 0x08);
    memcpy(dsdt.bytes + 36, "_S5_\x12\x06\x04\x01\x01", 9);
    assert_int_equal(sleep_init(), 1);
    assert_int_equal(judge(0x604, 2, 0x2000 | 1 << 10), SLEEP_REFUSED);
    assert_int_equal(judge(0x604, 2, 0x2000 | 7 << 10), SLEEP_OFF);
    add_name(dsdt.bytes, 140, "_S5_", 3, 3);
    assert_int_equal(sleep_init(), 1);
    assert_int_equal(judge(0x604, 2, 0x2000 | 3 << 10), SLEEP_REFUSED);
    add_name(dsdt.bytes, 37, "_S5_", 4, 4);
    assert_int_equal(sleep_init(), 1);
    assert_int_equal(judge(0x604, 2, 0x2000 | 4 << 10), SLEEP_OFF);
}

static void types_in_another_table_and_short_forms(void **state)
{
    static const u8 zeroes[] = { 0x08, '\\', '_', 'S', '5', '_', 0x12, 0x06, 0x04, 0x00, 0x00, 0x00, 0x00 };

    (void)state;
    memset(&dsdt.bytes[36], 0xee, sizeof(dsdt) - 36);
    memcpy(ssdt.bytes + 50, zeroes, sizeof(zeroes));
    has_ssdt = true;
    assert_int_equal(sleep_init(), 1);
    assert_int_equal(judge(0x604, 2, 0x2000), SLEEP_OFF);
    assert_int_equal(judge(0x604, 2, 0x2400), SLEEP_REFUSED);
}

/* A package cut off by the table's end, at each possible place: no read behind it. */
static void cut_tables(void **state)
{
    (void)state;
    for (u32 length = 36; length < 140; length++) {
        dsdt.header.length = length;
        (void)sleep_init();
        assert_true(length < 130 || sleep_can_switch_off());
        assert_true(length >= 130 || !sleep_can_switch_off());
    }
    dsdt.header.length = sizeof(dsdt);
    for (u32 length = 36; length <= sizeof(fadt); length++) {
        fadt.header.length = length;
        assert_int_equal(sleep_init(), length >= 68);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(only_off_passes, set_up),
        cmocka_unit_test_setup(both_blocks_and_their_own_types, set_up),
        cmocka_unit_test_setup(sleep_control_register_in_memory, set_up),
        cmocka_unit_test_setup(without_tables_nothing_passes, set_up),
        cmocka_unit_test_setup(types_in_another_table_and_short_forms, set_up),
        cmocka_unit_test_setup(cut_tables, set_up),
        cmocka_unit_test_setup(the_first_name, set_up),
        cmocka_unit_test_setup(packages_at_the_end, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
