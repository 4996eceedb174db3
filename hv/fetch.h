/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instruction a guest stands at. What was fetched and decoded is remembered, and used again as long as
 * the page-table entries and the bytes are found unchanged.
 */
#ifndef HV_FETCH_H
#define HV_FETCH_H

#include "arch/insn.h"
#include "arch/vcpu.h"

enum fetch_result {
    FETCH_OK,
    FETCH_AGAIN,   /* the tables have changed since: enter again, the CPU will see for itself */
    FETCH_NO_CODE, /* the bytes lie where we do not read */
    FETCH_UNKNOWN, /* no instruction that we emulate */
};

struct fetched {
    struct insn insn;
    /* What nearly every access of a driver is: MOV of 4 or 8 bytes in 64-bit code, without a segment base. */
    bool plain_move;
};

/* One page per virtual CPU. */
int fetch_init(struct vcpu *v) __must_check;

/* *out is valid until the next call for this CPU. */
enum fetch_result fetch_insn(struct vcpu *v, const struct vcpu_mode *mode, const struct fetched **out);

/* At most INSN_MAX_LEN bytes at RIP; returns how many. */
unsigned fetch_bytes(struct vcpu *v, const struct vcpu_mode *mode, u8 bytes[INSN_MAX_LEN + 1]);

enum insn_mode fetch_mode(const struct vcpu_mode *mode);

/*
 * Moves RIP behind an instruction that exited without telling its length: any prefixes, then `opcode`. False:
 * the bytes are others by now, enter again.
 */
bool fetch_skip(struct vcpu *v, const u8 *opcode, unsigned size) __must_check;

/* RIP is set and the instruction done with. */
void fetch_advance(struct vcpu *v, u64 rip);

#endif
