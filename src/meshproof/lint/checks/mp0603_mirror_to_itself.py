"""Mirror to itself."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project, read_text
from meshproof.lint.model.route import Destination, Route
from meshproof.lint.model.route_tables import read_route_tables

CODE = "MP0603"


def check(project: Project) -> Iterator[Hit]:
    """Report each mirror that is a destination of its own route, too."""
    for table in read_route_tables(project):
        for route in table.routes:
            for mirror in route.mirrors:
                twin = next((one for one in route.destinations if _meets(one, mirror)), None)
                if twin is not None:
                    yield _hit(route, twin, mirror)


def _meets(target: Destination, mirror: Destination) -> bool:
    """Say whether some pod may get a request from both."""
    if target.host != mirror.host or _port(target) != _port(mirror):
        return False
    one, other = read_text(target.subset), read_text(mirror.subset)
    if target.labels and mirror.labels:
        return target.labels == mirror.labels
    return one == other or not (one and other)


def _port(target: Destination) -> object:
    return target.port.content if target.port is not None else None


def _hit(route: Route, twin: Destination, mirror: Destination) -> Hit:
    subset = f" subset '{read_text(twin.subset)}'" if twin.subset is not None else ""
    return Hit(
        mirror.at,
        f"{route.name} mirrors to {twin.source_text}, and sends to {twin.source_text}{subset} anyway "
        f"(line {twin.at.line})",
        "another host, or subsets that share no pod",
    )
