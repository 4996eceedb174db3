/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `edu` device: a DMA engine with a 4 KiB buffer of its own. A transfer takes 100 ms of the emulator's
 * time.
 */
#ifndef GUEST_EDU_H
#define GUEST_EDU_H

#include "arch/types.h"

/* Finds the `nth` edu and lets it do DMA. False when there is none. `sid` gets its requester id. */
bool edu_find(u32 nth, u32 *sid);
void edu_use(u32 nth); /* the one that the transfers below use; 0 at first */

/* Memory at `address`, as the device sees it, to the device's buffer; and the other way. False on no answer.
 */
bool edu_dma_from(u64 address, u32 bytes);
bool edu_dma_to(u64 address, u32 bytes);
/* From memory to the other half of the buffer: what edu_dma_to() writes stays. */
bool edu_dma_aside(u64 address, u32 bytes);

/* What this processor does while the device is busy; it spins when there is nothing. */
extern void (*edu_meanwhile)(void);

#endif
