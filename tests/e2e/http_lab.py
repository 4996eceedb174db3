# SPDX-License-Identifier: Apache-2.0
"""A network with one machine on it, a dnsmasq that says where to boot from, and a web server.

    unshare -rn python3 http_lab.py WORK TREE

Called by test_net.py. The web server's log goes to standard error. Exit status 0: the guest came to its end.
"""

import functools
import http.server
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.e2e import harness  # noqa: E402  pylint: disable=wrong-import-position

SERVER = "10.9.0.1"
PORT = 8000
# Firmware would try PXE for a minute first.
NO_PXE = [
    *["-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n"],
    *["-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n"],
]


def network():
    for words in (
        "link set lo up",
        "tuntap add dev lab0 mode tap",
        f"addr add {SERVER}/24 dev lab0",
        "link set lab0 up",
    ):
        subprocess.run(["ip", *words.split()], check=True)


def dnsmasq(work):
    command = ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--interface=lab0"]
    command += ["--bind-interfaces", "--dhcp-range=10.9.0.10,10.9.0.20,1h", f"--dhcp-leasefile={work}/leases"]
    command += ["--dhcp-match=set:http,option:client-arch,16", "--dhcp-option-force=tag:http,60,HTTPClient"]
    command += [f"--dhcp-boot=tag:http,http://{SERVER}:{PORT}/sluice.efi"]
    with open(work / "dnsmasq.log", "wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def main():
    work, tree = Path(sys.argv[1]), sys.argv[2]
    network()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tree)
    server = http.server.ThreadingHTTPServer((SERVER, PORT), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    helper = dnsmasq(work)
    card = ["-netdev", "tap,id=net,ifname=lab0,script=no,downscript=no"]
    card += ["-device", "virtio-net-pci,romfile=,netdev=net,bootindex=0"]
    try:
        result = harness.run(work, [*NO_PXE, *card], firmware="ovmf", timeout=90)
    finally:
        helper.terminate()
        helper.wait()
    result.assert_passed()


if __name__ == "__main__":
    main()
