/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What CPUs ask of each other. A request is a bit in the other's word; where that CPU runs the guest, an NMI
 * brings it out. Both sides write their half and then look at the other's (the word, and whether the CPU is
 * in the guest), with a full fence between, so that one of the two always sees the other.
 */
#include "arch/vcpu.h"
#include "arch/cpu.h"
#include "arch/lapic.h"
#include "arch/log.h"

/* An NMI ends the guest's turn at once; only firmware's SMM may delay it. */
#define ANSWER_US 10000000
#define STOP_US   100000

const struct vcpu_backend *vcpu_ops;
bool (*vcpu_guest_access)(struct vcpu *v, const struct vcpu_mode *mode, u64 linear, void *data, unsigned size,
                          bool write);

struct vcpu *vcpu_of(u32 index)
{
    const struct percpu *cpu = percpu_of(index);

    return cpu ? cpu->vcpu : NULL;
}

/* At most one of our NMIs is under way to a CPU: that is how it tells them from the guest's. */
static void kick(struct vcpu *v)
{
    if (v != this_cpu()->vcpu && !__atomic_exchange_n(&v->kicked, true, __ATOMIC_SEQ_CST))
        lapic_send((u32)(MODE_NMI << 8 | ICR_ASSERT), percpu_of(v->index)->apic_id);
}

void vcpu_request(struct vcpu *v, u32 what)
{
    __atomic_fetch_or(&v->requests, what, __ATOMIC_SEQ_CST);
    kick(v);
}

void vcpu_init_ipi(struct vcpu *v)
{
    u32 old = __atomic_load_n(&v->requests, __ATOMIC_RELAXED), new;

    do
        new = (old & ~(VCPU_SIPI | VCPU_VECTOR | VCPU_NMI)) | VCPU_INIT;
    while (!__atomic_compare_exchange_n(&v->requests, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    kick(v);
}

void vcpu_sipi(struct vcpu *v, u8 vector)
{
    u32 old = __atomic_load_n(&v->requests, __ATOMIC_RELAXED);

    do {
        if (!(old & (VCPU_WAITING | VCPU_INIT)) || old & VCPU_SIPI)
            return;
    } while (!__atomic_compare_exchange_n(&v->requests, &old, old | VCPU_SIPI | vector, false,
                                          __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    kick(v);
}

u32 vcpu_take_requests(struct vcpu *v)
{
    u32 old = __atomic_load_n(&v->requests, __ATOMIC_RELAXED), new;

    /* INIT becomes waiting in the same step: a start-up message that follows must find one or the other. */
    do
        new = (old & (VCPU_WAITING | VCPU_INIT)) && !(old & VCPU_SIPI) ? VCPU_WAITING : 0;
    while (!__atomic_compare_exchange_n(&v->requests, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    return old;
}

/* Is it still in the guest, without having taken the request? */
static bool outstanding(const struct vcpu *v, u32 what)
{
    return __atomic_load_n(&v->in_guest, __ATOMIC_SEQ_CST) &&
           (__atomic_load_n(&v->requests, __ATOMIC_SEQ_CST) & what);
}

/* False: one has not answered in time. */
static bool ask_others(u32 what, u64 patience_us)
{
    const struct vcpu *self = this_cpu()->vcpu;
    u64 start = clock_us();
    struct vcpu *v;

    for (u32 i = 0; (v = vcpu_of(i)) != NULL; i++)
        if (v != self)
            vcpu_request(v, what);
    for (u32 i = 0; (v = vcpu_of(i)) != NULL; i++) {
        while (v != self && outstanding(v, what)) {
            if (clock_us() - start > patience_us)
                return false;
            cpu_pause();
        }
    }
    return true;
}

void vcpu_request_others(u32 what)
{
    if (!ask_others(what, ANSWER_US))
        panic("a CPU does not leave the guest");
}

void vcpu_flush_all(void)
{
    if (this_cpu()->vcpu)
        vcpu_ops->nested_flush(this_cpu()->vcpu);
    vcpu_request_others(VCPU_FLUSH);
}

void vcpu_stop_others(void)
{
    (void)!ask_others(VCPU_STOP, STOP_US);
}
