/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sluice.cfg, the file beside sluice.efi:
 *
 *     # a comment
 *     options  loglevel=debug
 *     kernel   vmlinuz console=ttyS0,115200 intel_iommu=on
 *     initrd   initrd.gz
 *     module   another/file with words of its own
 *
 * Pure: text in, struct out. Also the load options, which firmware or a boot manager passes.
 */
#ifndef BOOT_EFI_CONFIG_H
#define BOOT_EFI_CONFIG_H

#include "boot/boot_info.h"

#define CONFIG_PATH_MAX 256

struct config_file {
    char path[CONFIG_PATH_MAX];
    char cmdline[BOOT_CMDLINE_MAX];
};

struct config {
    char options[BOOT_CMDLINE_MAX];
    unsigned nr_files; /* kernel, then initrd if there is one, then modules */
    struct config_file files[BOOT_MAX_MODULES];
};

/*
 * NULL when it was read, else what is wrong with line *line. The kernel's line must come first among the
 * files and the initrd's next.
 */
const char *config_parse(const char *text, size_t size, struct config *out, unsigned *line) __must_check;

struct load_options {
    char config[CONFIG_PATH_MAX];       /* "config=PATH"; empty = not given */
    char options[BOOT_CMDLINE_MAX];     /* Sluice's, behind those of the file */
    char guest_words[BOOT_CMDLINE_MAX]; /* what follows "--": behind the guest's command line */
};

/*
 * Splits load options. A first word that names this file, as the EFI shell passes it, is dropped. NULL, or
 * what is wrong with it.
 */
const char *load_options_parse(const char *text, struct load_options *out) __must_check;

/* Appends " words" to text of `room` bytes. False: does not fit; then nothing has changed. */
bool words_append(char *text, size_t room, const char *words) __must_check;

#endif
