# SPDX-License-Identifier: Apache-2.0
"""A variable store for OVMF in which Secure Boot is on and one certificate is trusted for everything.

The variables are written as firmware itself keeps them (edk2, VariableFormat.h: authenticated variables behind
a firmware volume's header), which needs no private key and no time in the emulator.
"""

import struct
import subprocess
import uuid
from pathlib import Path

CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd")
VARS = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")

GLOBAL = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
IMAGE_SECURITY = uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
CERT_X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
OWNER = uuid.UUID("6f7a1c52-3b0e-4a53-9d9e-0c0a6f1f5d11")
SECURE_BOOT_ENABLE = uuid.UUID("f0a30bc7-af08-4556-99c4-001009c93a44")

VOLUME_HEADER = 0x48
STORE_HEADER = 28
NON_VOLATILE, BOOT, RUNTIME, TIME_AUTH = 1, 2, 4, 0x20


def make_key(directory):
    """(private key, certificate) in PEM form, good for a day."""
    key, certificate = Path(directory) / "lab.key", Path(directory) / "lab.crt"
    command = ["openssl", "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "1"]
    command += ["-subj", "/CN=sluice test/", "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return key, certificate


def _signature_list(certificate):
    der = subprocess.run(
        ["openssl", "x509", "-in", certificate, "-outform", "DER"], check=True, capture_output=True, timeout=30
    ).stdout
    size = 16 + len(der)
    return CERT_X509.bytes_le + struct.pack("<III", 28 + size, 0, size) + OWNER.bytes_le + der


def _variable(name, guid, attributes, data):
    text = (name + "\0").encode("utf-16-le")
    time = struct.pack("<HBBBBBBIhBB", 2020, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0)
    if not attributes & TIME_AUTH:
        time = bytes(16)
    header = struct.pack("<HBBIQ", 0x55AA, 0x3F, 0, attributes, 0) + time
    header += struct.pack("<III", 0, len(text), len(data)) + guid.bytes_le
    record = header + text + data
    return record + b"\xff" * (-len(record) % 4)


def enrol(path, certificate):
    """Writes a fresh store with the certificate as PK, KEK and db."""
    store = bytearray(VARS.read_bytes())
    at = VOLUME_HEADER + STORE_HEADER
    assert store[at : at + 2] == b"\xff\xff", "the store is not empty"
    keys = NON_VOLATILE | BOOT | RUNTIME | TIME_AUTH
    signatures = _signature_list(certificate)
    for record in (
        _variable("PK", GLOBAL, keys, signatures),
        _variable("KEK", GLOBAL, keys, signatures),
        _variable("db", IMAGE_SECURITY, keys, signatures),
        _variable("SecureBootEnable", SECURE_BOOT_ENABLE, NON_VOLATILE | BOOT, b"\x01"),
    ):
        store[at : at + len(record)] = record
        at += len(record)
    Path(path).write_bytes(store)


def machine(directory, certificate):
    """Arguments for the firmware whose variables only SMM may write."""
    variables = Path(directory) / "secure-vars.fd"
    enrol(variables, certificate)
    return [
        *["-global", "driver=cfi.pflash01,property=secure,value=on"],
        *["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={CODE}"],
        *["-drive", f"if=pflash,format=raw,unit=1,file={variables}"],
    ]
