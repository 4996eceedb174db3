#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the release: dist.py BUILD OUT

OUT gets sluice.elf, sluice.efi, sluice.iso, SHA256SUMS and sluice.spdx.json (SPDX 2.3). The same tree built with
the same packages gives the same bytes: no path, no user, no time but SOURCE_DATE_EPOCH.

The ISO boots under BIOS and UEFI and runs a test guest that drives the first unit's queue
and powers off: a first look at whether a machine is fit.
"""

import datetime
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH") or 315532800)  # 1980, the first that FAT can hold
NAME = "sluice"
GRUB_CONFIG = """\
serial --unit=0 --speed=115200
terminal_output serial console
set timeout=3
menuentry "Sluice: look at this machine, then power off" {
    multiboot2 /sluice.elf
    module2 --nounzip /poll.elf
}
"""


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pin_serial(iso):
    """mformat gives the FAT image for UEFI a random serial number, which nothing refers to."""
    content = iso.read_bytes()
    at = content.find(b"MTOO") - 3
    if at < 0 or content[at + 54 : at + 57] != b"FAT":
        sys.exit("dist: the ISO has no FAT image where mtools would have put one")
    with open(iso, "r+b") as file:
        file.seek(at + 39)
        file.write(b"SLUI")


def make_iso(build, out):
    """grub-mkrescue with every date pinned: of files, volume and FAT image."""
    tree = out / "tree"
    (tree / "boot" / "grub").mkdir(parents=True)
    shutil.copy(build / "sluice.elf", tree)
    guest = build / "guests" / "poll.elf"
    # Its debug information names the folder it was built in.
    subprocess.run(["objcopy", "--strip-debug", guest, tree / "poll.elf"], check=True)
    (tree / "boot" / "grub" / "grub.cfg").write_text(GRUB_CONFIG, encoding="ascii")
    stamp = datetime.datetime.fromtimestamp(EPOCH, datetime.timezone.utc).strftime("%Y%m%d%H%M%S00")
    command = ["grub-mkrescue", "-o", out / "sluice.iso", tree]
    command += ["--", "-volume_date", "all_file_dates", f"={EPOCH}", "-volume_date", "uuid", stamp]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH), "TZ": "UTC"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"dist: grub-mkrescue failed:\n{done.stderr}")
    shutil.rmtree(tree)
    pin_serial(out / "sluice.iso")


def installed(package):
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def file_entry(path):
    digest = sha256(path)
    return {
        "SPDXID": f"SPDXRef-File-{path.name}",
        "fileName": f"./{path.name}",
        "checksums": [{"algorithm": "SHA256", "checksumValue": digest}],
        "licenseConcluded": "NOASSERTION",
        "copyrightText": "NOASSERTION",
    }


def package_entry(name, version, licence, supplier):
    return {
        "SPDXID": f"SPDXRef-Package-{name}",
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "supplier": supplier,
        "licenseConcluded": licence,
        "licenseDeclared": licence,
        "copyrightText": "NOASSERTION",
    }


def relation(subject, kind, what):
    return {"spdxElementId": subject, "relationshipType": kind, "relatedSpdxElement": what}


def bill_of_materials(files, version):
    debian = "Organization: Debian"
    tools = ["gcc", "binutils", "nasm"]
    packages = [package_entry(NAME, version, "Apache-2.0", "NOASSERTION")]
    packages += [package_entry("gnu-efi", installed("gnu-efi"), "BSD-2-Clause", debian)]
    packages += [package_entry("grub", installed("grub-common"), "GPL-3.0-or-later", debian)]
    packages += [package_entry(tool, installed(tool), "NOASSERTION", debian) for tool in tools]
    root = f"SPDXRef-Package-{NAME}"
    relations = [relation("SPDXRef-DOCUMENT", "DESCRIBES", root)]
    relations += [relation(root, "GENERATES", f"SPDXRef-File-{f.name}") for f in files]
    relations += [relation("SPDXRef-File-sluice.efi", "STATIC_LINK", "SPDXRef-Package-gnu-efi")]
    relations += [relation("SPDXRef-File-sluice.iso", "CONTAINS", "SPDXRef-Package-grub")]
    relations += [relation(f"SPDXRef-Package-{tool}", "BUILD_TOOL_OF", root) for tool in tools]
    content = hashlib.sha256("".join(sha256(f) for f in files).encode()).hexdigest()
    created = datetime.datetime.fromtimestamp(EPOCH, datetime.timezone.utc)
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{NAME}-{version}",
        "documentNamespace": f"urn:sha256:{content}",
        "creationInfo": {"created": created.strftime("%Y-%m-%dT%H:%M:%SZ"), "creators": [f"Tool: {NAME}-dist"]},
        "packages": packages,
        "files": [file_entry(f) for f in files],
        "relationships": relations,
    }


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: dist.py BUILD OUT")
    build, out = Path(sys.argv[1]), Path(sys.argv[2])
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for name in "sluice.elf", "sluice.efi":
        shutil.copy(build / name, out / name)
    make_iso(build, out)
    files = [out / name for name in ("sluice.efi", "sluice.elf", "sluice.iso")]
    version = os.environ.get("VERSION") or "development"
    bill = json.dumps(bill_of_materials(files, version), indent=2) + "\n"
    (out / "sluice.spdx.json").write_text(bill, encoding="utf-8")
    names = sorted([f.name for f in files] + ["sluice.spdx.json"])
    sums = "".join(f"{sha256(out / name)}  {name}\n" for name in names)
    (out / "SHA256SUMS").write_text(sums, encoding="ascii")
    print(sums, end="")
    print(f"dist: {out} is ready")


if __name__ == "__main__":
    main()
