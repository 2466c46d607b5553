"""The proxies of a run and what each serves, read from its config dump and not from istiod.

Source: Envoy docs, "Administration interface" (/config_dump, `include_eds`). istiod writes the path
of the object that a route or cluster comes from into its metadata (`filter_metadata.istio.config`).
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from meshproof.mesh.cluster.api.client import Kube, Object
from meshproof.mesh.cluster.api.objects import RunObject
from meshproof.mesh.cluster.api.port_forward import Channel
from meshproof.mesh.protocol import combine_versions

CONTAINER = "istio-proxy"
ADMIN_PORT = 15000
_SOURCE = re.compile(r'"config":\s*"(/apis/[^"]+)"')
#: The API version in a mark is that of istiod's own model (v1alpha3 in older ones): it is ignored.
_API_VERSION = re.compile(r"^(/apis/[^/]+)/[^/]+(?=/namespaces/)")
#: The route of an unnamed rule of an HTTPRoute: `namespace.name.index`.
_ROUTE = re.compile(r'"name":\s*"([^"/|]+\.[^"/|]+)\.\d+"')
#: Begins the mark of a route that has nothing but its name.
_ROUTE_MARK = "route "
_HYPHENATED = {
    "VirtualService": "virtual-service",
    "DestinationRule": "destination-rule",
    "ServiceEntry": "service-entry",
}
_RESOURCES = ("dynamic_route_configs", "dynamic_active_clusters")
_INBOUND = "resource=dynamic_listeners&name_regex=^virtualInbound$"
#: The query for endpoints of clusters whose name contains a text.
_ENDPOINTS = "include_eds&resource=dynamic_endpoint_configs&name_regex=.*{}.*"
_HEALTHY = ("HEALTHY", "DEGRADED")
#: Concurrent queries of proxies.
AT_ONCE = 8


@dataclass(frozen=True)
class Proxy:
    """A pod with an Envoy of the mesh: a sidecar, or a gateway's proxy (`gateway`)."""

    pod: str
    namespace: str
    gateway: bool = False

    def __str__(self) -> str:
        return f"{self.pod}.{self.namespace}"


def has_sidecar(pod: Object) -> bool:
    """Say whether a pod was injected: its proxy is a container or a native sidecar."""
    spec = pod["spec"]
    return any(
        container["name"] == CONTAINER
        for container in [*spec.get("containers", ()), *(spec.get("initContainers") or ())]
    )


def is_running(pod: Object) -> bool:
    """Say whether a pod runs and is not being deleted."""
    deleted_at = pod["metadata"].get("deletionTimestamp")
    return pod.get("status", {}).get("phase") == "Running" and not deleted_at


def gateway_proxies(pods: Iterable[Object]) -> list[Proxy]:
    """Return the running proxies among a gateway's pods."""
    return [
        Proxy(str(pod["metadata"]["name"]), str(pod["metadata"]["namespace"]), gateway=True)
        for pod in pods
        if is_running(pod)
    ]


def sidecar_proxies(pods: Iterable[Object]) -> list[Proxy]:
    """Return the sidecars of running pods."""
    return [
        Proxy(str(pod["metadata"]["name"]), str(pod["metadata"]["namespace"]))
        for pod in pods
        if is_running(pod) and has_sidecar(pod)
    ]


#: Returns the part of a config dump that a query selects.
ReadConfig = Callable[[str], str]
#: Cluster -> address -> whether it gets requests (outlier detection may eject it).
Endpoints = Mapping[str, Mapping[str, bool]]
#: Says whether a sidecar must require mutual TLS; None if unknown.
RequiresMtls = Callable[[Proxy], bool | None]


@dataclass(frozen=True)
class ConfigDump:
    """What a proxy serves.

    `sources` are the marks of the objects that its routes and clusters come from (see
    `source_marks`). `strict` says whether a sidecar requires mutual TLS (see `is_strict`).
    `version` stands for `strict` and the run's routes and clusters. `endpoints` are those of the
    run's clusters.
    """

    proxy: Proxy
    sources: frozenset[str]
    strict: bool | None = None
    version: str = ""
    endpoints: Endpoints = field(default_factory=dict)


def read_dump(
    kube: Kube, proxy: Proxy, with_policies: bool = False, run_name: str = ""
) -> ConfigDump:
    """Read a proxy's config; `with_policies` includes its inbound listener.

    All names of the run contain `run_name`: changes by other people do not change the version.
    """
    with _open_admin(kube, proxy) as ask:
        dumps = _read_resources(ask)
        strict = _refuses_plaintext(ask(_INBOUND)) if with_policies and not proxy.gateway else None
        endpoints = _parse_endpoints(ask(_ENDPOINTS.format(run_name))) if run_name else {}
    patterns = (_SOURCE, _ROUTE)
    sources = {
        _API_VERSION.sub(r"\1", source)
        for dump in dumps
        for pattern in patterns
        for source in pattern.findall(dump)
    }
    parts = list(_select_run_parts(dumps, run_name))
    routes = (route for part in parts for route in part.get("routes", ()))
    # A route without metadata comes from no rule: istiod names it `default`.
    sources |= {
        f"{_ROUTE_MARK}{route['name']}"
        for route in routes
        if "name" in route and "metadata" in route
    }
    version = _config_version(parts, f"strict: {strict}")
    return ConfigDump(proxy, frozenset(sources), strict, version, endpoints)


def _config_version(parts: Iterable[Any], strict_line: str) -> str:
    """Return one version for virtual hosts and clusters."""
    return combine_versions([strict_line, *(json.dumps(part, sort_keys=True) for part in parts)])


def _select_run_parts(dumps: Iterable[str], run_name: str) -> Iterator[Any]:
    """Yield the virtual hosts and clusters that contain the run's name."""
    for dump in dumps:
        for config in json.loads(dump).get("configs", ()):
            entry = config.get("route_config") or config.get("cluster") or config
            for part in entry.get("virtual_hosts") or [entry]:
                if run_name in json.dumps(part):
                    yield part


def _parse_endpoints(dump: str) -> dict[str, dict[str, bool]]:
    """Return cluster -> address -> healthy; a cluster without endpoints is included."""
    endpoints: dict[str, dict[str, bool]] = {}
    for config in json.loads(dump).get("configs", ()):
        assignment = config["endpoint_config"]
        healthy_by_address = endpoints.setdefault(assignment["cluster_name"], {})
        for locality in assignment.get("endpoints", ()):
            for endpoint in locality.get("lb_endpoints", ()):
                address = (
                    endpoint["endpoint"]["address"].get("socket_address", {}).get("address", "")
                )
                healthy_by_address[address] = endpoint.get("health_status", "HEALTHY") in _HEALTHY
    return endpoints


def read_run_parts(kube: Kube, proxy: Proxy, run_name: str) -> list[Any]:
    """Return a proxy's virtual hosts and clusters that contain the run's name."""
    with _open_admin(kube, proxy) as ask:
        return list(_select_run_parts(_read_resources(ask), run_name))


@contextlib.contextmanager
def _open_admin(kube: Kube, proxy: Proxy) -> Iterator[ReadConfig]:
    """Connect to a proxy's admin port to read several parts of its config."""
    channel = Channel(kube, proxy.pod, proxy.namespace, ADMIN_PORT)
    try:
        yield lambda query: channel.ask(f"/config_dump?{query}")
    finally:
        channel.close()


def _read_resources(ask: ReadConfig) -> list[str]:
    """Read the routes and clusters."""
    return [ask(f"resource={resource}") for resource in _RESOURCES]


def is_strict(kube: Kube, proxy: Proxy) -> bool | None:
    """Say whether a sidecar refuses plaintext on every port; None without an inbound listener."""
    with _open_admin(kube, proxy) as ask:
        return _refuses_plaintext(ask(_INBOUND))


def _refuses_plaintext(dump: str) -> bool | None:
    """Say whether no filter chain of the inbound listener takes plaintext; None without chains."""
    chains: list[dict[str, Any]] = [
        chain
        for listener in json.loads(dump).get("configs", ())
        for chain in listener["active_state"]["listener"]["filter_chains"]
    ]
    return not any(_takes_plaintext(chain) for chain in chains) if chains else None


def _takes_plaintext(chain: dict[str, Any]) -> bool:
    """Say whether a filter chain is for plaintext connections."""
    return bool(chain.get("filter_chain_match", {}).get("transport_protocol") == "raw_buffer")


def source_marks(run_object: RunObject) -> list[str]:
    """Return the marks that istiod leaves on an object's config; empty for other kinds.

    The route of a named HTTPRoute rule has only that name (istiod's `convertHTTPRoute`), so it is
    looked up in the run's virtual hosts.
    """
    if run_object.kind == "HTTPRoute":
        rules = [rule.get("name") for rule in run_object.body["spec"].get("rules") or [{}]]
        unnamed_rule_marks = [] if all(rules) else [f"{run_object.namespace}.{run_object.name}"]
        return [*unnamed_rule_marks, *(f"{_ROUTE_MARK}{name}" for name in rules if name)]
    name = _HYPHENATED.get(run_object.kind)
    group = str(run_object.body["apiVersion"]).partition("/")[0]
    if name is None:
        return []
    return [f"/apis/{group}/namespaces/{run_object.namespace}/{name}/{run_object.name}"]
