/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much memory Sluice takes and where. Also compiled into the EFI application, which must refuse while
 * firmware can still go on.
 */
#ifndef HV_REGION_H
#define HV_REGION_H

#include "boot/boot_info.h"

/* The region's base by `mem=` and firmware's map, *size in bytes; refuse()s when the machine is too small. */
u64 region_choose(const struct boot_info *info, u64 *size);

#endif
