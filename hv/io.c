/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Port accesses. String forms do one element for each exit; RIP moves on when the count is used up.
 */
#include "arch/log.h"
#include "hv/bus.h"
#include "hv/exit.h"
#include "hv/fetch.h"
#include "hv/walk.h"

enum { VEC_UD = 6 };

#define RFLAGS_DF BIT(10)

static u64 size_mask(unsigned size)
{
    return ~0ull >> (64 - 8 * size);
}

/* A register as wide as addresses are; writes of 4 bytes clear the upper half. */
static void advance(u64 *gpr, unsigned addr_size, u64 step)
{
    u64 next = (*gpr + step) & size_mask(addr_size);

    *gpr = addr_size == 2 ? (*gpr & ~0xffffull) | next : next;
}

struct string_io {
    unsigned addr_size;
    enum vcpu_seg seg;
};

/* The prefixes of INS and OUTS. False: the bytes are no such instruction any more. */
static bool decode(struct vcpu *v, const struct vcpu_mode *mode, struct string_io *io)
{
    enum insn_mode size = fetch_mode(mode);
    u8 bytes[INSN_MAX_LEN + 1];
    unsigned count = fetch_bytes(v, mode, bytes);
    bool addrsize = false;

    io->seg = SEG_DS;
    for (unsigned i = 0; i < count; i++) {
        switch (bytes[i]) {
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
            if (size != INSN_64)
                io->seg = (enum vcpu_seg)(bytes[i] >> 3 & 3);
            break;
        case 0x64:
        case 0x65:
            io->seg = SEG_FS + (bytes[i] & 1);
            break;
        case 0x67:
            addrsize = true;
            break;
        case 0x66:
        case 0xf2:
        case 0xf3:
            break;
        case 0x6c ... 0x6f:
            io->addr_size = size == INSN_64 ? (addrsize ? 4 : 8) : (size == INSN_32) != addrsize ? 4 : 2;
            return true;
        default:
            if (size != INSN_64 || (bytes[i] & 0xf0) != 0x40)
                return false;
        }
    }
    return false;
}

/* One byte of guest memory, or a page fault. */
static volatile u8 *byte_at(struct vcpu *v, const struct vcpu_mode *mode, u64 linear, bool write)
{
    struct walk w;

    if (!guest_walk(v, mode, linear, write ? WALK_WRITE : WALK_READ, &w)) {
        vcpu_ops->inject_page_fault(v, linear, w.fault);
        return NULL;
    }
    volatile u8 *page = guest_page(w.gpa);
    if (!page) {
        vcpu_ops->inject_exception(v, VEC_UD, false, 0);
        return NULL;
    }
    return page + (w.gpa & (PAGE_SIZE - 1));
}

static void string_io(struct vcpu *v, const struct vcpu_exit *exit)
{
    struct vcpu_mode mode;
    struct vcpu_segment seg;
    struct string_io io;
    volatile u8 *memory[4];
    u32 value = 0;

    vcpu_ops->get_mode(v, &mode);
    if (!decode(v, &mode, &io))
        return;
    bool is64 = fetch_mode(&mode) == INSN_64;
    u64 *index = &v->gpr[exit->io_in ? RDI : RSI];
    u64 count = exit->io_rep ? v->gpr[RCX] & size_mask(io.addr_size) : 1;
    u64 step = v->rflags & RFLAGS_DF ? -(u64)exit->io_size : exit->io_size;

    if (!count) {
        fetch_advance(v, exit->next_rip);
        return;
    }
    vcpu_ops->get_segment(v, exit->io_in ? SEG_ES : io.seg, &seg);
    u64 linear = *index & size_mask(io.addr_size);
    if (!is64)
        linear = (linear + seg.base) & MASK(31, 0);
    else if (!exit->io_in && io.seg >= SEG_FS)
        linear += seg.base;

    /* All of memory first: a port may not be read twice. */
    for (unsigned i = 0; i < exit->io_size; i++) {
        memory[i] = byte_at(v, &mode, linear + i, exit->io_in);
        if (!memory[i])
            return;
    }
    for (unsigned i = 0; i < exit->io_size && !exit->io_in; i++)
        value |= (u32)*memory[i] << 8 * i;
    bus_port(v, exit->port, exit->io_size, exit->io_in, &value);
    for (unsigned i = 0; i < exit->io_size && exit->io_in; i++)
        *memory[i] = (u8)(value >> 8 * i);

    advance(index, io.addr_size, step);
    if (exit->io_rep)
        advance(&v->gpr[RCX], io.addr_size, -1ull);
    fetch_advance(v, !exit->io_rep || count == 1 ? exit->next_rip : v->rip);
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
