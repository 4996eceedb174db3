/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/except.h"
#include "arch/log.h"
#include "arch/paging.h"
#include "arch/percpu.h"
#include "arch/symbols.h"
#include "arch/x86.h"

#define NR_VECTORS 32

struct gate {
    u16 offset_low, selector;
    u8 ist, type;
    u16 offset_mid;
    u32 offset_high, reserved;
};
_Static_assert(sizeof(struct gate) == 16, "AMD APM 2, 4.8.4");

struct fixup {
    u64 fault, resume;
};

extern const u64 except_entries[NR_VECTORS];
extern const struct fixup extable[]; /* ends with an empty one */
extern const u8 image_text[], image_text_end[];

/* Interrupts are never enabled in the hypervisor: a vector above 31 is a bug, and #GP reports it. */
static struct gate idt[NR_VECTORS];

static const char *const names[NR_VECTORS] = {
    [0] = "#DE divide error",
    [VEC_DB] = "#DB debug",
    [3] = "#BP breakpoint",
    [4] = "#OF overflow",
    [5] = "#BR bound range",
    [6] = "#UD invalid opcode",
    [7] = "#NM device not available",
    [VEC_DF] = "#DF double fault",
    [10] = "#TS invalid TSS",
    [11] = "#NP segment not present",
    [12] = "#SS stack",
    [VEC_GP] = "#GP general protection",
    [VEC_PF] = "#PF page fault",
    [16] = "#MF x87",
    [17] = "#AC alignment check",
    [VEC_MC] = "#MC machine check",
    [19] = "#XF SIMD",
    [21] = "#CP control protection",
    [28] = "#HV hypervisor injection",
    [29] = "#VC VMM communication",
    [30] = "#SX security",
};

void except_init(void)
{
    const struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) idtr = { .limit = sizeof(idt) - 1, .base = (u64)idt };

    static bool built;

    for (unsigned v = 0; v < NR_VECTORS && !built; v++) {
        u64 entry = except_entries[v];

        idt[v] = (struct gate){
            .offset_low = (u16)entry,
            .offset_mid = (u16)(entry >> 16),
            .offset_high = (u32)(entry >> 32),
            .selector = 0x08,
            .type = 0x8e,
            .ist = v == VEC_NMI  ? IST_NMI
                   : v == VEC_DF ? IST_DF
                   : v == VEC_MC ? IST_MC
                                 : 0,
        };
    }
    built = true;
    __asm__ volatile("lidt %0" ::"m"(idtr));
}

struct percpu *except_fix_percpu(void)
{
    struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) gdtr;

    __asm__ volatile("sgdt %0" : "=m"(gdtr));
    struct percpu *cpu = (struct percpu *)(gdtr.base - offsetof(struct percpu, gdt));
    wrmsr(MSR_GS_BASE, (u64)cpu);
    return cpu;
}

static bool in_text(u64 address)
{
    return address >= (u64)image_text && address < (u64)image_text_end;
}

/* The function that holds `address`, NULL if that is none of ours. */
static const char *symbol_of(u64 address, u64 *offset)
{
    u32 behind = 0;

    if (!in_text(address))
        return NULL;
    while (behind < symbol_count && symbol_table[behind].offset <= address - IMAGE_VA)
        behind++;
    if (!behind)
        return NULL;
    *offset = address - IMAGE_VA - symbol_table[behind - 1].offset;
    return symbol_names + symbol_table[behind - 1].name;
}

static void print_frame(u64 address)
{
    u64 offset = 0;
    const char *name = symbol_of(address, &offset);

    if (name)
        log_err("  %016llx %s+0x%llx", (unsigned long long)address, name, (unsigned long long)offset);
    else
        log_err("  %016llx", (unsigned long long)address);
}

/* Does a near call end here, direct or through a register or memory (AMD APM 3, CALL)? */
static bool behind_call(u64 address)
{
    const u8 *code = (const u8 *)address;

    if (!in_text(address - 7) || !in_text(address))
        return false;
    if (code[-5] == 0xe8)
        return true;
    for (int n = 2; n <= 7; n++)
        if (code[-n] == 0xff && (code[1 - n] & 0x38) == 0x10)
            return true;
    return false;
}

#define MAX_FRAMES 32

/* Functions keep no frames, so each return address on the stack is shown: some may be left from earlier
 * calls. */
void except_backtrace(const struct regs *regs)
{
    const struct percpu *cpu = this_cpu();
    u64 at = align_down(regs ? regs->rsp : (u64)__builtin_frame_address(0), sizeof(u64)), low, high;

    log_err("backtrace:");
    if (regs)
        print_frame(regs->rip);
    if (!stack_bounds(cpu, at, &low, &high)) {
        at = align_up(at, PAGE_SIZE); /* an overflow ends in the guard page below */
        if (!stack_bounds(cpu, at, &low, &high))
            return;
    }
    for (unsigned shown = 0; at < high && shown < MAX_FRAMES; at += sizeof(u64)) {
        u64 from = *(const u64 *)at;

        if (!behind_call(from))
            continue;
        /* The call is before the address it returns to, which may already be the next function. */
        print_frame(from - 1);
        shown++;
    }
}

#define R(name) (unsigned long long)regs->name

void except_dump(const struct regs *regs)
{
    log_err("rip %016llx cs %04llx rflags %08llx error %llx", R(rip), R(cs), R(rflags), R(error));
    log_err("rsp %016llx ss %04llx cr2 %016llx cr3 %016llx", R(rsp), R(ss), (unsigned long long)read_cr2(),
            (unsigned long long)read_cr3());
    log_err("rax %016llx rcx %016llx rdx %016llx rbx %016llx", R(rax), R(rcx), R(rdx), R(rbx));
    log_err("rbp %016llx rsi %016llx rdi %016llx r8  %016llx", R(rbp), R(rsi), R(rdi), R(r8));
    log_err("r9  %016llx r10 %016llx r11 %016llx r12 %016llx", R(r9), R(r10), R(r11), R(r12));
    log_err("r13 %016llx r14 %016llx r15 %016llx", R(r13), R(r14), R(r15));
}

static void __printf(2, 3) report(const struct regs *regs, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vpanic(regs, fmt, args);
    va_end(args);
}

/* The instruction before it may raise #GP, and then goes on at `fault`. */
#define FIXUP "\n\t.pushsection .extable, \"a\"\n\t.quad 1b, %l[fault]\n\t.popsection"

bool rdmsr_safe(u32 msr, u64 *value)
{
    u32 lo = 0, hi = 0;

    __asm__ goto("1: rdmsr" FIXUP : "=a"(lo), "=d"(hi) : "c"(msr) : : fault);
    *value = (u64)hi << 32 | lo;
    return true;
fault:
    return false;
}

bool wrmsr_safe(u32 msr, u64 value)
{
    __asm__ goto("1: wrmsr" FIXUP : : "c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory" : fault);
    return true;
fault:
    return false;
}

bool xsetbv_safe(u32 index, u64 value)
{
    __asm__ goto("1: xsetbv" FIXUP
                 :
                 : "c"(index), "a"((u32)value), "d"((u32)(value >> 32))
                 : "memory"
                 : fault);
    return true;
fault:
    return false;
}

static bool fix_up(struct regs *regs)
{
    for (const struct fixup *f = extable; f->fault; f++) {
        if (f->fault == regs->rip) {
            regs->rip = f->resume;
            return true;
        }
    }
    return false;
}

void exception(struct regs *regs);

void exception(struct regs *regs)
{
    u64 cr2 = read_cr2();

    if (regs->vector == VEC_GP && fix_up(regs))
        return;

    const struct percpu *cpu = except_fix_percpu();
    const char *name = regs->vector < NR_VECTORS ? names[regs->vector] : NULL;
    bool overflow = (regs->vector == VEC_PF || regs->vector == VEC_DF) && stack_guard(cpu, cr2);

    report(regs, "CPU %u: %s%s", cpu->index, name ? name : "reserved vector",
           overflow ? ": stack overflow" : "");
    if (regs->vector == VEC_MC) {
        log_err("resetting the machine");
        machine_reset();
    }
    log_err("CPU %u halted", cpu->index);
    cpu_halt_forever();
}
