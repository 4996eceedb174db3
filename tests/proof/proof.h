/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every harness includes. A function proof_x() holds for every input within the bound that stands above
 * it (UNWIND: how often a loop may run; more is an error, not a blind spot). Its negative twin twin_x()
 * claims a bit more than is true and must be refuted, so that a harness which proves nothing is noticed.
 */
#ifndef TESTS_PROOF_PROOF_H
#define TESTS_PROOF_PROOF_H

#include "arch/types.h"

void __CPROVER_assume(_Bool holds);
void __CPROVER_assert(_Bool holds, const char *what);
void __CPROVER_havoc_object(void *object);
#define ASSUME(what) __CPROVER_assume(what)
#define PROVE(what)  __CPROVER_assert(what, #what)

/* Any value at all: CBMC knows functions by this prefix. */
u64 nondet_u64(void);
u32 nondet_u32(void);
u16 nondet_u16(void);
u8 nondet_u8(void);
bool nondet_bool(void);
#define any64    nondet_u64
#define any32    nondet_u32
#define any16    nondet_u16
#define any8     nondet_u8
#define any_bool nondet_bool

#endif
