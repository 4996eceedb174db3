# SPDX-License-Identifier: Apache-2.0
"""Another hypervisor as the guest: Xen with its own VT-d driver, and Debian's kernel as its first domain.

It shares no code with Linux's driver, enters its domains without SVM and brings up a second processor by itself.
"""

import hashlib
import random

from tests.e2e import linux

# Real mode would call the BIOS, whose disk services raise an SMI to be answered in the caller's own state.
XEN = "console=com1 com1=115200,8n1 loglvl=all iommu=verbose ats=1 dom0_mem=320M noreboot no-real-mode"

SCRIPT = """
wait_for /dev/nvme0n1
wait_for /dev/vda
check xen "$(cat /sys/hypervisor/type)" xen
check processors "$(nproc)" 2
content() { dd if="$1" bs=64k count=64 iflag=direct 2> /dev/null; }
check nvme "$(content /dev/nvme0n1 | sha256sum | cut -d ' ' -f 1)" SUM
content /dev/nvme0n1 | dd of=/dev/vda bs=64k count=64 oflag=direct iflag=fullblock 2> /dev/null
check virtio-blk "$(content /dev/vda | sha256sum | cut -d ' ' -f 1)" SUM
"""


def test_xen(tmp_path):
    content = random.Random(1).randbytes(4 << 20)
    (tmp_path / "disk0").write_bytes(content)
    (tmp_path / "disk1").write_bytes(bytes(len(content)))
    drive = "if=none,format=raw,file.locking=off"
    result = linux.boot(
        tmp_path,
        SCRIPT.replace("SUM", hashlib.sha256(content).hexdigest()),
        below=[(linux.kernel("xen") / "xen", XEN)],
        wanted=["nvme", "virtio_pci", "virtio_blk"],
        append="console=hvc0",
        iommu="device-iotlb=on,intremap=on,eim=on,aw-bits=48",
        memory="768M",
        devices=[
            *["-drive", f"{drive},id=d0,file={tmp_path}/disk0", "-device", "nvme,drive=d0,serial=sluice"],
            *["-device", "pcie-root-port,id=rp1,chassis=1", "-drive", f"{drive},id=d1,file={tmp_path}/disk1"],
            *["-device", "virtio-blk-pci,bus=rp1,drive=d1,iommu_platform=on,ats=on,disable-legacy=on"],
        ],
        smp=2,
        events="vtd_dmar_fault\nvtd_inv_desc\n",
    )
    assert "LINUX: done" in result.serial and "FAIL" not in result.serial, result.describe()
    for line in "Intel VT-d Queued Invalidation enabled", "Interrupt remapping enabled", "Brought up 2 CPUs":
        assert f"(XEN) {line}" in result.serial, result.describe()
    assert "vtd_dmar_fault" not in result.trace_text, result.describe()
    assert (tmp_path / "disk1").read_bytes() == content
    for kind in "iotlb", "device":
        assert f"vtd_inv_desc invalidate desc type {kind}" in result.trace_text, kind
