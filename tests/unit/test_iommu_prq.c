/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * Page requests: they reach the guest's queue, its responses reach who has asked, and nobody else's do.
 */
#include "iommu/parts.h"
#include "tests/unit/world_test.h"

#define ECAP_SM (ECAP_DEFAULT | E_SMTS | E_SSTS | E_SMPWC)
#define PQ      GUEST_PQ

static u64 context_at(unsigned f)
{
    return GUEST_CTX + (W.cfg.fn[f].sid >> 8) * 0x1000 + (W.cfg.fn[f].sid & 0x7f) * 32;
}

static void flush_all(void)
{
    q_context(0, 1, 0, 0, 0);
    q_pasid(0, 3, 0, 0);
    q_iotlb(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
}

static void with_pages_and_wait(u64 ecap, u8 pace, u32 wait_us)
{
    start(&(struct world_cfg){ .ecap = ecap,
                               .scalable = true,
                               .ats = ATS_ALL,
                               .wait_us = wait_us,
                               .quiet = true,
                               .pace = pace,
                               .ite_steps = 40 });
    guest_start();
    guest_domain_init(0, 5, 4);
    for (unsigned f = 0; f < W.nr_fns; f++) {
        guest_pasid_entry(f, 0, 0, 0);
        if (W.cfg.fn[f].ats)
            world_ats(f, true);
        guest_sm_context(f, 0, W.cfg.fn[f].ats ? CTX_ATS : 0);
        if (W.cfg.fn[f].ats && ecap & E_PRS)
            poke64(context_at(f), peek64(context_at(f)) | CTX_PAGES);
    }
    flush_all();
    memset(world_mem(PQ), 0xee, 4096);
    guest_page_queue(0);
    model_clear_violations(W.unit[0]);
    host_clear();
}

static void with_pages(u64 ecap, u8 pace)
{
    with_pages_and_wait(ecap, pace, 50);
}

static bool ask(unsigned f, u16 group, u64 addr, bool last)
{
    return model_fn_page_request(W.fn[f], &(struct model_page_request){ .pasid = MODEL_NO_PASID,
                                                                        .addr = addr,
                                                                        .group = group,
                                                                        .read = true,
                                                                        .write = group & 1,
                                                                        .last = last });
}

static void respond(u16 sid, u16 group, unsigned code)
{
    q_push(0, 9 | code << 12 | (u64)sid << 16, (u64)group << 3);
}

static unsigned responses(unsigned f, struct model_page_response *last)
{
    return model_fn_responses(W.fn[f], last);
}

/* A group of one request goes out; the tail that the guest sees then. */
static void asks(unsigned f, u16 group, u64 addr, u32 tail)
{
    assert_true(ask(f, group, addr, true));
    world_deliver();
    assert_int_equal(guest_r32(0, R_PQT), tail);
}

/* The guest answers; how many answers the function has had then. */
static void hears(unsigned f, u16 group, unsigned code, unsigned count)
{
    respond(W.cfg.fn[f].sid, group, code);
    assert_true(q_sync(0));
    assert_int_equal(responses(f, NULL), count);
}

/* All of it, one request after the other, round the guest's queue. */
static void requests_and_responses(void **state)
{
    struct model_page_response last;

    (void)state;
    for (unsigned pace = 0; pace <= MODEL_PACE_MANUAL; pace++) {
        with_pages(ECAP_SM | E_PRS | E_PDS, (u8)pace);
        assert_int_equal(guest_read(0, R_ECAP, 8) & (E_PRS | E_PDS), E_PRS | E_PDS);
        for (unsigned i = 0; i < 300; i++) {
            unsigned f = i & 1 ? ATS2 : ATS;
            u32 at = i * 32 % 4096;

            W.irqs = 0;
            assert_true(ask(f, (u16)(i % 512), 0x3000 + (i << 12), true));
            world_deliver();
            assert_int_equal(W.irqs, 1);
            assert_int_equal(W.irq[0].data, 0x45);
            assert_int_equal(guest_r32(0, R_PRS), PRS_PENDING);
            assert_int_equal(guest_r32(0, R_PQT), (at + 32) % 4096);
            assert_int_equal(peek64(PQ + at), 1 | (u64)W.cfg.fn[f].sid << 16);
            assert_int_equal(peek64(PQ + at + 8),
                             (0x3000 + (i << 12)) | (i % 512) << 3 | 4 | (i & 1) << 1 | 1);
            assert_int_equal(peek64(PQ + at + 16) | peek64(PQ + at + 24), 0);
            guest_w32(0, R_PRS, PRS_PENDING);
            guest_w64(0, R_PQH, (at + 32) % 4096);
            respond(W.cfg.fn[f].sid, (u16)(i % 512), i % 3 == 0 ? 0 : i % 3 == 1 ? 1 : 15);
            assert_true(q_sync(0));
            assert_int_equal(responses(f, &last), i / 2 + 1);
            assert_int_equal(last.group, i % 512);
            assert_int_equal(last.code, i % 3 == 0 ? 0 : i % 3 == 1 ? 1 : 15);
            assert_int_equal(last.pasid, MODEL_NO_PASID);
        }
        announced(0, R_ECAP, E_PRS);
        finish();
    }
}

/* Line 17: who has not asked, or has been answered, gets nothing. */
static void hostile_17_responses_are_matched(void **state)
{
    (void)state;
    with_pages(ECAP_SM | E_PRS | E_PDS, MODEL_PACE_AT_ONCE);
    assert_true(ask(ATS, 7, 0x3000, true));
    world_deliver();
    host_clear();
    respond(SID_ATS, 8, 0);                                /* no such group */
    respond(SID_ATS2, 7, 0);                               /* somebody else's */
    respond(SID_PLAIN, 7, 0);                              /* who cannot even ask */
    respond(0x7777, 7, 0);                                 /* nobody */
    q_push(0, 9 | 1 << 4 | (u64)SID_ATS << 16, 7ull << 3); /* with a PASID */
    assert_true(q_sync(0));
    assert_int_equal(iqe(0), 0);
    assert_int_equal(host_count(9), 0);
    respond(SID_ATS, 7, 5); /* a reserved code says that it failed */
    respond(SID_ATS, 7, 0); /* and it is over */
    assert_true(q_sync(0));
    assert_int_equal(host_count(9), 1);
    struct model_page_response last;
    assert_int_equal(responses(ATS, &last), 1);
    assert_int_equal(last.code, 15);
    hears(ATS, 7, 0, 1);
    assert_int_equal(responses(ATS2, NULL), 0);
    /* a group that is not complete yet waits for nothing */
    assert_true(ask(ATS, 9, 0x3000, false));
    world_deliver();
    hears(ATS, 9, 0, 1);
    finish();
}

/* A request with a PASID is another one than that without, or with another. */
static void requests_with_a_pasid(void **state)
{
    struct model_page_response last;
    struct model_page_request r = { .pasid = 1, .addr = 0x3000, .group = 9, .read = true, .last = true };

    (void)state;
    with_pages(ECAP_SM | E_FSTS | E_NEST | E_PASID | E_PSS | E_PRS | E_PDS, MODEL_PACE_AT_ONCE);
    assert_true(guest_read(0, R_ECAP, 8) & E_PASID);
    assert_true(model_fn_page_request(W.fn[ATS], &r));
    assert_true(ask(ATS, 9, 0x4000, true));
    r.pasid = 65;
    assert_true(model_fn_page_request(W.fn[ATS], &r));
    world_deliver();
    assert_int_equal(guest_r32(0, R_PQT), 3 * 32);
    assert_int_equal(peek64(PQ), 1 | 1 << 8 | (u64)SID_ATS << 16 | 1ull << 32);
    assert_int_equal(peek64(PQ + 64), 1 | 1 << 8 | (u64)SID_ATS << 16 | 65ull << 32);
    q_push(0, 9 | 1 << 4 | (u64)SID_ATS << 16 | 2ull << 32, 9 << 3); /* nobody's */
    assert_true(q_sync(0));
    assert_int_equal(responses(ATS, NULL), 0);
    q_push(0, 9 | 1 << 4 | (u64)SID_ATS << 16 | 65ull << 32, 9 << 3);
    assert_true(q_sync(0));
    assert_int_equal(responses(ATS, &last), 1);
    assert_int_equal(last.pasid, 65);
    respond(SID_ATS, 9, 0);
    assert_true(q_sync(0));
    assert_int_equal(responses(ATS, &last), 2);
    assert_int_equal(last.pasid, MODEL_NO_PASID);
    q_push(0, 9 | 1 << 4 | (u64)SID_ATS << 16 | 1ull << 32, 9 << 3);
    assert_true(q_sync(0));
    assert_int_equal(responses(ATS, &last), 3);
    assert_int_equal(last.pasid, 1);
    finish();
}

static void bad_responses(void **state)
{
    (void)state;
    for (unsigned prs = 0; prs < 2; prs++)
        for (unsigned bit = 0; bit < 128; bit++) {
            /* PP, RC, RID, PASID; PRGI */
            bool known = bit < 64 ? bit == 4 || (bit >= 12 && bit <= 51) : bit >= 67 && bit <= 75;

            if (bit < 4 || (bit >= 9 && bit <= 11))
                continue; /* the type */
            with_pages(ECAP_SM | (prs ? E_PRS : 0), MODEL_PACE_AT_ONCE);
            q_push(0, 9 | (bit < 64 ? 1ull << bit : 0), bit < 64 ? 0 : 1ull << (bit - 64));
            q_ring(0);
            world_settle();
            assert_int_equal(iqe(0), !prs ? 3 : known ? 0 : 4);
            if (!prs) {
                /* nor is there anything else of it */
                assert_int_equal(guest_read(0, R_ECAP, 8) & (E_PRS | E_PDS), 0);
                guest_w64(0, R_PQA, PQ);
                guest_w32(0, R_PECTL, 1u << 31);
                assert_int_equal(guest_read(0, R_PQA, 8) | guest_r32(0, R_PECTL) | guest_r32(0, R_PRS), 0);
                break;
            }
        }
    /* PD without PDS */
    for (unsigned pds = 0; pds < 2; pds++) {
        with_pages(ECAP_SM | E_PRS | (pds ? E_PDS : 0), MODEL_PACE_AT_ONCE);
        q_wait_flags(0, WAIT_SW | WAIT_PD, 1, GUEST_STATUS);
        q_ring(0);
        world_settle();
        assert_int_equal(iqe(0), pds ? 0 : 4);
    }
}

/* The guest's queue is full, or nowhere: the overflow is its own, and the device is told to try again. */
static void the_guests_queue_overflows(void **state)
{
    struct model_page_response last;
    u32 tail;

    (void)state;
    with_pages(ECAP_SM | E_PRS | E_PDS, MODEL_PACE_AT_ONCE);
    for (unsigned i = 0; i < 127; i++) {
        assert_true(ask(ATS, (u16)i, 0x3000, i == 0));
        world_deliver();
    }
    assert_int_equal(guest_r32(0, R_PRS), PRS_PENDING);
    tail = guest_r32(0, R_PQT);
    assert_int_equal(tail, 127 * 32);
    assert_true(ask(ATS, 200, 0x3000, true));
    assert_true(ask(ATS, 201, 0x3000, false));
    world_deliver();
    world_settle();
    assert_int_equal(guest_r32(0, R_PRS), PRS_PENDING | PRS_OVERFLOW);
    assert_int_equal(guest_r32(0, R_PQT), tail);
    assert_int_equal(responses(ATS, &last), 1);
    assert_int_equal(last.group, 200);
    assert_int_equal(last.code, 0);
    /* while the overflow stands nothing is taken, though there is room */
    guest_w64(0, R_PQH, tail);
    ask(ATS, 202, 0x3000, true);
    world_deliver();
    assert_int_equal(guest_r32(0, R_PQT), tail);
    assert_int_equal(responses(ATS, NULL), 2);
    guest_w32(0, R_PRS, PRS_PENDING | PRS_OVERFLOW);
    ask(ATS, 203, 0x3000, true);
    world_deliver();
    assert_int_equal(guest_r32(0, R_PQT), 0);
    assert_int_equal(guest_r32(0, R_PRS), PRS_PENDING);
    static const u64 nowhere[] = { REGION_BASE, UNIT_BASE, 0xfee00000, TRIP_BASE, 0x3ffffffff000ull };
    for (unsigned i = 0; i < ARRAY_SIZE(nowhere); i++) {
        with_pages(ECAP_SM | E_PRS | E_PDS, MODEL_PACE_AT_ONCE);
        guest_w64(0, R_PQA, nowhere[i]);
        ask(ATS, 1, 0x3000, true);
        world_deliver();
        world_settle();
        assert_int_equal(guest_r32(0, R_PRS), PRS_OVERFLOW);
        assert_int_equal(responses(ATS, NULL), 1);
    }
    finish();
}

/* A tail of the guest's behind its queue is no place to write to, and one of the unit's no reason to go on.
 */
static void tails_behind_the_end(void **state)
{
    (void)state;
    for (u32 tail = 0x1000; tail <= 0x2000; tail += 0x1000) {
        with_pages(ECAP_SM | E_PRS | E_PDS, MODEL_PACE_AT_ONCE);
        memset(world_mem(PQ + tail), 0xee, 32);
        guest_w64(0, R_PQT, tail);
        ask(ATS, 1, 0x3000, true);
        world_deliver();
        world_settle();
        assert_int_equal(guest_r32(0, R_PRS), PRS_OVERFLOW);
        assert_int_equal(responses(ATS, NULL), 1);
        assert_int_equal(peek64(PQ + tail), 0xeeeeeeeeeeeeeeee);
    }
    with_pages(ECAP_SM | E_PRS | E_PDS, MODEL_PACE_AT_ONCE);
    guest_w64(0, R_PQA, ~0ull);
    assert_int_equal(guest_read(0, R_PQA, 8) >> 12, ~0ull >> 12);
    guest_w64(0, R_PQA, PQ);
    ask(ATS, 1, 0x3000, true);
    model_reg_write(W.unit[0], R_PQT, 8, 0x2000);
    (void)iommu_event();
    assert_int_equal(guest_r32(0, R_PRS), PRS_PENDING);
}

/* What lies behind the last group is none, whatever it looks like. */
static void behind_the_last_group(void **state)
{
    static const struct page_group answered = { .sid = 0x77, .emitted = true, .state = GROUP_ANSWERED },
                                   open = { .sid = 0x77 };
    struct page_group *behind;
    struct unit *u;

    (void)state;
    with_pages(ECAP_SM | E_PRS | E_PDS, MODEL_PACE_AT_ONCE);
    u = units[0];
    behind = (struct page_group *)((u8 *)u + offsetof(struct unit, prq.groups) + sizeof(u->prq.groups));
    *behind = answered;
    ask(ATS, 1, 0x3000, true);
    world_deliver();
    host_clear();
    respond(SID_ATS, 1, 0);
    assert_true(q_sync(0));
    assert_int_equal(host_count(9), 1);
    env_lock(&u->lock);
    u->prq.answers = 1;
    prq_finish(u);
    assert_int_equal(u->prq.answers, 1);
    prq_forget(u, answered.sid);
    assert_int_equal(u->prq.answers, 1);
    u->prq.answers = 0;
    env_unlock(&u->lock);
    assert_memory_equal(behind, &answered, sizeof(answered));
    *behind = open;
    ask(ATS, 2, 0x3000, true);
    world_deliver();
    assert_memory_equal(behind, &open, sizeof(open));
}

/* A guest that reads and never answers: what it owes is bounded, and once it answers all is well again. */
static void more_groups_than_we_follow(void **state)
{
    unsigned given = 0;

    (void)state;
    with_pages(ECAP_SM | E_PRS | E_PDS, MODEL_PACE_AT_ONCE);
    for (unsigned i = 0; i < 400; i++) {
        ask(ATS, (u16)i, 0x3000, true);
        world_deliver();
        guest_w64(0, R_PQH, guest_r32(0, R_PQT));
        guest_w32(0, R_PRS, PRS_PENDING);
    }
    given = 128;
    respond(SID_ATS2, 5, 0); /* to nobody, when all groups are open */
    assert_int_equal(guest_r32(0, R_PQT), 0);
    assert_int_equal(guest_r32(0, R_PRS), 0);
    /* the unit's own queue is full of the next ones, and what found no room there it has answered itself */
    assert_int_equal(responses(ATS, NULL), 400 - given - 127);
    for (unsigned i = 0; i < given; i++)
        respond(SID_ATS, (u16)i, 0);
    assert_true(q_sync(0));
    world_deliver();
    assert_int_equal(guest_r32(0, R_PRS), PRS_PENDING);
    assert_int_equal(guest_r32(0, R_PQT), 127 * 32);
    assert_int_equal(peek64(PQ + 8) >> 3 & 0x1ff, 128);
    assert_int_equal(responses(ATS, NULL), 400 - 127);
    for (unsigned i = 128; i < 128 + 127; i++)
        respond(SID_ATS, (u16)i, 0);
    assert_true(q_sync(0));
    assert_int_equal(responses(ATS, NULL), 400);
    finish();
}

/* What has waited for a group to end finds no room by then: each is told to try again without another word of
 * the guest's. */
static void who_has_waited_is_told_as_well(void **state)
{
    (void)state;
    with_pages(ECAP_SM | E_PRS | E_PDS, MODEL_PACE_AT_ONCE);
    for (unsigned i = 0; i < PRQ_GROUPS + 20; i++) {
        asks(ATS, (u16)i, 0x3000, MIN(i + 1, PRQ_GROUPS) * 32 % 4096);
        guest_w64(0, R_PQH, guest_r32(0, R_PQT));
    }
    guest_w64(0, R_PQH, guest_r32(0, R_PQT) + 32);
    hears(ATS, 0, 0, 21);
    finish();
}

static unsigned asked_again, most; /* in one exit */

static void count_exit(void)
{
    most = MAX(most, asked_again);
    asked_again = 0;
}

static void ask_again(const struct model_event *e)
{
    u16 group = (u16)(e->q[1] >> 3);

    if (e->type != MODEL_EV_COMPLETE || (e->q[0] & 0xf) != 9 || group < 2 || most ||
        asked_again > 2 * PRQ_GROUPS)
        return;
    asked_again++;
    (void)ask(ATS, group, 0x3000, true);
}

/* Hostile: while all groups but one are open, a device asks again whenever it is told to. One exit tells it
 * so often and no more; the rest is left to the event of its request. */
static void a_device_that_asks_for_ever(void **state)
{
    (void)state;
    with_pages(ECAP_SM | E_PRS | E_PDS, MODEL_PACE_AT_ONCE);
    for (unsigned i = 0; i < PRQ_GROUPS + 2; i++) {
        asks(i < PRQ_GROUPS - 1 ? ATS2 : ATS, (u16)(i == PRQ_GROUPS - 1 ? 1 : i + 2), 0x3000,
             MIN(i + 1, PRQ_GROUPS) * 32 % 4096);
        guest_w64(0, R_PQH, guest_r32(0, R_PQT));
    }
    guest_w64(0, R_PQH, guest_r32(0, R_PQT) + 32);
    asked_again = most = 0;
    W.on_trace = ask_again;
    W.after_exit = count_exit;
    respond(SID_ATS, 1, 0);
    q_wait(0);
    q_ring(0);
    assert_int_equal(most, PRQ_GROUPS);
    assert_int_equal(responses(ATS, NULL), 1 + PRQ_GROUPS + 2);
    finish();
}

/* What waits for a group to end need not wait for one of a function that is gone; and its own is over. */
static void a_function_goes_and_others_go_on(void **state)
{
    (void)state;
    for (unsigned reset = 0; reset < 2; reset++) {
        with_pages(ECAP_SM | E_PRS | E_PDS, MODEL_PACE_AT_ONCE);
        for (unsigned i = 0; i < 130; i++) {
            ask(ATS, (u16)i, 0x3000, true);
            world_deliver();
            guest_w64(0, R_PQH, guest_r32(0, R_PQT));
            guest_w32(0, R_PRS, PRS_PENDING);
        }
        asks(ATS2, 4, 0x3000, 0);
        if (reset)
            world_reset(ATS);
        else
            world_ats(ATS, false);
        assert_int_equal(guest_r32(0, R_PQT), 32);
        assert_int_equal(peek64(PQ) >> 16 & 0xffff, SID_ATS2);
        hears(ATS2, 4, 0, 1);
        finish();
    }
}

/* A wait with PD: what was asked before it is in the guest's queue when its status is there. */
static void a_wait_drains(void **state)
{
    (void)state;
    for (unsigned drain = 0; drain < 2; drain++) {
        with_pages(ECAP_SM | E_PRS | E_PDS, MODEL_PACE_AT_ONCE);
        guest_w32(0, R_PECTL, 1u << 31);
        assert_true(ask(ATS, 3, 0x3000, true));
        W.event_pending = false; /* its event is on its way */
        poke64(GUEST_STATUS, 0);
        q_wait_flags(0, WAIT_SW | (drain ? WAIT_PD : 0), 9, GUEST_STATUS);
        q_ring(0);
        assert_int_equal(peek32(GUEST_STATUS), 9);
        assert_int_equal(guest_r32(0, R_PQT), drain ? 32 : 0);
        assert_int_equal(host[nr_host - 1].q0 >> 7 & 1, drain);
        /* masked: pending, and told when the mask comes off */
        W.irqs = 0;
        (void)iommu_event();
        assert_int_equal(guest_r32(0, R_PECTL), 3u << 30);
        guest_w32(0, R_PECTL, 0);
        assert_int_equal(W.irqs, 1);
        announced(0, R_ECAP, E_PDS);
        finish();
    }
}

/* PD beside each of the other flags: drained before either sign is given, also where there is none. */
static void every_wait_that_drains(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags < 8; flags++) {
        unsigned wait = (flags & 1 ? WAIT_SW : 0) | (flags & 2 ? WAIT_IF : 0) | (flags & 4 ? WAIT_FN : 0);

        with_pages(ECAP_SM | E_PRS | E_PDS, MODEL_PACE_AT_ONCE);
        model_hold_page_requests(W.unit[0], true);
        assert_true(ask(ATS, 3, 0x3000, true));
        poke64(GUEST_STATUS, 0);
        q_wait_flags(0, wait | WAIT_PD, 9, GUEST_STATUS);
        q_ring(0);
        world_settle();
        assert_int_equal(guest_r32(0, R_PQT), 32);
        assert_int_equal(peek32(GUEST_STATUS), flags & 1 ? 9 : 0);
        assert_int_equal(guest_r32(0, R_ICS), flags & 2 ? 1 : 0);
        assert_int_equal(iqe(0), 0);
        finish();
    }
}

/* Whoever is reset, switched off or quarantined waits for nothing any more. */
static void teardown(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 3; how++) {
        with_pages(ECAP_SM | E_PRS | E_PDS, MODEL_PACE_AT_ONCE);
        assert_true(ask(ATS, 3, 0x3000, true));
        assert_true(ask(ATS2, 4, 0x3000, true));
        world_deliver();
        if (how == 0) {
            model_fn_reset(W.fn[ATS]);
            iommu_function_gone(0, SID_ATS);
        } else if (how == 1) {
            world_ats(ATS, false);
        } else {
            model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_NEVER, 0);
            q_iotlb(0, 2, 5, 0, 0);
            assert_true(q_sync(0));
        }
        host_clear();
        respond(SID_ATS, 3, 0);
        respond(SID_ATS2, 4, 0);
        assert_true(q_sync(0));
        assert_int_equal(host_count(9), 1);
        assert_int_equal(responses(ATS2, NULL), 1);
        /* and its entry takes no request any more */
        assert_false(ask(ATS, 5, 0x3000, true));
        finish();
    }
}

/* PRE is the guest's to set, and the gate's to allow. */
static void who_may_ask(void **state)
{
    (void)state;
    with_pages(ECAP_SM | E_PRS | E_PDS, MODEL_PACE_AT_ONCE);
    assert_true(ask(ATS, 1, 0x3000, false));
    poke64(context_at(ATS), peek64(context_at(ATS)) & ~(u64)CTX_PAGES);
    flush_all();
    assert_false(ask(ATS, 1, 0x3000, true));
    assert_true(ask(ATS2, 1, 0x3000, true));
    poke64(context_at(PLAIN), peek64(context_at(PLAIN)) | CTX_PAGES);
    flush_all();
    guest_faults_clear(0);
    assert_false(
        ask(PLAIN, 1, 0x3000, true)); /* no ATS, so its gate is shut, which the guest need not know */
    world_deliver();
    assert_int_equal(guest_r32(0, R_FSTS) & (FS_PPF | FS_PFO), 0);
    poke64(context_at(PLAIN), peek64(context_at(PLAIN)) & ~(u64)CTX_PAGES);
    flush_all();
    assert_false(ask(PLAIN, 1, 0x3000, true));
    world_deliver();
    assert_int_equal(guest_r32(0, R_FSTS) & FS_PPF, FS_PPF);
    guest_gcmd(0, G_TE, false);
    assert_false(ask(ATS2, 2, 0x3000, true));
    finish();
}

/* A time-out in the batch that carries a response: the response is not lost. */
static void a_response_outlives_a_time_out(void **state)
{
    struct model_page_response last;

    (void)state;
    for (unsigned pace = 0; pace <= MODEL_PACE_MANUAL; pace++) {
        with_pages(ECAP_SM | E_PRS | E_PDS, (u8)pace);
        assert_true(ask(ATS2, 4, 0x3000, true));
        world_deliver();
        model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_NEVER, 0);
        q_iotlb(0, 3, 5, 0x3000, 0);
        for (unsigned i = 0; i < 60;
             i++) /* more than the unit has under way at once: it never gets to the response */
            q_dtlb(0, SID_ATS, 0x8000000000000000 + ((u64)i << 13), false);
        respond(SID_ATS2, 4, 1);
        assert_true(q_sync(0));
        assert_true(responses(ATS2, &last) >= 1);
        assert_int_equal(last.code, 1);
        finish();
    }
}

/* Nor is it with a batch that the unit refuses. */
static void a_response_outlives_an_error(void **state)
{
    (void)state;
    for (unsigned pace = MODEL_PACE_DELAYED; pace <= MODEL_PACE_MANUAL; pace++) {
        with_pages(ECAP_SM | E_PRS | E_PDS, (u8)pace);
        asks(ATS2, 4, 0x3000, 32);
        rot_queue();
        hears(ATS2, 4, 1, 1);
        assert_true(model_violation_count(W.unit[0], MODEL_V_DESCRIPTOR));
    }
}

/* A unit that obeys no more sends none, and nobody behind it waits. */
static void a_response_through_a_lost_unit(void **state)
{
    (void)state;
    with_pages(ECAP_SM | E_PRS | E_PDS, MODEL_PACE_AT_ONCE);
    asks(ATS, 4, 0x3000, 32);
    env_lock(&units[0]->lock);
    hostq_lose(units[0]);
    env_unlock(&units[0]->lock);
    hears(ATS, 4, 1, 0);
    assert_int_equal(units[0]->prq.answers, 0);
}

/* The device that is answered is the one that times out: there is nobody to answer, and nothing is left to
 * do. */
static void a_response_to_who_times_out(void **state)
{
    (void)state;
    for (unsigned pace = 0; pace <= MODEL_PACE_MANUAL; pace++) {
        with_pages(ECAP_SM | E_PRS | E_PDS, (u8)pace);
        assert_true(ask(ATS, 4, 0x3000, true));
        world_deliver();
        model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_NEVER, 0);
        q_iotlb(0, 3, 5, 0x3000, 0);
        respond(SID_ATS, 4, 0);
        assert_true(q_sync(0));
        world_settle();
        host_clear();
        q_ring(0); /* again, with nothing new */
        world_settle();
        assert_int_equal(nr_host, 0);
        finish();
    }
}

/* More at once than the unit's own queue holds; once it was read it takes what comes next. */
static void the_units_queue_overflows(void **state)
{
    (void)state;
    with_pages(ECAP_SM | E_PRS | E_PDS, MODEL_PACE_AT_ONCE);
    for (unsigned i = 0; i < 200; i++)
        ask(ATS, (u16)i, 0x3000, false);
    assert_true(model_reg_read(W.unit[0], R_PRS, 4) & PRS_OVERFLOW);
    world_deliver();
    assert_false(model_reg_read(W.unit[0], R_PRS, 4) & PRS_OVERFLOW);
    guest_w64(0, R_PQH, guest_r32(0, R_PQT));
    guest_w32(0, R_PRS, PRS_PENDING | PRS_OVERFLOW);
    assert_true(ask(ATS, 300, 0x3000, true));
    world_deliver();
    assert_int_not_equal(guest_r32(0, R_PQT), guest_read(0, R_PQH, 8));
}

/* --- takeover --- */

static unsigned cleared;

static void status_is_cleared(const struct model_event *e)
{
    if (e->type == MODEL_EV_REG_WRITE && e->a == R_PRS)
        cleared |= (unsigned)e->b;
}

/* Whatever firmware left in the registers of its queue, ours begins empty. */
static void firmwares_queue_is_over(void **state)
{
    (void)state;
    world_boot(&(struct world_cfg){ .ecap = ECAP_SM | E_PRS, .ats = ATS_ALL, .wait_us = 100 });
    model_reg_write(W.unit[0], R_PQH, 8, 64);
    model_reg_write(W.unit[0], R_PQT, 8, 96);
    cleared = 0;
    W.on_trace = status_is_cleared;
    assert_int_equal(world_protect(), 0);
    W.on_trace = NULL;
    assert_int_equal(model_reg_read(W.unit[0], R_PQH, 8), 0);
    assert_int_equal(model_reg_read(W.unit[0], R_PQT, 8), 0);
    assert_int_equal(cleared, PRS_PENDING | PRS_OVERFLOW);
}

/* --- what the unit still holds when whoever asked is torn down --- */

enum teardown {
    GONE,        /* reset, or not there any more */
    ATS_GOES,    /* ATS.E=0 */
    DIES,        /* does not answer a flush */
    PRE_OFF,     /* its context entry takes no requests */
    ENTRY_CLEAR, /* ... or is not present */
    OTHER_DIR,   /* ... or leads to another directory */
    PASID_CLEAR, /* the PASID entry is not present */
    OTHER_TABLE, /* ... or leads to another table */
    TE_OFF,
    TEARDOWNS
};

static void tear_down(enum teardown how)
{
    u64 ctx = context_at(ATS);

    switch (how) {
    case GONE:
        model_fn_reset(W.fn[ATS]);
        iommu_function_gone(0, SID_ATS);
        return;
    case ATS_GOES:
        world_ats(ATS, false);
        return;
    case DIES:
        model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_NEVER, 0);
        q_iotlb(0, 2, 5, 0, 0);
        assert_true(q_sync(0));
        return;
    case TE_OFF:
        guest_gcmd(0, G_TE, false);
        return;
    case PRE_OFF:
        poke64(ctx, peek64(ctx) & ~(u64)CTX_PAGES);
        break;
    case ENTRY_CLEAR:
        poke64(ctx, peek64(ctx) & ~1ull);
        break;
    case OTHER_DIR:
        guest_pasid_entry(ATS, 1, 0, 0);
        guest_sm_context(ATS, 1, CTX_ATS);
        poke64(ctx, peek64(ctx) | CTX_PAGES);
        break;
    case PASID_CLEAR:
        guest_pasid_entry(ATS, 0, 0, GUEST_NONE);
        break;
    default:
        guest_domain_init(1, 6, 4);
        guest_pasid_entry(ATS, 0, 0, 1);
        break;
    }
    /* as a driver does: the flushes of the change, then the wait that drains */
    q_context(0, 3, 0, SID_ATS, 0);
    q_pasid(0, 1, 5, 0);
    q_iotlb(0, 2, 5, 0, 0);
    q_dtlb(0, SID_ATS, DTLB_EVERYTHING);
    q_wait_flags(0, WAIT_SW | WAIT_PD, 9, GUEST_STATUS);
    q_ring(0);
    assert_int_equal(peek32(GUEST_STATUS), 9);
}

static void bring_back(void)
{
    model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_OK, 0);
    model_fn_reset(W.fn[ATS]);
    iommu_function_gone(0, SID_ATS);
    model_fn_set_bus_master(W.fn[ATS], true);
    world_ats(ATS, true);
    guest_domain_init(0, 5, 4);
    guest_pasid_entry(ATS, 0, 0, 0);
    guest_sm_context(ATS, 0, CTX_ATS);
    poke64(context_at(ATS), peek64(context_at(ATS)) | CTX_PAGES);
    flush_all();
    if (!(guest_r32(0, R_GSTS) & G_TE))
        guest_gcmd(0, G_TE, true);
}

/* The place of the first drain and of the last device-TLB flush in what the unit received. */
static void order_of_the_drain(void)
{
    unsigned drain = 0, flush = 0;

    for (unsigned i = 0; i < nr_host; i++) {
        if ((host[i].q0 & 0xf) == 3)
            flush = i + 1;
        if ((host[i].q0 & 0xf) == 5 && host[i].q0 >> 7 & 1)
            drain = i + 1;
    }
    assert_true(drain);
    assert_true(drain > flush);
}

/*
 * What was asked before is read before the function may ask again: by the guest, where it can still answer,
 * else by nobody. Nothing of it is taken for a request of the function's next life, and the unit has it in
 * the queue when the flushes are over, not before: a device asks on until then.
 */
static void drained_at_teardown(void **state)
{
    struct model_page_response last;

    (void)state;
    for (enum teardown how = 0; how < TEARDOWNS; how++) {
        bool heard = how != GONE && how != DIES;
        unsigned answers;

        with_pages(ECAP_SM | E_PRS | E_PDS, MODEL_PACE_AT_ONCE);
        model_hold_page_requests(W.unit[0], true);
        assert_true(ask(ATS, 7, 0x3000, true));
        assert_int_equal(guest_r32(0, R_PQT), 0);
        tear_down(how);
        order_of_the_drain();
        world_deliver();
        assert_int_equal(guest_r32(0, R_PQT), heard ? 32 : 0);
        if (how >= PRE_OFF && how < TE_OFF) { /* it has ATS still, and waits */
            respond(SID_ATS, 7, 1);
            assert_true(q_sync(0));
            assert_int_equal(responses(ATS, &last), 1);
            assert_int_equal(last.code, 1);
        }
        answers = responses(ATS, NULL);
        bring_back();
        model_hold_page_requests(W.unit[0], false);
        world_deliver();
        assert_int_equal(guest_r32(0, R_PQT), heard ? 32 : 0);
        hears(ATS, 7, 0, answers);
        asks(ATS, 7, 0x3000, heard ? 64 : 32);
        finish();
    }
}

/* Read by Sluice after the guest's entry forbade it, though it came before: the guest's all the same. */
static void asked_before_it_was_forbidden(void **state)
{
    (void)state;
    with_pages(ECAP_SM | E_PRS, MODEL_PACE_AT_ONCE); /* a unit that cannot drain */
    assert_true(ask(ATS, 3, 0x3000, true));
    assert_true(W.event_pending);
    W.event_pending = false;
    poke64(context_at(ATS), peek64(context_at(ATS)) & ~(u64)CTX_PAGES);
    q_context(0, 3, 0, SID_ATS, 0);
    assert_true(q_sync(0));
    assert_int_equal(guest_r32(0, R_PQT), 32);
    for (unsigned i = 0; i < nr_host; i++)
        assert_true((host[i].q0 & 0xf) != 5 || !(host[i].q0 >> 7 & 1));
    hears(ATS, 3, 0, 1);
    finish();
}

/* To legacy mode, with translation on throughout. */
static void goes_legacy(void)
{
    guest_gcmd(0, G_QIE, false);
    G.scalable = false;
    memset(world_mem(GUEST_CTX), 0, 4 * 4096);
    for (unsigned bus = 0; bus < 4; bus++)
        poke64(GUEST_ROOT + bus * 16 + 8, 0);
    guest_attach(SID_PLAIN, 0, TT_SS);
    guest_attach(SID_ATS, 0, TT_ATS_ON);
    guest_w64(0, R_RTADDR, GUEST_ROOT);
    guest_gcmd(0, G_SRTP, true);
    guest_queue_on(0);
    q_context(0, 1, 0, 0, 0);
    q_iotlb(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
}

/* A request that arrives after the guest has left scalable mode, and finds no room: its answer leaves with
 * the next batch, though that may be one for which the guest's queue needs no plan. */
static void answered_in_legacy_mode(void **state)
{
    u32 cookie;

    (void)state;
    with_pages_and_wait(ECAP_SM | E_PRS, MODEL_PACE_AT_ONCE, 1);
    model_hold_page_requests(W.unit[0], true);
    assert_true(ask(ATS, 7, 0x3000, true));
    goes_legacy();
    guest_w64(0, R_PQH, 32);
    model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_SLOW,
                        1000); /* of this batch; behind it come a page and a wait */
    q_iotlb(0, 2, 5, 0, 0);
    q_wait(0);
    q_ring(0);
    model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_OK, 0);
    q_iotlb(0, 3, 5, 0x3000, 0);
    cookie = q_wait(0);
    q_ring(0);
    model_hold_page_requests(W.unit[0], false);
    world_deliver();
    assert_false(q_done(cookie));
    assert_int_equal(guest_r32(0, R_PRS), PRS_OVERFLOW);
    for (unsigned n = 0; n < 10000 && !q_done(cookie); n++)
        world_run(1);
    assert_true(q_done(cookie));
    world_settle();
    assert_int_equal(responses(ATS, NULL), 1);
    finish();
}

/* A device that has its answer uses the group again at once, though our wait behind it is not done yet. */
static void a_group_is_used_again(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 20; seed++) {
        with_pages_and_wait(ECAP_SM | E_PRS | E_PDS, MODEL_PACE_MANUAL, 0);
        asks(ATS, 3, 0x3000, 32);
        guest_w32(0, R_PRS, PRS_PENDING);
        respond(SID_ATS, 3, 0);
        for (unsigned i = 0; i < seed; i++) /* the wait is later than the answer */
            q_iotlb(0, 3, 5, 0x3000 + (u64)i * 0x5000, 0);
        q_ring(0);
        for (unsigned n = 0; n < 1000 && !responses(ATS, NULL); n++)
            world_run(1);
        assert_int_equal(responses(ATS, NULL), 1);
        assert_true(ask(ATS, 3, 0x4000, true));
        world_deliver();
        world_settle();
        assert_int_equal(guest_r32(0, R_PQT), 64);
        hears(ATS, 3, 0, 2);
        finish();
    }
}

/* A device whose page requests were reset, which is between it and its driver, may use an open group again.
 */
static void an_open_group_is_used_again(void **state)
{
    (void)state;
    with_pages(ECAP_SM | E_PRS | E_PDS, MODEL_PACE_AT_ONCE);
    for (unsigned i = 1; i < 4; i++) {
        asks(ATS, 3, 0x3000, i * 32);
    }
    hears(ATS, 3, 0, 1);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_and_responses),
        cmocka_unit_test(hostile_17_responses_are_matched),
        cmocka_unit_test(requests_with_a_pasid),
        cmocka_unit_test(bad_responses),
        cmocka_unit_test(the_guests_queue_overflows),
        cmocka_unit_test(tails_behind_the_end),
        cmocka_unit_test(behind_the_last_group),
        cmocka_unit_test(more_groups_than_we_follow),
        cmocka_unit_test(who_has_waited_is_told_as_well),
        cmocka_unit_test(a_device_that_asks_for_ever),
        cmocka_unit_test(a_function_goes_and_others_go_on),
        cmocka_unit_test(a_wait_drains),
        cmocka_unit_test(every_wait_that_drains),
        cmocka_unit_test(teardown),
        cmocka_unit_test(who_may_ask),
        cmocka_unit_test(a_response_outlives_a_time_out),
        cmocka_unit_test(a_response_outlives_an_error),
        cmocka_unit_test(a_response_through_a_lost_unit),
        cmocka_unit_test(a_response_to_who_times_out),
        cmocka_unit_test(firmwares_queue_is_over),
        cmocka_unit_test(drained_at_teardown),
        cmocka_unit_test(asked_before_it_was_forbidden),
        cmocka_unit_test(answered_in_legacy_mode),
        cmocka_unit_test(a_group_is_used_again),
        cmocka_unit_test(an_open_group_is_used_again),
        cmocka_unit_test(the_units_queue_overflows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
