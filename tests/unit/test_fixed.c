/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/fixed.c */
/* Devices at fixed addresses: all that ACPI names and what every PC has, and nothing read beyond an entry. */
#include "tests/unit/machine_world.h"
#include "arch/acpi.h"
#include "arch/pci.h"
#include "hv/fixed.h"
#include "hv/mem.h"

/* ---- what firmware says ---- */

static u8 *madt; /* entries only, on the heap so that reading beyond them is noticed */
static size_t madt_size;
static struct {
    struct acpi_header header;
    u8 rest[56 - sizeof(struct acpi_header)];
} hpet;
static bool has_hpet;
static struct ecam ecam[2];
static unsigned nr_ecam;
static int declare_error;

struct acpi_header *acpi_find(const char signature[4])
{
    assert_memory_equal(signature, "HPET", 4);
    return has_hpet ? &hpet.header : NULL;
}

const u8 *acpi_madt_next(const u8 *entry)
{
    entry = entry ? entry + entry[1] : madt;
    return entry < madt + madt_size ? entry : NULL;
}

unsigned pci_ecam_count(void)
{
    return nr_ecam;
}

const struct ecam *pci_ecam(unsigned i)
{
    return i < nr_ecam ? &ecam[i] : NULL;
}

int mem_declare(u64 base, u64 size, enum mem_owner owner)
{
    assert_int_equal(owner, MEM_DEVICE);
    if (declare_error)
        return declare_error;
    tell("%llx+%llx ", (unsigned long long)base, (unsigned long long)size);
    return 0;
}

static void set_madt(const u8 *entries, size_t size)
{
    free(madt);
    madt = malloc(size ? size : 1);
    madt_size = size;
    if (size)
        memcpy(madt, entries, size);
}

static void set_hpet(u64 address, u8 number)
{
    has_hpet = true;
    hpet.header.length = sizeof(hpet);
    memcpy((u8 *)&hpet + 44, &address, sizeof(address));
    ((u8 *)&hpet)[52] = number;
}

static int set_up(void **state)
{
    has_hpet = false;
    nr_ecam = 0;
    declare_error = 0;
    set_madt(NULL, 0);
    return machine_set_up(state);
}

static int tear_down(void **state)
{
    (void)state;
    free(madt);
    madt = NULL;
    return 0;
}

#define EVERYWHERE "a0000+60000 fec00000+100000 fed00000+1000 fed40000+5000 fee00000+100000 ff000000+1000000 "

static void without_acpi(void **state)
{
    (void)state;
    fixed_declare();
    assert_story(EVERYWHERE);
}

static void all_that_firmware_names(void **state)
{
    static const u8 entries[] = {
        0, 8,  0, 0, 1, 0,    0,    0,                 /* a local APIC */
        1, 12, 2, 0, 0, 0,    0xc0, 0xfe, 0,  0, 0, 0, /* IOAPICs */
        1, 12, 3, 0, 0, 0x10, 0xd1, 0xfe, 24, 0, 0, 0,
    };

    (void)state;
    set_madt(entries, sizeof(entries));
    nr_ecam = 2;
    ecam[0] = (struct ecam){ .base = 0xe0000000, .first_bus = 0, .last_bus = 255 };
    ecam[1] = (struct ecam){ .base = 0x4000000000, .segment = 1, .first_bus = 0x10, .last_bus = 0x10 };
    set_hpet(0xfed80000, 5);
    fixed_declare();
    assert_story(EVERYWHERE "e0000000+10000000 4001000000+100000 fec00000+1000 fed11000+1000 fed80000+1000 ");
}

static void the_hpet(void **state)
{
    u8 number = 9;

    (void)state;
    assert_int_equal(fixed_hpet(&number), 0);
    assert_int_equal(number, 0);
    set_hpet(0x1fed00000, 5);
    assert_int_equal(fixed_hpet(&number), 0x1fed00000);
    assert_int_equal(number, 5);
}

/* An entry that ends before its address does is none; one that ends with it is. */
static void short_entries(void **state)
{
    static const u8 entries[] = {
        1, 8, 0, 0, 0, 0, 0xc1, 0xfe,    /* no room for the interrupt's number, which nobody asks for */
        1, 9, 0, 0, 0, 0, 0xc2, 0xfe, 0, /**/
        1, 7, 0, 0, 0, 0, 0xc3,
    };
    u64 address;

    (void)state;
    set_madt(entries, sizeof(entries));
    const u8 *entry = fixed_ioapic_next(NULL, &address);
    assert_ptr_equal(entry, madt);
    assert_int_equal(address, 0xfec10000);
    entry = fixed_ioapic_next(entry, &address);
    assert_ptr_equal(entry, madt + 8);
    assert_int_equal(address, 0xfec20000);
    assert_null(fixed_ioapic_next(entry, &address));
    assert_int_equal(address, 0xfec20000);
}

/* With a device of which nobody knows, nothing is started. */
static void no_room(void **state)
{
    (void)state;
    declare_error = ERR_NOSPC;
    assert_true(ends(fixed_declare()));
    assert_story("refused ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_acpi, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_that_firmware_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_hpet, set_up, tear_down),
        cmocka_unit_test_setup_teardown(short_entries, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_room, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
