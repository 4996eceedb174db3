# SPDX-License-Identifier: Apache-2.0
"""Multiboot guests on Sluice: they check what they are told, and are told the same by GRUB on the bare machine."""

import pytest

from tests.e2e import harness

CMDLINE = "one two=3"


def checksum(data):
    total = 0
    for byte in data:
        total = (total * 31 + byte) & 0xFFFFFFFF
    return total


def files(tmp_path, count):
    """Modules: (path, command line), and what the guest will say of each."""
    modules, expected = [], []
    for i in range(count):
        path = tmp_path / f"file{i}"
        path.write_bytes(bytes((i * 7 + n * 3 + n // 251) & 0xFF for n in range(1 + i * 4099)))
        modules.append((path, f"number {i}"))
        data = path.read_bytes()
        expected.append(f"{checksum(data):#018x},{len(data):#018x},number {i}")
    return modules, expected


def told(result):
    lines = result.guest.splitlines()
    return [line.removeprefix("I: module ") for line in lines if line.startswith("I: module ")]


def fact(result, key):
    return [line.split(" ", 2)[2] for line in result.guest.splitlines() if line.startswith(f"I: {key} ")]


def run(tmp_path, image, guest_modules, **machine):
    iso = harness.make_iso(tmp_path, CMDLINE if image != harness.IMAGE else "", guest_modules, image)
    boot = ["-cdrom", str(iso), "-boot", "d"]
    result = harness.run(tmp_path, boot, until=r"DONE \d+ passed, \d+ failed", timeout=60, **machine)
    assert result.done and result.done[0] > 5 and not result.failures, result.describe()
    return result


@pytest.mark.parametrize("guest", ["multiboot1", "multiboot2", "multiboot1-64", "multiboot2-64"])
def test_on_sluice(tmp_path, guest):
    modules, expected = files(tmp_path, 20 if guest == "multiboot2" else 3)
    kernel = harness.GUESTS / f"{guest}.elf"
    result = run(tmp_path, harness.IMAGE, [(kernel, CMDLINE), *modules])
    assert told(result) == expected
    assert fact(result, "cmdline") == [CMDLINE] and fact(result, "loader") == ["Sluice, in the manner of GRUB 2"]
    version = "multiboot2" if "boot2" in guest else "multiboot"
    assert f"ELF by {version}, " in result.serial, result.describe()


def test_what_the_guest_expects_is_what_grub_gives(tmp_path):
    modules, expected = files(tmp_path, 3)
    result = run(tmp_path, harness.GUESTS / "multiboot2.elf", modules)
    assert told(result) == expected and fact(result, "cmdline") == [CMDLINE]


def test_under_uefi(tmp_path):
    modules, expected = files(tmp_path, 2)
    result = run(
        tmp_path, harness.IMAGE, [(harness.GUESTS / "multiboot2.elf", CMDLINE), *modules], firmware="ovmf"
    )
    assert told(result) == expected
