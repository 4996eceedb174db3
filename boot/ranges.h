/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting firmware's memory map in order.
 */
#ifndef BOOT_RANGES_H
#define BOOT_RANGES_H

#include "boot/boot_info.h"

/* Appends a range as firmware told it. An unknown type counts as reserved, what lies above 2^52 is dropped.
 */
void boot_ranges_add(struct boot_info *info, u64 base, u64 size, u32 type);

/*
 * Sorts the ranges, removes overlaps (the more restrictive type wins) and joins neighbours of one type. Sets
 * ranges_cut when the result does not fit.
 */
void boot_ranges_normalize(struct boot_info *info);

#endif
