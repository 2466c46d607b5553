"""Zipkin: must hold a whole trace of each of our requests, through every app.

Source: Zipkin's API v2 (/api/v2/traces, annotationQuery) and Istio's page on trace propagation.
"""

from __future__ import annotations

import os
from typing import Any

from meshproof.base import timeouts
from meshproof.mesh.addons import (
    AddonEvidence,
    ClusterView,
    InCluster,
    MeshView,
    get_json,
    jar,
    listening,
    program,
    wait_answering,
)
from meshproof.mesh.envoy.listeners import RUN_TAG
from meshproof.mesh.process.processes import Workspace

HOW_TO_GET = (
    "Get its jar with `mvn dependency:copy -Dartifact=io.zipkin:zipkin-server:3.5.1:jar:exec "
    "-DoutputDirectory=DIR` and name it with --mesh-addon zipkin=DIR/zipkin-server-3.5.1-exec.jar "
    "or $ZIPKIN_JAR (it needs Java 17)"
)
IN_CLUSTER = InCluster(
    ("zipkin", "zipkin-query"),
    (9411, "http-query"),
    "kubectl apply -f samples/addons/extras/zipkin.yaml",
    not_of=("jaeger",),  # samples/addons/jaeger.yaml has a Service `zipkin` that takes spans only
    traces=True,
)
#: Who must have sent a span for a trace to be whole: one visit to the productpage passes them all.
SERVICES = frozenset({"istio-ingressgateway", "productpage-v1", "details-v1", "reviews"})
#: The same in a cluster: its gateway belongs to all, so it may send no spans of a run.
SERVICES_INSIDE = frozenset({"productpage", "details", "reviews"})


def find(given: str | None) -> list[str] | None:
    """Return the command that starts Zipkin, or None."""
    place = given or os.environ.get("ZIPKIN_JAR")
    if not place:
        return program(None, "zipkin", "zipkin-server")
    return jar(place) if place.endswith(".jar") else program(place)


class Addon:
    """A Zipkin of this run, with its storage in memory."""

    patience = timeouts.TELEMETRY

    def __init__(self, workspace: Workspace, mesh: MeshView, command: list[str]) -> None:
        self.url = ""
        self._mesh = mesh
        self._process = workspace.start(
            "zipkin",
            [
                *command,
                "--armeria.ports[0].ip=127.0.0.1",
                "--armeria.ports[0].port=0",
                "--armeria.ports[0].protocols[0]=http",
            ],
        )

    def wait_ready(self) -> None:
        """Wait until Zipkin answers, then have the spans sent there."""
        if self.url:
            return
        port = listening(self._process)[0]
        url = f"http://127.0.0.1:{port}"
        wait_answering(self._process, lambda: get_json(f"{url}/api/v2/services"))
        self._mesh.trace_to(port)
        self.url = url

    def before(self) -> int:
        """Return 0: each check has a tag of its own."""
        return 0

    def seen(self, tag: str) -> AddonEvidence:
        """Return how many whole traces have our tag: from the ingress through every app."""
        return whole_traces(_tagged(self.url, tag), SERVICES)


class Remote:
    """A Zipkin of a cluster, to which the sidecars of the run send their spans."""

    patience = timeouts.TRACED

    def __init__(self, url: str, view: ClusterView) -> None:
        self.url = url

    def answers(self) -> None:
        """Raise NotReady unless Zipkin answers."""
        get_json(f"{self.url}/api/v2/services")

    def before(self) -> int:
        """Return 0: each check has a tag of its own."""
        return 0

    def seen(self, tag: str) -> AddonEvidence:
        """Return how many whole traces have our tag: from the productpage through every app."""
        return whole_traces(_tagged(self.url, tag), SERVICES_INSIDE)


def _tagged(url: str, tag: str) -> list[set[str]]:
    """Return, for each trace with the tag, the services that have sent spans of it."""
    query = f"{RUN_TAG}={tag}"
    found = get_json(f"{url}/api/v2/traces", annotationQuery=query, limit="1000")
    return [_services(trace) for trace in found]


def _services(trace: list[dict[str, Any]]) -> set[str]:
    return {span.get("localEndpoint", {}).get("serviceName", "") for span in trace}


def whole_traces(traces: list[set[str]], visit: frozenset[str]) -> AddonEvidence:
    """Return how many of the traces, each a set of service names, pass every app of a visit.

    `visit` are the beginnings of the names that a whole trace has.
    """

    def lacking(services: set[str]) -> set[str]:
        return {
            wanted
            for wanted in visit
            if not any(service.startswith(wanted) for service in services)
        }

    broken = [lacking(services) for services in traces if lacking(services)]
    words = f"{len(traces)} traces have our tag, {len(traces) - len(broken)} of them are whole"
    if broken:
        words += f"; spans are missing from: {', '.join(sorted(broken[0]))}"
    return AddonEvidence(len(traces) - len(broken), words)
