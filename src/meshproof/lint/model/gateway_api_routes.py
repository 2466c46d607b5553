"""Reads the routes of Gateway API's HTTPRoutes and GRPCRoutes."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import CLUSTER_DOMAIN, MESH
from meshproof.documents.lookup import find_values, read_spec, read_text
from meshproof.documents.manifest import Document, Value
from meshproof.lint.engine.project import Project, find_unclear_paths, is_unclear
from meshproof.lint.model.conditions import Condition, MatchType, simplify_condition
from meshproof.lint.model.route import Match, Route, RouteTable
from meshproof.rules.written import Reference, WrittenDestination

_MATCH_TYPES: dict[str, MatchType] = {
    "Exact": "exact",
    "PathPrefix": "path",
    "RegularExpression": "regex",
    "": "exact",
}


def read_tables(project: Project) -> Iterator[RouteTable]:
    """Yield the route table of every HTTPRoute and GRPCRoute."""
    for document in project.named_documents(
        "HTTPRoute", "GRPCRoute", group="gateway.networking.k8s.io"
    ):
        yield _read_table(project, document)


def _read_table(project: Project, document: Document) -> RouteTable:
    """Return the route table of one HTTPRoute or GRPCRoute."""
    spec = read_spec(document)
    unclear_paths = find_unclear_paths(project, document)
    parents = [host for host in find_values(spec, "parentRefs") if isinstance(host.content, dict)]
    hosts = [
        Reference(read_text(host), read_text(host), host.at)
        for host in find_values(spec, "hostnames")
    ]
    gateways: list[Reference] = []
    for parent in parents:
        content = parent.mapping()
        namespace = read_text(content.get("namespace")) or document.namespace
        name = content.get("name", parent)
        if read_text(content.get("kind")) in ("", "Gateway"):
            gateways.append(Reference(f"{namespace}/{read_text(name)}", read_text(name), name.at))
        elif read_text(content.get("kind")) == "Service":
            gateways.append(Reference(MESH, read_text(name), name.at))
            hosts.append(
                Reference(
                    f"{read_text(name)}.{namespace}.{CLUSTER_DOMAIN}", read_text(name), name.at
                )
            )
    routes = [
        _read_route(document, rule, unclear_paths)
        for rule in find_values(spec, "rules")
        if isinstance(rule.content, dict)
    ]
    dialect = "HTTPRoute" if document.kind == "HTTPRoute" else "GRPCRoute"
    return RouteTable(
        document,
        "HTTPRoute" if dialect == "HTTPRoute" else "GRPCRoute",
        tuple(hosts),
        tuple(gateways),
        tuple(routes),
        is_ordered=False,
    )


def _read_route(document: Document, rule: Value, unclear_paths: tuple[str, ...]) -> Route:
    """Return one rule of a document as a route."""
    content = rule.mapping()
    name = read_text(content.get("name"))
    is_grpc = document.kind == "GRPCRoute"
    matches = [
        _read_match(match, unclear_paths, is_grpc)
        for match in find_values(rule, "matches")
        if isinstance(match.content, dict)
    ]
    backends = [*find_values(rule, "backendRefs")]
    mirrors = find_values(rule, "filters", "requestMirror", "backendRef")
    return Route(
        document,
        rule,
        f"'{name}'" if name else rule.path.removeprefix("spec."),
        tuple(matches) or (Match((), rule.at, not is_unclear(rule.path, unclear_paths)),),
        tuple(_read_destinations(backends, document.namespace)),
        tuple(_read_destinations(mirrors, document.namespace)),
    )


def _read_destinations(values: list[Value], namespace: str) -> Iterator[WrittenDestination]:
    """Yield the backends that are Services."""
    for value in values:
        content = value.content if isinstance(value.content, dict) else {}
        name = content.get("name")
        if (
            name is None
            or not read_text(name)
            or read_text(content.get("kind")) not in ("", "Service")
        ):
            continue
        backend_namespace = read_text(content.get("namespace")) or namespace
        host = f"{read_text(name)}.{backend_namespace}.{CLUSTER_DOMAIN}"
        yield WrittenDestination(
            host, read_text(name), name.at, backend_namespace, port=content.get("port")
        )


def _read_match(value: Value, unclear_paths: tuple[str, ...], is_grpc: bool) -> Match:
    """Return the conditions of one match. Those of gRPC are not fully read."""
    content = value.mapping()
    conditions: list[Condition] = []
    for path in find_values(value, "path"):
        conditions += _read_condition(path, "uri", "PathPrefix")
    for header in find_values(value, "headers"):
        conditions += _read_condition(
            header, f"header {read_text(get_value(header, 'name')).lower()}"
        )
    for query in find_values(value, "queryParams"):
        conditions += _read_condition(query, f"query {read_text(get_value(query, 'name'))}")
    method = content.get("method")
    if method is not None and not is_grpc:
        conditions.append(Condition("method", "exact", read_text(method), at=method.at))
    is_fully_read = bool(content) and not is_unclear(value.path, unclear_paths) and not is_grpc
    return Match(tuple(conditions), value.at, is_fully_read)


def get_value(value: Value, key: str) -> Value | None:
    """Return the value under a key of a mapping, or None."""
    return value.content.get(key) if isinstance(value.content, dict) else None


def _read_condition(value: Value, part: str, default_type: str = "Exact") -> Iterator[Condition]:
    """Yield the condition that compares one part with `value`, if there is one."""
    compared_value = get_value(value, "value")
    type_name = read_text(get_value(value, "type")) or default_type
    if compared_value is not None and type_name in _MATCH_TYPES:
        condition = simplify_condition(
            Condition(
                part, _MATCH_TYPES[type_name], read_text(compared_value), at=compared_value.at
            )
        )
        if condition is not None:
            yield condition
