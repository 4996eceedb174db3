/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image's own symbol table, written by tools/symbols. Sorted by offset.
 */
#ifndef ARCH_SYMBOLS_H
#define ARCH_SYMBOLS_H

#include "arch/types.h"

struct symbol {
    u32 offset; /* from IMAGE_VA */
    u32 name;   /* in symbol_names */
};

extern const u32 symbol_count;
extern const struct symbol symbol_table[];
extern const char symbol_names[];

#endif
