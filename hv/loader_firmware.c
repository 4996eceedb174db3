/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EFI's memory map and frame buffer for a Linux guest (Documentation/arch/x86/zero-page.rst of the kernel).
 * The map is a copy in which Sluice's region is reserved, so that the guest neither maps nor moves it.
 */
#include "hv/loader.h"
#include "arch/paging.h"
#include "arch/string.h"

/* boot_params: screen_info and efi_info. */
enum {
    VIDEO_TYPE = 0x0f,  /* 1 */
    LFB_WIDTH = 0x12,   /* 2 */
    LFB_HEIGHT = 0x14,  /* 2 */
    LFB_DEPTH = 0x16,   /* 2 */
    LFB_BASE = 0x18,    /* 4 */
    LFB_SIZE = 0x1c,    /* 4 */
    LFB_PITCH = 0x24,   /* 2 */
    LFB_COLOURS = 0x26, /* 8: size and position of red, green, blue, reserved */
    CAPABILITIES = 0x36,
    LFB_BASE_HIGH = 0x3a,
    EFI_SIGNATURE = 0x1c0,
    EFI_SYSTAB = 0x1c4,
    EFI_ENTRY_SIZE = 0x1c8,
    EFI_ENTRY_VERSION = 0x1cc,
    EFI_MAP = 0x1d0,
    EFI_MAP_SIZE = 0x1d4,
    EFI_SYSTAB_HIGH = 0x1d8,
};
#define VIDEO_TYPE_EFI  0x70
#define CAPABILITY_64   BIT(1)
#define EFI64_SIGNATURE 0x34364c45 /* "EL64" */

static u8 *put_entry(u8 *to, const u8 *from, u32 entry_size, u64 start, u64 end, bool reserve)
{
    struct boot_efi_entry e;

    if (start >= end)
        return to;
    memcpy(to, from, entry_size);
    memcpy(&e, from, sizeof(e));
    e.start = start;
    e.pages = (end - start) / PAGE_SIZE;
    if (reserve)
        e.type = EFI_RESERVED;
    memcpy(to, &e, sizeof(e));
    return to + entry_size;
}

/* Each entry that the region touches becomes up to three. */
static u64 copy_map(u8 *out, const struct boot_efi_map *map)
{
    u64 region = region_base(), region_end = region + region_size();
    struct boot_efi_entry e;
    u8 *to = out;

    for (u32 i = 0; boot_efi_entry(map, i, &e); i++) {
        const u8 *from = map->bytes + i * map->entry_size;
        u64 end = e.start + e.pages * PAGE_SIZE;

        to = put_entry(to, from, map->entry_size, e.start, MIN(end, region), false);
        to = put_entry(to, from, map->entry_size, MAX(e.start, region), MIN(end, region_end), true);
        to = put_entry(to, from, map->entry_size, MAX(e.start, region_end), end, false);
    }
    return (u64)(to - out);
}

static void describe_screen(u8 *params, const struct boot_framebuffer *fb)
{
    const u8 colours[8] = { 8, fb->red_at, 8, fb->green_at, 8, fb->blue_at, 8, 24 };

    loader_put(params, VIDEO_TYPE, 1, VIDEO_TYPE_EFI);
    loader_put(params, LFB_WIDTH, 2, fb->width);
    loader_put(params, LFB_HEIGHT, 2, fb->height);
    loader_put(params, LFB_DEPTH, 2, 32);
    loader_put(params, LFB_BASE, 4, fb->base);
    loader_put(params, LFB_BASE_HIGH, 4, fb->base >> 32);
    loader_put(params, LFB_SIZE, 4, fb->size);
    loader_put(params, LFB_PITCH, 2, fb->pitch);
    loader_put(params, CAPABILITIES, 4, fb->base >> 32 ? CAPABILITY_64 : 0);
    memcpy(params + LFB_COLOURS, colours, sizeof(colours));
}

void firmware_describe(struct writer *w, u8 *params, const struct boot_info *info)
{
    const struct boot_efi_map *map = &info->efi_map;
    struct boot_efi_entry first;
    u64 at;

    if (info->framebuffer.base)
        describe_screen(params, &info->framebuffer);
    if (!info->efi_system_table || !boot_efi_entry(map, 0, &first))
        return;
    u64 size = copy_map(writer_reserve(w, 3ull * map->size, &at), map);
    loader_put(params, EFI_SIGNATURE, 4, EFI64_SIGNATURE);
    loader_put(params, EFI_SYSTAB, 4, info->efi_system_table);
    loader_put(params, EFI_SYSTAB_HIGH, 4, info->efi_system_table >> 32);
    loader_put(params, EFI_ENTRY_SIZE, 4, map->entry_size);
    loader_put(params, EFI_ENTRY_VERSION, 4, map->version);
    loader_put(params, EFI_MAP, 4, at); /* below 4 GiB */
    loader_put(params, EFI_MAP_SIZE, 4, size);
}
