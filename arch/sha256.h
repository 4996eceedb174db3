/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 (FIPS 180-4).
 */
#ifndef ARCH_SHA256_H
#define ARCH_SHA256_H

#include "arch/types.h"

#define SHA256_SIZE 32

struct sha256 {
    u32 state[8];
    u64 length; /* bytes so far */
    u8 block[64];
};

void sha256_start(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *data, size_t size);
void sha256_end(struct sha256 *s, u8 digest[SHA256_SIZE]);

#endif
