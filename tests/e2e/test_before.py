# SPDX-License-Identifier: Apache-2.0
"""What ran before Sluice: firmware that left everything on, and a network card aimed at Sluice's memory.

build/boot/before.efi (tests/boot/before.c) makes the machine so and starts sluice.efi after it.
"""

import contextlib
import re
import socket
import subprocess
import threading

from tests.e2e import efi, harness, linux

BEFORE = harness.BUILD / "boot" / "before.efi"
FRAME = b"\xff" * 6 + b"\x52\x54\0\1\2\3\x08\0" + b"\xcc" * 1000


def boot(directory, config, guest, options="", **machine):
    one = efi.unified(directory, efi.APP, harness.GUESTS / f"{guest}.elf", options=options)
    files = [("next.efi", one), ("before.cfg", config.encode())]
    volume = efi.volume(directory, BEFORE, None, files)
    return efi.run(directory, volume, timeout=90, **machine)


@contextlib.contextmanager
def flood(directory):
    """Arguments for a card, and a thread that sends to it from when it is told to until the end."""
    paths = [str(directory / name) for name in ("card", "sender")]
    card = f"dgram,id=f,local.type=unix,local.path={paths[0]},remote.type=unix,remote.path={paths[1]}"
    go, end = threading.Event(), threading.Event()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.bind(paths[1])
        sender.settimeout(0.1)  # full: the card takes no more at the moment

        def send():
            go.wait()
            while not end.is_set():
                try:
                    sender.sendto(FRAME, paths[0])
                except TimeoutError:
                    pass
                except OSError:
                    return

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield ["-netdev", card, "-device", "e1000,netdev=f,romfile="], go
        finally:
            end.set()
            go.set()
            thread.join()


def test_everything_left_on(tmp_path):
    """Translation, a used queue, interrupt remapping, x2APIC, five levels of page tables; and the DMAR table in memory
    that is not ACPI's."""
    unit = "intremap=on,eim=on,caching-mode=on"
    result = boot(tmp_path, "te qi ir x2apic la57 acpi=low", "poll", iommu=unit, options="loglevel=debug")
    assert "before: tables in reserved memory\n" in result.serial, result.describe()
    assert "before: te 1 qi 1 ir 1 x2apic 1 la57 1\n" in result.serial, result.describe()
    result.assert_passed()
    assert "I: guest '' on sluice" in result.serial
    # Never without: the unit is asked to translate while it does, and is never told to stop.
    assert not re.search(r"vtd_dmar_enable enable 0", result.trace_text), "translation was off in between"


def test_tables_out_of_reach_of_the_first_start(tmp_path):
    """Above 4 GiB: devices are then shut out when the second start takes the units over."""
    result = boot(tmp_path, "acpi=high", "poll", memory="6G", options="loglevel=debug")
    assert "before: tables above 4 GiB\n" in result.serial, result.describe()
    result.assert_passed()
    assert re.search(r"sluice: start took \d+ ticks, 0 of them until devices were shut out", result.serial)


def symbol(name):
    listing = subprocess.run(["nm", harness.IMAGE], check=True, capture_output=True, text=True).stdout
    (address,) = re.findall(rf"^([0-9a-f]+) [a-zA-Z] {name}$", listing, re.M)
    return int(address, 16) & 0x7FFFFFFF


def test_written_on_before_it_starts(tmp_path):
    """Frames land in code that has not run yet: it never does."""
    with flood(tmp_path) as (card, go):

        def react(text):
            if "before: aimed" in text:
                go.set()

        config = f"nic={symbol('guest_load'):x} hit"
        result = boot(tmp_path, config, "flood", devices=card, react=react, until=harness.REFUSAL)
    assert "before: aimed\n" in result.serial, result.describe()
    assert re.search(r"cannot start: Sluice's image in memory is not what was built", result.serial), (
        result.describe()
    )
    assert "sluice: boot" not in result.serial


def test_nothing_lands_after_it_has_started(tmp_path):
    """The card is armed when Sluice starts, and the guest aims it at Sluice; the emulator says what is in memory."""
    monitor, region = linux.Monitor(tmp_path, []), []

    def react(text):
        if "sluice: boot " in text:
            go.set()
        if "sluice: power " in text and not region:
            region.extend(int(n, 16) for n in re.search(r"aimed at (\S+) (\S+) as", text).groups())
            monitor.command("pmemsave", val=region[0], size=region[1], filename=str(tmp_path / "memory"))

    with flood(tmp_path) as (card, go):
        # The machine stands still when the guest has switched it off: its memory is still there to be read.
        devices = [*card, *monitor.arguments, "-action", "shutdown=pause"]
        until = r"sluice: power [^\n]*\n"
        result = boot(tmp_path, "nic=200000", "flood", devices=devices, react=react, until=until)
    assert not result.failures and result.done == (3, 0), result.describe()
    sid = int(re.search(r"aimed at \S+ \S+ as (\S+)", result.serial)[1], 16)
    faults = [f for p in result.parts for f in p.faults(sid)]
    assert any(region[0] <= f.address < region[0] + region[1] for f in faults), "the unit stopped nothing"
    memory = (tmp_path / "memory").read_bytes()
    assert FRAME[-1000:] not in memory
    subprocess.run(["objcopy", "-O", "binary", harness.IMAGE, tmp_path / "image"], check=True)
    unchanging = symbol("image_data")
    assert memory[:unchanging] == (tmp_path / "image").read_bytes()[:unchanging]
