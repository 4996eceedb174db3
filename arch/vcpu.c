/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/vcpu.h"

const struct vcpu_backend *vcpu_ops;
