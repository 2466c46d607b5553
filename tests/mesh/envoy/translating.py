"""A small topology without processes, for the tests of what we make Envoy do."""

from __future__ import annotations

from pathlib import Path

from meshproof import rules
from meshproof.documents import manifest
from meshproof.mesh.envoy import topology, translate
from meshproof.mesh.envoy.certificates import Identity
from meshproof.mesh.envoy.envoy import Resource
from meshproof.mesh.envoy.topology import Pod
from meshproof.mesh.envoy.translate import Endpoint, Snapshot
from meshproof.rules.model import MtlsMode, RuleSet

IDENTITY = Identity("spiffe://me", Path("/me.pem"), Path("/me.key"), Path("/ca.pem"))
APPS = """\
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{selector: {{app: {name}}}, ports: [{ports}]}}
"""
POD = """\
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}-{version}, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: {name}, version: {version}}}}}
  template:
    metadata: {{labels: {{app: {name}, version: {version}}}}}
    spec:
      serviceAccountName: {name}
      containers: [{{image: meshproof/echo, ports: [{{containerPort: 9080}}]}}]
"""


def app(
    name: str, *versions: str, namespace: str = "default", ports: tuple[int, ...] = (80,)
) -> str:
    """Return the manifests of a service with one pod for each version."""
    entries = ", ".join(f"{{port: {port}, targetPort: 9080}}" for port in ports)
    text = APPS.format(name=name, namespace=namespace, ports=entries)
    return text + "".join(
        POD.format(name=name, namespace=namespace, version=version) for version in versions
    )


SHOP = "---\n".join(
    (
        app("reviews", "v1", "v2", "v3"),
        app("ratings", "v1", ports=(8080,)),
        app("page", "v1"),
        app("many", "v1", ports=(80, 81)),
        app("orders", "v1", namespace="shop"),
    )
)


def ruleset(text: str) -> RuleSet:
    """Return the rules in a text; none for an empty one."""
    return rules.read_rules(manifest.parse(text, "r.yaml")) if text else RuleSet()


def snapshot(text: str = "", mtls: MtlsMode = "PERMISSIVE", apps: str = SHOP) -> Snapshot:
    """Return the snapshot of some rules; the pods listen on 15001 and up."""
    mesh = topology.read_topology(manifest.parse(apps, "apps.yaml"))
    endpoints = tuple(
        Endpoint(pod, "127.0.0.1", port) for port, pod in enumerate(mesh.pods, start=15001)
    )
    return Snapshot(mesh, ruleset(text), endpoints, mtls)


def translate_port(snapshot: Snapshot, port: int = 80) -> Resource:
    """Return Envoy's routes of a port of plain HTTP at the ingress."""
    name = translate.format_gateway_route_name(port)
    listeners = translate.list_listeners(snapshot.rules.gateways)
    empty = translate.GatewayListener(name, port)
    listener = next((known for known in listeners if known.name == name), empty)
    return translate.translate_gateway_routes(snapshot, listener)


def pod(snapshot: Snapshot, name: str = "page-v1-0") -> Pod:
    """Return a pod by its name."""
    (match,) = (candidate for candidate in snapshot.topology.pods if candidate.name == name)
    return match


def routes(
    text: str, host: str = "reviews", caller: str = "page-v1-0", port: int = 80
) -> list[Resource]:
    """Return Envoy's routes for a service as the sidecar of `caller` has them."""
    mesh = snapshot(text)
    config = translate.translate_sidecar_routes(mesh, pod(mesh, caller))
    (virtual_host,) = (
        host_config
        for host_config in config["virtual_hosts"]
        if f"{host}:{port}" in host_config["domains"]
    )
    matched: list[Resource] = virtual_host["routes"]
    return matched


def read_destinations(
    text: str, host: str = "reviews", caller: str = "page-v1-0", port: int = 80
) -> list[object]:
    """Return where each route leads, in order: a cluster's name, or cluster -> weight."""
    return [read_destination(route) for route in routes(text, host, caller, port)]


def read_destination(route: Resource) -> object:
    """Return where a route leads: a cluster's name, or cluster -> weight."""
    action = route["route"]
    if "cluster" in action:
        return action["cluster"]
    return {
        weighted["name"]: weighted["weight"] for weighted in action["weighted_clusters"]["clusters"]
    }


def cluster(subset: str, host: str = "reviews", port: int = 80, namespace: str = "default") -> str:
    """Return the name of a cluster."""
    return f"outbound|{port}|{subset}|{host}.{namespace}.svc.cluster.local"
