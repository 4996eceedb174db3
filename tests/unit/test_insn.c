/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: arch/insn.c */
/* LIBS: -lcapstone */
/*
 * The instruction decoder against Capstone.
 *
 * Build: gcc -O2 -I. tests/unit/test_insn.c arch/insn.c -lcmocka -lcapstone -o
 * build/test_insn Run:   SEED=7 ROUNDS=1000000 build/test_insn    (both optional; the seed is printed)
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <capstone/capstone.h>
#include <cmocka.h>

#include "arch/insn.h"

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

static void seed_rng(void)
{
    u64 seed = env_number("SEED", 1);

    print_message("SEED=%llu\n", (unsigned long long)seed);
    rng_state = seed * 0x9e3779b97f4a7c15ull + 1;
}

static const char *hex(const u8 *bytes, size_t len)
{
    static char text[64];

    for (size_t i = 0; i < len; i++)
        sprintf(text + 3 * i, "%02x ", bytes[i]);
    return text;
}

/* Opcodes that must be known, without the 0F and 0F 38 in front. */
static const u8 known_one[] = {
    0x00, 0x01, 0x02, 0x03, 0x08, 0x09, 0x0a, 0x0b, 0x10, 0x11, 0x12, 0x13, 0x18, 0x19, 0x1a,
    0x1b, 0x20, 0x21, 0x22, 0x23, 0x28, 0x29, 0x2a, 0x2b, 0x30, 0x31, 0x32, 0x33, 0x38, 0x39,
    0x3a, 0x3b, 0x63, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b,
    0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xaa, 0xab, 0xc6, 0xc7, 0xf6, 0xf7, 0xfe, 0xff,
};
static const u8 known_two[] = {
    0xa3, 0xab, 0xb0, 0xb1, 0xb3, 0xb6, 0xb7, 0xba, 0xbb, 0xbe, 0xbf, 0xc0, 0xc1,
};

/* --- Capstone
 * --------------------------------------------------------------------------------------------------- */

static csh cs_handle[3];
static cs_insn *cs_buf[3];

/* Capstone's register numbers as hardware number, size and whether it is a high byte. */
static struct {
    u8 num, size, high;
} reg_of[X86_REG_ENDING];

static void name_registers(void)
{
    static const char *const r8[] = { "al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil" };
    static const char *const rh[] = { "ah", "ch", "dh", "bh" };
    static const char *const r16[] = { "ax", "cx", "dx", "bx", "sp", "bp", "si", "di" };

    for (unsigned int id = 1; id < X86_REG_ENDING; id++) {
        const char *name = cs_reg_name(cs_handle[0], id);
        char suffix = 0;
        unsigned int num;

        reg_of[id].num = INSN_NO_REG;
        if (!name)
            continue;
        for (u8 i = 0; i < 8; i++) {
            u8 size = !strcmp(name, r8[i])                          ? 1
                      : i < 4 && !strcmp(name, rh[i])               ? 1
                      : !strcmp(name, r16[i])                       ? 2
                      : name[0] == 'e' && !strcmp(name + 1, r16[i]) ? 4
                      : name[0] == 'r' && !strcmp(name + 1, r16[i]) ? 8
                                                                    : 0;

            if (size) {
                reg_of[id].num = i;
                reg_of[id].size = size;
                reg_of[id].high = i < 4 && !strcmp(name, rh[i]);
            }
        }
        if (sscanf(name, "r%u%c", &num, &suffix) >= 1 && num >= 8 && num < 16) {
            reg_of[id].num = (u8)num;
            reg_of[id].size = suffix == 'b' ? 1 : suffix == 'w' ? 2 : suffix == 'd' ? 4 : 8;
        }
    }
    reg_of[0].num = INSN_NO_REG;
}

static const cs_x86_op *cs_operand(const cs_insn *cs, x86_op_type type, unsigned int nth)
{
    for (unsigned int i = 0; i < cs->detail->x86.op_count; i++)
        if (cs->detail->x86.operands[i].type == type && nth-- == 0)
            return &cs->detail->x86.operands[i];
    return NULL;
}

static bool cs_is_bit_op(const cs_insn *cs)
{
    return cs->id == X86_INS_BT || cs->id == X86_INS_BTS || cs->id == X86_INS_BTR || cs->id == X86_INS_BTC;
}

static enum insn_op cs_op(const cs_insn *cs)
{
    switch (cs->id) {
#define SAME(name)       \
    case X86_INS_##name: \
        return INSN_##name
        SAME(ADD);
        SAME(OR);
        SAME(ADC);
        SAME(SBB);
        SAME(AND);
        SAME(SUB);
        SAME(XOR);
        SAME(CMP);
        SAME(BT);
        SAME(BTS);
        SAME(BTR);
        SAME(BTC);
        SAME(TEST);
        SAME(NOT);
        SAME(NEG);
        SAME(INC);
        SAME(DEC);
        SAME(MOVZX);
        SAME(MOVSX);
        SAME(MOVBE);
        SAME(XCHG);
        SAME(XADD);
        SAME(CMPXCHG);
#undef SAME
    case X86_INS_MOV:
    case X86_INS_MOVABS: {
        const cs_x86_op *reg = cs_operand(cs, X86_OP_REG, 0);

        return reg && reg_of[reg->reg].num == INSN_NO_REG ? INSN_NONE : INSN_MOV; /* segment registers */
    }
    case X86_INS_MOVSXD:
        return INSN_MOVSX;
    case X86_INS_STOSB:
    case X86_INS_STOSW:
    case X86_INS_STOSD:
    case X86_INS_STOSQ:
        return INSN_STOS;
    case X86_INS_MOVSB:
    case X86_INS_MOVSW:
    case X86_INS_MOVSD: /* also the SSE2 instruction, which has one memory operand */
    case X86_INS_MOVSQ:
        return cs->detail->x86.op_count == 2 && cs->detail->x86.operands[0].type == X86_OP_MEM &&
                       cs->detail->x86.operands[1].type == X86_OP_MEM
                   ? INSN_MOVS
                   : INSN_NONE;
    case X86_INS_INSB:
    case X86_INS_INSW:
    case X86_INS_INSD:
        return INSN_INS;
    case X86_INS_OUTSB:
    case X86_INS_OUTSW:
    case X86_INS_OUTSD:
        return INSN_OUTS;
    default:
        return INSN_NONE;
    }
}

static u64 compared, accepted;

static u64 differences;

/* Reports the first few of each kind and instruction. */
static void differ(const u8 *bytes, enum insn_mode mode, const cs_insn *cs, const char *what, u64 ours,
                   u64 theirs)
{
    static u8 seen[X86_INS_ENDING][256];

    differences++;
    if (++seen[cs->id][(u8)what[0]] > 2) {
        seen[cs->id][(u8)what[0]] = 2;
        return;
    }
    print_error("%d-bit %s: %s: ours %llx, capstone %llx (%s %s)\n", 16 << mode, hex(bytes, INSN_MAX_LEN),
                what, (unsigned long long)ours, (unsigned long long)theirs, cs->mnemonic, cs->op_str);
}

#define SAME(what, a, b)                                       \
    do {                                                       \
        if ((u64)(a) != (u64)(b))                              \
            differ(bytes, mode, cs, what, (u64)(a), (u64)(b)); \
    } while (0)

static u64 low_bytes(u64 val, unsigned int size)
{
    return val & (~0ull >> (64 - 8 * size));
}

static void compare_address(const u8 *bytes, enum insn_mode mode, const cs_insn *cs, const struct insn *insn)
{
    const cs_x86_op *mem = cs_operand(cs, X86_OP_MEM, insn->op == INSN_MOVS ? 1 : 0);
    static const u8 segs[] = {
        [X86_REG_ES] = 1 + INSN_ES, [X86_REG_CS] = 1 + INSN_CS, [X86_REG_SS] = 1 + INSN_SS,
        [X86_REG_DS] = 1 + INSN_DS, [X86_REG_FS] = 1 + INSN_FS, [X86_REG_GS] = 1 + INSN_GS
    };
    u8 base = reg_of[mem->mem.base].num, seg = mem->mem.segment < sizeof(segs) ? segs[mem->mem.segment] : 0;

    SAME("address size", insn->addr_size, cs->detail->x86.addr_size);
    if (insn->op < INSN_INS || insn->width < 8) /* of a port it is the CPU that tells */
        SAME("width", insn->width, mem->size);
    /* Capstone shows overrides that 64-bit code ignores, and no segment at all for STOSQ. */
    if (seg && (mode != INSN_64 || seg > INSN_FS))
        SAME("segment", insn->seg, seg - 1);
    else if (!seg && insn->op != INSN_STOS && insn->op != INSN_INS)
        SAME("default segment", insn->seg, base == 4 || base == 5 ? INSN_SS : INSN_DS);
    if (insn->op >= INSN_STOS) {
        SAME("string register", insn->op == INSN_MOVS || insn->op == INSN_OUTS ? 6 : 7, base);
        return;
    }
    SAME("base", insn->base, base);
    SAME("index", insn->index, reg_of[mem->mem.index].num);
    if (insn->index != INSN_NO_REG)
        SAME("scale", 1 << insn->scale, mem->mem.scale);
    SAME("rip-relative", insn->rip_rel, mem->mem.base == X86_REG_RIP || mem->mem.base == X86_REG_EIP);
    SAME("displacement", low_bytes(insn->disp, insn->addr_size),
         low_bytes((u64)mem->mem.disp, insn->addr_size));
}

static void compare_operands(const u8 *bytes, enum insn_mode mode, const cs_insn *cs, const struct insn *insn)
{
    const cs_x86_op *mem = cs_operand(cs, X86_OP_MEM, 0);
    const cs_x86_op *reg = insn->op >= INSN_INS ? NULL : cs_operand(cs, X86_OP_REG, 0); /* not DX */
    const cs_x86_op *imm = cs_operand(cs, X86_OP_IMM, 0);

    SAME("register operand", insn->other == INSN_OTHER_REG, reg != NULL);
    SAME("immediate operand", insn->other == INSN_OTHER_IMM, imm != NULL);
    if (reg && insn->other == INSN_OTHER_REG) {
        SAME("register", insn->reg, reg_of[reg->reg].num);
        /* Capstone takes every MOVSXD for the form with REX.W; test_insn_exec.c asks the CPU. */
        if (cs->id != X86_INS_MOVSXD)
            SAME("operand size", insn->opsize, reg_of[reg->reg].size);
        SAME("high byte", insn->high, reg_of[reg->reg].high);
    }
    /* Capstone does not sign-extend a bit number; only its low bits count. */
    if (imm && insn->other == INSN_OTHER_IMM)
        SAME("immediate", low_bytes(insn->imm, cs_is_bit_op(cs) ? 1 : insn->opsize),
             low_bytes((u64)imm->imm, cs_is_bit_op(cs) ? 1 : insn->opsize));
    if (insn->op == INSN_MOVS) {
        SAME("reads", cs_operand(cs, X86_OP_MEM, 1)->access, CS_AC_READ);
        SAME("writes", mem->access, CS_AC_WRITE);
    } else if (insn->op < INSN_INS && cs->id != X86_INS_TEST && cs->id != X86_INS_CMPXCHG &&
               cs->id != X86_INS_MOVBE) {
        /* Capstone 4 has those three wrong: TEST writing, CMPXCHG not, MOVBE reading what it stores. See the
         * CPU below. Of INS and OUTS it says nothing. */
        SAME("reads", insn_reads_mem(insn), !!(mem->access & CS_AC_READ));
        SAME("writes", insn_writes_mem(insn), !!(mem->access & CS_AC_WRITE));
    }
}

/* Bytes right before an unmapped page, so that reading past them is seen. */
static u8 *fence;

static void make_fence(void)
{
    u8 *map = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_true(map != MAP_FAILED);
    assert_int_equal(mprotect(map + PAGE_SIZE, PAGE_SIZE, PROT_NONE), 0);
    fence = map + PAGE_SIZE;
}

static void check_truncated(const u8 *bytes, enum insn_mode mode, const struct insn *full)
{
    struct insn insn;

    for (unsigned int len = 0; len <= full->len; len++) {
        int want = len < full->len ? INSN_NEED_MORE : full->len;

        memcpy(fence - len, bytes, len);
        if (insn_decode(fence - len, len, mode, &insn) != want)
            fail_msg("%d-bit %s cut to %u: expected %d", 16 << mode, hex(bytes, full->len), len, want);
    }
    assert_memory_equal(&insn, full, sizeof(insn));
}

struct legacy {
    bool opsize, reps, lock;
};

/* What prefixes there are. Turns F2 and F3 beside a 66 into a second 66 in `plain`: Capstone mistakes them
 * for another opcode. */
static struct legacy scan_prefixes(const u8 *bytes, enum insn_mode mode, u8 *plain)
{
    struct legacy found = { 0 };
    unsigned int n;

    memcpy(plain, bytes, INSN_MAX_LEN);
    for (n = 0; n < INSN_MAX_LEN; n++) {
        if (bytes[n] && strchr("\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3", bytes[n])) {
            found.opsize |= bytes[n] == 0x66;
            found.lock |= bytes[n] == 0xf0;
            found.reps |= (bytes[n] & 0xfe) == 0xf2;
        } else if (mode != INSN_64 || (bytes[n] & 0xf0) != 0x40) {
            break;
        }
    }
    while (found.opsize && n--)
        if ((bytes[n] & 0xfe) == 0xf2)
            plain[n] = 0x66;
    return found;
}

/* The manual's list of what LOCK may stand before; Capstone 4 does not know it. */
static bool lockable(const cs_insn *cs)
{
    return cs->detail->x86.operands[0].type == X86_OP_MEM && cs->id != X86_INS_CMP &&
           cs->id != X86_INS_TEST && cs->id != X86_INS_BT && cs->id != X86_INS_MOVBE &&
           cs_op(cs) != INSN_MOV && cs_op(cs) < INSN_STOS;
}

static void compare(const u8 *bytes, enum insn_mode mode)
{
    u8 plain[INSN_MAX_LEN];
    const u8 *code = plain;
    struct legacy prefix = scan_prefixes(bytes, mode, plain);
    struct insn insn = { 0 };
    int len = insn_decode(bytes, INSN_MAX_LEN, mode, &insn);
    size_t left = INSN_MAX_LEN;
    u64 address = 0;
    cs_insn *cs = cs_buf[mode];
    bool theirs = cs_disasm_iter(cs_handle[mode], &code, &left, &address, cs);

    compared++;
    if (theirs)
        theirs = cs_op(cs) != INSN_NONE && cs_operand(cs, X86_OP_MEM, 0) && (!prefix.lock || lockable(cs)) &&
                 (!prefix.reps || cs->id != X86_INS_MOVBE) &&
                 (cs->id != X86_INS_MOVSXD || !prefix.opsize || (cs->detail->x86.rex & 8));
    if ((len > 0) != theirs) {
        differ(bytes, mode, cs, "supported", (u64)len, theirs);
        return;
    }
    if (len < 0)
        return;
    accepted++;
    SAME("length returned", insn.len, len);
    SAME("length", len, cs->size);
    SAME("operation", insn.op, cs_op(cs));
    SAME("lock", insn.lock, prefix.lock);
    SAME("rep", insn.rep, prefix.reps && insn.op >= INSN_STOS);
    compare_operands(bytes, mode, cs, &insn);
    compare_address(bytes, mode, cs, &insn);
    check_truncated(bytes, mode, &insn);
}

static int setup(void **state)
{
    static const cs_mode modes[] = { CS_MODE_16, CS_MODE_32, CS_MODE_64 };

    (void)state;
    for (unsigned int i = 0; i < 3; i++) {
        assert_int_equal(cs_open(CS_ARCH_X86, modes[i], &cs_handle[i]), CS_ERR_OK);
        cs_option(cs_handle[i], CS_OPT_DETAIL, CS_OPT_ON);
        cs_buf[i] = cs_malloc(cs_handle[i]);
    }
    name_registers();
    make_fence();
    seed_rng();
    return 0;
}

static void fill(u8 *bytes, unsigned int from)
{
    for (; from < INSN_MAX_LEN; from++)
        bytes[from] = (u8)rnd();
}

/* Every opcode of both maps with every ModRM after many prefixes; SIB, displacement and immediate at random.
 */
static void test_every_modrm(void **state)
{
    static const char *const prefixes[] = {
        "",         "\x66",     "\x67",     "\x66\x67",     "\x67\x66",     "\xf0",
        "\xf2",     "\xf3",     "\xf0\x66", "\xf3\x66",     "\x26",         "\x2e",
        "\x36",     "\x3e",     "\x64",     "\x65",         "\x64\x67",     "\x40",
        "\x41",     "\x42",     "\x44",     "\x45",         "\x48",         "\x4d",
        "\x4f",     "\x66\x40", "\x66\x48", "\x67\x48",     "\x66\x67\x4f", "\xf0\x48",
        "\xf3\x48", "\x48\x66", "\x4f\x67", "\x65\xf0\x44",
    };
    u8 bytes[INSN_MAX_LEN];

    (void)state;
    for (unsigned int p = 0; p < ARRAY_SIZE(prefixes); p++) {
        for (unsigned int opcode = 0; opcode < 514; opcode++) {
            bool two = opcode >= 256, three = opcode >= 512;
            bool known = three || (two ? memchr(known_two, (int)opcode - 256, sizeof(known_two))
                                       : memchr(known_one, (int)opcode, sizeof(known_one)));

            for (unsigned int modrm = 0; modrm < 256; modrm += known ? 1 : 1 + below(32)) {
                unsigned int n = (unsigned int)strlen(prefixes[p]);

                memcpy(bytes, prefixes[p], n);
                if (two)
                    bytes[n++] = 0x0f;
                if (three)
                    bytes[n++] = 0x38;
                bytes[n++] = three ? 0xf0 + (opcode & 1) : (u8)opcode;
                bytes[n++] = (u8)modrm;
                fill(bytes, n);
                for (enum insn_mode mode = INSN_16; mode <= INSN_64; mode++)
                    compare(bytes, mode);
            }
        }
    }
    print_message("%llu compared, %llu accepted\n", (unsigned long long)compared,
                  (unsigned long long)accepted);
    assert_int_equal(differences, 0);
}

/* Random bytes, most of them bent towards prefixes and known opcodes. */
static void test_random_bytes(void **state)
{
    static const u8 prefixes[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66,
                                   0x67, 0xf0, 0xf2, 0xf3, 0x66, 0x67, 0xf0 };
    u64 rounds = env_number("ROUNDS", 1000000);
    u8 bytes[INSN_MAX_LEN];

    (void)state;
    compared = accepted = 0;
    for (u64 i = 0; i < rounds; i++) {
        unsigned int n = below(5) + (below(8) ? 0 : below(10));

        fill(bytes, 0);
        for (unsigned int k = 0; k < n; k++)
            bytes[k] = below(4) ? prefixes[below(sizeof(prefixes))] : 0x40 + below(16);
        if (below(8) == 0) {
            ; /* as they are */
        } else if (below(3)) {
            bytes[n] = known_one[below(sizeof(known_one))];
        } else {
            bytes[n++] = 0x0f;
            bytes[n] = known_two[below(sizeof(known_two))];
        }
        compare(bytes, below(3));
    }
    print_message("%llu compared, %llu accepted\n", (unsigned long long)compared,
                  (unsigned long long)accepted);
    assert_int_equal(differences, 0);
}

/* The 16th byte is never part of an instruction, however many may be read. */
static void test_too_long(void **state)
{
    static const u8 tails[][8] = { { 0x8b, 0x07 }, { 0xc7, 0x47, 1, 2, 3, 4, 5 }, { 0x0f, 0xb6, 0x47, 8 } };
    u8 bytes[32];
    struct insn insn;

    (void)state;
    for (unsigned int t = 0; t < ARRAY_SIZE(tails); t++) {
        for (enum insn_mode mode = INSN_16; mode <= INSN_64; mode++) {
            for (unsigned int prefixes = 0; prefixes < 24; prefixes++) {
                int want, tail;

                memset(bytes, 0x3e, sizeof(bytes));
                memcpy(bytes + prefixes, tails[t], sizeof(tails[t]));
                tail = insn_decode(bytes + prefixes, sizeof(tails[t]), mode, &insn);
                assert_in_range(tail, 2, 7);
                want = tail + (int)prefixes <= INSN_MAX_LEN ? tail + (int)prefixes : INSN_TOO_LONG;
                assert_int_equal(insn_decode(bytes, sizeof(bytes), mode, &insn), want);
                assert_int_equal(insn_decode(bytes, INSN_MAX_LEN, mode, &insn), want);
            }
        }
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_every_modrm),
    cmocka_unit_test(test_random_bytes),
    cmocka_unit_test(test_too_long),
};

int main(void)
{
    return cmocka_run_group_tests_name("insn", tests, setup, NULL);
}
