#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Turns Sluice's trace into something to look at: text, or a file for Chrome's and Perfetto's trace viewers.

usage: inside.py [--json] [FILE]        (standard input, standard output)

The input is what `inside trace` printed in the guest, or any console log that holds such lines, those of a
panic included. Times are microseconds since the first entry; the guest's clock is told by its first line.
"""

import argparse
import json
import re
import sys
from dataclasses import dataclass

from descriptor import Descriptor

ENTRY = re.compile(r"trace unit=(\d+) time=(\d+) batch=(\d+) (guest|host|done) ([0-9a-f]+):([0-9a-f]+)")
CLOCK = re.compile(r"clock ticks-per-us=(\d+)|TSC (\d+) MHz")


@dataclass
class Entry:
    unit: int
    us: float
    batch: int
    who: str  # guest, host, done
    descriptor: Descriptor  # of done: lo = the value of our wait, hi = the guest's waits that completed

    def __str__(self):
        if self.who == "done":
            return f"{self.descriptor.lo} waits of the guest completed"
        return str(self.descriptor)


def read(text):
    """The entries in order. Without a clock in the text one tick counts as a nanosecond."""
    clock = CLOCK.search(text)
    per_us = int(clock[1] or clock[2]) if clock else 1000
    found = [m.groups() for m in ENTRY.finditer(text)]
    start = min((int(m[1]) for m in found), default=0)
    return [
        Entry(int(unit), (int(time) - start) / per_us, int(batch), who, Descriptor.of(int(hi, 16), int(lo, 16)))
        for unit, time, batch, who, hi, lo in found
    ]


def as_text(entries):
    lines, last = [], None
    for e in entries:
        if (e.unit, e.batch) != last:
            lines.append(f"unit {e.unit}, batch {e.batch}")
            last = e.unit, e.batch
        lines.append(f"  {e.us:14.3f} us  {e.who:<6} {e}")
    return "\n".join(lines) + "\n"


# One row of the viewer for each of these, by thread id.
ROWS = {"batch": 1, "guest": 2, "host": 3, "done": 4}


def as_json(entries):
    """The trace-event format: a process for each unit, a row for each side, a bar for each batch."""
    events = []
    for unit in sorted({e.unit for e in entries}):
        name = {"name": f"VT-d unit {unit}"}
        events.append({"ph": "M", "name": "process_name", "pid": unit, "args": name})
        for row, tid in ROWS.items():
            events.append({"ph": "M", "name": "thread_name", "pid": unit, "tid": tid, "args": {"name": row}})
    batches = {}
    for e in entries:
        batches.setdefault((e.unit, e.batch), []).append(e)
        args = {"descriptor": str(e), "batch": e.batch}
        name = "done" if e.who == "done" else e.descriptor.kind
        event = {"ph": "i", "s": "t", "name": name, "ts": e.us, "pid": e.unit, "tid": ROWS[e.who], "args": args}
        events.append(event)
    for (unit, batch), of in batches.items():
        bar = {"ph": "X", "name": f"batch {batch}", "pid": unit, "tid": ROWS["batch"], "ts": of[0].us}
        events.append({**bar, "dur": max(of[-1].us - of[0].us, 0.001), "args": {"entries": len(of)}})
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ns"}, indent=0) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", help="standard input if missing")
    parser.add_argument("--json", action="store_true", help="for a trace viewer")
    args = parser.parse_args()
    if args.file:
        with open(args.file, encoding="utf-8", errors="replace") as f:
            text = f.read()
    else:
        text = sys.stdin.read()
    entries = read(text)
    if not entries:
        sys.exit("inside: no trace in the input; `inside trace` in the guest prints one")
    sys.stdout.write(as_json(entries) if args.json else as_text(entries))
    return 0


if __name__ == "__main__":
    sys.exit(main())
