/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formatting for the log: the integer and string conversions of printf, nothing that needs a float or memory.
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

struct spec {
    bool left, zero, alt;
    int width;
    int precision; /* -1 = none */
    int longs;     /* 0 = int, 1 = long, 2 = long long; all but int are 64 bits here */
};

/* Wider is a mistake in the format, and width is what bounds the padding. */
#define MAX_WIDTH 128

static void put_number(struct out *o, const struct spec *s, u64 v, bool negative, unsigned base, bool upper)
{
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    const char *prefix = negative ? "-" : s->alt && base == 16 ? (upper ? "0X" : "0x") : "";
    char text[24];
    int len = 0, prefix_len = 0;

    do {
        text[len++] = digits[v % base];
        v /= base;
    } while (v);
    while (prefix[prefix_len])
        prefix_len++;

    int zeros = s->precision > len ? s->precision - len : 0;
    int fill = s->width - len - zeros - prefix_len;
    if (s->zero && !s->left && s->precision < 0 && fill > 0) {
        zeros = fill;
        fill = 0;
    }
    if (!s->left)
        pad(o, ' ', fill);
    for (int i = 0; i < prefix_len; i++)
        put(o, prefix[i]);
    pad(o, '0', zeros);
    while (len)
        put(o, text[--len]);
    if (s->left)
        pad(o, ' ', fill);
}

static void put_string(struct out *o, const struct spec *s, const char *text)
{
    int len = 0;

    if (!text)
        text = "(null)";
    while ((s->precision < 0 || len < s->precision) && text[len])
        len++;
    if (!s->left)
        pad(o, ' ', s->width - len);
    for (int i = 0; i < len; i++)
        put(o, text[i]);
    if (s->left)
        pad(o, ' ', s->width - len);
}

static const char *parse_count(const char *f, int *value)
{
    *value = 0;
    for (; *f >= '0' && *f <= '9'; f++)
        *value = MIN(*value * 10 + (*f - '0'), MAX_WIDTH);
    return f;
}

static const char *parse_spec(const char *f, struct spec *s)
{
    *s = (struct spec){ .precision = -1 };
    for (;; f++) {
        if (*f == '-')
            s->left = true;
        else if (*f == '0')
            s->zero = true;
        else if (*f == '#')
            s->alt = true;
        else
            break;
    }
    f = parse_count(f, &s->width);
    if (*f == '.')
        f = parse_count(f + 1, &s->precision);
    for (; *f == 'l' || *f == 'z'; f++)
        s->longs++;
    return f;
}

int fmt_vstring(char *buf, size_t size, const char *fmt, va_list args)
{
    struct out o = { .buf = buf, .size = size };
    va_list ap;
    struct spec s;

    va_copy(ap, args);
    for (const char *f = fmt; *f; f++) {
        if (*f != '%') {
            put(&o, *f);
            continue;
        }
        f = parse_spec(f + 1, &s);
        switch (*f) {
        case 'd':
        case 'i': {
            s64 v = s.longs ? va_arg(ap, s64) : va_arg(ap, int);
            put_number(&o, &s, v < 0 ? 0 - (u64)v : (u64)v, v < 0, 10, false);
            break;
        }
        case 'u':
        case 'x':
        case 'X': {
            u64 v = s.longs ? va_arg(ap, u64) : va_arg(ap, unsigned int);
            put_number(&o, &s, v, false, *f == 'u' ? 10 : 16, *f == 'X');
            break;
        }
        case 'p':
            s.alt = true;
            put_number(&o, &s, (uintptr_t)va_arg(ap, void *), false, 16, false);
            break;
        case 's':
            put_string(&o, &s, va_arg(ap, const char *));
            break;
        case 'c':
            s.precision = 1;
            put_string(&o, &s, (char[2]){ (char)va_arg(ap, int), 0 });
            break;
        case '%':
            put(&o, '%');
            break;
        default:
            /* Which argument would follow is unknown: show the rest as it is. */
            for (put(&o, '%'); *f; f++)
                put(&o, *f);
            f--;
            break;
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
