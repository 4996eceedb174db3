/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doors to memory that only QEMU's machines have: registers by which its processors may have any address read
 * and written, past every unit and past nested paging. The DMA of fw_cfg (QEMU's docs/specs/fw_cfg.rst) takes
 * an address from the guest; the port of its TPR optimisation takes a structure from the guest's memory that
 * says what to patch. The guest gets fw_cfg without its DMA, and the other not at all.
 */
#include "arch/acpi.h"
#include "arch/cpu.h"
#include "hv/bus.h"
#include "hv/exit.h"

#define FACP_OEM_ID  10
#define OEM_ID_BOCHS 0x48434f42u /* "BOCH": QEMU, and Bochs, which has none of this */

#define FW_CFG_SELECTOR 0x510
#define FW_CFG_DATA     0x511 /* the bytes of what is selected, one after the other, here and at 510h */
#define FW_CFG_DMA      0x514
#define KEY_SIGNATURE   0
#define KEY_FEATURES    1
#define KEY_WRITE       0x4000u /* beside any key, and without a meaning by now */
#define FEATURE_DMA     BIT(1)
#define TPR_PORT        0x7e

static struct spinlock lock;
static bool features_next; /* the next byte read is the one with the features */

static u32 read_nothing(u16 port, unsigned width)
{
    (void)port;
    return (u32)MASK(8 * width - 1, 0);
}

static void write_nothing(u16 port, unsigned width, u32 value)
{
    (void)port;
    (void)width;
    (void)value;
}

static void select_key(u16 port, unsigned width, u32 value)
{
    spin_lock(&lock);
    if (width == 2) /* only the selector has so many bytes */
        features_next = (value & ~KEY_WRITE) == KEY_FEATURES;
    port_out(port, width, value);
    spin_unlock(&lock);
}

static u32 read_data(u16 port, unsigned width)
{
    spin_lock(&lock);
    u32 value = port_in(port, width);
    if (width == 1 && features_next) { /* at either port */
        value &= ~(u32)FEATURE_DMA;
        features_next = false;
    }
    spin_unlock(&lock);
    return value;
}

static bool has_fw_cfg(void)
{
    static const char signature[] = "QEMU";
    bool same = true;

    port_out(FW_CFG_SELECTOR, 2, KEY_SIGNATURE);
    for (unsigned i = 0; i < sizeof(signature) - 1; i++)
        same &= port_in(FW_CFG_DATA, 1) == (u8)signature[i];
    return same;
}

int emulator_init(void)
{
    int err;

    /* Other machines have other devices at these ports: they are not even asked. */
    if (acpi_field(acpi_find("FACP"), FACP_OEM_ID, 4) != OEM_ID_BOCHS || !has_fw_cfg())
        return 0;
    err = bus_add_ports(FW_CFG_SELECTOR, 2, read_data, select_key);
    if (!err)
        err = bus_add_ports(FW_CFG_DMA, 8, read_nothing, write_nothing);
    return err ? err : bus_add_ports(TPR_PORT, 2, read_nothing, write_nothing);
}
