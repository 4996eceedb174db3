/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * The trace says what the guest wrote and what the unit received, the counters how often; both stay bounded.
 */
#include "tests/unit/world_test.h"

#define RING 2048u

static struct inside_record got[RING + 64];

/* Everything of unit 0 from *at on. */
static unsigned take(enum inside_table table, u64 *at)
{
    unsigned n = 0;

    for (;;) {
        u64 before = *at;
        int more = iommu_inside(table, 0, at, got + n, 32);

        assert_in_range(more, 0, 32);
        n += (unsigned)more;
        assert_in_range(n, 0, RING + 31);
        if (!more && *at == before)
            return n;
    }
}

static void the_trace_is_what_happened(void **state)
{
    u64 at = ~0ull, batch;
    unsigned n, hosts = 0;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    (void)take(INSIDE_TRACE, &at);
    guest_unmap(0, 0x3000);
    host_clear();
    q_iotlb(0, 3, 5, 0x3000, 0);
    q_dtlb(0, SID_ATS, 0x7000, false);
    assert_true(q_sync(0));

    n = take(INSIDE_TRACE, &at);
    batch = got[0].batch;
    for (unsigned i = 0; i < n; i++) {
        if (i < 3)
            assert_int_equal(got[i].what, INSIDE_GUEST);
        if (got[i].what == INSIDE_HOST) {
            assert_true(hosts < nr_host && got[i].lo == host[hosts].q0 && got[i].hi == host[hosts].q1);
            hosts++;
        }
        assert_int_equal(got[i].batch, batch);
        assert_true(!i || got[i].time >= got[i - 1].time);
    }
    assert_int_equal(got[0].lo & 0xf, 2);
    assert_int_equal(got[0].hi, 0x3000);
    assert_int_equal(got[1].lo & 0xf, 3);
    assert_int_equal(got[2].lo & 0xf, 5);
    assert_int_equal(hosts, nr_host);
    assert_true(nr_host >= 4);
    assert_int_equal(got[n - 1].what, INSIDE_DONE);
    finish();
}

static void the_ring_forgets_the_oldest(void **state)
{
    u64 at = 0;
    unsigned n;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    for (unsigned i = 0; i < RING; i++) {
        q_iotlb(0, 3, 5, (u64)i << 12, 0);
        assert_true(q_sync(0));
    }
    n = take(INSIDE_TRACE, &at);
    assert_int_equal(n, RING);
    assert_true(at > 4 * RING);
    assert_int_equal(take(INSIDE_TRACE, &at), 0);
    at += 1000; /* the reader's number is from before a reset */
    assert_int_equal(take(INSIDE_TRACE, &at), RING);
    finish();
}

/* lo and hi of the counter that is named. */
static const struct inside_record *counter(unsigned what, unsigned id, unsigned guest_did)
{
    u64 at = 0;
    unsigned n = take(INSIDE_COUNTERS, &at);

    for (unsigned i = 0; i < n; i++)
        if (got[i].what == what && (what == INSIDE_DOMAIN ? got[i].batch == guest_did : got[i].id == id))
            return &got[i];
    fail_msg("no counter %u %u %u", what, id, guest_did);
    return NULL;
}

static void each_counts_its_own(void **state)
{
    struct inside_record domain, ats, ats2, iotlb;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    domain = *counter(INSIDE_DOMAIN, 0, 5);
    ats = *counter(INSIDE_FUNCTION, SID_ATS, 0);
    ats2 = *counter(INSIDE_FUNCTION, SID_ATS2, 0);
    iotlb = *counter(INSIDE_UNIT, 2, 0);
    for (unsigned i = 0; i < 10; i++) {
        q_iotlb(0, 3, 5, 0x3000, 0);
        q_dtlb(0, SID_ATS, 0x900000, false); /* nothing the flush covers */
        assert_true(q_sync(0));
    }
    assert_int_equal(counter(INSIDE_UNIT, 2, 0)->lo - iotlb.lo, 10);
    assert_int_equal(counter(INSIDE_UNIT, 2, 0)->hi - iotlb.hi, 10);
    assert_int_equal(counter(INSIDE_DOMAIN, 0, 5)->lo - domain.lo, 10);
    assert_int_equal(counter(INSIDE_DOMAIN, 0, 5)->hi - domain.hi, 10);
    assert_int_equal(counter(INSIDE_FUNCTION, SID_ATS, 0)->lo - ats.lo, 10);
    assert_int_equal(counter(INSIDE_FUNCTION, SID_ATS, 0)->hi - ats.hi, 20);
    assert_int_equal(counter(INSIDE_FUNCTION, SID_ATS2, 0)->lo - ats2.lo, 0);
    assert_int_equal(counter(INSIDE_FUNCTION, SID_ATS2, 0)->hi - ats2.hi, 10);
    finish();
}

static void nothing_beyond_the_units(void **state)
{
    u64 at = 0;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    assert_int_equal(iommu_inside(INSIDE_TRACE, 1, &at, got, 32), ERR_NODEV);
    assert_int_equal(iommu_inside(INSIDE_COUNTERS, ~0ull, &at, got, 32), ERR_NODEV);
    assert_int_equal(iommu_inside(INSIDE_TRACE, 0, &at, got, 0), 0);
    at = ~0ull;
    assert_int_equal(iommu_inside(INSIDE_COUNTERS, 0, &at, got, 32), 0);
    finish();
}

/* A place that nobody has been told, at which no domain has ever been. */
static void places_that_were_never_used(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    for (u64 place = 0; place < 0x10400; place += 13) {
        u64 at = place;

        assert_in_range(iommu_inside(INSIDE_COUNTERS, 0, &at, got, 32), 0, 32);
        assert_true(at >= place);
    }
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_trace_is_what_happened),  cmocka_unit_test(the_ring_forgets_the_oldest),
        cmocka_unit_test(each_counts_its_own),         cmocka_unit_test(nothing_beyond_the_units),
        cmocka_unit_test(places_that_were_never_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
