# SPDX-License-Identifier: Apache-2.0
"""Linux under mixed load with verified data: a pairwise choice of the combinations, or all of them, or for long.

Each run reads two disks and fetches a file through two network cards at the same time, again and again, writes and
reads back, and compares every byte by its check sum. The choice rotates with a seed, which is printed and can be
given (SEED=). `make test-all` runs every combination, `make soak MINUTES=30` one of them for long.
"""

import hashlib
import itertools
import os
import random
import time

import pytest

from tests.e2e import linux

AXES = {
    "version": ["6.1", "6.12"],
    "unit": ["legacy", "scalable", "first-stage"],
    "mode": ["strict", "lazy"],
    "remapping": [False, True],
    "firmware": ["seabios", "ovmf"],
    "cpus": [1, 2],
}
UNITS = {"legacy": "", "scalable": ",x-scalable-mode=on", "first-stage": ",x-scalable-mode=on,x-flts=on"}
IN_MAKE_TEST = 2
SEED = int(os.environ.get("SEED") or time.time())
MINUTES = float(os.environ.get("MINUTES") or 0)

SCRIPT = """
wait_for /dev/nvme0n1
wait_for /dev/vda
wait_for /sys/class/net/eth0
wait_for /sys/class/net/eth1
for file in /sys/class/net/eth*/device/uevent; do
    interface=$(echo "$file" | cut -d / -f 5)
    if grep -q e1000e "$file"; then net=10.0.3; else net=10.0.2; fi
    ip link set "$interface" up
    ip address add $net.15/24 dev "$interface"
    wait_until grep -q 1 "/sys/class/net/$interface/carrier"
done
end=$(($(cut -d . -f 1 /proc/uptime) + SECONDS))
again() { [ "$(cut -d . -f 1 /proc/uptime)" -lt $end ]; }
same() { [ "$(sha256sum | cut -d ' ' -f 1)" = "$2" ] || say "FAIL: wrong bytes from $1"; }
disk() { dd if="$1" bs=64k count=64 iflag=direct 2> /dev/null | same "$1" "$2"; }
loop() {
    what=$1 n=0
    shift
    while true; do
        "$@"
        n=$((n + 1))
        again || break
    done
    say "load $what $n"
}
back() {
    dd if=/dev/nvme0n1 bs=16k count=256 iflag=direct 2> /dev/null |
        dd of=/dev/vda bs=16k count=256 seek=256 oflag=direct iflag=fullblock 2> /dev/null
    dd if=/dev/vda bs=16k skip=256 count=256 iflag=direct 2> /dev/null | same copy "$1"
}
fetch() {
    tftp -g -b 1428 -r payload -l "/tmp/$1" "$1" || say "FAIL: nothing from $1"
    same "$1" "$2" < "/tmp/$1"
}
loop nvme disk /dev/nvme0n1 NVME &
loop virtio-blk disk /dev/vda BLK &
loop virtio-net fetch 10.0.2.2 NET &
loop e1000e fetch 10.0.3.2 NET &
loop copy back NVME
wait
"""


def pairs(row):
    return set(itertools.combinations(row.items(), 2))


def pairwise(seed):
    """Combinations that together hold each two values of two axes."""
    every = [dict(zip(AXES, values)) for values in itertools.product(*AXES.values())]
    random.Random(seed).shuffle(every)
    left, chosen = set().union(*map(pairs, every)), []
    while left:
        best = max(every, key=lambda row: len(pairs(row) & left))
        chosen.append(best)
        left -= pairs(best)
    return chosen, every


def run(directory, row, seconds):
    """One combination; the guest says how often each loop came round."""
    sums = {}
    served = directory / "tftp"
    served.mkdir()
    files = {"NVME": (directory / "disk0", 4 << 20), "BLK": (directory / "disk1", 8 << 20)}
    files["NET"] = served / "payload", 1 << 20
    for name, (path, size) in files.items():
        data = random.Random(name).randbytes(size)
        path.write_bytes(data)
        sums[name] = hashlib.sha256(data[: 4 << 20]).hexdigest()
    drive = "if=none,format=raw,file.locking=off"
    ats = "iommu_platform=on,ats=on,disable-legacy=on"
    first, lazy = row["unit"] == "first-stage", row["mode"] == "lazy"
    script = SCRIPT.replace("SECONDS", str(seconds))
    for name, value in sums.items():
        script = script.replace(name, value)
    result = linux.boot(
        *[directory, script],
        version=row["version"],
        wanted=["nvme", "virtio_pci", "virtio_blk", "virtio_net", "e1000e"],
        append=f"ipv6.disable=1 iommu.strict={0 if lazy else 1}" + ("" if row["unit"] == "legacy" else " intel_iommu=sm_on"),
        options="firststage=direct" if first else "",
        iommu=f"device-iotlb=on,intremap={'on,eim=on' if row['remapping'] else 'off'}{UNITS[row['unit']]}"
        + ("" if first else ",aw-bits=48"),
        devices=[
            *["-drive", f"{drive},id=d0,file={directory}/disk0", "-device", "nvme,drive=d0,serial=sluice"],
            *["-device", "pcie-root-port,id=rp1,chassis=1", "-device", "pcie-root-port,id=rp2,chassis=2"],
            *["-drive", f"{drive},id=d1,file={directory}/disk1", "-device", f"virtio-blk-pci,bus=rp1,drive=d1,{ats}"],
            *["-netdev", f"user,id=n0,restrict=on,tftp={served}"],
            *["-device", f"virtio-net-pci,bus=rp2,netdev=n0,romfile=,{ats}"],
            *["-netdev", f"user,id=n1,net=10.0.3.0/24,restrict=on,tftp={served}", "-device", "e1000e,netdev=n1,romfile="],
        ],
        firmware=row["firmware"],
        smp=row["cpus"],
        events="vtd_dmar_fault\n",
        timeout=seconds * 2 + 240,
    )
    linux.assert_good(result)
    for what in "nvme", "virtio-blk", "virtio-net", "e1000e", "copy":
        assert f"LINUX: load {what} " in result.serial, result.describe()
    assert "vtd_dmar_fault" not in result.trace_text, result.describe()
    return result


@pytest.mark.parametrize("number", range(IN_MAKE_TEST))
def test_pairwise(tmp_path, number):
    chosen, _ = pairwise(SEED)
    row = chosen[number]
    print(f"SEED={SEED}: {row}")
    run(tmp_path, row, 2)


def test_the_choice_holds_all_pairs():
    chosen, every = pairwise(SEED)
    assert set().union(*map(pairs, chosen)) == set().union(*map(pairs, every)) and len(chosen) < len(every) / 5


if os.environ.get("ALL"):

    @pytest.mark.parametrize("row", pairwise(0)[1], ids=lambda row: "-".join(map(str, row.values())))
    def test_all(tmp_path, row):
        run(tmp_path, row, 2)


if MINUTES:

    def test_soak(tmp_path):
        row = {"version": "6.1", "unit": "legacy", "mode": "strict", "remapping": True, "firmware": "seabios", "cpus": 2}
        print(run(tmp_path, row, int(MINUTES * 60)).guest)
