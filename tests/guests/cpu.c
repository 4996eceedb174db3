/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPU as the guest sees it: instructions on trapped memory in all their forms, instructions that nobody
 * emulates, virtualisation hidden, model-specific registers. The registers FEDATA (16 bits) and RTADDR (64
 * bits, without effect until SRTP) serve as memory that is trapped and keeps what is written, so the same
 * program runs on the bare unit.
 */
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/vtd.h"

#define TRAP_UD 6
#define TRAP_GP 13

#define EFER        0xc0000080u
#define EFER_SVME   BIT(12)
#define APIC_BASE   0x1bu
#define VM_CR       0xc0010114u
#define VM_HSAVE_PA 0xc0010117u

u32 read_with_paging_off(u32 address);

static u64 word;  /* address of a trapped 32-bit register that keeps 16 bits */
static u64 quad;  /* address of a trapped 64-bit register that keeps 63:12 */
static u64 fixed; /* address of a trapped register that reads `vtd_cap` */

/* ---- one instruction form each */

#define LOAD(insn, type, address)                                                       \
    ({                                                                                  \
        type out_ = 0;                                                                  \
        __asm__ volatile(insn : "+a"(out_) : "b"(address), "c"(0ull) : "memory", "cc"); \
        out_;                                                                           \
    })

static void expect(const char *name, u64 got, u64 want)
{
    check(name, got == want, "0x%lx, not 0x%lx", got, want);
}

static void loads(u64 at, u64 v)
{
    part("load");
    expect("mov-32", LOAD("movl (%%rbx), %%eax", u64, at), (u32)v);
    expect("mov-64", LOAD("movq (%%rbx), %%rax", u64, at), v);
    expect("mov-32-high", LOAD("movl 4(%%rbx), %%eax", u64, at), v >> 32);
    expect("mov-sib", LOAD("movl (%%rbx,%%rcx,8), %%eax", u64, at), (u32)v);
    expect("mov-disp32", LOAD("movl -0x1000(%%rbx), %%eax", u64, at + 0x1000), (u32)v);
    expect("mov-address-size", LOAD("movl (%%ebx), %%eax", u64, at), (u32)v);
    expect("mov-r9", LOAD("movq (%%rbx), %%r9\n\tmovq %%r9, %%rax", u64, at), v);
    expect("mov-segment-prefix", LOAD("movl %%fs:(%%rbx), %%eax", u64, at), (u32)v);
    expect("movslq", LOAD("movslq (%%rbx), %%rax", u64, at), (u64)(s64)(s32)v);
    expect("movslq-high", LOAD("movslq 4(%%rbx), %%rax", u64, at), (u64)(s64)(s32)(v >> 32));
    expect("movbe-32", LOAD("movbe (%%rbx), %%eax", u64, at), __builtin_bswap32((u32)v));
    expect("movbe-64", LOAD("movbe (%%rbx), %%rax", u64, at), __builtin_bswap64(v));
    expect("test-32", LOAD("testl $0xffffffff, (%%rbx)\n\tsetnz %%al", u64, at), (u32)v != 0);
    expect("cmp-64", LOAD("cmpq %%rcx, (%%rbx)\n\tseta %%al", u64, at), v > 0);
    expect("cmp-reverse", LOAD("cmpl (%%rbx), %%ecx\n\tsetb %%al", u64, at), (u32)v > 0);
    expect("add-load", LOAD("movl $1, %%eax\n\taddl (%%rbx), %%eax", u64, at), (u32)(v + 1));
    expect("and-load", LOAD("movl $0xff, %%eax\n\tandl (%%rbx), %%eax", u64, at), v & 0xff);
    expect("or-load", LOAD("movl $0xff, %%eax\n\torl (%%rbx), %%eax", u64, at), (u32)v | 0xff);
    expect("xor-load", LOAD("movl $0xff, %%eax\n\txorl (%%rbx), %%eax", u64, at), (u32)v ^ 0xff);
    expect("bt", LOAD("btl $1, (%%rbx)\n\tsetc %%al", u64, at), v >> 1 & 1);
    {
        u32 copy[4] = { 0 };
        u64 to = (u64)copy, from = at, count = 2;

        __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(count)::"memory");
        expect("rep-movs", copy[0] | (u64)copy[1] << 32, v);
        expect("rep-movs-registers", to == (u64)(copy + 2) && from == at + 8 && !count, 1);
        to = (u64)(copy + 1);
        from = at + 4;
        count = 2;
        copy[0] = copy[1] = 0;
        __asm__ volatile("std\n\trep movsl\n\tcld" : "+D"(to), "+S"(from), "+c"(count)::"memory");
        expect("rep-movs-down", copy[0] | (u64)copy[1] << 32, v);
    }
    {
        u64 value;

        /* The absolute-address form. */
        if (at == fixed) {
            __asm__ volatile("movabsl 0xfed90008, %%eax" : "=a"(value)::"memory");
            expect("moffs", value, at == 0xfed90008 ? (u32)v : value);
        }
    }
}

/* Sub-word forms; hardware leaves them undefined, the emulated unit refuses them, memory of the hypervisor
 * takes them. */
static void small_loads(u64 at, u64 v)
{
    part("small-load");
    expect("mov-8", LOAD("movb (%%rbx), %%al", u64, at), v & 0xff);
    expect("mov-8-high", LOAD("movb (%%rbx), %%ah", u64, at), (v & 0xff) << 8);
    expect("mov-16", LOAD("movw (%%rbx), %%ax", u64, at), v & 0xffff);
    expect("movzx-8", LOAD("movzbl (%%rbx), %%eax", u64, at), v & 0xff);
    expect("movzx-16", LOAD("movzwq (%%rbx), %%rax", u64, at), v & 0xffff);
    expect("movsx-8", LOAD("movsbq (%%rbx), %%rax", u64, at), (u64)(s64)(signed char)v);
    expect("movsx-16", LOAD("movswl (%%rbx), %%eax", u64, at), (u32)(s32)(short)v);
    expect("movbe-16", LOAD("movbe (%%rbx), %%ax", u64, at), __builtin_bswap16((u16)v));
    expect("cmp-8", LOAD("cmpb $0, (%%rbx)\n\tsetne %%al", u64, at), (v & 0xff) != 0);
}

static u64 kept(void)
{
    return mmio_read32(word);
}

static void stores(void)
{
    u64 v;

    part("store");
    __asm__ volatile("movl %0, (%1)" ::"r"(0x1234), "r"(word) : "memory");
    expect("mov", kept(), 0x1234);
    __asm__ volatile("movl $0x4321, (%0)" ::"r"(word) : "memory");
    expect("mov-immediate", kept(), 0x4321);
    __asm__ volatile("movbe %0, (%1)" ::"r"(0x55aa0000), "r"(word) : "memory");
    expect("movbe", kept(), 0xaa55);
    v = 0x1111;
    __asm__ volatile("xchgl %%eax, (%1)" : "+a"(v) : "r"(word) : "memory");
    expect("xchg-old", v, 0xaa55);
    expect("xchg-new", kept(), 0x1111);
    __asm__ volatile("orl $0x2222, (%0)" ::"r"(word) : "memory", "cc");
    expect("or", kept(), 0x3333);
    __asm__ volatile("andl %1, (%0)" ::"r"(word), "r"(0x0ff0) : "memory", "cc");
    expect("and", kept(), 0x0330);
    __asm__ volatile("xorl $-1, (%0)" ::"r"(word) : "memory", "cc");
    expect("xor-sign-extended", kept(), 0xfccf);
    __asm__ volatile("lock addl $0x31, (%0)" ::"r"(word) : "memory", "cc");
    expect("lock-add", kept(), 0xfd00);
    __asm__ volatile("btsl $1, (%0)" ::"r"(word) : "memory", "cc");
    expect("bts", kept(), 0xfd02);
    __asm__ volatile("btrl $8, (%0)" ::"r"(word) : "memory", "cc");
    expect("btr", kept(), 0xfc02);
    __asm__ volatile("btcl $0, (%0)" ::"r"(word) : "memory", "cc");
    expect("btc", kept(), 0xfc03);
    {
        u64 to = word, count = 1;

        __asm__ volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(0x7777) : "memory");
        expect("rep-stos", kept(), 0x7777);
        expect("rep-stos-registers", to == word + 4 && !count, 1);
        to = word;
        __asm__ volatile("stosl" : "+D"(to) : "a"(0x8888) : "memory");
        expect("stos", kept(), 0x8888);
        to = word;
        count = 0;
        __asm__ volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(0x9999) : "memory");
        expect("rep-stos-none", kept(), 0x8888);
    }
    {
        u32 from = 0x6666;
        u64 to = word, source = (u64)&from;

        __asm__ volatile("movsl" : "+D"(to), "+S"(source)::"memory");
        expect("movs", kept(), 0x6666);
    }
    __asm__ volatile("movq %0, (%1)" ::"r"(0x12345000ull), "r"(quad) : "memory");
    expect("mov-64", mmio_read64(quad), 0x12345000);
    __asm__ volatile("movq $-0x1000, (%0)" ::"r"(quad) : "memory");
    expect("mov-64-sign-extended", mmio_read64(quad) >> 12 & 0xfffffff, 0xfffffff);
    __asm__ volatile("andq %1, (%0)" ::"r"(quad), "r"(0x00345000ull) : "memory", "cc");
    expect("and-64", mmio_read64(quad), 0x00345000);
    __asm__ volatile("movl $0, (%0)" ::"r"(quad) : "memory");
    __asm__ volatile("movl $0, 4(%0)" ::"r"(quad) : "memory");
    expect("halves", mmio_read64(quad), 0);
    mmio_write32(word, 0);
}

/* ---- where the bytes of an instruction lie */

static void fetches(void)
{
    static const u8 load[] = { 0x48, 0x8b, 0x07, 0xc3 }; /* mov rax, [rdi]; ret */
    u8 *code = page_alloc(2);

    part("fetch");
    for (u32 before = 1; before < 4; before++) {
        u8 *at = code + PAGE_SIZE - before;

        memcpy(at, load, sizeof(load));
        expect("page-crossing", ((u64(*)(u64))at)(fixed), vtd_cap);
    }
    expect("paging-off", read_with_paging_off((u32)fixed), (u32)vtd_cap);
}

/* ---- instructions that the emulator does not know */

static u64 target;
static u8 buffer[64] __attribute__((aligned(64)));

static void x87_load(void *arg)
{
    (void)arg;
    __asm__ volatile("fninit\n\tfldl (%0)\n\tfstpl (%1)" ::"r"(target), "r"(buffer) : "memory");
}

static void sse_load(void *arg)
{
    (void)arg;
    __asm__ volatile("movups (%0), %%xmm0" ::"r"(target) : "memory");
}

static void sse_store(void *arg)
{
    (void)arg;
    __asm__ volatile("movups %%xmm0, (%0)" ::"r"(target) : "memory");
}

static void cmpxchg16(void *arg)
{
    (void)arg;
    __asm__ volatile("cmpxchg16b (%0)" ::"r"(target), "a"(0ull), "b"(0ull), "c"(0ull), "d"(0ull)
                     : "memory", "cc");
}

static void fxsave(void *arg)
{
    (void)arg;
    __asm__ volatile("fxsave64 (%0)" ::"r"(target & ~15ull) : "memory");
}

static void call_there(void *arg)
{
    (void)arg;
    ((void (*)(void))target)();
}

static void unknown(const char *where, u64 address)
{
    static const struct {
        const char *name;
        void (*code)(void *);
    } forms[] = {
        { "x87", x87_load },         { "sse-load", sse_load }, { "sse-store", sse_store },
        { "cmpxchg16b", cmpxchg16 }, { "fxsave", fxsave },
    };
    u64 cr4;

    __asm__ volatile("movq %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("movq %0, %%cr4" ::"r"(cr4 | 3 << 9));
    part("unknown/%s", where);
    target = align_down(address, 64);
    for (u32 i = 0; i < ARRAY_SIZE(forms); i++) {
        int vector = trapped(forms[i].code, NULL);

        check(forms[i].name, vector == TRAP_UD, "vector %d", vector);
    }
    check("goes-on", mmio_read32(fixed) == (u32)vtd_cap, "CAP 0x%x", mmio_read32(fixed));
}

/* ---- virtualisation */

static u64 call_result;

static void op_vmrun(void *arg)
{
    __asm__ volatile("vmrun" ::"a"(arg) : "memory");
}
static void op_vmload(void *arg)
{
    __asm__ volatile("vmload" ::"a"(arg) : "memory");
}
static void op_vmsave(void *arg)
{
    __asm__ volatile("vmsave" ::"a"(arg) : "memory");
}
static void op_stgi(void *arg)
{
    (void)arg;
    __asm__ volatile("stgi" ::: "memory");
}
static void op_clgi(void *arg)
{
    (void)arg;
    __asm__ volatile("clgi" ::: "memory");
}
static void op_invlpga(void *arg)
{
    __asm__ volatile("invlpga" ::"a"(arg), "c"(0) : "memory");
}
static void op_skinit(void *arg)
{
    (void)arg;
    __asm__ volatile("skinit" ::"a"(0) : "memory");
}
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
        { "vmrun", op_vmrun }, { "vmload", op_vmload },   { "vmsave", op_vmsave }, { "stgi", op_stgi },
        { "clgi", op_clgi },   { "invlpga", op_invlpga }, { "skinit", op_skinit },
    };
    void *page = page_alloc(1);
    u32 r[4];
    int vector;

    part("virtualisation");
    for (u32 i = 0; i < ARRAY_SIZE(ops); i++) {
        vector = trapped(ops[i].code, page);
        check(ops[i].name, vector == TRAP_UD, "vector %d", vector);
    }
    vector = trapped(is_intel() ? op_vmmcall : op_vmcall, (void *)0x7fff1234);
    check("call-of-others", vector == TRAP_UD, "vector %d", vector);
    if (!on_sluice) {
        return;
    }
    vector = trapped(is_intel() ? op_vmcall : op_vmmcall, (void *)0x7fff1234);
    check("call", vector == -1 && call_result == (u64)-38, "vector %d, 0x%lx", vector, call_result);
    cpuid(1, 0, r);
    check("hypervisor-bit", r[2] >> 31, "ecx 0x%x", r[2]);
    check("vmx-hidden", !(r[2] & 1u << 5), "ecx 0x%x", r[2]);
    cpuid(0x80000001, 0, r);
    check("svm-hidden", !(r[2] & 1u << 2), "ecx 0x%x", r[2]);
    cpuid(0x8000000a, 0, r);
    check("svm-leaf", !(r[0] | r[1] | r[2] | r[3]), "0x%x 0x%x 0x%x 0x%x", r[0], r[1], r[2], r[3]);
}

/* ---- model-specific registers */

static u32 msr_number;
static u64 msr_value;

static void msr_read(void *arg)
{
    (void)arg;
    msr_value = rdmsr(msr_number);
}

static void msr_write(void *arg)
{
    (void)arg;
    wrmsr(msr_number, msr_value);
}

static int try_read(u32 msr)
{
    msr_number = msr;
    return trapped(msr_read, NULL);
}

static int try_write(u32 msr, u64 v)
{
    msr_number = msr;
    msr_value = v;
    return trapped(msr_write, NULL);
}

static void all_msrs(void)
{
    static const struct {
        u32 first, last;
    } ranges[] = {
        { 0x0, 0x3ff },
        { 0x400, 0x4ff },
        { 0x600, 0x6ff },
        { 0x800, 0x83f },
        { 0xc80, 0xd9f },
        { 0x40000000, 0x400000ff },
        { 0x4b564d00, 0x4b564d08 },
        { 0xc0000080, 0xc0000104 },
        { 0xc0010000, 0xc0010300 },
    };
    u32 answered = 0, refused = 0, other = 0;

    part("msr/read-all");
    for (u32 i = 0; i < ARRAY_SIZE(ranges); i++) {
        for (u32 msr = ranges[i].first; msr <= ranges[i].last; msr++) {
            int vector = try_read(msr);

            if (vector == -1) {
                answered++;
            } else if (vector == TRAP_GP) {
                refused++;
            } else {
                other++;
            }
        }
    }
    print("I: msrs answered %u refused %u\n", answered, refused);
    check("answers", other == 0, "%u raised something else than #GP", other);
}

static void msrs(void)
{
    u64 efer, base = rdmsr(APIC_BASE), pat = rdmsr(0x277), def = rdmsr(0x2ff);
    int vector;

    part("msr");
    check("apic-base-same", try_write(APIC_BASE, base) == -1, "a write of the same value traps");
    check("microcode", try_write(0x79, 0x200000) != TRAP_UD, "wrong exception");
    check("pat", try_write(0x277, pat) == -1 && rdmsr(0x277) == pat, "PAT 0x%lx", rdmsr(0x277));
    check("mtrr", try_write(0x2ff, def) == -1 && rdmsr(0x2ff) == def, "0x%lx", rdmsr(0x2ff));
    if (!on_sluice) {
        return;
    }
    efer = rdmsr(EFER);
    check("svme-hidden", !(efer & EFER_SVME), "EFER 0x%lx", efer);
    vector = try_write(EFER, efer | EFER_SVME);
    check("svme-refused", vector == TRAP_GP && !(rdmsr(EFER) & EFER_SVME), "vector %d", vector);
    check("efer-same", try_write(EFER, efer) == -1 && rdmsr(EFER) == efer, "EFER 0x%lx", rdmsr(EFER));
    vector = try_write(EFER, efer | BIT(63));
    check("efer-reserved", vector == TRAP_GP, "vector %d", vector);
    vector = try_write(APIC_BASE, (base & 0xfff) | 0xfed00000);
    check("apic-base-moved", vector == TRAP_GP && rdmsr(APIC_BASE) == base, "vector %d, 0x%lx", vector,
          rdmsr(APIC_BASE));
    vector = try_write(APIC_BASE, (base & 0xfff) | align_down(hv_base, PAGE_SIZE));
    check("apic-base-on-sluice", vector == TRAP_GP, "vector %d", vector);
    vector = try_write(VM_HSAVE_PA, 0x100000);
    check("vm-hsave", vector == TRAP_GP, "vector %d", vector);
    vector = try_write(VM_HSAVE_PA, hv_base);
    check("vm-hsave-on-sluice", vector == TRAP_GP, "vector %d", vector);
    vector = try_read(VM_CR);
    print("I: vm-cr vector %d value 0x%lx\n", vector, vector == -1 ? msr_value : 0);
    /* SVMDIS and LOCK: either it cannot be read, or it says that SVM is off for good. */
    check("vm-cr", vector == TRAP_GP || (msr_value & 0x18) == 0x18, "0x%lx", msr_value);
    /* TOP_MEM, SYSCFG, SMM base: never the guest's to change. */
    for (u32 i = 0; i < 3; i++) {
        static const u32 forbidden[] = { 0xc001001a, 0xc0010010, 0xc0010111 };
        int got = try_read(forbidden[i]);
        u64 was = msr_value;

        try_write(forbidden[i], was ^ 0x800000);
        if (got == -1 && try_read(forbidden[i]) == -1) {
            check("memory-registers", msr_value == was, "MSR 0x%x changed to 0x%lx", forbidden[i], msr_value);
        }
    }
}

static void invd(void *arg)
{
    u64 *p = arg;

    for (u32 i = 0; i < 512; i++) {
        p[i] = 0x1badcafe00000000ull + i;
    }
    __asm__ volatile("invd" ::: "memory");
}

static void caches(void)
{
    u64 *p = page_alloc(1);
    u32 wrong = 0;
    int vector = trapped(invd, p);

    part("invd");
    for (u32 i = 0; i < 512; i++) {
        wrong += p[i] != 0x1badcafe00000000ull + i;
    }
    check("data", vector == -1 && !wrong, "vector %d, %u words lost", vector, wrong);
}

static void sluice_memory(void)
{
    u64 at = hv_base + 0x2000, v = 5;

    loads(at, ~0ull);
    small_loads(at, ~0ull);
    part("sluice-memory");
    __asm__ volatile("movl %0, (%1)" ::"r"(0), "r"(at) : "memory");
    __asm__ volatile("movb $0, (%0)" ::"r"(at) : "memory");
    __asm__ volatile("andq $0, (%0)" ::"r"(at) : "memory", "cc");
    __asm__ volatile("xchgq %%rax, (%1)" : "+a"(v) : "r"(at) : "memory");
    expect("xchg", v, ~0ull);
    {
        u64 to = at, count = 600;

        __asm__ volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(0) : "memory");
        expect("rep-stos", to == at + 4800 && !count, 1);
    }
    expect("still-ones", mmio_read64(at), ~0ull);
    unknown("hypervisor", at);
}

void guest_main(void)
{
    if (!vtd_find()) {
        check("setup", false, "no unit");
        return;
    }
    word = vtd_base + VTD_FEDATA;
    quad = vtd_base + VTD_RTADDR;
    fixed = vtd_base + VTD_CAP;
    loads(fixed, vtd_cap);
    stores();
    fetches();
    virtualisation();
    caches();
    msrs();
    all_msrs();
    if (on_sluice) {
        unknown("unit", fixed);
        if (hv_bytes) {
            sluice_memory();
        }
        if (option("execute")) {
            target = hv_base;
            check("execute", trapped(call_there, NULL) != -1, "it ran");
        }
    }
}
