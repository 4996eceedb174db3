/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hypervisor's side of iommu/env.h.
 */
#ifndef HV_ENV_H
#define HV_ENV_H

#include "arch/types.h"

/* After paging_relocate() and before iommu_protect(). ERR_NOMEM. */
int env_init(void) __must_check;

#endif
