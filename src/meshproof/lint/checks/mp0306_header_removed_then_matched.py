"""Header that is removed before it is matched."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.lookup import read_text
from meshproof.documents.manifest import Value
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.conditions import Condition
from meshproof.lint.model.route import Route, RouteTable, format_place
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0306"


def check(project: Project) -> Iterator[Hit]:
    """Report each removed header that the rule of another host matches on."""
    conditions_by_header: dict[str, list[tuple[RouteTable, Condition]]] = {}
    for table in read_route_tables(project):
        for route in table.routes:
            for condition in _list_header_conditions(route):
                header_name = condition.part.removeprefix("header ")
                conditions_by_header.setdefault(header_name, []).append((table, condition))
    for table in read_route_tables(project):
        for route in table.routes:
            for header in route.actions.removed_headers:
                header_name = read_text(header).lower()
                for matching_table, condition in conditions_by_header.get(header_name, []):
                    if not _share_host(table, matching_table):
                        yield _build_hit(header, matching_table, condition)
                        break


def _list_header_conditions(route: Route) -> list[Condition]:
    """Return the conditions on a header's presence or value, without the negated ones."""
    return [
        condition
        for match in route.matches
        for condition in match.conditions
        if condition.part.startswith("header ") and not condition.negated
    ]


def _share_host(table: RouteTable, matching_table: RouteTable) -> bool:
    """Say whether two route tables name a common host; a wildcard is only the same wildcard."""
    if table is matching_table:
        return True
    return bool(
        {host.full_name for host in table.hosts} & {host.full_name for host in matching_table.hosts}
    )


def _build_hit(header: Value, matching_table: RouteTable, condition: Condition) -> Hit:
    location = format_place(condition.at, header.at)
    names = ", ".join(host.source_text for host in matching_table.hosts) or "another host"
    return Hit(
        header.at,
        f"'{read_text(header)}' is removed here, and the rule for {names} matches on it "
        f"({location})",
        "keep the header up to the last rule that matches on it",
    )
