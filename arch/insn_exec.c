/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instruction emulator: addresses, arithmetic with its flags, and the order of accesses. See insn.h.
 */
#include "arch/insn.h"
#include "arch/x86.h"

#define RFLAGS_CF BIT(0)
#define RFLAGS_PF BIT(2)
#define RFLAGS_AF BIT(4)
#define RFLAGS_ZF BIT(6)
#define RFLAGS_SF BIT(7)
#define RFLAGS_OF BIT(11)

#define RFLAGS_ARITH (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

/* All ones in the low `size` bytes; size is 1, 2, 4 or 8. */
static u64 mask_of(unsigned int size)
{
    return ~0ull >> (64 - 8 * size);
}

static u64 sign_of(unsigned int size)
{
    return 1ull << (8 * size - 1);
}

static u64 sign_extend(u64 val, unsigned int size)
{
    return ((val & mask_of(size)) ^ sign_of(size)) - sign_of(size);
}

static u64 swap_bytes(u64 val, unsigned int size)
{
    return __builtin_bswap64(val) >> (64 - 8 * size);
}

/* A write of 4 bytes clears the upper half; smaller ones keep the rest. */
static void gpr_write(u64 *gpr, unsigned int size, u64 val)
{
    u64 keep = size >= 4 ? 0 : ~mask_of(size);

    *gpr = (*gpr & keep) | (val & mask_of(size));
}

static u64 reg_read(const struct insn *insn, const struct insn_cpu *cpu)
{
    return (cpu->gpr[insn->reg] >> (insn->high ? 8 : 0)) & mask_of(insn->opsize);
}

static void reg_write(const struct insn *insn, struct insn_cpu *cpu, u64 val)
{
    u64 *gpr = &cpu->gpr[insn->reg];

    if (insn->high)
        *gpr = (*gpr & ~0xff00ull) | (val & 0xff) << 8;
    else
        gpr_write(gpr, insn->opsize, val);
}

/* Segment arithmetic wraps at 4 GiB outside 64-bit code. */
static u64 with_segment(const struct insn *insn, const u64 *seg_base, unsigned int seg, u64 offset)
{
    offset &= mask_of(insn->addr_size);
    if (insn->mode == INSN_64)
        return seg >= INSN_FS ? seg_base[seg] + offset : offset;
    return (seg_base[seg] + offset) & mask_of(4);
}

u64 insn_linear(const struct insn *insn, const struct insn_cpu *cpu, const u64 *seg_base, bool write)
{
    u64 offset = insn->disp;

    if (insn->op == INSN_STOS || insn->op == INSN_INS || (insn->op == INSN_MOVS && write))
        return with_segment(insn, seg_base, INSN_ES, cpu->gpr[RDI]);
    if (insn->op == INSN_MOVS || insn->op == INSN_OUTS)
        return with_segment(insn, seg_base, insn->seg, cpu->gpr[RSI]);

    if (insn->rip_rel)
        offset += cpu->rip + insn->len;
    if (insn->base != INSN_NO_REG)
        offset += cpu->gpr[insn->base];
    if (insn->index != INSN_NO_REG)
        offset += cpu->gpr[insn->index] << insn->scale;
    /* A bit number in a register is signed and selects the word too. */
    if (insn->op >= INSN_BT && insn->op <= INSN_BTC && insn->other == INSN_OTHER_REG) {
        u64 bit = sign_extend(cpu->gpr[insn->reg], insn->opsize);

        offset += (u64)((s64)bit >> 3) & ~(u64)(insn->opsize - 1);
    }
    return with_segment(insn, seg_base, insn->seg, offset);
}

static u64 result_flags(u64 res, unsigned int size)
{
    u64 flags = 0;

    if (!(res & mask_of(size)))
        flags |= RFLAGS_ZF;
    if (res & sign_of(size))
        flags |= RFLAGS_SF;
    if (!__builtin_parity(res & 0xff))
        flags |= RFLAGS_PF;
    return flags;
}

/* a + b + carry; `carry` is 0 or 1. a and b have no bits above size. */
static u64 add(u64 a, u64 b, u64 carry, unsigned int size, u64 *flags)
{
    u64 res = (a + b + carry) & mask_of(size);

    *flags = result_flags(res, size);
    if (res < a || (carry && res == a))
        *flags |= RFLAGS_CF;
    if ((a ^ res) & (b ^ res) & sign_of(size))
        *flags |= RFLAGS_OF;
    *flags |= (a ^ b ^ res) & RFLAGS_AF;
    return res;
}

/* a - b - borrow, likewise: what is carried is the opposite of what is borrowed. */
static u64 sub(u64 a, u64 b, u64 borrow, unsigned int size, u64 *flags)
{
    u64 res = add(a, ~b & mask_of(size), !borrow, size, flags);

    *flags ^= RFLAGS_CF | RFLAGS_AF;
    return res;
}

/* BT and its kin: `a` the word, `b` the bit number. Only CF is defined afterwards, the other flags stay. */
static u64 bit_op(u8 op, u64 a, u64 b, unsigned int size, u64 *flags)
{
    u64 bit = 1ull << (b & (8 * size - 1));

    *flags = (*flags & ~RFLAGS_CF) | (a & bit ? RFLAGS_CF : 0);
    switch (op) {
    case INSN_BTS:
        return a | bit;
    case INSN_BTR:
        return a & ~bit;
    case INSN_BTC:
        return a ^ bit;
    default:
        return a;
    }
}

/* The result of `a op b`, the new arithmetic flags in *flags, which holds the old ones before. */
static u64 compute(u8 op, u64 a, u64 b, unsigned int size, u64 *flags)
{
    u64 carry = *flags & RFLAGS_CF, res;

    switch (op) {
    case INSN_ADD:
    case INSN_XADD:
        return add(a, b, 0, size, flags);
    case INSN_ADC:
        return add(a, b, carry, size, flags);
    case INSN_SUB:
    case INSN_CMP:
        return sub(a, b, 0, size, flags);
    case INSN_SBB:
        return sub(a, b, carry, size, flags);
    case INSN_NEG:
        return sub(0, a, 0, size, flags);
    case INSN_INC:
    case INSN_DEC:
        res = op == INSN_INC ? add(a, 1, 0, size, flags) : sub(a, 1, 0, size, flags);
        *flags = (*flags & ~RFLAGS_CF) | carry;
        return res;
    case INSN_AND:
    case INSN_TEST:
        res = a & b;
        break;
    case INSN_OR:
        res = a | b;
        break;
    case INSN_XOR:
        res = a ^ b;
        break;
    case INSN_NOT:
        return ~a & mask_of(size);
    default:
        return bit_op(op, a, b, size, flags);
    }
    *flags = result_flags(res, size);
    return res;
}

static void finish(const struct insn *insn, struct insn_cpu *cpu)
{
    cpu->rip += insn->len;
    if (insn->mode != INSN_64)
        cpu->rip &= mask_of(4);
    cpu->rflags &= ~RFLAGS_RF;
}

static int exec_string(const struct insn *insn, struct insn_cpu *cpu, bool reported_write,
                       const struct insn_env *env)
{
    u64 step = cpu->rflags & RFLAGS_DF ? -(u64)insn->width : insn->width;
    u64 count = cpu->gpr[RCX] & mask_of(insn->addr_size);
    u64 target = insn_linear(insn, cpu, env->seg_base, true);
    u64 val = cpu->gpr[RAX]; /* what STOS stores */
    int err = 0;

    if (insn->rep && !count) {
        finish(insn, cpu);
        return 0;
    }
    if (insn->op != INSN_STOS && reported_write) {
        err =
            env->linear(env->ctx, INSN_READ, insn_linear(insn, cpu, env->seg_base, false), insn->width, &val);
    } else if (insn->op != INSN_STOS) {
        err = env->linear(env->ctx, INSN_PROBE_WRITE, target, insn->width, &val);
        if (!err)
            err = env->mmio(env->ctx, INSN_READ, insn->width, &val);
    }
    if (err)
        return err;
    val &= mask_of(insn->width);
    if (reported_write)
        err = env->mmio(env->ctx, INSN_WRITE, insn->width, &val);
    else
        err = env->linear(env->ctx, INSN_WRITE, target, insn->width, &val);
    if (err)
        return err;

    if (insn->op != INSN_OUTS)
        gpr_write(&cpu->gpr[RDI], insn->addr_size, cpu->gpr[RDI] + step);
    if (insn->op == INSN_MOVS || insn->op == INSN_OUTS)
        gpr_write(&cpu->gpr[RSI], insn->addr_size, cpu->gpr[RSI] + step);
    if (insn->rep)
        gpr_write(&cpu->gpr[RCX], insn->addr_size, count - 1);
    if (!insn->rep || count == 1)
        finish(insn, cpu);
    return 0;
}

int insn_exec(const struct insn *insn, struct insn_cpu *cpu, bool reported_write, const struct insn_env *env)
{
    u64 flags = cpu->rflags & RFLAGS_ARITH;
    u64 mem = 0, other, res, reg_val;
    bool set_reg = insn->to_reg && insn->op != INSN_CMP, set_acc = false;
    int err;

    if (insn->op >= INSN_STOS)
        return exec_string(insn, cpu, reported_write, env);

    if (insn_reads_mem(insn)) {
        err = env->mmio(env->ctx, INSN_READ, insn->width, &mem);
        if (err)
            return err;
        mem &= mask_of(insn->width);
    }
    other = insn->other == INSN_OTHER_REG ? reg_read(insn, cpu) : insn->imm & mask_of(insn->opsize);

    switch (insn->op) {
    case INSN_MOV:
    case INSN_MOVZX:
        res = insn->to_reg ? mem : other;
        break;
    case INSN_MOVSX:
        res = sign_extend(mem, insn->width);
        break;
    case INSN_MOVBE:
        res = swap_bytes(insn->to_reg ? mem : other, insn->width);
        break;
    case INSN_XCHG:
        res = other;
        break;
    case INSN_CMPXCHG:
        /* On a mismatch the CPU writes back what it read. */
        set_acc = compute(INSN_CMP, cpu->gpr[RAX] & mask_of(insn->width), mem, insn->width, &flags) != 0;
        res = set_acc ? mem : other;
        break;
    default:
        res = compute(insn->op, insn->to_reg ? other : mem, insn->to_reg ? mem : other, insn->width, &flags);
        break;
    }
    reg_val = res;
    if (insn->op == INSN_XCHG || insn->op == INSN_XADD) {
        set_reg = true;
        reg_val = mem;
    }

    if (insn_writes_mem(insn)) {
        err = env->mmio(env->ctx, INSN_WRITE, insn->width, &res);
        if (err)
            return err;
    }
    if (set_reg)
        reg_write(insn, cpu, reg_val);
    if (set_acc)
        gpr_write(&cpu->gpr[RAX], insn->width, mem);
    cpu->rflags = (cpu->rflags & ~RFLAGS_ARITH) | flags;
    finish(insn, cpu);
    return 0;
}
