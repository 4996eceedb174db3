# SPDX-License-Identifier: Apache-2.0
"""The console on the frame buffer, read back from what the emulator would show."""

import re

from tests.e2e import efi, harness, linux

POLL = harness.GUESTS / "poll.elf"
CELL = (6, 10)


def font():
    """Pixels of each character, as arch/screen.c has them: that they look like characters is for eyes."""
    source = (harness.ROOT / "arch" / "screen.c").read_text(encoding="utf-8")
    table = re.search(r"font\[95\] = \{(.*?)\}", source, re.S)[1]
    glyphs = [int(n, 16) for n in re.findall(r"0x([0-9a-f]{16})", table)]
    assert len(glyphs) == 95 == len(set(glyphs))
    return {glyph: chr(32 + i) for i, glyph in enumerate(glyphs)}


def read(path):
    """The text on the screen: lines of characters, '?' for what is none."""
    magic, size, depth, pixels = path.read_bytes().split(b"\n", 3)
    width, height = map(int, size.split())
    assert (magic, depth) == (b"P6", b"255")
    scale = 2 if width >= 1024 else 1
    glyphs, lines = font(), []
    for top in range(0, height - CELL[1] * scale + 1, CELL[1] * scale):
        line = ""
        for left in range(0, width - CELL[0] * scale + 1, CELL[0] * scale):
            found = 0
            for y in range(8):
                at = 3 * ((top + y * scale) * width + left)
                for x in range(5):
                    lit = pixels[at + 3 * x * scale : at + 3 * x * scale + 3]
                    found |= (lit == b"\xff\xff\xff") << (8 * y + x)
            line += glyphs.get(found, "?")
        lines.append(line.rstrip())
    return lines


def test_screen_until_the_guest_has_it(tmp_path):
    def shot(pattern, name):
        return pattern, "screendump", {"filename": str(tmp_path / name)}

    over = r"sluice: power [^\n]*\n"
    volume = efi.volume(tmp_path, efi.APP, "kernel /poll.elf\n", [("poll.elf", POLL)])
    monitor = linux.Monitor(tmp_path, [shot(r"sluice: entering the guest [^\n]*\n", "first"), shot(over, "last")])
    devices = ["-device", "VGA", "-action", "shutdown=pause", *monitor.arguments]
    result = efi.run(tmp_path, volume, devices=devices, react=monitor.react, until=over, timeout=60)
    said = [line for line in result.serial[result.serial.rindex("sluice: boot ") :].splitlines() if "sluice: " in line]
    before = said[: 1 + next(i for i, line in enumerate(said) if "entering the guest" in line)]
    after = [line for line in said if line not in before]
    assert after, result.describe()
    shown = "".join(line.ljust(1) for line in read(tmp_path / "first"))
    for line in before:
        assert line.rstrip().replace(" ", "") in shown.replace(" ", ""), line
    assert read(tmp_path / "last") == read(tmp_path / "first"), "written on when it was the guest's"
