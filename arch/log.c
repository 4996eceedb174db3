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
#include "arch/vcpu.h"

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

void console_write(const char *line, size_t len)
{
    console_lock_take();
    log_ring_add(line, len);
    screen_write(line, len);
    serial_write(line, len);
    spin_unlock(&console_lock);
}

#define BUCKET_BURST  10
#define BUCKET_REFILL 1000000

bool log_limited(struct log_bucket *bucket)
{
    static struct spinlock lock;
    u32 suppressed = 0;

    spin_lock(&lock);
    u64 now = clock_us(), full = MAX(bucket->full_us, now);
    bool silent = full - now > (BUCKET_BURST - 1) * BUCKET_REFILL;
    if (silent) {
        bucket->suppressed++;
    } else {
        bucket->full_us = full + BUCKET_REFILL;
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
