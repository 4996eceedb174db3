/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMMCALL or VMCALL: number in RAX, answer in RAX. docs/hypercalls.md is for those who call.
 */
#include "arch/cpu.h"
#include "arch/log.h"
#include "hv/exit.h"
#include "hv/fetch.h"
#include "iommu/iommu.h"

#define NOT_ALLOWED  ((u64)-1)
#define NO_SUCH_CALL ((u64)-38)

enum {
    HYPERCALL_VERSION,
    HYPERCALL_CLOCK,
    HYPERCALL_TRACE,
    HYPERCALL_COUNTERS,
    HYPERCALL_INVALIDATE,
    HYPERCALL_LOG
};

/* Who may use this port may program every device of the machine: nothing is hidden from him. */
#define GATE_PORT   0xcf8
#define TSS_IO_BASE 102 /* in 32- and 64-bit task segments */
#define RFLAGS_IOPL MASK(13, 12)
#define ROOM        32 /* records that one call gives */

/* Judged as the CPU judges an access to the port (AMD APM 2, 12.2.4), page faults included. False: one was
 * injected, the call will come again. */
static bool judge(struct vcpu *v, const struct vcpu_mode *mode, bool *allowed)
{
    struct vcpu_mode kernel = *mode;
    struct vcpu_segment tss;
    u16 base, bits;

    *allowed = mode->cpl <= field_get(v->rflags, RFLAGS_IOPL);
    vcpu_ops->get_segment(v, SEG_TR, &tss);
    if (*allowed || tss.limit < TSS_IO_BASE + 1)
        return true;
    kernel.cpl = 0;
    if (!guest_access(v, &kernel, tss.base + TSS_IO_BASE, &base, sizeof(base), false))
        return false;
    u32 at = base + GATE_PORT / 8u;
    if (at + 1 > tss.limit)
        return true;
    if (!guest_access(v, &kernel, tss.base + at, &bits, sizeof(bits), false))
        return false;
    *allowed = !(bits >> GATE_PORT % 8 & 1);
    return true;
}

/* RDI = unit, RSI = linear address to write to, as the caller may, RDX = from where on, RCX = room in
 * records; the log's are characters. False: a page fault was injected. */
static bool read_inside(struct vcpu *v, u64 call, u64 *answer, u64 *at)
{
    struct inside_record records[ROOM];
    size_t one = call == HYPERCALL_LOG ? 1 : sizeof(records[0]);
    unsigned room = (unsigned)MIN(v->gpr[RCX], sizeof(records) / one);
    struct vcpu_mode mode;
    bool allowed;

    vcpu_get_mode(v, &mode);
    if (!judge(v, &mode, &allowed))
        return false;
    *answer = NOT_ALLOWED;
    if (!allowed)
        return true;
    int n = call == HYPERCALL_LOG ? (int)log_read(at, (char *)records, room)
                                  : iommu_inside(call == HYPERCALL_TRACE ? INSIDE_TRACE : INSIDE_COUNTERS,
                                                 v->gpr[RDI], at, records, room);
    *answer = (u64)(s64)n;
    return n <= 0 || guest_access(v, &mode, v->gpr[RSI], records, (unsigned)n * one, true);
}

/* RDI = unit 31:0, guest domain-id 47:32, RSI = guest-physical address of the array, RDX = PASID or ~0, RCX =
 * entries. *handled = how many were done. */
static u64 invalidate(struct vcpu *v, u64 *handled)
{
    u64 where = v->gpr[RDI], pasid = v->gpr[RDX], count = v->gpr[RCX];
    unsigned n = 0;
    s64 err = ERR_INVAL;

    if (vcpu_ops->get(v, REG_CPL)) /* the array is named by its physical address, and is written to */
        return NOT_ALLOWED;
    if (!(where >> 48) && (pasid < INVALIDATE_PASIDS || pasid == ~0ull) && count <= INVALIDATE_MAX)
        err = iommu_invalidate((u32)where, (u16)(where >> 32), (u32)pasid, v->gpr[RSI], (unsigned)count, &n);
    *handled = n;
    return (u64)err;
}

void handle_hypercall(struct vcpu *v)
{
    u64 answer = NO_SUCH_CALL, at = v->gpr[RDX];

    switch (v->gpr[RAX]) {
    case HYPERCALL_VERSION:
        answer = SLUICE_VERSION;
        break;
    case HYPERCALL_CLOCK:
        answer = clock_tsc_per_us();
        break;
    case HYPERCALL_TRACE:
    case HYPERCALL_COUNTERS:
    case HYPERCALL_LOG:
        if (!read_inside(v, v->gpr[RAX], &answer, &at))
            return;
        break;
    case HYPERCALL_INVALIDATE:
        answer = invalidate(v, &at);
        break;
    }
    if (!fetch_skip(v, vcpu_ops->hypercall, sizeof(vcpu_ops->hypercall)))
        return;
    v->gpr[RAX] = answer;
    v->gpr[RDX] = at;
}
