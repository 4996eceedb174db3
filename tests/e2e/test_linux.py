# SPDX-License-Identifier: Apache-2.0
"""Debian's kernel on Sluice: it finds the virtual unit, does I/O through it, and powers off."""

import re
import subprocess
import sys

import pytest

from tests.e2e import harness, linux


def run_linux(directory, *options):
    """tools/run.py, which compares what the guest read and wrote with what the host knows."""
    command = [sys.executable, str(harness.ROOT / "tools" / "run.py"), "--work", str(directory), *options]
    with harness.emulator_lock():
        return subprocess.run(
            command, cwd=harness.ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )


def row(output, title):
    """The numbers of one line of the closing table."""
    found = re.search(rf"^  {re.escape(title)} +([\d, ]+)$", output, re.M)
    assert found, f"no line for {title}"
    return [int(n.replace(",", "")) for n in found[1].split()]


@pytest.mark.parametrize("firmware,smp", [("ovmf", "2"), ("seabios", "1"), ("seabios", "4")])
def test_linux(tmp_path, firmware, smp):
    done = run_linux(tmp_path, "--firmware", firmware, "--smp", smp)
    assert done.returncode == 0, done.stdout + done.stderr
    # Caching mode is announced, so this kernel sends fewer device-TLB flushes than IOTLB flushes; the unit
    # must have received one for each flush that covers the network card all the same.
    _, iotlb, *_ = row(done.stdout, "IOTLB")
    guest, dtlb, added = row(done.stdout, "device-TLB")
    assert iotlb > 1000 and dtlb > 1000 and added > 0, done.stdout
    assert dtlb >= guest
    # One line for each processor; in xAPIC mode the end of each interrupt is an exit.
    counts = re.findall(r"count cpu=\d+ exits=(\d+) apic=(\d+) eoi=(\d+)", done.stdout)
    assert len(counts) == int(smp) and all(int(eoi) > 0 for _, _, eoi in counts), counts
    # It reads nothing of Sluice's, such as a table of firmware's that lay where Sluice is.
    console = harness.clean((tmp_path / "serial.log").read_bytes())
    assert "which is not the guest's" not in console, console


def test_tables_of_boot_services(tmp_path):
    """EFI's memory attributes lie in memory that boot services leave behind; Linux says when they are no such table."""
    script = 'dmesg | grep -o -e "MEMATTR=" -e "memattr: .*"\n'
    result = linux.boot(tmp_path, script, firmware="ovmf", iommu="caching-mode=on", memory="1G", timeout=120)
    linux.assert_good(result)
    assert "MEMATTR=" in result.serial and "memattr: " not in result.serial, result.describe()


@pytest.mark.parametrize(
    "unit,smp", [("x-scalable-mode=on,intremap=off", "1"), ("x-scalable-mode=on,intremap=on,eim=on", "2")]
)
def test_scalable(tmp_path, unit, smp):
    """Second-stage tables in scalable mode; with interrupt remapping the guest uses x2APIC."""
    options = ["--firmware", "seabios", "--unit", unit, "--append", "intel_iommu=sm_on", "--smp", smp]
    done = run_linux(tmp_path, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert row(done.stdout, "IOTLB")[0] > 1000
    assert "PASID-cache" in done.stdout
    assert ("interrupts contained" in done.stdout) == ("intremap=on" in unit)
    # In x2APIC mode neither the timer nor the end of an interrupt exits: only what came before the switch.
    apic = [int(n) for n in re.findall(r"count cpu=\d+ exits=\d+ apic=(\d+)", done.stdout)]
    assert len(apic) == int(smp) and (max(apic) < 1000) == ("eim=on" in unit), apic


@pytest.mark.parametrize("options, append", [("", "iommu.strict=0"), ("cm=off", "iommu.strict=1")])
def test_first_stage(tmp_path, options, append):
    """The guest's own first-stage tables. With caching mode this kernel's lazy unmapping sends no device-TLB
    flush at all (and would go on using freed memory); without it, a strict one sends each."""
    unit, options = "x-scalable-mode=on,x-flts=on", f"firststage=direct {options}"
    done = run_linux(
        *[tmp_path, "--firmware", "seabios", "--unit", unit, "--options", options],
        *["--append", f"intel_iommu=sm_on {append}"],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT CONTAINED" in done.stdout and "contained    DMA" not in done.stdout
    guest, piotlb, *_ = row(done.stdout, "PASID-based IOTLB")
    asked, dtlb, *_ = row(done.stdout, "device-TLB")
    assert guest > 100 and piotlb > 100 and dtlb >= piotlb / 2, done.stdout
    assert (asked > 1000) == ("strict=1" in append), done.stdout


def test_bare(tmp_path):
    """The same guest without Sluice: what fails here is not Sluice's fault."""
    done = run_linux(tmp_path, "--firmware", "seabios", "--bare")
    assert done.returncode == 0, done.stdout + done.stderr
