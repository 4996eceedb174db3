# SPDX-License-Identifier: Apache-2.0
"""A guest that tries to get a processor out of Sluice, and one that ends itself."""

import pytest

QUIET = "fw_cfg_select\n"


@pytest.mark.parametrize("smp", [1, 2])
@pytest.mark.parametrize("cpu", ["max", "EPYC"])
def test_nothing_escapes(boot, smp, cpu):
    boot("sluice", "escape", "qemu", smp=smp, cpu=cpu, events=QUIET).assert_passed()


def test_unsafe_policy_promises_less(boot):
    boot("sluice", "escape", "unsafe", options="dtlb=guest", events=QUIET).assert_passed()


@pytest.mark.parametrize("how", ["limit", "gates", "stack"])
def test_triple_fault_is_reported_and_resets(boot, how):
    """-no-reboot turns the reset into the emulator's end."""
    result = boot("sluice", "escape", f"die={how}", events=QUIET, timeout=30)
    lines = [line for line in result.hypervisor() if "the guest is dead" in line]
    assert len(lines) == 1, result.describe()
    assert "sluice: code cc" in result.serial or how == "limit", result.describe()
    assert "panic" not in result.serial and not result.timed_out and result.status == 0, result.describe()


def test_triple_fault_can_halt(boot):
    result = boot("sluice", "escape", "die=limit", options="on-shutdown=halt", events=QUIET, until="halted, as")
    assert "the guest is dead" in result.serial and not result.timed_out, result.describe()
