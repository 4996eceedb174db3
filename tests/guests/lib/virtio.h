/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As much of a virtio PCI device as it takes to start it: features, queues, notifications.
 */
#ifndef GUEST_VIRTIO_H
#define GUEST_VIRTIO_H

#include "arch/types.h"

/*
 * Starts the function with `features` and `queues` queues of 8 entries each, whose rings lie in one page each
 * at the I/O address `rings` and behind. False when the device does not take it.
 */
bool virtio_start(u32 sid, u64 features, u32 queues, u64 rings);
void virtio_notify(u32 queue);

#define VIRTIO_F_VERSION_1       BIT(32)
#define VIRTIO_F_ACCESS_PLATFORM BIT(33)

#endif
