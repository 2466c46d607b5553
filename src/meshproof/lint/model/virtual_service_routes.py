"""Reads the routes of VirtualServices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from meshproof.base.names import MESH, full_name
from meshproof.documents.manifest import Document, Value
from meshproof.lint.engine.defect import DefectKind as Defects
from meshproof.lint.engine.project import Project, find_values, read_spec, read_text
from meshproof.lint.model.conditions import Condition, MatchType, simplify_condition
from meshproof.lint.model.route import Destination, Match, Reference, Route, RouteTable

_STRING_PARTS = ("uri", "scheme", "method", "authority")
_MAP_PARTS = {"headers": "header", "withoutHeaders": "header", "queryParams": "query"}
_LIST_PARTS: dict[str, tuple[str, MatchType]] = {
    "gateways": ("gateway", "any of"),
    "sniHosts": ("SNI", "host"),
    "destinationSubnets": ("subnet", "any of"),
}
_SINGLE_PARTS = {
    "port": "port",
    "sourceNamespace": "source namespace",
    "sourceSubnet": "source subnet",
}
_KEYS_WITHOUT_CONDITION = {"name", "statPrefix", "ignoreUriCase"}
_READABLE_KEYS = {
    *_STRING_PARTS,
    *_MAP_PARTS,
    *_LIST_PARTS,
    *_SINGLE_PARTS,
    *_KEYS_WITHOUT_CONDITION,
    "sourceLabels",
}


def read_tables(project: Project) -> Iterator[RouteTable]:
    """Yield the route of every VirtualService."""
    for document in project.named_documents("VirtualService", group="networking.istio.io"):
        yield _read_table(project, document)


def _read_table(project: Project, document: Document) -> RouteTable:
    found = read_spec(document)
    gateways = tuple(read_gateways(find_values(found, "gateways"), document.namespace))
    blurred = find_unclear_paths(project, document)
    routes = [
        _read_route(document, protocol, value, gateways, blurred, -index)
        for protocol in ("http", "tls", "tcp")
        for index, value in enumerate(find_values(found, protocol))
        if isinstance(value.content, dict)
    ]
    return RouteTable(
        document,
        "VirtualService",
        tuple(_read_hosts(find_values(found, "hosts"), document.namespace)),
        gateways or (Reference(MESH, MESH, document.at),),
        tuple(routes),
    )


def find_unclear_paths(project: Project, document: Document) -> tuple[str, ...]:
    """Return the paths in a document where something could not be read as it was meant."""
    if not project.has_defects(document):
        return ()
    found = [
        f"{one.path}."
        for one in project.find_defects(Defects.UNKNOWN_KEY, document)
        if not one.expected
    ]
    for sort in (Defects.NO_VALUE, Defects.WRONG_TYPE, Defects.EXCLUSIVE_KEYS):
        found += [f"{one.path}." for one in project.find_defects(sort, document)]
    return tuple(found)


def is_unclear(path: str, blurred: tuple[str, ...]) -> bool:
    """Say whether something at or below a path could not be read as it was meant."""
    return any(one.startswith((f"{path}.", f"{path}[")) for one in blurred)


def _read_hosts(values: list[Value], namespace: str) -> Iterator[Reference]:
    for value in values:
        if read_text(value):
            yield Reference(full_name(read_text(value), namespace), read_text(value), value.at)


def read_gateways(values: list[Value], namespace: str) -> Iterator[Reference]:
    """Yield the gateways of a list as `namespace/name`; old forms are `name.namespace...`."""
    for value in values:
        written = read_text(value)
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
        yield Reference(full, written, value.at)


def _read_route(
    document: Document,
    protocol: Literal["http", "tls", "tcp"],
    value: Value,
    gateways: tuple[Reference, ...],
    blurred: tuple[str, ...],
    order: int,
) -> Route:
    content, namespace = value.mapping(), document.namespace
    name = read_text(content.get("name"))
    found = find_values(value, "match")
    matches = [
        _read_match(one, namespace, blurred, not is_unclear(value.path + ".match", blurred))
        for one in found
        if isinstance(one.content, dict)
    ]
    if not matches:
        matches = [Match((), value.at, "match" not in content)]
    mirrors = [*find_values(value, "mirror"), *find_values(value, "mirrors", "destination")]
    return Route(
        document,
        value,
        f"'{name}'" if name else value.path.removeprefix("spec."),
        tuple(_drop_idle_gateways(match, gateways) for match in matches),
        tuple(_read_destinations(find_values(value, "route", "destination"), namespace)),
        tuple(_read_destinations(mirrors, namespace)),
        protocol,
        order,
    )


def _drop_idle_gateways(match: Match, gateways: tuple[Reference, ...]) -> Match:
    """Leave out a condition on gateways that names all that the route has."""
    held = {one.full_name for one in gateways} or {MESH}
    kept = [one for one in match.conditions if one.part != "gateway" or not held <= one.values]
    return Match(tuple(kept), match.at, match.is_fully_read)


def _read_destinations(values: list[Value], namespace: str) -> Iterator[Destination]:
    for value in values:
        if not isinstance(value.content, dict):
            continue
        host = value.content.get("host")
        if host is None or not read_text(host):
            continue
        numbers = find_values(value, "port", "number")
        yield Destination(
            full_name(read_text(host), namespace),
            read_text(host),
            host.at,
            namespace,
            value.content.get("subset"),
            port=numbers[0] if numbers else None,
        )


def _read_match(value: Value, namespace: str, blurred: tuple[str, ...], sure: bool) -> Match:
    content = value.mapping()
    fold = content.get("ignoreUriCase")
    found: list[Condition] = []
    for part in _STRING_PARTS:
        if part in content:
            ignored = part == "uri" and fold is not None and fold.content is True
            found += _read_string_conditions(content[part], part, fold=ignored)
    for key, word in _MAP_PARTS.items():
        entries = content[key].content if key in content else None
        for name, entry in entries.items() if isinstance(entries, dict) else ():
            folded = name if word == "query" else name.lower()
            found += _read_string_conditions(
                entry, f"{word} {folded}", negated=key == "withoutHeaders"
            )
    found += _read_other_conditions(content, namespace)
    known = set(content) <= _READABLE_KEYS and (sure or not is_unclear(value.path, blurred))
    known = known and not (set(content) <= _KEYS_WITHOUT_CONDITION)
    known = known and not any(
        content[part].content == {} for part in _STRING_PARTS if part in content
    )
    return Match(tuple(found), value.at, known)


def _read_string_conditions(
    value: Value, part: str, negated: bool = False, fold: bool = False
) -> Iterator[Condition]:
    """Yield the condition of a StringMatch; an empty one is: there, with any value."""
    content = value.content if isinstance(value.content, dict) else {}
    sorts: tuple[MatchType, ...] = ("exact", "prefix", "regex")
    found = [
        Condition(part, sort, read_text(content[sort]), negated=negated, at=content[sort].at)
        for sort in sorts
        if sort in content
    ] or [Condition(part, "present", negated=negated, at=value.at)]
    for one in found:
        if one.match_type == "regex" and one.text == "*":  # Istio reads it as: is present
            one = Condition(part, "present", negated=negated, at=one.at)
        folds = fold and one.match_type != "regex"
        plain = simplify_condition(
            Condition(one.part, one.match_type, one.text, one.values, negated, folds, one.at)
        )
        if plain is not None:
            yield plain


def _read_other_conditions(content: dict[str, Value], namespace: str) -> Iterator[Condition]:
    """Yield the conditions on anything but strings."""
    for key, (part, sort) in _LIST_PARTS.items():
        if key in content:
            values = [read_text(one) for one in _list_items(content[key])]
            if key == "gateways":
                values = [
                    one.full_name for one in read_gateways(_list_items(content[key]), namespace)
                ]
            if values:
                yield Condition(part, sort, values=frozenset(values), at=content[key].at)
    for key, part in _SINGLE_PARTS.items():
        if key in content:
            yield Condition(part, "exact", str(content[key].content), at=content[key].at)
    labels = content["sourceLabels"].content if "sourceLabels" in content else None
    for name, value in labels.items() if isinstance(labels, dict) else ():
        yield Condition(f"source label {name}", "exact", read_text(value), at=value.at)


def _list_items(value: Value) -> list[Value]:
    return value.content if isinstance(value.content, list) else []
