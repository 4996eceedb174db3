/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files beside sluice.efi on the volume it was started from. iPXE, too, shows the files it has fetched as a
 * volume.
 */
#include "boot/efi/efi_app.h"
#include "arch/string.h"

#define PATH_UNITS 512

static char directory[CONFIG_PATH_MAX];

void directory_of(char *out, size_t room, const char *path)
{
    size_t end = 0;

    for (size_t i = 0; path[i]; i++)
        if (path[i] == '/' || path[i] == '\\')
            end = i + 1;
    end = MIN(end, room - 1);
    memcpy(out, path, end);
    out[end] = 0;
}

/* The file part of the device path this application was loaded by, pieces joined; what is no ASCII is left
 * out, and with it the directory. */
static void own_directory(void)
{
    const EFI_DEVICE_PATH *node = app.loaded->FilePath;
    char path[CONFIG_PATH_MAX] = "", piece[CONFIG_PATH_MAX];
    size_t have = 0;

    for (unsigned i = 0; node && !IsDevicePathEnd(node) && i < 64; i++, node = NextDevicePathNode(node)) {
        size_t size = DevicePathNodeLength(node);

        if (DevicePathType(node) != MEDIA_DEVICE_PATH || DevicePathSubType(node) != MEDIA_FILEPATH_DP ||
            size <= sizeof(*node))
            continue;
        if (!ascii_of(piece, sizeof(piece), (const CHAR16 *)(node + 1), (size - sizeof(*node)) / 2) ||
            have + 1 + strlen(piece) >= sizeof(path))
            return;
        if (have && path[have - 1] != '\\')
            path[have++] = '\\';
        memcpy(path + have, piece, strlen(piece) + 1);
        have += strlen(piece);
    }
    directory_of(directory, sizeof(directory), path);
}

/* Firmware takes a path from the root with backslashes. */
static bool full_path(CHAR16 *out, const char *path)
{
    bool absolute = path[0] == '/' || path[0] == '\\';
    const char *parts[] = { absolute ? "" : directory, path };
    size_t n = 0;

    for (unsigned p = 0; p < ARRAY_SIZE(parts); p++)
        for (const char *c = parts[p]; *c; c++) {
            if (n == PATH_UNITS - 1)
                return false;
            out[n++] = *c == '/' ? '\\' : (CHAR16)*c;
        }
    out[n] = 0;
    return true;
}

static bool read_all(EFI_FILE_PROTOCOL *file, struct blob *out)
{
    EFI_GUID guid = EFI_FILE_INFO_ID;
    union {
        EFI_FILE_INFO info;
        UINT8 room[sizeof(EFI_FILE_INFO) + 2 * PATH_UNITS];
    } u;
    UINTN size = sizeof(u);

    if (EFI_ERROR(file->GetInfo(file, &guid, &size, &u)) || u.info.Attribute & EFI_FILE_DIRECTORY)
        return false;
    out->size = u.info.FileSize;
    out->data = app_pages(out->size, ~0ull, "a file");
    /* Some drivers read less than asked for; none should read nothing. */
    for (u64 at = 0; at < out->size;) {
        UINTN n = MIN(out->size - at, (u64)8 << 20);
        if (EFI_ERROR(file->Read(file, &n, (u8 *)out->data + at)) || !n)
            return false;
        at += n;
    }
    return true;
}

static bool fetch(const char *path, struct blob *out, const char **why)
{
    EFI_SIMPLE_FILE_SYSTEM_PROTOCOL *volume =
        app_protocol(app.loaded->DeviceHandle, (EFI_GUID)SIMPLE_FILE_SYSTEM_PROTOCOL);
    EFI_FILE_PROTOCOL *root, *file;
    CHAR16 wide[PATH_UNITS];

    *why = "not found";
    if (!volume || !full_path(wide, path) || EFI_ERROR(volume->OpenVolume(volume, &root)))
        return false;
    bool found = !EFI_ERROR(root->Open(root, &file, wide, EFI_FILE_MODE_READ, 0));
    if (found) {
        found = read_all(file, out);
        *why = "cannot be read";
        (void)file->Close(file);
    }
    (void)root->Close(root);
    return found;
}

const struct source *volume_source(void)
{
    static const struct source source = { "the volume", fetch };

    if (!app_protocol(app.loaded->DeviceHandle, (EFI_GUID)SIMPLE_FILE_SYSTEM_PROTOCOL))
        return NULL;
    own_directory();
    return &source;
}
