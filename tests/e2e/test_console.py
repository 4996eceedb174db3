# SPDX-License-Identifier: Apache-2.0
"""Machines without the usual serial port, the log that survives a reset, and no machine left dead."""

import struct
import subprocess

from tests.e2e import efi, harness

SELFTEST = harness.BUILD / "boot" / "selftest.elf"
POLL = harness.GUESTS / "poll.elf"


def machine_with(tmp_path, iso, *consoles):
    """Runs to the guest's power-off on a machine whose serial ports are `consoles`."""
    command = [harness.QEMU, "-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "256M", "-nodefaults"]
    command += ["-display", "none", "-serial", "none", "-no-reboot", "-device", "intel-iommu,caching-mode=on"]
    with harness.emulator_lock():
        status = subprocess.run([*command, *consoles, "-cdrom", str(iso)], timeout=40, check=False).returncode
    return status, harness.clean((tmp_path / "console").read_bytes())


def test_console_on_pci(tmp_path):
    iso = harness.make_iso(tmp_path, "", [(POLL, "")])
    console = ["-chardev", f"file,id=c,path={tmp_path}/console", "-device", "pci-serial,chardev=c"]
    status, text = machine_with(tmp_path, iso, *console)
    assert status == 0
    assert "sluice: entering the guest" in text and "the guest switches the machine off" in text, text


def test_console_by_option(tmp_path):
    iso = harness.make_iso(tmp_path, "serial=0x2f8", [(POLL, "")])
    console = ["-chardev", f"file,id=c,path={tmp_path}/console", "-device", "isa-serial,index=1,chardev=c"]
    status, text = machine_with(tmp_path, iso, *console)
    assert status == 0
    assert "sluice: entering the guest" in text and "the guest switches the machine off" in text, text


def test_log_survives_a_reset(tmp_path):
    """The selftest dies of a machine check, which resets; the next boot shows what was said last."""
    iso = harness.make_iso(tmp_path, "die=machine-check", [], SELFTEST)
    result = harness.run(
        tmp_path,
        ["-cdrom", str(iso), "-boot", "d"],
        devices=["-action", "reboot=reset"],
        until=r"sluice: before: sluice: panic: [^\n]*\n",
        timeout=40,
    )
    first, second = result.serial.split("sluice: before: ", 1)
    assert "sluice: panic: CPU 0: #MC machine check" in first, result.describe()
    assert "sluice: before: sluice: panic: CPU 0: #MC machine check" in second, result.describe()


def test_no_log_where_there_was_none(tmp_path):
    iso = harness.make_iso(tmp_path, "", [], SELFTEST)
    result = harness.run(tmp_path, ["-cdrom", str(iso), "-boot", "d"], until="selftest done", timeout=30)
    assert "sluice: before:" not in result.serial, result.describe()


def test_late_refusal_resets(tmp_path):
    """What is found wrong only after firmware has gone: here, a guest for addresses that are not memory."""
    image = bytearray(POLL.read_bytes())
    (table,) = struct.unpack_from("<Q", image, 32)
    struct.pack_into("<Q", image, table + 56 + 24, 0xF0000000)  # p_paddr of the second segment
    volume = efi.volume(tmp_path, efi.APP, "kernel /guest.elf\n", [("guest.elf", bytes(image))])
    result = efi.run(tmp_path, volume, timeout=60)
    assert "sluice: cannot start: the guest image (ELF) cannot be loaded" in result.serial, result.describe()
    assert result.status == 0, result.describe()
