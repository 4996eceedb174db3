/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formatting for the log: what is used of printf, which needs neither floats nor memory.
 */
#include "arch/log.h"

struct out {
    char *buf;
    size_t size;
    size_t len; /* as if the buffer were endless */
};

static void put(struct out *o, char c)
{
    if (o->len + 1 < o->size)
        o->buf[o->len] = c;
    o->len++;
}

static void pad(struct out *o, char c, int n)
{
    for (; n > 0; n--)
        put(o, c);
}

/* Wider is a mistake in the format, and width is what bounds the padding. */
#define MAX_WIDTH 128

static void put_number(struct out *o, u64 v, bool negative, unsigned base, int width, char fill)
{
    char text[24];
    int len = 0;

    do {
        text[len++] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v);
    if (negative)
        text[len++] = '-';
    pad(o, fill, width - len);
    while (len)
        put(o, text[--len]);
}

static void put_string(struct out *o, const char *text, int width, int precision)
{
    int len = 0;

    if (!text)
        text = "(null)";
    while ((precision < 0 || len < precision) && text[len])
        len++;
    pad(o, ' ', width - len);
    for (int i = 0; i < len; i++)
        put(o, text[i]);
}

static const char *parse_count(const char *f, int *value)
{
    *value = 0;
    for (; *f >= '0' && *f <= '9'; f++)
        *value = MIN(*value * 10 + (*f - '0'), MAX_WIDTH);
    return f;
}

int fmt_vstring(char *buf, size_t size, const char *fmt, va_list args)
{
    struct out o = { .buf = buf, .size = size };
    va_list ap;

    va_copy(ap, args);
    for (const char *f = fmt; *f; f++) {
        if (*f != '%') {
            put(&o, *f);
            continue;
        }
        char fill = *++f == '0' ? '0' : ' ';
        int width, precision = -1;
        bool wide = false; /* all but int are 64 bits here */

        f = parse_count(f, &width);
        if (*f == '.')
            f = parse_count(f + 1, &precision);
        for (; *f == 'l' || *f == 'z'; f++)
            wide = true;
        if (*f == 'd') {
            s64 v = wide ? va_arg(ap, s64) : va_arg(ap, int);
            put_number(&o, v < 0 ? 0 - (u64)v : (u64)v, v < 0, 10, width, fill);
        } else if (*f == 'u' || *f == 'x') {
            u64 v = wide ? va_arg(ap, u64) : va_arg(ap, unsigned int);
            put_number(&o, v, false, *f == 'u' ? 10 : 16, width, fill);
        } else if (*f == 's') {
            put_string(&o, va_arg(ap, const char *), width, precision);
        } else if (*f == '%') {
            put(&o, '%');
        } else {
            /* Which argument would follow is unknown: show the rest as it is. */
            for (put(&o, '%'); *f; f++)
                put(&o, *f);
            f--;
        }
    }
    va_end(ap);
    if (size)
        buf[MIN(o.len, size - 1)] = 0;
    return (int)o.len;
}

int fmt_string(char *buf, size_t size, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int len = fmt_vstring(buf, size, fmt, args);
    va_end(args);
    return len;
}
