/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: arch/acpi.c */
/*
 * Finding ACPI tables in firmware's memory, whole and broken.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/acpi.h"
#include "arch/log.h"
#include "arch/paging.h"

#define MEMORY 0x200000
#define RSDP   0xf5a40
#define XSDT   0x101000
#define RSDT   0x102000
#define FADT   0x103000
#define DSDT   0x104000
#define DMAR   (MEMORY - 128) /* at the end: reading behind it is caught */

/* --- the world acpi.c sees --- */

static u8 *memory;
static unsigned lines;
static char last_line[256];

void *direct_map(u64 pa, u64 size)
{
    return pa < MEMORY && size && size <= MEMORY - pa ? memory + pa : NULL;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    va_list args;

    (void)level;
    va_start(args, fmt);
    vsnprintf(last_line, sizeof(last_line), fmt, args);
    va_end(args);
    lines++;
}

/* --- firmware --- */

static void put32(u64 pa, u32 v)
{
    memcpy(memory + pa, &v, sizeof(v));
}

static void put64(u64 pa, u64 v)
{
    memcpy(memory + pa, &v, sizeof(v));
}

static void fix(u64 pa, size_t at, size_t size)
{
    u8 total = 0;

    memory[pa + at] = 0;
    for (size_t i = 0; i < size; i++)
        total = (u8)(total + memory[pa + i]);
    memory[pa + at] = (u8)-total;
}

static void table(u64 pa, const char *signature, u32 length)
{
    memcpy(memory + pa, signature, 4);
    put32(pa + 4, length);
    fix(pa, 9, length);
}

static void rsdp(u64 pa, u8 revision)
{
    memcpy(memory + pa, "RSD PTR ", 8);
    memory[pa + 15] = revision;
    put32(pa + 16, RSDT);
    fix(pa, 8, 20);
    if (revision >= 2) {
        put32(pa + 20, 36);
        put64(pa + 24, XSDT);
        fix(pa, 32, 36);
    }
}

static int setup(void **state)
{
    (void)state;
    memory = calloc(1, MEMORY);
    lines = 0;
    put64(XSDT + 36, FADT);
    put64(XSDT + 44, DMAR);
    table(XSDT, "XSDT", 52);
    put32(RSDT + 36, DMAR);
    table(RSDT, "RSDT", 40);
    put32(FADT + 40, DSDT);
    table(FADT, "FACP", 116);
    table(DSDT, "DSDT", 5000);
    table(DMAR, "DMAR", 128);
    rsdp(RSDP, 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(memory);
    return 0;
}

/* --- tests --- */

static void test_given(void **state)
{
    (void)state;
    assert_int_equal(acpi_init(RSDP), 0);
    assert_int_equal(acpi_rsdp(), RSDP);
    assert_ptr_equal(acpi_find("DMAR"), memory + DMAR);
    assert_ptr_equal(acpi_find("FACP"), memory + FADT);
    assert_ptr_equal(acpi_find("DSDT"), memory + DSDT);
    assert_null(acpi_find("HPET"));
    assert_int_equal(lines, 0);
}

static void test_searched(void **state)
{
    (void)state;
    assert_int_equal(acpi_init(0), 0);
    assert_int_equal(acpi_rsdp(), RSDP);

    memset(memory + RSDP, 0, 64);
    assert_int_equal(acpi_init(0), ERR_NODEV);
    assert_null(acpi_find("DMAR"));

    /* In the EBDA. */
    memory[0x40e] = 0xc0;
    memory[0x40f] = 0x9f;
    rsdp(0x9fc00 + 1024 - 48, 2);
    assert_int_equal(acpi_init(0), 0);
    assert_int_equal(acpi_rsdp(), 0x9fc00 + 1024 - 48);

    /* At the last place, where only the first version fits. */
    memset(memory + 0x9fc00, 0, 1024);
    rsdp(0xffff0 - 16, 0);
    assert_int_equal(acpi_init(0), 0);
    assert_ptr_equal(acpi_find("DMAR"), memory + DMAR);
    assert_null(acpi_find("FACP"));
}

static void test_revision_1_uses_rsdt(void **state)
{
    (void)state;
    rsdp(RSDP, 0);
    put64(RSDP + 24, 0x4141414141414141); /* not part of it */
    assert_int_equal(acpi_init(RSDP), 0);
    assert_null(acpi_find("FACP"));
    assert_ptr_equal(acpi_find("DMAR"), memory + DMAR);
}

static void test_broken_rsdp(void **state)
{
    (void)state;
    memory[RSDP + 9] ^= 1;
    assert_int_equal(acpi_init(RSDP), ERR_NODEV);
    memory[RSDP + 9] ^= 1;
    assert_int_equal(acpi_init(MEMORY - 8), ERR_NODEV);
    assert_int_equal(acpi_init(~0ull), ERR_NODEV);

    /* The extension is broken: the first part still counts. */
    memory[RSDP + 33] ^= 1;
    assert_int_equal(acpi_init(RSDP), 0);
    assert_null(acpi_find("FACP"));
    rsdp(RSDP, 2);
    put32(RSDP + 20, 0xffffffff);
    assert_int_equal(acpi_init(RSDP), 0);
    assert_null(acpi_find("FACP"));
}

static void test_broken_roots(void **state)
{
    (void)state;
    memory[XSDT + 40] ^= 1;
    assert_int_equal(acpi_init(RSDP), 0); /* falls back to the RSDT */
    assert_null(acpi_find("FACP"));
    assert_int_equal(lines, 1);
    memory[RSDT + 37] ^= 1;
    assert_int_equal(acpi_init(RSDP), ERR_NODEV);
}

static void test_broken_lengths(void **state)
{
    static const u32 lengths[] = { 0, 1, 35, 129, 0x1000000, 0x1000001, 0x7fffffff, 0xffffffff };

    (void)state;
    assert_int_equal(acpi_init(RSDP), 0);
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        lines = 0;
        put32(DMAR + 4, lengths[i]);
        assert_null(acpi_find("DMAR"));
        assert_int_equal(lines, 1);
        assert_non_null(strstr(last_line, "bad length"));
        assert_ptr_equal(acpi_find("FACP"), memory + FADT); /* others are not affected */
    }
}

static void test_checksum(void **state)
{
    (void)state;
    assert_int_equal(acpi_init(RSDP), 0);
    memory[DMAR + 127]++;
    assert_null(acpi_find("DMAR"));
    assert_non_null(strstr(last_line, "DMAR"));
    assert_non_null(strstr(last_line, "checksum"));
    acpi_fix_checksum((struct acpi_header *)(memory + DMAR));
    assert_ptr_equal(acpi_find("DMAR"), memory + DMAR);
}

static void test_broken_entries(void **state)
{
    (void)state;
    put64(XSDT + 36, 0);
    put64(XSDT + 44, ~0ull);
    put64(XSDT + 52, MEMORY - 16);
    put64(XSDT + 60, DMAR);
    table(XSDT, "XSDT", 36 + 4 * 8 + 5); /* and a part of an entry */
    assert_int_equal(acpi_init(RSDP), 0);
    assert_ptr_equal(acpi_find("DMAR"), memory + DMAR);
    assert_null(acpi_find("DSDT"));
}

static void test_dsdt(void **state)
{
    (void)state;
    put64(FADT + 140, DSDT);
    put32(FADT + 40, 0);
    table(FADT, "FACP", 244);
    assert_int_equal(acpi_init(RSDP), 0);
    assert_ptr_equal(acpi_find("DSDT"), memory + DSDT);

    put64(FADT + 140, MEMORY + 5);
    table(FADT, "FACP", 244);
    assert_null(acpi_find("DSDT"));

    /* A FADT that ends before the field. */
    table(FADT, "FACP", 42);
    assert_null(acpi_find("DSDT"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_given),       TEST(test_searched),       TEST(test_revision_1_uses_rsdt),
        TEST(test_broken_rsdp), TEST(test_broken_roots),   TEST(test_broken_lengths),
        TEST(test_checksum),    TEST(test_broken_entries), TEST(test_dsdt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
