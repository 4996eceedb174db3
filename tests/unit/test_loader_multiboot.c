/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/loader.c hv/loader_linux.c hv/loader_elf.c hv/loader_multiboot.c hv/loader_pvh.c */
/* LINK: hv/loader_firmware.c hv/mem.c */
/* ELF kernels with a multiboot header, both versions and both classes: what is told, and hostile headers. */
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

static void check_loaded(const struct vcpu_start *start)
{
    assert_int_equal(start->mode, START_PROT32);
    assert_memory_equal(world + TEXT_AT, file64.text, sizeof(file64.text));
    assert_int_equal(world[DATA_AT], 0xda);
    for (u64 i = sizeof(file64.data); i < 0x20000; i++)
        assert_int_equal(world[DATA_AT + i], 0);
}

/* Modules lie where the kernel wants to be, and have to move. */
static void add_modules(void)
{
    static u8 first[0x5001];

    for (unsigned i = 0; i < sizeof(first); i++)
        first[i] = (u8)(i * 3 + i / 251);
    add_module(TEXT_AT - 0x1000, first, sizeof(first), "first one");
    add_module(DATA_AT + 0x1000, "ab", 3, "");
}

static void check_module(u64 start, u64 end, u64 size)
{
    assert_int_equal(start % PAGE_SIZE, 0);
    assert_int_equal(end - start, size);
    if (size == 3)
        assert_string_equal((char *)world + start, "ab");
    else
        for (unsigned i = 0; i < size; i++)
            assert_int_equal(world[start + i], (u8)(i * 3 + i / 251));
}

static void version_1(const void *file, u64 size)
{
    struct vcpu_start start;

    add_module(20 * MB, file, size, "one two=3");
    add_modules();
    assert_null(try_check());
    assert_null(try_load(&start));
    check_loaded(&start);
    assert_int_equal(start.rip, TEXT_AT + 0x40);
    assert_int_equal(start.gpr[RAX], 0x2badb002);
    u64 info = start.gpr[RBX];
    assert_int_equal(world_u32(info), 0x24d);
    assert_int_equal(world_u32(info + 4), 640);
    assert_int_equal(world_u32(info + 8), 47 * 1024); /* to the region at 48M */
    assert_string_equal((char *)world + world_u32(info + 16), "one two=3");
    assert_int_equal(world_u32(info + 20), 2);
    u64 modules = world_u32(info + 24);
    check_module(world_u32(modules), world_u32(modules + 4), 0x5001);
    assert_string_equal((char *)world + world_u32(modules + 8), "first one");
    check_module(world_u32(modules + 16), world_u32(modules + 20), 3);
    assert_int_equal(world_u32(info + 44), 5 * 24);
    u64 region = world_u32(info + 48) + 3 * 24;
    assert_int_equal(world_u32(region), 20);
    assert_int_equal(world_u64(region + 4), WORLD_FIRST);
    assert_int_equal(world_u64(region + 12), 8 * MB);
    assert_int_equal(world_u32(region + 20), BOOT_MEM_RESERVED);
    assert_string_equal((char *)world + world_u32(info + 64), "Sluice, in the manner of GRUB 2");
}

static void version_1_starts(void **state)
{
    file32.mb2.magic = file64.mb2.magic = 0;
    version_1(&file32, sizeof(file32));
    world_set_up(state);
    version_1(&file64, sizeof(file64));
}

static void version_2(const void *file, u64 size)
{
    struct vcpu_start start;
    unsigned modules = 0;
    u64 seen = 0, at;

    add_module(20 * MB, file, size, "one two=3");
    add_modules();
    assert_null(try_check());
    assert_null(try_load(&start));
    check_loaded(&start);
    assert_int_equal(start.rip, TEXT_AT + 0x80);
    assert_int_equal(start.gpr[RAX], 0x36d76289);
    u64 info = start.gpr[RBX], end = info + world_u32(info);
    assert_int_equal(info % 8, 0);
    for (at = info + 8; world_u32(at) && at < end; at += (world_u32(at + 4) + 7) & ~7ull) {
        switch (world_u32(at)) {
        case 1:
            assert_string_equal((char *)world + at + 8, "one two=3");
            break;
        case 3:
            check_module(world_u32(at + 8), world_u32(at + 12), modules++ ? 3 : 0x5001);
            break;
        case 4:
            assert_int_equal(world_u32(at + 8), 640);
            assert_int_equal(world_u32(at + 12), 47 * 1024);
            break;
        case 6:
            assert_int_equal(world_u32(at + 4), 16 + 5 * 24);
            assert_int_equal(world_u64(at + 16 + 3 * 24), WORLD_FIRST);
            break;
        }
        seen |= BIT(world_u32(at));
    }
    assert_int_equal(at + 8, end);
    assert_int_equal(modules, 2);
    assert_int_equal(seen & 0x805e, 0x805e); /* 1 to 4, 6, and the RSDP of version 2 */
}

static void version_2_starts(void **state)
{
    version_2(&file32, sizeof(file32));
    world_set_up(state);
    version_2(&file64, sizeof(file64));
}

#define LIE(because, field, value)                                                       \
    do {                                                                                 \
        set_up(state);                                                                   \
        if (!second)                                                                     \
            file64.mb2.magic = 0;                                                        \
        file64.field = (__typeof__(file64.field))(value);                                \
        file64.mb1[2] = -(file64.mb1[0] + file64.mb1[1]);                                \
        file64.mb2.checksum = -(file64.mb2.magic + file64.mb2.arch + file64.mb2.length); \
        add_module(20 * MB, &file64, sizeof(file64), "");                                \
        if (!is_refused() || !strstr(refusal, because))                                  \
            fail_msg("believed: " #field " = " #value ": %s", refusal);                  \
        assert_int_equal(world[WORLD_FIRST], 0xcc);                                      \
    } while (0)

static void hostile_headers_are_refused(void **state)
{
    bool second = false;

    LIE("more than", mb1[1], 7);
    LIE("more than", mb1[1], 0x8003);
    LIE("otherwise", mb1[1], 0x10003);
    LIE("entry lies in no segment", header.e_entry, TEXT_AT);
    LIE("PVH", mb1[0], 0x1badb003);
    LIE("free memory", segments[1].p_paddr, WORLD_FIRST);
    LIE("overlap", segments[1].p_paddr, TEXT_AT + 0x1000);
    second = true;
    LIE("another processor", mb2.arch, 4);
    LIE("cut off", mb2.length, 0x8001);
    LIE("cut off", mb2.length, sizeof(file64));
    LIE("is broken", mb2.request.size, 7);
    LIE("is broken", mb2.request.size, sizeof(file64.mb2) - 15);
    LIE("is broken", mb2.entry.size, ~0u);
    LIE("not known", mb2.request.type, 7);
    LIE("not known", mb2.request.type, 0xffff);
    LIE("otherwise", mb2.entry.type, 2);
    LIE("not given here", mb2.request.info[3], 8);
    LIE("not given here", mb2.request.info[3], ~0u);
    LIE("entry lies in no segment", mb2.entry.address, TEXT_AT - 1);
    LIE("entry lies in no segment", mb2.entry.address, DATA_AT + 0x10000);
}

/* A magic number alone may be anything. */
static void a_wrong_sum_is_no_header(void **state)
{
    (void)state;
    file64.mb1[2]++;
    file64.mb2.checksum++;
    add_module(20 * MB, &file64, sizeof(file64), "");
    assert_non_null(try_check());
    assert_non_null(strstr(refusal, "neither a multiboot header nor a PVH entry"));
}

/* What is optional is left out. */
static void optional_tags_are_no_reason(void **state)
{
    (void)state;
    file64.mb2.request.flags = 1;
    file64.mb2.request.info[3] = 8;
    add_module(20 * MB, &file64, sizeof(file64), "");
    assert_null(try_check());
    file64.mb2.request.type = 0x1234;
    memcpy(world + 20 * MB, &file64, sizeof(file64));
    assert_null(try_check());
}

static void noise_does_no_harm(void **state)
{
    (void)state;
    srand(7);
    for (unsigned round = 0; round < 300; round++) {
        MAKE(file32, 32, EM_386);
        if (round & 1)
            file32.mb2.magic = 0;
        for (unsigned i = 0; i < 2; i++) {
            u64 value = (u64)rand() << (rand() % 33);
            memcpy((u8 *)&file32 + 4 + (unsigned)rand() % 220, &value, 1 + (unsigned)rand() % 8);
        }
        throw_at_loader((const u8 *)&file32, sizeof(file32));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(version_1_starts, set_up),
        cmocka_unit_test_setup(version_2_starts, set_up),
        cmocka_unit_test_setup(hostile_headers_are_refused, set_up),
        cmocka_unit_test_setup(a_wrong_sum_is_no_header, set_up),
        cmocka_unit_test_setup(optional_tags_are_no_reason, set_up),
        cmocka_unit_test_setup(noise_does_no_harm, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
