/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * What `make mutate` found that no other test would have noticed. Some of it is about the order of single
 * memory accesses, which a page that is not accessible makes visible: each access faults, is let through for
 * one instruction, and is written down.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "iommu/parts.h"
#undef FS_A /* a bit of an entry there, a table here */
#include "tests/unit/world_test_fs.h"

#define TRAP_FLAG 0x100

struct touch {
    unsigned offset;
    bool write;
    u64 lo, hi; /* the 16 bytes around it, afterwards */
};
static struct touch touches[4096];
static unsigned nr_touches;
static u8 *watched;
static void (*meanwhile)(unsigned offset, bool write); /* what another CPU does behind this access */

static void on_fault(int sig, siginfo_t *info, void *context)
{
    ucontext_t *c = context;
    u8 *at = info->si_addr;

    (void)sig;
    if (!watched || at < watched || at >= watched + PAGE_SIZE || nr_touches == ARRAY_SIZE(touches))
        abort();
    touches[nr_touches].offset = (unsigned)(at - watched);
    touches[nr_touches].write = c->uc_mcontext.gregs[REG_ERR] & 2;
    mprotect(watched, PAGE_SIZE, PROT_READ | PROT_WRITE);
    c->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void on_step(int sig, siginfo_t *info, void *context)
{
    ucontext_t *c = context;
    const u64 *pair = (const u64 *)(watched + (touches[nr_touches].offset & ~15u));

    (void)sig;
    (void)info;
    if (meanwhile)
        meanwhile(touches[nr_touches].offset, touches[nr_touches].write);
    touches[nr_touches].lo = pair[0];
    touches[nr_touches++].hi = pair[1];
    c->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
    mprotect(watched, PAGE_SIZE, PROT_NONE);
}

static void watch(void *page)
{
    struct sigaction fault = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
    struct sigaction step = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };

    sigaction(SIGSEGV, &fault, NULL);
    sigaction(SIGTRAP, &step, NULL);
    nr_touches = 0;
    watched = page;
    mprotect(page, PAGE_SIZE, PROT_NONE);
}

static void unwatch(void)
{
    mprotect(watched, PAGE_SIZE, PROT_READ | PROT_WRITE);
    watched = NULL;
    signal(SIGSEGV, SIG_DFL);
    signal(SIGTRAP, SIG_DFL);
}

/* Line 11: what another CPU writes after the fetch decides nothing, because nobody looks again. */
static void each_word_of_a_descriptor_is_read_once(void **state)
{
    unsigned from, reads[512] = { 0 };

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    from = G.tail[0] * 2;
    q_context(0, 3, 5, SID_PLAIN, 0);
    q_iotlb(0, 3, 5, 0x1000, 0);
    q_iotlb(0, 2, 5, 0, 0);
    q_dtlb(0, SID_ATS, 0x1000, false);
    q_wait(0);
    watch(world_mem(GUEST_RING));
    q_ring(0);
    unwatch();
    for (unsigned i = 0; i < nr_touches; i++) {
        assert_false(touches[i].write);
        reads[touches[i].offset / 8]++;
    }
    for (unsigned word = 0; word < 512; word++)
        assert_int_equal(reads[word], word >= from && word < from + 10);
    finish();
}

/* The guest's other CPU replaces an entry of so many quadwords behind the first read of quadword `behind`. */
static u64 *replaced, replacement[8];
static unsigned replaced_quads, behind;

static void replace(unsigned offset, bool write)
{
    if (write || offset != (u8 *)(replaced + behind) - watched)
        return;
    for (unsigned i = 0; i < replaced_quads; i++)
        replaced[i] = replacement[i];
    meanwhile = NULL;
}

static void flush_while_it_is_replaced(u64 at, unsigned quads, unsigned where)
{
    replaced = world_mem(at);
    replaced_quads = quads;
    behind = where;
    meanwhile = replace;
    watch(world_mem(at & ~0xfffull));
    q_ring(0);
    unwatch();
    assert_null(meanwhile); /* it was read */
}

/* Old and new are never mixed: what is taken has been there as a whole. */
static void hostile_25_an_entry_changes_while_it_is_read(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    map_and_flush(0, 0x3000, GUEST_DATA);
    guest_domain_init(1, 6, 3);
    guest_map(1, 0x3000, GUEST_DATA + 0x1000, P_RW);
    replacement[0] = G.dom[1].root | 1;
    replacement[1] = 1 | 6 << 8;
    q_context(0, 3, 5, SID_PLAIN, 0);
    flush_while_it_is_replaced(GUEST_CTX + SID_PLAIN * 16, 2, 0);
    assert_true(q_sync(0));
    only_outcome(PLAIN, 0x3000, GUEST_DATA + 0x1000);
    finish();

    for (unsigned where = 0; where < 7; where++) { /* of a PASID's, wherever the first half ends */
        in_use_first(&nested, false);
        memset(replacement, 0, sizeof(replacement));
        replacement[0] = 1 | PGTT_PT << 6 | 2 << 2;
        replacement[1] = 7;
        q_pasid(0, 1, DID, RID);
        flush_while_it_is_replaced(entry_at(PLAIN, RID), 8, where);
        assert_true(q_sync(0));
        only_outcome(PLAIN, IOVA, IOVA);
        finish();
    }

    /* of interrupts: the message of one, or of the other, for whom it is meant */
    in_use(&(struct world_cfg){ .wait_us = 100, .ecap = ECAP_DEFAULT | E_IR });
    W.device_irqs_expected = true;
    guest_remapping(0, true);
    guest_irte(3, 1 | 0x41 << 16, 1 << 18 | SID_PLAIN);
    replacement[0] = 1 | 0x52 << 16;
    replacement[1] = 1 << 18 | SID_ATS;
    q_iec(0, true, 3, 0);
    flush_while_it_is_replaced(GUEST_IRT + 3 * 16, 2, 0);
    assert_true(q_sync(0));
    struct model_req r = { .sid = SID_ATS, .addr = 0xfee00018, .len = 4, .write = true };
    u32 data = 3;
    assert_int_equal(model_dma(W.unit[0], &r, &data).status, MODEL_INTERRUPT);
    assert_int_equal(W.device_irq[0].data & 0xff, 0x52);
    finish();
}

/* 6.2.2, and line 16: hardware may read an entry at any time, and never sees half of one and half of another.
 */
static void an_entry_changes_while_it_is_not_present(void **state)
{
    unsigned offset = (SID_PLAIN & 0xff) * 16, writes = 0;
    u64 hi;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    guest_domain_init(1, 6, 4);
    guest_attach(SID_PLAIN, 1, TT_SS);
    q_context(0, 3, 6, SID_PLAIN, 0);
    q_wait(0);
    hi = units[0]->context_on[SID_PLAIN >> 8][SID_PLAIN & 0xff].hi;
    watch(units[0]->context_on[SID_PLAIN >> 8]);
    q_ring(0);
    unwatch();
    for (unsigned i = 0; i < nr_touches; i++) {
        if (!touches[i].write || (touches[i].offset & ~15u) != offset)
            continue;
        /* Present only before the first write and after the last. */
        assert_int_equal(touches[i].lo & 1, writes == 2);
        writes++;
    }
    assert_int_equal(writes, 3);
    assert_int_not_equal(units[0]->context_on[SID_PLAIN >> 8][SID_PLAIN & 0xff].hi, hi);
    finish();
}

/* Line 30: the value that is waited for after a time-out is not the one that was waited for before. */
static void no_wait_is_like_an_earlier_one(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .ite_steps = 20 });
    model_fn_set_answer(W.fn[ATS], MODEL_ANSWER_NEVER, 0);
    host_clear();
    q_iotlb(0, 2, 5, 0, 0);
    assert_true(q_sync(0));
    for (unsigned i = 0; i < nr_host; i++)
        for (unsigned k = 0; k < i; k++)
            if ((host[i].q0 & 0x2f) == 0x25 && (host[k].q0 & 0x2f) == 0x25)
                assert_int_not_equal(host[i].q0 >> 32, host[k].q0 >> 32);
    assert_true(host_count(5) >= 2);
    world_settle();
    assert_true(world_ok());
}

/* Line 15: drivers enable ATS before or after they attach the function; the gate opens in both orders. */
static void ats_may_come_after_the_entry(void **state)
{
    const struct context_entry *entry;

    (void)state;
    start(&(struct world_cfg){ .ats = ATS_ALL, .wait_us = 100 });
    guest_start();
    guest_domain_init(0, 5, 4);
    guest_attach(SID_ATS, 0, TT_ATS_ON);
    q_context(0, 3, 5, SID_ATS, 0);
    q_iotlb(0, 2, 5, 0, 0);
    assert_true(q_sync(0));
    entry = &units[0]->context_on[SID_ATS >> 8][SID_ATS & 0xff];
    assert_int_equal(entry->lo >> 2 & 3, TT_SS);
    world_ats(ATS, true);
    assert_int_equal(entry->lo >> 2 & 3, TT_ATS_ON);
    host_clear();
    q_iotlb(0, 2, 5, 0, 0);
    assert_true(q_sync(0));
    assert_int_equal(host_dtlb(SID_ATS), 1);
    world_ats(ATS, false);
    assert_int_equal(entry->lo >> 2 & 3, TT_SS);
    finish();
}

/* Lines that the unit has read before reach it at any time, and then leads to whatever has reached it. */
static void lines_arrive(const u64 *at, u64 value)
{
    (void)at;
    (void)value;
    for (unsigned i = 0; i < 500 && world_ok(); i++) {
        if (dma_lands(1, 0x1000, true) != ~0ull)
            world_fail("the new table is not empty");
        model_step(W.unit[0]);
    }
}

/* 6.8: where the unit does not snoop, or a write buffer stands before it, a page that was something else has
 * left for memory before it is linked. */
static void a_new_context_table_is_empty_for_the_unit_too(void **state)
{
    (void)state;
    for (unsigned buffer = 0; buffer < 2; buffer++) {
        struct world_cfg cfg = { .cap = CAP_DEFAULT | (buffer ? C_RWBF : 0),
                                 .ecap = buffer ? ECAP_DEFAULT : ECAP_DEFAULT & ~E_C,
                                 .ats = ATS_ALL,
                                 .wait_us = 100,
                                 .nr_fns = 2,
                                 .reuse_at_once = true };

        cfg.fn[0] = (struct world_fn_cfg){ SID_PLAIN, 0, false, 0 };
        cfg.fn[1] = (struct world_fn_cfg){ 0x0310, 0, false, 0 };
        start(&cfg);
        guest_start();
        guest_domain_init(0, 5, 4);
        guest_attach(SID_PLAIN, 0, TT_SS);
        guest_map(0, 1ull << 40, GUEST_DATA, P_RW);
        q_context(0, 3, 5, SID_PLAIN, 0);
        q_iotlb(0, 2, 5, 0, 0);
        assert_true(q_sync(0));
        poke64(guest_entry(0, 1ull << 40, 4), 0); /* three tables of the shadow are free after this */
        q_iotlb(0, 2, 5, 0, 0);
        assert_true(q_sync(0));
        q_iotlb(0, 1, 0, 0, 0); /* and the unit sees what the world has put there */
        assert_true(q_sync(0));
        W.on_store = lines_arrive;
        guest_attach(0x0308, 0, TT_SS);
        q_context(0, 3, 5, 0x0308, 0);
        assert_true(q_sync(0));
        W.on_store = NULL;
        assert_int_equal(dma_lands(1, 0x1000, true), ~0ull);
        if (!world_ok())
            fail_msg("%s", W.fail);
    }
}

static bool rotten;

/* What the unit fetches is none of the descriptors that we wrote, until its queue is switched off. */
static void rot(void)
{
    struct host_queue *q = &units[0]->hq;

    for (u32 i = 0; rotten && i <= q->mask; i++)
        q->ring[i].lo = 0xf;
    rotten &= (model_reg_read(W.unit[0], R_GSTS, 4) & G_QIE) != 0;
}

/* An error that still stands when the queue starts anew would hold up what was put into it. */
static void starts_anew_without_the_error(void **state)
{
    u32 cookie;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .pace = MODEL_PACE_DELAYED, .pace_max = 3 });
    rotten = true;
    W.on_write = rot;
    q_iotlb(0, 2, 5, 0, 0);
    cookie = q_wait(0);
    q_ring(0);
    for (unsigned n = 0; n < 10000 && !q_done(cookie); n++) {
        W.now_us += 1000;
        guest_r32(0, R_GSTS);
    }
    assert_true(q_done(cookie));
    W.on_write = NULL;
    assert_false(rotten);
    assert_false(iommu_stopped(0, SID_PLAIN));
    if (!world_ok())
        fail_msg("%s", W.fail);
}

/* 7.3: an error that nobody clears keeps later ones quiet, also one that no batch of ours is about. */
static void an_error_while_nothing_is_outstanding(void **state)
{
    struct host_queue *q;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    q = &units[0]->hq;
    q->ring[q->tail].lo = 0xf;
    model_reg_write(W.unit[0], R_IQT, 8, (q->tail + 1) % (q->mask + 1) * 16);
    assert_true(model_reg_read(W.unit[0], R_FSTS, 4) & FS_IQE);
    q->ring[q->tail].lo = 2 | 1 << 4;
    (void)iommu_event();
    assert_false(model_reg_read(W.unit[0], R_FSTS, 4) & FS_IQE);
}

/* A short wait is worth more than an event, and is short. */
static void waited_for_without_an_event(void **state)
{
    u32 cookie;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 1000, .pace = MODEL_PACE_DELAYED, .pace_max = 3 });
    for (unsigned i = 0; i < 20; i++) {
        q_iotlb(0, 2, 5, 0, 0);
        cookie = q_wait(0);
        q_ring(0);
        assert_true(q_done(cookie));
    }
    assert_int_equal(W.events, 0);
    finish();
}

/* However the guest orders them: what it asks of a function for a range that is flushed anyway is not sent
 * twice. */
static void asked_in_another_order(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    for (unsigned i = 0; i < 3; i++)
        q_iotlb(0, 3, 5, i << 24, 0);
    for (unsigned i = 0; i < 3; i++)
        q_dtlb(0, SID_ATS, (2 - i) << 24, false);
    assert_true(q_sync(0));
    assert_int_equal(host_dtlb(SID_ATS), 3);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_word_of_a_descriptor_is_read_once),
        cmocka_unit_test(hostile_25_an_entry_changes_while_it_is_read),
        cmocka_unit_test(an_entry_changes_while_it_is_not_present),
        cmocka_unit_test(no_wait_is_like_an_earlier_one),
        cmocka_unit_test(ats_may_come_after_the_entry),
        cmocka_unit_test(a_new_context_table_is_empty_for_the_unit_too),
        cmocka_unit_test(starts_anew_without_the_error),
        cmocka_unit_test(an_error_while_nothing_is_outstanding),
        cmocka_unit_test(waited_for_without_an_event),
        cmocka_unit_test(asked_in_another_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
