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
#include "arch/string.h"
#include "hv/bus.h"
#include "hv/exit.h"
#include "iommu/iommu.h"

/* FADT, ACPI 5.2.9: offsets */
enum {
    FADT_PM1A_CNT = 64,      /* 4 */
    FADT_PM1B_CNT = 68,      /* 4 */
    FADT_X_PM1A_CNT = 172,   /* generic address */
    FADT_X_PM1B_CNT = 184,   /* generic address */
    FADT_SLEEP_CONTROL = 244 /* generic address */
};
enum { SPACE_MEMORY = 0, SPACE_IO = 1 };

/* A register that puts the machine to sleep. */
struct sleep_register {
    u8 byte;      /* of the register: which one holds both fields */
    u8 enable;    /* SLP_EN in that byte */
    u8 type_mask; /* SLP_TYP in that byte */
    u8 which;     /* element of \_S5's package */
    u64 address;
};
#define MAX_SLEEP_REGISTERS 3

static struct sleep_register registers[MAX_SLEEP_REGISTERS];
static unsigned nr_registers;

/* SLP_TYP of \_S4 and \_S5 for PM1a and PM1b. */
static struct {
    bool known;
    u8 type[2];
} s4, s5;

static u64 get(const struct acpi_header *table, u32 off, unsigned width)
{
    u64 value = 0;

    if (off + width <= table->length)
        memcpy(&value, (const u8 *)table + off, width);
    return value;
}

/* One small integer of AML. Returns its length, 0 = not one. */
static u32 aml_integer(const u8 *p, u32 left, u8 *value)
{
    if (left >= 1 && p[0] <= 1) { /* ZeroOp, OneOp */
        *value = p[0];
        return 1;
    }
    if (left >= 2 && p[0] == 0x0a) { /* BytePrefix */
        *value = p[1];
        return 2;
    }
    return 0;
}

/* Name (_Sx_, Package () { a, b, ... }) as firmware compilers write it; what is computed is not found. */
static bool find_package(const struct acpi_header *table, const char name[4], u8 type[2])
{
    const u8 *p = (const u8 *)table;

    for (u32 i = sizeof(*table) + 1; i + 12 <= table->length; i++) {
        if (memcmp(p + i, name, 4) != 0 || (p[i - 1] != 0x08 && p[i - 1] != '\\') || p[i + 4] != 0x12)
            continue;
        u32 at = i + 5 + (p[i + 5] >> 6) + 1 + 1; /* PkgLength, NumElements */
        u32 len = at < table->length ? aml_integer(p + at, table->length - at, &type[0]) : 0;
        if (!len)
            continue;
        at += len;
        if (at >= table->length || !aml_integer(p + at, table->length - at, &type[1]))
            type[1] = type[0];
        return true;
    }
    return false;
}

static void find_sleep_types(void)
{
    const struct acpi_header *tables[] = { acpi_find("DSDT"), acpi_find("SSDT") };

    for (unsigned i = 0; i < ARRAY_SIZE(tables); i++) {
        if (!tables[i])
            continue;
        if (!s5.known)
            s5.known = find_package(tables[i], "_S5_", s5.type);
        if (!s4.known)
            s4.known = find_package(tables[i], "_S4_", s4.type);
    }
}

/* A written byte that starts a transition. Returns whether it may go through. */
static bool judge_sleep(const struct sleep_register *r, u8 byte)
{
    static struct log_bucket bucket;
    u8 type = (byte & r->type_mask) >> __builtin_ctz(r->type_mask);

    if (!(byte & r->enable))
        return true;
    /* S4 is S5 to the hardware: the next start is a cold one, and Sluice boots again. */
    if ((s5.known && type == s5.type[r->which]) || (s4.known && type == s4.type[r->which])) {
        iommu_counters();
        log_info("power        the guest switches the machine off");
        return true;
    }
    if (!log_limited(&bucket))
        log_warn("power        sleep type %u is refused: only switching off is possible under Sluice", type);
    return false;
}

/* Judges an access of `width` bytes at `address`. */
static bool sleep_allowed(u64 address, unsigned width, u64 value)
{
    for (unsigned i = 0; i < nr_registers; i++) {
        u64 at = registers[i].address + registers[i].byte - address;
        if (registers[i].address + registers[i].byte >= address && at < width &&
            !judge_sleep(&registers[i], (u8)(value >> 8 * at)))
            return false;
    }
    return true;
}

static void raw_port(u16 port, unsigned width, bool in, u32 *value)
{
    if (in)
        *value = width == 1 ? inb(port) : width == 2 ? inw(port) : inl(port);
    else if (width == 1)
        outb(port, (u8)*value);
    else if (width == 2)
        outw(port, (u16)*value);
    else
        outl(port, *value);
}

static void sleep_port(void *ctx, struct vcpu *v, u16 port, unsigned width, bool in, u32 *value)
{
    (void)ctx;
    (void)v;
    if (in || sleep_allowed(port, width, *value))
        raw_port(port, width, in, value);
}

static void sleep_mmio(void *ctx, struct vcpu *v, u64 gpa, unsigned width, bool write, u64 *value)
{
    volatile u8 *p = (volatile u8 *)ctx + (gpa & (PAGE_SIZE - 1));

    (void)v;
    if ((gpa & (PAGE_SIZE - 1)) + width > PAGE_SIZE)
        return;
    if (!write)
        *value = 0;
    else if (!sleep_allowed(gpa, width, *value))
        return;
    for (unsigned i = 0; i < width; i++) {
        if (write)
            p[i] = (u8)(*value >> 8 * i);
        else
            *value |= (u64)p[i] << 8 * i;
    }
}

static int add_register(u64 address, unsigned space, struct sleep_register r)
{
    if (!address)
        return 0;
    r.address = address;
    registers[nr_registers++] = r;
    if (space == SPACE_IO)
        return address > 0xfff0 ? ERR_RANGE : bus_add_ports((u16)address, r.byte + 1u, sleep_port, NULL);
    if (space != SPACE_MEMORY)
        return 0; /* nothing a CPU reaches by an address */
    u64 page = align_down(address, PAGE_SIZE);
    void *map = mmio_map(page, PAGE_SIZE);
    return map ? bus_add_mmio(page, PAGE_SIZE, true, sleep_mmio, map) : ERR_NOMEM;
}

/* A generic address where it is given, else the legacy port. */
static int add_fadt_register(const struct acpi_header *fadt, u32 generic, u32 legacy, struct sleep_register r)
{
    u64 address = get(fadt, generic + 4, 8);
    unsigned space = (unsigned)get(fadt, generic, 1);

    if (!address && legacy) {
        address = get(fadt, legacy, 4);
        space = SPACE_IO;
    }
    return add_register(address, space, r);
}

static void __noreturn full_reset(const char *why)
{
    iommu_counters();
    log_info("power        %s: the machine is reset", why);
    machine_reset();
}

void power_reset_control(u8 value)
{
    /* RST_CPU; SYS_RST (bit 1) says whether it is more than INIT. */
    if (value & BIT(2))
        full_reset(value & BIT(1) ? "the guest asks for a reset" : "the guest asks for a soft reset");
    outb(RESET_CONTROL_PORT, value);
}

/* Port 92h: bit 0 pulses INIT, bit 1 is A20. */
static void fast_reset_port(void *ctx, struct vcpu *v, u16 port, unsigned width, bool in, u32 *value)
{
    (void)ctx;
    (void)v;
    if (in) {
        raw_port(port, width, true, value);
        return;
    }
    for (unsigned i = 0; i < width; i++) {
        u8 byte = (u8)(*value >> 8 * i);
        if (port + i == 0x92) {
            if (byte & BIT(0))
                full_reset("the guest asks for a soft reset (port 92h)");
            byte |= BIT(1);
        }
        outb((u16)(port + i), byte);
    }
}

/* The keyboard controller: its output port has A20 and the CPU's reset line. */
static void keyboard_port(void *ctx, struct vcpu *v, u16 port, unsigned width, bool in, u32 *value)
{
    static bool output_port_next; /* command D1h: the next data byte goes to the output port */

    (void)ctx;
    (void)v;
    if (in) {
        raw_port(port, width, true, value);
        return;
    }
    for (unsigned i = 0; i < width; i++) {
        u16 at = (u16)(port + i);
        u8 byte = (u8)(*value >> 8 * i);
        if (at == 0x64) {
            output_port_next = byte == 0xd1;
            if (byte >= 0xf0 && !(byte & BIT(0))) /* pulses the lines whose bits are 0 */
                full_reset("the guest asks for a soft reset (keyboard controller)");
            if (byte == 0xdd) /* A20 off, on some */
                byte = 0xdf;
        } else if (at == 0x60 && output_port_next) {
            output_port_next = false;
            if (!(byte & BIT(0)))
                full_reset("the guest asks for a soft reset (keyboard controller)");
            byte |= BIT(1);
        }
        outb(at, byte);
    }
}

int power_init(void)
{
    static const struct sleep_register pm1a = { .byte = 1, .enable = 0x20, .type_mask = 0x1c, .which = 0 };
    static const struct sleep_register pm1b = { .byte = 1, .enable = 0x20, .type_mask = 0x1c, .which = 1 };
    static const struct sleep_register sleep = { .byte = 0, .enable = 0x20, .type_mask = 0x1c, .which = 0 };
    const struct acpi_header *fadt = acpi_find("FACP");
    int err = 0;

    if (fadt) {
        find_sleep_types();
        err = add_fadt_register(fadt, FADT_X_PM1A_CNT, FADT_PM1A_CNT, pm1a);
        if (!err)
            err = add_fadt_register(fadt, FADT_X_PM1B_CNT, FADT_PM1B_CNT, pm1b);
        if (!err)
            err = add_fadt_register(fadt, FADT_SLEEP_CONTROL, 0, sleep);
    }
    if (!s5.known)
        log_warn("power        firmware does not say how to switch off (no \\_S5): the guest cannot");
    if (!err)
        err = bus_add_ports(0x92, 1, fast_reset_port, NULL);
    if (!err)
        err = bus_add_ports(0x60, 1, keyboard_port, NULL);
    if (!err)
        err = bus_add_ports(0x64, 1, keyboard_port, NULL);
    return err;
}
