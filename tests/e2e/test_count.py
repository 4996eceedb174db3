# SPDX-License-Identifier: Apache-2.0
"""The closing table of `make run` must be able to fail: it holds Sluice's counts against the trace."""

import sys

import pytest

from tests.e2e import harness

sys.path.insert(0, str(harness.ROOT / "tools"))

import count  # noqa: E402  pylint: disable=wrong-import-position

TRACE = """\
vtd_inv_desc invalidate desc type iotlb high 0x1000 low 0x300b2
vtd_inv_qi_setup addr 0xd6fd000 size 4096
vtd_inv_desc invalidate desc type context-cache high 0x0 low 0x11
vtd_inv_desc invalidate desc type iotlb high 0x1000 low 0x300b2
vtd_inv_desc invalidate desc type device-tlb high 0x7ffffffffffff001 low 0x10000000003
vtd_inv_desc invalidate desc type wait high 0x11ba004 low 0x200000025
vtd_inv_desc invalidate desc type wait high 0x11ba004 low 0x200000025
vtd_dmar_fault sid 0x8 fault 5 addr 0x1000 write 1
"""
RIGHT = {"cc": (1, 1), "iotlb": (1, 1), "dtlb": (0, 1), "wait": (1, 2)}


def console(counts):
    lines = [f"sluice: count unit=0 kind={k} guest={g} host={h}" for k, (g, h) in counts.items()]
    return "LINUX: done\n" + "\n".join(lines) + "\n"


def verdict(tmp_path, counts):
    log = tmp_path / "trace.log"
    log.write_text(TRACE, encoding="ascii")
    trace, faults = count.from_trace(log)
    assert faults == 1
    return count.table(trace, count.from_sluice(console(counts)))


def test_agrees(tmp_path):
    lines, wrong = verdict(tmp_path, RIGHT)
    assert not wrong
    device_tlb = [line.split() for line in lines if "device-TLB" in line]
    assert device_tlb == [["device-TLB", "0", "1", "1"]]


@pytest.mark.parametrize("kind", RIGHT)
@pytest.mark.parametrize("error", [-1, 1])
def test_disagrees(tmp_path, kind, error):
    guest, host = RIGHT[kind]
    _, wrong = verdict(tmp_path, {**RIGHT, kind: (guest, host + error)})
    assert len(wrong) == 1


def test_a_kind_that_sluice_does_not_count(tmp_path):
    counts = {kind: value for kind, value in RIGHT.items() if kind != "cc"}
    _, wrong = verdict(tmp_path, counts)
    assert len(wrong) == 1


def test_no_counts_at_all(tmp_path):
    _, wrong = verdict(tmp_path, {})
    assert wrong


def test_only_the_last_report_counts(tmp_path):
    log = tmp_path / "trace.log"
    log.write_text(TRACE, encoding="ascii")
    early = {kind: (0, 0) for kind in RIGHT}
    sluice = count.from_sluice(console(early) + console(RIGHT))
    assert not count.table(count.from_trace(log)[0], sluice)[1]


def test_units_add_up():
    text = "sluice: count unit=0 kind=wait guest=1 host=2\nsluice: count unit=1 kind=wait guest=3 host=4\n"
    assert count.from_sluice(text)["wait"][:2] == (4, 6)


def test_what_the_emulator_does_not_trace(tmp_path):
    lines, wrong = verdict(tmp_path, {**RIGHT, "pasid": (2, 3)})
    assert not wrong
    assert [line.split()[1:] for line in lines if "PASID-cache" in line] == [["2", "not", "traced"]]
