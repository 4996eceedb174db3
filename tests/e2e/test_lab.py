# SPDX-License-Identifier: Apache-2.0
"""docs/lab.md explains every refusal, warning and error there is, and none that there is not. Nothing is booted."""

import re
import subprocess
import tarfile

from tests.e2e import harness

FORMAT = re.compile(r"%[-0-9]*(?:l|ll|z)*[sduxpc]")
LITERAL = r'"((?:[^"\\\\]|\\\\.)*)"'
STRINGS = rf"((?:{LITERAL}\s*)+)"


def joined(strings):
    return "".join(re.findall(LITERAL, strings))


def refusals():
    """What the sources can refuse with; `%s` and its like stand for what differs."""
    found = set()
    for folder in "boot", "arch", "hv":
        for file in (harness.ROOT / folder).rglob("*"):
            if file.suffix == ".asm":
                found |= set(re.findall(r'"sluice: cannot start: ([^"]*)"', file.read_text(encoding="utf-8")))
            if file.suffix not in (".c", ".h"):
                continue
            text = file.read_text(encoding="utf-8")
            found |= {joined(m[1]) for m in re.finditer(rf"\brefuse\(\s*{STRINGS}", text)}
            for body in re.findall(r"^(?:static )?const char \*\w*probe\(void\)\n\{(.*?)^\}", text, re.M | re.S):
                found |= {joined(m[1]) for m in re.finditer(STRINGS, body)}
    return {text for text in found if FORMAT.sub("", text).strip()}


def complaints():
    """Warnings and errors without the lines of a dump."""
    found = set()
    call = rf"\b(?:log_err|log_warn|log_rated|env_log(?:_limited)?)\(\s*(?:(?:ENV|LOG)_(?:ERR|WARN),)?\s*{STRINGS}"
    for folder in "boot", "arch", "hv", "iommu":
        for file in (harness.ROOT / folder).rglob("*.c"):
            for m in re.finditer(call, file.read_text(encoding="utf-8")):
                if m[0].startswith("log_") or "ENV_" in m[0]:
                    found.add(joined(m[1]))
    dump = re.compile(r"  |%|guest CPU|activity|trace unit|(r\w{1,2}|cr0|gdt|tr|backtrace|code)\b")
    return {text for text in found if not dump.match(text)}


def explained():
    """The fragments in the first columns, as patterns."""
    text = (harness.ROOT / "docs" / "lab.md").read_text(encoding="utf-8")
    tables = text[text.index("## When it does not start") :]
    cells = [line.split(" | ")[0] for line in tables.splitlines() if line.startswith("| `")]
    return [fragment for cell in cells for fragment in re.findall(r"`([^`]*)`", cell)]


def matches(fragment, refusal):
    return re.search(".+?".join(re.escape(part) for part in fragment.split("...")), refusal)


def test_every_line_is_explained():
    known = explained()
    assert len(refusals()) > 50
    assert len(complaints()) > 40
    unexplained = [r for r in refusals() | complaints() if not any(matches(fragment, r) for fragment in known)]
    assert not unexplained, "\n".join(unexplained)


def test_every_explanation_is_of_a_line():
    lines = refusals() | complaints()
    stale = [f for f in explained() if not any(matches(f, r) for r in lines)]
    assert not stale, "\n".join(stale)


def test_report(tmp_path):
    """One command, and nothing that is missing on a machine stops it."""
    out = tmp_path / "report.tar.gz"
    subprocess.run(["sh", harness.ROOT / "tools" / "report", out], check=True, cwd=tmp_path, timeout=60)
    with tarfile.open(out) as archive:
        names = {name.removeprefix("./") for name in archive.getnames()}
        cpu = archive.extractfile("./cpuinfo").read()
    assert {"dmar", "units", "pci", "dmesg", "iomem", "cpuinfo", "sluice-log", "sluice-counters"} <= names
    assert b"processor" in cpu
