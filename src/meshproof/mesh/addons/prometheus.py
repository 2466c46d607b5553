"""Prometheus: it scrapes every proxy, and its count of our requests is the proxies' own.

Source: Prometheus docs, "Configuration" (file_sd_config) and "HTTP API" (instant queries).
"""

from __future__ import annotations

import json

import yaml

from meshproof.base import timeouts
from meshproof.mesh.addons import (
    AddonEvidence,
    ClusterLookup,
    ClusterView,
    MeshView,
    find_program,
    get_json,
    wait_answering,
    wait_listening,
)
from meshproof.mesh.process.processes import Workspace, write_atomically

HOW_TO_GET = (
    "Get it with `apt-get install prometheus` or `brew install prometheus`, "
    "or name one with --mesh-addon prometheus=PATH"
)
CLUSTER_LOOKUP = ClusterLookup(
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


def find_command(path: str | None) -> list[str] | None:
    """Return the command that starts Prometheus, or None."""
    return find_program(path, "prometheus")


class Addon:
    """A Prometheus of this run; its targets are the proxies' statistics."""

    evidence_timeout = timeouts.TELEMETRY

    def __init__(self, workspace: Workspace, mesh: MeshView, command: list[str]) -> None:
        self._mesh = mesh
        folder = workspace.path / "prometheus"
        folder.mkdir()
        self._targets = folder / "targets.json"
        write_atomically(self._targets, "[]")
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

    def wait_ready(self, seconds: float) -> None:
        """Wait until Prometheus answers."""
        if not self.url:
            self.url = f"http://127.0.0.1:{wait_listening(self._process, seconds)[0]}"
        wait_answering(self._process, lambda: query_number(self.url, "vector(1)"), seconds)

    def update_targets(self) -> None:
        """Make the running proxies the targets (Prometheus reads them within 5 s)."""
        targets = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"pod": pod}}
            for pod, port in self._mesh.list_stats_ports().items()
        ]
        write_atomically(self._targets, json.dumps(targets))

    def read_baseline(self) -> int:
        """Return the requests that the ingress's Envoy has counted; Prometheus lags by a scrape."""
        return self._mesh.count_ingress_requests()

    def read_evidence(self, tag: str) -> AddonEvidence:
        """Return the count of requests to the productpage; 0 unless every proxy is scraped."""
        proxies = len(self._mesh.list_stats_ports())
        up = query_number(self.url, 'sum(up{job="envoy"})')
        count = query_number(self.url, QUERY)
        description = (
            f"{up} of {proxies} proxies are scraped, {count} requests to productpage counted"
        )
        return AddonEvidence(count if up >= proxies else 0, description)


class ClusterAddon:
    """A Prometheus of a cluster, which must scrape the proxies of the run by itself."""

    evidence_timeout = timeouts.SCRAPED

    def __init__(self, url: str, view: ClusterView) -> None:
        self.url = url
        self._view = view

    def require_answer(self) -> None:
        """Raise NotReady unless Prometheus answers a query."""
        query_number(self.url, "vector(1)")

    def read_baseline(self) -> int:
        """Return the requests that the proxies have counted; Prometheus lags by a scrape."""
        return self._view.count_requests()

    def read_evidence(self, tag: str) -> AddonEvidence:
        """Return the count of requests to the run's productpage."""
        namespace = self._view.namespace
        count = query_number(self.url, build_query(namespace))
        up = query_number(self.url, f'count(up{{namespace="{namespace}"}} == 1)')
        description = (
            f"{up} of {self._view.count_sidecars()} sidecars of namespace {namespace} are scraped, "
            f"{count} requests to its productpage counted"
        )
        return AddonEvidence(count, description)


def build_query(namespace: str) -> str:
    """Return the query for all requests to a namespace's productpage, as clients count them.

    It takes Istio's standard metric if the proxies have it, else Envoy's own counter of the cluster
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


def query_number(url: str, query: str) -> int:
    """Return the number that a query answers, 0 for no result. Raises NotReady."""
    response = get_json(f"{url}/api/v1/query", query=query)
    result = response["data"]["result"]
    return int(float(result[0]["value"][1])) if result else 0
