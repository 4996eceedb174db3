/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a freestanding compiler may call, and the few string functions the hypervisor needs. On the host the
 * C library provides them.
 */
#ifndef ARCH_STRING_H
#define ARCH_STRING_H

#include <stddef.h>

void *memcpy(void *dst, const void *src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);

#endif
