/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which register writes put the machine to sleep, and which of them may go through.
 */
#ifndef HV_SLEEP_H
#define HV_SLEEP_H

#include "arch/types.h"

enum sleep_space { SLEEP_MEMORY = 0, SLEEP_IO = 1 }; /* as ACPI numbers them */

struct sleep_register {
    enum sleep_space space;
    u64 address;
    u8 byte;    /* of the register: the one that holds SLP_EN (0x20) and SLP_TYP (0x1c) */
    u8 element; /* of \_S5's package */
};

enum sleep_verdict { SLEEP_NOTHING, SLEEP_OFF, SLEEP_REFUSED };

/* Reads FADT and DSDT. Returns how many registers there are. */
unsigned sleep_init(void);
const struct sleep_register *sleep_register_at(unsigned i);
bool sleep_can_switch_off(void); /* does firmware say how? */

/* Judges a write of `width` bytes. Where it starts a transition, *type is its SLP_TYP; a refused one is taken
 * out of *value, and the rest of the write may go on. */
enum sleep_verdict sleep_judge(enum sleep_space space, u64 address, unsigned width, u64 *value, u8 *type);

#endif
