/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Basic types and bit helpers, shared by every layer and by the host tests.
 */
#ifndef ARCH_TYPES_H
#define ARCH_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096ull
#define SIZE_2M    (1ull << 21)
#define SIZE_1G    (1ull << 30)

/* Errors are negative; the names are the field's. */
#define ERR_NOMEM    (-12)
#define ERR_FAULT    (-14)
#define ERR_BUSY     (-16)
#define ERR_NODEV    (-19)
#define ERR_INVAL    (-22)
#define ERR_NOSPC    (-28)
#define ERR_RANGE    (-34)
#define ERR_TIMEDOUT (-110)
#define ERR_IO       (-5)

#define BIT(n) (1ull << (n))
/* MASK(63, 12) is bits 63 to 12, written as the manuals write them. */
#define MASK(hi, lo) ((~0ull >> (63 - (hi))) & (~0ull << (lo)))

/* The value of the field that `mask` selects, shifted down. `mask` must not be 0. */
static inline u64 field_get(u64 word, u64 mask)
{
    return (word & mask) >> __builtin_ctzll(mask);
}

/* `value` shifted up into the field that `mask` selects; what does not fit is dropped. */
static inline u64 field_prep(u64 mask, u64 value)
{
    return (value << __builtin_ctzll(mask)) & mask;
}

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)     ((a) < (b) ? (a) : (b))
#define MAX(a, b)     ((a) > (b) ? (a) : (b))

static inline u64 align_down(u64 value, u64 size)
{
    return value & ~(size - 1);
}

/* Wraps to 0 when the result does not fit. */
static inline u64 align_up(u64 value, u64 size)
{
    return (value + size - 1) & ~(size - 1);
}

static inline bool is_aligned(u64 value, u64 size)
{
    return (value & (size - 1)) == 0;
}

/* Do [a, a+alen) and [b, b+blen) share a byte? Neither range may wrap. */
static inline bool ranges_overlap(u64 a, u64 alen, u64 b, u64 blen)
{
    return alen && blen && a <= b + (blen - 1) && b <= a + (alen - 1);
}

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define __must_check   __attribute__((warn_unused_result))
#define __noreturn     __attribute__((noreturn))
#define __printf(f, a) __attribute__((format(printf, f, a)))

#endif
