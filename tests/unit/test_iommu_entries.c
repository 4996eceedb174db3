/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * How entries that hardware may be reading are written: in which order, what is in memory before they are
 * linked, and that nothing is left of them when they are gone.
 */
#include "iommu/env.h"
#include "tests/unit/world_test_fs.h"

static struct {
    const u64 *at;
    u64 value;
} stores[64];
static unsigned nr_stores;

static void note(const u64 *at, u64 value)
{
    if (nr_stores < ARRAY_SIZE(stores)) {
        stores[nr_stores].at = at;
        stores[nr_stores].value = value;
    }
    nr_stores++;
}

/* One entry was written, and a unit that looked at any time saw the old one, the new one, or none. */
static void none_was_torn(unsigned quads)
{
    assert_int_equal(nr_stores, quads + 1);
    assert_int_equal(stores[0].value & 1, 0);
    assert_int_equal(stores[quads].value & 1, 1);
    assert_ptr_equal(stores[quads].at, stores[0].at);
    for (unsigned i = 1; i < quads; i++)
        assert_true(stores[i].at > stores[0].at && stores[i].at < stores[0].at + quads);
    W.on_store = NULL;
    nr_stores = 0;
}

static void present_goes_first_and_comes_last(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .ecap = ECAP_DEFAULT | E_IR });
    guest_domain_init(1, 6, 4);
    guest_attach(SID_PLAIN, 1, TT_SS);
    W.on_store = note;
    q_context(0, 3, 5, SID_PLAIN, 0);
    assert_true(q_sync(0));
    none_was_torn(2);
    guest_w64(0, R_IRTA, GUEST_IRT | 7);
    guest_gcmd(0, G_SIRTP, true);
    guest_gcmd(0, G_IRE, true);
    for (unsigned vector = 0x41; vector < 0x43; vector++) {
        poke64(GUEST_IRT + 3 * 16, 1 | vector << 16);
        W.on_store = note;
        q_push(0, 4 | 1 << 4 | 3ull << 32, 0);
        assert_true(q_sync(0));
        none_was_torn(2);
    }
    finish();
    in_use_first(&nested, false);
    put_pasid(ATS, RID, PGTT_FS, DID, FS_B);
    W.on_store = note;
    q_pasid(0, 1, DID, RID);
    assert_true(q_sync(0));
    none_was_torn(8);
    assert_int_equal(dma_lands(ATS, IOVA, true), GUEST_DATA + 0x10000);
    finish();
    in_use_first(&nested, true);
    put_pasid(ATS, 9, PGTT_SS, 7, PAGE(30));
    W.on_store = note;
    q_pasid(0, 1, 7, 9);
    assert_true(q_sync(0));
    assert_int_equal(stores[6].value, 0); /* it names no first-stage table */
    none_was_torn(8);
    finish();
}

/* Why a request with this PASID is blocked. */
static unsigned reason(u32 pasid)
{
    u64 buf = 1;

    return model_fn_dma_pasid(W.fn[ATS], pasid, IOVA, 8, true, &buf).reason;
}

/* On a unit that does not look into the CPU's caches, a page that served before: what was in it is nowhere
 * seen, neither in a directory nor in a table of PASIDs. */
static void nothing_of_a_former_page_is_seen(void **state)
{
    struct world_cfg cfg = nested;

    (void)state;
    cfg.ecap &= ~E_C;
    cfg.reuse_at_once = true;
    in_use_first(&cfg, true);
    for (unsigned i = 0; i < 3; i++) {
        u64 context = GUEST_CTX + 0x1000, was = peek64(context);

        assert_int_equal(dma_lands(ATS, IOVA, true), GUEST_DATA);
        assert_int_equal(reason(8), 0x59);    /* in the same table */
        assert_int_equal(reason(1024), 0x51); /* in the same directory */
        poke64(context, 0);
        q_context(0, 3, 0, SID_ATS, 0);
        assert_true(q_sync(0));
        assert_int_equal(dma_lands(ATS, IOVA, true), ~0ull);
        poke64(context, was);
        q_context(0, 3, 0, SID_ATS, 0);
        assert_true(q_sync(0));
    }
    finish();
}

/* A function comes and goes, with PASIDs and tables of its own: in the end there is as much memory as before.
 */
static void all_comes_back(void **state)
{
    size_t before = 0;

    (void)state;
    in_use_first(&nested, true);
    for (unsigned i = 0; i < 5; i++) {
        put_pasid(ATS, 9, i & 1 ? PGTT_FS : PGTT_SS, 7, i & 1 ? FS_B : PAGE(30));
        poke64(GUEST_CTX + 0x1000, DIR(ATS) | 1 << 2 | 1 << 3 | 1);
        q_context(0, 3, 0, SID_ATS, 0);
        assert_true(q_sync(0));
        assert_int_equal(dma_lands(ATS, IOVA, true), GUEST_DATA);
        poke64(GUEST_CTX + 0x1000, 0);
        q_context(0, 3, 0, SID_ATS, 0);
        assert_true(q_sync(0));
        if (i == 1)
            before = env_pages_available();
    }
    assert_int_equal(env_pages_available(), before);
    finish();
}

/* Where the unit takes few PASIDs, the one that our plain requests have is among them. */
static void few_pasids(void **state)
{
    static const u64 pss[] = { 0, 7, 13, 19 };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(pss); i++) {
        u64 root, entry;

        start(&(struct world_cfg){ .ecap = (ECAP_NESTED & ~E_PSS) | pss[i] << 35, .scalable = true });
        root = model_reg_read(W.unit[0], R_RTADDR, 8) & ~0xfffull;
        entry = peek64(root) & ~0xfffull;
        assert_true(peek64(entry + 8) & 0xfffff);
        assert_true((peek64(entry + 8) & 0xfffff) < 2ull << pss[i]);
        assert_int_equal(dma_lands(PLAIN, GUEST_DATA, true), GUEST_DATA);
        finish();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(present_goes_first_and_comes_last),
        cmocka_unit_test(nothing_of_a_former_page_is_seen),
        cmocka_unit_test(all_comes_back),
        cmocka_unit_test(few_pasids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
