"""From the rules to Envoy's routes and clusters: what we make each Envoy do.

Pure functions over the topology and the rules. What should happen is not decided here: `cases.py`
does that and the two never import each other. Sources: Envoy's v3 API reference (route, cluster)
and, for defaults, Istio's pages on VirtualService and traffic management.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from meshproof.errors import BadRules, nearest
from meshproof.mesh.certificates import Identity, spiffe_id
from meshproof.mesh.envoy import Resource, socket_address
from meshproof.mesh.listeners import client_tls
from meshproof.mesh.topology import Pod, Service, Topology
from meshproof.rules.model import (
    MESH,
    ROOT_NAMESPACE,
    Arm,
    Labels,
    Match,
    MtlsMode,
    Route,
    RuleSet,
    StringMatch,
    Target,
)

#: Istio's default retries: only when the request cannot have reached an app (VirtualService page).
_RETRIES: Resource = {
    "retry_on": "connect-failure,refused-stream,unavailable,cancelled",
    "num_retries": 2,
    "host_selection_retry_max_attempts": 5,
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3"
                ".PreviousHostsPredicate"
            },
        }
    ],
}
_INGRESS_LABELS: Labels = (("istio", "ingressgateway"),)


@dataclass(frozen=True)
class Endpoint:
    """Where a pod's sidecar listens for the mesh."""

    pod: Pod
    host: str
    port: int


@dataclass(frozen=True)
class Snapshot:
    """Everything the config of all Envoys follows from."""

    topology: Topology
    rules: RuleSet
    endpoints: tuple[Endpoint, ...]
    default_mtls: MtlsMode = "PERMISSIVE"

    def service(self, host: str, target: Target) -> Service:
        """Return the service called `host`. Raises BadRules with the place of the rule."""
        for service in self.topology.services:
            if service.host == host:
                return service
        known = [service.host for service in self.topology.services]
        raise BadRules(f"{target.at}: there is no service {host}{nearest(host, known)}")

    def mtls(self, pod: Pod) -> MtlsMode:
        """Return what the pod's sidecar accepts: the narrowest policy wins (PeerAuthentication)."""
        best, mode = 0, self.default_mtls
        for policy in self.rules.policies:
            if policy.namespace == pod.namespace and policy.selector:
                rank = 3 if pod.selected(policy.selector) else 0
            elif policy.namespace == pod.namespace:
                rank = 2
            else:
                rank = 1 if policy.namespace == ROOT_NAMESPACE else 0
            if rank > best:
                best, mode = rank, policy.mode
        return mode


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
    return {"name": "outbound", "virtual_hosts": [*hosts, _UNKNOWN_HOST]}


#: Nothing leaves the local mesh (as with Istio's REGISTRY_ONLY).
_UNKNOWN_HOST: Resource = {
    "name": "block_all",
    "domains": ["*"],
    "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 502}}],
}


def _service_host(snapshot: Snapshot, pod: Pod, service: Service, port: int) -> Resource:
    names = service.names_from(pod.namespace)
    domains = [f"{name}:{port}" for name in names] + (names if port == 80 else [])
    routes = [
        route
        for rule in _rules_for(snapshot.rules, service)
        for arm in rule.arms
        for route in _arm_routes(snapshot, arm, MESH, pod.labels, port, rule)
    ]
    if not _rules_for(snapshot.rules, service) or _open_ended(snapshot.rules, service):
        plain = Arm((), (Target(service.host, (), 100),), service.at)
        routes += _arm_routes(snapshot, plain, MESH, pod.labels, port, None)
    return {"name": f"{service.host}:{port}", "domains": domains, "routes": routes}


def _rules_for(rules: RuleSet, service: Service) -> list[Route]:
    found = [
        route
        for route in rules.routes
        if service.host in route.hosts and (route.gateways is None or MESH in route.gateways)
    ]
    if len(found) > 1:
        raise BadRules(
            f"{found[1].at}: a second rule for {service.host}, which has one at {found[0].at}; "
            "which arms come first is not specified"
        )
    return found


def _open_ended(rules: RuleSet, service: Service) -> bool:
    """RouteRule: what no rule matches goes to all versions. VirtualService: it gets a 404."""
    return any(route.gateways is None for route in _rules_for(rules, service))


def gateway_routes(snapshot: Snapshot, port: int) -> Resource:
    """Return the route configuration of a port of the ingress gateway."""
    domains: dict[str, list[Resource]] = {}
    for route in snapshot.rules.routes:
        for gateway in snapshot.rules.gateways:
            if route.gateways is None or gateway.name not in route.gateways:
                continue
            for server in gateway.servers:
                if server.port == port:
                    for host in _common_hosts(route.hosts, server.hosts):
                        domains.setdefault(host, []).extend(
                            _gateway_arms(snapshot, route, gateway.name, port)
                        )
    return {
        "name": gateway_route_name(port),
        "virtual_hosts": [
            {"name": host, "domains": [host, *([f"{host}:*"] if host != "*" else [])], "routes": arms}
            for host, arms in domains.items()
        ],
        "ignore_port_in_host_matching": True,
    }


def gateway_route_name(port: int) -> str:
    """Return the name of the route configuration of a gateway port."""
    return f"http.{port}"


def _common_hosts(wanted: Iterable[str], served: Iterable[str]) -> list[str]:
    return [host for host in wanted if any(one in ("*", host) for one in served)] or [
        one for one in served if "*" in wanted
    ]


def _gateway_arms(snapshot: Snapshot, route: Route, gateway: str, port: int) -> list[Resource]:
    found = []
    for arm in route.arms:
        for target in arm.split:
            _check_ingress_target(snapshot.rules, target)
        found += _arm_routes(snapshot, arm, gateway, _INGRESS_LABELS, port, route)
    return found


def _check_ingress_target(rules: RuleSet, target: Target) -> None:
    for route in rules.routes:
        if route.gateways is None and target.host in route.hosts:
            raise BadRules(
                f"{route.at}: a RouteRule for {target.host}, which the ingress reaches itself "
                f"({target.at}), is not supported yet"
            )


def _arm_routes(
    snapshot: Snapshot, arm: Arm, where: str, source: Labels, port: int, rule: Route | None
) -> list[Resource]:
    """Return Envoy's routes of one arm: one for each of its matches that can hold here."""
    action = _action(snapshot, arm, port)
    name = f"{rule.name}.{arm.name}" if rule and arm.name else rule.name if rule else "default"
    matches: Iterable[Match | None] = arm.matches or (None,)
    return [
        {"name": name, "match": _match(match), "route": action, "decorator": {"operation": name}}
        for match in matches
        if match is None or _holds_here(match, where, source)
    ]


def _holds_here(match: Match, where: str, source: Labels) -> bool:
    if match.gateways and where not in match.gateways:
        return False
    return set(match.source) <= set(source)


def _action(snapshot: Snapshot, arm: Arm, port: int) -> Resource:
    clusters = [
        {"name": _target_cluster(snapshot, target, port), "weight": target.weight}
        for target in arm.split
    ]
    destination: Resource = (
        {"cluster": clusters[0]["name"]}
        if len(clusters) == 1
        else {"weighted_clusters": {"clusters": clusters}}
    )
    return {**destination, "timeout": "0s", "retry_policy": _RETRIES}


def _target_cluster(snapshot: Snapshot, target: Target, port: int) -> str:
    service = snapshot.service(target.host, target)
    wanted = target.port or (port if port in service.ports else next(iter(service.ports)))
    if wanted not in service.ports:
        raise BadRules(f"{target.at}: {service.name} has no port {wanted}")
    return cluster_name(service, wanted, target.subset)


def _match(match: Match | None) -> Resource:
    if match is None:
        return {"prefix": "/"}
    found = _path(match)
    headers = [_header(name, condition) for name, condition in match.headers]
    headers += [_absent(name, condition) for name, condition in match.without_headers]
    if match.method:
        headers.append(_header(":method", match.method))
    if match.authority:
        headers.append(_header(":authority", match.authority))
    if headers:
        found["headers"] = headers
    if match.query:
        found["query_parameters"] = [
            {"name": name, **_present_or(condition)} for name, condition in match.query
        ]
    return found


def _path(match: Match) -> Resource:
    uri = match.uri
    if uri is None or uri.kind == "present":
        return {"prefix": "/"}
    if uri.kind == "regex":
        return {"safe_regex": {"regex": uri.value}}
    found: Resource = {"prefix" if uri.kind == "prefix" else "path": uri.value}
    if match.ignore_uri_case:
        found["case_sensitive"] = False
    return found


def _string(condition: StringMatch) -> Resource:
    if condition.kind == "regex":
        return {"safe_regex": {"regex": condition.value}}
    return {condition.kind: condition.value}


def _present_or(condition: StringMatch) -> Resource:
    if condition.kind == "present":
        return {"present_match": True}
    return {"string_match": _string(condition)}


def _header(name: str, condition: StringMatch) -> Resource:
    return {"name": name, **_present_or(condition)}


def _absent(name: str, condition: StringMatch) -> Resource:
    found = {**_header(name, condition), "invert_match": True}
    if condition.kind != "present":
        found["treat_missing_header_as_empty"] = True
    return found


def clusters(snapshot: Snapshot, identity: Identity) -> list[Resource]:
    """Return the outbound clusters: every service port, whole and by each subset that rules name."""
    subsets: dict[str, dict[str, Labels]] = {
        service.host: {"": ()} for service in snapshot.topology.services
    }
    for route in snapshot.rules.routes:
        for arm in route.arms:
            for target in arm.split:
                snapshot.service(target.host, target)
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
