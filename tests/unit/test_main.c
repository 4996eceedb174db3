/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/main.c */
/* The start, step by step: in which order, what is refused and when, and what is declared of the units. */
#include "tests/unit/start_world.h"

#define UP_TO_UNITS \
    "options no-screen relocate screen mem_init env_init acpi clock_init probe vcpu_init pci_init "
#define UNITS "parse unit unit rmrr "
#define GUEST \
    "hide trap trap pci_filter_init intr_init power_init emulator_init apic_init msr_init cpu_setup cpus load start "
#define WHOLE                                                                                 \
    UP_TO_UNITS UNITS "fixed_declare check pci_scan protect edit checksum nested_init " GUEST \
                      "iommu_summary options_warn screen-theirs guest "

static void start(void)
{
    assert_true(ends(hv_main(&info)));
}

/* Devices are contained before a guest is put into memory, and traps are set before it runs. */
static void in_order(void **state)
{
    (void)state;
    start();
    assert_story(WHOLE);
    assert_ptr_equal(vcpu_ops, &svm_backend);
    assert_ptr_equal(vcpu_guest_access, guest_access);
    assert_ptr_equal(panic_more, iommu_inside_show);
    has_vmx = true;
    start();
    assert_ptr_equal(vcpu_ops, &vmx_backend);
}

/* What fails is the last thing that is done. */
static void each_failure_is_refused(void **state)
{
    static const char *const steps[] = {
        "mem_init",   "env_init",      "acpi",        "probe",     "parse", "unit",
        "rmrr",       "protect",       "nested_init", "hide",      "trap",  "pci_filter_init",
        "power_init", "emulator_init", "apic_init",   "cpu_setup",
    };
    char want[sizeof(story)];

    for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
        set_up(state);
        failing = steps[i];
        start();
        snprintf(want, sizeof(want), "%s", WHOLE);
        strcpy(strstr(want, failing) + strlen(failing), " refused ");
        assert_story(want);
    }
}

/* Firmware's reserved memory may lie next to Sluice, and not in it. */
static void reserved_memory(void **state)
{
    static const struct {
        u64 base;
        bool good;
    } t[] = { { 0x3bfff000, true }, { 0x3c000000, false }, { 0x3dfff000, false }, { 0x3e000000, true } };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        set_up(state);
        nr_rmrrs = 2;
        rmrrs[1].base = t[i].base;
        rmrrs[1].size = 0x1000;
        start();
        assert_int_equal(strstr(story, "guest ") != NULL, t[i].good);
        assert_int_equal(strstr(story, "rmrr rmrr ") != NULL, t[i].good);
    }
}

static void without_units(void **state)
{
    (void)state;
    has_dmar = false;
    start();
    assert_story(UP_TO_UNITS "refused ");
    assert_non_null(strstr(last_line, "no VT-d"));
    options.iommu_off = 1;
    nr_windows = nr_rmrrs = 0;
    start();
    assert_story(UP_TO_UNITS
                 "fixed_declare check pci_scan nested_init hide pci_filter_init intr_init power_init "
                 "emulator_init apic_init msr_init cpu_setup cpus load start options_warn "
                 "screen-theirs guest ");
}

/* With half a command line or half a map nothing is begun, and the message says how much there may be. */
static void what_was_cut(void **state)
{
    (void)state;
    info.cmdline_cut = true;
    start();
    assert_story("refused ");
    assert_non_null(strstr(last_line, "at most 2047 characters"));
    info.cmdline_cut = false;
    info.ranges_cut = true;
    start();
    assert_story("options refused ");
    assert_non_null(strstr(last_line, "at most 256"));
}

/* What the boot summary promises is what there is. */
static void what_is_told(void **state)
{
    static const char *const first[] = { "EFI by a loader without a name",
                                         "1024 MiB of RAM; Sluice at 0x3c000000, 32 MiB",
                                         "SVM with nested paging, TSC 1000 MHz",
                                         "7 functions, ports only",
                                         "interrupts: not contained",
                                         "2, each in Sluice",
                                         "start took",
                                         "entering the guest" };
    static const char *const then[] = { "EFI by GRUB", "SVM with nested paging and 1 GiB pages",
                                        "7 functions, ECAM", "interrupts: contained" };

    start();
    for (unsigned i = 0; i < ARRAY_SIZE(first); i++)
        assert_true(said(first[i]));
    set_up(state);
    strcpy(info.loader, "GRUB");
    svm_backend.nested_1g = true;
    nr_ecam = 1;
    options.iommu.strict = 1;
    start();
    for (unsigned i = 0; i < ARRAY_SIZE(then); i++)
        assert_true(said(then[i]));
}

static void a_units_registers(void **state)
{
    (void)state;
    start();
    story[0] = 0;
    assert_int_equal(handler((void *)1, 0xfed91088, 4, false, 0, &cpu), 0x1234);
    assert_int_equal(handler((void *)1, 0xfed91088, 4, true, 0x20, &cpu), 0);
    assert_story("R4:1,fed91088 W4:1,fed91088=20 ");
}

/* ---- the first start ---- */

static bool shut_out_refused(void)
{
    return ends((void)hv_shut_out(&info));
}

static void the_first_start(void **state)
{
    (void)state;
    assert_true(hv_shut_out(&info));
    assert_story("options acpi paging_work env_init pci_init " UNITS "guard iommu_shut_out ");
    is_bare = true;
    assert_true(hv_shut_out(&info));
    assert_story("options acpi paging_work env_init pci_init " UNITS
                 "guard pci_stop_masters iommu_shut_out ");
    has_dmar = false; /* no unit that could */
    assert_false(hv_shut_out(&info));
    options.iommu_off = 1;
    has_dmar = true;
    assert_false(hv_shut_out(&info));
    options.iommu_off = 0;
    failing = "acpi";
    assert_false(hv_shut_out(&info));
    assert_story("options acpi options options acpi ");
}

static void the_first_start_fails(void **state)
{
    static const char *const steps[] = { "env_init", "parse", "unit", "guard", "iommu_shut_out" };
    char want[sizeof(story)];

    for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
        set_up(state);
        failing = steps[i];
        assert_true(shut_out_refused());
        snprintf(want, sizeof(want),
                 "options acpi paging_work env_init pci_init " UNITS "guard iommu_shut_out ");
        strcpy(strstr(want, failing) + strlen(failing), " refused ");
        assert_story(want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(in_order, set_up),
        cmocka_unit_test_setup(each_failure_is_refused, set_up),
        cmocka_unit_test_setup(reserved_memory, set_up),
        cmocka_unit_test_setup(without_units, set_up),
        cmocka_unit_test_setup(what_was_cut, set_up),
        cmocka_unit_test_setup(what_is_told, set_up),
        cmocka_unit_test_setup(a_units_registers, set_up),
        cmocka_unit_test_setup(the_first_start, set_up),
        cmocka_unit_test_setup(the_first_start_fails, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
