/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From firmware to Sluice: its image is put at a place of its own, the memory map is read for the last time,
 * boot services end, and the image's 64-bit entry (boot/multiboot2.asm) is called with the boot information.
 */
#include "arch/string.h"
#include "boot/efi/efi_app.h"
#include "boot/ranges.h"

/* embed.asm */
extern const u8 sluice_image[], sluice_image_end[];

/* At 0x80 in the image, written by boot/multiboot2.asm. */
#define IMAGE_HEADER 0x80
struct image_header {
    char magic[8];
    u32 entry; /* bytes from the load address */
    u32 size;  /* bytes from the load address that the image uses */
};

/* Between asking how large the map is and reading it, allocations add entries to it. */
#define MAP_SPARE_ENTRIES 32
#define EXIT_TRIES        4

static struct {
    u8 *bytes;
    UINTN room, size, key, entry_size;
    UINT32 version;
} map;

void describe_framebuffer(struct boot_info *info)
{
    EFI_GUID guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
    EFI_GRAPHICS_OUTPUT_PROTOCOL *gop;
    struct boot_framebuffer *fb = &info->framebuffer;

    if (EFI_ERROR(app.bs->LocateProtocol(&guid, NULL, (void **)&gop)) || !gop->Mode || !gop->Mode->Info)
        return;
    const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *mode = gop->Mode->Info;
    bool red_first = mode->PixelFormat == PixelRedGreenBlueReserved8BitPerColor;
    if (!red_first && mode->PixelFormat != PixelBlueGreenRedReserved8BitPerColor)
        return; /* other layouts are seen nowhere, and some modes have no memory at all */
    fb->red_at = red_first ? 0 : 16;
    fb->green_at = 8;
    fb->blue_at = red_first ? 16 : 0;
    fb->width = mode->HorizontalResolution;
    fb->height = mode->VerticalResolution;
    fb->pitch = mode->PixelsPerScanLine * 4;
    fb->base = gop->Mode->FrameBufferBase;
    fb->size = gop->Mode->FrameBufferSize;
}

/* What is in none of these is reserved. */
static enum boot_mem_type type_of(UINT32 efi_type)
{
    static const u8 types[] = {
        [EfiLoaderCode] = BOOT_MEM_RAM,         [EfiLoaderData] = BOOT_MEM_RAM,
        [EfiBootServicesCode] = BOOT_MEM_RAM,   [EfiBootServicesData] = BOOT_MEM_RAM,
        [EfiConventionalMemory] = BOOT_MEM_RAM, [EfiACPIReclaimMemory] = BOOT_MEM_ACPI,
        [EfiACPIMemoryNVS] = BOOT_MEM_NVS,      [EfiUnusableMemory] = BOOT_MEM_BAD
    };
    enum boot_mem_type type = efi_type < ARRAY_SIZE(types) ? (enum boot_mem_type)types[efi_type] : 0;

    return type ? type : BOOT_MEM_RESERVED;
}

static EFI_STATUS read_map(void)
{
    map.size = map.room;
    return app.bs->GetMemoryMap(&map.size, (EFI_MEMORY_DESCRIPTOR *)map.bytes, &map.key, &map.entry_size,
                                &map.version);
}

/* Neighbours of one type are joined at once: firmware's map is longer than the table of ranges. */
static void ranges_from_map(struct boot_info *info)
{
    u64 base = 0, size = 0;
    enum boot_mem_type type = BOOT_MEM_RAM;

    info->nr_ranges = 0;
    info->ranges_cut = false;
    for (UINTN at = 0; at + map.entry_size <= map.size; at += map.entry_size) {
        const EFI_MEMORY_DESCRIPTOR *d = (const EFI_MEMORY_DESCRIPTOR *)(map.bytes + at);
        enum boot_mem_type next = type_of(d->Type);

        if (next == type && d->PhysicalStart == base + size) {
            size += d->NumberOfPages * PAGE_SIZE;
            continue;
        }
        boot_ranges_add(info, base, size, type);
        base = d->PhysicalStart;
        size = d->NumberOfPages * PAGE_SIZE;
        type = next;
    }
    boot_ranges_add(info, base, size, type);
    boot_ranges_normalize(info);
}

void describe_memory(struct boot_info *info)
{
    if (!map.bytes) {
        UINTN none = 0;

        (void)app.bs->GetMemoryMap(&none, NULL, &map.key, &map.entry_size, &map.version);
        map.room = none + MAP_SPARE_ENTRIES * MAX(map.entry_size, sizeof(EFI_MEMORY_DESCRIPTOR));
        map.bytes = app_pages(map.room, BIT(32), "the memory map");
        map.room = align_up(map.room, PAGE_SIZE);
    }
    if (EFI_ERROR(read_map()))
        refuse("firmware does not give its memory map");
    ranges_from_map(info);
}

/* A map that does not fit costs the guest the runtime services, nothing else. */
static void keep_map(struct boot_info *info)
{
    if (map.size > sizeof(info->efi_map.bytes))
        return;
    memcpy(info->efi_map.bytes, map.bytes, map.size);
    info->efi_map.size = (u32)map.size;
    info->efi_map.entry_size = (u32)map.entry_size;
    info->efi_map.version = map.version;
}

static void end_boot_services(void)
{
    /* Reading the map may change it, once; an event handler may do so again. Nothing else may be called. */
    for (unsigned i = 0; i < EXIT_TRIES; i++)
        if (!EFI_ERROR(read_map()) && !EFI_ERROR(app.bs->ExitBootServices(app.self, map.key)))
            return;
    refuse("firmware does not end its boot services");
}

static u64 place_image(const struct image_header *header)
{
    u64 bytes = (u64)(sluice_image_end - sluice_image);
    u64 room = align_up(MAX(header->size, bytes), PAGE_SIZE);
    u64 base = align_up((u64)app_pages(room + SIZE_2M, BIT(32), "Sluice's image"), SIZE_2M);

    memcpy((void *)base, sluice_image, bytes);
    memset((void *)(base + bytes), 0, room - bytes);
    return base;
}

void hand_over(struct boot_info *info)
{
    const struct image_header *header = (const struct image_header *)(sluice_image + IMAGE_HEADER);

    if (memcmp(header->magic, "SLUICE64", sizeof(header->magic)))
        refuse("the hypervisor inside this file is broken; build it again");
    u64 base = place_image(header);
    info->efi_system_table = (u64)app.st;

    end_boot_services();
    ranges_from_map(info);
    keep_map(info);
    __asm__ volatile("cli\n\tjmp *%0" ::"r"(base + header->entry), "D"(info) : "memory");
    __builtin_unreachable();
}
