/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processor itself, without any VT-d unit: control registers, modes, debugging, NMIs, memory types and
 * the hypervisor's own memory. The same list on the bare machine and on each kind of virtual CPU.
 */
#include "tests/guests/lib/guest.h"

enum { TRAP_DB = 1, TRAP_BP = 3, TRAP_UD = 6, TRAP_GP = 13 };

#define CR0_NE   BIT(5)
#define CR0_CD   BIT(30)
#define CR4_DE   BIT(3)
#define CR4_MCE  BIT(6)
#define CR4_VMXE BIT(13)
#define EFER     0xc0000080u
#define EFER_LME BIT(8)
#define EFER_NXE BIT(11)
#define PAT      0x277u

u32 in_prot32(u32 (*code)(void));
u32 trip_real(void);
u32 trip_task(void);
u32 trip_gate(void);
u32 trip_pae(void);
void debug_entry(void);
extern u64 debug_rip, debug_dr6;
extern u32 debug_count;

static void expect(const char *name, u64 got, u64 want)
{
    check(name, got == want, "0x%lx, not 0x%lx", got, want);
}

/* ---- control registers */

static u64 read_cr0(void)
{
    u64 v;
    __asm__ volatile("movq %%cr0, %0" : "=r"(v));
    return v;
}
static u64 read_cr4(void)
{
    u64 v;
    __asm__ volatile("movq %%cr4, %0" : "=r"(v));
    return v;
}
static void set_cr0(void *value)
{
    __asm__ volatile("movq %0, %%cr0" ::"r"(value) : "memory");
}
static void set_cr4(void *value)
{
    __asm__ volatile("movq %0, %%cr4" ::"r"(value) : "memory");
}

static void try_cr0(const char *name, u64 value, bool works)
{
    u64 was = read_cr0();
    int vector = trapped(set_cr0, (void *)value);
    u64 now = read_cr0();

    set_cr0((void *)was);
    check(name, works ? vector == -1 && now == value : vector == TRAP_GP && now == was, "vector %d, 0x%lx",
          vector, now);
}

static void try_cr4(const char *name, u64 value, bool works)
{
    u64 was = read_cr4();
    int vector = trapped(set_cr4, (void *)value);
    u64 now = read_cr4();

    set_cr4((void *)was);
    check(name, works ? vector == -1 && now == value : vector == TRAP_GP && now == was, "vector %d, 0x%lx",
          vector, now);
}

static void control_registers(void)
{
    u64 cr0 = read_cr0(), cr4 = read_cr4();

    part("cr");
    try_cr0("ne-flip", cr0 ^ CR0_NE, true);
    try_cr0("cd", cr0 | CR0_CD, true);
    try_cr4("mce-flip", cr4 ^ CR4_MCE, true);
    try_cr4("de-flip", cr4 ^ CR4_DE, true);
    try_cr4("both", cr4 ^ (CR4_MCE | CR4_DE), true);
    if (is_intel()) {
        try_cr0("nw-without-cd", (cr0 | BIT(29)) & ~CR0_CD, false);
        try_cr0("pg-without-pe", cr0 & ~BIT(0), false);
        try_cr0("high-half", cr0 | BIT(32), false);
        try_cr4("pae-off", cr4 & ~BIT(5), false);
        try_cr4("reserved", cr4 | BIT(40), false);
    }
    if (on_sluice && is_intel()) {
        try_cr4("vmxe", cr4 | CR4_VMXE, false);
    }
    __asm__ volatile("clts\n\tsmsww %%ax\n\tlmsww %%ax" ::: "rax", "memory");
    expect("lmsw", read_cr0() | BIT(3), cr0 | BIT(3));
}

/* ---- model-specific registers that the backend keeps */

static u32 msr_number;

static void msr_write(void *value)
{
    wrmsr(msr_number, (u64)value);
}

static int try_msr(u32 msr, u64 value)
{
    msr_number = msr;
    return trapped(msr_write, (void *)value);
}

static void registers(void)
{
    u64 efer = rdmsr(EFER), pat = rdmsr(PAT), tsc;
    u32 sysenter = (u32)rdmsr(0x174);

    part("msr");
    check("nxe", try_msr(EFER, efer ^ EFER_NXE) == -1 && rdmsr(EFER) == (efer ^ EFER_NXE), "0x%lx",
          rdmsr(EFER));
    wrmsr(EFER, efer);
    if (is_intel()) {
        check("lme", try_msr(EFER, efer & ~EFER_LME) == TRAP_GP, "0x%lx", rdmsr(EFER));
        check("pat-reserved", try_msr(PAT, 0x0207010600070106) == TRAP_GP, "no #GP");
        check("fs-canonical", try_msr(0xc0000100, 0x8000000000000000) == TRAP_GP, "no #GP");
    }
    check("pat", try_msr(PAT, 0x0007010600070106) == -1 && rdmsr(PAT) == 0x0007010600070106, "0x%lx",
          rdmsr(PAT));
    wrmsr(PAT, pat);
    check("fs", try_msr(0xc0000100, 0x123456789000) == -1 && rdmsr(0xc0000100) == 0x123456789000, "0x%lx",
          rdmsr(0xc0000100));
    wrmsr(0xc0000102, 0x4444);
    wrmsr(0x174, 0x1234);
    {
        u32 r[4];

        cpuid(0, 0, r);
    }
    expect("kernel-gs", rdmsr(0xc0000102), 0x4444);
    expect("sysenter", rdmsr(0x174), 0x1234);
    wrmsr(0x174, sysenter);
    if (is_intel() || on_sluice) {
        tsc = rdtsc();
        wrmsr(0x10, tsc + BIT(40));
        check("tsc", rdtsc() - tsc >= BIT(40) && rdtsc() - tsc < BIT(41), "0x%lx", rdtsc() - tsc);
        wrmsr(0x10, rdtsc() - BIT(40));
    }
}

/* ---- debugging */

static void set_gate(u32 vector, u64 entry)
{
    extern u8 idt[];
    u8 *gate = idt + 16 * vector;

    gate[0] = (u8)entry;
    gate[1] = (u8)(entry >> 8);
    gate[6] = (u8)(entry >> 16);
    gate[7] = (u8)(entry >> 24);
}

static void op_int3(void *arg)
{
    (void)arg;
    __asm__ volatile("int3");
}

#define STEP(insn, rax)                                                    \
    ({                                                                     \
        u64 after_, rax_ = rax, rcx_ = PAT;                                \
        debug_count = 0;                                                   \
        debug_rip = 0;                                                     \
        __asm__ volatile("pushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\t" insn \
                         "\n1:\n\tnop\n\tleaq 1b(%%rip), %2"               \
                         : "+a"(rax_), "+c"(rcx_), "=&r"(after_)           \
                         :                                                 \
                         : "rbx", "rdx", "memory", "cc");                  \
        debug_rip == after_ &&debug_count == 1;                            \
    })

static void debugging(void)
{
    static volatile u64 watched;
    u64 after;

    part("debug");
    check("int3", trapped(op_int3, NULL) == TRAP_BP, "no #BP");
    set_gate(TRAP_DB, (u64)debug_entry);
    check("step-nop", STEP("nop", 0), "at 0x%lx, %u times", debug_rip, debug_count);
    expect("dr6-step", debug_dr6 & BIT(14), BIT(14));
    check("step-cpuid", STEP("cpuid", 0), "at 0x%lx, %u times", debug_rip, debug_count);
    expect("dr6-step-exit", debug_dr6 & BIT(14), BIT(14));
    check("step-rdmsr", STEP("rdmsr", 0), "at 0x%lx, %u times", debug_rip, debug_count);
    if (hv_bytes) {
        check("step-memory", STEP("movl (%%rax), %%eax", hv_base), "at 0x%lx, %u times", debug_rip,
              debug_count);
    }
    __asm__ volatile("movq %0, %%dr6" ::"r"(0xffff0ff0ull));

    /* A data breakpoint on the third of four writes. */
    debug_count = 0;
    __asm__ volatile("movq %0, %%dr2\n\tmovq %1, %%dr7" ::"r"(&watched), "r"(0x0d000400ull | BIT(4)));
    __asm__ volatile("movq $7, %1\n1:\n\tnop\n\tleaq 1b(%%rip), %0" : "=r"(after), "=m"(watched)::"memory");
    __asm__ volatile("movq %0, %%dr7" ::"r"(0x400ull));
    check("breakpoint", debug_count == 1 && debug_rip == after && (debug_dr6 & 15) == 4,
          "%u times, DR6 0x%lx", debug_count, debug_dr6);
    debug_count = 0;
    __asm__ volatile(".byte 0xf1\n1:\n\tnop\n\tleaq 1b(%%rip), %0" : "=r"(after)::"memory");
    check("int1", debug_count == 1 && debug_rip == after, "%u times at 0x%lx", debug_count, debug_rip);
}

/* ---- NMI: one inside another must wait for the IRET */

#define APIC     0xfee00000u
#define APIC_SVR 0xf0u
#define APIC_ICR 0x300u

static volatile u32 nmis, nested, deepest;

static void send_nmi(void)
{
    mmio_write32(APIC + APIC_ICR + 0x10, mmio_read32(APIC + 0x20) & 0xff000000);
    mmio_write32(APIC + APIC_ICR, 0x400 | BIT(14));
}

static void nmi(u64 vector)
{
    u64 end = deadline_in_ms(2);
    u32 r[4];

    if (vector != 2) {
        return;
    }
    nmis++;
    if (++nested > deepest) {
        deepest = nested;
    }
    if (nmis == 1) {
        send_nmi();
        cpuid(0, 0, r); /* an exit inside the handler does not end the blocking */
        while (!deadline_over(end)) {
            relax();
        }
        expect("held-back", nmis, 1);
    }
    nested--;
}

static void nmi_order(void)
{
    u64 end = deadline_in_ms(100);

    part("nmi");
    mmio_write32(APIC + APIC_SVR, mmio_read32(APIC + APIC_SVR) | 0x100);
    on_interrupt = nmi;
    send_nmi();
    while (nmis < 2 && !deadline_over(end)) {
        relax();
    }
    check("both", nmis == 2 && deepest == 1, "%u NMIs, %u deep", nmis, deepest);
    on_interrupt = NULL;
}

/* ---- virtualisation */

#define INSN(name, code)                                              \
    static void op_##name(void *arg)                                  \
    {                                                                 \
        __asm__ volatile(code ::"D"(arg), "a"(arg) : "memory", "cc"); \
    }
INSN(vmxon, "vmxon (%%rdi)")
INSN(vmxoff, "vmxoff")
INSN(vmptrld, "vmptrld (%%rdi)")
INSN(vmclear, "vmclear (%%rdi)")
INSN(vmlaunch, "vmlaunch")
INSN(vmresume, "vmresume")
INSN(vmread, "vmread %%rax, %%rax")
INSN(vmwrite, "vmwrite %%rax, %%rax")
INSN(invept, "invept (%%rdi), %%rax")
INSN(invvpid, "invvpid (%%rdi), %%rax")
INSN(vmrun, "vmrun")
INSN(getsec, ".byte 0x0f, 0x37")

static u64 call_result;

static void op_vmcall(void *arg)
{
    __asm__ volatile("vmcall" : "=a"(call_result) : "a"(arg) : "memory");
}
static void op_vmmcall(void *arg)
{
    __asm__ volatile("vmmcall" : "=a"(call_result) : "a"(arg) : "memory");
}

static void virtualisation(void)
{
    static const struct {
        const char *name;
        void (*code)(void *);
    } ops[] = {
        { "vmxon", op_vmxon },     { "vmptrld", op_vmptrld },   { "vmclear", op_vmclear },
        { "vmxoff", op_vmxoff },   { "vmlaunch", op_vmlaunch }, { "vmresume", op_vmresume },
        { "vmread", op_vmread },   { "vmwrite", op_vmwrite },   { "invept", op_invept },
        { "invvpid", op_invvpid }, { "vmrun", op_vmrun },       { "getsec", op_getsec },
    };
    void *page = page_alloc(1);
    u32 r[4];

    part("virtualisation");
    for (u32 i = is_intel() ? 0 : 3; i < ARRAY_SIZE(ops); i++) {
        int vector = trapped(ops[i].code, page);

        check(ops[i].name, vector == TRAP_UD, "vector %d", vector);
    }
    if (!on_sluice) {
        return;
    }
    cpuid(1, 0, r);
    check("vmx-hidden", !(r[2] & 1u << 5), "ecx 0x%x", r[2]);
    /* Exactly one of the two calls is the CPU's. */
    int intel = trapped(op_vmcall, (void *)0x7fff1234);
    bool answered = call_result == (u64)-38;
    int amd = trapped(op_vmmcall, (void *)0x7fff1234);
    answered |= call_result == (u64)-38;
    check("call", answered && ((intel == -1) ^ (amd == -1)) && (intel == TRAP_UD || amd == TRAP_UD),
          "vmcall %d, vmmcall %d", intel, amd);
}

/* ---- caches, extended state, port strings */

static void xsetbv(void *arg)
{
    __asm__ volatile("xsetbv" ::"a"((u32)(u64)arg), "d"(0), "c"(0));
}

static void odds(void)
{
    u64 cr4 = read_cr4();
    u32 r[4], address = 0x80000000, value = 0;
    u64 from = (u64)&address, to = (u64)&value, count = 1;

    part("odds");
    cpuid(1, 0, r);
    if (r[2] & 1u << 26) {
        set_cr4((void *)(cr4 | BIT(18)));
        check("xsetbv", trapped(xsetbv, (void *)3) == -1, "trapped");
        check("xsetbv-x87-off", trapped(xsetbv, (void *)2) == TRAP_GP, "no #GP");
        cpuid(1, 0, r);
        check("osxsave-told", r[2] & 1u << 27, "ecx 0x%x", r[2]);
        set_cr4((void *)cr4);
        check("xsetbv-osxsave-off", trapped(xsetbv, (void *)3) == TRAP_UD, "no #UD");
    }
    __asm__ volatile("wbinvd" ::: "memory");
    __asm__ volatile("rep outsl" : "+S"(from), "+c"(count) : "d"(0xcf8) : "memory");
    count = 1;
    __asm__ volatile("rep insl" : "+D"(to), "+c"(count) : "d"(0xcfc) : "memory");
    outl(0xcf8, address);
    expect("port-string", value, inl(0xcfc));
    expect("port-string-registers", from - (u64)&address, 4);
}

/* Chosen by name: not every emulator gets every one right. */
static void modes(void)
{
    part("mode");
    if (option("real")) {
        expect("real", in_prot32(trip_real), 0x1122);
    }
    if (option("pae")) {
        expect("pae", in_prot32(trip_pae), 7);
    }
    if (option("task")) {
        expect("task", in_prot32(trip_task), 0x3f);
        expect("task-gate", in_prot32(trip_gate), 0x1f);
    }
}

static void memory_types(void)
{
    u64 cap = rdmsr(0xfe), *page = page_alloc_aligned(1, PAGE_SIZE);
    u32 n = (u32)(cap & 0xff) - 1, r[4];
    u64 was_base = rdmsr(0x200 + 2 * n), was_mask = rdmsr(0x201 + 2 * n);

    part("types");
    if (was_mask & BIT(11)) {
        skip("mtrr", "all registers are in use");
        return;
    }
    cpuid(0x80000008, 0, r);
    page[1] = 0x5eed;
    wrmsr(0x200 + 2 * n, (u64)page); /* uncached */
    wrmsr(0x201 + 2 * n, (MASK(51, 12) & (BIT(r[0] & 0xff) - 1)) | BIT(11));
    page[0] = page[1] + 1;
    expect("uncached", page[0], 0x5eee);
    wrmsr(0x201 + 2 * n, was_mask);
    wrmsr(0x200 + 2 * n, was_base);
    expect("cached-again", page[0], 0x5eee);
    expect("restored", rdmsr(0x201 + 2 * n), was_mask);
}

/* The hypervisor's memory reads ones, and drops what is written. */
static void hidden_memory(void)
{
    u64 at = hv_base + 0x3000, old = 5;

    part("hidden");
    expect("read-64", mmio_read64(at), ~0ull);
    expect("read-32", mmio_read32(at + 4), ~0u);
    expect("read-8", *(volatile u8 *)(at + 7), 0xff);
    expect("page-crossing", *(volatile u64 *)(at + PAGE_SIZE - 4), ~0ull);
    mmio_write32(at, 0);
    __asm__ volatile("lock orq $1, (%0)" ::"r"(at) : "memory", "cc");
    __asm__ volatile("xchgq %0, (%1)" : "+r"(old) : "r"(at) : "memory");
    expect("exchange", old, ~0ull);
    expect("dropped", mmio_read64(at), ~0ull);
    expect("last-page", mmio_read64(hv_base + hv_bytes - 8), ~0ull);
}

/* No table: an exception, its double fault, and nobody left to tell. */
static void triple_fault(void)
{
    static const struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) nothing;

    __asm__ volatile("lidt %0\n\tud2" ::"m"(nothing));
}

void guest_main(void)
{
    if (option("die")) {
        triple_fault();
    }
    control_registers();
    registers();
    virtualisation();
    odds();
    memory_types();
    nmi_order();
    debugging();
    modes();
    if (hv_bytes) {
        hidden_memory();
    }
}
