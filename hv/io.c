/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Port accesses. String forms do one element for each exit; RIP moves on when the count is used up.
 */
#include "hv/bus.h"
#include "hv/exit.h"
#include "hv/fetch.h"
#include "hv/walk.h"

static int access_port(void *ctx, enum insn_access how, unsigned int width, u64 *val)
{
    const struct operand *o = ctx;

    *val = bus_port(o->v->exit.port, width, how == INSN_READ, (u32)*val);
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

    vcpu_get_mode(v, &mode);
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
    u64 mask = exit->io_size == 4 ? ~0ull : MASK(8 * exit->io_size - 1, 0); /* 4 bytes clear the upper half */

    if (exit->io_string) {
        string_io(v, exit);
        return;
    }
    u32 value = bus_port(exit->port, exit->io_size, exit->io_in, (u32)(v->gpr[RAX] & mask));
    if (exit->io_in)
        v->gpr[RAX] = (v->gpr[RAX] & ~mask) | (value & mask);
    fetch_advance(v, exit->next_rip);
}
