/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/bus.h"
#include "arch/cpu.h"
#include "arch/nested.h"

#define MAX_MMIO  256
#define MAX_PORTS 32

struct port_range {
    u16 first, count;
    port_handler handler;
    void *ctx;
};

/* In the order of registration, the units first: few enough that nothing beats looking at each. */
static struct mmio_range mmio[MAX_MMIO];
static unsigned nr_mmio;
static struct port_range ports[MAX_PORTS];
static unsigned nr_ports;

int bus_add_mmio(u64 base, u64 size, bool reads_direct, mmio_handler handler, void *ctx)
{
    if (nr_mmio == MAX_MMIO)
        return ERR_NOSPC;
    for (unsigned i = 0; i < nr_mmio; i++)
        if (ranges_overlap(base, size, mmio[i].base, mmio[i].size))
            return ERR_BUSY;
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

int bus_add_ports(u16 first, u16 count, port_handler handler, void *ctx)
{
    if (nr_ports == MAX_PORTS)
        return ERR_NOSPC;
    if (!count || first > 0x10000 - count)
        return ERR_INVAL;
    for (unsigned i = 0; i < nr_ports; i++)
        if (ranges_overlap(first, count, ports[i].first, ports[i].count))
            return ERR_BUSY;
    ports[nr_ports++] = (struct port_range){ first, count, handler, ctx };
    for (unsigned i = 0; i < count; i++)
        vcpu_ops->trap_port((u16)(first + i), true);
    return 0;
}

static const struct port_range *find_ports(u16 port)
{
    for (unsigned i = 0; i < nr_ports; i++)
        if ((u16)(port - ports[i].first) < ports[i].count)
            return &ports[i];
    return NULL;
}

/*
 * A wide access may begin below a trapped port and reach into it (and the bitmap then makes it exit): it is
 * done byte by byte, each with its owner.
 */
static void split_access(struct vcpu *v, u16 port, unsigned width, bool in, u32 *value)
{
    u32 sum = 0;

    for (unsigned i = 0; i < width; i++) {
        u16 at = (u16)(port + i);
        u32 byte = *value >> 8 * i & 0xff;
        const struct port_range *r = find_ports(at);

        if (r)
            r->handler(r->ctx, v, at, 1, in, &byte);
        else if (in)
            byte = port_in(at, 1);
        else
            port_out(at, 1, byte);
        sum |= (byte & 0xff) << 8 * i;
    }
    if (in)
        *value = sum;
}

void bus_port(struct vcpu *v, u16 port, unsigned width, bool in, u32 *value)
{
    const struct port_range *r = find_ports(port);
    bool trapped = false;

    if (r) {
        r->handler(r->ctx, v, port, width, in, value);
        return;
    }
    for (unsigned i = 1; i < width; i++)
        trapped |= find_ports((u16)(port + i)) != NULL;
    if (trapped)
        split_access(v, port, width, in, value);
    else if (in)
        *value = port_in(port, width);
    else
        port_out(port, width, *value);
}
