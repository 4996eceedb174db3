# SPDX-License-Identifier: Apache-2.0
"""intr=strict: what a guest programs without remapping arrives all the same, as entries of Sluice's."""

import re

import pytest

from tests.e2e import harness, linux

DEVICES = [*harness.EDU, "-device", "e1000e,romfile="]
# The emulated unit passes compatibility format whatever it is told, so what is seen here is that interrupts come
# by entries; that others do not come is shown on the model (tests/unit/test_iommu_ir.c).
EVENTS = "vtd_ir_remap\n"
STRICT = "interrupts: contained from the start"


@pytest.mark.parametrize("where", ["bare", "sluice"])
def test_guest(tmp_path, where):
    if where == "bare":
        result = harness.bare(tmp_path, "intr", devices=DEVICES, iommu="intremap=on,caching-mode=on")
    else:
        result = harness.sluice(
            *[tmp_path, "intr"],
            options="intr=strict",
            devices=DEVICES,
            iommu="intremap=on,caching-mode=on",
            events=EVENTS,
        )
        assert STRICT in result.serial
        # One for each vector that the guest waits for.
        assert len(set(re.findall(r"vtd_ir_remap index (\d+)", result.trace_text))) >= 3, result.describe()
    result.assert_passed()


def test_no_remapping_unit(tmp_path):
    result = harness.sluice(
        tmp_path, "intr", options="intr=strict", iommu="intremap=off", until=harness.REFUSAL, timeout=30
    )
    assert "cannot do interrupt remapping, which intr=strict asks for" in result.serial


@pytest.mark.parametrize("own", ["off", "on"])
def test_linux(tmp_path, own):
    """Without remapping of its own, and with it: then its entries take the place of Sluice's."""
    script = """
        wait_for /dev/nvme0n1
        check disk "$(dd if=/dev/nvme0n1 bs=64k count=16 iflag=direct 2> /dev/null | wc -c)" 1048576
        check msix "$(grep -c nvme0q /proc/interrupts)" 2
        check came "$(awk '/nvme0q/ { n += $2 } END { print (n > 10) }' /proc/interrupts)" 1
        check remapped "$(grep -c 'DMAR-MSI.*nvme\\|IR-PCI-MSI.*nvme' /proc/interrupts)" %d
    """ % (2 if own == "on" else 0)
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(2 << 20))
    result = linux.boot(
        *[tmp_path, script],
        wanted=["nvme"],
        append=f"intremap={own}",
        options="intr=strict",
        iommu="intremap=on,aw-bits=48",
        devices=["-drive", f"file={disk},if=none,id=d,format=raw", "-device", "nvme,drive=d,serial=1"],
    )
    linux.assert_good(result, "disk", "msix", "came", "remapped")
    assert STRICT in result.serial
    assert ("contained: the guest uses interrupt remapping" in result.serial) == (own == "on")


def test_virtual_function(tmp_path):
    """A VF's MSI-X table lies in a BAR that only its physical function's capability tells of."""
    script = """
        pf=$(echo /sys/bus/pci/drivers/igb/0000:*)
        echo 1 > "$pf/sriov_numvfs"
        wait_for /sys/bus/pci/drivers/igbvf/0000:*/net
        vf=$(ls /sys/bus/pci/drivers/igbvf/0000:*/net)
        ip link set "$(ls "$pf/net")" up
        sleep 3
        ip link set "$vf" up
        sleep 6
        check came "$(awk -v vf="$vf-" '$0 ~ vf { n += $2 } END { print (n > 0) }' /proc/interrupts)" 1
        say "lines $(awk '/IO-APIC|PCI-MSI/ && $2 > 0' /proc/interrupts | wc -l)"
    """
    port = "pcie-root-port,id=below,chassis=1,bus-reserve=2,io-reserve=0"
    result = linux.boot(
        *[tmp_path, script],
        wanted=["igb", "igbvf"],
        append="intremap=off pci=realloc",
        options="intr=strict",
        iommu="intremap=on,aw-bits=48",
        devices=["-device", port, "-netdev", "user,id=n", "-device", "igb,bus=below,netdev=n"],
        events=EVENTS,
    )
    linux.assert_good(result, "came")
    # Each that came did so by an entry of its own: the emulated unit would have let it pass without, too.
    entries = set(re.findall(r"vtd_ir_remap index (\d+)", result.trace_text))
    assert len(entries) >= int(re.search(r"LINUX: lines (\d+)", result.serial).group(1)) > 8, result.describe()
