# SPDX-License-Identifier: Apache-2.0
"""The same image on VMX: Bochs has a processor with it, but no VT-d unit, so the guest runs unprotected."""

import pytest

from tests.e2e import bochs, linux

pytestmark = pytest.mark.skipif(bochs.missing() is not None, reason=str(bochs.missing()))

INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t proc none /proc
/bin/busybox mount -t devtmpfs none /dev
echo 1 > /proc/sys/kernel/printk
/bin/busybox --install -s /bin
echo "LINUX: kernel $(uname -r), $(grep -c ^processor /proc/cpuinfo) processors"
grep -qw vmx /proc/cpuinfo && echo "LINUX: error: sees VMX"
dd if=/dev/zero bs=1M count=1 2> /dev/null | sha256sum | sed 's/^/LINUX: hash /'
# What CPUID of Bochs says of threads does not add up.
dmesg | grep -E 'BUG:|WARNING: CPU|Oops|clocksource.*unstable' | grep -v parse_legacy |
    sed 's/^/LINUX: complaint /'
echo "LINUX: done"
# The serial port sends by interrupts, and powering off waits for nobody; a change of its settings does.
stty -F /dev/ttyS0 -echo
poweroff -f
"""
HASH_1M_ZEROES = "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58"
# Nothing that costs an interpreter minutes and says nothing of Sluice.
CMDLINE = "console=ttyS0 quiet panic=-1 mitigations=off init_on_alloc=0 cryptomgr.notests"


@pytest.mark.parametrize("smp", [1, 2])
def test_linux(tmp_path, smp):
    """Debian's kernel to its user space, and off. 6.12, which unpacks itself in a third of 6.1's time."""
    kernel = linux.kernel("6.12") / "vmlinuz"
    initrd = tmp_path / "initrd"
    initrd.write_bytes(linux.initramfs.build(INIT.encode()))
    modules = [(kernel, CMDLINE), (initrd, "")]
    result = bochs.sluice(tmp_path, None, modules=modules, memory=512, smp=smp, timeout=400)
    assert result.status == 0 and "LINUX: done" in result.serial, result.describe()
    assert f", {smp} processors" in result.serial, result.describe()
    assert "LINUX: error" not in result.serial and "complaint" not in result.serial, result.describe()
    assert f"hash {HASH_1M_ZEROES}" in result.serial, result.describe()


def test_multiboot(tmp_path):
    """A kernel that multiboot loaders start."""
    result = bochs.sluice(tmp_path, "multiboot2", "one two=3", until=r"DONE \d+ passed, \d+ failed")
    assert result.done and result.done[0] > 5 and not result.failures, result.describe()


def test_two_processors(tmp_path):
    """Start-up messages, INIT of running processors, NMIs."""
    bochs.sluice(tmp_path, "smp", "cpus=2", smp=2).assert_passed()


@pytest.mark.parametrize("cpu", ["corei7_sandy_bridge_2600k", bochs.CPU, "corei7_skylake_x", "corei7_icelake_u"])
def test_vcpu(tmp_path, cpu):
    """With 1 GiB pages in EPT, INVPCID, XSAVES and without."""
    result = bochs.sluice(tmp_path, "vcpu", "real pae task", cpu=cpu)
    result.assert_passed()
    assert "Intel VMX" in result.serial
    # What is given up is said.
    assert "UNSAFE       iommu=off" in result.serial


def test_triple_fault_is_reported(tmp_path):
    result = bochs.sluice(tmp_path, "vcpu", "die")
    assert "the guest is dead (triple fault)" in result.serial, result.describe()
    assert "exit 2 (triple fault)" in result.serial and "code 0f 0b" in result.serial, result.describe()


def test_no_unit_is_refused(tmp_path):
    result = bochs.sluice(tmp_path, "vcpu", options="", until=r"cannot start: [^\n]*\n")
    assert "no VT-d" in result.serial and "iommu=off" in result.serial, result.describe()


def test_cpu_without_unrestricted_guest(tmp_path):
    """A processor from before Westmere: what it lacks is named."""
    result = bochs.sluice(tmp_path, "vcpu", cpu="core2_penryn_t9600", until=r"cannot start: [^\n]*\n")
    assert "this CPU's VMX lacks" in result.serial, result.describe()


# ---- with the model of a unit in the image: from the guest's tail write to the device, all of it on VMX


@pytest.mark.parametrize("wait", ["", "wait=0"])
def test_unit(tmp_path, wait):
    """What the guest unmaps no device reaches any more, whether or not it flushed the device TLB; wait=0: every
    completion comes by the unit's event or by the preemption timer."""
    result = bochs.with_unit(tmp_path, "model_unit", options=wait)
    result.assert_passed()
    assert "driven wrongly" not in result.serial, result.describe()


def test_unit_without_the_added_flushes(tmp_path):
    """The same device goes on using the page when Sluice is told to forward only what the guest sends."""
    result = bochs.with_unit(tmp_path, "model_unit", "expect-stale", options="dtlb=guest")
    result.assert_passed()
    assert "UNSAFE" in result.serial, result.describe()


@pytest.mark.parametrize("guest", ["unit", "queue", "poll"])
def test_unit_guests(tmp_path, guest):
    """The guests that need no DMA device, as they run on SVM."""
    result = bochs.with_unit(tmp_path, guest)
    result.assert_passed()
    assert "driven wrongly" not in result.serial, result.describe()
