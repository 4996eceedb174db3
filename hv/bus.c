/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/bus.h"
#include "arch/cpu.h"
#include "arch/nested.h"

#define MAX_MMIO  256
#define MAX_PORTS 32

struct port_range {
    u16 first, count;
    port_reader read;
    port_writer write;
};

/* In the order of registration, the units first: few enough that nothing beats looking at each. */
static struct mmio_range mmio[MAX_MMIO];
static unsigned nr_mmio;
static struct port_range ports[MAX_PORTS];
static unsigned nr_ports;

int bus_add_mmio(u64 base, u64 size, bool reads_direct, mmio_handler handler, void *ctx)
{
    for (unsigned i = 0; i < nr_mmio; i++)
        if (ranges_overlap(base, size, mmio[i].base, mmio[i].size))
            return ERR_BUSY;
    if (nr_mmio == MAX_MMIO)
        return ERR_NOSPC;
    int err = nested_set(base, size, reads_direct ? NESTED_READ : NESTED_NONE);
    if (!err)
        mmio[nr_mmio++] = (struct mmio_range){ base, size, handler, ctx };
    return err;
}

int bus_place_mmio(const struct mmio_range **at, u64 base, u64 size, mmio_handler handler, void *ctx)
{
    struct mmio_range *r = (struct mmio_range *)*at;
    int err;

    if (!r) {
        err = bus_add_mmio(base, size, false, handler, ctx);
        *at = err ? NULL : &mmio[nr_mmio - 1];
        return err;
    }
    for (unsigned i = 0; i < nr_mmio; i++)
        if (&mmio[i] != r && ranges_overlap(base, size, mmio[i].base, mmio[i].size))
            return ERR_BUSY;
    err = nested_set(base, size, NESTED_NONE);
    if (err)
        return err;
    u64 old = r->base, old_size = r->size;
    r->size = size;
    __atomic_store_n(&r->base, base, __ATOMIC_RELEASE);
    return ranges_overlap(base, size, old, old_size) ? 0 : nested_set(old, old_size, NESTED_ALL);
}

const struct mmio_range *bus_find(u64 gpa)
{
    for (unsigned i = 0; i < nr_mmio; i++)
        if (gpa - mmio[i].base < mmio[i].size)
            return &mmio[i];
    return NULL;
}

int bus_add_ports(u16 first, u16 count, port_reader read, port_writer write)
{
    for (unsigned i = 0; i < nr_ports; i++)
        if (ranges_overlap(first, count, ports[i].first, ports[i].count))
            return ERR_BUSY;
    if (nr_ports == MAX_PORTS)
        return ERR_NOSPC;
    ports[nr_ports++] = (struct port_range){ first, count, read, write };
    for (unsigned i = 0; i < count; i++)
        vcpu_trap(vcpu_ops->ports, first + i, true);
    return 0;
}

static const struct port_range *find_ports(u16 port)
{
    for (unsigned i = 0; i < nr_ports; i++)
        if ((u16)(port - ports[i].first) < ports[i].count)
            return &ports[i];
    return NULL;
}

u32 bus_port(u16 port, unsigned width, bool in, u32 value)
{
    const struct port_range *r = find_ports(port);
    bool mixed = r && (u16)(port - r->first) + width > r->count;
    u32 sum = 0;

    for (unsigned i = 1; i < width && !r; i++)
        mixed |= find_ports((u16)(port + i)) != NULL;
    if (!mixed && in)
        return r && r->read ? r->read(port, width) : port_in(port, width);
    if (!mixed && r)
        r->write(port, width, value);
    else if (!mixed)
        port_out(port, width, value);
    /* From the last on: an SMI's argument stands behind its command and must be there first. */
    for (unsigned i = width; mixed && i-- > 0;)
        sum |= bus_port((u16)(port + i), 1, in, value >> 8 * i & 0xff) << 8 * i;
    return sum;
}
