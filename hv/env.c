/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The world as iommu/ sees it, on the real machine.
 */
#include "iommu/env.h"
#include "arch/cpu.h"
#include "arch/log.h"
#include "arch/paging.h"
#include "hv/env.h"
#include "hv/exit.h"
#include "hv/mem.h"
#include "hv/pci.h"

_Static_assert((int)ENV_ERR == (int)LOG_ERR && (int)ENV_DEBUG == (int)LOG_DEBUG, "same levels");

static u64 *page_notes; /* one for each page of the pool from there on */

int env_init(void)
{
    page_notes = pages_alloc(align_up(pages_available() * sizeof(*page_notes), PAGE_SIZE) / PAGE_SIZE);
    return page_notes ? 0 : ERR_NOMEM;
}

static __attribute__((noinline)) volatile void *page_elsewhere(u64 gpa)
{
    return mem_is_guest_ram(align_down(gpa, PAGE_SIZE), PAGE_SIZE) ? (void *)(DIRECT_VA + gpa) : NULL;
}

volatile void *env_guest_ram(u64 gpa)
{
    return mem_in_large(gpa) ? (void *)(DIRECT_VA + gpa) : page_elsewhere(gpa);
}

bool env_dma_allowed(u64 addr, u64 *extent)
{
    enum mem_owner owner = MEM_GUEST_RAM;

    *extent = mem_large_left(addr);
    if (unlikely(!*extent))
        *extent = mem_extent(addr, &owner);
    return owner == MEM_GUEST_RAM || owner == MEM_RMRR || owner == MEM_BAR;
}

void *env_page_alloc(void)
{
    return page_alloc();
}

void env_page_free(void *page)
{
    page_free(page);
}

void *env_pages_alloc(unsigned count)
{
    return pages_alloc(count);
}

size_t env_pages_available(void)
{
    return pages_available();
}

u64 *env_page_note(const void *page)
{
    return &page_notes[((u64)page - (u64)page_notes) / PAGE_SIZE];
}

u64 env_phys(const void *page)
{
    return virt_to_phys(page);
}

void *env_virt(u64 phys)
{
    return phys_to_virt(phys);
}

void env_store64(u64 *at, u64 value)
{
    __atomic_store_n(at, value, __ATOMIC_RELEASE);
}

void env_writeback(const void *p, size_t len)
{
    static u64 line; /* the same on every CPU, so a race only computes it twice */

    if (!line) {
        u32 r[4];
        cpuid(1, 0, r);
        line = MAX((r[1] >> 8 & 0xff) * 8, 16u); /* EBX 15:8, in quadwords */
    }
    for (u64 a = align_down((u64)p, line); a < (u64)p + len; a += line)
        cpu_flush_line(a);
    __asm__ volatile("mfence" ::: "memory");
}

u64 env_now_us(void)
{
    return clock_us();
}

u64 env_ticks(void)
{
    return rdtsc();
}

void env_relax(void)
{
    cpu_pause();
}

void env_lock_wait(struct env_lock *lock)
{
    while (__atomic_load_n(&lock->taken, __ATOMIC_RELAXED))
        cpu_pause();
}

void env_event_message(u64 *address, u32 *data)
{
    apic_event_message(address, data);
}

bool env_send_interrupt(u64 address, u32 data)
{
    return apic_send_message(address, data);
}

u32 env_pci_read32(u16 segment, u16 sid, u32 off)
{
    return pci_read(segment, sid, off, 4);
}

u16 env_pci_physical(u16 segment, u16 sid)
{
    return pci_physical_function(segment, sid);
}

void env_bus_master_off(u16 segment, u16 sid)
{
    u32 command = pci_read(segment, sid, PCI_COMMAND, 2);

    pci_write(segment, sid, PCI_COMMAND, 2, command & ~(u32)PCI_COMMAND_MASTER);
}

void env_log(enum env_level level, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    log_vline((enum log_level)level, fmt, args);
    va_end(args);
}

void env_log_limited(enum env_level level, const char *fmt, ...)
{
    static struct log_bucket bucket;
    va_list args;

    if ((enum log_level)level > log_threshold || log_limited(&bucket))
        return;
    va_start(args, fmt);
    log_vline((enum log_level)level, fmt, args);
    va_end(args);
}
