"""Prometheus: scrapes every proxy; its counter of our requests must be that of the proxy itself.

Source: Prometheus docs, "Configuration" (file_sd_config) and "HTTP API" (instant queries).
"""

from __future__ import annotations

import json

import yaml

from meshproof.base import timeouts
from meshproof.mesh.addons import (
    AddonEvidence,
    ClusterView,
    InCluster,
    MeshView,
    get_json,
    listening,
    program,
    wait_answering,
)
from meshproof.mesh.process.processes import Workspace, write_whole

HOW_TO_GET = (
    "Get it with `apt-get install prometheus` or `brew install prometheus`, "
    "or name one with --mesh-addon prometheus=PATH"
)
IN_CLUSTER = InCluster(
    ("prometheus", "prometheus-server", "prometheus-k8s", "prometheus-operated"),
    (9090, "http", "web", "http-web", 80),
    "kubectl apply -f samples/addons/prometheus.yaml",
)
INGRESS = "istio-ingressgateway"
#: The requests from the ingress to the productpage, as the ingress's Envoy counts them.
QUERY = (
    f'sum(envoy_cluster_upstream_rq_total{{pod="{INGRESS}",'
    'envoy_cluster_name=~"outbound.*productpage.*"})'
)


def find(given: str | None) -> list[str] | None:
    """Return the command that starts Prometheus, or None."""
    return program(given, "prometheus")


class Addon:
    """A Prometheus of this run; its targets are the proxies' admin addresses."""

    patience = timeouts.TELEMETRY

    def __init__(self, workspace: Workspace, mesh: MeshView, command: list[str]) -> None:
        self._mesh = mesh
        folder = workspace.path / "prometheus"
        folder.mkdir()
        self._targets = folder / "targets.json"
        write_whole(self._targets, "[]")
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [
                {
                    "job_name": "envoy",
                    "metrics_path": "/stats/prometheus",
                    "file_sd_configs": [{"files": [str(self._targets)]}],
                }
            ],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        self._process = workspace.start(
            "prometheus",
            [
                *command,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                "--web.listen-address=127.0.0.1:0",
                "--log.level=warn",
            ],
        )
        self.url = ""

    def wait_ready(self) -> None:
        """Wait until Prometheus answers."""
        if not self.url:
            self.url = f"http://127.0.0.1:{listening(self._process)[0]}"
        wait_answering(self._process, lambda: ask(self.url, "vector(1)"))

    def watch(self) -> None:
        """Make the proxies that run now the targets (Prometheus takes them up within 5 s)."""
        targets = [
            {"targets": [f"{host}:{port}"], "labels": {"pod": pod}}
            for pod, (host, port) in self._mesh.admins().items()
        ]
        write_whole(self._targets, json.dumps(targets))

    def before(self) -> int:
        """Return what the ingress's Envoy itself has counted; Prometheus lags by a scrape."""
        return self._mesh.ingress_requests()

    def seen(self, tag: str) -> AddonEvidence:
        """Return the count of requests to the productpage; 0 unless every proxy is scraped."""
        proxies = len(self._mesh.admins())
        up = ask(self.url, 'sum(up{job="envoy"})')
        count = ask(self.url, QUERY)
        words = f"{up} of {proxies} proxies are scraped, {count} requests to productpage counted"
        return AddonEvidence(count if up >= proxies else 0, words)


class Remote:
    """A Prometheus of a cluster, which must scrape the proxies of the run by itself."""

    patience = timeouts.SCRAPED

    def __init__(self, url: str, view: ClusterView) -> None:
        self.url = url
        self._view = view

    def answers(self) -> None:
        """Raise NotReady unless Prometheus answers a query."""
        ask(self.url, "vector(1)")

    def before(self) -> int:
        """Return what the proxies themselves have counted; Prometheus lags by a scrape."""
        return self._view.requests()

    def seen(self, tag: str) -> AddonEvidence:
        """Return the count of requests to the run's productpage."""
        namespace = self._view.namespace
        count = ask(self.url, query_of(namespace))
        up = ask(self.url, f'count(up{{namespace="{namespace}"}} == 1)')
        words = (
            f"{up} of {self._view.sidecars()} sidecars of namespace {namespace} are scraped, "
            f"{count} requests to its productpage counted"
        )
        return AddonEvidence(count, words)


def query_of(namespace: str) -> str:
    """Return the query for all requests to the productpage of a namespace, as clients count them.

    Istio's standard metric where its proxies have it, else Envoy's own counter of the cluster
    (Istio docs, "Istio Standard Metrics" and "Envoy Statistics").
    """
    istio = (
        'istio_requests_total{reporter="source",destination_service_name="productpage",'
        f'destination_service_namespace="{namespace}"}}'
    )
    envoy = (
        "envoy_cluster_upstream_rq_total{cluster_name=~"
        f'"outbound[|][0-9]+[|][^|]*[|]productpage[.]{namespace}[.].+"}}'
    )
    return f"sum({istio}) or sum({envoy})"


def ask(url: str, query: str) -> int:
    """Return the number that a query answers, 0 for nothing. Raises NotReady."""
    answer = get_json(f"{url}/api/v1/query", query=query)
    result = answer["data"]["result"]
    return int(float(result[0]["value"][1])) if result else 0
