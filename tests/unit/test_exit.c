/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/exit.c hv/mmio.c hv/access.c hv/bus.c hv/fetch.c hv/walk.c */
/* LINK: arch/insn.c arch/insn_exec.c arch/fmt.c */
/*
 * The run loop: what each exit means, whose an NMI is, and that a move which is remembered does what it did
 * the first time, and nothing else.
 */
#include "tests/unit/guest_world.h"
#include "hv/options.h"

/* ---- what exit.c calls ---- */

struct options options;
bool iommu_left;
static unsigned outstanding; /* times that the answer is yes */
static bool event, echo;
static struct vcpu_exit exits[8];
static unsigned nr_exits, next_exit;
static u64 guest_reg[REG_CPL + 1];
static bool xcr_good;

#define HANDLER(name)          \
    void name(struct vcpu *v)  \
    {                          \
        (void)v;               \
        tell("%s ", __func__); \
    }
HANDLER(handle_cpuid)
HANDLER(handle_rdmsr)
HANDLER(handle_wrmsr)
HANDLER(handle_hypercall)
HANDLER(vcpu_inject_nmi)
HANDLER(vcpu_dump)

void handle_io(struct vcpu *v, const struct vcpu_exit *exit)
{
    (void)v;
    tell("port:%x ", exit->port);
}

void cpu_serve(struct vcpu *v)
{
    tell("serve:%x ", v->requests);
    v->requests &= v->requests - 1;
}

void vcpu_stop_others(void)
{
    tell("stop ");
}

void iommu_counters(void)
{
    tell("counters ");
}

void iommu_inside_show(void)
{
    tell("trace ");
}

bool iommu_outstanding(void)
{
    return outstanding && outstanding--;
}

bool iommu_event(void)
{
    tell("event ");
    return event;
}

bool iommu_echo(void)
{
    tell("echo ");
    return echo;
}

bool xsetbv_safe(u32 index, u64 value)
{
    tell("xcr%u=%llx ", index, (unsigned long long)value);
    return xcr_good;
}

static u64 get(struct vcpu *v, enum vcpu_reg reg)
{
    (void)v;
    return guest_reg[reg];
}

static void take_nmi(struct vcpu *v)
{
    (void)v;
    tell("take ");
}

static void exit_within(struct vcpu *v, u32 us)
{
    (void)v;
    tell("within:%u ", us);
}

static void run(struct vcpu *v)
{
    assert_true(v->in_guest);
    if (next_exit == nr_exits)
        end("out");
    v->exit = exits[next_exit++];
}

static int set_up(void **state)
{
    options.shutdown_halt = 0;
    iommu_left = event = echo = false;
    outstanding = nr_exits = next_exit = 0;
    memset(guest_reg, 0, sizeof(guest_reg));
    backend.get = get;
    backend.take_nmi = take_nmi;
    backend.run = run;
    backend.exit_within = NULL;
    return guest_set_up(state);
}

/* The guest runs until it has made these exits, "out " is said then. */
static void go(void)
{
    next_exit = 0;
    assert_true(ends(guest_run(&cpu)));
}

static void go_once(struct vcpu_exit exit)
{
    exits[0] = exit;
    nr_exits = 1;
    go();
}

/* ---- exits ---- */

static void each_kind(void **state)
{
    static const struct {
        enum vcpu_exit_kind kind;
        const char *story;
    } t[] = {
        { VEXIT_AGAIN, "out " },
        { VEXIT_IO, "port:123 out " },
        { VEXIT_CPUID, "handle_cpuid out " },
        { VEXIT_RDMSR, "handle_rdmsr out " },
        { VEXIT_WRMSR, "handle_wrmsr out " },
        { VEXIT_HYPERCALL, "handle_hypercall out " },
        { VEXIT_VIRT_INSN, "#6 out " },
        { VEXIT_NMI, "take event echo vcpu_inject_nmi out " },
        { VEXIT_INIT, "reset " },
        { VEXIT_SHUTDOWN, "stop vcpu_dump counters trace reset " },
        { VEXIT_UNKNOWN, "vcpu_dump panic " },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        go_once((struct vcpu_exit){ .kind = t[i].kind, .port = 0x123 });
        assert_story(t[i].story);
        assert_false(i < 8 ? !cpu.in_guest : cpu.in_guest);
    }
    assert_int_equal(cpu.exits, ARRAY_SIZE(t));
    assert_true(said("INIT from outside") && said("triple fault"));
    options.shutdown_halt = 1;
    go_once((struct vcpu_exit){ .kind = VEXIT_SHUTDOWN });
    assert_story("stop vcpu_dump counters trace halted ");
    assert_non_null(strstr(last_line, "halted"));
}

/* The report of what the guest died of shows the code, where it can be read. */
static void the_report(void **state)
{
    (void)state;
    put_code((const u8[]){ 0x0f, 0x0b }, 2);
    go_once((struct vcpu_exit){ .kind = VEXIT_UNKNOWN });
    assert_memory_equal(last_line, "code 0f 0b 06", 13);
    map(CODE, 0);
    go_once((struct vcpu_exit){ .kind = VEXIT_UNKNOWN });
    assert_string_equal(last_line, "code cannot be read");
}

static void requests_come_first(void **state)
{
    (void)state;
    cpu.requests = 0x7000;
    go_once((struct vcpu_exit){ .kind = VEXIT_CPUID });
    assert_story("serve:7000 serve:6000 serve:4000 handle_cpuid out ");
}

void wbinvd(void)
{
    tell("wbinvd ");
}

static void caches_are_written_back(void **state)
{
    (void)state;
    put_code((const u8[]){ 0x0f, 0x08 }, 2);
    go_once((struct vcpu_exit){ .kind = VEXIT_INVD });
    assert_story("done wbinvd out ");
    assert_int_equal(cpu.rip, CODE + 2);
    go_once((struct vcpu_exit){ .kind = VEXIT_INVD }); /* other bytes by now */
    assert_story("out ");
}

static void extended_states(void **state)
{
    static const struct {
        u64 cr4, cpl;
        bool good;
        const char *story;
    } t[] = {
        { 0, 0, true, "#6 out " },
        { CR4_OSXSAVE, 3, true, "#13(0) out " },
        { CR4_OSXSAVE, 0, false, "xcr5=200000007 #13(0) out " },
        { CR4_OSXSAVE, 0, true, "xcr5=200000007 done out " },
    };

    (void)state;
    cpu.gpr[RCX] = 5 | BIT(32);
    cpu.gpr[RAX] = 7 | BIT(40);
    cpu.gpr[RDX] = 2;
    put_code((const u8[]){ 0x0f, 0x01, 0xd1 }, 3);
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        cpu.rip = CODE;
        guest_reg[REG_CR4] = t[i].cr4;
        guest_reg[REG_CPL] = t[i].cpl;
        xcr_good = t[i].good;
        go_once((struct vcpu_exit){ .kind = VEXIT_XSETBV });
        assert_story(t[i].story);
        assert_int_equal(cpu.rip, i == 3 ? CODE + 3 : CODE);
    }
}

/* ---- NMIs ---- */

static void whose_nmi(void **state)
{
    static const struct {
        u32 index;
        bool kicked, event, echo;
        const char *story;
    } t[] = {
        { 0, false, false, false, "event echo vcpu_inject_nmi " },
        { 0, false, false, true, "event echo " },
        { 0, false, true, false, "event " },
        { 0, true, false, false, "event " }, /* a kick, and the event is looked for all the same */
        { 1, true, true, true, "" },
        { 1, false, true, true, "vcpu_inject_nmi " }, /* units tell the CPU that booted only */
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        cpu.index = t[i].index;
        cpu.kicked = t[i].kicked;
        event = t[i].event;
        echo = t[i].echo;
        judge_nmi(&cpu);
        assert_story(t[i].story);
        assert_false(cpu.kicked);
    }
}

/* What was left to events is looked after at each exit; the event's own NMI is then nobody's. */
static void work_left_to_events(void **state)
{
    (void)state;
    iommu_left = true;
    event = true;
    backend.exit_within = exit_within;
    outstanding = 2;
    go_once((struct vcpu_exit){ .kind = VEXIT_AGAIN });
    assert_story("event within:1000 out ");
    outstanding = 1; /* done by that look */
    go();
    assert_story("event out ");
    backend.exit_within = NULL; /* a CPU without means for that */
    outstanding = 2;
    go();
    assert_story("event out ");
    outstanding = 0;
    go();
    assert_story("out ");
    event = false;
    judge_nmi(&cpu);
    assert_story("event ");
    judge_nmi(&cpu);
    assert_story("event echo vcpu_inject_nmi ");
    outstanding = 1; /* a look that finds nothing takes no NMI */
    go();
    judge_nmi(&cpu);
    assert_story("event out event echo vcpu_inject_nmi ");
}

/* ---- moves that are remembered ---- */

/* As long as one is known, nobody asks for the CPU's mode. */
static void move(u64 rax, u64 gpa, u64 access, bool known, const char *want)
{
    unsigned before = mode_reads;

    cpu.rip = CODE;
    cpu.gpr[RAX] = rax;
    cpu.rflags = RFLAGS_RF;
    go_once((struct vcpu_exit){ .kind = VEXIT_NESTED, .gpa = gpa, .access = access });
    assert_int_equal(before == mode_reads, known);
    assert_story(want);
}

static void the_same_move_again(void **state)
{
    static const struct {
        u8 code[8];
        bool write;
        u64 rcx;
        const char *story;
    } t[] = {
        { { LOAD }, false, 0xb3b2b1b0, "R4:10 done out " },
        { { LOAD8 }, false, 0xb7b6b5b4b3b2b1b0, "R8:10 done out " },
        { { STORE }, true, 0x1122334455667788, "W4:10=55667788 done out " },
        { { STORE8 }, true, 0x1122334455667788, "W8:10=1122334455667788 done out " },
        { { 0xc7, 0x00, 1, 2, 3, 4 }, true, 0x1122334455667788, "W4:10=4030201 done out " },
        { { 0x89, 0x0c, 0x25, 0x10, 0, 0x80, 0 }, true, 0x1122334455667788, "W4:10=55667788 done out " },
        { { 0x89, 0x48, 0xfc }, true, 0x1122334455667788, "W4:10=55667788 done out " },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        u64 at = DEVICE + (t[i].code[1] == 0x48 && t[i].code[2] == 0xfc ? 0x14 : 0x10), rip;

        set_up(state);
        put_code(t[i].code, sizeof(t[i].code));
        for (unsigned n = 0; n < 3; n++) {
            cpu.gpr[RCX] = 0x1122334455667788;
            cpu.mismatches = 5;
            move(at, REGS + 0x10, t[i].write ? NESTED_WRITE : 0, n > 0, t[i].story);
            assert_int_equal(cpu.gpr[RCX], t[i].rcx);
            assert_int_equal(cpu.mismatches, 0);
            assert_int_equal(cpu.rflags, 0);
            if (!n)
                rip = cpu.rip;
            assert_int_equal(cpu.rip, rip);
        }
    }
}

/* Another register of the same device is reached as far as it lies in a page of it, whole. */
static void other_registers_by_the_same_move(void **state)
{
    (void)state;
    map(DEVICE + 2 * PAGE_SIZE, (REGS + 2 * PAGE_SIZE) | RW);
    map(DEVICE - PAGE_SIZE, HOLE | RW);
    put_code((const u8[]){ LOAD }, 2);
    move(DEVICE, REGS, 0, false, "R4:0 done out ");
    move(DEVICE + 4, REGS + 4, 0, true, "R4:4 done out ");
    move(DEVICE + 0xffc, REGS + 0xffc, 0, true, "R4:ffc done out ");
    move(DEVICE + 0x1ffc, REGS + 0x1ffc, 0, true, "R4:1ffc done out ");
    move(DEVICE + 0x1000, REGS + 0x1000, 0, true, "R4:1000 done out ");
    move(DEVICE + 0xffd, REGS + 0xffd, 0, false, "R1:1000 R2:ffd R1:fff done out ");
    move(DEVICE, REGS, 0, true, "R4:0 done out ");
    move(DEVICE + 0x2000, REGS + 0x2000, 0, false, "done out "); /* behind the last */
    move(DEVICE, REGS, 0, true, "R4:0 done out ");
    move(DEVICE - 0x1000, HOLE, 0, false, "done out ");
    move(DEVICE - 0x1000, HOLE, 0, false, "done out ");
}

/* What the exit does not bear out is looked at as if for the first time. */
static void not_the_same_after_all(void **state)
{
    (void)state;
    put_code((const u8[]){ LOAD }, 2);
    move(DEVICE + 0x10, REGS + 0x10, 0, false, "R4:10 done out ");
    move(DEVICE + 0x10, REGS + 0x10, NESTED_WRITE, false, "out ");
    assert_int_equal(cpu.mismatches, 1);
    move(DEVICE + 0x20, REGS + 0x10, 0, false, "out ");
    move(DEVICE + 0x10, REGS + 0x10, 0, true, "R4:10 done out ");
    cpu.rip = CODE;
    go_once((struct vcpu_exit){ .kind = VEXIT_AGAIN, .gpa = REGS + 0x10 }); /* no access at all */
    assert_story("out ");
    map(CODE, 0); /* the tables have changed */
    move(DEVICE + 0x10, REGS + 0x10, 0, false, "out ");
    /* No plain move, whatever it was the first time. */
    map(CODE, CODE_PAGE | PTE_P);
    put_code((const u8[]){ OR_TO }, 2);
    move(DEVICE + 0x10, REGS + 0x10, NESTED_WRITE, false, "R4:10 W4:10=b3b2b1b0 done out ");
    move(DEVICE + 0x10, REGS + 0x10, NESTED_WRITE, false, "R4:10 W4:10=b3b2b1b0 done out ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_kind, set_up),
        cmocka_unit_test_setup(the_report, set_up),
        cmocka_unit_test_setup(requests_come_first, set_up),
        cmocka_unit_test_setup(caches_are_written_back, set_up),
        cmocka_unit_test_setup(extended_states, set_up),
        cmocka_unit_test_setup(whose_nmi, set_up),
        cmocka_unit_test_setup(work_left_to_events, set_up),
        cmocka_unit_test_setup(the_same_move_again, set_up),
        cmocka_unit_test_setup(other_registers_by_the_same_move, set_up),
        cmocka_unit_test_setup(not_the_same_after_all, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
