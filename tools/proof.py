#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every harness of tests/proof through CBMC, and every negative twin, which must be refuted.

usage: proof.py [NAME...]

proof_x() counts as passed when CBMC finds every assertion, bound, pointer and shift good and every loop within
its bound; twin_x() when an assertion that stands in the harness fails. Where CBMC cannot be had all of them are
skipped, and the reason is told. The last line is "N passed, N failed".

A harness may ask for smaller lists, one line at its top for each: /* IN file: old => new */. It then includes a
copy of that file in which the text `old`, which must be there exactly once, is `new`.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time

BUILD = pathlib.Path(os.environ.get("BUILD") or "build") / "proof"
CHECKS = ("--unwinding-assertions --bounds-check --pointer-check --div-by-zero-check --undefined-shift-check "
          "--signed-overflow-check --pointer-overflow-check --no-standard-checks --slice-formula --drop-unused-functions").split()
TIMEOUT = 240


def cbmc(*arguments, timeout=TIMEOUT):
    """(status, output); status None: took too long."""
    try:
        done = subprocess.run(["tools/cbmc", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout, check=False)
        return done.returncode, done.stdout.decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        return None, f"no answer within {timeout} s\n"


def altered(source):
    """Writes what this harness includes in place of the tree's own; once, before anybody reads it."""
    folder, texts = BUILD / source.stem, {}
    for path, old, new in re.findall(r"^/\* IN (\S+): (.*) => (.*) \*/$", source.read_text(), re.M):
        text = texts.get(path) or pathlib.Path(path).read_text()
        if text.count(old) != 1:
            sys.exit(f"{source}: '{old}' is in {path} {text.count(old)} times")
        texts[path] = text.replace(old, new)
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def run(source, function, unwind):
    start = time.monotonic()
    status, output = cbmc(str(source), "--function", function, "--unwind", unwind, *CHECKS, f"-I{BUILD / source.stem}",
                          "-I.", "--verbosity", "4")
    failed = re.findall(r"^\[(\S+)\] .*: FAILURE$", output, re.M)
    if function.startswith("proof_"):
        good = status == 0 and "VERIFICATION SUCCESSFUL" in output
    else:
        # By its own claim, not because a bound is too small.
        good = status == 10 and any(".assertion." in name for name in failed)
        good = good and not any(".unwind." in name for name in failed)
    return function, unwind, good, time.monotonic() - start, output


def main():
    status, output = cbmc("--version")
    harnesses = []
    for source in sorted(pathlib.Path("tests/proof").glob("*.c")):
        found = re.findall(r"/\* UNWIND: (\d+)\.[^/]*\*/\nvoid (\w+)\(void\)", source.read_text())
        harnesses += [(source, function, unwind) for unwind, function in found]
    proofs = {f.removeprefix("proof_") for _, f, _ in harnesses if f.startswith("proof_")}
    twins = {f.removeprefix("twin_") for _, f, _ in harnesses if f.startswith("twin_")}
    if status != 0:
        print(f"  PROOF {len(harnesses)} harnesses are skipped: {output.strip()}")
        print(f"{len(harnesses)} skipped\n0 passed, {0 if status == 77 else 1} failed")
        return 0 if status == 77 else 1
    passed = failed = 0
    for name in sorted(proofs ^ twins):
        print(f"  PROOF {name} FAILED: a proof and its twin belong together")
        failed += 1
    if sys.argv[1:]:
        harnesses = [h for h in harnesses if any(name in h[1] for name in sys.argv[1:])]
    for source in {h[0] for h in harnesses}:
        altered(source)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(run, *h) for h in harnesses]
        for job in concurrent.futures.as_completed(jobs):
            function, unwind, good, seconds, output = job.result()
            passed, failed = passed + good, failed + (not good)
            kind, name = function.split("_", 1)
            verdict = {"proof": "holds", "twin": "negative twin is refuted"}[kind] if good else "FAILED"
            print(f"  PROOF {name}: {verdict} (loops to {unwind}, {seconds:.1f} s)", flush=True)
            if not good:
                print("\n".join(line for line in output.splitlines() if "SUCCESS" not in line)[-3000:], flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
