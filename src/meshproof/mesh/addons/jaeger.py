"""Jaeger: as Zipkin, but with Jaeger's own API; it accepts spans in Zipkin's format.

Source: Jaeger 1 docs, "APIs" (/api/traces) and "CLI flags" of all-in-one.
"""

from __future__ import annotations

import json
import socket
from typing import Any

from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.mesh.addons import (
    AddonEvidence,
    ClusterLookup,
    ClusterView,
    MeshView,
    find_program,
    get_json,
    wait_answering,
)
from meshproof.mesh.addons.zipkin import SERVICES, SERVICES_INSIDE, count_whole_traces
from meshproof.mesh.envoy.listeners import RUN_TAG
from meshproof.mesh.process.processes import Workspace

HOW_TO_GET = (
    "Get Jaeger 1 all-in-one (for instance `go install "
    "github.com/jaegertracing/jaeger/cmd/all-in-one@v1.76.0`) "
    "and name it with --mesh-addon jaeger=PATH"
)
CLUSTER_LOOKUP = ClusterLookup(
    ("tracing", "jaeger-query", "jaeger"),
    (16686, "http-query", 80),
    "kubectl apply -f samples/addons/jaeger.yaml",
    needs_spans=True,
)
#: Where Jaeger's API is: Istio's sample sets the base path `/jaeger`, Jaeger's default is none.
_BASE_PATHS = ("/jaeger", "")
_LISTENERS = (
    "query.http-server.host-port",
    "collector.zipkin.host-port",
    "query.grpc-server.host-port",
    "collector.http-server.host-port",
    "collector.grpc-server.host-port",
    "collector.otlp.grpc.host-port",
    "collector.otlp.http.host-port",
    "admin.http.host-port",
    "http-server.host-port",
)


def find_command(path: str | None) -> list[str] | None:
    """Return the command that starts Jaeger all-in-one, or None."""
    return find_program(path, "jaeger-all-in-one")


def _free_ports(count: int) -> list[int]:
    """Return different free ports: all are held until the last one is chosen."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


class Addon:
    """A Jaeger all-in-one of this run, with its storage in memory."""

    evidence_timeout = timeouts.TELEMETRY

    def __init__(self, workspace: Workspace, mesh: MeshView, command: list[str]) -> None:
        ports = _free_ports(len(_LISTENERS))
        self._process = workspace.start(
            "jaeger",
            [
                *command,
                *(
                    f"--{option}=127.0.0.1:{port}"
                    for option, port in zip(_LISTENERS, ports, strict=True)
                ),
            ],
        )
        self.url = f"http://127.0.0.1:{ports[0]}"
        self.span_port = ports[1]

    def wait_ready(self, seconds: float) -> None:
        """Wait until Jaeger answers."""
        wait_answering(self._process, lambda: get_json(f"{self.url}/api/services"), seconds)

    def read_baseline(self) -> int:
        """Return 0: each check has its own tag."""
        return 0

    def read_evidence(self, tag: str) -> AddonEvidence:
        """Return how many whole traces have our tag."""
        return count_whole_traces(
            _read_tagged_traces(self.url, "istio-ingressgateway", tag), SERVICES
        )


class ClusterAddon:
    """A Jaeger of a cluster, to which the sidecars of the run send their spans."""

    evidence_timeout = timeouts.TRACED

    def __init__(self, url: str, view: ClusterView) -> None:
        self.url = url
        self._given = url
        self._view = view

    def require_answer(self) -> None:
        """Raise NotReady unless Jaeger's API answers, with or without Istio's base path."""
        errors = []
        for base in _BASE_PATHS:
            try:
                get_json(f"{self._given}{base}/api/services")
            except NotReady as error:
                errors.append(str(error))
            else:
                self.url = f"{self._given}{base}"
                return
        raise NotReady("; ".join(errors))

    def read_baseline(self) -> int:
        """Return 0: each check has its own tag."""
        return 0

    def read_evidence(self, tag: str) -> AddonEvidence:
        """Return how many whole traces have our tag: from the productpage through every app."""
        first = f"productpage.{self._view.namespace}"  # Istio's name: app and namespace
        return count_whole_traces(_read_tagged_traces(self.url, first, tag), SERVICES_INSIDE)


def _read_tagged_traces(url: str, service: str, tag: str) -> list[set[str]]:
    """Return, for each trace of a service with the tag, the services that sent its spans."""
    response = get_json(
        f"{url}/api/traces",
        service=service,
        tags=json.dumps({RUN_TAG: tag}),
        limit="1000",
        lookback="1h",
    )
    return [_read_services(trace) for trace in response.get("data") or []]


def _read_services(trace: dict[str, Any]) -> set[str]:
    """Return the services that sent spans of a trace."""
    processes = trace["processes"]
    return {processes[span["processID"]]["serviceName"] for span in trace["spans"]}
