/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/smp.h"
#include "arch/acpi.h"
#include "arch/cpu.h"
#include "arch/lapic.h"
#include "arch/log.h"
#include "arch/paging.h"
#include "arch/percpu.h"
#include "arch/string.h"
#include "arch/x86.h"

/* The MADT's entries for CPUs (ACPI 5.2.12.2, 5.2.12.12). */
#define MADT_LOCAL_APIC  0
#define MADT_LOCAL_X2    9
#define MADT_CPU_ENABLED BIT(0)

#define LOW_END   0xa0000ull
#define INIT_US   10000   /* from INIT to the start-up message */
#define ANSWER_US 1000000 /* twice: the first message may get lost */
#define SETUP_US  30000000

/* percpu.arrival; a negative one is the error of start(). */
enum { EXPECTED, ARRIVED, READY, GIVEN_UP };

struct parameters {
    u16 gdt_limit;
    u32 gdt_base;
    u32 far_offset;
    u16 far_selector;
    u32 cr3;
    u64 stack_top, argument, entry;
} __attribute__((packed));

extern const u8 trampoline[], trampoline_long[], trampoline_gdt[], trampoline_data[], trampoline_end[];

static int (*ap_start)(void);
static void (*ap_run)(void);
static u64 *start_tables[3]; /* those of the page below 1 MiB */

static bool arrival_changes(struct percpu *cpu, int from, int to)
{
    return __atomic_compare_exchange_n(&cpu->arrival, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static void __noreturn ap_entry(struct percpu *cpu)
{
    if (!arrival_changes(cpu, EXPECTED, ARRIVED))
        cpu_halt_forever();
    paging_load();
    percpu_init(cpu);
    int err = ap_start();
    __atomic_store_n(&cpu->arrival, err ? err : READY, __ATOMIC_SEQ_CST);
    if (!err)
        ap_run();
    cpu_halt_forever();
}

static void wait_us(u64 us)
{
    for (u64 start = clock_us(); clock_us() - start < us;)
        cpu_pause();
}

/* While it is still `state`, and not for ever. */
static int wait_while(const struct percpu *cpu, int state, u64 us)
{
    for (u64 start = clock_us(); cpu->arrival == state && clock_us() - start < us;)
        cpu_pause();
    return cpu->arrival;
}

/* The highest free page of RAM below 640 KiB. */
static u64 low_page(const struct boot_info *info)
{
    for (u64 page = LOW_END - PAGE_SIZE; page; page -= PAGE_SIZE) {
        bool ram = false, taken = false;

        for (unsigned i = 0; i < info->nr_ranges; i++)
            ram |= info->ranges[i].type == BOOT_MEM_RAM && info->ranges[i].base <= page &&
                   page + PAGE_SIZE - info->ranges[i].base <= info->ranges[i].size;
        for (unsigned i = 0; i < info->nr_modules; i++)
            taken |= ranges_overlap(page, PAGE_SIZE, info->modules[i].base, info->modules[i].size);
        if (ram && !taken)
            return page;
    }
    return 0;
}

/* Everything of Sluice's, and the first 2 MiB at their own addresses. */
static bool make_tables(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(start_tables); i++)
        if (!(start_tables[i] = page_alloc()))
            return false;
    memcpy(start_tables[0], paging_root(), PAGE_SIZE);
    start_tables[0][0] = virt_to_phys(start_tables[1]) | PTE_P | PTE_W;
    start_tables[1][0] = virt_to_phys(start_tables[2]) | PTE_P | PTE_W;
    start_tables[2][0] = PTE_P | PTE_W | PTE_PS;
    return true;
}

/* False: it does not answer. */
static bool start_cpu(u64 page, u32 index, u32 apic_id)
{
    struct parameters *p = (struct parameters *)((u8 *)phys_to_virt(page) + (trampoline_data - trampoline));
    struct percpu *cpu = percpu_create(index);
    u32 sipi = (u32)(MODE_STARTUP << 8 | ICR_ASSERT | page >> PAGE_SHIFT);

    memcpy(phys_to_virt(page), trampoline, (size_t)(trampoline_end - trampoline));
    p->gdt_base = (u32)page + (u32)(trampoline_gdt - trampoline);
    p->far_offset = (u32)page + (u32)(trampoline_long - trampoline);
    p->cr3 = (u32)virt_to_phys(start_tables[0]);
    p->entry = (u64)ap_entry;
    p->stack_top = (u64)cpu->stacks->main + MAIN_STACK;
    p->argument = (u64)cpu;
    for (unsigned i = 0; i < 2 && cpu->arrival == EXPECTED; i++) {
        lapic_send(sipi, apic_id);
        wait_while(cpu, EXPECTED, ANSWER_US);
    }
    if (arrival_changes(cpu, EXPECTED, GIVEN_UP)) {
        /* Wherever it is now: an INIT, and it waits for a start-up message that nobody will send. */
        lapic_send((u32)(MODE_INIT << 8 | ICR_ASSERT), apic_id);
        wait_us(INIT_US);
        return false;
    }
    int state = wait_while(cpu, ARRIVED, SETUP_US);
    if (state != READY)
        refuse(
            "CPU with APIC id %u cannot be set up for a guest (error %d); see that firmware sets all CPUs up "
            "alike, or give Sluice more memory with mem=",
            apic_id, state);
    return true;
}

static bool known(u32 count, u32 apic_id)
{
    for (u32 i = 0; i < count; i++)
        if (percpu_of(i)->apic_id == apic_id)
            return true;
    return false;
}

/* Is this entry one of a CPU that can be used? */
static bool is_cpu(const u8 *entry, u32 *apic_id)
{
    u32 flags = 0;

    if (entry[0] == MADT_LOCAL_APIC && entry[1] >= 8) {
        *apic_id = entry[3];
        memcpy(&flags, entry + 4, sizeof(flags));
    } else if (entry[0] == MADT_LOCAL_X2 && entry[1] >= 16) {
        memcpy(apic_id, entry + 4, sizeof(*apic_id));
        memcpy(&flags, entry + 8, sizeof(flags));
    }
    return flags & MADT_CPU_ENABLED;
}

/* The next CPU behind an entry that is none of the first `count`; NULL: firmware's list has no more. */
static const u8 *next_cpu(const u8 *entry, u32 count, u32 *apic_id)
{
    do
        entry = acpi_madt_next(entry);
    while (entry && (!is_cpu(entry, apic_id) || known(count, *apic_id)));
    return entry;
}

u32 smp_start(const struct boot_info *info, int (*start)(void), void (*run)(void))
{
    /* Whatever firmware left the others doing, those it does not list too, they now wait for a start-up
     * message. */
    lapic_send((u32)(MODE_INIT << 8 | ICR_ASSERT | field_prep(ICR_SHORTHAND, TO_OTHERS)), 0);
    u32 count = 1, apic_id;
    if (!next_cpu(NULL, count, &apic_id))
        return 1;

    u64 page = low_page(info);
    void *saved = page_alloc();

    ap_start = start;
    ap_run = run;
    if (!page || !saved || !make_tables())
        refuse("no memory to start the other CPUs with: a page below 640 KiB, and a few of Sluice's own");
    memcpy(saved, phys_to_virt(page), PAGE_SIZE);
    wait_us(INIT_US);
    for (const u8 *entry = NULL; (entry = next_cpu(entry, count, &apic_id)) != NULL;) {
        if (count == MAX_CPUS)
            log_warn("CPU          with APIC id %u stays unused: Sluice runs %u at most", apic_id, MAX_CPUS);
        else if (lapic_reaches(apic_id) && start_cpu(page, count, apic_id))
            count++;
        else
            log_warn("CPU          with APIC id %u does not answer: it stays unused", apic_id);
    }
    memcpy(phys_to_virt(page), saved, PAGE_SIZE);
    page_free(saved);
    for (unsigned i = 0; i < ARRAY_SIZE(start_tables); i++)
        page_free(start_tables[i]);
    return count;
}
