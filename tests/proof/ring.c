/* SPDX-License-Identifier: Apache-2.0 */
/* IN iommu/parts.h: % RING_ENTRIES => % 2 */
/*
 * The host's ring: what hostq_room() promises fits, with the two waits behind it, and never fills the ring so
 * that full looks like empty. Shown for rings of 16 slots, which the arithmetic does not tell from larger
 * ones.
 */
#include "iommu/desc.c"
#include "iommu/hostq.c"
#include "tests/proof/proof.h"

struct iommu_options iommu_opts;
static struct unit unit;

/* What hostq_room() says for a queue in any state that a batch may begin in. */
static u32 any_queue(void)
{
    struct host_queue *q = &unit.hq;

    q->mask = HQ_PAGES * PAGE_SIZE / sizeof(struct desc) - 1;
    q->step = any_bool() ? 2 : 1;
    q->first = any32();
    q->tail = any32();
    ASSUME(q->first <= q->mask && q->tail <= q->mask && q->first % q->step == 0 && q->tail % q->step == 0);
    /* At most the last batch's wait with interrupt is still there. */
    ASSUME(((q->tail - q->first) & q->mask) <= q->step);
    return hostq_room(&unit);
}

/* UNWIND: 4. Any number of descriptors up to the room there is, and the two waits. */
void proof_ring(void)
{
    const struct host_queue *q = &unit.hq;
    u32 room = any_queue(), pushed = any32();

    PROVE(room > 0 && room <= q->mask);
    ASSUME(pushed > 0 && pushed <= room + 2);
    PROVE(((q->tail + pushed * q->step) & q->mask) != q->first);
}

/* UNWIND: 4. */
void twin_ring(void)
{
    const struct host_queue *q = &unit.hq;
    u32 room = any_queue();

    PROVE(((q->tail + (room + 4) * q->step) & q->mask) != q->first);
}

/* UNWIND: 4. What the recovery reads back as the head is inside the ring, whatever the unit says. */
void proof_head(void)
{
    u32 mask = HQ_PAGES * PAGE_SIZE / sizeof(struct desc) - 1;
    u32 head = (u32)(any64() / sizeof(struct desc)) & mask;

    PROVE(head * sizeof(struct desc) + sizeof(struct desc) <= HQ_PAGES * PAGE_SIZE);
}

/* UNWIND: 4. */
void twin_head(void)
{
    u32 mask = HQ_PAGES * PAGE_SIZE / sizeof(struct desc) - 1;

    PROVE(((u32)(any64() / sizeof(struct desc)) & mask) < mask);
}

/* A device-TLB request goes into the ring where the tail is, and again if the device must be asked twice; or
 * not at all, where it would not be answered. Nothing else in the ring changes. */
static void push(bool too_much)
{
    static struct inside_record trace[2];
    static struct desc ring[16], before[16];
    struct host_queue *q = &unit.hq;
    struct fn f = { .twice = any_bool(), .answers_pasids = any_bool() };
    struct desc d = { any64(), any64() };
    u32 tail = any8() & 15, n, other = any8() & 15;

    ASSUME((d.lo & DESC_TYPE) == DESC_DEVTLB || (d.lo & DESC_TYPE) == DESC_PDEVTLB);
    __CPROVER_havoc_object(ring);
    before[other] = ring[other];
    unit.ring = trace;
    *q = (struct host_queue){ .ring = ring, .mask = 15, .step = any_bool() ? 2 : 1, .tail = tail };
    ASSUME(tail % q->step == 0);
    n = (d.lo & 0xf) == 8 && !f.answers_pasids ? 0 : f.twice ? 2 : 1;
    hostq_push_devtlb(&unit, &f, d);
    PROVE(q->tail == ((tail + n * q->step) & 15));
    for (u32 i = 0; i < n; i++)
        PROVE(ring[(tail + i * q->step) & 15].lo == d.lo && ring[(tail + i * q->step) & 15].hi == d.hi);
    if (too_much || (other != tail && other != ((tail + q->step) & 15)))
        PROVE(ring[other].lo == before[other].lo);
}

/* UNWIND: 4. */
void proof_push(void)
{
    push(false);
}

/* UNWIND: 4. */
void twin_push(void)
{
    push(true);
}
