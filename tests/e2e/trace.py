# SPDX-License-Identifier: Apache-2.0
"""The emulator's trace as typed events: what the unit really received, whoever says otherwise.

A guest splits the trace into parts (see part() in tests/guests/lib/guest.h): it selects a
firmware-configuration item that does not exist, which the emulator traces with its number, in order with the
unit's own events.
"""

import re
from dataclasses import dataclass, field

from tools.descriptor import Descriptor, covered  # noqa: F401  pylint: disable=unused-import

# Trace events that tests/e2e needs; one per line, as `-trace events=FILE` wants them.
EVENTS = "vtd_*\n-vtd_reg_read\n-vtd_iotlb_*\n-vtd_inv_qi_head\nfw_cfg_select\n"

PART_BASE = 0x3000


@dataclass
class Fault:
    sid: int
    reason: int
    address: int
    write: bool


@dataclass
class RegisterWrite:
    offset: int
    size: int
    value: int


@dataclass
class Translate:
    sid: int
    iova: int
    address: int


@dataclass
class Other:
    name: str
    text: str


@dataclass
class Part:
    name: str
    events: list = field(default_factory=list)

    def descriptors(self, kind=None):
        return [e for e in self.events if isinstance(e, Descriptor) and kind in (None, e.kind)]

    def faults(self, sid=None):
        return [e for e in self.events if isinstance(e, Fault) and sid in (None, e.sid)]

    def writes(self, offset):
        return [e for e in self.events if isinstance(e, RegisterWrite) and e.offset == offset]

    def translations(self, sid=None):
        return [e for e in self.events if isinstance(e, Translate) and sid in (None, e.sid)]


PATTERNS = {
    "vtd_inv_desc": (
        r"high 0x(\w+) low 0x(\w+)",
        lambda m: Descriptor.of(int(m[1], 16), int(m[2], 16)),
    ),
    "vtd_dmar_fault": (
        r"sid 0x(\w+) fault (\d+) addr 0x(\w+) write (\d)",
        lambda m: Fault(int(m[1], 16), int(m[2]), int(m[3], 16), m[4] == "1"),
    ),
    "vtd_reg_write": (
        r"addr 0x(\w+) size 0x(\w+) value 0x(\w+)",
        lambda m: RegisterWrite(int(m[1], 16), int(m[2], 16), int(m[3], 16)),
    ),
    "vtd_dmar_translate": (
        r"dev (\w+):(\w+)\.(\w+) iova 0x(\w+) -> gpa 0x(\w+)",
        lambda m: Translate(
            int(m[1], 16) << 8 | int(m[2], 16) << 3 | int(m[3], 16), int(m[4], 16), int(m[5], 16)
        ),
    ),
}
PATTERNS = {name: (re.compile(p), build) for name, (p, build) in PATTERNS.items()}
PART = re.compile(r"key 0x(\w+) ")


def parse(text, names):
    """Split a trace into parts. `names` maps the numbers that the guest selected to the names it told."""
    parts = [Part("")]
    for line in text.splitlines():
        event, _, rest = line.partition(" ")
        if event == "fw_cfg_select":
            m = PART.search(rest)
            number = int(m[1], 16) - PART_BASE if m else -1
            if 0 <= number < 0x1000:
                parts.append(Part(names.get(number, f"part {number}")))
            continue
        if event in PATTERNS:
            pattern, build = PATTERNS[event]
            m = pattern.search(rest)
            if m:
                parts[-1].events.append(build(m))
                continue
        if event.startswith("vtd_"):
            parts[-1].events.append(Other(event, rest))
    return parts
