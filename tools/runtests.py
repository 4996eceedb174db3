#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the tests that are built and adds everything up. The last line is "N passed, N failed".

usage: runtests.py [unit] [e2e]

unit: every cmocka program of tests/unit and tests/model. e2e: pytest on tests/e2e. A group without a single
test, a program that crashes or does not end, and a broken collection count as failures.
"""

import concurrent.futures
import functools
import os
import pathlib
import re
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as xml

BUILD = pathlib.Path(os.environ.get("BUILD") or "build")
UNIT_DIRECTORIES = ["tests/unit", "tests/model"]
E2E_DIRECTORY = "tests/e2e"
UNIT_TIMEOUT = 900


class Totals:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.lock = threading.Lock()

    def add(self, passed, failed, skipped):
        with self.lock:
            self.passed += passed
            self.failed += failed
            self.skipped += skipped


def run_unit(program):
    """(passed, failed, skipped, output, seconds) of one cmocka program, which is asked to speak TAP."""
    start = time.monotonic()
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP")
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    try:
        done = subprocess.run([program], env=env, timeout=UNIT_TIMEOUT, check=False, **pipes)
        output, status = done.stdout, done.returncode
    except subprocess.TimeoutExpired as stopped:
        output, status = (stopped.stdout or b"") + b"\nstopped: did not end\n", -1
    output = output.decode("utf-8", "replace")
    planned = sum(int(n) for n in re.findall(r"^1\.\.(\d+)$", output, re.M))
    skipped = len(re.findall(r"^(?:not )?ok \d+ # SKIP", output, re.M))
    passed = len(re.findall(r"^ok \d+ (?!# SKIP)", output, re.M))
    # What did not get to say "ok" failed: a crash ends the program in the middle.
    failed = max(planned - passed - skipped, 0)
    if failed == 0 and (status != 0 or planned == 0):
        failed = 1
    if status < 0:
        output += f"\nended by signal {-status}\n"
    return passed, failed, skipped, output, time.monotonic() - start


def unit(totals, workers=os.cpu_count(), say=functools.partial(print, flush=True)):
    sources = [s for d in UNIT_DIRECTORIES for s in sorted(pathlib.Path(d).glob("test_*.c"))]
    names = [source.with_suffix("") for source in sources]
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        jobs = {pool.submit(run_unit, BUILD / "host" / name): name for name in names}
        for job in concurrent.futures.as_completed(jobs):
            passed, failed, skipped, output, seconds = job.result()
            totals.add(passed, failed, skipped)
            say(f"  UNIT  {jobs[job]}: {passed} passed, {failed} failed ({seconds:.1f} s)")
            if failed:
                say(output.rstrip())
    return bool(sources)


def e2e(totals):
    report = BUILD / "e2e.xml"
    report.unlink(missing_ok=True)
    machines = os.cpu_count() or 1
    print(f"  E2E   {E2E_DIRECTORY}, {machines} machines at a time", flush=True)
    command = [sys.executable, "-m", "pytest", "-v", "--tb=short", f"--junitxml={report}", E2E_DIRECTORY]
    command += ["-n", str(machines), "--dist", "loadfile"]
    status = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
    suites = list(xml.parse(report).getroot().iter("testsuite")) if report.exists() else []
    total, failed, skipped = (
        sum(int(suite.get(key, 0)) for suite in suites for key in keys)
        for keys in (["tests"], ["failures", "errors"], ["skipped"])
    )
    if status and not failed:
        failed, total = 1, total + 1
    totals.add(total - failed - skipped, failed, skipped)
    return total > 0


GROUPS = {"unit": unit, "e2e": e2e}


def both(totals):
    """Machines keep about one processor busy each, and wait now and then; the host tests run meanwhile, give way and are
    told of afterwards."""
    others, lines = max((os.cpu_count() or 1) - 1, 1), []
    with concurrent.futures.ThreadPoolExecutor(1, initializer=os.nice, initargs=(10,)) as pool:
        # Niceness is a thread's on Linux, and what it starts inherits it.
        background = pool.submit(unit, totals, others, lines.append)
        found = e2e(totals)
        found &= background.result()
    print(*lines, sep="\n", flush=True)
    return found


def main():
    totals, names = Totals(), sys.argv[1:] or list(GROUPS)
    jobs = [both] if set(names) == set(GROUPS) else [GROUPS[name] for name in names]
    for job in jobs:
        if not job(totals):
            print("  a group of tests has none")
            totals.failed += 1
    if totals.skipped:
        print(f"{totals.skipped} skipped")
    print(f"{totals.passed} passed, {totals.failed} failed")
    return 1 if totals.failed else 0


if __name__ == "__main__":
    sys.exit(main())
