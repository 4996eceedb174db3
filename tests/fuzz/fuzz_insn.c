/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: arch/insn.c arch/insn_exec.c */
/*
 * Any bytes decode to an error or to an instruction of at most 15 bytes that says the same when it is decoded
 * again, and that executes with accesses of known widths only.
 */
#include <string.h>

#include "arch/insn.h"
#include "tests/fuzz/fuzz.h"

static unsigned accesses;
static u64 memory;

static int access(enum insn_access how, unsigned width, u64 *val)
{
    REQUIRE(width == 1 || width == 2 || width == 4 || width == 8);
    REQUIRE(++accesses <= 8);
    if (how == INSN_READ)
        *val = width == 8 ? memory : memory & (BIT(8 * width) - 1);
    else if (how == INSN_WRITE) {
        REQUIRE(width == 8 || *val < BIT(8 * width));
        memory = *val;
    }
    return 0;
}

static int mmio(void *ctx, enum insn_access how, unsigned width, u64 *val)
{
    (void)ctx;
    REQUIRE(how != INSN_PROBE_WRITE);
    return access(how, width, val);
}

static int linear(void *ctx, enum insn_access how, u64 addr, unsigned width, u64 *val)
{
    (void)ctx;
    (void)addr;
    return access(how, width, val);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    static const u64 bases[INSN_NSEGS] = { 0, 0, 0, 0, 0x1000, 0x2000 };
    struct insn_env env = { NULL, bases, mmio, linear };
    struct input in = { data, size };
    enum insn_mode mode = (enum insn_mode)(take(&in, 1) % 3);
    bool write = take(&in, 1) & 1;
    u64 gpr[16];
    struct insn_cpu cpu = { gpr, 0x1000, 2 };
    struct insn insn, again;
    u8 *exact;
    int len;

    for (unsigned i = 0; i < 16; i++)
        gpr[i] = 0x0101010101010101ull * i + size;
    memory = 0x8899aabbccddeeffull;
    accesses = 0;
    exact = malloc(in.left ? in.left : 1);
    memcpy(exact, in.at, in.left);
    memset(&insn, 0, sizeof(insn));
    len = insn_decode(exact, in.left, mode, &insn);
    if (len > 0) {
        REQUIRE(len <= INSN_MAX_LEN && (size_t)len <= in.left && insn.len == len);
        memset(&again, 0, sizeof(again));
        REQUIRE(insn_decode(exact, (size_t)len, mode, &again) == len);
        REQUIRE(!memcmp(&insn, &again, sizeof(insn)));
        REQUIRE(insn_decode(exact, (size_t)len - 1, mode, &again) == INSN_NEED_MORE);
        (void)insn_linear(&insn, &cpu, bases, write);
        if (insn_matches(&insn, write) != INSN_MISMATCH)
            (void)!insn_exec(&insn, &cpu, write, &env);
    } else {
        REQUIRE(len == INSN_NEED_MORE || len == INSN_UNSUPPORTED || len == INSN_TOO_LONG);
        REQUIRE(len != INSN_NEED_MORE || in.left < INSN_MAX_LEN);
    }
    free(exact);
    return 0;
}
