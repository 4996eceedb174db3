/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: arch/insn.c arch/insn_exec.c */
/*
 * The instruction emulator against the CPU this runs on: random instructions with a memory operand are
 * executed by both and must leave the same registers, defined flags and memory, and touch the same address in
 * the same direction. 16- and 32-bit code runs in segments of a local descriptor table.
 *
 * Build: gcc -O2 -I. tests/unit/test_insn_cpu.c arch/insn.c arch/insn_exec.c -lcmocka -o build/test_insn_cpu
 * Run:   SEED=7 ROUNDS=1000000 build/test_insn_cpu    (both optional; the seed is printed)
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <asm/ldt.h>
#include <asm/prctl.h>
#include <cmocka.h>

#include "arch/insn.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

#define CF BIT(0)
#define PF BIT(2)
#define AF BIT(4)
#define ZF BIT(6)
#define SF BIT(7)
#define DF BIT(10)
#define OF BIT(11)

static u64 rng_state;

static u64 rnd(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state * 0x2545f4914f6cdd1dull;
}

static unsigned int below(unsigned int n)
{
    return (unsigned int)((rnd() >> 32) % n);
}

static u64 env_number(const char *name, u64 fallback)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 0) : fallback;
}

static const char *hex(const u8 *bytes, size_t len)
{
    static char text[64];

    for (size_t i = 0; i < len; i++)
        sprintf(text + 3 * i, "%02x ", bytes[i]);
    return text;
}

/* --- Running one instruction on the real CPU --- */

/* Below 2 GiB, so that absolute and 32-bit addresses reach it. */
struct arena {
    u8 code[3][PAGE_SIZE]; /* by mode */
    struct {
        u64 host_rsp, gpr_in[16], flags_in, gpr_out[16], flags_out;
        u16 host_seg[INSN_DS + 1], seg[INSN_DS + 1]; /* selectors; CS is not used */
        struct {
            u32 offset;
            u16 selector;
        } far_slot[2];
        u8 pad[PAGE_SIZE - 35 * 8 - 32];
    };
    u8 data[PAGE_SIZE]; /* memory operands end with this page */
    u8 fence[PAGE_SIZE];
};

_Static_assert(sizeof(struct arena) == 6 * PAGE_SIZE, "layout");

static struct arena *arena;
static u8 *slots[3];  /* where the instruction goes, by mode */
#define EPILOGUE 2048 /* what follows it, in the same page */

static unsigned int host_cs;

/* Of the code being run; in 64-bit code GS is the one base that this process does not use itself. */
static u64 bases64[INSN_NSEGS], bases32[2][INSN_NSEGS];

static const u64 *bases_of(enum insn_mode mode)
{
    return mode == INSN_64 ? bases64 : bases32[mode];
}

static u64 slot_ip(enum insn_mode mode)
{
    return mode == INSN_64 ? (u64)slots[mode] : (u64)(slots[mode] - arena->code[mode]);
}

static u8 *emit(u8 *at, const void *bytes, size_t n)
{
    memcpy(at, bytes, n);
    return at + n;
}

/* An instruction of opcode bytes `op` whose operand is [rip + distance to `var`], with `reg` in ModRM. */
static u8 *emit_var(u8 *at, const char *op, size_t n, unsigned int reg, const void *var)
{
    at = emit(at, op, n);
    *at++ = (u8)(reg << 3 | 5);
    return emit(at, &(s32){ (s32)((const u8 *)var - (at + 4)) }, 4);
}

static u8 *emit_mov(u8 *at, u8 opcode, unsigned int reg, const void *var)
{
    char op[] = { reg & 8 ? 0x4c : 0x48, (char)opcode };

    return emit_var(at, op, 2, reg & 7, var);
}

static u8 *emit_load_segments(u8 *at, const u16 *seg)
{
    at = emit_var(at, "\x8e", 1, INSN_ES, &seg[INSN_ES]);
    at = emit_var(at, "\x8e", 1, INSN_SS, &seg[INSN_SS]);
    return emit_var(at, "\x8e", 1, INSN_DS, &seg[INSN_DS]);
}

static void build_code(enum insn_mode mode)
{
    static const u8 save[] = { 0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57 };
    static const u8 restore[] = { 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3 };
    u8 *at = emit(arena->code[mode], save, sizeof(save));

    at = emit_mov(at, 0x89, RSP, &arena->host_rsp);
    at = emit_var(at, "\xff", 1, 6, &arena->flags_in); /* push */
    *at++ = 0x9d;                                      /* popf */
    if (mode != INSN_64)
        at = emit_load_segments(at, arena->seg);
    for (unsigned int i = 0; i < 16; i++)
        at = emit_mov(at, 0x8b, i, &arena->gpr_in[i]);
    if (mode != INSN_64)
        at = emit_var(at, "\xff", 1, 5, &arena->far_slot[mode]); /* far jump */
    slots[mode] = at;

    at = arena->code[mode] + EPILOGUE;
    for (unsigned int i = 0; i < 16; i++)
        at = emit_mov(at, 0x89, i, &arena->gpr_out[i]);
    if (mode != INSN_64)
        at = emit_load_segments(at, arena->host_seg);
    at = emit_mov(at, 0x8b, RSP, &arena->host_rsp);
    *at++ = 0x9c;                                       /* pushf */
    at = emit_var(at, "\x8f", 1, 0, &arena->flags_out); /* pop */
    *at++ = 0xfc;                                       /* cld */
    emit(at, restore, sizeof(restore));
}

/* Instruction, then a jump to the epilogue: near, or far from a 16- or 32-bit segment back to this process's
 * own. */
static void run_slot(enum insn_mode mode, const u8 *bytes, unsigned int len)
{
    u8 *at = emit(slots[mode], bytes, len), *epilogue = arena->code[mode] + EPILOGUE;

    if (mode == INSN_64) {
        *at++ = 0xe9;
        emit(at, &(s32){ (s32)(epilogue - (at + 4)) }, 4);
    } else {
        if (mode == INSN_16)
            *at++ = 0x66;
        *at++ = 0xea;
        at = emit(at, &(u32){ (u32)(u64)epilogue }, 4);
        emit(at, &(u16){ (u16)host_cs }, 2);
    }
    ((void (*)(void))arena->code[mode])();
}

/* A segment of 4 GiB. Its selector, or 0 if the kernel has no LDT. */
static u16 make_segment(unsigned int entry, u64 base, bool code, bool wide)
{
    struct user_desc desc = { .entry_number = entry,
                              .base_addr = (unsigned int)base,
                              .limit = 0xfffff,
                              .limit_in_pages = 1,
                              .seg_32bit = wide,
                              .contents = code ? 2 : 0,
                              .useable = 1 };

    return syscall(SYS_modify_ldt, 1, &desc, sizeof(desc)) ? 0 : (u16)(entry << 3 | 7);
}

static bool have_segments;

static void build_arena(void)
{
    unsigned int entry = 0;

    arena = mmap(NULL, sizeof(*arena), PROT_READ | PROT_WRITE | PROT_EXEC,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    assert_true(arena != MAP_FAILED);
    assert_int_equal(mprotect(arena->fence, PAGE_SIZE, PROT_NONE), 0);

    bases64[INSN_GS] = 0x12345000;
    assert_int_equal(syscall(SYS_arch_prctl, ARCH_SET_GS, bases64[INSN_GS]), 0);
    __asm__("mov %%cs, %0" : "=r"(host_cs));
    __asm__("mov %%es, %0; mov %%ss, %1; mov %%ds, %2"
            : "=m"(arena->host_seg[INSN_ES]), "=m"(arena->host_seg[INSN_SS]), "=m"(arena->host_seg[INSN_DS]));
    for (enum insn_mode mode = INSN_16; mode <= INSN_64; mode++)
        build_code(mode);
    for (unsigned int seg = INSN_ES; seg <= INSN_DS; seg++) {
        /* Apart from each other, and so that 16 bits of offset reach the data. */
        bases32[0][seg] = bases32[1][seg] = (u64)arena->data - 0x3000 + 0x500 * seg;
        arena->seg[seg] = make_segment(entry++, bases32[0][seg], false, true);
    }
    for (enum insn_mode mode = INSN_16; mode <= INSN_32; mode++) {
        bases32[mode][INSN_CS] = (u64)arena->code[mode];
        arena->far_slot[mode].offset = (u32)slot_ip(mode);
        arena->far_slot[mode].selector = make_segment(entry++, bases32[mode][INSN_CS], true, mode == INSN_32);
        have_segments = arena->far_slot[mode].selector;
    }
    if (!have_segments)
        print_message("no LDT here: 16- and 32-bit code is not tried on the CPU\n");
}

/* What the CPU reported, when the operand was made inaccessible. */
static volatile struct {
    int signal;
    u64 addr;
    bool write;
} fault;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    fault.signal = signal;
    fault.addr = (u64)info->si_addr;
    fault.write = uc->uc_mcontext.gregs[REG_ERR] & 2;
    uc->uc_mcontext.gregs[REG_RIP] = (s64)(arena->code[INSN_64] + EPILOGUE);
    uc->uc_mcontext.gregs[REG_CSGSFS] = (uc->uc_mcontext.gregs[REG_CSGSFS] & ~0xffffll) | host_cs;
}

/* Called in each test, because cmocka sets its own handlers before. */
static void catch_faults(void)
{
    static u8 stack_space[65536];
    stack_t stack = { .ss_sp = stack_space, .ss_size = sizeof(stack_space) };
    struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };

    assert_int_equal(sigaltstack(&stack, NULL), 0);
    assert_int_equal(sigaction(SIGSEGV, &action, NULL), 0);
    assert_int_equal(sigaction(SIGILL, &action, NULL), 0);
}

/* --- The emulator's side --- */

struct world {
    u8 data[PAGE_SIZE]; /* stands for arena->data */
    const struct insn *insn;
    const struct insn_cpu *cpu;
    bool outside;
};

static int touch(struct world *w, bool write, u64 addr, unsigned int width, u64 *val)
{
    u64 offset = addr - (u64)arena->data;

    if (offset > PAGE_SIZE - width) {
        w->outside = true;
        return ERR_IO;
    }
    if (write) {
        assert_int_equal(*val & ~(~0ull >> (64 - 8 * width)), 0);
        memcpy(w->data + offset, val, width);
    } else {
        *val = rnd(); /* what is above `width` must not matter */
        memcpy(val, w->data + offset, width);
    }
    return 0;
}

static int world_mmio(void *ctx, enum insn_access how, unsigned int width, u64 *val)
{
    struct world *w = ctx;

    return touch(w, how == INSN_WRITE,
                 insn_linear(w->insn, w->cpu, bases_of(w->insn->mode), how == INSN_WRITE), width, val);
}

static int world_linear(void *ctx, enum insn_access how, u64 addr, unsigned int width, u64 *val)
{
    return how == INSN_PROBE_WRITE ? 0 : touch(ctx, how == INSN_WRITE, addr, width, val);
}

/* --- Random instructions --- */

struct trial {
    u8 bytes[INSN_MAX_LEN];
    struct insn insn;
    u64 gpr[16], flags;
};

static bool have_movbe;

static void random_bytes(u8 *bytes, enum insn_mode mode)
{
    static const u8 prefixes[] = { 0x66, 0x67, 0x66, 0x66, 0xf3, 0xf2, 0xf0, 0x3e, 0x26, 0x36, 0x65 };
    static const u8 one[] = { 0x63, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87,
                              0x88, 0x89, 0x8a, 0x8b, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4,
                              0xa5, 0xaa, 0xab, 0xc6, 0xc7, 0xf6, 0xf7, 0xfe, 0xff };
    static const u8 two[] = { 0xa3, 0xab, 0xb0, 0xb1, 0xb3, 0xb6, 0xb7,
                              0xba, 0xbb, 0xbe, 0xbf, 0xc0, 0xc1, 0x38 };
    unsigned int n = 0;

    for (unsigned int i = 0; i < INSN_MAX_LEN; i++)
        bytes[i] = (u8)rnd();
    while (n < 4 && below(2))
        bytes[n++] = prefixes[below(sizeof(prefixes) - (mode != INSN_64))];
    if (mode == INSN_64 && below(2))
        bytes[n++] = 0x40 + below(16);
    switch (below(3)) {
    case 0:
        bytes[n] = (u8)(below(8) << 3 | below(4));
        break;
    case 1:
        bytes[n] = one[below(sizeof(one))];
        break;
    default:
        bytes[n++] = 0x0f;
        bytes[n] = two[below(sizeof(two))];
        if (bytes[n++] == 0x38)
            bytes[n++] = 0xf0 + below(2);
        break;
    }
}

/* Values near the edges as often as random ones. */
static u64 random_value(void)
{
    static const u64 edges[] = { 0,          1,          ~0ull,   0x7f,        0x80, 0x7fff, 0x8000,
                                 0x7fffffff, 0x80000000, BIT(63), BIT(63) - 1, 0x0f, 0x10 };

    return below(2) ? rnd() : edges[below(ARRAY_SIZE(edges))] | (below(2) ? rnd() << 32 : 0);
}

/* Adds `delta` to the displacement, which only the immediate follows. */
static void shift_disp(struct trial *t, u64 delta)
{
    unsigned int n = t->insn.addr_size == 2 ? 2 : 4;
    u64 disp = t->insn.disp + delta, mask = ~0ull >> (64 - 8 * n);

    for (unsigned int imm = 0; imm <= 4 && imm + n < t->insn.len; imm++) {
        u8 *at = t->bytes + t->insn.len - imm - n;
        struct insn changed;
        u8 old[4];

        /* The place is right if what is written there is what decodes as displacement. */
        memcpy(old, at, n);
        memcpy(at, &disp, n);
        if (insn_decode(t->bytes, INSN_MAX_LEN, t->insn.mode, &changed) == t->insn.len &&
            !((changed.disp ^ disp) & mask))
            return;
        memcpy(at, old, n);
    }
}

/* Chooses an instruction and registers so that the operand is the last bytes of arena->data. */
static bool random_trial(struct trial *t, enum insn_mode mode)
{
    const struct insn *insn = &t->insn;
    const u64 *bases = bases_of(mode);
    u64 reg_mask = mode == INSN_64 ? ~0ull : ~0u, target, delta;
    struct insn_cpu cpu = { t->gpr, slot_ip(mode), 0 };

    random_bytes(t->bytes, mode);
    t->flags = 0x202 | (rnd() & (CF | PF | AF | ZF | SF | OF | DF));
    for (unsigned int i = 0; i < 16; i++)
        t->gpr[i] = random_value() & reg_mask;
    if (insn_decode(t->bytes, sizeof(t->bytes), mode, &t->insn) < 0)
        return false;
    if ((insn->op == INSN_MOVBE && !have_movbe) || insn->op >= INSN_INS) /* no port is a program's */
        return false;
    target = (u64)arena->data + PAGE_SIZE - insn->width;

    if (insn->op == INSN_STOS || insn->op == INSN_MOVS) {
        /* What is above the address size must not matter. */
        u64 high = insn->addr_size == 8 ? 0 : rnd() << (8 * insn->addr_size);

        t->gpr[RCX] = (below(6) | high) & reg_mask;
        t->gpr[RSI] = (((u64)arena->data + 1024 + below(256) - bases[insn->seg]) | high) & reg_mask;
        t->gpr[RDI] = (((u64)arena->data + 1024 + below(256) - bases[INSN_ES]) | high) & reg_mask;
        if (below(8) == 0) {
            t->gpr[RDI] = ((target - bases[INSN_ES]) | high) & reg_mask;
            t->flags |= DF;
        }
        return true;
    }
    if (insn->index != INSN_NO_REG && insn->base == INSN_NO_REG)
        t->gpr[insn->index] &= 0xffff;
    delta = target - insn_linear(insn, &cpu, bases, false);
    if (insn->base != INSN_NO_REG) {
        t->gpr[insn->base] = (t->gpr[insn->base] + delta) & reg_mask;
    } else if (insn->addr_size == 8 && !insn->rip_rel && insn->index == INSN_NO_REG && insn->len >= 9 &&
               (t->bytes[insn->len - 9] & 0xfc) == 0xa0 && insn->op == INSN_MOV) {
        u64 disp = insn->disp + delta;

        memcpy(t->bytes + insn->len - 8, &disp, 8);
    } else {
        shift_disp(t, delta);
    }
    return insn_decode(t->bytes, sizeof(t->bytes), mode, &t->insn) > 0 &&
           insn_linear(insn, &cpu, bases, false) == target;
}

static u64 defined_flags(const struct insn *insn)
{
    switch (insn->op) {
    case INSN_AND:
    case INSN_OR:
    case INSN_XOR:
    case INSN_TEST:
        return CF | PF | ZF | SF | OF | DF;
    case INSN_BT:
    case INSN_BTS:
    case INSN_BTR:
    case INSN_BTC:
        return CF | ZF | DF;
    default:
        return CF | PF | AF | ZF | SF | OF | DF;
    }
}

static void compare_number(const struct trial *t, const char *what, u64 ours, u64 theirs)
{
    if (ours != theirs)
        fail_msg("%d-bit %s (op %u, width %u): %s: ours %llx, CPU %llx", 16 << t->insn.mode,
                 hex(t->bytes, t->insn.len), t->insn.op, t->insn.width, what, (unsigned long long)ours,
                 (unsigned long long)theirs);
}

static void test_same_as_cpu(void **state)
{
    static struct world w;
    struct insn_env env = { .ctx = &w, .mmio = world_mmio, .linear = world_linear };
    u64 rounds = env_number("ROUNDS", 1000000), tried[INSN_NOPS] = { 0 }, by_mode[3] = { 0 };

    (void)state;
    catch_faults();
    for (u64 i = 0; i < rounds; i++) {
        struct trial t;
        enum insn_mode mode = have_segments ? below(3) : INSN_64;
        u64 reg_mask = mode == INSN_64 ? ~0ull : ~0u;
        struct insn_cpu cpu = { t.gpr, slot_ip(mode), 0 };
        static const char *const names[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi" };

        if (!random_trial(&t, mode))
            continue;
        tried[t.insn.op]++;
        by_mode[mode]++;
        for (unsigned int k = 0; k < PAGE_SIZE; k += 8)
            if (k >= PAGE_SIZE - 16 || (k >= 900 && k < 1400))
                *(u64 *)(arena->data + k) = random_value();
        memcpy(w.data, arena->data, PAGE_SIZE);
        /* Equal operands are what CMPXCHG lives from. */
        if (t.insn.op == INSN_CMPXCHG && t.insn.base != RAX && t.insn.index != RAX && below(2))
            memcpy(t.gpr, arena->data + PAGE_SIZE - t.insn.width, t.insn.width);
        memcpy(arena->gpr_in, t.gpr, sizeof(t.gpr));
        arena->flags_in = cpu.rflags = t.flags;

        fault.signal = 0;
        run_slot(mode, t.bytes, t.insn.len);
        if (fault.signal)
            fail_msg("%s: CPU: signal %d at %llx", hex(t.bytes, t.insn.len), fault.signal,
                     (unsigned long long)fault.addr);

        env.seg_base = bases_of(mode);
        w.insn = &t.insn;
        w.cpu = &cpu;
        for (unsigned int k = 0; k < 8 && cpu.rip == slot_ip(mode); k++)
            if (insn_exec(&t.insn, &cpu, t.insn.op == INSN_MOVS ? below(2) : insn_writes_mem(&t.insn), &env))
                fail_msg("%s: access outside", hex(t.bytes, t.insn.len));
        compare_number(&t, "rip", cpu.rip, slot_ip(mode) + t.insn.len);
        for (unsigned int k = 0; k < (mode == INSN_64 ? 16 : 8); k++)
            compare_number(&t, k < 8 ? names[k] : "r8-r15", t.gpr[k] & reg_mask,
                           arena->gpr_out[k] & reg_mask);
        compare_number(&t, "flags", cpu.rflags & defined_flags(&t.insn),
                       arena->flags_out & defined_flags(&t.insn));
        if (memcmp(w.data, arena->data, PAGE_SIZE))
            fail_msg("%s (op %u): memory differs", hex(t.bytes, t.insn.len), t.insn.op);
    }
    print_message("executed by both: %llu in 16-bit code, %llu in 32-bit, %llu in 64-bit\n",
                  (unsigned long long)by_mode[0], (unsigned long long)by_mode[1],
                  (unsigned long long)by_mode[2]);
    for (unsigned int op = INSN_ADD; op < INSN_INS; op++)
        if (op != INSN_MOVBE || have_movbe)
            assert_true(tried[op] > rounds / 2000);
}

/* With the operand inaccessible the CPU says itself what it wanted to do and where. */
static void test_reported_access(void **state)
{
    u64 rounds = env_number("ROUNDS", 1000000) / 3;

    (void)state;
    catch_faults();
    assert_int_equal(mprotect(arena->data, PAGE_SIZE, PROT_NONE), 0);
    for (u64 i = 0; i < rounds; i++) {
        struct trial t;
        struct insn_cpu cpu = { t.gpr, slot_ip(INSN_64), 0 };

        if (!random_trial(&t, INSN_64) || (t.insn.rep && !(t.gpr[RCX] & 0xff)))
            continue;
        memcpy(arena->gpr_in, t.gpr, sizeof(t.gpr));
        arena->flags_in = t.flags;
        fault.signal = 0;
        run_slot(INSN_64, t.bytes, t.insn.len);
        compare_number(&t, "signal", SIGSEGV, (u64)fault.signal);
        compare_number(&t, "address", insn_linear(&t.insn, &cpu, bases64, fault.write), fault.addr);
        compare_number(&t, "match", insn_matches(&t.insn, fault.write), INSN_MATCH);
        if (t.insn.op != INSN_MOVS)
            compare_number(&t, "write", insn_writes_mem(&t.insn), fault.write);
    }
    assert_int_equal(mprotect(arena->data, PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
}

/* Before which instructions LOCK is allowed, the CPU knows best. */
static void test_lock(void **state)
{
    u64 refused = 0, allowed = 0;

    (void)state;
    catch_faults();
    for (unsigned int i = 0; i < 20000; i++) {
        struct trial t;
        u8 bytes[INSN_MAX_LEN + 1] = { 0xf0 };
        struct insn insn;
        bool ok;

        if (!random_trial(&t, INSN_64) || t.insn.lock || t.insn.rip_rel || t.insn.len == INSN_MAX_LEN)
            continue;
        memcpy(bytes + 1, t.bytes, t.insn.len);
        memcpy(arena->gpr_in, t.gpr, sizeof(t.gpr));
        arena->flags_in = t.flags;
        fault.signal = 0;
        run_slot(INSN_64, bytes, t.insn.len + 1u);
        ok = insn_decode(bytes, t.insn.len + 1u, INSN_64, &insn) > 0;
        compare_number(&t, "lock", ok ? 0 : SIGILL, (u64)fault.signal);
        allowed += ok;
        refused += !ok;
    }
    assert_true(allowed > 100 && refused > 100);
}

static int setup(void **state)
{
    u64 seed = env_number("SEED", 1);
    unsigned int a, b, c, d;

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    rng_state = seed * 0x9e3779b97f4a7c15ull + 1;
    have_movbe = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_MOVBE);
    build_arena();
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_cpu),
        cmocka_unit_test(test_reported_access),
        cmocka_unit_test(test_lock),
    };

    return cmocka_run_group_tests_name("insn_cpu", tests, setup, NULL);
}
