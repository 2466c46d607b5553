"""Reads Gateway API (gateway.networking.k8s.io) into the routing model.

Source: Gateway API reference, pages Gateway, HTTPRoute, GRPCRoute, ReferenceGrant and GAMMA (routes
of a Service). What they leave open follows istiod. Of overlapping hosts only the narrower decides.
A regex comes after every prefix, even `/` (istio issue 60695). A creation time counts where it is
written; a route without one is the youngest.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from types import MappingProxyType

from meshproof.base.errors import BadRules
from meshproof.base.names import MESH
from meshproof.documents.manifest import Document
from meshproof.documents.problems import CheckedDocument, read_each
from meshproof.inventory.namespaces import NamespaceLabels
from meshproof.rules.gateway_api.backends import ReferenceGrants
from meshproof.rules.gateway_api.listeners import GROUP, Listener, read_listeners
from meshproof.rules.gateway_api.parents import Attachment, find_attachments
from meshproof.rules.gateway_api.routes import RankedRoute, read_ranked_routes
from meshproof.rules.model import Gateway, Proxy, RouteTable, RuleSet, Server

#: Kind -> its versions.
KINDS = {
    "Gateway": ("v1", "v1beta1"),
    "GRPCRoute": ("v1",),
    "HTTPRoute": ("v1", "v1beta1"),
    "ReferenceGrant": ("v1", "v1beta1"),
}
DIALECT = "HTTPRoute"
#: The label of the pods that istiod makes for a Gateway, with its name.
_GATEWAY_LABEL = "gateway.networking.k8s.io/gateway-name"


def handles(document: Document) -> bool:
    """Say whether this reader knows the document's group, version and kind."""
    group, _, version = document.api_version.rpartition("/")
    return group == GROUP and version in KINDS.get(document.kind, ())


def read_rules(
    documents: Iterable[CheckedDocument], namespace_labels: NamespaceLabels = MappingProxyType({})
) -> RuleSet:
    """Return a gateway for each listener, and a route table for hosts with the same objects.

    A table has the routes of all HTTPRoutes of a host at a listener, or of a Service, in the order
    in which they are tried. Listeners may select namespaces by `namespace_labels`. What cannot be
    read, is not supported or applies nowhere becomes a problem of its document.
    """
    documents_by_kind: dict[str, list[CheckedDocument]] = {kind: [] for kind in KINDS}
    for checked in documents:
        documents_by_kind[checked.document.kind].append(checked)
    gateways = documents_by_kind["Gateway"]
    listeners_by_gateway = read_each(
        gateways, lambda checked: read_listeners(checked, namespace_labels)
    )
    listeners = list(itertools.chain.from_iterable(listeners_by_gateway))
    grants = ReferenceGrants.from_documents(documents_by_kind["ReferenceGrant"])
    attached_routes: dict[Attachment, list[Document]] = {}
    routes_by_document: dict[Document, list[RankedRoute]] = {}
    checked_by_document: dict[Document, CheckedDocument] = {}

    def read_route(checked: CheckedDocument) -> None:
        document = checked.document
        attachments = list(dict.fromkeys(find_attachments(document, listeners)))
        needs_grants = any(attachment.gateway != MESH for attachment in attachments)
        routes_by_document[document] = read_ranked_routes(checked, grants if needs_grants else None)
        checked_by_document[document] = checked
        for attachment in attachments:
            attached_routes.setdefault(attachment, []).append(document)

    routes = (*documents_by_kind["HTTPRoute"], *documents_by_kind["GRPCRoute"])
    read_each(sorted(routes, key=_age_key), read_route)
    for document, error in _find_attachment_errors(attached_routes):
        with checked_by_document[document].collect(document.root):
            raise error
    return RuleSet(
        (
            *_build_tables(attached_routes, routes_by_document),
            *_build_empty_tables(listeners, attached_routes),
        ),
        tuple(_make_gateway(listener) for listener in listeners),
        dialect=DIALECT if routes_by_document else "",
    )


def _age_key(checked: CheckedDocument) -> tuple[str, str, str]:
    """Return the sort key that orders routes with equal matches: by creation time, then name."""
    document = checked.document
    return document.created or "later", document.namespace, document.name


def _make_gateway(listener: Listener) -> Gateway:
    """Return the gateway of a listener, at the proxy of its Gateway."""
    servers = (Server(listener.port, (listener.host,), tls="SIMPLE" if listener.is_tls else None),)
    namespace, _, name = listener.gateway.partition("/")
    proxy = Proxy(listener.gateway, namespace, ((_GATEWAY_LABEL, name),), is_assumed=False)
    return Gateway(listener.full_name, servers, listener.at, (proxy,))


def _find_attachment_errors(
    attached_routes: dict[Attachment, list[Document]],
) -> Iterator[tuple[Document, BadRules]]:
    """Yield the errors of routes of two kinds at one attachment, and of ports beside all ports."""
    ports_by_host: dict[str, set[int | None]] = {}
    for attachment, routes in attached_routes.items():
        first_route, *later_routes = routes
        for route in later_routes:
            if route.kind != first_route.kind:
                yield (
                    route,
                    route.at.error(
                        f"{attachment.host} has a {route.kind} here and a {first_route.kind} at "
                        f"{first_route.at}; which of them holds is not specified"
                    ),
                )
        if attachment.gateway == MESH:
            attached_ports = ports_by_host.setdefault(attachment.host, set())
            attached_ports.add(attachment.port)
            if None in attached_ports and len(attached_ports) > 1:
                yield (
                    first_route,
                    first_route.at.unsupported(
                        f"{attachment.host} has routes for all of its ports and for one; that is "
                        "not supported yet"
                    ),
                )


def _build_tables(
    attached_routes: dict[Attachment, list[Document]], routes: dict[Document, list[RankedRoute]]
) -> Iterator[RouteTable]:
    """Yield the route tables. Hosts and listeners with the same objects share a table."""
    hosts_by_listener: dict[tuple[str, int | None, tuple[Document, ...]], list[str]] = {}
    for attachment, documents in attached_routes.items():
        hosts_by_listener.setdefault(
            (attachment.gateway, attachment.port, tuple(documents)), []
        ).append(attachment.host)
    gateways_by_table: dict[
        tuple[int | None, tuple[Document, ...], tuple[str, ...]], list[str]
    ] = {}
    for (gateway, port, merged_documents), names in hosts_by_listener.items():
        gateways_by_table.setdefault((port, merged_documents, tuple(names)), []).append(gateway)
    for (port, merged, table_hosts), gateways in gateways_by_table.items():
        ordered = sorted(
            (ranked for document in merged for ranked in routes[document]), key=RankedRoute.sort_key
        )
        yield RouteTable(
            hosts=table_hosts,
            routes=tuple(ranked.route for ranked in ordered),
            gateways=tuple(gateways),
            at=merged[0].at,
            name=" + ".join(document.name for document in merged),
            namespace=merged[0].namespace,
            ports=(port,) if port else (),
            created=merged[0].created,
            is_gateway_api=True,
        )


def _build_empty_tables(
    listeners: list[Listener], attached_routes: dict[Attachment, list[Document]]
) -> Iterator[RouteTable]:
    """Yield a table without routes for each listener of TLS that has none and narrows another one.

    There a request belongs to the listener with the narrowest host alone. The reference says so of
    plain HTTP, too, but calls it an extended feature ("listener isolation"), and istiod lacks it:
    the routes of a wider listener answer.
    """
    for listener in listeners:
        hides_hosts = listener.is_tls and any(listener.narrows(wide) for wide in listeners)
        if hides_hosts and Attachment(listener.full_name, listener.host) not in attached_routes:
            yield RouteTable(
                (listener.host,), (), (listener.full_name,), listener.at, listener.name
            )
