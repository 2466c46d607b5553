"""Reads the routes of VirtualServices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from meshproof.base.names import MESH, qualify_host
from meshproof.documents.lookup import find_values, read_spec, read_text
from meshproof.documents.manifest import Document, Value
from meshproof.lint.engine.project import Project, find_unclear_paths, is_unclear
from meshproof.lint.model.conditions import Condition, MatchType, simplify_condition
from meshproof.lint.model.route import Match, Route, RouteTable
from meshproof.rules.written import Reference, WrittenDestination

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
    """Yield the route table of every VirtualService."""
    for document in project.named_documents("VirtualService", group="networking.istio.io"):
        yield _read_table(project, document)


def _read_table(project: Project, document: Document) -> RouteTable:
    """Return the route table of one VirtualService."""
    spec = read_spec(document)
    gateways = tuple(read_gateways(find_values(spec, "gateways"), document.namespace))
    unclear_paths = find_unclear_paths(project, document)
    routes = [
        _read_route(document, protocol, value, gateways, unclear_paths, -index)
        for protocol in ("http", "tls", "tcp")
        for index, value in enumerate(find_values(spec, protocol))
        if isinstance(value.content, dict)
    ]
    return RouteTable(
        document,
        "VirtualService",
        tuple(_read_hosts(find_values(spec, "hosts"), document.namespace)),
        gateways or (Reference(MESH, MESH, document.at),),
        tuple(routes),
    )


def _read_hosts(values: list[Value], namespace: str) -> Iterator[Reference]:
    """Yield the hosts of a VirtualService."""
    for value in values:
        if read_text(value):
            yield Reference(qualify_host(read_text(value), namespace), read_text(value), value.at)


def read_gateways(values: list[Value], namespace: str) -> Iterator[Reference]:
    """Yield gateways as `namespace/name`. Istio 0.x wrote `name.namespace...`."""
    for value in values:
        source_text = read_text(value)
        if not source_text:
            continue
        gateway_namespace, slash, name = source_text.partition("/")
        if slash:
            full_name = f"{namespace if gateway_namespace == '.' else gateway_namespace}/{name}"
        elif "." in source_text:
            name, gateway_namespace = source_text.split(".")[:2]
            full_name = f"{gateway_namespace}/{name}"
        else:
            full_name = MESH if source_text == MESH else f"{namespace}/{source_text}"
        yield Reference(full_name, source_text, value.at)


def _read_route(
    document: Document,
    protocol: Literal["http", "tls", "tcp"],
    value: Value,
    gateways: tuple[Reference, ...],
    unclear_paths: tuple[str, ...],
    precedence: int,
) -> Route:
    """Return one entry of `http`, `tls` or `tcp` as a route."""
    content, namespace = value.mapping(), document.namespace
    name = read_text(content.get("name"))
    match_values = find_values(value, "match")
    matches = [
        _read_match(
            match_value,
            namespace,
            unclear_paths,
            not is_unclear(value.path + ".match", unclear_paths),
        )
        for match_value in match_values
        if isinstance(match_value.content, dict)
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
        precedence,
    )


def _drop_idle_gateways(match: Match, gateways: tuple[Reference, ...]) -> Match:
    """Drop a condition on gateways that names all gateways of the table."""
    table_gateways = {gateway.full_name for gateway in gateways} or {MESH}
    conditions = [
        gateway
        for gateway in match.conditions
        if gateway.part != "gateway" or not table_gateways <= gateway.values
    ]
    return Match(tuple(conditions), match.at, match.is_fully_read)


def _read_destinations(values: list[Value], namespace: str) -> Iterator[WrittenDestination]:
    """Yield the destinations that have a host."""
    for value in values:
        if not isinstance(value.content, dict):
            continue
        host = value.content.get("host")
        if host is None or not read_text(host):
            continue
        numbers = find_values(value, "port", "number")
        yield WrittenDestination(
            qualify_host(read_text(host), namespace),
            read_text(host),
            host.at,
            namespace,
            value.content.get("subset"),
            port=numbers[0] if numbers else None,
        )


def _read_match(
    value: Value, namespace: str, unclear_paths: tuple[str, ...], list_is_clear: bool
) -> Match:
    """Return the conditions of one match. `list_is_clear` if the whole list is."""
    content = value.mapping()
    ignores_case = content.get("ignoreUriCase")
    conditions: list[Condition] = []
    for part in _STRING_PARTS:
        if part in content:
            uri_ignores_case = (
                part == "uri" and ignores_case is not None and ignores_case.content is True
            )
            conditions += _read_string_conditions(
                content[part], part, ignores_case=uri_ignores_case
            )
    for key, part_name in _MAP_PARTS.items():
        entries = content[key].content if key in content else None
        for name, entry in entries.items() if isinstance(entries, dict) else ():
            entry_name = name if part_name == "query" else name.lower()
            conditions += _read_string_conditions(
                entry, f"{part_name} {entry_name}", negated=key == "withoutHeaders"
            )
    conditions += _read_other_conditions(content, namespace)
    is_fully_read = set(content) <= _READABLE_KEYS and (
        list_is_clear or not is_unclear(value.path, unclear_paths)
    )
    is_fully_read = is_fully_read and not (set(content) <= _KEYS_WITHOUT_CONDITION)
    is_fully_read = is_fully_read and not any(
        content[part].content == {} for part in _STRING_PARTS if part in content
    )
    return Match(tuple(conditions), value.at, is_fully_read)


def _read_string_conditions(
    value: Value, part: str, negated: bool = False, ignores_case: bool = False
) -> Iterator[Condition]:
    """Yield the condition of a StringMatch. An empty one means: present."""
    content = value.content if isinstance(value.content, dict) else {}
    match_types: tuple[MatchType, ...] = ("exact", "prefix", "regex")
    conditions = [
        Condition(
            part,
            match_type,
            read_text(content[match_type]),
            negated=negated,
            at=content[match_type].at,
        )
        for match_type in match_types
        if match_type in content
    ] or [Condition(part, "present", negated=negated, at=value.at)]
    for condition in conditions:
        if (
            condition.match_type == "regex" and condition.text == "*"
        ):  # Istio reads it as: is present
            condition = Condition(part, "present", negated=negated, at=condition.at)
        folds_case = ignores_case and condition.match_type != "regex"
        simplified = simplify_condition(
            Condition(
                condition.part,
                condition.match_type,
                condition.text,
                condition.values,
                negated,
                folds_case,
                condition.at,
            )
        )
        if simplified is not None:
            yield simplified


def _read_other_conditions(content: dict[str, Value], namespace: str) -> Iterator[Condition]:
    """Yield the conditions on gateways, SNI, subnets, ports and the source."""
    for key, (part, match_type) in _LIST_PARTS.items():
        if key in content:
            values = [read_text(entry) for entry in _list_items(content[key])]
            if key == "gateways":
                values = [
                    gateway.full_name
                    for gateway in read_gateways(_list_items(content[key]), namespace)
                ]
            if values:
                yield Condition(part, match_type, values=frozenset(values), at=content[key].at)
    for key, part in _SINGLE_PARTS.items():
        if key in content:
            yield Condition(part, "exact", str(content[key].content), at=content[key].at)
    labels = content["sourceLabels"].content if "sourceLabels" in content else None
    for name, value in labels.items() if isinstance(labels, dict) else ():
        yield Condition(f"source label {name}", "exact", read_text(value), at=value.at)


def _list_items(value: Value) -> list[Value]:
    """Return the items of a list, none if it is no list."""
    return value.content if isinstance(value.content, list) else []
