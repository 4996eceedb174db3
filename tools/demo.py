#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Why Sluice exists, in two runs of the same machine.

An unmodified Debian 6.1 sends packets through a network card that keeps translations in a device TLB of its
own (tests/e2e/net_device.py, a process outside the emulator, which checks each packet). The kernel sees
first-stage tables and caching mode, unmaps lazily, and asks for no device-TLB flush: it takes caching mode for a
promise that the hypervisor sends one. First Sluice keeps to the letter of caching mode (dtlb=cm), which says
nothing about first-stage tables; then it does what it does by default.

Prints what the guest submitted, what the unit received (by the emulator's trace) and how many packets left
from stale pages, and draws a picture. Exit status 0: the first run showed stale packets and the second none.
"""

import argparse
import json
import os
import pathlib
import re
import sys
import tempfile
from dataclasses import dataclass

TOOLS = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(TOOLS.parent))

# pylint: disable=wrong-import-position
import count  # noqa: E402
import inside  # noqa: E402
import run  # noqa: E402
from tests.e2e import harness  # noqa: E402
from tests.e2e.net_device import Card  # noqa: E402

PACKETS = 64
MEMORY = "512M"
# The emulator's unit cannot nest, so the guest's first-stage tables are used as they are.
UNIT = "device-iotlb=on,x-scalable-mode=on,x-flts=on"
OPTIONS = "firststage=direct"
KERNEL = "console=ttyS0 rdinit=/demo intel_iommu=on,sm_on iommu.strict=0 ipv6.disable=1 quiet panic=-1"
ROWS = ["piotlb", "dtlb", "wait"]
STAMP = re.compile(r"^(?:\d+@)?(\d+\.\d+):vtd_inv_desc .*high 0x(\w+) low 0x(\w+)", re.M)


@dataclass
class Run:
    options: str
    packets: list  # of the card
    entries: list  # of Sluice's trace: (time of day, entry)
    guest: dict  # descriptors by kind, as Sluice counted them
    unit: dict  # and as the emulator traced them
    console: str

    @property
    def stale(self):
        return sum(p.stale for p in self.packets)


def say(text):
    print(f"demo: {text}", flush=True)


def to_time_of_day(entries, trace):
    """Puts the trace, which counts microseconds of the guest's clock, on the clock of the packets: our waits
    are all different, and the emulator says when it received each."""
    seen = {(int(hi, 16), int(lo, 16)): float(at) for at, hi, lo in STAMP.findall(trace)}
    pairs = [
        (e.us, seen[e.descriptor.hi, e.descriptor.lo])
        for e in entries
        if e.who == "host" and (e.descriptor.hi, e.descriptor.lo) in seen and e.descriptor.kind == "wait"
    ]
    if len(pairs) < 2:
        sys.exit("demo: void: Sluice's trace and the emulator's have nothing in common")
    (u0, t0), (u1, t1) = pairs[0], pairs[-1]
    return [(t0 + (e.us - u0) * (t1 - t0) / (u1 - u0), e) for e in entries]


def one_run(args, options, kernel, initrd):
    work = args.work / options.split()[0].replace("=", "-")
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as short:  # a socket's path must not be long
        card = Card(f"{short}/card").start()
        devices = [
            *["-object", f"memory-backend-memfd,id=ram,size={MEMORY},share=on", "-machine", "memory-backend=ram"],
            *["-device", "pcie-root-port,id=rp1,chassis=1", "-msg", "timestamp=on"],
            *["-chardev", f"socket,id=card,path={card.path}", "-netdev", "vhost-user,id=net,chardev=card"],
            *["-device", "virtio-net-pci,netdev=net,bus=rp1,iommu_platform=on,ats=on,disable-legacy=on,romfile="],
        ]
        try:
            result = harness.sluice(
                *[work, None], options=options, modules=[(kernel, KERNEL), (initrd, "")], iommu=UNIT, memory=MEMORY,
                devices=devices, events="vtd_inv_desc\nvtd_inv_qi_setup\nvtd_dmar_fault\n", timeout=args.timeout,
            )
        finally:
            card.stop()
    console = result.guest
    if result.timed_out or "DEMO: done" not in console or f"DEMO: sent {PACKETS}" not in console:
        sys.exit(f"demo: void: the guest did not come to its end\n{result.describe()}")
    if "DEMO: complaint" in console or len(card.packets) != PACKETS:
        sys.exit(f"demo: void: {len(card.packets)} packets came to the card\n{result.describe()}")
    counts = count.from_sluice(result.serial)
    unit, _ = count.from_trace(work / "trace.log")
    return Run(
        options,
        card.packets,
        to_time_of_day(inside.read(console), result.trace_text),
        {kind: counts.get(kind, (0, 0))[0] for kind in ROWS},
        {kind: unit.get(kind, 0) for kind in ROWS},
        console,
    )


def table(runs):
    lines = [f"  {'':<22}{'dtlb=cm':>22}{'default':>26}", f"  {'':<22}" + f"{'guest asked':>14}{'unit got':>12}" * 2]
    lines.append("  " + "-" * 74)
    for kind in ROWS:
        numbers = "".join(f"{r.guest[kind]:>14}{r.unit[kind]:>12}" for r in runs)
        lines.append(f"  {count.TITLES[kind]:<22}{numbers}")
    lines.append("  " + "-" * 74)
    lines.append(f"  {'packets sent':<22}" + "".join(f"{len(r.packets):>26}" for r in runs))
    lines.append(f"  {'... from stale pages':<22}" + "".join(f"{r.stale:>26}" for r in runs))
    return lines


def main():
    env = os.environ.get
    build = pathlib.Path(env("BUILD") or "build")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=build)
    parser.add_argument("--cache", type=pathlib.Path, default=env("SLUICE_CACHE") or build / "cache")
    parser.add_argument("--work", type=pathlib.Path, default=build / "demo", help="for logs and the picture")
    parser.add_argument("--timeout", type=float, default=float(env("TIMEOUT") or 300), help="seconds for each run")
    args = parser.parse_args()

    kernel, initrd = run.debian_guest(args)
    say("Debian's kernel, unmodified; a virtio network card with a device TLB; first-stage tables, CM=1, lazy")
    say(f"the emulated unit cannot nest, hence {OPTIONS}: the devices of this demonstration are not contained")
    runs = []
    for options in (f"dtlb=cm {OPTIONS}", f"dtlb=always {OPTIONS}"):
        say(f"run {len(runs) + 1} of 2: {options}")
        runs.append(one_run(args, options, kernel, initrd))
        say(f"{runs[-1].stale} of {PACKETS} packets left from stale pages")
    name = re.search(r"DEMO: kernel (\S+)", runs[0].console)[1]
    result = {
        "kernel": name,
        "runs": [
            {"options": r.options, "packets": len(r.packets), "stale": r.stale, "guest": r.guest, "unit": r.unit}
            for r in runs
        ],
    }
    (args.work / "demo.json").write_text(json.dumps(result, indent=1) + "\n", encoding="ascii")
    print("\n" + "\n".join(table(runs)) + "\n")
    older = [p for p in runs[0].packets if p.stale and p.whose is not None]
    if older:
        say(f"packet {older[0].number}, for one, left with the bytes of packet {older[0].whose}")
    try:
        import demo_picture  # pylint: disable=import-outside-toplevel
    except ImportError as e:
        say(f"no picture: {e}; python3-matplotlib is in tools/packages.txt")
    else:
        for path in demo_picture.draw(runs, name, args.work):
            say(f"picture: {path}")
    if runs[1].stale:
        say("FAILED: Sluice's default let stale packets out")
        return 1
    if not runs[0].stale:
        say("void: no stale packet with dtlb=cm, so the second run proves nothing")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
