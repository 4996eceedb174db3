/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * A guest that does anything with the registers of its unit and with its queue, of the machine that the first
 * bytes choose: every access of every width, any descriptor, ATS on and off, time and DMA in between.
 * Whatever it does, DMA stays contained, the simulated machine finds nothing wrong, and it comes to rest.
 */
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/world/guest.h"

static void choose_machine(struct input *in, struct world_cfg *cfg)
{
    u8 how = (u8)take(in, 1), more = (u8)take(in, 1);

    memset(cfg, 0, sizeof(*cfg));
    cfg->cap = CAP_DEFAULT;
    cfg->ecap = ECAP_DEFAULT;
    if (how & 1)
        cfg->cap &= ~(C_PSI | C_MAMV(63));
    if (how & 2)
        cfg->ecap &= ~E_C;
    if (how & 4)
        cfg->ecap &= ~E_DT;
    if (how & 8)
        cfg->cap |= C_RWBF;
    if (how & 16)
        cfg->cap &= ~C_SSLPS(3);
    cfg->wait_us = how & 32 ? 100 : 0;
    cfg->ats = how & 64 ? ATS_LISTED : ATS_ALL;
    cfg->pace = more % 3;
    cfg->pace_max = 3;
    cfg->reuse_at_once = more & 4;
    cfg->units = more & 8 ? 2 : 1;
    cfg->ite_steps = more & 16 ? 20 : 0;
    cfg->seed = more;
}

static void contained(unsigned f, u64 iova, bool write)
{
    u64 pa = dma_lands(f, iova, write);

    REQUIRE(pa == ~0ull || world_allowed(pa));
}

/* Registers that matter are met more often than the 4K of the window would let them. */
static u32 some_register(struct input *in)
{
    static const u16 known[] = { R_GCMD,     R_RTADDR,  R_CCMD, R_FSTS,   R_FECTL,  R_FEADDR, R_IQT,  R_IQA,
                                 R_ICS,      R_IECTL,   R_IQH,  R_IQERCD, 0xb8,     0xf0,     0xf8,   0x228,
                                 R_CCMD + 4, R_IQA + 4, 0xfc,   0x100,    R_FEDATA, R_GSTS,   R_ECAP, R_CAP };
    u8 which = (u8)take(in, 1);

    return which < 2 * ARRAY_SIZE(known) ? known[which / 2] + (which & 1 ? (u32)take(in, 1) & 7 : 0)
                                         : (u32)take(in, 2) & 0xfff;
}

static void step(struct input *in)
{
    static const u8 widths[] = { 4, 8, 4, 1, 2, 8, 3, 0 };
    u8 op = (u8)take(in, 1);
    unsigned u = (op >> 4) % W.cfg.units, f = (op >> 4) % W.nr_fns;
    u64 a, b;

    switch (op & 15) {
    case 0:
    case 1:
        a = some_register(in);
        guest_write(u, (u32)a, widths[take(in, 1) & 7], take(in, 8));
        break;
    case 2:
        a = some_register(in);
        (void)guest_read(u, (u32)a, widths[take(in, 1) & 7]);
        break;
    case 3:
    case 4: /* any descriptor of any type */
        a = take(in, 8);
        b = take(in, 8);
        q_push(u, a, b);
        break;
    case 5:
        q_ring(u);
        break;
    case 6:
        q_iotlb(u, 1 + (unsigned)take(in, 1) % 3, 5, take(in, 1) << 12, 0);
        break;
    case 7:
        q_context(u, 1 + (unsigned)take(in, 1) % 3, 5, W.cfg.fn[f].sid, (unsigned)take(in, 1) & 3);
        break;
    case 8:
        q_dtlb(u, W.cfg.fn[f].sid, take(in, 1) << 12, op & 0x80);
        break;
    case 9:
        q_wait(u);
        q_ring(u);
        break;
    case 10:
        contained(f, take(in, 1) << 12, op & 0x80);
        break;
    case 11:
        if (W.cfg.fn[f].ats)
            world_ats(f, take(in, 1) & 1);
        break;
    case 12:
        world_run((unsigned)take(in, 1) & 31);
        break;
    case 13:
        guest_map(0, take(in, 1) << 12, GUEST_DATA + (take(in, 1) << 12), P_RW);
        break;
    case 14:
        guest_unmap(0, take(in, 1) << 12);
        break;
    case 15: /* the ring's memory, without a tail write */
        a = take(in, 2);
        poke64(GUEST_RING + (a & 0x7ff8), take(in, 8));
        break;
    }
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    struct input in = { data, size };
    struct world_cfg cfg;

    choose_machine(&in, &cfg);
    memset(&G, 0, sizeof(G));
    REQUIRE(world_start(&cfg) == 0);
    guest_start();
    guest_domain_init(0, 5, 4);
    for (unsigned i = 0; i < W.nr_fns; i++)
        guest_attach(W.cfg.fn[i].sid, 0, W.cfg.fn[i].ats && W.cfg.ecap & E_DT ? TT_ATS_ON : TT_SS);
    for (unsigned n = 0; in.left && n < 500 && world_ok(); n++)
        step(&in);
    for (unsigned i = 0; i < W.nr_fns; i++)
        for (u64 page = 0; page < 8; page++)
            contained(i, page << 12, page & 1);
    world_settle();
    if (!world_ok())
        fprintf(stderr, "%s\n", W.fail);
    REQUIRE(world_ok());
    return 0;
}
