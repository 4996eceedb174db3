/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every test guest has: the console and its line protocol, the command line, memory, traps, the clock.
 *
 * A guest prints `T: name ok`, `T: name FAIL why` or `T: name skip why` for each check and `I: ...` for what
 * is worth knowing, ends with `DONE n passed, n failed` and switches the machine off. The same binary runs on
 * the bare machine and on the hypervisor.
 */
#ifndef GUEST_H
#define GUEST_H

#include "arch/types.h"

/* ---- the guest itself: each program has one */
void guest_main(void);

/* ---- console and checks (print.c) */
void print(const char *fmt, ...) __printf(1, 2); /* %s %c %d %u %x, with l and a width; %lx is 64-bit */
void check(const char *name, bool ok, const char *fmt, ...) __printf(3, 4);
void skip(const char *name, const char *why);
__noreturn void done(void); /* prints DONE and switches the machine off */

/* ---- command line: words split by blanks, `key` or `key=value` */
bool option(const char *key);
/* The value of `key=`, or `missing`; valid until the next call. */
const char *option_value(const char *key, const char *missing);
u64 option_number(const char *key, u64 missing);
bool streq(const char *a, const char *b);

/* ---- memory */
void *page_alloc(u64 pages); /* zeroed, 4 KiB aligned, never freed; stops the guest when none is left */
void *page_alloc_aligned(u64 pages, u64 size); /* the same, aligned to `size` */
void fill(volatile void *page, u64 bytes, u64 seed);
bool filled(volatile void *page, u64 bytes, u64 seed);
void *memset(void *to, int byte, size_t bytes);
void *memcpy(void *to, const void *from, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);

/* The loader's memory map. Type 1 is RAM. */
struct memory_range {
    u64 base, bytes;
    u32 type, pad;
};
extern const struct memory_range *memory_map;
extern u32 memory_ranges;
extern u64 rsdp_address;

/* ---- the hypervisor, if there is one that calls itself "SluiceSluice" */
extern bool on_sluice;
extern u64 hv_base, hv_bytes; /* the memory it keeps for itself; 0 when there is none or it does not say */

/* ---- traps */
struct trap_frame {
    u64 r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    u64 vector, error, rip, cs, rflags, rsp, ss;
};
/*
 * Run `code` and tell which exception it raised: the vector, or -1 for none. Execution goes on behind `code`
 * whatever it did to the stack and to the callee-saved registers.
 */
int trapped(void (*code)(void *), void *arg);
extern u64 trap_error, trap_cr2, trap_rip;
/* Called for vectors of 32 and above and for NMI. */
extern void (*on_interrupt)(u64 vector);

/* ---- the machine */
static inline void outb(u16 port, u8 v)
{
    __asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port) : "memory");
}
static inline void outw(u16 port, u16 v)
{
    __asm__ volatile("outw %0, %1" ::"a"(v), "Nd"(port) : "memory");
}
static inline void outl(u16 port, u32 v)
{
    __asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(port) : "memory");
}
static inline u8 inb(u16 port)
{
    u8 v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline u16 inw(u16 port)
{
    u16 v;
    __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline u32 inl(u16 port)
{
    u32 v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline u32 mmio_read32(u64 address)
{
    u32 v;
    __asm__ volatile("movl %1, %0" : "=r"(v) : "m"(*(volatile u32 *)address) : "memory");
    return v;
}
static inline u64 mmio_read64(u64 address)
{
    u64 v;
    __asm__ volatile("movq %1, %0" : "=r"(v) : "m"(*(volatile u64 *)address) : "memory");
    return v;
}
static inline void mmio_write32(u64 address, u32 v)
{
    __asm__ volatile("movl %1, %0" : "=m"(*(volatile u32 *)address) : "r"(v) : "memory");
}
static inline void mmio_write64(u64 address, u64 v)
{
    __asm__ volatile("movq %1, %0" : "=m"(*(volatile u64 *)address) : "r"(v) : "memory");
}
static inline u64 rdmsr(u32 msr)
{
    u32 lo, hi;
    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
    return lo | (u64)hi << 32;
}
static inline void wrmsr(u32 msr, u64 v)
{
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}
static inline void cpuid(u32 leaf, u32 sub, u32 r[4])
{
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub));
}
/* Never one that QEMU emulates here, which lets some things pass that no processor does. */
static inline bool is_intel(void)
{
    u32 r[4];

    cpuid(0, 0, r);
    return r[1] == 0x756e6547; /* "Genu" */
}
static inline u64 rdtsc(void)
{
    u32 lo, hi;
    __asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi)::"memory");
    return lo | (u64)hi << 32;
}
static inline void relax(void)
{
    __asm__ volatile("pause" ::: "memory");
}

/* A bounded wait on the ACPI timer: it runs at 3.579545 MHz whatever the TSC counts. */
u64 deadline_in_ms(u64 ms);
bool deadline_over(u64 deadline);

/*
 * Begin a new part of the run in the emulator's own trace, in order with the unit's events: selecting a
 * firmware-configuration item that does not exist changes nothing and is traced with its number. Numbers
 * count up from 0 and are told on the console as `M: number name`; checks carry the name from here on.
 */
void part(const char *fmt, ...) __printf(1, 2);

/* ---- ACPI (acpi.c) */
const void *acpi_table(const char *signature); /* NULL when there is none */
u16 acpi_pm_timer(void);
__noreturn void power_off(void);

#endif
