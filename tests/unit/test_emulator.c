/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/emulator.c */
/* QEMU's doors to memory: shut where the machine is QEMU's, and no port is touched where it is not. */
#include "tests/unit/machine_world.h"
#include "arch/acpi.h"
#include "hv/bus.h"
#include "hv/exit.h"

static struct acpi_header facp;
static char bytes[8]; /* what the data port gives next */
static unsigned next_byte, nr_asked, fails_at;
static port_reader readers[0x600];
static port_writer writers[0x600];

struct acpi_header *acpi_find(const char signature[4])
{
    assert_memory_equal(signature, "FACP", 4);
    return &facp;
}

int bus_add_ports(u16 first, u16 count, port_reader read, port_writer write)
{
    if (++nr_asked == fails_at)
        return ERR_NOSPC;
    tell("ports:%x+%u ", first, count);
    for (unsigned i = 0; i < count; i++) {
        readers[first + i] = read;
        writers[first + i] = write;
    }
    return 0;
}

static u8 next(void)
{
    return (u8)bytes[next_byte++ % sizeof(bytes)];
}

static int set_up(void **state)
{
    memset(&facp, 0, sizeof(facp));
    facp.length = sizeof(facp);
    memcpy(facp.oem_id, "BOCHS ", 6);
    memcpy(bytes, "QEMUxxxx", 8);
    next_byte = nr_asked = fails_at = 0;
    machine_set_up(state);
    port_next = next;
    return 0;
}

#define ASKED "w2:510=0 r1:511 r1:511 r1:511 r1:511 "

static void on_what_machine(void **state)
{
    static const struct {
        const char *oem, *signature, *story;
    } t[] = {
        { "BOCHS ", "QEMUxxxx", ASKED "ports:510+2 ports:514+8 ports:7e+2 " },
        { "BOCHS ", "QEMxxxxx", ASKED }, /* Bochs */
        { "BOCHS ", "xEMUQEMU", ASKED },
        { "BOCX  ", "QEMUxxxx", "" },
        { "INTEL ", "QEMUxxxx", "" },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        set_up(state);
        memcpy(facp.oem_id, t[i].oem, 6);
        memcpy(bytes, t[i].signature, 8);
        assert_int_equal(emulator_init(), 0);
        assert_story(t[i].story);
    }
    for (unsigned n = 1; n <= 3; n++) {
        set_up(state);
        fails_at = n;
        assert_int_equal(emulator_init(), ERR_NOSPC);
    }
}

/* Neither DMA nor the other door answers: reads give ones, writes go nowhere. */
static void doors_are_shut(void **state)
{
    static const u16 ports[] = { 0x514, 0x518, 0x51b, 0x7e, 0x7f };

    (void)state;
    assert_int_equal(emulator_init(), 0);
    story[0] = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(ports); i++) {
        assert_int_equal(readers[ports[i]](ports[i], 1), 0xff);
        assert_int_equal(readers[ports[i]](ports[i], 2), 0xffff);
        assert_int_equal(readers[ports[i]](ports[i], 4), ~0u);
        writers[ports[i]](ports[i], 4, 0x12345678);
    }
    assert_story("");
}

static void select_key(u16 port, unsigned width, u32 key)
{
    writers[0x510](port, width, key);
}

/* Of the features only the first byte's DMA bit is taken away, and of nothing else anything. */
static void features_without_dma(void **state)
{
    static const struct {
        u16 key;
        bool features;
    } t[] = { { 0, false },      { 1, true },
              { 2, false },      { 0x4001, true }, /* a bit without a meaning by now */
              { 0x8001, false }, { 0x19, false } };

    (void)state;
    assert_int_equal(emulator_init(), 0);
    memset(bytes, 0xf7, sizeof(bytes));
    for (unsigned i = 0; i < 2 * ARRAY_SIZE(t); i++) {
        u16 port = (u16)(0x510 + i % 2); /* both give data, byte by byte */

        story[0] = 0;
        select_key(0x510, 2, t[i / 2].key);
        assert_int_equal(readers[0x510](0x510, 2), 0xf7); /* two bytes are none to QEMU */
        assert_int_equal(readers[port](port, 1), t[i / 2].features ? 0xf5 : 0xf7);
        assert_int_equal(readers[port](port, 1), 0xf7);
    }
    assert_story("w2:510=19 r2:510 r1:511 r1:511 ");
    select_key(0x510, 2, 1);
    select_key(0x511, 1, 0x19); /* written data, and half a key, select nothing */
    select_key(0x510, 1, 0x19);
    assert_int_equal(readers[0x511](0x511, 1), 0xf5);
    assert_story("w2:510=1 w1:511=19 w1:510=19 r1:511 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(on_what_machine, set_up),
        cmocka_unit_test_setup(doors_are_shut, set_up),
        cmocka_unit_test_setup(features_without_dma, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
