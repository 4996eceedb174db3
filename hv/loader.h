/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest loaders, one table, detected from the file. The first module is the kernel and its command line the
 * guest's; the second, if any, is the initrd (Linux) or the first of its modules.
 */
#ifndef HV_LOADER_H
#define HV_LOADER_H

#include "arch/vcpu.h"
#include "boot/boot_info.h"

struct guest_image {
    const u8 *data; /* the kernel file; untrusted */
    u64 size;
    const char *cmdline;
    const struct boot_info *info;
};

struct guest_loader {
    const char *name;
    bool (*detect)(const struct guest_image *image);
    /* Places the guest in its memory and says how it starts. NULL on success, else what is wrong with the
     * image. */
    const char *(*load)(const struct guest_image *image, struct vcpu_start *start);
};

extern const struct guest_loader linux_loader; /* bzImage, 64-bit boot protocol */
extern const struct guest_loader pvh_loader;   /* ELF with a PVH entry note: the test guests */

/* refuse()s when there is no guest or nobody knows the format. Logs one line about what was loaded. */
void guest_load(const struct boot_info *info, struct vcpu_start *start);

#endif
