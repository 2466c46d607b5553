"""`istioctl analyze` is run where it may read what it reads; elsewhere that is said by name."""

from __future__ import annotations

from typing import Any

import pytest

from meshproof.mesh.cluster.istio.control_plane import ControlPlane
from meshproof.mesh.protocol import Aspect


class User:
    """A user of a cluster, without some rights."""

    def __init__(self, *missing_rights: str) -> None:
        self._lacking = missing_rights

    def has_right(self, verb: str, group: str, resource: str) -> bool:
        return resource not in self._lacking


class Analyzer:
    """An istioctl that finds an error in each namespace, and nothing where it may not look."""

    path = "istioctl"

    def analyze(self, namespace: str) -> list[dict[str, str]]:
        return [{"code": "IST0101", "level": "Error", "origin": "cart", "message": namespace}]


def inspect_analysis(*missing_rights: str) -> Any:
    parts: Any = (User(*missing_rights), None, Analyzer(), ["shop"], "")
    return ControlPlane(*parts).inspect(Aspect.ANALYSIS)


def test_it_is_run_with_the_rights_that_it_needs() -> None:
    report = inspect_analysis()
    assert report.faults == ("IST0101 cart: shop",)
    assert report.lack is None


@pytest.mark.parametrize("resource", ["secrets", "configmaps", "pods"])
def test_a_right_that_it_lacks_is_named_and_no_pass(resource: str) -> None:
    report = inspect_analysis(resource)
    assert (report.inspected, report.faults) == (0, ())
    assert report.lack is not None
    assert "no right to list Secrets" in report.lack.reason
