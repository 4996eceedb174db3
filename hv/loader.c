/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding out what the guest is, and finding room for it. The files lie in the memory they are loaded into,
 * so whatever a loader is about to write on is moved away first.
 */
#include "hv/loader.h"
#include "arch/acpi.h"
#include "arch/log.h"
#include "arch/paging.h"
#include "arch/string.h"
#include "hv/mem.h"

#define LOW_MEMORY BIT(20) /* BIOS data, start-up trampolines: never used for loading */

const char loader_no_room[] = "not enough memory for it; give the machine more";

static const struct guest_loader *const loaders[] = { &linux_loader, &multiboot_loader, &pvh_loader };

const u8 *loader_data(const struct guest_file *file)
{
    return phys_to_virt(file->base);
}

bool loader_has(const struct guest_file *file, u64 off, u64 size)
{
    return off <= file->size && size <= file->size - off;
}

u64 loader_field(const struct guest_file *file, u64 off, unsigned width)
{
    u64 value = 0;

    if (loader_has(file, off, width))
        memcpy(&value, loader_data(file) + off, width);
    return value;
}

/* Is all of it in one range of RAM? */
static bool is_ram(const struct boot_range *map, unsigned n, u64 base, u64 size)
{
    for (unsigned i = 0; i < n; i++)
        if (map[i].type == BOOT_MEM_RAM && size <= map[i].size && base - map[i].base <= map[i].size - size)
            return true;
    return false;
}

static void take(struct guest_image *image, u64 base, u64 size)
{
    image->busy[image->nr_busy++] = (struct boot_range){ .base = base, .size = size };
}

static bool is_taken(const struct guest_image *image, u64 base, u64 size)
{
    for (unsigned i = 1 + image->nr_modules; i < image->nr_busy; i++)
        if (ranges_overlap(base, size, image->busy[i].base, image->busy[i].size))
            return true;
    return false;
}

bool place_claim(struct guest_image *image, u64 base, u64 size)
{
    unsigned n;
    const struct boot_range *map = mem_guest_map(&n);

    if (!size || base < LOW_MEMORY || !is_ram(map, n, base, size) || is_taken(image, base, size))
        return false;
    take(image, base, size);
    return true;
}

static u64 find_below(const struct guest_image *image, u64 size, u64 align, u64 limit)
{
    unsigned n;
    const struct boot_range *map = mem_guest_map(&n);

    return mem_highest(map, n, image->busy, image->nr_busy, size, align, LOW_MEMORY, limit);
}

u64 place_find(struct guest_image *image, u64 size, u64 align)
{
    u64 base = find_below(image, size, align, LOADER_LIMIT);

    if (base)
        take(image, base, size);
    return base;
}

bool place_files(struct guest_image *image, u64 limit)
{
    for (unsigned i = 0; i <= image->nr_modules; i++) {
        struct guest_file *f = &image->files[i];

        if (!is_taken(image, f->base, f->size) && f->base + f->size <= limit)
            continue;
        u64 to = find_below(image, f->size, PAGE_SIZE, limit);
        if (!to)
            return false;
        memmove(phys_to_virt(to), phys_to_virt(f->base), f->size);
        image->busy[i].base = f->base = to;
    }
    return true;
}

/* The strings and a table's entry of each file, the memory map, and what Linux has on top: page tables,
 * boot_params, and EFI's memory map, of which each entry may become three. */
#define WRITER_ROOM                                                                                   \
    align_up(BOOT_MAX_MODULES *(BOOT_CMDLINE_MAX + 64) + (BOOT_MAX_RANGES + 2) * 24 + 8 * PAGE_SIZE + \
                 3 * BOOT_EFI_MAP_MAX,                                                                \
             PAGE_SIZE)

bool writer_init(struct writer *w, struct guest_image *image)
{
    *w = (struct writer){ .gpa = place_find(image, WRITER_ROOM, PAGE_SIZE) };
    if (!w->gpa)
        return false;
    w->page = memset(phys_to_virt(w->gpa), 0, WRITER_ROOM);
    return true;
}

void *writer_reserve(struct writer *w, u64 size, u64 *gpa)
{
    void *to = w->page + w->at;

    *gpa = w->gpa + w->at;
    w->at += align_up(size, 8);
    return to;
}

u32 writer_string(struct writer *w, const char *text)
{
    u64 gpa, size = strlen(text) + 1;

    memcpy(writer_reserve(w, size, &gpa), text, size);
    return (u32)gpa;
}

void loader_put(u8 *params, unsigned off, unsigned width, u64 value)
{
    memcpy(params + off, &value, width);
}

static void describe(const struct boot_info *info, struct guest_image *image)
{
    memset(image, 0, sizeof(*image));
    image->rsdp = acpi_rsdp();
    image->boot = info;
    image->nr_modules = info->nr_modules - 1;
    for (unsigned i = 0; i < info->nr_modules; i++) {
        const struct boot_module *m = &info->modules[i];
        image->files[i] = (struct guest_file){ m->base, m->size, m->cmdline };
        take(image, m->base, m->size);
    }
}

static const struct guest_loader *find_loader(const struct guest_image *image)
{
    for (unsigned i = 0; i < ARRAY_SIZE(loaders); i++)
        if (loaders[i]->detect(image))
            return loaders[i];
    refuse(
        "the guest image is neither a Linux bzImage nor an ELF file with a multiboot header or a PVH entry; "
        "name one in the boot menu's first module2 line");
}

void guest_check(const struct boot_info *info)
{
    static struct guest_image image;

    if (!info->nr_modules)
        refuse("no guest: the boot loader passed no module; add `module2 /path/to/kernel` to the boot menu");
    if (info->modules_cut)
        refuse("too many modules for the guest; at most %d are passed on", BOOT_MAX_MODULES);
    for (unsigned i = 0; i < info->nr_modules; i++) {
        if (info->modules[i].cmdline_cut)
            refuse("the command line of module %u is too long; at most %d characters", i + 1,
                   BOOT_CMDLINE_MAX - 1);
        if (info->modules[i].size &&
            !is_ram(info->ranges, info->nr_ranges, info->modules[i].base, info->modules[i].size))
            refuse("guest image: module %u at 0x%lx is not in memory; the boot loader is at fault", i + 1,
                   info->modules[i].base);
    }
    describe(info, &image);
    const struct guest_loader *loader = find_loader(&image);
    const char *wrong = loader->parse(&image);
    if (wrong)
        refuse("the guest image (%s) is broken: %s; fetch or build it again", loader->name, wrong);
}

void guest_load(const struct boot_info *info, struct vcpu_start *start)
{
    static struct guest_image image;

    describe(info, &image);
    memset(start, 0, sizeof(*start));
    const struct guest_loader *loader = find_loader(&image);
    const char *wrong = loader->parse(&image);
    if (!wrong)
        wrong = loader->load(&image, start);
    if (wrong)
        refuse("the guest image (%s) cannot be loaded: %s", loader->name, wrong);
}
