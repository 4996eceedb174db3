/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration accesses of the guest, by ports and by ECAM, cut into naturally aligned ones that lie in one
 * register each. One lock is held from the judgement to the access, and 0xCF8 is the guest's own copy, so
 * what was judged is what is accessed.
 */
#include "arch/cpu.h"
#include "arch/log.h"
#include "hv/bus.h"
#include "hv/exit.h"
#include "hv/options.h"
#include "hv/pci.h"
#include "hv/power.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA    0xcfc
#define ADDRESS_ENABLE BIT(31)

static struct spinlock lock;
static u32 config_address; /* what the guest wrote to 0xCF8 */

static void access_piece(u16 segment, pci_sid sid, u32 off, unsigned width, bool write, u64 *value,
                         unsigned shift)
{
    if (write) {
        pci_guest_write(segment, sid, off, width, (u32)(*value >> shift & MASK(8 * width - 1, 0)));
        return;
    }
    u32 piece = pci_read(segment, sid, off, width);
    intr_config_read(segment, sid, off, width, &piece);
    *value |= (u64)piece << shift;
}

/* The largest naturally aligned piece at `at` of what is left. */
static unsigned piece_width(u64 at, unsigned left)
{
    unsigned width = 4;

    while (width > left || !is_aligned(at, width))
        width /= 2;
    return width;
}

static u64 ecam_access(void *ctx, u64 gpa, unsigned width, bool write, u64 value, struct vcpu *v)
{
    const struct ecam *e = ctx;
    u64 off = gpa - e->base; /* of bus 0 */

    (void)v;
    if (!write)
        value = 0;
    spin_lock(&lock);
    for (unsigned done = 0, piece; done < width; done += piece) {
        u64 at = off + done;
        piece = piece_width(at, width - done);
        access_piece(e->segment, (pci_sid)(at >> 12), at & 0xfff, piece, write, &value, 8 * done);
    }
    spin_unlock(&lock);
    return value;
}

/* 0xCF8-0xCFB is the address only for an aligned doubleword; smaller accesses reach other ports there, of
 * which 0xCF9 is the reset control. */
static void access_ports(u16 port, unsigned width, bool write, u64 *value)
{
    for (unsigned done = 0, piece; done < width; done += piece) {
        u16 at = port + done;
        bool data = at >= CONFIG_DATA;
        u8 byte = (u8)(*value >> 8 * done);

        piece = data ? piece_width(at, width - done) : 1;
        if (data && config_address & ADDRESS_ENABLE)
            access_piece(0, (pci_sid)(config_address >> 8), (config_address & 0xfc) + (at - CONFIG_DATA),
                         piece, write, value, 8 * done);
        else if (!write)
            *value |= (data ? MASK(8 * piece - 1, 0) : port_in(at, 1)) << 8 * done;
        else if (at == RESET_CONTROL_PORT)
            power_reset_control(byte);
        else if (!data)
            port_out(at, 1, byte);
    }
}

static u32 read_ports(u16 port, unsigned width)
{
    u64 value = 0;

    spin_lock(&lock);
    if (port == CONFIG_ADDRESS && width == 4)
        value = config_address;
    else
        access_ports(port, width, false, &value);
    spin_unlock(&lock);
    return (u32)value;
}

static void write_ports(u16 port, unsigned width, u32 value)
{
    u64 wide = value;

    spin_lock(&lock);
    if (port == CONFIG_ADDRESS && width == 4)
        config_address = value;
    else
        access_ports(port, width, true, &wide);
    spin_unlock(&lock);
}

int pci_filter_init(void)
{
    int err = bus_add_ports(CONFIG_ADDRESS, 8, read_ports, write_ports);

    for (unsigned i = 0; !err && i < pci_ecam_count(); i++) {
        const struct ecam *e = pci_ecam(i);
        err = bus_add_mmio(e->base + ((u64)e->first_bus << 20), (u64)(e->last_bus - e->first_bus + 1) << 20,
                           !options.iommu.strict, ecam_access, (void *)e);
    }
    return err;
}
