/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI's DMAR table (8.1): which units there are, which functions each one serves, which memory firmware's
 * devices need, and below which root ports ATS is allowed. The table is firmware's and judged like any input:
 * one broken structure refuses the whole table, because a unit that is overlooked is a hole.
 */
#include "iommu/parts.h"

struct dmar_header {
    u8 acpi[36];
    u8 host_address_width; /* bits - 1 */
    u8 flags;
    u8 reserved[10];
} __attribute__((packed));
_Static_assert(sizeof(struct dmar_header) == 48, "8.1");
#define DMAR_INTR_REMAP BIT(0)

struct structure {
    u16 type;
    u16 length;
    u8 flags;
    u8 size; /* DRHD: low 4 bits, register window is 2^size pages */
    u16 segment;
} __attribute__((packed));
_Static_assert(sizeof(struct structure) == 8, "8.2");
enum { TYPE_DRHD, TYPE_RMRR, TYPE_ATSR, TYPE_SATC = 5 };
#define DRHD_INCLUDE_ALL BIT(0)
#define ATSR_ALL_PORTS   BIT(0)

struct drhd {
    struct structure head;
    u64 base;
} __attribute__((packed));
struct rmrr {
    u16 type, length, reserved, segment;
    u64 base, limit; /* inclusive */
} __attribute__((packed));
_Static_assert(sizeof(struct drhd) == 16 && sizeof(struct rmrr) == 24, "8.3, 8.4");

u64 beyond_host;

struct scope {
    u8 type;
    u8 length;
    u16 reserved;
    u8 enumeration_id;
    u8 start_bus;
    u8 path[]; /* device, function pairs */
} __attribute__((packed));
_Static_assert(sizeof(struct scope) == 6, "8.3.1");
enum { SCOPE_ENDPOINT = 1, SCOPE_BRIDGE = 2 }; /* and enum iommu_chipset */

/* A device scope as kept: bridges are followed when it is asked, since bus numbers can change. */
#define MAX_PATH 8
struct kept_scope {
    u16 structure; /* TYPE_* of its owner */
    u16 segment;
    u8 unit;
    u8 type, id, start_bus, hops;
    u8 path[MAX_PATH * 2];
};

struct kept_rmrr {
    u64 base, size;
};

struct unit *units[MAX_UNITS];
unsigned nr_units;
static bool include_all[MAX_UNITS];
static struct kept_scope scopes[256];
static unsigned nr_scopes;
static struct kept_rmrr rmrrs[64];
static unsigned nr_rmrrs;
static u16 all_ports[64]; /* segments whose every root port may use ATS */
static unsigned nr_all_ports;

static int broken(const char *what, unsigned offset)
{
    env_log(ENV_ERR, "DMAR table is broken: %s at offset %u; firmware must be updated", what, offset);
    return ERR_INVAL;
}

static int parse_scopes(const u8 *p, unsigned len, u16 structure, u16 segment, u8 unit, unsigned offset)
{
    while (len) {
        const struct scope *s = (const struct scope *)p;
        struct kept_scope *k;

        if (len < sizeof(*s) || s->length < sizeof(*s) + 2 || s->length > len || s->length % 2)
            return broken("device scope length", offset);
        if (s->type >= SCOPE_ENDPOINT && s->type <= IOMMU_HPET) {
            unsigned hops = (s->length - (unsigned)sizeof(*s)) / 2;

            if (hops > MAX_PATH || nr_scopes == ARRAY_SIZE(scopes))
                return broken("more device scopes than Sluice handles", offset);
            k = &scopes[nr_scopes++];
            *k = (struct kept_scope){ structure,         segment,      unit,     s->type,
                                      s->enumeration_id, s->start_bus, (u8)hops, { 0 } };
            for (unsigned i = 0; i < hops * 2; i++)
                k->path[i] = s->path[i];
        }
        len -= s->length;
        offset += s->length;
        p += s->length;
    }
    return 0;
}

static int parse_drhd(const struct drhd *d, unsigned offset)
{
    struct unit *u;
    bool all;
    u64 size;

    if (d->head.length < sizeof(*d))
        return broken("DRHD length", offset);
    all = d->head.flags & DRHD_INCLUDE_ALL;
    size = PAGE_SIZE << (d->head.size & 0xf);
    if (!d->base || !is_aligned(d->base, PAGE_SIZE) || d->base + size < d->base)
        return broken("DRHD register address", offset);
    if (nr_units == MAX_UNITS)
        return broken("more units than Sluice handles", offset);
    for (unsigned i = 0; i < nr_units; i++) {
        if (ranges_overlap(d->base, size, units[i]->base, units[i]->size))
            return broken("two DRHDs with the same registers", offset);
        if (all && include_all[i] && units[i]->segment == d->head.segment)
            return broken("two INCLUDE_PCI_ALL units in one segment", offset);
    }
    u = env_pages_alloc((sizeof(*u) + PAGE_SIZE - 1) / PAGE_SIZE);
    if (!u) {
        env_log(ENV_ERR, "not enough memory for the remapping units; give more with mem=");
        return ERR_NOMEM;
    }
    u->index = (u16)nr_units;
    u->segment = d->head.segment;
    u->base = d->base;
    u->size = size;
    include_all[nr_units] = all;
    units[nr_units++] = u;
    return parse_scopes((const u8 *)(d + 1), d->head.length - (unsigned)sizeof(*d), TYPE_DRHD,
                        d->head.segment, (u8)u->index, offset + (unsigned)sizeof(*d));
}

static int parse_rmrr(const struct rmrr *r, unsigned offset)
{
    if (r->length < sizeof(*r))
        return broken("RMRR length", offset);
    if (!is_aligned(r->base, PAGE_SIZE) || r->limit < r->base || !is_aligned(r->limit + 1, PAGE_SIZE) ||
        !(r->limit + 1))
        return broken("RMRR range", offset);
    if (nr_rmrrs == ARRAY_SIZE(rmrrs))
        return broken("more RMRRs than Sluice handles", offset);
    rmrrs[nr_rmrrs++] = (struct kept_rmrr){ r->base, r->limit + 1 - r->base };
    return parse_scopes((const u8 *)(r + 1), r->length - (unsigned)sizeof(*r), TYPE_RMRR, r->segment, 0,
                        offset + (unsigned)sizeof(*r));
}

static int parse_ats(const struct structure *s, unsigned offset)
{
    if (s->length < sizeof(*s))
        return broken("ATSR/SATC length", offset);
    if (s->type == TYPE_ATSR && s->flags & ATSR_ALL_PORTS) {
        if (nr_all_ports == ARRAY_SIZE(all_ports))
            return broken("more ATSRs than Sluice handles", offset);
        all_ports[nr_all_ports++] = s->segment;
        return 0;
    }
    return parse_scopes((const u8 *)(s + 1), s->length - (unsigned)sizeof(*s), s->type, s->segment, 0,
                        offset + (unsigned)sizeof(*s));
}

int iommu_parse(const void *dmar, size_t size)
{
    const struct dmar_header *h = dmar;
    const u8 *p = dmar;
    size_t offset = sizeof(*h);
    u8 sum = 0;

    nr_units = nr_scopes = nr_rmrrs = nr_all_ports = 0;
    if (size < offset || size > 0x10000)
        return broken("length", 0);
    for (size_t i = 0; i < size; i++)
        sum = (u8)(sum + p[i]);
    if (sum)
        return broken("checksum", 9);
    unsigned width = h->host_address_width + 1u;
    beyond_host = width >= 32 && width < 52 ? SS_ADDR & ~MASK(width - 1, 0) : 0;
    while (offset < size) {
        const struct structure *s = (const struct structure *)(p + offset);
        int err = 0;

        if (size - offset < 4 || s->length < 4 || s->length > size - offset)
            return broken("structure length", (unsigned)offset);
        if (s->type == TYPE_DRHD)
            err = parse_drhd((const struct drhd *)s, (unsigned)offset);
        else if (s->type == TYPE_RMRR)
            err = parse_rmrr((const struct rmrr *)s, (unsigned)offset);
        else if (s->type == TYPE_ATSR || s->type == TYPE_SATC)
            err = parse_ats(s, (unsigned)offset);
        /* Kinds we do not know are skipped by their length: the specification adds them that way (8.2). */
        if (err)
            return err;
        offset += s->length;
    }
    if (!nr_units)
        return broken("no remapping unit (DRHD)", 48);
    return 0;
}

void iommu_edit_dmar(void *dmar, size_t size)
{
    struct dmar_header *h = dmar;
    bool all = true;

    /* The table promises interrupt remapping only where every virtual unit announces it. */
    for (unsigned i = 0; i < nr_units; i++)
        all &= units[i]->irt != NULL;
    if (size >= sizeof(*h) && !all)
        h->flags &= (u8)~DMAR_INTR_REMAP;
}

bool iommu_window(unsigned i, u64 *base, u64 *size)
{
    if (i >= nr_units)
        return false;
    *base = units[i]->base;
    *size = units[i]->size;
    return true;
}

bool iommu_rmrr(unsigned i, u64 *base, u64 *size)
{
    if (i >= nr_rmrrs)
        return false;
    *base = rmrrs[i].base;
    *size = rmrrs[i].size;
    return true;
}

/* The function at the end of the scope's path. */
static u16 scope_end(const struct kept_scope *s)
{
    u8 bus = s->start_bus;
    u16 at = 0;

    for (unsigned hop = 0; hop < s->hops; hop++) {
        if (hop)
            bus = (u8)(env_pci_read32(s->segment, at, 0x18) >> 8); /* secondary bus number */
        at = (u16)(bus << 8 | (s->path[hop * 2] & 0x1f) << 3 | (s->path[hop * 2 + 1] & 7));
    }
    return at;
}

/* Does the scope name this function, or for a bridge any function behind it? */
static bool scope_matches(const struct kept_scope *s, u16 segment, u16 sid)
{
    if (s->segment != segment)
        return false;
    u16 at = scope_end(s);
    if (at == sid)
        return true;
    if (s->type == SCOPE_BRIDGE) {
        u32 numbers = env_pci_read32(segment, at, 0x18);
        u8 secondary = (u8)(numbers >> 8), subordinate = (u8)(numbers >> 16);

        return sid >> 8 >= secondary && sid >> 8 <= subordinate;
    }
    return false;
}

/* A VF is served by the unit of its physical function (8.3.1). */
struct unit *unit_of(u16 segment, u16 sid)
{
    sid = env_pci_physical(segment, sid);
    for (unsigned i = 0; i < nr_scopes; i++)
        if (scopes[i].structure == TYPE_DRHD && !include_all[scopes[i].unit] &&
            scope_matches(&scopes[i], segment, sid))
            return units[scopes[i].unit];
    for (unsigned i = 0; i < nr_units; i++)
        if (include_all[i] && units[i]->segment == segment)
            return units[i];
    return NULL;
}

bool iommu_chipset(enum iommu_chipset type, u8 id, u16 *segment, u16 *sid)
{
    for (unsigned i = 0; i < nr_scopes; i++) {
        const struct kept_scope *s = &scopes[i];

        if (s->structure != TYPE_DRHD || s->type != type || s->id != id)
            continue;
        *segment = s->segment;
        *sid = scope_end(s);
        return true;
    }
    return false;
}

static bool listed(u16 structure, u16 segment, u16 sid)
{
    for (unsigned i = 0; i < nr_scopes; i++)
        if (scopes[i].structure == structure && scope_matches(&scopes[i], segment, sid))
            return true;
    return false;
}

bool dmar_ats_listed(u16 segment, u16 sid)
{
    for (unsigned i = 0; i < nr_all_ports; i++)
        if (all_ports[i] == segment)
            return true;
    return listed(TYPE_ATSR, segment, sid) || listed(TYPE_SATC, segment, sid);
}

bool iommu_rmrr_device(u16 segment, u16 sid)
{
    return listed(TYPE_RMRR, segment, sid);
}
