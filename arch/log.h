/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console and the log. Each line begins with "sluice: ". Never called on a hot path: the callers
 * rate-limit what a guest can cause (see log_limited()).
 */
#ifndef ARCH_LOG_H
#define ARCH_LOG_H

#include "arch/types.h"
#include <stdarg.h>

enum log_level { LOG_ERR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Set by the command line (loglevel=err|warn|info|debug); info at start. */
extern enum log_level log_threshold;

/* %s %d %u %x with l/ll/z and width, 0 before the width of what is not negative, %.4s. One call is one line;
 * no newline in fmt. */
void log_line(enum log_level level, const char *fmt, ...) __printf(2, 3);
void log_vline(enum log_level level, const char *fmt, va_list args);

/* A line at once, whatever the level: "sluice: ", `lead`, and the rest. It goes out by console_write(). */
#define LINE_MAX 512
void console_line(const char *lead, const char *fmt, va_list args);
void console_write(const char *line, size_t len);

int fmt_string(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);
int fmt_vstring(char *buf, size_t size, const char *fmt, va_list args);

#define log_err(...)   log_line(LOG_ERR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

/*
 * A token bucket for what a guest or a device can cause: at most `burst` lines, refilled one per second;
 * the number of suppressed lines is told with the next line let through.
 */
struct log_bucket {
    u32 suppressed;
    u64 full_us; /* when it will be full again: each line lets it last a second longer */
};
bool log_limited(struct log_bucket *bucket); /* true: say nothing now */

/* A line with a bucket of its own. */
#define log_rated(level, ...)                 \
    do {                                      \
        static struct log_bucket log_bucket_; \
        if (!log_limited(&log_bucket_))       \
            log_line(level, __VA_ARGS__);     \
    } while (0)

/* What was said from character *at on, which moves on to the next; what is too old is left out. */
size_t log_read(u64 *at, char *to, size_t room);

/* A machine that boots from firmware must not be left dead: refuse() then resets it, after ten seconds. */
extern bool refuse_resets;

/* "sluice: cannot start: <what is wrong>; <what to do>", then back to the boot manager where there is one,
 * else halt. */
void refuse(const char *fmt, ...) __printf(1, 2) __noreturn;

/* Sluice itself is broken: one report with a backtrace, then stop (machine reset after a machine check). */
extern void (*panic_more)(void); /* what hv/ adds to the report; NULL at first */
void panic(const char *fmt, ...) __printf(1, 2) __noreturn;
#define ASSERT(cond)                                       \
    do {                                                   \
        if (!(cond))                                       \
            panic("%s:%d: %s", __FILE__, __LINE__, #cond); \
    } while (0)

#endif
