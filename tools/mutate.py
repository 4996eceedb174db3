#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Breaks the code on purpose, one place at a time, and asks whether a host test notices.

usage: mutate.py [--sample N] [--seed N] [--jobs N] [--only TEXT] [--again LOG] [--tests TEXT] [--plain] [--list]
                 [--planted-only] [--report]

The places are found by looking at the sources (tools/mutants.py), so new code is in the list without anyone
adding it: every statement that calls or stores, every operand of a condition, every limit (one less, one more,
none), every result of iommu/ and hv/. All mutants are built at once, side by side in the same objects, and
which one is alive is chosen when a test starts. A first run of all tests tells which of them get to which place
at all; then each mutant is given to those, the quickest first, until one is red: without sanitizers, and what
survives also with them. What no test can see, as the compiler makes the same code of it or
tests/mutate/equivalent.txt argues it away, is no mutant. Files that no host test links run in a machine only; what is in them is counted and
named, and no part of the score. tests/mutate/planted.txt holds defects that other systems have published,
planted here again; those are built singly.

What survives is a missing test or dead code. The last line is "N passed, N failed": caught, and not.
"""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import queue
import random
import re
import shutil
import sys
import time

import mutants as places
from mutant_build import (BUILD, IMAGE, KINDS, LONG, ROOT, CC, Program, Server, build, command, compile_one, explore,
                          link, write_all)


# ---- Judging ---------------------------------------------------------------------------------------


class Judge:
    """Tries one mutant at a time; each has running servers and a tree of its own."""

    def __init__(self, number, tests):
        self.tests, self.servers, self.code = tests, {}, {}
        self.tree = BUILD / f"one{number}"
        shutil.rmtree(self.tree, ignore_errors=True)
        for folder in ("iommu", "hv"):
            shutil.copytree(ROOT / folder, self.tree / folder)

    def server(self, kind, program, mutant, instead):
        key = kind, program.name
        if mutant.number:
            if key not in self.servers:
                self.servers[key] = Server(BUILD / kind / program.name)
            return self.servers[key]
        out = self.tree / program.name
        link(kind, program, out, instead)
        return Server(out)

    def run(self, mutant, kind, tests, instead=None):
        """By whom it is caught; an empty string: by nobody."""
        own = {}
        try:
            for test in sorted(tests, key=lambda t: t.cost(mutant.path)):
                server = own.get(test.program.name)
                if not server:
                    server = own[test.program.name] = self.server(kind, test.program, mutant, instead)
                verdict, _, _ = server.ask(mutant.number, test.number, test.allowed(kind))
                if verdict != "green":
                    test.kills[mutant.path] += 1
                    return test.name + (" (did not end)" if verdict == "late" else "")
            return ""
        finally:
            if not mutant.number:
                for server in own.values():
                    server.stop()

    def users(self, path):
        """The sources that hold what stands in this one."""
        every = sorted({o for t in self.tests for o in t.program.objects if o.startswith(("iommu/", "hv/"))})
        return [path] if path.endswith(".c") else every

    def built(self, mutant, kind):
        """Objects of a mutant that is built by itself; None: it does not compile."""
        instead = {}
        for source in self.users(mutant.path):
            instead[source] = self.tree / kind / (source[:-2] + ".o")
            instead[source].unlink(missing_ok=True)
            if compile_one(kind, source, self.tree, instead[source]).returncode:
                return None
        return instead

    def image_code(self, source, root):
        out = self.tree / "code.o"
        done = command(CC, *IMAGE, f"-I{root}", "-I.", "-c", "-o", out, root / source)
        return b"" if done.returncode else out.read_bytes()

    def same_code(self, mutant):
        """Does the compiler make the same of it as of the original, in the image?"""
        for source in self.users(mutant.path):
            if source not in self.code:
                self.code[source] = self.image_code(source, ROOT)
            if self.image_code(source, self.tree) != self.code[source]:
                return False
        return True

    def judge(self, mutant):
        """What became of it: (verdict, by whom)."""
        tests = [t for t in self.tests if mutant.number in t.reaches] if mutant.number else [
            t for t in self.tests if set(self.users(mutant.path)) & set(t.program.objects)]
        source = self.tree / mutant.path
        try:
            source.write_text(mutant.text)
            for kind in KINDS:
                instead = None if mutant.number else self.built(mutant, kind)
                if not mutant.number and instead is None:
                    return "does not compile", ""
                able = [t for t in tests if kind in t.seconds and t.seconds["plain"] <= LONG[kind]]
                by = self.run(mutant, kind, able, instead)
                if by:
                    return "caught", by
            if self.same_code(mutant):
                return "same code", ""
            return "SURVIVED", "" if tests else "no test gets there"
        finally:
            source.write_text((ROOT / mutant.path).read_text())


# ---- The whole -------------------------------------------------------------------------------------


def told_apart(alone):
    print(f"mutate: {sum(alone.values())} places in {len(alone)} files that only a machine runs are not tried: "
          + ", ".join(f"{f} {n}" for f, n in alone.items()), flush=True)


def table(title, results, key):
    """Prints how many were caught and how many were not, for each of what the key says."""
    rows = collections.defaultdict(collections.Counter)
    for mutant, verdict in results:
        rows[key(mutant)][verdict.lower()] += 1
    print(f"  {title:<26} {'caught':>7} {'survived':>9} {'score':>8}")
    for name, row in sorted(rows.items(), key=lambda r: (-r[1]["survived"], r[0])):
        tried = row["caught"] + row["survived"]
        if tried:
            print(f"  {name:<26} {row['caught']:>7} {row['survived']:>9} {100 * row['caught'] / tried:>7.1f}%")


def find(files):
    argued = places.equivalents(ROOT / "tests/mutate/equivalent.txt")
    mutants, equivalent, used = [], 0, set()
    for path in files:
        text = (ROOT / path).read_text()
        for place in places.mutations(text):
            m = places.Mutant(path, text, *place)
            key = (path, m.kind, places.squeeze(m.old))
            if key in argued:
                equivalent += 1
                used.add(key)
            else:
                mutants.append(m)
    return mutants, equivalent, argued - used


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sample", type=int, default=0, help="this many by chance of those that need not all be caught; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="regular expression: places whose name matches")
    parser.add_argument("--again", default="", metavar="LOG", help="only those that survived there")
    parser.add_argument("--tests", default="", help="regular expression: only these tests judge")
    parser.add_argument("--plain", action="store_true", help="not with sanitizers; finds most, and is quicker")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--planted-only", action="store_true")
    parser.add_argument("--report", action="store_true", help="only those that must be caught decide the exit status")
    args = parser.parse_args()
    if args.plain:
        del KINDS["asan"]

    programs = [p for p in map(Program, sorted(ROOT.glob("tests/unit/test_*.c")))
                if any(o.startswith(("iommu/", "hv/")) for o in p.objects)]
    programs = [p for p in programs if p.name != "test_speed"]  # it measures
    linked = {o for p in programs for o in p.objects}
    every = sorted(str(f.relative_to(ROOT)) for d in ("iommu", "hv") for f in ROOT.glob(d + "/*.[ch]"))
    headers = {f for f in every if f.endswith(".h")}
    files = [f for f in every if f in linked | headers]
    alone = {f: sum(1 for _ in places.mutations((ROOT / f).read_text())) for f in every if f not in files}
    found, equivalent, stale = find(files)
    mutants = [m for m in found if re.search(args.only, m.name)]
    if args.only and not any(m.path in headers for m in mutants):  # the others need not be built
        programs = [p for p in programs if {m.path for m in mutants} & set(p.objects)]
        found = mutants
    if args.again:
        log = pathlib.Path(args.again).read_text()
        mutants = [m for m in mutants if "\n".join([m.path, *m.diff]) in places.survivors(log)]
    mutants.sort(key=lambda m: (not m.strict, not m.path.startswith("iommu/")))
    if args.sample:
        others = [m for m in mutants if not m.strict]
        others = random.Random(args.seed).sample(others, min(args.sample, len(others)))
        mutants = [m for m in mutants if m.strict] + others
    if args.planted_only:
        mutants = []
    plants, bad = places.planted(ROOT, ROOT / "tests/mutate/planted.txt")
    if not args.only and not args.again:
        mutants = plants + mutants
    if args.list:
        for m in mutants:
            print(m.name, *m.diff, sep="\n    ")
        print(f"{len(found)} places, {equivalent} more argued to be equivalent, {len(plants)} planted")
        told_apart(alone)
        return 0
    print(f"mutate: {len(found)} places in {len(files)} files, {equivalent} more argued to be equivalent, "
          f"{len(plants)} planted defects; {len(mutants)} are tried (seed {args.seed})", flush=True)
    told_apart(alone)

    start = time.monotonic()
    write_all(BUILD / "all", found)
    build(programs, BUILD / "all", args.jobs)
    tests = [t for t in explore(programs, args.jobs) if re.search(args.tests, t.name)]
    single = sum(1 for m in mutants if not m.number)
    print(f"mutate: built and green in {time.monotonic() - start:.0f} s; {len(tests)} tests judge; "
          f"{single} mutants are built singly", flush=True)

    start = time.monotonic()
    judges = queue.Queue()
    for i in range(args.jobs):
        judges.put(Judge(i, tests))

    def one(mutant):
        judge = judges.get()
        try:
            return mutant, *judge.judge(mutant)
        finally:
            judges.put(judge)

    results, killers = [], collections.Counter()
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for job in concurrent.futures.as_completed([pool.submit(one, m) for m in mutants]):
            mutant, verdict, by = job.result()
            if args.report and verdict == "SURVIVED" and not mutant.strict:
                verdict = "survived"
            results.append((mutant, verdict))
            killers[by.split(":")[0]] += verdict == "caught"
            if verdict.upper() == "SURVIVED":
                print(f"{verdict} {mutant.name}{by and ' (' + by + ')'}", *mutant.diff, sep="\n    ", flush=True)
            elif os.environ.get("V"):
                print(f"{verdict} {mutant.name}: {by}", flush=True)
    count = collections.Counter(verdict for _, verdict in results)
    caught, survived, open_ = count["caught"], count["SURVIVED"] + len(bad), count["survived"]
    for line in bad:
        print("FAILED", line)
    for path, kind, old in sorted(stale):
        print(f"note: equivalent.txt argues about what is not there any more: {path} | {kind} | {old}")
    print("mutate: caught by " + ", ".join(f"{k} {n}" for k, n in killers.most_common() if n))
    table("file", results, lambda m: m.path)
    table("kind", results, lambda m: re.sub(r":.*| taken as .*| dropped", "", m.kind))
    table("", results, lambda m: "those that must be caught" if m.strict else "the others")
    print(f"mutate: {caught} caught, {survived + open_} survived, {count['same code']} are the same code, "
          f"{count['does not compile']} do not compile; {time.monotonic() - start:.0f} s; "
          f"score {100 * caught / max(caught + survived + open_, 1):.1f} %")
    print(f"{caught} passed, {survived} failed")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
