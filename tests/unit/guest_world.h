/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest whose accesses exit: 64-bit code with page tables of its own, some RAM, a device of two pages, and
 * memory that is not the guest's. "W4:10=5 " is a write of the device's register at 10h; "done " is said when
 * an instruction has been carried out.
 */
#ifndef TESTS_GUEST_WORLD_H
#define TESTS_GUEST_WORLD_H

#include "tests/unit/machine_world.h"
#include "arch/nested.h"
#include "arch/paging.h"
#include "hv/bus.h"
#include "hv/exit.h"
#include "hv/fetch.h"
#include "hv/mem.h"
#include "hv/walk.h"

/* ---- physical ---- */

#define RAM       0x100000ull
#define RAM_PAGES 48
#define CODE_PAGE (RAM + 0x18000) /* the pages below are for tables */
#define DATA_PAGE (RAM + 0x20000)
#define NEXT_PAGE (RAM + 0x24000) /* of data: behind the first only by linear address */
#define REGS      0xfe000000ull
#define HOLE      0xfd000000ull /* nobody's */
#define BAR       0xf0000000ull /* a device that is the guest's own: no trap, and no memory */

static u8 ram[RAM_PAGES * PAGE_SIZE] __attribute__((aligned(4096)));
static u8 regs[2 * PAGE_SIZE];
static unsigned nr_tables;
static int fill_error = ERR_INVAL;

bool mem_is_guest_ram(u64 pa, u64 size)
{
    return pa >= RAM && pa + size <= RAM + sizeof(ram);
}

void *phys_to_virt(u64 pa)
{
    assert_true(pa >= RAM && pa < RAM + sizeof(ram));
    return ram + (pa - RAM);
}

void *direct_map(u64 pa, u64 size)
{
    (void)pa;
    (void)size;
    return NULL;
}

void *page_alloc(void)
{
    static u8 page[PAGE_SIZE] __attribute__((aligned(4096)));

    return memset(page, 0, sizeof(page));
}

int nested_set(u64 base, u64 size, enum nested_access access)
{
    (void)base;
    (void)size;
    (void)access;
    return 0;
}

enum nested_access nested_get(u64 gpa)
{
    return align_down(gpa, 0x10000) == HOLE || bus_find(gpa) ? NESTED_NONE : NESTED_ALL;
}

int nested_fill(u64 gpa)
{
    if (!fill_error)
        tell("fill:%llx ", (unsigned long long)gpa);
    return fill_error;
}

static u64 device(void *ctx, u64 gpa, unsigned width, bool write, u64 value, struct vcpu *v)
{
    u64 off = gpa - REGS;

    (void)v;
    assert_ptr_equal(ctx, regs);
    assert_true((gpa & (PAGE_SIZE - 1)) + width <= PAGE_SIZE);
    if (write) {
        tell("W%u:%llx=%llx ", width, (unsigned long long)off, value & MASK(8 * width - 1, 0));
        memcpy(regs + off, &value, width);
    } else {
        tell("R%u:%llx ", width, (unsigned long long)off);
        value = ~0ull;
        memcpy(&value, regs + off, width);
    }
    return value;
}

/* ---- the CPU ---- */

static struct vcpu cpu;
static struct vcpu_mode mode;
static u64 segment_base[NR_SEG];
static unsigned mode_reads; /* who emulates with all that belongs to it asks for the mode */

u32 rdpkru(void)
{
    return 0;
}

void vcpu_get_mode(struct vcpu *v, struct vcpu_mode *out)
{
    (void)v;
    mode_reads++;
    *out = mode;
}

void vcpu_inject_exception(struct vcpu *v, u8 vector, bool has_code, u32 code)
{
    (void)v;
    tell(has_code ? "#%u(%x) " : "#%u ", vector, code);
}

void vcpu_inject_page_fault(struct vcpu *v, u64 cr2, u32 code)
{
    (void)v;
    tell("#PF:%llx(%x) ", (unsigned long long)cr2, code);
}

void vcpu_trap(u8 *map, u32 bit, bool on)
{
    (void)map;
    (void)bit;
    (void)on;
}

static bool reads_code_as(struct vcpu *v, const struct vcpu_mode *was)
{
    (void)v;
    return !memcmp(was, &mode, sizeof(mode));
}

static void get_segment(struct vcpu *v, unsigned seg, struct vcpu_segment *out)
{
    (void)v;
    *out = (struct vcpu_segment){ .base = segment_base[seg] };
}

static void retired(struct vcpu *v)
{
    (void)v;
    tell("done ");
}

static struct vcpu_backend backend = {
    .name = "test", .reads_code_as = reads_code_as, .get_segment = get_segment, .retired = retired
};
const struct vcpu_backend *vcpu_ops = &backend;

/* ---- linear ---- */

#define CODE   0x400000ull /* page by page, with nothing behind */
#define DATA   0x600000ull
#define DEVICE 0x800000ull

static u64 *table_entry(u64 table, u64 linear, unsigned level)
{
    return (u64 *)phys_to_virt(table) + (linear >> (PAGE_SHIFT + 9 * (level - 1)) & 511);
}

/* `entry`: address and rights of the page; 0: nothing. Tables are made where there are none yet. */
static void map(u64 linear, u64 entry)
{
    u64 table = mode.cr3;

    for (unsigned level = mode.cr4 & CR4_LA57 ? 5 : 4; level > 1; level--) {
        u64 *e = table_entry(table, linear, level);
        if (!*e)
            *e = (RAM + PAGE_SIZE * nr_tables++) | PTE_P | PTE_W | PTE_U | PTE_A; /* the CPU has been there */
        table = *e & PTE_ADDR;
    }
    assert_true(RAM + PAGE_SIZE * nr_tables <= CODE_PAGE);
    *table_entry(table, linear, 1) = entry;
}

static u8 *at(u64 gpa)
{
    return phys_to_virt(gpa);
}

static int guest_set_up(void **state)
{
    machine_set_up(state);
    memset(ram, 0, sizeof(ram));
    memset(&cpu, 0, sizeof(cpu));
    memset(segment_base, 0, sizeof(segment_base));
    for (unsigned i = 0; i < sizeof(regs); i++)
        regs[i] = (u8)(0xa0 + i);
    fill_error = ERR_INVAL;
    mode_reads = 0;
    nr_tables = 1;
    memset(&mode, 0, sizeof(mode)); /* the bytes between its fields too */
    mode.cr0 = CR0_PG | CR0_PE | CR0_WP;
    mode.cr3 = RAM;
    mode.cr4 = CR4_PAE;
    mode.efer = EFER_LMA | EFER_NXE;
    mode.cs_attrib = 0xa9b;
    map(CODE, CODE_PAGE | PTE_P);
    map(DATA, DATA_PAGE | PTE_P | PTE_W);
    map(DATA + PAGE_SIZE, NEXT_PAGE | PTE_P | PTE_W);
    map(DEVICE, REGS | PTE_P | PTE_W);
    map(DEVICE + PAGE_SIZE, (REGS + PAGE_SIZE) | PTE_P | PTE_W);
    if (!bus_find(REGS) && bus_add_mmio(REGS, sizeof(regs), false, device, regs))
        return 1;
    cpu.rip = CODE;
    return fetch_init(&cpu);
}

/* The guest stands at these bytes; what lies behind them is of no instruction. */
static void put_code(const u8 *code, size_t size)
{
    memset(at(CODE_PAGE), 0x06, PAGE_SIZE);
    memcpy(at(CODE_PAGE) + (cpu.rip & (PAGE_SIZE - 1)), code, size);
}

#define READ  0
#define WRITE NESTED_WRITE
#define RO    PTE_P
#define RW    (PTE_P | PTE_W)

/* One exit, of the instruction at CODE. */
static inline void fault(const u8 *code, size_t size, u64 gpa, u64 access)
{
    cpu.rip = CODE;
    put_code(code, size);
    cpu.exit = (struct vcpu_exit){ .kind = VEXIT_NESTED, .gpa = gpa, .access = access };
    handle_nested_fault(&cpu, &cpu.exit);
}
#define FAULT(gpa, access, ...) \
    fault((const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }), gpa, access)

#define STORE  0x89, 0x08 /* mov %ecx, (%rax) */
#define LOAD   0x8b, 0x08 /* mov (%rax), %ecx */
#define STORE8 0x48, 0x89, 0x08
#define LOAD8  0x48, 0x8b, 0x08
#define OR_TO  0x09, 0x08 /* or %ecx, (%rax) */
#define MOVSB  0xa4
#define MOVSL  0xa5
#define MOVSQ  0x48, 0xa5

#endif
