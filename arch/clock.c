/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time from the TSC. Its rate comes from CPUID where the CPU knows it, else from one millisecond measured
 * with ACPI's PM timer, else with the PIT.
 */
#include "arch/acpi.h"
#include "arch/cpu.h"
#include "arch/log.h"

#define PM_HZ       3579545u
#define PM_MASK     MASK(23, 0) /* some are only 24 bits wide */
#define PM_INTERVAL (PM_HZ / 1000)
#define PM_DEAD     10000 /* reads without a change: it does not run */

/* FADT (ACPI 5.2.9). */
#define FADT_PM_TMR_BLK   76
#define FADT_PM_TMR_LEN   91
#define FADT_X_PM_TMR_BLK 208
#define GAS_IO            1
#define GAS_ADDRESS       4

#define PIT_HZ         1193182u
#define PIT_INTERVAL   (PIT_HZ / 1000)
#define PIT_CHANNEL2   0x42
#define PIT_COMMAND    0x43
#define PIT_MODE0_CH2  0xb0
#define PORT_B         0x61
#define PORT_B_GATE2   0x01
#define PORT_B_SPEAKER 0x02
#define PORT_B_OUT2    0x20
#define PIT_READS      1000000

/* Too high rather than too low: deadlines get longer then, never shorter. */
#define GUESS_PER_US 4000

static u64 tsc_per_us;
static u64 tsc_start;

/* `tsc` ticks while a timer of `hz` made `ticks` steps, per microsecond, rounded. */
static u64 rate_of(u64 tsc, u64 hz, u64 ticks)
{
    return (tsc * hz / ticks + 500000) / 1000000;
}

static u64 from_cpuid(void)
{
    u32 r[4];

    cpuid_or_0(0x15, 0, r);
    u64 ratio_den = r[0], ratio_num = r[1], crystal = r[2];
    if (!ratio_den || !ratio_num)
        return 0;
    if (crystal)
        return rate_of(ratio_num, crystal, ratio_den);
    cpuid_or_0(0x16, 0, r);
    return r[0] & 0xffff; /* the base frequency in MHz is the TSC's */
}

static u16 pm_timer_port(void)
{
    const struct acpi_header *fadt = acpi_find("FACP");
    u64 port = acpi_field(fadt, FADT_PM_TMR_BLK, 4),
        wide = acpi_field(fadt, FADT_X_PM_TMR_BLK + GAS_ADDRESS, 8);

    if (acpi_field(fadt, FADT_PM_TMR_LEN, 1) != 4)
        return 0;
    if (wide)
        port = acpi_field(fadt, FADT_X_PM_TMR_BLK, 1) == GAS_IO ? wide : 0;
    return port <= 0xffff ? (u16)port : 0;
}

/* Waits until the timer is `ticks` after `from`; returns how far it really is, 0 when it stands still. */
static u64 pm_wait(u16 port, u32 from, u32 ticks)
{
    u32 last = inl(port) & PM_MASK;

    for (unsigned still = 0; still < PM_DEAD; still++) {
        u32 now = inl(port) & PM_MASK;

        if (((now - from) & PM_MASK) >= ticks)
            return (now - from) & PM_MASK;
        if (now != last)
            still = 0;
        last = now;
    }
    return 0;
}

static u64 from_pm_timer(void)
{
    u16 port = pm_timer_port();

    if (!port)
        return 0;
    u32 start = inl(port) & PM_MASK;
    if (!pm_wait(port, start, 1))
        return 0;
    start = inl(port) & PM_MASK;
    u64 tsc = rdtsc();
    u64 ticks = pm_wait(port, start, PM_INTERVAL);
    tsc = rdtsc() - tsc;
    return ticks ? rate_of(tsc, PM_HZ, ticks) : 0;
}

static u64 from_pit(void)
{
    u8 saved = inb(PORT_B);
    unsigned reads = 0;

    outb(PORT_B, (saved & ~PORT_B_SPEAKER) | PORT_B_GATE2);
    outb(PIT_COMMAND, PIT_MODE0_CH2);
    outb(PIT_CHANNEL2, PIT_INTERVAL & 0xff);
    outb(PIT_CHANNEL2, PIT_INTERVAL >> 8);
    u64 tsc = rdtsc();
    while (!(inb(PORT_B) & PORT_B_OUT2) && ++reads < PIT_READS)
        cpu_pause();
    tsc = rdtsc() - tsc;
    outb(PORT_B, saved);
    /* At once or never: there is no PIT. */
    return reads > 1 && reads < PIT_READS ? rate_of(tsc, PIT_HZ, PIT_INTERVAL) : 0;
}

void clock_init(void)
{
    u64 rate = from_cpuid();

    if (!rate)
        rate = from_pm_timer();
    if (!rate)
        rate = from_pit();
    if (!rate) {
        log_warn("no timer to measure the TSC with: taking %u MHz", GUESS_PER_US);
        rate = GUESS_PER_US;
    }
    tsc_start = rdtsc();
    tsc_per_us = rate;
}

u64 clock_us(void)
{
    return tsc_per_us ? (rdtsc() - tsc_start) / tsc_per_us : 0;
}

u64 clock_tsc_per_us(void)
{
    return tsc_per_us;
}
