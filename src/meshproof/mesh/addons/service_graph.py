"""The service graph: Kiali, or ServiceGraph in old Istio. Only a cluster has it.

Source: Kiali docs, "Graph" and its API (/api/namespaces/graph); README of Istio 1.0's
addons/servicegraph (/graph, /dotviz, time_horizon, filter_empty).
"""

from __future__ import annotations

from collections.abc import Callable

from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.mesh.addons import (
    UNCOUNTED,
    AddonEvidence,
    ClusterLookup,
    ClusterView,
    get_json,
    get_text,
)

HOW_TO_GET = (
    "ServiceGraph and Kiali read a Kubernetes cluster: the local mesh has none, "
    "the cluster mesh checks them"
)
CLUSTER_LOOKUP = ClusterLookup(
    ("kiali", "servicegraph"),
    (20001, 8088, "http"),
    "kubectl apply -f samples/addons/kiali.yaml",
)
#: The calls between apps that one visit to the productpage makes.
VISIT = (("productpage", "details"), ("productpage", "reviews"))
#: (Calling app, called app) -> requests per second.
Edges = dict[tuple[str, str], float]


def find_command(path: str | None) -> None:
    """Return None: without Kubernetes there is nothing that it could show."""


class ClusterAddon:
    """A service graph of a cluster: Kiali, or ServiceGraph of Istio 1.0 and before.

    It has rates, but no counts and no tags. Nobody else sends requests in the namespace of the run,
    so the graph holds our traffic if each edge of a visit carries some there.
    """

    evidence_timeout = timeouts.GRAPHED

    def __init__(self, url: str, view: ClusterView) -> None:
        self.url = url
        self._view = view
        self._read_edges: Callable[[], Edges] = self._read_servicegraph_edges

    def require_answer(self) -> None:
        """Raise NotReady unless one of the two answers; later calls use that one."""
        errors = []
        for look, edges in (
            (self._check_kiali, self._read_kiali_edges),
            (self._check_servicegraph, self._read_servicegraph_edges),
        ):
            try:
                look()
            except NotReady as error:
                errors.append(str(error))
            else:
                self._read_edges = edges
                return
        raise NotReady(f"neither Kiali nor ServiceGraph answers: {'; '.join(errors)}")

    def read_baseline(self) -> int:
        """Return 0: a graph does not count."""
        return 0

    def read_evidence(self, tag: str) -> AddonEvidence:
        """Return UNCOUNTED once every edge of a visit has traffic in our namespace, else 0."""
        edges = self._read_edges()
        idle = [
            f"{source} -> {target}" for source, target in VISIT if not edges.get((source, target))
        ]
        if idle:
            description = f"no traffic on {', '.join(idle)} in namespace {self._view.namespace}"
            return AddonEvidence(0, description)
        return AddonEvidence(UNCOUNTED, "every edge of a visit has traffic")

    def _check_kiali(self) -> None:
        """Raise NotReady unless Kiali answers."""
        status = get_json(f"{self.url}/kiali/api/status")
        if "status" not in status:
            raise NotReady(f"{self.url}/kiali/api/status: that is no Kiali: {status}")

    def _read_kiali_edges(self) -> Edges:
        """Return the edges of Kiali's graph of the namespace."""
        graph = get_json(
            f"{self.url}/kiali/api/namespaces/graph",
            namespaces=self._view.namespace,
            graphType="app",
            duration="60s",
            injectServiceNodes="false",
        )
        elements = graph.get("elements") or {}
        nodes = {
            node["data"]["id"]: str(node["data"].get("app", ""))
            for node in elements.get("nodes") or ()
            if node["data"].get("namespace") == self._view.namespace
        }
        edges: Edges = {}
        for edge in elements.get("edges") or ():
            fields = edge["data"]
            rate = (fields.get("traffic", {}).get("rates") or {}).get("http", "0")
            ends = nodes.get(fields["source"], ""), nodes.get(fields["target"], "")
            edges[ends] = edges.get(ends, 0.0) + float(rate)
        return edges

    def _check_servicegraph(self) -> None:
        """Raise NotReady unless the graph and its picture answer."""
        self._read_servicegraph_edges()
        get_text(f"{self.url}/dotviz")

    def _read_servicegraph_edges(self) -> Edges:
        """Return the edges of ServiceGraph's graph of the namespace."""
        graph = get_json(
            f"{self.url}/graph",
            time_horizon="1m",
            filter_empty="true",
            destination_namespace=self._view.namespace,
            source_namespace=self._view.namespace,
        )
        edges: Edges = {}
        for edge in graph.get("edges") or ():
            ends = _read_app(edge["source"]), _read_app(edge["target"])
            rate = (edge.get("labels") or {}).get("reqs/sec", "0")
            edges[ends] = edges.get(ends, 0.0) + float(rate)
        return edges


def _read_app(node: str) -> str:
    """Return the app of a node: `reviews (reviews-v1)` gives `reviews`."""
    return str(node).partition(" ")[0]
