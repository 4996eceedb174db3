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
    if (iommu_opts.strict)
        u->messages = env_pages_alloc(IRTES * sizeof(*u->messages) / PAGE_SIZE);
    return iommu_opts.strict && !u->messages ? ERR_NOMEM : 0;
}

static u32 entries_in_use(const struct unit *u)
{
    return u->v.ir_enabled ? 2u << field_get(u->v.irta, IRTA_S) : u->messages ? IRTES : 0;
}

/* A message in compatibility format as an entry (5.1.2.1, 9.9): the same fields in other places. */
static struct irte message_entry(const struct iommu_message *m)
{
    u64 destination = m->address >> 12 & 0xff, mode = m->data >> 8 & 7, level = m->data >> 15;

    if (!m->address)
        return (struct irte){ 0, 0 };
    return (struct irte){ IRTE_P | (m->address & (IRTE_DM | IRTE_RH)) | field_prep(IRTE_TM, level) |
                              field_prep(IRTE_DLM, mode) | field_prep(IRTE_VECTOR, m->data & 0xff) |
                              destination << 40,
                          m->source & MASK(19, 0) };
}

/* The guest's entry, judged: what is wrong with it, else the entry for hardware. */
static enum fault_reason read_guest(struct unit *u, u32 index, struct irte *out)
{
    struct irte message;
    volatile struct irte *e;
    u64 mode;
    bool ours;

    *out = (struct irte){ 0, 0 };
    if (index >= entries_in_use(u))
        return FAULT_IR_INDEX;
    if (u->v.ir_enabled) {
        e = env_guest_ram((u->v.irta & IRTA_IRTA) + index * sizeof(*e));
    } else {
        message = message_entry(&u->messages[index]);
        e = &message;
    }
    if (!e)
        return FAULT_IR_ACCESS;
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
    ours = !u->v.ir_enabled && mode == DLM_EXTINT && u->messages[index].source & IOMMU_SOURCE_EXTINT;
    if (out->lo & IRTE_LO_RSVD || out->hi & IRTE_HI_RSVD ||
        (!ours && (mode > 1 || field_get(out->lo, IRTE_VECTOR) < 16))) {
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
    u32 entries = MAX(entries_in_use(u), u->irt_used);

    for (u32 i = 0; i < entries; i++)
        sync_entry(u, i);
    u->irt_used = entries_in_use(u);
}

void ir_request(struct unit *u, u32 index, unsigned order)
{
    u32 first = index & ~0u << order;
    struct plan *p = &u->plan;

    if (1u << order > SYNC_NOW || order > field_get(u->ecap, ECAP_MHMV) || p->nr_iec == PLAN_IEC) {
        p->iec_all = true;
        return;
    }
    for (u32 i = first; i < first + (1u << order); i++)
        sync_entry(u, i);
    p->iec[p->nr_iec].index = (u16)first;
    p->iec[p->nr_iec++].order = (u8)order;
}

/* Compatibility format passes while the guest does not remap, and after that only as the guest says (5.1.4).
 */
static bool compatibility(const struct unit *u)
{
    return !iommu_opts.strict &&
           (!u->v.ir_enabled || (vreg32(u, REG_GSTS) & GCMD_CFI && !(u->v.irta & IRTA_EIME)));
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

struct iommu_message *iommu_messages(u16 segment, u16 sid, u32 source, unsigned count)
{
    struct unit *u = unit_of(segment, sid);
    struct iommu_message *first = NULL;

    if (!u || !u->messages)
        return NULL;
    env_lock(&u->lock);
    if (count <= IRTES - u->nr_messages) {
        u->nr_messages += count;
        first = &u->messages[IRTES - u->nr_messages];
    } else {
        env_log_limited(ENV_WARN,
                        "unit %u: no entries left for %u interrupts of %02x:%02x.%x: they stay blocked",
                        u->index, count, sid >> 8, sid >> 3 & 0x1f, sid & 7);
    }
    for (unsigned i = 0; first && i < count; i++)
        first[i] = (struct iommu_message){ .source = source, .index = (u16)(first + i - u->messages) };
    env_unlock(&u->lock);
    return first;
}

void iommu_message_set(struct iommu_message *m, u32 address, u16 data)
{
    struct unit *u = NULL;

    for (unsigned i = 0; i < nr_units; i++)
        if (m == &units[i]->messages[m->index])
            u = units[i];
    if (m->address == address && m->data == data)
        return;
    replay_enter(u);
    m->address = address;
    m->data = data;
    /* While the guest remaps, the entry is the guest's, and the message counts again when it stops. */
    if (!u->v.ir_enabled && sync_entry(u, m->index)) {
        ir_request(u, m->index, 0);
        replay_now(u);
    }
    replay_leave(u);
}
