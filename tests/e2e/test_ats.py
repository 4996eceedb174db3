# SPDX-License-Identifier: Apache-2.0
"""Whatever the guest sends, the device TLB of every function in scope is flushed before its wait is done.

The trace of the emulated unit is the witness. On the bare machine and with dtlb=guest the same check finds
the flushes missing that the guest did not send: a green run of the default means something.
"""

import pytest

from tests.e2e import harness
from tests.e2e.trace import Descriptor, covered

UNIT = "caching-mode=on,device-iotlb=on"
KINDS = [
    *["iotlb-page", "iotlb-pages", "iotlb-domain", "iotlb-global"],
    *["context-device", "context-domain", "context-global"],
]
IQT = 0x88
HABITS = ["none", "before", "after", "later"]
# Submissions in which the guest sends no device-TLB descriptor of its own.
SILENT = {f"flush/{kind}/{habit}" for kind in KINDS for habit in ("none", "later")} | {
    *["flush/batch-mixed/none", "flush/batch-pages/none", "flush/batch-unaligned/none"],
    *["flush/superpage-split/none", "flush/toggled-page/none"],
    *["flush/toggled-context/none", "flush/moved/none", "flush/other-domain/none", "flush/cleared/none"],
}
BY_REGISTER = {f"reg/{kind}" for kind in KINDS}
ALL = {f"flush/{kind}/{habit}" for kind in KINDS for habit in HABITS} | SILENT | BY_REGISTER


def missing(part, sids):
    """Device-TLB flushes that are missing between a flush in this part and the next wait: a list of words.

    A context-cache flush, and any other flush that is not of a page range, needs the whole device TLB.
    """
    stream = part.descriptors()
    lacking = []
    flushes = [i for i, d in enumerate(stream) if d.kind in ("iotlb", "context")]
    if not flushes:
        return [f"{part.name}: no flush at all"]
    for i in flushes:
        waits = [j for j, d in enumerate(stream) if d.kind == "wait" and j > i]
        if not waits:
            lacking.append(f"{part.name}: {stream[i]} has no wait behind it")
            continue
        behind = stream[i + 1 : waits[0]]
        # A device-selective context flush is about its own function.
        own = stream[i].kind == "context" and stream[i].granularity == "device"
        for sid in [stream[i].sid] if own else sids:
            # A device-TLB flush is ordered only behind an IOTLB flush that precedes it: it must follow.
            if not covered(stream[i], [d for d in behind if d.kind == "device" and d.sid == sid]):
                lacking.append(f"{part.name}: {stream[i]} without device {sid:#x} before the wait")
    return lacking


def run(boot, where, cmdline="", options="", unit=UNIT, **machine):
    result = boot(where, "ats", cmdline, options=options, iommu=unit, devices=harness.ATS, **machine)
    result.assert_passed()
    sids = [int(sid, 16) for sid in result.facts("ats-sid")]
    assert len(sids) == 2
    parts = {p.name: p for p in result.parts if p.name.startswith(("flush/", "reg/"))}
    assert set(parts) == ALL
    # One submission is one write of the real tail register.
    for name, part in parts.items():
        if name.startswith("flush/"):
            assert len(part.writes(IQT)) == 1, f"{name}: {len(part.writes(IQT))} tail writes"
    lacks = {name: missing(part, sids) for name, part in parts.items()}
    if where == "sluice" and options != "dtlb=guest":
        # The guest named one page of what was one translation of 2 MiB.
        part = parts["flush/superpage-split/none"]
        whole = Descriptor("iotlb", 0xF2, 0x80000000 | 9)
        for sid in sids:
            own = [d for d in part.descriptors("device") if d.sid == sid]
            assert covered(whole, own), f"{sid:#x}: {own}"
    return {name for name, lack in lacks.items() if lack}, lacks


def show(lacks):
    return "\n".join(line for lack in lacks.values() for line in lack)


POLICIES = [("", ""), ("early", ""), ("", "wait=0"), ("", "dtlb=cm"), ("", "ats=all")]


@pytest.mark.parametrize("cmdline,options", POLICIES)
def test_every_flush_reaches_the_device_tlbs(boot, cmdline, options):
    """In legacy mode the virtual unit announces caching mode, so that dtlb=cm covers everything too."""
    bad, lacks = run(boot, "sluice", cmdline, options)
    assert not bad, show(lacks)


def test_without_caching_mode_on_the_real_unit(boot):
    bad, lacks = run(boot, "sluice", unit="device-iotlb=on")
    assert not bad, show(lacks)


def test_dtlb_guest_is_seen_to_miss_flushes(boot):
    bad, lacks = run(boot, "sluice", options="dtlb=guest")
    assert SILENT <= bad, show(lacks)


def test_the_bare_unit_is_seen_to_miss_flushes(boot):
    """The guest's habits with nobody in between: bad is what sends no own descriptor, or sends it first."""
    bad, lacks = run(boot, "bare")
    before = {f"flush/{kind}/before" for kind in KINDS}
    assert bad == SILENT | BY_REGISTER | before, show(lacks)
