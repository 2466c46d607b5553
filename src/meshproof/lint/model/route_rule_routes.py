"""Reads the routes of RouteRules: those of a destination together, highest precedence first."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import CLUSTER_DOMAIN, Labels, full_name, labels
from meshproof.documents.manifest import Document, Value
from meshproof.lint.engine.project import Project, children, spec, text
from meshproof.lint.model.conditions import Condition, Sort, simplified
from meshproof.lint.model.istio_routes import doubtful, places_of_doubt
from meshproof.lint.model.route import Match, Name, Route, RouteTable, Target

#: Keys of request.headers that are not headers but parts of the request.
_PARTS = ("uri", "scheme", "method", "authority")


def read(project: Project) -> Iterator[RouteTable]:
    """Yield one route for each destination."""
    found: dict[str, list[Route]] = {}
    places: dict[str, Name] = {}
    for document in project.of("RouteRule"):
        for destination in children(spec(document), "destination"):
            host = service(destination, document.namespace)
            if host:
                written = _written(destination)
                places.setdefault(host, Name(host, text(written) or host, written.at))
                found.setdefault(host, []).append(_route(project, document, host))
    for host, routes in found.items():
        ordered = tuple(sorted(routes, key=lambda route: -route.order))
        yield RouteTable(routes[0].document, "RouteRule", (places[host],), (), ordered)


def service(value: Value, namespace: str) -> str:
    """Return the full host of a reference to a service, empty where it names none."""
    if not isinstance(value.content, dict):
        return ""
    whole, name = text(value.content.get("service")), text(value.content.get("name"))
    if whole:
        return full_name(whole, namespace)
    owner = text(value.content.get("namespace")) or namespace
    domain = text(value.content.get("domain")) or CLUSTER_DOMAIN
    return f"{name}.{owner}.{domain}" if name else ""


def _written(value: Value) -> Value:
    content = value.mapping()
    return content.get("service") or content.get("name") or value


def _labels(value: Value | None) -> Labels:
    if value is None or not isinstance(value.content, dict):
        return ()
    return labels({key: text(one) for key, one in value.content.items()})


def _route(project: Project, document: Document, host: str) -> Route:
    found = spec(document) or document.root
    content, namespace = found.mapping(), document.namespace
    order = content["precedence"].content if "precedence" in content else 0
    match, blurred = content.get("match"), places_of_doubt(project, document)
    name = Name(host, text(content["destination"]) or host, content["destination"].at)
    return Route(
        document,
        found,
        f"'{document.name}'",
        (_match(match, blurred) if match is not None else Match((), found.at),),
        tuple(_target(one, name, namespace) for one in children(found, "route")),
        tuple(
            Target(service(one, namespace), "", one.at, namespace, labels=_labels_of(one))
            for one in children(found, "mirror")
        ),
        order=order if isinstance(order, int) else 0,
    )


def _labels_of(value: Value) -> Labels:
    return _labels(value.content.get("labels")) if isinstance(value.content, dict) else ()


def _target(entry: Value, own: Name, namespace: str) -> Target:
    content = entry.content if isinstance(entry.content, dict) else {}
    other = content.get("destination")
    host = service(other, namespace) if other is not None else ""
    written = _written(other) if other is not None and host else None
    at = written.at if written is not None else own.at
    return Target(
        host or own.full,
        text(written) or own.written,
        at,
        namespace,
        labels=_labels(content.get("labels")),
    )


def _match(value: Value, blurred: tuple[str, ...]) -> Match:
    found: list[Condition] = []
    for headers in children(value, "request", "headers"):
        for name, entry in headers.content.items() if isinstance(headers.content, dict) else ():
            part = name.lower()
            found += _string(entry, part if part in _PARTS else f"header {part}")
    for source in children(value, "source"):
        content = source.content if isinstance(source.content, dict) else {}
        for key in ("name", "namespace", "service", "domain"):
            if key in content:
                at = content[key].at
                found.append(Condition(f"source {key}", "exact", text(content[key]), at=at))
        for name, label in _labels(content.get("labels")):
            found.append(Condition(f"source label {name}", "exact", label, at=source.at))
    content = value.content if isinstance(value.content, dict) else {}
    known = bool(found) and set(content) <= {"request", "source"}
    return Match(tuple(found), value.at, known and not doubtful(value.path, blurred))


def _string(value: Value, part: str) -> Iterator[Condition]:
    content = value.content if isinstance(value.content, dict) else {"exact": value}
    sorts: tuple[Sort, ...] = ("exact", "prefix", "regex")
    for sort in sorts:
        if sort in content:
            plain = simplified(Condition(part, sort, text(content[sort]), at=content[sort].at))
            if plain is not None:
                yield plain
