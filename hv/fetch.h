/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instruction a guest stands at. What was fetched and decoded is remembered, and used again as long as
 * the page-table entries and the bytes are found unchanged.
 */
#ifndef HV_FETCH_H
#define HV_FETCH_H

#include "arch/insn.h"
#include "hv/bus.h"
#include "hv/walk.h"

enum fetch_result {
    FETCH_OK,
    FETCH_AGAIN,   /* the tables have changed since: enter again, the CPU will see for itself */
    FETCH_NO_CODE, /* the bytes lie where we do not read */
    FETCH_UNKNOWN, /* no instruction that we emulate */
};

struct fetched {
    struct insn insn; /* len 0: not decoded */
    /* What nearly every access of a driver is: MOV of 4 or 8 bytes in 64-bit code, at a register and a
     * displacement, without a segment base. */
    bool plain_move;
    u8 start; /* of it in the window */
    /* What such a move has reached, and where, and the exit's NESTED_KIND that it makes; access ~0: nothing
     * yet. */
    const struct mmio_range *range;
    u64 gpa, access;
};

#define FETCH_WINDOW 16      /* bytes read at once; never across a page's end */
#define NOWHERE      BIT(63) /* no address at all, so that no RIP is this */

/* What is remembered of one instruction. */
struct fetch_slot {
    u64 rip; /* NOWHERE: nothing is remembered, as of all but 64-bit code */
    const volatile u8 *window;
    u64 copy[FETCH_WINDOW / 8];
    struct vcpu_mode mode;
    struct walk walk;
    struct fetched fetched;
} __attribute__((aligned(256)));

/* One page per virtual CPU. What lies at RIP may be in either of two slots. */
#define FETCH_PAIRS 8
struct fetcher {
    struct fetch_slot pair[FETCH_PAIRS][2];
};
_Static_assert(sizeof(struct fetcher) == PAGE_SIZE, "indices are cheap when slots are a power of two");

/* What is known of the instruction at RIP and would be read the same again; else NULL. */
static inline struct fetch_slot *fetch_known(struct vcpu *v)
{
    typedef const volatile u64 unaligned __attribute__((aligned(1)));
    struct fetch_slot *s = ((struct fetcher *)v->emulator)->pair[v->rip % FETCH_PAIRS];
    u64 differ = 0;

    if (s->rip != v->rip && (++s)->rip != v->rip)
        return NULL;
    if (!vcpu_ops->reads_code_as(v, &s->mode))
        return NULL;
    unaligned *now = (unaligned *)s->window;
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++)
        differ |= *s->walk.step[i].entry ^ s->walk.step[i].value;
    if (unlikely(s->walk.levels > 4))
        differ |= *s->walk.step[4].entry ^ s->walk.step[4].value;
    differ |= (now[0] ^ s->copy[0]) | (now[1] ^ s->copy[1]);
    return differ ? NULL : s;
}

int fetch_init(struct vcpu *v) __must_check;

/* *out is valid until the next call for this CPU. */
enum fetch_result fetch_insn(struct vcpu *v, const struct vcpu_mode *mode, struct fetched **out);

/* At most INSN_MAX_LEN bytes at RIP; returns how many. */
unsigned fetch_bytes(struct vcpu *v, const struct vcpu_mode *mode, u8 bytes[INSN_MAX_LEN]);

enum insn_mode fetch_mode(const struct vcpu_mode *mode);

/*
 * Moves RIP behind an instruction that exited without telling its length: any prefixes, then `opcode`. False:
 * the bytes are others by now, enter again.
 */
bool fetch_skip(struct vcpu *v, const u8 *opcode, unsigned size) __must_check;

/* RIP is set and the instruction done with. */
static inline void fetch_advance(struct vcpu *v, u64 rip)
{
    v->rip = rip;
    vcpu_ops->retired(v);
}

#endif
