/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * Device TLBs: the promise, the policies that break it, the ATS gate, and devices that do not answer.
 */
#include "tests/unit/world_test.h"

/* In the host's stream: after every IOTLB flush comes the device-TLB flush of each of these, before a wait.
 */
static void assert_order(const u16 *sids, unsigned n)
{
    for (unsigned i = 0; i < nr_host; i++) {
        unsigned found = 0;

        if ((host[i].q0 & 0xf) != 2)
            continue;
        for (unsigned j = i + 1; j < nr_host && (host[j].q0 & 0xf) != 5; j++)
            for (unsigned s = 0; s < n; s++)
                if ((host[j].q0 & 0xf) == 3 && (host[j].q0 >> 32 & 0xffff) == sids[s])
                    found |= 1u << s;
        if (found != (1u << n) - 1)
            fail_msg("an IOTLB flush was not followed by the device-TLB flush of function set %x", found);
    }
}

static const u16 both[] = { SID_ATS, SID_ATS2 };

static void one_flush(unsigned kind)
{
    switch (kind) {
    case 0:
        q_iotlb(0, 3, 5, 0x3000, 0);
        break;
    case 1:
        q_iotlb(0, 2, 5, 0, 0);
        break;
    case 2:
        q_iotlb(0, 1, 0, 0, 0);
        break;
    default:
        q_iotlb(0, 3, 5, 0, 4);
    }
}

static void own_dtlb(void)
{
    q_dtlb(0, SID_ATS, 0x3000, false);
    q_dtlb(0, SID_ATS2, DTLB_EVERYTHING);
}

/* Line 14, and the behaviours of the discussion behind this project by name. */
static void flush_in_style(unsigned style, unsigned kind, u64 cap)
{
    in_use(&(struct world_cfg){ .wait_us = 100, .cap = cap, .seed = style * 8 + kind });
    for (unsigned round = 0; round < 4; round++) {
        map_and_flush(0, 0x3000, GUEST_DATA + (round << 12));
        host_clear();
        guest_unmap(0, 0x3000);
        switch (style) {
        case 0: /* the driver believes in caching mode and sends no device-TLB flush */
            one_flush(kind);
            break;
        case 1: /* both, in one submission */
            one_flush(kind);
            own_dtlb();
            break;
        case 2: /* both, in the wrong order */
            own_dtlb();
            one_flush(kind);
            break;
        case 3: /* IOTLB first, device TLBs in another submission */
            one_flush(kind);
            assert_true(q_sync(0));
            for (unsigned f = 0; f < 3; f++)
                only_outcome(f, 0x3000, ~0ull);
            own_dtlb();
            break;
        case 4: /* device TLBs first, IOTLB in another submission */
            own_dtlb();
            assert_true(q_sync(0));
            one_flush(kind);
            break;
        case 5: /* without a wait between or behind, then a lone wait */
            own_dtlb();
            q_ring(0);
            one_flush(kind);
            q_ring(0);
            break;
        }
        assert_true(q_sync(0));
        for (unsigned f = 0; f < 3; f++)
            only_outcome(f, 0x3000, ~0ull);
        if (style != 3 && style != 4)
            assert_order(both, 2);
    }
    finish();
}

static void hostile_14_driver_believes_caching_mode(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 4; kind++)
        for (unsigned cm = 0; cm < 2; cm++)
            flush_in_style(0, kind, CAP_DEFAULT | (cm ? C_CM : 0));
    announced(0, R_CAP, C_CM);
}

static void hostile_14_flushed_together_in_either_order(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 4; kind++)
        for (unsigned cm = 0; cm < 2; cm++) {
            flush_in_style(1, kind, CAP_DEFAULT | (cm ? C_CM : 0));
            flush_in_style(2, kind, CAP_DEFAULT | (cm ? C_CM : 0));
        }
    announced(0, R_ECAP, E_DT);
}

static void hostile_14_flushed_in_different_submissions(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 4; kind++)
        for (unsigned cm = 0; cm < 2; cm++) {
            flush_in_style(3, kind, CAP_DEFAULT | (cm ? C_CM : 0));
            flush_in_style(4, kind, CAP_DEFAULT | (cm ? C_CM : 0));
            flush_in_style(5, kind, CAP_DEFAULT | (cm ? C_CM : 0));
        }
}

/* A context-cache flush means the device TLB too, whether or not the entry has changed. */
static void hostile_14_context_flushes(void **state)
{
    (void)state;
    for (unsigned g = 1; g <= 3; g++)
        for (unsigned on = 0; on < 2; on++) {
            in_use(&(struct world_cfg){ .wait_us = 100 });
            if (!on)
                guest_gcmd(0, G_TE, false);
            host_clear();
            q_context(0, g, 5, SID_ATS, 0);
            assert_true(q_sync(0));
            assert_true(host_count(1) >= 1);
            assert_true(host_dtlb(SID_ATS) >= 1);
            if (g != 3)
                assert_true(host_dtlb(SID_ATS2) >= 1);
            finish();
        }
}

/* More than fits into our ring: wider, never less. */
static void more_than_the_ring_holds(void **state)
{
    struct world_cfg cfg = { .wait_us = 100, .nr_fns = 16 };

    (void)state;
    for (unsigned f = 0; f < 16; f++)
        cfg.fn[f] = (struct world_fn_cfg){ (u16)(0x0100 + f), 0, true, 0 };
    for (unsigned pace = 0; pace <= MODEL_PACE_DELAYED; pace++) {
        cfg.pace = (u8)pace;
        in_use(&cfg);
        for (unsigned i = 0; i < 250; i++)
            guest_map(0, i << 14, GUEST_DATA + (u64)(i % 64 << 12), P_RW);
        q_iotlb(0, 2, 5, 0, 0);
        assert_true(q_sync(0));
        model_fill(W.unit[0], 0x0103, 0, 1000);
        for (unsigned i = 0; i < 250; i++) {
            guest_unmap(0, i << 14);
            q_iotlb(0, 3, 5, i << 14, 0);
        }
        assert_true(q_sync(0));
        for (unsigned i = 0; i < 250; i += 7)
            only_outcome(3, i << 14, ~0ull);
        finish();
    }
}

/* A device-TLB flush that the batch covers already costs nothing; what it does not cover is sent. */
static void the_guests_own_descriptors(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    host_clear();
    q_iotlb(0, 3, 5, 0x4000, 2);
    q_dtlb(0, SID_ATS, 0x5000, false);
    q_dtlb(0, SID_ATS2, 0x4000 | 0x1000, true); /* 4 pages */
    assert_true(q_sync(0));
    assert_int_equal(host_count(3), 2);
    host_clear();
    q_iotlb(0, 3, 5, 0x4000, 0);
    q_dtlb(0, SID_ATS, 0x5000, false);
    assert_true(q_sync(0));
    assert_int_equal(host_dtlb(SID_ATS), 2);
    assert_int_equal(host_dtlb(SID_ATS2), 1);
    host_clear();
    q_dtlb(0, SID_ATS2, DTLB_EVERYTHING);
    assert_true(q_sync(0));
    assert_int_equal(host_count(3), 1);
    finish();
}

/* --- the oracle has power: the unsafe policies are found --- */

static unsigned found_stale(enum dtlb_policy policy, bool guest_sends, unsigned kind)
{
    unsigned classes = 0;

    in_use(&(struct world_cfg){ .wait_us = 100, .dtlb = policy });
    /* in_use() attached without device-TLB flushes of its own; there was nothing to be stale yet */
    map_and_flush(0, 0x3000, GUEST_DATA);
    guest_map(0, 0x3000, GUEST_DATA + 0x1000, P_RW);
    if (kind == 4) {
        guest_detach(SID_ATS);
        q_context(0, 3, 5, SID_ATS, 0);
        q_iotlb(0, 2, 5, 0, 0);
    } else {
        one_flush(kind);
    }
    if (guest_sends)
        own_dtlb();
    assert_true(q_sync(0));
    for (unsigned f = 0; f < 3; f++)
        classes |= stale(f, 0x3000);
    world_settle();
    assert_true(world_ok());
    return classes;
}

static void dtlb_guest_is_unsafe_and_seen_to_be(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 4; kind++) {
        assert_int_equal(found_stale(DTLB_GUEST, false, kind), 1 << MODEL_C_DTLB);
        assert_int_equal(found_stale(DTLB_GUEST, true, kind), 0);
        assert_int_equal(found_stale(DTLB_ALWAYS, false, kind), 0);
        assert_int_equal(found_stale(DTLB_CM, false, kind), 0); /* CM=1 is announced in legacy mode */
    }
    /* A stale device TLB is not merely reported: it is used. */
    in_use(&(struct world_cfg){ .wait_us = 100, .dtlb = DTLB_GUEST, .keep[MODEL_C_DTLB] = MODEL_KEEP_ALL });
    map_and_flush(0, 0x3000, GUEST_DATA);
    guest_unmap(0, 0x3000);
    q_iotlb(0, 3, 5, 0x3000, 0);
    assert_true(q_sync(0));
    assert_int_equal(dma_lands(ATS, 0x3000, true), GUEST_DATA);
    assert_int_equal(dma_lands(PLAIN, 0x3000, true), ~0ull);
}

/* --- the gate: lines 15 and 32 --- */

static void gate_is(unsigned f, bool open)
{
    struct model_req r = {
        .sid = W.cfg.fn[f].sid, .at = MODEL_TRANSLATION_REQUEST, .addr = 0x3000, .len = 8
    };

    assert_int_equal(model_dma(W.unit[0], &r, NULL).status, open ? MODEL_OK : MODEL_BLOCKED);
}

static void hostile_15_ats_comes_and_goes(void **state)
{
    (void)state;
    for (unsigned pace = 0; pace <= MODEL_PACE_MANUAL; pace++) {
        start(&(struct world_cfg){ .ats = ATS_ALL, .pace = (u8)pace });
        guest_start();
        guest_domain_init(0, 5, 4);
        for (unsigned f = 0; f < 3; f++) {
            guest_attach(W.cfg.fn[f].sid, 0, f ? TT_ATS_ON : TT_SS);
            q_context(0, 3, 5, W.cfg.fn[f].sid, 0);
        }
        q_iotlb(0, 2, 5, 0, 0);
        assert_true(q_sync(0));
        map_and_flush(0, 0x3000, GUEST_DATA);
        for (unsigned round = 0; round < 3; round++) {
            /* behind our back: nothing */
            model_fn_set_ats(W.fn[ATS], true);
            gate_is(ATS, false);
            model_fn_set_ats(W.fn[ATS], false);
            /* after the tables were built */
            world_ats(ATS, true);
            gate_is(ATS, true);
            gate_is(ATS2, false);
            model_fill_all(W.unit[0]);
            only_outcome(ATS, 0x3000, GUEST_DATA + round * 0x2000);
            guest_map(0, 0x3000, GUEST_DATA + round * 0x2000 + 0x1000, P_RW);
            q_iotlb(0, 3, 5, 0x3000, 0);
            assert_true(q_sync(0));
            only_outcome(ATS, 0x3000, GUEST_DATA + round * 0x2000 + 0x1000);
            model_fill_all(W.unit[0]);
            world_ats(ATS, false);
            gate_is(ATS, false);
            /* while it was off, things changed; on again: nothing old is left */
            guest_map(0, 0x3000, GUEST_DATA + round * 0x2000 + 0x2000, P_RW);
            q_iotlb(0, 3, 5, 0x3000, 0);
            assert_true(q_sync(0));
            world_ats(ATS, true);
            only_outcome(ATS, 0x3000, GUEST_DATA + round * 0x2000 + 0x2000);
            world_ats(ATS, false);
        }
        finish();
    }
}

static void hostile_15_reset_and_removal(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    map_and_flush(0, 0x3000, GUEST_DATA);
    model_fn_reset(W.fn[ATS]);
    iommu_function_gone(0, SID_ATS);
    gate_is(ATS, false);
    host_clear();
    guest_unmap(0, 0x3000);
    q_iotlb(0, 3, 5, 0x3000, 0);
    assert_true(q_sync(0));
    assert_int_equal(host_dtlb(SID_ATS), 0);
    model_fn_set_bus_master(W.fn[ATS], true);
    only_outcome(ATS, 0x3000, ~0ull);
    world_ats(ATS, true);
    gate_is(ATS, true);
    map_and_flush(0, 0x3000, GUEST_DATA);
    only_outcome(ATS, 0x3000, GUEST_DATA);
    iommu_function_gone(0, 0x7777); /* nobody */
    iommu_ats_change(3, SID_ATS, true, 0, 0, false);
    finish();
}

static void hostile_32_who_is_trusted(void **state)
{
    (void)state;
    for (enum ats_policy policy = ATS_OFF; policy <= ATS_ALL; policy++) {
        start(&(struct world_cfg){ .ats = policy, .wait_us = 100 });
        guest_start();
        guest_domain_init(0, 5, 4);
        guest_map(0, 0x3000, GUEST_DATA, P_RW);
        for (unsigned f = 0; f < 3; f++) {
            if (W.cfg.fn[f].ats)
                world_ats(f, true);
            guest_attach(W.cfg.fn[f].sid, 0, f && policy != ATS_OFF ? TT_ATS_ON : TT_SS);
            q_context(0, 3, 5, W.cfg.fn[f].sid, 0);
        }
        q_iotlb(0, 2, 5, 0, 0);
        assert_true(q_sync(0));
        gate_is(PLAIN, false);
        gate_is(ATS, policy != ATS_OFF); /* below the port that the ATSR names */
        gate_is(ATS2, policy == ATS_ALL);
        /* forged translated requests to us */
        for (unsigned f = 0; f < 3; f++) {
            struct model_req r = {
                .sid = W.cfg.fn[f].sid, .at = MODEL_TRANSLATED, .addr = GUEST_DATA, .len = 8
            };
            u64 buf = 0;
            bool through = model_dma(W.unit[0], &r, &buf).status == MODEL_OK;

            assert_int_equal(through, f == ATS ? policy != ATS_OFF : f == ATS2 && policy == ATS_ALL);
        }
        finish();
    }
}

static void virtual_functions_name_their_physical_one(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .ecap = ECAP_DEFAULT | E_DIT });
    map_and_flush(0, 0x3000, GUEST_DATA);
    guest_unmap(0, 0x3000);
    q_iotlb(0, 3, 5, 0x3000, 0);
    q_dtlb(0, SID_ATS, 0x9000, false);
    assert_true(q_sync(0));
    finish(); /* the model checks PFSID and MIP */
}

/* --- 29 to 31: errors --- */

static void others_go_on(unsigned f, u64 iova)
{
    static unsigned n;
    u64 pa = GUEST_DATA + 0x20000 + (n++ % 16 << 12);

    guest_map(0, iova, pa, P_RW);
    q_iotlb(0, 3, 5, iova, 0);
    assert_true(q_sync(0));
    model_fill_all(W.unit[0]);
    only_outcome(f, iova, pa);
    guest_unmap(0, iova);
    q_iotlb(0, 3, 5, iova, 0);
    assert_true(q_sync(0));
    only_outcome(f, iova, ~0ull);
}

static void silent(u8 pace, u32 wait_us, bool no_sid, enum model_answer answer, unsigned fillers)
{
    struct world_cfg cfg = {
        .pace = pace, .wait_us = wait_us, .ite_steps = 40, .ite_no_sid = no_sid, .nr_fns = 4
    };
    u32 a, b;

    cfg.fn[0] = (struct world_fn_cfg){ SID_PLAIN, 0, false, 0 };
    cfg.fn[1] = (struct world_fn_cfg){ SID_ATS, 0, true, 0 };
    cfg.fn[2] = (struct world_fn_cfg){ SID_ATS2, 0, true, 0 };
    cfg.fn[3] = (struct world_fn_cfg){ 0x0300, 0, true, 0 };
    cfg.seed = fillers;
    in_use(&cfg);
    map_and_flush(0, 0x3000, GUEST_DATA);
    for (unsigned i = 0; i < fillers; i++)
        q_iotlb(0, 3, 5, 0x8000 + (i << 13), 0);
    if (fillers)
        assert_true(q_sync(0));
    model_fn_set_answer(W.fn[ATS2], answer, 30);
    guest_unmap(0, 0x3000);
    q_iotlb(0, 3, 5, 0x3000, 0);
    a = q_wait(0);
    q_ring(0);
    q_iotlb(0, 2, 5, 0, 0);
    b = q_wait(0);
    q_ring(0);
    for (unsigned n = 0; n < 5000 && !q_done(b); n++)
        world_run(1); /* and the guest looks at nothing but its memory */
    assert_true(q_done(a));
    assert_true(q_done(b));
    for (unsigned f = 0; f < 4; f++)
        only_outcome(f, 0x3000, ~0ull);
    gate_is(ATS, true);
    gate_is(ATS2, false); /* quarantined */
    gate_is(3, true);
    others_go_on(PLAIN, 0x6000);
    others_go_on(ATS, 0x6000);
    others_go_on(3, 0x6000);
    /* what comes late satisfies nobody and leaves no error standing */
    world_run(200);
    others_go_on(ATS, 0x7000);
    assert_int_equal(model_reg_read(W.unit[0], R_FSTS, 4) & (FS_ICE | FS_ITE | FS_IQE), 0);
    /* nothing is sent to it any more */
    host_clear();
    q_dtlb(0, SID_ATS2, DTLB_EVERYTHING);
    q_iotlb(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
    assert_int_equal(host_dtlb(SID_ATS2), 0);
    assert_int_equal(host_dtlb(SID_ATS), 1);
    /* the quarantined device reaches nothing, whatever the guest writes into its entry */
    guest_attach(SID_ATS2, 0, TT_ATS_ON);
    guest_map(0, 0x3000, GUEST_DATA, P_RW);
    q_context(0, 1, 0, 0, 0);
    q_iotlb(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
    only_outcome(ATS2, 0x3000, ~0ull);
    only_outcome(ATS, 0x3000, GUEST_DATA);
    finish();
}

static void hostile_29_device_never_answers(void **state)
{
    (void)state;
    for (unsigned pace = 0; pace <= MODEL_PACE_MANUAL; pace++)
        for (unsigned wait = 0; wait < 3; wait++) {
            silent((u8)pace, wait * 30, false, MODEL_ANSWER_NEVER, 0);
            silent((u8)pace, wait * 30, false, MODEL_ANSWER_LOST, 1);
        }
    /* the wait in every place of our ring, around its end too */
    for (unsigned fillers = 0; fillers < 40; fillers++)
        silent(MODEL_PACE_DELAYED, 0, false, MODEL_ANSWER_NEVER, fillers);
}

static void hostile_29_the_unit_does_not_say_who(void **state)
{
    (void)state;
    for (unsigned pace = 0; pace <= MODEL_PACE_MANUAL; pace++)
        for (unsigned wait = 0; wait < 3; wait++)
            silent((u8)pace, wait * 30, true, MODEL_ANSWER_NEVER, wait);
}

static void hostile_30_late_completions(void **state)
{
    (void)state;
    for (unsigned pace = 0; pace <= MODEL_PACE_MANUAL; pace++)
        for (unsigned wait = 0; wait < 3; wait++)
            silent((u8)pace, wait * 30, wait & 1, MODEL_ANSWER_LATE, wait);
}

static void hostile_29_several_devices_at_once(void **state)
{
    (void)state;
    for (unsigned no_sid = 0; no_sid < 2; no_sid++)
        for (unsigned seed = 0; seed < 10; seed++) {
            in_use(&(struct world_cfg){
                .pace = MODEL_PACE_DELAYED, .ite_steps = 30, .seed = seed, .ite_no_sid = no_sid });
            map_and_flush(0, 0x3000, GUEST_DATA);
            model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_NEVER, 0);
            model_fn_set_answer(W.fn[ATS2], MODEL_ANSWER_LATE, seed * 5);
            guest_unmap(0, 0x3000);
            q_iotlb(0, 2, 5, 0, 0);
            assert_true(q_sync(0));
            gate_is(ATS, false);
            gate_is(ATS2, false);
            others_go_on(PLAIN, 0x3000);
            finish();
        }
}

/* A device that did not answer is reset and comes back. */
static void hostile_29_back_after_a_reset(void **state)
{
    (void)state;
    for (unsigned told = 0; told < 2; told++) { /* else the guest switches ATS on again, and that says it */
        in_use(&(struct world_cfg){ .wait_us = 100, .ite_steps = 30 });
        map_and_flush(0, 0x3000, GUEST_DATA);
        model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_NEVER, 0);
        q_iotlb(0, 2, 5, 0, 0);
        assert_true(q_sync(0));
        gate_is(ATS, false);
        model_fn_reset(W.fn[ATS]);
        if (told)
            iommu_function_gone(0, SID_ATS);
        model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_OK, 0);
        model_fn_set_bus_master(W.fn[ATS], true);
        only_outcome(ATS, 0x3000, told ? GUEST_DATA : ~0ull); /* untranslated again */
        world_ats(ATS, true);
        gate_is(ATS, true);
        others_go_on(ATS, 0x4000);
        finish();
    }
}

/* ATS is switched off on a device that never answers: the call returns, the gate is shut. */
static void hostile_29_ats_off_on_a_dead_device(void **state)
{
    (void)state;
    for (unsigned no_sid = 0; no_sid < 2; no_sid++) {
        in_use(&(struct world_cfg){ .wait_us = 100, .ite_steps = 30, .ite_no_sid = no_sid });
        map_and_flush(0, 0x3000, GUEST_DATA);
        model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_NEVER, 0);
        world_ats(ATS, false);
        gate_is(ATS, false);
        others_go_on(ATS2, 0x4000);
        others_go_on(PLAIN, 0x4000);
        finish();
    }
}

static void hostile_31_bogus_completions(void **state)
{
    (void)state;
    for (unsigned pace = 0; pace <= MODEL_PACE_MANUAL; pace++)
        for (unsigned wait = 0; wait < 2; wait++) {
            in_use(&(struct world_cfg){ .pace = (u8)pace, .wait_us = wait * 50 });
            model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_BOGUS, 0);
            for (unsigned i = 0; i < 20; i++) {
                others_go_on(ATS, 0x3000);
                others_go_on(ATS2, 0x4000);
                world_settle();
                assert_int_equal(model_reg_read(W.unit[0], R_FSTS, 4), 0);
            }
            finish();
        }
}

/* A function is pulled while its flush is under way, whether or not somebody tells: the flush ends, nothing
 * is asked of it again, the others go on, and it may come back. */
static void hostile_31_gone_in_mid_flush(void **state)
{
    (void)state;
    for (unsigned told = 0; told < 2; told++)
        for (unsigned ite_steps = 0; ite_steps <= 60; ite_steps += 60) {
            u32 cookie;

            in_use(&(struct world_cfg){ .pace = MODEL_PACE_MANUAL, .ite_steps = (u16)ite_steps });
            map_and_flush(0, 0x3000, GUEST_DATA);
            guest_unmap(0, 0x3000);
            q_iotlb(0, 2, 5, 0, 0);
            cookie = q_wait(0);
            q_ring(0);
            model_fn_set_present(W.fn[ATS], false);
            if (told) {
                iommu_function_gone(0, SID_ATS);
                assert_true(q_done(cookie));
            }
            for (unsigned n = 0; n < 1000 && !q_done(cookie); n++) {
                world_run(10);
                W.now_us += 10000;
                if (iommu_busy())
                    (void)iommu_event();
            }
            assert_true(q_done(cookie));
            model_clear_violations(W.unit[0]); /* it was asked once, when it had gone already */
            host_clear();
            others_go_on(ATS2, 0x4000);
            others_go_on(PLAIN, 0x4000);
            assert_int_equal(host_dtlb(SID_ATS), 0);
            model_fn_set_present(W.fn[ATS], true);
            iommu_function_gone(0, SID_ATS);
            model_fn_set_bus_master(W.fn[ATS], true);
            world_ats(ATS, true);
            gate_is(ATS, true);
            others_go_on(ATS, 0x4000);
            finish();
        }
}

/* The unit refuses one of our descriptors (a bit flips on its way): isolated, reported, nothing stale. */
static u64 *victim;
static void corrupt(const struct model_event *e)
{
    /* the tail moves: break the first descriptor of the batch */
    if (e->type == MODEL_EV_REG_WRITE && e->a == R_IQT && victim) {
        *victim |= 1ull << 8;
        victim = NULL;
    }
}

static void hostile_31_the_unit_refuses_our_descriptor(void **state)
{
    (void)state;
    for (unsigned pace = 0; pace <= MODEL_PACE_MANUAL; pace++)
        for (unsigned which = 0; which < 4; which++) {
            in_use(&(struct world_cfg){ .pace = (u8)pace, .seed = which });
            map_and_flush(0, 0x3000, GUEST_DATA);
            world_settle();
            guest_unmap(0, 0x3000);
            W.on_trace = corrupt;
            victim = (u64 *)world_mem((model_reg_read(W.unit[0], R_IQA, 8) & ~0xfffull) +
                                      (model_reg_read(W.unit[0], R_IQT, 8) + which * 16) % 0x8000);
            W.warnings = 0;
            q_iotlb(0, 3, 5, 0x3000, 0);
            assert_true(q_sync(0));
            assert_null(victim);
            assert_int_equal(W.warnings, 1);
            for (unsigned f = 0; f < 3; f++)
                only_outcome(f, 0x3000, ~0ull);
            others_go_on(ATS, 0x3000);
            model_clear_violations(W.unit[0]);
            finish();
        }
}

/* However many have been refused: each batch begins with all its repairs. */
static void refused_again_and_again(void **state)
{
    u64 start;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    W.on_trace = corrupt;
    start = W.now_us;
    for (unsigned i = 0; i < 600; i++) {
        victim = (u64 *)world_mem((model_reg_read(W.unit[0], R_IQA, 8) & ~0xfffull) +
                                  model_reg_read(W.unit[0], R_IQT, 8) % 0x10000);
        q_iotlb(0, 3, 5, 0x3000, 0);
        assert_true(q_sync(0));
        assert_null(victim);
    }
    assert_true(W.now_us - start < 1000000); /* none had to wait for its deadline */
    model_clear_violations(W.unit[0]);
    finish();
}

/* A unit whose silent device is never reported: bounded, said, and the other unit goes on. */
static void a_unit_that_never_reports(void **state)
{
    u32 cookie;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 50, .units = 2 });
    for (unsigned u = 0; u < 2; u++) {
        q_iotlb(u, 2, 5, 0, 0);
        assert_true(q_sync(u));
    }
    map_and_flush(0, 0x3000, GUEST_DATA);
    model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_NEVER, 0);
    guest_unmap(0, 0x3000);
    q_iotlb(0, 3, 5, 0x3000, 0);
    cookie = q_wait(0);
    q_ring(0);
    world_run(1000);
    assert_false(q_done(cookie)); /* it is not true, so it is not said */
    W.warnings = 0;
    guest_w32(0, R_GCMD, 0); /* something that must wait for the queue */
    assert_true(W.warnings >= 1);
    q_iotlb(1, 3, 5, 0x3000, 0);
    assert_true(q_sync(1));
    only_outcome(ATS2, 0x3000, ~0ull);
    assert_true(world_ok());
}

/* Devices whose first answer comes too early (Intel QAT) are asked twice, their VFs too, and nobody else. */
static void some_are_asked_twice(void **state)
{
    static const u32 twice[] = { 0x49408086, 0x49438086 }, once[] = { 0x49448086, 0x49401234, 0 };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(twice) + ARRAY_SIZE(once); i++) {
        bool quirk = i < ARRAY_SIZE(twice);
        u32 id = quirk ? twice[i] : once[i - ARRAY_SIZE(twice)];
        struct world_cfg cfg = { .wait_us = 100, .ite_steps = 30, .nr_fns = 3 };

        cfg.fn[PLAIN] = (struct world_fn_cfg){ .sid = SID_PLAIN };
        cfg.fn[ATS] = (struct world_fn_cfg){ .sid = SID_ATS, .ats = true };
        cfg.fn[ATS2] = (struct world_fn_cfg){ .sid = SID_ATS2, .ats = true };
        cfg.id[PLAIN] = id;
        cfg.id[ATS2] = 0x10418086;
        cfg.pf[ATS] = SID_PLAIN; /* a VF */
        in_use(&cfg);
        map_and_flush(0, 0x3000, GUEST_DATA);
        for (unsigned kind = 0; kind < 4; kind++) {
            host_clear();
            one_flush(kind);
            q_dtlb(0, SID_ATS, 0x7000, false); /* and what the guest asks for itself */
            assert_true(q_sync(0));
            assert_int_equal(host_dtlb(SID_ATS), (quirk ? 2 : 1) * (kind ? 1 : 2));
            assert_int_equal(host_dtlb(SID_ATS2), 1);
        }
        host_clear();
        q_iotlb(0, 3, 5, 0x3000, 0); /* and the batch that nearly every one is */
        assert_true(q_sync(0));
        assert_int_equal(host_dtlb(SID_ATS), quirk ? 2 : 1);
        assert_int_equal(host_dtlb(SID_ATS2), 1);
        /* The repair after another's error asks as it should, too. */
        model_fn_set_answer(W.fn[ATS2], MODEL_ANSWER_NEVER, 0);
        host_clear();
        one_flush(1);
        assert_true(q_sync(0));
        world_settle();
        assert_true(host_dtlb(SID_ATS) > 1);
        assert_true(!quirk || host_dtlb(SID_ATS) % 2 == 0);
        finish();
    }
}

/* While a function's ATS is about to be switched on it answers nothing, and is asked nothing: not even when
 * another one does not answer and all are asked again. */
static void nobody_asks_who_is_silent(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .ite_steps = 30 });
    world_ats(ATS2, false);
    model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_NEVER, 0);
    host_clear();
    iommu_ats_change(0, SID_ATS2, true, 0, SID_ATS2, false);
    assert_int_equal(host_dtlb(SID_ATS2), 0);
    assert_true(host_dtlb(SID_ATS) > 0);
    assert_true(iommu_stopped(0, SID_ATS));
    finish();
}

/* A VF is trusted because its physical function is listed. */
static void trusted_by_its_physical_function(void **state)
{
    (void)state;
    for (unsigned listed = 0; listed < 2; listed++) {
        start(&(struct world_cfg){ .wait_us = 100, .ats = ATS_LISTED });
        iommu_ats_change(0, 0x0310, true, 0, listed ? SID_ATS : 0x0308, false);
        assert_int_equal(!!strstr(W.last_log, "is trusted"), listed);
        finish();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_asks_who_is_silent),
        cmocka_unit_test(trusted_by_its_physical_function),
        cmocka_unit_test(some_are_asked_twice),
        cmocka_unit_test(hostile_14_driver_believes_caching_mode),
        cmocka_unit_test(hostile_14_flushed_together_in_either_order),
        cmocka_unit_test(hostile_14_flushed_in_different_submissions),
        cmocka_unit_test(hostile_14_context_flushes),
        cmocka_unit_test(more_than_the_ring_holds),
        cmocka_unit_test(the_guests_own_descriptors),
        cmocka_unit_test(dtlb_guest_is_unsafe_and_seen_to_be),
        cmocka_unit_test(hostile_15_ats_comes_and_goes),
        cmocka_unit_test(hostile_15_reset_and_removal),
        cmocka_unit_test(hostile_32_who_is_trusted),
        cmocka_unit_test(virtual_functions_name_their_physical_one),
        cmocka_unit_test(hostile_29_device_never_answers),
        cmocka_unit_test(hostile_29_the_unit_does_not_say_who),
        cmocka_unit_test(hostile_30_late_completions),
        cmocka_unit_test(hostile_29_several_devices_at_once),
        cmocka_unit_test(hostile_29_back_after_a_reset),
        cmocka_unit_test(hostile_29_ats_off_on_a_dead_device),
        cmocka_unit_test(hostile_31_bogus_completions),
        cmocka_unit_test(hostile_31_gone_in_mid_flush),
        cmocka_unit_test(hostile_31_the_unit_refuses_our_descriptor),
        cmocka_unit_test(refused_again_and_again),
        cmocka_unit_test(a_unit_that_never_reports),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
