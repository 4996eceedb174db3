/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Switching VMX on, and what exits.
 */
#include "arch/cpu.h"
#include "arch/paging.h"
#include "arch/string.h"
#include "arch/vmx/vmx_int.h"

#define MSR_RTIT_CTL  0x570
#define RTIT_TRACE_EN BIT(0)

u8 vmx_io_bitmap[2 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
u8 vmx_msr_bitmap[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

/* SDM 3C, 25.6.9: 1 KiB each for reads of 0 to 1FFFh and of C0000000h to C0001FFFh, then for writes. All
 * others always exit. */
static void set_msr_bits(u32 msr, bool read, bool write)
{
    u32 low = msr & 0x1fff;
    u32 bit = msr < 0x2000 ? low : 8 * 0x400 + low;

    if (msr != low && msr != (0xc0000000u | low))
        return;
    vcpu_trap(vmx_msr_bitmap, bit, !read);
    vcpu_trap(vmx_msr_bitmap, 8 * 0x800 + bit, !write);
}

static void init(void)
{
    memset(vmx_msr_bitmap, 0xff, sizeof(vmx_msr_bitmap));
    /* The guest's is loaded and saved with each entry and exit, and 0 meanwhile. */
    set_msr_bits(MSR_DEBUGCTL, true, true);
    vmx_mtrrs_read();
    vmx_backend.nested_1g = vmx_controls.ept_1g;
    vmx_backend.exit_within = vmx_controls.timer ? vmx_exit_within : NULL;
}

static int create(struct vcpu *v)
{
    void *vmxon = page_alloc();
    u64 pa, now, control;
    bool failed;

    if (!vmxon)
        return ERR_NOMEM;
    if (rdmsr_safe(MSR_FEATURE_CONTROL, &now)) {
        control = now;
        if (!vmx_allow(&control))
            return ERR_NODEV; /* firmware set this CPU up otherwise than the first */
        if (control != now)
            wrmsr(MSR_FEATURE_CONTROL, control);
    }
    *(u32 *)vmxon = (u32)(vmx_caps.basic & BASIC_REVISION);
    pa = virt_to_phys(vmxon);
    /* A trace that firmware left running would be written to physical addresses, past EPT. */
    if (rdmsr_safe(MSR_RTIT_CTL, &control) && control)
        wrmsr(MSR_RTIT_CTL, control & ~RTIT_TRACE_EN);
    u64 cr0 = (read_cr0() | vmx_caps.cr0_fixed0) & vmx_caps.cr0_fixed1;
    __asm__ volatile("mov %0, %%cr0" ::"r"(cr0) : "memory");
    write_cr4(read_cr4() | vmx_caps.cr4_fixed0);
    __asm__ volatile("vmxon %1" : "=@ccbe"(failed) : "m"(pa) : "memory");
    return failed ? ERR_IO : vmx_vcpu_create(v);
}

static void idle(struct vcpu *v, u32 unless)
{
    cpu_idle(&v->requests, unless);
}

static void pass_msr(u32 msr, bool read, bool write)
{
    if (msr != MSR_DEBUGCTL)
        set_msr_bits(msr, read, write);
}

struct vcpu_backend vmx_backend = {
    .name = "Intel VMX",
    .hypercall = { 0x0f, 0x01, 0xc1 },
    .init = init,
    .vcpu_create = create,
    .reset = vmx_reset,
    .get = vmx_get,
    .set = vmx_set,
    .get_segment = vmx_get_segment,
    .set_segment = vmx_set_segment,
    .mode_is = vmx_mode_is,
    .run = vmx_run,
    .take_nmi = vmx_take_nmi,
    .retired = vmx_retired,
    .ports = vmx_io_bitmap,
    .pass_msr = pass_msr,
    .nested_flush = vmx_nested_flush,
    .idle = idle,
    .mtrrs_changed = vmx_mtrrs_changed,
    .nested_leaf = vmx_nested_leaf,
    .nested_link = vmx_nested_link,
    .dump = vmx_dump,
};
