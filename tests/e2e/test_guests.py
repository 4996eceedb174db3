# SPDX-License-Identifier: Apache-2.0
"""The other test guests: containment, polling, queue errors, the CPU, start-up IPIs, the cost of a flush."""

import re

import pytest

from tests.e2e import harness

BOTH = ["bare", "sluice"]
IQT = 0x88
# Only the marks: some runs push so many descriptors that tracing them takes longer than running them.
QUIET = "fw_cfg_select\n"


@pytest.mark.parametrize("firmware", ["seabios", "ovmf"])
def test_contained(boot, firmware):
    result = boot("sluice", "contain", firmware=firmware, devices=harness.EDU + harness.FAST_CLOCK, timeout=120)
    result.assert_passed()
    sid = int(result.facts("edu-sid")[0], 16)
    base, size = (int(n, 16) for n in re.search(r"^I: hypervisor (\S+) (\S+)", result.guest, re.M).groups())
    assert size
    ways = ("off/", "leaf/", "superpage/", "pass/", "pointer/")
    tried = [p for p in result.parts if p.name.startswith(ways) and p.name != "superpage/ram"]
    assert len(tried) >= 30
    for part in tried:
        # The unit itself says that it stopped the device, in every way that was tried.
        assert part.faults(sid), f"{part.name}: no fault"
    hpet, ioapic, unit = (0xFED00000, 0xFED00400), (0xFEC00000, 0xFEC01000), (0xFED90000, 0xFED91000)
    forbidden = [(base, base + size), hpet, ioapic, unit]
    for part in result.parts:
        for t in part.translations(sid):
            assert not any(low <= t.address < high for low, high in forbidden), f"{part.name}: {t}"


def test_bare_machine_does_not_contain(boot):
    """The same probes find something where nobody forbids it."""
    result = boot("bare", "contain", devices=harness.EDU + harness.FAST_CLOCK, timeout=120)
    result.assert_passed()
    assert len(result.facts("reached")) >= 10


@pytest.mark.parametrize("where,options", [("bare", ""), ("sluice", ""), ("sluice", "wait=0")])
def test_polling(boot, where, options):
    """wait=0: Sluice never waits in the exit, so every completion has to come by the unit's own event."""
    result = boot(where, "poll", options=options)
    result.assert_passed()
    events = [e for p in result.parts for e in p.events if getattr(e, "name", "") == "vtd_irq_generate"]
    assert len(events) > 500 if options else not events


@pytest.mark.parametrize("where", BOTH)
@pytest.mark.parametrize("unit", ["caching-mode=on", "device-iotlb=on"])
def test_queue(boot, where, unit):
    boot(where, "queue", iommu=unit, events=QUIET, timeout=120).assert_passed()


@pytest.mark.parametrize("where,cpu", [("bare", "max"), ("sluice", "max"), ("sluice", "EPYC")])
def test_cpu(boot, where, cpu):
    boot(where, "cpu", cpu=cpu, events=QUIET).assert_passed()


@pytest.mark.parametrize("where,smp", [("bare", 2), ("sluice", 2), ("sluice", 4)])
def test_processors(boot, where, smp):
    """Started, interrupted, stopped and started again; and all at the unit and at configuration space at once."""
    result = boot(where, "smp", f"cpus={smp}", smp=smp, events=QUIET, timeout=120)
    result.assert_passed()
    if where == "sluice":
        # No wait was lost and none was done twice, whichever processor's tail write came first.
        waits = re.search(r"count unit=0 kind=wait guest=(\d+)", result.serial)
        assert waits and waits[1] == result.facts("waits")[0], result.describe()
        assert f"CPUs         {smp}," in result.serial


def test_dead_processor_takes_all_along(boot):
    """A triple fault of one: the others, which print without an end, are silent from the report on."""
    silence = {"options": "on-shutdown=halt", "until": r"halted, as[^\n]*\n(.*\n){3}", "timeout": 20}
    result = boot("sluice", "smp", "cpus=3 die", smp=3, events=QUIET, **silence)
    assert "the guest is dead (triple fault)" in result.serial, result.describe()
    assert result.timed_out and "I: alive" in result.serial.split("the guest is dead")[0], result.describe()
    assert "alive" not in result.serial.split("halted, as")[1], result.describe()


@pytest.mark.parametrize("guest,cmdline", [("edu", "case=queue"), ("poll", "")])
def test_ovmf(boot, guest, cmdline):
    boot("sluice", guest, cmdline, firmware="ovmf", devices=harness.EDU, timeout=120).assert_passed()


def test_cost(boot, record_property):
    """Instructions until the guest goes on, wait included. They repeat exactly, so that bounds can be tight."""
    result = boot(
        "sluice",
        "cost",
        iommu="caching-mode=on,device-iotlb=on",
        devices=[*harness.MANY_FUNCTIONS, "-icount", "shift=0,sleep=off"],
        events=QUIET,
        timeout=120,
    )
    result.assert_passed()
    found = re.findall(r"^I: cost (\S+)/(\d+) (\d+)(?: ring (\d+))?", result.guest, re.M)
    cost = {(name, int(n)): int(ring or ticks) for name, n, ticks, ring in found}
    for (name, n), ticks in cost.items():
        record_property(f"cost {name}/{n}", ticks)
        print(f"{name + '/' + str(n):32} {ticks:8,}")
    # What is around does not count: neither mapped pages nor domains that nobody flushes.
    for name in ("mapped", "mapped-change", "domains", "domains-change"):
        assert len({ticks for (other, _), ticks in cost.items() if other == name}) == 1, name
    # A little above what was measured: more than that is an accident.
    assert cost["vmmcall", 1] <= 400
    assert cost["flush", 1] <= 685
    assert cost["ats-flush", 1] <= 745
    assert cost["ats-change-and-flush", 1] <= 860
    assert cost["ats-flush", 200] - cost["ats-flush", 8] <= 192 * 45
    assert cost["ats-change-and-flush", 200] - cost["ats-change-and-flush", 8] <= 192 * 120
    assert cost["functions", 64] - cost["functions", 2] <= 62 * 60


# The real unit in all the shapes that the emulator has, and what the guest may see of it.
UNITS = [
    "",
    "caching-mode=on",
    "aw-bits=39",
    "pt=off",
    "snoop-control=on",
    "device-iotlb=on",
    "intremap=on,eim=on",
    "device-iotlb=on,x-scalable-mode=on",
]


@pytest.mark.parametrize("where,unit", [("bare", "device-iotlb=on"), *[("sluice", unit) for unit in UNITS]])
def test_what_the_unit_announces(boot, where, unit):
    result = boot(where, "unit", iommu=unit)
    result.assert_passed()
    assert bool(int(result.facts("ecap")[0], 16) & 4) == ("device-iotlb" in unit)


@pytest.mark.parametrize("unit", UNITS)
def test_dma_on_every_unit(boot, unit):
    boot("sluice", "edu", "case=queue", iommu=unit, devices=harness.EDU + harness.FAST_CLOCK).assert_passed()


@pytest.mark.parametrize("where", BOTH)
def test_platform(boot, where):
    boot(where, "platform", devices=harness.EDU, events=QUIET).assert_passed()
