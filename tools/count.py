# SPDX-License-Identifier: Apache-2.0
"""Counts invalidation descriptors, twice: from the emulator's trace, which is what the hardware received,
and from the lines that Sluice prints when the guest powers off."""

import re

# Descriptor types by the number in the descriptor itself: bits 11:9 and 3:0 of its first word.
KINDS = {1: "cc", 2: "iotlb", 3: "dtlb", 4: "iec", 5: "wait", 6: "piotlb", 7: "pasid", 8: "pdtlb", 9: "page"}
TITLES = {
    "cc": "context-cache",
    "iotlb": "IOTLB",
    "dtlb": "device-TLB",
    "iec": "interrupt-entry cache",
    "wait": "wait",
    "piotlb": "PASID-based IOTLB",
    "pasid": "PASID-cache",
    "pdtlb": "PASID-based device-TLB",
    "page": "page-group response",
}

# QEMU before 11 accepts these without a trace event: there the trace is no witness, and the table says so.
UNTRACED = {"pasid"}

TRACE_LINE = re.compile(r"vtd_inv_desc invalidate desc type \S+ high 0x[0-9a-f]+ low 0x([0-9a-f]+)")
COUNT_LINE = re.compile(r"count unit=(\d+) kind=(\w+) guest=(\d+) host=(\d+)(?: added=(\d+))?")
FAULT_LINE = re.compile(r"vtd_dmar_fault ")
START_LINE = re.compile(r"vtd_inv_qi_setup ")


def from_trace(path):
    """({kind: descriptors the unit received}, DMA faults it reported), since the unit was last given a queue: what
    firmware and Sluice's first start sent is in nobody's counts."""
    counts, faults = {}, 0
    with open(path, encoding="utf-8", errors="replace") as trace:
        for line in trace:
            match = TRACE_LINE.search(line)
            if START_LINE.search(line):
                counts.clear()
            elif match:
                low = int(match.group(1), 16)
                number = low & 0xF | (low >> 9 & 0x7) << 4
                kind = KINDS.get(number, f"type {number:#x}")
                counts[kind] = counts.get(kind, 0) + 1
            elif FAULT_LINE.search(line):
                faults += 1
    return counts, faults


def from_sluice(text):
    """{kind: (guest, host, added)} summed over units from Sluice's last report; added is None if not told."""
    latest = {}
    for unit, kind, guest, host, added in COUNT_LINE.findall(text):
        latest[unit, kind] = int(guest), int(host), int(added) if added else None
    counts = {}
    for (_, kind), (guest, host, added) in latest.items():
        old = counts.get(kind, (0, 0, None))
        total = None if added is None and old[2] is None else (added or 0) + (old[2] or 0)
        counts[kind] = old[0] + guest, old[1] + host, total
    return counts


def table(trace, sluice):
    """The closing table as lines, and what disagrees as a list of sentences. sluice=None: no Sluice ran."""
    kinds = [kind for kind in TITLES if trace.get(kind) or (sluice and any(sluice.get(kind, ())[:2]))]
    kinds += sorted(set(trace) - set(TITLES))
    lines, wrong = [], []
    if sluice is None:
        lines.append(f"  {'descriptor':<24}{'unit received':>16}")
        lines += [f"  {TITLES.get(kind, kind):<24}{trace.get(kind, 0):>16,}" for kind in kinds]
        return lines, wrong
    lines.append(f"  {'':<24}{'guest':>14}{'host':>14}{'not asked':>14}")
    lines.append(f"  {'descriptor':<24}{'submitted':>14}{'received':>14}{'for':>14}")
    lines.append("  " + "-" * 66)
    for kind in kinds:
        guest, host, added = sluice.get(kind, (0, 0, None))
        received = trace.get(kind, 0)
        if added is None:
            added = max(0, received - guest)
        extra = f"{added:,}" if kind in ("dtlb", "pdtlb") else ""
        seen = "not traced" if kind in UNTRACED and not received and host else f"{received:,}"
        lines.append(f"  {TITLES.get(kind, kind):<24}{guest:>14,}{seen:>14}{extra:>14}".rstrip())
        if host != received and not (kind in UNTRACED and not received):
            title = TITLES.get(kind, kind)
            wrong.append(f"{title}: Sluice says it sent {host:,}, the unit's trace has {received:,}")
    if not sluice:
        wrong.append("Sluice printed no counts")
    return lines, wrong
