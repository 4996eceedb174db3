#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Breaks the code on purpose, one place at a time, and asks whether a host test notices.

usage: mutate.py [--sample N] [--seed N] [--jobs N] [--only TEXT] [--again LOG] [--tests TEXT] [--plain] [--list]
                 [--planted-only] [--report]

The places are found by looking at the sources, so new code is in the list without anyone adding it: every
statement that calls or stores, every operand of a condition, every bound, every result of iommu/ and hv/.
Each mutant is built in a copy of the tree and its tests run until the first red one. What compiles to the
same code, and what tests/mutate/equivalent.txt argues away, is no mutant. Files that no host test links run
in a machine only; what is in them is counted and named, and no part of the score.
tests/mutate/planted.txt holds defects that other systems have published, planted here again.

What survives is a missing test or dead code. The last line is "N passed, N failed": caught, and not.
"""

import argparse
import concurrent.futures
import difflib
import os
import pathlib
import queue
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / os.environ.get("BUILD", "build") / "mutate"
CC = os.environ.get("CC", "gcc")
FLAGS = "-std=gnu11 -O1 -w -fno-omit-frame-pointer -I.".split()
KINDS = {"plain": FLAGS, "asan": FLAGS + "-fsanitize=address,undefined -fno-sanitize-recover=all".split()}
# What the long tests are asked for here. A mutant that needs more is told as a survivor: the safe side.
QUICK = {"PROGRAM_SECONDS": "1", "CLASS_PROGRAMS": "30", "DEPTH": "3", "NOSHRINK": "1", "INSN_RANDOM": "2000"}


def words(source, kind):
    """What stands in the comments /* KIND: ... */ at the top of a test."""
    return " ".join(re.findall(r"^/\* " + kind + r": (.*) \*/$", source.read_text(), re.M)).split()


class Test:
    def __init__(self, source):
        self.name = source.stem
        self.objects = [str(source.relative_to(ROOT))]
        for word in words(source, "LINK"):
            folder = {"libiommu.a": "iommu", "libworld.a": "tests/world", "libmodel.a": "tests/model"}.get(word)
            if folder:
                found = sorted(ROOT.glob(folder + "/*.c"))
                self.objects += [str(f.relative_to(ROOT)) for f in found if not f.name.startswith("test_")]
            else:
                self.objects.append(word)
        self.libs = words(source, "LIBS") + ["-lcmocka"]
        self.seconds = {}
        self.kills = {}

    def cost(self, path, kind):
        """Who is quick and has often found something in this file is asked first."""
        return self.seconds.get(kind, self.seconds["plain"]) / (1 + self.kills.get(path, 0))


# ---- Where to break it ---------------------------------------------------------------------------


def blank(text):
    """The text with comments, strings and preprocessor lines replaced by blanks of the same length."""

    def spaces(match):
        return re.sub(r"[^\n]", " ", match[0])

    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|' + r"'(?:\\.|[^'\\\n])*'|^#(?:[^\n]*\\\n)*[^\n]*"
    return re.sub(pattern, spaces, text, flags=re.S | re.M)


def closing(text, at):
    """The index of the parenthesis that closes the one at `at`."""
    depth = 0
    for i in range(at, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if depth == 0:
            return i
    return -1


def operands(text, start, end):
    """Yields (start, end, operator around it) of the operands of && and ||, through parentheses."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start < end and text[start] == "(" and closing(text, start) == end - 1:
        yield from operands(text, start + 1, end - 1)
        return
    depth, parts, at = 0, [], start
    for i in range(start, end):
        depth += (text[i] in "([{") - (text[i] in ")]}")
        if depth == 0 and text[i : i + 2] in ("&&", "||"):
            parts.append((at, i, text[i : i + 2]))
            at = i + 2
    if not parts:
        yield start, end, ""
        return
    parts.append((at, end, parts[-1][2]))
    for a, b, op in parts:
        for x, y, inner in operands(text, a, b):
            yield x, y, inner or op


def statement_begins(text, at):
    before = text[:at].rstrip()
    return before[-1:] in ";{})" or before.endswith((":", "else", "do"))


def mutations(text):
    """Yields (start, end, replacement, what it is) for every place of a source."""
    code = blank(text)
    # Calls whose result nobody takes: emits, barriers, stores, everything that is done.
    for m in re.finditer(r"^[ ]+([a-z_]\w*)\(", code, re.M):
        end = closing(code, m.end() - 1)
        name = m[1]
        if name in ("if", "for", "while", "switch", "return", "sizeof") or name.startswith("env_log"):
            continue
        if code[end + 1 : end + 2] != ";" or not statement_begins(code, m.start()):
            continue
        kind = "call"
        if re.match(r"hostq_push|hostq_submit|plan_|emit_|flush_|domain_|context_|replay_|shadow_", name):
            kind = "emit"
        elif re.search(r"writeback|fence|publish|buffer_flush", name):
            kind = "barrier"
        yield m.start(1), end + 1, "", kind + " dropped"
    # Stores to anything but a local.
    for m in re.finditer(r"^[ ]+([^\s=;(][^\n=;]*?(?:->|\[|\.)[^\n=;]*?|\*[a-z]\w*) ([|&^+-]?=) [^;{}]*;", code, re.M):
        if statement_begins(code, m.start()) and not re.match(r"(?:const|struct|u\d+|bool|return|if|for|while|case)\b", m[1]):
            yield m.start(1), m.end() - 1, "", "store dropped"
    for m in re.finditer(r"^[ ]+([^\s=;(][^\n=;]*?(?:->|\[|\.)[^\n=;]*?(?:\+\+|--)|--[^\n;]+);", code, re.M):
        if statement_begins(code, m.start()) and not re.match(r"(?:return|if|for|while)\b", m[1]):
            yield m.start(1), m.end() - 1, "", "count dropped"
    # Conditions: each operand taken out, a lone one decided either way.
    for m in re.finditer(r"\b(if|while|return) ?(\()?", code):
        if m[1] == "return":
            start, end = m.end(1), code.find(";", m.end(1))
            if not re.search(r"&&|\|\|", code[start:end]):
                continue
        elif not m[2]:
            continue
        else:
            start, end = m.end(), closing(code, m.end() - 1)
        for a, b, op in operands(code, start, end):
            kind = "check" if re.search(r"env_|page|mem_|owner|allowed|region|overlap", code[a:b]) else "condition"
            values = {"&&": ["1"], "||": ["0"]}.get(op, ["0"] if m[1] == "while" else ["0", "1"])
            for value in values:
                if m[1] == "while" and value == "1":
                    continue
                yield a, b, value, f"{kind} taken as {value}"
    for m in re.finditer(r" (<=|>=|<|>) ", code):
        other = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}[m[1]]
        yield m.start(1), m.end(1), other, "bound moved"
    for m in re.finditer(r" [+-] 1(?![\w.])", code):
        yield m.start(), m.end(), "", "one off"
    for m in re.finditer(r"\b(MIN|MAX)\(", code):
        yield m.start(1), m.end(1), "MAX" if m[1] == "MIN" else "MIN", "bound swapped"
    for m in re.finditer(r"\breturn (true|false);", code):
        yield m.start(1), m.end(1), "false" if m[1] == "true" else "true", "result inverted"
    for m in re.finditer(r"\breturn (ERR_\w+);", code):
        yield m.start(1), m.end(1), "0", "error swallowed"
    # Flags: what is or-ed is left out.
    for m in re.finditer(r" \| ~?[A-Z][A-Z0-9_]{2,}\b(?!\()", code):
        yield m.start(), m.end(), "", "flag left out"


class Mutant:
    def __init__(self, path, text, start, end, new, kind):
        self.path, self.kind = path, kind
        self.text = text[:start] + new + text[end:]
        self.line = text.count("\n", 0, start) + 1
        self.old = " ".join(text[text.rfind("\n", 0, start) + 1 : text.find("\n", max(start, end - 1))].split())
        diff = difflib.unified_diff(text.splitlines(), self.text.splitlines(), lineterm="", n=0)
        self.diff = [line for line in diff if not line.startswith(("---", "+++", "@@"))]
        self.name = f"{path}:{self.line}: {kind}"


def squeeze(text):
    return " ".join(text.split())


def planted(listed):
    """The blocks of planted.txt: a title, a file, what is there, what shall be there instead."""
    out, bad = [], []
    for block in re.split(r"^== ", listed.read_text(), flags=re.M)[1:]:
        title, path, rest = block.split("\n", 2)
        text = (ROOT / path).read_text()
        new = text
        for old, replacement in re.findall(r"^<<<\n(.*?)\n===\n(.*?)\n?>>>$", rest, re.S | re.M):
            # Layout does not matter, so that a reformatted line still is the same line.
            pattern = r"\s+".join(re.escape(word) for word in old.split())
            found = re.findall(pattern, new)
            if len(found) != 1:
                bad.append(f"planted defect '{title}': its place in {path} is there {len(found)} times")
                break
            new = new.replace(found[0], replacement)
        else:
            m = Mutant(path, text, 0, 0, "", "planted: " + title)
            diff = list(difflib.unified_diff(text.splitlines(), new.splitlines(), lineterm="", n=0))
            place = re.search(r"@@ -(\d+)", "\n".join(diff))
            m.text, m.line = new, int(place[1]) if place else 0
            m.diff = [line for line in diff if not line.startswith(("---", "+++", "@@"))]
            m.name = f"{path}:{m.line}: {m.kind}"
            out.append(m)
    return out, bad


def equivalents(listed):
    """Lines "file | kind | line as it stands | why no test can see it"."""
    out = set()
    for line in listed.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            path, kind, rest = line.split(" | ", 2)
            old, why = rest.rsplit(" | ", 1)
            if why.strip():
                out.add((path.strip(), kind.strip(), squeeze(old)))
    return out


def survivors(log):
    """What an earlier run wrote about those that survived, without line numbers: they move."""
    found = re.findall(r"^SURVIVED ([^:]+):.*\n((?:    .*\n)+)", log, re.M)
    return {"\n".join([path, *(line[4:] for line in diff.splitlines())]) for path, diff in found}


# ---- Building and running ------------------------------------------------------------------------


def limits():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.setpgid(0, 0)


def run(command, timeout, cwd, env=None):
    """(status, output); status None when it had to be stopped. A test program ends with its first red test."""
    process = subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, preexec_fn=limits)
    late = threading.Event()

    def stop():
        late.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(timeout, stop)
    timer.start()
    output = []
    for line in process.stdout:
        output.append(line)
        if line.startswith(b"[  FAILED  ]"):
            os.killpg(process.pid, signal.SIGKILL)
            break
    process.wait()
    timer.cancel()
    return None if late.is_set() else process.returncode, b"".join(output)


class Workshop:
    """One copy of the tree. Objects of untouched sources are shared."""

    def __init__(self, number, tests):
        self.at = BUILD / f"tree{number}"
        self.tests = tests
        if number == 0:
            shutil.rmtree(BUILD, ignore_errors=True)
        self.at.mkdir(parents=True)
        for folder in ("arch", "boot", "hv", "iommu", "tests"):
            keep = shutil.ignore_patterns("guests", "e2e", "__pycache__", "corpus")
            shutil.copytree(ROOT / folder, self.at / folder, ignore=keep)

    def object(self, source, kind):
        return BUILD / kind / (source[:-2] + ".o")

    def compile(self, source, out, kind, extra=()):
        out.parent.mkdir(parents=True, exist_ok=True)
        return run([CC, *KINDS[kind], *extra, "-c", "-o", str(out), source], 120, self.at)

    def link(self, test, out, kind, instead=None):
        objects = [str(instead[1] if instead and o == instead[0] else self.object(o, kind)) for o in test.objects]
        return run([CC, *KINDS[kind], "-o", str(out), *objects, *test.libs], 120, self.at)

    def run_test(self, test, kind, program):
        allowed = 5 * test.seconds[kind] + 3 if kind in test.seconds else 600
        return run([str(program)], allowed, self.at, dict(os.environ, **QUICK))

    def prepare(self, pool, kind):
        """Builds everything unchanged and sees that it is green; how long each test takes."""
        sources = sorted({o for t in self.tests for o in t.objects})
        done = pool.map(lambda s: (s, self.compile(s, self.object(s, kind), kind)), sources)
        for source, (status, output) in done:
            if status:
                sys.exit(f"{source} does not compile:\n{output.decode()}")
        for test in list(self.tests):
            program = BUILD / kind / test.name
            status, output = self.link(test, program, kind)
            if status:
                sys.exit(f"{test.name} does not link:\n{output.decode()}")
            start = time.monotonic()
            status, output = self.run_test(test, kind, program)
            test.seconds[kind] = time.monotonic() - start
            if status != 0:
                print(f"note: {test.name} is red on the unchanged tree and judges nobody", flush=True)
                self.tests.remove(test)

    def judge(self, mutant):
        """What became of it: (verdict, by whom)."""
        source = self.at / mutant.path
        original = source.read_text()
        tests = [t for t in self.tests if mutant.path in t.objects]
        try:
            source.write_text(mutant.text)
            for kind in KINDS:
                out = self.at / "mutant.o"
                status, _ = self.compile(mutant.path, out, kind)
                if status:
                    return "does not compile", ""
                if kind == "plain":
                    if out.read_bytes() == self.object(mutant.path, kind).read_bytes():
                        return "same code", ""
                for test in sorted(tests, key=lambda t: t.cost(mutant.path, kind)):
                    # What takes long and found nothing without sanitizers finds nothing with them.
                    if kind == "asan" and test.seconds["plain"] > 4:
                        continue
                    program = self.at / "mutant"
                    status, output = self.link(test, program, kind, (mutant.path, out))
                    if status:
                        return "does not compile", ""
                    status, output = self.run_test(test, kind, program)
                    if status != 0:
                        test.kills[mutant.path] = test.kills.get(mutant.path, 0) + 1
                        return "caught", test.name + (" (did not end)" if status is None else "")
            return "SURVIVED", ""
        finally:
            source.write_text(original)


def told_apart(alone):
    print(f"mutate: {sum(alone.values())} places in {len(alone)} files that only a machine runs are not tried: "
          + ", ".join(f"{f} {n}" for f, n in alone.items()), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sample", type=int, default=0, help="this many by chance; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="regular expression: places whose name matches")
    parser.add_argument("--again", default="", metavar="LOG", help="only those that survived there")
    parser.add_argument("--tests", default="", help="regular expression: only these tests judge")
    parser.add_argument("--plain", action="store_true", help="not with sanitizers; finds most, and is quicker")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--planted-only", action="store_true")
    parser.add_argument("--report", action="store_true", help="only planted defects decide the exit status")
    args = parser.parse_args()
    if args.plain:
        del KINDS["asan"]

    tests = [t for t in map(Test, sorted(ROOT.glob("tests/unit/test_*.c")))
             if any(o.startswith(("iommu/", "hv/")) for o in t.objects)]
    tests = [t for t in tests if t.name != "test_speed"]  # it measures
    judges = [t for t in tests if re.search(args.tests, t.name)]
    linked = {o for t in tests for o in t.objects}
    every = sorted(str(f.relative_to(ROOT)) for d in ("iommu", "hv") for f in ROOT.glob(d + "/*.c"))
    files = [f for f in every if f in linked]
    alone = {f: sum(1 for _ in mutations((ROOT / f).read_text())) for f in every if f not in linked}
    argued = equivalents(ROOT / "tests/mutate/equivalent.txt")
    mutants, equivalent, used = [], 0, set()
    for path in files:
        text = (ROOT / path).read_text()
        for place in mutations(text):
            m = Mutant(path, text, *place)
            key = (path, m.kind, squeeze(m.old))
            if key in argued:
                equivalent += 1
                used.add(key)
            else:
                mutants.append(m)
    found = len(mutants)
    stale = argued - used
    if args.only:
        mutants = [m for m in mutants if re.search(args.only, m.name)]
    if args.again:
        log = pathlib.Path(args.again).read_text()
        mutants = [m for m in mutants if "\n".join([m.path, *m.diff]) in survivors(log)]
    if args.sample and args.sample < len(mutants):
        mutants = random.Random(args.seed).sample(mutants, args.sample)
    if args.planted_only:
        mutants = []
    plants, bad = planted(ROOT / "tests/mutate/planted.txt")
    if not args.only and not args.again:
        mutants = plants + mutants
    if args.list:
        for m in mutants:
            print(m.name, *m.diff, sep="\n    ")
        print(f"{found} places, {equivalent} more argued to be equivalent, {len(plants)} planted")
        told_apart(alone)
        return 0
    print(f"mutate: {found} places in {len(files)} files, {equivalent} more argued to be equivalent, "
          f"{len(plants)} planted defects; {len(mutants)} are tried (seed {args.seed})", flush=True)
    told_apart(alone)

    shops = queue.Queue()
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        all_shops = [Workshop(i, judges) for i in range(args.jobs)]
        for kind in KINDS:
            all_shops[0].prepare(pool, kind)
        print(f"mutate: built and green in {time.monotonic() - start:.0f} s", flush=True)
        for shop in all_shops:
            shops.put(shop)
        start = time.monotonic()

        def one(mutant):
            shop = shops.get()
            try:
                return mutant, *shop.judge(mutant)
            finally:
                shops.put(shop)

        count, killers = {}, {}
        jobs = [pool.submit(one, m) for m in mutants]
        for job in concurrent.futures.as_completed(jobs):
            mutant, verdict, by = job.result()
            if args.report and verdict == "SURVIVED" and not mutant.kind.startswith("planted"):
                verdict = "survived"
            count[verdict] = count.get(verdict, 0) + 1
            killers[by.split(" ")[0]] = killers.get(by.split(" ")[0], 0) + 1
            if verdict.upper() == "SURVIVED":
                print(f"SURVIVED {mutant.name}", *mutant.diff, sep="\n    ", flush=True)
            elif os.environ.get("V"):
                print(f"{verdict} {mutant.name} {by}", flush=True)
    caught, survived = count.get("caught", 0), count.get("SURVIVED", 0) + len(bad)
    open_ = count.get("survived", 0)
    for line in bad:
        print("FAILED", line)
    for path, kind, old in sorted(stale):
        print(f"note: equivalent.txt argues about what is not there any more: {path} | {kind} | {old}")
    print("mutate: caught by " + ", ".join(f"{k} {n}" for k, n in sorted(killers.items(), key=lambda i: -i[1]) if k))
    print(f"mutate: {caught} caught, {survived + open_} survived, {count.get('same code', 0)} are the same code, "
          f"{count.get('does not compile', 0)} do not compile; {time.monotonic() - start:.0f} s; "
          f"score {100 * caught / max(caught + survived + open_, 1):.1f} %")
    print(f"{caught} passed, {survived} failed")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
