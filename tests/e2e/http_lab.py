# SPDX-License-Identifier: Apache-2.0
"""A network with one machine on it, and a dnsmasq that says where to boot from: itself by TFTP, or a web server.

    unshare -rn python3 http_lab.py WORK TREE http|tftp

Called by test_net.py. The servers' logs go to standard error. Exit status 0: the guest came to its end.
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
# Firmware would try other ways for a minute first.
WITHOUT = {"http": ["IPv4PXESupport", "IPv6PXESupport"], "tftp": ["IPv6PXESupport"]}


def network():
    for words in (
        "link set lo up",
        "tuntap add dev lab0 mode tap",
        f"addr add {SERVER}/24 dev lab0",
        "link set lab0 up",
    ):
        subprocess.run(["ip", *words.split()], check=True)


def dnsmasq(work, tree, way):
    command = ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--interface=lab0"]
    command += ["--bind-interfaces", "--dhcp-range=10.9.0.10,10.9.0.20,1h", f"--dhcp-leasefile={work}/leases"]
    if way == "tftp":
        command += ["--enable-tftp", f"--tftp-root={tree}", "--dhcp-boot=sluice.efi", "--user=root"]
    else:
        command += ["--dhcp-match=set:http,option:client-arch,16", "--dhcp-option-force=tag:http,60,HTTPClient"]
        command += [f"--dhcp-boot=tag:http,http://{SERVER}:{PORT}/sluice.efi"]
    return subprocess.Popen(command, stdout=sys.stderr)


def main():
    work, tree, way = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    network()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tree)
    server = http.server.ThreadingHTTPServer((SERVER, PORT), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    helper = dnsmasq(work, tree, way)
    without = [w for name in WITHOUT[way] for w in ("-fw_cfg", f"name=opt/org.tianocore/{name},string=n")]
    card = ["-netdev", "tap,id=net,ifname=lab0,script=no,downscript=no"]
    card += ["-device", "virtio-net-pci,romfile=,netdev=net,bootindex=0"]
    try:
        result = harness.run(work, [*without, *card], firmware="ovmf", timeout=90)
    finally:
        helper.terminate()
        helper.wait()
    result.assert_passed()


if __name__ == "__main__":
    main()
