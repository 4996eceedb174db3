# SPDX-License-Identifier: Apache-2.0
"""A network card with a device TLB, for an unmodified virtio driver: the judge of what leaves the machine.

Every address that it uses goes through its own TLB, which keeps what it was told until it is told otherwise
(dtlb_device.py). It sends nowhere; it compares each packet with what the guest's program wrote, which is
known here by the packet's number (tools/linux/packets.c).
"""

import os
import struct
import time
from dataclasses import dataclass, field

from tests.e2e.dtlb_device import (
    READ, SET_VRING_ADDR, SET_VRING_BASE, SET_VRING_CALL, SET_VRING_NUM, WRITE, Device,
)

HEADER = 12  # virtio_net_hdr of version 1
ETHERNET = 14
MIN_BYTES = 50  # of packets.c
TRANSMIT = 1  # the second queue
NEXT = 1
NO_INTERRUPT = 1
PAGE = 4096


def payload(number, size):
    """What packets.c writes into packet `number`."""
    return struct.pack("<I", number) + bytes((number * 167 + i * 13 + (number >> 8)) & 0xFF for i in range(4, size))


@dataclass
class Packet:
    time: float  # of day
    number: int
    stale: bool  # these are not the bytes that the guest's program wrote
    whose: int  # but begin like those of that packet; None: of none


@dataclass
class Ring:
    size: int = 0
    descriptors: int = 0  # IO-virtual addresses
    used: int = 0
    available: int = 0
    next: int = 0
    call: int = None


@dataclass
class Card(Device):
    packets: list = field(default_factory=list)
    _rings: dict = field(default_factory=lambda: {0: Ring(), 1: Ring()})

    def _ring_message(self, request, body, fds):
        if request not in (SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, SET_VRING_CALL):
            return fds
        index, value = struct.unpack_from("<II", body)
        ring = self._rings[index & 0xFF]
        if request == SET_VRING_NUM:
            ring.size = value
        elif request == SET_VRING_BASE:
            ring.next = value & 0xFFFF
        elif request == SET_VRING_ADDR:
            ring.descriptors, ring.used, ring.available = struct.unpack_from("<QQQ", body, 8)
        elif fds:
            if ring.call is not None:
                os.close(ring.call)
            ring.call, fds = fds[0], fds[1:]
        return fds

    def _position(self, index):
        return self._rings[index].next

    # ---- memory as a device sees it

    def _pieces(self, iova, size, permissions):
        while size:
            step = min(size, PAGE - iova % PAGE)
            address = self._translate(iova, permissions)
            if address is None:
                raise ValueError(f"the unit refuses {iova:#x}")
            yield *self._at(address), step
            iova, size = iova + step, size - step

    def _load(self, iova, size):
        return b"".join(window.read(at, step) for window, at, step in self._pieces(iova, size, READ))

    def _store(self, iova, data):
        for window, at, step in self._pieces(iova, len(data), READ | WRITE):
            window.write(at, data[:step])
            data = data[step:]

    # ---- the transmit queue

    def _copy(self):
        ring = self._rings[TRANSMIT]
        while ring.next != struct.unpack("<H", self._load(ring.available + 2, 2))[0]:
            slot = ring.next % ring.size
            head = struct.unpack("<H", self._load(ring.available + 4 + 2 * slot, 2))[0]
            self._send(self._gather(ring, head))
            self._store(ring.used + 4 + 8 * slot, struct.pack("<II", head, 0))
            ring.next = (ring.next + 1) & 0xFFFF
            self._store(ring.used + 2, struct.pack("<H", ring.next))
        flags = struct.unpack("<H", self._load(ring.available, 2))[0]
        if ring.call is not None and not flags & NO_INTERRUPT:
            os.write(ring.call, struct.pack("<Q", 1))

    def _gather(self, ring, index):
        data, flags = b"", NEXT
        for _ in range(ring.size):
            if not flags & NEXT:
                break
            address, size, flags, following = struct.unpack(
                "<QIHH", self._load(ring.descriptors + 16 * index, 16)
            )
            data += self._load(address, size)
            index = following
        return data

    def _send(self, data):
        number = len(self.packets)
        body = data[HEADER + ETHERNET :]
        self.packets.append(Packet(time.time(), number, body != payload(number, len(body)), self._whose(body)))

    def _whose(self, body):
        """The packet that the first bytes are of; None when they are of none that was sent so far."""
        number = struct.unpack_from("<I", body)[0]
        known = number <= len(self.packets) and body[:MIN_BYTES] == payload(number, MIN_BYTES)
        return number if known else None
