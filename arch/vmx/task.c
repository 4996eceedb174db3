/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task switches (32-bit hardware multitasking), which VMX leaves to software.
 */
#include "arch/vmx/vmx_int.h"

bool vmx_task_switch(struct vmx_vcpu *vm)
{
    (void)vm;
    return false;
}
