/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * Interrupt remapping: what the guest's table says is delivered, never an NMI, INIT, SMI or ExtINT, and what
 * its flushes cover is forgotten. The model's unit delivers, so the evidence is the message that comes out.
 */
#include "iommu/parts.h"
#include "tests/unit/world_test.h"

#define ECAP_REMAPPING (ECAP_DEFAULT | E_IR | E_EIM | E_MHMV)
#define IRT            0x90000ull /* a page of the guest's data: 256 entries */
#define R_IRTA         0xb8
#define G_IRE          (1u << 25)
#define G_SIRTP        (1u << 24)
#define SENT_ALONE     0xfee00018ull /* remappable, with subhandle: index = data */

static void put_irte(unsigned index, u64 lo, u64 hi)
{
    poke64(IRT + index * 16, lo);
    poke64(IRT + index * 16 + 8, hi);
}

static struct model_result msi(unsigned f, u64 addr, u32 data)
{
    struct model_req r = { .sid = W.cfg.fn[f].sid, .addr = addr, .len = 4, .write = true };

    return model_dma(W.unit[0], &r, &data);
}

static u64 vector(unsigned v)
{
    return 1 | (u64)v << 16;
}

static void remapping_on_with(u64 cap, u64 eime)
{
    in_use(&(struct world_cfg){ .wait_us = 100, .cap = cap, .ecap = ECAP_REMAPPING });
    W.device_irqs_expected = true;
    guest_w64(0, R_IRTA, IRT | eime | 7);
    guest_gcmd(0, G_SIRTP, true);
    guest_gcmd(0, G_IRE, true);
}

static void remapping_on(u64 eime)
{
    remapping_on_with(CAP_DEFAULT, eime);
}

static void flush_entry(unsigned index)
{
    q_push(0, 4 | 1 << 4 | (u64)index << 32, 0);
    assert_true(q_sync(0));
}

static void the_guests_entries_count(void **state)
{
    (void)state;
    for (unsigned eime = 0; eime < 2; eime++) {
        remapping_on((u64)eime << 11);
        announced(0, R_ECAP, E_IR | E_EIM);
        put_irte(3, vector(0x41), 0);
        flush_entry(3);
        assert_int_equal(msi(ATS, SENT_ALONE, 3).status, MODEL_INTERRUPT);
        assert_int_equal(W.device_irqs, 1);
        assert_int_equal(W.device_irq[0].data & 0xff, 0x41);
        /* the destination: 32 bits with EIME, else eight */
        put_irte(3, vector(0x52) | (eime ? 0x12345ull : 0x2300ull) << 32, 0);
        flush_entry(3);
        assert_int_equal(msi(ATS, SENT_ALONE, 3).status, MODEL_INTERRUPT);
        assert_int_equal(W.device_irq[1].data & 0xff, 0x52);
        assert_int_equal(W.device_irq[1].addr,
                         0xfee00000 | (eime ? 0x45 << 12 | 0x12300ull << 32 : 0x23 << 12));
        put_irte(3, 0, 0);
        flush_entry(3);
        assert_int_equal(msi(ATS, SENT_ALONE, 3).reason, 0x22);
        finish();
    }
}

/* Every delivery mode but fixed and lowest priority, and vectors that are not there. */
static void nothing_but_ordinary_interrupts(void **state)
{
    (void)state;
    remapping_on(0);
    for (u64 mode = 0; mode < 8; mode++) {
        put_irte(5, vector(0x60) | mode << 5, 0);
        W.warnings = 0;
        flush_entry(5);
        assert_int_equal(W.warnings > 0, mode > 1); /* what it could have been is told */
        W.device_irqs = 0;
        assert_int_equal(msi(ATS, SENT_ALONE, 5).status == MODEL_INTERRUPT, mode < 2);
        assert_int_equal(W.device_irqs, mode < 2);
    }
    put_irte(5, vector(0x10), 0);
    flush_entry(5);
    assert_int_equal(msi(ATS, SENT_ALONE, 5).status, MODEL_INTERRUPT);
    W.warnings = 0;
    for (u64 mode = 0; mode < 2; mode++) {
        put_irte(5, vector(0x0f) | mode << 5, 0);
        flush_entry(5);
        assert_int_equal(msi(ATS, SENT_ALONE, 5).status, MODEL_BLOCKED);
    }
    assert_int_equal(W.warnings, 0);
    finish();
}

/* An entry with any other bit than those of a remapped interrupt never gets to hardware, and the guest is
 * told. */
static void reserved_bits_of_an_entry(void **state)
{
    u64 lo, hi;

    (void)state;
    remapping_on(1 << 11);
    for (unsigned bit = 0; bit < 128; bit++) {
        /* P, FPD, DM, RH, TM, DLM, what software may use, V, DST; SID, SQ, SVT */
        static const u64 known[2] = { 0xffffffff00ff0fff, 0xfffff };

        if (known[bit / 64] >> bit % 64 & 1)
            continue;
        W.now_us += 2000; /* no storm of faults */
        put_irte(3, vector(0x41) | (bit < 64 ? 1ull << bit : 0), bit < 64 ? 0 : 1ull << (bit - 64));
        flush_entry(3);
        guest_faults_clear(0);
        assert_int_equal(msi(ATS, SENT_ALONE, 3).reason, 0x22); /* of ours: not present */
        world_deliver();
        assert_true(guest_fault(0, &lo, &hi));
        if ((hi >> 32 & 0xff) != 0x24)
            fail_msg("bit %u: the guest is told %x", bit, (unsigned)(hi >> 32 & 0xff));
        assert_int_equal(lo >> 48, 3);
    }
    finish();
}

/* Whose message an entry is for (9.9) is what the guest says. */
static bool may_use(u64 svt, u64 sq, u16 wanted, u16 sid)
{
    static const u16 ignored[] = { 0, 4, 6, 7 };

    switch (svt) {
    case 0:
        return true;
    case 1:
        return !((wanted ^ sid) & ~ignored[sq]);
    case 2: /* buses, from 15:8 to 7:0 */
        return sid >> 8 >= wanted >> 8 && sid >> 8 <= (wanted & 0xff);
    default:
        return false;
    }
}

static void source_of_an_entry(void **state)
{
    static const u16 requesters[] = {
        0x0018, 0x0019, 0x001a, 0x001c, 0x001f, 0x0020, 0x0100, 0x0208, 0x0300
    };
    static const u16 wanted[] = { 0x0018, 0x001c, 0x0101, 0x0102 };

    (void)state;
    remapping_on(0);
    for (unsigned i = 0; i < 16 * ARRAY_SIZE(wanted); i++) {
        u64 svt = i & 3, sq = i >> 2 & 3;

        put_irte(3, vector(0x41), svt << 18 | sq << 16 | wanted[i / 16]);
        flush_entry(3);
        for (unsigned n = 0; n < ARRAY_SIZE(requesters); n++) {
            struct model_req r = { .sid = requesters[n], .addr = SENT_ALONE, .len = 4, .write = true };
            u32 data = 3;
            bool passes = model_dma(W.unit[0], &r, &data).status == MODEL_INTERRUPT;

            if (passes != may_use(svt, sq, wanted[i / 16], requesters[n]))
                fail_msg("SVT %u, SQ %u, SID %x: %x %s", (unsigned)svt, (unsigned)sq, wanted[i / 16],
                         requesters[n], passes ? "passes" : "does not pass");
        }
        W.now_us += 2000;
        guest_faults_clear(0);
    }
    finish();
}

/* Compatibility format passes until the guest remaps, and then no more. */
static void compatibility_format(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100, .ecap = ECAP_REMAPPING });
    W.device_irqs_expected = true;
    assert_int_equal(msi(ATS, 0xfee00000, 0x41).status, MODEL_INTERRUPT);
    finish();
    remapping_on(0);
    assert_int_equal(msi(ATS, 0xfee00000, 0x441).status, MODEL_BLOCKED);
    guest_gcmd(0, G_IRE, false);
    assert_int_equal(msi(ATS, 0xfee00000, 0x41).status, MODEL_INTERRUPT);
    finish();
    /* ... but as it says, and never beside x2APIC ids (5.1.4) */
    for (u64 esirtps = 0; esirtps < 2; esirtps++) {
        remapping_on_with(CAP_DEFAULT | esirtps << 62, 0);
        guest_gcmd(0, 1u << 23, true);
        assert_int_equal(msi(ATS, 0xfee00000, 0x41).status, MODEL_INTERRUPT);
        guest_w64(0, R_IRTA, IRT | 1 << 11 | 7);
        guest_gcmd(0, G_SIRTP, true);
        assert_int_equal(msi(ATS, 0xfee00000, 0x41).status, MODEL_BLOCKED);
        finish();
    }
}

/* Wide and global flushes, and entries beyond the table. */
static void flushes_of_every_width(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 33; order++) {
        remapping_on(0);
        announced(0, R_ECAP, E_MHMV);
        for (unsigned i = 0; i < 256; i++)
            put_irte(i, vector(0x40), 0);
        q_push(0, 4, 0);
        assert_true(q_sync(0));
        for (unsigned i = 0; i < 256; i++)
            put_irte(i, 0, 0);
        if (order == 32)
            q_push(0, 4, 0);
        else
            q_push(0, 4 | 1 << 4 | (u64)order << 27 | 8ull << 32, 0);
        assert_true(q_sync(0));
        for (unsigned i = 0; i < 256; i++) {
            bool covered = order == 32 || order >= 8 || i >> order == 8u >> order;

            if (covered)
                assert_int_equal(msi(ATS, SENT_ALONE, i).reason, 0x22);
        }
        assert_int_equal(msi(ATS, SENT_ALONE, 256).status, MODEL_BLOCKED);
        finish();
    }
}

/* What the unit receives for a flush of 2^order entries: as many, or all where that is more than the unit
 * takes at once or than is worth looking at. Only these are looked at, and the last one as well. */
static void entries_that_are_flushed(void **state)
{
    struct unit *u;

    (void)state;
    for (u64 mhmv = 3; mhmv <= 15; mhmv += 12)
        for (u64 order = 0; order < 32; order++) {
            bool all = order > mhmv || order > 6;

            in_use(&(struct world_cfg){
                .wait_us = 100, .ecap = (ECAP_REMAPPING & ~E_MHMV) | mhmv << 20, .quiet = true });
            guest_remapping(0, true);
            u = units[0];
            guest_irte(64 + (1u << MIN(order, 6ull)) - 1, vector(0x41), 0);
            guest_irte(64 + (1u << MIN(order, 6ull)), vector(0x42), 0);
            host_clear();
            q_push(0, 4 | 1 << 4 | order << 27 | 64ull << 32, 0);
            assert_true(q_sync(0));
            assert_int_equal(host[0].q0, all ? 4 : 4 | 1 << 4 | order << 27 | 64ull << 32);
            assert_int_equal(u->irt[64 + (1u << MIN(order, 6ull)) - 1].lo & 1, 1);
            assert_int_equal(u->irt[64 + (1u << MIN(order, 6ull))].lo & 1, all);
            finish();
        }
    /* the list of them; the last entry of the guest's table, and none behind it */
    in_use(&(struct world_cfg){ .wait_us = 100, .ecap = ECAP_REMAPPING, .quiet = true });
    guest_irte(255, vector(0x41), 0);
    guest_irte(256, vector(0x42), 0);
    guest_remapping(0, true);
    u = units[0];
    assert_int_equal(u->irt[255].lo & 1, 1); /* complete before hardware is told */
    assert_int_equal(u->irt[256].lo & 1, 0);
    q_push(0, 4 | 1 << 4 | 256ull << 32, 0);
    guest_irte(255, 0, 0);
    q_push(0, 4, 0);
    assert_true(q_sync(0));
    assert_int_equal((u->irt[255].lo | u->irt[256].lo) & 1, 0);
    replay_enter(u);
    for (unsigned i = 0; i <= PLAN_IEC; i++) {
        assert_false(u->plan.iec_all);
        ir_request(u, i, 0);
    }
    assert_true(u->plan.iec_all);
    plan_reset(u);
    host_clear();
    for (unsigned i = 0; i < PLAN_IEC; i++)
        ir_request(u, i, 0);
    replay_now(u);
    assert_int_equal(host_count(4), PLAN_IEC);
    replay_leave(u);
    finish();
}

/* The address that names a message's entry (5.1.2.2). */
static u64 named(const struct iommu_message *m)
{
    return SENT_ALONE | (m->index & 0x7fffull) << 5 | (m->index >> 15 ? 4 : 0);
}

static void strict_on(void)
{
    in_use(&(struct world_cfg){ .wait_us = 100, .ecap = ECAP_REMAPPING, .strict = true });
    W.device_irqs_expected = true;
}

static struct iommu_message *message(unsigned f, u32 source)
{
    struct iommu_message *m = iommu_messages(0, W.cfg.fn[f].sid, source, 2);

    assert_non_null(m);
    return m;
}

/* What a device makes up itself never passes; what the guest programmed does, from whom it was programmed for
 * and as it was programmed. */
static void strict_translates(void **state)
{
    (void)state;
    strict_on();
    assert_int_equal(msi(ATS, 0xfee00000, 0x41).status, MODEL_BLOCKED);
    assert_int_equal(msi(ATS, 0xfee00000, 0x441).status, MODEL_BLOCKED);
    struct iommu_message *m = message(ATS, SID_ATS | IOMMU_SOURCE_EXACT);
    assert_int_equal(msi(ATS, named(m), 0).status, MODEL_BLOCKED);
    iommu_message_set(m, 0xfee0300c, 0x8141); /* to 3, a hint, logical, level, lowest priority */
    assert_int_equal(msi(ATS, named(m), 0).status, MODEL_INTERRUPT);
    assert_int_equal(W.device_irqs, 1);
    assert_int_equal(W.device_irq[0].addr, 0xfee0300c);
    assert_int_equal(W.device_irq[0].data & 0x87ff, 0x8141);
    assert_int_equal(msi(ATS, named(m), 1).status, MODEL_BLOCKED); /* the second is not programmed */
    assert_int_equal(msi(PLAIN, named(m), 0).status, MODEL_BLOCKED);
    model_fill_all(W.unit[0]);
    iommu_message_set(m, 0xfee00000, 0x52);
    iommu_message_set(m + 1, 0xfee00000, 0x53);
    for (unsigned i = 0; i < 2; i++) {
        W.device_irqs = 0;
        assert_int_equal(msi(ATS, named(m), i).status, MODEL_INTERRUPT);
        assert_int_equal(W.device_irq[0].data & 0xff, 0x52 + i);
    }
    host_clear();
    iommu_message_set(m, 0xfee00000, 0x52); /* as it is already */
    assert_int_equal(nr_host, 0);
    model_fill_all(W.unit[0]);
    iommu_message_set(m, 0, 0);
    assert_int_equal(msi(ATS, named(m), 0).status, MODEL_BLOCKED);
    for (unsigned mode = 2; mode < 8; mode++) {
        iommu_message_set(m, 0xfee00000, (u16)(mode << 8 | 0x41));
        assert_int_equal(msi(ATS, named(m), 0).status, MODEL_BLOCKED);
    }
    iommu_message_set(m, 0xfee00000, 0x0f);
    assert_int_equal(msi(ATS, named(m), 0).status, MODEL_BLOCKED);
    /* what an IOAPIC passes on from a conventional controller, which gives the vector itself; nothing else,
     * and nobody else */
    m = message(ATS, SID_ATS | IOMMU_SOURCE_EXACT | IOMMU_SOURCE_EXTINT);
    for (unsigned mode = 0; mode < 8; mode++) {
        iommu_message_set(m, 0xfee00000, (u16)(mode << 8 | (mode == 7 ? 0 : 0x41)));
        W.device_irqs = 0;
        assert_int_equal(msi(ATS, named(m), 0).status == MODEL_INTERRUPT, mode < 2 || mode == 7);
        assert_int_equal(msi(PLAIN, named(m), 0).status, MODEL_BLOCKED);
    }
    assert_int_equal(W.device_irq[0].data & 0x700, 0x700);
    /* behind a bridge: the bus has to be right */
    m = message(ATS, 0x0001 | IOMMU_SOURCE_BUSES);
    iommu_message_set(m, 0xfee00000, 0x61);
    assert_int_equal(msi(PLAIN, named(m), 0).status, MODEL_INTERRUPT);
    assert_int_equal(msi(ATS2, named(m), 0).status, MODEL_BLOCKED);
    finish();
}

/* The guest's own remapping takes the place of ours while it is on, and compatibility format is not to be
 * had.
 */
static void strict_with_the_guests_own(void **state)
{
    (void)state;
    strict_on();
    struct iommu_message *m = message(ATS, SID_ATS | IOMMU_SOURCE_EXACT);
    iommu_message_set(m, 0xfee00000, 0x41);
    put_irte(3, vector(0x52), 0);
    guest_w64(0, R_IRTA, IRT | 7);
    guest_gcmd(0, G_SIRTP, true);
    assert_int_equal(msi(ATS, named(m), 0).status, MODEL_INTERRUPT);
    guest_gcmd(0, G_IRE, true);
    W.device_irqs = 0;
    assert_int_equal(msi(ATS, named(m), 0).status, MODEL_BLOCKED);
    assert_int_equal(msi(ATS, SENT_ALONE, 3).status, MODEL_INTERRUPT);
    assert_int_equal(W.device_irq[0].data & 0xff, 0x52);
    guest_w32(0, R_GCMD, guest_r32(0, R_GSTS) | 1u << 23); /* CFI */
    assert_false(guest_r32(0, R_GSTS) & 1u << 23);
    assert_int_equal(msi(ATS, 0xfee00000, 0x41).status, MODEL_BLOCKED);
    iommu_message_set(m, 0xfee00000, 0x62);
    assert_int_equal(msi(ATS, named(m), 0).status, MODEL_BLOCKED);
    guest_gcmd(0, G_IRE, false);
    W.device_irqs = 0;
    assert_int_equal(msi(ATS, named(m), 0).status, MODEL_INTERRUPT);
    assert_int_equal(W.device_irq[0].data & 0xff, 0x62);
    assert_int_equal(msi(ATS, SENT_ALONE, 3).status, MODEL_BLOCKED);
    assert_int_equal(msi(ATS, 0xfee00000, 0x41).status, MODEL_BLOCKED);
    finish();
}

/* Messages lie side by side, and each keeps what it is when the next ones are given out. */
static void strict_side_by_side(void **state)
{
    struct iommu_message *a, *b;

    (void)state;
    strict_on();
    a = iommu_messages(0, SID_ATS, SID_ATS, 1);
    iommu_message_set(a, 0xfee00000, 0x41);
    b = iommu_messages(0, SID_ATS2, SID_ATS2, 2);
    assert_ptr_equal(b + 2, a);
    assert_int_equal(a->source, SID_ATS);
    assert_int_equal(a->data, 0x41);
    assert_int_equal(b[1].source, SID_ATS2);
    finish();
}

static void strict_is_bounded(void **state)
{
    (void)state;
    strict_on();
    assert_non_null(iommu_messages(0, SID_ATS, SID_ATS | IOMMU_SOURCE_EXACT, 0xffff));
    u64 warnings = W.warnings;
    assert_null(iommu_messages(0, SID_ATS, SID_ATS | IOMMU_SOURCE_EXACT, 2));
    assert_int_equal(W.warnings, warnings + 1);
    assert_non_null(strstr(W.last_log, "no entries left"));
    assert_non_null(iommu_messages(0, SID_ATS, SID_ATS | IOMMU_SOURCE_EXACT, 1));
    finish();
    in_use(&(struct world_cfg){ .wait_us = 100, .ecap = ECAP_REMAPPING });
    assert_null(iommu_messages(0, SID_ATS, SID_ATS | IOMMU_SOURCE_EXACT, 1)); /* nobody asked for that */
    /* A unit that cannot is refused. */
    assert_int_not_equal(world_start(&(struct world_cfg){ .strict = true }), 0);
    assert_non_null(strstr(W.last_log, "interrupt remapping"));
}

/* Where the unit does not snoop, the table that nobody has written to is empty in memory, too; and a guest's
 * table outside its memory has no entries. */
static void tables_of_nobody(void **state)
{
    (void)state;
    for (unsigned outside = 0; outside < 2; outside++) {
        in_use(&(struct world_cfg){
            .wait_us = 100, .pace = MODEL_PACE_DELAYED, .pace_max = 3, .ecap = ECAP_REMAPPING & ~E_C });
        W.device_irqs_expected = true;
        guest_w64(0, R_IRTA, (outside ? REGION_BASE : IRT) | 7);
        guest_gcmd(0, G_SIRTP, true);
        guest_gcmd(0, G_IRE, true);
        guest_gcmd(0, G_IRE, false);
        guest_gcmd(0, G_IRE, true);
        for (u32 i = 0; i < 256; i++) {
            assert_int_equal(msi(ATS, SENT_ALONE, i).status, MODEL_BLOCKED);
            assert_int_equal(msi(ATS, SENT_ALONE, i).reason, 0x22);
        }
        assert_int_equal(W.device_irqs, 0);
        finish();
    }
}

/* What replaces a batch whose descriptors the unit refused covers interrupt entries, too. */
static void an_error_loses_no_entry(void **state)
{
    (void)state;
    in_use(&(struct world_cfg){ .wait_us = 100,
                                .pace = MODEL_PACE_DELAYED,
                                .keep = { [MODEL_C_IEC] = MODEL_KEEP_ALL },
                                .ecap = ECAP_REMAPPING });
    W.device_irqs_expected = true;
    guest_w64(0, R_IRTA, IRT | 7);
    guest_gcmd(0, G_SIRTP, true);
    guest_gcmd(0, G_IRE, true);
    put_irte(3, vector(0x41), 0);
    flush_entry(3);
    assert_int_equal(msi(ATS, SENT_ALONE, 3).status, MODEL_INTERRUPT);
    put_irte(3, 0, 0);
    rot_queue();
    flush_entry(3);
    W.on_write = NULL;
    assert_false(rotten);
    assert_false(model_stale_irte(W.unit[0], 3));
    assert_int_equal(msi(ATS, SENT_ALONE, 3).status, MODEL_BLOCKED);
}

/* Where destinations become those of the x2APIC, or stop to be, the unit's own table pointer says so. */
static void the_units_pointer_follows(void **state)
{
    (void)state;
    remapping_on(0);
    for (u64 eime = 1; eime < 8; eime++) {
        guest_w64(0, R_IRTA, IRT | (eime & 1) << 11 | 7);
        guest_gcmd(0, G_SIRTP, true);
        assert_int_equal(model_reg_read(W.unit[0], R_IRTA, 8) >> 11 & 1, eime & 1);
    }
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strict_translates),         cmocka_unit_test(strict_with_the_guests_own),
        cmocka_unit_test(strict_is_bounded),         cmocka_unit_test(strict_side_by_side),
        cmocka_unit_test(the_guests_entries_count),  cmocka_unit_test(nothing_but_ordinary_interrupts),
        cmocka_unit_test(reserved_bits_of_an_entry), cmocka_unit_test(source_of_an_entry),
        cmocka_unit_test(compatibility_format),      cmocka_unit_test(flushes_of_every_width),
        cmocka_unit_test(entries_that_are_flushed),  cmocka_unit_test(an_error_loses_no_entry),
        cmocka_unit_test(the_units_pointer_follows), cmocka_unit_test(tables_of_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
