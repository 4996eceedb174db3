# SPDX-License-Identifier: Apache-2.0
"""Secure Boot: what is signed boots, what is not is refused, by firmware or by sluice.efi itself."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e import efi, harness, secure

GUEST = harness.GUESTS / "poll.elf"
CONFIG = "kernel /guest.elf\n"


@pytest.fixture(name="key", scope="module")
def _key(tmp_path_factory):
    return secure.make_key(tmp_path_factory.mktemp("key"))


def sign(key, file):
    """As `make sign` does it."""
    signed = file.with_suffix(".signed.efi")
    command = ["make", "--no-print-directory", "sign", f"KEY={key[0]}", f"CERT={key[1]}", f"FILE={file}"]
    command += [f"SIGNED={signed}", "SLUICE_NO_SETUP=1"]
    subprocess.run(command, check=True, cwd=harness.ROOT, capture_output=True, timeout=60)
    return signed


def boot(directory, key, app, until=None, config=None, files=(), memory="256M"):
    devices = secure.machine(directory, key[1])
    volume = efi.volume(directory, app, config, files)
    return harness.run(directory, volume, devices=devices, until=until, memory=memory, timeout=90)


def test_signed_file_with_the_guest_inside(tmp_path, key):
    app = sign(key, efi.unified(tmp_path, efi.APP, GUEST, cmdline="its own words"))
    result = boot(tmp_path, key, app)
    result.assert_passed()
    assert "I: guest 'its own words' on sluice" in result.serial


def test_unsigned_file_is_refused_by_firmware(tmp_path, key):
    app = efi.unified(tmp_path, efi.APP, GUEST)
    result = boot(tmp_path, key, app, until=r"BdsDxe: failed to load Boot[^\n]*\n")
    words = r"failed to load Boot\d+ [^\n]*(Access Denied|Security Violation)"
    assert re.search(words, result.serial), result.describe()
    assert "sluice: " not in result.serial


def test_signed_file_changed_afterwards_is_refused(tmp_path, key):
    app = sign(key, efi.unified(tmp_path, efi.APP, GUEST, cmdline="its own words"))
    content = app.read_bytes()
    assert content.count(b"its own words") == 1
    app.write_bytes(content.replace(b"its own words", b"not its words"))
    result = boot(tmp_path, key, app, until=r"BdsDxe: failed to load Boot[^\n]*\n")
    assert "sluice: " not in result.serial, result.describe()


def test_unsigned_kernel_beside_a_signed_application(tmp_path, key):
    copy = tmp_path / "copy.efi"
    copy.write_bytes(efi.APP.read_bytes())
    result = boot(tmp_path, key, sign(key, copy), efi.BACK, CONFIG, [("guest.elf", GUEST)])
    assert re.search(r"sluice: cannot start: Secure Boot is on and /guest\.elf is not signed", result.serial), (
        result.describe()
    )


def test_signed_kernel_beside_a_signed_application(tmp_path, key):
    """Linux talks to this firmware's variables, and that means SMIs raised by the guest."""
    tools = harness.ROOT / "tools"
    cache = Path(os.environ.get("SLUICE_CACHE") or harness.BUILD / "cache")
    subprocess.run([tools / "kernel", cache], check=True, timeout=300)
    initrd = tmp_path / "initrd.gz"
    subprocess.run([sys.executable, tools / "initramfs.py", cache / "linux-6.1", initrd], check=True, timeout=60)
    copies = []
    for name, content in ("app", efi.APP), ("kernel", cache / "linux-6.1" / "vmlinuz"):
        copy = tmp_path / f"{name}.efi"
        copy.write_bytes(content.read_bytes())
        copies.append(sign(key, copy))
    config = "kernel /kernel console=ttyS0 intel_iommu=on panic=-1 quiet\ninitrd /initrd\n"
    files = [("kernel", copies[1]), ("initrd", initrd)]
    until = r"LINUX: translation on|cannot start[^\n]*\n|panic: [^\n]*\n"
    result = boot(tmp_path, key, copies[0], until, config, files, memory="512M")
    assert "LINUX: translation on" in result.serial, result.describe()
