/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * Devices do DMA at every moment: at each register write and each change of an entry. Where what the tables
 * say before and after is the same, no request may be lost or go elsewhere in between, on units that snoop,
 * on those that do not, and on those that have a write buffer in front of them.
 */
#include "tests/unit/world_test.h"

#define FAR 0x12340000000ull /* needs tables of its own on every level below the top one */

enum { LONELY = 3 }; /* a function that the guest's tables never mention, on a bus far from the others */

static bool must_land, lonely_blocked;
static u64 far_now; /* where the far page may lead; ~0: nowhere */
static unsigned moments;

static void dma_now(void)
{
    static bool busy;

    if (busy)
        return;
    busy = true;
    moments++;
    /* Steps, too: the unit works meanwhile, and lines of the processor's cache reach memory when they like.
     */
    for (unsigned i = 0; i < 12 && world_ok(); i++) {
        u64 at = dma_lands(PLAIN, GUEST_DATA, true);

        if (must_land && at != GUEST_DATA)
            world_fail("DMA went to %llx instead of where it always goes", (unsigned long long)at);
        at = dma_lands(PLAIN, FAR, true);
        if (must_land && at != ~0ull && at != far_now)
            world_fail("DMA to the far page went to %llx", (unsigned long long)at);
        /* What else there is in its tables: other lines of them. */
        for (unsigned bit = 18; must_land && bit <= 36; bit += 9)
            if (dma_lands(PLAIN, FAR ^ 1ull << bit, true) != ~0ull)
                world_fail("DMA to what was never mapped went somewhere");
        at = dma_lands(LONELY, GUEST_DATA, true);
        if (must_land && at != ~0ull && (at != GUEST_DATA || lonely_blocked))
            world_fail("DMA from a bus without a table went to %llx", (unsigned long long)at);
        if (W.cfg.pace != MODEL_PACE_AT_ONCE)
            model_step(W.unit[0]);
    }
    busy = false;
}

static void store_now(const u64 *at, u64 value)
{
    (void)at;
    (void)value;
    dma_now();
}

static void watch_from_here(void)
{
    W.on_write = dma_now;
    W.on_store = store_now;
}

static void the_guest_changes_its_mind(const struct world_cfg *cfg)
{
    start(cfg);
    guest_start();
    guest_gcmd(0, G_TE, false);
    guest_domain_init(0, 5, 4);
    guest_attach(SID_PLAIN, 0, TT_SS);
    guest_map(0, GUEST_DATA, GUEST_DATA, P_RW); /* as it is without translation */
    must_land = true;
    far_now = ~0ull;
    watch_from_here();
    guest_gcmd(0, G_TE, true);
    assert_int_equal(dma_lands(LONELY, GUEST_DATA, true), ~0ull);
    guest_gcmd(0, G_TE, false);
    guest_gcmd(0, G_TE, true);
    lonely_blocked = true;
    guest_gcmd(0, G_SRTP, true);
    q_context(0, 1, 0, 0, 0);
    q_iotlb(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
    /* A page far off comes and goes, with all tables above it. */
    far_now = GUEST_DATA + 0x1000;
    guest_map(0, FAR, far_now, P_RW);
    q_iotlb(0, 3, 5, FAR, 0);
    assert_true(q_sync(0));
    assert_int_equal(dma_lands(PLAIN, FAR, true), far_now);
    poke64(guest_entry(0, FAR, 4), 0);
    q_iotlb(0, 2, 5, 0, 0);
    assert_true(q_sync(0));
    far_now = ~0ull;
    assert_int_equal(dma_lands(PLAIN, FAR, true), ~0ull);
    W.on_write = NULL;
    W.on_store = NULL;
    must_land = lonely_blocked = false;
}

static void no_request_is_lost(void **state)
{
    static const struct {
        u64 cap, ecap;
    } units[] = {
        { CAP_DEFAULT, ECAP_DEFAULT },
        { CAP_DEFAULT, ECAP_DEFAULT & ~E_C },
        { CAP_DEFAULT | C_RWBF, ECAP_DEFAULT },
        { CAP_DEFAULT | C_RWBF, ECAP_DEFAULT & ~E_C },
        { CAP_DEFAULT, ECAP_DEFAULT | E_SMTS | E_SSTS | E_SMPWC | E_PASID | E_PSS },
        { CAP_DEFAULT, (ECAP_DEFAULT & ~E_C) | E_SMTS | E_SSTS | E_SMPWC | E_PASID | E_PSS },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(units); i++)
        for (unsigned pace = MODEL_PACE_AT_ONCE; pace <= MODEL_PACE_DELAYED; pace++)
            for (u64 seed = 1; seed <= 4; seed++) {
                the_guest_changes_its_mind(&(struct world_cfg){ .cap = units[i].cap,
                                                                .ecap = units[i].ecap,
                                                                .ats = ATS_ALL,
                                                                .pace = (u8)pace,
                                                                .pace_max = 40,
                                                                .seed = seed,
                                                                .reuse_at_once = true,
                                                                .nr_fns = 4,
                                                                .fn = { { SID_PLAIN, 0, false, 0 },
                                                                        { SID_ATS, 0, true, 0 },
                                                                        { SID_ATS2, 0, true, 4 },
                                                                        { 0x4608, 0, false, 0 } },
                                                                .wait_us = 100 });
                if (!world_ok())
                    fail_msg("unit %u, pace %u, seed %u: %s", i, pace, (unsigned)seed, W.fail);
            }
    assert_true(moments > 1000);
}

/* A function is attached with however little memory: it is blocked or goes where its table says, and once
 * there is memory again the next flush, and ATS switched on anew, make it right. */
static void every_page_may_be_the_last(void **state)
{
    (void)state;
    for (unsigned scalable = 0; scalable < 2; scalable++) {
        u64 ecap = ECAP_DEFAULT | (scalable ? E_SMTS | E_SSTS | E_SMPWC | E_PASID | E_PSS : 0);
        bool enough = false;

        for (unsigned n = 0; !enough; n++) {
            unsigned pages;
            u64 at;

            start(&(struct world_cfg){ .ecap = ecap, .ats = ATS_ALL, .wait_us = 100 });
            guest_start();
            guest_domain_init(0, 5, 4);
            guest_map(0, FAR, GUEST_DATA, P_RW);
            guest_attach(SID_ATS, 0, TT_ATS_ON);
            pages = W.pages;
            W.free_pages = 0;
            W.pages = W.bump + n;
            world_ats(ATS, true);
            q_context(0, 3, 5, SID_ATS, 0);
            assert_true(q_sync(0));
            at = dma_lands(ATS, FAR, true);
            enough = at == GUEST_DATA;
            if (!enough && at != ~0ull)
                fail_msg("with %u pages DMA lands at %llx", n, (unsigned long long)at);
            if (!world_ok())
                fail_msg("with %u pages: %s", n, W.fail);
            assert_true(n > 0 || !enough);
            W.pages = pages;
            world_ats(ATS, true);
            q_context(0, 1, 0, 0, 0);
            q_iotlb(0, 1, 0, 0, 0);
            assert_true(q_sync(0));
            assert_int_equal(dma_lands(ATS, FAR, true), GUEST_DATA);
            finish();
        }
    }
}

/* A large page that must become a table, and there is no memory for it: it is unmapped, not left as it was.
 */
static void a_leaf_without_memory_for_its_table(void **state)
{
    enum { AT = 0x40000000 };

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    guest_map_level(0, AT, RAM3_BASE, P_RW, 2);
    q_iotlb(0, 2, 5, 0, 0);
    assert_true(q_sync(0));
    assert_int_equal(dma_lands(PLAIN, AT + 0x5000, true), RAM3_BASE + 0x5000);
    W.free_pages = 0;
    W.pages = W.bump;
    poke64(guest_entry(0, AT, 2), 0);
    guest_map(0, AT + 0x7000, GUEST_DATA, P_RW);
    q_iotlb(0, 2, 5, 0, 0);
    assert_true(q_sync(0));
    assert_int_equal(dma_lands(PLAIN, AT + 0x5000, true), ~0ull);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_request_is_lost),
        cmocka_unit_test(every_page_may_be_the_last),
        cmocka_unit_test(a_leaf_without_memory_for_its_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
