"""Reads the routes of VirtualServices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from meshproof.base.names import MESH, full_name
from meshproof.documents.manifest import Document, Value
from meshproof.lint.engine.defect import Sort as Defects
from meshproof.lint.engine.project import Project, children, spec, text
from meshproof.lint.model.conditions import Condition, Sort, simplified
from meshproof.lint.model.route import Match, Name, Route, RouteTable, Target

_STRINGS = ("uri", "scheme", "method", "authority")
_MAPS = {"headers": "header", "withoutHeaders": "header", "queryParams": "query"}
_LISTS: dict[str, tuple[str, Sort]] = {
    "gateways": ("gateway", "any of"),
    "sniHosts": ("SNI", "host"),
    "destinationSubnets": ("subnet", "any of"),
}
_SINGLE = {"port": "port", "sourceNamespace": "source namespace", "sourceSubnet": "source subnet"}
_NO_CONDITION = {"name", "statPrefix", "ignoreUriCase"}
_KNOWN = {*_STRINGS, *_MAPS, *_LISTS, *_SINGLE, *_NO_CONDITION, "sourceLabels"}


def read(project: Project) -> Iterator[RouteTable]:
    """Yield the route of every VirtualService."""
    for document in project.of("VirtualService", group="networking.istio.io"):
        yield _route_table(project, document)


def _route_table(project: Project, document: Document) -> RouteTable:
    found = spec(document)
    gateways = tuple(gateway_names(children(found, "gateways"), document.namespace))
    blurred = places_of_doubt(project, document)
    routes = [
        _route(document, protocol, value, gateways, blurred, -index)
        for protocol in ("http", "tls", "tcp")
        for index, value in enumerate(children(found, protocol))
        if isinstance(value.content, dict)
    ]
    return RouteTable(
        document,
        "VirtualService",
        tuple(_names(children(found, "hosts"), document.namespace)),
        gateways or (Name(MESH, MESH, document.at),),
        tuple(routes),
    )


def places_of_doubt(project: Project, document: Document) -> tuple[str, ...]:
    """Return the paths in a document where something could not be read as it was meant."""
    if not project.has_defects(document):
        return ()
    found = [
        f"{one.where}." for one in project.defects(Defects.UNKNOWN_KEY, document) if not one.meant
    ]
    for sort in (Defects.NO_VALUE, Defects.WRONG_TYPE, Defects.EXCLUSIVE_KEYS):
        found += [f"{one.where}." for one in project.defects(sort, document)]
    return tuple(found)


def doubtful(path: str, blurred: tuple[str, ...]) -> bool:
    """Say whether something at or below a path could not be read as it was meant."""
    return any(one.startswith((f"{path}.", f"{path}[")) for one in blurred)


def _names(values: list[Value], namespace: str) -> Iterator[Name]:
    for value in values:
        if text(value):
            yield Name(full_name(text(value), namespace), text(value), value.at)


def gateway_names(values: list[Value], namespace: str) -> Iterator[Name]:
    """Yield the gateways of a list as `namespace/name`; old forms are `name.namespace...`."""
    for value in values:
        written = text(value)
        if not written:
            continue
        owner, slash, name = written.partition("/")
        if slash:
            full = f"{namespace if owner == '.' else owner}/{name}"
        elif "." in written:
            name, owner = written.split(".")[:2]
            full = f"{owner}/{name}"
        else:
            full = MESH if written == MESH else f"{namespace}/{written}"
        yield Name(full, written, value.at)


def _route(
    document: Document,
    protocol: Literal["http", "tls", "tcp"],
    value: Value,
    gateways: tuple[Name, ...],
    blurred: tuple[str, ...],
    order: int,
) -> Route:
    content, namespace = value.mapping(), document.namespace
    name = text(content.get("name"))
    found = children(value, "match")
    matches = [
        _match(one, namespace, blurred, not doubtful(value.path + ".match", blurred))
        for one in found
        if isinstance(one.content, dict)
    ]
    if not matches:
        matches = [Match((), value.at, "match" not in content)]
    mirrors = [*children(value, "mirror"), *children(value, "mirrors", "destination")]
    return Route(
        document,
        value,
        f"'{name}'" if name else value.path.removeprefix("spec."),
        tuple(_within_gateways(match, gateways) for match in matches),
        tuple(_targets(children(value, "route", "destination"), namespace)),
        tuple(_targets(mirrors, namespace)),
        protocol,
        order,
    )


def _within_gateways(match: Match, gateways: tuple[Name, ...]) -> Match:
    """Leave out a condition on gateways that names all that the route has."""
    held = {one.full for one in gateways} or {MESH}
    kept = [one for one in match.conditions if one.part != "gateway" or not held <= one.values]
    return Match(tuple(kept), match.at, match.sure)


def _targets(values: list[Value], namespace: str) -> Iterator[Target]:
    for value in values:
        if not isinstance(value.content, dict):
            continue
        host = value.content.get("host")
        if host is None or not text(host):
            continue
        numbers = children(value, "port", "number")
        yield Target(
            full_name(text(host), namespace),
            text(host),
            host.at,
            namespace,
            value.content.get("subset"),
            port=numbers[0] if numbers else None,
        )


def _match(value: Value, namespace: str, blurred: tuple[str, ...], sure: bool) -> Match:
    content = value.mapping()
    fold = content.get("ignoreUriCase")
    found: list[Condition] = []
    for part in _STRINGS:
        if part in content:
            ignored = part == "uri" and fold is not None and fold.content is True
            found += _string(content[part], part, fold=ignored)
    for key, word in _MAPS.items():
        entries = content[key].content if key in content else None
        for name, entry in entries.items() if isinstance(entries, dict) else ():
            folded = name if word == "query" else name.lower()
            found += _string(entry, f"{word} {folded}", negated=key == "withoutHeaders")
    found += _plain(content, namespace)
    known = set(content) <= _KNOWN and (sure or not doubtful(value.path, blurred))
    known = known and not (set(content) <= _NO_CONDITION)
    known = known and not any(content[part].content == {} for part in _STRINGS if part in content)
    return Match(tuple(found), value.at, known)


def _string(
    value: Value, part: str, negated: bool = False, fold: bool = False
) -> Iterator[Condition]:
    """Yield the condition of a StringMatch; an empty one is: there, with any value."""
    content = value.content if isinstance(value.content, dict) else {}
    sorts: tuple[Sort, ...] = ("exact", "prefix", "regex")
    found = [
        Condition(part, sort, text(content[sort]), negated=negated, at=content[sort].at)
        for sort in sorts
        if sort in content
    ] or [Condition(part, "present", negated=negated, at=value.at)]
    for one in found:
        if one.sort == "regex" and one.text == "*":  # Istio reads it as: is present
            one = Condition(part, "present", negated=negated, at=one.at)
        folds = fold and one.sort != "regex"
        plain = simplified(
            Condition(one.part, one.sort, one.text, one.values, negated, folds, one.at)
        )
        if plain is not None:
            yield plain


def _plain(content: dict[str, Value], namespace: str) -> Iterator[Condition]:
    """Yield the conditions on anything but strings."""
    for key, (part, sort) in _LISTS.items():
        if key in content:
            values = [text(one) for one in _items(content[key])]
            if key == "gateways":
                values = [one.full for one in gateway_names(_items(content[key]), namespace)]
            if values:
                yield Condition(part, sort, values=frozenset(values), at=content[key].at)
    for key, part in _SINGLE.items():
        if key in content:
            yield Condition(part, "exact", str(content[key].content), at=content[key].at)
    labels = content["sourceLabels"].content if "sourceLabels" in content else None
    for name, value in labels.items() if isinstance(labels, dict) else ():
        yield Condition(f"source label {name}", "exact", text(value), at=value.at)


def _items(value: Value) -> list[Value]:
    return value.content if isinstance(value.content, list) else []
