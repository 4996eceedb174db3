# SPDX-License-Identifier: Apache-2.0
"""Every way to ask for a reset resets the whole machine, after the counters are printed; A20 stays on."""

import pytest

SOFT = ["cf9-soft", "cf9-word", "port92", "port92-wide", "keyboard-pulse", "keyboard-output", "init-self", "init-all"]


@pytest.mark.parametrize("how", ["cf9-hard", *SOFT])
def test_reset(boot, how):
    result = boot("sluice", "reset", f"how={how}", options="loglevel=info")
    # The emulator runs with -no-reboot: a reset machine is an ended one.
    assert result.status == 0 and not result.timed_out, result.describe()
    assert f"I: asking by {how}" in result.serial
    assert "the machine is reset" in result.serial, result.describe()
    assert "sluice: count unit=0 kind=wait" in result.serial
    assert not result.failures and not result.done, result.describe()


def test_a20(boot):
    boot("sluice", "reset", "how=a20").assert_passed()
