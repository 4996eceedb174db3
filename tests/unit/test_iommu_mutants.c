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

/* An entry that changes as fast as it is read is read four times, and then taken as it is. */
static unsigned torn_at;
static void tear(unsigned offset, bool write)
{
    (void)write;
    if (offset == torn_at)
        *(u64 *)(watched + torn_at) ^= 2;
}

static unsigned reads_of(u64 page, unsigned offset, unsigned size)
{
    unsigned n = 0;

    torn_at = offset;
    meanwhile = tear;
    watch(world_mem(page));
    q_ring(0);
    unwatch();
    meanwhile = NULL;
    for (unsigned i = 0; i < nr_touches; i++)
        n += touches[i].offset >= offset && touches[i].offset < offset + size;
    return n;
}

static void torn_without_end(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .ecap = ECAP_DEFAULT | E_IR | E_MHMV });
    q_context(0, 3, 5, SID_PLAIN, 0);
    assert_int_equal(reads_of(GUEST_CTX, SID_PLAIN * 16, 16), 4 * 3);
    guest_irte(3, 1 | 0x41 << 16, 0);
    guest_remapping(0, true);
    q_iec(0, true, 3, 0);
    assert_int_equal(reads_of(GUEST_IRT, 3 * 16, 16), 4 * 3);
    start(&(struct world_cfg){ .scalable = true,
                               .wait_us = 100,
                               .ecap = ECAP_DEFAULT | E_PSS | E_PASID | E_SMTS | E_SSTS | E_SMPWC });
    guest_start();
    guest_domain_init(0, 5, 4);
    guest_pasid_entry(0, 0, 1, 0);
    guest_sm_context(0, 0, false);
    q_context(0, 1, 0, 0, 0);
    q_pasid(0, 3, 0, 0);
    q_iotlb(0, 1, 0, 0, 0);
    assert_true(q_sync(0));
    q_pasid(0, 1, 5, guest_pasid(1));
    assert_int_equal(reads_of(GUEST_PASIDS + 0x1000, guest_pasid(1) * 64, 64), 4 * 16);
}

/* Table modes that are reserved, on a unit that has the scalable one. */
static void modes_that_translate_nothing(void **state)
{
    static const enum fault_reason fault[] = { [2] = FAULT_TTM, [3] = FAULT_ABORT };
    struct guest_context g;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .ecap = ECAP_DEFAULT | E_SMTS | E_SSTS | E_SMPWC });
    for (u64 ttm = 2; ttm < 4; ttm++) {
        guest_w64(0, R_RTADDR, GUEST_ROOT | ttm << 10);
        guest_gcmd(0, G_SRTP, true);
        context_read(units[0], SID_PLAIN, &g);
        assert_int_equal(g.fault, fault[ttm]);
    }
}

/* Devices 16 and up of a bus have a table of their own, which goes with the root entry, too. */
static void the_upper_half_goes(void **state)
{
    (void)state;
    start(&(struct world_cfg){ .scalable = true,
                               .wait_us = 100,
                               .nr_fns = 1,
                               .fn = { { 0x0180, 0, false, 0 } },
                               .ecap = ECAP_DEFAULT | E_SMTS | E_SSTS | E_SMPWC });
    guest_start();
    guest_domain_init(0, 5, 4);
    guest_map(0, 0x3000, GUEST_DATA, P_RW);
    guest_pasid_entry(0, 0, 0, 0);
    guest_sm_context(0, 0, false);
    for (unsigned there = 1; there < 2; there--) {
        if (!there) {
            poke64(GUEST_ROOT + 16, 0);
            poke64(GUEST_ROOT + 24, 0);
        }
        q_context(0, 1, 0, 0, 0);
        q_pasid(0, 3, 0, 0);
        q_iotlb(0, 1, 0, 0, 0);
        assert_true(q_sync(0));
        assert_int_equal(dma_lands(0, 0x3000, true), there ? GUEST_DATA : ~0ull);
    }
}

static u64 our_leaf(u64 iova)
{
    u64 *table = domain_of_guest(units[0], false, 5)->root;

    for (unsigned level = 4; level > 1; level--)
        table = env_virt(table[iova >> (3 + 9 * level) & 511] & ~0xfffull);
    return table[iova >> 12 & 511];
}

/* Flushes bring up to date what they name, on whichever way, and nothing beside it. */
static void only_what_is_named(void **state)
{
    struct range r = { 3, 3 };
    struct unit *u;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    u = units[0];
    for (unsigned way = 0; way < 3; way++) {
        for (u64 iova = 0x2000; iova <= 0x4000; iova += 0x1000)
            map_and_flush(0, iova, GUEST_DATA);
        for (u64 iova = 0x2000; iova <= 0x4000; iova += 0x1000)
            guest_map(0, iova, GUEST_DATA + 0x1000, P_RW);
        if (way == 2) {
            replay_enter(u);
            shadow_sync(u, domain_of_guest(u, false, 5), &r);
            replay_leave(u);
        } else {
            q_iotlb(0, 3, 5, 0x3000, 0);
            if (way == 1)
                q_dtlb(0, SID_ATS, 0x900000, false);
            assert_true(q_sync(0));
        }
        assert_int_equal(our_leaf(0x2000), GUEST_DATA | P_RW);
        assert_int_equal(our_leaf(0x3000), (GUEST_DATA + 0x1000) | P_RW);
        assert_int_equal(our_leaf(0x4000), GUEST_DATA | P_RW);
    }
    q_iotlb(0, 2, 5, 0, 0);
    assert_true(q_sync(0));
    finish();
}

/* Across the end of a table, and of large pages, all of whose translation goes. */
static void across_the_end_of_a_table(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    for (u64 page = 510; page < 514; page++)
        map_and_flush(0, page << 12, GUEST_DATA + (page << 12 & 0xf000));
    for (u64 page = 510; page < 514; page++) {
        guest_map(0, page << 12, GUEST_DATA + 0x10000 + (page << 12 & 0xf000), P_RW);
        q_iotlb(0, 3, 5, page << 12, 0);
    }
    assert_true(q_sync(0));
    for (u64 page = 510; page < 514; page++)
        for (unsigned f = 0; f < 3; f++)
            only_outcome(f, page << 12, GUEST_DATA + 0x10000 + (page << 12 & 0xf000));
    finish();
    for (unsigned large = 0; large < 2; large++) { /* the first of the two, or the second */
        u64 huge = large ? 0x400000 : 0x200000, small = large ? 0x3ff000 : 0x400000;
        struct range r = { 0x3ff, 0x400 };

        in_use(&(struct world_cfg){ .wait_us = 100 });
        guest_map_level(0, huge, RAM2_BASE, P_RW, 2);
        guest_map(0, small, GUEST_DATA, P_RW);
        q_iotlb(0, 2, 5, 0, 0);
        assert_true(q_sync(0));
        for (u64 page = 0; page < 512; page += 73)
            model_fill(W.unit[0], SID_ATS, huge + (page << 12), 1);
        model_fill(W.unit[0], SID_ATS, small, 1);
        poke64(guest_entry(0, huge, 2), 0);
        guest_unmap(0, small);
        q_iotlb(0, 3, 5, 0x3ff000, 0);
        q_iotlb(0, 3, 5, 0x400000, 0);
        assert_true(q_sync(0));
        only_outcome(ATS, small, ~0ull);
        for (u64 page = 0; page < 512; page += 73)
            only_outcome(ATS, huge + (page << 12), ~0ull);
        /* the same where only the large one has changed: what was asked for stays asked for */
        guest_map_level(0, huge, RAM2_BASE, P_RW, 2);
        q_iotlb(0, 2, 5, 0, 0);
        assert_true(q_sync(0));
        poke64(guest_entry(0, huge, 2), 0);
        replay_enter(units[0]);
        shadow_sync(units[0], domain_of_guest(units[0], false, 5), &r);
        replay_leave(units[0]);
        assert_int_equal(r.first, large ? 0x3ff : 0x200);
        assert_int_equal(r.last, large ? 0x5ff : 0x400);
        q_iotlb(0, 2, 5, 0, 0);
        assert_true(q_sync(0));
        finish();
    }
}

/* Other tables, from any level down, are noticed where the way to the old ones is remembered. */
static void other_tables_below(void **state)
{
    (void)state;
    for (unsigned top = 4; top < 6; top++)
        for (unsigned level = 2; level <= top; level++) {
            u64 at;

            in_use(&(struct world_cfg){ .wait_us = 100,
                                        .cap = (CAP_DEFAULT & ~(C_SAGAW(31) | 63ull << 16)) |
                                               C_SAGAW(top == 4 ? 4 : 8) |
                                               (top == 4 ? 47ull : 56ull) << 16 });
            map_and_flush(0, 0x3000, GUEST_DATA);
            map_and_flush(0, 0x3000, GUEST_DATA);
            at = guest_entry(0, 0x3000, level);
            for (unsigned l = level - 1; l > 0; l--) {
                u64 table = guest_table();

                poke64(at, table | P_RW);
                at = table + (l == 1 ? 3 * 8 : 0);
            }
            poke64(at, (GUEST_DATA + 0x1000) | P_RW);
            q_iotlb(0, 3, 5, 0x3000, 0);
            assert_true(q_sync(0));
            assert_int_equal(dma_lands(PLAIN, 0x3000, true), GUEST_DATA + 0x1000);
            finish();
        }
}

/* A table comes and goes without a page more or less, up to its last entry; the last of our pages are kept
 * for what is needed more. */
static void pages_of_a_table(void **state)
{
    const u64 top = 0xfffffffff000;
    size_t left = 0;

    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100 });
    map_and_flush(0, 0x3000, GUEST_DATA);
    q_iotlb(0, 2, 5, 0, 0);
    assert_true(q_sync(0));
    assert_int_equal(our_leaf(0x3000), GUEST_DATA | P_RW);
    guest_domain_init(1, 6, 4);
    guest_map(1, 0, GUEST_DATA, P_RW);
    guest_map(1, top, GUEST_DATA, P_RW);
    for (unsigned round = 0; round < 3; round++) {
        guest_attach(SID_PLAIN, 1, TT_SS);
        q_context(0, 3, 5, SID_PLAIN, 0);
        q_iotlb(0, 2, 6, 0, 0);
        assert_true(q_sync(0));
        assert_int_equal(dma_lands(PLAIN, top, true), GUEST_DATA);
        guest_attach(SID_PLAIN, 0, TT_SS);
        q_context(0, 3, 6, SID_PLAIN, 0);
        q_iotlb(0, 2, 6, 0, 0);
        assert_true(q_sync(0));
        if (round)
            assert_int_equal(env_pages_available(), left);
        left = env_pages_available();
    }
    finish();
    while (env_pages_available() > 257)
        assert_non_null(env_page_alloc());
    assert_non_null(shadow_alloc());
    assert_null(shadow_alloc());
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
        cmocka_unit_test(torn_without_end),
        cmocka_unit_test(modes_that_translate_nothing),
        cmocka_unit_test(the_upper_half_goes),
        cmocka_unit_test(pages_of_a_table),
        cmocka_unit_test(other_tables_below),
        cmocka_unit_test(only_what_is_named),
        cmocka_unit_test(across_the_end_of_a_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
