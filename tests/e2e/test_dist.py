# SPDX-License-Identifier: Apache-2.0
"""The release: its ISO boots under both firmwares, and its checksums and bill of materials are right."""

import hashlib
import json
import os
import subprocess
import sys

import pytest

from tests.e2e import harness

TOOL = harness.ROOT / "tools" / "dist.py"


@pytest.fixture(name="dist", scope="module")
def _dist(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist") / "out"
    subprocess.run(
        [sys.executable, TOOL, harness.BUILD, out], check=True, cwd=harness.ROOT, capture_output=True, timeout=60
    )
    return out


def test_same_bytes_again(dist, tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    again = tmp_path / "again"
    subprocess.run([sys.executable, TOOL, harness.BUILD, again], check=True, capture_output=True, env=environment)
    for file in dist.iterdir():
        assert file.read_bytes() == (again / file.name).read_bytes(), file.name


def test_sums_and_bill(dist):
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], check=True, cwd=dist, capture_output=True)
    bill = json.loads((dist / "sluice.spdx.json").read_text(encoding="utf-8"))
    assert bill["spdxVersion"] == "SPDX-2.3"
    for file in bill["files"]:
        digest = hashlib.sha256((dist / file["fileName"]).read_bytes()).hexdigest()
        assert file["checksums"] == [{"algorithm": "SHA256", "checksumValue": digest}]
    known = {e["SPDXID"] for e in [*bill["packages"], *bill["files"]]} | {"SPDXRef-DOCUMENT"}
    for relation in bill["relationships"]:
        assert {relation["spdxElementId"], relation["relatedSpdxElement"]} <= known


@pytest.mark.parametrize("firmware", ["seabios", "ovmf"])
def test_iso_boots(dist, tmp_path, firmware):
    cd = ["-cdrom", str(dist / "sluice.iso"), "-boot", "d"]
    harness.run(tmp_path, cd, firmware=firmware, timeout=60).assert_passed()
