#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Network boot: a directory ready for a TFTP or web server, or a machine in QEMU that boots from one.

    pxe.py tree DIR     sluice.efi with its sluice.cfg, the same as one file, GRUB for EFI and BIOS, an iPXE
                        script and a dnsmasq example, all for the same guest
    pxe.py run          such a directory, and a machine that boots BOOT= from it over QEMU's own TFTP

GUEST, INITRD, CMDLINE, OPTIONS, FIRMWARE and TIMEOUT come from the environment, as for tools/run.py; without
GUEST it is Debian's kernel.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import run

DNSMASQ = """\
# dnsmasq as a boot server. Copy to /etc/dnsmasq.d/, put this directory at the path of tftp-root, and set the
# range to your network's (`proxy` leaves addresses to the DHCP server that is there already).
dhcp-range=192.168.0.0,proxy
enable-tftp
tftp-root=/srv/sluice

# 0: BIOS. 7 and 9: x86-64 EFI. 16: EFI that boots by HTTP. iPXE says so in option 175.
dhcp-match=set:bios,option:client-arch,0
dhcp-match=set:efi,option:client-arch,7
dhcp-match=set:efi,option:client-arch,9
dhcp-match=set:http,option:client-arch,16
dhcp-match=set:ipxe,175

dhcp-boot=tag:bios,tag:!ipxe,grub/i386-pc/core.0
dhcp-boot=tag:efi,tag:!ipxe,sluice.efi
dhcp-boot=tag:ipxe,boot.ipxe
pxe-service=tag:bios,tag:!ipxe,X86PC,"Sluice",grub/i386-pc/core.0
pxe-service=tag:efi,tag:!ipxe,X86-64_EFI,"Sluice",sluice.efi

# HTTP boot works when this server gives the addresses too, not as a proxy; any web server may hold the files.
#dhcp-option-force=tag:http,60,HTTPClient
#dhcp-boot=tag:http,http://192.168.0.1/sluice.efi
"""


def grub_config(options, cmdline, initrd):
    lines = ["serial --unit=0 --speed=115200", "terminal_output serial console", "set timeout=1"]
    lines += ['menuentry "Sluice" {', f"    multiboot2 /sluice.elf {run.quote(options)}"]
    lines.append(f"    module2 --nounzip /guest/kernel {run.quote(cmdline)}")
    if initrd:
        lines.append("    module2 --nounzip /guest/initrd")
    return "\n".join([*lines, "}"]) + "\n"


def ipxe_script(initrd):
    lines = ["#!ipxe", "# What is fetched as initrd lies beside sluice.efi as a file of that name."]
    lines += ["kernel sluice.efi config=ipxe.cfg", "initrd ipxe.cfg", "initrd --name kernel guest/kernel"]
    if initrd:
        lines.append("initrd --name initrd guest/initrd")
    return "\n".join([*lines, "boot"]) + "\n"


def sluice_config(options, cmdline, initrd, folder):
    lines = ["# Read by sluice.efi from beside itself.", f"options {options}"]
    lines.append(f"kernel {folder}kernel {cmdline}")
    if initrd:
        lines.append(f"initrd {folder}initrd")
    return "\n".join(lines) + "\n"


def make_tree(args, tree):
    """Fills `tree`; says what is in it."""
    kernel, initrd, cmdline = args.guest, args.initrd, args.cmdline or ""
    if not kernel:
        kernel, initrd = run.debian_guest(args)
        cmdline = args.cmdline or run.LINUX_CMDLINE
    (tree / "guest").mkdir(parents=True, exist_ok=True)
    for name in "sluice.efi", "sluice.elf":
        shutil.copy(args.build / name, tree / name)
    shutil.copy(kernel, tree / "guest" / "kernel")
    if initrd:
        shutil.copy(initrd, tree / "guest" / "initrd")
    for name, text in [
        ("sluice.cfg", sluice_config(args.options, cmdline, initrd, "guest/")),
        ("ipxe.cfg", sluice_config(args.options, cmdline, initrd, "")),
        ("boot.ipxe", ipxe_script(initrd)),
        ("dnsmasq.conf", DNSMASQ),
    ]:
        (tree / name).write_text(text, encoding="utf-8")

    environment = {**os.environ, "KERNEL": str(kernel), "INITRD": str(initrd or ""), "CMDLINE": cmdline}
    environment["OPTIONS"] = args.options
    command = [sys.executable, run.TOOLS / "uki.py", tree / "sluice.efi", tree / "guest.efi"]
    subprocess.run(command, check=True, env=environment)
    command = ["grub-mknetdir", f"--net-directory={tree}", "--subdir=grub"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"pxe: grub-mknetdir failed:\n{done.stderr}")
    (tree / "grub" / "grub.cfg").write_text(grub_config(args.options, cmdline, initrd), encoding="utf-8")


def machine(args, tree, boot):
    """QEMU's command line: a machine with nothing but a network card."""
    command = ["qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max", "-m", "1G", "-nodefaults"]
    command += ["-display", "none", "-no-reboot", "-serial", "stdio", "-device", "intel-iommu,caching-mode=on"]
    if args.firmware == "ovmf":
        shutil.copy(run.OVMF_VARS, args.work / "vars.fd")
        command += ["-drive", f"if=pflash,format=raw,readonly=on,file={run.OVMF_CODE}"]
        command += ["-drive", f"if=pflash,format=raw,file={args.work / 'vars.fd'}"]
    # iPXE scripts take iPXE, which lies in the card's ROM; OVMF brings a stack of its own.
    rom = "" if boot.endswith(".ipxe") or args.firmware == "seabios" else ",romfile="
    command += ["-netdev", f"user,id=net0,tftp={tree},bootfile={boot}"]
    return command + ["-device", f"virtio-net-pci,netdev=net0,bootindex=0{rom}"]


def main():
    command = sys.argv[1:]
    del sys.argv[1:]
    args = run.arguments()
    if len(command) == 2 and command[0] == "tree":
        make_tree(args, Path(command[1]))
        print(f"pxe: {command[1]} is ready; dnsmasq.conf in it says how to serve it")
        return 0
    if command != ["run"]:
        sys.exit("usage: pxe.py tree DIR | pxe.py run")
    args.work.mkdir(parents=True, exist_ok=True)
    tree = args.work / "pxe"
    shutil.rmtree(tree, ignore_errors=True)
    make_tree(args, tree)
    first = "grub/i386-pc/core.0" if args.firmware == "seabios" else "sluice.efi"
    boot = os.environ.get("BOOT") or first
    run.say(f"starting a machine that boots {boot} from the network")
    return 0 if run.run_machine(args, machine(args, tree.resolve(), boot)) else 1


if __name__ == "__main__":
    sys.exit(main())
