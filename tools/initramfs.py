#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Builds the initramfs of the Linux guest: busybox, tools/linux/init and the kernel modules it needs.

usage: initramfs.py LINUX-DIRECTORY OUTPUT PROGRAM...

LINUX-DIRECTORY is what tools/kernel unpacked. Modules are found by name, with what they depend on, and
listed in the order in which they can be loaded. Each PROGRAM goes into /bin; scripts of tools/linux into /. The same
input gives the same bytes.
"""

import gzip
import lzma
import pathlib
import re
import stat
import sys

WANTED = ["nvme", "virtio_pci", "virtio_net", "virtio_blk", "e1000e"]
BUSYBOX = pathlib.Path("/bin/busybox")
SCRIPTS = pathlib.Path(__file__).parent / "linux"


def canonical(name):
    """Module names differ from file names in - and _ only."""
    return name.replace("-", "_")


def module_order(directory, wanted):
    """(file name, content) of the wanted modules, each after those it depends on."""
    files = {canonical(path.name.split(".ko")[0]): path for path in sorted(directory.rglob("*.ko*"))}
    builtin = "".join(path.read_text() for path in directory.rglob("modules.builtin"))
    builtin = {canonical(name) for name in re.findall(r"([^/]+)\.ko$", builtin, re.M)}
    contents = {}
    order = []

    def visit(name, wanted_by):
        if name not in files:
            # Of what others need, the guest's init will say what is missing when a load fails.
            if wanted_by is None and name not in builtin:
                sys.exit(f"initramfs: no module {name} in {directory}")
            return
        if name in contents:
            return
        info = files[name].read_bytes()
        if files[name].suffix == ".xz":
            info = lzma.decompress(info)
        contents[name] = info
        depends = re.search(rb"\0depends=([^\0]*)\0", info)
        soft = re.findall(rb"\0softdep=pre: ([^\0]*)\0", info)
        needs = depends.group(1).decode().split(",") if depends else []
        for words in soft:
            needs += words.decode().split()
        for need in filter(None, needs):
            visit(canonical(need), name)
        order.append(name)

    for name in wanted:
        visit(name, None)
    return [(f"{name}.ko", contents[name]) for name in order]


class Archive:
    """A cpio archive in the "newc" format, which the kernel unpacks."""

    def __init__(self):
        self.data = bytearray()
        self.inode = 0

    def add(self, name, mode, content=b"", device=(0, 0)):
        self.inode += 1
        encoded = name.encode() + b"\0"
        fields = [self.inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(encoded), 0]
        self.data += b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        self.data += bytes(-len(self.data) % 4)
        self.data += content
        self.data += bytes(-len(self.data) % 4)

    def finish(self):
        self.add("TRAILER!!!", 0)
        return gzip.compress(bytes(self.data), compresslevel=6, mtime=0)


def build(init, linux=None, wanted=(), files=()):
    """An archive with busybox, `init`, modules of the kernel in `linux`, and programs as (name, content)."""
    archive = Archive()
    directories = {"bin", "dev", "modules", "proc", "sys", "tmp"}
    directories.update(str(parent) for name, _ in files for parent in pathlib.PurePath(name).parents)
    for directory in sorted(directories - {"."}):  # each before what is in it
        archive.add(directory, stat.S_IFDIR | 0o755)
    # init writes to the console before it has mounted anything.
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.add("bin/busybox", stat.S_IFREG | 0o755, BUSYBOX.read_bytes())
    archive.add("init", stat.S_IFREG | 0o755, init)
    modules = module_order(linux / "lib" / "modules", wanted) if wanted else []
    for name, content in modules:
        archive.add(f"modules/{name}", stat.S_IFREG | 0o644, content)
    archive.add("modules/order", stat.S_IFREG | 0o644, "".join(f"{name}\n" for name, _ in modules).encode())
    for name, content in files:
        archive.add(name, stat.S_IFREG | 0o755, content)
    return archive.finish()


def main():
    linux, output = map(pathlib.Path, sys.argv[1:3])
    files = [(p.name, p.read_bytes()) for p in sorted(SCRIPTS.iterdir()) if not p.suffix and p.name != "init"]
    files += [(f"bin/{p.name}", p.read_bytes()) for p in map(pathlib.Path, sys.argv[3:])]
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(build((SCRIPTS / "init").read_bytes(), linux, WANTED, files))


if __name__ == "__main__":
    main()
