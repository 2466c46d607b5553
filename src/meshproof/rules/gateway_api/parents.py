"""Finds where a Gateway API route attaches: to listeners of Gateways, or to Services of the mesh.

Source: Gateway API reference, ParentReference and Hostname; GAMMA for Services.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from meshproof.base.errors import suggest_nearest
from meshproof.base.names import MESH, qualify_host
from meshproof.documents.host_names import read_host
from meshproof.documents.manifest import At, Document, Value
from meshproof.rules.gateway_api.listeners import GROUP, Listener, intersect_hosts


class Attachment(NamedTuple):
    """Where a route applies: at a listener for a host, or in the mesh for a port of a service.

    `gateway` is the listener's full name, or `mesh`. A `port` of None means all ports of the
    service.
    """

    gateway: str
    host: str
    port: int | None = None


def find_attachments(route: Document, listeners: Sequence[Listener]) -> Iterator[Attachment]:
    """Yield where a route applies; `listeners` are those of all Gateways.

    Raises BadRules with file and line for a parent that does not exist, accepts no such route or
    is unsupported, and for a hostname that no listener serves.
    """
    parents = route.spec.get("parentRefs")
    if parents is None or not parents.items():
        raise route.at.unsupported(
            "it names none, and no Gateway serves it then", path="spec.parentRefs"
        )
    hosts = _read_hostnames(route)
    served_hosts: set[str] = set()
    has_gateway = False
    for parent in parents.items():
        group, kind = _read_text(parent, "group", GROUP), _read_text(parent, "kind", "Gateway")
        if (group, kind) == ("", "Service"):
            yield _attach_to_service(route, parent)
            continue
        if (group, kind) != (GROUP, "Gateway"):
            hint = suggest_nearest(kind, ("Gateway", "Service")) if group in (GROUP, "") else ""
            group_name = f"'{group}'" if group else "Kubernetes' own objects"
            raise parent.at.unsupported(
                f"a {kind} of {group_name} as parent is not supported yet{hint}", path=parent.path
            )
        has_gateway = True
        for listener in _find_listeners(route, parent, listeners):
            for host in hosts:
                shared_host = intersect_hosts(host, listener.host)
                if shared_host and not _is_hidden(shared_host, listener, listeners):
                    served_hosts.add(host)
                    yield Attachment(listener.full_name, shared_host)
    for host, at in hosts.items() if has_gateway else ():
        if host not in served_hosts:
            raise at.error(f"no listener that this route attaches to serves {host}")


def _read_text(parent: Value, key: str, default: str) -> str:
    value = parent.get(key)
    return value.text() if value is not None else default


def _read_hostnames(route: Document) -> dict[str, At]:
    """Return the hostnames with their positions; `*` if there are none."""
    hostnames = route.spec.get("hostnames")
    entries = hostnames.items() if hostnames else []
    return {read_host(hostname): hostname.at for hostname in entries} or {"*": route.at}


def _attach_to_service(route: Document, parent: Value) -> Attachment:
    """Return the attachment of a route to a Service of its own namespace."""
    section, port = parent.get("sectionName"), parent.get("port")
    if section is not None:
        raise section.at.unsupported("of a Service it is not supported yet", path=section.path)
    namespace = _read_text(parent, "namespace", route.namespace)
    if namespace != route.namespace:
        raise parent.keys["namespace"].unsupported(
            "a route for a Service of another namespace holds for callers of its "
            "own (a consumer route); that is not supported yet",
            path=parent.path,
        )
    host = qualify_host(parent.need("name").non_empty_text(), namespace)
    return Attachment(MESH, host, port.integer(1, 65535) if port else None)


def _find_listeners(
    route: Document, parent: Value, listeners: Sequence[Listener]
) -> list[Listener]:
    """Return the listeners that a parentRef attaches a route to, at least one."""
    name = parent.need("name")
    gateway = f"{_read_text(parent, 'namespace', route.namespace)}/{name.non_empty_text()}"
    matching = [listener for listener in listeners if listener.gateway == gateway]
    if not matching:
        hint = suggest_nearest(gateway, [listener.gateway for listener in listeners])
        raise name.at.missing(
            f"there is no Gateway {gateway}{hint}", gateway.partition("/")[0], path=name.path
        )
    section, port = parent.get("sectionName"), parent.get("port")
    if section is not None:
        section.choice(*(listener.name for listener in matching))
        matching = [listener for listener in matching if listener.name == section.text()]
    if port is not None:
        port_number = port.integer(1, 65535)
        ports = ", ".join(str(listener.port) for listener in matching)
        matching = [listener for listener in matching if listener.port == port_number]
        if not matching:
            raise port.at.error(f"{gateway} has no such port here; it has: {ports}", path=port.path)
    allowed = [listener for listener in matching if listener.accepts(route, parent)]
    if not allowed:
        raise parent.at.error(
            f"no listener of {gateway} takes a {route.kind} of namespace "
            f"{route.namespace}; see allowedRoutes at {matching[0].at}",
            path=parent.path,
        )
    return allowed


def _is_hidden(host: str, listener: Listener, listeners: Sequence[Listener]) -> bool:
    """Say whether a narrower listener takes a host from the routes at this one.

    It does so whether or not it has a route for it. Source: istiod, hostnameAllowedByIsolation.
    """
    return any(
        rival.narrows(listener) and intersect_hosts(host, rival.host) == host for rival in listeners
    )
