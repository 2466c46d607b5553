"""Reads Gateway API (gateway.networking.k8s.io) into the routing model.

Source: Gateway API reference, pages Gateway, HTTPRoute, GRPCRoute, ReferenceGrant and GAMMA (routes
of a Service). What they leave open is as istiod has it: of hosts that overlap the narrower alone
decides; a regex comes after every prefix, `/` too (istio issue 60695). Times of creation count
where they are written; a route without one is the youngest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from meshproof.base.names import MESH
from meshproof.documents.manifest import Document
from meshproof.rules.gateway_api.backends import Grants
from meshproof.rules.gateway_api.listeners import GROUP, Listener, check_apart, listeners
from meshproof.rules.gateway_api.parents import Place, places
from meshproof.rules.gateway_api.routes import Ranked, ranked
from meshproof.rules.model import Gateway, RouteTable, RuleSet, Server

#: Kind -> its versions.
KINDS = {
    "Gateway": ("v1", "v1beta1"),
    "GRPCRoute": ("v1",),
    "HTTPRoute": ("v1", "v1beta1"),
    "ReferenceGrant": ("v1", "v1beta1"),
}
DIALECT = "HTTPRoute"


def handles(document: Document) -> bool:
    """Say whether this reader knows the document's group, version and kind."""
    group, _, version = document.api_version.rpartition("/")
    return group == GROUP and version in KINDS.get(document.kind, ())


def read(documents: Iterable[Document]) -> RuleSet:
    """Return a gateway for each listener, and a route for the hosts that the same objects are for.

    The routes of all HTTPRoutes of a host at a listener, or of a Service, are in the order in which
    they are tried. Raises BadRules with file and line for what is missing, unknown, not supported
    yet, or could not hold anywhere.
    """
    found: dict[str, list[Document]] = {kind: [] for kind in KINDS}
    for document in documents:
        found[document.kind].append(document)
    known = [one for gateway in found["Gateway"] for one in listeners(gateway)]
    check_apart(known)
    grants = Grants.read(found["ReferenceGrant"])
    at_place: dict[Place, list[Document]] = {}
    routes: dict[Document, list[Ranked]] = {}
    for document in sorted((*found["HTTPRoute"], *found["GRPCRoute"]), key=_age):
        own = list(dict.fromkeys(places(document, known)))
        guarded = any(place.where != MESH for place in own)
        routes[document] = ranked(document, grants if guarded else None)
        for place in own:
            at_place.setdefault(place, []).append(document)
    _check_places(at_place)
    return RuleSet(
        (*_routes(at_place, routes), *_unrouted(known, at_place)),
        tuple(_gateway(one) for one in known),
        dialect=DIALECT if routes else "",
    )


def _age(document: Document) -> tuple[str, str, str]:
    """Return what tells which of two routes comes first where their matches do not."""
    created = document.metadata.get("creationTimestamp")
    return created.text() if created else "later", document.namespace, document.name


def _gateway(listener: Listener) -> Gateway:
    servers = (Server(listener.port, (listener.host,)),)
    return Gateway(listener.full_name, servers, listener.at, proxy=listener.gateway)


def _check_places(at_place: dict[Place, list[Document]]) -> None:
    ports: dict[str, set[int | None]] = {}
    for place, documents in at_place.items():
        first, *others = documents
        for other in others:
            if other.kind != first.kind:
                raise other.at.error(
                    f"{place.host} has a {other.kind} here and a {first.kind} at {first.at}; which "
                    "of them holds is not specified"
                )
        if place.where == MESH:
            known = ports.setdefault(place.host, set())
            known.add(place.port)
            if None in known and len(known) > 1:
                raise first.at.unsupported(
                    f"{place.host} has routes for all of its ports and for one; that is not "
                    "supported yet"
                )


def _routes(
    at_place: dict[Place, list[Document]], routes: dict[Document, list[Ranked]]
) -> Iterator[RouteTable]:
    """Yield the routes: hosts and listeners with the same objects share one."""
    hosts: dict[tuple[str, int | None, tuple[Document, ...]], list[str]] = {}
    for place, documents in at_place.items():
        hosts.setdefault((place.where, place.port, tuple(documents)), []).append(place.host)
    where: dict[tuple[int | None, tuple[Document, ...], tuple[str, ...]], list[str]] = {}
    for (gateway, port, same), names in hosts.items():
        where.setdefault((port, same, tuple(names)), []).append(gateway)
    for (port, merged, named), gateways in where.items():
        tried = sorted((one for document in merged for one in routes[document]), key=Ranked.order)
        yield RouteTable(
            hosts=named,
            routes=tuple(one.route for one in tried),
            gateways=tuple(gateways),
            at=merged[0].at,
            name=" + ".join(document.name for document in merged),
            namespace=merged[0].namespace,
            ports=(port,) if port else (),
        )


def _unrouted(known: list[Listener], at_place: dict[Place, list[Document]]) -> Iterator[RouteTable]:
    """Yield a table without routes for each listener that hides hosts from a wider one.

    A request belongs to the listener with the narrowest host alone (Gateway reference, listeners).
    """
    for one in known:
        hides = any(one.narrows(wide) for wide in known)
        if hides and Place(one.full_name, one.host) not in at_place:
            yield RouteTable((one.host,), (), (one.full_name,), one.at, one.name)
