# SPDX-License-Identifier: Apache-2.0
"""The reader of the emulator's trace, on lines as the emulator writes them: no emulator needed."""

from tests.e2e import trace
from tests.e2e.test_ats import missing

SID = 0x100


def context(domain=7):
    return trace.Descriptor("context", 0x21 | domain << 16, 0)


def iotlb(address=None, order=0, domain=7):
    if address is None:
        return trace.Descriptor("iotlb", 0xE2 | domain << 16, 0)
    return trace.Descriptor("iotlb", 0xF2 | domain << 16, address | order)


def device(address=None, order=0, sid=SID):
    hi = 0x7FFFFFFFFFFFF001 if address is None else address
    if address is not None and order:
        hi |= (((1 << (order - 1)) - 1) << 12) | 1
    return trace.Descriptor("device", 3 | sid << 32, hi)


WAIT = trace.Descriptor("wait", 0x25, 0x1000)


def part(*descriptors):
    return trace.Part("test", list(descriptors))


def test_lines_become_events():
    text = "\n".join(
        [
            "vtd_inv_desc invalidate desc type iotlb high 0x40200002 low 0x700f2",
            "fw_cfg_select 0x55d44d7bee00 key 0x0019 'file_dir', ret: 1",
            "fw_cfg_select 0x55d44d7bee00 key 0x3001 'unknown', ret: 0",
            "vtd_inv_desc invalidate desc type device high 0x7ffffffffffff001 low 0x10000000003",
            "vtd_dmar_fault sid 0x8 fault 5 addr 0x40201000 write 1",
            "vtd_reg_write addr 0x88 size 0x8 value 0xd0",
            "vtd_dmar_translate dev 01:02.03 iova 0x1000 -> gpa 0x2000 mask 0xfff",
        ]
    )
    before, after = trace.parse(text, {1: "flush"})
    assert before.name == "" and after.name == "flush"
    assert str(before.descriptors()[0]) == "iotlb(domain=0x7 0x40200000+2^2)"
    assert str(after.descriptors("device")[0]) == "device(sid=0x100 all)"
    assert after.faults(8) == [trace.Fault(8, 5, 0x40201000, True)] and not after.faults(9)
    assert after.writes(0x88)[0].value == 0xD0
    assert after.translations(0x113)[0].address == 0x2000


def test_ranges():
    assert [device(0x40000000, n).order for n in range(5)] == list(range(5))
    assert device(0x40000000, 4).first == 0x40000
    assert trace.covered(iotlb(0x40000000, 1), [device(0x40001000), device(0x40000000)])
    assert not trace.covered(iotlb(0x40000000, 1), [device(0x40000000)])
    assert not trace.covered(iotlb(0x40000000, 1), [device(0x40001000)])
    assert trace.covered(iotlb(0x40003000), [device(0x40000000, 2)])
    assert not trace.covered(iotlb(), [device(0x40000000, 20)])
    assert trace.covered(context(), [device()])


def test_what_counts_as_missing():
    assert not missing(part(context(), iotlb(), device(), WAIT), [SID])
    assert not missing(part(iotlb(0x1000), device(0x1000), WAIT, WAIT), [SID])
    assert missing(part(), [SID])
    assert missing(part(iotlb(), WAIT), [SID])
    assert missing(part(iotlb(), WAIT, device(), WAIT), [SID]), "behind the wait is too late"
    assert missing(part(device(), iotlb(), WAIT), [SID]), "before the flush is too early"
    assert missing(part(iotlb(), device(0x1000), WAIT), [SID]), "a page is not a domain"
    assert missing(part(iotlb(0x1000), device(0x2000), WAIT), [SID]), "another page"
    assert missing(part(iotlb(), device(sid=0x200), WAIT), [SID]), "another function"
    assert missing(part(iotlb(), device(), WAIT), [SID, 0x200]), "one of two functions"
    assert missing(part(iotlb(), device()), [SID]), "no wait"
    one = trace.Descriptor("context", 0x31 | SID << 32, 0)
    assert not missing(part(one, device(), WAIT), [SID, 0x200]), "one function only"
    assert missing(part(one, device(sid=0x200), WAIT), [SID, 0x200]), "and not the other"
    assert len(missing(part(context(), iotlb(), WAIT), [SID])) == 2
