#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every fuzz target that is built, each for so many seconds, two at a time.

usage: fuzz.py SECONDS

First the kept inputs of tests/fuzz/corpus, which is a test by itself; then new ones. A target fails when an
input crashes it, trips a sanitizer or takes longer than 25 s. The last line is "N passed, N failed".
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

BUILD = pathlib.Path(os.environ.get("BUILD") or "build") / "fuzz"


def run(source, seconds):
    name = source.stem
    kept = pathlib.Path("tests/fuzz/corpus") / name.removeprefix("fuzz_")
    grown, found = BUILD / "corpus" / name, BUILD / "found" / name
    for folder in (grown, found):
        folder.mkdir(parents=True, exist_ok=True)
    command = [BUILD / name, f"-max_total_time={seconds}", "-timeout=25", "-rss_limit_mb=4096", "-print_final_stats=1",
               "-max_len=8192", "-len_control=20", f"-artifact_prefix={found}/", grown]
    command += [kept] if kept.is_dir() else []
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    output = done.stdout.decode("utf-8", "replace")
    runs = re.search(r"number_of_executed_units: *(\d+)", output)
    cover = re.findall(r"cov: (\d+)", output)
    return name, done.returncode, int(runs[1]) if runs else 0, cover[-1] if cover else "?", output


def main():
    sources = sorted(pathlib.Path("tests/fuzz").glob("fuzz_*.c"))
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(run, source, int(sys.argv[1])) for source in sources]
        for job in concurrent.futures.as_completed(jobs):
            name, status, runs, cover, output = job.result()
            good = status == 0 and runs > 0
            passed, failed = passed + good, failed + (not good)
            print(f"  FUZZ  {name}: {'ok' if good else 'FAILED'}, {runs} inputs, {cover} branches reached", flush=True)
            if not good:
                print("\n".join(output.splitlines()[-60:]), flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not sources else 0


if __name__ == "__main__":
    sys.exit(main())
