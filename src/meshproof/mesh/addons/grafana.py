"""Grafana: it is healthy, and its data source answers a query for our requests.

Source: Grafana docs, "HTTP API" (/api/health, /api/ds/query) and "Provision Grafana".
"""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

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
    wait_listening,
)
from meshproof.mesh.addons.prometheus import QUERY, build_query
from meshproof.mesh.process.processes import Process, Workspace

HOW_TO_GET = (
    "Get it from Grafana's package repository (`grafana-server` on PATH, or "
    "--mesh-addon grafana=PATH); it needs Prometheus beside it"
)
CLUSTER_LOOKUP = ClusterLookup(
    ("grafana",),
    (3000, "service", "http", 80),
    "kubectl apply -f samples/addons/grafana.yaml",
)
_DATASOURCE = "meshproof"
#: The dashboards of Istio's sample that show apps.
DASHBOARDS = ("Istio Mesh Dashboard", "Istio Service Dashboard", "Istio Workload Dashboard")


def find_command(path: str | None) -> list[str] | None:
    """Return the command that starts Grafana, or None."""
    command = find_program(path, "grafana-server", "grafana")
    if command and Path(command[0]).name == "grafana":
        return [*command, "server"]
    return command


class Addon:
    """A Grafana of this run, whose one data source is this run's Prometheus."""

    evidence_timeout = timeouts.TELEMETRY

    def __init__(self, workspace: Workspace, mesh: MeshView, command: list[str]) -> None:
        self.url = ""
        self._mesh = mesh
        self._folder = workspace.path / "grafana"
        self._workspace = workspace
        self._command = command
        self._process: Process | None = None

    def wait_ready(self, seconds: float) -> None:
        """Start Grafana once Prometheus, its data source, runs; wait until it is healthy."""
        process = self._process = self._process or self._start(seconds)
        if not self.url:
            self.url = f"http://127.0.0.1:{wait_listening(process, seconds)[0]}"
        wait_answering(process, lambda: _require_healthy(self.url), seconds)

    def _start(self, seconds: float) -> Process:
        """Start Grafana with the running Prometheus as data source."""
        source = self._mesh.addon_url("prometheus", seconds)
        if not source:
            raise NotReady("grafana needs prometheus as its data source, which is not installed")
        self._write_datasource(source)
        paths = {"GF_PATHS_DATA": "data", "GF_PATHS_LOGS": "logs", "GF_PATHS_PROVISIONING": "etc"}
        home = _find_home(self._command[0])
        return self._workspace.start(
            "grafana",
            [*self._command, *(["--homepath", str(home)] if home else [])],
            {
                **{name: str(self._folder / folder) for name, folder in paths.items()},
                "GF_SERVER_HTTP_ADDR": "127.0.0.1",
                "GF_SERVER_HTTP_PORT": "0",
                "GF_AUTH_ANONYMOUS_ENABLED": "true",
                "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
                "GF_ANALYTICS_REPORTING_ENABLED": "false",
                "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            },
        )

    def _write_datasource(self, source: str) -> None:
        """Write the data source's config."""
        folder = self._folder / "etc" / "datasources"
        folder.mkdir(parents=True)
        entry = {"name": _DATASOURCE, "uid": _DATASOURCE, "type": "prometheus", "url": source}
        text = yaml.safe_dump({"apiVersion": 1, "datasources": [{**entry, "access": "proxy"}]})
        (folder / "prometheus.yaml").write_text(text, encoding="utf-8")

    def read_baseline(self) -> int:
        """Return the requests that the ingress's Envoy itself has counted."""
        return self._mesh.count_ingress_requests()

    def read_evidence(self, tag: str) -> AddonEvidence:
        """Return the count of our requests, read through Grafana's data source."""
        count = _query_datasource(self.url, _DATASOURCE, QUERY)
        return AddonEvidence(count, f"its data source answers {count} requests to productpage")


class ClusterAddon:
    """A Grafana of a cluster, whose data source is that cluster's Prometheus."""

    evidence_timeout = timeouts.SCRAPED

    def __init__(self, url: str, view: ClusterView) -> None:
        self.url = url
        self._view = view

    def require_answer(self) -> None:
        """Raise NotReady unless Grafana says that it is healthy."""
        _require_healthy(self.url)

    def read_baseline(self) -> int:
        """Return the requests that the proxies themselves have counted."""
        return self._view.count_requests()

    def read_evidence(self, tag: str) -> AddonEvidence:
        """Return the largest count of any data source; 0 if a dashboard is missing."""
        sources = [
            str(source["uid"])
            for source in get_json(f"{self.url}/api/datasources")
            if source.get("type") == "prometheus"
        ]
        if not sources:
            return AddonEvidence(0, "it has no data source of type prometheus")
        count = max(
            _query_datasource(self.url, source, build_query(self._view.namespace))
            for source in sources
        )
        description = f"its data source answers {count} requests to productpage"
        dashboards = get_json(f"{self.url}/api/search", type="dash-db", query="Istio")
        missing = set(DASHBOARDS) - {str(source.get("title")) for source in dashboards}
        if missing:
            return AddonEvidence(
                0, f"{description}, but dashboards are missing: {', '.join(sorted(missing))}"
            )
        return AddonEvidence(count, description)


def _require_healthy(url: str) -> None:
    """Raise NotReady unless Grafana's health check says `ok`."""
    health = get_json(f"{url}/api/health")
    if health.get("database") != "ok":
        raise NotReady(f"grafana is not healthy: {health}")


def _query_datasource(url: str, source: str, expression: str) -> int:
    """Return the number that a data source answers to a query. Raises NotReady."""
    import requests

    query = {
        "refId": "A",
        "datasource": {"uid": source},
        "expr": expression,
        "instant": True,
        "range": False,
    }
    try:
        response = requests.post(
            f"{url}/api/ds/query",
            json={"queries": [query], "from": "now-5m", "to": "now"},
            timeout=timeouts.ADMIN,
        )
        response.raise_for_status()
        frames = response.json()["results"]["A"].get("frames", [])
        values = frames[0]["data"]["values"] if frames else []
    except (requests.RequestException, ValueError, KeyError) as error:
        raise NotReady(f"grafana does not answer a query of its data source: {error}") from None
    return int(float(values[-1][-1])) if values and values[-1] else 0


def _find_home(program_path: str) -> Path | None:
    """Return Grafana's home, the folder with `public` and `conf`, or None."""
    program_folder = Path(shutil.which(program_path) or program_path).resolve().parent.parent
    folders = (program_folder, Path("/usr/share/grafana"))
    return next(
        (folder for folder in folders if (folder / "conf" / "defaults.ini").is_file()), None
    )
