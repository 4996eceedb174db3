/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What SVM and VMX leave to software in the same way.
 */
#include "arch/cpu.h"
#include "arch/log.h"
#include "arch/vcpu.h"

#define MSR_TSC_ADJUST 0x3bu

void vcpu_trap(u8 *map, u32 bit, bool on)
{
    u8 mask = (u8)(1 << (bit % 8));

    if (on)
        __atomic_fetch_or(&map[bit / 8], mask, __ATOMIC_RELAXED);
    else
        __atomic_fetch_and(&map[bit / 8], (u8)~mask, __ATOMIC_RELAXED);
}

bool vcpu_pat_valid(u64 value)
{
    for (unsigned i = 0; i < 64; i += 8)
        if ((value >> i & 0xff) > 7 || (value >> i & 0xfe) == 2)
            return false;
    return true;
}

static bool is_contributory(u8 vector)
{
    return vector == VEC_DE || (vector >= VEC_TS && vector <= VEC_GP);
}

/* APM 2, 8.2.9; SDM 3A, table 6-5. */
bool vcpu_double_fault(u8 first, u8 second)
{
    if (first == VEC_PF)
        return second == VEC_PF || is_contributory(second);
    return is_contributory(first) && is_contributory(second);
}

bool vcpu_read_tsc_msr(u32 msr, u64 offset, u64 *value)
{
    if (msr == MSR_TSC)
        *value = rdtsc();
    else if ((msr != MSR_TSC_ADJUST && msr != MSR_TSC_DEADLINE) || !rdmsr_safe(msr, value))
        return false;
    *value += msr != MSR_TSC_DEADLINE || *value ? offset : 0;
    return true;
}

bool vcpu_write_tsc_msr(u32 msr, u64 *offset, u64 value)
{
    u64 real = rdtsc();

    if (msr == MSR_TSC_DEADLINE)
        return wrmsr_safe(msr, value ? value - *offset : 0);
    if (msr != MSR_TSC && (msr != MSR_TSC_ADJUST || !rdmsr_safe(msr, &real)))
        return false;
    *offset = value - real;
    /* The deadline timer counts by the real one. */
    if (*offset)
        vcpu_ops->pass_msr(MSR_TSC_DEADLINE, false, false);
    return true;
}

void vcpu_dump(struct vcpu *v)
{
    static const char *const rows[] = { "rax rcx rdx rbx", "rsp rbp rsi rdi", "r8  to r11", "r12 to r15" };
    static const char *const names[NR_SEG] = { "es", "cs", "ss", "ds", "fs", "gs" };
    struct vcpu_segment s;
    struct vcpu_mode mode;

    vcpu_ops->dump(v);
    vcpu_ops->get_mode(v, &mode);
    log_err("rip %016lx rflags %08lx cpl %u", v->rip, v->rflags, mode.cpl);
    log_err("cr0 %08lx cr3 %016lx cr4 %08lx efer %05lx", mode.cr0, mode.cr3, mode.cr4, mode.efer);
    for (unsigned i = 0; i < NR_GPR; i += 4)
        log_err("%s %016lx %016lx %016lx %016lx", rows[i / 4], v->gpr[i], v->gpr[i + 1], v->gpr[i + 2],
                v->gpr[i + 3]);
    for (unsigned i = 0; i < NR_SEG; i++) {
        vcpu_ops->get_segment(v, (enum vcpu_seg)i, &s);
        log_err("%s %04x attributes %03x limit %08x base %016lx", names[i], s.selector, s.attrib, s.limit,
                s.base);
    }
}
