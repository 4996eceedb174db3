/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: boot/multiboot2.c boot/ranges.c */
/* Any boot information is refused or gives a sorted map without overlaps and strings that end. */
#include <string.h>

#include "boot/multiboot2.h"
#include "tests/fuzz/fuzz.h"

static struct boot_info info;

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    u8 *exact = malloc(size ? size : 1);

    memcpy(exact, data, size);
    if (multiboot2_parse(exact, size, &info) == 0) {
        REQUIRE(info.nr_ranges <= BOOT_MAX_RANGES && info.nr_modules <= BOOT_MAX_MODULES);
        REQUIRE(memchr(info.cmdline, 0, sizeof(info.cmdline)));
        for (unsigned i = 0; i < info.nr_modules; i++)
            REQUIRE(memchr(info.modules[i].cmdline, 0, sizeof(info.modules[i].cmdline)));
        for (unsigned i = 1; i < info.nr_ranges; i++)
            REQUIRE(info.ranges[i - 1].base + info.ranges[i - 1].size <= info.ranges[i].base);
    }
    free(exact);
    return 0;
}
