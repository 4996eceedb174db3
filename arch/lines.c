/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a line of the log is put together, for the hypervisor's console (log.c) and for firmware's
 * (boot/efi/firmware.c).
 */
#include "arch/log.h"
#include "arch/string.h"

static const char line_prefix[] = "sluice: ";

enum log_level log_threshold = LOG_INFO;

void console_line(const char *lead, const char *fmt, va_list args)
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
    console_write(line, len + 2);
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
