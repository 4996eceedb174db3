# SPDX-License-Identifier: Apache-2.0
"""A guest that takes the whole machine for itself: Memtest86+ writes all memory that it was told of, and reads it back.

What it writes over, if the memory map or the nested tables were wrong, is Sluice.
"""

import re

from tests.e2e import harness, linux


def test_memtest(tmp_path):
    tester = linux.kernel("memtest") / "memtest"
    result = harness.sluice(
        tmp_path,
        "memtest",
        modules=[(tester, "console=ttyS0,115200 nosm nosmp")],
        memory="96M",
        until=r"#6 +\[Moving inversions",  # after five tests of all memory
        timeout=240,
    )
    assert not result.timed_out, result.describe()
    ram, size = map(int, re.search(r"(\d+) MiB of RAM; Sluice at 0x\w+, (\d+) MiB", result.serial).groups())
    assert re.search(rf"Memory +: +{ram - size}MB", result.serial), result.describe()
    assert re.search(r"Errors: +0", result.serial), result.describe()
    assert not re.search(r"Errors: +[1-9]", result.serial), result.describe()
    assert "is not the guest's" not in result.serial and "panic" not in result.serial, result.describe()
