/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMMCALL: number in RAX, answer in RAX. There is one call so far.
 */
#include "hv/exit.h"
#include "hv/fetch.h"

#define NO_SUCH_CALL ((u64)-38)

enum { HYPERCALL_VERSION };

void handle_hypercall(struct vcpu *v)
{
    static const u8 vmmcall[] = { 0x0f, 0x01, 0xd9 };

    if (!fetch_skip(v, vmmcall, sizeof(vmmcall)))
        return;
    v->gpr[RAX] = v->gpr[RAX] == HYPERCALL_VERSION ? SLUICE_VERSION : NO_SUCH_CALL;
}
