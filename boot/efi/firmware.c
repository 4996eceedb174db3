/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firmware's services, and the few functions of the hypervisor's own environment that the checks shared with
 * it need: memory is mapped 1:1, lines go to firmware's console, refuse() goes back to the boot manager.
 */
#include "boot/efi/efi_app.h"
#include "arch/paging.h"
#include "arch/serial.h"
#include "arch/string.h"

struct app app;

#define MAX_TAKEN 64
static struct {
    EFI_PHYSICAL_ADDRESS base;
    UINTN pages;
} taken[MAX_TAKEN];
static unsigned nr_taken;

static void read_secure_boot(void)
{
    EFI_GUID global = EFI_GLOBAL_VARIABLE;
    UINT8 value = 0;
    UINTN size = sizeof(value);

    app.secure_boot = !EFI_ERROR(app.st->RuntimeServices->GetVariable((CHAR16 *)L"SecureBoot", &global, NULL,
                                                                      &size, &value)) &&
                      value == 1;
}

void app_init(EFI_HANDLE self, EFI_SYSTEM_TABLE *st)
{
    app.self = self;
    app.st = st;
    app.bs = st->BootServices;
    app.loaded = app_protocol(self, (EFI_GUID)LOADED_IMAGE_PROTOCOL);
    if (!app.loaded)
        refuse("firmware does not say where this file came from; it must be updated");
    read_secure_boot();
    /* Firmware resets after five minutes; a large guest from a slow server may take longer. */
    (void)app.bs->SetWatchdogTimer(0, 0, 0, NULL);
}

void *app_pages(u64 bytes, u64 limit, const char *what)
{
    UINTN pages = align_up(MAX(bytes, 1), PAGE_SIZE) / PAGE_SIZE;
    EFI_PHYSICAL_ADDRESS at = limit - 1;

    if (nr_taken == MAX_TAKEN ||
        EFI_ERROR(app.bs->AllocatePages(AllocateMaxAddress, EfiLoaderData, pages, &at)))
        refuse("not enough memory for %s, %lu KiB; give the machine more", what, bytes >> 10);
    taken[nr_taken].base = at;
    taken[nr_taken++].pages = pages;
    return (void *)at;
}

void *app_protocol(EFI_HANDLE handle, EFI_GUID guid)
{
    void *protocol = NULL;

    if (!handle || EFI_ERROR(app.bs->HandleProtocol(handle, &guid, &protocol)))
        return NULL;
    return protocol;
}

bool ascii_of(char *out, size_t room, const CHAR16 *in, size_t units)
{
    for (size_t i = 0; i < room; i++) {
        CHAR16 c = i < units ? in[i] : 0;

        if (c && c != '\t' && (c < ' ' || c > '~'))
            return false;
        out[i] = (char)c;
        if (!c)
            return true;
    }
    return false;
}

/* ---- what arch/ promises, here ---- */

void *phys_to_virt(u64 pa)
{
    return (void *)pa;
}

void *direct_map(u64 pa, u64 size)
{
    return pa && pa + (size - 1) >= pa ? (void *)pa : NULL;
}

u64 region_base(void)
{
    return 0;
}

u64 region_size(void)
{
    return 0;
}

/* Firmware's console it is, until the image runs. */
void serial_use(u16 port)
{
    (void)port;
}

void console_write(const char *line, size_t len)
{
    CHAR16 wide[LINE_MAX + 1];

    for (size_t i = 0; i < len; i++)
        wide[i] = (CHAR16)(unsigned char)line[i];
    wide[len] = 0;
    if (app.st->ConOut)
        (void)app.st->ConOut->OutputString(app.st->ConOut, wide);
}

#define READING_TIME_US 2000000 /* boot managers clear the screen */

void refuse(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    console_line("cannot start: ", fmt, args);
    va_end(args);
    while (nr_taken--)
        (void)app.bs->FreePages(taken[nr_taken].base, taken[nr_taken].pages);
    (void)app.bs->Stall(READING_TIME_US);
    (void)app.bs->Exit(app.self, EFI_ABORTED, 0, NULL);
    for (;;) /* Exit() does not return */
        ;
}

void panic(const char *fmt, ...)
{
    refuse("%s", fmt);
}
