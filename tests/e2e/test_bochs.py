# SPDX-License-Identifier: Apache-2.0
"""The same image on VMX: Bochs has a processor with it, but no VT-d unit, so the guest runs unprotected."""

import pytest

from tests.e2e import bochs

pytestmark = pytest.mark.skipif(bochs.missing() is not None, reason=str(bochs.missing()))

VCPU = "real pae task"


def test_vcpu(tmp_path):
    result = bochs.sluice(tmp_path, "vcpu", VCPU)
    result.assert_passed()
    assert "Intel VMX" in result.serial
    # What is given up is said.
    assert "UNSAFE       iommu=off" in result.serial


def test_no_unit_is_refused(tmp_path):
    result = bochs.sluice(tmp_path, "vcpu", options="", until=r"cannot start: [^\n]*\n")
    assert "no VT-d" in result.serial and "iommu=off" in result.serial, result.describe()


def test_cpu_without_unrestricted_guest(tmp_path):
    """A processor from before Westmere: what it lacks is named."""
    result = bochs.sluice(tmp_path, "vcpu", cpu="core2_penryn_t9600", until=r"cannot start: [^\n]*\n")
    assert "this CPU's VMX lacks" in result.serial, result.describe()
