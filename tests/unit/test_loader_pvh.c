/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/loader.c hv/loader_linux.c hv/loader_elf.c hv/loader_multiboot.c hv/loader_pvh.c */
/* LINK: hv/loader_firmware.c hv/mem.c */
/* ELF by PVH: both classes, what the start info says, and hostile headers. */
#include <elf.h>
#include "tests/unit/loader_world.h"

#define TEXT_AT (2 * MB)
#define DATA_AT (2 * MB + 0x3000)
#define ENTRY   (TEXT_AT + 0x40)

static struct {
    Elf64_Ehdr header;
    Elf64_Phdr segments[3];
    u32 note[3];
    char name[4];
    u64 entry;
    u8 text[0x1234];
    u8 data[0x321];
} file64;

static struct {
    Elf32_Ehdr header;
    Elf32_Phdr segments[3];
    u32 note[3];
    char name[4];
    u32 entry;
    u8 text[0x1234];
    u8 data[0x321];
} file32;

#define MAKE(f, bits, machine)                                                                \
    do {                                                                                      \
        memset(&f, 0, sizeof(f));                                                             \
        memcpy(f.header.e_ident, ELFMAG, SELFMAG);                                            \
        f.header.e_ident[EI_CLASS] = ELFCLASS##bits;                                          \
        f.header.e_ident[EI_DATA] = ELFDATA2LSB;                                              \
        f.header.e_type = ET_EXEC;                                                            \
        f.header.e_machine = machine;                                                         \
        f.header.e_phoff = offsetof(__typeof__(f), segments);                                 \
        f.header.e_phentsize = sizeof(f.segments[0]);                                         \
        f.header.e_phnum = 3;                                                                 \
        f.segments[0] = (Elf##bits##_Phdr){ .p_type = PT_LOAD,                                \
                                            .p_offset = offsetof(__typeof__(f), text),        \
                                            .p_paddr = TEXT_AT,                               \
                                            .p_filesz = sizeof(f.text),                       \
                                            .p_memsz = sizeof(f.text) };                      \
        f.segments[1] = (Elf##bits##_Phdr){ .p_type = PT_LOAD,                                \
                                            .p_offset = offsetof(__typeof__(f), data),        \
                                            .p_paddr = DATA_AT,                               \
                                            .p_filesz = sizeof(f.data),                       \
                                            .p_memsz = 0x20000 };                             \
        f.segments[2] = (Elf##bits##_Phdr){ .p_type = PT_NOTE,                                \
                                            .p_offset = offsetof(__typeof__(f), note),        \
                                            .p_filesz = sizeof(f.note) + 4 + sizeof(f.entry), \
                                            .p_align = 4 };                                   \
        f.note[0] = 4;                                                                        \
        f.note[1] = sizeof(f.entry);                                                          \
        f.note[2] = 18;                                                                       \
        memcpy(f.name, "Xen", 4);                                                             \
        f.entry = ENTRY;                                                                      \
        for (unsigned i = 0; i < sizeof(f.text); i++)                                         \
            f.text[i] = (u8)(i * 5 + i / 257);                                                \
        memset(f.data, 0xda, sizeof(f.data));                                                 \
    } while (0)

static int set_up(void **state)
{
    MAKE(file64, 64, EM_X86_64);
    MAKE(file32, 32, EM_386);
    return world_set_up(state);
}

static void check_started(const struct vcpu_start *start, const u8 *text, unsigned modules)
{
    u64 info = start->gpr[RBX];

    assert_int_equal(start->mode, START_PROT32);
    assert_int_equal(start->rip, ENTRY);
    assert_memory_equal(world + TEXT_AT, text, sizeof(file64.text));
    assert_int_equal(world[DATA_AT], 0xda);
    for (u64 i = sizeof(file64.data); i < 0x20000; i++)
        assert_int_equal(world[DATA_AT + i], 0);
    assert_int_equal(start->gpr[RAX], 0);
    assert_int_equal(start->gdt_limit, 23);
    assert_int_equal(world_u64(start->gdt_base), 0);
    assert_int_equal(world_u64(start->gdt_base + 8), 0x00cf9b000000ffff);
    assert_int_equal(world_u64(start->gdt_base + 16), 0x00cf93000000ffff);

    assert_int_equal(world_u32(info), 0x336ec578);
    assert_int_equal(world_u32(info + 4), 1);
    assert_int_equal(world_u32(info + 12), modules);
    assert_string_equal((char *)world + world_u64(info + 24), "one two=3");
    assert_int_equal(world_u64(info + 32), WORLD_RSDP);
    u64 map = world_u64(info + 40);
    assert_int_equal(world_u32(info + 48), 5);
    assert_int_equal(world_u64(map + 3 * 24), WORLD_FIRST);
    assert_int_equal(world_u64(map + 3 * 24 + 8), 8 * MB);
    assert_int_equal(world_u32(map + 3 * 24 + 16), BOOT_MEM_RESERVED);
    assert_int_equal(world_u64(map + 4 * 24), WORLD_FIRST + 8 * MB);
    assert_int_equal(world_u64(map + 4 * 24 + 8), 8 * MB);
    assert_int_equal(world_u32(map + 4 * 24 + 16), BOOT_MEM_RAM);
    assert_non_null(strstr(logged, "ELF by PVH, 5 KiB, entry 0x200040; modules"));
}

static void both_classes_start(void **state)
{
    struct vcpu_start start;

    add_module(4 * MB, &file64, sizeof(file64), "one two=3");
    assert_null(try_check());
    assert_null(try_load(&start));
    check_started(&start, file64.text, 0);
    set_up(state);
    add_module(4 * MB, &file32, sizeof(file32), "one two=3");
    assert_null(try_check());
    assert_null(try_load(&start));
    check_started(&start, file32.text, 0);
}

static void modules_are_passed_on_and_survive(void **state)
{
    static u8 first[0x5001], second[3] = "ab";
    static const u64 at[] = { TEXT_AT - 0x1000, TEXT_AT, DATA_AT, DATA_AT + 0x1f000, 20 * MB };

    for (unsigned i = 0; i < sizeof(first); i++)
        first[i] = (u8)(i * 3 + i / 251);
    for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
        struct vcpu_start start;
        set_up(state);
        add_module(at[i] + 0x8000, &file64, sizeof(file64), "one two=3");
        add_module(at[i], first, sizeof(first), "first one");
        add_module(30 * MB, second, sizeof(second), "");
        assert_null(try_load(&start));
        check_started(&start, file64.text, 2);
        u64 list = world_u64(start.gpr[RBX] + 16);
        assert_int_equal(world_u64(list + 8), sizeof(first));
        assert_memory_equal(world + world_u64(list), first, sizeof(first));
        assert_string_equal((char *)world + world_u64(list + 16), "first one");
        assert_memory_equal(world + world_u64(list + 32), second, sizeof(second));
    }
}

/* What is said of a file with these words in its segment of notes, of which `size` bytes are part of it. */
static const char *check_notes(bool is64, u32 align, const u32 *words, unsigned size)
{
    static struct {
        __typeof__(file64) file;
        u32 words[200];
    } big64;
    static struct {
        __typeof__(file32) file;
        u32 words[200];
    } big32;
#define ADD(big, from)                                                    \
    do {                                                                  \
        memcpy(&big.file, &from, sizeof(from));                           \
        memcpy(big.words, words, sizeof(big.words));                      \
        big.file.segments[2].p_offset = offsetof(__typeof__(big), words); \
        big.file.segments[2].p_filesz = (__typeof__(from.entry))size;     \
        big.file.segments[2].p_align = align;                             \
        add_module(4 * MB, &big, sizeof(big), "");                        \
    } while (0)

    world_info.nr_modules = 0;
    if (is64)
        ADD(big64, file64);
    else
        ADD(big32, file32);
    return try_check();
}

/* Linux has many notes of its own before the one that counts; a name or a size off by one must not hide it.
 */
static void other_notes_are_skipped(void **state)
{
#define XEN    0x6e6558u
#define GNU    0x554e47u
#define OTHERS 4, 5, 18, GNU, 7, 5, 0, 4, 2, 99
    static const struct {
        u32 align, size;
        bool found;
        u32 words[200];
    } t[] = {
        { 4, 60, true, { OTHERS, 4, 4, 18, XEN, ENTRY } },
        { 4, 59, false, { OTHERS, 4, 4, 18, XEN, ENTRY } },
        { 4, 23, true, { 4, 4, 18, XEN, ENTRY } }, /* what is left is too short for another */
        { 4, 12, false, { 4, 4, 18, XEN, ENTRY } },
        { 4, 11, false, { 4, 4, 18, XEN, ENTRY } },
        { 4, 20, false, { 4, 4, 19, XEN, ENTRY } },
        { 4, 20, false, { 4, 4, 18, GNU, ENTRY } },
        { 4, 24, false, { 5, 4, 18, XEN, 0, ENTRY } },
        { 4, 24, false, { 4, 5, 18, XEN, ENTRY, 0 } },
        { 4, 24, true, { 4, 8, 18, XEN, ENTRY, 0 } },
        { 4, 24, false, { 4, 8, 18, XEN, ENTRY, 1 } }, /* above 4 GiB */
        { 4, 24, false, { 4, ~0u, 18, XEN, ENTRY, 0 } },
        { 4, 24, false, { ~0u, 4, 18, XEN, ENTRY, 0 } },
        /* A name of 5 bytes ends at 17; what is behind it begins at the next multiple of 8, or of 4. */
        { 8, 52, true, { 5, 4, 1, GNU, 0, 0, 7, 0, 4, 4, 18, XEN, ENTRY } },
        { 4, 52, false, { 5, 4, 1, GNU, 0, 0, 7, 0, 4, 4, 18, XEN, ENTRY } },
        { 8, 44, false, { 5, 4, 1, GNU, 0, 7, 4, 4, 18, XEN, ENTRY } },
        { 4, 44, true, { 5, 4, 1, GNU, 0, 7, 4, 4, 18, XEN, ENTRY } },
    };

    (void)state;
    for (unsigned i = 0; i < 2 * ARRAY_SIZE(t); i++)
        if (!check_notes(i % 2, t[i / 2].align, t[i / 2].words, t[i / 2].size) != t[i / 2].found)
            fail_msg("%u, %s", i / 2, refusal);
}

/* A file of nothing but notes must end, too. */
static void so_many_notes_are_looked_at(void **state)
{
    static const u32 xen[] = { 4, 4, 18, XEN, ENTRY };
    static u32 words[200];

    (void)state;
    memcpy(words + 3 * 63, xen, sizeof(xen)); /* behind notes of 12 bytes, which say nothing */
    assert_null(check_notes(true, 4, words, 3 * 63 * 4 + sizeof(xen)));
    memset(words, 0, sizeof(words));
    memcpy(words + 3 * 64, xen, sizeof(xen));
    assert_non_null(strstr(check_notes(true, 4, words, 3 * 64 * 4 + sizeof(xen)), "PVH entry note"));
}

/* NULL: it is as good. */
#define TRY(because, change)                             \
    do {                                                 \
        set_up(state);                                   \
        change;                                          \
        add_module(4 * MB, &file64, sizeof(file64), ""); \
        judge(because, #change);                         \
    } while (0)

static void hostile_headers_are_refused(void **state)
{
    Elf64_Ehdr *h = &file64.header;
    Elf64_Phdr *text = &file64.segments[0], *data = &file64.segments[1], *note = &file64.segments[2];

    TRY("little-endian", h->e_ident[EI_CLASS] = 0);
    TRY("little-endian", h->e_ident[EI_CLASS] = 3);
    TRY("little-endian", h->e_ident[EI_DATA] = ELFDATA2MSB);
    TRY("object file", h->e_type = ET_REL);
    TRY(NULL, h->e_type = ET_DYN);
    TRY("another processor", h->e_machine = EM_ARM);
    TRY("program headers", h->e_phoff = ~0ull);
    TRY("program headers", h->e_phoff = sizeof(file64) - 3 * sizeof(*text) + 1);
    TRY("program headers", h->e_phnum = 0);
    TRY("program headers", h->e_phnum = 0xffff);
    TRY("program headers", h->e_phentsize = 0);
    TRY("program headers", h->e_phentsize = 32);
    TRY("outside the file", text->p_offset = ~0ull);
    TRY("outside the file", text->p_offset = sizeof(file64));
    TRY("outside the file", text->p_filesz = ~0ull);
    TRY("outside the file", text->p_filesz = sizeof(file64) + 1);
    TRY("outside the file", note->p_offset = ~0ull);
    TRY("larger in the file", text->p_memsz = 1);
    TRY("larger in the file", text->p_memsz = text->p_filesz - 1);
    TRY(NULL, data->p_memsz = data->p_filesz = 0); /* nothing of it has to be anywhere */
    TRY("above 4 GiB", data->p_memsz = ~0ull);
    TRY("above 4 GiB", data->p_paddr = 0; data->p_memsz = 4096 * MB + 1);
    TRY("overlap", data->p_paddr = 0; data->p_memsz = 4096 * MB);
    TRY("above 4 GiB", data->p_paddr = 4096 * MB - data->p_memsz + 1);
    TRY("free memory", data->p_paddr = 4096 * MB - data->p_memsz);
    TRY("above 4 GiB", data->p_paddr = 0xffffffff);
    TRY("above 4 GiB", data->p_paddr = ~0ull);
    TRY("free memory", data->p_memsz = 60 * MB);
    TRY("free memory", data->p_paddr = 0);
    TRY("free memory", data->p_paddr = 0xe0000);
    TRY("free memory", data->p_paddr = 0xfff00);
    TRY("free memory", data->p_paddr = WORLD_FIRST);
    TRY("free memory", data->p_paddr = WORLD_FIRST - data->p_memsz + 1);
    TRY(NULL, data->p_paddr = WORLD_FIRST - data->p_memsz);
    TRY("free memory", data->p_paddr = 0xfed90000);
    TRY("overlap", data->p_paddr = TEXT_AT + text->p_memsz - 1);
    TRY(NULL, data->p_paddr = TEXT_AT + text->p_memsz);
}

static void the_entry_is_filled(void **state)
{
    TRY("PVH entry note", file64.segments[2].p_type = PT_NULL);
    TRY("PVH entry note", file64.entry = 0);
    TRY("in no segment", file64.entry = TEXT_AT - 1);
    TRY(NULL, file64.entry = TEXT_AT);
    TRY(NULL, file64.entry = TEXT_AT + sizeof(file64.text) - 1);
    TRY("in no segment", file64.entry = TEXT_AT + sizeof(file64.text));
    TRY(NULL, file64.entry = DATA_AT + sizeof(file64.data) - 1);
    TRY("in no segment", file64.entry = DATA_AT + sizeof(file64.data));
    TRY("in no segment", file64.entry = ~0ull);
}

static void cut_files_are_refused(void **state)
{
    (void)state;
    for (u64 size = 0; size < sizeof(file64); size += size < 0x200 ? 1 : 0x99) {
        world_info.nr_modules = 0;
        add_module(4 * MB, &file64, size, "");
        assert_non_null(try_check());
        assert_non_null(strstr(refusal, "guest image"));
    }
}

static void noise_does_no_harm(void **state)
{
    (void)state;
    srand(5);
    for (unsigned round = 0; round < 400; round++) {
        MAKE(file64, 64, EM_X86_64);
        for (unsigned i = 0; i < 3; i++) {
            u64 value = (u64)rand() << (rand() % 33);
            memcpy((u8 *)&file64 + 4 + (unsigned)rand() % 260, &value, 1 + (unsigned)rand() % 8);
        }
        throw_at_loader((const u8 *)&file64, sizeof(file64));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(both_classes_start, set_up),
        cmocka_unit_test_setup(modules_are_passed_on_and_survive, set_up),
        cmocka_unit_test_setup(other_notes_are_skipped, set_up),
        cmocka_unit_test_setup(so_many_notes_are_looked_at, set_up),
        cmocka_unit_test_setup(hostile_headers_are_refused, set_up),
        cmocka_unit_test_setup(the_entry_is_filled, set_up),
        cmocka_unit_test_setup(cut_files_are_refused, set_up),
        cmocka_unit_test_setup(noise_does_no_harm, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
