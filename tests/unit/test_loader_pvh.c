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

/* Linux has many notes of its own before the one that counts; a name or a size off by one must not hide it.
 */
static void other_notes_are_skipped(void **state)
{
    static struct {
        u8 file[sizeof(file64)];
        u32 notes[15];
    } big;
    static const u32 notes[15] = { 4, 5, 18, 0x554e47 /* GNU */, 7,    5, 0, 4, 2, 99,
                                   4, 4, 18, 0x6e6558 /* Xen */, ENTRY };
    Elf64_Phdr *note = (Elf64_Phdr *)(big.file + offsetof(__typeof__(file64), segments[2]));

    for (unsigned cut = 0; cut < 2; cut++) {
        set_up(state);
        memcpy(big.file, &file64, sizeof(file64));
        memcpy(big.notes, notes, sizeof(notes));
        note->p_offset = offsetof(__typeof__(big), notes);
        note->p_filesz = sizeof(notes) - 4 * cut;
        add_module(4 * MB, &big, sizeof(big), "");
        if (!cut)
            assert_null(try_check());
        else
            assert_non_null(strstr(try_check(), "PVH"));
    }
}

static void hostile_headers_are_refused(void **state)
{
#define LIE(field, value)                                 \
    do {                                                  \
        set_up(state);                                    \
        file64.field = (__typeof__(file64.field))(value); \
        add_module(4 * MB, &file64, sizeof(file64), "");  \
        if (!is_refused())                                \
            fail_msg("believed: " #field " = " #value);   \
        assert_int_equal(world[WORLD_FIRST], 0xcc);       \
    } while (0)

    LIE(header.e_ident[EI_CLASS], 0);
    LIE(header.e_ident[EI_DATA], ELFDATA2MSB);
    LIE(header.e_type, ET_REL);
    LIE(header.e_machine, EM_ARM);
    LIE(header.e_phoff, ~0ull);
    LIE(header.e_phoff, sizeof(file64));
    LIE(header.e_phnum, 0);
    LIE(header.e_phnum, 0xffff);
    LIE(header.e_phentsize, 0);
    LIE(header.e_phentsize, 32);
    LIE(segments[0].p_offset, ~0ull);
    LIE(segments[0].p_offset, sizeof(file64));
    LIE(segments[0].p_filesz, ~0ull);
    LIE(segments[0].p_filesz, sizeof(file64) + 1);
    LIE(segments[0].p_memsz, 1);
    LIE(segments[1].p_memsz, ~0ull);
    LIE(segments[1].p_memsz, 60 * MB);
    LIE(segments[1].p_paddr, 0);
    LIE(segments[1].p_paddr, 0xe0000);
    LIE(segments[1].p_paddr, 0xfff00);
    LIE(segments[1].p_paddr, WORLD_FIRST);
    LIE(segments[1].p_paddr, WORLD_FIRST - 0x1ffff);
    LIE(segments[1].p_paddr, 0xfed90000);
    LIE(segments[1].p_paddr, 0xffffffff);
    LIE(segments[1].p_paddr, ~0ull);
    LIE(segments[1].p_paddr, TEXT_AT + 0x1000); /* overlaps */
    LIE(segments[2].p_type, PT_NULL);
    LIE(segments[2].p_offset, ~0ull);
    LIE(note[0], 0xffffffff);
    LIE(note[0], 5);
    LIE(note[1], 0xffffffff);
    LIE(note[1], 0);
    LIE(note[2], 17);
    LIE(name[0], 'x');
    LIE(entry, 0);
    LIE(entry, TEXT_AT - 1);
    LIE(entry, ~0ull);
    LIE(entry, DATA_AT + 0x10000); /* where nothing was loaded */
}

static void cut_files_are_refused(void **state)
{
    for (u64 size = 0; size < sizeof(file64); size += size < 0x200 ? 1 : 0x99) {
        set_up(state);
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
        cmocka_unit_test_setup(hostile_headers_are_refused, set_up),
        cmocka_unit_test_setup(cut_files_are_refused, set_up),
        cmocka_unit_test_setup(noise_does_no_harm, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
