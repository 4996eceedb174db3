# SPDX-License-Identifier: Apache-2.0
"""What a user would pick instead of Sluice: a guest of Linux/KVM with QEMU's own virtual unit, in the emulated
machine that the others run in. An initramfs with the emulator of this system, what it is linked with, and its
firmware starts the guest as soon as KVM is there.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.e2e import harness, linux  # noqa: E402  pylint: disable=wrong-import-position
import initramfs  # noqa: E402  pylint: disable=wrong-import-position

FIRMWARE = Path("/usr/share/seabios"), Path("/usr/share/qemu")
ROMS = ["bios-256k.bin", "kvmvapic.bin", "linuxboot_dma.bin", "multiboot_dma.bin", "multiboot.bin", "pvh.bin"]
GUEST = "guest.elf"
EMULATOR = shutil.which(harness.QEMU)


def loaded(program):
    """The program and the libraries that it is linked with, as files for the initramfs."""
    text = subprocess.run(["ldd", program], check=True, capture_output=True, text=True, timeout=30).stdout
    return [Path(program), *(Path(found) for found in re.findall(r"(/\S+) \(0x", text))]


def files(guest):
    found = [(str(path).lstrip("/"), path.resolve().read_bytes()) for path in loaded(EMULATOR)]
    for name in ROMS:
        path = next((d / name for d in FIRMWARE if (d / name).exists()), None)
        if path:
            found.append((f"rom/{name}", path.resolve().read_bytes()))
    return [*found, (GUEST, guest.read_bytes())]


# The first function of the machine that has no other use goes to the guest.
ASSIGN = """
echo vfio-pci > /sys/bus/pci/devices/0000:00:10.0/driver_override
echo 0000:00:10.0 > /sys/bus/pci/drivers_probe
"""


def run(directory, guest, cmdline, unit, machine=(), assign=False, timeout=300):
    """Boots Linux 6.12 and, under its KVM, the guest; whose console is the result's. `assign`: with a function of
    the machine assigned to it, at 00:10.0 in both."""
    kernel = linux.kernel("6.12")
    nested = ["-L", "/rom", "-machine", "q35", "-accel", "kvm", "-cpu", "host", "-m", "64M", "-nodefaults"]
    nested += ["-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"]
    nested += ["-device", f"intel-iommu,{unit}", "-kernel", f"/{GUEST}", "-append", f"'{cmdline}'"]
    modules, devices, outer = ["kvm_amd"], list(machine), None
    if assign:
        modules += ["vfio_iommu_type1", "vfio_pci"]
        nested += ["-device", "vfio-pci,host=00:10.0,addr=0x10"]
        devices += ["-device", "edu,addr=0x10"]
        outer = "aw-bits=48"
    script = f"{linux.PROLOGUE}{ASSIGN if assign else ''}\n{EMULATOR} {' '.join(nested)} 2>&1\n{linux.EPILOGUE}"
    initrd = Path(directory) / "initrd"
    initrd.write_bytes(initramfs.build(script.encode(), kernel, modules, files(guest)))
    boot = ["-kernel", str(kernel / "vmlinuz"), "-initrd", str(initrd)]
    boot += ["-append", "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable intel_iommu=on"]
    return harness.run(
        directory, boot, iommu=outer, memory="1G", events="fw_cfg_select\n", devices=devices, timeout=timeout
    )
