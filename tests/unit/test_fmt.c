/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: arch/fmt.c */
/*
 * The log's formatting against the C library's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/log.h"

#define CHECK(...)                                                          \
    do {                                                                    \
        char mine[256], theirs[256];                                        \
        int len = snprintf(theirs, sizeof(theirs), __VA_ARGS__);            \
        assert_int_equal(fmt_string(mine, sizeof(mine), __VA_ARGS__), len); \
        assert_string_equal(mine, theirs);                                  \
    } while (0)

static void test_like_printf(void **state)
{
    (void)state;
    CHECK("plain 100%%");
    CHECK("%d %d %d %d", 0, -1, 2147483647, (int)-2147483648ll);
    CHECK("%u %u %x", 0u, 4294967295u, 0xdeadbeefu);
    CHECK("%ld %lu %lx", -5l, 5ul, 0xfffffffffffffffful);
    CHECK("%lld %llu %llx", (long long)(-9223372036854775807ll - 1), 18446744073709551615ull, 1ull << 63);
    CHECK("%zu %zx", (size_t)12345, (size_t)0xabc);
    CHECK("[%5d] [%5d] [%05d]", 42, -42, 42);
    CHECK("[%016llx] [%4x] [%8xz]", 0x1234ull, 0x12345u, 0xabcu);
    CHECK("[%s] [%10s] [%.3s] [%.4s] [%6.2s]", "abc", "abc", "abcdef", "ab", "abc");
    CHECK("%02x.%x", 0x1fu, 2u);
    CHECK("%s", "");
}

static void test_no_terminator_needed(void **state)
{
    char *exact = malloc(3);

    (void)state;
    /* A table's signature has no end; precision is what bounds it. */
    memcpy(exact, "SIG", 3);
    CHECK("%.3s", exact);
    free(exact);
}

static void test_bounds(void **state)
{
    (void)state;
    for (size_t size = 0; size < 12; size++) {
        char *exact = malloc(size ? size : 1);

        assert_int_equal(fmt_string(exact, size, "%s %d", "hello", 42), 8);
        if (size)
            assert_int_equal(strlen(exact), size - 1 < 8 ? size - 1 : 8);
        free(exact);
    }
}

/* Without the attribute that makes the compiler refuse what is tried here. */
static const char *show(const char *fmt, ...)
{
    static char buf[64];
    va_list args;

    va_start(args, fmt);
    fmt_vstring(buf, sizeof(buf), fmt, args);
    va_end(args);
    return buf;
}

static void test_null_and_unknown(void **state)
{
    (void)state;
    assert_string_equal(show("%s", NULL), "(null)");
    assert_string_equal(show("a %q b %d", 1, 2), "a %q b %d");
    assert_string_equal(show("ends in %"), "ends in %");
    assert_string_equal(show("%-5d.", 1), "%-5d.");
    assert_int_equal(strlen(show("%9999999999d", 1)), 63);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_like_printf),
        cmocka_unit_test(test_no_terminator_needed),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_null_and_unknown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
