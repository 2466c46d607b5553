"""From the rules to Envoy's routes and clusters: what we make each Envoy do.

Pure functions over the topology and the rules. What should happen is not decided here: `cases.py`
does that and the two never import each other. Sources: Envoy's v3 API reference (route, cluster)
and, for defaults, Istio's pages on VirtualService and traffic management.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from meshproof.base.errors import BadRules, nearest
from meshproof.base.names import MESH, ROOT_NAMESPACE, Labels
from meshproof.documents.manifest import At
from meshproof.mesh.envoy import actions
from meshproof.mesh.envoy.certificates import Identity, spiffe_id
from meshproof.mesh.envoy.envoy import Resource, socket_address
from meshproof.mesh.envoy.hosts import common_hosts
from meshproof.mesh.envoy.listeners import client_tls
from meshproof.mesh.envoy.matching import route_match
from meshproof.mesh.envoy.topology import Pod, Service, Topology
from meshproof.rules.actions import UNCHANGED
from meshproof.rules.model import Match, MtlsMode, PeerPolicy, Route, RouteTable, RuleSet, Target

_INGRESS_LABELS: Labels = (("istio", "ingressgateway"),)
#: istiod's limit for the bodies of direct responses; Envoy's own is 4096.
_LONGEST_BODY = 1 << 20


@dataclass(frozen=True)
class Endpoint:
    """Where a pod's sidecar listens for the mesh."""

    pod: Pod
    host: str
    port: int


@dataclass(frozen=True)
class Snapshot:
    """Everything the config of all Envoys follows from.

    Raises BadRules, with its place, for a rule that could not hold anywhere: it would pass unseen.
    """

    topology: Topology
    rules: RuleSet
    endpoints: tuple[Endpoint, ...]
    default_mtls: MtlsMode = "PERMISSIVE"

    def __post_init__(self) -> None:
        for table in self.rules.tables:
            self._check_gateways(table)
            for host in table.hosts if _in_mesh(table) else ():
                self._check_ports(table, self.service(host, table.at))
        self._check_proxies()

    def _check_ports(self, table: RouteTable, service: Service) -> None:
        for port in set(table.ports) - set(service.ports):
            ports = ", ".join(map(str, service.ports))
            raise table.at.error(f"{service.name} has no port {port}; it has: {ports}")

    def _check_proxies(self) -> None:
        """Refuse hosts of one port that different proxies serve: here there is one ingress."""
        for one, two in itertools.combinations(self.rules.gateways, 2):
            servers = itertools.product(one.servers, two.servers) if one.proxy != two.proxy else ()
            for first, second in servers:
                if first.port == second.port and common_hosts(first.hosts, second.hosts):
                    raise two.at.error(
                        f"{two.name} and {one.name} at {one.at} have hosts of port {first.port} in "
                        "common, but not the proxy; that is not supported yet"
                    )

    def _check_gateways(self, table: RouteTable) -> None:
        named = {name: table.at for name in table.gateways or ()}
        for match in (match for route in table.routes for match in route.matches):
            named |= dict.fromkeys(match.gateways, match.at)
        known = {gateway.name: gateway for gateway in self.rules.gateways}
        for name, at in named.items():
            if name != MESH and name not in known:
                raise at.error(f"there is no Gateway {name}{nearest(name, known)}")
        for gateway in (known[name] for name in table.gateways or () if name != MESH):
            served = [host for server in gateway.servers for host in server.hosts]
            if not common_hosts(table.hosts, served):
                raise table.at.error(
                    f"{gateway.name} at {gateway.at} serves {', '.join(served)}, which is none of "
                    f"the hosts {', '.join(table.hosts)}"
                )

    def service(self, host: str, at: At | None) -> Service:
        """Return the service called `host`. Raises BadRules with `at`, the place of the rule."""
        for service in self.topology.services:
            if service.host == host:
                return service
        # By the short names: the long ones are all alike, since they end alike.
        known = {service.name: service.host for service in self.topology.services}
        near = difflib.get_close_matches(host.partition(".")[0], known, n=1)
        hint = f"; did you mean '{known[near[0]]}'?" if near else ""
        raise _error(at, f"there is no service {host}{hint}")

    def mtls(self, pod: Pod) -> MtlsMode:
        """Return what the pod's sidecar accepts: the narrowest policy that says it decides.

        Raises BadRules for two policies of the same width: which of them holds is not specified.
        """
        found: dict[int, PeerPolicy] = {}
        for policy in self.rules.policies:
            width = _width(policy, pod)
            if width is not None and found.setdefault(width, policy) is not policy:
                raise policy.at.error(
                    f"a second policy for {pod.name}, as wide as the one at {found[width].at}"
                )
        modes = [found[width].mode for width in sorted(found)]
        return next((mode for mode in modes if mode), self.default_mtls)


def _error(at: At | None, said: str) -> BadRules:
    return at.error(said) if at else BadRules(said)


def _width(policy: PeerPolicy, pod: Pod) -> int | None:
    """Return 0 for a policy of this workload, 1 of its namespace, 2 of the mesh, None of others."""
    if policy.namespace == pod.namespace and policy.selector:
        return 0 if pod.selected(policy.selector) else None
    if policy.namespace == ROOT_NAMESPACE:
        return 2
    return 1 if policy.namespace == pod.namespace else None


def cluster_name(service: Service, port: int, subset: str) -> str:
    """Return Istio's name of an outbound cluster."""
    return f"outbound|{port}|{subset}|{service.host}"


def sidecar_routes(snapshot: Snapshot, pod: Pod) -> Resource:
    """Return the route configuration of a pod's outbound listener: one virtual host per service."""
    hosts = [
        _service_host(snapshot, pod, service, port)
        for service in snapshot.topology.services
        for port in service.ports
    ]
    return _route_configuration("outbound", [*hosts, _UNKNOWN_HOST])


def _route_configuration(name: str, hosts: list[Resource]) -> Resource:
    # Workloads are told which attempt it is, as with istiod.
    hosts = [{**host, "include_request_attempt_count": True} for host in hosts]
    return {
        "name": name,
        "virtual_hosts": hosts,
        "max_direct_response_body_size_bytes": _LONGEST_BODY,
    }


#: Nothing leaves the local mesh (as with Istio's REGISTRY_ONLY).
_UNKNOWN_HOST: Resource = {
    "name": "block_all",
    "domains": ["*"],
    "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 502}}],
}


def _service_host(snapshot: Snapshot, pod: Pod, service: Service, port: int) -> Resource:
    names = service.names_from(pod.namespace)
    domains = [f"{name}:{port}" for name in names] + (names if port == 80 else [])
    rule = _rule_for(snapshot.rules, service, port)
    caller = _Caller(MESH, pod.labels, pod.namespace, port)
    routes = _envoy_routes(snapshot, rule, caller) if rule else []
    if rule is None or rule.gateways is None or not routes:
        # What no RouteRule matches goes to all versions; what no VirtualService does gets a 404,
        # unless each of its matches is for other callers: then istiod leaves it out.
        everyone = Route((), (Target(service.host, (), 100),), service.at)
        routes.append(_route(snapshot, everyone, None, "default", caller))
    return {"name": f"{service.host}:{port}", "domains": domains, "routes": routes}


def _in_mesh(table: RouteTable) -> bool:
    return table.gateways is None or MESH in table.gateways


def _rule_for(rules: RuleSet, service: Service, port: int) -> RouteTable | None:
    here = (table for table in rules.tables if _in_mesh(table) and table.applies_to_port(port))
    found = [table for table in here if service.host in table.hosts]
    if len(found) > 1:
        raise found[1].at.error(
            f"a second rule for {service.host}, which has one at {found[0].at}; "
            "which routes come first is not specified"
        )
    return found[0] if found else None


def gateway_routes(snapshot: Snapshot, port: int) -> Resource:
    """Return the route configuration of a port of the ingress gateway."""
    domains: dict[str, list[Resource]] = {}
    for table in snapshot.rules.tables:
        for gateway in snapshot.rules.gateways:
            if gateway.name not in (table.gateways or ()):
                continue
            served = [host for one in gateway.servers if one.port == port for host in one.hosts]
            routes = _gateway_routes(snapshot, table, gateway.name, port)
            for host in common_hosts(table.hosts, served):
                domains.setdefault(host, []).extend(routes)
    hosts = [
        {"name": host, "domains": [host], "routes": routes} for host, routes in domains.items()
    ]
    found = _route_configuration(gateway_route_name(port), hosts)
    return {**found, "ignore_port_in_host_matching": True}


def gateway_route_name(port: int) -> str:
    """Return the name of the route configuration of a gateway port."""
    return f"http.{port}"


def _gateway_routes(
    snapshot: Snapshot, table: RouteTable, gateway: str, port: int
) -> list[Resource]:
    for target in (target for route in table.routes for target in route.targets):
        _check_ingress_target(snapshot.rules, target)
    return _envoy_routes(snapshot, table, _Caller(gateway, _INGRESS_LABELS, "", port))


def _check_ingress_target(rules: RuleSet, target: Target) -> None:
    for table in rules.tables:
        if table.gateways is None and target.host in table.hosts:
            raise table.at.error(
                f"a RouteRule for {target.host}, which the ingress reaches itself "
                f"({target.at}), is not supported yet"
            )


@dataclass(frozen=True)
class _Caller:
    """Who calls and by which way: `where` is `mesh` or a gateway, which is of no namespace."""

    where: str
    labels: Labels
    namespace: str
    port: int

    def may(self, match: Match | None) -> bool:
        """Say whether a match can hold for requests of this caller."""
        return match is None or (
            (not match.gateways or self.where in match.gateways)
            and set(match.source) <= set(self.labels)
            and match.source_namespace in ("", self.namespace)
            and match.port in (None, self.port)
        )


def _envoy_routes(snapshot: Snapshot, rule: RouteTable, caller: _Caller) -> list[Resource]:
    """Return Envoy's routes of a table: one for each match of its routes that can hold here."""
    found = []
    for route in rule.routes:
        name = f"{rule.name}.{route.name}" if route.name else rule.name
        for match in filter(caller.may, route.matches or (None,)):
            found.append(_route(snapshot, route, match, name, caller))
    return found


def _route(
    snapshot: Snapshot, route: Route, match: Match | None, name: str, caller: _Caller
) -> Resource:
    found: Resource = {
        "name": name,
        "match": route_match(match),
        "decorator": {"operation": name},
        **actions.around(route),
    }
    if route.redirect is not None:
        return {**found, "redirect": actions.redirect(route.redirect, match, caller.port)}
    if route.direct_response is not None:
        return {**found, "direct_response": actions.direct_response(route.direct_response)}
    mirrors = [
        actions.mirrored(mirror, _target_cluster(snapshot, mirror.target, caller))
        for mirror in route.mirrors
    ]
    action = {**_destination(snapshot, route, caller), **actions.on_the_way(route, match)}
    return {**found, "route": {**action, "request_mirror_policies": mirrors}}


def _destination(snapshot: Snapshot, route: Route, caller: _Caller) -> Resource:
    found = [
        {
            "name": _target_cluster(snapshot, target, caller),
            "weight": target.weight,
            **actions.header_changes(target.headers),
        }
        for target in route.split
    ]
    if len(found) == 1 and route.split[0].headers == UNCHANGED:
        return {"cluster": found[0]["name"]}
    return {"weighted_clusters": {"clusters": found}}


def _target_cluster(snapshot: Snapshot, target: Target, caller: _Caller) -> str:
    """Return the cluster of a target: its port, else the called one.

    A gateway takes the service's only port instead. A sidecar does not, whatever the reference of
    `Destination` says of it: istiod gives its routes those services only that have the called port,
    and the others' clusters are not found (503; seen on Istio 1.31).
    """
    service = snapshot.service(target.host, target.at)
    only = next(iter(service.ports))
    called = only if caller.where != MESH and len(service.ports) == 1 else caller.port
    wanted = target.port or called
    if wanted not in service.ports:
        ports = ", ".join(map(str, service.ports))
        hint = "" if target.port else " (where no `port` is said, it is the one that was called)"
        raise _error(target.at, f"{service.name} has no port {wanted}; it has: {ports}{hint}")
    return cluster_name(service, wanted, target.subset)


def clusters(snapshot: Snapshot, identity: Identity) -> list[Resource]:
    """Return the outbound clusters: each service port, whole and by the subsets that rules name."""
    subsets: dict[str, dict[str, Labels]] = {
        service.host: {"": ()} for service in snapshot.topology.services
    }
    for table in snapshot.rules.tables:
        for route in table.routes:
            for target in route.targets:
                snapshot.service(target.host, target.at)
                subsets[target.host][target.subset] = target.labels
    return [
        _cluster(snapshot, service, port, name, labels, identity)
        for service in snapshot.topology.services
        for port in service.ports
        for name, labels in subsets[service.host].items()
    ]


def _cluster(
    snapshot: Snapshot,
    service: Service,
    port: int,
    subset: str,
    labels: Labels,
    identity: Identity,
) -> Resource:
    pods = {pod.name for pod in snapshot.topology.behind(service, labels)}
    found = [endpoint for endpoint in snapshot.endpoints if endpoint.pod.name in pods]
    accounts = {
        spiffe_id(endpoint.pod.namespace, endpoint.pod.service_account) for endpoint in found
    }
    name = cluster_name(service, port, subset)
    sni = f"outbound_.{port}_.{subset}_.{service.host}"
    return {
        "name": name,
        # Envoy would cut the name at its first dot to make a label of it.
        "alt_stat_name": name.replace(".", "_"),
        "type": "STATIC",
        "connect_timeout": "10s",
        "lb_policy": "LEAST_REQUEST",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [_endpoint(snapshot, one) for one in found]}],
        },
        "transport_socket_matches": [
            {
                "name": "tlsMode-istio",
                "match": {"tlsMode": "istio"},
                "transport_socket": client_tls(identity, sorted(accounts), sni),
            },
            {"name": "tlsMode-disabled", "match": {}, "transport_socket": RAW},
        ],
    }


RAW: Resource = {
    "name": "envoy.transport_sockets.raw_buffer",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
    },
}


def _endpoint(snapshot: Snapshot, endpoint: Endpoint) -> Resource:
    found: Resource = {
        "endpoint": {"address": socket_address(endpoint.host, endpoint.port)},
    }
    if snapshot.mtls(endpoint.pod) != "DISABLE":
        found["metadata"] = {
            "filter_metadata": {"envoy.transport_socket_match": {"tlsMode": "istio"}}
        }
    return found


def local_cluster(name: str, host: str, port: int, extra: Mapping[str, object] = {}) -> Resource:
    """Return a cluster of one plain address: the app behind a sidecar, or a trace collector."""
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "10s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": socket_address(host, port)}}]}
            ],
        },
        **extra,
    }
