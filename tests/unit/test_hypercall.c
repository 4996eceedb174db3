/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/hypercall.c */
/* What a guest may ask of Sluice, who may, and where the answer goes (docs/hypercalls.md). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "arch/cpu.h"
#include "arch/log.h"
#include "hv/exit.h"
#include "hv/fetch.h"
#include "iommu/iommu.h"

enum { VERSION, CLOCK, TRACE, COUNTERS, INVALIDATE, LOG };
#define NOBODY    ((u64)-1)
#define NO_CALL   ((u64)-38)
#define UNTOUCHED 0x1122334455667788ull

/* ---- the guest ---- */

#define TSS    0x10000ull
#define BUFFER 0x80000ull

static struct vcpu cpu;
static struct vcpu_mode mode;
static struct vcpu_segment tss;
static u8 tss_bytes[0x11000], buffer[2048];
static u64 missing; /* linear address of a byte that is not mapped, 0 = all are */
static unsigned written;
static bool bytes_are_there;

bool guest_access(struct vcpu *v, const struct vcpu_mode *m, u64 linear, void *data, unsigned size,
                  bool write)
{
    assert_ptr_equal(v, &cpu);
    if (missing >= linear && missing < linear + size)
        return false;
    if (write) {
        assert_int_equal(m->cpl, mode.cpl); /* as the caller itself would */
        assert_true(linear >= BUFFER && linear + size <= BUFFER + sizeof(buffer));
        memcpy(buffer + (linear - BUFFER), data, size);
        written += size;
    } else {
        assert_int_equal(m->cpl, 0); /* as the CPU reads its tables */
        assert_true(linear >= TSS && linear + size <= TSS + sizeof(tss_bytes));
        memcpy(data, tss_bytes + (linear - TSS), size);
    }
    return true;
}

void vcpu_get_mode(struct vcpu *v, struct vcpu_mode *out)
{
    (void)v;
    *out = mode;
}

bool fetch_skip(struct vcpu *v, const u8 *opcode, unsigned size)
{
    static const u8 vmmcall[] = { 0x0f, 0x01, 0xd9 };

    assert_int_equal(size, sizeof(vmmcall));
    assert_memory_equal(opcode, vmmcall, sizeof(vmmcall));
    v->rip += bytes_are_there ? size : 0;
    return bytes_are_there;
}

static u64 get(struct vcpu *v, enum vcpu_reg reg)
{
    (void)v;
    assert_int_equal(reg, REG_CPL);
    return mode.cpl;
}

static void get_segment(struct vcpu *v, unsigned seg, struct vcpu_segment *out)
{
    (void)v;
    assert_int_equal(seg, SEG_TR);
    *out = tss;
}

static struct vcpu_backend backend = { .hypercall = { 0x0f, 0x01, 0xd9 },
                                       .get = get,
                                       .get_segment = get_segment };
const struct vcpu_backend *vcpu_ops = &backend;

/* ---- Sluice ---- */

u64 clock_tsc_per_us(void)
{
    return 2606;
}

static int records; /* that there are, or an error */
static enum inside_table table_asked;
static u64 unit_asked;
static unsigned room_given;

int iommu_inside(enum inside_table table, u64 unit, u64 *at, struct inside_record *out, unsigned room)
{
    table_asked = table;
    unit_asked = unit;
    room_given = room;
    if (records < 0)
        return records;
    int n = MIN(records, (int)room);
    memset(out, 0x5a, (size_t)n * sizeof(*out));
    *at += (unsigned)n;
    return n;
}

size_t log_read(u64 *at, char *to, size_t room)
{
    size_t n = MIN((size_t)records, room);

    room_given = (unsigned)room;
    memset(to, 0x6b, n);
    *at += n;
    return n;
}

static struct {
    unsigned calls, unit, count;
    u16 did;
    u32 pasid;
    u64 array;
} invalidated;

int iommu_invalidate(unsigned unit, u16 did, u32 pasid, u64 array, unsigned count, unsigned *handled)
{
    invalidated.calls++;
    invalidated.unit = unit;
    invalidated.did = did;
    invalidated.pasid = pasid;
    invalidated.array = array;
    invalidated.count = count;
    *handled = 5;
    return records;
}

static int set_up(void **state)
{
    (void)state;
    memset(&cpu, 0, sizeof(cpu));
    memset(tss_bytes, 0xff, sizeof(tss_bytes));
    memset(buffer, 0, sizeof(buffer));
    memset(&invalidated, 0, sizeof(invalidated));
    mode = (struct vcpu_mode){ .cpl = 0 };
    tss = (struct vcpu_segment){ .base = TSS, .limit = 103 };
    records = 100;
    missing = written = room_given = 0;
    bytes_are_there = true;
    return 0;
}

/* The answer of call `number`. */
static u64 call(u64 number)
{
    cpu.rip = 0x1000;
    cpu.gpr[RAX] = number;
    handle_hypercall(&cpu);
    return cpu.gpr[RAX];
}

/* ---- tests ---- */

static void numbers_are_answered(void **state)
{
    static const struct {
        u64 number, answer;
    } t[] = {
        { VERSION, 1 }, { CLOCK, 2606 }, { LOG + 1, NO_CALL }, { BIT(32), NO_CALL }, { ~0ull, NO_CALL }
    };

    (void)state;
    mode.cpl = 3;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        cpu.gpr[RDX] = UNTOUCHED;
        assert_int_equal(call(t[i].number), t[i].answer);
        assert_int_equal(cpu.gpr[RDX], UNTOUCHED);
        assert_int_equal(cpu.rip, 0x1003);
    }
    /* Another CPU has rewritten the instruction: there was no call. */
    bytes_are_there = false;
    assert_int_equal(call(CLOCK), CLOCK);
    assert_int_equal(cpu.rip, 0x1000);
}

/* As `out` to 0xCF8 would be judged. */
static void who_may_use_0xcf8_may_ask(void **state)
{
    enum { BASE = 200, AT = BASE + 0xcf8 / 8, END = 0xffff + 0xcf8 / 8 };
    static const struct {
        u8 cpl, iopl;
        u32 limit;
        u16 base;
        u8 bit; /* of the port in the bitmap */
        bool may;
    } t[] = {
        { 0, 0, 0, 0, 1, true },
        { 0, 0, AT + 1, BASE, 1, true },
        /* of the kernel the bitmap is not asked */ { 1, 0, 103, BASE, 1, false },
        { 1, 1, 103, BASE, 1, true },
        { 3, 2, 103, BASE, 1, false },
        { 3, 3, 103, BASE, 1, true },
        { 3, 0, AT + 1, BASE, 0, true },
        { 3, 0, AT + 1, BASE, 1, false },
        { 3, 0, AT, BASE, 0, false }, /* two bytes are read, always */
        { 3, 0, AT - 1, BASE, 0, false },
        { 3, 0, END + 1, 0xffff, 0, true },
        { 3, 0, END, 0xffff, 0, false },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        set_up(state);
        mode.cpl = t[i].cpl;
        cpu.rflags = (u64)t[i].iopl << 12;
        tss.limit = t[i].limit;
        memcpy(tss_bytes + 102, &t[i].base, 2);
        if (!t[i].bit)
            tss_bytes[t[i].base + 0xcf8 / 8] = 0xfe;
        cpu.gpr[RSI] = BUFFER;
        cpu.gpr[RCX] = 1;
        cpu.gpr[RDX] = UNTOUCHED;
        if (call(TRACE) != (t[i].may ? 1 : NOBODY))
            fail_msg("%u", i);
        assert_int_equal(cpu.gpr[RDX], UNTOUCHED + t[i].may);
        assert_int_equal(written, t[i].may ? 32 : 0);
    }
}

/* A segment that ends before its I/O base has none; nothing of it is read. */
static void short_task_segments_allow_nothing(void **state)
{
    for (unsigned limit = 101; limit <= 104; limit++) {
        set_up(state);
        mode.cpl = 3;
        tss.limit = limit;
        missing = TSS + 102;
        cpu.gpr[RCX] = 1;
        /* From 103 on it is read, and here comes the page fault. */
        assert_int_equal(call(TRACE), limit < 103 ? NOBODY : TRACE);
    }
}

/* The call comes again when the fault is handled: nothing has happened. */
static void page_faults_come_first(void **state)
{
    static const u64 at[] = { TSS + 102, TSS + 0xcf8 / 8 + 1, BUFFER + 31 };

    for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
        set_up(state);
        mode.cpl = 3;
        tss.limit = 0x1000;
        memset(tss_bytes, 0, sizeof(tss_bytes));
        missing = at[i];
        cpu.gpr[RSI] = BUFFER;
        cpu.gpr[RCX] = 1;
        cpu.gpr[RDX] = UNTOUCHED;
        assert_int_equal(call(TRACE), TRACE);
        assert_int_equal(cpu.gpr[RDX], UNTOUCHED);
        assert_int_equal(cpu.rip, 0x1000);
        missing = 0;
        assert_int_equal(call(TRACE), 1);
    }
}

static void records_and_characters_are_given(void **state)
{
    static const struct {
        u64 number, room;
        int there;
        u64 answer;
        unsigned written;
    } t[] = {
        { TRACE, 1, 100, 1, 32 },
        { TRACE, 31, 100, 31, 31 * 32 },
        { TRACE, 32, 100, 32, 1024 },
        { TRACE, 33, 100, 32, 1024 },
        { TRACE, ~0ull, 100, 32, 1024 },
        { TRACE, BIT(32), 100, 32, 1024 },
        { TRACE, 0, 100, 0, 0 },
        { TRACE, 32, 0, 0, 0 },
        { TRACE, 32, ERR_NODEV, (u64)ERR_NODEV, 0 },
        { COUNTERS, 2, 100, 2, 64 },
        { LOG, 1, 5000, 1, 1 },
        { LOG, 1023, 5000, 1023, 1023 },
        { LOG, 1024, 5000, 1024, 1024 },
        { LOG, 1025, 5000, 1024, 1024 },
        { LOG, 1024, 7, 7, 7 },
        { LOG, 1024, 0, 0, 0 },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        set_up(state);
        records = t[i].there;
        cpu.gpr[RDI] = BIT(33) + 1;
        cpu.gpr[RSI] = t[i].written ? BUFFER + 3 : ~0ull; /* who is given nothing need not have a place */
        cpu.gpr[RCX] = t[i].room;
        cpu.gpr[RDX] = 1000;
        if (call(t[i].number) != t[i].answer || written != t[i].written)
            fail_msg("%u: %d, %u", i, (int)cpu.gpr[RAX], written);
        assert_int_equal(cpu.gpr[RDX], 1000 + MAX((s64)t[i].answer, 0));
        assert_int_equal(room_given, MIN(t[i].room, t[i].number == LOG ? 1024u : 32u));
        for (unsigned n = 0; n < written; n++)
            assert_int_equal(buffer[3 + n], t[i].number == LOG ? 0x6b : 0x5a);
        assert_int_equal(buffer[3 + written], 0);
        if (t[i].number == LOG)
            continue;
        assert_int_equal(table_asked, t[i].number == TRACE ? INSIDE_TRACE : INSIDE_COUNTERS);
        assert_int_equal(unit_asked, BIT(33) + 1); /* no other unit than was asked for */
    }
}

static void invalidations_are_passed_on(void **state)
{
    static const struct {
        u8 cpl;
        u64 where, pasid, count;
        bool done;
    } t[] = {
        { 0, 0xffff00000001, 0, 1, true },
        { 0, BIT(48), 0, 1, false },
        { 0, 1, INVALIDATE_PASIDS - 1, 1, true },
        { 0, 1, INVALIDATE_PASIDS, 1, false },
        { 0, 1, ~0u, 1, false },
        { 0, 1, ~0ull, 1, true },
        { 0, 1, ~0ull - 1, 1, false },
        { 0, 1, 0, INVALIDATE_MAX, true },
        { 0, 1, 0, INVALIDATE_MAX + 1, false },
        { 0, 1, 0, BIT(32), false },
        { 0, 1, 0, 0, true },
        { 1, 1, 0, 1, false },
        { 3, 1, 0, 1, false },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        set_up(state);
        records = -14;
        mode.cpl = t[i].cpl;
        cpu.rflags = MASK(13, 12); /* counts for the others only */
        cpu.gpr[RDI] = t[i].where;
        cpu.gpr[RSI] = UNTOUCHED;
        cpu.gpr[RDX] = t[i].pasid;
        cpu.gpr[RCX] = t[i].count;
        u64 answer = call(INVALIDATE);
        if (invalidated.calls != t[i].done)
            fail_msg("%u", i);
        assert_int_equal(answer, t[i].done ? (u64)-14 : t[i].cpl ? NOBODY : (u64)-22);
        assert_int_equal(cpu.gpr[RDX], t[i].done ? 5 : t[i].cpl ? t[i].pasid : 0);
        if (!t[i].done)
            continue;
        assert_int_equal(invalidated.unit, 1);
        assert_int_equal(invalidated.did, t[i].where >> 32);
        assert_int_equal(invalidated.pasid, (u32)t[i].pasid);
        assert_int_equal(invalidated.array, UNTOUCHED);
        assert_int_equal(invalidated.count, t[i].count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(numbers_are_answered, set_up),
        cmocka_unit_test_setup(who_may_use_0xcf8_may_ask, set_up),
        cmocka_unit_test_setup(short_task_segments_allow_nothing, set_up),
        cmocka_unit_test_setup(page_faults_come_first, set_up),
        cmocka_unit_test_setup(records_and_characters_are_given, set_up),
        cmocka_unit_test_setup(invalidations_are_passed_on, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
