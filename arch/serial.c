/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/serial.h"
#include "arch/cpu.h"

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

static bool present;
static bool stalled; /* the last wait was in vain: do not pay for a long one with every character */

void serial_init(void)
{
    present = inb(COM1 + UART_LSR) != LSR_ABSENT;
    if (!present)
        return;
    outb(COM1 + UART_IER, 0);
    outb(COM1 + UART_LCR, LCR_DLAB);
    outb(COM1 + UART_THR, 1); /* 115200 */
    outb(COM1 + UART_IER, 0);
    outb(COM1 + UART_LCR, LCR_8N1);
    outb(COM1 + UART_FCR, 0x07); /* FIFOs on and empty */
    outb(COM1 + UART_MCR, MCR_DTR_RTS | MCR_OUT2);
}

static void put(char c)
{
    unsigned tries = stalled ? STALLED_READS : WAIT_READS;

    while (!(inb(COM1 + UART_LSR) & LSR_THRE)) {
        if (!--tries) {
            stalled = true;
            return;
        }
        cpu_pause();
    }
    stalled = false;
    outb(COM1 + UART_THR, (u8)c);
}

void serial_write(const char *s, size_t len)
{
    if (!present)
        return;

    /* The guest may have been interrupted with the divisor selected or while it tests the UART in a loop. */
    u8 lcr = inb(COM1 + UART_LCR), mcr = inb(COM1 + UART_MCR);
    if (lcr & LCR_DLAB)
        outb(COM1 + UART_LCR, lcr & ~LCR_DLAB);
    if (mcr & MCR_LOOP)
        outb(COM1 + UART_MCR, mcr & ~MCR_LOOP);

    for (size_t i = 0; i < len; i++)
        put(s[i]);

    if (mcr & MCR_LOOP)
        outb(COM1 + UART_MCR, mcr);
    if (lcr & LCR_DLAB)
        outb(COM1 + UART_LCR, lcr);
}
