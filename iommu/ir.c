/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupt remapping (5.1, 9.9). The table hardware uses is ours and as long as tables can be, so that the
 * guest's index is ours. An entry of the guest's gets in only if it sends an ordinary vector: no device makes
 * an NMI, INIT, SMI or ExtINT here.
 *
 * Until the guest turns remapping on, its devices send compatibility-format interrupts and hardware lets them
 * pass; afterwards they are blocked, unless the guest asks for them itself.
 */
#include "iommu/parts.h"

#define IRTES     0x10000u
#define IRT_PAGES (IRTES * sizeof(struct irte) / PAGE_SIZE)
/* Looking at this many entries is no more than reading as many descriptors. */
#define SYNC_NOW 64

int ir_init(struct unit *u)
{
    if (!(u->ecap & ECAP_IR))
        return 0;
    u->irt = env_pages_alloc(IRT_PAGES);
    if (!u->irt)
        return ERR_NOMEM;
    if (!u->coherent)
        env_writeback(u->irt, IRTES * sizeof(struct irte));
    return 0;
}

static u32 guest_entries(const struct unit *u)
{
    return u->v.ir_enabled ? 2u << field_get(u->v.irta, IRTA_S) : 0;
}

/* The guest's entry, judged: what is wrong with it, else the entry for hardware. */
static enum fault_reason read_guest(struct unit *u, u32 index, struct irte *out)
{
    u64 at = (u->v.irta & IRTA_IRTA) + index * sizeof(struct irte);
    volatile struct irte *page = env_guest_page(at), *e;
    u64 mode;

    *out = (struct irte){ 0, 0 };
    if (index >= guest_entries(u))
        return FAULT_IR_INDEX;
    if (!page)
        return FAULT_IR_ACCESS;
    e = &page[at % PAGE_SIZE / sizeof(*e)];
    for (unsigned tries = 0; tries < 4;
         tries++) { /* a consistent copy, or the one after the flush that follows */
        out->lo = e->lo;
        out->hi = e->hi;
        if (e->lo == out->lo)
            break;
    }
    if (!(out->lo & IRTE_P)) {
        out->lo &= IRTE_FPD;
        out->hi = 0;
        return FAULT_IR_NOT_PRESENT;
    }
    mode = field_get(out->lo, IRTE_DLM);
    if (out->lo & IRTE_LO_RSVD || out->hi & IRTE_HI_RSVD || mode > 1 ||
        field_get(out->lo, IRTE_VECTOR) < 16) {
        if (mode > 1)
            env_log_limited(ENV_WARN,
                            "unit %u: guest's interrupt entry %x is not an ordinary interrupt: refused",
                            u->index, index);
        *out = (struct irte){ out->lo & IRTE_FPD, 0 };
        return FAULT_IR_RESERVED;
    }
    return FAULT_NONE;
}

enum fault_reason ir_fault(struct unit *u, u32 index)
{
    struct irte e;

    return read_guest(u, index, &e);
}

/* True when something changed. */
static bool sync_entry(struct unit *u, u32 index)
{
    struct irte *host = &u->irt[index], want;

    (void)read_guest(u, index, &want); /* what is wrong is left not present */
    if (host->lo == want.lo && host->hi == want.hi)
        return false;
    hw_write_entry(u, &host->lo, &want.lo, 2);
    return true;
}

void ir_sync_all(struct unit *u)
{
    u32 entries = MAX(guest_entries(u), u->irt_used);

    for (u32 i = 0; i < entries; i++)
        sync_entry(u, i);
    u->irt_used = guest_entries(u);
}

void ir_request(struct unit *u, u32 index, unsigned order)
{
    u32 first = index & ~0u << order;
    struct plan *p = &u->plan;

    if (order >= 16 || 1u << order > SYNC_NOW || order > field_get(u->ecap, ECAP_MHMV) ||
        p->nr_iec == PLAN_IEC) {
        p->iec_all = true;
        return;
    }
    for (u32 i = first; i < first + (1u << order); i++)
        if (i < guest_entries(u))
            sync_entry(u, i);
    p->iec[p->nr_iec].index = (u16)first;
    p->iec[p->nr_iec++].order = (u8)order;
}

/* Compatibility format passes while the guest does not remap, and after that only as the guest says (5.1.4).
 */
static bool compatibility(const struct unit *u)
{
    return !u->v.ir_enabled || (vreg32(u, REG_GSTS) & GCMD_CFI && !(u->v.irta & IRTA_EIME));
}

int ir_apply(struct unit *u)
{
    u64 eime = u->v.ir_enabled ? u->v.irta & IRTA_EIME : 0;
    int err;

    if (!u->irt)
        return 0;
    ir_sync_all(u); /* complete before hardware is told */
    err = hw_set_irta(u, env_phys(u->irt) | eime | field_prep(IRTA_S, 15));
    if (err)
        return err;
    /* Nothing of a former table may be left when remapping comes on (6.6). */
    u->plan.iec_all = true;
    replay_now(u);
    return hw_remap(u, compatibility(u));
}
