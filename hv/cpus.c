/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's CPUs: brought up by Sluice before the guest runs, and from then on started and stopped by the
 * guest only as far as it can tell.
 */
#include "hv/cpus.h"
#include "arch/cpu.h"
#include "arch/log.h"
#include "arch/smp.h"
#include "hv/exit.h"
#include "hv/fetch.h"

static struct vcpu vcpus[MAX_CPUS];

int cpu_setup(void)
{
    struct vcpu *v = &vcpus[this_cpu()->index];

    v->index = this_cpu()->index;
    int err = msr_cpu_init();
    if (!err)
        err = vcpu_ops->vcpu_create(v);
    if (!err)
        err = fetch_init(v);
    if (err)
        return err;
    mtrr_load();
    apic_cpu_init(v);
    v->requests = v->index ? VCPU_WAITING : 0;
    /* From here on others may ask it. */
    __atomic_store_n(&this_cpu()->vcpu, v, __ATOMIC_RELEASE);
    return 0;
}

static void run(void)
{
    guest_run(this_cpu()->vcpu);
}

u32 cpus_start(const struct boot_info *info)
{
    return smp_start(info, cpu_setup, run);
}

void cpus_counters(void)
{
    struct vcpu *v;

    for (u32 i = 0; (v = vcpu_of(i)) != NULL; i++)
        log_info("count cpu=%u exits=%lu apic=%lu eoi=%lu", i, v->exits, v->apic_exits, v->eoi_exits);
}

/* As a start-up message leaves a CPU (AMD APM 2, 14.1.3): at the beginning of a page below 1 MiB. */
static void start_up(struct vcpu *v, u8 vector)
{
    struct vcpu_start start = { .mode = START_REAL, .sipi_vector = vector };
    u32 r[4];

    cpuid(1, 0, r);
    start.gpr[RDX] = r[0];
    vcpu_start(v, &start);
}

#define NMI_US 100000

/*
 * Until an NMI or a request comes. Where the request was faster than its NMI, that one is waited for: once
 * the guest runs here, it would be taken for the guest's.
 */
static void wait_for_start(struct vcpu *v)
{
    const volatile u32 *count = &this_cpu()->nmi_count;
    u32 seen = *count;

    vcpu_ops->idle(v, VCPU_WAITING);
    for (u64 start = clock_us();
         __atomic_load_n(&v->kicked, __ATOMIC_SEQ_CST) && *count == seen && clock_us() - start < NMI_US;) {
        vcpu_ops->take_nmi(v);
        cpu_pause();
    }
    vcpu_ops->take_nmi(v);
    if (*count != seen)
        __atomic_store_n(&v->kicked, false, __ATOMIC_SEQ_CST);
}

void cpu_serve(struct vcpu *v)
{
    vcpu_out(v);
    u32 asked = vcpu_take_requests(v);

    if (asked & VCPU_STOP)
        cpu_halt_forever();
    if (asked & VCPU_MTRRS)
        mtrr_load();
    if (asked & VCPU_FLUSH)
        vcpu_ops->nested_flush(v);
    if (asked & VCPU_INIT)
        apic_reset(v);
    if (asked & VCPU_SIPI) {
        start_up(v, (u8)(asked & VCPU_VECTOR));
    } else if (asked & (VCPU_WAITING | VCPU_INIT)) {
        wait_for_start(v);
    } else if (asked & VCPU_NMI) {
        vcpu_inject_nmi(v);
    }
}
