/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: boot/efi/config.c boot/efi/sections.c */
/*
 * What the EFI application reads from outside: sluice.cfg, load options, and the sections of its own file.
 */
#include "boot/efi/config.h"
#include "boot/efi/sections.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct config config;
static struct load_options options;

/* From memory of exactly that size, so that the sanitizer sees one byte too many. */
static const char *parse(const char *text, size_t size, unsigned *line)
{
    char *copy = malloc(size ? size : 1);

    memcpy(copy, text, size);
    const char *wrong = config_parse(copy, size, &config, line);
    free(copy);
    return wrong;
}

static void test_config(void **state)
{
    static const char text[] = "# a comment\n\n  options mem=64M \r\noptions\tloglevel=debug\n"
                               "kernel a/b  x=1  y=2 \ninitrd c\nmodule d e\nmodule f";
    unsigned line;

    (void)state;
    assert_null(parse(text, sizeof(text) - 1, &line));
    assert_string_equal(config.options, "mem=64M loglevel=debug");
    assert_int_equal(config.nr_files, 4);
    assert_string_equal(config.files[0].path, "a/b");
    assert_string_equal(config.files[0].cmdline, "x=1  y=2");
    assert_string_equal(config.files[1].path, "c");
    assert_string_equal(config.files[1].cmdline, "");
    assert_string_equal(config.files[2].cmdline, "e");
    assert_string_equal(config.files[3].path, "f");

    assert_null(parse("", 0, &line));
    assert_int_equal(config.nr_files, 0);
}

static void test_config_nonsense(void **state)
{
    static const struct {
        const char *text;
        size_t size;
        unsigned line;
        const char *wrong;
    } cases[] = {
#define CASE(text, line, wrong) { text, sizeof(text) - 1, line, wrong }
        CASE("# fine\nboot it\n", 2, "begins with none of"),
        CASE("kernel a\0b\n", 1, "not text"),
        CASE("kernel\n", 1, "name is missing"),
        CASE("kernel a\nkernel b\n", 2, "the only one"),
        CASE("initrd a\n", 1, "follow the kernel"),
        CASE("kernel a\nmodule b\ninitrd c\n", 3, "follow the kernel"),
        CASE("module a\n", 1, "before modules"),
        CASE("kernels a\n", 1, "begins with none of"),
    };
    static char long_text[8192];
    unsigned line;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *wrong = parse(cases[i].text, cases[i].size, &line);
        assert_non_null(wrong);
        assert_non_null(strstr(wrong, cases[i].wrong));
        assert_int_equal(line, cases[i].line);
    }

    memset(long_text, 'a', sizeof(long_text));
    memcpy(long_text, "kernel ", 7);
    assert_non_null(parse(long_text, 7 + CONFIG_PATH_MAX, &line));
    assert_null(parse(long_text, 7 + CONFIG_PATH_MAX - 1, &line));
    memcpy(long_text, "kernel a ", 9);
    assert_non_null(parse(long_text, 9 + BOOT_CMDLINE_MAX, &line));
    assert_null(parse(long_text, 9 + BOOT_CMDLINE_MAX - 1, &line));
    memcpy(long_text, "options  ", 9);
    assert_non_null(parse(long_text, 9 + BOOT_CMDLINE_MAX, &line));
    assert_null(parse(long_text, 9 + BOOT_CMDLINE_MAX - 1, &line));

    char many[(BOOT_MAX_MODULES + 2) * 16] = "kernel a\n";
    for (unsigned i = 0; i < BOOT_MAX_MODULES; i++)
        strcat(many, "module a\n");
    assert_non_null(parse(many, strlen(many), &line));
    assert_int_equal(line, BOOT_MAX_MODULES + 1);
}

static void test_load_options(void **state)
{
    char text[BOOT_CMDLINE_MAX + 100];

    (void)state;
    assert_null(load_options_parse("", &options));
    assert_string_equal(options.options, "");

    assert_null(load_options_parse("FS0:\\Sluice.EFI mem=64M config=x.cfg  ats=off -- a  -- b ", &options));
    assert_string_equal(options.config, "x.cfg");
    assert_string_equal(options.options, "mem=64M ats=off");
    assert_string_equal(options.guest_words, "a  -- b");

    /* Only the first word can be the name of the file. */
    assert_null(load_options_parse("mem=64M x.efi", &options));
    assert_string_equal(options.options, "mem=64M x.efi");

    assert_non_null(load_options_parse("config=", &options));
    memset(text, 'a', sizeof(text));
    text[BOOT_CMDLINE_MAX] = 0;
    assert_non_null(load_options_parse(text, &options));
    text[BOOT_CMDLINE_MAX - 1] = 0;
    assert_null(load_options_parse(text, &options));
}

static void test_words(void **state)
{
    char text[8] = "";

    (void)state;
    assert_true(words_append(text, sizeof(text), "ab"));
    assert_true(words_append(text, sizeof(text), ""));
    assert_string_equal(text, "ab");
    assert_false(words_append(text, sizeof(text), "cdefg"));
    assert_string_equal(text, "ab");
    assert_true(words_append(text, sizeof(text), "cdef"));
    assert_string_equal(text, "ab cdef");
}

/* A PE file in memory with one section; every field can be made wrong. */
static void build(u8 *image, u32 pe_at, u32 address, u32 virtual_size, u32 raw_size)
{
    u16 one = 1;

    memset(image, 0, 1024);
    memcpy(image, "MZ", 2);
    memcpy(image + 0x3c, &pe_at, 4);
    if (pe_at > 900)
        return;
    memcpy(image + pe_at, "PE\0\0", 4);
    memcpy(image + pe_at + 6, &one, 2);
    memcpy(image + pe_at + 24, ".linux\0\0", 8);
    memcpy(image + pe_at + 32, &virtual_size, 4);
    memcpy(image + pe_at + 36, &address, 4);
    memcpy(image + pe_at + 40, &raw_size, 4);
}

static void test_sections(void **state)
{
    u8 *image = malloc(1024);
    const void *data;
    u64 size;

    (void)state;
    build(image, 0x40, 512, 100, 512);
    assert_true(section_find(image, 1024, ".linux", &data, &size));
    assert_ptr_equal(data, image + 512);
    assert_int_equal(size, 100);
    assert_false(section_find(image, 1024, ".lin", &data, &size));
    assert_false(section_find(image, 1024, ".linuxes", &data, &size));
    build(image, 0x40, 512, 0, 512);
    assert_true(section_find(image, 1024, ".linux", &data, &size));
    assert_int_equal(size, 512);

    static const struct {
        u32 pe_at, address, virtual_size;
    } broken[] = {
        { 0x40, 512, 513 }, { 0x40, 1025, 1 },        { 0x40, 0xffffffff, 0xffffffff },
        { 1000, 512, 100 }, { 0xfffffff0, 512, 100 },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(broken); i++) {
        build(image, broken[i].pe_at, broken[i].address, broken[i].virtual_size, 0);
        assert_false(section_find(image, 1024, ".linux", &data, &size));
    }
    build(image, 0x40, 512, 100, 512);
    for (u64 cut = 0; cut < 0x40 + 24 + 40; cut++)
        assert_false(section_find(image, cut, ".linux", &data, &size));
    free(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config),       cmocka_unit_test(test_config_nonsense),
        cmocka_unit_test(test_load_options), cmocka_unit_test(test_words),
        cmocka_unit_test(test_sections),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
