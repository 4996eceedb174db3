/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The serial console: a 16550 at 0x3f8, 115200 8n1, polled. The guest uses the same UART, so each line starts
 * from whatever state the guest left it in. Callers hold the log's lock.
 */
#ifndef ARCH_SERIAL_H
#define ARCH_SERIAL_H

#include "arch/types.h"

void serial_init(void); /* a missing UART only means silence */
void serial_write(const char *s, size_t len);

#endif
