"""Faults in addons that are up and look well: they hold nothing of our traffic."""

from __future__ import annotations

import pytest

from meshproof.mesh.addons import prometheus, zipkin
from meshproof.mesh.local.mesh import LocalMesh
from meshproof.plugin.addon_traffic import VISITS
from tests.faults.doctored_apps import replace_build
from tests.faults.planting import fault


@fault(
    "prometheus up but scraping nothing",
    "-k=rotation or prometheus",
    failed={"addon prometheus": r"answers but does not hold our \d+ requests: 0 of 10 proxies"},
    needs="prometheus",
)
def scrapes_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(prometheus.Addon, "update_targets", lambda addon: None)
    patch.setattr(prometheus.Addon, "evidence_timeout", 3.0)


@fault(
    "prometheus that has lost as many requests as are ours",
    "-k=rotation or v3 or prometheus",
    failed={"addon prometheus": r"answers but does not hold our \d{3,} requests: \d+ of 10"},
    needs="prometheus",
)
def loses_requests(patch: pytest.MonkeyPatch) -> None:
    """Requests of other tests come after ours: they must not make up for the lost ones."""
    query = prometheus.query_number

    def query_less(url: str, expression: str) -> int:
        return query(url, expression) - VISITS * (expression == prometheus.QUERY)

    patch.setattr(prometheus, "query_number", query_less)
    patch.setattr(prometheus.Addon, "evidence_timeout", 5.0)


@fault(
    "tracing up but no spans of ours",
    "-k=rotation or zipkin",
    failed={"addon zipkin": "does not hold our 20 requests: 0 traces have our tag"},
    needs="zipkin",
)
def spans_go_nowhere(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LocalMesh, "send_traces_to", lambda mesh, port: None)
    patch.setattr(zipkin.Addon, "evidence_timeout", 3.0)


@fault(
    "an app that does not pass on the trace headers",
    "-k=rotation or zipkin",
    failed={
        "addon zipkin": r"\d+ traces have our tag, 0 of them are whole; spans are missing from"
    },
    needs="zipkin",
)
def trace_lost(patch: pytest.MonkeyPatch) -> None:
    replace_build(patch, "istio/examples-bookinfo-productpage-v1", "productpage-without-trace")
    patch.setattr(zipkin.Addon, "evidence_timeout", 6.0)
