/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libmodel.a */
/*
 * The model as a judge: a driver that follows the specification's invalidation rules to the letter is
 * never found guilty, whatever the seed; the same driver with one flush left out always is.
 */
#include "tests/unit/model_bench.h"

enum { FNS = 2, DOMAINS = 2, PAGES = 16 };

/* What the driver does wrong. */
enum crime {
    INNOCENT,
    NO_CONTEXT, /* context-cache flush left out */
    NO_IOTLB,   /* IOTLB flush left out */
    NO_DTLB,    /* device-TLB flush left out */
    ALWAYS_IH,  /* IH=1 even when tables moved */
    DTLB_FIRST, /* device TLB before IOTLB, with a wait in between */
    NO_DRAIN,   /* DR=DW=0 */
    ONE_PAGE,   /* a changed large page flushed as if it were small */
    NO_WAIT,    /* does not wait for its wait */
    NEW_DID,    /* context flush with the new domain-id */
    NO_CM,      /* CM=1, but nothing flushed when entries become present */
    CRIMES,
};
static const char *const names[CRIMES] = {
    "innocent", "no context flush", "no IOTLB flush", "no device-TLB flush", "always IH", "device TLB first",
    "no drain", "one page only",    "no wait",        "new domain-id",       "CM ignored"
};

static struct {
    enum crime crime;
    bool cm;
    int domain[FNS]; /* 0: none */
    unsigned tt[FNS];
    unsigned side[DOMAINS + 1]; /* which of two leaf tables */
    bool large[DOMAINS + 1];
    uint64_t rng;
} D;

static unsigned rnd(unsigned n)
{
    D.rng ^= D.rng << 13;
    D.rng ^= D.rng >> 7;
    D.rng ^= D.rng << 17;
    return (D.rng >> 20) % n;
}

static uint64_t top(int d)
{
    return PT + 0x10000 * (d - 1);
}
static uint64_t leaf(int d)
{
    return top(d) + 0x2000 + 0x1000 * D.side[d];
}
static struct model_fn *fn_of(unsigned f)
{
    return f ? W.b : W.a;
}
static uint16_t sid_of(unsigned f)
{
    return f ? SID_B : SID_A;
}

/* ---- Flushing, as 6.5.3 wants it ---------------------------------------------------------------- */

static void finish(void)
{
    d_wait(W_SW, ++W.cookie, 0);
    ring();
    if (D.crime == NO_WAIT)
        return;
    for (unsigned i = 0; i < 10000 && status(0) != W.cookie; i++)
        model_step(W.m);
    assert_int_equal(status(0), W.cookie);
}

static void flush_device(unsigned f, uint64_t iova, bool all)
{
    if (D.crime != NO_DTLB)
        d_dtlb(sid_of(f), all ? DTLB_ALL : iova, all);
}

static void flush_devices(int d, uint64_t iova, bool all)
{
    for (unsigned f = 0; f < FNS; f++)
        if (D.domain[f] == d && D.tt[f] == TT_ATS)
            flush_device(f, iova, all);
}

static void flush_domain(int d, uint64_t iova, unsigned am, bool ih, bool devices)
{
    unsigned drain = D.crime == NO_DRAIN ? 0 : 0xc0;

    if (D.crime == ALWAYS_IH)
        ih = true;
    if (D.crime == ONE_PAGE)
        am = 0;
    if (devices && D.crime == DTLB_FIRST) {
        flush_devices(d, iova, am > 0);
        finish();
    }
    if (D.crime == NO_IOTLB)
        ;
    else if (rnd(4) || D.crime == ALWAYS_IH || D.crime == ONE_PAGE)
        push(2 | 3 << 4 | drain | (uint64_t)d << 16, iova | am | (unsigned)ih << 6);
    else
        push(2 | (1 + rnd(2)) << 4 | drain | (uint64_t)d << 16, 0);
    if (devices && D.crime != DTLB_FIRST)
        flush_devices(d, iova, am > 0);
    finish();
}

/* ---- What the driver may do --------------------------------------------------------------------- */

static void remap(int d, unsigned page)
{
    bool was = peek(leaf(d) + page * 8) & 3;

    if (D.large[d])
        return;
    map(leaf(d), page << 12, DATA + (rnd(64) << 12), rnd(3) ? 3 : rnd(4));
    if (was || D.cm)
        if (D.crime != NO_CM || was)
            flush_domain(d, page << 12, 0, true, was);
}

static void move_table(int d)
{
    uint64_t old = leaf(d);

    if (D.large[d])
        return;
    D.side[d] ^= 1;
    memcpy(W.ram + leaf(d), W.ram + old, 4096);
    poke(top(d) + 0x1000, leaf(d) | 3);
    flush_domain(d, 0, 9, false, true);
    /* Now the old page belongs to somebody else. */
    for (unsigned i = 0; i < PAGES; i++)
        map(old, i << 12, (DATA + 0x80000) + (rnd(64) << 12), 3);
}

static void toggle_large(int d)
{
    bool was = D.large[d];

    D.large[d] = !was;
    poke(top(d) + 0x1000, was ? leaf(d) | 3 : 0x200083);
    flush_domain(d, 0, 9, false, true);
}

static void move_function(unsigned f)
{
    int old = D.domain[f], d = rnd(DOMAINS + 1);
    unsigned tt = rnd(2) ? TT_ATS : TT_SS;

    if (old) {
        if (D.tt[f] == TT_ATS) {
            model_fn_set_ats(fn_of(f), false);
            flush_device(f, 0, true);
            finish();
        }
        poke(CTX + sid_of(f) * 16, 0);
        if (D.crime != NO_CONTEXT)
            d_context(3, D.crime == NEW_DID ? (old ^ 3) : old, sid_of(f), 0);
        if (D.crime != NO_IOTLB)
            push(2 | 2 << 4 | 0xc0 | old << 16, 0);
        if (D.tt[f] == TT_ATS)
            flush_device(f, 0, true);
        finish();
    }
    D.domain[f] = d;
    D.tt[f] = tt;
    if (!d)
        return;
    put_ctx(sid_of(f), tt, 1, d, top(d));
    if (D.cm && D.crime != NO_CM) {
        if (D.crime != NO_CONTEXT)
            d_context(3, D.crime == NEW_DID ? d : 0, sid_of(f), 0);
        if (D.crime != NO_IOTLB)
            push(2 | 2 << 4 | 0xc0 | d << 16, 0);
        finish();
    }
    if (tt == TT_ATS)
        model_fn_set_ats(fn_of(f), true);
}

/* ---- The trial ---------------------------------------------------------------------------------- */

/* Is some outcome not what the tables say, or does something in flight still aim where it may no longer? */
static bool guilty(void)
{
    struct model_flight fl[16];
    unsigned n = model_inflight(W.m, fl, 16);

    for (unsigned f = 0; f < FNS; f++)
        for (unsigned p = 0; p < PAGES; p++)
            if (model_stale(W.m, sid_of(f), p << 12))
                return true;
    for (unsigned i = 0; i < n; i++) {
        struct model_outcome o = model_fresh(W.m, fl[i].sid, fl[i].iova);

        if (o.status != MODEL_OK || o.pa != (fl[i].pa & ~0xfffull))
            return true;
    }
    return false;
}

static bool trial(enum crime crime, uint64_t seed, unsigned ops)
{
    bool cm = crime == NO_CM || (seed & 1), found = false;

    bench_seed = seed;
    bench_reset(BASE_CAP | (cm ? CAP_CM : 0), BASE_ECAP);
    W.cfg.pace = seed % 3;
    W.cfg.pace_max = 4;
    W.cfg.speculate = seed % 5;
    bench_start();
    memset(&D, 0, sizeof(D));
    D.crime = crime;
    D.cm = cm;
    D.rng = seed * 0x9e3779b97f4a7c15ull | 1;
    bench_enable();
    for (int d = 1; d <= DOMAINS; d++) {
        poke(top(d), (top(d) + 0x1000) | 3);
        poke(top(d) + 0x1000, leaf(d) | 3);
    }
    for (unsigned i = 0; i < ops && !found; i++) {
        uint64_t buf = i;

        if (rnd(2))
            model_fill_all(W.m);
        if (rnd(2))
            model_fn_dma_begin(fn_of(rnd(FNS)), rnd(PAGES) << 12, 8, true, &buf);
        switch (rnd(8)) {
        case 0:
            move_table(1 + rnd(DOMAINS));
            break;
        case 1:
            toggle_large(1 + rnd(DOMAINS));
            break;
        case 2:
        case 3:
            move_function(rnd(FNS));
            break;
        default:
            remap(1 + rnd(DOMAINS), rnd(PAGES));
        }
        found = guilty();
    }
    bench_seed = 1;
    /* A driver that breaks an ordering rule may be caught by the monitor, but never the innocent one. */
    if (crime == INNOCENT)
        no_violations();
    return found;
}

static void test_innocent(void **s)
{
    (void)s;
    for (uint64_t seed = 1; seed <= 150; seed++)
        if (trial(INNOCENT, seed, 60))
            fail_msg("seed %llu: the innocent driver was found guilty", (unsigned long long)seed);
}

static void test_guilty(void **s)
{
    (void)s;
    for (enum crime c = INNOCENT + 1; c < CRIMES; c++) {
        unsigned caught = 0, runs = 0;

        for (uint64_t seed = 1; seed <= 20 && caught < 5; seed++, runs++)
            caught += trial(c, seed, 250);
        print_message("%-22s caught in %u of %u runs\n", names[c], caught, runs);
        if (caught < 5)
            fail_msg("%s: caught in %u of 20 runs only", names[c], caught);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_innocent),
        cmocka_unit_test(test_guilty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
