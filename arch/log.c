/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines on the console, and the two ways to stop: refuse() before the guest runs, panic() at any time.
 */
#include "arch/log.h"
#include "arch/cpu.h"
#include "arch/except.h"
#include "arch/logring.h"
#include "arch/screen.h"
#include "arch/serial.h"
#include "arch/string.h"
#include "arch/vcpu.h"

#define LINE_MAX 512
static const char line_prefix[] = "sluice: ";

enum log_level log_threshold = LOG_INFO;

static struct spinlock console_lock;

/* A CPU that died while it held the lock must not silence the others: after this many tries, go on. */
#define LOCK_TRIES 10000000

static void console_lock_take(void)
{
    for (unsigned tries = LOCK_TRIES; tries && __atomic_exchange_n(&console_lock.taken, 1, __ATOMIC_ACQUIRE);
         tries--)
        cpu_pause();
}

size_t log_read(u64 *at, char *to, size_t room)
{
    console_lock_take();
    size_t n = log_ring_read(at, to, room);
    spin_unlock(&console_lock);
    return n;
}

static void console_line(const char *lead, const char *fmt, va_list args)
{
    char line[LINE_MAX];
    size_t room = sizeof(line) - 2; /* for the line's end */
    size_t len = sizeof(line_prefix) - 1;

    memcpy(line, line_prefix, len);
    len += (size_t)fmt_string(line + len, room - len, "%s", lead);
    len += (size_t)fmt_vstring(line + len, room - len, fmt, args);
    if (len >= room) {
        len = room - 1;
        memcpy(line + len - 3, "...", 3);
    }
    memcpy(line + len, "\r\n", 2);

    console_lock_take();
    log_ring_add(line, len + 2);
    screen_write(line, len + 2);
    serial_write(line, len + 2);
    spin_unlock(&console_lock);
}

void log_vline(enum log_level level, const char *fmt, va_list args)
{
    if (level <= log_threshold)
        console_line("", fmt, args);
}

void log_line(enum log_level level, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    log_vline(level, fmt, args);
    va_end(args);
}

#define BUCKET_BURST 10

bool log_limited(struct log_bucket *bucket)
{
    static struct spinlock lock;
    u32 suppressed = 0;
    bool silent = false;

    spin_lock(&lock);
    u64 now = clock_us(), refill = (now - bucket->last_us) / 1000000;
    if (!bucket->last_us && !bucket->tokens && !bucket->suppressed) {
        bucket->tokens = BUCKET_BURST;
        bucket->last_us = now | 1; /* 0 means never used */
    } else if (refill) {
        bucket->tokens = (u32)MIN(bucket->tokens + refill, BUCKET_BURST);
        bucket->last_us = now | 1;
    }
    if (!bucket->tokens) {
        bucket->suppressed++;
        silent = true;
    } else {
        bucket->tokens--;
        suppressed = bucket->suppressed;
        bucket->suppressed = 0;
    }
    spin_unlock(&lock);
    if (suppressed)
        log_warn("(%u lines like the next one were left out)", suppressed);
    return silent;
}

#define READING_TIME_US 10000000
#define DELAY_PORT      0x80

bool refuse_resets;

void refuse(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    console_line("cannot start: ", fmt, args);
    va_end(args);
    if (refuse_resets) {
        /* Long enough to be read; a read of this port takes about a microsecond on every machine. */
        for (unsigned i = 0; i < READING_TIME_US; i++)
            (void)inb(DELAY_PORT);
        machine_reset();
    }
    cpu_halt_forever();
}

/* The CPU that reports, plus one; only one does. */
static u32 panicking;
void (*panic_more)(void);

void vpanic(const struct regs *regs, const char *fmt, va_list args)
{
    u32 self = except_fix_percpu()->index + 1, owner = 0;

    if (!__atomic_compare_exchange_n(&panicking, &owner, self, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
        if (owner == self)
            console_line("panic inside the report: ", fmt, args);
        cpu_halt_forever();
    }
    vcpu_stop_others();
    screen_ours(true);
    console_line("panic: ", fmt, args);
    if (regs)
        except_dump(regs);
    except_backtrace(regs);
    if (panic_more)
        panic_more();
}

void panic(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vpanic(NULL, fmt, args);
    va_end(args);
    log_err("CPU %u halted", this_cpu()->index);
    cpu_halt_forever();
}
