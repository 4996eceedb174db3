/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/options.c arch/fmt.c */
/* The command line: every option, and one clear refusal for everything else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "arch/log.h"
#include "arch/serial.h"
#include "hv/options.h"

enum log_level log_threshold;

static jmp_buf refused;
static char refusal[512], warning[512];
static unsigned warnings;

void refuse(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(refusal, sizeof(refusal), fmt, args);
    va_end(args);
    longjmp(refused, 1);
}

static u32 serial_port;

void serial_use(u16 port)
{
    serial_port = port;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    va_list args;

    assert_int_equal(level, LOG_WARN);
    va_start(args, fmt);
    vsnprintf(warning, sizeof(warning), fmt, args);
    va_end(args);
    warnings++;
}

/* NULL: accepted. */
static const char *parse(const char *line)
{
    if (setjmp(refused))
        return refusal;
    options_parse(line);
    return NULL;
}

static void defaults_are_safe(void **state)
{
    (void)state;
    assert_null(parse(""));
    assert_int_equal(options.iommu.dtlb, DTLB_ALWAYS);
    assert_int_equal(options.iommu.ats, ATS_LISTED);
    assert_int_equal(options.memory, 0);
    options_warn();
    assert_int_equal(warnings, 0);
}

static void every_option_is_taken(void **state)
{
    (void)state;
    assert_null(
        parse("/boot/sluice.elf  mem=48M dtlb=guest\tats=all wait=0 loglevel=debug on-shutdown=halt "));
    assert_int_equal(options.memory, 48 << 20);
    assert_int_equal(options.iommu.dtlb, DTLB_GUEST);
    assert_int_equal(options.iommu.ats, ATS_ALL);
    assert_int_equal(options.iommu.wait_us, 0);
    assert_int_equal(log_threshold, LOG_DEBUG);
    assert_true(options.shutdown_halt);
    assert_null(parse("dtlb=cm ats=off on-shutdown=reset loglevel=err"));
    assert_int_equal(options.iommu.dtlb, DTLB_CM);
    assert_int_equal(options.iommu.ats, ATS_OFF);
    assert_false(options.shutdown_halt);
    assert_null(parse("iommu=off dtlb=always"));
    assert_true(options.iommu_off);
    assert_null(parse("iommu=on"));
    assert_false(options.iommu_off);
}

static void who_gives_up_a_promise_is_warned(void **state)
{
    static const struct {
        const char *line, *warning;
        unsigned warnings;
    } t[] = { { "dtlb=guest", "dtlb=guest", 1 },
              { "dtlb=cm", "dtlb=cm", 1 },
              { "dtlb=cm ats=all", "ats=all", 2 },
              { "ats=listed dtlb=always", "", 0 },
              { "ats=off", "", 0 },
              { "firststage=direct", "firststage=direct", 1 },
              { "iommu=off", "iommu=off", 1 }, /* nothing else matters then */
              { "iommu=on", "firststage=direct", 1 },
              { "firststage=nested ats=listed", "", 0 } };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        warnings = 0;
        warning[0] = 0;
        assert_null(parse(t[i].line));
        options_warn();
        assert_int_equal(warnings, t[i].warnings);
        assert_non_null(strstr(warning, t[i].warning));
    }
}

/* A word is taken as it is, or refused: half of it might mean something else. */
static void words_are_not_cut(void **state)
{
    char line[80];

    (void)state;
    for (unsigned len = 62; len <= 64; len++) {
        memset(line, 'a', len);
        line[len] = 0;
        assert_non_null(strstr(parse(line), len < 64 ? "unknown option 'aaaa" : "option 'aaaa"));
        assert_int_equal(strstr(refusal, "...' is too long") != NULL, len == 64);
        memset(line, '0', len);
        memcpy(line, "wait=", 5);
        line[len - 1] = '7';
        assert_int_equal(!parse(line), len < 64);
        assert_true(len == 64 || options.iommu.wait_us == 7);
        line[0] = '/'; /* the image's path may be long */
        assert_null(parse(line));
    }
}

static void sizes(void **state)
{
    (void)state;
    assert_null(parse("mem=1g"));
    assert_int_equal(options.memory, 1 << 30);
    assert_null(parse("mem=33000K"));
    assert_int_equal(options.memory, 34 << 20); /* whole 2 MiB pages */
    assert_null(parse("mem=4294967296"));       /* the most there is */
    assert_int_equal(options.memory, 1ull << 32);
    assert_null(parse("mem=33554432"));
    assert_int_equal(options.memory, 32 << 20);
}

static void limits(void **state)
{
    static const struct {
        const char *line;
        bool good;
    } t[] = { { "wait=1000000", true },    { "wait=1000001", false },
              { "serial=0xff", false },    { "serial=0x100", true },
              { "serial=0xfff8", true },   { "serial=0xfff9", false },
              { "mem=4294967297", false }, { "mem=18446744073743106048", false } }; /* 2^64 + 32 MiB */

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
        assert_int_equal(!parse(t[i].line), t[i].good);
    assert_int_equal(options.iommu.wait_us, 1000000);
    assert_int_equal(serial_port, 0xfff8);
    assert_null(parse("wait=50"));
}

static void nonsense_is_refused(void **state)
{
    static const struct {
        const char *line, *names;
    } cases[] = {
        { "flavour=mint", "unknown option 'flavour'" },
        { "dtlb=always flavour", "unknown option 'flavour'" },
        { "dtlb", "dtlb does not take ''" },
        { "dtlb=always dtlb", "dtlb does not take ''" },
        { "dtlb=", "always|guest|cm" },
        { "dtlb=sometimes", "'sometimes'" },
        { "dtlb=always|guest", "'always|guest'" },
        { "dtlb=alway", "'alway'" },
        { "dtlb=alwaysx", "'alwaysx'" },
        { "DTLB=always", "unknown option" },
        { "=", "unknown option" },
        { "dtlb=always /boot/x", "unknown option" },
        { "mem=", "mem" },
        { "mem=0", "mem" },
        { "mem=-1", "mem" },
        { "mem=5G", "mem" },
        { "mem=99999999999999999999", "mem" },
        { "mem=9223372036854775807G", "mem" },
        { "mem=32MB", "mem" },
        { "mem=0x20", "mem" },
        { "wait=1000001", "wait" },
        { "wait=1ms", "wait" },
        { "wait=1 mem", "mem" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *why = parse(cases[i].line);
        if (!why || !strstr(why, cases[i].names))
            fail_msg("'%s': %s", cases[i].line, why ? why : "accepted");
    }
    assert_non_null(strstr(parse("x"), "on-shutdown=reset|halt"));
}

static void interrupts_are_contained_by_units(void **state)
{
    (void)state;
    assert_non_null(strstr(parse("intr=strict iommu=off"), "needs the VT-d units"));
    assert_non_null(strstr(parse("iommu=off intr=strict"), "needs the VT-d units"));
    assert_null(parse("intr=strict iommu=on"));
    assert_null(parse("intr=guest iommu=off"));
    assert_null(parse("iommu=on"));
}

/* A bit that the specification has given a meaning would be a lie; so would the hint with another policy. */
static void the_hint_takes_a_free_bit(void **state)
{
    static const u8 unassigned[] = { 5, 18, 19, 24, 27, 28, 32, 54, 63 };

    (void)state;
    for (unsigned bit = 0; bit < 70; bit++) {
        char line[32];
        bool good = false;

        for (unsigned i = 0; i < ARRAY_SIZE(unassigned); i++)
            good |= unassigned[i] == bit;
        snprintf(line, sizeof(line), "dtlb=always dtlb-hint=%u", bit);
        const char *why = parse(line);
        assert_int_equal(!why, good);
        if (good)
            assert_int_equal(options.iommu.dtlb_hint, bit);
        else
            assert_non_null(strstr(why, "dtlb-hint"));
    }
    assert_non_null(strstr(parse("dtlb-hint=5 dtlb=guest"), "dtlb=always"));
    assert_non_null(strstr(parse("dtlb=cm dtlb-hint=5"), "dtlb=always"));
    assert_non_null(parse("dtlb-hint=5x"));
    assert_non_null(parse("dtlb-hint="));
    options.iommu.dtlb_hint = 0;
    options.iommu.dtlb = DTLB_ALWAYS;
}

static void serial_takes_a_port(void **state)
{
    (void)state;
    assert_null(parse("serial=0x2f8"));
    assert_int_equal(serial_port, 0x2f8);
    assert_null(parse("serial=none"));
    assert_int_equal(serial_port, 0);
    assert_non_null(parse("serial=0x"));
    assert_non_null(parse("serial=760"));
    assert_non_null(parse("serial=0x60"));
    assert_non_null(parse("serial=0xfff9"));
    assert_non_null(parse("serial=0x1000002f8"));
    assert_non_null(parse("serial=0x2F8"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_safe),
        cmocka_unit_test(every_option_is_taken),
        cmocka_unit_test(who_gives_up_a_promise_is_warned),
        cmocka_unit_test(words_are_not_cut),
        cmocka_unit_test(sizes),
        cmocka_unit_test(limits),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(interrupts_are_contained_by_units),
        cmocka_unit_test(the_hint_takes_a_free_bit),
        cmocka_unit_test(serial_takes_a_port),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
