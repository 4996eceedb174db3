/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * Interrupt remapping: what the guest's table says is delivered, never an NMI, INIT, SMI or ExtINT, and what
 * its flushes cover is forgotten. The model's unit delivers, so the evidence is the message that comes out.
 */
#include "tests/unit/world_test.h"

#define ECAP_REMAPPING (ECAP_DEFAULT | 3ull << 3) /* IR and EIM */
#define IRT            0x90000ull                 /* a page of the guest's data: 256 entries */
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

static void remapping_on(u64 eime)
{
    in_use(&(struct world_cfg){ .wait_us = 100, .ecap = ECAP_REMAPPING });
    W.device_irqs_expected = true;
    guest_w64(0, R_IRTA, IRT | eime | 7);
    guest_gcmd(0, G_SIRTP, true);
    guest_gcmd(0, G_IRE, true);
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
        put_irte(3, vector(0x41), 0);
        flush_entry(3);
        assert_int_equal(msi(ATS, SENT_ALONE, 3).status, MODEL_INTERRUPT);
        assert_int_equal(W.device_irqs, 1);
        assert_int_equal(W.device_irq[0].data & 0xff, 0x41);
        put_irte(3, vector(0x52), 0);
        flush_entry(3);
        assert_int_equal(msi(ATS, SENT_ALONE, 3).status, MODEL_INTERRUPT);
        assert_int_equal(W.device_irq[1].data & 0xff, 0x52);
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
        flush_entry(5);
        W.device_irqs = 0;
        assert_int_equal(msi(ATS, SENT_ALONE, 5).status == MODEL_INTERRUPT, mode < 2);
        assert_int_equal(W.device_irqs, mode < 2);
    }
    put_irte(5, vector(0x0f), 0);
    flush_entry(5);
    assert_int_equal(msi(ATS, SENT_ALONE, 5).status, MODEL_BLOCKED);
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
}

/* Wide and global flushes, and entries beyond the table. */
static void flushes_of_every_width(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 33; order++) {
        remapping_on(0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_guests_entries_count),
        cmocka_unit_test(nothing_but_ordinary_interrupts),
        cmocka_unit_test(compatibility_format),
        cmocka_unit_test(flushes_of_every_width),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
