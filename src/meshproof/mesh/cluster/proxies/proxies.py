"""The proxies of a run and what each serves, read from its own config dump, not from istiod.

Source: Envoy docs, "Administration interface" (/config_dump, `include_eds`); istiod writes the path
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
from meshproof.mesh.protocol import one_version

CONTAINER = "istio-proxy"
ADMIN_PORT = 15000
_SOURCE = re.compile(r'"config":\s*"(/apis/[^"]+)"')
#: The version in it is that of istiod's own model, v1alpha3 in older ones: it tells nothing.
_API_VERSION = re.compile(r"^(/apis/[^/]+)/[^/]+(?=/namespaces/)")
#: A route that istiod makes of a rule of an HTTPRoute that has no name: `namespace.name.index`.
_ROUTE = re.compile(r'"name":\s*"([^"/|]+\.[^"/|]+)\.\d+"')
#: Before the name of a route, where it is looked for by that alone.
_ROUTE_MARK = "route "
_HYPHENATED = {
    "VirtualService": "virtual-service",
    "DestinationRule": "destination-rule",
    "ServiceEntry": "service-entry",
}
_RESOURCES = ("dynamic_route_configs", "dynamic_active_clusters")
_INBOUND = "resource=dynamic_listeners&name_regex=^virtualInbound$"
#: Of the clusters in whose name something stands.
_ENDPOINTS = "include_eds&resource=dynamic_endpoint_configs&name_regex=.*{}.*"
_HEALTHY = ("HEALTHY", "DEGRADED")
#: How many proxies are asked at a time.
AT_ONCE = 8


@dataclass(frozen=True)
class Proxy:
    """A pod with an Envoy of the mesh: a sidecar, or a gateway's (`gateway`)."""

    pod: str
    namespace: str
    gateway: bool = False

    def __str__(self) -> str:
        return f"{self.pod}.{self.namespace}"


def has_sidecar(pod: Object) -> bool:
    """Say whether a pod was injected: its proxy is a container, or a native sidecar."""
    spec = pod["spec"]
    return any(
        container["name"] == CONTAINER
        for container in [*spec.get("containers", ()), *(spec.get("initContainers") or ())]
    )


def is_running(pod: Object) -> bool:
    """Say whether a pod runs and is not about to end."""
    deleted_at = pod["metadata"].get("deletionTimestamp")
    return pod.get("status", {}).get("phase") == "Running" and not deleted_at


def gateway_proxies(pods: Iterable[Object]) -> list[Proxy]:
    """Return the proxies of a gateway's pods that run."""
    return [
        Proxy(str(pod["metadata"]["name"]), str(pod["metadata"]["namespace"]), gateway=True)
        for pod in pods
        if is_running(pod)
    ]


def sidecar_proxies(pods: Iterable[Object]) -> list[Proxy]:
    """Return the sidecars of pods that run."""
    return [
        Proxy(str(pod["metadata"]["name"]), str(pod["metadata"]["namespace"]))
        for pod in pods
        if is_running(pod) and has_sidecar(pod)
    ]


#: Returns the part of a config dump that a query asks for.
ReadConfig = Callable[[str], str]
#: Name of a cluster -> address -> whether requests go there (outlier detection may keep them away).
Endpoints = Mapping[str, Mapping[str, bool]]
#: Says of a sidecar whether it must take mutual TLS only; None where that is not known.
RequiresMtls = Callable[[Proxy], bool | None]


@dataclass(frozen=True)
class ConfigDump:
    """What a proxy serves: the paths of the objects that its routes and clusters come from.

    `strict` says whether a sidecar takes mutual TLS only, see `is_strict`. `version` stands for
    that and for those routes and clusters that concern the run. `endpoints` are those of
    clusters of the run.
    """

    proxy: Proxy
    sources: frozenset[str]
    strict: bool | None = None
    version: str = ""
    endpoints: Endpoints = field(default_factory=dict)


def read_dump(
    kube: Kube, proxy: Proxy, with_policies: bool = False, run_name: str = ""
) -> ConfigDump:
    """Read a proxy's config; with `with_policies` its inbound listener, too.

    `run_name` stands in all names of the run: what others change is no part of the version.
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
    # One without metadata is of no rule: istiod calls it `default`.
    sources |= {
        f"{_ROUTE_MARK}{route['name']}"
        for route in routes
        if "name" in route and "metadata" in route
    }
    version = _config_version(parts, f"strict: {strict}")
    return ConfigDump(proxy, frozenset(sources), strict, version, endpoints)


def _config_version(parts: Iterable[Any], strict_line: str) -> str:
    """Return what stands for some virtual hosts and clusters."""
    return one_version([strict_line, *(json.dumps(part, sort_keys=True) for part in parts)])


def _select_run_parts(dumps: Iterable[str], run_name: str) -> Iterator[Any]:
    """Yield the virtual hosts and clusters of config dumps in which `run_name` stands."""
    for dump in dumps:
        for config in json.loads(dump).get("configs", ()):
            entry = config.get("route_config") or config.get("cluster") or config
            for part in entry.get("virtual_hosts") or [entry]:
                if run_name in json.dumps(part):
                    yield part


def _parse_endpoints(dump: str) -> dict[str, dict[str, bool]]:
    """Return the endpoints of a config dump, of clusters without one, too."""
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
    """Return the virtual hosts and clusters of a proxy in which `run_name` stands."""
    with _open_admin(kube, proxy) as ask:
        return list(_select_run_parts(_read_resources(ask), run_name))


@contextlib.contextmanager
def _open_admin(kube: Kube, proxy: Proxy) -> Iterator[ReadConfig]:
    """Connect to a proxy's admin address, to ask for more than one part of its config."""
    channel = Channel(kube, proxy.pod, proxy.namespace, ADMIN_PORT)
    try:
        yield lambda query: channel.ask(f"/config_dump?{query}")
    finally:
        channel.close()


def _read_resources(ask: ReadConfig) -> list[str]:
    return [ask(f"resource={resource}") for resource in _RESOURCES]


def is_strict(kube: Kube, proxy: Proxy) -> bool | None:
    """Say whether no filter chain of a sidecar's inbound listener takes plaintext, on any port.

    None where it has no such listener (yet).
    """
    with _open_admin(kube, proxy) as ask:
        return _refuses_plaintext(ask(_INBOUND))


def _refuses_plaintext(dump: str) -> bool | None:
    chains: list[dict[str, Any]] = [
        chain
        for listener in json.loads(dump).get("configs", ())
        for chain in listener["active_state"]["listener"]["filter_chains"]
    ]
    return not any(_takes_plaintext(chain) for chain in chains) if chains else None


def _takes_plaintext(chain: dict[str, Any]) -> bool:
    return bool(chain.get("filter_chain_match", {}).get("transport_protocol") == "raw_buffer")


def source_marks(run_object: RunObject) -> list[str]:
    """Return by what istiod marks what it makes of an object; nothing for a kind without marks.

    The route of an HTTPRoute's rule with a name has that name alone (istiod's `convertHTTPRoute`);
    it is looked for among the virtual hosts of the run.
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
