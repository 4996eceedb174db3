#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What Sluice costs, side by side with the bare unit in one run, counted in instructions.

The emulator runs with `-icount shift=0,sleep=off`: one tick of the time-stamp counter is one instruction, whatever
the machine it runs on, and what the emulated unit does counts as nothing. So these are lengths of paths and not
times of silicon. Writes bench.md, bench.json and a plot; `--docs` puts them into docs/.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile

TOOLS = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(TOOLS.parent))

from tests.e2e import harness, linux  # noqa: E402  pylint: disable=wrong-import-position
import nested_kvm  # noqa: E402  pylint: disable=wrong-import-position

ICOUNT = ["-icount", "shift=0,sleep=off"]
# For Linux: with sleep=off the clock leaps while a disk works, and the guest's time-outs strike.
ICOUNT_IO = ["-icount", "shift=0,sleep=on"]
QUIET = "fw_cfg_select\n"
LEGACY = "caching-mode=on,device-iotlb=on"
FIRST = "device-iotlb=on,x-scalable-mode=on,x-flts=on"
SIZES = [1, 8, 64, 200]
MEGABYTES = 16
NET_MEGABYTES = 2

SCRIPT = f"""
waits() {{ [ -e /bin/inside ] && inside counters | sed -n 's/^count unit=0 kind=wait guest=\\([0-9]*\\) .*/\\1/p' || echo 0; }}
# Nanoseconds since the start, without those in which nothing but the idle process ran.
used() {{
    spun=0
    [ -z "$idle" ] || read -r spun rest < /proc/$idle/schedstat
    sed -n "s/^now at \\([0-9]*\\) nsecs/\\1 - $spun/p" /proc/timer_list
}}
# A workload, as often as asked: how many tail writes it made, and how many nanoseconds it used.
timed() {{
    name=$1 times=$2
    shift 2
    "$@" 2> /dev/null > /dev/null || say "FAIL: $name"
    before=$(waits) start=$(($(used)))
    while [ "$times" -gt 0 ]; do "$@" 2> /dev/null > /dev/null; times=$((times - 1)); done
    end=$(($(used)))
    say "bench $name $(($(waits) - before)) $((end - start))"
}}
# Where instructions are counted the processor must not halt: the clock would go on, and how often, is chance.
idle=
if COUNT; then
    while :; do :; done &
    idle=$!
    renice -n 19 $idle > /dev/null
fi
wait_for /dev/nvme0n1
wait_for /dev/vda
timed nvme TIMES dd if=/dev/nvme0n1 of=/dev/null bs=64k count={MEGABYTES * 16} iflag=direct
timed virtio-blk TIMES dd if=/dev/vda of=/dev/null bs=64k count={MEGABYTES * 16} iflag=direct
for interface in eth0 eth1; do
    wait_for /sys/class/net/$interface
    read -r driver < /sys/class/net/$interface/device/uevent
    ip link set $interface up
    ip address add 10.0.2.15/24 dev $interface
    timed ${{driver#*=}} TIMES tftp -g -b 1428 -r payload -l /dev/null 10.0.2.2
    ip address flush dev $interface
    ip link set $interface down
done
"""
SIZES_MB = {"nvme": MEGABYTES, "virtio-blk": MEGABYTES, "virtio-net": NET_MEGABYTES, "e1000e": NET_MEGABYTES}
TIMES = 6  # that each workload is done


def say(text):
    print(f"bench: {text}", flush=True)


def parsed(result):
    """{name/n: instructions of the whole submission, and from the tail write to the next one with the wait done}"""
    result.assert_passed()
    found = re.findall(r"^I: cost (\S+)/(\d+) (\d+)(?: ring (\d+))?", result.guest, re.M)
    return {f"{name}/{n}": (int(ticks), int(ring or ticks)) for name, n, ticks, ring in found}


def costs(directory, where, smp=1):
    run = harness.sluice if where == "sluice" else harness.bare
    devices = [*(harness.MANY_FUNCTIONS if smp == 1 else []), *ICOUNT]
    result = run(
        *[directory, "cost", "short" if smp > 1 else ""], iommu=LEGACY, devices=devices, events=QUIET, timeout=300,
        smp=smp,
    )
    return parsed(result)


def kvm_costs(directory, assign):
    """The same guest under Linux/KVM with the emulator's own virtual unit."""
    guest = harness.GUESTS / "cost.elf"
    # The domain that is flushed is that of the assigned function, which makes KVM's user map and unmap.
    words = "short sid=0x80" if assign else "short"
    return parsed(nested_kvm.run(directory, guest, words, f"{LEGACY},aw-bits=48", ICOUNT, assign))


def workloads(directory, mode, bare=False, count=False):
    """{name: (tail writes, nanoseconds) of one round}, and the milliseconds that Sluice took to start. `count`: by the
    emulator's count of instructions, a nanosecond each, without what the processor waits for devices."""
    unit, options, append = mode
    (directory / "disk").write_bytes(os.urandom(MEGABYTES << 20))
    served = directory / "tftp"
    served.mkdir()
    (served / "payload").write_bytes(os.urandom(NET_MEGABYTES << 20))
    drive = f"format=raw,readonly=on,file.locking=off,if=none,file={directory}/disk"
    ats = "iommu_platform=on,ats=on,disable-legacy=on"
    net = f"user,restrict=on,tftp={served}"
    devices = [
        *["-drive", f"{drive},id=d0", "-device", "nvme,drive=d0,serial=bench", "-drive", f"{drive},id=d1"],
        *["-device", "pcie-root-port,id=rp1,chassis=1", "-device", "pcie-root-port,id=rp2,chassis=2"],
        *["-device", f"virtio-blk-pci,bus=rp1,drive=d1,{ats}", "-netdev", f"{net},id=n0", "-netdev", f"{net},id=n1"],
        *["-device", f"virtio-net-pci,bus=rp2,netdev=n0,romfile=,{ats}", "-device", "e1000e,netdev=n1,romfile="],
        *(ICOUNT_IO if count else []),
    ]
    script = SCRIPT.replace("TIMES", str(TIMES)).replace("COUNT", "true" if count else "false")
    if count:  # not in the middle of x2APIC's timer registers, where the emulator cannot: the HPET is the timer
        append += " nolapic_timer"
    result = linux.boot(
        *[directory, script], wanted=["nvme", "virtio_pci", "virtio_blk", "virtio_net", "e1000e"],
        files=[] if bare else [("bin/inside", (harness.BUILD / "linux" / "inside").read_bytes())], bare=bare,
        append=f"ipv6.disable=1 {append}", devices=devices, iommu=unit, events=QUIET, timeout=400,
        **({} if bare else {"options": options}),
    )
    linux.assert_good(result)
    found = re.findall(r"LINUX: bench (\S+) (\d+) (\d+)", result.serial)
    start = re.search(r"entering the guest (\d+) ms", result.serial)
    names = {"virtio_net": "virtio-net"}
    return {names.get(n, n): (int(w) / TIMES, int(t) / TIMES) for n, w, t in found}, int(start[1]) if start else 0


# With interrupt remapping Linux takes x2APIC, and nothing but tail writes exits; xAPIC's EOI would.
X2APIC = "intremap=on,eim=on"
MODES = {
    "legacy, strict": (f"{LEGACY},{X2APIC}", "", "iommu.strict=1"),
    "legacy, lazy": (f"{LEGACY},{X2APIC}", "", "iommu.strict=0"),
    "first-stage, strict": (f"{FIRST},{X2APIC}", "firststage=direct", "intel_iommu=sm_on iommu.strict=1"),
    "first-stage, lazy": (f"{FIRST},{X2APIC}", "firststage=direct", "intel_iommu=sm_on iommu.strict=0"),
}


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]


def report(data):
    bare, sluice = data["cost"]["bare"], data["cost"]["sluice"]

    def of(numbers, name, n, ring=True):
        return numbers[f"{name}/{n}"][ring]

    lines = ["# What Sluice costs", ""]
    lines += [f"Made by `make bench DOCS=1` with {data['emulator']}. {' '.join(__doc__.split(chr(10), 2)[2].split('. Writes')[0].split())}."]
    lines += ["", "## Flushes and a wait, one tail write", "", "The whole: descriptors written, tail, wait seen. The exit: "]
    lines[-1] += "from the guest's store to the tail to its next instruction, the wait done."
    lines.append("")
    names = [
        ("flush", "nothing shadowed changed"),
        ("change-and-flush", "each page changed before"),
        ("ats-flush", "one ATS function in scope"),
        ("ats-change-and-flush", "one ATS function, each page changed"),
    ]
    rows = []
    for name, what in names:
        for n in SIZES:
            whole_bare, whole, ring = of(bare, name, n, False), of(sluice, name, n, False), of(sluice, name, n)
            further = f"{(ring - of(sluice, name, 1)) / (n - 1):.0f}" if n > 1 else ""
            rows.append([what, n, f"{whole_bare:,}", f"{whole:,}", f"{whole / whole_bare:.0f}", f"{ring:,}", further])
    head = ["page flushes", "how many", "bare, the whole", "Sluice, the whole", "ratio", "Sluice, the exit", "each further"]
    lines += table(head, rows)
    lines += ["", "One page flush and a wait while there are ...", ""]
    rows = []
    for name, what in [("mapped", "pages mapped"), ("domains", "domains"), ("functions", "ATS functions in the domain")]:
        numbers = sorted(int(k.split("/")[1]) for k in sluice if k.split("/")[0] == name)
        change = {n: of(sluice, f"{name}-change", n) for n in numbers}
        rows += [[what, f"{n:,}", f"{of(sluice, name, n):,}", f"{change[n]:,}"] for n in numbers]
    rows += [["CPUs", n, f"{of(c, 'flush', 1):,}", f"{of(c, 'change-and-flush', 1):,}"] for n, c in data["smp"].items()]
    lines += table(["growth with", "how many", "Sluice", "Sluice, page changed"], rows)
    if data["kvm"]:
        lines += report_kvm(data)
    if data["linux"]:
        lines += report_linux(data)
    lines += ["", "![cost by number of flushes](bench.svg)"]
    return "\n".join(lines) + "\n"


def report_kvm(data):
    lines = ["", "## Against Linux 6.12 with KVM and the emulator's own virtual unit", "", "The same guest, nested in the same "]
    lines[-1] += "emulated machine: from its store to the tail to its next instruction. An assigned function (vfio) is one whose "
    lines[-1] += "domain is flushed. Sluice stands with one ATS function in that domain and the device-TLB flushes that KVM's "
    lines[-1] += "virtual unit does not send."
    lines.append("")
    rows = []
    for name, ats, what in [
        ("flush", "ats-flush", "nothing shadowed changed"),
        ("change-and-flush", "ats-change-and-flush", "each page changed before"),
    ]:
        for n in SIZES:
            ours = data["cost"]["sluice"][f"{ats}/{n}"][1]
            theirs = [data["kvm"][where][f"{name}/{n}"][1] for where in ("emulated", "assigned")]
            rows.append([what, n, f"{ours:,}"] + [f"{t:,} ({t / ours:.1f} times)" for t in theirs])
    return lines + table(["page flushes", "how many", "Sluice", "KVM", "KVM, assigned function"], rows)


def report_linux(data):
    lines = ["", "## Linux 6.1", "", f"{TIMES} rounds of each. Exits are tail writes. Instructions are those that the processor needs for "]
    lines[-1] += "a MB, all of the kernel's and the program's, and what throughput that leaves where the processor is the limit: bare "
    lines[-1] += "against Sluice. The last column is the throughput by the emulator's own time, without `-icount`: there an exit "
    lines[-1] += "takes as long as some 40,000 instructions, a walk through two tables longer than through one, and a device "
    lines[-1] += "next to nothing, so it is a floor for a processor and not a forecast. With strict invalidation each unmap is a "
    lines[-1] += "tail write, and each of those an exit: with the decoding of its instruction 200 instructions at least."
    lines.append("")
    rows = []
    for mode, runs in data["linux"].items():
        for name, size in SIZES_MB.items():
            writes, used = runs["sluice"]["instructions"][name]
            bare = runs["bare"]["instructions"][name][1]
            time = runs["bare"]["seconds"][name][1] / runs["sluice"]["seconds"][name][1]
            rows.append([mode, f"{name}, {size} MB", f"{writes / size:,.0f}", f"{bare / size:,.0f}", f"{used / size:,.0f}",
                         f"{bare / used:.2f}", f"{time:.2f}"])
    head = ["mode", "workload", "exits per MB", "bare, instructions", "Sluice, instructions", "throughput", "emulator's time"]
    lines += table(head, rows)
    lines += ["", f"From Sluice's entry to its guest's: {data['start_ms']} million instructions."]
    return lines


def plot(data, path):
    import matplotlib  # pylint: disable=import-outside-toplevel

    matplotlib.use("Agg")
    from matplotlib import pyplot  # pylint: disable=import-outside-toplevel

    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    cost, kvm = data["cost"], data["kvm"]
    curves = [(cost["bare"], "flush", "#8a8a8a", "bare unit")]
    curves += [(cost["sluice"], "flush", "#1f6fb4", "Sluice"), (cost["sluice"], "change-and-flush", "#e08214", "Sluice, pages changed")]
    if kvm:
        curves += [(kvm["emulated"], "flush", "#4a9b4a", "KVM"), (kvm["assigned"], "change-and-flush", "#a04040", "KVM, assigned, pages changed")]
    for numbers, name, colour, label in curves:
        axes.plot(SIZES, [numbers[f"{name}/{n}"][0] for n in SIZES], "o-", color=colour, label=label)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(SIZES, [str(n) for n in SIZES])
    axes.set_xlabel("page flushes in one tail write")
    axes.set_ylabel("instructions, from the first descriptor to the wait's end")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path)


def main():
    build = pathlib.Path(os.environ.get("BUILD") or "build")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=pathlib.Path, default=build / "bench")
    parser.add_argument("--docs", action="store_true", help="put the result into docs/")
    parser.add_argument("--only", choices=["cost", "kvm", "linux", "none"], help="a part; the rest is as it was measured last")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    kept = args.work / "bench.json"
    data = json.loads(kept.read_text(encoding="utf-8")) if args.only and kept.exists() else {}
    for part in "smp", "kvm", "linux":
        data.setdefault(part, {})
    with tempfile.TemporaryDirectory(dir=args.work) as scratch:
        count = 0

        def fresh():
            nonlocal count
            count += 1
            directory = pathlib.Path(scratch).resolve() / str(count)
            directory.mkdir()
            return directory

        if args.only in (None, "cost") or "cost" not in data:  # what everything else is put beside
            for where in "bare", "sluice":
                say(f"tail writes, {where}")
                data.setdefault("cost", {})[where] = costs(fresh(), where)
            for smp in 2, 4:
                say(f"tail writes, Sluice, {smp} CPUs")
                data["smp"][str(smp)] = costs(fresh(), "sluice", smp)
        if args.only in (None, "kvm"):
            for where in "emulated", "assigned":
                say(f"tail writes, Linux with KVM, {where}")
                data["kvm"][where] = kvm_costs(fresh(), where == "assigned")
        if args.only in (None, "linux"):
            for mode, settings in MODES.items():
                data["linux"][mode] = {}
                for where in "bare", "sluice":
                    data["linux"][mode][where] = {}
                    for measure in "instructions", "seconds":
                        say(f"Linux, {mode}, {where}, {measure}")
                        counts = measure == "instructions"
                        numbers, start = workloads(fresh(), settings, bare=where == "bare", count=counts)
                        data["linux"][mode][where][measure] = numbers
                        if counts and start:
                            data["start_ms"] = start
                        say(str(numbers))
    data["emulator"] = os.popen(f"{harness.QEMU} --version").readline().strip()
    kept.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    (args.work / "bench.md").write_text(report(data), encoding="utf-8")
    plot(data, args.work / "bench.svg")
    print(report(data))
    if args.docs:
        for name in "bench.md", "bench.svg":
            shutil.copy(args.work / name, TOOLS.parent / "docs" / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
