/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console at COM1 and the line protocol that the harness reads.
 */
#include <stdarg.h>
#include "tests/guests/lib/guest.h"

#define COM1     0x3f8
#define COM1_LSR (COM1 + 5)
#define LSR_THRE 0x20

#define FW_CFG_SELECT 0x510
#define PART_BASE     0x3000 /* far above the items that exist; 0x4000 and 0x8000 have a meaning */

static u32 passed, failed;

/* When set, characters go here instead of to the UART. */
static char *sink;
static u32 sink_left;
static char part_name[64];

static void put(char c)
{
    if (sink) {
        if (sink_left > 1) {
            *sink++ = c;
            *sink = 0;
            sink_left--;
        }
        return;
    }
    /* Bounded: a machine without a UART reads ones here. */
    for (u32 i = 0; i < 100000 && !(inb(COM1_LSR) & LSR_THRE); i++) {
        relax();
    }
    outb(COM1, (u8)c);
}

static void put_number(u64 v, u32 base, u32 width, bool zeros)
{
    char digits[24];
    u32 n = 0;

    do {
        digits[n++] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v);
    for (u32 i = n; i < width; i++) {
        put(zeros ? '0' : ' ');
    }
    while (n) {
        put(digits[--n]);
    }
}

static void vprint(const char *fmt, va_list args)
{
    for (; *fmt; fmt++) {
        bool zeros = false, wide = false;
        u32 width = 0;

        if (*fmt == '\n') {
            put('\r');
        }
        if (*fmt != '%') {
            put(*fmt);
            continue;
        }
        fmt++;
        zeros = *fmt == '0';
        for (; *fmt >= '0' && *fmt <= '9'; fmt++) {
            width = width * 10 + (u32)(*fmt - '0');
        }
        for (; *fmt == 'l'; fmt++) {
            wide = true;
        }
        switch (*fmt) {
        case 's':
            for (const char *s = va_arg(args, const char *); *s; s++) {
                put(*s);
            }
            break;
        case 'c':
            put((char)va_arg(args, int));
            break;
        case 'd': {
            s64 v = wide ? va_arg(args, s64) : va_arg(args, int);

            if (v < 0) {
                put('-');
            }
            put_number(v < 0 ? 0 - (u64)v : (u64)v, 10, width, zeros);
            break;
        }
        case 'u':
            put_number(wide ? va_arg(args, u64) : va_arg(args, u32), 10, width, zeros);
            break;
        case 'x':
            put_number(wide ? va_arg(args, u64) : va_arg(args, u32), 16, width, zeros);
            break;
        default:
            put(*fmt);
            break;
        }
    }
}

void print(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vprint(fmt, args);
    va_end(args);
}

void check(const char *name, bool ok, const char *fmt, ...)
{
    va_list args;

    print("T: %s%s%s ", part_name, *part_name ? ": " : "", name);
    if (ok) {
        passed++;
        print("ok\n");
        return;
    }
    failed++;
    print("FAIL ");
    va_start(args, fmt);
    vprint(fmt, args);
    va_end(args);
    print("\n");
}

void part(const char *fmt, ...)
{
    static u16 number;
    va_list args;

    part_name[0] = 0;
    sink = part_name;
    sink_left = sizeof(part_name);
    va_start(args, fmt);
    vprint(fmt, args);
    va_end(args);
    sink = NULL;
    print("M: %u %s\n", number, part_name);
    outw(FW_CFG_SELECT, (u16)(PART_BASE | (number & 0xfff)));
    number++;
}

void skip(const char *name, const char *why)
{
    print("T: %s%s%s skip %s\n", part_name, *part_name ? ": " : "", name, why);
}

void done(void)
{
    print("DONE %u passed, %u failed\n", passed, failed);
    power_off();
}
