/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/loader_elf.h"
#include "arch/log.h"
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

/* Looks for the entry in one PT_NOTE segment. */
static void parse_notes(const struct guest_file *f, u64 off, u64 size, u64 align, u64 *entry)
{
    u64 unit = align == 8 ? 8 : 4, end = off + size;

    for (unsigned i = 0; i < MAX_NOTES; i++) {
        u64 namesz = loader_field(f, off, 4), descsz = loader_field(f, off + 4, 4);
        u64 type = loader_field(f, off + 8, 4);
        u64 desc = off + align_up(12 + namesz, unit);

        if (desc + descsz > end)
            return;
        if (type == NOTE_PHYS32 && namesz == 4 && loader_field(f, off + 12, 4) == 0x006e6558 /* "Xen" */ &&
            (descsz == 4 || descsz == 8))
            *entry = loader_field(f, desc, (unsigned)descsz);
        off = desc + align_up(descsz, unit);
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
    if (s.memsz > LOADER_LIMIT || s.paddr > LOADER_LIMIT - s.memsz)
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
    if ((class != ELFCLASS32 && !is64) || loader_field(f, 5, 1) != ELFDATA2LSB)
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
        if (entry - out->segments[i].vaddr < out->segments[i].filesz)
            out->entry = entry - out->segments[i].vaddr + out->segments[i].paddr;
    return NULL;
}

bool elf_entry_filled(const struct elf *elf)
{
    for (unsigned i = 0; i < elf->nr_segments; i++)
        if (elf->entry - elf->segments[i].paddr < elf->segments[i].filesz)
            return true;
    return false;
}

const char *elf_load(const struct elf *elf, struct guest_image *image, struct vcpu_start *start,
                     const char *protocol, void (*tell)(struct writer *w, const struct guest_image *image))
{
    struct writer w;

    for (unsigned i = 0; i < elf->nr_segments; i++)
        if (!place_claim(image, elf->segments[i].paddr, elf->segments[i].memsz))
            return "it is linked to addresses that are not free memory on this machine";
    if (!place_files(image, LOADER_LIMIT) || !writer_init(&w, image))
        return loader_no_room;
    start->gpr[RBX] = w.gpa;
    tell(&w, image);
    u64 *gdt = writer_reserve(&w, 3 * 8, &start->gdt_base);
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
    start->rip = elf->entry;
    log_info("guest        ELF by %s, %lu KiB, entry 0x%lx; modules %u", protocol, image->kernel.size >> 10,
             start->rip, image->nr_modules);
    return NULL;
}

void fill_map(struct map_entry *to)
{
    unsigned n;
    const struct boot_range *map = mem_guest_map(&n);

    for (unsigned i = 0; i < n; i++)
        to[i] = (struct map_entry){ map[i].base, map[i].size, (u32)map[i].type, 0 };
}
