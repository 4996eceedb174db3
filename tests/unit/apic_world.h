/* SPDX-License-Identifier: Apache-2.0 */
/* Four CPUs, each with a small APIC, for the tests of hv/apic.c: "300=40 " is a write that reached it. */
#ifndef TESTS_APIC_WORLD_H
#define TESTS_APIC_WORLD_H

#include "tests/unit/machine_world.h"
#include "arch/lapic.h"
#include "arch/nested.h"
#include "hv/bus.h"
#include "hv/exit.h"
#include "hv/power.h"

#define NR_CPUS 4

static struct percpu blocks[NR_CPUS];
static struct vcpu vcpus[NR_CPUS];
static bool x2;
static u64 apic_base;
static u32 apic_regs[PAGE_SIZE / 16];
static bool accepts;
static int init_error;
static mmio_handler handler;

struct vcpu *vcpu_of(u32 index)
{
    return index < NR_CPUS ? &vcpus[index] : NULL;
}

struct percpu *percpu_of(u32 index)
{
    return index < NR_CPUS ? &blocks[index] : NULL;
}

void vcpu_inject_nmi(struct vcpu *v)
{
    tell("nmi:%u ", v->index);
}

void vcpu_request(struct vcpu *v, u32 what)
{
    tell(what == VCPU_NMI ? "ask-nmi:%u " : "?", v->index);
}

void vcpu_sipi(struct vcpu *v, u8 vector)
{
    tell("sipi:%u=%x ", v->index, vector);
}

void vcpu_init_ipi(struct vcpu *v)
{
    tell("init:%u ", v->index);
}

void power_reset(const char *why)
{
    (void)why;
    end("power-reset");
}

bool lapic_is_x2(void)
{
    return x2;
}

void lapic_look_at_mode(void)
{
    tell("look ");
}

u32 lapic_read(u32 reg)
{
    assert_true(is_aligned(reg, 16));
    return apic_regs[reg / 16];
}

void lapic_write(u32 reg, u32 value)
{
    assert_true(is_aligned(reg, 16));
    apic_regs[reg / 16] = value;
    tell("%x=%x ", reg, value);
}

void lapic_send(u32 command, u32 dest)
{
    tell("send:%x,%x ", command, dest);
}

int lapic_init(void)
{
    return init_error;
}

u64 rdmsr(u32 msr)
{
    assert_int_equal(msr, MSR_APIC_BASE);
    return apic_base;
}

void wrmsr(u32 msr, u64 value)
{
    tell("msr:%x=%llx ", msr, (unsigned long long)value);
}

bool wrmsr_safe(u32 msr, u64 value)
{
    wrmsr(msr, value);
    return accepts;
}

int bus_add_mmio(u64 base, u64 size, bool reads_direct, mmio_handler h, void *ctx)
{
    assert_null(ctx);
    tell("trap:%llx+%llx%s ", (unsigned long long)base, (unsigned long long)size, reads_direct ? "r" : "");
    handler = h;
    return 0;
}

int nested_set(u64 base, u64 size, enum nested_access access)
{
    tell("hide:%llx+%llx=%d ", (unsigned long long)base, (unsigned long long)size, access);
    return 0;
}

/* The APIC's ids are 0, 1, 5 and 12h, and its logical ones a bit each. */
static int set_up(void **state)
{
    static const u32 ids[NR_CPUS] = { 0, 1, 5, 0x12 };

    memset(vcpus, 0, sizeof(vcpus));
    memset(apic_regs, 0, sizeof(apic_regs));
    for (u32 i = 0; i < NR_CPUS; i++) {
        blocks[i].apic_id = ids[i];
        vcpus[i].index = i;
        vcpus[i].apic_dfr = 0xf;
        vcpus[i].apic_ldr = (u8)(1 << i);
    }
    x2 = false;
    accepts = true;
    init_error = 0;
    apic_base = LAPIC_ADDRESS | BASE_ENABLED;
    machine_set_up(state);
    if (apic_init())
        return 1;
    story[0] = 0;
    return 0;
}

#endif
