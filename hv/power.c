/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power. Switching off (S5) goes through after the counters are printed. S1 to S3 are refused: firmware would
 * wake the machine with the units off and Sluice gone. Soft resets pulse INIT, which would take the CPU
 * out of Sluice with the devices still running: they become full resets. A20 stays on, since switched
 * off it would change which memory Sluice itself reaches.
 */
#include "hv/power.h"
#include "arch/acpi.h"
#include "arch/cpu.h"
#include "arch/log.h"
#include "arch/paging.h"
#include "hv/bus.h"
#include "hv/cpus.h"
#include "hv/exit.h"
#include "hv/sleep.h"
#include "hv/walk.h"
#include "iommu/iommu.h"

/* Takes out what may not be. Says what it does first: afterwards there may be nobody to say it. */
static void filter_sleep(enum sleep_space space, u64 address, unsigned width, u64 *value)
{
    u8 type;
    enum sleep_verdict verdict = sleep_judge(space, address, width, value, &type);

    if (verdict == SLEEP_REFUSED)
        log_rated(LOG_WARN,
                  "power        sleep type %u refused: under Sluice the machine can only be switched off",
                  type);
    if (verdict != SLEEP_OFF)
        return;
    iommu_counters();
    cpus_counters();
    log_info("power        the guest switches the machine off");
}

static void write_sleep(u16 port, unsigned width, u32 value)
{
    u64 filtered = value;

    filter_sleep(SLEEP_IO, port, width, &filtered);
    port_out(port, width, (u32)filtered);
}

static u64 sleep_mmio(void *ctx, u64 gpa, unsigned width, bool write, u64 value, struct vcpu *v)
{
    (void)v;
    if (write)
        filter_sleep(SLEEP_MEMORY, gpa, width, &value);
    guest_copy((volatile u8 *)ctx + (gpa & (PAGE_SIZE - 1)), (u8 *)&value, width, write);
    return value;
}

static int trap_sleep(const struct sleep_register *r)
{
    if (r->space == SLEEP_IO)
        return r->address > 0xfff0 ? ERR_RANGE
                                   : bus_add_ports((u16)r->address, r->byte + 1u, NULL, write_sleep);
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
    port_out(RESET_CONTROL_PORT, 1, value);
}

/* Port 92h: bit 0 pulses INIT, bit 1 is A20. */
static void write_fast_reset(u16 port, unsigned width, u32 value)
{
    if (value & BIT(0))
        power_reset("the guest asks for a soft reset (port 92h)");
    port_out(port, width, value | (u32)BIT(1));
}

/* The keyboard controller, command and data: its output port has A20 and the CPU's reset line. */
static void write_keyboard(u16 port, unsigned width, u32 value)
{
    static struct spinlock lock;  /* the controller must see bytes in the order in which they are judged */
    static bool output_port_next; /* command D1h: the next data byte goes to the output port */
    bool data = port == 0x60, output = data && output_port_next;

    spin_lock(&lock);
    output_port_next = !data && value == 0xd1;
    /* Commands F0h and up pulse the lines whose bits are 0. */
    if ((output || (!data && value >= 0xf0)) && !(value & BIT(0)))
        power_reset("the guest asks for a soft reset (keyboard controller)");
    if (output)
        value |= (u32)BIT(1);
    if (!data && value == 0xdd) /* A20 off, on some */
        value = 0xdf;
    port_out(port, width, value);
    spin_unlock(&lock);
}

#define FADT_SMI_CMD 48 /* 4 bytes; 0 = the machine has none (ACPI 5.2.9) */

static void write_smi(u16 port, unsigned width, u32 value)
{
    (void)width;
    if (vcpu_ops->software_smi(port, (u8)value))
        judge_nmi(this_cpu()->vcpu);
}

static int trap_smi(void)
{
    u64 port = acpi_field(acpi_find("FACP"), FADT_SMI_CMD, 4);

    if (!vcpu_ops->software_smi || !port || port > 0xffff)
        return 0;
    return bus_add_ports((u16)port, 1, NULL, write_smi);
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
        err = bus_add_ports(0x92, 1, NULL, write_fast_reset);
    if (!err)
        err = bus_add_ports(0x60, 1, NULL, write_keyboard);
    if (!err)
        err = bus_add_ports(0x64, 1, NULL, write_keyboard);
    return err;
}
