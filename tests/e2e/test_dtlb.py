# SPDX-License-Identifier: Apache-2.0
"""A device that really keeps translations reads no stale page on Sluice, whatever the guest leaves out."""

import pytest

from tests.e2e import harness
from tests.e2e.dtlb_device import Device


def run(boot, tmp_path, where, cmdline="", options=""):
    device = Device(str(tmp_path / f"device-{where}")).start()
    machine = [
        *["-object", "memory-backend-memfd,id=ram,size=256M,share=on", "-machine", "memory-backend=ram"],
        *["-device", "pcie-root-port,id=rp1,chassis=1"],
        *["-chardev", f"socket,id=c0,path={device.path}", "-netdev", "vhost-user,id=n0,chardev=c0"],
        *["-device", "virtio-net-pci,netdev=n0,bus=rp1,iommu_platform=on,ats=on,disable-legacy=on,romfile="],
    ]
    unit = "caching-mode=on,device-iotlb=on"
    try:
        result = boot(where, "dtlb", cmdline, options=options, iommu=unit, devices=machine)
    finally:
        device.stop()
    result.assert_passed()
    assert device.reads and device.invalidations
    return result


def test_no_stale_page(boot, tmp_path):
    assert not run(boot, tmp_path, "sluice").facts("stale")


@pytest.mark.parametrize("where,options", [("bare", ""), ("sluice", "dtlb=guest")])
def test_stale_pages_are_seen_where_nobody_flushes(boot, tmp_path, where, options):
    result = run(boot, tmp_path, where, "expect-stale", options)
    assert len(result.facts("stale")) >= 8, result.describe()


def test_a_guest_that_obeys_the_hint_sends_half(boot, tmp_path):
    """It leaves its own device-TLB descriptors out where the bit says so, and reads no stale page either way."""
    bare = run(boot, tmp_path, "bare", "obey=5")
    hinted = run(boot, tmp_path, "sluice", "obey=5", "dtlb-hint=5")
    assert not bare.facts("stale") and not hinted.facts("stale")
    assert int(bare.facts("submitted")[0]) == 2 * int(hinted.facts("submitted")[0]) > 0


def test_the_invalidation_call_reaches_the_device(boot, tmp_path):
    """Also where device-TLB flushes are left to the guest: the call asks for them."""
    result = run(boot, tmp_path, "sluice", "expect-stale", "dtlb=guest")
    names = [line.split()[3] for line in result.guest.splitlines() if line.startswith("I: stale ")]
    assert names and not [n for n in names if n.startswith("call-")]
    device = {d.sid for d in result.part("call-page").descriptors("device")}
    assert len(device) == 1
