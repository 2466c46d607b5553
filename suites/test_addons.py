"""Every addon is reachable and holds our own tagged traffic; an open port is not enough."""

from __future__ import annotations

import pytest

from meshproof.base.errors import Inconclusive
from meshproof.base.names import RUN_HEADER
from meshproof.fixtures.visit import Visitor
from meshproof.mesh.addons import Addon, list_addons, wait_for_traffic
from meshproof.run.failure import BrokenPromise
from meshproof.traffic.failure_analysis import describe_response

pytestmark = pytest.mark.promise(
    6, "addon {addon}", "{addon} is reachable and holds our own traffic"
)

VISITS = 20


@pytest.mark.parametrize("addon", list_addons(), indirect=True)
def test_addon_holds_our_traffic(addon: Addon, visit: Visitor, tag: str) -> None:
    count_before = addon.read_baseline()
    visits = visit("/productpage", {RUN_HEADER: tag}).take(VISITS)
    failures = [response for response in visits if response.status != 200]
    if failures:
        raise Inconclusive(
            f"{addon.url} cannot be expected to hold visits that got no page",
            expected=f"HTTP 200 for each of {VISITS} visits",
            observed=f"{len(failures)} of them got {describe_response(failures[0])}",
        )
    traffic = wait_for_traffic(addon, tag, count_before + VISITS)
    if traffic.count < count_before + VISITS:
        raise BrokenPromise(
            f"{addon.url} answers but does not hold our {VISITS} requests: {traffic.description}",
            expected=f"{count_before + VISITS} requests or more",
            observed=str(traffic.count),
        )
