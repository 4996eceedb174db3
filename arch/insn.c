/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instruction decoder: prefixes, opcode tables, ModRM and SIB, immediates. See insn.h.
 */
#include "arch/insn.h"

/* How an opcode is built. */
#define F_BYTE    BIT(0)  /* operands are bytes whatever the operand size */
#define F_TO_REG  BIT(1)  /* register first, memory second */
#define F_IMM     BIT(2)  /* immediate of operand size, at most 4 bytes */
#define F_IMM8    BIT(3)  /* immediate byte, sign-extended */
#define F_MOFFS   BIT(4)  /* no ModRM: the offset follows, the register is the accumulator */
#define F_STRING  BIT(5)  /* no ModRM: addresses in rSI and rDI */
#define F_GROUP   BIT(6)  /* `op` is a row of groups[], ModRM.reg its column */
#define F_MEM8    BIT(7)  /* memory operand of 1 byte */
#define F_MEM16   BIT(8)  /* memory operand of 2 bytes */
#define F_MEM32   BIT(9)  /* memory operand of 4 bytes */
#define F_ONLY64  BIT(10) /* another instruction outside 64-bit code */
#define F_NOT64   BIT(11) /* no instruction in 64-bit code */
#define F_NO_REPS BIT(12) /* another instruction with F2 or F3 */

struct form {
    u8 op;
    u16 flags;
};

enum { GROUP_ALU, GROUP_MOV, GROUP_UNARY, GROUP_INC, GROUP_BT };

static const u8 groups[][8] = {
    [GROUP_ALU] = { INSN_ADD, INSN_OR, INSN_ADC, INSN_SBB, INSN_AND, INSN_SUB, INSN_XOR, INSN_CMP },
    [GROUP_MOV] = { INSN_MOV },
    [GROUP_UNARY] = { INSN_TEST, INSN_TEST, INSN_NOT, INSN_NEG },
    [GROUP_INC] = { INSN_INC, INSN_DEC },
    [GROUP_BT] = { [4] = INSN_BT, INSN_BTS, INSN_BTR, INSN_BTC },
};

/* Opcode pairs: bit 0 clear is the byte form, set the form of operand size. */
#define PAIR(opcode, op, flags) [opcode] = { op, F_BYTE | (flags) }, [(opcode) + 1] = { op, flags }
#define ALU(op)                 PAIR(((op)-INSN_ADD) * 8, op, 0), PAIR(((op)-INSN_ADD) * 8 + 2, op, F_TO_REG)

static const struct form one_byte[256] = {
    ALU(INSN_ADD),
    ALU(INSN_OR),
    ALU(INSN_ADC),
    ALU(INSN_SBB),
    ALU(INSN_AND),
    ALU(INSN_SUB),
    ALU(INSN_XOR),
    ALU(INSN_CMP),
    [0x63] = { INSN_MOVSX, F_TO_REG | F_MEM32 | F_ONLY64 },
    PAIR(0x6c, INSN_INS, F_STRING),
    PAIR(0x6e, INSN_OUTS, F_STRING),
    PAIR(0x80, GROUP_ALU, F_GROUP | F_IMM),
    [0x82] = { GROUP_ALU, F_GROUP | F_BYTE | F_IMM | F_NOT64 },
    [0x83] = { GROUP_ALU, F_GROUP | F_IMM8 },
    PAIR(0x84, INSN_TEST, 0),
    PAIR(0x86, INSN_XCHG, 0),
    PAIR(0x88, INSN_MOV, 0),
    PAIR(0x8a, INSN_MOV, F_TO_REG),
    PAIR(0xa0, INSN_MOV, F_MOFFS | F_TO_REG),
    PAIR(0xa2, INSN_MOV, F_MOFFS),
    PAIR(0xa4, INSN_MOVS, F_STRING),
    PAIR(0xaa, INSN_STOS, F_STRING),
    PAIR(0xc6, GROUP_MOV, F_GROUP | F_IMM),
    PAIR(0xf6, GROUP_UNARY, F_GROUP | F_IMM),
    PAIR(0xfe, GROUP_INC, F_GROUP),
};

static const struct form two_byte[256] = {
    [0xa3] = { INSN_BT, 0 },
    [0xab] = { INSN_BTS, 0 },
    [0xb3] = { INSN_BTR, 0 },
    [0xbb] = { INSN_BTC, 0 },
    [0xba] = { GROUP_BT, F_GROUP | F_IMM8 },
    PAIR(0xb0, INSN_CMPXCHG, 0),
    PAIR(0xc0, INSN_XADD, 0),
    [0xb6] = { INSN_MOVZX, F_TO_REG | F_MEM8 },
    [0xb7] = { INSN_MOVZX, F_TO_REG | F_MEM16 },
    [0xbe] = { INSN_MOVSX, F_TO_REG | F_MEM8 },
    [0xbf] = { INSN_MOVSX, F_TO_REG | F_MEM16 },
};

/* 0F 38 F0 and F1. With F2 they are CRC32. */
static const struct form movbe[2] = {
    { INSN_MOVBE, F_TO_REG | F_NO_REPS },
    { INSN_MOVBE, F_NO_REPS },
};

/* What each operation does to memory when memory is its first operand. */
#define M_READ  1
#define M_WRITE 2
#define M_RMW   (M_READ | M_WRITE)

static const u8 mem_use[INSN_NOPS] = {
    [INSN_ADD] = M_RMW,   [INSN_OR] = M_RMW,      [INSN_ADC] = M_RMW,     [INSN_SBB] = M_RMW,
    [INSN_AND] = M_RMW,   [INSN_SUB] = M_RMW,     [INSN_XOR] = M_RMW,     [INSN_CMP] = M_READ,
    [INSN_BT] = M_READ,   [INSN_BTS] = M_RMW,     [INSN_BTR] = M_RMW,     [INSN_BTC] = M_RMW,
    [INSN_TEST] = M_READ, [INSN_NOT] = M_RMW,     [INSN_NEG] = M_RMW,     [INSN_INC] = M_RMW,
    [INSN_DEC] = M_RMW,   [INSN_MOV] = M_WRITE,   [INSN_MOVBE] = M_WRITE, [INSN_XCHG] = M_RMW,
    [INSN_XADD] = M_RMW,  [INSN_CMPXCHG] = M_RMW, [INSN_STOS] = M_WRITE,  [INSN_MOVS] = M_RMW,
    [INSN_INS] = M_WRITE, [INSN_OUTS] = M_READ,
};

bool insn_reads_mem(const struct insn *insn)
{
    return insn->to_reg || (mem_use[insn->op] & M_READ);
}

bool insn_writes_mem(const struct insn *insn)
{
    return !insn->to_reg && (mem_use[insn->op] & M_WRITE);
}

enum insn_match insn_matches(const struct insn *insn, bool reported_write)
{
    if (!(reported_write ? insn_writes_mem(insn) : insn_reads_mem(insn)))
        return INSN_MISMATCH;
    if (!reported_write && insn_writes_mem(insn) && insn->op != INSN_MOVS)
        return INSN_MATCH_IF_WRITABLE;
    return INSN_MATCH;
}

struct cursor {
    const u8 *at, *end; /* end: of the bytes that may be read and can belong to one instruction */
    bool failed;        /* sticky */
};

static u8 take_byte(struct cursor *c)
{
    if (c->at < c->end)
        return *c->at++;
    c->failed = true;
    return 0;
}

/* The next `n` bytes (1, 2, 4 or 8), little-endian as this CPU is; 0 once the cursor has failed. */
static u64 take(struct cursor *c, unsigned int n)
{
    u64 val = 0;

    if ((size_t)(c->end - c->at) < n) {
        c->failed = true;
        c->at = c->end; /* so that what follows fails, too */
        return 0;
    }
    switch (n) {
    case 1:
        val = *c->at;
        break;
    case 2:
        __builtin_memcpy(&val, c->at, 2);
        break;
    case 4:
        __builtin_memcpy(&val, c->at, 4);
        break;
    default:
        __builtin_memcpy(&val, c->at, 8);
        break;
    }
    c->at += n;
    return val;
}

static u64 take_signed(struct cursor *c, unsigned int n)
{
    u64 sign = 1ull << (8 * n - 1);

    return (take(c, n) ^ sign) - sign;
}

struct prefixes {
    u8 rex; /* 0 if absent */
    u8 seg; /* enum insn_seg or INSN_NSEGS */
    bool opsize, addrsize, reps, lock;
};

#define REX_W 8
#define REX_R 4
#define REX_X 2
#define REX_B 1

/* Reads the prefixes and returns the byte after them. Bounded because the cursor fails at INSN_MAX_LEN and
 * then yields 0. */
static u8 take_prefixes(struct cursor *c, enum insn_mode mode, struct prefixes *p)
{
    u8 byte;

    for (;;) {
        byte = take_byte(c);
        if (mode == INSN_64 && (byte & 0xf0) == 0x40) {
            p->rex = byte;
            continue;
        }
        switch (byte) {
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
            /* Without effect in 64-bit code: an FS or GS before it stays. */
            if (mode != INSN_64)
                p->seg = (byte >> 3) & 3;
            break;
        case 0x64:
        case 0x65:
            p->seg = INSN_FS + (byte & 1);
            break;
        case 0x66:
            p->opsize = true;
            break;
        case 0x67:
            p->addrsize = true;
            break;
        case 0xf0:
            p->lock = true;
            break;
        case 0xf2:
        case 0xf3:
            p->reps = true;
            break;
        default:
            return byte;
        }
        p->rex = 0; /* REX counts only right before the opcode */
    }
}

static const struct form *take_opcode(struct cursor *c, u8 byte)
{
    if (byte != 0x0f)
        return &one_byte[byte];
    byte = take_byte(c);
    if (byte != 0x38)
        return &two_byte[byte];
    byte = take_byte(c);
    return (byte & 0xfe) == 0xf0 ? &movbe[byte & 1] : &one_byte[0x0f];
}

/* 16-bit addressing: base and index by ModRM.rm. */
static const u8 base16[8] = { 3, 3, 5, 5, 6, 7, 5, 3 };
static const u8 index16[8] = { 6, 7, 6, 7, INSN_NO_REG, INSN_NO_REG, INSN_NO_REG, INSN_NO_REG };

static void take_address16(struct cursor *c, u8 modrm, struct insn *insn)
{
    u8 mod = modrm >> 6, rm = modrm & 7;

    insn->index = index16[rm];
    if (mod == 0 && rm == 6) {
        insn->disp = take(c, 2);
        return;
    }
    insn->base = base16[rm];
    if (mod)
        insn->disp = take_signed(c, mod);
}

static void take_address(struct cursor *c, u8 modrm, u8 rex, struct insn *insn)
{
    u8 mod = modrm >> 6, base = modrm & 7;

    if (base == 4) {
        u8 sib = take_byte(c), index = ((sib >> 3) & 7) | (rex & REX_X ? 8 : 0);

        if (index != 4) {
            insn->index = index;
            insn->scale = sib >> 6;
        }
        base = sib & 7;
    } else if (mod == 0 && base == 5) {
        insn->rip_rel = insn->mode == INSN_64;
    }
    if (mod == 0 && base == 5) {
        insn->disp = take_signed(c, 4);
        return;
    }
    insn->base = base | (rex & REX_B ? 8 : 0);
    if (mod)
        insn->disp = take_signed(c, mod == 1 ? 1 : 4);
}

static void set_sizes(const struct prefixes *p, u16 flags, struct insn *insn)
{
    bool wide = insn->mode == INSN_16 ? p->opsize : !p->opsize;

    insn->opsize = flags & F_BYTE ? 1 : p->rex & REX_W ? 8 : wide ? 4 : 2;
    insn->width = flags & F_MEM8 ? 1 : flags & F_MEM16 ? 2 : flags & F_MEM32 ? 4 : insn->opsize;
    switch (insn->mode) {
    case INSN_16:
        insn->addr_size = p->addrsize ? 4 : 2;
        break;
    case INSN_32:
        insn->addr_size = p->addrsize ? 2 : 4;
        break;
    default:
        insn->addr_size = p->addrsize ? 4 : 8;
        break;
    }
}

static void set_reg(u8 reg, u8 rex, struct insn *insn)
{
    insn->other = INSN_OTHER_REG;
    insn->reg = reg | (rex & REX_R ? 8 : 0);
    if (insn->opsize == 1 && !rex && reg >= 4) {
        insn->high = true;
        insn->reg = reg - 4;
    }
}

static bool is_unary(u8 op)
{
    return op >= INSN_NOT && op <= INSN_DEC;
}

int insn_decode(const u8 *bytes, size_t len, enum insn_mode mode, struct insn *out)
{
    struct cursor c = { .at = bytes, .end = bytes + MIN(len, INSN_MAX_LEN) };
    int cut_short = len < INSN_MAX_LEN ? INSN_NEED_MORE : INSN_TOO_LONG;
    struct prefixes p = { .seg = INSN_NSEGS };
    const struct form *form;
    u8 modrm = 0;

    form = take_opcode(&c, take_prefixes(&c, mode, &p));
    if (c.failed)
        return cut_short;
    *out = (struct insn){
        .op = form->op,
        .mode = (u8)mode,
        .base = INSN_NO_REG,
        .index = INSN_NO_REG,
        .to_reg = form->flags & F_TO_REG,
        .lock = p.lock,
    };
    if (form->flags & (mode == INSN_64 ? F_NOT64 : F_ONLY64))
        return INSN_UNSUPPORTED;
    if ((!form->op && !(form->flags & F_GROUP)) || ((form->flags & F_NO_REPS) && p.reps))
        return INSN_UNSUPPORTED;
    set_sizes(&p, form->flags, out);
    /* MOVSXD of 2 bytes: Intel reads 2, AMD 4. No compiler makes it. */
    if ((form->flags & F_MEM32) && out->opsize == 2)
        return INSN_UNSUPPORTED;

    if (!(form->flags & (F_MOFFS | F_STRING))) {
        modrm = take_byte(&c);
        if (c.failed)
            return cut_short;
        if (form->flags & F_GROUP)
            out->op = groups[form->op][(modrm >> 3) & 7];
        if (!out->op || modrm >= 0xc0)
            return INSN_UNSUPPORTED;
    }
    if (p.lock && (out->op >= INSN_MOVS || !insn_reads_mem(out) || !insn_writes_mem(out)))
        return INSN_UNSUPPORTED;

    if (form->flags & F_STRING)
        out->rep = p.reps;
    else if (form->flags & F_MOFFS)
        out->disp = take(&c, out->addr_size);
    else if (out->addr_size == 2)
        take_address16(&c, modrm, out);
    else
        take_address(&c, modrm, p.rex, out);

    if (is_unary(out->op) || out->op >= INSN_MOVS) {
        out->other = INSN_OTHER_NONE;
    } else if (form->flags & (F_IMM | F_IMM8)) {
        out->other = INSN_OTHER_IMM;
        out->imm = take_signed(&c, form->flags & F_IMM8 ? 1 : MIN(out->opsize, 4));
    } else {
        bool acc = form->flags & (F_MOFFS | F_STRING);

        set_reg(acc ? 0 : (modrm >> 3) & 7, acc ? 0 : p.rex, out);
    }
    if (c.failed)
        return cut_short;

    /* rSP and rBP as base select SS; R12 and R13 do not. STOS and INS ignore an override. */
    out->seg = p.seg != INSN_NSEGS ? p.seg : (out->base == 4 || out->base == 5) ? INSN_SS : INSN_DS;
    if (out->op == INSN_STOS || out->op == INSN_INS)
        out->seg = INSN_ES;
    out->len = (u8)(c.at - bytes);
    return out->len;
}
