/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoder and emulator for the instructions a guest uses to reach memory-mapped registers.
 *
 * The CPU reports an access that must be emulated: its physical address and whether it was a write. The
 * caller fetches the instruction bytes and then
 *
 *     insn_decode()    the bytes into a struct insn
 *     insn_matches()   can these bytes have made the reported access? Another CPU may have rewritten them
 * since. insn_exec()      perform it, once, on the reported physical address
 *
 * INS and OUTS are string instructions like MOVS whose other operand is the port that the CPU has reported,
 * and with it the width: the caller puts it into the struct.
 *
 * Pure C: no globals, no allocation, no access beyond the arguments. Everything with a memory operand that is
 * not named in enum insn_op is unsupported, and so is what the CPU itself refuses (LOCK where it is not
 * allowed, register forms).
 */
#ifndef ARCH_INSN_H
#define ARCH_INSN_H

#include "arch/types.h"

#define INSN_MAX_LEN 15

/* insn_decode() errors. */
#define INSN_NEED_MORE   (-1) /* the bytes end inside the instruction */
#define INSN_UNSUPPORTED (-2) /* not an instruction this file knows: #UD */
#define INSN_TOO_LONG    (-3) /* longer than 15 bytes: the CPU raises #GP for it and never makes an access */

/* Size of code: CS.L in long mode selects 64, else CS.D selects 32 or 16. */
enum insn_mode { INSN_16, INSN_32, INSN_64 };

/* Numbers as in segment-override and segment-register encodings. */
enum insn_seg { INSN_ES, INSN_CS, INSN_SS, INSN_DS, INSN_FS, INSN_GS, INSN_NSEGS };

/* INSN_ADD to INSN_CMP and INSN_BT to INSN_BTC are in the order of their opcode numbers. MOVSX includes
 * MOVSXD. The string instructions are the last, of these the ones with two operands in memory or ports, and
 * of these the ones with a port. */
enum insn_op {
    INSN_NONE,
    INSN_ADD,
    INSN_OR,
    INSN_ADC,
    INSN_SBB,
    INSN_AND,
    INSN_SUB,
    INSN_XOR,
    INSN_CMP,
    INSN_BT,
    INSN_BTS,
    INSN_BTR,
    INSN_BTC,
    INSN_TEST,
    INSN_NOT,
    INSN_NEG,
    INSN_INC,
    INSN_DEC,
    INSN_MOV,
    INSN_MOVZX,
    INSN_MOVSX,
    INSN_MOVBE,
    INSN_XCHG,
    INSN_XADD,
    INSN_CMPXCHG,
    INSN_STOS,
    INSN_MOVS,
    INSN_INS,
    INSN_OUTS,
    INSN_NOPS,
};

/* What stands beside the memory operand. */
enum insn_other { INSN_OTHER_NONE, INSN_OTHER_REG, INSN_OTHER_IMM };

#define INSN_NO_REG 0xff

struct insn {
    u8 len;       /* bytes, prefixes included */
    u8 op;        /* enum insn_op */
    u8 mode;      /* enum insn_mode */
    u8 opsize;    /* bytes of the register or immediate operand: 1, 2, 4, 8 */
    u8 width;     /* bytes of one memory access; differs from opsize in MOVZX and MOVSX only */
    u8 addr_size; /* bytes: 2, 4, 8 */
    u8 other;     /* enum insn_other */
    u8 reg;       /* hardware number, when `other` is a register */
    u8 seg;    /* enum insn_seg of the memory operand; of the source in MOVS, whose target is always in ES */
    u8 base;   /* hardware number or INSN_NO_REG */
    u8 index;  /* hardware number or INSN_NO_REG */
    u8 scale;  /* the index is shifted left by this */
    bool high; /* `reg` is AH, CH, DH or BH, stored as the number of the whole register */
    bool to_reg;  /* the register is the first operand and the memory the second */
    bool rip_rel; /* the displacement counts from the end of the instruction */
    bool rep;
    bool lock;
    u64 disp; /* sign-extended, or the whole offset of a moffs form */
    u64 imm;  /* sign-extended */
};

/*
 * The part of a CPU's state that an instruction changes. `gpr` points to the 16 general-purpose registers in
 * encoding order: rax rcx rdx rbx rsp rbp rsi rdi r8 ... r15.
 */
struct insn_cpu {
    u64 *gpr;
    u64 rip;
    u64 rflags;
};

enum insn_access { INSN_READ, INSN_WRITE, INSN_PROBE_WRITE };

/*
 * How insn_exec() reaches memory. `width` is 1, 2, 4 or 8 bytes; a value read is cut to it, a value written
 * has no bits above it. A callback returns 0 or a negative error, which insn_exec() passes on with nothing
 * changed in the CPU.
 */
struct insn_env {
    void *ctx;
    /* Segment bases by enum insn_seg. In 64-bit code only FS and GS are looked at. */
    const u64 *seg_base;
    /* The operand at the physical address, or the port, that the CPU reported. `how` is never
     * INSN_PROBE_WRITE. */
    int (*mmio)(void *ctx, enum insn_access how, unsigned int width, u64 *val);
    /*
     * The other operand of a string instruction, by linear address; the caller walks the guest's tables.
     * INSN_PROBE_WRITE asks whether a write would succeed, before the register is read, because reading a
     * register may have effects that cannot be taken back.
     */
    int (*linear)(void *ctx, enum insn_access how, u64 addr, unsigned int width, u64 *val);
};

/*
 * Decode one instruction from `bytes`, of which `len` may be read. Returns its length and fills `out`, or
 * returns one of the errors above and leaves nothing useful in it. More than INSN_MAX_LEN bytes are never
 * needed; what was decoded from few bytes does not change when more follow.
 */
int insn_decode(const u8 *bytes, size_t len, enum insn_mode mode, struct insn *out) __must_check;

/* What the instruction does to memory; a read-modify-write form does both, and MOVS reads one operand and
 * writes another. */
bool insn_reads_mem(const struct insn *insn);
bool insn_writes_mem(const struct insn *insn);

enum insn_match {
    INSN_MISMATCH,          /* rewritten since: enter the guest again at the same instruction */
    INSN_MATCH,             /* go on */
    INSN_MATCH_IF_WRITABLE, /* go on only if the guest's own page tables allow a write there */
};

/*
 * Does the instruction make accesses in the direction that the CPU reported? A read-modify-write is reported
 * as a write by real CPUs, but an emulator may report the read it starts with; then the guest's write
 * permission has not been checked yet, and trusting the bytes would let guest user code write what it may
 * only read.
 */
enum insn_match insn_matches(const struct insn *insn, bool reported_write);

/*
 * Linear address of the memory operand; of MOVS the target if `write`, else the source. Bits 11:0 equal those
 * of the reported physical address unless the bytes were rewritten or the access crosses a page, in which
 * case the CPU may report its second half.
 */
u64 insn_linear(const struct insn *insn, const struct insn_cpu *cpu, const u64 *seg_base, bool write);

/*
 * Execute the instruction, with the operand that the CPU reported (`reported_write`) going to env->mmio. A
 * repeated string instruction does one iteration, and RIP moves on when its count has reached 0: entering the
 * guest again continues it. RF is cleared as by any completed instruction. The caller clears an interrupt
 * shadow and raises the trap that RFLAGS.TF asks for.
 */
int insn_exec(const struct insn *insn, struct insn_cpu *cpu, bool reported_write,
              const struct insn_env *env) __must_check;

#endif
