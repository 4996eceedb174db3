/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 32-bit guest that a multiboot loader starts: it tells what it was given, in the lines that the other
 * guests print, and checks what it can judge itself. Any loader that follows the specification will do.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;

#define COM1        0x3f8
#define BOOTED_BY_1 0x2badb002u
#define BOOTED_BY_2 0x36d76289u

void main(u32 magic, u32 info);

static unsigned passed, failed;
static volatile u32 data_segment = 0x12345678; /* loaded */
static volatile u32 zeroed[5000];              /* cleared */
static u32 ram_ranges, code_in_ram, other_ranges;

static void put(char c)
{
    uint8_t status = 0;

    for (unsigned i = 0; i < 1000000 && !(status & 0x20); i++) /* until the transmitter takes one more */
        __asm__ volatile("inb %1, %0" : "=a"(status) : "d"((uint16_t)(COM1 + 5)));
    __asm__ volatile("outb %0, %1" ::"a"(c), "d"((uint16_t)COM1));
}

static void text(const char *s)
{
    while (*s)
        put(*s++);
}

static void number(u64 n)
{
    text("0x");
    for (int shift = 60; shift >= 0; shift -= 4)
        put("0123456789abcdef"[n >> shift & 15]);
}

static void check(const char *name, bool ok)
{
    text("T: ");
    text(name);
    text(ok ? " ok\n" : " FAIL\n");
    *(ok ? &passed : &failed) += 1;
}

static void module(u32 start, u32 end, const char *string)
{
    u32 sum = 0;

    for (const u8 *p = (const u8 *)start; p < (const u8 *)end; p++)
        sum = sum * 31 + *p;
    text("I: module ");
    number(sum);
    text(",");
    number(end - start);
    text(",");
    text(string);
    text("\n");
    check("module-on-a-page", start % 4096 == 0);
}

static void range(u64 base, u64 size, u32 type)
{
    u64 here = (u64)(u32)&main;

    ram_ranges += type == 1;
    other_ranges += type != 1;
    code_in_ram += type == 1 && base <= here && here - base < size;
}

static void fact(const char *key, const char *value)
{
    text("I: ");
    text(key);
    text(" ");
    text(value);
    text("\n");
}

static void version_1(const u32 *info)
{
    const u32 *modules = (const u32 *)info[6];

    check("flags", (info[0] & 0x24d) == 0x24d);
    fact("cmdline", (const char *)info[4]);
    fact("loader", (const char *)info[16]);
    for (u32 i = 0; i < info[5]; i++)
        module(modules[4 * i], modules[4 * i + 1], (const char *)modules[4 * i + 2]);
    check("memory", info[1] >= 512 && info[1] <= 640 && info[2] > 4096);
    for (u32 at = info[12]; at < info[12] + info[11]; at += *(const u32 *)at + 4)
        range(*(const u64 *)(at + 4), *(const u64 *)(at + 12), *(const u32 *)(at + 20));
}

static void version_2(const u32 *info)
{
    const u8 *end = (const u8 *)info + info[0];
    const u32 *tag = info + 2;
    u32 seen = 0;

    for (; tag[0] && (const u8 *)tag < end; tag += (tag[1] + 7) / 8 * 2) {
        seen |= 1u << (tag[0] & 31);
        if (tag[0] == 1)
            fact("cmdline", (const char *)(tag + 2));
        else if (tag[0] == 2)
            fact("loader", (const char *)(tag + 2));
        else if (tag[0] == 3)
            module(tag[2], tag[3], (const char *)(tag + 4));
        else if (tag[0] == 4)
            check("memory", tag[2] >= 512 && tag[2] <= 640 && tag[3] > 4096);
        else if (tag[0] == 6)
            for (u32 at = 16; at < tag[1]; at += tag[2]) {
                const u8 *r = (const u8 *)tag + at;
                range(*(const u64 *)r, *(const u64 *)(r + 8), *(const u32 *)(r + 16));
            }
    }
    check("ends", tag[0] == 0 && tag[1] == 8 && (const u8 *)tag + 8 == end);
    check("tags", (seen & 0x56) == 0x56);
    check("rsdp", seen & (1u << 14 | 1u << 15));
}

void main(u32 magic, u32 info)
{
    u32 sum = 0;

    for (u32 i = 0; i < sizeof(zeroed) / sizeof(zeroed[0]); i++)
        sum |= zeroed[i];
    check("data", data_segment == 0x12345678);
    check("bss", !sum);
    check("magic", magic == BOOTED_BY_1 || magic == BOOTED_BY_2);
    check("information", info && info % (magic == BOOTED_BY_2 ? 8 : 4) == 0);
    if (magic == BOOTED_BY_2)
        version_2((const u32 *)info);
    else
        version_1((const u32 *)info);
    check("map", ram_ranges >= 2 && other_ranges && code_in_ram == 1);
    text("DONE ");
    put((char)('0' + passed / 10));
    put((char)('0' + passed % 10));
    text(" passed, ");
    put((char)('0' + failed % 10));
    text(" failed\n");
}
