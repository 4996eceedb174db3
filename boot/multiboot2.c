/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the multiboot2 boot information. Pure: bytes in, struct out, so that hostile input is tried on the
 * host (tests/unit/test_multiboot2.c).
 */
#include "boot/multiboot2.h"
#include "boot/ranges.h"
#include "arch/string.h"

struct tag {
    u32 type;
    const u8 *data; /* behind the tag's header */
    size_t size;
};

/* The tag at *off, which moves on to the next. False: what is there is not a tag. */
static bool next_tag(const u8 *mbi, size_t size, size_t *off, struct tag *tag)
{
    struct mb2_tag head;

    if (*off > size || size - *off < sizeof(head))
        return false;
    memcpy(&head, mbi + *off, sizeof(head));
    if (head.size < sizeof(head) || head.size > size - *off)
        return false;
    tag->type = head.type;
    tag->data = mbi + *off + sizeof(head);
    tag->size = head.size - sizeof(head);
    *off += align_up(head.size, 8);
    return true;
}

/* The fixed part of a tag's data. */
static bool head_of(const struct tag *tag, void *out, size_t size)
{
    if (tag->size < size)
        return false;
    memcpy(out, tag->data, size);
    return true;
}

/* Copies the string in [data, data+size); true when it had to be cut or has no end. */
static bool copy_string(char *out, size_t room, const u8 *data, size_t size)
{
    for (size_t i = 0; i < size && i < room; i++) {
        out[i] = (char)data[i];
        if (!data[i])
            return false;
    }
    out[MIN(size, room - 1)] = 0;
    return true;
}

static bool parse_module(const struct tag *tag, struct boot_info *out)
{
    struct mb2_module m;

    if (!head_of(tag, &m, sizeof(m)) || m.end < m.start)
        return false;
    if (out->nr_modules == BOOT_MAX_MODULES) {
        out->modules_cut = true;
        return true;
    }

    struct boot_module *module = &out->modules[out->nr_modules++];
    module->base = m.start;
    module->size = m.end - m.start;
    module->cmdline_cut =
        copy_string(module->cmdline, sizeof(module->cmdline), tag->data + sizeof(m), tag->size - sizeof(m));
    return true;
}

static bool parse_mmap(const struct tag *tag, struct boot_info *out)
{
    struct mb2_mmap head;

    if (!head_of(tag, &head, sizeof(head)) || head.entry_size < sizeof(struct mb2_mmap_entry) ||
        (tag->size - sizeof(head)) % head.entry_size)
        return false;
    for (size_t off = sizeof(head); off < tag->size; off += head.entry_size) {
        struct mb2_mmap_entry e;

        memcpy(&e, tag->data + off, sizeof(e));
        boot_ranges_add(out, e.base, e.length, e.type);
    }
    return true;
}

/* One that does not fit is not kept: the guest then has no runtime services. */
static bool parse_efi_mmap(const struct tag *tag, struct boot_info *out)
{
    struct mb2_efi_mmap head;

    if (!head_of(tag, &head, sizeof(head)))
        return false;
    size_t size = tag->size - sizeof(head);
    if (size > sizeof(out->efi_map.bytes) || !head.entry_size)
        return true;
    out->efi_map.entry_size = head.entry_size;
    out->efi_map.version = head.entry_version;
    out->efi_map.size = (u32)(size / head.entry_size * head.entry_size);
    memcpy(out->efi_map.bytes, tag->data + sizeof(head), out->efi_map.size);
    return true;
}

int multiboot2_parse(const void *mbi, size_t size, struct boot_info *out)
{
    struct mb2_header head;
    size_t off = sizeof(head);
    struct tag tag;

    memset(out, 0, sizeof(*out));
    out->path = "multiboot2";
    if (size < sizeof(head))
        return ERR_INVAL;
    memcpy(&head, mbi, sizeof(head));
    if (head.total_size < sizeof(head) || head.total_size > size)
        return ERR_INVAL;

    for (;;) {
        bool good = next_tag(mbi, head.total_size, &off, &tag);

        if (!good)
            return ERR_INVAL;
        switch (tag.type) {
        case MB2_TAG_END:
            boot_ranges_normalize(out);
            return 0;
        case MB2_TAG_CMDLINE:
            out->cmdline_cut = copy_string(out->cmdline, sizeof(out->cmdline), tag.data, tag.size);
            break;
        case MB2_TAG_LOADER_NAME:
            copy_string(out->loader, sizeof(out->loader), tag.data, tag.size);
            break;
        case MB2_TAG_MODULE:
            good = parse_module(&tag, out);
            break;
        case MB2_TAG_MMAP:
            good = parse_mmap(&tag, out);
            break;
        case MB2_TAG_EFI_MMAP:
            good = parse_efi_mmap(&tag, out);
            break;
        case MB2_TAG_EFI64:
            good = head_of(&tag, &out->efi_system_table, sizeof(out->efi_system_table));
            break;
        default:
            break;
        }
        if (!good)
            return ERR_INVAL;
    }
}
