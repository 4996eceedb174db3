/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the boot loader to the guest's first instruction: what is missing is refused before anything is
 * touched, then the devices are contained, and only then is a guest put into memory.
 */
#include "hv/main.h"
#include "arch/acpi.h"
#include "arch/cpu.h"
#include "arch/log.h"
#include "arch/nested.h"
#include "arch/paging.h"
#include "arch/pci.h"
#include "arch/screen.h"
#include "arch/vcpu.h"
#include "arch/probe.h"
#include "hv/bus.h"
#include "hv/cpus.h"
#include "hv/env.h"
#include "hv/exit.h"
#include "hv/fixed.h"
#include "hv/loader.h"
#include "hv/mem.h"
#include "hv/options.h"
#include "hv/pci.h"
#include "iommu/iommu.h"

#define MIB 20

static void move_high(const struct boot_info *info)
{
    u64 size, base = region_choose(info, &size);

    screen_init(NULL);
    paging_relocate(base, size, info);
    screen_init(&info->framebuffer);
    if (mem_init(info))
        refuse("firmware's memory map has too many ranges");
    need(env_init(), "setting pages aside");
}

static void choose_backend(void)
{
    vcpu_guest_access = guest_access;
    const char *missing = cpu_probe();
    if (missing)
        refuse("%s", missing);
    vcpu_ops = vmx_present() ? &vmx_backend : &svm_backend;
    vcpu_ops->init();
}

static struct acpi_header *find_units(void)
{
    struct acpi_header *dmar = acpi_find("DMAR");
    u64 base, size;

    if (!dmar)
        refuse(
            "no VT-d: firmware has no DMAR table; enable VT-d (DMA remapping) in firmware, or add "
            "`-device intel-iommu` in QEMU, or accept a guest whose devices nobody contains with iommu=off");
    if (iommu_parse(dmar, dmar->length))
        refuse("firmware's DMAR table cannot be used (see above); update the firmware");
    for (unsigned i = 0; iommu_window(i, &base, &size); i++)
        need(mem_declare(base, size, MEM_UNIT), "declaring the unit");
    for (unsigned i = 0; iommu_rmrr(i, &base, &size); i++) {
        if (in_region(base, size))
            refuse("firmware's DMAR table reserves ordinary memory at 0x%lx; update the firmware", base);
        need(mem_declare(base, size, MEM_RMRR), "declaring reserved memory");
    }
    return dmar;
}

static void contain_devices(struct acpi_header *dmar)
{
    if (iommu_protect(&options.iommu))
        refuse("the VT-d units cannot be used (see above)");
    panic_more = iommu_inside_show;
    iommu_edit_dmar(dmar, dmar->length);
    acpi_fix_checksum(dmar);
}

static u64 unit_access(void *ctx, u64 gpa, unsigned width, bool write, u64 value, struct vcpu *v)
{
    (void)v;
    if (!write)
        return iommu_read((unsigned)(u64)ctx, gpa, width);
    iommu_write((unsigned)(u64)ctx, gpa, width, value);
    return 0;
}

/* What the guest's CPUs may not reach, or only through us. */
static void set_traps(void)
{
    u64 base, size;

    need(nested_init(), "nested paging");
    need(nested_set(region_base(), region_size(), NESTED_NONE), "hiding Sluice");
    for (unsigned i = 0; iommu_window(i, &base, &size); i++)
        need(bus_add_mmio(base, size, false, unit_access, (void *)(u64)i), "trapping the unit");
    need(pci_filter_init(), "trapping configuration space");
    intr_init();
    need(power_init(), "trapping the power registers");
    need(emulator_init(), "trapping the emulator's registers");
    need(apic_init(), "trapping start-up interrupts");
}

static void log_machine(const struct boot_info *info)
{
    log_info("boot         %s by %s", info->path, info->loader[0] ? info->loader : "a loader without a name");
    log_info("memory       %lu MiB of RAM; Sluice at 0x%lx, %lu MiB", mem_ram_bytes(info) >> MIB,
             region_base(), region_size() >> MIB);
    log_info("CPU          %s with nested paging%s, TSC %lu MHz", vcpu_ops->name,
             vcpu_ops->nested_1g ? " and 1 GiB pages" : "", clock_tsc_per_us());
    log_info("PCI          %u functions, %s", pci_function_count(),
             pci_ecam_count() ? "ECAM" : "ports only (no MCFG table)");
}

static void log_promises(void)
{
    if (!options.iommu_off) {
        iommu_summary();
        log_info("interrupts: %s", options.iommu.strict
                                       ? "contained from the start"
                                       : "not contained, as interrupt remapping is not in use");
    }
    options_warn();
}

static void __noreturn start_guest(const struct boot_info *info)
{
    struct vcpu_start start;

    msr_init();
    need(cpu_setup(), "switching virtualisation on");
    u32 count = cpus_start(info);
    log_info("CPUs         %u, each in Sluice from its first instruction on", count);
    guest_load(info, &start);
    vcpu_start(this_cpu()->vcpu, &start);
    log_promises();
    u64 ticks = rdtsc() - info->start_tsc;
    log_debug("start took %lu ticks, %lu of them until devices were shut out", ticks, info->shut_out_ticks);
    log_info("entering the guest %lu ms after start", ticks / clock_tsc_per_us() / 1000);
    screen_ours(false);
    guest_run(this_cpu()->vcpu);
}

static void judge(const struct boot_info *info)
{
    if (info->cmdline_cut)
        refuse("Sluice's command line is too long; at most %d characters", BOOT_CMDLINE_MAX - 1);
    options_parse(info->cmdline);
    if (info->ranges_cut)
        refuse("firmware's memory map has too many ranges; at most %d", BOOT_MAX_RANGES);
}

bool hv_shut_out(const struct boot_info *info)
{
    bool bare;

    judge(info);
    /* Tables above 4 GiB are out of reach until the second start: hv_main() then says what is missing. */
    if (options.iommu_off || acpi_init(info->rsdp) || !acpi_find("DMAR"))
        return false;
    paging_work();
    need(env_init(), "setting pages aside");
    pci_init();
    (void)find_units();
    if (iommu_guard(info->image_base, info->image_size, &bare))
        refuse("the VT-d units cannot be used (see above)");
    if (bare)
        pci_stop_masters();
    if (iommu_shut_out())
        refuse("the VT-d units cannot be used (see above)");
    return true;
}

void __noreturn hv_main(const struct boot_info *info)
{
    judge(info);
    move_high(info);

    if (acpi_init(info->rsdp))
        refuse("no ACPI tables; Sluice finds the VT-d units through them");
    clock_init();
    choose_backend();
    pci_init();
    struct acpi_header *dmar = options.iommu_off ? NULL : find_units();
    fixed_declare();
    guest_check(info);
    pci_scan();

    if (dmar)
        contain_devices(dmar);
    log_machine(info);
    set_traps();
    start_guest(info);
}
