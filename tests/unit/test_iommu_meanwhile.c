/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * What hv/ asks for, and what the guest does, while a batch is outstanding or the guest's tables are changed
 * as a whole: nothing of it is lost in what was planned before, and nothing waits for an event that never
 * comes.
 */
#include "iommu/parts.h"
#include "tests/unit/world_test.h"

static const struct world_cfg slow = { .pace = MODEL_PACE_MANUAL,
                                       .keep = { [MODEL_C_CONTEXT] = MODEL_KEEP_ALL,
                                                 [MODEL_C_IOTLB] = MODEL_KEEP_ALL,
                                                 [MODEL_C_DTLB] = MODEL_KEEP_ALL } };

static u32 cookie, left_tail;

/* One batch at a time: what the guest waits for is told before the next one begins. */
static void one_at_a_time(void)
{
    if (units[0]->hq.tail != left_tail && !q_done(cookie))
        world_fail("a batch was begun before the last one was done");
}

/* A batch that is left to its event, which has not come. */
static void leave_one(void)
{
    host_clear();
    W.on_write = NULL;
    q_iotlb(0, 3, 5, 0x7000, 0);
    cookie = q_wait(0);
    W.event_pending = false;
    iommu_write(0, UNIT_BASE + R_IQT, 4, G.tail[0] * 16);
    assert_true(units[0]->hq.busy);
    left_tail = units[0]->hq.tail;
    W.on_write = one_at_a_time;
}

static void outstanding(void)
{
    in_use(&slow);
    guest_map(0, 0x3000, GUEST_DATA, P_RW);
    q_iotlb(0, 3, 5, 0x3000, 0);
    assert_true(q_sync(0));
    model_fill_all(W.unit[0]);
    leave_one();
}

/* The entry of this function was flushed, and in vain would be whatever is left in the plan. */
static void was_flushed(u16 sid)
{
    bool found = false;

    for (unsigned i = 0; i < nr_host; i++)
        found |= (host[i].q0 & 0xf) == 1 && ((host[i].q0 >> 4 & 3) < 3 || (host[i].q0 >> 32 & 0xffff) == sid);
    if (!found)
        fail_msg("no context-cache flush for %04x", sid);
    assert_true(plan_empty(units[0]));
    finish();
}

static void ats_goes_off(void **state)
{
    (void)state;
    outstanding();
    iommu_ats_change(0, SID_ATS, false, 0, SID_ATS, true);
    was_flushed(SID_ATS);
}

static void a_function_disappears(void **state)
{
    (void)state;
    outstanding();
    iommu_function_gone(0, SID_ATS);
    was_flushed(SID_ATS);
}

static void a_bar_closes(void **state)
{
    (void)state;
    outstanding();
    iommu_dma_changed(BAR_BASE, BAR_END - BAR_BASE);
    was_flushed(SID_ATS);
}

static void a_hypercall_flushes(void **state)
{
    struct iommu_invalidation *e;
    unsigned handled;

    (void)state;
    outstanding();
    e = world_mem(GUEST_STATUS + 0x800);
    guest_map(0, 0x3000, GUEST_DATA + 0x1000, P_RW);
    memset(e, 0, sizeof(*e));
    e->address = 0x3000;
    e->pages = 1;
    assert_int_equal(iommu_invalidate(0, 5, INVALIDATE_NO_PASID, GUEST_STATUS + 0x800, 1, &handled), 0);
    assert_int_equal(handled, 1);
    only_outcome(PLAIN, 0x3000, GUEST_DATA + 0x1000);
    only_outcome(ATS, 0x3000, GUEST_DATA + 0x1000);
    finish();
}

/* The guest switches its tables as a whole while a batch is outstanding: what is shown then is true. */
static void tables_as_a_whole(void **state)
{
    u64 root = RAM2_BASE, context = RAM2_BASE + 0x1000;

    (void)state;
    outstanding();
    guest_domain_init(1, 6, 4);
    guest_map(1, 0x3000, GUEST_DATA + 0x2000, P_RW);
    memset(world_mem(root), 0, 0x2000);
    memcpy(world_mem(context), world_mem(GUEST_CTX), 0x1000);
    poke64(root, context | 1);
    poke64(context + SID_PLAIN * 16 + 8, (peek64(context + SID_PLAIN * 16 + 8) & 7) | 6 << 8);
    poke64(context + SID_PLAIN * 16, G.dom[1].root | 1);
    guest_w64(0, R_RTADDR, root);
    world_settle();
    leave_one();
    iommu_write(0, UNIT_BASE + R_GCMD, 4, G_TE | G_QIE | G_SRTP);
    assert_true(guest_r32(0, R_GSTS) & G_SRTP);
    only_outcome(PLAIN, 0x3000, GUEST_DATA + 0x2000);
    only_outcome(ATS, 0x3000, ~0ull);
    finish();
}

/* The same by registers. */
static void flushed_by_registers(void **state)
{
    (void)state;
    outstanding();
    iommu_write(0, UNIT_BASE + R_CCMD, 8, 1ull << 63 | 1ull << 61);
    world_settle();
    assert_false(guest_read(0, R_CCMD, 8) >> 63);
    was_flushed(SID_ATS);
    leave_one();
    iommu_write(0, UNIT_BASE + (guest_read(0, R_ECAP, 8) >> 8 & 0x3ff) * 16 + 8, 8, 1ull << 63 | 1ull << 60);
    world_settle();
    assert_true(host_count(2) > 1);
    assert_true(plan_empty(units[0]));
    finish();
}

/* A register write that finds the batch done goes on with what the guest has queued meanwhile. */
static void any_access_goes_on(void **state)
{
    unsigned flushes;

    (void)state;
    for (unsigned write = 0; write < 2; write++) {
        outstanding();
        q_iotlb(0, 2, 5, 0, 0);
        iommu_write(0, UNIT_BASE + R_IQT, 4, G.tail[0] * 16);
        model_run(W.unit[0], 100);
        flushes = host_count(2);
        if (write)
            iommu_write(0, UNIT_BASE + R_FEDATA, 4, 0x41);
        else
            (void)iommu_read(0, UNIT_BASE + R_GSTS, 4);
        model_run(W.unit[0], 100);
        assert_true(host_count(2) > flushes);
    }
}

/* Where the unit does not take the table, the guest's command is over nevertheless. */
static void a_lost_unit_answers(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .ecap = ECAP_DEFAULT | E_IR | E_EIM });
    guest_w64(0, R_IRTA, GUEST_IRT | 1 << 11 | 7);
    guest_gcmd(0, G_SIRTP, true);
    guest_gcmd(0, G_IRE, true);
    guest_w64(0, R_IRTA, GUEST_IRT | 7);
    model_set_dead(W.unit[0], true);
    iommu_write(0, UNIT_BASE + R_GCMD, 4, G_TE | G_QIE | G_IRE | G_SIRTP);
    assert_true(iommu_stopped(0, SID_PLAIN));
    assert_true(iommu_read(0, UNIT_BASE + R_GSTS, 4) & G_SIRTP);
}

/* An event that is nobody's is not ours: it is an NMI of the guest's. */
static void events_of_others(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    assert_false(iommu_event());
    assert_false(iommu_echo());
    (void)dma_lands(PLAIN, 0x123000, true);
    world_settle();
    assert_true(iommu_echo());
    assert_false(iommu_event());
    W.now_us += 9999;
    assert_true(iommu_echo());
    W.now_us += 2;
    assert_false(iommu_echo());
}

/* Few ranges are flushed page by page, however many waits are between them. */
static void ranges_stay_ranges(void **state)
{
    (void)state;
    start(&(struct world_cfg){ .wait_us = 100 });
    assert_true(plan_empty(units[0])); /* what a takeover flushes is not flushed again */
    in_use(&(struct world_cfg){ .wait_us = 100 });
    for (unsigned i = 0; i < 3; i++) {
        q_iotlb(0, 3, 5, i << 24, 0);
        q_wait(0);
    }
    assert_true(q_sync(0));
    assert_int_equal(host_count(2), 3);
    for (unsigned i = 0; i < nr_host; i++)
        if ((host[i].q0 & 0xf) == 2)
            assert_int_equal(host[i].q0 >> 4 & 3, 3);
    finish();
}

static bool flushed_domain(u16 did)
{
    for (unsigned i = 0; i < nr_host; i++)
        if ((host[i].q0 & 0xf) == 2 && ((host[i].q0 >> 4 & 3) == 1 || (host[i].q0 >> 16 & 0xffff) == did))
            return true;
    return false;
}

/* 6.2.2: with an entry go the translations of its domain, the old one and the new one, whatever the guest
 * asks. */
static void an_entry_takes_its_domains_along(void **state)
{
    const struct context_entry *entry;
    u16 old;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    guest_domain_init(1, 6, 4);
    entry = &units[0]->context_on[SID_PLAIN >> 8][SID_PLAIN & 0xff];
    old = (u16)(entry->hi >> 8);
    guest_attach(SID_PLAIN, 1, TT_SS);
    q_context(0, 3, 6, SID_PLAIN, 0);
    assert_true(q_sync(0));
    assert_int_not_equal((u16)(entry->hi >> 8), old);
    assert_true(flushed_domain(old));
    assert_true(flushed_domain((u16)(entry->hi >> 8)));
    finish();
}

/* A unit with sixteen domain-ids is never shown a seventeenth: who finds none left is blocked. */
static void ids_that_the_unit_has(void **state)
{
    unsigned present = 0;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .cap = CAP_DEFAULT & ~7ull });
    for (unsigned i = 1; i < 20; i++) {
        guest_context((u16)(0x0300 | i), TT_SS, (u16)(i % 14 + 1), GUEST_DATA + i * 0x1000, 4);
        q_context(0, 3, (u16)i, (u16)(0x0300 | i), 0);
    }
    assert_true(q_sync(0));
    for (unsigned i = 1; i < 20; i++) {
        const struct context_entry *e = &units[0]->context_on[3][i];

        present += e->lo & 1;
        if (e->lo & 1)
            assert_true((e->hi >> 8 & 0xffff) < 16);
    }
    assert_true(present > 8 && present < 16);
    finish();
}

static bool flushed_page(u64 iova)
{
    for (unsigned i = 0; i < nr_host; i++) {
        unsigned am = host[i].q1 & 0x3f;

        if ((host[i].q0 & 0xf) == 2 &&
            ((host[i].q0 >> 4 & 3) < 3 || iova >> 12 >> am == host[i].q1 >> 12 >> am))
            return true;
    }
    return false;
}

/* A unit may keep any part of a large page by itself: with one page of it all of it is flushed. */
static void a_large_page_goes_whole(void **state)
{
    enum { AT = 0x40000000 };

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    guest_map_level(0, AT, RAM3_BASE, P_RW, 2);
    q_iotlb(0, 2, 5, 0, 0);
    assert_true(q_sync(0));
    host_clear();
    poke64(guest_entry(0, AT, 2), 0);
    q_iotlb(0, 3, 5, AT + 0x100000, 0);
    assert_true(q_sync(0));
    assert_true(flushed_page(AT) && flushed_page(AT + 0x100000) && flushed_page(AT + 0x1ff000));
    assert_false(flushed_page(AT + 0x200000));
    finish();
}

/* The longest queue, and nothing but waits in it: each is answered. */
static void as_many_waits_as_there_can_be(void **state)
{
    enum { WAITS = 0x7fff };

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    guest_gcmd(0, G_QIE, false);
    for (u64 i = 0; i < WAITS; i++) {
        poke64(RAM2_BASE + i * 16, 5 | WAIT_SW | (i + 1) << 32);
        poke64(RAM2_BASE + i * 16 + 8, GUEST_DATA + i % 1024 * 4);
    }
    guest_w64(0, R_IQT, 0);
    guest_w64(0, R_IQA, RAM2_BASE | 7);
    guest_gcmd(0, G_QIE, true);
    guest_w64(0, R_IQT, WAITS * 16);
    world_settle();
    assert_int_equal(guest_r32(0, R_IQH), WAITS * 16);
    for (u64 i = WAITS - 1024; i < WAITS; i++)
        assert_int_equal(peek32(GUEST_DATA + i % 1024 * 4), i + 1);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ats_goes_off),
        cmocka_unit_test(a_function_disappears),
        cmocka_unit_test(a_bar_closes),
        cmocka_unit_test(a_hypercall_flushes),
        cmocka_unit_test(tables_as_a_whole),
        cmocka_unit_test(flushed_by_registers),
        cmocka_unit_test(any_access_goes_on),
        cmocka_unit_test(events_of_others),
        cmocka_unit_test(ranges_stay_ranges),
        cmocka_unit_test(a_lost_unit_answers),
        cmocka_unit_test(an_entry_takes_its_domains_along),
        cmocka_unit_test(as_many_waits_as_there_can_be),
        cmocka_unit_test(ids_that_the_unit_has),
        cmocka_unit_test(a_large_page_goes_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
