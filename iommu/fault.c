/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults of the real unit. Those of a guest that has translation on are the guest's, with the reason its own
 * tables give; those of the contained identity map are ours to log.
 */
#include "iommu/unit.h"

static void report(struct unit *u, u64 lo, u64 hi)
{
    u16 sid = (u16)field_get(hi, FRCD_SID);
    u8 reason = (u8)field_get(hi, FRCD_FR);
    enum fault_reason guest;

    if (!u->v.enabled) {
        env_log_limited(ENV_WARN, "unit %u: blocked DMA %s of %02x:%02x.%x at %llx (reason %x)", u->index,
                        hi & FRCD_T1 ? "read" : "write", sid >> 8, sid >> 3 & 0x1f, sid & 7,
                        (unsigned long long)(lo & FRCD_FI), reason);
        return;
    }
    /* Our entries are merely not present where the guest's are wrong; the guest is told what is wrong with
     * its own. */
    if (reason == FAULT_ROOT_NOT_PRESENT || reason == FAULT_CONTEXT_NOT_PRESENT ||
        reason == FAULT_SS_NO_WRITE || reason == FAULT_SS_NO_READ) {
        guest = context_fault(u, sid, lo & FRCD_FI);
        if (guest)
            hi = (hi & ~FRCD_FR) | field_prep(FRCD_FR, guest);
    }
    vregs_fault(u, lo, hi);
}

bool fault_collect(struct unit *u)
{
    u32 fsts = env_read32(u->regs, REG_FSTS);
    unsigned at = (unsigned)field_get(fsts, FSTS_FRI);
    bool any = false;

    if (!(fsts & (FSTS_PPF | FSTS_PFO)))
        return false;
    /* Oldest first, and those that come meanwhile, but a storm does not hold us here. */
    for (unsigned n = 0; n < 4 * u->nr_frcd; n++) {
        u32 off = u->frcd_off + (at % u->nr_frcd) * 16;
        u64 hi = env_read64(u->regs, off + 8), lo;

        if (!(hi & FRCD_F))
            break;
        lo = env_read64(u->regs, off);
        env_write32(u->regs, off + 12, (u32)(FRCD_F >> 32));
        report(u, lo, hi);
        any = true;
        at++;
    }
    /* Whether or not it was there at the start: one that is left standing silences every later event (7.3).
     */
    env_write32(u->regs, REG_FSTS, FSTS_PFO);
    return any;
}
