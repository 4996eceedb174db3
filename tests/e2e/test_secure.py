# SPDX-License-Identifier: Apache-2.0
"""Secure Boot: what is signed boots, what is not is refused, by firmware or by sluice.efi itself."""

import re
import subprocess

import pytest

from tests.e2e import efi, harness, linux, secure

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


# UEFI 8.2: attributes (non-volatile, boot and runtime access), then the value.
VARIABLE = "SluiceTest-6f7a1c52-3b0e-4a53-9d9e-0c0a6f1f5d11"
SCRIPT = f"""
mount -t efivarfs none /sys/firmware/efi/efivars
cd /sys/firmware/efi/efivars
printf '\\007\\000\\000\\000written by the guest' > {VARIABLE}
check variable "$(tail -c +5 {VARIABLE})" "written by the guest"
check enrolled "$(od -An -tu1 SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c | tr -d ' ')" 60001
"""


def test_signed_kernel_writes_a_variable(tmp_path, key):
    """Beside a signed application. Only SMM may write this firmware's store, so the guest's write is an SMI."""
    kernel = linux.kernel("6.1")
    initrd = linux.initramfs.build((linux.PROLOGUE + SCRIPT + linux.EPILOGUE).encode(), kernel, ["efivarfs"])
    copies = []
    for name, content in ("app", efi.APP), ("kernel", kernel / "vmlinuz"):
        copy = tmp_path / f"{name}.efi"
        copy.write_bytes(content.read_bytes())
        copies.append(sign(key, copy))
    config = f"kernel /kernel {linux.CMDLINE}\ninitrd /initrd\n"
    files = [("kernel", copies[1]), ("initrd", initrd)]
    result = boot(tmp_path, key, copies[0], None, config, files, memory="512M")
    linux.assert_good(result, "variable", "enrolled")
    # In the flash itself, after the machine is off.
    store = (tmp_path / "secure-vars.fd").read_bytes()
    assert "SluiceTest\0".encode("utf-16-le") + b"written by the guest" in store
