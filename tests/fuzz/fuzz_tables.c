/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * A guest whose root, context and second-stage tables hold anything: pointers to each other, to Sluice, to
 * the units, to nowhere, every bit. Whatever they say, DMA stays contained and every flush completes.
 */
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/world/guest.h"

/* Where entries may point: the tables themselves, so that cycles come about, and every kind of memory. */
static u64 some_address(struct input *in)
{
    static const u64 bases[] = { GUEST_CTX,  GUEST_TABLES, GUEST_TABLES, GUEST_TABLES,
                                 GUEST_DATA, GUEST_ROOT,   REGION_BASE,  TRIP_BASE,
                                 RMRR_BASE,  BAR_BASE,     UNIT_BASE,    RAM3_BASE,
                                 RAM2_BASE,  EVENT_ADDR,   1ull << 45,   ~0xfffull >> 12 };
    u8 which = (u8)take(in, 1);

    return bases[which & 15] + (u64)(which >> 4) * 0x1000;
}

static void write_entry(struct input *in)
{
    static const u64 tables[] = { GUEST_ROOT, GUEST_CTX, GUEST_CTX + 0x1000, GUEST_CTX + 0x2000 };
    u8 where = (u8)take(in, 1), slot = (u8)take(in, 1), flags = (u8)take(in, 1);
    u64 page = where & 0x80 ? GUEST_TABLES + (where & 7u) * 0x1000ull : tables[where & 3];
    u64 value = some_address(in) | (flags & 0x9f);

    if (flags & 0x40) /* any bit at all */
        value ^= BIT(take(in, 1) & 63);
    if (flags & 0x20) /* the high half of a context entry: width and domain-id */
        value = take(in, 4);
    /* slots that the eight pages and the functions of this machine reach */
    poke64(page + 8ull * (slot & 0x3f) + (slot & 0x80 ? 0xc0 : 0), value);
}

static void step(struct input *in)
{
    u8 op = (u8)take(in, 1);
    unsigned f = (op >> 4) % W.nr_fns;
    u64 pa;

    switch (op & 7) {
    case 0:
    case 1:
    case 2:
        write_entry(in);
        break;
    case 3:
        q_context(0, op & 8 ? 1 : 3, 0, W.cfg.fn[f].sid, op >> 6);
        break;
    case 4:
        q_iotlb(0, 1 + (op >> 4) % 3, (u16)(op >> 6), take(in, 1) << 12, op >> 3 & 7);
        break;
    case 5:
        if (!(guest_r32(0, R_FSTS) & FS_IQE))
            REQUIRE(q_sync(0) || guest_r32(0, R_FSTS) & FS_IQE);
        else
            guest_w32(0, R_FSTS, FS_IQE);
        break;
    case 6:
        pa = dma_lands(f, take(in, 1) << 12, op & 8);
        REQUIRE(pa == ~0ull || world_allowed(pa));
        break;
    case 7:
        if (W.cfg.fn[f].ats && op & 8)
            world_ats(f, op & 0x80);
        else
            model_fill_all(W.unit[0]);
        break;
    }
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    struct input in = { data, size };
    u8 how = (u8)take(&in, 1);
    struct world_cfg cfg = { .ats = ATS_ALL, .wait_us = how & 1 ? 100 : 0, .pages = how & 2 ? 340 : 0 };

    cfg.cap = CAP_DEFAULT & ~(how & 4 ? C_SSLPS(3) : 0);
    cfg.ecap = ECAP_DEFAULT & ~(how & 8 ? E_C : 0);
    memset(&G, 0, sizeof(G));
    if (world_start(&cfg)) {
        REQUIRE(cfg.pages);
        return 0;
    }
    guest_start();
    guest_domain_init(0, 5, 4);
    for (unsigned i = 0; i < W.nr_fns; i++)
        guest_attach(W.cfg.fn[i].sid, 0, W.cfg.fn[i].ats ? TT_ATS_ON : TT_SS);
    for (u64 page = 0; page < 4; page++)
        guest_map(0, page << 12, GUEST_DATA + (page << 12), P_RW);
    for (unsigned n = 0; in.left && n < 500 && world_ok(); n++)
        step(&in);
    world_settle();
    if (!world_ok())
        fprintf(stderr, "%s\n", W.fail);
    REQUIRE(world_ok());
    return 0;
}
