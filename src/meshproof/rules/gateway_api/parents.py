"""Reads to what a route of Gateway API attaches: listeners of Gateways, and Services of the mesh.

Source: Gateway API reference, ParentReference and Hostname; GAMMA for Services.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from meshproof.base.errors import nearest
from meshproof.base.names import MESH, full_name
from meshproof.documents.manifest import At, Document, Value
from meshproof.rules.gateway_api.listeners import GROUP, Listener, narrower


class Place(NamedTuple):
    """Where a route holds: at a listener for a host, or in the mesh for a port of a service.

    `port` None stands for all ports of the service.
    """

    where: str
    host: str
    port: int | None = None


def places(route: Document, known: Sequence[Listener]) -> Iterator[Place]:
    """Yield where a route holds; `known` are all listeners.

    Raises BadRules with its place for a parent that is not there, takes no such route or is not
    supported yet, and for a hostname that no listener has.
    """
    parents = route.spec.need("parentRefs")
    if not parents.items():
        raise parents.error("at least one parent")
    hosts = _hosts(route)
    served: set[str] = set()
    attached = False
    for parent in parents.items():
        parent.allow("group", "kind", "name", "namespace", "port", "sectionName")
        group, kind = _text(parent, "group", GROUP), _text(parent, "kind", "Gateway")
        if (group, kind) == ("", "Service"):
            yield _service(route, parent)
            continue
        if (group, kind) != (GROUP, "Gateway"):
            hint = nearest(kind, ("Gateway", "Service")) if group in (GROUP, "") else ""
            of = f"'{group}'" if group else "Kubernetes' own objects"
            raise parent.at.unsupported(
                f"{parent.path}: a {kind} of {of} as parent is not supported yet{hint}"
            )
        attached = True
        for listener in _listeners(route, parent, known):
            for host in hosts:
                common = narrower(host, listener.host)
                if common and not _hidden(common, listener, known):
                    served.add(host)
                    yield Place(listener.full_name, common)
    for host, at in hosts.items() if attached else ():
        if host not in served:
            raise at.error(f"no listener that this route attaches to serves {host}")


def _text(parent: Value, key: str, default: str) -> str:
    found = parent.get(key)
    return found.text() if found is not None else default


def _hosts(route: Document) -> dict[str, At]:
    """Return the hostnames with their places; `*` where there are none."""
    found = route.spec.get("hostnames")
    entries = found.items() if found else []
    return {one.filled(): one.at for one in entries} or {"*": route.at}


def _service(route: Document, parent: Value) -> Place:
    section, port = parent.get("sectionName"), parent.get("port")
    if section is not None:
        raise section.at.unsupported(f"{section.path}: of a Service it is not supported yet")
    namespace = _text(parent, "namespace", route.namespace)
    if namespace != route.namespace:
        raise parent.keys["namespace"].unsupported(
            f"{parent.path}: a route for a Service of another namespace holds for callers of its "
            "own (a consumer route); that is not supported yet"
        )
    host = full_name(parent.need("name").filled(), namespace)
    return Place(MESH, host, port.integer(1, 65535) if port else None)


def _listeners(route: Document, parent: Value, known: Sequence[Listener]) -> list[Listener]:
    """Return the listeners of a Gateway that a route attaches to by a parentRef, at least one."""
    name = parent.need("name")
    full = f"{_text(parent, 'namespace', route.namespace)}/{name.filled()}"
    found = [one for one in known if one.gateway == full]
    if not found:
        hint = nearest(full, [one.gateway for one in known])
        raise name.at.missing(
            f"{name.path}: there is no Gateway {full}{hint}", full.partition("/")[0]
        )
    section, port = parent.get("sectionName"), parent.get("port")
    if section is not None:
        section.choice(*(one.name for one in found))
        found = [one for one in found if one.name == section.text()]
    if port is not None:
        wanted = port.integer(1, 65535)
        ports = ", ".join(str(one.port) for one in found)
        found = [one for one in found if one.port == wanted]
        if not found:
            raise port.at.error(f"{port.path}: {full} has no such port here; it has: {ports}")
    allowed = [one for one in found if one.accepts(route)]
    if not allowed:
        raise parent.at.error(
            f"{parent.path}: no listener of {full} takes a {route.kind} of namespace "
            f"{route.namespace}; see allowedRoutes at {found[0].at}"
        )
    return allowed


def _hidden(host: str, listener: Listener, known: Sequence[Listener]) -> bool:
    """Say whether requests for a host are those of a narrower listener beside this one."""
    return any(one.narrows(listener) and narrower(host, one.host) == host for one in known)
