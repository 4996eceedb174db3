# SPDX-License-Identifier: Apache-2.0
"""The model that judges everything else is itself compared with the emulator's unit, by programs by chance."""

from tests.e2e import harness

# Only the marks: some runs push so many descriptors that tracing them takes longer than running them.
QUIET = "fw_cfg_select\n"


def test_the_model_is_as_the_emulators_unit(boot):
    result = boot("bare", "judge", "programs=25", devices=harness.EDU + harness.FAST_CLOCK, events=QUIET, timeout=120)
    result.assert_passed()
    # It was not agreement about nothing.
    facts = {name: int(result.facts(name)[0]) for name in ("agreed", "landed", "faulted", "queue-errors")}
    assert facts["agreed"] > 10000 and min(facts.values()) > 20, facts
