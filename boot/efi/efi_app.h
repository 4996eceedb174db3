/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The EFI application: it finds Sluice's image (inside itself), the guest (inside itself, beside itself, or
 * on the server it came from), judges the machine with the hypervisor's own code, and hands over.
 *
 * Everything that can be refused is refused while firmware can still take the machine back: refuse() returns
 * to the boot manager. Nothing here runs after Sluice has started.
 */
#ifndef BOOT_EFI_EFI_APP_H
#define BOOT_EFI_EFI_APP_H

#include <efi.h>

#include "arch/log.h"
#include "boot/boot_info.h"
#include "boot/efi/config.h"

/* ---- firmware.c: the services in use, memory, console ---- */

struct app {
    EFI_HANDLE self;
    EFI_SYSTEM_TABLE *st;
    EFI_BOOT_SERVICES *bs;
    EFI_LOADED_IMAGE *loaded;
    bool secure_boot;
};
extern struct app app;

void app_init(EFI_HANDLE self, EFI_SYSTEM_TABLE *st);

/* Page-aligned memory that the guest gets back; all of it below `limit`. refuse()s when there is none, naming
 * `what`. Freed again by refuse(). */
void *app_pages(u64 bytes, u64 limit, const char *what);

/* A protocol on a handle, NULL = it has none. */
void *app_protocol(EFI_HANDLE handle, EFI_GUID guid);

/* UTF-16 of at most `units` to ASCII. False: it does not fit, or holds something else. */
bool ascii_of(char *out, size_t room, const CHAR16 *in, size_t units);

/* ---- file.c, pxe.c, http.c: where files come from ---- */

struct blob {
    void *data;
    u64 size; /* bytes */
};

/*
 * A place files come from. `fetch` returns false when there is no such file (with *why set to a word or two);
 * memory is app_pages()'.
 */
struct source {
    const char *name; /* for messages: "the volume", "TFTP server 10.0.2.2" */
    bool (*fetch)(const char *path, struct blob *out, const char **why);
};

/* Each returns NULL when this application was not started that way. */
const struct source *volume_source(void);
const struct source *tftp_source(void);
const struct source *http_source(void);

/* The first `room - 1` characters of the path up to and with its last '/' (or '\\'). */
void directory_of(char *out, size_t room, const char *path);

/* ---- guest.c: the modules ---- */

/* Fills in command line and modules: from the sections of this file, or by sluice.cfg. */
void guest_find(struct boot_info *info);

/* ---- checks.c ---- */

/* Both refuse() what Sluice would refuse when it could no longer go back. The first needs nothing but the
 * machine; the second the options, the modules, and the memory map as it is now. */
void machine_check(u64 rsdp);
void boot_check(const struct boot_info *info);

/* ---- handover.c ---- */

void describe_framebuffer(struct boot_info *info);

/* The memory map as it is now. */
void describe_memory(struct boot_info *info);

/* Leaves boot services and starts the image. Returns (by refuse()) only when it cannot. */
void hand_over(struct boot_info *info) __noreturn;

#endif
