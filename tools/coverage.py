#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How much of iommu/ the host tests reach, by gcov: a table of lines and branches, and what is never run or taken.

usage: coverage.py

The tests are those of tests/unit that link libiommu.a or a file of iommu/. Why a line is not run by them, or a branch
of a line not taken, stands in tests/unit/unreached.txt, and the reasons are printed with the number of lines that each
is for. It fails if a test is red, if something is neither reached nor explained, and if what is explained is reached
or gone.
"""

import gzip
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

BUILD = pathlib.Path(os.environ.get("BUILD") or "build").resolve() / "coverage"
FLAGS = "-std=gnu11 -O0 -g -w -I.".split()
FOLDERS = {"libiommu.a": "iommu", "libworld.a": "tests/world", "libmodel.a": "tests/model"}


def main():
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(parents=True)
    measured, tests, red = set(), [], 0
    for test in sorted(pathlib.Path("tests/unit").glob("test_*.c")):
        link = re.search(r"^/\* LINK: (.*) \*/$", test.read_text(), re.M)
        libs = re.search(r"^/\* LIBS: (.*) \*/$", test.read_text(), re.M)
        sources = [str(test)]
        for word in link[1].split() if link else []:
            found = sorted(pathlib.Path(FOLDERS[word]).glob("*.c")) if word in FOLDERS else [pathlib.Path(word)]
            sources += [str(f) for f in found if not f.name.startswith("test_")]
        if any(s.startswith("iommu/") for s in sources):
            tests.append((test, sources, libs[1].split() if libs else []))

    def compiled(source):
        out = BUILD / (source[:-2] + ".o")
        if not out.exists():
            out.parent.mkdir(parents=True, exist_ok=True)
            mine = source.startswith("iommu/")
            # Only iommu/ is measured; the rest shall be fast.
            flags = [*FLAGS, "--coverage"] if mine else [*FLAGS, "-O2"]
            subprocess.run(["gcc", *flags, "-c", "-o", out, source], check=True)
            if mine:
                measured.add(source)
        return str(out)

    for test, sources, libs in tests:
        program = BUILD / test.stem
        objects = [compiled(source) for source in sources]
        subprocess.run(["gcc", "--coverage", "-o", program, *objects, *libs, "-lcmocka"], check=True)
        # A little of what runs long reaches what all of it does.
        env = {"PROGRAM_SECONDS": "5", "DEPTH": "3", **os.environ}
        done = subprocess.run([program], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        if done.returncode:
            print(f"{test} is red")
            red += 1

    # Of each file what all sources together ran: functions in headers are part of many.
    files = {}
    for source in sorted(measured):
        data = BUILD / (source[:-2] + ".gcda")
        subprocess.run(["gcov", "-b", "-j", "-o", data.parent, source], cwd=BUILD.parent.parent,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        result = pathlib.Path(BUILD.parent.parent / (pathlib.Path(source).name + ".gcov.json.gz"))
        if not result.exists():
            result = BUILD.parent.parent / (pathlib.Path(source).stem + ".gcov.json.gz")
        report = json.loads(gzip.decompress(result.read_bytes()))
        result.unlink()
        for file in report["files"]:
            lines = files.setdefault(file["file"], {})
            for line in file["lines"]:
                count, branches = lines.get(line["line_number"], (0, []))
                more = [b["count"] for b in line["branches"]]
                same = len(branches) == len(more)
                merged = [a + b for a, b in zip(branches, more)] if same else branches + more
                lines[line["line_number"]] = (count + line["count"], merged)

    print(f"{'file':24} {'lines':>14} {'':>7} {'branches':>14}")
    sums, missed, untaken = [0, 0, 0, 0], [], []
    for file in sorted(f for f in files if f.startswith("iommu/")):
        counts = [count for count, _ in files[file].values()]
        branches = [count for _, each in files[file].values() for count in each]
        numbers = [sum(n > 0 for n in counts), len(counts), sum(n > 0 for n in branches), len(branches)]
        sums = [a + b for a, b in zip(sums, numbers)]
        row(file, numbers)
        for n, (count, each) in sorted(files[file].items()):
            if not count:
                missed.append(f"{file}:{n}")
            elif not all(each):
                untaken.append((f"{file}:{n}", sum(not b for b in each)))
    row("all", sums)
    wrong = red + explain([(place, "") for place in missed] + [(place, f"{n} of: ") for place, n in untaken])
    print(f"{len(tests) - red} passed, {wrong} failed")
    return 1 if wrong else 0


def explain(missed):
    """Lines "file | line as it stands, or function() for all of it | why no host test runs it". Of a line that is run
    while some branches of it are never taken, their number stands before it: "2 of: line"."""
    texts, reasons, used = {}, {}, {}
    for line in pathlib.Path("tests/unit/unreached.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            path, rest = line.split(" | ", 1)
            what, why = rest.rsplit(" | ", 1)
            reasons[path, what] = why
    open_ = []
    for place, untaken in missed:
        path, n = place.split(":")
        lines = texts.setdefault(path, pathlib.Path(path).read_text().splitlines())
        line = lines[int(n) - 1].strip()
        begins = [re.match(r"\w.*?(\w+)\(", text) for text in lines[: int(n)]]
        function = [m[1] + "()" for m in begins if m][-1]
        key = next((k for k in ((path, untaken + line), (path, untaken + function)) if k in reasons), None)
        if key:
            used[key] = used.get(key, 0) + 1
        else:
            open_.append(f"{place}: {untaken}{line}")
    for key, count in used.items():
        print(f"explained: {key[0]}: {key[1]} ({count}): {reasons[key]}")
    stale = reasons.keys() - used.keys()
    for key in stale:
        print(f"unreached.txt explains what is run, or not there any more: {key[0]} | {key[1]}")
    print(f"{len(missed)} lines are not run or not by every branch, {len(missed) - len(open_)} of them explained")
    for line in open_:
        print(f"never reached: {line}")
    return len(open_) + len(stale)


def row(name, n):
    lines, branches = f"{n[0]}/{n[1]}", f"{n[2]}/{n[3]}"
    print(f"{name:24} {lines:>14} {100 * n[0] / max(n[1], 1):6.1f}% {branches:>14} {100 * n[2] / max(n[3], 1):6.1f}%")


if __name__ == "__main__":
    sys.exit(main())
