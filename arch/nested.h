/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nested paging: which physical page the guest's accesses reach. Guest-physical = host-physical always, so a
 * table only says what is present and writable. One table for all virtual CPUs. Entry formats come from the
 * backend (AMD NPT, Intel EPT).
 */
#ifndef ARCH_NESTED_H
#define ARCH_NESTED_H

#include "arch/types.h"

enum nested_access {
    NESTED_NONE, /* every access exits */
    NESTED_READ, /* reads and fetches go through, writes exit */
    NESTED_ALL,
};

int nested_init(void) __must_check;

/*
 * Declares how [base, base+size) (4K-aligned) may be accessed; everything not declared is NESTED_ALL. The
 * last declaration of an address counts. Callers flush with vcpu_flush_all() when a guest already runs.
 * ERR_INVAL: nothing has changed; ERR_NOMEM: it may hold for a part only.
 */
int nested_set(u64 base, u64 size, enum nested_access access) __must_check;
enum nested_access nested_get(u64 gpa);

/*
 * A nested fault on an address that is NESTED_ALL only means that the table has not been filled there yet:
 * maps the largest page (1G, 2M, 4K) around gpa that is uniform. ERR_NOMEM when the pool is exhausted,
 * ERR_RANGE beyond what the table reaches (48 bits), ERR_INVAL where not everything is allowed.
 */
int nested_fill(u64 gpa) __must_check;

/* Each entry again in the backend's format, which has changed: memory types. The caller flushes. */
void nested_refresh(void);

u64 nested_root(void); /* physical address for the backend */

#endif
