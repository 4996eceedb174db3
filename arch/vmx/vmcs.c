/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual CPU's VMCS: made on the CPU that runs it, because the host's half holds that CPU's tables.
 */
#include "arch/cpu.h"
#include "arch/log.h"
#include "arch/paging.h"
#include "arch/vmx/vmx_int.h"

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

int vmx_vcpu_create(struct vcpu *v)
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
