# SPDX-License-Identifier: Apache-2.0
"""Booting over the network, each way to the guest's last line: TFTP from the emulator's own server, HTTP from
a real dnsmasq and web server in a network namespace of the test's own.

The directory that is served is what `make pxe-tree` writes.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e import harness

GUEST = harness.GUESTS / "poll.elf"
TOOL = harness.ROOT / "tools" / "pxe.py"
OVMF_STACK = "virtio-net-pci,romfile=,"
IPXE = "e1000,"


@pytest.fixture(name="tree", scope="module")
def _tree(tmp_path_factory):
    tree = tmp_path_factory.mktemp("net") / "tree"
    environment = {**os.environ, "GUEST": str(GUEST), "CMDLINE": "over the network", "BUILD": str(harness.BUILD)}
    subprocess.run(
        [sys.executable, TOOL, "tree", tree], check=True, env=environment, cwd=harness.ROOT, timeout=60,
        stdout=subprocess.DEVNULL,
    )
    return tree


def arrived(result, path):
    """The guest ran to its end, with the command line that was meant for it."""
    result.assert_passed()
    assert "I: guest 'over the network' on sluice" in result.serial, result.describe()
    assert re.search(rf"^sluice: boot +{path}", result.serial, re.M), result.describe()


WAYS = {
    # firmware, card, boot file, how Sluice says that it was started
    "ovmf-application": ("ovmf", OVMF_STACK, "sluice.efi", "EFI"),
    "ovmf-one-file": ("ovmf", OVMF_STACK, "guest.efi", "EFI"),
    "ovmf-grub": ("ovmf", OVMF_STACK, "grub/x86_64-efi/core.efi", "multiboot2"),
    "ovmf-ipxe-script": ("ovmf", IPXE, "boot.ipxe", "EFI"),
    "bios-grub": ("seabios", IPXE, "grub/i386-pc/core.0", "multiboot2"),
}


@pytest.mark.parametrize("way", WAYS)
def test_tftp(tmp_path, tree, way):
    firmware, card, boot_file, path = WAYS[way]
    network = ["-netdev", f"user,id=net,tftp={tree},bootfile={boot_file}"]
    network += ["-device", f"{card}netdev=net,bootindex=0"]
    arrived(harness.run(tmp_path, network, firmware=firmware, timeout=60), path)


def test_tftp_without_configuration(tmp_path, tree):
    """Firmware goes on: here, to the next way of booting from the same card."""
    served = tmp_path / "served"
    served.mkdir()
    shutil.copy(tree / "sluice.efi", served)
    network = ["-netdev", f"user,id=net,tftp={served},bootfile=sluice.efi"]
    network += ["-device", f"{OVMF_STACK}netdev=net,bootindex=0"]
    result = harness.run(tmp_path, network, firmware="ovmf", until=r"BdsDxe: failed to start[^\n]*\n", timeout=40)
    assert re.search(
        r"sluice: cannot start: no guest.* sluice\.cfg on TFTP server 10\.0\.2\.2: not found", result.serial
    ), result.describe()


# What the servers say when they have sent a file.
SENT = {"http": '"GET /{} HTTP/1.1" 200', "tftp": r"sent {tree}/{}"}


@pytest.mark.parametrize("way", SENT)
def test_real_server(tmp_path, tree, way):
    """tests/e2e/http_lab.py does the work, in a namespace where it is root and alone."""
    if subprocess.run(["unshare", "-rn", "true"], check=False, capture_output=True).returncode:
        pytest.skip("network namespaces are not permitted here")
    if not shutil.which("dnsmasq") and not Path("/usr/sbin/dnsmasq").exists():
        pytest.fail("dnsmasq is missing; tools/setup installs it")
    lab = harness.ROOT / "tests" / "e2e" / "http_lab.py"
    with harness.emulator_lock():
        done = subprocess.run(
            ["unshare", "-rn", sys.executable, lab, tmp_path, tree, way],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={**os.environ, "QEMU_LOCK": str(tmp_path / "lock")},
        )
    serial = (tmp_path / "serial").read_text(encoding="utf-8", errors="replace")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "I: guest 'over the network' on sluice" in serial
    for name in "sluice.efi", "sluice.cfg", "guest/kernel":
        assert SENT[way].format(name, tree=tree) in done.stderr, done.stderr
