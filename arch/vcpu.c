/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/vcpu.h"

const struct vcpu_backend *vcpu_ops;
bool (*vcpu_guest_access)(struct vcpu *v, const struct vcpu_mode *mode, u64 linear, void *data, unsigned size,
                          bool write);
