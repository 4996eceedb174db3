# SPDX-License-Identifier: Apache-2.0
"""A device with a TLB of its own, outside of the emulator: a vhost-user backend.

What the trace shows as flushes is felt here: the device keeps every translation that it was given until it is
told to drop it, as an ATS device may. It looks like a network card to the emulator, and never moves a packet:
each notification of its second queue makes it read 64 bytes at one I/O address and put them, behind the
guest's request number and a status, at another. The guest knows both addresses (tests/guests/dtlb.c).
"""

import array
import mmap
import os
import selectors
import socket
import struct
import threading
from dataclasses import dataclass, field

SOURCE = 0x40200000
TARGET = 0x40300000
REQUEST = 0x800  # offset at TARGET
BYTES = 64

FEATURES = 1 << 30 | 1 << 32 | 1 << 33  # protocol features, version 1, access through the platform's IOMMU
PROTOCOL_FEATURES = 1 << 3 | 1 << 5  # replies when asked for, a channel for our own requests

GET_FEATURES, SET_MEM_TABLE, GET_VRING_BASE, SET_VRING_KICK = 1, 5, 11, 12
SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, SET_VRING_CALL = 8, 9, 10, 13
GET_PROTOCOL_FEATURES, SET_BACKEND_REQ_FD, IOTLB_MSG = 15, 21, 22
BACKEND_IOTLB_MSG = 1
VERSION, REPLY, NEED_REPLY = 1, 4, 8
MISS, UPDATE, INVALIDATE = 1, 2, 3
READ, WRITE = 1, 2


@dataclass
class Entry:
    iova: int
    size: int
    address: int  # in the emulator's address space
    permissions: int


@dataclass
class Device:
    """Runs in a thread of its own from start() to stop()."""

    path: str
    misses: int = 0
    updates: int = 0
    invalidations: list = field(default_factory=list)  # (iova, size)
    reads: list = field(default_factory=list)  # what each notification read; None when it was refused
    error: Exception = None
    _tlb: list = field(default_factory=list)
    _regions: list = field(default_factory=list)
    _kicks: dict = field(default_factory=dict)
    _pending: bool = False
    _answer: int = None

    def start(self):
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(1)
        self._stop_read, self._stop_write = os.pipe()
        self._main = self._channel = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def stop(self):
        os.write(self._stop_write, b"x")
        self._thread.join(10)
        if self.error:
            raise self.error

    # ---- the loop

    def _run(self):
        try:
            with selectors.DefaultSelector() as self._ready:
                self._ready.register(self._stop_read, selectors.EVENT_READ, None)
                self._ready.register(self._listener, selectors.EVENT_READ, self._accept)
                while self._turn():
                    while self._pending:
                        self._pending = False
                        self._copy()
        except (ConnectionError, EOFError):
            pass  # the emulator has ended
        except Exception as e:  # pylint: disable=broad-except
            self.error = e
        finally:
            for s in (self._main, self._channel, self._listener):
                if s:
                    s.close()

    def _turn(self):
        # One event a turn: its handler may take further turns, after which the rest of the list is stale.
        key, _ = self._ready.select()[0]
        if key.data is None:
            return False
        key.data()
        return True

    def _accept(self):
        self._main, _ = self._listener.accept()
        self._ready.register(self._main, selectors.EVENT_READ, self._message)

    @staticmethod
    def _receive(s):
        fds = array.array("i")
        data, control, _, _ = s.recvmsg(12, socket.CMSG_LEN(8 * fds.itemsize))
        if not data:
            raise EOFError
        for level, kind, payload in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
        request, flags, size = struct.unpack("<III", data)
        body = b""
        while len(body) < size:
            more = s.recv(size - len(body))
            if not more:
                raise EOFError
            body += more
        return request, flags, body, list(fds)

    def _message(self):
        request, flags, body, fds = self._receive(self._main)
        reply = None
        if request == GET_FEATURES:
            reply = struct.pack("<Q", FEATURES)
        elif request == GET_PROTOCOL_FEATURES:
            reply = struct.pack("<Q", PROTOCOL_FEATURES)
        elif request == SET_MEM_TABLE:
            self._memory(body, fds)
            fds = []
        elif request == GET_VRING_BASE:
            index, _ = struct.unpack("<II", body)
            self._drop_kick(index)
            reply = struct.pack("<II", index, self._position(index))
        elif request == SET_VRING_KICK:
            index = struct.unpack("<Q", body)[0] & 0xFF
            self._drop_kick(index)
            if fds:
                self._kicks[index] = fds[0]
                self._ready.register(fds[0], selectors.EVENT_READ, lambda: self._kick(index))
                fds = fds[1:]
        elif request == SET_BACKEND_REQ_FD:
            self._channel = socket.socket(fileno=fds[0])
            self._ready.register(self._channel, selectors.EVENT_READ, self._channel_message)
            fds = fds[1:]
        elif request == IOTLB_MSG:
            self._iotlb(body)
        else:
            fds = self._ring_message(request, body, fds)
        for fd in fds:
            os.close(fd)
        if reply is None and flags & NEED_REPLY:
            reply = struct.pack("<Q", 0)
        if reply is not None:
            self._main.sendall(struct.pack("<III", request, VERSION | REPLY, len(reply)) + reply)

    def _ring_message(self, _request, _body, fds):
        """What the guest's rings are; of no interest to this device. Returns the descriptors it does not keep."""
        return fds

    def _position(self, _index):
        return 0

    def _channel_message(self):
        _, _, body, _ = self._receive(self._channel)
        self._answer = struct.unpack("<Q", body)[0]

    def _drop_kick(self, index):
        fd = self._kicks.pop(index, None)
        if fd is not None:
            self._ready.unregister(fd)
            os.close(fd)

    # ---- memory

    def _memory(self, body, fds):
        for _, _, mapping in self._regions:
            mapping.close()
        self._regions = []
        count = struct.unpack_from("<I", body)[0]
        for i in range(count):
            _, size, address, offset = struct.unpack_from("<QQQQ", body, 8 + 32 * i)
            mapping = mmap.mmap(fds[i], size + offset)
            os.close(fds[i])
            self._regions.append((address, size, (mapping, offset)))
        self._regions = [(a, s, _Window(m, o)) for a, s, (m, o) in self._regions]

    def _iotlb(self, body):
        iova, size, address, permissions, kind = struct.unpack_from("<QQQBB", body)
        if kind == UPDATE:
            self.updates += 1
            self._tlb = [e for e in self._tlb if e.iova + e.size <= iova or iova + size <= e.iova]
            self._tlb.append(Entry(iova, size, address, permissions))
        elif kind == INVALIDATE:
            self.invalidations.append((iova, size))
            self._tlb = [e for e in self._tlb if e.iova + e.size <= iova or iova + size <= e.iova]

    def _find(self, iova, permissions):
        for e in self._tlb:
            if e.iova <= iova < e.iova + e.size and e.permissions & permissions == permissions:
                return e.address + iova - e.iova
        return None

    def _translate(self, iova, permissions):
        """The device's own TLB first; else it asks, and keeps what it is told. None: refused."""
        address = self._find(iova, permissions)
        while address is None:
            before = len(self.invalidations)
            address = self._ask(iova, permissions)
            if len(self.invalidations) == before:
                break  # otherwise it may have been dropped before it was looked at
        return address

    def _ask(self, iova, permissions):
        self.misses += 1
        self._answer = None
        body = struct.pack("<QQQBB6x", iova, 0, 0, permissions, MISS)
        flags = VERSION | NEED_REPLY
        self._channel.sendall(struct.pack("<III", BACKEND_IOTLB_MSG, flags, len(body)) + body)
        # The translation comes on one socket, the word that it was sent on the other.
        while self._answer is None and self._find(iova, permissions) is None:
            if not self._turn():
                raise EOFError
        while self._answer is None:
            if not self._turn():
                raise EOFError
        return self._find(iova, permissions)

    def _at(self, address):
        for base, size, window in self._regions:
            if base <= address < base + size:
                return window, address - base
        raise ValueError(f"no memory at {address:#x}")

    def _kick(self, index):
        os.read(self._kicks[index], 8)
        # Done by the loop: a turn may be taken in the middle of a copy, and a copy in a copy would be wrong.
        self._pending |= index == 1

    def _copy(self):
        source = self._translate(SOURCE, READ)
        data = None
        if source is not None:
            window, offset = self._at(source)
            data = window.read(offset, BYTES)
        self.reads.append(data)
        target = self._translate(TARGET, READ | WRITE)
        if target is not None:
            window, offset = self._at(target)
            # The guest's request number comes back last. Notifications that nobody asked for do no harm.
            request = window.read(offset + REQUEST, 8)
            window.write(offset + 16, data or bytes(BYTES))
            window.write(offset + 8, struct.pack("<Q", data is not None))
            window.write(offset, request)


class _Window:
    """A memory region of the guest."""

    def __init__(self, mapping, offset):
        self._mapping, self._offset = mapping, offset

    def read(self, at, size):
        at += self._offset
        return self._mapping[at : at + size]

    def write(self, at, data):
        at += self._offset
        self._mapping[at : at + len(data)] = data

    def close(self):
        self._mapping.close()
