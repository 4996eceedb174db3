/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: iommu/desc.c */
/*
 * Queued-invalidation descriptors: what the guest may send, bit by bit, and that what the host sends means at
 * least what was asked. The expected layouts are written out here from 6.5.2, not taken from iommu/.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "iommu/desc.h"

static const struct desc_rules all = { .did_mask = 0xffff, .mamv = 18, .psi = true, .dt = true };

static u64 bits(unsigned hi, unsigned lo)
{
    u64 m = 0;

    for (unsigned i = lo; i <= hi; i++)
        m |= 1ull << i;
    return m;
}

static enum iqei decode(u64 lo, u64 hi, struct request *r)
{
    return desc_decode(&all, (struct desc){ lo, hi }, 0, r);
}

static u64 rng = 88172645463325252ull;
static u64 rnd(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng;
}

/* What may be set in each type: everything else is reserved. */
static const struct {
    unsigned type;
    u64 base; /* a valid low quadword */
} kinds[] = { { 1, 1 | 1 << 4 }, { 2, 2 | 1 << 4 }, { 3, 3 }, { 5, 5 } };

static u64 known_lo(unsigned type)
{
    switch (type) {
    case 1:
        return bits(5, 4) | bits(31, 16) | bits(47, 32) | bits(49, 48);
    case 2:
        return bits(5, 4) | bits(6, 6) | bits(7, 7) | bits(31, 16);
    case 3:
        return bits(15, 12) | bits(20, 16) | bits(47, 32) | bits(63, 52);
    default:
        return bits(4, 4) | bits(5, 5) | bits(6, 6) | bits(63, 32);
    }
}

static u64 known_hi(unsigned type)
{
    switch (type) {
    case 1:
        return 0;
    case 2:
        return bits(5, 0) | bits(6, 6) | bits(63, 12);
    case 3:
        return bits(0, 0) | bits(63, 12);
    default:
        return bits(63, 2);
    }
}

static void hostile_08_types(void **state)
{
    struct request r;

    (void)state;
    for (unsigned type = 0; type < 128; type++) {
        u64 lo = (type & 0xf) | (u64)(type >> 4) << 9;
        bool good = type == 1 || type == 2 || type == 3 || type == 5;

        /* 4, the interrupt-entry cache, is not announced */
        if (!good) {
            assert_int_equal(decode(lo, 0, &r), 3);
            assert_int_equal(decode(lo | 1 << 4, 0, &r), 3);
            assert_int_equal(decode((~bits(11, 9) & ~0xfull) | lo, ~0ull, &r), 3);
        } else if (type != 3 && type != 5) {
            assert_int_equal(decode(lo, 0, &r), 4); /* granularity 0 */
            assert_int_equal(decode(lo | 1 << 4, 0, &r), 0);
        } else {
            assert_int_equal(decode(lo, 0, &r), 0);
        }
    }
    struct desc_rules no_dt = all;
    no_dt.dt = false;
    assert_int_equal(desc_decode(&no_dt, (struct desc){ 3, 0 }, 0, &r), 3);
}

static void hostile_09_every_reserved_bit(void **state)
{
    struct request r;

    (void)state;
    for (unsigned k = 0; k < ARRAY_SIZE(kinds); k++)
        for (unsigned bit = 0; bit < 128; bit++) {
            u64 lo = kinds[k].base, hi = 0;
            bool known;

            if (bit < 64 && (bits(11, 9) | 0xf) >> bit & 1)
                continue; /* the type */
            if (bit < 64)
                lo |= 1ull << bit;
            else
                hi |= 1ull << (bit - 64);
            known = bit < 64 ? known_lo(kinds[k].type) >> bit & 1 : known_hi(kinds[k].type) >> (bit - 64) & 1;
            assert_int_equal(decode(lo, hi, &r), known ? 0 : 4);
        }
}

static void hostile_10_ranges_asked_for(void **state)
{
    struct request r;

    (void)state;
    for (unsigned am = 0; am < 64; am++)
        for (unsigned n = 0; n < 200; n++) {
            u64 page = rnd() >> 12 >> (rnd() % 40);
            enum iqei e = decode(2 | 3 << 4 | 7ull << 16, page << 12 | am, &r);

            assert_int_equal(e, am <= 18 ? 0 : 4);
            if (e)
                continue;
            assert_int_equal(r.did, 7);
            /* the aligned block that holds it, neither more nor less */
            assert_true(r.range.first == (page >> am << am));
            assert_true(r.range.last == ((page >> am << am) | ((1ull << am) - 1)));
        }
    /* any MAMV that a unit may announce, and no page-selective flush at all */
    for (unsigned mamv = 0; mamv < 64; mamv++)
        for (unsigned am = 0; am < 64; am++) {
            struct desc_rules rules = { .did_mask = 0xffff, .mamv = mamv, .psi = true };
            u64 page = rnd() >> 12;

            if (desc_decode(&rules, (struct desc){ 2 | 3 << 4, page << 12 | am }, 0, &r))
                assert_true(am > mamv);
            else
                assert_true(r.range.first <= page && page <= r.range.last);
            rules.psi = false;
            if (!desc_decode(&rules, (struct desc){ 2 | 3 << 4, page << 12 | am }, 0, &r))
                assert_int_equal(r.granularity, 2);
        }
}

/* What a device understands by ADDR and S (6.5.2.3 and PCIe ATS), written from the text. */
static void device_range(u64 hi, u64 *first, u64 *last)
{
    u64 page = hi >> 12;
    unsigned n = 0;

    *first = *last = page;
    if (!(hi & 1))
        return;
    while (n < 51 && page >> n & 1)
        n++;
    if (n >= 51) {
        *first = 0;
        *last = ~0ull >> 12;
        return;
    }
    *first = page >> (n + 1) << (n + 1);
    *last = *first + (2ull << n) - 1;
}

static void device_tlb_sizes_sent(void **state)
{
    (void)state;
    for (unsigned order = 0; order <= 52; order++)
        for (unsigned n = 0; n < 2000; n++) {
            u64 page = (rnd() >> 12) >> (rnd() % 52), first, last;
            u64 size = order >= 52 ? 0 : 1ull << order;
            struct desc d = desc_devtlb(0x1234, 0xabc, 17, page, order);

            if (n < 4) /* the corners */
                page = n == 0 ? 0 : n == 1 ? ~0ull >> 12 : n == 2 ? 1ull << 51 : ~0ull >> 13;
            d = desc_devtlb(0x1234, 0xabc, 17, page, order);
            device_range(d.hi, &first, &last);
            if (order >= 52) {
                assert_true(first == 0 && last == ~0ull >> 12);
            } else {
                assert_true(first == (page & ~(size - 1)));
                assert_true(last == (page | (size - 1)));
            }
            assert_int_equal(d.lo & 0xf, 3);
            assert_int_equal(d.lo >> 32 & 0xffff, 0x1234);
            assert_int_equal((d.lo >> 12 & 0xf) | (d.lo >> 52 & 0xfff) << 4, 0xabc);
            assert_int_equal(d.lo >> 16 & 0x1f, 17);
            assert_int_equal(d.lo & ~(known_lo(3) | 0xf), 0);
            assert_int_equal(d.hi & ~known_hi(3), 0);
        }
}

static void device_tlb_sizes_asked_for(void **state)
{
    struct request r;

    (void)state;
    for (unsigned ones = 0; ones <= 52; ones++)
        for (unsigned n = 0; n < 500; n++)
            for (u64 s = 0; s < 2; s++) {
                u64 page = rnd() >> 12, first, last;

                /* `ones` ones, then a zero, then anything */
                if (ones < 52)
                    page = (page >> (ones + 1) << (ones + 1)) | ((1ull << ones) - 1);
                else
                    page = ~0ull >> 12;
                assert_int_equal(decode(3 | (u64)0x55 << 32, page << 12 | s, &r), 0);
                device_range(page << 12 | s, &first, &last);
                assert_true(r.range.first == first && r.range.last == last);
                assert_int_equal(r.sid, 0x55);
            }
}

static void iotlb_pages_sent(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 52; order++)
        for (unsigned n = 0; n < 500; n++) {
            u64 page = (rnd() >> 12) >> (rnd() % 52);
            struct desc d = desc_iotlb_pages(desc_iotlb_low(DESC_G_PAGE, 0x4321, n & 1, n & 2), page, order);

            assert_int_equal(d.lo,
                             2 | 3 << 4 | (n & 1 ? 1 << 7 : 0) | (n & 2 ? 1 << 6 : 0) | 0x4321ull << 16);
            assert_int_equal(d.hi & 0x3f, order);
            assert_int_equal(d.hi & 0x40, 0); /* never IH */
            assert_true(d.hi >> 12 == (page >> order << order));
        }
}

static void orders(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 200000; n++) {
        u64 a = (rnd() >> 12) >> (rnd() % 52), b = a + ((rnd() >> 12) >> (rnd() % 52));
        struct range r = { a, b };
        unsigned order = range_order(r);

        if (b > PAGE_NR_MAX)
            continue;
        assert_true(order <= 52);
        if (order < 52)
            assert_true(a >> order == b >> order);
        if (order) /* and no smaller one would do */
            assert_true(a >> (order - 1) != b >> (order - 1));
    }
    assert_int_equal(range_order(RANGE_ALL), 52);
}

/* Whatever the host sends, a guest could have sent: our own decoder takes it. */
static void what_is_sent_is_valid(void **state)
{
    struct request r;
    struct desc d[] = {
        desc_context_global(),
        desc_context_device(0xffff, 0xffff),
        desc_iotlb_global(true, true),
        desc_iotlb_domain(0xffff, true, false),
        desc_wait_status(~3ull, ~0u, false),
        desc_wait_interrupt(),
        desc_devtlb(0xffff, 0, 31, 0, 52),
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(d); i++)
        assert_int_equal(decode(d[i].lo, d[i].hi, &r), 0);
    assert_int_equal(d[0].lo, 1 | 1 << 4);
    assert_int_equal(d[1].lo, 1 | 3 << 4 | 0xffffull << 16 | 0xffffull << 32);
    assert_int_equal(d[2].lo, 2 | 1 << 4 | 3 << 6);
    assert_int_equal(d[3].lo, 2 | 2 << 4 | 1 << 7 | 0xffffull << 16);
    assert_int_equal(d[4].lo, 5 | 1 << 5 | 1 << 6 | 0xffffffffull << 32);
    assert_int_equal(d[5].lo, 5 | 1 << 4 | 1 << 6);
}

/* Scalable mode has more types and no more than they are; of the granularities that each has none is refused.
 */
static void scalable_kinds(void **state)
{
    static const u8 good[] = {
        [1] = 0xe, [2] = 0xe, [3] = 1, [4] = 3, [5] = 0xf, [6] = 0xc, [7] = 0xb, [8] = 1, [9] = 1, [15] = 0
    }; /* bit g: DESC_G of g is good */
    struct desc_rules rules = {
        .did_mask = 0xffff, .mamv = 18, .psi = true, .dt = true, .ir = true, .scalable = true, .prs = true
    };
    struct request r;

    (void)state;
    for (unsigned type = 0; type < 16; type++)
        for (unsigned g = 0; g < 4; g++) {
            enum iqei e = desc_decode(&rules, (struct desc){ type | g << 4, 0 }, 0, &r);

            if (good[type] >> g & 1)
                assert_int_equal(e, 0);
            else if (type != 8 && type != 9) /* there it is another field */
                assert_int_equal(e, type && type < 10 ? 4 : 3);
        }
    for (unsigned am = 0; am < 64; am++)
        for (unsigned n = 0; n < 100; n++) {
            u64 page = n ? rnd() >> 12 : ~0ull >> 12;

            assert_int_equal(desc_decode(&rules, (struct desc){ 6 | 3 << 4, page << 12 | am }, 0, &r), 0);
            assert_true(r.range.first == (am < 52 ? page >> am << am : 0));
            assert_true(r.range.last == (am < 52 ? page | ((1ull << am) - 1) : ~0ull >> 12));
        }
}

static void ranges_in_ranges(void **state)
{
    static const struct {
        struct range inner;
        bool covered;
    } t[] = { { { 4, 9 }, true },  { { 4, 4 }, true },   { { 9, 9 }, true },  { { 5, 8 }, true },
              { { 3, 9 }, false }, { { 4, 10 }, false }, { { 3, 3 }, false }, { { 10, 10 }, false } };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
        assert_int_equal(range_covers((struct range){ 4, 9 }, t[i].inner), t[i].covered);
    assert_true(range_is_all(RANGE_ALL));
    assert_false(range_is_all((struct range){ 1, PAGE_NR_MAX }));
    assert_false(range_is_all((struct range){ 0, PAGE_NR_MAX - 1 }));
}

/* Total: any 256 bits of noise give a request or one of the errors, and a request says what the bits say. */
static void noise(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 2000000; n++) {
        struct desc_rules rules = { .did_mask = (u16)(bits(3 + 2 * (unsigned)(rnd() % 7), 0)),
                                    .mamv = rnd() & 63,
                                    .psi = rnd() & 1,
                                    .dt = rnd() & 1 };
        struct desc d = { rnd() & rnd() & rnd(), rnd() & rnd() };
        struct request r;
        enum iqei e;

        if (n & 1)
            d.lo = (d.lo & ~bits(11, 9) & ~0xfull) | (rnd() % 6);
        e = desc_decode(&rules, d, 0, &r);
        assert_true(e == 0 || e == 3 || e == 4);
        if (e)
            continue;
        if (r.type == 1 || r.type == 2)
            assert_true(r.did == ((d.lo >> 16) & rules.did_mask));
        if (r.type == 5) {
            assert_true(r.status_addr == d.hi && r.status_data == d.lo >> 32);
            assert_true(r.wait_status == (d.lo >> 5 & 1) && r.wait_interrupt == (d.lo >> 4 & 1));
        }
        assert_true(r.range.first <= r.range.last && r.range.last <= PAGE_NR_MAX);
    }
}

/* The short tests for what drivers send all the time say nothing that the decoder does not say. */
static void what_drivers_send(void **state)
{
    unsigned flushes = 0, waits = 0;

    (void)state;
    for (unsigned n = 0; n < 2000000; n++) {
        struct desc_rules rules = { .did_mask = (u16)(bits(3 + 2 * (unsigned)(rnd() % 7), 0)),
                                    .mamv = rnd() & 63,
                                    .psi = rnd() & 1 };
        struct desc d = { rnd() & rnd() & rnd(), rnd() & rnd() };
        struct request r;
        bool flush, wait;

        /* Near to what is meant: a bit or two from it. */
        d.lo = n & 1 ? (d.lo & bits(31, 16)) | 0x32 : (d.lo & bits(63, 32)) | 0x25;
        d.hi &= n & 1 ? bits(63, 12) | 0x7f : ~3ull;
        d.lo ^= rnd() & 1 ? 1ull << rnd() % 64 : 0;
        d.hi ^= rnd() & 1 ? 1ull << rnd() % 64 : 0;
        flush = desc_is_page_flush(&rules, d);
        wait = desc_is_status_wait(d);
        flushes += flush;
        waits += wait;
        if (!flush && !wait)
            continue;
        assert_int_equal(desc_decode(&rules, d, 0, &r), 0);
        assert_int_equal(r.type, flush ? 2 : 5);
        if (flush) {
            assert_int_equal(r.granularity, 3);
            assert_int_equal(r.range.first, desc_block(d.hi >> 12, d.hi & 63).first);
            assert_int_equal(r.range.last, desc_block(d.hi >> 12, d.hi & 63).last);
        } else {
            assert_true(r.wait_status && !r.wait_interrupt && !r.wait_drain);
        }
    }
    assert_true(flushes > 1000 && waits > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_08_types),
        cmocka_unit_test(hostile_09_every_reserved_bit),
        cmocka_unit_test(hostile_10_ranges_asked_for),
        cmocka_unit_test(device_tlb_sizes_sent),
        cmocka_unit_test(device_tlb_sizes_asked_for),
        cmocka_unit_test(iotlb_pages_sent),
        cmocka_unit_test(orders),
        cmocka_unit_test(what_is_sent_is_valid),
        cmocka_unit_test(scalable_kinds),
        cmocka_unit_test(ranges_in_ranges),
        cmocka_unit_test(noise),
        cmocka_unit_test(what_drivers_send),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
