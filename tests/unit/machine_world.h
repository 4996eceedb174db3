/* SPDX-License-Identifier: Apache-2.0 */
/* What files of hv/ do to a machine, as one line of text: ports, the log, and how it ends. */
#ifndef TESTS_MACHINE_WORLD_H
#define TESTS_MACHINE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "arch/cpu.h"
#include "arch/log.h"

static char story[4096];

static inline void tell(const char *fmt, ...)
{
    size_t used = strlen(story);
    va_list args;

    va_start(args, fmt);
    vsnprintf(story + used, sizeof(story) - used, fmt, args);
    va_end(args);
}

/* What has happened since the last time. */
#define assert_story(want)                \
    do {                                  \
        assert_string_equal(story, want); \
        story[0] = 0;                     \
    } while (0)

/* ---- ports: "w1:64=fe " is a write of one byte; each byte read is what stands here ---- */

static u8 port_bytes[0x10000 + 4];
static u8 (*port_next)(void); /* where set, one byte after the other */

u32 port_in(u16 port, unsigned width)
{
    u32 value = 0;

    memcpy(&value, port_bytes + port, width);
    if (port_next)
        value = port_next();
    tell("r%u:%x ", width, port);
    return value;
}

void port_out(u16 port, unsigned width, u32 value)
{
    tell("w%u:%x=%x ", width, port, value);
}

/* ---- the log, and what does not come back ---- */

static unsigned log_lines;
static bool log_full;
static char last_line[512];
static char whole_log[8192];
static jmp_buf machine_ends;

/* Is this something that does not come back? */
#define ends(what) (setjmp(machine_ends) ? true : ((what), false))

void log_line(enum log_level level, const char *fmt, ...)
{
    va_list args;

    (void)level;
    va_start(args, fmt);
    vsnprintf(last_line, sizeof(last_line), fmt, args);
    va_end(args);
    snprintf(whole_log + strlen(whole_log), sizeof(whole_log) - strlen(whole_log), "%s\n", last_line);
    log_lines++;
}

static inline bool said(const char *text)
{
    return strstr(whole_log, text) != NULL;
}

bool log_limited(struct log_bucket *bucket)
{
    (void)bucket;
    return log_full;
}

static inline void __noreturn end(const char *how)
{
    tell("%s ", how);
    longjmp(machine_ends, 1);
}

void refuse(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(last_line, sizeof(last_line), fmt, args);
    va_end(args);
    end("refused");
}

void panic(const char *fmt, ...)
{
    (void)fmt;
    end("panic");
}

void machine_reset(void)
{
    end("reset");
}

void cpu_halt_forever(void)
{
    end("halted");
}

static inline int machine_set_up(void **state)
{
    (void)state;
    story[0] = last_line[0] = whole_log[0] = 0;
    log_lines = 0;
    log_full = false;
    memset(port_bytes, 0xff, sizeof(port_bytes));
    port_next = NULL;
    return 0;
}

#endif
