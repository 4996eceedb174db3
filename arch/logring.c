/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log in memory. What is found at boot may be anything: only the header is believed, and of the text only
 * what can be printed is shown.
 */
#include "arch/logring.h"
#include "arch/cpu.h"
#include "arch/serial.h"
#include "arch/string.h"

#define MAGIC      0x474f4c4543494c53ull /* "SLICELOG" */
#define SHOWN      4096                  /* a third of a second at 115200 */
#define EARLY      4096
#define CACHE_LINE 64

struct ring {
    u64 magic;
    u64 written; /* bytes since the boot; position = modulo the text's size */
    u64 check;   /* ~written: half a header is no header */
    char text[LOG_RING_SIZE - 24];
};
_Static_assert(sizeof(struct ring) == LOG_RING_SIZE, "log ring");

static struct ring *ring;
static char early[EARLY];
static size_t nr_early;

/* A reset drops what only the cache holds. */
static void write_back(const void *at, size_t len)
{
    u64 line = align_down((u64)at, CACHE_LINE);

    for (; line < (u64)at + len; line += CACHE_LINE)
        cpu_flush_line(line);
}

void log_ring_add(const char *text, size_t len)
{
    if (!ring) {
        size_t n = MIN(len, EARLY - nr_early);

        memcpy(early + nr_early, text, n);
        nr_early += n;
        return;
    }
    for (size_t i = 0; i < len; i++) {
        char *to = &ring->text[(ring->written + i) % sizeof(ring->text)];

        *to = text[i];
        if (i == len - 1 || !((u64)(to + 1) % CACHE_LINE))
            write_back(to, 1);
    }
    ring->written += len;
    ring->check = ~ring->written;
    write_back(ring, 24);
}

size_t log_ring_read(u64 *at, char *to, size_t room)
{
    u64 end = ring ? ring->written : 0;
    u64 oldest = end - MIN(end, sizeof(ring->text));
    size_t n = 0;

    if (*at < oldest || *at > end)
        *at = oldest;
    for (; *at < end && n < room; (*at)++)
        to[n++] = ring->text[*at % sizeof(ring->text)];
    return n;
}

static void show_line(const char *line, size_t len)
{
    static const char lead[] = "sluice: before: ";

    serial_write(lead, sizeof(lead) - 1);
    serial_write(line, len);
    serial_write("\r\n", 2);
}

/* The last SHOWN bytes, from the first whole line on. */
static void show(const struct ring *old)
{
    static char text[SHOWN];
    size_t n = (size_t)MIN(old->written, MIN(SHOWN, sizeof(old->text))), start = 0;
    u64 from = old->written - n;

    for (size_t i = 0; i < n; i++) {
        char c = old->text[(from + i) % sizeof(old->text)];
        text[i] = c == '\n' || (c >= ' ' && c <= '~') ? c : ' ';
    }
    for (; from && start < n && text[start] != '\n'; start++)
        ;
    for (size_t i = start; i < n; i++) {
        if (text[i] != '\n')
            continue;
        size_t end = i;
        while (end > start && text[end - 1] == ' ')
            end--;
        if (end > start)
            show_line(text + start, end - start);
        start = i + 1;
    }
}

void log_ring_attach(void *memory)
{
    struct ring *found = memory;

    if (found->magic == MAGIC && found->written && found->check == ~found->written)
        show(found);
    found->magic = MAGIC;
    found->written = 0;
    ring = found;
    log_ring_add(early, nr_early);
}
