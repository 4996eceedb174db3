/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID: the CPU's own answer, without what a guest cannot have, and with a leaf that says who we are.
 */
#include "arch/cpu.h"
#include "arch/paging.h"
#include "hv/exit.h"
#include "hv/fetch.h"
#include "hv/options.h"

enum { EAX, EBX, ECX, EDX };

#define HYPERVISOR_LEAF 0x40000000u
#define HYPERVISOR_LAST 0x40000002u

/* Bits cleared in a leaf. `sub` ~0: every one. */
static const struct {
    u32 leaf, sub;
    u32 clear[4];
} hidden[] = {
    /* DTES64, VMX, SMX; DS: it makes the CPU write to addresses that we cannot judge. */
    { 0x00000001, ~0u, { [ECX] = 1u << 2 | 1u << 5 | 1u << 6, [EDX] = 1u << 21 } },
    /* SGX, processor trace; SGX_LC. */
    { 0x00000007, 0, { [EBX] = 1u << 2 | 1u << 25, [ECX] = 1u << 30 } },
    { 0x0000000d, 1, { [ECX] = 1u << 8 } },      /* the trace's state, */
    { 0x0000000d, 8, { ~0u, ~0u, ~0u, ~0u } },   /* and how large it is */
    { 0x00000012, ~0u, { ~0u, ~0u, ~0u, ~0u } }, /* SGX */
    { 0x00000014, ~0u, { ~0u, ~0u, ~0u, ~0u } }, /* processor trace */
    /* SVM, IBS, SKINIT. */
    { 0x80000001, ~0u, { [ECX] = 1u << 2 | 1u << 10 | 1u << 12 } },
    { 0x8000000a, ~0u, { ~0u, ~0u, ~0u, ~0u } }, /* SVM */
    { 0x8000001b, ~0u, { ~0u, ~0u, ~0u, ~0u } }, /* IBS */
    { 0x8000001f, ~0u, { ~0u, ~0u, ~0u, ~0u } }, /* memory encryption: another meaning of addresses */
};

static void sluice_leaf(u32 leaf, u32 r[4])
{
    r[EAX] = r[EBX] = r[ECX] = r[EDX] = 0;
    switch (leaf) {
    case HYPERVISOR_LEAF:
        r[EAX] = HYPERVISOR_LAST;
        __builtin_memcpy(&r[EBX], "SluiceSluice", 12);
        break;
    case HYPERVISOR_LEAF + 1:
        r[EAX] = SLUICE_VERSION;
        r[EBX] = options.iommu_off ? 0 : FEATURE_BOUNDED | FEATURE_TRUE;
        if (!options.iommu_off && !options.iommu.direct)
            r[EBX] |= FEATURE_CONTAINED;
        if (!options.iommu_off && options.iommu.dtlb == DTLB_ALWAYS)
            r[EBX] |= FEATURE_FRESH | FEATURE_DTLB;
        break;
    case HYPERVISOR_LEAF + 2:
        r[EAX] = (u32)region_base();
        r[EBX] = (u32)(region_base() >> 32);
        r[ECX] = (u32)(region_size() / PAGE_SIZE);
        break;
    }
}

/* Bits that repeat the guest's own CR4, where the CPU has just told ours. */
static void follow_cr4(struct vcpu *v, u32 leaf, u32 sub, u32 r[4])
{
    u64 cr4 = vcpu_ops->get(v, REG_CR4);

    if (leaf == 1)
        r[ECX] = (r[ECX] & ~(1u << 27)) | (cr4 & CR4_OSXSAVE ? 1u << 27 : 0);
    else if (leaf == 7 && sub == 0)
        r[ECX] = (r[ECX] & ~(1u << 4)) | (cr4 & CR4_PKE ? 1u << 4 : 0);
}

void handle_cpuid(struct vcpu *v)
{
    static const u8 opcode[] = { 0x0f, 0xa2 };
    u32 leaf = (u32)v->gpr[RAX], sub = (u32)v->gpr[RCX], r[4];

    if (!fetch_skip(v, opcode, sizeof(opcode)))
        return;
    if (leaf >> 28 == HYPERVISOR_LEAF >> 28) {
        sluice_leaf(leaf, r);
    } else {
        cpuid(leaf, sub, r);
        for (unsigned i = 0; i < ARRAY_SIZE(hidden); i++)
            if (hidden[i].leaf == leaf && (hidden[i].sub == ~0u || hidden[i].sub == sub))
                for (unsigned j = 0; j < 4; j++)
                    r[j] &= ~hidden[i].clear[j];
        if (leaf == 1)
            r[ECX] |= 1u << 31; /* a hypervisor is here */
        follow_cr4(v, leaf, sub, r);
    }
    v->gpr[RAX] = r[EAX];
    v->gpr[RBX] = r[EBX];
    v->gpr[RCX] = r[ECX];
    v->gpr[RDX] = r[EDX];
}
