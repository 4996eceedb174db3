/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/cpus.c */
/* The machine's CPUs as the guest has them: waiting, started, reset, and what one does for another. */
#include "tests/unit/machine_world.h"
#include "arch/smp.h"
#include "hv/cpus.h"
#include "hv/exit.h"
#include "hv/fetch.h"

#define NR_CPUS 3

static struct percpu blocks[NR_CPUS];
static u32 current;
static int msr_error, create_error, fetch_error;
static u32 asked;
static u64 now, tick;      /* the clock, and how far it goes with each look */
static unsigned nmi_comes; /* at which take_nmi(); 0: never */
static unsigned taken;
static bool kicked_first; /* while it idles, the kick has been seen before its NMI */

struct percpu *this_cpu(void)
{
    return &blocks[current];
}

struct vcpu *vcpu_of(u32 index)
{
    return index < NR_CPUS ? blocks[index].vcpu : NULL;
}

int fetch_init(struct vcpu *v)
{
    (void)v;
    return fetch_error;
}

void mtrr_load(void)
{
    tell("mtrrs ");
}

int msr_cpu_init(void)
{
    return msr_error;
}

void apic_cpu_init(struct vcpu *v)
{
    tell("apic:%u ", v->index);
}

void apic_reset(struct vcpu *v)
{
    tell("apic-reset:%u ", v->index);
}

void guest_run(struct vcpu *v)
{
    tell("run:%u ", v->index);
    end("out");
}

void vcpu_inject_nmi(struct vcpu *v)
{
    tell("nmi:%u ", v->index);
}

void vcpu_start(struct vcpu *v, const struct vcpu_start *start)
{
    assert_int_equal(start->mode, START_REAL);
    tell("start:%u=%x,%llx ", v->index, start->sipi_vector, (unsigned long long)start->gpr[RDX]);
}

u32 vcpu_take_requests(struct vcpu *v)
{
    assert_false(v->in_guest);
    return asked;
}

u32 smp_start(const struct boot_info *info, int (*start)(void), void (*run)(void))
{
    assert_null(info);
    for (current = 1; current < NR_CPUS; current++) {
        assert_int_equal(start(), 0);
        assert_true(ends(run()));
    }
    return NR_CPUS;
}

u64 clock_us(void)
{
    return now += tick;
}

void cpuid(u32 leaf, u32 sub, u32 out[4])
{
    assert_true(leaf == 1 && sub == 0);
    memset(out, 0, 4 * sizeof(*out));
    out[0] = 0x806e9;
}

static int create(struct vcpu *v)
{
    assert_int_equal(v->index, current);
    return create_error;
}

static void flush(struct vcpu *v)
{
    tell("flush:%u ", v->index);
}

static void idle(struct vcpu *v, u32 unless)
{
    assert_int_equal(unless, VCPU_WAITING);
    tell("idle ");
    v->kicked = kicked_first;
}

static void take_nmi(struct vcpu *v)
{
    (void)v;
    if (++taken == nmi_comes)
        blocks[current].nmi_count++;
}

static struct vcpu_backend backend = {
    .vcpu_create = create, .nested_flush = flush, .idle = idle, .take_nmi = take_nmi
};
const struct vcpu_backend *vcpu_ops = &backend;

static int set_up(void **state)
{
    msr_error = create_error = fetch_error = 0;
    now = tick = asked = taken = nmi_comes = 0;
    kicked_first = false;
    for (current = NR_CPUS; current-- > 0;) {
        blocks[current] = (struct percpu){ .index = current, .nmi_count = 7 };
        if (cpu_setup())
            return 1;
    }
    current = 1;
    return machine_set_up(state);
}

static void set_up_one_by_one(void **state)
{
    (void)state;
    for (u32 i = 0; i < NR_CPUS; i++) {
        assert_int_equal(vcpu_of(i)->index, i);
        /* The CPU that booted goes on, the others wait for their start-up message. */
        assert_int_equal(vcpu_of(i)->requests, i ? VCPU_WAITING : 0);
    }
    assert_int_equal(cpus_start(NULL), NR_CPUS);
    assert_story("mtrrs apic:1 run:1 out mtrrs apic:2 run:2 out ");
    current = 2;
    blocks[2].vcpu = NULL;
    create_error = ERR_NODEV;
    assert_int_equal(cpu_setup(), ERR_NODEV);
    create_error = 0;
    fetch_error = ERR_NOMEM;
    assert_int_equal(cpu_setup(), ERR_NOMEM);
    msr_error = ERR_BUSY;
    assert_int_equal(cpu_setup(), ERR_BUSY);
    assert_story("");
    assert_null(blocks[2].vcpu); /* nobody may ask it */
}

static bool does_not_come_back(struct vcpu *v)
{
    return ends(cpu_serve(v));
}

static void each_request(void **state)
{
    static const struct {
        u32 asked;
        const char *story;
    } t[] = {
        { VCPU_STOP | VCPU_MTRRS, "halted " },
        { VCPU_MTRRS, "mtrrs " },
        { VCPU_FLUSH, "flush:1 " },
        { VCPU_NMI, "nmi:1 " },
        { VCPU_SIPI | 0x9a, "start:1=9a,806e9 " },
        { VCPU_INIT, "apic-reset:1 idle " },
        { VCPU_WAITING, "idle " },
        { VCPU_WAITING | VCPU_NMI | VCPU_FLUSH, "flush:1 idle " }, /* as the CPU would lose it */
        { VCPU_INIT | VCPU_SIPI | VCPU_NMI | 8, "apic-reset:1 start:1=8,806e9 " },
        { VCPU_MTRRS | VCPU_FLUSH | VCPU_NMI, "mtrrs flush:1 nmi:1 " },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        struct vcpu *v = vcpu_of(1);

        v->in_guest = true;
        asked = t[i].asked;
        assert_int_equal(does_not_come_back(v), (asked & VCPU_STOP) != 0);
        assert_story(t[i].story);
    }
}

/* A kick whose request is seen first: its NMI is waited for, or the guest would get it; but not for ever. */
static void the_kick_that_is_late(void **state)
{
    static const struct {
        bool kicked;
        unsigned comes;
        u64 tick;
        unsigned taken;
        bool left;
    } t[] = {
        { false, 0, 0, 1, false },    { false, 1, 0, 1, false },     { true, 1, 0, 2, false },
        { true, 5, 0, 6, false },     { true, 0, 99999, 2, true },   { true, 0, 100000, 1, true },
        { true, 2, 99999, 2, false }, { true, 1, 100000, 1, false },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        set_up(state);
        kicked_first = t[i].kicked;
        nmi_comes = t[i].comes;
        tick = t[i].tick;
        asked = VCPU_WAITING;
        cpu_serve(vcpu_of(1));
        assert_int_equal(taken, t[i].taken);
        assert_int_equal(vcpu_of(1)->kicked, t[i].left);
    }
}

static void counters(void **state)
{
    (void)state;
    vcpu_of(2)->exits = 12345;
    cpus_counters();
    assert_int_equal(log_lines, NR_CPUS);
    assert_non_null(strstr(last_line, "cpu=2 exits=12345"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(set_up_one_by_one, set_up),
        cmocka_unit_test_setup(each_request, set_up),
        cmocka_unit_test_setup(the_kick_that_is_late, set_up),
        cmocka_unit_test_setup(counters, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
