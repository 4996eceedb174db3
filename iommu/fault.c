/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults of the real unit. Those of a guest that has translation on are the guest's, with the reason its own
 * tables give; those of the contained identity map are ours to log.
 */
#include "iommu/unit.h"

/* Below a guest's first-stage table: our second stage has stopped its walk, or what came out of it. */
static bool stopped_below(u8 reason)
{
    return (reason >= FAULT_SM_NEST_FIRST && reason <= FAULT_SM_NEST_LAST) || reason == FAULT_SM_SS_WIDTH;
}

/* An entry of ours may be the cause: it is merely not present where the guest's is wrong. */
static bool may_be_ours(u8 reason)
{
    switch (reason) {
    case FAULT_ROOT_NOT_PRESENT:
    case FAULT_CONTEXT_NOT_PRESENT:
    case FAULT_SS_NO_WRITE:
    case FAULT_SS_NO_READ:
    case FAULT_SM_ROOT_NOT_PRESENT:
    case FAULT_SM_CONTEXT_NOT_PRESENT:
    case FAULT_SM_DIR_NOT_PRESENT:
    case FAULT_SM_PASID_NOT_PRESENT:
    case FAULT_SM_FS_NOT_PRESENT:
    case FAULT_SM_FS_CANONICAL:
    case FAULT_SM_NO_WRITE:
    case FAULT_SM_NO_READ:
        return true;
    default:
        return stopped_below(reason);
    }
}

/*
 * A guest is told what is wrong with its own tables, in the words of its own table mode and stage, whatever
 * ours are.
 */
static u8 guest_reason(struct unit *u, u64 lo, u64 hi)
{
    u8 reason = (u8)field_get(hi, FRCD_FR), pgtt;
    u32 pasid = (u32)field_get(hi, FRCD_PV);
    bool read = hi & FRCD_T1;
    enum fault_reason guest;

    if (reason == FAULT_IR_NOT_PRESENT) {
        guest = ir_fault(u, (u32)field_get(lo, FRCD_IR_INDEX));
        return guest ? (u8)guest : reason;
    }
    if (!may_be_ours(reason))
        return reason;
    guest = context_fault(u, (u16)field_get(hi, FRCD_SID), hi & FRCD_PP ? &pasid : NULL, lo & FRCD_FI, &pgtt);
    if (guest)
        return (u8)guest;
    if (pgtt == PGTT_FIRST && stopped_below(reason)) /* it leads to where no device may go */
        return read ? FAULT_SM_NO_READ : FAULT_SM_NO_WRITE;
    if (pgtt == PGTT_FIRST || reason < FAULT_SM_FS_ACCESS)
        return reason;
    if (u->v.rules.scalable)
        return FAULT_SM_SS_PERMISSION;
    return read ? FAULT_SS_NO_READ : FAULT_SS_NO_WRITE;
}

static void report(struct unit *u, u64 lo, u64 hi)
{
    u16 sid = (u16)field_get(hi, FRCD_SID);
    u8 reason = (u8)field_get(hi, FRCD_FR);
    bool interrupt = reason >= FAULT_IR_FIRST && reason <= FAULT_IR_LAST;

    if (interrupt ? u->v.ir_enabled : u->v.enabled) {
        if (!interrupt && !(u->v.cap & CAP_CM))
            u->doubtful = sid;
        vregs_fault(u, lo, (hi & ~FRCD_FR) | field_prep(FRCD_FR, guest_reason(u, lo, hi)));
    } else {
        env_log_limited(ENV_WARN, "unit %u: blocked %s of %02x:%02x.%x at %llx (reason %x)", u->index,
                        interrupt      ? "interrupt"
                        : hi & FRCD_T1 ? "DMA read"
                                       : "DMA write",
                        sid >> 8, sid >> 3 & 0x1f, sid & 7, (unsigned long long)lo, reason);
    }
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
