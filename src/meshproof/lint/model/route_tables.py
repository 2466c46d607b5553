"""The route tables of all documents, in whatever dialect each is written, for checks that compare.

What is written is read in `rules/`; here its conditions become ones that can be compared. What
could not be read is left out (another check reports it), and a match that was only partly read is
marked so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

from meshproof.documents.lookup import read_kind, read_text
from meshproof.documents.manifest import Document
from meshproof.lint.engine.project import Project, find_unclear_paths, is_unclear
from meshproof.lint.model.conditions import Condition, MatchType, simplify_condition
from meshproof.lint.model.route import Match, Route, RouteTable
from meshproof.rules.gateway_api import written as gateway_api
from meshproof.rules.istio import written as virtual_service
from meshproof.rules.legacy import written as route_rule
from meshproof.rules.written import (
    Dialect,
    StringKind,
    WrittenCondition,
    WrittenDestination,
    WrittenMatch,
    WrittenRoute,
    WrittenSplit,
    WrittenTable,
)

_MATCH_TYPES: dict[StringKind, MatchType] = {
    "exact": "exact",
    "prefix": "prefix",
    "path_prefix": "path",
    "regex": "regex",
}


RouteReader = Callable[[Document, str], Iterator[WrittenRoute[WrittenMatch]]]
_ROUTE_READERS: dict[str, RouteReader] = {
    "VirtualService": virtual_service.read_routes,
    "RouteRule": route_rule.read_routes,
    "HTTPRoute": gateway_api.read_routes,
    "GRPCRoute": gateway_api.read_routes,
}


@lru_cache(maxsize=2)
def read_written_routes(project: Project) -> tuple[WrittenRoute[WrittenMatch], ...]:
    """Return the routes of all documents as they are written, even of those without a name."""
    return tuple(route for routes in _read_routes(project).values() for route in routes)


@lru_cache(maxsize=2)
def _read_routes(project: Project) -> dict[int, tuple[WrittenRoute[WrittenMatch], ...]]:
    """Return the routes of each document, by its id: read once, for all checks and tables."""
    return {
        id(document): tuple(
            _ROUTE_READERS[read_kind(document)](document, project.find_namespace(document))
        )
        for document in project.documents_of_kind(*_ROUTE_READERS)
    }


def read_splits(project: Project) -> Iterator[WrittenSplit]:
    """Yield every split that has an entry."""
    for route in read_written_routes(project):
        if route.actions.split is not None and route.actions.split.entries:
            yield route.actions.split


@lru_cache(maxsize=2)
def read_route_tables(project: Project) -> tuple[RouteTable, ...]:
    """Return every route table, read once for all checks of a project."""
    return tuple(_build_table(project, table) for table in _read_written_tables(project))


def _read_written_tables(project: Project) -> Iterator[WrittenTable[WrittenMatch]]:
    """Yield the tables of all dialects, as they are written."""
    routes = _read_routes(project)

    def list_routes(document: Document) -> tuple[WrittenRoute[WrittenMatch], ...]:
        return routes[id(document)]

    group = "networking.istio.io"
    documents = project.named_documents("VirtualService", group=group)
    yield from virtual_service.read_tables(documents, list_routes)
    yield from route_rule.read_tables(project.named_documents("RouteRule"), list_routes)
    group = "gateway.networking.k8s.io"
    documents = project.named_documents("HTTPRoute", "GRPCRoute", group=group)
    yield from gateway_api.read_tables(documents, list_routes)


def list_destinations(project: Project) -> Iterator[tuple[RouteTable, Route, WrittenDestination]]:
    """Yield every destination and mirror with its table and route."""
    for table in read_route_tables(project):
        for route in table.routes:
            for destination in (*route.destinations, *route.mirrors):
                yield table, route, destination


def gets_requests(route: Route, destination: WrittenDestination) -> bool:
    """Say whether some request of a route goes to a destination: no copy, and not of weight 0."""
    if destination in route.mirrors:
        return False
    split = route.actions.split
    for entry in split.entries if split and len(split.entries) > 1 else ():
        if split and entry.destination is destination:
            return bool(split.default_weight if entry.weight is None else entry.weight.content)
    return True


def _build_table(project: Project, written_table: WrittenTable[WrittenMatch]) -> RouteTable:
    """Return a table with conditions that can be compared."""
    return written_table.with_routes(
        _build_route(project, route, written_table) for route in written_table.routes
    )


def _build_route(
    project: Project, written_route: WrittenRoute[WrittenMatch], table: WrittenTable[WrittenMatch]
) -> Route:
    """Return a route of a table with conditions that can be compared."""
    unclear_paths = find_unclear_paths(project, written_route.document)
    takes_all = written_route.takes_all and (
        table.is_ordered or not is_unclear(written_route.value.path, unclear_paths)
    )
    matches = [_build_match(match, table, unclear_paths) for match in written_route.matches]
    return written_route.with_matches(
        tuple(matches) or (Match((), written_route.value.at, takes_all),)
    )


def _build_match(
    written_match: WrittenMatch, table: WrittenTable[WrittenMatch], unclear_paths: tuple[str, ...]
) -> Match:
    """Return a match of a table, fully read if its form leaves no doubt of what is meant."""
    conditions = [
        condition
        for written_condition in written_match.conditions
        for condition in build_conditions(written_condition, written_match, table.dialect)
        if condition.part != "gateway" or not _list_gateways(table) <= condition.values
    ]
    is_clear = written_match.is_complete and not is_unclear(written_match.value.path, unclear_paths)
    return Match(tuple(conditions), written_match.value.at, is_clear)


def _list_gateways(table: WrittenTable[WrittenMatch]) -> set[str]:
    """Return the gateways of a table. A condition that names them all always holds."""
    return {gateway.full_name for gateway in table.gateways}


def build_conditions(
    written_condition: WrittenCondition, match: WrittenMatch, dialect: Dialect
) -> Iterator[Condition]:
    """Yield what a condition of a match compares; several if it says several things."""
    name = (
        written_condition.name.lower()
        if written_condition.part == "header"
        else written_condition.name
    )
    part = f"{written_condition.part} {name}" if name else written_condition.part
    if written_condition.values:
        match_type: MatchType = "host" if part == "SNI" else "any of"
        yield Condition(
            part, match_type, values=frozenset(written_condition.values), at=written_condition.at
        )
        return
    for condition in _list_comparisons(written_condition, part, match, dialect):
        simplified = simplify_condition(condition)
        if simplified is not None:
            yield simplified


def _list_comparisons(
    written_condition: WrittenCondition, part: str, match: WrittenMatch, dialect: Dialect
) -> Iterator[Condition]:
    """Yield the strings of a condition. In a VirtualService, none or the regex `*` is: present."""
    is_istio = dialect == "VirtualService"
    folds_case = (
        part == "uri"
        and match.ignores_uri_case is not None
        and match.ignores_uri_case.content is True
    )
    for kind, value in written_condition.strings:
        text = str(value.content) if part == "port" else read_text(value)
        match_type, ignores_case = _MATCH_TYPES[kind], folds_case and kind != "regex"
        if is_istio and kind == "regex" and text == "*":
            match_type, text = "present", ""
        yield Condition(
            part,
            match_type,
            text,
            negated=written_condition.negated,
            ignores_case=ignores_case,
            at=value.at,
        )
    if is_istio and not written_condition.strings:
        yield Condition(
            part, "present", negated=written_condition.negated, at=written_condition.value.at
        )
