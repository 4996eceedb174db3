/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/loader_elf.h"
#include "arch/paging.h"
#include "arch/string.h"
#include "hv/mem.h"

#define ELFCLASS32  1
#define ELFCLASS64  2
#define ELFDATA2LSB 1
#define ET_EXEC     2
#define ET_DYN      3
#define EM_386      3
#define EM_X86_64   62
#define PT_LOAD     1
#define PT_NOTE     4
#define NOTE_PHYS32 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
#define MAX_NOTES   64 /* per segment */

const char loader_no_room[] = "not enough memory for it; give the machine more";

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
        .vaddr = is64 ? loader_field(f, ph + 16, 8) : loader_field(f, ph + 8, 4),
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
        parse_notes(f, s.off, s.filesz, align, &out->pvh_entry);
        return NULL;
    }
    if (!s.memsz)
        return NULL;
    if (s.filesz > s.memsz)
        return "a segment is larger in the file than in memory";
    if (s.paddr >= ELF_LIMIT || s.memsz > ELF_LIMIT - s.paddr)
        return "a segment ends above 4 GiB";
    for (unsigned i = 0; i < out->nr_segments; i++)
        if (ranges_overlap(s.paddr, s.memsz, out->segments[i].paddr, out->segments[i].memsz))
            return "its segments overlap";
    if (out->nr_segments == MAX_SEGMENTS)
        return "it has too many segments";
    out->segments[out->nr_segments++] = s;
    return NULL;
}

const char *elf_parse(const struct guest_file *f, struct elf *out)
{
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
    u64 entry = loader_field(f, 24, is64 ? 8 : 4);
    for (unsigned i = 0; i < out->nr_segments; i++)
        if (entry >= out->segments[i].vaddr && entry - out->segments[i].vaddr < out->segments[i].filesz)
            out->entry = entry - out->segments[i].vaddr + out->segments[i].paddr;
    return NULL;
}

bool elf_filled(const struct elf *elf, u64 at)
{
    for (unsigned i = 0; i < elf->nr_segments; i++)
        if (at >= elf->segments[i].paddr && at - elf->segments[i].paddr < elf->segments[i].filesz)
            return true;
    return false;
}

const char *elf_place(const struct elf *elf, struct place *place, struct guest_image *image)
{
    place_init(place, image);
    for (unsigned i = 0; i < elf->nr_segments; i++)
        if (!place_claim(place, elf->segments[i].paddr, elf->segments[i].memsz))
            return "it is linked to addresses that are not free memory on this machine";
    return place_files(place, image, ELF_LIMIT) ? NULL : loader_no_room;
}

bool elf_start(const struct elf *elf, struct place *place, const struct guest_image *image, u64 entry,
               struct vcpu_start *start)
{
    u64 *gdt = place_pages(place, 3 * 8, ELF_LIMIT, &start->gdt_base);

    if (!gdt)
        return false;
    gdt[1] = 0x00cf9b000000ffff; /* 0x08: 32-bit code */
    gdt[2] = 0x00cf93000000ffff; /* 0x10: data */
    start->gdt_limit = 3 * 8 - 1;
    for (unsigned i = 0; i < elf->nr_segments; i++) {
        const struct segment *s = &elf->segments[i];
        u8 *to = phys_to_virt(s->paddr);
        memcpy(to, loader_data(&image->kernel) + s->off, s->filesz);
        memset(to + s->filesz, 0, s->memsz - s->filesz);
    }
    start->mode = START_PROT32;
    start->rip = entry;
    return true;
}

const struct boot_range *loader_map(unsigned *n)
{
    static struct boot_range map[BOOT_MAX_RANGES + 2];

    *n = mem_guest_map(map, ARRAY_SIZE(map));
    return map;
}

void fill_map(struct map_entry *to)
{
    unsigned n;
    const struct boot_range *map = loader_map(&n);

    for (unsigned i = 0; i < n; i++)
        to[i] = (struct map_entry){ map[i].base, map[i].size, (u32)map[i].type, 0 };
}

bool writer_init(struct writer *w, struct place *place, const struct guest_image *image)
{
    unsigned n;
    u64 size = 512 + strlen(image->kernel.cmdline);

    (void)loader_map(&n);
    size += n * sizeof(struct map_entry);
    for (unsigned i = 0; i < image->nr_modules; i++)
        size += 64 + strlen(image->modules[i].cmdline); /* no table has more for one module */
    w->page = place_pages(place, size, ELF_LIMIT, &w->gpa);
    w->at = 0;
    return w->page != NULL;
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
