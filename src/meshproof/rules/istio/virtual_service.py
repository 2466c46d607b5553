"""Reads networking.istio.io and security.istio.io objects into the routing model.

Source for fields and meanings: Istio reference, pages VirtualService, DestinationRule, Gateway and
PeerAuthentication.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import get_args

from meshproof.base.names import MESH, ROOT_NAMESPACE, full_name, gateway_name, labels
from meshproof.documents.manifest import Document, Value
from meshproof.rules import judge_options
from meshproof.rules.conditions import string_match
from meshproof.rules.istio import actions
from meshproof.rules.istio.delegates import Delegates
from meshproof.rules.istio.destinations import Destinations, Subsets
from meshproof.rules.istio.policies import check_export
from meshproof.rules.judge_options import Options
from meshproof.rules.model import (
    Gateway,
    Match,
    MtlsMode,
    PeerPolicy,
    Route,
    RouteTable,
    RuleSet,
    Server,
    StringMatch,
)

VERSIONS = ("v1", "v1beta1", "v1alpha3")
#: Kind -> its API group.
KINDS = {
    "VirtualService": "networking.istio.io",
    "DestinationRule": "networking.istio.io",
    "Gateway": "networking.istio.io",
    "PeerAuthentication": "security.istio.io",
}
DIALECT = "VirtualService"

#: Keys that Istio ignores among `headers`: they are conditions of their own (HTTPMatchRequest).
NO_HEADERS = ("uri", "scheme", "method", "authority")
_PROTOCOLS = ("HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTPS", "TLS", "TCP", "MONGO")


def handles(document: Document) -> bool:
    """Say whether this reader knows the document's group, version and kind."""
    group, _, version = document.api_version.rpartition("/")
    return KINDS.get(document.kind) == group and version in VERSIONS


def read(documents: Iterable[Document]) -> RuleSet:
    """Return the rules in `documents`; subsets are resolved to the labels that they stand for.

    Raises BadRules with file and line for what is missing, unknown or not supported yet.
    """
    found: dict[str, list[Document]] = {kind: [] for kind in KINDS}
    for document in documents:
        found[document.kind].append(document)
    subsets = Subsets.read(found["DestinationRule"])
    delegates = Delegates.among(found["VirtualService"], lambda part: _parts(part, subsets))
    return RuleSet(
        tables=tuple(_route_table(document, subsets, delegates) for document in delegates.roots()),
        gateways=tuple(_gateway(document) for document in found["Gateway"]),
        policies=tuple(_policy(document) for document in found["PeerAuthentication"]),
        dialect=DIALECT if found["VirtualService"] else "",
    )


def _parts(document: Document, subsets: Subsets) -> tuple[Route, ...]:
    """Return the routes of a delegate."""
    check_export(document.spec)
    destinations, options = Destinations(subsets, document.namespace), judge_options.read(document)
    return tuple(
        _route(route, destinations, options) for route in document.spec.need("http").items()
    )


def _route_table(document: Document, subsets: Subsets, delegates: Delegates) -> RouteTable:
    spec = document.spec
    spec.allow("exportTo", "gateways", "hosts", "http", unsupported=("tcp", "tls"))
    check_export(spec)
    namespace = document.namespace
    hosts = tuple(full_name(host.text(), namespace) for host in spec.need("hosts").items())
    routes = spec.need("http").items()
    if not hosts:
        raise spec.need("hosts").error("at least one host")
    if not routes:
        raise spec.need("http").error("at least one route")
    destinations, options = Destinations(subsets, namespace), judge_options.read(document)
    return RouteTable(
        hosts=hosts,
        routes=tuple(_routes(routes, destinations, options, delegates)),
        gateways=_gateway_names(spec, namespace) or (MESH,),
        at=document.at,
        name=document.name,
        namespace=namespace,
    )


def _gateway_names(parent: Value, namespace: str) -> tuple[str, ...]:
    names = [entry.text() for entry in parent.entries("gateways")]
    return tuple(gateway_name(name, namespace) for name in names)


def _routes(
    routes: Iterable[Value], destinations: Destinations, options: Options, delegates: Delegates
) -> Iterator[Route]:
    for route in routes:
        found = _route(route, destinations, options)
        if route.get("delegate") is None:
            yield found
        else:
            yield from delegates.routes(found, route, destinations.namespace)


def _route(route: Value, destinations: Destinations, options: Options) -> Route:
    route.allow("delegate", "match", "name", "route", *actions.KEYS)
    name = route.get("name")
    sends_on = actions.sends_on(route)
    found = Route(
        matches=tuple(_match(match, destinations.namespace) for match in route.entries("match")),
        split=destinations.split(route.need("route")) if sends_on else (),
        at=route.at,
        name=name.text() if name else "",
        options=options,
    )
    found = actions.acting(found, route, destinations.destination)
    actions.check_headers(found)
    return found


def _match(match: Value, namespace: str) -> Match:
    match.allow(
        "authority",
        "gateways",
        "headers",
        "ignoreUriCase",
        "method",
        "name",
        "port",
        "queryParams",
        "scheme",
        "sourceLabels",
        "sourceNamespace",
        "statPrefix",
        "uri",
        "withoutHeaders",
    )
    case, source = match.get("ignoreUriCase"), match.get("sourceLabels")
    namespace_of, port = match.get("sourceNamespace"), match.get("port")
    return Match(
        at=match.at,
        uri=_optional_string(match, "uri"),
        ignore_uri_case=case.boolean() if case else False,
        method=_optional_string(match, "method"),
        authority=_optional_string(match, "authority"),
        headers=_strings(match, "headers"),
        without_headers=_strings(match, "withoutHeaders"),
        query=_strings(match, "queryParams"),
        gateways=_gateway_names(match, namespace),
        source=labels(source.texts()) if source else (),
        source_namespace=namespace_of.text() if namespace_of else "",
        port=port.integer(1, 65535) if port else None,
        scheme=_optional_string(match, "scheme"),
    )


def _optional_string(match: Value, key: str) -> StringMatch | None:
    found = match.get(key)
    return _condition(found) if found else None


def _strings(match: Value, key: str) -> tuple[tuple[str, StringMatch], ...]:
    found = match.get(key)
    if found is None:
        return ()
    if key == "queryParams":
        return tuple((name, _condition(value)) for name, value in found.mapping().items())
    conditions: dict[str, StringMatch] = {}
    for name, value in found.mapping().items():
        if name in NO_HEADERS:
            raise found.keys[name].error(f"{value.path}: Istio ignores '{name}' among {key}")
        if name.lower() in conditions:
            raise found.keys[name].error(f"{value.path}: a second condition on this header")
        conditions[name.lower()] = _condition(value)
    return tuple(conditions.items())


def _condition(value: Value) -> StringMatch:
    """Return a condition on a string; an empty mapping means: it is present."""
    return string_match(value) if value.mapping() else StringMatch("present", "", value.at)


def _gateway(document: Document) -> Gateway:
    spec = document.spec
    spec.allow("selector", "servers")
    selector, servers = spec.need("selector"), spec.need("servers")
    if selector.texts() != {"istio": "ingressgateway"}:
        raise selector.at.unsupported(f"{selector.path}: only 'istio: ingressgateway' is supported")
    if not servers.items():
        raise servers.error("at least one server")
    return Gateway(
        name=f"{document.namespace}/{document.name}",
        servers=tuple(_server(server) for server in servers.items()),
        at=document.at,
    )


def _server(server: Value) -> Server:
    server.allow("hosts", "name", "port", unsupported=("bind", "defaultEndpoint", "tls"))
    port, hosts = server.need("port"), server.need("hosts")
    port.allow("name", "number", "protocol", unsupported=("targetPort",))
    protocol = port.need("protocol")
    if protocol.choice(*_PROTOCOLS) not in ("HTTP", "HTTP2"):
        raise protocol.at.unsupported(f"{protocol.path}: {protocol.text()} is not supported yet")
    if not hosts.items():
        raise hosts.error("at least one host")
    return Server(
        port.need("number").integer(1, 65535), tuple(_served(host) for host in hosts.items())
    )


def _served(host: Value) -> str:
    """Return a host of a server; `*/` before it stands for rules of every namespace, as nothing."""
    namespace, _, name = host.text().rpartition("/")
    if namespace not in ("", "*"):
        raise host.at.unsupported(f"{host.path}: a namespace of its rules is not supported yet")
    return name


def _policy(document: Document) -> PeerPolicy:
    policy = PeerPolicy(document.namespace, None, at=document.at)
    spec = document.root.get("spec")
    if spec is None:
        return policy
    spec.allow("mtls", "selector", unsupported=("portLevelMtls",))
    mtls, selector = spec.get("mtls"), spec.get("selector")
    if mtls is not None:
        mtls.allow("mode")
        policy = replace(policy, mode=_mode(mtls.get("mode")))
    if selector is not None:
        selector.allow("matchLabels")
        found = selector.get("matchLabels")
        policy = replace(policy, selector=labels(found.texts()) if found else ())
    if policy.selector and policy.namespace == ROOT_NAMESPACE:
        raise document.at.error(f"in {ROOT_NAMESPACE} a policy with a selector has no effect")
    return policy


def _mode(mode: Value | None) -> MtlsMode | None:
    found = mode.choice(*get_args(MtlsMode), "UNSET") if mode else "UNSET"
    return next((known for known in get_args(MtlsMode) if found == known), None)
