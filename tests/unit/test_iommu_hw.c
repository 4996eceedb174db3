/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * The real unit's own ways: what it cannot do is told and refused, and one that stops obeying, at whatever
 * register write, costs a bounded time and is never taken for one that translates.
 */
#include "tests/unit/world_test.h"

#define CAP_SAGAW (0x1full << 8)

static void what_a_unit_must_have(void **state)
{
    static const struct {
        u64 cap, ecap;
        bool cm_off;
        const char *why; /* NULL: nothing is missing */
    } cases[] = {
        { CAP_DEFAULT, ECAP_DEFAULT, false, NULL },
        { CAP_DEFAULT, ECAP_DEFAULT, true, "cm=off" },
        { CAP_DEFAULT, ECAP_DEFAULT & ~E_QI, false, "queued invalidation" },
        { CAP_DEFAULT | 7, ECAP_DEFAULT, false, "domain-ids" },
        { CAP_DEFAULT & ~CAP_SAGAW, ECAP_DEFAULT, false, "second-stage tables" },
        { (CAP_DEFAULT & ~CAP_SAGAW) | C_SAGAW(8), ECAP_DEFAULT, false, NULL },
        { (CAP_DEFAULT & ~C_MAMV(63)) | C_MAMV(53), ECAP_DEFAULT, false, "address mask" },
        { (CAP_DEFAULT & ~C_MAMV(63)) | C_MAMV(52), ECAP_DEFAULT, false, NULL },
        { (CAP_DEFAULT & ~(0x3ffull << 24)) | 0xffull << 24, ECAP_DEFAULT, false, "window" },
        { (CAP_DEFAULT & ~(0x3ffull << 24)) | 0xf8ull << 24, ECAP_DEFAULT, false, NULL },
        { (CAP_DEFAULT & ~(0x3ffull << 24)) | 0xf9ull << 24, ECAP_DEFAULT, false, "window" },
        { CAP_DEFAULT, ECAP_DEFAULT | 0x3ffull << 8, false, "window" },
        { CAP_DEFAULT, (ECAP_DEFAULT & ~(0x3ffull << 8)) | 0xffull << 8, false, NULL },
        { CAP_DEFAULT, (ECAP_DEFAULT & ~(0x3ffull << 8)) | 0x100ull << 8, false, "window" },
        { ~0ull, ECAP_DEFAULT, false, "do not answer" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        int err = world_start(&(struct world_cfg){
            .cap = cases[i].cap, .ecap = cases[i].ecap, .no_caching_mode = cases[i].cm_off, .wait_us = 100 });

        if (!cases[i].why != !err || (err && !strstr(W.last_log, cases[i].why)))
            fail_msg("case %u: %d, %s", i, err, W.last_log);
    }
}

/* --- a unit dies at a register write --- */

static unsigned writes, dies_at;

static void maybe_die(void)
{
    if (writes++ == dies_at)
        model_set_dead(W.unit[0], true);
}

/* Firmware's own queue and translation, as far as `left` says. */
static void firmware(unsigned left)
{
    struct model *m = W.unit[0];

    if (left & 1) {
        model_reg_write(m, R_RTADDR, 8, 0x70000); /* an empty root table */
        model_reg_write(m, R_GCMD, 4, G_SRTP);
        model_run(m, 100);
        model_reg_write(m, R_GCMD, 4, G_TE);
        model_run(m, 100);
    }
    if (left & 2) {
        model_reg_write(m, R_IQA, 8, 0x76000);
        model_reg_write(m, R_GCMD, 4, G_QIE | (left & 1 ? G_TE : 0));
        model_run(m, 100);
        poke64(0x76000, 2 | 1 << 4);
        model_reg_write(m, R_IQT, 8, 16);
    }
    if (left & 4) {
        model_reg_write(m, 0x6c, 4, 0xffffffff);
        model_reg_write(m, 0x64, 4, 1u << 31);
        while (!(model_reg_read(m, 0x64, 4) & 1))
            ;
    }
}

static void dies_while_taken_over(void **state)
{
    unsigned good = 0, bad = 0;

    (void)state;
    for (unsigned left = 0; left < 8; left++)
        for (unsigned n = 0, more = true; more; n++) {
            int err;

            world_boot(&(struct world_cfg){ .wait_us = 100,
                                            .pace = MODEL_PACE_DELAYED,
                                            .pace_max = 3,
                                            .cap = CAP_DEFAULT | C_RWBF | (left & 4 ? 3ull << 5 : 0),
                                            .ecap = ECAP_DEFAULT | E_IR });
            firmware(left);
            writes = 0;
            dies_at = n;
            W.on_write = maybe_die;
            err = world_protect();
            W.on_write = NULL;
            more = writes > n;
            assert_true(W.now_us < 6000000);
            if (!err)
                assert_true(model_reg_read(W.unit[0], R_GSTS, 4) & G_TE);
            *(err ? &bad : &good) += 1;
            assert_true(more || !err);
        }
    assert_true(good > 8 && bad > 80);
}

/* ... and while the guest drives it. */
static void dies_under_the_guest(void **state)
{
    unsigned commands[] = { G_SRTP, G_TE, G_SIRTP, G_IRE };

    (void)state;
    for (unsigned c = 0; c < ARRAY_SIZE(commands); c++)
        for (unsigned n = 0, more = true; more; n++) {
            bool toggles = commands[c] == G_TE || commands[c] == G_IRE;
            u64 start;

            in_use(&(struct world_cfg){ .wait_us = 100,
                                        .pace = MODEL_PACE_DELAYED,
                                        .pace_max = 3,
                                        .cap = CAP_DEFAULT | C_RWBF,
                                        .ecap = ECAP_DEFAULT | E_IR | E_EIM });
            W.device_irqs_expected = true;
            guest_w64(0, R_IRTA, GUEST_IRT | 7);
            guest_gcmd(0, G_SIRTP, true);
            guest_gcmd(0, G_IRE, true);
            if (commands[c] == G_SIRTP) /* x2APIC destinations: the unit's table is announced anew */
                guest_w64(0, R_IRTA, GUEST_IRT | 1 << 11 | 7);
            writes = 0;
            dies_at = n;
            start = W.now_us;
            W.on_write = maybe_die;
            guest_gcmd(0, commands[c], !toggles);
            if (toggles)
                guest_gcmd(0, commands[c], true);
            W.on_write = NULL;
            more = writes > n;
            /* Who waited in vain gives the unit up at once. */
            if (W.now_us - start >= 1000000)
                assert_true(iommu_stopped(0, SID_PLAIN));
            /* A command has one second, a batch two and a second for the restart; nobody waits twice. */
            assert_true(W.now_us - start < 1200000 || W.now_us - start > 2900000);
            assert_true(W.now_us - start < 3200000);
            /* Either it did all that was asked, or nothing behind it may do DMA. */
            q_iotlb(0, 1, 0, 0, 0);
            (void)q_wait(0);
            q_ring(0);
            for (unsigned ms = 0; more && ms < 4000 && !iommu_stopped(0, SID_PLAIN); ms++) {
                W.now_us += 1000;
                guest_r32(0, R_GSTS);
            }
            assert_int_equal(iommu_stopped(0, SID_PLAIN), more);
            assert_null(strstr(W.fail, "not there"));
        }
}

/* --- firmware's own queue --- */

/* An error that firmware never looked at ends with the takeover; what it has since repaired is let through,
 * and what it has not costs a second. */
static void a_queue_that_stood_still(void **state)
{
    (void)state;
    for (unsigned repaired = 0; repaired < 2; repaired++) {
        struct model *m;

        world_boot(&(struct world_cfg){ .wait_us = 100 });
        m = W.unit[0];
        model_reg_write(m, R_IQA, 8, 0x76000);
        model_reg_write(m, R_GCMD, 4, G_QIE);
        model_run(m, 100);
        poke64(0x76000, 0xf); /* no type of descriptor */
        model_reg_write(m, R_IQT, 8, 16);
        model_run(m, 100);
        assert_true(model_reg_read(m, R_FSTS, 4) & FS_IQE);
        if (repaired)
            poke64(0x76000, 2 | 1 << 4);
        assert_int_equal(world_protect(), 0);
        assert_true(repaired ? W.now_us < 500000 : W.now_us > 1000000 && W.now_us < 1500000);
        assert_int_equal(dma_lands(PLAIN, GUEST_DATA, true), GUEST_DATA);
    }
}

/* A queue that firmware has switched off is not waited for, wherever its tail stands. */
static void a_queue_that_is_off(void **state)
{
    (void)state;
    world_boot(&(struct world_cfg){ .wait_us = 100 });
    model_reg_write(W.unit[0], R_IQT, 8, 32);
    assert_int_equal(world_protect(), 0);
    assert_true(W.now_us < 500000);
}

/* Where firmware's events went, all of it is replaced, and nothing stays masked. */
static void events_are_ours(void **state)
{
    (void)state;
    world_boot(&(struct world_cfg){ .wait_us = 100 });
    for (u32 group = R_FECTL; group <= R_IECTL; group += R_IECTL - R_FECTL)
        for (u32 off = 0; off < 16; off += 4)
            model_reg_write(W.unit[0], group + off, 4, off ? 0x1234567c : 1u << 31);
    assert_int_equal(world_protect(), 0);
    for (u32 group = R_FECTL; group <= R_IECTL; group += R_IECTL - R_FECTL) {
        assert_int_equal(model_reg_read(W.unit[0], group, 4), 0);
        assert_int_equal(model_reg_read(W.unit[0], group + 4, 4), EVENT_DATA);
        assert_int_equal(model_reg_read(W.unit[0], group + 8, 4), EVENT_ADDR);
        assert_int_equal(model_reg_read(W.unit[0], group + 12, 4), 0);
    }
}

static void no_more_irqs(void)
{
    W.device_irqs_expected = false;
}

static void fault_now(void)
{
    no_more_irqs();
    (void)dma_lands(PLAIN, 0x3000, true);
}

/* From the first moment on nobody is told at firmware's address, whatever happens while we are at it; and
 * what happened before is nobody's news. */
static void firmware_hears_nothing(void **state)
{
    (void)state;
    for (unsigned before = 0; before < 2; before++) {
        struct model *m;

        world_boot(&(struct world_cfg){ .wait_us = 100, .pace = MODEL_PACE_DELAYED, .pace_max = 3 });
        m = W.unit[0];
        firmware(1);
        W.device_irqs_expected = true; /* firmware hears of what it left unread */
        if (before)
            (void)dma_lands(PLAIN, 0x3000, true);
        for (u32 group = R_FECTL; group <= R_IECTL; group += R_IECTL - R_FECTL) {
            model_reg_write(m, group + 4, 4, 0x41);
            model_reg_write(m, group + 8, 4, 0xfee01000);
            model_reg_write(m, group, 4, 0);
        }
        model_reg_write(m, R_IQA, 8, 0x76000);
        model_reg_write(m, R_GCMD, 4, G_QIE | G_TE);
        model_run(m, 100);
        for (unsigned i = 0; i < 100; i++)
            poke64(0x76000 + i * 16, 2 | 1 << 4);
        poke64(0x76000 + 100 * 16, before ? 2 | 1 << 4 : 5 | 1 << 4); /* a wait with interrupt, far ahead */
        model_reg_write(m, R_IQT, 8, 101 * 16);
        W.on_write = before ? no_more_irqs : fault_now;
        assert_int_equal(world_protect(), 0);
        W.on_write = NULL;
        if (!world_ok())
            fail_msg("%s", W.fail);
        assert_false(before && W.event_pending);
    }
}

/* --- before the takeover --- */

/* What firmware protects is not made less by protecting our own. */
static void firmwares_protection_stays(void **state)
{
    bool bare;

    (void)state;
    world_boot(&(struct world_cfg){ .wait_us = 100, .cap = CAP_DEFAULT | 3ull << 5 });
    firmware(4);
    assert_int_equal(iommu_guard(REGION_BASE, REGION_MAX, &bare), 0);
    assert_false(bare);
    assert_int_equal(model_reg_read(W.unit[0], 0x6c, 4) >> 24, 0xff);
    assert_int_equal(model_reg_read(W.unit[0], 0x68, 4), 0);
    /* ours ends where it is said to */
    world_boot(&(struct world_cfg){ .wait_us = 100, .cap = CAP_DEFAULT | 3ull << 5 });
    assert_int_equal(iommu_guard(REGION_BASE, REGION_MAX, &bare), 0);
    assert_int_equal(model_reg_read(W.unit[0], 0x6c, 4) | 0x1fffff, REGION_BASE + REGION_MAX - 1);
}

/* --- a write buffer in front of the unit --- */

static bool buffer_flushed;
static unsigned pointers_set;

/* Tables leave it before the unit is led to them (6.8). */
static void flushed_before_pointers(const struct model_event *e)
{
    if (e->type != MODEL_EV_REG_WRITE || e->a != R_GCMD)
        return;
    if (e->b & (G_SRTP | G_SIRTP)) {
        assert_true(buffer_flushed);
        pointers_set++;
    }
    buffer_flushed = e->b & 1u << 27;
}

static void pointers_behind_a_write_buffer(void **state)
{
    (void)state;
    world_boot(&(struct world_cfg){
        .wait_us = 100, .ats = ATS_ALL, .cap = CAP_DEFAULT | C_RWBF, .ecap = ECAP_DEFAULT | E_IR });
    pointers_set = 0;
    W.on_trace = flushed_before_pointers;
    assert_int_equal(world_protect(), 0);
    assert_int_equal(pointers_set, 2);
    guest_start();
    guest_remapping(0, true);
    assert_true(pointers_set >= 3);
    finish();
}

/* --- memory --- */

/* With however little memory it either starts, or says that it cannot. */
static void too_little_memory(void **state)
{
    static const struct world_cfg cfgs[] = {
        { .wait_us = 100, .ecap = ECAP_DEFAULT | E_IR },
        { .wait_us = 100, .ecap = ECAP_DEFAULT | E_IR, .strict = true },
        { .wait_us = 100, .ecap = ECAP_DEFAULT | E_IR | E_SMTS | E_SSTS | E_SMPWC | E_PASID | E_PSS },
        { .wait_us = 100, .ecap = ECAP_DEFAULT | E_SMTS | E_SSTS | E_SMPWC | E_PRS },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cfgs); i++) {
        int err = -1;
        unsigned n = 0;

        while (err && ++n < 1000) {
            err = world_boot(&cfgs[i]);
            assert_int_equal(err, 0);
            W.pages = n;
            err = world_protect();
            if (err)
                assert_non_null(strstr(W.last_log, "memory"));
        }
        assert_true(n > 20 && n < 1000);
        assert_int_equal(dma_lands(PLAIN, GUEST_DATA, true), GUEST_DATA);
        assert_int_equal(dma_lands(PLAIN, REGION_BASE, true), ~0ull);
    }
    assert_int_equal(world_boot(&(struct world_cfg){ .units = 2 }), 0);
    W.pages = W.bump + 1;
    assert_int_not_equal(iommu_shut_out(), 0);
    assert_int_not_equal(world_boot(&(struct world_cfg){ .pages = 1 }), 0); /* not even a unit fits */
    assert_non_null(strstr(W.last_log, "memory"));
}

/* --- what it says of itself --- */

static void told_to_people(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    iommu_summary();
    assert_non_null(strstr(W.last_log, "device-TLB flushes: always"));
    iommu_counters();
    assert_non_null(strstr(W.last_log, "count unit=0"));
    q_iotlb(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
    iommu_inside_show();
    assert_non_null(strstr(W.last_log, "trace unit=0"));
    finish();
    /* in each of its words */
    static const struct {
        struct world_cfg cfg;
        const char *last;
    } words[] = {
        { { .cap = CAP_DEFAULT & ~(C_PSI | C_MAMV(63)), .ats = ATS_LISTED }, "always" },
        { { .ecap = ECAP_DEFAULT & ~(E_DT | E_C), .ats = ATS_OFF }, "always" },
        { { .ecap = ECAP_DEFAULT | E_SMTS | E_SSTS | E_SMPWC | E_FSTS | E_NEST, .no_caching_mode = true },
          "always" },
        { { .ats = ATS_ALL, .dtlb = DTLB_CM }, "cm (UNSAFE" },
        { { .ats = ATS_ALL, .dtlb = DTLB_GUEST }, "guest (UNSAFE" },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
        start(&words[i].cfg);
        iommu_summary();
        assert_non_null(strstr(W.last_log, words[i].last));
    }
    /* of each unit, and each kind */
    in_use(&(struct world_cfg){ .wait_us = 100, .units = 2 });
    W.lines = 0;
    iommu_summary();
    assert_int_equal(W.lines, 2 * 3 + 3);
    W.lines = 0;
    iommu_counters();
    assert_int_equal(W.lines, 2 * 9);
}

/* A trace that there is not yet is not shown, and in a segment without a unit there is nothing to do. */
static void nothing_there(void **state)
{
    (void)state;
    assert_int_equal(world_boot(&(struct world_cfg){ .ats = ATS_ALL }), 0);
    W.lines = 0;
    iommu_inside_show();
    assert_int_equal(W.lines, 0);
    assert_int_equal(world_protect(), 0);
    W.lines = 0;
    iommu_function_starts(7, SID_ATS);
    iommu_function_starts(0, SID_ATS);         /* with caching mode its driver tells */
    iommu_ats_change(0, 0, true, 0, 0, false); /* the host bridge's, and nobody's */
    iommu_ats_change(7, SID_ATS, true, 0, SID_ATS, false);
    iommu_function_gone(7, SID_ATS);
    assert_false(iommu_stopped(7, SID_ATS));
    assert_null(iommu_messages(7, SID_ATS, 0, 1));
    assert_int_equal(W.lines, 0);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_unit_must_have),  cmocka_unit_test(dies_while_taken_over),
        cmocka_unit_test(dies_under_the_guest),   cmocka_unit_test(a_queue_that_stood_still),
        cmocka_unit_test(too_little_memory),      cmocka_unit_test(told_to_people),
        cmocka_unit_test(nothing_there),          cmocka_unit_test(events_are_ours),
        cmocka_unit_test(firmware_hears_nothing), cmocka_unit_test(pointers_behind_a_write_buffer),
        cmocka_unit_test(a_queue_that_is_off),    cmocka_unit_test(firmwares_protection_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
