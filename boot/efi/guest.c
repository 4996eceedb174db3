/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding the guest. A unified kernel image carries it in sections of its own file, and nothing else is then
 * looked at; otherwise sluice.cfg says what to load, from wherever this application came from.
 *
 * Under Secure Boot the sections are covered by this file's signature. A kernel outside is shown to firmware,
 * which checks its signature as it would for a boot manager; command lines from outside the signed file are
 * taken as any boot manager takes them, except that a unified image then keeps the one it has.
 */
#include "arch/string.h"
#include "boot/efi/efi_app.h"
#include "boot/efi/sections.h"

#define CONFIG_NAME "sluice.cfg"

static struct config config;
static struct load_options load_options;

static void read_load_options(void)
{
    static char text[BOOT_CMDLINE_MAX];
    UINT32 size = app.loaded->LoadOptionsSize;
    const char *wrong;

    /* Firmware is known to leave binary data here for entries that it made itself: that is not for us. */
    if (!app.loaded->LoadOptions || size < 2 || size > 2 * BOOT_CMDLINE_MAX)
        return;
    if (!ascii_of(text, sizeof(text), app.loaded->LoadOptions, size / 2))
        return;
    wrong = load_options_parse(text, &load_options);
    if (wrong)
        refuse("the load options cannot be used: %s", wrong);
}

static struct boot_module *add_module(struct boot_info *info, const void *data, u64 size, const char *cmdline)
{
    struct boot_module *m = &info->modules[info->nr_modules++];

    m->base = (u64)data;
    m->size = size;
    memcpy(m->cmdline, cmdline, strlen(cmdline) + 1);
    return m;
}

static void append(char *text, const char *words, const char *whose)
{
    if (!words_append(text, BOOT_CMDLINE_MAX, words))
        refuse("%s command line is too long; at most %d characters", whose, BOOT_CMDLINE_MAX - 1);
}

/* A section that holds one line of text; at most BOOT_CMDLINE_MAX of it. */
static void section_text(char *out, const char *section)
{
    const void *data;
    u64 size, n = 0;

    out[0] = 0;
    if (!section_find(app.loaded->ImageBase, app.loaded->ImageSize, section, &data, &size))
        return;
    for (const char *c = data; n < size && c[n]; n++) {
        if (n == BOOT_CMDLINE_MAX - 1)
            refuse("section %s is too long; at most %d characters", section, BOOT_CMDLINE_MAX - 1);
        out[n] = c[n] == '\n' ? ' ' : c[n];
    }
    while (n && out[n - 1] == ' ')
        n--;
    out[n] = 0;
}

static bool find_inside(struct boot_info *info)
{
    static char cmdline[BOOT_CMDLINE_MAX];
    const void *data;
    u64 size;

    if (!section_find(app.loaded->ImageBase, app.loaded->ImageSize, ".linux", &data, &size))
        return false;
    log_info("guest        inside this file");
    section_text(cmdline, ".cmdline");
    struct boot_module *kernel = add_module(info, data, size, cmdline);
    if (section_find(app.loaded->ImageBase, app.loaded->ImageSize, ".initrd", &data, &size))
        add_module(info, data, size, "");
    section_text(info->cmdline, ".sluice");
    if (app.secure_boot) {
        if (load_options.options[0] || load_options.guest_words[0])
            log_warn("Secure Boot is on: load options are not part of the signed file and are ignored");
        return true;
    }
    append(info->cmdline, load_options.options, "Sluice's");
    append(kernel->cmdline, load_options.guest_words, "the guest's");
    return true;
}

/* Where the files come from, first one that has the configuration. */
static const struct source *find_config(const char *path, struct blob *text)
{
    const struct source *sources[] = { volume_source(), tftp_source(), http_source() };
    const struct source *any = NULL;
    const char *why = "not found";

    for (unsigned i = 0; i < ARRAY_SIZE(sources); i++) {
        if (!sources[i])
            continue;
        any = sources[i];
        if (any->fetch(path, text, &why))
            return any;
    }
    if (!any)
        refuse("no guest: there is none inside this file, and no volume or server that it came from");
    refuse("no guest: there is none inside this file, and %s on %s: %s", path, any->name, why);
}

/* Firmware judges a PE file by loading it; nothing of it is run. */
static void verify(const struct blob *file, const char *path)
{
    EFI_HANDLE image = NULL;

    EFI_STATUS status = app.bs->LoadImage(FALSE, app.self, NULL, file->data, file->size, &image);
    if (image)
        (void)app.bs->UnloadImage(image);
    if (EFI_ERROR(status))
        refuse("Secure Boot is on and %s is not signed with a key that firmware trusts", path);
}

void guest_find(struct boot_info *info)
{
    struct blob text, file;
    const char *why;
    unsigned line;

    read_load_options();
    if (find_inside(info))
        return;

    const char *path = load_options.config[0] ? load_options.config : CONFIG_NAME;
    const struct source *source = find_config(path, &text);
    const char *wrong = config_parse(text.data, text.size, &config, &line);
    if (wrong)
        refuse("%s, line %u: %s", path, line, wrong);
    if (!config.nr_files)
        refuse("no guest: %s has no line that begins with `kernel`", path);
    append(info->cmdline, config.options, "Sluice's");
    append(info->cmdline, load_options.options, "Sluice's");
    append(config.files[0].cmdline, load_options.guest_words, "the guest's");

    for (unsigned i = 0; i < config.nr_files; i++) {
        const struct config_file *f = &config.files[i];

        if (!source->fetch(f->path, &file, &why))
            refuse("%s names %s; on %s: %s", path, f->path, source->name, why);
        log_info("file         %s, %lu KiB from %s", f->path, file.size >> 10, source->name);
        if (!i && app.secure_boot)
            verify(&file, f->path);
        add_module(info, file.data, file.size, f->cmdline);
    }
}
