/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log in memory: a ring behind the image in the region, which a warm reset leaves in place; the region's
 * end would not do, as boot loaders work at the end of memory. When the next boot finds one there (the same
 * machine puts the region at the same address) its end is shown on the console.
 */
#ifndef ARCH_LOGRING_H
#define ARCH_LOGRING_H

#include "arch/types.h"

#define LOG_RING_SIZE 65536

/* Callers hold the log's lock. Until log_ring_attach() a small buffer takes its place. */
void log_ring_add(const char *text, size_t len);
size_t log_ring_read(u64 *at, char *to, size_t room); /* log_read() */

/* `memory` has LOG_RING_SIZE bytes, page-aligned, contents as found. Shows what an earlier boot left. */
void log_ring_attach(void *memory);

#endif
