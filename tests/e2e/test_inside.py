# SPDX-License-Identifier: Apache-2.0
"""What Sluice tells about itself is what the emulator saw; who may ask; and what the converter makes of it."""

import json
import re
import socket
import subprocess
import sys

from tests.e2e import harness
from tests.e2e.test_linux import run_linux
from tools.descriptor import Descriptor

CONVERTER = harness.ROOT / "tools" / "inside.py"


def test_trace_and_counters(boot):
    result = boot("sluice", "inside", devices=harness.EDU)
    result.assert_passed()
    host = [Descriptor.of(*(int(n, 16) for n in fact.split(":"))) for fact in result.facts("trace-host")]
    seen = [d for p in result.parts for d in p.descriptors()]
    # All of it, in the order in which the unit received it, from the first descriptor of the takeover on; before
    # that comes only what the first start sent.
    first = [d.kind for d in seen].index("wait") + 1
    assert len(host) > 50 and host == seen[first : first + len(host)], result.describe()
    assert all(d.kind == "wait" for d in seen[first + len(host) :])
    # The 25 submissions of four flushes, by what the guest says it wrote.
    guest = [Descriptor.of(*(int(n, 16) for n in fact.split(":"))) for fact in result.facts("trace-guest")]
    assert [d.first for d in guest if d.kind == "iotlb" and d.granularity == "page"][:4] == [
        0x40001, 0x40002, 0x40004, 0x40005,
    ]
    counters = [tuple(map(int, fact.split(","))) for fact in result.facts("counter")]
    kinds = {number: (asked, sent) for what, number, _, asked, sent in counters if what == 16}
    assert kinds[2] == (len([d for d in guest if d.kind == "iotlb"]), len([d for d in host if d.kind == "iotlb"]))
    assert kinds[5][1] == len([d for d in host if d.kind == "wait"])
    # Domain 1 is in use; a third of the flushes was for it.
    assert [(asked, sent > 0) for what, _, did, asked, sent in counters if what == 17 and did == 1] == [(34, True)]


def test_shown_when_the_guest_dies(boot):
    result = boot("sluice", "escape", "die=limit", options="on-shutdown=halt", until="halted, as")
    last = re.findall(r"^sluice: trace unit=0 time=\d+ batch=\d+ (\w+)", result.serial, re.M)
    assert 0 < len(last) <= 12 and last[-1] == "done", result.describe()


def damage(path, address, code):
    """Writes to the machine's memory while it stands still, through the emulator's door for debuggers."""
    with socket.socket(socket.AF_UNIX) as door:
        door.connect(str(path))
        with door.makefile("rb") as answers:
            for what in "Qqemu.PhyMemMode:1", f"M{address:x},{len(code):x}:{code.hex()}", "D":
                door.sendall(f"+${what}#{sum(what.encode()) & 0xff:02x}".encode())
                answer = b""
                while not answer.endswith(b"$OK#9a"):
                    answer += answers.read(1)


def test_shown_when_sluice_dies(boot, tmp_path):
    """Of memory that has gone bad, while it holds the unit's lock: what happened last is told all the same."""
    symbols = subprocess.run(["nm", harness.IMAGE], stdout=subprocess.PIPE, check=True, text=True).stdout
    offset = int(re.search(r"^(\w+) T hostq_submit$", symbols, re.M)[1], 16) & 0x7FFFFFFF
    done = []

    def react(text):
        if not done and "I: on and-on" in text:
            done.append(int(re.search(r"Sluice at (0x\w+)", text)[1], 16) + offset)
            damage(tmp_path / "door", done[0], b"\x0f\x0b")  # UD2

    door = f"unix:{tmp_path}/door,server=on,wait=off"
    result = boot(
        "sluice", "inside", "on-and-on", devices=[*harness.EDU, "-gdb", door], react=react, until=r"CPU 0 halted\n"
    )
    assert "sluice: panic: CPU 0: #UD invalid opcode" in result.serial, result.describe()
    report = result.serial.split("sluice: panic: ", 1)[1]
    told = re.findall(r"^sluice: trace unit=0 time=\d+ batch=\d+ (\w+) ([0-9a-f]+):([0-9a-f]+)", report, re.M)
    host = [Descriptor.of(int(high, 16), int(low, 16)) for who, high, low in told if who == "host"]
    seen = [d for p in result.parts for d in p.descriptors()]
    assert len(told) == 12, result.describe()
    # The last was written and never handed over.
    assert len(host) > 1 and host[:-1] == seen[1 - len(host) :], result.describe()


def test_from_linux(tmp_path):
    """By a program of root's; nobody else is told anything."""
    done = run_linux(tmp_path, "--firmware", "seabios", "--append", "sluice.inside")
    assert done.returncode == 0, done.stdout + done.stderr
    console = harness.clean((tmp_path / "serial.log").read_bytes())
    assert "LINUX: nobody: inside: not allowed; only root may ask" in console
    assert not re.search(r"LINUX: nobody: trace", console)
    # The log, as it was on the console until then.
    kept = re.findall(r"^LINUX: kept: (sluice: .*)$", console, re.M)
    said = re.findall(r"^(sluice: .*)$", console[: console.index("LINUX: kept: ")], re.M)
    assert len(said) > 10 and not [line for line in said if line not in kept]
    assert re.search(r"^count unit=0 function=01:00\.0 guest=\d+ host=[1-9]\d+", console, re.M)
    found = re.findall(r"^trace unit=0 time=\d+ batch=\d+ host ([0-9a-f]+):([0-9a-f]+)", console, re.M)
    told = [(int(hi, 16), int(lo, 16)) for hi, lo in found]
    log = (tmp_path / "trace.log").read_text(encoding="ascii", errors="replace")
    seen = [(int(m[1], 16), int(m[2], 16)) for m in re.finditer(r"vtd_inv_desc .*high 0x(\w+) low 0x(\w+)", log)]
    assert len(told) > 500
    start = next(i for i, _ in enumerate(seen) if seen[i : i + len(told)] == told)  # StopIteration: nowhere
    assert start > 0
    picture = subprocess.run(
        [sys.executable, CONVERTER, "--json", tmp_path / "serial.log"], check=True, capture_output=True, text=True
    ).stdout
    events = json.loads(picture)["traceEvents"]
    assert len([e for e in events if e.get("tid") == 3 and e["ph"] == "i"]) == len(told)
    text = subprocess.run(
        [sys.executable, CONVERTER, tmp_path / "serial.log"], check=True, capture_output=True, text=True
    ).stdout
    assert re.search(r"us  guest  iotlb\(domain=\S+ \S+\+2\^0\)\n(.*\n)+? .* us  host   device\(sid=0x100 ", text)


def test_converter_refuses_nothing():
    done = subprocess.run([sys.executable, CONVERTER], input="", capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "no trace in the input" in done.stderr
