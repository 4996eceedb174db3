/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: arch/vmx/ept.c arch/nested.c arch/mtrr.c */
/*
 * Memory types under EPT: each leaf has the type that the MTRRs give, a page with several is split, and when
 * the guest changes a register the CPUs are told to forget after, not before, the table has changed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/cpu.h"
#include "arch/nested.h"
#include "arch/paging.h"
#include "arch/vmx/vmx_int.h"

/* ---- pages, whose addresses are also their physical ones ---- */

static void *pages[256];
static unsigned nr_pages, page_limit = ARRAY_SIZE(pages);

void *page_alloc(void)
{
    if (nr_pages >= page_limit)
        return NULL;
    pages[nr_pages] = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
    return memset(pages[nr_pages++], 0, PAGE_SIZE);
}

void *phys_to_virt(u64 pa)
{
    return (void *)pa;
}

u64 virt_to_phys(const void *va)
{
    return (u64)va;
}

bool rdmsr_safe(u32 msr, u64 *value)
{
    (void)msr;
    (void)value;
    return false;
}

void cpuid(u32 leaf, u32 sub, u32 out[4])
{
    (void)leaf;
    (void)sub;
    memset(out, 0, 4 * sizeof(*out));
}

struct vmx_caps vmx_caps;
static struct vcpu_backend backend = { .nested_leaf = vmx_nested_leaf,
                                       .nested_link = EPT_READ | EPT_WRITE | EPT_EXECUTE,
                                       .nested_1g = true };
const struct vcpu_backend *vcpu_ops = &backend;

/* ---- the judge walks as a CPU does (SDM 3C, 29.3.2) ---- */

struct found {
    bool present, writable;
    int type;
    u64 size;
};

static struct found look(u64 gpa)
{
    const u64 *table = (const u64 *)(vmx_ept_pointer() & MASK(51, 12));

    for (unsigned level = 4;; level--) {
        u64 size = PAGE_SIZE << 9 * (level - 1), entry = table[gpa / size & 511];

        if (!(entry & 7))
            return (struct found){ .size = size };
        assert_true((entry & 5) == 5); /* what can be read can be executed */
        if (level == 1 || entry & BIT(7)) {
            assert_int_equal(entry & MASK(51, 12), align_down(gpa, size));
            return (struct found){ true, entry & 2, (int)(entry >> 3 & 7), size };
        }
        assert_int_equal(entry & 0x78, 0); /* reserved in what leads to a table */
        table = (const u64 *)(entry & MASK(51, 12));
    }
}

static void expect(u64 gpa, int type, u64 size)
{
    assert_int_equal(nested_fill(gpa), 0);
    struct found f = look(gpa);

    assert_true(f.present && f.writable);
    assert_int_equal(f.type, type);
    assert_int_equal(f.size, size);
}

/* ---- the other CPUs ---- */

static struct mtrr_state now;
static const u64 watched[] = { 0x40201000, 0x40200000, 0x40000000, 0xb0000000, 0x90000 };
static unsigned flushes;

void vcpu_flush_all(void)
{
    flushes++;
    for (unsigned i = 0; i < ARRAY_SIZE(watched); i++) {
        struct found f = look(watched[i]);

        if (f.present)
            assert_int_equal(f.type, mtrr_type(&now, align_down(watched[i], f.size), f.size));
    }
}

static void change(void)
{
    unsigned before = flushes;

    vmx_mtrrs_changed(&now);
    assert_int_equal(flushes, before + 1);
}

static int setup(void **state)
{
    (void)state;
    now = (struct mtrr_state){ .present = true, .nr_variable = 2, .phys_bits = 39 };
    now.default_type = TYPE_WB | MTRR_DEFAULT_ON;
    flushes = 0;
    assert_int_equal(nested_init(), 0);
    change();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    while (nr_pages)
        free(pages[--nr_pages]);
    return 0;
}

static void test_pointer(void **state)
{
    (void)state;
    /* Write-back structures, four levels (25.6.11). */
    assert_int_equal(vmx_ept_pointer() & MASK(11, 0), 6 | 3 << 3);
}

static void test_a_page_of_another_type(void **state)
{
    (void)state;
    expect(0x40201000, TYPE_WB, SIZE_1G);
    now.base[0] = 0x40201000 | TYPE_UC;
    now.mask[0] = (MASK(38, 12)) | MTRR_MASK_VALID;
    change();
    expect(0x40201000, TYPE_UC, PAGE_SIZE);
    expect(0x40200000, TYPE_WB, PAGE_SIZE);
    expect(0x40202000, TYPE_WB, PAGE_SIZE);
    expect(0x40000000, TYPE_WB, SIZE_2M);
    expect(0x80000000, TYPE_WB, SIZE_1G);
    now.base[0] = 0x40201000 | TYPE_WT;
    change();
    expect(0x40201000, TYPE_WT, PAGE_SIZE);
    now.mask[0] = 0;
    change();
    expect(0x40201000, TYPE_WB, PAGE_SIZE);
}

static void test_all_off(void **state)
{
    (void)state;
    expect(0x40201000, TYPE_WB, SIZE_1G);
    now.default_type &= ~MTRR_DEFAULT_ON;
    change();
    expect(0x40201000, TYPE_UC, SIZE_1G);
    now.default_type = TYPE_WB | MTRR_DEFAULT_ON | MTRR_DEFAULT_FIXED;
    memset(now.fixed, TYPE_WB, sizeof(now.fixed));
    now.fixed[1] = 0; /* 80000h to 9FFFFh */
    change();
    expect(0x90000, TYPE_UC, PAGE_SIZE);
    expect(0x7f000, TYPE_WB, PAGE_SIZE);
    expect(0x40201000, TYPE_WB, SIZE_1G);
}

/* What the guest may only read is not filled by its faults: it has to come back by itself. */
static void test_read_only(void **state)
{
    (void)state;
    const u64 ecam = 0xb0000000;

    assert_int_equal(nested_set(ecam, 2 * SIZE_2M, NESTED_READ), 0);
    now.base[1] = (ecam + PAGE_SIZE) | TYPE_UC;
    now.mask[1] = (MASK(38, 12)) | MTRR_MASK_VALID;
    change();
    for (u64 at = ecam; at < ecam + 2 * SIZE_2M; at += PAGE_SIZE) {
        struct found f = look(at);

        assert_true(f.present && !f.writable);
        assert_int_equal(f.type, at == ecam + PAGE_SIZE ? TYPE_UC : TYPE_WB);
    }
}

/* Nor may a fault fill it as writable when there was no memory to put it back. */
static void test_read_only_without_memory(void **state)
{
    (void)state;
    const u64 ecam = 0xb0000000;

    assert_int_equal(nested_set(ecam, 2 * SIZE_2M, NESTED_READ), 0);
    now.base[1] = (ecam + PAGE_SIZE) | TYPE_UC;
    now.mask[1] = (MASK(38, 12)) | MTRR_MASK_VALID;
    page_limit = nr_pages;
    change();
    page_limit = ARRAY_SIZE(pages);
    assert_int_equal(nested_fill(ecam), ERR_INVAL);
    assert_int_equal(nested_get(ecam), NESTED_NONE);
    assert_false(look(ecam).present);
    assert_true(look(ecam + SIZE_2M).present);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_pointer),   TEST(test_a_page_of_another_type),   TEST(test_all_off),
        TEST(test_read_only), TEST(test_read_only_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
