"""Every addon is reachable and holds our own tagged traffic; an open port is not enough."""

from __future__ import annotations

import pytest

from meshproof.base.errors import Inconclusive
from meshproof.mesh.addons import list_addons
from meshproof.plugin.addon_traffic import VISITS, AddonReport
from meshproof.run.failure import BrokenPromise
from meshproof.traffic.failure_analysis import describe_response

pytestmark = pytest.mark.promise(
    6, "addon {addon}", "{addon} is reachable and holds our own traffic"
)


@pytest.mark.parametrize("addon", list_addons(), indirect=True)
def test_addon_holds_our_traffic(addon: AddonReport) -> None:
    if addon.failures:
        raise Inconclusive(
            f"{addon.url} cannot be expected to hold visits that got no page",
            expected=f"HTTP 200 for each of {VISITS} visits",
            observed=f"{len(addon.failures)} of them got {describe_response(addon.failures[0])}",
        )
    if addon.evidence.count < addon.expected:
        description = addon.evidence.description
        raise BrokenPromise(
            f"{addon.url} answers but does not hold our {addon.expected} requests: {description}",
            expected=f"{addon.expected} requests or more",
            observed=str(addon.evidence.count),
        )
