# SPDX-License-Identifier: Apache-2.0
"""Debian's kernels as guests of Sluice, with a script of the test's own as their first program."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

from tests.e2e import harness

sys.path.insert(0, str(harness.ROOT / "tools"))
import emulator  # noqa: E402  pylint: disable=wrong-import-position
import initramfs  # noqa: E402  pylint: disable=wrong-import-position

# What comes before each script.
PROLOGUE = """\
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
echo 1 > /proc/sys/kernel/printk
say() { echo "LINUX: $*"; }
# A check: ok, or what was there instead.
check() { if [ "$2" = "$3" ]; then say "$1 ok"; else say "$1 FAIL: '$2', not '$3'"; fi; }
# Awaits that a command succeeds, for 20 s.
wait_until() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt 400 ] || { say "FAIL: in vain: $*"; return 1; }
        usleep 50000
    done
}
wait_for() { wait_until [ -e "$1" ]; }
wait_gone() { wait_until [ ! -e "$1" ]; }
say "kernel $(uname -r)"
for module in $(cat /modules/order); do insmod "/modules/$module" || say "FAIL: module $module"; done
"""

EPILOGUE = """
# A fault that a device had is for the test to judge: to some reasons the kernel says "error".
dmesg | grep -E 'BUG:|WARNING:|Oops|nvme.*timeout|DMAR:.*([Ee]rror|timeout)' | grep -v 'DMAR: \\[DMA' | sed 's/^/LINUX: FAIL complaint /'
say "done"
sync
poweroff -f
"""

CMDLINE = "console=ttyS0 quiet panic=-1 intel_iommu=on iomem=relaxed mitigations=off"


def kernel(version):
    """The directory of one of Debian's kernels, which is fetched when it is not there."""
    cache = Path(os.environ.get("SLUICE_CACHE", harness.BUILD / "cache"))
    subprocess.run([harness.ROOT / "tools" / "kernel", cache, version], check=True, timeout=600)
    return cache / f"linux-{version}"


def program(directory, name):
    """tests/linux/NAME.c as a file for the initramfs."""
    out = Path(directory) / name
    source = harness.ROOT / "tests" / "linux" / f"{name}.c"
    command = [os.environ.get("CC", "gcc"), "-O1", "-Wall", "-Werror", "-static", "-o", out, source]
    subprocess.run(command, check=True, timeout=60)
    return f"bin/{name}", out.read_bytes()


class Monitor:
    """The emulator's monitor, told what to do when the guest says so."""

    def __init__(self, directory, reactions):
        self.path = Path(directory) / "qmp"
        self.arguments = ["-qmp", f"unix:{self.path},server=on,wait=off"]
        self.left = list(reactions)

    def command(self, name, **arguments):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(str(self.path))
            stream = s.makefile("rw")
            for message in {"execute": "qmp_capabilities"}, {"execute": name, "arguments": arguments}:
                stream.write(json.dumps(message) + "\n")
                stream.flush()
                while True:
                    answer = json.loads(stream.readline())
                    if "return" in answer or "error" in answer:
                        break
                assert "return" in answer or name == "qmp_capabilities", answer

    def react(self, text):
        while self.left and re.search(self.left[0][0], text):
            _, name, arguments = self.left.pop(0)
            self.command(name, **arguments)


def boot(
    directory,
    script,
    *,
    version="6.1",
    wanted=(),
    files=(),
    append="",
    below=(),
    devices=(),
    reactions=(),
    bare=False,
    **machine,
):
    """Runs the script, on Sluice or on the `bare` machine. `below`: modules before the kernel, a hypervisor
    of its own. `reactions`: (pattern, monitor command, its arguments), in their order."""
    linux = kernel(version)
    initrd = Path(directory) / "initrd"
    initrd.write_bytes(initramfs.build((PROLOGUE + script + EPILOGUE).encode(), linux, wanted, files))
    monitor = Monitor(directory, reactions)
    machine = {"memory": "512M", "timeout": 240, "iommu": "device-iotlb=on,aw-bits=48", **machine}
    machine.setdefault("accel", emulator.accelerator(machine.get("smp", 1)))
    if bare:
        load = ["-kernel", str(linux / "vmlinuz"), "-initrd", str(initrd), "-append", f"{CMDLINE} {append}"]
        return harness.run(
            directory, load, devices=[*devices, *monitor.arguments], react=monitor.react, **machine
        )
    return harness.sluice(
        directory,
        None,
        modules=[*below, (linux / "vmlinuz", f"{CMDLINE} {append}"), (initrd, "")],
        devices=[*devices, *monitor.arguments],
        react=monitor.react,
        **machine,
    )


def assert_good(result, *checks):
    """The guest came to its end and each of these checks is ok."""
    assert "LINUX: done" in result.serial and "FAIL" not in result.serial, result.describe()
    for name in checks:
        assert f"LINUX: {name} ok" in result.serial, f"{name}: " + result.describe()
    assert not result.timed_out and result.status == 0, result.describe()
