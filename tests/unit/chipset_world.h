/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IOAPICs and an HPET. An IOAPIC's registers are reached through two words, so its page is protected: each
 * access faults, is carried out alone, and then is known. "i10=5 " is a write to register 10h, "eoi=33 ".
 */
#ifndef TESTS_CHIPSET_WORLD_H
#define TESTS_CHIPSET_WORLD_H

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include "tests/unit/machine_world.h"
#include "arch/paging.h"
#include "hv/bus.h"
#include "hv/exit.h"
#include "hv/fixed.h"
#include "hv/intr.h"
#include "iommu/iommu.h"

#define IOAPIC      0xfec00000ull /* the first; others follow, each in a page of its own */
#define HPET        0xfed00000ull
#define MAX_IOAPICS 17

static struct {
    u8 id;
    u32 select, reg[256];
} ioapic[MAX_IOAPICS];
static unsigned nr_ioapics_listed, nr_ioapics_trapped;
static u32 ioapic_offset; /* of their registers in their pages */
static u8 *ioapic_pages;
static u64 ioapic_at; /* what is being accessed */
static bool ioapic_write;
static bool cannot_map, cannot_trap;
static mmio_handler ioapic_handler, hpet_handler; /* NULL: it is not trapped */
static void *ioapic_ctx;

static bool device_unlocked; /* it was accessed, or a message made, while another CPU could do the same */

static void page_allow(int access)
{
    assert_int_equal(mprotect(ioapic_pages + align_down(ioapic_at, PAGE_SIZE), PAGE_SIZE, access), 0);
}

#define TRAP_FLAG 0x100
/* Of the saved registers; sys/ucontext.h has names that mean something else here. */
enum { SAVED_EFLAGS = 17, SAVED_ERROR = 19 };

static void before_access(int signal_number, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    unsigned n = (unsigned)((ioapic_at = (u64)((u8 *)info->si_addr - ioapic_pages)) / PAGE_SIZE);

    if (n >= MAX_IOAPICS) {
        signal(signal_number, SIG_DFL);
        return;
    }
    device_unlocked |= !intr_lock.taken;
    ioapic_write = regs[SAVED_ERROR] & 2;
    regs[SAVED_EFLAGS] |= TRAP_FLAG;
    page_allow(PROT_READ | PROT_WRITE);
    *(u32 *)(ioapic_pages + ioapic_at) = ioapic[n].reg[ioapic[n].select & 0xff];
}

static void after_access(int signal_number, siginfo_t *info, void *context)
{
    unsigned n = (unsigned)(ioapic_at / PAGE_SIZE), off = ioapic_at % PAGE_SIZE - ioapic_offset;
    u32 value = *(u32 *)(ioapic_pages + ioapic_at);

    (void)signal_number;
    (void)info;
    ((ucontext_t *)context)->uc_mcontext.gregs[SAVED_EFLAGS] &= ~TRAP_FLAG;
    page_allow(PROT_NONE);
    if (off == 0x10 && ioapic_write) {
        ioapic[n].reg[ioapic[n].select & 0xff] = value;
        tell("i%x=%x ", ioapic[n].select, value);
    } else if (off == 0 && ioapic_write) {
        ioapic[n].select = value;
    } else if (off != 0x10) {
        tell(ioapic_write && off == 0x40 ? "eoi=%x " : "other ", value);
    }
}

/* Before each access: cmocka sets these signals for each test anew. */
static void ioapic_watch(void)
{
    const struct sigaction before = { .sa_sigaction = before_access, .sa_flags = SA_SIGINFO };
    const struct sigaction after = { .sa_sigaction = after_access, .sa_flags = SA_SIGINFO };

    assert_int_equal(sigaction(SIGSEGV, &before, NULL), 0);
    assert_int_equal(sigaction(SIGTRAP, &after, NULL), 0);
}

static void *ioapic_map(unsigned n)
{
    if (!ioapic_pages)
        ioapic_pages = mmap(NULL, MAX_IOAPICS * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ioapic_watch();
    return ioapic_pages + n * PAGE_SIZE + ioapic_offset;
}

/* Three timers, of which the second can send messages. */
static u32 hpet_page[0x400];
static u8 hpet_number;

void *mmio_map(u64 pa, u64 size)
{
    unsigned n = (unsigned)((pa - IOAPIC) / PAGE_SIZE);

    assert_int_equal(pa % PAGE_SIZE + size, PAGE_SIZE);
    if (cannot_map)
        return NULL;
    if (pa == HPET)
        return hpet_page;
    assert_int_equal(pa % PAGE_SIZE, ioapic_offset);
    return ioapic_map(n);
}

static int chipset_add_mmio(u64 base, u64 size, bool reads_direct, mmio_handler handler, void *ctx)
{
    assert_false(reads_direct);
    assert_int_equal(size, PAGE_SIZE);
    assert_true(is_aligned(base, PAGE_SIZE));
    if (cannot_trap)
        return ERR_NOSPC;
    if (base == HPET) {
        hpet_handler = handler;
        return 0;
    }
    nr_ioapics_trapped++;
    ioapic_handler = handler;
    ioapic_ctx = ctx;
    return 0;
}

/* Firmware names the units of the IOAPICs 2 to 100 and of the HPET 0. */
bool iommu_chipset(enum iommu_chipset type, u8 id, u16 *segment, u16 *sid)
{
    *segment = 0;
    *sid = type == IOMMU_HPET ? 0xff78 : 0xff00;
    return type == IOMMU_HPET ? id == 0 : id >= 2 && id <= 100;
}

u64 fixed_hpet(u8 *number)
{
    *number = hpet_number;
    return hpet_number == 8 ? 0 : HPET;
}

const u8 *fixed_ioapic_next(const u8 *entry, u64 *address)
{
    static u8 madt_entry[MAX_IOAPICS + 1][12];
    unsigned n = entry ? (unsigned)((entry - madt_entry[0]) / 12) + 1 : 0;

    if (n == nr_ioapics_listed)
        return NULL;
    *address = IOAPIC + n * PAGE_SIZE + ioapic_offset;
    madt_entry[n][2] = ioapic[n].id;
    return madt_entry[n];
}

#endif
