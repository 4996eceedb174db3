/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The per-CPU block, reached through GS base, and the descriptor tables in it.
 */
#include "arch/percpu.h"
#include "arch/except.h"
#include "arch/log.h"
#include "arch/paging.h"
#include "arch/x86.h"

#define CPUID_1_MCE   BIT(7)
#define CPUID_1_XSAVE BIT(26) /* ECX */
#define CPUID_7_PKU   BIT(3)  /* ECX */
#define CPUID_7_SMEP  BIT(7)
#define CPUID_1_PAT   BIT(16)

#define GDT_CODE64 0x00af9b000000ffffull
#define GDT_DATA   0x00cf93000000ffffull
#define SEL_CODE   0x08
#define SEL_DATA   0x10
#define SEL_TSS    0x18
#define TSS_SIZE   104

struct cpu_stacks cpu0_stacks;
/* linker.ld puts the boot stack's top there. */
_Static_assert(offsetof(struct cpu_stacks, main) + MAIN_STACK == 0x9000, "boot_stack_top");

static struct percpu cpu0 = { .stacks = &cpu0_stacks };
static struct percpu *percpu_table[MAX_CPUS] = { &cpu0 };

static const struct {
    u32 at, size;
} layout[NR_STACKS] = {
    { offsetof(struct cpu_stacks, main), MAIN_STACK },
    { offsetof(struct cpu_stacks, nmi), IST_STACK },
    { offsetof(struct cpu_stacks, df), IST_STACK },
    { offsetof(struct cpu_stacks, mc), IST_STACK },
};

struct descriptor_ptr {
    u16 limit;
    u64 base;
} __attribute__((packed));

struct percpu *percpu_of(u32 index)
{
    return index < MAX_CPUS ? percpu_table[index] : NULL;
}

static void tss_set_ist(struct percpu *cpu, unsigned slot, u8 *stack)
{
    u64 top = (u64)stack + IST_STACK;

    __builtin_memcpy(cpu->tss + 0x24 + 8 * (slot - 1), &top, sizeof(top));
}

static void load_descriptors(struct percpu *cpu)
{
    u64 tss = (u64)cpu->tss;
    u16 io_map = TSS_SIZE; /* none */

    tss_set_ist(cpu, IST_NMI, cpu->stacks->nmi);
    tss_set_ist(cpu, IST_DF, cpu->stacks->df);
    tss_set_ist(cpu, IST_MC, cpu->stacks->mc);
    __builtin_memcpy(cpu->tss + 0x66, &io_map, sizeof(io_map));

    cpu->gdt[SEL_CODE / 8] = GDT_CODE64;
    cpu->gdt[SEL_DATA / 8] = GDT_DATA;
    cpu->gdt[SEL_TSS / 8] =
        (TSS_SIZE - 1) | (tss & MASK(23, 0)) << 16 | 0x89ull << 40 | (tss >> 24 & 0xff) << 56;
    cpu->gdt[SEL_TSS / 8 + 1] = tss >> 32;

    struct descriptor_ptr gdt = { .limit = sizeof(cpu->gdt) - 1, .base = (u64)cpu->gdt };
    __asm__ volatile("lgdt %0\n\t"
                     "pushq %1\n\t"
                     "leaq 1f(%%rip), %%rax\n\t"
                     "pushq %%rax\n\t"
                     "lretq\n"
                     "1:\n\t"
                     "movl %2, %%eax\n\t"
                     "movl %%eax, %%ds\n\t"
                     "movl %%eax, %%es\n\t"
                     "movl %%eax, %%ss\n\t"
                     "xorl %%eax, %%eax\n\t"
                     "movl %%eax, %%fs\n\t"
                     "movl %%eax, %%gs\n\t"
                     "ltr %w3"
                     :
                     : "m"(gdt), "i"(SEL_CODE), "i"(SEL_DATA), "r"(SEL_TSS)
                     : "rax", "memory");
    wrmsr(MSR_GS_BASE, (u64)cpu);
}

/*
 * What we rely on, whatever firmware left: PAT entry 3 means uncached, a machine check is an exception and
 * not a shutdown, user pages are never executed; and what instructions need that are repeated for the guest:
 * XSETBV, RDPKRU.
 */
static void set_cpu_state(void)
{
    u64 cr4 = read_cr4();
    u32 r[4];

    cpuid(1, 0, r);
    if (r[3] & CPUID_1_PAT)
        wrmsr(MSR_PAT, PAT_POWER_ON);
    if (r[3] & CPUID_1_MCE)
        cr4 |= CR4_MCE;
    if (r[2] & CPUID_1_XSAVE)
        cr4 |= CR4_OSXSAVE;
    cpuid_or_0(7, 0, r);
    if (r[1] & CPUID_7_SMEP)
        cr4 |= CR4_SMEP;
    if (r[2] & CPUID_7_PKU)
        cr4 |= CR4_PKE;
    write_cr4(cr4);
}

/* All 32 bits where the CPU has them. */
static u32 own_apic_id(void)
{
    u32 r[4];

    cpuid_or_0(0xb, 0, r);
    if (r[1])
        return r[3];
    cpuid(1, 0, r);
    return r[1] >> 24;
}

u8 *stack_guard_page(struct cpu_stacks *stacks, unsigned i)
{
    return (u8 *)stacks + layout[i].at - PAGE_SIZE;
}

struct percpu *percpu_create(u32 index)
{
    struct percpu *cpu = pages_alloc(align_up(sizeof(*cpu), PAGE_SIZE) / PAGE_SIZE);
    struct cpu_stacks *stacks = pages_alloc(sizeof(*stacks) / PAGE_SIZE);

    bool done = cpu && stacks;

    for (unsigned i = 0; i < NR_STACKS && done; i++)
        done = paging_guard(stack_guard_page(stacks, i));
    if (!done)
        refuse("no memory for CPU %u; give Sluice more with mem=", index);
    cpu->index = index;
    cpu->stacks = stacks;
    percpu_table[index] = cpu;
    return cpu;
}

void percpu_init(struct percpu *cpu)
{
    cpu->self = cpu;
    cpu->apic_id = own_apic_id();
    load_descriptors(cpu);
    except_init();
    set_cpu_state();
}

bool stack_bounds(const struct percpu *cpu, u64 address, u64 *low, u64 *high)
{
    for (unsigned i = 0; i < NR_STACKS; i++) {
        *low = (u64)cpu->stacks + layout[i].at;
        *high = *low + layout[i].size;
        if (address >= *low && address < *high)
            return true;
    }
    return false;
}

bool stack_guard(const struct percpu *cpu, u64 address)
{
    for (unsigned i = 0; i < NR_STACKS; i++)
        if (align_down(address, PAGE_SIZE) == (u64)stack_guard_page(cpu->stacks, i))
            return true;
    return false;
}
