/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/* Any DMAR is refused with a line that says why, or gives units and regions that are page-aligned. */
#include <string.h>

#include "iommu/parts.h"
#include "tests/fuzz/fuzz.h"
#include "tests/world/world.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    static bool up;
    u8 *exact = malloc(size ? size : 1);
    u64 base, length;
    int err;

    if (!up)
        (void)!world_boot(&(struct world_cfg){ 0 });
    up = true;
    memcpy(exact, data, size);
    if (size >= 10) { /* the rest is about what is behind a right length and checksum */
        for (unsigned i = 0; i < 4; i++)
            exact[4 + i] = (u8)(size >> (8 * i));
        dmar_checksum(exact, size);
    }
    W.warnings = 0;
    W.bump = 0; /* all of Sluice's memory is free again */
    W.free_pages = 0;
    err = iommu_parse(exact, size);
    REQUIRE(!err || W.warnings);
    for (unsigned i = 0; !err && iommu_window(i, &base, &length); i++)
        REQUIRE(is_aligned(base, PAGE_SIZE) && is_aligned(length, PAGE_SIZE) && length &&
                base + length > base);
    for (unsigned i = 0; !err && iommu_rmrr(i, &base, &length); i++)
        REQUIRE(length && base + length > base);
    if (!err) {
        for (u32 sid = 0; sid < 0x400; sid += 8)
            (void)dmar_ats_listed(0, (u16)sid);
        iommu_edit_dmar(exact, size);
    }
    free(exact);
    return 0;
}
