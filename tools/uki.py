#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes one EFI file of sluice.efi and a guest, in the sections that unified kernel images use.

    uki.py sluice.efi guest.efi     KERNEL, INITRD, CMDLINE and OPTIONS come from the environment

.linux, .initrd and .cmdline are the guest's; .uname and .osrel tell tools what is inside; .sluice holds
Sluice's own options. The same input gives the same file.
"""

import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

ALIGN = 4096


def fail(text):
    sys.exit(f"uki: {text}")


def next_address(image):
    """The first free address behind the sections of a PE file, from its start."""
    (pe,) = struct.unpack_from("<I", image, 0x3C)
    count, optional = struct.unpack_from("<H12xH", image, pe + 6)
    end = 0
    for i in range(count):
        size, address = struct.unpack_from("<II", image, pe + 24 + optional + 40 * i + 8)
        end = max(end, address + size)
    return (end + ALIGN - 1) // ALIGN * ALIGN


def kernel_version(kernel):
    """What a bzImage calls itself, or None when it is something else."""
    if len(kernel) < 0x210 or kernel[0x202:0x206] != b"HdrS":
        return None
    (at,) = struct.unpack_from("<H", kernel, 0x20E)
    text = kernel[at + 0x200 : at + 0x200 + 128].split(b"\0")[0].split()
    return text[0].decode("ascii", "replace") if text else None


def read(path, what):
    try:
        return Path(path).read_bytes()
    except OSError as error:
        return fail(f"{what}: {error.strerror}: {path}")


def main():
    if len(sys.argv) != 3:
        fail("usage: uki.py sluice.efi guest.efi, with KERNEL= in the environment")
    base, out = sys.argv[1:]
    if not os.environ.get("KERNEL"):
        fail("which guest? make uki KERNEL=path [INITRD=path] [CMDLINE=words] [OPTIONS=words]")
    kernel = read(os.environ["KERNEL"], "KERNEL")
    version = kernel_version(kernel)
    sections = [
        (".osrel", b'ID=sluice\nNAME="Sluice"\nPRETTY_NAME="Sluice with a guest"\n'),
        (".uname", version.encode() if version else None),
        (".cmdline", os.environ.get("CMDLINE", "").encode()),
        (".sluice", os.environ.get("OPTIONS", "").encode()),
        (".initrd", read(os.environ["INITRD"], "INITRD") if os.environ.get("INITRD") else None),
        (".linux", kernel),
    ]
    address = next_address(read(base, "EFI application"))
    command = ["objcopy"]
    with tempfile.TemporaryDirectory() as pieces:
        for name, content in sections:
            if not content:
                continue
            piece = Path(pieces) / name[1:]
            piece.write_bytes(content)
            command += ["--add-section", f"{name}={piece}", "--change-section-vma", f"{name}={address:#x}"]
            command += ["--set-section-flags", f"{name}=alloc,load,readonly,data,contents"]
            address += (len(content) + ALIGN - 1) // ALIGN * ALIGN
        environment = {"SOURCE_DATE_EPOCH": "315532800", **os.environ}  # no time stamp in the header
        subprocess.run([*command, base, out], check=True, env=environment)
    print(f"uki: {out}: {version or 'guest'}, {Path(out).stat().st_size >> 10} KiB")


if __name__ == "__main__":
    main()
