# SPDX-License-Identifier: Apache-2.0
"""Secure Boot: what is signed boots, what is not is refused, by firmware or by sluice.efi itself."""

import re
import subprocess

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
    subprocess.run(
        [*command, f"SIGNED={signed}", "SLUICE_NO_SETUP=1"], check=True, cwd=harness.ROOT, capture_output=True, timeout=60
    )
    return signed


def boot(directory, key, app, until=None, config=None, files=()):
    devices = secure.machine(directory, key[1])
    volume = efi.volume(directory, app, config, files)
    return harness.run(directory, volume, devices=devices, until=until, timeout=60)


def test_signed_file_with_the_guest_inside(tmp_path, key):
    app = sign(key, efi.unified(tmp_path, efi.APP, GUEST, cmdline="its own words"))
    result = boot(tmp_path, key, app)
    result.assert_passed()
    assert "I: guest 'its own words' on sluice" in result.serial


def test_unsigned_file_is_refused_by_firmware(tmp_path, key):
    app = efi.unified(tmp_path, efi.APP, GUEST)
    result = boot(tmp_path, key, app, until=r"BdsDxe: failed to load Boot[^\n]*\n")
    assert re.search(r"failed to load Boot\d+ [^\n]*(Access Denied|Security Violation)", result.serial), result.describe()
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
