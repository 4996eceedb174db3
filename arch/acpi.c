/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding ACPI tables (ACPI 5.2). Runs on the host too (tests/unit/test_acpi.c): memory is reached through
 * direct_map() only.
 */
#include "arch/acpi.h"
#include "arch/log.h"
#include "arch/paging.h"
#include "arch/string.h"

struct rsdp {
    char signature[8];
    u8 checksum; /* of the first 20 bytes */
    char oem_id[6];
    u8 revision; /* 2 and up: what follows `rsdt` exists */
    u32 rsdt;
    u32 length;
    u64 xsdt;
    u8 extended_checksum; /* of `length` bytes */
    u8 reserved[3];
} __attribute__((packed));
_Static_assert(sizeof(struct rsdp) == 36, "ACPI 5.2.5.3");
#define RSDP_V1_SIZE 20

/* Larger tables exist nowhere; a broken length must not make us map and sum gigabytes. */
#define MAX_TABLE (16u << 20)

/* Where a BIOS puts the RSDP (ACPI 5.2.5.1). */
#define EBDA_SEGMENT 0x40e
#define EBDA_SIZE    1024
#define BIOS_BASE    0xe0000
#define BIOS_SIZE    0x20000

/* FADT fields that lead to the DSDT (ACPI 5.2.9). */
#define FADT_DSDT    40
#define FADT_X_DSDT  140
#define MADT_ENTRIES 44 /* ACPI 5.2.12 */

static u64 rsdp_pa;
static u64 root_pa; /* XSDT or RSDT */
static unsigned entry_size;

static u8 sum(const void *data, size_t size)
{
    const u8 *p = data;
    u8 total = 0;

    for (size_t i = 0; i < size; i++)
        total = (u8)(total + p[i]);
    return total;
}

static bool rsdp_valid(const struct rsdp *r)
{
    return !memcmp(r->signature, "RSD PTR ", 8) && !sum(r, RSDP_V1_SIZE);
}

static u64 search(u64 base, u64 size)
{
    const u8 *area = direct_map(base, size);

    if (!area)
        return 0;
    for (u64 off = 0; off + RSDP_V1_SIZE <= size; off += 16)
        if (rsdp_valid((const struct rsdp *)(area + off)))
            return base + off;
    return 0;
}

static u64 search_bios(void)
{
    const u8 *bda = direct_map(EBDA_SEGMENT, 2);
    u64 found = 0;

    if (bda) {
        u64 ebda = (u64)(bda[0] | bda[1] << 8) << 4;

        if (ebda >= 0x400 && ebda <= 0xa0000 - EBDA_SIZE)
            found = search(ebda, EBDA_SIZE);
    }
    return found ? found : search(BIOS_BASE, BIOS_SIZE);
}

/* The table at pa when it is whole; logs what is wrong with it otherwise. `signature` NULL: any. */
static struct acpi_header *table_at(u64 pa, const char *signature)
{
    struct acpi_header *table = direct_map(pa, sizeof(*table));

    if (!table)
        return NULL;
    if (signature && memcmp(table->signature, signature, 4))
        return NULL;
    u32 length = table->length;
    if (length < sizeof(*table) || length > MAX_TABLE || !direct_map(pa, length)) {
        log_warn("ACPI table %.4s at 0x%llx: bad length %u, ignored", table->signature,
                 (unsigned long long)pa, length);
        return NULL;
    }
    if (sum(table, length)) {
        log_warn("ACPI table %.4s at 0x%llx: bad checksum, ignored", table->signature,
                 (unsigned long long)pa);
        return NULL;
    }
    return table;
}

int acpi_init(u64 rsdp)
{
    u64 xsdt = 0;

    rsdp_pa = rsdp ? rsdp : search_bios();
    root_pa = 0;
    const struct rsdp *r = rsdp_pa ? direct_map(rsdp_pa, RSDP_V1_SIZE) : NULL;
    if (!r || !rsdp_valid(r))
        return ERR_NODEV;

    /* The second half of the structure exists, and is checked, only from revision 2 on. */
    if (r->revision >= 2 && direct_map(rsdp_pa, sizeof(*r)) && r->length >= sizeof(*r) &&
        r->length <= PAGE_SIZE && direct_map(rsdp_pa, r->length) && !sum(r, r->length))
        xsdt = r->xsdt;
    if (xsdt && table_at(xsdt, "XSDT")) {
        root_pa = xsdt;
        entry_size = 8;
    } else if (r->rsdt && table_at(r->rsdt, "RSDT")) {
        root_pa = r->rsdt;
        entry_size = 4;
    }
    return root_pa ? 0 : ERR_NODEV;
}

u64 acpi_rsdp(void)
{
    return rsdp_pa;
}

static struct acpi_header *find_dsdt(void)
{
    const struct acpi_header *fadt = acpi_find("FACP");
    u64 wide = acpi_field(fadt, FADT_X_DSDT, 8), pa = wide ? wide : acpi_field(fadt, FADT_DSDT, 4);

    return pa ? table_at(pa, "DSDT") : NULL;
}

struct acpi_header *acpi_find(const char signature[4])
{
    const struct acpi_header *root = root_pa ? direct_map(root_pa, sizeof(*root)) : NULL;

    if (!root)
        return NULL;
    if (!memcmp(signature, "DSDT", 4))
        return find_dsdt();
    for (u64 off = sizeof(*root); off + entry_size <= root->length; off += entry_size) {
        u64 pa = acpi_field(root, (u32)off, entry_size);
        struct acpi_header *table = pa ? table_at(pa, signature) : NULL;
        if (table)
            return table;
    }
    return NULL;
}

const u8 *acpi_madt_next(const u8 *entry)
{
    const struct acpi_header *madt = acpi_find("APIC");
    const u8 *start = (const u8 *)madt;

    if (!madt)
        return NULL;
    entry = entry ? entry + entry[1] : start + MADT_ENTRIES;
    u64 left = entry < start + madt->length ? (u64)(start + madt->length - entry) : 0;
    return left >= 2 && entry[1] >= 2 && entry[1] <= left ? entry : NULL;
}

void acpi_fix_checksum(struct acpi_header *table)
{
    table->checksum = 0;
    table->checksum = (u8)-sum(table, table->length);
}
