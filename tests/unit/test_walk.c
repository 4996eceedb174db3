/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/walk.c hv/fetch.c arch/insn.c */
/*
 * The guest's page tables as the software walker sees them, in every paging mode, and the memory of fetched
 * instructions, which must never outlive a change of tables or bytes.
 */
#include "tests/unit/walk_world.h"

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
    *entry(pd, 1) |= U;
    *entry(*entry(pd, 1) & MASK(51, 12), 5) |= U;
    mode.cr4 |= CR4_PKE; /* keys are of long mode */
    pkru = ~0u;
    assert_walks(0xc0205678, WALK_READ, 0x234567678);
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
    pt[0x235] = 0xabede000 | P | W; /* bit 21 is reserved only where pages are large */
    assert_walks(0xc0634567, WALK_WRITE, 0xabcde567);
    assert_walks(0xc0635567, WALK_READ, 0xabede567);
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

/* Tables and the like in firmware's memory: so many pages are mapped, each once, and no more. */
static void test_firmwares_pages(void **state)
{
    static u8 page[PAGE_SIZE];

    (void)state;
    assert_null(guest_page(0x90000000)); /* cannot be mapped, also when asked again */
    assert_null(guest_page(0x90000000));
    firmware_page = page;
    pages_mapped = 0;
    assert_ptr_equal(guest_page(0x80000000), page);
    assert_ptr_equal(guest_page(0x80000fff), page);
    assert_int_equal(pages_mapped, 1);
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
