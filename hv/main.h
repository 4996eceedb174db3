/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where every way of booting goes on.
 */
#ifndef HV_MAIN_H
#define HV_MAIN_H

#include "boot/boot_info.h"

/*
 * The first start: shuts devices out of all memory but what firmware reserves for them. False: there is no
 * unit that could, or the command line says not to. Calls what hv_main() calls, and all that is forgotten
 * before that starts.
 */
bool hv_shut_out(const struct boot_info *info);

/*
 * Called once, on the boot CPU: 64-bit, interrupts off, console and exception tables ready, still at the
 * address the boot loader chose. `info` is Sluice's own and stays valid.
 */
void __noreturn hv_main(const struct boot_info *info);

#endif
