/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the unit announces: the DMAR table and the registers as a driver finds them, before it does anything.
 */
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/vtd.h"

/* CAP and ECAP bits that mean second-stage tables in legacy and scalable mode and interrupt remapping;
 * nothing else is there. */
#define CAP_KNOWN                                                                                        \
    (MASK(2, 0) | BIT(4) | BIT(7) | MASK(12, 8) | MASK(21, 16) | BIT(22) | MASK(33, 24) | MASK(37, 34) | \
     BIT(39) | MASK(47, 40) | MASK(53, 48) | BIT(54) | BIT(55))
#define ECAP_KNOWN (MASK(4, 0) | BIT(6) | BIT(7) | MASK(17, 8) | MASK(23, 20) | BIT(43) | BIT(46) | BIT(48))

static u8 sum(const u8 *p, u32 length)
{
    u8 s = 0;

    while (length--) {
        s = (u8)(s + *p++);
    }
    return s;
}

static void dmar(void)
{
    const u8 *table = acpi_table("DMAR");
    u32 length, units = 0, at;
    u16 head[2];

    part("dmar");
    memcpy(&length, table + 4, sizeof(length));
    check("checksum", sum(table, length) == 0, "0x%x", sum(table, length));
    for (at = 48; at + 4 <= length; at += head[1]) {
        memcpy(head, table + at, sizeof(head));
        print("I: structure type %u length %u\n", head[0], head[1]);
        if (head[1] < 4 || at + head[1] > length) {
            break;
        }
        units += head[0] == 0;
    }
    check("structures", at == length, "they end at %u of %u", at, length);
    check("units", units == 1, "%u", units);
    check("window", vtd_base && !(vtd_base & 0xfff), "0x%lx", vtd_base);
    check("device-tlbs", vtd_has_atsr() == !!(vtd_ecap & BIT(2)), "ATSR %d, DT %d", vtd_has_atsr(),
          !!(vtd_ecap & BIT(2)));
    /* Interrupt remapping announced by the table only with the unit's. */
    check("interrupts", !(table[37] & 1) || vtd_ecap & BIT(3) || !on_sluice, "flags 0x%x", table[37]);
}

static void registers(void)
{
    u32 fro = (u32)(vtd_cap >> 24 & 0x3ff) * 16, iro = (u32)(vtd_ecap >> 8 & 0x3ff) * 16;

    part("registers");
    check("version", vtd_read32(VTD_VER) >> 4 & 0xf, "0x%x", vtd_read32(VTD_VER));
    check("status", vtd_read32(VTD_GSTS) == 0, "GSTS 0x%x", vtd_read32(VTD_GSTS));
    check("faults", vtd_read32(VTD_FSTS) == 0, "FSTS 0x%x", vtd_read32(VTD_FSTS));
    check("queue", vtd_read64(VTD_IQH) == 0 && vtd_read64(VTD_IQT) == 0, "IQH 0x%lx", vtd_read64(VTD_IQH));
    check("masked", vtd_read32(VTD_FECTL) >> 31 && vtd_read32(VTD_IECTL) >> 31, "FECTL 0x%x",
          vtd_read32(VTD_FECTL));
    check("offsets", fro >= 0x100 && fro + 16 * ((vtd_cap >> 40 & 0xff) + 1) <= 0x1000 && iro >= 0xb0,
          "0x%x 0x%x", fro, iro);
    if (!on_sluice) {
        return;
    }
    check("caching-mode", vtd_cap & BIT(7), "CAP 0x%lx", vtd_cap);
    check("queued", vtd_ecap & BIT(1), "ECAP 0x%lx", vtd_ecap);
    check("depth", vtd_cap >> 8 & 6, "CAP 0x%lx", vtd_cap);
    check("cap-allowed", !(vtd_cap & ~CAP_KNOWN), "CAP 0x%lx", vtd_cap);
    check("ecap-allowed", !(vtd_ecap & ~ECAP_KNOWN), "ECAP 0x%lx", vtd_ecap);
}

void guest_main(void)
{
    if (!vtd_find()) {
        check("setup", false, "no unit");
        return;
    }
    print("I: cap 0x%lx\nI: ecap 0x%lx\n", vtd_cap, vtd_ecap);
    dmar();
    registers();
}
