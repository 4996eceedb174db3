/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI tables from the RSDP, the PM timer, and switching off.
 *
 * Switching off goes through PM1a_CNT as found in the FADT and the DSDT's \_S5, as an operating system does
 * it: that works with SeaBIOS and with OVMF, needs no test device that real machines lack, and a hypervisor
 * must let it through anyway.
 */
#include "tests/guests/lib/guest.h"

#define PM1_SLP_EN (1u << 13)
#define PM1_SCI_EN 1u

struct sdt {
    char signature[4];
    u32 length;
    u8 revision, checksum;
    char oem[6], oem_table[8];
    u32 oem_revision, creator, creator_revision;
} __attribute__((packed));

static u32 read32(const void *table, u32 offset)
{
    u32 v;

    memcpy(&v, (const u8 *)table + offset, sizeof(v));
    return v;
}

static u64 read64(const void *table, u32 offset)
{
    u64 v;

    memcpy(&v, (const u8 *)table + offset, sizeof(v));
    return v;
}

const void *acpi_table(const char *signature)
{
    const u8 *rsdp = (const u8 *)rsdp_address;
    bool wide;
    const struct sdt *root;

    if (!rsdp || memcmp(rsdp, "RSD PTR ", 8)) {
        return NULL;
    }
    wide = rsdp[15] >= 2 && read64(rsdp, 24);
    root = (const struct sdt *)(wide ? read64(rsdp, 24) : read32(rsdp, 16));
    for (u32 at = sizeof(*root); at + (wide ? 8 : 4) <= root->length; at += wide ? 8 : 4) {
        const struct sdt *table = (const struct sdt *)(wide ? read64(root, at) : read32(root, at));

        if (table && !memcmp(table->signature, signature, 4)) {
            return table;
        }
    }
    return NULL;
}

u16 acpi_pm_timer(void)
{
    const void *fadt = acpi_table("FACP");

    return fadt ? (u16)read32(fadt, 76) : 0;
}

/* SLP_TYPa of \_S5: the first element of `Name (_S5, Package () {...})`. */
static u32 sleep_type_s5(const void *fadt)
{
    const struct sdt *dsdt = (const struct sdt *)(u64)read32(fadt, 40);
    const u8 *aml = (const u8 *)dsdt;

    if (!dsdt) {
        return 0;
    }
    for (u32 i = sizeof(*dsdt); i + 12 < dsdt->length; i++) {
        if (!memcmp(aml + i, "_S5_\x12", 5)) {
            const u8 *p = aml + i + 5;

            p += (*p >> 6) + 1; /* PkgLength */
            p += 1;             /* NumElements */
            if (*p == 0x0a) {   /* BytePrefix */
                p++;
            }
            return *p & 7;
        }
    }
    return 0;
}

void power_off(void)
{
    const void *fadt = acpi_table("FACP");

    if (fadt) {
        outw((u16)read32(fadt, 64), (u16)(sleep_type_s5(fadt) << 10 | PM1_SLP_EN | PM1_SCI_EN));
    }
    /* The emulator takes a moment to obey. */
    for (u64 end = deadline_in_ms(2000); !deadline_over(end);) {
        relax();
    }
    print("I: switching off failed\n");
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}
