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

void place_init(struct place *place, const struct guest_image *image)
{
    place->nr_taken = 0;
    place->image = image;
}

static bool is_free_ram(u64 base, u64 size)
{
    static struct boot_range map[BOOT_MAX_RANGES + 2];
    unsigned n = mem_guest_map(map, ARRAY_SIZE(map));

    if (!size || base < LOW_MEMORY || base + (size - 1) < base)
        return false;
    for (unsigned i = 0; i < n; i++)
        if (map[i].type == BOOT_MEM_RAM && base >= map[i].base && size <= map[i].size &&
            base - map[i].base <= map[i].size - size)
            return true;
    return false;
}

/* The base of the first thing in the way of [base, base+size), 0 = nothing. */
static u64 obstacle(const struct place *place, u64 base, u64 size, bool files)
{
    const struct guest_image *image = place->image;

    for (unsigned i = 0; i < place->nr_taken; i++)
        if (ranges_overlap(base, size, place->taken[i].base, place->taken[i].size))
            return place->taken[i].base;
    if (files && ranges_overlap(base, size, image->kernel.base, image->kernel.size))
        return image->kernel.base;
    for (unsigned i = 0; files && i < image->nr_modules; i++)
        if (ranges_overlap(base, size, image->modules[i].base, image->modules[i].size))
            return image->modules[i].base;
    return 0;
}

static bool take(struct place *place, u64 base, u64 size)
{
    if (place->nr_taken == PLACE_MAX)
        return false;
    place->taken[place->nr_taken].base = base;
    place->taken[place->nr_taken++].size = size;
    return true;
}

bool place_claim(struct place *place, u64 base, u64 size)
{
    return is_free_ram(base, size) && !obstacle(place, base, size, false) && take(place, base, size);
}

u64 place_find(struct place *place, u64 size, u64 align, u64 limit)
{
    static struct boot_range map[BOOT_MAX_RANGES + 2];
    unsigned n = mem_guest_map(map, ARRAY_SIZE(map));

    for (unsigned i = n; i-- > 0;) {
        u64 floor = MAX(map[i].base, LOW_MEMORY);
        u64 end = MIN(map[i].base + map[i].size, limit);

        if (map[i].type != BOOT_MEM_RAM || !size)
            continue;
        /* Each obstacle moves the end below itself, so there are at most as many rounds as obstacles. */
        while (end >= size && align_down(end - size, align) >= floor) {
            u64 base = align_down(end - size, align);
            u64 blocked = obstacle(place, base, size, true);
            if (!blocked)
                return take(place, base, size) ? base : 0;
            end = blocked;
        }
    }
    return 0;
}

static bool move_away(struct place *place, struct guest_file *file, u64 limit)
{
    if (!file->size || (!obstacle(place, file->base, file->size, false) && file->base + file->size <= limit))
        return true;
    u64 to = place_find(place, file->size, PAGE_SIZE, limit);
    if (!to)
        return false;
    memmove(phys_to_virt(to), phys_to_virt(file->base), file->size);
    file->base = to;
    return true;
}

bool place_files(struct place *place, struct guest_image *image, u64 limit)
{
    /* A file that has been moved lies on memory taken for it and must not be moved again. */
    if (!move_away(place, &image->kernel, limit))
        return false;
    for (unsigned i = 0; i < image->nr_modules; i++)
        if (!move_away(place, &image->modules[i], limit))
            return false;
    return true;
}

void *place_pages(struct place *place, u64 size, u64 limit, u64 *gpa)
{
    *gpa = place_find(place, align_up(size, PAGE_SIZE), PAGE_SIZE, limit);
    if (!*gpa)
        return NULL;
    return memset(phys_to_virt(*gpa), 0, align_up(size, PAGE_SIZE));
}

static void describe(const struct boot_info *info, struct guest_image *image)
{
    memset(image, 0, sizeof(*image));
    image->rsdp = acpi_rsdp();
    image->boot = info;
    for (unsigned i = 0; i < info->nr_modules; i++) {
        const struct boot_module *m = &info->modules[i];
        struct guest_file *file = i ? &image->modules[image->nr_modules++] : &image->kernel;
        *file = (struct guest_file){ m->base, m->size, m->cmdline };
    }
}

/* All of it must be in memory we can read and the guest owns. */
static bool in_ram(const struct boot_info *info, const struct boot_module *m)
{
    if (!m->size)
        return true;
    for (unsigned i = 0; i < info->nr_ranges; i++) {
        const struct boot_range *r = &info->ranges[i];
        if (r->type == BOOT_MEM_RAM && m->base >= r->base && m->size <= r->size &&
            m->base - r->base <= r->size - m->size)
            return true;
    }
    return false;
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
        if (!in_ram(info, &info->modules[i]))
            refuse("guest image: module %u at 0x%lx is not in memory; the boot loader is at fault", i + 1,
                   info->modules[i].base);
    }
    describe(info, &image);
    const struct guest_loader *loader = find_loader(&image);
    const char *wrong = loader->check(&image);
    if (wrong)
        refuse("the guest image (%s) is broken: %s; fetch or build it again", loader->name, wrong);
}

void guest_load(const struct boot_info *info, struct vcpu_start *start)
{
    static struct guest_image image;

    describe(info, &image);
    memset(start, 0, sizeof(*start));
    const struct guest_loader *loader = find_loader(&image);
    const char *wrong = loader->load(&image, start);
    if (wrong)
        refuse("the guest image (%s) cannot be loaded: %s", loader->name, wrong);
}
