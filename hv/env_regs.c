/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registers of a real unit. On their own, so that an image can be linked with another unit in their
 * place.
 */
#include "arch/paging.h"
#include "iommu/env.h"

void *env_regs_map(u64 base, u64 size)
{
    return mmio_map(base, size);
}

u32 env_read32(void *regs, u32 off)
{
    return *(volatile u32 *)((u8 *)regs + off);
}

u64 env_read64(void *regs, u32 off)
{
    return *(volatile u64 *)((u8 *)regs + off);
}

void env_write32(void *regs, u32 off, u32 value)
{
    *(volatile u32 *)((u8 *)regs + off) = value;
}

void env_write64(void *regs, u32 off, u64 value)
{
    *(volatile u64 *)((u8 *)regs + off) = value;
}
