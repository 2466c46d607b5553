"""A shop in a live namespace, and what Kube gives of its cluster."""

from __future__ import annotations

import json
from typing import Any

ISTIO = "networking.istio.io/v1"


def stored(api: str, kind: str, name: str, spec: Any, **metadata: Any) -> dict[str, Any]:
    """Return an object as an API server gives it."""
    note = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    metadata = {"name": name, "namespace": "shop", "uid": "1", "resourceVersion": "7", **metadata}
    metadata["annotations"] = {**note, **metadata.get("annotations", {})}
    metadata["managedFields"] = [{"manager": "kubectl"}]
    return {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec, "status": {}}


def service(name: str, **metadata: Any) -> dict[str, Any]:
    spec = {"selector": {"app": name}, "ports": [{"name": "http", "port": 80}]}
    return stored("v1", "Service", name, spec, **metadata)


def deployment(version: str) -> dict[str, Any]:
    carried = {"labels": {"app": "cart", "version": version}, "creationTimestamp": None}
    spec = {
        "selector": {"matchLabels": {"app": "cart", "version": version}},
        "template": {"metadata": carried, "spec": {"containers": [{"name": "app"}]}},
    }
    return stored("apps/v1", "Deployment", f"cart-{version}", spec)


def split(**weights: Any) -> dict[str, Any]:
    route = [
        {"destination": {"host": "cart", "subset": name}, "weight": weight}
        for name, weight in weights.items()
    ]
    return stored(ISTIO, "VirtualService", "cart", {"hosts": ["cart"], "http": [{"route": route}]})


SUBSETS = stored(
    ISTIO,
    "DestinationRule",
    "cart",
    {"host": "cart", "subsets": [{"name": v, "labels": {"version": v}} for v in ("v1", "v2")]},
)
SHOP = [service("cart"), deployment("v1"), deployment("v2"), SUBSETS, split(v1=50, v2=50)]


class Cluster:
    """What Kube gives of a cluster; it can list and get, and nothing else."""

    context, cluster_name = "lab", "context lab"

    def __init__(self, *objects: dict[str, Any]) -> None:
        self.objects = objects
        self.asked: list[tuple[str, str]] = []

    def has_kind(self, api: str, kind: str) -> bool:
        return api != "networking.istio.io/v1" or kind != "Sidecar"

    def list(self, api: str, kind: str, namespace: str = "", labels: str = "") -> list[Any]:
        self.asked.append((api, kind))
        if kind == "Namespace":
            return [{"metadata": {"name": "shop"}}]
        found = [one for one in self.objects if (one["apiVersion"], one["kind"]) == (api, kind)]
        return [json.loads(json.dumps(one)) for one in found]

    def get(self, api: str, kind: str, name: str, namespace: str = "") -> Any:
        if kind == "Namespace":
            return {} if name == "shop" else None
        found = [one for one in self.list(api, kind) if one["metadata"]["name"] == name]
        return found[0] if found else None
