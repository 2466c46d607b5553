"""Reads the routes of RouteRules: those of a destination together, highest precedence first."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import CLUSTER_DOMAIN, Labels, full_name, labels
from meshproof.documents.manifest import Document, Value
from meshproof.lint.engine.project import Project, find_values, read_spec, read_text
from meshproof.lint.model.conditions import Condition, MatchType, simplify_condition
from meshproof.lint.model.route import Destination, Match, Reference, Route, RouteTable
from meshproof.lint.model.virtual_service_routes import find_unclear_paths, is_unclear

#: Keys of request.headers that are not headers but parts of the request.
_PART_HEADERS = ("uri", "scheme", "method", "authority")


def read_tables(project: Project) -> Iterator[RouteTable]:
    """Yield one route for each destination."""
    found: dict[str, list[Route]] = {}
    places: dict[str, Reference] = {}
    for document in project.named_documents("RouteRule"):
        for destination in find_values(read_spec(document), "destination"):
            host = read_service_host(destination, document.namespace)
            if host:
                written = _find_name_value(destination)
                places.setdefault(host, Reference(host, read_text(written) or host, written.at))
                found.setdefault(host, []).append(_read_route(project, document, host))
    for host, routes in found.items():
        ordered = tuple(sorted(routes, key=lambda route: -route.precedence))
        yield RouteTable(routes[0].document, "RouteRule", (places[host],), (), ordered)


def read_service_host(value: Value, namespace: str) -> str:
    """Return the full host of a reference to a service, empty where it names none."""
    if not isinstance(value.content, dict):
        return ""
    whole, name = read_text(value.content.get("service")), read_text(value.content.get("name"))
    if whole:
        return full_name(whole, namespace)
    owner = read_text(value.content.get("namespace")) or namespace
    domain = read_text(value.content.get("domain")) or CLUSTER_DOMAIN
    return f"{name}.{owner}.{domain}" if name else ""


def _find_name_value(value: Value) -> Value:
    content = value.mapping()
    return content.get("service") or content.get("name") or value


def _read_labels(value: Value | None) -> Labels:
    if value is None or not isinstance(value.content, dict):
        return ()
    return labels({key: read_text(one) for key, one in value.content.items()})


def _read_route(project: Project, document: Document, host: str) -> Route:
    found = read_spec(document) or document.root
    content, namespace = found.mapping(), document.namespace
    order = content["precedence"].content if "precedence" in content else 0
    match, blurred = content.get("match"), find_unclear_paths(project, document)
    name = Reference(host, read_text(content["destination"]) or host, content["destination"].at)
    return Route(
        document,
        found,
        f"'{document.name}'",
        (_read_match(match, blurred) if match is not None else Match((), found.at),),
        tuple(_read_destination(one, name, namespace) for one in find_values(found, "route")),
        tuple(
            Destination(
                read_service_host(one, namespace),
                "",
                one.at,
                namespace,
                labels=_read_labels_below(one),
            )
            for one in find_values(found, "mirror")
        ),
        precedence=order if isinstance(order, int) else 0,
    )


def _read_labels_below(value: Value) -> Labels:
    return _read_labels(value.content.get("labels")) if isinstance(value.content, dict) else ()


def _read_destination(entry: Value, own: Reference, namespace: str) -> Destination:
    content = entry.content if isinstance(entry.content, dict) else {}
    other = content.get("destination")
    host = read_service_host(other, namespace) if other is not None else ""
    written = _find_name_value(other) if other is not None and host else None
    at = written.at if written is not None else own.at
    return Destination(
        host or own.full_name,
        read_text(written) or own.source_text,
        at,
        namespace,
        labels=_read_labels(content.get("labels")),
    )


def _read_match(value: Value, blurred: tuple[str, ...]) -> Match:
    found: list[Condition] = []
    for headers in find_values(value, "request", "headers"):
        for name, entry in headers.content.items() if isinstance(headers.content, dict) else ():
            part = name.lower()
            found += _read_string_conditions(
                entry, part if part in _PART_HEADERS else f"header {part}"
            )
    for source in find_values(value, "source"):
        content = source.content if isinstance(source.content, dict) else {}
        for key in ("name", "namespace", "service", "domain"):
            if key in content:
                at = content[key].at
                found.append(Condition(f"source {key}", "exact", read_text(content[key]), at=at))
        for name, label in _read_labels(content.get("labels")):
            found.append(Condition(f"source label {name}", "exact", label, at=source.at))
    content = value.content if isinstance(value.content, dict) else {}
    known = bool(found) and set(content) <= {"request", "source"}
    return Match(tuple(found), value.at, known and not is_unclear(value.path, blurred))


def _read_string_conditions(value: Value, part: str) -> Iterator[Condition]:
    content = value.content if isinstance(value.content, dict) else {"exact": value}
    sorts: tuple[MatchType, ...] = ("exact", "prefix", "regex")
    for sort in sorts:
        if sort in content:
            plain = simplify_condition(
                Condition(part, sort, read_text(content[sort]), at=content[sort].at)
            )
            if plain is not None:
                yield plain
