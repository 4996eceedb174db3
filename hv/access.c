/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's memory by linear address, for what a CPU leaves to software (arch/vcpu.h).
 */
#include "arch/string.h"
#include "hv/exit.h"
#include "hv/walk.h"

void guest_copy(volatile u8 *memory, u8 *data, unsigned count, bool write)
{
    for (unsigned i = 0; i < count; i++) {
        if (write)
            memory[i] = data[i];
        else
            data[i] = memory[i];
    }
}

bool guest_access(struct vcpu *v, const struct vcpu_mode *mode, u64 linear, void *data, unsigned size,
                  bool write)
{
    for (unsigned done = 0, step; done < size; done += step) {
        u64 at = linear + done, offset = at & (PAGE_SIZE - 1);
        u8 *part = (u8 *)data + done;
        struct walk w;

        step = (unsigned)MIN(size - done, PAGE_SIZE - offset);
        if (!guest_reach(v, mode, at, write ? WALK_WRITE : WALK_READ, &w))
            return false;
        volatile u8 *page = guest_page(w.gpa);
        /* What is no memory reads ones and drops writes. */
        if (page)
            guest_copy(page + offset, part, step, write);
        else if (!write)
            memset(part, 0xff, step);
    }
    return true;
}
