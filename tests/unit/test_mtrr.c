/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/mtrr.c arch/mtrr.c */
/*
 * The guest's memory type registers: whatever it writes is kept for it, and becomes the CPUs' as long as
 * Sluice's region keeps its type.
 */
#include "tests/unit/machine_world.h"
#include "arch/mtrr.h"
#include "arch/paging.h"
#include "arch/vcpu.h"
#include "hv/exit.h"

#define REGION 0x10000000ull
#define ON     (BIT(11) | 0)
#define VALID  BIT(11)
#define RANGES 3

/* ---- the CPU: MTRRs as firmware leaves them, low memory write-back by the first range ---- */

static bool has_mtrrs;
static u64 registers[0x300];
static u32 unreadable; /* an MSR that this CPU lacks, 0 = none */

void cpuid(u32 leaf, u32 sub, u32 out[4])
{
    (void)sub;
    memset(out, 0, 16);
    out[3] = leaf == 1 && has_mtrrs ? 1u << 12 : 0;
}

void cpuid_or_0(u32 leaf, u32 sub, u32 out[4])
{
    (void)sub;
    memset(out, 0, 16);
    out[0] = leaf == 0x80000008 ? 40 : 0;
}

bool rdmsr_safe(u32 msr, u64 *value)
{
    assert_true(msr < ARRAY_SIZE(registers));
    *value = registers[msr];
    return msr != unreadable;
}

u64 rdmsr(u32 msr)
{
    assert_int_equal(msr, MSR_MTRR_DEFAULT);
    return registers[msr];
}

bool wrmsr_safe(u32 msr, u64 value)
{
    assert_true(msr < ARRAY_SIZE(registers) && msr != unreadable);
    registers[msr] = value;
    tell("%x=%lx ", msr, value);
    return true;
}

void wrmsr(u32 msr, u64 value)
{
    (void)!wrmsr_safe(msr, value);
}

void wbinvd(void)
{
    tell("wbinvd ");
}

/* ---- Sluice ---- */

u64 region_base(void)
{
    return REGION;
}

u64 region_size(void)
{
    return 4 * PAGE_SIZE;
}

void vcpu_request_others(u32 what)
{
    tell("others:%x ", what);
}

static void changed(const struct mtrr_state *now)
{
    tell("changed:%x ", mtrr_type((struct mtrr_state *)(uintptr_t)now, 0x40000000, PAGE_SIZE));
}

static struct vcpu_backend backend = { .mtrrs_changed = changed };
const struct vcpu_backend *vcpu_ops = &backend;

/* A range register's mask for that size. */
static u64 mask_of(u64 size)
{
    return (MASK(39, 0) & ~(size - 1)) | VALID;
}

static int set_up(void **state)
{
    (void)machine_set_up(state);
    memset(registers, 0, sizeof(registers));
    has_mtrrs = true;
    unreadable = 0;
    backend.mtrrs_changed = changed;
    registers[MSR_MTRR_CAP] = BIT(10) | BIT(8) | RANGES;
    registers[MSR_MTRR_DEFAULT] = ON;
    registers[0x200] = TYPE_WB;
    registers[0x201] = mask_of(SIZE_1G);
    for (u32 msr = 0x250; msr < 0x270; msr++)
        registers[msr] = 0x0606060606060606;
    mtrr_init();
    return 0;
}

static void check_read(u32 msr, u64 want)
{
    u64 value;

    assert_true(mtrr_read(msr, &value));
    assert_int_equal(value, want);
}

/* ---- tests ---- */

static void firmwares_values_are_the_guests(void **state)
{
    u64 value;

    (void)state;
    assert_int_equal(log_lines, 0);
    for (u32 msr = 0x1ff; msr < 0x310; msr++) {
        bool is_fixed = msr == 0x250 || msr == 0x258 || msr == 0x259 || (msr >= 0x268 && msr <= 0x26f);
        bool is_there = is_fixed || (msr >= 0x200 && msr < 0x200 + 2 * RANGES) || msr == 0x2ff;

        assert_int_equal(mtrr_read(msr, &value), is_there);
        if (is_there)
            assert_int_equal(value, registers[msr]);
        assert_int_equal(mtrr_write(msr, is_there ? value : 6), is_there);
    }
    assert_story(""); /* what is so already is not done again */
    registers[0x200] = TYPE_WT;
    mtrr_init();
    assert_string_equal(last_line,
                        "MTRRs        firmware gives Sluice's memory type 4 instead of write-back: slow");
}

static void a_cpu_without_any(void **state)
{
    u64 value;

    (void)state;
    has_mtrrs = false;
    mtrr_init();
    assert_int_equal(log_lines, 0);
    assert_false(mtrr_read(MSR_MTRR_DEFAULT, &value));
    assert_false(mtrr_write(MSR_MTRR_DEFAULT, ON));
    registers[MSR_MTRR_DEFAULT] = 6;
    mtrr_load();
    assert_story("");
}

static void values_are_judged(void **state)
{
    static const struct {
        u32 msr;
        u64 value;
        bool good;
    } t[] = {
        { 0x2ff, ON, true },
        { 0x2ff, ON | BIT(10) | 6, true },
        { 0x2ff, 0, true },
        { 0x2ff, ON | BIT(8), false },
        { 0x2ff, ON | BIT(12), false },
        { 0x2ff, ON | BIT(63), false },
        { 0x2ff, ON | 2, false },
        { 0x2ff, ON | 16, false },
        { 0x202, 0x40000000, true },
        { 0x202, 0x40000001, true },
        { 0x202, 0x40000002, false },
        { 0x202, 0x40000003, false },
        { 0x202, 0x40000004, true },
        { 0x202, 0x40000005, true },
        { 0x202, 0x40000006, true },
        { 0x202, 0x40000007, false },
        { 0x202, 0x40000008, false },
        { 0x202, 0x40000080, false },
        { 0x203, 0xfffffff802, true }, /* a mask has no type */
        { 0x250, 0x0605040100060504, true },
        { 0x250, 0x0605040100060502, false },
        { 0x250, 0x0605040100030504, false },
        { 0x250, 0x0205040100060504, false },
        { 0x250, 0x1e1e1e1e1e1e1e1e, true }, /* AMD's bits 4:3 */
        { 0x26f, 0x0700000000000000, false },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        u64 before, after;

        set_up(state);
        assert_true(mtrr_read(t[i].msr, &before));
        if (mtrr_write(t[i].msr, t[i].value) != t[i].good)
            fail_msg("%u", i);
        assert_true(mtrr_read(t[i].msr, &after));
        assert_int_equal(after, t[i].good ? t[i].value : before);
    }
}

/* Caches are written back and the type register is off while others change; then come the other CPUs. */
static void changes_reach_every_cpu(void **state)
{
    (void)state;
    assert_true(mtrr_write(0x202, 0x40000000 | TYPE_WC));
    assert_story("wbinvd 2ff=0 202=40000001 2ff=800 wbinvd others:2000 changed:0 ");
    assert_true(mtrr_write(0x203, mask_of(SIZE_2M)));
    assert_story("wbinvd 2ff=0 203=ffffe00800 2ff=800 wbinvd others:2000 changed:1 ");
    assert_true(mtrr_write(0x203, mask_of(SIZE_2M)));
    assert_story("");
    backend.mtrrs_changed = NULL;
    assert_true(mtrr_write(0x2ff, ON | BIT(10)));
    assert_story("2ff=c00 wbinvd others:2000 ");
}

/* As systems do it: all off, one change, all on again. Sluice's memory stays what it is meanwhile. */
static void the_region_keeps_its_type(void **state)
{
    (void)state;
    assert_true(mtrr_write(0x2ff, 0));
    assert_true(mtrr_write(0x202, 0x40000000 | TYPE_WT));
    assert_true(mtrr_write(0x203, mask_of(SIZE_1G)));
    assert_story("");
    check_read(0x2ff, 0);
    check_read(0x202, 0x40000004);
    mtrr_load();
    assert_story("");
    assert_true(mtrr_write(0x2ff, ON));
    assert_story("wbinvd 2ff=0 202=40000004 203=ffc0000800 2ff=800 wbinvd others:2000 changed:4 ");
}

/* Each of its pages counts, and none beside it. */
static void a_page_of_the_region_is_the_region(void **state)
{
    for (int page = -1; page <= 4; page++) {
        set_up(state);
        u64 at = REGION + (u64)page * PAGE_SIZE;

        assert_true(mtrr_write(0x202, at));
        story[0] = 0;
        assert_true(mtrr_write(0x203, mask_of(PAGE_SIZE)));
        assert_int_equal(registers[0x203] != 0, page < 0 || page > 3);
        assert_int_equal(story[0] != 0, page < 0 || page > 3);
        check_read(0x203, mask_of(PAGE_SIZE));
    }
}

/* Another CPU comes up with what firmware gave it. */
static void a_cpu_gets_what_it_lacks(void **state)
{
    (void)state;
    mtrr_load();
    assert_story("");
    registers[0x26f] = registers[0x205] = 0x77;
    unreadable = 0x205;
    mtrr_load();
    assert_story("wbinvd 2ff=0 26f=606060606060606 2ff=800 wbinvd ");
    registers[0x2ff] = 0xc00;
    mtrr_load();
    assert_story("2ff=800 wbinvd ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(firmwares_values_are_the_guests, set_up),
        cmocka_unit_test_setup(a_cpu_without_any, set_up),
        cmocka_unit_test_setup(values_are_judged, set_up),
        cmocka_unit_test_setup(changes_reach_every_cpu, set_up),
        cmocka_unit_test_setup(the_region_keeps_its_type, set_up),
        cmocka_unit_test_setup(a_page_of_the_region_is_the_region, set_up),
        cmocka_unit_test_setup(a_cpu_gets_what_it_lacks, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
