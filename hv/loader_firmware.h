/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Linux needs to go on using EFI firmware: runtime services and the frame buffer, in boot_params.
 */
#ifndef HV_LOADER_FIRMWARE_H
#define HV_LOADER_FIRMWARE_H

#include "hv/loader.h"

/* Fills efi_info and screen_info of the boot_params page; leaves zeros where there is nothing. False: no
 * room. */
bool firmware_describe(struct place *place, u8 *params, const struct boot_info *info) __must_check;

#endif
