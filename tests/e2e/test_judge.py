# SPDX-License-Identifier: Apache-2.0
"""The model that judges everything else is itself compared with the emulator's unit, by programs by chance."""

import pytest

from tests.e2e import harness

# Only the marks: some runs push so many descriptors that tracing them takes longer than running them.
QUIET = "fw_cfg_select\n"

# In scalable mode the emulator's unit has the one stage or the other, never both.
MODES = {
    "legacy": ("caching-mode=on", ""),
    "second-stage": ("caching-mode=on,x-scalable-mode=on", "scalable"),
    "first-stage": ("caching-mode=on,x-scalable-mode=on,x-flts=on", "scalable"),
}


@pytest.mark.parametrize("mode", MODES)
def test_the_model_is_as_the_emulators_unit(boot, mode):
    unit, word = MODES[mode]
    devices = harness.EDU + harness.FAST_CLOCK
    result = boot("bare", "judge", f"programs=100 {word}", iommu=unit, devices=devices, events=QUIET, timeout=120)
    result.assert_passed()
    # It was not agreement about nothing.
    facts = {name: int(result.facts(name)[0]) for name in ("agreed", "landed", "faulted", "queue-errors")}
    assert facts["agreed"] > 100000 and min(facts.values()) > 500, facts
