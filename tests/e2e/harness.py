# SPDX-License-Identifier: Apache-2.0
"""Boots a machine in the emulator, waits for what it prints, and collects what it printed and traced.

Nothing here sleeps: a run ends when the emulator exits, when a line that the caller waits for was printed,
or at the deadline.
"""

import fcntl
import os
import re
import selectors
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e import trace

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("BUILD", "build")
IMAGE = Path(os.environ.get("SLUICE_IMAGE", BUILD / "sluice.elf"))
GUESTS = BUILD / "guests"
QEMU = os.environ.get("QEMU", "qemu-system-x86_64")
OVMF_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
OVMF_VARS = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")

# What it takes to have DMA, ATS and several functions; tests pick from these.
EDU = ["-device", "edu,dma_mask=0xffffffffffffffff"]
# Every instruction takes 256 ns of the machine's time: the 100 ms of a transfer pass sooner, and runs repeat.
FAST_CLOCK = ["-icount", "shift=8,sleep=off"]
ATS = [
    *["-device", "pcie-root-port,id=rp1,chassis=1", "-device", "pcie-root-port,id=rp2,chassis=2"],
    *["-netdev", "user,id=n0", "-device"],
    "virtio-net-pci,netdev=n0,bus=rp1,iommu_platform=on,ats=on,disable-legacy=on,romfile=",
    *["-device", "virtio-rng-pci,bus=rp2,iommu_platform=on,ats=on,disable-legacy=on"],
]

# Functions with ATS behind one root port for each eight of them.
MANY_FUNCTIONS = [
    part
    for port in range(8)
    for part in ["-device", f"pcie-root-port,id=rp{port},chassis={port},addr={port + 1:#x}"]
    + [
        word
        for fn in range(8)
        for word in [
            "-device",
            f"virtio-rng-pci,bus=rp{port},addr=0.{fn},multifunction=on,iommu_platform=on,ats=on,disable-legacy=on",
        ]
    ]
]

CHECK = re.compile(r"^T: (.+?) (ok$|FAIL.*|skip.*)")
DONE = re.compile(r"^DONE (\d+) passed, (\d+) failed", re.M)
PART = re.compile(r"^M: (\d+) (.*)$", re.M)
REFUSAL = r"sluice: cannot start: [^\n]*\n"


@contextmanager
def emulator_lock():
    """One emulator at a time, or one for each of the processes among which the tests are divided: more than there are
    processors make each other's deadlines meaningless."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    path = Path(os.environ.get("QEMU_LOCK", BUILD / f"qemu{worker}.lock"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="ascii") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


@dataclass
class Result:
    serial: str
    trace_text: str
    stderr: str
    status: int | None  # the emulator's exit status; None when it was stopped
    timed_out: bool
    seconds: float
    command: list
    _parts: list = field(default=None, repr=False)

    @property
    def guest(self):
        """What the guest printed. A line of Sluice's may have come in the middle of one of its
        lines; after a slash it is the end of a part's name."""
        return re.sub(r"(?<=[^\n/])sluice: [^\n]*\n", "", self.serial)

    @property
    def checks(self):
        """The guest's checks: name to 'ok', 'FAIL why' or 'skip why'. A failure is never hidden by an ok."""
        found = {}
        for line in self.guest.splitlines():
            m = CHECK.match(line)
            if m and not (m[1] in found and found[m[1]].startswith("FAIL")):
                found[m[1]] = m[2]
        return found

    @property
    def failures(self):
        return {name: what for name, what in self.checks.items() if what.startswith("FAIL")}

    @property
    def done(self):
        """(passed, failed) as the guest counted them; None when it did not come to its end."""
        m = DONE.search(self.guest)
        return (int(m[1]), int(m[2])) if m else None

    @property
    def parts(self):
        if self._parts is None:
            names = {int(m[1]): m[2] for m in PART.finditer(self.guest)}
            self._parts = trace.parse(self.trace_text, names)
        return self._parts

    def part(self, name):
        found = [p for p in self.parts if p.name == name]
        assert len(found) == 1, f"{len(found)} parts called {name}"
        return found[0]

    def facts(self, key):
        """Values of `I: key value` lines."""
        return re.findall(rf"^I: {re.escape(key)} (\S+)", self.guest, re.M)

    def hypervisor(self):
        return [line for line in self.serial.splitlines() if line.startswith("sluice: ")]

    def assert_passed(self):
        """The guest ran to its end and every check was ok or skipped."""
        assert not self.failures, self.describe()
        assert self.done and self.done[0] > 0 and self.done[1] == 0, self.describe()
        assert not self.timed_out and self.status == 0, self.describe()

    def describe(self):
        bad = "\n".join(f"  {name}: {what}" for name, what in self.failures.items())
        tail = "\n".join("  " + line for line in self.serial.splitlines()[-30:])
        errors = "\n".join("  " + line for line in self.stderr.splitlines()[-8:])
        return (
            f"done={self.done} timed_out={self.timed_out} status={self.status} after {self.seconds:.1f} s\n"
            f"failed:\n{bad}\nserial, the end:\n{tail}\nemulator:\n{errors}\n"
            f"{' '.join(map(str, self.command))}"
        )


def clean(data):
    """Console bytes as lines: no carriage returns, no terminal escapes (the firmware and GRUB send some)."""
    text = data.decode("utf-8", "replace").replace("\r", "")
    return re.sub(r"\x1b(\[[0-9;?=]*[A-Za-z]|c)", "", text)


def make_iso(directory, options="", modules=(), image=IMAGE, acpi=None):
    """A GRUB disc with Sluice. `modules` is a list of (file, command line): the guest's kernel first.
    `acpi`: the bytes of a table that firmware has not got, and GRUB adds to its own."""
    tree = Path(directory) / "iso"
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "boot/grub").mkdir(parents=True)
    shutil.copy(image, tree / "sluice.elf")
    lines = ["set timeout=0", 'menuentry "sluice" {', f"  multiboot2 /sluice.elf {options}"]
    if acpi:
        (tree / "table").write_bytes(acpi)
        lines.insert(2, "  acpi /table")
    for i, (file, cmdline) in enumerate(modules):
        shutil.copy(file, tree / f"module{i}")
        lines.append(f"  module2 /module{i} {cmdline}")
    lines.append("}")
    (tree / "boot/grub/grub.cfg").write_text("\n".join(lines) + "\n", encoding="ascii")
    iso = Path(directory) / "sluice.iso"
    subprocess.run(
        ["grub-mkrescue", "-o", str(iso), str(tree)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=60,
    )
    return iso


def collect(process, until, timeout, react=None):
    """Read the console until the emulator ends, `until` matches, or time is up: (bytes, ended, timed out).
    `react` is called with all text so far whenever some has come."""
    data = b""
    pattern = re.compile(until) if until else None
    end = time.monotonic() + timeout
    stream = process.stdout
    with selectors.DefaultSelector() as wait:
        wait.register(stream, selectors.EVENT_READ)
        while True:
            left = end - time.monotonic()
            if left <= 0 or not wait.select(left):
                return data, False, True
            chunk = os.read(stream.fileno(), 65536)
            if not chunk:
                return data, True, False
            data += chunk
            if react:
                react(clean(data))
            if pattern and pattern.search(clean(data)):
                return data, False, False


def stop(process, patience):
    """Give the emulator `patience` seconds to end by itself, then end it. True when it had to be ended."""
    try:
        process.wait(timeout=patience)
        return False
    except subprocess.TimeoutExpired:
        pass
    finally:
        process.stdout.close()
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return True


def run(
    directory,
    boot,
    *,
    firmware="seabios",
    iommu="caching-mode=on",
    cpu="max",
    memory="256M",
    smp=1,
    accel="tcg",
    devices=(),
    events=trace.EVENTS,
    until=None,
    timeout=60,
    react=None,
):
    """Run one machine. `boot`: the emulator's arguments that say what to boot. `iommu` None: no unit."""
    directory = Path(directory)
    log, wanted = directory / "trace.log", directory / "trace.events"
    wanted.write_text(events, encoding="ascii")
    log.write_text("", encoding="ascii")
    command = [QEMU, "-machine", "q35", "-accel", os.environ.get("QEMU_ACCEL", accel), "-cpu", cpu]
    command += ["-m", memory, "-smp", str(smp)]
    command += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"]
    command += ["-trace", f"events={wanted}", "-D", str(log)]
    if iommu is not None:
        command += ["-device", ",".join(filter(None, ["intel-iommu", iommu]))]
    if firmware == "ovmf":
        variables = directory / "vars.fd"
        shutil.copy(OVMF_VARS, variables)
        command += ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF_CODE}"]
        command += ["-drive", f"if=pflash,format=raw,unit=1,file={variables}"]
    command += [*devices, *boot]
    with emulator_lock(), open(directory / "stderr", "w+b") as errors:
        start = time.monotonic()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
        )
        patience = 0
        try:
            data, ended, timed_out = collect(process, until, timeout, react)
            # It has closed its console, so it is on its way out.
            patience = 5 if ended else 0
        finally:
            stopped = stop(process, patience)
        seconds = time.monotonic() - start
        errors.seek(0)
        stderr = errors.read().decode("utf-8", "replace")
    serial = clean(data)
    (directory / "serial").write_text(serial, encoding="utf-8")
    return Result(
        serial=serial,
        trace_text=log.read_text(encoding="utf-8", errors="replace"),
        stderr=stderr,
        status=None if stopped else process.returncode,
        timed_out=timed_out,
        seconds=seconds,
        command=command,
    )


def bare(directory, guest, cmdline="", **machine):
    """A test guest on the emulated machine itself."""
    return run(directory, ["-kernel", str(GUESTS / f"{guest}.elf"), "-append", cmdline], **machine)


def sluice(directory, guest, cmdline="", *, options="", modules=None, image=IMAGE, **machine):
    """A test guest on Sluice. `modules` replaces the guest by other files (or none: [])."""
    if modules is None:
        modules = [(GUESTS / f"{guest}.elf", cmdline)]
    iso = make_iso(directory, options, modules, image)
    return run(directory, ["-cdrom", str(iso), "-boot", "d"], **machine)
