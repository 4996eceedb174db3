/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that asks for a reset in every way a PC has, or switches A20 off: how=NAME. The soft resets pulse
 * INIT, which must not take the CPU out of a hypervisor and leave the devices running: the machine must be
 * reset. A20 off would make every odd megabyte another one, the hypervisor's too.
 */
#include "tests/guests/lib/guest.h"

/* The keyboard controller takes a byte when its input buffer is empty. */
static void keyboard_put(u16 port, u8 byte)
{
    for (u32 i = 0; i < 100000 && inb(0x64) & 2; i++)
        ;
    outb(port, byte);
}

static void a20(void)
{
    volatile u32 *low = (volatile u32 *)0x7000, *high = (volatile u32 *)0x107000;

    *low = 1;
    *high = 2;
    check("apart", *low == 1 && *high == 2, "0x%x 0x%x", *low, *high);
}

void guest_main(void)
{
    const char *how = option_value("how", "");

    print("I: asking by %s\n", how);
    if (streq(how, "cf9-soft")) {
        outb(0xcf9, 0);
        outb(0xcf9, 4);
    } else if (streq(how, "cf9-hard")) {
        outb(0xcf9, 2);
        outb(0xcf9, 6);
    } else if (streq(how, "cf9-word")) {
        outw(0xcf8, 0x0400);
    } else if (streq(how, "port92")) {
        outb(0x92, inb(0x92) | 1);
    } else if (streq(how, "port92-wide")) {
        outl(0x90, 0x00030000);
    } else if (streq(how, "keyboard-pulse")) {
        keyboard_put(0x64, 0xfe);
    } else if (streq(how, "keyboard-output")) {
        keyboard_put(0x64, 0xd1);
        keyboard_put(0x60, 0xde);
    } else if (streq(how, "init-self")) {
        mmio_write32(0xfee00310, 0);
        mmio_write32(0xfee00300, 0x4500);
    } else if (streq(how, "init-all")) {
        mmio_write32(0xfee00300, 0x84500);
    } else if (streq(how, "a20")) {
        outb(0x92, inb(0x92) & ~2u & ~1u);
        a20();
        keyboard_put(0x64, 0xd1);
        keyboard_put(0x60, 0xdd);
        a20();
        keyboard_put(0x64, 0xdd);
        a20();
        return;
    }
    for (u32 i = 0; i < 10000000; i++)
        inb(0x80);
    check("reset", false, "the guest goes on");
}
