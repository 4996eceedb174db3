/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/bus.c */
/* Whose an address or a port is: at and around the ends of each range, where two meet, and with full tables.
 */
#include "tests/unit/machine_world.h"
#include "arch/nested.h"
#include "hv/bus.h"

static int nested_error;
static u8 port_map[0x2000];
static struct vcpu_backend backend = { .ports = port_map };
const struct vcpu_backend *vcpu_ops = &backend;
/* What is registered stays, from test to test. */
static unsigned nr_ranges, nr_port_ranges;

int nested_set(u64 base, u64 size, enum nested_access access)
{
    if (nested_error)
        return nested_error;
    tell("%llx+%llx=%d ", (unsigned long long)base, (unsigned long long)size, access);
    return 0;
}

void vcpu_trap(u8 *map, u32 bit, bool on)
{
    assert_true(on);
    map[bit / 8] |= (u8)(1 << bit % 8);
}

static bool trapped(u16 port)
{
    return port_map[port / 8] >> port % 8 & 1;
}

static u64 no_register(void *ctx, u64 gpa, unsigned width, bool write, u64 value, struct vcpu *v)
{
    fail_msg("%p %llx %u %d %llx %p", ctx, (unsigned long long)gpa, width, write, (unsigned long long)value,
             (void *)v);
    return 0;
}

static int add(u64 base, u64 size)
{
    int err = bus_add_mmio(base, size, false, no_register, NULL);

    nr_ranges += !err;
    return err;
}

static int place(const struct mmio_range **at, u64 base, u64 size)
{
    bool is_new = !*at;
    int err = bus_place_mmio(at, base, size, no_register, NULL);

    nr_ranges += is_new && !err;
    return err;
}

static void each_address_has_one_owner(void **state)
{
    const u64 base = 0xfed90000, size = 0x2000;

    (void)state;
    assert_null(bus_find(base));
    assert_int_equal(bus_add_mmio(base, size, false, no_register, &nested_error), 0);
    assert_int_equal(bus_add_mmio(base + size, 0x1000, true, no_register, NULL), 0);
    nr_ranges += 2;
    assert_story("fed90000+2000=0 fed92000+1000=1 ");
    assert_ptr_equal(bus_find(base)->ctx, &nested_error);
    assert_ptr_equal(bus_find(base + size - 1), bus_find(base));
    assert_int_equal(bus_find(base + size)->base, base + size);
    assert_ptr_equal(bus_find(base + size + 0xfff), bus_find(base + size));
    assert_null(bus_find(base - 1));
    assert_null(bus_find(base + size + 0x1000));
    assert_null(bus_find(base | BIT(63)));
    assert_null(bus_find(0));
    assert_null(bus_find(~0ull));
}

static void ranges_do_not_overlap(void **state)
{
    const u64 base = 0xf0000000;
    static const struct {
        s64 at;
        u64 size;
        int err;
    } t[] = {
        { 0, 0x1000, ERR_BUSY },       { 0x1000, 0x1000, ERR_BUSY }, { -0x1000, 0x2000, ERR_BUSY },
        { -0x1000, 0x8000, ERR_BUSY }, { 0x1000, 0x2000, ERR_BUSY }, { -0x1000, 0x1001, ERR_BUSY },
        { 0x1fff, 0x1, ERR_BUSY },     { -0x1000, 0x1000, 0 },       { 0x2000, 0x1000, 0 },
    };

    (void)state;
    assert_int_equal(add(base, 0x2000), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
        assert_int_equal(add(base + (u64)t[i].at, t[i].size), t[i].err);
    assert_story("f0000000+2000=0 effff000+1000=0 f0002000+1000=0 ");
}

static void what_cannot_be_trapped_is_not_registered(void **state)
{
    (void)state;
    nested_error = ERR_NOMEM;
    assert_int_equal(add(0xd0000000, 0x1000), ERR_NOMEM);
    nested_error = 0;
    assert_null(bus_find(0xd0000000));
    assert_int_equal(add(0xd0000000, 0x1000), 0);
}

/* What moves is never anybody else's, and is never without a trap; what it leaves is the guest's again. */
static void a_range_that_moves(void **state)
{
    const struct mmio_range *r = NULL, *other = NULL;

    (void)state;
    assert_int_equal(add(0xc0010000, 0x1000), 0);
    assert_int_equal(place(&r, 0xc0010000, 0x1000), ERR_BUSY);
    assert_null(r);
    assert_int_equal(place(&r, 0xc0000000, 0x2000), 0);
    assert_ptr_equal(r, bus_find(0xc0001fff));
    assert_int_equal(place(&other, 0xc0040000, 0x1000), 0);
    assert_ptr_equal(other, bus_find(0xc0040000));
    assert_story("c0010000+1000=0 c0000000+2000=0 c0040000+1000=0 ");

    assert_int_equal(place(&r, 0xc000f000, 0x2000), ERR_BUSY); /* the end touches the fixed one */
    assert_int_equal(place(&r, 0xc0040000, 0x1000), ERR_BUSY); /* the last in the table */
    assert_story("");
    assert_ptr_equal(r, bus_find(0xc0000000));
    assert_int_equal(place(&r, 0xc000e000, 0x2000), 0);
    assert_story("c000e000+2000=0 c0000000+2000=2 ");
    assert_null(bus_find(0xc0000000));
    assert_ptr_equal(r, bus_find(0xc000ffff));
    assert_null(bus_find(0xc000dfff));

    assert_int_equal(place(&r, 0xc000e000, 0x1000), 0); /* over itself: the trap stays */
    assert_story("c000e000+1000=0 ");
    assert_null(bus_find(0xc000f000));

    nested_error = ERR_NOMEM;
    assert_int_equal(place(&r, 0xc0020000, 0x1000), ERR_NOMEM);
    nested_error = 0;
    assert_ptr_equal(r, bus_find(0xc000e000));
    assert_null(bus_find(0xc0020000));
}

/* ---- ports ---- */

static u32 read_port(u16 port, unsigned width)
{
    tell("R%u:%x ", width, port);
    return 0xa0u + (port & 0xf);
}

static void write_port(u16 port, unsigned width, u32 value)
{
    tell("W%u:%x=%x ", width, port, value);
}

static int add_ports(u16 first, u16 count, port_reader read)
{
    int err = bus_add_ports(first, count, read, write_port);

    nr_port_ranges += !err;
    return err;
}

/* Two ranges that meet, one at each end of all ports. */
static int port_set_up(void **state)
{
    machine_set_up(state);
    if (trapped(0))
        return 0;
    return add_ports(0x510, 2, read_port) || add_ports(0x512, 4, NULL) || add_ports(0xfffe, 2, read_port) ||
           add_ports(0, 1, read_port);
}

static void only_what_is_owned_exits(void **state)
{
    unsigned count = 0;

    (void)state;
    for (unsigned port = 0; port < 0x10000; port++)
        count += trapped((u16)port);
    assert_int_equal(count, 9);
    assert_true(trapped(0) && trapped(0x510) && trapped(0x515) && trapped(0xfffe) && trapped(0xffff));
}

/* Capital letters: the owner has it. An access with several owners is one of bytes, the last one first. */
static void each_byte_goes_to_its_owner(void **state)
{
    static const struct {
        u16 port;
        unsigned width;
        const char *write, *read;
        u32 value;
    } t[] = {
        { 0x510, 1, "W1:510=11 ", "R1:510 ", 0xa0 },
        { 0x510, 2, "W2:510=2211 ", "R2:510 ", 0xa0 },
        { 0x511, 1, "W1:511=11 ", "R1:511 ", 0xa1 },
        { 0x511, 2, "W1:512=22 W1:511=11 ", "r1:512 R1:511 ", 0x7ea1 },
        { 0x510, 4, "W1:513=44 W1:512=33 W1:511=22 W1:510=11 ", "r1:513 r1:512 R1:511 R1:510 ", 0x7d7ea1a0 },
        { 0x50f, 1, "w1:50f=11 ", "r1:50f ", 0x7f },
        { 0x50f, 2, "W1:510=22 w1:50f=11 ", "R1:510 r1:50f ", 0xa07f },
        { 0x50e, 2, "w2:50e=2211 ", "r2:50e ", 0x7f7f },
        { 0x50c, 4, "w4:50c=44332211 ", "r4:50c ", 0x7f7f7f7f },
        { 0x50d, 4, "W1:510=44 w1:50f=33 w1:50e=22 w1:50d=11 ", "R1:510 r1:50f r1:50e r1:50d ", 0xa07f7f7f },
        { 0x512, 4, "W4:512=44332211 ", "r4:512 ", 0x7f7f7d7e },
        { 0x515, 1, "W1:515=11 ", "r1:515 ", 0x7f },
        { 0x515, 2, "w1:516=22 W1:515=11 ", "r1:516 r1:515 ", 0x7f7f },
        { 0x516, 2, "w2:516=2211 ", "r2:516 ", 0x7f7f },
        { 0xfffe, 2, "W2:fffe=2211 ", "R2:fffe ", 0xae },
        { 0xffff, 2, "W1:0=22 W1:ffff=11 ", "R1:0 R1:ffff ", 0xa0af },
        { 0xfffd, 1, "w1:fffd=11 ", "r1:fffd ", 0x7f },
        { 1, 1, "w1:1=11 ", "r1:1 ", 0x7f },
    };

    (void)state;
    memset(port_bytes, 0x7f, sizeof(port_bytes));
    port_bytes[0x512] = 0x7e;
    port_bytes[0x513] = 0x7d;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        u32 value = 0x44332211u & (u32)MASK(8 * t[i].width - 1, 0);
        assert_int_equal(bus_port(t[i].port, t[i].width, false, value), 0);
        assert_story(t[i].write);
        assert_int_equal(bus_port(t[i].port, t[i].width, true, 0), t[i].value);
        assert_story(t[i].read);
    }
}

static void ranges_of_ports_do_not_overlap(void **state)
{
    (void)state;
    assert_int_equal(add_ports(0x511, 1, NULL), ERR_BUSY);
    assert_int_equal(add_ports(0x50f, 2, NULL), ERR_BUSY);
    assert_int_equal(add_ports(0x515, 1, NULL), ERR_BUSY);
    assert_int_equal(add_ports(0x500, 0x100, NULL), ERR_BUSY);
    assert_false(trapped(0x50f));
    assert_int_equal(add_ports(0x700, 1, NULL), 0);
    assert_int_equal(add_ports(0x700, 1, NULL), ERR_BUSY); /* the last of the table */
}

/* The last of all: nothing fits afterwards. */
static void full_tables(void **state)
{
    const struct mmio_range *r = bus_find(0x10000000), *none = NULL;

    (void)state;
    for (u64 at = 0x10000000; add(at, 0x1000) == 0; at += 0x1000)
        r = bus_find(at);
    assert_int_equal(nr_ranges, 256);
    assert_int_equal(add(0x20000000, 0x1000), ERR_NOSPC);
    assert_int_equal(place(&none, 0x20000000, 0x1000), ERR_NOSPC);
    assert_null(none);
    assert_null(bus_find(0x20000000));
    assert_non_null(r);
    assert_int_equal(place(&r, 0x20000000, 0x1000), 0); /* what is there can still move */

    for (u16 port = 0x1000; add_ports(port, 1, NULL) == 0; port++)
        ;
    assert_int_equal(nr_port_ranges, 32);
    assert_int_equal(add_ports(0x2000, 1, NULL), ERR_NOSPC);
    assert_false(trapped(0x2000));
    assert_int_equal(bus_port(0x2000, 1, true, 0), 0xff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_address_has_one_owner, machine_set_up),
        cmocka_unit_test_setup(ranges_do_not_overlap, machine_set_up),
        cmocka_unit_test_setup(what_cannot_be_trapped_is_not_registered, machine_set_up),
        cmocka_unit_test_setup(a_range_that_moves, machine_set_up),
        cmocka_unit_test_setup(only_what_is_owned_exits, port_set_up),
        cmocka_unit_test_setup(each_byte_goes_to_its_owner, port_set_up),
        cmocka_unit_test_setup(ranges_of_ports_do_not_overlap, port_set_up),
        cmocka_unit_test_setup(full_tables, port_set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
