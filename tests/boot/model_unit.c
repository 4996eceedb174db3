/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model of tests/model as the machine's VT-d unit, for an emulator that has none: the register accesses
 * of iommu/ end here instead of in hardware. The unit walks the tables in real memory, and its functions
 * really read and write memory.
 *
 * The functions are not on the machine's PCI bus, so the guest tells them what to do through ports of ours
 * (tests/guests/vmx_unit.c is that guest):
 *
 *   BASE + 0, 4  address      BASE + 8  value      BASE + 12  command, with the source-id in the upper half
 */
#include "arch/cpu.h"
#include "arch/log.h"
#include "arch/paging.h"
#include "arch/string.h"
#include "hv/bus.h"
#include "hv/mem.h"
#include "iommu/env.h"
#include "iommu/iommu.h"
#include "tests/model/model.h"

#define PORTS 0x5a0

enum command {
    DMA_WRITE = 1, /* value -> memory at address; value becomes 1 when it got there */
    DMA_READ,      /* memory at address -> value, ~0 when blocked */
    DO_ATS_ON,
    DO_ATS_OFF,
    PACE,    /* the unit takes up to `value` steps for each thing, 0: none */
    FETCHED, /* value: a descriptor type -> how many of them the unit has fetched */
};

/* 3- and 4-level tables, 4K to 1G, page-selective, 65,536 domain-ids, drains; coherent, queue, device TLBs,
 * pass-through, snoop control. */
#define CAP  0x00d2078c406f0606ull
#define ECAP 0x00000000000030c7ull

static u8 memory[MODEL_BYTES] __attribute__((aligned(16)));
static struct model *unit;
static struct model_fn *plain, *ats;
static struct spinlock lock;
static u64 fetched[16];
static u32 words[3]; /* address, value */

static void *reach(u64 pa, size_t len)
{
    u64 page = align_down(pa, PAGE_SIZE);

    if (pa + len > page + PAGE_SIZE || (!in_region(page, PAGE_SIZE) && !mem_is_guest_ram(page, PAGE_SIZE)))
        return NULL;
    return phys_to_virt(pa);
}

static bool mem_read(void *ctx, uint64_t pa, void *buf, size_t len)
{
    const void *at = reach(pa, len);

    (void)ctx;
    if (at)
        memcpy(buf, at, len);
    return at;
}

static bool mem_write(void *ctx, uint64_t pa, const void *buf, size_t len)
{
    void *at = reach(pa, len);

    (void)ctx;
    if (at)
        memcpy(at, buf, len);
    return at;
}

static const void *mem_map(void *ctx, uint64_t pa, size_t len)
{
    (void)ctx;
    return reach(pa, len);
}

/* The unit's events are NMIs to this CPU; its functions send none. */
static void interrupt(void *ctx, uint64_t addr, uint32_t data)
{
    u64 address;
    u32 expected;

    (void)ctx;
    env_event_message(&address, &expected);
    if (addr == address && data == expected)
        __asm__ volatile("int $2" ::: "memory");
}

static void trace(void *ctx, const struct model_event *e)
{
    (void)ctx;
    if (e->type == MODEL_EV_FETCH)
        fetched[e->q[0] & 0xf]++;
    else if (e->type == MODEL_EV_VIOLATION)
        log_err("model: driven wrongly: %s", model_violation_name((enum model_violation)e->a));
}

static u32 dma(u16 sid, bool write)
{
    u64 at = words[0] | (u64)words[1] << 32;
    u32 data = words[2];
    struct model_fn *fn = model_fn_find(unit, sid);

    if (!fn)
        return ~0u;
    struct model_result r = model_fn_dma(fn, at, sizeof(data), write, &data);
    if (write)
        return r.status == MODEL_OK;
    return r.status == MODEL_OK ? data : ~0u;
}

/* As hv/ does it when the guest's configuration write is on its way: the gate first, the device after it; or
 * the other way round. */
static void set_ats(u16 sid, bool on)
{
    struct model_fn *fn = model_fn_find(unit, sid);

    iommu_ats_change(0, sid, on, 0, sid, true);
    if (fn)
        model_fn_set_ats(fn, on);
}

static void command(u32 what)
{
    u16 sid = (u16)(what >> 16);

    switch (what & 0xffff) {
    case DMA_WRITE:
    case DMA_READ:
        spin_lock(&lock);
        words[2] = dma(sid, (what & 0xffff) == DMA_WRITE);
        spin_unlock(&lock);
        break;
    case DO_ATS_ON:
    case DO_ATS_OFF: /* takes the unit's lock, whose holder takes ours */
        set_ats(sid, (what & 0xffff) == DO_ATS_ON);
        break;
    case PACE:
        model_set_pace(unit, words[2] ? MODEL_PACE_DELAYED : MODEL_PACE_AT_ONCE, words[2]);
        break;
    case FETCHED:
        words[2] = (u32)fetched[words[2] & 0xf];
        break;
    }
}

static u32 read_ports(u16 port, unsigned width)
{
    unsigned at = (port - PORTS) / 4u;

    return width == 4 && at < 3 ? words[at] : 0;
}

static void write_ports(u16 port, unsigned width, u32 value)
{
    unsigned at = (port - PORTS) / 4u;

    if (width != 4)
        return;
    if (at < 3)
        words[at] = value;
    else
        command(value);
}

void *env_regs_map(u64 base, u64 size)
{
    const struct model_cfg cfg = {
        .cap = CAP,
        .ecap = ECAP,
        .version = 0x10,
        .seed = 1,
        .pace = MODEL_PACE_AT_ONCE,
        .keep = { [MODEL_C_IOTLB] = MODEL_KEEP_ALL, [MODEL_C_DTLB] = MODEL_KEEP_ALL },
        .step_on_read = true
    };
    const struct model_ops ops = { .mem_read = mem_read,
                                   .mem_write = mem_write,
                                   .mem_map = mem_map,
                                   .interrupt = interrupt,
                                   .trace = trace };
    const struct model_fn_cfg plain_cfg = { .sid = 0x0018 }, ats_cfg = { .sid = 0x0100, .ats = true };

    (void)base;
    (void)size;
    unit = model_init(memory, sizeof(memory), &cfg, &ops);
    plain = unit ? model_fn_add(unit, &plain_cfg) : NULL;
    ats = unit ? model_fn_add(unit, &ats_cfg) : NULL;
    if (!plain || !ats)
        return NULL;
    if (vcpu_ops &&
        bus_add_ports(PORTS, 16, read_ports, write_ports)) /* the first start has nothing that traps */
        return NULL;
    model_fn_set_bus_master(plain, true);
    model_fn_set_bus_master(ats, true);
    log_warn("TEST IMAGE   the VT-d unit is a model of one");
    return unit;
}

static u64 read_register(u32 off, unsigned width)
{
    spin_lock(&lock);
    u64 value = model_reg_read(unit, off, width);
    spin_unlock(&lock);
    return value;
}

static void write_register(u32 off, unsigned width, u64 value)
{
    spin_lock(&lock);
    model_reg_write(unit, off, width, value);
    spin_unlock(&lock);
}

u32 env_read32(void *regs, u32 off)
{
    (void)regs;
    return (u32)read_register(off, 4);
}

u64 env_read64(void *regs, u32 off)
{
    (void)regs;
    return read_register(off, 8);
}

void env_write32(void *regs, u32 off, u32 value)
{
    (void)regs;
    write_register(off, 4, value);
}

void env_write64(void *regs, u32 off, u64 value)
{
    (void)regs;
    write_register(off, 8, value);
}
