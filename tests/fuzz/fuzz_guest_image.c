/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/loader.c hv/loader_linux.c hv/loader_elf.c hv/loader_multiboot.c hv/loader_pvh.c */
/* LINK: hv/loader_firmware.c hv/mem.c */
/* LIBS: -lcmocka */
/* Any guest image is refused or loaded within the guest's memory: Sluice's own does not change. */
#include "tests/unit/loader_world.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    static const u8 initrd[5000] = { 1, 2, 3 };
    static bool up;

    if (!up) {
        REQUIRE(world_set_up(NULL) == 0);
        memset(world + WORLD_FIRST, 0xcc, 8 * MB);
        up = true;
    }
    world_info.nr_modules = 0;
    add_module(4 * MB, data, size, "root=/dev/vda");
    if (size & 1)
        add_module(6 * MB, initrd, sizeof(initrd), "");
    (void)is_refused();
    for (u64 at = WORLD_FIRST; at < WORLD_FIRST + 8 * MB; at += 512)
        REQUIRE(world_u64(at) == 0xccccccccccccccccull);
    (void)throw_at_loader;
    return 0;
}
