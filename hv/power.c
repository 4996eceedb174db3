/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power. Switching off (S5) goes through after the counters are printed. S1 to S3 are refused: firmware would
 * wake the machine with the units off and Sluice gone. Soft resets pulse INIT, which would take the CPU
 * out of Sluice with the devices still running: they become full resets. A20 stays on, since switched
 * off it would change which memory Sluice itself reaches.
 */
#include "hv/power.h"
#include "arch/acpi.h"
#include "arch/string.h"
#include "arch/cpu.h"
#include "arch/log.h"
#include "arch/paging.h"
#include "hv/bus.h"
#include "hv/cpus.h"
#include "hv/exit.h"
#include "hv/sleep.h"
#include "iommu/iommu.h"

/* Takes out what may not be. Says what it does first: afterwards there may be nobody to say it. */
static void filter_sleep(enum sleep_space space, u64 address, unsigned width, u64 *value)
{
    static struct log_bucket bucket;
    u8 type;

    switch (sleep_judge(space, address, width, value, &type)) {
    case SLEEP_OFF:
        iommu_counters();
        cpus_counters();
        log_info("power        the guest switches the machine off");
        break;
    case SLEEP_REFUSED:
        if (!log_limited(&bucket))
            log_warn("power        sleep type %u refused: under Sluice the machine can only be switched off",
                     type);
        break;
    default:
        break;
    }
}

static void sleep_port(void *ctx, struct vcpu *v, u16 port, unsigned width, bool in, u32 *value)
{
    u64 filtered = *value;

    (void)ctx;
    (void)v;
    if (in) {
        *value = port_in(port, width);
        return;
    }
    filter_sleep(SLEEP_IO, port, width, &filtered);
    port_out(port, width, (u32)filtered);
}

static u64 sleep_mmio(void *ctx, struct vcpu *v, u64 gpa, unsigned width, bool write, u64 value)
{
    volatile u8 *p = (volatile u8 *)ctx + (gpa & (PAGE_SIZE - 1));
    u64 data = write ? value : 0;

    (void)v;
    if ((gpa & (PAGE_SIZE - 1)) + width > PAGE_SIZE)
        return value;
    if (write)
        filter_sleep(SLEEP_MEMORY, gpa, width, &data);
    for (unsigned i = 0; i < width; i++) {
        if (write)
            p[i] = (u8)(data >> 8 * i);
        else
            data |= (u64)p[i] << 8 * i;
    }
    return data;
}

static int trap_sleep(const struct sleep_register *r)
{
    if (r->space == SLEEP_IO)
        return r->address > 0xfff0 ? ERR_RANGE
                                   : bus_add_ports((u16)r->address, r->byte + 1u, sleep_port, NULL);
    u64 page = align_down(r->address, PAGE_SIZE);
    void *map = mmio_map(page, PAGE_SIZE);
    return map ? bus_add_mmio(page, PAGE_SIZE, true, sleep_mmio, map) : ERR_NOMEM;
}

void power_reset(const char *why)
{
    iommu_counters();
    log_info("power        %s: the machine is reset", why);
    machine_reset();
}

void power_reset_control(u8 value)
{
    /* RST_CPU; SYS_RST (bit 1) says whether it is more than INIT. */
    if (value & BIT(2))
        power_reset(value & BIT(1) ? "the guest asks for a reset" : "the guest asks for a soft reset");
    outb(RESET_CONTROL_PORT, value);
}

/* Port 92h: bit 0 pulses INIT, bit 1 is A20. */
static void fast_reset_port(void *ctx, struct vcpu *v, u16 port, unsigned width, bool in, u32 *value)
{
    (void)ctx;
    (void)v;
    if (in) {
        *value = port_in(port, width);
        return;
    }
    for (unsigned i = 0; i < width; i++) {
        u8 byte = (u8)(*value >> 8 * i);
        if (port + i == 0x92) {
            if (byte & BIT(0))
                power_reset("the guest asks for a soft reset (port 92h)");
            byte |= BIT(1);
        }
        outb((u16)(port + i), byte);
    }
}

/* The keyboard controller: its output port has A20 and the CPU's reset line. */
static void keyboard_port(void *ctx, struct vcpu *v, u16 port, unsigned width, bool in, u32 *value)
{
    static struct spinlock lock;  /* the controller must see bytes in the order in which they are judged */
    static bool output_port_next; /* command D1h: the next data byte goes to the output port */

    (void)ctx;
    (void)v;
    if (in) {
        *value = port_in(port, width);
        return;
    }
    spin_lock(&lock);
    for (unsigned i = 0; i < width; i++) {
        u16 at = (u16)(port + i);
        u8 byte = (u8)(*value >> 8 * i);
        if (at == 0x64) {
            output_port_next = byte == 0xd1;
            if (byte >= 0xf0 && !(byte & BIT(0))) /* pulses the lines whose bits are 0 */
                power_reset("the guest asks for a soft reset (keyboard controller)");
            if (byte == 0xdd) /* A20 off, on some */
                byte = 0xdf;
        } else if (at == 0x60 && output_port_next) {
            output_port_next = false;
            if (!(byte & BIT(0)))
                power_reset("the guest asks for a soft reset (keyboard controller)");
            byte |= BIT(1);
        }
        outb(at, byte);
    }
    spin_unlock(&lock);
}

#define FADT_SMI_CMD 48 /* 4 bytes; 0 = the machine has none (ACPI 5.2.9) */

/* The port is the command; the one behind it, where the width takes it along, is its argument and goes first.
 */
static void smi_port(void *ctx, struct vcpu *v, u16 port, unsigned width, bool in, u32 *value)
{
    (void)ctx;
    if (in) {
        *value = port_in(port, width);
        return;
    }
    for (unsigned i = width; i-- > 1;)
        outb((u16)(port + i), (u8)(*value >> 8 * i));
    if (vcpu_ops->software_smi(v, port, (u8)*value))
        judge_nmi(v);
}

static int trap_smi(void)
{
    const struct acpi_header *fadt = acpi_find("FACP");
    u32 port = 0;

    if (fadt && fadt->length >= FADT_SMI_CMD + sizeof(port))
        memcpy(&port, (const u8 *)fadt + FADT_SMI_CMD, sizeof(port));
    if (!vcpu_ops->software_smi || !port || port > 0xffff)
        return 0;
    return bus_add_ports((u16)port, 1, smi_port, NULL);
}

int power_init(void)
{
    unsigned count = sleep_init();
    int err = 0;

    for (unsigned i = 0; !err && i < count; i++)
        err = trap_sleep(sleep_register_at(i));
    if (!sleep_can_switch_off())
        log_warn("power        firmware does not say how to switch off (no \\_S5): the guest cannot");
    if (!err)
        err = trap_smi();
    if (!err)
        err = bus_add_ports(0x92, 1, fast_reset_port, NULL);
    if (!err)
        err = bus_add_ports(0x60, 1, keyboard_port, NULL);
    if (!err)
        err = bus_add_ports(0x64, 1, keyboard_port, NULL);
    return err;
}
