# SPDX-License-Identifier: Apache-2.0
"""What Sluice itself costs a start, in instructions; that more memory does not make it more; how little is enough.

The emulator's clock counts instructions here, one nanosecond for each (`-icount shift=0`), and with it the time-stamp
counter that Sluice reads at its first instruction, when devices are shut out, and when the guest is entered. Firmware waits
for devices by the clock, so there each takes 256.
"""

import re

import pytest

from tests.e2e import efi, harness

GUEST = harness.GUESTS / "poll.elf"
COUNT = ["-icount", "shift=0,sleep=off"]
LIMIT = 30_000_000
WINDOW = 1_000_000


def cost(result, each=1):
    result.assert_passed()
    told = re.search(r"^sluice: start took (\d+) ticks, (\d+) of them until", result.serial, re.M)
    total, window = (int(n) // each for n in told.groups())
    assert 0 < window <= WINDOW and window < total <= LIMIT, result.describe()
    return total


def by_grub(directory, memory):
    directory.mkdir()
    backend = ["-object", f"memory-backend-ram,id=ram,size={memory},reserve=off", "-machine", "memory-backend=ram"]
    modules = [(GUEST, "")]
    return harness.sluice(
        directory,
        None,
        options="loglevel=debug",
        modules=modules,
        memory=memory,
        cpu="max,phys-bits=46",
        devices=COUNT + backend,
        iommu="caching-mode=on,aw-bits=48",
    )


def test_memory_costs_nothing(tmp_path):
    small = cost(by_grub(tmp_path / "small", "256M"))
    large = cost(by_grub(tmp_path / "large", "64G"))
    assert abs(large - small) <= small / 10
    # Where it has a little more to map, page by page of 1 GiB.
    cost(by_grub(tmp_path / "huge", "2T"))


@pytest.mark.parametrize("way", ["application", "one-file"])
def test_started_by_firmware(tmp_path, way):
    config = "options loglevel=debug\nkernel /poll.elf\n"
    if way == "application":
        boot = efi.volume(tmp_path, efi.APP, config, [("poll.elf", GUEST)])
    else:
        boot = efi.volume(tmp_path, efi.unified(tmp_path, efi.APP, GUEST, options="loglevel=debug"))
    cost(efi.run(tmp_path, boot, devices=harness.FAST_CLOCK, timeout=120), each=256)


def test_smallest_machine(tmp_path):
    """The memory that docs/lab.md says, and neither PIC nor PIT, to the guest's end."""
    smallest = int(re.search(r"^- (\d+) MiB of memory", (harness.ROOT / "docs" / "lab.md").read_text(), re.M)[1])
    harness.sluice(tmp_path, "poll", memory=f"{smallest}M", devices=["-machine", "pit=off,pic=off"]).assert_passed()
