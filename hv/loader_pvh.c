/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF files with a PVH entry note (Xen's "x86/HVM direct boot ABI"): the test guests, and any kernel built
 * so. 32-bit protected mode, paging off, EBX = hvm_start_info.
 */
#include "hv/loader.h"
#include "arch/log.h"
#include "arch/paging.h"
#include "arch/string.h"
#include "hv/mem.h"

#define ELF_MAGIC        0x464c457f
#define ELFCLASS32       1
#define ELFCLASS64       2
#define ELFDATA2LSB      1
#define ET_EXEC          2
#define ET_DYN           3
#define EM_386           3
#define EM_X86_64        62
#define PT_LOAD          1
#define PT_NOTE          4
#define NOTE_PHYS32      18 /* XEN_ELFNOTE_PHYS32_ENTRY */
#define MAX_SEGMENTS     32
#define MAX_NOTES        64 /* per segment */
#define LIMIT            BIT(32)
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

struct hvm_memmap_entry {
    u64 addr, size;
    u32 type, reserved;
};

struct segment {
    u64 off, filesz, paddr, memsz;
};

struct elf {
    unsigned nr_segments;
    struct segment segments[MAX_SEGMENTS];
    u64 entry;
};

static bool detect(const struct guest_image *image)
{
    return loader_field(&image->kernel, 0, 4) == ELF_MAGIC;
}

/* Looks for the entry in one PT_NOTE segment. */
static void parse_notes(const struct guest_file *f, u64 off, u64 size, u64 align, u64 *entry)
{
    u64 unit = align == 8 ? 8 : 4, end = off + size;

    for (unsigned i = 0; i < MAX_NOTES && end - off >= 12; i++) {
        u64 namesz = loader_field(f, off, 4), descsz = loader_field(f, off + 4, 4);
        u64 type = loader_field(f, off + 8, 4);
        u64 name = off + 12, desc = name + align_up(namesz, unit), next = desc + align_up(descsz, unit);

        if (desc > end || descsz > end - desc)
            return;
        if (type == NOTE_PHYS32 && namesz == 4 && loader_field(f, name, 4) == 0x006e6558 /* "Xen" */ &&
            (descsz == 4 || descsz == 8))
            *entry = loader_field(f, desc, (unsigned)descsz);
        if (next > end)
            return;
        off = next;
    }
}

static const char *parse_header(const struct guest_file *f, u64 ph, bool is64, struct elf *out)
{
    u64 type = loader_field(f, ph, 4);
    struct segment s = {
        .off = is64 ? loader_field(f, ph + 8, 8) : loader_field(f, ph + 4, 4),
        .paddr = is64 ? loader_field(f, ph + 24, 8) : loader_field(f, ph + 12, 4),
        .filesz = is64 ? loader_field(f, ph + 32, 8) : loader_field(f, ph + 16, 4),
        .memsz = is64 ? loader_field(f, ph + 40, 8) : loader_field(f, ph + 20, 4),
    };
    u64 align = is64 ? loader_field(f, ph + 48, 8) : loader_field(f, ph + 28, 4);

    if (type != PT_LOAD && type != PT_NOTE)
        return NULL;
    if (!loader_has(f, s.off, s.filesz))
        return "a segment lies outside the file";
    if (type == PT_NOTE) {
        parse_notes(f, s.off, s.filesz, align, &out->entry);
        return NULL;
    }
    if (!s.memsz)
        return NULL;
    if (s.filesz > s.memsz)
        return "a segment is larger in the file than in memory";
    if (s.paddr >= LIMIT || s.memsz > LIMIT - s.paddr)
        return "a segment ends above 4 GiB";
    for (unsigned i = 0; i < out->nr_segments; i++)
        if (ranges_overlap(s.paddr, s.memsz, out->segments[i].paddr, out->segments[i].memsz))
            return "its segments overlap";
    if (out->nr_segments == MAX_SEGMENTS)
        return "it has too many segments";
    out->segments[out->nr_segments++] = s;
    return NULL;
}

static const char *parse(const struct guest_image *image, struct elf *out)
{
    const struct guest_file *f = &image->kernel;
    u64 class = loader_field(f, 4, 1), type = loader_field(f, 16, 2), machine = loader_field(f, 18, 2);
    bool is64 = class == ELFCLASS64;

    memset(out, 0, sizeof(*out));
    if ((class != ELFCLASS32 && !is64) || loader_field(f, 5, 1) != ELFDATA2LSB || !loader_has(f, 0, 52))
        return "not a little-endian 32- or 64-bit ELF file";
    if (type != ET_EXEC && type != ET_DYN)
        return "it is an object file, not a program";
    if (machine != EM_386 && machine != EM_X86_64)
        return "it is for another processor";

    u64 phoff = is64 ? loader_field(f, 32, 8) : loader_field(f, 28, 4);
    u64 phentsize = loader_field(f, is64 ? 54 : 42, 2), phnum = loader_field(f, is64 ? 56 : 44, 2);
    if (phentsize != (is64 ? 56u : 32u) || !phnum || !loader_has(f, phoff, phnum * phentsize))
        return "its program headers are missing or outside the file";
    for (u64 i = 0; i < phnum; i++) {
        const char *wrong = parse_header(f, phoff + i * phentsize, is64, out);
        if (wrong)
            return wrong;
    }
    if (!out->entry)
        return "it has no PVH entry note (name Xen, type 18)";
    for (unsigned i = 0; i < out->nr_segments; i++)
        if (out->entry >= out->segments[i].paddr &&
            out->entry - out->segments[i].paddr < out->segments[i].filesz)
            return NULL;
    return "its PVH entry lies in no segment";
}

static const char *check(const struct guest_image *image)
{
    static struct elf elf;

    return parse(image, &elf);
}

static bool put_string(struct place *place, const char *text, u64 *gpa)
{
    char *to = place_pages(place, strlen(text) + 1, LIMIT, gpa);

    if (to)
        memcpy(to, text, strlen(text));
    return to != NULL;
}

static bool put_modules(struct place *place, const struct guest_image *image, struct hvm_start_info *info)
{
    if (!image->nr_modules)
        return true;
    struct hvm_modlist_entry *m =
        place_pages(place, image->nr_modules * sizeof(*m), LIMIT, &info->modlist_paddr);
    if (!m)
        return false;
    info->nr_modules = image->nr_modules;
    for (unsigned i = 0; i < image->nr_modules; i++) {
        m[i].paddr = image->modules[i].base;
        m[i].size = image->modules[i].size;
        if (!put_string(place, image->modules[i].cmdline, &m[i].cmdline_paddr))
            return false;
    }
    return true;
}

static bool put_memory_map(struct place *place, struct hvm_start_info *info)
{
    static struct boot_range map[BOOT_MAX_RANGES + 2];
    unsigned n = mem_guest_map(map, ARRAY_SIZE(map));
    struct hvm_memmap_entry *e = place_pages(place, n * sizeof(*e), LIMIT, &info->memmap_paddr);

    if (!e)
        return false;
    info->memmap_entries = n;
    for (unsigned i = 0; i < n; i++)
        e[i] = (struct hvm_memmap_entry){ map[i].base, map[i].size, (u32)map[i].type, 0 };
    return true;
}

static const char *load(struct guest_image *image, struct vcpu_start *start)
{
    static const char no_room[] = "not enough memory for it; give the machine more";
    static struct elf elf;
    struct place place;
    u64 info_gpa, loaded = 0;

    const char *wrong = parse(image, &elf);
    if (wrong)
        return wrong;
    place_init(&place, image);
    for (unsigned i = 0; i < elf.nr_segments; i++)
        if (!place_claim(&place, elf.segments[i].paddr, elf.segments[i].memsz))
            return "it is linked to addresses that are not free memory on this machine";
    if (!place_files(&place, image, LIMIT))
        return no_room;

    struct hvm_start_info *info = place_pages(&place, sizeof(*info), LIMIT, &info_gpa);
    if (!info || !put_string(&place, image->kernel.cmdline, &info->cmdline_paddr) ||
        !put_modules(&place, image, info) || !put_memory_map(&place, info))
        return no_room;
    info->magic = START_INFO_MAGIC;
    info->version = 1;
    info->rsdp_paddr = image->rsdp;
    u64 *gdt = place_pages(&place, 3 * 8, LIMIT, &start->gdt_base);
    if (!gdt)
        return no_room;
    gdt[1] = 0x00cf9b000000ffff; /* 0x08: 32-bit code */
    gdt[2] = 0x00cf93000000ffff; /* 0x10: data */
    start->gdt_limit = 3 * 8 - 1;

    for (unsigned i = 0; i < elf.nr_segments; i++) {
        const struct segment *s = &elf.segments[i];
        u8 *to = phys_to_virt(s->paddr);
        memcpy(to, loader_data(&image->kernel) + s->off, s->filesz);
        memset(to + s->filesz, 0, s->memsz - s->filesz);
        loaded += s->memsz;
    }
    start->mode = START_PROT32;
    start->rip = elf.entry;
    start->gpr[RBX] = info_gpa;
    log_info("guest        ELF by PVH, %lu KiB, entry 0x%lx; modules %u", loaded >> 10, elf.entry,
             image->nr_modules);
    return NULL;
}

const struct guest_loader pvh_loader = { "ELF", detect, check, load };
