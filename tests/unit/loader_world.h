/* SPDX-License-Identifier: Apache-2.0 */
/* A machine of 64 MiB in a buffer, for the loaders' tests: 0-640K and 1M-64M are RAM, the region lies at 48M.
 */
#ifndef TESTS_LOADER_WORLD_H
#define TESTS_LOADER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>
#include "arch/acpi.h"
#include "arch/log.h"
#include "arch/paging.h"
#include "hv/loader.h"
#include "hv/mem.h"

#define MB          0x100000ull
#define WORLD       (64 * MB)
#define WORLD_FIRST (48 * MB)
#define WORLD_RSDP  0xe1230
#define TOP         (4096 * MB - 2 * MB) /* for who puts RAM below 4 GiB: there is something behind it */
#define BLANK       (4 * MB)

static u8 *world;
static u8 world_top[2 * MB];
static u64 world_rsdp;
static char logged[512]; /* the last line */
static struct boot_info world_info;
static jmp_buf refused;
static char refusal[512];

u64 region_base(void)
{
    return WORLD_FIRST;
}

u64 region_size(void)
{
    return 8 * MB;
}

void *phys_to_virt(u64 pa)
{
    if (pa >= TOP && pa < 4096 * MB)
        return world_top + (pa - TOP);
    assert_true(pa < WORLD);
    return world + pa;
}

u64 acpi_rsdp(void)
{
    return world_rsdp;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    va_list args;

    (void)level;
    va_start(args, fmt);
    vsnprintf(logged, sizeof(logged), fmt, args);
    va_end(args);
}

void refuse(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(refusal, sizeof(refusal), fmt, args);
    va_end(args);
    longjmp(refused, 1);
}

/* A file of 0xcc, as what is not zeroed on purpose must not look so. Mapped again and again: only pages that
 * were written to cost anything. */
static void blank_world(void)
{
    static FILE *blank;

    if (!blank) {
        u8 *bytes = malloc(BLANK);
        blank = tmpfile();
        assert_true(blank && bytes);
        assert_int_equal(fwrite(memset(bytes, 0xcc, BLANK), BLANK, 1, blank), 1);
        assert_int_equal(fflush(blank), 0);
        free(bytes);
        world = mmap(NULL, WORLD + BLANK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(world != MAP_FAILED);
    }
    for (u64 at = 0; at < WORLD; at += BLANK)
        assert_true(mmap(world + at, BLANK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fileno(blank),
                         0) != MAP_FAILED);
}

/* The machine has so many ranges now. What another one has left behind the lists' ends is no memory. */
static int world_ranges(unsigned n)
{
    static const struct boot_range left = { PAGE_SIZE, TOP, BOOT_MEM_RAM };
    unsigned shown;

    world_info.nr_ranges = n;
    if (n < BOOT_MAX_RANGES)
        world_info.ranges[n] = left;
    int err = mem_init(&world_info);
    struct boot_range *map = (struct boot_range *)(uintptr_t)mem_guest_map(&shown);
    if (shown < BOOT_MAX_RANGES)
        map[shown] = left;
    return err;
}

static int world_set_up(void **state)
{
    (void)state;
    blank_world();
    world_rsdp = WORLD_RSDP;
    memset(&world_info, 0, sizeof(world_info));
    world_info.ranges[0] = (struct boot_range){ 0, 0xa0000, BOOT_MEM_RAM };
    world_info.ranges[1] = (struct boot_range){ 0xe0000, 0x20000, BOOT_MEM_RESERVED };
    world_info.ranges[2] = (struct boot_range){ MB, WORLD - MB, BOOT_MEM_RAM };
    return world_ranges(3);
}

static inline void add_module(u64 at, const void *data, u64 size, const char *cmdline)
{
    struct boot_module *m = &world_info.modules[world_info.nr_modules++];

    memcpy(world + at, data, size);
    m->base = at;
    m->size = size;
    snprintf(m->cmdline, sizeof(m->cmdline), "%s", cmdline);
}

/* NULL: the guest is good. */
static inline const char *try_check(void)
{
    if (setjmp(refused))
        return refusal;
    guest_check(&world_info);
    return NULL;
}

static inline const char *try_load(struct vcpu_start *start)
{
    if (setjmp(refused))
        return refusal;
    memset(start, 0xcc, sizeof(*start));
    guest_load(&world_info, start);
    return NULL;
}

/* A refusal, by check or by load, that names the image; never a crash and never anything else. */
static inline bool is_refused(void)
{
    struct vcpu_start start;
    const char *why = try_check();

    if (!why)
        why = try_load(&start);
    return why != NULL;
}

/* Broken input must be refused or loaded inside guest RAM; the address sanitizer watches the rest. */
static inline void throw_at_loader(const u8 *file, u64 size)
{
    u8 region[64];

    assert_int_equal(world_set_up(NULL), 0);
    add_module(4 * MB, file, size, "x");
    (void)is_refused();
    memset(region, 0xcc, sizeof(region));
    for (u64 at = WORLD_FIRST; at < WORLD_FIRST + 8 * MB; at += MB / 2)
        assert_memory_equal(world + at, region, sizeof(region));
}

/* After `change` it is refused because of that; NULL: it is as good. */
static inline void judge(const char *because, const char *change)
{
    bool is_bad = is_refused();

    if (is_bad != (because != NULL) || (is_bad && !strstr(refusal, because)))
        fail_msg("%s: %s", change, is_bad ? refusal : "believed");
    assert_int_equal(world[WORLD_FIRST], 0xcc);
}

static inline u64 world_u64(u64 gpa)
{
    u64 value;

    memcpy(&value, world + gpa, 8);
    return value;
}

static inline u32 world_u32(u64 gpa)
{
    return (u32)world_u64(gpa);
}

#endif
