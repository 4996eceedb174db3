/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/guests/lib/cpus.h"
#include "tests/guests/lib/guest.h"

#define LAPIC        0xfee00000ull
#define APIC_ID      0x20u
#define APIC_EOI     0xb0u
#define APIC_SVR     0xf0u
#define APIC_ICR     0x300u
#define MSR_GS_BASE  0xc0000101u
#define STACK_PAGES  4
#define PATIENCE_MS  5000
#define INIT_WAIT_MS 10

struct ap_data {
    u16 gdt_limit;
    u64 gdt_base;
    u16 idt_limit;
    u64 idt_base;
    u64 cr3, list, entry;
    u32 next;
} __attribute__((packed));

extern const u8 ap_code[], ap_data[], ap_code_end[];

struct cpu cpus[CPUS_MAX];
u32 nr_cpus = 1;

static struct cpu *list[CPUS_MAX];

void pause_ms(u64 ms)
{
    for (u64 end = deadline_in_ms(ms); !deadline_over(end);) {
        relax();
    }
}

struct cpu *cpu_self(void)
{
    return (struct cpu *)rdmsr(MSR_GS_BASE);
}

static u32 apic_msr(u32 reg)
{
    return 0x800 + reg / 16;
}

void cpu_send(u32 destination, u32 command)
{
    if (cpu_self()->x2) {
        wrmsr(apic_msr(APIC_ICR), command | (u64)destination << 32);
        return;
    }
    mmio_write32(LAPIC + APIC_ICR + 0x10, destination << 24);
    mmio_write32(LAPIC + APIC_ICR, command);
    while (mmio_read32(LAPIC + APIC_ICR) & BIT(12)) {
        relax();
    }
}

void cpu_eoi(void)
{
    if (cpu_self()->x2) {
        wrmsr(apic_msr(APIC_EOI), 0);
    } else {
        mmio_write32(LAPIC + APIC_EOI, 0);
    }
}

static void apic_on(struct cpu *c)
{
    c->x2 = rdmsr(0x1b) & BIT(10);
    if (c->x2) {
        c->apic_id = (u32)rdmsr(apic_msr(APIC_ID));
        wrmsr(apic_msr(APIC_SVR), 0x1ff);
    } else {
        c->apic_id = mmio_read32(LAPIC + APIC_ID) >> 24;
        mmio_write32(LAPIC + APIC_SVR, 0x1ff);
    }
}

static void ap_main(struct cpu *c)
{
    wrmsr(MSR_GS_BASE, (u64)c);
    apic_on(c);
    c->up = true;
    for (;;) {
        if (c->job) {
            c->job(c);
            c->job = NULL;
        }
        relax();
    }
}

void cpus_init(void)
{
    wrmsr(MSR_GS_BASE, (u64)&cpus[0]);
    apic_on(&cpus[0]);
    cpus[0].up = true;
    for (u32 i = 1; i < CPUS_MAX; i++) {
        cpus[i].index = i;
        cpus[i].stack_top = (u64)page_alloc(STACK_PAGES) + STACK_PAGES * PAGE_SIZE - 8;
    }
}

static struct ap_data *place_code(void)
{
    struct ap_data *d = (struct ap_data *)(AP_PAGE + (u64)(ap_data - ap_code));
    struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) table;
    u64 cr3;

    memcpy((void *)(u64)AP_PAGE, ap_code, (size_t)(ap_code_end - ap_code));
    __asm__ volatile("sgdt %0" : "=m"(table));
    d->gdt_limit = table.limit;
    d->gdt_base = table.base;
    __asm__ volatile("sidt %0" : "=m"(table));
    d->idt_limit = table.limit;
    d->idt_base = table.base;
    __asm__ volatile("movq %%cr3, %0" : "=r"(cr3));
    d->cr3 = cr3;
    d->list = (u64)list;
    d->entry = (u64)ap_main;
    d->next = 0;
    return d;
}

static bool wait_for(const volatile bool *flag)
{
    for (u64 end = deadline_in_ms(PATIENCE_MS); !*flag;) {
        if (deadline_over(end)) {
            return false;
        }
        relax();
    }
    return true;
}

static void start_up(u32 destination, u32 shorthand)
{
    cpu_send(destination, SEND_INIT | shorthand);
    pause_ms(INIT_WAIT_MS);
    /* Twice, as it is always done: the second must not start anybody again. */
    cpu_send(destination, SEND_STARTUP | shorthand | AP_PAGE >> 12);
    cpu_send(destination, SEND_STARTUP | shorthand | AP_PAGE >> 12);
}

bool cpus_start(u32 want)
{
    struct ap_data *d = place_code();
    bool ok = true;

    for (u32 i = 1; i < CPUS_MAX; i++) {
        list[i - 1] = &cpus[i];
    }
    start_up(0, SEND_OTHERS);
    for (u32 i = 1; i < want; i++) {
        ok &= wait_for(&cpus[i].up);
    }
    pause_ms(INIT_WAIT_MS);
    nr_cpus = 1 + d->next;
    return ok && nr_cpus == want;
}

bool cpu_restart(struct cpu *c)
{
    struct ap_data *d = place_code();

    list[0] = c;
    c->job = NULL;
    c->up = false;
    start_up(c->apic_id, 0);
    return wait_for(&c->up) && d->next == 1;
}

void cpu_do(struct cpu *c, void (*job)(struct cpu *))
{
    c->stop = false;
    c->count = 0;
    c->job = job;
}

bool cpu_finish(const struct cpu *c)
{
    for (u64 end = deadline_in_ms(PATIENCE_MS); c->job;) {
        if (deadline_over(end)) {
            return false;
        }
        relax();
    }
    return true;
}

void guest_lock(struct guest_lock *l)
{
    while (__atomic_exchange_n(&l->taken, 1, __ATOMIC_ACQUIRE)) {
        relax();
    }
}

void guest_unlock(struct guest_lock *l)
{
    __atomic_store_n(&l->taken, 0, __ATOMIC_RELEASE);
}
