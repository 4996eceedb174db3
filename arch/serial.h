/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The serial console: a 16550, 115200 8n1, polled. It is the one at 0x3f8; where there is none, a UART on PCI
 * bus 0 (as of a management engine's serial-over-LAN); or the one that the command line names. The guest uses
 * the same UART, so each line starts from whatever state the guest left it in. Callers hold the log's lock.
 */
#ifndef ARCH_SERIAL_H
#define ARCH_SERIAL_H

#include "arch/types.h"

void serial_init(void); /* a missing UART only means silence */

/* From now on the UART at that port; 0 = silence. */
void serial_use(u16 port);
void serial_write(const char *s, size_t len);

#endif
