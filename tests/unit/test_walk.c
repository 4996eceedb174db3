/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/walk.c hv/fetch.c arch/insn.c */
/*
 * The guest's page tables as the software walker sees them, in every paging mode, and the memory of fetched
 * instructions, which must never outlive a change of tables or bytes.
 */
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
static void *firmware_page; /* what is there beside the guest's RAM; NULL: nothing that can be mapped */

bool mem_is_guest_ram(u64 pa, u64 size)
{
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

/* Only where an instruction's operand is walked to, which no test here does. */
void vcpu_inject_page_fault(struct vcpu *v, u64 cr2, u32 code)
{
    fail_msg("%p: a page fault at %llx, %x", (void *)v, (unsigned long long)cr2, code);
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
    bool ok = guest_walk(&cpu, &mode, linear, access, &w);

    if (!ok)
        fail_msg("fault %x", w.fault);
    assert_int_equal(w.gpa, gpa);
}

static void assert_faults(u64 linear, enum walk_access access, u32 code)
{
    assert_false(guest_walk(&cpu, &mode, linear, access, &w));
    assert_int_equal(w.fault, code);
}

/* ---- walks ---- */

static void test_paging_off(void **state)
{
    (void)state;
    mode = (struct vcpu_mode){ .cs_attrib = 0xc9b };
    assert_walks(0x12345678, WALK_FETCH, 0x12345678);
    assert_walks(0x1fffffff0ull, WALK_WRITE, 0xfffffff0);
    assert_int_equal(w.levels, 0);
}

static void test_4_levels(void **state)
{
    const u64 va = 0xffff812345678000;

    (void)state;
    *walk_to(4, 1, va) = 0x7654000 | P | W;
    assert_walks(va + 0x123, WALK_READ, 0x7654123);
    assert_walks(va + 0xfff, WALK_WRITE, 0x7654fff);
    assert_int_equal(w.levels, 4);
    assert_ptr_equal(w.step[3].entry, walk_to(4, 1, va));
    assert_faults(va + 0x1000, WALK_READ, 0);
    assert_faults(va + 0x1000, WALK_WRITE, PF_WRITE);
    mode.cpl = 3;
    assert_faults(va + 0x1000, WALK_FETCH, PF_USER | PF_FETCH);
}

static void test_large_pages(void **state)
{
    (void)state;
    *walk_to(4, 2, 0x40200000) = 0x80600000 | P | W | PS;
    *walk_to(4, 3, 0x80000000) = 0x140000000 | P | W | PS;
    assert_walks(0x403abcde, WALK_READ, 0x807abcde);
    assert_int_equal(w.levels, 3);
    assert_walks(0xbfedcba9, WALK_READ, 0x17fedcba9);
    assert_int_equal(w.levels, 2);
    /* The PAT bit is none of the address's, all others below the page's size are reserved. */
    *walk_to(4, 2, 0x40200000) |= BIT(12);
    assert_walks(0x40200000, WALK_READ, 0x80600000);
    *walk_to(4, 2, 0x40200000) |= BIT(13);
    assert_faults(0x40200000, WALK_READ, PF_PRESENT | PF_RESERVED);
    *walk_to(4, 3, 0x80000000) |= BIT(29);
    assert_faults(0x80000000, WALK_READ, PF_PRESENT | PF_RESERVED);
    *walk_to(4, 4, 0x8000000000) = 0x40000000 | P | PS;
    assert_faults(0x8000000000, WALK_READ, PF_PRESENT | PF_RESERVED);
}

static void test_5_levels(void **state)
{
    const u64 va = 0x00ab123456789000;

    (void)state;
    mode.cr4 |= CR4_LA57;
    *walk_to(5, 1, va) = 0x1111000 | P;
    assert_walks(va + 8, WALK_READ, 0x1111008);
    assert_int_equal(w.levels, 5);
    *walk_to(5, 5, va) |= PS;
    assert_faults(va, WALK_READ, PF_PRESENT | PF_RESERVED);
}

static void test_rights(void **state)
{
    const u64 va = 0x400000;
    u64 *e;

    (void)state;
    e = walk_to(4, 1, va);
    *e = 0x5000 | P | W; /* the supervisor's */
    mode.cpl = 3;
    assert_faults(va, WALK_READ, PF_PRESENT | PF_USER);
    *e = 0x5000 | P | U; /* read-only */
    assert_walks(va, WALK_READ, 0x5000);
    assert_faults(va, WALK_WRITE, PF_PRESENT | PF_USER | PF_WRITE);
    mode.cpl = 0;
    assert_faults(va, WALK_WRITE, PF_PRESENT | PF_WRITE);
    mode.cr0 &= ~CR0_WP;
    assert_walks(va, WALK_WRITE, 0x5000);
    mode.cr0 |= CR0_WP;
    /* A right that is missing at any level is missing. */
    *e = 0x5000 | P | U | W;
    *walk_to(4, 3, va) &= ~(u64)W;
    assert_faults(va, WALK_WRITE, PF_PRESENT | PF_WRITE);
    *walk_to(4, 3, va) |= W;
    *walk_to(4, 2, va) &= ~(u64)U;
    mode.cpl = 3;
    assert_faults(va, WALK_READ, PF_PRESENT | PF_USER);
    mode.cpl = 2; /* only 3 is user */
    assert_walks(va, WALK_WRITE, 0x5000);
}

static void test_no_execute(void **state)
{
    const u64 va = 0x400000;

    (void)state;
    *walk_to(4, 1, va) = 0x5000 | P | W | U;
    *walk_to(4, 3, va) |= NX;
    assert_walks(va, WALK_READ, 0x5000);
    assert_faults(va, WALK_FETCH, PF_PRESENT | PF_FETCH);
    mode.efer &= ~NXE;
    assert_faults(va, WALK_READ, PF_PRESENT | PF_RESERVED);
}

static void test_smep_and_smap(void **state)
{
    const u64 va = 0x400000;

    (void)state;
    *walk_to(4, 1, va) = 0x5000 | P | W | U;
    mode.cr4 |= CR4_SMEP | CR4_SMAP;
    assert_faults(va, WALK_FETCH, PF_PRESENT | PF_FETCH);
    assert_faults(va, WALK_READ, PF_PRESENT);
    cpu.rflags = RF_AC;
    assert_walks(va, WALK_WRITE, 0x5000);
    cpu.rflags = 0;
    mode.cpl = 3;
    assert_walks(va, WALK_FETCH, 0x5000);
    assert_walks(va, WALK_WRITE, 0x5000);
}

static void test_accessed_and_dirty(void **state)
{
    const u64 va = 0x400000;
    u64 *leaf, *top;

    (void)state;
    leaf = walk_to(4, 1, va);
    top = walk_to(4, 4, va);
    *leaf = 0x5000 | P | W;
    assert_walks(va, WALK_FETCH, 0x5000);
    assert_int_equal((*leaf | *top) & (A | D), 0); /* the CPU itself fetched */
    assert_walks(va, WALK_READ, 0x5000);
    assert_int_equal(*leaf & (A | D), A);
    assert_int_equal(*top & (A | D), A);
    assert_walks(va, WALK_WRITE, 0x5000);
    assert_int_equal(*leaf & (A | D), A | D);
    assert_int_equal(*top & (A | D), A);
    /* Not where the access is refused. */
    *leaf = 0x5000 | P;
    assert_faults(va, WALK_WRITE, PF_PRESENT | PF_WRITE);
    assert_int_equal(*leaf & (A | D), 0);
}

static void test_tables_outside_of_ram(void **state)
{
    (void)state;
    *walk_to(4, 4, 0) = 0x200000000 | P | W | U; /* not the guest's: reads ones */
    assert_faults(0, WALK_READ, PF_PRESENT | PF_RESERVED);
    assert_faults(0, WALK_WRITE, PF_PRESENT | PF_RESERVED | PF_WRITE);
    assert_int_equal(pages_mapped, 0);
    *walk_to(4, 4, 0) = 0xfed00000 | P | W | U; /* a device, of which nothing is mapped */
    assert_faults(0, WALK_READ, PF_PRESENT | PF_RESERVED);
    assert_int_not_equal(pages_mapped, 0);
    mode.cr3 = 0x300000000;
    assert_faults(0, WALK_READ, PF_PRESENT | PF_RESERVED);
    mode.cr3 = MASK(51, 12);
    assert_faults(0, WALK_READ, PF_PRESENT | PF_RESERVED);
}

static void test_a_table_of_itself(void **state)
{
    (void)state;
    *entry(mode.cr3, 511) = mode.cr3 | P | W;
    assert_walks(~0ull << 12, WALK_READ, mode.cr3);
}

static void test_pae(void **state)
{
    u64 pd;

    (void)state;
    mode.efer = NXE;
    mode.cr3 = new_page() + 0x7e0; /* 32-byte aligned */
    pd = new_page();
    *entry(mode.cr3, 3) = pd | P;
    *entry(pd, 1) = new_page() | P | W;
    *entry(pd, 2) = 0x123400000 | P | W | PS;
    *entry(*entry(pd, 1) & MASK(51, 12), 5) = 0x234567000 | P | W;
    assert_walks(0xc0205678, WALK_WRITE, 0x234567678);
    assert_walks(0xc05abcde, WALK_WRITE, 0x1235abcde);
    assert_int_equal(*entry(mode.cr3, 3), pd | P); /* has no accessed bit */
    assert_faults(0x205678, WALK_READ, 0);
    assert_walks(0x1c0205678, WALK_READ, 0x234567678); /* linear addresses have 32 bits */
    mode.cpl = 3;
    assert_faults(0xc0205678, WALK_READ, PF_PRESENT | PF_USER);
    mode.cpl = 0;
    *entry(mode.cr3, 3) |= W;
    assert_faults(0xc0205678, WALK_READ, PF_PRESENT | PF_RESERVED);
    *entry(mode.cr3, 3) = pd | P;
    *entry(pd, 1) |= BIT(52);
    assert_faults(0xc0205678, WALK_READ, PF_PRESENT | PF_RESERVED);
}

static void test_32_bit(void **state)
{
    u32 *pd, *pt;
    u64 table;

    (void)state;
    mode.efer = 0;
    mode.cr4 = CR4_PSE;
    pd = phys_to_virt(mode.cr3);
    table = new_page();
    pt = phys_to_virt(table);
    pd[0x301] = (u32)table | P | W | U;
    pt[0x234] = 0xabcde000 | P | W | U;
    assert_walks(0xc0634567, WALK_WRITE, 0xabcde567);
    assert_true(w.small_entries);
    assert_int_equal(pt[0x234] & (A | D), A | D);
    assert_int_equal(pd[0x301] & (A | D), A);
    pd[0x302] = 0x00c00000 | 0x5 << 13 | P | W | PS; /* PSE-36 */
    assert_walks(0xc08abcde, WALK_READ, 0x500cabcdeull);
    pd[0x302] |= 1 << 21;
    assert_faults(0xc0800000, WALK_READ, PF_PRESENT | PF_RESERVED);
    mode.cr4 = 0; /* PS means nothing */
    pd[0x302] = (u32)table | P | W | PS;
    assert_walks(0xc0a34567, WALK_READ, 0xabcde567);
    pt[0x234] = 0xabcde000 | P;
    assert_faults(0xc0634567, WALK_WRITE, PF_PRESENT | PF_WRITE);
    mode.cpl = 3;
    assert_faults(0xc0634567, WALK_FETCH, PF_PRESENT | PF_USER);
}

/* ---- fetches ---- */

static const u8 store[] = { 0x89, 0x07 };            /* mov [rdi], eax */
static const u8 load[] = { 0x8b, 0x47, 0x08 };       /* mov eax, [rdi + 8] */
static const u8 wide_cpuid[] = { 0x48, 0x0f, 0xa2 }; /* with a prefix that means nothing */

static struct fetched *f;

static u64 code_page(u64 va)
{
    u64 page = new_page();

    *walk_to(4, 1, va) = page | P;
    return page;
}

static void setup_code(u64 va, u64 off, const u8 *bytes, size_t size)
{
    u64 page = code_page(va);

    assert_int_equal(fetch_init(&cpu), 0);
    memcpy((u8 *)phys_to_virt(page) + off, bytes, size);
    cpu.rip = va + off;
}

static void test_fetch(void **state)
{
    (void)state;
    setup_code(0x400000, 0x13, store, sizeof(store));
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(fetch_insn(&cpu, &mode, &f), FETCH_OK);
        assert_int_equal(f->insn.len, 2);
        assert_true(f->plain_move && !f->insn.to_reg);
    }
}

static void test_rewritten_bytes(void **state)
{
    (void)state;
    setup_code(0x400000, 0x10, store, sizeof(store));
    assert_int_equal(fetch_insn(&cpu, &mode, &f), FETCH_OK);
    memcpy((u8 *)phys_to_virt(*walk_to(4, 1, 0x400000) & MASK(51, 12)) + 0x10, load, sizeof(load));
    assert_int_equal(fetch_insn(&cpu, &mode, &f), FETCH_OK);
    assert_int_equal(f->insn.len, 3);
    assert_true(f->insn.to_reg);
}

/* The same address, other memory: at any level, by another CR3, and gone. */
static void test_changed_tables(void **state)
{
    u64 first, second;

    (void)state;
    setup_code(0x400000, 0x10, store, sizeof(store));
    first = *walk_to(4, 1, 0x400000);
    second = new_page();
    memcpy((u8 *)phys_to_virt(second) + 0x10, load, sizeof(load));
    for (unsigned i = 0; i < 4; i++) {
        *walk_to(4, 1, 0x400000) = i & 1 ? second | P : first;
        assert_int_equal(fetch_insn(&cpu, &mode, &f), FETCH_OK);
        assert_int_equal(f->insn.len, i & 1 ? 3 : 2);
    }
    /* A table further up is exchanged. */
    u64 table = new_page();
    *entry(table, 0) = first;
    *walk_to(4, 2, 0x400000) = table | P | W | U;
    assert_int_equal(fetch_insn(&cpu, &mode, &f), FETCH_OK);
    assert_int_equal(f->insn.len, 2);
    u64 old = mode.cr3;
    mode.cr3 = new_page();
    assert_int_equal(fetch_insn(&cpu, &mode, &f), FETCH_AGAIN);
    *walk_to(4, 1, 0x400000) = second | P;
    assert_int_equal(fetch_insn(&cpu, &mode, &f), FETCH_OK);
    assert_int_equal(f->insn.len, 3);
    mode.cr3 = old;
    assert_int_equal(fetch_insn(&cpu, &mode, &f), FETCH_OK);
    assert_int_equal(f->insn.len, 2);
    *entry(table, 0) = 0;
    assert_int_equal(fetch_insn(&cpu, &mode, &f), FETCH_AGAIN);
}

static void test_another_mode(void **state)
{
    static const u8 bytes[] = { 0x48, 0x89, 0x07 }; /* 64: mov [rdi], rax; 32: dec eax */

    (void)state;
    setup_code(0x400000, 0x10, bytes, sizeof(bytes));
    assert_int_equal(fetch_insn(&cpu, &mode, &f), FETCH_OK);
    assert_int_equal(f->insn.width, 8);
    mode.cs_attrib = 0xc9b;
    assert_int_equal(fetch_insn(&cpu, &mode, &f), FETCH_UNKNOWN);
    mode.cs_attrib = 0xa9b;
    assert_int_equal(fetch_insn(&cpu, &mode, &f), FETCH_OK);
    mode.cpl = 3; /* the supervisor's page; what is remembered the CPU itself has fetched, and so may have */
    assert_int_equal(fetch_insn(&cpu, &mode, &f), FETCH_OK);
    cpu.rip++;
    assert_int_equal(fetch_insn(&cpu, &mode, &f), FETCH_AGAIN);
}

/* Up to a page's last byte an instruction is remembered like any other, and what lies before it counts, too.
 */
static void test_fetch_at_a_pages_end(void **state)
{
    (void)state;
    setup_code(0x400000, PAGE_SIZE - sizeof(load), load, sizeof(load));
    assert_int_equal(fetch_insn(&cpu, &mode, &f), FETCH_OK);
    assert_int_equal(f->insn.len, 3);
    assert_ptr_equal(&fetch_known(&cpu)->fetched, f);
    u8 *page = phys_to_virt(*walk_to(4, 1, 0x400000) & MASK(51, 12));
    memcpy(page + PAGE_SIZE - sizeof(store), store, sizeof(store));
    assert_null(fetch_known(&cpu));
    cpu.rip++;
    assert_true(fetch_skip(&cpu, store, sizeof(store)));
    assert_int_equal(cpu.rip, 0x401000);
}

/* What is remembered is not even looked at again as soon as anything has changed that led to it. */
static void test_known(void **state)
{
    static u64 *const words[] = { &mode.cr0, &mode.cr3, &mode.cr4, &mode.efer };

    (void)state;
    setup_code(0x400000, 0x10, load, sizeof(load));
    assert_null(fetch_known(&cpu));
    assert_int_equal(fetch_insn(&cpu, &mode, &f), FETCH_OK);
    assert_non_null(fetch_known(&cpu));
    for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
        *words[i] ^= BIT(3);
        assert_null(fetch_known(&cpu));
        *words[i] ^= BIT(3);
    }
    for (unsigned level = 1; level <= 4; level++) {
        *walk_to(4, level, 0x400000) ^= BIT(62);
        assert_null(fetch_known(&cpu));
        *walk_to(4, level, 0x400000) ^= BIT(62);
    }
    u8 *page = phys_to_virt(*walk_to(4, 1, 0x400000) & MASK(51, 12));
    for (unsigned i = 0; i < FETCH_WINDOW; i++) {
        page[0x10 + i]++;
        assert_null(fetch_known(&cpu));
        page[0x10 + i]--;
    }
    assert_non_null(fetch_known(&cpu));
    cpu.rip++;
    assert_null(fetch_known(&cpu));
}

static void test_fetch_across_pages(void **state)
{
    u64 second;

    (void)state;
    setup_code(0x400000, 0xfff, store, 1);
    second = code_page(0x401000);
    *(u8 *)phys_to_virt(second) = store[1];
    assert_int_equal(fetch_insn(&cpu, &mode, &f), FETCH_OK);
    assert_int_equal(f->insn.len, 2);
    *(u8 *)phys_to_virt(second) = 0x0f; /* mov [rdi], ecx */
    assert_int_equal(fetch_insn(&cpu, &mode, &f), FETCH_OK);
    assert_int_equal(f->insn.reg, 1);
    assert_null(fetch_known(&cpu));
    *walk_to(4, 1, 0x401000) = 0;
    assert_int_equal(fetch_insn(&cpu, &mode, &f), FETCH_AGAIN);
}

static void test_code_in_a_device(void **state)
{
    (void)state;
    assert_int_equal(fetch_init(&cpu), 0);
    *walk_to(4, 1, 0x400000) = 0xfed00000 | P;
    cpu.rip = 0x400010;
    assert_int_equal(fetch_insn(&cpu, &mode, &f), FETCH_NO_CODE);
}

/* More code than there is room for: each time the right instruction. */
static void test_many(void **state)
{
    u64 page;

    (void)state;
    setup_code(0x400000, 0, store, sizeof(store));
    page = *walk_to(4, 1, 0x400000) & MASK(51, 12);
    for (unsigned i = 0; i < 200; i++)
        memcpy((u8 *)phys_to_virt(page) + 16 * i, i % 3 ? load : store, i % 3 ? sizeof(load) : sizeof(store));
    srand(1);
    for (unsigned round = 0; round < 5000; round++) {
        unsigned i = (unsigned)rand() % (round % 2 ? 200 : 12);
        cpu.rip = 0x400000 + 16 * i;
        assert_int_equal(fetch_insn(&cpu, &mode, &f), FETCH_OK);
        assert_int_equal(f->insn.len, i % 3 ? 3 : 2);
    }
}

static void test_skip(void **state)
{
    (void)state;
    setup_code(0x400000, 0x10, wide_cpuid, sizeof(wide_cpuid));
    assert_false(fetch_skip(&cpu, store, sizeof(store)));
    assert_int_equal(cpu.rip, 0x400010);
    assert_int_equal(retired, 0);
    assert_true(fetch_skip(&cpu, wide_cpuid + 1, 2));
    assert_int_equal(cpu.rip, 0x400013);
    assert_int_equal(retired, 1);
    /* Prefixes to the end are no instruction. */
    u64 page = *walk_to(4, 1, 0x400000) & MASK(51, 12);
    memset((u8 *)phys_to_virt(page) + 0x100, 0x66, 32);
    cpu.rip = 0x400100;
    assert_false(fetch_skip(&cpu, wide_cpuid + 1, 2));
}

#define TEST(t) cmocka_unit_test_setup(t, setup)

/* Tables and the like in firmware's memory: so many pages are mapped, each once, and no more. */
static void test_firmwares_pages(void **state)
{
    static u8 page[PAGE_SIZE];

    (void)state;
    firmware_page = page;
    pages_mapped = 0;
    for (unsigned again = 0; again < 2; again++)
        for (u64 i = 0; i < 65; i++)
            assert_ptr_equal(guest_page(0x80000000 + i * PAGE_SIZE + 8), i < 64 ? page : NULL);
    assert_int_equal(pages_mapped, 64);
    assert_null(guest_page(BIT(32)));
    assert_int_equal(pages_mapped, 64);
    assert_ptr_equal(guest_page(RAM_BASE + 8), ram);
    firmware_page = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_paging_off),
        TEST(test_4_levels),
        TEST(test_large_pages),
        TEST(test_5_levels),
        TEST(test_rights),
        TEST(test_no_execute),
        TEST(test_smep_and_smap),
        TEST(test_accessed_and_dirty),
        TEST(test_tables_outside_of_ram),
        TEST(test_a_table_of_itself),
        TEST(test_pae),
        TEST(test_32_bit),
        TEST(test_fetch),
        TEST(test_rewritten_bytes),
        TEST(test_changed_tables),
        TEST(test_another_mode),
        TEST(test_fetch_at_a_pages_end),
        TEST(test_known),
        TEST(test_fetch_across_pages),
        TEST(test_code_in_a_device),
        TEST(test_many),
        TEST(test_skip),
        TEST(test_firmwares_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
