"""Header that is removed before it is matched."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.manifest import Value
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project, find_values, read_text
from meshproof.lint.model.conditions import Condition
from meshproof.lint.model.route import Route, RouteTable, format_place
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0306"


def check(project: Project) -> Iterator[Hit]:
    """Report each removed header that the rule of another host matches on."""
    matched: dict[str, list[tuple[RouteTable, Condition]]] = {}
    for table in read_route_tables(project):
        for route in table.routes:
            for condition in (one for match in route.matches for one in match.conditions):
                if condition.part.startswith("header ") and not condition.negated:
                    matched.setdefault(condition.part[7:], []).append((table, condition))
    for table in read_route_tables(project):
        for route in table.routes:
            for header in _removed(route):
                for other, condition in matched.get(read_text(header).lower(), []):
                    if not _same_hosts(table, other):
                        yield _hit(header, other, condition)
                        break


def _removed(route: Route) -> list[Value]:
    """Return the request headers that a route takes off, for all or for some destinations."""
    return [
        *find_values(route.value, "headers", "request", "remove"),
        *find_values(route.value, "route", "headers", "request", "remove"),
        *find_values(route.value, "filters", "requestHeaderModifier", "remove"),
        *find_values(route.value, "backendRefs", "filters", "requestHeaderModifier", "remove"),
    ]


def _same_hosts(table: RouteTable, other: RouteTable) -> bool:
    if table is other:
        return True
    return bool({one.full_name for one in table.hosts} & {one.full_name for one in other.hosts})


def _hit(header: Value, other: RouteTable, condition: Condition) -> Hit:
    where = format_place(condition.at, header.at)
    names = ", ".join(one.source_text for one in other.hosts) or "another host"
    return Hit(
        header.at,
        f"'{read_text(header)}' is removed here, and the rule for {names} matches on it ({where})",
        "keep the header up to the last rule that matches on it",
    )
