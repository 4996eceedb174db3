/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF kernels with a multiboot header, version 1 (0.6.96) or 2 (2.0): 32-bit protected mode, paging off, EAX
 * = magic, EBX = boot information.
 */
#include "arch/paging.h"
#include "arch/string.h"
#include "hv/loader_elf.h"
#include "hv/mem.h"

#define MB1_MAGIC   0x1badb002u
#define MB1_BOOTED  0x2badb002u
#define MB1_SEARCH  8192        /* bytes from the file's start */
#define MB1_KNOWN   MASK(1, 0)  /* aligned modules, a memory map */
#define MB1_MUST    MASK(15, 0) /* what a loader must know, or refuse */
#define MB1_ADDRESS BIT(16)
#define MB1_GIVEN   0x24d /* memory, command line, modules, memory map, loader's name */

#define MB2_MAGIC    0xe85250d6u
#define MB2_BOOTED   0x36d76289u
#define MB2_SEARCH   32768
#define MB2_OPTIONAL 1
enum { TAG_END, TAG_REQUEST, TAG_ADDRESS, TAG_ENTRY };
/* Header tags that ask for no more than is done anyway: those two, console, alignment, EFI entries,
 * relocation. */
#define TAGS_KNOWN (BIT(TAG_REQUEST) | BIT(TAG_ENTRY) | BIT(4) | BIT(6) | MASK(10, 8))
enum { INFO_END, INFO_CMDLINE, INFO_LOADER, INFO_MODULE, INFO_MEMORY, INFO_MAP = 6, INFO_RSDP = 14 };
#define INFOS_GIVEN (MASK(4, 1) | BIT(INFO_MAP) | MASK(15, 14))

/* Xen takes the first word of its command line for a file name, unless a "GRUB 2" has loaded it. */
static const char loader_name[] = "Sluice, in the manner of GRUB 2";
static const char other_addresses[] =
    "its multiboot header wants to be loaded otherwise than its ELF headers say";

struct mb1_info {
    u32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
    u32 mmap_length, mmap_addr, drives_length, drives_addr, config_table, boot_loader_name, apm_table;
};
_Static_assert(sizeof(struct mb1_info) == 72, "multiboot 3.3");

struct mb1_module {
    u32 start, end, string, reserved;
};

struct mb1_range {
    u32 size; /* of what follows */
    u64 base, length;
    u32 type;
} __attribute__((packed));

/* Where the header of that version is; 0 = there is none (a file begins with ELF's). */
static u64 find_header(const struct guest_file *f, u32 magic, u64 search, unsigned align, unsigned words)
{
    for (u64 at = align; at < search; at += align) {
        u32 sum = 0;

        if (loader_field(f, at, 4) != magic)
            continue;
        for (unsigned i = 0; i < words; i++)
            sum += (u32)loader_field(f, at + 4ull * i, 4);
        if (!sum)
            return at;
    }
    return 0;
}

static u64 find_mb1(const struct guest_file *f)
{
    return find_header(f, MB1_MAGIC, MB1_SEARCH, 4, 3);
}

static u64 find_mb2(const struct guest_file *f)
{
    return find_header(f, MB2_MAGIC, MB2_SEARCH, 8, 4);
}

static bool detect(const struct guest_image *image)
{
    const struct guest_file *f = &image->kernel;

    return loader_field(f, 0, 4) == ELF_MAGIC && (find_mb2(f) || find_mb1(f));
}

static const char *parse_flags(u64 flags)
{
    if (flags & MB1_MUST & ~MB1_KNOWN)
        return "its multiboot header asks for more than aligned modules and a memory map";
    return flags & MB1_ADDRESS ? other_addresses : NULL;
}

static struct elf elf;

static const char *parse_tag(const struct guest_file *f, u64 at, u64 size)
{
    u64 type = loader_field(f, at, 2);
    bool optional = loader_field(f, at + 2, 2) & MB2_OPTIONAL;

    if (type == TAG_ADDRESS)
        return other_addresses;
    if (!optional && (type > 63 || !(TAGS_KNOWN & BIT(type))))
        return "its multiboot2 header has a tag that is required and not known here";
    if (type == TAG_ENTRY)
        elf.entry = loader_field(f, at + 8, 4);
    for (u64 i = 8; type == TAG_REQUEST && !optional && i + 4 <= size; i += 4) {
        u64 info = loader_field(f, at + i, 4);

        if (info > 63 || !(INFOS_GIVEN & BIT(info)))
            return "its multiboot2 header asks for boot information that is not given here";
    }
    return NULL;
}

static const char *parse_tags(const struct guest_file *f, u64 header)
{
    u64 length = loader_field(f, header + 8, 4);

    if (loader_field(f, header + 4, 4)) /* 0: i386 */
        return "its multiboot2 header is for another processor";
    if (header + length > MB2_SEARCH || !loader_has(f, header, length))
        return "its multiboot2 header is cut off";
    for (u64 at = 16, size; at + 8 <= length; at += align_up(size, 8)) {
        size = loader_field(f, header + at + 4, 4);
        if (size < 8 || size > length - at)
            return "a tag of its multiboot2 header is broken";
        if (loader_field(f, header + at, 2) == TAG_END)
            return NULL;
        const char *wrong = parse_tag(f, header + at, size);
        if (wrong)
            return wrong;
    }
    return NULL;
}

/* Who has both headers gets what the newer one promises. */
static const char *parse(const struct guest_image *image)
{
    const struct guest_file *f = &image->kernel;
    u64 second = find_mb2(f);
    const char *wrong = elf_parse(f, &elf);

    if (!wrong)
        wrong = second ? parse_tags(f, second) : parse_flags(loader_field(f, find_mb1(f) + 4, 4));
    if (!wrong && !elf_entry_filled(&elf))
        wrong = "its entry lies in no segment";
    return wrong;
}

/* KiB of RAM from `base` to the first hole, which Sluice's region is, below 4 GiB. */
static u32 kib_from(u64 base)
{
    unsigned n;
    const struct boot_range *map = mem_guest_map(&n);
    u64 end = base;

    for (const struct boot_range *r = map; r < map + n; r++)
        if (r->type == BOOT_MEM_RAM && r->base <= end && r->base + r->size > end)
            end = r->base + r->size;
    return (u32)((end - base) >> 10);
}

#define LOWER_KIB 640u /* no more than that is told of memory below 1 MiB */

static void tell_mb1(struct writer *w, const struct guest_image *image)
{
    unsigned n;
    u64 gpa;
    const struct boot_range *map = mem_guest_map(&n);
    struct mb1_info *info = writer_reserve(w, sizeof(*info), &gpa);
    struct mb1_module *module = writer_reserve(w, image->nr_modules * sizeof(*module), &gpa);

    info->flags = MB1_GIVEN;
    info->mods_addr = (u32)gpa;
    info->mods_count = image->nr_modules;
    info->cmdline = writer_string(w, image->kernel.cmdline);
    info->boot_loader_name = writer_string(w, loader_name);
    for (unsigned i = 0; i < image->nr_modules; i++) {
        const struct guest_file *m = &image->modules[i];
        module[i] =
            (struct mb1_module){ (u32)m->base, (u32)(m->base + m->size), writer_string(w, m->cmdline), 0 };
    }
    struct mb1_range *range = writer_reserve(w, n * sizeof(*range), &gpa);
    info->mmap_addr = (u32)gpa;
    info->mmap_length = n * sizeof(*range);
    for (unsigned i = 0; i < n; i++)
        range[i] = (struct mb1_range){ sizeof(*range) - 4, map[i].base, map[i].size, (u32)map[i].type };
    info->mem_lower = MIN(kib_from(0), LOWER_KIB);
    info->mem_upper = kib_from(BIT(20));
}

static void copy_string(void *to, const char *text)
{
    memcpy(to, text, strlen(text)); /* what is told is zeroed */
}

/* The head of a tag with `size` bytes behind it, which are returned. */
static void *put_tag(struct writer *w, u32 type, u64 size)
{
    u64 gpa;
    u32 *tag = writer_reserve(w, 8 + size, &gpa);

    tag[0] = type;
    tag[1] = (u32)(8 + size);
    return tag + 2;
}

static void tell_mb2(struct writer *w, const struct guest_image *image)
{
    unsigned n;
    u64 gpa;
    u32 *total = writer_reserve(w, 8, &gpa);

    copy_string(put_tag(w, INFO_CMDLINE, strlen(image->kernel.cmdline) + 1), image->kernel.cmdline);
    copy_string(put_tag(w, INFO_LOADER, sizeof(loader_name)), loader_name);
    for (unsigned i = 0; i < image->nr_modules; i++) {
        const struct guest_file *m = &image->modules[i];
        u32 *tag = put_tag(w, INFO_MODULE, 8 + strlen(m->cmdline) + 1);
        tag[0] = (u32)m->base;
        tag[1] = (u32)(m->base + m->size);
        copy_string((char *)(tag + 2), m->cmdline);
    }
    u32 *memory = put_tag(w, INFO_MEMORY, 8);
    memory[0] = MIN(kib_from(0), LOWER_KIB);
    memory[1] = kib_from(BIT(20));
    (void)mem_guest_map(&n);
    u32 *map = put_tag(w, INFO_MAP, 8 + n * sizeof(struct map_entry));
    map[0] = sizeof(struct map_entry);
    fill_map((struct map_entry *)(map + 2));
    if (image->rsdp) {
        const u8 *rsdp = phys_to_virt(image->rsdp);
        bool old = !rsdp[15]; /* revision (ACPI 5.2.5.3) */
        memcpy(put_tag(w, INFO_RSDP + !old, old ? 20 : 36), rsdp, old ? 20 : 36);
    }
    (void)put_tag(w, INFO_END, 0);
    *total = (u32)w->at;
}

static const char *load(struct guest_image *image, struct vcpu_start *start)
{
    bool second = find_mb2(&image->kernel);

    start->gpr[RAX] = second ? MB2_BOOTED : MB1_BOOTED;
    return elf_load(&elf, image, start, second ? "multiboot2" : "multiboot", second ? tell_mb2 : tell_mb1);
}

const struct guest_loader multiboot_loader = { "ELF with a multiboot header", detect, parse, load };
