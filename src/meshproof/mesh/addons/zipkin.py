"""Zipkin: it holds a whole trace of each of our requests, through every app.

Source: Zipkin's API v2 (/api/v2/traces, annotationQuery) and Istio's page on trace propagation.
"""

from __future__ import annotations

import os
from typing import Any

from meshproof.base import timeouts
from meshproof.mesh.addons import (
    AddonEvidence,
    ClusterLookup,
    ClusterView,
    MeshView,
    find_jar,
    find_program,
    get_json,
    wait_answering,
    wait_listening,
)
from meshproof.mesh.envoy.listeners import RUN_TAG
from meshproof.mesh.process.processes import Workspace

HOW_TO_GET = (
    "Get its jar with `mvn dependency:copy -Dartifact=io.zipkin:zipkin-server:3.5.1:jar:exec "
    "-DoutputDirectory=DIR` and name it with --mesh-addon zipkin=DIR/zipkin-server-3.5.1-exec.jar "
    "or $ZIPKIN_JAR (it needs Java 17)"
)
CLUSTER_LOOKUP = ClusterLookup(
    ("zipkin", "zipkin-query"),
    (9411, "http-query"),
    "kubectl apply -f samples/addons/extras/zipkin.yaml",
    excluded_selectors=(
        "jaeger",
    ),  # samples/addons/jaeger.yaml has a Service `zipkin` that takes spans only
    needs_spans=True,
)
#: The services of a whole trace: one visit to the productpage passes them all.
SERVICES = frozenset({"istio-ingressgateway", "productpage-v1", "details-v1", "reviews"})
#: The same in a cluster. Its gateway is shared, so it may send no spans of a run.
SERVICES_INSIDE = frozenset({"productpage", "details", "reviews"})


def find_command(path: str | None) -> list[str] | None:
    """Return the command that starts Zipkin, or None."""
    program_path = path or os.environ.get("ZIPKIN_JAR")
    if not program_path:
        return find_program(None, "zipkin", "zipkin-server")
    return find_jar(program_path) if program_path.endswith(".jar") else find_program(program_path)


class Addon:
    """A Zipkin of this run, with its storage in memory."""

    evidence_timeout = timeouts.TELEMETRY

    def __init__(self, workspace: Workspace, mesh: MeshView, command: list[str]) -> None:
        self.url = ""
        self.span_port = 0
        self._process = workspace.start(
            "zipkin",
            [
                *command,
                "--armeria.ports[0].ip=127.0.0.1",
                "--armeria.ports[0].port=0",
                "--armeria.ports[0].protocols[0]=http",
            ],
        )

    def wait_ready(self, seconds: float) -> None:
        """Wait until Zipkin answers."""
        if not self.url:
            self.span_port = wait_listening(self._process, seconds)[0]
            self.url = f"http://127.0.0.1:{self.span_port}"
        wait_answering(self._process, lambda: get_json(f"{self.url}/api/v2/services"), seconds)

    def read_baseline(self) -> int:
        """Return 0: each check has its own tag."""
        return 0

    def read_evidence(self, tag: str) -> AddonEvidence:
        """Return how many whole traces have our tag: from the ingress through every app."""
        return count_whole_traces(_read_tagged_traces(self.url, tag), SERVICES)


class ClusterAddon:
    """A Zipkin of a cluster, to which the sidecars of the run send their spans."""

    evidence_timeout = timeouts.TRACED

    def __init__(self, url: str, view: ClusterView) -> None:
        self.url = url

    def require_answer(self) -> None:
        """Raise NotReady unless Zipkin answers."""
        get_json(f"{self.url}/api/v2/services")

    def read_baseline(self) -> int:
        """Return 0: each check has its own tag."""
        return 0

    def read_evidence(self, tag: str) -> AddonEvidence:
        """Return how many whole traces have our tag: from the productpage through every app."""
        return count_whole_traces(_read_tagged_traces(self.url, tag), SERVICES_INSIDE)


def _read_tagged_traces(url: str, tag: str) -> list[set[str]]:
    """Return, for each trace with the tag, the services that sent its spans."""
    query = f"{RUN_TAG}={tag}"
    traces = get_json(f"{url}/api/v2/traces", annotationQuery=query, limit="1000")
    return [_read_services(trace) for trace in traces]


def _read_services(trace: list[dict[str, Any]]) -> set[str]:
    """Return the services that sent spans of a trace."""
    return {span.get("localEndpoint", {}).get("serviceName", "") for span in trace}


def count_whole_traces(traces: list[set[str]], prefixes: frozenset[str]) -> AddonEvidence:
    """Return how many traces, each a set of service names, pass every app of a visit.

    A whole trace has a service name for each of `prefixes` that begins with it.
    """

    def find_missing(services: set[str]) -> set[str]:
        """Return the prefixes without a service."""
        return {
            prefix
            for prefix in prefixes
            if not any(service.startswith(prefix) for service in services)
        }

    broken = [find_missing(services) for services in traces if find_missing(services)]
    description = (
        f"{len(traces)} traces have our tag, {len(traces) - len(broken)} of them are whole"
    )
    if broken:
        description += f"; spans are missing from: {', '.join(sorted(broken[0]))}"
    return AddonEvidence(len(traces) - len(broken), description)
