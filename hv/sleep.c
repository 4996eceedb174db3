/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleep registers and sleep types, from ACPI's FADT and DSDT. Pure: no port and no register is touched here.
 */
#include "hv/sleep.h"
#include "arch/acpi.h"
#include "arch/string.h"

/* FADT, ACPI 5.2.9: offsets. The wide ones are generic addresses, with the space first and the address at 4.
 */
enum {
    FADT_PM1A_CNT = 64,
    FADT_PM1B_CNT = 68,
    FADT_X_PM1A_CNT = 172,
    FADT_X_PM1B_CNT = 184,
    FADT_SLEEP_CONTROL = 244,
};
#define GENERIC_ADDRESS 4

#define SLP_EN  0x20
#define SLP_TYP 0x1c

/* AML, ACPI 20.2 */
#define AML_ZERO    0x00
#define AML_ONE     0x01
#define AML_NAME    0x08
#define AML_BYTE    0x0a
#define AML_PACKAGE 0x12

static struct sleep_register registers[3];
static unsigned nr_registers;

/* SLP_TYP by element: PM1a, PM1b. */
struct sleep_type {
    bool known;
    u8 type[2];
};
static struct sleep_type s4, s5;

/* One small integer of a table. Returns its length, 0 = there is none. */
static u32 aml_integer(const struct acpi_header *table, u32 at, u8 *value)
{
    const u8 *p = (const u8 *)table + at;

    if (at < table->length && (p[0] == AML_ZERO || p[0] == AML_ONE)) {
        *value = p[0];
        return 1;
    }
    if (at + 1 < table->length && p[0] == AML_BYTE) {
        *value = p[1];
        return 2;
    }
    return 0;
}

/* Name (_Sx_, Package () { a, b, ... }) as firmware compilers write it; what is computed is not found. */
static void find_package(const struct acpi_header *table, const char name[4], struct sleep_type *out)
{
    const u8 *p = (const u8 *)table;

    for (u32 i = sizeof(*table) + 1; !out->known && i + 8 <= table->length; i++) {
        if (memcmp(p + i, name, 4) != 0 || (p[i - 1] != AML_NAME && p[i - 1] != '\\') ||
            p[i + 4] != AML_PACKAGE)
            continue;
        u32 at = i + 5 + 1 + (p[i + 5] >> 6) + 1; /* PkgLength, NumElements */
        u32 len = aml_integer(table, at, &out->type[0]);
        if (!len)
            continue;
        if (!aml_integer(table, at + len, &out->type[1]))
            out->type[1] = out->type[0];
        out->known = true;
    }
}

/* The generic address where it is given, else the legacy port. */
static void add_register(const struct acpi_header *fadt, u32 generic, u32 legacy, struct sleep_register r)
{
    r.address = acpi_field(fadt, generic + GENERIC_ADDRESS, 8);
    u64 space = acpi_field(fadt, generic, 1);

    if (!r.address && legacy) {
        r.address = acpi_field(fadt, legacy, 4);
        space = SLEEP_IO;
    }
    r.space = (enum sleep_space)space;
    /* Other spaces are not reached by an address of the CPU. */
    if (r.address && (space == SLEEP_IO || space == SLEEP_MEMORY))
        registers[nr_registers++] = r;
}

unsigned sleep_init(void)
{
    const struct acpi_header *fadt = acpi_find("FACP");
    const struct acpi_header *code[] = { acpi_find("DSDT"), acpi_find("SSDT") };

    nr_registers = 0;
    s4.known = s5.known = false;
    for (unsigned i = 0; i < ARRAY_SIZE(code); i++) {
        if (!code[i])
            continue;
        find_package(code[i], "_S4_", &s4);
        find_package(code[i], "_S5_", &s5);
    }
    add_register(fadt, FADT_X_PM1A_CNT, FADT_PM1A_CNT, (struct sleep_register){ .byte = 1 });
    add_register(fadt, FADT_X_PM1B_CNT, FADT_PM1B_CNT, (struct sleep_register){ .byte = 1, .element = 1 });
    add_register(fadt, FADT_SLEEP_CONTROL, 0, (struct sleep_register){ .byte = 0 });
    return nr_registers;
}

const struct sleep_register *sleep_register_at(unsigned i)
{
    return i < nr_registers ? &registers[i] : NULL;
}

bool sleep_can_switch_off(void)
{
    return s5.known;
}

enum sleep_verdict sleep_judge(enum sleep_space space, u64 address, unsigned width, u64 *value, u8 *type)
{
    enum sleep_verdict verdict = SLEEP_NOTHING;

    for (unsigned i = 0; i < nr_registers; i++) {
        const struct sleep_register *r = &registers[i];
        u64 at = r->address + r->byte - address;
        u8 byte = (u8)(at < width ? *value >> 8 * at : 0);

        if (r->space != space || !(byte & SLP_EN))
            continue;
        *type = (byte & SLP_TYP) >> 2;
        /* S4 is S5 to the hardware: the next start is a cold one, and Sluice boots again. */
        if ((s5.known && *type == s5.type[r->element]) || (s4.known && *type == s4.type[r->element])) {
            verdict = SLEEP_OFF;
            continue;
        }
        *value &= ~((u64)SLP_EN << 8 * at);
        return SLEEP_REFUSED;
    }
    return verdict;
}
