# SPDX-License-Identifier: Apache-2.0
"""Booting: the move high, the address space, and what is reported when Sluice itself is broken.

Runs build/boot/selftest.elf: the hypervisor with tests/boot/selftest.c in the place of hv/main.c.
"""

import re
import subprocess

import pytest

from tests.e2e import harness

IMAGE = harness.BUILD / "boot" / "selftest.elf"
DONE = r"sluice: selftest done\n"
MODULE = bytes((i * 131 + i // 509) & 0xFF for i in range(3_000_001))


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def selftest(directory, die="", until=DONE, modules=(), **machine):
    return harness.sluice(
        directory, None, options=die and f"die={die}", modules=list(modules), image=IMAGE, until=until, **machine
    )


def assert_checks(result):
    checks = re.findall(r"^sluice: T: (.+?) (ok|FAIL.*)$", result.serial, re.M)
    assert len(checks) >= 24, result.describe()
    assert not [c for c in checks if c[1] != "ok"], result.describe()


MACHINES = {
    "128M": {"memory": "128M"},
    "256M": {"memory": "256M"},
    "3G": {"memory": "3G"},
    "8G": {"memory": "8G"},
    "no-1g-pages": {"memory": "4G", "cpu": "max,-pdpe1gb"},
    "old-model": {"cpu": "qemu64"},
    "no-unit": {"iommu": None},
    "ovmf-256M": {"memory": "256M", "firmware": "ovmf"},
    "ovmf-4G": {"memory": "4G", "firmware": "ovmf"},
}


@pytest.mark.parametrize("machine", MACHINES)
def test_moves_high(tmp_path, machine):
    module = tmp_path / "module"
    module.write_bytes(MODULE)
    result = selftest(tmp_path, modules=[(module, "its own words")], **MACHINES[machine])
    assert_checks(result)
    assert f"module 0 size {len(MODULE)} hash {fnv(MODULE):016x} 'its own words'" in result.serial


DEATHS = {
    # what is done: (message, cr2 or None, function that must be in the backtrace)
    "unmapped": ("#PF page fault", 0x123456789000, "die_by_page_fault"),
    "null": ("#PF page fault", 0, "die_by_page_fault"),
    "text": ("#PF page fault", None, "die_by_page_fault"),
    "rodata": ("#PF page fault", None, "die_by_page_fault"),
    "guard": ("#PF page fault", None, "die_by_page_fault"),
    "execute": ("#PF page fault", None, "hv_main"),
    "stack": ("#DF double fault: stack overflow", None, "die_deeply"),
    "invalid": ("#UD invalid opcode", None, "hv_main"),
    "interrupt": ("#GP general protection", None, "hv_main"),
    "machine-check": ("#MC machine check", None, "hv_main"),
    "panic": ("asked for panic", None, "hv_main"),
}


@pytest.mark.parametrize("how", DEATHS)
def test_report(tmp_path, how):
    message, cr2, function = DEATHS[how]
    # A machine check ends in a reset, which ends the emulator; everything else in a halted CPU.
    ends = how == "machine-check"
    result = selftest(tmp_path, how, until=None if ends else r"CPU 0 halted\n", timeout=15)
    assert result.serial.count("panic: ") == 1, result.describe()
    assert message in result.serial, result.describe()
    assert re.search(rf"^sluice:   [0-9a-f]{{16}} {function}\+0x[0-9a-f]+$", result.serial, re.M), result.describe()
    if how != "panic":
        assert re.search(r"^sluice: rip [0-9a-f]{16} cs 0008", result.serial, re.M)
    if cr2 is not None:
        assert f"cr2 {cr2:016x}" in result.serial
    assert "selftest done" not in result.serial
    assert (result.status == 0) == ends, result.describe()


def test_refusal_halts(tmp_path):
    result = selftest(tmp_path, "refuse", until=harness.REFUSAL)
    assert "sluice: cannot start: asked for refuse\n" in result.serial


@pytest.mark.parametrize("cpu, words", [("max,-lm", "no 64-bit mode"), ("max,-nx", "no no-execute pages")])
def test_cpu_is_too_old(tmp_path, cpu, words):
    result = selftest(tmp_path, until=harness.REFUSAL, cpu=cpu)
    assert re.search(rf"^sluice: cannot start: this CPU has {words}", result.serial, re.M), result.describe()


def test_missing_uart_does_not_hang(tmp_path):
    """The selftest ends in a reset, which ends the emulator; a hang would run into the deadline."""
    iso = harness.make_iso(tmp_path, image=IMAGE)
    command = [harness.QEMU, "-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "256M", "-nodefaults"]
    command += ["-display", "none", "-serial", "none", "-no-reboot", "-cdrom", str(iso)]
    with harness.emulator_lock():
        assert subprocess.run(command, timeout=30, check=False).returncode == 0
