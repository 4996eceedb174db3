/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which trapped addresses and ports belong to whom. Registered at boot, read-only afterwards.
 */
#ifndef HV_BUS_H
#define HV_BUS_H

#include "arch/types.h"
#include "arch/vcpu.h"

/*
 * One access of `width` bytes (1, 2, 4, 8), exactly as the guest made it, misaligned ones included; it never
 * crosses a page. What a read gives is returned; bits of that and of `value` above the width do not count.
 */
typedef u64 (*mmio_handler)(void *ctx, u64 gpa, unsigned width, bool write, u64 value, struct vcpu *v);

struct mmio_range {
    u64 base, size;
    mmio_handler handler;
    void *ctx;
};

/* Also declares the nested access: `reads_direct` leaves the pages readable by the guest. 4K-aligned. */
int bus_add_mmio(u64 base, u64 size, bool reads_direct, mmio_handler handler, void *ctx) __must_check;
/* The same for what may move while the guest runs; *at, NULL at first, is moved. The caller flushes. */
int bus_place_mmio(const struct mmio_range **at, u64 base, u64 size, mmio_handler handler,
                   void *ctx) __must_check;
const struct mmio_range *bus_find(u64 gpa); /* NULL: nobody's */

/*
 * One access of `width` bytes (1, 2, 4) that lies in the range; one that reaches beyond is done byte by byte,
 * each with its owner. read() NULL: reads go through.
 */
typedef u32 (*port_reader)(u16 port, unsigned width);
typedef void (*port_writer)(u16 port, unsigned width, u32 value);
int bus_add_ports(u16 first, u16 count, port_reader read, port_writer write) __must_check;

/* Returns what was read, 0 of a write. */
u32 bus_port(u16 port, unsigned width, bool in, u32 value);

#endif
