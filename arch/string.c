/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory and string functions. Each is written so that the compiler cannot turn it into a call to itself.
 */
#include "arch/string.h"
#include "arch/types.h"

void *memcpy(void *dst, const void *src, size_t n)
{
    void *d = dst;
    size_t words = n / 8, bytes = n % 8;

    __asm__ volatile("rep movsq" : "+D"(d), "+S"(src), "+c"(words)::"memory");
    __asm__ volatile("rep movsb" : "+D"(d), "+S"(src), "+c"(bytes)::"memory");
    return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
    if ((uintptr_t)dst - (uintptr_t)src >= n)
        return memcpy(dst, src, n);

    /* dst lies inside the source: from the end, what is left over from whole words first. */
    u8 *d = (u8 *)dst + n - 1;
    const u8 *s = (const u8 *)src + n - 1;
    size_t words = n / 8, bytes = n % 8;
    __asm__ volatile("std\n\t"
                     "rep movsb\n\t"
                     "subq $7, %0\n\t"
                     "subq $7, %1\n\t"
                     "movq %3, %2\n\t"
                     "rep movsq\n\t"
                     "cld"
                     : "+D"(d), "+S"(s), "+c"(bytes)
                     : "r"(words)
                     : "memory");
    return dst;
}

void *memset(void *dst, int c, size_t n)
{
    void *d = dst;
    u64 pattern = 0x0101010101010101ull * (u8)c;
    size_t words = n / 8, bytes = n % 8;

    __asm__ volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(pattern) : "memory");
    __asm__ volatile("rep stosb" : "+D"(d), "+c"(bytes) : "a"(pattern) : "memory");
    return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const u8 *x = a, *y = b;

    for (size_t i = 0; i < n; i++)
        if (x[i] != y[i])
            return x[i] - y[i];
    return 0;
}

size_t strlen(const char *s)
{
    size_t n = 0;

    for (; s[n]; n++)
        __asm__ volatile(""); /* else this loop is recognised as strlen() */
    return n;
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, (size_t)-1);
}

int strncmp(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (a[i] != b[i])
            return (u8)a[i] - (u8)b[i];
        if (!a[i])
            break;
    }
    return 0;
}
