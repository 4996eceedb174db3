/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Port accesses. String forms do one element for each exit; RIP moves on when the count is used up.
 */
#include "hv/bus.h"
#include "hv/exit.h"
#include "hv/fetch.h"
#include "hv/walk.h"

static u64 size_mask(unsigned size)
{
    return ~0ull >> (64 - 8 * size);
}

static int access_port(void *ctx, enum insn_access how, unsigned int width, u64 *val)
{
    struct vcpu *v = ((const struct operand *)ctx)->v;
    u32 value = (u32)*val;

    bus_port(v, v->exit.port, width, how == INSN_READ, &value);
    *val = value;
    return 0;
}

static void string_io(struct vcpu *v, const struct vcpu_exit *exit)
{
    struct insn_cpu cpu = { .gpr = v->gpr, .rip = v->rip, .rflags = v->rflags };
    u64 bases[INSN_NSEGS];
    struct vcpu_mode mode;
    struct operand operand = { v, &mode };
    const struct insn_env env = { &operand, bases, access_port, operand_linear };
    struct fetched *f;
    struct insn insn;

    vcpu_ops->get_mode(v, &mode);
    /* Where the bytes are others by now the guest runs them as they are. */
    if (fetch_insn(v, &mode, &f) != FETCH_OK || f->insn.op != (exit->io_in ? INSN_INS : INSN_OUTS))
        return;
    insn = f->insn;
    insn.width = exit->io_size;
    guest_bases(v, bases);
    if (insn_exec(&insn, &cpu, !exit->io_in, &env))
        return;
    v->rflags = cpu.rflags;
    fetch_advance(v, cpu.rip);
}

void handle_io(struct vcpu *v, const struct vcpu_exit *exit)
{
    u32 value = (u32)v->gpr[RAX];

    if (exit->io_string) {
        string_io(v, exit);
        return;
    }
    bus_port(v, exit->port, exit->io_size, exit->io_in, &value);
    if (exit->io_in && exit->io_size == 4)
        v->gpr[RAX] = value;
    else if (exit->io_in)
        v->gpr[RAX] = (v->gpr[RAX] & ~size_mask(exit->io_size)) | (value & size_mask(exit->io_size));
    fetch_advance(v, exit->next_rip);
}
