/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/serial.h"
#include "arch/cpu.h"
#include "arch/pci.h"

#define COM1 0x3f8

enum {
    UART_THR = 0, /* divisor low with LCR.DLAB */
    UART_IER = 1, /* divisor high with LCR.DLAB */
    UART_FCR = 2,
    UART_LCR = 3,
    UART_MCR = 4,
    UART_LSR = 5,
};
#define LCR_8N1     0x03
#define LCR_DLAB    0x80
#define MCR_DTR_RTS 0x03
#define MCR_OUT2    0x08
#define MCR_LOOP    0x10
#define LSR_THRE    0x20
#define LSR_ABSENT  0xff

/* A character takes 87 us and a port read about 1 us. */
#define WAIT_READS    20000
#define STALLED_READS 10

/* UARTs on PCI: class 7, subclass 0, ports in BAR 0. */
#define PCI_CLASS        0x08 /* revision in the low byte */
#define PCI_CLASS_SERIAL 0x0700
#define PCI_COMMAND      0x04
#define PCI_COMMAND_IO   0x01
#define PCI_BAR0         0x10
#define PCI_BAR_IO       0x01

static u16 base;     /* 0 = none */
static bool stalled; /* the last wait was in vain: do not pay for a long one with every character */

/* The port of the first UART on bus 0 that firmware has switched on, 0 = none. */
static u16 find_on_pci(void)
{
    for (pci_sid sid = 0; sid < 256; sid++) {
        u32 bar = pci_read(0, sid, PCI_BAR0, 4);

        if (pci_read(0, sid, PCI_CLASS, 4) >> 16 == PCI_CLASS_SERIAL && bar & PCI_BAR_IO && bar >> 16 == 0 &&
            pci_read(0, sid, PCI_COMMAND, 2) & PCI_COMMAND_IO)
            return (u16)(bar & ~7u);
    }
    return 0;
}

void serial_use(u16 port)
{
    base = port && inb(port + UART_LSR) != LSR_ABSENT ? port : 0;
    if (!base)
        return;
    outb(base + UART_IER, 0);
    outb(base + UART_LCR, LCR_DLAB);
    outb(base + UART_THR, 1); /* 115200 */
    outb(base + UART_IER, 0);
    outb(base + UART_LCR, LCR_8N1);
    outb(base + UART_FCR, 0x07); /* FIFOs on and empty */
    outb(base + UART_MCR, MCR_DTR_RTS | MCR_OUT2);
}

void serial_init(void)
{
    serial_use(COM1);
    if (!base)
        serial_use(find_on_pci());
}

static void put(char c)
{
    unsigned tries = stalled ? STALLED_READS : WAIT_READS;

    while (!(inb(base + UART_LSR) & LSR_THRE)) {
        if (!--tries) {
            stalled = true;
            return;
        }
        cpu_pause();
    }
    stalled = false;
    outb(base + UART_THR, (u8)c);
}

void serial_write(const char *s, size_t len)
{
    if (!base)
        return;

    /* The guest may have been interrupted with the divisor selected or while it tests the UART in a loop. */
    u8 lcr = inb(base + UART_LCR), mcr = inb(base + UART_MCR);
    if (lcr & LCR_DLAB)
        outb(base + UART_LCR, lcr & ~LCR_DLAB);
    if (mcr & MCR_LOOP)
        outb(base + UART_MCR, mcr & ~MCR_LOOP);

    for (size_t i = 0; i < len; i++)
        put(s[i]);

    if (mcr & MCR_LOOP)
        outb(base + UART_MCR, mcr);
    if (lcr & LCR_DLAB)
        outb(base + UART_LCR, lcr);
}
