/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions C cannot name, and the per-CPU block.
 */
#ifndef ARCH_CPU_H
#define ARCH_CPU_H

#include "arch/types.h"

#define PORT_ACCESS(suffix, type)                                        \
    static inline void out##suffix(u16 port, type v)                     \
    {                                                                    \
        __asm__ volatile("out" #suffix " %0, %1" ::"a"(v), "Nd"(port));  \
    }                                                                    \
    static inline type in##suffix(u16 port)                              \
    {                                                                    \
        type v;                                                          \
        __asm__ volatile("in" #suffix " %1, %0" : "=a"(v) : "Nd"(port)); \
        return v;                                                        \
    }
PORT_ACCESS(b, u8)
PORT_ACCESS(w, u16)
PORT_ACCESS(l, u32)

/* 1, 2 or 4 bytes. */
static inline u32 port_in(u16 port, unsigned width)
{
    return width == 1 ? inb(port) : width == 2 ? inw(port) : inl(port);
}
static inline void port_out(u16 port, unsigned width, u32 v)
{
    if (width == 1)
        outb(port, (u8)v);
    else if (width == 2)
        outw(port, (u16)v);
    else
        outl(port, v);
}

static inline u64 rdmsr(u32 msr)
{
    u32 lo, hi;
    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return (u64)hi << 32 | lo;
}
static inline void wrmsr(u32 msr, u64 v)
{
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}
/* False when the access raised #GP: for MSRs that only some CPUs have, and what a guest asks for. */
bool rdmsr_safe(u32 msr, u64 *value) __must_check;
bool wrmsr_safe(u32 msr, u64 value) __must_check;
bool xsetbv_safe(u32 index, u64 value) __must_check;

static inline void cpuid(u32 leaf, u32 sub, u32 out[4])
{
    __asm__ volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3]) : "a"(leaf), "c"(sub));
}
/* All 0 where the CPU does not have the leaf. */
static inline void cpuid_or_0(u32 leaf, u32 sub, u32 out[4])
{
    cpuid(leaf & 0x80000000, 0, out);
    if (out[0] >= leaf)
        cpuid(leaf, sub, out);
    else
        out[0] = out[1] = out[2] = out[3] = 0;
}
/* Of a physical address; the same on every CPU. */
static inline unsigned cpu_phys_bits(void)
{
    u32 r[4];

    cpuid_or_0(0x80000008, 0, r);
    return r[0] & 0xff ? MIN(r[0] & 0xff, 52) : 36;
}
static inline u32 rdpkru(void)
{
    u32 value, high;

    __asm__ volatile(".byte 0x0f, 0x01, 0xee" : "=a"(value), "=d"(high) : "c"(0));
    return value;
}
static inline u64 rdtsc(void)
{
    u32 lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (u64)hi << 32 | lo;
}
static inline void cpu_pause(void)
{
    __asm__ volatile("pause" ::: "memory");
}
static inline void wbinvd(void)
{
    __asm__ volatile("wbinvd" ::: "memory");
}
static inline void cpu_flush_line(u64 address)
{
    __asm__ volatile("clflush (%0)" ::"r"(address) : "memory");
}
#define READ_CR(n)                                        \
    static inline u64 read_cr##n(void)                    \
    {                                                     \
        u64 v;                                            \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(v)); \
        return v;                                         \
    }
READ_CR(0)
READ_CR(2)
READ_CR(3)
READ_CR(4)
static inline void write_cr4(u64 v)
{
    __asm__ volatile("mov %0, %%cr4" ::"r"(v) : "memory");
}

/*
 * Microseconds since clock_init(), from the TSC, calibrated there once (CPUID 15h/16h, else ACPI's PM timer
 * or the PIT): call it after acpi_init(). Before, all times are 0.
 */
u64 clock_us(void);
u64 clock_tsc_per_us(void);
void clock_init(void);

void __noreturn cpu_halt_forever(void);
void __noreturn machine_reset(void);

/* Halts while *word is `unless` and until an NMI comes, which is not lost between the look and the halt. */
void cpu_idle(const u32 *word, u32 unless);

struct spinlock {
    volatile u32 taken;
};
static inline void spin_lock(struct spinlock *l)
{
    while (unlikely(__atomic_exchange_n(&l->taken, 1, __ATOMIC_ACQUIRE)))
        while (__atomic_load_n(&l->taken, __ATOMIC_RELAXED))
            cpu_pause();
}
static inline void spin_unlock(struct spinlock *l)
{
    __atomic_store_n(&l->taken, 0, __ATOMIC_RELEASE);
}

/* Reached through GS base; set before the first C code that uses it runs on a CPU. */
struct vcpu;
struct percpu {
    struct percpu *self;
    u32 index; /* dense, 0 = the CPU that booted */
    u32 apic_id;
    struct vcpu *vcpu;
    volatile u32 nmi_count;    /* NMIs taken by the host's handler; compared around stgi/clgi */
    volatile int arrival;      /* arch/smp.c */
    bool x2apic;               /* arch/lapic.c */
    struct cpu_stacks *stacks; /* arch/percpu.h */
    /* exception tables */
    u64 gdt[8];
    u8 tss[104 + 8];
};
/* Known to except.asm. */
_Static_assert(offsetof(struct percpu, nmi_count) == 24, "NMI handler");

#define MAX_CPUS 256
static inline struct percpu *this_cpu(void)
{
    struct percpu *self;
    __asm__("mov %%gs:0, %0" : "=r"(self));
    return self;
}
struct percpu *percpu_of(u32 index); /* NULL when there is none */

/* The block and the stacks of another CPU than the first. refuse()s when memory is short. */
struct percpu *percpu_create(u32 index);

/* On that CPU: GDT, IDT, TSS with own stacks for NMI, #DF, #MC; GS base. */
void percpu_init(struct percpu *cpu);

#endif
