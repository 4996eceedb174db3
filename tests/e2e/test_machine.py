# SPDX-License-Identifier: Apache-2.0
"""What people do with a machine, done with Linux on Sluice: nothing stops, nothing is reached that must not be."""

import hashlib
import random

import pytest

from tests.e2e import harness, linux, trace

SCRIPT = """
# Sluice's memory is reserved for the guest, and reads ones for who looks all the same.
memory=$(awk '/Reserved/ { split($1, a, "-"); print a[1], a[2] }' /proc/iomem | while read -r first last; do
    [ $((0x$last - 0x$first)) = $((0x1ffffff)) ] && echo "0x$first"; done)
check memory "$(dd if=/dev/mem bs=4096 skip=$((memory / 4096 + 3)) count=1 2> /dev/null | od -A n -t x1 | sort -u)" \\
    " ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff
*"

disk() { dd if=/dev/nvme0n1 bs=64k iflag=direct 2> /dev/null | sha256sum | cut -d ' ' -f 1; }
wait_for /dev/nvme0n1
sum=$(disk)
nvme=$(ls /sys/bus/pci/drivers/nvme | grep :)
group=/sys/bus/pci/devices/$nvme/iommu_group
for type in identity DMA; do
    echo "$nvme" > /sys/bus/pci/drivers/nvme/unbind
    echo "$type" > "$group/type"
    check "type-$type" "$(cat "$group/type")" "$type"
    echo "$nvme" > /sys/bus/pci/drivers/nvme/bind
    wait_for /dev/nvme0n1
    check "disk-$type" "$(disk)" "$sum"
done

# A card with ATS is pulled out while it works, and comes back.
ats=$(ls /sys/bus/pci/devices | grep ':01:\\|:02:' | head -n 1)
check ats-present "$(cat "/sys/bus/pci/devices/$ats/vendor")" 0x1af4
dd if=/dev/vda of=/dev/null bs=64k iflag=direct 2> /dev/null
say "pull the card"
wait_gone /dev/vda
say "card is gone"
wait_for /dev/vda
check card-again "$(dd if=/dev/vda bs=64k iflag=direct 2> /dev/null | sha256sum | cut -d ' ' -f 1)" "$(cat /sum)"

# A program owns a device.
edu=$(grep -l 0x11e8 /sys/bus/pci/devices/*/device | sed 's|/device$||; s|.*/||')
echo 1234 11e8 > /sys/bus/pci/drivers/vfio-pci/new_id
wait_for "/sys/bus/pci/drivers/vfio-pci/$edu"
number=$(readlink "/sys/bus/pci/devices/$edu/iommu_group")
check vfio "$(vfio_edu "${number##*/}" "$edu" 2>&1)" "vfio_edu: good"
"""

# Both kernels are in /boot of the first; the second one finds the word on its command line.
KEXEC = """
if grep -q second /proc/cmdline; then
    check second "$(cat /proc/cmdline)" "console=ttyS0 quiet panic=-1 intel_iommu=on second"
    disk() { dd if=/dev/nvme0n1 bs=64k iflag=direct 2> /dev/null | sha256sum | cut -d ' ' -f 1; }
    wait_for /dev/nvme0n1
    check disk "$(disk)" "$(cat /sum)"
else
    wait_for /dev/nvme0n1
    say "first"
    # The second one needs the disk's driver and no more.
    cd /
    { find bin init modules sum; printf '%s\\n' dev dev/console proc sys tmp; } | cpio -o -H newc > /tmp/initrd 2> /dev/null
    kexec /vmlinuz /tmp/initrd "console=ttyS0 quiet panic=-1 intel_iommu=on second"
    say "FAIL: still here"
fi
"""


def disks(directory):
    """Two disks with known content and the check sum of the second."""
    out = []
    for i in range(2):
        data = random.Random(i).randbytes(4 << 20)
        (directory / f"disk{i}").write_bytes(data)
        out.append(hashlib.sha256(data).hexdigest())
    return out


def drives(directory):
    drive = "if=none,format=raw,file.locking=off"
    return [
        *["-drive", f"{drive},id=d0,file={directory}/disk0", "-device", "nvme,drive=d0,serial=sluice"],
        *["-drive", f"{drive},id=d1,file={directory}/disk1"],
    ]


# Pulled out of one slot and pushed into another.
CARD = {"driver": "virtio-blk-pci", "iommu_platform": True, "ats": True, "disable-legacy": "on"}


@pytest.mark.parametrize("version,unit", [("6.1", ""), ("6.12", ",x-scalable-mode=on")])
def test_machine(tmp_path, version, unit):
    sums = disks(tmp_path)
    card = "virtio-blk-pci,id=card,bus=rp1,drive=d1,iommu_platform=on,ats=on,disable-legacy=on"
    result = linux.boot(
        tmp_path,
        SCRIPT,
        version=version,
        wanted=["nvme", "virtio_pci", "virtio_blk", "vfio_pci", "vfio_iommu_type1"],
        files=[linux.program(tmp_path, "vfio_edu"), ("sum", sums[1].encode())],
        iommu="device-iotlb=on,aw-bits=48" + unit,
        devices=[
            *["-device", "pcie-root-port,id=rp1,chassis=1", "-device", "pcie-root-port,id=rp2,chassis=2"],
            *["-device", card],
            *[*drives(tmp_path), *harness.EDU],
        ],
        reactions=[
            (r"LINUX: pull the card", "device_del", {"id": "card"}),
            (r"LINUX: card is gone", "blockdev-add", {"driver": "raw", "node-name": "d2", "file": {
                "driver": "file", "locking": "off", "filename": str(tmp_path / "disk1")}}),
            (r"LINUX: card is gone", "device_add", {**CARD, "id": "card2", "bus": "rp2", "drive": "d2"}),
        ],
        events=trace.EVENTS,
    )
    names = ["memory", "type-identity", "disk-identity", "type-DMA", "disk-DMA", "ats-present", "card-again", "vfio"]
    linux.assert_good(result, *names)


def test_kexec(tmp_path):
    """A second Linux takes over the virtual unit as its predecessor left it."""
    sums = disks(tmp_path)
    result = linux.boot(
        tmp_path,
        KEXEC,
        wanted=["nvme"],
        files=[
            *[linux.program(tmp_path, "kexec"), ("sum", sums[0].encode())],
            ("vmlinuz", (linux.kernel("6.1") / "vmlinuz").read_bytes()),
        ],
        devices=drives(tmp_path),
        events=trace.EVENTS,
    )
    linux.assert_good(result, "second", "disk")
