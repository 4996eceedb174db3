/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a virtio PCI device, version 1 of the specification (4.1.4).
 */
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/pci.h"
#include "tests/guests/lib/virtio.h"

#define CAP_VENDOR 0x09
#define CFG_COMMON 1
#define CFG_NOTIFY 2

/* Common configuration: offsets. */
enum {
    DEVICE_FEATURE_SELECT = 0x00,
    DEVICE_FEATURE = 0x04,
    DRIVER_FEATURE_SELECT = 0x08,
    DRIVER_FEATURE = 0x0c,
    DEVICE_STATUS = 0x14,
    QUEUE_SELECT = 0x16,
    QUEUE_SIZE = 0x18,
    QUEUE_ENABLE = 0x1c,
    QUEUE_NOTIFY_OFF = 0x1e,
    QUEUE_DESC = 0x20,
    QUEUE_DRIVER = 0x28,
    QUEUE_DEVICE = 0x30,
};

#define STATUS_ACKNOWLEDGE 1
#define STATUS_DRIVER      2
#define STATUS_DRIVER_OK   4
#define STATUS_FEATURES_OK 8

#define MAX_QUEUES 4

static u64 common, notify[MAX_QUEUES];

static void put8(u32 at, u8 v)
{
    *(volatile u8 *)(common + at) = v;
}

static void put16(u32 at, u16 v)
{
    *(volatile u16 *)(common + at) = v;
}

static void put64(u32 at, u64 v)
{
    mmio_write32(common + at, (u32)v);
    mmio_write32(common + at + 4, (u32)(v >> 32));
}

bool virtio_start(u32 sid, u64 features, u32 queues, u64 rings)
{
    u64 notify_base = 0;
    u32 multiplier = 0, cap = pci_read(sid, 0x34, 1);

    common = 0;
    for (u32 i = 0; cap && i < 48; i++) {
        u32 bar = pci_read(sid, cap + 4, 1), offset = pci_read(sid, cap + 8, 4);

        if (pci_read(sid, cap, 1) == CAP_VENDOR && pci_read(sid, cap + 3, 1) == CFG_COMMON) {
            common = pci_bar(sid, bar) + offset;
        } else if (pci_read(sid, cap, 1) == CAP_VENDOR && pci_read(sid, cap + 3, 1) == CFG_NOTIFY) {
            notify_base = pci_bar(sid, bar) + offset;
            multiplier = pci_read(sid, cap + 16, 4);
        }
        cap = pci_read(sid, cap + 1, 1);
    }
    if (!common || !notify_base || queues > MAX_QUEUES) {
        return false;
    }
    pci_write(sid, PCI_COMMAND, 2, pci_read(sid, PCI_COMMAND, 2) | PCI_COMMAND_MEM | PCI_COMMAND_BM);
    put8(DEVICE_STATUS, 0);
    put8(DEVICE_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    for (u32 half = 0; half < 2; half++) {
        mmio_write32(common + DRIVER_FEATURE_SELECT, half);
        mmio_write32(common + DRIVER_FEATURE, (u32)(features >> (32 * half)));
    }
    put8(DEVICE_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
    if (!(*(volatile u8 *)(common + DEVICE_STATUS) & STATUS_FEATURES_OK)) {
        return false;
    }
    for (u32 q = 0; q < queues; q++) {
        put16(QUEUE_SELECT, (u16)q);
        put16(QUEUE_SIZE, 8);
        put64(QUEUE_DESC, rings + q * PAGE_SIZE);
        put64(QUEUE_DRIVER, rings + q * PAGE_SIZE + 0x400);
        put64(QUEUE_DEVICE, rings + q * PAGE_SIZE + 0x800);
        notify[q] = notify_base + (u64)multiplier * *(volatile u16 *)(common + QUEUE_NOTIFY_OFF);
        put16(QUEUE_ENABLE, 1);
    }
    put8(DEVICE_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
    return true;
}

void virtio_notify(u32 queue)
{
    *(volatile u16 *)notify[queue] = (u16)queue;
}
