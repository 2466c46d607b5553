"""Mirror to itself."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.lookup import read_text
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import Route
from meshproof.lint.model.route_tables import gets_requests, read_route_tables
from meshproof.rules.written import WrittenDestination

CODE = "MP0603"


def check(project: Project) -> Iterator[Hit]:
    """Report each mirror whose pods the route sends to anyway."""
    for table in read_route_tables(project):
        for route in table.routes:
            for mirror in route.mirrors:
                for destination in route.destinations:
                    if gets_requests(route, destination) and _can_share_pod(destination, mirror):
                        yield _build_hit(route, destination, mirror)
                        break


def _can_share_pod(destination: WrittenDestination, mirror: WrittenDestination) -> bool:
    """Say whether some pod may get a request from both."""
    if destination.host != mirror.host or _get_port(destination) != _get_port(mirror):
        return False
    destination_subset, mirror_subset = read_text(destination.subset), read_text(mirror.subset)
    if destination.labels and mirror.labels:
        return destination.labels == mirror.labels
    return destination_subset == mirror_subset or not (destination_subset and mirror_subset)


def _get_port(destination: WrittenDestination) -> object:
    return destination.port.content if destination.port is not None else None


def _build_hit(route: Route, destination: WrittenDestination, mirror: WrittenDestination) -> Hit:
    host, subset = destination.source_text, ""
    if destination.subset is not None:
        subset = f" subset '{read_text(destination.subset)}'"
    return Hit(
        mirror.at,
        f"{route.name} mirrors to {host}, and sends to {host}{subset} anyway "
        f"(line {destination.at.line})",
        "another host, or subsets that share no pod",
    )
