# SPDX-License-Identifier: Apache-2.0
"""sluice.efi from a volume: it finds its guest, or says in one line why not and gives the machine back.

The hand-over is tried with build/boot/selftest.efi, which holds the image of tests/boot/selftest.c.
"""

import re
import subprocess

import pytest

from tests.e2e import efi, harness

POLL = harness.GUESTS / "poll.elf"
CONFIG = "# for a test\noptions loglevel=info\n\nkernel /guest/poll.elf its own words\n"
BULK = bytes((i * 131 + i // 509) & 0xFF for i in range(3_000_001))


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def handed_over(result, modules):
    """The selftest ran in the image and found the modules, given as (content, command line)."""
    checks = re.findall(r"^sluice: T: (.+?) (ok|FAIL.*)$", result.serial, re.M)
    assert len(checks) >= 24 and not [c for c in checks if c[1] != "ok"], result.describe()
    for i, (content, cmdline) in enumerate(modules):
        line = f"module {i} size {len(content)} hash {fnv(content):016x} '{cmdline}'"
        assert line in result.serial, result.describe()
    assert f"module {len(modules)} " not in result.serial


def refused(result, words):
    """One line, and firmware goes on."""
    lines = [line for line in result.serial.splitlines() if "sluice: cannot start: " in line]
    assert len(lines) == 1, result.describe()
    assert re.search(words, lines[0]), lines[0]
    assert re.search(efi.BACK, result.serial), result.describe()


DONE = r"sluice: selftest done\n"
MACHINES = {"256M": {"memory": "256M"}, "4G": {"memory": "4G"}, "old-model": {"cpu": "EPYC"}}


@pytest.mark.parametrize("machine", MACHINES)
def test_config_beside_the_application(tmp_path, machine):
    config = "kernel /guest/poll.elf its own words\ninitrd bulk\nmodule \\guest\\poll.elf\r\n"
    boot = efi.volume(tmp_path, efi.SELFTEST, config, [("guest/poll.elf", POLL), ("EFI/BOOT/bulk", BULK)])
    result = efi.run(tmp_path, boot, until=DONE, timeout=40, **MACHINES[machine])
    poll = POLL.read_bytes()
    handed_over(result, [(poll, "its own words"), (BULK, ""), (poll, "")])


def test_one_file(tmp_path):
    bulk = tmp_path / "bulk"
    bulk.write_bytes(BULK)
    one = efi.unified(tmp_path, efi.SELFTEST, POLL, bulk, "its own words", "loglevel=debug")
    listing = subprocess.run(["objdump", "-h", one], check=True, capture_output=True, text=True).stdout
    for section in ".linux", ".initrd", ".cmdline", ".osrel":
        assert f" {section} " in listing
    # What is inside goes before what lies beside.
    boot = efi.volume(tmp_path, one, "kernel nowhere\n")
    result = efi.run(tmp_path, boot, until=DONE, timeout=40)
    handed_over(result, [(POLL.read_bytes(), "its own words"), (BULK, "")])


def test_load_options_from_the_shell(tmp_path):
    shell = b"fs0:\r\n\\sluice.efi config=\\other.cfg loglevel=debug -- and more\r\n"
    files = [("guest/poll.elf", POLL), ("other.cfg", CONFIG.encode()), ("startup.nsh", shell)]
    boot = efi.volume(tmp_path, efi.SELFTEST, None, files, name="sluice.efi")
    result = efi.run(tmp_path, boot, until=DONE, timeout=50)
    handed_over(result, [(POLL.read_bytes(), "its own words and more")])


MISSING = {
    "no-unit": ({"iommu": None}, "no VT-d"),
    "no-svm": ({"cpu": "max,-svm"}, "no virtualization"),
    "no-nested-paging": ({"cpu": "max,-npt"}, "no nested paging"),
}


@pytest.mark.parametrize("case", MISSING)
def test_machine_is_given_back(tmp_path, case):
    machine, words = MISSING[case]
    boot = efi.volume(tmp_path, efi.SELFTEST, CONFIG, [("guest/poll.elf", POLL)])
    refused(efi.run(tmp_path, boot, until=efi.BACK, timeout=40, **machine), words)


GUEST = [("guest/poll.elf", POLL)]
WRONG = {
    "no-config": (None, GUEST, r"no guest.*sluice\.cfg on the volume: not found"),
    "no-file": (CONFIG, [], r"sluice\.cfg names /guest/poll\.elf; on the volume: not found"),
    "option": ("options flavour=mint\n" + CONFIG, GUEST, "unknown option 'flavour'"),
    "memory": ("options mem=512M\n" + CONFIG, GUEST, "not enough memory"),
    "guest": (CONFIG, [("guest/poll.elf", BULK)], "guest image"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_files_are_refused(tmp_path, case):
    config, files, words = WRONG[case]
    boot = efi.volume(tmp_path, efi.SELFTEST, config, files)
    refused(efi.run(tmp_path, boot, until=efi.BACK, timeout=40), words)
