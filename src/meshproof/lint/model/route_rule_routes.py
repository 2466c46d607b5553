"""Reads the routes of RouteRules. Those for one destination form a table, by precedence."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import CLUSTER_DOMAIN, Labels, qualify_host, sort_labels
from meshproof.documents.lookup import find_values, read_spec, read_text
from meshproof.documents.manifest import Document, Value
from meshproof.lint.engine.project import Project, find_unclear_paths, is_unclear
from meshproof.lint.model.conditions import Condition, MatchType, simplify_condition
from meshproof.lint.model.route import Destination, Match, Reference, Route, RouteTable

#: Keys of request.headers that are not headers but parts of the request.
_PART_HEADERS = ("uri", "scheme", "method", "authority")


def read_tables(project: Project) -> Iterator[RouteTable]:
    """Yield one route table for each destination."""
    routes_by_host: dict[str, list[Route]] = {}
    references: dict[str, Reference] = {}
    for document in project.named_documents("RouteRule"):
        for destination in find_values(read_spec(document), "destination"):
            host = read_service_host(destination, document.namespace)
            if host:
                name_value = _find_name_value(destination)
                references.setdefault(
                    host, Reference(host, read_text(name_value) or host, name_value.at)
                )
                routes_by_host.setdefault(host, []).append(_read_route(project, document, host))
    for host, routes in routes_by_host.items():
        ordered = tuple(sorted(routes, key=lambda route: -route.precedence))
        yield RouteTable(routes[0].document, "RouteRule", (references[host],), (), ordered)


def read_service_host(value: Value, namespace: str) -> str:
    """Return the full host of a reference to a service, empty if it names none."""
    if not isinstance(value.content, dict):
        return ""
    full_name_text, name = (
        read_text(value.content.get("service")),
        read_text(value.content.get("name")),
    )
    if full_name_text:
        return qualify_host(full_name_text, namespace)
    service_namespace = read_text(value.content.get("namespace")) or namespace
    domain = read_text(value.content.get("domain")) or CLUSTER_DOMAIN
    return f"{name}.{service_namespace}.{domain}" if name else ""


def _find_name_value(value: Value) -> Value:
    """Return the value that names the service in a reference."""
    content = value.mapping()
    return content.get("service") or content.get("name") or value


def _read_labels(value: Value | None) -> Labels:
    """Return the labels in a mapping, none if it is no mapping."""
    if value is None or not isinstance(value.content, dict):
        return ()
    return sort_labels({key: read_text(label) for key, label in value.content.items()})


def _read_route(project: Project, document: Document, host: str) -> Route:
    """Return a RouteRule as a route."""
    spec = read_spec(document) or document.root
    content, namespace = spec.mapping(), document.namespace
    precedence = content["precedence"].content if "precedence" in content else 0
    match, unclear_paths = content.get("match"), find_unclear_paths(project, document)
    rule_destination = Reference(
        host, read_text(content["destination"]) or host, content["destination"].at
    )
    return Route(
        document,
        spec,
        f"'{document.name}'",
        (_read_match(match, unclear_paths) if match is not None else Match((), spec.at),),
        tuple(
            _read_destination(entry, rule_destination, namespace)
            for entry in find_values(spec, "route")
        ),
        tuple(
            Destination(
                read_service_host(entry, namespace),
                "",
                entry.at,
                namespace,
                labels=_read_labels_below(entry),
            )
            for entry in find_values(spec, "mirror")
        ),
        precedence=precedence if isinstance(precedence, int) else 0,
    )


def _read_labels_below(value: Value) -> Labels:
    """Return the labels under the key `labels` of a value."""
    return _read_labels(value.content.get("labels")) if isinstance(value.content, dict) else ()


def _read_destination(entry: Value, rule_destination: Reference, namespace: str) -> Destination:
    """Return one entry of `route`. Without a destination it is for the rule's own."""
    content = entry.content if isinstance(entry.content, dict) else {}
    entry_destination = content.get("destination")
    host = read_service_host(entry_destination, namespace) if entry_destination is not None else ""
    name_value = (
        _find_name_value(entry_destination) if entry_destination is not None and host else None
    )
    at = name_value.at if name_value is not None else rule_destination.at
    return Destination(
        host or rule_destination.full_name,
        read_text(name_value) or rule_destination.source_text,
        at,
        namespace,
        labels=_read_labels(content.get("labels")),
    )


def _read_match(value: Value, unclear_paths: tuple[str, ...]) -> Match:
    """Return the conditions of a RouteRule's match."""
    conditions: list[Condition] = []
    for headers in find_values(value, "request", "headers"):
        for name, entry in headers.content.items() if isinstance(headers.content, dict) else ():
            part = name.lower()
            conditions += _read_string_conditions(
                entry, part if part in _PART_HEADERS else f"header {part}"
            )
    for source in find_values(value, "source"):
        content = source.content if isinstance(source.content, dict) else {}
        for key in ("name", "namespace", "service", "domain"):
            if key in content:
                at = content[key].at
                conditions.append(
                    Condition(f"source {key}", "exact", read_text(content[key]), at=at)
                )
        for name, label in _read_labels(content.get("labels")):
            conditions.append(Condition(f"source label {name}", "exact", label, at=source.at))
    content = value.content if isinstance(value.content, dict) else {}
    is_readable = bool(conditions) and set(content) <= {"request", "source"}
    return Match(
        tuple(conditions), value.at, is_readable and not is_unclear(value.path, unclear_paths)
    )


def _read_string_conditions(value: Value, part: str) -> Iterator[Condition]:
    """Yield the conditions of a StringMatch or a bare text."""
    content = value.content if isinstance(value.content, dict) else {"exact": value}
    match_types: tuple[MatchType, ...] = ("exact", "prefix", "regex")
    for match_type in match_types:
        if match_type in content:
            condition = simplify_condition(
                Condition(
                    part, match_type, read_text(content[match_type]), at=content[match_type].at
                )
            )
            if condition is not None:
                yield condition
