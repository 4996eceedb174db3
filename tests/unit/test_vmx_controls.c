/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: arch/vmx/controls.c arch/mtrr.c */
/*
 * Which controls are chosen on CPUs of several generations, what is refused by name, and MTRR arithmetic.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "arch/cpu.h"
#include "arch/vmx/controls.h"

/* What the registers of this machine hold is not asked here. */
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

struct cpu {
    const char *name;
    struct vmx_caps caps;
    u32 proc2; /* what must be chosen of what is optional */
    bool has_1g;
};

#define DEFAULTS                                                                           \
    .pin = 0x0000007f00000016, .proc = 0xfff9fffe0401e172, .true_pin = 0x0000007f00000016, \
    .true_proc = 0xfff9fffe04006172, .cr0_fixed0 = 0x80000021, .cr0_fixed1 = 0xffffffff,   \
    .cr4_fixed0 = 0x2000

#define REQUIRED (PROC2_EPT | PROC2_VPID | PROC2_UNRESTRICTED_GUEST | PROC2_RDTSCP)

/* Values from public logs of hypervisors on these CPUs; Sapphire Rapids from its public feature lists. */
static const struct cpu cpus[] = {
    { "Sandy Bridge",
      { DEFAULTS, .basic = 0x00da040000000010, .exit = 0x007fffff00036dff, .entry = 0x0000ffff000011ff,
        .true_exit = 0x007fffff00036dfb, .true_entry = 0x0000ffff000011fb, .misc = 0x100401e5,
        .cr4_fixed1 = 0x000627ff, .proc2 = 0x000000ff00000000, .ept_vpid = 0x00000f0106114141 },
      REQUIRED,
      false },
    { "Ivy Bridge",
      { DEFAULTS, .basic = 0x00da040000000010, .exit = 0x007fffff00036dff, .entry = 0x0000ffff000011ff,
        .true_exit = 0x007fffff00036dfb, .true_entry = 0x0000ffff000011fb, .misc = 0x100401e5,
        .cr4_fixed1 = 0x001767ff, .proc2 = 0x000008ff00000000, .ept_vpid = 0x00000f0106114141 },
      REQUIRED,
      false },
    { "Coffee Lake",
      { DEFAULTS, .basic = 0x00da040000000004, .exit = 0x01ffffff00036dff, .entry = 0x0003ffff000011ff,
        .true_exit = 0x01ffffff00036dfb, .true_entry = 0x0003ffff000011fb, .misc = 0x7004c1e7,
        .cr4_fixed1 = 0x003727ff, .proc2 = 0x005fbcff00000000, .ept_vpid = 0x00000f0106734141 },
      REQUIRED | PROC2_INVPCID | PROC2_XSAVES,
      true },
    { "Sapphire Rapids",
      { .pin = 0x000000ff00000016,
        .proc = 0xfffbfffe0401e172,
        .true_pin = 0x000000ff00000016,
        .true_proc = 0xfffbfffe04006172,
        .cr0_fixed0 = 0x80000021,
        .cr0_fixed1 = 0xffffffff,
        .cr4_fixed0 = 0x2000,
        .basic = 0x01da040000000013,
        .exit = 0x3fffffff00036dff,
        .entry = 0x007fffff000011ff,
        .true_exit = 0x3fffffff00036dfb,
        .true_entry = 0x007fffff000011fb,
        .misc = 0x7004c1e7,
        .cr4_fixed1 = 0x03ff7fff,
        .proc2 = 0x775fffff00000000,
        .ept_vpid = 0x00000f0106f34141 },
      REQUIRED | PROC2_INVPCID | PROC2_XSAVES | PROC2_USER_WAIT,
      true },
};

static bool allowed(u64 cap, u32 value)
{
    return (value & (u32)cap) == (u32)cap && !(value & ~(u32)(cap >> 32));
}

static void test_generations(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cpus); i++) {
        const struct vmx_caps *caps = &cpus[i].caps;
        struct vmx_controls c;
        const char *missing = vmx_choose_controls(caps, &c);

        if (missing)
            fail_msg("%s lacks %s", cpus[i].name, missing);
        /* What an entry would check. */
        assert_true(allowed(caps->true_pin, c.pin));
        assert_true(allowed(caps->true_proc, c.proc));
        assert_true(allowed(caps->true_exit, c.exit));
        assert_true(allowed(caps->true_entry, c.entry));
        assert_true(allowed(caps->proc2, c.proc2));

        assert_int_equal(c.proc2, cpus[i].proc2);
        assert_int_equal(c.ept_1g, cpus[i].has_1g);
        assert_true(c.timer && !(c.pin & PIN_TIMER));
        assert_int_equal(c.pin & (PIN_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMI), PIN_NMI | PIN_VIRTUAL_NMI);
        assert_false(c.proc & (PROC_CR3_LOAD | PROC_CR3_STORE | PROC_HLT | PROC_IO | PROC_NMI_WINDOW));
        assert_false(c.entry & ENTRY_IA32E);
        assert_int_equal(c.cr0_mask, BIT(5)); /* NE */
        assert_int_equal(c.cr4_set, BIT(13) | BIT(6));
        assert_false(c.cr4_guest & BIT(13));
        assert_true((c.cr4_mask & BIT(13)) && (c.cr4_mask & BIT(6)));
    }
}

/* Sandy Bridge without one thing each. */
static void test_refusals(void **state)
{
    static const struct {
        size_t field;
        u64 clear;
        const char *text;
    } cases[] = {
        { offsetof(struct vmx_caps, proc2), PROC2_UNRESTRICTED_GUEST << 32, "'unrestricted guest'" },
        { offsetof(struct vmx_caps, proc2), PROC2_EPT << 32, "'enable EPT'" },
        { offsetof(struct vmx_caps, proc2), PROC2_VPID << 32, "'enable VPID'" },
        { offsetof(struct vmx_caps, true_pin), PIN_VIRTUAL_NMI << 32, "'virtual NMIs'" },
        { offsetof(struct vmx_caps, true_proc), PROC_SECONDARY << 32, "'activate secondary controls'" },
        { offsetof(struct vmx_caps, true_proc), PROC_MSR_BITMAPS << 32, "'use MSR bitmaps'" },
        { offsetof(struct vmx_caps, true_proc), PROC_NMI_WINDOW << 32, "'NMI-window exiting'" },
        { offsetof(struct vmx_caps, true_exit), EXIT_LOAD_EFER << 32, "'load IA32_EFER' on exit" },
        { offsetof(struct vmx_caps, true_entry), ENTRY_LOAD_PAT << 32, "'load IA32_PAT' on entry" },
        { offsetof(struct vmx_caps, ept_vpid), EPT_WALK_4, "EPT with a page-walk length of 4" },
        { offsetof(struct vmx_caps, ept_vpid), EPT_2M, "EPT with 2 MiB pages" },
        { offsetof(struct vmx_caps, ept_vpid), EPT_INVEPT, "INVEPT" },
        { offsetof(struct vmx_caps, ept_vpid), EPT_INVVPID_ONE | EPT_INVVPID_ALL, "INVVPID" },
        /* No true controls: those of before, whose default1 class cannot be cleared. */
        { offsetof(struct vmx_caps, basic), BASIC_TRUE, "clearing 'CR3-load exiting'" },
        { offsetof(struct vmx_caps, basic), BASIC_MEM_TYPE, "write-back VMCS regions" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct vmx_caps caps = cpus[0].caps;
        struct vmx_controls c;

        *(u64 *)((char *)&caps + cases[i].field) &= ~cases[i].clear;
        const char *missing = vmx_choose_controls(&caps, &c);
        assert_non_null(missing);
        assert_string_equal(missing, cases[i].text);
    }
}

static void test_nothing(void **state)
{
    struct vmx_caps caps = { 0 };
    struct vmx_controls c;

    (void)state;
    assert_non_null(vmx_choose_controls(&caps, &c));
}

static void expect_allowed(u64 control, bool allowed, u64 becomes)
{
    assert_int_equal(vmx_allow(&control), allowed);
    assert_int_equal(control, becomes);
}

/* What firmware leaves in IA32_FEATURE_CONTROL (SDM 3C, 24.7), where it may also have allowed other things.
 */
static void test_feature_control(void **state)
{
    (void)state;
    expect_allowed(0, true, 5);
    expect_allowed(BIT(20), true, BIT(20) | 5);
    expect_allowed(4, true, 5);
    expect_allowed(5, true, 5);
    expect_allowed(BIT(18) | 7, true, BIT(18) | 7);
    expect_allowed(1, false, 1);
    expect_allowed(3, false, 3); /* inside SMX only */
}

/* CR4 bits that nobody knows yet stay 0 for the guest, even where the CPU has them. */
static void test_unknown_cr4(void **state)
{
    struct vmx_caps caps = cpus[3].caps;
    struct vmx_controls c;

    (void)state;
    caps.cr4_fixed1 = ~0ull;
    assert_null(vmx_choose_controls(&caps, &c));
    assert_int_equal(c.cr4_guest & (BIT(32) | BIT(25) | BIT(14) | BIT(13)), 0);
    assert_int_equal(c.cr4_mask & (BIT(32) | BIT(25) | BIT(14)), BIT(32) | BIT(25) | BIT(14));
}

/* A PC: 3 GiB of RAM below 4 GiB, 1 GiB above, a frame buffer, the usual first MiB. */
static const struct mtrr_state pc = {
    .present = true,
    .default_type = TYPE_UC | MTRR_DEFAULT_ON | MTRR_DEFAULT_FIXED,
    .nr_variable = 4,
    .phys_bits = 39,
    .fixed = { 0x0606060606060606, 0x0606060606060606, 0, 0x0505050505050505, 0x0505050505050505 },
    .base = { 0x0000000000000006, 0x0000000080000006, 0x00000000e0000001, 0x0000000100000006 },
    .mask = { 0x0000007f80000800, 0x0000007fc0000800, 0x0000007ff8000800, 0x0000007fc0000800 },
};

static void test_mtrr(void **state)
{
    struct mtrr_state s = pc;

    (void)state;
    assert_int_equal(mtrr_type(&pc, 0, PAGE_SIZE), TYPE_WB);
    assert_int_equal(mtrr_type(&pc, 0x9f000, PAGE_SIZE), TYPE_WB);
    assert_int_equal(mtrr_type(&pc, 0xa0000, PAGE_SIZE), TYPE_UC);
    assert_int_equal(mtrr_type(&pc, 0xbf000, PAGE_SIZE), TYPE_UC);
    assert_int_equal(mtrr_type(&pc, 0xc0000, PAGE_SIZE), TYPE_WP);
    assert_int_equal(mtrr_type(&pc, 0xd0000, PAGE_SIZE), TYPE_UC);
    assert_int_equal(mtrr_type(&pc, 0, SIZE_2M), TYPE_MIXED);
    assert_int_equal(mtrr_type(&pc, 0, SIZE_1G), TYPE_MIXED);
    assert_int_equal(mtrr_type(&pc, SIZE_2M, SIZE_2M), TYPE_WB);
    assert_int_equal(mtrr_type(&pc, SIZE_1G, SIZE_1G), TYPE_WB);
    assert_int_equal(mtrr_type(&pc, 2 * SIZE_1G, SIZE_1G), TYPE_WB);
    assert_int_equal(mtrr_type(&pc, 0xe0000000, SIZE_2M), TYPE_WC);
    assert_int_equal(mtrr_type(&pc, 0xe8000000, SIZE_2M), TYPE_UC);
    assert_int_equal(mtrr_type(&pc, 3 * SIZE_1G, SIZE_1G), TYPE_MIXED);
    assert_int_equal(mtrr_type(&pc, 4 * SIZE_1G, SIZE_1G), TYPE_WB);
    assert_int_equal(mtrr_type(&pc, 5 * SIZE_1G, SIZE_1G), TYPE_UC);

    s.default_type &= ~MTRR_DEFAULT_FIXED;
    assert_int_equal(mtrr_type(&s, 0, SIZE_1G), TYPE_WB);
    s.default_type &= ~MTRR_DEFAULT_ON;
    assert_int_equal(mtrr_type(&s, SIZE_1G, SIZE_1G), TYPE_UC);

    /* Write-back as default with an uncached hole, as other firmware does; overlaps. */
    s = pc;
    s.default_type = TYPE_WB | MTRR_DEFAULT_ON | MTRR_DEFAULT_FIXED;
    s.base[1] = 0x80000000 | TYPE_UC;
    s.base[0] = 0x80000000 | TYPE_WT;
    s.mask[0] = 0x7fff000000 | BIT(11); /* 16 MiB */
    assert_int_equal(mtrr_type(&s, 0x80000000, SIZE_2M), TYPE_UC);
    s.base[1] = 0x80000000 | TYPE_WB;
    assert_int_equal(mtrr_type(&s, 0x80000000, SIZE_2M), TYPE_WT);
    assert_int_equal(mtrr_type(&s, 0x81000000, SIZE_2M), TYPE_WB);
    assert_int_equal(mtrr_type(&s, 0x80000000, SIZE_1G), TYPE_MIXED);
    s.mask[0] &= ~BIT(11); /* not valid: does not count */
    assert_int_equal(mtrr_type(&s, 0x80000000, SIZE_1G), TYPE_WB);
}

/* Whatever the registers hold, a large page has a type only if each of its small pages has that type. */
static void test_mtrr_random(void **state)
{
    u64 seed = 1;

    (void)state;
    for (unsigned round = 0; round < 2000; round++) {
        static const u8 types[] = { TYPE_UC, TYPE_WC, TYPE_WT, TYPE_WP, TYPE_WB };
        struct mtrr_state s = { .default_type = TYPE_WB | MTRR_DEFAULT_ON,
                                .nr_variable = 3,
                                .phys_bits = 36 };

        for (unsigned i = 0; i < 3; i++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            unsigned shift = 12 + (seed >> 33) % 12;
            s.base[i] = ((seed >> 20 & 0x7ff) << 12 & ~(BIT(shift) - 1)) | types[(seed >> 50) % 5];
            s.mask[i] = (MASK(35, 0) & ~(BIT(shift) - 1)) | BIT(11);
        }
        int type = mtrr_type(&s, SIZE_2M, SIZE_2M);
        for (u64 pa = SIZE_2M; type != TYPE_MIXED && pa < 2 * SIZE_2M; pa += PAGE_SIZE)
            assert_int_equal(mtrr_type(&s, pa, PAGE_SIZE), type);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generations),     cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_feature_control), cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_unknown_cr4),     cmocka_unit_test(test_mtrr),
        cmocka_unit_test(test_mtrr_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
