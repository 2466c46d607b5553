"""Reads networking.istio.io and security.istio.io objects into the routing model.

Source for fields and meanings: Istio reference, pages VirtualService, DestinationRule, Gateway and
PeerAuthentication.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache, partial

from meshproof.base.names import MESH, sort_labels
from meshproof.documents.host_names import read_host
from meshproof.documents.manifest import Document, Value
from meshproof.documents.problems import CheckedDocument, read_each
from meshproof.inventory.gateway_pods import NO_PODS, GatewayPods
from meshproof.rules import judge_options
from meshproof.rules.common_fields import read_string_match
from meshproof.rules.istio import actions, written
from meshproof.rules.istio.callers import Proxies, place_callers
from meshproof.rules.istio.delegates import Delegates
from meshproof.rules.istio.destinations import DestinationReader, Subsets
from meshproof.rules.istio.gateways import make_redirect_tables, read_gateways
from meshproof.rules.istio.peer_policies import read_peer_policies
from meshproof.rules.istio.policies import read_export
from meshproof.rules.judge_options import Options
from meshproof.rules.model import (
    Match,
    Route,
    RouteTable,
    RuleSet,
    StringMatch,
)
from meshproof.rules.written import PSEUDO_HEADERS, WrittenCondition, WrittenMatch

Headers = tuple[tuple[str, StringMatch], ...]

VERSIONS = ("v1", "v1beta1", "v1alpha3")
#: Kind -> its API group.
KINDS = {
    "VirtualService": "networking.istio.io",
    "DestinationRule": "networking.istio.io",
    "Gateway": "networking.istio.io",
    "PeerAuthentication": "security.istio.io",
}
DIALECT = "VirtualService"

#: Names of the authority among headers, for Envoy and for istiod.
AUTHORITY_HEADERS = (":authority", "host")


def handles(document: Document) -> bool:
    """Say whether this reader knows the document's group, version and kind."""
    group, _, version = document.api_version.rpartition("/")
    return KINDS.get(document.kind) == group and version in VERSIONS


def read_rules(
    documents: Iterable[CheckedDocument], gateway_pods: GatewayPods = NO_PODS
) -> RuleSet:
    """Return the rules in `documents`. Subsets are resolved to their labels.

    `gateway_pods` are pods that may be proxies of Gateways.

    What cannot be read becomes a problem of its document; all else is in the rules.
    """
    documents_by_kind: dict[str, list[CheckedDocument]] = {kind: [] for kind in KINDS}
    for checked in documents:
        documents_by_kind[checked.document.kind].append(checked)
    subsets = Subsets.from_rules(documents_by_kind["DestinationRule"])
    delegates = Delegates.from_documents(
        documents_by_kind["VirtualService"],
        cache(lambda delegate: _read_delegate(delegate, subsets)),
    )
    gateways = read_gateways(documents_by_kind["Gateway"], gateway_pods)
    proxies = {gateway.name: gateway.proxies for gateway in gateways}
    tables = read_each(
        delegates.list_roots(),
        lambda checked: _read_route_table(checked, subsets, delegates, proxies),
    )
    return RuleSet(
        tables=(*tables, *make_redirect_tables(gateways, tables)),
        gateways=gateways,
        policies=read_peer_policies(documents_by_kind["PeerAuthentication"]),
        dialect=DIALECT if documents_by_kind["VirtualService"] else "",
        destination_rules=subsets.rules,
    )


def _read_delegate(checked: CheckedDocument, subsets: Subsets) -> tuple[Route, ...]:
    """Return the routes of a delegate."""
    document = checked.document
    destinations, options = (
        DestinationReader(subsets, checked),
        judge_options.read_options(document),
    )
    return tuple(
        _read_route(checked, route, destinations, options)
        for route in document.spec.need("http").items()
    )


def _read_route_table(
    checked: CheckedDocument, subsets: Subsets, delegates: Delegates, proxies: Proxies
) -> RouteTable:
    document, spec = checked.document, checked.document.spec
    namespace = document.namespace
    host_values = spec.need("hosts").items()
    for host_value in host_values:
        read_host(host_value)
    hosts = tuple(host.full_name for host in written.read_hosts(host_values, namespace))
    routes = spec.need("http").items()
    if not hosts:
        raise spec.need("hosts").lacks("at least one host")
    if not routes:
        raise spec.need("http").lacks("at least one route")
    destinations, options = (
        DestinationReader(subsets, checked),
        judge_options.read_options(document),
    )
    gateways = _read_gateway_names(spec, namespace) or (MESH,)
    read_routes = _read_routes(checked, destinations, options, delegates)
    export_to = read_export(spec, namespace)
    for name in gateways if export_to else ():
        if any(proxy.name and proxy.is_assumed for proxy in proxies.get(name, ())):
            value = spec.need("exportTo")
            raise value.at.unsupported(
                f"the namespace of the proxies of Gateway {name} is not known", path=value.path
            )
    return RouteTable(
        hosts=hosts,
        routes=tuple(place_callers(route, gateways, proxies) for route in read_routes),
        gateways=gateways,
        at=document.at,
        name=document.name,
        namespace=namespace,
        export_to=export_to,
        created=document.created,
    )


def _read_gateway_names(parent: Value, namespace: str) -> tuple[str, ...]:
    """Return the names of gateways as namespace/name, `mesh` as it is."""
    names = parent.entries("gateways")
    for name in names:
        name.text()
    return tuple(gateway.full_name for gateway in written.read_gateways(names, namespace))


def _read_routes(
    checked: CheckedDocument,
    destinations: DestinationReader,
    options: Options,
    delegates: Delegates,
) -> Iterator[Route]:
    """Yield the routes of a table, with those of delegates in place of routes that delegate."""
    for value in checked.document.spec.need("http").items():
        route = _read_route(checked, value, destinations, options)
        if isinstance(value.content, dict) and "delegate" in value.content:
            yield from _read_delegated_routes(checked, route, value, delegates)
        else:
            yield route


def _read_delegated_routes(
    checked: CheckedDocument, root: Route, value: Value, delegates: Delegates
) -> Iterable[Route]:
    """Return the routes of the delegate that a route names; the route itself if there is none."""
    with checked.collect(value):
        return list(delegates.read_routes(root, value, checked.document.namespace))
    return [replace(root, problems=checked.list_errors(value))]


def _read_route(
    checked: CheckedDocument, value: Value, destinations: DestinationReader, options: Options
) -> Route:
    """Return a route; what of it cannot be read is in its problems."""
    route = Route(matches=(), split=(), at=value.at, options=options)
    with checked.collect(value):
        matches = value.entries("match")
        route = replace(
            route, matches=checked.read_each(matches, partial(_read_match, destinations.namespace))
        )
    with checked.collect(value):
        name = value.get("name")
        has_split = actions.needs_destinations(value)
        written_actions = written.read_actions(value, destinations.namespace)
        complete_route = actions.add_actions(
            replace(
                route,
                name=name.text() if name else "",
                split=destinations.read_split(written_actions, value) if has_split else (),
            ),
            value,
            written_actions,
            destinations.read_target,
        )
        actions.check_header_changes(complete_route)
        route = complete_route
    return replace(route, problems=checked.list_errors(value))


def _read_match(namespace: str, value: Value) -> Match:
    match = written.read_match(value, namespace)
    match.check_form()
    gateways, port = match.find("gateway"), match.find("port")
    source_namespace = match.find("source namespace")
    headers = _read_headers(match, negated=False)
    return Match(
        at=value.at,
        uri=None if _has_empty_prefix(match) else _read_part(match, "uri"),
        ignore_uri_case=match.ignores_uri_case.boolean() if match.ignores_uri_case else False,
        method=_read_part(match, "method"),
        authority=_read_authority(match, headers, value.path),
        headers=tuple(pair for pair in headers if pair[0] not in AUTHORITY_HEADERS),
        without_headers=_read_headers(match, negated=True),
        query=tuple((query.name, _read_condition(query)) for query in match.list("query")),
        gateways=gateways.values if gateways else (),
        source=sort_labels(
            {label.name: label.value.text() for label in match.list("source label")}
        ),
        source_namespace=source_namespace.value.text() if source_namespace else "",
        port=port.value.integer(1, 65535) if port else None,
        scheme=_read_part(match, "scheme"),
        has_empty_prefix=_has_empty_prefix(match),
    )


def _read_authority(match: WrittenMatch, headers: Headers, path: str) -> StringMatch | None:
    """Return the condition on the authority; Envoy looks it up for the header `host`, too."""
    conditions = [condition for name, condition in headers if name in AUTHORITY_HEADERS]
    own = _read_part(match, "authority")
    if len(conditions) > (own is None):
        raise conditions[-1].at.unsupported(
            "a second condition on the authority is not supported yet", path=path
        )
    return conditions[0] if conditions else own


def _has_empty_prefix(match: WrittenMatch) -> bool:
    """Say whether the condition on the path is a prefix that all paths have."""
    uri = match.find("uri")
    return uri is not None and uri.value.to_python() == {"prefix": ""}


def _read_part(match: WrittenMatch, part: str) -> StringMatch | None:
    """Return the string match of a part of the request, None without one."""
    condition = match.find(part)
    return _read_condition(condition) if condition else None


def _read_headers(match: WrittenMatch, negated: bool) -> tuple[tuple[str, StringMatch], ...]:
    """Return the conditions on headers by name; the negated ones are those of withoutHeaders.

    There the regex `*`, which is none, means any value (istiod, canBeConvertedToPresentMatch);
    elsewhere Istio refuses it.
    """
    conditions: dict[str, StringMatch] = {}
    key = "withoutHeaders" if negated else "headers"
    for condition in match.list("header", negated):
        name, value = condition.name, condition.value
        if name in PSEUDO_HEADERS:
            raise condition.at.error(f"Istio ignores '{name}' among {key}", path=value.path)
        if name.lower() in conditions:
            raise condition.at.error("a second condition on this header", path=value.path)
        if negated and name.lower() in AUTHORITY_HEADERS:
            raise condition.at.unsupported(
                "a host that must not be asked is not supported yet", path=value.path
            )
        is_any = negated and value.to_python() == {"regex": "*"}
        conditions[name.lower()] = (
            StringMatch("present", "", value.at) if is_any else _read_condition(condition)
        )
    return tuple(conditions.items())


def _read_condition(condition: WrittenCondition) -> StringMatch:
    """Return a string match. An empty mapping means that the header is present."""
    value = condition.value
    return read_string_match(value) if value.mapping() else StringMatch("present", "", value.at)
