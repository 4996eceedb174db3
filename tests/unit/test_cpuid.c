/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/cpuid.c */
/* What a guest does not see of the CPU, and what it sees of Sluice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "arch/cpu.h"
#include "arch/paging.h"
#include "hv/exit.h"
#include "hv/fetch.h"
#include "hv/options.h"

enum { EAX, EBX, ECX, EDX };
#define ALL ~0u

struct options options;
static struct vcpu cpu;
static u64 cr4;
static bool bytes_are_there;
static u32 leaf_asked, sub_asked, cpu_says[4];

void cpuid(u32 leaf, u32 sub, u32 out[4])
{
    leaf_asked = leaf;
    sub_asked = sub;
    memcpy(out, cpu_says, sizeof(cpu_says));
}

u64 region_base(void)
{
    return 0x123400000;
}

u64 region_size(void)
{
    return 32 << 20;
}

bool fetch_skip(struct vcpu *v, const u8 *opcode, unsigned size)
{
    assert_int_equal(size, 2);
    assert_memory_equal(opcode, "\x0f\xa2", 2);
    v->rip += bytes_are_there ? size : 0;
    return bytes_are_there;
}

static u64 get(struct vcpu *v, enum vcpu_reg reg)
{
    (void)v;
    assert_int_equal(reg, REG_CR4);
    return cr4;
}

static struct vcpu_backend backend = { .get = get };
const struct vcpu_backend *vcpu_ops = &backend;

static int set_up(void **state)
{
    (void)state;
    memset(&options, 0, sizeof(options));
    options.iommu.dtlb = DTLB_ALWAYS;
    memset(&cpu, 0xcc, sizeof(cpu));
    cr4 = 0;
    bytes_are_there = true;
    return 0;
}

static void ask(u32 leaf, u32 sub)
{
    cpu.gpr[RAX] = leaf | BIT(63); /* bits 63:32 do not count */
    cpu.gpr[RCX] = sub | BIT(63);
    cpu.rip = 0x1000;
    handle_cpuid(&cpu);
}

static void answer(u64 eax, u64 ebx, u64 ecx, u64 edx)
{
    assert_int_equal(cpu.gpr[RAX], eax);
    assert_int_equal(cpu.gpr[RBX], ebx);
    assert_int_equal(cpu.gpr[RCX], ecx);
    assert_int_equal(cpu.gpr[RDX], edx);
    assert_int_equal(cpu.rip, 0x1002);
}

/* A CPU that has everything, and one that has nothing. */
static void what_a_guest_cannot_have_is_hidden(void **state)
{
    static const struct {
        u32 leaf, sub;
        u64 cr4;
        u32 all[4], none[4];
    } t[] = {
        { 0, 0, 0, { ALL, ALL, ALL, ALL }, { 0 } },
        /* DTES64, VMX, SMX, OSXSAVE; DS; a hypervisor is there */
        { 1,
          0,
          0,
          { ALL, ALL, ~(1u << 2 | 1u << 5 | 1u << 6 | 1u << 27), ~(1u << 21) },
          { 0, 0, 1u << 31, 0 } },
        { 1,
          9,
          CR4_OSXSAVE,
          { ALL, ALL, ~(1u << 2 | 1u << 5 | 1u << 6), ~(1u << 21) },
          { 0, 0, 1u << 31 | 1u << 27, 0 } },
        { 2, 0, CR4_OSXSAVE | CR4_PKE, { ALL, ALL, ALL, ALL }, { 0 } },
        /* SGX, processor trace; OSPKE, SGX_LC */
        { 7, 0, 0, { ALL, ~(1u << 2 | 1u << 25), ~(1u << 4 | 1u << 30), ALL }, { 0 } },
        { 7, 0, CR4_PKE, { ALL, ~(1u << 2 | 1u << 25), ~(1u << 30), ALL }, { 0, 0, 1u << 4, 0 } },
        { 7, 1, CR4_PKE, { ALL, ALL, ALL, ALL }, { 0 } },
        { 0xd, 0, 0, { ALL, ALL, ALL, ALL }, { 0 } },
        { 0xd, 1, 0, { ALL, ALL, ~(1u << 8), ALL }, { 0 } },
        { 0xd, 7, 0, { ALL, ALL, ALL, ALL }, { 0 } },
        { 0xd, 8, 0, { 0 }, { 0 } },
        { 0xd, 9, 0, { ALL, ALL, ALL, ALL }, { 0 } },
        { 0x12, 0, 0, { 0 }, { 0 } },
        { 0x12, 2, 0, { 0 }, { 0 } },
        { 0x13, 0, 0, { ALL, ALL, ALL, ALL }, { 0 } },
        { 0x14, 1, 0, { 0 }, { 0 } },
        { 0x80000000, 0, 0, { ALL, ALL, ALL, ALL }, { 0 } },
        { 0x80000001, 0, 0, { ALL, ALL, ~(1u << 2 | 1u << 10 | 1u << 12), ALL }, { 0 } },
        { 0x80000008, 0, 0, { ALL, ALL, ALL, ALL }, { 0 } },
        { 0x8000000a, 0, 0, { 0 }, { 0 } },
        { 0x8000001b, 0, 0, { 0 }, { 0 } },
        { 0x8000001f, 0, 0, { 0 }, { 0 } },
        { 0x80000020, 0, 0, { ALL, ALL, ALL, ALL }, { 0 } },
    };

    (void)state;
    for (unsigned i = 0; i < 2 * ARRAY_SIZE(t); i++) {
        const u32 *want = i % 2 ? t[i / 2].all : t[i / 2].none;

        memset(cpu_says, i % 2 ? 0xff : 0, sizeof(cpu_says));
        cr4 = t[i / 2].cr4;
        ask(t[i / 2].leaf, t[i / 2].sub);
        answer(want[0], want[1], want[2], want[3]);
    }
}

static void sluice_says_who_it_is(void **state)
{
    static const u32 nothing[] = { 0x40000003, 0x400000ff, 0x4fffffff };

    (void)state;
    ask(0x40000000, 0);
    answer(0x40000002, 0x69756c53, 0x6c536563, 0x65636975); /* SluiceSluice */
    ask(0x40000002, 0);
    answer(0x23400000, 1, 0x2000, 0); /* the region: base, pages */
    for (unsigned i = 0; i < ARRAY_SIZE(nothing); i++) {
        ask(nothing[i], 0);
        answer(0, 0, 0, 0);
    }
}

/* The features are the promises that the configuration keeps (docs/hypercalls.md). */
static void promises_follow_the_options(void **state)
{
    enum { FRESH = 1, CONTAINED = 2, BOUNDED = 4, TRUE_UNIT = 8, IMPLIED = 16 };
    static const struct {
        struct options options;
        u32 promises;
    } t[] = {
        { { .iommu.dtlb = DTLB_ALWAYS }, FRESH | CONTAINED | BOUNDED | TRUE_UNIT | IMPLIED },
        { { .iommu.dtlb = DTLB_GUEST }, CONTAINED | BOUNDED | TRUE_UNIT },
        { { .iommu.dtlb = DTLB_CM }, CONTAINED | BOUNDED | TRUE_UNIT },
        { { .iommu = { .dtlb = DTLB_ALWAYS, .direct = 1 } }, FRESH | BOUNDED | TRUE_UNIT | IMPLIED },
        { { .iommu.dtlb = DTLB_ALWAYS, .iommu_off = 1 }, 0 },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        options = t[i].options;
        ask(0x40000001, 0);
        answer(1, t[i].promises, 0, 0);
    }
}

/* The CPU is asked for the leaf and the sub-leaf; where those begin that are Sluice's, and where they end. */
static void other_leaves_are_the_cpus(void **state)
{
    static const u32 leaves[] = { 0, 4, 0x3fffffff, 0x50000000, 0x80000000, ~0u };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(leaves); i++) {
        memcpy(cpu_says, (u32[]){ 1, 2, 3, 4 }, sizeof(cpu_says));
        ask(leaves[i], i);
        answer(1, 2, 3, 4);
        assert_int_equal(leaf_asked, leaves[i]);
        assert_int_equal(sub_asked, i);
    }
    bytes_are_there = false; /* another CPU has rewritten them */
    ask(0x40000000, 0);
    assert_int_equal(cpu.gpr[RAX], 0x40000000 | BIT(63));
    assert_int_equal(cpu.rip, 0x1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_a_guest_cannot_have_is_hidden, set_up),
        cmocka_unit_test_setup(sluice_says_who_it_is, set_up),
        cmocka_unit_test_setup(promises_follow_the_options, set_up),
        cmocka_unit_test_setup(other_leaves_are_the_cpus, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
