/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: arch/nested.c */
/*
 * The nested table: what is declared, what is filled on demand, and that no large page ever covers what was
 * declared otherwise. A software walk of the table is the judge.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/nested.h"
#include "arch/paging.h"
#include "arch/vcpu.h"

/* ---- what the table needs of the hypervisor: pages, whose addresses are also their physical ones ---- */

static void *pages[4096];
static unsigned nr_pages, page_limit;

void *page_alloc(void)
{
    if (nr_pages == page_limit)
        return NULL;
    void *page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
    memset(page, 0, PAGE_SIZE);
    return pages[nr_pages++] = page;
}

void *phys_to_virt(u64 pa)
{
    return (void *)pa;
}

u64 virt_to_phys(const void *va)
{
    return (u64)va;
}

static u64 leaf(u64 pa, unsigned level, bool write)
{
    return pa | 1 | (write ? 2 : 0) | (level > 1 ? 0x80 : 0);
}

static struct vcpu_backend backend = { .nested_leaf = leaf, .nested_link = 3, .nested_1g = true };
const struct vcpu_backend *vcpu_ops = &backend;

static int setup(void **state)
{
    (void)state;
    nr_pages = 0;
    page_limit = ARRAY_SIZE(pages);
    backend.nested_1g = true;
    assert_int_equal(nested_init(), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    while (nr_pages)
        free(pages[--nr_pages]);
    return 0;
}

/* ---- the judge ---- */

struct found {
    enum nested_access access;
    u64 size; /* of the page */
};

static struct found look(u64 gpa)
{
    const u64 *table = (const u64 *)nested_root();

    for (unsigned level = 4;; level--) {
        u64 size = PAGE_SIZE << 9 * (level - 1), entry = table[gpa / size & 511];

        if (!(entry & 1))
            return (struct found){ NESTED_NONE, size };
        if (level == 1 || (entry & 0x80)) {
            u64 address = entry & MASK(51, 12);
            assert_int_equal(address, align_down(gpa, size)); /* the same address, always */
            assert_true(level <= (backend.nested_1g ? 3 : 2));
            return (struct found){ entry & 2 ? NESTED_ALL : NESTED_READ, size };
        }
        table = (const u64 *)(entry & MASK(51, 12));
    }
}

static void assert_maps(u64 gpa, enum nested_access access, u64 size)
{
    struct found f = look(gpa);

    assert_int_equal(f.access, access);
    if (size)
        assert_int_equal(f.size, size);
}

static void fill(u64 gpa)
{
    assert_int_equal(nested_fill(gpa), 0);
    assert_int_equal(look(gpa).access, NESTED_ALL);
}

/* ---- tests ---- */

static void test_nothing_is_mapped_at_first(void **state)
{
    (void)state;
    assert_maps(0, NESTED_NONE, 0);
    assert_maps(0xfee00000, NESTED_NONE, 0);
    assert_int_equal(nested_get(0x1234), NESTED_ALL);
}

static void test_the_largest_page_is_filled(void **state)
{
    (void)state;
    fill(0x12345678);
    assert_maps(0, NESTED_ALL, SIZE_1G);
    assert_maps(SIZE_1G - 1, NESTED_ALL, SIZE_1G);
    assert_maps(SIZE_1G, NESTED_NONE, 0);
    fill(BIT(47) + 5);
    assert_maps(BIT(47), NESTED_ALL, SIZE_1G);
    assert_int_equal(nested_fill(BIT(48)), ERR_RANGE);
}

static void test_without_1g_pages(void **state)
{
    (void)state;
    backend.nested_1g = false;
    fill(SIZE_1G + 3 * SIZE_2M);
    assert_maps(SIZE_1G + 3 * SIZE_2M, NESTED_ALL, SIZE_2M);
    assert_maps(SIZE_1G + 4 * SIZE_2M, NESTED_NONE, SIZE_2M);
}

static void test_pages_around_what_is_declared(void **state)
{
    (void)state;
    const u64 page = 0xfed90000;

    assert_int_equal(nested_set(page, PAGE_SIZE, NESTED_NONE), 0);
    assert_int_equal(nested_get(page + 0xfff), NESTED_NONE);
    assert_int_equal(nested_get(page + 0x1000), NESTED_ALL);
    fill(page + PAGE_SIZE);
    fill(page - 1);
    assert_maps(page - 1, NESTED_ALL, PAGE_SIZE);
    assert_maps(page, NESTED_NONE, PAGE_SIZE);
    fill(0xfea00000);
    assert_maps(0xfea00000, NESTED_ALL, SIZE_2M);
    fill(0x80000000);
    assert_maps(0x80000000, NESTED_ALL, SIZE_1G);
    assert_int_equal(nested_fill(page), ERR_INVAL);
    assert_maps(page, NESTED_NONE, PAGE_SIZE);
}

static void test_a_large_page_is_split(void **state)
{
    (void)state;
    const u64 page = 0x40201000;

    fill(page);
    assert_maps(page, NESTED_ALL, SIZE_1G);
    assert_int_equal(nested_set(page, 2 * PAGE_SIZE, NESTED_NONE), 0);
    assert_maps(page, NESTED_NONE, PAGE_SIZE);
    assert_maps(page + PAGE_SIZE, NESTED_NONE, PAGE_SIZE);
    /* What was around it still is. */
    assert_maps(page - 1, NESTED_ALL, PAGE_SIZE);
    assert_maps(page + 2 * PAGE_SIZE, NESTED_ALL, PAGE_SIZE);
    assert_maps(0x40000000, NESTED_ALL, SIZE_2M);
    assert_maps(0x7fffffff, NESTED_ALL, SIZE_2M);
}

static void test_read_only_is_mapped_at_once(void **state)
{
    (void)state;
    const u64 ecam = 0xb0000000, size = 0x10000000;

    assert_int_equal(nested_set(ecam, size, NESTED_READ), 0);
    for (u64 at = ecam; at < ecam + size; at += SIZE_2M)
        assert_maps(at, NESTED_READ, SIZE_2M);
    assert_maps(ecam - 1, NESTED_NONE, 0);
    assert_maps(ecam + size, NESTED_NONE, 0);
    assert_int_equal(nested_set(0xc0000000, SIZE_1G, NESTED_READ), 0);
    assert_maps(0xc0000000, NESTED_READ, SIZE_1G);
}

static void test_read_only_splits_to_read_only(void **state)
{
    (void)state;
    assert_int_equal(nested_set(0, SIZE_1G, NESTED_READ), 0);
    assert_int_equal(nested_set(SIZE_2M, PAGE_SIZE, NESTED_NONE), 0);
    assert_maps(0, NESTED_READ, SIZE_2M);
    assert_maps(SIZE_2M, NESTED_NONE, PAGE_SIZE);
    assert_maps(SIZE_2M + PAGE_SIZE, NESTED_READ, PAGE_SIZE);
}

static void test_given_back(void **state)
{
    (void)state;
    const u64 base = 0x80000000;

    assert_int_equal(nested_set(base, SIZE_2M, NESTED_READ), 0);
    assert_int_equal(nested_set(base, SIZE_2M, NESTED_ALL), 0);
    assert_int_equal(nested_get(base), NESTED_ALL);
    assert_maps(base, NESTED_NONE, 0); /* the next touch fills it */
    fill(base);
}

static void test_the_last_declaration_counts(void **state)
{
    (void)state;
    assert_int_equal(nested_set(0x10000, 0x10000, NESTED_NONE), 0);
    assert_int_equal(nested_set(0x14000, 0x4000, NESTED_READ), 0);
    assert_int_equal(nested_get(0x13fff), NESTED_NONE);
    assert_int_equal(nested_get(0x14000), NESTED_READ);
    assert_int_equal(nested_get(0x17fff), NESTED_READ);
    assert_int_equal(nested_get(0x18000), NESTED_NONE);
    assert_int_equal(nested_set(0x12000, 0x10000, NESTED_ALL), 0);
    assert_int_equal(nested_get(0x11fff), NESTED_NONE);
    assert_int_equal(nested_get(0x12000), NESTED_ALL);
    assert_int_equal(nested_get(0x1ffff), NESTED_ALL);
}

static void test_refusals(void **state)
{
    (void)state;
    assert_int_equal(nested_set(0x1000, 0, NESTED_NONE), ERR_INVAL);
    assert_int_equal(nested_set(0x1001, 0x1000, NESTED_NONE), ERR_INVAL);
    assert_int_equal(nested_set(0x1000, 0x800, NESTED_NONE), ERR_INVAL);
    assert_int_equal(nested_set(-0x1000ull, 0x2000, NESTED_NONE), ERR_INVAL);
    assert_int_equal(nested_set(BIT(48), 0x1000, NESTED_NONE), ERR_INVAL);
    assert_int_equal(nested_get(-0x1000ull), NESTED_ALL);
}

/* As many declarations as there is memory for. */
static void test_many(void **state)
{
    (void)state;
    for (u64 at = 0; at < 1000 * SIZE_2M; at += SIZE_2M)
        assert_int_equal(nested_set(at, PAGE_SIZE, NESTED_NONE), 0);
    for (u64 at = 0; at < 1000 * SIZE_2M; at += SIZE_2M) {
        assert_int_equal(nested_fill(at), ERR_INVAL);
        fill(at + PAGE_SIZE);
    }
}

/* What says already what it should costs no table. */
static void test_nothing_new(void **state)
{
    (void)state;
    assert_int_equal(nested_set(0, SIZE_1G, NESTED_READ), 0);
    assert_int_equal(nested_set(SIZE_1G, SIZE_1G, NESTED_NONE), 0);
    unsigned before = nr_pages;
    assert_int_equal(nested_set(SIZE_2M, PAGE_SIZE, NESTED_READ), 0);
    assert_int_equal(nested_set(SIZE_1G + SIZE_2M, PAGE_SIZE, NESTED_NONE), 0);
    assert_int_equal(nested_set(2 * SIZE_1G, PAGE_SIZE, NESTED_ALL), 0);
    assert_int_equal(nr_pages, before);
    assert_maps(SIZE_2M, NESTED_READ, SIZE_1G);
}

static void test_pool_exhausted(void **state)
{
    (void)state;
    page_limit = nr_pages + 1; /* one table: the first fill takes it */
    fill(0);
    assert_int_equal(nested_fill(BIT(40)), ERR_NOMEM);
    assert_maps(BIT(40), NESTED_NONE, 0);
    assert_int_equal(nested_set(SIZE_2M, PAGE_SIZE, NESTED_NONE), ERR_NOMEM);
    page_limit = ARRAY_SIZE(pages);
    /* Nothing is half linked: it works now. */
    assert_int_equal(nested_set(SIZE_2M, PAGE_SIZE, NESTED_NONE), 0);
    assert_maps(SIZE_2M, NESTED_NONE, PAGE_SIZE);
}

/* Against a map that remembers every page. */
static void test_random(void **state)
{
    (void)state;
    enum { PAGES = 3 * 512 * 2 };
    static u8 model[PAGES];
    const u64 base = SIZE_1G - 512 * 2 * PAGE_SIZE;

    srand(1);
    memset(model, NESTED_ALL, sizeof(model));
    for (unsigned round = 0; round < 300; round++) {
        u64 first = (u64)rand() % PAGES, count = 1 + (u64)rand() % (rand() % 4 ? 8 : 1200);
        enum nested_access access = (enum nested_access)(rand() % 3);

        count = MIN(count, PAGES - first);
        assert_int_equal(nested_set(base + first * PAGE_SIZE, count * PAGE_SIZE, access), 0);
        memset(model + first, access, count);
        for (unsigned i = 0; i < 50; i++) {
            u64 page = (u64)rand() % PAGES;
            int err = nested_fill(base + page * PAGE_SIZE);
            assert_int_equal(err, model[page] == NESTED_NONE ? ERR_INVAL : 0);
        }
        for (u64 page = 0; page < PAGES; page++) {
            enum nested_access got = look(base + page * PAGE_SIZE).access;
            assert_int_equal(nested_get(base + page * PAGE_SIZE), model[page]);
            /* What everyone may touch need not be mapped yet. */
            if (model[page] != NESTED_ALL || got != NESTED_NONE)
                assert_int_equal(got, model[page]);
        }
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_is_mapped_at_first),
        TEST(test_the_largest_page_is_filled),
        TEST(test_without_1g_pages),
        TEST(test_pages_around_what_is_declared),
        TEST(test_a_large_page_is_split),
        TEST(test_read_only_is_mapped_at_once),
        TEST(test_read_only_splits_to_read_only),
        TEST(test_given_back),
        TEST(test_the_last_declaration_counts),
        TEST(test_refusals),
        TEST(test_many),
        TEST(test_nothing_new),
        TEST(test_pool_exhausted),
        TEST(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
