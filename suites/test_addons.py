"""The addons are reachable and hold our own tagged traffic, not just an open port."""

from __future__ import annotations

import pytest

from meshproof.base.errors import Inconclusive
from meshproof.fixtures.visit import Visitor
from meshproof.mesh.addons import Addon, names, wait_for_traffic
from meshproof.traffic.failure_analysis import describe_response
from meshproof.traffic.http import RUN_HEADER

pytestmark = pytest.mark.promise(
    6, "addon {addon}", "{addon} is reachable and holds our own traffic"
)

VISITS = 20


@pytest.mark.parametrize("addon", names(), indirect=True)
def test_addon_holds_our_traffic(addon: Addon, visit: Visitor, tag: str) -> None:
    before = addon.before()
    visits = visit("/productpage", {RUN_HEADER: tag}).take(VISITS)
    assert len(visits) == VISITS
    lost = [one for one in visits if one.status != 200]
    if lost:
        raise Inconclusive(
            f"{len(lost)} of {VISITS} visits got {describe_response(lost[0])}: "
            f"{addon.url} cannot be expected to hold them"
        )
    seen = wait_for_traffic(addon, tag, before + VISITS)
    assert seen.count >= before + VISITS, (
        f"{addon.url} answers but does not hold our {VISITS} requests: {seen.words}"
    )
