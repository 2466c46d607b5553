"""Reads the routes of Gateway API's HTTPRoutes and GRPCRoutes."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import CLUSTER_DOMAIN, MESH
from meshproof.documents.manifest import Document, Value
from meshproof.lint.engine.project import Project, children, spec, text
from meshproof.lint.model.conditions import Condition, Sort, simplified
from meshproof.lint.model.istio_routes import doubtful, places_of_doubt
from meshproof.lint.model.route import Match, Name, Route, RouteTable, Target

_SORTS: dict[str, Sort] = {
    "Exact": "exact",
    "PathPrefix": "path",
    "RegularExpression": "regex",
    "": "exact",
}


def read(project: Project) -> Iterator[RouteTable]:
    """Yield the route of every HTTPRoute and GRPCRoute."""
    for document in project.of("HTTPRoute", "GRPCRoute", group="gateway.networking.k8s.io"):
        yield _route_table(project, document)


def _route_table(project: Project, document: Document) -> RouteTable:
    found = spec(document)
    blurred = places_of_doubt(project, document)
    parents = [one for one in children(found, "parentRefs") if isinstance(one.content, dict)]
    hosts = [Name(text(one), text(one), one.at) for one in children(found, "hostnames")]
    gateways: list[Name] = []
    for parent in parents:
        content = parent.mapping()
        owner = text(content.get("namespace")) or document.namespace
        name = content.get("name", parent)
        if text(content.get("kind")) in ("", "Gateway"):
            gateways.append(Name(f"{owner}/{text(name)}", text(name), name.at))
        elif text(content.get("kind")) == "Service":
            gateways.append(Name(MESH, text(name), name.at))
            hosts.append(Name(f"{text(name)}.{owner}.{CLUSTER_DOMAIN}", text(name), name.at))
    routes = [
        _route(document, rule, blurred)
        for rule in children(found, "rules")
        if isinstance(rule.content, dict)
    ]
    dialect = "HTTPRoute" if document.kind == "HTTPRoute" else "GRPCRoute"
    return RouteTable(
        document,
        "HTTPRoute" if dialect == "HTTPRoute" else "GRPCRoute",
        tuple(hosts),
        tuple(gateways),
        tuple(routes),
        in_order=False,
    )


def _route(document: Document, rule: Value, blurred: tuple[str, ...]) -> Route:
    content = rule.mapping()
    name = text(content.get("name"))
    grpc = document.kind == "GRPCRoute"
    matches = [
        _match(one, blurred, grpc)
        for one in children(rule, "matches")
        if isinstance(one.content, dict)
    ]
    backends = [*children(rule, "backendRefs")]
    mirrors = children(rule, "filters", "requestMirror", "backendRef")
    return Route(
        document,
        rule,
        f"'{name}'" if name else rule.path.removeprefix("spec."),
        tuple(matches) or (Match((), rule.at, not doubtful(rule.path, blurred)),),
        tuple(_targets(backends, document.namespace)),
        tuple(_targets(mirrors, document.namespace)),
    )


def _targets(values: list[Value], namespace: str) -> Iterator[Target]:
    """Yield the backends that are Services."""
    for value in values:
        content = value.content if isinstance(value.content, dict) else {}
        name = content.get("name")
        if name is None or not text(name) or text(content.get("kind")) not in ("", "Service"):
            continue
        owner = text(content.get("namespace")) or namespace
        host = f"{text(name)}.{owner}.{CLUSTER_DOMAIN}"
        yield Target(host, text(name), name.at, owner, port=content.get("port"))


def _match(value: Value, blurred: tuple[str, ...], grpc: bool) -> Match:
    content = value.mapping()
    found: list[Condition] = []
    for path in children(value, "path"):
        found += _compared(path, "uri", "PathPrefix")
    for header in children(value, "headers"):
        found += _compared(header, f"header {text(children_of(header, 'name')).lower()}")
    for query in children(value, "queryParams"):
        found += _compared(query, f"query {text(children_of(query, 'name'))}")
    method = content.get("method")
    if method is not None and not grpc:
        found.append(Condition("method", "exact", text(method), at=method.at))
    sure = bool(content) and not doubtful(value.path, blurred) and not grpc
    return Match(tuple(found), value.at, sure)


def children_of(value: Value, key: str) -> Value | None:
    """Return what stands under a key of a mapping, or None."""
    return value.content.get(key) if isinstance(value.content, dict) else None


def _compared(value: Value, part: str, sort: str = "Exact") -> Iterator[Condition]:
    wanted = children_of(value, "value")
    written = text(children_of(value, "type")) or sort
    if wanted is not None and written in _SORTS:
        plain = simplified(Condition(part, _SORTS[written], text(wanted), at=wanted.at))
        if plain is not None:
            yield plain
