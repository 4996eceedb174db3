/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/walk.c hv/fetch.c arch/insn.c */
/* What is checked on the way through the guest's tables, and what is left in them. */
#include <signal.h>
#include <sys/mman.h>
#include "arch/cpu.h"
#include "tests/unit/walk_world.h"

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

/* Who may do what, by the last entry, the mode and the protection key; ~0: it may. */
static void test_who_may_do_what(void **state)
{
    enum { OK = ~0, KEY = 5, AD = 1 << 2 * KEY, WD = 2 << 2 * KEY };
    static const struct {
        u64 cr4;
        u32 wp, cpl, pkru, leaf;
        enum walk_access access;
        u32 code;
    } t[] = {
        /* supervisor pages are none of SMAP's and SMEP's, and user pages only theirs */
        { CR4_SMAP | CR4_SMEP, 1, 0, 0, W, WALK_READ, OK },
        { CR4_SMAP | CR4_SMEP, 1, 0, 0, W, WALK_WRITE, OK },
        { CR4_SMAP | CR4_SMEP, 1, 0, 0, W, WALK_FETCH, OK },
        { CR4_SMAP, 1, 0, 0, U, WALK_FETCH, OK },
        { CR4_SMEP, 1, 0, 0, U, WALK_READ, OK },
        /* write protection is the supervisor's to switch off */
        { 0, 0, 0, 0, U, WALK_WRITE, OK },
        { 0, 0, 3, 0, U, WALK_WRITE, PF_PRESENT | PF_WRITE | PF_USER },
        /* keys: access disabled, write disabled; for data in user pages only */
        { CR4_PKE, 1, 3, AD, U | W, WALK_READ, PF_PRESENT | PF_USER | PF_KEY },
        { CR4_PKE, 1, 0, AD, U | W, WALK_WRITE, PF_PRESENT | PF_WRITE | PF_KEY },
        { CR4_PKE, 1, 3, AD, U | W, WALK_FETCH, OK },
        { CR4_PKE, 1, 0, AD | WD, W, WALK_WRITE, OK },
        { CR4_PKE, 1, 3, WD, U | W, WALK_READ, OK },
        { CR4_PKE, 1, 3, WD, U | W, WALK_WRITE, PF_PRESENT | PF_WRITE | PF_USER | PF_KEY },
        { CR4_PKE, 0, 3, WD, U | W, WALK_WRITE, PF_PRESENT | PF_WRITE | PF_USER | PF_KEY },
        { CR4_PKE, 1, 0, WD, U | W, WALK_WRITE, PF_PRESENT | PF_WRITE | PF_KEY },
        { CR4_PKE, 0, 0, WD, U | W, WALK_WRITE, OK },
        { CR4_PKE, 1, 3, ~(u32)(AD | WD), U | W, WALK_WRITE, OK },
        { 0, 1, 3, AD | WD, U | W, WALK_WRITE, OK },
    };
    u64 *e = walk_to(4, 1, 0x400000);

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        *e = 0x5000 | P | (u64)KEY << 59 | t[i].leaf;
        mode.cr0 = CR0_PG | (t[i].wp ? CR0_WP : 0);
        mode.cr4 = CR4_PAE | t[i].cr4;
        mode.cpl = t[i].cpl;
        pkru = t[i].pkru;
        if (t[i].code == (u32)OK)
            assert_walks(0x400008, t[i].access, 0x5008);
        else
            assert_faults(0x400008, t[i].access, t[i].code);
    }
}

/* A fetch is told apart only where it may be forbidden. */
static void test_the_code_of_a_fetch(void **state)
{
    (void)state;
    assert_faults(0x400000, WALK_FETCH, PF_FETCH);
    mode.efer = LMA;
    assert_faults(0x400000, WALK_FETCH, 0);
    mode.cr4 |= CR4_SMEP;
    assert_faults(0x400000, WALK_FETCH, PF_FETCH);
    assert_faults(0x400000, WALK_READ, 0);
    assert_int_equal(fault_code, 0);
    assert_false(guest_reach(&cpu, &mode, 0x400123, WALK_WRITE, &w));
    assert_int_equal(fault_code, PF_WRITE);
    assert_int_equal(fault_at, 0x400123);
    *walk_to(4, 1, 0x400000) = 0x5000 | P | W;
    fault_at = 0;
    assert_true(guest_reach(&cpu, &mode, 0x400123, WALK_WRITE, &w));
    assert_int_equal(fault_at, 0);
}

/* Bits that a CPU leaves to the guest, and the first one of an address that it does not have. */
static void test_reserved_bits(void **state)
{
    const u64 va = 0x400000;
    u64 *e = walk_to(4, 1, va);

    (void)state;
    *e = 0x5000 | P | MASK(62, 52) | MASK(11, 9);
    assert_walks(va, WALK_READ, 0x5000);
    *e = BIT(cpu_phys_bits() - 1) | P;
    assert_walks(va, WALK_READ, BIT(cpu_phys_bits() - 1));
    if (cpu_phys_bits() < 52) {
        *e = BIT(cpu_phys_bits()) | P;
        assert_faults(va, WALK_READ, PF_PRESENT | PF_RESERVED);
    }
    for (unsigned level = 4; level <= 5;
         level++) { /* there are no pages of 512 GiB, aligned as they may be */
        mode.cr4 = CR4_PAE | (level == 5 ? CR4_LA57 : 0);
        *entry(mode.cr3, 1) = BIT(39) | P | PS;
        assert_faults(1ull << (12 + 9 * (level - 1)), WALK_READ, PF_PRESENT | PF_RESERVED);
    }
}

/* Ones are what is read where nothing is; only entries of 4 bytes have no bit that this would offend. */
static void test_a_last_table_of_nobodys(void **state)
{
    (void)state;
    *walk_to(4, 2, 0x456000) = 0x200000000 | P | W | U;
    assert_faults(0x456000, WALK_READ, PF_PRESENT | PF_RESERVED);
    mode.efer = mode.cr4 = 0;
    *(u32 *)entry(mode.cr3, 0) = 0xfed00000 | P | W | U;
    *(u32 *)entry(mode.cr3, 1) = ~0u;
    assert_walks(0x56789, WALK_WRITE, 0xfffff789);
}

/* ---- another CPU, which changes an entry between the look at it and the mark that it was used ---- */

static u64 *contested;
static unsigned changes_left, stores, looks;

static void protect(int access)
{
    assert_int_equal(mprotect((void *)align_down((u64)contested, PAGE_SIZE), PAGE_SIZE, access), 0);
}

static void look(u64 page)
{
    looks++;
    if (page == align_down((u64)contested - (u64)ram, PAGE_SIZE) + RAM_BASE)
        protect(PROT_READ);
}

/* The walker's store faults, and is made again when this returns. */
static void before_the_store(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    if (info->si_addr != contested)
        signal(signal_number, SIG_DFL);
    stores++;
    protect(PROT_READ | PROT_WRITE);
    if (changes_left) {
        changes_left--;
        *contested ^= BIT(58); /* the guest's own */
    }
}

static void test_another_cpu(void **state)
{
    static const struct {
        unsigned changes, tries;
        bool done;
    } t[] = { { 0, 1, true }, { 1, 2, true }, { 7, 8, true }, { 8, 8, false }, { 20, 8, false } };
    struct sigaction trap = { .sa_sigaction = before_the_store, .sa_flags = SA_SIGINFO }, before;

    (void)state;
    contested = walk_to(4, 1, 0x400000);
    mode.cpl = 3;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        *contested = 0x5000 | P | W | U;
        looks = stores = 0;
        changes_left = t[i].changes;
        reading = look;
        assert_int_equal(sigaction(SIGSEGV, &trap, &before), 0);
        bool done = guest_walk(&cpu, &mode, 0x400000, WALK_WRITE, &w);
        assert_int_equal(sigaction(SIGSEGV, &before, NULL), 0);
        protect(PROT_READ | PROT_WRITE);
        assert_int_equal(done, t[i].done);
        assert_int_equal(looks, 4 * t[i].tries); /* each entry is read once */
        assert_int_equal(stores, t[i].tries);
        if (!done)
            assert_int_equal(w.fault, PF_WRITE | PF_USER);
    }
    /* What is marked already is not written; and a fault is found out once. */
    *contested = 0x5000 | P | W | U | A | D;
    looks = stores = 0;
    assert_walks(0x400000, WALK_WRITE, 0x5000);
    protect(PROT_READ | PROT_WRITE);
    *contested = 0x5000 | P;
    assert_faults(0x400000, WALK_WRITE, PF_PRESENT | PF_WRITE | PF_USER);
    protect(PROT_READ | PROT_WRITE);
    assert_int_equal(looks, 2 * 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rights),
        TEST(test_no_execute),
        TEST(test_smep_and_smap),
        TEST(test_accessed_and_dirty),
        TEST(test_tables_outside_of_ram),
        TEST(test_who_may_do_what),
        TEST(test_the_code_of_a_fetch),
        TEST(test_reserved_bits),
        TEST(test_a_last_table_of_nobodys),
        TEST(test_another_cpu),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
