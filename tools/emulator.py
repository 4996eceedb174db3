# SPDX-License-Identifier: Apache-2.0
"""How QEMU must be started so that a whole operating system on Sluice lives on in it."""


def accelerator(processors):
    """The value of -accel for a machine on which a system with an FPU context for each task runs.

    QEMU 10.0.2 with a thread for each processor loses bits of the first processor's state: FXRSTOR and XRSTOR on
    any processor write its word of SVM flags (cpu_clear_ignne() in target/i386/tcg/system/fpu_helper.c: read,
    changed and written back without a lock). If the first one enters or leaves its guest at that moment, it goes
    on with nested paging in the hypervisor, or without global interrupts. The processors take turns here instead.
    """
    return "tcg" if processors == 1 else "tcg,thread=single"
