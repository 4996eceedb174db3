/* SPDX-License-Identifier: Apache-2.0 */
/* The machine of pci_world.h with intr=strict. */
#ifndef TESTS_INTR_WORLD_H
#define TESTS_INTR_WORLD_H

#include "tests/unit/pci_world.h"
#include "hv/intr.h"

/* MSI at 0x90, 64 bits wide, up to four messages; MSI-X at 0xb0 with four entries at 0x800 of BAR 0. */
static void (*firmware_left)(void); /* messages in use */

static int set_up_strict(void **state)
{
    int err = set_up(state);

    options.iommu.strict = true;
    memset(&intr_lock, 0, sizeof(intr_lock)); /* who died in a test before may have held it */
    put(NIC, 0x60, 2, 0x9010, 0);
    put(NIC, 0x90, 2, 0xb005, 0);
    put(NIC, 0x92, 2, 0x0084, 0x71);
    put(NIC, 0x94, 4, 0, 0xfffffffc);
    put(NIC, 0x98, 4, 0, ~0u);
    put(NIC, 0x9c, 2, 0, 0xffff);
    put(NIC, 0xb0, 2, 0x0011, 0);
    put(NIC, 0xb2, 2, 3, 0xc000);
    put(NIC, 0xb4, 4, 0x800, 0);
    memset(messages, 0, sizeof(messages));
    memset(bar_page, 0, sizeof(bar_page));
    table_range = (struct mmio_range){ 0 };
    memset(hpet_page, 0, sizeof(hpet_page));
    memset(ioapic, 0, sizeof(ioapic));
    cannot_map = cannot_trap = false;
    nr_ioapics_listed = ioapic_offset = 0;
    hpet_page[0] = 2 << 8 | 1;
    hpet_page[0x120 / 4] = hpet_number == 7 ? 0 : BIT(15);
    hpet_handler = NULL;
    nr_messages = flushes = 0;
    messages_left = ARRAY_SIZE(messages);
    if (firmware_left)
        firmware_left();
    pci_scan();
    err |= pci_filter_init();
    intr_init();
    story[0] = 0;
    return err;
}

static int lenient(void **state)
{
    (void)state;
    options.iommu.strict = false;
    return 0;
}

static inline struct iommu_message *of_nic(void)
{
    bool full;

    return pci_function_get(0, 0x200, &full)->messages;
}

static inline u32 handle_of(unsigned i)
{
    return 0xfee0001c | (u32)(of_nic()[i].index & 0x7fff) << 5;
}

static inline u64 table_access(u32 off, unsigned width, bool write, u64 value)
{
    device_unlocked = false;
    value = table_range.handler(table_range.ctx, table_range.base + off, width, write, value, NULL);
    assert_false(device_unlocked);
    return value;
}

static inline u32 bar_u32(u32 off)
{
    u32 value;

    memcpy(&value, bar_page + off, 4);
    return value;
}

static inline u64 hpet_at(u32 off, unsigned width, bool write, u64 value)
{
    device_unlocked = false;
    value = hpet_handler(NULL, HPET + off, width, write, value, NULL);
    assert_false(device_unlocked);
    return value & MASK(8 * width - 1, 0);
}

#endif
