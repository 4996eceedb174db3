/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults of the real unit. Those of a guest that has translation on are the guest's, with the reason its own
 * tables give; those of the contained identity map are ours to log.
 */
#include "iommu/unit.h"

/*
 * Our entries are merely not present where the guest's are wrong, and on a unit in scalable mode a guest in
 * legacy mode is told of second-stage faults in legacy mode's words.
 */
static u8 guest_reason(struct unit *u, u64 lo, u64 hi)
{
    u8 reason = (u8)field_get(hi, FRCD_FR);
    u32 pasid = (u32)field_get(hi, FRCD_PV);
    enum fault_reason guest;

    switch (reason) {
    case FAULT_IR_NOT_PRESENT:
        guest = ir_fault(u, (u32)field_get(lo, FRCD_IR_INDEX));
        return guest ? (u8)guest : reason;
    case FAULT_ROOT_NOT_PRESENT:
    case FAULT_CONTEXT_NOT_PRESENT:
    case FAULT_SS_NO_WRITE:
    case FAULT_SS_NO_READ:
    case FAULT_SM_ROOT_NOT_PRESENT:
    case FAULT_SM_CONTEXT_NOT_PRESENT:
    case FAULT_SM_DIR_NOT_PRESENT:
    case FAULT_SM_PASID_NOT_PRESENT:
    case FAULT_SM_SS_PERMISSION:
        guest = context_fault(u, (u16)field_get(hi, FRCD_SID), hi & FRCD_PP ? &pasid : NULL, lo & FRCD_FI);
        if (guest)
            return (u8)guest;
        if (reason == FAULT_SM_SS_PERMISSION && !u->v.rules.scalable)
            return hi & FRCD_T1 ? FAULT_SS_NO_READ : FAULT_SS_NO_WRITE;
        return reason;
    default:
        return reason;
    }
}

static void report(struct unit *u, u64 lo, u64 hi)
{
    u16 sid = (u16)field_get(hi, FRCD_SID);
    u8 reason = (u8)field_get(hi, FRCD_FR);
    bool interrupt = reason >= FAULT_IR_FIRST && reason <= FAULT_IR_LAST;

    if (interrupt ? u->v.ir_enabled : u->v.enabled)
        vregs_fault(u, lo, (hi & ~FRCD_FR) | field_prep(FRCD_FR, guest_reason(u, lo, hi)));
    else
        env_log_limited(ENV_WARN, "unit %u: blocked %s of %02x:%02x.%x at %llx (reason %x)", u->index,
                        interrupt      ? "interrupt"
                        : hi & FRCD_T1 ? "DMA read"
                                       : "DMA write",
                        sid >> 8, sid >> 3 & 0x1f, sid & 7, (unsigned long long)lo, reason);
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
