"""Prometheus: scrapes every proxy; its counter of our requests must be that of the proxy itself.

Source: Prometheus docs, "Configuration" (file_sd_config) and "HTTP API" (instant queries).
"""

from __future__ import annotations

import json

import yaml

from meshproof.mesh.addons import (
    MeshView,
    Sight,
    get_json,
    listening,
    program,
    wait_answering,
)
from meshproof.mesh.process import Workspace, write_whole

HOW_TO_GET = (
    "Get it with `apt-get install prometheus` or `brew install prometheus`, "
    "or name one with --mesh-addon prometheus=PATH"
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
        wait_answering(self._process, lambda: self._query("vector(1)"))

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

    def seen(self, tag: str) -> Sight:
        """Return the count of requests to the productpage; 0 unless every proxy is scraped."""
        proxies = len(self._mesh.admins())
        up = self._query('sum(up{job="envoy"})')
        count = self._query(QUERY)
        words = f"{up} of {proxies} proxies are scraped, {count} requests to productpage counted"
        return Sight(count if up >= proxies else 0, words)

    def _query(self, query: str) -> int:
        answer = get_json(f"{self.url}/api/v1/query", query=query)
        result = answer["data"]["result"]
        return int(float(result[0]["value"][1])) if result else 0
