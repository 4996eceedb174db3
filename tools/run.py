#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Boots a guest on Sluice in QEMU, shows its console, and closes with one table of invalidations.

The defaults come from the environment, which is how `make run` passes on what stands on its command line.
Without GUEST the guest is Debian's 6.1 kernel with tools/linux/init, and what it reads from its disk and
fetches over the network is compared with what was put there. Exit status 0: all checks passed.
"""

import argparse
import hashlib
import os
import pathlib
import random
import re
import select
import shlex
import shutil
import subprocess
import sys
import time

import count
import emulator

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOLS = ROOT / "tools"
DISK_BYTES = 8 << 20
FILE_BYTES = 4 << 20
# For the Debian guest. `quiet` keeps the transcript readable; dmesg of interest is in init's own lines.
LINUX_CMDLINE = "console=ttyS0 intel_iommu=on quiet panic=-1"
# What firmware and GRUB send to a terminal to move its cursor.
ESCAPES = re.compile(r"\x1b(?:\[[0-9;?=]*[A-Za-z]|[()][A-Z0-9]|[=>c])|[\x00\x07\x08\r]")
# The machine has no display, of which GRUB complains; serial.log keeps it.
NOISE = ("error: no suitable video mode found.", "Booting in blind mode", "WARNING: no console will be available to OS")
# OVMF 4M, where Debian keeps it; BIOS is QEMU's default and needs no file.
OVMF_CODE = pathlib.Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
OVMF_VARS = pathlib.Path("/usr/share/OVMF/OVMF_VARS_4M.fd")


def arguments():
    env = os.environ.get
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    build = pathlib.Path(env("BUILD") or "build")
    parser.add_argument("--build", type=pathlib.Path, default=build, help="directory with sluice.elf")
    parser.add_argument("--cache", type=pathlib.Path, default=env("SLUICE_CACHE") or build / "cache")
    parser.add_argument("--work", type=pathlib.Path, default=build / "run", help="for logs and disks")
    parser.add_argument("--guest", default=env("GUEST"), help="a kernel instead of Debian's")
    parser.add_argument("--cmdline", default=env("CMDLINE"), help="its command line")
    parser.add_argument("--initrd", default=env("INITRD"), help="its initrd")
    parser.add_argument("--options", default=env("OPTIONS") or "", help="Sluice's own command line")
    parser.add_argument("--unit", default=env("UNIT") or "", help="more properties of the emulated VT-d unit")
    parser.add_argument("--append", default=env("APPEND") or "", help="more for the Linux command line")
    parser.add_argument("--firmware", choices=["ovmf", "seabios"], default=env("FIRMWARE") or "ovmf")
    parser.add_argument("--bare", action="store_true", default=bool(env("BARE")), help="without Sluice")
    parser.add_argument("--shell", action="store_true", default=bool(env("WANT_SHELL")))
    parser.add_argument("--iso-only", action="store_true", help="write sluice.iso into the build directory")
    parser.add_argument("--smp", type=int, default=int(env("SMP") or 2), help="processors")
    parser.add_argument("--timeout", type=float, default=float(env("TIMEOUT") or 300), help="seconds")
    return parser.parse_args()


def say(text):
    print(f"run: {text}", flush=True)


def debian_guest(args):
    """Paths of Debian's kernel and of the initrd built here, both made when missing or out of date."""
    subprocess.run([TOOLS / "kernel", args.cache], check=True)
    linux, initrd = args.cache / "linux-6.1", args.build / "linux" / "initrd.gz"
    scripts = [p for p in (TOOLS / "linux").iterdir() if not p.suffix]
    programs = [args.build / "linux" / p.stem for p in sorted((TOOLS / "linux").glob("*.c"))]
    sources = [linux / "vmlinuz", TOOLS / "initramfs.py", *scripts, *programs]
    if not initrd.exists() or any(s.stat().st_mtime > initrd.stat().st_mtime for s in sources):
        say(f"building {initrd}")
        subprocess.run([sys.executable, TOOLS / "initramfs.py", linux, initrd, *programs], check=True)
    return linux / "vmlinuz", initrd


def quote(words):
    """GRUB reads its configuration as a shell would, and puts quotes of its own around a word with blanks."""
    return " ".join(shlex.quote(word) for word in shlex.split(words))


def build_iso(args, kernel, initrd, cmdline, iso):
    """A boot image with GRUB for BIOS and UEFI, which starts Sluice (or, bare, Linux itself) at once."""
    tree = args.work / "iso"
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "boot" / "grub").mkdir(parents=True)
    shutil.copy(kernel, tree / "kernel")
    lines = ["serial --unit=0 --speed=115200", "terminal_output serial", "set timeout=0"]
    if args.bare:
        lines.append(f"linux /kernel {quote(cmdline)}")
    else:
        shutil.copy(args.build / "sluice.elf", tree / "sluice.elf")
        lines += [f"multiboot2 /sluice.elf {quote(args.options)}", f"module2 --nounzip /kernel {quote(cmdline)}"]
    if initrd:
        shutil.copy(initrd, tree / "initrd")
        lines.append("initrd /initrd" if args.bare else "module2 --nounzip /initrd")
    (tree / "boot" / "grub" / "grub.cfg").write_text("\n".join(lines + ["boot"]) + "\n", encoding="utf-8")
    done = subprocess.run(["grub-mkrescue", "-o", iso, tree], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"run: grub-mkrescue failed:\n{done.stderr}")


def make_contents(args):
    """A disk and a file with known random content; returns their paths."""
    source = random.Random(time.time_ns())
    disk, served = args.work / "disk.img", args.work / "tftp"
    served.mkdir(exist_ok=True)
    disk.write_bytes(source.randbytes(DISK_BYTES))
    (served / "payload").write_bytes(source.randbytes(FILE_BYTES))
    return disk, served


def machine(args, iso, disk, served):
    """QEMU's command line: q35 with SVM and VT-d, an NVMe disk, a virtio network card with ATS."""
    work = args.work
    (work / "events").write_text("vtd_inv_desc\nvtd_inv_qi_setup\nvtd_dmar_fault\n", encoding="utf-8")
    command = ["qemu-system-x86_64", "-machine", "q35", "-accel", emulator.accelerator(args.smp)]
    command += ["-cpu", "max", "-m", "1G", "-smp", str(args.smp), "-nodefaults", "-display", "none", "-no-reboot"]
    if args.firmware == "ovmf":
        # A variable store of its own for each run: what one boot wrote must not change the next.
        shutil.copy(OVMF_VARS, work / "vars.fd")
        command += ["-drive", f"if=pflash,format=raw,readonly=on,file={OVMF_CODE}"]
        command += ["-drive", f"if=pflash,format=raw,file={work / 'vars.fd'}"]
    command += ["-device", ",".join(filter(None, ["intel-iommu,device-iotlb=on,aw-bits=48", args.unit]))]
    command += ["-drive", f"if=none,id=cd,media=cdrom,readonly=on,format=raw,file={iso}"]
    command += ["-device", "ide-cd,bus=ide.0,drive=cd"]
    command += ["-drive", f"if=none,id=disk,format=raw,file={disk}"]
    command += ["-device", "nvme,drive=disk,serial=sluice"]
    # ATS is found behind a root port only.
    command += ["-device", "pcie-root-port,id=port0,chassis=1"]
    nic = "virtio-net-pci,bus=port0,netdev=net0,iommu_platform=on,ats=on,disable-legacy=on,romfile="
    command += ["-device", nic, "-netdev", f"user,id=net0,restrict=on,tftp={served}"]
    command += ["-trace", f"events={work / 'events'}", "-D", work / "trace.log"]
    mux = "on" if args.shell else "off"
    command += ["-chardev", f"stdio,id=console,signal=off,mux={mux},logfile={work / 'serial.log'}"]
    command += ["-serial", "chardev:console"]
    if args.shell:
        command += ["-mon", "chardev=console"]
    return command


def follow(process, timeout):
    """Shows the console line by line with the seconds since start. Returns False after a time-out."""
    start = last = time.monotonic()
    pending = b""
    while True:
        ready, _, _ = select.select([process.stdout], [], [], 1)
        now = time.monotonic()
        if ready:
            chunk = os.read(process.stdout.fileno(), 65536)
            if not chunk:
                return True
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                text = ESCAPES.sub("", line.decode("utf-8", "replace")).rstrip()
                if text and text not in NOISE:
                    print(f"{now - start:7.1f}  {text}", flush=True)
                    last = now
        elif now - last >= 10:
            say(f"{now - start:.0f} s, nothing new on the console")
            last = now
        if now - start > timeout:
            return False


def run_machine(args, command):
    """True when the machine ended by itself and QEMU was content."""
    (args.work / "serial.log").write_bytes(b"")
    (args.work / "trace.log").write_bytes(b"")
    if args.shell:
        say("leave the shell with `exit`; Ctrl-A X ends the emulator")
        return subprocess.run(command, check=False).returncode == 0
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, **pipes) as process:
        try:
            if not follow(process, args.timeout):
                say(f"stopped: not finished after {args.timeout:.0f} s")
                return False
            return process.wait() == 0
        finally:
            process.kill()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def check_linux(args, console, disk, before, served):
    """What Debian's guest reported against what the host knows: a list of (what, passed)."""
    after = disk.read_bytes()
    payload = (served / "payload").read_bytes()
    half = DISK_BYTES // 2
    restarts = re.findall(rf"LINUX: processors {args.smp - 1}, then {args.smp}$", console, re.M)
    return [
        ("the guest found the unit and turned translation on", "LINUX: translation on" in console),
        (f"the guest runs on all processors ({args.smp})", f"LINUX: processors {args.smp}\n" in console),
        ("each but the first went off and came back", len(restarts) == args.smp - 1),
        ("the NVMe disk reads back what the host wrote", f"LINUX: disk sha256 {sha256(before)}" in console),
        ("the disk holds what the guest wrote", after[half:] == before[:half] == after[:half]),
        ("ATS is on for the network card", re.search(r"LINUX: pci .* ats on", console) is not None),
        ("the file came over the network unharmed", f"LINUX: net sha256 {sha256(payload)}" in console),
        ("the guest complained of nothing", "LINUX: complaint" not in console and "LINUX: error" not in console),
        ("the guest powered off", "LINUX: done, powering off" in console),
    ]


def main():
    args = arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    cmdline, initrd = args.cmdline, args.initrd
    if args.guest:
        kernel, cmdline = args.guest, cmdline or ""
    else:
        kernel, initrd = debian_guest(args)
        cmdline = " ".join(filter(None, [cmdline or LINUX_CMDLINE, args.append, args.shell and "sluice.shell"]))
    iso = args.build / "sluice.iso" if args.iso_only else args.work / "boot.iso"
    build_iso(args, kernel, initrd, cmdline, iso)
    if args.iso_only:
        say(f"{iso} is ready")
        return 0

    disk, served = make_contents(args)
    before = disk.read_bytes()
    say(f"starting {'the bare machine' if args.bare else 'Sluice'} in QEMU with {args.firmware}")
    ended = run_machine(args, machine(args, iso, disk, served))

    console = ESCAPES.sub("", (args.work / "serial.log").read_text(encoding="utf-8", errors="replace"))
    checks = [("the machine ended by itself", ended)]
    if not args.guest:
        checks += check_linux(args, console, disk, before, served)
    trace, faults = count.from_trace(args.work / "trace.log")
    lines, wrong = count.table(trace, None if args.bare else count.from_sluice(console))
    if not args.bare:
        checks.append(("Sluice's own counts agree with the emulator's trace", not wrong))
    print()
    for what, passed in checks:
        print(f"  {'ok  ' if passed else 'FAIL'}  {what}")
    print("\n" + "\n".join(lines))
    if faults:
        print(f"\n  DMA faults reported by the unit: {faults}")
    for sentence in wrong:
        print(f"  DISAGREES: {sentence}")
    print(f"\n  console, trace: {args.work}/serial.log, {args.work}/trace.log")
    return 0 if all(passed for _, passed in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
