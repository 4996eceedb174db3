/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console on firmware's frame buffer, until the guest owns it. Lines go from top to bottom and over
 * again: scrolling would read the frame buffer, which is slower than a serial line. Callers hold the log's
 * lock.
 */
#ifndef ARCH_SCREEN_H
#define ARCH_SCREEN_H

#include "boot/boot_info.h"

/* NULL or an empty description: none. Once more after a move, because mappings do not survive it. */
void screen_init(const struct boot_framebuffer *fb);
void screen_write(const char *s, size_t len);

/* False: from now on it is the guest's. True: the guest is over, and what is to be said matters more. */
void screen_ours(bool ours);

#endif
