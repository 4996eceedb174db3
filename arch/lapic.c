/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/lapic.h"
#include "arch/cpu.h"
#include "arch/paging.h"

#define SEND_TRIES 100000

static volatile u8 *page;

int lapic_init(void)
{
    page = mmio_map(LAPIC_ADDRESS, PAGE_SIZE);
    return page ? 0 : ERR_NOMEM;
}

void lapic_look_at_mode(void)
{
    this_cpu()->x2apic = (rdmsr(MSR_APIC_BASE) & (BASE_X2 | BASE_ENABLED)) == (BASE_X2 | BASE_ENABLED);
}

bool lapic_is_x2(void)
{
    return this_cpu()->x2apic;
}

u32 lapic_read(u32 reg)
{
    return lapic_is_x2() ? (u32)rdmsr(MSR_X2APIC + reg / 16) : *(volatile u32 *)(page + reg);
}

void lapic_write(u32 reg, u32 value)
{
    if (lapic_is_x2())
        wrmsr(MSR_X2APIC + reg / 16, value);
    else
        *(volatile u32 *)(page + reg) = value;
}

bool lapic_reaches(u32 apic_id)
{
    return apic_id < 0xff || lapic_is_x2();
}

static void wait_idle(void)
{
    for (unsigned i = 0; i < SEND_TRIES && (lapic_read(APIC_ICR) & ICR_PENDING); i++)
        cpu_pause();
}

void lapic_send(u32 command, u32 dest)
{
    if (lapic_is_x2()) {
        /* Unlike a store to the page, this write may overtake those before it. */
        __asm__ volatile("mfence; lfence" ::: "memory");
        wrmsr(MSR_X2APIC + APIC_ICR / 16, command | (u64)dest << 32);
        return;
    }
    wait_idle();
    u32 high = lapic_read(APIC_ICR_HIGH); /* the guest may have written its half */
    lapic_write(APIC_ICR_HIGH, dest << 24);
    lapic_write(APIC_ICR, command);
    wait_idle();
    lapic_write(APIC_ICR_HIGH, high);
}
