/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nested faults: pages that have not been mapped yet, registers that are trapped, and memory that is not the
 * guest's.
 */
#include "arch/log.h"
#include "arch/nested.h"
#include "hv/bus.h"
#include "hv/exit.h"
#include "hv/fetch.h"
#include "hv/walk.h"

enum { VEC_UD = 6, VEC_GP = 13 };

/* How often the same access may find other bytes than those that made it before that is the guest's error. */
#define MAX_MISMATCHES 1000

struct emulation {
    struct vcpu *v;
    const struct vcpu_mode *mode;
    const struct mmio_range *range; /* NULL: nobody's */
    u64 gpa;
    enum { OTHER_OK, OTHER_PAGE_FAULT, OTHER_GP, OTHER_UD } other; /* what the second operand ran into */
    u64 cr2;
    u32 code;
};

static void reject(struct vcpu *v, const struct vcpu_exit *exit, const char *why)
{
    static struct log_bucket bucket;
    struct vcpu_mode mode;
    u8 bytes[INSN_MAX_LEN + 1] = { 0 };
    char text[3 * INSN_MAX_LEN + 1] = "";
    size_t used = 0;

    if (!log_limited(&bucket)) {
        vcpu_ops->get_mode(v, &mode);
        unsigned count = exit->fetch ? 0 : fetch_bytes(v, &mode, bytes);
        for (unsigned i = 0; i < count && used + 3 < sizeof(text); i++)
            used += (size_t)fmt_string(text + used, sizeof(text) - used, " %02x", bytes[i]);
        log_warn("guest     #UD at rip %lx for address %lx: %s;%s", v->rip, exit->gpa, why, text);
    }
    vcpu_ops->inject_exception(v, VEC_UD, false, 0);
}

/* Not the guest's: reads give ones, writes go nowhere, and we say so. */
static void nobody(const struct emulation *e, unsigned width, bool write, u64 *value)
{
    static struct log_bucket bucket;

    if (!log_limited(&bucket))
        log_warn("guest     %s %u bytes at %lx, which is not the guest's (rip %lx)", write ? "wrote" : "read",
                 width, e->gpa, e->v->rip);
    if (!write)
        *value = ~0ull;
}

static int access_mmio(void *ctx, enum insn_access how, unsigned int width, u64 *val)
{
    const struct emulation *e = ctx;

    if (e->range)
        e->range->handler(e->range->ctx, e->v, e->gpa, width, how == INSN_WRITE, val);
    else
        nobody(e, width, how == INSN_WRITE, val);
    return 0;
}

static bool is_canonical(const struct vcpu_mode *mode, u64 linear)
{
    unsigned bits = mode->cr4 & BIT(12) ? 57 : 48;

    return (u64)((s64)(linear << (64 - bits)) >> (64 - bits)) == linear;
}

static int second_fails(struct emulation *e, u64 cr2, u32 code, unsigned other)
{
    e->other = other;
    e->cr2 = cr2;
    e->code = code;
    return ERR_INVAL;
}

/* A piece of MOVS's second operand that lies in one page. */
static int second_piece(struct emulation *e, enum insn_access how, u64 linear, unsigned width, u8 *data)
{
    struct walk w;

    if (fetch_mode(e->mode) == INSN_64 && !is_canonical(e->mode, linear))
        return second_fails(e, 0, 0, OTHER_GP);
    if (!guest_walk(e->v, e->mode, linear, how == INSN_READ ? WALK_READ : WALK_WRITE, &w))
        return second_fails(e, linear, w.fault, OTHER_PAGE_FAULT);
    if (how == INSN_PROBE_WRITE)
        return 0;

    volatile u8 *page = guest_page(w.gpa);
    if (!page) {
        u64 value = 0;
        if (nested_get(w.gpa) == NESTED_ALL || (width & (width - 1)))
            return second_fails(e, 0, 0, OTHER_UD);
        __builtin_memcpy(&value, data, width);
        bus_mmio(e->v, w.gpa, width, how == INSN_WRITE, &value);
        __builtin_memcpy(data, &value, width);
        return 0;
    }
    page += w.gpa & (PAGE_SIZE - 1);
    for (unsigned i = 0; i < width; i++) {
        if (how == INSN_WRITE)
            page[i] = data[i];
        else
            data[i] = page[i];
    }
    return 0;
}

static int access_linear(void *ctx, enum insn_access how, u64 addr, unsigned int width, u64 *val)
{
    unsigned first = (unsigned)MIN(PAGE_SIZE - (addr & (PAGE_SIZE - 1)), width);
    u8 data[8] = { 0 };
    int err = 0;

    if (how == INSN_WRITE)
        __builtin_memcpy(data, val, width);
    /* The second page must be known to be writable before the first is written. */
    if (how == INSN_WRITE && first < width)
        err = second_piece(ctx, INSN_PROBE_WRITE, addr + first, width - first, data);
    if (!err)
        err = second_piece(ctx, how, addr, first, data);
    if (!err && first < width)
        err = second_piece(ctx, how, addr + first, width - first, data + first);
    if (!err && how == INSN_READ) {
        *val = 0;
        __builtin_memcpy(val, data, width);
    }
    return err;
}

static void get_bases(struct vcpu *v, u64 bases[INSN_NSEGS])
{
    struct vcpu_segment s;

    for (unsigned i = 0; i < INSN_NSEGS; i++) {
        vcpu_ops->get_segment(v, (enum vcpu_seg)i, &s);
        bases[i] = s.base;
    }
}
_Static_assert((int)SEG_ES == (int)INSN_ES && (int)SEG_GS == (int)INSN_GS, "one order of segments");

static void second_operand_failed(const struct emulation *e, const struct vcpu_exit *exit)
{
    if (e->other == OTHER_PAGE_FAULT)
        vcpu_ops->inject_page_fault(e->v, e->cr2, e->code);
    else if (e->other == OTHER_GP)
        vcpu_ops->inject_exception(e->v, VEC_GP, true, 0);
    else
        reject(e->v, exit, "a string instruction between two devices");
}

/* The bytes may have been rewritten since the CPU made the access: then the guest runs them as they are now.
 */
static void mismatch(struct vcpu *v, const struct vcpu_exit *exit)
{
    if (++v->mismatches < MAX_MISMATCHES)
        return;
    v->mismatches = 0;
    reject(v, exit, "the instruction does not make this access");
}

static void execute(struct vcpu *v, const struct vcpu_exit *exit, const struct insn *insn,
                    struct emulation *e)
{
    struct insn_cpu cpu = { .gpr = v->gpr, .rip = v->rip, .rflags = v->rflags };
    u64 bases[INSN_NSEGS];
    const struct insn_env env = { .ctx = e, .seg_base = bases, .mmio = access_mmio, .linear = access_linear };
    struct walk w;

    if (insn->mode != INSN_64 || insn->seg >= INSN_FS)
        get_bases(v, bases);
    u64 linear = insn_linear(insn, &cpu, bases, exit->write);
    enum insn_match match = insn_matches(insn, exit->write);
    if ((linear & (PAGE_SIZE - 1)) + insn->width > PAGE_SIZE) {
        reject(v, exit, "an access across a page boundary");
        return;
    }
    if (match == INSN_MISMATCH || ((linear ^ exit->gpa) & (PAGE_SIZE - 1))) {
        mismatch(v, exit);
        return;
    }
    v->mismatches = 0;
    if (match == INSN_MATCH_IF_WRITABLE && !guest_walk(v, e->mode, linear, WALK_WRITE, &w)) {
        vcpu_ops->inject_page_fault(v, linear, w.fault);
        return;
    }
    if (insn_exec(insn, &cpu, exit->write, &env)) {
        second_operand_failed(e, exit);
        return;
    }
    v->rflags = cpu.rflags;
    fetch_advance(v, cpu.rip);
}

static void emulate(struct vcpu *v, const struct vcpu_exit *exit, const struct mmio_range *range)
{
    struct vcpu_mode mode;
    struct emulation e = { .v = v, .mode = &mode, .range = range, .gpa = exit->gpa };
    const struct insn *insn;

    vcpu_ops->get_mode(v, &mode);
    switch (fetch_insn(v, &mode, &insn)) {
    case FETCH_OK:
        execute(v, exit, insn, &e);
        break;
    case FETCH_AGAIN:
        mismatch(v, exit);
        break;
    case FETCH_NO_CODE:
        reject(v, exit, "the code lies in a device");
        break;
    case FETCH_UNKNOWN:
        reject(v, exit, "an instruction that is not emulated");
        break;
    }
}

/*
 * The guest's page tables lead through memory that is not the guest's: the CPU would have read ones, which
 * have reserved bits set. Which access it was is not told; the operand is the best guess there is.
 */
static void walk_through_nothing(struct vcpu *v, const struct vcpu_exit *exit)
{
    struct insn_cpu cpu = { .gpr = v->gpr, .rip = v->rip, .rflags = v->rflags };
    u64 bases[INSN_NSEGS], cr2;
    struct vcpu_mode mode;
    const struct insn *insn;
    u32 code = PF_PRESENT | PF_RESERVED;

    vcpu_ops->get_mode(v, &mode);
    if (mode.cpl == 3)
        code |= PF_USER;
    get_bases(v, bases);
    if (!exit->fetch && fetch_insn(v, &mode, &insn) == FETCH_OK) {
        cr2 = insn_linear(insn, &cpu, bases, insn_writes_mem(insn));
        code |= insn_writes_mem(insn) ? PF_WRITE : 0;
    } else if (exit->fetch) {
        cr2 = mode.cs_base + v->rip;
        code |= PF_FETCH;
    } else {
        cr2 = v->gpr[RSP];
    }
    vcpu_ops->inject_page_fault(v, cr2, code);
}

static bool fill(u64 gpa)
{
    static struct log_bucket bucket;
    int err = nested_fill(gpa);

    if (err == ERR_NOMEM && !log_limited(&bucket))
        log_err("no memory to map guest address %lx; give Sluice more with memory=", gpa);
    return !err;
}

void handle_nested_fault(struct vcpu *v, const struct vcpu_exit *exit)
{
    const struct mmio_range *range = bus_find(exit->gpa);

    if (!range && nested_get(exit->gpa) == NESTED_ALL && fill(exit->gpa))
        return;
    if (exit->walk)
        walk_through_nothing(v, exit);
    else if (exit->delivery)
        vcpu_ops->inject_exception(v, VEC_GP, true, 0); /* a gate or a stack of ones */
    else if (exit->fetch)
        reject(v, exit, "a jump to what is not the guest's"); /* FF FF is no instruction */
    else
        emulate(v, exit, range);
}
