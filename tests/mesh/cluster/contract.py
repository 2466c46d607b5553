"""Servers that answer as addons do, written from the documentation of their HTTP APIs.

Grafana and Kiali cannot be had where this was built: these stand in for them. Each says where what
it answers is documented. A request that the documentation does not know is answered with 404.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

#: What is answered: by path, given the query and the body (None for GET); None is a 404.
Answers = dict[str, Callable[[dict[str, str], Any], Any]]


@contextmanager
def served(answers: Answers) -> Iterator[str]:
    """Serve the answers on loopback; yield the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, body: Any) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            answer = answers.get(parts.path)
            result = answer(query, body) if answer else None
            text = json.dumps(result if result is not None else {"message": "Not found"}).encode()
            self.send_response(200 if result is not None else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def prometheus(numbers: dict[str, int]) -> Answers:
    """Prometheus docs, "HTTP API", instant queries: a vector; `numbers` by a part of the query."""

    def query(query_parameters: dict[str, str], _body: Any) -> Any:
        values = [number for part, number in numbers.items() if part in query_parameters["query"]]
        result = [{"metric": {}, "value": [1700000000.1, str(values[0])]}] if values else []
        return {"status": "success", "data": {"resultType": "vector", "result": result}}

    return {"/api/v1/query": query}


def grafana(count: int | None, titles: tuple[str, ...], database: str = "ok") -> Answers:
    """Grafana docs, "HTTP API": Health, Data source, Folder/Dashboard Search."""

    def search(query_parameters: dict[str, str], _body: Any) -> Any:
        return [
            {"uid": f"d{at}", "title": title, "type": "dash-db", "tags": []}
            for at, title in enumerate(titles)
            if query_parameters["type"] == "dash-db"
            and query_parameters["query"].lower() in title.lower()
        ]

    def query(_query_parameters: dict[str, str], body: Any) -> Any:
        (grafana_query,) = body["queries"]
        if grafana_query["datasource"]["uid"] != "PBFA97":
            return None
        fields = [{"name": "Time", "type": "time"}, {"name": "Value", "type": "number"}]
        values = [[1700000000100], [count]]
        frames = (
            [] if count is None else [{"schema": {"fields": fields}, "data": {"values": values}}]
        )
        return {"results": {grafana_query["refId"]: {"status": 200, "frames": frames}}}

    sources = [
        {"id": 1, "uid": "PLOKI1", "name": "Loki", "type": "loki"},
        {"id": 2, "uid": "PBFA97", "name": "Prometheus", "type": "prometheus", "isDefault": True},
    ]
    return {
        "/api/health": lambda *_: {"database": database, "version": "11.2.2", "commit": "0a4f"},
        "/api/datasources": lambda *_: sources,
        "/api/search": search,
        "/api/ds/query": query,
    }


def kiali(edges: dict[tuple[str, str], str], namespace: str = "ours") -> Answers:
    """Kiali docs, its swagger: /api/status, /api/namespaces/graph; `edges` are rates of HTTP."""
    apps = sorted({app for ends in edges for app in ends})

    def graph(query_parameters: dict[str, str], _body: Any) -> Any:
        nodes = [
            {"data": {"id": app, "nodeType": "app", "namespace": namespace, "app": app}}
            for app in apps
        ]
        graph_edges = [
            {
                "data": {
                    "id": f"{source}-{target}",
                    "source": source,
                    "target": target,
                    "traffic": {"protocol": "http", "rates": {"http": rate}},
                }
            }
            for (source, target), rate in edges.items()
        ]
        if query_parameters["namespaces"] != "ours" or query_parameters["graphType"] != "app":
            nodes, graph_edges = [], []
        elements = {"nodes": nodes, "edges": graph_edges}
        return {"timestamp": 1700000000, "duration": 60, "graphType": "app", "elements": elements}

    return {
        "/kiali/api/status": lambda *_: {"status": {"Kiali version": "v1.89.0"}, "messages": []},
        "/kiali/api/namespaces/graph": graph,
    }


def servicegraph(edges: dict[tuple[str, str], str], picture: bool = True) -> Answers:
    """README of Istio 1.0's addons/servicegraph: /graph and /dotviz, with their parameters."""

    def graph(query_parameters: dict[str, str], _body: Any) -> Any:
        is_ours = (
            query_parameters.get("destination_namespace")
            == query_parameters.get("source_namespace")
            == "ours"
        )
        graph_edges = [
            {"source": source, "target": target, "labels": {"reqs/sec": rate}}
            for (source, target), rate in edges.items()
        ]
        nodes: dict[str, Any] = {node: {} for ends in edges for node in ends}
        return {"nodes": nodes if is_ours else {}, "edges": graph_edges if is_ours else []}

    answers: Answers = {"/graph": graph}
    return {**answers, "/dotviz": lambda *_: "<html></html>"} if picture else answers


def zipkin(traces: list[list[str]], tag: str) -> Answers:
    """Zipkin's API v2 (openapi): /services, /traces with annotationQuery; names of each trace."""

    def search_traces(query_parameters: dict[str, str], _body: Any) -> Any:
        spans = [
            [
                {"id": str(at), "localEndpoint": {"serviceName": name}}
                for at, name in enumerate(trace)
            ]
            for trace in traces
        ]
        return spans if query_parameters["annotationQuery"] == f"meshproof.run.record={tag}" else []

    return {"/api/v2/services": lambda *_: [], "/api/v2/traces": search_traces}


def jaeger(traces: list[list[str]], tag: str, base: str = "/jaeger") -> Answers:
    """Jaeger 1 docs, "APIs": the query service's internal HTTP JSON, below its base path."""

    def search_traces(query_parameters: dict[str, str], _body: Any) -> Any:
        ours = query_parameters["service"] == "productpage.ours"
        ours = ours and json.loads(query_parameters["tags"]) == {"meshproof.run.record": tag}
        data = [
            {
                "processes": {f"p{at}": {"serviceName": name} for at, name in enumerate(trace)},
                "spans": [{"processID": f"p{at}"} for at in range(len(trace))],
            }
            for trace in traces
        ]
        return {"data": data if ours else [], "errors": None}

    return {f"{base}/api/services": lambda *_: {"data": []}, f"{base}/api/traces": search_traces}
