/* SPDX-License-Identifier: Apache-2.0 */
/* ELF kernels with both multiboot headers, for the tests of their loader. */
#ifndef TESTS_LOADER_MULTIBOOT_H
#define TESTS_LOADER_MULTIBOOT_H

#include <elf.h>
#include "tests/unit/loader_world.h"

#define TEXT_AT (2 * MB)
#define DATA_AT (4 * MB)
#define VIRTUAL 0xc0000000u /* where the kernel will map itself */

#define MB1_FLAGS 3u

struct tags {
    u32 magic, arch, length, checksum;
    struct {
        u16 type, flags;
        u32 size, info[4];
    } request;
    struct {
        u16 type, flags;
        u32 size, address, pad;
    } entry;
    struct {
        u16 type, flags;
        u32 size;
    } end;
};

#define KERNEL(bits)                  \
    struct {                          \
        Elf##bits##_Ehdr header;      \
        Elf##bits##_Phdr segments[2]; \
        u32 mb1[3];                   \
        _Alignas(8) struct tags mb2;  \
        u8 text[0x1234];              \
        u8 data[0x321];               \
    }
static KERNEL(64) file64;
static KERNEL(32) file32;

#define MAKE(f, bits, machine)                                                                              \
    do {                                                                                                    \
        memset(&f, 0, sizeof(f));                                                                           \
        memcpy(f.header.e_ident, ELFMAG, SELFMAG);                                                          \
        f.header.e_ident[EI_CLASS] = ELFCLASS##bits;                                                        \
        f.header.e_ident[EI_DATA] = ELFDATA2LSB;                                                            \
        f.header.e_type = ET_EXEC;                                                                          \
        f.header.e_machine = machine;                                                                       \
        f.header.e_phoff = offsetof(__typeof__(f), segments);                                               \
        f.header.e_phentsize = sizeof(f.segments[0]);                                                       \
        f.header.e_phnum = 2;                                                                               \
        f.header.e_entry = VIRTUAL + 0x40;                                                                  \
        f.segments[0] = (Elf##bits##_Phdr){ .p_type = PT_LOAD,                                              \
                                            .p_offset = offsetof(__typeof__(f), text),                      \
                                            .p_vaddr = VIRTUAL,                                             \
                                            .p_paddr = TEXT_AT,                                             \
                                            .p_filesz = sizeof(f.text),                                     \
                                            .p_memsz = sizeof(f.text) };                                    \
        f.segments[1] = (Elf##bits##_Phdr){ .p_type = PT_LOAD,                                              \
                                            .p_offset = offsetof(__typeof__(f), data),                      \
                                            .p_vaddr = VIRTUAL + 2 * MB,                                    \
                                            .p_paddr = DATA_AT,                                             \
                                            .p_filesz = sizeof(f.data),                                     \
                                            .p_memsz = 0x20000 };                                           \
        memset(f.text, 0x5a, sizeof(f.text));                                                               \
        memset(f.data, 0xda, sizeof(f.data));                                                               \
        f.mb1[0] = 0x1badb002;                                                                              \
        f.mb1[1] = MB1_FLAGS;                                                                               \
        f.mb1[2] = -(0x1badb002 + MB1_FLAGS);                                                               \
        f.mb2 = (struct tags){                                                                              \
            0xe85250d6, 0, sizeof(f.mb2), 0, { 1, 0, 24, { 1, 3, 4, 6 } }, { 3, 0, 12, TEXT_AT + 0x80, 0 }, \
            { 0, 0, 8 }                                                                                     \
        };                                                                                                  \
        f.mb2.checksum = -(f.mb2.magic + f.mb2.arch + f.mb2.length);                                        \
    } while (0)

static int set_up(void **state)
{
    MAKE(file64, 64, EM_X86_64);
    MAKE(file32, 32, EM_386);
    return world_set_up(state);
}

#endif
