/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults of the real unit. Those of a guest that has translation on are the guest's, with the reason its own
 * tables give; those of the contained identity map, also for its pass-through functions, are ours to log.
 */
#include "iommu/parts.h"

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
    case FAULT_SM_PASID_INVALID: /* some units look at the type of an entry before its P */
    case FAULT_SM_FS_NOT_PRESENT:
    case FAULT_SM_FS_CANONICAL:
    case FAULT_SM_NO_WRITE:
    case FAULT_SM_NO_READ:
        return true;
    default:
        return stopped_below(reason);
    }
}

/* What is the same in both table modes. Emulators have legacy mode's words in scalable mode, too, and ours
 * may be another mode than the guest's. */
static u8 in_mode(const struct unit *u, u8 reason)
{
    static const u8 same[][2] = { { FAULT_ROOT_NOT_PRESENT, FAULT_SM_ROOT_NOT_PRESENT },
                                  { FAULT_CONTEXT_NOT_PRESENT, FAULT_SM_CONTEXT_NOT_PRESENT },
                                  { FAULT_CONTEXT_NOT_PRESENT, FAULT_SM_PASID_NOT_PRESENT },
                                  { FAULT_WIDTH, FAULT_SM_WIDTH },
                                  { FAULT_WIDTH, FAULT_SM_FS_CANONICAL },
                                  { FAULT_SS_NO_WRITE, FAULT_SM_NO_WRITE },
                                  { FAULT_SS_NO_READ, FAULT_SM_NO_READ },
                                  { FAULT_SS_ACCESS, FAULT_SM_SS_ACCESS },
                                  { FAULT_SS_RESERVED, FAULT_SM_SS_RESERVED },
                                  { FAULT_ATS_BLOCKED, FAULT_SM_ATS_BLOCKED },
                                  { FAULT_LEGACY_PASID, FAULT_SM_PASID_BLOCKED },
                                  { FAULT_INTERRUPT_RANGE, FAULT_SM_INTERRUPT_RANGE } };

    for (unsigned i = 0; i < ARRAY_SIZE(same); i++)
        if (same[i][!u->v.rules.scalable] == reason)
            return same[i][u->v.rules.scalable];
    return reason;
}

/*
 * A guest is told what is wrong with its own tables, in the words of its own table mode and stage, whatever
 * ours are. FAULT_NONE: nothing is, so it is not told.
 */
static u8 guest_reason(struct unit *u, u64 lo, u64 hi)
{
    u8 reason = (u8)field_get(hi, FRCD_FR), pgtt;
    u16 sid = (u16)field_get(hi, FRCD_SID);
    u32 pasid = (u32)field_get(hi, FRCD_PV);
    bool read = hi & FRCD_T1;
    enum fault_reason guest;

    if (reason == FAULT_IR_NOT_PRESENT) {
        guest = ir_fault(u, (u32)field_get(lo, FRCD_IR_INDEX));
        return guest ? (u8)guest : reason;
    }
    if (!may_be_ours(reason))
        return in_mode(u, reason);
    guest = context_fault(u, sid, hi & FRCD_PP ? &pasid : NULL, lo & FRCD_FI, &pgtt);
    if (guest)
        return in_mode(u, (u8)guest);
    /* No entry of ours where the guest has one: there was no memory for it, or it is new. */
    if (reason < FAULT_WIDTH || (reason >= FAULT_SM_ROOT_ACCESS && reason < FAULT_SM_FS_ACCESS)) {
        if (!(u->v.cap & CAP_CM))
            u->doubtful = sid;
        return in_mode(u, reason);
    }
    if (pgtt == PGTT_FIRST && reason >= FAULT_SM_FS_ACCESS && !stopped_below(reason))
        return reason;
    if (pgtt == PGTT_PASS_THROUGH) /* to what is not the guest's; a unit of its own would have let it */
        return FAULT_NONE;
    /* It gives no such right, or leads to where no device may go. */
    return in_mode(u, read ? FAULT_SM_NO_READ : FAULT_SM_NO_WRITE);
}

/* Faults that only we caused: the guest's own tables would have let it through. */
static bool is_ours(struct unit *u, u16 sid, u8 reason)
{
    struct fn *f = fn_find(u, sid);
    struct guest_context g;

    if (f && f->dead)
        return true; /* quarantined */
    if (reason != FAULT_ATS_BLOCKED && reason != FAULT_SM_ATS_BLOCKED && reason != FAULT_SM_PAGES_BLOCKED)
        return false;
    context_read(u, sid, &g);
    return !g.fault && (reason == FAULT_SM_PAGES_BLOCKED ? g.pages : g.ats); /* the gate is shut */
}

static void report(struct unit *u, u64 lo, u64 hi)
{
    u16 sid = (u16)field_get(hi, FRCD_SID);
    u8 reason = (u8)field_get(hi, FRCD_FR);
    bool interrupt = reason >= FAULT_IR_FIRST && reason <= FAULT_IR_LAST;
    u8 told = FAULT_NONE;

    if (interrupt ? u->v.ir_enabled : u->v.enabled && !is_ours(u, sid, reason))
        told = guest_reason(u, lo, hi);
    if (told) {
        vregs_fault(u, lo, (hi & ~FRCD_FR) | field_prep(FRCD_FR, told));
    } else {
        env_log_limited(ENV_WARN, "unit %u: blocked %s of %02x:%02x.%x at %llx (reason %x)", u->index,
                        interrupt      ? "interrupt"
                        : hi & FRCD_T1 ? "DMA read"
                                       : "DMA write",
                        sid >> 8, sid >> 3 & 0x1f, sid & 7, (unsigned long long)lo, reason);
    }
}

/*
 * A device may fault as fast as we read. Past so many faults in a millisecond the unit's event is masked;
 * what is recorded meanwhile is read at the first exit after that time. Not while a batch is left to events:
 * its time-out is told by this one.
 */
#define STORM    64
#define STORM_US 1000

void fault_unthrottle(struct unit *u)
{
    if (!u->faults_masked)
        return;
    u->faults_masked = false;
    env_write32(u->regs, REG_FECTL, 0); /* what is pending comes now */
}

static void throttle(struct unit *u, unsigned reported)
{
    u64 now = env_now_us();

    if (now - u->fault_since_us > STORM_US) {
        u->fault_since_us = now;
        u->fault_count = 0;
    }
    u->fault_count += reported;
    if (u->fault_count <= STORM || u->hq.busy)
        return;
    u->faults_masked = true;
    leave_to_events();
    env_write32(u->regs, REG_FECTL, MSG_IM);
    env_log_limited(ENV_WARN, "unit %u: too many faults, the rest are read later", u->index);
}

bool fault_collect(struct unit *u)
{
    unsigned at, reported = 0;
    u32 fsts;

    if (u->faults_masked) {
        if (env_now_us() - u->fault_since_us <= STORM_US)
            return false;
        fault_unthrottle(u);
    }
    fsts = env_read32(u->regs, REG_FSTS);
    at = (unsigned)field_get(fsts, FSTS_FRI);
    if (!(fsts & (FSTS_PPF | FSTS_PFO)))
        return false;
    /* Oldest first, and those that come meanwhile, but a storm does not hold us here. The first may be
     * anywhere if FRI is wrong. */
    for (unsigned n = 0; n < 4 * u->nr_frcd; n++, at++) {
        u32 off = u->frcd_off + (at % u->nr_frcd) * 16;
        u64 hi = env_read64(u->regs, off + 8), lo;

        if (!(hi & FRCD_F)) {
            if (reported || n >= u->nr_frcd)
                break;
            continue;
        }
        lo = env_read64(u->regs, off);
        env_write32(u->regs, off + 12, (u32)(FRCD_F >> 32));
        report(u, lo, hi);
        reported++;
    }
    /* Whether or not it was there at the start: one that is left standing silences every later event (7.3).
     */
    env_write32(u->regs, REG_FSTS, FSTS_PFO);
    throttle(u, reported);
    return true;
}
