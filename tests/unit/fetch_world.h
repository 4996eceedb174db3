/* SPDX-License-Identifier: Apache-2.0 */
/* A guest with a few pages of code and a walk to them that a test can change, for the tests of fetching. */
#ifndef TESTS_FETCH_WORLD_H
#define TESTS_FETCH_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "arch/paging.h"
#include "hv/fetch.h"

#define CODE  0x400000ull /* linear, of the first page */
#define PAGES 4

static u8 pages[PAGES][PAGE_SIZE];
/* What a walk reads: entries that all pages share, and then one of each page, which says which that is,
 * or that it is gone (bit 63). */
static u64 upper[WALK_MAX_LEVELS], last[PAGES];
static unsigned levels;
static bool is_device; /* all of it lies where we do not read */
static u64 first_linear;
static unsigned walks;

bool guest_walk(struct vcpu *v, const struct vcpu_mode *mode, u64 linear, enum walk_access access,
                struct walk *w)
{
    bool is_64 = fetch_mode(mode) == INSN_64;
    u64 page = (is_64 ? linear - first_linear : (u32)(linear - first_linear)) / PAGE_SIZE;

    (void)v;
    walks++;
    assert_int_equal(access, WALK_FETCH);
    assert_true(is_64 || linear < BIT(32));
    assert_true(page < PAGES);
    w->levels = levels;
    for (unsigned i = 0; i < levels; i++) {
        w->step[i].entry = i == levels - 1 ? &last[page] : &upper[i];
        w->step[i].value = *w->step[i].entry;
    }
    w->gpa = last[page] % PAGES * PAGE_SIZE + linear % PAGE_SIZE;
    return !(last[page] & BIT(63));
}

volatile void *guest_page(u64 gpa)
{
    return is_device ? NULL : pages[gpa / PAGE_SIZE];
}

static bool has_memory;

void *page_alloc(void)
{
    static u8 page[PAGE_SIZE] __attribute__((aligned(4096)));

    return has_memory ? memset(page, 0, sizeof(page)) : NULL;
}

static struct vcpu cpu;
static struct vcpu_mode mode;
static unsigned retired;

void vcpu_get_mode(struct vcpu *v, struct vcpu_mode *out)
{
    (void)v;
    *out = mode;
}

static bool is_read_alike;

static bool reads_code_as(struct vcpu *v, const struct vcpu_mode *was)
{
    (void)v;
    (void)was;
    return is_read_alike;
}

static void count_retired(struct vcpu *v)
{
    (void)v;
    retired++;
}

static struct vcpu_backend backend = { .reads_code_as = reads_code_as, .retired = count_retired };
const struct vcpu_backend *vcpu_ops = &backend;

static const struct vcpu_mode mode64 = { .efer = EFER_LMA, .cs_attrib = 0xa9b };
static const struct vcpu_mode mode32 = { .cs_attrib = 0xc9b };

static int set_up(void **state)
{
    (void)state;
    memset(pages, 0, sizeof(pages));
    memset(&cpu, 0, sizeof(cpu));
    for (unsigned i = 0; i < PAGES; i++)
        last[i] = i;
    levels = 4;
    retired = walks = 0;
    first_linear = CODE;
    mode = mode64;
    is_device = false;
    is_read_alike = has_memory = true;
    return fetch_init(&cpu);
}

/* Code at that offset from the first page, and RIP there. */
static void put_code(u64 offset, const void *bytes, unsigned size)
{
    memcpy((u8 *)pages + offset, bytes, size);
    cpu.rip = CODE + offset;
}

static enum fetch_result fetch(struct fetched **f)
{
    return fetch_insn(&cpu, &mode, f);
}

static const u8 store[] = { 0x89, 0x07 };      /* mov [rdi], eax */
static const u8 load[] = { 0x48, 0x8b, 0x07 }; /* mov rax, [rdi] */
static const u8 cpuid_insn[] = { 0x0f, 0xa2 };

#endif
