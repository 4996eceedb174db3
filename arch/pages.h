/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ARCH_PAGES_H
#define ARCH_PAGES_H

#include "arch/types.h"

/* The pool is [start, end), virtual and page-aligned. page_alloc() and the rest are in arch/paging.h. */
void pages_init(u64 start, u64 end);

#endif
