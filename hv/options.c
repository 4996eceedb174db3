/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: one table, from which parsing and the list in the refusal are made.
 */
#include "hv/options.h"
#include "arch/log.h"
#include "arch/serial.h"
#include "arch/string.h"

#define WORD_MAX 64

struct options options = {
    .iommu = { .dtlb = DTLB_ALWAYS, .ats = ATS_LISTED, .wait_us = 1000 },
};

struct option {
    const char *name;
    const char *values; /* for people; with a number, all that there are, and it gets the place of the one */
    u32 *number;
    bool (*set)(const char *value); /* where there is no number */
};

/* Digits; *end is the first character after them. False: there are none. */
static bool number(const char *text, unsigned base, u64 *value, const char **end)
{
    *value = 0;
    for (*end = text;; (*end)++) {
        unsigned digit = 0;

        while (digit < base && "0123456789abcdef"[digit] != **end)
            digit++;
        if (digit == base)
            return *end != text;
        *value = MIN(*value * base + digit, BIT(33)); /* more would be refused as well */
    }
}

static bool set_memory(const char *value)
{
    static const char units[] = "KMG";
    const char *end;
    u64 bytes;

    if (!number(value, 10, &bytes, &end))
        return false;
    for (unsigned i = 0; units[i]; i++)
        if (*end == units[i] || *end == units[i] + ('a' - 'A')) {
            bytes <<= 10 * (i + 1);
            end++;
            break;
        }
    /* The region lies below 4 GiB. */
    if (*end || !bytes || bytes > BIT(32))
        return false;
    options.memory = align_up(bytes, SIZE_2M);
    return true;
}

static bool set_wait(const char *value)
{
    const char *end;
    u64 us;

    if (!number(value, 10, &us, &end) || *end || us > 1000000)
        return false;
    options.iommu.wait_us = (u32)us;
    return true;
}

/* The place of `value` in a list like "on|off". False: it is not there. */
static bool choose(const char *value, const char *values, u32 *place)
{
    for (*place = 0; *values; (*place)++) {
        const char *v = value;

        for (; *v && *v != '|' && *v == *values; v++)
            values++;
        if (!*v && (!*values || *values == '|'))
            return true;
        while (*values && *values++ != '|')
            ;
    }
    return false;
}

/* Bits of ECAP that revision 5.10 of the specification leaves reserved. */
#define HINTS "5|18|19|24|27|28|32|54|63"

static bool set_dtlb_hint(const char *value)
{
    const char *end;
    u32 place;
    u64 bit;

    if (!choose(value, HINTS, &place) || !number(value, 10, &bit, &end))
        return false;
    options.iommu.dtlb_hint = (u8)bit;
    return true;
}

/* A port as 0x2f8, or none. Takes effect at once, so that the rest of the boot is seen. */
static bool set_serial(const char *value)
{
    const char *end;
    u64 port = 0;

    bool is_port = !strncmp(value, "0x", 2) && number(value + 2, 16, &port, &end) && !*end && port >= 0x100 &&
                   port <= 0xfff8;

    if (!is_port && strcmp(value, "none") != 0)
        return false;
    serial_use((u16)port);
    return true;
}

#define OPTIONS(X)                                                \
    X("mem", "SIZE[K|M|G]", NULL, set_memory)                     \
    X("iommu", "on|off", &options.iommu_off, NULL)                \
    X("dtlb", "always|guest|cm", &options.iommu.dtlb, NULL)       \
    X("ats", "off|listed|all", &options.iommu.ats, NULL)          \
    X("firststage", "nested|direct", &options.iommu.direct, NULL) \
    X("cm", "on|off", &options.iommu.no_caching_mode, NULL)       \
    X("intr", "guest|strict", &options.iommu.strict, NULL)        \
    X("dtlb-hint", HINTS, NULL, set_dtlb_hint)                    \
    X("wait", "MICROSECONDS", NULL, set_wait)                     \
    X("serial", "0xPORT|none", NULL, set_serial)                  \
    X("loglevel", "err|warn|info|debug", &log_threshold, NULL)    \
    X("on-shutdown", "reset|halt", &options.shutdown_halt, NULL)

#define ROW(name, values, number, set)  { name, values, number, set },
#define TEXT(name, values, number, set) " " name "=" values
static const struct option table[] = { OPTIONS(ROW) };
static const char known[] = OPTIONS(TEXT);

static void apply(char *word)
{
    char *value = word;

    while (*value && *value != '=')
        value++;
    if (*value)
        *value++ = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
        const struct option *o = &table[i];
        u32 place = 0;

        if (strcmp(word, o->name) != 0)
            continue;
        if (!(o->set ? o->set(value) : choose(value, o->values, &place)))
            refuse("option %s does not take '%s'; write %s=%s", o->name, value, o->name, o->values);
        if (o->number)
            *o->number = place;
        return;
    }
    refuse("unknown option '%s'; known are:%s", word, known);
}

void options_parse(const char *cmdline)
{
    const char *p = cmdline;

    while (*p) {
        char word[WORD_MAX];
        size_t len = 0;

        while (*p == ' ' || *p == '\t')
            p++;
        const char *start = p;
        while (*p && *p != ' ' && *p != '\t') {
            if (len < sizeof(word) - 1)
                word[len++] = *p;
            p++;
        }
        word[len] = 0;
        /* Some loaders pass the image's own path as the first word. */
        if (!len || (start == cmdline && word[0] == '/'))
            continue;
        if (start + len != p)
            refuse("option '%s...' is too long", word);
        apply(word);
    }
    if (options.iommu.dtlb_hint && options.iommu.dtlb != DTLB_ALWAYS)
        refuse(
            "dtlb-hint tells the guest that device-TLB flushes are implied, which is so only with dtlb=always");
    if (options.iommu.strict && options.iommu_off)
        refuse("intr=strict needs the VT-d units, which iommu=off leaves alone");
}

void options_warn(void)
{
    if (options.iommu_off) {
        log_warn(
            "UNSAFE       iommu=off: no device is contained, each can read and write all memory, Sluice's "
            "included; for trying the CPU's side only");
        return;
    }
    if (options.iommu.dtlb != DTLB_ALWAYS)
        log_warn("UNSAFE       dtlb=%s: devices may go on using memory that the guest has freed; "
                 "for measuring only",
                 options.iommu.dtlb == DTLB_CM ? "cm" : "guest");
    if (options.iommu.direct)
        log_warn(
            "UNSAFE       firststage=direct: devices that the guest gives first-stage tables can read and "
            "write all memory, Sluice's included, where the unit cannot nest; for research only");
    if (options.iommu.ats == ATS_ALL)
        log_warn("UNSAFE       ats=all: every device is trusted to use only translations it was given");
}
