/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sections of a PE file in memory: a unified kernel image keeps the guest in .linux, .initrd and
 * .cmdline.
 */
#ifndef BOOT_EFI_SECTIONS_H
#define BOOT_EFI_SECTIONS_H

#include "arch/types.h"

/*
 * Looks up a section of the image of `image_size` bytes at `image`, laid out as loaded. False: no such
 * section, or the headers are not whole. The section lies inside the image.
 */
bool section_find(const void *image, u64 image_size, const char *name, const void **data,
                  u64 *size) __must_check;

#endif
