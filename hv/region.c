/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much memory Sluice takes and where.
 */
#include "hv/mem.h"
#include "arch/log.h"
#include "hv/options.h"

#define MIB            20
#define REGION_DEFAULT ((u64)32 << MIB)
#define GUEST_MINIMUM  ((u64)32 << MIB)

u64 region_choose(const struct boot_info *info, u64 *size)
{
    /* Two tables map all of RAM one page a GiB each where there are no 1 GiB pages: the guest's CPU side and
     * the identity map of its devices. What they need beyond a quarter of the default comes on top. */
    u64 ram = mem_ram_bytes(info), tables = 2 * PAGE_SIZE * ((ram >> 30) + 4);

    *size = REGION_DEFAULT + (tables > REGION_DEFAULT / 4 ? align_up(tables, SIZE_2M) : 0);
    if (options.memory)
        *size = options.memory;
    u64 base = *size + GUEST_MINIMUM <= ram ? mem_choose_region(info, *size) : 0;
    if (!base)
        refuse(
            "not enough memory: %lu MiB in one piece below 4 GiB for Sluice and %lu MiB for a guest are needed, "
            "the machine has %lu MiB; give it more, or Sluice less with mem=",
            *size >> MIB, GUEST_MINIMUM >> MIB, ram >> MIB);
    return base;
}
