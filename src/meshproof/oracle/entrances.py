"""Where the requests of a rule come in: hosts of the mesh, and ports of gateways with their TLS.

At a gateway the port decides, and where TLS ends there the name that the client asks for (SNI): the
server with the narrowest host for it takes the connection, and knows the rules of its own hosts
alone. A server of HTTP that redirects to https answers for its hosts whatever the rules say.
Source: istiod, mergeGateways, buildGatewayHTTPRouteConfig; Envoy, filter chain match.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from meshproof.base.errors import suggest_nearest
from meshproof.base.names import MESH
from meshproof.oracle import hosts, sidecars, subsets
from meshproof.oracle.conditions import Call, TlsCall
from meshproof.rules.model import Gateway, Proxy, RouteTable, RuleSet, Server

#: The namespace of callers, where no rule names another.
CALLER_NAMESPACE = Call("").namespace
_DEFAULT_PORTS = (80,)


@dataclass(frozen=True)
class Listener:
    """What takes a request at a gateway: a port of a proxy and, with TLS, one server there."""

    proxy: Proxy
    port: int
    server: str = ""


def find_listener(call: Call) -> Listener:
    """Return the listener of a call at a gateway."""
    return Listener(call.proxy, call.port, call.tls.server if call.tls else "")


class Entrances:
    """Where the routes of each table of some rules apply.

    `ports` are the ports of services by full host (else 80). In `lone_namespaces` nobody calls the
    services of the namespace but, maybe, themselves. `absent_hosts` are no services, as is known.
    """

    def __init__(
        self,
        rules: RuleSet,
        ports: Mapping[str, Sequence[int]],
        lone_namespaces: Collection[str] = (),
        absent_hosts: Collection[str] = (),
    ) -> None:
        self._rules = rules
        self._absent_hosts = absent_hosts
        self._ports = ports
        #: The ports of each host that may be a service: none is known not to exist.
        self.service_ports = {
            host: numbers for host, numbers in ports.items() if host not in absent_hosts
        }
        self._lone_namespaces = lone_namespaces
        self._gateways = {gateway.name: gateway for gateway in rules.gateways}
        #: Listener -> the hosts there for which plain requests are redirected.
        self.redirected_hosts: dict[Listener, set[str]] = {}
        for table in rules.tables:
            servers = [self._iter_servers(table, name) for name in table.gateways or ()]
            for _, proxy, server in itertools.chain(*servers):
                if server.redirects_to_https:
                    listener = Listener(proxy, server.port)
                    redirected = self.redirected_hosts.setdefault(listener, set())
                    redirected.update(host for _, host in _meet(table, server))
        for gateway in rules.gateways:
            for proxy, server in itertools.product(gateway.proxies, gateway.servers):
                if server.redirects_to_https:
                    listener = Listener(proxy, server.port)
                    open_hosts = server.hosts_for("")  # for others there is no virtual host
                    self.redirected_hosts.setdefault(listener, set()).update(open_hosts)

    def find(self, table: RouteTable) -> Iterator[Call]:
        """Yield the plainest call for each host, gateway and port where a table's routes apply.

        Raises Missing for a gateway that does not exist.
        """
        for name in (MESH,) if table.gateways is None else table.gateways:
            if name == MESH:
                yield from self._find_mesh_calls(table)
            else:
                calls = self._find_gateway_calls(table, name)
                yield from itertools.filterfalse(self.is_redirected, calls)

    def _find_mesh_calls(self, table: RouteTable) -> Iterator[Call]:
        """Yield the plainest call for each host and port of a table in the mesh."""
        callers = _list_callers(
            self._rules, table, self._ports, self.service_ports, self._lone_namespaces
        )
        for namespace, host in _list_mesh_hosts(self._rules, table, self._ports, callers):
            has_short_names = not self._is_by_name(table, host)
            authority = hosts.make_example(host) if "*" in host else ""
            for port in filter(table.applies_to_port, self._list_ports(table, host)):
                yield Call(
                    host,
                    authority=authority,
                    port=port,
                    namespace=namespace,
                    has_short_names=has_short_names,
                )

    def _is_by_name(self, table: RouteTable, host: str) -> bool:
        """Say whether a rule of Istio is for a host that is no service: its full name counts."""
        return not table.is_gateway_api and host in self._absent_hosts

    def _list_ports(self, table: RouteTable, host: str) -> Sequence[int]:
        """Return the ports at which the mesh serves a host of a table.

        One that is no service is served at port 80, and where the table has a service.
        """
        if not self._is_by_name(table, host):
            return self._ports.get(host, table.ports or _DEFAULT_PORTS)
        siblings = (
            ports
            for name, ports in self.service_ports.items()
            if any(hosts.covers(other, name) for other in table.hosts)
        )
        return sorted({80, *itertools.chain(*siblings)})

    def enter(self, call: Call) -> Call:
        """Return a call by a name at a gateway with the proxy, and the TLS, that it has there.

        Its gateway becomes that of the server where TLS for the name ends. A call that says how it
        speaks TLS stays as it is.
        """
        if call.tls is not None:
            return call
        gateway = self._gateways[call.gateway]
        proxy = call.proxy if call.proxy in gateway.proxies else gateway.proxies[0]
        name = call.host_header.partition(":")[0].lower()
        owner, server = self._find_tls_server(proxy, call.port, name)
        if server is None:
            return replace(call, proxy=proxy, tls=None)
        tls = _make_tls(owner, server, name)
        return replace(call, gateway=owner.name, proxy=proxy, tls=tls)

    def explain_refusal(self, call: Call) -> str:
        """Return why a call gets no TLS, "" if it gets it or is plain."""
        if call.tls is None:
            return ""
        gateway, server = self._find_tls_server(call.proxy, call.port, call.tls.name)
        if server is None or _format_key(gateway, server) != call.tls.server:
            return f"no server of {call.gateway} has TLS for {call.tls.name}"
        if server.tls == "MUTUAL" and not call.tls.shows_certificate:
            return f"{call.gateway} takes no client without a certificate"
        return ""

    def list_servers(self, call: Call) -> list[tuple[Gateway, Server]]:
        """Return the servers, each with its gateway, that share the listener of a call."""
        servers = [
            (gateway, server)
            for gateway in self._rules.gateways
            if call.proxy in gateway.proxies
            for server in gateway.servers
            if server.port == call.port
        ]
        if call.tls is None:
            return [(gateway, server) for gateway, server in servers if server.tls is None]
        key = call.tls.server
        return [pair for pair in servers if pair[1].tls and _format_key(*pair) == key]

    def find_redirected(self, table: RouteTable) -> Iterator[Call]:
        """Yield the plainest call for each host of a table that is redirected to https."""
        for name in table.gateways or ():
            yield from filter(self.is_redirected, self._find_gateway_calls(table, name))

    def is_redirected(self, call: Call) -> bool:
        """Say whether a plain call at a gateway is redirected for its host."""
        return call.host in self.redirected_hosts.get(find_listener(call), ())

    def list_withheld_hosts(self, table: RouteTable, call: Call) -> list[str]:
        """Return the hosts of a table that the gateway of a call has for other namespaces alone."""
        servers = [
            server
            for server in self._gateways[call.gateway].servers
            if server.port == call.port and bool(server.tls) == bool(call.tls)
        ]
        return [
            host
            for host in table.hosts
            if any(hosts.intersect(host, own) for server in servers for own in server.hosts)
            and not any(
                hosts.intersect(host, own)
                for server in servers
                for own in server.hosts_for(table.namespace)
            )
        ]

    def find_unserved_name(self, call: Call) -> str:
        """Return a name near a call's host for which no server at its port speaks TLS, or ""."""
        served = [
            host
            for gateway in self._rules.gateways
            if call.proxy in gateway.proxies
            for server in gateway.servers
            if server.port == call.port
            for host in server.hosts
        ]
        return next(hosts.generate_unnamed(call.host, served), "")

    def explain_shut(self, table: RouteTable) -> str:
        """Return why a table gets no request although a gateway has its hosts, "" if none has."""
        servers = [self._iter_servers(table, name) for name in table.gateways or ()]
        for gateway, proxy, server in itertools.chain(*servers):
            for _, host in _meet(table, server):
                if server.redirects_to_https:
                    return (
                        f"{gateway.name} redirects every plain request for {host} to https, and "
                        "no other port has the route"
                    )
                name = hosts.make_example(host)
                rival, nearest = self._find_tls_server(proxy, server.port, name)
                if server.tls and nearest is not server:
                    return f"TLS for {name} ends at another server, that of {rival.name}"
        return ""

    def find_blind_namespace(self, table: RouteTable) -> str:
        """Return a namespace of proxies of a table's gateways that do not get it, "" for none."""
        proxies = (
            proxy
            for name in table.gateways or ()
            if name in self._gateways
            for proxy in self._gateways[name].proxies
        )
        namespaces = (proxy.namespace for proxy in proxies)
        return next((name for name in namespaces if not table.is_visible_from(name)), "")

    def _iter_servers(
        self, table: RouteTable, name: str
    ) -> Iterator[tuple[Gateway, Proxy, Server]]:
        """Yield each server of one of a table's gateways at each proxy that gets the table.

        Raises Missing for a gateway that does not exist.
        """
        if name == MESH:
            return
        if name not in self._gateways:
            raise table.at.missing(
                f"there is no Gateway {name}{suggest_nearest(name, self._gateways)}",
                name.partition("/")[0],
            )
        gateway = self._gateways[name]
        for proxy, server in itertools.product(gateway.proxies, gateway.servers):
            if table.is_visible_from(proxy.namespace):
                yield gateway, proxy, server

    def _find_gateway_calls(self, table: RouteTable, name: str) -> Iterator[Call]:
        """Yield the plainest call for each host of a table at each server of a gateway."""
        for gateway, proxy, server in self._iter_servers(table, name):
            for authority, host in _meet(table, server):
                tls = None
                if server.tls:
                    _, nearest = self._find_tls_server(proxy, server.port, authority)
                    if nearest is not server:
                        continue
                    tls = _make_tls(gateway, server, authority)
                yield Call(
                    host,
                    authority=authority,
                    gateway=gateway.name,
                    port=server.port,
                    proxy=proxy,
                    tls=tls,
                )

    def _find_tls_server(self, proxy: Proxy, port: int, name: str) -> tuple[Gateway, Server | None]:
        """Return the server, and its gateway, where TLS for a name ends at a port of a proxy."""
        candidates = [
            (len(host) if host != "*" else 0, not host.startswith("*"), gateway, server)
            for gateway in self._rules.gateways
            if proxy in gateway.proxies
            for server in gateway.servers
            if server.tls and server.port == port
            # One host for all makes the whole server one for all names.
            for host in (("*",) if "*" in server.hosts else server.hosts)
            if hosts.covers(host, name)
        ]
        if not candidates:
            return self._rules.gateways[0], None
        _, _, gateway, server = max(candidates, key=lambda entry: (entry[1], entry[0]))
        return gateway, server


def _format_key(gateway: Gateway, server: Server) -> str:
    """Return the name of a server where TLS ends."""
    return f"{gateway.name}#{gateway.servers.index(server)}"


def _make_tls(gateway: Gateway, server: Server, name: str) -> TlsCall:
    """Return how a client that asks for a name speaks TLS with a server."""
    mode = server.tls or "SIMPLE"
    return TlsCall(_format_key(gateway, server), mode, name, mode != "SIMPLE")


def _meet(table: RouteTable, server: Server) -> Iterator[tuple[str, str]]:
    """Yield (a name to ask for, host) for each host that a table and a server have in common."""
    for table_host, server_host in itertools.product(
        table.hosts, server.hosts_for(table.namespace)
    ):
        if host := hosts.intersect(table_host, server_host):
            yield hosts.make_example(host), host


def _list_mesh_hosts(
    rules: RuleSet,
    table: RouteTable,
    ports: Mapping[str, Sequence[int]],
    callers: Iterable[str],
) -> Iterator[tuple[str, str]]:
    """Yield (caller's namespace, host) for each host of a table in the mesh, and each caller.

    A wildcard stands for the services below it, but for those that another rule names, or has a
    narrower wildcard for. Where none is known it is a host of its own.
    """
    mesh_tables = [rule for rule in rules.tables if MESH in (rule.gateways or ())]
    named_hosts = [host for rule in mesh_tables for host in rule.hosts]
    targets = (
        target.host for rule in rules.tables for route in rule.routes for target in route.targets
    )
    services = dict.fromkeys((*ports, *named_hosts, *targets))
    for namespace, host in itertools.product(callers, table.hosts):
        covered = [
            service
            for service in services
            if "*" in host and "*" not in service and hosts.covers(host, service)
        ]
        if not covered:
            yield namespace, host
        nearer_hosts = {
            other_host
            for rule in mesh_tables
            if rule.is_visible_from(namespace)
            for other_host in rule.hosts
            if hosts.covers(host, other_host) and other_host != host
        }
        for service in covered:
            if not any(hosts.covers(nearer, service) for nearer in nearer_hosts):
                yield namespace, service


def _list_callers(
    rules: RuleSet,
    table: RouteTable,
    ports: Mapping[str, Sequence[int]],
    service_ports: sidecars.ServicePorts,
    lone_namespaces: Collection[str],
) -> list[str]:
    """Return the namespaces to call a table's hosts from; see `_list_usual_callers`.

    So are those whose own DestinationRules mean something else by its subsets. The rule's own
    namespace is one of them where a Sidecar says what its workloads see, unless nobody there may
    call, and the only one where Sidecars hide the rule from all others.
    """
    usual_callers = _list_usual_callers(rules, table)
    if table.export_to:
        return usual_callers
    targets = [target for route in table.routes for target in route.targets]
    usual_callers += subsets.list_differing_callers(rules, targets)
    if not rules.sidecars:
        return list(dict.fromkeys(usual_callers))
    seeing = [
        caller
        for caller in usual_callers
        if any(
            not sidecars.hides(rules, table, Call(host, namespace=caller, port=port), service_ports)
            for host in table.hosts
            for port in ports.get(host, table.ports or _DEFAULT_PORTS)
        )
    ]
    sidecar = sidecars.find_sidecar(rules, Call("", namespace=table.namespace))
    is_asked = sidecar is not None and table.namespace not in lone_namespaces
    own = [table.namespace] if is_asked or not seeing else []
    return list(dict.fromkeys([*seeing, *own]))


def _list_usual_callers(rules: RuleSet, table: RouteTable) -> list[str]:
    """Return the namespaces to call a table's hosts from: those that get its routes.

    That is the usual one, except for a table that is exported elsewhere, or whose subsets are those
    of its own namespace alone. An HTTPRoute beside a VirtualService for its host comes first for
    callers of its own namespace.
    """
    if table.export_to:
        return list(table.export_to)
    for namespace in dict.fromkeys((CALLER_NAMESPACE, table.namespace)):
        targets = (target for route in table.routes for target in route.targets)
        if all(subsets.sees_subset(rules, target, namespace) for target in targets):
            if namespace != CALLER_NAMESPACE:
                return [namespace]
            break
    has_rival = any(
        rule.gateways is not None and MESH in rule.gateways and set(rule.hosts) & set(table.hosts)
        for rule in rules.tables
        if rule.is_gateway_api != table.is_gateway_api
    )
    is_nearer = table.is_gateway_api and has_rival
    return list(dict.fromkeys([CALLER_NAMESPACE, *([table.namespace] if is_nearer else [])]))
