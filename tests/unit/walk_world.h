/* SPDX-License-Identifier: Apache-2.0 */
/* A CPU in any paging mode, with some RAM for its tables. */
#ifndef TESTS_WALK_WORLD_H
#define TESTS_WALK_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/nested.h"
#include "arch/paging.h"
#include "hv/exit.h"
#include "hv/fetch.h"
#include "hv/mem.h"
#include "hv/walk.h"

/* ---- a guest with some RAM at 1 MiB ---- */

#define RAM_BASE  0x100000ull
#define RAM_PAGES 64
static u8 ram[RAM_PAGES * PAGE_SIZE] __attribute__((aligned(4096)));
static unsigned next_page, pages_mapped;
static void (*reading)(u64 page); /* is told of each look for a page */
static void *firmware_page;       /* what is there beside the guest's RAM; NULL: nothing that can be mapped */

bool mem_is_guest_ram(u64 pa, u64 size)
{
    if (reading)
        reading(pa);
    return pa >= RAM_BASE && pa + size <= RAM_BASE + sizeof(ram);
}

void *phys_to_virt(u64 pa)
{
    if (firmware_page && pa >= BIT(31))
        return firmware_page;
    assert_true(pa >= RAM_BASE && pa < RAM_BASE + sizeof(ram));
    return ram + (pa - RAM_BASE);
}

void *direct_map(u64 pa, u64 size)
{
    (void)pa;
    (void)size;
    pages_mapped++;
    return firmware_page;
}

enum nested_access nested_get(u64 gpa)
{
    return gpa < BIT(32) ? NESTED_ALL : NESTED_NONE;
}

void *page_alloc(void)
{
    static u8 page[PAGE_SIZE] __attribute__((aligned(4096)));

    return memset(page, 0, sizeof(page));
}

static struct vcpu cpu;
static struct vcpu_mode mode;
static struct walk w;
static unsigned retired;

void vcpu_get_mode(struct vcpu *v, struct vcpu_mode *out)
{
    (void)v;
    *out = mode;
}

static bool reads_code_as(struct vcpu *v, const struct vcpu_mode *was)
{
    (void)v;
    return mode.cr0 == was->cr0 && mode.cr3 == was->cr3 && mode.cr4 == was->cr4 && mode.efer == was->efer &&
           mode.cs_attrib == was->cs_attrib;
}

static void count_retired(struct vcpu *v)
{
    (void)v;
    retired++;
}

static u64 fault_at;
static u32 fault_code;

void vcpu_inject_page_fault(struct vcpu *v, u64 cr2, u32 code)
{
    assert_ptr_equal(v, &cpu);
    fault_at = cr2;
    fault_code = code;
}

static u32 pkru;

u32 rdpkru(void)
{
    return pkru;
}

static struct vcpu_backend backend = { .reads_code_as = reads_code_as, .retired = count_retired };
const struct vcpu_backend *vcpu_ops = &backend;

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80 };
#define NX       BIT(63)
#define CR0_WP   BIT(16)
#define CR0_PG   BIT(31)
#define CR4_PSE  BIT(4)
#define CR4_PAE  BIT(5)
#define CR4_LA57 BIT(12)
#define CR4_SMEP BIT(20)
#define CR4_SMAP BIT(21)
#define CR4_PKE  BIT(22)
#define LMA      BIT(10)
#define NXE      BIT(11)
#define RF_AC    BIT(18)

static u64 new_page(void)
{
    assert_true(next_page < RAM_PAGES);
    return RAM_BASE + PAGE_SIZE * next_page++;
}

static int setup(void **state)
{
    (void)state;
    memset(ram, 0, sizeof(ram));
    memset(&cpu, 0, sizeof(cpu));
    next_page = retired = pages_mapped = 0;
    pkru = fault_code = 0;
    reading = NULL;
    mode =
        (struct vcpu_mode){ .cr0 = CR0_PG | CR0_WP, .cr4 = CR4_PAE, .efer = LMA | NXE, .cs_attrib = 0xa9b };
    mode.cr3 = new_page();
    return 0;
}

static u64 *entry(u64 table, u64 index)
{
    return (u64 *)phys_to_virt(table + index * 8);
}

/* Makes the tables down to `level` and returns the entry there. Everything above is P|W|U. */
static u64 *walk_to(unsigned levels, unsigned level, u64 linear)
{
    u64 table = mode.cr3 & MASK(51, 12);

    for (unsigned l = levels; l > level; l--) {
        u64 *e = entry(table, linear >> (12 + 9 * (l - 1)) & 511);
        if (!*e)
            *e = new_page() | P | W | U;
        table = *e & MASK(51, 12);
    }
    return entry(table, linear >> (12 + 9 * (level - 1)) & 511);
}

static void assert_walks(u64 linear, enum walk_access access, u64 gpa)
{
    memset(&w, 0x55, sizeof(w));
    if (!guest_walk(&cpu, &mode, linear, access, &w))
        fail_msg("fault %x", w.fault);
    assert_int_equal(w.gpa, gpa);
}

static void assert_faults(u64 linear, enum walk_access access, u32 code)
{
    memset(&w, 0x55, sizeof(w));
    assert_false(guest_walk(&cpu, &mode, linear, access, &w));
    assert_int_equal(w.fault, code);
}

#define TEST(t) cmocka_unit_test_setup(t, setup)

#endif
