"""Faults in addons that are up and look well: they hold nothing of our traffic."""

from __future__ import annotations

import pytest

from meshproof.base import timeouts
from meshproof.mesh.addons import prometheus
from meshproof.mesh.local.mesh import LocalMesh
from tests.faults.doctored_apps import replace_build
from tests.faults.planting import fault


@fault(
    "prometheus up but scraping nothing",
    "-k=rotation or prometheus",
    failed={"addon prometheus": "answers but does not hold our 20 requests: 0 of 10 proxies"},
    needs="prometheus",
)
def scrapes_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(prometheus.Addon, "update_targets", lambda addon: None)
    patch.setattr(timeouts, "TELEMETRY", 3.0)


@fault(
    "tracing up but no spans of ours",
    "-k=rotation or zipkin",
    failed={"addon zipkin": "does not hold our 20 requests: 0 traces have our tag"},
    needs="zipkin",
)
def spans_go_nowhere(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LocalMesh, "send_traces_to", lambda mesh, port: None)
    patch.setattr(timeouts, "TELEMETRY", 3.0)


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
    patch.setattr(timeouts, "TELEMETRY", 6.0)
