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

static u8 *world;
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
    assert_true(pa < WORLD);
    return world + pa;
}

u64 acpi_rsdp(void)
{
    return WORLD_RSDP;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    (void)level;
    (void)fmt;
}

void refuse(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(refusal, sizeof(refusal), fmt, args);
    va_end(args);
    longjmp(refused, 1);
}

static int world_set_up(void **state)
{
    (void)state;
    /* Kept from test to test: what mapping so much costs each time is most of the time the tests take. */
    if (!world)
        world = malloc(WORLD);
    /* What is not zeroed on purpose must not look so. */
    memset(world, 0xcc, WORLD);
    memset(&world_info, 0, sizeof(world_info));
    world_info.nr_ranges = 3;
    world_info.ranges[0] = (struct boot_range){ 0, 0xa0000, BOOT_MEM_RAM };
    world_info.ranges[1] = (struct boot_range){ 0xe0000, 0x20000, BOOT_MEM_RESERVED };
    world_info.ranges[2] = (struct boot_range){ MB, WORLD - MB, BOOT_MEM_RAM };
    return mem_init(&world_info);
}

static void add_module(u64 at, const void *data, u64 size, const char *cmdline)
{
    struct boot_module *m = &world_info.modules[world_info.nr_modules++];

    memcpy(world + at, data, size);
    m->base = at;
    m->size = size;
    snprintf(m->cmdline, sizeof(m->cmdline), "%s", cmdline);
}

/* NULL: the guest is good. */
static const char *try_check(void)
{
    if (setjmp(refused))
        return refusal;
    guest_check(&world_info);
    return NULL;
}

static const char *try_load(struct vcpu_start *start)
{
    if (setjmp(refused))
        return refusal;
    guest_load(&world_info, start);
    return NULL;
}

/* A refusal, by check or by load, that names the image; never a crash and never anything else. */
static bool is_refused(void)
{
    struct vcpu_start start;
    const char *why = try_check();

    if (!why)
        why = try_load(&start);
    return why != NULL;
}

/* Broken input must be refused or loaded inside guest RAM; the address sanitizer watches the rest. */
static void throw_at_loader(const u8 *file, u64 size)
{
    u8 region[64];

    world_info.nr_modules = 0;
    memset(world + WORLD_FIRST, 0xcc, 8 * MB);
    add_module(4 * MB, file, size, "x");
    (void)is_refused();
    memset(region, 0xcc, sizeof(region));
    for (u64 at = WORLD_FIRST; at < WORLD_FIRST + 8 * MB; at += MB / 2)
        assert_memory_equal(world + at, region, sizeof(region));
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
