# SPDX-License-Identifier: Apache-2.0
"""Starting sluice.efi from a volume under OVMF: what lies on it, and what firmware says when it is refused."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.e2e import harness

APP = harness.BUILD / "sluice.efi"
SELFTEST = harness.BUILD / "boot" / "selftest.efi"
# What OVMF prints when an application came back with an error: the machine goes on to the next boot entry.
BACK = r"BdsDxe: failed to start Boot\d+ [^\n]*: Aborted"


def volume(directory, app, config=None, files=(), name="EFI/BOOT/BOOTX64.EFI"):
    """Arguments for a disk with `app` where firmware looks for it, sluice.cfg beside it, and `files`:
    (path on the volume, content or file)."""
    tree = Path(directory) / "volume"
    shutil.rmtree(tree, ignore_errors=True)
    target = tree / name
    target.parent.mkdir(parents=True)
    shutil.copy(app, target)
    if config is not None:
        (target.parent / "sluice.cfg").write_text(config, encoding="utf-8")
    for path, content in files:
        file = tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else Path(content).read_bytes())
    drive = f"format=raw,if=none,id=efi,readonly=on,file=fat:{tree}"
    return ["-drive", drive, "-device", "virtio-blk-pci,drive=efi"]


def unified(directory, app, kernel, initrd=None, cmdline="", options=""):
    """One file with the guest inside, made as `make uki` makes it."""
    out = Path(directory) / "unified.efi"
    environment = {**os.environ, "KERNEL": str(kernel), "CMDLINE": cmdline, "OPTIONS": options}
    environment["INITRD"] = str(initrd) if initrd else ""
    subprocess.run(
        [harness.ROOT / "tools" / "uki.py", app, out],
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
        timeout=60,
    )
    return out


def run(directory, boot, *, devices=(), **machine):
    """Without network cards, which OVMF would try to boot from."""
    return harness.run(directory, boot, firmware="ovmf", devices=devices, **machine)
