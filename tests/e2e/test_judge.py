# SPDX-License-Identifier: Apache-2.0
"""The model that judges everything else is itself compared with the emulator's unit, by programs by chance; and by the
same programs with the virtual unit that Sluice gives its guest."""

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


# ... and on Sluice the same programs meet the virtual unit, whose answers must be the same ones.
@pytest.mark.parametrize("where, programs", [("bare", 100), ("sluice", 40)])
@pytest.mark.parametrize("mode", MODES)
def test_the_model_is_as_the_unit(boot, mode, where, programs):
    unit, word = MODES[mode]
    devices = harness.EDU + harness.FAST_CLOCK
    options = {"options": "firststage=direct"} if where == "sluice" and "flts" in unit else {}
    result = boot(
        where, "judge", f"programs={programs} {word}", iommu=unit, devices=devices, events=QUIET, timeout=120, **options
    )
    result.assert_passed()
    # It was not agreement about nothing.
    facts = {name: int(result.facts(name)[0]) for name in ("agreed", "landed", "faulted", "queue-errors")}
    assert facts["agreed"] > 1000 * programs and min(facts.values()) > 5 * programs, facts
