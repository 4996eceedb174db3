# SPDX-License-Identifier: Apache-2.0
"""DMA goes where the guest's tables say, and after a flush nowhere else."""

import pytest

from tests.e2e import harness


@pytest.mark.parametrize("where", ["bare", "sluice"])
@pytest.mark.parametrize("memory", ["256M", "6G"])
def test_edu(boot, where, memory):
    """With 6G the pages are above 4 GiB. One run keeps real time, so that nothing depends on the fast clock."""
    clock = harness.FAST_CLOCK if memory == "6G" else []
    result = boot(where, "edu", "high", memory=memory, devices=harness.EDU + harness.EDU + clock)
    result.assert_passed()
    assert (int(result.facts("pages")[0], 16) >= 1 << 32) == (memory == "6G")
    sid = int(result.facts("edu-sid")[0], 16)

    # The emulator's word for it: each part that unmaps has its fault, each flush by the queue its descriptor.
    gone = [p for p in result.parts if p.name.startswith("remap/") and p.name.endswith("/gone")]
    assert len(gone) == 6
    for part in gone:
        assert [f for f in part.faults(sid) if f.write], f"no fault in {part.name}"
    for kind in ("page", "domain", "global"):
        part = result.part(f"remap/queue/{kind}")
        flushes = part.descriptors("iotlb")
        assert len(flushes) >= 2, f"flushes in {part.name}: {flushes}"
        assert not part.faults(sid)
        assert part.translations(sid), f"{part.name}: DMA was not translated"
