/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF files with a PVH entry note (Xen's "x86/HVM direct boot ABI"): the test guests, and any kernel built
 * so. 32-bit protected mode, paging off, EBX = hvm_start_info.
 */
#include "hv/loader_elf.h"
#include "hv/mem.h"

#define START_INFO_MAGIC 0x336ec578

struct hvm_start_info {
    u32 magic, version, flags, nr_modules;
    u64 modlist_paddr, cmdline_paddr, rsdp_paddr;
    u64 memmap_paddr; /* version 1 on */
    u32 memmap_entries, reserved;
};
_Static_assert(sizeof(struct hvm_start_info) == 56, "ABI");

struct hvm_modlist_entry {
    u64 paddr, size, cmdline_paddr, reserved;
};

static bool detect(const struct guest_image *image)
{
    return loader_field(&image->kernel, 0, 4) == ELF_MAGIC;
}

static struct elf elf;

static const char *parse(const struct guest_image *image)
{
    const char *wrong = elf_parse(&image->kernel, &elf);

    if (wrong)
        return wrong;
    elf.entry = elf.pvh_entry;
    if (!elf.entry)
        return "it has neither a multiboot header nor a PVH entry note (name Xen, type 18)";
    return elf_entry_filled(&elf) ? NULL : "its PVH entry lies in no segment";
}

static void tell(struct writer *w, const struct guest_image *image)
{
    u64 gpa;
    struct hvm_start_info *info = writer_reserve(w, sizeof(*info), &gpa);
    struct hvm_modlist_entry *m = writer_reserve(w, image->nr_modules * sizeof(*m), &info->modlist_paddr);

    info->magic = START_INFO_MAGIC;
    info->version = 1;
    info->rsdp_paddr = image->rsdp;
    info->cmdline_paddr = writer_string(w, image->kernel.cmdline);
    info->nr_modules = image->nr_modules;
    for (unsigned i = 0; i < image->nr_modules; i++) {
        const struct guest_file *f = &image->modules[i];
        m[i] = (struct hvm_modlist_entry){ f->base, f->size, writer_string(w, f->cmdline), 0 };
    }
    (void)mem_guest_map(&info->memmap_entries);
    fill_map(writer_reserve(w, info->memmap_entries * sizeof(struct map_entry), &info->memmap_paddr));
}

static const char *load(struct guest_image *image, struct vcpu_start *start)
{
    return elf_load(&elf, image, start, "PVH", tell);
}

const struct guest_loader pvh_loader = { "ELF", detect, parse, load };
