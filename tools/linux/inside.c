/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads Sluice's log, trace and counters from within the guest, by hypercall (docs/hypercalls.md). Statically
 * linked, for any Linux, as root; tools/inside.py turns what it prints into pictures or readable text.
 *
 * usage: inside log | counters | trace | follow      (follow: the trace, until interrupted)
 */
#include <cpuid.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/io.h>
#include <time.h>

enum { VERSION, CLOCK, TRACE, COUNTERS, LOG = 5 };
enum { GUEST, HOST, DONE, UNIT = 16, DOMAIN, FUNCTION };
#define ROOM        32
#define GATE        0xcf8 /* who may use this port may ask */
#define NOT_ALLOWED "inside: not allowed; only root may ask\n"

struct record {
    uint64_t time, lo, hi;
    uint32_t batch;
    uint16_t id;
    uint8_t unit, what;
};

static int intel;

static int64_t hypercall(uint64_t call, uint64_t unit, void *to, uint64_t room, uint64_t *at)
{
    uint64_t rax = call, rdx = at ? *at : 0;

    /* The CPU's vendor decides which of the two exists. */
    if (intel)
        __asm__ volatile("vmcall" : "+a"(rax), "+d"(rdx) : "D"(unit), "S"(to), "c"(room) : "memory");
    else
        __asm__ volatile("vmmcall" : "+a"(rax), "+d"(rdx) : "D"(unit), "S"(to), "c"(room) : "memory");
    if (at)
        *at = rdx;
    return (int64_t)rax;
}

static int on_sluice(void)
{
    unsigned a, b, c, d;
    char name[13] = "";

    __cpuid(0, a, b, c, d);
    intel = b == 0x756e6547; /* "Genu" */
    __cpuid(0x40000000, a, b, c, d);
    memcpy(name, &b, 4);
    memcpy(name + 4, &c, 4);
    memcpy(name + 8, &d, 4);
    return !strcmp(name, "SluiceSluice");
}

static void show(const struct record *r)
{
    static const char *const who[] = { "guest", "host", "done" };
    static const char *const kind[] = { "",     "cc",     "iotlb", "dtlb",  "iec",
                                        "wait", "piotlb", "pasid", "pdtlb", "page" };

    if (r->what <= DONE)
        printf("trace unit=%u time=%llu batch=%u %s %llx:%llx\n", r->unit, (unsigned long long)r->time,
               r->batch, who[r->what], (unsigned long long)r->hi, (unsigned long long)r->lo);
    else if (r->what == UNIT && r->id < sizeof(kind) / sizeof(kind[0]))
        printf("count unit=%u kind=%s", r->unit, kind[r->id]);
    else if (r->what == DOMAIN)
        printf("count unit=%u domain=%u guest-domain=%u", r->unit, r->id, r->batch);
    else if (r->what == FUNCTION)
        printf("count unit=%u function=%02x:%02x.%x", r->unit, r->id >> 8, r->id >> 3 & 31, r->id & 7);
    else
        return;
    if (r->what > DONE)
        printf(" guest=%llu host=%llu\n", (unsigned long long)r->lo, (unsigned long long)r->hi);
}

/* All there is of one unit from *at on. False: there is no such unit, or we may not know. */
static int drain(unsigned call, unsigned unit, uint64_t *at)
{
    static struct record records[ROOM];

    for (;;) {
        uint64_t before = *at;
        int64_t n = hypercall(call, unit, records, ROOM, at);

        if (n == -EPERM)
            fprintf(stderr, NOT_ALLOWED);
        if (n < 0)
            return 0;
        for (int64_t i = 0; i < n; i++)
            show(&records[i]);
        if (!n && *at == before)
            return 1;
    }
}

static int show_log(void)
{
    char text[512] = "";
    uint64_t at = 0;
    int64_t n;

    while ((n = hypercall(LOG, 0, text, sizeof(text), &at)) > 0)
        fwrite(text, 1, (size_t)n, stdout);
    if (n == -EPERM)
        fprintf(stderr, NOT_ALLOWED);
    return n ? 1 : 0;
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";
    int follow = !strcmp(what, "follow");
    unsigned call = strcmp(what, "counters") ? TRACE : COUNTERS;
    uint64_t at[16] = { 0 };
    unsigned units;

    if (call == TRACE && strcmp(what, "trace") && strcmp(what, "log") && !follow) {
        fprintf(stderr, "usage: inside log | counters | trace | follow\n");
        return 2;
    }
    if (!on_sluice()) {
        fprintf(stderr, "inside: this machine does not run on Sluice\n");
        return 1;
    }
    if (ioperm(GATE, 1, 1)) {
        /* The hypercall will say so. */
    }
    if (!strcmp(what, "log"))
        return show_log();
    printf("clock ticks-per-us=%lld\n", (long long)hypercall(CLOCK, 0, NULL, 0, NULL));
    do {
        for (units = 0; units < 16 && drain(call, units, &at[units]); units++) {
        }
        fflush(stdout);
        if (follow)
            nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    } while (follow && units);
    return units ? 0 : 1;
}
