/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PE headers (Microsoft PE format, sections 3 and 4), as far as finding a section by name takes.
 */
#include "boot/efi/sections.h"
#include "arch/string.h"

#define DOS_MAGIC   0x5a4d
#define DOS_PE_AT   0x3c
#define PE_MAGIC    0x4550
#define MAX_SECTION 96 /* what the format allows a loader to insist on */

struct pe_header {
    u32 magic;
    u16 machine;
    u16 nr_sections;
    u32 time, symbols, nr_symbols;
    u16 optional_size;
    u16 flags;
};
_Static_assert(sizeof(struct pe_header) == 24, "PE signature and COFF file header");

struct pe_section {
    char name[8]; /* padded with zeros, no terminator when full */
    u32 virtual_size;
    u32 virtual_address;
    u32 raw_size;
    u32 raw_at;
    u32 relocations, line_numbers;
    u16 nr_relocations, nr_line_numbers;
    u32 flags;
};
_Static_assert(sizeof(struct pe_section) == 40, "PE section header");

static bool read(const void *image, u64 image_size, u64 at, void *out, size_t size)
{
    if (at > image_size || size > image_size - at)
        return false;
    memcpy(out, (const u8 *)image + at, size);
    return true;
}

static bool name_is(const struct pe_section *s, const char *name)
{
    size_t len = strlen(name);

    return len <= sizeof(s->name) && !memcmp(s->name, name, len) && (len == sizeof(s->name) || !s->name[len]);
}

bool section_find(const void *image, u64 image_size, const char *name, const void **data, u64 *size)
{
    struct pe_header pe;
    u16 dos;
    u32 at;

    if (!read(image, image_size, 0, &dos, sizeof(dos)) || dos != DOS_MAGIC ||
        !read(image, image_size, DOS_PE_AT, &at, sizeof(at)) ||
        !read(image, image_size, at, &pe, sizeof(pe)) || pe.magic != PE_MAGIC)
        return false;

    u64 table = (u64)at + sizeof(pe) + pe.optional_size;
    for (unsigned i = 0; i < MIN(pe.nr_sections, MAX_SECTION); i++) {
        struct pe_section s;

        if (!read(image, image_size, table + i * sizeof(s), &s, sizeof(s)))
            return false;
        /* The virtual size is exact; the raw one is padded. Tools that leave the first out mean the second.
         */
        u32 bytes = s.virtual_size ? s.virtual_size : s.raw_size;
        if (!name_is(&s, name))
            continue;
        if (s.virtual_address > image_size || bytes > image_size - s.virtual_address)
            return false;
        *data = (const u8 *)image + s.virtual_address;
        *size = bytes;
        return true;
    }
    return false;
}
