# SPDX-License-Identifier: Apache-2.0
"""Builds the test programs of tools/mutate.py with all mutants in them, and runs single tests in them."""

import collections
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

import mutants as places

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / os.environ.get("BUILD", "build") / "mutate"
CC = os.environ.get("CC", "gcc")
FLAGS = "-std=gnu11 -O1 -w -fno-omit-frame-pointer".split()
KINDS = {"plain": FLAGS, "asan": FLAGS + "-fsanitize=address,undefined -fno-sanitize-recover=all".split()}
# As the image is built, for what is asked about the code only.
IMAGE = "-std=gnu11 -ffreestanding -mcmodel=kernel -fno-pic -mno-red-zone -mgeneral-regs-only -O2 -w".split()
# What the long tests are asked for here. A mutant that needs more is told as a survivor: the safe side.
QUICK = {"PROGRAM_SECONDS": "1", "CLASS_PROGRAMS": "30", "DEPTH": "3", "NOSHRINK": "1", "INSN_RANDOM": "2000"}
SERVER = "tests/mutate/server.c"
# A test that takes longer is not asked at all, and not with sanitizers if it found nothing without.
LONG = {"plain": 2.0, "asan": 0.1}


def words(source, kind):
    """What stands in the comments /* KIND: ... */ at the top of a test."""
    return " ".join(re.findall(r"^/\* " + kind + r": (.*) \*/$", source.read_text(), re.M)).split()


def command(*args):
    return subprocess.run([str(a) for a in args], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)


class Program:
    """A test program: what it is linked from."""

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


class Test:
    """One test of a program: the places that it reaches, how long it takes, what it has found so far."""

    def __init__(self, program, number, name):
        self.program, self.number, self.name = program, number, f"{program.name}: {name}"
        self.seconds, self.reaches, self.kills = {}, set(), collections.Counter()

    def cost(self, path):
        """Who is quick and has often found something in this file is asked first."""
        return (self.seconds["plain"] + 0.001) / (1 + self.kills[path] / 10)

    def allowed(self, kind):
        return int(500 + 8000 * self.seconds.get(kind, 4 * self.seconds["plain"]))


class Server:
    """A running test program that waits for commands; see tests/mutate/server.c."""

    def __init__(self, program):
        self.process = subprocess.Popen([program], cwd=ROOT, env=dict(os.environ, **QUICK), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.tests = self.process.stdout.readline().split()

    def ask(self, mutant, test, allowed):
        self.process.stdin.write(f"{mutant} {test} {allowed}\n")
        self.process.stdin.flush()
        verdict, us, *reached = self.process.stdout.readline().split()
        return verdict, int(us) / 1e6, reached

    def stop(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


# ---- Building --------------------------------------------------------------------------------------


def objects(kind, source):
    return BUILD / kind / (source[:-2] + ".o")


def fresh(out):
    """Is the object newer than all that it was made from?"""
    listed = out.with_suffix(".d")
    if not out.exists() or not listed.exists():
        return False
    inputs = listed.read_text().replace("\\\n", " ").split(":", 1)[1].split()
    return all((ROOT / i).exists() and (ROOT / i).stat().st_mtime < out.stat().st_mtime for i in inputs)


def compile_one(kind, source, tree, out):
    """Compiles a source of the tree given: the sources of iommu/ and hv/ come with their headers from there."""
    if fresh(out):
        return None
    out.parent.mkdir(parents=True, exist_ok=True)
    mutated = (tree / source).exists()
    path = (tree if mutated else ROOT) / source
    extra = ["-include", "tests/mutate/mutant.h", f"-I{tree}"] if mutated else []
    return command(CC, *KINDS[kind], *extra, "-Itests/host", "-I.", "-MMD", "-c", "-o", out, path)


def link(kind, program, out, instead=None):
    instead = instead or {}
    files = [instead.get(o, objects(kind, o)) for o in [*program.objects, SERVER]]
    done = command(CC, *KINDS[kind], "-Wl,--wrap=_cmocka_run_group_tests", "-o", out, *files, *program.libs)
    if done.returncode:
        sys.exit(f"{program.name} does not link:\n{done.stdout}")


def update(file, text):
    if not file.exists() or file.read_text() != text:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def write_all(tree, mutants):
    """Writes the sources with all mutants in them; again without those that do not compile there."""
    by_path = collections.defaultdict(list)
    for number, m in enumerate(mutants, 1):
        m.number = number
        by_path[m.path].append(m)

    def attempt(path):
        text = (ROOT / path).read_text()
        alive = [m for m in by_path[path] if m.number]
        while True:
            new, lost = places.all_at_once(text, alive)
            trial = tree / (path + ".trial")
            update(trial, new)
            check = command(CC, *FLAGS, "-fsyntax-only", "-ftrack-macro-expansion=0", "-include", "tests/mutate/mutant.h",
                            "-Itests/host", "-I.", "-x", "c", trial)
            lines = {int(n) for n in re.findall(re.escape(str(trial)) + r":(\d+):\d+: error", check.stdout)}
            bad = [m for m in alive if any(m.line <= n <= m.last_line for n in lines)]
            for m in lost + bad:
                m.number = 0
            alive = [m for m in alive if m.number]
            if not lost and not bad:
                if check.returncode:
                    sys.exit(f"{path} does not compile with all mutants in it:\n{check.stdout}")
                update(tree / path, new)
                return

    for path in (str(f.relative_to(ROOT)) for d in ("iommu", "hv") for f in ROOT.glob(d + "/*.[ch]")):
        if not by_path[path]:
            update(tree / path, (ROOT / path).read_text())
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(attempt, [path for path in by_path if by_path[path]]))


def build(programs, tree, jobs):
    sources = sorted({o for p in programs for o in [*p.objects, SERVER]})
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for kind in KINDS:
            for source, done in zip(sources, pool.map(lambda s, k=kind: compile_one(k, s, tree, objects(k, s)), sources)):
                if done and done.returncode:
                    sys.exit(f"{source} does not compile:\n{done.stdout}")
            list(pool.map(lambda p, k=kind: link(k, p, BUILD / k / p.name), programs))


def explore(programs, jobs):
    """Runs everything with no mutant alive: which tests there are, what they reach, how long they take."""

    def one(program):
        tests = []
        for kind in KINDS:
            server = Server(BUILD / kind / program.name)
            tests = tests or [Test(program, i, name) for i, name in enumerate(server.tests)]
            for test in tests:
                if test.seconds.get("plain", 0) > LONG[kind] or test.seconds.get("plain") == -1:
                    continue
                verdict, seconds, reached = server.ask(0, test.number, 300000)
                test.seconds[kind] = seconds
                if kind == "plain":
                    test.reaches = {int(n) for n in reached}
                if verdict != "green":
                    print(f"note: {test.name} is red by itself on the unchanged tree and judges nobody", flush=True)
                    test.seconds["plain"] = -1
                elif test.seconds["plain"] > LONG["plain"]:
                    print(f"note: {test.name} takes {seconds:.1f} s and judges nobody", flush=True)
            server.stop()
        return [t for t in tests if 0 <= t.seconds["plain"] <= LONG["plain"]]

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        return [t for tests in pool.map(one, programs) for t in tests]
