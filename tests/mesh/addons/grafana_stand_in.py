"""Stands in for Grafana, which cannot be had here: the two calls of its HTTP API that we use.

Written from Grafana's documentation ("HTTP API": health, query a data source; "Provision Grafana").
It takes its data source from the provisioning folder and passes queries on to it, as Grafana does.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml


def data_source() -> str:
    folder = Path(os.environ["GF_PATHS_PROVISIONING"]) / "datasources"
    (file,) = folder.glob("*.yaml")
    (entry,) = yaml.safe_load(file.read_text())["datasources"]
    return str(entry["url"])


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        is_health = self.path == "/api/health"
        self._answer(200 if is_health else 404, {"database": "ok", "version": "stand-in"})

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"][0]
        if self.path != "/api/ds/query" or query["datasource"]["uid"] != "meshproof":
            self._answer(404, {"message": "Data source not found"})
            return
        parameters = urllib.parse.urlencode({"query": query["expr"]})
        with urllib.request.urlopen(f"{data_source()}/api/v1/query?{parameters}") as response:
            result = json.load(response)["data"]["result"]
        values = [[result[0]["value"][0] * 1000], [float(result[0]["value"][1])]] if result else []
        frames = [{"schema": {}, "data": {"values": values}}] if values else []
        self._answer(200, {"results": {query["refId"]: {"status": 200, "frames": frames}}})

    def _answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        sys.stderr.write(format % arguments + "\n")


if __name__ == "__main__":
    address = (os.environ["GF_SERVER_HTTP_ADDR"], int(os.environ["GF_SERVER_HTTP_PORT"]))
    ThreadingHTTPServer(address, Handler).serve_forever()
