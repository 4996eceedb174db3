/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * The whole path once: a unit comes up, the guest sets its tables, DMA goes where they say, a page is
 * taken away and flushed.
 */
#include "tests/unit/world_test.h"

static void dma_follows_the_tables(void **state)
{
    (void)state;
    start(&(struct world_cfg){ .ats = ATS_ALL, .wait_us = 100 });
    guest_start();
    world_ats(1, true);
    guest_domain_init(0, 5, 4);
    guest_map(0, 0x3000, GUEST_DATA, P_RW);
    guest_attach(0x0018, 0, TT_SS);
    guest_attach(0x0100, 0, TT_ATS_ON);
    q_context(0, 3, 5, 0x0018, 0);
    q_context(0, 3, 5, 0x0100, 0);
    q_iotlb(0, 2, 5, 0, 0);
    assert_true(q_sync(0));
    assert_int_equal(dma_lands(0, 0x3000, true), GUEST_DATA);
    assert_int_equal(dma_lands(1, 0x3000, true), GUEST_DATA);
    assert_int_equal(dma_lands(0, 0x4000, true), ~0ull);

    guest_map(0, 0x3000, GUEST_DATA + 0x1000, P_RW);
    q_iotlb(0, 3, 5, 0x3000, 0);
    assert_true(q_sync(0));
    for (unsigned f = 0; f < 2; f++) {
        assert_int_equal(model_stale(W.unit[0], W.cfg.fn[f].sid, 0x3000), 0);
        assert_int_equal(dma_lands(f, 0x3000, true), GUEST_DATA + 0x1000);
    }
    finish();
}

static void the_guest_may_switch_translation_off(void **state)
{
    (void)state;
    start(&(struct world_cfg){ .ats = ATS_ALL, .wait_us = 100 });
    assert_int_equal(dma_lands(0, GUEST_DATA, true), GUEST_DATA);
    assert_int_equal(dma_lands(0, REGION_BASE, true), ~0ull);
    guest_start();
    assert_int_equal(dma_lands(0, GUEST_DATA, true), ~0ull);
    guest_gcmd(0, G_TE, false);
    assert_int_equal(dma_lands(0, GUEST_DATA, true), GUEST_DATA);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dma_follows_the_tables),
        cmocka_unit_test(the_guest_may_switch_translation_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
