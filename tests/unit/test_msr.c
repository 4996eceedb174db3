/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/msr.c */
/* The guest's model-specific registers: which are the CPU's own, which are judged, and that the rest is #GP.
 */
#include "tests/unit/machine_world.h"
#include "arch/lapic.h"
#include "hv/exit.h"
#include "hv/fetch.h"

#define MISC_ENABLE 0x1a0u
#define HWCR        0xc0010015u

enum log_level log_threshold;

/* ---- the machine: every register holds the same ---- */

static u64 real_value;
static bool absent, accepts;
static u64 guest_reg[REG_CPL + 1];
static bool same_bytes;
static struct vcpu cpu;

bool rdmsr_safe(u32 msr, u64 *value)
{
    tell("rdmsr:%x ", msr);
    *value = real_value;
    return !absent;
}

bool wrmsr_safe(u32 msr, u64 value)
{
    tell("wrmsr:%x=%llx ", msr, (unsigned long long)value);
    return accepts;
}

bool vcpu_read_msr(struct vcpu *v, u32 msr, u64 *value)
{
    (void)v;
    tell("guest's:%x ", msr);
    *value = real_value;
    return true;
}

bool vcpu_write_msr(struct vcpu *v, u32 msr, u64 value)
{
    (void)v;
    tell("guest's:%x=%llx ", msr, (unsigned long long)value);
    return accepts;
}

u64 apic_read_base(const struct vcpu *v)
{
    (void)v;
    return 0xfee00900;
}

bool apic_write_base(struct vcpu *v, u64 value)
{
    (void)v;
    tell("apic=%llx ", (unsigned long long)value);
    return accepts;
}

bool apic_write_x2(struct vcpu *v, u32 msr, u64 value)
{
    (void)v;
    tell("judged:%x=%llx ", msr, (unsigned long long)value);
    return accepts;
}

static bool is_mtrr(u32 msr)
{
    return msr == 0x200 || msr == 0x26f || msr == 0x2ff;
}

bool mtrr_read(u32 msr, u64 *value)
{
    *value = 6;
    return is_mtrr(msr);
}

bool mtrr_write(u32 msr, u64 value)
{
    if (!is_mtrr(msr))
        return false;
    tell("mtrr:%x=%llx ", msr, (unsigned long long)value);
    return accepts;
}

void mtrr_init(void)
{
    tell("mtrrs ");
}

/* Every other feature that EFER has a bit for. */
void cpuid_or_0(u32 leaf, u32 sub, u32 out[4])
{
    static const struct {
        u32 leaf, out[4];
    } has[] = {
        { 0x80000001, { 0, 0, 1u << 17, 1u << 29 | 1u << 20 } }, /* TCE; long mode, NX */
        { 0x80000008, { 0, 1u << 13, 0, 0 } },                   /* INTWB */
        { 0x80000021, { 1u << 8, 0, 0, 0 } },                    /* automatic IBRS */
    };

    assert_int_equal(sub, 0);
    memset(out, 0, 4 * sizeof(*out));
    for (unsigned i = 0; i < ARRAY_SIZE(has); i++)
        if (has[i].leaf == leaf)
            memcpy(out, has[i].out, sizeof(has[i].out));
}

void vcpu_inject_exception(struct vcpu *v, u8 vector, bool has_code, u32 code)
{
    assert_ptr_equal(v, &cpu);
    assert_true(has_code && code == 0);
    tell("#%u ", vector);
}

bool fetch_skip(struct vcpu *v, const u8 *opcode, unsigned size)
{
    (void)v;
    assert_int_equal(size, 2);
    tell("%s%02x ", opcode[0] == 0x0f ? "" : "?", opcode[1]);
    return same_bytes;
}

static u64 get(struct vcpu *v, enum vcpu_reg reg)
{
    (void)v;
    return guest_reg[reg];
}

/* What the backend was told, in the order of numbers. */
static struct passed {
    u32 msr;
    bool read, write;
} passed[0x10000];
static unsigned nr_passed;

static void pass_msr(u32 msr, bool read, bool write)
{
    assert_true(nr_passed < ARRAY_SIZE(passed));
    passed[nr_passed++] = (struct passed){ msr, read, write };
}

static struct vcpu_backend backend = { .get = get, .pass_msr = pass_msr };
const struct vcpu_backend *vcpu_ops = &backend;

static int set_up(void **state)
{
    memset(&cpu, 0, sizeof(cpu));
    memset(guest_reg, 0, sizeof(guest_reg));
    log_threshold = LOG_INFO;
    real_value = 0x1122334455667788;
    absent = false;
    accepts = same_bytes = true;
    nr_passed = 0;
    return machine_set_up(state);
}

static void do_read(u32 msr)
{
    cpu.gpr[RCX] = msr | BIT(63);
    cpu.gpr[RAX] = cpu.gpr[RDX] = ~0ull;
    handle_rdmsr(&cpu);
}

static void do_write(u32 msr, u64 value)
{
    cpu.gpr[RCX] = msr | BIT(63);
    cpu.gpr[RAX] = (u32)value | BIT(40);
    cpu.gpr[RDX] = value >> 32;
    handle_wrmsr(&cpu);
}

/* ---- without an exit ---- */

static const struct passed *find(u32 msr)
{
    for (unsigned i = 0; i < nr_passed; i++)
        if (passed[i].msr == msr)
            return &passed[i];
    return NULL;
}

static void what_needs_no_exit(void **state)
{
    static const u32 both[] = { 0,     1,     0x48,       0x49,       0xc1,       0xc8,       0x174, 0x176,
                                0x309, 0x30c, 0xc0000081, 0xc0000084, 0xc0000100, 0xc0000103, 0x800, 0x8ff };
    static const u32 neither[] = { 0x10,     0x17,       0x1b,       0x3a,       0x3b,
                                   0x79,     0xce,       0x1a0,      0x200,      0x277,
                                   MSR_EFER, 0xc0010010, 0xc0010114, 0xc0010117, 0xc001102f };
    static const u32 not_told[] = { 2, 0xf, 0x47, 0x4a, 0xc0, 0xc9, 0x173, 0x177, 0x7ff, 0x900, 0xc0011030 };

    (void)state;
    msr_init();
    assert_story("mtrrs ");
    assert_int_equal(passed[nr_passed - 1].msr, MSR_TSC_DEADLINE); /* until the guest moves its TSC */
    assert_true(passed[nr_passed - 1].read && passed[nr_passed - 1].write);
    nr_passed--;
    for (unsigned i = 1; i < nr_passed; i++) /* each register has one rule */
        assert_true(passed[i - 1].msr < passed[i].msr);
    for (unsigned i = 0; i < ARRAY_SIZE(both); i++)
        assert_true(find(both[i])->read && find(both[i])->write);
    for (unsigned i = 0; i < ARRAY_SIZE(neither); i++)
        assert_false(find(neither[i])->read || find(neither[i])->write);
    for (unsigned i = 0; i < ARRAY_SIZE(not_told); i++)
        assert_null(find(not_told[i]));
    assert_true(find(0xda0)->read && !find(0xda0)->write);
}

/* Of the x2APIC all is the guest's but what sends messages and what may be told to reset this CPU. */
static void x2apic_registers(void **state)
{
    (void)state;
    msr_init();
    for (u32 msr = 0x800; msr <= 0x8ff; msr++) {
        bool judged = msr == 0x82f || msr == 0x830 || (msr >= 0x833 && msr <= 0x836) || (msr & ~3u) == 0x850;

        assert_true(find(msr)->read);
        assert_int_equal(find(msr)->write, !judged);
        story[0] = 0;
        do_write(msr, 0x123);
        if (judged)
            assert_non_null(strstr(story, "judged:"));
        else
            assert_non_null(strstr(story, "wrmsr:"));
    }
}

/* Where the trace and precise events go is a physical address; the guest could not turn them on. */
static void what_firmware_left_on(void **state)
{
    (void)state;
    absent = true;
    assert_int_equal(msr_cpu_init(), 0);
    assert_story("rdmsr:570 rdmsr:3f1 rdmsr:da0 ");
    absent = false;
    real_value = 0;
    assert_int_equal(msr_cpu_init(), 0);
    assert_story("rdmsr:570 rdmsr:3f1 rdmsr:da0 ");
    real_value = 1;
    assert_int_equal(msr_cpu_init(), 0);
    assert_story("rdmsr:570 wrmsr:570=0 rdmsr:3f1 wrmsr:3f1=0 rdmsr:da0 wrmsr:da0=0 ");
    accepts = false;
    assert_int_equal(msr_cpu_init(), ERR_BUSY);
    assert_story("rdmsr:570 wrmsr:570=0 ");
}

/* Every register that has a rule is found by it, and no other. */
static void each_rule_is_found(void **state)
{
    (void)state;
    msr_init();
    log_threshold = LOG_DEBUG;
    for (unsigned i = 0; i + 1 < nr_passed; i++) {
        u32 msr = passed[i].msr;
        bool last = passed[i + 1].msr != msr + 1;

        story[0] = 0;
        log_lines = 0;
        do_read(msr);
        assert_int_equal(log_lines, 0);
        if (!last || i + 2 == nr_passed)
            continue;
        do_read(msr + 1);
        assert_int_equal(log_lines, 1);
    }
    story[0] = 0;
    do_read(~0u);
    do_read(0xc0011030);
    assert_story("#13 #13 ");
}

/* ---- with an exit ---- */

static void reads(void **state)
{
    static const struct {
        u32 msr;
        const char *story;
        u64 value;
    } t[] = {
        { 0x17, "rdmsr:17 32 ", 0x1122334455667788 },
        { 0x48, "rdmsr:48 32 ", 0x1122334455667788 }, /* where the bitmap does not reach */
        { MSR_TSC, "guest's:10 32 ", 0x1122334455667788 },
        { 0xfe, "rdmsr:fe 32 ", 0x1122334455667788 },
        { MSR_APIC_BASE, "32 ", 0xfee00900 },
        { MSR_FEATURE_CONTROL, "rdmsr:3a 32 ", 1 }, /* locked, with nothing on */
        { MSR_VM_CR, "32 ", 0x18 },                 /* SVM is off, and that is locked */
        { 0x200, "32 ", 6 },
        { 0x26f, "32 ", 6 },
        { 0x21f, "#13 ", 0 }, /* no such MTRR here */
        { 0x79, "#13 ", 0 },
        { 0x480, "#13 ", 0 },
        { 0xc0010117, "#13 ", 0 },
        { 0x12345, "#13 ", 0 },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        do_read(t[i].msr);
        if (strcmp(t[i].story, "#13 ")) {
            assert_int_equal(cpu.gpr[RAX], (u32)t[i].value);
            assert_int_equal(cpu.gpr[RDX], t[i].value >> 32);
        } else {
            assert_int_equal(cpu.gpr[RAX], ~0ull);
        }
        assert_story(t[i].story);
    }
    assert_int_equal(log_lines, 0);
    absent = true;
    do_read(0x17);
    do_read(MSR_FEATURE_CONTROL);
    assert_story("rdmsr:17 #13 rdmsr:3a #13 ");
}

static void writes(void **state)
{
    static const struct {
        u32 msr;
        u64 value;
        const char *story;
        unsigned lines;
    } t[] = {
        { 0x48, 1, "wrmsr:48=1 30 ", 0 },
        { 0xe7, BIT(32) | 5, "wrmsr:e7=100000005 30 ", 0 },
        { 0x17, 0, "#13 ", 0 },
        { MSR_TSC, 9, "guest's:10=9 30 ", 0 },
        { MSR_APIC_BASE, 0xfee00d00, "apic=fee00d00 30 ", 0 },
        { MSR_FEATURE_CONTROL, 5, "#13 ", 0 },
        { 0x79, 0x1000, "30 ", 1 }, /* of microcode */
        { 0x8b, 0, "30 ", 0 },
        { 0xc0010020, 0x1000, "30 ", 1 },
        { 0x200, 6, "mtrr:200=6 30 ", 0 },
        { 0x21f, 6, "#13 ", 0 },
        { 0x2ff, 0xc06, "mtrr:2ff=c06 30 ", 0 },
        { 0xc0010010, 0x1122334455667788, "rdmsr:c0010010 30 ", 0 }, /* SYSCFG as it is */
        { 0xc0010010, 0x1122334455667789, "rdmsr:c0010010 #13 ", 1 },
        { 0xc001001a, 0, "rdmsr:c001001a #13 ", 1 },
        { 0xc0010117, 0x1000, "#13 ", 0 }, /* VM_HSAVE_PA */
        { MSR_VM_CR, 0, "#13 ", 0 },
        { 0xda0, 0x1800, "wrmsr:da0=1800 30 ", 0 },
        { 0xda0, 0x1900, "#13 ", 0 }, /* XRSTORS would start a trace into any memory */
        { 0x12345, 0, "#13 ", 1 },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        log_lines = 0;
        do_write(t[i].msr, t[i].value);
        assert_story(t[i].story);
        assert_int_equal(log_lines, t[i].lines);
    }
    accepts = false;
    do_write(0x48, 1);
    do_write(MSR_TSC, 1);
    do_write(MSR_APIC_BASE, 1);
    do_write(0x830, 1);
    do_write(0x200, 1);
    do_write(0xda0, 1);
    assert_story(
        "wrmsr:48=1 #13 guest's:10=1 #13 apic=1 #13 judged:830=1 #13 mtrr:200=1 #13 wrmsr:da0=1 #13 ");
    absent = true;
    do_write(0xc0010010, real_value);
    assert_story("rdmsr:c0010010 #13 ");
}

/* Registers of which the guest may change some bits: the others must stay as they are. */
static void bits_that_may_change(void **state)
{
    static const struct {
        u32 msr;
        u64 allowed;
    } t[] = {
        { MISC_ENABLE, ~(BIT(34) | BIT(22)) },
        { MSR_DEBUGCTL, 3 },
        { HWCR, BIT(18) | BIT(24) | BIT(25) | BIT(27) | BIT(30) },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
        for (unsigned bit = 0; bit < 64; bit++) {
            do_write(t[i].msr, real_value ^ BIT(bit));
            assert_int_equal(strstr(story, "wrmsr") != NULL, t[i].allowed >> bit & 1);
            assert_int_equal(strstr(story, "#13") != NULL, !(t[i].allowed >> bit & 1));
            story[0] = 0;
        }
    accepts = false;
    do_write(MSR_DEBUGCTL, real_value);
    assert_story("rdmsr:1d9 wrmsr:1d9=1122334455667788 #13 ");
    absent = true;
    do_write(MSR_DEBUGCTL, real_value);
    assert_story("rdmsr:1d9 #13 ");
}

/* EFER has the bits that the CPU has, SVME is not among them, and LME stays while paging is on. */
static void efer(void **state)
{
    const u64 has = EFER_LME | EFER_LMA | EFER_NXE | BIT(15) | BIT(18) | BIT(21);

    (void)state;
    for (unsigned bit = 0; bit < 64; bit++) {
        do_write(MSR_EFER, BIT(bit));
        assert_int_equal(strstr(story, "guest's") != NULL, has >> bit & 1);
        story[0] = 0;
    }
    guest_reg[REG_CR0] = CR0_PG;
    do_write(MSR_EFER, EFER_NXE);
    do_write(MSR_EFER, EFER_LME);
    guest_reg[REG_EFER] = EFER_LME | EFER_LMA;
    do_write(MSR_EFER, EFER_LME | EFER_NXE);
    do_write(MSR_EFER, 0);
    assert_story("guest's:c0000080=800 30 #13 guest's:c0000080=900 30 #13 ");
}

static void not_for_everybody(void **state)
{
    (void)state;
    guest_reg[REG_CPL] = 3;
    do_read(0x17);
    do_write(0xe7, 0);
    assert_story("#13 #13 ");
    guest_reg[REG_CPL] = 0;
    same_bytes = false; /* the instruction is another one by now */
    do_read(0x17);
    assert_story("rdmsr:17 32 ");
    assert_int_equal(cpu.gpr[RAX], ~0ull);
    assert_int_equal(cpu.gpr[RDX], ~0ull);
}

static void how_much_is_told(void **state)
{
    (void)state;
    do_read(0x12345);
    assert_int_equal(log_lines, 0);
    log_threshold = LOG_DEBUG;
    do_read(0x12345);
    assert_int_equal(log_lines, 1);
    do_read(0x480);
    assert_int_equal(log_lines, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_needs_no_exit, set_up),
        cmocka_unit_test_setup(x2apic_registers, set_up),
        cmocka_unit_test_setup(what_firmware_left_on, set_up),
        cmocka_unit_test_setup(each_rule_is_found, set_up),
        cmocka_unit_test_setup(reads, set_up),
        cmocka_unit_test_setup(writes, set_up),
        cmocka_unit_test_setup(bits_that_may_change, set_up),
        cmocka_unit_test_setup(efer, set_up),
        cmocka_unit_test_setup(not_for_everybody, set_up),
        cmocka_unit_test_setup(how_much_is_told, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
