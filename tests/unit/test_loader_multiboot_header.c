/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/loader.c hv/loader_linux.c hv/loader_elf.c hv/loader_multiboot.c hv/loader_pvh.c */
/* LINK: hv/loader_firmware.c hv/mem.c */
/* Multiboot headers: where they may be, how long they are, and hostile ones. */
#include "tests/unit/loader_multiboot.h"

/* As many segments as there may be, and one more; the entry is in the last. */
static void so_many_segments_are_loaded(void **state)
{
    enum { MOST = 32 };
    static struct {
        Elf64_Ehdr header;
        Elf64_Phdr segments[MOST + 1];
        u32 mb1[3];
        u8 text[16];
    } file;

    for (unsigned n = MOST - 1; n <= MOST + 1; n++) {
        struct vcpu_start start;

        set_up(state);
        memcpy(&file.header, &file64.header, sizeof(file.header));
        memcpy(file.mb1, file64.mb1, sizeof(file.mb1));
        memset(file.text, 0x5a, sizeof(file.text));
        file.header.e_phnum = (u16)n;
        for (unsigned i = 0; i < n; i++) {
            file.segments[i] = file64.segments[0];
            file.segments[i].p_offset = offsetof(__typeof__(file), text);
            file.segments[i].p_filesz = sizeof(file.text);
            file.segments[i].p_vaddr = VIRTUAL + i * MB;
            file.segments[i].p_paddr = TEXT_AT + i * 0x10000;
        }
        file.header.e_entry = VIRTUAL + (n - 1) * MB + 1;
        add_module(20 * MB, &file, sizeof(file), "");
        if (n > MOST) {
            assert_non_null(strstr(try_check(), "too many segments"));
            continue;
        }
        assert_null(try_check());
        assert_null(try_load(&start));
        assert_int_equal(start.rip, TEXT_AT + (n - 1) * 0x10000 + 1);
        assert_int_equal(world[start.rip], 0x5a);
        file.header.e_entry = VIRTUAL - 1;
        world_info.nr_modules = 0;
        add_module(20 * MB, &file, sizeof(file), "");
        assert_non_null(strstr(try_check(), "entry lies in no segment"));
    }
}

/* A header is looked for in so much of the file, and at multiples of 4 or 8. */
static void headers_lie_near_the_front(void **state)
{
    static struct {
        __typeof__(file64) file;
        u8 more[40000];
    } big;
    static const struct {
        unsigned version;
        u32 at, length;
        bool found;
    } t[] = {
        { 1, 8192 - 4, 0, true },     { 1, 8192 - 6, 0, false },
        { 1, 8192, 0, false },        { 2, 32768 - 64, 64, true },
        { 2, 32768 - 60, 56, false }, { 2, 32768 - 56, 56, true }, /* without the tag that ends it */
        { 2, 32768 - 56, 57, false },                              /* not all of it lies there */
        { 2, 32768 - 56, 64, false }, { 2, 32768, 64, false },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        set_up(state);
        memset(big.more, 0, sizeof(big.more));
        big.file = file64;
        big.file.mb1[0] = big.file.mb2.magic = 0;
        file64.mb2.length = t[i].length;
        file64.mb2.checksum = -(file64.mb2.magic + t[i].length);
        if (t[i].version == 1)
            memcpy((u8 *)&big + t[i].at, file64.mb1, sizeof(file64.mb1));
        else
            memcpy((u8 *)&big + t[i].at, &file64.mb2, sizeof(file64.mb2));
        add_module(20 * MB, &big, sizeof(big), "");
        if (!try_check() != t[i].found)
            fail_msg("%u: %s", i, refusal);
    }
}

/* NULL: it is as good. */
#define TRY(because, change)                                                             \
    do {                                                                                 \
        set_up(state);                                                                   \
        if (!second)                                                                     \
            file64.mb2.magic = 0;                                                        \
        change;                                                                          \
        file64.mb1[2] = -(file64.mb1[0] + file64.mb1[1]);                                \
        file64.mb2.checksum = -(file64.mb2.magic + file64.mb2.arch + file64.mb2.length); \
        add_module(20 * MB, &file64, sizeof(file64), "");                                \
        judge(because, #change);                                                         \
    } while (0)

static void hostile_headers_are_refused(void **state)
{
    Elf64_Phdr *text = &file64.segments[0], *data = &file64.segments[1];
    struct tags *tags = &file64.mb2;
    bool second = false;

    TRY(NULL, file64.mb1[1] = 0);
    TRY("more than", file64.mb1[1] = 7);
    TRY("more than", file64.mb1[1] = 0x8003);
    TRY("otherwise", file64.mb1[1] = 0x10003);
    TRY("entry lies in no segment", file64.header.e_entry = TEXT_AT);
    TRY("entry lies in no segment", file64.header.e_entry = VIRTUAL - 1);
    TRY("entry lies in no segment", file64.header.e_entry += BIT(32));
    TRY("neither", file64.header.e_ident[EI_MAG0]++);
    TRY(NULL, file64.header.e_entry = VIRTUAL);
    TRY(NULL, file64.header.e_entry = VIRTUAL + sizeof(file64.text) - 1);
    /* Behind a segment there is no other one because it will lie behind it in memory. */
    TRY("entry lies in no segment", file64.header.e_entry = VIRTUAL + sizeof(file64.text);
        data->p_paddr = TEXT_AT + text->p_memsz);
    TRY("PVH", file64.mb1[0] = 0x1badb003);
    TRY("another processor", file64.header.e_machine = EM_ARM);
    TRY("free memory", data->p_paddr = WORLD_FIRST);
    TRY("overlap", data->p_paddr = TEXT_AT + 0x1000);
    second = true;
    TRY("another processor", tags->arch = 4);
    TRY("cut off", tags->length = 0x8001);
    TRY("cut off", tags->length = sizeof(file64));
    TRY("is broken", tags->request.size = 7; tags->request.info[0] = 0; tags->request.info[1] = 8);
    TRY("is broken", tags->request.size = sizeof(*tags) - 15);
    TRY("is broken", tags->entry.size = ~0u);
    TRY("is broken", tags->end.type = 6; tags->end.size = 9);
    TRY(NULL, tags->end.type = 6);
    TRY(NULL, tags->length--); /* the end is not there then, and nothing else is left out */
    TRY("not known", tags->end.type = 7);
    TRY("not known", tags->request.type = 7);
    TRY("not known", tags->request.type = 64);
    TRY("not known", tags->request.type = 64 + 1);
    TRY("not known", tags->request.type = 0xffff);
    TRY("otherwise", tags->entry.type = 2);
    TRY("not given here", tags->request.info[3] = 8);
    TRY("not given here", tags->request.info[3] = 64);
    TRY("not given here", tags->request.info[3] = 64 + 1);
    TRY("not given here", tags->request.info[3] = ~0u);
    /* Three bytes of a word are none; what follows is the end. */
    TRY(NULL, tags->request.size = 15; tags->request.info[1] = 8; tags->request.info[2] = 0;
        tags->request.info[3] = 8);
    TRY("entry lies in no segment", tags->entry.address = TEXT_AT - 1);
    TRY(NULL, tags->entry.address = TEXT_AT);
    TRY(NULL, tags->entry.address = TEXT_AT + sizeof(file64.text) - 1);
    TRY("entry lies in no segment", tags->entry.address = TEXT_AT + sizeof(file64.text));
    TRY("entry lies in no segment", tags->entry.address = DATA_AT + 0x10000);
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
        cmocka_unit_test_setup(so_many_segments_are_loaded, set_up),
        cmocka_unit_test_setup(headers_lie_near_the_front, set_up),
        cmocka_unit_test_setup(hostile_headers_are_refused, set_up),
        cmocka_unit_test_setup(a_wrong_sum_is_no_header, set_up),
        cmocka_unit_test_setup(optional_tags_are_no_reason, set_up),
        cmocka_unit_test_setup(noise_does_no_harm, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
