"""Translate the rules to the routes and clusters of each Envoy.

Pure functions over the topology and the rules. What should happen is decided elsewhere, in
`oracle`; the two never import each other. Sources: Envoy's v3 API reference (route, cluster) and,
for defaults, Istio's pages on VirtualService and traffic management.
"""

from __future__ import annotations

import difflib
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from meshproof.base.errors import BadRules, suggest_nearest
from meshproof.base.names import MESH, ROOT_NAMESPACE, Labels
from meshproof.documents.manifest import At
from meshproof.mesh.envoy import actions, pod_hashes
from meshproof.mesh.envoy.certificates import Identity, format_spiffe_id
from meshproof.mesh.envoy.envoy import Resource, make_socket_address
from meshproof.mesh.envoy.hosts import intersect_hosts
from meshproof.mesh.envoy.listeners import make_client_tls, make_origination
from meshproof.mesh.envoy.matching import translate_match
from meshproof.mesh.envoy.sidecar_scopes import SidecarScope
from meshproof.mesh.envoy.topology import Pod, Service, Topology
from meshproof.rules.actions import UNCHANGED
from meshproof.rules.model import (
    DestinationRule,
    Gateway,
    Match,
    MtlsMode,
    PeerPolicy,
    PodHash,
    Proxy,
    Route,
    RouteTable,
    RuleSet,
    Server,
    Target,
    TlsMode,
)

#: Ends the name of a cluster that no proxy of the caller's namespace has.
_NO_SUBSET = "(no DestinationRule for this caller defines the subset)"
_NO_IMPORT = "(the Sidecar of this caller does not import it)"
_HTTP_PORT = 80
#: istiod's own limits of a cluster; with Envoy's, only 3 retries are under way at once.
_NO_LIMITS: Resource = dict.fromkeys(
    ("max_connections", "max_pending_requests", "max_requests", "max_retries"), 2**32 - 1
)
#: istiod's limit for the bodies of direct responses; Envoy's own is 4096.
_MAX_BODY_BYTES = 1 << 20


@dataclass(frozen=True)
class Endpoint:
    """The address where a pod's sidecar listens for the mesh, and its port for TLS, if any."""

    pod: Pod
    host: str
    port: int
    tls_port: int = 0


@dataclass(frozen=True)
class GatewayListener:
    """The servers of gateways whose requests share one route configuration: its `name`.

    They are all those of plain HTTP on a port, or one where TLS ends: the one with `server_key`.
    """

    name: str
    port: int
    tls: TlsMode | None = None
    servers: tuple[tuple[Gateway, Server], ...] = ()
    server_key: str = ""


@dataclass(frozen=True)
class Snapshot:
    """Everything that decides the config of all Envoys.

    With `serves_dead_ends` a destination that does not exist, or has no such port, is answered as
    by istiod's config: its cluster is not there, and that is a 503.
    Raises BadRules, with its place, for a rule that cannot take effect anywhere: nobody would
    notice.
    """

    topology: Topology
    rules: RuleSet
    endpoints: tuple[Endpoint, ...]
    default_mtls: MtlsMode = "PERMISSIVE"
    serves_dead_ends: bool = False

    def __post_init__(self) -> None:
        for policy in self.rules.policies:
            if policy.has_port_modes:
                raise policy.at.unsupported("spec.portLevelMtls is not supported yet")
        for table in self.rules.tables:
            self._check_gateways(table)
            for host in table.hosts if table.applies_to_mesh else ():
                if "*" not in host or host == "*":  # Istio refuses the last one in the mesh
                    self._check_ports(table, self.find_service(host, table.at))

    def _check_ports(self, table: RouteTable, service: Service) -> None:
        """Raise BadRules if a table is for a port that the service does not have."""
        absent = set() if self.serves_dead_ends else set(table.ports) - set(service.ports)
        for port in absent:
            ports = ", ".join(map(str, service.ports))
            raise table.at.error(f"{service.name} has no port {port}; it has: {ports}")

    def _check_gateways(self, table: RouteTable) -> None:
        """Raise BadRules for an unknown Gateway, or one that serves none of the table's hosts."""
        references = {name: table.at for name in table.gateways or ()}
        for match in (match for route in table.routes for match in route.matches):
            references |= dict.fromkeys(match.gateways, match.at)
        gateways = {gateway.name: gateway for gateway in self.rules.gateways}
        for name, at in references.items():
            if name != MESH and name not in gateways:
                raise at.error(f"there is no Gateway {name}{suggest_nearest(name, gateways)}")
        if self.serves_dead_ends:
            return  # its routes are never reached, and the run says so
        for gateway in (gateways[name] for name in table.gateways or () if name != MESH):
            served = [
                host for server in gateway.servers for host in server.hosts_for(table.namespace)
            ]
            if not intersect_hosts(table.hosts, served):
                raise table.at.error(
                    f"{gateway.name} at {gateway.at} serves {', '.join(served)}, which is none of "
                    f"the hosts {', '.join(table.hosts)}"
                )

    def find_service(self, host: str, at: At | None) -> Service:
        """Return the service with the full name `host`. Raises BadRules at the place `at`."""
        for service in self.topology.services:
            if service.host == host:
                return service
        # By the short names: long ones are all similar, since they have the same end.
        hosts = {service.name: service.host for service in self.topology.services}
        matches = difflib.get_close_matches(host.partition(".")[0], hosts, n=1)
        hint = f"; did you mean '{hosts[matches[0]]}'?" if matches else ""
        raise _make_error(at, f"there is no service {host}{hint}")

    def resolve_mtls(self, pod: Pod) -> MtlsMode:
        """Return the mTLS mode of a pod's sidecar: the narrowest policy with a mode decides.

        Raises BadRules for two policies of the same scope: which of them holds is not specified.
        """
        policies: dict[int, PeerPolicy] = {}
        for policy in self.rules.policies:
            width = _rank_policy(policy, pod)
            if width is not None and policies.setdefault(width, policy) is not policy:
                raise policy.at.error(
                    f"a second policy for {pod.name}, as wide as the one at {policies[width].at}"
                )
        modes = [policies[width].mode for width in sorted(policies)]
        return next((mode for mode in modes if mode), self.default_mtls)


def _make_error(at: At | None, message: str) -> BadRules:
    """Return BadRules with its place, if there is one."""
    return at.error(message) if at else BadRules(message)


def _rank_policy(policy: PeerPolicy, pod: Pod) -> int | None:
    """Return the scope of a policy: 0 workload, 1 namespace, 2 mesh, None if not for the pod."""
    if policy.namespace == pod.namespace and policy.selector:
        return 0 if pod.is_selected_by(policy.selector) else None
    if policy.namespace == ROOT_NAMESPACE:
        return 2
    return 1 if policy.namespace == pod.namespace else None


def format_cluster_name(service: Service, port: int, subset: str) -> str:
    """Return Istio's name of an outbound cluster."""
    return f"outbound|{port}|{subset}|{service.host}"


def translate_sidecar_routes(snapshot: Snapshot, pod: Pod) -> Resource:
    """Return the route configuration of a pod's sidecar: one virtual host for each service.

    A name that two of them have belongs to the one with a table, as in istiod.
    """
    hosts = [
        (bool(_rank_tables(snapshot, service, _make_sidecar(pod, port))), service, port)
        for service in snapshot.topology.services
        for port in _list_called_ports(snapshot, service)
    ]
    with_tables_first = sorted(hosts, key=lambda host: not host[0])
    configs: list[Resource] = []
    domains: set[str] = set()
    for _, service, port in with_tables_first:
        config = _translate_service(snapshot, pod, service, port)
        own_domains = [domain for domain in config["domains"] if domain not in domains]
        domains.update(own_domains)
        if own_domains:
            configs.append({**config, "domains": own_domains})
    return _make_route_configuration("outbound", [*configs, _UNKNOWN_HOST])


def _list_called_ports(snapshot: Snapshot, service: Service) -> list[int]:
    """Return the ports of a service, then others at which rules may serve its name."""
    own_ports = [port for port in service.ports if port not in service.other_ports]
    if not snapshot.serves_dead_ends:
        return own_ports
    tables = [table for table in snapshot.rules.tables if service.host in table.hosts]
    further = {
        port
        for other in (snapshot.topology.services if tables else ())
        for port in other.ports
        if any(_covers(table, other) for table in tables)
    }
    further |= {_HTTP_PORT} if tables else set()
    return [*own_ports, *sorted(further - set(service.ports))]


def _covers(table: RouteTable, service: Service) -> bool:
    """Say whether a table is for a service, by its name or a wildcard."""
    return any(_is_host_of(host, service.host) for host in table.hosts)


def _is_known(scope: SidecarScope, service: Service, port: int) -> bool:
    """Say whether a proxy knows a port of a service, and has every name of it."""
    return service.exists and port in service.ports and scope.has_service(service, port)


def _make_sidecar(pod: Pod, port: int) -> _Caller:
    """Return a pod's sidecar as the caller of a port."""
    return _Caller(MESH, pod.labels, pod.namespace, port)


def _make_route_configuration(name: str, hosts: list[Resource]) -> Resource:
    # Tells workloads the number of the attempt, as istiod does.
    """Return a route configuration with the settings that all of them share."""
    hosts = [{**host, "include_request_attempt_count": True} for host in hosts]
    return {
        "name": name,
        "virtual_hosts": hosts,
        "max_direct_response_body_size_bytes": _MAX_BODY_BYTES,
    }


#: Nothing leaves the local mesh (as with Istio's REGISTRY_ONLY).
_UNKNOWN_HOST: Resource = {
    "name": "block_all",
    "domains": ["*"],
    "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 502}}],
}


def _translate_service(snapshot: Snapshot, pod: Pod, service: Service, port: int) -> Resource:
    """Return the virtual host of a service's port, as the sidecar of `pod` has it.

    Where the proxy knows no service of that name and port, the full name alone is served, by a rule
    for it: to istiod that is a rule for a host outside.
    """
    caller = _make_sidecar(pod, port)
    table, routes = None, list[Resource]()
    for table in _rank_tables(snapshot, service, caller):
        routes = _translate_routes(snapshot, table, caller)
        if routes:  # it has the host alone
            break
    scope = SidecarScope.for_proxy(snapshot.rules, pod.namespace, pod.labels)
    is_by_name = not _is_known(scope, service, port) and not (table and _is_always_served(table))
    if is_by_name:
        names = [service.host] if table and routes and service.host in table.hosts else []
    else:
        names = service.list_names_from(pod.namespace)
    if not is_by_name and (table is None or table.gateways is None or not routes):
        # What no RouteRule matches goes to all versions. What no VirtualService matches gets a 404,
        # unless all its matches are for other callers: then istiod leaves it out.
        everyone = Route((), (Target(service.host, (), 100),), service.at)
        routes.append(
            _translate_route(snapshot, everyone, None, "default", caller, is_default=True)
        )
    domains = [f"{name}:{port}" for name in names] + (names if port == _HTTP_PORT else [])
    return {"name": f"{service.host}:{port}", "domains": domains, "routes": routes}


def _is_always_served(table: RouteTable) -> bool:
    """Say whether a table holds for a service whatever else is known of it: no VirtualService."""
    return table.gateways is None or table.is_gateway_api


def _rank_tables(snapshot: Snapshot, service: Service, caller: _Caller) -> list[RouteTable]:
    """Return the tables for a service's port that a sidecar gets, the one that holds first.

    istiod takes those exported to the namespace before those for all, then the oldest; of equal age
    the first by name. A wildcard holds only where no table names the service: the narrowest one,
    and the first of its tables alone. Raises BadRules for a second one where one is a RouteRule.
    """
    scope = SidecarScope.for_proxy(snapshot.rules, caller.namespace, caller.labels)
    tables = [
        table
        for table in snapshot.rules.tables
        if table.applies_to_mesh
        and _covers(table, service)
        and table.applies_to_port(caller.port)
        and table.is_visible_from(caller.namespace)
        and scope.has_table(table, caller.port)
        and _is_selected(snapshot, scope, table, caller.port)
    ]
    named = [table for table in tables if service.host in table.hosts]
    if len(named) > 1 and any(table.gateways is None for table in named):
        raise named[1].at.error(
            f"a second rule for {service.host}, which has one at {named[0].at}; "
            "which routes come first is not specified"
        )
    if named:
        return _sort_tables(named, caller.namespace)
    wildcards = [
        host
        for table in tables
        for host in table.hosts
        if host.startswith("*") and _is_host_of(host, service.host)
    ]
    narrowest = max(wildcards, key=len, default="")
    covering = [table for table in tables if narrowest in table.hosts]
    return _sort_tables(covering, caller.namespace)[:1]


def _is_selected(snapshot: Snapshot, scope: SidecarScope, table: RouteTable, port: int) -> bool:
    """Say whether a proxy has a table at a port: at another than 80 it is for a service there.

    Source: istiod, core/httproute.go, selectVirtualServices.
    """
    return (
        port == _HTTP_PORT
        or _is_always_served(table)
        or any(
            _covers(table, service) and _is_known(scope, service, port)
            for service in snapshot.topology.services
        )
    )


def _sort_tables(tables: Iterable[RouteTable], namespace: str) -> list[RouteTable]:
    """Return tables as istiod sorts them for a proxy of a namespace."""

    def make_key(table: RouteTable) -> tuple[int, str, str, str]:
        is_own = table.namespace == namespace
        if table.export_to:
            tier = 0 if is_own else 1
        else:
            tier = 2 if is_own and table.is_gateway_api else 3
        return tier, table.created, table.name, table.namespace

    return sorted(tables, key=make_key)


def check_one_proxy(gateways: Sequence[Gateway]) -> None:
    """Raise BadRules if different proxies serve a host and port: here one stands for all."""
    for gateway, other_gateway in itertools.combinations(gateways, 2):
        servers = (
            itertools.product(gateway.servers, other_gateway.servers)
            if not set(gateway.proxies) & set(other_gateway.proxies)
            else ()
        )
        for server, other_server in servers:
            if server.port == other_server.port and intersect_hosts(
                server.hosts, other_server.hosts
            ):
                raise other_gateway.at.error(
                    f"{other_gateway.name} and {gateway.name} at {gateway.at} "
                    f"have hosts of port {server.port} in "
                    "common, but not the proxy; that is not supported yet"
                )


def list_listeners(
    gateways: Iterable[Gateway], proxy: Proxy | None = None
) -> list[GatewayListener]:
    """Return what listens at a proxy of gateways, or at one that stands for all (None).

    Servers of plain HTTP on one port share their routes; one where TLS ends has its own.
    """
    listeners: dict[str, GatewayListener] = {}
    for gateway in sorted(gateways, key=_make_gateway_key):
        if proxy is not None and proxy not in gateway.proxies:
            continue
        for index, server in enumerate(gateway.servers):
            name, key = format_gateway_route_name(server.port), ""
            if server.tls:
                name = f"https.{server.port}.{index}.{'.'.join(gateway.name.split('/'))}"
                key = f"{gateway.name}#{index}"
            new = GatewayListener(name, server.port, server.tls, server_key=key)
            known = listeners.get(name, new)
            listeners[name] = replace(known, servers=(*known.servers, (gateway, server)))
    return list(listeners.values())


def translate_gateway_routes(
    snapshot: Snapshot, listener: GatewayListener, proxy: Proxy | None = None
) -> Resource:
    """Return the route configuration of a listener of a gateway's proxy."""
    domains: dict[str, list[Resource]] = {}
    redirected: set[str] = set()
    for gateway, server in listener.servers:
        own_proxy = proxy or gateway.proxies[0]
        for table in _sort_tables(snapshot.rules.tables, own_proxy.namespace):
            is_visible = table.is_visible_from(own_proxy.namespace)
            if gateway.name not in (table.gateways or ()) or not is_visible:
                continue
            common = intersect_hosts(table.hosts, server.hosts_for(table.namespace))
            caller = _Caller(
                gateway.name, own_proxy.labels, own_proxy.namespace, server.port, bool(server.tls)
            )
            routes = _translate_gateway_table(snapshot, table, caller) if common else []
            for host in common:
                domains.setdefault(host, []).extend(routes)
            redirected |= set(common if server.redirects_to_https else ())
        if server.redirects_to_https:
            everybodys = server.hosts_for("")
            redirected |= set(everybodys)
            for host in everybodys:
                domains.setdefault(host, [])
    hosts = [
        {
            "name": host,
            "domains": [host],
            "routes": _move_catch_alls(routes),
            **({"require_tls": "ALL"} if host in redirected else {}),
        }
        for host, routes in domains.items()
    ]
    config = _make_route_configuration(listener.name, hosts)
    return {**config, "ignore_port_in_host_matching": True}


def _make_gateway_key(gateway: Gateway) -> tuple[str, ...]:
    """Return the key by which istiod sorts Gateways: age, then name."""
    return gateway.created, *reversed(gateway.name.split("/"))


def _move_catch_alls(routes: list[Resource]) -> list[Resource]:
    """Return routes with those that take every request at the end, else in order."""
    return sorted(routes, key=lambda route: _is_catch_all(route))


def _is_catch_all(route: Resource) -> bool:
    """Say whether an Envoy route takes every request, by istiod's criteria (IsCatchAllRoute)."""
    match = route["match"]
    takes_every_path = match.get("prefix") == "/" or (
        match.get("safe_regex", {}).get("regex") == ".*"
    )
    return takes_every_path and not match.get("headers") and not match.get("query_parameters")


def format_gateway_route_name(port: int) -> str:
    """Return the name of the route configuration of a gateway port."""
    return f"http.{port}"


def _translate_gateway_table(
    snapshot: Snapshot, table: RouteTable, caller: _Caller
) -> list[Resource]:
    """Return Envoy's routes of a table at a server of a gateway."""
    routes = _translate_routes(snapshot, table, caller)
    # A catch-all ends the routes of its own table; those of others may come before it.
    end = next((index for index, route in enumerate(routes) if _is_catch_all(route)), len(routes))
    return routes[: end + 1]


@dataclass(frozen=True)
class _Caller:
    """A caller: its labels, namespace and the port it calls.

    `gateway` is `mesh` for a sidecar, else the name of a gateway, in its proxy's namespace. Its
    clients may use TLS.
    """

    gateway: str
    labels: Labels
    namespace: str
    port: int
    is_tls: bool = False

    def can_match(self, match: Match | None) -> bool:
        """Say whether a match can hold for requests of this caller."""
        return match is None or (
            (not match.gateways or self.gateway in match.gateways)
            and set(match.source) <= set(self.labels)
            and match.source_namespace in ("", self.namespace)
            and match.port in (None, self.port)
        )


def _translate_routes(snapshot: Snapshot, table: RouteTable, caller: _Caller) -> list[Resource]:
    """Return Envoy's routes of a table: one for each match that can hold for the caller."""
    routes = []
    for route in table.routes:
        name = f"{table.name}.{route.name}" if route.name else table.name
        for match in filter(caller.can_match, route.matches or (None,)):
            routes.append(_translate_route(snapshot, route, match, name, caller))
    return routes


def _translate_route(
    snapshot: Snapshot,
    route: Route,
    match: Match | None,
    name: str,
    caller: _Caller,
    *,
    is_default: bool = False,
) -> Resource:
    """Return Envoy's route for one match of a route.

    One that `is_default` is of no rule: its retries go to other pods whatever picks the first.
    Source: istiod, route.go, translateRoute (line 685 of 1.31) and BuildDefaultHTTPOutboundRoute.
    """
    config: Resource = {
        "name": name,
        "match": translate_match(match),
        "decorator": {"operation": name},
        **actions.translate_extras(route),
    }
    if route.redirect is not None:
        return {
            **config,
            "redirect": actions.translate_redirect(
                route.redirect, match, caller.port, caller.is_tls
            ),
        }
    if route.direct_response is not None:
        return {
            **config,
            "direct_response": actions.translate_direct_response(route.direct_response),
        }
    mirrors = [
        actions.translate_mirror(mirror, _find_cluster_name(snapshot, mirror.target, caller))
        for mirror in route.mirrors
    ]
    hashes = _find_hashes(snapshot, route, caller)
    keeps_pod = bool(hashes) and len(route.split) == 1 and not is_default
    action = {
        **_translate_destination(snapshot, route, hashes, caller),
        **actions.translate_forwarding(route, match, keeps_pod=keeps_pod),
    }
    return {**config, "route": {**action, "request_mirror_policies": mirrors}}


def _translate_destination(
    snapshot: Snapshot, route: Route, hashes: Iterable[PodHash], caller: _Caller
) -> Resource:
    """Return the clusters of a route's action: one, or several with weights."""
    weighted_clusters = [
        {
            "name": _find_cluster_name(snapshot, target, caller),
            "weight": target.weight,
            **actions.translate_headers(target.headers),
        }
        for target in route.split
    ]
    hash_policies = list(map(pod_hashes.translate_policy, hashes))
    policies = {"hash_policy": hash_policies} if hash_policies else {}
    if len(weighted_clusters) == 1 and route.split[0].headers == UNCHANGED:
        return {"cluster": weighted_clusters[0]["name"], **policies}
    return {"weighted_clusters": {"clusters": weighted_clusters}, **policies}


def _find_hashes(snapshot: Snapshot, route: Route, caller: _Caller) -> list[PodHash]:
    """Return what of a request picks a pod of each destination that has requests."""
    hashes = []
    for target in route.split:
        service = snapshot.find_service(target.host, target.at)
        rule = _find_rule(snapshot.rules, service, caller.namespace)
        pod_hash = pod_hashes.find_route_hash(rule, target.subset_name)
        if pod_hash is not None and (target.weight or len(route.split) == 1):
            hashes.append(pod_hash)
    return hashes


def _find_cluster_name(snapshot: Snapshot, target: Target, caller: _Caller) -> str:
    """Return the name of a target's cluster: the port is the target's, else the called one.

    A gateway takes the service's only port instead. A sidecar does not, whatever the reference of
    `Destination` says: istiod gives its routes only those services that have the called port. The
    clusters of other services are not found (503; seen on Istio 1.31).
    """
    service = snapshot.find_service(target.host, target.at)
    first_port = next(iter(service.ports))
    default_port = first_port if caller.gateway != MESH and len(service.ports) == 1 else caller.port
    port = target.port or default_port
    if port not in service.ports and not snapshot.serves_dead_ends:
        ports = ", ".join(map(str, service.ports))
        hint = "" if target.port else " (where no `port` is said, it is the one that was called)"
        raise _make_error(target.at, f"{service.name} has no port {port}; it has: {ports}{hint}")
    labels = _find_subset(snapshot.rules, service, target, caller.namespace)
    if labels is None:
        # The route names a cluster that its proxy does not have: 503 (response flag NC).
        return f"{format_cluster_name(service, port, target.subset_name)} {_NO_SUBSET}"
    subset = replace(target, labels=labels).subset
    scope = SidecarScope.for_proxy(snapshot.rules, caller.namespace, caller.labels)
    if caller.gateway == MESH and not scope.has_cluster(snapshot.rules, service, port):
        return f"{format_cluster_name(service, port, subset)} {_NO_IMPORT}"
    return format_cluster_name(service, port, subset)


def _find_subset(rules: RuleSet, service: Service, target: Target, namespace: str) -> Labels | None:
    """Return the labels of a target's subset as a proxy of a namespace has it, None without it."""
    if not target.subset_name:
        return target.labels
    if service.is_external:
        covering = (
            rule for rule in rules.destination_rules if _is_host_of(rule.host, service.host)
        )
        is_defined = any(target.subset_name in dict(rule.subsets) for rule in covering)
        return target.labels if is_defined else None
    rule = _find_rule(rules, service, namespace)
    return dict(rule.subsets).get(target.subset_name) if rule is not None else None


def _find_rule(rules: RuleSet, service: Service, namespace: str) -> DestinationRule | None:
    """Return the DestinationRule of a service that a proxy of a namespace has, or None.

    istiod looks for one in the proxy's namespace, then in the service's, then in the root
    namespace, and takes the first one it finds, whatever its subsets are.
    """
    covering = [rule for rule in rules.destination_rules if _is_host_of(rule.host, service.host)]
    for owner in (namespace, service.namespace, ROOT_NAMESPACE):
        is_first = owner == namespace
        in_owner = [rule for rule in covering if rule.namespace == owner]
        private = [rule for rule in in_owner if rule.export_to == (owner,)]
        if is_first and owner == ROOT_NAMESPACE:
            usable = private
        elif is_first:
            usable = [rule for rule in in_owner if rule.is_visible_from(owner)]
        else:
            usable = [rule for rule in in_owner if rule not in private]
        if rule := _find_nearest(usable, namespace):
            return rule
    if namespace == ROOT_NAMESPACE:  # its rules for all, as other namespaces get them
        usable = [rule for rule in covering if rule.namespace == namespace and not rule.export_to]
        return _find_nearest(usable, namespace)
    return None


def _find_nearest(rules: Iterable[DestinationRule], namespace: str) -> DestinationRule | None:
    """Return the last visible rule for the narrowest host of some rules, or None."""
    known = list(rules)
    exact = [rule for rule in known if not rule.host.startswith("*")]
    length = max((len(rule.host) for rule in exact or known), default=0)
    nearest = [rule for rule in exact or known if len(rule.host) == length]
    return next((rule for rule in reversed(nearest) if rule.is_visible_from(namespace)), None)


def _is_host_of(pattern: str, host: str) -> bool:
    """Say whether the host of a DestinationRule, maybe a wildcard, is for a service."""
    return host == pattern or (pattern.startswith("*") and host.endswith(pattern[1:]))


def translate_clusters(snapshot: Snapshot, identity: Identity) -> list[Resource]:
    """Return the outbound clusters: each service port, whole and by the rules' subsets."""
    subsets: dict[str, dict[str, Labels]] = {
        service.host: {"": ()} for service in snapshot.topology.services
    }
    subset_names: dict[tuple[str, str], set[str]] = defaultdict(set)
    for table in snapshot.rules.tables:
        for route in table.routes:
            for target in route.targets:
                snapshot.find_service(target.host, target.at)
                variants = _list_variants(snapshot.rules, target)
                for variant in variants if not target.is_undefined else ():
                    subsets[target.host][variant.subset] = variant.labels
                    subset_names[target.host, variant.subset] |= {variant.subset_name}
    return [
        _translate_cluster(snapshot, service, port, name, labels, identity)
        | _translate_balancer(snapshot, service, subset_names[service.host, name] or {""})
        for service in snapshot.topology.services
        if service.exists
        for port in service.ports
        for name, labels in subsets[service.host].items()
    ]


def _translate_balancer(snapshot: Snapshot, service: Service, names: set[str]) -> Resource:
    """Return how a cluster picks pods if a rule says by what of a request, for one of its names.

    All callers share the cluster: those whose rule says nothing have routes without a hash.
    """
    rules = [
        rule for rule in snapshot.rules.destination_rules if _is_host_of(rule.host, service.host)
    ]
    found = (pod_hashes.find_hash(rule, name) for rule in rules for name in sorted(names))
    pod_hash = next(filter(None, found), None)
    return pod_hashes.translate_balancer(pod_hash) if pod_hash is not None else {}


def _list_variants(rules: RuleSet, target: Target) -> list[Target]:
    """Return a target with the labels of its subset, and with those that other rules give it."""
    others = [
        replace(target, labels=dict(rule.subsets)[target.subset_name])
        for rule in rules.destination_rules
        if _is_host_of(rule.host, target.host) and target.subset_name in dict(rule.subsets)
    ]
    return [target, *others]


def _translate_cluster(
    snapshot: Snapshot,
    service: Service,
    port: int,
    subset: str,
    labels: Labels,
    identity: Identity,
) -> Resource:
    """Return the cluster of a service's port and subset, with its endpoints and mTLS."""
    pods = {pod.name for pod in snapshot.topology.select_pods(service, labels)}
    endpoints = [endpoint for endpoint in snapshot.endpoints if endpoint.pod.name in pods]
    accounts = {
        format_spiffe_id(endpoint.pod.namespace, endpoint.pod.service_account)
        for endpoint in endpoints
    }
    if port in service.tls_ports:
        endpoints = [replace(endpoint, port=endpoint.tls_port) for endpoint in endpoints]
    name = format_cluster_name(service, port, subset)
    sni = f"outbound_.{port}_.{subset}_.{service.host}"
    return {
        "name": name,
        # Envoy would cut the name at its first dot to make a label of it.
        "alt_stat_name": name.replace(".", "_"),
        "type": "STATIC",
        "connect_timeout": "10s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [_NO_LIMITS]},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [
                {
                    "lb_endpoints": [
                        _translate_endpoint(snapshot, endpoint) for endpoint in endpoints
                    ]
                }
            ],
        },
        **(
            {"transport_socket": make_origination(identity, service.host)}
            if port in service.origination_ports
            else _choose_transport(make_client_tls(identity, sorted(accounts), sni))
        ),
    }


def _choose_transport(mutual_tls: Resource) -> Resource:
    """Return the transport of a cluster: mutual TLS to each endpoint that takes it."""
    return {
        "transport_socket_matches": [
            {
                "name": "tlsMode-istio",
                "match": {"tlsMode": "istio"},
                "transport_socket": mutual_tls,
            },
            {"name": "tlsMode-disabled", "match": {}, "transport_socket": PLAINTEXT_SOCKET},
        ],
    }


PLAINTEXT_SOCKET: Resource = {
    "name": "envoy.transport_sockets.raw_buffer",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
    },
}


def _translate_endpoint(snapshot: Snapshot, endpoint: Endpoint) -> Resource:
    """Return Envoy's endpoint, marked for mutual TLS unless its pod disables that."""
    config: Resource = {
        "endpoint": {"address": make_socket_address(endpoint.host, endpoint.port)},
    }
    if snapshot.resolve_mtls(endpoint.pod) != "DISABLE":
        config["metadata"] = {
            "filter_metadata": {"envoy.transport_socket_match": {"tlsMode": "istio"}}
        }
    return config


def make_local_cluster(
    name: str, host: str, port: int, extra: Mapping[str, object] = {}
) -> Resource:
    """Return a cluster of one plain address: the app of a sidecar, or a trace collector."""
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "10s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": make_socket_address(host, port)}}]}
            ],
        },
        **extra,
    }
