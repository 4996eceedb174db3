/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EPT entries with the memory types that the MTRRs give (under EPT the CPU asks them no more: SDM
 * 3C, 29.3.7), and what makes the CPUs forget old ones.
 */
#include "arch/cpu.h"
#include "arch/nested.h"
#include "arch/vmx/vmx_int.h"

#define EPT_TYPE MASK(5, 3)
#define EPT_LEAF BIT(7)

#define EPTP_TYPE   MASK(2, 0)
#define EPTP_LENGTH MASK(5, 3) /* levels minus 1 */

enum { INV_ONE = 1, INV_ALL = 2 };

static struct mtrr_state mtrrs;

void vmx_mtrrs_read(void)
{
    mtrr_read_all(&mtrrs);
}

void vmx_mtrrs_changed(const struct mtrr_state *now)
{
    mtrrs = *now;
    nested_refresh();
    vcpu_flush_all();
}

u64 vmx_nested_leaf(u64 pa, unsigned level, bool write)
{
    int type = mtrr_type(&mtrrs, pa, 1ull << (PAGE_SHIFT + 9 * (level - 1)));

    if (type == TYPE_MIXED)
        return 0;
    return pa | EPT_READ | EPT_EXECUTE | (write ? EPT_WRITE : 0) | (level > 1 ? EPT_LEAF : 0) |
           field_prep(EPT_TYPE, (u64)type);
}

u64 vmx_ept_pointer(void)
{
    return nested_root() | field_prep(EPTP_TYPE, TYPE_WB) | field_prep(EPTP_LENGTH, 3);
}

static void invept(void)
{
    struct {
        u64 eptp, reserved;
    } what = { vmx_ept_pointer(), 0 };
    u64 type = vmx_caps.ept_vpid & EPT_INVEPT_ALL ? INV_ALL : INV_ONE;

    __asm__ volatile("invept %0, %1" ::"m"(what), "r"(type) : "memory", "cc");
}

void vmx_flush_vpid(const struct vmx_vcpu *vm)
{
    struct {
        u64 vpid, linear;
    } what = { VPID_OF(vm->v), 0 };
    u64 type = vmx_caps.ept_vpid & EPT_INVVPID_ONE ? INV_ONE : INV_ALL;

    __asm__ volatile("invvpid %0, %1" ::"m"(what), "r"(type) : "memory", "cc");
}

void vmx_nested_flush(struct vcpu *v)
{
    vmx_of(v)->ept_stale = true;
}

void vmx_flush_if_stale(struct vmx_vcpu *vm)
{
    if (vm->ept_stale)
        invept();
    vm->ept_stale = false;
}
