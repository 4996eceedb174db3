# SPDX-License-Identifier: Apache-2.0
"""What Sluice cannot work with is said in one clear line before any guest runs."""

import pytest

from tests.e2e import harness

GUEST = harness.GUESTS / "poll.elf"

CASES = {
    "no-unit": ({"iommu": None}, r"no VT-d"),
    "no-svm": ({"cpu": "max,-svm"}, r"virtuali[sz]ation|no SVM"),
    "no-svm-old-model": ({"cpu": "qemu64,-svm"}, r"virtuali[sz]ation|no SVM"),
    "no-nested-paging": ({"cpu": "max,-npt"}, r"nested paging"),
    "little-memory": ({"memory": "40M"}, r"not enough memory"),
    "unknown-option": ({"options": "dtlb=always flavour=mint"}, r"unknown option.*flavour"),
    "bad-value": ({"options": "dtlb=sometimes"}, r"dtlb"),
}


def refused(result, pattern):
    lines = [line for line in result.serial.splitlines() if "sluice: cannot start: " in line]
    assert len(lines) == 1, result.describe()
    assert harness.re.search(pattern, lines[0]), lines[0]
    assert "I: guest" not in result.serial, "the guest ran all the same"


@pytest.mark.parametrize("case", CASES)
def test_machine_or_option(boot, case):
    machine, pattern = CASES[case]
    refused(boot("sluice", "poll", until=harness.REFUSAL, **machine), pattern)


def test_no_guest(boot):
    refused(boot("sluice", "poll", modules=[], until=harness.REFUSAL), r"no guest")


@pytest.mark.parametrize("kind", ["noise", "empty", "cut", "wild"])
def test_broken_guest(boot, tmp_path, kind):
    image = GUEST.read_bytes()
    content = {
        "noise": bytes((i * 73 + i // 251) & 0xFF for i in range(50000)),
        "empty": b"",
        "cut": image[:5000],
        # The first program header's file offset points behind the file.
        "wild": image[:64] + image[64:72] + b"\xff" * 8 + image[80:],
    }[kind]
    module = tmp_path / "module"
    module.write_bytes(content)
    refused(
        boot("sluice", "poll", modules=[(module, "")], until=harness.REFUSAL),
        r"no guest|guest image" if kind == "empty" else r"guest image",
    )
