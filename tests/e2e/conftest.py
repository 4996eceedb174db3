# SPDX-License-Identifier: Apache-2.0
"""Fixtures: each test gets a directory, and `boot`, which runs a guest bare or on Sluice."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.e2e import harness  # noqa: E402  pylint: disable=wrong-import-position


@pytest.fixture(name="boot")
def _boot(tmp_path):
    """boot("bare"|"sluice", guest, cmdline, ...) -> Result; each call has its own directory."""
    count = 0

    def run(where, guest, cmdline="", **kwargs):
        nonlocal count
        count += 1
        directory = tmp_path / f"run{count}"
        directory.mkdir()
        if where == "bare":
            kwargs.pop("options", None)
            return harness.bare(directory, guest, cmdline, **kwargs)
        if not harness.IMAGE.exists():
            pytest.fail(f"{harness.IMAGE} is not built")
        return harness.sluice(directory, guest, cmdline, **kwargs)

    return run
