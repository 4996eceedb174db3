# SPDX-License-Identifier: Apache-2.0
"""A guest in legacy mode on a unit that Sluice drives in scalable mode, and interrupt remapping beside it."""

import pytest

from tests.e2e import harness

UNITS = {
    "scalable": "x-scalable-mode=on,device-iotlb=on,caching-mode=on",
    "remapping": "intremap=on,device-iotlb=on",
    "both": "x-scalable-mode=on,intremap=on,eim=on,device-iotlb=on",
}


@pytest.mark.parametrize("unit", UNITS)
def test_edu(boot, unit):
    result = boot("sluice", "edu", iommu=UNITS[unit], devices=harness.EDU + harness.EDU)
    result.assert_passed()
