# SPDX-License-Identifier: Apache-2.0
"""The list of hostile cases names tests that exist, and every test that calls itself after a case is in it."""

import re

from tests.e2e.harness import ROOT


def listed():
    """Number to a set of (file, test)."""
    cases = {}
    for line in (ROOT / "tests/hostile.txt").read_text(encoding="ascii").splitlines():
        if line.startswith("#"):
            continue
        number, _, places = re.match(r"(\d\d) ([^:]+): (.+)$", line).groups()
        assert number not in cases
        cases[number] = set()
        for place in places.split("; "):
            name, *tests = place.split()
            file = f"tests/{name}.py" if "/" in name else f"tests/unit/{name}.c"
            cases[number] |= {(file, test) for test in tests}
    return cases


def test_each_case_has_tests_that_exist():
    cases = listed()
    assert sorted(cases) == [f"{n:02}" for n in range(1, 48)]
    for number, tests in cases.items():
        assert tests, number
        for file, test in tests:
            text = (ROOT / file).read_text(encoding="utf-8")
            assert re.search(rf"^(static void|def) {test}\(", text, re.M), f"{number}: no {test} in {file}"
            # Defined, and run.
            assert file.endswith(".py") or len(re.findall(rf"\b{test}\b", text)) > 1, f"{test} is not run"


def test_each_named_test_is_listed():
    cases = listed()
    for path in (ROOT / "tests/unit").glob("test_*.c"):
        for test in re.findall(r"^static void (hostile_\d\w+)\(", path.read_text(encoding="utf-8"), re.M):
            numbers = re.findall(r"(\d\d)_", test)
            assert any(test in {t for _, t in cases[n]} for n in numbers), f"{test} of {path.name}"
