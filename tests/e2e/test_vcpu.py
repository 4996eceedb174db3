# SPDX-License-Identifier: Apache-2.0
"""One list of checks of the processor itself, on the bare machine, on SVM, and on VMX in Bochs."""

import pytest

from tests.e2e import bochs

QUIET = "fw_cfg_select\n"


def compare(result):
    """What a check is called and what came out, without what only some machines are asked."""
    return {name for name, what in result.checks.items() if what == "ok"}


def test_bare(boot):
    boot("bare", "vcpu", "real pae task", iommu=None, events=QUIET).assert_passed()


# PAE paging inside a nested guest does not come back in QEMU's SVM.
@pytest.mark.parametrize("cpu", ["max", "EPYC"])
def test_svm(boot, cpu):
    boot("sluice", "vcpu", "real task", cpu=cpu, events=QUIET).assert_passed()


@pytest.mark.skipif(bochs.missing() is not None, reason=str(bochs.missing()))
def test_same_on_both(boot, tmp_path):
    """What holds on SVM holds on VMX: the nested accesses above all."""
    svm = boot("sluice", "vcpu", "real task", options="iommu=off", iommu=None, events=QUIET)
    vmx = bochs.sluice(tmp_path, "vcpu", "real pae task")
    svm.assert_passed()
    vmx.assert_passed()
    assert "AMD SVM" in svm.serial and "Intel VMX" in vmx.serial
    missing = compare(svm) - compare(vmx)
    assert not missing, missing
    assert len([name for name in compare(vmx) if name.startswith("hidden: ")]) >= 7


@pytest.mark.skipif(bochs.missing() is not None, reason=str(bochs.missing()))
@pytest.mark.parametrize("guest,at_least", [("cpu", 100), ("escape", 30)])
def test_same_accesses(boot, tmp_path, guest, at_least):
    """Loads, stores, fetches, page walks and event frames in memory that is not the guest's: NPT and EPT let the
    guest see the same."""
    svm = boot("sluice", guest, events=QUIET)
    vmx = bochs.with_unit(tmp_path, guest, "bochs")
    svm.assert_passed()
    vmx.assert_passed()
    missing = {name for name in compare(svm) - compare(vmx) if not name.startswith("walk/apic: ")}
    assert missing <= {"x2apic: off"} and len(compare(vmx)) >= at_least, missing
