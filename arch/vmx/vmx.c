/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Switching VMX on, and what exits.
 */
#include "arch/cpu.h"
#include "arch/log.h"
#include "arch/paging.h"
#include "arch/string.h"
#include "arch/vmx/vmx_int.h"

#define MSR_RTIT_CTL  0x570
#define RTIT_TRACE_EN BIT(0)

static u8 vmx_io_bitmap[2 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static u8 vmx_msr_bitmap[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

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

static struct vmx_vcpu vmx_vcpus[MAX_CPUS];

void vmwrite_failed(u64 field, u64 value)
{
    panic("VMWRITE of 0x%llx to field 0x%llx failed: the CPU does not have it", (unsigned long long)value,
          (unsigned long long)field);
}

static void write_host_state(void)
{
    struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) gdtr, idtr;
    u16 cs, ss, tr;
    struct percpu *cpu = this_cpu();

    __asm__ volatile("sgdt %0\n\tsidt %1" : "=m"(gdtr), "=m"(idtr));
    __asm__ volatile("movw %%cs, %0\n\tmovw %%ss, %1\n\tstr %2" : "=r"(cs), "=r"(ss), "=r"(tr));
    vmwrite(HOST_CS, cs);
    vmwrite(HOST_SS, ss);
    vmwrite(HOST_DS, ss);
    vmwrite(HOST_ES, ss);
    vmwrite(HOST_TR, tr);
    vmwrite(HOST_CR0, read_cr0());
    vmwrite(HOST_CR3, read_cr3());
    vmwrite(HOST_CR4, read_cr4());
    vmwrite(HOST_GS_BASE, (u64)cpu);
    vmwrite(HOST_TR_BASE, (u64)cpu->tss);
    vmwrite(HOST_GDTR_BASE, gdtr.base);
    vmwrite(HOST_IDTR_BASE, idtr.base);
    vmwrite(HOST_PAT, rdmsr(MSR_PAT));
    vmwrite(HOST_EFER, rdmsr(MSR_EFER));
    vmwrite(HOST_RIP, (u64)vmx_exit);
}

static void write_controls(const struct vmx_vcpu *vm)
{
    static const u16 unused[] = { HOST_FS,          HOST_GS,          HOST_FS_BASE,     PF_ERROR_MASK,
                                  PF_ERROR_MATCH,   CR3_TARGET_COUNT, EXIT_MSR_STORES,  EXIT_MSR_LOADS,
                                  ENTRY_MSR_LOADS,  TSC_OFFSET,       HOST_SYSENTER_CS, HOST_SYSENTER_ESP,
                                  HOST_SYSENTER_EIP };
    const struct vmx_controls *c = &vmx_controls;

    for (unsigned i = 0; i < ARRAY_SIZE(unused); i++)
        vmwrite(unused[i], 0);
    vmwrite(PIN_CONTROLS, c->pin);
    vmwrite(PROC_CONTROLS, c->proc);
    vmwrite(PROC2_CONTROLS, c->proc2);
    vmwrite(EXIT_CONTROLS, c->exit);
    vmwrite(ENTRY_CONTROLS, c->entry);
    /* A guest could keep the CPU in the delivery of #AC or #DB for ever, where no NMI gets in. */
    vmwrite(EXCEPTION_BITMAP, BIT(VEC_DB) | BIT(VEC_AC) | BIT(VEC_MC));
    if (c->proc2 & PROC2_XSAVES)
        vmwrite(XSS_BITMAP, 0);
    vmwrite(LINK_POINTER, ~0ull);
    vmwrite(IO_BITMAP_A, virt_to_phys(vmx_io_bitmap));
    vmwrite(IO_BITMAP_B, virt_to_phys(vmx_io_bitmap + PAGE_SIZE));
    vmwrite(MSR_BITMAP, virt_to_phys(vmx_msr_bitmap));
    vmwrite(EPT_POINTER, vmx_ept_pointer());
    vmwrite(VPID, VPID_OF(vm->v));
    vmwrite(CR0_MASK, c->cr0_mask);
    vmwrite(CR4_MASK, c->cr4_mask);
}

/* The VMCS is made on the CPU that runs it, because the host's half holds that CPU's tables, and stays its.
 */
static int create_vmcs(struct vcpu *v)
{
    struct vmx_vcpu *vm = &vmx_vcpus[v->index];
    u32 *vmcs = page_alloc();
    bool failed;

    if (!vmcs)
        return ERR_NOMEM;
    vm->v = v;
    v->backend = vm;
    *vmcs = (u32)(vmx_caps.basic & BASIC_REVISION);
    u64 pa = virt_to_phys(vmcs);
    __asm__ volatile("vmclear %0" ::"m"(pa) : "memory", "cc");
    __asm__ volatile("vmptrld %1" : "=@ccbe"(failed) : "m"(pa) : "memory");
    if (failed)
        return ERR_IO;
    /* What an earlier user of VMX may have left in this CPU's caches goes before the first entry. */
    vm->ept_stale = true;
    vm->nmi_seen = this_cpu()->nmi_count;
    write_controls(vm);
    write_host_state();
    return 0;
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
    return failed ? ERR_IO : create_vmcs(v);
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
    .reads_code_as = vmx_reads_code_as,
    .run = vmx_run,
    .take_nmi = vmx_take_nmi,
    .retired = vmx_retired,
    .ports = vmx_io_bitmap,
    .pass_msr = pass_msr,
    .nested_flush = vmx_nested_flush,
    .idle = idle,
    .mtrrs_changed = vmx_mtrrs_changed,
    .nested_leaf = vmx_nested_leaf,
    .nested_link = EPT_READ | EPT_WRITE | EPT_EXECUTE,
    .dump = vmx_dump,
};
