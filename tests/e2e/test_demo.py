# SPDX-License-Identifier: Apache-2.0
"""The demonstration's numbers hold: stale packets where caching mode is taken at its word, none by default."""

import importlib.util
import json
import os
import subprocess
import sys

from tests.e2e import harness


def test_demo(tmp_path):
    demo = [sys.executable, harness.ROOT / "tools" / "demo.py", "--work", tmp_path]
    done = subprocess.run(
        demo, cwd=harness.ROOT, capture_output=True, text=True, check=False, env={**os.environ, "TIMEOUT": "150"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    cm, default = json.loads((tmp_path / "demo.json").read_text(encoding="ascii"))["runs"]
    assert cm["packets"] == default["packets"] == 64
    assert cm["stale"] > 0 and default["stale"] == 0
    # The same driver: it never asked. The unit was sent a flush for each of the driver's own, or more of them at once.
    assert cm["guest"]["dtlb"] == default["guest"]["dtlb"] == 0 < cm["guest"]["piotlb"]
    assert cm["unit"]["dtlb"] < 10 < default["unit"]["dtlb"], done.stdout
    if importlib.util.find_spec("matplotlib"):
        assert b"<svg" in (tmp_path / "demo.svg").read_bytes() and (tmp_path / "demo.png").stat().st_size > 20000
    else:
        assert "no picture" in done.stdout
