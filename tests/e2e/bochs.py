# SPDX-License-Identifier: Apache-2.0
"""Boots a disc in Bochs, which emulates VMX (QEMU emulates only SVM) and has no VT-d unit.

Nothing here sleeps: a run ends when the machine is switched off, when a line that the caller waits for was
printed, or at the deadline.
"""

import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

from tests.e2e import harness

BOCHS = os.environ.get("BOCHS", "bochs")
BIOS = Path("/usr/share/bochs/BIOS-bochs-latest")
VGABIOS = [Path("/usr/share/vgabios/vgabios.bin"), Path("/usr/share/bochs/VGABIOS-lgpl-latest")]

# What is never followed by more.
DEAD = r"sluice: (halted|cannot start)[^\n]*\n|CPU \d+ halted"

# The display is a VNC server that waits for nobody; there is no debugger to stop in.
CONFIG = """\
display_library: rfb, options="timeout=0"
romimage: file={bios}
vgaromimage: file={vgabios}
cpu: model={cpu}, count={smp}, ips=50000000, reset_on_triple_fault=0
memory: guest={memory}, host={memory}
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path={disc}, status=inserted
boot: cdrom
clock: sync=none
com1: enabled=1, mode=file, dev=/dev/fd/{console}
log: {log}
panic: action=fatal
error: action=ignore
info: action=report
debug: action=ignore
plugin_ctrl: speaker=0, sb16=0, es1370=0, voodoo=0
"""


def missing():
    """Why Bochs cannot be used, or None."""
    if not shutil.which(BOCHS):
        return "bochs is not installed (packages bochs and bochs-term or bochs-x)"
    if not BIOS.exists() or not any(file.exists() for file in VGABIOS):
        return "the firmware for Bochs is not installed (packages bochsbios and vgabios)"
    return None


# A Haswell: later ones tell the frequency of their TSC, which is not that of the emulated one. Every pause of a
# guest, and every second of patience, would be seventy times as long.
CPU = "corei7_haswell_4770"


def run(directory, disc, *, cpu=CPU, smp=1, memory=256, until=DEAD, timeout=120):
    """Run one machine from a disc image. The result's status is 0 when it was switched off."""
    directory = Path(directory)
    log, config = directory / "bochs.log", directory / "bochsrc"
    vgabios = next(v for v in VGABIOS if v.exists())
    # Debian's build starts in its debugger: continue, and quit when the machine is off.
    commands = directory / "commands"
    commands.write_text("c\nquit\n", encoding="ascii")
    command = [BOCHS, "-q", "-f", str(config), "-rc", str(commands)]
    with harness.emulator_lock(), open(directory / "stderr", "w+b") as errors:
        # What Bochs says itself goes to standard output; the console gets a pipe of its own.
        receive, send = os.pipe()
        settings = {"bios": BIOS, "vgabios": vgabios, "cpu": cpu, "smp": smp, "memory": memory}
        settings |= {"disc": Path(disc).resolve(), "log": log, "console": send}
        config.write_text(CONFIG.format(**settings), encoding="ascii")
        start = time.monotonic()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, pass_fds=[send]
        )
        os.close(send)
        process.stdout = os.fdopen(receive, "rb", buffering=0)
        patience = 0
        try:
            data, ended, timed_out = harness.collect(process, until, timeout)
            patience = 5 if ended else 0
        finally:
            stopped = harness.stop(process, patience)
        seconds = time.monotonic() - start
        errors.seek(0)
        stderr = errors.read().decode("utf-8", "replace")
    serial = harness.clean(data)
    (directory / "serial").write_text(serial, encoding="utf-8")
    # Switching the machine off is a panic of the emulated ACPI device, and that ends Bochs with status 1.
    said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    off = not stopped and "soft power off" in said
    return harness.Result(
        serial=serial,
        trace_text="",
        stderr=stderr + said[-2000:],
        status=0 if off else process.returncode,
        timed_out=timed_out,
        seconds=seconds,
        command=command,
    )


UNPROTECTED = "iommu=off on-shutdown=halt"

# The image that carries a model of a VT-d unit, and the table that says where: one unit for every device.
MODEL_UNIT = harness.BUILD / "boot" / "model_unit.elf"
UNIT_BASE = 0xFED90000


def dmar():
    """A DMAR table (8.1): 48-bit addresses; one unit with INCLUDE_ALL; root ports of any device may use ATS."""
    body = struct.pack("<BB10x", 47, 0)
    body += struct.pack("<HHBBHQ", 0, 16, 1, 0, 0, UNIT_BASE)
    body += struct.pack("<HHBBH", 2, 8, 1, 0, 0)
    head = struct.pack("<4sIBB6s8sI4sI", b"DMAR", 36 + len(body), 1, 0, b"SLUICE", b"MODEL   ", 1, b"SLUI", 1)
    table = bytearray(head + body)
    table[9] = -sum(table) & 0xFF
    return bytes(table)


def sluice(
    directory, guest, cmdline="", *, options=UNPROTECTED, modules=None, image=None, acpi=None, **machine
):
    """A test guest on Sluice."""
    if modules is None:
        modules = [(harness.GUESTS / f"{guest}.elf", cmdline)]
    disc = harness.make_iso(directory, options, modules, image or harness.IMAGE, acpi)
    return run(directory, disc, **machine)


def with_unit(directory, guest, cmdline="", *, options="", **machine):
    """A test guest on Sluice, with the model as the VT-d unit."""
    options = f"on-shutdown=halt {options}"
    return sluice(directory, guest, cmdline, options=options, image=MODEL_UNIT, acpi=dmar(), **machine)
