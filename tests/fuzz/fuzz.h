/* SPDX-License-Identifier: Apache-2.0 */
/* What every fuzz target includes. The sanitizers see what is wrong with memory; REQUIRE() says the rest. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdio.h>
#include <stdlib.h>

#include "arch/types.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#define REQUIRE(what)                                                            \
    do {                                                                         \
        if (!(what)) {                                                           \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #what); \
            abort();                                                             \
        }                                                                        \
    } while (0)

/* The input, taken from its front; zeros when it is used up. */
struct input {
    const u8 *at;
    size_t left;
};

static inline u64 take(struct input *in, unsigned bytes)
{
    u64 value = 0;

    for (unsigned i = 0; i < bytes && in->left; i++, in->left--)
        value |= (u64)*in->at++ << (8 * i);
    return value;
}

#endif
