/* SPDX-License-Identifier: Apache-2.0 */
/* All that hv/main.c calls, for its test: each says its name, and fails where it shall. */
#ifndef TESTS_START_WORLD_H
#define TESTS_START_WORLD_H

#include "tests/unit/machine_world.h"
#include "arch/acpi.h"
#include "arch/nested.h"
#include "arch/paging.h"
#include "arch/pci.h"
#include "arch/probe.h"
#include "arch/screen.h"
#include "arch/vcpu.h"
#include "hv/bus.h"
#include "hv/cpus.h"
#include "hv/env.h"
#include "hv/exit.h"
#include "hv/fixed.h"
#include "hv/loader.h"
#include "hv/main.h"
#include "hv/mem.h"
#include "hv/options.h"
#include "hv/pci.h"
#include "iommu/iommu.h"

struct options options;
void (*panic_more)(void);
bool (*vcpu_guest_access)(struct vcpu *v, const struct vcpu_mode *mode, u64 linear, void *data, unsigned size,
                          bool write);
const struct vcpu_backend *vcpu_ops;

static const char *failing;
static bool has_dmar, is_bare, has_vmx;
static struct acpi_header dmar = { .length = 48 };
static struct {
    u64 base, size;
} windows[2], rmrrs[2];
static unsigned nr_windows, nr_rmrrs, nr_ecam;
static mmio_handler handler;
static struct vcpu cpu;
static struct percpu block = { .vcpu = &cpu };
static struct boot_info info;

static int step(const char *name)
{
    tell("%s ", name);
    return failing && !strcmp(failing, name) ? ERR_NOMEM : 0;
}

#define VOID_STEP(name, ...)  \
    void name(__VA_ARGS__)    \
    {                         \
        (void)step(__func__); \
    }
#define INT_STEP(name, ...)    \
    int name(__VA_ARGS__)      \
    {                          \
        return step(__func__); \
    }

VOID_STEP(clock_init, void)
VOID_STEP(pci_init, void)
VOID_STEP(pci_scan, void)
VOID_STEP(pci_stop_masters, void)
VOID_STEP(paging_work, void)
VOID_STEP(fixed_declare, void)
VOID_STEP(intr_init, void)
VOID_STEP(msr_init, void)
VOID_STEP(iommu_summary, void)
VOID_STEP(options_warn, void)
VOID_STEP(iommu_inside_show, void)
INT_STEP(env_init, void)
INT_STEP(nested_init, void)
INT_STEP(pci_filter_init, void)
INT_STEP(power_init, void)
INT_STEP(emulator_init, void)
INT_STEP(apic_init, void)
INT_STEP(cpu_setup, void)
INT_STEP(iommu_shut_out, void)

static void init_backend(void)
{
    (void)step("vcpu_init");
}

struct vcpu_backend svm_backend = { .name = "SVM", .init = init_backend };
struct vcpu_backend vmx_backend = { .name = "VMX", .init = init_backend };

u64 region_choose(const struct boot_info *i, u64 *size)
{
    assert_ptr_equal(i, &info);
    *size = 0x2000000;
    return 0x3c000000;
}

void paging_relocate(u64 base, u64 size, const struct boot_info *i)
{
    assert_true(base == 0x3c000000 && size == 0x2000000 && i == &info);
    (void)step("relocate");
}

void screen_init(const struct boot_framebuffer *fb)
{
    (void)step(fb ? "screen" : "no-screen");
}

void screen_ours(bool ours)
{
    (void)step(ours ? "screen-ours" : "screen-theirs");
}

int mem_init(const struct boot_info *i)
{
    (void)i;
    return step("mem_init");
}

const char *cpu_probe(void)
{
    return step("probe") ? "no virtualisation" : NULL;
}

bool vmx_present(void)
{
    return has_vmx;
}

int acpi_init(u64 rsdp)
{
    assert_int_equal(rsdp, 0xe0000);
    return step("acpi");
}

struct acpi_header *acpi_find(const char signature[4])
{
    assert_memory_equal(signature, "DMAR", 4);
    return has_dmar ? &dmar : NULL;
}

void acpi_fix_checksum(struct acpi_header *table)
{
    assert_ptr_equal(table, &dmar);
    (void)step("checksum");
}

int iommu_parse(const void *table, size_t size)
{
    assert_true(table == &dmar && size == dmar.length);
    return step("parse");
}

bool iommu_window(unsigned i, u64 *base, u64 *size)
{
    if (i >= nr_windows)
        return false;
    *base = windows[i].base;
    *size = windows[i].size;
    return true;
}

bool iommu_rmrr(unsigned i, u64 *base, u64 *size)
{
    if (i >= nr_rmrrs)
        return false;
    *base = rmrrs[i].base;
    *size = rmrrs[i].size;
    return true;
}

int mem_declare(u64 base, u64 size, enum mem_owner owner)
{
    (void)base;
    (void)size;
    return step(owner == MEM_UNIT ? "unit" : owner == MEM_RMRR ? "rmrr" : "?");
}

bool in_region(u64 pa, u64 size)
{
    return ranges_overlap(pa, size, 0x3c000000, 0x2000000);
}

int iommu_guard(u64 base, u64 size, bool *bare)
{
    assert_true(base == 0x100000 && size == 0x80000);
    *bare = is_bare;
    return step("guard");
}

int iommu_protect(const struct iommu_options *o)
{
    assert_ptr_equal(o, &options.iommu);
    return step("protect");
}

void iommu_edit_dmar(void *table, size_t size)
{
    assert_true(table == &dmar && size == dmar.length);
    (void)step("edit");
}

u64 iommu_read(unsigned i, u64 gpa, unsigned width)
{
    tell("R%u:%u,%llx ", width, i, (unsigned long long)gpa);
    return 0x1234;
}

void iommu_write(unsigned i, u64 gpa, unsigned width, u64 value)
{
    tell("W%u:%u,%llx=%llx ", width, i, (unsigned long long)gpa, (unsigned long long)value);
}

int nested_set(u64 base, u64 size, enum nested_access access)
{
    assert_true(base == region_base() && size == region_size() && access == NESTED_NONE);
    return step("hide");
}

u64 region_base(void)
{
    return 0x3c000000;
}

u64 region_size(void)
{
    return 0x2000000;
}

int bus_add_mmio(u64 base, u64 size, bool reads_direct, mmio_handler h, void *ctx)
{
    assert_true(base == windows[(u64)ctx].base && size == windows[(u64)ctx].size && !reads_direct);
    handler = h;
    return step("trap");
}

u64 mem_ram_bytes(const struct boot_info *i)
{
    (void)i;
    return 0x40000000;
}

u64 clock_tsc_per_us(void)
{
    return 1000;
}

unsigned pci_function_count(void)
{
    return 7;
}

unsigned pci_ecam_count(void)
{
    return nr_ecam;
}

u32 cpus_start(const struct boot_info *i)
{
    (void)i;
    (void)step("cpus");
    return 2;
}

void guest_check(const struct boot_info *i)
{
    (void)i;
    (void)step("check");
}

void guest_load(const struct boot_info *i, struct vcpu_start *start)
{
    (void)i;
    start->rip = 0x1000000;
    (void)step("load");
}

void vcpu_start(struct vcpu *v, const struct vcpu_start *start)
{
    assert_true(v == &cpu && start->rip == 0x1000000);
    (void)step("start");
}

struct percpu *this_cpu(void)
{
    return &block;
}

void guest_run(struct vcpu *v)
{
    assert_ptr_equal(v, &cpu);
    end("guest");
}

bool guest_access(struct vcpu *v, const struct vcpu_mode *mode, u64 linear, void *data, unsigned size,
                  bool write)
{
    (void)v;
    (void)mode;
    (void)linear;
    (void)data;
    (void)size;
    return write;
}

void options_parse(const char *cmdline)
{
    assert_ptr_equal(cmdline, info.cmdline);
    (void)step("options");
}

static int set_up(void **state)
{
    info =
        (struct boot_info){ .path = "EFI", .rsdp = 0xe0000, .image_base = 0x100000, .image_size = 0x80000 };
    memset(&options, 0, sizeof(options));
    failing = NULL;
    has_dmar = true;
    is_bare = has_vmx = svm_backend.nested_1g = false;
    nr_ecam = 0;
    windows[0].base = 0xfed90000;
    windows[1].base = 0xfed91000;
    rmrrs[0].base = 0x3b000000;
    windows[0].size = windows[1].size = rmrrs[0].size = 0x1000;
    nr_windows = 2;
    nr_rmrrs = 1;
    return machine_set_up(state);
}

#endif
