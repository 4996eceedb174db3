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

/* How often the same access may find other bytes than those that made it before that is the guest's error. */
#define MAX_MISMATCHES 1000

struct emulation {
    struct operand cpu;
    const struct mmio_range *range; /* NULL: nobody's */
    u64 gpa;
    u64 linear;     /* of the operand at gpa, for one that crosses a page */
    unsigned first; /* how many bytes of it lie in the first page; 0 = it does not cross */
};

void show_code(struct vcpu *v, char text[CODE_TEXT])
{
    u8 bytes[FETCH_WINDOW];
    struct vcpu_mode mode;

    vcpu_get_mode(v, &mode);
    unsigned count = fetch_bytes(v, &mode, bytes);
    text[0] = 0;
    for (unsigned i = 0; i < count; i++)
        (void)fmt_string(text + 3 * i, 4, " %02x", bytes[i]);
}

static void reject(struct vcpu *v, u64 gpa, const char *why)
{
    static struct log_bucket bucket;
    char text[CODE_TEXT];

    if (!log_limited(&bucket)) {
        show_code(v, text);
        log_warn("guest        #UD at rip %lx for address %lx: %s;%s", v->rip, gpa, why, text);
    }
    vcpu_inject_exception(v, VEC_UD, false, 0);
}

/* What is not the guest's: reads give ones, writes go nowhere, and we say so. */
static void nobody(struct vcpu *v, u64 gpa, unsigned width, bool write)
{
    log_rated(LOG_WARN, "guest        %s %u bytes at %lx, which is not the guest's (rip %lx)",
              write ? "wrote" : "read", width, gpa, v->rip);
}

static void access_one(struct vcpu *v, const struct mmio_range *range, u64 gpa, unsigned width, bool write,
                       u64 *value)
{
    if (!range)
        nobody(v, gpa, width, write);
    *value = range ? range->handler(range->ctx, gpa, width, write, *value, v) : ~0ull;
}

static bool is_canonical(const struct vcpu_mode *mode, u64 linear)
{
    unsigned bits = mode->cr4 & BIT(12) ? 57 : 48;

    return (u64)((s64)(linear << (64 - bits)) >> (64 - bits)) == linear;
}

/* Bytes of trapped memory that lie in one page, as accesses of whole powers of two. */
static void trapped_bytes(struct vcpu *v, u64 gpa, unsigned count, bool write, u8 *data)
{
    const struct mmio_range *range = bus_find(gpa);

    for (unsigned done = 0, width = 8; done < count; done += width) {
        u64 value = 0;

        while (width > count - done)
            width /= 2;
        __builtin_memcpy(&value, data + done, width);
        access_one(v, range, gpa + done, width, write, &value);
        __builtin_memcpy(data + done, &value, width);
    }
}

/* A piece of an operand by its linear address, in one page: the other one of a string instruction, or the
 * half of an access across a boundary that the CPU did not report. */
static int linear_piece(const struct operand *o, enum insn_access how, u64 linear, unsigned width, u8 *data)
{
    struct walk w;

    if (!is_canonical(o->mode, linear)) {
        vcpu_inject_exception(o->v, VEC_GP, true, 0);
        return ERR_INVAL;
    }
    if (!guest_reach(o->v, o->mode, linear, how == INSN_READ ? WALK_READ : WALK_WRITE, &w))
        return ERR_FAULT;
    volatile u8 *page = guest_page(w.gpa);
    if (!page && nested_get(w.gpa) == NESTED_ALL) {
        reject(o->v, w.gpa, "a string instruction between two devices");
        return ERR_INVAL;
    }
    if (how != INSN_PROBE_WRITE && page)
        guest_copy(page + (w.gpa & (PAGE_SIZE - 1)), data, width, how == INSN_WRITE);
    else if (how != INSN_PROBE_WRITE)
        trapped_bytes(o->v, w.gpa, width, how == INSN_WRITE, data);
    return 0;
}

/* An access across a page boundary, of which the CPU has reported one half. */
static int access_across(struct emulation *e, enum insn_access how, unsigned width, u64 *val)
{
    bool reported_first = (e->gpa & (PAGE_SIZE - 1)) != 0;
    u64 other = reported_first ? e->linear + e->first : e->linear;
    unsigned count = reported_first ? width - e->first : e->first; /* of the other half */
    u8 *theirs = (u8 *)val + (reported_first ? e->first : 0),
       *ours = (u8 *)val + (reported_first ? 0 : e->first);

    int err = linear_piece(&e->cpu, how == INSN_WRITE ? INSN_PROBE_WRITE : how, other, count, theirs);
    if (err)
        return err;
    trapped_bytes(e->cpu.v, e->gpa, width - count, how == INSN_WRITE, ours);
    return how == INSN_WRITE ? linear_piece(&e->cpu, how, other, count, theirs) : 0;
}

static int access_mmio(void *ctx, enum insn_access how, unsigned int width, u64 *val)
{
    struct emulation *e = ctx;

    if (e->first)
        return access_across(e, how, width, val);
    access_one(e->cpu.v, e->range, e->gpa, width, how == INSN_WRITE, val);
    return 0;
}

int operand_linear(void *ctx, enum insn_access how, u64 addr, unsigned int width, u64 *val)
{
    unsigned first = (unsigned)MIN(PAGE_SIZE - (addr & (PAGE_SIZE - 1)), width);
    u8 *data = (u8 *)val;
    int err = linear_piece(ctx, how, addr, first, data);

    if (!err && first < width)
        err = linear_piece(ctx, how, addr + first, width - first, data + first);
    return err;
}

void guest_bases(struct vcpu *v, u64 bases[INSN_NSEGS])
{
    struct vcpu_segment s;

    for (unsigned i = 0; i < INSN_NSEGS; i++) {
        vcpu_ops->get_segment(v, i, &s);
        bases[i] = s.base;
    }
}
_Static_assert((int)SEG_ES == (int)INSN_ES && (int)SEG_GS == (int)INSN_GS, "one order of segments");

/* The bytes may have been rewritten since the CPU made the access: then the guest runs them as they are now.
 */
static void mismatch(struct vcpu *v)
{
    if (++v->mismatches < MAX_MISMATCHES)
        return;
    v->mismatches = 0;
    reject(v, v->exit.gpa, "the instruction does not make this access");
}

/* Is it where the instruction's operand lies? Sets what an access across a page boundary needs. */
static bool address_matches(const struct insn *insn, u64 linear, struct emulation *e)
{
    u64 offset = linear & (PAGE_SIZE - 1);

    if (offset + insn->width > PAGE_SIZE) {
        e->linear = linear;
        e->first = (unsigned)(PAGE_SIZE - offset);
        return (e->gpa & (PAGE_SIZE - 1)) == offset || is_aligned(e->gpa, PAGE_SIZE);
    }
    return !((linear ^ e->gpa) & (PAGE_SIZE - 1));
}

static void execute(struct vcpu *v, const struct vcpu_exit *exit, struct fetched *f, struct emulation *e)
{
    const struct insn *insn = &f->insn;
    struct insn_cpu cpu = { .gpr = v->gpr, .rip = v->rip, .rflags = v->rflags };
    u64 bases[INSN_NSEGS];
    const struct insn_env env = {
        .ctx = e, .seg_base = bases, .mmio = access_mmio, .linear = operand_linear
    };
    bool write = exit->access & NESTED_WRITE;
    struct walk w;

    if (insn->mode != INSN_64 || insn->seg >= INSN_FS)
        guest_bases(v, bases);
    u64 linear = insn_linear(insn, &cpu, bases, write);
    enum insn_match match = insn_matches(insn, write);
    if (match == INSN_MISMATCH || !address_matches(insn, linear, e)) {
        mismatch(v);
        return;
    }
    v->mismatches = 0;
    if (match == INSN_MATCH_IF_WRITABLE && !guest_reach(v, e->cpu.mode, linear, WALK_WRITE, &w))
        return;
    if (insn_exec(insn, &cpu, write, &env))
        return;
    if (f->plain_move && e->range) {
        f->range = e->range;
        f->access = exit->access & NESTED_KIND;
    }
    v->rflags = cpu.rflags;
    fetch_advance(v, cpu.rip);
}

static void emulate(struct vcpu *v, const struct vcpu_exit *exit, const struct mmio_range *range)
{
    struct vcpu_mode mode;
    struct fetched *f;

    vcpu_get_mode(v, &mode);
    enum fetch_result fetched = fetch_insn(v, &mode, &f);
    /* The CPU has judged no port, should other bytes than these have made the access. */
    if (fetched == FETCH_OK && f->insn.op >= INSN_INS)
        fetched = FETCH_UNKNOWN;
    if (fetched == FETCH_OK)
        execute(v, exit, f, &(struct emulation){ .cpu = { v, &mode }, .range = range, .gpa = exit->gpa });
    else if (fetched == FETCH_AGAIN)
        mismatch(v);
    else
        reject(v, exit->gpa,
               fetched == FETCH_NO_CODE ? "the code lies in a device"
                                        : "an instruction that is not emulated");
}

/*
 * The guest's page tables lead through memory that is not the guest's: the CPU would have read ones, which
 * have reserved bits set. The CPU tells neither the linear address nor which access it was for, so the
 * candidates are walked: the code, the operands, the stack.
 */
static void walk_through_nothing(struct vcpu *v, const struct vcpu_exit *exit)
{
    struct insn_cpu cpu = { .gpr = v->gpr, .rip = v->rip, .rflags = v->rflags };
    bool delivery = exit->access & NESTED_DELIVERY;
    u64 bases[INSN_NSEGS], code;
    struct vcpu_mode mode;
    struct fetched *f;
    struct walk w;

    vcpu_get_mode(v, &mode);
    guest_bases(v, bases);
    code = mode.cs_base + v->rip;
    if (fetch_mode(&mode) != INSN_64)
        code &= MASK(31, 0);
    if (!delivery && (!guest_reach(v, &mode, code, WALK_FETCH, &w) ||
                      ((code & (PAGE_SIZE - 1)) > PAGE_SIZE - INSN_MAX_LEN && (exit->access & NESTED_FETCH) &&
                       !guest_reach(v, &mode, align_up(code, PAGE_SIZE), WALK_FETCH, &w))))
        return;
    if (!delivery && fetch_insn(v, &mode, &f) == FETCH_OK) {
        const struct insn *insn = &f->insn;
        bool writes = insn_writes_mem(insn);

        /* The one that does not get there is the one that faulted. */
        if (!guest_reach(v, &mode, insn_linear(insn, &cpu, bases, writes), writes ? WALK_WRITE : WALK_READ,
                         &w))
            return;
        if (!guest_reach(v, &mode, insn_linear(insn, &cpu, bases, false), WALK_READ, &w))
            return;
    }
    vcpu_inject_page_fault(v, v->gpr[RSP], PF_PRESENT | PF_RESERVED | (mode.cpl == 3 ? PF_USER : 0));
}

static bool fill(u64 gpa)
{
    int err = nested_fill(gpa);

    if (err == ERR_NOMEM)
        log_rated(LOG_ERR, "no memory to map guest address %lx; give Sluice more with mem=", gpa);
    return !err;
}

void handle_nested_fault(struct vcpu *v, const struct vcpu_exit *exit)
{
    const struct mmio_range *range = bus_find(exit->gpa);

    if (!range && nested_get(exit->gpa) == NESTED_ALL && fill(exit->gpa))
        return;
    if (exit->access & NESTED_WALK)
        walk_through_nothing(v, exit);
    else if (exit->access & NESTED_DELIVERY)
        vcpu_inject_exception(v, VEC_GP, true, 0); /* a gate or a stack of ones */
    else if (exit->access & NESTED_FETCH)
        reject(v, v->exit.gpa, "a jump to what is not the guest's"); /* FF FF is no instruction */
    else
        emulate(v, exit, range);
}
