"""Grafana: healthy, and its data source answers a query for our requests.

Source: Grafana docs, "HTTP API" (/api/health, /api/ds/query) and "Provision Grafana".
"""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from meshproof import timeouts
from meshproof.errors import NotReady
from meshproof.mesh.addons import (
    MeshView,
    Sight,
    get_json,
    listening,
    program,
    wait_answering,
)
from meshproof.mesh.addons.prometheus import QUERY
from meshproof.mesh.process import Workspace

HOW_TO_GET = (
    "Get it from Grafana's package repository (`grafana-server` on PATH, or "
    "--mesh-addon grafana=PATH); it needs Prometheus beside it"
)
_DATASOURCE = "meshproof"


def find(given: str | None) -> list[str] | None:
    """Return the command that starts Grafana, or None."""
    found = program(given, "grafana-server", "grafana")
    if found and Path(found[0]).name == "grafana":
        return [*found, "server"]
    return found


class Addon:
    """A Grafana of this run, whose one data source is this run's Prometheus."""

    def __init__(self, workspace: Workspace, mesh: MeshView, command: list[str]) -> None:
        self.url = ""
        self._mesh = mesh
        self._folder = workspace.path / "grafana"
        self._workspace = workspace
        self._command = command

    def wait_ready(self) -> None:
        """Start Grafana beside the Prometheus that runs by now, and wait until it is healthy."""
        if self.url:
            return
        source = self._mesh.addon_url("prometheus")
        if not source:
            raise NotReady("grafana needs prometheus as its data source, which is not installed")
        self._provision(source)
        paths = {"GF_PATHS_DATA": "data", "GF_PATHS_LOGS": "logs", "GF_PATHS_PROVISIONING": "etc"}
        home = _home(self._command[0])
        process = self._workspace.start(
            "grafana",
            [*self._command, *(["--homepath", str(home)] if home else [])],
            {
                **{name: str(self._folder / place) for name, place in paths.items()},
                "GF_SERVER_HTTP_ADDR": "127.0.0.1",
                "GF_SERVER_HTTP_PORT": "0",
                "GF_AUTH_ANONYMOUS_ENABLED": "true",
                "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
                "GF_ANALYTICS_REPORTING_ENABLED": "false",
                "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            },
        )
        self.url = f"http://127.0.0.1:{listening(process)[0]}"
        wait_answering(process, self._health)

    def _provision(self, source: str) -> None:
        folder = self._folder / "etc" / "datasources"
        folder.mkdir(parents=True)
        entry = {"name": _DATASOURCE, "uid": _DATASOURCE, "type": "prometheus", "url": source}
        text = yaml.safe_dump({"apiVersion": 1, "datasources": [{**entry, "access": "proxy"}]})
        (folder / "prometheus.yaml").write_text(text, encoding="utf-8")

    def _health(self) -> None:
        found = get_json(f"{self.url}/api/health")
        if found.get("database") != "ok":
            raise NotReady(f"grafana is not healthy: {found}")

    def before(self) -> int:
        """Return what the ingress's Envoy itself has counted."""
        return self._mesh.ingress_requests()

    def seen(self, tag: str) -> Sight:
        """Return the count of our requests that the data source answers through Grafana."""
        import requests

        query = {
            "refId": "A",
            "datasource": {"uid": _DATASOURCE},
            "expr": QUERY,
            "instant": True,
            "range": False,
        }
        try:
            answer = requests.post(
                f"{self.url}/api/ds/query",
                json={"queries": [query], "from": "now-5m", "to": "now"},
                timeout=timeouts.ADMIN,
            )
            answer.raise_for_status()
            frames = answer.json()["results"]["A"].get("frames", [])
            values = frames[0]["data"]["values"] if frames else []
        except (requests.RequestException, ValueError, KeyError) as error:
            raise NotReady(f"grafana does not answer a query of its data source: {error}") from None
        count = int(float(values[-1][-1])) if values and values[-1] else 0
        return Sight(count, f"its data source answers {count} requests to productpage")


def _home(program_path: str) -> Path | None:
    """Return Grafana's home: where its `public` and `conf` folders are."""
    near = Path(shutil.which(program_path) or program_path).resolve().parent.parent
    places = (near, Path("/usr/share/grafana"))
    return next((place for place in places if (place / "conf" / "defaults.ini").is_file()), None)
