/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors as whoever receives them reads them: written again from the specification. Apart from proof.h,
 * as the solver's time hangs on all that a harness includes.
 */
#ifndef TESTS_PROOF_RECEIVED_H
#define TESTS_PROOF_RECEIVED_H

#include "iommu/desc.h"
#include "tests/proof/proof.h"

/* Bits that may be set in a descriptor of this type, 6.5.2.1 to 6.5.2.9. */
static inline u64 low_bits(u64 type)
{
    switch (type) {
    case 1:
        return 0x0003ffffffff003f;
    case 2:
        return 0x00000000ffff00ff;
    case 3:
        return 0xfff0ffff001ff00f;
    case 4:
        return 0x0000fffff800001f;
    case 5: /* PD, bit 7, where there are page requests */
        return 0xffffffff000000ff;
    case 6:
    case 7:
        return 0x000fffffffff003f;
    case 8:
        return 0xffffffffffffffff & ~0x0000000000000e00ull;
    case 9:
        return 0x000ffffffffff01f;
    default:
        return 0;
    }
}

static inline u64 high_bits(u64 type)
{
    switch (type) {
    case 2:
    case 6:
        return 0xfffffffffffff07f;
    case 3:
        return 0xfffffffffffff001;
    case 5:
        return 0xfffffffffffffffc;
    case 8:
        return 0xfffffffffffff801;
    case 9:
        return 0x0000000000000ff8;
    default:
        return 0;
    }
}

static inline u64 type_of(struct desc d)
{
    return (d.lo & 0xf) | (d.lo >> 5 & 0x70);
}

/* What we send: IH, of types 2 and 6, is never set. */
static inline bool only_specified_bits(struct desc d)
{
    u64 type = type_of(d);

    return type >= 1 && type <= 9 && !(d.lo & ~low_bits(type)) && !(d.hi & ~high_bits(type)) &&
           ((type != 2 && type != 6) || !(d.hi & 1 << 6));
}

/* What a device reads from an invalidation request (10.2.3, and ATS 1.1, 5.1): written again, with a loop. */
static inline bool device_drops(u64 hi, u64 s, u64 page)
{
    unsigned order = 0;

    if (hi & s)
        for (order = 1; order < 52 && hi >> (11 + order) & 1; order++)
            ;
    return order >= 52 || page >> order == hi >> 12 >> order;
}

#endif
