# SPDX-License-Identifier: Apache-2.0
"""Invalidation descriptors (6.5.2 of the VT-d specification) as people read them, and what they cover."""

from dataclasses import dataclass

# By the number in the descriptor itself: bits 11:9 and 3:0 of its first word.
KINDS = {
    **{1: "context", 2: "iotlb", 3: "device", 4: "interrupt", 5: "wait"},
    **{6: "piotlb", 7: "pasid", 8: "pdevice", 9: "page-response"},
}
GRANULARITY = {1: "global", 2: "domain", 3: "page"}
WHOLE = 64


@dataclass
class Descriptor:
    """One descriptor, as the guest wrote it or the unit accepted it."""

    kind: str  # one of KINDS, or other
    lo: int
    hi: int

    @classmethod
    def of(cls, hi, lo):
        return cls(KINDS.get((lo & 0xF) | (lo >> 9 & 7) << 4, "other"), lo, hi)

    @property
    def granularity(self):
        if self.kind == "context" and self.lo >> 4 & 3 == 3:
            return "device"
        return GRANULARITY.get(self.lo >> 4 & 3, "?")

    @property
    def domain(self):
        return self.lo >> 16 & 0xFFFF

    @property
    def sid(self):
        return self.lo >> 32 & 0xFFFF

    @property
    def order(self):
        """log2 of the 4K pages that are flushed; WHOLE for everything."""
        if self.kind in ("iotlb", "piotlb"):
            return self.hi & 0x3F if self.granularity == "page" else WHOLE
        if self.kind == "device":
            if not self.hi & 1:
                return 0
            pages = self.hi >> 12
            ones = 0
            while pages >> ones & 1:
                ones += 1
            return WHOLE if ones >= 51 else ones + 1
        return WHOLE

    @property
    def first(self):
        return (self.hi >> 12) >> self.order << self.order

    @property
    def end(self):
        """The page behind the last one that is flushed."""
        return self.first + (1 << self.order)

    def __str__(self):
        if self.kind == "wait":
            return f"wait(data={self.lo >> 32:#x} at {self.hi:#x})"
        if self.kind == "device":
            what = "all" if self.order == WHOLE else f"{self.first << 12:#x}+2^{self.order}"
            return f"device(sid={self.sid:#x} {what})"
        if self.kind == "context":
            return f"context({self.granularity} domain={self.domain:#x} sid={self.sid:#x})"
        if self.kind in ("iotlb", "piotlb") and self.granularity == "page":
            return f"{self.kind}(domain={self.domain:#x} {self.first << 12:#x}+2^{self.order})"
        return f"{self.kind}({self.granularity} domain={self.domain:#x})"


def covered(flush, others):
    """Do `others` together flush every page that `flush` does?"""
    if any(d.order == WHOLE for d in others):
        return True
    if flush.order == WHOLE:
        return False
    page = flush.first
    for d in sorted(others, key=lambda d: d.first):
        if d.first <= page:
            page = max(page, d.end)
    return page >= flush.end
