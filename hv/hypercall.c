/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMMCALL or VMCALL: number in RAX, answer in RAX. There is one call so far.
 */
#include "hv/exit.h"
#include "hv/fetch.h"

#define NO_SUCH_CALL ((u64)-38)

enum { HYPERCALL_VERSION };

void handle_hypercall(struct vcpu *v)
{
    if (!fetch_skip(v, vcpu_ops->hypercall, sizeof(vcpu_ops->hypercall)))
        return;
    v->gpr[RAX] = v->gpr[RAX] == HYPERCALL_VERSION ? SLUICE_VERSION : NO_SUCH_CALL;
}
