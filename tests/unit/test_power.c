/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/power.c */
/* Off after the counters, sleep refused, resets whole ones, A20 always on: whatever the guest writes where.
 */
#include "tests/unit/machine_world.h"
#include <sys/wait.h>
#include <unistd.h>
#include "arch/acpi.h"
#include "arch/paging.h"
#include "hv/bus.h"
#include "hv/cpus.h"
#include "hv/exit.h"
#include "hv/power.h"
#include "hv/sleep.h"
#include "hv/walk.h"
#include "iommu/iommu.h"

/* ---- what firmware says, and what was asked for ---- */

static struct sleep_register sleep_regs[2];
static unsigned nr_sleep_regs;
static bool has_s5;
static struct {
    struct acpi_header header;
    u8 rest[56 - sizeof(struct acpi_header)];
} fadt;
static u8 page[2 * PAGE_SIZE] __attribute__((aligned(8192))); /* registers in the first */
static bool can_map;
static unsigned fails_at, nr_asked;
static port_writer writers[0x10000];
static mmio_handler handler;
static void *handler_ctx;
static struct vcpu cpu;
static struct percpu block = { .vcpu = &cpu };

unsigned sleep_init(void)
{
    return nr_sleep_regs;
}

const struct sleep_register *sleep_register_at(unsigned i)
{
    return i < nr_sleep_regs ? &sleep_regs[i] : NULL;
}

bool sleep_can_switch_off(void)
{
    return has_s5;
}

/* Bit 7 switches off, bit 6 is refused. */
enum sleep_verdict sleep_judge(enum sleep_space space, u64 address, unsigned width, u64 *value, u8 *type)
{
    tell("judge:%d,%llx,%u ", space, (unsigned long long)address, width);
    *type = 3;
    if (*value & 0x40) {
        *value &= ~0x40ull;
        return SLEEP_REFUSED;
    }
    return *value & 0x80 ? SLEEP_OFF : SLEEP_NOTHING;
}

struct acpi_header *acpi_find(const char signature[4])
{
    assert_memory_equal(signature, "FACP", 4);
    return &fadt.header;
}

int bus_add_ports(u16 first, u16 count, port_reader read, port_writer write)
{
    assert_null(read);
    if (++nr_asked == fails_at)
        return ERR_NOSPC;
    tell("ports:%x+%u ", first, count);
    writers[first] = write;
    return 0;
}

int bus_add_mmio(u64 base, u64 size, bool reads_direct, mmio_handler h, void *ctx)
{
    assert_true(reads_direct);
    if (++nr_asked == fails_at)
        return ERR_NOSPC;
    tell("mmio:%llx+%llx ", (unsigned long long)base, (unsigned long long)size);
    handler = h;
    handler_ctx = ctx;
    return 0;
}

void *mmio_map(u64 pa, u64 size)
{
    (void)pa;
    assert_int_equal(size, PAGE_SIZE);
    return can_map ? page : NULL;
}

void guest_copy(volatile u8 *memory, u8 *data, unsigned count, bool write)
{
    for (unsigned i = 0; i < count; i++)
        *(write ? &memory[i] : &data[i]) = write ? data[i] : memory[i];
}

void iommu_counters(void)
{
    tell("counters ");
}

void cpus_counters(void)
{
    tell("cpus ");
}

void judge_nmi(struct vcpu *v)
{
    assert_ptr_equal(v, &cpu);
    tell("nmi ");
}

struct percpu *this_cpu(void)
{
    return &block;
}

static bool software_smi(u16 port, u8 value)
{
    tell("smi:%x=%x ", port, value);
    return value & 1;
}

static struct vcpu_backend backend;
const struct vcpu_backend *vcpu_ops = &backend;

static int set_up(void **state)
{
    memset(&fadt, 0, sizeof(fadt));
    memset(page, 0xcc, sizeof(page));
    fadt.header.length = sizeof(fadt);
    nr_sleep_regs = fails_at = nr_asked = 0;
    has_s5 = can_map = true;
    backend.software_smi = NULL;
    return machine_set_up(state);
}

static void set_sleep_register(unsigned i, enum sleep_space space, u64 address, u8 byte)
{
    sleep_regs[i] = (struct sleep_register){ .space = space, .address = address, .byte = byte };
    nr_sleep_regs = i + 1;
}

static void set_smi(u32 port)
{
    memcpy((u8 *)&fadt + 48, &port, sizeof(port));
    backend.software_smi = software_smi;
}

/* ---- what is trapped ---- */

#define RESETS "ports:92+1 ports:60+1 ports:64+1 "

static void sleep_registers(void **state)
{
    static const struct {
        enum sleep_space space;
        u64 address;
        u8 byte;
        int err;
        const char *story;
    } t[] = {
        { SLEEP_IO, 0x604, 1, 0, "ports:604+2 " RESETS },
        { SLEEP_IO, 0xfff0, 3, 0, "ports:fff0+4 " RESETS },
        { SLEEP_IO, 0xfff1, 1, ERR_RANGE, "" },
        { SLEEP_IO, 0x10604, 1, ERR_RANGE, "" },
        { SLEEP_MEMORY, 0xfed1f123, 0, 0, "mmio:fed1f000+1000 " RESETS },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        set_up(state);
        set_sleep_register(0, t[i].space, t[i].address, t[i].byte);
        assert_int_equal(power_init(), t[i].err);
        assert_story(t[i].story);
    }
    assert_int_equal(log_lines, 0);
    can_map = false;
    assert_int_equal(power_init(), ERR_NOMEM);
}

static void all_or_nothing(void **state)
{
    for (unsigned n = 1; n <= 7; n++) {
        set_up(state);
        set_smi(0xb2);
        set_sleep_register(0, SLEEP_IO, 0x604, 1);
        set_sleep_register(1, SLEEP_MEMORY, 0xfed1f000, 0);
        has_s5 = false;
        fails_at = n;
        assert_int_equal(power_init(), n < 7 ? ERR_NOSPC : 0);
        assert_int_equal(nr_asked, n < 7 ? n : 6);
    }
    assert_story("ports:604+2 mmio:fed1f000+1000 ports:b2+1 " RESETS);
    assert_int_equal(log_lines, 1); /* the guest cannot switch off */
}

static void the_port_of_smis(void **state)
{
    static const struct {
        u32 port;
        const char *story;
    } t[] = { { 0xb2, "ports:b2+1 " RESETS },
              { 0, RESETS },
              { 0xffff, "ports:ffff+1 " RESETS },
              { 0x10000, RESETS },
              { 0x100b2, RESETS } };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        set_up(state);
        set_smi(t[i].port);
        assert_int_equal(power_init(), 0);
        assert_story(t[i].story);
    }
    set_smi(0xb2);
    assert_int_equal(power_init(), 0);
    story[0] = 0;
    writers[0xb2](0xb2, 1, 0xe0);
    writers[0xb2](0xb2, 1, 0xe1); /* an NMI came meanwhile */
    assert_story("smi:b2=e0 smi:b2=e1 nmi ");
    backend.software_smi = NULL; /* the guest raises them itself */
    assert_int_equal(power_init(), 0);
    assert_story(RESETS);
}

/* ---- what is written ---- */

static void off_and_asleep(void **state)
{
    u64 value = 0x12345680;

    (void)state;
    set_sleep_register(0, SLEEP_IO, 0x604, 1);
    set_sleep_register(1, SLEEP_MEMORY, 0xfed1f000, 0);
    assert_int_equal(power_init(), 0);
    story[0] = 0;
    writers[0x604](0x604, 2, 0x0081);
    assert_story("judge:1,604,2 counters cpus w2:604=81 ");
    assert_int_equal(log_lines, 1);
    writers[0x604](0x604, 2, 0x2041);
    assert_story("judge:1,604,2 w2:604=2001 ");
    assert_int_equal(log_lines, 2);
    writers[0x604](0x604, 1, 1);
    assert_story("judge:1,604,1 w1:604=1 ");
    assert_int_equal(log_lines, 2);

    handler(handler_ctx, 0xfed1f004, 4, true, value, &cpu);
    assert_story("judge:0,fed1f004,4 counters cpus ");
    assert_memory_equal(page + 3, "\xcc\x80\x56\x34\x12\xcc", 6);
    handler(handler_ctx, 0xfed1fffe, 2, true, 0x7040, &cpu);
    assert_story("judge:0,fed1fffe,2 ");
    assert_memory_equal(page + 0xffd, "\xcc\x00\x70\xcc", 4);
    assert_int_equal(handler(handler_ctx, 0xfed1f004, 4, false, 0, &cpu) & ~0u, 0x12345680);
    assert_story("");
}

static void reset_control(void **state)
{
    (void)state;
    power_reset_control(2);
    power_reset_control(0);
    assert_story("w1:cf9=2 w1:cf9=0 ");
    assert_true(ends(power_reset_control(6)));
    assert_non_null(strstr(last_line, "a reset"));
    assert_true(ends(power_reset_control(4)));
    assert_non_null(strstr(last_line, "a soft reset"));
    assert_story("counters reset counters reset ");
}

static void the_fast_reset(void **state)
{
    (void)state;
    assert_int_equal(power_init(), 0);
    story[0] = 0;
    writers[0x92](0x92, 1, 0);
    writers[0x92](0x92, 1, 0xfe);
    assert_story("w1:92=2 w1:92=fe "); /* A20 */
    assert_true(ends(writers[0x92](0x92, 1, 3)));
    assert_story("counters reset ");
}

/* Bytes for the controller's command and data ports, in turn; -1: none. Does that reset the machine? */
struct keys {
    s32 command, data;
    bool resets;
    const char *story;
};

static void press(const struct keys *k)
{
    if (k->command >= 0)
        writers[0x64](0x64, 1, (u32)k->command);
    if (k->data >= 0)
        writers[0x60](0x60, 1, (u32)k->data);
}

/* In a process of its own, as nobody comes back from that with the lock free. */
static bool press_resets(const struct keys *k)
{
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(ends(press(k)));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void the_keyboard_controller(void **state)
{
    static const struct keys t[] = {
        { 0xfe, -1, true, "" },
        { 0xf0, -1, true, "" }, /* any that pulses the line of bit 0 */
        { 0xf1, -1, false, "w1:64=f1 " },
        { 0xee, -1, false, "w1:64=ee " },
        { 0xff, -1, false, "w1:64=ff " },
        { 0xd1, 0xfe, true, "" }, /* the output port */
        { 0xd1, 0x01, false, "w1:64=d1 w1:60=3 " },
        { 0x60, 0xfe, false, "w1:64=60 w1:60=fe " },
        { -1, 0xd1, false, "w1:60=d1 " },
        { -1, 0xfe, false, "w1:60=fe " }, /* one byte only went to that port, and commands are none */
        { 0xdd, 0xdd, false, "w1:64=df w1:60=dd " },
        { 0xdf, -1, false, "w1:64=df " },
    };

    (void)state;
    assert_int_equal(power_init(), 0);
    story[0] = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        assert_int_equal(press_resets(&t[i]), t[i].resets);
        if (!t[i].resets)
            press(&t[i]);
        assert_story(t[i].story);
    }
    writers[0x64](0x64, 1, 0xd1);
    writers[0x64](0x64, 1, 0x20); /* another command came between */
    writers[0x60](0x60, 1, 0);
    assert_story("w1:64=d1 w1:64=20 w1:60=0 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(sleep_registers, set_up),
        cmocka_unit_test_setup(all_or_nothing, set_up),
        cmocka_unit_test_setup(the_port_of_smis, set_up),
        cmocka_unit_test_setup(off_and_asleep, set_up),
        cmocka_unit_test_setup(reset_control, set_up),
        cmocka_unit_test_setup(the_fast_reset, set_up),
        cmocka_unit_test_setup(the_keyboard_controller, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
