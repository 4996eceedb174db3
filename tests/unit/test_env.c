/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/env.c hv/mem.c */
/* The machine as iommu/ sees it: which memory a device may reach, what is written back, what is told. */
#include <sys/wait.h>
#include <unistd.h>
#include "tests/unit/machine_world.h"
#include "arch/paging.h"
#include "hv/env.h"
#include "hv/exit.h"
#include "hv/mem.h"
#include "hv/pci.h"
#include "iommu/env.h"

#define MB 0x100000ull

/* ---- the machine ---- */

enum log_level log_threshold;
static u8 pool[8 * PAGE_SIZE] __attribute__((aligned(4096)));
static size_t available;
static u32 line_in_quadwords;

u64 region_base(void)
{
    return 48 * MB;
}

u64 region_size(void)
{
    return 8 * MB;
}

void *pages_alloc(size_t count)
{
    tell("alloc:%zu ", count);

    return available ? pool : NULL;
}

size_t pages_available(void)
{
    return available;
}

void *page_alloc(void)
{
    return pool + PAGE_SIZE;
}

void page_free(void *page)
{
    tell("free:%zd ", (ssize_t)((u8 *)page - pool));
}

void *phys_to_virt(u64 pa)
{
    return (u8 *)pool + (pa - MB);
}

u64 virt_to_phys(const void *va)
{
    return MB + (u64)((const u8 *)va - pool);
}

void cpuid(u32 leaf, u32 sub, u32 out[4])
{
    assert_true(leaf == 1 && sub == 0);
    out[1] = 0x00ff00ffu | line_in_quadwords << 8;
}

void cpu_flush_line(u64 address)
{
    tell("%llx ", (unsigned long long)address);
}

u64 clock_us(void)
{
    return 1234567;
}

u32 pci_read(u16 segment, pci_sid sid, u32 off, unsigned width)
{
    tell("read:%x,%x,%x,%u ", segment, sid, off, width);
    return 0x107;
}

void pci_write(u16 segment, pci_sid sid, u32 off, unsigned width, u32 value)
{
    tell("write:%x,%x,%x,%u=%x ", segment, sid, off, width, value);
}

pci_sid pci_physical_function(u16 segment, pci_sid sid)
{
    return (pci_sid)(segment + sid - 1);
}

void apic_event_message(u64 *address, u32 *data)
{
    *address = 0xfee00000;
    *data = 0x400;
}

bool apic_send_message(u64 address, u32 data)
{
    tell("send:%llx,%x ", (unsigned long long)address, data);
    return data != 0;
}

void log_vline(enum log_level level, const char *fmt, va_list args)
{
    (void)level;
    vsnprintf(last_line, sizeof(last_line), fmt, args);
    log_lines++;
}

static int set_up(void **state)
{
    static struct boot_info info;

    info = (struct boot_info){ .nr_ranges = 4 };
    info.ranges[0] = (struct boot_range){ 0, 0xa0000, BOOT_MEM_RAM };
    info.ranges[1] = (struct boot_range){ MB, 63 * MB, BOOT_MEM_RAM };
    info.ranges[2] = (struct boot_range){ 64 * MB, MB, BOOT_MEM_RESERVED };
    info.ranges[3] = (struct boot_range){ 4096 * MB, 1024 * MB, BOOT_MEM_RAM };
    available = 100;
    line_in_quadwords = 8;
    log_threshold = LOG_WARN;
    if (mem_init(&info))
        return 1;
    return machine_set_up(state);
}

/* ---- memory ---- */

static void what_is_the_guests(void **state)
{
    static const u64 ram[] = { 0, 0x9ffff, MB, 48 * MB - 1, 56 * MB, 64 * MB - 1, 4096 * MB, 5120 * MB - 1 };
    static const u64 other[] = { 0xa0000, MB - 1,        48 * MB,   56 * MB - 1, 64 * MB,
                                 65 * MB, 4096 * MB - 1, 5120 * MB, ~0ull };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(ram); i++)
        assert_int_equal((u64)env_guest_ram(ram[i]), DIRECT_VA + ram[i]);
    for (unsigned i = 0; i < ARRAY_SIZE(other); i++)
        assert_null(env_guest_ram(other[i]));
}

/* RAM, RMRRs and BARs, to the byte where another begins. */
static void where_devices_may_go(void **state)
{
    static const struct {
        u64 at, extent;
        bool allowed;
    } t[] = {
        { 0, 0xa0000, true },
        { 0xa0000, 0x60000, false },
        { MB, 47 * MB, true },
        { 48 * MB - PAGE_SIZE, PAGE_SIZE, true },
        { 48 * MB, 8 * MB, false },         /* Sluice */
        { 64 * MB, MB / 2, false },         /* firmware */
        { 64 * MB + MB / 2, MB / 2, true }, /* an RMRR in it */
        { 65 * MB, 0xe0000000 - 65 * MB, false },
        { 0xe0000000, 0x1000000, true },  /* a BAR */
        { 0xfec00000, PAGE_SIZE, false }, /* an IOAPIC */
        { 0xfed90000, PAGE_SIZE, false }, /* a unit */
        { 4096 * MB, 1024 * MB, true },
        { 5120 * MB - PAGE_SIZE, PAGE_SIZE, true },
    };
    u64 extent;

    (void)state;
    assert_int_equal(mem_declare(64 * MB + MB / 2, MB / 2, MEM_RMRR), 0);
    assert_int_equal(mem_declare(0xe0000000, 0x1000000, MEM_BAR), 0);
    assert_int_equal(mem_declare(0xfec00000, PAGE_SIZE, MEM_DEVICE), 0);
    assert_int_equal(mem_declare(0xfed90000, PAGE_SIZE, MEM_UNIT), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        assert_int_equal(env_dma_allowed(t[i].at, &extent), t[i].allowed);
        assert_int_equal(extent, t[i].extent);
    }
}

/* A note beside each page that is left behind the notes. */
static void notes(void **state)
{
    (void)state;
    assert_int_equal(env_init(), 0);
    assert_story("alloc:1 ");
    assert_ptr_equal(env_page_note(pool + PAGE_SIZE), (u64 *)pool + 1);
    assert_ptr_equal(env_page_note(pool + 7 * PAGE_SIZE), (u64 *)pool + 7);
    available = 512;
    assert_int_equal(env_init(), 0);
    available = 513;
    assert_int_equal(env_init(), 0);
    assert_story("alloc:1 alloc:2 ");
    available = 0;
    assert_int_equal(env_init(), ERR_NOMEM);
}

static void pages(void **state)
{
    u64 word = 0;

    (void)state;
    assert_ptr_equal(env_page_alloc(), pool + PAGE_SIZE);
    env_page_free(pool + PAGE_SIZE);
    assert_ptr_equal(env_pages_alloc(3), pool);
    assert_story("free:4096 alloc:3 ");
    assert_int_equal(env_pages_available(), 100);
    assert_int_equal(env_phys(pool + PAGE_SIZE), MB + PAGE_SIZE);
    assert_ptr_equal(env_virt(MB + 8), pool + 8);
    env_store64(&word, 0x1122334455667788);
    assert_int_equal(word, 0x1122334455667788);
}

/* Each line that holds a byte of it, once. */
static void lines_written_back(void **state)
{
    static const struct {
        u64 at;
        size_t len;
        const char *story;
    } t[] = {
        { 0x1000, 64, "1000 " },     { 0x1000, 65, "1000 1040 " }, { 0x103f, 1, "1000 " },
        { 0x103f, 2, "1000 1040 " }, { 0x1020, 96, "1000 1040 " }, { 0x1020, 97, "1000 1040 1080 " },
        { 0x1040, 0, "" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        env_writeback((const void *)t[i].at, t[i].len);
        assert_story(t[i].story);
    }
}

/* In a process of its own, as the size is asked for once. */
static void a_cpu_that_does_not_say_how_long_lines_are(void **state)
{
    int status;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        line_in_quadwords = 0;
        env_writeback((const void *)0x1008, 32);
        _exit(strcmp(story, "1000 1010 1020 ") != 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* ---- the rest ---- */

static void devices_and_messages(void **state)
{
    struct env_lock lock = { 0 };
    u64 address;
    u32 data;

    (void)state;
    env_bus_master_off(1, 0x123);
    assert_story("read:1,123,4,2 write:1,123,4,2=103 ");
    assert_int_equal(env_pci_read32(0, 0x10, 0x40), 0x107);
    assert_story("read:0,10,40,4 ");
    assert_int_equal(env_pci_physical(2, 0x10), 0x11);
    env_event_message(&address, &data);
    assert_int_equal(address, 0xfee00000);
    assert_int_equal(data, 0x400);
    assert_true(env_send_interrupt(0xfee01000, 0x41));
    assert_false(env_send_interrupt(0xfee01000, 0));
    assert_story("send:fee01000,41 send:fee01000,0 ");
    assert_int_equal(env_now_us(), 1234567);
    assert_true(env_ticks() <= env_ticks());
    env_relax();
    env_lock_wait(&lock);
}

/* What nobody wants to read takes none of what may be said. */
static void how_much_is_told(void **state)
{
    (void)state;
    env_log(ENV_WARN, "%d and %d", 1, 2);
    assert_string_equal(last_line, "1 and 2");
    env_log_limited(ENV_ERR, "%d", 3);
    env_log_limited(ENV_WARN, "%d", 4);
    assert_string_equal(last_line, "4");
    assert_int_equal(log_lines, 3);
    env_log_limited(ENV_INFO, "%d", 5);
    env_log_limited(ENV_DEBUG, "%d", 6);
    assert_int_equal(log_lines, 3);
    log_full = true;
    env_log_limited(ENV_ERR, "%d", 7);
    assert_int_equal(log_lines, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_cpu_that_does_not_say_how_long_lines_are, set_up),
        cmocka_unit_test_setup(what_is_the_guests, set_up),
        cmocka_unit_test_setup(where_devices_may_go, set_up),
        cmocka_unit_test_setup(notes, set_up),
        cmocka_unit_test_setup(pages, set_up),
        cmocka_unit_test_setup(lines_written_back, set_up),
        cmocka_unit_test_setup(devices_and_messages, set_up),
        cmocka_unit_test_setup(how_much_is_told, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
