/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: arch/sha256.c */
/*
 * SHA-256 against what is known: the examples of FIPS 180-2, appendix B, and all lengths around a block
 * in pieces of all sizes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "arch/sha256.h"

static void hash(const void *data, size_t size, size_t piece, char *hex)
{
    struct sha256 s;
    u8 digest[SHA256_SIZE];

    sha256_start(&s);
    for (size_t at = 0; at < size; at += piece)
        sha256_add(&s, (const u8 *)data + at, MIN(piece, size - at));
    sha256_end(&s, digest);
    for (unsigned i = 0; i < SHA256_SIZE; i++)
        sprintf(hex + 2 * i, "%02x", digest[i]);
}

static void known(void **state)
{
    static char million[1000000];
    static const struct {
        const char *text, *digest;
    } cases[] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
    };
    char hex[2 * SHA256_SIZE + 1];

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        hash(cases[i].text, strlen(cases[i].text), 1000, hex);
        assert_string_equal(hex, cases[i].digest);
    }
    memset(million, 'a', sizeof(million));
    hash(million, sizeof(million), 1234, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void pieces_make_no_difference(void **state)
{
    u8 data[200];
    char whole[2 * SHA256_SIZE + 1], hex[2 * SHA256_SIZE + 1], last[2 * SHA256_SIZE + 1] = "";

    (void)state;
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = (u8)(i * 7);
    for (size_t size = 0; size <= sizeof(data); size++) {
        hash(data, size, sizeof(data), whole);
        assert_string_not_equal(whole, last);
        for (size_t piece = 1; piece < 130; piece++) {
            hash(data, size, piece, hex);
            assert_string_equal(hex, whole);
        }
        memcpy(last, whole, sizeof(last));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known),
        cmocka_unit_test(pieces_make_no_difference),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
