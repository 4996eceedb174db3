/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * The trace says what the guest wrote and what the unit received, the counters how often; both stay bounded.
 */
#include "iommu/parts.h"
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

/* Where the next call goes on, for a reader who has seen so much of so many. */
static void places_of_the_trace(void **state)
{
    static const struct {
        u64 written, at, next;
    } t[] = { { RING, 0, 1 },        { RING + 1, 0, 2 },
              { RING + 1, 1, 2 },    { RING + 1, 2, 3 },
              { RING, RING, RING },  { RING, RING - 1, RING },
              { RING, RING + 1, 1 }, { RING + 1, RING + 2, 2 },
              { 3, 2, 3 },           { 0, 0, 0 } };

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        u64 at = t[i].at;

        units[0]->ring_next = t[i].written;
        assert_int_equal(iommu_inside(INSIDE_TRACE, 0, &at, got, 1), t[i].next != t[i].at);
        assert_int_equal(at, t[i].next);
    }
    finish();
}

/* When all is over the last twelve of each unit are shown. */
static void the_last_are_shown(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .units = 2 });
    for (unsigned written = 11; written < 14; written++) {
        units[0]->ring_next = 20;
        units[1]->ring_next = written;
        units[1]->ring[written - 1] = (struct inside_record){ .time = 4300 + written };
        W.lines = 0;
        iommu_inside_show();
        assert_int_equal(W.lines, 12 + MIN(written, 12u));
        assert_non_null(strstr(W.last_log, written == 11   ? "time=4311"
                                           : written == 12 ? "time=4312"
                                                           : "time=4313"));
    }
    finish();
}

/* Each kind of counter begins where the one before it ends, and a call looks at no more than it says. */
static void places_of_the_counters(void **state)
{
    static const struct {
        u64 at;
        unsigned what, id;
    } t[] = { { 9, INSIDE_UNIT, 9 }, { 10, INSIDE_DOMAIN, 1 }, { 12, INSIDE_DOMAIN, 2 } };
    struct translation more = { .pgtt = PGTT_SECOND, .levels = 4, .root = RAM2_BASE };
    struct unit *u;
    u64 at;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .quiet = true });
    u = units[0];
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        at = t[i].at;
        assert_int_equal(iommu_inside(INSIDE_COUNTERS, 0, &at, got, 1), 1);
        assert_int_equal(got[0].what, t[i].what);
        assert_int_equal(got[0].id, t[i].id);
    }
    at = 10 + 65536; /* the place of no function */
    assert_int_equal(iommu_inside(INSIDE_COUNTERS, 0, &at, got, 1), 1);
    assert_int_equal(got[0].id, SID_ATS);
    assert_int_equal(at, 10 + 65536 + 2);
    u->fns[MAX_FNS - 1].sid = 0x7777; /* the last place of all */
    at = 10 + 65536 + MAX_FNS - 1;
    assert_int_equal(iommu_inside(INSIDE_COUNTERS, 0, &at, got, 1), 1);
    assert_int_equal(got[0].id, 0x7777);
    u->fns[MAX_FNS - 1].sid = 0;
    at = 10 + 65535; /* and that of no domain-id */
    assert_int_equal(iommu_inside(INSIDE_COUNTERS, 0, &at, got, 1), 1);
    assert_int_equal(got[0].id, SID_ATS);
    /* the domain-ids in use end where a page of domains does, and the last of them is told, too */
    env_lock(&u->lock);
    while (u->next_did < 32) {
        more.did++;
        assert_non_null(domain_acquire(u, &more, NULL));
    }
    env_unlock(&u->lock);
    at = 0;
    assert_int_equal(take(INSIDE_COUNTERS, &at), 9 + 31 + 2);
    /* so many places are looked at in one call: here there is a domain at one in 32 */
    for (unsigned page = 1; page < 65536 / DOMAINS_PER_PAGE; page++)
        u->domains[page] = u->domains[1] ? u->domains[1] : u->domains[0];
    u->next_did = 0xffff;
    for (unsigned more = 0; more < 2; more++) {
        at = 10 + 100 * DOMAINS_PER_PAGE;
        for (unsigned n = 0; n < DOMAINS_PER_PAGE; n++)
            u->domains[1][n].live = false;
        assert_int_equal(iommu_inside(INSIDE_COUNTERS, 0, &at, got, 8), 0);
        assert_int_equal(at, 10 + 100 * DOMAINS_PER_PAGE + 4096);
    }
    u->next_did = 32;
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_trace_is_what_happened),  cmocka_unit_test(the_ring_forgets_the_oldest),
        cmocka_unit_test(each_counts_its_own),         cmocka_unit_test(nothing_beyond_the_units),
        cmocka_unit_test(places_that_were_never_used), cmocka_unit_test(places_of_the_trace),
        cmocka_unit_test(the_last_are_shown),          cmocka_unit_test(places_of_the_counters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
