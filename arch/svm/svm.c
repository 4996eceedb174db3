/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AMD's SVM: switching it on, and what exits.
 */
#include "arch/svm/svm.h"
#include "arch/cpu.h"
#include "arch/log.h"
#include "arch/nested.h"
#include "arch/paging.h"
#include "arch/string.h"

#define CPUID_1G_EDX BIT(26) /* of 80000001h */
#define GUEST_ASID   1

static u8 svm_iopm[3 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static u8 svm_msrpm[2 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

static void svm_init(void)
{
    u32 r[4];

    cpuid(0x80000001, 0, r);
    svm_backend.nested_1g = r[3] & CPUID_1G_EDX;
    memset(svm_msrpm, 0xff, sizeof(svm_msrpm));
}

static void vmsave(u64 pa)
{
    __asm__ volatile("vmsave" ::"a"(pa) : "memory");
}

static int svm_vcpu_create(struct vcpu *v)
{
    void *save = page_alloc(), *host = page_alloc();
    struct svm_vcpu *s = page_alloc();
    struct vmcb *b = page_alloc();

    if (!save || !host || !s || !b)
        return ERR_NOMEM;
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
    wrmsr(MSR_VM_HSAVE_PA, virt_to_phys(save));
    __asm__ volatile("clgi" ::: "memory");
    vmsave(virt_to_phys(host));
    s->vmcb = b;
    s->vmcb_pa = virt_to_phys(b);
    s->host_pa = virt_to_phys(host);
    s->flush = v->attention = true;
    v->backend = s;

    /* Neither INTR nor INIT: interrupts are the guest's, and an INIT must never arrive (hv/apic.c). */
    b->intercept_misc1 = INTERCEPT1_NMI | INTERCEPT1_CPUID | INTERCEPT1_INVD | INTERCEPT1_INVLPGA |
                         INTERCEPT1_IOIO | INTERCEPT1_MSR | INTERCEPT1_SHUTDOWN;
    b->intercept_misc2 = INTERCEPT2_VMRUN | INTERCEPT2_VMMCALL | INTERCEPT2_VMLOAD | INTERCEPT2_VMSAVE |
                         INTERCEPT2_STGI | INTERCEPT2_CLGI | INTERCEPT2_SKINIT | INTERCEPT2_XSETBV;
    b->iopm_base_pa = virt_to_phys(svm_iopm);
    b->msrpm_base_pa = virt_to_phys(svm_msrpm);
    b->guest_asid = GUEST_ASID;
    b->np_enable = NP_ENABLE;
    b->n_cr3 = nested_root();
    return 0;
}

/* APM 2, 15.11: two bits for each MSR of three ranges; all others always exit. */
static void svm_pass_msr(u32 msr, bool read, bool write)
{
    unsigned range = msr < 0x2000 ? 0 : msr - 0xc0000000u < 0x2000 ? 1 : msr - 0xc0010000u < 0x2000 ? 2 : 3;
    unsigned bit = range * 0x4000 + (msr & 0x1fff) * 2;

    if (range == 3)
        return;
    vcpu_trap(svm_msrpm, bit, !read);
    vcpu_trap(svm_msrpm, bit + 1, !write);
}

static void svm_nested_flush(struct vcpu *v)
{
    svm_of(v)->flush = v->attention = true;
}

static void svm_idle(struct vcpu *v, u32 unless)
{
    __asm__ volatile("stgi" ::: "memory");
    cpu_idle(&v->requests, unless);
    __asm__ volatile("clgi" ::: "memory");
}

/* The guest's accesses count as user accesses (APM 2, 15.25.5). Accessed and dirty are set beforehand, so
 * that the CPU never writes to the table. */
static u64 svm_nested_leaf(u64 pa, unsigned level, bool write)
{
    u64 leaf = pa | PTE_P | PTE_U | PTE_A | PTE_D;

    return leaf | (write ? PTE_W : 0) | (level > 1 ? PTE_PS : 0);
}

#define DR6_RESET 0xffff0ff0u
#define DR7_RESET 0x400u

static void svm_reset(struct vcpu *v)
{
    struct svm_vcpu *s = svm_of(v);
    struct vmcb *b = s->vmcb;

    s->nmi_blocked = s->iret_pending = s->stepping = false;
    b->intercept_misc1 &= ~INTERCEPT1_IRET;
    b->intercept_exceptions = 0;
    s->flush = v->attention = true; /* what the CPU cached belongs to a life before */
    b->dr6 = DR6_RESET;
    b->dr7 = DR7_RESET;
    b->cpl = 0;
    b->interrupt_state = 0;
    b->event_inj = 0;
}

static u64 *place(struct vmcb *b, enum vcpu_reg reg)
{
    u64 *const places[] = { &b->cr0, &b->cr3, &b->cr4, &b->efer, &b->g_pat, &b->tsc_offset, &b->cr2 };

    return places[reg];
}

/* VMRUN insists on SVME, which the guest does not see. */
static u64 svm_get(struct vcpu *v, enum vcpu_reg reg)
{
    struct vmcb *b = svm_of(v)->vmcb;

    return reg == REG_CPL ? b->cpl : reg == REG_EFER ? b->efer & ~EFER_SVME : *place(b, reg);
}

static void svm_set(struct vcpu *v, enum vcpu_reg reg, u64 value)
{
    *place(svm_of(v)->vmcb, reg) = value | (reg == REG_EFER ? EFER_SVME : 0);
}

/* A base of CS that does not count in 64-bit code makes it another mode, which nobody has. */
static bool svm_reads_code_as(struct vcpu *v, const struct vcpu_mode *mode)
{
    const struct vmcb *b = svm_of(v)->vmcb;

    return !((b->cr3 ^ mode->cr3) | (b->cr0 ^ mode->cr0) | (b->cr4 ^ mode->cr4) |
             (b->efer ^ (mode->efer | EFER_SVME)) | (u64)(b->segments[SEG_CS].attrib ^ mode->cs_attrib));
}

static void svm_get_segment(struct vcpu *v, unsigned seg, struct vcpu_segment *out)
{
    *out = svm_of(v)->vmcb->segments[seg];
}

static void svm_set_segment(struct vcpu *v, unsigned seg, const struct vcpu_segment *in)
{
    svm_of(v)->vmcb->segments[seg] = *in;
}

static void svm_dump(struct vcpu *v)
{
    const struct vmcb *b = svm_of(v)->vmcb;

    log_err("guest CPU %u: exit %lx info %lx %lx event %lx injected %lx", v->index, b->exit_code,
            b->exit_info1, b->exit_info2, b->exit_int_info, v->event);
}

struct vcpu_backend svm_backend = {
    .name = "AMD SVM",
    .hypercall = { 0x0f, 0x01, 0xd9 },
    .init = svm_init,
    .vcpu_create = svm_vcpu_create,
    .reset = svm_reset,
    .get = svm_get,
    .set = svm_set,
    .get_segment = svm_get_segment,
    .set_segment = svm_set_segment,
    .reads_code_as = svm_reads_code_as,
    .run = svm_run,
    .take_nmi = svm_take_nmi,
    .software_smi = svm_software_smi,
    .retired = svm_retired,
    .ports = svm_iopm,
    .pass_msr = svm_pass_msr,
    .nested_flush = svm_nested_flush,
    .idle = svm_idle,
    .nested_leaf = svm_nested_leaf,
    .nested_link = PTE_P | PTE_W | PTE_U | PTE_A,
    .dump = svm_dump,
};
