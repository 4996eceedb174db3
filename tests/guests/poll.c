/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests that do not help: after the tail write this one looks only at the status word in memory, without a
 * single access that could leave it; or only at the head register.
 */
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/vtd.h"

#define ROUNDS 200u
#define SPINS  2000000000ull /* many seconds; the harness has its own deadline */
#define IOVA   0x40000000ull

/* Only memory: no port, no register, no instruction that a hypervisor would want to see. */
static bool spin(volatile u32 *word, u32 value)
{
    for (u64 i = 0; i < SPINS; i++) {
        if (*word == value) {
            return true;
        }
        __asm__ volatile("" ::: "memory");
    }
    return false;
}

static void by_status(u32 descriptors)
{
    u32 data = 0;
    bool ok = true;

    part("status/%u", descriptors);
    for (u32 i = 0; i < ROUNDS && ok; i++) {
        for (u32 d = 0; d < descriptors; d++) {
            vtd_put(desc_iotlb(IOTLB_PAGE, 1 + d % 3, IOVA + d * PAGE_SIZE, 0));
        }
        data = vtd_next_cookie();
        vtd_put(desc_wait(data, (u64)vtd_status));
        vtd_ring();
        ok = spin(vtd_status, data);
    }
    check("status", ok, "0x%x is not 0x%x; FSTS 0x%x IQH 0x%lx", *vtd_status, data, vtd_read32(VTD_FSTS),
          vtd_read64(VTD_IQH));
}

static void by_head(void)
{
    bool ok = true;

    part("head");
    for (u32 i = 0; i < ROUNDS && ok; i++) {
        u64 deadline = deadline_in_ms(2000);

        vtd_put(desc_iotlb(IOTLB_DOMAIN, 1, 0, 0));
        vtd_put(desc_wait(vtd_next_cookie(), (u64)vtd_status));
        vtd_ring();
        while (vtd_read64(VTD_IQH) != (u64)vtd_tail << 4 && ok) {
            ok = !deadline_over(deadline);
        }
    }
    check("head", ok, "IQH 0x%lx, tail 0x%x", vtd_read64(VTD_IQH), vtd_tail << 4);
    /* And without any wait at all. */
    vtd_put(desc_iotlb(IOTLB_GLOBAL, 0, 0, 0));
    vtd_ring();
    for (u64 deadline = deadline_in_ms(2000); vtd_read64(VTD_IQH) != (u64)vtd_tail << 4;) {
        if (deadline_over(deadline)) {
            break;
        }
    }
    check("head-without-wait", vtd_read64(VTD_IQH) == (u64)vtd_tail << 4, "IQH 0x%lx", vtd_read64(VTD_IQH));
}

void guest_main(void)
{
    if (!vtd_find()) {
        check("setup", false, "no unit");
        return;
    }
    vtd_tables_reset();
    check("queue-on", vtd_queue_on(0), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    check("root", vtd_root_set() && vtd_command(GSTS_TE, true), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    by_status(1);
    by_status(20);
    by_head();
    by_status(0);
}
