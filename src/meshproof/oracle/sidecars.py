"""What Sidecars let a caller see: services, the rules for them, and where these lead.

The Sidecar of a caller is one of its namespace, else the one of the whole mesh. Of its listeners
the one for the called port counts. Source: istiod, SidecarScope, SelectVirtualServices.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from meshproof.base.names import MESH, ROOT_NAMESPACE, is_service
from meshproof.inventory.sidecars import EgressListener, Import, Sidecar
from meshproof.oracle import hosts
from meshproof.oracle.conditions import Call
from meshproof.rules.model import RouteTable, RuleSet, Target

#: Rules that lead to no service of their caller are served at this port alone.
_HTTP_PORT = 80
#: The ports of services, by full host.
ServicePorts = Mapping[str, Collection[int]]


def find_sidecar(rules: RuleSet, call: Call) -> Sidecar | None:
    """Return the Sidecar that holds for the caller of a call, None if it sees everything."""
    if call.gateway != MESH:
        return None
    for sidecar in rules.sidecars:
        if sidecar.document.namespace == call.namespace and {*sidecar.selector} <= {*call.source}:
            return sidecar if sidecar.listeners else None
    for sidecar in rules.sidecars:
        if sidecar.document.namespace == ROOT_NAMESPACE and not sidecar.selector:
            return sidecar if sidecar.listeners else None
    return None


def sees_service(rules: RuleSet, call: Call) -> bool:
    """Say whether the caller of a call knows the host that it calls, at that port."""
    sidecar = find_sidecar(rules, call)
    if sidecar is None:
        return True
    listener = _find_listener(sidecar, call.port)
    return listener is not None and _imports_host(listener, call.host, call.namespace)


def sees_table(rules: RuleSet, table: RouteTable, call: Call) -> bool:
    """Say whether the caller of a call gets the rule, at the port that it calls."""
    sidecar = find_sidecar(rules, call)
    if sidecar is None:
        return True
    listener = _find_listener(sidecar, call.port)
    return listener is not None and _imports_table(listener, table, call.namespace)


def hides(rules: RuleSet, table: RouteTable, call: Call, service_ports: ServicePorts) -> bool:
    """Say whether a Sidecar keeps a call of a rule's host from it.

    A rule for a host that is no known service holds by the name that it is for: at port 80, and
    where the caller sees a service of the rule with the called port.
    """
    if sees_service(rules, call):
        return not sees_table(rules, table, call)
    is_by_name = call.host_header.partition(":")[0] in table.hosts and (
        call.port == _HTTP_PORT or _sees_service_of(rules, table, call, service_ports)
    )
    return not (is_by_name and sees_table(rules, table, call))


def _sees_service_of(
    rules: RuleSet, table: RouteTable, call: Call, service_ports: ServicePorts
) -> bool:
    """Say whether the caller of a call knows a service that a rule is for, at the called port."""
    return any(
        hosts.covers(own, host) and sees_service(rules, replace(call, host=host))
        for host, ports in service_ports.items()
        if call.port in ports
        for own in table.hosts
    )


def lacks_target(rules: RuleSet, call: Call, target: Target) -> bool:
    """Say whether no listener of the caller knows a destination of a rule that it sees.

    A listener without a port knows each destination of its rules, one with a port those services
    that have the port, and of these the port alone.
    """
    sidecar = find_sidecar(rules, call)
    if sidecar is None:
        return False
    port = target.port or call.port
    for listener in sidecar.listeners:
        is_known = _imports_host(listener, target.host, call.namespace) or any(
            _imports_table(listener, table, call.namespace)
            for table in rules.tables
            if any(target.host == known.host for route in table.routes for known in route.targets)
        )
        if is_known and listener.port in (None, port):
            return False
    return True


def _find_listener(sidecar: Sidecar, port: int) -> EgressListener | None:
    """Return the listener that takes calls of a port, None if there is none."""
    return next((item for item in sidecar.listeners if item.port in (None, port)), None)


def _imports_host(listener: EgressListener, host: str, caller: str) -> bool:
    """Say whether a listener imports a host; one outside the cluster may be of any namespace."""
    namespace = host.split(".")[1] if is_service(host) else None
    relevant = _select_imports(listener, namespace, caller)
    return any(
        not item.is_excluded and hosts.covers(item.host, host) for item in relevant
    ) and not (any(item.is_excluded and hosts.covers(item.host, host) for item in relevant))


def _imports_table(listener: EgressListener, table: RouteTable, caller: str) -> bool:
    """Say whether a listener imports a rule: by one of its hosts, from the rule's namespace."""
    relevant = _select_imports(listener, table.namespace, caller)
    excluded = [item.host for item in relevant if item.is_excluded]
    for host in table.hosts:
        is_named = any(
            hosts.covers(item.host, host)
            or (not table.is_gateway_api and hosts.covers(host, item.host))
            for item in relevant
            if not item.is_excluded
        )
        if is_named and not any(hosts.covers(name, host) for name in excluded):
            return True
    return False


def _select_imports(
    listener: EgressListener, namespace: str | None, caller: str
) -> Iterable[Import]:
    """Return the entries that are about a namespace, None for any, as a caller has them."""
    return [
        item
        for item in listener.imports
        if namespace is None
        or item.namespace in ("*", namespace)
        or (item.namespace == "." and caller == namespace)
    ]
